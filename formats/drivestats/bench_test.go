package drivestats

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/drivemill/drivemill/bench/fleet"
	"github.com/drivemill/drivemill/pipeline"
)

// layouts are days of which a fleet's files are measured: five values in 85
// columns, 48 of 179, 52 of 197.
var layouts = []struct {
	name string
	day  fleet.Day
}{{"85", fleet.Date(2013, 4, 10)}, {"179", fleet.Date(2022, 3, 17)}, {"197", fleet.Date(2024, 4, 1)}}

func BenchmarkDecode(b *testing.B) {
	ctx := context.Background()
	tab := known().table
	for _, layout := range layouts {
		src := fleetDay(b, layout.day, 50_000, fleet.Layout{})
		rows := int64(bytes.Count(src.data, []byte{'\n'}) - 1)
		for _, sel := range []struct {
			name    string
			columns []string
		}{{"all", nil}, {"four", []string{"date", "serial_number", "failure", "smart_9_raw"}}} {
			for _, workers := range []int{1, 2} {
				b.Run(fmt.Sprintf("columns=%s/selected=%s/workers=%d", layout.name, sel.name, workers), func(b *testing.B) {
					b.SetBytes(int64(len(src.data)))
					b.ReportAllocs()
					d, err := New().Describe(ctx, src)
					if err != nil {
						b.Fatal(err)
					}
					pool := &recycler{}
					for range b.N {
						dec, err := New().Open(ctx, src, d, pipeline.Selection{Tables: []pipeline.TableSelection{{Table: tab, Columns: sel.columns}}},
							pipeline.DecodeOptions{Workers: workers, Allocator: pool})
						if err != nil {
							b.Fatal(err)
						}
						for {
							e, err := dec.Next(ctx)
							if err == io.EOF {
								break
							}
							if err != nil {
								b.Fatal(err)
							}
							e.Batch.Release()
						}
						if n := dec.Counts()[0].Decoded; n != rows {
							b.Fatalf("%d rows", n)
						}
						dec.Close()
					}
				})
			}
		}
	}
}

// recycler stands for the runner's pooling allocator: without one the garbage
// collector is most of what is measured.
type recycler struct {
	mu   sync.Mutex
	free map[int][][]byte
}

func (r *recycler) Allocate(n int) []byte {
	size := 64
	for size < n {
		size *= 2
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.free[size]; len(l) > 0 {
		b := l[len(l)-1]
		r.free[size] = l[:len(l)-1]
		return b[:n]
	}
	return make([]byte, n, size)
}

func (r *recycler) Reallocate(n int, b []byte) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	out := r.Allocate(n)
	copy(out, b)
	r.Free(b)
	return out
}

func (r *recycler) Free(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free == nil {
		r.free = map[int][][]byte{}
	}
	r.free[cap(b)] = append(r.free[cap(b)], b)
}

// BenchmarkEncodingCSV splits the same text with the standard library, without
// looking at the cells: what the figures above are to be held against.
func BenchmarkEncodingCSV(b *testing.B) {
	for _, layout := range layouts {
		data := fleetDay(b, layout.day, 50_000, fleet.Layout{}).data
		want := bytes.Count(data, []byte{'\n'}) - 1
		b.Run("columns="+layout.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for range b.N {
				r := csv.NewReader(bytes.NewReader(data))
				r.ReuseRecord = true
				rows := -1
				for ; ; rows++ {
					if _, err := r.Read(); err != nil {
						break
					}
				}
				if rows != want {
					b.Fatalf("%d rows", rows)
				}
			}
		})
	}
}
