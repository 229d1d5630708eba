package mdf4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Memory that the values of variable length of one data group, and the reads
// ahead of all groups, may take.
const (
	viewTotal   = 64 << 20
	windowTotal = 64 << 20
	windowMax   = 4 << 20
)

// decoder delivers data group after data group; in order of time, one cursor
// for each goes on at the same pace.
type decoder struct {
	f     *file
	uri   string
	start anchor
	sel   pipeline.Selection
	opt   pipeline.DecodeOptions
	mem   arrow.Allocator

	workers    int
	batchRows  int
	batchBytes int64
	window     int64
	bounded    bool

	plans    []func() cursor // in storage order
	cursors  []*lane         // all, by time
	current  *lane
	rows     []*rows
	dict     *pipeline.TableCounts // of the dictionary of signals
	into     *[]timedBatch         // where batches go
	problems []pipeline.Problem
	pending  []pipeline.Element
	err      error
	closed   bool
	cancel   context.CancelFunc
}

// lane is a cursor with the batches it has made.
type lane struct {
	c    cursor
	out  []timedBatch
	end  bool
	gone bool
}

type timedBatch struct {
	batch *pipeline.Batch
	from  int64
}

func (f *Format) newDecoder(ctx context.Context, ix *index, uri string, sel pipeline.Selection, opt pipeline.DecodeOptions) (*decoder, error) {
	d := &decoder{
		f: ix.file, uri: uri, start: ix.anchor, sel: sel, opt: opt, mem: opt.Allocator,
		workers: max(1, opt.Workers), batchRows: opt.BatchRows, batchBytes: opt.BatchBytes, window: windowMax,
		bounded: sel.From != 0 || sel.To != 0,
	}
	if d.mem == nil {
		d.mem = arrow.NewGoAllocator()
	}
	if d.batchRows <= 0 {
		d.batchRows = pipeline.DefaultBatchRows
	}
	if d.batchBytes <= 0 {
		d.batchBytes = pipeline.DefaultBatchBytes
	}
	wanted := make(map[string]pipeline.TableSelection)
	for _, s := range sel.Tables {
		known := slices.ContainsFunc(ix.tables, func(t *table) bool { return t.Name == s.Table.Name })
		if !known && (ix.dict == nil || ix.dict.Name != s.Table.Name) {
			return nil, d.fail(s.Table.Name, -1, -1, fmt.Errorf("there is no such table: %w", pipeline.ErrSchema))
		}
		wanted[s.Table.Name] = s
	}
	byGroup := make(map[*group]*table)
	for _, t := range ix.tables {
		byGroup[t.g] = t
	}
	ctx, d.cancel = context.WithCancel(ctx)
	groups := 0
	for _, dg := range ix.file.groups {
		outs := make(map[*group]*rows)
		scale := int64(1)
		for _, g := range dg.groups {
			if t := byGroup[g]; t != nil {
				scale = max(scale, int64(len(t.long)))
			}
		}
		for _, g := range dg.groups {
			t := byGroup[g]
			if t == nil {
				continue
			}
			s, ok := wanted[t.Name]
			if !ok && sel.Tables != nil {
				continue
			}
			b, err := newRows(d, t, s, d.bounded)
			if err != nil {
				d.release()
				return nil, err
			}
			b.scale = scale
			outs[g] = b
			d.rows = append(d.rows, b)
		}
		if len(outs) == 0 {
			continue
		}
		groups++
		if len(dg.groups) > 1 {
			d.plans = append(d.plans, func() cursor { return newUnsorted(ctx, d, dg, outs) })
			continue
		}
		for g, b := range outs {
			d.plans = append(d.plans, func() cursor { return newSorted(ctx, d, byGroup[g], b) })
		}
	}
	if ix.dict != nil {
		if s, ok := wanted[ix.dict.Name]; ok || sel.Tables == nil {
			c, err := d.openDictionary(ix.dict, s)
			if err != nil {
				d.release()
				return nil, err
			}
			d.plans = append(d.plans, func() cursor { return c })
		}
	}
	if sel.Order == pipeline.LogOrder && groups > 1 {
		// All cursors are open at once.
		d.window = max(windowMin, min(windowMax, windowTotal/int64(groups)))
		d.batchBytes = max(64<<10, min(d.batchBytes, 8*d.batchBytes/int64(groups)))
		d.workers = 1
	}
	return d, nil
}

// viewBudget is how much each of n streams of values may hold.
func (d *decoder) viewBudget(n int) int64 {
	return viewTotal / int64(max(1, n)*max(1, len(d.cursors)))
}

// Next implements pipeline.Decoder.
func (d *decoder) Next(ctx context.Context) (pipeline.Element, error) {
	for {
		if len(d.pending) > 0 {
			e := d.pending[0]
			d.pending = d.pending[1:]
			return e, nil
		}
		if d.err != nil {
			return pipeline.Element{}, d.err
		}
		if err := ctx.Err(); err != nil {
			d.err = err
			continue
		}
		var err error
		if d.sel.Order == pipeline.LogOrder {
			err = d.nextByTime(ctx)
		} else {
			err = d.nextStored(ctx)
		}
		if err != nil {
			d.err = err
		}
	}
}

