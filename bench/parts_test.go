//go:build unix

package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"syscall"
	"testing"

	foxglove "github.com/foxglove/mcap/go/mcap"
	"github.com/klauspost/compress/zstd"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/formats/parquet"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/store"
)

// cpuTime is the time that the process has spent on all cores, in nanoseconds.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// packed returns the compressed chunks of a recording.
func packed(b *testing.B, recording []byte) (chunks [][]byte) {
	lexer, err := foxglove.NewLexer(bytes.NewReader(recording), &foxglove.LexerOptions{EmitChunks: true})
	if err != nil {
		b.Fatal(err)
	}
	defer lexer.Close()
	for {
		token, data, err := lexer.Next(nil)
		if errors.Is(err, io.EOF) {
			return chunks
		}
		if err != nil {
			b.Fatal(err)
		}
		if token == foxglove.TokenChunk {
			c, err := foxglove.ParseChunk(data)
			if err != nil {
				b.Fatal(err)
			}
			chunks = append(chunks, c.Records)
		}
	}
}

// decode reads all tables of a recording and hands each batch to use.
func decode(b *testing.B, src pipeline.Source, mem arrow.Allocator, use func(*pipeline.Batch)) {
	f := mcap.New(ros1.Encoding{})
	d, err := f.Describe(b.Context(), src)
	if err != nil {
		b.Fatal(err)
	}
	dec, err := f.Open(b.Context(), src, d, pipeline.Selection{}, pipeline.DecodeOptions{Workers: 1, Allocator: mem})
	if err != nil {
		b.Fatal(err)
	}
	defer dec.Close()
	for {
		el, err := dec.Next(b.Context())
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		if el.Batch != nil {
			use(el.Batch)
		}
	}
}

// BenchmarkParts tells where the time of BenchmarkMCAPToParquet goes: what
// unpacking the chunks, decoding them (with unpacking) and encoding the rows
// cost alone, in CPU of all cores.
func BenchmarkParts(b *testing.B) {
	ctx := context.Background()
	var buf bytes.Buffer
	messages, size, err := Workload{Bytes: 64 << 20, Compression: "zstd"}.Write(&buf)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := store.Open(ctx, "mem://parts-raw")
	if err != nil {
		b.Fatal(err)
	}
	if err := raw.Put(ctx, "a.mcap", buf.Bytes()); err != nil {
		b.Fatal(err)
	}
	o, err := raw.Stat(ctx, "a.mcap")
	if err != nil {
		b.Fatal(err)
	}
	src, err := raw.Open(ctx, o)
	if err != nil {
		b.Fatal(err)
	}
	measure := func(name string, f func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			f(b) // fills pools
			from := cpuTime(b)
			for b.Loop() {
				f(b)
			}
			b.ReportMetric(float64(cpuTime(b)-from)/float64(b.N)/1e6, "cpu-ms/op")
		})
	}
	chunks := packed(b, buf.Bytes())
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	defer unpack.Close()
	var out []byte
	measure("unpack", func(b *testing.B) {
		for _, c := range chunks {
			if out, err = unpack.DecodeAll(c, out[:0]); err != nil {
				b.Fatal(err)
			}
		}
	})
	pool := column.NewPool(arrow.NewGoAllocator(), 64<<20)
	measure("decode", func(b *testing.B) {
		rows := int64(0)
		decode(b, src, pool, func(batch *pipeline.Batch) {
			rows += int64(batch.Rows())
			batch.Release()
		})
		if rows != messages {
			b.Fatalf("%d rows, want %d", rows, messages)
		}
	})
	var batches []*pipeline.Batch
	decode(b, src, arrow.NewGoAllocator(), func(batch *pipeline.Batch) { batches = append(batches, batch) })
	measure("encode", func(b *testing.B) {
		writers := make(map[*pipeline.Table]*parquet.Writer)
		for _, batch := range batches {
			w := writers[batch.Table]
			if w == nil {
				if w, err = parquet.NewWriter(io.Discard, batch.Table, parquet.WriterOptions{Allocator: pool}); err != nil {
					b.Fatal(err)
				}
				writers[batch.Table] = w
			}
			batch.Record.Retain()
			if err := w.Write(&pipeline.Batch{Table: batch.Table, Record: batch.Record}); err != nil {
				b.Fatal(err)
			}
		}
		for _, w := range writers {
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	lake, err := store.Open(ctx, "mem://parts-lake")
	if err != nil {
		b.Fatal(err)
	}
	measure("end to end", func(b *testing.B) {
		empty(b, lake)
		fill(b, "parts", 1, messages)
	})
}
