package flatbuffer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/pipeline"
)

// form is how a value is read.
type form uint8

const (
	formScalar form = iota
	formText        // string, or bytes in a vector
	formTable
	formStruct
	formVector
	formArray // inside a struct
	formUnion
	formTime // a struct of seconds and nanoseconds
	formCut  // a table that contains itself once too often
	formByteArray
)

// shape is a value with its node in the tree.
type shape struct {
	form    form
	node    *tree.Node // nil of formCut
	offset  int        // in the vtable or struct
	size    int        // bytes where it stands, of a vector's element, of a struct
	count   int        // of an array
	members []*shape   // of tables and structs; of unions, beside values
	values  []int64
	elem    *shape
}

var kinds = [...]tree.Kind{baseUType: tree.Uint8, baseBool: tree.Bool, baseByte: tree.Int8, baseUByte: tree.Uint8, baseShort: tree.Int16,
	baseUShort: tree.Uint16, baseInt: tree.Int32, baseUInt: tree.Uint32, baseLong: tree.Int64, baseULong: tree.Uint64,
	baseFloat: tree.Float32, baseDouble: tree.Float64}

type linker struct {
	*schema
	again int
	open  map[*object]int
	count int
}

func newLayout(s *schema, root *object, again int) (*layout, error) {
	k := &linker{schema: s, again: again, open: make(map[*object]int)}
	node := &tree.Node{Kind: tree.Struct}
	sh, err := k.object(root, node, 0)
	if err != nil {
		return nil, err
	}
	stamp := ""
	for _, n := range node.Members {
		if (n.Name == "timestamp" || n.Name == "stamp") && n.Kind == tree.Time {
			stamp = n.Name
			break
		}
	}
	l, err := tree.NewLayout(node, stamp)
	if err != nil {
		return nil, err
	}
	return &layout{Layout: l, root: sh}, nil
}

// object fills node with the fields of a table or struct.
func (k *linker) object(o *object, node *tree.Node, depth int) (*shape, error) {
	if depth > tree.MaxDepth {
		return nil, fmt.Errorf("tables nest deeper than %d: %w", tree.MaxDepth, pipeline.ErrLimit)
	}
	k.open[o]++
	defer func() { k.open[o]-- }()
	sh := &shape{form: formTable, node: node, size: 4}
	if o.isStruct {
		sh.form, sh.size = formStruct, o.size
	}
	fields := slices.Clone(o.fields)
	slices.SortFunc(fields, func(a, b field) int { return cmp.Compare(a.id, b.id) })
	for i := range fields {
		f := &fields[i]
		if f.deprecated {
			continue
		}
		if k.count++; k.count > 2*tree.MaxColumns {
			return nil, fmt.Errorf("more than %d fields: %w", 2*tree.MaxColumns, pipeline.ErrLimit)
		}
		v, err := k.field(o, f, depth)
		if err != nil {
			return nil, fmt.Errorf("field %s.%s: %w", o.name, f.name, err)
		}
		v.offset = f.offset
		if o.isStruct && (f.offset > o.size || v.size*max(v.count, 1) > o.size-f.offset) {
			return nil, fmt.Errorf("field %s reaches beyond struct %s: %w", f.name, o.name, pipeline.ErrCorrupt)
		}
		if !o.isStruct && (f.offset < 4 || f.offset%2 != 0) {
			return nil, fmt.Errorf("field %s.%s has vtable offset %d: %w", o.name, f.name, f.offset, pipeline.ErrCorrupt)
		}
		sh.members = append(sh.members, v)
		if v.node != nil {
			node.Members = append(node.Members, v.node)
		}
	}
	return sh, nil
}

func (k *linker) field(o *object, f *field, depth int) (*shape, error) {
	v, err := k.value(f.name, f.typ, depth)
	if err != nil || v.node == nil {
		return v, err
	}
	v.node.Nullable = true
	switch {
	case v.form != formScalar || o.isStruct || f.optional:
	case f.typ.base == baseFloat:
		v.node.Nullable, v.node.Default = false, uint64(math.Float32bits(float32(f.real)))
	case f.typ.base == baseDouble:
		v.node.Nullable, v.node.Default = false, math.Float64bits(f.real)
	default:
		v.node.Nullable, v.node.Default = false, f.integer
	}
	switch f.typ.base {
	case baseString, baseVector, baseUnion, baseVector64:
		if o.isStruct {
			return nil, fmt.Errorf("not a type of structs: %w", pipeline.ErrCorrupt)
		}
	case baseArray:
		if !o.isStruct {
			return nil, fmt.Errorf("an array outside of a struct: %w", pipeline.ErrCorrupt)
		}
	}
	return v, nil
}

