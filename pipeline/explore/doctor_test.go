package explore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	foxglove "github.com/foxglove/mcap/go/mcap"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/explore"
)

// memory is a recording in memory.
type memory []byte

func (m memory) Object() pipeline.Object {
	return pipeline.Object{URI: "mem:drive.mcap", Key: "drive.mcap", Size: int64(len(m))}
}

func (m memory) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(m).ReadAt(p, off)
}

func (m memory) Reader(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if n < 0 {
		n = int64(len(m)) - off
	}
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(m), off, n)), nil
}

func registry() *pipeline.Registry {
	var reg pipeline.Registry
	reg.AddFormat(mcap.FormatSpec(ros1.Encoding{}))
	return &reg
}

// stamped is a message of the type below.
func stamped(t int64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(t/1e9))
	b = binary.LittleEndian.AppendUint32(b, uint32(t%1e9))
	return binary.LittleEndian.AppendUint32(b, 0)
}

// sick is a recording of 100 s at 100 Hz: the header clock is 3 s behind the log
// clock and drifts by 500 ppm, one second is missing, twice a row comes too
// early, and /unset has no header times. The attachment is spoilt.
func sick(t *testing.T) memory {
	t.Helper()
	var out bytes.Buffer
	w, err := foxglove.NewWriter(&out, &foxglove.WriterOptions{Chunked: true, ChunkSize: 16 << 10, Compression: foxglove.CompressionZSTD, IncludeCRC: true})
	if err != nil {
		t.Fatal(err)
	}
	schema := &foxglove.Schema{ID: 1, Name: "pkg/Stamped", Encoding: "ros1msg", Data: []byte("std_msgs/Header header\n" + strings.Repeat("=", 80) + "\nMSG: std_msgs/Header\nuint32 seq\ntime stamp\nstring frame_id\n")}
	errs := []error{w.WriteHeader(&foxglove.Header{Library: "test"}), w.WriteSchema(schema)}
	for i, topic := range []string{"/drifting", "/unset", "/silent"} {
		errs = append(errs, w.WriteChannel(&foxglove.Channel{ID: uint16(i), SchemaID: 1, Topic: topic, MessageEncoding: "ros1"}))
	}
	const start = int64(1_772_439_300e9)
	for i := range int64(10000) {
		log := start + i*10e6
		switch {
		case i >= 5000:
			log += 1e9
		case i == 2000 || i == 3000:
			log -= 15e6
		}
		header := log - 3e9 - (log-start)/2000
		errs = append(errs, w.WriteMessage(&foxglove.Message{ChannelID: 0, LogTime: uint64(log), PublishTime: uint64(log), Data: stamped(header)}))
		if i%100 == 0 {
			errs = append(errs, w.WriteMessage(&foxglove.Message{ChannelID: 1, LogTime: uint64(log), PublishTime: uint64(log), Data: stamped(0)}))
		}
	}
	errs = append(errs,
		w.WriteAttachment(&foxglove.Attachment{Name: "../notes.txt", MediaType: "text/plain", DataSize: 4, Data: strings.NewReader("good")}),
		w.WriteAttachment(&foxglove.Attachment{Name: "spoilt.bin", DataSize: 6, Data: strings.NewReader("spoilt")}),
		w.WriteAttachment(&foxglove.Attachment{Name: "other/Notes.txt", DataSize: 5, Data: strings.NewReader("third")}),
		w.WriteMetadata(&foxglove.Metadata{Name: "car\x1b[2J", Metadata: map[string]string{"vin": "W0L"}}),
		w.Close())
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	data := out.Bytes()
	at := bytes.Index(data, []byte("spoilt.bin"))
	data[at+bytes.Index(data[at+10:], []byte("spoilt"))+10] ^= 1
	return data
}

