package column

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// TakeRecord returns the rows of rec at the given positions, which need not be
// ascending and may repeat. The caller owns the result; rec is unchanged.
//
// Positions that are one ascending run become a slice, which shares the memory
// of rec. A run that is only a small part of rec is copied all the same: a
// slice would keep all of rec in memory for the sake of a few rows.
func TakeRecord(mem arrow.Allocator, rec arrow.Record, rows []int32) (arrow.Record, error) {
	if from, ok := sliceable(rows, int(rec.NumRows())); ok {
		return rec.NewSlice(int64(from), int64(from+len(rows))), nil
	}
	cols := make([]arrow.Array, 0, rec.NumCols())
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for i, c := range rec.Columns() {
		out, err := gather(mem, c, rows, false)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", rec.ColumnName(i), err)
		}
		cols = append(cols, out)
	}
	return arrow.NewRecord(rec.Schema(), cols, int64(len(rows))), nil
}

// Take returns the values of arr at the given positions, as TakeRecord does.
// A dictionary array keeps its dictionary. It fails only when the bytes of a
// variable-width column pass 2 GiB, which repeated positions may bring about.
func Take(mem arrow.Allocator, arr arrow.Array, rows []int32) (arrow.Array, error) {
	if from, ok := sliceable(rows, arr.Len()); ok {
		return arrow.NewSlice(arr, int64(from), int64(from+len(rows))), nil
	}
	return gather(mem, arr, rows, false)
}

// TakeNulls is Take where a position below zero gives a null: what an outer
// join needs for rows without a match.
func TakeNulls(mem arrow.Allocator, arr arrow.Array, rows []int32) (arrow.Array, error) {
	for _, r := range rows {
		if r < 0 {
			return gather(mem, arr, rows, true)
		}
	}
	return Take(mem, arr, rows)
}

// sliceable reports whether rows are one ascending run that is worth sharing.
func sliceable(rows []int32, n int) (from int, ok bool) {
	if len(rows) == 0 {
		return 0, true
	}
	first, last := rows[0], rows[len(rows)-1]
	if int(last-first) != len(rows)-1 || len(rows) < n/8 {
		return 0, false
	}
	for i, r := range rows {
		if r != first+int32(i) {
			return 0, false
		}
	}
	return int(first), true
}

func gather(mem arrow.Allocator, arr arrow.Array, rows []int32, nulls bool) (arrow.Array, error) {
	data, err := gatherData(mem, arr.Data(), rows, nulls)
	if err != nil {
		return nil, err
	}
	defer data.Release()
	return arrow.MakeFromData(data), nil
}

// gatherData is the recursive part. Positions count from the offset of data;
// where nulls is set, one below zero gives a null.
func gatherData(mem arrow.Allocator, data arrow.ArrayData, rows []int32, nulls bool) (*arrow.Data, error) {
	dt := data.DataType()
	n := len(rows)
	if dt.ID() == arrow.NULL {
		return arrow.NewData(dt, n, []*arrow.Buffer{nil}, nil, n, 0), nil
	}
	valid, nullN := gatherValidity(mem, data, rows, nulls)
	if nulls {
		// From here on every position must be readable.
		safe := make([]int32, n)
		for i, r := range rows {
			safe[i] = max(r, 0)
		}
		rows = safe
	}
	bufs := []*arrow.Buffer{valid}
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
	off := data.Offset()
	switch t := dt.(type) {
	case *arrow.ListType:
		offs := offsetsOf(data)
		out, child, err := gatherLists(mem, offs, rows)
		bufs = append(bufs, out)
		if err != nil {
			return nil, err
		}
		kid, err := gatherData(mem, data.Children()[0], child, false)
		if err != nil {
			return nil, err
		}
		kids = append(kids, kid)
	case *arrow.FixedSizeListType:
		kid, err := gatherFixedLists(mem, data.Children()[0], int(t.Len()), off, rows, data.Len() == 0)
		if err != nil {
			return nil, err
		}
		kids = append(kids, kid)
	case *arrow.StructType:
		inner := rows
		if off != 0 {
			inner = make([]int32, n)
			for i, r := range rows {
				inner[i] = r + int32(off)
			}
		}
		for _, ch := range data.Children() {
			if data.Len() == 0 {
				kids = append(kids, allNull(mem, ch.DataType(), n))
				continue
			}
			kid, err := gatherData(mem, ch, inner, false)
			if err != nil {
				return nil, err
			}
			kids = append(kids, kid)
		}
	case *arrow.DictionaryType:
		bufs = append(bufs, gatherFixed(mem, data, 4, rows))
		dict := data.Dictionary().(*arrow.Data)
		return arrow.NewDataWithDictionary(dt, n, bufs, nullN, 0, dict), nil
	default:
		switch dt.ID() {
		case arrow.BOOL:
			bufs = append(bufs, gatherBits(mem, data, rows))
		case arrow.STRING, arrow.BINARY:
			offBuf, valBuf, err := gatherVar(mem, data, rows)
			bufs = append(bufs, offBuf, valBuf)
			if err != nil {
				return nil, err
			}
		default:
			bufs = append(bufs, gatherFixed(mem, data, widthOf(dt), rows))
		}
	}
	return arrow.NewData(dt, n, bufs, kids, nullN, 0), nil
}

