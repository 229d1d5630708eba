package explore

import (
	"math"
	"math/bits"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// ClockReport is what one clock of a table tells over all rows.
type ClockReport struct {
	Name   string `json:"name"` // header, log, publish, master
	Column string `json:"column"`
	Rows   int64  `json:"rows"` // that have a time
	First  string `json:"first,omitempty"`
	Last   string `json:"last,omitempty"`
	// MedianNs is the usual time from one row to the next, in storage order;
	// Gaps counts the longer ones, those of more than gapFactor medians.
	MedianNs     int64  `json:"median_ns,omitempty"`
	LargestGapNs int64  `json:"largest_gap_ns,omitempty"`
	LargestGapAt string `json:"largest_gap_at,omitempty"` // time of the row before it
	Gaps         int64  `json:"gaps"`
	// Backwards counts rows that are earlier than the row stored before them.
	Backwards int64 `json:"backwards"`
	// Offset against the log clock, of other clocks.
	Offset *OffsetReport `json:"offset,omitempty"`

	first, last int64
}

// OffsetReport is how far the log clock is ahead of another clock.
type OffsetReport struct {
	MeanNs int64 `json:"mean_ns"`
	MinNs  int64 `json:"min_ns"`
	MaxNs  int64 `json:"max_ns"`
	// DriftPPM is how much the offset grows, in millionths of the time that
	// passes: the slope of a straight line through all rows. Absent where less
	// than driftSpan passed.
	DriftPPM *float64 `json:"drift_ppm,omitempty"`
}

const (
	// gapFactor is how many medians make a gap.
	gapFactor = 5
	// driftSpan is how long, in seconds, a clock must be seen to judge it.
	driftSpan = 10
)

// tableClocks follows the clocks of one table.
type tableClocks struct {
	clocks []clockStats
	log    int // which of them is the log clock, -1
}

func newTableClocks(t *pipeline.Table) *tableClocks {
	c := &tableClocks{log: -1}
	for i, k := range t.Clocks {
		c.clocks = append(c.clocks, clockStats{clock: k})
		if k.Name == "log" {
			c.log = i
		}
	}
	return c
}

// add takes up the rows of a batch.
func (c *tableClocks) add(b *pipeline.Batch) {
	columns := make([]*arrow.Timestamp, len(c.clocks))
	for i := range c.clocks {
		if at := b.Record.Schema().FieldIndices(c.clocks[i].clock.Column); len(at) > 0 {
			columns[i], _ = b.Record.Column(at[0]).(*arrow.Timestamp)
		}
	}
	for i, col := range columns {
		if col == nil {
			continue
		}
		k := &c.clocks[i]
		var log *arrow.Timestamp
		if c.log >= 0 && i != c.log {
			log = columns[c.log]
		}
		for row := range col.Len() {
			if col.IsNull(row) {
				continue
			}
			t := int64(col.Value(row))
			k.add(t)
			if log != nil && log.IsValid(row) {
				k.offset.add(int64(log.Value(row)), t)
			}
		}
	}
}

// clockStats follows one clock.
type clockStats struct {
	clock          pipeline.Clock
	rows           int64
	min, max, prev int64
	backwards      int64
	gap, gapAt     int64
	steps          histogram
	offset         offsetStats
}

func (k *clockStats) add(t int64) {
	if k.rows == 0 {
		k.min, k.max = t, t
	} else {
		k.min, k.max = min(k.min, t), max(k.max, t)
		// Times lie anywhere in int64: the step need not fit.
		switch step := uint64(t) - uint64(k.prev); {
		case t < k.prev:
			k.backwards++
		default:
			s := int64(min(step, math.MaxInt64))
			k.steps.add(s)
			if s > k.gap {
				k.gap, k.gapAt = s, k.prev
			}
		}
	}
	k.prev = t
	k.rows++
}

func (k *clockStats) report() ClockReport {
	r := ClockReport{Name: k.clock.Name, Column: k.clock.Column, Rows: k.rows, Backwards: k.backwards, first: k.min, last: k.max}
	if k.rows == 0 {
		return r
	}
	r.First, r.Last = stamp(k.min), stamp(k.max)
	if k.steps.n > 0 {
		r.MedianNs = k.steps.median()
		r.LargestGapNs, r.LargestGapAt = k.gap, stamp(k.gapAt)
		if r.MedianNs > 0 {
			r.Gaps = k.steps.above(gapFactor * float64(r.MedianNs))
		}
	}
	if k.offset.n > 0 {
		r.Offset = k.offset.report()
	}
	return r
}

// histogram counts durations in buckets that are a 64th wide, so that a median
// of any number of rows takes a few kilobytes.
type histogram struct {
	n       int64
	buckets [64]*[64]bucket // by number of bits, then by the bits that follow
}

type bucket struct {
	n   int64
	sum float64
}

func (h *histogram) add(v int64) {
	size := bits.Len64(uint64(v))
	row := h.buckets[size]
	if row == nil {
		row = new([64]bucket)
		h.buckets[size] = row
	}
	at := v << (63 - max(size, 1)) >> 56 & 63
	row[at].n++
	row[at].sum += float64(v)
	h.n++
}

// each calls fn with the buckets in ascending order, until it returns false.
func (h *histogram) each(fn func(mean float64, n int64) bool) {
	for _, row := range h.buckets {
		if row == nil {
			continue
		}
		for _, b := range row {
			if b.n > 0 && !fn(b.sum/float64(b.n), b.n) {
				return
			}
		}
	}
}

// median is the mean of the bucket that the median falls into.
func (h *histogram) median() (m int64) {
	seen := int64(0)
	h.each(func(mean float64, n int64) bool {
		seen += n
		m = int64(math.Round(mean))
		return 2*seen < h.n
	})
	return m
}

// above counts the durations longer than limit, to a 64th.
func (h *histogram) above(limit float64) (n int64) {
	h.each(func(mean float64, k int64) bool {
		if mean > limit {
			n += k
		}
		return true
	})
	return n
}

// offsetStats follows the difference of two clocks: log less other.
type offsetStats struct {
	n                int64
	log0, diff0      int64
	min, max         int64
	logMin, logMax   int64
	mx, my, sxx, sxy float64 // in seconds since log0, and nanoseconds less diff0
}

func (o *offsetStats) add(log, other int64) {
	diff := log - other // wraps only where the offset is centuries
	if o.n == 0 {
		o.log0, o.diff0, o.min, o.max, o.logMin, o.logMax = log, diff, diff, diff, log, log
	}
	o.min, o.max = min(o.min, diff), max(o.max, diff)
	o.logMin, o.logMax = min(o.logMin, log), max(o.logMax, log)
	o.n++
	x, y := float64(log-o.log0)/1e9, float64(diff-o.diff0)
	dx := x - o.mx
	o.mx += dx / float64(o.n)
	o.my += (y - o.my) / float64(o.n)
	o.sxx += dx * (x - o.mx)
	o.sxy += dx * (y - o.my)
}

func (o *offsetStats) report() *OffsetReport {
	r := &OffsetReport{MeanNs: o.diff0 + int64(math.Round(o.my)), MinNs: o.min, MaxNs: o.max}
	if float64(o.logMax-o.logMin)/1e9 >= driftSpan && o.sxx > 0 {
		ppm := math.Round(o.sxy/o.sxx) / 1000 // ns per second are thousandths of a millionth
		r.DriftPPM = &ppm
	}
	return r
}
