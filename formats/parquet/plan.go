package parquet

import (
	"encoding/json"
	"fmt"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Mapping says how columns of batches become columns of a file.
type Mapping struct {
	// SourceTypes keeps the types of the source: signed and unsigned integers
	// of all widths, timestamps in nanoseconds. Otherwise columns get the types
	// on which query engines agree.
	SourceTypes bool
	// SourceNames keeps the names of the source. Otherwise names are made of
	// [a-z0-9_].
	SourceNames bool
}

// cell is how one leaf value is written: which Arrow values are read, and which
// Parquet values are made of them.
type cell uint8

const (
	cellNull    cell = iota // nothing but nulls
	cellBool                // bitmap
	cellInt8                // widened to int32, also the next three
	cellUint8               //
	cellInt16               //
	cellUint16              //
	cellInt32               // as it is: int32, date32
	cellUint32              // as it is, unsigned
	cellUint32L             // widened to int64
	cellInt64               // as it is: int64, timestamps, durations
	cellUint64              // as it is, unsigned
	cellMicros              // nanoseconds floored to microseconds
	cellUint64D             // decimal(20,0) in 9 bytes
	cellDecimal             // decimal128 in leaf.width bytes
	cellFloat               // as it is
	cellDouble              // as it is
	cellBytes               // string, binary: offsets and bytes
	cellLabel               // dictionary of strings
)

// bytesOfUint64D is what decimal(20,0) needs.
const bytesOfUint64D = 9

// leaf is one leaf column of a file.
type leaf struct {
	cell   cell
	width  int     // bytes of a value (cellDecimal)
	typ    pq.Type // of the values
	delta  bool    // times: DELTA_BINARY_PACKED
	text   bool    // a string, not bytes
	maxRep int
	maxDef int
	path   []string // names from the column down
}

// node is a column of a file, or a field inside one.
type node struct {
	name     string
	nullable bool
	typ      arrow.DataType // of the batches
	leaf     *leaf          // nil for lists and structs
	list     bool
	kids     []*node // one for a list, the fields of a struct
	leaves   []*leaf // all leaves below, in order
}

// planColumn is one column of a file.
type planColumn struct {
	*node
	input int  // column of the batches
	bloom bool // a filter is written for it
	field arrow.Field
}

// plan is how the rows of one table are written. It is immutable.
type plan struct {
	columns []planColumn
	leaves  []*leaf
	schema  *arrow.Schema // of the file, in Arrow's words
	elems   []format.SchemaElement
	meta    string // value of metaKey
	input   *arrow.Schema
}

// metaKey is the key of the file's metadata under which the table and its
// columns are described, as JSON (fileMeta).
const metaKey = "drivemill.columns"

// fileMeta is the description of a table inside its files.
type fileMeta struct {
	Table      string            `json:"table"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Columns    []columnMeta      `json:"columns"`
}

type columnMeta struct {
	Name        string `json:"name"`
	Source      string `json:"source,omitempty"` // where it differs from the name
	Type        string `json:"type,omitempty"`   // of the batches
	Unit        string `json:"unit,omitempty"`
	Description string `json:"description,omitempty"`
}

// newPlan maps the columns of t; those in drop are left out. An error wraps
// pipeline.ErrSchema or pipeline.ErrUnsupported.
func newPlan(t *pipeline.Table, m Mapping, drop map[string]bool) (*plan, error) {
	p := &plan{input: t.Schema}
	names := newNamer(!m.SourceNames)
	meta := fileMeta{Table: t.Name, Attributes: t.Attributes}
	for i, f := range t.Schema.Fields() {
		if drop[f.Name] {
			continue
		}
		role, _ := f.Metadata.GetValue(pipeline.MetaRole)
		if role == pipeline.RoleTime && f.Name == pipeline.TimeColumn && !m.SourceTypes && f.Type.ID() == arrow.TIMESTAMP {
			p.add(i, f, &node{
				name: names.name(f.Name, ""), nullable: f.Nullable, typ: f.Type,
				leaf: &leaf{cell: cellMicros, typ: pq.Timestamp(pq.Microsecond).Type(), delta: true},
			})
			p.add(i, f, &node{
				name: names.name(f.Name, "_ns"), nullable: f.Nullable, typ: f.Type,
				leaf: &leaf{cell: cellInt64, typ: pq.Int64Type, delta: true},
			})
			continue
		}
		n, err := newNode(f, m, names)
		if err != nil {
			return nil, fmt.Errorf("table %s: column %s: %w", t.Name, f.Name, err)
		}
		p.add(i, f, n)
	}
	if len(p.leaves) == 0 {
		return nil, fmt.Errorf("table %s: no columns to write: %w", t.Name, pipeline.ErrSchema)
	}
	if len(p.leaves) > pq.MaxColumnIndex {
		return nil, fmt.Errorf("table %s: %d columns, Parquet holds %d: %w", t.Name, len(p.leaves), pq.MaxColumnIndex, pipeline.ErrUnsupported)
	}
	fields := make([]arrow.Field, len(p.columns))
	for i, c := range p.columns {
		fields[i] = c.field
		cm := columnMeta{Name: c.name, Type: c.typ.String()}
		if src := sourceName(t.Schema.Field(c.input)); src != c.name {
			cm.Source = src
		}
		cm.Unit, _ = c.field.Metadata.GetValue(pipeline.MetaUnit)
		cm.Description, _ = c.field.Metadata.GetValue(pipeline.MetaDescription)
		meta.Columns = append(meta.Columns, cm)
	}
	p.schema = arrow.NewSchema(fields, nil)
	p.elems = p.elements()
	text, err := json.Marshal(meta)
	if err != nil {
		return nil, fmt.Errorf("table %s: describing the columns: %w", t.Name, err)
	}
	p.meta = string(text)
	return p, nil
}

// sourceName is the name of a column in the source.
func sourceName(f arrow.Field) string {
	if s, ok := f.Metadata.GetValue(pipeline.MetaSource); ok {
		return s
	}
	return f.Name
}

func (p *plan) add(input int, f arrow.Field, n *node) {
	n.levels(0, 0)
	p.columns = append(p.columns, planColumn{
		node: n, input: input,
		field: arrow.Field{Name: n.name, Type: n.fileType(), Nullable: n.nullable, Metadata: f.Metadata},
	})
	p.leaves = append(p.leaves, n.leaves...)
}

// levels sets the maximum levels and the leaf lists of n and all below it.
func (n *node) levels(rep, def int) {
	if n.nullable {
		def++
	}
	if n.list {
		rep++
		def++
	}
	if n.leaf != nil {
		n.leaf.maxRep, n.leaf.maxDef = rep, def
		n.leaves = []*leaf{n.leaf}
	}
	for _, k := range n.kids {
		k.levels(rep, def)
		n.leaves = append(n.leaves, k.leaves...)
	}
}

// newNode maps a field.
func newNode(f arrow.Field, m Mapping, names *namer) (*node, error) {
	n := &node{nullable: f.Nullable, typ: f.Type}
	suffix := ""
	if !m.SourceTypes {
		suffix = timeSuffix(f.Type)
	}
	n.name = names.name(f.Name, suffix)
	if err := n.fill(m); err != nil {
		return nil, err
	}
	return n, nil
}

// timeSuffix is _ns for times and durations, also in lists, because they
// become plain integers in the lake.
func timeSuffix(t arrow.DataType) string {
	switch t := t.(type) {
	case *arrow.ListType:
		return timeSuffix(t.Elem())
	case *arrow.FixedSizeListType:
		return timeSuffix(t.Elem())
	case *arrow.TimestampType, *arrow.DurationType:
		return "_ns"
	}
	return ""
}

// fill sets what n is from its Arrow type.
func (n *node) fill(m Mapping) error {
	switch t := n.typ.(type) {
	case *arrow.ListType:
		return n.fillList(t.ElemField(), m)
	case *arrow.FixedSizeListType:
		return n.fillList(t.ElemField(), m)
	case *arrow.StructType:
		if len(t.Fields()) == 0 {
			return fmt.Errorf("a struct without fields cannot be written: %w", pipeline.ErrUnsupported)
		}
		names := newNamer(!m.SourceNames)
		for _, f := range t.Fields() {
			k, err := newNode(f, m, names)
			if err != nil {
				return fmt.Errorf("field %s: %w", f.Name, err)
			}
			if k.leaf != nil && k.leaf.cell == cellLabel {
				return fmt.Errorf("field %s: batches have no labels inside structs: %w", f.Name, pipeline.ErrUnsupported)
			}
			n.kids = append(n.kids, k)
		}
		return nil
	}
	l, err := newLeaf(n.typ, m)
	if err != nil {
		return err
	}
	n.leaf = l
	if l.cell == cellNull {
		n.nullable = true
	}
	return nil
}

func (n *node) fillList(elem arrow.Field, m Mapping) error {
	n.list = true
	k := &node{name: "element", nullable: elem.Nullable, typ: elem.Type}
	if err := k.fill(m); err != nil {
		return err
	}
	if k.leaf != nil && k.leaf.cell == cellLabel {
		return fmt.Errorf("batches have no labels inside lists: %w", pipeline.ErrUnsupported)
	}
	n.kids = []*node{k}
	return nil
}

// newLeaf chooses how values of type t are written.
func newLeaf(t arrow.DataType, m Mapping) (*leaf, error) {
	integer := func(source cell, bits int, signed bool, lake cell, lakeType pq.Type) *leaf {
		if !m.SourceTypes {
			return &leaf{cell: lake, typ: lakeType}
		}
		if signed {
			return &leaf{cell: source, typ: pq.Int(bits).Type()}
		}
		return &leaf{cell: source, typ: pq.Uint(bits).Type()}
	}
	switch t := t.(type) {
	case *arrow.TimestampType:
		if t.Unit != arrow.Nanosecond {
			return nil, fmt.Errorf("batches have timestamps in nanoseconds, not %s: %w", t, pipeline.ErrSchema)
		}
		if m.SourceTypes {
			return &leaf{cell: cellInt64, typ: pq.Timestamp(pq.Nanosecond).Type(), delta: true}, nil
		}
		return &leaf{cell: cellInt64, typ: pq.Int64Type, delta: true}, nil
	case *arrow.DurationType:
		if t.Unit != arrow.Nanosecond {
			return nil, fmt.Errorf("batches have durations in nanoseconds, not %s: %w", t, pipeline.ErrSchema)
		}
		return &leaf{cell: cellInt64, typ: pq.Int64Type, delta: true}, nil
	case *arrow.DictionaryType:
		if t.IndexType.ID() != arrow.INT32 || t.ValueType.ID() != arrow.STRING {
			return nil, fmt.Errorf("batches have no type %s: %w", t, pipeline.ErrUnsupported)
		}
		return &leaf{cell: cellLabel, typ: pq.String().Type(), text: true}, nil
	case *arrow.Decimal128Type:
		w := decimalWidth(int(t.Precision))
		return &leaf{cell: cellDecimal, width: w, typ: pq.Decimal(int(t.Scale), int(t.Precision), pq.FixedLenByteArrayType(w)).Type()}, nil
	}
	switch t.ID() {
	case arrow.NULL:
		return &leaf{cell: cellNull, typ: pq.Int32Type}, nil
	case arrow.BOOL:
		return &leaf{cell: cellBool, typ: pq.BooleanType}, nil
	case arrow.INT8:
		return integer(cellInt8, 8, true, cellInt8, pq.Int32Type), nil
	case arrow.INT16:
		return integer(cellInt16, 16, true, cellInt16, pq.Int32Type), nil
	case arrow.INT32:
		return integer(cellInt32, 32, true, cellInt32, pq.Int32Type), nil
	case arrow.INT64:
		return integer(cellInt64, 64, true, cellInt64, pq.Int64Type), nil
	case arrow.UINT8:
		return integer(cellUint8, 8, false, cellUint8, pq.Int32Type), nil
	case arrow.UINT16:
		return integer(cellUint16, 16, false, cellUint16, pq.Int32Type), nil
	case arrow.UINT32:
		return integer(cellUint32, 32, false, cellUint32L, pq.Int64Type), nil
	case arrow.UINT64:
		dec := pq.Decimal(0, 20, pq.FixedLenByteArrayType(bytesOfUint64D)).Type()
		return integer(cellUint64, 64, false, cellUint64D, dec), nil
	case arrow.FLOAT32:
		return &leaf{cell: cellFloat, typ: pq.FloatType}, nil
	case arrow.FLOAT64:
		return &leaf{cell: cellDouble, typ: pq.DoubleType}, nil
	case arrow.STRING:
		return &leaf{cell: cellBytes, typ: pq.String().Type(), text: true}, nil
	case arrow.BINARY:
		return &leaf{cell: cellBytes, typ: pq.ByteArrayType}, nil
	case arrow.DATE32:
		return &leaf{cell: cellInt32, typ: pq.Date().Type()}, nil
	}
	return nil, fmt.Errorf("batches have no type %s: %w", t, pipeline.ErrUnsupported)
}

// decimalWidth is the number of bytes that hold every decimal of a precision.
func decimalWidth(precision int) int {
	// log2(10) is 3.3219...; one more bit for the sign.
	return (precision*33220/10000 + 1 + 1 + 7) / 8
}

// fileType is the type of n in the file, in Arrow's words.
func (n *node) fileType() arrow.DataType {
	switch {
	case n.list:
		k := n.kids[0]
		return arrow.ListOfField(arrow.Field{Name: k.name, Type: k.fileType(), Nullable: k.nullable})
	case n.leaf == nil:
		fields := make([]arrow.Field, len(n.kids))
		for i, k := range n.kids {
			fields[i] = arrow.Field{Name: k.name, Type: k.fileType(), Nullable: k.nullable}
		}
		return arrow.StructOf(fields...)
	}
	switch n.leaf.cell {
	case cellMicros:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case cellUint64D:
		return &arrow.Decimal128Type{Precision: 20}
	case cellUint32L:
		return arrow.Int64Type
	case cellNull:
		return arrow.Int32Type
	case cellLabel:
		return arrow.StringType
	case cellInt64:
		if n.leaf.typ == pq.Int64Type {
			return arrow.Int64Type
		}
	case cellInt8, cellUint8, cellInt16, cellUint16:
		if n.leaf.typ == pq.Int32Type {
			return arrow.Int32Type
		}
	}
	return n.typ
}
