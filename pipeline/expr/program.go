package expr

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unsafe"

	"github.com/expr-lang/expr/ast"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Program is an expression compiled for one table. It is immutable and may be
// shared; each goroutine that evaluates it makes a Scratch of its own.
type Program struct {
	text    pipeline.Text
	kind    Kind
	data    arrow.DataType
	bare    bool // nothing but a column
	root    node
	slots   int
	columns []programColumn
}

type programColumn struct {
	name  string
	index int // in the table
}

// Compile parses text and checks it against the columns of t. The error is a
// pipeline.Issues with every mistake that was found, each at its place.
func Compile(text pipeline.Text, t *pipeline.Table) (*Program, error) {
	src, err := scan(text)
	if err != nil {
		return nil, err
	}
	tree, err := src.parse()
	if err != nil {
		return nil, err
	}
	c := newChecker(src, t)
	root := c.check(tree)
	if err := c.issues.Err(); err != nil {
		return nil, err
	}
	p := &Program{text: text, kind: root.kind, data: root.kind.DataType(), root: root.node, slots: len(c.scratch.slots), columns: c.columns}
	switch tree.(type) {
	case *ast.IdentifierNode, *ast.MemberNode:
		if _, p.bare = root.node.(*columnNode); p.bare {
			p.data = t.Schema.Field(p.columns[0].index).Type
		}
	}
	return p, nil
}

// Type is the kind of the values; Null for an expression that is always null.
func (p *Program) Type() Kind { return p.kind }

// DataType is the type of the arrays that Array makes: that of the kind, or of
// the column where the expression is nothing but a column.
func (p *Program) DataType() arrow.DataType { return p.data }

// String returns the text of the expression.
func (p *Program) String() string { return p.text.Value }

// Text returns the text with its place in the pipeline file.
func (p *Program) Text() pipeline.Text { return p.text }

// Columns lists the columns that are read, in order of first use.
func (p *Program) Columns() []string {
	names := make([]string, len(p.columns))
	for i, c := range p.columns {
		names[i] = c.name
	}
	return names
}

// Column returns the name of the column that the expression is, when it is
// nothing but a column.
func (p *Program) Column() (string, bool) {
	if !p.bare {
		return "", false
	}
	return p.columns[0].name, true
}

// RowError says why a row was rejected.
func (p *Program) RowError(r Reject) error {
	return fmt.Errorf("%s in %s", strings.ReplaceAll(r.Reason, "_", " "), p.text.Value)
}

// NewScratch makes the memory to evaluate p in.
func (p *Program) NewScratch() *Scratch {
	s := &Scratch{cols: make([]boundColumn, len(p.columns)), slots: make([]*vec, p.slots)}
	all := make([]vec, p.slots)
	for i := range s.slots {
		s.slots[i] = &all[i]
	}
	return s
}

// Select evaluates a condition over the columns of a batch, which must be
// those of the table it was compiled for. keep lists the rows for which it is
// true, rejected those for which it cannot be computed, both ascending; the
// others are false or null. Both are valid until s is used again.
func (p *Program) Select(s *Scratch, cols []arrow.Array, rows int) (keep []int32, rejected []Reject) {
	s.begin(p, cols, rows)
	if cap(s.keep) < rows {
		s.keep = make([]int32, rows)
	}
	keep = s.keep[:rows]
	n := 0
	for from := 0; from < rows; from += blockRows {
		v := s.block(p, from)
		for w := range v.b {
			m := v.b[w] & v.valid[w] & s.full[w] &^ s.bad[w]
			row := int32(from + w<<6)
			if m == ^uint64(0) {
				run := keep[n : n+64]
				for j := range run {
					run[j] = row + int32(j)
				}
				n += 64
				continue
			}
			for m != 0 {
				keep[n] = row + int32(bits.TrailingZeros64(m))
				n++
				m &= m - 1
			}
		}
	}
	s.end()
	return keep[:n], s.rejected
}

