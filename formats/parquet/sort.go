package parquet

import (
	"cmp"
	"slices"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// sortRows returns the order of the n rows of chunks by the key columns,
// nulls last, equal rows as they came.
func sortRows(chunks [][]arrow.Array, key []int, n int) []span {
	keys := make([]sortColumn, 0, len(key))
	for _, k := range key {
		keys = append(keys, newSortColumn(chunks, k, n))
	}
	compare := func(a, b int) int {
		for i := range keys {
			if c := keys[i].compare(a, b); c != 0 {
				return c
			}
		}
		return 0
	}
	sorted := true
	for i := 1; sorted && i < n; i++ {
		sorted = compare(i-1, i) <= 0
	}
	if sorted {
		spans := make([]span, len(chunks))
		for i, c := range chunks {
			spans[i] = span{i, 0, c[0].Len()}
		}
		return spans
	}
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return compare(int(a), int(b)) })
	return spansOf(chunks, order)
}

// spansOf turns row numbers over all chunks into spans.
func spansOf(chunks [][]arrow.Array, order []int32) []span {
	start := make([]int, len(chunks)+1)
	for i, c := range chunks {
		start[i+1] = start[i] + c[0].Len()
	}
	var spans []span
	chunk := 0
	for _, row := range order {
		r := int(row)
		if r < start[chunk] || r >= start[chunk+1] {
			chunk, _ = slices.BinarySearch(start, r+1)
			chunk--
		}
		at := r - start[chunk]
		if l := len(spans); l > 0 && spans[l-1].chunk == chunk && spans[l-1].to == at {
			spans[l-1].to++
			continue
		}
		spans = append(spans, span{chunk, at, at + 1})
	}
	return spans
}

// sortColumn is a key column as numbers: times as they are, strings as ranks.
type sortColumn struct {
	values []int64
	null   []bool // nil when there is none
}

func (k *sortColumn) compare(a, b int) int {
	if k.null != nil && (k.null[a] || k.null[b]) {
		switch {
		case k.null[a] && k.null[b]:
			return 0
		case k.null[a]:
			return 1
		}
		return -1
	}
	return cmp.Compare(k.values[a], k.values[b])
}

func newSortColumn(chunks [][]arrow.Array, col, n int) sortColumn {
	k := sortColumn{values: make([]int64, 0, n)}
	var ranks ranker
	for _, chunk := range chunks {
		arr := chunk[col]
		base := len(k.values)
		switch a := arr.(type) {
		case *arrow.String:
			data, off := texts(arr)
			for i := range arr.Len() {
				k.values = append(k.values, ranks.id(data[off[i]:off[i+1]]))
			}
		case *arrow.Dictionary:
			data, off := texts(a.Dictionary())
			for i, e := range fixed[int32](arr) {
				if arr.IsNull(i) {
					k.values = append(k.values, 0)
				} else {
					k.values = append(k.values, ranks.id(data[off[e]:off[e+1]]))
				}
			}
		default:
			k.values = append(k.values, fixed[int64](arr)...)
		}
		// An array of nulls may have no values at all.
		for len(k.values) < base+arr.Len() {
			k.values = append(k.values, 0)
		}
		if hasNulls(arr) {
			if k.null == nil {
				k.null = make([]bool, n)
			}
			for i := range arr.Len() {
				k.null[base+i] = arr.IsNull(i)
			}
		}
	}
	ranks.apply(k.values)
	return k
}

// ranker numbers strings as they come and turns the numbers into ranks.
type ranker struct {
	ids   map[string]int64
	texts []string
	last  string
	at    int64
}

func (r *ranker) id(v []byte) int64 {
	if len(r.texts) > 0 && string(v) == r.last {
		return r.at
	}
	if r.ids == nil {
		r.ids = make(map[string]int64)
	}
	id, ok := r.ids[string(v)]
	if !ok {
		id = int64(len(r.texts))
		r.texts = append(r.texts, string(v))
		r.ids[r.texts[id]] = id
	}
	r.last, r.at = r.texts[id], id
	return id
}

func (r *ranker) apply(values []int64) {
	if len(r.texts) < 2 {
		return
	}
	order := make([]int64, len(r.texts))
	for i := range order {
		order[i] = int64(i)
	}
	slices.SortFunc(order, func(a, b int64) int { return cmp.Compare(r.texts[a], r.texts[b]) })
	rank := make([]int64, len(order))
	for i, id := range order {
		rank[id] = int64(i)
	}
	for i, v := range values {
		values[i] = rank[v]
	}
}
