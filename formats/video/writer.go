package video

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// writer writes one unit.
type writer struct {
	sink   *sink
	tables map[*pipeline.Table]*table
	opt    pipeline.SinkOptions
	index  pipeline.SinkWriter

	tracks    map[string]*track // by lake table
	uploaded  bool
	published bool
}

// indexed are rows of the index that wait until all of their frames have been
// written: before that their offsets are not known.
type indexed struct {
	table  *table
	batch  *pipeline.Batch // without the packets
	frames []*frame
}

// Write takes over the batch.
func (w *writer) Write(ctx context.Context, b *pipeline.Batch, acct *pipeline.Account) error {
	defer b.Release()
	t := w.tables[b.Table]
	if t == nil {
		return fmt.Errorf("table %s was not bound: %w", b.Table.Name, pipeline.ErrSchema)
	}
	col := func(name string) arrow.Array { return b.Record.Column(b.Record.Schema().FieldIndices(name)[0]) }
	ts, ok1 := col(pipeline.TimeColumn).(*arrow.Timestamp)
	format, ok2 := col("format").(*arrow.String)
	data, ok3 := col("data").(*arrow.Binary)
	if !ok1 || !ok2 || !ok3 {
		return fmt.Errorf("table %s: the columns are not those of a video: %w", b.Table.Name, pipeline.ErrSchema)
	}
	tr := w.tracks[t.Lake]
	if tr == nil {
		tr = &track{w: w, lake: t.Lake}
		w.tracks[t.Lake] = tr
	}
	var frames []*frame
	var rows []int32
	for i := range b.Rows() {
		if err := ctx.Err(); err != nil {
			return err
		}
		var f *frame
		var why *reason
		var err error
		if ts.IsNull(i) || format.IsNull(i) || data.IsNull(i) {
			tr.next++
			tr.live = false
			why = refuse("data", "null_cell", pipeline.ErrSchema, "a column that the frame is made from is null")
		} else {
			f, why, err = tr.add(ctx, int32(i), int64(ts.Value(i)), format.Value(i), data.Value(i))
		}
		if why != nil {
			err = pipeline.ProcessOptions{Reject: w.opt.Reject}.Refuse(acct, b, i, why.column, why.name, why.err)
		}
		if err != nil {
			return err
		}
		if f != nil {
			frames = append(frames, f)
			rows = append(rows, int32(i))
		}
	}
	if len(frames) > 0 {
		kept, err := t.Lead(w.opt.Allocator, b, rows)
		if err != nil {
			return err
		}
		tr.waiting = append(tr.waiting, &indexed{t, kept, frames})
	}
	return tr.release(ctx, acct)
}

// release writes the rows of the index that can be, in order.
func (t *track) release(ctx context.Context, acct *pipeline.Account) error {
	w := t.w
	for len(t.waiting) > 0 {
		x := t.waiting[0]
		if x.frames[len(x.frames)-1].offset < 0 {
			return nil
		}
		t.waiting = t.waiting[1:]
		cols := make([]*column.Column, 0, len(made()))
		for _, f := range made() {
			cols = append(cols, column.New(w.opt.Allocator, f.Type))
		}
		for _, f := range x.frames {
			cols[0].AppendInt64(f.number)
			cols[1].AppendBool(f.key)
			cols[2].AppendString(f.codec.String())
			cols[3].AppendInt64(f.size)
			cols[4].AppendInt64(f.offset)
			cols[5].AppendString(f.object)
		}
		b := x.table.Complete(x.batch, cols)
		x.batch.Release()
		if err := w.index.Write(ctx, b, acct); err != nil {
			return err
		}
	}
	return nil
}

// Finish ends all files, and the index.
func (w *writer) Finish(ctx context.Context, acct *pipeline.Account) ([]pipeline.File, error) {
	tracks := w.sorted()
	for _, t := range tracks {
		if err := t.end(ctx); err != nil {
			return nil, err
		}
		if err := t.release(ctx, acct); err != nil {
			return nil, err
		}
	}
	files, err := w.index.Finish(ctx, acct)
	if err != nil {
		return nil, err
	}
	for _, t := range tracks {
		for _, f := range t.files {
			files = append(files, f.result)
		}
	}
	slices.SortFunc(files, func(a, b pipeline.File) int { return strings.Compare(a.Key, b.Key) })
	return files, nil
}

func (w *writer) sorted() []*track {
	out := make([]*track, 0, len(w.tracks))
	for _, t := range w.tracks {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *track) int { return strings.Compare(a.lake, b.lake) })
	return out
}

// firstUpload passes a failpoint before anything is created.
func (w *writer) firstUpload() error {
	if w.uploaded {
		return nil
	}
	w.uploaded = true
	return w.failpoint("upload:before")
}

func (w *writer) failpoint(name string) error {
	if w.opt.Failpoint == nil {
		return nil
	}
	return w.opt.Failpoint(name)
}

// Publish makes the files visible, and then the index that tells of them.
func (w *writer) Publish(ctx context.Context) error {
	if err := w.failpoint("publish:before"); err != nil {
		return err
	}
	for _, t := range w.sorted() {
		for _, f := range t.files {
			if err := f.object.Publish(ctx); err != nil {
				return fmt.Errorf("publishing %s: %w", f.key, err)
			}
			if err := w.failpoint("publish:between"); err != nil {
				return err
			}
		}
	}
	if err := w.index.Publish(ctx); err != nil {
		return err
	}
	w.published = true
	return nil
}

// Abort removes what was not published.
func (w *writer) Abort(ctx context.Context) error {
	if w.published {
		return nil
	}
	errs := []error{w.index.Abort(ctx)}
	for _, t := range w.sorted() {
		for _, x := range t.waiting {
			x.batch.Release()
		}
		t.waiting = nil
		for _, f := range t.files {
			if err := f.object.Abort(ctx); err != nil {
				errs = append(errs, fmt.Errorf("aborting %s: %w", f.key, err))
			}
		}
	}
	return errors.Join(errs...)
}
