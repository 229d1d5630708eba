package rosmsg

import (
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
)

// Limits of a definition. They are far beyond real ones (the largest known
// have some hundred columns) and keep what a hostile one can cost small.
const (
	// MaxText is the size of a definition in bytes, all sections together.
	MaxText = 4 << 20
	// MaxTypes is the number of types in a definition.
	MaxTypes = 1 << 12
	// MaxDepth is how deep message types may nest.
	MaxDepth = 64
	// MaxColumns is the number of values in a message when all types are
	// written out, lists counted once.
	MaxColumns = 1 << 14
	// MaxArray is the number of elements of a fixed array.
	MaxArray = 1 << 24
	// MaxFixedBytes is the size of the smallest message of a type: what its
	// fixed arrays add up to.
	MaxFixedBytes = 64 << 20
)

// Version is the generation of ROS whose grammar a definition follows.
type Version uint8

const (
	ROS1 Version = 1
	ROS2 Version = 2
)

// Kind is what a value of a field is.
type Kind uint8

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
	String
	WString
	// Time is the ROS 1 time, or builtin_interfaces/Time in ROS 2.
	Time
	// Duration is the ROS 1 duration, or builtin_interfaces/Duration in ROS 2.
	Duration
	// Message is another message type.
	Message
)

var kindNames = [...]string{"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
	"float32", "float64", "string", "wstring", "time", "duration", "message"}

func (k Kind) String() string { return kindNames[k] }

// Size is the number of bytes of a value on the wire, or 0 where it varies.
// Times and durations are two 32-bit numbers.
func (k Kind) Size() int {
	switch k {
	case Bool, Int8, Uint8:
		return 1
	case Int16, Uint16:
		return 2
	case Int32, Uint32, Float32:
		return 4
	case Int64, Uint64, Float64, Time, Duration:
		return 8
	}
	return 0
}

// Array is how often a field repeats.
type Array uint8

const (
	Single   Array = iota
	Fixed          // T[N]
	Sequence       // T[], T[<=N]
)

// Type is a message type with everything it uses resolved. It is immutable.
type Type struct {
	Name      string // pkg/Type in ROS 1, pkg/msg/Type in ROS 2
	Version   Version
	Fields    []Field
	Constants []Constant

	leaves int    // columns when written out, saturating
	min    uint64 // bytes of the smallest message, saturating
}

// Field is a field of a message.
type Field struct {
	Name string
	Kind Kind
	// Message is the type of the values where Kind is Message.
	Message *Type
	Array   Array
	// Len is the number of elements of a fixed array, or the bound of a
	// sequence where it has one. Bounds are not on the wire.
	Len uint32
	// TypeName is the type without its array suffix, as written: byte,
	// Header, geometry_msgs/Point.
	TypeName string
	// Bound is that of string<=N, 0 where there is none.
	Bound uint32
	// Default is the ROS 2 default as written.
	Default string
	// Line of the definition, counted from 1.
	Line int

	suffix string // array suffix as written, for the ROS 1 hash
}

// Bytes reports whether the field is a run of bytes rather than of numbers:
// uint8, char or byte, repeated.
func (f *Field) Bytes() bool {
	return f.Array != Single && (f.Kind == Uint8 || f.TypeName == "byte")
}

// Constant is a constant of a message. It is not on the wire.
type Constant struct {
	Name     string
	Kind     Kind
	TypeName string // as written
	Text     string // the value as written, without comment and outer blanks
	Line     int
}

// Error says what is wrong with a definition. It wraps one of the kinds of
// package pipeline.
type Error struct {
	Type   string // message type whose text is at fault
	Line   int    // of the whole definition, counted from 1; 0: no one line
	Reason string
	Kind   error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("definition of %s: %s: %v", e.Type, e.Reason, e.Kind)
	}
	return fmt.Sprintf("definition of %s: line %d: %s: %v", e.Type, e.Line, e.Reason, e.Kind)
}

func (e *Error) Unwrap() error { return e.Kind }

func corrupt(typ string, line int, format string, args ...any) *Error {
	return &Error{Type: typ, Line: line, Reason: fmt.Sprintf(format, args...), Kind: pipeline.ErrCorrupt}
}
