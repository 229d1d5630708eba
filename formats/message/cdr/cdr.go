// Package cdr decodes messages in CDR, the serialization of ROS 2, as they lie
// in MCAP channels and rosbag2 files with message encoding cdr (OMG DDS-XTypes
// 1.3; RTPS 2.5 section 10).
//
// A message begins with an encapsulation header of 4 bytes: a zero byte, the
// kind of CDR, two bytes of options. Kinds read are
//
//	00 00, 00 01                CDR, big- and little-endian
//	00 02, 00 03                parameter list
//	00 06, 00 07, 00 10, 00 11  plain CDR2, which two tables number differently
//	00 08, 00 09, 00 14, 00 15  delimited CDR2
//	00 0a, 00 0b, 00 12, 00 13  parameter list of CDR2
//
// A message of another kind is rejected as unsupported_encapsulation.
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
// # Types in IDL
//
// Schemas in ros2idl and omgidl may say more than .msg files. Everything that is
// not there is null: optional members, members that an older writer did not
// know, members of a mutable struct that do not come, cases of a union that are
// not chosen (its discriminator is the column _d). An enum is the columns x and
// x_label; a bitmask the unsigned integer of its size; a map a list of pairs of
// key and value; long double 16 bytes; char is uint8, as in .msg files, and
// wchar uint16. Bounds are not checked: they do not change how values lie.
//
//	appendable in CDR2     uint32 with the bytes that follow, members; fewer are
//	                       null, more are passed over
//	mutable in CDR2        the same, and a header of 4 or 8 bytes before each member
//	mutable in CDR         a header of 4 or 12 bytes before each member, a sentinel
//	optional in CDR2       a byte that tells whether it is there, the value
//	optional in CDR        a header as in a mutable struct, of length 0 where absent
//
// A struct or union that does not say how it may change is as the kind of CDR
// says: final in plain CDR, appendable in delimited CDR2, mutable in parameter
// lists of CDR2. A member that is not in the schema is passed over, or rejects the
// message as unknown_member where it must be understood.
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
	"github.com/drivemill/drivemill/formats/message/idl"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/formats/message/wire"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Encoding is the message encoding cdr.
type Encoding struct{}

var _ message.Encoding = Encoding{}

// Name returns "cdr".
func (Encoding) Name() string { return "cdr" }

// Layout is the columns of a message type of ROS 2.
type Layout struct{ wire.Layout }

// NewLayout returns the layout of a ROS 2 message type, such as a built-in one.
func NewLayout(t *rosmsg.Type) *Layout { return &Layout{wire.NewLayout(t)} }

// Compile makes a plan that fills the named columns; nil means all.
func (l *Layout) Compile(columns []string) (message.Plan, error) {
	sel, err := l.Select(columns)
	if err != nil {
		return nil, err
	}
	return &plan{layout: &l.Layout, sel: sel, wide: l.Type.HasWString(), columns: columns}, nil
}

// plan is a message.Plan. Messages in plain CDR are decoded by a program, where
// there is one for their type, and others by a walk. What is needed is compiled
// when the first message of a kind of CDR comes: nearly all recordings have but
// one.
type plan struct {
	layout *wire.Layout // nil: all messages are walked over
	sel    []bool
	wide   bool
	only1  bool // programs are for the first version of CDR only
	kinds  [4]variant

	columns []string
	once    sync.Once
	general *general // nil: made of layout when it is needed
	tree    *tree.Plan
	root    *step
	broken  error
	pool    sync.Pool
}

// variant is the programs of a kind of CDR.
type variant struct {
	once  sync.Once
	full  [wire.WideLayouts]*wire.Program
	probe [wire.WideLayouts]*wire.Program
}

// kindOf returns the kind of CDR of a message, the second byte of its header;
// -1 where it is not read.
func kindOf(data []byte, s message.Span) int {
	if s.End-s.Start < 4 || data[s.Start] != 0 {
		return -1
	}
	k := data[s.Start+1]
	if _, ok := encapsulations[k&^1]; !ok {
		return -1
	}
	return int(k)
}

// program returns the number of the program for a kind of CDR: bit 0
// little-endian, bit 1 CDR2; -1 where there is none.
func (p *plan) program(kind int) int {
	if p.layout == nil {
		return -1
	}
	switch kind {
	case 0x00, 0x01:
		return kind
	case 0x06, 0x07, 0x10, 0x11:
		if !p.only1 {
			return kind&1 | 2
		}
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
		var n int
		var err error
		if k := p.program(kind); k >= 0 {
			n, err = p.append(p.variant(k), cols, data, spans[i:end])
		} else {
			n, err = p.walk(kind, cols, data, spans[i:end])
		}
		i += n
		if err != nil {
			return i, err
		}
	}
	return len(spans), nil
}

// walk decodes messages of which parts may be absent.
func (p *plan) walk(kind int, cols []*column.Column, data []byte, spans []message.Span) (int, error) {
	p.once.Do(p.generalize)
	if p.broken != nil {
		return 0, &wire.Error{Code: wire.UnsupportedEncapsulation, Detail: p.broken.Error(), Kind: pipeline.ErrUnsupported}
	}
	w, _ := p.pool.Get().(*walker)
	if w == nil {
		w = &walker{root: p.root, scan: p.general.wide}
	}
	w.kind = encapsulations[byte(kind)&^1]
	w.kind.big = kind&1 == 0
	n, err := p.tree.Run(cols, data, spans, grow, w.message)
	w.f, w.b = nil, nil
	p.pool.Put(w)
	return n, err
}

// grow: an element of one byte in a list of structs takes 8 in its column.
const grow = 8

// generalize compiles what walks need.
func (p *plan) generalize() {
	if p.general == nil {
		if p.general, p.broken = newGeneral(fromROS(p.layout.Type, make(map[*rosmsg.Type]*idl.Type))); p.broken != nil {
			return
		}
	}
	if p.tree, p.broken = p.general.Layout.Compile(p.columns); p.broken != nil {
		return
	}
	p.root = compileStep(p.tree, p.general.root)
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
			v.full[w] = p.layout.Compile(p.sel, d)
			if !p.wide {
				break
			}
			v.probe[w] = p.layout.Compile(none, d)
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
