package mdf4

import (
	"context"
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// blockRows is how many records are decoded at once, so that they and what is
// made of them stay in the cache.
const blockRows = 1024

// rows collects the decoded rows of one table into batches. One cursor feeds it.
type rows struct {
	t      *table
	as     *pipeline.Table // as delivered
	dec    *decoder
	cols   []*column.Column
	ops    []*op // those that may fail first
	master *op   // for the time of rows; nil where nobody asks
	clock  *column.Column
	wall   *column.Column
	need   []bool // parts that some op reads
	object int

	n        int   // rows in cols
	first    int64 // ordinal of row 0
	next     int64 // ordinal that row n has if records are consecutive
	deltas   []uint32
	sparse   bool
	from     int64 // time of the first row
	bytes    int64
	times    []int64
	timed    []bool
	untimed  int64 // rows whose time is none
	counts   pipeline.TableCounts
	backward bool // times that go back
	last     int64
	sub      run
	long     *longRows // nil for the wide layout
	scale    int64     // ordinals of one record
	most     int       // records of a batch
}

// newRows compiles what sel selects of t.
func newRows(d *decoder, t *table, sel pipeline.TableSelection, bounded bool) (*rows, error) {
	b := &rows{t: t, as: sel.Table, dec: d, object: d.opt.Object, last: math.MinInt64}
	if b.as == nil {
		b.as = t.Table
	}
	b.counts = pipeline.TableCounts{Table: t.Name, Indexed: t.rows, Rejected: map[string]int64{}, NullCells: map[string]int64{}}
	want := make(map[string]bool, len(sel.Columns))
	for _, c := range sel.Columns {
		if t.Column(c) < 0 {
			return nil, b.dec.fail(t.Name, -1, -1, errNoColumn(t.Name, c))
		}
		want[c] = true
	}
	b.need, b.scale, b.most = make([]bool, len(t.parts)), 1, d.batchRows
	byChannel := make(map[*source]*op)
	var fields []arrow.Field
	for _, f := range t.Schema.Fields() {
		if sel.Columns == nil || want[f.Name] {
			fields = append(fields, f)
		}
	}
	all := sel.Columns == nil
	if t.wide != nil {
		want, all = b.newLong(d, t, want, all), false
		b.most = max(1, d.batchRows/max(1, len(t.long)))
	}
	at := make(map[int]int)
	for i, def := range t.columns {
		if !all && !want[def.field.Name] {
			continue
		}
		c := column.New(d.mem, def.field.Type)
		at[i] = len(b.cols)
		b.cols = append(b.cols, c)
		switch def.role {
		case roleTime:
			b.clock = c
			continue
		case roleWall:
			b.wall = c
			continue
		}
		o := byChannel[def.src]
		if o == nil {
			o = newOp(def.src, d.mem, t.f.lim.Value)
			byChannel[def.src] = o
			b.ops = append(b.ops, o)
		}
		switch def.role {
		case roleValue:
			o.value = c
		case roleRaw:
			o.raw = c
		case roleLabel:
			o.label = c
		case roleRe:
			o.re = c
		case roleIm:
			o.im = c
		case roleIDE:
			o.ide = c
		case roleLength:
			o.length = c
		}
	}
	if b.long != nil {
		b.long.settle(t, at, b.clock, b.wall)
	}
	if t.master != nil && (b.clock != nil || b.wall != nil || bounded) {
		b.master = newOp(t.master, d.mem, t.f.lim.Value)
	}
	if len(fields) < t.Schema.NumFields() || !b.as.Schema.Equal(t.Schema) {
		b.as = b.as.With(arrow.NewSchema(fields, nil))
		b.as.Clocks = slices.DeleteFunc(slices.Clone(b.as.Clocks), func(c pipeline.Clock) bool { return b.as.Column(c.Column) < 0 })
	}
	slices.SortStableFunc(b.ops, func(x, y *op) int {
		switch {
		case x.varying() == y.varying():
			return 0
		case x.varying():
			return -1
		}
		return 1
	})
	b.each(func(o *op) {
		b.need[o.s.part] = true
		if o.s.nullable {
			b.need[o.s.invalPart] = true
		}
	})
	if !slices.Contains(b.need, true) && len(b.need) > 0 {
		b.need[0] = true // to count rows by
	}
	return b, nil
}

// each calls fn for all ops, those of lengths included.
func (b *rows) each(fn func(*op)) {
	for _, o := range b.ops {
		fn(o)
		if o.lens != nil {
			fn(o.lens)
		}
	}
	if b.master != nil {
		fn(b.master)
	}
}

// streams counts the ops that read values from a stream of their own.
func (b *rows) streams() int {
	n := 0
	for _, o := range b.ops {
		if o.s.store == inStream || o.s.store == inBare {
			n++
		}
	}
	return n
}

// open gives the ops their streams of values.
func (b *rows) open(budget int64) {
	f := b.dec.f // reads what this decoder was opened for
	for _, o := range b.ops {
		if (o.s.store == inStream || o.s.store == inBare) && o.s.record == nil && o.s.link != 0 {
			o.view = newView(f.newSegments(newWindow(f.src, budget/4), o.s.link), budget)
		}
	}
}

// add decodes the records of a run. Their ordinals are first, first+1, ... or,
// where it is not nil, those of the list.
func (b *rows) add(ctx context.Context, r *run, first int64, ordinals []int64) error {
	b.counts.Found += int64(r.n)
	if b.master != nil {
		b.readTimes(r)
	}
	at := 0
	for at < r.n {
		to := r.n
		if b.dec.bounded {
			for at < r.n && !b.inRange(at) {
				at++
				b.counts.Unselected++
			}
			if at == r.n {
				break
			}
			for to = at + 1; to < r.n && b.inRange(to); to++ {
			}
		}
		for at < to {
			done, err := b.block(ctx, r, at, min(to-at, b.most-b.n), first, ordinals)
			if err != nil {
				return err
			}
			at += done
			if b.full() {
				b.flush()
			}
		}
	}
	return nil
}

func (b *rows) full() bool { return b.n >= b.most || b.bytes >= b.dec.batchBytes }

// readTimes computes the times of all records of a run.
func (b *rows) readTimes(r *run) {
	secs := b.master.floats(r)
	b.times, b.timed = b.times[:0], b.timed[:0]
	for _, s := range secs {
		ns, ok := addSeconds(b.dec.start.start, s)
		b.times, b.timed = append(b.times, ns), append(b.timed, ok)
		if ok {
			if ns < b.last {
				b.backward = true
			}
			b.last = ns
		} else {
			b.untimed++
		}
	}
}

// inRange reports whether record i lies in the time range. Times on a wall
// clock of no known zone, and no times, lie in none.
func (b *rows) inRange(i int) bool {
	if b.master == nil || !b.timed[i] || !b.dec.start.utc {
		return b.master == nil
	}
	at := b.times[i]
	return at >= b.dec.sel.From && (b.dec.sel.To == 0 || at < b.dec.sel.To)
}

// block decodes up to n records from the k-th of a run on and returns how many
// it dealt with.
func (b *rows) block(ctx context.Context, r *run, k, n int, first int64, ordinals []int64) (int, error) {
	if b.n > 0 {
		// Ordinals of a batch span less than 2^32.
		for n > 1 && ordinal(first, ordinals, k+n-1)-b.first > math.MaxUint32/b.scale-1 {
			n /= 2
		}
		if ordinal(first, ordinals, k+n-1)-b.first > math.MaxUint32/b.scale-1 {
			b.flush()
		}
	}
	sub := r.from(k, n, &b.sub)
	for i, o := range b.ops {
		if !o.varying() {
			break
		}
		o.room = max(1, b.dec.batchBytes-b.bytes)
		done, err := o.append(ctx, sub)
		bad, ok := asValueError(err)
		if err != nil && !ok {
			return 0, err
		}
		if bad != nil && done == 0 && (b.dec.opt.NullCells || b.long != nil) {
			// The rest of this row is good.
			b.counts.NullCells[o.s.ch.fullName()]++
			b.truncate(b.ops[:i], 1)
			o.targets(func(c *column.Column) { c.AppendNull() })
			n = 1
		} else if done < n {
			b.truncate(b.ops[:i], done)
			n = done
		}
		sub = r.from(k, n, &b.sub)
		if n == 0 {
			return 1, b.refuse(o, bad, ordinal(first, ordinals, k))
		}
	}
	for _, o := range b.ops {
		if !o.varying() {
			if _, err := o.append(ctx, sub); err != nil {
				return 0, err
			}
		}
	}
	b.appendTimes(k, n)
	b.origins(k, n, first, ordinals)
	b.counts.Decoded += int64(n)
	b.size()
	return n, nil
}

// truncate drops what ops appended beyond n more rows.
func (b *rows) truncate(ops []*op, n int) {
	for _, o := range ops {
		o.targets(func(c *column.Column) { c.Truncate(b.n + n) })
	}
}

func ordinal(first int64, ordinals []int64, k int) int64 {
	if ordinals != nil {
		return ordinals[k]
	}
	return first + int64(k)
}

// refuse hands over a row of which a cell cannot be read.
func (b *rows) refuse(o *op, bad *valueError, record int64) error {
	b.counts.Rejected[bad.reason]++
	row := pipeline.BadRow{Table: b.t.Name, Object: b.dec.uri, Record: b.place(record), Offset: -1, Column: o.s.ch.fullName(), Reason: bad.reason, Err: bad.err}
	if b.dec.opt.Reject == nil {
		return b.dec.fail(b.t.Name, -1, record, bad.err)
	}
	return b.dec.opt.Reject(row)
}

func (b *rows) appendTimes(k, n int) {
	for _, c := range []*column.Column{b.clock, b.wall} {
		if c == nil {
			continue
		}
		if c == b.clock && !b.dec.start.utc {
			c.AppendNulls(n)
			continue
		}
		c.Grow(8 * n)
		for i := k; i < k+n; i++ {
			if b.timed[i] {
				c.AppendInt64(b.times[i])
				continue
			}
			c.AppendNull()
			name := timeColumn
			if c == b.wall {
				name = nativeColumn
			}
			b.counts.NullCells[name]++
		}
	}
	if b.n == 0 && b.master != nil {
		b.from = b.times[k]
	}
}

// origins notes the ordinals of n more rows.
func (b *rows) origins(k, n int, first int64, ordinals []int64) {
	if b.n == 0 {
		b.first = ordinal(first, ordinals, k)
		b.next = b.first
	}
	for i := range n {
		at := ordinal(first, ordinals, k+i)
		if at != b.next && !b.sparse {
			b.sparse = true
			for j := range b.n + i {
				b.deltas = append(b.deltas, uint32(j))
			}
		}
		if b.sparse {
			b.deltas = append(b.deltas, uint32(at-b.first))
		}
		b.next = at + 1
	}
	b.n += n
}

// size counts the bytes held.
func (b *rows) size() {
	b.bytes = 0
	for _, c := range b.cols {
		b.bytes += c.Bytes()
	}
}

// flush delivers the rows held.
func (b *rows) flush() {
	if b.n == 0 {
		return
	}
	if b.long != nil {
		b.flushLong()
	} else {
		b.flushWide()
	}
	b.n, b.bytes, b.deltas, b.sparse = 0, 0, nil, false
}

// flushWide makes a batch of the rows held.
func (b *rows) flushWide() {
	arrs := make([]arrow.Array, len(b.cols))
	for i, c := range b.cols {
		arrs[i] = c.Finish()
	}
	rec := arrow.NewRecord(b.as.Schema, arrs, int64(b.n))
	for _, a := range arrs {
		a.Release()
	}
	origin := pipeline.Origin{Object: b.object, First: b.place(b.first)}
	switch {
	case b.sparse:
		origin.Deltas = b.deltas
		for i := range b.deltas {
			b.deltas[i] *= uint32(b.scale)
		}
	case b.scale > 1:
		origin.Deltas = make([]uint32, b.n)
		for i := range origin.Deltas {
			origin.Deltas[i] = uint32(i) * uint32(b.scale)
		}
	}
	b.dec.emit(&pipeline.Batch{Table: b.as, Record: rec, Origin: origin}, b.from)
}

// place is the ordinal of a record as it is delivered: where tables of the data
// group have the long layout, each record has an ordinal for each signal.
func (b *rows) place(ordinal int64) int64 { return scaled(ordinal, b.scale) }

func scaled(ordinal, scale int64) int64 {
	base := ordinal &^ (1<<originShift - 1)
	return base + (ordinal-base)*scale
}

func (b *rows) release() {
	if b.long != nil {
		b.long.release()
	}
	for _, c := range b.cols {
		c.Release()
	}
	for _, o := range b.ops {
		o.release()
	}
	if b.master != nil {
		b.master.release()
	}
}
