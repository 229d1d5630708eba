package dbc

import (
	"encoding/binary"
	"math"
)

// blockRows is how many frames are decoded at a time, so that what lies between
// extraction and column stays in the cache.
const blockRows = 512

// layout is one placement of a signal, compiled.
type layout struct {
	first     int32 // first byte
	end       int32 // payload bytes needed
	shift     uint8 // Intel: bits below the signal; Motorola: bits above it in the first byte
	length    uint8
	bigEndian bool
	nine      bool // touches nine bytes
	signed    bool
	kind      Kind
	mask      uint64
	factor    float64
	offset    float64
	ifactor   int64 // for results that are int64
	ioffset   int64
	special   specialRule
	parent    int32 // index of the switch, or -1
	ranges    []Range
	labels    map[uint64]int32 // by raw bits, to codes of the column's label set
}

func newLayout(s *Signal) layout {
	l := layout{
		first: int32(s.FirstByte()), end: int32(s.EndByte()), length: uint8(s.Length), bigEndian: s.BigEndian,
		signed: s.Signed && s.Kind == Integer, kind: s.Kind, factor: s.Factor, offset: s.Offset, parent: -1,
		mask: ^uint64(0) >> (64 - s.Length), shift: uint8(s.Start % 8), ranges: s.Ranges,
	}
	if s.BigEndian {
		l.shift = uint8(s.msb() % 8)
	}
	l.nine = int(l.shift)+s.Length > 64
	return l
}

// extract reads the raw bits of rows [from, from+len(raw)) of f. Rows where ok
// is false are not read; those whose payload is too short become not ok and are
// counted.
func (l *layout) extract(f *Frames, from int, raw []uint64, ok []bool) (short int64) {
	n := len(raw)
	start, size := f.Start[from:from+n], f.Size[from:from+n]
	ok = ok[:n]
	data := f.Data
	for i := range raw {
		if !ok[i] {
			continue
		}
		if size[i] < l.end {
			ok[i] = false
			short++
			continue
		}
		at := int(start[i] + l.first)
		var v uint64
		switch {
		case at+8 <= len(data) && l.bigEndian:
			v = binary.BigEndian.Uint64(data[at:])
		case at+8 <= len(data):
			v = binary.LittleEndian.Uint64(data[at:])
		case l.bigEndian:
			for k, c := range data[at:] {
				v |= uint64(c) << (56 - 8*k)
			}
		default:
			for k, c := range data[at:] {
				v |= uint64(c) << (8 * k)
			}
		}
		switch {
		case l.bigEndian:
			v <<= l.shift
			if l.nine {
				v |= uint64(data[at+8]) >> (8 - l.shift)
			}
			v >>= 64 - l.length
		default:
			v >>= l.shift
			if l.nine {
				v |= uint64(data[at+8]) << (64 - l.shift)
			}
			v &= l.mask
		}
		raw[i] = v
	}
	return short
}

// present clears ok where the switch does not have a value of the layout.
func (l *layout) present(sw *switchBlock, ok []bool) {
	if len(l.ranges) == 1 && l.ranges[0].From == l.ranges[0].To {
		want := l.ranges[0].From
		for i := range ok {
			ok[i] = sw.ok[i] && sw.raw[i] == want
		}
		return
	}
	for i := range ok {
		ok[i] = sw.ok[i] && within(l.ranges, sw.raw[i])
	}
}

// within reports whether v is in one of some ranges.
func within(ranges []Range, v uint64) bool {
	for _, r := range ranges {
		if v >= r.From && v <= r.To {
			return true
		}
	}
	return false
}

// integer widens the raw bits of an integer signal.
func (l *layout) integer(raw uint64) int64 {
	if !l.signed {
		return int64(raw)
	}
	up := 64 - l.length
	return int64(raw<<up) >> up
}

// number is the raw value as float64.
func (l *layout) number(raw uint64) float64 {
	switch {
	case l.kind == Float64:
		return math.Float64frombits(raw)
	case l.kind == Float32:
		return float64(math.Float32frombits(uint32(raw)))
	case l.kind == Float16:
		return half(uint16(raw))
	case l.signed:
		return float64(l.integer(raw))
	}
	return float64(raw)
}

// physical scales. The conversion keeps the product from being fused with the
// sum, which would round once where other readers round twice.
func (l *layout) physical(raw uint64) float64 {
	return float64(l.number(raw)*l.factor) + l.offset
}

// key is what value tables are asked for: the raw bits, or the integer that a
// floating-point value is.
func (l *layout) key(raw uint64) (uint64, bool) {
	if l.kind == Integer {
		return uint64(l.integer(raw)), true
	}
	v := l.number(raw)
	if v != math.Trunc(v) || math.Abs(v) >= 1<<63 {
		return 0, false
	}
	return uint64(int64(v)), true
}

// half is the value of an IEEE 754 binary16 number.
func half(h uint16) float64 {
	frac, exp := float64(h&0x3ff), int(h>>10&0x1f)
	var v float64
	switch exp {
	case 0:
		v = math.Ldexp(frac, -24)
	case 31:
		if frac != 0 {
			return math.NaN()
		}
		v = math.Inf(1)
	default:
		v = math.Ldexp(1024+frac, exp-25)
	}
	if h&0x8000 != 0 {
		v = -v
	}
	return v
}
