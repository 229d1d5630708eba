package mdf4

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/pipeline"
)

// file is the tree of metadata of one recording. It is read once by Describe
// and read-only afterwards.
type file struct {
	src   pipeline.Source
	size  int64
	lim   Limits
	pages *pages
	id    ident
	hd    fileHeader

	groups      []*dataGroup
	attachments []attachment
	details     []pipeline.Detail
	problems    []pipeline.Problem

	blocks   int64 // visited
	held     int64 // bytes of metadata
	channels int
	texts    map[int64]string
	sources  map[int64]*sourceInfo
	convs    map[int64]*conversion.Block
	visited  map[int64]bool // CN, CG and DG blocks
	byOffset map[int64]*channel
	offsets  []int64        // of all blocks seen
	cut      bool           // something that was read just now lies behind the end of the file
	damaged  map[int64]bool // shared blocks of which that is so
}

// Types of channel (cn_type).
const (
	chanFixed         = 0
	chanVLSD          = 1
	chanMaster        = 2
	chanVirtualMaster = 3
	chanSync          = 4
	chanMLSD          = 5
	chanVirtual       = 6
	chanVLSC          = 7
)

// Flags of a channel.
const (
	cnAllInvalid     = 1 << 0
	cnInvalBit       = 1 << 1
	cnBusEvent       = 1 << 10
	cnStrictlyRising = 1 << 11
	cnVLSDStream     = 1 << 14
	cnStreamMode     = 1 << 17
	cnDescription    = 1 << 20
	cnDynamicFlags   = cnVLSDStream | cnStreamMode | cnDescription
)

// Flags of a channel group.
const (
	cgVLSD         = 1 << 0
	cgBusEvent     = 1 << 1
	cgRemoteMaster = 1 << 3
	cgVLSC         = 1 << 5
)

// dataGroup is a DGBLOCK: the groups whose records one data stream mixes.
type dataGroup struct {
	off    int64
	index  int // in the list of the file
	idSize int
	data   int64
	groups []*group
}

// group is a CGBLOCK.
type group struct {
	dg      *dataGroup
	off     int64
	id      uint64
	cycles  int64
	flags   uint16
	data    int64 // bytes of a record
	inval   int64 // invalidation bytes of a record
	name    string
	element string // of an array whose elements are groups: [0][1]
	source  *sourceInfo
	comment string
	remote  int64 // link to the group with the master
	sr      int64

	channels []*channel
}

// varying reports whether the records have a length of their own.
func (g *group) varying() bool { return g.flags&(cgVLSD|cgVLSC) != 0 }

// sourceInfo is an SIBLOCK.
type sourceInfo struct {
	name, path, comment string
	kind, bus           uint8
	simulated           bool
}

// channel is a CNBLOCK.
type channel struct {
	off      int64
	group    *group
	parent   *channel
	name     string
	kind     uint8 // cn_type
	sync     uint8
	dt       uint8
	bitOff   int
	byteOff  int64
	bits     int64
	flags    uint32
	invalBit int64
	unit     string
	hasUnit  bool
	comment  string
	source   *sourceInfo
	conv     *conversion.Block
	data     int64
	sizeCN   int64
	members  []*channel
	array    *arrayInfo
	foreign  string // id of a composition that is not read
	attached []int64
}

// chain follows a list of blocks linked by their first link, each visited once.
func (f *file) chain(ctx context.Context, off int64, id string, limit int64, fn func(*block) error) error {
	for off != 0 {
		if f.visited[off] {
			f.tell("cycle", off, "the list of %s blocks leads back to one that was read", id)
			return nil
		}
		f.visited[off] = true
		b, err := f.load(ctx, off, limit, id)
		if err != nil {
			if fatal(err) || errors.Is(err, pipeline.ErrLimit) {
				return err
			}
			f.missing(off, err, "the list of %s blocks ends early: %v", id, err)
			if id == "DG" || id == "CG" {
				f.problems[len(f.problems)-1].Loses = true
			}
			f.cut = f.cut || id == "CN"
			return nil
		}
		if err := fn(b); err != nil {
			return err
		}
		off = b.link(0)
	}
	return nil
}

