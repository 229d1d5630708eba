package mdf4

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
)

// segment is one data block of a stream: some bytes of the file that are some
// bytes of the stream, perhaps after unpacking.
type segment struct {
	block  int64 // offset of the block, for errors
	off    int64 // of the stored bytes
	stored int64
	raw    int64 // bytes of the stream
	zip    uint8 // plain, or the type of compression
	param  uint32
	zero   bool // no bytes are stored: all are 0
	short  int64
	bad    error // the block cannot be read; raw bytes of the stream are missing
}

// plain is the zip of a segment that is not compressed.
const plain = 0xff

// dataIDs are the blocks that hold data.
var dataIDs = []string{"DT", "SD", "RD", "DV", "DI", "RV", "RI", "VD"}

// segments lists the data blocks of a stream in order, without reading more of
// lists than needed. It is not safe for concurrent use.
type segments struct {
	f      *file
	in     ranged
	inval  bool  // of a list with both: the invalidation bytes
	width  int64 // bytes per sample, for blocks of invalidation bytes that are left out
	next   int64 // list to read, 0 for none
	queue  []entry
	seen   map[int64]bool
	blocks int64
	tail   int64 // where the block before ended, aligned
	lost   string
}

// ranged reads n bytes from off, valid until the next call: pages or a window.
type ranged interface {
	at(ctx context.Context, off, n int64) ([]byte, error)
}

// entry is a data block of a list. A link of 0 stands for rows samples of
// invalidation bytes that are all 0.
type entry struct {
	link int64
	raw  int64 // bytes of the stream where the list tells, otherwise -1
	last bool  // nothing follows
}

// newSegments begins the stream that link leads to.
func (f *file) newSegments(in ranged, link int64) *segments {
	s := &segments{f: f, in: in, seen: make(map[int64]bool)}
	if link != 0 {
		s.queue = []entry{{link, -1, true}}
	}
	return s
}

// read returns the next data block, io.EOF after the last. A damaged list ends
// the stream; problem then says why.
func (s *segments) read(ctx context.Context) (segment, error) {
	for {
		if len(s.queue) == 0 {
			if s.next == 0 {
				return segment{}, io.EOF
			}
			link := s.next
			s.next = 0
			s.queue = append(s.queue, entry{link, -1, true})
		}
		e := s.queue[0]
		s.queue = s.queue[1:]
		if e.link == 0 {
			return segment{raw: e.raw, zip: plain, zero: true}, nil
		}
		seg, ok, err := s.open(ctx, e)
		switch {
		case err != nil && fatal(err):
			return segment{}, err
		case err != nil && e.raw > 0 && len(s.queue) > 0:
			return segment{block: e.link, raw: e.raw, zip: plain, bad: err}, nil
		case err != nil:
			s.queue, s.next = nil, 0
			return segment{block: e.link, zip: plain, bad: err}, nil
		case ok:
			return seg, nil
		}
	}
}

// open looks at the block an entry leads to: a data block gives a segment, a
// list fills the queue.
func (s *segments) open(ctx context.Context, e entry) (segment, bool, error) {
	off := e.link
	if s.blocks++; s.blocks > s.f.lim.Blocks {
		return segment{}, false, fmt.Errorf("more than %d blocks in one stream: %w", s.f.lim.Blocks, pipeline.ErrLimit)
	}
	for range maxGuards {
		h, err := s.header(ctx, off)
		if err != nil {
			return segment{}, false, err
		}
		switch h.id {
		case "GD":
			b, err := s.block(ctx, off, h, 8)
			if err != nil {
				return segment{}, false, err
			}
			if v := b.u16(0); v > maxVersion {
				return segment{}, false, fmt.Errorf("the block guarded at offset %d needs MDF %d.%02d: %w", off, v/100, v%100, pipeline.ErrUnsupported)
			}
			off = b.link(0)
			continue
		case "HL", "DL", "LD":
			if s.seen[off] {
				return segment{}, false, fmt.Errorf("the list at offset %d leads back to itself: %w", off, pipeline.ErrCorrupt)
			}
			s.seen[off] = true
			return segment{}, false, s.list(ctx, off, h)
		case "DZ":
			seg, err := s.packed(ctx, off, h)
			return seg, err == nil, err
		}
		if !slices.Contains(dataIDs, h.id) {
			return segment{}, false, fmt.Errorf("%s block at offset %d is no data: %w", h.id, off, pipeline.ErrUnsupported)
		}
		return s.plain(off, h, e), true, nil
	}
	return segment{}, false, fmt.Errorf("more than %d guard blocks before offset %d: %w", maxGuards, off, pipeline.ErrCorrupt)
}

