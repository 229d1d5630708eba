package parquet

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// entries are the values of a leaf column with their levels, spread over
// parallel slices: rep and def as Parquet has them, at the position of the
// value in the leaf's array, or -1 where a null or an empty list stands for it.
type entries struct {
	rep, def []byte
	at       []int32
}

func (e *entries) reset() { e.rep, e.def, e.at = e.rep[:0], e.def[:0], e.at[:0] }

func (e *entries) copyFrom(src *entries) {
	e.rep = append(e.rep[:0], src.rep...)
	e.def = append(e.def[:0], src.def...)
	e.at = append(e.at[:0], src.at...)
}

// flattener turns rows of a nested column into the entries of its leaves. It
// keeps its memory from page to page.
type flattener struct {
	stack []*entries // one for each depth of the node tree, and one more
	leaf  func(i int, arr arrow.Array, e *entries) error
	next  int // leaf to come
}

// flatten calls leaf for each leaf below n, in order, with the entries of rows
// [from, to) of arr.
func (f *flattener) flatten(n *node, arr arrow.Array, from, to int) error {
	f.next = 0
	e := f.level(0)
	e.reset()
	for i := from; i < to; i++ {
		e.rep, e.def, e.at = append(e.rep, 0), append(e.def, 0), append(e.at, int32(i))
	}
	return f.walk(n, arr, e, 0, 1)
}

func (f *flattener) level(depth int) *entries {
	for len(f.stack) <= depth {
		f.stack = append(f.stack, new(entries))
	}
	return f.stack[depth]
}