// widthOf is the number of bytes of one value of a fixed-width type.
func widthOf(dt arrow.DataType) int {
	switch dt.ID() {
	case arrow.INT8, arrow.UINT8:
		return 1
	case arrow.INT16, arrow.UINT16:
		return 2
	case arrow.INT32, arrow.UINT32, arrow.FLOAT32, arrow.DATE32, arrow.DICTIONARY:
		return 4
	case arrow.INT64, arrow.UINT64, arrow.FLOAT64, arrow.TIMESTAMP, arrow.DURATION:
		return 8
	case arrow.DECIMAL128:
		return 16
	}
	panic(fmt.Sprintf("column: batches have no type %s", dt))
}

// allNull makes n nulls of any type.
func allNull(mem arrow.Allocator, dt arrow.DataType, n int) *arrow.Data {
	c := New(mem, dt)
	c.AppendNulls(n)
	return c.finish()
}

// newBuffer allocates n bytes. They are not cleared.
func newBuffer(mem arrow.Allocator, n int) (*arrow.Buffer, []byte) {
	if n == 0 {
		return arrow.NewBufferBytes(nil), nil
	}
	b := mem.Allocate(n)
	return arrow.NewBufferWithAllocator(b, mem), b
}

// bytesOf returns the bytes of buffer i of data, nil where there is none.
func bytesOf(data arrow.ArrayData, i int) []byte {
	if bufs := data.Buffers(); i < len(bufs) && bufs[i] != nil {
		return bufs[i].Bytes()
	}
	return nil
}

func gatherValidity(mem arrow.Allocator, data arrow.ArrayData, rows []int32, nulls bool) (*arrow.Buffer, int) {
	src := bytesOf(data, 0)
	if data.NullN() == 0 || src == nil {
		src = nil
		if !nulls {
			return nil, 0
		}
	}
	off := data.Offset()
	buf, dst := newBuffer(mem, (len(rows)+7)/8)
	clear(dst)
	count := 0
	for i, r := range rows {
		var v byte
		if r >= 0 {
			v = 1
			if src != nil {
				j := off + int(r)
				v = src[j>>3] >> (j & 7) & 1
			}
		}
		dst[i>>3] |= v << (i & 7)
		count += int(v)
	}
	if count == len(rows) {
		buf.Release()
		return nil, 0
	}
	return buf, len(rows) - count
}

// values views b as values of type T from offset off; nil when b is too short,
// which is how a column of nulls may come.
func values[T any](b []byte, off, n int) []T {
	var z T
	size := int(unsafe.Sizeof(z))
	if len(b) < (off+n)*size || n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/size)[off : off+n]
}

func gatherFixed(mem arrow.Allocator, data arrow.ArrayData, width int, rows []int32) *arrow.Buffer {
	return gatherWidth(mem, bytesOf(data, 1), width, data.Offset(), data.Len(), rows)
}

func gatherWidth(mem arrow.Allocator, src []byte, width, off, n int, rows []int32) *arrow.Buffer {
	buf, dst := newBuffer(mem, len(rows)*width)
	if len(rows) == 0 {
		return buf
	}
	if n == 0 || len(src) < (off+n)*width {
		clear(dst)
		return buf
	}
	switch width {
	case 1:
		gatherT(values[uint8](dst, 0, len(rows)), values[uint8](src, off, n), rows)
	case 2:
		gatherT(values[uint16](dst, 0, len(rows)), values[uint16](src, off, n), rows)
	case 4:
		gatherT(values[uint32](dst, 0, len(rows)), values[uint32](src, off, n), rows)
	case 8:
		gatherT(values[uint64](dst, 0, len(rows)), values[uint64](src, off, n), rows)
	case 16:
		gatherT(values[[2]uint64](dst, 0, len(rows)), values[[2]uint64](src, off, n), rows)
	default:
		for i, r := range rows {
			from := (off + int(r)) * width
			copy(dst[i*width:(i+1)*width], src[from:from+width])
		}
	}
	return buf
}

