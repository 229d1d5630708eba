package spill

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// types are what batches are made of.
var types = []arrow.DataType{
	arrow.NullType, arrow.BoolType, arrow.Int8Type, arrow.Uint16Type, arrow.Int32Type, arrow.Int64Type, arrow.Float64Type,
	arrow.StringType, arrow.BinaryType, arrow.TimeType, arrow.Date32Type, arrow.LabelType, &arrow.Decimal128Type{Precision: 20},
	arrow.ListOf(arrow.Int32Type), arrow.FixedSizeListOf(3, arrow.Float64Type), arrow.FixedSizeListOf(2, arrow.BoolType),
	arrow.ListOf(arrow.StructOf(arrow.Field{Name: "a", Type: arrow.StringType, Nullable: true}, arrow.Field{Name: "b", Type: arrow.BoolType, Nullable: true})),
}

// fill appends a random value.
func fill(r *rand.Rand, c *column.Column) {
	if r.IntN(4) == 0 {
		c.AppendNull()
		return
	}
	switch c.Kind {
	case column.Empty:
		c.AppendNull()
	case column.Bits:
		c.AppendBool(r.IntN(2) == 0)
	case column.Fixed:
		v := make([]byte, c.Width)
		v[0] = byte(r.IntN(256))
		c.AppendFixed(v)
	case column.Var:
		c.AppendString(strings.Repeat("x", r.IntN(9)))
	case column.List:
		for range r.IntN(4) {
			fill(r, c.Children[0])
		}
		c.CloseValue(c.Children[0].N)
	case column.FixedList:
		for range c.Width {
			fill(r, c.Children[0])
		}
		c.N++
	case column.Struct:
		for _, ch := range c.Children {
			fill(r, ch)
		}
		c.N++
	}
}

func array(r *rand.Rand, mem arrow.Allocator, t arrow.DataType, n int) arrow.Array {
	if t.ID() != arrow.DICTIONARY {
		c := column.New(mem, t)
		for range n {
			fill(r, c)
		}
		return c.Finish()
	}
	labels, codes := column.New(mem, arrow.StringType), column.New(mem, arrow.Int32Type)
	for _, s := range []string{"a", "", "long label"} {
		labels.AppendString(s)
	}
	for range n {
		codes.AppendInt32(int32(r.IntN(3)))
	}
	l, c := labels.Finish(), codes.Finish()
	defer l.Release()
	defer c.Release()
	return arrow.NewDictionaryArray(t, c, l)
}

// record makes a record of all types, cut out of a longer one.
func record(r *rand.Rand, mem arrow.Allocator) arrow.Record {
	n := r.IntN(200)
	var fields []arrow.Field
	var cols []arrow.Array
	for i, t := range types {
		fields = append(fields, arrow.Field{Name: string(rune('a' + i)), Type: t, Nullable: true})
		cols = append(cols, array(r, mem, t, n))
	}
	rec := arrow.NewRecord(arrow.NewSchema(fields, nil), cols, int64(n))
	defer rec.Release()
	for _, c := range cols {
		c.Release()
	}
	from := r.IntN(n + 1)
	return rec.NewSlice(int64(from), int64(from+r.IntN(n-from+1)))
}

// Records come back as they were, in any order, whatever was freed between.
func TestRecordsComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	space := NewSpace(t.TempDir(), 0)
	f, err := space.open()
	if err != nil {
		t.Fatal(err)
	}
	type kept struct {
		rec arrow.Record
		seg pipeline.SpillRef
	}
	var all []kept
	check := func(k kept) {
		got, err := f.Read(mem, k.rec.Schema(), k.seg)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Release()
		if got.NumRows() != k.rec.NumRows() || k.seg.Rows != k.rec.NumRows() {
			t.Fatalf("%d rows, want %d", got.NumRows(), k.rec.NumRows())
		}
		for i := range types {
			a, b := got.Column(i), k.rec.Column(i)
			for row := range a.Len() {
				if a.IsNull(row) != b.IsNull(row) || !a.IsNull(row) && a.ValueStr(row) != b.ValueStr(row) {
					t.Fatalf("%s, row %d: %s, want %s", types[i], row, a.ValueStr(row), b.ValueStr(row))
				}
			}
		}
	}
	for range 300 {
		if len(all) > 0 && r.IntN(3) == 0 {
			i := r.IntN(len(all))
			check(all[i])
			f.Free(all[i].seg)
			all[i].rec.Release()
			all = append(all[:i], all[i+1:]...)
			continue
		}
		rec := record(r, mem)
		seg, err := f.Write(rec)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, kept{rec, seg})
	}
	var held int64
	for _, k := range all {
		check(k)
		held += k.seg.Size
	}
	if used := space.used.Load(); used != held {
		t.Errorf("%d bytes are in use, %d are held", used, held)
	}
	if space.Total() <= f.end {
		t.Error("freed space was not used again")
	}
	for i, k := range all {
		k.rec.Release()
		if i%2 == 0 {
			f.Free(k.seg)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if used := space.used.Load(); used != 0 {
		t.Errorf("%d bytes are in use after all is closed", used)
	}
}

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	space := NewSpace(dir, 100)
	f, err := space.open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rec := record(rand.New(rand.NewPCG(3, 4)), arrow.NewGoAllocator())
	defer rec.Release()
	if _, err := f.Write(rec); !errors.Is(err, pipeline.ErrLimit) || space.used.Load() != 0 {
		t.Errorf("beyond the limit: %v, %d bytes in use", err, space.used.Load())
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("%d files have a name, %v", len(names), err)
	}
	if err := NewSpace(filepath.Join(dir, "missing"), 0).Check(); err == nil {
		t.Error("a directory that is not there")
	}
	if err := space.Check(); err != nil {
		t.Error(err)
	}
}
