package expr

import (
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// typed is a checked part of an expression.
type typed struct {
	node node
	kind Kind
	// constant parts depend on no row; once they are computed, value is set.
	constant bool
	value    *value
}

func (t typed) isNil() bool { return t.kind == Null }

// literal reports whether t is a constant that is known and not null.
func (t typed) literal() bool { return t.value != nil && !t.value.null }

// checker turns a syntax tree into nodes. It goes on after a mistake, so that
// all are found; parts of kind invalid cause no further ones.
type checker struct {
	src     *source
	table   *pipeline.Table
	issues  pipeline.Issues
	columns []programColumn
	scratch Scratch // computes constants; its slots become those of the program
}

func newChecker(src *source, t *pipeline.Table) *checker {
	c := &checker{src: src, table: t}
	c.scratch.n, c.scratch.rows, c.scratch.full = 1, 1, firstRows(1)
	return c
}

// failf reports a mistake at rune pos.
func (c *checker) failf(pos int, format string, args ...any) typed {
	c.suggestf(pos, "", format, args...)
	return typed{}
}

func (c *checker) suggestf(pos int, suggestion, format string, args ...any) typed {
	i := c.src.issuef(pos, format, args...)
	i.Suggestion = suggestion
	c.issues.Add(i)
	return typed{}
}

// start is where a part begins in the text. The parser notes the operator.
func (c *checker) start(n ast.Node) int {
	switch n := n.(type) {
	case *ast.BinaryNode:
		return c.start(n.Left)
	case *ast.ConditionalNode:
		return c.start(n.Cond)
	case *ast.MemberNode:
		return c.start(n.Node)
	case *ast.ChainNode:
		return c.start(n.Node)
	case *ast.SliceNode:
		return c.start(n.Node)
	case *ast.CallNode:
		return c.start(n.Callee)
	}
	return n.Location().From
}

func (c *checker) slot() int {
	c.scratch.slots = append(c.scratch.slots, new(vec))
	return len(c.scratch.slots) - 1
}

// made is a computed part, constant where all its arguments are.
func made(kind Kind, n node, args ...typed) typed {
	t := typed{node: n, kind: kind, constant: true}
	for _, a := range args {
		t.constant = t.constant && a.constant
	}
	return t
}

func (c *checker) constant(kind Kind, v value) typed {
	return typed{node: &constNode{slot: c.slot(), kind: kind, value: v}, kind: kind, constant: true, value: &v}
}

func (c *checker) null(kind Kind) typed { return c.constant(kind, value{null: true}) }

// check checks a part and computes it when it is constant.
func (c *checker) check(n ast.Node) typed {
	mark := len(c.scratch.slots)
	t := c.part(n)
	if t.kind == invalid || !t.constant || t.value != nil {
		return t
	}
	s := &c.scratch
	s.bad, s.anyBad = rowset{}, false
	v := t.node.eval(s, &s.full)
	val := value{null: !v.valid.has(0)}
	if s.anyBad {
		return c.failf(n.Location().From, "constant cannot be computed: %s", strings.ReplaceAll(reasonNames[s.why[0]], "_", " "))
	}
	if !val.null {
		switch t.kind.stored() {
		case Bool:
			val.b = v.b.has(0)
		case Int:
			val.i = v.i[0]
		case Uint:
			val.u = v.u[0]
		case Float:
			val.f = v.f[0]
		case String:
			val.s = strings.Clone(v.strings()[0])
		}
	}
	s.slots = s.slots[:mark]
	return c.constant(t.kind, val)
}

func (c *checker) part(n ast.Node) typed {
	pos := c.start(n)
	switch n := n.(type) {
	case *ast.NilNode:
		return c.null(Null)
	case *ast.BoolNode:
		return c.constant(Bool, value{b: n.Value})
	case *ast.IntegerNode:
		return c.constant(Int, value{i: int64(n.Value)})
	case *ast.FloatNode:
		return c.constant(Float, value{f: n.Value})
	case *ast.StringNode:
		return c.constant(String, value{s: n.Value})
	case *ast.IdentifierNode:
		if u, ok := c.src.big[pos]; ok {
			return c.constant(Uint, value{u: u})
		}
		return c.column(n, pos)
	case *ast.MemberNode:
		return c.column(n, pos)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.BuiltinNode:
		return c.call(n.Name, n.Location().From, n.Arguments)
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(id.Value, pos, n.Arguments)
		}
		return c.failf(pos, "columns have no methods")
	case *ast.ArrayNode:
		return c.failf(pos, "a list only stands to the right of in")
	case *ast.ChainNode:
		return c.failf(pos, "?. is not part of the language; null follows SQL without it")
	case *ast.SliceNode:
		return c.failf(pos, "slices are not part of the language")
	case *ast.VariableDeclaratorNode:
		return c.failf(pos, "let is not part of the language; compute a column first")
	}
	return c.failf(pos, "this is not part of the language of expressions")
}

