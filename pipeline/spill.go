package pipeline

import "github.com/drivemill/drivemill/pipeline/arrow"

// Spill is where records are kept that do not fit into memory. It is safe for
// concurrent use.
type Spill interface {
	// Open makes an empty file, which is gone when it is closed or the process
	// ends.
	Open() (SpillFile, error)
}

// SpillFile keeps records. It is safe for concurrent use.
type SpillFile interface {
	// Write keeps a record, which stays the caller's. The error wraps ErrLimit
	// when the space is used up.
	Write(rec arrow.Record) (SpillRef, error)
	// Read returns a record that was written with this schema; the caller
	// releases it.
	Read(mem arrow.Allocator, schema *arrow.Schema, ref SpillRef) (arrow.Record, error)
	// Free gives the space of a record back.
	Free(ref SpillRef)
	// Close forgets everything.
	Close() error
}

// SpillRef is a record in a file.
type SpillRef struct{ Offset, Size, Rows int64 }
