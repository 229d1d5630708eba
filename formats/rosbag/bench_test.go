package rosbag

import (
	"context"
	"io"
	"slices"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// imuBag is a bag of Imu messages in chunks of 768 KiB.
func imuBag(codec string, messages int) []byte {
	b := &bag{codec: codec}
	b.declare(conn{0, "/imu", "sensor_msgs/Imu", "6a62c6daae103f4ff57a132d6f95cec2", imuDefinition, nil})
	for i := range messages {
		b.write(0, at(uint32(i/200), uint32(i%200)*5_000_000), string(imu(i)))
		if len(b.chunk) > 768<<10 {
			b.endChunk()
		}
	}
	return b.closed()
}

// BenchmarkWalk walks a chunk: of tiny messages, and of messages like an Imu
// behind lz4.
func BenchmarkWalk(b *testing.B) {
	tiny := &bag{}
	for i := range uint32(15_000) {
		tiny.write(0, at(i, 0), "8 bytes.")
	}
	b.Run("tiny", func(b *testing.B) {
		var w chunkWalker
		var recs []message.Record
		b.SetBytes(int64(len(tiny.chunk)))
		b.ReportAllocs()
		for b.Loop() {
			recs, _, _ = w.walk(tiny.chunk, recs[:0])
			if len(recs) != 15_000 {
				b.Fatal(len(recs))
			}
		}
		b.ReportMetric(float64(b.N)*15_000/b.Elapsed().Seconds()/1e6, "Mmsg/s")
	})
	for _, codec := range []string{codecNone, codecLZ4} {
		b.Run("unpack-"+codec, func(b *testing.B) {
			src := inMemory(imuBag(codec, 2000))
			d, err := New().Describe(context.Background(), src)
			if err != nil {
				b.Fatal(err)
			}
			rec := d.Index.(*recording)
			var block message.Block
			r := newReader(pipeline.Parts(src), rec, pipeline.Selection{}, nil)
			if err := r.Fetch(context.Background(), &block); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(block.RawSize)
			b.ReportAllocs()
			for b.Loop() {
				block.Records = block.Records[:0]
				if err := r.Unpack(context.Background(), &block); err != nil || len(block.Records) < 1000 || len(block.Problems) > 0 {
					b.Fatal(len(block.Records), block.Problems, err)
				}
			}
		})
	}
}

// BenchmarkDecode reads Imu messages, all columns of them.
func BenchmarkDecode(b *testing.B) {
	const messages = 20_000
	for _, codec := range []string{codecNone, codecLZ4} {
		data := imuBag(codec, messages)
		b.Run(codec, func(b *testing.B) {
			ctx := context.Background()
			src := inMemory(data)
			f := New(ros1.Encoding{})
			d, err := f.Describe(ctx, src)
			if err != nil {
				b.Fatal(err)
			}
			pool := column.NewPool(arrow.NewGoAllocator(), 64<<20)
			b.SetBytes(d.Compression[0].Raw)
			b.ReportAllocs()
			for b.Loop() {
				dec, err := f.Open(ctx, src, d, pipeline.Selection{}, pipeline.DecodeOptions{Workers: 1, Allocator: pool})
				if err != nil {
					b.Fatal(err)
				}
				rows := 0
				for {
					el, err := dec.Next(ctx)
					if err == io.EOF {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					if el.Batch != nil {
						rows += el.Batch.Rows()
						el.Batch.Release()
					}
				}
				if err := dec.Close(); err != nil || rows != messages {
					b.Fatal(rows, err)
				}
			}
			b.ReportMetric(float64(b.N)*messages/b.Elapsed().Seconds()/1e6, "Mmsg/s")
		})
	}
}

// BenchmarkScan describes a bag that was not closed.
func BenchmarkScan(b *testing.B) {
	data := slices.Clone(imuBag(codecLZ4, 20_000))
	copy(data[13:], (&bag{}).header(0, 0, 0))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := New().Describe(context.Background(), inMemory(data))
		if err != nil || d.Tables[0].Rows != 20_000 {
			b.Fatal(d, err)
		}
	}
}
