// Package column builds Arrow arrays at the speed of copying bytes.
//
// A Column is a growable buffer of one Arrow type. Decoders append to its
// exported buffers directly, without an interface call, an allocation or a
// boxed value per cell; Finish hands the buffers over to an Arrow array
// without copying them and leaves the Column empty for the next batch.
//
// All memory comes from the allocator given to New, so that a checked
// allocator sees every leak. A Column is owned by one goroutine at a time.
package column

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Kind is the physical layout of a column.
type Kind uint8

const (
	// Fixed columns hold Width bytes per value in Data, little-endian.
	Fixed Kind = iota
	// Bits columns hold one bit per value in Data (booleans).
	Bits
	// Var columns hold bytes in Data and N+1 ends in Offsets (string, binary).
	Var
	// List columns hold N+1 ends in Offsets that count rows of Children[0].
	List
	// FixedList columns have Width rows of Children[0] for each value.
	FixedList
	// Struct columns have one row of every child for each value.
	Struct
	// Empty columns hold no value at all, only their length (the null type).
	Empty
)

// minBytes is the first allocation of a buffer: small, because a recording may
// have thousands of tables with one row each.
const minBytes = 64

// Column is a growable column. Data, Offsets and N may be appended to directly
// by a decoder that keeps the layout of Kind; validity only through AppendNull
// and AppendNulls, which is why N must grow together with the values.
type Column struct {
	Type     arrow.DataType
	Kind     Kind
	Width    int     // bytes per value (Fixed) or rows per value (FixedList)
	Data     []byte  // values (Fixed, Bits) or bytes (Var)
	Offsets  []int32 // ends of values (Var, List); Offsets[0] is 0 once it has a value
	Children []*Column
	N        int // values so far, nulls included
	Nulls    int
	// Long, where it is not nil, takes note of long values of a Var column.
	Long *Long

	valid    []byte // validity bitmap up to validN; nil while there is no null
	validN   int    // values the bitmap covers; later ones are valid
	offBytes []byte // the memory behind Offsets
	mem      arrow.Allocator
}

// New returns an empty column of type t that allocates from mem. It panics on
// a type that batches do not use: schemas are checked where they are made.
func New(mem arrow.Allocator, t arrow.DataType) *Column {
	c := &Column{Type: t, mem: mem}
	switch t := t.(type) {
	case *arrow.ListType:
		c.Kind = List
		c.Children = []*Column{New(mem, t.Elem())}
	case *arrow.FixedSizeListType:
		c.Kind, c.Width = FixedList, int(t.Len())
		c.Children = []*Column{New(mem, t.Elem())}
	case *arrow.StructType:
		c.Kind = Struct
		for _, f := range t.Fields() {
			c.Children = append(c.Children, New(mem, f.Type))
		}
	default:
		switch t.ID() {
		case arrow.NULL:
			c.Kind = Empty
		case arrow.BOOL:
			c.Kind = Bits
		case arrow.STRING, arrow.BINARY:
			c.Kind = Var
		case arrow.INT8, arrow.UINT8:
			c.Width = 1
		case arrow.INT16, arrow.UINT16:
			c.Width = 2
		case arrow.INT32, arrow.UINT32, arrow.FLOAT32, arrow.DATE32:
			c.Width = 4
		case arrow.INT64, arrow.UINT64, arrow.FLOAT64, arrow.TIMESTAMP, arrow.DURATION:
			c.Width = 8
		case arrow.DECIMAL128:
			c.Width = 16
		default:
			panic(fmt.Sprintf("column: batches have no type %s", t))
		}
	}
	return c
}

// Bytes returns the size of the values held, children included: what a batch
// limit counts. It does not depend on capacity.
func (c *Column) Bytes() int64 {
	n := int64(len(c.Data)) + 4*int64(len(c.Offsets))
	for _, ch := range c.Children {
		n += ch.Bytes()
	}
	return n
}

// Grow makes room for n more bytes of Data.
func (c *Column) Grow(n int) {
	if need := len(c.Data) + n; need > cap(c.Data) {
		c.Data = grow(c.mem, c.Data, need)
	}
}

// GrowOffsets makes room for n more values of a Var or List column.
func (c *Column) GrowOffsets(n int) {
	need := len(c.Offsets) + n
	if len(c.Offsets) == 0 {
		need++
	}
	if need > cap(c.Offsets) {
		b := grow(c.mem, c.offBytes[:4*len(c.Offsets)], 4*need)
		c.offBytes = b
		full := b[:cap(b)]
		c.Offsets = unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(full))), len(full)/4)[:len(c.Offsets)]
	}
	if len(c.Offsets) == 0 {
		c.Offsets = append(c.Offsets, 0)
	}
}

