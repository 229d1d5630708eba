package rosbag

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

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
	srcs := pipeline.Parts(src)
	if len(srcs) != len(rec.parts) {
		return nil, fmt.Errorf("opening %s: %d objects, and the description is of %d", src.Object().URI, len(srcs), len(rec.parts))
	}
	var uris []string
	for _, s := range srcs {
		uris = append(uris, s.Object().URI)
	}
	latched := message.NewLatched(rec.tables, channels, sel)
	if err := rec.findLatched(ctx, srcs, latched); err != nil {
		return nil, err
	}
	r := newReader(srcs, rec, sel, latched)
	return message.NewEngine(ctx, message.Config{
		Format:    Name,
		Object:    src.Object().URI,
		Objects:   uris,
		Walker:    r,
		Tables:    rec.tables,
		Channels:  channels,
		Selection: sel,
		Options:   opt,
	})
}

// reader is the message.Walker of bags. Fetch and Close are called by one
// goroutine, Unpack by many; the recording is only read.
type reader struct {
	rec     *recording
	srcs    []pipeline.Source
	picks   []pick
	at      int
	reads   []*message.Reads // by part
	lookups []lookup         // by part
	latched *message.Latched
}

// blockState is what a block keeps of its own from one chunk to the next.
type blockState struct {
	r        *reader
	block    *message.Block
	chunk    *chunk // nil: nothing to unpack
	at       int    // of chunk in the recording
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
		return io.EOF
	}
	p := &r.picks[r.at]
	r.at++
	b.Object, b.Ordinal, b.MinLater = p.part, p.ordinal, p.minLater
	r.skip(b, p.skipped)
	if p.chunk < 0 {
		b.Offset = -1
		b.LostBytes += r.rec.parts[p.part].lost
		return nil
	}
	c := &r.rec.chunks[p.chunk]
	b.Offset = c.off
	s.at = int(p.chunk)
	if p.length > maxChunk {
		lose(b, c, "bad_chunk", p.length, fmt.Sprintf("%v: chunk of %d bytes", pipeline.ErrLimit, p.length))
		return nil
	}
	b.Stored = resize(b.Stored, p.length)
	if err := r.reads[p.part].Read(ctx, p.read, b.Stored); err != nil {
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
	if err := message.ReadFull(ctx, r.srcs[p.part], b.Stored[n:], p.off+int64(n)); err != nil {
		return false, fmt.Errorf("reading chunk: %w", err)
	}
	return true, nil
}

// skip tells the engine of chunks passed over.
func (r *reader) skip(b *message.Block, chunks [2]int32) {
	for i := chunks[0]; i < chunks[1]; i++ {
		c := &r.rec.chunks[i]
		for _, n := range r.rec.counts[c.countFrom:c.countTo] {
			k, ok := r.rec.conn(c.part, n.conn)
			if !ok {
				k = -1
			}
			b.Skipped = append(b.Skipped, message.ChannelCount{Channel: int32(k), Count: int64(n.count)})
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
			last, channel = rec.Channel, r.lookups[c.part].channel(uint32(rec.Channel))
		}
		rec.Channel = channel
	}
	b.Keep = r.latched.Keep(s.at, b.Keep)
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
	i := s.r.lookups[s.chunk.part].channel(id)
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
func (r *reader) Close() error {
	var errs []error
	for _, reads := range r.reads {
		errs = append(errs, reads.Close())
	}
	return errors.Join(errs...)
}

// lookup finds the channel of a connection, which is its place in the list.
type lookup struct {
	dense []int32 // by id, -1 for none
	rest  map[uint32]int32
}

// maxDense is how many ids are found without a map.
const maxDense = 1 << 12

func newLookup(conns []connection, part int) lookup {
	l := lookup{rest: make(map[uint32]int32)}
	for i := range conns {
		if conns[i].part != part {
			continue
		}
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
