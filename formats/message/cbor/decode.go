package cbor

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/jsonschema"
	"github.com/drivemill/drivemill/formats/message/tree"
)

// message is a tree.Decode.
func (d *decoder) message(f *tree.Frame, start, end int) bool {
	d.f, d.b, d.pos = f, f.Data[:end], start
	d.keys.Reset()
	d.extra.Reset()
	d.buf = d.buf[:0]
	d.want = d.root.Extra != tree.None
	t := d.root
	if t.Kind != jsonschema.Object {
		t = t.Elem
	}
	if !d.value(t, 0) {
		return false
	}
	if d.pos < len(d.b) {
		return d.fail(message.TrailingBytes, d.pos, tree.None, "bytes behind the item")
	}
	if d.want {
		if b := d.extra.Text(); len(b) > 0 {
			return f.PutText(d.root.Extra, b, start)
		}
	}
	return true
}

func (d *decoder) mismatch(t *jsonschema.Table, h head) bool {
	return d.fail(message.TypeMismatch, h.at, t.ID, "")
}

// value reads a value that the schema knows.
func (d *decoder) value(t *jsonschema.Table, depth int) bool {
	if t.ID == tree.None && (!d.want || t.Kind != jsonschema.Object && t.Kind != jsonschema.Array) {
		return d.skip(depth)
	}
	start := d.pos
	if t.Kind == jsonschema.Text {
		at := len(d.f.Scratch)
		return d.json(depth) && d.f.PutText(t.ID, d.f.Scratch[at:], start)
	}
	h, tag, depth, ok := d.untag(depth)
	if !ok {
		return false
	}
	if h.null() {
		if t.ID == 0 {
			return d.mismatch(t, h)
		}
		if t.ID > 0 {
			d.f.PutNull(t.ID)
		}
		return true
	}
	switch t.Kind {
	case jsonschema.Object:
		if h.major == majorMap {
			return d.object(t, h, depth)
		}
	case jsonschema.Array:
		if h.major == majorArray {
			return d.array(t, h, depth)
		}
		if ty, ok := typedArray(tag); ok && h.major == majorBytes {
			return d.typed(t, ty, h)
		}
	case jsonschema.Time, jsonschema.Duration:
		if h.major == majorMap {
			return d.time(t, h)
		}
		if tag == 1 {
			n, ok := h.signed()
			ns, fits := jsonschema.Nanoseconds(n, 0, true)
			if !ok || !fits {
				return d.fail(message.OutOfRange, h.at, t.ID, "not a whole second in range")
			}
			d.f.Put(t.ID, uint64(ns))
			return true
		}
	case jsonschema.Boolean:
		if h.major == majorSimple && (h.info == simpleTrue || h.info == simpleFalse) {
			d.f.Put(t.ID, uint64(h.info-simpleFalse))
			return true
		}
	case jsonschema.Integer, jsonschema.Unsigned, jsonschema.Number:
		return d.number(t, h, tag)
	case jsonschema.String, jsonschema.Base64:
		return d.stringValue(t, h)
	}
	return d.mismatch(t, h)
}

func (d *decoder) stringValue(t *jsonschema.Table, h head) bool {
	if h.major != majorText && (h.major != majorBytes || t.Kind != jsonschema.Base64) {
		return d.mismatch(t, h)
	}
	s, ok := d.text(h)
	if !ok {
		return false
	}
	if t.Kind == jsonschema.Base64 && h.major == majorText {
		at := len(d.buf)
		d.buf = slices.Grow(d.buf, base64.StdEncoding.DecodedLen(len(s))+3)
		n, err := base64.StdEncoding.Decode(d.buf[at:cap(d.buf)], s)
		if err != nil {
			return d.fail(message.TypeMismatch, h.at, t.ID, "not base64")
		}
		d.buf = d.buf[:at+n]
		s = d.buf[at:]
	}
	return d.f.PutText(t.ID, s, h.at)
}

// signed is the value of an integer item; ok is false where it is none or does
// not fit.
func (h head) signed() (n int64, ok bool) {
	switch {
	case h.major == majorUint && h.arg <= math.MaxInt64:
		return int64(h.arg), true
	case h.major == majorNegative && h.arg <= math.MaxInt64:
		return -1 - int64(h.arg), true
	}
	return 0, false
}

