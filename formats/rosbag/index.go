package rosbag

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
)

const (
	// headStep covers a bag header.
	headStep = 8 << 10
	// indexStep is how much of the index section is read at once.
	indexStep = 1 << 20
	// sampledChunks is how many chunk headers Describe reads of a bag with an
	// index, at the same time.
	sampledChunks = 8
	// chunkHeaderStep covers the header of a chunk record and what is before its data.
	chunkHeaderStep = 256
	// indexRecordLen is an index data record without its entries, as all
	// writers known make it, and indexEntryLen an entry.
	indexRecordLen = 4 + 47 + 4
	indexEntryLen  = 12
)

// readIndex reads the index section. An index that does not agree with itself,
// with the bag header or with the chunks is an error: the chunks then tell.
func readIndex(ctx context.Context, in *file, head bagHeader) (*recording, error) {
	rec := &recording{indexed: true, parts: make([]part, 1)}
	if head.indexPos < head.end {
		return nil, in.corrupt(head.indexPos, fmt.Errorf("index lies inside the bag header"))
	}
	conns := newConnections()
	off := head.indexPos
	for n := uint64(0); n < uint64(head.connCount)+uint64(head.chunks); n++ {
		if off == in.size {
			return nil, in.corrupt(off, fmt.Errorf("index ends after %d of %d connections and %d of %d chunks",
				len(conns.list), head.connCount, len(rec.chunks), head.chunks))
		}
		r, err := in.record(ctx, off)
		if err != nil {
			return nil, err
		}
		switch r.op {
		case opConnection:
			id, err := u32(r.conn, "conn")
			if err != nil {
				return nil, in.corrupt(off, err)
			}
			topic := slices.Clone(r.topic)
			data, err := in.data(ctx, &r, maxConnection, "connection")
			if err != nil {
				return nil, err
			}
			if err := conns.add(id, topic, data, off); err != nil {
				return nil, in.fail(off, err)
			}
		case opChunkInfo:
			if err := rec.addChunkInfo(ctx, in, &r, head); err != nil {
				return nil, err
			}
		default:
			return nil, in.corrupt(off, fmt.Errorf("record with op %#02x in the index", r.op))
		}
		off = r.end()
	}
	switch {
	case off != in.size:
		return nil, in.corrupt(off, fmt.Errorf("%d bytes follow the index", in.size-off))
	case uint64(len(rec.chunks)) != uint64(head.chunks):
		return nil, in.corrupt(head.indexPos, fmt.Errorf("index has %d chunks, the bag header claims %d", len(rec.chunks), head.chunks))
	}
	for _, n := range rec.counts {
		if _, ok := conns.byID[n.conn]; !ok {
			return nil, in.corrupt(head.indexPos, fmt.Errorf("index has messages of connection %d, but not the connection", n.conn))
		}
	}
	rec.setConnections(conns)
	slices.SortStableFunc(rec.chunks, func(a, b chunk) int { return cmp.Compare(a.off, b.off) })
	for i := range rec.chunks {
		c := &rec.chunks[i]
		c.next = head.indexPos
		if i+1 < len(rec.chunks) {
			c.next = rec.chunks[i+1].off
		}
		if c.next == c.off {
			return nil, in.corrupt(c.off, fmt.Errorf("index has a chunk twice"))
		}
	}
	if err := rec.sample(ctx, in); err != nil {
		return nil, err
	}
	return rec, nil
}

// setConnections takes over the connections found.
func (r *recording) setConnections(cs *connections) {
	r.conns = cs.sorted()
	byID := make(map[uint32]int, len(r.conns))
	for i := range r.conns {
		byID[r.conns[i].id] = i
	}
	r.parts[0].byID = byID
	r.problems = append(r.problems, cs.problems...)
}

// addChunkInfo reads a chunk info record.
func (r *recording) addChunkInfo(ctx context.Context, in *file, ri *record, head bagHeader) error {
	pos, err := u64(ri.chunkPos, "chunk_pos")
	if err != nil {
		return in.corrupt(ri.off, err)
	}
	count, err := u32(ri.count, "count")
	if err != nil {
		return in.corrupt(ri.off, err)
	}
	start, _, err := stamp(ri.startTime, "start_time")
	if err != nil {
		return in.corrupt(ri.off, err)
	}
	end, _, err := stamp(ri.endTime, "end_time")
	if err != nil {
		return in.corrupt(ri.off, err)
	}
	if pos < uint64(head.end) || pos >= uint64(head.indexPos) {
		return in.corrupt(ri.off, fmt.Errorf("chunk at %d is not between the bag header and the index", pos))
	}
	if ri.dataLen != 8*int64(count) {
		return in.corrupt(ri.off, fmt.Errorf("chunk info of %d connections has %d bytes", count, ri.dataLen))
	}
	data, err := in.data(ctx, ri, maxConnection, "chunk info")
	if err != nil {
		return err
	}
	c := chunk{off: int64(pos), dataLen: -1, size: unknownSize, start: start, end: end, counted: true}
	c.countFrom = len(r.counts)
	for ; len(data) > 0; data = data[8:] {
		n := connCount{binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[4:])}
		r.counts = append(r.counts, n)
		c.messages += int64(n.count)
	}
	c.countTo = len(r.counts)
	if c.messages > 0 && end < start {
		return in.corrupt(ri.off, fmt.Errorf("chunk at %d ends before it starts", pos))
	}
	r.chunks = append(r.chunks, c)
	return nil
}

