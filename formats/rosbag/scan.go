package rosbag

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

const (
	// scanStep is how much a scan reads at once.
	scanStep = 256 << 10
	// maxRun is where a run of messages outside of chunks is cut.
	maxRun = 4 << 20
	// maxScanProblems are told apart; the rest is counted.
	maxScanProblems = 100
	// maxResyncs is how often a scan looks for the next chunk before it gives
	// the rest of the file up: a bound on the time a hostile file costs.
	maxResyncs = 4096
)

// scanner reads a bag from end to end. It trusts no count and no offset: what
// it cannot read it skips, up to the next chunk.
type scanner struct {
	in    *file
	head  bagHeader
	rec   *recording
	conns *connections

	cur       *chunk      // the chunk whose index data may follow
	curCounts []connCount // from its index data
	curStart  int64
	curEnd    int64
	oddIndex  bool // an index data record with a wrong length was met

	run     *chunk // messages outside of chunks
	dropped int    // problems not told
	resyncs int

	unpacker unpacker
	walker   chunkWalker
	stored   []byte
	records  []message.Record
}

// scan finds the chunks and connections of a bag without a usable index.
//
// A chunk is unpacked only where it has to be: index data that follow it and
// name none but known connections tell enough.
func scan(ctx context.Context, in *file, head bagHeader) (*recording, error) {
	s := &scanner{in: in, head: head, rec: &recording{parts: make([]part, 1)}, conns: newConnections()}
	off := head.end
	for off < in.size {
		next, err := s.step(ctx, off)
		if err == nil {
			off = next
			continue
		}
		bad, ok := inFile(err)
		if !ok || errors.Is(err, errTooMany) {
			return nil, err
		}
		if s.resyncs++; s.resyncs > maxResyncs {
			s.lose("corrupt", off, in.size-off, "too much damage: the last %d bytes are not read", in.size-off)
			break
		}
		if off, err = s.resync(ctx, off, bad); err != nil {
			return nil, err
		}
	}
	s.endRun()
	if err := s.finish(ctx); err != nil {
		return nil, err
	}
	s.rec.setConnections(s.conns)
	var sum sums
	for i := range s.rec.chunks {
		sum.add(&s.rec.chunks[i])
	}
	s.rec.compression = sum.list
	if s.dropped > 0 {
		s.rec.problem("more_problems", -1, false, "%d further problems", s.dropped)
	}
	return s.rec, nil
}

func (s *scanner) problem(kind string, off int64, loses bool, format string, args ...any) {
	if len(s.rec.problems) == maxScanProblems {
		s.dropped++
		return
	}
	s.rec.problem(kind, off, loses, format, args...)
}

// lose tells of bytes that hold messages nobody can find.
func (s *scanner) lose(kind string, off, bytes int64, format string, args ...any) {
	s.problem(kind, off, true, format, args...)
	s.rec.parts[0].lost += bytes
}

// step reads the record at off and returns where the next one begins.
func (s *scanner) step(ctx context.Context, off int64) (int64, error) {
	r, err := s.in.record(ctx, off)
	if err != nil {
		return 0, err
	}
	if r.op == opIndexData {
		return s.indexData(ctx, &r)
	}
	if r.op == opMessage {
		return s.message(ctx, &r)
	}
	// Connections may lie between messages outside of chunks.
	if r.op != opConnection {
		s.endRun()
	}
	switch r.op {
	case opChunk:
		return s.chunk(ctx, &r)
	case opConnection:
		id, err := u32(r.conn, "conn")
		if err != nil {
			return 0, s.in.corrupt(off, err)
		}
		topic := slices.Clone(r.topic)
		data, err := s.in.data(ctx, &r, maxConnection, "connection")
		if err != nil {
			return 0, err
		}
		if err := s.conns.add(id, topic, data, off); err != nil {
			if errors.Is(err, errTooMany) {
				return 0, s.in.fail(off, err)
			}
			s.problem("bad_connection", off, false, "%v", err)
		}
	case opBagHeader, opChunkInfo:
	default:
		s.lose("corrupt", off, min(r.end(), s.in.size)-off, "record with op %#02x and %d bytes of data is skipped", r.op, r.dataLen)
	}
	if r.end() > s.in.size {
		return 0, s.in.truncated(off, fmt.Sprintf("inside a record with op %#02x", r.op))
	}
	return r.end(), nil
}

