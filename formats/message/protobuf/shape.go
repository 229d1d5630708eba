package protobuf

import (
	"fmt"

	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/pipeline"
)

// special is how a message type is read that is not just its fields.
type special uint8

const (
	plain special = iota
	timestamp
	duration
	wrapper
	structText
	valueText
	listText
	opaque // a recursive message, kept as bytes
)

const wellKnown = "google.protobuf."

// wrappers are the types whose one field, number 1, is nullable.
var wrappers = map[string]uint64{
	"DoubleValue": typeDouble, "FloatValue": typeFloat, "Int64Value": typeInt64, "UInt64Value": typeUint64,
	"Int32Value": typeInt32, "UInt32Value": typeUint32, "BoolValue": typeBool, "StringValue": typeString, "BytesValue": typeBytes,
}

var specials = map[string]special{
	"Timestamp": timestamp, "Duration": duration, "Struct": structText, "Value": valueText, "ListValue": listText,
}

// builtin are well-known types that a set may leave out.
var builtin = map[string]*messageType{
	wellKnown + "Empty": {},
	wellKnown + "Any": {fields: []field{
		{name: "type_url", number: 1, typ: typeString, oneof: -1, features: features{presence: presenceImplicit}},
		{name: "value", number: 2, typ: typeBytes, oneof: -1, features: features{presence: presenceImplicit}},
	}},
	wellKnown + "FieldMask": {fields: []field{{name: "paths", number: 1, typ: typeString, repeated: true, oneof: -1}}},
}

// kinds of the columns of scalar types.
var kinds = [...]tree.Kind{
	typeDouble: tree.Float64, typeFloat: tree.Float32, typeInt64: tree.Int64, typeUint64: tree.Uint64,
	typeInt32: tree.Int32, typeFixed64: tree.Uint64, typeFixed32: tree.Uint32, typeBool: tree.Bool,
	typeString: tree.String, typeBytes: tree.Binary, typeUint32: tree.Uint32, typeEnum: tree.Int32,
	typeSfixed32: tree.Int32, typeSfixed64: tree.Int64, typeSint32: tree.Int32, typeSint64: tree.Int64,
	typeMessage: tree.Struct, typeGroup: tree.Struct,
}

// shape is a message of the tree with what is needed to find its fields.
type shape struct {
	node   *tree.Node // struct of the members
	fields []member
}

// member is a field of a shape.
type member struct {
	number  int32
	typ     uint64 // of values; of a wrapper, the type inside
	special special
	repeat  bool
	group   bool
	oneof   int32      // -1: none that matters
	node    *tree.Node // value, or list
	sub     *shape     // of messages that are just their fields
}

type linker struct {
	set   *set
	again int // how often a type may stand inside itself
	open  map[string]int
	nodes int
}

func newLayout(s *set, root *messageType, again int) (*layout, error) {
	k := &linker{set: s, again: again, open: make(map[string]int)}
	node := &tree.Node{Kind: tree.Struct}
	sh, err := k.message(root, node, 0)
	if err != nil {
		return nil, err
	}
	stamp := ""
	for _, n := range node.Members {
		switch {
		case n.Name == "header" && n.Kind == tree.Struct:
			for _, m := range n.Members {
				if m.Name == "stamp" && m.Kind == tree.Time {
					stamp = "header.stamp"
				}
			}
		case (n.Name == "timestamp" || n.Name == "stamp") && n.Kind == tree.Time && stamp == "":
			stamp = n.Name
		}
	}
	l, err := tree.NewLayout(node, stamp)
	if err != nil {
		return nil, err
	}
	return &layout{Layout: l, root: sh}, nil
}

