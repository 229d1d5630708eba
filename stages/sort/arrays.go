package sort

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// An array is written as its number of nulls and, unless all its values are
// null, a bitmap where there is a null, and its values: those of fixed width as
// they lie in memory, booleans as bits, texts as offsets from 0 and bytes, lists
// as offsets and the array of their items, structs as the arrays of their
// fields, a dictionary array as codes and dictionary. Only the rows of a slice
// are written, not what lies around them.

// arrayWriter writes arrays until the first error.
type arrayWriter struct {
	w   io.Writer
	err error
	num [binary.MaxVarintLen64]byte
	buf []byte
}

func (w *arrayWriter) bytes(b []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
}

func (w *arrayWriter) number(n int) { w.bytes(w.num[:binary.PutUvarint(w.num[:], uint64(n))]) }

// bits writes n bits of b from bit off on.
func (w *arrayWriter) bits(b []byte, off, n int) {
	if off&7 == 0 {
		w.bytes(b[off>>3 : off>>3+(n+7)/8])
		return
	}
	w.buf = append(w.buf[:0], make([]byte, (n+7)/8)...)
	for i := range n {
		w.buf[i>>3] |= b[(off+i)>>3] >> ((off + i) & 7) & 1 << (i & 7)
	}
	w.bytes(w.buf)
}

// offsets writes the offsets of n values, from 0, and returns where the values lie.
func (w *arrayWriter) offsets(d arrow.ArrayData, n int) (from, to int) {
	if d.Buffers()[1] == nil || d.Buffers()[1].Len() == 0 {
		w.bytes(make([]byte, 4*(n+1)))
		return 0, 0
	}
	offs := arrow.Int32s(d.Buffers()[1].Bytes())[d.Offset() : d.Offset()+n+1]
	w.buf = w.buf[:0]
	for _, o := range offs {
		w.buf = binary.NativeEndian.AppendUint32(w.buf, uint32(o-offs[0]))
	}
	w.bytes(w.buf)
	return int(offs[0]), int(offs[n])
}

func (w *arrayWriter) array(arr arrow.Array) {
	d, n, nulls := arr.Data(), arr.Len(), arr.NullN()
	t := arr.DataType()
	if t.ID() == arrow.NULL {
		return
	}
	w.number(nulls)
	if nulls == n {
		return
	}
	if nulls > 0 {
		w.bits(d.Buffers()[0].Bytes(), d.Offset(), n)
	}
	switch t := t.(type) {
	case *arrow.ListType:
		from, to := w.offsets(d, n)
		w.number(to - from)
		w.slice(arr.(*arrow.List).ListValues(), from, to)
		return
	case *arrow.FixedSizeListType:
		size := int(t.Len())
		w.slice(arr.(*arrow.FixedSizeList).ListValues(), d.Offset()*size, (d.Offset()+n)*size)
		return
	case *arrow.StructType:
		s := arr.(*arrow.Struct)
		for i := range s.NumField() {
			w.array(s.Field(i))
		}
		return
	}
	switch t.ID() {
	case arrow.BOOL:
		w.bits(d.Buffers()[1].Bytes(), d.Offset(), n)
	case arrow.STRING, arrow.BINARY:
		from, to := w.offsets(d, n)
		if to > from {
			w.bytes(d.Buffers()[2].Bytes()[from:to])
		}
	case arrow.DICTIONARY:
		dict := arr.(*arrow.Dictionary).Dictionary()
		w.bytes(d.Buffers()[1].Bytes()[4*d.Offset() : 4*(d.Offset()+n)])
		w.number(dict.Len())
		w.array(dict)
	default:
		size := width(t)
		if size == 0 {
			w.err = fmt.Errorf("columns of %s cannot be written: %w", t, pipeline.ErrUnsupported)
			return
		}
		w.bytes(d.Buffers()[1].Bytes()[size*d.Offset() : size*(d.Offset()+n)])
	}
}

func (w *arrayWriter) slice(arr arrow.Array, from, to int) {
	part := arrow.NewSlice(arr, int64(from), int64(to))
	defer part.Release()
	w.array(part)
}

// width is the size of a value of fixed width, 0 for other types.
func width(t arrow.DataType) int {
	switch t.ID() {
	case arrow.INT8, arrow.UINT8:
		return 1
	case arrow.INT16, arrow.UINT16:
		return 2
	case arrow.INT32, arrow.UINT32, arrow.FLOAT32, arrow.DATE32:
		return 4
	case arrow.INT64, arrow.UINT64, arrow.FLOAT64, arrow.TIMESTAMP, arrow.DURATION:
		return 8
	case arrow.DECIMAL128:
		return 16
	}
	return 0
}

