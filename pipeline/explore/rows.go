package explore

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// rowWriter prints rows of batches, one at a time, in the order asked for.
type rowWriter interface {
	// Bind prepares for a batch; the returned function prints its row i.
	Bind(b *pipeline.Batch) (func(i int) error, error)
	Flush() error
}

// ndjsonWriter prints each row as one JSON object, with column names as keys.
// With several tables each object begins with "_table".
type ndjsonWriter struct {
	w      io.Writer
	tables bool
	buf    []byte
}

func (n *ndjsonWriter) Bind(b *pipeline.Batch) (func(int) error, error) {
	var head []byte
	if n.tables {
		head = appendString(append(head, `"_table":`...), b.Table.Name)
	}
	shown := shownColumns(b.Record.Schema())
	cells, keys := make([]cellWriter, len(shown)), make([][]byte, len(shown))
	for i, name := range shown {
		w, _, err := columnWriter(b, name)
		if err != nil {
			return nil, err
		}
		cells[i] = w
		keys[i] = append(appendString(nil, name), ':')
	}
	return func(row int) error {
		buf := append(append(n.buf[:0], '{'), head...)
		for i, w := range cells {
			if i > 0 || len(head) > 0 {
				buf = append(buf, ',')
			}
			buf = w(append(buf, keys[i]...), row)
		}
		n.buf = append(buf, '}', '\n')
		_, err := n.w.Write(n.buf)
		return err
	}, nil
}

func (n *ndjsonWriter) Flush() error { return nil }

// csvWriter prints the rows of one table under a header. Nulls are empty,
// strings are as they are, lists and structs are JSON.
type csvWriter struct {
	out    io.Writer
	w      *csv.Writer
	header []string
	headed bool // the header is settled for this recording
}

// head prints the header, unless an earlier recording did.
func (c *csvWriter) head(t *pipeline.Table) error {
	if c.headed {
		return nil
	}
	c.headed = true
	names := shownColumns(t.Schema)
	if c.header == nil {
		c.header = names
		return c.w.Write(names)
	}
	if !slices.Equal(c.header, names) {
		return fmt.Errorf("table %s: its columns are not those of the recordings before, %s; --columns makes them the same: %w", t.Name, strings.Join(c.header, ", "), pipeline.ErrSchema)
	}
	return nil
}

func (c *csvWriter) Bind(b *pipeline.Batch) (func(int) error, error) {
	if err := c.head(b.Table); err != nil {
		return nil, err
	}
	shown := shownColumns(b.Record.Schema())
	row := make([]string, len(shown))
	cells, arrays, uris := make([]cellWriter, len(shown)), make([]arrow.Array, len(shown)), make([]arrow.Array, len(shown))
	for i, name := range shown {
		var err error
		if cells[i], uris[i], err = columnWriter(b, name); err != nil {
			return nil, err
		}
		arrays[i] = b.Record.Column(b.Record.Schema().FieldIndices(name)[0])
	}
	return func(i int) error {
		for j, w := range cells {
			if uris[j] != nil && !uris[j].IsNull(i) {
				row[j] = string(w(nil, i))
			} else {
				row[j] = csvCell(arrays[j], i, w)
			}
		}
		if len(row) == 1 && row[0] == "" {
			// An empty line is no record to those who read CSV.
			c.w.Flush()
			_, err := io.WriteString(c.out, "\"\"\n")
			return err
		}
		return c.w.Write(row)
	}, nil
}

func (c *csvWriter) Flush() error {
	c.w.Flush()
	return c.w.Error()
}

// csvCell returns cell i as the text of a CSV field.
func csvCell(a arrow.Array, i int, json cellWriter) string {
	if a.IsNull(i) {
		return ""
	}
	switch a := a.(type) {
	case *arrow.String:
		return a.Value(i)
	case *arrow.Dictionary:
		return csvCell(a.Dictionary(), a.GetValueIndex(i), json)
	case *arrow.List, *arrow.FixedSizeList, *arrow.Struct:
		return string(json(nil, i))
	}
	return strings.Trim(string(json(nil, i)), `"`)
}
