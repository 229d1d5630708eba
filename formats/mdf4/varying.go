package mdf4

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/column"
)

// appendVarying decodes texts and byte arrays.
func (o *op) appendVarying(ctx context.Context, r *run) (int, error) {
	s := o.s
	raw := o.raw
	if raw == nil && !s.out.Value && !s.out.Text {
		raw = o.value
	}
	if raw == nil {
		raw = o.keep
		raw.Reset()
	}
	elems := one
	if s.nest != nil {
		elems = s.nest.elems
	}
	var lens []float64
	if o.lens != nil {
		lens = o.lens.floats(r)
		if s.length.ch.sync == 0 && frameDLC(s.length.ch) && s.store == inLength && s.ch.kind == chanFixed {
			for i, n := range lens {
				if n >= 0 && n < 16 {
					lens[i] = float64(fdLength[int(n)])
				}
			}
		}
	}
	c := leaf(raw)
	first, outer := c.N, raw.N
	next, rows := 0, 0
	budget := o.room
	var failed error
scan:
	for rows < r.n && (budget > 0 || rows == 0) {
		null := next < len(o.nulls) && int(o.nulls[next]) == rows
		for _, e := range elems {
			if null {
				c.AppendNull()
				continue
			}
			b, err := o.bytes(ctx, r, rows, int(e.off), lens)
			if err != nil {
				failed = err
				c.Truncate(first + rows*len(elems))
				break scan
			}
			budget -= int64(len(b)) + 4
			if s.kind == kindBytes {
				c.AppendBytes(b)
				continue
			}
			var ok bool
			if o.scratch, ok = appendText(o.scratch[:0], b, s.dt, s.store == inStream || s.store == inBare); !ok {
				o.text++
			}
			c.AppendBytes(o.scratch)
		}
		if null {
			next++
		}
		rows++
	}
	if raw != o.keep {
		grownLists(raw, rows)
	}
	if s.nest != nil && raw != o.keep {
		for _, i := range o.nulls {
			if int(i) < rows {
				raw.SetNull(outer + int(i))
			}
		}
	}
	if o.conv != nil && rows > 0 {
		value, label := (*column.Column)(nil), o.label
		if s.out.Text {
			label = o.value
		} else if s.out.Value {
			value = o.value
		}
		var v, l *column.Column
		if value != nil {
			v = leaf(value)
		}
		if label != nil {
			l = leaf(label)
		}
		if v != nil || l != nil {
			o.conv.Apply(c, first, first+rows*len(elems), v, l)
			for _, t := range []*column.Column{value, label} {
				if t != nil {
					grownLists(t, rows)
				}
			}
		}
	}
	return rows, failed
}

func frameDLC(c *channel) bool { return frameColumn("", lastName(c.name)) == "dlc" }

func lastName(s string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '.' {
			return s[i+1:]
		}
	}
	return s
}

// bytes finds the bytes of one value, valid until the next call.
func (o *op) bytes(ctx context.Context, r *run, row, off int, lens []float64) ([]byte, error) {
	s := o.s
	field := r.data[s.part][row*r.step[s.part]+s.off+off:][:s.size]
	switch s.store {
	case inRecord:
		return field, nil
	case inLength:
		n := lens[row]
		if !(n >= 0) {
			return nil, &valueError{"bad_length", fmt.Errorf("channel %q: the length of a value is %v: %w", s.ch.name, n, pipeline.ErrCorrupt)}
		}
		return field[:int(math.Min(n, float64(len(field))))], nil
	}
	pos := uint64(0)
	for i := len(field) - 1; i >= 0; i-- {
		pos = pos<<8 | uint64(field[i])
	}
	size := int64(-1)
	if s.store == inBare {
		if n := lens[row]; n >= 0 && n <= float64(o.limit) {
			size = int64(n)
		} else {
			return nil, &valueError{"bad_length", fmt.Errorf("channel %q: the length of a value is %v, limit %d: %w", s.ch.name, n, o.limit, pipeline.ErrCorrupt)}
		}
	}
	if o.queue != nil {
		b, err := o.queue.at(int64(min(pos, 1<<62)), size, r.index+int64(row))
		if err != nil {
			return nil, &valueError{"bad_offset", fmt.Errorf("channel %q: %w", s.ch.name, err)}
		}
		return b, nil
	}
	b, err := o.stored(ctx, int64(min(pos, 1<<62)), size)
	if err != nil && !fatal(err) {
		return nil, &valueError{"bad_offset", fmt.Errorf("channel %q: %w", s.ch.name, err)}
	}
	return b, err
}

// stored reads a value from its stream: its length first, unless it is known.
func (o *op) stored(ctx context.Context, pos, size int64) ([]byte, error) {
	if o.view == nil {
		return nil, fmt.Errorf("there are no values: %w", pipeline.ErrCorrupt)
	}
	if size < 0 {
		b, err := o.view.at(ctx, pos, 4)
		if err != nil {
			return nil, err
		}
		size, pos = int64(binary.LittleEndian.Uint32(b)), pos+4
		if size > o.limit {
			return nil, fmt.Errorf("the value at position %d claims %d bytes, limit %d: %w", pos-4, size, o.limit, pipeline.ErrLimit)
		}
	}
	return o.view.at(ctx, pos, size)
}
