package drivestats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

const formatName = "drivestats"

// New returns the format.
func New() pipeline.Format { return format{} }

// FormatSpec announces the format. It has no ending of its own: .csv is also
// that of other tables, so a pipeline names it, or its files are looked at.
func FormatSpec() pipeline.FormatSpec {
	return pipeline.FormatSpec{
		Format:  New(),
		Summary: "Backblaze Drive Stats: one CSV of a drive fleet per day",
		Doc: "The table drive_stats has all columns of all years; those a file lacks are null, unknown ones are kept. Plain, gzip or zstd; LF, CR LF or CR. " +
			"The date is that of the cell where it is within a day of the file's name, otherwise that of the name. Quarters are read as members of their zips.",
		Extensions: []string{"csv"},
		Behaviour:  2,
	}
}

type format struct{}

func (format) Name() string { return formatName }

// Sniff implements pipeline.Format. Where the head has no text to go by, the
// name decides: days without data are part of the set.
func (format) Sniff(name string, head []byte) bool {
	if strings.HasPrefix(path.Base(name), "._") {
		return false // a companion file of macOS
	}
	if len(head) == 0 {
		_, ok := dayOf(name)
		return ok
	}
	r, _, err := store.Decompress(name, bytes.NewReader(head))
	if err != nil {
		return false
	}
	defer r.Close()
	text := make([]byte, 8<<10) // more than the longest header there has been
	n, _ := io.ReadFull(r, text)
	if n == 0 {
		// Nothing, or a compressed block that is longer than the head.
		_, ok := dayOf(name)
		return ok
	}
	return namesColumns(name, withoutMark(text[:n]))
}

// namesColumns reports whether a header, of which text is the beginning, is one
// of drive stats: it has the columns that all files have, or, in a file named
// for a day, SMART values.
func namesColumns(name string, text []byte) bool {
	line := text[:lineEnd(text)]
	whole := len(line) < len(text)
	smart, found := false, 0
	for i, cell := range bytes.Split(bytes.TrimRight(line, "\r\n"), []byte{','}) {
		column := strings.Trim(string(cell), `"`)
		for _, want := range fixed[:required] {
			if column == want.name {
				found++
			}
		}
		smart = smart || i > 0 && unknownKind(column) == kindInt64
	}
	if found == required {
		return true
	}
	_, day := dayOf(name)
	return day && smart && !whole
}

// KnownTable implements pipeline.Typed: all files have the same table.
func (format) KnownTable(typeName string) (*pipeline.Table, error) {
	if typeName != "" && typeName != TableName {
		return nil, fmt.Errorf("%s has the table %s only, not %q: %w", formatName, TableName, typeName, pipeline.ErrSchema)
	}
	return known().table, nil
}

// description is kept between Describe and Open.
type description struct {
	schema *schema // nil for an empty file
}

