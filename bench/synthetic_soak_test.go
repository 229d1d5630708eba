//go:build soak

package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/budget"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/spill"
	"github.com/drivemill/drivemill/pipeline/store"
)

// chunkBytes is the size of a chunk of a synthetic recording, about, and
// chunkTime how long it lasts: 10 GB stay within a day, so that the lake has one
// partition.
const (
	chunkBytes = 4 << 20
	chunkTime  = 20e9
)

// synthetic is a recording that is nowhere: its chunks are made when they are
// read, all from one in which times are changed.
type synthetic struct {
	name       string
	head, tail []byte
	chunk      []byte
	times      []stampAt
	chunks     int64
	perChunk   int64 // messages
	mu         sync.Mutex
	at         int64 // the chunk that made is
	made       []byte
	read       int64
}

// stampAt is a time in a chunk.
type stampAt struct {
	off  int
	base int64
	bag  bool // as two uint32, of seconds and nanoseconds
}

func (s *synthetic) size() int64 {
	return int64(len(s.head)) + s.chunks*int64(len(s.chunk)) + int64(len(s.tail))
}

func (s *synthetic) Object() pipeline.Object {
	return pipeline.Object{URI: "mem://synthetic/" + s.name, Key: s.name, Size: s.size(), ETag: "synthetic"}
}

// copyAt copies what lies at off, up to the end of a piece.
func (s *synthetic) copyAt(p []byte, off int64) int {
	if off < int64(len(s.head)) {
		return copy(p, s.head[off:])
	}
	off -= int64(len(s.head))
	k := off / int64(len(s.chunk))
	if k >= s.chunks {
		return copy(p, s.tail[off-s.chunks*int64(len(s.chunk)):])
	}
	if s.made == nil || s.at != k {
		s.made, s.at = append(s.made[:0], s.chunk...), k
		for _, t := range s.times {
			v := t.base + k*chunkTime
			if t.bag {
				binary.LittleEndian.PutUint32(s.made[t.off:], uint32(v/1e9))
				binary.LittleEndian.PutUint32(s.made[t.off+4:], uint32(v%1e9))
			} else {
				binary.LittleEndian.PutUint64(s.made[t.off:], uint64(v))
			}
		}
	}
	return copy(p, s.made[off-k*int64(len(s.chunk)):])
}

func (s *synthetic) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(p) && off+int64(n) < s.size() {
		n += s.copyAt(p[n:], off+int64(n))
	}
	s.read += int64(n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *synthetic) Reader(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if n < 0 {
		n = s.size() - off
	}
	return &syntheticReader{ctx, s, off, off + n}, nil
}

type syntheticReader struct {
	ctx      context.Context
	s        *synthetic
	off, end int64
}

func (r *syntheticReader) Read(p []byte) (int, error) {
	if p = p[:min(int64(len(p)), r.end-r.off)]; len(p) == 0 {
		return 0, io.EOF
	}
	n, err := r.s.ReadAt(r.ctx, p, r.off)
	r.off += int64(n)
	return n, err
}

func (r *syntheticReader) Close() error { return nil }

// syntheticStore is a store with one recording.
type syntheticStore struct {
	pipeline.Store
	s *synthetic
}

func (syntheticStore) Root() string { return "mem://synthetic" }

func (x syntheticStore) List(_ context.Context, prefix string, fn func(pipeline.Object) error) error {
	if strings.HasPrefix(x.s.name, prefix) {
		return fn(x.s.Object())
	}
	return nil
}

func (x syntheticStore) Stat(context.Context, string) (pipeline.Object, error) {
	return x.s.Object(), nil
}

func (x syntheticStore) Open(context.Context, pipeline.Object) (pipeline.Source, error) {
	return x.s, nil
}