// scalar makes the shape of a number, which may be that of an enum.
func (k *linker) scalar(node *tree.Node, base, index int) (*shape, error) {
	node.Kind = kinds[base]
	if index >= 0 && base < baseFloat {
		if index >= len(k.enums) {
			return nil, fmt.Errorf("enum %d of %d: %w", index, len(k.enums), pipeline.ErrCorrupt)
		}
		node.Labels = tree.NewLabels(k.enums[index].labels)
	}
	return &shape{form: formScalar, node: node, size: sizes[base]}, nil
}

func (k *linker) value(name string, t fieldType, depth int) (*shape, error) {
	node := &tree.Node{Name: name, Nullable: true}
	switch base := t.base; {
	case base >= baseUType && base <= baseDouble:
		return k.scalar(node, base, t.index)
	case base == baseString:
		node.Kind = tree.String
		return &shape{form: formText, node: node, size: 4}, nil
	case base == baseObj:
		return k.reference(node, t, depth)
	case base == baseUnion:
		return k.union(node, t, depth)
	case base == baseVector || base == baseArray:
		return k.list(node, t, depth)
	}
	return nil, fmt.Errorf("base type %d: %w", t.base, pipeline.ErrUnsupported)
}

func (k *linker) reference(node *tree.Node, t fieldType, depth int) (*shape, error) {
	if t.index < 0 || t.index >= len(k.objects) {
		return nil, fmt.Errorf("object %d of %d: %w", t.index, len(k.objects), pipeline.ErrCorrupt)
	}
	o := &k.objects[t.index]
	if o.isStruct && (o.size <= 0 || o.size > 1<<16) {
		return nil, fmt.Errorf("struct %s of %d bytes: %w", o.name, o.size, pipeline.ErrCorrupt)
	}
	if o.isStruct && len(o.fields) == 2 && o.size == 8 {
		switch o.name {
		case "foxglove.Time":
			node.Kind = tree.Time
			return &shape{form: formTime, node: node, size: 8}, nil
		case "foxglove.Duration":
			node.Kind = tree.Span
			return &shape{form: formTime, node: node, size: 8}, nil
		}
	}
	if k.open[o] > k.again || o.isStruct && k.open[o] > 0 {
		if o.isStruct {
			return nil, fmt.Errorf("struct %s contains itself: %w", o.name, pipeline.ErrCorrupt)
		}
		return &shape{form: formCut, size: 4}, nil
	}
	node.Kind = tree.Struct
	return k.object(o, node, depth+1)
}

func (k *linker) union(node *tree.Node, t fieldType, depth int) (*shape, error) {
	if t.index < 0 || t.index >= len(k.enums) || !k.enums[t.index].isUnion {
		return nil, fmt.Errorf("union %d of %d enums: %w", t.index, len(k.enums), pipeline.ErrCorrupt)
	}
	sh := &shape{form: formUnion, node: node, size: 4}
	node.Kind = tree.Struct
	for _, v := range k.enums[t.index].values {
		if v.value == 0 || v.typ.base != baseObj && v.typ.base != baseString {
			continue
		}
		m, err := k.value(v.name[strings.LastIndexByte(v.name, '.')+1:], v.typ, depth+1)
		if err != nil {
			return nil, err
		}
		sh.members, sh.values = append(sh.members, m), append(sh.values, v.value)
		if m.node != nil {
			m.node.Nullable = true
			node.Members = append(node.Members, m.node)
		}
	}
	return sh, nil
}

func (k *linker) list(node *tree.Node, t fieldType, depth int) (*shape, error) {
	if depth > tree.MaxDepth {
		return nil, fmt.Errorf("vectors nest deeper than %d: %w", tree.MaxDepth, pipeline.ErrLimit)
	}
	array := t.base == baseArray
	if t.elem == baseUByte && t.index < 0 {
		node.Kind = tree.Binary
		if array {
			return &shape{form: formByteArray, node: node, size: 1, count: t.length}, nil
		}
		return &shape{form: formText, node: node, size: 4}, nil
	}
	if t.elem == baseVector || t.elem == baseArray || array && (t.length == 0 || t.elem == baseString || t.elem == baseUnion) {
		return nil, fmt.Errorf("list of base type %d: %w", t.elem, pipeline.ErrUnsupported)
	}
	elem, err := k.value("item", fieldType{base: t.elem, index: t.index}, depth+1)
	if err != nil {
		return nil, err
	}
	if elem.form == formCut {
		elem.count = 1
		return elem, nil
	}
	elem.node.Nullable = true
	node.Members = []*tree.Node{elem.node}
	if array {
		node.Kind, node.Len = tree.FixedList, t.length
		return &shape{form: formArray, node: node, size: elem.size, count: t.length, elem: elem}, nil
	}
	node.Kind = tree.List
	return &shape{form: formVector, node: node, size: 4, elem: elem}, nil
}
