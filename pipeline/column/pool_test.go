package column_test

import (
	"bytes"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

func TestPoolKeepsContentsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		below := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		pool := column.NewPool(below, int64(rapid.SampledFrom([]int{0, 5000, 1 << 20}).Draw(t, "limit")))
		type held struct {
			b    []byte
			mark byte
		}
		var live []held
		fill := func(b []byte, mark byte) {
			for i := range b {
				b[i] = mark
			}
		}
		for n := range rapid.IntRange(0, 60).Draw(t, "steps") {
			size := rapid.SampledFrom([]int{1, 64, 1023, 1024, 1025, 4096, 10000, 70000}).Draw(t, "size")
			switch op := rapid.IntRange(0, 2).Draw(t, "op"); {
			case op == 0 || len(live) == 0:
				b := pool.Allocate(size)
				if len(b) != size {
					t.Fatalf("%d bytes, want %d", len(b), size)
				}
				fill(b, byte(n))
				live = append(live, held{b, byte(n)})
			default:
				i := rapid.IntRange(0, len(live)-1).Draw(t, "which")
				h := live[i]
				if !bytes.Equal(h.b, bytes.Repeat([]byte{h.mark}, len(h.b))) {
					t.Fatal("a live buffer was written to")
				}
				if op == 1 {
					pool.Free(h.b)
					live = append(live[:i], live[i+1:]...)
					continue
				}
				b := pool.Reallocate(size, h.b)
				if keep := min(size, len(h.b)); len(b) != size || !bytes.Equal(b[:keep], bytes.Repeat([]byte{h.mark}, keep)) {
					t.Fatal("contents lost")
				}
				fill(b, h.mark)
				live[i].b = b
			}
		}
		for _, h := range live {
			pool.Free(h.b)
		}
		pool.Drain()
		below.AssertSize(t, 0)
	})
}

func TestPoolConcurrently(t *testing.T) {
	below := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	pool := column.NewPool(below, 1<<20)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 200 {
				c := column.New(pool, arrow.Int64Type)
				for k := range 100 * (i % 7) {
					c.AppendInt64(int64(k))
				}
				a := c.Finish().(*arrow.Int64)
				for k, v := range a.Int64Values() {
					if v != int64(k) {
						t.Errorf("value %d is %d", k, v)
						break
					}
				}
				a.Release()
			}
		})
	}
	wg.Wait()
	pool.Drain()
	below.AssertSize(t, 0)
}