// messages calls fn with the messages of a chunk: channels are counted from 0.
func messages(fn func(channel int, seq uint32, t int64, data []byte)) {
	streams := Workload{}.streams()
	var buf []byte
	seq := make([]uint32, len(streams))
	total := 0
	for t := int64(0); total < chunkBytes; t += 10_000_000 {
		for i, s := range streams {
			if t%s.period == 0 {
				seq[i]++
				buf = s.encode(buf[:0], seq[i], start+t, rounded)
				total += len(buf)
				fn(i, seq[i], start+t/3, buf)
			}
		}
	}
}

var le = binary.LittleEndian

// syntheticMCAP is a recording with an index of its chunks.
func syntheticMCAP(size int64) *synthetic {
	s := &synthetic{name: "big.mcap"}
	record := func(b []byte, op byte, body []byte) []byte {
		return append(le.AppendUint64(append(b, op), uint64(len(body))), body...)
	}
	s.head = record([]byte("\x89MCAP0\r\n"), 1, str(str(nil, "ros1"), "synthetic"))
	var defs []byte
	for i, x := range (Workload{}).streams() {
		id := le.AppendUint16(nil, uint16(i+1))
		defs = record(defs, 3, str(str(str(id, x.typ), "ros1msg"), string(definition(x.typ))))
		defs = record(defs, 4, le.AppendUint32(str(str(le.AppendUint16(le.AppendUint16(nil, uint16(i+1)), uint16(i+1)), x.topic), "ros1"), 0))
	}
	s.head = append(s.head, defs...)
	const chunkHead = 9 + 8 + 8 + 8 + 4 + 4 + 8
	s.chunk = make([]byte, chunkHead)
	counts, last := make([]uint64, 3), int64(0)
	messages(func(channel int, seq uint32, t int64, data []byte) {
		body := le.AppendUint32(le.AppendUint16(nil, uint16(channel+1)), seq)
		at := len(s.chunk) + 9 + len(body)
		s.times = append(s.times, stampAt{off: at, base: t}, stampAt{off: at + 8, base: t})
		s.chunk = record(s.chunk, 5, append(append(body, make([]byte, 16)...), data...))
		counts[channel]++
		s.perChunk++
		last = t
	})
	records := uint64(len(s.chunk) - chunkHead)
	head := le.AppendUint64([]byte{6}, uint64(len(s.chunk)-9))
	head = le.AppendUint64(head, 0)
	head = le.AppendUint64(head, 0)
	head = le.AppendUint64(head, records)
	head = le.AppendUint32(head, 0)
	copy(s.chunk, le.AppendUint64(str(head, ""), records))
	s.times = append(s.times, stampAt{off: 9, base: start}, stampAt{off: 17, base: last})
	s.chunks = size / int64(len(s.chunk))

	s.tail = record(nil, 15, make([]byte, 4))
	at := int64(len(s.head)) + s.chunks*int64(len(s.chunk))
	summary := at + int64(len(s.tail))
	s.tail = append(s.tail, defs...)
	stats := le.AppendUint64(nil, uint64(s.chunks*s.perChunk))
	stats = le.AppendUint16(stats, 3)
	for _, n := range []uint32{3, 0, 0, uint32(s.chunks)} {
		stats = le.AppendUint32(stats, n)
	}
	stats = le.AppendUint64(stats, start)
	stats = le.AppendUint64(stats, uint64(last+(s.chunks-1)*chunkTime))
	stats = le.AppendUint32(stats, 30)
	for i, n := range counts {
		stats = le.AppendUint64(le.AppendUint16(stats, uint16(i+1)), n*uint64(s.chunks))
	}
	s.tail = record(s.tail, 11, stats)
	for k := range s.chunks {
		x := le.AppendUint64(nil, uint64(start+k*chunkTime))
		x = le.AppendUint64(x, uint64(last+k*chunkTime))
		x = le.AppendUint64(x, uint64(int64(len(s.head))+k*int64(len(s.chunk))))
		x = le.AppendUint64(x, uint64(len(s.chunk)))
		x = le.AppendUint32(x, 0) // no message indexes
		x = le.AppendUint64(x, 0)
		x = str(x, "")
		x = le.AppendUint64(x, records)
		s.tail = record(s.tail, 8, le.AppendUint64(x, records))
	}
	s.tail = record(s.tail, 2, le.AppendUint32(le.AppendUint64(le.AppendUint64(nil, uint64(summary)), 0), 0))
	s.tail = append(s.tail, "\x89MCAP0\r\n"...)
	return s
}