// Array evaluates an expression to a column of type DataType. Rows that cannot
// be computed are null in it and listed in rejected, which is valid until s is
// used again. The caller owns the array. It fails only when strings add up to
// more than 2 GiB.
func (p *Program) Array(s *Scratch, mem arrow.Allocator, cols []arrow.Array, rows int) (arr arrow.Array, rejected []Reject, err error) {
	if p.bare {
		arr := cols[p.columns[0].index]
		arr.Retain()
		return arr, nil, nil
	}
	s.begin(p, cols, rows)
	defer s.end()
	out := newOutput(mem, p.kind, rows)
	for from := 0; from < rows; from += blockRows {
		v := s.block(p, from)
		if err := out.append(s, v); err != nil {
			out.release()
			return nil, nil, fmt.Errorf("evaluating %s: %w", p.text.Value, err)
		}
	}
	return out.finish(), s.rejected, nil
}

// output collects the blocks of a result in Arrow buffers.
type output struct {
	kind  Kind
	rows  int
	valid *arrow.Buffer
	vals  *arrow.Buffer
	bytes *arrow.Buffer // of strings
	n     int
	nulls int
}

func newOutput(mem arrow.Allocator, kind Kind, rows int) *output {
	o := &output{kind: kind, rows: rows}
	if kind == Null {
		return o
	}
	size := 8 * rows
	switch kind {
	case Bool:
		size = (rows + 63) / 64 * 8
	case Date:
		size = 4 * rows
	case String:
		size = 4 * (rows + 1)
		o.bytes = arrow.NewResizableBuffer(mem)
	}
	o.vals = allocate(mem, size)
	o.valid = allocate(mem, (rows+63)/64*8)
	if kind == String {
		slice[int32](o.vals)[0] = 0
	}
	return o
}

func allocate(mem arrow.Allocator, n int) *arrow.Buffer {
	if n == 0 {
		return arrow.NewBufferBytes(nil)
	}
	return arrow.NewBufferWithAllocator(mem.Allocate(n), mem)
}

func slice[T any](b *arrow.Buffer) []T {
	return cast[T](b.Bytes(), 0, b.Len()/int(unsafe.Sizeof(*new(T))))
}

func (o *output) append(s *Scratch, v *vec) error {
	if o.kind == Null {
		return nil
	}
	good := v.valid
	count := 0
	for w := range good {
		good[w] &= s.full[w] &^ s.bad[w]
		count += bits.OnesCount64(good[w])
	}
	o.nulls += s.n - count
	copy(slice[uint64](o.valid)[o.n/64:], good[:])
	switch o.kind {
	case Bool:
		for w := range good {
			good[w] &= v.b[w]
		}
		copy(slice[uint64](o.vals)[o.n/64:], good[:])
	case Uint:
		copy(slice[uint64](o.vals)[o.n:], v.u)
	case Float:
		copy(slice[float64](o.vals)[o.n:], v.f)
	case Date:
		dst := slice[int32](o.vals)[o.n:]
		for i, d := range v.i {
			dst[i] = int32(d)
		}
	case String:
		offs := slice[int32](o.vals)[o.n:]
		text := v.strings()
		total, from := 0, o.bytes.Len()
		for i, x := range text {
			if good.has(i) {
				total += len(x)
			}
		}
		if from+total > math.MaxInt32 {
			return fmt.Errorf("strings of one batch exceed 2 GiB: %w", pipeline.ErrLimit)
		}
		if need := from + total; need > o.bytes.Cap() {
			o.bytes.Reserve(max(need, 2*o.bytes.Cap()))
		}
		o.bytes.ResizeNoShrink(from + total)
		dst := o.bytes.Bytes()
		for i, x := range text {
			if good.has(i) {
				from += copy(dst[from:], x)
			}
			offs[i+1] = int32(from)
		}
	default:
		copy(slice[int64](o.vals)[o.n:], v.i)
	}
	o.n += s.n
	return nil
}

func (o *output) release() {
	for _, b := range []*arrow.Buffer{o.valid, o.vals, o.bytes} {
		if b != nil {
			b.Release()
		}
	}
}

func (o *output) finish() arrow.Array {
	defer o.release()
	if o.kind == Null {
		d := arrow.NewData(arrow.NullType, o.rows, []*arrow.Buffer{nil}, nil, o.rows, 0)
		defer d.Release()
		return arrow.MakeFromData(d)
	}
	bufs := []*arrow.Buffer{o.valid, o.vals}
	if o.nulls == 0 {
		bufs[0] = nil
	}
	if o.kind == String {
		bufs = append(bufs, o.bytes)
	}
	d := arrow.NewData(o.kind.DataType(), o.rows, bufs, nil, o.nulls, 0)
	defer d.Release()
	return arrow.MakeFromData(d)
}
