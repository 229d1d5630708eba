package rosbag2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/rosbag2/sqlite"
	"github.com/drivemill/drivemill/pipeline"
)

// partWalker walks over one storage file.
type partWalker interface {
	message.Walker
	// NextStart is, in LogOrder, the first log time of the next block.
	NextStart() int64
	// FindLatched finds the last rows before the range of latched tables in
	// the file. It is called before Fetch.
	FindLatched(ctx context.Context) (*message.Latched, error)
}

// walker hands the blocks of all storage files to an engine: one file after
// the other, in LogOrder by the first log time of blocks.
type walker struct {
	f       *Format
	rec     *recording
	sources []pipeline.Source
	sel     pipeline.Selection
	wanted  []bool // by channel; nil: all
	zstd    inflater
	latched *message.Latched // rows before the range that are still to be found, or nil

	current int // part, in StorageOrder
	mu      sync.Mutex
	open    []*openPart // by part; nil: not open
	byPart  map[int]int // part by object
}

// openPart is a part at work. It is closed when all its blocks are unpacked.
type openPart struct {
	partWalker
	spilled *spilled
	pending int
	done    bool
	closed  bool
}

func newWalker(f *Format, rec *recording, src pipeline.Source, sel pipeline.Selection) *walker {
	w := &walker{f: f, rec: rec, sources: pipeline.Parts(src), sel: sel, open: make([]*openPart, len(rec.parts)), byPart: make(map[int]int)}
	w.latched = message.NewLatched(rec.tables, rec.tableOf, sel)
	w.zstd.limit = f.Limits.message()
	for i, p := range rec.parts {
		w.byPart[p.object] = i
	}
	if sel.Tables != nil {
		names := make(map[string]bool)
		for _, t := range sel.Tables {
			names[t.Table.Name] = true
		}
		w.wanted = make([]bool, len(rec.tableOf))
		for i, t := range rec.tableOf {
			w.wanted[i] = names[rec.tables[t].Name]
		}
	}
	return w
}

