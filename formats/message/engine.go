package message

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Bounds of an engine. None of them changes the rows delivered; maxPending
// moves the ends of batches, and depends on nothing but the recording.
const (
	maxUnpacked = 256 << 20 // bytes of blocks unpacked at one time, one block excepted
	maxKept     = 16 << 20  // buffers of a block larger than this are not kept
	maxRetained = 32 << 20  // bytes of fragments kept for reuse
	maxPending  = 64 << 20  // bytes of all tables waiting for their batch to fill
	maxBatch    = 1 << 30   // largest batch size that can be asked for
	maxProblems = 1000      // problems kept apart, further ones are counted
)

// Config is what an engine has to know of a recording and of what is wanted.
type Config struct {
	Format string // name of the container format, for errors
	Object string // URI, for errors
	// Objects are the URIs of a recording of several objects, by Block.Object;
	// nil: there is one, Object.
	Objects []string
	// SignedTime tells that negative log times are what they seem, and not
	// numbers of 2^63 or more. A range from 0 then has no lower bound.
	SignedTime bool
	Walker     Walker // closed by the engine, also when NewEngine fails
	// Tables of the recording, selected or not, with distinct names.
	Tables []*Table
	// Channels holds for each channel the index of its table.
	Channels  []int32
	Selection pipeline.Selection
	Options   pipeline.DecodeOptions
}

// Engine decodes the blocks of a container: one goroutine fetches them,
// Options.Workers goroutines unpack and decode them into fragments, and the
// caller of Next puts the fragments back into order and cuts batches. It is a
// pipeline.Decoder.
//
// In LogOrder the record ordinals of a batch are not ascending, and no
// watermarks are sent: these speak of storage order.
type Engine struct {
	cfg       Config
	mem       arrow.Allocator
	batchRows int
	batchSize int64
	tables    []*tableState

	cancel context.CancelFunc
	wg     sync.WaitGroup
	order  chan *job // in order of Fetch
	work   chan *job
	free   chan *job
	budget budget

	mu       sync.Mutex // guards the free fragments of all tables
	retained int64

	// The rest belongs to the caller of Next.
	queue    []pipeline.Element
	head     int // of queue
	pending  []*tableState
	waiting  int64 // bytes of pending fragments
	object   int   // that blocks are of
	ordinal  int64 // of the next record of the object in storage order
	mark     int64 // last watermark sent
	unknown  pipeline.TableCounts
	problems []pipeline.Problem
	dropped  int64
	held     []*fragment // LogOrder: rows that may not go yet
	left     *job        // taken from order, but not merged
	ended    bool
	err      error
	closed   bool
}

var _ pipeline.Decoder = (*Engine)(nil)

// tableState is a table of the recording at work.
type tableState struct {
	*Table
	sel    *selected // nil: not selected
	index  int32
	counts pipeline.TableCounts

	free []*fragment // guarded by Engine.mu

	pending *fragment // rows of the next batch
	listed  bool      // in Engine.pending
}

// job is a block on its way, with what a worker made of it.
type job struct {
	block Block
	err   error
	done  chan struct{}
	cost  int64

	tallies   []tally
	fragments []*fragment
	bad       []badRow
}

// tally counts the messages of one table in one block.
type tally struct {
	table      int32
	wanted     int32 // messages to decode
	start      int32 // of these in the worker's lists
	found      int64
	unselected int64
	bytes      int64
	payloads   pipeline.PayloadCounts
}

// badRow is a message that was not decoded.
type badRow struct {
	table int32 // -1: of no known table
	row   uint32
	err   RowError
}

// uri names an object of the recording.
func (e *Engine) uri(object int) string {
	if object < len(e.cfg.Objects) {
		return e.cfg.Objects[object]
	}
	return e.cfg.Object
}

// NewEngine starts decoding. Close must be called.
func NewEngine(ctx context.Context, cfg Config) (*Engine, error) {
	e, err := newEngine(cfg)
	if err != nil {
		return nil, errors.Join(err, cfg.Walker.Close())
	}
	workers := max(cfg.Options.Workers, 1)
	ahead := workers + 2
	e.order = make(chan *job, ahead)
	e.work = make(chan *job, ahead)
	e.free = make(chan *job, ahead)
	for range ahead {
		e.free <- &job{done: make(chan struct{}, 1)}
	}
	ctx, e.cancel = context.WithCancel(ctx)
	e.wg.Add(1 + workers)
	go e.fetch(ctx)
	for range workers {
		go e.decode(ctx)
	}
	return e, nil
}

