package main

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// stepsPipeline filters drives, and joins what is left in two steps.
func stepsPipeline(t *testing.T, drives string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "steps.yaml")
	text := fmt.Sprintf(`
pipeline: steps
inputs:
  drives: {uri: "%s", clock: [header, log], tables: {imu: /imu, odom: /odom}}
stages:
  moving: {use: filter, from: drives, where: "${WHERE}"}
outputs:
  lake: {use: parquet, from: moving, uri: "${LAKE}", partition: [vehicle_id]}
reduce:
  vehicles:
    inputs: {imu: {output: lake.imu, group: vehicle_id}}
    stages: {some: {use: filter, from: imu, where: "linear_acceleration_x > 0", as: imu_by_vehicle}}
    outputs: {by_vehicle: {use: parquet, from: some, uri: "${LAKE}", partition: [vehicle_id]}}
  fleet:
    inputs: {imu: {output: by_vehicle.imu_by_vehicle}}
    stages: {all: {use: filter, from: imu, where: "true", as: imu_fleet}}
    outputs: {fleet: {use: parquet, from: all, uri: "${LAKE}", partition: []}}
`, drives)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// settled is a snapshot in which records name files of the lake by where they
// lie in it: steps read files of the lake, and two lakes lie in two places.
func settled(t *testing.T, lake string) map[string]string {
	t.Helper()
	st := openStore(t, lake)
	out := snapshot(t, lake)
	for key := range out {
		if !strings.HasPrefix(key, lineage.CommitsDir+"/") {
			continue
		}
		data, err := st.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := lineage.DecodeCommit(key, data)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Inputs {
			in := &c.Inputs[i]
			if at, ok := strings.CutPrefix(in.URI, st.Root()+"/"); ok {
				in.URI, in.ETag = at, ""
			}
		}
		if data, err = c.Encode(); err != nil {
			t.Fatal(err)
		}
		out[key] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return out
}

// state names what a lake holds, for histograms: how far a killed run came.
func state(t *testing.T, lake string) string {
	t.Helper()
	n := make(map[string]int)
	err := openStore(t, lake).List(t.Context(), "", func(o pipeline.Object) error {
		for _, dir := range []string{lineage.AttemptsDir, lineage.ClaimsDir, lineage.CommitsDir} {
			if strings.HasPrefix(o.Key, dir+"/") {
				n[dir]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	doing := "between units"
	switch {
	case n[lineage.ClaimsDir] > 0:
		doing = "claimed, not settled"
	case n[lineage.AttemptsDir] > 0:
		doing = "unit at work"
	}
	return fmt.Sprintf("%02d records, %s", n[lineage.CommitsDir], doing)
}

func histogram(counts map[string]int) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "\n  %4d  %s", counts[k], k)
	}
	return b.String()
}

// Runs that are killed at random moments, and started again, leave the lake of
// an undisturbed run, byte for byte: new lakes, and lakes whose pipeline was
// changed.
func TestRandomKills(t *testing.T) {
	file := stepsPipeline(t, manyDrives(t, 3))
	lakes(t, func(t *testing.T, newLake func(string) string) {
		into := func(lake, where string) invocation {
			return invocation{args: []string{"run", "--progress", "none", file}, env: []string{"LAKE=" + lake, "WHERE=" + where}}
		}
		done := func(lake, where string) {
			t.Helper()
			if r := into(lake, where).run(t); r.code != exitDone {
				t.Fatalf("exit %d\n%s", r.code, r.stderr)
			}
		}
		const first, changed = "true", "log_time > timestamp('2026-03-02T08:15:10Z')"
		undisturbed := newLake("undisturbed")
		begin := time.Now()
		done(undisturbed, first)
		took := time.Since(begin)
		want := [2]map[string]string{settled(t, undisturbed)}
		done(undisturbed, changed)
		want[1] = settled(t, undisturbed)
		draw := rand.New(rand.NewPCG(7, 11))
		found, killed := make(map[string]int), 0
		for i := 0; killed < randomKills; i++ {
			if i == 20*randomKills {
				t.Fatalf("only %d of %d runs were killed before they ended", killed, i)
			}
			lake := newLake(fmt.Sprintf("killed-%d", i))
			where := first
			if i%2 == 1 {
				done(lake, first)
				where = changed
			}
			cmd := into(lake, where).start(t)
			time.Sleep(time.Duration(draw.Float64() * float64(took)))
			_ = cmd.Process.Kill() // it may have ended
			if r := finish(t, cmd); r.code == -1 {
				killed++
				found[state(t, lake)]++
			}
			done(lake, where)
			if d := diff(want[i%2], settled(t, lake)); d != "" {
				t.Errorf("run %d: the lake differs from an undisturbed one:\n%s", i, d)
			}
		}
		t.Logf("%d runs of about %v killed; they left:%s", killed, took.Round(time.Millisecond), histogram(found))
	})
}

// Every moment of a commit and a sweep is one at which a test can strike.
func TestFailpointsAreHit(t *testing.T) {
	file := stepsPipeline(t, manyDrives(t, 3))
	lakes(t, func(t *testing.T, newLake func(string) string) {
		lake := newLake("counted")
		log := filepath.Join(t.TempDir(), "hits")
		for _, where := range []string{"true", "log_time > timestamp('2026-03-02T08:15:10Z')"} {
			r := invocation{args: []string{"run", "--progress", "none", file}, env: []string{"LAKE=" + lake, "WHERE=" + where, "DRIVEMILL_FAILPOINT_LOG=" + log}}.run(t)
			if r.code != exitDone {
				t.Fatalf("exit %d\n%s", r.code, r.stderr)
			}
		}
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		hits := make(map[string]int)
		for _, name := range strings.Fields(string(data)) {
			hits[name]++
		}
		for _, name := range failpoints {
			if hits[name] == 0 {
				t.Errorf("%s was not hit", name)
			}
		}
		t.Logf("failpoints:%s", histogram(hits))
	})
}

// failpoints are the moments at which a process can be killed, in order.
var failpoints = []string{
	"upload:before", "claim:before", "claim:after", "publish:before", "publish:between", "publish:after",
	"record:before", "record:between", "record:after", "sweep:before", "sweep:between",
}

// A run of steps that is killed at any failpoint, and then started again,
// leaves the lake of an undisturbed run.
func TestKilledStepsResume(t *testing.T) {
	file := stepsPipeline(t, manyDrives(t, 3))
	newLake := func(name string) string { return filepath.Join(t.TempDir(), name) }
	into := func(lake, where, failpoint string) invocation {
		return invocation{args: []string{"run", "--progress", "none", file}, env: []string{"LAKE=" + lake, "WHERE=" + where, "DRIVEMILL_FAILPOINT=" + failpoint}}
	}
	const first, changed = "true", "log_time > timestamp('2026-03-02T08:15:10Z')"
	undisturbed := newLake("undisturbed")
	for _, where := range []string{first, changed} {
		if r := into(undisturbed, where, "").run(t); r.code != exitDone {
			t.Fatalf("exit %d\n%s", r.code, r.stderr)
		}
	}
	want := settled(t, undisturbed)
	before := newLake("before")
	if r := into(before, first, "").run(t); r.code != exitDone {
		t.Fatalf("exit %d\n%s", r.code, r.stderr)
	}
	for _, at := range failpoints {
		lake := newLake("killed")
		if err := os.CopyFS(lake, os.DirFS(before)); err != nil {
			t.Fatal(err)
		}
		if r := into(lake, changed, at+"=kill").run(t); r.code != -1 {
			t.Errorf("%s was not hit: exit %d\n%s", at, r.code, r.stderr)
		}
		if r := into(lake, changed, "").run(t); r.code != exitDone {
			t.Fatalf("after %s: exit %d\n%s", at, r.code, r.stderr)
		}
		if d := diff(want, settled(t, lake)); d != "" {
			t.Errorf("%s: the lake differs from an undisturbed one:\n%s", at, d)
		}
	}
}
