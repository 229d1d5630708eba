package cdr

import (
	"encoding/binary"
	"math/bits"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/idl"
	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/formats/message/wire"
)

// Reasons of this package besides those of packages message and wire.
const (
	// UnknownMember: a member that must be understood is not in the schema.
	UnknownMember = "unknown_member"
	// InvalidMember: a member header contradicts what it stands before.
	InvalidMember = "invalid_member"
)

// encapsulation is a kind of CDR.
type encapsulation struct {
	big    bool
	v2     bool
	unsaid idl.Extensibility // of types that do not say
	root   idl.Extensibility // of the message itself
}

// encapsulations by the second byte of the header, big-endian.
var encapsulations = map[byte]encapsulation{
	0x00: {unsaid: idl.Final, root: idl.Final},
	0x02: {unsaid: idl.Final, root: idl.Mutable},
	0x06: {v2: true, unsaid: idl.Final, root: idl.Final}, 0x10: {v2: true, unsaid: idl.Final, root: idl.Final},
	0x08: {v2: true, unsaid: idl.Appendable, root: idl.Appendable}, 0x14: {v2: true, unsaid: idl.Appendable, root: idl.Appendable},
	0x0a: {v2: true, unsaid: idl.Mutable, root: idl.Mutable}, 0x12: {v2: true, unsaid: idl.Mutable, root: idl.Mutable},
}

// walker decodes messages of which parts may be absent. All positions are in
// the block.
type walker struct {
	root   *step
	kind   encapsulation
	wide   wire.Wide
	dry    bool // nothing is put into columns
	f      *tree.Frame
	b      []byte
	pos    int
	end    int
	origin int
	big    bool
	most   int  // largest alignment
	scan   bool // wide strings occur
}

// message is a tree.Decode.
func (w *walker) message(f *tree.Frame, start, end int) bool {
	w.f, w.b = f, f.Data
	w.big = w.kind.big
	w.most = 8
	if w.kind.v2 {
		w.most = 4
	}
	if !w.scan {
		return w.walk(start, end) >= 0
	}
	// Writers disagree about wide strings: see the package comment.
	best, least := wire.Wide(0), -1
	for i := range wire.WideLayouts {
		if w.kind.v2 { // bytes first, as its standard has it
			i = wire.WideLayouts - 1 - i
		}
		w.wide, w.dry = i, true
		if left := w.walk(start, end); left >= 0 && (least < 0 || left < least) {
			best, least = i, left
		}
	}
	w.wide, w.dry = best, false
	return w.walk(start, end) >= 0
}

// walk reads a message and returns how many bytes are left behind it, -1 after
// a failure.
func (w *walker) walk(start, end int) int {
	w.pos, w.end, w.origin = start+4, end, start+4
	if pad := int(w.b[start+3] & 3); (end-start)%4 == 0 && end-w.pos >= pad {
		w.end -= pad
	}
	if len(w.root.members) == 0 && w.pos == w.end {
		return 0
	}
	if !w.structure(w.root, w.kind.root) {
		return -1
	}
	if w.end-w.pos > 3 {
		w.fail(message.TrailingBytes, w.pos, nil, "")
		return -1
	}
	return w.end - w.pos
}

func (w *walker) fail(code string, at int, s *step, detail string) bool {
	id := tree.None
	if s != nil {
		id = s.id
	}
	return w.f.Fail(code, at, id, detail)
}

func (w *walker) align(n int) { w.pos += (w.origin - w.pos) & (min(n, w.most) - 1) }

// number reads n bytes, aligned, as an unsigned number.
func (w *walker) number(n int, s *step) (v uint64, ok bool) {
	w.align(n)
	if w.end-w.pos < n {
		return 0, w.fail(message.Truncated, w.pos, s, "")
	}
	b := w.b[w.pos:]
	w.pos += n
	switch n {
	case 1:
		return uint64(b[0]), true
	case 2:
		x := binary.LittleEndian.Uint16(b)
		if w.big {
			x = bits.ReverseBytes16(x)
		}
		return uint64(x), true
	case 4:
		x := binary.LittleEndian.Uint32(b)
		if w.big {
			x = bits.ReverseBytes32(x)
		}
		return uint64(x), true
	}
	v = binary.LittleEndian.Uint64(b)
	if w.big {
		v = bits.ReverseBytes64(v)
	}
	return v, true
}

// delimited reads a delimiter header and narrows the end to what it spans; the
// end before is what close takes.
func (w *walker) delimited(s *step) (outer int, ok bool) {
	n, ok := w.number(4, s)
	if !ok {
		return 0, false
	}
	if n > uint64(w.end-w.pos) {
		return 0, w.fail(message.LengthBeyondEnd, w.pos-4, s, "")
	}
	outer = w.end
	w.end = w.pos + int(n)
	return outer, true
}

// extent is how a struct or union may change, in the kind of CDR at hand.
func (w *walker) extent(t *idl.Type) idl.Extensibility {
	if t.Ext == idl.Unsaid {
		return w.kind.unsaid
	}
	return t.Ext
}

