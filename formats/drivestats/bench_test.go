package drivestats

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

// day makes a file with the layout of an era: cells that are not empty are
// spread as in real files of that time.
func day(layout string, rows int) []byte {
	smart, filled := smartIDs[:], 0
	switch layout {
	case "85":
		smart = []uint8{1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 183, 184, 187, 188, 189, 190, 191, 192, 193, 194, 195,
			196, 197, 198, 199, 200, 201, 223, 225, 240, 241, 242, 250, 251, 252, 254, 255}
	case "179":
		smart, filled = smartIDs[:87], 24
	}
	var b strings.Builder
	b.WriteString(begin)
	for _, id := range smart {
		fmt.Fprintf(&b, ",smart_%d_normalized,smart_%d_raw", id, id)
	}
	b.WriteByte('\n')
	seed := uint64(1)
	next := func() uint64 {
		seed = seed*6364136223846793005 + 1442695040888963407
		return seed >> 33
	}
	for i := range rows {
		fmt.Fprintf(&b, "2022-03-17,ZCH%06X,ST12000NM0007,12000138625024,%d", next()&0xffffff, i/5000%2)
		for c, id := range smart {
			switch {
			case filled == 0 && (id == 1 || id == 5 || id == 9 || id == 194 || id == 197):
				fmt.Fprintf(&b, ",,%d", next()%(1+uint64(id)*1000))
			case filled > 0 && (c*7+i%3)%len(smart) < filled:
				fmt.Fprintf(&b, ",%d,%d", 60+next()%140, next()%(1<<(next()%40)))
			default:
				b.WriteString(",,")
			}
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

func BenchmarkDecode(b *testing.B) {
	ctx := context.Background()
	tab := known().table
	for _, layout := range []string{"85", "179"} {
		src := &memory{name: "2022-03-17.csv", data: day(layout, 50_000)}
		for _, sel := range []struct {
			name    string
			columns []string
		}{{"all", nil}, {"four", []string{"date", "serial_number", "failure", "smart_9_raw"}}} {
			for _, workers := range []int{1, 2} {
				b.Run(fmt.Sprintf("columns=%s/selected=%s/workers=%d", layout, sel.name, workers), func(b *testing.B) {
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
						if n := dec.Counts()[0].Decoded; n != 50_000 {
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
	for _, layout := range []string{"85", "179"} {
		data := day(layout, 50_000)
		b.Run("columns="+layout, func(b *testing.B) {
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
				if rows != 50_000 {
					b.Fatalf("%d rows", rows)
				}
			}
		})
	}
}
