package drivestats

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// decoder delivers one block as one batch. With one worker it works when it is
// asked; with more, each worker in turn cuts a block off the file and then
// parses it, and the queue keeps the order in which they were cut.
type decoder struct {
	object pipeline.Object
	index  int // of the object in the unit
	sel    *selection
	day    int32
	named  bool
	steps  bool
	reject func(pipeline.BadRow) error
	in     *input

	cut    *cutter
	parser *parser // of the only worker
	one    *block

	cancel context.CancelFunc
	wg     sync.WaitGroup
	blocks []*block
	queue  chan *block
	free   chan *block

	counts   pipeline.TableCounts
	problems []pipeline.Problem
	repeated int64
	replaced int64
	differs  int64
	mark     *pipeline.Element
	err      error
	closed   bool
}

// newDecoder starts decoding. It takes over in.
func newDecoder(ctx context.Context, cancel context.CancelFunc, src pipeline.Source, in *input, cut *cutter, sel *selection, opt pipeline.DecodeOptions) *decoder {
	d := &decoder{
		object: src.Object(), index: opt.Object, sel: sel, steps: opt.Steps, reject: opt.Reject,
		in: in, cut: cut, cancel: cancel,
		counts: pipeline.TableCounts{Table: TableName, Indexed: -1, Rejected: map[string]int64{}, NullCells: map[string]int64{}},
	}
	d.day, d.named = dayOf(d.object.Key)
	mem := opt.Allocator
	if mem == nil {
		mem = arrow.NewGoAllocator()
	}
	zeros := newNulls(cut.rows)
	newParser := func() *parser {
		return &parser{
			sel: sel, mem: mem, nulls: zeros, nullCells: opt.NullCells, eol: cut.eol,
			day: d.day, named: d.named, columns: newCells(sel.kinds, mem),
		}
	}
	if opt.Workers <= 1 || cut.ended {
		d.parser, d.one = newParser(), &block{}
		d.blocks = []*block{d.one}
		return d
	}
	n := opt.Workers + 2
	d.queue, d.free = make(chan *block, n), make(chan *block, n)
	for range n {
		b := &block{done: make(chan struct{}, 1)}
		d.blocks = append(d.blocks, b)
		d.free <- b
	}
	var turn sync.Mutex
	for range opt.Workers {
		d.wg.Add(1)
		go func() {
			defer d.wg.Done()
			d.work(ctx, newParser(), &turn)
		}()
	}
	return d
}

// work cuts and parses blocks until the file ends. The queue has room for all
// blocks, so that sending to it never waits.
func (d *decoder) work(ctx context.Context, p *parser, turn *sync.Mutex) {
	for {
		var b *block
		select {
		case b = <-d.free:
		case <-ctx.Done():
			return
		}
		turn.Lock()
		wasEnded := d.cut.ended
		err := d.cut.next(b)
		if err == nil {
			d.queue <- b
		}
		if d.cut.ended && !wasEnded {
			close(d.queue)
		}
		turn.Unlock()
		if err != nil {
			return
		}
		p.parse(b)
		b.done <- struct{}{}
	}
}

// Next implements pipeline.Decoder.
func (d *decoder) Next(ctx context.Context) (pipeline.Element, error) {
	if m := d.mark; m != nil {
		d.mark = nil
		return *m, nil
	}
	for d.err == nil {
		b, err := d.await(ctx)
		if err != nil {
			d.err = err
			break
		}
		e, ok, err := d.deliver(b)
		if d.free != nil {
			d.free <- b
		}
		if err != nil {
			d.err = err
		}
		if ok {
			return e, nil
		}
	}
	return pipeline.Element{}, d.err
}

// await returns the next block, parsed.
func (d *decoder) await(ctx context.Context) (*block, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d.one != nil {
		if err := d.cut.next(d.one); err != nil {
			return nil, err
		}
		d.parser.parse(d.one)
		return d.one, nil
	}
	var b *block
	select {
	case next, ok := <-d.queue:
		if !ok {
			return nil, io.EOF
		}
		b = next
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-b.done:
		return b, nil
	case <-ctx.Done():
		// The worker still has it; Close frees its record.
		return nil, ctx.Err()
	}
}

