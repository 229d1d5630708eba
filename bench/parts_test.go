//go:build unix

package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
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
			chunks = append(chunks, bytes.Clone(c.Records))
		}
	}
}

// parts are what a run over a recording is made of, each to be done alone.
type parts struct {
	name     string
	messages int64
	size     int64   // of the messages
	ratio    float64 // of the chunks
	chunks   [][]byte
	unpacker *zstd.Decoder
	chunk    []byte
	src      pipeline.Source
	lake     pipeline.Store
	pool     arrow.Allocator
	batches  []*pipeline.Batch
}

func newParts(b *testing.B, name string, w Workload) *parts {
	ctx := context.Background()
	var buf bytes.Buffer
	p := &parts{name: name, pool: column.NewPool(arrow.NewGoAllocator(), 64<<20)}
	var err error
	if p.messages, p.size, err = w.Write(&buf); err != nil {
		b.Fatal(err)
	}
	raw, err := store.Open(ctx, "mem://"+name+"-raw")
	if err != nil {
		b.Fatal(err)
	}
	if p.lake, err = store.Open(ctx, "mem://"+name+"-lake"); err != nil {
		b.Fatal(err)
	}
	if err := raw.Put(ctx, "a.mcap", buf.Bytes()); err != nil {
		b.Fatal(err)
	}
	o, err := raw.Stat(ctx, "a.mcap")
	if err != nil {
		b.Fatal(err)
	}
	if p.src, err = raw.Open(ctx, o); err != nil {
		b.Fatal(err)
	}
	p.chunks = packed(b, buf.Bytes())
	if p.unpacker, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.unpacker.Close)
	stored, unpacked := 0, 0
	for _, c := range p.chunks {
		if p.chunk, err = p.unpacker.DecodeAll(c, p.chunk[:0]); err != nil {
			b.Fatal(err)
		}
		stored += len(c)
		unpacked += len(p.chunk)
	}
	p.ratio = float64(unpacked) / float64(stored)
	p.read(b, arrow.NewGoAllocator(), func(batch *pipeline.Batch) { p.batches = append(p.batches, batch) })
	return p
}

// read decodes all tables and hands each batch to use.
func (p *parts) read(b *testing.B, mem arrow.Allocator, use func(*pipeline.Batch)) {
	f := mcap.New(ros1.Encoding{})
	d, err := f.Describe(b.Context(), p.src)
	if err != nil {
		b.Fatal(err)
	}
	dec, err := f.Open(b.Context(), p.src, d, pipeline.Selection{}, pipeline.DecodeOptions{Workers: 1, Allocator: mem})
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

// unpack decompresses the chunks.
func (p *parts) unpack(b *testing.B) {
	for _, c := range p.chunks {
		var err error
		if p.chunk, err = p.unpacker.DecodeAll(c, p.chunk[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

// decode decodes all columns of all tables, decompression included.
func (p *parts) decode(b *testing.B) {
	rows := int64(0)
	p.read(b, p.pool, func(batch *pipeline.Batch) {
		rows += int64(batch.Rows())
		batch.Release()
	})
	if rows != p.messages {
		b.Fatalf("%d rows, want %d", rows, p.messages)
	}
}

// encode writes all rows as Parquet with zstd.
func (p *parts) encode(b *testing.B) {
	writers := make(map[*pipeline.Table]*parquet.Writer)
	for _, batch := range p.batches {
		w := writers[batch.Table]
		if w == nil {
			var err error
			if w, err = parquet.NewWriter(io.Discard, batch.Table, parquet.WriterOptions{Allocator: p.pool}); err != nil {
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
}

// endToEnd runs a pipeline from store to lake with one worker.
func (p *parts) endToEnd(b *testing.B) {
	empty(b, p.lake)
	fill(b, p.name, 1, p.messages)
}

// BenchmarkParts does each part of BenchmarkMCAPToParquet alone, for profiles.
func BenchmarkParts(b *testing.B) {
	p := newParts(b, "parts", Workload{Bytes: 64 << 20, Compression: "zstd"})
	for _, part := range []struct {
		name string
		run  func(*testing.B)
	}{{"unpack", p.unpack}, {"decode", p.decode}, {"encode", p.encode}, {"end_to_end", p.endToEnd}} {
		b.Run(part.name, func(b *testing.B) {
			b.SetBytes(p.size)
			b.ReportAllocs()
			part.run(b) // fills pools
			from := cpuTime(b)
			for b.Loop() {
				part.run(b)
			}
			b.ReportMetric(float64(cpuTime(b)-from)/float64(b.N)/1e6, "cpu-ms/op")
		})
	}
}

// BenchmarkRatios compares the parts in CPU of all cores: what decoding costs
// over decompressing, and a run over decompressing and encoding alone. The
// parts are done in turn, several times, and the medians compared.
func BenchmarkRatios(b *testing.B) {
	const rounds, repeat = 7, 3
	numeric := []string{"/imu", "/odom"}
	for _, w := range []struct {
		name string
		Workload
	}{
		{"imu_odometry", Workload{Only: numeric}},
		{"imu_odometry_precise", Workload{Only: numeric, Precise: true}},
		{"all", Workload{}},
	} {
		b.Run(w.name, func(b *testing.B) {
			w.Bytes, w.Compression = 64<<20, "zstd"
			p := newParts(b, "ratios-"+w.name, w.Workload)
			run := []func(*testing.B){p.unpack, p.decode, p.encode, p.endToEnd}
			for b.Loop() {
				cpu := make([][]int64, len(run))
				for range rounds {
					for i, f := range run {
						runtime.GC() // leaves nothing to the next part
						f(b)         // fills pools
						from := cpuTime(b)
						for range repeat {
							f(b)
						}
						cpu[i] = append(cpu[i], cpuTime(b)-from)
					}
				}
				var part [4]float64
				for i, c := range cpu {
					slices.Sort(c)
					part[i] = float64(c[len(c)/2])
				}
				unpack, decode, encode, all := part[0], part[1]-part[0], part[2], part[3]
				b.ReportMetric(p.ratio, "compression")
				b.ReportMetric(decode/unpack, "decode/unpack")
				b.ReportMetric(encode/unpack, "encode/unpack")
				b.ReportMetric(all/(unpack+encode), "run/(unpack+encode)")
				b.ReportMetric(0, "ns/op")
			}
			for _, batch := range p.batches {
				batch.Release()
			}
		})
	}
}
