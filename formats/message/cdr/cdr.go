// Package cdr decodes messages in CDR, the serialization of ROS 2, as they lie
// in MCAP channels and rosbag2 files with message encoding cdr (OMG DDS-XTypes
// 1.3; RTPS 2.5 section 10).
//
// A message begins with an encapsulation header of 4 bytes: a zero byte, the
// kind of CDR, two bytes of options. Kinds read are
//
//	00 00, 00 01                CDR, big- and little-endian
//	00 06, 00 07, 00 10, 00 11  plain CDR2, which two tables number differently
//
// Parameter lists and delimited (appendable) CDR2 are not read: such a message
// is rejected as unsupported_encapsulation.
//
// Behind the header follow the fields in order of declaration. A number of n
// bytes begins at a multiple of n, at most 8 in CDR and 4 in CDR2, counted
// from behind the header; padding may hold anything. Structs and arrays have no
// alignment of their own, and padding after the count of a sequence is there
// only if an element follows.
//
//	bool                1 byte, anything but zero is true
//	intN, uintN, floatN N/8 bytes; byte and char are uint8
//	string              uint32 length with NUL, bytes, NUL; a length of 0 and a
//	                    missing NUL are accepted
//	wstring             uint32 length, UTF-16; see below
//	Time, Duration      int32 seconds, uint32 nanoseconds (builtin_interfaces)
//	T[N]                N values
//	T[], T[<=N]         uint32 count, values
//	pkg/msg/Type        its fields; one byte where it has none
//
// In CDR2 a uint32 with the bytes that follow stands before arrays and
// sequences of anything but numbers. Up to 3 bytes may follow the last field;
// more mean that the definition is not that of the message. Strings that are
// not UTF-8 reject the message, see wire.InvalidUTF8.
//
// Writers disagree about wstring: the length counts units of 2 bytes, units of
// 4, or bytes. Each message is tried in all three ways, with the text held to be
// sound UTF-16 without NUL; the way that leaves fewest bytes counts, of equals
// the first. A message that fits none is rejected.
package cdr

import (
	"fmt"
	"sync"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/formats/message/wire"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Encoding is the message encoding cdr.
type Encoding struct{}

var _ message.Encoding = Encoding{}

// Name returns "cdr".
func (Encoding) Name() string { return "cdr" }

// Parse compiles a schema in ros2msg, the .msg language of ROS 2. Schemas in
// IDL are refused as unsupported.
func (Encoding) Parse(s message.Schema) (message.Layout, error) {
	if s.Encoding != "ros2msg" {
		return nil, fmt.Errorf("schema %s: schema encoding %q with message encoding cdr: %w", s.Name, s.Encoding, pipeline.ErrUnsupported)
	}
	t, err := rosmsg.Parse(rosmsg.ROS2, s.Name, s.Data)
	if err != nil {
		return nil, fmt.Errorf("parsing schema: %w", err)
	}
	return NewLayout(t), nil
}

// Layout is the columns of a message type.
type Layout struct{ wire.Layout }

// NewLayout returns the layout of a ROS 2 message type, such as a built-in one.
func NewLayout(t *rosmsg.Type) *Layout { return &Layout{wire.NewLayout(t)} }

// Compile makes a plan that fills the named columns; nil means all.
func (l *Layout) Compile(columns []string) (message.Plan, error) {
	sel, err := l.Select(columns)
	if err != nil {
		return nil, err
	}
	p := &plan{layout: l, sel: sel, wide: l.Type.HasWString()}
	return p, nil
}

// plan is a message.Plan. A program is compiled per kind of CDR when the first
// message of that kind comes: nearly all recordings have but one.
type plan struct {
	layout *Layout
	sel    []bool
	wide   bool
	kinds  [4]variant
}

// variant is the programs of a kind of CDR.
type variant struct {
	once  sync.Once
	full  [wire.WideLayouts]*wire.Program
	probe [wire.WideLayouts]*wire.Program
}

// kindOf returns the kind of CDR of a message: bit 0 little-endian, bit 1 CDR2;
// -1 where it is not read.
func kindOf(data []byte, s message.Span) int {
	if s.End-s.Start < 4 || data[s.Start] != 0 {
		return -1
	}
	switch k := data[s.Start+1]; k {
	case 0x00, 0x01:
		return int(k)
	case 0x06, 0x07, 0x10, 0x11:
		return int(k&1) | 2
	}
	return -1
}

func (p *plan) Append(cols []*column.Column, data []byte, spans []message.Span) (int, error) {
	for i := 0; i < len(spans); {
		kind := kindOf(data, spans[i])
		if kind < 0 {
			return i, refuse(data, spans[i])
		}
		end := i + 1
		for end < len(spans) && kindOf(data, spans[end]) == kind {
			end++
		}
		n, err := p.append(p.variant(kind), cols, data, spans[i:end])
		i += n
		if err != nil {
			return i, err
		}
	}
	return len(spans), nil
}

// refuse is the error of a message without a header that is read.
func refuse(data []byte, s message.Span) error {
	if s.End-s.Start < 4 {
		return &wire.Error{Code: wire.Truncated, Detail: "no encapsulation header"}
	}
	return &wire.Error{Code: wire.UnsupportedEncapsulation, Kind: pipeline.ErrUnsupported,
		Detail: fmt.Sprintf("kind 0x%02x%02x", data[s.Start], data[s.Start+1])}
}

func (p *plan) variant(kind int) *variant {
	v := &p.kinds[kind]
	v.once.Do(func() {
		d := wire.Dialect{CDR: true, BigEndian: kind&1 == 0, XCDR2: kind&2 != 0}
		none := make([]bool, len(p.sel))
		for w := range v.full {
			d.Wide = wire.Wide(w)
			v.full[w] = p.layout.Layout.Compile(p.sel, d)
			if !p.wide {
				break
			}
			v.probe[w] = p.layout.Layout.Compile(none, d)
		}
	})
	return v
}

func (p *plan) append(v *variant, cols []*column.Column, data []byte, spans []message.Span) (int, error) {
	if !p.wide {
		return v.full[0].Append(cols, data, spans)
	}
	for i, s := range spans {
		if _, err := v.full[v.choose(data, s)].Append(cols, data, spans[i:i+1]); err != nil {
			return i, err
		}
	}
	return len(spans), nil
}

// choose finds the layout of wide strings that a message is in: the one that
// leaves fewest bytes, of equals the first. Where none fits it is the first,
// which then says what is wrong.
func (v *variant) choose(data []byte, s message.Span) wire.Wide {
	best, least := wire.Wide(0), -1
	for w, program := range v.probe {
		left, ok := program.Probe(data, s)
		if ok && (least < 0 || left < least) {
			best, least = wire.Wide(w), left
		}
	}
	return best
}

// KnownLayout returns the layout of a built-in type of ROS 2, in the form pkg/msg/Type.
func (Encoding) KnownLayout(name string) (message.Layout, error) {
	t, err := rosmsg.Builtin(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", pipeline.ErrNotFound, err)
	}
	if t.Version != rosmsg.ROS2 {
		return nil, fmt.Errorf("type %s: %w", name, pipeline.ErrNotFound)
	}
	return NewLayout(t), nil
}
