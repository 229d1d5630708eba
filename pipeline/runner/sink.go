package runner

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// sinkRun is an output at work: it merges streams that feed one lake table,
// writes, and counts.
type sinkRun struct {
	node    *nodeRun
	writer  pipeline.SinkWriter
	mergers map[*pipeline.Table]*merger // streams that share a lake table
	lake    map[*pipeline.Table]string  // lake table of each stream
	entries map[string]*lineage.SinkEntry
	files   []pipeline.File
	refers  map[*pipeline.Table]map[int]int // thresholds of payload columns
}

func newSinkRun(n *nodeRun, w pipeline.SinkWriter) *sinkRun {
	s := &sinkRun{node: n, writer: w, mergers: make(map[*pipeline.Table]*merger),
		lake: make(map[*pipeline.Table]string), refers: make(map[*pipeline.Table]map[int]int), entries: make(map[string]*lineage.SinkEntry)}
	for _, t := range n.Sink.Tables {
		for _, in := range t.Inputs {
			s.lake[in] = t.Name
			if at := referred(in, t.Bytes); at != nil {
				s.refers[in] = at
			}
		}
		s.entries[t.Name] = &lineage.SinkEntry{Sink: n.Name, Table: t.Name}
		if len(t.Inputs) > 1 {
			m := newMerger(t.Inputs)
			m.gather = newGatherer(n.exec.alloc, &t)
			for _, in := range t.Inputs {
				s.mergers[in] = m
			}
		}
	}
	return s
}

// run receives until all producers have ended, then finishes the files.
func (s *sinkRun) run() error {
	defer func() {
		for _, m := range s.mergers {
			m.drop()
		}
	}()
	for {
		d, ok, err := s.node.receive()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		begin := time.Now()
		err = s.take(d.el)
		s.node.gauge.Busy(time.Since(begin))
		if err != nil {
			return err
		}
	}
	begin := time.Now()
	defer func() { s.node.gauge.Busy(time.Since(begin)) }()
	for _, t := range s.node.Sink.Tables {
		if m := s.mergers[t.Inputs[0]]; m != nil {
			m.end()
			if err := m.release(s.write); err != nil {
				return err
			}
		}
	}
	var acct pipeline.Account
	files, err := s.writer.Finish(s.node.exec.ctx, &acct)
	if err != nil {
		return fmt.Errorf("output %s: %w", s.node.Name, err)
	}
	s.files = files
	for _, f := range files {
		e := s.entries[f.Table]
		if e == nil {
			return fmt.Errorf("output %s: file %s is of a table that was not bound: %w", s.node.Name, f.Key, pipeline.ErrSchema)
		}
		e.Written += f.Rows
		e.Bytes += f.Bytes
		e.Files++
	}
	return nil
}

func (s *sinkRun) take(el pipeline.Element) error {
	if el.Batch == nil {
		return s.mark(el.Mark)
	}
	b, err := s.refer(el.Batch)
	if err != nil {
		return err
	}
	m := s.mergers[b.Table]
	if m == nil {
		return s.write(b)
	}
	m.add(b)
	return m.release(s.write)
}

// mark moves the streams that a watermark speaks of.
func (s *sinkRun) mark(w pipeline.Watermark) error {
	if w.Table != nil {
		m := s.mergers[w.Table]
		if m == nil {
			return nil
		}
		m.mark(w)
		return m.release(s.write)
	}
	for _, t := range s.node.Sink.Tables {
		if m := s.mergers[t.Inputs[0]]; m != nil {
			m.mark(w)
			if err := m.release(s.write); err != nil {
				return err
			}
		}
	}
	return nil
}

// refer takes payloads out of a batch whose output did not ask for their bytes:
// they are there because another consumer did.
func (s *sinkRun) refer(b *pipeline.Batch) (*pipeline.Batch, error) {
	limits := s.refers[b.Table]
	if limits == nil {
		return b, nil
	}
	cols := slices.Clone(b.Record.Columns())
	for i, above := range limits {
		a, ok := cols[i].(*arrow.Binary)
		if !ok {
			return nil, fmt.Errorf("output %s: column %d of table %s is no binary: %w", s.node.Name, i, b.Table.Name, pipeline.ErrSchema)
		}
		short := column.Shorten(s.node.exec.alloc, a, above)
		defer short.Release()
		cols[i] = short
	}
	out := &pipeline.Batch{Table: b.Table, Record: arrow.NewRecord(b.Record.Schema(), cols, b.Record.NumRows()), Origin: b.Origin}
	b.Release()
	return out, nil
}

// referred are the columns of a table whose payloads an output does not want,
// with their thresholds.
func referred(t *pipeline.Table, wanted []pipeline.ColumnRef) map[int]int {
	var out map[int]int
	for i, f := range t.Schema.Fields() {
		_, above, ok := pipeline.PayloadOf(t.Schema, i)
		if !ok || slices.Contains(wanted, pipeline.ColumnRef{Table: t, Column: f.Name}) {
			continue
		}
		if out == nil {
			out = make(map[int]int)
		}
		out[i] = int(min(above, math.MaxInt32))
	}
	return out
}

func (s *sinkRun) write(b *pipeline.Batch) error {
	e := s.entries[s.lake[b.Table]]
	e.Received += int64(b.Rows())
	var acct pipeline.Account
	if err := s.writer.Write(s.node.exec.ctx, b, &acct); err != nil {
		return fmt.Errorf("output %s: table %s: %w", s.node.Name, e.Table, err)
	}
	for reason, n := range acct.Rejected {
		if e.Rejected == nil {
			e.Rejected = make(map[string]int64)
		}
		e.Rejected[reason] += n
	}
	return nil
}