// arrayReader reads arrays until the first error. It trusts the file, which the
// process wrote itself and whose checksums zstd verifies.
type arrayReader struct {
	r interface {
		io.Reader
		io.ByteReader
	}
	mem arrow.Allocator
	err error
}

func (r *arrayReader) number() int {
	if r.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(r.r)
	r.err = err
	return int(n)
}

func (r *arrayReader) buffer(size int) *arrow.Buffer {
	b := arrow.NewResizableBuffer(r.mem)
	b.Resize(size)
	if r.err == nil {
		_, r.err = io.ReadFull(r.r, b.Bytes())
	}
	return b
}

// data reads n values of type t. The caller releases the result, which is there
// also after an error and then means nothing.
func (r *arrayReader) data(t arrow.DataType, n int) *arrow.Data {
	if t.ID() == arrow.NULL {
		return arrow.NewData(t, n, []*arrow.Buffer{nil}, nil, n, 0)
	}
	nulls := r.number()
	var bufs []*arrow.Buffer
	var kids []arrow.ArrayData
	defer func() {
		for _, b := range bufs {
			if b != nil {
				b.Release()
			}
		}
		for _, k := range kids {
			k.Release()
		}
	}()
	if nulls == n || r.err != nil {
		return r.nulls(t, n)
	}
	bufs = append(bufs, nil)
	if nulls > 0 {
		bufs[0] = r.buffer((n + 7) / 8)
	}
	switch t := t.(type) {
	case *arrow.ListType:
		bufs = append(bufs, r.buffer(4*(n+1)))
		kids = append(kids, r.data(t.Elem(), r.number()))
		return arrow.NewData(t, n, bufs, kids, nulls, 0)
	case *arrow.FixedSizeListType:
		kids = append(kids, r.data(t.Elem(), n*int(t.Len())))
		return arrow.NewData(t, n, bufs, kids, nulls, 0)
	case *arrow.StructType:
		for _, f := range t.Fields() {
			kids = append(kids, r.data(f.Type, n))
		}
		return arrow.NewData(t, n, bufs, kids, nulls, 0)
	case *arrow.DictionaryType:
		bufs = append(bufs, r.buffer(4*n))
		dict := r.data(t.ValueType, r.number())
		defer dict.Release()
		return arrow.NewDataWithDictionary(t, n, bufs, nulls, 0, dict)
	}
	switch t.ID() {
	case arrow.BOOL:
		bufs = append(bufs, r.buffer((n+7)/8))
	case arrow.STRING, arrow.BINARY:
		offs := r.buffer(4 * (n + 1))
		bufs = append(bufs, offs)
		size := 0
		if r.err == nil {
			size = int(arrow.Int32s(offs.Bytes())[n])
		}
		bufs = append(bufs, r.buffer(size))
	default:
		bufs = append(bufs, r.buffer(width(t)*n))
	}
	return arrow.NewData(t, n, bufs, nil, nulls, 0)
}

// nulls makes n nulls of type t.
func (r *arrayReader) nulls(t arrow.DataType, n int) *arrow.Data {
	if d, ok := t.(*arrow.DictionaryType); ok {
		codes, dict := r.nulls(d.IndexType, n), r.nulls(d.ValueType, 0)
		defer codes.Release()
		defer dict.Release()
		return arrow.NewDataWithDictionary(t, n, codes.Buffers(), codes.NullN(), 0, dict)
	}
	c := column.New(r.mem, t)
	c.AppendNulls(n)
	arr := c.Finish()
	defer arr.Release()
	return arrow.NewData(t, n, arr.Data().Buffers(), arr.Data().Children(), arr.NullN(), 0)
}

// recordBytes is about what the rows of rec take in memory.
func recordBytes(rec arrow.Record) (sum int64) {
	for _, c := range rec.Columns() {
		sum += arrayBytes(c)
	}
	return sum
}

func arrayBytes(arr arrow.Array) int64 {
	n := int64(arr.Len())
	if n == 0 || arr.NullN() == arr.Len() {
		return n / 8
	}
	switch a := arr.(type) {
	case *arrow.Bool:
		return n / 4
	case *arrow.String:
		return 4*n + int64(a.ValueOffset(int(n))-a.ValueOffset(0))
	case *arrow.Binary:
		return 4*n + a.ValueOffset64(int(n)) - a.ValueOffset64(0)
	case *arrow.Dictionary:
		return 4*n + arrayBytes(a.Dictionary())
	case *arrow.List:
		return 4*n + arrayBytes(a.ListValues())
	case *arrow.FixedSizeList:
		return arrayBytes(a.ListValues())
	case *arrow.Struct:
		sum := int64(0)
		for i := range a.NumField() {
			sum += arrayBytes(a.Field(i))
		}
		return sum
	}
	return n * int64(width(arr.DataType()))
}
