package json

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/jsonschema"
	"github.com/drivemill/drivemill/formats/message/tree"
)

// quoted passes over a string and returns what lies between the quotes.
func (d *decoder) quoted() (raw []byte, escapes, ok bool) {
	b := d.b
	start := d.pos + 1
	for i := start; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			d.pos = i + 1
			return b[start:i], escapes, true
		case c < ' ':
			return nil, false, d.fail(message.Malformed, i, tree.None, "control character in a string")
		case c == '\\':
			escapes = true
			i++
			if i >= len(b) {
				break
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if len(b)-i <= 4 {
					return nil, false, d.fail(message.Truncated, len(b), tree.None, "")
				}
				if _, ok := hex4(b[i+1:]); !ok {
					return nil, false, d.fail(message.Malformed, i, tree.None, "bad escape")
				}
				i += 4
			default:
				return nil, false, d.fail(message.Malformed, i, tree.None, "bad escape")
			}
		}
	}
	return nil, false, d.fail(message.Truncated, len(b), tree.None, "")
}

func hex4(b []byte) (rune, bool) {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// text reads a string; id is the column it is for. In a key, half a surrogate
// pair becomes U+FFFD: no schema names it.
func (d *decoder) text(id int32) ([]byte, bool) {
	start := d.pos
	raw, escapes, ok := d.quoted()
	if !ok || !escapes {
		return raw, ok
	}
	at := len(d.f.Scratch)
	s := d.f.Scratch
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' {
			s = append(s, c)
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(raw[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(0)
				if i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
					low, _ = hex4(raw[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				} else if id != tree.None {
					return nil, d.fail(message.InvalidUTF8, start, id, "half a surrogate pair")
				}
			}
			s = utf8.AppendRune(s, r)
			continue
		default:
			c = raw[i]
		}
		s = append(s, c)
	}
	d.f.Scratch = s
	return s[at:], true
}

// base64 decodes text to bytes.
func (d *decoder) base64(s []byte) ([]byte, bool) {
	at := len(d.f.Scratch)
	d.f.Scratch = slices.Grow(d.f.Scratch, base64.StdEncoding.DecodedLen(len(s))+3)
	out := d.f.Scratch[at:cap(d.f.Scratch)]
	enc := base64.StdEncoding
	if len(s)%4 != 0 {
		enc = base64.RawStdEncoding
	}
	n, err := enc.Decode(out, s)
	d.f.Scratch = d.f.Scratch[:at+n]
	return out[:n], err == nil
}

// digits passes over a number and tells whether it is one of digits only.
func (d *decoder) digits() (whole, ok bool) {
	b, i := d.b, d.pos
	run := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if b[i] == '-' {
		i++
	}
	lead := i
	if !run() || b[lead] == '0' && i > lead+1 {
		d.pos = i
		return false, d.malformed("not a number")
	}
	whole = true
	if i < len(b) && b[i] == '.' {
		i++
		whole = false
		if !run() {
			d.pos = i
			return false, d.malformed("not a number")
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		whole = false
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !run() {
			d.pos = i
			return false, d.malformed("not a number")
		}
	}
	d.pos = i
	return whole, true
}

// integer reads a number as sign and magnitude; whole is false where it is a
// fraction or does not fit.
func (d *decoder) integer() (v uint64, neg, whole, ok bool) {
	start := d.pos
	neg = d.b[start] == '-'
	plain, ok := d.digits()
	if !ok {
		return 0, false, false, false
	}
	text := d.b[start:d.pos]
	if !plain {
		// 1.0 and 1e3 are integers; beyond 2^53 that cannot be told of a double.
		x, err := parseFloat(text)
		if err != nil || x != math.Trunc(x) || math.Abs(x) >= 1<<53 {
			return 0, neg, false, true
		}
		return uint64(math.Abs(x)), neg, true, true
	}
	if neg {
		text = text[1:]
	}
	for _, c := range text {
		n := uint64(c - '0')
		if v > (math.MaxUint64-n)/10 {
			return 0, neg, false, true
		}
		v = v*10 + n
	}
	return v, neg, true, true
}

// parseFloat parses a number that lies in the message, without copying it.
func parseFloat(b []byte) (float64, error) {
	return strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
}

// number reads a number for the column of t.
func (d *decoder) number(t *jsonschema.Table) bool {
	start := d.pos
	if t.Kind == jsonschema.Number {
		whole, ok := d.digits()
		if !ok {
			return false
		}
		text := d.b[start:d.pos]
		x, err := parseFloat(text)
		if err != nil || whole && math.Abs(x) >= 1<<53 && !exact(text, x) {
			return d.fail(message.OutOfRange, start, t.ID, "no double has this value")
		}
		d.f.Put(t.ID, math.Float64bits(x))
		return true
	}
	v, neg, whole, ok := d.integer()
	if !ok {
		return false
	}
	switch {
	case !whole:
	case t.Kind == jsonschema.Unsigned && (!neg || v == 0):
		d.f.Put(t.ID, v)
		return true
	case t.Kind == jsonschema.Integer && neg && v <= 1<<63:
		d.f.Put(t.ID, -v)
		return true
	case t.Kind == jsonschema.Integer && !neg && v < 1<<63:
		d.f.Put(t.ID, v)
		return true
	}
	return d.fail(message.OutOfRange, start, t.ID, "not an integer of the column")
}

// exact reports whether digits spell the very value of x.
func exact(digits []byte, x float64) bool {
	var mem [320]byte
	return string(strconv.AppendFloat(mem[:0], x, 'f', 0, 64)) == string(digits)
}
