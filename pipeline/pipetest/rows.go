package pipetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/store"
)

// decoded is all that a decoder delivered, each cell as a hash.
type decoded struct {
	tables   map[string]*tableRows
	counts   []pipeline.TableCounts
	problems []pipeline.Problem
	rejected map[string]int64 // rows, by table
}

// tableRows are the rows of one table in the order of their arrival.
type tableRows struct {
	schema  *arrow.Schema
	columns [][]uint64
	origins []int64
	times   []int64 // of the clock that a time range bounds; nil for none
}

// column finds the cells of a column by its name.
func (r *tableRows) column(name string) []uint64 {
	for i, f := range r.schema.Fields() {
		if f.Name == name {
			return r.columns[i]
		}
	}
	return nil
}

// rangeClock is the column that From and To of a selection bound: the log
// time, in formats without one the first clock.
func rangeClock(t *pipeline.Table) string {
	for _, c := range t.Clocks {
		if c.Name == "log" {
			return c.Column
		}
	}
	if len(t.Clocks) > 0 {
		return t.Clocks[0].Column
	}
	return ""
}

// reading is one way to read a recording.
type reading struct {
	format pipeline.Format
	src    pipeline.Source
	desc   *pipeline.Description
	sel    pipeline.Selection
	opt    pipeline.DecodeOptions
	// stopAfter, where positive, ends reading after that many elements; cancel
	// is called there.
	stopAfter int
	cancel    context.CancelFunc
}

// read decodes to the end and holds the decoder to its contract: origins
// ascend, watermarks are kept, counts are the rows seen, and Close frees all
// memory and ends all goroutines.
func (r reading) read(ctx context.Context, t testing.TB) (*decoded, error) {
	t.Helper()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	before := runtime.NumGoroutine()
	defer func() {
		for wait := time.Microsecond; runtime.NumGoroutine() > before; wait *= 2 {
			if wait > time.Second {
				t.Errorf("%d goroutines before decoding, %d after Close", before, runtime.NumGoroutine())
				return
			}
			time.Sleep(wait)
		}
	}()
	out := &decoded{tables: make(map[string]*tableRows), rejected: make(map[string]int64)}
	opt := r.opt
	opt.Allocator = mem
	opt.Reject = func(b pipeline.BadRow) error {
		if b.Reason == "" || b.Err == nil {
			t.Errorf("row refused without reason or error: %+v", b)
		}
		out.rejected[b.Table]++
		return nil
	}
	dec, err := r.format.Open(ctx, r.src, r.desc, r.sel, opt)
	if err != nil {
		return nil, err
	}
	err = out.drain(ctx, t, dec, r)
	if cerr := dec.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("closing: %w", cerr)
	}
	return out, err
}

func (d *decoded) drain(ctx context.Context, t testing.TB, dec pipeline.Decoder, r reading) error {
	marks := make(map[string]int64) // no row of the table may come before
	everywhere := int64(math.MinInt64)
	for n := 0; ; n++ {
		if r.stopAfter > 0 && n == r.stopAfter {
			if r.cancel == nil {
				return nil
			}
			r.cancel()
		}
		el, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if el.Batch == nil {
			if el.Mark.Table == nil {
				everywhere = max(everywhere, el.Mark.Record)
			} else {
				marks[el.Mark.Table.Name] = max(marks[el.Mark.Table.Name], el.Mark.Record)
			}
			continue
		}
		b := el.Batch
		if limit := r.opt.BatchRows; limit > 0 && b.Rows() > limit {
			t.Errorf("a batch of %d rows, %d were allowed", b.Rows(), limit)
		}
		rows, err := d.add(b)
		name := b.Table.Name
		b.Release()
		if err != nil {
			return err
		}
		if r.sel.Order == pipeline.StorageOrder && len(rows) > 0 && (rows[0] < everywhere || rows[0] < marks[name]) {
			t.Errorf("table %s: row of record %d after the watermarks %d and %d", name, rows[0], everywhere, marks[name])
		}
	}
	d.counts, d.problems = dec.Counts(), dec.Problems()
	if r.sel.Order == pipeline.StorageOrder {
		for name, x := range d.tables {
			for i := 1; i < len(x.origins); i++ {
				if x.origins[i] <= x.origins[i-1] {
					t.Errorf("table %s: record %d after record %d", name, x.origins[i], x.origins[i-1])
					break
				}
			}
		}
	}
	d.checkCounts(t)
	return nil
}

