package parquet

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unsafe"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// selection is the positions of an array whose values make a page: a range,
// or where pos is not nil those listed, in ascending order.
type selection struct {
	from, to int
	pos      []int32
}

func (s selection) len() int {
	if s.pos != nil {
		return len(s.pos)
	}
	return s.to - s.from
}

// gatherer brings the values of a page into the form that Parquet encodes:
// a window on the array where they lie in that form already, otherwise a copy
// in memory that is used again for the next page.
type gatherer struct {
	i32  []int32
	i64  []int64
	data []byte
	off  []uint32
}

// cellValues are the values of a page, nulls left out, in the form that the
// column has.
type cellValues struct {
	n     int
	plain []byte   // numbers, booleans and decimals as PLAIN has them
	data  []byte   // strings, one after another,
	off   []uint32 // and where each begins and the last ends
	index []int32  // entries of the dictionary
}

// plainOf makes values of numbers as they lie in memory, which is in
// little-endian order.
func plainOf[T any](v []T) cellValues {
	var zero T
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(zero)))
	return cellValues{n: len(v), plain: b}
}

// valuesOf is the way back.
func valuesOf[T any](plain []byte) []T {
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(plain))), len(plain)/int(unsafe.Sizeof(zero)))
}

// values returns the values selected. They are valid until the next call.
func (g *gatherer) values(l *leaf, arr arrow.Array, d *dictionary, s selection) (cellValues, error) {
	if d != nil {
		if s.pos == nil {
			if s.len() == 0 {
				return cellValues{}, nil
			}
			return cellValues{n: s.len(), index: d.index[s.from-d.base : s.to-d.base]}, nil
		}
		g.i32 = g.i32[:0]
		for _, p := range s.pos {
			g.i32 = append(g.i32, d.index[int(p)-d.base])
		}
		return cellValues{n: len(g.i32), index: g.i32}, nil
	}
	switch l.cell {
	case cellNull:
		return cellValues{}, nil
	case cellBool:
		g.bools(arr, s)
		return cellValues{n: s.len(), plain: g.data}, nil
	case cellInt8:
		g.i32 = convert(g.i32, fixed[int8](arr), s, func(v int8) int32 { return int32(v) })
		return plainOf(g.i32), nil
	case cellUint8:
		g.i32 = convert(g.i32, fixed[uint8](arr), s, func(v uint8) int32 { return int32(v) })
		return plainOf(g.i32), nil
	case cellInt16:
		g.i32 = convert(g.i32, fixed[int16](arr), s, func(v int16) int32 { return int32(v) })
		return plainOf(g.i32), nil
	case cellUint16:
		g.i32 = convert(g.i32, fixed[uint16](arr), s, func(v uint16) int32 { return int32(v) })
		return plainOf(g.i32), nil
	case cellInt32:
		return plainOf(pick(&g.data, fixed[int32](arr), s)), nil
	case cellUint32:
		return plainOf(pick(&g.data, fixed[uint32](arr), s)), nil
	case cellFloat:
		return plainOf(pick(&g.data, fixed[float32](arr), s)), nil
	case cellInt64:
		return plainOf(pick(&g.data, fixed[int64](arr), s)), nil
	case cellUint64:
		return plainOf(pick(&g.data, fixed[uint64](arr), s)), nil
	case cellDouble:
		return plainOf(pick(&g.data, fixed[float64](arr), s)), nil
	case cellUint32L:
		g.i64 = convert(g.i64, fixed[uint32](arr), s, func(v uint32) int64 { return int64(v) })
		return plainOf(g.i64), nil
	case cellMicros:
		g.i64 = convert(g.i64, fixed[int64](arr), s, floorMicros)
		return plainOf(g.i64), nil
	case cellUint64D:
		g.data = g.data[:0]
		src := fixed[uint64](arr)
		for i := range s.len() {
			g.data = append(g.data, 0)
			g.data = binary.BigEndian.AppendUint64(g.data, src[s.at(i)])
		}
		return cellValues{n: s.len(), plain: g.data}, nil
	case cellDecimal:
		return g.decimals(l, arr, s)
	case cellBytes:
		return g.texts(arr, s), nil
	case cellLabel:
		return g.labels(arr, s), nil
	}
	panic("parquet: a cell without values")
}

func (s selection) at(i int) int {
	if s.pos != nil {
		return int(s.pos[i])
	}
	return s.from + i
}

// floorMicros rounds down, also before 1970.
func floorMicros(ns int64) int64 {
	q := ns / 1000
	if ns%1000 < 0 {
		q--
	}
	return q
}

