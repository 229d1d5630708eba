package json

import (
	"unicode/utf8"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/jsonschema"
	"github.com/drivemill/drivemill/formats/message/tree"
)

// decoder walks over one message. All positions are in the block.
type decoder struct {
	root  *jsonschema.Table
	f     *tree.Frame
	b     []byte // the block up to the end of the message
	pos   int
	keys  jsonschema.Keys
	extra jsonschema.Extra
	want  bool // members without a name in the schema are wanted
}

// message is a tree.Decode.
func (d *decoder) message(f *tree.Frame, start, end int) bool {
	d.f, d.b, d.pos = f, f.Data[:end], start
	d.keys.Reset()
	d.extra.Reset()
	d.want = d.root.Extra != tree.None
	if b := f.Data[start:end]; !utf8.Valid(b) {
		n := 0
		for n < len(b) {
			r, size := utf8.DecodeRune(b[n:])
			if r == utf8.RuneError && size <= 1 {
				break
			}
			n += size
		}
		return d.fail(message.InvalidUTF8, start+n, tree.None, "")
	}
	d.blanks()
	t := d.root
	if t.Kind != jsonschema.Object {
		t = t.Elem
	}
	if !d.value(t, 0) {
		return false
	}
	d.blanks()
	if d.pos < len(d.b) {
		return d.fail(message.TrailingBytes, d.pos, tree.None, "text behind the value")
	}
	if d.want {
		if b := d.extra.Text(); len(b) > 0 {
			return f.PutText(d.root.Extra, b, start)
		}
	}
	return true
}

func (d *decoder) fail(code string, at int, id int32, detail string) bool {
	return d.f.Fail(code, at, id, detail)
}

// malformed is what is wrong with text that is not JSON.
func (d *decoder) malformed(detail string) bool {
	if d.pos >= len(d.b) {
		return d.fail(message.Truncated, len(d.b), tree.None, "")
	}
	return d.fail(message.Malformed, d.pos, tree.None, detail)
}

func (d *decoder) mismatch(t *jsonschema.Table, at int) bool {
	return d.fail(message.TypeMismatch, at, t.ID, "")
}

func (d *decoder) blanks() {
	for d.pos < len(d.b) {
		switch d.b[d.pos] {
		case ' ', '\n', '\r', '\t':
			d.pos++
		default:
			return
		}
	}
}

// value reads a value that the schema knows.
func (d *decoder) value(t *jsonschema.Table, depth int) bool {
	if t.ID == tree.None && (!d.want || t.Kind != jsonschema.Object && t.Kind != jsonschema.Array) {
		return d.skip(depth)
	}
	if d.pos >= len(d.b) {
		return d.malformed("")
	}
	start, c := d.pos, d.b[d.pos]
	if t.Kind == jsonschema.Text {
		return d.skip(depth) && d.f.PutText(t.ID, d.b[start:d.pos], start)
	}
	if c == 'n' {
		if !d.word("null") {
			return false
		}
		if t.ID == 0 {
			return d.mismatch(t, start)
		}
		if t.ID > 0 {
			d.f.PutNull(t.ID)
		}
		return true
	}
	switch t.Kind {
	case jsonschema.Object:
		if c != '{' {
			return d.skip(depth) && d.mismatch(t, start)
		}
		return d.object(t, depth)
	case jsonschema.Array:
		if c != '[' {
			return d.skip(depth) && d.mismatch(t, start)
		}
		return d.array(t, depth)
	case jsonschema.Time, jsonschema.Duration:
		if c != '{' {
			return d.skip(depth) && d.mismatch(t, start)
		}
		return d.time(t, depth)
	case jsonschema.Boolean:
		switch c {
		case 't':
			d.f.Put(t.ID, 1)
			return d.word("true")
		case 'f':
			d.f.Put(t.ID, 0)
			return d.word("false")
		}
	case jsonschema.Integer, jsonschema.Unsigned, jsonschema.Number:
		if c == '-' || c >= '0' && c <= '9' {
			return d.number(t)
		}
	case jsonschema.String, jsonschema.Base64:
		if c == '"' {
			s, ok := d.text(t.ID)
			if !ok {
				return false
			}
			if t.Kind == jsonschema.Base64 {
				if s, ok = d.base64(s); !ok {
					return d.fail(message.TypeMismatch, start, t.ID, "not base64")
				}
			}
			return d.f.PutText(t.ID, s, start)
		}
	}
	return d.skip(depth) && d.mismatch(t, start)
}

// object reads an object.
func (d *decoder) object(t *jsonschema.Table, depth int) bool {
	if depth >= jsonschema.MaxDepth {
		return d.fail(message.TooDeep, d.pos, t.ID, "")
	}
	if t.ID != tree.None {
		d.f.Open(t.ID)
	}
	mark, hint, start := d.keys.Mark(), 0, d.pos
	for first := true; ; first = false {
		key, more, ok := d.key(first)
		if !ok {
			return false
		}
		if !more {
			break
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
		default:
			at := d.pos
			if ok = d.skip(depth + 1); ok && d.want && !d.extra.Add(key, d.b[at:d.pos]) {
				return d.fail(message.TooLarge, at, d.root.Extra, "")
			}
		}
		if !ok {
			return false
		}
	}
	if !d.keys.Unique(mark) {
		return d.fail(message.DuplicateKey, start, t.ID, "")
	}
	return t.ID == tree.None || d.f.Close(t.ID)
}

