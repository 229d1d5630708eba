package mcap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/pipeline"
)

// Checklist 21 and trap 1: chunks without message indexes are read.
func Test21NoMessageIndexes(t *testing.T) {
	b := sample("zstd", 50, func(b *builder) { b.noMessageIndex = true })
	for _, ch := range []choice{{tables: []string{"/a"}}, {tables: []string{"/a"}, from: 1, to: 1 << 60}} {
		r := read(t, b.finish(), ch)
		if r.err != nil || !r.d.Indexed || len(r.rows["/a"]) != 25 || r.counts["/b"].Unselected != 25 {
			t.Fatalf("%v %v %v", r.err, r.counts, r.problems)
		}
		b = sample("zstd", 50, func(b *builder) { b.noMessageIndex = true })
	}
}

// Checklist 24: messages in chunks and outside of them, of which an index
// tells nothing, in the order of the file.
func Test24MessagesOutsideOfChunks(t *testing.T) {
	for _, none := range []bool{false, true} {
		b := newBuilder("")
		b.noMessageIndex = none
		b.schema(1, "pkg/A", "ros1msg", "x")
		b.channel(1, 1, "/a", "ros1")
		n := uint64(0)
		for range 4 {
			for range 3 {
				b.message(1, n, pair(n, strings.Repeat("long ", 100000)))
				n++
			}
			c := b.chunk()
			c.message(1, n, pair(n, "in a chunk"))
			n++
			c.write("")
		}
		r := read(t, b.finish(), choice{workers: 2})
		if r.err != nil || r.d.Indexed || len(r.rows["/a"]) != int(n) || !slices.Contains(r.kinds(), "unindexed") {
			t.Fatalf("%v, %d rows, %v", r.err, len(r.rows["/a"]), r.problems)
		}
		for i, row := range r.rows["/a"] {
			if !strings.HasPrefix(row, fmt.Sprintf("#%d log_time=%d ", i, i)) {
				t.Fatalf("row %d is %.40s", i, row)
			}
		}
		if rows, bytes := r.lost(); rows != 0 || bytes != 0 {
			t.Errorf("lost %d, %d bytes", rows, bytes)
		}
	}
}

// big is a recording whose summary and chunks are so large that reading what is
// not needed shows.
func big(chunks int) *builder {
	b := newBuilder("")
	for i := range chunks {
		c := b.chunk()
		c.schema(1, "pkg/A", "ros1msg", "x")
		c.channel(1, 1, "/a", "ros1")
		c.channel(2, 1, "/rare", "ros1")
		for k := range 20 {
			c.message(1, uint64(1000*i+k), pair(uint64(k), strings.Repeat("x", 1000)))
		}
		if i%50 == 7 {
			c.message(2, uint64(1000*i+500), pair(0, ""))
		}
		c.write("")
	}
	return b
}

