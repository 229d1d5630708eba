package message

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Runs are handed to a plan in pieces of this many messages or bytes, between
// which the size of the fragment is looked at.
const (
	stepRows  = 4096
	stepBytes = 1 << 20
)

// fragment is some rows of one table. A worker fills it; later it is a part of
// a batch, or all of it.
type fragment struct {
	t     *tableState
	cols  []*column.Column // envelope columns, then those of the plan
	n     int
	bytes int64
	// rows holds for each row its position among the records of the block; from
	// the merge on, its ordinal less first.
	rows   []uint32
	object int
	first  int64
	// The rest is for LogOrder: the log time of each row, how many rows are gone
	// already, and in a pending fragment the ordinal of each row with the largest.
	times    []int64
	at       int
	ordinals []int64
	last     int64

	kept int64 // bytes held while it lies in the free list
}

func (f *fragment) release() {
	for _, c := range f.cols {
		c.Release()
	}
}

// take returns an empty fragment for t.
func (e *Engine) take(t *tableState) *fragment {
	e.mu.Lock()
	if n := len(t.free); n > 0 {
		f := t.free[n-1]
		t.free = t.free[:n-1]
		e.retained -= f.kept
		e.mu.Unlock()
		return f
	}
	e.mu.Unlock()
	f := &fragment{t: t}
	for _, typ := range t.sel.types {
		f.cols = append(f.cols, column.New(e.mem, typ))
	}
	return f
}

// put empties a fragment for reuse. It keeps its buffers while all fragments
// that lie idle hold little together.
func (e *Engine) put(f *fragment) {
	f.kept = f.bytes
	f.n, f.bytes, f.at = 0, 0, 0
	f.rows, f.times, f.ordinals = f.rows[:0], f.times[:0], f.ordinals[:0]
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.retained+f.kept > maxRetained {
		f.kept = 0
		f.release()
	} else {
		for _, c := range f.cols {
			c.Reset()
		}
	}
	e.retained += f.kept
	f.t.free = append(f.t.free, f)
}

// measure brings bytes up to date.
func (f *fragment) measure() {
	f.bytes = 0
	for _, c := range f.cols {
		f.bytes += c.Bytes()
	}
}

// reserve makes room for n more rows where their size is known. They come from
// at most limit bytes, which bounds what lists of a fixed length may claim.
func (f *fragment) reserve(n, limit int) {
	for _, c := range f.cols {
		switch c.Kind {
		case column.Fixed:
			c.Grow(n * c.Width)
		case column.Var, column.List:
			c.GrowOffsets(n)
		case column.FixedList:
			if item := c.Children[0]; item.Kind == column.Fixed && c.Width <= limit/item.Width/max(n, 1) {
				item.Grow(n * c.Width * item.Width)
			}
		}
	}
	f.rows = slices.Grow(f.rows, n)
}

// worker holds what one decoding goroutine reuses from block to block.
type worker struct {
	e     *Engine
	slot  []int32 // by table: its tally in the block at hand, plus 1
	lists []int32 // by record: the tally it is wanted by, or -1
	spans []Span
	rows  []uint32
	// buffer is where the next block is unpacked to: where the one before was,
	// which is still in the cache of the processor.
	buffer []byte
}

// decode is a worker.
func (e *Engine) decode(ctx context.Context) {
	defer e.wg.Done()
	w := &worker{e: e, slot: make([]int32, len(e.tables))}
	for j := range e.work {
		if j.block.Buffer == nil {
			j.block.Buffer, w.buffer = w.buffer, nil
		}
		if ctx.Err() != nil {
			j.err = ctx.Err()
		} else if err := e.cfg.Walker.Unpack(ctx, &j.block); err != nil {
			j.err = e.fail(j.block.Object, "", j.block.Offset, -1, err)
		} else {
			w.block(j)
			if len(j.bad) == 0 {
				// Rows are copies; only what could not be decoded is asked for again.
				w.buffer = keep(j.block.Buffer)
				j.block.Buffer, j.block.Data = nil, nil
			}
		}
		j.done <- struct{}{}
	}
}

