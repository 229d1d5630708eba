package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

const endToEnd = `
pipeline: bench
inputs:
  drives: {uri: "mem://%[1]s-raw/*.mcap", clock: [header, log]}
stages:
  moving: {use: filter, from: drives, where: "ts > timestamp('2000-01-01T00:00:00Z')"}
outputs:
  lake: {use: parquet, from: moving, uri: "mem://%[1]s-lake"}
`

// quiet is a Progress that tells nobody.
type quiet struct{}

func (quiet) Start(int, int64)        {}
func (quiet) Read(int64)              {}
func (quiet) Rows(int64)              {}
func (quiet) Unit(*runner.UnitResult) {}

// run carries out a pipeline once and returns its summary.
func run(ctx context.Context, text string, workers int) (*runner.Summary, error) {
	reg := builtin.Registry()
	p, err := config.Load("bench.yaml", []byte(text), config.LoadOptions{}, reg)
	if err != nil {
		return nil, err
	}
	g, err := graph.Build(ctx, p, reg, &runner.Env{Registry: reg, Open: store.Open, Load: true})
	if err != nil {
		return nil, err
	}
	r := &runner.Runner{Registry: reg, Graph: g, OpenStore: store.Open, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Progress: quiet{},
		Jobs: 1, Workers: workers, Now: time.Now, RunInfo: lineage.RunInfo{RunID: "01941f29-7c00-7087-8940-40e512c257bd", Namespace: "bench", Job: "bench"}}
	sum, err := r.Run(ctx)
	if err != nil {
		return nil, err
	}
	return sum, sum.Failure()
}

// empty removes all of a lake, so that the next run has everything to do.
func empty(b *testing.B, lake pipeline.Store) {
	var keys []string
	if err := lake.List(b.Context(), "", func(o pipeline.Object) error { keys = append(keys, o.Key); return nil }); err != nil {
		b.Fatal(err)
	}
	for _, k := range keys {
		if err := lake.Delete(b.Context(), k); err != nil {
			b.Fatal(err)
		}
	}
}

// fill carries out endToEnd on the stores of a name.
func fill(b *testing.B, name string, workers int, messages int64) {
	sum, err := run(b.Context(), fmt.Sprintf(endToEnd, name), workers)
	if err != nil {
		b.Fatal(err)
	}
	if sum.Totals.Written != messages {
		b.Fatalf("%d rows written, want %d", sum.Totals.Written, messages)
	}
}

func benchmarkMCAPToParquet(b *testing.B, mb int64, compression string, workers int) {
	ctx := context.Background()
	var buf bytes.Buffer
	messages, size, err := Workload{Bytes: mb << 20, Compression: compression}.Write(&buf)
	if err != nil {
		b.Fatal(err)
	}
	name := fmt.Sprintf("%s-%d-%s-%d", b.Name(), mb, compression, workers)
	raw, err := store.Open(ctx, "mem://"+name+"-raw")
	if err != nil {
		b.Fatal(err)
	}
	lake, err := store.Open(ctx, "mem://"+name+"-lake")
	if err != nil {
		b.Fatal(err)
	}
	if err := raw.Put(ctx, "a.mcap", buf.Bytes()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		empty(b, lake)
		b.StartTimer()
		fill(b, name, workers, messages)
	}
	b.ReportMetric(float64(messages)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkMCAPToParquet(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("zstd/workers=%d", workers), func(b *testing.B) { benchmarkMCAPToParquet(b, 64, "zstd", workers) })
	}
	b.Run("none/workers=1", func(b *testing.B) { benchmarkMCAPToParquet(b, 64, "", 1) })
	// For the regression gate.
	b.Run("small", func(b *testing.B) { benchmarkMCAPToParquet(b, 8, "zstd", 1) })
}
