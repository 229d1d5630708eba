// Package sort is the stage that puts the rows of a unit in order.
//
//	stages:
//	  ordered:
//	    use: sort
//	    from: drives
//	    by: [model, serial_number, date, {column: smart_9_raw, order: desc, nulls: last}]
//	    memory: 256MiB
//
// Rows are ordered by the columns in by, the first of which counts most; rows
// that are equal keep the order in which they came. Numbers, booleans, dates and
// times are in their order, NaN after all other numbers, strings in that of
// their bytes. Nulls come first unless nulls says last, whatever the order.
//
// Rows wait in memory until they take as much as memory says, and are then
// spilled as a sorted run to where the run of the pipeline spills (--spill-dir);
// where that is nowhere, they stay in memory all the same. At the end runs are
// merged, sixteen at a time, by a tree of losers. The bound is on the rows that
// wait and on those of a merge, not on what the rest of the unit needs. Nothing
// is left behind when the unit ends, however it ends, and how rows are cut into
// batches or runs does not show in their order.
package sort

import (
	"context"
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/stages/internal/cells"
)

// Key is a column to sort by.
type Key struct {
	Column pipeline.Text `yaml:"column" required:"true" shorthand:"true" doc:"name of the column"`
	Order  string        `yaml:"order" default:"asc" enum:"asc,desc" doc:"direction"`
	Nulls  string        `yaml:"nulls" default:"first" enum:"first,last" doc:"where nulls go, in either direction"`
}

// Config is the configuration of a sort.
type Config struct {
	Pos    pipeline.Pos
	By     []Key         `yaml:"by" required:"true" doc:"columns to sort by, the first counts most"`
	Memory pipeline.Size `yaml:"memory" default:"128MiB" fingerprint:"-" doc:"bytes of rows that wait in memory before they are spilled"`
}

