package mdf4

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline"
)

// Sizes of the ranged reads that metadata is read with. A walk through the
// block tree mostly goes forward, so reads grow while they follow each other.
const (
	pageAlign  = 256 << 10
	pageMax    = 4 << 20
	pagesTotal = 32 << 20 // held at once
)

// pages reads an object through a cache of recently read ranges, so that a tree
// of small blocks costs few requests.
type pages struct {
	src  pipeline.Source
	size int64

	held  []page // most recently used last
	total int64
	end   int64 // of the last fetch
	ahead int64
}

type page struct {
	off  int64
	data []byte
}

func newPages(src pipeline.Source) *pages {
	return &pages{src: src, size: src.Object().Size, ahead: pageAlign}
}

// at returns n bytes from off, which stay valid. It wraps ErrTruncated when
// the object ends before.
func (p *pages) at(ctx context.Context, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > p.size || n > p.size-off {
		return nil, fmt.Errorf("%d bytes at offset %d of an object of %d: %w", n, off, p.size, pipeline.ErrTruncated)
	}
	for i := len(p.held) - 1; i >= 0; i-- {
		h := p.held[i]
		if off >= h.off && off+n <= h.off+int64(len(h.data)) {
			if i != len(p.held)-1 {
				copy(p.held[i:], p.held[i+1:])
				p.held[len(p.held)-1] = h
			}
			return h.data[off-h.off:][:n:n], nil
		}
	}
	start := off &^ (pageAlign - 1)
	if start <= p.end && off >= p.end-pageMax && p.end > 0 {
		p.ahead = min(2*p.ahead, pageMax)
	} else {
		p.ahead = pageAlign
	}
	if start < p.end && off >= p.end {
		start = p.end // the rest of that page is held
	}
	stop := min(p.size, max(off+n, start+p.ahead))
	data := make([]byte, stop-start)
	if err := readFull(ctx, p.src, data, start); err != nil {
		return nil, err
	}
	p.end = stop
	p.held = append(p.held, page{start, data})
	p.total += int64(len(data))
	for len(p.held) > 1 && p.total > pagesTotal {
		p.total -= int64(len(p.held[0].data))
		p.held = append(p.held[:0], p.held[1:]...)
	}
	return data[off-start:][:n:n], nil
}

// readFull fills b from off.
func readFull(ctx context.Context, src pipeline.Source, b []byte, off int64) error {
	n, err := src.ReadAt(ctx, b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = pipeline.ErrTruncated
	}
	return &readError{fmt.Errorf("reading %d bytes at offset %d: %w", len(b), off, err)}
}

// readError is a failure of the store, as opposed to something wrong with the
// bytes: it ends decoding.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// fatal reports whether err comes from the store or a cancelled context, so
// that going on without what was to be read would hide rows.
func fatal(err error) bool {
	var r *readError
	return errors.As(err, &r) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
