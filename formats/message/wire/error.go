package wire

import (
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
)

// Reasons why a message cannot be decoded; the ledger counts rejected rows
// under them.
const (
	// Truncated: the message ends inside a value of fixed size.
	Truncated = "truncated"
	// LengthBeyondEnd: a length or count claims more than is left.
	LengthBeyondEnd = "length_beyond_end"
	// TrailingBytes: bytes are left behind the last field, so the definition
	// is not that of the message.
	TrailingBytes = "trailing_bytes"
	// InvalidUTF8: a string is not UTF-8. A column of strings cannot hold it,
	// so the row is rejected with its bytes rather than altered.
	InvalidUTF8 = "invalid_utf8"
	// InvalidUTF16: a wide string is not UTF-16 in any of the layouts in use.
	InvalidUTF16 = "invalid_utf16"
	// BadDelimiter: an XCDR2 delimiter header does not match what it delimits.
	BadDelimiter = "bad_delimiter"
	// UnsupportedEncapsulation: the message is in a kind of CDR that is not read.
	UnsupportedEncapsulation = "unsupported_encapsulation"
	// TooLarge: the columns of one batch cannot hold the message.
	TooLarge = "message_too_large"
)

// Error says why and where a message cannot be decoded. It wraps one of the
// kinds of package pipeline.
type Error struct {
	Code   string // one of the reasons above
	Offset int    // in the message, its header included
	Column string // dotted name of the field at fault; empty: none in particular
	Detail string
}

// Reason is what the ledger counts the message under.
func (e *Error) Reason() string { return e.Code }

func (e *Error) Error() string {
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

func (e *Error) Unwrap() error {
	switch e.Code {
	case Truncated, LengthBeyondEnd:
		return pipeline.ErrTruncated
	case TrailingBytes:
		return pipeline.ErrSchema
	case UnsupportedEncapsulation:
		return pipeline.ErrUnsupported
	case TooLarge:
		return pipeline.ErrLimit
	}
	return pipeline.ErrCorrupt
}
