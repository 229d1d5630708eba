package parquet

import (
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Defaults of what ends a row group.
const (
	DefaultRowGroupRows  = 1 << 20
	DefaultRowGroupBytes = 16 << 20
)

// WriterOptions control a Writer. The zero value writes a lake file.
type WriterOptions struct {
	Mapping
	// Compression is one of Compressions, Level that of zstd.
	Compression string
	Level       int
	// Row groups end when they reach one of these; 0 means the default.
	RowGroupRows  int
	RowGroupBytes int64
	// Workers is how many goroutines encode; 0 means 1.
	Workers   int
	Allocator arrow.Allocator // nil: Go's
}

// Writer writes the rows of one table into one file. One goroutine uses it.
type Writer struct {
	file *file
	rows *rows
	pool *pool
}

// NewWriter starts a file with the columns of t.
func NewWriter(w io.Writer, t *pipeline.Table, opt WriterOptions) (*Writer, error) {
	p, err := newPlan(t, opt.Mapping, nil)
	if err != nil {
		return nil, err
	}
	codec, err := newCodec(opt.Compression, opt.Level)
	if err != nil {
		return nil, err
	}
	if opt.RowGroupRows <= 0 {
		opt.RowGroupRows = DefaultRowGroupRows
	}
	if opt.RowGroupBytes <= 0 {
		opt.RowGroupBytes = DefaultRowGroupBytes
	}
	if opt.Allocator == nil {
		opt.Allocator = arrow.NewGoAllocator()
	}
	key := sortKey(t.Schema)
	return &Writer{
		file: newFile(w, p, codec, p.sorting(key)),
		rows: &rows{mem: opt.Allocator, schema: t.Schema, key: key, limits: limits{opt.RowGroupRows, opt.RowGroupBytes}},
		pool: newPool(opt.Workers),
	}, nil
}

// sorting names the columns of the file that hold the key.
func (p *plan) sorting(key []int) []string {
	var names []string
	for _, k := range key {
		for _, c := range p.columns {
			if c.input == k {
				names = append(names, c.name)
				break
			}
		}
	}
	return names
}

// Write adds rows. It takes over the batch.
func (w *Writer) Write(b *pipeline.Batch) error {
	defer b.Release()
	if err := checkTypes(w.file.plan.input, b.Record); err != nil {
		return err
	}
	for from := 0; from < b.Rows(); {
		end, full := w.rows.add(b.Record, from, b.Rows())
		if full {
			if err := w.flush(); err != nil {
				return err
			}
		}
		from = end
	}
	return nil
}

// checkTypes makes sure that a record is what the schema says.
func checkTypes(s *arrow.Schema, rec arrow.Record) error {
	if int(rec.NumCols()) != s.NumFields() {
		return fmt.Errorf("a batch of %d columns where the table has %d: %w", rec.NumCols(), s.NumFields(), pipeline.ErrSchema)
	}
	for i, c := range rec.Columns() {
		if f := s.Field(i); !arrow.TypeEqual(c.DataType(), f.Type) {
			return fmt.Errorf("a batch has %s in column %s where the table has %s: %w", c.DataType(), f.Name, f.Type, pipeline.ErrSchema)
		}
	}
	return nil
}

func (w *Writer) flush() error {
	recs, err := w.rows.take()
	if err != nil || recs == nil {
		return err
	}
	defer recs.release()
	w.pool.take() // this goroutine is one of the workers
	defer w.pool.release()
	g, err := w.file.encode(w.rows.mem, recs, w.pool)
	if err != nil {
		return fmt.Errorf("encoding a row group: %w", err)
	}
	if err := w.file.commit(g); err != nil {
		return fmt.Errorf("writing a row group: %w", err)
	}
	return nil
}

// Close writes what is left and the footer. It frees everything, also when it
// fails.
func (w *Writer) Close() error {
	defer w.rows.drop()
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.file.close(); err != nil {
		return fmt.Errorf("writing the footer: %w", err)
	}
	return nil
}
