package idl

import (
	"fmt"
	"strings"
)

// parser reads declarations. It keeps the first error, and from then on sees
// the end of the text, so that whatever is being read comes to an end, too.
type parser struct {
	err    *Error
	tokens []token
	at     int
	scope  string
	depth  int
	decls  map[string]*decl
	count  int
}

func (p *parser) fail(err *Error) {
	if p.err == nil {
		p.err, p.at = err, len(p.tokens)-1
	}
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokEnd {
		p.at++
	}
	return t
}

// is reports whether the next token is the name or sign text, and takes it.
func (p *parser) is(text string) bool {
	t := p.peek()
	if (t.kind == tokName || t.kind == tokPunct) && t.text == text {
		p.at++
		return true
	}
	// >> ends two types, too.
	if text == ">" && t.kind == tokPunct && t.text == ">>" {
		p.tokens[p.at].text = ">"
		return true
	}
	return false
}

// until takes end if it comes next, and otherwise reports that there is more
// before it.
func (p *parser) until(end string) bool { return p.err == nil && !p.is(end) }

func (p *parser) want(text string) {
	if !p.is(text) {
		t := p.peek()
		p.fail(corrupt(t.line, "%q where %q is due", t.text, text))
	}
}

func (p *parser) name() string {
	t := p.next()
	if t.kind != tokName {
		p.fail(corrupt(t.line, "%q where a name is due", t.text))
	}
	return strings.TrimPrefix(t.text, "_")
}

// scoped reads a name with ::, which may begin with ::.
func (p *parser) scoped() string {
	s := ""
	if p.is("::") {
		s = "::"
	}
	s += p.name()
	for p.is("::") {
		s += "::" + p.name()
	}
	return s
}

func (p *parser) deeper() func() {
	if p.depth++; p.depth > maxDepth {
		p.fail(limit(p.peek().line, "nests deeper than %d", maxDepth))
	}
	return func() { p.depth-- }
}

func join(scope, name string) string {
	if scope == "" {
		return name
	}
	return scope + "::" + name
}

func (p *parser) add(d *decl) {
	if p.count++; p.count > maxDecls {
		p.fail(limit(d.line, "more than %d declarations", maxDecls))
	}
	old := p.decls[d.name]
	switch {
	case old == nil || old.forward:
		p.decls[d.name] = d
	case d.forward:
	case fmt.Sprint(describe(old)) != fmt.Sprint(describe(d)):
		p.fail(corrupt(d.line, "%s is declared a second time, and differently from line %d", d.name, old.line))
	}
}

// describe lists what must be equal in two declarations of one name.
func describe(d *decl) []string {
	out := []string{fmt.Sprint(d.kind), d.base, d.of.String()}
	for _, m := range d.members {
		out = append(out, m.of.String()+" "+m.name)
	}
	for _, v := range d.values {
		out = append(out, v.name)
	}
	return out
}

func (t typeSpec) String() string {
	s := t.word + t.name
	if t.key != nil {
		s += "<" + t.key.String()
	}
	if t.elem != nil {
		s += "<" + t.elem.String()
	}
	return fmt.Sprint(s, len(t.dims))
}

func (p *parser) file() {
	for p.peek().kind != tokEnd {
		p.definition()
	}
}

func (p *parser) definition() {
	defer p.deeper()()
	if p.is(";") {
		return
	}
	notes := p.annotations()
	t := p.peek()
	if t.kind != tokName {
		p.fail(corrupt(t.line, "%q where a declaration is due", t.text))
	}
	switch t.text {
	case "module":
		p.next()
		old := p.scope
		p.scope = join(old, p.name())
		p.want("{")
		for p.until("}") {
			p.definition()
		}
		p.scope = old
	case "struct":
		p.next()
		p.structure(notes)
	case "union":
		p.next()
		p.union(notes)
	case "enum":
		p.next()
		p.enum(notes)
	case "bitmask":
		p.next()
		d := p.declare(declBitmask, notes)
		p.want("{")
		d.values = p.names("}")
		p.add(d)
	case "typedef":
		p.next()
		of := p.typeSpec()
		for {
			d := p.declare(declTypedef, notes)
			d.of = of
			d.of.dims = p.dims()
			p.add(d)
			if !p.is(",") {
				break
			}
		}
	case "const":
		p.next()
		of := p.typeSpec()
		d := p.declare(declConst, notes)
		d.of = of
		p.want("=")
		d.value = p.expr(0)
		p.add(d)
	case "bitset", "interface", "valuetype", "exception", "native", "component", "local", "abstract", "eventtype":
		p.fail(unsupported(t.line, t.text))
	default:
		p.fail(corrupt(t.line, "%q where a declaration is due", t.text))
	}
	if t.text == "module" && p.peek().text != ";" {
		return // the semicolon after a module is often left out
	}
	p.want(";")
}

func (p *parser) declare(kind declKind, notes annotations) *decl {
	line := p.peek().line
	return &decl{kind: kind, name: join(p.scope, p.name()), scope: p.scope, line: line, notes: notes}
}

