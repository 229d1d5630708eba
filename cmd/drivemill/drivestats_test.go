package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// copyDays copies the sample days of a fleet to a directory of their own.
func copyDays(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	found, err := filepath.Glob(filepath.Join(repoRoot(t), "testdata/drivestats/20*"))
	if err != nil || len(found) < 5 {
		t.Fatal(found, err)
	}
	for _, f := range found {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// recipe writes the recipe for drive stats and returns the pipeline.
func recipe(t *testing.T, input, lake string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "made")
	mustRun(t, nil, "init", "--recipe", "drive-stats", "--input", input, "--lake", lake, dir)
	return filepath.Join(dir, "drive-stats.yaml")
}

// fleetRows reads a table of a lake.
func fleetRows(t *testing.T, lake, table string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, line := range bytes.Split(catTable(t, lake, table), []byte("\n")) {
		row := make(map[string]any)
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatalf("table %s: %v in %s", table, err, line)
		}
		out = append(out, row)
	}
	return out
}

// sumOf adds up a column of the rows that the condition holds for.
func sumOf(rows []map[string]any, column string, where func(map[string]any) bool) (sum float64) {
	for _, r := range rows {
		if v, ok := r[column].(float64); ok && (where == nil || where(r)) {
			sum += v
		}
	}
	return sum
}

// The recipe runs; its tables agree with each other; running it again does
// nothing; a day that is published again makes its month anew and no other.
func TestDriveStatsRecipe(t *testing.T) {
	days := copyDays(t)
	lake := filepath.Join(t.TempDir(), "lake")
	file := recipe(t, days+"/*.{csv,csv.gz,csv.zst}", lake)
	mustRun(t, nil, "run", "--progress", "none", file)

	rows := fleetRows(t, lake, "drive_stats")
	fleet := fleetRows(t, lake, "afr_fleet_lifetime")
	if len(fleet) != 1 || fleet[0]["drive_days"] != float64(len(rows)) || fleet[0]["failures"] != sumOf(rows, "failure", nil) {
		t.Errorf("%d rows with %v failures, but %v", len(rows), sumOf(rows, "failure", nil), fleet)
	}
	for _, table := range []string{"afr_model_quarter", "afr_fleet_quarter", "afr_size_quarter", "afr_maker_quarter", "afr_vault_quarter", "afr_age_year", "afr_class_year", "afr_model_year", "afr_model_lifetime"} {
		if n := sumOf(fleetRows(t, lake, table), "drive_days", nil); n != float64(len(rows)) {
			t.Errorf("%s: included and excluded are %v drive days of %d", table, n, len(rows))
		}
	}
	lives := fleetRows(t, lake, "drive_lives")
	if n := sumOf(lives, "drive_days", nil); n != float64(len(rows)) {
		t.Errorf("lives have %v drive days of %d", n, len(rows))
	}
	flow := fleetRows(t, lake, "fleet_flow_year")
	if n := sumOf(flow, "installed", nil); n != float64(len(lives)) {
		t.Errorf("%v drives were installed, %d lived", n, len(lives))
	}

	before := parquetOnly(snapshot(t, lake))
	t.Run("26 ingesting again changes nothing", func(t *testing.T) {
		if out := mustRun(t, nil, "run", "--progress", "none", file).stdout; strings.Count(out, "units: 0 done") != 6 {
			t.Errorf("nothing changed, but:\n%s", out)
		}
		if d := diff(before, parquetOnly(snapshot(t, lake))); d != "" {
			t.Error(d)
		}
	})
	t.Run("26 a day published again replaces its month", func(t *testing.T) {
		name := filepath.Join(days, "2018-10-04.csv")
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.TrimRight(data, "\r\n")
		if err := os.WriteFile(name, data[:bytes.LastIndexAny(data, "\r\n")+1], 0o644); err != nil {
			t.Fatal(err)
		}
		older := filepath.Join(t.TempDir(), "older")
		if err := os.CopyFS(filepath.Join(older, "drive_days"), os.DirFS(filepath.Join(lake, "drive_days"))); err != nil {
			t.Fatal(err)
		}
		mustRun(t, nil, "run", "--progress", "none", file)
		if same := mustRun(t, nil, "diff", lake, lake).stdout; same != "" {
			t.Errorf("a lake differs from itself:\n%s", same)
		}
		changes := strings.Split(strings.TrimSpace(mustRun(t, nil, "diff", older, lake).stdout), "\n")
		if len(changes) != 2 || !strings.HasPrefix(changes[0], `{"kind":"day","date":"2018-10-04"`) || !strings.Contains(changes[0], `"why":"rows_removed"`) ||
			!strings.HasPrefix(changes[1], `{"kind":"model"`) || !strings.Contains(changes[1], `"afr":[`) {
			t.Errorf("changes:\n%s", strings.Join(changes, "\n"))
		}
		after := parquetOnly(snapshot(t, lake))
		for key := range before {
			_, same := after[key]
			if september := strings.Contains(key, "month=2018-09"); september != same && (strings.HasPrefix(key, "drive_stats/") || strings.HasPrefix(key, "drive_days/")) {
				t.Errorf("%s: the same after the day was published again: %v", key, same)
			}
		}
		if n := len(fleetRows(t, lake, "drive_stats")); n != len(rows)-1 {
			t.Errorf("%d rows, want one less than %d", n, len(rows))
		}
	})
}

