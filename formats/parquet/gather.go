package parquet

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unsafe"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

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

// values returns the values selected. They are valid until the next call.
func (g *gatherer) values(l *leaf, arr arrow.Array, d *dictionary, s selection) (encoding.Values, error) {
	if d != nil {
		if s.pos == nil {
			return encoding.Int32Values(d.index[s.from-d.base : s.to-d.base]), nil
		}
		g.i32 = g.i32[:0]
		for _, p := range s.pos {
			g.i32 = append(g.i32, d.index[int(p)-d.base])
		}
		return encoding.Int32Values(g.i32), nil
	}
	switch l.cell {
	case cellNull:
		return encoding.Int32Values(nil), nil
	case cellBool:
		g.bools(arr, s)
		return encoding.BooleanValues(g.data), nil
	case cellInt8:
		g.i32 = convert(g.i32, fixed[int8](arr), s, func(v int8) int32 { return int32(v) })
		return encoding.Int32Values(g.i32), nil
	case cellUint8:
		g.i32 = convert(g.i32, fixed[uint8](arr), s, func(v uint8) int32 { return int32(v) })
		return encoding.Int32Values(g.i32), nil
	case cellInt16:
		g.i32 = convert(g.i32, fixed[int16](arr), s, func(v int16) int32 { return int32(v) })
		return encoding.Int32Values(g.i32), nil
	case cellUint16:
		g.i32 = convert(g.i32, fixed[uint16](arr), s, func(v uint16) int32 { return int32(v) })
		return encoding.Int32Values(g.i32), nil
	case cellInt32:
		return encoding.Int32Values(pick(&g.data, fixed[int32](arr), s)), nil
	case cellUint32:
		return encoding.Uint32Values(pick(&g.data, fixed[uint32](arr), s)), nil
	case cellFloat:
		return encoding.FloatValues(pick(&g.data, fixed[float32](arr), s)), nil
	case cellInt64:
		return encoding.Int64Values(pick(&g.data, fixed[int64](arr), s)), nil
	case cellUint64:
		return encoding.Uint64Values(pick(&g.data, fixed[uint64](arr), s)), nil
	case cellDouble:
		return encoding.DoubleValues(pick(&g.data, fixed[float64](arr), s)), nil
	case cellUint32L:
		g.i64 = convert(g.i64, fixed[uint32](arr), s, func(v uint32) int64 { return int64(v) })
		return encoding.Int64Values(g.i64), nil
	case cellMicros:
		g.i64 = convert(g.i64, fixed[int64](arr), s, floorMicros)
		return encoding.Int64Values(g.i64), nil
	case cellUint64D:
		g.data = g.data[:0]
		src := fixed[uint64](arr)
		for i := range s.len() {
			g.data = append(g.data, 0)
			g.data = binary.BigEndian.AppendUint64(g.data, src[s.at(i)])
		}
		return encoding.FixedLenByteArrayValues(g.data, bytesOfUint64D), nil
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
func (g *gatherer) texts(arr arrow.Array, s selection) encoding.Values {
	data, off := texts(arr)
	g.off = append(g.off[:0], 0)
	if s.pos == nil {
		base := off[s.from]
		for _, o := range off[s.from+1 : s.to+1] {
			g.off = append(g.off, uint32(o-base))
		}
		return encoding.ByteArrayValues(data[base:off[s.to]], g.off)
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
		return encoding.ByteArrayValues(nil, g.off)
	}
	if !gaps {
		return encoding.ByteArrayValues(data[off[s.pos[0]]:end], g.off)
	}
	g.data = g.data[:0]
	for _, p := range s.pos {
		g.data = append(g.data, data[off[p]:off[p+1]]...)
	}
	return encoding.ByteArrayValues(g.data, g.off)
}

// labels spells out dictionary strings where a dictionary does not pay.
func (g *gatherer) labels(arr arrow.Array, s selection) encoding.Values {
	a := arr.(*arrow.Dictionary)
	index := fixed[int32](arr)
	data, off := texts(a.Dictionary())
	g.off, g.data = append(g.off[:0], 0), g.data[:0]
	for i := range s.len() {
		k := index[s.at(i)]
		g.data = append(g.data, data[off[k]:off[k+1]]...)
		g.off = append(g.off, uint32(len(g.data)))
	}
	return encoding.ByteArrayValues(g.data, g.off)
}

// decimals writes the low bytes, big-endian, of decimals that fit.
func (g *gatherer) decimals(l *leaf, arr arrow.Array, s selection) (encoding.Values, error) {
	src := fixed[arrow.DecimalNumber](arr)
	g.data = g.data[:0]
	for i := range s.len() {
		b, err := decimalBytes(src[s.at(i)], l.width)
		if err != nil {
			return encoding.Values{}, err
		}
		g.data = append(g.data, b[16-l.width:]...)
	}
	return encoding.FixedLenByteArrayValues(g.data, l.width), nil
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

// box makes one value of what lies at position i of arr.
func box(l *leaf, arr arrow.Array, i int) (pq.Value, error) {
	switch l.cell {
	case cellBool:
		b, first := bitmap(arr)
		return pq.BooleanValue(b[(first+i)>>3]>>((first+i)&7)&1 != 0), nil
	case cellInt8:
		return pq.Int32Value(int32(fixed[int8](arr)[i])), nil
	case cellUint8:
		return pq.Int32Value(int32(fixed[uint8](arr)[i])), nil
	case cellInt16:
		return pq.Int32Value(int32(fixed[int16](arr)[i])), nil
	case cellUint16:
		return pq.Int32Value(int32(fixed[uint16](arr)[i])), nil
	case cellInt32, cellUint32:
		return pq.Int32Value(fixed[int32](arr)[i]), nil
	case cellFloat:
		return pq.FloatValue(fixed[float32](arr)[i]), nil
	case cellInt64, cellUint64:
		return pq.Int64Value(fixed[int64](arr)[i]), nil
	case cellDouble:
		return pq.DoubleValue(fixed[float64](arr)[i]), nil
	case cellUint32L:
		return pq.Int64Value(int64(fixed[uint32](arr)[i])), nil
	case cellMicros:
		return pq.Int64Value(floorMicros(fixed[int64](arr)[i])), nil
	case cellUint64D:
		b := make([]byte, 1, bytesOfUint64D)
		return pq.FixedLenByteArrayValue(binary.BigEndian.AppendUint64(b, fixed[uint64](arr)[i])), nil
	case cellDecimal:
		b, err := decimalBytes(fixed[arrow.DecimalNumber](arr)[i], l.width)
		return pq.FixedLenByteArrayValue(b[16-l.width:]), err
	case cellBytes:
		data, off := texts(arr)
		return pq.ByteArrayValue(data[off[i]:off[i+1]]), nil
	case cellLabel:
		a := arr.(*arrow.Dictionary)
		data, off := texts(a.Dictionary())
		k := fixed[int32](arr)[i]
		return pq.ByteArrayValue(data[off[k]:off[k+1]]), nil
	}
	panic("parquet: a cell without values")
}

// indexBits is the width of the indexes of a dictionary of n entries.
func indexBits(n int) int { return bits.Len(uint(max(n-1, 0))) }
