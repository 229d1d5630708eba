package flatbuffer

import "encoding/binary"

// buffer reads a FlatBuffer with all offsets checked. Positions are in b; those
// of the message lie between start and len(b).
type buffer struct {
	b     []byte
	start int
}

func (b *buffer) fits(pos, n int) bool { return pos >= b.start && n <= len(b.b)-pos }

// follow returns where an offset at pos leads; ok is false where that is outside.
func (b *buffer) follow(pos int) (to int, ok bool) {
	if !b.fits(pos, 4) {
		return 0, false
	}
	to = pos + int(binary.LittleEndian.Uint32(b.b[pos:]))
	return to, to > pos && b.fits(to, 4)
}

// tableAt is a table with its vtable.
type tableAt struct {
	pos, size     int // of the table
	vtable, vsize int
}

func (b *buffer) table(pos int) (t tableAt, ok bool) {
	if !b.fits(pos, 4) {
		return t, false
	}
	t.pos = pos
	t.vtable = pos - int(int32(binary.LittleEndian.Uint32(b.b[pos:])))
	if !b.fits(t.vtable, 4) {
		return t, false
	}
	t.vsize = int(binary.LittleEndian.Uint16(b.b[t.vtable:]))
	t.size = int(binary.LittleEndian.Uint16(b.b[t.vtable+2:]))
	return t, t.vsize >= 4 && t.vsize%2 == 0 && b.fits(t.vtable, t.vsize) && t.size >= 4 && b.fits(pos, t.size)
}

// field returns where a field of n bytes lies, 0 where it is absent, -1 where
// it reaches beyond its table.
func (b *buffer) field(t tableAt, offset, n int) int {
	if offset+2 > t.vsize {
		return 0
	}
	o := int(binary.LittleEndian.Uint16(b.b[t.vtable+offset:]))
	switch {
	case o == 0:
		return 0
	case o < 4 || o+n > t.size:
		return -1
	}
	return t.pos + o
}

// vector returns where the elements of the vector that an offset at pos leads to
// begin, and their number.
func (b *buffer) vector(pos, size int) (at, n int, ok bool) {
	to, ok := b.follow(pos)
	if !ok {
		return 0, 0, false
	}
	count := uint64(binary.LittleEndian.Uint32(b.b[to:]))
	if count > uint64(len(b.b)-to-4)/uint64(size) {
		return 0, 0, false
	}
	return to + 4, int(count), true
}

// number reads n bytes as an unsigned number.
func (b *buffer) number(pos, n int) uint64 {
	switch n {
	case 1:
		return uint64(b.b[pos])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b.b[pos:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b.b[pos:]))
	}
	return binary.LittleEndian.Uint64(b.b[pos:])
}
