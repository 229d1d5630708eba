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

// pick is a chunk to be read.
type pick struct {
	chunk   int32 // -1: nothing is read, what was passed over is told
	part    int
	skipped [2]int32 // chunks passed over before it, a range
	ordinal int64    // of its first message
	// minLater is the first time in the picks after this one.
	minLater int64
	off      int64 // of the bytes to read
	length   int64
	read     int // which range of the reads of its part that is
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

func newReader(srcs []pipeline.Source, rec *recording, sel pipeline.Selection, latched *message.Latched) *reader {
	skips := newSkipper(rec, sel)
	r := newPicker(srcs, rec, sel.Order, func(i int) bool { return latched.Has(i) || !skips.chunk(&rec.chunks[i]) })
	r.latched = latched
	return r
}

// newPicker makes a reader of the chunks that are wanted.
func newPicker(srcs []pipeline.Source, rec *recording, order pipeline.Order, wanted func(i int) bool) *reader {
	r := &reader{rec: rec, srcs: srcs}
	from := 0
	for p := range rec.parts {
		r.lookups = append(r.lookups, newLookup(rec.conns, p))
		var ordinal int64
		i := from
		for ; i < len(rec.chunks) && rec.chunks[i].part == p; i++ {
			c := &rec.chunks[i]
			if wanted(i) {
				k := pick{chunk: int32(i), part: p, skipped: [2]int32{int32(from), int32(i)}, ordinal: ordinal, off: c.dataOff, length: c.dataLen}
				if c.dataLen < 0 {
					k.off, k.length = c.off, rec.extent(c)
					if k.length > maxGuess {
						k.length = chunkHeaderStep
					}
				}
				r.picks = append(r.picks, k)
				from = i + 1
			}
			ordinal += c.messages
		}
		if from < i || rec.parts[p].lost > 0 {
			r.picks = append(r.picks, pick{chunk: -1, part: p, skipped: [2]int32{int32(from), int32(i)}})
			from = i
		}
	}
	if order == pipeline.LogOrder {
		slices.SortStableFunc(r.picks, func(a, b pick) int { return cmp.Compare(r.first(&a), r.first(&b)) })
	}
	later := int64(math.MaxInt64)
	for i := len(r.picks) - 1; i >= 0; i-- {
		p := &r.picks[i]
		p.minLater = later
		later = min(later, r.first(p))
	}
	r.plan(srcs)
	return r
}

// first is a time before which what is picked has no message.
func (r *reader) first(p *pick) int64 {
	if p.chunk < 0 {
		return math.MaxInt64
	}
	return r.rec.chunks[p.chunk].first()
}

// findLatched looks for the last messages before the range of latched tables.
func (r *recording) findLatched(ctx context.Context, srcs []pipeline.Source, latched *message.Latched) error {
	candidates := latched.Candidates(len(r.chunks), func(i int) message.BlockTimes {
		c := &r.chunks[i]
		b := message.BlockTimes{Start: c.start, End: c.end, Known: c.counted && !c.salvage}
		for _, n := range r.counts[c.countFrom:c.countTo] {
			if k, ok := r.conn(c.part, n.conn); ok && n.count > 0 {
				b.Channels = append(b.Channels, int32(k))
			}
		}
		return b
	})
	if len(candidates) == 0 {
		return nil
	}
	rd := newPicker(srcs, r, pipeline.StorageOrder, func(i int) bool {
		_, ok := slices.BinarySearch(candidates, i)
		return ok
	})
	defer rd.Close()
	b := &message.Block{}
	for {
		*b = message.Block{Stored: b.Stored[:0], Buffer: b.Buffer[:0], Records: b.Records[:0], Scratch: b.Scratch}
		at := rd.at
		err := rd.Fetch(ctx, b)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = rd.Unpack(ctx, b)
		}
		if err != nil {
			return &pipeline.DecodeError{Object: srcs[b.Object].Object().URI, Format: Name, Offset: b.Offset, Record: -1, Err: err}
		}
		latched.Show(int(rd.picks[at].chunk), b.Records)
	}
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
		i, ok := s.rec.conn(c.part, n.conn)
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

// plan groups the reads of each part.
func (r *reader) plan(srcs []pipeline.Source) {
	ranges := make([][]message.Range, len(srcs))
	before := int32(-2)
	for i := range r.picks {
		p := &r.picks[i]
		p.read = len(ranges[p.part])
		if p.chunk >= 0 {
			ranges[p.part] = append(ranges[p.part], message.Range{Off: p.off, Len: p.length, Joined: p.chunk == before+1})
		}
		before = p.chunk
	}
	for i, src := range srcs {
		r.reads = append(r.reads, message.NewReads(src, ranges[i]))
	}
}
