package wire

import (
	"github.com/drivemill/drivemill/formats/message/rosmsg"
)

// Compile makes the program that decodes messages of type l in dialect d and
// fills the columns marked by sel, in their order.
func (l *Layout) Compile(sel []bool, d Dialect) *Program {
	p := &Program{dialect: d, empty: len(l.Type.Fields) == 0}
	c := &compiler{p: p, sel: sel, plain: make(map[*rosmsg.Type]plainness)}
	b := c.block(8, 0)
	b.message(l.Type, &dest{top: true})
	p.ops = b.ops
	p.tops = c.used
	p.batch = min(max(1<<15/max(len(p.slots), 1), 8), 256)
	return p
}

// compiler is the state of a compilation.
type compiler struct {
	p     *Program
	sel   []bool // by leaf
	leaf  int    // columns of the root seen so far
	used  int    // selected ones among them
	plain map[*rosmsg.Type]plainness
}

// dest is where the values of a message go.
type dest struct {
	prefix string
	top    bool     // columns of the root
	parent int32    // else children of this struct column
	next   int32    // the next child
	skip   bool     // nowhere
	rows   *[]int32 // struct columns that gain a row with the message
}

// block compiles a list of operations. The position before the next byte is
// known to be rest modulo mod.
type block struct {
	*compiler
	ops       []op
	mod, rest int
	open      bool // the last operation is a run that can be added to
}

func (c *compiler) block(mod, rest int) *block {
	mod = min(mod, c.p.dialect.maxAlign())
	return &block{compiler: c, mod: mod, rest: rest % mod}
}

// emit adds an operation after which the position is known as given.
func (b *block) emit(o op, mod, rest int) {
	b.open = false
	b.ops = append(b.ops, o)
	mod = min(mod, b.p.dialect.maxAlign())
	b.mod, b.rest = mod, rest%mod
}

// place adds size bytes of the given alignment to the current run, or to a
// new one, and returns the run and their offset in it.
func (b *block) place(align, size int, path int32) (run *op, off int) {
	align = min(align, b.p.dialect.maxAlign())
	if align > b.mod {
		b.emit(op{code: opRun, align: uint8(align), slot: -1, path: path}, align, 0)
		b.open = true
	} else if !b.open {
		b.emit(op{code: opRun, slot: -1, path: path}, b.mod, b.rest)
		b.open = true
	}
	run = &b.ops[len(b.ops)-1]
	pad := -b.rest & (align - 1)
	off = run.size + pad
	run.size = off + size
	b.rest = (b.rest + pad + size) % b.mod
	return run, off
}

// take places a value and has it gathered into column v.col, if it has one.
func (b *block) take(v value, align, size int, path int32) {
	run, off := b.place(align, size, path)
	if v.col < 0 {
		return
	}
	if run.slot < 0 {
		run.slot = int32(len(b.p.slots))
		b.p.slots = append(b.p.slots, nil)
	}
	v.off = off
	b.p.slots[run.slot] = append(b.p.slots[run.slot], v)
}

func (b *block) message(t *rosmsg.Type, d *dest) {
	if len(t.Fields) == 0 && b.p.dialect.CDR {
		b.place(1, 1, b.path(d.prefix))
		return
	}
	for i := range t.Fields {
		b.field(&t.Fields[i], d)
	}
}

func (b *block) path(name string) int32 {
	b.p.paths = append(b.p.paths, name)
	return int32(len(b.p.paths) - 1)
}

// child adds the next child column of d.
func (c *compiler) child(parent, index int32) int32 {
	c.p.refs = append(c.p.refs, colRef{parent, index})
	return int32(len(c.p.refs) - 1)
}

func (b *block) field(f *rosmsg.Field, d *dest) {
	name := d.prefix + f.Name
	if f.Kind == rosmsg.Message && f.Array == rosmsg.Single {
		sub := dest{prefix: name + ".", top: d.top, skip: d.skip || !f.HasColumn(), rows: d.rows}
		if !sub.skip && !sub.top {
			sub.parent = b.child(d.parent, d.next)
			d.next++
			*d.rows = append(*d.rows, sub.parent)
		}
		b.message(f.Message, &sub)
		return
	}
	col := int32(-1)
	if f.HasColumn() && !d.skip {
		if d.top {
			if b.sel[b.leaf] {
				col = b.child(-1, int32(b.used))
				b.used++
			}
			b.leaf++
		} else {
			col = b.child(d.parent, d.next)
			d.next++
		}
	}
	b.value(f, col, name)
}

