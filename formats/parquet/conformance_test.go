package parquet

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// allTypes is a table with every type of batches and the values at which
// readers and writers disagree most easily.
func allTypes(t testing.TB, mem arrow.Allocator) arrow.Record {
	t.Helper()
	type col struct {
		name string
		typ  arrow.DataType
		add  func(c *column.Column)
	}
	fixedOf := func(values ...uint64) func(c *column.Column) {
		return func(c *column.Column) {
			for _, v := range values {
				b := make([]byte, 16)
				for i := range b {
					if i < 8 {
						b[i] = byte(v >> (8 * i))
					} else {
						b[i] = byte(int64(v) >> 63)
					}
				}
				c.AppendFixed(b[:c.Width])
			}
		}
	}
	text := func(values ...string) func(c *column.Column) {
		return func(c *column.Column) {
			for _, v := range values {
				c.AppendString(v)
			}
		}
	}
	signed := fixedOf(0, math.MaxUint64, 1<<63|1<<31|1<<15|1<<7, 1<<63-1, 42, 127)
	floats := func(c *column.Column) {
		for _, v := range []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), 1.5} {
			if c.Width == 4 {
				c.AppendInt32(int32(math.Float32bits(float32(v))))
			} else {
				c.AppendFloat64(v)
			}
		}
	}
	long := strings.Repeat("ünïcode ", 40)
	numbers := func(c *column.Column) {
		// [], [1], [null], [1 2 3], [] and, once more, [7]
		for _, list := range [][]int32{{}, {1}, {-1}, {1, 2, 3}, {}, {7}} {
			for _, v := range list {
				if v < 0 {
					c.Children[0].AppendNull()
				} else {
					c.Children[0].AppendInt32(v)
				}
			}
			c.CloseValue(c.Children[0].N)
		}
	}
	cols := []col{
		{"bool", arrow.BoolType, func(c *column.Column) {
			for i := range 6 {
				c.AppendBool(i%2 == 0)
			}
		}},
		{"int8", arrow.Int8Type, signed}, {"int16", arrow.Int16Type, signed}, {"int32", arrow.Int32Type, signed}, {"int64", arrow.Int64Type, signed},
		{"uint8", arrow.Uint8Type, signed}, {"uint16", arrow.Uint16Type, signed}, {"uint32", arrow.Uint32Type, signed}, {"uint64", arrow.Uint64Type, signed},
		{"float32", arrow.Float32Type, floats}, {"float64", arrow.Float64Type, floats},
		{"text", arrow.StringType, text("", "a", "a", long, long+"1", "\U0010ffff")},
		{"binary", arrow.BinaryType, text("", "\x00", strings.Repeat("\xff", 80), strings.Repeat("\xff", 81), "\x80", "z")},
		{"date", arrow.Date32Type, fixedOf(0, math.MaxUint64, 20514, 1, 2, 3)},
		{"time", arrow.TimeType, fixedOf(0, math.MaxUint64, 1<<63, 1<<63-1, 1772000000123456789, 1)},
		{"span", arrow.SpanType, fixedOf(0, math.MaxUint64, 1<<63, 1<<63-1, 5, 6)},
		{"decimal", &arrow.Decimal128Type{Precision: 20, Scale: 3}, fixedOf(0, math.MaxUint64, 1<<63, 1<<63-1, 7, 8)},
		{"list", arrow.ListOf(arrow.Int32Type), numbers},
		{"fixed_list", arrow.FixedSizeListOf(2, arrow.Float64Type), func(c *column.Column) {
			for i := range 12 {
				c.Children[0].AppendFloat64(float64(i))
			}
			c.N += 6
		}},
		{"structs", arrow.ListOf(arrow.StructOf(
			arrow.Field{Name: "Key", Type: arrow.StringType, Nullable: true},
			arrow.Field{Name: "values", Type: arrow.ListOf(arrow.Uint16Type), Nullable: true},
		)), func(c *column.Column) {
			s := c.Children[0]
			for i := range 6 {
				for k := range i % 3 {
					if k == 1 {
						s.AppendNull()
						continue
					}
					s.Children[0].AppendString("k")
					for v := range i {
						s.Children[1].Children[0].AppendFixed([]byte{byte(v), 0xff})
					}
					s.Children[1].CloseValue(s.Children[1].Children[0].N)
					s.N++
				}
				c.CloseValue(s.N)
			}
		}},
		{"lists", arrow.ListOf(arrow.ListOf(arrow.StringType)), func(c *column.Column) {
			l := c.Children[0]
			for i := range 6 {
				for range i % 3 {
					if i == 5 {
						l.AppendNull()
						continue
					}
					l.Children[0].AppendString("x")
					l.Children[0].AppendNull()
					l.CloseValue(l.Children[0].N)
				}
				c.CloseValue(l.N)
			}
		}},
		{"nothing", arrow.NullType, func(c *column.Column) { c.AppendNulls(6) }},
	}
	fields := []arrow.Field{{Name: "ts", Type: arrow.TimeType, Nullable: true, Metadata: pipeline.FieldMeta(pipeline.MetaRole, pipeline.RoleTime)}}
	ts := column.New(mem, arrow.TimeType)
	for _, v := range []int64{math.MinInt64 + 808, -1001, -1, 0, 1772000000123456789, math.MaxInt64, 1} {
		ts.AppendInt64(v)
	}
	arrs := []arrow.Array{ts.Finish()}
	for _, k := range cols {
		// With a null behind the values, and once with only the values.
		c := column.New(mem, k.typ)
		k.add(c)
		c.AppendNull()
		fields = append(fields, arrow.Field{Name: k.name, Type: k.typ, Nullable: true})
		arrs = append(arrs, c.Finish())
	}
	codes, labels := column.New(mem, arrow.Int32Type), column.New(mem, arrow.StringType)
	for _, l := range []string{"unused", "park", "drive"} {
		labels.AppendString(l)
	}
	for i := range 6 {
		codes.AppendInt32(int32(1 + i%2))
	}
	codes.AppendNull()
	x, d := codes.Finish(), labels.Finish()
	fields = append(fields, arrow.Field{Name: "label", Type: arrow.LabelType, Nullable: true})
	arrs = append(arrs, arrow.NewDictionaryArray(arrow.LabelType, x, d))
	x.Release()
	d.Release()
	rec := arrow.NewRecord(arrow.NewSchema(fields, nil), arrs, 7)
	for _, a := range arrs {
		a.Release()
	}
	return rec
}

