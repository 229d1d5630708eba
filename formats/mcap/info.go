package mcap

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
)

// Info is what the summary of a file tells, or a scan where there is none that
// can be used. It is not changed once made.
type Info struct {
	Header Header
	// Indexed tells that all is from the summary.
	Indexed bool
	// Truncated tells that the file ends before its end.
	Truncated bool
	// Statistics are those of the file, or nil.
	Statistics *Statistics
	Schemas    map[uint16]Schema
	Channels   map[uint16]Channel
	// Attachments and Metadata in the order of the file.
	Attachments []AttachmentIndex
	Metadata    []MetadataIndex
	Problems    []pipeline.Problem

	blocks  []block
	counted bool                   // all blocks are
	sums    map[uint16]*channelSum // from a scan
	lost    int64                  // bytes lost, as far as a scan saw
	// tail is the end of the file from offset tailAt, until it is described.
	tail   []byte
	tailAt int64
}

// channelSum sums up the messages of a channel.
type channelSum struct {
	count, bytes int64
	start, end   uint64
}

// block is a chunk, or a run of records outside of chunks that has messages.
type block struct {
	offset int64
	length int64 // with the frame
	chunk  bool
	cut    bool // the file ends inside it
	known  bool // its damages are in Info.Problems
	codec  string
	stored int64 // bytes of records as stored
	raw    int64 // unpacked, as claimed
	// counts are the messages by channel, where counted. Then first is the
	// ordinal of the first message, and start and end their log times.
	counted    bool
	counts     []channelCount
	first      int64
	start, end uint64
}

type channelCount struct {
	channel uint16
	count   uint32
}

func (b *block) messages() int64 {
	var n int64
	for _, c := range b.counts {
		n += int64(c.count)
	}
	return n
}

// Sizes of the reads that find the summary: together they stay below 64 KiB.
const (
	wholeSize = 64 << 10 // files up to this size are read at once
	headSize  = 4 << 10
	tailSize  = 48 << 10
)

// ReadInfo finds out what is in a file: three reads for one with a summary,
// otherwise all of it. An error means that nothing can be read.
func ReadInfo(ctx context.Context, src pipeline.Source, lim Limits) (*Info, error) {
	size := src.Object().Size
	n := min(size, headSize)
	if size <= wholeSize {
		n = size
	}
	head := make([]byte, n)
	if err := readFull(ctx, src, head, 0); err != nil {
		return nil, fmt.Errorf("reading the head: %w", err)
	}
	if err := checkMagic(head[:min(len(head), len(Magic))]); err != nil {
		return nil, err
	}
	in, why, err := readSummary(ctx, src, head, lim)
	if err != nil {
		return nil, fmt.Errorf("reading the summary: %w", err)
	}
	if why == nil {
		return in, nil
	}
	pipeline.NoteScan(ctx, src.Object())
	in, err = scan(ctx, src, lim)
	if err != nil {
		return nil, fmt.Errorf("scanning: %w", err)
	}
	if why.kind != "truncated" || !in.Truncated {
		in.Problems = slices.Insert(in.Problems, 0, pipeline.Problem{Kind: why.kind, Offset: -1, Detail: why.detail})
	}
	return in, nil
}

