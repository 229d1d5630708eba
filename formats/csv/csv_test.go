package csv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// memory is an object held in memory.
type memory struct {
	name string
	data []byte
}

func (m *memory) Object() pipeline.Object {
	return pipeline.Object{URI: "mem://" + m.name, Key: m.name, Size: int64(len(m.data))}
}

func (m *memory) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(m.data).ReadAt(p, off)
}

func (m *memory) Reader(_ context.Context, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.data[off:])), nil
}

type result struct {
	types, names []string
	rows         [][]string
	ordinals     []int64
	bad          []pipeline.BadRow
	counts       pipeline.TableCounts
	desc         *pipeline.Description
	err          error
}

func read(t testing.TB, src *memory, columns []string, opt pipeline.DecodeOptions) *result {
	t.Helper()
	return readWith(t, New(), src, columns, opt)
}

func readWith(t testing.TB, f pipeline.Format, src *memory, columns []string, opt pipeline.DecodeOptions) *result {
	t.Helper()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	out := &result{}
	ctx := context.Background()
	if out.desc, out.err = f.Describe(ctx, src); out.err != nil {
		return out
	}
	opt.Allocator = mem
	opt.Reject = func(b pipeline.BadRow) error {
		b.Raw = bytes.Clone(b.Raw)
		out.bad = append(out.bad, b)
		return nil
	}
	sel := pipeline.Selection{}
	if columns != nil {
		sel.Tables = []pipeline.TableSelection{{Table: out.desc.Tables[0].Table, Columns: columns}}
	}
	d, err := f.Open(ctx, src, out.desc, sel, opt)
	if err != nil {
		out.err = err
		return out
	}
	defer d.Close()
	for {
		e, err := d.Next(ctx)
		if err != nil {
			if err != io.EOF {
				out.err = err
			}
			break
		}
		if e.Batch == nil {
			continue
		}
		out.types, out.names = nil, e.Batch.Table.ColumnNames()
		for _, f := range e.Batch.Table.Schema.Fields() {
			out.types = append(out.types, f.Type.String())
		}
		for r := range e.Batch.Rows() {
			var row []string
			for _, a := range e.Batch.Record.Columns() {
				row = append(row, text(a, r))
			}
			out.rows, out.ordinals = append(out.rows, row), append(out.ordinals, e.Batch.Origin.At(r))
		}
		e.Batch.Release()
	}
	out.counts = d.Counts()[0]
	if n := out.desc.Tables[0].Rows; out.err == nil && n >= 0 && n != out.counts.Decoded && n != out.counts.Decoded+out.counts.Rejected["bad_cell"] {
		t.Fatalf("%d rows were described, %d delivered", out.desc.Tables[0].Rows, out.counts.Decoded)
	}
	return out
}

func text(a arrow.Array, r int) string {
	if a.IsNull(r) {
		return "null"
	}
	switch a := a.(type) {
	case *arrow.Bool:
		return fmt.Sprint(a.Value(r))
	case *arrow.Int64:
		return fmt.Sprint(a.Value(r))
	case *arrow.Float64:
		return fmt.Sprint(a.Value(r))
	case *arrow.Timestamp:
		return fmt.Sprint(int64(a.Value(r)))
	case *arrow.Date32:
		return fmt.Sprint(int32(a.Value(r)))
	case *arrow.String:
		return a.Value(r)
	}
	return "?"
}

func TestTypes(t *testing.T) {
	src := &memory{name: "dir/things.csv", data: []byte("\ufeffflag,count,size,at,day,id,mixed,big,huge,,none\r\n" +
		"true,-1,1.5,2026-03-02T08:00:00Z,2026-03-02,007,1,9007199254740993,18446744073709551616,\"a, \"\"b\"\"\nc\",\r\n" +
		"\r\n" +
		"False,9223372036854775807,2,2026-03-02T09:00:00.000000001+01:00,1969-12-31,8,x,0.5,1.5,é,\r\n" +
		",,,,,,,,,,\r\n")}
	want := &result{
		types: []string{"bool", "int64", "float64", "timestamp[ns, tz=UTC]", "date32", "utf8", "utf8", "utf8", "utf8", "utf8", "utf8"},
		names: []string{"flag", "count", "size", "at", "day", "id", "mixed", "big", "huge", "column_10", "none"},
		rows: [][]string{
			{"true", "-1", "1.5", "1772438400000000000", "20514", "007", "1", "9007199254740993", "18446744073709551616", "a, \"b\"\nc", "null"},
			{"false", "9223372036854775807", "2", "1772438400000000001", "-1", "8", "x", "0.5", "1.5", "é", "null"},
			{"null", "null", "null", "null", "null", "null", "null", "null", "null", "null", "null"},
		},
	}
	for _, rows := range []int{0, 1} {
		got := read(t, src, nil, pipeline.DecodeOptions{BatchRows: rows, Steps: rows == 1})
		if got.err != nil || !slices.Equal(got.types, want.types) || !slices.Equal(got.names, want.names) || fmt.Sprint(got.rows) != fmt.Sprint(want.rows) {
			t.Fatalf("%v\n%q\n%q\n%q", got.err, got.types, got.names, got.rows)
		}
		if name := got.desc.Tables[0].Table.Name; name != "things" {
			t.Errorf("the table is called %s", name)
		}
	}
	got := read(t, src, []string{"day", "count"}, pipeline.DecodeOptions{})
	if !slices.Equal(got.names, []string{"count", "day"}) || got.rows[1][1] != "-1" {
		t.Errorf("%v %v", got.names, got.rows)
	}
	if got := read(t, src, []string{"dya"}, pipeline.DecodeOptions{}); !errors.Is(got.err, pipeline.ErrSchema) {
		t.Errorf("%v", got.err)
	}
}

