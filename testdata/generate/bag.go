package main

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/pierrec/lz4/v4"
)

// bagOptions say how a ROS 1 bag is written.
type bagOptions struct {
	compression string // none, lz4
	chunkSize   int    // bytes before compression; 0 means chunkSize
	unindexed   bool   // as left behind by a recorder that was killed
}

// Operation codes of the records of a bag.
const (
	opMessage    = 0x02
	opBagHeader  = 0x03
	opIndexData  = 0x04
	opChunk      = 0x05
	opChunkInfo  = 0x06
	opConnection = 0x07
)

// bagField is a field of a record header.
type bagField struct {
	name  string
	value []byte
}

func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// bagTime is seconds and nanoseconds.
func bagTime(ns int64) []byte {
	sec, nsec := splitTime(ns)
	return append(u32(uint32(sec)), u32(nsec)...)
}

func appendFields(b []byte, fields []bagField) []byte {
	for _, f := range fields {
		b = append(b, u32(uint32(len(f.name)+1+len(f.value)))...)
		b = append(append(append(b, f.name...), '='), f.value...)
	}
	return b
}

func appendRecord(b []byte, op byte, fields []bagField, data []byte) []byte {
	h := appendFields(nil, append([]bagField{{"op", []byte{op}}}, fields...))
	b = append(append(b, u32(uint32(len(h)))...), h...)
	return append(append(b, u32(uint32(len(data)))...), data...)
}

// indexEntry points at a message in a chunk.
type indexEntry struct {
	log    int64
	offset int
}

// bagChunk is a chunk that is being filled, or what the index keeps of it.
type bagChunk struct {
	data       []byte
	pos        int
	start, end int64
	index      [][]indexEntry // by connection
}

// writeBag writes messages as a ROS 1 bag, version 2.0. Connection ids are the
// numbers of the topics.
func writeBag(d *dialect, messages []message, opts bagOptions) []byte {
	limit := opts.chunkSize
	if limit == 0 {
		limit = chunkSize
	}
	out := []byte("#ROSBAG V2.0\n")
	bagHeader := len(out)
	out = appendBagHeader(out, 0, 0, 0)

	var chunks []*bagChunk
	var cur *bagChunk
	known := make([]bool, len(topics))
	flush := func() {
		if cur == nil {
			return
		}
		cur.pos = len(out)
		stored := cur.data
		if opts.compression == "lz4" {
			stored = lz4Frame(cur.data)
		}
		out = appendRecord(out, opChunk, []bagField{
			{"compression", []byte(opts.compression)},
			{"size", u32(uint32(len(cur.data)))},
		}, stored)
		for conn, entries := range cur.index {
			if len(entries) == 0 {
				continue
			}
			var data []byte
			for _, e := range entries {
				data = append(append(data, bagTime(e.log)...), u32(uint32(e.offset))...)
			}
			out = appendRecord(out, opIndexData, []bagField{
				{"ver", u32(1)}, {"conn", u32(uint32(conn))}, {"count", u32(uint32(len(entries)))},
			}, data)
		}
		cur.data = nil
		chunks = append(chunks, cur)
		cur = nil
	}
	for _, m := range messages {
		if cur == nil {
			cur = &bagChunk{start: m.log, end: m.log, index: make([][]indexEntry, len(topics))}
		}
		if !known[m.topic] {
			known[m.topic] = true
			cur.data = appendConnection(cur.data, d, m.topic)
		}
		cur.start, cur.end = min(cur.start, m.log), max(cur.end, m.log)
		cur.index[m.topic] = append(cur.index[m.topic], indexEntry{m.log, len(cur.data)})
		cur.data = appendRecord(cur.data, opMessage, []bagField{
			{"conn", u32(uint32(m.topic))}, {"time", bagTime(m.log)},
		}, d.encode(topics[m.topic].typ, m.body, m.seq))
		if len(cur.data) >= limit {
			flush()
		}
	}
	flush()
	if opts.unindexed {
		return out
	}

	indexPos := len(out)
	conns := 0
	for i, k := range known {
		if k {
			out = appendConnection(out, d, i)
			conns++
		}
	}
	for _, c := range chunks {
		var data []byte
		n := 0
		for conn, entries := range c.index {
			if len(entries) > 0 {
				data = append(append(data, u32(uint32(conn))...), u32(uint32(len(entries)))...)
				n++
			}
		}
		out = appendRecord(out, opChunkInfo, []bagField{
			{"ver", u32(1)}, {"chunk_pos", u64(uint64(c.pos))},
			{"start_time", bagTime(c.start)}, {"end_time", bagTime(c.end)}, {"count", u32(uint32(n))},
		}, data)
	}
	copy(out[bagHeader:], appendBagHeader(nil, indexPos, conns, len(chunks)))
	return out
}

// appendBagHeader writes the first record, padded so that it can be rewritten
// in place once the index is known.
func appendBagHeader(b []byte, indexPos, conns, chunks int) []byte {
	fields := []bagField{
		{"index_pos", u64(uint64(indexPos))},
		{"conn_count", u32(uint32(conns))},
		{"chunk_count", u32(uint32(chunks))},
	}
	h := appendFields(nil, append([]bagField{{"op", []byte{opBagHeader}}}, fields...))
	return appendRecord(b, opBagHeader, fields, []byte(strings.Repeat(" ", 4096-len(h))))
}

func appendConnection(b []byte, d *dialect, conn int) []byte {
	t := topics[conn]
	return appendRecord(b, opConnection,
		[]bagField{{"conn", u32(uint32(conn))}, {"topic", []byte(t.name)}},
		appendFields(nil, []bagField{
			{"topic", []byte(t.name)},
			{"type", []byte(t.typ)},
			{"md5sum", []byte(d.md5sum(t.typ))},
			{"message_definition", []byte(d.fullText(t.typ))},
			{"callerid", []byte("/recorder")},
			{"latching", []byte("0")},
		}))
}

func lz4Frame(data []byte) []byte {
	var buf bytes.Buffer
	w := lz4.NewWriter(&buf)
	if err := w.Apply(lz4.BlockSizeOption(lz4.Block1Mb), lz4.ChecksumOption(true), lz4.ConcurrencyOption(1)); err != nil {
		panic(err)
	}
	if _, err := w.Write(data); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}