// tell adds a problem of the metadata.
func (f *file) tell(kind string, off int64, format string, args ...any) {
	p := pipeline.Problem{Kind: kind, Offset: off, Detail: fmt.Sprintf(format, args...)}
	if len(f.problems) == maxProblems {
		f.problems[maxProblems-1] = p // the latest
		return
	}
	f.problems = append(f.problems, p)
}

// missing adds the problem of a link that leads nowhere.
func (f *file) missing(off int64, err error, format string, args ...any) {
	if errors.Is(err, pipeline.ErrTruncated) {
		f.cut, f.damaged[off] = true, true
	}
	f.tell("bad_link", off, format, args...)
}

// note remembers where a block begins: a data block of unknown length ends
// before the next one.
func (f *file) note(off int64) { f.offsets = append(f.offsets, off) }

// nextBlock returns the offset of the first known block behind off, or the end
// of the file.
func (f *file) nextBlock(off int64) int64 {
	i, found := slices.BinarySearch(f.offsets, off)
	if found {
		i++
	}
	if i < len(f.offsets) {
		return f.offsets[i]
	}
	return f.size
}

// readFile reads all metadata.
func readFile(ctx context.Context, src pipeline.Source, lim Limits) (*file, error) {
	f := &file{
		src: src, size: src.Object().Size, lim: lim.withDefaults(), pages: newPages(src),
		texts: make(map[int64]string), sources: make(map[int64]*sourceInfo), convs: make(map[int64]*conversion.Block),
		visited: make(map[int64]bool), byOffset: make(map[int64]*channel), damaged: make(map[int64]bool),
	}
	head, err := f.pages.at(ctx, 0, min(idSize, f.size))
	if err != nil {
		return nil, err
	}
	if f.size < idSize {
		return nil, fmt.Errorf("the file has %d bytes, an identification %d: %w", f.size, idSize, pipeline.ErrTruncated)
	}
	if f.id, err = parseIdent(head); err != nil {
		return nil, err
	}
	if err := f.readHeader(ctx); err != nil {
		return nil, err
	}
	if err := f.readGroups(ctx); err != nil {
		return nil, err
	}
	if err := f.readMeta(ctx); err != nil {
		return nil, err
	}
	slices.Sort(f.offsets)
	f.offsets = slices.Compact(f.offsets)
	f.visited, f.texts, f.pages.held = nil, nil, nil
	return f, nil
}

func (f *file) readGroups(ctx context.Context) error {
	return f.chain(ctx, f.hd.firstDG, "DG", 64, func(b *block) error {
		dg := &dataGroup{off: b.off, index: len(f.groups), idSize: int(b.u8(0)), data: b.link(2)}
		f.note(dg.data)
		switch dg.idSize {
		case 0, 1, 2, 4, 8:
		default:
			f.tell("bad_block", b.off, "a data group has record ids of %d bytes; it is left out", dg.idSize)
			return nil
		}
		f.groups = append(f.groups, dg)
		err := f.chain(ctx, b.link(1), "CG", 128, func(b *block) error { return f.readGroup(ctx, dg, b) })
		f.expand(dg)
		return err
	})
}

