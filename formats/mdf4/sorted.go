package mdf4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/drivemill/drivemill/pipeline"
)

// cursor decodes the tables of one data group, a step at a time.
type cursor interface {
	// step decodes some records; io.EOF after the last.
	step(ctx context.Context) error
	// flush delivers the rows that are held.
	flush()
	// mark is an ordinal that no row to come lies before.
	mark() int64
	close()
}

// partReader cuts the stream of one part into records.
type partReader struct {
	p     part
	st    *stream
	buf   []byte // whole records first
	rest  []byte // of the chunk, behind buf
	carry []byte // a record that lies in several chunks
	pos   int64  // position in the stream behind rest
	skip  int64  // bytes to leave out, up to the next record
	row   int64  // of buf
	end   bool
	torn  int64 // bytes of an incomplete last record
	gap   int64 // bytes missing
	first error // why
}

// fill makes at least one record available and returns how many there are; 0
// at the end.
func (p *partReader) fill(ctx context.Context) (int, error) {
	size := p.p.stride
	for {
		if n := len(p.buf) / size; n > 0 {
			return n, nil
		}
		if len(p.buf) > 0 {
			p.carry = append(p.carry[:0], p.buf...)
			p.buf = nil
		}
		if len(p.rest) == 0 {
			if p.end {
				p.torn = int64(len(p.carry))
				p.carry = p.carry[:0]
				return 0, nil
			}
			if err := p.more(ctx); err != nil {
				return 0, err
			}
			continue
		}
		if p.skip > 0 {
			n := min(p.skip, int64(len(p.rest)))
			p.rest, p.skip = p.rest[n:], p.skip-n
			continue
		}
		if len(p.carry) == 0 {
			p.buf, p.rest = p.rest, nil
			continue
		}
		n := min(size-len(p.carry), len(p.rest))
		p.carry = append(p.carry, p.rest[:n]...)
		p.rest = p.rest[n:]
		if len(p.carry) == size {
			p.buf = p.carry
			p.carry = p.carry[:0]
		}
	}
}

// more takes the next chunk. A gap makes the records it touches missing.
func (p *partReader) more(ctx context.Context) error {
	c, err := p.st.next(ctx)
	if errors.Is(err, io.EOF) {
		p.end = true
		return nil
	}
	if err != nil {
		return err
	}
	if c.err == nil {
		p.rest = c.data
		p.pos += int64(len(c.data))
		return nil
	}
	if p.first == nil {
		p.first = c.err
	}
	p.gap += c.gap
	if c.gap == 0 {
		p.end = true
		return nil
	}
	p.pos += c.gap
	p.carry = p.carry[:0]
	size := int64(p.p.stride)
	p.row = (p.pos + size - 1) / size
	p.skip = p.row*size - p.pos
	return nil
}

// advance passes n records.
func (p *partReader) advance(n int) {
	p.buf = p.buf[n*p.p.stride:]
	p.row += int64(n)
}

// sortedCursor decodes a table whose records lie in streams of their own. Row i
// of the table is record i of each of its parts.
type sortedCursor struct {
	t     *table
	out   *rows
	parts []*partReader // nil for parts nobody reads
	row   int64
	limit int64 // rows as claimed; -1 unknown
	base  int64
	run   run
	done  bool
}

func newSorted(ctx context.Context, d *decoder, t *table, b *rows) *sortedCursor {
	c := &sortedCursor{t: t, out: b, limit: t.rows, base: int64(t.g.dg.index) << originShift, parts: make([]*partReader, len(t.parts))}
	c.run.data, c.run.step = make([][]byte, len(t.parts)), make([]int, len(t.parts))
	for i, p := range t.parts {
		c.run.step[i] = p.stride
		if !b.need[i] || p.stride == 0 {
			continue
		}
		seg := d.f.newSegments(newWindow(d.f.src, d.window), p.g.dg.data)
		seg.inval, seg.width = p.inval, p.g.data
		if p.inval {
			seg.width = p.g.inval
		}
		c.parts[i] = &partReader{p: p, st: newStream(ctx, seg, d.workers)}
	}
	b.open(d.viewBudget(b.streams()))
	return c
}

func (c *sortedCursor) flush()      { c.out.flush() }
func (c *sortedCursor) mark() int64 { return c.out.place(c.base + c.row) }

// step implements cursor.
func (c *sortedCursor) step(ctx context.Context) error {
	if c.done {
		return io.EOF
	}
	n, err := c.align(ctx)
	if err != nil {
		return c.out.dec.located(c.t.Name, c.row, err)
	}
	if n == 0 {
		c.finish()
		return io.EOF
	}
	c.run.n, c.run.index = n, c.row
	for i, p := range c.parts {
		if p != nil {
			c.run.data[i] = p.buf[p.p.skip:]
		}
	}
	c.out.counts.Bytes += int64(n) * int64(c.stride())
	if err := c.out.add(ctx, &c.run, c.base+c.row, nil); err != nil {
		return err
	}
	for _, p := range c.parts {
		if p != nil {
			p.advance(n)
		}
	}
	c.row += int64(n)
	c.stopEarly()
	return nil
}

