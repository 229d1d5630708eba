package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline"
)

// Types of b-tree pages.
const (
	indexInterior = 2
	tableInterior = 5
	indexLeaf     = 10
	tableLeaf     = 13
)

// Place is where a cursor stands: for each open interior page its number and
// the child that comes next.
type Place []Step

// Step is one page of a Place.
type Step struct {
	Page  uint32
	Child uint16
}

// Cursor walks over the leaves of the b-tree of a table, in the order of
// rowids. One goroutine uses it.
type Cursor struct {
	f     *File
	pager *Pager
	root  uint32
	begun bool
	open  []node
	seen  []uint64 // bitmap of pages
	// Damaged is told what cannot be read.
	Damaged func(Damage)
}

// node is an interior page being walked over.
type node struct {
	page     uint32
	next     int
	children []uint32
}

// NewCursor stands before the first leaf of a table.
func (f *File) NewCursor(p *Pager, root uint32) *Cursor {
	return &Cursor{f: f, pager: p, root: root, seen: make([]uint64, f.pages/64+1), Damaged: func(Damage) {}}
}

// Place tells where the cursor stands, for Seek.
func (c *Cursor) Place() Place {
	if !c.begun {
		return nil
	}
	p := make(Place, len(c.open))
	for i, n := range c.open {
		p[i] = Step{n.page, uint16(n.next)}
	}
	return p
}

// Seek goes to a place that a cursor of the same table has told.
func (c *Cursor) Seek(ctx context.Context, place Place) error {
	clear(c.seen)
	c.open = c.open[:0]
	c.begun = place != nil
	for _, s := range place {
		page, err := c.pager.page(ctx, s.Page)
		if err != nil {
			return err
		}
		n, err := c.interior(s.Page, page)
		if err != nil || int(s.Child) > len(n.children) {
			return fmt.Errorf("page %d is not what it was: %w", s.Page, pipeline.ErrChanged)
		}
		n.next = int(s.Child)
		c.open = append(c.open, n)
	}
	return nil
}

// claim notes that a page is used, and reports whether it was before.
func (c *Cursor) claim(page uint32) (again bool) {
	bit := uint64(1) << (page % 64)
	again = c.seen[page/64]&bit != 0
	c.seen[page/64] |= bit
	return again
}

func (c *Cursor) damaged(page uint32, err error) {
	off := int64(-1)
	if page > 0 && page <= c.f.pages {
		off = c.f.offset(page)
	}
	c.Damaged(Damage{Offset: off, Bytes: int64(c.f.pageSize), Err: err})
}

// Next returns the next leaf, which is valid until the pager is used again, and
// io.EOF after the last.
func (c *Cursor) Next(ctx context.Context) (number uint32, page []byte, err error) {
	for {
		child := c.root
		if c.begun {
			for len(c.open) > 0 && c.open[len(c.open)-1].next == len(c.open[len(c.open)-1].children) {
				c.open = c.open[:len(c.open)-1]
			}
			if len(c.open) == 0 {
				return 0, nil, io.EOF
			}
			top := &c.open[len(c.open)-1]
			child = top.children[top.next]
			top.next++
		}
		c.begun = true
		if err := c.f.check(child); err != nil {
			c.damaged(child, err)
			continue
		}
		if c.claim(child) {
			c.damaged(child, fmt.Errorf("page %d is used twice: %w", child, pipeline.ErrCorrupt))
			continue
		}
		if page, err = c.pager.page(ctx, child); err != nil {
			return 0, nil, err
		}
		if head(child, page)[0] == tableLeaf {
			return child, page, nil
		}
		n, err := c.interior(child, page)
		if err == nil && len(c.open) == maxDepth {
			err = fmt.Errorf("page %d is deeper than %d: %w", child, maxDepth, pipeline.ErrCorrupt)
		}
		if err != nil {
			c.damaged(child, err)
			continue
		}
		c.open = append(c.open, n)
	}
}

// head is a page from the header of its b-tree on.
func head(number uint32, page []byte) []byte {
	if number == 1 {
		return page[headerLen:]
	}
	return page
}

