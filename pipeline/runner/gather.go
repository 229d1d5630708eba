package runner

import (
	"fmt"
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Bounds of what a gatherer copies together. None of them changes the rows that
// are written, nor their order.
const (
	// longRun rows are handed over as they lie: a batch of so many is cheap
	// enough.
	longRun = 1024
	// gatherRows or gatherBytes make a batch.
	gatherRows  = 8192
	gatherBytes = 4 << 20
	// gatherFrom bounds the batches that one is made of: no column of it gets
	// longer than Arrow allows.
	gatherFrom = 1 << 30
)

// gatherer collects runs of rows of several batches into one batch, whose table
// is that of the first stream.
type gatherer struct {
	mem   arrow.Allocator
	table *pipeline.Table

	round  int64 // counts the batches made
	recs   []arrow.Record
	sizes  []int64           // of a row of each of recs, about
	whole  int64             // size of recs
	spent  []*pipeline.Batch // are released when the batch is made
	runs   []column.Run
	rows   int
	bytes  int64
	origin pipeline.Origin
}

// newGatherer returns nil where the streams cannot be in one batch: the output
// tells them apart, or they do not have the same columns.
func newGatherer(mem arrow.Allocator, t *pipeline.SinkTable) *gatherer {
	if !t.Mixes {
		return nil
	}
	first := t.Inputs[0].Schema
	for _, in := range t.Inputs[1:] {
		same := slices.EqualFunc(first.Fields(), in.Schema.Fields(), func(a, b arrow.Field) bool {
			return a.Name == b.Name && arrow.TypeEqual(a.Type, b.Type)
		})
		if !same {
			return nil
		}
	}
	return &gatherer{mem: mem, table: t.Inputs[0]}
}

// add takes rows [from, end) of b, the batch that lane l is at. When done is set
// they are its last, and the gatherer owns it.
func (g *gatherer) add(l *lane, b *pipeline.Batch, from, end int, done bool, emit func(*pipeline.Batch) error) error {
	if done {
		g.spent = append(g.spent, b)
	}
	first := b.Origin.At(from)
	known := l.round == g.round && int(l.rec) < len(g.recs) && g.recs[l.rec] == b.Record
	size := int64(0)
	if !known {
		size = recordBytes(b.Record)
	}
	if g.rows > 0 && (b.Origin.Object != g.origin.Object || b.Origin.At(end-1)-g.origin.First > math.MaxUint32 || g.whole+size > gatherFrom) {
		if err := g.flushBefore(b, done, emit); err != nil {
			return err
		}
		known = false
		size = recordBytes(b.Record)
	}
	if !known {
		l.rec, l.round = int32(len(g.recs)), g.round
		g.recs = append(g.recs, b.Record)
		g.sizes = append(g.sizes, size/int64(b.Rows()))
		g.whole += size
	}
	if g.rows == 0 {
		g.origin = pipeline.Origin{Object: b.Origin.Object, First: first, Deltas: make([]uint32, 0, gatherRows)}
	}
	if n := len(g.runs); n > 0 && g.runs[n-1].Rec == l.rec && int(g.runs[n-1].To) == from {
		g.runs[n-1].To = int32(end)
	} else {
		g.runs = append(g.runs, column.Run{Rec: l.rec, From: int32(from), To: int32(end)})
	}
	for i := from; i < end; i++ {
		g.origin.Deltas = append(g.origin.Deltas, uint32(b.Origin.At(i)-g.origin.First))
	}
	g.rows += end - from
	g.bytes += g.sizes[l.rec] * int64(end-from)
	if g.rows >= gatherRows || g.bytes >= gatherBytes {
		return g.flush(emit)
	}
	return nil
}

// flushBefore makes a batch of what was there before b came.
func (g *gatherer) flushBefore(b *pipeline.Batch, done bool, emit func(*pipeline.Batch) error) error {
	if !done {
		return g.flush(emit)
	}
	g.spent = g.spent[:len(g.spent)-1]
	err := g.flush(emit)
	g.spent = append(g.spent, b)
	return err
}

// flush hands over what is there as one batch.
func (g *gatherer) flush(emit func(*pipeline.Batch) error) error {
	if g.rows == 0 {
		return nil
	}
	rec, err := g.record()
	if err != nil {
		return fmt.Errorf("merging streams into table %s: %w", g.table.LakeName(), err)
	}
	out := &pipeline.Batch{Table: g.table, Record: rec, Origin: g.origin}
	g.drop()
	return emit(out)
}

func (g *gatherer) record() (arrow.Record, error) {
	if len(g.runs) > 1 {
		return column.Interleave(g.mem, g.recs, g.runs)
	}
	r := g.runs[0]
	return g.recs[0].NewSlice(int64(r.From), int64(r.To)), nil
}

// drop releases what is there.
func (g *gatherer) drop() {
	for _, b := range g.spent {
		b.Release()
	}
	clear(g.spent)
	clear(g.recs)
	g.spent, g.recs, g.sizes, g.runs = g.spent[:0], g.recs[:0], g.sizes[:0], g.runs[:0]
	g.rows, g.bytes, g.whole = 0, 0, 0
	g.origin = pipeline.Origin{}
	g.round++
}

func recordBytes(rec arrow.Record) int64 {
	sum := int64(0)
	for _, c := range rec.Columns() {
		sum += column.Bytes(c, 0, c.Len())
	}
	return sum
}
