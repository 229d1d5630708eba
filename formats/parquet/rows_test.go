package parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// spell writes out one value so that two spellings are equal exactly when the
// values are, whatever the width of an integer or the kind of a list.
func spell(arr arrow.Array, i int) string {
	if arr.DataType().ID() == arrow.NULL || arr.IsNull(i) {
		return "null"
	}
	switch a := arr.(type) {
	case *arrow.Bool:
		return fmt.Sprint(a.Value(i))
	case *arrow.Float32:
		return fmt.Sprintf("f%08x", math.Float32bits(a.Value(i)))
	case *arrow.Float64:
		return fmt.Sprintf("d%016x", math.Float64bits(a.Value(i)))
	case *arrow.Timestamp:
		return fmt.Sprint(int64(a.Value(i)))
	case *arrow.Duration:
		return fmt.Sprint(int64(a.Value(i)))
	case *arrow.Date32:
		return fmt.Sprint(int32(a.Value(i)))
	case *arrow.Decimal128:
		v := a.Value(i)
		n := new(big.Int).Lsh(big.NewInt(v.HighBits()), 64)
		return n.Add(n, new(big.Int).SetUint64(v.LowBits())).String()
	case *arrow.String, *arrow.Binary, *arrow.Dictionary:
		return fmt.Sprintf("%q", textAt(arr, i))
	case *arrow.List:
		off := listOffsets(a)
		return spellList(a.ListValues(), int(off[i]), int(off[i+1]))
	case *arrow.FixedSizeList:
		at := a.Data().Offset() + i
		return spellList(a.ListValues(), at*listSize(a), (at+1)*listSize(a))
	case *arrow.Struct:
		var parts []string
		for k := range a.NumField() {
			parts = append(parts, spell(a.Field(k), i))
		}
		return "{" + strings.Join(parts, " ") + "}"
	}
	return arr.ValueStr(i)
}

func spellList(arr arrow.Array, from, to int) string {
	parts := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		parts = append(parts, spell(arr, i))
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// flatTypes are the types of batches that have no children.
var flatTypes = []arrow.DataType{
	arrow.BoolType, arrow.Int8Type, arrow.Int16Type, arrow.Int32Type, arrow.Int64Type,
	arrow.Uint8Type, arrow.Uint16Type, arrow.Uint32Type, arrow.Uint64Type, arrow.Float32Type, arrow.Float64Type,
	arrow.StringType, arrow.BinaryType, arrow.Date32Type, arrow.TimeType, arrow.SpanType,
	&arrow.Decimal128Type{Precision: 38, Scale: 4}, &arrow.Decimal128Type{Precision: 7, Scale: 2},
}

// draw appends a random value of a column, with nulls where they may be.
func draw(t *rapid.T, c *column.Column, nullable bool) {
	if c.Kind == column.Empty || nullable && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
		c.AppendNull()
		return
	}
	switch c.Kind {
	case column.Bits:
		c.AppendBool(rapid.Bool().Draw(t, "bool"))
	case column.Var:
		s := rapid.SampledFrom([]string{"", "a", "b", "éß", strings.Repeat("long é", 20), "\U0010ffff" + strings.Repeat("\U0010ffff", 30)}).Draw(t, "text")
		if c.Type.ID() == arrow.BINARY && rapid.Bool().Draw(t, "ff") {
			s = strings.Repeat("\xff", rapid.IntRange(0, 70).Draw(t, "bytes"))
		}
		c.AppendString(s)
	case column.Fixed:
		b := make([]byte, c.Width)
		if d, ok := c.Type.(*arrow.Decimal128Type); ok {
			v := rapid.Int64Range(-9999999, 9999999).Draw(t, "decimal")
			n := arrow.NewDecimalNumber(v>>63, uint64(v))
			if d.Precision > 20 {
				n = arrow.NewDecimalNumber(rapid.Int64Range(-1<<61, 1<<61).Draw(t, "high"), rapid.Uint64().Draw(t, "low"))
			}
			x, _ := decimalBytes(n, 16)
			for i := range b {
				b[i] = x[15-i]
			}
			c.AppendFixed(b)
			return
		}
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0: // minus one, NaN with a payload
			for i := range b {
				b[i] = 0xff
			}
		case 1: // least integer, minus zero
			b[c.Width-1] = 0x80
		case 2: // greatest integer
			for i := range b {
				b[i] = 0xff
			}
			b[c.Width-1] = 0x7f
		default:
			for i := range b {
				b[i] = rapid.Byte().Draw(t, "byte")
			}
		}
		c.AppendFixed(b)
	case column.List:
		elem := c.Type.(*arrow.ListType).ElemField()
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			draw(t, c.Children[0], elem.Nullable)
		}
		c.CloseValue(c.Children[0].N)
	case column.FixedList:
		elem := c.Type.(*arrow.FixedSizeListType).ElemField()
		for range c.Width {
			draw(t, c.Children[0], elem.Nullable)
		}
		c.N++
	case column.Struct:
		for i, f := range c.Type.(*arrow.StructType).Fields() {
			draw(t, c.Children[i], f.Nullable)
		}
		c.N++
	}
}

