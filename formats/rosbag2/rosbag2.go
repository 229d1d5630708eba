package rosbag2

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/formats/rosbag2/sqlite"
	"github.com/drivemill/drivemill/pipeline"
)

// Name is the name of the format.
const Name = "rosbag2"

// Config is the settings of the format.
type Config struct {
	Definitions pipeline.Text `yaml:"definitions" doc:"folder of message definitions, <package>/msg/<Type>.msg or .idl, <package>/srv/<Service>.srv and <package>/action/<Action>.action, for recordings that hold none"`
	SpillDir    string        `yaml:"spill_dir" doc:"folder for storage files compressed as a whole, which are unpacked there while they are read; default: the system's for temporary files"`
}

// FormatSpec announces the format, with the message encodings it decodes.
func FormatSpec(encodings ...message.Encoding) pipeline.FormatSpec {
	return pipeline.FormatSpec{
		Format:  New(encodings...),
		Summary: "ROS 2 recordings (rosbag2)",
		Doc: "A recording is a folder with metadata.yaml and one or several storage files, or storage files alone: SQLite databases (.db3) in all four layouts of tables, " +
			"MCAP, and either compressed with zstd by file or by message. Split files are one recording. Databases are read page by page where they lie; a write-ahead log " +
			"or journal beside one is reported, not replayed. Messages in cdr become columns, by the definitions in the recording, else by those of the folder `definitions` (.msg, .srv, .action and .idl files), " +
			"else by those built in for the ROS distribution of the recording; other messages are kept as bytes in the column data.",
		Extensions: []string{"db3", "db3.zstd", "mcap.zstd"},
		Behaviour:  1,
		Config:     func() any { return new(Config) },
		Configure: func(ctx context.Context, config any, env pipeline.Env) (pipeline.Format, error) {
			return configure(ctx, config.(*Config), env, encodings)
		},
	}
}

// Limits bound what a recording may claim; zero values stand for the defaults.
type Limits struct {
	Memory   int64 // of an unpacked storage file that is held in memory; 8 MiB
	Unpacked int64 // of an unpacked storage file; 256 GiB
	Message  int64 // of an unpacked message; 1 GiB
}

func (l Limits) memory() int64   { return orDefault(l.Memory, 8<<20) }
func (l Limits) unpacked() int64 { return orDefault(l.Unpacked, 256<<30) }
func (l Limits) message() int64  { return orDefault(l.Message, 1<<30) }

func orDefault(n, def int64) int64 {
	if n <= 0 {
		return def
	}
	return n
}

// Format reads rosbag2 recordings. It is a pipeline.Format.
type Format struct {
	// Limits on what a recording may claim; set before use.
	Limits Limits

	encodings map[string]message.Encoding
	order     []message.Encoding // as given
	supplied  *rosmsg.Library    // by the user; may be nil
	spillDir  string
	block     int // bytes of a block; 0: blockSize
}

var _ pipeline.Format = (*Format)(nil)

// New makes the format. Messages of the given encodings are decoded, others
// are kept as bytes.
func New(encodings ...message.Encoding) *Format {
	f := &Format{encodings: make(map[string]message.Encoding), order: encodings}
	for _, e := range encodings {
		if f.encodings[e.Name()] != nil {
			panic(fmt.Sprintf("rosbag2: encoding %s is given twice", e.Name()))
		}
		f.encodings[e.Name()] = e
	}
	return f
}

// configure returns the format with settings.
func configure(ctx context.Context, c *Config, env pipeline.Env, encodings []message.Encoding) (pipeline.Format, error) {
	f := New(encodings...)
	f.spillDir = c.SpillDir
	if c.Definitions.Value == "" {
		return f, nil
	}
	lib, err := loadDefinitions(ctx, env, c.Definitions)
	if err != nil {
		if ctxErr(err) || errors.Is(err, pipeline.ErrNotLoaded) || pipeline.IsTransient(err) {
			return nil, err
		}
		return nil, c.Definitions.Issuef(0, "%v", err)
	}
	f.supplied = lib
	return f, nil
}

