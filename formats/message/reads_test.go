package message_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// object is an object in memory that counts what is asked of it.
type object struct {
	data     []byte
	requests atomic.Int64
	bytes    atomic.Int64
	flying   atomic.Int64
	most     atomic.Int64
	gate     *sync.WaitGroup // requests wait for each other
	failFrom int64           // offset from which reading fails, 0: nowhere
}

var errBroken = pipeline.Transient(errors.New("connection reset"))

func (o *object) Object() pipeline.Object { return pipeline.Object{Size: int64(len(o.data))} }

func (o *object) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	o.requests.Add(1)
	o.bytes.Add(int64(len(p)))
	n := o.flying.Add(1)
	defer o.flying.Add(-1)
	for m := o.most.Load(); n > m && !o.most.CompareAndSwap(m, n); m = o.most.Load() {
	}
	if o.gate != nil {
		o.gate.Done()
		o.gate.Wait()
	}
	if o.failFrom > 0 && off+int64(len(p)) > o.failFrom {
		return 0, errBroken
	}
	return bytes.NewReader(o.data).ReadAt(p, off)
}

func (o *object) Reader(_ context.Context, off, n int64) (io.ReadCloser, error) {
	o.requests.Add(1)
	o.bytes.Add(n)
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(o.data), off, n)), nil
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// Whatever is read, it is what lies there, in far fewer requests than ranges
// where these are close, and with little in surplus.
func TestReadsGiveWhatIsThere(t *testing.T) {
	data := noise(12 << 20)
	rapid.Check(t, func(t *rapid.T) {
		o := &object{data: data}
		var ranges []message.Range
		var wanted int64
		at := int64(0)
		for range rapid.IntRange(1, 25).Draw(t, "ranges") {
			g := message.Range{
				Off:    at + rapid.SampledFrom([]int64{0, 10, 4 << 10, 70 << 10, 2 << 20}).Draw(t, "gap"),
				Len:    rapid.SampledFrom([]int64{0, 1, 1000, 1000, 100 << 10, 100 << 10, 900 << 10, 5 << 20}).Draw(t, "len"),
				Joined: rapid.Bool().Draw(t, "joined"),
			}
			if g.Off+g.Len > int64(len(data)) || rapid.IntRange(0, 9).Draw(t, "back") == 0 {
				g.Off = rapid.Int64Range(0, int64(len(data))-g.Len).Draw(t, "off")
			}
			at = g.Off + g.Len
			ranges = append(ranges, g)
			wanted += g.Len
		}
		r := message.NewReads(o, ranges)
		for i, g := range ranges {
			if rapid.IntRange(0, 9).Draw(t, "leave out") == 0 {
				continue
			}
			p := make([]byte, g.Len)
			if err := r.Read(context.Background(), i, p); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p, data[g.Off:g.Off+g.Len]) {
				t.Fatalf("range %d: wrong bytes", i)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if n := o.requests.Load(); n > int64(len(ranges)) {
			t.Errorf("%d requests for %d ranges", n, len(ranges))
		}
	})
}

// Small requests that cannot be one are under way at the same time: each here
// waits until four are.
func TestReadsInParallel(t *testing.T) {
	o := &object{data: noise(16 << 20), gate: &sync.WaitGroup{}}
	var ranges []message.Range
	for i := range int64(8) {
		ranges = append(ranges, message.Range{Off: i << 21, Len: 1000})
	}
	o.gate.Add(len(ranges))
	r := message.NewReads(o, ranges)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range ranges {
		if err := r.Read(ctx, i, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if n := o.most.Load(); n != 8 {
		t.Errorf("%d at a time", n)
	}
	if err := r.Close(); err != nil || o.bytes.Load() != 8000 {
		t.Errorf("%v, %d bytes", err, o.bytes.Load())
	}
}

// What is read ahead is bounded, and what fails is told with the range it
// belongs to, not earlier.
func TestReadsAhead(t *testing.T) {
	o := &object{data: noise(64 << 20), failFrom: 40 << 20}
	var ranges []message.Range
	for i := range int64(16) {
		ranges = append(ranges, message.Range{Off: i << 22, Len: 3 << 20})
	}
	r := message.NewReads(o, ranges)
	p := make([]byte, 3<<20)
	for i := range 9 {
		if err := r.Read(t.Context(), i, p); err != nil {
			t.Fatalf("range %d: %v", i, err)
		}
		if n := o.bytes.Load() - int64(i+1)*3<<20; n > 32<<20 {
			t.Errorf("%d bytes ahead", n)
		}
	}
	if err := r.Read(t.Context(), 10, p); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r = message.NewReads(&object{data: o.data}, ranges)
	if err := r.Read(ctx, 0, p); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.Close()
	short := &object{data: noise(1000)}
	r = message.NewReads(short, []message.Range{{Off: 500, Len: 1000}})
	if err := r.Read(t.Context(), 0, make([]byte, 1000)); !errors.Is(err, pipeline.ErrTruncated) {
		t.Errorf("error %v", err)
	}
	r.Close()
}

// Latched candidates: no block that may hold the last message is left out, by
// comparison with looking at all messages.
func TestLatchedCandidates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := make([][]message.Record, rapid.IntRange(1, 12).Draw(t, "blocks"))
		from := rapid.Int64Range(1, 40).Draw(t, "from")
		type last struct {
			time       int64
			block, row int
		}
		want := map[int32]last{}
		times := make([]message.BlockTimes, len(blocks))
		for b := range blocks {
			times[b] = message.BlockTimes{Known: rapid.IntRange(0, 5).Draw(t, "known") > 0}
			seen := map[int32]bool{}
			for row := range rapid.IntRange(0, 6).Draw(t, "records") {
				r := message.Record{Channel: rapid.Int32Range(0, 3).Draw(t, "channel"), LogTime: rapid.Int64Range(0, 40).Draw(t, "time")}
				blocks[b] = append(blocks[b], r)
				if row == 0 {
					times[b].Start, times[b].End = r.LogTime, r.LogTime
				}
				times[b].Start, times[b].End = min(times[b].Start, r.LogTime), max(times[b].End, r.LogTime)
				if !seen[r.Channel] {
					seen[r.Channel] = true
					times[b].Channels = append(times[b].Channels, r.Channel)
				}
				if old, ok := want[r.Channel]; r.Channel < 2 && r.LogTime < from && (!ok || r.LogTime >= old.time) {
					want[r.Channel] = last{r.LogTime, b, row}
				}
			}
		}
		var tables []*message.Table
		sel := pipeline.Selection{From: from}
		for i, name := range []string{"latched", "other"} {
			table, err := message.NewTable(name, []message.Envelope{message.LogTime}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			tables = append(tables, table)
			sel.Tables = append(sel.Tables, pipeline.TableSelection{Table: table.Table, Latched: i == 0})
		}
		l := message.NewLatched(tables, []int32{0, 0, 1, 1}, sel)
		for _, b := range l.Candidates(len(blocks), func(i int) message.BlockTimes { return times[i] }) {
			l.Show(b, blocks[b])
		}
		found := 0
		for b := range blocks {
			for _, row := range l.Keep(b, nil) {
				found++
				if w := want[blocks[b][row].Channel]; w.block != b || w.row != int(row) || !l.Has(b) {
					t.Errorf("row %d of block %d is not the last, %+v is", row, b, w)
				}
			}
		}
		if found != len(want) {
			t.Errorf("%d found, %d are there", found, len(want))
		}
	})
	if message.NewLatched(nil, nil, pipeline.Selection{}) != nil {
		t.Error("there is nothing before no range")
	}
}
