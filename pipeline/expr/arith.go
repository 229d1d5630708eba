package expr

import (
	"math"
	"math/bits"
)

// arith is an operation on two numbers of one kind.
type arith uint8

const (
	add arith = iota
	sub
	mul
	div
	mod
	least
	greatest
	power
	angle // atan2
)

// intNode computes in int64: integers, and times and durations by their
// nanoseconds.
type intNode struct {
	slot        int
	op          arith
	left, right node
}

func (n *intNode) eval(s *Scratch, need *rowset) *vec {
	a, b, v := n.left.eval(s, need), n.right.eval(s, need), s.slots[n.slot]
	both(v, a, b)
	out := v.ints(s.n)
	if intKernel(n.op, a.i, b.i, out) {
		// Rows that are null or not needed may hold anything, so only now is
		// it worth asking which rows did not fit.
		for i := range out {
			if v.valid.has(i) {
				s.reject(need, i, intFault(n.op, a.i[i], b.i[i]))
			}
		}
	}
	return v
}

// intKernel reports whether any row does not fit.
func intKernel(o arith, a, b, out []int64) bool {
	a, b = a[:len(out)], b[:len(out)]
	var bad int64
	switch o {
	case add:
		for i := range out {
			x, y := a[i], b[i]
			r := x + y
			bad |= (x ^ r) & (y ^ r)
			out[i] = r
		}
	case sub:
		for i := range out {
			x, y := a[i], b[i]
			r := x - y
			bad |= (x ^ y) & (x ^ r)
			out[i] = r
		}
	case mul:
		for i := range out {
			x, y := a[i], b[i]
			hi, lo := bits.Mul64(uint64(x), uint64(y))
			high := int64(hi) - x>>63&y - y>>63&x
			out[i] = int64(lo)
			if high != int64(lo)>>63 {
				bad = -1
			}
		}
	case div, mod:
		for i := range out {
			x, y := a[i], b[i]
			switch {
			case y == 0:
				bad = -1
				out[i] = 0
			case y == -1:
				// Go wraps here; the quotient of the least integer does not fit.
				if x == math.MinInt64 {
					bad = -1
				}
				out[i] = -x
				if o == mod {
					out[i] = 0
				}
			case o == div:
				out[i] = x / y
			default:
				out[i] = x % y
			}
		}
	case least:
		for i := range out {
			out[i] = min(a[i], b[i])
		}
	case greatest:
		for i := range out {
			out[i] = max(a[i], b[i])
		}
	}
	return bad < 0
}

func intFault(o arith, x, y int64) reason {
	switch o {
	case add:
		r := x + y
		return overflowIf((x^r)&(y^r) < 0)
	case sub:
		r := x - y
		return overflowIf((x^y)&(x^r) < 0)
	case mul:
		hi, lo := bits.Mul64(uint64(x), uint64(y))
		return overflowIf(int64(hi)-x>>63&y-y>>63&x != int64(lo)>>63)
	case div, mod:
		if y == 0 {
			return divisionByZero
		}
		return overflowIf(o == div && x == math.MinInt64 && y == -1)
	}
	return fine
}

func overflowIf(b bool) reason {
	if b {
		return integerOverflow
	}
	return fine
}

// uintNode computes in uint64.
type uintNode struct {
	slot        int
	op          arith
	left, right node
}

func (n *uintNode) eval(s *Scratch, need *rowset) *vec {
	a, b, v := n.left.eval(s, need), n.right.eval(s, need), s.slots[n.slot]
	both(v, a, b)
	out := v.uints(s.n)
	for i := range out {
		r, why := uintOp(n.op, a.u[i], b.u[i])
		out[i] = r
		if why != fine && v.valid.has(i) {
			s.reject(need, i, why)
		}
	}
	return v
}

func uintOp(o arith, x, y uint64) (uint64, reason) {
	switch o {
	case add:
		r, carry := bits.Add64(x, y, 0)
		return r, overflowIf(carry != 0)
	case sub:
		r, borrow := bits.Sub64(x, y, 0)
		return r, overflowIf(borrow != 0)
	case mul:
		hi, lo := bits.Mul64(x, y)
		return lo, overflowIf(hi != 0)
	case least:
		return min(x, y), fine
	case greatest:
		return max(x, y), fine
	}
	if y == 0 {
		return 0, divisionByZero
	}
	if o == div {
		return x / y, fine
	}
	return x % y, fine
}

// exactNode computes with one int64 and one uint64, exactly, to an int64.
type exactNode struct {
	slot        int
	op          arith
	lk, rk      Kind
	left, right node
}

func (n *exactNode) eval(s *Scratch, need *rowset) *vec {
	a, b, v := n.left.eval(s, need), n.right.eval(s, need), s.slots[n.slot]
	both(v, a, b)
	out := v.ints(s.n)
	for i := range out {
		if !v.valid.has(i) {
			out[i] = 0
			continue
		}
		var x, y wide
		if n.lk == Int {
			x, y = wideInt(a.i[i]), wide{mag: b.u[i]}
		} else {
			x, y = wide{mag: a.u[i]}, wideInt(b.i[i])
		}
		r, why := exactOp(n.op, x, y)
		out[i] = r
		s.reject(need, i, why)
	}
	return v
}

