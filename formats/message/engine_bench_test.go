package message_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// BenchmarkEngine decodes a million messages in blocks of 20,000.
func BenchmarkEngine(b *testing.B) {
	for _, text := range []int{0, 40} {
		for _, channels := range []int{1, 50} {
			name := fmt.Sprintf("text=%d/tables=%d", text, channels)
			b.Run(name+"/go", func(b *testing.B) { benchmark(b, text, channels, nil) })
			pool := column.NewPool(arrow.NewGoAllocator(), 256<<20)
			b.Run(name+"/pool", func(b *testing.B) { benchmark(b, text, channels, pool) })
		}
	}
}

func benchmark(b *testing.B, text, nch int, mem arrow.Allocator) {
	tabs, channels := tables(b, 2*nch)
	const perBlock, nblocks = 20000, 50
	data := bytes.Repeat(pair(7, strings.Repeat("x", text)), perBlock)
	size := len(data) / perBlock
	var recs []message.Record
	for i := range perBlock {
		recs = append(recs, message.Record{Channel: int32(i % nch * 2), LogTime: int64(i), Span: message.Span{Start: uint32(i * size), End: uint32((i + 1) * size)}})
	}
	b.SetBytes(int64(len(data)) * nblocks)
	b.ReportAllocs()
	for b.Loop() {
		e, err := message.NewEngine(b.Context(), message.Config{
			Walker: &loop{data: data, recs: recs, n: nblocks}, Tables: tabs, Channels: channels,
			Options: pipeline.DecodeOptions{Allocator: mem},
		})
		if err != nil {
			b.Fatal(err)
		}
		rows := 0
		for {
			el, err := e.Next(b.Context())
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
		e.Close()
		if rows != perBlock*nblocks {
			b.Fatalf("%d rows", rows)
		}
	}
	b.ReportMetric(float64(perBlock*nblocks)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

// loop walks the same block n times.
type loop struct {
	data []byte
	recs []message.Record
	n    int
}

func (l *loop) Fetch(ctx context.Context, b *message.Block) error {
	if l.n == 0 {
		return io.EOF
	}
	l.n--
	return nil
}

func (l *loop) Unpack(ctx context.Context, b *message.Block) error {
	b.Data = l.data
	b.Records = append(b.Records, l.recs...)
	return nil
}

func (l *loop) Close() error { return nil }
