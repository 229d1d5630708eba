package points

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// sink is a column of points that is being filled: of a column of the output,
// or of the elements of one.
type sink struct {
	*column.Column
}

// extend makes room for n more values of a fixed width and returns their bytes.
func (s sink) extend(n int) []byte {
	s.Grow(n * s.Width)
	at := len(s.Data)
	s.Data = s.Data[:at+n*s.Width]
	s.N += n
	return s.Data[at:]
}

// A batch of points is handed on when it has this many rows or bytes.
const (
	fullRows  = pipeline.DefaultBatchRows
	fullBytes = pipeline.DefaultBatchBytes
)

// processor unpacks batches. One goroutine uses it.
type processor struct {
	bound map[*pipeline.Table]*binding
	opt   pipeline.ProcessOptions
	point bool
}

func (p *processor) Flush(context.Context, *pipeline.Account, pipeline.Emit) error { return nil }
func (p *processor) Close()                                                        {}

// Process takes over b. Clouds are refused one by one.
func (p *processor) Process(ctx context.Context, b *pipeline.Batch, acct *pipeline.Account, emit pipeline.Emit) error {
	defer b.Release()
	bn := p.bound[b.Table]
	if bn == nil {
		return fmt.Errorf("table %s was not bound: %w", b.Table.Name, pipeline.ErrSchema)
	}
	u, err := bn.open(b.Record)
	if err != nil {
		return err
	}
	w := &writer{b: bn, in: b, opt: p.opt, point: p.point}
	w.begin()
	defer w.drop()
	for i := range b.Rows() {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, reason, col, err := u.sweep(i)
		if err != nil {
			if err := p.opt.Refuse(acct, b, i, col, reason, err); err != nil {
				return err
			}
			continue
		}
		if p.point {
			// Every point is a row of its own; the message itself is none.
			acct.Absorbed++
			acct.Created += int64(n)
		}
		w.row(i, n)
		u.append(w.sinks)
		w.end()
		if w.full() {
			if err := w.flush(emit); err != nil {
				return err
			}
			w.begin()
		}
	}
	return w.flush(emit)
}

// writer collects rows of the output.
type writer struct {
	b     *binding
	in    *pipeline.Batch
	opt   pipeline.ProcessOptions
	point bool

	rows  []int32 // of the batch at hand, one for each row of the output
	cols  []*column.Column
	sinks []sink // of the fields
}

func (w *writer) begin() {
	w.rows, w.cols, w.sinks = nil, nil, nil
	for i, t := range w.b.values {
		if !w.point {
			t = arrow.ListOf(t)
		}
		c := column.New(w.opt.Allocator, t)
		w.cols = append(w.cols, c)
		switch {
		case !w.point:
			w.sinks = append(w.sinks, sink{c.Children[0]})
		case i > 0: // the first is the number of the point
			w.sinks = append(w.sinks, sink{c})
		}
	}
}

// row begins the row of a message that has n points, or its n rows.
func (w *writer) row(i, n int) {
	if !w.point {
		w.rows = append(w.rows, int32(i))
		return
	}
	out := sink{w.cols[0]}.extend(n)
	for k := range n {
		binary.LittleEndian.PutUint32(out[4*k:], uint32(k))
		w.rows = append(w.rows, int32(i))
	}
}

func (w *writer) end() {
	if w.point {
		return
	}
	for _, c := range w.cols {
		c.CloseValue(c.Children[0].N)
	}
}

func (w *writer) full() bool {
	n := int64(0)
	for _, c := range w.cols {
		n += c.Bytes()
	}
	return len(w.rows) >= fullRows || n >= fullBytes
}

func (w *writer) drop() {
	for _, c := range w.cols {
		c.Release()
	}
}

// flush emits the rows collected, in pieces where one cloud had many.
func (w *writer) flush(emit pipeline.Emit) error {
	if len(w.rows) == 0 {
		w.drop()
		w.cols = nil
		return nil
	}
	made := make([]arrow.Array, 0, len(w.cols))
	for _, c := range w.cols {
		made = append(made, c.Finish())
	}
	w.cols = nil
	defer func() {
		for _, a := range made {
			a.Release()
		}
	}()
	var fields []arrow.Field
	var kept []arrow.Array
	for _, i := range w.b.kept {
		fields = append(fields, w.in.Record.Schema().Field(i))
		kept = append(kept, w.in.Record.Column(i))
	}
	part := arrow.NewRecord(arrow.NewSchema(fields, nil), kept, w.in.Record.NumRows())
	defer part.Release()
	taken, err := column.TakeRecord(w.opt.Allocator, part, w.rows)
	if err != nil {
		return fmt.Errorf("table %s: %w", w.in.Table.Name, err)
	}
	defer taken.Release()
	cols := append(append([]arrow.Array{}, taken.Columns()...), made...)
	rec := arrow.NewRecord(w.b.output.Table.Schema, cols, int64(len(w.rows)))
	out := &pipeline.Batch{Table: w.b.output.Table, Record: rec, Origin: origin(w.in.Origin, w.rows)}
	if out.Rows() <= fullRows {
		return emit(pipeline.Element{Batch: out})
	}
	defer out.Release()
	for from := 0; from < out.Rows(); from += fullRows {
		if err := emit(pipeline.Element{Batch: out.Slice(from, min(from+fullRows, out.Rows()))}); err != nil {
			return err
		}
	}
	return nil
}

// origin is that of the given ascending rows, which may repeat.
func origin(o pipeline.Origin, rows []int32) pipeline.Origin {
	deltas := make([]uint32, len(rows))
	for i, r := range rows {
		deltas[i] = uint32(o.At(int(r)) - o.First)
	}
	return pipeline.Origin{Object: o.Object, First: o.First, Deltas: deltas}
}