// deliver counts what became of a block and makes its batch, if it has rows.
// The batch comes before the error, if there are both.
func (d *decoder) deliver(b *block) (e pipeline.Element, ok bool, err error) {
	r := &b.out
	base := d.counts.Found
	record := r.record
	r.record = nil
	defer func() {
		if !ok && record != nil {
			record.Release()
		}
	}()
	for i := range r.bad {
		if err := d.refuse(b, &r.bad[i], base); err != nil {
			return e, false, err
		}
	}
	d.counts.Found += int64(r.found)
	d.counts.Decoded += int64(r.rows)
	d.counts.Unselected += int64(r.unselected)
	d.counts.LostBytes += b.lost
	d.counts.Bytes += r.bytes
	for _, bad := range r.bad {
		d.counts.Rejected[bad.fault.reason()]++
	}
	for i, n := range r.nullCells {
		if n > 0 {
			d.counts.NullCells[d.sel.names[i]] += n
		}
	}
	d.repeated += int64(r.repeated)
	d.replaced += r.replaced
	d.differs += r.differs
	d.problems = append(d.problems, b.problems...)
	if b.err != nil {
		err = d.fail(b.offset, -1, b.err)
	}
	if d.steps && err == nil {
		m := pipeline.Element{Mark: pipeline.Watermark{Object: d.index, Record: d.counts.Found}}
		if record == nil {
			return m, true, nil
		}
		d.mark = &m
	}
	if record == nil {
		return e, false, err
	}
	origin := pipeline.Origin{Object: d.index, First: base}
	if r.deltas != nil {
		first := r.deltas[0]
		for i := range r.deltas {
			r.deltas[i] -= first
		}
		origin.First, origin.Deltas = base+int64(first), r.deltas
	}
	return pipeline.Element{Batch: &pipeline.Batch{Table: d.sel.table, Record: record, Origin: origin}}, true, err
}

// refuse hands a bad row over, or ends decoding where nobody takes it.
func (d *decoder) refuse(b *block, bad *badRow, base int64) error {
	row := pipeline.BadRow{
		Table: TableName, Object: d.object.URI,
		Record: base + int64(bad.record), Offset: b.offset + int64(bad.start),
		Reason: bad.fault.reason(), Raw: b.text[bad.start:bad.end],
	}
	line := b.line + int64(bad.line)
	switch bad.fault {
	case faultFields:
		row.Err = fmt.Errorf("line %d has %d cells where the header has %d: %w", line, bad.detail, len(b.plan.ops), pipeline.ErrCorrupt)
	case faultQuote:
		row.Err = fmt.Errorf("line %d has a quoted cell without end: %w", line, pipeline.ErrCorrupt)
	default:
		row.Column = b.plan.header.names[bad.detail]
		row.Err = fmt.Errorf("line %d: a cell of column %s is no %s: %w", line, row.Column, b.plan.ops[bad.detail].kind.arrowType(), pipeline.ErrCorrupt)
	}
	if d.reject == nil {
		return d.fail(row.Offset, row.Record, row.Err)
	}
	return d.reject(row)
}

// fail says where decoding ended.
func (d *decoder) fail(offset, record int64, err error) error {
	return &pipeline.DecodeError{Object: d.object.URI, Format: formatName, Table: TableName, Offset: offset, Record: record, Err: err}
}

// Counts implements pipeline.Decoder.
func (d *decoder) Counts() []pipeline.TableCounts { return []pipeline.TableCounts{d.counts} }

// Problems implements pipeline.Decoder.
func (d *decoder) Problems() []pipeline.Problem {
	out := append([]pipeline.Problem(nil), d.problems...)
	add := func(n int64, kind, format string, args ...any) {
		if n > 0 {
			out = append(out, pipeline.Problem{Kind: kind, Table: TableName, Offset: -1, Rows: n, Detail: fmt.Sprintf(format, args...)})
		}
	}
	day := dateString(d.day)
	add(d.repeated, "repeated_header", "%d header lines in the middle of the file are not rows", d.repeated)
	add(d.replaced, "date_replaced", "%d rows have no date within a day of the file's name; %s was taken", d.replaced, day)
	add(d.differs, "date_differs", "%d rows have a date next to %s, the day of the file's name, and keep it", d.differs, day)
	return out
}

// Close implements pipeline.Decoder.
func (d *decoder) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	d.cancel()
	d.wg.Wait()
	for _, b := range d.blocks {
		if b.out.record != nil {
			b.out.record.Release()
			b.out.record = nil
		}
	}
	return d.in.Close()
}