// stopEarly passes over all that follows once the end of the time range is
// reached, where the master is declared to rise with every record and the group
// tells how many there are.
func (c *sortedCursor) stopEarly() {
	b := c.out
	d := b.dec
	if d.sel.To == 0 || b.master == nil || c.limit < 0 || !d.start.utc || b.master.s.ch.flags&cnStrictlyRising == 0 || len(b.times) == 0 {
		return
	}
	if last := len(b.times) - 1; !b.timed[last] || b.times[last] < d.sel.To || b.backward {
		return
	}
	rest := c.limit - c.row
	b.counts.Found += rest
	b.counts.Unselected += rest
	b.counts.Bytes += rest * int64(c.stride())
	c.row = c.limit
}

// stride is the size of a row over all parts that are read.
func (c *sortedCursor) stride() int {
	n := 0
	for _, p := range c.parts {
		if p != nil {
			n += p.p.stride
		}
	}
	return n
}

// align finds the next rows that all parts have, at most a block.
func (c *sortedCursor) align(ctx context.Context) (int, error) {
	size := max(1, c.stride())
	most := int64(max(16, min(blockRows, (256<<10)/size)))
	for {
		if c.limit >= 0 {
			most = min(most, c.limit-c.row)
		}
		if most <= 0 {
			return 0, nil
		}
		n, ahead, read := most, c.row, false
		for _, p := range c.parts {
			if p == nil {
				continue
			}
			k, err := p.fill(ctx)
			if err != nil {
				return 0, err
			}
			if k == 0 {
				return 0, nil
			}
			n, ahead, read = min(n, int64(k)), max(ahead, p.row), true
		}
		if !read {
			return int(c.virtual(n)), nil
		}
		if ahead == c.row {
			return int(n), nil
		}
		// Rows are missing in some part: the others pass them.
		for _, p := range c.parts {
			if p != nil && p.row < ahead {
				p.advance(int(min(ahead-p.row, int64(len(p.buf)/p.p.stride))))
			}
		}
		behind := int64(math.MaxInt64)
		for _, p := range c.parts {
			if p != nil {
				behind = min(behind, p.row)
			}
		}
		c.row = max(c.row, behind)
	}
}

// virtual bounds the rows of records without bytes, of which only the counter
// tells.
func (c *sortedCursor) virtual(n int64) int64 {
	if c.limit < 0 {
		return 0
	}
	return min(n, c.t.f.lim.VirtualRows-c.row)
}

// finish settles what is missing.
func (c *sortedCursor) finish() {
	if c.done {
		return
	}
	c.done = true
	c.out.flush()
	count := &c.out.counts
	var lost int64
	var why string
	for _, p := range c.parts {
		if p == nil {
			continue
		}
		if p.first != nil {
			why = p.first.Error()
		}
		if s := p.st.problem(); s != "" && why == "" {
			why = s
		}
		lost += p.gap + p.st.short
		if c.limit < 0 || count.Found < c.limit {
			lost += p.torn
			if p.torn > 0 && why == "" {
				why = fmt.Sprintf("the data end with %d bytes of an incomplete record", p.torn)
			}
		}
	}
	if count.Indexed >= 0 {
		count.Lost = count.Indexed - count.Found
	}
	switch {
	case count.Lost > 0:
		if why == "" {
			why = "its data end before"
		}
		c.out.dec.tell(pipeline.Problem{Kind: "missing_rows", Table: c.t.Name, Offset: c.t.g.off, Loses: true,
			Detail: fmt.Sprintf("the group claims %d records and has %d: %s", count.Indexed, count.Found, why)})
		count.LostBytes = lost
	case lost > 0 && count.Indexed < 0:
		c.out.dec.tell(pipeline.Problem{Kind: "truncated", Table: c.t.Name, Offset: c.t.g.off, Loses: true, Detail: why})
		count.LostBytes = lost
	}
	c.out.finish()
}

func (c *sortedCursor) close() {
	for _, p := range c.parts {
		if p != nil {
			p.st.close()
		}
	}
	c.out.release()
}

// finish reports what was found out about a table while it was decoded.
func (b *rows) finish() {
	tell := func(kind, format string, args ...any) {
		b.dec.tell(pipeline.Problem{Kind: kind, Table: b.t.Name, Offset: b.t.g.off, Detail: fmt.Sprintf(format, args...)})
	}
	for _, o := range b.ops {
		if o.text > 0 {
			tell("invalid_text", "channel %q: %d texts are not in the encoding of the channel", o.s.ch.fullName(), o.text)
		}
	}
	if b.untimed > 0 {
		tell("no_time", "%d records have no time", b.untimed)
	}
	if b.backward && b.dec.sel.Order == pipeline.LogOrder {
		tell("time_goes_back", "times go back: rows are delivered as they lie")
	}
}

func errNoColumn(table, name string) error {
	return fmt.Errorf("table %s has no column %q: %w", table, name, pipeline.ErrSchema)
}