// Validate checks what the tags cannot say.
func (c *Config) Validate(issues *pipeline.Issues) {
	if len(c.By) == 0 {
		issues.Add(&pipeline.Issue{Pos: c.Pos, Message: "by names no column"})
	}
	seen := make(map[string]bool)
	for _, k := range c.By {
		if seen[k.Column.Value] {
			issues.Add(k.Column.Issuef(0, "%q is there twice", k.Column.Value))
		}
		seen[k.Column.Value] = true
	}
	if c.Memory < 1<<16 {
		issues.Add(&pipeline.Issue{Pos: c.Pos, Message: fmt.Sprintf("memory is %d bytes: want 64KiB at the least", c.Memory)})
	}
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "sort",
		Summary: "put the rows of a unit in order",
		Doc: "Sorts by the columns of `by`, each ascending or descending with nulls first or last; equal rows keep their order. " +
			"Beyond `memory`, sorted runs are spilled and merged at the end.",
		Example: `pipeline: ordered
inputs:
  drives: {uri: "testdata/drivestats/*.csv", format: drivestats}
stages:
  ordered: {use: sort, from: drives, by: [model, serial_number, {column: smart_9_raw, order: desc, nulls: last}]}
outputs:
  lake: {use: parquet, from: ordered, uri: lake, partition: [month]}
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			return pipeline.Tables(&stage{*config.(*Config)}), nil
		},
	}
}

type stage struct{ Config }

// BindTable implements pipeline.TableStage.
func (s *stage) BindTable(in *pipeline.Table) (*pipeline.TableBinding, error) {
	out := cells.Same(in)
	var issues pipeline.Issues
	plan := cells.Keys{}
	for _, k := range s.By {
		c := in.Column(k.Column.Value)
		if c < 0 {
			issue := k.Column.Issuef(0, "table %s has no column %q to sort by", in.Name, k.Column.Value)
			issue.Suggestion = pipeline.Nearest(k.Column.Value, in.ColumnNames())
			issues.Add(issue)
			continue
		}
		if t := in.Schema.Field(c).Type; !cells.HasOrder(t) {
			issues.Add(k.Column.Issuef(0, "column %s is %s, which has no order", k.Column.Value, t))
		}
		plan = append(plan, cells.Key{Column: c, Desc: k.Order == "desc", NullsLast: k.Nulls == "last"})
		out.Reads = append(out.Reads, pipeline.Read{ColumnRef: pipeline.ColumnRef{Table: in, Column: k.Column.Value}, How: "SORT"})
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	return &pipeline.TableBinding{Outputs: []pipeline.Output{out}, Open: func(opt pipeline.ProcessOptions) (pipeline.Processor, error) {
		return &sorter{table: out.Table, plan: plan, memory: int64(s.Memory), space: opt.Spill, mem: opt.Allocator}, nil
	}}, nil
}

// maxChunk bounds the rows that are written and merged at a time.
const maxChunk = 8192

// sorter sorts one table of one unit.
type sorter struct {
	table  *pipeline.Table
	plan   cells.Keys
	memory int64
	space  pipeline.Spill
	file   pipeline.SpillFile // nil before the first run
	mem    arrow.Allocator

	waiting []arrow.Record
	keys    []cells.RowKeys // of waiting
	bytes   int64           // of both
	rows    int             // that wait
	runs    []*run          // in the order of their rows
	emitted int64
}

// Process takes over b and keeps it until there is too much.
func (s *sorter) Process(ctx context.Context, b *pipeline.Batch, _ *pipeline.Account, _ pipeline.Emit) error {
	if b.Rows() == 0 {
		b.Release()
		return nil
	}
	keys, err := s.plan.Of(b.Record)
	if err != nil {
		b.Release()
		return fmt.Errorf("sorting table %s: %w", s.table.Name, err)
	}
	s.waiting = append(s.waiting, b.Record)
	s.keys = append(s.keys, keys)
	s.rows += b.Rows()
	s.bytes += recordBytes(b.Record) + keys.Bytes()
	if s.bytes < s.memory || s.space == nil {
		return nil
	}
	return s.spill(ctx)
}

// Flush emits all rows in order.
func (s *sorter) Flush(ctx context.Context, acct *pipeline.Account, emit pipeline.Emit) error {
	send := func(rec arrow.Record) error {
		first := s.emitted
		s.emitted += rec.NumRows()
		return emit(pipeline.Element{Batch: &pipeline.Batch{Table: s.table, Record: rec, Origin: pipeline.Origin{First: first}}})
	}
	if len(s.runs) == 0 {
		return s.inOrder(maxChunk, send)
	}
	if s.rows > 0 {
		if err := s.spill(ctx); err != nil {
			return err
		}
	}
	for len(s.runs) > fanIn {
		if err := s.collapse(ctx, len(s.runs)-fanIn+1); err != nil {
			return err
		}
	}
	return s.merge(ctx, s.runs, send)
}

// inOrder gives what waits in chunks of so many rows, and forgets it.
func (s *sorter) inOrder(chunk int, give func(arrow.Record) error) error {
	defer s.drop()
	picks := sortedPicks(s.keys, s.rows)
	for len(picks) > 0 {
		n := min(chunk, len(picks))
		rec, err := pick(s.mem, s.waiting, picks[:n])
		if err != nil {
			return fmt.Errorf("sorting table %s: %w", s.table.Name, err)
		}
		if err := give(rec); err != nil {
			return err
		}
		picks = picks[n:]
	}
	return nil
}

// spill makes a run of what waits. Sixteen runs of one level become one of the
// next, so that there are few however long the input.
func (s *sorter) spill(ctx context.Context) error {
	if s.file == nil {
		f, err := s.space.Open()
		if err != nil {
			return fmt.Errorf("sorting table %s: %w", s.table.Name, err)
		}
		s.file = f
	}
	r := &run{}
	s.runs = append(s.runs, r)
	// A merge holds a chunk of each of its runs, and what it gives.
	chunk := int(max(1, min(maxChunk, int64(s.rows)*s.memory/(2*fanIn*max(s.bytes, 1)))))
	if err := s.inOrder(chunk, s.write(r)); err != nil {
		return err
	}
	for {
		n := len(s.runs)
		if n < fanIn || s.runs[n-fanIn].level != s.runs[n-1].level {
			return nil
		}
		if err := s.collapse(ctx, fanIn); err != nil {
			return err
		}
	}
}

// drop releases what waits.
func (s *sorter) drop() {
	for _, rec := range s.waiting {
		rec.Release()
	}
	s.waiting, s.keys, s.rows, s.bytes = nil, nil, 0, 0
}

// Close gives everything back.
func (s *sorter) Close() {
	s.drop()
	if s.file != nil {
		s.file.Close() // nothing in it is needed any more
		s.file = nil
	}
}

// place is a row of one of several records.
type place struct{ Rec, Row int32 }

// pick gathers rows; only the records that are picked from are looked at. Rows
// that follow each other are copied together.
func pick(mem arrow.Allocator, recs []arrow.Record, picks []place) (arrow.Record, error) {
	number := make(map[int32]int32)
	var used []arrow.Record
	var runs []column.Run
	for _, p := range picks {
		n, ok := number[p.Rec]
		if !ok {
			n = int32(len(used))
			number[p.Rec] = n
			used = append(used, recs[p.Rec])
		}
		if last := len(runs) - 1; last >= 0 && runs[last].Rec == n && runs[last].To == p.Row {
			runs[last].To++
			continue
		}
		runs = append(runs, column.Run{Rec: n, From: p.Row, To: p.Row + 1})
	}
	return column.Interleave(mem, used, runs)
}
