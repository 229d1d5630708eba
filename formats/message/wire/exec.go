package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Append decodes the messages at spans of data, appends a row for each to
// cols and returns their number. At the first message that cannot be decoded
// it stops and returns its index with an *Error; the columns hold nothing of
// it.
//
// Strings are first taken as they are and then looked through together, a
// column at a time. Only where something is wrong are the messages decoded
// again, string by string, to learn which one it is.
func (p *Program) Append(cols []*column.Column, data []byte, spans []message.Span) (int, error) {
	if len(spans) == 0 {
		return 0, nil
	}
	f := p.acquire(cols, data)
	defer p.release(f)
	rows := 0
	if p.tops > 0 {
		rows = cols[0].N
	}
	f.careful = false
	n := f.walk(spans)
	if n == len(spans) && f.textsValid() {
		return n, nil
	}
	f.rollback(cols, rows)
	f.careful = true
	n = f.walk(spans)
	if n == len(spans) {
		return n, nil
	}
	err := &Error{Code: f.code, Offset: f.at - int(spans[n].Start)}
	if f.path >= 0 {
		err.Column = p.paths[f.path]
	}
	f.rollback(cols, rows+n)
	return n, err
}

// walk decodes messages until one fails and returns its index.
func (f *frame) walk(spans []message.Span) int {
	room := f.room()
	n := 0
	for ; n < len(spans); n++ {
		s := spans[n]
		// What a message adds to a column is at most half as much again as its
		// bytes, so that offsets do not overflow while there is room for twice.
		if room -= 2 * int64(s.End-s.Start); room < 0 {
			f.fail(TooLarge, int(s.Start), -1)
			break
		}
		if f.message(int(s.Start), int(s.End)) < 0 {
			break
		}
	}
	for slot := range f.notes {
		if len(f.notes[slot]) > 0 {
			f.gatherSlot(int32(slot))
		}
	}
	return n
}

// rollback drops all rows but the given number, whole or not.
func (f *frame) rollback(cols []*column.Column, rows int) {
	for _, c := range cols[:f.p.tops] {
		c.Truncate(rows)
		c.TrimVar()
	}
}

// textsValid reports whether the strings added since acquire are UTF-8: all of
// a column taken together are, and none begins inside a character.
func (f *frame) textsValid() bool {
	for i, col := range f.p.texts {
		c, from := f.cols[col], f.marks[i]
		if isASCII(c.Data[from.bytes:]) {
			continue
		}
		if !utf8.Valid(c.Data[from.bytes:]) {
			return false
		}
		for _, o := range c.Offsets[from.values:c.N] {
			if int(o) < len(c.Data) && !utf8.RuneStart(c.Data[o]) {
				return false
			}
		}
	}
	return true
}

// room is how many bytes or rows more every column can take, as far as
// offsets of 32 bits go.
func (f *frame) room() int64 {
	most := 0
	for _, c := range f.cols {
		switch c.Kind {
		case column.Var:
			most = max(most, len(c.Data))
		case column.List:
			if n := len(c.Offsets); n > 0 {
				most = max(most, int(c.Offsets[n-1]))
			}
		}
	}
	return math.MaxInt32 - int64(most)
}

// fail notes what is wrong and returns the position that says so.
func (f *frame) fail(code string, at int, path int32) int {
	f.code, f.at, f.path = code, at, path
	return -1
}

// message walks over one message and returns how many bytes follow its last
// field, or -1.
func (f *frame) message(start, end int) int {
	p := f.p
	pos := start
	spare := 0
	if p.dialect.CDR {
		if end-start < headerSize {
			return f.fail(Truncated, start, -1)
		}
		pos += headerSize
		spare = slack
		if p.empty && pos == end {
			return 0
		}
		// The options of the header tell how much of the end is padding.
		if pad := int(f.data[start+3] & 3); (end-start)%4 == 0 && end-pos >= pad {
			end -= pad
		}
	}
	f.msg, f.origin = f.data[:end], pos
	pos = f.exec(p.ops, pos)
	if pos < 0 {
		return -1
	}
	if end-pos > spare {
		return f.fail(TrailingBytes, pos, -1)
	}
	return end - pos
}

func (f *frame) u32(pos int) uint32 {
	v := binary.LittleEndian.Uint32(f.msg[pos:])
	if f.be {
		v = bits.ReverseBytes32(v)
	}
	return v
}

