// Package cbor decodes messages that are CBOR items (RFC 8949), as they lie in
// channels with message encoding cbor: one item, without length or framing.
//
// With a schema in jsonschema the columns are those of package jsonschema.
// Without one a message is one column, json, with its value as JSON text.
//
// # Values
//
//	integer   integers, bignums, floats without fraction below 2^53
//	number    floats of any size; integers that a double holds exactly
//	boolean   true, false
//	string    text strings
//	base64    byte strings, or text in base64
//	time      an object of sec and nsec, or tag 1 with an integer
//	array     arrays; typed arrays of RFC 8746, but for floats of 128 bits
//	object    maps; integer keys are their decimal digits
//
// null and undefined are null. Definite and indefinite lengths are read. Tags
// that say nothing here are passed over. What does not fit exactly rejects the
// row, as in package json, and so does a key that a map has twice. Every text
// string must be UTF-8.
//
// # JSON text
//
// A byte string becomes text in base64; NaN and infinities the strings NaN,
// Infinity and -Infinity; undefined null; a bignum of up to 1,024 bytes its
// digits; a tagged value the value; a typed array an array of numbers. A map
// with keys that are neither text nor integers has no JSON text and rejects the
// row (type_mismatch).
//
// Nesting, tags included, is read 100 levels deep. All of a message is looked
// over, whatever is selected.
package cbor

import (
	"sync"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/jsonschema"
	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Encoding is the message encoding cbor.
type Encoding struct{}

var _ message.Encoding = Encoding{}

// Name returns "cbor".
func (Encoding) Name() string { return "cbor" }

// Parse compiles a schema in jsonschema; a schema without encoding and data is
// none, and makes one column of JSON text.
func (Encoding) Parse(s message.Schema) (message.Layout, error) {
	root, err := jsonschema.Root(s, "cbor")
	if err != nil {
		return nil, err
	}
	l, err := tree.NewLayout(root.Node, jsonschema.Stamp(root))
	if err != nil {
		return nil, err
	}
	return &layout{l, root}, nil
}

type layout struct {
	*tree.Layout
	root *jsonschema.Value
}

// Compile makes a plan that fills the named columns; nil means all.
func (l *layout) Compile(columns []string) (message.Plan, error) {
	p, err := l.Layout.Compile(columns)
	if err != nil {
		return nil, err
	}
	return &plan{tree: p, root: jsonschema.Compile(p, l.root)}, nil
}

// plan is a message.Plan. Decoders are kept for the memory they hold.
type plan struct {
	tree *tree.Plan
	root *jsonschema.Table
	pool sync.Pool
}

// grow: a half float of 2 bytes in a typed array can take 24 as text.
const grow = 16

func (p *plan) Append(cols []*column.Column, data []byte, spans []message.Span) (int, error) {
	d, _ := p.pool.Get().(*decoder)
	if d == nil {
		d = &decoder{root: p.root}
	}
	n, err := p.tree.Run(cols, data, spans, grow, d.message)
	d.f, d.b = nil, nil
	p.pool.Put(d)
	return n, err
}
