package parquet

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// benchRecord is a table of a time, six numbers that wander, a label and an
// integer that is null in every eighth row.
func benchRecord(rows int) arrow.Record {
	mem := arrow.NewGoAllocator()
	fields := []arrow.Field{{Name: "stamp", Type: arrow.TimeType}}
	for i := range 6 {
		fields = append(fields, arrow.Field{Name: fmt.Sprintf("x%d", i), Type: arrow.Float64Type, Nullable: true})
	}
	fields = append(fields, arrow.Field{Name: "mode", Type: arrow.LabelType}, arrow.Field{Name: "count", Type: arrow.Int64Type, Nullable: true})
	cols := make([]arrow.Array, len(fields))
	for i, f := range fields {
		if f.Type.ID() == arrow.DICTIONARY {
			codes, labels := column.New(mem, arrow.Int32Type), column.New(mem, arrow.StringType)
			for k := range 8 {
				labels.AppendString(fmt.Sprintf("MODE_%d", k))
			}
			for k := range rows {
				codes.AppendInt32(int32(k / 1000 % 8))
			}
			cols[i] = arrow.NewDictionaryArray(f.Type, codes.Finish(), labels.Finish())
			continue
		}
		c := column.New(mem, f.Type)
		for k := range rows {
			switch {
			case f.Name == "stamp":
				c.AppendInt64(1772000000000000000 + int64(k)*10_000_000 + int64(k*7919%1000))
			case f.Name == "count" && k%8 == 0:
				c.AppendNull()
			case f.Name == "count":
				c.AppendInt64(int64(k / 100))
			default:
				c.AppendFloat64(math.Round(1e4*math.Sin(float64(k)/1000+float64(i))) / 1e4)
			}
		}
		cols[i] = c.Finish()
	}
	return arrow.NewRecord(arrow.NewSchema(fields, nil), cols, int64(rows))
}

func rawSize(rec arrow.Record) int64 {
	n := int64(0)
	for _, c := range rec.Columns() {
		n += rawBytes(c, 0, c.Len())
	}
	return n
}

func BenchmarkEncode(b *testing.B) {
	const rows = 2_000_000
	rec := benchRecord(rows)
	table := &pipeline.Table{Name: "/bench", Schema: rec.Schema()}
	for _, bench := range []struct {
		name    string
		codec   string
		level   int
		workers int
	}{
		{"zstd", "zstd", 0, 1},
		{"zstd1", "zstd", 1, 1},
		{"zstd/workers=2", "zstd", 0, 2},
		{"snappy", "snappy", 0, 1},
		{"none", "none", 0, 1},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(rawSize(rec))
			b.ReportAllocs()
			var size countWriter
			for b.Loop() {
				size = 0
				w, err := NewWriter(&size, table, WriterOptions{Compression: bench.codec, Level: bench.level, Workers: bench.workers})
				if err != nil {
					b.Fatal(err)
				}
				if err := w.Write(&pipeline.Batch{Table: table, Record: rec.NewSlice(0, rows)}); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			if size < rows {
				b.Fatalf("a file of %d bytes", size)
			}
			b.ReportMetric(float64(size)/rows, "bytes/row")
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// BenchmarkEncodeSmall is short enough for the regression gate.
func BenchmarkEncodeSmall(b *testing.B) {
	const rows = 50_000
	rec := benchRecord(rows)
	table := &pipeline.Table{Name: "/bench", Schema: rec.Schema()}
	b.SetBytes(rawSize(rec))
	b.ReportAllocs()
	for b.Loop() {
		var size countWriter
		w, err := NewWriter(&size, table, WriterOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := w.Write(&pipeline.Batch{Table: table, Record: rec.NewSlice(0, rows)}); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil || size < rows {
			b.Fatalf("a file of %d bytes, %v", size, err)
		}
	}
}

type countWriter int64

func (w *countWriter) Write(p []byte) (int, error) {
	*w += countWriter(len(p))
	return len(p), nil
}

// BenchmarkEncodeLists writes what an odometry message is mostly made of: two
// covariances of 36 numbers.
func BenchmarkEncodeLists(b *testing.B) {
	const rows = 20_000
	mem := arrow.NewGoAllocator()
	typ := arrow.FixedSizeListOf(36, arrow.Float64Type)
	c := column.New(mem, typ)
	for i := range rows {
		for k := range 36 {
			c.Children[0].AppendFloat64(float64(i%100) * float64(k%7))
		}
		c.N++
	}
	arr := c.Finish()
	rec := arrow.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "covariance", Type: typ}}, nil), []arrow.Array{arr}, rows)
	table := &pipeline.Table{Name: "/odom", Schema: rec.Schema()}
	b.SetBytes(rawSize(rec))
	b.ReportAllocs()
	for b.Loop() {
		var size countWriter
		w, err := NewWriter(&size, table, WriterOptions{Compression: "snappy"})
		if err != nil {
			b.Fatal(err)
		}
		if err := w.Write(&pipeline.Batch{Table: table, Record: rec.NewSlice(0, rows)}); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil || size < rows {
			b.Fatalf("a file of %d bytes, %v", size, err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	const rows = 500_000
	rec := benchRecord(rows)
	table := &pipeline.Table{Name: "/bench", Schema: rec.Schema()}
	var file bytes.Buffer
	w, err := NewWriter(&file, table, WriterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Write(&pipeline.Batch{Table: table, Record: rec.NewSlice(0, rows)}); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	src := bytesSource(file.Bytes())
	d, err := Reader{}.Describe(b.Context(), src)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(rawSize(rec))
	b.ReportAllocs()
	for b.Loop() {
		dec, err := Reader{}.Open(b.Context(), src, d, pipeline.Selection{}, pipeline.DecodeOptions{})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for {
			el, err := dec.Next(b.Context())
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			n += el.Batch.Rows()
			el.Batch.Release()
		}
		if n != rows {
			b.Fatalf("%d rows", n)
		}
		dec.Close()
	}
}
