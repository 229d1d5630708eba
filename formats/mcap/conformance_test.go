package mcap_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/pipeline"
)

// conformance returns the files of the conformance collection that match.
func conformance(t *testing.T, pattern string) []string {
	dir := os.Getenv("DRIVEMILL_CONFORMANCE")
	if dir == "" {
		t.Skip("DRIVEMILL_CONFORMANCE is not set: the files of other projects are not at hand")
	}
	files, err := filepath.Glob(filepath.Join(dir, "mcap", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("DRIVEMILL_CONFORMANCE is set, but %s matches nothing there (%v)", pattern, err)
	}
	return files
}

// twin is the JSON beside a conformance file: records as sorted fields.
type twin struct {
	Records []struct {
		Type   string
		Fields [][2]any
	}
}

func readTwin(t *testing.T, file string) twin {
	var tw twin
	b, err := os.ReadFile(strings.TrimSuffix(file, ".mcap") + ".json")
	if err == nil {
		err = json.Unmarshal(b, &tw)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tw
}

func (tw twin) list() []string {
	var out []string
	for _, r := range tw.Records {
		out = append(out, fmt.Sprint(r.Type, " ", r.Fields))
	}
	return out
}

// fields spells a record as the JSON does: numbers as strings, bytes as lists
// of them, sorted by name.
func fields(t *testing.T, rec mcap.Record) string {
	m := map[string]any{}
	bytesOf := func(b []byte) []any {
		l := []any{}
		for _, c := range b {
			l = append(l, strconv.Itoa(int(c)))
		}
		return l
	}
	num := func(n any) string { return fmt.Sprint(n) }
	texts := func(in map[string]string) map[string]any {
		o := map[string]any{}
		for k, v := range in {
			o[k] = v
		}
		return o
	}
	var err error
	switch rec.Op {
	case mcap.OpHeader:
		var h mcap.Header
		h, err = mcap.ParseHeader(rec.Content)
		m["library"], m["profile"] = h.Library, h.Profile
	case mcap.OpFooter:
		var f mcap.Footer
		f, err = mcap.ParseFooter(rec.Content)
		m["summary_crc"], m["summary_offset_start"], m["summary_start"] = num(f.SummaryCRC), num(f.SummaryOffsetStart), num(f.SummaryStart)
	case mcap.OpSchema:
		var s mcap.Schema
		s, err = mcap.ParseSchema(rec.Content)
		m["data"], m["encoding"], m["id"], m["name"] = bytesOf(s.Data), s.Encoding, num(s.ID), s.Name
	case mcap.OpChannel:
		var c mcap.Channel
		c, err = mcap.ParseChannel(rec.Content)
		m["id"], m["message_encoding"], m["metadata"], m["schema_id"], m["topic"] = num(c.ID), c.MessageEncoding, texts(c.Metadata), num(c.SchemaID), c.Topic
	case mcap.OpMessage:
		var g mcap.Message
		g, err = mcap.ParseMessage(rec.Content)
		m["channel_id"], m["data"], m["log_time"], m["publish_time"], m["sequence"] = num(g.ChannelID), bytesOf(g.Data), num(g.LogTime), num(g.PublishTime), num(g.Sequence)
	case mcap.OpChunkIndex:
		var x mcap.ChunkIndex
		x, err = mcap.ParseChunkIndex(rec.Content)
		offsets := map[string]any{}
		for _, o := range x.MessageIndexOffsets {
			offsets[num(o.ChannelID)] = num(o.Offset)
		}
		m["chunk_length"], m["chunk_start_offset"], m["compressed_size"], m["compression"] = num(x.Length), num(x.Offset), num(x.CompressedSize), x.Compression
		m["message_end_time"], m["message_index_length"], m["message_index_offsets"] = num(x.EndTime), num(x.MessageIndexLength), offsets
		m["message_start_time"], m["uncompressed_size"] = num(x.StartTime), num(x.UncompressedSize)
	case mcap.OpAttachment:
		var b []byte
		b, err = io.ReadAll(rec.Attachment)
		a := rec.Attachment
		if !a.Verified {
			t.Error("attachment was not verified")
		}
		m["create_time"], m["data"], m["log_time"], m["media_type"], m["name"] = num(a.CreateTime), bytesOf(b), num(a.LogTime), a.MediaType, a.Name
	case mcap.OpAttachmentIndex:
		var x mcap.AttachmentIndex
		x, err = mcap.ParseAttachmentIndex(rec.Content)
		m["create_time"], m["data_size"], m["length"], m["log_time"] = num(x.CreateTime), num(x.DataSize), num(x.Length), num(x.LogTime)
		m["media_type"], m["name"], m["offset"] = x.MediaType, x.Name, num(x.Offset)
	case mcap.OpStatistics:
		var s mcap.Statistics
		s, err = mcap.ParseStatistics(rec.Content)
		counts := map[string]any{}
		for k, v := range s.ChannelMessageCounts {
			counts[num(k)] = num(v)
		}
		m["attachment_count"], m["channel_count"], m["channel_message_counts"], m["chunk_count"] = num(s.AttachmentCount), num(s.ChannelCount), counts, num(s.ChunkCount)
		m["message_count"], m["message_end_time"], m["message_start_time"] = num(s.MessageCount), num(s.EndTime), num(s.StartTime)
		m["metadata_count"], m["schema_count"] = num(s.MetadataCount), num(s.SchemaCount)
	case mcap.OpMetadata:
		var d mcap.Metadata
		d, err = mcap.ParseMetadata(rec.Content)
		m["metadata"], m["name"] = texts(d.Values), d.Name
	case mcap.OpMetadataIndex:
		var x mcap.MetadataIndex
		x, err = mcap.ParseMetadataIndex(rec.Content)
		m["length"], m["name"], m["offset"] = num(x.Length), x.Name, num(x.Offset)
	case mcap.OpSummaryOffset:
		var x mcap.SummaryOffset
		x, err = mcap.ParseSummaryOffset(rec.Content)
		m["group_length"], m["group_opcode"], m["group_start"] = num(x.Length), num(byte(x.Op)), num(x.Start)
	case mcap.OpDataEnd:
		var d mcap.DataEnd
		d, err = mcap.ParseDataEnd(rec.Content)
		m["data_section_crc"] = num(d.DataCRC)
	}
	if err != nil {
		t.Errorf("%s: %v", rec.Op, err)
	}
	var list [][2]any
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, [2]any{k, m[k]})
	}
	return fmt.Sprint(rec.Op, " ", list)
}

