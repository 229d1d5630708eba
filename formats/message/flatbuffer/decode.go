package flatbuffer

import (
	"encoding/binary"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/tree"
)

// table is a shape compiled for the columns wanted.
type table struct {
	*shape
	id      int32
	kind    tree.Kind
	run     bool // elements can be copied side by side
	members []*table
	elem    *table
}

func compile(p *tree.Plan, sh *shape) *table {
	t := &table{shape: sh, id: tree.None}
	if sh.node != nil {
		t.kind = sh.node.Kind
		if t.id = p.ID(sh.node); t.id == tree.None {
			return t
		}
	}
	for _, m := range sh.members {
		c := compile(p, m)
		if sh.form == formUnion || c.id != tree.None || c.form == formCut {
			t.members = append(t.members, c)
		}
	}
	if sh.elem != nil {
		t.elem = compile(p, sh.elem)
		e := sh.elem
		t.run = e.form == formScalar && e.node.Labels == nil && e.node.Kind != tree.Bool
	}
	return t
}

// walker reads one message.
type walker struct {
	buffer
	f    *tree.Frame
	left int // bytes that may still be read
}

// decode is a tree.Decode.
func (p *plan) decode(f *tree.Frame, start, end int) bool {
	w := walker{buffer: buffer{b: f.Data[:end], start: start}, f: f, left: 4*(end-start) + 4096}
	to, ok := w.follow(start)
	if ok {
		_, ok = w.buffer.table(to)
	}
	if !ok && end-start >= 8 && int(binary.LittleEndian.Uint32(f.Data[start:])) == end-start-4 {
		// A size stands before the buffer.
		w.start += 4
		to, ok = w.follow(w.start)
	}
	if !ok {
		return f.Fail(message.LengthBeyondEnd, start, tree.None, "the offset of the root leads outside")
	}
	return w.table(p.root, to)
}

func (w *walker) fail(code string, pos int, t *table) bool {
	return w.f.Fail(code, pos, t.id, "")
}

func (w *walker) spend(n, pos int, t *table) bool {
	if w.left -= n; w.left < 0 {
		return w.f.Fail(message.TooLarge, pos, t.id, "parts of the message are shared too often")
	}
	return true
}

// table reads the fields of a table.
func (w *walker) table(t *table, pos int) bool {
	at, ok := w.buffer.table(pos)
	if !ok {
		return w.fail(message.LengthBeyondEnd, pos, t)
	}
	if !w.spend(at.size, pos, t) {
		return false
	}
	for _, m := range t.members {
		p := w.field(at, m.offset, m.size)
		if p == 0 {
			continue
		}
		if p < 0 {
			return w.fail(message.LengthBeyondEnd, pos, m)
		}
		if m.form == formUnion {
			kind := w.field(at, m.offset-2, 1)
			if kind < 0 {
				return w.fail(message.LengthBeyondEnd, pos, m)
			}
			if kind > 0 {
				w.enter(m)
				if !w.variant(m, int64(w.b[kind]), p) || !w.leave(m) {
					return false
				}
			}
			continue
		}
		if m.form == formVector && m.elem.form == formUnion {
			if !w.unions(m, at, p) {
				return false
			}
			continue
		}
		if !w.value(m, p) {
			return false
		}
	}
	return true
}

// enter begins a table, struct or union. One without columns is a column that
// tells whether it is there.
func (w *walker) enter(t *table) {
	if len(t.node.Members) == 0 {
		w.f.Put(t.id, 1)
		return
	}
	w.f.Open(t.id)
}

func (w *walker) leave(t *table) bool {
	return len(t.node.Members) == 0 || w.f.Close(t.id)
}

// variant reads the member of a union that a type chooses.
func (w *walker) variant(t *table, kind int64, pos int) bool {
	for i, v := range t.values {
		if v != kind {
			continue
		}
		m := t.members[i]
		if m.id == tree.None && m.form != formCut {
			return true
		}
		if m.form == formStruct || m.form == formTime { // not in place, as elsewhere
			to, ok := w.follow(pos)
			if !ok || !w.fits(to, m.size) {
				return w.fail(message.LengthBeyondEnd, pos, m)
			}
			pos = to
		}
		return w.value(m, pos)
	}
	return true
}

