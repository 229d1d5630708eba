package mdf4

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/pipeline"
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

// rawNumbers appends the numbers as they are stored to dst.
func (o *op) rawNumbers(r *run, dst *column.Column) {
	s := o.s
	k := s.elements()
	c := leaf(dst)
	size := r.n * k * s.width
	c.Grow(size)
	from := len(c.Data)
	c.Data = c.Data[:from+size]
	out := c.Data[from:]
	if s.kind == kindVirtual {
		for i := range r.n * k {
			v := uint64(r.index) + uint64(i/k)
			switch s.width {
			case 8:
				binary.LittleEndian.PutUint64(out[8*i:], v)
			case 4:
				binary.LittleEndian.PutUint32(out[4*i:], uint32(v))
			case 2:
				binary.LittleEndian.PutUint16(out[2*i:], uint16(v))
			default:
				out[i] = byte(v)
			}
		}
	} else if s.nest == nil {
		s.fields(out, s.width, r.data[s.part][s.off:], r.step[s.part], r.n)
	} else {
		for e, el := range s.nest.elems {
			s.fields(out[e*s.width:], k*s.width, r.data[s.part][s.off+int(el.off):], r.step[s.part], r.n)
		}
	}
	c.N += r.n * k
	if dst != c {
		grownLists(dst, r.n)
	}
}

// grownLists counts n more rows of the lists around a leaf that was counted.
func grownLists(c *column.Column, n int) {
	for c.Kind == column.FixedList {
		c.N += n
		n *= c.Width
		c = c.Children[0]
	}
}

// setNulls makes null what the invalidation bits say. first is the row of c that
// the run begins at.
func (o *op) setNulls(c *column.Column, first int, r *run) {
	for _, i := range o.nulls {
		c.SetNull(first + int(i))
	}
	if o.s.nest == nil || !o.s.nullable {
		return
	}
	// Elements may have bits of their own.
	k := len(o.s.nest.elems)
	inner := leaf(c)
	data, step := r.data[o.s.invalPart], r.step[o.s.invalPart]
	for e, el := range o.s.nest.elems {
		if el.inval == 0 {
			continue
		}
		bit := int64(o.s.invalBit) + el.inval
		at := int64(o.s.invalOff) + bit>>3
		if bit < 0 || bit>>3 >= o.s.ch.group.inval {
			continue
		}
		for i := range r.n {
			if data[at+int64(i*step)]&(1<<(bit&7)) != 0 {
				inner.SetNull((first+i)*k + e)
			}
		}
	}
}

// appendNumbers decodes integers, floating point numbers and record indices.
func (o *op) appendNumbers(r *run) {
	s := o.s
	raw := o.raw
	if raw == nil && !s.out.Value {
		raw = o.value
	}
	if raw == nil {
		raw = o.keep
		raw.Reset()
	}
	first := raw.N
	if raw == o.keep && s.nest != nil {
		// The scratch column is flat.
		o.rawNumbers(r, raw)
		o.flatNulls(raw, r)
	} else {
		o.rawNumbers(r, raw)
		o.setNulls(raw, first, r)
	}
	if o.ide != nil {
		o.appendIDE(r)
		o.setRowNulls(o.ide, r.n)
	}
	if o.length != nil {
		o.appendLength(raw, first, r.n)
		o.setRowNulls(o.length, r.n)
	}
	if o.conv == nil {
		return
	}
	k := s.elements()
	in, from := leaf(raw), first*k
	if raw == o.keep {
		from = 0
	}
	value, label := o.value, o.label
	if !s.out.Value {
		value = nil
	}
	if value != nil && s.integer {
		value = o.phys
		value.Reset()
	}
	var v, l *column.Column
	if value != nil {
		v = leaf(value)
	}
	if label != nil {
		l = leaf(label)
	}
	if v != nil || l != nil {
		o.conv.Apply(in, from, from+r.n*k, v, l)
	}
	if value != nil && s.integer {
		appendIntegers(leaf(o.value), o.phys, s.intType)
		value = o.value
	}
	if s.nest != nil {
		for _, c := range []*column.Column{value, label} {
			if c != nil {
				at := c.N
				grownLists(c, r.n)
				for _, i := range o.nulls {
					c.SetNull(at + int(i))
				}
			}
		}
	}
}

