// Package cells lets stages that keep state read and write cells by column:
// integers and texts are laid open once for each batch, and rows that a stage
// makes are collected into batches.
package cells

import (
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Nulls tells which values of an array are null.
type Nulls struct {
	bits []byte
	off  int
	all  bool
}

// Load lays open arr. It is valid while arr is.
func (n *Nulls) Load(arr arrow.Array) {
	n.bits, n.off, n.all = nil, arr.Data().Offset(), arr.NullN() == arr.Len() && arr.Len() > 0
	if arr.NullN() > 0 && !n.all {
		n.bits = arr.NullBitmapBytes()
	}
}

// Null reports whether value i is null.
func (n *Nulls) Null(i int) bool {
	if n.bits == nil {
		return n.all
	}
	j := n.off + i
	return n.bits[j>>3]>>(j&7)&1 == 0
}

// Ints are the values of a column of integers, dates or booleans.
type Ints struct {
	Nulls
	values []int64
}

// IsInts reports whether Ints reads columns of type t.
func IsInts(t arrow.DataType) bool {
	switch t.ID() {
	case arrow.BOOL, arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.DATE32:
		return true
	}
	return false
}

// Load lays open arr, whose type IsInts accepts. It is valid while arr is.
func (c *Ints) Load(arr arrow.Array) {
	c.Nulls.Load(arr)
	n := arr.Len()
	if cap(c.values) < n {
		c.values = make([]int64, n)
	}
	c.values = c.values[:n]
	if c.all {
		clear(c.values)
		return
	}
	switch a := arr.(type) {
	case *arrow.Bool:
		for i := range c.values {
			c.values[i] = 0
			if a.Value(i) {
				c.values[i] = 1
			}
		}
	case *arrow.Int8:
		widen(c.values, a.Int8Values())
	case *arrow.Int16:
		widen(c.values, a.Int16Values())
	case *arrow.Int32:
		widen(c.values, a.Int32Values())
	case *arrow.Int64:
		copy(c.values, a.Int64Values())
	case *arrow.Uint8:
		widen(c.values, a.Uint8Values())
	case *arrow.Uint16:
		widen(c.values, a.Uint16Values())
	case *arrow.Uint32:
		widen(c.values, a.Uint32Values())
	case *arrow.Date32:
		widen(c.values, a.Date32Values())
	}
}

func widen[T ~int8 | ~int16 | ~int32 | ~uint8 | ~uint16 | ~uint32](dst []int64, src []T) {
	for i, x := range src {
		dst[i] = int64(x)
	}
}

// Absent makes the column one of n nulls: that of a table without it.
func (c *Ints) Absent(n int) {
	if cap(c.values) < n {
		c.values = make([]int64, n)
	}
	c.values = c.values[:n]
	clear(c.values)
	c.Nulls = Nulls{all: true}
}

// At returns value i; that of a null means nothing.
func (c *Ints) At(i int) int64 { return c.values[i] }

// Texts are the values of a column of strings, plain or by dictionary.
type Texts struct {
	Nulls
	plain  *arrow.String
	labels *arrow.String // of a dictionary
	codes  []int32
}

// IsTexts reports whether Texts reads columns of type t.
func IsTexts(t arrow.DataType) bool {
	return t.ID() == arrow.STRING || arrow.TypeEqual(t, arrow.LabelType)
}

// Load lays open arr, whose type IsTexts accepts. It is valid while arr is.
func (c *Texts) Load(arr arrow.Array) {
	*c = Texts{}
	c.Nulls.Load(arr)
	switch a := arr.(type) {
	case *arrow.String:
		c.plain = a
	case *arrow.Dictionary:
		c.labels, _ = a.Dictionary().(*arrow.String)
		if codes, ok := a.Indices().(*arrow.Int32); ok {
			c.codes = codes.Int32Values()
		}
	}
}

// Absent makes the column one of nulls.
func (c *Texts) Absent() { *c = Texts{Nulls: Nulls{all: true}} }

// At returns value i, which must be cloned to outlive the array; "" for null.
func (c *Texts) At(i int) string {
	switch {
	case c.Null(i):
		return ""
	case c.plain != nil:
		return c.plain.Value(i)
	case c.labels.IsNull(int(c.codes[i])):
		return ""
	}
	return c.labels.Value(int(c.codes[i]))
}