// indexData notes what index data tells about the chunk before it. Some old
// writers got the length of its data wrong; the count is right.
func (s *scanner) indexData(ctx context.Context, r *record) (int64, error) {
	count, err := u32(r.count, "count")
	if err != nil {
		return 0, s.in.corrupt(r.off, err)
	}
	conn, err := u32(r.conn, "conn")
	if err != nil {
		return 0, s.in.corrupt(r.off, err)
	}
	want := indexEntryLen * int64(count)
	if r.dataLen != want && !s.oddIndex {
		s.oddIndex = true
		s.problem("bad_index", r.off, false, "index data of %d messages claims %d bytes instead of %d", count, r.dataLen, want)
	}
	end := r.dataOff + want
	if end > s.in.size {
		// No message is lost, and what the chunk holds is not told.
		s.problem("truncated", r.off, false, "the file ends inside index data")
		s.curCounts = s.curCounts[:0]
		return s.in.size, nil
	}
	if s.cur == nil {
		return end, nil
	}
	for off := r.dataOff; off < end; {
		b, err := s.in.bytes(ctx, off, int(min(end-off, scanStep/indexEntryLen*indexEntryLen)))
		if err != nil {
			return 0, err
		}
		off += int64(len(b))
		for ; len(b) >= indexEntryLen; b = b[indexEntryLen:] {
			t, _ := stampOf(binary.LittleEndian.Uint64(b))
			s.curStart, s.curEnd = min(s.curStart, t), max(s.curEnd, t)
		}
	}
	s.curCounts = append(s.curCounts, connCount{conn, count})
	return end, nil
}

// chunk notes a chunk and returns where what follows it begins.
func (s *scanner) chunk(ctx context.Context, r *record) (int64, error) {
	c := chunk{off: r.off}
	if err := c.setHeader(s.in, r); err != nil {
		return 0, err
	}
	if err := s.finish(ctx); err != nil {
		return 0, err
	}
	end := r.end()
	if c.dataLen == 0 {
		// The writer died before it filled in the sizes, or the chunk is
		// empty. What follows are its records, which the scan meets as
		// messages outside of chunks, or a compressed stream.
		open, err := s.startsStream(ctx, c.codec, c.dataOff)
		if err != nil {
			return 0, err
		}
		if !open {
			return end, nil
		}
		c.size = unknownSize
		end = math.MaxInt64
	}
	if end > s.in.size {
		// The file ends inside the chunk, unless the length is wrong.
		next, err := s.findChunk(ctx, c.dataOff)
		if err != nil {
			return 0, err
		}
		if next < 0 && s.head.indexPos > c.dataOff && s.head.indexPos < s.in.size {
			next = s.head.indexPos
		}
		if next < 0 {
			next = s.in.size
		}
		c.salvage, c.reported = true, true
		missing := max(0, end-next)
		if end == math.MaxInt64 {
			missing = 0 // nobody knows
		}
		s.lose("truncated", r.off, missing, "chunk was not written to its end: %d bytes of it are there", next-c.dataOff)
		c.dataLen, end = next-c.dataOff, next
	}
	s.begin(c)
	return end, nil
}

// startsStream reports whether a stream of the codec begins at off.
func (s *scanner) startsStream(ctx context.Context, codec string, off int64) (bool, error) {
	b, err := s.in.bytes(ctx, off, 4)
	if err != nil {
		return false, err
	}
	switch codec {
	case codecBZ2:
		return bytes.HasPrefix(b, []byte("BZh")), nil
	case codecLZ4:
		return bytes.Equal(b, []byte{0x04, 0x22, 0x4d, 0x18}), nil
	}
	return false, nil
}

// begin makes c the chunk whose index data may follow.
func (s *scanner) begin(c chunk) {
	s.rec.chunks = append(s.rec.chunks, c)
	s.cur = &s.rec.chunks[len(s.rec.chunks)-1]
	s.curCounts = s.curCounts[:0]
	s.curStart, s.curEnd = math.MaxInt64, math.MinInt64
}

