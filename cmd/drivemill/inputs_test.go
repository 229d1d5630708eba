package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
)

// A list in place of listing gives the files of a listing: keys, JSON lines,
// and an inventory of S3 in CSV.
func TestObjectLists(t *testing.T) {
	s := s3server.Start(t)
	ctx := context.Background()
	raw := "s3://" + s.Bucket
	st := openStore(t, raw)
	drives := manyDrives(t, 3)
	root, tail, _ := strings.Cut(drives, "/{")
	var keys []string
	err := openStore(t, root).List(ctx, "", func(o pipeline.Object) error {
		data, err := os.ReadFile(filepath.Join(root, o.Key))
		if err != nil {
			return err
		}
		keys = append(keys, "raw/"+o.Key)
		return st.Put(ctx, "raw/"+o.Key, data)
	})
	if err != nil {
		t.Fatal(err)
	}
	pattern := raw + "/raw/{" + tail
	run := func(name string, more ...string) (string, string) {
		lake := filepath.Join(t.TempDir(), name)
		return lake, mustRun(t, nil, append(append(runArgs(lake), "--set", "inputs.drives.uri="+pattern), more...)...).stdout
	}
	plain, _ := run("plain")
	want := snapshot(t, plain)

	var jsonLines, inventory strings.Builder
	for _, k := range keys {
		o, err := st.Stat(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&jsonLines, "{\"key\": %q, \"size\": %d, \"etag\": %q}\n", k, o.Size, o.ETag)
		fmt.Fprintf(&inventory, "%q,%q,\"%d\",\"2026-03-02T08:00:00.000Z\",%q\n", s.Bucket, url.QueryEscape(k), o.Size, o.ETag)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(inventory.String())); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal(map[string]any{"sourceBucket": s.Bucket, "fileFormat": "CSV", "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
		"files": []map[string]any{{"key": "inv/data/1.csv.gz", "size": zipped.Len()}}})
	if err != nil {
		t.Fatal(err)
	}
	for key, data := range map[string][]byte{"lists/keys.txt": []byte(strings.Join(keys, "\n") + "\nraw/v01/gone/roof.mcap\nother/x.mcap\n"), "lists/lines.json": []byte(jsonLines.String()),
		"inv/2026-03-02T01-00Z/manifest.json": manifest, "inv/data/1.csv.gz": zipped.Bytes()} {
		if err := st.Put(ctx, key, data); err != nil {
			t.Fatal(err)
		}
	}
	for _, list := range []string{"lists/keys.txt", "lists/lines.json", "inv/2026-03-02T01-00Z/manifest.json"} {
		lake, out := run("listed", "--set", "inputs.drives.objects="+raw+"/"+list)
		if d := diff(want, snapshot(t, lake)); d != "" {
			t.Errorf("%s: the lake differs from that of a listing:\n%s", list, d)
		}
		if gone := strings.Contains(out, "trip gone") || strings.Contains(out, "gone/roof.mcap"); gone != (list == "lists/keys.txt") {
			t.Errorf("%s:\n%s", list, out)
		}
	}
	// An inventory in Parquet, kept in a directory.
	dir := t.TempDir()
	table := filepath.Join(dir, "inv.csv")
	text := "bucket,key,size,e_tag\n"
	for _, k := range keys[:2] {
		o, err := st.Stat(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%s,%s,%d,%s\n", s.Bucket, k, o.Size, o.ETag)
	}
	if err := os.WriteFile(table, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	parquet := mustRun(t, nil, "cat", table, "--output", "parquet").stdout
	manifest = bytes.ReplaceAll(bytes.ReplaceAll(manifest, []byte(`"CSV"`), []byte(`"Parquet"`)), []byte("1.csv.gz"), []byte("1.parquet"))
	for name, data := range map[string]string{"daily/manifest.json": string(manifest), "data/1.parquet": parquet} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, out := run("parquet", "--set", "inputs.drives.objects="+dir+"/daily/manifest.json"); !strings.Contains(out, "units: 2 done") {
		t.Errorf("an inventory in Parquet:\n%s", out)
	}
}

// Units that are not ready are left out and named, and done when they are.
func TestReady(t *testing.T) {
	drives := manyDrives(t, 3)
	root, _, _ := strings.Cut(drives, "/{")
	lake := filepath.Join(t.TempDir(), "lake")
	more := []string{"--set", "inputs.drives.uri=" + drives, "--set", "inputs.drives.ready.marker=_DONE"}
	if err := os.WriteFile(filepath.Join(root, "v01/trip-000/_DONE"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	out := mustRun(t, nil, runArgs(lake, more...)...).stdout
	if !strings.Contains(out, "units: 1 done") || strings.Count(out, "not ready: _DONE is not there yet") != 2 || !strings.Contains(out, "v02/trip-001") {
		t.Errorf("run:\n%s", out)
	}
	args := append([]string{"plan", drivesPipeline, "--set", "outputs.lake.uri=" + lake}, more...)
	if out := mustRun(t, nil, args...).stdout; !strings.Contains(out, "not ready") || !strings.Contains(out, `"units":0`) {
		t.Errorf("plan:\n%s", out)
	}
	for _, d := range []string{"v02/trip-001", "v03/trip-002"} {
		if err := os.WriteFile(filepath.Join(root, d, "_DONE"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out := mustRun(t, nil, runArgs(lake, more...)...).stdout; !strings.Contains(out, "units: 2 done, 1 skipped") || strings.Contains(out, "left out") {
		t.Errorf("run:\n%s", out)
	}
	if out := mustRun(t, nil, runArgs(lake, append(more[:2:2], "--set", "inputs.drives.ready.quiet=100d")...)...).stdout; strings.Count(out, "wanted are 2400h0m0s of quiet") != 3 {
		t.Errorf("quiet:\n%s", out)
	}
}

// Small recordings share units; when they are regrouped no row is there twice,
// also when the process is killed while it cleans up.
func TestGroupByBytes(t *testing.T) {
	drives := manyDrives(t, 18)
	count := func(lake string) int { return bytes.Count(catTable(t, lake, "imu"), []byte("\n")) }
	alone := filepath.Join(t.TempDir(), "alone")
	mustRun(t, nil, append(runArgs(alone), "--set", "inputs.drives.uri="+drives)...)
	want := count(alone)
	args := func(lake, size string) []string {
		return append(runArgs(lake), "--set", "inputs.drives.uri="+drives, "--set", "inputs.drives.group.by=vehicle_id", "--set", "inputs.drives.group.bytes="+size)
	}
	lake := filepath.Join(t.TempDir(), "lake")
	if r := (invocation{args: args(lake, "1500kB")}).run(t); r.code != 0 {
		t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	commits := func() int {
		n := 0
		for k := range snapshot(t, lake) {
			if strings.HasPrefix(k, "_drivemill/commits/") {
				n++
			}
		}
		return n
	}
	if n := commits(); n == 0 || n >= 15 {
		t.Errorf("%d commits", n)
	}
	if got := count(lake); got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
	// Another size moves the bounds; killed while the old units are removed. Which
	// recordings begin a unit follows from where they lie, so that not every size
	// takes one of them away.
	var other []string
	var size string
	killed := false
	for _, size = range []string{"800kB", "2MB", "400kB", "3MB", "200kB"} {
		other = args(lake, size)
		if r := (invocation{args: other, env: []string{"DRIVEMILL_FAILPOINT=forget:between=kill"}}).run(t); r.code == -1 {
			killed = true
			break
		}
	}
	if !killed {
		t.Fatal("the failpoint was not hit")
	}
	mustRun(t, nil, other...)
	if got := count(lake); got != want {
		t.Errorf("%d rows after regrouping, want %d", got, want)
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	mustRun(t, nil, args(fresh, size)...)
	if d := diff(parquetOnly(snapshot(t, fresh)), parquetOnly(snapshot(t, lake))); d != "" {
		t.Errorf("files differ from those of a new lake:\n%s", d)
	}
}
