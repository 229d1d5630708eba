package column

import (
	"unsafe"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Long makes a Var column note where its long values lie in the bytes that are
// being decoded, instead of copying them or beside that.
type Long struct {
	// Above is the length of the longest value that is not noted.
	Above int
	// Copy appends long values too; otherwise they become null.
	Copy bool
	// In is what is being decoded. A value that does not lie in it (one that was
	// unpacked or unescaped on the way) is no long value, whatever its length.
	In []byte
	// Values noted, by ascending row.
	Values []LongValue
}

// LongValue is a long value: row of the column, and In[Start:End].
type LongValue struct {
	Row        int
	Start, End int
}

// take notes v, which AppendBytes is to append, and reports whether that is
// all there is to do.
func (l *Long) take(c *Column, v []byte) bool {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(v))) - uintptr(unsafe.Pointer(unsafe.SliceData(l.In)))
	if start > uintptr(len(l.In)) || uintptr(len(v)) > uintptr(len(l.In))-start {
		return false
	}
	l.Values = append(l.Values, LongValue{Row: c.N, Start: int(start), End: int(start) + len(v)})
	if l.Copy {
		return false
	}
	c.AppendNull()
	return true
}

// truncate forgets the values from row n on.
func (l *Long) truncate(n int) {
	k := len(l.Values)
	for k > 0 && l.Values[k-1].Row >= n {
		k--
	}
	l.Values = l.Values[:k]
}

// Shorten returns a with null in place of values longer than above bytes: a
// itself, with another owner, where there are none.
func Shorten(mem arrow.Allocator, a *arrow.Binary, above int) arrow.Array {
	long := false
	for i := range a.Len() {
		long = long || a.ValueLen(i) > above
	}
	if !long {
		a.Retain()
		return a
	}
	c := New(mem, arrow.BinaryType)
	for i := range a.Len() {
		if a.IsNull(i) || a.ValueLen(i) > above {
			c.AppendNull()
		} else {
			c.AppendBytes(a.Value(i))
		}
	}
	return c.Finish()
}
