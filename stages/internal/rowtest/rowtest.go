// Package rowtest lets the tests of stages speak in rows: it builds batches
// from literal values, runs them through a bound stage and shows what comes
// out, what was rejected and how it was accounted for.
package rowtest

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// F is a field; metadata come as alternating keys and values.
func F(name string, t arrow.DataType, meta ...string) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true, Metadata: pipeline.FieldMeta(meta...)}
}

// Table makes a table whose clocks are its columns with role time or clock.
func Table(name string, fields ...arrow.Field) *pipeline.Table {
	t := &pipeline.Table{Name: name, Schema: arrow.NewSchema(fields, nil)}
	for _, f := range fields {
		if role, _ := f.Metadata.GetValue(pipeline.MetaRole); role == pipeline.RoleTime || role == pipeline.RoleClock {
			t.Clocks = append(t.Clocks, pipeline.Clock{Name: f.Name, Column: f.Name})
		}
	}
	return t
}

// Text makes a text at line 7, column 20 of p.yaml.
func Text(s string) pipeline.Text {
	return pipeline.Text{Value: s, Pos: pipeline.Pos{File: "p.yaml", Line: 7, Col: 20}, Path: "stages.x"}
}

// Texts makes several.
func Texts(list ...string) []pipeline.Text {
	out := make([]pipeline.Text, len(list))
	for i, s := range list {
		out[i] = Text(s)
	}
	return out
}

// Map makes an ordered mapping from alternating keys and values.
func Map(kv ...string) pipeline.Map[pipeline.Text] {
	var m pipeline.Map[pipeline.Text]
	for i := 0; i+1 < len(kv); i += 2 {
		*m.AddEntry(Text(kv[i])).(*pipeline.Text) = Text(kv[i+1])
	}
	return m
}

// Record builds a record; nil is null. Values are of the Go type that Append
// expects for the column.
func Record(mem arrow.Allocator, schema *arrow.Schema, rows ...[]any) arrow.Record {
	cols := make([]arrow.Array, schema.NumFields())
	for i, f := range schema.Fields() {
		if f.Type.ID() == arrow.DICTIONARY {
			cols[i] = labels(mem, f.Type, i, rows)
			continue
		}
		c := column.New(mem, f.Type)
		for _, row := range rows {
			appendValue(c, row[i])
		}
		cols[i] = c.Finish()
	}
	rec := arrow.NewRecord(schema, cols, int64(len(rows)))
	for _, c := range cols {
		c.Release()
	}
	return rec
}

func labels(mem arrow.Allocator, t arrow.DataType, i int, rows [][]any) arrow.Array {
	dict, codes := column.New(mem, arrow.StringType), column.New(mem, arrow.Int32Type)
	seen := map[string]int32{}
	for _, row := range rows {
		if row[i] == nil {
			codes.AppendNull()
			continue
		}
		v := row[i].(string)
		if _, ok := seen[v]; !ok {
			seen[v] = int32(dict.N)
			dict.AppendString(v)
		}
		codes.AppendInt32(seen[v])
	}
	d, c := dict.Finish(), codes.Finish()
	defer d.Release()
	defer c.Release()
	return arrow.NewDictionaryArray(t, c, d)
}

func appendValue(c *column.Column, v any) {
	if v == nil {
		c.AppendNull()
		return
	}
	switch c.Kind {
	case column.Bits:
		c.AppendBool(v.(bool))
	case column.Var:
		c.AppendString(v.(string))
	case column.List, column.FixedList:
		for _, x := range v.([]any) {
			appendValue(c.Children[0], x)
		}
		if c.Kind == column.List {
			c.CloseValue(c.Children[0].N)
		} else {
			c.N++
		}
	default:
		var u uint64
		switch v := v.(type) {
		case int:
			u = uint64(v)
		case uint64:
			u = v
		case float64:
			u = math.Float64bits(v)
			if c.Width == 4 {
				u = uint64(math.Float32bits(float32(v)))
			}
		case time.Time:
			u = uint64(v.UnixNano())
		case time.Duration:
			u = uint64(v)
		default:
			panic(fmt.Sprintf("rowtest: %T in a column of %s", v, c.Type))
		}
		var raw [16]byte
		for k := range raw[:8] {
			raw[k] = byte(u >> (8 * k))
		}
		if v, ok := v.(int); ok && v < 0 {
			for k := 8; k < 16; k++ {
				raw[k] = 0xff
			}
		}
		c.AppendFixed(raw[:c.Width])
	}
}

