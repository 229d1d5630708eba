package cells

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Key is one column to order rows by.
type Key struct {
	Column          int
	Desc, NullsLast bool
}

// Keys turns rows into bytes whose order is that of the rows: for each key
// one byte that tells null from value, then eight bytes of a number, or a text
// whose zero bytes are escaped and which ends in two of them. Bytes of a
// descending key are inverted.
type Keys []Key

// RowKeys are the keys of a record: row i has data[ends[i-1]:ends[i]].
type RowKeys struct {
	data []byte
	ends []int
}

// At returns the key of row i.
func (k *RowKeys) At(i int32) []byte {
	from := 0
	if i > 0 {
		from = k.ends[i-1]
	}
	return k.data[from:k.ends[i]]
}

// Len returns the number of rows.
func (k *RowKeys) Len() int { return len(k.ends) }

// Bytes returns the memory that the keys take.
func (k *RowKeys) Bytes() int64 { return int64(cap(k.data)) + 8*int64(cap(k.ends)) }

// HasOrder reports whether rows can be sorted by columns of type t.
func HasOrder(t arrow.DataType) bool {
	switch t.ID() {
	case arrow.UINT64, arrow.FLOAT32, arrow.FLOAT64, arrow.TIMESTAMP, arrow.DURATION:
		return true
	}
	return IsInts(t) || IsTexts(t)
}

// keyColumn is a column laid open: texts, or numbers as integers of their order.
type keyColumn struct {
	Key
	text  bool
	texts Texts
	ints  Ints
	nums  []uint64
	nulls Nulls
}

// Of returns the keys of a record's rows.
func (p Keys) Of(rec arrow.Record) (RowKeys, error) {
	cols := make([]keyColumn, len(p))
	for i, k := range p {
		cols[i].Key = k
		if err := cols[i].load(rec.Column(k.Column)); err != nil {
			return RowKeys{}, fmt.Errorf("column %s: %w", rec.ColumnName(k.Column), err)
		}
	}
	n := int(rec.NumRows())
	out := RowKeys{data: make([]byte, 0, 16*n*len(p)), ends: make([]int, n)}
	for i := range n {
		for j := range cols {
			out.data = cols[j].append(out.data, i)
		}
		out.ends[i] = len(out.data)
	}
	return out, nil
}

const signBit = 1 << 63

func (c *keyColumn) load(arr arrow.Array) error {
	c.nulls.Load(arr)
	n := arr.Len()
	if arr.NullN() == n {
		return nil // may come without values
	}
	if c.text = IsTexts(arr.DataType()); c.text {
		c.texts.Load(arr)
		return nil
	}
	c.nums = make([]uint64, n)
	switch a := arr.(type) {
	case *arrow.Uint64:
		copy(c.nums, a.Uint64Values())
	case *arrow.Timestamp:
		for i, v := range a.TimestampValues() {
			c.nums[i] = uint64(v) ^ signBit
		}
	case *arrow.Duration:
		for i, v := range a.DurationValues() {
			c.nums[i] = uint64(v) ^ signBit
		}
	case *arrow.Float32:
		for i, v := range a.Float32Values() {
			c.nums[i] = ordered(float64(v))
		}
	case *arrow.Float64:
		for i, v := range a.Float64Values() {
			c.nums[i] = ordered(v)
		}
	default:
		if !IsInts(arr.DataType()) {
			return fmt.Errorf("%s has no order: %w", arr.DataType(), pipeline.ErrUnsupported)
		}
		c.ints.Load(arr)
		for i := range c.nums {
			c.nums[i] = uint64(c.ints.At(i)) ^ signBit
		}
	}
	return nil
}

// ordered maps floats to integers of the same order: both zeros are equal, and
// so are all NaNs, which come last.
func ordered(f float64) uint64 {
	switch b := math.Float64bits(f); {
	case f != f:
		return math.MaxUint64
	case f == 0:
		return signBit
	case b&signBit != 0:
		return ^b
	default:
		return b | signBit
	}
}

func (c *keyColumn) append(dst []byte, i int) []byte {
	if c.nulls.Null(i) {
		if c.NullsLast {
			return append(dst, 2)
		}
		return append(dst, 0)
	}
	dst = append(dst, 1)
	from := len(dst)
	if c.text {
		for s := c.texts.At(i); ; {
			z := indexZero(s)
			if z < 0 {
				dst = append(dst, s...)
				break
			}
			dst = append(append(dst, s[:z]...), 0, 0xff)
			s = s[z+1:]
		}
		dst = append(dst, 0, 0)
	} else {
		dst = binary.BigEndian.AppendUint64(dst, c.nums[i])
	}
	if c.Desc {
		for j := range dst[from:] {
			dst[from+j] ^= 0xff
		}
	}
	return dst
}

func indexZero(s string) int {
	for i := range len(s) {
		if s[i] == 0 {
			return i
		}
	}
	return -1
}
