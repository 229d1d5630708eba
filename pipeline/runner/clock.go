package runner

import (
	"fmt"
	"math"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// rejectedClock is the reason for which clock_window refuses rows.
const rejectedClock = "outside_clock_window"

// clockWindow refuses rows whose declared clock is further from the
// recording's log times than the pipeline allows: a clock that was not set
// yet, or one of another epoch.
type clockWindow struct {
	source   *sourceRun
	opened   *openRecording
	from, to int64             // of the declared clock, inclusive
	columns  map[string]string // clock column of each native table
	rejected map[string]int64  // by native table
	rows     []int32
}

func newClockWindow(s *sourceRun, r *openRecording) *clockWindow {
	w := &clockWindow{source: s, opened: r, columns: make(map[string]string), rejected: make(map[string]int64)}
	if s.input.ClockWindow <= 0 || !r.desc.HasTime {
		return w
	}
	// A recording may end at the last moment that there is.
	window := int64(s.input.ClockWindow)
	w.from, w.to = max(r.desc.Start, math.MinInt64+window)-window, min(r.desc.End, math.MaxInt64-window)+window
	for _, t := range s.bound.Tables {
		if t.Clock.Column != "" {
			w.columns[t.Native.Name] = t.Clock.Column
		}
	}
	return w
}

// check returns what is left of a decoded batch, nil for nothing. It takes
// over the batch.
func (w *clockWindow) check(b *pipeline.Batch) (*pipeline.Batch, error) {
	name, ok := w.columns[w.opened.name(b.Table.Name)]
	if !ok {
		return b, nil
	}
	at := b.Record.Schema().FieldIndices(name)
	if len(at) == 0 {
		return b, nil
	}
	ts, ok := b.Record.Column(at[0]).(*arrow.Timestamp)
	if !ok {
		return b, nil
	}
	w.rows = w.rows[:0]
	for i := range ts.Len() {
		v := int64(ts.Value(i))
		if ts.IsNull(i) || v >= w.from && v <= w.to {
			w.rows = append(w.rows, int32(i))
			continue
		}
		w.rejected[b.Table.Name]++
		err := w.source.reject(pipeline.BadRow{Table: b.Table.Name, Object: w.opened.Objects[b.Origin.Object-w.opened.object].URI, Record: b.Origin.At(i), Offset: -1, Column: name, Reason: rejectedClock,
			Err: fmt.Errorf("clock at %s, log times from %s to %s", instant(v), instant(w.from), instant(w.to))})
		if err != nil {
			b.Release()
			return nil, err
		}
	}
	if len(w.rows) == ts.Len() {
		return b, nil
	}
	defer b.Release()
	if len(w.rows) == 0 {
		return nil, nil
	}
	rec, err := column.TakeRecord(w.source.exec.alloc, b.Record, w.rows)
	if err != nil {
		return nil, err
	}
	return &pipeline.Batch{Table: b.Table, Record: rec, Origin: b.Origin.Take(w.rows)}, nil
}

func instant(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
