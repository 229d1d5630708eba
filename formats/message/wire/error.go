package wire

import "github.com/drivemill/drivemill/formats/message"

// Reasons why a message cannot be decoded; the ledger counts rejected rows
// under them.
const (
	// Truncated: the message ends inside a value of fixed size.
	Truncated = message.Truncated
	// LengthBeyondEnd: a length or count claims more than is left.
	LengthBeyondEnd = message.LengthBeyondEnd
	// TrailingBytes: bytes are left behind the last field, so the definition
	// is not that of the message.
	TrailingBytes = message.TrailingBytes
	// InvalidUTF8: a string is not UTF-8.
	InvalidUTF8 = message.InvalidUTF8
	// InvalidUTF16: a wide string is not UTF-16 in any of the layouts in use.
	InvalidUTF16 = "invalid_utf16"
	// BadDelimiter: an XCDR2 delimiter header does not match what it delimits.
	BadDelimiter = "bad_delimiter"
	// UnsupportedEncapsulation: the message is in a kind of CDR that is not read.
	UnsupportedEncapsulation = "unsupported_encapsulation"
	// TooLarge: the columns of one batch cannot hold the message.
	TooLarge = message.TooLarge
)

// Error says why and where a message cannot be decoded. Offsets count the
// encapsulation header.
type Error = message.Failure
