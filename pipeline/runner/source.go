package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// sourceRun decodes the recordings of one input of a unit, one after the
// other, and gives every batch its leading columns.
type sourceRun struct {
	exec    *execution
	id      int // producer number, as in graph.Port
	input   *config.Input
	bound   *graph.BoundSource
	opened  []*openRecording
	slice   *Slice
	opt     pipeline.DecodeOptions
	reject  func(pipeline.BadRow) error
	advance func(rows, bytes int64)

	selected map[string]bool // tables that are read

	mu       sync.Mutex
	entries  map[string]*lineage.SourceEntry
	order    []string
	problems []lineage.Problem
}

// openRecording is a recording that was described.
type openRecording struct {
	*Recording
	object int // index of its first object over the objects of the unit
	source pipeline.Source
	reads  []*rangeSource // of its objects, then of what lies beside and was read
	format pipeline.FormatSpec
	desc   *pipeline.Description
	attrs  map[string]string
}

// name is how a table of the recording is called in the graph: a file of a lake
// holds a part of a table there, whatever the file is called.
func (o *openRecording) name(native string) string {
	if o.table != "" {
		return o.table
	}
	return native
}

// tables are the tables of the recording as the graph calls them.
func (o *openRecording) tables() []pipeline.TableInfo {
	if o.table == "" {
		return o.desc.Tables
	}
	out := slices.Clone(o.desc.Tables)
	for i := range out {
		t := *out[i].Table
		t.Name = o.table
		out[i].Table = &t
	}
	return out
}

// run decodes everything and ends the streams.
func (s *sourceRun) run() error {
	for _, r := range s.opened {
		if err := s.decode(s.exec.ctx, r); err != nil {
			return err
		}
	}
	s.exec.finish(s.id)
	return nil
}

func (s *sourceRun) decode(ctx context.Context, r *openRecording) (err error) {
	sel, streams := s.selection(r)
	opt := s.opt
	opt.Allocator = s.exec.alloc
	opt.Object = r.object
	opt.Reject = s.reject
	dec, err := r.format.Format.Open(ctx, r.source, r.desc, sel, opt)
	if err != nil {
		return located("opening", r.URI, err)
	}
	defer func() {
		if cerr := dec.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("closing %s: %w", r.URI, cerr)
		}
	}()
	window := newClockWindow(s, r)
	byName := make(map[string][]*streamer)
	for _, st := range streams {
		byName[st.native] = append(byName[st.native], st)
	}
	gauge := s.exec.gaugeOf(s.id)
	for {
		begin := time.Now()
		el, err := dec.Next(ctx)
		gauge.Busy(time.Since(begin))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if c := context.Cause(ctx); c != nil {
				return c
			}
			return located("reading", r.URI, err)
		}
		if el.Batch == nil {
			if err := s.forwardMark(r, el.Mark, byName); err != nil {
				return err
			}
			continue
		}
		gauge.Batch(int64(el.Batch.Rows()), batchBytes(el.Batch))
		b, err := window.check(el.Batch)
		if err != nil {
			return err
		}
		if b == nil {
			continue
		}
		if err := s.deliver(b, byName[r.name(b.Table.Name)]); err != nil {
			return err
		}
	}
	s.book(r, dec, window)
	return nil
}

// forwardMark passes a decoder's watermark on to the streams of its table.
func (s *sourceRun) forwardMark(r *openRecording, m pipeline.Watermark, byName map[string][]*streamer) error {
	if m.Table == nil {
		return s.exec.emit(s.id, pipeline.Element{Mark: m})
	}
	for _, st := range byName[r.name(m.Table.Name)] {
		w := m
		w.Table = st.table
		if err := s.exec.emit(s.id, pipeline.Element{Mark: w}); err != nil {
			return err
		}
	}
	return nil
}

// deliver sends a decoded batch to every stream made of its table.
func (s *sourceRun) deliver(b *pipeline.Batch, streams []*streamer) error {
	defer b.Release()
	s.advance(int64(b.Rows()), 0)
	for _, st := range streams {
		out, err := st.convert(b)
		if err != nil {
			return err
		}
		if err := s.exec.flow.wait(s.exec.ctx); err != nil {
			out.Release()
			return err
		}
		if err := s.exec.emit(s.id, pipeline.Element{Batch: out}); err != nil {
			return err
		}
	}
	return nil
}