// wide is an integer of the range of int64 and uint64 together.
type wide struct {
	neg bool
	mag uint64
}

func wideInt(i int64) wide {
	if i < 0 {
		return wide{true, -uint64(i)}
	}
	return wide{false, uint64(i)}
}

// int64 returns the value where it fits.
func (w wide) int64() (int64, reason) {
	if w.neg {
		return -int64(w.mag), overflowIf(w.mag > 1<<63)
	}
	return int64(w.mag), overflowIf(w.mag > math.MaxInt64)
}

func (w wide) less(x wide) bool {
	if w.neg != x.neg {
		return w.neg
	}
	if w.neg {
		return w.mag > x.mag
	}
	return w.mag < x.mag
}

func exactOp(o arith, x, y wide) (int64, reason) {
	switch o {
	case sub:
		y.neg = !y.neg
		fallthrough
	case add:
		if x.neg == y.neg {
			sum, carry := bits.Add64(x.mag, y.mag, 0)
			if carry != 0 {
				return 0, integerOverflow
			}
			return wide{x.neg, sum}.int64()
		}
		if x.mag < y.mag {
			x, y = y, x
		}
		return wide{x.neg, x.mag - y.mag}.int64()
	case mul:
		hi, lo := bits.Mul64(x.mag, y.mag)
		if hi != 0 {
			return 0, integerOverflow
		}
		return wide{x.neg != y.neg, lo}.int64()
	case div, mod:
		if y.mag == 0 {
			return 0, divisionByZero
		}
		if o == div {
			return wide{x.neg != y.neg, x.mag / y.mag}.int64()
		}
		return wide{x.neg, x.mag % y.mag}.int64()
	case least:
		if y.less(x) {
			x = y
		}
	case greatest:
		if x.less(y) {
			x = y
		}
	}
	return x.int64()
}

// floatNode computes in float64.
type floatNode struct {
	slot        int
	op          arith
	left, right node
}

func (n *floatNode) eval(s *Scratch, need *rowset) *vec {
	a, b, v := n.left.eval(s, need), n.right.eval(s, need), s.slots[n.slot]
	both(v, a, b)
	out := v.floats(s.n)
	x, y := a.f[:len(out)], b.f[:len(out)]
	switch n.op {
	case add:
		for i := range out {
			out[i] = x[i] + y[i]
		}
	case sub:
		for i := range out {
			out[i] = x[i] - y[i]
		}
	case mul:
		for i := range out {
			out[i] = x[i] * y[i]
		}
	case div:
		for i := range out {
			out[i] = x[i] / y[i]
		}
	case least:
		for i := range out {
			out[i] = min(x[i], y[i])
		}
	case greatest:
		for i := range out {
			out[i] = max(x[i], y[i])
		}
	case mod:
		eachFloat(need, out, func(i int) float64 { return math.Mod(x[i], y[i]) })
	case power:
		eachFloat(need, out, func(i int) float64 { return math.Pow(x[i], y[i]) })
	case angle:
		eachFloat(need, out, func(i int) float64 { return math.Atan2(x[i], y[i]) })
	}
	return v
}

// eachFloat computes what costs more than asking whether it is needed.
func eachFloat(need *rowset, out []float64, f func(i int) float64) {
	for i := range out {
		if need.has(i) {
			out[i] = f(i)
		}
	}
}

// mathNode is a function of one float64.
type mathNode struct {
	slot int
	name string
	f    func(float64) float64
	arg  node
}

func (n *mathNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = a.valid
	out := v.floats(s.n)
	x := a.f[:len(out)]
	switch n.name {
	case "-":
		for i := range out {
			out[i] = -x[i]
		}
	case "abs":
		for i := range out {
			out[i] = math.Abs(x[i])
		}
	case "sqrt":
		for i := range out {
			out[i] = math.Sqrt(x[i])
		}
	default:
		eachFloat(need, out, func(i int) float64 { return n.f(x[i]) })
	}
	return v
}

// negateNode is unary minus and abs of int64; negateUintNode is minus of uint64.
type negateNode struct {
	slot int
	abs  bool
	arg  node
}

func (n *negateNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = a.valid
	for i, out := 0, v.ints(s.n); i < len(out); i++ {
		x := a.i[i]
		if n.abs && x >= 0 {
			out[i] = x
			continue
		}
		out[i] = -x
		if x == math.MinInt64 && v.valid.has(i) {
			s.reject(need, i, integerOverflow)
		}
	}
	return v
}

type negateUintNode struct {
	slot int
	arg  node
}

func (n *negateUintNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = a.valid
	for i, out := 0, v.ints(s.n); i < len(out); i++ {
		r, why := wide{true, a.u[i]}.int64()
		out[i] = r
		if why != fine && v.valid.has(i) {
			s.reject(need, i, why)
		}
	}
	return v
}

type isNaNNode struct {
	slot int
	arg  node
}

func (n *isNaNNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = a.valid
	comparePairs(ne, a.f, a.f, &v.b)
	return v
}
