package parquet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// fileLag is how many row groups a file may be ahead of what is known about its
// size. Whether a row group still goes into a file is decided by the bytes of
// those up to fileLag before it, so that as many can be encoded at a time and
// the decision does not depend on how many workers there are.
const fileLag = 4

// sinkWriter writes one unit.
//
// Rows wait, by table and partition, until a row group is full. A worker then
// encodes it while others are filled; row groups of one partition are committed
// to their file in the order in which they were cut. Everything a worker does
// has ended when Finish or Abort returns.
type sinkWriter struct {
	sink   *sink
	opt    pipeline.SinkOptions
	tables map[*pipeline.Table]*lakeTable
	pool   *pool

	parts     map[partitionID]*partition
	last      *partition // where the row before went
	held      int64      // bytes of rows that wait in memory
	spill     pipeline.SpillFile
	published bool

	wg sync.WaitGroup
	mu sync.Mutex // guards what follows
	// err is the first failure; nothing is encoded after it.
	err      error
	files    []*lakeFile
	uploaded bool // a file was created
}

type partitionID struct {
	table *lakeTable
	dir   string
}

// partition is the directory of one table that receives rows.
type partition struct {
	partitionID
	values map[string]string
	rows   rows

	tasks []*task // one for each row group so far
	tail  *task   // what was started last
	file  *lakeFile
	first int // task that began the file
	files int
}

// task is work on a file that must wait for the one before it.
type task struct {
	done chan struct{}
	// bytes that the row group added to its file; read after done.
	bytes int64
}

func newSinkWriter(s *sink, tables map[*pipeline.Table]*lakeTable, opt pipeline.SinkOptions) *sinkWriter {
	if opt.Allocator == nil {
		opt.Allocator = arrow.NewGoAllocator()
	}
	return &sinkWriter{
		sink: s, opt: opt, tables: tables, pool: newPool(opt.Workers),
		parts: make(map[partitionID]*partition),
	}
}

// Write takes over the batch.
func (w *sinkWriter) Write(ctx context.Context, b *pipeline.Batch, acct *pipeline.Account) error {
	defer b.Release()
	t := w.tables[b.Table]
	if t == nil {
		return fmt.Errorf("table %s was not bound: %w", b.Table.Name, pipeline.ErrSchema)
	}
	if err := checkTypes(b.Table.Schema, b.Record); err != nil {
		return err
	}
	if err := w.add(ctx, t, b.Record, 0, b.Rows()); err != nil {
		return err
	}
	if w.opt.Memory > 0 && w.held > w.opt.Memory {
		return w.relieve()
	}
	return nil
}

// relieve moves waiting rows out of memory, those of the partitions that have
// most first, until half of what is allowed is free.
func (w *sinkWriter) relieve() error {
	if w.opt.Spill == nil {
		return fmt.Errorf("rows of %d open partitions hold %d bytes, allowed are %d, and there is no place to spill to: give the run more memory, a spill directory, or fewer partitions: %w",
			len(w.parts), w.held, w.opt.Memory, pipeline.ErrLimit)
	}
	if w.spill == nil {
		var err error
		if w.spill, err = w.opt.Spill.Open(); err != nil {
			return err
		}
	}
	parts := make([]*partition, 0, len(w.parts))
	for _, p := range w.parts {
		if p.rows.held > 0 {
			parts = append(parts, p)
		}
	}
	slices.SortFunc(parts, func(a, b *partition) int { return cmp.Compare(b.rows.held, a.rows.held) })
	for _, p := range parts {
		if w.held <= w.opt.Memory/2 {
			break
		}
		was := p.rows.held
		if err := p.rows.spill(w.spill); err != nil {
			return fmt.Errorf("table %s: %w", p.table.name, err)
		}
		w.held -= was
	}
	return nil
}

// forget gives the space of spilled rows back, when no worker reads them.
func (w *sinkWriter) forget() error {
	if w.spill == nil {
		return nil
	}
	f := w.spill
	w.spill = nil
	return f.Close()
}

