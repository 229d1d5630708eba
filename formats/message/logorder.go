package message

import (
	"cmp"
	"math"
	"slices"
)

// letGo moves rows logged before limit from the held fragments to the next
// batches, in order of log time; equal times in storage order. All rows go
// when limit is the largest number.
//
// Rows within a fragment are sorted, and blocks that overlap in time are few,
// so whole runs move at once.
func (e *Engine) letGo(limit int64) {
	slices.SortStableFunc(e.held, func(a, b *fragment) int { return cmp.Compare(a.t.index, b.t.index) })
	kept := e.held[:0]
	for rest := e.held; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].t == rest[0].t {
			n++
		}
		e.mergeRuns(rest[:n], limit)
		for _, f := range rest[:n] {
			if f.at < f.n {
				kept = append(kept, f)
			} else {
				e.put(f)
			}
		}
		rest = rest[n:]
	}
	clear(e.held[len(kept):])
	e.held = kept
}

// mergeRuns merges fragments of one table.
func (e *Engine) mergeRuns(fs []*fragment, limit int64) {
	for {
		// The fragment with the least row, and the least row of all others.
		var least, next *fragment
		for _, f := range fs {
			if f.at == f.n {
				continue
			}
			switch {
			case least == nil || f.before(least):
				least, next = f, least
			case next == nil || f.before(next):
				next = f
			}
		}
		if least == nil {
			return
		}
		from, to := least.at, least.at
		for to < least.n && (limit == math.MaxInt64 || least.times[to] < limit) {
			least.at = to
			if next != nil && next.before(least) {
				break
			}
			to++
		}
		least.at = to
		if from == to {
			return
		}
		e.addRun(least, from, to)
	}
}

// before compares the rows that come next by log time, then storage order.
func (f *fragment) before(g *fragment) bool {
	if a, b := f.times[f.at], g.times[g.at]; a != b {
		return a < b
	}
	if f.object != g.object {
		return f.object < g.object
	}
	return f.first+int64(f.rows[f.at]) < g.first+int64(g.rows[g.at])
}

// addRun appends rows [from, to) of f to the next batch of its table. Ordinals
// are not ascending here: a batch counts from the least of them.
func (e *Engine) addRun(f *fragment, from, to int) {
	t := f.t
	t.counts.Decoded += int64(to - from)
	for from < to {
		if t.pending != nil && t.pending.object != f.object {
			e.flush(t)
		}
		if t.pending == nil {
			p := e.take(t)
			p.object = f.object
			p.first = f.first + int64(f.rows[from])
			p.last = p.first
			e.hold(t, p)
		}
		p := t.pending
		k := 0
		for k < min(to-from, e.batchRows-p.n, stepRows) && p.admit(f.first+int64(f.rows[from+k])) {
			k++
		}
		for i, c := range p.cols {
			c.AppendRange(f.cols[i], from, from+k)
		}
		p.n += k
		from += k
		e.waiting -= p.bytes
		p.measure()
		e.waiting += p.bytes
		if p.n >= e.batchRows || p.bytes >= e.batchSize || k == 0 {
			e.flush(t)
		}
	}
}

// admit notes the ordinal of one more row, unless it is too far from the
// others to be told relative to them.
func (f *fragment) admit(ordinal int64) bool {
	first, last := min(f.first, ordinal), max(f.last, ordinal)
	if !deltaFits(first, last) {
		return false
	}
	f.first, f.last = first, last
	f.ordinals = append(f.ordinals, ordinal)
	return true
}
