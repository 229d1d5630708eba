package message

import (
	"cmp"
	"fmt"
	"math"
	"path"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
)

// merge puts what a worker made of a block behind what is there already.
func (e *Engine) merge(j *job) error {
	if j.err != nil {
		return j.err
	}
	b := &j.block
	if b.Object != e.object {
		e.turn(b.Object)
	}
	e.skip(b.Skipped)
	base := max(e.ordinal, b.Ordinal)
	if e.cfg.Selection.Order == pipeline.LogOrder {
		base = b.Ordinal
	}
	e.ordinal = base + int64(len(b.Records))
	for _, p := range b.Problems {
		if len(e.cfg.Objects) > 1 {
			p.Detail = path.Base(e.uri(b.Object)) + ": " + p.Detail
		}
		e.problem(pipeline.Problem{Kind: p.Kind, Offset: p.Offset, Detail: p.Detail, Loses: p.Loses})
	}
	e.unknown.LostBytes += b.LostBytes
	for i := range j.tallies {
		t := &j.tallies[i]
		c := &e.tables[t.table].counts
		c.Found += t.found
		c.Unselected += t.unselected
		c.Bytes += t.bytes
		c.Payloads.Add(t.payloads)
	}
	if err := e.reject(j, base); err != nil {
		return err
	}
	before := len(e.queue)
	if e.cfg.Selection.Order == pipeline.LogOrder {
		for i, f := range j.fragments {
			f.object, f.first = b.Object, base
			e.held = append(e.held, f)
			j.fragments[i] = nil
		}
		e.letGo(b.MinLater)
	} else {
		for i, f := range j.fragments {
			j.fragments[i] = nil
			f.object, f.first = b.Object, base+int64(f.rows[0])
			for k, lead := len(f.rows)-1, f.rows[0]; k >= 0; k-- {
				f.rows[k] -= lead
			}
			e.add(f)
		}
	}
	if e.cfg.Options.Steps || e.waiting > maxPending {
		e.flushAll()
	}
	if e.cfg.Options.Steps || len(e.queue) > before {
		e.watermark()
	}
	return nil
}

// turn goes on to another object. Ordinals begin anew, and no batch has rows of
// two objects.
func (e *Engine) turn(object int) {
	if e.cfg.Selection.Order == pipeline.StorageOrder {
		e.flushAll()
	}
	e.object, e.ordinal, e.mark = object, 0, -1
}

// skip counts messages that were not fetched.
func (e *Engine) skip(skipped []ChannelCount) {
	for _, s := range skipped {
		e.ordinal += s.Count
		c := &e.unknown
		if uint32(s.Channel) < uint32(len(e.cfg.Channels)) {
			c = &e.tables[e.cfg.Channels[s.Channel]].counts
		}
		c.Found += s.Count
		c.Unselected += s.Count
	}
}

// reject reports the bad rows of a block, in storage order.
func (e *Engine) reject(j *job, base int64) error {
	for _, bad := range j.bad {
		rec := &j.block.Records[bad.row]
		counts, name := &e.unknown, ""
		if bad.table >= 0 {
			counts, name = &e.tables[bad.table].counts, e.tables[bad.table].Name
		} else {
			counts.Found++
			counts.Bytes += int64(rec.Span.End - rec.Span.Start)
		}
		record := base + int64(bad.row)
		if e.cfg.Options.Reject == nil {
			return e.fail(j.block.Object, name, j.block.Offset, record, bad.err)
		}
		row := pipeline.BadRow{
			Table:  name,
			Object: e.uri(j.block.Object),
			Record: record,
			Offset: j.block.Offset,
			Reason: bad.err.Reason(),
			Err:    bad.err,
			Raw:    j.block.Data[rec.Span.Start:rec.Span.End],
		}
		if err := e.cfg.Options.Reject(row); err != nil {
			return e.fail(j.block.Object, name, j.block.Offset, record, fmt.Errorf("rejecting a row: %w", err))
		}
		if counts.Rejected == nil {
			counts.Rejected = make(map[string]int64)
		}
		counts.Rejected[row.Reason]++
	}
	return nil
}

