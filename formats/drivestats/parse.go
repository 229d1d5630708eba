package drivestats

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Advice to whoever edits this file: row is the loop on which the speed of this
// package depends. It looks at each byte once, touches a column only when a cell
// has a value, and calls nothing that is not inlined for integers and empty
// cells. Rows with quotes take the way over split and cell instead; the two must
// agree, which FuzzDecode and TestQuoted check.

// fault is why a row was refused.
type fault uint8

const (
	faultNone fault = iota
	faultFields
	faultQuote
	faultCell
)

// reason is what the ledger counts.
func (f fault) reason() string {
	switch f {
	case faultFields:
		return "field_count"
	case faultQuote:
		return "bad_quote"
	}
	return "bad_cell"
}

// badRow is a refused row of a block.
type badRow struct {
	start, end int // in the text, line end excluded
	record     int // ordinal within the block
	line       int // number of the line, less that of the block's first
	fault      fault
	detail     int // faultFields: how many there are; faultCell: which
}

// result is what became of a block.
type result struct {
	record     arrow.Record
	deltas     []uint32 // ordinals of the rows within the block, nil when none is missing
	found      int
	rows       int
	unselected int
	repeated   int // header lines
	bytes      int64
	bad        []badRow
	nullCells  []int64 // by column of the batch
	replaced   int64   // dates taken from the file's name
	differs    int64   // dates a day off the file's name
}

func (r *result) reset() {
	bad, cells := r.bad[:0], r.nullCells
	clear(cells)
	*r = result{bad: bad, nullCells: cells}
}

// parser turns blocks into records. It belongs to one goroutine.
type parser struct {
	sel       *selection
	mem       arrow.Allocator
	nulls     *nulls
	nullCells bool
	eol       byte
	day       int32 // of the file's name
	named     bool  // the name has a day

	columns []cells
	split   splitter

	// Of the block at hand.
	buf  []byte // the text with slack behind it
	plan *plan
	res  *result
	room int  // rows the columns have room for
	high bool // there are bytes beyond ASCII
	r    int  // rows so far

	// Of the row at hand.
	bad  []int16 // columns whose cells were bad
	date date

	// The date before and what became of it: a file has few of them.
	lastText [10]byte
	last     date
}

// date is what a date cell stands for.
type date struct {
	day      int32
	seen     bool // the row has such a cell
	ok       bool // there is a day
	replaced bool // it is that of the file's name, which the cell contradicts
	differs  bool // it is a day off the file's name
}

// parse fills b.out.
func (p *parser) parse(b *block) {
	p.buf, p.plan, p.res, p.room, p.r = b.text[:len(b.text)+slack], b.plan, &b.out, b.records, 0
	if p.res.nullCells == nil {
		p.res.nullCells = make([]int64, len(p.columns))
	}
	p.high = !ascii(b.text)
	header := b.plan.header.line
	for pos, line, i := 0, 0, 0; pos < len(b.text); i++ {
		start, next := pos, len(b.text)
		if b.odd {
			next = int(b.ends[i])
		} else if n := bytes.IndexByte(b.text[pos:], p.eol); n >= 0 {
			next = pos + n + 1
		}
		at := line
		if line++; b.odd {
			line = at + lineEnds(b.text[pos:next])
		}
		pos = next
		end := next - 1
		if end > start && b.text[end] == '\n' && b.text[end-1] == '\r' {
			end--
		}
		if end == start {
			continue
		}
		if end-start > maxRecord {
			b.err = tooLong(b.line + int64(at))
			break
		}
		if end-start == len(header) && bytes.Equal(b.text[start:end], header) {
			p.res.repeated++
			continue
		}
		var f fault
		var detail int
		p.date, p.bad = date{}, p.bad[:0]
		if b.odd && bytes.IndexByte(b.text[start:end], '"') >= 0 {
			f, detail = p.quotedRow(b.text[start:end])
		} else {
			f, detail = p.row(start, end)
		}
		switch {
		case f != faultNone:
			p.drop()
			p.res.bad = append(p.res.bad, badRow{start, end, p.res.found, at, f, detail})
		case !p.selected():
			p.drop()
			p.res.unselected++
		default:
			p.commit()
		}
		p.res.found++
		p.res.bytes += int64(next - start)
	}
	p.finish()
}