func (d *decoder) array(t *jsonschema.Table, depth int) bool {
	if depth >= jsonschema.MaxDepth {
		return d.fail(message.TooDeep, d.pos, t.ID, "")
	}
	if t.ID != tree.None {
		d.f.Open(t.ID)
	}
	path := d.want && (t.Elem.Kind == jsonschema.Object || t.Elem.Kind == jsonschema.Array)
	for i := 0; ; i++ {
		more, ok := d.next(i == 0, ']')
		if !ok {
			return false
		}
		if !more {
			return t.ID == tree.None || d.f.Close(t.ID)
		}
		n := 0
		if path {
			n = d.extra.PushIndex(i)
		}
		if !d.value(t.Elem, depth+1) {
			return false
		}
		if path {
			d.extra.Pop(n)
		}
	}
}

// time reads an object of sec and nsec.
func (d *decoder) time(t *jsonschema.Table, depth int) bool {
	var sec, nsec int64
	var hasSec, hasNsec bool
	start := d.pos
	for first := true; ; first = false {
		key, more, ok := d.key(first)
		if !ok {
			return false
		}
		if !more {
			break
		}
		at := d.pos
		if string(key) != "sec" && string(key) != "nsec" {
			return d.fail(message.TypeMismatch, at, t.ID, "a time has sec and nsec only")
		}
		if d.pos >= len(d.b) || d.b[d.pos] != '-' && (d.b[d.pos] < '0' || d.b[d.pos] > '9') {
			return d.skip(depth+1) && d.mismatch(t, at)
		}
		v, neg, whole, ok := d.integer()
		if !ok {
			return false
		}
		if !whole || v > 1<<62 {
			return d.fail(message.OutOfRange, at, t.ID, "")
		}
		n := int64(v)
		if neg {
			n = -n
		}
		has := &hasSec
		if key[0] == 'n' {
			has, nsec = &hasNsec, n
		} else {
			sec = n
		}
		if *has {
			return d.fail(message.DuplicateKey, start, t.ID, "")
		}
		*has = true
	}
	ns, ok := jsonschema.Nanoseconds(sec, nsec, hasSec && hasNsec)
	if !ok {
		return d.fail(message.OutOfRange, start, t.ID, "")
	}
	d.f.Put(t.ID, uint64(ns))
	return true
}

// key reads up to the value of the next member of an object; more is false
// where the object ends.
func (d *decoder) key(first bool) (key []byte, more, ok bool) {
	if more, ok = d.next(first, '}'); !more {
		return nil, false, ok
	}
	if d.pos >= len(d.b) || d.b[d.pos] != '"' {
		return nil, false, d.malformed("a key is due")
	}
	if key, ok = d.text(tree.None); !ok {
		return nil, false, false
	}
	d.blanks()
	if d.pos >= len(d.b) || d.b[d.pos] != ':' {
		return nil, false, d.malformed("a colon is due")
	}
	d.pos++
	d.blanks()
	return key, true, true
}

// next goes on to the next member or element of an object or list that ends
// with end.
func (d *decoder) next(first bool, end byte) (more, ok bool) {
	if first {
		d.pos++
	}
	d.blanks()
	if d.pos >= len(d.b) {
		return false, d.malformed("")
	}
	if d.b[d.pos] == end {
		d.pos++
		return false, true
	}
	if first {
		return true, true
	}
	if d.b[d.pos] != ',' {
		return false, d.malformed("a comma is due")
	}
	d.pos++
	d.blanks()
	return true, true
}

// skip passes over a value and checks that it is one.
func (d *decoder) skip(depth int) bool {
	if d.pos >= len(d.b) {
		return d.malformed("")
	}
	switch c := d.b[d.pos]; c {
	case '{', '[':
		if depth >= jsonschema.MaxDepth {
			return d.fail(message.TooDeep, d.pos, tree.None, "")
		}
		mark, start := d.keys.Mark(), d.pos
		for first := true; ; first = false {
			var more, ok bool
			if c == '[' {
				more, ok = d.next(first, ']')
			} else {
				var key []byte
				if key, more, ok = d.key(first); more {
					d.keys.Add(key)
				}
			}
			if !ok {
				return false
			}
			if !more {
				break
			}
			if !d.skip(depth + 1) {
				return false
			}
		}
		if !d.keys.Unique(mark) {
			return d.fail(message.DuplicateKey, start, tree.None, "")
		}
		return true
	case '"':
		_, _, ok := d.quoted()
		return ok
	case 't':
		return d.word("true")
	case 'f':
		return d.word("false")
	case 'n':
		return d.word("null")
	default:
		if c == '-' || c >= '0' && c <= '9' {
			_, ok := d.digits()
			return ok
		}
	}
	return d.malformed("a value is due")
}

func (d *decoder) word(w string) bool {
	if len(d.b)-d.pos < len(w) {
		return d.fail(message.Truncated, len(d.b), tree.None, "")
	}
	if string(d.b[d.pos:d.pos+len(w)]) != w {
		return d.malformed("a value is due")
	}
	d.pos += len(w)
	return true
}
