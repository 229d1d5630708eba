package sort

import "github.com/drivemill/drivemill/pipeline/arrow"

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
