package cdr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/idl"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/formats/message/wire"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Parse compiles a schema in ros2msg, the .msg language of ROS 2, in ros2idl
// or in omgidl. In ros2msg and ros2idl, sections of one language may use types
// of the other; the header of a section tells which it is in.
func (Encoding) Parse(s message.Schema) (message.Layout, error) {
	switch s.Encoding {
	case "ros2msg":
		if !strings.Contains(string(s.Data), "IDL:") {
			t, err := rosmsg.Parse(rosmsg.ROS2, s.Name, s.Data)
			switch {
			case err == nil:
				return NewLayout(t), nil
			case !errors.Is(err, pipeline.ErrUnsupported): // IDL under a wrong label
				return nil, fmt.Errorf("parsing schema: %w", err)
			}
		}
	case "ros2idl", "omgidl":
	default:
		return nil, fmt.Errorf("schema %s: schema encoding %q with message encoding cdr: %w", s.Name, s.Encoding, pipeline.ErrUnsupported)
	}
	t, err := ParseIDL(s.Name, string(s.Data))
	if err != nil {
		return nil, fmt.Errorf("parsing schema: %w", err)
	}
	return layoutOf(t)
}

// ParseIDL reads the definition of the type called name: texts in IDL and in
// the .msg language, parted by lines of equals signs with a header IDL: or MSG:
// behind them. Types that are not defined are taken from the built-in ones;
// those that ROS 2 derives from services and actions, from their parts.
func ParseIDL(name, text string) (*idl.Type, error) {
	d, err := idl.Parse("")
	if err != nil {
		return nil, err
	}
	d.Missing = rosmsg.BuiltinIDL
	for _, s := range sections(name, text) {
		part := s.text
		if s.msg {
			if part, err = rosmsg.IDL(s.name, s.text); err != nil {
				return nil, err
			}
		} else {
			// Lines are counted over the whole text.
			part = strings.Repeat("\n", s.line) + part
		}
		if err := d.Add(part); err != nil {
			return nil, err
		}
	}
	t, err := d.Type(name)
	if errors.Is(err, pipeline.ErrSchema) {
		// Of a service or action only the parts are declared.
		if text, ok := rosmsg.DerivedIDL(name); ok {
			if err := d.Add(text); err != nil {
				return nil, err
			}
			return d.Type(name)
		}
	}
	return t, err
}

// section is the text of one file of a schema.
type section struct {
	name string
	text string
	line int
	msg  bool
}

// sections cuts a schema at its headers. What stands before the first one is
// the root's, in IDL unless a header says otherwise later and it does not look
// like it.
func sections(root, text string) []section {
	var out []section
	cur := section{name: root}
	begin, line, bar := 0, 0, -1
	at := 0
	for raw := range strings.Lines(text) {
		trimmed := strings.TrimSpace(raw)
		name, isIDL := strings.CutPrefix(trimmed, "IDL:")
		msg, isMsg := strings.CutPrefix(trimmed, "MSG:")
		switch {
		case bar >= 0 && (isIDL || isMsg):
			cur.text = text[begin:bar]
			out = append(out, cur)
			cur = section{name: strings.TrimSpace(name), line: line + 1, msg: isMsg}
			if isMsg {
				cur.name = strings.TrimSpace(msg)
			}
			begin, bar = at+len(raw), -1
		case len(trimmed) >= 2 && strings.Trim(trimmed, "=") == "":
			bar = at
		case trimmed != "":
			bar = -1
		}
		at += len(raw)
		line++
	}
	cur.text = text[begin:]
	out = append(out, cur)
	if first := &out[0]; first.line == 0 {
		blank := strings.TrimSpace(first.text) == ""
		switch {
		case blank && len(out) > 1:
			out = out[1:]
		case !strings.Contains(first.text, "{"):
			first.msg = true
		}
	}
	return out
}

