package rosbag2

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
	"github.com/drivemill/drivemill/pipeline"
)

func TestMetadata(t *testing.T) {
	want := readAll(t, bag(t, files(split(), nil)))
	if len(want.rows) != 507 || want.d.Indexed {
		t.Fatalf("%d rows, indexed %v", len(want.rows), want.d.Indexed)
	}
	noLoss(t, want)
	t.Run("1 versions", func(t *testing.T) {
		for v := 1; v <= 10; v++ {
			r := readAll(t, bag(t, files(split(), meta(v, split(), ""))))
			wantRows(t, fmt.Sprint("version ", v), r.rows, want.rows)
			noLoss(t, r)
			if (r.has("newer_version") != nil) != (v > 9) || r.d.Indexed != (v >= 5 || v < 5) {
				t.Errorf("version %d: indexed %v, problems %+v", v, r.d.Indexed, r.problems)
			}
		}
	})
	t.Run("2 paths", func(t *testing.T) {
		for _, v := range []int{3, 4} {
			dbs := files(split(), bytes.ReplaceAll(meta(v, split(), ""), []byte("x_1.db3"), []byte("/elsewhere/x_1.db3")))
			r := readAll(t, bag(t, dbs))
			wantRows(t, "renamed", r.rows, want.rows)
			noLoss(t, r)
		}
	})
	t.Run("3 missing metadata.yaml", func(t *testing.T) {
		r := readAll(t, bag(t, files(split(), meta(9, split(), ""))))
		wantRows(t, "with it", r.rows, want.rows)
		for i, x := range r.rows {
			if x.object != want.rows[i].object || x.record != want.rows[i].record {
				t.Fatalf("row %d is record %d of %d, want %d of %d", i, x.record, x.object, want.rows[i].record, want.rows[i].object)
			}
		}
	})
	t.Run("4 missing split file", func(t *testing.T) {
		for _, v := range []int{4, 9} {
			dbs := files(split(), meta(v, split(), ""))
			delete(dbs, "x_1.db3")
			r := readAll(t, bag(t, dbs))
			if p := r.has("missing_file"); p == nil || !p.Loses || !strings.Contains(p.Detail, "x_1.db3") {
				t.Errorf("problems %+v", r.problems)
			}
			if len(r.rows) != 307 || r.counts["/talk"].Lost+r.counts["/chat"].Lost != 200 || r.d.Indexed != (v == 9) {
				t.Errorf("version %d: %d rows, indexed %v, counts %+v", v, len(r.rows), r.d.Indexed, r.counts)
			}
		}
	})
	t.Run("12 compression mode and format", func(t *testing.T) {
		for _, mode := range []string{"file", "FILE", "File", "none", "MESSAGE", "message"} {
			r := readAll(t, bag(t, files(split(), meta(6, split(), "  compression_format: zstd\n  compression_mode: "+mode+"\n"))))
			wantRows(t, mode, r.rows, want.rows)
		}
		src := bag(t, files(split(), meta(6, split(), "  compression_format: lz4\n  compression_mode: FILE\n")))
		if _, err := New().Describe(t.Context(), src); !errors.Is(err, pipeline.ErrUnsupported) || !strings.Contains(err.Error(), "lz4") {
			t.Errorf("lz4: %v", err)
		}
	})
	t.Run("30 absent and null values", func(t *testing.T) {
		r := readAll(t, bag(t, files(split(), meta(4, split(), "  custom_data: ~\n"))))
		wantRows(t, "null custom data", r.rows, want.rows)
		r = readAll(t, bag(t, files(split(), meta(8, split(), "  custom_data:\n    vehicle_id: v7\n    weather: dry\n  ros_distro: foxy\n"))))
		if r.d.Attributes["vehicle_id"] != "v7" || len(r.d.Attributes) != 1 {
			t.Errorf("attributes %v", r.d.Attributes)
		}
		all := fmt.Sprint(r.d.Details)
		for _, s := range []string{"weather dry", "ros_distro foxy", "built-in foxy"} {
			if !strings.Contains(all, s) {
				t.Errorf("details %s lack %q", all, s)
			}
		}
	})
	t.Run("32 disagreement", func(t *testing.T) {
		text := bytes.Replace(meta(9, split(), ""), []byte("starting_time:\n    nanoseconds_since_epoch: 1"), []byte("starting_time:\n    nanoseconds_since_epoch: 2"), 1)
		r := readAll(t, bag(t, files(split(), text)))
		if r.d.Start != 1e18 || r.has("metadata_mismatch") == nil {
			t.Errorf("start %d, problems %+v", r.d.Start, r.problems)
		}
		// A crash leaves counts of nothing.
		stale := split()
		for _, d := range stale {
			d.Messages = nil
		}
		r = readAll(t, bag(t, files(split(), meta(9, stale, ""))))
		wantRows(t, "stale counts", r.rows, want.rows)
		if p := r.has("metadata_mismatch"); p == nil || p.Loses || r.d.Indexed {
			t.Errorf("problems %+v", r.problems)
		}
		// Or counts of more.
		more := split()
		more["x_2.db3"].Messages = append(more["x_2.db3"].Messages, talk(507, 10).Messages...)
		r = readAll(t, bag(t, files(split(), meta(9, more, ""))))
		if p := r.has("metadata_mismatch"); p == nil || !p.Loses || r.counts["/talk"].Lost != 5 || r.counts["/chat"].Lost != 5 {
			t.Errorf("counts %+v, problems %+v", r.counts, r.problems)
		}
	})
	t.Run("33 storage plugin", func(t *testing.T) {
		src := bag(t, files(split(), bytes.Replace(meta(9, split(), ""), []byte("sqlite3"), []byte("my_plugin"), 1)))
		if _, err := New().Describe(t.Context(), src); !errors.Is(err, pipeline.ErrUnsupported) || !strings.Contains(err.Error(), "my_plugin") {
			t.Errorf("my_plugin: %v", err)
		}
	})
	t.Run("34 odd names", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "ein Ordner — ü")
		other := t.TempDir()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		dbs := split()
		renamed := map[string]*bagtest.DB{"mein bag é_0.db3": dbs["x_0.db3"], "mein bag é_1.db3": dbs["x_1.db3"], "mein bag é_2.db3": dbs["x_2.db3"]}
		for name, data := range files(renamed, meta(9, renamed, "")) {
			at := filepath.Join(dir, name)
			if strings.Contains(name, "_1") {
				at = filepath.Join(other, "target")
				if err := os.Symlink(at, filepath.Join(dir, name)); err != nil {
					t.Skip(err)
				}
			}
			if err := os.WriteFile(at, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		found := openFolder(t, dir, func(n string) bool { return n == MetadataFile })
		wantRows(t, "odd names", readAll(t, found[0]).rows, want.rows)
	})
	t.Run("unlisted file", func(t *testing.T) {
		part := split()
		delete(part, "x_2.db3")
		dbs := files(split(), meta(9, part, ""))
		dbs["y_0.db3"] = talk(0, 3).Bytes()
		r := readAll(t, bag(t, dbs))
		wantRows(t, "unlisted", r.rows, want.rows)
		if r.has("unlisted_file") == nil {
			t.Errorf("problems %+v", r.problems)
		}
	})
	t.Run("metadata of another", func(t *testing.T) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{MetadataFile: meta(9, split(), ""), "other.db3": talk(0, 9).Bytes()} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		found := openFolder(t, dir, func(n string) bool { return n == "other.db3" })
		if r := readAll(t, found[0]); len(r.rows) != 9 || len(r.problems) > 0 {
			t.Errorf("%d rows, problems %+v", len(r.rows), r.problems)
		}
	})
	t.Run("one of several", func(t *testing.T) {
		src := bag(t, files(split(), meta(9, split(), "")))
		alone := openObjects(t, src.st, src.parts[1].Object())
		r := readAll(t, alone)
		if len(r.rows) != 200 || r.has("split_recording") == nil || r.has("missing_file") != nil {
			t.Errorf("%d rows, problems %+v", len(r.rows), r.problems)
		}
	})
}

