package sqlite

import (
	"context"
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline"
)

const (
	extentSize = 64 << 10 // what is read at one time, or a page if that is larger
	maxExtents = 48       // kept
	maxGap     = 8        // extents that a stream reads over
)

// Pager reads pages. It keeps the extents used last, and goes over to a stream
// where one follows the other, as they do in a database that was only ever
// appended to. One goroutine uses it.
type Pager struct {
	f    *File
	unit int64 // bytes of an extent

	extents map[int64]*extent
	clock   int64
	missed  int64 // the extent that was read last

	stream io.ReadCloser
	at     int64 // the extent that the stream comes to next
}

type extent struct {
	data []byte
	used int64
}

// NewPager returns a pager, which must be closed.
func (f *File) NewPager() *Pager {
	return &Pager{f: f, unit: int64(max(extentSize, f.pageSize)), extents: make(map[int64]*extent), missed: -2}
}

// Close ends reading.
func (p *Pager) Close() {
	if p.stream != nil {
		p.stream.Close()
		p.stream = nil
	}
	p.extents = nil
}

// page returns a page that File.check has let pass. It is valid until the next
// call.
func (p *Pager) page(ctx context.Context, no uint32) ([]byte, error) {
	off := p.f.offset(no)
	n := off / p.unit
	x := p.extents[n]
	if x == nil {
		var err error
		if x, err = p.read(ctx, n); err != nil {
			return nil, fmt.Errorf("reading page %d: %w", no, err)
		}
	}
	p.clock++
	x.used = p.clock
	off -= n * p.unit
	return x.data[off : off+int64(p.f.pageSize)], nil
}

// read reads an extent that is not there.
func (p *Pager) read(ctx context.Context, n int64) (*extent, error) {
	follows := n == p.missed+1
	p.missed = n
	if p.stream != nil && n >= p.at && n-p.at <= maxGap {
		for {
			at := p.at
			x, err := p.next()
			if err != nil || at == n {
				return x, err
			}
		}
	}
	if !follows {
		x := p.place(n)
		if err := readFull(ctx, p.f.src, x.data, n*p.unit); err != nil {
			delete(p.extents, n)
			return nil, err
		}
		return x, nil
	}
	if p.stream != nil {
		p.stream.Close()
		p.stream = nil
	}
	rc, err := p.f.src.Reader(ctx, n*p.unit, -1)
	if err != nil {
		return nil, err
	}
	p.stream, p.at = rc, n
	return p.next()
}

// next takes an extent from the stream.
func (p *Pager) next() (*extent, error) {
	n := p.at
	p.at++
	x := p.place(n)
	if _, err := io.ReadFull(p.stream, x.data); err != nil {
		delete(p.extents, n)
		p.stream.Close()
		p.stream = nil
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, fmt.Errorf("the object ends early: %w", pipeline.ErrTruncated)
		}
		return nil, err
	}
	return x, nil
}

// place makes room for an extent, that of the one used least recently if need
// be.
func (p *Pager) place(n int64) *extent {
	x := p.extents[n]
	if x == nil && len(p.extents) >= maxExtents {
		oldest := int64(-1)
		for k, e := range p.extents {
			if x == nil || e.used < x.used {
				oldest, x = k, e
			}
		}
		delete(p.extents, oldest)
	}
	if x == nil {
		x = &extent{}
	}
	size := min(p.unit, p.f.size-n*p.unit)
	if int64(cap(x.data)) < size {
		x.data = make([]byte, size)
	}
	x.data = x.data[:size]
	p.clock++
	x.used = p.clock
	p.extents[n] = x
	return x
}