// add appends a fragment, the first rows of which have ordinal f.first, to the
// next batch of its table.
func (e *Engine) add(f *fragment) {
	t := f.t
	t.counts.Decoded += int64(f.n)
	if p := t.pending; p != nil && (!p.takes(f, e.batchRows) || p.large() && f.large()) {
		e.flush(t)
	}
	if p := t.pending; p != nil {
		shift := uint32(f.first - p.first)
		for _, r := range f.rows {
			p.rows = append(p.rows, shift+r)
		}
		for i, c := range p.cols {
			c.AppendColumn(f.cols[i])
		}
		p.n += f.n
		e.waiting -= p.bytes
		p.measure()
		e.waiting += p.bytes
		e.put(f)
	} else {
		e.hold(t, f)
	}
	if p := t.pending; p.n >= e.batchRows || p.bytes >= e.batchSize {
		e.flush(t)
	}
}

// large fragments become batches of their own: copying them into one costs
// more than the larger batch saves.
func (f *fragment) large() bool { return f.n >= largeRows || f.bytes >= largeBytes }

const (
	largeRows  = 16 << 10
	largeBytes = 1 << 20
)

// takes reports whether g may follow f in one batch.
func (f *fragment) takes(g *fragment, batchRows int) bool {
	return f.n+g.n <= batchRows && f.bytes+g.bytes <= math.MaxInt32/2 && deltaFits(f.first, g.first+int64(g.rows[len(g.rows)-1]))
}

// hold makes f the beginning of the next batch of t.
func (e *Engine) hold(t *tableState, f *fragment) {
	t.pending = f
	e.waiting += f.bytes
	if !t.listed {
		t.listed = true
		e.pending = append(e.pending, t)
	}
}

// flush delivers the pending rows of t.
func (e *Engine) flush(t *tableState) {
	f := t.pending
	if f == nil {
		return
	}
	t.pending = nil
	e.waiting -= f.bytes
	e.queue = append(e.queue, pipeline.Element{Batch: f.batch(e.cfg.Options.Object)})
	e.put(f)
}

// flushAll delivers all pending rows, tables in the order of their first row.
func (e *Engine) flushAll() {
	e.pending = e.compact()
	slices.SortFunc(e.pending, func(a, b *tableState) int { return cmp.Compare(a.pending.first, b.pending.first) })
	for _, t := range e.pending {
		e.flush(t)
		t.listed = false
	}
	e.pending = e.pending[:0]
}

// compact drops tables without pending rows from the list.
func (e *Engine) compact() []*tableState {
	kept := e.pending[:0]
	for _, t := range e.pending {
		if t.pending == nil {
			t.listed = false
			continue
		}
		kept = append(kept, t)
	}
	return kept
}

// watermark tells how far all tables have come: to the first row that is
// still pending, or to the end of the blocks merged.
func (e *Engine) watermark() {
	if e.cfg.Selection.Order == pipeline.LogOrder {
		return
	}
	low := e.ordinal
	e.pending = e.compact()
	for _, t := range e.pending {
		low = min(low, t.pending.first)
	}
	if low > e.mark {
		e.mark = low
		e.queue = append(e.queue, pipeline.Element{Mark: pipeline.Watermark{Object: e.cfg.Options.Object + e.object, Record: low}})
	}
}

// end delivers what is left after the last block.
func (e *Engine) end() error {
	if e.cfg.Selection.Order == pipeline.LogOrder {
		e.letGo(math.MaxInt64)
	}
	e.flushAll()
	e.ended = true
	for _, t := range e.tables {
		c := &t.counts
		if c.Indexed >= 0 && c.Found > c.Indexed {
			e.problem(pipeline.Problem{
				Kind: "index_mismatch", Table: t.Name, Offset: -1,
				Detail: fmt.Sprintf("the index tells %d messages, %d are there", c.Indexed, c.Found),
			})
			c.Indexed = -1
		}
	}
	return nil
}