// walk descends into n, whose array is arr. e may be overwritten; rep is the
// repetition level of the lists around n.
func (f *flattener) walk(n *node, arr arrow.Array, e *entries, rep byte, depth int) error {
	if err := f.present(n, arr, e); err != nil {
		return err
	}
	switch a := arr.(type) {
	case *arrow.List:
		return f.list(n, a.ListValues(), listOffsets(a), 0, 0, e, rep, depth)
	case *arrow.FixedSizeList:
		size := listSize(a)
		return f.list(n, a.ListValues(), nil, size, a.Data().Offset()*size, e, rep, depth)
	case *arrow.Struct:
		for i, k := range n.kids {
			ke := e
			if i < len(n.kids)-1 {
				ke = f.level(depth)
				ke.copyFrom(e)
			}
			if err := f.walk(k, a.Field(i), ke, rep, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	i := f.next
	f.next++
	return f.leaf(i, arr, e)
}

// present raises the definition level of what is not null.
func (f *flattener) present(n *node, arr arrow.Array, e *entries) error {
	if !hasNulls(arr) {
		if n.nullable {
			for i, at := range e.at {
				if at >= 0 {
					e.def[i]++
				}
			}
		}
		return nil
	}
	for i, at := range e.at {
		if at < 0 {
			continue
		}
		if arr.IsValid(int(at)) {
			if n.nullable {
				e.def[i]++
			}
			continue
		}
		if !n.nullable {
			return fmt.Errorf("%s holds a null but is declared without: %w", n.name, pipeline.ErrSchema)
		}
		e.at[i] = -1
	}
	return nil
}

// list replaces each list by its elements, which lie at offsets in values, or
// where offsets is nil are size for each list, the first at base.
func (f *flattener) list(n *node, values arrow.Array, offsets []int32, size, base int, e *entries, rep byte, depth int) error {
	rep++
	out := f.level(depth)
	out.reset()
	for i, at := range e.at {
		var from, to int
		if at >= 0 {
			if offsets != nil {
				from, to = int(offsets[at]), int(offsets[at+1])
			} else {
				from = base + int(at)*size
				to = from + size
			}
		}
		if from == to {
			out.rep, out.def, out.at = append(out.rep, e.rep[i]), append(out.def, e.def[i]), append(out.at, -1)
			continue
		}
		n := len(out.at)
		out.rep, out.def = appendFill(out.rep, rep, to-from), appendFill(out.def, e.def[i]+1, to-from)
		out.rep[n] = e.rep[i]
		out.at = slices.Grow(out.at, to-from)[:n+to-from]
		for k := range out.at[n:] {
			out.at[n+k] = int32(from + k)
		}
	}
	return f.walk(n.kids[0], values, out, rep, depth+1)
}

// appendFill appends v n times.
func appendFill(b []byte, v byte, n int) []byte {
	at := len(b)
	b = slices.Grow(b, n)[:at+n]
	fill(b[at:], v)
	return b
}

func fill(b []byte, v byte) {
	if len(b) == 0 {
		return
	}
	b[0] = v
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// levelSet are the levels of the values of a page and of what stands for
// missing ones, n in all: as bytes, or where all or most are the same, shorter.
type levelSet struct {
	n     int
	rep   []byte // nil where there are no lists
	def   []byte // nil where all are the same, or in valid
	all   byte   // the definition level of all
	valid []byte // definition levels of one bit, eight in a byte
}

// settle makes one of equal levels what they are, so that a page does not depend
// on whether its array has nulls elsewhere.
func (lv *levelSet) settle() {
	if len(lv.def) > 0 && bytes.Count(lv.def, lv.def[:1]) == lv.n {
		lv.def, lv.all = nil, lv.def[0]
	}
}

// listPage is the page of rows [from, to) of a column that is a list of values
// without nulls, as most lists are; ok is false where it is not. Levels then
// follow from the offsets.
func (e *columnEncoder) listPage(n *node, arr arrow.Array, from, to int) (s selection, lv levelSet, ok bool) {
	if !n.list || n.kids[0].leaf == nil || hasNulls(listValues(arr)) {
		return s, lv, false
	}
	full := byte(n.kids[0].leaf.maxDef)
	rows := to - from
	if a, ok := arr.(*arrow.FixedSizeList); ok {
		size := listSize(a)
		if size == 0 || hasNulls(a) {
			return s, lv, false
		}
		e.rep = appendFill(e.rep[:0], 1, rows*size)
		for p := 0; p < len(e.rep); p += size {
			e.rep[p] = 0
		}
		base := a.Data().Offset()
		return selection{from: (base + from) * size, to: (base + to) * size}, levelSet{n: rows * size, rep: e.rep, all: full}, true
	}
	a := arr.(*arrow.List)
	off := listOffsets(a)[from : to+1]
	var valid []byte
	first := a.Data().Offset() + from
	if hasNulls(a) {
		if !n.nullable {
			return s, lv, false
		}
		valid = a.NullBitmapBytes()
	}
	absent := 0
	for i := range rows {
		if off[i] == off[i+1] {
			absent++
		} else if valid != nil && valid[(first+i)>>3]&(1<<((first+i)&7)) == 0 {
			return s, lv, false // values below a null do not count
		}
	}
	total := int(off[rows]-off[0]) + absent
	lv = levelSet{n: total, all: full}
	e.rep = appendFill(e.rep[:0], 1, total)
	lv.rep = e.rep
	s = selection{from: int(off[0]), to: int(off[rows])}
	if absent == 0 {
		for _, o := range off[:rows] {
			e.rep[o-off[0]] = 0
		}
		return s, lv, true
	}
	e.def = appendFill(e.def[:0], full, total)
	lv.def = e.def
	empty := byte(0)
	if n.nullable {
		empty = 1
	}
	p := 0
	for i := range rows {
		e.rep[p] = 0
		size := int(off[i+1] - off[i])
		if size == 0 {
			e.def[p] = empty
			if valid != nil && valid[(first+i)>>3]&(1<<((first+i)&7)) == 0 {
				e.def[p] = 0
			}
			size = 1
		}
		p += size
	}
	return s, lv, true
}

// listValues returns the elements of a list array, nil of another.
func listValues(arr arrow.Array) arrow.Array {
	switch a := arr.(type) {
	case *arrow.List:
		return a.ListValues()
	case *arrow.FixedSizeList:
		return a.ListValues()
	}
	return nil
}
