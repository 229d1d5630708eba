package mdf4

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/drivemill/drivemill/pipeline"
)

// decode decodes the records of a group whose values of variable length are
// there, or all of them.
func (c *unsortedCursor) decode(ctx context.Context, s *sorter, force bool) error {
	n := len(s.ordinals)
	if !force {
		n = s.ready()
	}
	if n == 0 {
		return nil
	}
	r := run{data: make([][]byte, len(s.out.t.parts)), step: make([]int, len(s.out.t.parts)), n: n, index: s.index}
	for i := range r.data {
		r.data[i], r.step[i] = s.buf, s.size
	}
	if err := s.out.add(ctx, &r, 0, s.ordinals[:n]); err != nil {
		return err
	}
	s.index += int64(n)
	rest := copy(s.buf, s.buf[n*s.size:])
	s.buf = s.buf[:rest]
	s.ordinals = append(s.ordinals[:0], s.ordinals[n:]...)
	c.held -= int64(n * s.size)
	for _, o := range s.queues {
		pos := int64(math.MaxInt64)
		if len(s.ordinals) > 0 {
			pos = o.position(s.buf)
		}
		o.queue.drop(pos, s.index)
	}
	return nil
}

// position reads where the value of the first record of buf lies.
func (o *op) position(buf []byte) int64 {
	pos := uint64(0)
	field := buf[o.s.off:][:o.s.size]
	for i := len(field) - 1; i >= 0; i-- {
		pos = pos<<8 | uint64(field[i])
	}
	return int64(min(pos, 1<<62))
}

// ready counts the records before the first one whose values are not all there.
func (s *sorter) ready() int {
	n := len(s.ordinals)
	for _, o := range s.queues {
		size := int64(-1)
		if o.s.store == inBare {
			size = 0 // what is missing behind it is found when it is read
		}
		for n > 0 && !o.queue.ready(o.position(s.buf[(n-1)*s.size:]), size, s.index+int64(n-1)) {
			n--
		}
	}
	return n
}

// finish decodes what is left and settles what is missing.
func (c *unsortedCursor) finish(ctx context.Context) error {
	if c.done {
		return io.EOF
	}
	c.done = true
	if err := c.sweep(ctx, true); err != nil {
		return err
	}
	lost := c.lost + c.st.short
	why := c.why
	if n := int64(len(c.carry)); n > 0 && !c.stop {
		lost += n
		if why == "" {
			why = fmt.Sprintf("the data end with %d bytes of an incomplete record", n)
		}
	}
	if s := c.st.problem(); s != "" && why == "" {
		why = s
	}
	told := false
	for _, s := range c.all {
		if s.surplus > 0 {
			c.d.tell(pipeline.Problem{Kind: "cycle_count", Table: tableName(s.out), Offset: s.g.off,
				Detail: fmt.Sprintf("the group claims %d records; %d more were left out", s.limit, s.surplus)})
		}
		if s.out == nil {
			continue
		}
		n := &s.out.counts
		if n.Indexed >= 0 {
			n.Lost = n.Indexed - n.Found
		}
		if n.Lost > 0 {
			detail := why
			if detail == "" {
				detail = "the data end before"
			}
			told = true
			c.d.tell(pipeline.Problem{Kind: "missing_rows", Table: s.out.t.Name, Offset: s.g.off, Loses: true,
				Detail: fmt.Sprintf("the group claims %d records and has %d: %s", n.Indexed, n.Found, detail)})
		}
		s.out.finish()
	}
	if lost > 0 && !told {
		c.d.tell(pipeline.Problem{Kind: "truncated", Offset: c.dg.off, Loses: true, Detail: fmt.Sprintf("%s: %d bytes are lost", why, lost)})
	}
	for _, s := range c.all {
		if s.out != nil && lost > 0 {
			s.out.counts.LostBytes = lost // of the stream: the first of its tables tells
			break
		}
	}
	return io.EOF
}
