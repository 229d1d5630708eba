package rosbag2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/foxglove/mcap/go/mcap"
	"github.com/klauspost/compress/zstd"

	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
)

// text is a std_msgs/msg/String in CDR.
func text(s string) []byte {
	b := []byte{0, 1, 0, 0}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)+1))
	return append(append(b, s...), 0)
}

func pack(data []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
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
