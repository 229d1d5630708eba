package protobuf

import (
	"encoding/binary"
	"math"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/tree"
)

// message reads the fields between pos and end. Inside a group, whose number
// is given, it ends with the end of the group. It returns the position behind,
// or -1 after Frame.Fail.
func (t *table) message(f *tree.Frame, pos, end int, group int32) int {
	b := f.Data
	for pos < end {
		num, wt, next := tag(b, pos, end)
		if next < 0 {
			return bad(f, message.Malformed, pos, tree.None, "bad tag")
		}
		if wt == wireEnd {
			if num != group {
				return bad(f, message.Malformed, pos, tree.None, "end of a group that was not begun")
			}
			return next
		}
		e := t.find(num)
		if e == nil || !e.fits(wt) {
			if next = skip(b, next, end, num, wt, 0); next < 0 {
				return bad(f, message.Truncated, pos, tree.None, "unknown field")
			}
			pos = next
			continue
		}
		if e.oneof != tree.None {
			e.choose(f)
		}
		if e.id == tree.None {
			next = skip(b, next, end, num, wt, 0)
		} else {
			next = e.value(f, next, end, num, wt)
		}
		if next < 0 {
			if next == -1 {
				return bad(f, message.Truncated, pos, e.id, "")
			}
			return -2
		}
		pos = next
	}
	if group != 0 {
		return bad(f, message.Truncated, end, t.id, "group without end")
	}
	return pos
}

// bad notes why a message cannot be decoded and returns -2; functions return
// -1 where they leave the reason to their caller.
func bad(f *tree.Frame, code string, at int, id int32, detail string) int {
	f.Fail(code, at, id, detail)
	return -2
}

// choose clears the member of the oneof that was set before.
func (e *entry) choose(f *tree.Frame) {
	last := &f.Cases[e.oneof]
	if *last != e.id && *last > 0 && f.Has(*last) {
		f.Clear(*last)
	}
	*last = e.id
}

// fits reports whether a value of the field may come with a wire type.
func (e *entry) fits(wt int) bool {
	if e.special != plain || e.sub != nil || e.typ == typeMessage || e.typ == typeGroup {
		if e.group {
			return wt == wireStart
		}
		return wt == wireBytes
	}
	w := wireOf(e.typ)
	return wt == w || e.repeat && wt == wireBytes
}

func wireOf(typ uint64) int {
	switch typ {
	case typeDouble, typeFixed64, typeSfixed64:
		return wire64
	case typeFloat, typeFixed32, typeSfixed32:
		return wire32
	case typeString, typeBytes, typeMessage:
		return wireBytes
	case typeGroup:
		return wireStart
	}
	return wireVarint
}

// value reads one occurrence of a field and returns the position behind it.
func (e *entry) value(f *tree.Frame, pos, end int, num int32, wt int) int {
	if e.repeat {
		f.Open(e.id)
	}
	switch wt {
	case wireStart:
		if e.sub == nil {
			return e.groupValue(f, pos, end, num)
		}
		f.Open(e.elem)
		if pos = e.sub.message(f, pos, end, num); pos < 0 {
			return pos
		}
		if !f.Close(e.elem) {
			return -2
		}
		return pos
	case wireBytes:
		n, at := varint(f.Data, pos, end)
		if at < 0 || n > uint64(end-at) {
			return bad(f, message.LengthBeyondEnd, pos, e.id, "")
		}
		next := at + int(n)
		if e.special != plain {
			return e.wellKnown(f, at, next)
		}
		if e.sub != nil {
			f.Open(e.elem)
			if r := e.sub.message(f, at, next, 0); r < 0 {
				return r
			}
			if !f.Close(e.elem) {
				return -2
			}
			return next
		}
		switch e.typ {
		case typeString, typeBytes:
			if !f.PutText(e.elem, f.Data[at:next], at) {
				return -2
			}
			return next
		case typeMessage, typeGroup: // without fields
			if !wellFormed(f.Data, at, next) {
				return bad(f, message.Malformed, at, e.id, "")
			}
			f.Put(e.elem, 1)
			return next
		}
		return e.packed(f, at, next)
	}
	v, next := scalar(f.Data, pos, end, e.typ)
	if next >= 0 {
		f.Put(e.elem, v)
	}
	return next
}

// groupValue reads a group that is not just its fields.
func (e *entry) groupValue(f *tree.Frame, pos, end int, num int32) int {
	next := skip(f.Data, pos, end, num, wireStart, 0)
	if next < 0 {
		return -1
	}
	last := next - 1 // the end tag is as short as it can be, or written longer
	for last > pos && f.Data[last-1] >= 0x80 {
		last--
	}
	if r := e.wellKnown(f, pos, last); r < 0 {
		return r
	}
	return next
}

// wellFormed reports whether bytes are the fields of a message.
func wellFormed(b []byte, pos, end int) bool {
	for pos < end {
		num, wt, next := tag(b, pos, end)
		if next < 0 || wt == wireEnd {
			return false
		}
		if pos = skip(b, next, end, num, wt, 0); pos < 0 {
			return false
		}
	}
	return true
}

// scalar reads a value of fixed size or a varint as Frame.Put wants it.
func scalar(b []byte, pos, end int, typ uint64) (uint64, int) {
	switch wireOf(typ) {
	case wire64:
		if end-pos < 8 {
			return 0, -1
		}
		return binary.LittleEndian.Uint64(b[pos:]), pos + 8
	case wire32:
		if end-pos < 4 {
			return 0, -1
		}
		v := binary.LittleEndian.Uint32(b[pos:])
		if typ == typeSfixed32 {
			return uint64(int64(int32(v))), pos + 4
		}
		return uint64(v), pos + 4
	}
	v, next := varint(b, pos, end)
	switch typ {
	case typeInt32, typeEnum:
		v = uint64(int64(int32(v)))
	case typeUint32:
		v = uint64(uint32(v))
	case typeSint32:
		v = uint64(int64(int32(uint32(v)>>1) ^ -int32(v&1)))
	case typeSint64:
		v = v>>1 ^ -(v & 1)
	case typeBool:
		if v != 0 {
			v = 1
		}
	}
	return v, next
}