const commas = 0x2c2c2c2c2c2c2c2c

var comma = []byte{','}

// row parses buf[pos:end], which has no quotes.
func (p *parser) row(pos, end int) (fault, int) {
	start := pos
	buf, ops, last, r := p.buf, p.plan.ops, p.plan.last, p.r
	for i := 0; ; i++ {
		// At the start of cell i. Empty cells go by in runs.
		for {
			run := bits.TrailingZeros64(binary.LittleEndian.Uint64(buf[pos:])^commas) >> 3
			i += run
			pos += run
			if run < 8 {
				break
			}
		}
	cell:
		if i > last {
			if n := i + 1 + bytes.Count(buf[pos:end], comma); n != len(ops) {
				return faultFields, n
			}
			return faultNone, 0
		}
		if pos < end {
			o := ops[i]
			ok := true
			switch o.kind {
			case kindInt64:
				q, sign := pos, int64(1)
				if buf[q] == '-' {
					q, sign = q+1, -1
				}
				word := binary.LittleEndian.Uint64(buf[q:])
				v, n := digits(word)
				q += n
				// The commas behind a short number lie in the word that is there
				// already: the next cell need not wait for another.
				run := bits.TrailingZeros64(word>>(8*n)^commas) >> 3
				if n == 8 {
					more, m := digits(binary.LittleEndian.Uint64(buf[q:]))
					v = v*powers[m] + more
					q += m
					if m == 8 {
						n = 0 // may not fit
					}
				}
				if n == 0 || q < end && buf[q] != ',' {
					q = cellEnd(buf, pos, end)
					ok = p.cell(i, buf[pos:q])
					pos = q
					break
				}
				pos = q
				c := &p.columns[o.out]
				if !c.begun {
					c.begin(p.mem, p.room)
				}
				c.i64[r] = int64(v) * sign
				c.valid[r>>3] |= 1 << (r & 7)
				c.n++
				if run > 0 && n+run < 8 {
					i, pos = i+run, pos+run
					goto cell
				}
			case kindSkip:
				pos = cellEnd(buf, pos, end)
			default:
				q := cellEnd(buf, pos, end)
				ok = p.cell(i, buf[pos:q])
				pos = q
			}
			if !ok {
				if n := 1 + bytes.Count(buf[start:end], comma); n != len(ops) {
					return faultFields, n
				}
				return faultCell, i
			}
		}
		if pos == end {
			if i+1 != len(ops) {
				return faultFields, i + 1
			}
			return faultNone, 0
		}
		pos++
	}
}

var powers = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// digits reads the number at the start of eight bytes and returns its value and
// how many digits it has, all at once: the lengths of numbers cannot be
// predicted, so a loop over digits would spend most of its time going wrong.
func digits(w uint64) (v uint64, n int) {
	w ^= 0x3030303030303030 // digits become 0 to 9
	other := (w + 0x7676767676767676 | w) & 0x8080808080808080
	n = bits.TrailingZeros64(other) >> 3
	w <<= uint(64-8*n) & 127 // leading zeros in place of what is behind
	w = w*10 + w>>8
	w = (w&0x000000ff000000ff*0x000f424000000064 + w>>16&0x000000ff000000ff*0x0000271000000001) >> 32
	return w, n
}

// cellEnd returns where the cell at pos ends.
func cellEnd(buf []byte, pos, end int) int {
	if i := bytes.IndexByte(buf[pos:end], ','); i >= 0 {
		return pos + i
	}
	return end
}

// quotedRow parses a row in which there are quotes.
func (p *parser) quotedRow(line []byte) (fault, int) {
	if !p.split.split(line) {
		return faultQuote, 0
	}
	if n := len(p.split.ends); n != len(p.plan.ops) {
		return faultFields, n
	}
	for i := range p.plan.ops {
		if c := p.split.cell(i); len(c) > 0 && !p.cell(i, c) {
			return faultCell, i
		}
	}
	return faultNone, 0
}

