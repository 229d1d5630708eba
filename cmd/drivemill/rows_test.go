package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/pipetest"
	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
)

// rowsOf prints the rows of all recordings or lake files that a pattern
// matches, in the order of their keys.
func rowsOf(t testing.TB, uri string, opt explore.CatOptions) string {
	t.Helper()
	ctx := context.Background()
	var out bytes.Buffer
	opt.Registry = builtin.Registry()
	err := eachRecording(ctx, []string{uri}, func(src pipeline.Source) error {
		res, err := explore.Cat(ctx, src, &out, opt)
		if err == nil && len(res.Refused) > 0 {
			t.Errorf("%s: rows refused: %v", src.Object().URI, res.Refused)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", uri, err)
	}
	return out.String()
}

// columnsOf lists the columns of a table of a recording.
func columnsOf(t testing.TB, uri, table string) []string {
	t.Helper()
	var out []string
	err := eachRecording(context.Background(), []string{uri}, func(src pipeline.Source) error {
		r, err := explore.Inspect(context.Background(), builtin.Registry(), src.Object().URI, src, explore.InspectOptions{})
		if err != nil {
			return err
		}
		for _, x := range r.Tables {
			if table != "" && x.Name != table {
				continue
			}
			for _, c := range x.Columns {
				out = append(out, c.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var sampleRecordings = []string{"v01/20260302T081500Z/roof.bag", "v02/20260302T081500Z/roof.mcap", "v03/20260302T081500Z/roof.mcap"}

var sampleTables = map[string]string{
	"/gps/fix": "gps_fix", "/odom": "odom", "/imu": "imu", "/vehicle/state": "vehicle_state",
	"/camera/front/compressed": "camera_front_compressed", "/diagnostics": "diagnostics",
}

// onlySome are columns that not every container or message dialect has.
var onlySome = []string{"publish_time", "sequence", "header.seq"}

// The sample drive decodes to the rows that the generator wrote down, cell by
// cell and to the letter, from every kind of recording.
func TestSampleRowsAreTheExpectedOnes(t *testing.T) {
	root := filepath.Join(repoRoot(t), "testdata", "drives")
	for _, rec := range append(slices.Clone(sampleRecordings), "v04/20260302T081500Z/roof") { // a folder
		for table, file := range sampleTables {
			want, err := os.ReadFile(filepath.Join(root, "expected", file+".ndjson"))
			if err != nil {
				t.Fatal(err)
			}
			uri := filepath.Join(root, rec)
			cols := slices.DeleteFunc(columnsOf(t, uri, table), func(c string) bool { return slices.Contains(onlySome, c) })
			got := rowsOf(t, uri, explore.CatOptions{Tables: []string{table}, Columns: cols, Workers: 2})
			if line, a, b := firstDifference(string(want), got); line > 0 {
				t.Errorf("%s: %s: line %d\nwant %s\ngot  %s", rec, table, line, a, b)
			}
		}
	}
}

func firstDifference(a, b string) (line int, x, y string) {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(as), len(bs)) {
		var p, q string
		if i < len(as) {
			p = as[i]
		}
		if i < len(bs) {
			q = bs[i]
		}
		if p != q || i >= len(as) || i >= len(bs) {
			return i + 1, p, q
		}
	}
	return 0, "", ""
}

// The lake holds the same rows whatever container the drive came in.
func TestContainersAgreeInTheLake(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	mustRun(t, nil, runArgs(lake)...)
	// What the path says, what only some containers have, and what is looked up
	// by vehicle.
	differ := []string{"vehicle_id", "recording_id", "header_seq", "publish_time_ns", "sequence", "station", "elevation_m"}
	tables := []string{"odom_kmh", "fix", "imu", "state", "camera", "diagnostics"}
	for _, table := range tables {
		var want, from string
		for _, rec := range sampleRecordings {
			vehicle := rec[:3]
			uri := ""
			err := eachRecording(context.Background(), []string{lake + "/" + table + "/*/*.parquet"}, func(src pipeline.Source) error {
				rows := rowsOf(t, src.Object().URI, explore.CatOptions{Columns: []string{"vehicle_id"}, Limit: 1})
				if strings.Contains(rows, `"`+vehicle+`"`) {
					uri = src.Object().URI
				}
				return nil
			})
			if err != nil || uri == "" {
				t.Fatalf("table %s has no file of vehicle %s: %v", table, vehicle, err)
			}
			cols := slices.DeleteFunc(columnsOf(t, uri, ""), func(c string) bool { return slices.Contains(differ, c) })
			got := rowsOf(t, uri, explore.CatOptions{Columns: cols})
			if want == "" {
				want, from = got, rec
				if strings.Count(got, "\n") < 60 {
					t.Errorf("table %s has only %d rows", table, strings.Count(got, "\n"))
				}
				continue
			}
			if line, a, b := firstDifference(want, got); line > 0 {
				t.Errorf("table %s: %s and %s differ in row %d\n%s\n%s", table, from, rec, line, a, b)
			}
		}
	}
}

// byRecording puts the rows of files in the order of their recordings; the
// names of files begin with a hash of where a recording lies.
func byRecording(rows string) string {
	lines := strings.SplitAfter(rows, "\n")
	leading := func(s string) string { return strings.SplitN(s, `"ts":`, 2)[0] }
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(leading(a), leading(b)) })
	return strings.Join(lines, "")
}

// Reading from and writing to an S3 server gives the same rows as directories,
// and the same bytes each time.
func TestStoresAgree(t *testing.T) {
	local := filepath.Join(t.TempDir(), "lake")
	mustRun(t, nil, runArgs(local)...)
	s := s3server.Start(t)
	ctx := context.Background()
	// Recordings are named by their keys, so these are as in the directory.
	raw := openStore(t, "s3://"+s.Bucket+"/testdata/drives")
	for _, rec := range sampleRecordings {
		data, err := os.ReadFile(filepath.Join(repoRoot(t), "testdata", "drives", rec))
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Put(ctx, rec, data); err != nil {
			t.Fatal(err)
		}
	}
	uri := "inputs.drives.uri=s3://" + s.Bucket + "/testdata/drives/{vehicle_id}/{drive_id}/{logger}.{bag,mcap}"
	one, two := "s3://"+s.Bucket+"/one", "s3://"+s.Bucket+"/two"
	mustRun(t, nil, runArgs(one, "--set", uri)...)
	mustRun(t, nil, runArgs(two, "--set", uri, "--workers", "5")...)
	if d := diff(snapshot(t, one), snapshot(t, two)); d != "" {
		t.Errorf("two runs over S3 differ:\n%s", d)
	}
	for _, table := range []string{"odom_kmh", "fix", "imu", "state", "camera", "diagnostics"} {
		want := byRecording(rowsOf(t, local+"/"+table+"/*/*.parquet", explore.CatOptions{}))
		got := byRecording(rowsOf(t, one+"/"+table+"/*/*.parquet", explore.CatOptions{}))
		if line, a, b := firstDifference(want, got); line > 0 {
			t.Errorf("table %s: row %d differs\ndirectory %s\ns3        %s", table, line, a, b)
		}
	}
}

// Commit records balance, and the events of a run are valid OpenLineage.
func TestLineageOfARun(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	env := []string{"OPENLINEAGE_PARENT_ID=airflow/dag.task/01941f29-7c00-7087-8940-40e512c257bd"}
	mustRun(t, env, runArgs(lake)...)
	bad := invocation{args: runArgs(lake, "--set", "inputs.drives.on_bad_data=fail", "--set", "inputs.drives.uri=testdata/broken/{vehicle_id}.{bag,mcap}")}.run(t)
	if bad.code != 1 && bad.code != 3 {
		t.Errorf("broken recordings: exit %d\n%s", bad.code, bad.stderr)
	}
	ctx := context.Background()
	st := openStore(t, lake)
	records := 0
	err := st.List(ctx, lineage.CommitsDir+"/", func(o pipeline.Object) error {
		data, err := st.Get(ctx, o.Key)
		if err != nil {
			return err
		}
		c, err := lineage.DecodeCommit(o.Key, data)
		if err != nil {
			return err
		}
		records++
		return c.Ledger.Check()
	})
	if err != nil || records < 3 {
		t.Fatalf("%d commit records: %v", records, err)
	}
	v := pipetest.NewEventValidator(t)
	events := make(map[string]int)
	err = st.List(ctx, lineage.RunsDir+"/", func(o pipeline.Object) error {
		data, err := st.Get(ctx, o.Key)
		if err != nil {
			return err
		}
		v.Check(t, data)
		events[strings.SplitN(filepath.Base(o.Key), ".", 2)[0]]++
		if strings.Contains(o.Key, "COMPLETE") && !bytes.Contains(data, []byte(`"columnLineage"`)) {
			t.Errorf("%s has no column lineage", o.Key)
		}
		return nil
	})
	if err != nil || events["START"] != 2 || events["COMPLETE"]+events["FAIL"] != 2 {
		t.Errorf("events %v: %v", events, err)
	}
}
