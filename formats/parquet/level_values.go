package parquet

import (
	"sync"

	pq "github.com/parquet-go/parquet-go"
)

// parquet-go takes levels only as parts of its values. What is in this file
// makes as few such values as it can, and hands them over a block at a time
// that stays in the cache of the processor.

// blockValues is how many values a block of levels has at least, where one
// block stands for all.
const blockValues = 512

// levelRun are the levels of n values: a block, repeated until there are n. Without a
// block there are none to write.
type levelRun struct {
	block []pq.Value
	n     int
}

// write hands the levels to cw.
func (l levelRun) write(cw *pq.ColumnWriter) error {
	if l.block == nil {
		// parquet-go makes its buffer, and with it ours, when it is first called.
		_, err := cw.WriteRowValues(nil)
		return err
	}
	for n := l.n; n > 0; n -= len(l.block) {
		if _, err := cw.WriteRowValues(l.block[:min(n, len(l.block))]); err != nil {
			return err
		}
	}
	return nil
}

// presentLevels is a block of values of a flat column, none of them null.
var presentLevels = sync.OnceValue(func() []pq.Value {
	v := make([]pq.Value, blockValues)
	for i := range v {
		v[i] = pq.Value{}.Level(0, 1, 0)
	}
	return v
})

// listLevels returns a block of whole lists of size values each, with nothing
// missing.
func (e *columnEncoder) listLevels(size, def int) []pq.Value {
	e.lists = e.lists[:0]
	head, more := pq.Value{}.Level(0, def, 0), pq.Value{}.Level(1, def, 0)
	for len(e.lists) < blockValues {
		e.lists = append(e.lists, head)
		for range size - 1 {
			e.lists = append(e.lists, more)
		}
	}
	return e.lists
}

// levelTable has a value for each pair of levels of a leaf.
type levelTable []pq.Value

// values turns the levels of en into values, in the memory of dst.
func (t *levelTable) values(dst []pq.Value, l *leaf, en *entries) []pq.Value {
	*t = (*t)[:0]
	for rep := range l.maxRep + 1 {
		for def := range l.maxDef + 1 {
			*t = append(*t, pq.Value{}.Level(rep, def, 0))
		}
	}
	dst = dst[:0]
	table, width := *t, l.maxDef+1
	for i, rep := range en.rep {
		dst = append(dst, table[int(rep)*width+int(en.def[i])])
	}
	return dst
}
