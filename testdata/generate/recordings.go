package main

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/foxglove/mcap/go/mcap"
)

// chunkSize is small, so that a short drive has many chunks.
const chunkSize = 96 << 10

func itoa(n int) string { return strconv.Itoa(n) }

// writeDrives writes the drive in four formats, and the rows to expect.
func writeDrives(out *output) error {
	messages := drive()
	ros1, ros2 := newDialect(false), newDialect(true)
	if err := out.write("drives/v01/20260302T081500Z/roof.bag", writeBag(ros1, messages, bagOptions{compression: "lz4"})); err != nil {
		return err
	}
	v02, err := writeMCAP(ros1, topics, messages, mcap.WriterOptions{Chunked: true, ChunkSize: chunkSize, Compression: mcap.CompressionZSTD, IncludeCRC: true})
	if err != nil {
		return err
	}
	if err := out.write("drives/v02/20260302T081500Z/roof.mcap", v02); err != nil {
		return err
	}
	v03, err := writeMCAP(ros2, topics, messages, mcap.WriterOptions{Chunked: true, ChunkSize: chunkSize, Compression: mcap.CompressionLZ4, IncludeCRC: true})
	if err != nil {
		return err
	}
	if err := out.write("drives/v03/20260302T081500Z/roof.mcap", v03); err != nil {
		return err
	}
	if err := writeRosbag2(out, "drives/v04/20260302T081500Z/roof", ros2, messages); err != nil {
		return err
	}
	twins := make([]bytes.Buffer, len(topics))
	for _, m := range messages {
		twins[m.topic].Write(ros2.twin(topics[m.topic].typ, m.log, m.body))
	}
	for i, t := range topics {
		if err := out.write("drives/expected/"+t.table+".ndjson", twins[i].Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// writeMCAP writes messages as MCAP. The publish time is the stamp in the
// message's header.
func writeMCAP(d *dialect, topics []topic, messages []message, opts mcap.WriterOptions) ([]byte, error) {
	profile, schemaEncoding, encoding := "ros1", "ros1msg", "ros1"
	if d.ros2 {
		profile, schemaEncoding, encoding = "ros2", "ros2msg", "cdr"
	}
	opts.OverrideLibrary = true
	var buf bytes.Buffer
	w, err := mcap.NewWriter(&buf, &opts)
	if err != nil {
		return nil, err
	}
	if err := w.WriteHeader(&mcap.Header{Profile: profile, Library: "drivemill testdata"}); err != nil {
		return nil, err
	}
	known := map[int]bool{}
	for _, m := range messages {
		t := topics[m.topic]
		id := uint16(m.topic + 1)
		if !known[m.topic] {
			known[m.topic] = true
			if err := w.WriteSchema(&mcap.Schema{ID: id, Name: d.schemaName(t.typ), Encoding: schemaEncoding, Data: []byte(d.fullText(t.typ))}); err != nil {
				return nil, err
			}
			meta := map[string]string{"callerid": "/recorder"}
			if d.ros2 {
				meta = map[string]string{"offered_qos_profiles": ""}
			}
			if err := w.WriteChannel(&mcap.Channel{ID: id, SchemaID: id, Topic: t.name, MessageEncoding: encoding, Metadata: meta}); err != nil {
				return nil, err
			}
		}
		if err := w.WriteMessage(&mcap.Message{
			ChannelID: id, Sequence: m.seq, LogTime: uint64(m.log), PublishTime: uint64(m.stamp),
			Data: d.encode(t.typ, m.body, m.seq),
		}); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// writeBroken writes damaged recordings: the first second and a half of the
// drive, cut or left unfinished.
func writeBroken(out *output) error {
	var short []message
	for _, m := range drive() {
		if m.log < driveStart+1_500_000_000 && m.topic != imu {
			short = append(short, m)
		}
	}
	ros1, ros2 := newDialect(false), newDialect(true)
	const chunk = 4 << 10
	bag := writeBag(ros1, short, bagOptions{compression: "lz4", chunkSize: chunk})
	unindexed := writeBag(ros1, short, bagOptions{compression: "lz4", chunkSize: chunk, unindexed: true})
	plain := mcap.WriterOptions{Chunked: true, ChunkSize: chunk, Compression: mcap.CompressionZSTD, IncludeCRC: true}
	indexed, err := writeMCAP(ros2, topics, short, plain)
	if err != nil {
		return err
	}
	bare := plain
	bare.SkipMessageIndexing, bare.SkipStatistics, bare.SkipRepeatedSchemas = true, true, true
	bare.SkipRepeatedChannelInfos, bare.SkipChunkIndex, bare.SkipSummaryOffsets = true, true, true
	unsummarised, err := writeMCAP(ros1, topics, short, bare)
	if err != nil {
		return err
	}
	chunks := findChunks(indexed)
	if len(chunks) < 3 {
		return fmt.Errorf("the short drive has %d chunks, too few to damage one", len(chunks))
	}
	cut := chunks[len(chunks)-1]
	flipped := bytes.Clone(indexed)
	flipped[chunks[1].end-40] ^= 0x55
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"unindexed.bag", unindexed},
		{"truncated.bag", bag[:len(bag)*3/5]},
		{"no-summary.mcap", unsummarised},
		{"truncated-in-chunk.mcap", indexed[:cut.start+(cut.end-cut.start)/2]},
		{"bad-chunk.mcap", flipped},
	} {
		if err := out.write("broken/"+f.name, f.data); err != nil {
			return err
		}
	}
	return nil
}

// byteRange is where a record lies in a file.
type byteRange struct{ start, end int }

// findChunks walks the records of an MCAP file.
func findChunks(b []byte) []byteRange {
	var out []byteRange
	for p := 8; p+9 <= len(b)-8; {
		n := 0
		for i := 7; i >= 0; i-- {
			n = n<<8 | int(b[p+1+i])
		}
		if b[p] == byte(mcap.OpChunk) {
			out = append(out, byteRange{p, p + 9 + n})
		}
		p += 9 + n
	}
	return out
}
