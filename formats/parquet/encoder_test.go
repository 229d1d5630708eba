package parquet

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// The rows of any table come back as they were written, whatever the size of
// batches and the number of workers; and neither changes a byte.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		rec := drawRecord(t, mem)
		opt := WriterOptions{
			Mapping: Mapping{
				SourceTypes: rapid.Bool().Draw(t, "source types"), SourceNames: rapid.Bool().Draw(t, "source names"),
			},
			Compression:  rapid.SampledFrom(Compressions).Draw(t, "compression"),
			RowGroupRows: rapid.IntRange(1, 50).Draw(t, "row group"),
			Allocator:    mem,
		}
		file := encodeWith(t, rec, opt, 1000)
		for _, other := range []struct {
			size    int
			workers int
		}{{1, 3}, {7, 1}, {1000, 2}} {
			opt.Workers = other.workers
			if got := encodeWith(t, rec, opt, other.size); !bytes.Equal(got, file) {
				t.Fatalf("%+v: %d bytes differ from %d", other, len(got), len(file))
			}
		}
		want := expected(t, rec, opt.Mapping, opt.RowGroupRows)
		_, got, err := tryRead(mem, file, pipeline.Selection{}, pipeline.DecodeOptions{BatchRows: rapid.IntRange(1, 50).Draw(t, "batch")})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d rows, want %d", len(got), len(want))
		}
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Fatalf("row %d:\n got %v\nwant %v", i, got[i], want[i])
			}
		}
		rec.Release()
		mem.AssertSize(fatalf{t}, 0)
	})
}

