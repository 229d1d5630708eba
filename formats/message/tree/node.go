// Package tree puts rows together from values that come in any order, or not
// at all: what self-describing and tagged encodings (protobuf, JSON, CBOR,
// FlatBuffers, mutable CDR) have in common.
//
// A Node is a value of a message type, with its members or its element below
// it. The root's members become flat columns: a struct inside a struct gives
// dotted names, structs remain only inside lists. A Layout knows these columns
// and compiles a selection of them into a Plan, in which every node that is
// wanted has a number, its id. A decoder walks over a message and tells a Frame
// what it meets: Put for a value, Open for a list, Enter and Leave for a
// struct. Values of a row wait in slots, so that the last of several counts;
// elements of lists go to their columns at once. At the end of the row, or of
// a struct inside a list, slots are appended to columns; what did not come is
// null, empty, or the default, as the node says. Nothing is allocated per row.
//
// An enumeration is two columns: the number, and beside it <name>_label with
// the text, null where the number has none (with an underscore more where a
// sibling has that name).
//
// Limits: 16 Mi cells are made of one message beyond what it holds itself
// (absent members of list elements, labels, defaults), MaxColumns columns,
// MaxDepth structs and lists inside each other, and 1 Mi values in lists of fixed
// length. A struct without members is a
// column of its own, true where it is present.
package tree

