package message

import (
	"cmp"
	"slices"
)

// Extent is the place of a block in time, as an index tells it.
type Extent struct {
	From, To int64 // log times of the first and last message, inclusive
	Bytes    int64
}

// Cut divides blocks by time into parts of about size bytes: a part ends, and
// the next one begins, at each of the times returned, which ascend. A block
// whose messages lie on both sides belongs to both parts and is read twice, so
// cuts are made where a block begins.
func Cut(blocks []Extent, size int64) []int64 {
	blocks = slices.Clone(blocks)
	slices.SortFunc(blocks, func(a, b Extent) int { return cmp.Compare(a.From, b.From) })
	var at []int64
	var bytes int64
	for i, b := range blocks {
		if bytes >= size && b.From > blocks[0].From && b.From > blocks[i-1].From {
			at = append(at, b.From)
			bytes = 0
		}
		bytes += b.Bytes
	}
	return at
}