// Describe implements pipeline.Format. It reads the header and the first row.
// Start and End span the day of the file's name.
func (format) Describe(ctx context.Context, src pipeline.Source) (*pipeline.Description, error) {
	obj := src.Object()
	out := &pipeline.Description{Format: formatName}
	fail := func(err error) error {
		return &pipeline.DecodeError{Object: obj.URI, Format: formatName, Offset: 0, Record: -1, Err: err}
	}
	in, err := look(ctx, src)
	if err != nil {
		return nil, fail(err)
	}
	defer in.Close()
	cut := &cutter{in: in}
	line, err := cut.start()
	if err != nil {
		return nil, fail(err)
	}
	info := pipeline.TableInfo{Table: known().table, Rows: -1, Bytes: -1, Encoding: "csv", SchemaName: TableName}
	d := &description{}
	day, named := dayOf(obj.Key)
	missing := "there is no data for this day"
	if named {
		missing = "there is no data for " + dateString(day)
	}
	if line == nil {
		info.Rows, info.Bytes = 0, 0
		out.Problems = append(out.Problems, pipeline.Problem{Kind: "empty", Table: TableName, Offset: 0, Detail: "the file is empty; " + missing})
	} else {
		if d.schema, err = newSchema(line); err != nil {
			return nil, fail(err)
		}
		info.Table = d.schema.table
		out.Version = strconv.Itoa(len(d.schema.header.names)) + " columns"
		out.Problems = append(out.Problems, d.schema.problems...)
		empty, err := cut.blank()
		if err != nil {
			return nil, fail(err)
		}
		if empty {
			info.Rows, info.Bytes = 0, 0
			out.Problems = append(out.Problems, pipeline.Problem{Kind: "no_rows", Table: TableName, Offset: -1, Detail: "the file has a header and no rows; " + missing})
		}
	}
	if named {
		const nanos = 24 * 60 * 60 * 1e9
		out.HasTime, out.Start, out.End = true, int64(day)*nanos, int64(day+1)*nanos-1
		info.HasTime, info.Start, info.End = true, out.Start, out.End
	}
	out.Compression = []pipeline.Compression{{Codec: in.codec, Chunks: 1, Compressed: obj.Size}}
	if in.codec == "none" {
		out.Compression[0].Raw = obj.Size
	}
	out.Tables = []pipeline.TableInfo{info}
	out.Index = d
	return out, nil
}

// blank reports whether nothing but empty lines follows.
func (c *cutter) blank() (bool, error) {
	for buf := c.carry; ; {
		if len(bytes.Trim(buf, "\r\n")) > 0 {
			return false, nil
		}
		if c.eof {
			return true, nil
		}
		var err error
		if buf, err = c.fill(buf[:0]); err != nil {
			if damaged(err) {
				return false, nil // the decoder tells of it
			}
			return false, err
		}
	}
}

// Open implements pipeline.Format.
func (f format) Open(ctx context.Context, src pipeline.Source, d *pipeline.Description, sel pipeline.Selection, opt pipeline.DecodeOptions) (pipeline.Decoder, error) {
	obj := src.Object()
	fail := func(err error) error {
		return &pipeline.DecodeError{Object: obj.URI, Format: formatName, Offset: -1, Record: -1, Err: err}
	}
	desc, ok := d.Index.(*description)
	if !ok {
		return nil, fail(errors.New("the description is not of this format"))
	}
	ctx, cancel := context.WithCancel(ctx)
	in, err := open(ctx, src)
	if err != nil {
		cancel()
		return nil, fail(err)
	}
	cut, s, err := prepare(in, desc, sel, opt)
	if err != nil {
		cancel()
		in.Close()
		return nil, fail(err)
	}
	return newDecoder(ctx, cancel, src, in, cut, s, opt), nil
}

// prepare reads the header and settles how blocks are cut.
func prepare(in *input, desc *description, sel pipeline.Selection, opt pipeline.DecodeOptions) (*cutter, *selection, error) {
	cut := &cutter{in: in}
	line, err := cut.start()
	if err != nil {
		return nil, nil, err
	}
	s := desc.schema
	if (line == nil) != (s == nil) || s != nil && !bytes.Equal(line, s.header.line) {
		return nil, nil, fmt.Errorf("the header is not the one that was described: %w", pipeline.ErrChanged)
	}
	if s == nil {
		s = &schema{columns: known().columns, table: known().table, header: &header{}}
		cut.ended = true
	}
	selected, err := newSelection(s, sel)
	if err != nil {
		return nil, nil, err
	}
	cut.plan, cut.replan = selected.compile(s.header), selected.replan
	rows, size := int64(opt.BatchRows), opt.BatchBytes
	if rows <= 0 {
		rows = pipeline.DefaultBatchRows
	}
	if size <= 0 {
		size = pipeline.DefaultBatchBytes
	}
	cut.rows = int(max(1, min(rows, size/cut.plan.rowBytes())))
	cut.text = int(max(1, min(size, blockText)))
	return cut, selected, nil
}
