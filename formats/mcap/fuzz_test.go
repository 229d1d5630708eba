package mcap_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/pipeline"
)

// small bounds what a fuzzed file may make a reader hold.
var small = mcap.Limits{Record: 1 << 20, Chunk: 1 << 20, Summary: 1 << 20}

func seed(f *testing.F) {
	for _, codec := range []string{"", "lz4", "zstd"} {
		f.Add(sample(codec, 12, nil).finish())
	}
	f.Add(latchedSample(5, "", nil).finish())
	b := newBuilder("ros1")
	b.schema(1, "pkg/A", "ros1msg", "x")
	b.channel(0, 1, "/a", "ros1")
	b.message(0, 5, pair(1, "x"))
	f.Add(b.finish())
	f.Add(b.buf[:80])
}

// FuzzReader reads any bytes as a file, record by record. Whatever is in it,
// no record has bytes that the file does not have.
func FuzzReader(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var known, unknown int
		for _, size := range []int64{int64(len(data)), -1} {
			r := mcap.NewReader(bytes.NewReader(data), size, small)
			n, at := 0, int64(0)
			for {
				rec, err := r.Next()
				if err != nil {
					break
				}
				if rec.Offset < at || rec.Offset > int64(len(data)) || len(rec.Content) > 1<<20 {
					t.Fatalf("%s at %d of %d bytes, after %d", rec.Op, rec.Offset, len(data), at)
				}
				at = rec.Offset
				parse(rec)
				n++
			}
			if _, err := r.Next(); err == nil {
				t.Fatal("a record after the last")
			}
			r.Close()
			if size < 0 {
				unknown = n
			} else {
				known = n
			}
		}
		// A record that claims more than the limit may still be one that the
		// file ends in; only with the size known can a part of it be read.
		if unknown > known {
			t.Fatalf("%d records where the size is known, %d where it is not", known, unknown)
		}
	})
}

// extract reads all attachments that a file is said to have.
func extract(t *testing.T, data []byte) {
	f := mcap.New()
	f.Limits = small
	src := &memory{data: data}
	d, err := f.Describe(t.Context(), src)
	if err != nil {
		return
	}
	for i, a := range d.Attachments {
		rc, err := f.OpenAttachment(t.Context(), src, d, i)
		if err != nil {
			continue
		}
		n, err := io.Copy(io.Discard, rc)
		if n > int64(len(data)) || err == nil && n != a.Size {
			t.Fatalf("attachment %d has %d bytes, %d of %d: %v", i, n, a.Size, len(data), err)
		}
		rc.Close()
	}
}

// parse runs the parser of a record.
func parse(rec mcap.Record) {
	c := rec.Content
	switch rec.Op {
	case mcap.OpHeader:
		mcap.ParseHeader(c)
	case mcap.OpFooter:
		mcap.ParseFooter(c)
	case mcap.OpSchema:
		mcap.ParseSchema(c)
	case mcap.OpChannel:
		mcap.ParseChannel(c)
	case mcap.OpMessage:
		mcap.ParseMessage(c)
	case mcap.OpChunk:
		mcap.ParseChunk(c)
	case mcap.OpMessageIndex:
		mcap.ParseMessageIndex(c)
	case mcap.OpChunkIndex:
		mcap.ParseChunkIndex(c)
	case mcap.OpAttachmentIndex:
		mcap.ParseAttachmentIndex(c)
	case mcap.OpStatistics:
		mcap.ParseStatistics(c)
	case mcap.OpMetadata:
		mcap.ParseMetadata(c)
	case mcap.OpMetadataIndex:
		mcap.ParseMetadataIndex(c)
	case mcap.OpSummaryOffset:
		mcap.ParseSummaryOffset(c)
	case mcap.OpDataEnd:
		mcap.ParseDataEnd(c)
	}
}

// FuzzFormat describes and decodes any bytes, in both orders and with one
// worker and two, which must give the same rows. Counts must balance and all
// memory must come back.
func FuzzFormat(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		one := read(t, data, choice{limits: small})
		two := read(t, data, choice{limits: small, workers: 2, rows: 3})
		if (one.err == nil) != (two.err == nil) || one.total() != two.total() {
			t.Fatalf("%v, %d rows; with two workers %v, %d rows", one.err, one.total(), two.err, two.total())
		}
		read(t, data, choice{limits: small, order: pipeline.LogOrder, from: 1, to: 1 << 40, tables: []string{"/a"}})
		latched := choice{limits: small, from: 400, latched: true, tables: []string{"/a", "/b", "/odom", "/map", "/tf_static"}}
		inRange := latched
		inRange.latched = false
		if all, some := read(t, data, latched), read(t, data, inRange); all.err == nil && all.total() < some.total() {
			t.Fatalf("%d rows with latched ones, %d without", all.total(), some.total())
		}
		extract(t, data)
	})
}