// Checklist 1, 2, 3 and 8: the conformance files, streamed.
func Test01_02_03_08ConformanceStreamed(t *testing.T) {
	files := conformance(t, "conformance/*/*.mcap")
	if len(files) != 416 {
		t.Errorf("%d conformance files, want 416", len(files))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int64{-1, int64(len(data))} {
			r := mcap.NewReader(bytes.NewReader(data), size, mcap.Limits{})
			var got []string
			for {
				rec, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Errorf("%s: %v", file, err)
					break
				}
				if rec.Op != mcap.OpChunk && rec.Op != mcap.OpMessageIndex {
					got = append(got, fields(t, rec))
				}
			}
			if want := readTwin(t, file).list(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\ngot  %v\nwant %v", file, got, want)
			}
			if len(r.Problems()) > 0 || r.Lost() > 0 {
				t.Errorf("%s: %v, lost %d", file, r.Problems(), r.Lost())
			}
			r.Close()
		}
	}
}

// Checklist 2 and 20: the conformance files through Describe and Open, in log
// order, by index where it is whole.
func Test02_20ConformanceIndexed(t *testing.T) {
	indexed := 0
	for _, file := range conformance(t, "conformance/*/*.mcap") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want, stored []string
		var attachments, metadata int
		var times []uint64
		for _, r := range readTwin(t, file).Records {
			f := map[string]any{}
			for _, kv := range r.Fields {
				f[kv[0].(string)] = kv[1]
			}
			switch r.Type {
			case "Message":
				var hex string
				for _, b := range f["data"].([]any) {
					n, _ := strconv.Atoi(b.(string))
					hex += fmt.Sprintf("%02x", n)
				}
				n, _ := strconv.ParseUint(f["log_time"].(string), 10, 64)
				times = append(times, n)
				stored = append(stored, fmt.Sprintf("#%d log_time=%s publish_time=%s sequence=%s data=%s", len(stored), f["log_time"], f["publish_time"], f["sequence"], hex))
			case "Attachment":
				attachments++
			case "Metadata":
				metadata++
			}
		}
		order := make([]int, len(stored))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(times[a], times[b]) })
		for _, i := range order {
			want = append(want, stored[i])
		}
		for _, ch := range []choice{{}, {order: pipeline.LogOrder}, {order: pipeline.LogOrder, workers: 2, rows: 1}} {
			r := read(t, data, ch)
			rows := r.rows["example"]
			expect := want
			if ch.order == pipeline.StorageOrder {
				expect = stored
			}
			if r.err != nil || !slices.Equal(rows, expect) {
				t.Errorf("%s: %v\ngot  %v\nwant %v", file, r.err, rows, expect)
				continue
			}
			for _, p := range r.problems {
				if p.Loses || p.Kind != "unindexed" && p.Kind != "raw_encoding" {
					t.Errorf("%s: %+v", file, p)
				}
			}
			if len(want) > 0 && (r.d.Tables[0].Rows != int64(len(want)) && r.d.Tables[0].Rows != -1 || uint64(r.d.Start) != slices.Min(times) || uint64(r.d.End) != slices.Max(times)) {
				t.Errorf("%s: %+v", file, r.d)
			}
		}
		in, err := mcap.ReadInfo(t.Context(), &memory{data: data}, mcap.Limits{})
		if err != nil || len(in.Attachments) != attachments || len(in.Metadata) != metadata {
			t.Errorf("%s: %v, %d attachments, %d metadata", file, err, len(in.Attachments), len(in.Metadata))
		}
		if in.Indexed {
			indexed++
		}
	}
	// Those that have statistics and copies of all they index: 8 of each kind
	// with messages, 4 of each other kind.
	if indexed != 36 {
		t.Errorf("%d files were read by their index, want 36", indexed)
	}
}

