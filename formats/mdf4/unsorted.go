package mdf4

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline"
)

// unsortedCursor decodes a data group whose stream mixes the records of several
// groups. It goes through the stream once: records are sorted into buffers by
// group, and decoded a block of each group at a time. Values stored as records
// of their own are kept until the records that refer to them were decoded.
type unsortedCursor struct {
	d     *decoder
	dg    *dataGroup
	st    *stream
	all   []*sorter
	small []*sorter          // by record id
	byID  map[uint64]*sorter // where ids are large
	carry []byte
	base  int64
	scale int64 // ordinals of a record
	count int64 // records so far, those that are values left out
	held  int64 // bytes in buffers
	lost  int64
	why   string
	stop  bool
	done  bool
}

// sorter takes the records of one group.
type sorter struct {
	g    *group
	size int   // of a record without its id; -1 for those with a length
	out  *rows // nil where the table was not selected
	list *vlsdList

	buf      []byte
	ordinals []int64
	index    int64 // of the first record in buf
	seen     int64 // records
	limit    int64
	surplus  int64
	block    int // records decoded at once
	queues   []*op
}

func newUnsorted(ctx context.Context, d *decoder, dg *dataGroup, outs map[*group]*rows) *unsortedCursor {
	f := d.f
	c := &unsortedCursor{d: d, dg: dg, base: int64(dg.index) << originShift, scale: 1, byID: make(map[uint64]*sorter)}
	lists := make(map[*group]*vlsdList)
	for _, g := range dg.groups {
		s := &sorter{g: g, size: int(g.data + g.inval), limit: -1}
		if g.varying() {
			s.size = -1
		} else if !f.id.unfinished(unfinCycles) {
			s.limit = g.cycles
		}
		c.all = append(c.all, s)
		if int64(s.size) > f.lim.Record {
			continue // left out: its records end the stream
		}
		if c.byID[g.id] == nil {
			c.byID[g.id] = s
		} else {
			d.tell(pipeline.Problem{Kind: "bad_block", Offset: g.off, Detail: fmt.Sprintf("two groups of a data group have the record id %d", g.id)})
		}
		if s.out = outs[g]; s.out == nil {
			continue
		}
		c.scale = s.out.scale
		s.block = max(16, min(blockRows, (256<<10)/max(1, s.size)))
		s.out.open(d.viewBudget(s.out.streams()))
		for _, o := range s.out.ops {
			if r := o.s.record; r != nil {
				if lists[r] == nil {
					lists[r] = &vlsdList{bare: r.flags&cgVLSC != 0,
						order: r.flags&cgVLSC == 0 && f.id.unfinished(unfinVLSDOffset) || r.flags&cgVLSC != 0 && f.id.unfinished(unfinVLSCOffset)}
				}
				o.queue = lists[r]
				s.queues = append(s.queues, o)
			}
		}
	}
	for _, s := range c.all {
		s.list = lists[s.g]
	}
	if dg.idSize <= 2 {
		n := 1
		for id := range c.byID {
			n = max(n, int(min(id, 1<<16))+1)
		}
		c.small = make([]*sorter, n)
		for id, s := range c.byID {
			if id < uint64(n) {
				c.small[id] = s
			}
		}
	}
	seg := f.newSegments(newWindow(f.src, d.window), dg.data)
	c.st = newStream(ctx, seg, d.workers)
	return c
}

// step takes one chunk apart.
func (c *unsortedCursor) step(ctx context.Context) error {
	if c.done {
		return io.EOF
	}
	if c.stop {
		return c.finish(ctx)
	}
	k, err := c.st.next(ctx)
	if errors.Is(err, io.EOF) {
		return c.finish(ctx)
	}
	if err != nil {
		return c.d.located("", c.count, err)
	}
	if k.err != nil {
		// Where the next record begins nobody knows.
		c.stop, c.why, c.lost = true, k.err.Error(), k.gap
		return nil
	}
	if err := c.take(ctx, k.data); err != nil || !c.d.opt.Steps {
		return err
	}
	return c.sweep(ctx, false)
}