// checkCounts holds the decoder's ledger against the rows it delivered.
func (d *decoded) checkCounts(t testing.TB) {
	seen := make(map[string]bool)
	for _, c := range d.counts {
		if seen[c.Table] {
			t.Errorf("table %s is counted twice", c.Table)
		}
		seen[c.Table] = true
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
		if rejected != d.rejected[c.Table] {
			t.Errorf("table %s: %d rows counted as rejected, Reject was told of %d", c.Table, rejected, d.rejected[c.Table])
		}
		rows := 0
		if x := d.tables[c.Table]; x != nil {
			rows = len(x.origins)
		}
		if c.Decoded != int64(rows) {
			t.Errorf("table %s: decoded %d, delivered %d", c.Table, c.Decoded, rows)
		}
	}
	for name := range d.tables {
		if !seen[name] {
			t.Errorf("table %s has rows and no counts", name)
		}
	}
}

// add takes the cells of a batch and returns the records of its rows.
func (d *decoded) add(b *pipeline.Batch) ([]int64, error) {
	x := d.tables[b.Table.Name]
	schema := b.Record.Schema()
	if x == nil {
		x = &tableRows{schema: schema, columns: make([][]uint64, schema.NumFields())}
		d.tables[b.Table.Name] = x
	}
	if !sameColumns(x.schema, schema) {
		return nil, fmt.Errorf("table %s: a batch has the columns %s, the one before %s", b.Table.Name, schema, x.schema)
	}
	var cell []byte
	for c, col := range b.Record.Columns() {
		for i := range b.Rows() {
			var err error
			if cell, err = appendCell(cell[:0], col, i); err != nil {
				return nil, fmt.Errorf("table %s: column %s: %w", b.Table.Name, schema.Field(c).Name, err)
			}
			x.columns[c] = append(x.columns[c], maphash.Bytes(cellSeed, cell))
		}
	}
	if at := b.Table.With(schema).Column(rangeClock(b.Table)); at >= 0 {
		if times, ok := b.Record.Column(at).(*arrow.Timestamp); ok {
			for i := range b.Rows() {
				x.times = append(x.times, int64(times.Value(i)))
			}
		}
	}
	from := len(x.origins)
	for i := range b.Rows() {
		x.origins = append(x.origins, b.Origin.At(i))
	}
	return x.origins[from:], nil
}

func sameColumns(a, b *arrow.Schema) bool {
	return slices.EqualFunc(a.Fields(), b.Fields(), func(p, q arrow.Field) bool {
		return p.Name == q.Name && arrow.TypeEqual(p.Type, q.Type)
	})
}

var cellSeed = maphash.MakeSeed()