// drawType draws a type with up to depth levels of lists and structs.
func drawType(t *rapid.T, depth int) arrow.DataType {
	kind := rapid.IntRange(0, 5).Draw(t, "type")
	if depth == 0 || kind < 3 {
		return rapid.SampledFrom(flatTypes).Draw(t, "flat")
	}
	field := func(name string) arrow.Field {
		return arrow.Field{Name: name, Type: drawType(t, depth-1), Nullable: rapid.Bool().Draw(t, "nullable")}
	}
	switch kind {
	case 3:
		return arrow.ListOfField(field("item"))
	case 4:
		return arrow.FixedSizeListOf(rapid.Int32Range(1, 3).Draw(t, "size"), drawType(t, depth-1))
	}
	return arrow.ListOf(arrow.StructOf(field("x"), field("y")))
}

// drawRecord draws a table with a time, labels and a few other columns.
func drawRecord(t *rapid.T, mem arrow.Allocator) arrow.Record {
	rows := rapid.IntRange(0, 40).Draw(t, "rows")
	fields := []arrow.Field{
		{Name: "recording_id", Type: arrow.StringType, Nullable: rapid.Bool().Draw(t, "nullable"), Metadata: pipeline.FieldMeta(pipeline.MetaRole, pipeline.RoleAttribute)},
		{Name: "ts", Type: arrow.TimeType, Nullable: true, Metadata: pipeline.FieldMeta(pipeline.MetaRole, pipeline.RoleTime)},
		{Name: "Mode", Type: arrow.LabelType, Nullable: true},
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "columns") {
		f := arrow.Field{Name: fmt.Sprintf("col.%d", i), Type: drawType(t, 2), Nullable: rapid.Bool().Draw(t, "nullable")}
		if rapid.IntRange(0, 9).Draw(t, "nulls only") == 0 {
			f.Type, f.Nullable = arrow.NullType, true
		}
		fields = append(fields, f)
	}
	cols := make([]arrow.Array, len(fields))
	for i, f := range fields {
		if f.Type.ID() == arrow.DICTIONARY {
			cols[i] = drawLabels(t, mem, rows)
			defer cols[i].Release()
			continue
		}
		c := column.New(mem, f.Type)
		for range rows {
			if f.Name == "ts" {
				c.AppendInt64(rapid.SampledFrom([]int64{math.MinInt64 + 808, -1, 0, 1, 999, 1000, 1772000000123456789, math.MaxInt64}).Draw(t, "ts"))
			} else {
				draw(t, c, f.Nullable)
			}
		}
		cols[i] = c.Finish()
		defer cols[i].Release()
	}
	return arrow.NewRecord(arrow.NewSchema(fields, nil), cols, int64(rows))
}

func drawLabels(t *rapid.T, mem arrow.Allocator, rows int) arrow.Array {
	texts, codes := column.New(mem, arrow.StringType), column.New(mem, arrow.Int32Type)
	for i := range 4 {
		texts.AppendString(fmt.Sprintf("mode %d", i%3)) // one of them twice
	}
	for range rows {
		if rapid.IntRange(0, 3).Draw(t, "null") == 0 {
			codes.AppendNull()
		} else {
			codes.AppendInt32(rapid.Int32Range(0, 3).Draw(t, "code"))
		}
	}
	x, d := codes.Finish(), texts.Finish()
	defer x.Release()
	defer d.Release()
	return arrow.NewDictionaryArray(arrow.LabelType, x, d)
}

