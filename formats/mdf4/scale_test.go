package mdf4

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/drivemill/drivemill/formats/mdf4/mdf4test"
	"github.com/drivemill/drivemill/pipeline"
)

// long is a source whose file goes on for as long as is wanted: what is behind
// head is made when it is read.
type long struct {
	head     []byte
	size     int64
	fill     func(b []byte, off int64)
	requests atomic.Int64
	bytes    atomic.Int64
}

func (l *long) Object() pipeline.Object {
	return pipeline.Object{URI: "mem://long.mf4", Key: "long.mf4", Size: l.size, ETag: "1"}
}

func (l *long) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	l.requests.Add(1)
	l.bytes.Add(int64(len(p)))
	n := int(min(int64(len(p)), l.size-off))
	k := 0
	if off < int64(len(l.head)) {
		k = copy(p[:n], l.head[off:])
	}
	if k < n {
		l.fill(p[k:n], off+int64(k))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (l *long) Reader(context.Context, int64, int64) (io.ReadCloser, error) {
	return nil, errors.New("not read as a stream")
}

// stretched makes the data of the last block of a file longer: the block of
// that offset gets size bytes of data, and the group of the other rows records.
func stretched(f *mdf4test.File, size, rows int64) *long {
	data := f.Bytes()
	block := len(data)
	cg := 0
	for at := 64; at+24 <= len(data); at += 8 {
		switch string(data[at : at+4]) {
		case "##DT", "##SD":
			block = at
		case "##CG":
			cg = at
		}
	}
	binary.LittleEndian.PutUint64(data[block+8:], uint64(24+size))
	links := int(binary.LittleEndian.Uint64(data[cg+16:]))
	binary.LittleEndian.PutUint64(data[cg+24+8*links+8:], uint64(rows))
	return &long{head: data[:block+24], size: int64(block) + 24 + size}
}

// peak is the largest live heap seen while a recording is read.
func peak(t *testing.T, src pipeline.Source, sel func(*pipeline.Description) pipeline.Selection) (most uint64, rows int64) {
	t.Helper()
	f := New()
	d, err := f.Describe(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := f.Open(t.Context(), src, d, sel(d), pipeline.DecodeOptions{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	for n := 0; ; n++ {
		e, err := dec.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		rows += int64(e.Batch.Rows())
		e.Batch.Release()
		if n%64 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	return most, rows
}

// Memory does not depend on the length of the recording.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads half a gigabyte")
	}
	all := func(*pipeline.Description) pipeline.Selection { return pipeline.Selection{} }
	numbers := func(size int64) *long {
		g := &mdf4test.Group{Name: "g", Channels: []*mdf4test.Channel{seconds(), {Name: "x", Data: mdf4test.UnsignedLE, Byte: 8, Bits: 32}, {Name: "y", Data: mdf4test.FloatLE, Byte: 12, Bits: 32}},
			Records: [][]byte{make([]byte, 16)}}
		l := stretched(&mdf4test.File{Groups: []*mdf4test.DataGroup{{Groups: []*mdf4test.Group{g}}}}, size, size/16)
		l.fill = func(b []byte, off int64) { clear(b) }
		return l
	}
	texts := func(size int64) *long {
		// One value of 96 bytes, with its length, for each record of 8 bytes of
		// a virtual group: the offsets are those of a counter.
		const each = 100
		rows := size / each
		g := &mdf4test.Group{Name: "g", Channels: []*mdf4test.Channel{{Name: "s", Type: mdf4test.VLSD, Data: mdf4test.UTF8, Bits: 64, Signal: &mdf4test.Signal{Bytes: make([]byte, each)}}}}
		for i := range rows {
			g.Records = append(g.Records, mdf4test.LE(uint64(i*each)))
		}
		f := &mdf4test.File{Groups: []*mdf4test.DataGroup{{Groups: []*mdf4test.Group{g}}}}
		data := f.Bytes()
		sd := 0
		for at := 64; at+24 <= len(data) && sd == 0; at += 8 {
			if string(data[at:at+4]) == "##SD" {
				sd = at
			}
		}
		// The values move behind everything else.
		link := findLink(t, data, int64(sd))
		for len(data)%8 != 0 {
			data = append(data, 0)
		}
		binary.LittleEndian.PutUint64(data[link:], uint64(len(data)))
		data = append(data, mdf4test.LE("##SD", uint32(0), uint64(24+rows*each), uint64(0))...)
		start := int64(len(data))
		l := &long{head: data, size: start + rows*each}
		var value [each]byte
		binary.LittleEndian.PutUint32(value[:], each-4)
		for i := 4; i < each; i++ {
			value[i] = 'v'
		}
		l.fill = func(b []byte, off int64) {
			for n := 0; n < len(b); {
				n += copy(b[n:], value[(off-start+int64(n))%each:])
			}
		}
		return l
	}
	for name, make := range map[string]func(int64) *long{"20 numbers": numbers, "20 values of variable length": texts} {
		t.Run(name, func(t *testing.T) {
			small, few := peak(t, make(16<<20), all)
			large, many := peak(t, make(128<<20), all)
			base := uint64(0)
			if name != "20 numbers" {
				base = 24 << 20 // the records of the test itself
			}
			if large > small+base+16<<20 || many < 7*few {
				t.Errorf("%d rows take %d bytes, %d rows %d", few, small, many, large)
			}
		})
	}
}

// findLink finds the only link to a block.
func findLink(t *testing.T, data []byte, to int64) int {
	t.Helper()
	for at := 64; at+8 <= len(data); at += 8 {
		if int64(binary.LittleEndian.Uint64(data[at:])) == to {
			return at
		}
	}
	t.Fatal("no link")
	return 0
}

// A recording of thousands of channels is described with few requests, and one
// channel of a column store costs its own blocks only.
func TestRequests(t *testing.T) {
	t.Run("3,600 channels in 200 groups", func(t *testing.T) {
		f := &mdf4test.File{StartNS: 1e18}
		for i := range 200 {
			g := &mdf4test.Group{Name: fmt.Sprint("message ", i), Source: canSource, Channels: []*mdf4test.Channel{seconds()}}
			for j := range 18 {
				g.Channels = append(g.Channels, &mdf4test.Channel{Name: fmt.Sprintf("signal %d.%d", i, j), Data: mdf4test.UnsignedLE, Byte: 8 + uint32(j), Bits: 8, Unit: "km/h", Comment: "a signal of some message"})
			}
			for k := range 20 {
				g.Records = append(g.Records, mdf4test.LE(float64(k), make([]byte, 18)))
			}
			f.Groups = append(f.Groups, &mdf4test.DataGroup{Groups: []*mdf4test.Group{g}})
		}
		data := f.Bytes()
		l := &long{head: data, size: int64(len(data))}
		d, err := New().Describe(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Tables) != 200 || !d.HasTime {
			t.Errorf("%d tables", len(d.Tables))
		}
		if n := l.requests.Load(); n > 8 {
			t.Errorf("%d requests for a file of %d bytes", n, len(data))
		}
	})
	t.Run("20 one channel of a column store", func(t *testing.T) {
		master := &mdf4test.Group{Name: "g", Channels: []*mdf4test.Channel{seconds()}}
		groups := []*mdf4test.Group{master}
		const rows, channels = 4000, 40
		for i := range channels {
			groups = append(groups, &mdf4test.Group{Flags: mdf4test.GroupRemoteMaster, Master: master, Channels: []*mdf4test.Channel{field(fmt.Sprint("x", i), mdf4test.FloatLE, 64)}})
		}
		f := &mdf4test.File{Version: 420}
		for _, g := range groups {
			for i := range rows {
				g.Records = append(g.Records, mdf4test.LE(float64(i)))
			}
			f.Groups = append(f.Groups, &mdf4test.DataGroup{Groups: []*mdf4test.Group{g}, Storage: mdf4test.Storage{List: mdf4test.LD, Piece: 1000}})
		}
		data := f.Bytes()
		l := &long{head: data, size: int64(len(data))}
		format := New()
		d, err := format.Describe(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		before := l.bytes.Load()
		dec, err := format.Open(t.Context(), l, d, pipeline.Selection{Tables: []pipeline.TableSelection{{Table: d.Tables[0].Table, Columns: []string{"x17"}}}}, pipeline.DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer dec.Close()
		n := 0
		for {
			e, err := dec.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n += e.Batch.Rows()
			e.Batch.Release()
		}
		if read := l.bytes.Load() - before; n != rows || read > 8*rows+300<<10 {
			t.Errorf("%d rows, %d bytes read of %d", n, read, len(data))
		}
	})
}

// Cursors that are read by time end when they are closed early.
func TestCloseEarly(t *testing.T) {
	f, _ := unsorted(100, true)
	src := object(t, f.Bytes())
	format := New()
	d, err := format.Describe(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			dec, err := format.Open(t.Context(), src, d, pipeline.Selection{Order: pipeline.Order(n % 2)}, pipeline.DecodeOptions{Workers: 2, BatchRows: 3})
			if err != nil {
				t.Error(err)
				return
			}
			for range n {
				if e, err := dec.Next(t.Context()); err == nil {
					e.Batch.Release()
				}
			}
			if err := dec.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
}

func TestAddSeconds(t *testing.T) {
	for _, c := range []struct {
		start int64
		s     float64
		want  int64
		ok    bool
	}{
		{1e18, 0.1, 1e18 + 100000000, true}, {1e18, 0.0000000015, 1e18 + 2, true}, {1e18, -1, 1e18 - 1e9, true}, {5, 0, 5, true},
		{1e18, math.NaN(), 0, false}, {1e18, math.Inf(1), 0, false}, {math.MaxInt64 - 10, 1, 0, false}, {math.MinInt64 + 10, -1, 0, false}, {0, 1e300, 0, false},
	} {
		if got, ok := addSeconds(c.start, c.s); ok != c.ok || ok && got != c.want {
			t.Errorf("%d + %v s = %d, %v", c.start, c.s, got, ok)
		}
	}
}
