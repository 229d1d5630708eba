package expr

import (
	"fmt"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

const benchRows = 64 << 10

// benchTable has columns a and b of int64, x and y of float64, s of strings
// and l of labels.
func benchTable() (*pipeline.Table, arrow.Record) {
	mem := arrow.NewGoAllocator()
	names := []string{"a", "b", "x", "y", "s"}
	types := []arrow.DataType{arrow.Int64Type, arrow.Int64Type, arrow.Float64Type, arrow.Float64Type, arrow.StringType}
	labels := []string{"gps", "imu", "odom", "camera"}
	var fields []arrow.Field
	var cols []arrow.Array
	for i, name := range names {
		c := column.New(mem, types[i])
		for r := range benchRows {
			h := uint64(r+i) * 0x9e3779b97f4a7c15 >> 33
			switch types[i].ID() {
			case arrow.FLOAT64:
				c.AppendFloat64(float64(h % 100))
			case arrow.STRING:
				c.AppendString(labels[h%4])
			default:
				c.AppendInt64(int64(h % 100))
			}
		}
		fields = append(fields, arrow.Field{Name: name, Type: types[i], Nullable: true})
		cols = append(cols, c.Finish())
	}
	dict, codes := column.New(mem, arrow.StringType), column.New(mem, arrow.Int32Type)
	for _, l := range labels {
		dict.AppendString(l)
	}
	for r := range benchRows {
		codes.AppendInt32(int32(uint64(r) * 0x9e3779b97f4a7c15 >> 62))
	}
	fields = append(fields, arrow.Field{Name: "l", Type: arrow.LabelType, Nullable: true})
	cols = append(cols, arrow.NewDictionaryArray(arrow.LabelType, codes.Finish(), dict.Finish()))
	schema := arrow.NewSchema(fields, nil)
	return &pipeline.Table{Name: "t", Schema: schema}, arrow.NewRecord(schema, cols, benchRows)
}

func BenchmarkSelect(b *testing.B) {
	table, rec := benchTable()
	for _, c := range []struct {
		text string
		keep int
	}{
		{`a > 50 && b < 20 || l == "gps"`, 24468},
		{`a > 50 && b < 20 || s == "gps"`, 22435},
		{`a > 50`, 32136},
		{`x > 50.5 and y < 20`, 8082},
		{`a + b * 2 > 150`, 31404},
		{`a % 2 == 0`, 32771},
		{`s in ["gps", "imu"]`, 32766},
	} {
		b.Run(c.text, func(b *testing.B) {
			p, err := Compile(pipeline.Text{Value: c.text}, table)
			if err != nil {
				b.Fatal(err)
			}
			s := p.NewScratch()
			b.ReportAllocs()
			for b.Loop() {
				keep, rejected := p.Select(s, rec.Columns(), benchRows)
				if len(keep) != c.keep || len(rejected) != 0 {
					b.Fatalf("%d rows kept, want %d", len(keep), c.keep)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
		})
	}
}

func BenchmarkArray(b *testing.B) {
	table, rec := benchTable()
	mem := arrow.NewGoAllocator()
	for _, text := range []string{"x * 3.6", "sqrt(x * x + y * y)", "a * 1000 + b", "upper(l)", "s + '/' + string(a)"} {
		b.Run(text, func(b *testing.B) {
			p, err := Compile(pipeline.Text{Value: text}, table)
			if err != nil {
				b.Fatal(err)
			}
			s := p.NewScratch()
			b.ReportAllocs()
			for b.Loop() {
				arr, rejected, err := p.Array(s, mem, rec.Columns(), benchRows)
				if err != nil || arr.Len() != benchRows || len(rejected) != 0 {
					b.Fatal(fmt.Sprint(arr, rejected, err))
				}
				arr.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
		})
	}
}

// After the first batch, selecting rows allocates nothing.
func TestSelectAllocatesNothing(t *testing.T) {
	table, rec := benchTable()
	p, err := Compile(pipeline.Text{Value: `a > 50 && b < 20 || s == "gps" or lower(l) != "imu" and sqrt(x) % 2 > 1 and a in [1, 2, 3, 4, 5, 6, 7, 8, 9]`}, table)
	if err != nil {
		t.Fatal(err)
	}
	s := p.NewScratch()
	if n := testing.AllocsPerRun(5, func() { p.Select(s, rec.Columns(), benchRows) }); n != 0 {
		t.Errorf("%v allocations for a batch", n)
	}
}
