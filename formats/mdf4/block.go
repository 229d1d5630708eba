package mdf4

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/drivemill/drivemill/pipeline"
)

const headerSize = 24

// block is one block of metadata as read: its links and its data section.
type block struct {
	id    string // two letters
	off   int64
	size  int64 // as claimed, header included
	links []int64
	data  []byte // of the data section, as far as it was asked for and is there
}

// header is the common header of all blocks.
type header struct {
	id    string
	size  int64
	links int64
}

// link returns link i, 0 where the block has fewer.
func (b *block) link(i int) int64 {
	if i < 0 || i >= len(b.links) {
		return 0
	}
	return b.links[i]
}

// Fields of the data section; those beyond its end are 0, as in a block of an
// older revision.

func (b *block) u8(off int) uint8 {
	if off >= len(b.data) {
		return 0
	}
	return b.data[off]
}

func (b *block) u16(off int) uint16 {
	if off+2 > len(b.data) {
		return 0
	}
	return binary.LittleEndian.Uint16(b.data[off:])
}

func (b *block) u32(off int) uint32 {
	if off+4 > len(b.data) {
		return 0
	}
	return binary.LittleEndian.Uint32(b.data[off:])
}

func (b *block) u64(off int) uint64 {
	if off+8 > len(b.data) {
		return 0
	}
	return binary.LittleEndian.Uint64(b.data[off:])
}

func (b *block) f64(off int) float64 { return math.Float64frombits(b.u64(off)) }

// header reads the common header of the block at off.
func (f *file) header(ctx context.Context, off int64) (header, error) {
	if off < idSize || off > math.MaxInt64/2 {
		return header{}, fmt.Errorf("link to offset %d of a file of %d bytes: %w", off, f.size, pipeline.ErrCorrupt)
	}
	if off > f.size-headerSize {
		return header{}, fmt.Errorf("link to offset %d of a file of %d bytes: %w", off, f.size, pipeline.ErrTruncated)
	}
	b, err := f.pages.at(ctx, off, headerSize)
	if err != nil {
		return header{}, err
	}
	if b[0] != '#' || b[1] != '#' {
		return header{}, fmt.Errorf("no block at offset %d: it begins with %q: %w", off, b[:4], pipeline.ErrCorrupt)
	}
	h := header{id: string(b[2:4])}
	size, links := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	if size > math.MaxInt64-uint64(off) || links > maxLinks {
		return h, fmt.Errorf("%s block at offset %d claims %d bytes and %d links: %w", h.id, off, size, links, pipeline.ErrCorrupt)
	}
	h.size, h.links = int64(size), int64(links)
	return h, nil
}

// load reads the block at off, which must be one of the kinds wanted (none:
// any), with up to limit bytes of its data section. Guard blocks in front of
// it are passed.
func (f *file) load(ctx context.Context, off, limit int64, want ...string) (*block, error) {
	for range maxGuards {
		b, err := f.loadOne(ctx, off, limit)
		if err != nil {
			return nil, err
		}
		if b.id == "GD" {
			if v := b.u16(0); v > maxVersion {
				return nil, fmt.Errorf("the block guarded at offset %d needs MDF %d.%02d: %w", off, v/100, v%100, pipeline.ErrUnsupported)
			}
			if b.link(0) == 0 {
				return nil, fmt.Errorf("guard block at offset %d guards nothing: %w", off, pipeline.ErrCorrupt)
			}
			off = b.link(0)
			continue
		}
		if len(want) == 0 {
			return b, nil
		}
		for _, w := range want {
			if b.id == w {
				return b, nil
			}
		}
		return nil, fmt.Errorf("%s block at offset %d where %v was expected: %w", b.id, off, want, pipeline.ErrCorrupt)
	}
	return nil, fmt.Errorf("more than %d guard blocks before offset %d: %w", maxGuards, off, pipeline.ErrCorrupt)
}

func (f *file) loadOne(ctx context.Context, off, limit int64) (*block, error) {
	if f.blocks++; f.blocks > f.lim.Blocks {
		return nil, fmt.Errorf("more than %d blocks of metadata: %w", f.lim.Blocks, pipeline.ErrLimit)
	}
	h, err := f.header(ctx, off)
	if err != nil {
		return nil, err
	}
	start := headerSize + 8*h.links
	if h.size < start {
		return nil, fmt.Errorf("%s block at offset %d claims %d bytes, too few for %d links: %w", h.id, off, h.size, h.links, pipeline.ErrCorrupt)
	}
	if off+start > f.size {
		return nil, fmt.Errorf("%s block at offset %d: its %d links end after the file: %w", h.id, off, h.links, pipeline.ErrTruncated)
	}
	n := min(h.size, start+limit)
	if n > f.size-off {
		return nil, fmt.Errorf("%s block at offset %d ends after the file: %w", h.id, off, pipeline.ErrTruncated)
	}
	raw, err := f.pages.at(ctx, off, n)
	if err != nil {
		return nil, err
	}
	b := &block{id: h.id, off: off, size: h.size, links: make([]int64, h.links), data: raw[start:]}
	for i := range b.links {
		b.links[i] = int64(binary.LittleEndian.Uint64(raw[headerSize+8*i:]))
	}
	f.note(off)
	if f.held += n; f.held > f.lim.Metadata {
		return nil, fmt.Errorf("more than %d bytes of metadata: %w", f.lim.Metadata, pipeline.ErrLimit)
	}
	return b, nil
}
