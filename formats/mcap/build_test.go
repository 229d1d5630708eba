package mcap_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// memory is a recording in memory that counts what is read of it.
type memory struct {
	data  []byte
	reads atomic.Int64
	bytes atomic.Int64
}

func (f *memory) Object() pipeline.Object {
	return pipeline.Object{URI: "mem:test.mcap", Key: "test.mcap", Size: int64(len(f.data))}
}

func (f *memory) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	f.reads.Add(1)
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	f.bytes.Add(int64(n))
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memory) Reader(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	f.reads.Add(1)
	if n < 0 {
		n = int64(len(f.data)) - off
	}
	f.bytes.Add(n)
	return io.NopCloser(bytes.NewReader(f.data[off : off+n])), nil
}

// builder writes recordings byte by byte, so that tests can spoil each of them.
type builder struct {
	buf    []byte
	pad    int // bytes appended to every record that may be longer
	noCRC  bool
	chunks []mcap.ChunkIndex
	stats  mcap.Statistics

	defs        []byte // Schema and Channel records, for the summary
	attachments []mcap.AttachmentIndex
	metadata    []mcap.MetadataIndex

	noMessageIndex, noStatistics, noChannelCounts, noChunkIndex, noDefs, noOffsets bool
}

var le = binary.LittleEndian

func str(b []byte, s string) []byte { return append(le.AppendUint32(b, uint32(len(s))), s...) }

func textMap(b []byte, m map[string]string) []byte {
	var body []byte
	for _, k := range slices.Sorted(maps.Keys(m)) {
		body = str(str(body, k), m[k])
	}
	return append(le.AppendUint32(b, uint32(len(body))), body...)
}

// frame appends a record.
func frame(b []byte, op mcap.Op, content []byte, pad int) []byte {
	b = le.AppendUint64(append(b, byte(op)), uint64(len(content)+pad))
	return append(append(b, content...), make([]byte, pad)...)
}

func schemaRecord(id uint16, name, encoding, data string) []byte {
	return str(str(str(le.AppendUint16(nil, id), name), encoding), data)
}

func channelRecord(id, schema uint16, topic, encoding string) []byte {
	return textMap(str(str(le.AppendUint16(le.AppendUint16(nil, id), schema), topic), encoding), map[string]string{"callerid": "/node"})
}

func messageRecord(ch uint16, t uint64, data []byte) []byte {
	b := le.AppendUint64(le.AppendUint64(le.AppendUint32(le.AppendUint16(nil, ch), uint32(t)), t), t)
	return append(b, data...)
}

func newBuilder(profile string) *builder {
	b := &builder{buf: []byte(mcap.Magic), stats: mcap.Statistics{ChannelMessageCounts: map[uint16]uint64{}}}
	b.add(mcap.OpHeader, str(str(nil, profile), "builder"))
	return b
}

func (b *builder) add(op mcap.Op, content []byte) { b.buf = frame(b.buf, op, content, b.pad) }

func (b *builder) define(op mcap.Op, content []byte) []byte {
	rec := frame(nil, op, content, b.pad)
	if !bytes.Contains(b.defs, rec) {
		b.defs = append(b.defs, rec...)
		if op == mcap.OpSchema && le.Uint16(content) != 0 {
			b.stats.SchemaCount++
		} else if op == mcap.OpChannel {
			b.stats.ChannelCount++
		}
	}
	return rec
}

// schema and channel write definitions outside of chunks.
func (b *builder) schema(id uint16, name, encoding, data string) {
	b.buf = append(b.buf, b.define(mcap.OpSchema, schemaRecord(id, name, encoding, data))...)
}

func (b *builder) channel(id, schema uint16, topic, encoding string) {
	b.buf = append(b.buf, b.define(mcap.OpChannel, channelRecord(id, schema, topic, encoding))...)
}