func newEngine(cfg Config) (*Engine, error) {
	e := &Engine{
		cfg:       cfg,
		mem:       cfg.Options.Allocator,
		batchRows: cfg.Options.BatchRows,
		batchSize: min(cfg.Options.BatchBytes, maxBatch),
		mark:      -1,
		unknown:   pipeline.TableCounts{Indexed: -1},
	}
	e.budget.freed = make(chan struct{}, 1)
	if e.mem == nil {
		e.mem = arrow.NewGoAllocator()
	}
	if e.batchRows <= 0 {
		e.batchRows = pipeline.DefaultBatchRows
	}
	if e.batchSize <= 0 {
		e.batchSize = pipeline.DefaultBatchBytes
	}
	byName := make(map[string]*tableState, len(cfg.Tables))
	for i, t := range cfg.Tables {
		s := &tableState{Table: t, index: int32(i)}
		s.counts = pipeline.TableCounts{Table: t.Name, Indexed: t.Indexed}
		byName[t.Name] = s
		e.tables = append(e.tables, s)
	}
	if cfg.Selection.Tables == nil {
		for _, t := range e.tables {
			var err error
			if t.sel, err = t.choose(t.Table.Table, nil, nil); err != nil {
				return nil, e.fail(0, t.Name, -1, -1, err)
			}
		}
		return e, nil
	}
	for _, s := range cfg.Selection.Tables {
		t := byName[s.Table.Name]
		switch {
		case t == nil:
			return nil, e.fail(0, s.Table.Name, -1, -1, fmt.Errorf("no such table: %w", pipeline.ErrSchema))
		case t.sel != nil:
			return nil, e.fail(0, s.Table.Name, -1, -1, fmt.Errorf("selected twice: %w", pipeline.ErrSchema))
		}
		var err error
		if t.sel, err = t.choose(s.Table, s.Columns, s.Payloads); err != nil {
			return nil, e.fail(0, t.Name, -1, -1, err)
		}
	}
	return e, nil
}

// fail says where decoding failed.
func (e *Engine) fail(object int, table string, offset, record int64, err error) error {
	var d *pipeline.DecodeError
	if errors.As(err, &d) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &pipeline.DecodeError{Object: e.uri(object), Format: e.cfg.Format, Table: table, Offset: offset, Record: record, Err: err}
}

// fetch runs ahead of the workers. It ends with a job that holds the error,
// io.EOF after the last block.
func (e *Engine) fetch(ctx context.Context) {
	defer e.wg.Done()
	defer close(e.work)
	defer close(e.order)
	for {
		var j *job
		select {
		case j = <-e.free:
		case <-ctx.Done():
			return
		}
		j.reset()
		if err := e.cfg.Walker.Fetch(ctx, &j.block); err != nil {
			j.err = err
			if !errors.Is(err, io.EOF) {
				j.err = e.fail(j.block.Object, "", j.block.Offset, -1, err)
			}
			j.done <- struct{}{}
			e.order <- j
			return
		}
		j.cost = int64(len(j.block.Stored)) + max(j.block.RawSize, 0)
		if !e.budget.acquire(ctx, j.cost) {
			return
		}
		e.order <- j // never blocks: there are no more jobs than places
		e.work <- j
	}
}

// reset empties a job and keeps its memory, other than large buffers.
func (j *job) reset() {
	b := &j.block
	j.block = Block{
		Stored:   keep(b.Stored),
		Buffer:   keep(b.Buffer),
		Records:  b.Records[:0],
		Problems: b.Problems[:0],
		Skipped:  b.Skipped[:0],
		Keep:     b.Keep[:0],
		Bad:      b.Bad[:0],
		Scratch:  b.Scratch,
	}
	if cap(b.Records) > maxKept/32 {
		j.block.Records = nil
	}
	clear(j.bad)
	clear(j.fragments)
	j.err, j.cost = nil, 0
	j.tallies, j.fragments, j.bad = j.tallies[:0], j.fragments[:0], j.bad[:0]
}

func keep(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}

