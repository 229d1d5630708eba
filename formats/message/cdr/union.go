package cdr

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/idl"
	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/formats/message/wire"
)

// union reads a discriminator and the member that it chooses; the others are
// null.
func (w *walker) union(s *step) bool {
	t := s.shape.typ
	ext := w.extent(t)
	outer := -1
	mutable := ext == idl.Mutable
	if w.kind.v2 && ext != idl.Final {
		var ok bool
		if outer, ok = w.delimited(s); !ok {
			return false
		}
	}
	if mutable {
		if !w.unionHeader(s) {
			return false
		}
	}
	at := w.pos
	if !w.value(s.first) {
		return false
	}
	v := w.again(at, s.first)
	chosen := -1
	for i := range t.Members {
		if t.Members[i].Otherwise {
			chosen = i
		}
	}
	for i := range t.Members {
		for _, c := range t.Members[i].Cases {
			if c == v {
				chosen = i
			}
		}
	}
	if chosen >= 0 {
		if mutable && !w.unionHeader(s) {
			return false
		}
		if !w.value(s.members[chosen]) {
			return false
		}
	}
	if mutable && !w.kind.v2 {
		if _, _, last, ok := w.header1(s); !ok || !last {
			return ok && w.fail(InvalidMember, w.pos, s, "a union has one member")
		}
	}
	if outer >= 0 {
		w.pos, w.end = w.end, outer
	}
	return true
}

// unionHeader passes over the member header inside a mutable union.
func (w *walker) unionHeader(s *step) bool {
	if w.kind.v2 {
		_, _, ok := w.header2(s)
		return ok
	}
	_, _, _, ok := w.header1(s)
	return ok
}

// again reads the discriminator that begins at or behind a position once more,
// as a number.
func (w *walker) again(at int, s *step) int64 {
	back := w.pos
	w.pos = at
	v, _ := w.number(s.size, s)
	w.pos = back
	shift := 64 - 8*s.size
	switch s.shape.typ.Kind {
	case idl.Int8, idl.Int16, idl.Int32, idl.Int64, idl.Enum:
		return int64(v<<shift) >> shift
	case idl.Bool:
		if v != 0 {
			v = 1
		}
	}
	return int64(v)
}

// wideText reads a wide string in the layout at hand.
func (w *walker) wideText(s *step) bool {
	v, ok := w.number(4, s)
	if !ok {
		return false
	}
	at, unit, n := w.pos, 2, v
	switch w.wide {
	case wire.Wide4:
		unit = 4
	case wire.WideBytes:
		if n%2 != 0 {
			return w.fail(wire.InvalidUTF16, at, s, "")
		}
		n /= 2
	}
	if n > uint64(w.end-w.pos)/uint64(unit) {
		return w.fail(message.LengthBeyondEnd, at-4, s, "")
	}
	from := len(w.f.Scratch)
	end := w.pos + int(n)*unit
	for w.pos < end {
		r, ok := w.unit(unit)
		if !ok || r == 0 && w.pos < end {
			return w.fail(wire.InvalidUTF16, at, s, "")
		}
		if r == 0 {
			continue
		}
		if utf16.IsSurrogate(r) {
			if w.pos >= end {
				return w.fail(wire.InvalidUTF16, at, s, "")
			}
			low, _ := w.unit(unit)
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return w.fail(wire.InvalidUTF16, at, s, "")
			}
		}
		w.f.Scratch = utf8.AppendRune(w.f.Scratch, r)
	}
	return s.id == tree.None || w.dry || w.f.PutText(s.id, w.f.Scratch[from:], at)
}

func (w *walker) unit(size int) (rune, bool) {
	b := w.b[w.pos : w.pos+size]
	w.pos += size
	if size == 2 {
		if w.big {
			return rune(binary.BigEndian.Uint16(b)), true
		}
		return rune(binary.LittleEndian.Uint16(b)), true
	}
	v := binary.LittleEndian.Uint32(b)
	if w.big {
		v = binary.BigEndian.Uint32(b)
	}
	return rune(v & 0xffff), v <= 0xffff
}