// number reads a number for the column of t.
func (d *decoder) number(t *jsonschema.Table, h head, tag uint64) bool {
	if h.major == majorBytes && (tag == 2 || tag == 3) {
		b, ok := d.text(h)
		if !ok {
			return false
		}
		for len(b) > 0 && b[0] == 0 {
			b = b[1:]
		}
		if len(b) > 8 {
			return d.fail(message.OutOfRange, h.at, t.ID, "bignum")
		}
		h = head{major: byte(tag - 2), at: h.at}
		for _, c := range b {
			h.arg = h.arg<<8 | uint64(c)
		}
	}
	if x, ok := h.float(); ok {
		if t.Kind == jsonschema.Number {
			d.f.Put(t.ID, math.Float64bits(x))
			return true
		}
		if x != math.Trunc(x) || math.Abs(x) >= 1<<53 || x < 0 && t.Kind == jsonschema.Unsigned {
			return d.fail(message.OutOfRange, h.at, t.ID, "not an integer of the column")
		}
		d.f.Put(t.ID, uint64(int64(x)))
		return true
	}
	if h.major > majorNegative {
		return d.mismatch(t, h)
	}
	if t.Kind == jsonschema.Number {
		x := float64(h.arg)
		exact := x < 1<<64 && uint64(x) == h.arg
		if h.major == majorNegative {
			// -1-arg is exact where arg+1 is.
			x = float64(h.arg + 1)
			exact = h.arg+1 != 0 && x < 1<<64 && uint64(x) == h.arg+1
			x = -x
		}
		if !exact {
			return d.fail(message.OutOfRange, h.at, t.ID, "no double has this value")
		}
		d.f.Put(t.ID, math.Float64bits(x))
		return true
	}
	n, ok := h.signed()
	switch {
	case t.Kind == jsonschema.Unsigned && h.major == majorUint:
		d.f.Put(t.ID, h.arg)
	case t.Kind == jsonschema.Integer && ok:
		d.f.Put(t.ID, uint64(n))
	default:
		return d.fail(message.OutOfRange, h.at, t.ID, "not an integer of the column")
	}
	return true
}

func (d *decoder) object(t *jsonschema.Table, h head, depth int) bool {
	if depth >= jsonschema.MaxDepth {
		return d.fail(message.TooDeep, h.at, t.ID, "")
	}
	if t.ID != tree.None {
		d.f.Open(t.ID)
	}
	mark, hint := d.keys.Mark(), 0
	for i := uint64(0); ; i++ {
		more, ok := d.more(h, i)
		if !ok {
			return false
		}
		if !more {
			break
		}
		key, ok := d.key(depth)
		if !ok {
			return false
		}
		d.keys.Add(key)
		var m *jsonschema.Table
		m, hint = t.Find(key, hint)
		switch {
		case m != nil && d.want && (m.Kind == jsonschema.Object || m.Kind == jsonschema.Array):
			n := d.extra.Push(key)
			ok = d.value(m, depth+1)
			d.extra.Pop(n)
		case m != nil:
			ok = d.value(m, depth+1)
		case d.want:
			at := len(d.f.Scratch)
			if ok = d.json(depth + 1); ok && !d.extra.Add(key, d.f.Scratch[at:]) {
				return d.fail(message.TooLarge, h.at, d.root.Extra, "")
			}
		default:
			ok = d.skip(depth + 1)
		}
		if !ok {
			return false
		}
	}
	if !d.keys.Unique(mark) {
		return d.fail(message.DuplicateKey, h.at, t.ID, "")
	}
	return t.ID == tree.None || d.f.Close(t.ID)
}

// key reads a key as the text it has in JSON. A key that has none begins with
// a byte that no text has.
func (d *decoder) key(depth int) ([]byte, bool) {
	start := d.pos
	h, _, depth, ok := d.untag(depth)
	if !ok {
		return nil, false
	}
	if h.major == majorText {
		return d.text(h)
	}
	at := len(d.buf)
	if h.major <= majorNegative {
		d.buf = appendInteger(d.buf, h)
		return d.buf[at:], true
	}
	d.pos = start
	if !d.skip(depth + 1) {
		return nil, false
	}
	d.buf = append(append(d.buf, 0xff), d.b[start:d.pos]...)
	return d.buf[at:], true
}

// appendInteger appends the digits of an integer.
func appendInteger(b []byte, h head) []byte {
	if h.major == majorUint {
		return strconv.AppendUint(b, h.arg, 10)
	}
	if h.arg == math.MaxUint64 {
		return append(b, "-18446744073709551616"...)
	}
	return strconv.AppendUint(append(b, '-'), h.arg+1, 10)
}

