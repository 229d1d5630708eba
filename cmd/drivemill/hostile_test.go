package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/foxglove/mcap/go/mcap"

	"github.com/drivemill/drivemill/pipeline/explore"
)

// sample is one message of a made-up recording: its type, its place, and a
// body of single bytes.
type sample struct {
	topic, definition string
	body              []byte
	log               uint64
}

const (
	oneByte  = "uint8 a\n"
	someTime = 1_772_439_300_000_000_000 // 2026-03-02T08:15:00Z
	midnight = 1_772_496_000_000_000_000 // 2026-03-03T00:00:00Z
	afterInt = 1 << 63                   // 2262, the first nanosecond that an int64 cannot hold
)

func writeRecording(t *testing.T, file string, samples []sample) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Dir(file), 0o755))
	f, err := os.Create(file)
	must(err)
	w, err := mcap.NewWriter(f, &mcap.WriterOptions{Chunked: true, Compression: mcap.CompressionZSTD, IncludeCRC: true})
	must(err)
	must(w.WriteHeader(&mcap.Header{}))
	schemas, channels := make(map[string]uint16), make(map[string]uint16)
	for i, s := range samples {
		if schemas[s.definition] == 0 {
			schemas[s.definition] = uint16(len(schemas) + 1)
			must(w.WriteSchema(&mcap.Schema{ID: schemas[s.definition], Name: "demo_msgs/Sample", Encoding: "ros1msg", Data: []byte(s.definition)}))
		}
		if channels[s.topic] == 0 {
			channels[s.topic] = uint16(len(channels) + 1)
			must(w.WriteChannel(&mcap.Channel{ID: channels[s.topic], SchemaID: schemas[s.definition], Topic: s.topic, MessageEncoding: "ros1"}))
		}
		if s.body != nil {
			must(w.WriteMessage(&mcap.Message{ChannelID: channels[s.topic], Sequence: uint32(i), LogTime: s.log, PublishTime: s.log, Data: s.body}))
		}
	}
	must(w.Close())
	must(f.Close())
}

// runOver runs a pipeline that copies what uri matches into lake.
func runOver(t *testing.T, uri, lake string) result {
	t.Helper()
	file := filepath.Join(t.TempDir(), "copy.yaml")
	quote := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	text := "pipeline: copy\ninputs:\n  in: {uri: " + quote(uri) + "}\noutputs:\n  lake: {use: parquet, from: in, partition: [drive_date], uri: " + quote(lake) + "}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return invocation{args: []string{"run", "--progress", "none", file}}.run(t)
}