// Name returns "rosbag2".
func (f *Format) Name() string { return Name }

// Sniff knows SQLite databases, storage files compressed as a whole by magic
// and name, and metadata.yaml.
func (f *Format) Sniff(name string, head []byte) bool {
	h := string(head)
	switch {
	case strings.HasPrefix(h, sqlite.Magic):
		return true
	case isZstd(head):
		n, ok := parseName(base(name))
		return ok && n.zstd
	}
	return base(name) == MetadataFile && strings.Contains(h, topKey)
}

// isZstd knows the magic of a zstd frame.
func isZstd(b []byte) bool { return len(b) >= 4 && string(b[:4]) == "\x28\xb5\x2f\xfd" }

// fail says where describing or opening failed.
func fail(object string, err error) error {
	var d *pipeline.DecodeError
	if ctxErr(err) || errors.As(err, &d) {
		return err
	}
	return &pipeline.DecodeError{Object: object, Format: Name, Offset: -1, Record: -1, Err: err}
}

func ctxErr(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// damaged tells errors that a file's bytes are to blame for from those of its
// source.
func damaged(err error) bool {
	if ctxErr(err) || pipeline.IsTransient(err) {
		return false
	}
	for _, kind := range []error{pipeline.ErrCorrupt, pipeline.ErrTruncated, pipeline.ErrUnsupported, pipeline.ErrLimit, pipeline.ErrSchema} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// Open starts decoding.
func (f *Format) Open(ctx context.Context, src pipeline.Source, d *pipeline.Description, sel pipeline.Selection, opt pipeline.DecodeOptions) (pipeline.Decoder, error) {
	rec, ok := d.Index.(*recording)
	if !ok {
		return nil, fail(src.Object().URI, fmt.Errorf("description of a %s file: %w", d.Format, pipeline.ErrSchema))
	}
	w := newWalker(f, rec, src, sel)
	if sel.Order == pipeline.LogOrder {
		if err := w.openAll(ctx); err != nil {
			return nil, errors.Join(fail(src.Object().URI, err), w.Close())
		}
	}
	var uris []string
	for _, p := range pipeline.Parts(src) {
		uris = append(uris, p.Object().URI)
	}
	return message.NewEngine(ctx, message.Config{
		Format: Name, Object: src.Object().URI, Objects: uris, SignedTime: rec.storage == storageSQLite, Walker: w,
		Tables: rec.tables, Channels: rec.tableOf, Selection: sel, Options: opt,
	})
}

// KnownTable implements pipeline.Typed for the message types supplied or built
// in. Times of publication and sequence numbers, which only MCAP storage has,
// are not among its columns.
func (f *Format) KnownTable(typeName string) (*pipeline.Table, error) {
	if encoding, text, err := f.supplied.Definition(typeName); err == nil {
		if enc := f.encodings["cdr"]; enc != nil {
			l, err := enc.Parse(message.Schema{Name: typeName, Encoding: encoding, Data: text})
			if err != nil {
				return nil, err
			}
			t, err := message.NewTable(typeName, envelopes[storageSQLite], l, nil)
			if err != nil {
				return nil, err
			}
			return t.Table, nil
		}
	}
	return message.KnownTable(f.order, envelopes[storageSQLite], typeName)
}

// Kinds of storage, as metadata names them.
const (
	storageSQLite = "sqlite3"
	storageMCAP   = "mcap"
)

// envelopes are the columns that each kind of storage knows of a message.
var envelopes = map[string][]message.Envelope{
	storageSQLite: {message.LogTime},
	storageMCAP:   {message.LogTime, message.PublishTime, message.Sequence},
}

// recording is what Describe keeps for Open.
type recording struct {
	storage string
	parts   []*part
	tables  []*message.Table
	tableOf []int32 // by channel of the engine
}

// part is a storage file.
type part struct {
	object int    // position among the objects of the recording
	name   string // last part of its key
	zstd   bool   // compressed as a whole
	inner  bool   // its messages are compressed
	info   *mcap.Info
	db     *database
	byID   map[uint16]int32 // MCAP: the engine's channel of each channel
}
