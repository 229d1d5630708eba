package idl

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// constant is the value of an expression: one of the three.
type constant struct {
	i *big.Int
	f float64
	s *string
}

// binary operators by precedence, loosest first.
var precedence = map[string]int{"|": 1, "^": 2, "&": 3, "<<": 4, ">>": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6}

// expr reads an expression of operators that bind tighter than least. In
// bounds, which > ends, least is 7: an expression there stands in brackets.
func (p *parser) expr(least int) *expr {
	defer p.deeper()()
	l := p.unary()
	if least >= 7 {
		for {
			t := p.peek()
			n := precedence[t.text]
			if t.kind != tokPunct || n == 0 || t.text == ">>" {
				return l
			}
			p.next()
			l = &expr{op: t.text, l: l, r: p.tight(n), line: t.line}
		}
	}
	for {
		t := p.peek()
		n := precedence[t.text]
		if t.kind != tokPunct || n <= least {
			return l
		}
		p.next()
		l = &expr{op: t.text, l: l, r: p.expr(n), line: t.line}
	}
}

// tight reads what binds tighter than an operator of a bound.
func (p *parser) tight(n int) *expr {
	l := p.unary()
	for {
		t := p.peek()
		if t.kind != tokPunct || t.text == ">>" || precedence[t.text] <= n {
			return l
		}
		p.next()
		l = &expr{op: t.text, l: l, r: p.unary(), line: t.line}
	}
}

func (p *parser) unary() *expr {
	defer p.deeper()()
	t := p.next()
	switch {
	case t.kind == tokPunct && (t.text == "-" || t.text == "+" || t.text == "~"):
		return &expr{op: t.text, r: p.unary(), line: t.line}
	case t.kind == tokPunct && t.text == "(":
		e := p.expr(0)
		p.want(")")
		return e
	case t.kind == tokNumber:
		c, err := number(t)
		if err != nil {
			p.fail(err)
		}
		return &expr{value: c, line: t.line}
	case t.kind == tokChar:
		r, n := utf8.DecodeRuneInString(t.text)
		if n != len(t.text) || n == 0 {
			p.fail(corrupt(t.line, "a character literal holds %q", t.text))
		}
		return &expr{value: &constant{i: big.NewInt(int64(r))}, line: t.line}
	case t.kind == tokString:
		s := t.text
		for p.peek().kind == tokString {
			s += p.next().text
		}
		return &expr{value: &constant{s: &s}, line: t.line}
	case t.kind == tokName || t.kind == tokPunct && t.text == "::":
		p.at--
		return &expr{name: p.scoped(), line: t.line}
	}
	p.fail(corrupt(t.line, "%q where a value is due", t.text))
	return &expr{value: zero(), line: t.line}
}

func zero() *constant { return &constant{i: new(big.Int)} }

func number(t token) (*constant, *Error) {
	s := t.text
	if len(s) > 1000 {
		return zero(), limit(t.line, "a number of %d digits", len(s))
	}
	hex := len(s) > 1 && s[1]|0x20 == 'x'
	if !hex && strings.ContainsAny(s, ".eEdD") {
		f, err := strconv.ParseFloat(strings.TrimRight(s, "fFdDlL"), 64)
		if err != nil && !math.IsInf(f, 0) {
			return zero(), corrupt(t.line, "%q is not a number", s)
		}
		return &constant{f: f}, nil
	}
	digits, base := strings.TrimRight(s, "uUlL"), 10
	switch {
	case hex:
		digits, base = digits[2:], 16
	case len(digits) > 1 && digits[0] == '0':
		base = 8
	}
	i, ok := new(big.Int).SetString(digits, base)
	if !ok {
		return zero(), corrupt(t.line, "%q is not a number", s)
	}
	return &constant{i: i}, nil
}