// extent is how many bytes the record of a chunk should have, from where the
// next one begins and the index data that should lie between them.
func (r *recording) extent(c *chunk) int64 {
	n := c.next - c.off
	for _, k := range r.counts[c.countFrom:c.countTo] {
		n -= indexRecordLen + indexEntryLen*int64(k.count)
	}
	return max(n, min(chunkHeaderStep, c.next-c.off))
}

// sample reads the headers of some chunks, evenly spread, and sums up what is
// stored. It fails when there is no chunk where the index says.
func (r *recording) sample(ctx context.Context, in *file) error {
	n := min(len(r.chunks), sampledChunks)
	if n == 0 {
		return nil
	}
	picked := make([]*chunk, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		c := &r.chunks[0]
		if n > 1 {
			c = &r.chunks[i*(len(r.chunks)-1)/(n-1)]
		}
		picked[i] = c
		wg.Go(func() {
			one := newFile(in.src, chunkHeaderStep)
			ri, err := one.record(ctx, c.off)
			if err == nil {
				err = c.setHeader(one, &ri)
			}
			if err == nil && c.dataOff+c.dataLen > c.next {
				err = in.corrupt(c.off, fmt.Errorf("chunk reaches %d bytes into what follows it", c.dataOff+c.dataLen-c.next))
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	var sum sums
	for _, c := range picked {
		sum.add(c)
	}
	r.compression = sum.list
	if n < len(r.chunks) {
		var stored int64
		for i := range r.chunks {
			c := &r.chunks[i]
			if c.dataLen >= 0 {
				stored += c.dataLen
			} else {
				stored += max(0, r.extent(c)-chunkRecordLen)
			}
		}
		sum.scale(int64(len(r.chunks)), stored)
	}
	return nil
}

// chunkRecordLen is the header of a chunk record and its two lengths, where
// the compression has a name of three letters.
const chunkRecordLen = int64(8 + 8 + 4 + len("compression=lz4") + 4 + len("size=") + 4)

// setHeader takes over what the record of the chunk says.
func (c *chunk) setHeader(in *file, r *record) error {
	if r.op != opChunk {
		return in.corrupt(r.off, fmt.Errorf("record with op %#02x where a chunk should be", r.op))
	}
	size, err := u32(r.size, "size")
	if err != nil {
		return in.corrupt(r.off, err)
	}
	if r.compression == nil {
		return in.corrupt(r.off, fmt.Errorf("chunk has no compression field"))
	}
	c.codec = codecName(r.compression)
	c.size = int64(size)
	c.dataOff, c.dataLen = r.dataOff, r.dataLen
	return nil
}

// codecName is the name of a codec, without an allocation for those known.
func codecName(b []byte) string {
	switch string(b) {
	case codecNone:
		return codecNone
	case codecLZ4:
		return codecLZ4
	case codecBZ2:
		return codecBZ2
	}
	if len(b) > 64 {
		b = b[:64]
	}
	return string(b)
}

// sums adds up chunks by codec, in order of appearance.
type sums struct{ list []pipeline.Compression }

func (s *sums) add(c *chunk) {
	i := slices.IndexFunc(s.list, func(o pipeline.Compression) bool { return o.Codec == c.codec })
	if i < 0 {
		i = len(s.list)
		s.list = append(s.list, pipeline.Compression{Codec: c.codec})
	}
	s.list[i].Chunks++
	s.list[i].Compressed += c.dataLen
	if c.size == unknownSize {
		s.list[i].Raw += c.dataLen
	} else {
		s.list[i].Raw += c.size
	}
}

// scale stretches the sums of a sample to the number of chunks and stored
// bytes that all have together. Both stay exact in total, and exact where all
// chunks use one codec; the unpacked size is an estimate.
func (s *sums) scale(chunks, stored int64) {
	var n, bytes int64
	for _, c := range s.list {
		n, bytes = n+c.Chunks, bytes+c.Compressed
	}
	if n == 0 || bytes == 0 {
		return
	}
	left, leftBytes := chunks, stored
	for i := range s.list {
		c := &s.list[i]
		ratio := float64(c.Raw) / float64(max(c.Compressed, 1))
		c.Chunks = int64(float64(chunks) * float64(c.Chunks) / float64(n))
		c.Compressed = int64(float64(stored) * float64(c.Compressed) / float64(bytes))
		if i == len(s.list)-1 {
			c.Chunks, c.Compressed = left, leftBytes
		}
		left, leftBytes = left-c.Chunks, leftBytes-c.Compressed
		c.Raw = int64(float64(c.Compressed) * ratio)
		if c.Codec == codecNone {
			c.Raw = c.Compressed
		}
		c.Estimated = true
	}
}
