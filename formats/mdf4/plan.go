package mdf4

import (
	"context"
	"errors"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// run is some consecutive records of a table: for each of its parts the bytes
// from the values of the first record on, and the distance between records.
type run struct {
	data  [][]byte
	step  []int
	n     int
	index int64 // of the first record in its group
}

// from returns the run without its first k records.
func (r *run) from(k, n int, into *run) *run {
	into.data = into.data[:0]
	for i, d := range r.data {
		if d != nil {
			d = d[k*r.step[i]:]
		}
		into.data = append(into.data, d)
	}
	into.step, into.n, into.index = r.step, n, r.index+int64(k)
	return into
}

// op decodes one channel into the columns made of it.
type op struct {
	s    *source
	conv *conversion.Converter

	// Columns to fill; nil where nobody wants them.
	value, raw, label *column.Column
	re, im            *column.Column
	ide, length       *column.Column

	keep    *column.Column // the raw values, where no column holds them
	phys    *column.Column // the physical values, where they are made integers
	lens    *op            // of values whose length another channel tells
	numbers []float64
	nulls   []int32
	scratch []byte
	text    int64 // texts that were not of their encoding

	view  *view     // values of variable length
	queue *vlsdList // the same, as records of their own
	limit int64
	room  int64 // bytes of values that still fit the batch
}

// valueError is a cell that cannot be read.
type valueError struct {
	reason string
	err    error
}

func (e *valueError) Error() string { return e.err.Error() }
func (e *valueError) Unwrap() error { return e.err }

func newOp(s *source, mem arrow.Allocator, limit int64) *op {
	o := &op{s: s, limit: limit, keep: column.New(mem, s.raw)}
	if s.prog != nil && !s.out.Identity() {
		o.conv = s.prog.NewConverter()
	}
	if s.out.Value {
		o.phys = column.New(mem, arrow.Float64Type)
	}
	if s.length != nil {
		o.lens = newOp(s.length, mem, limit)
	}
	return o
}

// varying reports whether decoding a cell may fail or take much memory.
func (o *op) varying() bool {
	return o.s.store != inRecord || o.s.kind == kindText || o.s.kind == kindBytes
}

func (o *op) release() {
	o.keep.Release()
	if o.phys != nil {
		o.phys.Release()
	}
	if o.lens != nil {
		o.lens.release()
	}
	if o.view != nil {
		o.view.close()
	}
}

// elements is the number of values in one record.
func (s *source) elements() int {
	if s.nest == nil {
		return 1
	}
	return len(s.nest.elems)
}

// leaf is the column that holds the elements of arrays.
func leaf(c *column.Column) *column.Column {
	for c.Kind == column.FixedList {
		c = c.Children[0]
	}
	return c
}

// targets lists the columns that are filled.
func (o *op) targets(fn func(*column.Column)) {
	for _, c := range []*column.Column{o.value, o.raw, o.label, o.re, o.im, o.ide, o.length} {
		if c != nil {
			fn(c)
		}
	}
}

// append decodes the records of r. It returns how many rows were appended to all
// of its columns: fewer than r.n where a cell cannot be read, which err then
// describes, or where the batch is full.
func (o *op) append(ctx context.Context, r *run) (int, error) {
	if o.s.allNull {
		o.targets(func(c *column.Column) { c.AppendNulls(r.n) })
		return r.n, nil
	}
	o.findNulls(r)
	switch o.s.kind {
	case kindText, kindBytes:
		return o.appendVarying(ctx, r)
	case kindComplex:
		o.appendComplex(r)
	case kindDate, kindTime:
		o.appendCalendar(r)
	default:
		o.appendNumbers(r)
	}
	return r.n, nil
}

// findNulls lists the rows whose invalidation bit is set.
func (o *op) findNulls(r *run) {
	o.nulls = o.nulls[:0]
	s := o.s
	if !s.nullable {
		return
	}
	data, step := r.data[s.invalPart], r.step[s.invalPart]
	at, mask := s.invalOff+s.invalBit/8, byte(1)<<(s.invalBit%8)
	for i := range r.n {
		if data[at]&mask != 0 {
			o.nulls = append(o.nulls, int32(i))
		}
		at += step
	}
}

// appendComplex decodes complex numbers into two columns.
func (o *op) appendComplex(r *run) {
	s := o.s
	half := *s
	half.kind, half.bits, half.size = kindFloat, s.bits/2, s.size/2
	for i, c := range []*column.Column{o.re, o.im} {
		if c == nil {
			continue
		}
		at := *o
		half.off = s.off + i*half.size
		at.s = &half
		first := c.N
		at.rawNumbers(r, c)
		o.setNulls(c, first, r)
	}
}

// appendCalendar decodes CANopen dates and times. What is no date is null, with
// its bytes in the raw column.
func (o *op) appendCalendar(r *run) {
	s := o.s
	next := 0
	elems := one
	if s.nest != nil {
		elems = s.nest.elems
	}
	for i := range r.n {
		null := next < len(o.nulls) && int(o.nulls[next]) == i
		if null {
			next++
		}
		for _, e := range elems {
			b := r.data[s.part][i*r.step[s.part]+s.off+int(e.off):][:s.size]
			if o.value != nil {
				c := leaf(o.value)
				var ns int64
				ok := true
				if s.kind == kindTime {
					ns = canopenTime(b)
				} else {
					ns, ok = canopenDate(b)
				}
				if ok && !null {
					c.AppendInt64(ns)
				} else {
					c.AppendNull()
				}
			}
			if o.raw != nil {
				if c := leaf(o.raw); null {
					c.AppendNull()
				} else {
					c.AppendBytes(b)
				}
			}
		}
	}
	o.targets(func(c *column.Column) { grownLists(c, r.n) })
}

var one = []element{{}}

// asValueError finds out which cell could not be read.
func asValueError(err error) (*valueError, bool) {
	var v *valueError
	return v, errors.As(err, &v)
}
