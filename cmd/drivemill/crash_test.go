package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
)

const drivesPipeline = "testdata/pipelines/drives.yaml"

// runArgs runs the sample drives into a lake.
func runArgs(lake string, more ...string) []string {
	return append([]string{"run", "--progress", "none", "--set", "outputs.lake.uri=" + lake, drivesPipeline}, more...)
}

// filterTo is the flag that changes the filter of the sample drives.
func filterTo(where string) []string { return []string{"--set", "stages.moving.where=" + where} }

// lakes runs a test on both kinds of store; the function makes the URI of a
// new lake.
func lakes(t *testing.T, test func(t *testing.T, newLake func(name string) string)) {
	t.Run("directory", func(t *testing.T) {
		dir := t.TempDir()
		test(t, func(name string) string { return filepath.Join(dir, name) })
	})
	t.Run("s3", func(t *testing.T) {
		s := s3server.Start(t)
		test(t, func(name string) string { return "s3://" + s.Bucket + "/" + name })
	})
}

// A run that is killed at any moment of its commit, and then started again,
// leaves the lake of an undisturbed run, byte for byte.
func TestKilledRunResumes(t *testing.T) {
	lakes(t, func(t *testing.T, newLake func(string) string) {
		undisturbed := newLake("undisturbed")
		mustRun(t, nil, runArgs(undisturbed)...)
		want := snapshot(t, undisturbed)
		for _, at := range []string{"upload:before", "claim:before", "claim:after", "publish:before", "publish:between", "publish:after", "record:before", "record:between", "record:after"} {
			t.Run(at, func(t *testing.T) {
				lake := newLake("killed-" + strings.ReplaceAll(at, ":", "-"))
				r := invocation{args: runArgs(lake), env: []string{"DRIVEMILL_FAILPOINT=" + at + "=kill"}}.run(t)
				if r.code != -1 {
					t.Fatalf("the failpoint was not hit: exit %d\n%s", r.code, r.stderr)
				}
				mustRun(t, nil, runArgs(lake)...)
				if d := diff(want, snapshot(t, lake)); d != "" {
					t.Errorf("the lake differs from an undisturbed one:\n%s", d)
				}
			})
		}
	})
}

// A changed filter replaces the rows it wrote before, also when the process
// is killed on the way; a plain glob over the files finds the new rows only.
func TestChangedFilterReplaces(t *testing.T) {
	lakes(t, func(t *testing.T, newLake func(string) string) {
		faster := filterTo("twist.twist.linear.x > 5")
		undisturbed := newLake("undisturbed")
		mustRun(t, nil, runArgs(undisturbed)...)
		before := snapshot(t, undisturbed)
		mustRun(t, nil, runArgs(undisturbed, faster...)...)
		want := snapshot(t, undisturbed)
		fresh := newLake("fresh")
		mustRun(t, nil, runArgs(fresh, faster...)...)
		if d := diff(parquetOnly(snapshot(t, fresh)), parquetOnly(want)); d != "" {
			t.Errorf("files after a change differ from those of a new lake:\n%s", d)
		}
		kept, replaced := 0, 0
		for k := range parquetOnly(before) {
			if _, ok := want[k]; ok {
				kept++
			} else if strings.HasPrefix(k, "odom_kmh/") {
				replaced++
			} else {
				t.Errorf("%s was replaced although nothing changed for it", k)
			}
		}
		if kept == 0 || replaced == 0 {
			t.Errorf("%d files kept, %d replaced", kept, replaced)
		}
		for _, at := range []string{"upload:before", "claim:after", "publish:between", "record:before", "record:between", "record:after", "sweep:before", "sweep:between"} {
			t.Run(at, func(t *testing.T) {
				lake := newLake("killed-" + strings.ReplaceAll(at, ":", "-"))
				mustRun(t, nil, runArgs(lake)...)
				r := invocation{args: runArgs(lake, faster...), env: []string{"DRIVEMILL_FAILPOINT=" + at + "=kill"}}.run(t)
				if r.code != -1 {
					t.Fatalf("the failpoint was not hit: exit %d\n%s", r.code, r.stderr)
				}
				mustRun(t, nil, runArgs(lake, faster...)...)
				if d := diff(want, snapshot(t, lake)); d != "" {
					t.Errorf("the lake differs from an undisturbed one:\n%s", d)
				}
			})
		}
		// The revision that was in force is asked for again right after the
		// new one died: its record is there, but so are files of the new one.
		for _, at := range []string{"publish:between", "record:before"} {
			t.Run("given up, "+at, func(t *testing.T) {
				lake := newLake("given-up-" + strings.ReplaceAll(at, ":", "-"))
				mustRun(t, nil, runArgs(lake)...)
				r := invocation{args: runArgs(lake, faster...), env: []string{"DRIVEMILL_FAILPOINT=" + at + "=kill"}}.run(t)
				if r.code != -1 {
					t.Fatalf("the failpoint was not hit: exit %d\n%s", r.code, r.stderr)
				}
				mustRun(t, nil, runArgs(lake)...)
				if d := diff(parquetOnly(before), parquetOnly(snapshot(t, lake))); d != "" {
					t.Errorf("files of the revision that was given up are left:\n%s", d)
				}
				r = mustRun(t, nil, runArgs(lake)...)
				if want := "0 done, 3 skipped"; !strings.Contains(r.stdout, want) {
					t.Errorf("the lake is not settled, want %q:\n%s", want, r.stdout)
				}
			})
		}
		t.Run("killed, then changed back", func(t *testing.T) {
			lake := newLake("back")
			mustRun(t, nil, runArgs(lake)...)
			invocation{args: runArgs(lake, faster...), env: []string{"DRIVEMILL_FAILPOINT=record:before=kill"}}.run(t)
			mustRun(t, nil, runArgs(lake, filterTo("twist.twist.linear.x > 2")...)...)
			mustRun(t, nil, runArgs(lake)...)
			if d := diff(parquetOnly(before), parquetOnly(snapshot(t, lake))); d != "" {
				t.Errorf("files differ after changing there and back:\n%s", d)
			}
		})
	})
}

