// Package message turns serialized messages into columns, whatever container
// they lie in. It has two halves.
//
// An Encoding (formats/message/ros1, formats/message/cdr, ...) parses a message
// schema into a Layout, which knows the columns, and compiles a Layout and a
// selection of columns into a Plan, a flat program that appends messages to
// typed column buffers.
//
// An Engine takes the blocks of a container (MCAP chunks, bag chunks), unpacks
// and decodes them in parallel on a few workers, and puts the rows back into
// storage order. A container supplies only a Walker.
package message

import (
	"context"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Encoding reads one message encoding.
type Encoding interface {
	// Name is the message encoding as containers spell it: ros1, cdr.
	Name() string
	// Parse compiles a schema. The errors say line and reason; they wrap
	// pipeline.ErrUnsupported where the schema language is not read.
	Parse(s Schema) (Layout, error)
}

// Schema is a message schema as a container holds it.
type Schema struct {
	Name     string // sensor_msgs/Imu, sensor_msgs/msg/Imu
	Encoding string // ros1msg, ros2msg
	Data     []byte
}

// Layout is the columns of a message type.
type Layout interface {
	// Fields are the flat columns of a message in order of declaration.
	Fields() []arrow.Field
	// HeaderStamp names the column that holds the time in the message's own
	// header, or is empty.
	HeaderStamp() string
	// Compile makes a plan that fills the named fields, in the order of
	// Fields; nil means all.
	Compile(columns []string) (Plan, error)
}

// Plan appends messages to columns. It is immutable: many goroutines use one.
type Plan interface {
	// Append decodes data[span.Start:span.End] for each span and appends one
	// row to every column, which are those of the compiled fields in order. It
	// stops at the first message that cannot be decoded and returns its index
	// with the reason, a RowError; the columns then hold the rows before it and
	// nothing of it. n is len(spans) when err is nil. It does not allocate, other than to
	// grow columns.
	Append(cols []*column.Column, data []byte, spans []Span) (n int, err error)
}

// RowError is the error of a message that cannot be decoded. Reason is short,
// stable and snake_case: rejected rows are counted under it.
type RowError interface {
	error
	Reason() string
}

// Span is one message in the unpacked bytes of a block.
type Span struct{ Start, End uint32 }

// Walker is the container's side of an Engine.
type Walker interface {
	// Fetch reads the next block as it is stored, into memory that b owns. It
	// does input and nothing else, is called from one goroutine, in the order
	// in which rows are to be delivered (for LogOrder: by the first log time of
	// blocks), and returns io.EOF after the last block, with b unused.
	Fetch(ctx context.Context, b *Block) error
	// Unpack decompresses b and fills Data and Records, skipping nothing: an
	// engine needs the unselected ones for the ledger. It is called from many
	// goroutines, each with its own block. What is wrong with the block goes
	// to b.Problems and b.LostBytes; an error ends decoding.
	Unpack(ctx context.Context, b *Block) error
	// Close frees what the walker holds. It is called once, when no other call
	// is under way.
	Close() error
}

// Block is a chunk on its way through an engine. Blocks are recycled: before
// Fetch everything is empty, but Stored, Buffer, Records, Problems, Skipped and
// Scratch keep their memory.
type Block struct {
	// Object is the one of the recording's objects that the block lies in: 0
	// unless there are several. In StorageOrder it never decreases.
	Object int
	Offset int64  // of the chunk in the object
	Stored []byte // as fetched
	Buffer []byte // memory to decompress into
	Data   []byte // unpacked: Buffer, a part of Stored, whatever spans refer to
	// Plain means that Data lie in the object as they are, from DataOffset on.
	// References to payloads are made of it.
	Plain      bool
	DataOffset int64
	Records    []Record
	// Ordinal of the first message of the block, counted over all messages of
	// the object in storage order. 0 means that it follows what was fetched
	// or skipped before. LogOrder needs it in every block.
	Ordinal int64
	// MinLater promises that no later block has a message logged before it.
	// Only LogOrder reads it.
	MinLater int64
	// Skipped are messages before this block that were not fetched because
	// nothing of them is selected. An index vouches for their number.
	Skipped []ChannelCount
	// Codec, RawSize and CRC are the container's, from Fetch to Unpack. The
	// engine reads RawSize to bound what is unpacked at one time.
	Codec   string
	RawSize int64
	CRC     uint32
	// Scratch is the container's own per-block state, kept when recycled.
	Scratch any
	// Bad are records that are there, but whose bytes are not, ascending: if
	// they are selected, or of no known channel, they are rejected.
	Bad []BadRecord
	// Keep lists, ascending, the places in Records of messages that are
	// selected although they were logged before Selection.From: the last ones
	// of latched tables. See Latched.
	Keep []uint32
	// Damage found by Fetch or Unpack.
	Problems  []BlockProblem
	LostBytes int64
}

// BadRecord is a record of a block whose message cannot be read.
type BadRecord struct {
	Record uint32 // position in Block.Records
	Err    RowError
}

// ChannelCount is a number of messages of one channel.
type ChannelCount struct {
	Channel int32
	Count   int64
}

// BlockProblem is damage inside a block.
type BlockProblem struct {
	Kind   string
	Offset int64
	Detail string
	Loses  bool
}

// Record is one message of a block. Times are nanoseconds since the epoch;
// a negative one (2^63 or more as the container's unsigned number) makes the
// engine reject the row as time_out_of_range, unless Config.SignedTime.
type Record struct {
	// Channel indexes the engine's channels; -1 is a message of no known
	// channel, which is rejected as unknown_channel.
	Channel     int32
	Sequence    uint32
	LogTime     int64
	PublishTime int64
	Span        Span
}