func Test19QoS(t *testing.T) {
	ints := "- history: 3\n  depth: 0\n  reliability: 1\n  durability: 2\n  deadline:\n    sec: 2147483647\n    nsec: 4294967295\n  lifespan:\n    sec: 9223372036\n    nsec: 854775807\n  liveliness: 1\n  liveliness_lease_duration:\n    sec: 2147483647\n    nsec: 2147483647\n"
	names := "- history: unknown\n  depth: 0\n  reliability: reliable\n  durability: volatile\n  deadline:\n    sec: 1\n    nsec: 5\n"
	for in, want := range map[string]string{
		"":          "",
		"[]":        "",
		"{":         "{",
		"just text": "just text",
		ints:        `[{"deadline":"infinite","depth":"0","durability":"volatile","history":"unknown","lifespan":"infinite","liveliness":"automatic","liveliness_lease_duration":"infinite","reliability":"reliable"}]`,
		names:       `[{"deadline":"1.000000005","depth":"0","durability":"volatile","history":"unknown","reliability":"reliable"}]`,
	} {
		if got := qosJSON(&yaml.Node{Kind: yaml.ScalarNode, Value: in}); got != want {
			t.Errorf("%q is %s, want %s", in, got, want)
		}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(names), &doc); err != nil {
		t.Fatal(err)
	}
	if got := qosJSON(doc.Content[0]); !strings.Contains(got, `"history":"unknown"`) {
		t.Errorf("a list is %s", got)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]fileName{
		"a_3.db3":      {"a", 3, "sqlite3", false},
		"a.db3.zstd":   {"a", -1, "sqlite3", true},
		"a_b_12.mcap":  {"a_b", 12, "mcap", false},
		"metadata.yml": {},
	} {
		got, ok := parseName(name)
		if ok != (want != fileName{}) || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
