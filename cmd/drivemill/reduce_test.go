package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reducePipeline reads drives, keeps their imu by vehicle, joins each vehicle's
// files in one, and then those of all vehicles.
func reducePipeline(t *testing.T, drives, lake string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "reduce.yaml")
	text := fmt.Sprintf(`
pipeline: reduce
inputs:
  drives: {uri: "%[1]s", clock: [header, log], tables: {imu: /imu}}
outputs:
  lake: {use: parquet, from: drives, uri: "%[2]s", partition: [vehicle_id]}
reduce:
  vehicles:
    inputs: {imu: {output: lake.imu, group: vehicle_id}}
    stages: {some: {use: filter, from: imu, where: "linear_acceleration_x > 0", as: imu_by_vehicle}}
    outputs: {by_vehicle: {use: parquet, from: some, uri: "%[2]s", partition: [vehicle_id]}}
  fleet:
    inputs: {imu: {output: by_vehicle.imu_by_vehicle}}
    stages: {all: {use: filter, from: imu, where: "true", as: imu_fleet}}
    outputs: {fleet: {use: parquet, from: all, uri: "%[2]s", partition: []}}
`, drives, lake)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// catTable prints a table of a lake, rows sorted.
func catTable(t *testing.T, lake, table string) []byte {
	t.Helper()
	out := mustRun(t, nil, "cat", lake+"/"+table+"/**/*.parquet").stdout
	lines := strings.Split(strings.TrimSpace(out), "\n")
	sortStrings(lines)
	return []byte(strings.Join(lines, "\n"))
}

// Steps of reduce run over what is committed, and again only where it
// changed.
func TestReduce(t *testing.T) {
	drives := manyDrives(t, 6)
	root, _, _ := strings.Cut(drives, "/{")
	lake := filepath.Join(t.TempDir(), "lake")
	file := reducePipeline(t, drives, lake)
	first := mustRun(t, nil, "run", "--progress", "none", file).stdout
	if strings.Count(first, "units: ") != 3 || !strings.Contains(first, "step vehicles") {
		t.Errorf("summary:\n%s", first)
	}
	before := parquetOnly(snapshot(t, lake))
	if again := mustRun(t, nil, "run", "--progress", "none", file).stdout; strings.Count(again, "units: 0 done") != 3 {
		t.Errorf("nothing changed, but:\n%s", again)
	}
	// The rows of the fleet are those of the vehicles, times exact.
	vehicles, fleet := catTable(t, lake, "imu_by_vehicle"), catTable(t, lake, "imu_fleet")
	if n := bytes.Count(vehicles, []byte("\n")); n < 1000 || n != bytes.Count(fleet, []byte("\n")) {
		t.Errorf("%d rows by vehicle, %d of the fleet", n, bytes.Count(fleet, []byte("\n")))
	}
	units := catTable(t, lake, "imu")
	for _, line := range bytes.Split(fleet, []byte("\n"))[:50] {
		_, stamp, _ := bytes.Cut(line, []byte(`"ts_ns":`))
		if !bytes.Contains(units, stamp[:19]) {
			t.Fatalf("time %s of a step is not one of the units'", stamp[:19])
		}
	}
	// A planned run, finished, gives the same files.
	sharded := filepath.Join(t.TempDir(), "sharded")
	var p planned
	if err := json.Unmarshal([]byte(mustRun(t, nil, "plan", "--shards", "2", reducePipeline(t, drives, sharded)).stdout), &p); err != nil {
		t.Fatal(err)
	}
	for i := range p.Shards {
		if r := shard(p, i).run(t); r.code != exitDone {
			t.Fatalf("shard %d: exit %d\n%s", i, r.code, r.stderr)
		}
	}
	mustRun(t, nil, "finish", "--manifest", p.Manifest)
	if d := diff(before, parquetOnly(snapshot(t, sharded))); d != "" {
		t.Errorf("files of a planned run differ:\n%s", d)
	}
	// Vehicle v01 has a drive less.
	if err := os.RemoveAll(filepath.Join(root, "v01", "trip-000")); err != nil {
		t.Fatal(err)
	}
	mustRun(t, nil, "run", "--progress", "none", file) // its files stay: nobody said to forget them
	if d := diff(before, parquetOnly(snapshot(t, lake))); d != "" {
		t.Errorf("a recording that went away changed the lake:\n%s", d)
	}
}