// evaluate works out an expression in a scope. near are names that come before
// those of the scope: the values of an enum.
func (r *resolver) evaluate(e *expr, scope string, near map[string]int64) *constant {
	defer r.deeper(e.line)()
	switch {
	case r.err != nil:
		return zero()
	case e.value != nil:
		return e.value
	case e.op == "":
		return r.constant(e, scope, near)
	}
	b := r.evaluate(e.r, scope, near)
	a := &constant{i: new(big.Int)}
	if e.l != nil {
		a = r.evaluate(e.l, scope, near)
	}
	if a.s != nil || b.s != nil {
		return r.no(corrupt(e.line, "operator %s on a string", e.op))
	}
	if a.i == nil || b.i == nil {
		f, ok := e.floats(a, b)
		if !ok {
			return r.no(corrupt(e.line, "operator %s on a fraction", e.op))
		}
		return &constant{f: f}
	}
	out := new(big.Int)
	shift := uint(0)
	if e.op == "<<" || e.op == ">>" {
		if !b.i.IsUint64() || b.i.Uint64() > 64 {
			return r.no(corrupt(e.line, "shift by %s", b.i))
		}
		shift = uint(b.i.Uint64())
	}
	switch e.op {
	case "|":
		out.Or(a.i, b.i)
	case "^":
		out.Xor(a.i, b.i)
	case "&":
		out.And(a.i, b.i)
	case "<<":
		out.Lsh(a.i, shift)
	case ">>":
		out.Rsh(a.i, shift)
	case "+":
		out.Add(a.i, b.i)
	case "-":
		out.Sub(a.i, b.i)
	case "*":
		out.Mul(a.i, b.i)
	case "~":
		out.Not(b.i)
	case "/", "%":
		if b.i.Sign() == 0 {
			return r.no(corrupt(e.line, "division by zero"))
		}
		if e.op == "/" {
			out.Quo(a.i, b.i)
		} else {
			out.Rem(a.i, b.i)
		}
	}
	if out.BitLen() > 4096 {
		return r.no(limit(e.line, "a constant of %d bits", out.BitLen()))
	}
	return &constant{i: out}
}

// no fails with a constant that nobody will use.
func (r *resolver) no(err *Error) *constant {
	r.fail(err)
	return zero()
}

func (c *constant) float() float64 {
	if c.i == nil {
		return c.f
	}
	f, _ := new(big.Float).SetInt(c.i).Float64()
	return f
}

func (e *expr) floats(a, b *constant) (f float64, ok bool) {
	x, y := a.float(), b.float()
	switch e.op {
	case "+":
		return x + y, true
	case "-":
		return x - y, true
	case "*":
		return x * y, true
	case "/":
		return x / y, true
	}
	return 0, false
}

// constant is the value that a name stands for.
func (r *resolver) constant(e *expr, scope string, near map[string]int64) *constant {
	if n, ok := near[e.name]; ok {
		return &constant{i: big.NewInt(n)}
	}
	if n, ok := near[e.name[strings.LastIndex(e.name, ":")+1:]]; ok && near != nil {
		return &constant{i: big.NewInt(n)}
	}
	switch strings.ToUpper(e.name) {
	case "TRUE":
		return &constant{i: big.NewInt(1)}
	case "FALSE":
		return &constant{i: new(big.Int)}
	}
	d := r.lookup(e.name, scope)
	if d == nil {
		return r.no(corrupt(e.line, "%s is not declared", e.name))
	}
	switch d.kind {
	case declEnumerator:
		return &constant{i: big.NewInt(d.number)}
	case declConst:
		if d.eval == nil {
			if d.busy {
				return r.no(corrupt(d.line, "constant %s is made of itself", d.name))
			}
			d.busy = true
			c := r.evaluate(d.value, d.scope, nil)
			d.busy = false
			if r.err != nil {
				return zero()
			}
			d.eval = c
		}
		return d.eval
	}
	return r.no(corrupt(e.line, "%s is not a constant", e.name))
}