// grow returns b with capacity for need bytes at least, its contents kept.
// Capacities are powers of two, which a pooling allocator can reuse.
func grow(mem arrow.Allocator, b []byte, need int) []byte {
	size := minBytes
	for size < need {
		size *= 2
	}
	n := len(b)
	if cap(b) == 0 {
		return mem.Allocate(size)[:n]
	}
	return mem.Reallocate(size, b[:cap(b)])[:n]
}

// AppendFixed appends one value of Width bytes.
func (c *Column) AppendFixed(v []byte) {
	c.Grow(len(v))
	c.Data = append(c.Data, v...)
	c.N++
}

// AppendInt64 appends to a column of width 8 that holds integers or times.
func (c *Column) AppendInt64(v int64) {
	c.Grow(8)
	c.Data = binary.LittleEndian.AppendUint64(c.Data, uint64(v))
	c.N++
}

// AppendInt32 appends to a column of width 4 that holds integers or dates.
func (c *Column) AppendInt32(v int32) {
	c.Grow(4)
	c.Data = binary.LittleEndian.AppendUint32(c.Data, uint32(v))
	c.N++
}

// AppendFloat64 appends to a float64 column.
func (c *Column) AppendFloat64(v float64) { c.AppendInt64(int64(math.Float64bits(v))) }

// AppendBool appends to a Bits column.
func (c *Column) AppendBool(v bool) {
	i := c.N & 7
	if i == 0 {
		c.Grow(1)
		c.Data = append(c.Data, 0)
	}
	if v {
		c.Data[len(c.Data)-1] |= 1 << i
	}
	c.N++
}

// AppendBytes appends one value to a Var column. The caller bounds a batch to
// less than 2 GiB of bytes per column.
func (c *Column) AppendBytes(v []byte) {
	if c.Long != nil && len(v) > c.Long.Above && c.Long.take(c, v) {
		return
	}
	c.Grow(len(v))
	c.Data = append(c.Data, v...)
	c.CloseValue(len(c.Data))
}

// AppendString appends one value to a Var column.
func (c *Column) AppendString(v string) {
	c.Grow(len(v))
	c.Data = append(c.Data, v...)
	c.CloseValue(len(c.Data))
}

// CloseValue ends the current value of a Var or List column: end is the length
// of Data, or of the child, up to which the value reaches.
func (c *Column) CloseValue(end int) {
	if len(c.Offsets)+1 > cap(c.Offsets) || len(c.Offsets) == 0 {
		c.GrowOffsets(1)
	}
	c.Offsets = append(c.Offsets, int32(end))
	c.N++
}

// AppendNull appends one null; fixed lists and structs get a null in each
// child, so that layouts stay aligned.
func (c *Column) AppendNull() { c.AppendNulls(1) }

// AppendNulls appends n nulls.
func (c *Column) AppendNulls(n int) {
	if n == 0 {
		return
	}
	if c.Kind != Empty {
		c.extendValidity()
		start := c.N
		c.growValidity(start + n)
		for i := start; i < start+n; i++ {
			c.valid[i>>3] &^= 1 << (i & 7)
		}
		c.validN = start + n
	}
	switch c.Kind {
	case Fixed:
		c.Grow(n * c.Width)
		l := len(c.Data)
		c.Data = c.Data[:l+n*c.Width]
		clear(c.Data[l:])
	case Bits:
		for range n {
			c.AppendBool(false)
		}
		c.N -= n
	case Var, List:
		c.GrowOffsets(n)
		last := c.Offsets[len(c.Offsets)-1]
		for range n {
			c.Offsets = append(c.Offsets, last)
		}
	case FixedList:
		c.Children[0].AppendNulls(n * c.Width)
	case Struct:
		for _, ch := range c.Children {
			ch.AppendNulls(n)
		}
	}
	c.N += n
	c.Nulls += n
}

// SetNull makes value i, which was appended before, a null. Its bytes and
// children stay, so that layouts stay aligned.
func (c *Column) SetNull(i int) {
	if c.Kind == Empty {
		return
	}
	c.extendValidity()
	if bit := byte(1) << (i & 7); c.valid[i>>3]&bit != 0 {
		c.valid[i>>3] &^= bit
		c.Nulls++
	}
}

// extendValidity brings the bitmap up to N: the values appended since the last
// null are valid.
func (c *Column) extendValidity() {
	c.growValidity(c.N)
	setBits(c.valid, c.validN, c.N)
	c.validN = c.N
}

func (c *Column) growValidity(bits int) {
	need := (bits + 7) / 8
	if need <= len(c.valid) {
		return
	}
	n := len(c.valid)
	if need > cap(c.valid) {
		c.valid = grow(c.mem, c.valid, need)
	}
	c.valid = c.valid[:need]
	clear(c.valid[n:])
}

