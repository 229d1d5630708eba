package mcap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	foxglove "github.com/foxglove/mcap/go/mcap"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/pipeline"
)

// Checklist 37, as far as ros1 and cdr go: typed columns beside raw ones in
// one file, which is written, and read for comparison, by the library of the
// format's authors.
func Test37AgainstFoxglove(t *testing.T) {
	for _, opts := range []foxglove.WriterOptions{
		{Chunked: true, ChunkSize: 4096, Compression: "zstd", IncludeCRC: true},
		{Chunked: true, ChunkSize: 4096, Compression: "lz4"},
		{Chunked: true, ChunkSize: 4096, SkipMessageIndexing: true},
		{Chunked: true, ChunkSize: 4096, SkipStatistics: true, SkipSummaryOffsets: true},
		{IncludeCRC: true},
	} {
		var out bytes.Buffer
		w, err := foxglove.NewWriter(&out, &opts)
		if err != nil {
			t.Fatal(err)
		}
		rnd := rand.New(rand.NewPCG(3, 4))
		try := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		try(w.WriteHeader(&foxglove.Header{}))
		try(w.WriteSchema(&foxglove.Schema{ID: 1, Name: "sensor_msgs/Imu", Encoding: "ros1msg", Data: []byte(imu)}))
		try(w.WriteSchema(&foxglove.Schema{ID: 2, Name: "std_msgs/msg/String", Encoding: "ros2msg", Data: []byte("string data")}))
		try(w.WriteChannel(&foxglove.Channel{ID: 1, SchemaID: 1, Topic: "/imu", MessageEncoding: "ros1"}))
		try(w.WriteChannel(&foxglove.Channel{ID: 2, SchemaID: 2, Topic: "/text", MessageEncoding: "cdr"}))
		try(w.WriteChannel(&foxglove.Channel{ID: 3, Topic: "/json", MessageEncoding: "json"}))
		for i := range 200 {
			at := uint64(1000 + rnd.IntN(500))
			text := fmt.Sprint("text ", i)
			body := append(le.AppendUint32([]byte{0, 1, 0, 0}, uint32(len(text)+1)), text+"\x00"...)
			for ch, data := range map[uint16][]byte{1: imuMessage(rnd, i), 2: body, 3: []byte(`{"a":1}`)} {
				try(w.WriteMessage(&foxglove.Message{ChannelID: ch, Sequence: uint32(i), LogTime: at, PublishTime: at, Data: data}))
			}
		}
		try(w.Close())

		want := map[string][]string{}
		theirs, err := foxglove.NewReader(bytes.NewReader(out.Bytes()))
		try(err)
		it, err := theirs.Messages(foxglove.UsingIndex(false), foxglove.InOrder(foxglove.FileOrder))
		try(err)
		for {
			_, c, m, err := it.NextInto(nil)
			if errors.Is(err, io.EOF) {
				break
			}
			try(err)
			want[c.Topic] = append(want[c.Topic], fmt.Sprintf("log_time=%d publish_time=%d sequence=%d", m.LogTime, m.PublishTime, m.Sequence))
		}

		r := readWith(t, mcap.New(ros1.Encoding{}, cdr.Encoding{}), &memory{data: out.Bytes()}, choice{workers: 2})
		if r.err != nil || r.total() != 600 || len(r.rejects) > 0 {
			t.Fatalf("%+v: %v, %d rows, %v", opts, r.err, r.total(), r.rejects)
		}
		for topic, rows := range r.rows {
			for i, row := range rows {
				if _, got, _ := strings.Cut(row, " "); !strings.HasPrefix(got, want[topic][i]) {
					t.Fatalf("%s row %d: %s, want %s", topic, i, got, want[topic][i])
				}
			}
		}
		if row := r.rows["/text"][7]; !strings.HasSuffix(row, " data=text 7") {
			t.Errorf("row %s", row)
		}
		if cols := r.d.Tables[0].Table.ColumnNames(); !slices.Contains(cols, "orientation.w") || !slices.Contains(cols, "header.stamp") {
			t.Errorf("columns %v", cols)
		}
		if c := r.d.Tables[0].Table.Clocks[0]; c.Name != "header" || c.Column != "header.stamp" {
			t.Errorf("clocks %v", r.d.Tables[0].Table.Clocks)
		}
		sorted := readWith(t, mcap.New(ros1.Encoding{}), &memory{data: out.Bytes()}, choice{order: pipeline.LogOrder})
		if sorted.err != nil || sorted.total() != 600 {
			t.Errorf("log order: %v, %d rows", sorted.err, sorted.total())
		}
	}
}
