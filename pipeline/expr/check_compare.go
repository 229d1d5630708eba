package expr

import (
	"fmt"
	"math"
	"slices"

	"github.com/expr-lang/expr/ast"
)

// compare checks a comparison. Where one side is constant the other side's
// kind is kept, so that no row is converted and nothing is rounded.
func (c *checker) compare(o op, sign string, a, b typed, pos int) typed {
	if a.isNil() || b.isNil() {
		if o != eq && o != ne {
			return c.failf(pos, "%s with nil is never true; == nil and != nil test for null", sign)
		}
		if a.isNil() {
			a = b
		}
		if a.isNil() {
			return c.constant(Bool, value{b: o == eq})
		}
		return made(Bool, &nullNode{c.slot(), o == eq, a.node}, a)
	}
	numbers := a.kind.number() && b.kind.number()
	if a.kind != b.kind && !numbers || a.kind == Opaque {
		suggestion := ""
		for _, p := range [][2]typed{{a, b}, {b, a}} {
			if f := map[Kind]string{Time: "timestamp", Span: "duration", Date: "date"}[p[0].kind]; f != "" && p[1].kind == String && p[1].literal() {
				suggestion = fmt.Sprintf("%s(%q)", f, p[1].value.s)
			}
		}
		return c.suggestf(pos, suggestion, "cannot compare %s with %s", a.kind, b.kind)
	}
	if a.kind == Bool && o != eq && o != ne {
		return c.failf(pos, "%s does not take bool", sign)
	}
	if a.literal() && !b.constant {
		a, b, o = b, a, o.flip()
	}
	if b.literal() && !a.constant {
		switch {
		case a.kind == String:
			return made(Bool, &textTestNode{c.slot(), textTest{op: o.String(), arg: b.value.s, order: o}, a.node}, a)
		case a.kind != Bool:
			o, v := constantFor(o, a.kind, b)
			return made(Bool, &compareConstNode{c.slot(), o, a.kind.stored(), a.node, v}, a)
		}
	}
	if a.kind != b.kind {
		m := &mixedNode{c.slot(), o, false, a.kind, b.kind, a.node, b.node}
		if m.lk > m.rk {
			m.swap, m.op, m.lk, m.rk = true, o.flip(), m.rk, m.lk
		}
		return made(Bool, m, a, b)
	}
	n := &compareNode{c.slot(), o, false, a.kind.stored(), a.node, b.node}
	if o == gt || o == ge {
		n.swap, n.op = true, o.flip()
	}
	return made(Bool, n, a, b)
}

// constantFor rewrites a comparison of values of kind with the constant b so
// that the constant is of that kind too: x < 2.5 becomes x <= 2 for integers.
func constantFor(o op, kind Kind, b typed) (op, value) {
	v := *b.value
	// always and never keep the nulls of the other side.
	always, never := value{i: math.MinInt64}, value{i: math.MinInt64}
	decided := func(yes bool) (op, value) {
		if yes {
			return ge, always
		}
		return lt, never
	}
	above := func() (op, value) { return decided(o == lt || o == le || o == ne) }
	below := func() (op, value) { return decided(o == gt || o == ge || o == ne) }
	switch {
	case kind == b.kind || !kind.number():
		return o, v
	case kind == Float:
		return floatFor(o, b)
	case b.kind == Uint: // kind is Int
		if v.u > math.MaxInt64 {
			return above()
		}
		return o, value{i: int64(v.u)}
	case b.kind == Int: // kind is Uint
		if v.i < 0 {
			return below()
		}
		return o, value{u: uint64(v.i)}
	}
	lo, hi := -0x1p63, 0x1p63
	if kind == Uint {
		lo, hi = 0, 0x1p64
	}
	switch {
	case v.f != v.f:
		return decided(o == ne)
	case v.f >= hi:
		return above()
	case v.f < lo:
		return below()
	}
	whole := math.Floor(v.f)
	if whole != v.f {
		switch o {
		case eq, ne:
			return decided(o == ne)
		case lt:
			o = le
		case ge:
			o = gt
		}
	}
	if kind == Uint {
		return o, value{u: uint64(whole)}
	}
	return o, value{i: int64(whole)}
}

