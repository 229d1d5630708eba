package idl

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Definitions are the declarations of a text.
type Definitions struct {
	decls map[string]*decl
	// Missing is asked for types that the text does not declare: scoped names,
	// for which it returns IDL text. nil: there are none.
	Missing func(name string) (text string, ok bool)
}

// Parse reads the declarations of a text. Errors are of type *Error.
func Parse(text string) (d *Definitions, err error) {
	d = &Definitions{decls: make(map[string]*decl)}
	return d, d.Add(text)
}

// Add reads more declarations.
func (d *Definitions) Add(text string) error {
	if len(text) > maxText {
		return limit(0, "text of %d bytes, at most %d are read", len(text), maxText)
	}
	tokens, lexErr := lex(strings.TrimPrefix(strings.TrimRight(text, "\x00"), "\ufeff"))
	if lexErr != nil {
		return lexErr
	}
	p := &parser{tokens: tokens, decls: d.decls, count: len(d.decls)}
	p.file()
	if p.err != nil {
		return p.err
	}
	for _, e := range p.decls {
		if e.kind == declEnum {
			if err := d.enumerators(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// enumerators declares the values of an enum beside it.
func (d *Definitions) enumerators(e *decl) error {
	r := &resolver{Definitions: d}
	next := int64(0)
	for _, v := range e.values {
		if x := v.notes.param("value", "value"); x != nil {
			next = r.integer(x, e.scope, math.MinInt32, math.MaxInt64)
		}
		name := join(e.scope, v.name)
		if d.decls[name] == nil {
			d.decls[name] = &decl{kind: declEnumerator, name: name, line: e.line, number: next}
		}
		next++
	}
	return r.result()
}

// Type resolves the type called name: scoped with :: or, as ROS writes it, with
// slashes.
func (d *Definitions) Type(name string) (*Type, error) {
	r := &resolver{Definitions: d}
	scoped := strings.ReplaceAll(name, "/", "::")
	e := d.decls[scoped]
	if e == nil {
		if parts := strings.Split(scoped, "::"); len(parts) == 2 { // pkg/Type
			e = d.decls[parts[0]+"::msg::"+parts[1]]
		}
	}
	if e == nil {
		return nil, &Error{Reason: fmt.Sprintf("type %s is not declared", name), Kind: pipeline.ErrSchema}
	}
	t := r.declared(e, e.line)
	if err := r.result(); err != nil {
		return nil, err
	}
	return t, nil
}

// resolver resolves types. It keeps the first error, from which on nothing is
// resolved any more and what it returns means nothing.
type resolver struct {
	*Definitions
	depth int
	err   *Error
}

func (r *resolver) fail(err *Error) {
	if r.err == nil {
		r.err = err
	}
}

// result returns the first error.
func (r *resolver) result() error {
	if r.err != nil {
		return r.err
	}
	return nil
}

func (r *resolver) deeper(line int) func() {
	if r.depth++; r.depth > maxDepth {
		r.fail(limit(line, "nests deeper than %d", maxDepth))
	}
	return func() { r.depth-- }
}

// lookup finds a declaration from a scope outwards.
func (r *resolver) lookup(name, scope string) *decl {
	if full, ok := strings.CutPrefix(name, "::"); ok {
		return r.decls[full]
	}
	for {
		if d := r.decls[join(scope, name)]; d != nil {
			return d
		}
		if scope == "" {
			return nil
		}
		scope = scope[:max(strings.LastIndex(scope, "::"), 0)]
	}
}

func (r *resolver) integer(e *expr, scope string, low, high int64) int64 {
	c := r.evaluate(e, scope, nil)
	if c.i == nil || !c.i.IsInt64() || c.i.Int64() < low || c.i.Int64() > high {
		r.fail(corrupt(e.line, "the value is not an integer from %d to %d", low, high))
		return low
	}
	return c.i.Int64()
}

// declared returns the type that a declaration makes.
func (r *resolver) declared(d *decl, line int) *Type {
	if d.typ != nil {
		return d.typ
	}
	defer r.deeper(line)()
	switch {
	case d.busy:
		r.fail(corrupt(line, "%s contains itself", d.name))
	case d.forward:
		r.fail(corrupt(line, "%s is declared, but nowhere defined", d.name))
	}
	if r.err != nil {
		return &Type{}
	}
	d.busy = true
	defer func() { d.busy = false }()
	t := &Type{Name: d.name}
	switch d.kind {
	case declTypedef:
		t = r.spec(d.of, d.scope)
	case declStruct:
		r.structure(t, d)
	case declUnion:
		r.union(t, d)
	case declEnum:
		t.Kind, t.Bytes = Enum, 4
		switch n := r.bitBound(d, 32, 32); {
		case n <= 8:
			t.Bytes = 1
		case n <= 16:
			t.Bytes = 2
		}
		t.Labels = make(map[int64]string)
		next := int64(0)
		for _, v := range d.values {
			if x := v.notes.param("value", "value"); x != nil {
				next = r.integer(x, d.scope, math.MinInt32, math.MaxInt32)
			}
			if _, ok := t.Labels[next]; !ok {
				t.Labels[next] = v.name
			}
			next++
		}
	case declBitmask:
		t.Kind, t.Bytes = Bitmask, 1
		for n := r.bitBound(d, 32, 64); t.Bytes*8 < n; {
			t.Bytes *= 2
		}
	default:
		r.fail(corrupt(line, "%s is not a type", d.name))
	}
	if r.err == nil {
		d.typ = t
	}
	return t
}

func (r *resolver) bitBound(d *decl, unsaid, most int64) int {
	if x := d.notes.param("bit_bound", "value"); x != nil {
		return int(r.integer(x, d.scope, 1, most))
	}
	return int(unsaid)
}

func extensibility(a annotations) Extensibility {
	if x := a.param("extensibility", "value"); x != nil {
		switch strings.ToUpper(x.name[strings.LastIndex(x.name, ":")+1:]) {
		case "FINAL":
			return Final
		case "APPENDABLE":
			return Appendable
		case "MUTABLE":
			return Mutable
		}
	}
	switch {
	case a.has("final"):
		return Final
	case a.has("appendable"):
		return Appendable
	case a.has("mutable"):
		return Mutable
	}
	return Unsaid
}

// hashID is the member id made of a name (DDS-XTypes 1.3, section 7.3.1.2.1.1).
func hashID(name string) uint32 {
	sum := md5.Sum([]byte(name))
	return binary.LittleEndian.Uint32(sum[:]) & 0x0fffffff
}

func (r *resolver) structure(t *Type, d *decl) {
	t.Kind, t.Ext = Struct, extensibility(d.notes)
	next := uint32(0)
	if d.base != "" {
		b := r.lookup(d.base, d.scope)
		if b == nil || b.kind != declStruct {
			r.fail(corrupt(d.line, "base %s of %s is not a struct that is declared", d.base, d.name))
			return
		}
		base := r.declared(b, d.line)
		t.Members = append(t.Members, base.Members...)
		if t.Ext == Unsaid {
			t.Ext = base.Ext
		}
		if n := len(base.Members); n > 0 {
			next = base.Members[n-1].ID + 1
		}
	}
	for i := range d.members {
		m := r.member(&d.members[i], d, &next)
		t.Members = append(t.Members, m)
	}
	if len(t.Members) == 1 && t.Members[0].Name == "structure_needs_at_least_one_member" {
		t.Members = nil // what rosidl puts into messages without fields
	}
	r.distinct(t, d)
}

// distinct checks the names and ids of members.
func (r *resolver) distinct(t *Type, d *decl) {
	names, ids := make(map[string]bool), make(map[uint32]bool)
	for _, m := range t.Members {
		if names[m.Name] {
			r.fail(corrupt(d.line, "%s has two members called %s", d.name, m.Name))
		}
		if ids[m.ID] && t.Ext == Mutable {
			r.fail(corrupt(d.line, "%s has two members with id %d", d.name, m.ID))
		}
		names[m.Name], ids[m.ID] = true, true
	}
}

func (r *resolver) member(m *memberDecl, d *decl, next *uint32) Member {
	out := Member{Name: m.name, Type: r.spec(m.of, d.scope), ID: *next,
		Optional: m.notes.has("optional"), Key: m.notes.has("key"), MustUnderstand: m.notes.has("must_understand")}
	auto := ""
	if x := d.notes.param("autoid", "value"); x != nil {
		auto = x.name
	}
	switch {
	case m.notes.param("id", "value") != nil:
		out.ID = uint32(r.integer(m.notes.param("id", "value"), d.scope, 0, 0x0fffffff))
	case m.notes.has("hashid"):
		name := m.name
		if s := r.text(m.notes.param("hashid", "value"), d.scope); s != "" {
			name = s
		}
		out.ID = hashID(name)
	case strings.HasSuffix(auto, "HASH"):
		out.ID = hashID(m.name)
	}
	*next = out.ID + 1
	out.Unit = r.text(m.notes.param("unit", "value"), d.scope)
	if x := m.notes.param("default", "value"); x != nil {
		out.Default = r.text(x, d.scope)
	}
	if v := m.notes["verbatim"]; v != nil && r.text(v["language"], d.scope) == "comment" {
		out.Description = r.text(v["text"], d.scope)
	}
	return out
}

// text is a parameter of an annotation as text; names that stand for nothing
// are themselves.
func (r *resolver) text(e *expr, scope string) string {
	if e == nil {
		return ""
	}
	if e.name != "" {
		if d := r.lookup(e.name, scope); d == nil || d.kind != declConst {
			return e.name
		}
	}
	c := r.evaluate(e, scope, nil)
	switch {
	case c.s != nil:
		return *c.s
	case c.i != nil:
		return c.i.String()
	}
	return fmt.Sprint(c.f)
}

func (r *resolver) union(t *Type, d *decl) {
	t.Kind, t.Ext = Union, extensibility(d.notes)
	t.Key = r.spec(d.of, d.scope)
	var near map[string]int64
	switch t.Key.Kind {
	case Enum:
		near = make(map[string]int64)
		for n, s := range t.Key.Labels {
			near[s] = n
		}
	case Bool, Int8, Uint8, Int16, Uint16, Int32, Uint32, Int64, Uint64, Char, WChar:
	default:
		r.fail(corrupt(d.line, "a union cannot switch by %s", d.of))
	}
	next := uint32(1) // the discriminator is member 0
	seen := make(map[int64]bool)
	for i := range d.members {
		md := &d.members[i]
		m := r.member(md, d, &next)
		m.Otherwise = md.other
		for _, x := range md.cases {
			c := r.evaluate(x, d.scope, near)
			if c.i == nil || !c.i.IsInt64() || seen[c.i.Int64()] {
				r.fail(corrupt(x.line, "the case is not an integer of its own"))
				return
			}
			seen[c.i.Int64()] = true
			m.Cases = append(m.Cases, c.i.Int64())
		}
		t.Members = append(t.Members, m)
	}
	r.distinct(t, d)
}

var primitives = map[string]Kind{
	"bool": Bool, "int8": Int8, "uint8": Uint8, "int16": Int16, "uint16": Uint16, "int32": Int32, "uint32": Uint32,
	"int64": Int64, "uint64": Uint64, "float32": Float32, "float64": Float64, "float128": Float128, "char": Char, "wchar": WChar,
	"string": String, "wstring": WString,
}

// spec resolves a type where it is used.
func (r *resolver) spec(s typeSpec, scope string) *Type {
	defer r.deeper(s.line)()
	if r.err != nil {
		return &Type{}
	}
	var t *Type
	bound := uint32(0)
	if s.bound != nil {
		bound = uint32(r.integer(s.bound, scope, 1, math.MaxUint32))
	}
	switch k, ok := primitives[s.word]; {
	case ok:
		t = &Type{Kind: k, Len: bound}
	case s.word == "sequence":
		t = &Type{Kind: Sequence, Elem: r.spec(*s.elem, scope), Len: bound}
	case s.word == "map":
		t = &Type{Kind: Map, Key: r.spec(*s.key, scope), Elem: r.spec(*s.elem, scope), Len: bound}
	default:
		t = r.named(s, scope)
	}
	total := int64(1)
	for i := len(s.dims) - 1; i >= 0; i-- {
		n := r.integer(s.dims[i], scope, 1, maxArray)
		if total *= n; total > maxArray {
			r.fail(limit(s.line, "an array of more than %d elements", maxArray))
		}
		t = &Type{Kind: Array, Elem: t, Len: uint32(n), Inner: i > 0}
	}
	return t
}

func (r *resolver) named(s typeSpec, scope string) *Type {
	d := r.lookup(s.name, scope)
	if d == nil && r.Missing != nil {
		name := strings.TrimPrefix(s.name, "::")
		if text, ok := r.Missing(name); ok {
			if err := r.Add(text); err != nil {
				r.fail(corrupt(s.line, "built-in type %s: %v", name, err))
				return &Type{}
			}
			d = r.decls[name]
		}
	}
	if d == nil {
		r.fail(corrupt(s.line, "type %s is not declared", s.name))
		return &Type{}
	}
	return r.declared(d, s.line)
}
