package rosbag2

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/store"
)

const largePage = 65536

// largeDB is a database that is nowhere: behind some pages of a small one lie
// leaves that are made when they are read, each with one message, and then the
// interior pages.
type largeDB struct {
	mu       sync.Mutex
	small    []byte
	leaf     []byte // with rowid and time of eight bytes each at
	row, at  int
	leaves   int64
	interior [][]byte
	read     atomic.Int64
}

// makeLarge makes a database of a number of leaves.
func makeLarge(t *testing.T, leaves int64) *largeDB {
	t.Helper()
	d := talk(0, 1)
	d.PageSize, d.NoIndex = largePage, true
	l := &largeDB{small: d.Bytes(), leaves: leaves}
	db, file, err := openDatabase(t.Context(), inMemory{"x_0.db3", l.small})
	if err != nil {
		t.Fatal(err)
	}
	// A record of topic, time and data, in a cell that fills a leaf.
	data := text(strings.Repeat("x", 65000))
	serial := uint64(12 + 2*len(data))
	record := []byte{7, 0, 1, 6, byte(serial>>14) | 0x80, byte(serial>>7) | 0x80, byte(serial) & 0x7f, 1}
	l.at = len(record)
	record = append(append(record, make([]byte, 8)...), data...)
	cell := []byte{byte(len(record)>>14) | 0x80, byte(len(record)>>7) | 0x80, byte(len(record)) & 0x7f, 0x80, 0x80, 0x80, 0x80, 0}
	start := largePage - len(cell) - len(record)
	l.leaf = make([]byte, largePage)
	l.leaf[0] = 13
	binary.BigEndian.PutUint16(l.leaf[3:], 1)
	binary.BigEndian.PutUint16(l.leaf[8:], uint16(start))
	copy(l.leaf[start:], append(cell, record...))
	l.row, l.at = start+3, start+len(cell)+l.at

	first := int64(len(l.small)/largePage) + 1
	page := func(children []uint32) []byte {
		p := make([]byte, largePage)
		p[0] = 5
		last := len(children) - 1
		binary.BigEndian.PutUint16(p[3:], uint16(last))
		binary.BigEndian.PutUint32(p[8:], children[last])
		for i, c := range children[:last] {
			at := largePage - 6*(i+1)
			binary.BigEndian.PutUint16(p[12+2*i:], uint16(at))
			binary.BigEndian.PutUint32(p[at:], c)
		}
		return p
	}
	var children, top []uint32
	for i := range leaves {
		children = append(children, uint32(first+i))
		if len(children) == 8000 || i == leaves-1 {
			l.interior = append(l.interior, page(children))
			top = append(top, uint32(first+leaves+int64(len(l.interior))-1))
			children = nil
		}
	}
	copy(l.small[int64(db.messages.Root-1)*largePage:], page(top))
	binary.BigEndian.PutUint32(l.small[28:], uint32(l.Object().Size/largePage))
	if file.PageSize() != largePage {
		t.Fatal(file.PageSize())
	}
	return l
}

func (l *largeDB) Object() pipeline.Object {
	return pipeline.Object{URI: "mem://x_0.db3", Key: "x_0.db3", Size: int64(len(l.small)) + (l.leaves+int64(len(l.interior)))*largePage}
}

func (l *largeDB) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(p) && off+int64(n) < l.Object().Size {
		at := off + int64(n)
		if at < int64(len(l.small)) {
			n += copy(p[n:], l.small[at:])
			continue
		}
		k := (at - int64(len(l.small))) / largePage
		in := (at - int64(len(l.small))) % largePage
		if k >= l.leaves {
			n += copy(p[n:], l.interior[k-l.leaves][in:])
			continue
		}
		for i := range 5 {
			l.leaf[l.row+i] = byte((k+1)>>(7*(4-i)))&0x7f | 0x80
		}
		l.leaf[l.row+4] &= 0x7f
		binary.BigEndian.PutUint64(l.leaf[l.at:], uint64(1e18+k))
		n += copy(p[n:], l.leaf[in:])
	}
	l.read.Add(int64(n))
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (l *largeDB) Reader(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if n < 0 {
		n = l.Object().Size - off
	}
	return io.NopCloser(io.NewSectionReader(largeReader{l}, off, min(n, l.Object().Size-off))), nil
}

