package dbc

import (
	"strconv"
)

type object uint8

const (
	objNetwork object = iota
	objMessage
	objSignal
	objOther // nodes, environment variables: nothing about frames
)

type attributeKey struct {
	object object
	name   string
}

// attributeDef is a BA_DEF_ with its default.
type attributeDef struct {
	items    []string // of an enumeration
	enum     bool
	fallback string
	has      bool
}

// value makes the value of an attribute into text: that of an enumeration is
// given by index or by text.
func (d *attributeDef) value(v string) (string, bool) {
	if d == nil || !d.enum {
		return v, true
	}
	for _, item := range d.items {
		if item == v {
			return v, true
		}
	}
	if i, err := strconv.Atoi(v); err == nil && i >= 0 && i < len(d.items) {
		return d.items[i], true
	}
	return v, v == ""
}

func (p *parser) attribute() {
	obj := objNetwork
	if p.tok.kind == tokName {
		switch t := p.advance(); t.text {
		case "BO_":
			obj = objMessage
		case "SG_":
			obj = objSignal
		default:
			obj = objOther
		}
	}
	if p.tok.kind != tokString {
		p.fail("BA_DEF_", "the name of an attribute")
		return
	}
	name := p.advance()
	d := &attributeDef{}
	if p.tok.kind == tokName && p.tok.text == "ENUM" {
		d.enum = true
		p.advance()
		for p.tok.kind == tokString {
			d.items = append(d.items, p.advance().text)
			p.accept(",")
		}
		p.end("BA_DEF_")
	} else {
		p.skipStatement() // INT, HEX, FLOAT with their ranges, STRING
	}
	p.defs[attributeKey{obj, name.text}] = d
}

// attributeText reads the value of an attribute.
func (p *parser) attributeText(statement string) (string, bool) {
	if p.tok.kind != tokString && p.tok.kind != tokNumber {
		p.fail(statement, "a value")
		return "", false
	}
	return p.advance().text, true
}

func (p *parser) attributeDefault() {
	if p.tok.kind != tokString {
		p.fail("BA_DEF_DEF_", "the name of an attribute")
		return
	}
	name := p.advance()
	if v, ok := p.attributeText("BA_DEF_DEF_"); ok {
		p.refs = append(p.refs, reference{kind: refDefault, name: name.text, text: v, pos: name.pos})
		p.end("BA_DEF_DEF_")
	}
}

func (p *parser) attributeValue() {
	if p.tok.kind != tokString {
		p.fail("BA_", "the name of an attribute")
		return
	}
	name := p.advance()
	r, ok := p.object("BA_")
	if !ok {
		return
	}
	v, ok := p.attributeText("BA_")
	if !ok {
		return
	}
	r.kind, r.attribute, r.text = refAttribute, name.text, v
	p.refs = append(p.refs, r)
	p.end("BA_")
}