func setBits(b []byte, from, to int) {
	for from < to && from&7 != 0 {
		b[from>>3] |= 1 << (from & 7)
		from++
	}
	for ; from+8 <= to; from += 8 {
		b[from>>3] = 0xff
	}
	for ; from < to; from++ {
		b[from>>3] |= 1 << (from & 7)
	}
}

// Valid reports whether value i is not null.
func (c *Column) Valid(i int) bool {
	if c.Kind == Empty {
		return false
	}
	return i >= c.validN || c.valid[i>>3]&(1<<(i&7)) != 0
}

// Truncate drops the values from n on: what a decoder does with the cells of a
// row that failed half way. Rows of children go with them.
func (c *Column) Truncate(n int) {
	if n >= c.N {
		return
	}
	if c.validN > n {
		for i := n; i < c.validN; i++ {
			if c.valid[i>>3]&(1<<(i&7)) == 0 {
				c.Nulls--
			}
			c.valid[i>>3] &^= 1 << (i & 7)
		}
		c.validN = n
		c.valid = c.valid[:(n+7)/8]
	}
	if c.Kind == Empty {
		c.Nulls = n
	}
	switch c.Kind {
	case Fixed:
		c.Data = c.Data[:n*c.Width]
	case Bits:
		c.Data = c.Data[:(n+7)/8]
		if r := n & 7; r != 0 {
			c.Data[len(c.Data)-1] &= 1<<r - 1
		}
	case Var:
		c.Offsets = c.Offsets[:n+1]
		c.Data = c.Data[:c.Offsets[n]]
		if c.Long != nil {
			c.Long.truncate(n)
		}
	case List:
		c.Offsets = c.Offsets[:n+1]
		c.Children[0].Truncate(int(c.Offsets[n]))
	case FixedList:
		c.Children[0].Truncate(n * c.Width)
	case Struct:
		for _, ch := range c.Children {
			ch.Truncate(n)
		}
	}
	c.N = n
}

// TrimVar drops bytes or child rows beyond the last closed value, which a
// decoder leaves behind when it fails inside a value.
func (c *Column) TrimVar() {
	switch c.Kind {
	case Var:
		c.Data = c.Data[:c.end()]
	case List:
		ch := c.Children[0]
		ch.TrimVar()
		ch.Truncate(c.end())
	case FixedList:
		ch := c.Children[0]
		ch.TrimVar()
		ch.Truncate(c.N * c.Width)
	case Struct:
		for _, ch := range c.Children {
			ch.TrimVar()
			ch.Truncate(c.N)
		}
	}
}

func (c *Column) end() int {
	if len(c.Offsets) == 0 {
		return 0
	}
	return int(c.Offsets[len(c.Offsets)-1])
}

// AppendColumn appends all values of src, which must have the same type: a
// bulk copy per buffer. src is unchanged.
func (c *Column) AppendColumn(src *Column) {
	if src.N == 0 {
		return
	}
	if src.Nulls > 0 && c.Kind != Empty {
		c.extendValidity()
		c.growValidity(c.N + src.N)
		for i := range src.N {
			if src.Valid(i) {
				c.valid[(c.N+i)>>3] |= 1 << ((c.N + i) & 7)
			}
		}
		c.validN = c.N + src.N
	}
	switch c.Kind {
	case Fixed:
		c.Grow(len(src.Data))
		c.Data = append(c.Data, src.Data...)
	case Bits:
		n := c.N
		if n&7 == 0 {
			c.Grow(len(src.Data))
			c.Data = append(c.Data, src.Data...)
		} else {
			for i := range src.N {
				c.AppendBool(src.Data[i>>3]&(1<<(i&7)) != 0)
			}
			c.N = n
		}
	case Var, List:
		c.GrowOffsets(src.N)
		base := c.Offsets[len(c.Offsets)-1]
		for _, o := range src.Offsets[1 : src.N+1] {
			c.Offsets = append(c.Offsets, base+o)
		}
		if c.Kind == Var {
			c.Grow(len(src.Data))
			c.Data = append(c.Data, src.Data...)
		} else {
			c.Children[0].AppendColumn(src.Children[0])
		}
	case FixedList:
		c.Children[0].AppendColumn(src.Children[0])
	case Struct:
		for i, ch := range c.Children {
			ch.AppendColumn(src.Children[i])
		}
	}
	c.N += src.N
	c.Nulls += src.Nulls
}

