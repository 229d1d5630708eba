package column

import "github.com/drivemill/drivemill/pipeline/arrow"

// Bytes is the size of the values of rows [from, to) of arr. It is the sum of
// the sizes of the rows, whatever array they lie in: what row groups and pages
// are cut by, and what a copy of the rows takes, about. A label counts as its
// code, a boolean as a byte, and validity not at all.
func Bytes(arr arrow.Array, from, to int) int64 {
	n := int64(to - from)
	switch a := arr.(type) {
	case *arrow.Null:
		return 0
	case *arrow.Bool:
		return n
	case *arrow.String, *arrow.Binary:
		return 4*n + textBytes(arr.Data(), from, to)
	case *arrow.List:
		var child int64
		if off := offsetsOf(arr.Data()); off != nil {
			child = Bytes(a.ListValues(), int(off[from]), int(off[to]))
		}
		return 4*n + child
	case *arrow.FixedSizeList:
		size, first := int(a.DataType().(*arrow.FixedSizeListType).Len()), a.Data().Offset()
		return Bytes(a.ListValues(), (first+from)*size, (first+to)*size)
	case *arrow.Struct:
		sum := int64(0)
		for i := range a.NumField() {
			sum += Bytes(a.Field(i), from, to)
		}
		return sum
	}
	return n * int64(widthOf(arr.DataType()))
}

// textBytes is the size of the texts of rows [from, to).
func textBytes(data arrow.ArrayData, from, to int) int64 {
	off := offsetsOf(data)
	if off == nil {
		return 0
	}
	return int64(off[to] - off[from])
}