// Recordings of other projects, with the messages they have.
func TestRealFiles(t *testing.T) {
	want := map[string][3]int{ // messages, tables, raw tables when ros1 and cdr are read
		"Lichtblick-Suite__lichtblick__packages__suite-base__src__test__fixtures__example.mcap":                            {111, 1, 1},
		"PlotJuggler__pj-mcap-server__PJ4__pj-official-plugins__data_load_mcap__test_data__test_bad_schema.mcap":           {20, 2, 1},
		"PlotJuggler__pj-mcap-server__PJ4__pj-official-plugins__data_load_mcap__test_data__test_empty_channel.mcap":        {100, 3, 0},
		"PlotJuggler__pj-mcap-server__PJ4__pj-official-plugins__data_load_mcap__test_data__test_publish_vs_log_time.mcap":  {50, 1, 0},
		"PlotJuggler__pj-mcap-server__PJ4__pj-official-plugins__data_load_mcap__test_data__test_unsupported_encoding.mcap": {20, 2, 1},
		"RISE-Maritime__keelson__test.mcap":                                              {0, 0, 0},
		"foxglove__python-mcap-protobuf-support__examples__example.mcap":                 {20, 2, 2},
		"lichtblick-suite__asam-osi-converter__example-data__MovingHostWith3DModel.mcap": {702, 1, 1},
		"lichtblick-suite__asam-osi-converter__example-data__only_osi_topic.mcap":        {460, 1, 0},
		"rerun-io__rerun__tests__assets__simple-protobuf.mcap":                           {293, 2, 2},
		"zhihongliuus__mcap_arrow__test.mcap":                                            {1, 1, 1},
	}
	files := conformance(t, "*.mcap")
	if len(files) != len(want) {
		t.Errorf("%d files, %d are known", len(files), len(want))
	}
	for _, path := range files {
		name := filepath.Base(path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, cut := range []int{0, 8} { // with the index, and without
			if cut > 0 && want[name][0] == 0 {
				continue
			}
			f := mcap.New(ros1.Encoding{}, cdr.Encoding{})
			r := readWith(t, f, &memory{data: data[:len(data)-cut]}, choice{workers: 2})
			if r.err != nil {
				t.Errorf("%s: %v", name, r.err)
				continue
			}
			raw := 0
			for _, tab := range r.d.Tables {
				if tab.Raw {
					raw++
				}
			}
			if got := [3]int{r.total(), len(r.d.Tables), raw}; got != want[name] || len(r.rejects) > 0 {
				t.Errorf("%s: %v messages, tables, raw tables, want %v; rejects %q; problems %+v", name, got, want[name], r.rejects, r.problems)
			}
			for _, p := range r.problems {
				if p.Loses && cut == 0 {
					t.Errorf("%s: %+v", name, p)
				}
			}
		}
	}
}
