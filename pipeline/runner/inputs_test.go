package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/recording"
	"github.com/drivemill/drivemill/pipeline/store"
)

func TestParseList(t *testing.T) {
	got, err := parseList([]byte("\xef\xbb\xbfv1/a.mcap\r\n\ns3://b/v1/c d.mcap\n{\"key\": \"e\", \"size\": 3, \"etag\": \"x\", \"modified\": \"2026-03-02T08:00:00Z\"}"))
	if err != nil || len(got) != 3 || got[0].URI != "v1/a.mcap" || got[1].URI != "s3://b/v1/c d.mcap" || got[2].Key != "e" || got[2].Size != 3 || got[2].Modified.Hour() != 8 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"{", "{}", `{"key":"a","uri":"b"}`, `{"key":"a","size":-1}`} {
		if _, err := parseList([]byte(bad)); !errors.Is(err, pipeline.ErrCorrupt) || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

const inventorySchema = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"

func TestParseInventory(t *testing.T) {
	rows := `"b","v1/a%20b%2Bc.mcap","","true","false","12","2026-03-02T08:00:00.000Z","e1"
"b","v1/old.mcap","","false","false","12","2026-03-02T08:00:00.000Z","e0"
"b","v1/gone.mcap","","true","true","","2026-03-02T08:00:00.000Z",""
`
	got, err := parseInventory([]byte(rows), inventorySchema)
	if err != nil || len(got) != 1 || got[0].Key != "v1/a b+c.mcap" || got[0].Size != 12 || got[0].ETag != "e1" || got[0].Modified.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseInventory([]byte(rows), "Bucket, Key"); !errors.Is(err, pipeline.ErrSchema) {
		t.Errorf("no sizes: %v", err)
	}
	for i := 1; i < len(rows); i++ {
		if _, err := parseInventory([]byte(rows[:i]), inventorySchema); err != nil && !errors.Is(err, pipeline.ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

// FuzzLists feeds arbitrary bytes to everything that reads lists of objects.
func FuzzLists(f *testing.F) {
	for _, s := range []string{"a\nb\n", `{"key":"a","size":1,"etag":"x"}`, `"b","k","","true","false","1","2026-03-02T08:00:00.000Z","e"`, `["a",{"name":"b","size":2}]`, `{"files":["a"]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err1 := parseList(data)
		_, err2 := parseInventory(data, inventorySchema)
		_, err3 := parseFileList(data)
		for _, err := range []error{err1, err2, err3} {
			if err != nil && !errors.Is(err, pipeline.ErrCorrupt) {
				t.Fatal(err)
			}
		}
	})
}

// bundles groups recordings of 1 to 100 bytes by the unit they are in.
func bundles(t interface{ Fatal(...any) }, sizes map[string]int64, target int64) map[string][]string {
	in := &config.Input{Name: "in", Grouping: config.Grouping{Bytes: pipeline.Size(target)}}
	var found []*Recording
	for uri, size := range sizes {
		found = append(found, &Recording{Recording: recording.New(nil, uri, []pipeline.Object{{URI: uri, Size: size}}), Input: in})
	}
	units, err := bundle(in, found)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]string)
	for rec, u := range units {
		out[u] = append(out[u], rec.URI)
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return out
}

// A recording more, wherever it lies, changes two units at most; at the end,
// only the last one.
func TestBundleIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := make(map[string]int64)
		for i := range rapid.IntRange(1, 200).Draw(t, "recordings") {
			sizes[fmt.Sprintf("/raw/%04d", 2*i+1)] = rapid.Int64Range(1, 100).Draw(t, "size")
		}
		before := bundles(t, sizes, 1000)
		added := fmt.Sprintf("/raw/%04d", rapid.IntRange(0, 200).Draw(t, "place")*2)
		sizes[added] = rapid.Int64Range(1, 100).Draw(t, "added")
		after := bundles(t, sizes, 1000)
		changed, last := 0, true
		for u, list := range before {
			if !slices.Equal(list, after[u]) {
				changed++
				last = last && slices.Contains(after[u], added) && len(after[u]) == len(list)+1
			}
		}
		if changed > 1 || changed == 1 && !last && len(after) == len(before) {
			t.Fatalf("%s changed %d units", added, changed)
		}
	})
	// Ten thousand recordings of 1 MB make about ten units of 1 GB.
	sizes := make(map[string]int64)
	for i := range 10_000 {
		sizes[fmt.Sprintf("/raw/%06d", i)] = 1e6
	}
	if n := len(bundles(t, sizes, 1e9)); n < 3 || n > 30 {
		t.Errorf("%d units", n)
	}
	sizes["/raw/big"] = 2e9
	for _, list := range bundles(t, sizes, 1e9) {
		if slices.Contains(list, "/raw/big") {
			t.Error("a large recording is in a unit with others")
		}
	}
}

func TestWhenReady(t *testing.T) {
	ctx := context.Background()
	st, err := store.Open(ctx, "mem://ready")
	if err != nil {
		t.Fatal(err)
	}
	put := func(key, data string) {
		if err := st.Put(ctx, key, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	r := &Runner{Now: func() time.Time { return now }}
	try := func(ready config.Ready, age time.Duration) string {
		t.Helper()
		rec := &Recording{Input: &config.Input{Name: "in", Ready: ready}, Recording: recording.New(st, "mem://ready/d/a", []pipeline.Object{{URI: "mem://ready/d/a", Key: "d/a", Modified: now.Add(-age)}})}
		r.left = nil
		units, err := r.whenReady(ctx, []*Unit{{Name: "u", Recordings: []*Recording{rec}}})
		if err != nil {
			return err.Error()
		}
		if len(units) == 1 {
			return ""
		}
		return r.left[0].Why
	}
	want := func(got, part string) {
		t.Helper()
		if !strings.Contains(got, part) || part == "" && got != "" {
			t.Errorf("got %q, want %q", got, part)
		}
	}
	want(try(config.Ready{}, 0), "")
	want(try(config.Ready{Marker: "_DONE"}, 0), "_DONE is not there yet")
	put("d/_DONE", "")
	want(try(config.Ready{Marker: "_DONE"}, 0), "")
	want(try(config.Ready{Quiet: time.Minute}, 30*time.Second), "changed 30s ago")
	want(try(config.Ready{Quiet: time.Minute}, time.Minute), "")
	files := config.Ready{Manifest: "files"}
	want(try(files, 0), "files is not there yet")
	for _, c := range []struct{ list, why string }{
		{"a\n", "a, which files lists"},
		{`["b", {"name": "sub/c", "size": 4}]`, "sub/c has 3 bytes, and 4"},
		{`{"files": ["b", {"name": "./sub/c", "size": 3}]}`, ""},
		{"b\r\nsub/c\r\n", ""},
		{"", "lists no files"},
		{"{", "corrupt"},
	} {
		put("d/b", "bb")
		put("d/sub/c", "ccc")
		put("d/files", c.list)
		want(try(files, 0), c.why)
	}
	rec := &Recording{Input: &config.Input{Name: "in", Ready: config.Ready{Quiet: time.Second}}, Recording: recording.New(st, "x", []pipeline.Object{{URI: "x", Key: "x"}})}
	if _, err := r.whenReady(ctx, []*Unit{{Recordings: []*Recording{rec}}}); !errors.Is(err, pipeline.ErrUnsupported) {
		t.Errorf("age unknown: %v", err)
	}
}
