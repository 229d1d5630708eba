package rosbag2

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
	"github.com/drivemill/drivemill/pipeline"
)

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
