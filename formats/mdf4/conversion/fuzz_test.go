package conversion

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

func knownKind(err error) bool {
	return errors.Is(err, pipeline.ErrCorrupt) || errors.Is(err, pipeline.ErrUnsupported) || errors.Is(err, pipeline.ErrLimit)
}

func FuzzFormula(f *testing.F) {
	for _, s := range []string{
		"X * X + 1", "1 / X", "sin(X)", "10/(X-10)", "3*X*(X+42)", "-X^2^~x", "pow(X1, 0x1F) XOR 3 << 2", "!(X >= 1.5e3) || X != .5 && X & 7 | 8",
		"((((X", "arcsin(log10(abs(-+-X)))", "X X", "1e999", "0x", "X^-1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseFormula(s)
		if err != nil {
			if !knownKind(err) {
				t.Fatalf("error without a kind: %v", err)
			}
			return
		}
		if p.regs < 1 || p.regs > len(p.ops) || p.regs > 4*maxNesting {
			t.Fatalf("%d registers for %d operations", p.regs, len(p.ops))
		}
		x := []float64{0, -1, 3.5, math.Inf(1), math.NaN()}
		y, z := make([]float64, len(x)), make([]float64, 1)
		regs := p.eval(y, x, nil)
		for i := range x {
			if p.eval(z, x[i:i+1], regs); z[0] != y[i] && (z[0] == z[0] || y[i] == y[i]) {
				t.Fatalf("%q of %g is %g in a vector and %g alone", s, x[i], y[i], z[0])
			}
		}
	})
}

// blockOf makes a tree of blocks out of bytes, as hostile as they are.
type blockOf struct {
	data   []byte
	blocks []*Block
}

func (f *blockOf) byte() byte {
	if len(f.data) == 0 {
		return 0
	}
	b := f.data[0]
	f.data = f.data[1:]
	return b
}

func (f *blockOf) double() float64 {
	if b := f.byte(); b < 200 {
		return float64(int8(b)) / 2
	}
	var b [8]byte
	f.data = f.data[copy(b[:], f.data):]
	return math.Float64frombits(binary.LittleEndian.Uint64(b[:]))
}

func (f *blockOf) block(depth int) *Block {
	b := &Block{Type: f.byte() % 13, Flags: uint16(f.byte()), Name: string(rune('A' + f.byte()%3))}
	f.blocks = append(f.blocks, b)
	for range f.byte() % 9 {
		b.Values = append(b.Values, f.double())
	}
	for range f.byte() % 5 {
		b.Masks = append(b.Masks, math.Float64bits(f.double()))
	}
	for range f.byte() % 7 {
		switch f.byte() % 4 {
		case 0:
			b.Refs = append(b.Refs, Ref{})
		case 1:
			n := min(int(f.byte()), len(f.data))
			s := string(f.data[:n])
			f.data = f.data[n:]
			b.Refs = append(b.Refs, Ref{Text: &s})
		case 2:
			if depth > 0 {
				b.Refs = append(b.Refs, Ref{Conversion: f.block(depth - 1)})
			}
		case 3: // any block so far, this one's parents among them
			b.Refs = append(b.Refs, Ref{Conversion: f.blocks[int(f.byte())%len(f.blocks)]})
		}
	}
	return b
}

// Whatever compiles has one cell per row in each of its columns, within the
// size it promised.
func FuzzCompile(f *testing.F) {
	f.Add([]byte{1, 0, 0, 2, 4, 6, 0, 0})
	f.Add([]byte{7, 4, 0, 2, 2, 4, 0, 3, 1, 2, 'o', 'n', 0, 2, 1, 0, 0, 2, 2, 4, 0, 0})
	f.Add([]byte{8, 0, 0, 4, 2, 4, 4, 8, 0, 3, 1, 1, 'a', 3, 0, 0})
	f.Add([]byte{11, 0, 0, 0, 1, 8, 1, 2, 7, 0, 1, 1, 2, 0, 2, 1, 1, 'x', 0})
	f.Add([]byte{3, 0, 0, 0, 0, 1, 1, 5, 'X', '^', '2', '+', '1'})
	f.Add([]byte{10, 0, 0, 0, 0, 3, 1, 1, 'a', 1, 1, 'b', 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		b := (&blockOf{data: data}).block(5)
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		defer mem.AssertSize(t, 0)
		for _, in := range []Kind{Numeric, Text} {
			p, err := Compile(b, in)
			if err != nil {
				if !knownKind(err) {
					t.Fatalf("error without a kind: %v", err)
				}
				continue
			}
			raw := column.New(mem, arrow.StringType)
			if in == Numeric {
				raw = column.New(mem, arrow.Float64Type)
				for _, x := range []float64{0, 1, -2.5, 3, 1 << 53, math.Inf(-1), math.NaN()} {
					raw.AppendFloat64(x)
				}
			} else {
				raw.AppendString("a")
				raw.AppendString("")
			}
			raw.AppendNull()
			value, label := column.New(mem, arrow.Float64Type), column.New(mem, arrow.StringType)
			p.NewConverter().Apply(raw, 0, raw.N, value, label)
			out := p.Output()
			if out.Value && value.N != raw.N || (out.Label || out.Text) && label.N != raw.N {
				t.Fatalf("%d values and %d labels of %d rows", value.N, label.N, raw.N)
			}
			for i := range label.N {
				if n := int(label.Offsets[i+1] - label.Offsets[i]); n > max(out.LabelBytes, 1) {
					t.Fatalf("a label of %d bytes, promised %d", n, out.LabelBytes)
				}
			}
			raw.Release()
			value.Release()
			label.Release()
		}
	})
}
