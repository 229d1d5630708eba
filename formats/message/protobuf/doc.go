// Package protobuf decodes Protocol Buffers messages, as they lie in channels
// with message encoding protobuf: one serialized message, without a length
// before it. The schema is a binary google.protobuf.FileDescriptorSet; its name
// is the full name of the message type (protobuf.dev: Encoding; descriptor.proto
// of the same project, editions up to 2024).
//
// # Schemas
//
// Files of a set may come in any order; each schema has a namespace of its own,
// so that two of them may hold different versions of one file. The well-known
// types need not be in the set. A name that is not found, a set that breaks off
// and a schema of another encoding are errors, and the messages stay bytes.
//
// # Columns
//
//	int32, sint32, sfixed32, ...   the Arrow type of that name
//	bool, float, double, string    bool, float, double, utf8
//	bytes                          binary
//	enum                           int32 x and utf8 x_label, null for a number without name
//	message                        its fields, as x.field; bool x where it has none: true, or null
//	repeated T                     list<T>, a message as struct
//	map<K, V>                      list<struct<key, value>> in the order of the message, doubles kept
//	google.protobuf.Timestamp      timestamp[ns, UTC]
//	google.protobuf.Duration       duration[ns]
//	google.protobuf.Int64Value...  the value, nullable
//	google.protobuf.Struct, Value, ListValue  JSON text
//	google.protobuf.Any            type_url and value, as any message
//
// A field without presence (proto3, or features.field_presence IMPLICIT) that
// is absent has its zero value. A field with presence is null: optional,
// required and oneof fields and messages. The default that a proto2 field
// declares is in the metadata of its column (default), not in rows. A required
// field that is missing is null, too. Fields of an absent message are all null,
// lists included; a list of a message that is there is empty.
//
// # Messages
//
// Of a singular field that comes more than once the last value counts, and
// messages are merged, except for those that become JSON text, where the last
// counts. Setting a member of a oneof clears the others. Repeated numbers are
// read packed or not, whatever the schema says. Groups are messages. Fields
// unknown to the schema, extensions, and fields whose wire type is not that of
// the schema, are skipped, as the rules of the encoding have it. Fields that are
// not selected are skipped without being looked at.
//
// Strings that are not UTF-8 reject the row in proto2 as well. Times beyond the
// range of 64-bit nanoseconds, and nanoseconds of a second or more, reject the
// row (out_of_range); they are not rounded.
//
// # Limits
//
// A message type that contains itself is written out twice (once, where that
// makes more than tree.MaxColumns columns); the field that would be the next
// holds the serialized message as binary, with metadata protobuf_type and
// recursive=true. Types nest up to tree.MaxDepth, groups that are skipped and
// JSON values up to 100. Sets are read up to 16 MiB, with 65,536 types.
package protobuf

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
	maxSet   = 16 << 20
	maxTypes = 1 << 16
	maxNest  = 100
)

// Encoding is the message encoding protobuf.
type Encoding struct{}

var _ message.Encoding = Encoding{}

// Name returns "protobuf".
func (Encoding) Name() string { return "protobuf" }

// Parse compiles a FileDescriptorSet.
func (Encoding) Parse(s message.Schema) (message.Layout, error) {
	if s.Encoding != "protobuf" {
		return nil, fmt.Errorf("schema %s: schema encoding %q with message encoding protobuf: %w", s.Name, s.Encoding, pipeline.ErrUnsupported)
	}
	if len(s.Data) > maxSet {
		return nil, fmt.Errorf("descriptor set of %d bytes, at most %d are read: %w", len(s.Data), maxSet, pipeline.ErrLimit)
	}
	set, err := parseSet(s.Data)
	if err != nil {
		return nil, fmt.Errorf("parsing descriptor set: %w", err)
	}
	root := set.find(s.Name)
	if root == nil {
		return nil, fmt.Errorf("the descriptor set has no message type %q: %w", s.Name, pipeline.ErrSchema)
	}
	for again := 1; ; again-- {
		l, err := newLayout(set, root, again)
		if again > 0 && errors.Is(err, pipeline.ErrLimit) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("message type %s: %w", s.Name, err)
		}
		return l, nil
	}
}

// layout is the columns of a message type.
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

// grow: JSON text of a Struct is the longest that a byte can become, a number
// of 9 bytes 24 characters.
const grow = 8

func (p *plan) Append(cols []*column.Column, data []byte, spans []message.Span) (int, error) {
	return p.tree.Run(cols, data, spans, grow, p.decode)
}

func (p *plan) decode(f *tree.Frame, start, end int) bool {
	return p.root.message(f, start, end, 0) >= 0
}