// Rows shows a record, one line for each row.
func Rows(rec arrow.Record) string {
	var b strings.Builder
	for i := range int(rec.NumRows()) {
		for j, col := range rec.Columns() {
			if j > 0 {
				b.WriteByte(' ')
			}
			if col.IsNull(i) || col.DataType().ID() == arrow.NULL {
				b.WriteString("null")
			} else {
				b.WriteString(col.ValueStr(i))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Result is what became of a batch.
type Result struct {
	Rows    string  // as Rows shows them
	Records []int64 // origin of each row
	Account pipeline.Account
	Bad     []string // record, column and reason of each rejected row
}

// Run sends a record through a stage and checks that the ledger balances. The
// record is released; its rows have the origins 100, 101, ...
func Run(t testing.TB, mem arrow.Allocator, bound *pipeline.Binding, in *pipeline.Table, rec arrow.Record) Result {
	t.Helper()
	var r Result
	p, err := bound.Open(pipeline.ProcessOptions{Allocator: mem, Reject: func(b pipeline.BadRow) error {
		r.Bad = append(r.Bad, fmt.Sprintf("%s@%d %s %s", b.Table, b.Record, b.Column, b.Reason))
		if b.Err == nil || b.Object != "" || b.Offset != -1 {
			t.Errorf("bad row %+v", b)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	n := rec.NumRows()
	var out int64
	err = p.Process(t.Context(), &pipeline.Batch{Table: in, Record: rec, Origin: pipeline.Origin{First: 100}}, &r.Account, func(e pipeline.Element) error {
		defer e.Batch.Release()
		if e.Batch.Table != bound.Outputs[0].Table || !e.Batch.Record.Schema().Equal(e.Batch.Table.Schema) {
			t.Errorf("batch of table %s with schema %v, want %v", e.Batch.Table.Name, e.Batch.Record.Schema(), bound.Outputs[0].Table.Schema)
		}
		out += int64(e.Batch.Rows())
		r.Rows += Rows(e.Batch.Record)
		for i := range e.Batch.Rows() {
			r.Records = append(r.Records, e.Batch.Origin.At(i))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rejected := int64(0)
	for _, c := range r.Account.Rejected {
		rejected += c
	}
	if n+r.Account.Created != out+r.Account.Filtered+rejected+r.Account.Absorbed {
		t.Errorf("ledger: %d rows in, %d out, %+v", n, out, r.Account)
	}
	if rejected != int64(len(r.Bad)) {
		t.Errorf("%d rows counted as rejected, %d reported", rejected, len(r.Bad))
	}
	return r
}

// Lineage shows where each column of an output comes from, and what is read
// besides.
func Lineage(o pipeline.Output) string {
	var b strings.Builder
	ref := func(r pipeline.ColumnRef) string {
		if r.Table == nil {
			return r.Dataset + "#" + r.Column
		}
		return r.Column
	}
	for i, f := range o.Table.Schema.Fields() {
		d := o.Columns[i]
		b.WriteString(f.Name + " <-")
		for _, in := range d.Inputs {
			b.WriteString(" " + ref(in))
		}
		if d.Identity {
			b.WriteString(" =")
		}
		if d.Expression != "" {
			b.WriteString(" [" + d.Expression + "]")
		}
		b.WriteByte('\n')
	}
	for _, r := range o.Reads {
		fmt.Fprintf(&b, "%s %s\n", r.How, ref(r.ColumnRef))
	}
	return b.String()
}
