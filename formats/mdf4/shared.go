package mdf4

import (
	"context"
	"errors"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/pipeline"
)

// source reads an SIBLOCK; nil for no link.
func (f *file) source(ctx context.Context, off int64) (*sourceInfo, error) {
	if off == 0 {
		return nil, nil
	}
	if s, ok := f.sources[off]; ok {
		f.cut = f.cut || f.damaged[off]
		return s, nil
	}
	f.sources[off] = nil
	before := f.cut
	f.cut = false
	defer func() {
		f.damaged[off] = f.cut
		f.cut = f.cut || before
	}()
	b, err := f.load(ctx, off, 64, "SI")
	if err != nil {
		if fatal(err) || errors.Is(err, pipeline.ErrLimit) {
			return nil, err
		}
		f.missing(off, err, "a source cannot be read: %v", err)
		return nil, nil
	}
	s := &sourceInfo{kind: b.u8(0), bus: b.u8(1), simulated: b.u8(2)&1 != 0}
	if s.name, err = f.text(ctx, b.link(0)); err != nil {
		return nil, err
	}
	if s.path, err = f.text(ctx, b.link(1)); err != nil {
		return nil, err
	}
	if s.comment, err = f.text(ctx, b.link(2)); err != nil {
		return nil, err
	}
	f.sources[off] = s
	return s, nil
}

// conversion reads a CCBLOCK with all that it refers to; nil for no link.
// Blocks are shared, so that a cycle among them stays one: compiling finds it.
func (f *file) conversion(ctx context.Context, off int64, depth int) (*conversion.Block, error) {
	if off == 0 {
		return nil, nil
	}
	if c, ok := f.convs[off]; ok {
		f.cut = f.cut || f.damaged[off]
		return c, nil
	}
	before := f.cut
	f.cut = false
	defer func() {
		f.damaged[off] = f.cut
		f.cut = f.cut || before
	}()
	if depth > maxDepth {
		f.tell("bad_block", off, "conversions nest deeper than %d", maxDepth)
		return nil, nil
	}
	b, err := f.load(ctx, off, 16<<20, "CC")
	if err != nil {
		if fatal(err) || errors.Is(err, pipeline.ErrLimit) {
			return nil, err
		}
		f.missing(off, err, "a conversion cannot be read: %v", err)
		f.convs[off] = nil
		return nil, nil
	}
	c := &conversion.Block{Type: b.u8(0), Flags: b.u16(2), Offset: off}
	f.convs[off] = c
	if c.Name, err = f.text(ctx, b.link(0)); err != nil {
		return nil, err
	}
	if c.Unit, err = f.text(ctx, b.link(1)); err != nil {
		return nil, err
	}
	refs, values := int(b.u16(4)), int(b.u16(6))
	for i := range values {
		at := 24 + 8*i
		if at+8 > len(b.data) {
			f.cut = f.cut || off+b.size > f.size
			f.tell("bad_block", off, "a conversion claims %d values and has %d", values, i)
			break
		}
		if c.Type == 11 {
			c.Masks = append(c.Masks, b.u64(at))
		} else {
			c.Values = append(c.Values, b.f64(at))
		}
	}
	for i := range refs {
		if 4+i >= len(b.links) {
			f.tell("bad_block", off, "a conversion claims %d references and has %d", refs, i)
			break
		}
		r, err := f.reference(ctx, b.link(4+i), depth)
		if err != nil {
			return nil, err
		}
		c.Refs = append(c.Refs, r)
	}
	return c, nil
}

// reference resolves one entry of a conversion: a text or another conversion.
func (f *file) reference(ctx context.Context, off int64, depth int) (conversion.Ref, error) {
	if off == 0 {
		return conversion.Ref{}, nil
	}
	h, err := f.header(ctx, off)
	if err != nil {
		if fatal(err) {
			return conversion.Ref{}, err
		}
		f.missing(off, err, "a conversion refers to what cannot be read: %v", err)
		return conversion.Ref{}, nil
	}
	if h.id == "CC" {
		c, err := f.conversion(ctx, off, depth+1)
		return conversion.Ref{Conversion: c}, err
	}
	s, err := f.text(ctx, off)
	return conversion.Ref{Text: &s}, err
}
