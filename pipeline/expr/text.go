package expr

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// textTest is a test of one string against constants.
type textTest struct {
	op    string // a comparison, in, contains, startsWith, endsWith, matches
	arg   string
	list  []string
	set   map[string]struct{} // where the list is long
	expr  *regexp.Regexp
	order op
}

func (t *textTest) holds(x string) bool {
	switch t.op {
	case "==":
		return x == t.arg
	case "!=":
		return x != t.arg
	case "in":
		if t.set == nil {
			return slices.Contains(t.list, x)
		}
		_, ok := t.set[x]
		return ok
	case "contains":
		return strings.Contains(x, t.arg)
	case "startsWith":
		return strings.HasPrefix(x, t.arg)
	case "endsWith":
		return strings.HasSuffix(x, t.arg)
	case "matches":
		return t.expr.MatchString(x)
	}
	return t.order.holds(strings.Compare(x, t.arg))
}

// textTestNode asks a textTest of each string; of labels, once for each label.
type textTestNode struct {
	slot int
	test textTest
	arg  node
}

func (n *textTestNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = a.valid
	if a.codes == nil {
		n.strings(a.s, need, &v.b)
		return v
	}
	dict := a.dict
	if v.source != a.version {
		if len(dict) > s.rows {
			// More labels than rows: asking for all would be the dearer way.
			eachNeeded(need, &v.b, s.n, func(i int) bool {
				c := a.codes[i]
				return uint(c) < uint(len(dict)) && n.test.holds(dict[c])
			})
			return v
		}
		v.source = a.version
		v.arena = v.arena[:0]
		for _, label := range dict {
			v.arena = append(v.arena, byte(b2u(n.test.holds(label))))
		}
	}
	answers := v.arena
	codes := a.codes
	for w := 0; len(codes) > 0; w++ {
		m := min(len(codes), 64)
		var r uint64
		part, k := codes[:m], 0
		for ; len(part) >= 4; k += 4 {
			q := (*[4]int32)(part)
			r |= (answer(answers, q[0]) | answer(answers, q[1])<<1 | answer(answers, q[2])<<2 | answer(answers, q[3])<<3) << (k & 63)
			part = part[4:]
		}
		for _, c := range part {
			r |= answer(answers, c) << (k & 63)
			k++
		}
		v.b[w&(words-1)] = r
		codes = codes[m:]
	}
	return v
}

// answer is 0 for whatever code a null may hold.
func answer(answers []byte, code int32) uint64 {
	if uint(code) < uint(len(answers)) {
		return uint64(answers[code])
	}
	return 0
}

func (n *textTestNode) strings(x []string, need, out *rowset) {
	if n.test.op != "==" {
		eachNeeded(need, out, len(x), func(i int) bool { return n.test.holds(x[i]) })
		return
	}
	arg := n.test.arg
	for w := 0; len(x) > 0; w++ {
		m := min(len(x), 64)
		var r uint64
		if need[w&(words-1)] != 0 {
			for j, y := range x[:m] {
				r |= b2u(y == arg) << (j & 63)
			}
		}
		out[w&(words-1)] = r
		x = x[m:]
	}
}

// textPairNode tests two strings that both vary.
type textPairNode struct {
	slot        int
	test        func(x, y string) bool
	left, right node
}

func (n *textPairNode) eval(s *Scratch, need *rowset) *vec {
	a, b, v := n.left.eval(s, need), n.right.eval(s, need), s.slots[n.slot]
	both(v, a, b)
	x, y := a.strings(), b.strings()
	eachNeeded(need, &v.b, s.n, func(i int) bool { return n.test(x[i], y[i]) })
	return v
}

// textNode is a function from string to string.
type textNode struct {
	slot int
	f    func(string) string
	arg  node
}

func (n *textNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = a.valid
	if a.codes != nil && len(a.dict) <= s.rows {
		// Labels become other labels of the same codes.
		if v.source != a.version {
			dict := make([]string, 0, len(a.dict))
			for _, label := range a.dict {
				dict = append(dict, n.f(label))
			}
			s.versions++
			v.dict, v.source, v.version = dict, a.version, s.versions
		}
		v.codes = a.codes
		return v
	}
	x, out := a.strings(), v.texts(s.n)
	for i := range out {
		out[i] = ""
		if need.has(i) && v.valid.has(i) {
			out[i] = n.f(x[i])
		}
	}
	return v
}

// joinNode is + of strings.
type joinNode struct {
	slot        int
	left, right node
}

func (n *joinNode) eval(s *Scratch, need *rowset) *vec {
	a, b, v := n.left.eval(s, need), n.right.eval(s, need), s.slots[n.slot]
	both(v, a, b)
	x, y, out := a.strings(), b.strings(), v.texts(s.n)
	v.arena = v.arena[:0]
	for i := range out {
		out[i] = ""
		if need.has(i) && v.valid.has(i) {
			from := len(v.arena)
			v.arena = append(v.arena, x[i]...)
			v.arena = append(v.arena, y[i]...)
			out[i] = v.keep(from)
		}
	}
	return v
}

// runesNode is len of a string.
type runesNode struct {
	slot int
	arg  node
}

func (n *runesNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = a.valid
	x, out := a.strings(), v.ints(s.n)
	for i := range out {
		out[i] = int64(utf8.RuneCountInString(x[i]))
	}
	return v
}