func (p *parser) structure(notes annotations) {
	d := p.declare(declStruct, notes)
	if p.peek().text == ";" {
		d.forward = true
		p.add(d)
		return
	}
	if p.is(":") {
		d.base = p.scoped()
	}
	p.want("{")
	for p.until("}") {
		notes := p.annotations()
		of := p.typeSpec()
		for {
			d.members = append(d.members, p.member(of, notes))
			if !p.is(",") {
				break
			}
		}
		p.want(";")
	}
	p.add(d)
}

func (p *parser) member(of typeSpec, notes annotations) memberDecl {
	line := p.peek().line
	more := p.annotations() // some stand behind the type
	for k, v := range notes {
		if more == nil {
			more = make(annotations)
		}
		if more[k] == nil {
			more[k] = v
		}
	}
	m := memberDecl{name: p.name(), of: of, notes: more, line: line}
	m.of.dims = p.dims()
	return m
}

func (p *parser) union(notes annotations) {
	d := p.declare(declUnion, notes)
	if p.peek().text == ";" {
		d.forward = true
		p.add(d)
		return
	}
	p.want("switch")
	p.want("(")
	p.annotations()
	d.of = p.typeSpec()
	p.want(")")
	p.want("{")
	for p.until("}") {
		m := memberDecl{}
		n := 0
		for {
			if p.is("case") {
				m.cases = append(m.cases, p.expr(0))
			} else if p.is("default") {
				m.other = true
			} else {
				break
			}
			p.want(":")
			n++
		}
		if n == 0 {
			p.fail(corrupt(p.peek().line, "%q where a case is due", p.peek().text))
		}
		notes := p.annotations()
		of := p.typeSpec()
		got := p.member(of, notes)
		got.cases, got.other = m.cases, m.other
		d.members = append(d.members, got)
		p.want(";")
	}
	p.add(d)
}

func (p *parser) enum(notes annotations) {
	d := p.declare(declEnum, notes)
	p.want("{")
	d.values = p.names("}")
	if len(d.values) == 0 {
		p.fail(corrupt(d.line, "enum %s has no values", d.name))
	}
	p.add(d)
}

// names reads the values of an enum, or the bits of a mask.
func (p *parser) names(end string) []enumValue {
	var out []enumValue
	for p.until(end) {
		notes := p.annotations()
		out = append(out, enumValue{p.name(), notes})
		if !p.is(",") {
			p.want(end)
			break
		}
	}
	return out
}

func (p *parser) dims() []*expr {
	var out []*expr
	for p.is("[") {
		out = append(out, p.expr(0))
		p.want("]")
	}
	return out
}

func (p *parser) annotations() annotations {
	var out annotations
	for p.is("@") {
		name := p.scoped()
		params := make(map[string]*expr)
		if p.is("(") {
			for p.until(")") {
				key := "value"
				if t := p.peek(); t.kind == tokName && p.tokens[p.at+1].text == "=" {
					key = t.text
					p.at += 2
				}
				params[key] = p.expr(0)
				if !p.is(",") {
					p.want(")")
					break
				}
			}
		}
		if out == nil {
			out = make(annotations)
		}
		out[strings.ToLower(name)] = params
	}
	return out
}

// words are the types of the language, by the words that spell them.
var words = map[string]string{
	"boolean": "bool", "octet": "uint8", "char": "char", "wchar": "wchar", "float": "float32", "double": "float64",
	"short": "int16", "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32",
	"uint32": "uint32", "int64": "int64", "uint64": "uint64",
}

func (p *parser) typeSpec() typeSpec {
	defer p.deeper()()
	t := p.peek()
	out := typeSpec{line: t.line}
	if t.kind == tokName {
		if w, ok := words[t.text]; ok {
			p.next()
			out.word = w
			return out
		}
		switch t.text {
		case "long":
			p.next()
			out.word = "int32"
			if p.is("long") {
				out.word = "int64"
			} else if p.is("double") {
				out.word = "float128"
			}
			return out
		case "unsigned":
			p.next()
			switch {
			case p.is("short"):
				out.word = "uint16"
			case p.is("long"):
				out.word = "uint32"
				if p.is("long") {
					out.word = "uint64"
				}
			default:
				p.fail(corrupt(t.line, "unsigned %s", p.peek().text))
			}
			return out
		case "string", "wstring":
			p.next()
			out.word = t.text
			if p.is("<") {
				out.bound = p.expr(7)
				p.want(">")
			}
			return out
		case "sequence", "map":
			p.next()
			out.word = t.text
			p.want("<")
			p.annotations()
			if elem := p.typeSpec(); t.text == "map" {
				p.want(",")
				p.annotations()
				val := p.typeSpec()
				out.key, out.elem = &elem, &val
			} else {
				out.elem = &elem
			}
			if p.is(",") {
				out.bound = p.expr(7)
			}
			p.want(">")
			return out
		case "fixed", "any", "Object", "ValueBase":
			p.fail(unsupported(t.line, t.text))
		}
	}
	out.name = p.scoped()
	return out
}
