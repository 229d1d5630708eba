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
type merger struct {
	lanes []*lane
	byTab map[*pipeline.Table]*lane
}

// lane is one stream: the batches that wait, and the position before which
// everything has arrived.
type lane struct {
	queue []*pipeline.Batch
	safe  position
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
	for _, t := range tables {
		l := &lane{}
		m.lanes = append(m.lanes, l)
		m.byTab[t] = l
	}
	return m
}

// add takes over a batch of one of the streams.
func (m *merger) add(b *pipeline.Batch) {
	l := m.byTab[b.Table]
	l.queue = append(l.queue, b)
	l.advance(after(b))
}

func (l *lane) advance(w pipeline.Watermark) {
	if p := (position{w.Object, w.Record}); l.safe.before(p) {
		l.safe = p
	}
}

// mark moves the streams that a watermark speaks of.
func (m *merger) mark(w pipeline.Watermark) {
	for t, l := range m.byTab {
		if w.Table == nil || w.Table == t {
			l.advance(w)
		}
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
	for {
		// The stream whose next row comes first, and the row at which the
		// next stream takes over.
		first, next := -1, bound
		var start position
		for i, l := range m.lanes {
			if len(l.queue) == 0 {
				continue
			}
			p := head(l.queue[0])
			if !p.before(bound) {
				continue
			}
			switch {
			case first < 0 || p.before(start):
				if first >= 0 && start.before(next) {
					next = start
				}
				first, start = i, p
			case p.before(next):
				next = p
			}
		}
		if first < 0 {
			return nil
		}
		l := m.lanes[first]
		b := l.queue[0]
		n := rowsBefore(b, next)
		if n == 0 { // another stream has the same record: this one goes first
			n = rowsBefore(b, position{start.object, start.record + 1})
		}
		if n == b.Rows() {
			l.queue = l.queue[1:]
			if err := emit(b); err != nil {
				return err
			}
			continue
		}
		out := b.Slice(0, n)
		rest := b.Slice(n, b.Rows())
		b.Release()
		l.queue[0] = rest
		if err := emit(out); err != nil {
			return err
		}
	}
}

// drop releases everything that waits.
func (m *merger) drop() {
	for _, l := range m.lanes {
		for _, b := range l.queue {
			b.Release()
		}
		l.queue = nil
	}
}

func head(b *pipeline.Batch) position { return position{b.Origin.Object, b.Origin.At(0)} }

// rowsBefore counts the rows of b that come before p.
func rowsBefore(b *pipeline.Batch, p position) int {
	if b.Origin.Object != p.object {
		if b.Origin.Object < p.object {
			return b.Rows()
		}
		return 0
	}
	return sort.Search(b.Rows(), func(i int) bool { return b.Origin.At(i) >= p.record })
}