// Two processes that do the same work at the same time leave one set of rows.
func TestTwoProcessesAtOnce(t *testing.T) {
	lakes(t, func(t *testing.T, newLake func(string) string) {
		alone := newLake("alone")
		mustRun(t, nil, runArgs(alone)...)
		lake := newLake("twice")
		first := invocation{args: runArgs(lake)}.start(t)
		second := invocation{args: runArgs(lake)}.start(t)
		for i, r := range []result{finish(t, first), finish(t, second)} {
			if r.code != 0 {
				t.Errorf("process %d: exit %d\n%s", i, r.code, r.stderr)
			}
		}
		if d := diff(snapshot(t, alone), snapshot(t, lake)); d != "" {
			t.Errorf("the lake differs from that of one process:\n%s", d)
		}
	})
}

// A second run skips every unit, says so, and changes no byte.
func TestSecondRunSkips(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	mustRun(t, nil, runArgs(lake)...)
	before := snapshot(t, lake)
	r := mustRun(t, nil, runArgs(lake)...)
	if want := "units: 0 done, 3 skipped, 0 failed, 0 interrupted"; !strings.Contains(r.stdout, want) {
		t.Errorf("the summary does not say %q:\n%s", want, r.stdout)
	}
	if d := diff(before, snapshot(t, lake)); d != "" {
		t.Errorf("the second run changed the lake:\n%s", d)
	}
}

// Neither the number of workers nor the size of batches changes a byte.
func TestOutputDoesNotDependOnTheRun(t *testing.T) {
	dir := t.TempDir()
	var want map[string]string
	for _, c := range [][]string{
		{"--workers", "1", "--batch-rows", "1"},
		{"--workers", "8", "--batch-rows", "1"},
		{"--workers", "1", "--batch-rows", "65536"},
		{"--workers", "8", "--batch-rows", "65536", "--jobs", "3"},
		{"--workers", "3", "--batch-rows", "7"},
	} {
		lake := filepath.Join(dir, fmt.Sprint(strings.Join(c, "")))
		mustRun(t, nil, runArgs(lake, c...)...)
		got := snapshot(t, lake)
		if want == nil {
			want = got
		} else if d := diff(want, got); d != "" {
			t.Errorf("%v changes the lake:\n%s", c, d)
		}
		if err := os.RemoveAll(lake); err != nil {
			t.Fatal(err)
		}
	}
}
