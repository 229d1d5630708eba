package mdf4

import (
	"errors"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/formats/mdf4/mdf4test"
	"github.com/drivemill/drivemill/pipeline"
)

// decode reads a recording b.N times; bytes are those of the records.
func decode(b *testing.B, f *mdf4test.File, bytes, rows int64, columns []string, workers int) {
	b.Helper()
	src := object(b, f.Bytes())
	format := New()
	d, err := format.Describe(b.Context(), src)
	if err != nil {
		b.Fatal(err)
	}
	sel := pipeline.Selection{}
	if columns != nil {
		sel.Tables = []pipeline.TableSelection{{Table: d.Tables[0].Table, Columns: columns}}
	}
	b.SetBytes(bytes)
	b.ReportAllocs()
	for b.Loop() {
		dec, err := format.Open(b.Context(), src, d, sel, pipeline.DecodeOptions{Workers: workers})
		if err != nil {
			b.Fatal(err)
		}
		n := int64(0)
		for {
			e, err := dec.Next(b.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			n += int64(e.Batch.Rows())
			e.Batch.Release()
		}
		if err := dec.Close(); err != nil || n != rows {
			b.Fatalf("%d rows, want %d, %v", n, rows, err)
		}
	}
}

// measured is a sorted group of numbers of several types, some of them scaled.
func measured(rows int, st mdf4test.Storage) (*mdf4test.File, int64) {
	g := &mdf4test.Group{Name: "g", Channels: []*mdf4test.Channel{seconds()}}
	for i := range 8 {
		g.Channels = append(g.Channels, &mdf4test.Channel{Name: fmt.Sprint("f", i), Data: mdf4test.FloatLE, Byte: uint32(8 + 4*i), Bits: 32},
			&mdf4test.Channel{Name: fmt.Sprint("i", i), Data: mdf4test.SignedLE, Byte: uint32(40 + 2*i), Bits: 16, Conversion: &conversion.Block{Type: 1, Values: []float64{-5, 0.01}}})
	}
	for i := range rows {
		r := mdf4test.LE(float64(i) / 100)
		for j := range 8 {
			r = append(r, mdf4test.LE(float32(math.Sin(float64(i)/50)+float64(j)))...)
		}
		for j := range 8 {
			r = append(r, mdf4test.LE(int16(1000*math.Sin(float64(i)/70+float64(j))))...)
		}
		g.Records = append(g.Records, r)
	}
	return &mdf4test.File{Groups: []*mdf4test.DataGroup{{Groups: []*mdf4test.Group{g}, Storage: st}}}, int64(rows) * 56
}

func BenchmarkSorted(b *testing.B) {
	const rows = 200000
	for name, st := range map[string]mdf4test.Storage{
		"plain": {}, "deflate": {List: mdf4test.HL, Piece: 1 << 20, Zip: mdf4test.Deflate}, "transposed": {List: mdf4test.HL, Piece: 56 << 14, Zip: mdf4test.TransposedDeflate},
	} {
		f, n := measured(rows, st)
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/%d", name, workers), func(b *testing.B) { decode(b, f, n, rows, nil, workers) })
		}
	}
}

func BenchmarkUnsortedCAN(b *testing.B) {
	const n = 100000
	f := frames(n)
	bytes, rows := int64(0), int64(0)
	for _, g := range f.Groups[0].Groups {
		for _, r := range g.Records {
			bytes += int64(len(r)) + 1
		}
		if g.Flags&mdf4test.GroupVLSD == 0 {
			rows += int64(len(g.Records))
		}
	}
	decode(b, f, bytes, rows, nil, 1)
}

func BenchmarkOneOfAHundred(b *testing.B) {
	const rows = 50000
	g := &mdf4test.Group{Name: "g", Channels: []*mdf4test.Channel{seconds()}}
	for i := range 100 {
		g.Channels = append(g.Channels, &mdf4test.Channel{Name: fmt.Sprint("x", i), Data: mdf4test.FloatLE, Byte: uint32(8 + 4*i), Bits: 32})
	}
	for i := range rows {
		g.Records = append(g.Records, append(mdf4test.LE(float64(i)), make([]byte, 400)...))
	}
	f := &mdf4test.File{Groups: []*mdf4test.DataGroup{{Groups: []*mdf4test.Group{g}}}}
	decode(b, f, rows*408, rows, []string{"x50"}, 1)
}
