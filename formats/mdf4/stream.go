package mdf4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// chunkSize is how much of an uncompressed block is read at once.
const chunkSize = 1 << 20

// chunk is some bytes of a stream, or a gap where bytes are missing.
type chunk struct {
	data []byte // valid until the next call
	gap  int64  // bytes missing in place of data
	off  int64  // in the file, of the block
	err  error  // why there is a gap; also set, with gap 0, where the rest is missing
	zip  uint8
	size int64 // stored
}

// stream delivers the unpacked bytes of a chain of data blocks in order. With
// several workers blocks are read ahead and unpacked in parallel; no more than
// workers+2 of them are held.
type stream struct {
	seg   *segments
	f     *file
	short int64 // bytes that the last block claims beyond the end of the file

	left segment // rest of an uncompressed block
	un   *unpacker
	buf  []byte

	jobs   chan *job
	spare  chan *job
	last   *job
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// job is a chunk on its way.
type job struct {
	chunk chunk
	err   error // ends the stream
	un    unpacker
	buf   []byte
	pack  []byte
	done  chan struct{}
}

// newStream begins to read. Close ends its goroutines.
func newStream(ctx context.Context, seg *segments, workers int) *stream {
	s := &stream{seg: seg, f: seg.f}
	if workers <= 1 {
		s.un = &unpacker{}
		return s
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.jobs, s.spare = make(chan *job, workers), make(chan *job, workers+2)
	for range workers + 2 {
		s.spare <- &job{done: make(chan struct{}, 1)}
	}
	s.wg.Add(1)
	go s.fetch(ctx)
	return s
}

// fetch reads blocks and has them unpacked.
func (s *stream) fetch(ctx context.Context) {
	defer s.wg.Done()
	defer close(s.jobs)
	for {
		var j *job
		select {
		case j = <-s.spare:
		case <-ctx.Done():
			return
		}
		seg, err := s.step(ctx)
		if err != nil {
			j.err = err
		} else {
			j.err = s.stored(ctx, seg, j)
		}
		if j.err != nil || seg.zip == plain || seg.bad != nil {
			j.done <- struct{}{}
		} else {
			s.wg.Add(1)
			go func() {
				defer s.wg.Done()
				j.chunk = unpackSegment(&j.un, seg, &j.buf, j.pack)
				j.done <- struct{}{}
			}()
		}
		select {
		case s.jobs <- j:
		case <-ctx.Done():
			return
		}
		if j.err != nil {
			return
		}
	}
}

// stored reads the bytes of a segment.
func (s *stream) stored(ctx context.Context, seg segment, j *job) error {
	j.chunk = chunk{off: seg.block, zip: seg.zip, size: seg.stored}
	if seg.bad != nil {
		j.chunk.gap, j.chunk.err, j.chunk.size = seg.raw, seg.bad, 0
		return nil
	}
	into := &j.pack
	if seg.zip == plain {
		into = &j.buf
	}
	n := seg.stored
	if seg.zero {
		n = seg.raw
	}
	if int64(cap(*into)) < n {
		*into = make([]byte, n)
	}
	*into = (*into)[:n]
	if seg.zero {
		clear(*into)
		j.chunk.data = *into
		return nil
	}
	b, err := s.seg.in.at(ctx, seg.off, n)
	if err != nil {
		return err
	}
	copy(*into, b)
	if seg.zip == plain {
		j.chunk.data = *into
	}
	return nil
}

// unpackSegment unpacks one block into buf.
func unpackSegment(u *unpacker, seg segment, buf *[]byte, stored []byte) chunk {
	c := chunk{off: seg.block, zip: seg.zip, size: seg.stored}
	raw, err := u.unpack(*buf, stored, seg.raw, seg.zip, seg.param)
	if err != nil {
		c.gap, c.err = seg.raw, fmt.Errorf("data block at offset %d: %w", seg.block, err)
		return c
	}
	*buf, c.data = raw, raw
	return c
}

// step returns the next piece to read: a whole compressed block, or some bytes
// of an uncompressed one.
func (s *stream) step(ctx context.Context) (segment, error) {
	for s.left.raw == 0 {
		seg, err := s.seg.read(ctx)
		if errors.Is(err, io.EOF) {
			if more, ok := s.seg.follow(ctx); ok {
				seg, err = more, nil
			}
		}
		if err != nil {
			return seg, err
		}
		if seg.short > 0 {
			s.short += seg.short
		}
		if seg.bad != nil || seg.zip != plain {
			return seg, nil
		}
		s.left = seg
	}
	seg := s.left
	n := min(seg.raw, chunkSize)
	seg.raw = n
	s.left.raw -= n
	if !seg.zero {
		seg.stored = n
		s.left.off += n
		s.left.stored -= n
	}
	return seg, nil
}

// next returns the next chunk, io.EOF after the last.
func (s *stream) next(ctx context.Context) (chunk, error) {
	if s.jobs != nil {
		return s.await(ctx)
	}
	if err := ctx.Err(); err != nil {
		return chunk{}, err
	}
	seg, err := s.step(ctx)
	if err != nil {
		return chunk{}, err
	}
	if seg.bad != nil {
		return chunk{off: seg.block, gap: seg.raw, err: seg.bad, zip: plain}, nil
	}
	if seg.zero {
		if int64(cap(s.buf)) < seg.raw {
			s.buf = make([]byte, seg.raw)
		}
		s.buf = s.buf[:seg.raw]
		clear(s.buf)
		return chunk{data: s.buf, zip: plain}, nil
	}
	b, err := s.seg.in.at(ctx, seg.off, seg.stored)
	if err != nil {
		return chunk{}, err
	}
	if seg.zip == plain {
		return chunk{data: b, off: seg.block, zip: plain, size: seg.stored}, nil
	}
	return unpackSegment(s.un, seg, &s.buf, b), nil
}

func (s *stream) await(ctx context.Context) (chunk, error) {
	if s.last != nil {
		s.spare <- s.last // has room for all jobs
		s.last = nil
	}
	var j *job
	select {
	case next, ok := <-s.jobs:
		if !ok {
			if err := ctx.Err(); err != nil {
				return chunk{}, err
			}
			return chunk{}, io.EOF
		}
		j = next
	case <-ctx.Done():
		return chunk{}, ctx.Err()
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		return chunk{}, ctx.Err()
	}
	if j.err != nil {
		return chunk{}, j.err
	}
	s.last = j
	return j.chunk, nil
}

// problem tells what ended the stream before its time, "" for nothing.
func (s *stream) problem() string {
	switch {
	case s.short > 0:
		return fmt.Sprintf("the file ends %d bytes before its last data block does", s.short)
	case s.seg.lost != "":
		return s.seg.lost
	}
	return ""
}

// close ends all goroutines and frees what they used.
func (s *stream) close() {
	if s.un != nil {
		s.un.close()
	}
	if s.cancel == nil {
		return
	}
	s.cancel()
	s.wg.Wait()
	free := func(j *job) {
		if j != nil {
			j.un.close()
		}
	}
	free(s.last)
	for j := range s.jobs {
		free(j)
	}
	for {
		select {
		case j := <-s.spare:
			free(j)
			continue
		default:
		}
		break
	}
}
