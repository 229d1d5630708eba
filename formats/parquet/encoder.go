package parquet

import (
	"fmt"
	"io"
	"reflect"
	"sync"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// pageRows and pageBytes end a page, whichever comes first.
const (
	pageRows  = 32 << 10
	pageBytes = 1 << 20
)

// createdBy names the writer in every file. It carries no version: the bytes
// of a file must not depend on the build that wrote them.
const createdBy = "drivemill"

// file writes the row groups of one Parquet file. Row groups may be encoded
// at the same time and are committed one after another.
type file struct {
	plan  *plan
	w     *pq.GenericWriter[any]
	boxed bool // the values of all columns are passed one by one

	mu    sync.Mutex // guards leaves
	nodes []*leafNode
}

// newFile starts a file. sort names the columns by which the rows of each row
// group are sorted.
func newFile(w io.Writer, p *plan, codec compress.Codec, sort []string) *file {
	f := &file{plan: p}
	root := &group{}
	for _, c := range p.columns {
		root.add(c.name, f.node(c.node))
	}
	cfg := pq.DefaultWriterConfig()
	cfg.CreatedBy = createdBy
	cfg.Schema = pq.NewSchema("drivemill", root)
	cfg.Compression = codec
	// Pages are ended here and nowhere else.
	cfg.PageBufferSize = 1 << 30
	// The page index says the same, for all pages in one place.
	cfg.DataPageStatistics = false
	cfg.KeyValueMetadata = map[string]string{metaKey: p.meta}
	for _, name := range sort {
		cfg.Sorting.SortingColumns = append(cfg.Sorting.SortingColumns, pq.NullsFirst(pq.Ascending(name)))
	}
	f.w = pq.NewGenericWriter[any](w, cfg)
	return f
}

// node makes the schema node of n. Leaves are put into f.nodes in order.
func (f *file) node(n *node) pq.Node {
	var out pq.Node
	switch {
	case n.list:
		out = pq.List(f.node(n.kids[0]))
	case n.leaf == nil:
		g := &group{}
		for _, k := range n.kids {
			g.add(k.name, f.node(k))
		}
		out = g
	default:
		t := &leafType{Type: n.leaf.typ, leaf: n.leaf}
		l := &leafNode{Node: pq.Leaf(t), typ: t, enc: &pq.Plain}
		f.nodes = append(f.nodes, l)
		out = l
	}
	if n.nullable {
		out = pq.Optional(out)
	}
	return out
}

// group is a schema group that keeps its fields in order; parquet-go's sorts
// them by name.
type group struct {
	pq.Group
	fields []pq.Field
}

func (g *group) add(name string, n pq.Node) { g.fields = append(g.fields, &groupField{n, name}) }

// Fields lists the fields in the order in which they were added.
func (g *group) Fields() []pq.Field { return g.fields }

type groupField struct {
	pq.Node
	name string
}

func (f *groupField) Name() string { return f.name }

// Value is never called: rows are written by column.
func (f *groupField) Value(base reflect.Value) reflect.Value { return base.FieldByName(f.name) }

// leafNode is a leaf whose type and encoding are chosen anew for each row group.
type leafNode struct {
	pq.Node
	typ *leafType
	enc encoding.Encoding
}

func (n *leafNode) Type() pq.Type               { return n.typ }
func (n *leafNode) Encoding() encoding.Encoding { return n.enc }

// rowGroup is one row group on its way into a file.
type rowGroup struct {
	file  *file
	w     *pq.ConcurrentRowGroupWriter
	types []*leafType
	dicts []*dictionary
	cols  []*pq.ColumnWriter
}

// encode makes a row group of all rows of rec, whose columns are those of the
// plan's input. It may be called from many goroutines.
func (f *file) encode(rec arrow.Record, pool *pool) (*rowGroup, error) {
	g := &rowGroup{file: f, dicts: make([]*dictionary, len(f.plan.leaves)), types: make([]*leafType, len(f.plan.leaves))}
	starts := make([]int, len(f.plan.columns))
	n := 0
	for i, c := range f.plan.columns {
		starts[i] = n
		n += len(c.leaves)
	}
	err := pool.each(len(f.plan.columns), func(i int) error {
		c := f.plan.columns[i]
		g.dictionaries(c.node, rec.Column(c.input), 0, int(rec.NumRows()), starts[i])
		return nil
	})
	if err != nil {
		return nil, err
	}
	g.begin()
	err = pool.each(len(f.plan.columns), func(i int) error {
		c := f.plan.columns[i]
		e := columnEncoders.Get().(*columnEncoder)
		defer columnEncoders.Put(e)
		if err := e.encode(g, c.node, rec.Column(c.input), starts[i]); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// dictionaries looks for leaves below n that are worth a dictionary.
func (g *rowGroup) dictionaries(n *node, arr arrow.Array, from, to, leaf int) {
	switch a := arr.(type) {
	case *arrow.List:
		off := listOffsets(a)
		g.dictionaries(n.kids[0], a.ListValues(), int(off[from]), int(off[to]), leaf)
	case *arrow.FixedSizeList:
		size, first := listSize(a), a.Data().Offset()
		g.dictionaries(n.kids[0], a.ListValues(), (first+from)*size, (first+to)*size, leaf)
	case *arrow.Struct:
		for i, k := range n.kids {
			g.dictionaries(k, a.Field(i), from, to, leaf)
			leaf += len(k.leaves)
		}
	default:
		if n.leaf.text {
			g.dicts[leaf] = newDictionary(arr, from, to)
		}
	}
}

// begin opens the row group with the encodings chosen.
func (g *rowGroup) begin() {
	f := g.file
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, l := range f.plan.leaves {
		t := &leafType{Type: l.typ, leaf: l, boxed: f.boxed}
		g.types[i] = t
		f.nodes[i].typ = t
		switch {
		case g.dicts[i] != nil:
			f.nodes[i].enc = &pq.RLEDictionary
		case l.delta:
			f.nodes[i].enc = &pq.DeltaBinaryPacked
		case l.cell == cellBytes || l.cell == cellLabel:
			f.nodes[i].enc = &pq.DeltaLengthByteArray
		default:
			f.nodes[i].enc = &pq.Plain
		}
	}
	g.w = f.w.BeginRowGroup()
	g.cols = g.w.ColumnWriters()
}

// commit writes the row group behind those committed before and returns its rows.
func (g *rowGroup) commit() (int64, error) { return g.w.Commit() }

// close writes the footer.
func (f *file) close() error { return f.w.Close() }

// columnEncoder encodes one column at a time. Its memory is kept for the next.
type columnEncoder struct {
	gatherer
	flat   flattener
	pos    []int32
	levels []pq.Value
	lists  []pq.Value // levels of lists that are all of one length
	table  levelTable
}

var columnEncoders = sync.Pool{New: func() any { return new(columnEncoder) }}

// encode writes all rows of arr as pages of the leaves from first on.
func (e *columnEncoder) encode(g *rowGroup, n *node, arr arrow.Array, first int) error {
	size := func(from, to int) int64 { return rawBytes(arr, from, to) }
	for from, rows := 0, arr.Len(); from < rows; {
		to := rowsWithin(size, from, rows, pageRows, pageBytes)
		var err error
		if n.leaf != nil {
			err = e.flatPage(g, n, arr, first, from, to)
		} else {
			err = e.nestedPages(g, n, arr, first, from, to)
		}
		if err != nil {
			return err
		}
		from = to
	}
	return nil
}

// flatPage writes rows [from, to) of a column without nesting.
func (e *columnEncoder) flatPage(g *rowGroup, n *node, arr arrow.Array, leaf, from, to int) error {
	s := selection{from: from, to: to}
	var l levelRun
	switch {
	case !hasNulls(arr):
		if n.nullable {
			l = levelRun{presentLevels(), to - from}
		}
	case !n.nullable:
		return fmt.Errorf("a null in a column declared without: %w", pipeline.ErrSchema)
	default:
		s = e.valid(arr, from, to)
		l = levelRun{e.levels, to - from}
	}
	return e.page(g, n.leaf, leaf, arr, s, l)
}

// valid selects the values of [from, to) that are not null, and fills e.levels.
func (e *columnEncoder) valid(arr arrow.Array, from, to int) selection {
	e.pos = e.pos[:0]
	e.levels = e.levels[:0]
	null, valid := pq.Value{}, pq.Value{}.Level(0, 1, 0)
	if arr.DataType().ID() == arrow.NULL {
		for range to - from {
			e.levels = append(e.levels, null)
		}
		return selection{pos: e.pos}
	}
	bits, first := arr.NullBitmapBytes(), arr.Data().Offset()
	for i := from; i < to; i++ {
		p := first + i
		if bits[p>>3]&(1<<(p&7)) != 0 {
			e.levels = append(e.levels, valid)
			e.pos = append(e.pos, int32(i))
		} else {
			e.levels = append(e.levels, null)
		}
	}
	return e.selection()
}

// selection is e.pos, as a range where it is one.
func (e *columnEncoder) selection() selection {
	if n := len(e.pos); n > 0 && int(e.pos[n-1]-e.pos[0]) == n-1 {
		return selection{from: int(e.pos[0]), to: int(e.pos[0]) + n}
	}
	if e.pos == nil {
		e.pos = make([]int32, 0, 16)
	}
	return selection{pos: e.pos}
}

// nestedPages writes rows [from, to) of a nested column: a page for each leaf.
func (e *columnEncoder) nestedPages(g *rowGroup, n *node, arr arrow.Array, first, from, to int) error {
	if a, ok := arr.(*arrow.FixedSizeList); ok && to > from && n.kids[0].leaf != nil && listSize(a) > 0 && !hasNulls(a) && !hasNulls(a.ListValues()) {
		size, base := listSize(a), a.Data().Offset()
		s := selection{from: (base + from) * size, to: (base + to) * size}
		return e.page(g, n.kids[0].leaf, first, a.ListValues(), s, levelRun{e.listLevels(size, n.kids[0].leaf.maxDef), (to - from) * size})
	}
	e.flat.leaf = func(i int, l *leaf, arr arrow.Array, en *entries) error {
		e.pos = e.pos[:0]
		for _, at := range en.at {
			if at >= 0 {
				e.pos = append(e.pos, at)
			}
		}
		e.levels = e.table.values(e.levels, l, en)
		return e.page(g, l, first+i, arr, e.selection(), levelRun{e.levels, len(e.levels)})
	}
	defer func() { e.flat.leaf = nil }() // e outlives the row group
	return e.flat.flatten(n, arr, from, to)
}

// page writes one page of one leaf. The levels tell apart what is there and
// what is not; without levels all of it is there.
func (e *columnEncoder) page(g *rowGroup, l *leaf, leaf int, arr arrow.Array, s selection, lv levelRun) error {
	cw, t := g.cols[leaf], g.types[leaf]
	if t.boxed {
		return e.boxedPage(cw, l, leaf, arr, s, lv)
	}
	if err := lv.write(cw); err != nil {
		return err
	}
	values, err := e.values(l, arr, g.dicts[leaf], s)
	if err != nil {
		return err
	}
	if d := g.dicts[leaf]; d != nil && t.dict.Len() == 0 {
		t.dict.Insert(make([]int32, len(d.entries)), d.entries)
	}
	t.buf.set(leaf, s.len(), values)
	return cw.Flush()
}

// boxedPage writes the same page value by value.
func (e *columnEncoder) boxedPage(cw *pq.ColumnWriter, l *leaf, leaf int, arr arrow.Array, s selection, lv levelRun) error {
	n := s.len()
	if lv.block != nil {
		n = lv.n
	}
	values := make([]pq.Value, n)
	k := 0
	for i := range values {
		rep, def := 0, l.maxDef
		if lv.block != nil {
			v := lv.block[i%len(lv.block)]
			rep, def = v.RepetitionLevel(), v.DefinitionLevel()
		}
		if def == l.maxDef {
			v, err := box(l, arr, s.at(k))
			if err != nil {
				return err
			}
			values[i] = v
			k++
		}
		values[i] = values[i].Level(rep, def, leaf)
	}
	if _, err := cw.WriteRowValues(values); err != nil {
		return err
	}
	return cw.Flush()
}