func (d *decoder) array(t *jsonschema.Table, h head, depth int) bool {
	if depth >= jsonschema.MaxDepth {
		return d.fail(message.TooDeep, h.at, t.ID, "")
	}
	if t.ID != tree.None {
		d.f.Open(t.ID)
	}
	path := d.want && (t.Elem.Kind == jsonschema.Object || t.Elem.Kind == jsonschema.Array)
	for i := uint64(0); ; i++ {
		more, ok := d.more(h, i)
		if !ok {
			return false
		}
		if !more {
			return t.ID == tree.None || d.f.Close(t.ID)
		}
		n := 0
		if path {
			n = d.extra.PushIndex(int(i))
		}
		if !d.value(t.Elem, depth+1) {
			return false
		}
		if path {
			d.extra.Pop(n)
		}
	}
}

// typed reads a typed array.
func (d *decoder) typed(t *jsonschema.Table, ty typed, h head) bool {
	b, ok := d.text(h)
	if !ok {
		return false
	}
	if len(b)%ty.size != 0 {
		return d.fail(message.Malformed, h.at, t.ID, "typed array breaks off")
	}
	if t.ID == tree.None {
		return true
	}
	e := t.Elem
	if e.Kind != jsonschema.Number && (ty.float || e.Kind != jsonschema.Integer && e.Kind != jsonschema.Unsigned) {
		return d.mismatch(t, h)
	}
	d.f.Open(t.ID)
	for ; len(b) > 0; b = b[ty.size:] {
		x, n := ty.element(b)
		if ty.float {
			d.f.Put(e.ID, math.Float64bits(x))
			continue
		}
		item := head{arg: n, at: h.at}
		if ty.signed && int64(n) < 0 {
			item.major, item.arg = majorNegative, ^n
		}
		if !d.number(e, item, 0) {
			return false
		}
	}
	return d.f.Close(t.ID)
}

// time reads an object of sec and nsec.
func (d *decoder) time(t *jsonschema.Table, h head) bool {
	var sec, nsec int64
	var hasSec, hasNsec bool
	for i := uint64(0); ; i++ {
		more, ok := d.more(h, i)
		if !ok {
			return false
		}
		if !more {
			break
		}
		key, ok := d.key(0)
		if !ok {
			return false
		}
		v, ok := d.head()
		if !ok {
			return false
		}
		n, whole := v.signed()
		has := &hasSec
		switch string(key) {
		case "sec":
			sec = n
		case "nsec":
			has, nsec = &hasNsec, n
		default:
			return d.fail(message.TypeMismatch, h.at, t.ID, "a time has sec and nsec only")
		}
		if v.major > majorNegative {
			return d.mismatch(t, v)
		}
		if !whole {
			return d.fail(message.OutOfRange, v.at, t.ID, "")
		}
		if *has {
			return d.fail(message.DuplicateKey, h.at, t.ID, "")
		}
		*has = true
	}
	ns, ok := jsonschema.Nanoseconds(sec, nsec, hasSec && hasNsec)
	if !ok {
		return d.fail(message.OutOfRange, h.at, t.ID, "")
	}
	d.f.Put(t.ID, uint64(ns))
	return true
}

// skip passes over an item and checks that it is one.
func (d *decoder) skip(depth int) bool {
	h, _, depth, ok := d.untag(depth)
	if !ok {
		return false
	}
	switch h.major {
	case majorBytes, majorText:
		_, ok := d.text(h)
		return ok
	case majorArray, majorMap:
		if depth >= jsonschema.MaxDepth {
			return d.fail(message.TooDeep, h.at, tree.None, "")
		}
		mark := d.keys.Mark()
		for i := uint64(0); ; i++ {
			more, ok := d.more(h, i)
			if !ok {
				return false
			}
			if !more {
				break
			}
			if h.major == majorMap {
				key, ok := d.key(depth)
				if !ok {
					return false
				}
				d.keys.Add(key)
			}
			if !d.skip(depth + 1) {
				return false
			}
		}
		if !d.keys.Unique(mark) {
			return d.fail(message.DuplicateKey, h.at, tree.None, "")
		}
	case majorSimple:
		if h.isBreak() {
			return d.fail(message.Malformed, h.at, tree.None, "end of nothing")
		}
	}
	return true
}
