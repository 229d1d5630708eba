// Package csv reads tables of separated text: the side tables that recordings
// are joined with, exports of other systems.
//
// A file is UTF-8, plain or compressed with gzip or zstd, in the dialect of RFC
// 4180; the first record names the columns. There is one table, called after
// the file: weather.csv is weather. A column without a name is column_<n>; two
// of the same name are an error.
//
// Types are found by reading the whole file before the first row is delivered.
// A column is of the first type that fits all its cells:
//
//	bool        true, false, True, False, TRUE, FALSE
//	int64       as written by a computer: no sign but -, no leading zeros
//	float64     1.5, -2e-3; not where an integer among them would lose digits
//	timestamp   RFC 3339 with offset: 2026-03-02T08:00:00Z
//	date32      2026-03-02
//	utf8        everything else
//
// Settings, under formats.csv of an input, change the dialect and declare types:
//
//	formats:
//	  csv:
//	    delimiter: ";"
//	    nulls: ["NA", "-"]
//	    columns: {station: text, at: timestamp}
//
// A cell that is not of its column's declared type rejects the row as bad_cell,
// or is null where the pipeline wants null cells. A file all of whose columns are
// declared is not read beforehand.
//
// An empty cell is null, and a column of empty cells is text. Numbers with
// leading zeros stay text, because they are names. Rows with more or fewer cells
// than the header are rejected as field_count, rows with misplaced quotes as
// bad_quote, rows that are not UTF-8 as bad_cell; errors give line and column. The table has no clock, so a time
// range selects all of it. A record of more than 16 MiB is an error.
//
// The files of Backblaze's drive statistics have a format of their own.
package csv

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/store"
)

const (
	formatName = "csv"
	maxRecord  = 16 << 20
)

// New returns the format. It takes whatever is called .csv, so it must be asked last.
func New() pipeline.Format { return format{settings{comma: ','}} }

// FormatSpec announces the format.
func FormatSpec() pipeline.FormatSpec {
	return pipeline.FormatSpec{
		Format:  New(),
		Summary: "CSV: tables to join with, exports of other systems",
		Doc: "The first record names the columns; types are declared, or found by reading the whole file: bool, int64, float64, timestamp (RFC 3339), date, otherwise text. " +
			"Empty cells are null. Plain, gzip or zstd.",
		Extensions: []string{"csv"},
		Behaviour:  1,
		Config:     func() any { return new(Config) },
		Configure:  configure,
	}
}

type format struct{ settings }

func (format) Name() string { return formatName }

// Sniff implements pipeline.Format.
func (format) Sniff(name string, head []byte) bool {
	_, ok := tableName(name)
	if !ok {
		return false
	}
	r, codec, err := store.Decompress(name, bytes.NewReader(head))
	if err != nil {
		return false
	}
	defer r.Close()
	return codec != "none" || bytes.IndexByte(head, 0) < 0
}

// tableName is the base of a file's name without its endings.
func tableName(name string) (string, bool) {
	base := path.Base(name)
	lower := strings.ToLower(base)
	for _, end := range []string{".csv", ".csv.gz", ".csv.zst"} {
		if strings.HasSuffix(lower, end) && len(base) > len(end) && !strings.HasPrefix(base, "._") {
			return base[:len(base)-len(end)], true
		}
	}
	return base, false
}

// records reads the records of one object.
type records struct {
	*csv.Reader
	names []string
	codec string
	tape  *tape
	text  io.Closer
	src   io.Closer
}

// record is what next returns.
type record struct {
	cells  []string // valid until the next record
	offset int64
	raw    []byte
	reason string // why it cannot be a row; empty for a good one
	err    error
}

// open starts reading an object and reads its header.
func (s settings) open(ctx context.Context, src pipeline.Source) (*records, error) {
	rc, err := src.Reader(ctx, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	text, codec, err := store.Decompress(src.Object().URI, rc)
	if err != nil {
		rc.Close()
		return nil, damage(err)
	}
	r := &records{codec: codec, text: text, src: rc, tape: &tape{r: text}}
	if err := r.start(s.comma); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *records) close() error { return errors.Join(r.text.Close(), r.src.Close()) }

// start reads the header.
func (r *records) start(comma rune) error {
	r.Reader = csv.NewReader(r.tape)
	r.Comma = comma
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	names, err := r.Read()
	var syntax *csv.ParseError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("%d:%d: %w in the header: %w", syntax.Line, syntax.Column, syntax.Err, pipeline.ErrCorrupt)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("there is no header: %w", pipeline.ErrSchema)
	case err != nil:
		return damage(err)
	}
	seen := make(map[string]bool)
	for i, n := range names {
		if i == 0 {
			n = strings.TrimPrefix(n, "\ufeff")
		}
		if n = strings.ToValidUTF8(strings.TrimSpace(n), "\uFFFD"); n == "" {
			n = fmt.Sprintf("column_%d", i+1)
		}
		if seen[n] {
			return fmt.Errorf("1:%d: column %s occurs twice: %w", i+1, n, pipeline.ErrSchema)
		}
		seen[n] = true
		r.names = append(r.names, n)
	}
	return nil
}

