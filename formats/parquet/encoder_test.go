package parquet

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// The rows of any table come back as they were written, whatever the size of
// batches, the number of workers and the way values take to the encoder; and
// none of these changes a byte.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		rec := drawRecord(t, mem)
		opt := WriterOptions{
			Mapping: Mapping{
				SourceTypes: rapid.Bool().Draw(t, "source types"), SourceNames: rapid.Bool().Draw(t, "source names"),
			},
			Compression:  rapid.SampledFrom(Compressions).Draw(t, "compression"),
			RowGroupRows: rapid.IntRange(1, 50).Draw(t, "row group"),
			Allocator:    mem,
		}
		file := encodeWith(t, rec, opt, false, 1000)
		for _, other := range []struct {
			boxed   bool
			size    int
			workers int
		}{{true, 1000, 1}, {false, 1, 3}, {false, 7, 1}} {
			opt.Workers = other.workers
			if got := encodeWith(t, rec, opt, other.boxed, other.size); !bytes.Equal(got, file) {
				t.Fatalf("%+v: %d bytes differ from %d", other, len(got), len(file))
			}
		}
		want := expected(t, rec, opt.Mapping, opt.RowGroupRows)
		_, got, err := tryRead(mem, file, pipeline.Selection{}, pipeline.DecodeOptions{BatchRows: rapid.IntRange(1, 50).Draw(t, "batch")})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d rows, want %d", len(got), len(want))
		}
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Fatalf("row %d:\n got %v\nwant %v", i, got[i], want[i])
			}
		}
		rec.Release()
		mem.AssertSize(fatalf{t}, 0)
	})
}

// fatalf lets a checked allocator report to rapid.
type fatalf struct{ *rapid.T }

func (f fatalf) Errorf(format string, args ...any) { f.T.Fatalf("%s", fmt.Sprintf(format, args...)) }
