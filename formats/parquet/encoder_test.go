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
// batches and the number of workers; and neither changes a byte.
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
		file := encodeWith(t, rec, opt, 1000)
		for _, other := range []struct {
			size    int
			workers int
		}{{1, 3}, {7, 1}, {1000, 2}} {
			opt.Workers = other.workers
			if got := encodeWith(t, rec, opt, other.size); !bytes.Equal(got, file) {
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

// A codec that has compressed other pages before, on several goroutines, makes
// the same bytes as a fresh one.
func TestCodecHasNoMemory(t *testing.T) {
	for _, name := range Compressions {
		fresh, err := newCodec(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		used, err := newCodec(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		rec := benchRecord(100_000)
		p, err := newPlan(&pipeline.Table{Name: "/t", Schema: rec.Schema()}, Mapping{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		encode := func(codec *codec, from int64, workers int) []byte {
			var b bytes.Buffer
			f := newFile(&b, p, codec, nil)
			part := rec.NewSlice(from, rec.NumRows())
			defer part.Release()
			g, err := f.encode(part, newPool(workers))
			if err != nil {
				t.Fatal(err)
			}
			if err := f.commit(g); err != nil {
				t.Fatal(err)
			}
			if err := f.close(); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
		want := encode(fresh, 0, 1)
		for i := range int64(4) {
			encode(used, 7777*i, 3)
			if !bytes.Equal(encode(used, 0, 2), want) {
				t.Fatalf("%s remembers what it compressed before", name)
			}
		}
	}
}

// fatalf lets a checked allocator report to rapid.
type fatalf struct{ *rapid.T }

func (f fatalf) Errorf(format string, args ...any) { f.T.Fatalf("%s", fmt.Sprintf(format, args...)) }
