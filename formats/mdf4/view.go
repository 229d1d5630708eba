package mdf4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/drivemill/drivemill/pipeline"
)

// view reads a stream of data blocks at any position: the values of variable
// length that records point to. It holds the places of the blocks passed so far
// (some 80 bytes for each) and a few unpacked blocks, the ones used last, so
// that memory does not grow with the values. Positions that go forward, as
// writers leave them, unpack each block once.
type view struct {
	seg   *segments
	known []placed
	total int64 // bytes up to the last known block
	ended bool

	held   []piece // most recently used last
	bytes  int64
	budget int64
	un     unpacker
	cross  []byte
}

// placed is a data block at its position in the stream.
type placed struct {
	start int64
	seg   segment
}

// piece is a part of the stream that is held.
type piece struct {
	start int64
	data  []byte
}

// viewChunk is how much of an uncompressed block is held at once.
const viewChunk = 256 << 10

func newView(seg *segments, budget int64) *view { return &view{seg: seg, budget: budget} }

// at returns n bytes from position pos, valid until the next call. It wraps
// ErrCorrupt when the stream ends before.
func (v *view) at(ctx context.Context, pos, n int64) ([]byte, error) {
	if pos < 0 || n < 0 || pos > 1<<62 {
		return nil, fmt.Errorf("position %d: %w", pos, pipeline.ErrCorrupt)
	}
	first, err := v.piece(ctx, pos, n == 0)
	if err != nil {
		return nil, err
	}
	b := first.data[pos-first.start:]
	if int64(len(b)) >= n {
		return b[:n], nil
	}
	// The value lies in several blocks.
	v.cross = append(v.cross[:0], b...)
	for int64(len(v.cross)) < n {
		p, err := v.piece(ctx, pos+int64(len(v.cross)), false)
		if err != nil {
			return nil, err
		}
		b := p.data[pos+int64(len(v.cross))-p.start:]
		v.cross = append(v.cross, b[:min(int64(len(b)), n-int64(len(v.cross)))]...)
	}
	return v.cross, nil
}

// piece returns the held part of the stream in which pos lies. An empty value
// may lie at the very end.
func (v *view) piece(ctx context.Context, pos int64, empty bool) (piece, error) {
	for i := len(v.held) - 1; i >= 0; i-- {
		if p := v.held[i]; pos >= p.start && pos < p.start+int64(len(p.data)) {
			if i != len(v.held)-1 {
				copy(v.held[i:], v.held[i+1:])
				v.held[len(v.held)-1] = p
			}
			return p, nil
		}
	}
	for pos >= v.total && !v.ended {
		seg, err := v.seg.read(ctx)
		if errors.Is(err, io.EOF) {
			if more, ok := v.seg.follow(ctx); ok {
				seg, err = more, nil
			}
		}
		if errors.Is(err, io.EOF) {
			v.ended = true
			break
		}
		if err != nil {
			return piece{}, err
		}
		if seg.raw > 0 {
			v.known = append(v.known, placed{v.total, seg})
			v.total += seg.raw
		}
	}
	if pos >= v.total {
		if empty && pos == v.total {
			return piece{start: pos}, nil
		}
		return piece{}, fmt.Errorf("position %d of %d bytes of values: %w", pos, v.total, pipeline.ErrCorrupt)
	}
	i := sort.Search(len(v.known), func(i int) bool { return v.known[i].start > pos }) - 1
	return v.load(ctx, v.known[i], pos)
}

// load reads the part of a block in which pos lies, and lets go of the parts
// used longest ago.
func (v *view) load(ctx context.Context, k placed, pos int64) (piece, error) {
	if k.seg.bad != nil {
		return piece{}, k.seg.bad
	}
	p := piece{start: k.start}
	if k.seg.zip == plain {
		from := (pos - k.start) / viewChunk * viewChunk
		n := min(viewChunk, k.seg.raw-from)
		b, err := v.seg.in.at(ctx, k.seg.off+from, n)
		if err != nil {
			return p, err
		}
		p.start += from
		p.data = append(make([]byte, 0, n), b...)
	} else {
		b, err := v.seg.in.at(ctx, k.seg.off, k.seg.stored)
		if err != nil {
			return p, err
		}
		raw, err := v.un.unpack(nil, b, k.seg.raw, k.seg.zip, k.seg.param)
		if err != nil {
			return p, fmt.Errorf("data block at offset %d: %w", k.seg.block, err)
		}
		p.data = raw
	}
	v.held = append(v.held, p)
	v.bytes += int64(len(p.data))
	for len(v.held) > 2 && v.bytes > v.budget {
		v.bytes -= int64(len(v.held[0].data))
		v.held[0] = piece{}
		v.held = v.held[1:]
	}
	return p, nil
}

func (v *view) close() { v.un.close() }