// Recordings and names as they should not be give exact rows, or say what is
// wrong with them.
func TestOddRecordings(t *testing.T) {
	long := "/" + strings.Repeat("x", 300)
	var topics []sample
	for i, name := range []string{"/../../etc", "..", "", "/", "/a/b", "/a_b", "/A/B", "/with space", "/q\"'`", "/日本", "/nl\nx", "/x=1", "_drivemill", "/1", long, long + "y"} {
		topics = append(topics, sample{name, oneByte, []byte{byte(i)}, someTime})
	}
	byteAt := func(times ...uint64) (out []sample) {
		for i, at := range times {
			out = append(out, sample{"/a", oneByte, []byte{byte(i)}, at})
		}
		return out
	}
	for _, c := range []struct {
		name    string
		samples []sample
		code    int
		rows    int
		dirs    []string // partitions, none: not looked at
	}{
		{"nothing", nil, exitDone, 0, nil},
		{"channel without messages", []sample{{"/a", oneByte, nil, 0}}, exitDone, 0, nil},
		{"one message", byteAt(someTime), exitDone, 1, []string{"a/drive_date=2026-03-02"}},
		{"topics", topics, exitDone, len(topics), nil},
		{"columns", []sample{{"/c", "uint8 ts\nuint8 ts_ns\nuint8 log_time\nuint8 recording_id\nuint8 a_b\nuint8 A_b\nuint8 select\n", []byte{1, 2, 3, 4, 5, 6, 7}, someTime}}, exitDone, 1, nil},
		{"across midnight", byteAt(midnight-1, midnight, midnight+1), exitDone, 3, []string{"a/drive_date=2026-03-02"}},
		{"times that do not fit", byteAt(0, 1, afterInt-1, afterInt, 1<<64-1), exitLoss, 3, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeRecording(t, filepath.Join(dir, "in.mcap"), c.samples)
			lake := filepath.Join(dir, "lake")
			r := runOver(t, filepath.Join(dir, "in.mcap"), lake)
			if r.code != c.code {
				t.Fatalf("exit %d, want %d\n%s%s", r.code, c.code, r.stdout, r.stderr)
			}
			files := slices.Sorted(maps.Keys(parquetOnly(snapshot(t, lake))))
			rows := 0
			dirs := []string{}
			for _, f := range files {
				rows += strings.Count(rowsOf(t, filepath.Join(lake, f), explore.CatOptions{}), "\n")
				dirs = append(dirs, path.Dir(f))
			}
			if rows != c.rows {
				t.Errorf("%d rows, want %d, in %q", rows, c.rows, files)
			}
			if c.dirs != nil && !slices.Equal(dirs, c.dirs) {
				t.Errorf("files in %q, want %q", dirs, c.dirs)
			}
			// Outside the lake there is the recording alone.
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
				t.Errorf("%v, %v", entries, err)
			}
			if r := runOver(t, filepath.Join(dir, "in.mcap"), lake); r.code != exitDone || !strings.Contains(r.stdout, "1 skipped") {
				t.Errorf("the second run: exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}

// Whatever stands in a path arrives as the value of the attribute.
func TestOddAttributes(t *testing.T) {
	dir := t.TempDir()
	values := []string{"sp ace", "ünï", "a=b", "50%", "q\"u'o`te", "a%2Fb", "nl\nx", "..x", "$(id)", "back\\slash", "{b}", "*"}
	var want []string
	for i, v := range values {
		writeRecording(t, filepath.Join(dir, "in", v, "x.mcap"), []sample{{"/a", oneByte, []byte{byte(i)}, someTime}})
		row, err := json.Marshal(struct {
			Vehicle string `json:"vehicle_id"`
			A       int    `json:"a"`
		}{v, i})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, string(row))
	}
	lake := filepath.Join(dir, "lake")
	if r := runOver(t, filepath.Join(dir, "in/{vehicle_id}/x.mcap"), lake); r.code != exitDone {
		t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	got := strings.Split(strings.TrimSpace(rowsOf(t, lake+"/a/*/*.parquet", explore.CatOptions{Columns: []string{"vehicle_id", "a"}})), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A lake in the middle of its own input does not feed itself.
func TestLakeInsideItsInput(t *testing.T) {
	dir := t.TempDir()
	writeRecording(t, filepath.Join(dir, "one.mcap"), []sample{{"/a", oneByte, []byte{1}, someTime}})
	if r := runOver(t, dir+"/**", dir); r.code != exitDone {
		t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	before := snapshot(t, dir)
	r := runOver(t, dir+"/**", dir)
	if want := "1 skipped, 0 failed"; r.code != exitDone || !strings.Contains(r.stdout, want) || !strings.Contains(r.stderr, "files that the pipeline itself wrote") {
		t.Errorf("exit %d, want %q and a warning:\n%s%s", r.code, want, r.stdout, r.stderr)
	}
	if d := diff(before, snapshot(t, dir)); d != "" {
		t.Errorf("the lake grew:\n%s", d)
	}
}

// Two outputs that would put rows into one table are a mistake.
func TestTwoOutputsOneTable(t *testing.T) {
	dir := t.TempDir()
	writeRecording(t, filepath.Join(dir, "one.mcap"), []sample{{"/a", oneByte, []byte{1}, someTime}})
	file := filepath.Join(dir, "two.yaml")
	text := fmt.Sprintf("pipeline: two\ninputs:\n  in: {uri: %[1]s/one.mcap, clock: [gps]}\noutputs:\n  x: {use: parquet, from: in, uri: %[1]s/lake}\n  y: {use: parquet, from: in, uri: %[1]s/lake/}\n", dir)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run", file}, {"validate", "--connect", file}} {
		r := invocation{args: args}.run(t)
		if want := "outputs.y: output x writes table a of "; r.code != exitUsage || !strings.Contains(r.stdout+r.stderr, want) {
			t.Errorf("%v: exit %d, want %d and %q\n%s%s", args, r.code, exitUsage, want, r.stdout, r.stderr)
		}
	}
	// A clock that no table has is said, once.
	r := invocation{args: []string{"run", "--set", "outputs.y.uri=" + dir + "/other", file}}.run(t)
	if n := strings.Count(r.stderr, "none of the declared clocks"); r.code != exitDone || n != 1 {
		t.Errorf("exit %d, %d warnings\n%s", r.code, n, r.stderr)
	}
}