// exec runs ops from pos on and returns the position behind, or -1.
func (f *frame) exec(ops []op, pos int) int {
	for i := range ops {
		o := &ops[i]
		if o.align > 1 {
			pos += (f.origin - pos) & (int(o.align) - 1)
		}
		if o.code == opRun {
			if len(f.msg)-pos < o.size {
				return f.fail(Truncated, pos, o.path)
			}
			if o.slot >= 0 {
				f.note(o.slot, pos)
			}
			pos += o.size
			continue
		}
		// All others begin with a length or count, or are of fixed length.
		n := o.n
		if !o.fixed {
			if len(f.msg)-pos < 4 {
				return f.fail(Truncated, pos, o.path)
			}
			n = int(f.u32(pos))
			pos += 4
		}
		switch o.code {
		case opString, opBytes:
			if n > len(f.msg)-pos {
				return f.fail(LengthBeyondEnd, pos-4, o.path)
			}
			text := f.msg[pos : pos+n]
			pos += n
			if o.code == opString {
				if f.p.dialect.CDR && n > 0 && text[n-1] == 0 {
					text = text[:n-1]
				}
				if f.careful && !utf8.Valid(text) {
					return f.fail(InvalidUTF8, pos-n, o.path)
				}
			}
			c := f.cols[o.col]
			if c.Long != nil {
				c.AppendBytes(text)
				continue
			}
			if len(c.Data)+len(text) > cap(c.Data) {
				c.Grow(len(text))
			}
			c.Data = append(c.Data, text...)
			c.CloseValue(len(c.Data))
		case opStrings:
			if n > (len(f.msg)-pos)/4 {
				return f.fail(LengthBeyondEnd, pos, o.path)
			}
			if pos = f.strings(f.cols[o.elemCol], n, pos, o.path); pos < 0 {
				return -1
			}
			f.closeRows(o, n)
		case opSeq:
			if n == 0 {
				if o.col >= 0 {
					f.closeList(f.cols[o.col], 0)
				}
				continue
			}
			if o.elem > 1 {
				pos += (f.origin - pos) & (int(o.elem) - 1)
			}
			if n > (len(f.msg)-pos)/o.size {
				return f.fail(LengthBeyondEnd, pos, o.path)
			}
			if o.col >= 0 {
				c := f.cols[o.col]
				appendValues(c.Children[0], o.conv, o.size, f.msg[pos:pos+n*o.size], n, f.be)
				f.closeList(c, n)
			}
			pos += n * o.size
		case opCount:
			if o.size > 0 && n > (len(f.msg)-pos)/o.size {
				return f.fail(LengthBeyondEnd, pos-4, o.path)
			}
			if o.body == nil {
				pos += n * o.size
			} else if pos = f.repeat(o.body, n, pos); pos < 0 {
				return -1
			}
			if o.col >= 0 {
				f.cols[o.col].AppendInt32(int32(uint32(n)))
			}
		case opLoop:
			if n > (len(f.msg)-pos)/o.size {
				return f.fail(LengthBeyondEnd, pos, o.path)
			}
			if pos = f.repeat(o.body, n, pos); pos < 0 {
				return -1
			}
			f.closeRows(o, n)
		case opStride:
			if n > 0 {
				if o.elem > 1 {
					pos += (f.origin - pos) & (int(o.elem) - 1)
				}
				left := len(f.msg) - pos
				if left < o.size || n-1 > (left-o.size)/o.stride {
					return f.fail(LengthBeyondEnd, pos, o.path)
				}
				if o.slot >= 0 {
					for k := range n {
						f.note(o.slot, pos+k*o.stride)
					}
				}
				pos += (n-1)*o.stride + o.size
			}
			f.closeRows(o, n)
		case opWide:
			if pos = f.wide(o, n, pos); pos < 0 {
				return -1
			}
		case opDelimited, opSkipDelimited:
			if n > len(f.msg)-pos {
				return f.fail(LengthBeyondEnd, pos-4, o.path)
			}
			begin := pos
			pos += n
			if o.code == opDelimited {
				end := f.exec(o.body, begin)
				if end < 0 {
					return -1
				}
				if end != pos {
					return f.fail(BadDelimiter, begin-4, o.path)
				}
			}
		}
	}
	return pos
}

// repeat runs ops n times.
func (f *frame) repeat(ops []op, n, pos int) int {
	for range n {
		if pos = f.exec(ops, pos); pos < 0 {
			break
		}
	}
	return pos
}

// note keeps the position of a run for when its values are gathered.
func (f *frame) note(slot int32, pos int) {
	at := append(f.notes[slot], uint32(pos))
	f.notes[slot] = at
	if len(at) == cap(at) {
		f.gatherSlot(slot)
	}
}

// closeList ends a value of a list column that has n elements.
func (f *frame) closeList(c *column.Column, n int) {
	if l := len(c.Offsets); l > 0 {
		n += int(c.Offsets[l-1])
	}
	c.CloseValue(n)
}

// closeRows ends a list of n elements that the walk has seen all of.
func (f *frame) closeRows(o *op, n int) {
	if o.col < 0 {
		return
	}
	if c := f.cols[o.col]; o.fixed {
		c.N++
	} else {
		f.closeList(c, n)
	}
	for _, s := range o.structs {
		f.cols[s].N += n
	}
}

// gatherSlot appends the values of the noted runs to their columns.
func (f *frame) gatherSlot(slot int32) {
	at := f.notes[slot]
	for i := range f.p.slots[slot] {
		v := &f.p.slots[slot][i]
		gather(f.cols[v.col], f.data, at, v, f.be)
	}
	f.notes[slot] = at[:0]
}
