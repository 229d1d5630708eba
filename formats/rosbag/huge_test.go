package rosbag

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

// huge synthesises a bag: pieces at certain offsets, zeros between them.
type huge struct {
	size   int64
	pieces map[int64][]byte
	read   int64 // by Reader
}

func (h *huge) Object() pipeline.Object { return pipeline.Object{URI: "mem://huge.bag", Size: h.size} }

func (h *huge) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n := int(min(int64(len(p)), h.size-off))
	clear(p[:n])
	for at, piece := range h.pieces {
		if at < off+int64(n) && at+int64(len(piece)) > off {
			copy(p[max(0, at-off):n], piece[max(0, off-at):])
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *huge) Reader(_ context.Context, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(&hugeReader{h, off, off + n}), nil
}

type hugeReader struct {
	*huge
	off, end int64
}

func (r *hugeReader) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), r.end-r.off)]
	if len(p) == 0 {
		return 0, io.EOF
	}
	n, _ := r.ReadAt(context.Background(), p, r.off)
	r.off += int64(n)
	r.read += int64(n)
	return n, nil
}

// makeHuge lays out chunks with one message of /bulk each, and a small one of
// /rare in the first and the last chunk.
func makeHuge(chunks int, payload uint32) *huge {
	h := &huge{pieces: map[int64][]byte{}}
	b := &bag{}
	b.connect(0, "/rare")
	b.connect(1, "/bulk")
	conns := b.chunk
	h.pieces[0] = b.out
	h.size = int64(len(b.out))
	for i := range chunks {
		t := at(uint32(i)+1, 0)
		body := slices.Clone(conns)
		counts := map[uint32]uint32{1: 1}
		if i == 0 || i == chunks-1 {
			body = append(body, b.message(0, t, fmt.Appendf(nil, "rare %d", i))...)
			counts[0] = 1
		}
		head := b.message(1, t, nil)
		copy(head[len(head)-4:], le32(payload))
		body = append(body, head...)
		size := uint32(len(body)) + payload
		rec := b.record(nil, field("compression", []byte(codecNone)), op(opChunk), field("size", le32(size)))
		copy(rec[len(rec)-4:], le32(size))
		b.all = append(b.all, info{pos: h.size, start: t, end: t, counts: counts})
		h.pieces[h.size] = append(rec, body...)
		h.size += int64(len(rec)) + int64(size)
	}
	b.out, b.chunk, b.index = nil, nil, nil
	index := &bag{conns: b.conns, all: b.all}
	index.open()
	index.index = nil
	tail := index.closed()
	h.pieces[h.size] = tail[len(index.out):]
	copy(h.pieces[0][13:], b.header(int(h.size), 2, uint32(chunks)))
	h.size += int64(len(tail) - len(index.out))
	return h
}

func Test31SixGiB(t *testing.T) {
	h := makeHuge(14, 440<<20)
	if h.size < 6<<30 {
		t.Fatalf("bag has only %d bytes", h.size)
	}
	d, err := New().Describe(context.Background(), h)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Indexed || d.Tables[1].Rows != 14 || d.Compression[0].Compressed < 6<<30 {
		t.Errorf("description %+v", d)
	}
	sel := selecting(t, d, "/rare")
	sel.From = 14e9
	r := decode(t, h, d, sel, pipeline.DecodeOptions{Workers: 1})
	equal(t, "rows", r.rows, `[/rare[14]@14000000000 "rare 13"]`)
	if h.read > 450<<20 {
		t.Errorf("%d bytes were read", h.read)
	}
}

func TestMemoryOfLargeBag(t *testing.T) {
	h := makeHuge(200, 4<<20)
	d, err := New().Describe(context.Background(), h)
	if err != nil {
		t.Fatal(err)
	}
	sel := selecting(t, d, "/bulk")
	sel.Tables[0].Columns = []string{"log_time"}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	dec, err := New().Open(context.Background(), h, d, sel, pipeline.DecodeOptions{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for {
		el, err := dec.Next(context.Background())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if el.Batch != nil {
			rows += el.Batch.Rows()
			el.Batch.Release()
		}
	}
	runtime.ReadMemStats(&after)
	if err := dec.Close(); err != nil {
		t.Error(err)
	}
	equal(t, "rows", rows, 200)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 || h.read < 800<<20 {
		t.Errorf("%d bytes were allocated for %d read", n, h.read)
	}
}
