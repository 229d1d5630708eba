package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/retry"
)

const (
	// rangeSize is the length of a ranged request: long enough that its
	// latency does not count, short enough to have several in flight.
	rangeSize = 8 << 20
	// rangesInFlight of one reader or one ReadAt.
	rangesInFlight = 4
	// firstRange of a reader; later ones double up to rangeSize, so that
	// reading a head does not fetch megabytes.
	firstRange = 1 << 20
)

// s3Source reads an object by ranges. Every request carries If-Match, so that
// bytes of two versions are never mixed.
type s3Source struct {
	store *s3Store
	obj   pipeline.Object
}

func (s *s3Source) Object() pipeline.Object { return s.obj }

func (s *s3Source) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	want, err := span(s.obj, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	if want <= rangeSize {
		err = s.fetch(ctx, p[:want], off)
	} else {
		err = s.fetchParallel(ctx, p[:want], off)
	}
	switch {
	case err != nil:
		return 0, err
	case want < int64(len(p)):
		return int(want), io.EOF
	}
	return len(p), nil
}

func (s *s3Source) fetchParallel(ctx context.Context, p []byte, off int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range rangesInFlight {
		wg.Go(func() {
			for {
				from := (next.Add(1) - 1) * rangeSize
				if from >= int64(len(p)) || ctx.Err() != nil {
					return
				}
				to := min(from+rangeSize, int64(len(p)))
				if err := s.fetch(ctx, p[from:to], off+from); err != nil {
					cancel(err) // the first error stays the cause
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// brokenBody is a connection that broke off after the answer had begun, which
// the SDK does not retry.
type brokenBody struct{ err error }

func (e *brokenBody) Error() string { return e.err.Error() }
func (e *brokenBody) Unwrap() error { return e.err }

// fetch fills p from off, going on where a body broke off.
func (s *s3Source) fetch(ctx context.Context, p []byte, off int64) error {
	for failed := 0; len(p) > 0; {
		n, err := s.get(ctx, p, off)
		p, off = p[n:], off+int64(n)
		if err == nil {
			continue
		}
		var broken *brokenBody
		if !errors.As(err, &broken) {
			return err
		}
		if n > 0 {
			failed = 0
		}
		if failed++; !s.store.policy.Sleep(ctx, retry.Body, failed) {
			if ctx.Err() != nil {
				err = fmt.Errorf("reading %s: %w", s.obj.URI, ctx.Err())
			}
			return err
		}
	}
	return ctx.Err()
}

// get makes one request for p and returns how much of it arrived.
func (s *s3Source) get(ctx context.Context, p []byte, off int64) (int, error) {
	in := &s3.GetObjectInput{
		Bucket: &s.store.bucket, Key: s.store.full(s.obj.Key),
		Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1)),
	}
	if s.obj.ETag != "" {
		in.IfMatch = aws.String(`"` + s.obj.ETag + `"`)
	}
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	out, err := s.store.client.GetObject(call, in)
	if err != nil {
		return 0, s.store.fail(ctx, "reading", s.obj.URI, "s3:GetObject", err)
	}
	defer out.Body.Close()
	if err := s.check(out, off, len(p)); err != nil {
		return 0, err
	}
	n, err := readBody(ctx, cancel, out.Body, p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && off+int64(n) < s.obj.Size && aws.ToInt64(out.ContentLength) == int64(n):
		// The answer is whole; the object, described without an ETag, is not.
		return n, fmt.Errorf("reading %s: %w at %d, expected %d bytes", s.obj.URI, pipeline.ErrTruncated, off+int64(n), s.obj.Size)
	case ctx.Err() != nil:
		return n, fmt.Errorf("reading %s: %w", s.obj.URI, ctx.Err())
	}
	return n, pipeline.Transient(&brokenBody{fmt.Errorf("reading %s: the connection broke off at %d: %w", s.obj.URI, off+int64(n), err)})
}

// check holds an answer against the object and the range that was asked for.
// Servers other than S3 do not always mind If-Match.
func (s *s3Source) check(out *s3.GetObjectOutput, off int64, n int) error {
	if tag := strings.Trim(aws.ToString(out.ETag), `"`); s.obj.ETag != "" && tag != "" && tag != s.obj.ETag {
		return fmt.Errorf("reading %s: %w (its ETag was %s, is %s)", s.obj.URI, pipeline.ErrChanged, s.obj.ETag, tag)
	}
	got := aws.ToString(out.ContentRange)
	if strings.HasPrefix(got, fmt.Sprintf("bytes %d-", off)) {
		return nil
	}
	// A whole object is what was asked for when the range covers it.
	if got == "" && off == 0 && aws.ToInt64(out.ContentLength) == int64(n) {
		return nil
	}
	return fmt.Errorf("reading %s: %w: the server answered a request for bytes from %d with %q", s.obj.URI, pipeline.ErrUnsupported, off, got)
}

// readBody fills p from a body, and cancels its request when that stands still.
func readBody(ctx context.Context, cancel context.CancelFunc, body io.Reader, p []byte) (n int, err error) {
	var stalled atomic.Bool
	watch := time.AfterFunc(stallTimeout, func() {
		stalled.Store(true)
		cancel()
	})
	defer watch.Stop()
	for n < len(p) {
		var m int
		m, err = body.Read(p[n:])
		n += m
		if err != nil {
			break
		}
		watch.Reset(stallTimeout)
	}
	switch {
	case n == len(p):
		return n, nil
	case stalled.Load() && ctx.Err() == nil:
		return n, fmt.Errorf("no data for %v", stallTimeout)
	}
	return n, err
}

func (s *s3Source) Reader(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	n, err := span(s.obj, off, n)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &s3Reader{
		cancel: cancel,
		ranges: make(chan *fetched, rangesInFlight+1),
		tokens: make(chan []byte, rangesInFlight+1),
	}
	// Two ranges to begin with; every one that was read brings another until
	// all are in flight.
	r.tokens <- nil
	r.tokens <- nil
	r.unused = rangesInFlight + 1 - 2
	r.wg.Go(func() {
		defer close(r.ranges)
		r.stopped = r.prefetch(ctx, s, off, off+n)
	})
	return r, nil
}

// s3Reader streams an object: ranges are fetched ahead in parallel and handed
// out in order. A token is the right to have a range in memory, and carries
// the buffer of a range that was read.
type s3Reader struct {
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	ranges  chan *fetched // in order; closed after the last
	stopped error         // why ranges was closed early; set before that
	tokens  chan []byte
	unused  int // tokens not given out yet
	cur     *fetched
	rest    []byte // of cur
	err     error
}

// fetched is a range under way; done is closed when it is there, or failed.
type fetched struct {
	buf  []byte
	err  error
	done chan struct{}
}

func (r *s3Reader) prefetch(ctx context.Context, s *s3Source, off, end int64) error {
	for size := int64(firstRange); off < end; size = min(2*size, rangeSize) {
		var buf []byte
		select {
		case buf = <-r.tokens:
		case <-ctx.Done():
			return fmt.Errorf("reading %s: %w", s.obj.URI, ctx.Err())
		}
		n := min(size, end-off)
		if int64(cap(buf)) < n {
			buf = make([]byte, n)
		}
		f := &fetched{buf: buf[:n], done: make(chan struct{})}
		from := off
		r.wg.Go(func() {
			f.err = s.fetch(ctx, f.buf, from)
			close(f.done)
		})
		r.ranges <- f // there is room for one per token
		off += n
	}
	return nil
}

func (r *s3Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.cur != nil {
			r.tokens <- r.cur.buf
			if r.unused > 0 {
				r.unused--
				r.tokens <- nil
			}
			r.cur = nil
		}
		f, ok := <-r.ranges
		if !ok {
			if r.err = r.stopped; r.err == nil {
				r.err = io.EOF
			}
			return 0, r.err
		}
		<-f.done
		if f.err != nil {
			r.err = f.err
			return 0, r.err
		}
		r.cur, r.rest = f, f.buf
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close ends what is in flight.
func (r *s3Reader) Close() error {
	r.cancel()
	r.wg.Wait()
	r.cur, r.rest = nil, nil
	if r.err == nil || errors.Is(r.err, io.EOF) {
		r.err = errReaderClosed
	}
	return nil
}
