package runner_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/pipetest"
	"github.com/drivemill/drivemill/pipeline/retry"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

// quiet is a Progress that tells nobody.
type quiet struct{}

func (quiet) Start(int, int64)        {}
func (quiet) Read(int64)              {}
func (quiet) Rows(int64)              {}
func (quiet) Unit(*runner.UnitResult) {}

// poison is an allocator that spoils what is freed, so that whoever still
// reads it is found out.
type poison struct{ arrow.Allocator }

func (p poison) Free(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
	p.Allocator.Free(b)
}

func (p poison) Reallocate(n int, b []byte) []byte {
	if cap(b) >= n {
		return b[:n]
	}
	out := p.Allocate(n)
	copy(out, b)
	p.Free(b)
	return out
}

var lakeNumber atomic.Int64

// newLake names a store that nobody else uses.
func newLake() string { return fmt.Sprintf("mem://runner-test-%d", lakeNumber.Add(1)) }

// testRun carries out a pipeline with a checked allocator, which must be
// empty at the end, whatever the end.
func testRun(t *testing.T, text string, change func(*runner.Runner)) (*runner.Summary, error) {
	t.Helper()
	return testRunContext(t, context.Background(), text, change)
}

func testRunContext(t *testing.T, ctx context.Context, text string, change func(*runner.Runner)) (*runner.Summary, error) {
	t.Helper()
	return testRunStores(t, ctx, text, store.Open, change)
}

// testRunOn opens all stores by open.
func testRunOn(t *testing.T, text string, open func(context.Context, string) (pipeline.Store, error)) (*runner.Summary, error) {
	t.Helper()
	return testRunStores(t, context.Background(), text, open, nil)
}

