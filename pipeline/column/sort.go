package column

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// SortRows returns the rows of rec in ascending order of the columns at
// positions keys; rows that compare equal keep their order. Nulls come first,
// NaN after all other numbers, false before true, strings by their bytes. It
// returns nil when the rows are in order already, which costs one pass.
// Columns of lists and structs have no order and are refused.
func SortRows(rec arrow.Record, keys []int) ([]int32, error) {
	n := int(rec.NumRows())
	if n < 2 || len(keys) == 0 {
		return nil, nil
	}
	ks := make([]sortKey, 0, len(keys))
	for _, k := range keys {
		key, err := newSortKey(rec.Column(k))
		if err != nil {
			return nil, fmt.Errorf("sorting by %s: %w", rec.ColumnName(k), err)
		}
		if key != nil {
			ks = append(ks, *key)
		}
	}
	single := len(ks) == 1 && ks[0].num != nil && ks[0].hi == nil && ks[0].valid == nil
	sorted := !single || slices.IsSorted(ks[0].num)
	for i := 1; i < n && sorted && !single; i++ {
		sorted = compareRows(ks, int32(i-1), int32(i)) <= 0
	}
	if sorted {
		return nil, nil
	}
	rows := make([]int32, n)
	if single {
		// The common case, one clock: key and row side by side.
		type pair struct {
			key uint64
			row int32
		}
		pairs := make([]pair, n)
		for i, v := range ks[0].num {
			pairs[i] = pair{v, int32(i)}
		}
		slices.SortFunc(pairs, func(a, b pair) int {
			if a.key != b.key {
				if a.key < b.key {
					return -1
				}
				return 1
			}
			return int(a.row - b.row)
		})
		for i, p := range pairs {
			rows[i] = p.row
		}
		return rows, nil
	}
	for i := range rows {
		rows[i] = int32(i)
	}
	slices.SortFunc(rows, func(a, b int32) int {
		if c := compareRows(ks, a, b); c != 0 {
			return c
		}
		return int(a - b)
	})
	return rows, nil
}

// sortKey is one column made comparable: numbers as unsigned integers of the
// same order, anything else as bytes.
type sortKey struct {
	num   []uint64
	hi    []int64 // upper halves of decimals
	offs  []int32
	bytes []byte
	valid []byte // validity bitmap, nil without nulls
	off   int    // of the bitmap
}

func compareRows(keys []sortKey, a, b int32) int {
	for i := range keys {
		if c := keys[i].compare(a, b); c != 0 {
			return c
		}
	}
	return 0
}

func (k *sortKey) compare(a, b int32) int {
	if k.valid != nil {
		i, j := k.off+int(a), k.off+int(b)
		va, vb := k.valid[i>>3]>>(i&7)&1, k.valid[j>>3]>>(j&7)&1
		if va != vb {
			return int(va) - int(vb)
		}
		if va == 0 {
			return 0
		}
	}
	if k.num != nil {
		if k.hi != nil && k.hi[a] != k.hi[b] {
			return cmp.Compare(k.hi[a], k.hi[b])
		}
		return cmp.Compare(k.num[a], k.num[b])
	}
	return bytes.Compare(k.bytes[k.offs[a]:k.offs[a+1]], k.bytes[k.offs[b]:k.offs[b+1]])
}

const signBit = 1 << 63

