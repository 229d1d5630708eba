package sort

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// run is a temporary file of sorted rows. Its content is a zstd stream of
// chunks: the number of rows, then each column as arrays.go writes it.
type run struct {
	level int
	file  *os.File
	name  string // empty where the file has none
	buf   *bufio.Writer
	enc   *zstd.Encoder
	dec   *zstd.Decoder
	in    *bufio.Reader
	rows  int64
}

// window bounds what a decoder of a run holds.
const window = 512 << 10

func newRun(dir string) (*run, error) {
	f, err := os.CreateTemp(dir, "drivemill-sort-*")
	if err != nil {
		return nil, fmt.Errorf("sorting: creating a temporary file: %w", err)
	}
	r := &run{file: f, name: f.Name(), buf: bufio.NewWriterSize(f, 256<<10)}
	if os.Remove(r.name) == nil {
		r.name = ""
	}
	if r.enc, err = zstd.NewWriter(r.buf, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window)); err != nil {
		r.close()
		return nil, fmt.Errorf("sorting: %w", err)
	}
	return r, nil
}

// write takes over a record and appends it as a chunk.
func (r *run) write(rec arrow.Record) error {
	defer rec.Release()
	w := &arrayWriter{w: r.enc}
	w.number(int(rec.NumRows()))
	for _, c := range rec.Columns() {
		w.array(c)
	}
	r.rows += rec.NumRows()
	if w.err != nil {
		return fmt.Errorf("sorting: writing a temporary file: %w", w.err)
	}
	return nil
}

// finish ends writing.
func (r *run) finish() error {
	err := r.enc.Close()
	r.enc = nil
	if e := r.buf.Flush(); err == nil {
		err = e
	}
	r.buf = nil
	if err != nil {
		return fmt.Errorf("sorting: writing a temporary file: %w", err)
	}
	return nil
}

// start begins reading at the first chunk.
func (r *run) start() error {
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("sorting: reading a temporary file: %w", err)
	}
	dec, err := zstd.NewReader(r.file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return fmt.Errorf("sorting: reading a temporary file: %w", err)
	}
	r.dec, r.in = dec, bufio.NewReaderSize(dec, 32<<10)
	return nil
}

// next reads a chunk; io.EOF ends the run. The caller owns the record.
func (r *run) next(mem arrow.Allocator, schema *arrow.Schema) (arrow.Record, error) {
	n, err := binary.ReadUvarint(r.in)
	if errors.Is(err, io.EOF) {
		if r.rows != 0 {
			return nil, fmt.Errorf("%d rows are missing: %w", r.rows, pipeline.ErrCorrupt)
		}
		return nil, io.EOF
	}
	if err != nil {
		return nil, err
	}
	r.rows -= int64(n)
	in := &arrayReader{r: r.in, mem: mem, err: nil}
	cols := make([]arrow.Array, 0, schema.NumFields())
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for _, f := range schema.Fields() {
		d := in.data(f.Type, int(n))
		if in.err != nil {
			if d != nil {
				d.Release()
			}
			return nil, in.err
		}
		cols = append(cols, arrow.MakeFromData(d))
		d.Release()
	}
	return arrow.NewRecord(schema, cols, int64(n)), nil
}

// stop ends reading.
func (r *run) stop() {
	if r.dec != nil {
		r.dec.Close()
		r.dec, r.in = nil, nil
	}
}

// close removes the file.
func (r *run) close() {
	r.stop()
	if r.enc != nil {
		r.enc.Close() // gives its memory back; the file goes
		r.enc = nil
	}
	r.file.Close()
	if r.name != "" {
		os.Remove(r.name)
	}
}
