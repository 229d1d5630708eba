package column

import (
	"bytes"
	"slices"
	"testing"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Long values are noted where they lie; those that lie elsewhere are copied.
func TestLong(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	block := bytes.Repeat([]byte("0123456789"), 3)
	for _, both := range []bool{false, true} {
		c := New(mem, arrow.BinaryType)
		c.Long = &Long{Above: 4, Copy: both, In: block}
		for _, v := range [][]byte{block[2:6], block[5:25], bytes.Clone(block[:9]), block[25:], block, {}} {
			c.AppendBytes(v)
		}
		want := []LongValue{{1, 5, 25}, {3, 25, 30}, {4, 0, 30}}
		if !slices.Equal(c.Long.Values, want) || c.N != 6 {
			t.Errorf("noted %v, %d values", c.Long.Values, c.N)
		}
		c.Truncate(4)
		if !slices.Equal(c.Long.Values, want[:2]) {
			t.Errorf("noted %v after truncating", c.Long.Values)
		}
		c.Long.In = nil
		c.AppendBytes(block)
		a := c.Finish().(*arrow.Binary)
		for i, v := range []string{"2345", "56789012345678901234", "012345678", "56789", string(block)} {
			gone := !both && (i == 1 || i == 3)
			if a.IsNull(i) != gone || !gone && string(a.Value(i)) != v {
				t.Errorf("copy %v: value %d is %q, null %v", both, i, a.Value(i), a.IsNull(i))
			}
		}
		short := Shorten(mem, a, 5)
		same := Shorten(mem, a, 30)
		if same != arrow.Array(a) {
			t.Errorf("a column without long values was copied")
		}
		for i := range short.Len() {
			b := short.(*arrow.Binary)
			if want := a.IsNull(i) || a.ValueLen(i) > 5; b.IsNull(i) != want || !want && !bytes.Equal(b.Value(i), a.Value(i)) {
				t.Errorf("shortened value %d", i)
			}
		}
		short.Release()
		same.Release()
		a.Release()
	}
}
