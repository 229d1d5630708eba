package expr

import (
	"unsafe"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// boundColumn is a column of the current batch, laid open.
type boundColumn struct {
	raw     []byte // values of the whole batch, from its first row on
	offs    []int32
	data    []byte // bytes of strings
	bitmap  []byte // booleans
	valid   []byte // nil without nulls
	off     int    // of both bitmaps
	allNull bool

	// Labels. The headers of a dictionary are kept as long as batches share it.
	codes    []int32
	dictOf   arrow.ArrayData
	dict     []string
	dictNull []bool // nil without null labels
	version  uint64
	fresh    bool
}

func cast[T any](b []byte, off, n int) []T {
	var z T
	size := int(unsafe.Sizeof(z))
	if n == 0 || len(b) < (off+n)*size {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/size)[off : off+n]
}

func (c *boundColumn) bind(arr arrow.Array) {
	d := arr.Data()
	n := d.Len()
	c.off = d.Offset()
	c.raw, c.offs, c.data, c.bitmap, c.valid, c.codes = nil, nil, nil, nil, nil, nil
	// A column of nulls may come without any value buffer.
	c.allNull = n > 0 && arr.NullN() == n || arr.DataType().ID() == arrow.NULL
	if c.allNull {
		return
	}
	bufs := d.Buffers()
	if arr.NullN() > 0 && bufs[0] != nil {
		c.valid = bufs[0].Bytes()
	}
	bytes := func(i int) []byte {
		if i < len(bufs) && bufs[i] != nil {
			return bufs[i].Bytes()
		}
		return nil
	}
	switch arr.DataType().ID() {
	case arrow.BOOL:
		c.bitmap = bytes(1)
	case arrow.STRING, arrow.BINARY:
		c.offs, c.data = cast[int32](bytes(1), c.off, n+1), bytes(2)
	case arrow.LIST:
		c.offs = cast[int32](bytes(1), c.off, n+1)
	case arrow.DICTIONARY:
		c.codes = cast[int32](bytes(1), c.off, n)
		c.bindLabels(d.Dictionary(), arr)
	default:
		c.raw = bytes(1)
	}
}

// bindLabels spells out a dictionary that is not the one of the batch before.
// Comparing the identity is safe: c holds on to the description of the last
// dictionary, so that no other can take its place.
func (c *boundColumn) bindLabels(d arrow.ArrayData, arr arrow.Array) {
	if d == c.dictOf && c.dict != nil {
		return
	}
	labels, ok := arr.(*arrow.Dictionary).Dictionary().(*arrow.String)
	if !ok {
		return
	}
	c.dictOf, c.fresh = d, true
	c.dict = c.dict[:0]
	c.dictNull = nil
	for i := range labels.Len() {
		c.dict = append(c.dict, labels.Value(i))
	}
	if c.dict == nil {
		c.dict = []string{}
	}
	if labels.NullN() > 0 {
		c.dictNull = make([]bool, labels.Len())
		for i := range c.dictNull {
			c.dictNull[i] = labels.IsNull(i)
		}
	}
}

func (c *boundColumn) unbind() {
	c.raw, c.offs, c.data, c.bitmap, c.valid, c.codes = nil, nil, nil, nil, nil, nil
}

// columnNode reads a column.
type columnNode struct {
	slot int
	col  int // position in Program.columns
	id   arrow.TypeID
}

func (c *columnNode) eval(s *Scratch, need *rowset) *vec {
	v, b := s.slots[c.slot], &s.cols[c.col]
	n := s.n
	if b.allNull {
		v.valid = rowset{}
		c.zero(v, n)
		return v
	}
	if b.valid == nil {
		v.valid = allRows
	} else {
		v.valid.load(b.valid, b.off+s.from, n)
	}
	at := b.off + s.from
	switch c.id {
	case arrow.BOOL:
		v.b.load(b.bitmap, at, n)
	case arrow.INT64, arrow.TIMESTAMP, arrow.DURATION:
		v.i = cast[int64](b.raw, at, n)
	case arrow.UINT64:
		v.u = cast[uint64](b.raw, at, n)
	case arrow.FLOAT64:
		v.f = cast[float64](b.raw, at, n)
	case arrow.INT8:
		widen(v.ints(n), cast[int8](b.raw, at, n))
	case arrow.INT16:
		widen(v.ints(n), cast[int16](b.raw, at, n))
	case arrow.INT32, arrow.DATE32:
		widen(v.ints(n), cast[int32](b.raw, at, n))
	case arrow.UINT8:
		widen(v.ints(n), cast[uint8](b.raw, at, n))
	case arrow.UINT16:
		widen(v.ints(n), cast[uint16](b.raw, at, n))
	case arrow.UINT32:
		widen(v.ints(n), cast[uint32](b.raw, at, n))
	case arrow.FLOAT32:
		out := v.floats(n)
		for i, x := range cast[float32](b.raw, at, n) {
			out[i] = float64(x)
		}
	case arrow.STRING:
		out := v.texts(n)
		offs := b.offs[s.from : s.from+n+1]
		for i := range out {
			out[i] = view(b.data[offs[i]:offs[i+1]])
		}
	case arrow.DICTIONARY:
		if b.fresh {
			b.fresh = false
			s.versions++
			b.version = s.versions
		}
		v.codes, v.dict, v.version = b.codes[s.from:s.from+n], b.dict, b.version
		if b.dictNull != nil {
			for i, code := range v.codes {
				if uint(code) < uint(len(b.dictNull)) && b.dictNull[code] {
					v.valid[i>>6] &^= 1 << (i & 63)
				}
			}
		}
	}
	return v
}

// zero stands for the values of a block of nulls.
func (c *columnNode) zero(v *vec, n int) {
	v.b = rowset{}
	switch c.id {
	case arrow.UINT64:
		clear(v.uints(n))
	case arrow.FLOAT32, arrow.FLOAT64:
		clear(v.floats(n))
	case arrow.STRING, arrow.DICTIONARY:
		clear(v.texts(n))
	case arrow.BOOL, arrow.NULL, arrow.BINARY, arrow.LIST, arrow.FIXED_SIZE_LIST, arrow.STRUCT, arrow.DECIMAL128:
	default:
		clear(v.ints(n))
	}
}

func widen[T int8 | int16 | int32 | uint8 | uint16 | uint32](dst []int64, src []T) {
	for i, x := range src {
		dst[i] = int64(x)
	}
}

// lengthNode is len of a column that is neither string nor label.
type lengthNode struct {
	slot  int
	col   *columnNode
	width int // of fixed lists
}

func (l *lengthNode) eval(s *Scratch, need *rowset) *vec {
	v, b := s.slots[l.slot], &s.cols[l.col.col]
	v.valid = l.col.eval(s, need).valid
	out := v.ints(s.n)
	if b.allNull || l.col.id == arrow.FIXED_SIZE_LIST {
		for i := range out {
			out[i] = int64(l.width)
		}
		return v
	}
	offs := b.offs[s.from : s.from+s.n+1]
	for i := range out {
		out[i] = int64(offs[i+1] - offs[i])
	}
	return v
}

// constNode is a constant, spread over the block once.
type constNode struct {
	slot  int
	kind  Kind
	value value
}

func (c *constNode) eval(s *Scratch, need *rowset) *vec {
	v, n := s.slots[c.slot], s.n
	switch c.kind.stored() {
	case Int:
		if v.ibuf == nil {
			fill(v.ints(blockRows), c.value.i)
		}
		v.i = v.ibuf[:n]
	case Uint:
		if v.ubuf == nil {
			fill(v.uints(blockRows), c.value.u)
		}
		v.u = v.ubuf[:n]
	case Float:
		if v.fbuf == nil {
			fill(v.floats(blockRows), c.value.f)
		}
		v.f = v.fbuf[:n]
	case String:
		if v.sbuf == nil {
			fill(v.texts(blockRows), c.value.s)
		}
		v.s = v.sbuf[:n]
	case Bool:
		v.b = rowset{}
		if c.value.b {
			v.b = allRows
		}
	}
	v.valid = allRows
	if c.value.null {
		v.valid = rowset{}
	}
	return v
}

func fill[T any](dst []T, x T) {
	for i := range dst {
		dst[i] = x
	}
}