// syntheticBag is the same as a ROS 1 bag.
func syntheticBag(size int64) *synthetic {
	s := &synthetic{name: "big.bag"}
	field := func(name string, value []byte) []byte {
		return append(le.AppendUint32(nil, uint32(len(name)+1+len(value))), name+"="+string(value)...)
	}
	u32 := func(v uint32) []byte { return le.AppendUint32(nil, v) }
	bagTime := func(t int64) []byte { return le.AppendUint32(u32(uint32(t/1e9)), uint32(t%1e9)) }
	record := func(b []byte, op byte, data []byte, fields ...[]byte) []byte {
		head := field("op", []byte{op})
		for _, f := range fields {
			head = append(head, f...)
		}
		return append(append(append(append(b, u32(uint32(len(head)))...), head...), u32(uint32(len(data)))...), data...)
	}
	var conns []byte
	streams := Workload{}.streams()
	for i, x := range streams {
		data := append(field("type", []byte(x.typ)), field("md5sum", []byte("*"))...)
		data = append(data, field("message_definition", definition(x.typ))...)
		conns = record(conns, 7, data, field("conn", u32(uint32(i))), field("topic", []byte(x.topic)))
	}
	body := append([]byte(nil), conns...)
	counts, last := make([]uint32, 3), int64(0)
	messages(func(channel int, _ uint32, t int64, data []byte) {
		body = record(body, 2, data, field("time", make([]byte, 8)), field("conn", u32(uint32(channel))))
		// The time is the field behind op, each with a length before it.
		s.times = append(s.times, stampAt{off: len(body) - len(data) - 4 - len(field("conn", u32(0))) - 8, base: t, bag: true})
		counts[channel]++
		s.perChunk++
		last = t
	})
	s.chunk = record(nil, 5, body, field("compression", []byte("none")), field("size", u32(uint32(len(body)))))
	for i := range s.times {
		s.times[i].off += len(s.chunk) - len(body)
	}
	s.chunks = size / int64(len(s.chunk))
	pos := func(n int) []byte {
		fields := [][]byte{field("index_pos", le.AppendUint64(nil, uint64(int64(n)+s.chunks*int64(len(s.chunk))))), field("conn_count", u32(3)), field("chunk_count", u32(uint32(s.chunks)))}
		return record([]byte("#ROSBAG V2.0\n"), 3, []byte(strings.Repeat(" ", 100)), fields...)
	}
	s.head = pos(len(pos(0)))
	s.tail = conns
	for k := range s.chunks {
		var data []byte
		for i, n := range counts {
			data = append(append(data, u32(uint32(i))...), u32(n)...)
		}
		s.tail = record(s.tail, 6, data, field("ver", u32(1)), field("chunk_pos", le.AppendUint64(nil, uint64(int64(len(s.head))+k*int64(len(s.chunk))))),
			field("start_time", bagTime(start+k*chunkTime)), field("end_time", bagTime(last+k*chunkTime)), field("count", u32(3)))
	}
	return s
}