// newSortKey returns nil for a column that cannot tell rows apart.
func newSortKey(arr arrow.Array) (*sortKey, error) {
	d := arr.Data()
	n, off := d.Len(), d.Offset()
	k := &sortKey{off: off}
	if arr.NullN() == n {
		return nil, nil
	}
	if arr.NullN() > 0 {
		k.valid = bytesOf(d, 0)
	}
	raw := bytesOf(d, 1)
	switch dt := arr.DataType(); dt.ID() {
	case arrow.BOOL:
		k.num = make([]uint64, n)
		for i := range k.num {
			j := off + i
			k.num[i] = uint64(raw[j>>3] >> (j & 7) & 1)
		}
	case arrow.INT8:
		k.num = signed(values[int8](raw, off, n))
	case arrow.INT16:
		k.num = signed(values[int16](raw, off, n))
	case arrow.INT32, arrow.DATE32:
		k.num = signed(values[int32](raw, off, n))
	case arrow.INT64, arrow.TIMESTAMP, arrow.DURATION:
		k.num = signed(values[int64](raw, off, n))
	case arrow.UINT8:
		k.num = unsigned(values[uint8](raw, off, n))
	case arrow.UINT16:
		k.num = unsigned(values[uint16](raw, off, n))
	case arrow.UINT32:
		k.num = unsigned(values[uint32](raw, off, n))
	case arrow.UINT64:
		k.num = values[uint64](raw, off, n)
	case arrow.FLOAT32:
		k.num = ordered(values[float32](raw, off, n))
	case arrow.FLOAT64:
		k.num = ordered(values[float64](raw, off, n))
	case arrow.DECIMAL128:
		k.num, k.hi = make([]uint64, n), make([]int64, n)
		for i, v := range values[[2]uint64](raw, off, n) {
			k.num[i], k.hi[i] = v[0], int64(v[1])
		}
	case arrow.STRING, arrow.BINARY:
		k.offs, k.bytes = offsetsOf(d), bytesOf(d, 2)
	case arrow.DICTIONARY:
		ranks, err := rankLabels(arr.(*arrow.Dictionary))
		if err != nil {
			return nil, err
		}
		k.num = ranks
	default:
		return nil, fmt.Errorf("columns of type %s have no order: %w", dt, pipeline.ErrUnsupported)
	}
	return k, nil
}

func signed[T int8 | int16 | int32 | int64](v []T) []uint64 {
	out := make([]uint64, len(v))
	for i, x := range v {
		out[i] = uint64(int64(x)) ^ signBit
	}
	return out
}

func unsigned[T uint8 | uint16 | uint32](v []T) []uint64 {
	out := make([]uint64, len(v))
	for i, x := range v {
		out[i] = uint64(x)
	}
	return out
}

// ordered maps floats to integers of the same order; both zeros are equal,
// and so are all NaNs.
func ordered[T float32 | float64](v []T) []uint64 {
	out := make([]uint64, len(v))
	for i, x := range v {
		f := float64(x)
		switch b := math.Float64bits(f); {
		case f != f:
			out[i] = math.MaxUint64
		case f == 0:
			out[i] = signBit
		case b&signBit != 0:
			out[i] = ^b
		default:
			out[i] = b | signBit
		}
	}
	return out
}

// rankLabels gives each row the rank of its label in sorted order. Labels that
// occur twice in a dictionary share a rank.
func rankLabels(arr *arrow.Dictionary) ([]uint64, error) {
	dict, ok := arr.Dictionary().(*arrow.String)
	if !ok {
		return nil, fmt.Errorf("dictionaries of %s have no order: %w", arr.DataType(), pipeline.ErrUnsupported)
	}
	order := make([]int32, dict.Len())
	for i := range order {
		order[i] = int32(i)
	}
	less := func(a, b int32) int {
		if x, y := dict.IsNull(int(a)), dict.IsNull(int(b)); x || y {
			return b2i(y) - b2i(x)
		}
		return cmp.Compare(dict.Value(int(a)), dict.Value(int(b)))
	}
	slices.SortStableFunc(order, less)
	rank := make([]uint64, len(order))
	for i, code := range order {
		rank[code] = uint64(i)
		if i > 0 && less(order[i-1], code) == 0 {
			rank[code] = rank[order[i-1]]
		}
	}
	d := arr.Data()
	out := make([]uint64, d.Len())
	for i, c := range values[int32](bytesOf(d, 1), d.Offset(), d.Len()) {
		if uint(c) < uint(len(rank)) {
			out[i] = rank[c]
		}
	}
	return out, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