// openAll opens all parts that are not open.
func (w *walker) openAll(ctx context.Context) error {
	for i := range w.rec.parts {
		if w.open[i] != nil {
			continue
		}
		if err := w.openPart(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) openPart(ctx context.Context, i int) error {
	p := w.rec.parts[i]
	if p.object >= len(w.sources) {
		return fmt.Errorf("the recording has %d files, not the %d it was described with: %w", len(w.sources), p.object+1, pipeline.ErrChanged)
	}
	o := &openPart{}
	src := w.sources[p.object]
	if p.zstd {
		s, err := w.f.spill(ctx, src)
		if err != nil {
			return fmt.Errorf("unpacking %s: %w", p.name, err)
		}
		o.spilled, src = s, s
	}
	var err error
	if p.db != nil {
		o.partWalker, err = w.openDB(ctx, p, src)
	} else {
		o.partWalker, err = mcap.NewPart(ctx, mcap.PartConfig{
			Source: src, Info: p.info, Channels: p.byID, Tables: w.rec.tables, TableOf: w.rec.tableOf, Selection: w.sel,
		})
	}
	if err != nil {
		if o.spilled != nil {
			o.spilled.Close()
		}
		return fmt.Errorf("opening %s: %w", p.name, err)
	}
	w.mu.Lock()
	w.open[i] = o
	w.mu.Unlock()
	return nil
}

// openDB opens a database. LogOrder needs to know when each block begins, and
// the last rows before a range where they may lie.
func (w *walker) openDB(ctx context.Context, p *part, src pipeline.Source) (partWalker, error) {
	file, err := sqlite.Open(ctx, src)
	if err != nil {
		return nil, err
	}
	db := p.db
	latched := message.NewLatched(w.rec.tables, w.rec.tableOf, w.sel)
	if !db.scanned && (w.sel.Order == pipeline.LogOrder || p.wantsLatched(latched, w.sel)) {
		c := *db
		db = &c
		db.problems, db.topics = nil, slices.Clone(db.topics)
		if err := db.scan(ctx, file, w.f.block); err != nil {
			return nil, err
		}
	}
	x := newDBWalker(db, file, w.f.block)
	x.channels, x.lost, x.inner = p.db.channel, db.lost, p.inner
	x.latched = latched
	if db.scanned {
		channelOf := make([]int32, len(db.topics))
		for i, t := range db.topics {
			channelOf[i] = x.channels.get(t.id)
		}
		x.plan(w.sel, channelOf, w.wanted)
	}
	if db != p.db {
		x.tellLater(db.problems)
	}
	return x, nil
}

// tellLater reports problems of a scan with the first block.
func (w *dbWalker) tellLater(problems []pipeline.Problem) {
	for _, p := range problems {
		w.later = append(w.later, message.BlockProblem{Kind: p.Kind, Offset: p.Offset, Detail: p.Detail, Loses: p.Loses})
	}
}

// Fetch reads the next block.
func (w *walker) Fetch(ctx context.Context, b *message.Block) error {
	if err := w.settleLatched(ctx); err != nil {
		return err
	}
	for {
		i := w.choose()
		if i < 0 {
			return io.EOF
		}
		if w.open[i] == nil {
			if err := w.openPart(ctx, i); err != nil {
				return err
			}
		}
		o := w.open[i]
		w.mu.Lock()
		o.pending++
		w.mu.Unlock()
		b.Object = w.rec.parts[i].object
		err := o.Fetch(ctx, b)
		if errors.Is(err, io.EOF) {
			w.mu.Lock()
			o.done = true
			w.mu.Unlock()
			if err := w.release(i); err != nil {
				return err
			}
			w.current++
			continue
		}
		if err != nil {
			return err
		}
		if w.sel.Order == pipeline.LogOrder {
			for k, other := range w.open {
				if k != i && !other.done {
					b.MinLater = min(b.MinLater, other.NextStart())
				}
			}
		}
		return nil
	}
}

// choose finds the part that the next block is of, or -1.
func (w *walker) choose() int {
	if w.sel.Order == pipeline.StorageOrder {
		if w.current == len(w.rec.parts) {
			return -1
		}
		return w.current
	}
	best, at := -1, int64(math.MaxInt64)
	for i, o := range w.open {
		if o.done {
			continue
		}
		if t := o.NextStart(); best < 0 || t < at {
			best, at = i, t
		}
	}
	return best
}

// release notes that a block of a part is done with, and closes the part after
// the last.
func (w *walker) release(i int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.open[i]
	o.pending--
	if !o.done || o.pending > 0 || o.closed {
		return nil
	}
	return o.end()
}

func (o *openPart) end() error {
	o.closed = true
	err := o.Close()
	if o.spilled != nil {
		o.spilled.Close()
	}
	return err
}

// Unpack lists the messages of a block, and unpacks them where each is
// compressed.
func (w *walker) Unpack(ctx context.Context, b *message.Block) error {
	i := w.byPart[b.Object]
	p := w.rec.parts[i]
	w.mu.Lock()
	o := w.open[i]
	w.mu.Unlock()
	if err := o.Unpack(ctx, b); err != nil {
		return err
	}
	if p.inner {
		w.inflate(b, p.db == nil)
	}
	return w.release(i)
}

// wants reports whether a record is decoded.
func (w *walker) wants(r *message.Record) bool {
	return r.Channel < 0 || (w.wanted == nil || w.wanted[r.Channel]) &&
		(w.sel.From == 0 || r.LogTime >= w.sel.From) && (w.sel.To == 0 || r.LogTime < w.sel.To)
}

// inflate unpacks the messages of a block that are wanted. What does not begin
// like zstd is no compressed message, and stays as it is.
func (w *walker) inflate(b *message.Block, inBuffer bool) {
	out := b.Buffer[:0]
	if inBuffer {
		out = nil // the messages lie there
	}
	var bad []message.BadRecord
	old := b.Bad
	for i := range b.Records {
		r := &b.Records[i]
		for len(old) > 0 && old[0].Record < uint32(i) {
			old = old[1:]
		}
		data := b.Data[r.Span.Start:r.Span.End]
		at := len(out)
		switch {
		case len(old) > 0 && old[0].Record == uint32(i):
			bad = append(bad, old[0])
		case !w.wants(r) && !slices.Contains(b.Keep, uint32(i)):
			data = data[:0]
		case isZstd(data):
			var err error
			if out, err = w.zstd.unpack(out, data); err != nil {
				out = out[:at]
				bad = append(bad, message.BadRecord{Record: uint32(i), Err: &rowError{"bad_compression", err}})
				break
			}
			r.Span = message.Span{Start: uint32(at), End: uint32(len(out))}
			continue
		}
		out = append(out, data...)
		r.Span = message.Span{Start: uint32(at), End: uint32(len(out))}
	}
	b.Bad = append(b.Bad[:0], bad...)
	b.Buffer, b.Data = out, out
}

// Close ends all parts.
func (w *walker) Close() error {
	var first error
	for _, o := range w.open {
		if o == nil || o.closed {
			continue
		}
		if err := o.end(); first == nil {
			first = err
		}
	}
	w.zstd.close()
	return first
}
