package store_test

import (
	"io"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
)

const benchSize = 128 << 20

func benchmarkStores(b *testing.B, read func(b *testing.B, src pipeline.Source)) {
	for _, c := range []struct {
		name string
		uri  func(b *testing.B) string
	}{
		{"directory", func(b *testing.B) string { return b.TempDir() }},
		{"s3", func(b *testing.B) string { return "s3://" + s3server.Start(b).Bucket }},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := open(b, c.uri(b))
			write(b, s, "x", random(benchSize))
			src := source(b, s, "x")
			b.SetBytes(benchSize)
			b.ReportAllocs()
			b.ResetTimer()
			read(b, src)
		})
	}
}

// BenchmarkReader streams an object in steps of 64 KiB.
func BenchmarkReader(b *testing.B) {
	benchmarkStores(b, func(b *testing.B, src pipeline.Source) {
		p := make([]byte, 64<<10)
		for b.Loop() {
			r, err := src.Reader(b.Context(), 0, -1)
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for err == nil {
				var m int
				m, err = r.Read(p)
				n += m
			}
			r.Close()
			if err != io.EOF || n != benchSize {
				b.Fatalf("%d bytes, %v", n, err)
			}
		}
	})
}

// BenchmarkReadAt reads an object in chunks of 1 MiB, as an indexed recording
// is read, by one goroutine.
func BenchmarkReadAt(b *testing.B) {
	benchmarkStores(b, func(b *testing.B, src pipeline.Source) {
		p := make([]byte, 1<<20)
		for b.Loop() {
			for off := int64(0); off < benchSize; off += int64(len(p)) {
				if n, err := src.ReadAt(b.Context(), p, off); n != len(p) || err != nil && err != io.EOF {
					b.Fatalf("%d bytes, %v", n, err)
				}
			}
		}
	})
}

// BenchmarkReadAtBig reads an object at one go.
func BenchmarkReadAtBig(b *testing.B) {
	benchmarkStores(b, func(b *testing.B, src pipeline.Source) {
		p := make([]byte, benchSize)
		for b.Loop() {
			if n, err := src.ReadAt(b.Context(), p, 0); n != len(p) || err != nil && err != io.EOF {
				b.Fatalf("%d bytes, %v", n, err)
			}
		}
	})
}

// BenchmarkWrite writes an object of several parts in steps of 64 KiB.
func BenchmarkWrite(b *testing.B) {
	data := random(64 << 10)
	benchmarkStores(b, func(b *testing.B, src pipeline.Source) {
		root := src.Object().URI[:len(src.Object().URI)-len("/x")]
		s := open(b, root)
		for b.Loop() {
			w, err := s.Create(b.Context(), "y")
			if err != nil {
				b.Fatal(err)
			}
			for n := 0; n < benchSize; n += len(data) {
				if _, err := w.Write(data); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Finish(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := w.Publish(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		if obj, err := s.Stat(b.Context(), "y"); err != nil || obj.Size != benchSize {
			b.Fatalf("%+v, %v", obj, err)
		}
	})
}
