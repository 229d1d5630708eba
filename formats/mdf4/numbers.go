package mdf4

import (
	"encoding/binary"
	"math"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

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
