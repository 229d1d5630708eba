package cdr

import (
	"fmt"
	"strconv"

	"github.com/drivemill/drivemill/formats/message/idl"
	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/pipeline"
)

// general is a type of which any part may be absent: one with optional members,
// unions or types that may change, or any type in a kind of CDR that allows for
// them.
type general struct {
	*tree.Layout
	typ       *idl.Type
	root      *shape
	wide      bool // a wstring occurs
	annotated bool // types say how they may change, which changes CDR2
	members   int
}

// shape is a value with its node in the tree.
type shape struct {
	typ     *idl.Type
	node    *tree.Node // nil: a value that has no column
	form    form
	members []*shape // of structs and unions, beside typ.Members
	elem    *shape
	key     *shape
	disc    *shape // the discriminator of a union
	count   bool   // a sequence of structs without values: node is its length
}

// form is how a value goes to its column.
type form uint8

const (
	formValue form = iota // a number, or text
	formBytes             // a run of bytes
	formList
	formStruct
	formUnion
	formMap
	formTime // a struct of seconds and nanoseconds
)

func newGeneral(t *idl.Type) (*general, error) {
	g := &general{typ: t}
	root := &tree.Node{Kind: tree.Struct}
	sh, err := g.structure(t, root, 0)
	if err != nil {
		return nil, fmt.Errorf("type %s: %w", t.Name, err)
	}
	g.root = sh
	if g.Layout, err = tree.NewLayout(root, stampOf(t)); err != nil {
		return nil, fmt.Errorf("type %s: %w", t.Name, err)
	}
	return g, nil
}

func isHeader(name string) bool {
	return name == "std_msgs::msg::Header" || name == "std_msgs::Header"
}

// stampOf names the column with the time of the message's own header.
func stampOf(t *idl.Type) string {
	for _, m := range t.Members {
		if m.Type.Kind == idl.Struct && isHeader(m.Type.Name) {
			return m.Name + ".stamp"
		}
	}
	return "stamp"
}

// isTime recognises the structs that are times.
func isTime(t *idl.Type) (tree.Kind, bool) {
	if t.Kind != idl.Struct || len(t.Members) != 2 || t.Members[0].Name != "sec" || t.Members[1].Name != "nanosec" ||
		t.Members[0].Type.Kind != idl.Int32 || t.Members[1].Type.Kind != idl.Uint32 {
		return 0, false
	}
	switch t.Name {
	case "builtin_interfaces::msg::Time":
		return tree.Time, true
	case "builtin_interfaces::msg::Duration":
		return tree.Span, true
	}
	return 0, false
}

var nodeKinds = map[idl.Kind]tree.Kind{
	idl.Bool: tree.Bool, idl.Int8: tree.Int8, idl.Uint8: tree.Uint8, idl.Int16: tree.Int16, idl.Uint16: tree.Uint16,
	idl.Int32: tree.Int32, idl.Uint32: tree.Uint32, idl.Int64: tree.Int64, idl.Uint64: tree.Uint64, idl.Float32: tree.Float32,
	idl.Float64: tree.Float64, idl.Float128: tree.Binary, idl.Char: tree.Uint8, idl.WChar: tree.Uint16,
	idl.String: tree.String, idl.WString: tree.String, idl.Enum: tree.Int32,
}

var maskKinds = map[int]tree.Kind{1: tree.Uint8, 2: tree.Uint16, 4: tree.Uint32, 8: tree.Uint64}

