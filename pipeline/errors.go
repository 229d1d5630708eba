package pipeline

import (
	"errors"
	"fmt"
	"strings"
)

// Kinds of failure. Every error made by a format, a stage or a store wraps at
// most one of them; errors.Is asks for it.
var (
	// ErrCorrupt: the bytes contradict the format.
	ErrCorrupt = errors.New("corrupt")
	// ErrTruncated: the file ends inside a structure.
	ErrTruncated = errors.New("truncated")
	// ErrUnsupported: legal, but not read by drivemill; the text names what.
	ErrUnsupported = errors.New("unsupported")
	// ErrSchema: schema and data, or schema and pipeline, do not fit.
	ErrSchema = errors.New("schema mismatch")
	// ErrLimit: a length or depth claimed by a file is beyond the declared limit.
	ErrLimit = errors.New("limit exceeded")
	// ErrNotFound: an object that was asked for does not exist.
	ErrNotFound = errors.New("not found")
	// ErrExists: create-if-absent found an object of that name.
	ErrExists = errors.New("already exists")
	// ErrChanged: an input object is no longer the one that was listed.
	ErrChanged = errors.New("object changed while it was read")
	// ErrDenied: the store refused for lack of permission.
	ErrDenied = errors.New("permission denied")
	// ErrLedger: rows in and rows out of a node do not balance.
	ErrLedger = errors.New("ledger does not balance")
)

// Transient marks an error that may go away when the same thing is tried
// again. Whoever makes the error decides; whoever retries asks IsTransient.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return &transientError{err}
}

type transientError struct{ err error }

func (e *transientError) Error() string { return e.err.Error() }
func (e *transientError) Unwrap() error { return e.err }

// IsTransient reports whether err, or an error it wraps, was marked Transient.
func IsTransient(err error) bool {
	var t *transientError
	return errors.As(err, &t)
}

// DecodeError says where in an object decoding failed.
type DecodeError struct {
	Object string // URI
	Format string
	Table  string // empty where the container itself is at fault
	Offset int64  // byte offset in the object, -1 where unknown
	Record int64  // ordinal of the record, -1 where unknown
	Err    error
}

func (e *DecodeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Object, e.Format)
	if e.Table != "" {
		fmt.Fprintf(&b, ": table %s", e.Table)
	}
	if e.Record >= 0 {
		fmt.Fprintf(&b, ": record %d", e.Record)
	}
	if e.Offset >= 0 {
		fmt.Fprintf(&b, ": offset %d", e.Offset)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

func (e *DecodeError) Unwrap() error { return e.Err }
