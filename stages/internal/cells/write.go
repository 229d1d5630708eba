package cells

import (
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// batchRows is how many rows make a batch.
const batchRows = 8192

// Writer collects rows that a stage makes.
type Writer struct {
	Columns []*column.Column // one for each column of the table
	table   *pipeline.Table
	next    int64
}

// NewWriter returns a writer of rows of t.
func NewWriter(mem arrow.Allocator, t *pipeline.Table) *Writer {
	w := &Writer{table: t}
	for _, f := range t.Schema.Fields() {
		w.Columns = append(w.Columns, column.New(mem, f.Type))
	}
	return w
}

// Row ends a row, after one value was appended to each column, and emits a
// batch when there are enough. It counts the rows as created.
func (w *Writer) Row(acct *pipeline.Account, emit pipeline.Emit) error {
	if w.Columns[0].N < batchRows {
		return nil
	}
	return w.Flush(acct, emit)
}

// Flush emits what is left.
func (w *Writer) Flush(acct *pipeline.Account, emit pipeline.Emit) error {
	n := w.Columns[0].N
	if n == 0 {
		return nil
	}
	arrs := make([]arrow.Array, len(w.Columns))
	for i, c := range w.Columns {
		arrs[i] = c.Finish()
	}
	rec := arrow.NewRecord(w.table.Schema, arrs, int64(n))
	for _, a := range arrs {
		a.Release()
	}
	acct.Created += int64(n)
	b := &pipeline.Batch{Table: w.table, Record: rec, Origin: pipeline.Origin{First: w.next}}
	w.next += int64(n)
	return emit(pipeline.Element{Batch: b})
}

// Release gives back what was not emitted.
func (w *Writer) Release() {
	for _, c := range w.Columns {
		c.Release()
	}
}

// Text appends s, or null where it is empty.
func Text(c *column.Column, s string) {
	if s == "" {
		c.AppendNull()
		return
	}
	c.AppendString(s)
}

// Maybe appends v, or null where known is false.
func Maybe(c *column.Column, v int64, known bool) {
	switch {
	case !known:
		c.AppendNull()
	case c.Width == 4:
		c.AppendInt32(int32(v))
	default:
		c.AppendInt64(v)
	}
}

// Float appends f, or null where known is false.
func Float(c *column.Column, f float64, known bool) {
	if !known {
		c.AppendNull()
		return
	}
	c.AppendFloat64(f)
}

// Names gives numbers to texts, in the order of first appearance. Number 0 is
// the empty text, which stands for null.
type Names struct {
	index map[string]uint32
	list  []string
	last  uint32
}

// Number returns the number of s.
func (n *Names) Number(s string) uint32 {
	if n.index == nil {
		n.index, n.list = map[string]uint32{"": 0}, []string{""}
	}
	if n.list[n.last] == s {
		return n.last
	}
	id, ok := n.index[s]
	if !ok {
		s = strings.Clone(s)
		id = uint32(len(n.list))
		n.index[s] = id
		n.list = append(n.list, s)
	}
	n.last = id
	return id
}

// Text returns the text of a number that Number gave out.
func (n *Names) Text(id uint32) string {
	if id == 0 {
		return ""
	}
	return n.list[id]
}

// Field describes a column of a table that a stage makes.
func Field(name string, t arrow.DataType, description string) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true, Metadata: pipeline.FieldMeta(pipeline.MetaDescription, description)}
}
