package expr

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Expressions are evaluated a block of rows at a time, so that the values of
// all steps stay in the first-level cache and scratch memory is small.
const (
	blockRows = 1024
	words     = blockRows / 64
)

// rowset has a bit for each row of a block.
type rowset [words]uint64

var allRows = func() (r rowset) {
	for i := range r {
		r[i] = ^uint64(0)
	}
	return r
}()

// firstRows has the first n bits set.
func firstRows(n int) (r rowset) {
	for i := range r {
		switch {
		case n >= 64*(i+1):
			r[i] = ^uint64(0)
		case n > 64*i:
			r[i] = 1<<(n-64*i) - 1
		}
	}
	return r
}

func (r *rowset) empty() bool {
	var or uint64
	for _, w := range r {
		or |= w
	}
	return or == 0
}

func (r *rowset) has(i int) bool { return r[i>>6&(words-1)]>>(i&63)&1 != 0 }

func b2u(b bool) uint64 {
	var u uint64
	if b {
		u = 1
	}
	return u
}

// load copies n bits that begin at bit off of bitmap. Bits after them are
// undefined.
func (r *rowset) load(bitmap []byte, off, n int) {
	for w := 0; w*64 < n; w++ {
		p := off + w*64
		at, sh := p>>3, p&7
		if at+9 <= len(bitmap) {
			v := binary.LittleEndian.Uint64(bitmap[at:]) >> sh
			if sh > 0 {
				v |= uint64(bitmap[at+8]) << (64 - sh)
			}
			r[w] = v
			continue
		}
		var v uint64
		for k := 0; k < 9 && at+k < len(bitmap); k++ {
			if k == 0 {
				v = uint64(bitmap[at]) >> sh
			} else {
				v |= uint64(bitmap[at+k]) << (8*k - sh)
			}
		}
		r[w] = v
	}
}

// vec holds one block of values of one step. Which slice is set depends on
// the kind; slices may be views of a batch and are only read by other steps.
type vec struct {
	i []int64
	u []uint64
	f []float64
	s []string
	b rowset

	// A string vec of labels has codes and dict instead of s until strings
	// asks for them. version changes with the contents of dict; source is the
	// version of another vec from which labels were derived.
	codes   []int32
	dict    []string
	version uint64
	source  uint64

	// valid has a bit for each row that is not null.
	valid rowset

	// first and second are the rows that a lazy step asks its arguments for.
	// They live here because what is passed to a node escapes to the heap.
	first, second rowset

	ibuf  []int64
	ubuf  []uint64
	fbuf  []float64
	sbuf  []string
	arena []byte
}

func (v *vec) ints(n int) []int64 {
	if v.ibuf == nil {
		v.ibuf = make([]int64, blockRows)
	}
	v.i = v.ibuf[:n]
	return v.i
}

func (v *vec) uints(n int) []uint64 {
	if v.ubuf == nil {
		v.ubuf = make([]uint64, blockRows)
	}
	v.u = v.ubuf[:n]
	return v.u
}

func (v *vec) floats(n int) []float64 {
	if v.fbuf == nil {
		v.fbuf = make([]float64, blockRows)
	}
	v.f = v.fbuf[:n]
	return v.f
}

func (v *vec) texts(n int) []string {
	if v.sbuf == nil {
		v.sbuf = make([]string, blockRows)
	}
	v.s, v.codes = v.sbuf[:n], nil
	return v.s
}

// strings returns the values of a string vec, spelling out labels.
func (v *vec) strings() []string {
	if v.codes == nil {
		return v.s
	}
	codes, dict := v.codes, v.dict
	if v.sbuf == nil {
		v.sbuf = make([]string, blockRows)
	}
	out := v.sbuf[:len(codes)]
	for i, c := range codes {
		if uint(c) < uint(len(dict)) {
			out[i] = dict[c]
		} else {
			out[i] = "" // a null
		}
	}
	return out
}

// keep copies b into the arena of the block and returns it as a string that
// lives until the next block.
func (v *vec) keep(from int) string {
	b := v.arena[from:]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// eachRow calls f for each row of r. It is for slow paths and for work that
// costs more than the call.
func (r *rowset) eachRow(f func(i int)) {
	for w, m := range r {
		for m != 0 {
			f(w<<6 + bits.TrailingZeros64(m))
			m &= m - 1
		}
	}
}
