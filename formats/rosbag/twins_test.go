package rosbag

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	foxglove "github.com/foxglove/mcap/go/mcap"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// rowsOf decodes all columns of all tables into text, without the columns that only one of
// two containers has.
func rowsOf(t *testing.T, f pipeline.Format, data []byte) map[string][]string {
	t.Helper()
	src := inMemory(data)
	d, err := f.Describe(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	var rejected []string
	dec, err := f.Open(t.Context(), src, d, pipeline.Selection{}, pipeline.DecodeOptions{Workers: 2, Reject: func(b pipeline.BadRow) error {
		rejected = append(rejected, b.Reason)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	out := map[string][]string{"rejected": rejected}
	for _, info := range d.Tables {
		out[info.Table.Name] = []string{}
	}
	parts := map[string]map[string][]arrow.Array{}
	for {
		el, err := dec.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if el.Batch == nil {
			continue
		}
		name := el.Batch.Table.Name
		if parts[name] == nil {
			parts[name] = map[string][]arrow.Array{}
		}
		for c, col := range el.Batch.Record.Columns() {
			if n := el.Batch.Record.ColumnName(c); n != "publish_time" && n != "sequence" {
				parts[name][n] = append(parts[name][n], col)
			}
		}
	}
	for name, columns := range parts {
		for _, n := range slices.Sorted(maps.Keys(columns)) {
			whole, err := arrow.Concatenate(columns[n], arrow.NewGoAllocator())
			if err != nil {
				t.Fatal(err)
			}
			out[name] = append(out[name], fmt.Sprint(n, whole.Len(), whole))
		}
	}
	return out
}

// TestTwinContainers writes the messages of bags into MCAP, by a writer that is
// not ours, and finds the same rows in both.
func TestTwinContainers(t *testing.T) {
	files, err := filepath.Glob("../../testdata/drives/*/*/*.bag")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sample: %v", err)
	}
	if dir := os.Getenv("DRIVEMILL_CONFORMANCE"); dir != "" {
		real, err := filepath.Glob(filepath.Join(dir, "ros1_bag", "*.bag"))
		if err != nil || len(real) < 16 {
			t.Fatalf("%d files: %v", len(real), err)
		}
		files = append(files, real...)
	}
	read := 0
	codecs := []foxglove.CompressionFormat{foxglove.CompressionNone, foxglove.CompressionLZ4, foxglove.CompressionZSTD}
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d, err := New().Describe(t.Context(), inMemory(data))
		if err != nil {
			continue // refused, as another test checks
		}
		read++
		t.Run(filepath.Base(file), func(t *testing.T) {
			want := rowsOf(t, New(ros1.Encoding{}), data)
			some := codecs
			if i > 0 {
				some = codecs[i%3:][:1] // the sample is read in all of them
			}
			for _, codec := range some {
				got := rowsOf(t, mcap.New(ros1.Encoding{}), toMCAP(t, data, d, codec))
				if len(got) != len(want) {
					t.Errorf("%q: %d tables, the bag has %d", codec, len(got), len(want))
				}
				for name, rows := range want {
					if slices.ContainsFunc(d.Problems, func(p pipeline.Problem) bool { return p.Kind == "no_schema" && p.Table == name }) {
						continue // without a definition a bag's messages stay bytes; MCAP takes it for that of an empty message
					}
					if !slices.Equal(got[name], rows) {
						t.Errorf("%q: %s: %.300q is not %.300q", codec, name, got[name], rows)
					}
				}
			}
		})
	}
	t.Logf("%d bags", read)
}

func toMCAP(t *testing.T, data []byte, d *pipeline.Description, codec foxglove.CompressionFormat) []byte {
	t.Helper()
	rec := d.Index.(*recording)
	var out bytes.Buffer
	w, err := foxglove.NewWriter(&out, &foxglove.WriterOptions{Chunked: true, ChunkSize: 64 << 10, Compression: codec, IncludeCRC: true})
	if err != nil {
		t.Fatal(err)
	}
	errs := []error{w.WriteHeader(&foxglove.Header{Profile: "ros1"})}
	ids := map[string]uint16{}
	for i, table := range rec.tables {
		var c *connection
		for k := range rec.conns {
			if rec.conns[k].table == i && (c == nil || c.definition == "") {
				c = &rec.conns[k]
			}
		}
		id := uint16(i + 1)
		ids[table.Name] = id
		errs = append(errs,
			w.WriteSchema(&foxglove.Schema{ID: id, Name: c.typ, Encoding: "ros1msg", Data: []byte(c.definition)}),
			w.WriteChannel(&foxglove.Channel{ID: id, SchemaID: id, Topic: table.Name, MessageEncoding: "ros1"}))
	}
	for _, r := range everything(t, data).rows {
		errs = append(errs, w.WriteMessage(&foxglove.Message{ChannelID: ids[r.table], LogTime: uint64(r.time), PublishTime: uint64(r.time), Data: []byte(r.data)}))
	}
	if err := errors.Join(append(errs, w.Close())...); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
