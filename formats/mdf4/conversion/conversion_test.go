package conversion

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

func doubleAt(c *column.Column, i int) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(c.Data[8*i:]))
}

func textAt(c *column.Column, i int) string { return string(c.Data[c.Offsets[i]:c.Offsets[i+1]]) }

func text(s string) Ref { return Ref{Text: &s} }

func rule(b *Block) Ref { return Ref{Conversion: b} }

// convert applies b to numbers and shows each row as value/label, with - where
// there is none.
func convert[T int64 | uint64 | float64](t *testing.T, b *Block, xs ...T) string {
	t.Helper()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	p, err := Compile(b, Numeric)
	if err != nil {
		t.Fatal(err)
	}
	typ := arrow.Float64Type
	switch any(xs[0]).(type) {
	case int64:
		typ = arrow.Int64Type
	case uint64:
		typ = arrow.Uint64Type
	}
	raw := column.New(mem, typ)
	for _, x := range xs {
		if f, ok := any(x).(float64); ok {
			raw.AppendFloat64(f)
		} else {
			raw.AppendInt64(int64(x))
		}
	}
	return show(p, mem, raw)
}

func show(p *Program, mem arrow.Allocator, raw *column.Column) string {
	value, label := column.New(mem, arrow.Float64Type), column.New(mem, arrow.StringType)
	defer raw.Release()
	defer value.Release()
	defer label.Release()
	p.NewConverter().Apply(raw, 0, raw.N, value, label)
	var rows []string
	for i := range raw.N {
		s := ""
		if p.out.Value {
			s = "-"
			if value.Valid(i) {
				s = fmt.Sprint(doubleAt(value, i))
			}
		}
		if p.out.Label || p.out.Text {
			l := "-"
			if label.Valid(i) {
				l = textAt(label, i)
			}
			s = strings.TrimPrefix(s+"/"+l, "/")
		}
		rows = append(rows, s)
	}
	return strings.Join(rows, " ")
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The values are those of the rules' definitions, worked out by hand.
func TestChecklist(t *testing.T) {
	t.Run("21 type 0 identity", func(t *testing.T) {
		for _, b := range []*Block{nil, {Type: 0}, {Type: 1, Values: []float64{0, 1}}} {
			p, err := Compile(b, Numeric)
			if err != nil || !p.Output().Identity() {
				t.Errorf("%+v: output %+v, error %v", b, p.Output(), err)
			}
		}
	})
	t.Run("21 type 1 linear", func(t *testing.T) {
		expect(t, convert[int64](t, &Block{Type: 1, Values: []float64{-5, 2}}, 0, 1, -3), "-5 -3 -11")
	})
	t.Run("21 type 2 rational", func(t *testing.T) {
		b := &Block{Type: 2, Values: []float64{1, 2, 3, 4, 5, 6}}
		expect(t, convert[int64](t, b, 0, 1), "0.5 0.4")
		zero := &Block{Type: 2, Values: []float64{0, 0, 1, 0, 1, 0}} // 1/x
		expect(t, convert[float64](t, zero, 0, math.Copysign(0, -1), 4, math.Inf(1)), "+Inf +Inf 0.25 NaN")
		expect(t, convert[float64](t, &Block{Type: 2, Values: make([]float64, 6)}, 1.0), "NaN")
	})
	t.Run("21 type 4 interpolation", func(t *testing.T) {
		b := &Block{Type: 4, Values: []float64{-2, 10, 0, 20, 4, 0}}
		expect(t, convert[float64](t, b, -3, -2, -1, 0, 1, 4, 5, math.NaN()), "10 10 15 20 15 0 0 NaN")
	})
	t.Run("21 type 5 nearest, ties low", func(t *testing.T) {
		b := &Block{Type: 5, Values: []float64{-2, 10, 0, 20, 4, 0}}
		expect(t, convert[float64](t, b, -9, -1.01, -1, -0.99, 2, 2.01, 99), "10 10 10 20 20 0 0")
	})
	t.Run("21 type 6 both interval rules", func(t *testing.T) {
		b := &Block{Type: 6, Values: []float64{-7, -5, 1, -5, 0, 2, 0, 3, 3, 8, 8, 4, -1}}
		expect(t, convert[int64](t, b, -8, -7, -5, -4, 0, 3, 4, 8), "-1 1 1 2 2 3 -1 4")
		expect(t, convert[float64](t, b, -8, -7, -5, -4, 0, 2.9, 3, 8), "-1 1 2 2 3 3 -1 4")
		expect(t, convert[float64](t, b, math.NaN(), math.Inf(1)), "-1 -1")
	})
	t.Run("21 type 7 keys and default", func(t *testing.T) {
		b := &Block{Type: 7, Values: []float64{1, 5, 2.5}, Refs: []Ref{text("first"), text("fifth"), text(""), text("No match")}}
		expect(t, convert[float64](t, b, 0, 1, 5, 2.5, 2), "No match first fifth  No match")
		b.Refs[3] = Ref{}
		expect(t, convert[int64](t, b, 1, 2), "first -")
		// Integers beyond what float64 holds match exactly or not at all.
		b = &Block{Type: 7, Values: []float64{1 << 53, 1 << 63}, Refs: []Ref{text("a"), text("b"), text("none")}}
		expect(t, convert[int64](t, b, 1<<53, 1<<53+1, math.MaxInt64), "a none none")
		expect(t, convert[uint64](t, b, 1<<63, 1<<63+1), "b none")
	})
	t.Run("21 type 8 both interval rules", func(t *testing.T) {
		b := &Block{Type: 8, Values: []float64{1, 3, 3, 5}, Refs: []Ref{text("low"), text("high"), text("out")}}
		expect(t, convert[float64](t, b, 0, 1, 2, 3, 5), "out low low high out")
		expect(t, convert[int64](t, b, 0, 1, 2, 3, 5), "out low low low high")
		b = &Block{Type: 8, Values: []float64{4, 6, 1, 5}, Refs: []Ref{text("first"), text("second"), {}}}
		expect(t, convert[int64](t, b, 0, 1, 4, 5, 6, 7), "- second first first first -")
	})
	t.Run("21 type 9 text to value", func(t *testing.T) {
		b := &Block{Type: 9, Values: []float64{-50, 5, 99}, Refs: []Ref{text("zero"), text("five")}}
		expect(t, convertTexts(t, b, "zero", "five", "six", "ZERO", ""), "-50 5 99 99 99")
	})
	t.Run("21 type 10 text to text", func(t *testing.T) {
		b := &Block{Type: 10, Refs: []Ref{text("five"), text("Fünf"), text("none"), {}, text("No translation")}}
		expect(t, convertTexts(t, b, "five", "zero", "none"), "Fünf No translation -")
		b.Refs[4] = Ref{}
		expect(t, convertTexts(t, b, "five", "zero"), "Fünf zero")
	})
	t.Run("22 nested", func(t *testing.T) {
		b := &Block{Type: 7, Values: []float64{255}, Refs: []Ref{text("invalid"), rule(&Block{Type: 1, Unit: "km/h", Values: []float64{10, 0.5}})}}
		expect(t, convert[int64](t, b, 2, 255), "11/- -/invalid")
		if p, _ := Compile(b, Numeric); p.Output().Unit != "km/h" {
			t.Errorf("unit %q", p.Output().Unit)
		}
		b = &Block{Type: 8, Values: []float64{0.5, 2.2, 2.2, 3.2, 3.5, 6, 7, 8}, Refs: []Ref{
			rule(&Block{Type: 1, Values: []float64{5.5, 2}}), rule(&Block{Type: 0}),
			rule(&Block{Type: 3, Refs: []Ref{text("X - X * X")}}), text("seven"), rule(&Block{Type: 1, Values: []float64{-1, 0}}),
		}}
		expect(t, convert[float64](t, b, 0, 1, 2.2, 3.3, 5, 7), "-1/- 7.5/- 2.2/- -1/- -20/- -/seven")
	})
	t.Run("22 bitfield", func(t *testing.T) {
		b := &Block{Type: 11, Masks: []uint64{1, 0x0e}, Refs: []Ref{
			rule(&Block{Type: 7, Name: "A", Values: []float64{0, 1}, Refs: []Ref{text("off"), text("on"), {}}}),
			rule(&Block{Type: 8, Name: "B", Values: []float64{4, 100}, Refs: []Ref{rule(&Block{Type: 1, Values: []float64{0, 0.5}}), {}}}),
		}}
		expect(t, convert[int64](t, b, 7, 0, 1), "A=on|B=3 A=off A=on")
		b.Refs[0].Conversion.Name, b.Refs[1].Conversion.Name = "", ""
		b.Refs[0].Conversion.Refs[0] = Ref{}
		expect(t, convert[uint64](t, b, 7, 0, 1), "on|3  on")
		expect(t, convert[float64](t, b, 7, 0.5, math.NaN()), "on|3 - -")
	})
	t.Run("23 algebraic", func(t *testing.T) {
		for formula, want := range map[string]float64{
			"X * X + 1": 10, "1 / X": 1.0 / 3, "sin(X)": math.Sin(3), "10/(X-10)": 10.0 / (3 - 10.0), "3*X*(X+42)": 405,
			"-X^2": -9, "2^X^2": 512, "X1 - -x": 6, "pow(X,2)": 9, "log(1000)": math.Log10(1000), "ln(X)": math.Log(3), "abs(-X)": 3, "sqrt(X*12)": 6,
			"exp(0)+x1": 4, "X & 2 | 8": 10, "X XOR 1": 2, "X << 2 >> 1": 6, "~X": -4, "!X": 0, "!0 && X > 2": 1, "X >= 3 || 0": 1, "X == 3": 1,
			"1.5e1 + .5": 15.5, "0xFF & X": 3, "1 + 2 * 3 - 4 / 2": 5, "X/0": math.Inf(1), "arctan(X)": math.Atan(3), "8 - 3 - 2": 3,
		} {
			b := &Block{Type: 3, Refs: []Ref{text(formula)}}
			if got := convert[int64](t, b, 3); got != fmt.Sprint(want) {
				t.Errorf("%s of 3 is %s, want %g", formula, got, want)
			}
		}
		expect(t, convert[float64](t, &Block{Type: 3, Refs: []Ref{text("1 / X")}}, 0, math.Inf(1), math.NaN()), "+Inf 0 NaN")
		for formula, kind := range map[string]error{
			"gamma(X)": pipeline.ErrUnsupported, "X2 + 1": pipeline.ErrUnsupported, "": pipeline.ErrCorrupt, "X +": pipeline.ErrCorrupt,
			"(X": pipeline.ErrCorrupt, "X X": pipeline.ErrCorrupt, "pow(X)": pipeline.ErrCorrupt, "1.2.3": pipeline.ErrCorrupt, "0x": pipeline.ErrCorrupt, "sin X": pipeline.ErrCorrupt,
			strings.Repeat("(", 100) + "X": pipeline.ErrLimit, strings.Repeat("-", 100) + "X": pipeline.ErrLimit, strings.Repeat("X+", 3000) + "X": pipeline.ErrLimit,
		} {
			_, err := Compile(&Block{Type: 3, Offset: 77, Refs: []Ref{text(formula)}}, Numeric)
			if !errors.Is(err, kind) || !strings.Contains(err.Error(), "offset 77") {
				t.Errorf("%.30q: %v, want %v", formula, err, kind)
			}
		}
	})
	t.Run("24 status strings", func(t *testing.T) {
		b := &Block{Type: 8, Flags: 6, Values: []float64{9.9999, 10.1001}, Refs: []Ref{
			text("Illegal value"), rule(&Block{Type: 3, Refs: []Ref{text("10/(X-10)")}}),
		}}
		expect(t, convert[float64](t, b, 5, 10, 20), "-2/- -/Illegal value 1/-")
		// Without a rule the numbers stay raw, and the status stands beside them.
		b = &Block{Type: 7, Flags: 4, Values: []float64{255}, Refs: []Ref{text("error"), {}}}
		expect(t, convert[int64](t, b, 3, 255), "- error")
		if p, _ := Compile(b, Numeric); p.Output().Value || !p.Output().Label {
			t.Errorf("output %+v", p.Output())
		}
	})
	t.Run("3 a rule that refers to itself", func(t *testing.T) {
		b := &Block{Type: 7, Refs: []Ref{{}}}
		b.Refs[0].Conversion = &Block{Type: 8, Refs: []Ref{rule(b)}}
		if _, err := Compile(b, Numeric); !errors.Is(err, pipeline.ErrCorrupt) {
			t.Errorf("error %v", err)
		}
	})
}

func convertTexts(t *testing.T, b *Block, xs ...string) string {
	t.Helper()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	p, err := Compile(b, Text)
	if err != nil {
		t.Fatal(err)
	}
	raw := column.New(mem, arrow.StringType)
	for _, x := range xs {
		raw.AppendString(x)
	}
	return show(p, mem, raw)
}

// What a file claims is checked before it is used.
func TestRefused(t *testing.T) {
	deep := &Block{Type: 0}
	for range maxDepth + 1 {
		deep = &Block{Type: 7, Refs: []Ref{rule(deep)}}
	}
	wide := &Block{Type: 7, Refs: make([]Ref, maxBlocks+2), Values: make([]float64, maxBlocks+1)}
	for i := range wide.Refs {
		wide.Refs[i] = rule(&Block{Type: 0})
	}
	long := strings.Repeat("x", maxText+1)
	for name, c := range map[string]struct {
		b    *Block
		in   Kind
		kind error
	}{
		"unknown type":         {&Block{Type: 12}, Numeric, pipeline.ErrUnsupported},
		"linear, one number":   {&Block{Type: 1, Values: []float64{1}}, Numeric, pipeline.ErrCorrupt},
		"rational, five":       {&Block{Type: 2, Values: make([]float64, 5)}, Numeric, pipeline.ErrCorrupt},
		"no formula":           {&Block{Type: 3}, Numeric, pipeline.ErrCorrupt},
		"formula NIL":          {&Block{Type: 3, Refs: []Ref{{}}}, Numeric, pipeline.ErrCorrupt},
		"empty table":          {&Block{Type: 4}, Numeric, pipeline.ErrCorrupt},
		"odd table":            {&Block{Type: 5, Values: make([]float64, 3)}, Numeric, pipeline.ErrCorrupt},
		"table of NaN":         {&Block{Type: 4, Values: []float64{math.NaN(), 1}}, Numeric, pipeline.ErrCorrupt},
		"ranges, no default":   {&Block{Type: 6, Values: make([]float64, 6)}, Numeric, pipeline.ErrCorrupt},
		"keys, too few texts":  {&Block{Type: 7, Values: make([]float64, 3), Refs: make([]Ref, 2)}, Numeric, pipeline.ErrCorrupt},
		"ranges, odd":          {&Block{Type: 8, Values: make([]float64, 3), Refs: make([]Ref, 2)}, Numeric, pipeline.ErrCorrupt},
		"text to value":        {&Block{Type: 9, Values: make([]float64, 1), Refs: make([]Ref, 1)}, Text, pipeline.ErrCorrupt},
		"text to text, even":   {&Block{Type: 10, Refs: make([]Ref, 2)}, Text, pipeline.ErrCorrupt},
		"masks":                {&Block{Type: 11, Masks: make([]uint64, 2), Refs: make([]Ref, 1)}, Numeric, pipeline.ErrCorrupt},
		"mask of a text":       {&Block{Type: 11, Masks: make([]uint64, 1), Refs: []Ref{text("a")}}, Numeric, pipeline.ErrCorrupt},
		"masks, too many":      {&Block{Type: 11, Masks: make([]uint64, maxMasks+1), Refs: make([]Ref, maxMasks+1)}, Numeric, pipeline.ErrLimit},
		"numbers of a text":    {&Block{Type: 1, Values: []float64{0, 2}}, Text, pipeline.ErrUnsupported},
		"texts of a number":    {&Block{Type: 9, Values: make([]float64, 1)}, Numeric, pipeline.ErrUnsupported},
		"nested text to value": {&Block{Type: 7, Refs: []Ref{rule(&Block{Type: 9, Values: make([]float64, 1)})}}, Numeric, pipeline.ErrUnsupported},
		"deep":                 {deep, Numeric, pipeline.ErrLimit},
		"wide":                 {wide, Numeric, pipeline.ErrLimit},
		"long text":            {&Block{Type: 7, Refs: []Ref{text(long)}}, Numeric, pipeline.ErrLimit},
	} {
		if _, err := Compile(c.b, c.in); !errors.Is(err, c.kind) {
			t.Errorf("%s: error %v, want %v", name, err, c.kind)
		}
	}
}

// Blocks that many entries share are compiled once, however often they nest.
func TestSharedBlocks(t *testing.T) {
	b := &Block{Type: 1, Values: []float64{1, 1}}
	for range maxDepth {
		r := rule(b)
		b = &Block{Type: 7, Values: []float64{1, 2, 3}, Refs: []Ref{r, r, r, r}}
	}
	expect(t, convert[int64](t, b, 1, 5), "2 6")
	if _, err := Compile(&Block{Type: 7, Refs: []Ref{rule(b)}}, Numeric); !errors.Is(err, pipeline.ErrLimit) {
		t.Errorf("error %v", err)
	}
}

// Rows beyond one block, and columns that nobody wants.
func TestManyRows(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	b := &Block{Type: 7, Values: []float64{3}, Refs: []Ref{text("three"), rule(&Block{Type: 1, Values: []float64{1, 2}})}}
	p, err := Compile(b, Numeric)
	if err != nil {
		t.Fatal(err)
	}
	raw := column.New(mem, arrow.Uint8Type)
	const n = 5000
	for i := range n {
		if i%7 == 6 {
			raw.AppendNull()
			continue
		}
		raw.AppendFixed([]byte{byte(i % 5)})
	}
	value, label := column.New(mem, arrow.Float64Type), column.New(mem, arrow.StringType)
	c := p.NewConverter()
	c.Apply(raw, 0, n, value, label)
	for i := range n {
		null, three := i%7 == 6, i%5 == 3
		if value.Valid(i) != (!null && !three) || label.Valid(i) != (!null && three) {
			t.Fatalf("row %d: value %v, label %v", i, value.Valid(i), label.Valid(i))
		}
		if value.Valid(i) && doubleAt(value, i) != float64(1+2*(i%5)) {
			t.Fatalf("row %d: %g", i, doubleAt(value, i))
		}
	}
	c.Apply(raw, 10, 20, nil, label)
	c.Apply(raw, 10, 20, value, nil)
	if value.N != n+10 || label.N != n+10 {
		t.Errorf("%d values, %d labels", value.N, label.N)
	}
	raw.Release()
	value.Release()
	label.Release()
}
