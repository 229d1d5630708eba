package parquet

import (
	"fmt"

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
	leaf  func(i int, l *leaf, arr arrow.Array, e *entries) error
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
	return f.leaf(i, n.leaf, arr, e)
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
		r := e.rep[i]
		d := e.def[i] + 1
		for k := from; k < to; k++ {
			out.rep, out.def, out.at = append(out.rep, r), append(out.def, d), append(out.at, int32(k))
			r = rep
		}
	}
	return f.walk(n.kids[0], values, out, rep, depth+1)
}
