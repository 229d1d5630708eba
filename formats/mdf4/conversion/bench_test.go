package conversion

import (
	"fmt"
	"testing"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// workloads are rules as recordings have them.
func workloads() map[string]*Block {
	gears := &Block{Type: 7}
	levels := &Block{Type: 8}
	table := &Block{Type: 4}
	for i := range 12 {
		gears.Values = append(gears.Values, float64(i))
		gears.Refs = append(gears.Refs, text(fmt.Sprintf("gear %d", i)))
		levels.Values = append(levels.Values, float64(20*i), float64(20*i+19))
		levels.Refs = append(levels.Refs, text(fmt.Sprintf("level %d", i)))
		table.Values = append(table.Values, float64(25*i), float64(i*i))
	}
	gears.Refs = append(gears.Refs, Ref{})
	levels.Refs = append(levels.Refs, text("out of range"))
	return map[string]*Block{
		"linear":   {Type: 1, Values: []float64{-40, 0.5}},
		"formula":  {Type: 3, Refs: []Ref{text("3*X*(X+42)")}},
		"table":    table,
		"keys":     gears,
		"ranges":   levels,
		"status":   {Type: 7, Flags: flagStatusStrings, Values: []float64{255}, Refs: []Ref{text("error"), rule(&Block{Type: 1, Values: []float64{0, 0.1}})}},
		"bitfield": {Type: 11, Masks: []uint64{1, 14}, Refs: []Ref{rule(&Block{Type: 7, Name: "A", Values: []float64{0, 1}, Refs: []Ref{text("off"), text("on"), {}}}), rule(gears)}},
	}
}

func rawBytes(mem arrow.Allocator, n int) *column.Column {
	raw := column.New(mem, arrow.Uint8Type)
	for i := range n {
		raw.AppendFixed([]byte{byte(i * 7)})
	}
	return raw
}

func BenchmarkApply(b *testing.B) {
	const n = 64 << 10
	mem := arrow.NewGoAllocator()
	raw := rawBytes(mem, n)
	for name, block := range workloads() {
		b.Run(name, func(b *testing.B) {
			p, err := Compile(block, Numeric)
			if err != nil {
				b.Fatal(err)
			}
			c := p.NewConverter()
			value, label := column.New(mem, arrow.Float64Type), column.New(mem, arrow.StringType)
			b.SetBytes(n)
			b.ReportAllocs()
			for b.Loop() {
				value.Reset()
				label.Reset()
				c.Apply(raw, 0, n, value, label)
			}
			if out := p.Output(); out.Value && value.N != n || out.Label && label.N != n {
				b.Fatalf("%d values, %d labels", value.N, label.N)
			}
		})
	}
}

// A converter that has seen a block allocates nothing for the next.
func TestAllocApply(t *testing.T) {
	mem := arrow.NewGoAllocator()
	raw := rawBytes(mem, 4096)
	for name, block := range workloads() {
		p, err := Compile(block, Numeric)
		if err != nil {
			t.Fatal(err)
		}
		c := p.NewConverter()
		value, label := column.New(mem, arrow.Float64Type), column.New(mem, arrow.StringType)
		run := func() {
			value.Reset()
			label.Reset()
			c.Apply(raw, 0, raw.N, value, label)
		}
		run()
		if n := testing.AllocsPerRun(10, run); n > 0 {
			t.Errorf("%s: %g allocations for 4,096 rows", name, n)
		}
	}
}
