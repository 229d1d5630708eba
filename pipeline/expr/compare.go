package expr

import (
	"math"
	"slices"
	"strings"
	"unsafe"
)

// op is a comparison.
type op uint8

const (
	eq op = iota
	ne
	lt
	le
	gt
	ge
)

var ops = map[string]op{"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}

func (o op) String() string { return [...]string{"==", "!=", "<", "<=", ">", ">="}[o] }

// flip is the comparison with its sides exchanged.
func (o op) flip() op { return [...]op{eq, ne, gt, ge, lt, le}[o] }

// holds evaluates o for two values that compare as c; unordered is the result
// of comparing with NaN.
func (o op) holds(c int) bool {
	if c == unordered {
		return o == ne
	}
	switch o {
	case eq:
		return c == 0
	case ne:
		return c != 0
	case lt:
		return c < 0
	case le:
		return c <= 0
	case gt:
		return c > 0
	}
	return c >= 0
}

const unordered = 2

type numeric interface{ int64 | uint64 | float64 }

// compareConst compares values with one constant, 64 rows to a word.
func compareConst[T numeric](o op, a []T, c T, out *rowset) {
	for w := 0; len(a) > 0; w++ {
		m := min(len(a), 64)
		out[w&(words-1)] = compareConstWord(o, a[:m], c)
		a = a[m:]
	}
}

// compareConstWord writes the 64 answers as bytes and then gathers their bits,
// eight at a time, by a multiplication. That takes half the time of shifting
// each bit into place, in the step that most filters consist of.
func compareConstWord[T numeric](o op, a []T, c T) (r uint64) {
	if len(a) < 64 {
		for j, x := range a {
			r |= b2u(o.holds(compareNumbers(x, c))) << (j & 63)
		}
		return r
	}
	var packed [8]uint64
	yes := (*[64]bool)(unsafe.Pointer(&packed))
	switch o {
	case eq, ne:
		for j := 0; j < 64; j += 8 {
			q, o := (*[8]T)(a[j:]), (*[8]bool)(yes[j:])
			o[0], o[1], o[2], o[3] = q[0] == c, q[1] == c, q[2] == c, q[3] == c
			o[4], o[5], o[6], o[7] = q[4] == c, q[5] == c, q[6] == c, q[7] == c
		}
	case lt:
		for j := 0; j < 64; j += 8 {
			q, o := (*[8]T)(a[j:]), (*[8]bool)(yes[j:])
			o[0], o[1], o[2], o[3] = q[0] < c, q[1] < c, q[2] < c, q[3] < c
			o[4], o[5], o[6], o[7] = q[4] < c, q[5] < c, q[6] < c, q[7] < c
		}
	case le:
		for j := 0; j < 64; j += 8 {
			q, o := (*[8]T)(a[j:]), (*[8]bool)(yes[j:])
			o[0], o[1], o[2], o[3] = q[0] <= c, q[1] <= c, q[2] <= c, q[3] <= c
			o[4], o[5], o[6], o[7] = q[4] <= c, q[5] <= c, q[6] <= c, q[7] <= c
		}
	case gt:
		for j := 0; j < 64; j += 8 {
			q, o := (*[8]T)(a[j:]), (*[8]bool)(yes[j:])
			o[0], o[1], o[2], o[3] = q[0] > c, q[1] > c, q[2] > c, q[3] > c
			o[4], o[5], o[6], o[7] = q[4] > c, q[5] > c, q[6] > c, q[7] > c
		}
	case ge:
		for j := 0; j < 64; j += 8 {
			q, o := (*[8]T)(a[j:]), (*[8]bool)(yes[j:])
			o[0], o[1], o[2], o[3] = q[0] >= c, q[1] >= c, q[2] >= c, q[3] >= c
			o[4], o[5], o[6], o[7] = q[4] >= c, q[5] >= c, q[6] >= c, q[7] >= c
		}
	}
	for i, w := range packed {
		r |= w * 0x0102040810204080 >> 56 << (8 * i & 63)
	}
	if o == ne { // true for NaN
		r = ^r
	}
	return r
}

func compareNumbers[T numeric](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	}
	return unordered
}

// comparePairs compares two columns. The caller turns > and >= round.
func comparePairs[T numeric](o op, a, b []T, out *rowset) {
	for w := 0; len(a) > 0; w++ {
		m := min(len(a), 64)
		x, y := a[:m], b[:m]
		var r uint64
		switch o {
		case eq:
			for j := range x {
				r |= b2u(x[j] == y[j]) << (j & 63)
			}
		case ne:
			for j := range x {
				r |= b2u(x[j] != y[j]) << (j & 63)
			}
		case lt:
			for j := range x {
				r |= b2u(x[j] < y[j]) << (j & 63)
			}
		case le:
			for j := range x {
				r |= b2u(x[j] <= y[j]) << (j & 63)
			}
		}
		out[w&(words-1)] = r
		a, b = a[m:], b[m:]
	}
}

// compareConstNode compares a number, time or date with a constant of the
// same kind.
type compareConstNode struct {
	slot  int
	op    op
	kind  Kind // stored
	left  node
	value value
}