// unixNano returns nanoseconds since the epoch, 0 for no time.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// selection turns the bound streams into what the decoder is asked for.
func (s *sourceRun) selection(r *openRecording) (pipeline.Selection, []*streamer) {
	sel := pipeline.Selection{Tables: []pipeline.TableSelection{}, From: unixNano(s.input.From), To: unixNano(s.input.To)}
	latched := true
	if c := s.slice; c != nil {
		sel.From = max(sel.From, c.From)
		if c.To != 0 && (sel.To == 0 || c.To < sel.To) {
			sel.To = c.To
		}
		// What comes before the range belongs to the first slice.
		latched = c.Number == 0
	}
	var streams []*streamer
	for _, info := range r.desc.Tables {
		need := make(map[string]bool)
		found := false
		for _, st := range s.bound.Tables {
			if st.Native.Name != r.name(info.Table.Name) {
				continue
			}
			found = true
			for _, c := range st.Columns {
				need[c] = true
			}
			if s.input.ClockWindow > 0 && st.Clock.Column != "" {
				need[st.Clock.Column] = true
			}
			str := newStreamer(st, r.attrs, s.exec.alloc)
			if s.input.Output != "" {
				str.lacks = make(map[string]bool)
				for _, c := range st.Native.ColumnNames() {
					str.lacks[c] = info.Table.Column(c) < 0
				}
			}
			streams = append(streams, str)
		}
		if !found {
			continue
		}
		s.selected[r.name(info.Table.Name)] = true
		cols := []string{}
		for _, c := range info.Table.ColumnNames() {
			if need[c] {
				cols = append(cols, c)
			}
		}
		sel.Tables = append(sel.Tables, pipeline.TableSelection{Table: info.Table, Columns: cols, Latched: info.Latched && latched, Payloads: s.bound.Payloads(r.name(info.Table.Name))})
	}
	return sel, streams
}

// book adds what a decoder counted to the ledger.
func (s *sourceRun) book(r *openRecording, dec pipeline.Decoder, window *clockWindow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw := make(map[string]bool)
	for _, t := range r.desc.Tables {
		raw[r.name(t.Table.Name)] = t.Raw
	}
	for _, c := range dec.Counts() {
		late := window.rejected[c.Table]
		c.Table = r.name(c.Table)
		e := s.entries[c.Table]
		if e == nil {
			e = &lineage.SourceEntry{Input: s.input.Name, Table: c.Table}
			s.entries[c.Table] = e
			s.order = append(s.order, c.Table)
		}
		e.Raw = e.Raw || raw[c.Table]
		if s.slice != nil {
			// Rows of other slices are theirs to count.
			others := c.Unselected
			if s.slice.Number == 0 && !s.selected[c.Table] {
				others = 0
			}
			c.Found, c.Unselected = c.Found-others, c.Unselected-others
			if c.Indexed >= 0 {
				c.Indexed -= others
			}
		}
		e.Found += c.Found
		e.Decoded += c.Decoded - late
		e.Rejected = addCounts(e.Rejected, map[string]int64{rejectedClock: late})
		e.Unselected += c.Unselected
		e.Lost += c.Lost
		e.LostBytes += c.LostBytes
		e.Bytes += c.Bytes
		e.PayloadCounts.Add(c.Payloads)
		e.Rejected = addCounts(e.Rejected, c.Rejected)
		e.NullCells = addCounts(e.NullCells, c.NullCells)
		if c.Indexed >= 0 {
			n := c.Indexed
			if e.Indexed != nil {
				n += *e.Indexed
			}
			e.Indexed = &n
		}
	}
	for _, p := range append(append([]pipeline.Problem{}, r.desc.Problems...), dec.Problems()...) {
		q := lineage.Problem{URI: r.URI, Kind: p.Kind, Table: p.Table, Detail: p.Detail, Rows: p.Rows, Loses: p.Loses}
		if p.Offset >= 0 {
			off := p.Offset
			q.Offset = &off
		}
		s.problems = append(s.problems, q)
	}
}