// A codec that has compressed other pages before, on several goroutines, makes
// the same bytes as a fresh one.
func TestCodecHasNoMemory(t *testing.T) {
	for _, name := range Compressions {
		fresh, err := newCodec(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		used, err := newCodec(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		rec := benchRecord(100_000)
		p, err := newPlan(&pipeline.Table{Name: "/t", Schema: rec.Schema()}, Mapping{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		encode := func(codec *codec, from int64, workers int) []byte {
			var b bytes.Buffer
			f := newFile(&b, p, codec, nil)
			part := rec.NewSlice(from, rec.NumRows())
			defer part.Release()
			g, err := f.encode(arrow.NewGoAllocator(), []arrow.Record{part}, newPool(workers))
			if err != nil {
				t.Fatal(err)
			}
			if err := f.commit(g); err != nil {
				t.Fatal(err)
			}
			if err := f.close(); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
		want := encode(fresh, 0, 1)
		for i := range int64(4) {
			encode(used, 7777*i, 3)
			if !bytes.Equal(encode(used, 0, 2), want) {
				t.Fatalf("%s remembers what it compressed before", name)
			}
		}
	}
}

// fatalf lets a checked allocator report to rapid.
type fatalf struct{ *rapid.T }

func (f fatalf) Errorf(format string, args ...any) { f.T.Fatalf("%s", fmt.Sprintf(format, args...)) }

// Pages that lie in several batches, and batches of which only some hold
// nulls, empty lists or labels, change no byte.
func TestPagesAcrossBatches(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	const rows = 40_000
	fields := []arrow.Field{
		{Name: "number", Type: arrow.Float64Type, Nullable: true},
		{Name: "list", Type: arrow.ListOf(arrow.Int32Type), Nullable: true},
		{Name: "fixed", Type: arrow.FixedSizeListOf(9, arrow.Float64Type)},
		{Name: "text", Type: arrow.StringType, Nullable: true},
		{Name: "bytes", Type: arrow.BinaryType, Nullable: true},
		{Name: "flag", Type: arrow.BoolType, Nullable: true},
		{Name: "nothing", Type: arrow.NullType, Nullable: true},
	}
	cols := make([]arrow.Array, len(fields))
	for i, f := range fields {
		c := column.New(mem, f.Type)
		if f.Type.ID() == arrow.NULL {
			c.AppendNulls(rows)
			cols[i] = c.Finish()
			continue
		}
		for k := range rows {
			// Nulls lie in the last third only.
			if f.Nullable && k > rows*2/3 && k%5 == 0 {
				c.AppendNull()
				continue
			}
			switch f.Name {
			case "number":
				c.AppendFloat64(float64(k % 977))
			case "list":
				for v := range k / 1000 % 4 {
					c.Children[0].AppendInt32(int32(v + k))
				}
				c.CloseValue(c.Children[0].N)
			case "fixed":
				for v := range 9 {
					c.Children[0].AppendFloat64(float64(k*v) / 8)
				}
				c.N++
			case "flag":
				c.AppendBool(k%3 == 0)
			default:
				c.AppendBytes(fmt.Appendf(nil, "%s %d", f.Name, k%(k/100+1)))
			}
		}
		cols[i] = c.Finish()
	}
	rec := arrow.NewRecord(arrow.NewSchema(fields, nil), cols, rows)
	for _, c := range cols {
		c.Release()
	}
	defer rec.Release()
	opt := WriterOptions{Allocator: mem}
	want := encodeWith(t, rec, opt, rows)
	for _, size := range []int{1025, 9_999, 39_000} {
		opt.Workers = size % 3
		if got := encodeWith(t, rec, opt, size); !bytes.Equal(got, want) {
			t.Errorf("batches of %d rows: %d bytes differ from %d", size, len(got), len(want))
		}
	}
	compareWithParquetGo(t, rec, WriterOptions{})
}

// Lists of structs of lists, with nulls and empty lists at every level, and a
// string that is larger than a page.
func TestDeepNulls(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	inner := arrow.StructOf(
		arrow.Field{Name: "id", Type: arrow.Int64Type},
		arrow.Field{Name: "weights", Type: arrow.ListOf(arrow.Float64Type), Nullable: true},
		arrow.Field{Name: "pair", Type: arrow.FixedSizeListOf(2, arrow.Int32Type), Nullable: true},
		arrow.Field{Name: "name", Type: arrow.StringType, Nullable: true},
		arrow.Field{Name: "big", Type: arrow.Uint64Type, Nullable: true},
	)
	fields := []arrow.Field{{Name: "objects", Type: arrow.ListOf(inner), Nullable: true}, {Name: "text", Type: arrow.StringType}}
	objects, text := column.New(mem, fields[0].Type), column.New(mem, fields[1].Type)
	const rows = 3000
	item := objects.Children[0]
	n := 0
	for i := range rows {
		if text.AppendString(fmt.Sprint(i)); i == rows/2 {
			text.Truncate(i)
			text.AppendString(strings.Repeat("a long text ", 3<<20/12))
		}
		if i%7 == 0 {
			objects.AppendNull()
			continue
		}
		for range i % 4 {
			n++
			if n%11 == 0 {
				item.AppendNull()
				continue
			}
			id, weights, pair, name, big := item.Children[0], item.Children[1], item.Children[2], item.Children[3], item.Children[4]
			id.AppendInt64(int64(n))
			if n%5 == 0 {
				weights.AppendNull()
			} else {
				for k := range n % 3 {
					if (n+k)%4 == 0 {
						weights.Children[0].AppendNull()
					} else {
						weights.Children[0].AppendFloat64(float64(n))
					}
				}
				weights.CloseValue(weights.Children[0].N)
			}
			if n%6 == 0 {
				pair.AppendNull()
			} else {
				pair.Children[0].AppendInt32(int32(n))
				pair.Children[0].AppendInt32(-1)
				pair.N++
			}
			if n%3 == 0 {
				name.AppendNull()
			} else {
				name.AppendString(fmt.Sprintf("object %d", n%50))
			}
			if n%9 == 0 {
				big.AppendNull()
			} else {
				big.AppendInt64(int64(-n)) // beyond 2^63, unsigned
			}
			item.N++
		}
		objects.CloseValue(item.N)
	}
	cols := []arrow.Array{objects.Finish(), text.Finish()}
	rec := arrow.NewRecord(arrow.NewSchema(fields, nil), cols, rows)
	cols[0].Release()
	cols[1].Release()
	defer rec.Release()
	opt := WriterOptions{Allocator: mem, RowGroupRows: 1200}
	want := encodeWith(t, rec, opt, rows)
	for _, size := range []int{1, 1100} {
		if got := encodeWith(t, rec, opt, size); !bytes.Equal(got, want) {
			t.Errorf("batches of %d rows: %d bytes differ from %d", size, len(got), len(want))
		}
	}
	compareWithParquetGo(t, rec, opt)
	_, got, err := tryRead(mem, want, pipeline.Selection{}, pipeline.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range expected(t, rec, Mapping{}, opt.RowGroupRows) {
		if !slices.Equal(got[i], row) {
			t.Fatalf("row %d:\n got %v\nwant %v", i, got[i], row)
		}
	}
}
