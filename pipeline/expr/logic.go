package expr

// andNode and its siblings follow SQL's logic of three values.
type andNode struct {
	slot        int
	left, right node
}

func (n *andNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.left.eval(s, need), s.slots[n.slot]
	// Where the left side is false the right one does not matter.
	rest := &v.first
	for w := range rest {
		rest[w] = need[w] &^ (a.valid[w] &^ a.b[w])
	}
	if rest.empty() {
		return a
	}
	b := n.right.eval(s, rest)
	for w := range v.b {
		v.b[w] = a.b[w] & b.b[w]
		no := a.valid[w]&^a.b[w] | b.valid[w]&^b.b[w]
		v.valid[w] = a.valid[w]&b.valid[w] | no
		v.b[w] &^= no
	}
	return v
}

type orNode struct {
	slot        int
	left, right node
}

func (n *orNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.left.eval(s, need), s.slots[n.slot]
	rest := &v.first
	for w := range rest {
		rest[w] = need[w] &^ (a.valid[w] & a.b[w])
	}
	if rest.empty() {
		return a
	}
	b := n.right.eval(s, rest)
	for w := range v.b {
		yes := a.valid[w]&a.b[w] | b.valid[w]&b.b[w]
		v.valid[w] = a.valid[w]&b.valid[w] | yes
		v.b[w] = yes
	}
	return v
}

type notNode struct {
	slot int
	arg  node
}

func (n *notNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = a.valid
	for w := range v.b {
		v.b[w] = ^a.b[w]
	}
	return v
}

// nullNode tests for null, or for not null.
type nullNode struct {
	slot int
	want bool // rows that are null
	arg  node
}

func (n *nullNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.arg.eval(s, need), s.slots[n.slot]
	v.valid = allRows
	v.b = a.valid
	if n.want {
		for w := range v.b {
			v.b[w] = ^v.b[w]
		}
	}
	return v
}

// chooseNode is ?: over two values of one kind.
type chooseNode struct {
	slot           int
	kind           Kind // stored
	cond, yes, not node
}

func (n *chooseNode) eval(s *Scratch, need *rowset) *vec {
	c, v := n.cond.eval(s, need), s.slots[n.slot]
	first, second := &v.first, &v.second
	for w := range first {
		t := c.valid[w] & c.b[w]
		first[w], second[w] = need[w]&t, need[w]&^t
	}
	switch {
	case second.empty():
		return n.yes.eval(s, first)
	case first.empty():
		return n.not.eval(s, second)
	}
	a, b := n.yes.eval(s, first), n.not.eval(s, second)
	return s.merge(v, n.kind, first, a, b)
}

// coalesceNode is ??.
type coalesceNode struct {
	slot        int
	kind        Kind // stored
	left, right node
}

func (n *coalesceNode) eval(s *Scratch, need *rowset) *vec {
	a, v := n.left.eval(s, need), s.slots[n.slot]
	missing := &v.first
	for w := range missing {
		missing[w] = need[w] &^ a.valid[w]
	}
	if missing.empty() {
		return a
	}
	b := n.right.eval(s, missing)
	return s.merge(v, n.kind, &a.valid, a, b)
}

// merge takes the rows of first from a and the others from b.
func (s *Scratch) merge(v *vec, kind Kind, first *rowset, a, b *vec) *vec {
	for w := range v.valid {
		v.valid[w] = a.valid[w]&first[w] | b.valid[w]&^first[w]
	}
	switch kind {
	case Bool:
		for w := range v.b {
			v.b[w] = a.b[w]&first[w] | b.b[w]&^first[w]
		}
	case Int:
		mergeValues(v.ints(s.n), a.i, b.i, first)
	case Uint:
		mergeValues(v.uints(s.n), a.u, b.u, first)
	case Float:
		mergeValues(v.floats(s.n), a.f, b.f, first)
	case String:
		mergeValues(v.texts(s.n), a.strings(), b.strings(), first)
	}
	return v
}

func mergeValues[T any](dst, a, b []T, first *rowset) {
	for i := range dst {
		if first.has(i) {
			dst[i] = a[i]
		} else {
			dst[i] = b[i]
		}
	}
}