// next reads a record. Its err ends reading when reason is empty.
func (r *records) next() record {
	rec := record{offset: r.InputOffset()}
	var syntax *csv.ParseError
	rec.cells, rec.err = r.Read()
	end := r.InputOffset()
	switch {
	case errors.Is(rec.err, io.EOF) && !errors.As(rec.err, &syntax):
		rec.err = io.EOF
		return rec
	case errors.As(rec.err, &syntax):
		rec.reason = "bad_quote"
		rec.err = fmt.Errorf("%d:%d: %w: %w", syntax.Line, syntax.Column, syntax.Err, pipeline.ErrCorrupt)
	case rec.err != nil:
		rec.err = damage(rec.err)
		return rec
	case len(rec.cells) != len(r.names):
		line, column := r.FieldPos(0)
		rec.reason = "field_count"
		rec.err = fmt.Errorf("%d:%d: %d cells where the header has %d: %w", line, column, len(rec.cells), len(r.names), pipeline.ErrCorrupt)
	}
	raw := r.tape.cut(rec.offset, end)
	rec.raw = bytes.Trim(raw, "\r\n")
	rec.offset += int64(len(raw) - len(bytes.TrimLeft(raw, "\r\n"))) // empty lines are no records
	for i, cell := range rec.cells {
		if rec.reason == "" && !utf8.ValidString(cell) {
			line, column := r.FieldPos(i)
			rec.reason = "bad_cell"
			rec.err = fmt.Errorf("%d:%d: the text is not UTF-8: %w", line, column, pipeline.ErrCorrupt)
		}
	}
	return rec
}

// damage adds what was being done.
func damage(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the file ends early: %w", pipeline.ErrTruncated)
	}
	return fmt.Errorf("reading: %w", err)
}

// tape keeps the text from the last record on, which encoding/csv does not,
// and bounds how much of it there may be.
type tape struct {
	r    io.Reader
	text []byte
	base int64 // offset of text
}

func (t *tape) Read(p []byte) (int, error) {
	if len(t.text) > maxRecord {
		return 0, fmt.Errorf("a record is longer than %d bytes: %w", maxRecord, pipeline.ErrLimit)
	}
	n, err := t.r.Read(p)
	t.text = append(t.text, p[:n]...)
	return n, err
}

// cut returns the text between two offsets and forgets what lies before it.
func (t *tape) cut(from, to int64) []byte {
	if from-t.base > 64<<10 {
		t.text = append(t.text[:0], t.text[from-t.base:]...)
		t.base = from
	}
	return t.text[from-t.base : to-t.base]
}

// description is kept between Describe and Open.
type description struct {
	table *pipeline.Table
	kinds []kind
}

// Describe implements pipeline.Format. It reads the whole file, unless the types
// of all columns are declared.
func (f format) Describe(ctx context.Context, src pipeline.Source) (*pipeline.Description, error) {
	obj := src.Object()
	fail := func(err error) error {
		return &pipeline.DecodeError{Object: obj.URI, Format: formatName, Offset: -1, Record: -1, Err: err}
	}
	r, err := f.open(ctx, src)
	if err != nil {
		return nil, fail(err)
	}
	defer r.close()
	if d, ok := f.declared(obj.Key, r.names); ok {
		return &pipeline.Description{Format: formatName, Index: d,
			Tables:      []pipeline.TableInfo{{Table: d.table, Rows: -1, Bytes: -1, Encoding: "csv"}},
			Compression: []pipeline.Compression{{Codec: r.codec, Chunks: 1, Compressed: obj.Size}}}, nil
	}
	guesses := make([]guess, len(r.names))
	info := pipeline.TableInfo{Bytes: -1, Encoding: "csv"}
	for i := 0; ; i++ {
		rec := r.next()
		if errors.Is(rec.err, io.EOF) {
			break
		}
		if rec.err != nil && rec.reason == "" {
			return nil, fail(rec.err)
		}
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if rec.reason != "" {
			continue
		}
		info.Rows++
		for c, cell := range rec.cells {
			if !f.nulls[cell] {
				guesses[c].look(cell)
			}
		}
	}
	kinds := make([]kind, len(r.names))
	for i, name := range r.names {
		k, ok := f.types[name]
		if !ok {
			k = guesses[i].kind()
		}
		kinds[i] = k
	}
	d := describe(obj.Key, r.names, kinds)
	info.Table = d.table
	out := &pipeline.Description{Format: formatName, Tables: []pipeline.TableInfo{info}, Index: d,
		Compression: []pipeline.Compression{{Codec: r.codec, Chunks: 1, Compressed: obj.Size, Raw: r.InputOffset()}}}
	return out, nil
}

// describe makes the description of a file with columns of these kinds.
func describe(key string, names []string, kinds []kind) *description {
	fields := make([]arrow.Field, len(names))
	for i, name := range names {
		fields[i] = arrow.Field{Name: name, Type: kinds[i].arrowType(), Nullable: true}
	}
	name, _ := tableName(key)
	return &description{&pipeline.Table{Name: name, Schema: arrow.NewSchema(fields, nil)}, kinds}
}

// Open implements pipeline.Format.
func (f format) Open(ctx context.Context, src pipeline.Source, desc *pipeline.Description, sel pipeline.Selection, opt pipeline.DecodeOptions) (pipeline.Decoder, error) {
	obj := src.Object()
	fail := func(err error) error {
		return &pipeline.DecodeError{Object: obj.URI, Format: formatName, Offset: -1, Record: -1, Err: err}
	}
	d, ok := desc.Index.(*description)
	if !ok {
		return nil, fail(errors.New("the description is not of this format"))
	}
	r, err := f.open(ctx, src)
	if err != nil {
		return nil, fail(err)
	}
	dec, err := newDecoder(r, f.settings, obj, d, sel, opt)
	if err != nil {
		r.close()
		return nil, fail(err)
	}
	return dec, nil
}
