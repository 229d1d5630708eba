package cdr

import (
	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/idl"
	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/formats/message/wire"
)

// put hands a number to a column.
func (w *walker) put(s *step, v uint64) {
	if s.id != tree.None && !w.dry {
		w.f.Put(s.id, v)
	}
}

func (w *walker) open(id int32) {
	if id != tree.None && !w.dry {
		w.f.Open(id)
	}
}

func (w *walker) close(id int32) bool {
	return id == tree.None || w.dry || w.f.Close(id)
}

// value reads a value.
func (w *walker) value(s *step) bool {
	t := s.shape.typ
	switch s.shape.form {
	case formStruct:
		w.open(s.id)
		return w.structure(s, w.extent(t)) && w.close(s.id)
	case formUnion:
		w.open(s.id)
		return w.union(s) && w.close(s.id)
	case formBytes:
		return w.bytes(s)
	case formList:
		return w.list(s)
	case formMap:
		return w.pairs(s)
	case formTime:
		return w.time(s)
	}
	switch t.Kind {
	case idl.String:
		return w.text(s)
	case idl.WString:
		return w.wideText(s)
	case idl.Float128:
		w.align(8)
		if w.end-w.pos < 16 {
			return w.fail(message.Truncated, w.pos, s, "")
		}
		w.pos += 16
		return s.id == tree.None || w.dry || w.f.PutText(s.id, w.b[w.pos-16:w.pos], w.pos-16)
	}
	v, ok := w.number(s.size, s)
	if !ok {
		return false
	}
	switch t.Kind {
	case idl.Int8:
		v = uint64(int64(int8(v)))
	case idl.Int16:
		v = uint64(int64(int16(v)))
	case idl.Int32:
		v = uint64(int64(int32(v)))
	case idl.Enum:
		v = uint64(int64(v) << (64 - 8*s.size) >> (64 - 8*s.size))
	}
	w.put(s, v)
	return true
}

// count reads the count of a list whose elements take so many bytes at least.
func (w *walker) count(s *step, least int) (n int, ok bool) {
	v, ok := w.number(4, s)
	if !ok {
		return 0, false
	}
	if v > uint64(w.end-w.pos)/uint64(least) {
		return 0, w.fail(message.LengthBeyondEnd, w.pos-4, s, "")
	}
	return int(v), true
}

func (w *walker) bytes(s *step) bool {
	n, ok := int(s.shape.typ.Len), true
	if s.shape.typ.Kind == idl.Sequence {
		n, ok = w.count(s, 1)
	}
	if !ok {
		return false
	}
	if n > w.end-w.pos {
		return w.fail(message.Truncated, w.pos, s, "")
	}
	w.pos += n
	return s.id == tree.None || w.dry || w.f.PutText(s.id, w.b[w.pos-n:w.pos], w.pos-n)
}

func (w *walker) text(s *step) bool {
	n, ok := w.count(s, 1)
	if !ok {
		return false
	}
	at := w.pos
	b := w.b[at : at+n]
	w.pos += n
	if n > 0 && b[n-1] == 0 {
		b = b[:n-1]
	}
	return s.id == tree.None || w.dry || w.f.PutText(s.id, b, at)
}

// time reads seconds and nanoseconds; in the second version of CDR the struct
// may have a header of its own.
func (w *walker) time(s *step) bool {
	ext := w.extent(s.shape.typ)
	outer := -1
	if w.kind.v2 && ext != idl.Final {
		if ext == idl.Mutable {
			return w.fail(wire.UnsupportedEncapsulation, w.pos, s, "a time that is mutable")
		}
		var ok bool
		if outer, ok = w.delimited(s); !ok {
			return false
		}
	}
	sec, ok := w.number(4, s)
	if !ok {
		return false
	}
	nano, ok := w.number(4, s)
	if !ok {
		return false
	}
	w.put(s, uint64(int64(int32(sec))*1e9+int64(nano)))
	if outer >= 0 {
		w.pos, w.end = w.end, outer
	}
	return true
}

func (w *walker) list(s *step) bool {
	t := s.shape.typ
	outer := -1
	if w.kind.v2 && !t.Inner && !primitive(flat(t)) {
		var ok bool
		if outer, ok = w.delimited(s); !ok {
			return false
		}
		if s.id == tree.None && !w.dry {
			w.pos, w.end = w.end, outer
			return true
		}
	}
	n, ok := int(t.Len), true
	if t.Kind == idl.Sequence {
		n, ok = w.count(s, s.first.least)
	}
	if !ok {
		return false
	}
	if s.shape.count {
		w.put(s, uint64(n))
	} else {
		w.open(s.id)
	}
	for range n {
		if !w.value(s.first) {
			return false
		}
	}
	if !s.shape.count && !w.close(s.id) {
		return false
	}
	if outer >= 0 {
		if w.pos != w.end {
			return w.fail(wire.BadDelimiter, w.pos, s, "")
		}
		w.end = outer
	}
	return true
}

// flat is the element of a list, of an array of several dimensions that of the
// innermost.
func flat(t *idl.Type) *idl.Type {
	e := t.Elem
	for e.Kind == idl.Array && e.Inner {
		e = e.Elem
	}
	return e
}

func (w *walker) pairs(s *step) bool {
	t := s.shape.typ
	outer := -1
	if w.kind.v2 && (!primitive(t.Key) || !primitive(t.Elem)) {
		var ok bool
		if outer, ok = w.delimited(s); !ok {
			return false
		}
	}
	n, ok := w.count(s, s.first.least+s.second.least)
	if !ok {
		return false
	}
	w.open(s.id)
	for range n {
		w.open(s.elem)
		if !w.value(s.second) || !w.value(s.first) || !w.close(s.elem) {
			return false
		}
	}
	if outer >= 0 {
		if w.pos != w.end {
			return w.fail(wire.BadDelimiter, w.pos, s, "")
		}
		w.end = outer
	}
	return w.close(s.id)
}
