package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	foxglove "github.com/foxglove/mcap/go/mcap"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
	"github.com/drivemill/drivemill/pipeline/store"
)

// writeSparse writes about size bytes of stored chunks: messages of /bulk, one
// every millisecond, and one of /rare in every hundredth chunk.
func writeSparse(w io.Writer, size int64) (rare int, err error) {
	const perChunk = 16
	payload := make([]byte, size/2048/perChunk)
	noise := rand.NewChaCha8([32]byte{3})
	m, err := foxglove.NewWriter(w, &foxglove.WriterOptions{Chunked: true, ChunkSize: int64(len(payload)) * (perChunk - 1), IncludeCRC: true})
	if err != nil {
		return 0, err
	}
	errs := []error{m.WriteHeader(&foxglove.Header{})}
	for i, topic := range []string{"/bulk", "/rare"} {
		errs = append(errs, m.WriteChannel(&foxglove.Channel{ID: uint16(i), Topic: topic, MessageEncoding: "raw"}))
	}
	for i := range uint64(2048 * perChunk) {
		noise.Read(payload)
		t := (i + 1) * 1_000_000
		errs = append(errs, m.WriteMessage(&foxglove.Message{ChannelID: 0, LogTime: t, PublishTime: t, Data: payload}))
		if i%(100*perChunk) == 50*perChunk {
			rare++
			errs = append(errs, m.WriteMessage(&foxglove.Message{ChannelID: 1, LogTime: t, PublishTime: t, Data: []byte("rare")}))
		}
	}
	return rare, errors.Join(append(errs, m.Close())...)
}

// traffic counts what the client of a proxy asked for.
type traffic struct{ requests, bytes int64 }

func count(t *testing.T, requests []*http.Request) (n traffic) {
	t.Helper()
	for _, r := range requests {
		if r.Method != http.MethodGet || r.Header.Get("Range") == "" {
			continue
		}
		var from, to int64
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil {
			t.Fatal(err)
		}
		n.requests++
		n.bytes += to - from + 1
	}
	return n
}

// Over S3, inspect reads the ends of an indexed recording, and a selection the
// chunks that hold it: a topic in one chunk of a hundred, a hundredth of the
// time.
func TestSelectionOverS3(t *testing.T) {
	p := s3server.StartProxy(t, s3server.Start(t))
	st, err := store.Open(t.Context(), "s3://"+p.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	w, err := st.Create(t.Context(), "drive.mcap")
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriterSize(w, 1<<20)
	rare, err := writeSparse(out, selectionMiB<<20)
	if err = errors.Join(err, out.Flush()); err == nil {
		err = errors.Join(w.Finish(t.Context()), w.Publish(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	reg := builtin.Registry()
	found, err := findRecordings(t.Context(), reg, []string{"s3://" + p.Bucket + "/drive.mcap"})
	if err != nil {
		t.Fatal(err)
	}
	obj := found[0].Objects[0]
	open := func() pipeline.Source {
		src, err := found[0].Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	chunks, summary := chunksOf(t, open())
	p.Requests()

	report, err := explore.Inspect(t.Context(), reg, obj.URI, open(), explore.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	index := count(t, p.Requests())
	t.Logf("%s in %d chunks, summary %d bytes; inspect: %d requests, %d bytes", explore.Bytes(obj.Size), len(chunks), summary, index.requests, index.bytes)
	if !report.Indexed || report.Tables[1].Rows != int64(rare) || index.requests > 3 || index.bytes > summary+64<<10 {
		t.Errorf("%+v, indexed %v, %d rows", index, report.Indexed, report.Tables[1].Rows)
	}
	const ms = 1_000_000
	for _, tc := range []struct {
		name     string
		opt      explore.CatOptions
		rows     int64
		holds    func(c *foxglove.ChunkIndex) bool
		requests int64
	}{
		{"a topic in 1% of the chunks", explore.CatOptions{Tables: []string{"/rare"}}, int64(rare),
			func(c *foxglove.ChunkIndex) bool { _, ok := c.MessageIndexOffsets[1]; return ok }, int64(rare)},
		{"1% of the time", explore.CatOptions{From: 16000 * ms, To: 16328 * ms}, 328,
			func(c *foxglove.ChunkIndex) bool {
				return c.MessageEndTime >= 16000*ms && c.MessageStartTime < 16328*ms
			}, 8},
		{"both", explore.CatOptions{Tables: []string{"/rare"}, From: 16000 * ms, To: 17700 * ms}, 1,
			func(c *foxglove.ChunkIndex) bool {
				_, ok := c.MessageIndexOffsets[1]
				return ok && c.MessageEndTime >= 16000*ms && c.MessageStartTime < 17700*ms
			}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var held int64
			for _, c := range chunks {
				if tc.holds(c) {
					held += int64(c.ChunkLength)
				}
			}
			tc.opt.Registry, tc.opt.Workers, tc.opt.Output = reg, 2, "ndjson"
			var rows bytes.Buffer
			res, err := explore.Cat(context.Background(), open(), &rows, tc.opt)
			if err != nil {
				t.Fatal(err)
			}
			n := count(t, p.Requests())
			n.requests, n.bytes = n.requests-index.requests, n.bytes-index.bytes
			t.Logf("%d rows: %d requests, %d bytes, %.3f of the chunks that hold them", res.Rows, n.requests, n.bytes, float64(n.bytes)/float64(held))
			if res.Rows < tc.rows-1 || res.Rows > tc.rows+1 || int64(strings.Count(rows.String(), "\n")) != res.Rows {
				t.Errorf("%d rows, want %d", res.Rows, tc.rows)
			}
			if n.bytes > held*11/10 || n.requests > tc.requests {
				t.Errorf("%d bytes in %d requests; the chunks have %d bytes", n.bytes, n.requests, held)
			}
		})
	}
}

// chunksOf reads the chunk indexes of a recording with another reader.
func chunksOf(t *testing.T, src pipeline.Source) (chunks []*foxglove.ChunkIndex, summary int64) {
	t.Helper()
	at := &seeker{src: src}
	r, err := foxglove.NewReader(at)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	info, err := r.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info.ChunkIndexes, src.Object().Size - int64(info.Footer.SummaryStart)
}

// seeker is a source as an io.ReadSeeker.
type seeker struct {
	src pipeline.Source
	off int64
}

func (s *seeker) Read(p []byte) (int, error) {
	n, err := s.src.ReadAt(context.Background(), p, s.off)
	s.off += int64(n)
	return n, err
}

func (s *seeker) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += s.off
	case io.SeekEnd:
		off += s.src.Object().Size
	}
	s.off = off
	return off, nil
}
