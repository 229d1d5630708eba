package rosbag

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// maxGap is how many bytes between two chunks are read and thrown away rather
// than asked for anew.
const maxGap = 256 << 10

// maxGuess is the largest chunk that is read by what the index tells of its
// extent; of larger ones the header is read first.
const maxGuess = 64 << 20

// Open implements pipeline.Format. Chunks that hold nothing selected, as the
// index tells, are not read. In StorageOrder rows come as they lie in the
// file; LogOrder merges chunks that overlap in time.
//
// Ordinals of records count all messages. Where chunks are skipped or damaged,
// the index tells how many messages they have.
func (f Format) Open(ctx context.Context, src pipeline.Source, d *pipeline.Description, sel pipeline.Selection, opt pipeline.DecodeOptions) (pipeline.Decoder, error) {
	rec, ok := d.Index.(*recording)
	if !ok {
		return nil, fmt.Errorf("opening %s: the description was not made by format %s", src.Object().URI, Name)
	}
	channels := make([]int32, len(rec.conns))
	for i := range rec.conns {
		channels[i] = int32(rec.conns[i].table)
	}
	return message.NewEngine(ctx, message.Config{
		Format:    Name,
		Object:    src.Object().URI,
		Walker:    newReader(src, rec, sel),
		Tables:    rec.tables,
		Channels:  channels,
		Selection: sel,
		Options:   opt,
	})
}

// pick is a chunk to be read.
type pick struct {
	chunk   int32
	skipped [2]int32 // chunks passed over before it, a range
	ordinal int64    // of its first message
	// minLater is the first time in the picks after this one.
	minLater int64
	off      int64 // of the bytes to read
	length   int64
	runEnd   int64 // end of the bytes that are worth one request
}

// reader is the message.Walker of bags. Fetch and Close are called by one
// goroutine, Unpack by many; the recording is only read.
type reader struct {
	rec    *recording
	picks  []pick
	at     int
	tail   [2]int32 // chunks passed over after the last pick
	stream stream
	lookup lookup
}

func newReader(src pipeline.Source, rec *recording, sel pipeline.Selection) *reader {
	r := &reader{rec: rec, stream: stream{src: src}, lookup: newLookup(rec.conns)}
	skips := newSkipper(rec, sel)
	var ordinal int64
	from := int32(0)
	for i := range rec.chunks {
		c := &rec.chunks[i]
		if !skips.chunk(c) {
			p := pick{chunk: int32(i), skipped: [2]int32{from, int32(i)}, ordinal: ordinal, off: c.dataOff, length: c.dataLen}
			if c.dataLen < 0 {
				p.off, p.length = c.off, rec.extent(c)
				if p.length > maxGuess {
					p.length = chunkHeaderStep
				}
			}
			r.picks = append(r.picks, p)
			from = int32(i) + 1
		}
		ordinal += c.messages
	}
	r.tail = [2]int32{from, int32(len(rec.chunks))}
	if sel.Order == pipeline.LogOrder {
		slices.SortStableFunc(r.picks, func(a, b pick) int {
			return cmp.Compare(rec.chunks[a.chunk].first(), rec.chunks[b.chunk].first())
		})
	}
	later := int64(math.MaxInt64)
	for i := len(r.picks) - 1; i >= 0; i-- {
		p := &r.picks[i]
		p.minLater = later
		later = min(later, rec.chunks[p.chunk].first())
		p.runEnd = p.off + p.length
		if i+1 < len(r.picks) {
			if n := &r.picks[i+1]; n.off >= p.runEnd && n.off-p.runEnd <= maxGap {
				p.runEnd = n.runEnd
			}
		}
	}
	return r
}

// first is a time before which the chunk has no message.
func (c *chunk) first() int64 {
	if !c.counted || c.messages == 0 {
		return 0
	}
	return c.start
}

// skipper tells the chunks that need not be read.
type skipper struct {
	rec      *recording
	wanted   []bool // by connection; nil: all
	from, to int64
}

func newSkipper(rec *recording, sel pipeline.Selection) *skipper {
	s := &skipper{rec: rec, from: sel.From, to: sel.To}
	if sel.Tables == nil {
		return s
	}
	names := make(map[string]bool, len(sel.Tables))
	for _, t := range sel.Tables {
		names[t.Table.Name] = true
	}
	s.wanted = make([]bool, len(rec.conns))
	for i := range rec.conns {
		s.wanted[i] = names[rec.tables[rec.conns[i].table].Name]
	}
	return s
}

// chunk reports whether nothing of c is selected. What is not known to be
// unselected is read, chunks of unknown connections included.
func (s *skipper) chunk(c *chunk) bool {
	if s.wanted == nil && s.from <= 0 && s.to == 0 || !c.counted || c.messages == 0 || c.salvage {
		return false
	}
	outside := c.end < s.from || s.to != 0 && c.start >= s.to
	wanted := s.wanted == nil
	for _, n := range s.rec.counts[c.countFrom:c.countTo] {
		i, ok := s.rec.byID[n.conn]
		if !ok {
			return false
		}
		wanted = wanted || n.count > 0 && s.wanted[i]
	}
	return outside || !wanted
}