// spellJSON spells a value as testdata/check_types.py expects it.
func spellJSON(arr arrow.Array, i int) any {
	if arr.DataType().ID() == arrow.NULL || arr.IsNull(i) {
		return nil
	}
	list := func(values arrow.Array, from, to int) any {
		out := []any{}
		for k := from; k < to; k++ {
			out = append(out, spellJSON(values, k))
		}
		return out
	}
	switch a := arr.(type) {
	case *arrow.String, *arrow.Dictionary:
		return "s:" + string(textAt(arr, i))
	case *arrow.Binary:
		return "b:" + hex.EncodeToString(textAt(arr, i))
	case *arrow.List:
		off := listOffsets(a)
		return list(a.ListValues(), int(off[i]), int(off[i+1]))
	case *arrow.FixedSizeList:
		at := a.Data().Offset() + i
		return list(a.ListValues(), at*listSize(a), (at+1)*listSize(a))
	case *arrow.Struct:
		out := []any{}
		for k := range a.NumField() {
			out = append(out, spellJSON(a.Field(k), i))
		}
		return out
	}
	return spell(arr, i)
}

// Other readers see the values that were written. DRIVEMILL_PYTHON names a
// Python interpreter with pyarrow and duckdb.
func TestOtherReaders(t *testing.T) {
	python := os.Getenv("DRIVEMILL_PYTHON")
	if python == "" {
		t.Skip("DRIVEMILL_PYTHON is not set: no interpreter with pyarrow and duckdb")
	}
	mem := arrow.NewGoAllocator()
	rec := allTypes(t, mem)
	dir := t.TempDir()
	type expectedColumn struct {
		Name   string `json:"name"`
		Values []any  `json:"values"`
	}
	for name, opt := range map[string]WriterOptions{
		"lake":    {},
		"groups":  {RowGroupRows: 1, Compression: "snappy"},
		"pairs":   {RowGroupRows: 2, Compression: "none"},
		"source":  {Mapping: Mapping{SourceTypes: true, SourceNames: true}, Level: 19},
		"sources": {Mapping: Mapping{SourceTypes: true, SourceNames: true}, RowGroupRows: 2},
	} {
		file := encodeWith(t, rec, opt, 3)
		if err := os.WriteFile(filepath.Join(dir, name+".parquet"), file, 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := newPlan(&pipeline.Table{Name: "/t", Schema: rec.Schema()}, opt.Mapping, nil)
		if err != nil {
			t.Fatal(err)
		}
		var want []expectedColumn
		for _, c := range p.columns {
			e := expectedColumn{Name: c.name}
			for _, i := range writtenOrder(t, rec, opt.RowGroupRows) {
				v := spellJSON(rec.Column(c.input), int(i))
				if c.leaf != nil && c.leaf.cell == cellMicros && v != nil {
					v = spellInt(floorMicros(fixed[int64](rec.Column(c.input))[i]))
				}
				e.Values = append(e.Values, v)
			}
			want = append(want, e)
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".json"), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(python, filepath.Join("testdata", "check_types.py"), dir).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
