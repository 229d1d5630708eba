package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline/explore"
)

// pipelineFile writes a pipeline in which ROOT is the repository and LAKE a
// folder of its own, and returns both.
func pipelineFile(t *testing.T, text string) (file, lake string) {
	t.Helper()
	dir := t.TempDir()
	file, lake = filepath.Join(dir, "p.yaml"), filepath.Join(dir, "lake")
	writePipeline(t, file, lake, text)
	return file, lake
}

func writePipeline(t *testing.T, file, lake, text string) {
	t.Helper()
	text = strings.NewReplacer("ROOT", repoRoot(t), "LAKE", lake).Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// lakeRows reads a table of a lake.
func lakeRows(t *testing.T, lake, table string) []map[string]any {
	t.Helper()
	return rowMaps(t, rowsOf(t, filepath.Join(lake, table, "**", "*.parquet"), explore.CatOptions{Workers: 1}))
}

// float is a number as it is printed, NaN and infinities as text.
func float(t *testing.T, v any) float64 {
	t.Helper()
	if s, ok := v.(string); ok {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	n, ok := v.(json.Number)
	if !ok {
		t.Fatalf("%v is no number", v)
	}
	f, err := n.Float64()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The long layout in a lake, joined with the dictionary of signals, holds what
// the wide one does.
func TestLongLayoutInLake(t *testing.T) {
	file, lake := pipelineFile(t, `pipeline: long
inputs:
  drives:
    uri: ROOT/testdata/mdf4/sorted.mf4
    formats: {mdf4: {long: ["roof/vehicle_state"]}}
    tables: {vehicle: "roof/vehicle_state", signals: signals}
outputs:
  lake: {use: parquet, from: drives, uri: LAKE}
`)
	mustRun(t, nil, "run", "--progress", "none", file)
	type signal struct{ column, unit, typ string }
	signals := make(map[string]signal)
	for _, r := range lakeRows(t, lake, "signals") {
		for _, c := range []string{"source", "bus", "message", "unit", "labels", "rate"} {
			if _, ok := r[c]; !ok {
				t.Fatalf("the dictionary has no %s: %v", c, r)
			}
		}
		if r["table"] != "roof/vehicle_state" {
			continue
		}
		if rate := float(t, r["rate"]); math.Abs(rate-10) > 0.1 || r["source"] != "roof" || r["message"] != "vehicle_state" {
			t.Errorf("%v", r)
		}
		unit, _ := r["unit"].(string)
		signals[fmt.Sprint(r["signal_id"])] = signal{r["column"].(string), unit, r["type"].(string)}
	}
	wide := rowMaps(t, rowsOf(t, filepath.Join(repoRoot(t), "testdata", "mdf4", "sorted.mf4"), explore.CatOptions{Tables: []string{"roof/vehicle_state"}}))
	long := lakeRows(t, lake, "vehicle")
	if len(signals) == 0 || len(long) != len(wide)*len(signals) {
		t.Fatalf("%d signals, %d rows of %d records", len(signals), len(long), len(wide))
	}
	for i, r := range long {
		s, ok := signals[fmt.Sprint(r["signal_id"])]
		if !ok {
			t.Fatalf("row %d: signal %v is not in the dictionary", i, r["signal_id"])
		}
		w := wide[i/len(signals)]
		stamp := w["time"].(string)
		if got := r["ts"].(string); got[:26] != stamp[:26] {
			t.Fatalf("row %d: ts %v, want %s", i, got, stamp)
		}
		want := w[s.column]
		switch {
		case want == nil && strings.HasPrefix(s.typ, "utf8"):
			if r["value_text"] != nil {
				t.Fatalf("row %d: %s is %v, want null", i, s.column, r["value_text"])
			}
		case want == nil:
			if r["value_double"] != nil || r["value_int"] != nil {
				t.Fatalf("row %d: %s: %v", i, s.column, r)
			}
		default:
			if text, ok := want.(string); ok && s.typ == "utf8" {
				if r["value_text"] != text {
					t.Fatalf("row %d: %s is %v, want %q", i, s.column, r["value_text"], text)
				}
				continue
			}
			if s.typ == "uint64" && r["value_int"] == nil { // more than int64 holds
				if r["value_text"] != fmt.Sprint(want) {
					t.Fatalf("row %d: %s is %v, want %v", i, s.column, r["value_text"], want)
				}
				continue
			}
			got, number := float(t, r["value_double"]), float(t, want)
			if s.typ == "float32" { // printed with no more digits than it has
				got, number = float64(float32(got)), float64(float32(number))
			}
			if got != number && (got == got || number == number) {
				t.Fatalf("row %d: %s is %v, want %v", i, s.column, r["value_double"], want)
			}
			if strings.Contains(s.typ, "int") && fmt.Sprint(r["value_int"]) != fmt.Sprint(want) {
				t.Fatalf("row %d: %s is %v, want %v", i, s.column, r["value_int"], want)
			}
		}
	}
}

// The CAN log of the sample drive, decoded, is the drive itself but for the
// steps in which its signals count.
func TestSampleCANIsTheDrive(t *testing.T) {
	file, lake := pipelineFile(t, `pipeline: can
inputs:
  drives: {uri: ROOT/testdata/mdf4/can.mf4}
stages:
  signals: {use: dbc, from: drives, databases: [{file: ROOT/testdata/mdf4/can.dbc, bus: 1}]}
outputs:
  lake: {use: parquet, from: signals, uri: LAKE, types: source}
`)
	mustRun(t, nil, "run", "--progress", "none", file)
	for _, table := range []struct {
		name, topic string
		signals     map[string]string // topic's column by signal
		step        map[string]float64
	}{
		{"odom", "/odom", map[string]string{"speed": "twist.twist.linear.x", "yaw_rate": "twist.twist.angular.z", "x": "pose.pose.position.x", "y": "pose.pose.position.y"},
			map[string]float64{"speed": 0.01, "yaw_rate": 0.0001, "x": 0.05, "y": 0.05}},
		{"gps_fix", "/gps/fix", map[string]string{"latitude": "latitude", "longitude": "longitude"}, map[string]float64{"latitude": 1e-7, "longitude": 1e-7}},
		{"vehicle_state", "/vehicle/state", map[string]string{"gear": "gear", "steering_angle": "steering_angle"}, map[string]float64{"gear": 0, "steering_angle": 0.0001}},
	} {
		uri := filepath.Join(repoRoot(t), "testdata", "drives", filepath.FromSlash(sampleRecordings[1]))
		drive := rowMaps(t, rowsOf(t, uri, explore.CatOptions{Tables: []string{table.topic}}))
		got := lakeRows(t, lake, "can_1_"+table.name)
		if len(got) == 0 {
			t.Fatalf("no rows of %s", table.name)
		}
		for i, row := range got {
			if row["ts"] != drive[i]["log_time"] {
				t.Fatalf("%s: row %d is of %v, want %v", table.name, i, row["ts"], drive[i]["log_time"])
			}
			for signal, column := range table.signals {
				if d := math.Abs(float(t, row[signal]) - float(t, drive[i][column])); d > table.step[signal]*0.5000001 {
					t.Fatalf("%s: row %d: %s is %v, and the drive has %v", table.name, i, signal, row[signal], drive[i][column])
				}
			}
		}
	}
}

// Frames that a lake holds are decoded by a step over it: another database
// decodes them again and reads no recording.
func TestFramesFromLake(t *testing.T) {
	const text = `pipeline: frames
inputs:
  drives: {uri: ROOT/testdata/mdf4/can.mf4, tables: {frames: "roof/CAN_DataFrame"}}
outputs:
  lake: {use: parquet, from: drives, uri: LAKE, types: source}
reduce:
  signals:
    inputs: {frames: {output: lake.FRAMES}}
    stages: {signals: {use: dbc, from: frames, databases: [{file: DATABASE, bus: 1}]}}
    outputs: {decoded: {use: parquet, from: signals, uri: LAKE, types: source}}
`
	table := mustRun(t, nil, "inspect", "--json", filepath.Join(repoRoot(t), "testdata", "mdf4", "can.mf4")).stdout
	var d struct {
		Tables []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(table), "["), "]")), &d); err != nil || len(d.Tables) == 0 {
		t.Fatal(err, table)
	}
	file, lake := pipelineFile(t, "")
	database := filepath.Join(filepath.Dir(file), "can.dbc")
	first, err := os.ReadFile(filepath.Join(repoRoot(t), "testdata", "mdf4", "can.dbc"))
	if err != nil {
		t.Fatal(err)
	}
	put := func(db string) string {
		if err := os.WriteFile(database, []byte(db), 0o644); err != nil {
			t.Fatal(err)
		}
		writePipeline(t, file, lake, strings.NewReplacer("roof/CAN_DataFrame", d.Tables[0].Name, "FRAMES", "frames", "DATABASE", database).Replace(text))
		return mustRun(t, nil, "run", "--progress", "none", file).stdout
	}
	put(string(first))
	var speeds []float64
	for _, table := range []string{"odom", "gps_fix", "vehicle_state"} {
		twin, err := os.ReadFile(filepath.Join(repoRoot(t), "testdata", "mdf4", "expected", "can_"+table+".ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		want, got := rowMaps(t, string(twin)), lakeRows(t, lake, "can_1_"+table)
		if len(got) != len(want) {
			t.Fatalf("%s: %d rows, want %d", table, len(got), len(want))
		}
		for i, w := range want {
			if table == "odom" {
				speeds = append(speeds, float(t, w["speed"]))
			}
			for k, v := range w {
				if n, ok := v.(json.Number); ok && float(t, got[i][k]) != float(t, n) || !ok && k != "log_time" && got[i][k] != v {
					t.Fatalf("%s: row %d: %s is %v, want %v", table, i, k, got[i][k], v)
				}
			}
		}
	}
	before := snapshot(t, lake)
	out := put(strings.Replace(string(first), "(0.01,0)", "(0.02,0)", 1))
	if strings.Count(out, "units: 0 done, 1 skipped") != 1 || strings.Count(out, "units: 1 done") != 1 {
		t.Errorf("only the step is to be done again:\n%s", out)
	}
	after := snapshot(t, lake)
	same := 0
	for name, data := range before {
		if strings.HasPrefix(name, "frames/") {
			same++
			if after[name] != data {
				t.Errorf("%s was written again", name)
			}
		}
	}
	if same == 0 {
		t.Error("no files of frames")
	}
	odom := lakeRows(t, lake, "can_1_odom")
	for i, row := range odom {
		if math.Abs(float(t, row["speed"])-2*speeds[i]) > 1e-9 {
			t.Fatalf("row %d: speed %v, want twice %v", i, row["speed"], speeds[i])
		}
	}
	if len(odom) != len(speeds) || speeds[len(speeds)-1] == 0 {
		t.Errorf("%d rows, %d speeds", len(odom), len(speeds))
	}
}