// plain makes the segment of an uncompressed block, whose claimed length may be
// wrong in an unfinalised file and too large in one that was cut.
func (s *segments) plain(off int64, h header, e entry) segment {
	start := off + headerSize + 8*h.links
	end := off + h.size
	flag := uint16(unfinData)
	if h.id == "RD" {
		flag = unfinReduced
	}
	if e.last && s.next == 0 && s.f.id.unfinished(flag) && !s.ends(end, h.size) {
		end = min(s.f.nextBlock(off), s.f.size)
	}
	seg := segment{block: off, off: start, zip: plain}
	s.tail = (max(end, start) + 7) &^ 7
	if end > s.f.size {
		seg.short = end - max(s.f.size, start)
		end = s.f.size
	}
	seg.stored = max(0, end-start)
	seg.raw = seg.stored
	return seg
}

// ends reports whether a block of an unfinalised file may end where it claims
// to: at the end of the file or before another block.
func (s *segments) ends(end, size int64) bool {
	if size <= headerSize || end > s.f.size {
		return false
	}
	_, known := slices.BinarySearch(s.f.offsets, (end+7)&^7)
	return known || end == s.f.size
}

// packed makes the segment of a DZ block.
func (s *segments) packed(ctx context.Context, off int64, h header) (segment, error) {
	b, err := s.block(ctx, off, h, 24)
	if err != nil {
		return segment{}, err
	}
	if len(b.data) < 24 {
		return segment{}, fmt.Errorf("DZ block at offset %d ends in its header: %w", off, pipeline.ErrTruncated)
	}
	raw, stored := b.u64(8), b.u64(16)
	seg := segment{block: off, off: off + headerSize + 8*h.links + 24, zip: b.u8(2), param: b.u32(4)}
	if raw > math.MaxInt64/4 || stored > math.MaxInt64/4 {
		return segment{}, fmt.Errorf("DZ block at offset %d claims %d bytes, %d stored: %w", off, raw, stored, pipeline.ErrCorrupt)
	}
	seg.raw, seg.stored = int64(raw), int64(stored)
	s.tail = (seg.off + seg.stored + 7) &^ 7
	switch {
	case seg.stored > s.f.size-seg.off:
		seg.bad = fmt.Errorf("DZ block at offset %d ends after the file: %w", off, pipeline.ErrTruncated)
	case seg.stored > s.f.lim.Unpacked:
		seg.bad = fmt.Errorf("DZ block at offset %d stores %d bytes, limit %d: %w", off, seg.stored, s.f.lim.Unpacked, pipeline.ErrLimit)
	case seg.raw > s.f.lim.Unpacked:
		seg.bad = fmt.Errorf("DZ block at offset %d claims %d bytes, limit %d: %w", off, seg.raw, s.f.lim.Unpacked, pipeline.ErrLimit)
	}
	return seg, nil
}

// list queues what a list block links to.
func (s *segments) list(ctx context.Context, off int64, h header) error {
	b, err := s.block(ctx, off, h, 16<<20)
	if err != nil {
		return err
	}
	if h.id == "HL" {
		s.queue = append(s.queue, entry{b.link(0), -1, true})
		if b.link(0) == 0 {
			s.queue = s.queue[:len(s.queue)-1]
		}
		return nil
	}
	s.next = b.link(0)
	if h.id == "LD" {
		return s.columnList(ctx, b)
	}
	n := int(b.u32(4))
	equal := b.u8(0)&1 != 0
	if n > len(b.links)-1 {
		s.lost = fmt.Sprintf("DL block at offset %d claims %d data blocks and has %d", off, n, len(b.links)-1)
		n = len(b.links) - 1
	}
	for i := range n {
		e := entry{link: b.link(1 + i), raw: -1}
		switch {
		case equal && i+1 < n:
			e.raw = int64(min(b.u64(8), math.MaxInt64/4))
		case !equal && i+1 < n:
			if d := int64(b.u64(8+8*(i+1)) - b.u64(8+8*i)); d > 0 {
				e.raw = d
			}
		}
		if e.link == 0 {
			if s.f.id.unfinished(unfinList) && s.next == 0 {
				break // links of a list that was never filled
			}
			s.lost = fmt.Sprintf("DL block at offset %d has a link that leads nowhere", off)
			continue
		}
		s.queue = append(s.queue, e)
	}
	if k := len(s.queue); k > 0 {
		s.queue[k-1].last = true
	}
	return nil
}

// columnList queues the blocks of an LD block: those of the values, or those of
// the invalidation bytes. Writers put all links to values first, or take
// turns; the blocks the links lead to tell which.
func (s *segments) columnList(ctx context.Context, b *block) error {
	n := int(b.u32(4))
	invalid := b.u8(3)&0x80 != 0
	links := b.links[min(1, len(b.links)):]
	if n > len(links) {
		return fmt.Errorf("LD block at offset %d claims %d data blocks and has %d links: %w", b.off, n, len(links), pipeline.ErrCorrupt)
	}
	if !invalid {
		if s.inval {
			return s.samples(b, n, func(int) int64 { return 0 })
		}
		return s.samples(b, n, func(i int) int64 { return links[i] })
	}
	if len(links) < 2*n {
		return fmt.Errorf("LD block at offset %d claims %d data blocks with invalidation bytes and has %d links: %w", b.off, n, len(links), pipeline.ErrCorrupt)
	}
	turns := false
	if n > 1 {
		kind, err := s.kind(ctx, links[1])
		if err != nil {
			return err
		}
		turns = kind == "" || kind == "DI" || kind == "RI"
	}
	at := func(i int) int64 {
		switch {
		case turns && s.inval:
			return links[2*i+1]
		case turns:
			return links[2*i]
		case s.inval:
			return links[n+i]
		}
		return links[i]
	}
	return s.samples(b, n, at)
}

