package mcap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline"
)

var errNoHeader = fmt.Errorf("the first record is not a header: %w", pipeline.ErrCorrupt)

// maxRun is the size at which a run of records outside of chunks is cut into
// blocks.
const maxRun = 1 << 20

// scanner builds an Info from the records of a file.
type scanner struct {
	r     *Reader
	in    *Info
	defs  *definitions
	tally map[uint16]*channelSum

	cur   *block  // chunk or run at hand
	at    []int32 // by channel: its place in the counts of cur, plus 1
	ended bool    // DataEnd was seen
}

// scan reads a whole file.
func scan(ctx context.Context, src pipeline.Source, lim Limits) (*Info, error) {
	rc, err := src.Reader(ctx, 0, -1)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	r := NewReader(rc, src.Object().Size, lim)
	defer r.Close()
	return scanRecords(ctx, r, nil)
}

// scanRecords reads what r gives. Known are definitions made before.
func scanRecords(ctx context.Context, r *Reader, known *Info) (*Info, error) {
	s := &scanner{r: r, in: &Info{counted: true}, tally: map[uint16]*channelSum{}}
	s.defs = newDefinitions(r.problem)
	if known != nil {
		for id, c := range known.Channels {
			s.defs.channels[id] = c
		}
		for id, c := range known.Schemas {
			s.defs.schemas[id] = c
		}
	}
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		rec, err := r.Next()
		if err != nil {
			if err := s.end(err); err != nil {
				return nil, err
			}
			break
		}
		if n == 0 && known == nil && rec.Op != OpHeader {
			r.problem("bad_record", rec.Offset, false, "%v", errNoHeader)
		}
		s.record(rec)
	}
	s.in.Schemas, s.in.Channels = s.defs.schemas, s.defs.channels
	s.in.Problems = r.Problems()
	s.in.sums = s.tally
	s.in.number()
	return s.in, nil
}

// end takes up the error that ended reading.
func (s *scanner) end(err error) error {
	s.close()
	s.in.lost = s.r.Lost()
	off := s.r.f.off
	var o *offsetError
	if errors.As(err, &o) {
		off = o.off
		err = o.err
	}
	switch {
	case errors.Is(err, io.EOF):
	case errors.Is(err, pipeline.ErrTruncated):
		s.in.Truncated = true
		s.r.problem("truncated", off, !s.ended && s.in.lost > 0, "%v", err)
	case errors.Is(err, pipeline.ErrCorrupt):
		s.r.problem("corrupt", off, !s.ended, "%v", err)
	default:
		return err
	}
	return nil
}

// record takes up one record.
func (s *scanner) record(rec Record) {
	inside := rec.Position >= 0
	if !inside && s.cur != nil {
		// A run of records outside of chunks goes on over definitions.
		run := !s.cur.chunk && (rec.Op == OpMessage || rec.Op == OpSchema || rec.Op == OpChannel)
		if !run || s.cur.length >= maxRun {
			s.close()
		}
	}
	switch rec.Op {
	case OpHeader:
		h, err := ParseHeader(rec.Content)
		if err != nil {
			s.r.problem("bad_record", rec.Offset, false, "%v", err)
		}
		s.in.Header = h
	case OpSchema, OpChannel:
		s.defs.add(rec.Op, rec.Content, rec.Offset)
	case OpMessage:
		s.message(rec, inside)
	case OpChunk:
		c := &s.r.chunk
		s.cur = &block{
			offset: rec.Offset, length: s.r.f.off - rec.Offset, chunk: true, cut: s.r.pending != nil,
			codec: c.Compression, stored: int64(len(c.Records)), raw: clampTime(c.UncompressedSize),
		}
	case OpAttachment:
		s.in.Attachments = append(s.in.Attachments, AttachmentIndex{Offset: uint64(rec.Offset), Length: rec.Attachment.frame.size + frameLen, Attachment: rec.Attachment.Attachment})
	case OpMetadata:
		if m, err := ParseMetadata(rec.Content); err != nil {
			s.r.problem("bad_record", rec.Offset, false, "%v", err)
		} else {
			s.in.Metadata = append(s.in.Metadata, MetadataIndex{Offset: uint64(rec.Offset), Length: uint64(s.r.f.off - rec.Offset), Name: m.Name})
		}
	case OpStatistics:
		if st, err := ParseStatistics(rec.Content); err == nil {
			s.in.Statistics = &st
		}
	case OpDataEnd:
		s.ended = true
	}
	if s.cur != nil && !s.cur.chunk {
		s.cur.length = s.r.f.off - s.cur.offset
		s.cur.stored, s.cur.raw = s.cur.length, s.cur.length
	}
}

// message counts a message.
func (s *scanner) message(rec Record, inside bool) {
	if len(rec.Content) < messageHead {
		s.r.problem("bad_record", rec.Offset, true, "Message of %d bytes is shorter than its fields", len(rec.Content))
		s.r.lost += int64(len(rec.Content))
		return
	}
	if !inside && s.ended {
		s.r.problem("unexpected_record", rec.Offset, true, "Message behind the data section")
		s.r.lost += int64(len(rec.Content))
		return
	}
	if s.cur == nil {
		s.cur = &block{offset: rec.Offset}
	}
	id := binary.LittleEndian.Uint16(rec.Content)
	t := binary.LittleEndian.Uint64(rec.Content[6:])
	b := s.cur
	if len(b.counts) == 0 {
		b.start, b.end = t, t
	}
	b.start, b.end = min(b.start, t), max(b.end, t)
	if int(id) >= len(s.at) {
		s.at = append(s.at, make([]int32, int(id)+1-len(s.at))...)
	}
	if s.at[id] == 0 {
		b.counts = append(b.counts, channelCount{id, 0})
		s.at[id] = int32(len(b.counts))
	}
	b.counts[s.at[id]-1].count++
	sum := s.tally[id]
	if sum == nil {
		sum = &channelSum{start: t, end: t}
		s.tally[id] = sum
	}
	sum.count++
	sum.bytes += int64(len(rec.Content) - messageHead)
	sum.start, sum.end = min(sum.start, t), max(sum.end, t)
}

// close ends the block at hand.
func (s *scanner) close() {
	b := s.cur
	if b == nil {
		return
	}
	for _, c := range b.counts {
		s.at[c.channel] = 0
	}
	b.counted, b.known = true, true
	s.in.blocks = append(s.in.blocks, *b)
	s.cur = nil
}
