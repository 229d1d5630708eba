package pipeline

import (
	"fmt"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Batch is some consecutive rows of one table, with their origin.
//
// Ownership: whoever receives a batch owns it and calls Release once, or
// hands it on. Columns may be shared with other batches and are never
// written to. A batch belongs to one goroutine at a time.
type Batch struct {
	Table  *Table
	Record arrow.Record
	Origin Origin
}

// Rows returns the number of rows.
func (b *Batch) Rows() int { return int(b.Record.NumRows()) }

// Release gives the columns back.
func (b *Batch) Release() { b.Record.Release() }

// Retain makes a second owner: each calls Release.
func (b *Batch) Retain() { b.Record.Retain() }

// Slice returns rows [from, to) as a batch of their own, which shares the
// columns of b. Both are released by their owners.
func (b *Batch) Slice(from, to int) *Batch {
	return &Batch{Table: b.Table, Record: b.Record.NewSlice(int64(from), int64(to)), Origin: b.Origin.Slice(from, to)}
}

// Origin tells which record of which object each row of a batch comes from.
// Rows of a batch come from one object, in ascending order of record.
type Origin struct {
	// Object indexes the unit's objects.
	Object int
	// First is the ordinal of the record of row 0, counted from 0 over all
	// records of the object that could be rows (messages, lines).
	First int64
	// Deltas, where not nil, holds for each row its ordinal less First. Nil
	// means consecutive records: row i has ordinal First+i.
	Deltas []uint32
}

// At returns the record ordinal of row i.
func (o Origin) At(i int) int64 {
	if o.Deltas == nil {
		return o.First + int64(i)
	}
	return o.First + int64(o.Deltas[i])
}

// Slice returns the origin of rows [from, to).
func (o Origin) Slice(from, to int) Origin {
	if o.Deltas == nil {
		o.First += int64(from)
		return o
	}
	o.Deltas = o.Deltas[from:to]
	return o
}

// Take returns the origin of the rows at the given ascending positions.
func (o Origin) Take(rows []int32) Origin {
	if n := len(rows); n > 0 && int(rows[n-1]-rows[0]) == n-1 {
		return o.Slice(int(rows[0]), int(rows[0])+n)
	}
	d := make([]uint32, len(rows))
	for i, r := range rows {
		d[i] = uint32(o.At(int(r)) - o.First)
	}
	o.Deltas = d
	return o
}

// Element is what travels along an edge of the graph: a batch, or a watermark
// when Batch is nil.
type Element struct {
	Batch *Batch
	Mark  Watermark
}

// Watermark promises that no later batch of Table (of any table, when Table is
// nil) on this edge has a row that comes before record Record of object
// Object. It lets a node with several inputs go on when one of them is silent.
type Watermark struct {
	Table  *Table
	Object int
	Record int64
}

func (w Watermark) String() string {
	name := "*"
	if w.Table != nil {
		name = w.Table.Name
	}
	return fmt.Sprintf("%s@%d:%d", name, w.Object, w.Record)
}
