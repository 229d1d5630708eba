package column_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// fill appends n random values to a column of any type.
func fill(t *rapid.T, c *column.Column, n int) {
	for range n {
		if c.Kind != column.Empty && rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			c.AppendNull()
			continue
		}
		switch c.Kind {
		case column.Fixed:
			c.AppendFixed(rapid.SliceOfN(rapid.Byte(), c.Width, c.Width).Draw(t, "value"))
		case column.Bits:
			c.AppendBool(rapid.Bool().Draw(t, "bit"))
		case column.Var:
			c.AppendString(rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "text"))
		case column.List:
			fill(t, c.Children[0], rapid.IntRange(0, 3).Draw(t, "length"))
			c.CloseValue(c.Children[0].N)
		case column.FixedList:
			fill(t, c.Children[0], c.Width)
			c.N++
		case column.Struct:
			for _, ch := range c.Children {
				fill(t, ch, 1)
			}
			c.N++
		case column.Empty:
			c.AppendNull()
		}
	}
}

func TestAppendRangeEqualsSlices(t *testing.T) {
	types := []arrow.DataType{
		arrow.Int32Type, arrow.BoolType, arrow.StringType, arrow.NullType,
		arrow.ListOf(arrow.StringType), arrow.ListOf(arrow.BoolType), arrow.FixedSizeListOf(3, arrow.Int16Type),
		arrow.ListOf(arrow.StructOf(arrow.Field{Name: "a", Type: arrow.Int64Type, Nullable: true}, arrow.Field{Name: "b", Type: arrow.ListOf(arrow.BoolType), Nullable: true})),
	}
	rapid.Check(t, func(t *rapid.T) {
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		typ := rapid.SampledFrom(types).Draw(t, "type")
		src, dst := column.New(mem, typ), column.New(mem, typ)
		fill(t, src, rapid.IntRange(0, 30).Draw(t, "n"))
		n := src.N
		var cuts [][2]int
		for range rapid.IntRange(0, 4).Draw(t, "cuts") {
			from := rapid.IntRange(0, n).Draw(t, "from")
			to := rapid.IntRange(from, n).Draw(t, "to")
			cuts = append(cuts, [2]int{from, to})
			dst.AppendRange(src, from, to)
		}
		got, whole := dst.Finish(), src.Finish()
		at := 0
		for _, c := range cuts {
			a := arrow.NewSlice(got, int64(at), int64(at+c[1]-c[0]))
			b := arrow.NewSlice(whole, int64(c[0]), int64(c[1]))
			if !arrow.ArrayEqual(a, b) || a.NullN() != b.NullN() {
				t.Fatalf("%s: rows %v: got %v, want %v", typ, c, a, b)
			}
			a.Release()
			b.Release()
			at += c[1] - c[0]
		}
		if got.Len() != at {
			t.Fatalf("%d rows, want %d", got.Len(), at)
		}
		got.Release()
		whole.Release()
		mem.AssertSize(t, 0)
	})
}
