package rosbag2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// row1 is one row as tests compare it: its cells as text, without those that
// only MCAP has.
type row1 struct {
	table  string
	object int
	record int64
	time   int64
	cells  string
}

// reading is all that was read of a recording.
type reading struct {
	d        *pipeline.Description
	rows     []row1
	counts   map[string]pipeline.TableCounts
	problems []pipeline.Problem // of description and decoder
	rejected []string           // table: reason
}

func (r *reading) has(kind string) *pipeline.Problem {
	for i := range r.problems {
		if r.problems[i].Kind == kind {
			return &r.problems[i]
		}
	}
	return nil
}

// of returns the rows of a table.
func (r *reading) of(table string) (rows []row1) {
	for _, x := range r.rows {
		if x.table == table {
			rows = append(rows, x)
		}
	}
	return rows
}

// byTable puts the tables one after another.
func byTable(rows []row1) []row1 {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b row1) int { return strings.Compare(a.table, b.table) })
	return rows
}

func readAll(t testing.TB, src pipeline.Source) *reading {
	t.Helper()
	return readWith(t, New(cdr.Encoding{}), src, pipeline.Selection{}, pipeline.DecodeOptions{Workers: 2})
}

func readWith(t testing.TB, f *Format, src pipeline.Source, sel pipeline.Selection, opt pipeline.DecodeOptions) *reading {
	t.Helper()
	ctx := context.Background()
	d, err := f.Describe(ctx, src)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, f, src, d, sel, opt)
}

func decode(t testing.TB, f *Format, src pipeline.Source, d *pipeline.Description, sel pipeline.Selection, opt pipeline.DecodeOptions) *reading {
	t.Helper()
	ctx := context.Background()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	r := &reading{d: d, counts: make(map[string]pipeline.TableCounts), problems: slices.Clone(d.Problems)}
	opt.Allocator = mem
	opt.Reject = func(b pipeline.BadRow) error {
		r.rejected = append(r.rejected, b.Table+": "+b.Reason)
		return nil
	}
	dec, err := f.Open(ctx, src, d, sel, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := dec.Close(); err != nil {
			t.Error(err)
		}
	}()
	last := make(map[string][2]int64)
	for {
		el, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if el.Batch == nil {
			continue
		}
		for _, x := range batchRows(el.Batch) {
			at := [2]int64{int64(x.object), x.record}
			if before, ok := last[x.table]; ok && sel.Order == pipeline.StorageOrder && (at[0] < before[0] || at[0] == before[0] && at[1] <= before[1]) {
				t.Errorf("table %s: record %v after %v", x.table, at, before)
			}
			last[x.table] = at
			r.rows = append(r.rows, x)
		}
		el.Batch.Release()
	}
	r.problems = append(r.problems, dec.Problems()...)
	for _, c := range dec.Counts() {
		r.counts[c.Table] = c
		rejected := int64(0)
		for _, n := range c.Rejected {
			rejected += n
		}
		if c.Found != c.Decoded+c.Unselected+rejected {
			t.Errorf("table %s: found %d, decoded %d + unselected %d + rejected %d", c.Table, c.Found, c.Decoded, c.Unselected, rejected)
		}
		if c.Indexed >= 0 && c.Indexed != c.Found+c.Lost {
			t.Errorf("table %s: indexed %d, found %d + lost %d", c.Table, c.Indexed, c.Found, c.Lost)
		}
	}
	for _, i := range d.Tables {
		c := r.counts[i.Table.Name]
		if sel.Tables == nil && i.Rows >= 0 && i.Rows != c.Found+c.Lost {
			t.Errorf("table %s: described with %d rows, found %d and lost %d", i.Table.Name, i.Rows, c.Found, c.Lost)
		}
	}
	return r
}

// batchRows spells the rows of a batch.
func batchRows(b *pipeline.Batch) []row1 {
	var rows []row1
	for i := range b.Rows() {
		x := row1{table: b.Table.Name, object: b.Origin.Object, record: b.Origin.At(i)}
		var cells []string
		for c, f := range b.Record.Schema().Fields() {
			text := b.Record.Column(c).ValueStr(i)
			switch f.Name {
			case "publish_time", "sequence":
				continue
			case "log_time":
				x.time = int64(b.Record.Column(c).(*arrow.Timestamp).Value(i))
			}
			cells = append(cells, f.Name+"="+text)
		}
		x.cells = strings.Join(cells, " ")
		rows = append(rows, x)
	}
	return rows
}

// wantRows compares rows, but for where they lie.
func wantRows(t testing.TB, what string, got, want []row1) {
	t.Helper()
	got, want = byTable(got), byTable(want)
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		if g.table != w.table || g.cells != w.cells {
			t.Errorf("%s: row %d is\n%.500v\nwant\n%.500v", what, i, fmt.Sprint(g), fmt.Sprint(w))
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d rows, want %d", what, len(got), len(want))
	}
}
