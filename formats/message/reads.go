package message

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
)

// Range is where a block lies in its object.
type Range struct {
	Off, Len int64
	// Joined: what lies between this range and the one before is not worth a
	// request of its own (the index of a chunk), and is read over.
	Joined bool
}

// Bounds of Reads.
const (
	// Ranges this close together are read by one request: the gap costs no more
	// than a request, and less than a sixteenth of what is read anyway.
	smallGap  = 4 << 10
	largeGap  = 256 << 10
	joinedGap = 1 << 20
	// streamed is the size from which a request is streamed on its own, which
	// stores do in parallel; smaller ones are made ahead of time.
	streamed = 4 << 20
	// requestsAhead and bytesAhead bound the requests made ahead.
	requestsAhead = 8
	bytesAhead    = 32 << 20
)

// Reads fetches the blocks of one object with few requests, several of which
// are under way at a time where they are small. One goroutine uses it.
type Reads struct {
	src    pipeline.Source
	ranges []Range
	runs   []run
	runOf  []int32 // by range
	asked  int     // runs asked for so far
	ahead  int64   // bytes of them that were not read yet
	flying int     // number of them
	first  int     // run that may be under way
	wg     sync.WaitGroup

	// The run that is being streamed, and where that is.
	stream io.ReadCloser
	buffer *bufio.Reader
	at     int32
	pos    int64
}

// run is one request.
type run struct {
	off, end int64
	last     int // range
	buf      []byte
	err      error
	done     chan struct{} // closed when the answer is there
	cancel   context.CancelFunc
}

func (r *run) large() bool { return r.end-r.off > streamed }

// NewReads plans the requests for ranges in the order in which they will be
// read.
func NewReads(src pipeline.Source, ranges []Range) *Reads {
	r := &Reads{src: src, ranges: ranges, at: -1}
	for i, g := range ranges {
		if n := len(r.runs); n > 0 {
			last := &r.runs[n-1]
			gap := g.Off - last.end
			if gap >= 0 && (gap <= smallGap || g.Joined && gap <= joinedGap || gap <= largeGap && gap <= g.Len/16) {
				last.end, last.last = g.Off+g.Len, i
				r.runOf = append(r.runOf, int32(n-1))
				continue
			}
		}
		r.runOf = append(r.runOf, int32(len(r.runs)))
		r.runs = append(r.runs, run{off: g.Off, end: g.Off + g.Len, last: i})
	}
	return r
}

// Read fills p, which has the length of range i. Ranges are read in ascending
// order, each once; some may be left out.
func (r *Reads) Read(ctx context.Context, i int, p []byte) error {
	at := r.runOf[i]
	run := &r.runs[at]
	g := r.ranges[i]
	if run.large() {
		return r.readStream(ctx, at, g, p)
	}
	r.ask(ctx, int(at))
	select {
	case <-run.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if run.err != nil {
		return run.err
	}
	copy(p, run.buf[g.Off-run.off:])
	if i == run.last {
		r.drop(run)
	}
	return nil
}

// drop forgets the bytes of a run.
func (r *Reads) drop(run *run) {
	if run.buf != nil {
		r.ahead -= run.end - run.off
		r.flying--
		run.cancel()
		run.buf, run.cancel = nil, nil
	}
}

// ask makes the request of run at, and those after it that are due.
func (r *Reads) ask(ctx context.Context, at int) {
	// What was left out will not be read any more.
	for ; r.first < at; r.first++ {
		if run := &r.runs[r.first]; run.buf != nil {
			run.cancel()
			<-run.done
			r.drop(run)
		}
	}
	r.asked = max(r.asked, at)
	for r.asked < len(r.runs) {
		run := &r.runs[r.asked]
		n := run.end - run.off
		if run.large() || r.asked > at && (r.flying >= requestsAhead || r.ahead+n > bytesAhead) {
			break
		}
		r.asked++
		r.flying++
		r.ahead += n
		run.buf, run.done = make([]byte, n), make(chan struct{})
		var call context.Context
		call, run.cancel = context.WithCancel(ctx)
		buf := run.buf
		r.wg.Go(func() {
			run.err = ReadFull(call, r.src, buf, run.off)
			close(run.done)
		})
	}
}

// readStream reads range g of a run that is streamed.
func (r *Reads) readStream(ctx context.Context, at int32, g Range, p []byte) error {
	if r.at != at {
		if err := r.endStream(); err != nil {
			return err
		}
		run := &r.runs[at]
		rc, err := r.src.Reader(ctx, g.Off, run.end-g.Off)
		if err != nil {
			return err
		}
		r.stream, r.at, r.pos = rc, at, g.Off
		if r.buffer == nil {
			r.buffer = bufio.NewReaderSize(nil, 64<<10)
		}
		r.buffer.Reset(rc)
	}
	if gap := g.Off - r.pos; gap > 0 {
		n, err := io.CopyN(io.Discard, r.buffer, gap)
		r.pos += n
		if err != nil {
			return noEOF(err)
		}
	}
	n, err := io.ReadFull(r.buffer, p)
	r.pos += int64(n)
	return noEOF(err)
}

func (r *Reads) endStream() error {
	if r.stream == nil {
		return nil
	}
	err := r.stream.Close()
	r.stream, r.at = nil, -1
	return err
}

// Close ends all requests.
func (r *Reads) Close() error {
	for k := range r.runs[:r.asked] {
		if run := &r.runs[k]; run.buf != nil {
			run.cancel()
		}
	}
	r.wg.Wait()
	return r.endStream()
}

// ReadFull fills p from offset off of a source, which the caller knows to
// reach that far.
func ReadFull(ctx context.Context, src pipeline.Source, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := src.ReadAt(ctx, p, off)
		p, off = p[n:], off+int64(n)
		switch {
		case len(p) == 0:
		case err == nil && n == 0, errors.Is(err, io.EOF):
			return fmt.Errorf("the object ends at %d: %w", off, pipeline.ErrTruncated)
		case err != nil:
			return err
		}
	}
	return nil
}

// noEOF: blocks lie inside the object, so that its end is no end here.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the object ends early: %w", pipeline.ErrTruncated)
	}
	return err
}
