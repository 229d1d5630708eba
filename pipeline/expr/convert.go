package expr

import (
	"math"
	"strconv"
	"time"
)

// nanosPerDay turns dates into timestamps.
const nanosPerDay = int64(24 * time.Hour)

// toFloatNode turns an integer into the nearest float64.
type toFloatNode struct {
	slot int
	from Kind
	arg  node
}

func (n *toFloatNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = a.valid
	out := v.floats(s.n)
	switch n.from {
	case Uint:
		for i, x := range a.u[:len(out)] {
			out[i] = float64(x)
		}
	case Bool:
		for i := range out {
			out[i] = float64(b2u(a.b.has(i)))
		}
	case String:
		for i, x := range a.strings() {
			out[i] = 0
			if need.has(i) && v.valid.has(i) {
				f, ok := parseFloat(x)
				if !ok {
					s.reject(need, i, castInvalid)
				}
				out[i] = f
			}
		}
	default:
		for i, x := range a.i[:len(out)] {
			out[i] = float64(x)
		}
	}
	return v
}

// parseFloat reads decimal numbers, NaN and infinities.
func parseFloat(x string) (float64, bool) {
	if len(x) > 64 {
		return 0, false
	}
	f, err := strconv.ParseFloat(x, 64)
	return f, err == nil
}

// toIntNode turns a value into an int64, cutting off fractions.
type toIntNode struct {
	slot int
	from Kind
	arg  node
}

func (n *toIntNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = a.valid
	out := v.ints(s.n)
	for i := range out {
		out[i] = 0
		if !v.valid.has(i) {
			continue
		}
		switch n.from {
		case Bool:
			out[i] = int64(b2u(a.b.has(i)))
		case Uint:
			if a.u[i] > math.MaxInt64 {
				s.reject(need, i, integerOverflow)
			}
			out[i] = int64(a.u[i])
		case Float:
			// NaN fails both comparisons.
			if f := a.f[i]; f >= -1<<63 && f < 1<<63 {
				out[i] = int64(f)
			} else {
				s.reject(need, i, integerOverflow)
			}
		case Time: // to days, towards the past
			d := a.i[i] / nanosPerDay
			if a.i[i]%nanosPerDay < 0 {
				d--
			}
			out[i] = d
		case Date: // to nanoseconds
			if d := a.i[i]; d > math.MaxInt64/nanosPerDay || d < math.MinInt64/nanosPerDay {
				s.reject(need, i, integerOverflow)
			} else {
				out[i] = d * nanosPerDay
			}
		}
	}
	if n.from == String {
		for i, x := range a.strings() {
			if need.has(i) && v.valid.has(i) {
				r, err := strconv.ParseInt(x, 10, 64)
				if err != nil {
					s.reject(need, i, castInvalid)
				}
				out[i] = r
			}
		}
	}
	return v
}

// toTextNode spells values: numbers as they read back exactly, times in RFC
// 3339.
type toTextNode struct {
	slot int
	from Kind
	arg  node
}

func (n *toTextNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = a.valid
	out := v.texts(s.n)
	v.arena = v.arena[:0]
	for i := range out {
		out[i] = ""
		if !need.has(i) || !v.valid.has(i) {
			continue
		}
		from := len(v.arena)
		switch n.from {
		case Bool:
			v.arena = strconv.AppendBool(v.arena, a.b.has(i))
		case Int:
			v.arena = strconv.AppendInt(v.arena, a.i[i], 10)
		case Uint:
			v.arena = strconv.AppendUint(v.arena, a.u[i], 10)
		case Float:
			v.arena = strconv.AppendFloat(v.arena, a.f[i], 'g', -1, 64)
		case Time:
			v.arena = time.Unix(0, a.i[i]).UTC().AppendFormat(v.arena, time.RFC3339Nano)
		case Span:
			v.arena = append(v.arena, time.Duration(a.i[i]).String()...)
		case Date:
			v.arena = time.Unix(a.i[i]*86400, 0).UTC().AppendFormat(v.arena, time.DateOnly)
		}
		out[i] = v.keep(from)
	}
	return v
}
