package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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
				cmd := into(lake, "--batch-rows", "1", "--workers", "1", "--grace", "1s").start(t)
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
					if !strings.HasPrefix(o.Key, lineage.RunsDir+"/") && !strings.HasPrefix(o.Key, lineage.PlansDir+"/") {
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

// A run that is told to stop lets the unit that is at work end, begins no other,
// and says what stopped it: a signal, or the notice that its Spot instance will
// be taken away. The next run does the rest.
func TestStopsBetweenUnits(t *testing.T) {
	drives := manyDrives(t, 3)
	var asked atomic.Int64
	var noticed atomic.Bool
	token := "a-token"
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
			fmt.Fprint(w, token)
		case r.URL.Path != "/latest/meta-data/spot/instance-action" || r.Header.Get("X-aws-ec2-metadata-token") != token:
			w.WriteHeader(http.StatusUnauthorized)
		case !noticed.Load():
			w.WriteHeader(http.StatusNotFound) // as long as nothing is planned
		default:
			asked.Add(1)
			fmt.Fprintf(w, `{"action": "terminate", "time": %q}`, time.Now().Add(2*time.Minute).UTC().Format(time.RFC3339))
		}
	}))
	defer metadata.Close()
	undisturbed := filepath.Join(t.TempDir(), "lake")
	run := func(lake string, more ...string) invocation {
		return invocation{args: append([]string{"run", "--progress", "none", "--set", "outputs.lake.uri=" + lake, "--set", "inputs.drives.uri=" + drives, drivesPipeline}, more...)}
	}
	if r := run(undisturbed).run(t); r.code != exitDone {
		t.Fatalf("exit %d\n%s", r.code, r.stderr)
	}
	want := snapshot(t, undisturbed)
	for _, c := range []struct {
		name, says string
		args       []string
		signal     bool
	}{
		{"signal", "stopped by signal: terminated", nil, true},
		{"spot", "the Spot instance is taken away: terminate at 20", []string{"--spot-notice"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			lake := filepath.Join(t.TempDir(), "lake")
			i := run(lake, append(c.args, "--batch-rows", "1", "--grace", "1m")...)
			// The first unit waits until the run was told to stop.
			gate := filepath.Join(t.TempDir(), "gate")
			i.env = []string{"DRIVEMILL_FAILPOINT=record:before=wait", "DRIVEMILL_FAILPOINT_GATE=" + gate, "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + metadata.URL}
			cmd := i.start(t)
			waitFor(t, "the gate", func() bool { _, err := os.Stat(gate); return err == nil })
			if c.signal {
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			} else {
				noticed.Store(true)
				waitFor(t, "a question to the metadata service", func() bool { return asked.Load() > 0 })
			}
			time.Sleep(200 * time.Millisecond) // for the process to take it in
			if err := os.Remove(gate); err != nil {
				t.Fatal(err)
			}
			r := finish(t, cmd)
			if r.code != exitTerminated || !strings.Contains(r.stderr, c.says) {
				t.Errorf("exit %d, want %d and %q\n%s", r.code, exitTerminated, c.says, r.stderr)
			}
			if !strings.Contains(r.stdout, "1 done, 0 skipped, 0 failed, 2 interrupted") {
				t.Errorf("the unit at work did not end, or others began:\n%s", r.stdout)
			}
			if r := run(lake).run(t); r.code != exitDone || !strings.Contains(r.stdout, "2 done, 1 skipped") {
				t.Errorf("the next run: exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			if d := diff(want, snapshot(t, lake)); d != "" {
				t.Errorf("the lake differs from an undisturbed one:\n%s", d)
			}
		})
	}
}

func waitFor(t *testing.T, what string, there func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !there(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
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