// Seven processes make the cube and the rates of one.
func TestDriveStatsInShards(t *testing.T) {
	days := copyDays(t) + "/*.{csv,csv.gz,csv.zst}"
	single, sharded := filepath.Join(t.TempDir(), "single"), filepath.Join(t.TempDir(), "sharded")
	mustRun(t, nil, "run", "--progress", "none", recipe(t, days, single))
	var p planned
	if err := json.Unmarshal([]byte(mustRun(t, nil, "plan", "--shards", "7", recipe(t, days, sharded)).stdout), &p); err != nil {
		t.Fatal(err)
	}
	if p.Shards != 7 {
		t.Fatalf("planned %+v", p)
	}
	var wg sync.WaitGroup
	for i := range p.Shards {
		wg.Go(func() {
			if r := shard(p, i).run(t); r.code != exitDone {
				t.Errorf("shard %d: exit %d\n%s", i, r.code, r.stderr)
			}
		})
	}
	wg.Wait()
	mustRun(t, nil, "finish", "--manifest", p.Manifest)
	if d := diff(parquetOnly(snapshot(t, single)), parquetOnly(snapshot(t, sharded))); d != "" {
		t.Error(d)
	}
}

func TestInit(t *testing.T) {
	printed := mustRun(t, nil, "init", "--recipe", "drive-stats", "--lake", "s3://fleet/lake/").stdout
	if !strings.Contains(printed, `uri: "s3://fleet/lake"`) || strings.Contains(printed, "@") {
		t.Error(printed)
	}
	dir := t.TempDir()
	mustRun(t, nil, "init", "--recipe", "drive-stats", dir)
	if sql, err := os.ReadFile(filepath.Join(dir, "views.sql")); err != nil || !strings.Contains(string(sql), "'lake/drive_stats/*/*.parquet'") {
		t.Error(err)
	}
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{exitFailed, []string{"--recipe", "drive-stats", dir}, "there already"},
		{exitUsage, []string{"--recipe", "drive-stat"}, "did you mean drive-stats"},
		{exitUsage, []string{"--recipe", "drive-stats", "--lake", `a"b`}, "quotes"},
		{exitUsage, []string{"--recipe", "drive-stats", "a", "b"}, "one directory"},
	} {
		r := (invocation{args: append([]string{"init"}, c.args...)}).run(t)
		if r.code != c.code || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%q: exit %d, %s", c.args, r.code, r.stderr)
		}
	}
}

// The first days that were published have the counts and the rate that others
// have computed of them.
func TestDriveStatsApril2013(t *testing.T) {
	root := os.Getenv("DRIVEMILL_CONFORMANCE")
	if root == "" {
		t.Skip("DRIVEMILL_CONFORMANCE is not set: no real recordings")
	}
	lake := filepath.Join(t.TempDir(), "lake")
	mustRun(t, nil, "run", "--progress", "none", recipe(t, filepath.Join(root, "drive_stats/data_2013_april.zip"), lake))
	t.Run("13 drive days, failures and rate", func(t *testing.T) {
		rows := fleetRows(t, lake, "afr_fleet_lifetime")
		if len(rows) != 1 || rows[0]["drive_days"] != 452_821.0 || rows[0]["failures"] != 43.0 || fmt.Sprintf("%.4f", rows[0]["afr"]) != "3.4660" {
			t.Errorf("%v", rows)
		}
	})
	t.Run("14 every failure is a drive's last row", func(t *testing.T) {
		lives := fleetRows(t, lake, "drive_lives")
		if n := sumOf(lives, "failures", func(r map[string]any) bool { return r["failed"] == true }); n != 43 || sumOf(lives, "drive_days", nil) != 452_821 {
			t.Errorf("%v failures end a life", n)
		}
		for _, r := range fleetRows(t, lake, "integrity") {
			if r["kind"] == "resurrected" || r["kind"] == "duplicate_day" {
				t.Errorf("%v", r)
			}
		}
	})
}