// Checklist 25: a window of one percent, and a topic in one chunk of fifty,
// cost their chunks, the summary and 64 KiB.
func Test25_28Pruning(t *testing.T) {
	b := big(1000)
	summary := len(b.buf)
	data := b.finish()
	summary = len(data) - summary
	chunk := len(data) / 1000
	for _, tc := range []struct {
		ch     choice
		chunks int
		rows   int
	}{
		{choice{from: 500_000, to: 510_000}, 10, 201},
		{choice{from: 500_000, to: 510_000, tables: []string{"/rare"}}, 1, 1},
		{choice{tables: []string{"/rare"}}, 20, 20},
		{choice{tables: []string{"/rare"}, order: pipeline.LogOrder}, 20, 20},
		{choice{from: 2_000_000}, 0, 0},
		{choice{tables: []string{}}, 0, 0},
	} {
		src := &memory{data: data}
		r := readWith(t, mcap.New(fake("ros1")), src, tc.ch)
		if r.err != nil || r.total() != tc.rows {
			t.Errorf("%+v: %v, %d rows, want %d", tc.ch, r.err, r.total(), tc.rows)
		}
		if limit := int64(tc.chunks*chunk*11/10 + 64<<10); r.read > limit {
			t.Errorf("%+v: read %d bytes, more than %d", tc.ch, r.read, limit)
		}
		if f := r.counts["/a"].Found + r.counts["/rare"].Found; f != 20020 {
			t.Errorf("%+v: %d messages found", tc.ch, f)
		}
		if tc.rows > 1 && tc.ch.order == pipeline.StorageOrder {
			whole := readWith(t, mcap.New(fake("ros1")), &memory{data: data}, choice{})
			for name, rows := range r.rows {
				for _, row := range rows {
					if !slices.Contains(whole.rows[name], row) {
						t.Errorf("row %.60s is not among all rows: ordinals depend on the selection", row)
					}
				}
			}
		}
	}
	// Checklist 28: three reads find all there is to know.
	src := &memory{data: data}
	if _, err := mcap.New().Describe(t.Context(), src); err != nil || src.reads.Load() > 3 || src.bytes.Load() > int64(summary+64<<10) {
		t.Errorf("%v: %d reads of %d bytes for a summary of %d", err, src.reads.Load(), src.bytes.Load(), summary)
	}
	src = &memory{data: sample("", 10, nil).finish()}
	if in, err := mcap.ReadInfo(t.Context(), src, mcap.Limits{}); err != nil || src.reads.Load() != 1 || !in.Indexed {
		t.Errorf("%v: %d reads for a small file", err, src.reads.Load())
	}
}