// TestSyntheticChild is one run, in a process of its own.
func TestSyntheticChild(t *testing.T) {
	kind, lake := os.Getenv("DRIVEMILL_SYNTHETIC"), os.Getenv("DRIVEMILL_SYNTHETIC_LAKE")
	if kind == "" {
		t.Skip("it is run by TestPeakOfTenGigabytes")
	}
	var gib int64
	if _, err := fmt.Sscan(os.Getenv("DRIVEMILL_SYNTHETIC_GIB"), &gib); err != nil {
		t.Fatal(err)
	}
	s := map[string]func(int64) *synthetic{"mcap": syntheticMCAP, "bag": syntheticBag}[kind](gib << 30)
	ctx := t.Context()
	reg := builtin.Registry()

	// Looking at it reads next to nothing.
	report, err := explore.Inspect(ctx, reg, s.Object().URI, s, explore.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for _, x := range report.Tables {
		rows += x.Rows
	}
	if rows != s.chunks*s.perChunk || s.read > 8<<20 {
		t.Errorf("inspect tells of %d rows, want %d; it read %d bytes of %d", rows, s.chunks*s.perChunk, s.read, s.size())
	}
	fmt.Printf("%s of %d GiB: %d rows, inspect reads %d KiB\n", kind, gib, rows, s.read>>10)

	open := func(ctx context.Context, uri string) (pipeline.Store, error) {
		st, err := store.Open(ctx, uri)
		if err == nil && strings.HasPrefix(uri, "mem://synthetic") {
			return syntheticStore{st, s}, nil
		}
		return st, err
	}
	// All rows are written, so that the smaller recording fills row groups, too.
	text := "pipeline: big\ninputs:\n  in: {uri: \"mem://synthetic/big.*\", clock: [log]}\noutputs:\n  lake: {use: parquet, from: in, uri: " + lake + "}\n"
	p, err := config.Load("big.yaml", []byte(text), config.LoadOptions{}, reg)
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.Build(ctx, p, reg, &runner.Env{Registry: reg, Open: open, Load: true})
	if err != nil {
		t.Fatal(err)
	}
	// Memory is divided as the program does it.
	cores := runtime.GOMAXPROCS(0)
	plan, err := budget.Divide(budget.Default(budget.Limit{}, cores), cores)
	if err != nil {
		t.Fatal(err)
	}
	debug.SetMemoryLimit(plan.Heap)
	r := &runner.Runner{Registry: reg, Graph: g, OpenStore: open, Budget: plan, Spill: spill.NewSpace(t.TempDir(), 0), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Progress: quiet{},
		Jobs: 1, Workers: plan.Workers, Now: time.Now, RunInfo: lineage.RunInfo{RunID: "01941f29-7c00-7087-8940-40e512c257bd", Namespace: "bench", Job: "bench"}}
	sum, err := r.Run(ctx)
	if err == nil {
		err = sum.Failure()
	}
	if err != nil || sum.Totals.Found != rows {
		t.Fatalf("%d rows found, want %d: %v", sum.Totals.Found, rows, err)
	}
}

// A recording of 10 GB takes at most a tenth more memory than one of 1 GB.
func TestPeakOfTenGigabytes(t *testing.T) {
	for _, kind := range []string{"mcap", "bag"} {
		var peak [2]int64
		for i, gib := range []int{1, 10} {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestSyntheticChild$", "-test.v")
			cmd.Env = append(os.Environ(), "DRIVEMILL_SYNTHETIC="+kind, fmt.Sprint("DRIVEMILL_SYNTHETIC_GIB=", gib), "DRIVEMILL_SYNTHETIC_LAKE="+filepath.Join(t.TempDir(), "lake"))
			begin := time.Now()
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "inspect reads") {
					t.Log(strings.TrimSpace(line))
				}
			}
			peak[i] = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
			t.Logf("%s of %2d GiB: peak memory %d MiB, %.0f s", kind, gib, peak[i]>>20, time.Since(begin).Seconds())
		}
		ratio := float64(peak[1]) / float64(peak[0])
		t.Logf("%s: %.2f times as much for ten times the size", kind, ratio)
		if ratio > 1.1 {
			t.Errorf("%s: %.2f times as much memory for ten times the size", kind, ratio)
		}
	}
}