func (b *builder) message(ch uint16, t uint64, data []byte) {
	b.buf = frame(b.buf, mcap.OpMessage, messageRecord(ch, t, data), 0)
	b.tally(ch, t)
}

func (b *builder) tally(ch uint16, t uint64) {
	s := &b.stats
	if s.MessageCount == 0 {
		s.StartTime, s.EndTime = t, t
	}
	s.StartTime, s.EndTime = min(s.StartTime, t), max(s.EndTime, t)
	s.MessageCount++
	s.ChannelMessageCounts[ch]++
}

// chunkBuilder collects the records of a chunk.
type chunkBuilder struct {
	b          *builder
	body       []byte
	start, end uint64
	index      map[uint16][]byte
	// spoil changes a chunk before it is written.
	spoil func(c *mcap.Chunk)
}

func (b *builder) chunk() *chunkBuilder { return &chunkBuilder{b: b, index: map[uint16][]byte{}} }

func (c *chunkBuilder) schema(id uint16, name, encoding, data string) {
	c.body = append(c.body, c.b.define(mcap.OpSchema, schemaRecord(id, name, encoding, data))...)
}

func (c *chunkBuilder) channel(id, schema uint16, topic, encoding string) {
	c.body = append(c.body, c.b.define(mcap.OpChannel, channelRecord(id, schema, topic, encoding))...)
}

func (c *chunkBuilder) message(ch uint16, t uint64, data []byte) {
	if len(c.index) == 0 {
		c.start, c.end = t, t
	}
	c.start, c.end = min(c.start, t), max(c.end, t)
	c.index[ch] = le.AppendUint64(le.AppendUint64(c.index[ch], t), uint64(len(c.body)))
	c.body = frame(c.body, mcap.OpMessage, messageRecord(ch, t, data), 0)
	c.b.tally(ch, t)
}

// compress packs data with a codec of the format.
func compress(codec string, data []byte) []byte {
	var out bytes.Buffer
	switch codec {
	case "lz4":
		w := lz4.NewWriter(&out)
		w.Apply(lz4.BlockSizeOption(lz4.Block64Kb))
		w.Write(data)
		w.Close()
	case "zstd":
		w, _ := zstd.NewWriter(&out)
		w.Write(data)
		w.Close()
	default:
		return data
	}
	return out.Bytes()
}

// write ends the chunk.
func (c *chunkBuilder) write(codec string) {
	b := c.b
	k := mcap.Chunk{StartTime: c.start, EndTime: c.end, UncompressedSize: uint64(len(c.body)), UncompressedCRC: crc32.ChecksumIEEE(c.body), Compression: codec, Records: compress(codec, c.body)}
	k.Size = uint64(len(k.Records))
	if b.noCRC {
		k.UncompressedCRC = 0
	}
	if c.spoil != nil {
		c.spoil(&k)
	}
	content := le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, k.StartTime), k.EndTime), k.UncompressedSize)
	content = le.AppendUint64(str(le.AppendUint32(content, k.UncompressedCRC), k.Compression), k.Size)
	x := mcap.ChunkIndex{StartTime: k.StartTime, EndTime: k.EndTime, Offset: uint64(len(b.buf)), Compression: k.Compression, CompressedSize: k.Size, UncompressedSize: k.UncompressedSize}
	b.add(mcap.OpChunk, append(content, k.Records...))
	x.Length = uint64(len(b.buf)) - x.Offset
	if !b.noMessageIndex {
		for _, ch := range slices.Sorted(maps.Keys(c.index)) {
			x.MessageIndexOffsets = append(x.MessageIndexOffsets, mcap.ChannelOffset{ChannelID: ch, Offset: uint64(len(b.buf))})
			b.add(mcap.OpMessageIndex, append(le.AppendUint32(le.AppendUint16(nil, ch), uint32(len(c.index[ch]))), c.index[ch]...))
		}
	}
	x.MessageIndexLength = uint64(len(b.buf)) - x.Offset - x.Length
	b.chunks = append(b.chunks, x)
	b.stats.ChunkCount++
}