// message fills node with the fields of m.
func (k *linker) message(m *messageType, node *tree.Node, depth int) (*shape, error) {
	if depth > tree.MaxDepth {
		return nil, fmt.Errorf("messages nest deeper than %d: %w", tree.MaxDepth, pipeline.ErrLimit)
	}
	k.open[m.name]++
	defer func() { k.open[m.name]-- }()
	sh := &shape{node: node}
	seen := make(map[int32]bool, len(m.fields))
	for i := range m.fields {
		f := &m.fields[i]
		if seen[f.number] {
			return nil, fmt.Errorf("%s has two fields with number %d: %w", m.name, f.number, pipeline.ErrSchema)
		}
		seen[f.number] = true
		if k.nodes++; k.nodes > 2*tree.MaxColumns {
			return nil, fmt.Errorf("more than %d fields: %w", 2*tree.MaxColumns, pipeline.ErrLimit)
		}
		mem, err := k.field(m, f, depth)
		if err != nil {
			return nil, err
		}
		sh.fields = append(sh.fields, mem)
		node.Members = append(node.Members, mem.node)
	}
	return sh, nil
}

func (k *linker) field(m *messageType, f *field, depth int) (member, error) {
	mem := member{number: f.number, typ: f.typ, repeat: f.repeated, oneof: -1}
	if f.oneof >= 0 && !f.optional {
		mem.oneof = f.oneof
	}
	n := &tree.Node{Name: f.name}
	if f.deflt != "" {
		n.Meta = append(n.Meta, "default", f.deflt)
	}
	n.Nullable = f.features.presence != presenceImplicit || f.optional || mem.oneof >= 0
	full := ""
	if f.typ == typeMessage || f.typ == typeGroup || f.typ == typeEnum || f.typ == 0 {
		full = k.set.resolve(f.typeName, f.scope)
	}
	if f.typ == 0 { // sloppy sets leave it to the name
		mem.typ = typeMessage
		if k.set.enums[full] != nil {
			mem.typ = typeEnum
		}
	}
	if mem.typ >= uint64(len(kinds)) {
		return mem, fmt.Errorf("field %s.%s has type %d: %w", m.name, f.name, mem.typ, pipeline.ErrUnsupported)
	}
	n.Kind = kinds[mem.typ]
	switch mem.typ {
	case typeEnum:
		labels := k.set.enums[full]
		if labels == nil {
			return mem, fmt.Errorf("field %s.%s: enum %q is not in the descriptor set: %w", m.name, f.name, full, pipeline.ErrSchema)
		}
		n.Labels = tree.NewLabels(labels)
	case typeMessage, typeGroup:
		mem.group = mem.typ == typeGroup || f.features.encoding == encodingDelimited
		n.Nullable = true
		if err := k.submessage(m, f, &mem, n, full, depth); err != nil {
			return mem, err
		}
	}
	mem.node = n
	if f.repeated {
		elem := *n
		elem.Name, elem.Meta = "item", nil
		n.Kind, n.Labels, n.Nullable = tree.List, nil, false
		n.Members = []*tree.Node{&elem}
		if mem.sub != nil {
			mem.sub.node = &elem
		}
	}
	return mem, nil
}

func (k *linker) submessage(m *messageType, f *field, mem *member, n *tree.Node, full string, depth int) error {
	if len(full) > len(wellKnown) && full[:len(wellKnown)] == wellKnown {
		short := full[len(wellKnown):]
		if t, ok := wrappers[short]; ok {
			mem.special, mem.typ, n.Kind = wrapper, t, kinds[t]
			return nil
		}
		if s, ok := specials[short]; ok {
			mem.special = s
			switch s {
			case timestamp:
				n.Kind = tree.Time
			case duration:
				n.Kind = tree.Span
			default:
				n.Kind = tree.String
				n.Meta = append(n.Meta, "media_type", "application/json")
			}
			return nil
		}
	}
	sub := k.set.messages[full]
	if sub == nil {
		if sub = builtin[full]; sub == nil {
			return fmt.Errorf("field %s.%s: message type %q is not in the descriptor set: %w", m.name, f.name, full, pipeline.ErrSchema)
		}
	}
	if k.open[full] > k.again {
		mem.special, n.Kind = opaque, tree.Binary
		n.Meta = append(n.Meta, "protobuf_type", full, "recursive", "true")
		return nil
	}
	sh, err := k.message(sub, n, depth+1)
	if len(n.Members) > 0 {
		mem.sub = sh
	}
	return err
}