// value compiles a field that is not just a nested message.
func (b *block) value(f *rosmsg.Field, col int32, name string) {
	path := b.path(name)
	size, n := f.Kind.Size(), int(f.Len)
	switch f.Array {
	case rosmsg.Single:
		b.single(f.Kind, col, path)
		return
	case rosmsg.Fixed:
		switch {
		case n == 0:
		case f.Bytes():
			b.take(value{bin: true, n: n, col: col}, 1, n, path)
		case size > 0 && !b.delimits(f):
			b.numbers(f.Kind, n, col, path)
		default:
			b.delimited(f, col, path, func(b *block) { b.list(f, col, name, path) })
		}
		return
	}
	switch {
	case f.Bytes() && col >= 0:
		b.emit(op{code: opBytes, align: b.word(), col: col, path: path}, 1, 0)
	case size > 0 && !b.delimits(f):
		b.sequence(f.Kind, col, path)
	default:
		b.delimited(f, col, path, func(b *block) { b.list(f, col, name, path) })
	}
}

// word is the alignment of lengths and counts.
func (b *block) word() uint8 { return uint8(min(4, b.p.dialect.maxAlign())) }

// alignOf is the alignment of a value of kind k.
func (b *block) alignOf(k rosmsg.Kind) int {
	n := k.Size()
	if n == 0 || k == rosmsg.Time || k == rosmsg.Duration {
		n = 4 // a length, or two numbers of 4 bytes
	}
	return min(n, b.p.dialect.maxAlign())
}

func (b *block) convOf(k rosmsg.Kind) conv {
	switch {
	case k == rosmsg.Bool:
		return convBool
	case k != rosmsg.Time && k != rosmsg.Duration:
		return convCopy
	case b.p.dialect.CDR:
		return convTime2
	case k == rosmsg.Time:
		return convTime
	}
	return convSpan
}

func (b *block) single(k rosmsg.Kind, col, path int32) {
	switch k {
	case rosmsg.String:
		if col < 0 {
			b.emit(op{code: opSeq, align: b.word(), size: 1, col: -1, path: path}, 1, 0)
			return
		}
		b.p.texts = append(b.p.texts, col)
		b.emit(op{code: opString, align: b.word(), col: col, path: path}, 1, 0)
	case rosmsg.WString:
		// Also where it is not selected: its length must make sense.
		b.emit(op{code: opWide, align: b.word(), col: col, path: path}, 1, 0)
	default:
		size := k.Size()
		b.take(value{conv: b.convOf(k), size: uint8(size), col: col}, b.alignOf(k), size, path)
	}
}

// numbers compiles a fixed array of values of fixed size.
func (b *block) numbers(k rosmsg.Kind, n int, col, path int32) {
	size := k.Size()
	b.take(value{conv: b.convOf(k), size: uint8(size), n: n, col: col}, b.alignOf(k), n*size, path)
}

// sequence compiles a sequence of values of fixed size. Empty, it ends behind
// its count; that is why only the smaller alignment is known after it.
func (b *block) sequence(k rosmsg.Kind, col, path int32) {
	size, align := k.Size(), b.alignOf(k)
	b.emit(op{code: opSeq, align: b.word(), elem: uint8(align), conv: b.convOf(k), size: size, col: col, path: path}, min(align, 4), 0)
}

// delimits reports whether a repeated field has a delimiter header: in XCDR2
// all but those of primitives do. Times are structs there.
func (b *block) delimits(f *rosmsg.Field) bool {
	if !b.p.dialect.XCDR2 {
		return false
	}
	return f.Kind.Size() == 0 || f.Kind == rosmsg.Time || f.Kind == rosmsg.Duration
}

func (b *block) delimited(f *rosmsg.Field, col, path int32, list func(*block)) {
	if !b.delimits(f) {
		list(b)
		return
	}
	if col < 0 && !hasWide(f) {
		b.emit(op{code: opSkipDelimited, align: 4, path: path}, 1, 0)
		return
	}
	inner := b.block(4, 0)
	list(inner)
	b.emit(op{code: opDelimited, align: 4, path: path, body: inner.ops}, 1, 0)
}

func hasWide(f *rosmsg.Field) bool {
	return f.Kind == rosmsg.WString || f.Message != nil && f.Message.HasWString()
}

