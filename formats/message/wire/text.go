package wire

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline/column"
)

// isASCII reports whether b has no byte beyond 0x7f.
func isASCII(b []byte) bool {
	const high = 0x8080808080808080
	for ; len(b) >= 32; b = b[32:] {
		if (binary.LittleEndian.Uint64(b)|binary.LittleEndian.Uint64(b[8:])|
			binary.LittleEndian.Uint64(b[16:])|binary.LittleEndian.Uint64(b[24:]))&high != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// strings appends n strings to c and returns the position behind, or -1.
func (f *frame) strings(c *column.Column, n, pos int, path int32) int {
	if n == 0 {
		return pos
	}
	c.GrowOffsets(n)
	data, ends := c.Data, c.Offsets
	msg, cdr := f.msg, f.p.dialect.CDR
	failed := ""
	for range n {
		if cdr {
			pos += (f.origin - pos) & 3
		}
		if len(msg)-pos < 4 {
			failed = Truncated
			break
		}
		size := int(f.u32(pos))
		pos += 4
		if size > len(msg)-pos {
			failed = LengthBeyondEnd
			pos -= 4
			break
		}
		text := msg[pos : pos+size]
		if cdr && size > 0 && text[size-1] == 0 {
			text = text[:size-1]
		}
		if f.careful && !utf8.Valid(text) {
			failed = InvalidUTF8
			break
		}
		pos += size
		if len(data)+len(text) > cap(data) {
			c.Data = data
			c.Grow(len(text))
			data = c.Data
		}
		data = append(data, text...)
		ends = append(ends, int32(len(data)))
	}
	c.Data, c.Offsets = data, ends
	c.N = len(ends) - 1
	if failed != "" {
		return f.fail(failed, pos, path)
	}
	return pos
}

// wide reads a wide string whose length field says n and returns the position
// behind, or -1. The text must be sound UTF-16 without U+0000, but for one at
// the end that some writers put: that is what tells the layouts apart.
func (f *frame) wide(o *op, n, pos int) int {
	unit := 2
	switch f.p.dialect.Wide {
	case Wide4:
		unit = 4
	case WideBytes:
		if n%2 != 0 {
			return f.fail(InvalidUTF16, pos-4, o.path)
		}
		n /= 2
	}
	if n > (len(f.msg)-pos)/unit {
		return f.fail(LengthBeyondEnd, pos-4, o.path)
	}
	begin := pos
	end := pos + n*unit
	at := func(p int) (uint32, bool) {
		u := f.msg[p : p+unit]
		switch {
		case unit == 4:
			v := f.u32(p)
			return v, v <= 0xffff
		case f.be:
			return uint32(binary.BigEndian.Uint16(u)), true
		}
		return uint32(binary.LittleEndian.Uint16(u)), true
	}
	for ; pos < end; pos += unit {
		v, ok := at(pos)
		if !ok || v == 0 && pos+unit < end {
			return f.fail(InvalidUTF16, begin, o.path)
		}
		if v == 0 {
			continue
		}
		r := rune(v)
		if utf16.IsSurrogate(r) {
			if pos+2*unit > end {
				return f.fail(InvalidUTF16, begin, o.path)
			}
			low, _ := at(pos + unit)
			if r = utf16.DecodeRune(r, rune(low)); r == utf8.RuneError {
				return f.fail(InvalidUTF16, begin, o.path)
			}
			pos += unit
		}
		if o.col >= 0 {
			c := f.cols[o.col]
			c.Grow(utf8.UTFMax)
			c.Data = utf8.AppendRune(c.Data, r)
		}
	}
	if o.col >= 0 {
		c := f.cols[o.col]
		c.CloseValue(len(c.Data))
	}
	return end
}

// Probe walks over one message without appending anything and returns how many
// bytes follow its last field; ok is false where it cannot be decoded.
func (p *Program) Probe(data []byte, s message.Span) (left int, ok bool) {
	f := p.acquire(nil, data)
	defer p.release(f)
	left = f.message(int(s.Start), int(s.End))
	return left, left >= 0
}