// floatFor compares floats with an integer constant. Where the integer has no
// float64, the nearest one on the right side of it stands for it.
func floatFor(o op, b typed) (op, value) {
	f := float64(b.value.i)
	c := compareIntFloat(b.value.i, f)
	if b.kind == Uint {
		f = float64(b.value.u)
		c = compareUintFloat(b.value.u, f)
	}
	if c == 0 {
		return o, value{f: f}
	}
	switch {
	case o == eq: // no float is equal
		return lt, value{f: math.Inf(-1)}
	case o == ne: // all are unequal, NaN too
		return ne, value{f: math.NaN()}
	case c < 0 && o == le: // the constant lies below f, with no float between
		return lt, value{f: f}
	case c < 0 && o == gt:
		return ge, value{f: f}
	case c > 0 && o == lt:
		return le, value{f: f}
	case c > 0 && o == ge:
		return gt, value{f: f}
	}
	return o, value{f: f}
}

func (c *checker) in(n *ast.BinaryNode) typed {
	a := c.check(n.Left)
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		if r, ok := n.Right.(*ast.BinaryNode); ok && r.Operator == ".." {
			return c.failf(r.Location().From, "ranges are not part of the language; write 1 <= x <= 5")
		}
		return c.failf(c.start(n.Right), "in takes a list: x in [1, 2]")
	}
	if len(list.Nodes) == 0 {
		return c.failf(c.start(n.Right), "the list is empty")
	}
	items := make([]typed, len(list.Nodes))
	fixed := !a.constant
	bad := a.kind == invalid
	for i, item := range list.Nodes {
		t := c.check(item)
		switch {
		case t.kind == invalid || a.kind == invalid:
		case t.isNil():
			c.failf(c.start(item), "nil is in no list; test with == nil")
			t.kind = invalid
		case !a.isNil() && t.kind != a.kind && (!t.kind.number() || !a.kind.number()) || t.kind == Opaque:
			c.failf(c.start(item), "cannot compare %s with %s", a.kind, t.kind)
			t.kind = invalid
		}
		bad = bad || t.kind == invalid
		fixed = fixed && t.literal()
		items[i] = t
	}
	switch {
	case bad:
		return typed{}
	case a.isNil():
		return c.null(Bool)
	case fixed && a.kind == String:
		test := textTest{op: "in"}
		for _, t := range items {
			test.list = append(test.list, t.value.s)
		}
		if len(items) > fewConstants {
			test.set = make(map[string]struct{}, len(items))
			for _, s := range test.list {
				test.set[s] = struct{}{}
			}
		}
		return made(Bool, &textTestNode{c.slot(), test, a.node}, a)
	case fixed && a.kind != Bool:
		return c.inConstants(a, items)
	}
	var any typed
	for i, t := range items {
		one := c.compare(eq, "==", a, t, n.Location().From)
		if i == 0 {
			any = one
		} else {
			any = made(Bool, &orNode{c.slot(), any.node, one.node}, any, one)
		}
	}
	return any
}

// inConstants keeps the constants that a value of a's kind can be equal to.
func (c *checker) inConstants(a typed, items []typed) typed {
	in := &inNode{slot: c.slot(), kind: a.kind.stored(), left: a.node}
	for _, t := range items {
		o, v := constantFor(eq, a.kind, t)
		if o != eq || v.f != v.f {
			continue
		}
		switch in.kind {
		case Int:
			in.i = append(in.i, v.i)
		case Uint:
			in.u = append(in.u, v.u)
		case Float:
			in.f = append(in.f, v.f)
		}
	}
	slices.Sort(in.i)
	slices.Sort(in.u)
	slices.Sort(in.f)
	return made(Bool, in, a)
}
