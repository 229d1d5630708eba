package conversion

import (
	"fmt"
	"math"
	"math/big"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// doubles worth drawing often: edges of integers, of ranges, of the format.
var oddDoubles = []float64{
	0, math.Copysign(0, -1), 1, -1, 2, 3, 0.5, -0.5, 255, 1 << 53, 1<<53 + 2, -(1 << 53), 1 << 63, 1 << 64, -(1 << 63),
	math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64,
}

func drawDouble(t *rapid.T, name string) float64 {
	if rapid.Bool().Draw(t, name+" odd") {
		return rapid.SampledFrom(oddDoubles).Draw(t, name)
	}
	return float64(rapid.IntRange(-40, 40).Draw(t, name)) / 2
}

func drawRef(t *rapid.T, depth int) Ref {
	switch rapid.IntRange(0, 4).Draw(t, "ref") {
	case 0:
		return Ref{}
	case 1:
		if depth > 0 {
			return Ref{Conversion: drawBlock(t, depth-1)}
		}
	}
	s := rapid.SampledFrom([]string{"", "on", "off", "fünf", "error|x"}).Draw(t, "text")
	return Ref{Text: &s}
}

func drawBlock(t *rapid.T, depth int) *Block {
	b := &Block{Type: uint8(rapid.SampledFrom([]int{0, 1, 2, 4, 5, 6, 7, 8, 11}).Draw(t, "type"))}
	b.Name = rapid.SampledFrom([]string{"", "A", "gear"}).Draw(t, "name")
	values := func(n int) {
		for range n {
			b.Values = append(b.Values, drawDouble(t, "value"))
		}
	}
	rows := rapid.IntRange(1, 6).Draw(t, "rows")
	switch b.Type {
	case typeLinear:
		values(2)
	case typeRational:
		values(6)
	case typeInterpolate, typeNearest:
		// The standard wants ascending keys; whole ones, so that ties are exact.
		keys := rapid.SliceOfNDistinct(rapid.IntRange(-30, 30), rows, rows, rapid.ID[int]).Draw(t, "keys")
		sort.Ints(keys)
		for _, k := range keys {
			b.Values = append(b.Values, float64(k), float64(rapid.IntRange(-9, 9).Draw(t, "value")))
		}
	case typeRangeToValue:
		values(3*rows + 1)
	case typeValueToText:
		values(rows)
	case typeRangeToText:
		values(2 * rows)
	case typeBitfieldText:
		for range rows {
			b.Masks = append(b.Masks, rapid.Uint64().Draw(t, "mask"))
			r := Ref{}
			if depth > 0 && rapid.Bool().Draw(t, "rule") {
				r.Conversion = drawBlock(t, depth-1)
			}
			b.Refs = append(b.Refs, r)
		}
	}
	if b.Type == typeValueToText || b.Type == typeRangeToText {
		if rapid.Bool().Draw(t, "status") {
			b.Flags = flagStatusStrings
		}
		for range rows + 1 {
			b.Refs = append(b.Refs, drawRef(t, depth))
		}
	}
	return b
}

// rawTypes are the types of raw columns, each with how to draw and append one.
var rawTypes = []struct {
	typ  arrow.DataType
	draw func(*rapid.T, *column.Column) number
}{
	{arrow.Float64Type, func(t *rapid.T, c *column.Column) number {
		v := drawDouble(t, "x")
		if rapid.IntRange(0, 9).Draw(t, "nan") == 0 {
			v = math.NaN()
		}
		c.AppendFloat64(v)
		return number{float: v}
	}},
	{arrow.Float32Type, func(t *rapid.T, c *column.Column) number {
		v := float32(drawDouble(t, "x"))
		c.AppendInt32(int32(math.Float32bits(v)))
		return number{float: float64(v)}
	}},
	{arrow.Int64Type, func(t *rapid.T, c *column.Column) number {
		v := rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 1 << 53, 1<<53 + 1, 1<<53 + 2, -1<<53 - 1, 0, -1}).Draw(t, "x")
		if rapid.Bool().Draw(t, "small") {
			v = int64(rapid.IntRange(-40, 40).Draw(t, "x"))
		}
		c.AppendInt64(v)
		return number{integer: big.NewInt(v)}
	}},
	{arrow.Uint64Type, func(t *rapid.T, c *column.Column) number {
		v := rapid.SampledFrom([]uint64{math.MaxUint64, 1 << 63, 1<<63 + 1, 1<<53 + 1, 1<<53 + 2, 0, 3, 255}).Draw(t, "x")
		c.AppendInt64(int64(v))
		return number{integer: new(big.Int).SetUint64(v)}
	}},
	{arrow.Int8Type, func(t *rapid.T, c *column.Column) number {
		v := rapid.Int8().Draw(t, "x")
		c.AppendFixed([]byte{byte(v)})
		return number{integer: big.NewInt(int64(v))}
	}},
	{arrow.Uint16Type, func(t *rapid.T, c *column.Column) number {
		v := rapid.Uint16().Draw(t, "x")
		c.AppendFixed([]byte{byte(v), byte(v >> 8)})
		return number{integer: big.NewInt(int64(v))}
	}},
}

