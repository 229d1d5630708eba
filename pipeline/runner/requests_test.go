package runner_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
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

// meteredStore counts the requests that an object store would be sent.
type meteredStore struct {
	pipeline.Store
	requests *atomic.Int64
}

const listPage = 1000 // keys in one answer of S3

func (m meteredStore) List(ctx context.Context, prefix string, fn func(pipeline.Object) error) error {
	n := 0
	err := m.Store.List(ctx, prefix, func(o pipeline.Object) error {
		n++
		return fn(o)
	})
	m.requests.Add(int64(max(1, (n+listPage-1)/listPage)))
	return err
}

func (m meteredStore) Stat(ctx context.Context, key string) (pipeline.Object, error) {
	m.requests.Add(1)
	return m.Store.Stat(ctx, key)
}

func (m meteredStore) Open(ctx context.Context, obj pipeline.Object) (pipeline.Source, error) {
	m.requests.Add(1)
	return m.Store.Open(ctx, obj)
}

func (m meteredStore) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	m.requests.Add(1)
	return m.Store.PutIfAbsent(ctx, key, data)
}

func (m meteredStore) Put(ctx context.Context, key string, data []byte) error {
	m.requests.Add(1)
	return m.Store.Put(ctx, key, data)
}

func (m meteredStore) Get(ctx context.Context, key string) ([]byte, error) {
	m.requests.Add(1)
	return m.Store.Get(ctx, key)
}

func (m meteredStore) Delete(ctx context.Context, key string) error {
	m.requests.Add(1)
	return m.Store.Delete(ctx, key)
}

// A run over 100,000 units that are all done sends the store 300 requests at
// most: it lists, and asks for no unit by itself.
func TestRerunAsksLittle(t *testing.T) {
	const units = 100_000
	ctx := context.Background()
	in, lake := newLake(), newLake()
	inStore, err := store.Open(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	for i := range units {
		if err := inStore.Put(ctx, fmt.Sprintf("%06d.csv", i), []byte("a,b\n1,2\n")); err != nil {
			t.Fatal(err)
		}
	}
	var requests atomic.Int64
	metered := func(ctx context.Context, uri string) (pipeline.Store, error) {
		st, err := store.Open(ctx, uri)
		return meteredStore{st, &requests}, err
	}
	run := func(dry bool) *runner.Summary {
		reg := builtin.Registry()
		text := fmt.Sprintf("pipeline: many\ninputs: {in: {uri: %s/*.csv}}\noutputs: {lake: {use: parquet, from: in, uri: %s}}\n", in, lake)
		p, err := config.Load("many.yaml", []byte(text), config.LoadOptions{}, reg)
		if err != nil {
			t.Fatal(err)
		}
		g, err := graph.Build(ctx, p, reg, &runner.Env{Registry: reg, Open: metered, Load: true})
		if err != nil {
			t.Fatal(err)
		}
		requests.Store(0)
		r := &runner.Runner{Registry: reg, Graph: g, OpenStore: metered, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Jobs: 1, Workers: 1, Now: time.Now,
			DryRun: dry, RunInfo: lineage.RunInfo{RunID: "01941f29-7c00-7087-8940-40e512c257bd", Namespace: "test", Job: "many"}}
		sum, err := r.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	lakeStore, err := store.Open(ctx, lake)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range run(true).Units {
		c := lineage.Commit{Layout: 1, Pipeline: "many", Unit: u.Unit.Name, Slot: u.Unit.Slot, Revision: u.Unit.Revision, Sequence: 1}
		data, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		k := lineage.CommitKey{Slot: u.Unit.Slot, Sequence: 1, Revision: u.Unit.Revision}
		if err := lakeStore.Put(ctx, k.String(), data); err != nil {
			t.Fatal(err)
		}
	}
	sum := run(false)
	if n := sum.Count(runner.Skipped); n != units {
		t.Fatalf("%d units skipped", n)
	}
	if n := requests.Load(); n > 300 {
		t.Errorf("%d requests", n)
	} else {
		t.Logf("%d requests", n)
	}
}
