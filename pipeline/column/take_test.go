package column

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// batchTypes has every type a batch may hold, nested ones included.
var batchTypes = []arrow.DataType{
	arrow.NullType, arrow.BoolType,
	arrow.Int8Type, arrow.Int16Type, arrow.Int32Type, arrow.Int64Type,
	arrow.Uint8Type, arrow.Uint16Type, arrow.Uint32Type, arrow.Uint64Type,
	arrow.Float32Type, arrow.Float64Type, arrow.StringType, arrow.BinaryType,
	arrow.Date32Type, arrow.TimeType, arrow.SpanType, arrow.LabelType,
	&arrow.Decimal128Type{Precision: 20},
	arrow.ListOf(arrow.Int32Type), arrow.ListOf(arrow.StringType),
	arrow.FixedSizeListOf(3, arrow.Float64Type), arrow.FixedSizeListOf(2, arrow.BoolType),
	arrow.StructOf(arrow.Field{Name: "a", Type: arrow.Int64Type, Nullable: true}, arrow.Field{Name: "b", Type: arrow.StringType, Nullable: true}),
	arrow.ListOf(arrow.StructOf(arrow.Field{Name: "p", Type: arrow.FixedSizeListOf(2, arrow.Uint8Type), Nullable: true})),
}

// fill appends one random value.
func fill(t *rapid.T, c *Column, nulls bool) {
	if nulls && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
		c.AppendNull()
		return
	}
	switch c.Kind {
	case Empty:
		c.AppendNull()
	case Bits:
		c.AppendBool(rapid.Bool().Draw(t, "bool"))
	case Fixed:
		v := make([]byte, c.Width)
		v[0] = byte(rapid.IntRange(0, 7).Draw(t, "value"))
		c.AppendFixed(v)
	case Var:
		c.AppendString(rapid.StringMatching(`[ab]{0,5}`).Draw(t, "string"))
	case List:
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			fill(t, c.Children[0], nulls)
		}
		c.CloseValue(c.Children[0].N)
	case FixedList:
		for range c.Width {
			fill(t, c.Children[0], nulls)
		}
		c.N++
	case Struct:
		for _, ch := range c.Children {
			fill(t, ch, nulls)
		}
		c.N++
	}
}

// drawArray makes a random array, cut out of a longer one.
func drawArray(t *rapid.T, mem arrow.Allocator, dt arrow.DataType, n int) arrow.Array {
	front, back := rapid.IntRange(0, 9).Draw(t, "front"), rapid.IntRange(0, 3).Draw(t, "back")
	nulls := rapid.Bool().Draw(t, "nulls")
	var whole arrow.Array
	if dt.ID() == arrow.DICTIONARY {
		size := rapid.IntRange(1, 4).Draw(t, "labels")
		dict, codes := New(mem, arrow.StringType), New(mem, arrow.Int32Type)
		for range size {
			dict.AppendString(rapid.StringMatching(`[ab]{0,2}`).Draw(t, "label"))
		}
		for range front + n + back {
			if nulls && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
				codes.AppendNull()
			} else {
				codes.AppendInt32(int32(rapid.IntRange(0, size-1).Draw(t, "code")))
			}
		}
		d, c := dict.Finish(), codes.Finish()
		whole = arrow.NewDictionaryArray(dt, c, d)
		d.Release()
		c.Release()
	} else {
		c := New(mem, dt)
		for range front + n + back {
			fill(t, c, nulls)
		}
		whole = c.Finish()
	}
	defer whole.Release()
	return arrow.NewSlice(whole, int64(front), int64(front+n))
}

// cell is the naive access to one value.
func cell(a arrow.Array, i int) string {
	if a.IsNull(i) || a.DataType().ID() == arrow.NULL {
		return "null"
	}
	if d, ok := a.(*arrow.Dictionary); ok {
		return cell(d.Dictionary(), d.GetValueIndex(i))
	}
	return "=" + a.ValueStr(i)
}

func oneColumn(a arrow.Array) arrow.Record {
	s := arrow.NewSchema([]arrow.Field{{Name: "c", Type: a.DataType(), Nullable: true}}, nil)
	return arrow.NewRecord(s, []arrow.Array{a}, int64(a.Len()))
}