func TestBadRows(t *testing.T) {
	src := &memory{name: "t.csv", data: []byte("a,b\n1,2\n3\n4,5\n6,\"7\" x\n8,9,10\n11,12\n\r\n14,\xff\n\"13\n")}
	got := read(t, src, nil, pipeline.DecodeOptions{})
	if got.err != nil || fmt.Sprint(got.rows) != "[[1 2] [4 5] [11 12]]" || !slices.Equal(got.ordinals, []int64{0, 2, 5}) {
		t.Fatalf("%v %v %v", got.err, got.rows, got.ordinals)
	}
	for i, want := range []struct {
		record, offset int64
		reason, place  string
		raw            string
	}{{1, 8, "field_count", "3:1: ", "3"}, {3, 14, "bad_quote", "5:", "6,\"7\" x"}, {4, 22, "field_count", "6:1: ", "8,9,10"}, {6, 37, "bad_cell", "9:4: ", "14,\xff"}, {7, 42, "bad_quote", "10:", "\"13"}} {
		b := got.bad[i]
		if b.Record != want.record || b.Offset != want.offset || b.Reason != want.reason || !strings.HasPrefix(b.Err.Error(), want.place) || string(b.Raw) != want.raw {
			t.Errorf("bad row %d: %+v %v", i, b, b.Err)
		}
	}
	if c := got.counts; c.Found != 8 || c.Decoded != 3 || c.Rejected["field_count"] != 2 || c.Rejected["bad_quote"] != 2 {
		t.Errorf("%+v", c)
	}
}

func TestRefused(t *testing.T) {
	for data, kind := range map[string]error{
		"":        pipeline.ErrSchema,
		"a,b,a\n": pipeline.ErrSchema,
		"a,b\"\n": pipeline.ErrCorrupt,
		"a\n\"" + strings.Repeat("x", maxRecord+1<<20): pipeline.ErrLimit,
		string(gzipped("a,b\n1,2\n")[:24]):             pipeline.ErrTruncated,
	} {
		if got := read(t, &memory{name: "t.csv", data: []byte(data)}, nil, pipeline.DecodeOptions{}); !errors.Is(got.err, kind) {
			t.Errorf("%.20q: %v", data, got.err)
		}
	}
}

func gzipped(text string) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	io.WriteString(w, text)
	w.Close()
	return buf.Bytes()
}

// TestSideTables reads the tables that come with the samples.
func TestSideTables(t *testing.T) {
	for name, want := range map[string]string{
		"weather.csv":  "[utf8 timestamp[ns, tz=UTC] utf8 utf8 float64 int64 float64 utf8] 48",
		"stations.csv": "[utf8 utf8 utf8 int64] 3",
	} {
		data, err := os.ReadFile("../../testdata/weather/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, src := range []*memory{{name, data}, {name + ".gz", gzipped(string(data))}} {
			if !New().Sniff(src.name, src.data[:64]) {
				t.Errorf("%s is not recognised", src.name)
			}
			got := read(t, src, nil, pipeline.DecodeOptions{})
			if s := fmt.Sprint(got.types, len(got.rows)); s != want || got.err != nil || len(got.bad) > 0 {
				t.Errorf("%s: %s %v", src.name, s, got.err)
			}
		}
	}
	for _, other := range []string{"x.txt", ".csv", "._x.csv"} {
		if New().Sniff(other, []byte("a,b\n")) {
			t.Errorf("%s is taken for CSV", other)
		}
	}
	if New().Sniff("x.csv", []byte("\x89MCAP0\r\n\x00")) {
		t.Error("binary is taken for CSV")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("a,b\n1,2\n\"x\ny\",\n"))
	f.Add([]byte("a\n007\n\n1e5,\n\"\n"))
	f.Add(gzipped("a,b\ntrue,2026-03-02\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := read(t, &memory{"t.csv", data}, nil, pipeline.DecodeOptions{})
		single := read(t, &memory{"t.csv", data}, nil, pipeline.DecodeOptions{BatchRows: 1})
		if fmt.Sprint(whole.rows, whole.ordinals, whole.err) != fmt.Sprint(single.rows, single.ordinals, single.err) {
			t.Fatal("other rows one by one")
		}
	})
}
