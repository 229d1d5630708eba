package pipeline

import (
	"context"
	"io"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Object is one file in a store, as it was listed.
type Object struct {
	URI  string // full, as shown to users: file path or s3://bucket/key
	Key  string // inside its store, slash separated
	Size int64
	// ETag identifies the content: the store's own, or for local files
	// size and modification time. Equal ETag means equal bytes.
	ETag string
}

// Source reads one object. It is safe for concurrent use. Reads fail with
// ErrChanged when the object is no longer the one described by Object, and
// with ErrTruncated when it ends before Object.Size.
type Source interface {
	Object() Object
	// ReadAt fills p from offset off. Like io.ReaderAt it returns io.EOF with
	// a short count only at the end of the object.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	// Reader streams n bytes from off; n < 0 means to the end.
	Reader(ctx context.Context, off, n int64) (io.ReadCloser, error)
}

// Format reads one kind of recording. Implementations have no state: a Format
// is used by many goroutines at once.
type Format interface {
	// Name is the short name used in pipelines and messages: mcap, rosbag.
	Name() string
	// Sniff reports whether an object of this name that begins with head (up
	// to 4 KiB, the whole object if it is smaller) is of this format.
	Sniff(name string, head []byte) bool
	// Describe finds out what is in a recording, from its index where it has
	// one, otherwise by scanning. Damage that leaves something readable is
	// reported in Problems; an error means that nothing can be read.
	Describe(ctx context.Context, src Source) (*Description, error)
	// Open starts decoding what sel selects of the recording d describes.
	Open(ctx context.Context, src Source, d *Description, sel Selection, opt DecodeOptions) (Decoder, error)
}

// Typed is implemented by formats that know the schema of a table before any
// recording is read. The type name is what a pipeline declares for a table
// ("nav_msgs/Odometry"); a format whose tables are always the same answers for
// the empty name. The error names what is unknown.
type Typed interface {
	KnownTable(typeName string) (*Table, error)
}

// LakeReader is implemented by the format in which outputs keep tables.
type LakeReader interface {
	Format
	// OfLake returns the format as steps over a lake read it: with the types
	// that the tables had before they were written, where files tell.
	OfLake() Format
}

// Description is what is in a recording.
type Description struct {
	Format      string
	Version     string // of the format, as the file claims
	Profile     string // as the file claims
	Writer      string // library or program that wrote it
	Indexed     bool   // an index was there and was used
	Start, End  int64  // first and last log time in ns since the epoch, where HasTime
	HasTime     bool
	Tables      []TableInfo
	Compression []Compression
	// Overlapping is how many chunks or blocks begin, on the log clock, before
	// one stored earlier has ended, as far as an index or a scan tells.
	Overlapping int64
	// Attachments are files kept inside the recording, or beside it.
	Attachments []Attachment
	// Details are facts peculiar to the format: metadata, events, history.
	Details []Detail
	// Attributes found inside the file (vehicle, drive, logger, ...).
	Attributes map[string]string
	Problems   []Problem
	// Index is for the format's own use in Open.
	Index any
}

// TableInfo is one table of a recording.
type TableInfo struct {
	Table *Table
	// Rows as the index tells, -1 where unknown.
	Rows int64
	// Bytes of all rows as the index tells, -1 where unknown.
	Bytes int64
	// Encoding and SchemaName as in the source: cdr, sensor_msgs/msg/Imu.
	Encoding   string
	SchemaName string
	// Raw means that rows are not decoded: one binary column holds the message.
	Raw bool
	// Latched means that a row stays valid until the next one of its sender: a
	// map, a static transform. Whoever looks at a range of time wants the last
	// row before it as well.
	Latched bool
	// Start and End on the log clock, where HasTime.
	Start, End int64
	HasTime    bool
}

// Attachment is a file that travels with a recording. A format that lists any
// implements Extractor.
type Attachment struct {
	Name      string // as in the source: a name to show, never a path to write to
	MediaType string
	Size      int64 // -1 where unknown
	Offset    int64 // of the attachment in the object; -1 where it lies outside
	Time      int64 // of logging, in ns since the epoch, where HasTime
	HasTime   bool
	// External is where an attachment outside the recording is said to lie.
	External string
}

// Extractor is implemented by formats whose recordings carry attachments.
type Extractor interface {
	// OpenAttachment streams attachment i of the description. A checksum that
	// the recording holds is verified at the end, where Read then fails.
	OpenAttachment(ctx context.Context, src Source, d *Description, i int) (io.ReadCloser, error)
}

// Detail is one fact that only this format knows, for people to read: a
// metadata record, an event, an entry of the file history, a source.
type Detail struct {
	Kind   string        `json:"kind"` // metadata, event, history, source, hierarchy, ...
	Name   string        `json:"name,omitempty"`
	Fields []DetailField `json:"fields,omitempty"`
}

// DetailField is one named value of a detail.
type DetailField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Compression sums up the chunks that use one codec.
type Compression struct {
	Codec      string `json:"codec"` // none, lz4, zstd, bz2
	Chunks     int64  `json:"chunks"`
	Compressed int64  `json:"stored"` // bytes stored
	Raw        int64  `json:"raw"`    // bytes after decompression
	// Estimated: sizes lie in the chunks, of which only a sample was looked at.
	Estimated bool `json:"estimated,omitempty"`
}

// Problem is something wrong with a recording that does not stop it from
// being read.
type Problem struct {
	Kind   string // truncated, unindexed, crc_mismatch, bad_schema, no_schema, ...
	Table  string // empty: the whole recording
	Offset int64  // -1 where unknown
	Detail string
	// Rows that it concerns, where the format counts them; 0 otherwise.
	Rows int64
	// Loses means that rows are missing because of it.
	Loses bool
}

// Order of the rows that a decoder delivers.
type Order uint8

const (
	// StorageOrder is the order in which records lie in the recording: the
	// canonical order, on which all output bytes depend.
	StorageOrder Order = iota
	// LogOrder sorts by log time; equal times keep storage order.
	LogOrder
)

// Selection says what to decode. The zero value selects everything.
type Selection struct {
	// Tables selects by Table.Name; nil selects all tables.
	Tables []TableSelection
	// From and To bound the log time, half-open, in ns. To 0 means no bound.
	From, To int64
	Order    Order
}

// TableSelection selects columns of one table.
type TableSelection struct {
	// Table is one of the tables of the description.
	Table *Table
	// Columns to deliver, in the order of the table; nil delivers all. Others
	// are skipped without being decoded.
	Columns []string
	// Latched asks for the last row of each sender before Selection.From as
	// well. Formats that know of no latched tables pay no heed to it.
	Latched bool
	// Payloads asks for the columns beside some of Columns, which are marked
	// with MetaPayload in the table of the description. They come behind all
	// others, as PayloadFields lists them.
	Payloads []PayloadSelection
}

// DecodeOptions control a decoder without changing the rows it delivers.
type DecodeOptions struct {
	Allocator arrow.Allocator // nil: Go's
	// Workers is how many goroutines the decoder may use; 0 means 1.
	Workers int
	// BatchRows and BatchBytes end a batch; 0 means 64 Ki rows and 8 MiB.
	BatchRows  int
	BatchBytes int64
	// Object is written into the origin of all batches.
	Object int
	// Steps makes the decoder deliver all pending rows and a watermark after
	// each chunk or block, for consumers that interleave tables.
	Steps bool
	// NullCells makes cells that cannot be read null, and counts them, where
	// the format can tell cells apart; other rows are rejected.
	NullCells bool
	// Reject is told every row that cannot be decoded. An error from it ends
	// decoding; nil means that the row was taken care of. When Reject is nil a
	// bad row ends decoding. It is called from one goroutine at a time.
	Reject func(BadRow) error
}

// BadRow is a row that could not be decoded or processed.
type BadRow struct {
	Table  string
	Object string // URI
	Record int64
	Offset int64  // of the record in the object, or of its chunk; -1 unknown
	Column string // where one is at fault
	Reason string // short, stable, snake_case: what the ledger counts
	Err    error
	Raw    []byte // the record as stored; valid until Reject returns
}

// Default limits of a batch.
const (
	DefaultBatchRows  = 64 << 10
	DefaultBatchBytes = 8 << 20
)

// Decoder delivers a recording as batches and watermarks. One goroutine uses
// it. It may run up to DecodeOptions.Workers goroutines of its own, all of
// which have ended when Close returns.
type Decoder interface {
	// Next returns the next element, io.EOF after the last. The caller owns
	// the batch. After an error other than io.EOF only Counts and Close may
	// be called. Rows of one table come in the order of the selection.
	Next(ctx context.Context) (Element, error)
	// Counts tells what became of the records so far; final after io.EOF.
	Counts() []TableCounts
	// Problems found while decoding that Describe could not see.
	Problems() []Problem
	// Close ends decoding, early or not, and frees everything.
	Close() error
}

// TableCounts is the decoder's side of the ledger for one table.
// Found = Decoded + Unselected + the sum of Rejected; where an index gave a
// count, Indexed = Found + Lost.
type TableCounts struct {
	Table      string
	Found      int64
	Decoded    int64
	Unselected int64            // outside the time range or the tables selected
	Rejected   map[string]int64 // by reason
	NullCells  map[string]int64 // cells made null, by column
	Indexed    int64            // count given by an index, -1 where none
	Lost       int64            // rows the index promised and that are not there
	LostBytes  int64            // bytes that could not be read, rows unknown
	Bytes      int64            // of the records found
	Payloads   PayloadCounts    // of the rows decoded, as the selection asked
}
