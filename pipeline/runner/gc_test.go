package runner_test

import (
	"context"
	"errors"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

// Garbage is only looked for in a lake: not above it, not in one of its
// tables, and not in another lake below.
func TestGarbageStaysInItsLake(t *testing.T) {
	dir := t.TempDir()
	outer, inner := filepath.Join(dir, "outer"), filepath.Join(dir, "outer", "inner")
	for _, lake := range []string{outer, inner} {
		if _, err := testRun(t, strings.ReplaceAll(samplePipeline, "LAKE", lake), nil); err != nil {
			t.Fatal(err)
		}
	}
	before := contents(t, outer)
	collect := func(uri string) ([]runner.Garbage, error) {
		st, err := store.Open(context.Background(), uri)
		if err != nil {
			t.Fatal(err)
		}
		return runner.CollectGarbage(context.Background(), st, runner.GCOptions{Delete: true, Now: time.Now})
	}
	table := ""
	for _, k := range slices.Sorted(maps.Keys(before)) {
		if strings.HasSuffix(k, ".parquet") && !strings.HasPrefix(k, "inner/") {
			table = strings.Split(k, "/")[0]
		}
	}
	for _, uri := range []string{dir, filepath.Join(outer, table), filepath.Join(dir, "nothing")} {
		if found, err := collect(uri); !errors.Is(err, pipeline.ErrNotFound) || !strings.Contains(err.Error(), "not a lake") {
			t.Errorf("%s: %v, %v", uri, found, err)
		}
	}
	for _, lake := range []string{outer, inner} {
		if found, err := collect(lake); err != nil || len(found) != 0 {
			t.Errorf("%s: %v, %v", lake, found, err)
		}
	}
	sameContents(t, before, contents(t, outer))

	// A file that nothing refers to is found, each in its own lake only.
	st, err := store.Open(context.Background(), inner)
	if err != nil {
		t.Fatal(err)
	}
	orphan := table + "/0123456789abcdef-0123456789ab-00000.parquet"
	if err := st.Put(context.Background(), orphan, []byte("PAR1")); err != nil {
		t.Fatal(err)
	}
	if found, err := collect(outer); err != nil || len(found) != 0 {
		t.Errorf("the outer lake: %v, %v", found, err)
	}
	found, err := collect(inner)
	if err != nil || len(found) != 1 || found[0].Kind != "orphan" || found[0].Key != path.Clean(orphan) {
		t.Errorf("the inner lake: %v, %v", found, err)
	}
	sameContents(t, before, contents(t, outer))
}

// A declared type is checked against each recording.
func TestDeclaredType(t *testing.T) {
	text := func(match, typ string) string {
		s := strings.Replace(samplePipeline, "    clock:", "    tables: {t: {match: "+match+", type: "+typ+"}}\n    clock:", 1)
		return strings.ReplaceAll(s, "LAKE", newLake())
	}
	// The recordings spell it nav_msgs/Odometry and nav_msgs/msg/Odometry.
	for _, typ := range []string{"nav_msgs/Odometry", "nav_msgs/msg/Odometry"} {
		sum, err := testRun(t, text("/odom", typ), nil)
		if err != nil || sum.Count(runner.Done) != 3 {
			t.Errorf("%s: %v, %v", typ, err, sum.Failure())
		}
	}
	sum, err := testRun(t, text("/odom", "sensor_msgs/Imu"), nil)
	if err != nil || sum.Count(runner.Failed) != 3 || !errors.Is(sum.Failure(), pipeline.ErrSchema) {
		t.Fatalf("%v, %v", err, sum.Failure())
	}
	for _, u := range sum.Units {
		for _, want := range []string{u.Unit.Recordings[0].Objects[0].URI, "/odom", "/Odometry", "sensor_msgs/Imu", "inputs.drives.tables.t"} {
			if !strings.Contains(u.Err.Error(), want) {
				t.Errorf("the error does not say %q: %v", want, u.Err)
			}
		}
	}
}