// Checklist 26: summaries that lack something.
func Test26IncompleteSummaries(t *testing.T) {
	for name, set := range map[string]func(b *builder){
		"no statistics":     func(b *builder) { b.noStatistics = true },
		"no channel counts": func(b *builder) { b.noChannelCounts = true },
		"no offsets":        func(b *builder) { b.noOffsets = true },
		"no definitions":    func(b *builder) { b.noDefs = true },
		"no chunk index":    func(b *builder) { b.noChunkIndex = true },
	} {
		for _, tables := range [][]string{nil, {"/b"}} {
			r := read(t, sample("lz4", 50, set).finish(), choice{tables: tables})
			if tables == nil {
				wantSample(t, r, 50)
			} else if r.err != nil || len(r.rows["/b"]) != 25 {
				t.Errorf("%s: %v %v", name, r.err, r.rows)
			}
			if d := r.d; len(d.Tables) != 2 || d.Tables[0].Rows != 25 || d.Tables[1].Rows != 25 || d.Start != 1000 || d.End != 1049 {
				t.Errorf("%s: %+v", name, d)
			}
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Checklist 34: an attachment of 5 GB is streamed. The test passes over 100 MB
// of it and lets the stream end there.
func Test34LargeAttachment(t *testing.T) {
	b := newBuilder("")
	head := frame(nil, mcap.OpAttachment, attachmentContent(mcap.Attachment{Name: "big"}, nil, true), 0)
	head = head[:len(head)-12] // without size and checksum
	const size = 5 << 30
	le.PutUint64(head[1:], uint64(len(head)-9+8+4+size))
	head = le.AppendUint64(head, size)
	stream := io.MultiReader(bytes.NewReader(append(b.buf, head...)), io.LimitReader(zeros{}, 100<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := mcap.NewReader(stream, -1, mcap.Limits{})
	defer r.Close()
	for {
		rec, err := r.Next()
		if err != nil {
			if !errors.Is(err, pipeline.ErrTruncated) {
				t.Error(err)
			}
			break
		}
		if rec.Attachment != nil && rec.Attachment.DataSize != size {
			t.Errorf("attachment of %d bytes", rec.Attachment.DataSize)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

// Checklist 34 to 36: attachments and metadata, with an index and without.
func Test34_35_36AttachmentsAndMetadata(t *testing.T) {
	b := sample("", 10, nil)
	b.attachment("empty", nil)
	b.meta("same", map[string]string{"k": "1"})
	b.meta("same", map[string]string{"k": "2"})
	b.meta("drivemill", map[string]string{"vehicle_id": "v2", "drive_id": "d"})
	for i, data := range bothWays(b) {
		src := &memory{data: data}
		in, err := mcap.ReadInfo(t.Context(), src, mcap.Limits{})
		if err != nil || in.Indexed != (i == 0) || len(in.Attachments) != 2 {
			t.Fatalf("%v %+v", err, in)
		}
		for k, want := range []string{"hello", ""} {
			a, err := mcap.OpenAttachment(t.Context(), src, in.Attachments[k], mcap.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(a)
			if err != nil || string(got) != want || !a.Verified || a.MediaType != "text/plain" || a.CreateTime != 2 {
				t.Errorf("%q, %v, %+v", got, err, a.Attachment)
			}
			a.Close()
		}
		var names, values []string
		for _, m := range in.Metadata {
			names = append(names, m.Name)
			md, err := mcap.ReadMetadata(t.Context(), src, m, mcap.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, md.Values["k"])
		}
		if !slices.Equal(names, []string{"drivemill", "same", "same", "drivemill"}) || !slices.Equal(values, []string{"", "1", "2", ""}) {
			t.Errorf("metadata %v %v", names, values)
		}
		r := read(t, data, choice{})
		if a := r.d.Attributes; a["vehicle_id"] != "v1" || a["drive_id"] != "d" || !slices.Contains(r.kinds(), "attribute_conflict") {
			t.Errorf("attributes %v %v", a, r.problems)
		}
		bad := slices.Clone(data)
		bad[bytes.Index(bad, []byte("hello"))] = 'j'
		a, err := mcap.OpenAttachment(t.Context(), &memory{data: bad}, in.Attachments[0], mcap.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(a); !errors.Is(err, pipeline.ErrCorrupt) {
			t.Errorf("error %v", err)
		}
		for _, x := range []mcap.AttachmentIndex{{Offset: 1 << 40, Length: 50}, {Offset: 8, Length: 60}, {Offset: 0, Length: 1 << 63}} {
			if _, err := mcap.OpenAttachment(t.Context(), src, x, mcap.Limits{}); !errors.Is(err, pipeline.ErrCorrupt) {
				t.Errorf("index %+v: %v", x, err)
			}
		}
	}
}

// Selections of columns: those not asked for are absent, and clocks with them.
func TestColumns(t *testing.T) {
	r := read(t, sample("", 4, nil).finish(), choice{tables: []string{"/a"}, columns: []string{"text", "log_time"}})
	if r.err != nil || !slices.Equal(r.rows["/a"], []string{"#0 log_time=1000 text=text 0", "#2 log_time=1002 text=text 2"}) {
		t.Errorf("%v %v", r.err, r.rows)
	}
}

// failing is a source whose reads fail from an offset on.
type failing struct {
	*memory
	from  int64
	err   error
	armed bool // ReadAt fails as well
}

func (f *failing) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if f.armed && off+int64(len(p)) > f.from {
		return 0, f.err
	}
	return f.memory.ReadAt(ctx, p, off)
}

func (f *failing) Reader(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	rc, err := f.memory.Reader(ctx, off, n)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(rc, max(0, f.from-off)), &failure{f.err})), nil
}

type failure struct{ err error }

func (f *failure) Read([]byte) (int, error) { return 0, f.err }

// Errors of the store are not taken for damage, and keep their kind.
func TestReadErrors(t *testing.T) {
	b := sample("zstd", 50, nil)
	for i, data := range bothWays(b) {
		src := &failing{memory: &memory{data: data}, from: 700, err: pipeline.Transient(errors.New("connection reset"))}
		f := mcap.New(fake("ros1"))
		d, err := f.Describe(t.Context(), src)
		if i == 1 {
			if !pipeline.IsTransient(err) {
				t.Errorf("error %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		src.armed = true
		dec, err := f.Open(t.Context(), src, d, pipeline.Selection{}, pipeline.DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			var el pipeline.Element
			if el, err = dec.Next(t.Context()); el.Batch != nil {
				el.Batch.Release()
			}
		}
		if !pipeline.IsTransient(err) {
			t.Errorf("error %v", err)
		}
		dec.Close()
	}
}
