package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline/explore"
)

// The sample cameras and lidar decode to the rows that the generator wrote
// down, from both generations of ROS.
func TestSensorRowsAreTheExpectedOnes(t *testing.T) {
	root := filepath.Join(repoRoot(t), "testdata", "sensors")
	for _, rec := range []string{"v01/20260302T090000Z/front.mcap", "v02/20260302T090000Z/front.mcap"} {
		for _, table := range []string{"/camera/image", "/camera/jpeg", "/camera/h264", "/lidar/points", "/lidar/scan"} {
			want, err := os.ReadFile(filepath.Join(root, "expected", strings.ReplaceAll(table[1:], "/", "_")+".ndjson"))
			if err != nil {
				t.Fatal(err)
			}
			uri := filepath.Join(root, rec)
			cols := slices.DeleteFunc(columnsOf(t, uri, table), func(c string) bool { return slices.Contains(onlySome, c) })
			got := rowsOf(t, uri, explore.CatOptions{Tables: []string{table}, Columns: cols})
			if line, a, b := firstDifference(string(want), got); line > 0 {
				t.Errorf("%s: %s: line %d\nwant %s\ngot  %s", rec, table, line, a, b)
			}
		}
	}
}

// sensorArgs runs the sample cameras and lidar into one lake.
func sensorArgs(lake string, more ...string) []string {
	args := []string{"run", "--progress", "none"}
	for _, o := range []string{"lake", "frames", "clips"} {
		args = append(args, "--set", "outputs."+o+".uri="+lake)
	}
	return append(append(args, "testdata/pipelines/sensors.yaml"), more...)
}

// Frames and clips are committed like any file: a run that is killed at any
// moment leaves, when it is started again, the lake of an undisturbed run; what
// a changed output replaces is removed, directories of frames included; gc finds
// nothing in a settled lake, and trace the way back from a frame.
func TestKilledRunOfCameras(t *testing.T) {
	lakes(t, func(t *testing.T, newLake func(string) string) {
		undisturbed := newLake("undisturbed")
		mustRun(t, nil, sensorArgs(undisturbed)...)
		want := snapshot(t, undisturbed)
		frames, clips, frame := 0, 0, ""
		for k := range want {
			if strings.HasSuffix(k, ".png") || strings.HasSuffix(k, ".jpg") {
				frames, frame = frames+1, k
			}
			if strings.HasSuffix(k, ".mp4") {
				clips++
			}
		}
		if frames != 40 || clips != 2 {
			t.Fatalf("%d frames and %d clips", frames, clips)
		}
		if r := mustRun(t, nil, "lineage", "trace", undisturbed+"/"+frame); !strings.Contains(r.stdout, "output frames") {
			t.Errorf("trace of %s:\n%s", frame, r.stdout)
		}
		jpeg := []string{"--set", "outputs.frames.format=jpeg"}
		changed := newLake("changed")
		mustRun(t, nil, sensorArgs(changed)...)
		mustRun(t, nil, sensorArgs(changed, jpeg...)...)
		after := snapshot(t, changed)
		for k := range after {
			if strings.HasSuffix(k, ".png") {
				t.Errorf("%s was replaced and is left", k)
			}
		}
		for _, at := range []string{"publish:between", "record:before"} {
			t.Run(at, func(t *testing.T) {
				name := strings.ReplaceAll(at, ":", "-")
				lake := newLake("killed-" + name)
				env := []string{"DRIVEMILL_FAILPOINT=" + at + "=kill"}
				if r := (invocation{args: sensorArgs(lake), env: env}).run(t); r.code != -1 {
					t.Fatalf("the failpoint was not hit: exit %d\n%s", r.code, r.stderr)
				}
				mustRun(t, nil, sensorArgs(lake)...)
				if d := diff(want, snapshot(t, lake)); d != "" {
					t.Errorf("the lake differs from an undisturbed one:\n%s", d)
				}
				if r := mustRun(t, nil, "gc", lake); strings.Contains(r.stdout, "orphan") || strings.Contains(r.stdout, "superseded") {
					t.Errorf("gc finds\n%s", r.stdout)
				}
				if r := (invocation{args: sensorArgs(lake, jpeg...), env: env}).run(t); r.code != -1 {
					t.Fatalf("the failpoint was not hit: exit %d\n%s", r.code, r.stderr)
				}
				mustRun(t, nil, sensorArgs(lake, jpeg...)...)
				if d := diff(after, snapshot(t, lake)); d != "" {
					t.Errorf("the changed lake differs from an undisturbed one:\n%s", d)
				}
			})
		}
	})
}