func (c *compareConstNode) eval(s *Scratch, need *rowset) *vec {
	a, v := c.left.eval(s, need), s.slots[c.slot]
	v.valid = a.valid
	switch c.kind {
	case Int:
		compareConst(c.op, a.i, c.value.i, &v.b)
	case Uint:
		compareConst(c.op, a.u, c.value.u, &v.b)
	case Float:
		compareConst(c.op, a.f, c.value.f, &v.b)
	}
	return v
}

// compareNode compares two values of the same kind. Where swap is set op is
// about right and left; still the left side is evaluated first, so that it is
// the one that gives the reason when both sides reject a row.
type compareNode struct {
	slot        int
	op          op // not gt, not ge
	swap        bool
	kind        Kind
	left, right node
}

func (c *compareNode) eval(s *Scratch, need *rowset) *vec {
	a, b, v := c.left.eval(s, need), c.right.eval(s, need), s.slots[c.slot]
	both(v, a, b)
	if c.swap {
		a, b = b, a
	}
	switch c.kind {
	case Int:
		comparePairs(c.op, a.i, b.i, &v.b)
	case Uint:
		comparePairs(c.op, a.u, b.u, &v.b)
	case Float:
		comparePairs(c.op, a.f, b.f, &v.b)
	case Bool:
		for w := range v.b {
			v.b[w] = a.b[w] ^ b.b[w]
			if c.op == eq {
				v.b[w] = ^v.b[w]
			}
		}
	case String:
		x, y := a.strings(), b.strings()
		eachNeeded(need, &v.b, s.n, func(i int) bool { return c.op.holds(strings.Compare(x[i], y[i])) })
	}
	return v
}

// both makes a row valid where both sides are.
func both(v, a, b *vec) {
	for w := range v.valid {
		v.valid[w] = a.valid[w] & b.valid[w]
	}
}

// eachNeeded sets out by a test that is worth being asked only where needed.
func eachNeeded(need, out *rowset, n int, test func(i int) bool) {
	for w := 0; w*64 < n; w++ {
		var r uint64
		if need[w] != 0 {
			for i := w * 64; i < min(n, w*64+64); i++ {
				r |= b2u(test(i)) << (i & 63)
			}
		}
		out[w] = r
	}
}

// mixedNode compares numbers of two kinds without rounding either. Where swap
// is set op, lk and rk are about right and left.
type mixedNode struct {
	slot        int
	op          op
	swap        bool
	lk, rk      Kind // in the order Int, Uint, Float
	left, right node
}

func (m *mixedNode) eval(s *Scratch, need *rowset) *vec {
	a, b, v := m.left.eval(s, need), m.right.eval(s, need), s.slots[m.slot]
	both(v, a, b)
	if m.swap {
		a, b = b, a
	}
	eachNeeded(need, &v.b, s.n, func(i int) bool {
		switch {
		case m.lk == Int && m.rk == Uint:
			return m.op.holds(compareIntUint(a.i[i], b.u[i]))
		case m.lk == Int:
			return m.op.holds(compareIntFloat(a.i[i], b.f[i]))
		}
		return m.op.holds(compareUintFloat(a.u[i], b.f[i]))
	})
	return v
}

func compareIntUint(a int64, b uint64) int {
	switch {
	case a < 0 || uint64(a) < b:
		return -1
	case uint64(a) > b:
		return 1
	}
	return 0
}

func compareIntFloat(a int64, b float64) int {
	switch {
	case b != b:
		return unordered
	case b >= 1<<63:
		return -1
	case b < -1<<63:
		return 1
	}
	t := math.Trunc(b)
	switch i := int64(t); {
	case a < i:
		return -1
	case a > i:
		return 1
	}
	return compareNumbers(t, b)
}

func compareUintFloat(a uint64, b float64) int {
	switch {
	case b != b:
		return unordered
	case b >= 1<<64:
		return -1
	case b < 0:
		return 1
	}
	t := math.Trunc(b)
	switch u := uint64(t); {
	case a < u:
		return -1
	case a > u:
		return 1
	}
	return compareNumbers(t, b)
}

// inNode tests numbers for being one of several constants.
type inNode struct {
	slot int
	kind Kind // stored
	left node
	i    []int64 // sorted
	u    []uint64
	f    []float64
}

// fewConstants are compared one after the other instead of searched.
const fewConstants = 8

func (in *inNode) eval(s *Scratch, need *rowset) *vec {
	a, v := in.left.eval(s, need), s.slots[in.slot]
	v.valid = a.valid
	switch in.kind {
	case Int:
		anyOf(a.i, in.i, need, &v.b)
	case Uint:
		anyOf(a.u, in.u, need, &v.b)
	case Float:
		anyOf(a.f, in.f, need, &v.b)
	}
	return v
}

func anyOf[T numeric](a, set []T, need, out *rowset) {
	if len(set) > fewConstants {
		eachNeeded(need, out, len(a), func(i int) bool {
			_, ok := slices.BinarySearch(set, a[i])
			return ok
		})
		return
	}
	*out = rowset{}
	var one rowset
	for _, c := range set {
		compareConst(eq, a, c, &one)
		for w := range one {
			out[w] |= one[w]
		}
	}
}
