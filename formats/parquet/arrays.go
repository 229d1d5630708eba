package parquet

import (
	"math/bits"
	"unsafe"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Views on the memory of Arrow arrays. Arrays of nulls only may lack buffers.

// fixed returns the values of a fixed-width array as they lie in memory, nil
// where there are none.
func fixed[T any](arr arrow.Array) []T {
	d := arr.Data()
	buf := d.Buffers()[1]
	if buf == nil || buf.Len() == 0 {
		return nil
	}
	var zero T
	b := buf.Bytes()
	all := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(zero)))
	return all[d.Offset() : d.Offset()+d.Len()]
}

// texts returns the bytes and the offsets of a string or binary array.
// Offsets are one more than values.
func texts(arr arrow.Array) ([]byte, []int32) {
	d := arr.Data()
	bufs := d.Buffers()
	if bufs[1] == nil || bufs[1].Len() == 0 {
		return nil, make([]int32, d.Len()+1)
	}
	off := arrow.Int32s(bufs[1].Bytes())[d.Offset() : d.Offset()+d.Len()+1]
	if bufs[2] == nil {
		return nil, off
	}
	return bufs[2].Bytes(), off
}

// listOffsets returns where the rows of a list array begin and end in its
// values: one more than there are rows.
func listOffsets(a *arrow.List) []int32 {
	off := a.Offsets()
	if len(off) == 0 {
		return make([]int32, a.Len()+1)
	}
	return off[a.Data().Offset() : a.Data().Offset()+a.Len()+1]
}

func listSize(a *arrow.FixedSizeList) int {
	return int(a.DataType().(*arrow.FixedSizeListType).Len())
}

// bitmap returns the bits of a boolean array and the position of the first.
func bitmap(arr arrow.Array) ([]byte, int) {
	d := arr.Data()
	if buf := d.Buffers()[1]; buf != nil {
		return buf.Bytes(), d.Offset()
	}
	return nil, 0
}

// hasNulls reports whether arr holds a null. Unlike NullN it writes nothing
// to the array, which other goroutines may be reading.
func hasNulls(arr arrow.Array) bool {
	if arr.DataType().ID() == arrow.NULL {
		return arr.Len() > 0
	}
	d := arr.Data()
	valid := arr.NullBitmapBytes()
	if len(valid) == 0 || d.NullN() == 0 {
		return false
	}
	return countBits(valid, d.Offset(), d.Offset()+d.Len()) < d.Len()
}

// countBits counts the bits set in [from, to).
func countBits(b []byte, from, to int) int {
	n := 0
	for from < to && from&7 != 0 {
		n += int(b[from>>3]>>(from&7)) & 1
		from++
	}
	for ; from+8 <= to; from += 8 {
		n += bits.OnesCount8(b[from>>3])
	}
	for ; from < to; from++ {
		n += int(b[from>>3]>>(from&7)) & 1
	}
	return n
}

// fixedWidth is the size of a value in memory.
func fixedWidth(t arrow.DataType) int64 {
	switch t.ID() {
	case arrow.INT8, arrow.UINT8:
		return 1
	case arrow.INT16, arrow.UINT16:
		return 2
	case arrow.INT32, arrow.UINT32, arrow.FLOAT32, arrow.DATE32:
		return 4
	case arrow.DECIMAL128:
		return 16
	}
	return 8
}

// rowsWithin returns the largest end for which rows [from, end) are no more
// than max rows and stay below limit bytes, one row more at the least: rows are
// taken until the limit is reached.
func rowsWithin(size func(from, to int) int64, from, to, max int, limit int64) int {
	if to > from+max {
		to = from + max
	}
	if to <= from+1 || size(from, to) < limit {
		return to
	}
	// The first end at which the limit is reached lies in (lo, hi].
	lo, hi := from, to
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if size(from, mid) >= limit {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}