type largeReader struct{ *largeDB }

func (r largeReader) ReadAt(p []byte, off int64) (int, error) {
	return r.largeDB.ReadAt(context.Background(), p, off)
}

// Rows of 50 GB come as pages are read: nothing is sorted or gathered before,
// and memory is that of a few blocks.
func Test31FiftyGigabytes(t *testing.T) {
	l := makeLarge(t, 50<<30/largePage)
	yaml := strings.ReplaceAll(string(meta(5, map[string]*bagtest.DB{"x_0.db3": talk(0, 1)}, "")), "message_count: 1\n", fmt.Sprintf("message_count: %d\n", l.leaves))
	st, err := store.Open(t.Context(), t.TempDir()) // nothing lies beside it
	if err != nil {
		t.Fatal(err)
	}
	src := &bagSource{Source: l, st: st, parts: []pipeline.Source{inMemory{MetadataFile, []byte(yaml)}, l}}
	f := New(cdr.Encoding{})
	d, err := f.Describe(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if d.Tables[0].Rows != l.leaves || l.read.Load() > 1<<20 {
		t.Errorf("%d rows of %d are told, after reading %d bytes; problems %+v", d.Tables[0].Rows, l.leaves, l.read.Load(), d.Problems)
	}
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	dec, err := f.Open(t.Context(), src, d, pipeline.Selection{}, pipeline.DecodeOptions{Allocator: mem, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	l.read.Store(0)
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	before, peak, rows := stats.HeapInuse, uint64(0), 0
	for rows < 3000 {
		el, err := dec.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if el.Batch != nil {
			rows += el.Batch.Rows()
			el.Batch.Release()
		}
		runtime.ReadMemStats(&stats)
		peak = max(peak, stats.HeapInuse)
	}
	if err := dec.Close(); err != nil {
		t.Error(err)
	}
	if read := l.read.Load() / largePage; read > 2*int64(rows) {
		t.Errorf("%d rows took %d pages", rows, read)
	}
	if grown := int64(peak) - int64(before); grown > 128<<20 {
		t.Errorf("%d MiB of memory for %d MiB of rows", grown>>20, rows*largePage>>20)
	}
}

// An unreadable leaf costs its rows, and what it does to the numbers of those
// behind it is told.
func Test15UnreadableLeaf(t *testing.T) {
	db := talk(0, 3000)
	data := slices.Clone(db.Bytes())
	info, file, err := openDatabase(t.Context(), inMemory{"x_0.db3", data})
	if err != nil {
		t.Fatal(err)
	}
	p := file.NewPager()
	defer p.Close()
	c := file.NewCursor(p, info.messages.Root)
	var leaves []uint32
	for {
		n, _, err := c.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, n)
	}
	whole := readAll(t, bag(t, map[string][]byte{"x_0.db3": db.Bytes()}))
	bad := leaves[len(leaves)/2]
	data[int(bad-1)*file.PageSize()] = 7
	r := readAll(t, bag(t, map[string][]byte{"x_0.db3": data}))
	if p := r.has("bad_page"); p == nil || !p.Loses || p.Offset != int64(bad-1)*4096 || !strings.Contains(p.Detail, "numbered as if it held none") {
		t.Errorf("problems %+v", r.problems)
	}
	lost := len(whole.rows) - len(r.rows)
	if lost < 10 || lost > 200 {
		t.Errorf("%d rows are lost", lost)
	}
	i := 0
	for _, x := range r.rows {
		for i < len(whole.rows) && (whole.rows[i].cells != x.cells || whole.rows[i].table != x.table) {
			i++
		}
		if i == len(whole.rows) {
			t.Fatalf("%+v is no row of the whole file", x)
		}
	}
}