func gatherT[T any](dst, src []T, rows []int32) {
	dst = dst[:len(rows)]
	for i, r := range rows {
		dst[i] = src[r]
	}
}

func gatherBits(mem arrow.Allocator, data arrow.ArrayData, rows []int32) *arrow.Buffer {
	src, off := bytesOf(data, 1), data.Offset()
	buf, dst := newBuffer(mem, (len(rows)+7)/8)
	clear(dst)
	if len(src)*8 < off+data.Len() || data.Len() == 0 {
		return buf
	}
	for i, r := range rows {
		j := off + int(r)
		dst[i>>3] |= src[j>>3] >> (j & 7) & 1 << (i & 7)
	}
	return buf
}

// offsetsOf returns the n+1 offsets of a variable-width or list array, nil
// where it has none.
func offsetsOf(data arrow.ArrayData) []int32 {
	return values[int32](bytesOf(data, 1), data.Offset(), data.Len()+1)
}

func gatherVar(mem arrow.Allocator, data arrow.ArrayData, rows []int32) (*arrow.Buffer, *arrow.Buffer, error) {
	offs, src := offsetsOf(data), bytesOf(data, 2)
	offBuf, raw := newBuffer(mem, 4*(len(rows)+1))
	dst := values[int32](raw, 0, len(rows)+1)
	if offs == nil || data.Len() == 0 {
		clear(dst)
		return offBuf, arrow.NewBufferBytes(nil), nil
	}
	total := 0
	dst[0] = 0
	for i, r := range rows {
		total += int(offs[r+1] - offs[r])
		dst[i+1] = int32(total)
	}
	if total > math.MaxInt32 {
		clear(dst)
		return offBuf, nil, tooLong(total)
	}
	valBuf, out := newBuffer(mem, total)
	for i, r := range rows {
		copy(out[dst[i]:dst[i+1]], src[offs[r]:offs[r+1]])
	}
	return offBuf, valBuf, nil
}

func tooLong(n int) error {
	return fmt.Errorf("gathering %d values into one batch: %w", n, pipeline.ErrLimit)
}

// gatherLists returns the new offsets and the child rows they count.
func gatherLists(mem arrow.Allocator, offs []int32, rows []int32) (*arrow.Buffer, []int32, error) {
	buf, raw := newBuffer(mem, 4*(len(rows)+1))
	dst := values[int32](raw, 0, len(rows)+1)
	if len(offs) < 2 {
		clear(dst)
		return buf, nil, nil
	}
	total := 0
	dst[0] = 0
	for i, r := range rows {
		total += int(offs[r+1] - offs[r])
		dst[i+1] = int32(total)
	}
	if total > math.MaxInt32 {
		clear(dst)
		return buf, nil, tooLong(total)
	}
	child := make([]int32, 0, total)
	for _, r := range rows {
		for c := offs[r]; c < offs[r+1]; c++ {
			child = append(child, c)
		}
	}
	return buf, child, nil
}

// gatherFixedLists takes width child rows for each row. Fixed-width children
// without nulls, such as covariance matrices, are copied list by list.
func gatherFixedLists(mem arrow.Allocator, child arrow.ArrayData, width, off int, rows []int32, empty bool) (*arrow.Data, error) {
	dt := child.DataType()
	total := len(rows) * width
	if empty {
		return allNull(mem, dt, total), nil
	}
	if total > math.MaxInt32 {
		return nil, tooLong(total)
	}
	switch dt.ID() {
	case arrow.NULL, arrow.BOOL, arrow.STRING, arrow.BINARY, arrow.LIST, arrow.FIXED_SIZE_LIST, arrow.STRUCT, arrow.DICTIONARY:
	default:
		w := widthOf(dt) * width
		src := bytesOf(child, 1)
		if from := child.Offset() * widthOf(dt); child.NullN() == 0 && width > 0 && from <= len(src) {
			lists := child.Len() / width
			buf := gatherWidth(mem, src[from:], w, off, lists-off, rows)
			defer buf.Release()
			return arrow.NewData(dt, total, []*arrow.Buffer{nil, buf}, nil, 0, 0), nil
		}
	}
	inner := make([]int32, 0, total)
	for _, r := range rows {
		first := (int32(off) + r) * int32(width)
		for k := range int32(width) {
			inner = append(inner, first+k)
		}
	}
	return gatherData(mem, child, inner, false)
}
