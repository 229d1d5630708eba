package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline/lineage"
)

// groupedArgs runs drives with one unit for each vehicle.
func groupedArgs(command, lake, drives string, more ...string) []string {
	args := []string{command}
	if command == "run" {
		args = append(args, "--progress", "none")
	}
	return append(append(args, "--set", "outputs.lake.uri="+lake, "--set", "inputs.drives.uri="+drives, "--set", "inputs.drives.group=vehicle_id", drivesPipeline), more...)
}

// What is forgotten is gone, and stays away; what shared a unit with it comes
// back. Killed at any moment and gone on with a run or another forget, the lake
// is the same.
func TestForget(t *testing.T) {
	drives := manyDrives(t, 5)
	root, _, _ := strings.Cut(drives, "/{")
	victims := []string{filepath.Join(root, "v01", "trip-000") + "/", filepath.Join(root, "v03", "trip-002", "roof.mcap")} // v01 has two drives, v03 has one
	lakes(t, func(t *testing.T, newLake func(string) string) {
		lake := newLake("lake")
		run := groupedArgs("run", lake, drives)
		mustRun(t, nil, run...)
		before := snapshot(t, lake)

		dry := mustRun(t, nil, append([]string{"forget", lake}, victims...)...).stdout
		if !strings.Contains(dry, "2 units, ") || !strings.Contains(dry, "would be removed") || !strings.Contains(dry, "its 1 other objects") {
			t.Errorf("dry run:\n%s", dry)
		}
		if d := diff(before, snapshot(t, lake)); d != "" {
			t.Errorf("a dry run changed the lake:\n%s", d)
		}
		mustRun(t, nil, append([]string{"forget", lake, "--delete"}, victims...)...)
		gone := snapshot(t, lake)
		for key := range gone {
			if _, old := before[key]; !old && !strings.HasPrefix(key, lineage.ForgottenDir) {
				t.Errorf("%s is new", key)
			}
		}
		for _, vehicle := range []string{"v01", "v03"} {
			if n := commitsOf(t, lake, vehicle); n != 0 {
				t.Errorf("%d records are left of %s", n, vehicle)
			}
		}
		out := mustRun(t, nil, run...).stdout
		if !strings.Contains(out, "units: 1 done, 1 skipped") || strings.Count(out, "left out: ") != 2 || !strings.Contains(out, "forgotten") {
			t.Errorf("the run after it:\n%s", out)
		}
		want := snapshot(t, lake)
		if out := mustRun(t, nil, groupedArgs("explain", lake, drives)...).stdout; !strings.Contains(out, "0 units would run, 2 are done") || strings.Count(out, "left out: ") != 2 {
			t.Errorf("explain:\n%s", out)
		}
		// A lake that never had them has the same files.
		never := newLake("never")
		mustRun(t, nil, append(groupedArgs("run", never, drives), "--set", "inputs.drives.exclude="+root+"/{v01/trip-000,v03/trip-002}/*")...)
		if d := diff(parquetOnly(snapshot(t, never)), parquetOnly(want)); d != "" {
			t.Errorf("files differ from those of a lake that never had them:\n%s", d)
		}

		for _, at := range []string{"forget:before", "forget:between", "forget:after"} {
			for _, then := range []string{"run", "forget"} {
				t.Run(at+", then "+then, func(t *testing.T) {
					lake := newLake("killed-" + strings.ReplaceAll(at, ":", "-") + "-" + then)
					run := groupedArgs("run", lake, drives)
					mustRun(t, nil, run...)
					forget := append([]string{"forget", lake, "--delete"}, victims...)
					if r := (invocation{args: forget, env: []string{"DRIVEMILL_FAILPOINT=" + at + "=kill"}}).run(t); r.code != -1 {
						t.Fatalf("the failpoint was not hit: exit %d\n%s", r.code, r.stderr)
					}
					if then == "forget" {
						mustRun(t, nil, forget...)
						if d := diff(gone, snapshot(t, lake)); d != "" {
							t.Errorf("the lake differs from an undisturbed one:\n%s", d)
						}
					}
					mustRun(t, nil, run...)
					if d := diff(want, snapshot(t, lake)); d != "" {
						t.Errorf("the lake differs from an undisturbed one:\n%s", d)
					}
				})
			}
		}

		mustRun(t, nil, append([]string{"forget", lake, "--restore"}, victims...)...)
		mustRun(t, nil, run...)
		if d := diff(parquetOnly(before), parquetOnly(snapshot(t, lake))); d != "" {
			t.Errorf("what was restored differs:\n%s", d)
		}
		if r := (invocation{args: []string{"forget", lake, victims[0], "--restore"}}).run(t); r.code != exitFailed {
			t.Errorf("restored twice: exit %d\n%s", r.code, r.stderr)
		}
	})
	if r := (invocation{args: []string{"forget", root, victims[0]}}).run(t); r.code != exitFailed || !strings.Contains(r.stderr, "not a lake") {
		t.Errorf("no lake: exit %d\n%s", r.code, r.stderr)
	}
}

