package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drivemill/drivemill/bench"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/store"
)

// A run that is told to stop in the middle of its uploads stops soon, takes
// back what it uploaded, records its end, and says by its exit status what
// stopped it. The next run makes the lake of an undisturbed one.
func TestSignalsStopCleanly(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "long.mcap"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := (bench.Workload{Bytes: 48 << 20, Compression: "lz4"}).Write(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	// Row groups that are small and not compressed reach the store early.
	pipelineFile := filepath.Join(dir, "long.yaml")
	text := fmt.Sprintf("pipeline: long\ninputs:\n  in: {uri: %s/long.mcap}\noutputs:\n  lake: {use: parquet, from: in, uri: \"${LAKE}\", row_group_bytes: 1MiB, compression: none}\n", dir)
	if err := os.WriteFile(pipelineFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	into := func(lake string, more ...string) invocation {
		return invocation{args: append([]string{"run", "--progress", "none", pipelineFile}, more...), env: []string{"LAKE=" + lake}}
	}
	lakes(t, func(t *testing.T, newLake func(string) string) {
		undisturbed := newLake("undisturbed")
		if r := into(undisturbed).run(t); r.code != 0 {
			t.Fatalf("exit %d\n%s", r.code, r.stderr)
		}
		want := snapshot(t, undisturbed)
		for _, c := range []struct {
			signal syscall.Signal
			code   int
		}{{syscall.SIGTERM, exitTerminated}, {syscall.SIGINT, exitInterrupted}} {
			t.Run(c.signal.String(), func(t *testing.T) {
				lake := newLake(c.signal.String())
				st := openStore(t, lake)
				// Batches of one row give the time to interrupt.
				cmd := into(lake, "--batch-rows", "1", "--workers", "1").start(t)
				for deadline := time.Now().Add(time.Minute); len(uploads(t, st)) == 0; time.Sleep(5 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Error("no upload began")
						break
					}
				}
				begin := time.Now()
				if err := cmd.Process.Signal(c.signal); err != nil {
					t.Fatal(err)
				}
				r := finish(t, cmd)
				if r.code != c.code {
					t.Fatalf("exit %d, want %d\n%s", r.code, c.code, r.stderr)
				}
				if took := time.Since(begin); took > 15*time.Second {
					t.Errorf("it took %s to stop", took)
				}
				if !strings.Contains(r.stdout, "1 interrupted") || !strings.Contains(r.stderr, "stopped by signal: "+c.signal.String()) {
					t.Errorf("the output does not say what happened:\n%s%s", r.stdout, r.stderr)
				}
				if left := uploads(t, st); len(left) != 0 {
					t.Errorf("unfinished uploads are left: %v", left)
				}
				aborted := false
				err := st.List(context.Background(), "", func(o pipeline.Object) error {
					if !strings.HasPrefix(o.Key, lineage.RunsDir+"/") {
						t.Errorf("%s is left", o.Key)
					}
					aborted = aborted || strings.HasSuffix(o.Key, "/ABORT.openlineage.json")
					return nil
				})
				if err != nil || !aborted {
					t.Errorf("no event tells that the run was stopped (%v)", err)
				}
				if r := into(lake).run(t); r.code != 0 {
					t.Fatalf("the next run: exit %d\n%s", r.code, r.stderr)
				}
				if d := diff(want, snapshot(t, lake)); d != "" {
					t.Errorf("the lake differs from an undisturbed one:\n%s", d)
				}
			})
		}
	})
}

// uploads lists what is being written to a lake.
func uploads(t testing.TB, st pipeline.Store) []store.Upload {
	t.Helper()
	var out []store.Upload
	err := store.Uploads(context.Background(), st, func(u store.Upload) error {
		out = append(out, u)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