// AppendRange appends values [from, to) of src, which must have the same type.
// src is unchanged.
func (c *Column) AppendRange(src *Column, from, to int) {
	if from == 0 && to == src.N {
		c.AppendColumn(src)
		return
	}
	n := to - from
	if n <= 0 {
		return
	}
	nulls := 0
	if src.Nulls > 0 && c.Kind != Empty {
		for i := from; i < to; i++ {
			if !src.Valid(i) {
				nulls++
			}
		}
		if nulls > 0 {
			c.extendValidity()
			c.growValidity(c.N + n)
			for i := range n {
				if src.Valid(from + i) {
					c.valid[(c.N+i)>>3] |= 1 << ((c.N + i) & 7)
				}
			}
			c.validN = c.N + n
		}
	}
	switch c.Kind {
	case Fixed:
		b := src.Data[from*c.Width : to*c.Width]
		c.Grow(len(b))
		c.Data = append(c.Data, b...)
	case Bits:
		old := c.N
		for i := from; i < to; i++ {
			c.AppendBool(src.Data[i>>3]&(1<<(i&7)) != 0)
		}
		c.N = old
	case Var, List:
		c.GrowOffsets(n)
		start, end := src.Offsets[from], src.Offsets[to]
		shift := c.Offsets[len(c.Offsets)-1] - start
		for _, o := range src.Offsets[from+1 : to+1] {
			c.Offsets = append(c.Offsets, shift+o)
		}
		if c.Kind == Var {
			c.Grow(int(end - start))
			c.Data = append(c.Data, src.Data[start:end]...)
		} else {
			c.Children[0].AppendRange(src.Children[0], int(start), int(end))
		}
	case FixedList:
		c.Children[0].AppendRange(src.Children[0], from*c.Width, to*c.Width)
	case Struct:
		for i, ch := range c.Children {
			ch.AppendRange(src.Children[i], from, to)
		}
	case Empty:
		nulls = n
	}
	c.N += n
	c.Nulls += nulls
}

// Reset empties the column and keeps its memory.
func (c *Column) Reset() {
	c.Data = c.Data[:0]
	c.Offsets = c.Offsets[:0]
	c.valid = c.valid[:0]
	c.N, c.Nulls, c.validN = 0, 0, 0
	for _, ch := range c.Children {
		ch.Reset()
	}
}

// Release gives all memory back. The column can be used again.
func (c *Column) Release() {
	c.free(c.Data)
	c.free(c.offBytes)
	c.free(c.valid)
	c.forget()
	for _, ch := range c.Children {
		ch.Release()
	}
}

func (c *Column) free(b []byte) {
	if cap(b) > 0 {
		c.mem.Free(b[:cap(b)])
	}
}

func (c *Column) forget() {
	c.Data, c.Offsets, c.offBytes, c.valid = nil, nil, nil, nil
	c.N, c.Nulls, c.validN = 0, 0, 0
}

// Finish returns what the column holds as an Arrow array, which takes over the
// memory, and leaves the column empty. A column of nulls only keeps no value
// buffers. The caller releases the array.
func (c *Column) Finish() arrow.Array {
	data := c.finish()
	defer data.Release()
	return arrow.MakeFromData(data)
}

func (c *Column) finish() *arrow.Data {
	n, nulls := c.N, c.Nulls
	if c.Kind == Empty {
		c.forget()
		return arrow.NewData(c.Type, n, []*arrow.Buffer{nil}, nil, n, 0)
	}
	var valid *arrow.Buffer
	if nulls > 0 {
		c.extendValidity()
		valid = c.take(c.valid)
	} else {
		c.free(c.valid)
	}
	c.valid = nil
	bufs := []*arrow.Buffer{valid}
	var kids []arrow.ArrayData
	switch c.Kind {
	case Fixed, Bits:
		bufs = append(bufs, c.take(c.Data))
	case Var, List:
		if len(c.Offsets) == 0 {
			c.GrowOffsets(0)
		}
		bufs = append(bufs, c.take(c.offBytes[:4*len(c.Offsets)]))
		if c.Kind == Var {
			bufs = append(bufs, c.take(c.Data))
		}
	}
	for _, ch := range c.Children {
		d := ch.finish()
		defer d.Release()
		kids = append(kids, d)
	}
	c.forget()
	data := arrow.NewData(c.Type, n, bufs, kids, nulls, 0)
	for _, b := range bufs {
		if b != nil {
			b.Release()
		}
	}
	return data
}

// take wraps b as an Arrow buffer that frees its whole capacity.
func (c *Column) take(b []byte) *arrow.Buffer {
	if cap(b) == 0 {
		return arrow.NewBufferBytes(nil)
	}
	buf := arrow.NewBufferWithAllocator(b[:cap(b)], c.mem)
	buf.ResizeNoShrink(len(b))
	return buf
}
