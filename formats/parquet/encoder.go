package parquet

import (
	"fmt"
	"slices"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// pageRows and pageBytes end a page, whichever comes first.
const (
	pageRows  = 32 << 10
	pageBytes = 1 << 20
)

// rowGroup is one row group on its way into a file.
type rowGroup struct {
	rows   int
	chunks []chunk
}

// encode makes a row group of all rows of recs, one record after another, whose
// columns are those of the plan's input. It may be called from many goroutines.
func (f *file) encode(mem arrow.Allocator, recs []arrow.Record, pool *pool) (*rowGroup, error) {
	g := &rowGroup{chunks: make([]chunk, len(f.plan.leaves))}
	for _, rec := range recs {
		g.rows += int(rec.NumRows())
	}
	starts := make([]int, len(f.plan.columns))
	n := 0
	for i, c := range f.plan.columns {
		starts[i] = n
		n += len(c.leaves)
	}
	err := pool.each(len(f.plan.columns), func(i int) error {
		c := f.plan.columns[i]
		e := columnEncoders.Get().(*columnEncoder)
		e.codec = f.codec
		defer func() {
			e.codec = nil // with its encoders, once the sink is gone
			columnEncoders.Put(e)
		}()
		arrs := make([]arrow.Array, len(recs))
		for k, rec := range recs {
			arrs[k] = rec.Column(c.input)
		}
		rows := &series{mem: mem, arrs: arrs}
		defer rows.release()
		if err := e.encode(c.node, rows, g.chunks[starts[i]:starts[i]+len(c.leaves)]); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		if c.bloom {
			filter, err := bloomFilter(arrs)
			if err != nil {
				return fmt.Errorf("column %s: %w", c.name, err)
			}
			g.chunks[starts[i]].bloom = filter
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// columnEncoder encodes one column at a time. Its memory is kept for the next.
type columnEncoder struct {
	gatherer
	pager
	flat   flattener
	chunks []chunk  // of the leaves of the column
	bodies [][]byte // and their pages
	dicts  []*dictionary
	pos    []int32
	rep    []byte
	def    []byte
	valid  []byte
}

var columnEncoders = sync.Pool{New: func() any { return new(columnEncoder) }}

// encode writes all rows as pages of the leaves of n, into chunks.
func (e *columnEncoder) encode(n *node, rows *series, chunks []chunk) error {
	e.chunks = chunks
	defer func() { e.chunks = nil }() // e outlives the row group
	for len(e.bodies) < len(chunks) {
		e.bodies = append(e.bodies, nil)
	}
	e.dicts = append(e.dicts[:0], make([]*dictionary, len(chunks))...)
	defer clear(e.dicts)
	if slices.ContainsFunc(n.leaves, func(l *leaf) bool { return l.text }) {
		arr, err := rows.join()
		if err != nil {
			return err
		}
		e.dictionaries(n, arr, 0, arr.Len(), 0)
	}
	for i := range chunks {
		c := &chunks[i]
		c.begin(n.leaves[i], e.dicts[i], e.codec)
		e.bodies[i] = e.bodies[i][:0]
		if c.dict != nil {
			var err error
			if e.bodies[i], err = e.dictionaryPage(c, e.bodies[i]); err != nil {
				return err
			}
		}
	}
	for first := 0; rows.left() > 0; {
		arr, from, to, err := rows.page()
		if err != nil {
			return err
		}
		if n.leaf != nil {
			err = e.flatPage(n, arr, from, to, first)
		} else {
			err = e.nestedPages(n, arr, from, to, first)
		}
		if err != nil {
			return err
		}
		first += to - from
	}
	for i := range chunks {
		chunks[i].finish(append([]byte(nil), e.bodies[i]...))
	}
	return nil
}

// dictionaries looks for leaves below n that are worth a dictionary.
func (e *columnEncoder) dictionaries(n *node, arr arrow.Array, from, to, leaf int) {
	switch a := arr.(type) {
	case *arrow.List:
		off := listOffsets(a)
		e.dictionaries(n.kids[0], a.ListValues(), int(off[from]), int(off[to]), leaf)
	case *arrow.FixedSizeList:
		size, first := listSize(a), a.Data().Offset()
		e.dictionaries(n.kids[0], a.ListValues(), (first+from)*size, (first+to)*size, leaf)
	case *arrow.Struct:
		for i, k := range n.kids {
			e.dictionaries(k, a.Field(i), from, to, leaf)
			leaf += len(k.leaves)
		}
	default:
		if n.leaf.text {
			e.dicts[leaf] = newDictionary(arr, from, to)
		}
	}
}

// flatPage writes rows [from, to) of a column without nesting. The first is row
// first of the row group.
func (e *columnEncoder) flatPage(n *node, arr arrow.Array, from, to, first int) error {
	s := selection{from: from, to: to}
	lv := levelSet{n: to - from}
	switch {
	case !hasNulls(arr):
		if n.nullable {
			lv.all = 1
		}
	case !n.nullable:
		return fmt.Errorf("a null in a column declared without: %w", pipeline.ErrSchema)
	default:
		s = e.present(arr, from, to)
		switch s.len() {
		case 0:
		case to - from:
			lv.all = 1
		default:
			lv.valid = e.valid
		}
	}
	return e.page(0, arr, s, lv, first)
}

// present selects the values of [from, to) that are not null, and fills
// e.valid with a bit for each row.
func (e *columnEncoder) present(arr arrow.Array, from, to int) selection {
	e.pos, e.valid = e.pos[:0], e.valid[:0]
	if arr.DataType().ID() == arrow.NULL {
		return selection{}
	}
	first := arr.Data().Offset()
	e.valid = appendBits(e.valid, arr.NullBitmapBytes(), first+from, first+to)
	for i, b := range e.valid {
		for at := int32(from + i*8); b != 0; b >>= 1 {
			if b&1 != 0 {
				e.pos = append(e.pos, at)
			}
			at++
		}
	}
	return e.selection()
}

// appendBits appends bits [from, to) of src, the bits behind them zero.
func appendBits(dst, src []byte, from, to int) []byte {
	shift := from & 7
	for at := from; at < to; at += 8 {
		b := src[at>>3] >> shift
		if shift > 0 && at|7 < to-1 {
			b |= src[at>>3+1] << (8 - shift)
		}
		dst = append(dst, b)
	}
	if n := (to - from) & 7; n != 0 {
		dst[len(dst)-1] &= 1<<n - 1
	}
	return dst
}

// selection is e.pos, as a range where it is one.
func (e *columnEncoder) selection() selection {
	n := len(e.pos)
	if n == 0 {
		return selection{}
	}
	if int(e.pos[n-1]-e.pos[0]) == n-1 {
		return selection{from: int(e.pos[0]), to: int(e.pos[0]) + n}
	}
	return selection{pos: e.pos}
}

// nestedPages writes rows [from, to) of a nested column: a page for each leaf.
func (e *columnEncoder) nestedPages(n *node, arr arrow.Array, from, to, first int) error {
	if s, lv, ok := e.listPage(n, arr, from, to); ok {
		return e.page(0, listValues(arr), s, lv, first)
	}
	e.flat.leaf = func(i int, arr arrow.Array, en *entries) error {
		e.pos = e.pos[:0]
		for _, at := range en.at {
			if at >= 0 {
				e.pos = append(e.pos, at)
			}
		}
		return e.page(i, arr, e.selection(), levelSet{n: len(en.at), rep: en.rep, def: en.def}, first)
	}
	defer func() { e.flat.leaf = nil }()
	return e.flat.flatten(n, arr, from, to)
}

// page writes one page of one leaf.
func (e *columnEncoder) page(leaf int, arr arrow.Array, s selection, lv levelSet, first int) error {
	c := &e.chunks[leaf]
	v, err := e.values(c.leaf, arr, c.dict, s)
	if err != nil {
		return err
	}
	e.bodies[leaf], err = e.dataPage(c, e.bodies[leaf], v, lv, first)
	return err
}