// block groups the records of a block by table and decodes each group.
func (w *worker) block(j *job) {
	recs := j.block.Records
	w.sort(j, recs)
	for i := range j.tallies {
		if t := &j.tallies[i]; t.wanted > 0 {
			a, b := t.start, t.start+t.wanted
			w.table(j, t, w.spans[a:b], w.rows[a:b])
		}
	}
	for _, t := range j.tallies {
		w.slot[t.table] = 0
	}
	slices.SortStableFunc(j.bad, func(a, b badRow) int { return cmp.Compare(a.row, b.row) })
}

// sort counts the records and lists those wanted, grouped by table in the
// order of their first appearance.
func (w *worker) sort(j *job, recs []Record) {
	e := w.e
	from, to := e.cfg.Selection.From, e.cfg.Selection.To
	if e.cfg.SignedTime && from == 0 {
		from = math.MinInt64
	}
	bad := j.block.Bad
	if cap(w.lists) < len(recs) || cap(w.lists) > maxKept/4 {
		w.lists = make([]int32, len(recs))
		w.spans = make([]Span, len(recs))
		w.rows = make([]uint32, len(recs))
	}
	lists := w.lists[:len(recs)]
	for i := range recs {
		r := &recs[i]
		lists[i] = -1
		if uint32(r.Channel) >= uint32(len(e.cfg.Channels)) {
			err := RowError(errChannel)
			if isBad(&bad, uint32(i)) {
				err = bad[0].Err
			}
			j.bad = append(j.bad, badRow{-1, uint32(i), err})
			continue
		}
		table := e.cfg.Channels[r.Channel]
		s := w.slot[table]
		if s == 0 {
			j.tallies = append(j.tallies, tally{table: table})
			s = int32(len(j.tallies))
			w.slot[table] = s
		}
		t := &j.tallies[s-1]
		t.found++
		t.bytes += int64(r.Span.End - r.Span.Start)
		switch {
		case e.tables[table].sel == nil:
			t.unselected++
		case !e.cfg.SignedTime && (r.LogTime < 0 || r.PublishTime < 0):
			j.bad = append(j.bad, badRow{table, uint32(i), errTime})
		case r.LogTime < from && !slices.Contains(j.block.Keep, uint32(i)) || to != 0 && r.LogTime >= to:
			t.unselected++
		case isBad(&bad, uint32(i)):
			j.bad = append(j.bad, badRow{table, uint32(i), bad[0].Err})
		default:
			lists[i] = s - 1
			t.wanted++
		}
	}
	n := int32(0)
	for i := range j.tallies {
		t := &j.tallies[i]
		t.start = n
		n += t.wanted
		t.wanted = 0
	}
	spans, rows := w.spans[:len(recs)], w.rows[:len(recs)]
	for i, s := range lists {
		if s < 0 {
			continue
		}
		t := &j.tallies[s]
		p := t.start + t.wanted
		spans[p], rows[p] = recs[i].Span, uint32(i)
		t.wanted++
	}
	if e.cfg.Selection.Order == pipeline.LogOrder {
		for _, t := range j.tallies {
			rows := rows[t.start : t.start+t.wanted]
			slices.SortStableFunc(rows, func(a, b uint32) int { return cmp.Compare(recs[a].LogTime, recs[b].LogTime) })
			for i, r := range rows {
				spans[int(t.start)+i] = recs[r].Span
			}
		}
	}
}

// isBad reports whether the record at position i is the first of bad, from
// which those before it are dropped.
func isBad(bad *[]BadRecord, i uint32) bool {
	for len(*bad) > 0 && (*bad)[0].Record < i {
		*bad = (*bad)[1:]
	}
	return len(*bad) > 0 && (*bad)[0].Record == i
}