// nextStored goes on with the data group at hand.
func (d *decoder) nextStored(ctx context.Context) error {
	if d.current == nil {
		if len(d.plans) == 0 {
			return io.EOF
		}
		d.current = &lane{c: d.plans[0]()}
		d.plans = d.plans[1:]
	}
	l := d.current
	d.into = &l.out
	err := l.c.step(ctx)
	end := errors.Is(err, io.EOF)
	if d.opt.Steps && (err == nil || end) {
		l.c.flush()
	}
	for _, b := range l.out {
		d.pending = append(d.pending, pipeline.Element{Batch: b.batch})
	}
	clear(l.out)
	l.out = l.out[:0]
	if err != nil && !end {
		return err
	}
	if d.opt.Steps {
		mark := l.c.mark()
		d.pending = append(d.pending, pipeline.Element{Mark: pipeline.Watermark{Object: d.opt.Object, Record: mark}})
	}
	if end {
		l.c.close()
		l.gone = true
		d.current = nil
	}
	return nil
}

// nextByTime delivers, of the first batch of each cursor, the one that begins
// first.
func (d *decoder) nextByTime(ctx context.Context) error {
	if d.cursors == nil {
		d.cursors = make([]*lane, len(d.plans))
		for i, p := range d.plans {
			d.cursors[i] = &lane{c: p()}
		}
	}
	var least *lane
	for _, l := range d.cursors {
		for len(l.out) == 0 && !l.end {
			d.into = &l.out
			err := l.c.step(ctx)
			if errors.Is(err, io.EOF) {
				l.end = true
				l.c.close()
				l.gone = true
			} else if err != nil {
				return err
			}
		}
		if len(l.out) > 0 && (least == nil || l.out[0].from < least.out[0].from) {
			least = l
		}
	}
	if least == nil {
		return io.EOF
	}
	d.pending = append(d.pending, pipeline.Element{Batch: least.out[0].batch})
	least.out[0].batch = nil
	least.out = least.out[1:]
	return nil
}

// emit takes a batch from a cursor.
func (d *decoder) emit(b *pipeline.Batch, from int64) {
	*d.into = append(*d.into, timedBatch{b, from})
}

func (d *decoder) tell(p pipeline.Problem) {
	if len(d.problems) < 10000 {
		d.problems = append(d.problems, p)
	}
}

// fail says where decoding ended.
func (d *decoder) fail(table string, offset, record int64, err error) error {
	return &pipeline.DecodeError{Object: d.uri, Format: Name, Table: table, Offset: offset, Record: record, Err: err}
}

// located adds the place to an error, but for that of a cancelled context.
func (d *decoder) located(table string, record int64, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return d.fail(table, -1, record, err)
}

// Counts implements pipeline.Decoder.
func (d *decoder) Counts() []pipeline.TableCounts {
	out := make([]pipeline.TableCounts, len(d.rows))
	for i, b := range d.rows {
		out[i] = b.counts
		if b.long != nil {
			out[i] = longCounts(b.counts, int64(len(b.t.long)))
		}
	}
	if d.dict != nil {
		out = append(out, *d.dict)
	}
	return out
}

// longCounts are the counts of records as those of rows, of which each record has
// m.
func longCounts(c pipeline.TableCounts, m int64) pipeline.TableCounts {
	c.Found, c.Decoded, c.Unselected = c.Found*m, c.Decoded*m, c.Unselected*m
	if c.Indexed >= 0 {
		c.Indexed = longTotal(c.Indexed, m)
		c.Lost = max(0, c.Indexed-c.Found)
	}
	return c
}

// longTotal is n*m, at most 2^62: n is a claim.
func longTotal(n, m int64) int64 {
	if m > 0 && n > 1<<62/m {
		return 1 << 62
	}
	return n * m
}

// Problems implements pipeline.Decoder.
func (d *decoder) Problems() []pipeline.Problem { return slices.Clone(d.problems) }

// Close implements pipeline.Decoder.
func (d *decoder) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	d.cancel()
	for _, e := range d.pending {
		if e.Batch != nil {
			e.Batch.Release()
		}
	}
	lanes := d.cursors
	if d.current != nil {
		lanes = append(lanes, d.current)
	}
	for _, l := range lanes {
		for _, b := range l.out {
			if b.batch != nil {
				b.batch.Release()
			}
		}
		if !l.gone {
			l.c.close()
		}
	}
	d.release()
	return nil
}

// release frees what cursors that never began would have freed.
func (d *decoder) release() {
	for _, b := range d.rows {
		b.release()
	}
	d.cancel()
}