// packed reads a list of numbers.
func (e *entry) packed(f *tree.Frame, pos, end int) int {
	size := 0
	switch wireOf(e.typ) {
	case wire64:
		size = 8
	case wire32:
		size = 4
	case wireVarint:
		for pos < end {
			var v uint64
			if v, pos = scalar(f.Data, pos, end, e.typ); pos < 0 {
				return -1
			}
			f.Put(e.elem, v)
		}
		return end
	}
	if (end-pos)%size != 0 {
		return bad(f, message.Malformed, pos, e.id, "packed numbers break off")
	}
	f.PutRun(e.elem, f.Data[pos:end], (end-pos)/size)
	return end
}

// wellKnown reads a message that is not just its fields.
func (e *entry) wellKnown(f *tree.Frame, pos, end int) int {
	switch e.special {
	case timestamp, duration:
		return e.time(f, pos, end)
	case wrapper:
		return e.wrapped(f, pos, end)
	case opaque:
		if !wellFormed(f.Data, pos, end) {
			return bad(f, message.Malformed, pos, e.id, "")
		}
		body := f.Data[pos:end]
		if old := f.GetText(e.elem); len(old) > 0 {
			// Messages one behind the other are the messages merged.
			at := len(f.Scratch)
			f.Scratch = append(append(f.Scratch, old...), body...)
			body = f.Scratch[at:]
		}
		f.PutText(e.elem, body, pos)
		return end
	}
	at := len(f.Scratch)
	f.Scratch = f.Scratch[:at]
	j := text{f: f, id: e.id}
	var ok bool
	switch e.special {
	case structText:
		ok = j.object(pos, end, 0)
	case listText:
		ok = j.list(pos, end, 0)
	default:
		ok = j.value(pos, end, 0)
	}
	if !ok || !f.PutText(e.elem, f.Scratch[at:], pos) {
		return -2
	}
	return end
}

// time reads seconds and nanoseconds, fields 1 and 2. What came before of the
// same field is kept where they do not come again.
func (e *entry) time(f *tree.Frame, pos, end int) int {
	var sec, nano int64
	if v, ok := f.Get(e.elem); ok {
		sec, nano = int64(v)/1e9, int64(v)%1e9
		if e.special == timestamp && nano < 0 {
			sec, nano = sec-1, nano+1e9
		}
	}
	for at := pos; at < end; {
		num, wt, next := tag(f.Data, at, end)
		if next < 0 {
			return bad(f, message.Malformed, at, e.id, "bad tag")
		}
		if wt != wireVarint || num > 2 {
			if at = skip(f.Data, next, end, num, wt, 0); at < 0 {
				return -1
			}
			continue
		}
		v, next := varint(f.Data, next, end)
		if next < 0 {
			return -1
		}
		if num == 1 {
			sec = int64(v)
		} else {
			nano = int64(int32(v))
		}
		at = next
	}
	low := int64(0)
	if e.special == duration {
		low = -1e9 + 1
	}
	if nano < low || nano >= 1e9 || sec > 0 && nano < 0 || e.special == duration && sec < 0 && nano > 0 {
		return bad(f, message.OutOfRange, pos, e.id, "nanoseconds beyond a second")
	}
	v, ok := nanoseconds(sec, nano)
	if !ok {
		return bad(f, message.OutOfRange, pos, e.id, "time beyond 64-bit nanoseconds")
	}
	f.Put(e.elem, uint64(v))
	return end
}

// nanoseconds adds up a time; ok is false where it does not fit. Seconds are
// at most one too many, which is made up for by nanoseconds.
func nanoseconds(sec, nano int64) (int64, bool) {
	if sec < 0 && nano > 0 {
		sec, nano = sec+1, nano-1e9
	}
	if sec > math.MaxInt64/1_000_000_000 || sec < math.MinInt64/1_000_000_000 {
		return 0, false
	}
	v := sec * 1e9
	if nano > 0 && v > math.MaxInt64-nano || nano < 0 && v < math.MinInt64-nano {
		return 0, false
	}
	return v + nano, true
}

// wrapped reads the one field of a wrapper.
func (e *entry) wrapped(f *tree.Frame, pos, end int) int {
	v, have := f.Get(e.elem)
	body := f.GetText(e.elem)
	if !have {
		v = 0
	}
	w := wireOf(e.typ)
	for at := pos; at < end; {
		num, wt, next := tag(f.Data, at, end)
		if next < 0 {
			return bad(f, message.Malformed, at, e.id, "bad tag")
		}
		if num != 1 || wt != w {
			if at = skip(f.Data, next, end, num, wt, 0); at < 0 {
				return -1
			}
			continue
		}
		if w == wireBytes {
			n, from := varint(f.Data, next, end)
			if from < 0 || n > uint64(end-from) {
				return bad(f, message.LengthBeyondEnd, at, e.id, "")
			}
			body = f.Data[from : from+int(n)]
			at = from + int(n)
			continue
		}
		if v, at = scalar(f.Data, next, end, e.typ); at < 0 {
			return -1
		}
	}
	if w != wireBytes {
		f.Put(e.elem, v)
	} else if !f.PutText(e.elem, body, pos) {
		return -2
	}
	return end
}