// table decodes messages of one table into fragments no larger than a batch.
func (w *worker) table(j *job, tal *tally, spans []Span, rows []uint32) {
	e, recs := w.e, j.block.Records
	t := e.tables[tal.table]
	env := len(t.sel.envelope)
	var f *fragment
	for len(spans) > 0 {
		if f != nil && (f.n >= e.batchRows || f.bytes >= e.batchSize) {
			j.fragments = append(j.fragments, f)
			f = nil
		}
		if f == nil {
			f = e.take(t)
			f.reserve(min(len(spans), e.batchRows), int(min(int64(len(j.block.Data)), e.batchSize)))
		}
		k := step(spans, min(stepRows, e.batchRows-f.n), min(stepBytes, e.batchSize))
		n, used := k, k
		if t.sel.plan != nil {
			var err error
			f.watch(j.block.Data)
			if n, err = t.sel.plan.Append(f.cols[env:env+t.sel.message], j.block.Data, spans[:k]); err != nil {
				j.bad = append(j.bad, badRow{t.index, rows[n], asRowError(err)})
				used = n + 1
			}
			if t.sel.payloads != nil {
				tal.payloads.Add(f.refer(&j.block, e.cfg.Object, f.n))
			}
		}
		f.envelope(recs, rows[:n])
		if e.cfg.Selection.Order == pipeline.LogOrder {
			for _, r := range rows[:n] {
				f.times = append(f.times, recs[r].LogTime)
			}
		}
		f.n += n
		f.rows = append(f.rows, rows[:n]...)
		f.measure()
		spans, rows = spans[used:], rows[used:]
	}
	if f != nil && f.n > 0 {
		j.fragments = append(j.fragments, f)
	} else if f != nil {
		f.release()
		e.put(f)
	}
}

// step returns how many spans to decode before looking at sizes: at most rows,
// and no more than bytes, but one at least.
func step(spans []Span, rows int, bytes int64) int {
	rows = min(rows, len(spans))
	for i, s := range spans[:rows] {
		bytes -= int64(s.End - s.Start)
		if bytes < 0 && i > 0 {
			return i
		}
	}
	return rows
}

// envelope appends the envelope columns of some records.
func (f *fragment) envelope(recs []Record, rows []uint32) {
	for i, kind := range f.t.sel.envelope {
		c := f.cols[i]
		c.Grow(len(rows) * c.Width)
		at := len(c.Data)
		c.Data = c.Data[:at+len(rows)*c.Width]
		out := c.Data[at:]
		switch kind {
		case LogTime:
			for k, r := range rows {
				binary.LittleEndian.PutUint64(out[8*k:], uint64(recs[r].LogTime))
			}
		case PublishTime:
			for k, r := range rows {
				binary.LittleEndian.PutUint64(out[8*k:], uint64(recs[r].PublishTime))
			}
		case Sequence:
			for k, r := range rows {
				binary.LittleEndian.PutUint32(out[4*k:], recs[r].Sequence)
			}
		}
		c.N += len(rows)
	}
}

// asRowError gives a reason to errors that have none.
func asRowError(err error) RowError {
	var r RowError
	if errors.As(err, &r) {
		return r
	}
	return &rowError{"decode_error", err}
}

// batch turns a fragment into a batch and leaves it empty.
func (f *fragment) batch(first int) *pipeline.Batch {
	cols := make([]arrow.Array, len(f.cols))
	for i, c := range f.cols {
		if c.N != f.n {
			panic(fmt.Sprintf("message: column %d of %s has %d values for %d rows", i, f.t.Name, c.N, f.n))
		}
		cols[i] = c.Finish()
	}
	rec := arrow.NewRecord(f.t.sel.table.Schema, cols, int64(f.n))
	for _, c := range cols {
		c.Release()
	}
	for _, o := range f.ordinals {
		f.rows = append(f.rows, uint32(o-f.first))
	}
	origin := pipeline.Origin{Object: first + f.object, First: f.first}
	if !consecutive(f.rows) {
		origin.Deltas = slices.Clip(f.rows)
		f.rows = nil
	}
	f.n, f.bytes = 0, 0
	return &pipeline.Batch{Table: f.t.sel.table, Record: rec, Origin: origin}
}

// consecutive reports whether rows are 0, 1, 2, ...
func consecutive(rows []uint32) bool {
	for i, r := range rows {
		if r != uint32(i) {
			return false
		}
	}
	return true
}