// setRowNulls makes null what the invalidation bits say of the last n rows of c.
func (o *op) setRowNulls(c *column.Column, n int) {
	for _, i := range o.nulls {
		c.SetNull(c.N - n + int(i))
	}
}

// flatNulls makes null the elements of rows that are null, in a column without
// lists.
func (o *op) flatNulls(c *column.Column, r *run) {
	k := o.s.elements()
	for _, i := range o.nulls {
		for e := range k {
			c.SetNull(int(i)*k + e)
		}
	}
}

// appendIntegers appends the whole numbers of src, which is float64, to dst.
// What is none, or does not fit, is null.
func appendIntegers(dst, src *column.Column, t arrow.DataType) {
	w := typeWidth(t)
	most := math.Ldexp(1, 8*w)
	var b [8]byte
	for i := range src.N {
		x := math.Float64frombits(binary.LittleEndian.Uint64(src.Data[8*i:]))
		if !src.Valid(i) || !(x >= 0 && x < most) || x != math.Trunc(x) {
			dst.AppendNull()
			continue
		}
		binary.LittleEndian.PutUint64(b[:], uint64(x))
		dst.AppendFixed(b[:w])
	}
}

// appendIDE takes bit 31 of the identifier.
func (o *op) appendIDE(r *run) {
	data, step := r.data[o.s.part], r.step[o.s.part]
	at := o.s.off + 3
	if o.s.big {
		at = o.s.off
	}
	o.ide.Grow(r.n)
	for range r.n {
		o.ide.Data = append(o.ide.Data, data[at]>>7)
		at += step
	}
	o.ide.N += r.n
}

// appendLength makes the length of payloads from data length codes.
func (o *op) appendLength(raw *column.Column, first, n int) {
	o.length.Grow(2 * n)
	for i := range n {
		o.length.Data = append(o.length.Data, fdLength[raw.Data[(first+i)*raw.Width]&15], 0)
	}
	o.length.N += n
}

// floats decodes the physical values of r as numbers; NaN stands for null.
func (o *op) floats(r *run) []float64 {
	if cap(o.numbers) < r.n {
		o.numbers = make([]float64, r.n)
	}
	out := o.numbers[:r.n]
	if o.s.allNull {
		for i := range out {
			out[i] = math.NaN()
		}
		return out
	}
	o.findNulls(r)
	o.keep.Reset()
	o.rawNumbers(r, o.keep)
	o.setNulls(o.keep, 0, r)
	c := o.keep
	if o.conv != nil && o.s.out.Value {
		o.phys.Reset()
		o.conv.Apply(o.keep, 0, r.n, o.phys, nil)
		c = o.phys
	}
	columnFloats(out, c)
	if c.Nulls > 0 {
		for i := range out {
			if !c.Valid(i) {
				out[i] = math.NaN()
			}
		}
	}
	return out
}

// columnFloats reads a numeric column as float64.
func columnFloats(out []float64, c *column.Column) {
	d := c.Data
	switch c.Type.ID() {
	case arrow.FLOAT64:
		for i := range out {
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(d[8*i:]))
		}
	case arrow.FLOAT32:
		for i := range out {
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(d[4*i:])))
		}
	case arrow.UINT8:
		for i := range out {
			out[i] = float64(d[i])
		}
	case arrow.INT8:
		for i := range out {
			out[i] = float64(int8(d[i]))
		}
	case arrow.UINT16:
		for i := range out {
			out[i] = float64(binary.LittleEndian.Uint16(d[2*i:]))
		}
	case arrow.INT16:
		for i := range out {
			out[i] = float64(int16(binary.LittleEndian.Uint16(d[2*i:])))
		}
	case arrow.UINT32:
		for i := range out {
			out[i] = float64(binary.LittleEndian.Uint32(d[4*i:]))
		}
	case arrow.INT32:
		for i := range out {
			out[i] = float64(int32(binary.LittleEndian.Uint32(d[4*i:])))
		}
	case arrow.INT64, arrow.TIMESTAMP:
		for i := range out {
			out[i] = float64(int64(binary.LittleEndian.Uint64(d[8*i:])))
		}
	default:
		for i := range out {
			out[i] = float64(binary.LittleEndian.Uint64(d[8*i:]))
		}
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

// asValueError finds out which cell could not be read.
func asValueError(err error) (*valueError, bool) {
	var v *valueError
	return v, errors.As(err, &v)
}