// appendCell spells cell i so that two cells are spelt alike if and only if
// they hold the same value, to the bit.
func appendCell(dst []byte, a arrow.Array, i int) ([]byte, error) {
	if a.IsNull(i) {
		return append(dst, 0), nil
	}
	dst = append(dst, 1)
	list := func(values arrow.Array, from, to int) ([]byte, error) {
		dst = binary.AppendUvarint(dst, uint64(to-from))
		var err error
		for j := from; j < to && err == nil; j++ {
			dst, err = appendCell(dst, values, j)
		}
		return dst, err
	}
	number := func(v uint64) ([]byte, error) { return binary.LittleEndian.AppendUint64(dst, v), nil }
	text := func(s string) ([]byte, error) {
		return append(binary.AppendUvarint(dst, uint64(len(s))), s...), nil
	}
	switch a := a.(type) {
	case *arrow.Bool:
		if a.Value(i) {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case *arrow.Int8:
		return number(uint64(a.Value(i)))
	case *arrow.Int16:
		return number(uint64(a.Value(i)))
	case *arrow.Int32:
		return number(uint64(a.Value(i)))
	case *arrow.Int64:
		return number(uint64(a.Value(i)))
	case *arrow.Uint8:
		return number(uint64(a.Value(i)))
	case *arrow.Uint16:
		return number(uint64(a.Value(i)))
	case *arrow.Uint32:
		return number(uint64(a.Value(i)))
	case *arrow.Uint64:
		return number(a.Value(i))
	case *arrow.Float32:
		return number(uint64(math.Float32bits(a.Value(i))))
	case *arrow.Float64:
		return number(math.Float64bits(a.Value(i)))
	case *arrow.Timestamp:
		return number(uint64(a.Value(i)))
	case *arrow.Duration:
		return number(uint64(a.Value(i)))
	case *arrow.Date32:
		return number(uint64(a.Value(i)))
	case *arrow.Decimal128:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(a.Value(i).HighBits()))
		return number(a.Value(i).LowBits())
	case *arrow.String:
		return text(a.Value(i))
	case *arrow.Binary:
		return text(string(a.Value(i)))
	case *arrow.Dictionary:
		return appendCell(dst, a.Dictionary(), a.GetValueIndex(i))
	case *arrow.List:
		from, to := a.ValueOffsets(i)
		return list(a.ListValues(), int(from), int(to))
	case *arrow.FixedSizeList:
		n := int(a.DataType().(*arrow.FixedSizeListType).Len())
		at := (i + a.Data().Offset()) * n
		return list(a.ListValues(), at, at+n)
	case *arrow.Struct:
		var err error
		for f := 0; f < a.NumField() && err == nil; f++ {
			dst, err = appendCell(dst, a.Field(f), i)
		}
		return dst, err
	}
	return nil, fmt.Errorf("the suite cannot compare columns of type %s", a.DataType())
}

// equalRows compares the rows of two readings of the same tables.
func equalRows(t testing.TB, what string, want, got *decoded) {
	t.Helper()
	for name, w := range want.tables {
		g := got.tables[name]
		if g == nil {
			t.Errorf("%s: table %s: no rows, want %d", what, name, len(w.origins))
			continue
		}
		equalTable(t, what+": table "+name, w, g)
	}
	for name, g := range got.tables {
		if want.tables[name] == nil {
			t.Errorf("%s: table %s: %d rows, want none", what, name, len(g.origins))
		}
	}
}

// equalTable wants the columns that got has to be those of want.
func equalTable(t testing.TB, what string, want, got *tableRows) {
	t.Helper()
	if !slices.Equal(want.origins, got.origins) {
		t.Errorf("%s: %d rows, want %d, or of other records", what, len(got.origins), len(want.origins))
		return
	}
	for c, f := range got.schema.Fields() {
		w := want.column(f.Name)
		for i, cell := range got.columns[c] {
			if w == nil || w[i] != cell {
				t.Errorf("%s: column %s: row %d differs", what, f.Name, i)
				break
			}
		}
	}
}

// pick returns the rows at the given positions.
func (r *tableRows) pick(rows []int) *tableRows {
	out := &tableRows{schema: r.schema, columns: make([][]uint64, len(r.columns))}
	for _, i := range rows {
		out.origins = append(out.origins, r.origins[i])
		if r.times != nil {
			out.times = append(out.times, r.times[i])
		}
		for c := range r.columns {
			out.columns[c] = append(out.columns[c], r.columns[c][i])
		}
	}
	return out
}

// object puts data into a store in memory and opens it.
func object(t testing.TB, name string, data []byte) (pipeline.Store, pipeline.Object, pipeline.Source) {
	t.Helper()
	ctx := t.Context()
	st, err := store.Open(ctx, "mem://"+t.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Put(ctx, name, data); err != nil {
		t.Fatal(err)
	}
	obj, err := st.Stat(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	src, err := st.Open(ctx, obj)
	if err != nil {
		t.Fatal(err)
	}
	return st, obj, src
}