// list compiles a repeated field whose elements are not just numbers, or the
// inside of a delimited one.
func (b *block) list(f *rosmsg.Field, col int32, name string, path int32) {
	fixed, n := f.Array == rosmsg.Fixed, int(f.Len)
	if f.Kind.Size() > 0 {
		if fixed {
			b.numbers(f.Kind, n, col, path)
		} else {
			b.sequence(f.Kind, col, path)
		}
		return
	}
	elem := int32(-1)
	o := op{code: opLoop, fixed: fixed, n: n, col: col, path: path, slot: -1, size: 4}
	if !fixed {
		o.align = b.word()
	}
	if f.Kind != rosmsg.Message {
		if col >= 0 {
			elem = b.child(col, 0)
		}
		if f.Kind == rosmsg.String && col >= 0 {
			b.p.texts = append(b.p.texts, elem)
			o.code, o.elemCol = opStrings, elem
			b.emit(o, 1, 0)
			return
		}
		inner := b.block(1, 0)
		inner.single(f.Kind, elem, path)
		o.body = inner.ops
		b.emit(o, 1, 0)
		return
	}
	t := f.Message
	if t.Leafless() {
		b.nothing(t, &o)
		return
	}
	d := dest{prefix: name + ".", skip: col < 0, rows: &o.structs}
	if col >= 0 {
		d.parent = b.child(col, 0)
		o.structs = append(o.structs, d.parent)
	}
	if pl := b.plainness(t); pl.ok && pl.first == pl.max {
		inner := b.block(pl.max, 0)
		inner.message(t, &d)
		run := inner.ops[0]
		o.size, o.slot = run.size, run.slot
		o.stride = (run.size + pl.max - 1) &^ (pl.max - 1)
		if fixed && col < 0 {
			b.place(pl.max, (n-1)*o.stride+o.size, path)
			return
		}
		o.code, o.elem = opStride, uint8(pl.max)
		mod := 1
		if o.size%4 == 0 {
			mod = min(pl.max, 4)
		}
		b.emit(o, mod, 0)
		return
	}
	o.size = t.MinSize()
	inner := b.block(1, 0)
	inner.message(t, &d)
	o.body = inner.ops
	b.emit(o, 1, 0)
}

// nothing compiles a list of messages that hold nothing. A sequence of them
// is its count; what the messages take on the wire is skipped.
func (b *block) nothing(t *rosmsg.Type, o *op) {
	size := 0
	if b.p.dialect.CDR {
		size = t.MinSize()
	}
	if plain := b.plainness(t).ok; plain && o.fixed {
		if size > 0 {
			b.place(1, o.n*size, o.path)
		}
		return
	} else if !plain { // delimiter headers inside
		inner := b.block(1, 0)
		inner.message(t, &dest{skip: true})
		o.body = inner.ops
	}
	o.size = size
	if !o.fixed {
		o.code = opCount
	}
	b.emit(*o, 1, 0)
}

// plainness tells whether a message is one run wherever it begins at a
// multiple of max: it is then as long as any other of its type.
type plainness struct {
	ok    bool
	max   int // largest alignment of a value
	first int // alignment of the first value
}

func (b *block) plainness(t *rosmsg.Type) plainness {
	if p, ok := b.plain[t]; ok {
		return p
	}
	p := plainness{ok: true, max: 1, first: 1}
	seen := false
	add := func(largest, first int) {
		if !seen {
			p.first, seen = first, true
		}
		p.max = max(p.max, largest)
	}
	if len(t.Fields) == 0 && b.p.dialect.CDR {
		add(1, 1)
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		switch {
		case f.Array == rosmsg.Sequence:
			p.ok = false
		case f.Array == rosmsg.Fixed && f.Len == 0:
		case f.Array == rosmsg.Fixed && f.Kind == rosmsg.Message && f.Message.Leafless() && !b.delimits(f):
			// One run of the bytes that stand for no fields, if any.
			sub := b.plainness(f.Message)
			p.ok = p.ok && sub.ok
			add(1, 1)
		case f.Kind.Size() > 0 && (f.Array != rosmsg.Fixed || !b.delimits(f)):
			a := b.alignOf(f.Kind)
			add(a, a)
		case f.Kind == rosmsg.Message && f.Array == rosmsg.Single:
			sub := b.plainness(f.Message)
			p.ok = p.ok && sub.ok
			if len(f.Message.Fields) > 0 || b.p.dialect.CDR {
				add(sub.max, sub.first)
			}
		default:
			p.ok = false
		}
	}
	b.plain[t] = p
	return p
}
