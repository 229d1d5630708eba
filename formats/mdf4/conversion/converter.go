package conversion

import (
	"encoding/binary"
	"math"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// blockRows is how many rows a kernel treats at once.
const blockRows = 1024

// noLabel stands for no text. Labels from 0 on are texts of the program;
// composed ones, which bitfields make, count down from noLabel-1.
const noLabel = -1

// vec is a vector of raw numbers.
type vec struct {
	n      int
	f      []float64 // the numbers, rounded where float64 does not hold them
	bits   []uint64  // two's complement, where domain is signed or unsigned
	domain domain
}

// result is what rows of a vector become. A row has a number, or a label, or
// nothing: has tells of the number, label is noLabel where there is no text.
type result struct {
	num   []float64
	has   []bool
	label []int32
}

func newResult(n int) result {
	return result{make([]float64, n), make([]bool, n), make([]int32, n)}
}

func (r result) slice(from, to int) result {
	return result{r.num[from:to], r.has[from:to], r.label[from:to]}
}

// frame is the scratch memory of one level of nesting.
type frame struct {
	found []int32 // entry of each row
	// Rows of each rule, as a list: head by rule, next by row.
	head, next []int32
	rules      []int32
	sub        vec
	rows       []int32
	out        result
	cells      result // of all masks of a bitfield
}

// Converter applies a Program. It keeps scratch memory and belongs to one
// goroutine at a time; it allocates nothing per row.
type Converter struct {
	p      *Program
	in     vec
	out    result
	frames []*frame
	regs   [][]float64 // registers of formulas
	arena  []byte      // composed labels of the block at hand
	ends   []int32     // their ends in arena
}

// NewConverter returns a converter for p.
func (p *Program) NewConverter() *Converter {
	return &Converter{
		p:   p,
		in:  vec{f: make([]float64, blockRows), bits: make([]uint64, blockRows)},
		out: newResult(blockRows),
	}
}

// Apply converts values [from, to) of raw and appends a cell for each to value
// (float64) and label (string); a null stays a null. Either may be nil where
// nobody wants it or where Output says that there is none. raw is an integer or
// floating point column of 1 to 8 bytes, or a string or binary one for programs
// compiled for Text; it is not changed.
func (c *Converter) Apply(raw *column.Column, from, to int, value, label *column.Column) {
	if !c.p.out.Value {
		value = nil
	}
	if !c.p.out.Label && !c.p.out.Text {
		label = nil
	}
	if value == nil && label == nil {
		return
	}
	if c.p.in == Text {
		c.applyText(raw, from, to, value, label)
		return
	}
	for from < to {
		n := min(to-from, blockRows)
		c.in.load(raw, from, n)
		c.arena, c.ends = c.arena[:0], c.ends[:0]
		out := c.out.slice(0, n)
		c.eval(c.p.root, &c.in, out, 0)
		if raw.Nulls > 0 {
			for i := range n {
				if !raw.Valid(from + i) {
					out.has[i], out.label[i] = false, noLabel
				}
			}
		}
		if value != nil {
			appendNumbers(value, out)
		}
		if label != nil {
			c.appendLabels(label, out)
		}
		from += n
	}
}

func appendNumbers(dst *column.Column, r result) {
	dst.Grow(8 * len(r.num))
	for i := 0; i < len(r.num); {
		if !r.has[i] {
			j := i + 1
			for j < len(r.num) && !r.has[j] {
				j++
			}
			dst.AppendNulls(j - i)
			i = j
			continue
		}
		data := dst.Data
		j := i
		for ; j < len(r.num) && r.has[j]; j++ {
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(r.num[j]))
		}
		dst.Data = data
		dst.N += j - i
		i = j
	}
}

func (c *Converter) appendLabels(dst *column.Column, r result) {
	dst.GrowOffsets(len(r.label))
	for i := 0; i < len(r.label); i++ {
		switch l := r.label[i]; {
		case l >= 0:
			dst.AppendString(c.p.texts[l])
		case l < noLabel:
			dst.AppendBytes(c.composed(l))
		default:
			j := i + 1
			for j < len(r.label) && r.label[j] == noLabel {
				j++
			}
			dst.AppendNulls(j - i)
			i = j - 1
		}
	}
}

// composed returns the text of a label that a bitfield has made.
func (c *Converter) composed(label int32) []byte {
	i := -int(label) - 2
	start := int32(0)
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.arena[start:c.ends[i]]
}

// load fills v with n values of a column.
func (v *vec) load(raw *column.Column, from, n int) {
	v.n, v.domain = n, signed
	f, bits := v.f[:n], v.bits[:n]
	data := raw.Data[from*raw.Width : (from+n)*raw.Width]
	le := binary.LittleEndian
	switch raw.Type.ID() {
	case arrow.FLOAT64:
		v.domain = floats
		for i := range f {
			f[i] = math.Float64frombits(le.Uint64(data[8*i:]))
		}
	case arrow.FLOAT32:
		v.domain = floats
		for i := range f {
			f[i] = float64(math.Float32frombits(le.Uint32(data[4*i:])))
		}
	case arrow.UINT64:
		v.domain = unsigned
		for i := range f {
			bits[i] = le.Uint64(data[8*i:])
			f[i] = float64(bits[i])
		}
	case arrow.UINT8:
		for i := range f {
			x := int64(data[i])
			bits[i], f[i] = uint64(x), float64(x)
		}
	case arrow.INT8:
		for i := range f {
			x := int64(int8(data[i]))
			bits[i], f[i] = uint64(x), float64(x)
		}
	case arrow.UINT16:
		for i := range f {
			x := int64(le.Uint16(data[2*i:]))
			bits[i], f[i] = uint64(x), float64(x)
		}
	case arrow.INT16:
		for i := range f {
			x := int64(int16(le.Uint16(data[2*i:])))
			bits[i], f[i] = uint64(x), float64(x)
		}
	case arrow.UINT32:
		for i := range f {
			x := int64(le.Uint32(data[4*i:]))
			bits[i], f[i] = uint64(x), float64(x)
		}
	case arrow.INT32:
		for i := range f {
			x := int64(int32(le.Uint32(data[4*i:])))
			bits[i], f[i] = uint64(x), float64(x)
		}
	default: // int64 and what is stored as one
		for i := range f {
			x := int64(le.Uint64(data[8*i:]))
			bits[i], f[i] = uint64(x), float64(x)
		}
	}
}