func TestDeep(t *testing.T) {
	src := sick(t)
	quick, err := explore.Inspect(t.Context(), registry(), "mem:drive.mcap", src, explore.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(quick.Problems) != 0 || quick.Rows != 10100 || quick.Tables[0].Times != nil || len(quick.Attachments) != 3 || len(quick.Details) != 1 {
		t.Errorf("without rows: %+v", quick)
	}
	r, err := explore.Inspect(t.Context(), registry(), "mem:drive.mcap", src, explore.InspectOptions{Deep: true, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, p := range r.Problems {
		kinds = append(kinds, p.Kind+" "+p.Table)
	}
	want := []string{"time_backwards /drifting", "clock_offset /drifting", "clock_drift /drifting", "time_backwards /drifting", "gaps /drifting", "time_backwards /drifting", "clock_unset /unset", "bad_attachment "}
	if !slices.Equal(kinds, want) {
		t.Errorf("problems %q, want %q", kinds, want)
	}
	header, log := r.Tables[0].Times[0], r.Tables[0].Times[1]
	if header.Name != "header" || log.Name != "log" || log.Rows != 10000 || log.MedianNs != 10e6 || log.Gaps != 1 || log.LargestGapNs != 1010e6 || log.Backwards != 2 ||
		log.First != "2026-03-02T08:15:00.000000000Z" || log.Last != "2026-03-02T08:16:40.990000000Z" || log.LargestGapAt != "2026-03-02T08:15:49.990000000Z" {
		t.Errorf("log clock %+v", log)
	}
	o := header.Offset
	if log.Offset != nil || o == nil || o.MinNs != 3e9 || o.MaxNs != 3e9+100_990_000_000/2000 || o.DriftPPM == nil || math.Abs(*o.DriftPPM-500) > 0.1 || o.MeanNs < o.MinNs || o.MeanNs > o.MaxNs {
		t.Errorf("offset %+v", o)
	}
	if r.Tables[2].Rows != 0 || r.Tables[2].Times[0].First != "" {
		t.Errorf("/silent: %+v", r.Tables[2])
	}
	if hz := r.Tables[0].RateHz; hz < 98 || hz > 100 {
		t.Errorf("%f Hz", hz)
	}
	var text bytes.Buffer
	if err := r.Text(&text, false); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"CLOCKS", "08:15:00.000000", "drift 500.0 ppm", "#2", "spoilt.bin", "clock_drift", "vin=W0L"} {
		if !strings.Contains(text.String(), s) {
			t.Errorf("text does not say %q:\n%s", s, &text)
		}
	}
	if strings.ContainsRune(text.String(), 0x1b) {
		t.Error("text holds what a terminal obeys")
	}
	var back explore.Report
	if js, err := json.Marshal(r); err != nil || json.Unmarshal(js, &back) != nil || back.Tables[0].Times[0].Offset == nil {
		t.Errorf("as JSON: %v", err)
	}
}

// Damage that the index does not show is found by looking.
func TestDeepDamage(t *testing.T) {
	src := sick(t)
	for _, at := range []int{3000, 3001, 3002, 3003} {
		src[at] ^= 0xff
	}
	r, err := explore.Inspect(t.Context(), registry(), "mem:drive.mcap", src, explore.InspectOptions{Deep: true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Problems, func(p explore.ProblemReport) bool { return p.Kind == "lost" && p.Loses }) || r.Tables[0].Lost == 0 || r.Rows >= 10100 {
		t.Errorf("%d rows, %+v", r.Rows, r.Problems)
	}
}

func TestExtract(t *testing.T) {
	src := sick(t)
	dir := filepath.Join(t.TempDir(), "new")
	extract := func(names ...string) ([]explore.Extracted, error) {
		return explore.Extract(t.Context(), registry(), src, explore.ExtractOptions{Attachments: names, Folder: dir})
	}
	got, err := extract("../notes.txt", "#3", "#1")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, e := range got {
		data, err := os.ReadFile(e.Path)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, fmt.Sprint(filepath.Base(e.Path), "=", string(data)))
	}
	if want := []string{"notes.txt=good", "Notes-2.txt=third"}; !slices.Equal(paths, want) {
		t.Errorf("%q, want %q", paths, want)
	}
	if _, err := extract("#1"); !errors.Is(err, pipeline.ErrExists) {
		t.Errorf("a file was overwritten: %v", err)
	}
	if _, err := extract("spoilt.bin"); !errors.Is(err, pipeline.ErrCorrupt) {
		t.Errorf("a wrong checksum passed: %v", err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("files %v", files)
	}
	var issue *pipeline.Issue
	if _, err := extract("note.txt"); !errors.As(err, &issue) || !strings.Contains(issue.Message, "#1 ../notes.txt") {
		t.Errorf("error %v", err)
	}
	var out bytes.Buffer
	if _, err := explore.Extract(t.Context(), registry(), src, explore.ExtractOptions{Attachments: []string{"#3"}, Output: &out}); err != nil || out.String() != "third" {
		t.Errorf("%q %v", &out, err)
	}
	if _, err := explore.Extract(t.Context(), registry(), src, explore.ExtractOptions{Output: &out}); !errors.As(err, &issue) {
		t.Errorf("three attachments fit into one stream: %v", err)
	}
}
