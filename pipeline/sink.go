package pipeline

import (
	"context"
	"io"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Sink is a configured output. It is immutable and shared by all units.
type Sink interface {
	// Store is where the sink writes, and where the runner keeps the state of
	// the pipeline beside its output.
	Store() Store
	// Bind checks the tables of one unit and says what each is called there.
	Bind(in []*Table) (*SinkBinding, error)
}

// SinkBinding is a sink bound to the tables of one unit.
type SinkBinding struct {
	// Tables that will be written: several inputs may feed one.
	Tables []SinkTable
	// Open starts writing. Nothing is visible to readers before Publish.
	Open func(ctx context.Context, opt SinkOptions) (SinkWriter, error)
}

// SinkTable is a table as the sink writes it.
type SinkTable struct {
	Name    string // directory in the lake
	Schema  *arrow.Schema
	Inputs  []*Table
	Columns []Derivation // lineage of each column of Schema
	Reads   []Read
	// Bytes are columns of Inputs whose payloads the sink wants to have
	// whatever their length. In others a payload that is referred to is null.
	Bytes []ColumnRef
}

// SinkOptions are given by the runner.
type SinkOptions struct {
	Allocator arrow.Allocator
	Workers   int
	// Slot is the unit's, and Revision that of each table by its name: both
	// are part of file names.
	Slot     string
	Revision map[string]string
	// DriveDate is the UTC date of the drive's start, YYYY-MM-DD; empty when
	// the recording has no time that can be trusted.
	DriveDate string
	// Reject is told every row that the sink refuses.
	Reject func(BadRow) error
	// Memory is how many bytes of rows the writer may keep waiting; what is more
	// goes to Spill. 0 means no bound. Neither changes what is written.
	Memory int64
	Spill  Spill // nil: nowhere
	// Failpoint is called at named moments; tests make it fail or kill there.
	Failpoint func(name string) error
}

// SinkWriter writes one unit. One goroutine uses it. The order of calls is
// Write..., Finish, Publish, and Abort at any point instead.
type SinkWriter interface {
	// Write takes over the batch.
	Write(ctx context.Context, b *Batch, acct *Account) error
	// Finish encodes what is left and uploads all parts, without making them
	// visible, and returns the files with the rows re-read from their footers.
	Finish(ctx context.Context, acct *Account) ([]File, error)
	// Publish makes the files visible, back to back.
	Publish(ctx context.Context) error
	// Abort removes what was not published. It may follow any call and does
	// nothing after a successful Publish.
	Abort(ctx context.Context) error
}

// File is one file in the lake, or a directory of objects that belongs to one
// table of one unit alone.
type File struct {
	// Key ends in a slash where it names a directory: it then stands for all
	// objects below it, in commit records and claims too.
	Key       string            `json:"key"`
	Table     string            `json:"table"`
	Partition map[string]string `json:"partition,omitempty"`
	Rows      int64             `json:"rows"` // re-read from the footer
	Bytes     int64             `json:"bytes"`
	// SHA256 is that of the file; of a directory, that of the list of its
	// objects, as sha256sum prints one.
	SHA256 string `json:"sha256"`
	// Objects counts those of a directory.
	Objects int64 `json:"objects,omitempty"`
}

// Store keeps objects by key. Keys are slash separated, relative to the root
// the store was opened with. A Store is safe for concurrent use.
//
// Errors wrap ErrNotFound, ErrExists, ErrChanged or ErrDenied where these
// apply, and are Transient where trying again may help.
type Store interface {
	// Root is the URI the keys are relative to, without a trailing slash.
	Root() string
	// List calls fn for every object whose key begins with prefix, in
	// ascending order of key (bytewise). It stops at the first error.
	List(ctx context.Context, prefix string, fn func(Object) error) error
	// Stat describes one object.
	Stat(ctx context.Context, key string) (Object, error)
	// Open returns a source for an object that List or Stat described.
	Open(ctx context.Context, obj Object) (Source, error)
	// Create starts an object that becomes visible, whole, when Publish is
	// called; an object of that name is replaced.
	Create(ctx context.Context, key string) (ObjectWriter, error)
	// PutIfAbsent creates a small object, or fails with ErrExists.
	PutIfAbsent(ctx context.Context, key string, data []byte) error
	// Put creates or replaces a small object.
	Put(ctx context.Context, key string, data []byte) error
	// Get reads a small object whole.
	Get(ctx context.Context, key string) ([]byte, error)
	// Delete removes an object; one that is not there is no error.
	Delete(ctx context.Context, key string) error
}

// ObjectWriter writes one object. One goroutine uses it.
type ObjectWriter interface {
	io.Writer
	// Finish uploads what is buffered; nothing is visible yet.
	Finish(ctx context.Context) error
	// Publish makes the object visible under its key.
	Publish(ctx context.Context) error
	// Abort removes all traces. It does nothing after Publish.
	Abort(ctx context.Context) error
}
