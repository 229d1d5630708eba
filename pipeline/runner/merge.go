package runner

import (
	"math"
	"sort"

	"github.com/drivemill/drivemill/pipeline"
)

// merger puts the rows of several streams that feed one lake table into the
// order of the records they come from; rows of the same record keep the order
// of the streams. The result does not depend on how streams are cut into
// batches or on which arrives first.
//
// A row is released when no stream can bring one that comes before it: a
// batch or a watermark moves a stream forward, the end of input moves all.
// Runs of rows that are short are copied together, where the receiver allows
// it, so that the cost of a batch is not that of a row.
type merger struct {
	lanes []*lane
	byTab map[*pipeline.Table]*lane
	// ready are the lanes that have a row to release, as a heap.
	ready []*lane
	// gather collects short runs; nil where every batch must be of the table
	// that its rows came in.
	gather *gatherer
}

// lane is one stream: the batches that wait, and the position before which
// everything has arrived.
type lane struct {
	index int
	queue []*pipeline.Batch
	row   int      // of queue[0]: those before it are released
	head  position // of that row, once the lane is ready
	safe  position
	// rec is the number that queue[0] has in the gatherer, where it is in use
	// there: in the round that is going on.
	rec   int32
	round int64
}

// position orders rows over all objects of a unit.
type position struct {
	object int
	record int64
}

func (p position) before(q position) bool {
	return p.object < q.object || p.object == q.object && p.record < q.record
}

var endPosition = position{object: math.MaxInt, record: math.MaxInt64}

func newMerger(tables []*pipeline.Table) *merger {
	m := &merger{byTab: make(map[*pipeline.Table]*lane)}
	for i, t := range tables {
		l := &lane{index: i, round: -1}
		m.lanes = append(m.lanes, l)
		m.byTab[t] = l
	}
	return m
}

// add takes over a batch of one of the streams.
func (m *merger) add(b *pipeline.Batch) {
	l := m.byTab[b.Table]
	l.advance(after(b))
	if b.Rows() == 0 {
		b.Release()
		return
	}
	l.queue = append(l.queue, b)
}

func (l *lane) advance(w pipeline.Watermark) {
	if p := (position{w.Object, w.Record}); l.safe.before(p) {
		l.safe = p
	}
}

// mark moves the streams that a watermark speaks of.
func (m *merger) mark(w pipeline.Watermark) {
	if w.Table != nil {
		m.byTab[w.Table].advance(w)
		return
	}
	for _, l := range m.lanes {
		l.advance(w)
	}
}

// end says that no stream brings anything more.
func (m *merger) end() {
	for _, l := range m.lanes {
		l.safe = endPosition
	}
}

// release hands over, in order, all rows that nothing can come before any
// more. The receiver owns the batches.
func (m *merger) release(emit func(*pipeline.Batch) error) error {
	bound := endPosition
	for _, l := range m.lanes {
		if l.safe.before(bound) {
			bound = l.safe
		}
	}
	m.ready = m.ready[:0]
	for _, l := range m.lanes {
		if l.next(bound) {
			m.ready = append(m.ready, l)
		}
	}
	for i := len(m.ready)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	for len(m.ready) > 0 {
		l := m.ready[0]
		if err := m.pass(l, l.run(m.second(), bound), emit); err != nil {
			return err
		}
		if !l.next(bound) {
			last := len(m.ready) - 1
			m.ready[0] = m.ready[last]
			m.ready = m.ready[:last]
		}
		m.down(0)
	}
	if m.gather != nil {
		return m.gather.flush(emit)
	}
	return nil
}

// next finds the first row that is left, and reports whether it comes before
// bound.
func (l *lane) next(bound position) bool {
	if len(l.queue) == 0 {
		return false
	}
	o := &l.queue[0].Origin
	l.head = position{o.Object, o.At(l.row)}
	return l.head.before(bound)
}

// first reports whether the row of l comes before that of k.
func (l *lane) first(k *lane) bool {
	return l.head.before(k.head) || l.head == k.head && l.index < k.index
}

// down moves lane i of the heap to its place among those below it.
func (m *merger) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(m.ready) {
			return
		}
		if c+1 < len(m.ready) && m.ready[c+1].first(m.ready[c]) {
			c++
		}
		if !m.ready[c].first(m.ready[i]) {
			return
		}
		m.ready[i], m.ready[c] = m.ready[c], m.ready[i]
		i = c
	}
}

// second is the lane that takes over from the first one, nil for none.
func (m *merger) second() *lane {
	switch len(m.ready) {
	case 1:
		return nil
	case 2:
		return m.ready[1]
	}
	if m.ready[2].first(m.ready[1]) {
		return m.ready[2]
	}
	return m.ready[1]
}

// run returns the row of queue[0] before which lane k, or the bound, takes over.
func (l *lane) run(k *lane, bound position) (end int) {
	until := bound
	if k != nil {
		until = k.head
		if l.index < k.index { // a row of the same record still goes first
			until.record++
		}
		if bound.before(until) {
			until = bound
		}
	}
	b := l.queue[0]
	n := b.Rows()
	if b.Origin.Object != until.object {
		return n
	}
	// Runs are short, or all of the batch.
	for step := 1; ; step *= 2 {
		at := l.row + step
		if at >= n || b.Origin.At(at) >= until.record {
			from := l.row + step/2 + 1
			return from + sort.Search(min(at, n)-from, func(i int) bool { return b.Origin.At(from+i) >= until.record })
		}
	}
}

// pass hands over the rows of l before end.
func (m *merger) pass(l *lane, end int, emit func(*pipeline.Batch) error) error {
	b, from := l.queue[0], l.row
	l.row = end
	done := end == b.Rows()
	if done {
		l.queue, l.row = l.queue[1:], 0
	}
	if m.gather != nil && end-from < longRun {
		return m.gather.add(l, b, from, end, done, emit)
	}
	if m.gather != nil {
		if err := m.gather.flush(emit); err != nil {
			if done {
				b.Release()
			}
			return err
		}
	}
	return cut(b, from, end, done, emit)
}

// cut hands over rows [from, end) of b, which is released when it is done.
func cut(b *pipeline.Batch, from, end int, done bool, emit func(*pipeline.Batch) error) error {
	if done && from == 0 {
		return emit(b)
	}
	out := b.Slice(from, end)
	if done {
		b.Release()
	}
	return emit(out)
}

// drop releases everything that waits.
func (m *merger) drop() {
	for _, l := range m.lanes {
		for _, b := range l.queue {
			b.Release()
		}
		l.queue = nil
	}
	if m.gather != nil {
		m.gather.drop()
	}
}