// pick returns the values selected, without copying where they are a range.
func pick[T any](scratch *[]byte, src []T, s selection) []T {
	if s.pos == nil {
		if src == nil {
			return nil
		}
		return src[s.from:s.to]
	}
	var zero T
	need := len(s.pos) * int(unsafe.Sizeof(zero))
	if cap(*scratch) < need {
		*scratch = make([]byte, need)
	}
	dst := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData((*scratch)[:need]))), len(s.pos))
	for i, p := range s.pos {
		dst[i] = src[p]
	}
	return dst
}

// convert appends the values selected to dst[:0].
func convert[A, B any](dst []B, src []A, s selection, f func(A) B) []B {
	dst = dst[:0]
	if s.pos == nil {
		if src == nil {
			return dst
		}
		for _, v := range src[s.from:s.to] {
			dst = append(dst, f(v))
		}
		return dst
	}
	for _, p := range s.pos {
		dst = append(dst, f(src[p]))
	}
	return dst
}

// bools packs the values selected, the bits behind them zero.
func (g *gatherer) bools(arr arrow.Array, s selection) {
	n := s.len()
	g.data = g.data[:0]
	src, first := bitmap(arr)
	if s.pos == nil && (first+s.from)&7 == 0 && n > 0 {
		at := (first + s.from) >> 3
		g.data = append(g.data, src[at:at+(n+7)/8]...)
		if n&7 != 0 {
			g.data[len(g.data)-1] &= 1<<(n&7) - 1
		}
		return
	}
	var b byte
	for i := range n {
		p := first + s.at(i)
		b |= (src[p>>3] >> (p & 7) & 1) << (i & 7)
		if i&7 == 7 || i == n-1 {
			g.data = append(g.data, b)
			b = 0
		}
	}
}

// texts rebases the offsets; the bytes are copied only where they have gaps.
func (g *gatherer) texts(arr arrow.Array, s selection) cellValues {
	data, off := texts(arr)
	g.off = append(g.off[:0], 0)
	if s.pos == nil {
		base := off[s.from]
		for _, o := range off[s.from+1 : s.to+1] {
			g.off = append(g.off, uint32(o-base))
		}
		return cellValues{n: s.len(), data: data[base:off[s.to]], off: g.off}
	}
	gaps, end := false, int32(-1)
	n := uint32(0)
	for _, p := range s.pos {
		from, to := off[p], off[p+1]
		gaps = gaps || (end >= 0 && from != end)
		end = to
		n += uint32(to - from)
		g.off = append(g.off, n)
	}
	if len(s.pos) == 0 {
		return cellValues{n: s.len(), data: nil, off: g.off}
	}
	if !gaps {
		return cellValues{n: s.len(), data: data[off[s.pos[0]]:end], off: g.off}
	}
	g.data = g.data[:0]
	for _, p := range s.pos {
		g.data = append(g.data, data[off[p]:off[p+1]]...)
	}
	return cellValues{n: s.len(), data: g.data, off: g.off}
}

// labels spells out dictionary strings where a dictionary does not pay.
func (g *gatherer) labels(arr arrow.Array, s selection) cellValues {
	a := arr.(*arrow.Dictionary)
	index := fixed[int32](arr)
	data, off := texts(a.Dictionary())
	g.off, g.data = append(g.off[:0], 0), g.data[:0]
	for i := range s.len() {
		k := index[s.at(i)]
		g.data = append(g.data, data[off[k]:off[k+1]]...)
		g.off = append(g.off, uint32(len(g.data)))
	}
	return cellValues{n: s.len(), data: g.data, off: g.off}
}

// decimals writes the low bytes, big-endian, of decimals that fit.
func (g *gatherer) decimals(l *leaf, arr arrow.Array, s selection) (cellValues, error) {
	src := fixed[arrow.DecimalNumber](arr)
	g.data = g.data[:0]
	for i := range s.len() {
		b, err := decimalBytes(src[s.at(i)], l.width)
		if err != nil {
			return cellValues{}, err
		}
		g.data = append(g.data, b[16-l.width:]...)
	}
	return cellValues{n: s.len(), plain: g.data}, nil
}

// decimalBytes spells v big-endian; it fails when v needs more than width bytes.
func decimalBytes(v arrow.DecimalNumber, width int) (b [16]byte, err error) {
	binary.BigEndian.PutUint64(b[:8], uint64(v.HighBits()))
	binary.BigEndian.PutUint64(b[8:], v.LowBits())
	sign := byte(int8(b[16-width]) >> 7)
	for _, x := range b[:16-width] {
		if x != sign {
			return b, fmt.Errorf("a decimal has more digits than its type: %w", pipeline.ErrSchema)
		}
	}
	return b, nil
}

// indexBits is the width of the indexes of a dictionary of n entries.
func indexBits(n int) int { return bits.Len(uint(max(n-1, 0))) }