// cell takes over the text of cell i, which is not empty. It reports whether
// the row can stay.
func (p *parser) cell(i int, text []byte) bool {
	o := p.plan.ops[i]
	if o.kind == kindDate {
		p.date = p.dateOf(text)
		return p.date.ok || p.refuse(o)
	}
	if o.out < 0 {
		return true
	}
	c := &p.columns[o.out]
	if !c.begun {
		c.begin(p.mem, p.room)
	}
	r := p.r
	switch o.kind {
	case kindText:
		if p.high && !utf8.Valid(text) {
			return p.refuse(o)
		}
		c.text.AppendNulls(r - c.text.N)
		c.text.AppendBytes(text)
		return true
	case kindBool:
		v, ok := parseBool(text)
		if !ok {
			return p.refuse(o)
		}
		if v {
			c.values[r>>3] |= 1 << (r & 7)
		}
	default:
		v, ok := parseInt(text)
		if !ok || o.kind == kindInt32 && v != int64(int32(v)) {
			return p.refuse(o)
		}
		if o.kind == kindInt64 {
			c.i64[r] = v
		} else {
			c.i32[r] = int32(v)
		}
	}
	c.valid[r>>3] |= 1 << (r & 7)
	c.n++
	return true
}

// refuse is what becomes of a bad cell: it is null, where that is asked for,
// or the row cannot stay.
func (p *parser) refuse(o op) bool {
	if p.nullCells && o.out >= 0 {
		p.bad = append(p.bad, o.out)
	}
	return p.nullCells
}

// selected reports whether the row at hand is in the time range.
func (p *parser) selected() bool {
	if p.named && !p.date.seen {
		p.date = date{day: p.day, seen: true, ok: true, replaced: true}
	}
	s := p.sel
	if s.none || !s.dated {
		return !s.none
	}
	const nanos = 24 * 60 * 60 * 1e9
	at := int64(p.date.day) * nanos
	return p.date.ok && at >= s.from && (s.to == 0 || at < s.to)
}

// commit makes the row at hand row r.
func (p *parser) commit() {
	if p.res.deltas != nil {
		p.res.deltas = append(p.res.deltas, uint32(p.res.found))
	}
	if d := p.date; d.ok {
		if o := p.plan.date; o >= 0 {
			c := &p.columns[o]
			if !c.begun {
				c.begin(p.mem, p.room)
			}
			c.i32[p.r] = d.day
			c.valid[p.r>>3] |= 1 << (p.r & 7)
			c.n++
			if d.replaced {
				p.res.replaced++
			} else if d.differs {
				p.res.differs++
			}
		}
	}
	for _, o := range p.bad {
		p.res.nullCells[o]++
	}
	p.r++
}

// drop takes the cells of the row at hand out of the columns.
func (p *parser) drop() {
	for i := range p.columns {
		p.columns[i].drop(p.r)
	}
	if p.res.deltas == nil {
		// From here on rows and records no longer go together.
		p.res.deltas = make([]uint32, p.r, p.room)
		for i := range p.res.deltas {
			p.res.deltas[i] = uint32(i)
		}
	}
}

// finish makes the record of the block.
func (p *parser) finish() {
	rows := p.r
	p.res.rows = rows
	if rows == 0 {
		for i := range p.columns {
			p.columns[i].finish(p.mem, 0)
		}
		return
	}
	arrays := make([]arrow.Array, len(p.columns))
	var shared [kindDate + 1]arrow.Array
	for i := range p.columns {
		c := &p.columns[i]
		a := c.finish(p.mem, rows)
		if a == nil {
			if shared[c.kind] == nil {
				shared[c.kind] = p.nulls.array(c.kind, rows)
			}
			a = shared[c.kind]
			a.Retain()
		}
		arrays[i] = a
	}
	p.res.record = arrow.NewRecord(p.sel.table.Schema, arrays, int64(rows))
	for _, a := range arrays {
		a.Release()
	}
	for _, a := range shared {
		if a != nil {
			a.Release()
		}
	}
}

// dateOf reads a date cell.
func (p *parser) dateOf(text []byte) date {
	if len(text) == len(p.lastText) && [10]byte(text) == p.lastText {
		return p.last
	}
	day, ok := parseDate(text)
	d := date{day: day, seen: true, ok: ok}
	if p.named {
		switch {
		case !ok || day < p.day-1 || day > p.day+1:
			d = date{day: p.day, seen: true, ok: true, replaced: true}
		case day != p.day:
			d.differs = true
		}
	}
	if len(text) == len(p.lastText) {
		p.lastText, p.last = [10]byte(text), d
	}
	return d
}