// finish settles the counts of the current chunk, which unless its index data
// did means unpacking it.
func (s *scanner) finish(ctx context.Context) error {
	c := s.cur
	if c == nil {
		return nil
	}
	s.cur = nil
	known := len(s.curCounts) > 0 && !c.salvage
	for _, n := range s.curCounts {
		_, ok := s.conns.byID[n.conn]
		known = known && ok
	}
	if !known {
		counts, err := s.look(ctx, c)
		if err != nil {
			return err
		}
		if counts != nil {
			s.curCounts, known = append(s.curCounts[:0], counts...), true
		}
	}
	c.countFrom = len(s.rec.counts)
	s.rec.counts = append(s.rec.counts, s.curCounts...)
	c.countTo = len(s.rec.counts)
	for _, n := range s.curCounts {
		c.messages += int64(n.count)
	}
	c.start, c.end = s.curStart, s.curEnd
	c.counted = known || c.messages > 0
	return nil
}

// look unpacks a chunk for its connections and counts. What is wrong with it
// is left to be told when it is decoded, unless the file ends in it; counts
// are nil where it cannot be unpacked.
func (s *scanner) look(ctx context.Context, c *chunk) ([]connCount, error) {
	if c.dataLen > maxChunk {
		return nil, nil
	}
	if int64(cap(s.stored)) < c.dataLen {
		s.stored = make([]byte, c.dataLen)
	}
	s.stored = s.stored[:c.dataLen]
	if err := readFull(ctx, s.in.src, s.stored, c.dataOff); err != nil {
		return nil, fmt.Errorf("reading chunk at offset %d of %s: %w", c.off, s.in.uri, err)
	}
	data, err := s.unpacker.unpack(c.codec, s.stored, c.size)
	if err != nil && !c.salvageable(err) {
		if c.reported {
			s.problem("bad_chunk", c.off, true, "%v", err)
		}
		return nil, nil
	}
	var limit error
	s.walker.connection = func(topic []byte, conn uint32, data []byte) {
		if err := s.conns.add(conn, topic, data, c.off); err != nil {
			if errors.Is(err, errTooMany) {
				limit = s.in.fail(c.off, err)
				return
			}
			s.problem("bad_connection", c.off, false, "%v", err)
		}
	}
	s.records, _, _ = s.walker.walk(data, s.records[:0])
	if limit != nil {
		return nil, limit
	}
	counts := []connCount{}
	last := -1
	at := make(map[uint32]int)
	for i := range s.records {
		r := &s.records[i]
		id := uint32(r.Channel)
		if last < 0 || counts[last].conn != id {
			k, ok := at[id]
			if !ok {
				k = len(counts)
				at[id] = k
				counts = append(counts, connCount{conn: id})
			}
			last = k
		}
		counts[last].count++
		s.curStart, s.curEnd = min(s.curStart, r.LogTime), max(s.curEnd, r.LogTime)
	}
	return counts, nil
}

// salvageable reports whether what was unpacked before err can be used.
func (c *chunk) salvageable(err error) bool {
	return c.salvage && !isChecksum(err) && !errors.Is(err, pipeline.ErrLimit) && !errors.Is(err, pipeline.ErrUnsupported)
}

// message takes a message outside of a chunk: those that follow a chunk whose
// length was never filled in. A run of them counts as a chunk of its own.
func (s *scanner) message(ctx context.Context, r *record) (int64, error) {
	if _, err := u32(r.conn, "conn"); err != nil {
		return 0, s.in.corrupt(r.off, err)
	}
	if _, _, err := stamp(r.time, "time"); err != nil {
		return 0, s.in.corrupt(r.off, err)
	}
	if r.end() > s.in.size {
		return 0, s.in.truncated(r.off, "inside a message")
	}
	if s.run != nil && r.end()-s.run.off > maxRun {
		s.endRun()
	}
	if s.run == nil {
		if err := s.finish(ctx); err != nil {
			return 0, err
		}
		s.run = &chunk{off: r.off, dataOff: r.off, codec: codecNone, size: unknownSize}
	}
	s.run.dataLen = r.end() - s.run.off
	return r.end(), nil
}

// endRun ends a run of messages outside of chunks.
func (s *scanner) endRun() {
	if s.run == nil {
		return
	}
	c := *s.run
	s.run = nil
	s.problem("unterminated_chunk", c.off, false, "messages of a chunk that was not closed, %d bytes", c.dataLen)
	s.begin(c)
}
