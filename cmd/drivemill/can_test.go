package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline/explore"
)

// canPipeline decodes the CAN sample, from its recording or from a lake.
const canPipeline = `pipeline: can
inputs:
  INPUTS
stages:
  signals:
    use: dbc
    from: [FROM]
    buses: {powertrain: POWERTRAIN, truck: TRUCK}
    databases:
      - {file: ROOT/testdata/can/powertrain.dbc, bus: powertrain}
      - {file: ROOT/testdata/can/truck.dbc, bus: truck}
outputs:
  lake: {use: parquet, from: [signals], uri: LAKE}
  raw: {use: parquet, from: [FROM], uri: RAW}
`

// canRows reads the tables of a lake as the twins spell them: the declared
// clock and the signals, nulls left out.
func canRows(t *testing.T, lake, table string) string {
	t.Helper()
	rows := rowsOf(t, filepath.Join(lake, table, "*", "*.parquet"), explore.CatOptions{Workers: 1})
	var out strings.Builder
	lines := bufio.NewScanner(strings.NewReader(rows))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row map[string]json.RawMessage
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		for k, v := range row {
			switch k {
			case "ts", "vehicle_id", "drive_id", "recording_id", "log_time_ns", "publish_time_ns":
				delete(row, k)
			default:
				if bytes.Equal(v, []byte("null")) {
					delete(row, k)
				}
			}
		}
		out.WriteString(sortedJSON(t, row))
	}
	return out.String()
}

func sortedJSON(t *testing.T, row map[string]json.RawMessage) string {
	t.Helper()
	b, err := json.Marshal(row) // sorts the keys
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// The CAN sample decodes to the rows that the generator wrote down, from the
// recording and from its frames in a lake.
func TestSampleCAN(t *testing.T) {
	root, dir := repoRoot(t), t.TempDir()
	decode := func(name, inputs, from, powertrain, truck string) string {
		t.Helper()
		lake := filepath.Join(dir, name)
		text := strings.NewReplacer("INPUTS", inputs, "FROM", from, "POWERTRAIN", powertrain, "TRUCK", truck, "ROOT", root, "LAKE", lake, "RAW", lake+"-raw").Replace(canPipeline)
		file := filepath.Join(dir, name+".yaml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := mustRun(t, nil, "run", "--progress", "none", file); strings.Contains(r.stderr, "warning") {
			t.Error(r.stderr)
		}
		files, err := filepath.Glob(filepath.Join(root, "testdata", "can", "expected", "*.ndjson"))
		if err != nil || len(files) == 0 {
			t.Fatal("no twins", err)
		}
		for _, f := range files {
			table := strings.TrimSuffix(filepath.Base(f), ".ndjson")
			twin, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var want strings.Builder
			for line := range strings.Lines(string(twin)) {
				var row map[string]json.RawMessage
				if err := json.Unmarshal([]byte(line), &row); err != nil {
					t.Fatal(err)
				}
				for _, k := range slices.Collect(maps.Keys(row)) {
					v := row[k]
					delete(row, k)
					row[strings.ToLower(k)] = v
				}
				want.WriteString(sortedJSON(t, row))
			}
			if line, a, b := firstDifference(want.String(), canRows(t, lake, table)); line > 0 {
				t.Errorf("%s: %s: row %d\nwant %s\ngot  %s", name, table, line, a, b)
			}
		}
		return lake + "-raw"
	}
	recording := "drives: {uri: " + filepath.Join(root, "testdata", "can", "*.mcap") + ", clock: [header, log], tables: {frames: {match: /can/*}}}"
	raw := decode("recording", recording, "drives.frames", "/can/powertrain", "/can/truck")
	frames := "one: {uri: " + filepath.Join(raw, "can_powertrain", "*", "*.parquet") + "}\n  two: {uri: " + filepath.Join(raw, "can_truck", "*", "*.parquet") + "}"
	decode("frames", frames, "one, two", "one", "two")
}

// Frames of MDF4 bus logging decode to what an independent decoder made of
// them.
func TestSampleCANInMDF4(t *testing.T) {
	root, dir := repoRoot(t), t.TempDir()
	file := filepath.Join(dir, "p.yaml")
	text := strings.NewReplacer("ROOT", root, "LAKE", filepath.Join(dir, "lake")).Replace(`pipeline: can
inputs:
  drives: {uri: ROOT/testdata/mdf4/can.mf4}
stages:
  signals: {use: dbc, from: drives, databases: [{file: ROOT/testdata/mdf4/can.dbc, bus: 1}]}
outputs:
  lake: {use: parquet, from: signals, uri: LAKE, types: source}
`)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	mustRun(t, nil, "run", "--progress", "none", file)
	for _, table := range []string{"odom", "gps_fix", "vehicle_state"} {
		twin, err := os.ReadFile(filepath.Join(root, "testdata", "mdf4", "expected", "can_"+table+".ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSpace(rowsOf(t, filepath.Join(dir, "lake", "can_1_"+table, "*", "*.parquet"), explore.CatOptions{Workers: 1})), "\n")
		want := strings.Split(strings.TrimSpace(string(twin)), "\n")
		if len(got) != len(want) {
			t.Fatalf("%s: %d rows, want %d", table, len(got), len(want))
		}
		for i := range want {
			var x, y map[string]any
			if err := errors.Join(json.Unmarshal([]byte(got[i]), &x), json.Unmarshal([]byte(want[i]), &y)); err != nil {
				t.Fatal(err)
			}
			for k, v := range y {
				if k == "log_time" {
					k = "ts"
				}
				if x[k] != v {
					t.Errorf("%s: row %d: %s is %v, want %v", table, i, k, x[k], v)
				}
			}
		}
	}
}
