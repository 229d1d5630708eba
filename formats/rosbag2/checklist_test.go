package rosbag2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/foxglove/mcap/go/mcap"
	"github.com/klauspost/compress/zstd"
	"go.yaml.in/yaml/v3"

	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

// text is a std_msgs/msg/String in CDR.
func text(s string) []byte {
	b := []byte{0, 1, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)+1))
	return append(append(b, s...), 0)
}

func pack(data []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	defer w.Close()
	return w.EncodeAll(data, nil)
}

// talk is a database of n strings on two topics, and a third without any. Times
// repeat: every time is that of three messages.
func talk(from, n int) *bagtest.DB {
	d := &bagtest.DB{Topics: []bagtest.Topic{
		{Name: "/talk", Type: "std_msgs/msg/String"}, {Name: "/quiet", Type: "std_msgs/msg/String"}, {Name: "/chat", Type: "std_msgs/msg/String"},
	}, Distro: "jazzy"}
	for i := from; i < from+n; i++ {
		d.Messages = append(d.Messages, bagtest.Message{Topic: i % 2 * 2, Time: 1e18 + int64(i/3)*1e6, Data: text(fmt.Sprint("message ", i))})
	}
	return d
}

// meta is metadata.yaml over databases by name.
func meta(version int, dbs map[string]*bagtest.DB, more string) []byte {
	var b strings.Builder
	total, start, end := 0, int64(1<<62), int64(0)
	counts := make(map[bagtest.Topic]int)
	var order []bagtest.Topic
	var names []string
	for name := range dbs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, t := range dbs[name].Topics {
			if _, ok := counts[t]; !ok {
				order = append(order, t)
			}
			counts[t] += 0
		}
		for _, m := range dbs[name].Messages {
			total++
			start, end = min(start, m.Time), max(end, m.Time)
			counts[dbs[name].Topics[m.Topic]]++
		}
	}
	fmt.Fprintf(&b, "rosbag2_bagfile_information:\n  version: %d\n  storage_identifier: sqlite3\n  relative_file_paths:\n", version)
	for _, name := range names {
		if version <= 3 {
			name = "some_folder/" + name
		}
		fmt.Fprintf(&b, "    - %s\n", name)
	}
	fmt.Fprintf(&b, "  duration:\n    nanoseconds: %d\n  starting_time:\n    nanoseconds_since_epoch: %d\n  message_count: %d\n  topics_with_message_count:\n", end-start, start, total)
	for _, t := range order {
		format := t.Format
		if format == "" {
			format = "cdr"
		}
		fmt.Fprintf(&b, "    - topic_metadata:\n        name: %s\n        type: %s\n        serialization_format: %s\n      message_count: %d\n", t.Name, t.Type, format, counts[t])
	}
	if version >= 5 {
		b.WriteString("  files:\n")
		for _, name := range names {
			fmt.Fprintf(&b, "    - path: %s\n      starting_time:\n        nanoseconds_since_epoch: 0\n      duration:\n        nanoseconds: 0\n      message_count: %d\n", name, len(dbs[name].Messages))
		}
	}
	b.WriteString(more)
	return []byte(b.String())
}

// split is a recording of three files, with the rows it makes.
func split() map[string]*bagtest.DB {
	return map[string]*bagtest.DB{"x_0.db3": talk(0, 300), "x_1.db3": talk(300, 200), "x_2.db3": talk(500, 7)}
}

func files(dbs map[string]*bagtest.DB, metadata []byte) map[string][]byte {
	out := make(map[string][]byte)
	for name, d := range dbs {
		out[name] = d.Bytes()
	}
	if metadata != nil {
		out[MetadataFile] = metadata
	}
	return out
}

// one is a recording of a database alone.
func one(t testing.TB, d *bagtest.DB) *reading {
	t.Helper()
	return readAll(t, bag(t, map[string][]byte{"x_0.db3": d.Bytes()}))
}

