package rosbag2

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/foxglove/mcap/go/mcap"

	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
	"github.com/drivemill/drivemill/pipeline"
)

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