// Converters and the reference agree on every rule, nested or not, for every
// type of raw value, with nulls, and however the rows are cut into calls.
func TestAgainstReference(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	rapid.Check(t, func(t *rapid.T) {
		b := drawBlock(t, 3)
		p, err := Compile(b, Numeric)
		if err != nil {
			t.Fatalf("%v", err)
		}
		kind := rapid.SampledFrom(rawTypes).Draw(t, "raw")
		raw := column.New(mem, kind.typ)
		value, label := column.New(mem, arrow.Float64Type), column.New(mem, arrow.StringType)
		defer raw.Release()
		defer value.Release()
		defer label.Release()
		n := rapid.IntRange(0, 30).Draw(t, "rows")
		rows := make([]*number, n)
		for i := range n {
			if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
				raw.AppendNull()
				continue
			}
			x := kind.draw(t, raw)
			rows[i] = &x
		}
		// Rows before and after cross the edges of blocks.
		cut := rapid.IntRange(0, n).Draw(t, "cut")
		c := p.NewConverter()
		c.Apply(raw, 0, cut, value, label)
		c.Apply(raw, cut, n, value, label)

		out := p.Output()
		if out.Value && value.N != n || out.Label && label.N != n {
			t.Fatalf("%d values and %d labels of %d rows", value.N, label.N, n)
		}
		if !out.Value && value.N != 0 || !out.Label && label.N != 0 {
			t.Fatal("cells in a column that the output does not have")
		}
		for i, x := range rows {
			var want meaning
			if x != nil {
				want = reference(b, *x, true)
			}
			if out.Value {
				compareValue(t, i, value, want.num)
			} else if want.num != nil && !out.Identity() {
				t.Fatalf("row %d: the value %g has no column", i, *want.num)
			}
			if out.Label {
				compareLabel(t, i, label, want.label)
			} else if want.label != nil {
				t.Fatalf("row %d: the label %q has no column", i, *want.label)
			}
		}
	})
}

func compareValue(t *rapid.T, i int, c *column.Column, want *float64) {
	if (want != nil) != c.Valid(i) {
		t.Fatalf("row %d: value there %v, want %v", i, c.Valid(i), want != nil)
	}
	if want == nil {
		return
	}
	if got := doubleAt(c, i); got != *want && (got == got || *want == *want) {
		t.Fatalf("row %d: value %g, want %g", i, got, *want)
	}
}

func compareLabel(t *rapid.T, i int, c *column.Column, want *string) {
	if (want != nil) != c.Valid(i) {
		t.Fatalf("row %d: label there %v, want %v", i, c.Valid(i), want != nil)
	}
	if want != nil && textAt(c, i) != *want {
		t.Fatalf("row %d: label %q, want %q", i, textAt(c, i), *want)
	}
}

// tree is a formula that evaluates itself.
type tree struct {
	text string
	eval func(x float64) float64
}

func drawTree(t *rapid.T, depth int) tree {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if depth == 0 {
		kind = min(kind, 1)
	}
	switch kind {
	case 0:
		return tree{rapid.SampledFrom([]string{"X", "x", "X1", " x1 "}).Draw(t, "name"), func(x float64) float64 { return x }}
	case 1:
		v := rapid.SampledFrom([]float64{0, 1, 2, 0.25, 1e3, 42, 0x10}).Draw(t, "number")
		text := fmt.Sprintf("%g", v)
		if v == 16 && rapid.Bool().Draw(t, "hex") {
			text = "0x10"
		}
		return tree{text, func(float64) float64 { return v }}
	case 2:
		a := drawTree(t, depth-1)
		f := rapid.SampledFrom([]struct {
			name string
			f    func(float64) float64
		}{{"sin", math.Sin}, {"COS", math.Cos}, {"abs", math.Abs}, {"sqrt", math.Sqrt}, {"ln", math.Log}, {"log", math.Log10}, {"exp", math.Exp},
			{"arctan", math.Atan}, {"tanh", math.Tanh}}).Draw(t, "function")
		return tree{f.name + "(" + a.text + ")", func(x float64) float64 { return f.f(a.eval(x)) }}
	case 3:
		a := drawTree(t, depth-1)
		return tree{"(-" + a.text + ")", func(x float64) float64 { return -a.eval(x) }}
	}
	a, b := drawTree(t, depth-1), drawTree(t, depth-1)
	op := rapid.SampledFrom([]struct {
		sign string
		f    func(a, b float64) float64
	}{
		{"+", func(a, b float64) float64 { return a + b }},
		{"-", func(a, b float64) float64 { return a - b }},
		{"*", func(a, b float64) float64 { return a * b }},
		{"/", func(a, b float64) float64 { return a / b }},
		{"^", math.Pow},
		{"<", func(a, b float64) float64 { return truth(a < b) }},
		{"!=", func(a, b float64) float64 { return truth(a != b) }},
		{"&&", func(a, b float64) float64 { return truth(a != 0 && b != 0) }},
		{"XOR", func(a, b float64) float64 { return bitOp(fBitXor, a, b) }},
	}).Draw(t, "operator")
	return tree{"(" + a.text + " " + op.sign + " " + b.text + ")", func(x float64) float64 { return op.f(a.eval(x), b.eval(x)) }}
}

// Formulas give what their tree gives, row by row.
func TestFormulaAgainstTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawTree(t, 4)
		f, err := parseFormula(e.text)
		if err != nil {
			t.Fatalf("%q: %v", e.text, err)
		}
		x := []float64{0, 1, -1, 0.5, 300, math.Inf(1), math.Inf(-1), math.NaN()}
		y := make([]float64, len(x))
		f.eval(y, x, nil)
		for i := range x {
			if want := e.eval(x[i]); y[i] != want && (want == want || y[i] == y[i]) {
				t.Fatalf("%q of %g is %g, want %g", e.text, x[i], y[i], want)
			}
		}
	})
}