func TestTakeAgreesWithRows(t *testing.T) {
	for _, dt := range batchTypes {
		t.Run(dt.String(), rapid.MakeCheck(func(t *rapid.T) {
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			defer mem.AssertSize(t, 0)
			n := rapid.IntRange(0, 20).Draw(t, "rows")
			arr := drawArray(t, mem, dt, n)
			defer arr.Release()
			var rows []int32
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				from := rapid.IntRange(0, n).Draw(t, "from")
				for i := from; i < rapid.IntRange(from, n).Draw(t, "to"); i++ {
					rows = append(rows, int32(i))
				}
			case 1:
				for i := range n {
					if rapid.Bool().Draw(t, "keep") {
						rows = append(rows, int32(i))
					}
				}
			default:
				if n > 0 {
					rows = rapid.SliceOfN(rapid.Int32Range(0, int32(n-1)), 0, 30).Draw(t, "rows")
				}
			}
			got, err := Take(mem, arr, rows)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Release()
			if got.Len() != len(rows) || !arrow.TypeEqual(got.DataType(), dt) {
				t.Fatalf("%d rows of %s, want %d of %s", got.Len(), got.DataType(), len(rows), dt)
			}
			nulls := 0
			for i, r := range rows {
				if g, w := cell(got, i), cell(arr, int(r)); g != w {
					t.Fatalf("row %d: %s, want %s", i, g, w)
				}
				if got.IsNull(i) {
					nulls++
				}
			}
			if got.NullN() != nulls && dt.ID() != arrow.NULL {
				t.Fatalf("%d nulls declared, %d found", got.NullN(), nulls)
			}
			outer := append(slices.Clone(rows), -1)
			got2, err := TakeNulls(mem, arr, outer)
			if err != nil {
				t.Fatal(err)
			}
			defer got2.Release()
			for i, r := range outer {
				w := "null"
				if r >= 0 {
					w = cell(arr, int(r))
				}
				if g := cell(got2, i); g != w {
					t.Fatalf("outer row %d: %s, want %s", i, g, w)
				}
			}
		}))
	}
}

func TestConcatAndInterleaveAgreeWithRows(t *testing.T) {
	for _, dt := range batchTypes {
		t.Run(dt.String(), rapid.MakeCheck(func(t *rapid.T) {
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			defer mem.AssertSize(t, 0)
			var arrs []arrow.Array
			var recs []arrow.Record
			var want []string
			var all []Run
			for i := range rapid.IntRange(1, 4).Draw(t, "arrays") {
				a := drawArray(t, mem, dt, rapid.IntRange(0, 8).Draw(t, "rows"))
				defer a.Release()
				r := oneColumn(a)
				defer r.Release()
				arrs, recs = append(arrs, a), append(recs, r)
				for j := range a.Len() {
					want = append(want, cell(a, j))
					all = append(all, Run{int32(i), int32(j), int32(rapid.IntRange(j+1, a.Len()).Draw(t, "end"))})
				}
			}
			got, err := Concat(mem, arrs)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Release()
			for i, w := range want {
				if g := cell(got, i); g != w {
					t.Fatalf("row %d: %s, want %s", i, g, w)
				}
			}
			if got.Len() != len(want) {
				t.Fatalf("%d rows, want %d", got.Len(), len(want))
			}
			var runs []Run
			if len(all) > 0 {
				runs = rapid.SliceOfN(rapid.SampledFrom(all), 0, 20).Draw(t, "runs")
			}
			rec, err := Interleave(mem, recs, runs)
			if err != nil {
				t.Fatal(err)
			}
			defer rec.Release()
			row := 0
			for _, r := range runs {
				for at := r.From; at < r.To; at++ {
					if g, w := cell(rec.Column(0), row), cell(arrs[r.Rec], int(at)); g != w {
						t.Fatalf("row %d: %s, want %s", row, g, w)
					}
					row++
				}
			}
			if int(rec.NumRows()) != row || rec.Column(0).Len() != row {
				t.Fatalf("%d rows, %d in the column, want %d", rec.NumRows(), rec.Column(0).Len(), row)
			}
		}))
	}
}

