package cbor

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/jsonschema"
	"github.com/drivemill/drivemill/formats/message/tree"
)

// Major types (RFC 8949, section 3.1).
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

// head is the beginning of an item.
type head struct {
	major byte
	info  byte   // low bits of the first byte; 31: indefinite length, or break
	arg   uint64 // value, length or count
	at    int    // where it stands
}

const indefinite = 31

// Simple values.
const (
	simpleFalse     = 20
	simpleTrue      = 21
	simpleNull      = 22
	simpleUndefined = 23
)

func (h head) null() bool {
	return h.major == majorSimple && (h.info == simpleNull || h.info == simpleUndefined)
}

func (h head) isBreak() bool { return h.major == majorSimple && h.info == indefinite }

// decoder walks over one message. All positions are in the block.
type decoder struct {
	root  *jsonschema.Table
	f     *tree.Frame
	b     []byte // the block up to the end of the message
	pos   int
	keys  jsonschema.Keys
	extra jsonschema.Extra
	want  bool   // members without a name in the schema are wanted
	buf   []byte // strings put together and keys spelled out; only grows in a message
}

func (d *decoder) fail(code string, at int, id int32, detail string) bool {
	return d.f.Fail(code, at, id, detail)
}

// head reads the beginning of an item.
func (d *decoder) head() (h head, ok bool) {
	if d.pos >= len(d.b) {
		return h, d.fail(message.Truncated, len(d.b), tree.None, "")
	}
	c := d.b[d.pos]
	h = head{major: c >> 5, info: c & 31, at: d.pos}
	d.pos++
	size := 0
	switch {
	case h.info < 24:
		h.arg = uint64(h.info)
	case h.info < 28:
		size = 1 << (h.info - 24)
	case h.info < indefinite || h.major <= majorNegative || h.major == majorTag:
		return h, d.fail(message.Malformed, h.at, tree.None, "reserved length")
	}
	if size > len(d.b)-d.pos {
		return h, d.fail(message.Truncated, len(d.b), tree.None, "")
	}
	for _, c := range d.b[d.pos : d.pos+size] {
		h.arg = h.arg<<8 | uint64(c)
	}
	d.pos += size
	if h.major == majorSimple && h.info == 24 && h.arg < 32 {
		return h, d.fail(message.Malformed, h.at, tree.None, "simple value in two bytes")
	}
	left := uint64(len(d.b) - d.pos)
	if h.info != indefinite && (h.major == majorBytes || h.major == majorText || h.major == majorArray) && h.arg > left ||
		h.info != indefinite && h.major == majorMap && h.arg > left/2 {
		return h, d.fail(message.LengthBeyondEnd, h.at, tree.None, "")
	}
	return h, true
}

// untag passes over the tags of an item and returns the last one, or 0; depth
// is one more for each.
func (d *decoder) untag(depth int) (h head, tag uint64, deeper int, ok bool) {
	for {
		if h, ok = d.head(); !ok || h.major != majorTag {
			return h, tag, depth, ok
		}
		tag = h.arg
		if depth++; depth > jsonschema.MaxDepth {
			return h, tag, depth, d.fail(message.TooDeep, h.at, tree.None, "")
		}
	}
}

// more reports whether a list or map that h began has another element, the
// i-th, and passes over the break at its end.
func (d *decoder) more(h head, i uint64) (more, ok bool) {
	if h.info != indefinite {
		return i < h.arg, true
	}
	if d.pos >= len(d.b) {
		return false, d.fail(message.Truncated, len(d.b), tree.None, "")
	}
	if d.b[d.pos] == 0xff {
		d.pos++
		return false, true
	}
	return true, true
}

// text reads the body of a string of bytes or text.
func (d *decoder) text(h head) ([]byte, bool) {
	if h.info != indefinite {
		s := d.b[d.pos : d.pos+int(h.arg)]
		d.pos += int(h.arg)
		if h.major == majorText && !utf8.Valid(s) {
			return nil, d.fail(message.InvalidUTF8, h.at, tree.None, "")
		}
		return s, true
	}
	at := len(d.buf)
	for {
		c, ok := d.head()
		if !ok {
			return nil, false
		}
		if c.isBreak() {
			return d.buf[at:], true
		}
		if c.major != h.major || c.info == indefinite {
			return nil, d.fail(message.Malformed, c.at, tree.None, "piece of another kind in a string")
		}
		s, ok := d.text(c)
		if !ok {
			return nil, false
		}
		d.buf = append(d.buf, s...)
	}
}

// float is the value of a simple item that is a float; ok is false where it is
// none.
func (h head) float() (x float64, ok bool) {
	if h.major != majorSimple {
		return 0, false
	}
	switch h.info {
	case 25:
		return half(uint16(h.arg)), true
	case 26:
		return float64(math.Float32frombits(uint32(h.arg))), true
	case 27:
		return math.Float64frombits(h.arg), true
	}
	return 0, false
}

// half is the value of a float of 16 bits (IEEE 754 binary16).
func half(v uint16) float64 {
	exp, frac := int(v>>10&31), float64(v&1023)
	var x float64
	switch exp {
	case 0:
		x = math.Ldexp(frac, -24)
	case 31:
		x = math.Inf(1)
		if frac != 0 {
			x = math.NaN()
		}
	default:
		x = math.Ldexp(frac+1024, exp-25)
	}
	if v>>15 != 0 {
		x = math.Copysign(x, -1)
	}
	return x
}

// typed is a kind of typed array (RFC 8746, section 2).
type typed struct {
	float, signed, little bool
	size                  int
}

func typedArray(tag uint64) (t typed, ok bool) {
	if tag < 64 || tag > 87 {
		return t, false
	}
	t = typed{float: tag&16 != 0, signed: tag&8 != 0, little: tag&4 != 0, size: 1 << (tag & 3)}
	if t.float {
		t.size *= 2
	}
	return t, t.size <= 8 && tag != 76
}

// element reads an element: as a double, or as 64 bits with the sign extended.
func (t typed) element(b []byte) (x float64, n uint64) {
	if t.size == 1 {
		if n = uint64(b[0]); t.signed {
			n = uint64(int64(int8(b[0])))
		}
		return 0, n
	}
	var order binary.ByteOrder = binary.BigEndian
	if t.little {
		order = binary.LittleEndian
	}
	switch t.size {
	case 2:
		v := order.Uint16(b)
		if t.float {
			return half(v), 0
		}
		if n = uint64(v); t.signed {
			n = uint64(int64(int16(v)))
		}
	case 4:
		v := order.Uint32(b)
		if t.float {
			return float64(math.Float32frombits(v)), 0
		}
		if n = uint64(v); t.signed {
			n = uint64(int64(int32(v)))
		}
	default:
		n = order.Uint64(b)
		if t.float {
			return math.Float64frombits(n), 0
		}
	}
	return 0, n
}