// add puts rows [from, to) where they belong.
func (w *sinkWriter) add(ctx context.Context, t *lakeTable, rec arrow.Record, from, to int) error {
	for from < to {
		end := partitionRun(t.keys, rec, from, to)
		p := w.partition(t, rec, from)
		for from < end {
			var full bool
			before := p.rows.held
			from, full = p.rows.add(rec, from, end)
			w.held += p.rows.held - before
			if full {
				if err := w.cut(ctx, p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (w *sinkWriter) partition(t *lakeTable, rec arrow.Record, row int) *partition {
	dir, values := partitionOf(t.keys, w.opt.DriveDate, rec, row)
	id := partitionID{t, dir}
	if w.last != nil && w.last.partitionID == id {
		return w.last
	}
	p := w.parts[id]
	if p == nil {
		p = &partition{partitionID: id, values: values, rows: rows{
			mem: w.opt.Allocator, schema: t.plan.input, key: t.sort,
			limits: limits{w.sink.cfg.RowGroupRows, int64(w.sink.cfg.RowGroupBytes)},
		}}
		w.parts[id] = p
	}
	w.last = p
	return p
}

// cut makes a row group of the rows of p and hands it to a worker.
func (w *sinkWriter) cut(ctx context.Context, p *partition) error {
	if err := w.choose(ctx, p); err != nil {
		return err
	}
	if err := w.pool.acquire(ctx); err != nil {
		return err
	}
	if err := w.failure(); err != nil {
		w.pool.release()
		return err
	}
	if p.file == nil {
		p.file = w.newFile(ctx, p)
	}
	w.held -= p.rows.held
	recs, err := p.rows.take()
	if err != nil {
		w.pool.release()
		return err
	}
	t := &task{done: make(chan struct{})}
	file, before := p.file, p.tail
	p.tasks = append(p.tasks, t)
	p.tail = t
	w.wg.Go(func() {
		defer close(t.done)
		defer w.pool.release()
		g, err := file.encode(w.opt.Allocator, recs, w.pool)
		recs.release()
		before.wait()
		if err != nil {
			w.fail(fmt.Errorf("table %s: encoding a row group: %w", p.table.name, err))
			return
		}
		if w.failure() != nil {
			return
		}
		if t.bytes, err = file.commit(g); err != nil {
			w.fail(fmt.Errorf("writing %s: %w", file.key, err))
		}
	})
	return nil
}

// choose ends the file of p when it has grown enough.
func (w *sinkWriter) choose(ctx context.Context, p *partition) error {
	known := len(p.tasks) - fileLag
	if p.file == nil || known < p.first {
		return nil
	}
	sum := int64(0)
	for _, t := range p.tasks[p.first : known+1] {
		select {
		case <-t.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		sum += t.bytes
	}
	if sum >= int64(w.sink.cfg.FileBytes) {
		w.end(ctx, p)
	}
	return nil
}

// end writes the footer of the file of p behind its row groups.
func (w *sinkWriter) end(ctx context.Context, p *partition) {
	t := &task{done: make(chan struct{})}
	file, before := p.file, p.tail
	p.file, p.tail, p.first = nil, t, len(p.tasks)
	w.wg.Go(func() {
		defer close(t.done)
		before.wait()
		if w.failure() != nil {
			return
		}
		if err := file.finish(ctx); err != nil {
			w.fail(fmt.Errorf("finishing %s: %w", file.key, err))
		}
	})
}

func (t *task) wait() {
	if t != nil {
		<-t.done
	}
}

func (w *sinkWriter) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

func (w *sinkWriter) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *sinkWriter) failpoint(name string) error {
	if w.opt.Failpoint == nil {
		return nil
	}
	return w.opt.Failpoint(name)
}

// Finish encodes what is left, table by table: the rows of many small tables
// never lie encoded and decoded in memory at the same time.
func (w *sinkWriter) Finish(ctx context.Context, _ *pipeline.Account) ([]pipeline.File, error) {
	parts := make([]*partition, 0, len(w.parts))
	for _, p := range w.parts {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b *partition) int {
		return strings.Compare(a.table.name+"/"+a.dir, b.table.name+"/"+b.dir)
	})
	var err error
	for _, p := range parts {
		if p.rows.n > 0 {
			if err = w.cut(ctx, p); err != nil {
				break
			}
		}
		if p.file != nil {
			w.end(ctx, p)
		}
	}
	w.wg.Wait()
	if failed := w.failure(); failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	if err := w.forget(); err != nil {
		return nil, err
	}
	slices.SortFunc(w.files, func(a, b *lakeFile) int { return strings.Compare(a.key, b.key) })
	out := make([]pipeline.File, len(w.files))
	for i, f := range w.files {
		out[i] = f.result
	}
	return out, nil
}

// Publish makes the files visible in the order of their keys.
func (w *sinkWriter) Publish(ctx context.Context) error {
	if err := w.failpoint("publish:before"); err != nil {
		return err
	}
	for i, f := range w.files {
		if i > 0 {
			if err := w.failpoint("publish:between"); err != nil {
				return err
			}
		}
		if err := f.object.Publish(ctx); err != nil {
			return fmt.Errorf("publishing %s: %w", f.key, err)
		}
	}
	if err := w.failpoint("publish:after"); err != nil {
		return err
	}
	w.published = true
	return nil
}

// errAborted stops the workers of an aborted writer.
var errAborted = errors.New("writing was aborted")

// Abort removes what was not published.
func (w *sinkWriter) Abort(ctx context.Context) error {
	if w.published {
		return nil
	}
	w.fail(errAborted)
	w.wg.Wait()
	for _, p := range w.parts {
		p.rows.drop()
	}
	clear(w.parts)
	w.last = nil
	errs := []error{w.forget()}
	for _, f := range w.files {
		if f.object != nil {
			if err := f.object.Abort(ctx); err != nil {
				errs = append(errs, fmt.Errorf("aborting %s: %w", f.key, err))
			}
		}
	}
	return errors.Join(errs...)
}
