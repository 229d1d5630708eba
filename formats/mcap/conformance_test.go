package mcap_test

import (
	"bytes"
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
func TestConformanceStreamed(t *testing.T) {
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
