package rosbag

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

// samples are small bags of all kinds.
func samples(t testing.TB) map[string][]byte {
	out := map[string][]byte{
		"none":           (&bag{pad: 1}).drive().closed(),
		"lz4":            (&bag{pad: 1, codec: codecLZ4}).drive().closed(),
		"unclosed":       (&bag{pad: 1}).drive().unclosed(),
		"lz4-unclosed":   (&bag{pad: 1, codec: codecLZ4, noData: true}).drive().unclosed(),
		"no-index-data":  (&bag{pad: 1, noData: true}).drive().unclosed(),
		"conns-in-index": (&bag{pad: 1, noChunk: true}).drive().closed(),
		"reordered":      (&bag{pad: 1, odd: true}).drive().closed(),
		"wrong-counts":   (&bag{pad: 1, before: make([]byte, 9), counts: func(c, n uint32) []uint32 { return []uint32{c, n + 1} }}).drive().closed(),
	}
	out["truncated"] = out["none"][:900]
	b := &bag{pad: 1, codec: codecBZ2, pack: func([]byte) []byte { return unbase64(t, chunkBZ2) }}
	b.connect(0, "/a")
	b.chunk = nil
	for i := range uint32(4) {
		b.write(0, at(100+i, 5), fmt.Sprintf("message %d", i))
	}
	out["bz2"] = b.closed()
	return out
}

// check decodes data in several ways, which must agree. Whatever the bytes
// are, nothing panics, and an error tells an offset inside of the file.
func check(t tester, data []byte) {
	src := inMemory(data)
	d, err := New().Describe(context.Background(), src)
	if err != nil {
		var at *pipeline.DecodeError
		if !errors.As(err, &at) || at.Offset < 0 || at.Offset > int64(len(data)) {
			t.Fatalf("describe: %v", err)
		}
		return
	}
	want := decode(t, src, d, pipeline.Selection{}, pipeline.DecodeOptions{Workers: 1})
	got := decode(t, src, d, pipeline.Selection{}, pipeline.DecodeOptions{Workers: 4, BatchRows: 1})
	if !slices.Equal(got.rows, want.rows) || fmt.Sprint(got.counts, got.problems) != fmt.Sprint(want.counts, want.problems) {
		t.Fatalf("4 workers: %v\n%v\n%v\n1 worker: %v\n%v\n%v", got.rows, got.counts, got.problems, want.rows, want.counts, want.problems)
	}
	ordered := decode(t, src, d, pipeline.Selection{Order: pipeline.LogOrder}, pipeline.DecodeOptions{Workers: 2})
	if len(ordered.rows) != len(want.rows) {
		t.Fatalf("log order: %d rows instead of %d", len(ordered.rows), len(want.rows))
	}
	for _, ti := range d.Tables {
		sel := pipeline.Selection{From: 105e9, To: 110e9, Tables: []pipeline.TableSelection{{Table: ti.Table}}}
		some := decode(t, src, d, sel, pipeline.DecodeOptions{Workers: 1})
		sel.Tables[0].Latched = true
		if all := decode(t, src, d, sel, pipeline.DecodeOptions{Workers: 1}); len(all.rows) < len(some.rows) || len(all.rows) > len(some.rows)+len(d.Index.(*recording).conns) {
			t.Fatalf("%d rows with latched ones, %d without", len(all.rows), len(some.rows))
		}
	}
}

// checkSplit reads data as the middle part of a split bag: whatever it is, the
// others are read, and it gives the rows that it gives alone.
func checkSplit(t tester, data []byte) {
	good := (&bag{pad: 1}).drive().closed()
	want := 2 * len(names(12))
	if d, err := New().Describe(context.Background(), inMemory(data)); err == nil {
		want += len(decode(t, inMemory(data), d, pipeline.Selection{}, pipeline.DecodeOptions{}).rows)
	}
	src := split(good, data, good)
	d, err := New().Describe(context.Background(), src)
	if err != nil {
		t.Fatalf("describe: %v", err)
	}
	for _, order := range []pipeline.Order{pipeline.StorageOrder, pipeline.LogOrder} {
		if got := decode(t, src, d, pipeline.Selection{Order: order}, pipeline.DecodeOptions{Workers: 2}); len(got.rows) != want {
			t.Fatalf("%d rows, want %d; %v", len(got.rows), want, got.problems)
		}
	}
}

func FuzzBag(f *testing.F) {
	for _, data := range samples(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			t.Skip("large inputs find nothing that small ones do not")
		}
		check(t, data)
		checkSplit(t, data)
	})
}

// TestMutations changes every byte of small bags, each to one of three values.
func TestMutations(t *testing.T) {
	all := samples(t)
	for k, name := range []string{"none", "lz4-unclosed", "wrong-counts"} {
		data := all[name]
		for i := range data {
			mutated := slices.Clone(data)
			mutated[i] = []byte{0, 0xff, data[i] ^ 1}[(i+k)%3]
			check(t, mutated)
			if i%7 == 0 {
				checkSplit(t, mutated)
			}
		}
	}
}

// TestCorpus keeps the committed inputs in step with the bags of the tests.
func TestCorpus(t *testing.T) {
	dir := filepath.Join("testdata", "fuzz", "FuzzBag")
	for name, data := range samples(t) {
		if name == "lz4" || name == "lz4-unclosed" {
			continue // bytes depend on the version of the compressor
		}
		want := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", data)
		path := filepath.Join(dir, name)
		if os.Getenv("UPDATE_CORPUS") != "" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is not what the tests write: %v", path, err)
		}
	}
}

func TestWorkersAndBatches(t *testing.T) {
	for name, data := range samples(t) {
		var want *result
		for _, workers := range []int{1, 4} {
			for _, rows := range []int{1, 65536} {
				for _, steps := range []bool{false, true} {
					r := read(t, data, pipeline.Selection{}, pipeline.DecodeOptions{Workers: workers, BatchRows: rows, Steps: steps})
					if want == nil {
						want = r
					}
					equal(t, name, r.rows, want.rows)
					equal(t, name, r.counts, want.counts)
				}
			}
		}
	}
}