// readFull fills p from off.
func readFull(ctx context.Context, src pipeline.Source, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := src.ReadAt(ctx, p, off)
		p, off = p[n:], off+int64(n)
		if len(p) == 0 {
			break
		}
		if err == nil && n == 0 || errors.Is(err, io.EOF) {
			return fmt.Errorf("object ends at %d: %w", off, pipeline.ErrTruncated)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// definitions collects schemas and channels, of which the first counts.
type definitions struct {
	schemas  map[uint16]Schema
	channels map[uint16]Channel
	problem  func(kind string, off int64, loses bool, format string, args ...any)
	told     map[string]bool // conflicts are told once
}

func newDefinitions(problem func(kind string, off int64, loses bool, format string, args ...any)) *definitions {
	return &definitions{schemas: map[uint16]Schema{}, channels: map[uint16]Channel{}, problem: problem, told: map[string]bool{}}
}

func (d *definitions) once(kind string, id uint16, off int64, format string, args ...any) {
	if key := fmt.Sprint(kind, id); !d.told[key] {
		d.told[key] = true
		d.problem(kind, off, false, format, args...)
	}
}

// add takes up a Schema or Channel record.
func (d *definitions) add(op Op, content []byte, off int64) {
	switch op {
	case OpSchema:
		s, err := ParseSchema(content)
		if err != nil {
			d.problem("bad_record", off, false, "%v", err)
			return
		}
		old, ok := d.schemas[s.ID]
		switch {
		case s.ID == 0:
			d.once("schema_zero", 0, off, "schema %q has the reserved id 0", s.Name)
		case !ok:
			s.Data = bytes.Clone(s.Data)
			d.schemas[s.ID] = s
		case old.Name != s.Name || old.Encoding != s.Encoding || !bytes.Equal(old.Data, s.Data):
			d.once("schema_conflict", s.ID, off, "schema %d is %q and later %q, or another text", s.ID, old.Name, s.Name)
		}
	case OpChannel:
		c, err := ParseChannel(content)
		if err != nil {
			d.problem("bad_record", off, false, "%v", err)
			return
		}
		old, ok := d.channels[c.ID]
		switch {
		case !ok:
			d.channels[c.ID] = c
		case !sameChannel(old, c):
			d.once("channel_conflict", c.ID, off, "channel %d is %q and later %q, or has another schema, encoding or metadata", c.ID, old.Topic, c.Topic)
		}
	}
}

func sameChannel(a, b Channel) bool {
	return a.SchemaID == b.SchemaID && a.Topic == b.Topic && a.MessageEncoding == b.MessageEncoding && maps.Equal(a.Metadata, b.Metadata)
}

// reason is why a summary cannot be used.
type reason struct{ kind, detail string }

func because(kind, format string, args ...any) *reason {
	return &reason{kind, fmt.Sprintf(format, args...)}
}

// number gives ordinals to counted blocks.
func (in *Info) number() {
	var n int64
	for i := range in.blocks {
		in.blocks[i].first = n
		n += in.blocks[i].messages()
	}
}

// Compression sums up the chunks by codec.
func (in *Info) Compression() []pipeline.Compression {
	by := map[string]*pipeline.Compression{}
	for _, b := range in.blocks {
		if !b.chunk {
			continue
		}
		name := b.codec
		if name == "" {
			name = "none"
		}
		c := by[name]
		if c == nil {
			c = &pipeline.Compression{Codec: name}
			by[name] = c
		}
		c.Chunks++
		c.Compressed += b.stored
		c.Raw += b.raw
	}
	var out []pipeline.Compression
	for _, c := range by {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b pipeline.Compression) int { return cmp.Compare(a.Codec, b.Codec) })
	return out
}

// ReadMetadata reads a metadata record that an index tells of.
func ReadMetadata(ctx context.Context, src pipeline.Source, x MetadataIndex, lim Limits) (Metadata, error) {
	size := src.Object().Size
	if x.Length < frameLen || x.Length > uint64(min(size, lim.record())) || x.Offset > uint64(size)-x.Length {
		return Metadata{}, fmt.Errorf("metadata %q lies outside the file: %w", x.Name, pipeline.ErrCorrupt)
	}
	b := make([]byte, x.Length)
	if err := readFull(ctx, src, b, int64(x.Offset)); err != nil {
		return Metadata{}, fmt.Errorf("reading metadata %q: %w", x.Name, err)
	}
	return parseMetadataRecord(x, b)
}

// parseMetadataRecord parses the record that b is.
func parseMetadataRecord(x MetadataIndex, b []byte) (Metadata, error) {
	op, content, next, err := record(b, 0)
	if err == nil && (op != OpMetadata || next != len(b)) {
		err = fmt.Errorf("offset %d holds no metadata of that size: %w", x.Offset, pipeline.ErrCorrupt)
	}
	if err != nil {
		return Metadata{}, fmt.Errorf("reading metadata %q: %w", x.Name, err)
	}
	return ParseMetadata(content)
}

// clampTime turns a time of the file into one of a batch.
func clampTime(t uint64) int64 { return int64(min(t, math.MaxInt64)) }