// commitsOf counts the records of a vehicle.
func commitsOf(t *testing.T, lake, vehicle string) int {
	t.Helper()
	st := openStore(t, lake)
	n := 0
	for key := range snapshot(t, lake) {
		if !strings.HasPrefix(key, lineage.CommitsDir+"/") {
			continue
		}
		data, err := st.Get(context.Background(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := lineage.DecodeCommit(key, data)
		if err != nil {
			t.Fatal(err)
		}
		if c.Attributes["vehicle_id"] == vehicle {
			n++
		}
	}
	return n
}

// Visible files of a process that died before its record are found by its
// claim; a shard does not bring back what was forgotten since the plan; steps
// of reduce follow at the next run.
func TestForgetMore(t *testing.T) {
	drives := manyDrives(t, 4)
	root, _, _ := strings.Cut(drives, "/{")
	t.Run("claim", func(t *testing.T) {
		lake := filepath.Join(t.TempDir(), "lake")
		r := invocation{args: groupedArgs("run", lake, drives), env: []string{"DRIVEMILL_FAILPOINT=publish:after=kill"}}.run(t)
		if r.code != -1 {
			t.Fatalf("not killed: exit %d", r.code)
		}
		if len(parquetOnly(snapshot(t, lake))) == 0 {
			t.Fatal("nothing is visible")
		}
		mustRun(t, nil, "forget", lake, "--delete", root+"/")
		for key := range snapshot(t, lake) {
			if !strings.HasPrefix(key, lineage.ForgottenDir) && !strings.HasPrefix(key, lineage.PlansDir) {
				t.Errorf("%s is left", key)
			}
		}
		if out := mustRun(t, nil, groupedArgs("run", lake, drives)...).stdout; !strings.Contains(out, "units: 0 done") || strings.Count(out, "left out: ") != 4 {
			t.Errorf("everything is forgotten, but:\n%s", out)
		}
	})
	t.Run("planned", func(t *testing.T) {
		lake := filepath.Join(t.TempDir(), "lake")
		p := plan(t, lake, drives)
		mustRun(t, nil, "forget", lake, "--delete", filepath.Join(root, "v02")+"/")
		if r := shard(p, 0).run(t); r.code != exitDone {
			t.Fatalf("shard: exit %d\n%s", r.code, r.stderr)
		}
		r := invocation{args: []string{"finish", "--manifest", p.Manifest}}.run(t)
		if r.code != exitFailed || !strings.Contains(r.stdout, "3 done, 1 failed") || !strings.Contains(r.stdout, "forgotten since the run was planned") {
			t.Errorf("finish: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
	t.Run("during a run", func(t *testing.T) {
		lake := filepath.Join(t.TempDir(), "lake")
		p := plan(t, lake, drives)
		if r := shard(p, 0).run(t); r.code != exitDone {
			t.Fatalf("shard: exit %d\n%s", r.code, r.stderr)
		}
		// As if the tombstone had come before, and the record after.
		other := filepath.Join(t.TempDir(), "other")
		mustRun(t, nil, append(runArgs(other), "--set", "inputs.drives.uri="+drives)...)
		mustRun(t, nil, "forget", other, "--delete", filepath.Join(root, "v02")+"/")
		if err := os.CopyFS(filepath.Join(lake, lineage.ForgottenDir), os.DirFS(filepath.Join(other, lineage.ForgottenDir))); err != nil {
			t.Fatal(err)
		}
		mustRun(t, nil, "finish", "--manifest", p.Manifest)
		if n := commitsOf(t, lake, "v02"); n != 0 {
			t.Errorf("%d records are left", n)
		}
		if d := diff(parquetOnly(snapshot(t, other)), parquetOnly(snapshot(t, lake))); d != "" {
			t.Errorf("files differ:\n%s", d)
		}
	})
	t.Run("steps", func(t *testing.T) {
		lake := filepath.Join(t.TempDir(), "lake")
		file := reducePipeline(t, drives, lake)
		mustRun(t, nil, "run", "--progress", "none", file)
		mustRun(t, nil, "forget", lake, "--delete", filepath.Join(root, "v02")+"/")
		mustRun(t, nil, "run", "--progress", "none", file)
		if rows := catTable(t, lake, "imu_fleet"); strings.Contains(string(rows), "/v02/") || !strings.Contains(string(rows), "/v01/") {
			t.Error("steps did not follow")
		}
		for key := range parquetOnly(snapshot(t, lake)) {
			if strings.Contains(key, "vehicle_id=v02") {
				t.Errorf("%s is left", key)
			}
		}
	})
}
