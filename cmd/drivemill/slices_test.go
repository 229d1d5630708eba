package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// tableRows prints every table of a lake, rows sorted.
func tableRows(t *testing.T, lake string) map[string]string {
	t.Helper()
	dirs, err := os.ReadDir(lake)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, d := range dirs {
		if d.IsDir() && !strings.HasPrefix(d.Name(), "_") {
			out[d.Name()] = string(catTable(t, lake, d.Name()))
		}
	}
	return out
}

func sameTables(t *testing.T, want, got map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d tables, want %d", len(got), len(want))
	}
	for name, rows := range want {
		if got[name] != rows {
			t.Errorf("table %s: %d rows, want %d, or other values", name, strings.Count(got[name], "\n")+1, strings.Count(rows, "\n")+1)
		}
	}
}

var unitsDone = regexp.MustCompile(`units: (\d+) done, (\d+) skipped`)

func unitCounts(t *testing.T, stdout string) (done, skipped int) {
	t.Helper()
	m := unitsDone.FindStringSubmatch(stdout)
	if m == nil {
		t.Fatalf("no summary:\n%s", stdout)
	}
	done, _ = strconv.Atoi(m[1])
	skipped, _ = strconv.Atoi(m[2])
	return done, skipped
}

// One slice and many give the same rows; a run that is killed repeats one slice
// at most; a recording that is cut otherwise leaves nothing of the cut before.
func TestSlices(t *testing.T) {
	for _, kind := range []string{"bag", "mcap"} {
		t.Run(kind, func(t *testing.T) {
			drives := filepath.Join(repoRoot(t), "testdata/drives/{vehicle_id}/{drive_id}/{logger}."+kind)
			args := func(lake string, more ...string) []string {
				return append(runArgs(lake, "--set", "inputs.drives.uri="+drives), more...)
			}
			whole := filepath.Join(t.TempDir(), "whole")
			first := mustRun(t, nil, args(whole)...).stdout
			want := tableRows(t, whole)

			lake := filepath.Join(t.TempDir(), "lake")
			split := []string{"--split-size", "30000"}
			r := invocation{args: args(lake, split...), env: []string{"DRIVEMILL_FAILPOINT=record:before=kill"}}.run(t)
			if r.code != -1 {
				t.Fatalf("not killed: exit %d\n%s", r.code, r.stderr)
			}
			many := mustRun(t, nil, args(lake, split...)...).stdout
			done, _ := unitCounts(t, many)
			if n := strings.Count(kind, "mcap") + 1; done < 5*n {
				t.Errorf("only %d slices:\n%s", done, many)
			}
			sameTables(t, want, tableRows(t, lake))
			// What is found is counted once, whatever the slices.
			rows := regexp.MustCompile(`rows: .*`)
			if a, b := rows.FindString(first), rows.FindString(many); a != b {
				t.Errorf("%s, in slices %s", a, b)
			}
			if _, skipped := unitCounts(t, mustRun(t, nil, args(lake, split...)...).stdout); skipped != done {
				t.Errorf("%d of %d slices skipped", skipped, done)
			}
			// Cut otherwise, and not at all.
			other := mustRun(t, nil, args(lake, "--split-size", "70000")...).stdout
			if n, _ := unitCounts(t, other); n < 2 || n >= done {
				t.Errorf("%d slices of more than twice the size, %d before", n, done)
			}
			sameTables(t, want, tableRows(t, lake))
			mustRun(t, nil, args(lake, "--split-size", "0")...)
			if d := diff(snapshot(t, whole), snapshot(t, lake)); d != "" {
				t.Errorf("the lake differs from one that was never cut:\n%s", d)
			}
			// In shards.
			sharded := filepath.Join(t.TempDir(), "sharded")
			p := plan(t, sharded, drives, append(split, "--shards", "3")...)
			if p.Shards != 3 || p.Units != done {
				t.Fatalf("planned %+v, want %d units", p, done)
			}
			for i := range p.Shards {
				if r := shard(p, i).run(t); r.code != exitDone {
					t.Fatalf("shard %d: exit %d\n%s", i, r.code, r.stderr)
				}
			}
			mustRun(t, nil, "finish", "--manifest", p.Manifest)
			sameTables(t, want, tableRows(t, sharded))
		})
	}
	t.Run("not cut", func(t *testing.T) {
		lake := filepath.Join(t.TempDir(), "lake")
		out := mustRun(t, nil, "plan", "--set", "outputs.lake.uri="+lake, "testdata/pipelines/drivestats.yaml", "--split-size", "1000").stdout
		if !strings.Contains(out, `"not_cut":[{`) || !strings.Contains(out, "not decoded in parts") {
			t.Errorf("plan does not name what it cannot cut: %s", out)
		}
	})
}