import (
	"fmt"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Limits of a message type.
const (
	// MaxColumns is the number of leaves of a type, those inside lists included.
	MaxColumns = 1 << 14
	// MaxDepth is how deep structs and lists nest.
	MaxDepth = 64
	// maxCells bounds what a message may make beyond its own size.
	maxCells = 1 << 24
	// maxFixed is the number of values of a list of fixed length, lists inside
	// it written out: what one null takes.
	maxFixed = 1 << 20
	// MaxLabel is the size of a label in bytes.
	MaxLabel = 1 << 10
)

// Kind is what the values of a node are.
type Kind uint8

// The kinds. Values up to Span are given to Frame.Put as a uint64, signed ones
// extended to 64 bits, floats by their bits; String and Binary to Frame.PutText.
const (
	Bool Kind = iota
	Int8
	Uint8
	Int16
	Uint16
	Int32
	Uint32
	Int64
	Uint64
	Float32
	Float64
	Time   // nanoseconds since the epoch
	Span   // nanoseconds
	String // UTF-8
	Binary
	Struct
	List
	FixedList
)

// Node is a value of a message type. It is immutable once in a Layout.
type Node struct {
	Name string
	Kind Kind
	// Nullable: the value is null where it does not come. Otherwise it is
	// Default or Text, a list is empty, and a struct is as if it were there.
	Nullable bool
	Default  uint64
	Text     string
	// Len is the number of elements of a FixedList.
	Len int
	// Labels of an enumeration's numbers.
	Labels *Labels
	// Meta is field metadata, keys and values in turn.
	Meta []string
	// Members of a Struct; the element of a List or FixedList.
	Members []*Node
}

// Labels are the names of an enumeration's numbers.
type Labels struct {
	names map[int64]string
	first int64
	dense []string
}

// NewLabels returns labels, or nil when there are none or one is longer than
// MaxLabel.
func NewLabels(names map[int64]string) *Labels {
	if len(names) == 0 {
		return nil
	}
	l := &Labels{names: names}
	first, last, any := int64(0), int64(0), false
	for n, s := range names {
		if len(s) > MaxLabel {
			return nil
		}
		if !any {
			first, last, any = n, n, true
		}
		first, last = min(first, n), max(last, n)
	}
	if span := uint64(last) - uint64(first); span < 256 {
		l.first, l.dense = first, make([]string, span+1)
		for n, s := range names {
			l.dense[n-first] = s
		}
	}
	return l
}

// Find returns the label of a number; it is empty where there is none.
func (l *Labels) Find(n int64) string {
	if l.dense != nil {
		if i := uint64(n) - uint64(l.first); i < uint64(len(l.dense)) {
			return l.dense[i]
		}
		return ""
	}
	return l.names[n]
}

// labelled reports whether the node is an enumeration or a list of such.
func (n *Node) labelled() bool {
	if n.Kind == List || n.Kind == FixedList {
		return n.Members[0].labelled()
	}
	return n.Labels != nil
}

var types = [...]arrow.DataType{
	Bool: arrow.BoolType, Int8: arrow.Int8Type, Uint8: arrow.Uint8Type, Int16: arrow.Int16Type, Uint16: arrow.Uint16Type,
	Int32: arrow.Int32Type, Uint32: arrow.Uint32Type, Int64: arrow.Int64Type, Uint64: arrow.Uint64Type,
	Float32: arrow.Float32Type, Float64: arrow.Float64Type, Time: arrow.TimeType, Span: arrow.SpanType,
	String: arrow.StringType, Binary: arrow.BinaryType,
}

// Size is the number of bytes of a value in its column, 0 where it varies.
// Booleans are bits; their size is 1.
func (k Kind) Size() int {
	switch k {
	case Bool, Int8, Uint8:
		return 1
	case Int16, Uint16:
		return 2
	case Int32, Uint32, Float32:
		return 4
	case Int64, Uint64, Float64, Time, Span:
		return 8
	}
	return 0
}

// DataType is the Arrow type of the node's column.
func (n *Node) DataType() arrow.DataType { return n.dataType(false) }

func (n *Node) dataType(label bool) arrow.DataType {
	switch n.Kind {
	case List:
		return arrow.ListOf(n.Members[0].dataType(label))
	case FixedList:
		return arrow.FixedSizeListOf(int32(n.Len), n.Members[0].dataType(label))
	case Struct:
		if len(n.Members) == 0 {
			return arrow.BoolType
		}
		var fields []arrow.Field
		for i, m := range n.Members {
			fields = append(fields, arrow.Field{Name: m.Name, Type: m.dataType(false), Nullable: true})
			if m.labelled() {
				fields = append(fields, arrow.Field{Name: n.labelName(i), Type: m.dataType(true), Nullable: true})
			}
		}
		return arrow.StructOf(fields...)
	}
	if label {
		return arrow.StringType
	}
	return types[n.Kind]
}

// labelName is the name of the column with the labels of member i.
func (n *Node) labelName(i int) string {
	name := n.Members[i].Name + "_label"
	for slices.ContainsFunc(n.Members, func(m *Node) bool { return m.Name == name }) {
		name += "_"
	}
	return name
}

// flatten appends the columns of the members of n.
func (n *Node) flatten(prefix string, out []arrow.Field) []arrow.Field {
	for i, m := range n.Members {
		if m.Kind == Struct && len(m.Members) > 0 {
			out = m.flatten(prefix+m.Name+".", out)
			continue
		}
		out = append(out, arrow.Field{Name: prefix + m.Name, Type: m.dataType(false), Nullable: true, Metadata: pipeline.FieldMeta(m.Meta...)})
		if m.labelled() {
			out = append(out, arrow.Field{Name: prefix + n.labelName(i), Type: m.dataType(true), Nullable: true})
		}
	}
	return out
}

// weight is the number of values in a null of the node, at most a little more
// than maxFixed.
func (n *Node) weight() int {
	if n.Kind == List {
		return 1
	}
	w := 1
	for _, m := range n.Members {
		w = min(w+m.weight(), 2*maxFixed)
	}
	if n.Kind == FixedList {
		w = min(w*max(n.Len, 1), 2*maxFixed)
	}
	return w
}

// check holds the tree against the limits.
func (n *Node) check(depth int, leaves *int) error {
	if depth > MaxDepth {
		return fmt.Errorf("values nest deeper than %d: %w", MaxDepth, pipeline.ErrLimit)
	}
	if len(n.Members) == 0 {
		if *leaves++; *leaves > MaxColumns {
			return fmt.Errorf("more than %d columns: %w", MaxColumns, pipeline.ErrLimit)
		}
	}
	if n.weight() > maxFixed {
		return fmt.Errorf("lists of fixed length of more than %d values: %w", maxFixed, pipeline.ErrLimit)
	}
	seen := make(map[string]bool, len(n.Members))
	for _, m := range n.Members {
		if n.Kind == Struct && seen[m.Name] {
			return fmt.Errorf("two members are called %q: %w", m.Name, pipeline.ErrSchema)
		}
		seen[m.Name] = true
		if err := m.check(depth+1, leaves); err != nil {
			return err
		}
	}
	return nil
}

// Layout is the columns of a message type. It is immutable.
type Layout struct {
	Root   *Node
	fields []arrow.Field
	stamp  string
}

// NewLayout returns the layout of a message whose members are those of root.
// stamp names the column with the time of the message's own header; it counts
// only where it is a column of times.
func NewLayout(root *Node, stamp string) (*Layout, error) {
	leaves := 0
	if err := root.check(0, &leaves); err != nil {
		return nil, err
	}
	l := &Layout{Root: root, fields: root.flatten("", nil)}
	for _, f := range l.fields {
		if f.Name == stamp && arrow.TypeEqual(f.Type, arrow.TimeType) {
			l.stamp = stamp
		}
	}
	return l, nil
}

// Fields are the flat columns in order of declaration.
func (l *Layout) Fields() []arrow.Field { return l.fields }

// HeaderStamp names the column with the time of the message's own header.
func (l *Layout) HeaderStamp() string { return l.stamp }