// bytesSource is an object in memory.
type bytesSource []byte

func (s bytesSource) Object() pipeline.Object {
	return pipeline.Object{URI: "mem://x/table.parquet", Key: "x/table.parquet", Size: int64(len(s))}
}

func (s bytesSource) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(s).ReadAt(p, off)
}

func (s bytesSource) Reader(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if n < 0 {
		n = int64(len(s)) - off
	}
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(s), off, n)), nil
}

type testingT interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// readAll reads a file and returns its table with the rows, each as cells.
func readAll(t testingT, mem arrow.Allocator, file []byte, sel pipeline.Selection, opt pipeline.DecodeOptions) (*pipeline.Table, [][]string) {
	t.Helper()
	table, rows, err := tryRead(mem, file, sel, opt)
	if err != nil {
		t.Fatal(err)
	}
	return table, rows
}

func tryRead(mem arrow.Allocator, file []byte, sel pipeline.Selection, opt pipeline.DecodeOptions) (*pipeline.Table, [][]string, error) {
	ctx := context.Background()
	src := bytesSource(file)
	d, err := Reader{}.Describe(ctx, src)
	if err != nil {
		return nil, nil, err
	}
	opt.Allocator = mem
	dec, err := Reader{}.Open(ctx, src, d, sel, opt)
	if err != nil {
		return nil, nil, err
	}
	defer dec.Close()
	var rows [][]string
	for {
		el, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if el.Batch == nil {
			continue
		}
		for i := range el.Batch.Rows() {
			row := make([]string, el.Batch.Record.NumCols())
			for j, c := range el.Batch.Record.Columns() {
				row[j] = spell(c, i)
			}
			rows = append(rows, row)
		}
		el.Batch.Release()
	}
	c := dec.Counts()[0]
	if c.Found != c.Decoded+c.Unselected || c.Indexed != c.Found+c.Lost || c.Lost != 0 {
		return nil, nil, fmt.Errorf("counts do not balance: %+v", c)
	}
	return d.Tables[0].Table, rows, nil
}

// encodeWith writes rec through a Writer, in batches of size rows.
func encodeWith(t testingT, rec arrow.Record, opt WriterOptions, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, &pipeline.Table{Name: "/t", Schema: rec.Schema()}, opt)
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < int(rec.NumRows()); from += size {
		to := min(from+size, int(rec.NumRows()))
		if err := w.Write(&pipeline.Batch{Record: rec.NewSlice(int64(from), int64(to))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writtenOrder is the order of the rows of rec in row groups of n rows, 0 for
// one row group.
func writtenOrder(t testingT, rec arrow.Record, n int) []int32 {
	t.Helper()
	rows := int(rec.NumRows())
	if n == 0 {
		n = max(rows, 1)
	}
	var out []int32
	for from := 0; from < rows; from += n {
		part := rec.NewSlice(int64(from), int64(min(from+n, rows)))
		order, err := column.SortRows(part, sortKey(rec.Schema()))
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(part.NumRows()) {
			if order != nil {
				i = int(order[i])
			}
			out = append(out, int32(from+i))
		}
		part.Release()
	}
	return out
}

func spellInt(v int64) string { return strconv.FormatInt(v, 10) }

// expected spells the rows of rec as a file must hold them.
func expected(t testingT, rec arrow.Record, m Mapping, group int) [][]string {
	t.Helper()
	var out [][]string
	for _, i := range writtenOrder(t, rec, group) {
		var row []string
		for j, c := range rec.Columns() {
			v := spell(c, int(i))
			if rec.ColumnName(j) == "ts" && !m.SourceTypes {
				micros := "null"
				if c.IsValid(int(i)) {
					q := new(big.Int)
					q.Div(big.NewInt(fixed[int64](c)[i]), big.NewInt(1000)) // floors for a positive divisor
					micros = q.Mul(q, big.NewInt(1000)).String()
				}
				row = append(row, micros)
			}
			row = append(row, v)
		}
		out = append(out, row)
	}
	return out
}
