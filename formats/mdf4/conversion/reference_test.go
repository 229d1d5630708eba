package conversion

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// The reference converts one number at a time, by the words of the standard,
// with exact comparisons of big numbers and no tables.

// number is a raw number: an integer or a floating point one.
type number struct {
	integer *big.Int // nil: floating point
	float   float64
}

func (x number) double() float64 {
	if x.integer == nil {
		return x.float
	}
	f, _ := new(big.Float).SetInt(x.integer).Float64()
	return f
}

// cmp compares with a bound or key that is not NaN; ok is false for NaN.
func (x number) cmp(k float64) (c int, ok bool) {
	if k != k || x.integer == nil && x.float != x.float {
		return 0, false
	}
	if math.IsInf(k, 0) || x.integer == nil {
		f := x.double()
		if x.integer != nil && math.IsInf(k, 1) {
			return -1, true
		}
		if x.integer != nil {
			return 1, true
		}
		switch {
		case f < k:
			return -1, true
		case f > k:
			return 1, true
		}
		return 0, true
	}
	return new(big.Float).SetPrec(200).SetInt(x.integer).Cmp(big.NewFloat(k)), true
}

func (x number) within(lo, hi float64) bool {
	a, ok := x.cmp(lo)
	b, ok2 := x.cmp(hi)
	if !ok || !ok2 || a < 0 {
		return false
	}
	if x.integer != nil {
		return b <= 0
	}
	return b < 0 || b == 0 && lo == hi
}

// meaning is what a number becomes.
type meaning struct {
	num   *float64
	label *string
}

func numeric(v float64) meaning { return meaning{num: &v} }

func reference(b *Block, x number, wide bool) meaning {
	v := x.double()
	p := b.Values
	switch b.Type {
	case typeIdentity:
		return numeric(v)
	case typeLinear:
		return numeric(p[0] + float64(p[1]*v))
	case typeRational:
		sq := float64(v * v)
		return numeric((float64(p[0]*sq) + float64(p[1]*v) + p[2]) / (float64(p[3]*sq) + float64(p[4]*v) + p[5]))
	case typeInterpolate, typeNearest:
		return numeric(referenceTable(p, v, b.Type == typeInterpolate))
	case typeRangeToValue:
		for i := 0; i+3 < len(p); i += 3 {
			if x.within(p[i], p[i+1]) {
				return numeric(p[i+2])
			}
		}
		return numeric(p[len(p)-1])
	case typeValueToText:
		for i, k := range p {
			if c, ok := x.cmp(k); ok && c == 0 {
				return referenceRef(b, i, x, wide)
			}
		}
		return referenceRef(b, len(p), x, wide)
	case typeRangeToText:
		for i := 0; i < len(p); i += 2 {
			if x.within(p[i], p[i+1]) {
				return referenceRef(b, i/2, x, wide)
			}
		}
		return referenceRef(b, len(p)/2, x, wide)
	case typeBitfieldText:
		return referenceBits(b, x)
	}
	panic("not a rule for numbers")
}

// referenceRef follows a reference of types 7 and 8. Where a status table has
// no default and nothing in it scales, there is no value column to fill.
func referenceRef(b *Block, i int, x number, wide bool) meaning {
	last := len(b.Values)
	if b.Type == typeRangeToText {
		last /= 2
	}
	if i >= len(b.Refs) || b.Refs[i] == (Ref{}) {
		if i == last && b.Flags&flagStatusStrings != 0 && scales(b) {
			return numeric(x.double())
		}
		return meaning{}
	}
	if t := b.Refs[i].Text; t != nil {
		return meaning{label: t}
	}
	return reference(b.Refs[i].Conversion, x, wide)
}

// scales reports whether a rule below b gives numbers.
func scales(b *Block) bool {
	switch b.Type {
	case typeBitfieldText:
		return false
	case typeValueToText, typeRangeToText:
		for _, r := range b.Refs {
			if r.Conversion != nil && scales(r.Conversion) {
				return true
			}
		}
		return false
	}
	return true
}

func referenceTable(p []float64, v float64, between bool) float64 {
	if v != v {
		return v
	}
	n := len(p) / 2
	switch {
	case v <= p[0]:
		return p[1]
	case v >= p[2*n-2]:
		return p[2*n-1]
	}
	best := 0
	for i := range n {
		if k := p[2*i]; between && k == v {
			return p[2*i+1]
		}
		if math.Abs(v-p[2*i]) < math.Abs(v-p[2*best]) {
			best = i
		}
	}
	if !between {
		return p[2*best+1]
	}
	i := 0
	for p[2*i+2] < v {
		i++
	}
	slope := (p[2*i+3] - p[2*i+1]) / (p[2*i+2] - p[2*i])
	return float64(slope*(v-p[2*i])) + p[2*i+1]
}

func referenceBits(b *Block, x number) meaning {
	bits := new(big.Int)
	switch {
	case x.integer != nil:
		bits.Set(x.integer)
	case x.float != math.Trunc(x.float) || x.float < -(1<<63) || x.float >= 1<<64:
		return meaning{}
	default:
		big.NewFloat(x.float).Int(bits)
	}
	if bits.Sign() < 0 {
		bits.Add(bits, new(big.Int).Lsh(big.NewInt(1), 64))
	}
	var parts []string
	for i, mask := range b.Masks {
		rule := b.Refs[i].Conversion
		if rule == nil {
			continue
		}
		masked := new(big.Int).And(bits, new(big.Int).SetUint64(mask))
		m := reference(rule, number{integer: masked}, true)
		text := ""
		switch {
		case m.num != nil && *m.num == math.Trunc(*m.num) && math.Abs(*m.num) < 1e15:
			text = strconv.FormatFloat(*m.num+0, 'f', 0, 64)
			if text == "-0" {
				text = "0"
			}
		case m.num != nil:
			text = strconv.FormatFloat(*m.num, 'g', -1, 64)
		case m.label != nil:
			text = *m.label
		}
		if text == "" {
			continue
		}
		if rule.Name != "" {
			text = rule.Name + "=" + text
		}
		parts = append(parts, text)
	}
	s := strings.Join(parts, "|")
	return meaning{label: &s}
}