// take sorts the records of a chunk into their groups.
func (c *unsortedCursor) take(ctx context.Context, b []byte) error {
	for len(c.carry) > 0 && len(b) > 0 {
		// The record that lies in two chunks, or more.
		size, ok := c.recordSize(c.carry)
		need := c.headSize(c.carry)
		if ok {
			need = size
		}
		if need < 0 {
			return c.unknown(c.carry, b)
		}
		n := min(need-len(c.carry), len(b))
		c.carry = append(c.carry, b[:n]...)
		b = b[n:]
		if size, ok = c.recordSize(c.carry); ok && len(c.carry) >= size {
			rec := c.carry
			c.carry = nil
			if err := c.record(ctx, rec); err != nil {
				return err
			}
			c.carry = rec[:0]
		}
	}
	for len(b) > 0 {
		size, ok := c.recordSize(b)
		if !ok && c.headSize(b) < 0 {
			return c.unknown(nil, b)
		}
		if !ok || size > len(b) {
			c.carry = append(c.carry[:0], b...)
			return nil
		}
		if err := c.record(ctx, b[:size]); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// unknown ends the stream at a record of no group: there is no way to find the
// next.
func (c *unsortedCursor) unknown(carry, b []byte) error {
	c.stop = true
	c.lost = int64(len(carry) + len(b))
	c.why = fmt.Sprintf("record %d has the id %d, which no group has", c.count, c.id(append(carry, b[:min(len(b), 8)]...)))
	c.carry = c.carry[:0]
	return nil
}

// id reads a record id; the bytes are there.
func (c *unsortedCursor) id(b []byte) uint64 {
	switch c.dg.idSize {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	case 8:
		return binary.LittleEndian.Uint64(b)
	}
	return c.all[0].g.id
}

func (c *unsortedCursor) sorter(b []byte) *sorter {
	if c.dg.idSize == 0 {
		return c.all[0]
	}
	id := c.id(b)
	if c.small != nil {
		if id < uint64(len(c.small)) {
			return c.small[id]
		}
		return nil
	}
	return c.byID[id]
}

// recordSize returns the size of the record that b begins with, its id
// included; ok is false where b is too short to tell, or its id unknown.
func (c *unsortedCursor) recordSize(b []byte) (size int, ok bool) {
	k := c.dg.idSize
	if len(b) < k {
		return 0, false
	}
	s := c.sorter(b)
	switch {
	case s == nil:
		return 0, false
	case s.size >= 0:
		return k + s.size, true
	case len(b) < k+4:
		return 0, false
	}
	n := int64(binary.LittleEndian.Uint32(b[k:]))
	if n > c.d.f.lim.Value {
		return 0, false
	}
	return k + 4 + int(n), true
}

// headSize is how many bytes tell the size of the record that b begins with; -1
// for a record of no group, or one that is too large.
func (c *unsortedCursor) headSize(b []byte) int {
	k := c.dg.idSize
	if len(b) < k {
		return k
	}
	s := c.sorter(b)
	switch {
	case s == nil:
		return -1
	case s.size >= 0:
		return k + s.size
	case len(b) < k+4:
		return k + 4
	}
	return -1
}

// record takes one whole record.
func (c *unsortedCursor) record(ctx context.Context, b []byte) error {
	k := c.dg.idSize
	s := c.sorter(b)
	if s.size < 0 {
		if s.list != nil {
			s.list.add(b[k+4:])
			s.list.bound()
		}
		return nil
	}
	at := c.base + c.count
	c.count++
	if len(b) == k && s.size == 0 && k == 0 {
		return nil
	}
	if s.limit >= 0 && s.seen >= s.limit {
		s.surplus++
		return nil
	}
	s.seen++
	if s.out == nil {
		return nil
	}
	s.buf = append(s.buf, b[k:]...)
	s.ordinals = append(s.ordinals, at)
	c.held += int64(s.size)
	s.out.counts.Bytes += int64(len(b))
	if len(s.ordinals) >= s.block {
		if err := c.decode(ctx, s, false); err != nil {
			return err
		}
		if len(s.ordinals) >= 4*s.block {
			return c.decode(ctx, s, true)
		}
	}
	if c.held > 8*c.d.batchBytes {
		return c.sweep(ctx, false)
	}
	return nil
}

// sweep decodes and delivers what all groups hold.
func (c *unsortedCursor) sweep(ctx context.Context, force bool) error {
	c.held = 0
	for _, s := range c.all {
		if s.out == nil {
			continue
		}
		if err := c.decode(ctx, s, force); err != nil {
			return err
		}
		s.out.flush()
	}
	for _, s := range c.all {
		c.held += int64(len(s.buf))
	}
	return nil
}

func (c *unsortedCursor) flush() {
	for _, s := range c.all {
		if s.out != nil {
			s.out.flush()
		}
	}
}

// mark is the least ordinal of the records that wait.
func (c *unsortedCursor) mark() int64 {
	at := c.base + c.count
	for _, s := range c.all {
		if s.out == nil {
			continue
		}
		if len(s.ordinals) > 0 {
			at = min(at, s.ordinals[0])
		}
		if s.out.n > 0 {
			at = min(at, s.out.first)
		}
	}
	return scaled(at, c.scale)
}

func tableName(b *rows) string {
	if b == nil {
		return ""
	}
	return b.t.Name
}

func (c *unsortedCursor) close() {
	c.st.close()
	for _, s := range c.all {
		if s.out != nil {
			s.out.release()
		}
	}
}