// interior lists the children of an interior page of a table.
func (c *Cursor) interior(number uint32, page []byte) (node, error) {
	h := head(number, page)
	if h[0] != tableInterior {
		return node{}, fmt.Errorf("page %d has type %d, a table has %d and %d: %w", number, h[0], tableInterior, tableLeaf, pipeline.ErrCorrupt)
	}
	count := int(binary.BigEndian.Uint16(h[3:]))
	if 12+2*count > c.f.usable-(len(page)-len(h)) {
		return node{}, fmt.Errorf("page %d claims %d cells: %w", number, count, pipeline.ErrCorrupt)
	}
	n := node{page: number, children: make([]uint32, 0, count+1)}
	for i := range count {
		at := int(binary.BigEndian.Uint16(h[12+2*i:]))
		if at+4 > c.f.usable {
			return node{}, fmt.Errorf("page %d has a cell at %d: %w", number, at, pipeline.ErrCorrupt)
		}
		n.children = append(n.children, binary.BigEndian.Uint32(page[at:]))
	}
	n.children = append(n.children, binary.BigEndian.Uint32(h[8:]))
	return n, nil
}

// Cell is a row of a leaf.
type Cell struct {
	Rowid int64
	Size  int64 // of the payload
	// Start and End are where the payload, or the beginning of it, lies in
	// the page; the rest begins on page Overflow.
	Start, End int
	Overflow   uint32
}

// Cells appends the rows of a leaf to out. Those that contradict the page are
// left out and counted in bad.
func (f *File) Cells(number uint32, page []byte, out []Cell) (cells []Cell, bad int) {
	h := head(number, page)
	count := int(binary.BigEndian.Uint16(h[3:]))
	if room := (f.usable - (len(page) - len(h)) - 8) / 2; count > room {
		bad += count - room
		count = room
	}
	limit := uint64(f.pages) * uint64(f.usable)
	for i := range count {
		at := int(binary.BigEndian.Uint16(h[8+2*i:]))
		if at >= f.usable || at < len(page)-len(h)+8+2*count {
			bad++
			continue
		}
		size, n := Varint(page[at:f.usable])
		at += n
		row, m := Varint(page[at:f.usable])
		at += m
		if n == 0 || m == 0 || size > limit {
			bad++
			continue
		}
		c := Cell{Rowid: int64(row), Size: int64(size), Start: at, End: at + int(size)}
		if int(size) > f.usable-35 {
			c.End = at + f.local(int(size))
			if c.End+4 > f.usable {
				bad++
				continue
			}
			c.Overflow = binary.BigEndian.Uint32(page[c.End:])
		} else if c.End > f.usable {
			bad++
			continue
		}
		out = append(out, c)
	}
	return out, bad
}

// local is how much of a payload that overflows lies in the leaf.
func (f *File) local(size int) int {
	least := (f.usable-12)*32/255 - 23
	if k := least + (size-least)%(f.usable-4); k <= f.usable-35 {
		return k
	}
	return least
}

// Overflow appends the rest of a payload to out: n bytes from page first on.
// Damage is told as a Damage, failures of the source as any other error.
func (c *Cursor) Overflow(ctx context.Context, first uint32, n int64, out []byte) ([]byte, error) {
	next := first
	for n > 0 {
		if err := c.f.check(next); err != nil {
			return out, Damage{Offset: -1, Bytes: n, Err: fmt.Errorf("overflow: %w", err)}
		}
		if c.claim(next) {
			return out, Damage{Offset: c.f.offset(next), Bytes: n, Err: fmt.Errorf("overflow page %d is used twice: %w", next, pipeline.ErrCorrupt)}
		}
		page, err := c.pager.page(ctx, next)
		if err != nil {
			return out, err
		}
		k := min(n, int64(c.f.usable-4))
		out = append(out, page[4:4+k]...)
		n -= k
		next = binary.BigEndian.Uint32(page)
	}
	return out, nil
}

// Payload returns the whole payload of a cell of a page, in buf if it is
// large.
func (c *Cursor) Payload(ctx context.Context, page []byte, x Cell, buf []byte) (payload, grown []byte, err error) {
	if x.Overflow == 0 {
		return page[x.Start:x.End], buf, nil
	}
	if x.Size > MaxPayload {
		return nil, buf, Damage{Offset: -1, Bytes: x.Size, Err: fmt.Errorf("a record of %d bytes: %w", x.Size, pipeline.ErrLimit)}
	}
	buf = append(buf[:0], page[x.Start:x.End]...)
	buf, err = c.Overflow(ctx, x.Overflow, x.Size-int64(len(buf)), buf)
	return buf, buf, err
}