func attachmentContent(a mcap.Attachment, data []byte, noCRC bool) []byte {
	c := le.AppendUint64(le.AppendUint64(nil, a.LogTime), a.CreateTime)
	c = le.AppendUint64(str(str(c, a.Name), a.MediaType), uint64(len(data)))
	c = append(c, data...)
	sum := crc32.ChecksumIEEE(c)
	if noCRC {
		sum = 0
	}
	return le.AppendUint32(c, sum)
}

func (b *builder) attachment(name string, data []byte) {
	a := mcap.Attachment{LogTime: 1, CreateTime: 2, Name: name, MediaType: "text/plain", DataSize: uint64(len(data))}
	off := uint64(len(b.buf))
	b.add(mcap.OpAttachment, attachmentContent(a, data, b.noCRC))
	b.attachments = append(b.attachments, mcap.AttachmentIndex{Offset: off, Length: uint64(len(b.buf)) - off, Attachment: a})
	b.stats.AttachmentCount++
}

func (b *builder) meta(name string, m map[string]string) {
	off := uint64(len(b.buf))
	b.add(mcap.OpMetadata, textMap(str(nil, name), m))
	b.metadata = append(b.metadata, mcap.MetadataIndex{Offset: off, Length: uint64(len(b.buf)) - off, Name: name})
	b.stats.MetadataCount++
}

// dataEnd ends the data section.
func (b *builder) dataEnd() {
	sum := crc32.ChecksumIEEE(b.buf)
	if b.noCRC {
		sum = 0
	}
	b.buf = frame(b.buf, mcap.OpDataEnd, le.AppendUint32(nil, sum), 0)
}

// finish ends the file with a summary.
func (b *builder) finish() []byte {
	b.dataEnd()
	start := len(b.buf)
	type group struct{ op, from, to int }
	var groups []group
	begin := func(op mcap.Op) { groups = append(groups, group{op: int(op), from: len(b.buf)}) }
	if !b.noDefs {
		begin(mcap.OpSchema)
		b.buf = append(b.buf, b.defs...)
	}
	if !b.noStatistics {
		begin(mcap.OpStatistics)
		s := b.stats
		c := le.AppendUint16(le.AppendUint64(nil, s.MessageCount), s.SchemaCount)
		c = le.AppendUint32(le.AppendUint32(le.AppendUint32(le.AppendUint32(c, s.ChannelCount), s.AttachmentCount), s.MetadataCount), s.ChunkCount)
		c = le.AppendUint64(le.AppendUint64(c, s.StartTime), s.EndTime)
		var m []byte
		if !b.noChannelCounts {
			for _, ch := range slices.Sorted(maps.Keys(s.ChannelMessageCounts)) {
				m = le.AppendUint64(le.AppendUint16(m, ch), s.ChannelMessageCounts[ch])
			}
		}
		b.add(mcap.OpStatistics, append(le.AppendUint32(c, uint32(len(m))), m...))
	}
	if !b.noChunkIndex {
		begin(mcap.OpChunkIndex)
		for _, x := range b.chunks {
			c := le.AppendUint64(le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, x.StartTime), x.EndTime), x.Offset), x.Length)
			var m []byte
			for _, o := range x.MessageIndexOffsets {
				m = le.AppendUint64(le.AppendUint16(m, o.ChannelID), o.Offset)
			}
			c = append(le.AppendUint32(c, uint32(len(m))), m...)
			c = str(le.AppendUint64(c, x.MessageIndexLength), x.Compression)
			b.add(mcap.OpChunkIndex, le.AppendUint64(le.AppendUint64(c, x.CompressedSize), x.UncompressedSize))
		}
	}
	begin(mcap.OpAttachmentIndex)
	for _, x := range b.attachments {
		c := le.AppendUint64(le.AppendUint64(le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, x.Offset), x.Length), x.LogTime), x.CreateTime), x.DataSize)
		b.add(mcap.OpAttachmentIndex, str(str(c, x.Name), x.MediaType))
	}
	begin(mcap.OpMetadataIndex)
	for _, x := range b.metadata {
		b.add(mcap.OpMetadataIndex, str(le.AppendUint64(le.AppendUint64(nil, x.Offset), x.Length), x.Name))
	}
	for i := range groups {
		groups[i].to = len(b.buf)
		if i+1 < len(groups) {
			groups[i].to = groups[i+1].from
		}
	}
	offsets := 0
	if !b.noOffsets {
		offsets = len(b.buf)
		for _, g := range groups {
			b.add(mcap.OpSummaryOffset, le.AppendUint64(le.AppendUint64([]byte{byte(g.op)}, uint64(g.from)), uint64(g.to-g.from)))
		}
	}
	return b.footer(start, offsets)
}