// blockState is what a block keeps of its own from one chunk to the next.
type blockState struct {
	r        *reader
	block    *message.Block
	chunk    *chunk // nil: nothing to unpack
	payload  int    // where in Stored the data begin
	unpacker unpacker
	walker   chunkWalker
}

// Fetch implements message.Walker.
func (r *reader) Fetch(ctx context.Context, b *message.Block) error {
	s, ok := b.Scratch.(*blockState)
	if !ok {
		s = &blockState{r: r}
		s.walker.connection = s.connection
		b.Scratch = s
	}
	s.block, s.chunk = b, nil
	if r.at == len(r.picks) {
		r.skip(b, r.tail)
		r.tail = [2]int32{}
		if len(b.Skipped) > 0 {
			b.MinLater = math.MaxInt64
			return nil
		}
		return io.EOF
	}
	p := &r.picks[r.at]
	r.at++
	c := &r.rec.chunks[p.chunk]
	b.Offset, b.Ordinal, b.MinLater = c.off, p.ordinal, p.minLater
	r.skip(b, p.skipped)
	if p.length > maxChunk {
		lose(b, c, "bad_chunk", p.length, fmt.Sprintf("%v: chunk of %d bytes", pipeline.ErrLimit, p.length))
		return nil
	}
	b.Stored = resize(b.Stored, p.length)
	if err := r.stream.read(ctx, b.Stored, p.off, p.runEnd); err != nil {
		return fmt.Errorf("reading chunk: %w", err)
	}
	s.payload = 0
	b.Codec, b.RawSize = c.codec, c.size
	if c.dataLen < 0 {
		ok, err := r.header(ctx, b, s, p, c)
		if err != nil || !ok {
			return err
		}
	}
	s.chunk = c
	return nil
}

// header reads the record header of a chunk that was fetched by its extent,
// and what is missing of its data. ok is false where there is no such chunk.
func (r *reader) header(ctx context.Context, b *message.Block, s *blockState, p *pick, c *chunk) (ok bool, err error) {
	var h header
	n := uint64(len(b.Stored))
	hl := uint64(maxHeader)
	if n >= 8 {
		hl = uint64(binary.LittleEndian.Uint32(b.Stored))
	}
	if n < 8+hl {
		lose(b, c, "bad_chunk", c.next-c.off, errLongHeader.Error())
		return false, nil
	}
	if _, err := h.parse(b.Stored[4 : 4+hl]); err != nil {
		lose(b, c, "bad_chunk", c.next-c.off, err.Error())
		return false, nil
	}
	size, err := u32(h.size, "size")
	if h.op[0] != opChunk || h.compression == nil || err != nil {
		lose(b, c, "bad_chunk", c.next-c.off, "the index tells of a chunk where there is none")
		return false, nil
	}
	b.Codec, b.RawSize = codecName(h.compression), int64(size)
	s.payload = int(8 + hl)
	end := int64(8+hl) + int64(binary.LittleEndian.Uint32(b.Stored[4+hl:]))
	switch {
	case c.off+end > c.next:
		lose(b, c, "bad_chunk", c.next-c.off, "the chunk reaches into what follows it")
		return false, nil
	case end > maxChunk:
		lose(b, c, "bad_chunk", end, fmt.Sprintf("%v: chunk of %d bytes", pipeline.ErrLimit, end))
		return false, nil
	case end <= int64(n):
		b.Stored = b.Stored[:end]
		return true, nil
	}
	rest := end - int64(n)
	b.Stored = slices.Grow(b.Stored, int(rest))[:end]
	if err := r.stream.read(ctx, b.Stored[n:], p.off+int64(n), 0); err != nil {
		return false, fmt.Errorf("reading chunk: %w", err)
	}
	return true, nil
}

// skip tells the engine of chunks passed over.
func (r *reader) skip(b *message.Block, chunks [2]int32) {
	for i := chunks[0]; i < chunks[1]; i++ {
		c := &r.rec.chunks[i]
		for _, n := range r.rec.counts[c.countFrom:c.countTo] {
			b.Skipped = append(b.Skipped, message.ChannelCount{Channel: int32(r.rec.byID[n.conn]), Count: int64(n.count)})
		}
	}
}

// lose notes that bytes of a chunk cannot be read.
func lose(b *message.Block, c *chunk, kind string, bytes int64, detail string) {
	b.LostBytes += bytes
	if c.reported {
		return
	}
	b.Problems = append(b.Problems, message.BlockProblem{Kind: kind, Offset: c.off, Loses: true, Detail: detail})
}

// resize returns b with length n; what it held is lost. Chunks differ a little
// in size: some room is left for the next one.
func resize(b []byte, n int64) []byte {
	if int64(cap(b)) < n {
		return make([]byte, n, n+n/8)
	}
	return b[:n]
}

