// Package dedupe is the stage that keeps one row of those with the same key.
//
//	stages:
//	  ordered:
//	    use: sort
//	    from: drives
//	    by: [model_norm, serial_number, date, {column: failure, order: desc}, {column: smart_9_raw, order: desc, nulls: last}]
//	  once: {use: dedupe, from: ordered, by: [model_norm, serial_number, date]}
//
// Rows must come sorted by the columns in by, ascending with nulls first; what
// else they are sorted by decides which row of a key is the first, and that one
// is kept. Nulls are equal here. A row out of order ends the unit, because a key
// could have been kept before.
//
// The stage gives a second table, whose name ends in _removed, with a row for
// each that was removed: the columns in by, the reason, identical or different,
// and the names of the columns in which it differs from the row that was kept.
package dedupe

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/stages/internal/cells"
)

// Config is the configuration of dedupe.
type Config struct {
	Pos pipeline.Pos
	By  []pipeline.Text `yaml:"by" required:"true" doc:"columns of the key, in the order by which rows are sorted"`
}

// Validate checks what the tags cannot say.
func (c *Config) Validate(issues *pipeline.Issues) {
	if len(c.By) == 0 {
		issues.Add(&pipeline.Issue{Pos: c.Pos, Message: "by names no column"})
	}
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "dedupe",
		Summary: "keep the first of the rows that have the same key",
		Doc: "Keeps the first row of each key, the columns of `by`, by which rows must be sorted. What was removed is in a second table, <table>_removed: " +
			"its key, whether it was identical or different, and in which columns.",
		Example: `pipeline: once
inputs:
  drives: {uri: "testdata/drivestats/*.csv", format: drivestats}
stages:
  ordered: {use: sort, from: drives, by: [model, serial_number, date, {column: failure, order: desc}]}
  once: {use: dedupe, from: ordered, by: [model, serial_number, date]}
outputs:
  lake: {use: parquet, from: once, uri: lake, partition: [month]}
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			return pipeline.Tables(&stage{*config.(*Config)}), nil
		},
	}
}

// Why a row was removed.
const (
	identical = "identical"
	different = "different"
)

type stage struct{ Config }

// BindTable implements pipeline.TableStage.
func (s *stage) BindTable(in *pipeline.Table) (*pipeline.TableBinding, error) {
	kept := cells.Same(in)
	var issues pipeline.Issues
	var plan cells.Keys
	var at []int
	var fields []arrow.Field
	for _, k := range s.By {
		c := in.Column(k.Value)
		if c < 0 {
			issue := k.Issuef(0, "table %s has no column %q", in.Name, k.Value)
			issue.Suggestion = pipeline.Nearest(k.Value, in.ColumnNames())
			issues.Add(issue)
			continue
		}
		f := in.Schema.Field(c)
		if !cells.HasOrder(f.Type) {
			issues.Add(k.Issuef(0, "column %s is %s, which has no order", k.Value, f.Type))
		}
		plan = append(plan, cells.Key{Column: c})
		at = append(at, c)
		fields = append(fields, f)
		kept.Reads = append(kept.Reads, pipeline.Read{ColumnRef: pipeline.ColumnRef{Table: in, Column: k.Value}, How: "FILTER"})
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	fields = append(fields,
		cells.Field("reason", arrow.StringType, "identical to the row that was kept, or different"),
		cells.Field("differs", arrow.StringType, "columns in which the row differs from the one that was kept"))
	removed := cells.Made(in, at, in.Name+"_removed", fields)
	if in.Alias != "" {
		removed.Table.Alias = in.Alias + "_removed"
	}
	return &pipeline.TableBinding{Outputs: []pipeline.Output{kept, removed}, Open: func(opt pipeline.ProcessOptions) (pipeline.Processor, error) {
		return &deduper{kept: kept.Table, removed: removed.Table, at: at, plan: plan, mem: opt.Allocator}, nil
	}}, nil
}

// deduper works on one table of one unit.
type deduper struct {
	kept, removed *pipeline.Table
	at            []int
	plan          cells.Keys
	mem           arrow.Allocator

	key     []byte       // of the row kept last
	last    arrow.Record // that row, of an earlier batch
	n, gone int64        // rows that were given
}

// Process keeps the first row of each key.
func (d *deduper) Process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account, emit pipeline.Emit) error {
	defer b.Release()
	keys, err := d.plan.Of(b.Record)
	if err != nil {
		return fmt.Errorf("table %s: %w", b.Table.Name, err)
	}
	var keep, gone []int32
	var differs []string
	first := -1 // row of this batch that was kept last
	for i := range int32(b.Rows()) {
		key := keys.At(i)
		if d.key != nil {
			switch c := bytes.Compare(key, d.key); {
			case c < 0:
				return fmt.Errorf("table %s: row %d is out of order: sort by %s before dedupe: %w", b.Table.Name, b.Origin.At(int(i)), d.by(), pipeline.ErrSchema)
			case c == 0:
				gone = append(gone, i)
				differs = append(differs, d.differs(b.Record, int(i), first))
				continue
			}
		}
		d.key = append(d.key[:0], key...)
		keep = append(keep, i)
		first = int(i)
	}
	if first >= 0 {
		d.drop()
		if d.last, err = column.TakeRecord(d.mem, b.Record, []int32{int32(first)}); err != nil {
			return fmt.Errorf("table %s: %w", b.Table.Name, err)
		}
	}
	acct.Absorbed += int64(len(gone))
	if err := d.report(b.Record, gone, differs, acct, emit); err != nil || len(keep) == 0 {
		return err
	}
	rec, err := column.TakeRecord(d.mem, b.Record, keep)
	if err != nil {
		return fmt.Errorf("table %s: %w", b.Table.Name, err)
	}
	out := &pipeline.Batch{Table: d.kept, Record: rec, Origin: pipeline.Origin{First: d.n}}
	d.n += rec.NumRows()
	return emit(pipeline.Element{Batch: out})
}

// differs names the columns in which row i differs from the one that was kept:
// row first of the same record, or the last of an earlier one.
func (d *deduper) differs(rec arrow.Record, i, first int) string {
	other := rec
	if first < 0 {
		other, first = d.last, 0
	}
	var names []string
	for c, f := range rec.Schema().Fields() {
		x := arrow.NewSlice(rec.Column(c), int64(i), int64(i+1))
		y := arrow.NewSlice(other.Column(c), int64(first), int64(first+1))
		if !arrow.ArrayEqual(x, y) {
			names = append(names, f.Name)
		}
		x.Release()
		y.Release()
	}
	return strings.Join(names, ",")
}

// report tells of the rows that are gone.
func (d *deduper) report(rec arrow.Record, gone []int32, differs []string, acct *pipeline.Account, emit pipeline.Emit) error {
	if len(gone) == 0 {
		return nil
	}
	cols := make([]arrow.Array, 0, len(d.at)+2)
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for _, c := range d.at {
		arr, err := column.Take(d.mem, rec.Column(c), gone)
		if err != nil {
			return fmt.Errorf("table %s: %w", d.removed.Name, err)
		}
		cols = append(cols, arr)
	}
	reason, names := column.New(d.mem, arrow.StringType), column.New(d.mem, arrow.StringType)
	for _, s := range differs {
		cells.Text(names, s)
		if s == "" {
			reason.AppendString(identical)
		} else {
			reason.AppendString(different)
		}
	}
	cols = append(cols, reason.Finish(), names.Finish())
	n := int64(len(gone))
	acct.Created += n
	b := &pipeline.Batch{Table: d.removed, Record: arrow.NewRecord(d.removed.Schema, cols, n), Origin: pipeline.Origin{First: d.gone}}
	d.gone += n
	return emit(pipeline.Element{Batch: b})
}

func (d *deduper) by() string {
	var names []string
	for _, c := range d.at {
		names = append(names, d.kept.Schema.Field(c).Name)
	}
	return strings.Join(names, ", ")
}

func (d *deduper) drop() {
	if d.last != nil {
		d.last.Release()
		d.last = nil
	}
}

// Flush has nothing left to give.
func (d *deduper) Flush(context.Context, *pipeline.Account, pipeline.Emit) error { return nil }

func (d *deduper) Close() { d.drop() }
