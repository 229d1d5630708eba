// Package json decodes messages that are JSON texts (RFC 8259), as they lie in
// channels with message encoding json.
//
// With a schema in jsonschema the columns are those of package jsonschema.
// Without one a message is one column, json, with its text as it is: nothing
// about types is guessed, as the first messages do not bind those to come.
//
// # Values
//
// Integers are exact: one that does not fit its column rejects the row
// (out_of_range), as does a fraction; 1.0 and 1e3 are integers. Numbers become
// the nearest double; an integer of which the nearest double is another one,
// and a number beyond the doubles, reject the row. A value of another type than
// the schema says rejects the row (type_mismatch). Columns of JSON text hold the
// bytes of the value as they stand in the message. Base64 is that of RFC 4648
// section 4, with or without padding.
//
// # What is refused
//
// A message must be one value in UTF-8, with blanks around it at most: not
// empty, without byte order mark, comments, trailing commas or text behind it.
// Twice the same key in one object rejects the row (duplicate_key) wherever it
// is, since readers disagree about what it means, as does nesting deeper than
// 100. An escape that stands for half a surrogate pair cannot be in a column of
// strings (invalid_utf8). All of a message is looked over, whatever is selected.
package json

import (
	"sync"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/jsonschema"
	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Encoding is the message encoding json.
type Encoding struct{}

var _ message.Encoding = Encoding{}

// Name returns "json".
func (Encoding) Name() string { return "json" }

// Parse compiles a schema in jsonschema; a schema without encoding and data is
// none, and makes one column of text.
func (Encoding) Parse(s message.Schema) (message.Layout, error) {
	root, err := jsonschema.Root(s, "json")
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

// grow: a value of one byte takes 8 in its column.
const grow = 8

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