// unions reads a vector of unions, beside which stands that of their types.
func (w *walker) unions(t *table, at tableAt, pos int) bool {
	kinds := w.field(at, t.offset-2, 4)
	if kinds <= 0 {
		return w.fail(message.Malformed, pos, t)
	}
	k, nk, ok := w.vector(kinds, 1)
	if !ok {
		return w.fail(message.LengthBeyondEnd, kinds, t)
	}
	p, n, ok := w.vector(pos, 4)
	if !ok {
		return w.fail(message.LengthBeyondEnd, pos, t)
	}
	if n != nk {
		return w.fail(message.Malformed, pos, t)
	}
	if !w.spend(5*n, pos, t) {
		return false
	}
	w.f.Open(t.id)
	for i := range n {
		w.enter(t.elem)
		if kind := int64(w.b[k+i]); kind != 0 && !w.variant(t.elem, kind, p+4*i) || !w.leave(t.elem) {
			return false
		}
	}
	return w.f.Close(t.id)
}

// value reads a value where it stands: m.size bytes from pos on are there.
func (w *walker) value(t *table, pos int) bool {
	switch t.form {
	case formScalar:
		w.f.Put(t.id, extend(t.kind, w.number(pos, t.size)))
	case formTime:
		sec := int64(binary.LittleEndian.Uint32(w.b[pos:]))
		if t.kind == tree.Span {
			sec = int64(int32(sec))
		}
		w.f.Put(t.id, uint64(sec*1e9+int64(binary.LittleEndian.Uint32(w.b[pos+4:]))))
	case formText:
		at, n, ok := w.vector(pos, 1)
		if !ok {
			return w.fail(message.LengthBeyondEnd, pos, t)
		}
		return w.spend(n, pos, t) && w.f.PutText(t.id, w.b[at:at+n], at)
	case formByteArray:
		return w.f.PutText(t.id, w.b[pos:pos+t.count], pos)
	case formCut:
		if t.count > 0 { // a vector, which may be empty
			_, n, ok := w.vector(pos, 4)
			if !ok {
				return w.fail(message.LengthBeyondEnd, pos, t)
			}
			if n == 0 {
				return true
			}
		}
		return w.f.Fail(message.TooDeep, pos, tree.None, "a table stands inside itself more often than columns are made for")
	case formTable:
		to, ok := w.follow(pos)
		if !ok {
			return w.fail(message.LengthBeyondEnd, pos, t)
		}
		w.enter(t)
		return w.table(t, to) && w.leave(t)
	case formStruct:
		w.enter(t)
		for _, m := range t.members {
			if !w.value(m, pos+m.offset) {
				return false
			}
		}
		return w.leave(t)
	case formArray:
		return w.elements(t, pos, t.count)
	case formVector:
		at, n, ok := w.vector(pos, max(t.elem.size, 1))
		if !ok {
			return w.fail(message.LengthBeyondEnd, pos, t)
		}
		return w.spend(n*t.elem.size, pos, t) && w.elements(t, at, n)
	}
	return true
}

// elements reads n elements that lie side by side.
func (w *walker) elements(t *table, pos, n int) bool {
	w.f.Open(t.id)
	e := t.elem
	if t.run {
		w.f.PutRun(e.id, w.b[pos:pos+n*e.size], n)
		return w.f.Close(t.id)
	}
	for i := range n {
		if !w.value(e, pos+i*e.size) {
			return false
		}
	}
	return w.f.Close(t.id)
}

// extend makes a number what Frame.Put takes.
func extend(k tree.Kind, v uint64) uint64 {
	switch k {
	case tree.Int8:
		return uint64(int64(int8(v)))
	case tree.Int16:
		return uint64(int64(int16(v)))
	case tree.Int32:
		return uint64(int64(int32(v)))
	}
	return v
}