// structure reads a struct. Members that are not there are null.
func (w *walker) structure(s *step, ext idl.Extensibility) bool {
	t := s.shape.typ
	if len(t.Members) == 0 && ext != idl.Mutable && (!w.kind.v2 || ext != idl.Appendable) {
		_, ok := w.number(1, s) // the byte that stands for no members
		return ok
	}
	switch {
	case ext == idl.Mutable && w.kind.v2:
		return w.mutable2(s)
	case ext == idl.Mutable:
		return w.mutable1(s)
	case ext == idl.Appendable && w.kind.v2:
		outer, ok := w.delimited(s)
		if !ok {
			return false
		}
		for i := range t.Members {
			if w.pos >= w.end {
				break // written by an older version
			}
			if !w.member(s.members[i], &t.Members[i]) {
				return false
			}
		}
		w.pos, w.end = w.end, outer
		return true
	}
	for i := range t.Members {
		if !w.member(s.members[i], &t.Members[i]) {
			return false
		}
	}
	return true
}

// member reads a member that stands in its place.
func (w *walker) member(s *step, m *idl.Member) bool {
	if !m.Optional {
		return w.value(s)
	}
	if w.kind.v2 {
		there, ok := w.number(1, s)
		if !ok || there == 0 {
			return ok
		}
		return w.value(s)
	}
	_, size, last, ok := w.header1(s)
	if !ok {
		return false
	}
	if last || size == 0 {
		return true
	}
	return w.bounded(s, size, w.pos)
}

// bounded reads a member of so many bytes, whose values are aligned from
// origin on. Bytes that the member does not use are passed over.
func (w *walker) bounded(s *step, size, origin int) bool {
	end, from := w.end, w.origin
	w.end, w.origin = w.pos+size, origin
	next := w.end
	if !w.value(s) {
		return false
	}
	w.pos, w.end, w.origin = next, end, from
	return true
}

// header1 reads a member header of the first version of CDR.
func (w *walker) header1(s *step) (id uint32, size int, last, ok bool) {
	w.align(4)
	at := w.pos
	flags, ok := w.number(2, s)
	if !ok {
		return 0, 0, false, false
	}
	short, ok := w.number(2, s)
	if !ok {
		return 0, 0, false, false
	}
	must := flags&0x4000 != 0
	id, size = uint32(flags&0x3fff), int(short)
	switch id {
	case 0x3f01: // extended
		if size < 8 {
			return 0, 0, false, w.fail(InvalidMember, at, s, "extended header is too short")
		}
		long, ok := w.number(4, s)
		if !ok {
			return 0, 0, false, false
		}
		n, ok := w.number(4, s)
		if !ok {
			return 0, 0, false, false
		}
		id, size = uint32(long&0x0fffffff), int(n)
	case 0x3f02: // sentinel
		return 0, 0, true, true
	}
	if size > w.end-w.pos {
		return 0, 0, false, w.fail(message.LengthBeyondEnd, at, s, "")
	}
	if must {
		id |= 1 << 31
	}
	return id, size, false, true
}

// choose finds the member with an id; the highest bit of the id says that it
// must be understood.
func (w *walker) choose(s *step, id uint32, at int) (*step, bool) {
	ms := s.shape.typ.Members
	for i := range ms {
		if ms[i].ID == id&^(1<<31) {
			return s.members[i], true
		}
	}
	if id>>31 != 0 {
		return nil, w.fail(UnknownMember, at, s, "a member that must be understood is not in the schema")
	}
	return nil, true
}

// mutable1 reads a parameter list.
func (w *walker) mutable1(s *step) bool {
	for {
		at := w.pos
		id, size, last, ok := w.header1(s)
		if !ok || last {
			return ok
		}
		m, ok := w.choose(s, id, at)
		if !ok {
			return false
		}
		if m == nil {
			w.pos += size
			continue
		}
		if m.id != tree.None && m.id > 0 && !w.dry && w.f.Has(m.id) {
			return w.fail(InvalidMember, at, m, "the member comes twice")
		}
		if !w.bounded(m, size, w.pos) {
			return false
		}
	}
}

// header2 reads a member header of the second version.
func (w *walker) header2(s *step) (id uint32, size int, ok bool) {
	v, ok := w.number(4, s)
	if !ok {
		return 0, 0, false
	}
	at := w.pos - 4
	id = uint32(v)&0x0fffffff | uint32(v)&(1<<31)
	n := uint64(1) << (v >> 28 & 7)
	if code := v >> 28 & 7; code >= 4 {
		next, ok := w.number(4, s)
		if !ok {
			return 0, 0, false
		}
		n = next
		if code > 4 {
			// The length is the first number of the member, too.
			w.pos -= 4
			if code > 5 {
				n *= 4 << (code - 6)
			}
			n += 4
		}
	}
	if n > uint64(w.end-w.pos) {
		return 0, 0, w.fail(message.LengthBeyondEnd, at, s, "")
	}
	return id, int(n), true
}

// mutable2 reads members with headers inside a delimiter.
func (w *walker) mutable2(s *step) bool {
	outer, ok := w.delimited(s)
	if !ok {
		return false
	}
	for w.end-w.pos >= 4 {
		at := w.pos
		id, size, ok := w.header2(s)
		if !ok {
			return false
		}
		m, ok := w.choose(s, id, at)
		if !ok {
			return false
		}
		if m == nil {
			w.pos += size
			continue
		}
		if m.id > 0 && !w.dry && w.f.Has(m.id) {
			return w.fail(InvalidMember, at, m, "the member comes twice")
		}
		if !w.bounded(m, size, w.origin) {
			return false
		}
	}
	w.pos, w.end = w.end, outer
	return true
}
