package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline/runner"
)

// explained runs explain and returns what it says of each unit.
func explained(t *testing.T, args ...string) map[string]*runner.Explanation {
	t.Helper()
	out := make(map[string]*runner.Explanation)
	dec := json.NewDecoder(strings.NewReader(mustRun(t, nil, append([]string{"explain", "--json"}, args...)...).stdout))
	for dec.More() {
		var e runner.Explanation
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		out[e.Unit] = &e
	}
	return out
}

// wantReason finds a reason that holds all texts, in what, before and after.
func wantReason(t *testing.T, e *runner.Explanation, cause string, texts ...string) {
	t.Helper()
	if e == nil {
		t.Fatal("the unit is not explained")
	}
	for _, r := range e.Reasons {
		all := r.What + "\n" + r.Before + "\n-> " + r.After
		found := r.Cause == cause
		for _, s := range texts {
			found = found && strings.Contains(all, s)
		}
		if found {
			return
		}
	}
	t.Errorf("unit %s: no reason %s with %q in %+v", e.Unit, cause, texts, e.Reasons)
}

// Each kind of change is named, with what was before and what is now.
func TestExplain(t *testing.T) {
	dir := t.TempDir()
	drives, lake := filepath.Join(dir, "drives"), filepath.Join(dir, "lake")
	if err := os.CopyFS(drives, os.DirFS(filepath.Join(repoRoot(t), "testdata/drives"))); err != nil {
		t.Fatal(err)
	}
	stations := filepath.Join(dir, "stations.csv")
	side, err := os.ReadFile(filepath.Join(repoRoot(t), "testdata/weather/stations.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stations, side, 0o644); err != nil {
		t.Fatal(err)
	}
	file := []string{drivesPipeline, "--set", "outputs.lake.uri=" + lake, "--set", "stages.sited.table=" + stations,
		"--set", "inputs.drives.uri=" + drives + "/{vehicle_id}/{drive_id}/{logger}.{bag,mcap}", "--set", "inputs.drives.group=vehicle_id"}
	run := append([]string{"run", "--progress", "none"}, file...)
	for _, e := range explained(t, file...) {
		wantReason(t, e, runner.CauseNew, "nothing is committed")
	}
	mustRun(t, nil, run...)
	if left := explained(t, file...); len(left) != 0 {
		t.Errorf("nothing changed, but %d units are explained", len(left))
	}
	if all := explained(t, append(file, "*")...); len(all) != 3 || all["drives/vehicle_id=v01"].Runs {
		t.Errorf("units that are done: %v", all)
	}

	now := explained(t, append(file, "--set", "stages.moving.where=twist.twist.linear.x > 5", "--set", "outputs.lake.compression=none")...)
	wantReason(t, now["drives/vehicle_id=v01"], runner.CausePipeline, "setting stages.moving.where", "twist.twist.linear.x > 0.5\n-> twist.twist.linear.x > 5")
	now = explained(t, append(file, "--set", "inputs.drives.attributes.campaign=winter")...)
	wantReason(t, now["drives/vehicle_id=v02"], runner.CauseAttribute, "campaign of", "-> winter")
	wantReason(t, now["drives/vehicle_id=v02"], runner.CausePipeline, "inputs.drives.attributes.campaign")

	if err := os.WriteFile(stations, append(side, "v09,X,1,2\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	wantReason(t, explained(t, file...)["drives/vehicle_id=v03"], runner.CausePipeline, "side stages.sited: "+stations)
	if err := os.WriteFile(stations, side, 0o644); err != nil {
		t.Fatal(err)
	}

	one, err := filepath.Glob(drives + "/v01/*/roof.bag")
	if err != nil || len(one) != 1 {
		t.Fatal(one, err)
	}
	data, err := os.ReadFile(one[0])
	if err != nil {
		t.Fatal(err)
	}
	more := filepath.Join(filepath.Dir(one[0]), "side.bag")
	if err := os.WriteFile(more, data, 0o644); err != nil {
		t.Fatal(err)
	}
	wantReason(t, explained(t, file...)["drives/vehicle_id=v01"], runner.CauseInput, more, "\n\n-> 3") // not there before
	mustRun(t, nil, run...)
	if err := os.Remove(more); err != nil {
		t.Fatal(err)
	}
	two, _ := filepath.Glob(drives + "/v02/*/roof.mcap")
	if err := os.WriteFile(two[0], data, 0o644); err != nil {
		t.Fatal(err)
	}
	now = explained(t, file...)
	wantReason(t, now["drives/vehicle_id=v01"], runner.CauseInput, more, "bytes, etag", "\n-> ")
	wantReason(t, now["drives/vehicle_id=v02"], runner.CauseInput, two[0], "bytes, etag", "-> 3")
	if e := now["drives/vehicle_id=v02"]; e.Cause != runner.CauseInput {
		t.Errorf("the cause is %s", e.Cause)
	}

	// plan --dry-run sums the same up, and writes nothing.
	before := snapshot(t, lake)
	var d dryPlan
	if err := json.Unmarshal([]byte(mustRun(t, nil, append([]string{"plan", "--dry-run", "--json"}, file...)...).stdout), &d); err != nil {
		t.Fatal(err)
	}
	if d.Units != 2 || d.Done != 1 || len(d.Causes) != 1 || d.Causes[0] != (runner.CauseTotals{Cause: runner.CauseInput, Units: 2, Bytes: d.Bytes}) || d.Bytes == 0 {
		t.Errorf("planned %+v", d)
	}
	if text := mustRun(t, nil, append([]string{"plan", "--dry-run"}, file...)...).stdout; !strings.Contains(text, "2 units to run") || !strings.Contains(text, "input: 2 units") {
		t.Errorf("plan --dry-run:\n%s", text)
	}
	if d := diff(before, snapshot(t, lake)); d != "" {
		t.Errorf("looking changed the lake:\n%s", d)
	}

	// A plan from before they were kept.
	plans, err := filepath.Glob(lake + "/_drivemill/plans/*")
	if err != nil || len(plans) != 1 {
		t.Fatal(plans, err)
	}
	if err := os.Remove(plans[0]); err != nil {
		t.Fatal(err)
	}
	now = explained(t, append(file, "--set", "stages.moving.where=true")...)
	wantReason(t, now["drives/vehicle_id=v03"], runner.CausePipeline, "not kept")
	if r := (invocation{args: append([]string{"explain"}, append(file, "drives/vehicle_id=v05")...)}).run(t); r.code != exitUsage || !strings.Contains(r.stderr, "did you mean") {
		t.Errorf("an unknown unit: exit %d\n%s", r.code, r.stderr)
	}
}

// A process that died between claim and record, and one that takes its
// process down each time.
func TestExplainContestedAndPoison(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	mustRun(t, nil, runArgs(lake)...)
	faster := filterTo("twist.twist.linear.x > 5")
	invocation{args: runArgs(lake, faster...), env: []string{"DRIVEMILL_FAILPOINT=record:before=kill"}}.run(t)
	file := []string{drivesPipeline, "--set", "outputs.lake.uri=" + lake}
	contested := explained(t, file...)
	if len(contested) != 1 {
		t.Errorf("%d units are contested", len(contested))
	}
	for name, e := range contested {
		wantReason(t, e, runner.CauseContested, "claimed")
		for range 3 {
			invocation{args: runArgs(lake), env: []string{"DRIVEMILL_FAILPOINT=unit:" + name + "=kill"}}.run(t)
		}
		if e := explained(t, file...)[name]; !e.Poison || e.Vanished != 3 {
			t.Errorf("poison: %+v", e)
		}
	}
	if text := mustRun(t, nil, append([]string{"explain"}, file...)...).stdout; !strings.Contains(text, "--retry-failed") {
		t.Errorf("explain:\n%s", text)
	}
}
