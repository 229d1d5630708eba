// Package flatbuffer decodes FlatBuffers messages, as they lie in channels with
// message encoding flatbuffer: one finished buffer, with or without file
// identifier. The schema is a binary reflection schema (.bfbs, reflection.fbs of
// FlatBuffers 1.12 to 25); its name is the full name of the table, which need not
// be the root_table of the schema.
//
// # Columns
//
//	bool, byte ... ulong, float, double   the Arrow type of that name
//	enum                  the integer x and utf8 x_label, null for a number without name
//	string                utf8
//	[ubyte]               binary
//	[T], [T:N]            list<T>, fixed_size_list<T>, a table or struct as struct
//	table, struct         its fields, as x.field
//	union x               x_type and x_type_label, and x.Variant.field for each variant
//	[union] x             x_type, and a list of structs of the variants
//	foxglove.Time, foxglove.Duration   timestamp[ns, UTC], duration[ns]
//
// A scalar that is absent has the default of the schema, or is null where it is
// optional. Anything else that is absent is null, with all below it. Deprecated
// fields have no column. A union whose type the schema does not know keeps its
// number, and its variants are null.
//
// A table that contains itself is written out three times (fewer, where that
// makes more than tree.MaxColumns columns). The field that would be the next has
// no column; a row that has it rejects as too_deep rather than lose it.
//
// # Checks
//
// Every offset, vtable, length and count is held against the bytes of the message
// before it is used; alignment is not asked for. Parts may be shared inside a
// message, but what is read of it in all must not exceed four times its size and
// 4 KiB (message_too_large). Fields that are not selected are not looked at. A
// buffer with a size before it is read as well. Schemas are read up to 16 MiB,
// with 65,536 objects and enums.
package flatbuffer

import (
	"errors"
	"fmt"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Limits of schemas and messages.
const (
	maxSchema = 16 << 20
	maxTypes  = 1 << 16
	recursion = 2 // times that a table stands inside itself
)

// Encoding is the message encoding flatbuffer.
type Encoding struct{}

var _ message.Encoding = Encoding{}

// Name returns "flatbuffer".
func (Encoding) Name() string { return "flatbuffer" }

// Parse compiles a binary reflection schema.
func (Encoding) Parse(s message.Schema) (message.Layout, error) {
	if s.Encoding != "flatbuffer" {
		return nil, fmt.Errorf("schema %s: schema encoding %q with message encoding flatbuffer: %w", s.Name, s.Encoding, pipeline.ErrUnsupported)
	}
	sc, err := parseSchema(s.Data)
	if err != nil {
		return nil, fmt.Errorf("parsing reflection schema: %w", err)
	}
	root := sc.find(s.Name)
	if root == nil {
		return nil, fmt.Errorf("the schema has no table %q: %w", s.Name, pipeline.ErrSchema)
	}
	for again := recursion; ; again-- {
		l, err := newLayout(sc, root, again)
		if again > 0 && errors.Is(err, pipeline.ErrLimit) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", s.Name, err)
		}
		return l, nil
	}
}

// layout is the columns of a table.
type layout struct {
	*tree.Layout
	root *shape
}

// Compile makes a plan that fills the named columns; nil means all.
func (l *layout) Compile(columns []string) (message.Plan, error) {
	p, err := l.Layout.Compile(columns)
	if err != nil {
		return nil, err
	}
	return &plan{tree: p, root: compile(p, l.root)}, nil
}

// plan is a message.Plan.
type plan struct {
	tree *tree.Plan
	root *table
}

// grow: a message is read four times over at most, and a byte of it makes at
// most 4 of offsets.
const grow = 16

func (p *plan) Append(cols []*column.Column, data []byte, spans []message.Span) (int, error) {
	return p.tree.Run(cols, data, spans, grow, p.decode)
}