// layoutOf makes the layout of a type in IDL. Where the .msg language has the
// type, too, plain CDR is decoded by the program for it.
func layoutOf(t *idl.Type) (message.Layout, error) {
	if t.Kind != idl.Struct {
		return nil, fmt.Errorf("type %s is not a struct: %w", t.Name, pipeline.ErrUnsupported)
	}
	g, err := newGeneral(t)
	if err != nil {
		return nil, err
	}
	l := &idlLayout{general: g}
	if text, ok := idl.Definition(t); ok {
		name := strings.ReplaceAll(t.Name, "::", "/")
		if r, err := rosmsg.Parse(rosmsg.ROS2, name, []byte(text)); err == nil {
			w := wire.NewLayout(r)
			if slices.EqualFunc(w.Fields(), g.Fields(), sameColumn) {
				l.fast = &w
			}
		}
	}
	return l, nil
}

func sameColumn(a, b arrow.Field) bool { return a.Name == b.Name && arrow.TypeEqual(a.Type, b.Type) }

// idlLayout is the columns of a type in IDL.
type idlLayout struct {
	*general
	fast *wire.Layout // nil: the .msg language has no such type
}

// Compile makes a plan that fills the named columns; nil means all.
func (l *idlLayout) Compile(columns []string) (message.Plan, error) {
	p := &plan{general: l.general, columns: columns}
	if _, err := l.general.Layout.Compile(columns); err != nil {
		return nil, err
	}
	if l.fast != nil {
		sel, err := l.fast.Select(columns)
		if err != nil {
			return nil, err
		}
		p.layout, p.sel, p.wide = l.fast, sel, l.fast.Type.HasWString()
		p.only1 = l.annotated
	}
	return p, nil
}

// fromROS gives a ROS 2 message type as a type in IDL.
func fromROS(t *rosmsg.Type, memo map[*rosmsg.Type]*idl.Type) *idl.Type {
	if o := memo[t]; o != nil {
		return o
	}
	o := &idl.Type{Kind: idl.Struct, Name: strings.ReplaceAll(t.Name, "/", "::")}
	memo[t] = o
	for i := range t.Fields {
		f := &t.Fields[i]
		v := &idl.Type{Kind: rosKinds[f.Kind], Len: f.Bound}
		switch f.Kind {
		case rosmsg.Message:
			v = fromROS(f.Message, memo)
		case rosmsg.Time, rosmsg.Duration:
			v = timeType(f.Kind)
		}
		switch f.Array {
		case rosmsg.Fixed:
			v = &idl.Type{Kind: idl.Array, Elem: v, Len: f.Len}
		case rosmsg.Sequence:
			v = &idl.Type{Kind: idl.Sequence, Elem: v, Len: f.Len}
		}
		o.Members = append(o.Members, idl.Member{Name: f.Name, Type: v, ID: uint32(i)})
	}
	return o
}

var rosKinds = map[rosmsg.Kind]idl.Kind{
	rosmsg.Bool: idl.Bool, rosmsg.Int8: idl.Int8, rosmsg.Uint8: idl.Uint8, rosmsg.Int16: idl.Int16, rosmsg.Uint16: idl.Uint16,
	rosmsg.Int32: idl.Int32, rosmsg.Uint32: idl.Uint32, rosmsg.Int64: idl.Int64, rosmsg.Uint64: idl.Uint64,
	rosmsg.Float32: idl.Float32, rosmsg.Float64: idl.Float64, rosmsg.String: idl.String, rosmsg.WString: idl.WString,
}

func timeType(k rosmsg.Kind) *idl.Type {
	name := "builtin_interfaces::msg::Time"
	if k == rosmsg.Duration {
		name = "builtin_interfaces::msg::Duration"
	}
	return &idl.Type{Kind: idl.Struct, Name: name, Members: []idl.Member{
		{Name: "sec", Type: &idl.Type{Kind: idl.Int32}}, {Name: "nanosec", Type: &idl.Type{Kind: idl.Uint32}, ID: 1}}}
}
