package main

import (
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
)

// writeRosbag2 writes messages as a rosbag2 folder: two databases in the
// layout of tables that Iron brought, each compressed as a whole.
func writeRosbag2(out *output, dir string, d *dialect, messages []message) error {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return err
	}
	defer w.Close()
	files := []string{"roof_0.db3.zstd", "roof_1.db3.zstd"}
	half := len(messages) * 3 / 5
	for i, part := range [][]message{messages[:half], messages[half:]} {
		if err := out.write(dir+"/"+files[i], w.EncodeAll(database(d, part).Bytes(), nil)); err != nil {
			return err
		}
	}
	return out.write(dir+"/metadata.yaml", metadata(d, messages, files, half))
}

// database holds messages and the definitions of their types.
func database(d *dialect, messages []message) *bagtest.DB {
	db := &bagtest.DB{Distro: "jazzy"}
	place := map[int]int{}
	for _, m := range messages {
		t := topics[m.topic]
		at, ok := place[m.topic]
		if !ok {
			at = len(db.Topics)
			place[m.topic] = at
			db.Topics = append(db.Topics, bagtest.Topic{Name: t.name, Type: d.schemaName(t.typ)})
			db.Definitions = append(db.Definitions, bagtest.Definition{Type: d.schemaName(t.typ), Encoding: "ros2msg", Text: d.fullText(t.typ)})
		}
		db.Messages = append(db.Messages, bagtest.Message{Topic: at, Time: m.log, Data: d.encode(t.typ, m.body, m.seq)})
	}
	return db
}

// metadata is metadata.yaml in version 9; half of the messages are in the first
// file.
func metadata(d *dialect, messages []message, files []string, half int) []byte {
	counts := make([]int, len(topics))
	first, last := messages[0].log, messages[0].log
	for _, m := range messages {
		counts[m.topic]++
		first, last = min(first, m.log), max(last, m.log)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rosbag2_bagfile_information:\n  version: 9\n  storage_identifier: sqlite3\n  duration:\n    nanoseconds: %d\n", last-first)
	fmt.Fprintf(&b, "  starting_time:\n    nanoseconds_since_epoch: %d\n  message_count: %d\n  topics_with_message_count:\n", first, len(messages))
	for i, t := range topics {
		fmt.Fprintf(&b, "    - topic_metadata:\n        name: %s\n        type: %s\n        serialization_format: cdr\n        offered_qos_profiles:\n          []\n        type_description_hash: \"\"\n      message_count: %d\n", t.name, d.schemaName(t.typ), counts[i])
	}
	b.WriteString("  compression_format: zstd\n  compression_mode: FILE\n  relative_file_paths:\n")
	for _, f := range files {
		fmt.Fprintf(&b, "    - %s\n", f)
	}
	b.WriteString("  files:\n")
	for i, part := range [][]message{messages[:half], messages[half:]} {
		from, to := part[0].log, part[0].log
		for _, m := range part {
			from, to = min(from, m.log), max(to, m.log)
		}
		fmt.Fprintf(&b, "    - path: %s\n      starting_time:\n        nanoseconds_since_epoch: %d\n      duration:\n        nanoseconds: %d\n      message_count: %d\n", files[i], from, to-from, len(part))
	}
	b.WriteString("  custom_data:\n    logger: roof\n  ros_distro: jazzy\n")
	return []byte(b.String())
}
