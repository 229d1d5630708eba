package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/drivemill/drivemill/formats/parquet"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// uploads is how many frames are written to the store at one time.
const uploads = 16

// writer writes one unit.
type writer struct {
	sink   *sink
	tables map[*pipeline.Table]*table
	opt    pipeline.SinkOptions
	index  pipeline.SinkWriter

	dirs      map[string]*directory // by lake table
	spool     *os.File
	end       int64 // of the spool
	frames    []spooled
	published bool
}

// directory is where the frames of a table go.
type directory struct {
	key   string // ends in a slash
	next  int64  // number of the next frame
	file  pipeline.File
	names hash.Hash
}

// spooled is a frame that waits for the commit.
type spooled struct {
	dir  *directory
	name string
	at   int64
	size int64
}

// frame is what became of one row.
type frame struct {
	data             []byte
	ext              string
	width, height    int
	encoding, status string
	why              *reason
}

// Write takes over the batch. Frames are encoded on as many goroutines as the
// output may use, and taken in the order of their rows.
func (w *writer) Write(ctx context.Context, b *pipeline.Batch, acct *pipeline.Account) error {
	defer b.Release()
	t := w.tables[b.Table]
	if t == nil {
		return fmt.Errorf("table %s was not bound: %w", b.Table.Name, pipeline.ErrSchema)
	}
	read, err := w.sink.reader(t, b.Record)
	if err != nil {
		return err
	}
	d := w.directory(t.Lake)
	wave := max(w.opt.Workers, 1)
	out := newRows(w.opt.Allocator)
	defer out.drop()
	for from := 0; from < b.Rows(); from += wave {
		if err := ctx.Err(); err != nil {
			return err
		}
		done := make([]frame, min(wave, b.Rows()-from))
		var wg sync.WaitGroup
		for k := range done {
			wg.Go(func() { done[k] = read(from + k) })
		}
		wg.Wait()
		for k := range done {
			if err := w.take(d, b, from+k, &done[k], out, acct); err != nil {
				return err
			}
		}
	}
	if len(out.rows) == 0 {
		return nil
	}
	lead, err := t.Lead(w.opt.Allocator, b, out.rows)
	if err != nil {
		return err
	}
	defer lead.Release()
	return w.index.Write(ctx, t.Complete(lead, out.cols), acct)
}

// reader returns the function that makes the frame of a row.
func (s *sink) reader(t *table, rec arrow.Record) (func(i int) frame, error) {
	column := func(name string) arrow.Array { return rec.Column(rec.Schema().FieldIndices(name)[0]) }
	data, ok := column("data").(*arrow.Binary)
	if !ok {
		return nil, fmt.Errorf("column data is no binary: %w", pipeline.ErrSchema)
	}
	null := func(i int, arrays ...arrow.Array) *reason {
		if slices.ContainsFunc(arrays, func(a arrow.Array) bool { return a.IsNull(i) }) {
			return refuse("data", "null_cell", pipeline.ErrSchema, "a column that the frame is made from is null")
		}
		return nil
	}
	if !t.raw {
		format, ok := column("format").(*arrow.String)
		if !ok {
			return nil, fmt.Errorf("column format is no string: %w", pipeline.ErrSchema)
		}
		return func(i int) frame {
			if why := null(i, data, format); why != nil {
				return frame{why: why}
			}
			body, ext, size, why := compressed(format.Value(i), data.Value(i))
			return frame{data: body, ext: ext, width: size.Width, height: size.Height, encoding: format.Value(i), status: "copied", why: why}
		}, nil
	}
	height, ok1 := column("height").(*arrow.Uint32)
	width, ok2 := column("width").(*arrow.Uint32)
	step, ok3 := column("step").(*arrow.Uint32)
	big, ok4 := column("is_bigendian").(*arrow.Uint8)
	encoding, ok5 := column("encoding").(*arrow.String)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return nil, fmt.Errorf("the columns are not those of an Image: %w", pipeline.ErrSchema)
	}
	return func(i int) frame {
		if why := null(i, data, height, width, step, big, encoding); why != nil {
			return frame{why: why}
		}
		r := raw{width: width.Value(i), height: height.Value(i), step: step.Value(i), encoding: encoding.Value(i), big: big.Value(i) != 0, data: data.Value(i)}
		f := frame{width: int(r.width), height: int(r.height), encoding: r.encoding}
		img, status, why := s.cfg.image(&r)
		if why == nil {
			f.status = status
			f.data, f.ext, why = s.cfg.encode(img)
		}
		f.why = why
		return f
	}, nil
}

// rows collects rows of the index.
type rows struct {
	rows []int32
	cols []*column.Column
}

func newRows(mem arrow.Allocator) *rows {
	r := &rows{}
	for _, f := range made() {
		r.cols = append(r.cols, column.New(mem, f.Type))
	}
	return r
}

func (r *rows) drop() {
	for _, c := range r.cols {
		c.Release()
	}
}