// samples queues n blocks of an LD block.
func (s *segments) samples(b *block, n int, link func(int) int64) error {
	equal := b.u8(0)&1 != 0
	for i := range n {
		e := entry{link: link(i), raw: -1}
		rows := int64(-1)
		if equal {
			rows = int64(min(b.u64(8), math.MaxInt64>>20))
		} else if i+1 < n {
			rows = int64(b.u64(8+8*(i+1)) - b.u64(8+8*i))
		} else if e.link == 0 {
			rows = math.MaxInt64 >> 20 // up to the end of the values
		}
		if rows > 0 && s.width > 0 {
			if rows > math.MaxInt64/s.width {
				return fmt.Errorf("LD block at offset %d claims %d samples: %w", b.off, rows, pipeline.ErrCorrupt)
			}
			e.raw = rows * s.width
		}
		if e.link == 0 && !s.inval {
			s.lost = fmt.Sprintf("LD block at offset %d has a link that leads nowhere", b.off)
			continue
		}
		if e.link == 0 && e.raw < 0 {
			continue
		}
		s.queue = append(s.queue, e)
	}
	if k := len(s.queue); k > 0 {
		s.queue[k-1].last = true
	}
	return nil
}

// kind returns what a link leads to: the id of a data block, after unpacking.
func (s *segments) kind(ctx context.Context, off int64) (string, error) {
	if off == 0 {
		return "", nil
	}
	h, err := s.header(ctx, off)
	if err != nil || h.id != "DZ" {
		return h.id, err
	}
	b, err := s.block(ctx, off, h, 24)
	if err != nil || len(b.data) < 2 {
		return "", err
	}
	return string(b.data[:2]), nil
}

// header reads the header of a block through the window.
func (s *segments) header(ctx context.Context, off int64) (header, error) {
	if off < idSize || off > s.f.size-headerSize {
		return header{}, fmt.Errorf("link to offset %d of a file of %d bytes: %w", off, s.f.size, pipeline.ErrCorrupt)
	}
	b, err := s.in.at(ctx, off, headerSize)
	if err != nil {
		return header{}, err
	}
	if b[0] != '#' || b[1] != '#' {
		return header{}, fmt.Errorf("no block at offset %d: it begins with %q: %w", off, b[:4], pipeline.ErrCorrupt)
	}
	h := header{id: string(b[2:4])}
	size, links := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	if size > math.MaxInt64/2 || links > maxLinks {
		return h, fmt.Errorf("%s block at offset %d claims %d bytes and %d links: %w", h.id, off, size, links, pipeline.ErrCorrupt)
	}
	h.size, h.links = int64(size), int64(links)
	return h, nil
}

// block reads the links of a block and up to limit bytes behind them.
func (s *segments) block(ctx context.Context, off int64, h header, limit int64) (*block, error) {
	start := headerSize + 8*h.links
	n := min(h.size, start+limit, s.f.size-off)
	if n < start {
		return nil, fmt.Errorf("%s block at offset %d is shorter than its links: %w", h.id, off, pipeline.ErrTruncated)
	}
	raw, err := s.in.at(ctx, off, n)
	if err != nil {
		return nil, err
	}
	b := &block{id: h.id, off: off, size: h.size, links: make([]int64, h.links), data: append([]byte(nil), raw[start:]...)}
	for i := range b.links {
		b.links[i] = int64(binary.LittleEndian.Uint64(raw[headerSize+8*i:]))
	}
	return b, nil
}

// follow looks, in a file whose last list was never completed, for the data
// block that was written behind the one before.
func (s *segments) follow(ctx context.Context) (segment, bool) {
	if !s.f.id.unfinished(unfinList) || s.tail == 0 || s.tail > s.f.size-headerSize {
		return segment{}, false
	}
	off := s.tail
	h, err := s.header(ctx, off)
	if err != nil || s.seen[off] {
		return segment{}, false
	}
	s.seen[off] = true
	switch h.id {
	case "DT", "SD", "RD", "DV":
		return s.plain(off, h, entry{off, -1, true}), true
	case "DZ":
		seg, err := s.packed(ctx, off, h)
		return seg, err == nil && seg.bad == nil
	}
	return segment{}, false
}
