package builtin_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foxglove/mcap/go/mcap"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

// Sizes of the images of a camera: those of 300 lines are longer than 64 KiB.
var lines = []int{10, 300, 20, 300}

const pixelsPerLine = 300

// cameraFile writes images as MCAP of ROS 1.
func cameraFile(t *testing.T, dir string, compression mcap.CompressionFormat) string {
	t.Helper()
	var buf bytes.Buffer
	w, err := mcap.NewWriter(&buf, &mcap.WriterOptions{Chunked: true, ChunkSize: 1 << 20, Compression: compression, IncludeCRC: true})
	if err != nil {
		t.Fatal(err)
	}
	const definition = "Header header\nuint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\nuint8[] data\n" +
		"================================================================================\nMSG: std_msgs/Header\nuint32 seq\ntime stamp\nstring frame_id\n"
	for _, err := range []error{
		w.WriteHeader(&mcap.Header{Profile: "ros1"}),
		w.WriteSchema(&mcap.Schema{ID: 1, Name: "sensor_msgs/Image", Encoding: "ros1msg", Data: []byte(definition)}),
		w.WriteChannel(&mcap.Channel{ID: 1, SchemaID: 1, Topic: "/camera", MessageEncoding: "ros1"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	u32 := binary.LittleEndian.AppendUint32
	text := func(b []byte, s string) []byte { return append(u32(b, uint32(len(s))), s...) }
	for i, h := range lines {
		at := uint64(time.Date(2026, 3, 2, 8, 0, i, 0, time.UTC).UnixNano())
		b := text(u32(u32(u32(nil, uint32(i)), uint32(at/1e9)), 0), "camera")
		b = append(text(u32(u32(b, uint32(h)), pixelsPerLine), "mono8"), 0)
		b = append(u32(u32(b, pixelsPerLine), uint32(h*pixelsPerLine)), bytes.Repeat([]byte{byte(i), 7}, h*pixelsPerLine/2)...)
		if err := w.WriteMessage(&mcap.Message{ChannelID: 1, LogTime: at, PublishTime: at, Data: b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "camera.mcap")
	if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// runPipeline runs a pipeline to its end, and returns the only commit of each lake.
func runPipeline(t *testing.T, text string) []*lineage.Commit {
	t.Helper()
	reg := builtin.Registry()
	p, err := config.Load("p.yaml", []byte(text), config.LoadOptions{}, reg)
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.Build(t.Context(), p, reg, &runner.Env{Registry: reg, Open: store.Open, Load: true})
	if err != nil {
		t.Fatal(err)
	}
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	r := &runner.Runner{Registry: reg, Graph: g, OpenStore: store.Open, Log: slog.New(slog.DiscardHandler), Progress: silent{}, Allocator: mem,
		Jobs: 1, Workers: 2, Now: time.Now, RunInfo: lineage.RunInfo{RunID: "01941f29-7c00-7087-8940-40e512c257bd", Namespace: "test", Job: "test"}}
	sum, err := r.Run(t.Context())
	if err == nil {
		err = sum.Failure()
	}
	if err != nil || len(sum.Units) != 1 {
		t.Fatal(err, len(sum.Units))
	}
	return sum.Units[0].Commits
}

// rows prints the files of a lake.
func lakeRows(t *testing.T, glob string) (out []map[string]any) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", glob, len(files), err)
	}
	for _, f := range files {
		var buf bytes.Buffer
		if _, err := explore.Cat(t.Context(), source(t, f), &buf, explore.CatOptions{Registry: builtin.Registry()}); err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(&buf)
		dec.UseNumber()
		for dec.More() {
			var row map[string]any
			if err := dec.Decode(&row); err != nil {
				t.Fatal(err)
			}
			out = append(out, row)
		}
	}
	return out
}

func source(t *testing.T, file string) pipeline.Source {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	obj, err := st.Stat(t.Context(), filepath.Base(file))
	if err != nil {
		t.Fatal(err)
	}
	src, err := st.Open(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func number(v any) int64 {
	if v == nil {
		return -1
	}
	n, err := v.(json.Number).Int64()
	if err != nil {
		return -2
	}
	return n
}

// sums are the SHA-256 of the files of an output.
func sums(commits []*lineage.Commit, output string) []string {
	var out []string
	for _, c := range commits {
		for _, t := range c.Tables {
			for _, f := range t.Files {
				if t.Output == output {
					out = append(out, f.SHA256)
				}
			}
		}
	}
	return out
}

// A lake gets references where another output of the same table gets bytes;
// the files of the lake are the same with and without that other output.
func TestPayloadsOfTwoOutputs(t *testing.T) {
	for _, codec := range []mcap.CompressionFormat{mcap.CompressionNone, mcap.CompressionZSTD} {
		dir := t.TempDir()
		file := cameraFile(t, dir, codec)
		const shape = "pipeline: p\ninputs:\n  in: {uri: %s/*.mcap}\noutputs:\n  lake: {use: parquet, from: in, uri: %s/%s}\n"
		alone := runPipeline(t, fmt.Sprintf(shape, dir, dir, "alone"))
		both := runPipeline(t, fmt.Sprintf(shape, dir, dir, "both")+fmt.Sprintf("  frames: {use: images, from: in, uri: %s/frames}\n", dir))
		if a, b := sums(alone, "lake"), sums(both, "lake"); len(a) != 1 || !slices.Equal(a, b) {
			t.Errorf("codec %q: files of the lake are %v alone and %v with another output", codec, a, b)
		}
		for _, c := range [][]*lineage.Commit{alone, both} {
			if n := c[0].Ledger.Totals().PayloadCounts; n != (pipeline.PayloadCounts{Referenced: 2, ReferencedBytes: 2 * 300 * pixelsPerLine}) {
				t.Errorf("codec %q: counted %+v", codec, n)
			}
		}
		rows := lakeRows(t, dir+"/both/camera/*/*.parquet")
		for i, r := range rows {
			size := int64(lines[i] * pixelsPerLine)
			if number(r["data_size"]) != size || (r["data"] == nil) != (size > 64<<10) || (r["data_uri"] == nil) != (r["data"] != nil) {
				t.Errorf("row %d: %v", i, slices.Sorted(maps.Keys(r)))
			}
			if r["data"] != nil {
				continue
			}
			p := pipeline.Payload{URI: r["data_uri"].(string), Offset: number(r["data_offset"]), Inner: number(r["data_inner_offset"]), Size: size, SHA256: r["data_sha256"].(string)}
			if !strings.HasSuffix(p.URI, file) || (p.Inner < 0) != (codec == mcap.CompressionNone) {
				t.Errorf("row %d: %+v", i, p)
			}
			got, err := explore.Payload(t.Context(), builtin.Registry(), source(t, file), "", p)
			if want := bytes.Repeat([]byte{byte(i), 7}, int(size)/2); err != nil || !bytes.Equal(got, want) {
				t.Errorf("row %d: following %+v: %d bytes, %v", i, p, len(got), err)
			}
		}
		if frames := lakeRows(t, dir+"/frames/camera/*/*.parquet"); len(rows) != 4 || len(frames) != 4 {
			t.Errorf("%d rows, %d frames", len(rows), len(frames))
		}
	}
}

// What is declared holds, is counted, and makes other files; a stage that looks
// at the bytes gets them.
func TestPayloadPolicies(t *testing.T) {
	dir := t.TempDir()
	cameraFile(t, dir, mcap.CompressionZSTD)
	revisions := make(map[string]string)
	for i, tc := range []struct {
		payloads string
		stage    string
		counts   pipeline.PayloadCounts
		nulls    int
		columns  string
	}{
		{"", "", pipeline.PayloadCounts{Referenced: 2, ReferencedBytes: 180_000}, 2, "data data_inner_offset data_offset data_sha256 data_size data_uri"},
		{"{policy: reference, above: 4KiB}", "", pipeline.PayloadCounts{Referenced: 3, ReferencedBytes: 186_000}, 3, "data data_inner_offset data_offset data_sha256 data_size data_uri"},
		{"inline", "", pipeline.PayloadCounts{}, 0, "data"},
		{"drop", "", pipeline.PayloadCounts{Dropped: 2, DroppedBytes: 180_000}, 2, "data data_size"},
		// The column is handed on without those beside it: with its bytes.
		{"", "{use: select, from: in, columns: [data]}", pipeline.PayloadCounts{}, 0, "data"},
		{"", "{use: filter, from: in, where: \"height > 0\"}", pipeline.PayloadCounts{Referenced: 2, ReferencedBytes: 180_000}, 2, "data data_inner_offset data_offset data_sha256 data_size data_uri"},
	} {
		name := fmt.Sprintf("lake%d", i)
		text := fmt.Sprintf("pipeline: p\ninputs:\n  in: {uri: %s/*.mcap}\n", dir)
		if tc.payloads != "" {
			text = fmt.Sprintf("pipeline: p\ninputs:\n  in: {uri: %s/*.mcap, payloads: %s}\n", dir, tc.payloads)
		}
		from := "in"
		if tc.stage != "" {
			text, from = text+"stages:\n  s: "+tc.stage+"\n", "s"
		}
		commits := runPipeline(t, text+fmt.Sprintf("outputs:\n  lake: {use: parquet, from: %s, uri: %s/%s}\n", from, dir, name))
		if got := commits[0].Ledger.Totals().PayloadCounts; got != tc.counts {
			t.Errorf("%q %s: counted %+v, want %+v", tc.payloads, tc.stage, got, tc.counts)
		}
		nulls := 0
		rows := lakeRows(t, dir+"/"+name+"/camera/*/*.parquet")
		for _, r := range rows {
			if r["data"] == nil {
				nulls++
			}
			if got := slices.DeleteFunc(slices.Sorted(maps.Keys(r)), func(s string) bool { return !strings.HasPrefix(s, "data") }); strings.Join(got, " ") != tc.columns {
				t.Errorf("%q %s: columns %v", tc.payloads, tc.stage, got)
			}
		}
		if len(rows) != 4 || nulls != tc.nulls {
			t.Errorf("%q %s: %d rows, %d null", tc.payloads, tc.stage, len(rows), nulls)
		}
		rev := commits[0].Tables[0].Revision
		if other, ok := revisions[rev]; ok {
			t.Errorf("%q %s: has the revision of %s", tc.payloads, tc.stage, other)
		}
		revisions[rev] = tc.payloads + tc.stage
	}
}

// Large payloads are printed as references, or whole.
func TestCatPayloads(t *testing.T) {
	src := source(t, cameraFile(t, t.TempDir(), mcap.CompressionNone))
	for _, output := range []string{"ndjson", "csv"} {
		for _, inline := range []bool{false, true} {
			var buf bytes.Buffer
			res, err := explore.Cat(t.Context(), src, &buf, explore.CatOptions{Registry: builtin.Registry(), Columns: []string{"height", "data"}, Output: output, Inline: inline})
			if err != nil || res.Rows != 4 {
				t.Fatal(res, err)
			}
			refs := strings.Count(strings.ReplaceAll(buf.String(), `""`, `"`), `{"uri":"`)
			if refs != map[bool]int{false: 2, true: 0}[inline] || (buf.Len() < 64<<10) == inline {
				t.Errorf("%s, inline %v: %d references in %d bytes", output, inline, refs, buf.Len())
			}
		}
	}
}
