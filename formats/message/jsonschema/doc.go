// Package jsonschema turns a JSON Schema (draft 4 to 2020-12) into the columns
// of messages that are JSON values, whatever bytes they are written in.
//
//	integer                      int64; uint64 where minimum >= 0 and maximum >= 2^63
//	number                       double
//	boolean                      bool
//	string                       utf8, also with format date-time
//	string, contentEncoding base64   binary
//	array with items             list
//	object with properties       its members: dotted columns, inside lists a struct
//	object titled time or duration with sec and nsec  timestamp[ns, UTC], duration[ns]
//	anything else                utf8, the JSON text of the value
//
// "Anything else" is a value that may be of several types, an array without
// items or with prefixItems, an object without properties, a reference that
// leads outside of the schema or back into itself, allOf of several, if and not. A type
// "T or null", spelled as a list of types, anyOf, oneOf or nullable, is T.
// enum and const give the type that their values share. Every value is
// nullable, required or not: a member that is absent and one that is null are
// null alike. Bounds, patterns and the like are not checked.
//
// Members that the schema does not name are kept in the column _extra of the
// root: the text of an object whose keys are their paths, such as a.b or
// points[3].z; null where there are none. A root with additionalProperties
// false has that column, too: data need not do as the schema says. A root that
// is not an object with properties is one column, json.
//
// Schemas are read up to 4 MiB, 100 levels deep, with up to tree.MaxColumns
// values once references are written out.
package jsonschema

import "github.com/drivemill/drivemill/formats/message/tree"

// Names of the columns that no schema names.
const (
	ExtraColumn = "_extra" // members that the schema does not name
	TextColumn  = "json"   // the whole message
)

// Limits.
const (
	maxText = 4 << 20
	// MaxDepth is how deep values nest, in schemas and in messages.
	MaxDepth = 100
)

// Kind is how a value is read.
type Kind uint8

// The kinds.
const (
	Text     Kind = iota // any value, as JSON text
	Integer              // int64
	Unsigned             // uint64
	Number               // double
	Boolean
	String
	Base64   // text that stands for bytes
	Time     // an object of sec and nsec
	Duration // the same, signed
	Object
	Array
)

// Value is a value that the schema describes.
type Value struct {
	Kind    Kind
	Node    *tree.Node
	Keys    []string // of the members of an Object
	Members []*Value // beside Keys; of an Array, its one element
	// Extra is the column of members without a name in the schema; only the
	// root has one.
	Extra *tree.Node
}

// textNode is a column of JSON text.
func textNode(name string) *tree.Node {
	return &tree.Node{Name: name, Kind: tree.String, Nullable: true, Meta: []string{"media_type", "application/json"}}
}