func (f *file) readGroup(ctx context.Context, dg *dataGroup, b *block) error {
	g := &group{
		dg: dg, off: b.off, id: b.u64(0), cycles: int64(min(b.u64(8), 1<<62)), flags: b.u16(16),
		data: int64(b.u32(24)), inval: int64(b.u32(28)), sr: b.link(4),
	}
	if g.flags&cgRemoteMaster != 0 {
		g.remote = b.link(6)
	}
	f.cut = false
	var err error
	if g.name, err = f.text(ctx, b.link(2)); err != nil {
		return err
	}
	if g.source, err = f.source(ctx, b.link(3)); err != nil {
		return err
	}
	if g.comment, err = f.text(ctx, b.link(5)); err != nil {
		return err
	}
	dg.groups = append(dg.groups, g)
	if !g.varying() && g.data+g.inval+int64(dg.idSize) > f.lim.Record {
		f.tell("bad_block", b.off, "group %s is left out: it claims records of %d bytes, limit %d", g.label(), g.data+g.inval, f.lim.Record)
		f.problems[len(f.problems)-1].Loses = true
		return nil
	}
	if g.channels, err = f.readChannels(ctx, g, nil, b.link(1), 0); err != nil {
		return err
	}
	if f.cut && !g.varying() {
		// A table with some of its columns, or under another name, would pass
		// for another table.
		g.channels = nil
		f.tell("truncated", b.off, "group %s is left out: a part of its description is missing", g.label())
		f.problems[len(f.problems)-1].Loses = true
	}
	return nil
}

// readChannels reads a list of channels: those of a group, or the members of a
// composition.
func (f *file) readChannels(ctx context.Context, g *group, parent *channel, off int64, depth int) ([]*channel, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("channels nest deeper than %d at offset %d: %w", maxDepth, off, pipeline.ErrLimit)
	}
	var out []*channel
	err := f.chain(ctx, off, "CN", 1<<10, func(b *block) error {
		if f.channels++; f.channels > f.lim.Channels {
			return fmt.Errorf("more than %d channels: %w", f.lim.Channels, pipeline.ErrLimit)
		}
		c, err := f.readChannel(ctx, g, parent, b, depth)
		if err == nil {
			out = append(out, c)
		}
		return err
	})
	return out, err
}

func (f *file) readChannel(ctx context.Context, g *group, parent *channel, b *block, depth int) (*channel, error) {
	c := &channel{
		off: b.off, group: g, parent: parent, kind: b.u8(0), sync: b.u8(1), dt: b.u8(2), bitOff: int(b.u8(3)),
		byteOff: int64(b.u32(4)), bits: int64(b.u32(8)), flags: b.u32(12), invalBit: int64(b.u32(16)),
		data: b.link(5),
	}
	f.byOffset[b.off] = c
	f.note(c.data)
	next := 8
	if c.kind == chanVLSC {
		c.sizeCN = b.link(next)
		next++
	}
	for i := range int(b.u16(22)) {
		if a := b.link(next + i); a != 0 {
			c.attached = append(c.attached, a)
		}
	}
	var err error
	if c.name, err = f.text(ctx, b.link(2)); err != nil {
		return nil, err
	}
	if c.source, err = f.source(ctx, b.link(3)); err != nil {
		return nil, err
	}
	if c.conv, err = f.conversion(ctx, b.link(4), 0); err != nil {
		return nil, err
	}
	if c.hasUnit = b.link(6) != 0; c.hasUnit {
		if c.unit, err = f.text(ctx, b.link(6)); err != nil {
			return nil, err
		}
	}
	if c.comment, err = f.text(ctx, b.link(7)); err != nil {
		return nil, err
	}
	return c, f.readComposition(ctx, c, b.link(1), depth)
}

// readComposition reads what a channel is made of: members, or an array.
func (f *file) readComposition(ctx context.Context, c *channel, off int64, depth int) error {
	if off == 0 {
		return nil
	}
	b, err := f.load(ctx, off, 0)
	if err != nil {
		if fatal(err) || errors.Is(err, pipeline.ErrLimit) {
			return err
		}
		f.missing(off, err, "the composition of channel %q cannot be read: %v", c.name, err)
		return nil
	}
	switch b.id {
	case "CN":
		c.members, err = f.readChannels(ctx, c.group, c, b.off, depth+1)
	case "CA":
		err = f.readArray(ctx, c, b.off, depth+1)
	default:
		c.foreign = b.id
	}
	return err
}