// budget bounds the bytes of blocks between fetch and merge. One goroutine
// acquires.
type budget struct {
	mu    sync.Mutex
	used  int64
	freed chan struct{}
}

func (b *budget) acquire(ctx context.Context, n int64) bool {
	for {
		b.mu.Lock()
		ok := b.used == 0 || n <= maxUnpacked-b.used
		if ok {
			b.used += n
		}
		b.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-b.freed:
		case <-ctx.Done():
			return false
		}
	}
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	b.used -= n
	b.mu.Unlock()
	select {
	case b.freed <- struct{}{}:
	default:
	}
}

// Next returns the next batch or watermark.
func (e *Engine) Next(ctx context.Context) (pipeline.Element, error) {
	for {
		if e.err != nil {
			return pipeline.Element{}, e.err
		}
		if e.head < len(e.queue) {
			el := e.queue[e.head]
			e.queue[e.head] = pipeline.Element{}
			e.head++
			return el, nil
		}
		e.queue, e.head = e.queue[:0], 0
		if e.ended {
			e.err = io.EOF
			continue
		}
		if err := e.advance(ctx); err != nil {
			e.err = err
		}
	}
}

// advance merges one block.
func (e *Engine) advance(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var j *job
	select {
	case j = <-e.order:
	case <-ctx.Done():
		return ctx.Err()
	}
	if j == nil {
		return fmt.Errorf("decoding was cancelled: %w", context.Canceled)
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		e.left = j // a worker may still be at it
		return ctx.Err()
	}
	if errors.Is(j.err, io.EOF) {
		return e.end()
	}
	err := e.merge(j)
	e.budget.release(j.cost)
	e.discard(j)
	e.free <- j
	return err
}

// discard gives back fragments of a job that were not merged.
func (e *Engine) discard(j *job) {
	for i, f := range j.fragments {
		if f != nil {
			f.release()
			j.fragments[i] = nil
		}
	}
}

// Counts tells what became of the records merged so far, for every table of
// the recording. An entry without a name stands for messages of no known
// channel and for bytes that could not be read.
func (e *Engine) Counts() []pipeline.TableCounts {
	var out []pipeline.TableCounts
	for _, t := range e.tables {
		c := t.counts
		if e.ended && c.Indexed >= 0 {
			c.Lost = c.Indexed - c.Found
		}
		c.Rejected = copyCounts(c.Rejected)
		out = append(out, c)
	}
	if e.unknown.Found > 0 || e.unknown.LostBytes > 0 {
		c := e.unknown
		c.Rejected = copyCounts(c.Rejected)
		out = append(out, c)
	}
	return out
}

func copyCounts(m map[string]int64) map[string]int64 {
	if m == nil {
		return nil
	}
	c := make(map[string]int64, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// Problems lists the damage met so far.
func (e *Engine) Problems() []pipeline.Problem {
	out := slices.Clone(e.problems)
	if e.dropped > 0 {
		out = append(out, pipeline.Problem{Kind: "more_problems", Offset: -1, Detail: fmt.Sprintf("%d further problems", e.dropped)})
	}
	return out
}

func (e *Engine) problem(p pipeline.Problem) {
	if len(e.problems) < maxProblems {
		e.problems = append(e.problems, p)
		return
	}
	e.dropped++
}

// Close ends all goroutines and frees everything.
func (e *Engine) Close() error {
	if e.closed {
		return nil
	}
	e.closed = true
	e.cancel()
	e.wg.Wait()
	for j := range e.order {
		e.discard(j)
	}
	if e.left != nil {
		e.discard(e.left)
	}
	for _, el := range e.queue[e.head:] {
		if el.Batch != nil {
			el.Batch.Release()
		}
	}
	for _, f := range e.held {
		f.release()
	}
	for _, t := range e.tables {
		for _, f := range t.free {
			f.release()
		}
		if t.pending != nil {
			t.pending.release()
		}
		t.free, t.pending = nil, nil
	}
	e.queue, e.head, e.held, e.pending = nil, 0, nil, nil
	if e.err == nil || errors.Is(e.err, io.EOF) {
		e.err = errClosed
	}
	return e.cfg.Walker.Close()
}

var errClosed = errors.New("decoder is closed")

// deltaFits reports whether an ordinal can be told relative to first.
func deltaFits(first, last int64) bool { return last-first <= math.MaxUint32 }