// Unpack implements message.Walker.
func (r *reader) Unpack(_ context.Context, b *message.Block) error {
	s := b.Scratch.(*blockState)
	c := s.chunk
	if c == nil {
		return nil
	}
	stored := b.Stored[s.payload:]
	s.unpacker.raw = b.Buffer
	data, err := s.unpacker.unpack(b.Codec, stored, b.RawSize)
	b.Buffer = s.unpacker.raw
	if err != nil && !c.salvageable(err) {
		kind := "bad_chunk"
		switch {
		case isChecksum(err):
			kind = "crc_mismatch"
		case errors.Is(err, pipeline.ErrUnsupported):
			kind = "unsupported_compression"
		}
		lose(b, c, kind, int64(len(stored)), err.Error())
		return nil
	}
	b.Data = data
	if b.Plain = b.Codec == codecNone; b.Plain {
		b.DataOffset = c.off + int64(s.payload)
		if c.dataLen >= 0 {
			b.DataOffset = c.dataOff
		}
	}
	s.walker.odd = 0
	var n int
	b.Records = slices.Grow(b.Records, int(min(c.messages, int64(len(data)/messageLen))))
	b.Records, n, err = s.walker.walk(data, b.Records)
	last, channel := int32(-1), int32(-1)
	for i := range b.Records {
		rec := &b.Records[i]
		if rec.Channel != last || i == 0 {
			last, channel = rec.Channel, r.lookup.channel(uint32(rec.Channel))
		}
		rec.Channel = channel
	}
	if s.walker.odd > 0 {
		b.Problems = append(b.Problems, message.BlockProblem{Kind: "bad_time", Offset: c.off,
			Detail: fmt.Sprintf("%d times have a second of nanoseconds or more, which are added to the seconds", s.walker.odd)})
	}
	switch found := int64(len(b.Records)); {
	case err != nil:
		lose(b, c, "bad_chunk", int64(len(data)-n), fmt.Sprintf("byte %d of the unpacked chunk: %v", n, err))
	case c.counted && found != c.messages:
		b.Problems = append(b.Problems, message.BlockProblem{Kind: "index_mismatch", Offset: c.off, Loses: found < c.messages,
			Detail: fmt.Sprintf("the index tells %d messages of the chunk, %d are there", c.messages, found)})
	}
	return nil
}

// connection checks a connection record in a chunk against the one in use.
func (s *blockState) connection(topic []byte, id uint32, data []byte) {
	i := s.r.lookup.channel(id)
	if i < 0 {
		return
	}
	c := &s.r.rec.conns[i]
	if !c.matches(topic, data) {
		p := duplicate(c, s.chunk.off)
		s.block.Problems = append(s.block.Problems, message.BlockProblem{Kind: p.Kind, Offset: p.Offset, Detail: p.Detail})
	}
}

// Close implements message.Walker.
func (r *reader) Close() error { return r.stream.close() }

// lookup finds the channel of a connection, which is its place in the list.
type lookup struct {
	dense []int32 // by id, -1 for none
	rest  map[uint32]int32
}

// maxDense is how many ids are found without a map.
const maxDense = 1 << 12

func newLookup(conns []connection) lookup {
	l := lookup{rest: make(map[uint32]int32)}
	for i := range conns {
		id := conns[i].id
		if id >= maxDense {
			l.rest[id] = int32(i)
			continue
		}
		for uint32(len(l.dense)) <= id {
			l.dense = append(l.dense, -1)
		}
		l.dense[id] = int32(i)
	}
	return l
}

func (l *lookup) channel(id uint32) int32 {
	if id < uint32(len(l.dense)) {
		return l.dense[id]
	}
	if i, ok := l.rest[id]; ok {
		return i
	}
	return -1
}

// stream reads ascending ranges of an object with as few requests as it can.
type stream struct {
	src      pipeline.Source
	rc       io.ReadCloser
	pos, end int64 // of rc
}

// read fills p from off. A new request reaches to runEnd.
func (s *stream) read(ctx context.Context, p []byte, off, runEnd int64) error {
	if len(p) == 0 {
		return nil
	}
	end := off + int64(len(p))
	if s.rc != nil && (off < s.pos || off-s.pos > maxGap || end > s.end) {
		if err := s.close(); err != nil {
			return err
		}
	}
	if s.rc == nil {
		runEnd = max(runEnd, end)
		rc, err := s.src.Reader(ctx, off, runEnd-off)
		if err != nil {
			return err
		}
		s.rc, s.pos, s.end = rc, off, runEnd
	}
	if off > s.pos {
		n, err := io.CopyN(io.Discard, s.rc, off-s.pos)
		s.pos += n
		if err != nil {
			return short(err)
		}
	}
	n, err := io.ReadFull(s.rc, p)
	s.pos += int64(n)
	return short(err)
}

// short gives the end of an object that was listed as longer its kind.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: object ends before its listed size", pipeline.ErrTruncated)
	}
	return err
}

func (s *stream) close() error {
	if s.rc == nil {
		return nil
	}
	err := s.rc.Close()
	s.rc = nil
	return err
}