// structure makes the shape of a struct whose members become those of node.
func (g *general) structure(t *idl.Type, node *tree.Node, depth int) (*shape, error) {
	if depth > tree.MaxDepth {
		return nil, fmt.Errorf("structs nest deeper than %d: %w", tree.MaxDepth, pipeline.ErrLimit)
	}
	if t.Ext != idl.Unsaid {
		g.annotated = true
	}
	sh := &shape{typ: t, node: node, form: formStruct}
	if t.Kind == idl.Union {
		sh.form = formUnion
		disc, err := g.value("_d", t.Key, depth+1)
		if err != nil {
			return nil, err
		}
		sh.disc = disc
		node.Members = append(node.Members, disc.node)
	}
	for i := range t.Members {
		m := &t.Members[i]
		if g.members++; g.members > 2*tree.MaxColumns {
			return nil, fmt.Errorf("more than %d members: %w", 2*tree.MaxColumns, pipeline.ErrLimit)
		}
		v, err := g.value(m.Name, m.Type, depth+1)
		if err != nil {
			return nil, err
		}
		sh.members = append(sh.members, v)
		if v.node == nil {
			continue
		}
		if m.Unit != "" {
			v.node.Meta = append(v.node.Meta, pipeline.MetaUnit, m.Unit)
		}
		if m.Description != "" {
			v.node.Meta = append(v.node.Meta, pipeline.MetaDescription, m.Description)
		}
		node.Members = append(node.Members, v.node)
	}
	if len(node.Members) == 0 {
		sh.node = nil
	}
	return sh, nil
}

// value makes the shape of a value; it has no node where it holds nothing.
func (g *general) value(name string, t *idl.Type, depth int) (*shape, error) {
	node := &tree.Node{Name: name, Nullable: true}
	sh := &shape{typ: t, node: node}
	switch t.Kind {
	case idl.Struct:
		if k, ok := isTime(t); ok {
			sh.form, node.Kind = formTime, k
			return sh, nil
		}
		node.Kind = tree.Struct
		return g.structure(t, node, depth)
	case idl.Union:
		node.Kind = tree.Struct
		return g.structure(t, node, depth)
	case idl.Sequence, idl.Array:
		return g.list(sh, t, depth)
	case idl.Map:
		key, err := g.value("key", t.Key, depth+1)
		if err != nil {
			return nil, err
		}
		val, err := g.value("value", t.Elem, depth+1)
		if err != nil {
			return nil, err
		}
		if key.node == nil || val.node == nil {
			return nil, fmt.Errorf("map %s of types without values: %w", name, pipeline.ErrUnsupported)
		}
		sh.form, sh.key, sh.elem = formMap, key, val
		node.Kind = tree.List
		node.Members = []*tree.Node{{Name: "item", Kind: tree.Struct, Nullable: true, Members: []*tree.Node{key.node, val.node}}}
		return sh, nil
	case idl.Enum:
		node.Labels = tree.NewLabels(t.Labels)
	case idl.Bitmask:
		node.Kind = maskKinds[t.Bytes]
		return sh, nil
	case idl.WString:
		g.wide = true
	}
	node.Kind = nodeKinds[t.Kind]
	return sh, nil
}

func (g *general) list(sh *shape, t *idl.Type, depth int) (*shape, error) {
	if depth > tree.MaxDepth {
		return nil, fmt.Errorf("lists nest deeper than %d: %w", tree.MaxDepth, pipeline.ErrLimit)
	}
	if k := t.Elem.Kind; k == idl.Uint8 || k == idl.Char {
		sh.form, sh.node.Kind = formBytes, tree.Binary
		if t.Len > 0 {
			sh.node.Meta = append(sh.node.Meta, pipeline.MetaMaxBytes, strconv.Itoa(int(t.Len)))
		}
		return sh, nil
	}
	elem, err := g.value("item", t.Elem, depth+1)
	if err != nil {
		return nil, err
	}
	sh.form, sh.elem = formList, elem
	switch {
	case elem.node == nil && t.Kind == idl.Sequence:
		sh.count = true
		sh.node.Kind = tree.Uint32
	case elem.node == nil:
		sh.node = nil
	case t.Kind == idl.Array:
		sh.node.Kind, sh.node.Len, sh.node.Members = tree.FixedList, int(t.Len), []*tree.Node{elem.node}
	default:
		sh.node.Kind, sh.node.Members = tree.List, []*tree.Node{elem.node}
	}
	return sh, nil
}
