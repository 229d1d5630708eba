package parquet

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// maxBound is the length to which bounds of strings and bytes are cut.
const maxBound = 64

// bounds returns the smallest and the largest value of a page, in PLAIN without
// the length of strings. They may lie in the memory of v. ok is false where
// there are none: a page without values, or of nothing but NaN, whose bounds
// in the page index are NaN.
func (l *leaf) bounds(v cellValues, d *dictionary) (lo, hi []byte, ok bool) {
	if v.n == 0 {
		return nil, nil, false
	}
	if d != nil {
		first, last := d.bounds(v.index)
		return cut(first, l.text), cutAbove(last, l.text), true
	}
	le := binary.LittleEndian
	switch l.cell {
	case cellBool:
		ones := countBits(v.plain, 0, v.n)
		lo, hi = []byte{0}, []byte{1}
		switch ones {
		case v.n:
			lo = hi
		case 0:
			hi = lo
		}
		return lo, hi, true
	case cellInt8, cellUint8, cellInt16, cellUint16, cellInt32:
		a, b := minMax(valuesOf[int32](v.plain))
		return le.AppendUint32(nil, uint32(a)), le.AppendUint32(nil, uint32(b)), true
	case cellUint32:
		a, b := minMax(valuesOf[uint32](v.plain))
		return le.AppendUint32(nil, a), le.AppendUint32(nil, b), true
	case cellInt64, cellUint32L, cellMicros:
		a, b := minMax(valuesOf[int64](v.plain))
		return le.AppendUint64(nil, uint64(a)), le.AppendUint64(nil, uint64(b)), true
	case cellUint64:
		a, b := minMax(valuesOf[uint64](v.plain))
		return le.AppendUint64(nil, a), le.AppendUint64(nil, b), true
	case cellFloat:
		a, b, ok := floatBounds(minMaxFloat(valuesOf[float32](v.plain)))
		return le.AppendUint32(nil, math.Float32bits(float32(a))), le.AppendUint32(nil, math.Float32bits(float32(b))), ok
	case cellDouble:
		a, b, ok := floatBounds(minMaxDouble(v.plain))
		return le.AppendUint64(nil, math.Float64bits(a)), le.AppendUint64(nil, math.Float64bits(b)), ok
	case cellBytes, cellLabel:
		lo = v.data[v.off[0]:v.off[1]]
		hi = lo
		for i := 1; i < v.n; i++ {
			t := v.data[v.off[i]:v.off[i+1]]
			if bytes.Compare(t, lo) < 0 {
				lo = t
			} else if bytes.Compare(t, hi) > 0 {
				hi = t
			}
		}
		return cut(lo, l.text), cutAbove(hi, l.text), true
	case cellUint64D, cellDecimal:
		w := len(v.plain) / v.n
		lo = v.plain[:w]
		hi = lo
		for i := w; i < len(v.plain); i += w {
			t := v.plain[i : i+w]
			if l.compare(t, lo) < 0 {
				lo = t
			} else if l.compare(t, hi) > 0 {
				hi = t
			}
		}
		return lo, hi, true
	}
	return nil, nil, false
}

// compare orders two bounds as the type of the column does.
func (l *leaf) compare(a, b []byte) int {
	switch l.cell {
	case cellDecimal, cellUint64D:
		// Big-endian two's complement: the sign decides first.
		if len(a) > 0 && len(b) > 0 && (a[0]^b[0])&0x80 != 0 {
			return int(int8(a[0])) - int(int8(b[0]))
		}
		return bytes.Compare(a, b)
	case cellBytes, cellLabel, cellBool:
		return bytes.Compare(a, b)
	}
	kind := l.typ.Kind()
	return l.typ.Compare(kind.Value(a), kind.Value(b))
}

func minMax[T int32 | uint32 | int64 | uint64](v []T) (lo, hi T) {
	lo, hi = v[0], v[0]
	for _, x := range v {
		lo, hi = min(lo, x), max(hi, x)
	}
	return lo, hi
}