// columnName spells a chain of members as the dotted name of a column.
func (c *checker) columnName(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if q, ok := c.src.quoted[n.Location().From]; ok {
			return q, true
		}
		return n.Value, true
	case *ast.MemberNode:
		left, ok := c.columnName(n.Node)
		prop, isName := n.Property.(*ast.StringNode)
		if !ok || !isName || n.Optional || n.Method {
			return "", false
		}
		at := prop.Location().From
		if b := c.src.text.Value[c.src.at(at):]; b[0] == '"' || b[0] == '\'' {
			return "", false
		}
		if q, ok := c.src.quoted[at]; ok {
			return left + "." + q, true
		}
		return left + "." + prop.Value, true
	}
	return "", false
}

func (c *checker) column(n ast.Node, pos int) typed {
	name, ok := c.columnName(n)
	if !ok {
		return c.failf(pos, "elements of lists cannot be taken; only names of columns have dots")
	}
	index := c.table.Column(name)
	if index < 0 {
		suggestion := pipeline.Nearest(name, c.table.ColumnNames())
		switch strings.ToLower(name) {
		case "null", "none":
			suggestion = "nil"
		case "true", "false":
			suggestion = strings.ToLower(name)
		}
		return c.suggestf(pos, suggestion, "unknown column %q", name)
	}
	col := slices.IndexFunc(c.columns, func(p programColumn) bool { return p.index == index })
	if col < 0 {
		col = len(c.columns)
		c.columns = append(c.columns, programColumn{name, index})
	}
	dt := c.table.Schema.Field(index).Type
	kind, id := KindOf(dt), dt.ID()
	if kind == Opaque && id == arrow.DICTIONARY {
		id = arrow.STRUCT
	}
	return typed{node: &columnNode{slot: c.slot(), col: col, id: id}, kind: kind}
}

// convert turns t into kind, where that loses nothing or is asked for. The
// kinds of the pair are known to have a conversion.
func (c *checker) convert(t typed, kind Kind) typed {
	switch {
	case t.kind == kind || t.kind == invalid:
		return t
	case t.isNil():
		return c.null(kind)
	case kind == Float:
		if t.literal() && t.kind == Int {
			return c.constant(Float, value{f: float64(t.value.i)})
		}
		return made(Float, &toFloatNode{c.slot(), t.kind, t.node}, t)
	case kind == Uint: // only constants that fit
		v := value{null: t.value.null, u: uint64(t.value.i)}
		return c.constant(Uint, v)
	}
	return made(kind, &toIntNode{c.slot(), t.kind, t.node}, t)
}

// fitsUint reports whether t is an integer constant that a uint64 can take.
func fitsUint(t typed) bool {
	return t.kind == Int && t.value != nil && t.value.i >= 0
}

// common brings parts to one kind.
func (c *checker) common(pos int, what string, parts []typed) (Kind, []typed, bool) {
	kind := Null
	for _, p := range parts {
		switch {
		case p.kind == invalid:
			return invalid, nil, false
		case kind == Null:
			kind = p.kind
		case p.kind == kind || p.isNil():
		case p.kind.number() && kind.number():
			if p.kind == Float || kind == Float {
				kind = Float
			} else {
				kind = Uint // unless one of them does not fit, see below
			}
		default:
			c.failf(pos, "%s mixes %s and %s", what, kind, p.kind)
			return invalid, nil, false
		}
	}
	if kind == Uint {
		for _, p := range parts {
			if p.kind == Int && !fitsUint(p) {
				kind = Int
			}
		}
	}
	if kind == Opaque {
		c.failf(pos, "%s takes no columns of this type", what)
		return invalid, nil, false
	}
	out := make([]typed, len(parts))
	for i, p := range parts {
		out[i] = c.convert(p, kind)
	}
	return kind, out, true
}

