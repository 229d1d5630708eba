package mcap

import (
	"context"
	"fmt"
	"math"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// Name is the name of the format.
const Name = "mcap"

// FormatSpec announces the format, with the message encodings it decodes.
func FormatSpec(encodings ...message.Encoding) pipeline.FormatSpec {
	return pipeline.FormatSpec{
		Format:  New(encodings...),
		Summary: "MCAP recordings",
		Doc: "Chunks stored plain or compressed with lz4 or zstd are read by the index or by scanning, also when the file is damaged. Messages in ros1 (ros1msg), " +
			"cdr (ros2msg, ros2idl, omgidl), protobuf, json and cbor (jsonschema or none) and flatbuffer become columns; those of other encodings, and those whose schema does not parse, are kept as bytes in the column data.",
		Extensions: []string{"mcap"},
		Behaviour:  2,
		Config:     func() any { return new(Config) },
		Configure:  configure(encodings),
	}
}

// Format reads MCAP files. It is a pipeline.Format.
type Format struct {
	// Limits on what a file may claim; set before use.
	Limits Limits

	encodings map[string]message.Encoding
	order     []message.Encoding // as given

	attributes map[string]place // to read besides our own
}

// New makes the format. Messages of the given encodings are decoded, others
// are kept as bytes.
func New(encodings ...message.Encoding) *Format {
	f := &Format{encodings: make(map[string]message.Encoding), order: encodings}
	for _, e := range encodings {
		if f.encodings[e.Name()] != nil {
			panic(fmt.Sprintf("mcap: encoding %s is given twice", e.Name()))
		}
		f.encodings[e.Name()] = e
	}
	return f
}

var _ pipeline.Format = (*Format)(nil)

// Name returns "mcap".
func (f *Format) Name() string { return Name }

// Sniff looks for the magic, whatever the major version.
func (f *Format) Sniff(name string, head []byte) bool {
	return len(head) >= len(Magic) && string(head[:5]) == Magic[:5] && string(head[6:8]) == Magic[6:]
}

// Describe reads the summary, or scans the file.
func (f *Format) Describe(ctx context.Context, src pipeline.Source) (*pipeline.Description, error) {
	in, err := ReadInfo(ctx, src, f.Limits)
	if err != nil {
		return nil, f.fail(src, err)
	}
	d, err := f.describe(ctx, src, in)
	if err != nil {
		return nil, f.fail(src, err)
	}
	return d, nil
}

func (f *Format) fail(src pipeline.Source, err error) error {
	if ctxErr(err) {
		return err
	}
	return &pipeline.DecodeError{Object: src.Object().URI, Format: Name, Offset: -1, Record: -1, Err: err}
}

// Open starts decoding.
func (f *Format) Open(ctx context.Context, src pipeline.Source, d *pipeline.Description, sel pipeline.Selection, opt pipeline.DecodeOptions) (pipeline.Decoder, error) {
	ix, ok := d.Index.(*index)
	if !ok {
		return nil, f.fail(src, fmt.Errorf("description of a %s file: %w", d.Format, pipeline.ErrSchema))
	}
	w, err := newWalker(ctx, src, f.Limits, ix, sel)
	if err != nil {
		return nil, f.fail(src, err)
	}
	e, err := message.NewEngine(ctx, message.Config{
		Format: Name, Object: src.Object().URI, Walker: w,
		Tables: ix.tables, Channels: ix.tableOf, Selection: sel, Options: opt,
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Cut implements pipeline.Cutter, by the index of chunks.
func (f *Format) Cut(d *pipeline.Description, size int64) ([]int64, string) {
	ix, ok := d.Index.(*index)
	if !ok || !d.Indexed {
		return nil, "it has no index"
	}
	var blocks []message.Extent
	for _, b := range ix.info.blocks {
		if b.start > math.MaxInt64 || b.end > math.MaxInt64 {
			return nil, "it has times beyond the year 2262"
		}
		if b.end > 0 || b.messages() > 0 {
			blocks = append(blocks, message.Extent{From: int64(b.start), To: int64(b.end), Bytes: b.length})
		}
	}
	return message.Cut(blocks, size), ""
}

// KnownTable implements pipeline.Typed for the message types built into the
// encodings.
func (f *Format) KnownTable(typeName string) (*pipeline.Table, error) {
	return message.KnownTable(f.order, envelope, typeName)
}
