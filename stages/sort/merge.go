package sort

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/cells"
)

// run is sorted rows that were spilled, in chunks.
type run struct {
	level  int
	chunks []pipeline.SpillRef
	next   int // chunk to read
}

// write takes over a record and appends it to a run.
func (s *sorter) write(r *run) func(arrow.Record) error {
	return func(rec arrow.Record) error {
		defer rec.Release()
		ref, err := s.file.Write(rec)
		if err != nil {
			return fmt.Errorf("sorting table %s: %w", s.table.Name, err)
		}
		r.chunks = append(r.chunks, ref)
		return nil
	}
}

// read returns the next chunk of a run, whose space is then free; io.EOF ends it.
func (s *sorter) read(r *run) (arrow.Record, error) {
	if r.next == len(r.chunks) {
		return nil, io.EOF
	}
	rec, err := s.file.Read(s.mem, s.table.Schema, r.chunks[r.next])
	if err != nil {
		return nil, err
	}
	s.file.Free(r.chunks[r.next])
	r.next++
	return rec, nil
}

// fanIn is how many runs are merged at a time.
const fanIn = 16

// collapse merges the last n runs into one of the next level.
func (s *sorter) collapse(ctx context.Context, n int) error {
	old := s.runs[len(s.runs)-n:]
	r := &run{level: old[0].level + 1}
	if err := s.merge(ctx, old, s.write(r)); err != nil {
		return err
	}
	s.runs = append(s.runs[:len(s.runs)-n], r)
	return nil
}

// lane is a run that is being merged: its current chunk, and where it is.
type lane struct {
	run  *run
	rec  arrow.Record
	keys cells.RowKeys
	row  int32
	slot int32 // of rec among those picked from
	done bool
}

// merger merges runs by a tree of losers: node i holds the lane that lost there,
// node 0 the winner. A new head climbs from its leaf to the root, with one
// comparison at each level.
type merger struct {
	lanes []*lane
	tree  []int
}

// before reports whether the head of lane a comes before that of b. Lanes are
// in the order of their rows, so that of equal heads the first goes first.
func (m *merger) before(a, b int) bool {
	x, y := m.lanes[a], m.lanes[b]
	switch {
	case x.done || y.done:
		return !x.done || y.done && a < b
	}
	c := bytes.Compare(x.keys.At(x.row), y.keys.At(y.row))
	return c < 0 || c == 0 && a < b
}

// build plays all matches.
func (m *merger) build() {
	n := len(m.lanes)
	m.tree = make([]int, n)
	winners := make([]int, 2*n)
	for i := range n {
		winners[n+i] = i
	}
	for i := n - 1; i > 0; i-- {
		a, b := winners[2*i], winners[2*i+1]
		if m.before(b, a) {
			a, b = b, a
		}
		winners[i], m.tree[i] = a, b
	}
	m.tree[0] = winners[min(1, 2*n-1)]
}

// climb plays the matches of a lane whose head changed.
func (m *merger) climb(lane int) {
	for i := (lane + len(m.lanes)) / 2; i > 0; i /= 2 {
		if m.before(m.tree[i], lane) {
			m.tree[i], lane = lane, m.tree[i]
		}
	}
	m.tree[0] = lane
}

// merge gives the rows of runs in order, in records that the receiver owns.
func (s *sorter) merge(ctx context.Context, runs []*run, give func(arrow.Record) error) error {
	m := &merger{}
	var live []arrow.Record // what picks are of
	defer func() {
		for _, rec := range live {
			rec.Release()
		}
	}()
	load := func(l *lane) error {
		rec, err := s.read(l.run)
		if errors.Is(err, io.EOF) {
			l.done = true
			return nil
		}
		if err == nil {
			live = append(live, rec)
			l.rec, l.row, l.slot = rec, 0, int32(len(live)-1)
			l.keys, err = s.plan.Of(rec)
		}
		if err != nil {
			return fmt.Errorf("sorting table %s: reading a run: %w", s.table.Name, err)
		}
		return nil
	}
	for _, r := range runs {
		l := &lane{run: r}
		m.lanes = append(m.lanes, l)
		if err := load(l); err != nil {
			return err
		}
	}
	m.build()
	var picks []place
	flush := func() error {
		if len(picks) == 0 {
			return nil
		}
		rec, err := pick(s.mem, live, picks)
		if err != nil {
			return fmt.Errorf("sorting table %s: %w", s.table.Name, err)
		}
		picks = picks[:0]
		// Chunks that are used up go; the others get new numbers.
		var kept []arrow.Record
		for _, l := range m.lanes {
			if !l.done {
				live[l.slot] = nil
				kept = append(kept, l.rec)
				l.slot = int32(len(kept) - 1)
			}
		}
		for _, old := range live {
			if old != nil {
				old.Release()
			}
		}
		live = kept
		return give(rec)
	}
	chunk := 0
	for {
		l := m.lanes[m.tree[0]]
		if l.done {
			return flush()
		}
		chunk = max(chunk, l.keys.Len())
		picks = append(picks, place{Rec: l.slot, Row: l.row})
		l.row++
		if int(l.row) == l.keys.Len() {
			// The last row of a chunk: give what there is, to hold no more
			// than two chunks of a run.
			if err := load(l); err != nil {
				return err
			}
		}
		m.climb(m.tree[0])
		if len(picks) >= chunk {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

// sortedPicks orders the rows of several records; those with equal keys keep
// the order of records and rows.
func sortedPicks(keys []cells.RowKeys, rows int) []place {
	picks := make([]place, 0, rows)
	for r := range keys {
		for i := range keys[r].Len() {
			picks = append(picks, place{Rec: int32(r), Row: int32(i)})
		}
	}
	slices.SortFunc(picks, func(a, b place) int {
		if c := bytes.Compare(keys[a.Rec].At(a.Row), keys[b.Rec].At(b.Row)); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.Rec, b.Rec), cmp.Compare(a.Row, b.Row))
	})
	return picks
}
