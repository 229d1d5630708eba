package parquet

import (
	"fmt"
	"slices"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// maxDepth bounds the nesting of a schema.
const maxDepth = 64

// readLeaf is a leaf column of a file that is read.
type readLeaf struct {
	index  int // among all leaves
	path   string
	maxRep int
	maxDef int
	phys   pq.Kind
	width  int // bytes as stored; 0 for BYTE_ARRAY
	typ    arrow.DataType
	conv   conversion
	scale  int64 // factor to nanoseconds (convScale)
}

// conversion is what turns stored values into those of batches.
type conversion uint8

const (
	convNone    conversion = iota
	convNarrow8            // int32 to one byte
	convNarrow16
	convScale   // times a factor, overflow is an error
	convScale32 // int32 times a factor
	convDecimal // integer or big-endian bytes to decimal128
	convHalf    // float16 to float
	convBool
)

// readNode is a column of a file, or what is inside one.
type readNode struct {
	name     string
	nullable bool
	def      int // definition level from which on it is there
	rep      int // of its elements (lists)
	list     bool
	kids     []*readNode
	leaf     *readLeaf
	first    *readLeaf // leftmost leaf below
	typ      arrow.DataType
}

// element is a schema element with what is below it.
type element struct {
	*format.SchemaElement
	kids []*element
}

// parseSchema turns the flat list of a footer into columns. Groups that do not
// repeat are dissolved: their fields become columns with dotted names.
func parseSchema(flat []format.SchemaElement) ([]*readNode, []*readLeaf, error) {
	if len(flat) == 0 {
		return nil, nil, fmt.Errorf("a file without schema: %w", pipeline.ErrCorrupt)
	}
	root, rest, err := parseElement(flat, 0)
	if err != nil {
		return nil, nil, err
	}
	if len(rest) > 0 {
		return nil, nil, fmt.Errorf("%d elements of the schema belong to nothing: %w", len(rest), pipeline.ErrCorrupt)
	}
	b := &schemaBuilder{}
	for _, e := range root.kids {
		n, err := b.node(e, 0, 0, e.Name)
		if err != nil {
			return nil, nil, err
		}
		b.flatten(n, "", false)
	}
	return b.columns, b.leaves, nil
}

func parseElement(flat []format.SchemaElement, depth int) (*element, []format.SchemaElement, error) {
	if depth > maxDepth {
		return nil, nil, fmt.Errorf("a schema more than %d deep: %w", maxDepth, pipeline.ErrLimit)
	}
	e := &element{SchemaElement: &flat[0]}
	flat = flat[1:]
	n := int32(0)
	if e.NumChildren.Valid {
		n = e.NumChildren.V
	}
	if n < 0 || int(n) > len(flat) {
		return nil, nil, fmt.Errorf("%s has %d fields where %d are left: %w", e.Name, n, len(flat), pipeline.ErrCorrupt)
	}
	for range n {
		if len(flat) == 0 {
			return nil, nil, fmt.Errorf("%s lacks fields: %w", e.Name, pipeline.ErrCorrupt)
		}
		k, rest, err := parseElement(flat, depth+1)
		if err != nil {
			return nil, nil, err
		}
		e.kids, flat = append(e.kids, k), rest
	}
	return e, flat, nil
}

type schemaBuilder struct {
	leaves  []*readLeaf
	columns []*readNode
}

// flatten adds n to the columns.
func (b *schemaBuilder) flatten(n *readNode, prefix string, nullable bool) {
	name := prefix + n.name
	if n.leaf == nil && !n.list {
		for _, k := range n.kids {
			b.flatten(k, name+".", nullable || n.nullable)
		}
		return
	}
	n.name = name
	n.nullable = n.nullable || nullable
	b.columns = append(b.columns, n)
}

func (e *element) repetition() format.FieldRepetitionType {
	if e.RepetitionType.Valid {
		return e.RepetitionType.V
	}
	return format.Required
}

func (e *element) group() bool { return !e.Type.Valid }

func (e *element) converted(t deprecated.ConvertedType) bool {
	return e.ConvertedType.Valid && e.ConvertedType.V == t
}

// node maps an element at the levels of its parent.
func (b *schemaBuilder) node(e *element, rep, def int, path string) (*readNode, error) {
	switch e.repetition() {
	case format.Optional:
		n, err := b.content(e, rep, def+1, path)
		if err != nil {
			return nil, err
		}
		n.nullable = true
		return n, nil
	case format.Repeated:
		// Repeated without a list around it: a list that is never null.
		k, err := b.content(e, rep+1, def+1, path)
		if err != nil {
			return nil, err
		}
		return newListNode(e.Name, k, rep, def), nil
	}
	return b.content(e, rep, def, path)
}

func newListNode(name string, elem *readNode, rep, def int) *readNode {
	elem.name = "element"
	return &readNode{
		name: name, def: def, rep: rep + 1, list: true, kids: []*readNode{elem}, first: elem.first,
		typ: arrow.ListOfField(arrow.Field{Name: "element", Type: elem.typ, Nullable: elem.nullable}),
	}
}

// content maps what an element is, whether or not it is there or repeats.
func (b *schemaBuilder) content(e *element, rep, def int, path string) (*readNode, error) {
	if rep > 255 || def > 255 {
		return nil, fmt.Errorf("column %s is too deep: %w", path, pipeline.ErrLimit)
	}
	if !e.group() {
		if len(e.kids) > 0 {
			return nil, fmt.Errorf("column %s has a type and fields: %w", path, pipeline.ErrCorrupt)
		}
		l := &readLeaf{index: len(b.leaves), path: path, maxRep: rep, maxDef: def}
		if err := l.setType(e); err != nil {
			return nil, fmt.Errorf("column %s: %w", path, err)
		}
		b.leaves = append(b.leaves, l)
		return &readNode{name: e.Name, def: def, leaf: l, first: l, typ: l.typ}, nil
	}
	if len(e.kids) == 0 {
		return nil, fmt.Errorf("column %s is a group without fields: %w", path, pipeline.ErrUnsupported)
	}
	_, isList := e.LogicalType.Value.(*format.ListType)
	_, isMap := e.LogicalType.Value.(*format.MapType)
	isList = isList || e.converted(deprecated.List)
	isMap = isMap || e.converted(deprecated.Map) || e.converted(deprecated.MapKeyValue)
	if k := e.kids[0]; (isList || isMap) && len(e.kids) == 1 && k.repetition() == format.Repeated {
		kpath := path + "." + k.Name
		var elem *readNode
		var err error
		// The element is the field of the repeated group, unless old rules say
		// that it is the group itself.
		if isList && k.group() && len(k.kids) == 1 && k.Name != "array" && k.Name != e.Name+"_tuple" {
			elem, err = b.node(k.kids[0], rep+1, def+1, kpath+"."+k.kids[0].Name)
		} else {
			elem, err = b.content(k, rep+1, def+1, kpath)
		}
		if err != nil {
			return nil, err
		}
		return newListNode(e.Name, elem, rep, def), nil
	}
	n := &readNode{name: e.Name, def: def}
	fields := make([]arrow.Field, 0, len(e.kids))
	for _, k := range e.kids {
		c, err := b.node(k, rep, def, path+"."+k.Name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(fields, func(f arrow.Field) bool { return f.Name == c.name }) {
			return nil, fmt.Errorf("column %s has two fields %s: %w", path, c.name, pipeline.ErrUnsupported)
		}
		n.kids = append(n.kids, c)
		fields = append(fields, arrow.Field{Name: c.name, Type: c.typ, Nullable: c.nullable})
	}
	n.first = n.kids[0].first
	n.typ = arrow.StructOf(fields...)
	return n, nil
}

// setType chooses the type of the batches.
func (l *readLeaf) setType(e *element) error {
	if e.Type.V < 0 || e.Type.V > format.FixedLenByteArray {
		return fmt.Errorf("type %d is unknown: %w", e.Type.V, pipeline.ErrUnsupported)
	}
	l.phys = pq.Kind(e.Type.V)
	if p, s, ok := e.decimal(); ok {
		return l.setDecimal(e, p, s)
	}
	switch l.phys {
	case pq.Boolean:
		l.width, l.typ, l.conv = 1, arrow.BoolType, convBool
	case pq.Int32:
		l.width = 4
		l.setInt32(e)
	case pq.Int64:
		l.width = 8
		l.setInt64(e)
	case pq.Int96:
		return fmt.Errorf("INT96 timestamps are not read: %w", pipeline.ErrUnsupported)
	case pq.Float:
		l.width, l.typ = 4, arrow.Float32Type
	case pq.Double:
		l.width, l.typ = 8, arrow.Float64Type
	case pq.ByteArray:
		l.typ = arrow.BinaryType
		switch e.LogicalType.Value.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			l.typ = arrow.StringType
		}
		if e.converted(deprecated.UTF8) || e.converted(deprecated.Enum) || e.converted(deprecated.Json) {
			l.typ = arrow.StringType
		}
	case pq.FixedLenByteArray:
		if err := l.setFixed(e); err != nil {
			return err
		}
		l.typ = arrow.BinaryType
		if _, ok := e.LogicalType.Value.(*format.Float16Type); ok && l.width == 2 {
			l.typ, l.conv = arrow.Float32Type, convHalf
		}
	}
	return nil
}

func (l *readLeaf) setFixed(e *element) error {
	if !e.TypeLength.Valid || e.TypeLength.V < 1 {
		return fmt.Errorf("fixed-length bytes without a length: %w", pipeline.ErrCorrupt)
	}
	l.width = int(e.TypeLength.V)
	return nil
}

func (l *readLeaf) setInt32(e *element) {
	l.typ = arrow.Int32Type
	bits, signed := e.integer()
	switch {
	case bits == 8 && signed:
		l.typ, l.conv = arrow.Int8Type, convNarrow8
	case bits == 8:
		l.typ, l.conv = arrow.Uint8Type, convNarrow8
	case bits == 16 && signed:
		l.typ, l.conv = arrow.Int16Type, convNarrow16
	case bits == 16:
		l.typ, l.conv = arrow.Uint16Type, convNarrow16
	case bits == 32 && !signed:
		l.typ = arrow.Uint32Type
	}
	if _, ok := e.LogicalType.Value.(*format.DateType); ok || e.converted(deprecated.Date) {
		l.typ = arrow.Date32Type
	}
	if _, ok := e.LogicalType.Value.(*format.TimeType); ok || e.converted(deprecated.TimeMillis) {
		l.typ, l.conv, l.scale = arrow.SpanType, convScale32, 1e6
	}
}

func (l *readLeaf) setInt64(e *element) {
	l.typ = arrow.Int64Type
	if bits, signed := e.integer(); bits == 64 && !signed {
		l.typ = arrow.Uint64Type
	}
	scale := func(u format.TimeUnit) {
		l.conv = convScale
		switch u.Value.(type) {
		case *format.MilliSeconds:
			l.scale = 1e6
		case *format.MicroSeconds:
			l.scale = 1e3
		default:
			l.conv = convNone
		}
	}
	switch t := e.LogicalType.Value.(type) {
	case *format.TimestampType:
		l.typ = arrow.TimeType
		scale(t.Unit)
		return
	case *format.TimeType:
		l.typ = arrow.SpanType
		scale(t.Unit)
		return
	}
	switch {
	case e.converted(deprecated.TimestampMillis):
		l.typ, l.conv, l.scale = arrow.TimeType, convScale, 1e6
	case e.converted(deprecated.TimestampMicros):
		l.typ, l.conv, l.scale = arrow.TimeType, convScale, 1e3
	case e.converted(deprecated.TimeMicros):
		l.typ, l.conv, l.scale = arrow.SpanType, convScale, 1e3
	}
}

// integer returns the width and sign that an annotation gives, 0 for none.
func (e *element) integer() (bits int, signed bool) {
	if t, ok := e.LogicalType.Value.(*format.IntType); ok {
		return int(t.BitWidth), t.IsSigned
	}
	if e.ConvertedType.Valid {
		switch e.ConvertedType.V {
		case deprecated.Int8:
			return 8, true
		case deprecated.Int16:
			return 16, true
		case deprecated.Uint8:
			return 8, false
		case deprecated.Uint16:
			return 16, false
		case deprecated.Uint32:
			return 32, false
		case deprecated.Uint64:
			return 64, false
		}
	}
	return 0, true
}

func (e *element) decimal() (precision, scale int32, ok bool) {
	if t, ok := e.LogicalType.Value.(*format.DecimalType); ok {
		return t.Precision, t.Scale, true
	}
	return e.Precision.V, e.Scale.V, e.converted(deprecated.Decimal)
}

func (l *readLeaf) setDecimal(e *element, precision, scale int32) error {
	if precision < 1 || precision > 38 || scale < 0 || scale > precision {
		return fmt.Errorf("decimal(%d,%d): only up to 38 digits are read: %w", precision, scale, pipeline.ErrUnsupported)
	}
	l.typ, l.conv = &arrow.Decimal128Type{Precision: precision, Scale: scale}, convDecimal
	switch l.phys {
	case pq.Int32:
		l.width = 4
	case pq.Int64:
		l.width = 8
	case pq.ByteArray:
	case pq.FixedLenByteArray:
		return l.setFixed(e)
	default:
		return fmt.Errorf("decimals in %s: %w", l.phys, pipeline.ErrCorrupt)
	}
	return nil
}