// take refuses a frame, or puts it into the spool and the index.
func (w *writer) take(d *directory, b *pipeline.Batch, row int, f *frame, out *rows, acct *pipeline.Account) error {
	number := d.next
	d.next++
	if f.why != nil {
		return pipeline.ProcessOptions{Reject: w.opt.Reject}.Refuse(acct, b, row, f.why.column, f.why.name, f.why.err)
	}
	if w.spool == nil {
		if err := w.openSpool(); err != nil {
			return err
		}
	}
	if _, err := w.spool.Write(f.data); err != nil {
		return fmt.Errorf("keeping a frame until the commit: %w", err)
	}
	name := fmt.Sprintf("%012d.%s", number, f.ext)
	size := int64(len(f.data))
	sum := sha256.Sum256(f.data)
	digits := hex.EncodeToString(sum[:])
	w.frames = append(w.frames, spooled{dir: d, name: name, at: w.end, size: size})
	w.end += size
	d.file.Bytes += size
	d.file.Objects++
	fmt.Fprintf(d.names, "%s  %s\n", digits, name)

	out.rows = append(out.rows, int32(row))
	c := out.cols
	c[0].AppendInt64(number)
	c[1].AppendInt32(int32(f.width))
	c[2].AppendInt32(int32(f.height))
	c[3].AppendString(f.encoding)
	c[4].AppendInt64(size)
	c[5].AppendString(d.key + name)
	c[6].AppendString(digits)
	c[7].AppendString(f.status)
	return nil
}

// openSpool makes the file of the frames. It has no name, where the system
// allows it, so that nothing is left of a process that is killed.
func (w *writer) openSpool() error {
	f, err := os.CreateTemp("", "drivemill-frames-")
	if err != nil {
		return fmt.Errorf("keeping frames until the commit: %w", err)
	}
	w.spool = f
	_ = os.Remove(f.Name()) // closeSpool tries again
	return nil
}

func (w *writer) closeSpool() error {
	if w.spool == nil {
		return nil
	}
	err := w.spool.Close()
	if rerr := os.Remove(w.spool.Name()); err == nil && !errors.Is(rerr, os.ErrNotExist) {
		err = rerr
	}
	w.spool = nil
	return err
}

func (w *writer) directory(lake string) *directory {
	d := w.dirs[lake]
	if d == nil {
		dir, partition := parquet.ObjectDir(lake, w.opt.DriveDate)
		key := fmt.Sprintf("%s%s-%s/", dir, w.opt.Slot, w.opt.Revision[lake])
		d = &directory{key: key, names: sha256.New(), file: pipeline.File{Key: key, Table: lake, Partition: partition}}
		w.dirs[lake] = d
	}
	return d
}

// Finish ends the index and tells of the directories.
func (w *writer) Finish(ctx context.Context, acct *pipeline.Account) ([]pipeline.File, error) {
	files, err := w.index.Finish(ctx, acct)
	if err != nil {
		return nil, err
	}
	for _, d := range w.dirs {
		if d.file.Objects > 0 {
			d.file.SHA256 = hex.EncodeToString(d.names.Sum(nil))
			files = append(files, d.file)
		}
	}
	slices.SortFunc(files, func(a, b pipeline.File) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return files, nil
}

// Publish writes the frames, and then makes the index visible.
func (w *writer) Publish(ctx context.Context) error {
	if err := w.failpoint("publish:before"); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan spooled)
	var wg sync.WaitGroup
	for range min(uploads, len(w.frames)) {
		wg.Go(func() {
			for f := range work {
				if err := w.put(ctx, f); err != nil {
					cancel(err)
				}
			}
		})
	}
feed:
	for i, f := range w.frames {
		if i > 0 {
			if err := w.failpoint("publish:between"); err != nil {
				cancel(err)
			}
		}
		select {
		case work <- f:
		case <-ctx.Done():
			break feed
		}
	}
	close(work)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := w.index.Publish(ctx); err != nil {
		return err
	}
	w.published = true
	return w.closeSpool()
}

func (w *writer) put(ctx context.Context, f spooled) error {
	data := make([]byte, f.size)
	if _, err := w.spool.ReadAt(data, f.at); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading back frame %s: %w", f.name, err)
	}
	if err := w.sink.Store().Put(ctx, f.dir.key+f.name, data); err != nil {
		return fmt.Errorf("writing frame %s: %w", f.dir.key+f.name, err)
	}
	return nil
}

func (w *writer) failpoint(name string) error {
	if w.opt.Failpoint == nil {
		return nil
	}
	return w.opt.Failpoint(name)
}

// Abort drops the frames and the index. Frames of a Publish that failed half
// way stay: a claim names their directory, and whoever settles it removes them
// or writes them again.
func (w *writer) Abort(ctx context.Context) error {
	if w.published {
		return nil
	}
	return errors.Join(w.index.Abort(ctx), w.closeSpool())
}
