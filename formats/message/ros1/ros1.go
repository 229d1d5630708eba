// Package ros1 decodes messages in the serialization of ROS 1, as they lie in
// ROS 1 bags and in MCAP channels with message encoding ros1.
//
// A message is its fields in order of declaration, little-endian, without
// header, padding or alignment:
//
//	bool                1 byte, anything but zero is true
//	intN, uintN, floatN N/8 bytes; byte is int8, char is uint8
//	string              uint32 length, bytes, no NUL
//	time                uint32 seconds, uint32 nanoseconds
//	duration            int32 seconds, int32 nanoseconds
//	T[N]                N values
//	T[]                 uint32 count, values
//	pkg/Type            its fields; nothing where it has none
//
// Constants take no space. All bytes of a message must be used up: left-over
// ones mean that the definition is not that of the message. Strings that are
// not UTF-8 reject the message, see wire.InvalidUTF8.
package ros1

import (
	"fmt"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/formats/message/wire"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Encoding is the message encoding ros1.
type Encoding struct{}

var _ message.Encoding = Encoding{}

// Name returns "ros1".
func (Encoding) Name() string { return "ros1" }

// Parse compiles a schema in ros1msg, the .msg language of ROS 1.
func (Encoding) Parse(s message.Schema) (message.Layout, error) {
	if s.Encoding != "ros1msg" {
		return nil, fmt.Errorf("schema %s: schema encoding %q with message encoding ros1: %w", s.Name, s.Encoding, pipeline.ErrUnsupported)
	}
	t, err := rosmsg.Parse(rosmsg.ROS1, s.Name, s.Data)
	if err != nil {
		return nil, fmt.Errorf("parsing schema: %w", err)
	}
	return NewLayout(t), nil
}

// Layout is the columns of a message type.
type Layout struct{ wire.Layout }

// NewLayout returns the layout of a ROS 1 message type, such as a built-in one.
func NewLayout(t *rosmsg.Type) *Layout { return &Layout{wire.NewLayout(t)} }

// Compile makes a plan that fills the named columns; nil means all.
func (l *Layout) Compile(columns []string) (message.Plan, error) {
	sel, err := l.Select(columns)
	if err != nil {
		return nil, err
	}
	return &plan{l.Layout.Compile(sel, wire.Dialect{})}, nil
}

type plan struct{ program *wire.Program }

func (p *plan) Append(cols []*column.Column, data []byte, spans []message.Span) (int, error) {
	return p.program.Append(cols, data, spans)
}

// KnownLayout returns the layout of a built-in type of ROS 1, in the form pkg/Type.
func (Encoding) KnownLayout(name string) (message.Layout, error) {
	t, err := rosmsg.Builtin(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", pipeline.ErrNotFound, err)
	}
	if t.Version != rosmsg.ROS1 {
		return nil, fmt.Errorf("type %s: %w", name, pipeline.ErrNotFound)
	}
	return NewLayout(t), nil
}