func noLoss(t testing.TB, r *reading) {
	t.Helper()
	for _, p := range r.problems {
		if p.Loses {
			t.Errorf("%+v", p)
		}
	}
	if len(r.rejected) > 0 {
		t.Errorf("rejected %q", r.rejected)
	}
}

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

func TestDatabase(t *testing.T) {
	want := one(t, talk(0, 300))
	noLoss(t, want)
	t.Run("5 layouts", func(t *testing.T) {
		for layout := 1; layout <= 4; layout++ {
			d := talk(0, 300)
			d.Layout = layout
			r := one(t, d)
			wantRows(t, fmt.Sprint("layout ", layout), r.rows, want.rows)
			if !strings.Contains(fmt.Sprint(r.d.Details), fmt.Sprint("schema_version ", layout)) {
				t.Errorf("layout %d: details %v", layout, r.d.Details)
			}
			if i := slices.IndexFunc(r.d.Tables, func(i pipeline.TableInfo) bool { return i.Table.Name == "/quiet" }); i < 0 || r.d.Tables[i].Rows != 0 {
				t.Errorf("8 topic without messages: %+v", r.d.Tables)
			}
		}
	})
	t.Run("8 topic without messages", func(t *testing.T) {
		dbs := map[string]*bagtest.DB{"x_0.db3": talk(0, 300)}
		r := readAll(t, bag(t, files(dbs, meta(9, dbs, ""))))
		if len(r.d.Tables) != 3 || r.d.Tables[1].Table.Name != "/quiet" || r.d.Tables[1].Rows != 0 || !r.d.Indexed {
			t.Errorf("%+v", r.d.Tables)
		}
	})
	t.Run("9 equal times", func(t *testing.T) {
		for range 3 {
			src := bag(t, files(split(), nil))
			r := readWith(t, New(cdr.Encoding{}), src, pipeline.Selection{Order: pipeline.LogOrder}, pipeline.DecodeOptions{Workers: 4})
			rows := r.of("/talk")
			for i := 1; i < len(rows); i++ {
				a, b := rows[i-1], rows[i]
				if a.time > b.time || a.time == b.time && (a.object > b.object || a.object == b.object && a.record > b.record) {
					t.Fatalf("row %d: %+v after %+v", i, b, a)
				}
			}
		}
	})
	t.Run("10 compressed files", func(t *testing.T) {
		src := bag(t, map[string][]byte{"x_0.db3.zstd": pack(talk(0, 300).Bytes())})
		f := New(cdr.Encoding{})
		f.spillDir = t.TempDir()
		for _, memory := range []int64{0, 4096} {
			f.Limits.Memory = memory
			r := readWith(t, f, src, pipeline.Selection{}, pipeline.DecodeOptions{Workers: 2})
			wantRows(t, "compressed", r.rows, want.rows)
			noLoss(t, r)
			if spills := strings.Contains(fmt.Sprint(r.d.Details), "temporary file"); spills != (memory > 0) {
				t.Errorf("memory %d: details %v", memory, r.d.Details)
			}
		}
		for _, dir := range []string{f.spillDir, src.st.Root()} {
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 1 || dir == f.spillDir && len(left) > 0 {
				t.Errorf("%s: %v, %v", dir, left, err)
			}
		}
		m := bag(t, map[string][]byte{"x_0.mcap.zstd": pack(mcapFile(t, talk(0, 300), nil))})
		wantRows(t, "mcap", readAll(t, m).rows, want.rows)
	})
	t.Run("11 compressed messages", func(t *testing.T) {
		d := talk(0, 300)
		for i := range d.Messages {
			d.Messages[i].Data = pack(d.Messages[i].Data)
		}
		dbs := map[string]*bagtest.DB{"x_0.db3": d}
		text := meta(4, dbs, "  compression_format: zstd\n  compression_mode: MESSAGE\n")
		wantRows(t, "compressed", readAll(t, bag(t, files(dbs, text))).rows, want.rows)
		d.Messages[17].Data = d.Messages[17].Data[:9]
		r := readAll(t, bag(t, files(dbs, text)))
		if len(r.rows) != 299 || !slices.Equal(r.rejected, []string{"/chat: bad_compression"}) {
			t.Errorf("%d rows, rejected %q", len(r.rows), r.rejected)
		}
	})
	t.Run("13 lost metadata", func(t *testing.T) {
		d := talk(0, 300)
		for i := range d.Messages {
			d.Messages[i].Data = pack(d.Messages[i].Data)
		}
		r := one(t, d)
		wantRows(t, "probed", r.rows, want.rows)
		if r.has("assumed_compression") == nil {
			t.Errorf("problems %+v", r.problems)
		}
	})
	t.Run("14 write-ahead log", func(t *testing.T) {
		d := talk(0, 300)
		for _, c := range []struct {
			wal        bool
			name, kind string
			data       []byte
		}{
			{true, "x_0.db3-wal", "hot_wal", append([]byte{0x37, 0x7f, 6, 0x82}, make([]byte, 5000)...)},
			{true, "x_0.db3-wal", "", nil},
			{true, "x_0.db3-journal", "", []byte("not used in this mode")},
			{false, "x_0.db3-journal", "hot_journal", append([]byte{0xd9, 0xd5, 5, 0xf9}, make([]byte, 5000)...)},
			{false, "x_0.db3-journal", "", make([]byte, 5000)},
		} {
			d.WAL = c.wal
			r := readAll(t, bag(t, map[string][]byte{"x_0.db3": d.Bytes(), c.name: c.data}))
			wantRows(t, c.name, r.rows, want.rows)
			if p := r.has(c.kind); c.kind != "" && (p == nil || !p.Loses || !strings.Contains(p.Detail, c.name)) || c.kind == "" && len(r.problems) > 0 {
				t.Errorf("%s of %d bytes: problems %+v", c.name, len(c.data), r.problems)
			}
		}
	})
	t.Run("15 truncated", func(t *testing.T) {
		d := talk(0, 3000)
		d.NoIndex = true
		whole := one(t, d)
		data := d.Bytes()
		cut := data[:len(data)*6/10]
		r := readAll(t, bag(t, map[string][]byte{"x_0.db3": cut}))
		// The only interior page is the last one in such a file; see below.
		if len(r.rows) != 0 || r.has("truncated") == nil {
			t.Errorf("%d rows, problems %+v", len(r.rows), r.problems)
		}
		dbs := map[string]*bagtest.DB{"x_0.db3": d}
		r = readAll(t, bag(t, map[string][]byte{"x_0.db3": rootFirst(data)[:len(cut)], MetadataFile: meta(9, dbs, "")}))
		lost := r.counts["/talk"].Lost + r.counts["/chat"].Lost
		if n := len(r.rows); n < 1000 || n > 2500 || int(lost) != 3000-n || r.has("truncated") == nil {
			t.Errorf("%d rows, lost %d, problems %+v", n, lost, r.problems)
		}
		rows := make(map[string]bool)
		for _, x := range whole.rows {
			rows[x.table+x.cells] = true
		}
		for _, x := range r.rows {
			if !rows[x.table+x.cells] {
				t.Fatalf("record %d is none of the whole file: %+v", x.record, x)
			}
		}
	})
	t.Run("16 empty database", func(t *testing.T) {
		none := &bagtest.DB{}
		data := none.Bytes()
		bare := slices.Clone(data[:4096])
		clear(bare[103:105]) // no cells
		clear(bare[28:32])
		for name, c := range map[string][]byte{"zero bytes": {}, "header zeros": make([]byte, 4096), "no tables": bare, "text": []byte("file is not a database"), "header only": data[:100], "half a header": data[:50]} {
			_, err := New().Describe(t.Context(), bag(t, map[string][]byte{"x_0.db3": c}))
			var d *pipeline.DecodeError
			if !errors.As(err, &d) || !damaged(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("17 UTF-16", func(t *testing.T) {
		for e := 2; e <= 3; e++ {
			d := talk(0, 300)
			d.Encoding, d.Topics[1].Name = e, "/früh/朝"
			r := one(t, d)
			wantRows(t, "UTF-16", r.rows, want.rows)
			if r.d.Tables[1].Table.Name != "/früh/朝" || r.d.Tables[0].Encoding != "cdr" {
				t.Errorf("tables %+v", r.d.Tables)
			}
		}
	})
	t.Run("18 overflow pages", func(t *testing.T) {
		for _, size := range []int{1024, 4096, 65536} {
			for _, reserved := range []int{0, 32} {
				d := talk(0, 40)
				d.PageSize, d.Reserved, d.Layout = size, reserved, 2
				for i := range d.Messages {
					d.Messages[i].Data = text(strings.Repeat(string(rune('a'+i%26)), i*i*size/300))
				}
				r := one(t, d)
				noLoss(t, r)
				if len(r.rows) != 40 {
					t.Errorf("page size %d, reserved %d: %d rows", size, reserved, len(r.rows))
				}
				for _, x := range r.rows {
					if w := strings.Repeat(string(rune('a'+x.record%26)), int(x.record*x.record)*size/300); !strings.HasSuffix(x.cells, "data="+w) {
						t.Errorf("page size %d, reserved %d: record %d differs", size, reserved, x.record)
					}
				}
			}
		}
	})
	t.Run("25 two definitions", func(t *testing.T) {
		a, b := talk(0, 4), talk(4, 4)
		for i, d := range []*bagtest.DB{a, b} {
			d.Definitions = []bagtest.Definition{{Type: "std_msgs/msg/String", Encoding: "ros2msg", Text: []string{"string data", "string data\nuint8 more"}[i]}}
		}
		for i := range b.Messages {
			b.Messages[i].Data = append(b.Messages[i].Data, 7)
		}
		r := readAll(t, bag(t, files(map[string]*bagtest.DB{"x_0.db3": a, "x_1.db3": b}, nil)))
		if len(r.rows) != 8 || len(r.d.Tables) != 6 || len(r.of("/talk")) != 2 {
			t.Errorf("%d rows, tables %+v, rejected %q", len(r.rows), r.d.Tables, r.rejected)
		}
	})
	t.Run("26 serialization format", func(t *testing.T) {
		d := talk(0, 10)
		d.Topics[0].Format = "wrong_format"
		r := one(t, d)
		if p := r.has("raw_encoding"); p == nil || p.Table != "/talk" || !strings.Contains(p.Detail, "wrong_format") || len(r.rows) != 10 || !r.d.Tables[0].Raw {
			t.Errorf("%d rows, problems %+v", len(r.rows), r.problems)
		}
	})
	t.Run("27 topic of the second file", func(t *testing.T) {
		a, b := talk(0, 10), talk(10, 10)
		a.Topics = a.Topics[:2]
		for i := range a.Messages {
			a.Messages[i].Topic = 0
		}
		r := readAll(t, bag(t, files(map[string]*bagtest.DB{"x_0.db3": a, "x_1.db3": b}, nil)))
		rows := r.of("/chat")
		if len(rows) != 5 || rows[0].object != 1 || rows[0].record != 1 {
			t.Errorf("%+v", rows)
		}
	})
	t.Run("28 receive time", func(t *testing.T) {
		from, to := int64(1e18+30e6), int64(1e18+50e6)
		count := func(rows []row1) (n int) {
			for _, x := range rows {
				if x.time >= from && x.time < to {
					n++
				}
			}
			return n
		}
		for _, src := range []*bagSource{bag(t, map[string][]byte{"x_0.db3": talk(0, 300).Bytes()}), bag(t, map[string][]byte{"x_0.mcap": mcapFile(t, talk(0, 300), nil)})} {
			r := readWith(t, New(cdr.Encoding{}), src, pipeline.Selection{From: from, To: to}, pipeline.DecodeOptions{})
			if len(r.rows) != 60 || count(r.rows) != 60 {
				t.Errorf("%d rows, %d in the range", len(r.rows), count(r.rows))
			}
			if has := r.d.Tables[0].Table.Column("publish_time") >= 0; has != (r.d.Tables[0].Table.Schema.NumFields() == 4) {
				t.Errorf("%s", r.d.Tables[0].Table.Schema)
			}
		}
	})
	t.Run("29 negative time", func(t *testing.T) {
		d := talk(0, 3)
		d.Messages[1].Time = -5
		for _, order := range []pipeline.Order{pipeline.StorageOrder, pipeline.LogOrder} {
			r := readWith(t, New(cdr.Encoding{}), bag(t, map[string][]byte{"x_0.db3": d.Bytes()}), pipeline.Selection{Order: order}, pipeline.DecodeOptions{})
			noLoss(t, r)
			if rows := r.of("/chat"); len(rows) != 1 || rows[0].time != -5 || r.d.Start != -5 {
				t.Errorf("%+v", rows)
			}
		}
	})
}

// rootFirst exchanges the root of table messages, the last page, with its
// first leaf, so that a cut leaves it in place, and takes that leaf.
func rootFirst(data []byte) []byte { return rootFirstOf(data, 4096) }

func rootFirstOf(data []byte, size int) []byte {
	out := slices.Clone(data)
	last := len(data) / size
	root := out[(last-1)*size:]
	at := int(binary.BigEndian.Uint16(root[12:]))
	leaf := int(binary.BigEndian.Uint32(root[at:]))
	binary.BigEndian.PutUint32(root[at:], uint32(last))
	copy(out[(leaf-1)*size:leaf*size], root)
	copy(out[(last-1)*size:], data[(leaf-1)*size:leaf*size])
	// The schema tells of the root in a byte.
	i := bytes.Index(out[:size], []byte("CREATE TABLE messages"))
	out[i-1] = byte(leaf)
	return out
}

// mcapFile writes the messages of a database as MCAP, as rosbag2 does.
func mcapFile(t testing.TB, d *bagtest.DB, opts *mcap.WriterOptions) []byte {
	t.Helper()
	if opts == nil {
		opts = &mcap.WriterOptions{Chunked: true, ChunkSize: 2048, Compression: mcap.CompressionZSTD, IncludeCRC: true}
	}
	var buf bytes.Buffer
	w, err := mcap.NewWriter(&buf, opts)
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(w.WriteHeader(&mcap.Header{Profile: "ros2", Library: "test"}))
	for i, x := range d.Topics {
		text := ""
		for _, def := range d.Definitions {
			if def.Type == x.Type {
				text = def.Text
			}
		}
		if text == "" {
			text = "string data"
		}
		check(w.WriteSchema(&mcap.Schema{ID: uint16(i + 1), Name: x.Type, Encoding: "ros2msg", Data: []byte(text)}))
		check(w.WriteChannel(&mcap.Channel{ID: uint16(i), SchemaID: uint16(i + 1), Topic: x.Name, MessageEncoding: "cdr", Metadata: map[string]string{"offered_qos_profiles": x.QoS}}))
	}
	for _, m := range d.Messages {
		check(w.WriteMessage(&mcap.Message{ChannelID: uint16(m.Topic), LogTime: uint64(m.Time), PublishTime: uint64(m.Time), Data: m.Data}))
	}
	for i, text := range d.Metadata {
		check(w.WriteMetadata(&mcap.Metadata{Name: "rosbag2", Metadata: map[string]string{"serialized_metadata": text, "n": fmt.Sprint(i)}}))
	}
	check(w.Close())
	return buf.Bytes()
}

func TestMCAP(t *testing.T) {
	dbs := split()
	want := readAll(t, bag(t, files(dbs, nil)))
	all := make(map[string][]byte)
	for i, opts := range []*mcap.WriterOptions{nil, {}, {Chunked: true, ChunkSize: 1024}} {
		name := fmt.Sprintf("x_%d", i)
		all[name+".mcap"] = mcapFile(t, dbs[name+".db3"], opts)
	}
	text := bytes.ReplaceAll(bytes.ReplaceAll(meta(9, dbs, ""), []byte("db3"), []byte("mcap")), []byte("sqlite3"), []byte("mcap"))
	all[MetadataFile] = text
	t.Run("20 storage presets", func(t *testing.T) {
		r := readAll(t, bag(t, all))
		noLoss(t, r)
		wantRows(t, "mcap", r.rows, want.rows)
		for i, x := range r.rows {
			if x.object != want.rows[i].object || x.record != want.rows[i].record {
				t.Fatalf("row %d is %d:%d, want %d:%d", i, x.object, x.record, want.rows[i].object, want.rows[i].record)
			}
		}
	})
	t.Run("log order", func(t *testing.T) {
		for _, src := range []*bagSource{bag(t, all), bag(t, files(dbs, nil)), bag(t, files(dbs, meta(9, dbs, "")))} {
			f := New(cdr.Encoding{})
			f.block = 1000
			r := readWith(t, f, src, pipeline.Selection{Order: pipeline.LogOrder}, pipeline.DecodeOptions{Workers: 3})
			wantRows(t, "log order", r.rows, want.rows)
		}
	})
	t.Run("21 metadata twice", func(t *testing.T) {
		d := talk(0, 5)
		d.Metadata = []string{"version: 9\nros_distro: iron\n", "version: 9\nros_distro: kilted\n"}
		r := readAll(t, bag(t, map[string][]byte{"x_0.mcap": mcapFile(t, d, nil), "x_1.mcap": mcapFile(t, d, nil), MetadataFile: bytes.ReplaceAll(text, []byte("x_2.mcap"), []byte("x_1.mcap"))}))
		if all := fmt.Sprint(r.d.Details); !strings.Contains(all, "ros_distro kilted") {
			t.Errorf("details %s", all)
		}
	})
	t.Run("compressed messages in MCAP", func(t *testing.T) {
		d := talk(0, 300)
		for i := range d.Messages {
			d.Messages[i].Data = pack(d.Messages[i].Data)
		}
		text := bytes.ReplaceAll(meta(4, map[string]*bagtest.DB{"x_0.mcap": d}, "  compression_format: zstd\n  compression_mode: MESSAGE\n"), []byte("sqlite3"), []byte("mcap"))
		r := readAll(t, bag(t, map[string][]byte{"x_0.mcap": mcapFile(t, d, nil), MetadataFile: text}))
		wantRows(t, "mcap", r.rows, one(t, talk(0, 300)).rows)
	})
	t.Run("both kinds of storage", func(t *testing.T) {
		_, err := New().Describe(t.Context(), bag(t, map[string][]byte{"x_0.mcap": all["x_0.mcap"], "x_1.db3": dbs["x_1.db3"].Bytes(), "x_2.db3": dbs["x_2.db3"].Bytes(), MetadataFile: bytes.ReplaceAll(meta(9, dbs, ""), []byte("x_0.db3"), []byte("x_0.mcap"))}))
		if !errors.Is(err, pipeline.ErrUnsupported) {
			t.Errorf("error %v", err)
		}
	})
}

func TestDefinitions(t *testing.T) {
	t.Run("22 service events", func(t *testing.T) {
		d := &bagtest.DB{
			Topics:      []bagtest.Topic{{Name: "/add/_service_event", Type: "pkg/srv/Add_Event"}},
			Definitions: []bagtest.Definition{{Type: "pkg/srv/Add", Encoding: "ros2msg", Text: "int64 a\nint64 b\n---\nint64 sum\n"}},
		}
		b := append([]byte{0, 1, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0}, make([]byte, 16)...) // info: type, stamp, gid
		b = append(b, make([]byte, 4)...)
		b = binary.LittleEndian.AppendUint64(b, 9)  // sequence number
		b = binary.LittleEndian.AppendUint64(b, 1)  // one request, aligned
		b = binary.LittleEndian.AppendUint64(b, 40) // a
		b = binary.LittleEndian.AppendUint64(b, 2)  // b
		b = binary.LittleEndian.AppendUint32(b, 0)  // no response
		d.Messages = []bagtest.Message{{Time: 5, Data: b}}
		r := one(t, d)
		noLoss(t, r)
		if len(r.rows) != 1 || !strings.Contains(r.rows[0].cells, `"a":40,"b":2`) || !strings.Contains(r.rows[0].cells, "info.sequence_number=9") {
			t.Errorf("rows %+v, problems %+v", r.rows, r.problems)
		}
	})
	t.Run("24 definitions of the user", func(t *testing.T) {
		d := &bagtest.DB{Topics: []bagtest.Topic{{Name: "/x", Type: "my_msgs/msg/Outer"}}, Messages: []bagtest.Message{{Time: 5, Data: text("inner")}}}
		r := one(t, d)
		if p := r.has("no_schema"); p == nil || !strings.Contains(p.Detail, "my_msgs/msg/Outer") || !r.d.Tables[0].Raw || len(r.rows) != 1 {
			t.Errorf("rows %+v, problems %+v", r.rows, r.problems)
		}
		dir := t.TempDir()
		for name, text := range map[string]string{"my_msgs/msg/Outer.msg": "Inner inner", "my_msgs/msg/Inner.msg": "std_msgs/String text", "my_msgs/CMakeLists.txt": "x"} {
			at := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		made, err := FormatSpec(cdr.Encoding{}).Configure(t.Context(), &Config{Definitions: pipeline.Text{Value: dir}}, stores{})
		if err != nil {
			t.Fatal(err)
		}
		format := made.(*Format)
		r = readWith(t, format, bag(t, map[string][]byte{"x_0.db3": d.Bytes()}), pipeline.Selection{}, pipeline.DecodeOptions{})
		if len(r.rows) != 1 || !strings.HasSuffix(r.rows[0].cells, "inner.text.data=inner") || r.d.Tables[0].Table.Attributes["definition_source"] != fromSupplied {
			t.Errorf("rows %+v, problems %+v", r.rows, r.problems)
		}
		if known, err := format.KnownTable("my_msgs/msg/Outer"); err != nil || known.Column("inner.text.data") < 0 {
			t.Errorf("known table %v, %v", known, err)
		}
	})
	t.Run("24 no definitions there", func(t *testing.T) {
		var issue *pipeline.Issue
		_, err := FormatSpec().Configure(t.Context(), &Config{Definitions: pipeline.Text{Value: t.TempDir(), Path: "formats.rosbag2.definitions"}}, stores{})
		if !errors.As(err, &issue) || issue.Path == "" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("built in, by distribution", func(t *testing.T) {
		for distro, want := range map[string]bool{"humble": false, "jazzy": true, "": false} {
			d := &bagtest.DB{Distro: distro, Topics: []bagtest.Topic{{Name: "/range", Type: "sensor_msgs/msg/Range"}}}
			r := one(t, d)
			if has := r.d.Tables[0].Table.Column("variance") >= 0; has != want || (r.has("assumed_definitions") != nil) != (distro == "") {
				t.Errorf("%q: variance %v, problems %+v", distro, has, r.problems)
			}
		}
	})
}

// stores is an environment without side tables.
type stores struct{}

func (stores) OpenStore(ctx context.Context, uri string) (pipeline.Store, error) {
	return store.Open(ctx, uri)
}

func (stores) LoadTable(context.Context, pipeline.Text) (*pipeline.SideTable, error) {
	return nil, pipeline.ErrNotLoaded
}

// withDefinitions is the format with a folder of definitions.
func withDefinitions(t testing.TB, dir string) *Format {
	t.Helper()
	lib := &rosmsg.Library{}
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		return lib.Add(filepath.Base(dir), filepath.ToSlash(rel), text, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	f := New(cdr.Encoding{})
	f.supplied = lib
	return f
}

func TestQoS(t *testing.T) { // checklist 19
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
