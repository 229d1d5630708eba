package bagtest

import (
	"encoding/binary"
)

// pager allocates pages and lays b-trees into them.
type pager struct {
	size, usable int
	pages        [][]byte
}

func (p *pager) alloc() uint32 {
	p.pages = append(p.pages, make([]byte, p.size))
	return uint32(len(p.pages))
}

func (p *pager) page(n uint32) []byte { return p.pages[n-1] }

// varint appends a number as SQLite spells it.
func varint(b []byte, v uint64) []byte {
	if v>>56 != 0 {
		for i := 7; i >= 0; i-- {
			b = append(b, byte(v>>(8+7*i))|0x80)
		}
		return append(b, byte(v))
	}
	n := 1
	for v>>(7*n) != 0 {
		n++
	}
	for i := n - 1; i >= 0; i-- {
		c := byte(v>>(7*i)) & 0x7f
		if i > 0 {
			c |= 0x80
		}
		b = append(b, c)
	}
	return b
}

// Value is a column of a row: nil, int64, string or []byte.
type Value any

// record spells a row. Text is in the encoding of the database.
func (d *DB) record(values ...Value) []byte {
	var head, body []byte
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			head = append(head, 0)
		case int64:
			serial, width := integer(v)
			head = varint(head, serial)
			for i := width - 1; i >= 0; i-- {
				body = append(body, byte(uint64(v)>>(8*i)))
			}
		case string:
			text := d.text(v)
			head = varint(head, 13+2*uint64(len(text)))
			body = append(body, text...)
		case []byte:
			head = varint(head, 12+2*uint64(len(v)))
			body = append(body, v...)
		}
	}
	n := len(head) + 1
	if n >= 128 {
		n++
	}
	return append(append(varint(nil, uint64(n)), head...), body...)
}

// integer returns serial type and width of an integer.
func integer(v int64) (serial uint64, width int) {
	switch v {
	case 0:
		return 8, 0
	case 1:
		return 9, 0
	}
	for i, w := range []int{1, 2, 3, 4, 6} {
		if limit := int64(1) << (8*w - 1); v >= -limit && v < limit {
			return uint64(i + 1), w
		}
	}
	return 6, 8
}

// row is a row of a table.
type row struct {
	id      int64
	payload []byte
}

// cell spells a row of a leaf, its overflow in pages of their own.
func (p *pager) cell(r row) []byte {
	c := varint(varint(nil, uint64(len(r.payload))), uint64(r.id))
	if len(r.payload) <= p.usable-35 {
		return append(c, r.payload...)
	}
	least := (p.usable-12)*32/255 - 23
	local := least + (len(r.payload)-least)%(p.usable-4)
	if local > p.usable-35 {
		local = least
	}
	c = append(c, r.payload[:local]...)
	rest := r.payload[local:]
	next := p.alloc()
	c = binary.BigEndian.AppendUint32(c, next)
	for {
		page := p.page(next)
		n := copy(page[4:p.usable], rest)
		if rest = rest[n:]; len(rest) == 0 {
			return c
		}
		next = p.alloc()
		binary.BigEndian.PutUint32(page, next)
	}
}

// write fills a b-tree page with cells. The first page begins with the header
// of the file.
func (p *pager) write(n uint32, kind byte, cells [][]byte, right uint32) {
	page := p.page(n)
	h := page
	if n == 1 {
		h = page[100:]
	}
	h[0] = kind
	binary.BigEndian.PutUint16(h[3:], uint16(len(cells)))
	at, end := head(kind), p.usable
	for _, c := range cells {
		end -= len(c)
		copy(page[end:], c)
		binary.BigEndian.PutUint16(h[at:], uint16(end))
		at += 2
	}
	binary.BigEndian.PutUint16(h[5:], uint16(end&0xffff))
	if right != 0 {
		binary.BigEndian.PutUint32(h[8:], right)
	}
}

func head(kind byte) int {
	if kind == 2 || kind == 5 {
		return 12
	}
	return 8
}

// child is a page of the level below, and the largest rowid or last entry in it.
type child struct {
	page uint32
	key  int64
}

// table lays rows into a b-tree and returns its root. Children of interior
// pages are at most fanout, if that is positive.
func (p *pager) table(rows []row, fanout int) uint32 {
	var level []child
	var cells [][]byte
	room := p.usable - 8
	var last int64
	flush := func() {
		n := p.alloc()
		p.write(n, 13, cells, 0)
		level = append(level, child{n, last})
		cells, room = nil, p.usable-8
	}
	for _, r := range rows {
		c := p.cell(r)
		if len(c)+2 > room {
			flush()
		}
		cells, room, last = append(cells, c), room-len(c)-2, r.id
	}
	flush()
	if fanout <= 0 {
		fanout = (p.usable - 12) / 15
	}
	for len(level) > 1 {
		var up []child
		for len(level) > 0 {
			group := level[:min(fanout, len(level))]
			level = level[len(group):]
			var cells [][]byte
			for _, c := range group[:len(group)-1] {
				cells = append(cells, varint(binary.BigEndian.AppendUint32(nil, c.page), uint64(c.key)))
			}
			n := p.alloc()
			end := group[len(group)-1]
			p.write(n, 5, cells, end.page)
			up = append(up, child{n, end.key})
		}
		level = up
	}
	return level[0].page
}

// index lays entries, in order, into a b-tree of two levels at most.
func (p *pager) index(entries [][]byte) uint32 {
	var inner, cells [][]byte
	room := p.usable - 8
	for _, e := range entries {
		c := append(varint(nil, uint64(len(e))), e...)
		if len(c)+2 > room {
			// The entry goes up, between two leaves.
			n := p.alloc()
			p.write(n, 10, cells, 0)
			inner = append(inner, append(binary.BigEndian.AppendUint32(nil, n), c...))
			cells, room = nil, p.usable-8
			continue
		}
		cells, room = append(cells, c), room-len(c)-2
	}
	if len(cells) == 0 && len(inner) > 0 {
		// The last entry may not stand alone above: it begins the last leaf.
		cells = [][]byte{inner[len(inner)-1][4:]}
		left := binary.BigEndian.Uint32(inner[len(inner)-1])
		inner = inner[:len(inner)-1]
		n := p.alloc()
		old := p.page(left)
		count := int(binary.BigEndian.Uint16(old[3:]))
		lead := old[binary.BigEndian.Uint16(old[8+2*(count-1):]):p.usable]
		size := 1 + int(lead[0])
		inner = append(inner, append(binary.BigEndian.AppendUint32(nil, left), lead[:size]...))
		binary.BigEndian.PutUint16(old[3:], uint16(count-1))
		binary.BigEndian.PutUint16(old[5:], binary.BigEndian.Uint16(old[8+2*(count-2):]))
		p.write(n, 10, cells, 0)
		return p.above(inner, n)
	}
	n := p.alloc()
	p.write(n, 10, cells, 0)
	return p.above(inner, n)
}

// above writes the root over leaves of an index, if there are several.
func (p *pager) above(inner [][]byte, right uint32) uint32 {
	if len(inner) == 0 {
		return right
	}
	n := p.alloc()
	p.write(n, 2, inner, right)
	return n
}