// RowidRange returns the first and last rowid of a table, reading one path to
// each; 1 and 0 for an empty table. It reports false where a page is damaged.
func (f *File) RowidRange(ctx context.Context, p *Pager, root uint32) (first, last int64, ok bool, err error) {
	ends := [2]int64{}
	for i := range ends {
		leaf, page, ok, err := f.descend(ctx, p, root, i == 1, tableInterior, tableLeaf)
		if err != nil || !ok {
			return 0, 0, false, err
		}
		cells, bad := f.Cells(leaf, page, nil)
		if bad == 0 && len(cells) == 0 && leaf == root {
			return 1, 0, true, nil
		}
		if bad > 0 || len(cells) == 0 {
			return 0, 0, false, nil
		}
		ends[i] = cells[i*(len(cells)-1)].Rowid
	}
	return ends[0], ends[1], true, nil
}

// IndexRange returns the first and last value of an index on an integer
// column. It reports false for an empty index and where a page is damaged.
func (f *File) IndexRange(ctx context.Context, p *Pager, root uint32) (first, last int64, ok bool, err error) {
	ends := [2]int64{}
	for i := range ends {
		leaf, page, ok, err := f.descend(ctx, p, root, i == 1, indexInterior, indexLeaf)
		if err != nil || !ok {
			return 0, 0, false, err
		}
		h := head(leaf, page)
		count := int(binary.BigEndian.Uint16(h[3:]))
		if count == 0 || 8+2*count > f.usable {
			return 0, 0, false, nil
		}
		at := int(binary.BigEndian.Uint16(h[8+2*i*(count-1):]))
		if at >= f.usable {
			return 0, 0, false, nil
		}
		size, n := Varint(page[at:f.usable])
		if n == 0 || size > uint64(f.usable-at-n) {
			return 0, 0, false, nil
		}
		v, err := Record(page[at+n:at+n+int(size)], nil)
		if err != nil || len(v) == 0 || v[0].Kind != Integer {
			return 0, 0, false, nil
		}
		ends[i] = v[0].Int
	}
	return ends[0], ends[1], true, nil
}

// descend goes down the left or right side of a b-tree.
func (f *File) descend(ctx context.Context, p *Pager, root uint32, right bool, interior, leaf byte) (uint32, []byte, bool, error) {
	for range maxDepth {
		if f.check(root) != nil {
			return 0, nil, false, nil
		}
		page, err := p.page(ctx, root)
		if err != nil {
			return 0, nil, false, err
		}
		h := head(root, page)
		if h[0] == leaf {
			return root, page, true, nil
		}
		at := int(binary.BigEndian.Uint16(h[12:]))
		if h[0] != interior || at+4 > f.usable {
			return 0, nil, false, nil
		}
		if right || binary.BigEndian.Uint16(h[3:]) == 0 {
			root = binary.BigEndian.Uint32(h[8:])
		} else {
			root = binary.BigEndian.Uint32(page[at:])
		}
	}
	return 0, nil, false, nil
}

// Rows calls fn with the rowid and the values of each row of a small table, in
// order. Values are valid during the call. It returns what is damaged, and an
// error of the source or of fn; more than limit bytes of rows are one too.
func (f *File) Rows(ctx context.Context, p *Pager, root uint32, limit int64, fn func(rowid int64, values []Value) error) ([]Damage, error) {
	var damage []Damage
	c := f.NewCursor(p, root)
	c.Damaged = func(d Damage) { damage = append(damage, d) }
	var cells []Cell
	var page, buf []byte
	var values []Value
	for {
		number, leaf, err := c.Next(ctx)
		if errors.Is(err, io.EOF) {
			return damage, nil
		}
		if err != nil {
			return damage, err
		}
		page = append(page[:0], leaf...) // overflow pages move the pager on
		var bad int
		if cells, bad = f.Cells(number, page, cells[:0]); bad > 0 {
			c.damaged(number, fmt.Errorf("page %d: %d of its cells lie outside: %w", number, bad, pipeline.ErrCorrupt))
		}
		for _, x := range cells {
			if limit -= x.Size; limit < 0 {
				return damage, fmt.Errorf("a table of definitions is too large: %w", pipeline.ErrLimit)
			}
			var payload []byte
			if payload, buf, err = c.Payload(ctx, page, x, buf); err == nil {
				values, err = Record(payload, values[:0])
				if err != nil {
					err = Damage{Offset: f.offset(number), Bytes: x.Size, Err: err}
				}
			}
			if d := (Damage{}); errors.As(err, &d) {
				damage = append(damage, d)
				continue
			}
			if err == nil {
				err = fn(x.Rowid, values)
			}
			if err != nil {
				return damage, err
			}
		}
	}
}