func addCounts(dst, src map[string]int64) map[string]int64 {
	for k, n := range src {
		if n == 0 {
			continue
		}
		if dst == nil {
			dst = make(map[string]int64)
		}
		dst[k] += n
	}
	return dst
}

// streamer turns decoded batches of one native table of one recording into
// batches of a stream: attribute columns in front, the declared clock as ts.
// No values are copied.
type streamer struct {
	native  string
	table   *pipeline.Table
	columns []streamColumn
	attrs   map[string]string
	alloc   arrow.Allocator
	schema  *arrow.Schema // of the decoded batches that index is for
	// lacks are columns that other files of the table have, and this one has not.
	lacks map[string]bool
}

type streamColumn struct {
	name  string // native column, or attribute
	attr  bool
	index int
}

func newStreamer(st *graph.StreamTable, attrs map[string]string, alloc arrow.Allocator) *streamer {
	s := &streamer{native: st.Native.Name, table: st.Stream, attrs: attrs, alloc: alloc}
	for i, f := range st.Stream.Schema.Fields() {
		c := streamColumn{name: st.From[i]}
		if c.name == "" {
			c.name, c.attr = f.Name, true
		}
		s.columns = append(s.columns, c)
	}
	return s
}

// convert returns the batch as it flows; b stays with the caller.
func (s *streamer) convert(b *pipeline.Batch) (*pipeline.Batch, error) {
	if s.schema != b.Record.Schema() {
		if err := s.resolve(b.Record.Schema()); err != nil {
			return nil, err
		}
	}
	rows := b.Rows()
	cols := make([]arrow.Array, len(s.columns))
	var made []arrow.Array
	for i, c := range s.columns {
		if !c.attr && c.index >= 0 {
			cols[i] = b.Record.Column(c.index)
			continue
		}
		var a arrow.Array
		if c.attr {
			a = s.attribute(c, rows)
		} else {
			nulls := column.New(s.alloc, s.table.Schema.Field(i).Type)
			nulls.AppendNulls(rows)
			a = nulls.Finish()
		}
		made = append(made, a)
		cols[i] = a
	}
	rec := arrow.NewRecord(s.table.Schema, cols, int64(rows))
	for _, a := range made {
		a.Release()
	}
	return &pipeline.Batch{Table: s.table, Record: rec, Origin: b.Origin}, nil
}

// resolve finds the columns in a schema that a decoder delivers.
func (s *streamer) resolve(schema *arrow.Schema) error {
	at := make(map[string]int, schema.NumFields())
	for i, f := range schema.Fields() {
		at[f.Name] = i
	}
	for i := range s.columns {
		c := &s.columns[i]
		if c.attr {
			continue
		}
		n, ok := at[c.name]
		if !ok && s.lacks[c.name] {
			c.index = -1
			continue
		}
		if !ok {
			return fmt.Errorf("table %s: the decoder did not deliver column %s: %w", s.native, c.name, pipeline.ErrSchema)
		}
		c.index = n
	}
	s.schema = schema
	return nil
}

// zeroes is the memory behind all attribute columns, which is never written.
var zeroes [4 * pipeline.DefaultBatchRows]byte

// attribute returns a column of rows equal values: a dictionary of one string
// and indices that are all zero, which batches share.
func (s *streamer) attribute(c streamColumn, rows int) arrow.Array {
	zeros := zeroes[:]
	if need := 4 * rows; len(zeros) < need {
		zeros = make([]byte, need)
	}
	value, ok := s.attrs[c.name]
	dict := column.New(s.alloc, arrow.StringType)
	dict.AppendString(value)
	values := dict.Finish()
	defer values.Release()
	indices := arrow.NewBufferBytes(zeros[:4*rows])
	var valid *arrow.Buffer
	nulls := 0
	if !ok {
		valid, nulls = arrow.NewBufferBytes(zeros[:(rows+7)/8]), rows
	}
	data := arrow.NewData(arrow.Int32Type, rows, []*arrow.Buffer{valid, indices}, nil, nulls, 0)
	defer data.Release()
	idx := arrow.MakeFromData(data)
	defer idx.Release()
	return arrow.NewDictionaryArray(arrow.LabelType, idx, values)
}
