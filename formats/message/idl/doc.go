// Package idl reads OMG IDL 4.2 type definitions, as they lie in schemas with
// encoding ros2idl and omgidl.
//
// A ros2idl schema holds several files. Before each stand a line of 80 equals
// signs and a line "IDL: pkg/msg/Type"; their order is free. omgidl is one text
// without such lines. Both are read alike:
//
//	modules, nested and reopened; structs with bases, forward declarations
//	enums with @value and @bit_bound, bitmasks, unions, typedefs
//	sequences, maps and strings with bounds, arrays of several dimensions
//	constants with expressions; adjacent string literals
//	annotations with parameters, comments, lines that begin with #
//
// Of the annotations those count that say how values lie: @final, @appendable,
// @mutable, @extensibility, @optional, @id, @hashid, @autoid, @bit_bound,
// @value, @position, @must_understand; and @key, @default, @unit and @verbatim,
// which are kept. Others are passed over. What #include names must be in the
// text, and #if is not evaluated: all that lies between is read.
//
// Bitsets, fixed, any, interfaces and value types are refused as unsupported.
// A type that contains itself is an error. Names are looked up from the innermost
// scope outwards; a leading underscore is taken off identifiers.
//
// Limits: texts of 4 MiB, 4,096 declarations, 64 levels of nesting, arrays of
// 2^24 elements.
package idl

import (
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
)

// Limits of a definition.
const (
	maxText  = 4 << 20
	maxDecls = 1 << 12
	maxDepth = 64
	maxArray = 1 << 24
)

// Kind is what a type is.
type Kind uint8

// The kinds.
const (
	Bool Kind = iota
	Int8
	Uint8 // also octet
	Int16
	Uint16
	Int32
	Uint32
	Int64
	Uint64
	Float32
	Float64
	Float128 // long double: 16 bytes
	Char
	WChar
	String
	WString
	Enum
	Bitmask
	Struct
	Union
	Sequence
	Array
	Map
)

// Extensibility is how a struct or union may change between versions.
type Extensibility uint8

// The kinds of extensibility; Unsaid is that of a type without annotation.
const (
	Unsaid Extensibility = iota
	Final
	Appendable
	Mutable
)

// Type is a type with all it uses resolved. It is immutable.
type Type struct {
	Kind Kind
	Name string // scoped with ::, of declared types
	Ext  Extensibility
	// Members of a struct, those of its base first; the cases of a union.
	Members []Member
	// Elem is what a sequence, array or map holds, Key the key of a map, and
	// the discriminator of a union.
	Elem, Key *Type
	// Len is the number of elements of an array, or a bound, 0 where none.
	Len uint32
	// Inner marks the arrays that are the further dimensions of an array.
	Inner bool
	// Bytes that an enum or bitmask takes.
	Bytes int
	// Labels of an enum's values.
	Labels map[int64]string
}

// Member is a member of a struct, or a case of a union.
type Member struct {
	Name           string
	Type           *Type
	ID             uint32
	Optional       bool
	Key            bool
	MustUnderstand bool
	Unit           string
	Description    string
	Default        string
	Cases          []int64 // of a union
	Otherwise      bool    // the default case of a union
}

// Error says what is wrong with a definition. It wraps one of the kinds of
// package pipeline.
type Error struct {
	Line   int // of the whole text, counted from 1; 0: no one line
	Reason string
	Kind   error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("IDL: %s: %v", e.Reason, e.Kind)
	}
	return fmt.Sprintf("IDL: line %d: %s: %v", e.Line, e.Reason, e.Kind)
}

func (e *Error) Unwrap() error { return e.Kind }

func corrupt(line int, format string, args ...any) *Error {
	return &Error{Line: line, Reason: fmt.Sprintf(format, args...), Kind: pipeline.ErrCorrupt}
}

func unsupported(line int, what string) *Error {
	return &Error{Line: line, Reason: what, Kind: pipeline.ErrUnsupported}
}

func limit(line int, format string, args ...any) *Error {
	return &Error{Line: line, Reason: fmt.Sprintf(format, args...), Kind: pipeline.ErrLimit}
}