// minMaxDouble returns the bounds of what is not NaN; lo is above hi where
// there is nothing else. Doubles are compared as integers in the same order,
// which needs no branch.
func minMaxDouble(plain []byte) (lo, hi float64) {
	order := func(bits int64) int64 { return bits ^ int64(uint64(bits>>63)>>1) }
	bits := valuesOf[int64](plain)
	l, h := order(bits[0]), order(bits[0])
	for _, b := range bits {
		b ^= int64(uint64(b>>63) >> 1)
		l, h = min(l, b), max(h, b)
	}
	inf := order(int64(math.Float64bits(math.Inf(1))))
	if h <= inf && l >= ^inf {
		return math.Float64frombits(uint64(order(l))), math.Float64frombits(uint64(order(h)))
	}
	return minMaxFloat(valuesOf[float64](plain)) // NaN lies outside the infinities
}

func minMaxFloat[T float32 | float64](v []T) (lo, hi float64) {
	l, h := T(math.Inf(1)), T(math.Inf(-1))
	for _, x := range v {
		if x < l {
			l = x
		}
		if x > h {
			h = x
		}
	}
	return float64(l), float64(h)
}

// floatBounds turns bounds found by comparing into those to be written. NaN
// compares false and so never became a bound; a page of nothing else has no
// bounds but its page index says NaN. A zero counts as both zeros.
func floatBounds(lo, hi float64) (float64, float64, bool) {
	if lo > hi {
		return math.NaN(), math.NaN(), false
	}
	if lo == 0 {
		lo = math.Copysign(0, -1)
	}
	if hi == 0 {
		hi = 0
	}
	return lo, hi, true
}

// bounds compares each entry once that the page uses.
func (d *dictionary) bounds(indexes []int32) (lo, hi []byte) {
	seen := make([]bool, len(d.entries))
	for _, i := range indexes {
		seen[i] = true
	}
	first := true
	for i, s := range seen {
		if !s {
			continue
		}
		v := d.entries[i]
		if first || bytes.Compare(v, lo) < 0 {
			lo = v
		}
		if first || bytes.Compare(v, hi) > 0 {
			hi = v
		}
		first = false
	}
	return lo, hi
}

// cut returns a lower bound of v of at most maxBound bytes.
func cut(v []byte, text bool) []byte {
	if len(v) <= maxBound {
		return v
	}
	n := maxBound
	for text && n > maxBound-utf8.UTFMax && !utf8.RuneStart(v[n]) {
		n--
	}
	return v[:n]
}

// cutAbove returns an upper bound of v of at most maxBound bytes, v itself
// where there is none.
func cutAbove(v []byte, text bool) []byte {
	if len(v) <= maxBound {
		return v
	}
	b := cut(v, text)
	if !text {
		for n := len(b); n > 0; n-- {
			if b[n-1] != 0xff {
				out := bytes.Clone(b[:n])
				out[n-1]++
				return out
			}
		}
		return v
	}
	for len(b) > 0 {
		r, size := utf8.DecodeLastRune(b)
		if r == utf8.RuneError && size <= 1 {
			return v
		}
		b = b[:len(b)-size]
		if r++; r == 0xd800 {
			r = 0xe000 // surrogates are no characters
		}
		// The next character may take a byte more.
		if r <= utf8.MaxRune && len(b)+utf8.RuneLen(r) <= maxBound {
			return utf8.AppendRune(bytes.Clone(b), r)
		}
	}
	return v
}

// boundaryOrder tells whether bounds only rise or only fall from page to page,
// pages of nulls left out.
func (l *leaf) boundaryOrder(x *format.ColumnIndex) format.BoundaryOrder {
	rising, falling := true, true
	var lo, hi []byte
	for i, null := range x.NullPages {
		if null {
			continue
		}
		a, b := x.MinValues[i], x.MaxValues[i]
		if l.isNaN(a) {
			return format.Unordered
		}
		if lo != nil {
			c, d := l.compare(lo, a), l.compare(hi, b)
			rising = rising && c <= 0 && d <= 0
			falling = falling && c >= 0 && d >= 0
		}
		lo, hi = a, b
	}
	switch {
	case rising:
		return format.Ascending
	case falling:
		return format.Descending
	}
	return format.Unordered
}

func (l *leaf) isNaN(bound []byte) bool {
	switch l.typ.Kind() {
	case pq.Float:
		f := math.Float32frombits(binary.LittleEndian.Uint32(bound))
		return f != f
	case pq.Double:
		f := math.Float64frombits(binary.LittleEndian.Uint64(bound))
		return f != f
	}
	return false
}
