package message

import (
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
)

// Reasons why a message cannot be decoded, those that several encodings share.
// The ledger counts rejected rows under them.
const (
	// Truncated: the message ends inside a value.
	Truncated = "truncated"
	// LengthBeyondEnd: a length, count or offset claims more than is left.
	LengthBeyondEnd = "length_beyond_end"
	// TrailingBytes: bytes are left behind the message.
	TrailingBytes = "trailing_bytes"
	// InvalidUTF8: a string is not UTF-8. A column of strings cannot hold it,
	// so the row is rejected with its bytes rather than altered.
	InvalidUTF8 = "invalid_utf8"
	// TooLarge: the columns of one batch cannot hold the message.
	TooLarge = "message_too_large"
	// TooDeep: values nest deeper than the declared limit.
	TooDeep = "too_deep"
	// Malformed: the bytes break the rules of the encoding.
	Malformed = "malformed"
	// TypeMismatch: a value is of another type than the schema says.
	TypeMismatch = "type_mismatch"
	// OutOfRange: a value does not fit its column exactly.
	OutOfRange = "out_of_range"
	// DuplicateKey: an object has a key twice.
	DuplicateKey = "duplicate_key"
	// MissingField: a field that the schema requires is not there.
	MissingField = "missing_field"
)

// Failure says why and where a message cannot be decoded. It is a RowError and
// wraps one of the kinds of package pipeline.
type Failure struct {
	Code   string // one of the reasons above, or of the encoding's own
	Offset int    // in the message
	Column string // dotted name of the field at fault; empty: none in particular
	Detail string
	// Kind is the kind of package pipeline; nil: the one that goes with Code.
	Kind error
}

var _ RowError = (*Failure)(nil)

// Reason is what the ledger counts the message under.
func (e *Failure) Reason() string { return e.Code }

func (e *Failure) Error() string {
	s := fmt.Sprintf("message byte %d: ", e.Offset)
	if e.Column != "" {
		s += "field " + e.Column + ": "
	}
	s += e.Code
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

func (e *Failure) Unwrap() error {
	if e.Kind != nil {
		return e.Kind
	}
	switch e.Code {
	case Truncated, LengthBeyondEnd:
		return pipeline.ErrTruncated
	case TrailingBytes, TypeMismatch, OutOfRange, MissingField:
		return pipeline.ErrSchema
	case TooLarge, TooDeep:
		return pipeline.ErrLimit
	}
	return pipeline.ErrCorrupt
}