func TestSortRowsAgreesWithInsertion(t *testing.T) {
	for _, dt := range batchTypes {
		t.Run(dt.String(), rapid.MakeCheck(func(t *rapid.T) {
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			defer mem.AssertSize(t, 0)
			n := rapid.IntRange(0, 20).Draw(t, "rows")
			a := drawArray(t, mem, dt, n)
			defer a.Release()
			rec := oneColumn(a)
			defer rec.Release()
			rows, err := SortRows(rec, []int{0})
			switch dt.ID() {
			case arrow.LIST, arrow.FIXED_SIZE_LIST, arrow.STRUCT:
				if n > 1 && a.NullN() < n && !errors.Is(err, pipeline.ErrUnsupported) {
					t.Fatalf("sorting %s: %v", dt, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if rows == nil {
				for i := range n {
					rows = append(rows, int32(i))
				}
			}
			less := func(i, j int32) bool {
				x, y := cell(a, int(i)), cell(a, int(j))
				if x == "null" || y == "null" {
					return x == "null" && y != "null"
				}
				if dt.ID() != arrow.DICTIONARY && New(mem, dt).Kind == Fixed {
					// The generator only sets the lowest byte.
					w, off := New(mem, dt).Width, a.Data().Offset()
					raw := a.Data().Buffers()[1].Bytes()
					return raw[(off+int(i))*w] < raw[(off+int(j))*w]
				}
				return x < y
			}
			want := make([]int32, 0, n)
			for i := range int32(n) {
				at := len(want)
				for at > 0 && less(i, want[at-1]) {
					at--
				}
				want = slices.Insert(want, at, i)
			}
			if !slices.Equal(rows, want) {
				t.Fatalf("order %v, want %v", rows, want)
			}
		}))
	}
}

func TestSortRowsNumbers(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	f, i, u := New(mem, arrow.Float64Type), New(mem, arrow.Int64Type), New(mem, arrow.Uint64Type)
	for k, v := range []float64{math.NaN(), math.Inf(1), 1, math.Copysign(0, -1), 0, -1, math.Inf(-1)} {
		f.AppendFloat64(v)
		i.AppendInt64([]int64{math.MaxInt64, 5, 5, 0, -1, -5, math.MinInt64}[k])
		u.AppendInt64([]int64{-1, math.MinInt64, math.MaxInt64, 3, 2, 1, 0}[k])
	}
	cols := []arrow.Array{f.Finish(), i.Finish(), u.Finish()}
	rec := arrow.NewRecord(arrow.NewSchema([]arrow.Field{
		{Name: "f", Type: arrow.Float64Type}, {Name: "i", Type: arrow.Int64Type}, {Name: "u", Type: arrow.Uint64Type},
	}, nil), cols, 7)
	defer rec.Release()
	for _, c := range cols {
		c.Release()
	}
	for key, want := range [][]int32{{6, 5, 3, 4, 2, 1, 0}, {6, 5, 4, 3, 1, 2, 0}, {6, 5, 4, 3, 2, 1, 0}} {
		got, err := SortRows(rec, []int{key})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("by %s: %v, %v, want %v", rec.ColumnName(key), got, err, want)
		}
	}
	if got, err := SortRows(rec, []int{0, 1}); err != nil || !slices.Equal(got, []int32{6, 5, 4, 3, 2, 1, 0}) {
		t.Errorf("by f and i: %v, %v", got, err)
	}
}

// A few rows of a large record must not keep it alive.
func TestTakeCopiesShortRuns(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	c := New(mem, arrow.Int64Type)
	for i := range 1000 {
		c.AppendInt64(int64(i))
	}
	a := c.Finish()
	few, err := Take(mem, a, []int32{500, 501})
	if err != nil {
		t.Fatal(err)
	}
	a.Release()
	if left := mem.CurrentAlloc(); left != 16 {
		t.Errorf("%d bytes held for two rows", left)
	}
	if got := few.(*arrow.Int64).Value(1); got != 501 {
		t.Errorf("value %d, want 501", got)
	}
	few.Release()
}

func BenchmarkTake(b *testing.B) {
	mem := arrow.NewGoAllocator()
	const n = 64 << 10
	var rows []int32
	for i := range int32(n) {
		if i%3 != 0 {
			rows = append(rows, i)
		}
	}
	for _, dt := range []arrow.DataType{arrow.Float64Type, arrow.Int32Type, arrow.BoolType, arrow.StringType, arrow.FixedSizeListOf(9, arrow.Float64Type)} {
		c := New(mem, dt)
		for i := range n {
			switch c.Kind {
			case Fixed:
				c.AppendFixed(make([]byte, c.Width))
			case Bits:
				c.AppendBool(i%2 == 0)
			case Var:
				c.AppendString(fmt.Sprintf("value %d", i))
			case FixedList:
				for range c.Width {
					c.Children[0].AppendFloat64(float64(i))
				}
				c.N++
			}
		}
		arr := c.Finish()
		b.Run(dt.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out, err := Take(mem, arr, rows)
				if err != nil || out.Len() != len(rows) {
					b.Fatalf("%d rows, %v", out.Len(), err)
				}
				out.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
		})
	}
}

func BenchmarkSortRows(b *testing.B) {
	mem := arrow.NewGoAllocator()
	const n = 64 << 10
	for _, shuffled := range []bool{false, true} {
		c := New(mem, arrow.TimeType)
		for i := range n {
			v := int64(i)
			if shuffled {
				v = int64(uint64(i) * 0x9e3779b97f4a7c15 >> 1)
			}
			c.AppendInt64(v)
		}
		a := c.Finish()
		rec := oneColumn(a)
		b.Run(fmt.Sprintf("shuffled=%v", shuffled), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rows, err := SortRows(rec, []int{0})
				if err != nil || (rows != nil) != shuffled {
					b.Fatal(len(rows), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