func testRunStores(t *testing.T, ctx context.Context, text string, open func(context.Context, string) (pipeline.Store, error), change func(*runner.Runner)) (*runner.Summary, error) {
	t.Helper()
	reg := builtin.Registry()
	root, err := filepath.Abs("../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	p, err := config.Load("test.yaml", []byte(strings.ReplaceAll(text, "TESTDATA", root)), config.LoadOptions{}, reg)
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.Build(ctx, p, reg, &runner.Env{Registry: reg, Open: open, Load: true})
	if err != nil {
		t.Fatal(err)
	}
	mem := arrow.NewCheckedAllocator(poison{arrow.NewGoAllocator()})
	r := &runner.Runner{Registry: reg, Graph: g, OpenStore: open, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Progress: quiet{},
		Allocator: mem, Jobs: 1, Workers: 3, Now: time.Now, Retry: &retry.Policy{Scale: 1e-3},
		RunInfo: lineage.RunInfo{RunID: "01941f29-7c00-7087-8940-40e512c257bd", Namespace: "test", Job: "test"}}
	if change != nil {
		change(r)
	}
	sum, err := r.Run(ctx)
	mem.AssertSize(t, 0)
	return sum, err
}

const samplePipeline = `
pipeline: sample
inputs:
  drives:
    uri: TESTDATA/drives/{vehicle_id}/{drive_id}/{logger}.{bag,mcap}
    clock: [header, log]
stages:
  moving: {use: filter, from: drives, where: "log_time > timestamp('2026-03-02T08:15:10Z')"}
outputs:
  lake: {use: parquet, from: moving, uri: LAKE}
`

// contents hashes the objects of a lake, all but the events.
func contents(t *testing.T, uri string) map[string]string {
	t.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, uri)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	err = st.List(ctx, "", func(o pipeline.Object) error {
		if strings.HasPrefix(o.Key, lineage.RunsDir) {
			return nil
		}
		b, err := st.Get(ctx, o.Key)
		out[o.Key] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameContents(t *testing.T, a, b map[string]string) {
	t.Helper()
	for k := range a {
		if a[k] != b[k] {
			t.Errorf("%s differs or is missing", k)
		}
	}
	for k := range b {
		if a[k] == "" {
			t.Errorf("%s is new", k)
		}
	}
}

// Buffers are not used after they were freed, and all are freed.
func TestMemoryIsGivenBackOnce(t *testing.T) {
	poisoned, plain := newLake(), newLake()
	sum, err := testRun(t, strings.ReplaceAll(samplePipeline, "LAKE", poisoned), func(r *runner.Runner) { r.Jobs = 3 })
	if err != nil || sum.Failure() != nil || sum.Count(runner.Done) != 3 {
		t.Fatalf("%+v %v %v", sum.Totals, err, sum.Failure())
	}
	if _, err := testRun(t, strings.ReplaceAll(samplePipeline, "LAKE", plain), func(r *runner.Runner) { r.Allocator = nil; r.Workers = 1; r.BatchRows = 100 }); err != nil {
		t.Fatal(err)
	}
	sameContents(t, contents(t, plain), contents(t, poisoned))
}

// A run that is cancelled, or whose commits fail, at any moment ends, frees
// everything, and leaves no unit half done; the next one finishes the work.
func TestDisturbedRun(t *testing.T) {
	undisturbed := newLake()
	if _, err := testRun(t, strings.ReplaceAll(samplePipeline, "LAKE", undisturbed), nil); err != nil {
		t.Fatal(err)
	}
	want := contents(t, undisturbed)
	disturb := func(name string, first func(text string)) {
		t.Run(name, func(t *testing.T) {
			lake := newLake()
			text := strings.ReplaceAll(samplePipeline, "LAKE", lake)
			first(text)
			if _, err := testRun(t, text, nil); err != nil {
				t.Fatal(err)
			}
			sameContents(t, want, contents(t, lake))
		})
	}
	points := []int64{1, 3, 10, 25}
	if testing.Short() {
		points = []int64{1, 10}
	}
	for _, after := range points {
		disturb(fmt.Sprintf("cancelled after %d batches", after), func(text string) {
			ctx, cancel := context.WithCancelCause(context.Background())
			sum, err := testRunContext(t, ctx, text, func(r *runner.Runner) { r.Progress = &canceller{after: after, cancel: cancel}; r.BatchRows = 500 })
			if err != nil || sum.Count(runner.Interrupted) == 0 {
				t.Errorf("%d units interrupted, %v", sum.Count(runner.Interrupted), err)
			}
		})
		disturb(fmt.Sprintf("failing at failpoint %d", after), func(text string) {
			var n atomic.Int64
			sum, _ := testRun(t, text, func(r *runner.Runner) {
				r.Failpoint = func(name string) error {
					if n.Add(1) == after {
						return errors.New(name)
					}
					return nil
				}
			})
			if sum.Count(runner.Failed) != 1 {
				t.Errorf("%d units failed", sum.Count(runner.Failed))
			}
		})
	}
}

// canceller cancels a run after some batches.
type canceller struct {
	quiet
	after  int64
	n      atomic.Int64
	cancel context.CancelCauseFunc
}

func (c *canceller) Rows(int64) {
	if c.n.Add(1) == c.after {
		c.cancel(errors.New("cancelled by the test"))
	}
}

// A diamond, one branch of which passes nothing on, ends; rows of both
// branches stand in the order of their records whatever the batches.
func TestDiamond(t *testing.T) {
	diamond := `
pipeline: diamond
inputs:
  drive: {uri: TESTDATA/drives/v01/*/roof.bag, tables: {odom: /odom, imu: /imu}}
stages:
  none: {use: filter, from: drive, where: "log_time < timestamp('2000-01-01T00:00:00Z')"}
  slow: {use: filter, from: drive, where: "log_time < timestamp('2026-03-02T08:15:40Z')"}
  late: {use: filter, from: drive, where: "log_time > timestamp('2026-03-02T08:15:20Z')"}
outputs:
  lake: {use: parquet, from: [none, slow, late], uri: LAKE}
`
	var want map[string]string
	for _, c := range []struct{ rows, workers int }{{0, 1}, {1, 4}, {7, 2}, {1000, 8}} {
		lake := newLake()
		sum, err := testRun(t, strings.ReplaceAll(diamond, "LAKE", lake), func(r *runner.Runner) { r.BatchRows, r.Workers = c.rows, c.workers })
		if err != nil || sum.Failure() != nil {
			t.Fatal(err, sum.Failure())
		}
		got := contents(t, lake)
		if want == nil {
			want = got
			if sum.Totals.Written <= 4200 {
				t.Errorf("%d rows written: the overlap of the branches should be there twice", sum.Totals.Written)
			}
			continue
		}
		sameContents(t, want, got)
	}
}

// What is done with bad data follows the policy; what is lost is counted.
func TestBadDataPolicies(t *testing.T) {
	const text = `
pipeline: broken
inputs:
  drives: {uri: "TESTDATA/broken/truncated*.{bag,mcap}", on_bad_data: POLICY}
outputs:
  lake: {use: parquet, from: drives, uri: LAKE}
`
	for _, policy := range []string{"fail", "skip", "null_cell", "quarantine"} {
		lake := newLake()
		sum, err := testRun(t, strings.NewReplacer("LAKE", lake, "POLICY", policy).Replace(text), nil)
		if err != nil {
			t.Fatal(policy, err)
		}
		if !sum.Totals.Loss() {
			t.Errorf("%s: nothing was lost in truncated recordings: %+v", policy, sum.Totals)
		}
		if sum.Totals.Written == 0 {
			t.Errorf("%s: nothing was saved of truncated recordings", policy)
		}
	}
}

// Recordings of a group make one unit, and its tables one set of files.
func TestGroupedRecordings(t *testing.T) {
	text := strings.Replace(samplePipeline, "    clock:", "    group: {by: drive_id}\n    clock:", 1)
	lake := newLake()
	sum, err := testRun(t, strings.ReplaceAll(text, "LAKE", lake), nil)
	// The three recordings have tables of one name with different columns
	// (ROS 1 and ROS 2), which one unit cannot hold.
	if err != nil || sum.Count(runner.Failed) != 1 || !errors.Is(sum.Failure(), pipeline.ErrSchema) {
		t.Fatalf("%v, %v", err, sum.Failure())
	}
	text = strings.Replace(text, "{vehicle_id}/{drive_id}/{logger}.{bag,mcap}", "v0{number}/{drive_id}/{logger}.bag", 1)
	sum, err = testRun(t, strings.ReplaceAll(text, "LAKE", newLake()), nil)
	if err != nil || sum.Count(runner.Done) != 1 || sum.Failure() != nil {
		t.Fatalf("%v, %v", err, sum.Failure())
	}
}

// Trouble of the store that passes is tried again; trouble that stays fails
// the unit and leaves the others alone.
func TestStoreTrouble(t *testing.T) {
	lake := newLake()
	trouble := func(n int, err error) func(*runner.Runner) {
		return func(r *runner.Runner) {
			open := r.OpenStore
			r.OpenStore = func(ctx context.Context, uri string) (pipeline.Store, error) {
				st, oerr := open(ctx, uri)
				if oerr != nil {
					return nil, oerr
				}
				return pipetest.Faulty(st, pipetest.Rule{Op: pipetest.OpReadAt, Key: "v01/**", Nth: n, Err: err}), nil
			}
		}
	}
	text := strings.ReplaceAll(samplePipeline, "LAKE", lake)
	sum, err := testRun(t, text, trouble(2, pipeline.Transient(errors.New("slow down"))))
	if err != nil || sum.Failure() != nil || sum.Count(runner.Done) != 3 {
		t.Fatalf("passing trouble: %v, %v", err, sum.Failure())
	}
	retried := 0
	for _, u := range sum.Units {
		retried += u.Attempts - 1
	}
	if retried != 1 {
		t.Errorf("%d retries, want 1", retried)
	}
	text = strings.ReplaceAll(samplePipeline, "LAKE", newLake())
	sum, err = testRun(t, text, trouble(1, fmt.Errorf("no: %w", pipeline.ErrDenied)))
	if err != nil || sum.Count(runner.Failed) != 1 || sum.Count(runner.Done) != 2 || !errors.Is(sum.Failure(), pipeline.ErrDenied) || pipeline.IsTransient(sum.Failure()) {
		t.Fatalf("staying trouble: %v, %v", err, sum.Failure())
	}
}

// Calls of stores that fail at random, in every way that passes, lose nothing
// and write nothing twice: a run succeeds, or stops with trouble that may pass
// and the next one goes on.
func TestRandomStoreTrouble(t *testing.T) {
	undisturbed := newLake()
	if _, err := testRun(t, strings.ReplaceAll(samplePipeline, "LAKE", undisturbed), nil); err != nil {
		t.Fatal(err)
	}
	want := contents(t, undisturbed)
	runs := 0
	for seed := range uint64(5) {
		lake := newLake()
		for run := uint64(0); ; run++ {
			if run == 50 {
				t.Fatalf("seed %d: no end after %d runs", seed, run)
			}
			runs++
			sum, err := testRunOn(t, strings.ReplaceAll(samplePipeline, "LAKE", lake), func(ctx context.Context, uri string) (pipeline.Store, error) {
				st, err := store.Open(ctx, uri)
				if err != nil {
					return nil, err
				}
				return pipetest.Faulty(st, pipetest.RetryableRules(0.05, 1000*seed+20*run)...), nil
			})
			if err == nil {
				err = sum.Failure()
			}
			if err == nil {
				break
			}
			if !pipeline.IsTransient(err) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		sameContents(t, want, contents(t, lake))
	}
	t.Logf("%d runs for 5 lakes", runs)
}

// A dry run writes nothing; a limited one goes on where the last one stopped.
func TestDryRunAndLimit(t *testing.T) {
	lake := newLake()
	text := strings.ReplaceAll(samplePipeline, "LAKE", lake)
	sum, err := testRun(t, text, func(r *runner.Runner) { r.DryRun = true })
	if err != nil || sum.Count(runner.Planned) != 3 || len(contents(t, lake)) != 0 {
		t.Fatalf("dry run: %v, %d planned", err, sum.Count(runner.Planned))
	}
	for want := 1; want <= 3; want++ {
		sum, err := testRun(t, text, func(r *runner.Runner) { r.LimitUnits = 1 })
		if err != nil || sum.Count(runner.Done) != 1 || sum.Count(runner.Skipped) != want-1 {
			t.Fatalf("limited run: %v, %d done, %d skipped", err, sum.Count(runner.Done), sum.Count(runner.Skipped))
		}
	}
}

// Rows whose declared clock is far from the log times are refused by name.
func TestClockWindow(t *testing.T) {
	text := strings.Replace(samplePipeline, "    clock: [header, log]", "    clock: [header, log]\n    clock_window: 100ms\n    from: 2026-03-02T08:15:00Z\n    to: 2026-03-02T08:15:05Z", 1)
	text = strings.Replace(text, "from: moving", "from: drives", 1)
	text = text[:strings.Index(text, "stages:")] + text[strings.Index(text, "outputs:"):]
	sum, err := testRun(t, strings.ReplaceAll(text, "LAKE", newLake()), nil)
	if err != nil || sum.Failure() != nil {
		t.Fatal(err, sum.Failure())
	}
	if sum.Totals.Rejected != 0 {
		t.Errorf("%d rows within the recording were refused", sum.Totals.Rejected)
	}
	// The sample's header stamps lie some milliseconds before the log times:
	// the first ones of a recording are outside of a window of a nanosecond.
	sum, err = testRun(t, strings.ReplaceAll(strings.Replace(text, "100ms", "1ns", 1), "LAKE", newLake()), nil)
	if err != nil || sum.Failure() != nil {
		t.Fatal(err, sum.Failure())
	}
	if sum.Totals.Rejected == 0 || sum.Totals.Written == 0 {
		t.Errorf("%d rows refused, %d written", sum.Totals.Rejected, sum.Totals.Written)
	}
}

// Recordings of one name in two places never replace each other, and a wider
// pattern finds what a narrower one has done.
func TestSlotsTellRecordingsApart(t *testing.T) {
	lake := newLake()
	run := func(uri string) *runner.Summary {
		text := "pipeline: slots\ninputs: {in: {uri: \"" + uri + "\"}}\noutputs: {lake: {use: parquet, from: in, uri: " + lake + "}}\n"
		sum, err := testRun(t, text, nil)
		if err != nil || sum.Failure() != nil {
			t.Fatal(err, sum.Failure())
		}
		return sum
	}
	run("TESTDATA/drives/v02/20260302T081500Z/roof.mcap")
	first := contents(t, lake)
	run("TESTDATA/drives/v03/20260302T081500Z/roof.mcap")
	second := contents(t, lake)
	for k, v := range first {
		if second[k] != v {
			t.Errorf("%s was replaced by another recording of the same name", k)
		}
	}
	if sum := run("TESTDATA/drives/*/*/roof.mcap"); sum.Count(runner.Skipped) != 2 || sum.Count(runner.Done) != 0 {
		t.Errorf("a wider pattern: %d skipped, %d done", sum.Count(runner.Skipped), sum.Count(runner.Done))
	}
	sameContents(t, second, contents(t, lake))
}
