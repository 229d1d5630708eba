package expr

import (
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Kind is a type of the language.
type Kind uint8

// Kinds of values. Opaque values can only be tested for null and measured.
const (
	invalid Kind = iota // already reported
	Null                // the literal nil
	Bool
	Int
	Uint
	Float
	String
	Time
	Span
	Date
	Opaque
)

var kindNames = [...]string{"invalid", "nil", "bool", "int64", "uint64", "float64", "string", "timestamp", "duration", "date", "opaque"}

func (k Kind) String() string { return kindNames[k] }

// DataType is the Arrow type of a column of this kind.
func (k Kind) DataType() arrow.DataType {
	switch k {
	case Bool:
		return arrow.BoolType
	case Int:
		return arrow.Int64Type
	case Uint:
		return arrow.Uint64Type
	case Float:
		return arrow.Float64Type
	case String:
		return arrow.StringType
	case Time:
		return arrow.TimeType
	case Span:
		return arrow.SpanType
	case Date:
		return arrow.Date32Type
	}
	return arrow.NullType
}

// KindOf is the kind in which a column of type t takes part in expressions.
func KindOf(t arrow.DataType) Kind {
	switch t.ID() {
	case arrow.NULL:
		return Null
	case arrow.BOOL:
		return Bool
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32:
		return Int
	case arrow.UINT64:
		return Uint
	case arrow.FLOAT32, arrow.FLOAT64:
		return Float
	case arrow.STRING:
		return String
	case arrow.TIMESTAMP:
		return Time
	case arrow.DURATION:
		return Span
	case arrow.DATE32:
		return Date
	case arrow.DICTIONARY:
		if arrow.TypeEqual(t, arrow.LabelType) {
			return String
		}
	}
	return Opaque
}

// stored tells which of the slices of a vec holds values of kind k: Int for
// all kinds that are counted in an int64.
func (k Kind) stored() Kind {
	switch k {
	case Time, Span, Date:
		return Int
	}
	return k
}

func (k Kind) number() bool { return k == Int || k == Uint || k == Float }

// value is a constant.
type value struct {
	null bool
	b    bool
	i    int64
	u    uint64
	f    float64
	s    string
}

// Reasons for which a row is rejected.
const (
	DivisionByZero  = "division_by_zero"
	IntegerOverflow = "integer_overflow"
	CastInvalid     = "cast_invalid"
)

type reason uint8

const (
	fine reason = iota
	divisionByZero
	integerOverflow
	castInvalid
)

var reasonNames = [...]string{"", DivisionByZero, IntegerOverflow, CastInvalid}