func (c *checker) unary(n *ast.UnaryNode) typed {
	a := c.check(n.Node)
	pos := n.Location().From
	if a.kind == invalid {
		return a
	}
	switch n.Operator {
	case "not", "!":
		if a.isNil() {
			a = c.null(Bool)
		}
		if a.kind != Bool {
			return c.failf(pos, "%s takes bool, not %s; to negate a comparison write not (a == b)", n.Operator, a.kind)
		}
		return made(Bool, &notNode{c.slot(), a.node}, a)
	case "+":
		if a.kind.number() || a.isNil() {
			return a
		}
	case "-":
		switch a.kind {
		case Null:
			return a
		case Int, Span:
			return made(a.kind, &negateNode{slot: c.slot(), arg: a.node}, a)
		case Uint:
			return made(Int, &negateUintNode{c.slot(), a.node}, a)
		case Float:
			return made(Float, &mathNode{slot: c.slot(), name: "-", arg: a.node}, a)
		}
	}
	return c.failf(pos, "operator %s does not take %s", n.Operator, a.kind)
}

func (c *checker) conditional(n *ast.ConditionalNode) typed {
	cond, yes, no := c.check(n.Cond), c.check(n.Exp1), c.check(n.Exp2)
	if cond.isNil() {
		cond = c.null(Bool)
	}
	if cond.kind != Bool && cond.kind != invalid {
		return c.failf(c.start(n.Cond), "a condition is a bool, not %s", cond.kind)
	}
	kind, parts, ok := c.common(c.start(n.Exp1), "?:", []typed{yes, no})
	if !ok || cond.kind == invalid {
		return typed{}
	}
	if kind == Null {
		return c.null(Null)
	}
	return made(kind, &chooseNode{c.slot(), kind.stored(), cond.node, parts[0].node, parts[1].node}, cond, parts[0], parts[1])
}

func (c *checker) binary(n *ast.BinaryNode) typed {
	pos := n.Location().From
	if n.Operator == "in" {
		return c.in(n)
	}
	a, b := c.check(n.Left), c.check(n.Right)
	if a.kind == invalid || b.kind == invalid {
		return typed{}
	}
	switch n.Operator {
	case "and", "&&", "or", "||":
		return c.logic(n, a, b)
	case "??":
		return c.coalesce(pos, "??", []typed{a, b})
	case "==", "!=", "<", "<=", ">", ">=":
		return c.compare(ops[n.Operator], n.Operator, a, b, pos)
	case "contains", "startsWith", "endsWith", "matches":
		return c.textTest(n, a, b)
	case "^":
		return c.suggestf(pos, "**", "^ is not part of the language")
	case "..":
		return c.failf(pos, "ranges are not part of the language; write 1 <= x <= 5")
	}
	return c.arith(n.Operator, a, b, pos)
}

func (c *checker) logic(n *ast.BinaryNode, a, b typed) typed {
	for _, side := range []struct {
		t *typed
		n ast.Node
	}{{&a, n.Left}, {&b, n.Right}} {
		if side.t.isNil() {
			*side.t = c.null(Bool)
		}
		if side.t.kind != Bool {
			return c.failf(c.start(side.n), "%s takes bool, not %s", n.Operator, side.t.kind)
		}
	}
	if n.Operator == "and" || n.Operator == "&&" {
		return made(Bool, &andNode{c.slot(), a.node, b.node}, a, b)
	}
	return made(Bool, &orNode{c.slot(), a.node, b.node}, a, b)
}

func (c *checker) coalesce(pos int, what string, parts []typed) typed {
	kind, parts, ok := c.common(pos, what, parts)
	if !ok {
		return typed{}
	}
	if kind == Null {
		return c.null(Null)
	}
	t := parts[len(parts)-1]
	for i := len(parts) - 2; i >= 0; i-- {
		t = made(kind, &coalesceNode{c.slot(), kind.stored(), parts[i].node, t.node}, parts[i], t)
	}
	return t
}

func (c *checker) textTest(n *ast.BinaryNode, a, b typed) typed {
	pos := n.Location().From
	if a.isNil() || b.isNil() {
		return c.null(Bool)
	}
	if a.kind != String || b.kind != String {
		return c.failf(pos, "%s takes strings, not %s and %s", n.Operator, a.kind, b.kind)
	}
	if n.Operator == "matches" {
		at := c.start(n.Right)
		if !b.literal() {
			return c.failf(at, "matches takes a literal, so that it is checked before the start")
		}
		re, err := regexp.Compile(b.value.s)
		if err != nil {
			return c.failf(at, "%s", err)
		}
		return made(Bool, &textTestNode{c.slot(), textTest{op: n.Operator, expr: re}, a.node}, a, b)
	}
	if b.literal() {
		return made(Bool, &textTestNode{c.slot(), textTest{op: n.Operator, arg: b.value.s}, a.node}, a, b)
	}
	test := strings.Contains
	switch n.Operator {
	case "startsWith":
		test = strings.HasPrefix
	case "endsWith":
		test = strings.HasSuffix
	}
	return made(Bool, &textPairNode{c.slot(), test, a.node, b.node}, a, b)
}