// eval sets out to what node makes of in. It never changes in.
func (c *Converter) eval(n *node, in *vec, out result, depth int) {
	switch n.op {
	case opKeys, opRanges:
		c.lookup(n, in, out, depth)
		return
	case opBits:
		c.bitfield(n, in, out, depth)
		return
	}
	for i := range out.has {
		out.has[i], out.label[i] = true, noLabel
	}
	x, y := in.f[:in.n], out.num[:in.n]
	switch n.op {
	case opIdentity:
		copy(y, x)
	case opLinear:
		linear(y, x, n.param[0], n.param[1])
	case opRational:
		rational(y, x, &n.param)
	case opFormula:
		c.regs = n.formula.eval(y, x, c.regs)
	case opInterpolate:
		interpolate(y, x, n.keys, n.values)
	case opNearest:
		nearest(y, x, n.keys, n.values)
	case opRangeValue:
		f := c.frame(depth)
		found := f.found[:in.n]
		n.rng.find(in, found)
		for i, k := range found {
			y[i] = n.values[k]
		}
	}
}

// frame returns the scratch memory of a level.
func (c *Converter) frame(depth int) *frame {
	for len(c.frames) <= depth {
		c.frames = append(c.frames, &frame{
			found: make([]int32, blockRows),
			next:  make([]int32, blockRows),
			rows:  make([]int32, blockRows),
			sub:   vec{f: make([]float64, blockRows), bits: make([]uint64, blockRows)},
			out:   newResult(blockRows),
		})
	}
	return c.frames[depth]
}

// lookup finds the entry of each row, sets the texts, and evaluates each rule
// on the rows that lead to it.
func (c *Converter) lookup(n *node, in *vec, out result, depth int) {
	f := c.frame(depth)
	found := f.found[:in.n]
	if n.op == opKeys {
		n.key.find(in, found)
	} else {
		n.rng.find(in, found)
	}
	if n.depth == 0 && !n.number {
		for i, k := range found {
			out.has[i], out.label[i] = false, n.entries[k].label
		}
		return
	}
	f.rules = f.rules[:0]
	for len(f.head) < len(n.entries)+1 {
		f.head = append(f.head, -1)
	}
	for i := in.n - 1; i >= 0; i-- {
		e := &n.entries[found[i]]
		out.has[i], out.label[i] = false, e.label
		if e.rule == nil {
			continue
		}
		if f.head[e.node] < 0 {
			f.rules = append(f.rules, found[i])
		}
		f.next[i] = f.head[e.node]
		f.head[e.node] = int32(i)
	}
	for _, k := range f.rules {
		e := &n.entries[k]
		rows := f.rows[:0]
		for i := f.head[e.node]; i >= 0; i = f.next[i] {
			rows = append(rows, i)
		}
		f.head[e.node] = -1
		if len(rows) == in.n {
			c.eval(e.rule, in, out, depth+1)
			continue
		}
		f.sub.gather(in, rows)
		sub := f.out.slice(0, len(rows))
		c.eval(e.rule, &f.sub, sub, depth+1)
		for j, i := range rows {
			out.num[i], out.has[i], out.label[i] = sub.num[j], sub.has[j], sub.label[j]
		}
	}
}

// gather makes v the given rows of in.
func (v *vec) gather(in *vec, rows []int32) {
	v.n, v.domain = len(rows), in.domain
	for j, i := range rows {
		v.f[j] = in.f[i]
	}
	if v.domain != floats {
		for j, i := range rows {
			v.bits[j] = in.bits[i]
		}
	}
}

// applyText converts texts: types 9 and 10.
func (c *Converter) applyText(raw *column.Column, from, to int, value, label *column.Column) {
	n := c.p.root
	for i := from; i < to; i++ {
		if !raw.Valid(i) {
			if value != nil {
				value.AppendNull()
			}
			if label != nil {
				label.AppendNull()
			}
			continue
		}
		text := raw.Data[raw.Offsets[i]:raw.Offsets[i+1]]
		k, known := n.byText[string(text)]
		if n.op == opTextValue {
			if !known {
				k = int32(len(n.values) - 1)
			}
			if value != nil {
				value.AppendFloat64(n.values[k])
			}
			continue
		}
		switch {
		case !known && n.label == noLabel:
			label.AppendBytes(text)
		case !known:
			label.AppendString(c.p.texts[n.label])
		case k == noLabel:
			label.AppendNull()
		default:
			label.AppendString(c.p.texts[k])
		}
	}
}
