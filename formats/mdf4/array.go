package mdf4

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/drivemill/drivemill/pipeline"
)

// Where the elements of an array are stored (ca_storage).
const (
	storeRecord = 0 // all in one record
	storeCG     = 1 // each in a record of its own
	storeDG     = 2 // each in a data block of its own
)

// arrayInfo is a CABLOCK.
type arrayInfo struct {
	kind    uint8
	storage uint8
	flags   uint32
	dims    []int
	total   int // elements
	base    int64
	inval   int64
	fixed   [][]float64 // axis values kept in the block
	axes    []int64     // links to the channels of the axes
	data    []int64     // of storage in data blocks
	cycles  []int64     // records of each element, where they lie apart
	inner   *arrayInfo  // elements that are arrays themselves
	members []*channel  // elements that are structures
}

func (f *file) readArray(ctx context.Context, c *channel, off int64, depth int) error {
	a, err := f.loadArray(ctx, c, off, depth)
	if err != nil {
		if fatal(err) {
			return err
		}
		c.foreign = "CA"
		f.cut = f.cut || errors.Is(err, pipeline.ErrTruncated)
		f.tell("bad_block", off, "the array of channel %q cannot be read: %v", c.name, err)
		return nil
	}
	c.array = a
	return nil
}

func (f *file) loadArray(ctx context.Context, c *channel, off int64, depth int) (*arrayInfo, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("arrays nest deeper than %d: %w", maxDepth, pipeline.ErrLimit)
	}
	if f.visited[off] {
		return nil, fmt.Errorf("array block at offset %d is part of itself, or of two channels: %w", off, pipeline.ErrCorrupt)
	}
	f.visited[off] = true
	b, err := f.load(ctx, off, 16<<20, "CA")
	if err != nil {
		return nil, err
	}
	a := &arrayInfo{kind: b.u8(0), storage: b.u8(1), flags: b.u32(4), base: int64(int32(b.u32(8))), inval: int64(b.u32(12)), total: 1}
	n := int(b.u16(2))
	sum := 0
	for i := range n {
		size := b.u64(16 + 8*i)
		if 16+8*i+8 > len(b.data) || size == 0 || size > maxElements || a.total > maxElements/int(size) {
			return nil, fmt.Errorf("array block at offset %d has %d dimensions, number %d of %d elements: %w", off, n, i+1, size, pipeline.ErrLimit)
		}
		a.dims = append(a.dims, int(size))
		a.total *= int(size)
		sum += int(size)
	}
	if n == 0 {
		return nil, fmt.Errorf("array block at offset %d has no dimensions: %w", off, pipeline.ErrCorrupt)
	}
	link := 1
	if a.storage == storeDG {
		for i := range a.total {
			a.data = append(a.data, b.link(link+i))
		}
		link += a.total
	}
	if a.flags&1 != 0 {
		link += 3 * n
	}
	if a.flags&2 != 0 {
		link += 3 * n
	}
	if a.flags&4 != 0 {
		link += 3
	}
	if a.flags&8 != 0 {
		link += 3
	}
	if a.flags&16 != 0 {
		link += n // conversions of the axes
		if a.flags&32 == 0 {
			for i := range n {
				a.axes = append(a.axes, b.link(link+3*i+2))
			}
		}
	}
	at := 16 + 8*n
	if a.flags&32 != 0 {
		if at+8*sum > len(b.data) {
			return nil, fmt.Errorf("array block at offset %d is too short for its axes: %w", off, pipeline.ErrCorrupt)
		}
		for _, size := range a.dims {
			axis := make([]float64, size)
			for i := range axis {
				axis[i] = b.f64(at)
				at += 8
			}
			a.fixed = append(a.fixed, axis)
		}
	}
	if a.storage != storeRecord {
		for ; len(a.cycles) < a.total && at+8 <= len(b.data); at += 8 {
			a.cycles = append(a.cycles, int64(min(b.u64(at), 1<<62)))
		}
	}
	if comp := b.link(0); comp != 0 {
		inner, err := f.load(ctx, comp, 0)
		if err != nil {
			return nil, err
		}
		switch inner.id {
		case "CA":
			if a.inner, err = f.loadArray(ctx, c, inner.off, depth+1); err != nil {
				return nil, err
			}
			if a.total*a.inner.elements() > maxElements {
				return nil, fmt.Errorf("array at offset %d has more than %d elements: %w", off, maxElements, pipeline.ErrLimit)
			}
		case "CN":
			if a.members, err = f.readChannels(ctx, c.group, c, inner.off, depth+1); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("array of %s blocks at offset %d: %w", inner.id, inner.off, pipeline.ErrUnsupported)
		}
	}
	return a, nil
}

// elements counts all elements, those of inner arrays included.
func (a *arrayInfo) elements() int {
	n := a.total
	if a.inner != nil {
		n *= a.inner.elements()
	}
	return n
}

// shape lists all dimensions, those of inner arrays last.
func (a *arrayInfo) shape() []int {
	if a.inner != nil {
		return append(append([]int(nil), a.dims...), a.inner.shape()...)
	}
	return a.dims
}

// element is where one element of an array lies, relative to the first.
type element struct{ off, inval int64 }

// layout lists the elements in row-major order, the last index fastest,
// whatever the order in the record.
func (a *arrayInfo) layout() []element {
	factor := make([]int64, len(a.dims))
	step := int64(1)
	for i := range a.dims {
		d := len(a.dims) - 1 - i // the last index fastest
		if a.flags&64 != 0 {
			d = i // inverse layout: the first index fastest
		}
		factor[d] = step
		step *= int64(a.dims[d])
	}
	var inner []element
	if a.inner != nil {
		inner = a.inner.layout()
	}
	var out []element
	index := make([]int, len(a.dims))
	for range a.total {
		at := int64(0)
		for d, i := range index {
			at += factor[d] * int64(i)
		}
		e := element{a.base * at, a.inval * at}
		if inner == nil {
			out = append(out, e)
		}
		for _, in := range inner {
			out = append(out, element{e.off + in.off, e.inval + in.inval})
		}
		for d := len(index) - 1; d >= 0; d-- {
			if index[d]++; index[d] < a.dims[d] {
				break
			}
			index[d] = 0
		}
	}
	return out
}

// span returns the least and greatest offset of elements.
func span(es []element) (lo, hi int64) {
	lo, hi = math.MaxInt64, math.MinInt64
	for _, e := range es {
		lo, hi = min(lo, e.off), max(hi, e.off)
	}
	return lo, hi
}