// footer ends the file; summary is the offset of the summary, 0 for none.
func (b *builder) footer(summary, offsets int) []byte {
	from := summary
	if summary == 0 {
		from = len(b.buf)
	}
	b.buf = append(b.buf, byte(mcap.OpFooter))
	b.buf = le.AppendUint64(b.buf, 20)
	b.buf = le.AppendUint64(le.AppendUint64(b.buf, uint64(summary)), uint64(offsets))
	sum := crc32.ChecksumIEEE(b.buf[from:])
	if b.noCRC {
		sum = 0
	}
	b.buf = append(le.AppendUint32(b.buf, sum), mcap.Magic...)
	return b.buf
}

// fake is an encoding of messages that are eight bytes and a text. Messages
// that are shorter do not decode; the schema "bad" does not parse.
type fake string

func (f fake) Name() string { return string(f) }
func (f fake) Parse(s message.Schema) (message.Layout, error) {
	if string(s.Data) == "bad" || s.Name == "" {
		return nil, fmt.Errorf("line 1: cannot parse %q: %w", s.Data, pipeline.ErrSchema)
	}
	return pairs{}, nil
}

type pairs struct{}

func (pairs) Fields() []arrow.Field {
	return []arrow.Field{{Name: "stamp", Type: arrow.TimeType}, {Name: "text", Type: arrow.StringType}}
}
func (pairs) HeaderStamp() string { return "stamp" }
func (p pairs) Compile(columns []string) (message.Plan, error) {
	var plan pairPlan
	for _, f := range p.Fields() {
		if columns == nil || slices.Contains(columns, f.Name) {
			plan = append(plan, f.Name == "text")
		}
	}
	return plan, nil
}

type pairPlan []bool // for each column: the text

type shortMessage struct{}

func (shortMessage) Error() string  { return "message is shorter than its fields" }
func (shortMessage) Reason() string { return "message_too_short" }

func (p pairPlan) Append(cols []*column.Column, data []byte, spans []message.Span) (int, error) {
	for i, s := range spans {
		if s.End-s.Start < 8 {
			return i, shortMessage{}
		}
		msg := data[s.Start:s.End]
		for k, c := range cols {
			if p[k] {
				c.AppendBytes(msg[8:])
			} else {
				c.AppendFixed(msg[:8])
			}
		}
	}
	return len(spans), nil
}

func pair(t uint64, text string) []byte { return append(le.AppendUint64(nil, t), text...) }

// result is all that was read of a recording.
type result struct {
	d        *pipeline.Description
	rows     map[string][]string // by table, as text
	counts   map[string]pipeline.TableCounts
	problems []pipeline.Problem // of Describe and of decoding
	rejects  []string
	cuts     []string
	err      error
	read     int64 // bytes read while decoding
}

func (r *result) kinds() []string {
	var k []string
	for _, p := range r.problems {
		k = append(k, p.Kind)
	}
	return k
}

func (r *result) total() (n int) {
	for _, rows := range r.rows {
		n += len(rows)
	}
	return n
}

func (r *result) lost() (rows, bytes int64) {
	for _, c := range r.counts {
		rows += c.Lost
		bytes += c.LostBytes
	}
	return rows, bytes
}

// choice is a selection by name.
type choice struct {
	tables   []string
	columns  []string
	from, to int64
	order    pipeline.Order
	workers  int
	rows     int
	noReject bool
	latched  bool
	limits   mcap.Limits
}

func read(t testing.TB, data []byte, ch choice) *result {
	t.Helper()
	f := mcap.New(fake("ros1"), fake("cdr"))
	f.Limits = ch.limits
	return readWith(t, f, &memory{data: data}, ch)
}

// readWith describes and decodes a recording and checks the balance of counts
// and of memory.
func readWith(t testing.TB, f *mcap.Format, src *memory, ch choice) *result {
	t.Helper()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	out := &result{rows: map[string][]string{}, counts: map[string]pipeline.TableCounts{}}
	d, err := f.Describe(t.Context(), src)
	if err != nil {
		out.err = err
		return out
	}
	out.d, out.problems = d, d.Problems
	sel := pipeline.Selection{From: ch.from, To: ch.to, Order: ch.order}
	for _, info := range d.Tables {
		if slices.Contains(ch.tables, info.Table.Name) {
			sel.Tables = append(sel.Tables, pipeline.TableSelection{Table: info.Table, Columns: ch.columns, Latched: ch.latched && info.Latched})
		}
	}
	if ch.tables != nil && sel.Tables == nil {
		sel.Tables = []pipeline.TableSelection{}
	}
	opt := pipeline.DecodeOptions{Allocator: mem, Workers: ch.workers, BatchRows: ch.rows}
	if !ch.noReject {
		opt.Reject = func(b pipeline.BadRow) error {
			out.rejects = append(out.rejects, fmt.Sprintf("%s %d %s", b.Table, b.Record, b.Reason))
			return nil
		}
	}
	src.bytes.Store(0)
	dec, err := f.Open(t.Context(), src, d, sel, opt)
	if err != nil {
		out.err = err
		return out
	}
	defer dec.Close()
	for {
		el, err := dec.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			out.err = err
			break
		}
		if el.Batch == nil {
			continue
		}
		rec := el.Batch.Record
		name := el.Batch.Table.Name
		out.cuts = append(out.cuts, fmt.Sprint(name, rec.NumRows()))
		for i := range int(rec.NumRows()) {
			var sb strings.Builder
			fmt.Fprintf(&sb, "#%d", el.Batch.Origin.At(i))
			for c := range int(rec.NumCols()) {
				col := rec.Column(c)
				switch a := col.(type) {
				case *arrow.Timestamp:
					fmt.Fprintf(&sb, " %s=%d", rec.ColumnName(c), a.Value(i))
				case *arrow.Binary:
					fmt.Fprintf(&sb, " %s=%x", rec.ColumnName(c), a.Value(i))
				case *arrow.List:
					from, to := a.ValueOffsets(i)
					fmt.Fprintf(&sb, " %s=[%d]", rec.ColumnName(c), to-from)
				default:
					fmt.Fprintf(&sb, " %s=%s", rec.ColumnName(c), col.ValueStr(i))
				}
			}
			out.rows[name] = append(out.rows[name], sb.String())
		}
		el.Batch.Release()
	}
	out.read = src.bytes.Load()
	out.problems = append(slices.Clip(out.problems), dec.Problems()...)
	for _, c := range dec.Counts() {
		out.counts[c.Table] = c
		sum := c.Decoded + c.Unselected
		for _, n := range c.Rejected {
			sum += n
		}
		if out.err == nil && (sum != c.Found || c.Indexed >= 0 && c.Indexed != c.Found+c.Lost || int(c.Decoded) != len(out.rows[c.Table])) {
			t.Errorf("counts do not balance: %+v, %d rows", c, len(out.rows[c.Table]))
		}
	}
	return out
}
