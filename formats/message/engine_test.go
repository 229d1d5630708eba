package message_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// pairs is a layout of an int64 and a string, for messages that are eight
// bytes and a text. Messages that begin with 0xff or are too short are bad.
type pairs struct{}

func (pairs) Fields() []arrow.Field {
	return []arrow.Field{{Name: "number", Type: arrow.Int64Type}, {Name: "text", Type: arrow.StringType}, {Name: "log_time", Type: arrow.Int64Type}}
}
func (pairs) HeaderStamp() string { return "" }
func (p pairs) Compile(columns []string) (message.Plan, error) {
	var plan pairPlan
	for _, f := range p.Fields() {
		if columns == nil || slices.Contains(columns, f.Name) {
			plan = append(plan, f.Name)
		}
	}
	return plan, nil
}

type pairPlan []string

type badMessage struct{}

func (badMessage) Error() string  { return "message begins with 0xff" }
func (badMessage) Reason() string { return "bad_first_byte" }

func (p pairPlan) Append(cols []*column.Column, data []byte, spans []message.Span) (int, error) {
	for i, s := range spans {
		msg := data[s.Start:s.End]
		if len(msg) < 8 || msg[0] == 0xff {
			return i, badMessage{}
		}
		for k, c := range cols {
			switch p[k] {
			case "text":
				c.AppendBytes(msg[8:])
			case "number":
				c.AppendFixed(msg[:8])
			default:
				c.AppendInt64(int64(len(msg)))
			}
		}
	}
	return len(spans), nil
}

// msg is one message of a synthetic recording.
type msg struct {
	channel int32
	time    int64
	data    []byte
}

// shelf walks blocks that lie in memory.
type shelf struct {
	blocks [][]msg
	// order of fetching, with the ordinals and minima LogOrder wants.
	order    []int
	ordinals []int64
	minLater []int64
	next     int
	skip     []message.ChannelCount
	failAt   int // block whose Unpack fails, -1 none
	closed   atomic.Int32
}

func newShelf(blocks [][]msg, order pipeline.Order) *shelf {
	s := &shelf{blocks: blocks, failAt: -1}
	starts := make([]int64, len(blocks))
	at := int64(0)
	for i, b := range blocks {
		s.order = append(s.order, i)
		s.ordinals = append(s.ordinals, at)
		at += int64(len(b))
		starts[i] = 1 << 62
		for _, m := range b {
			starts[i] = min(starts[i], m.time)
		}
	}
	if order == pipeline.LogOrder {
		slices.SortStableFunc(s.order, func(a, b int) int { return int(starts[a] - starts[b]) })
	}
	s.minLater = make([]int64, len(blocks))
	low := int64(1 << 62)
	for k := len(s.order) - 1; k >= 0; k-- {
		s.minLater[k] = low
		low = min(low, starts[s.order[k]])
	}
	return s
}

func (s *shelf) Fetch(ctx context.Context, b *message.Block) error {
	if s.next == len(s.order) {
		return io.EOF
	}
	i := s.order[s.next]
	b.Offset = int64(1000 * i)
	b.Ordinal = s.ordinals[i]
	b.MinLater = s.minLater[s.next]
	if s.next == 0 {
		b.Skipped = append(b.Skipped, s.skip...)
	}
	b.RawSize = int64(i) // which block it is
	s.next++
	return nil
}

func (s *shelf) Unpack(ctx context.Context, b *message.Block) error {
	i := int(b.RawSize)
	if i == s.failAt {
		return fmt.Errorf("block %d: %w", i, pipeline.ErrCorrupt)
	}
	for k, m := range s.blocks[i] {
		at := uint32(len(b.Buffer))
		b.Buffer = append(b.Buffer, m.data...)
		b.Records = append(b.Records, message.Record{Channel: m.channel, Sequence: uint32(k), LogTime: m.time, Span: message.Span{Start: at, End: uint32(len(b.Buffer))}})
	}
	b.Data = b.Buffer
	return nil
}

func (s *shelf) Close() error {
	s.closed.Add(1)
	return nil
}

var envelope = []message.Envelope{message.LogTime, message.PublishTime, message.Sequence}

// tables makes n tables: even ones are pairs, odd ones raw.
func tables(t testing.TB, n int) (out []*message.Table, channels []int32) {
	for i := range n {
		var l message.Layout
		if i%2 == 0 {
			l = pairs{}
		}
		tab, err := message.NewTable(fmt.Sprintf("/t%d", i), envelope, l, nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tab)
		channels = append(channels, int32(i))
	}
	return out, channels
}

func pair(n int64, text string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(n)), text...)
}

// outcome is all that a decoder delivered.
type outcome struct {
	rows    map[string][]string // by table
	cuts    []string            // batches and marks
	counts  []pipeline.TableCounts
	rejects []string
	err     error
}

func run(t testing.TB, cfg message.Config) outcome {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	out := outcome{rows: map[string][]string{}}
	cfg.Options.Allocator = mem
	cfg.Format, cfg.Object = "shelf", "mem:x"
	if cfg.Options.Reject == nil {
		cfg.Options.Reject = func(b pipeline.BadRow) error {
			out.rejects = append(out.rejects, fmt.Sprintf("%s %d @%d %s %x", b.Table, b.Record, b.Offset, b.Reason, b.Raw))
			return nil
		}
	}
	e, err := message.NewEngine(t.Context(), cfg)
	if err != nil {
		out.err = err
		return out
	}
	defer e.Close()
	mark := int64(-1)
	for {
		el, err := e.Next(t.Context())
		if err != nil {
			if !errors.Is(err, io.EOF) {
				out.err = err
			}
			break
		}
		if el.Batch == nil {
			if el.Mark.Record <= mark {
				t.Fatalf("watermark %v after %d", el.Mark, mark)
			}
			mark = el.Mark.Record
			out.cuts = append(out.cuts, el.Mark.String())
			continue
		}
		b := el.Batch
		rec := b.Record
		if rec.NumRows() == 0 || !rec.Schema().Equal(b.Table.Schema) {
			t.Fatalf("batch of %d rows of %s", rec.NumRows(), b.Table.Name)
		}
		for i := range int(rec.NumRows()) {
			if cfg.Selection.Order == pipeline.StorageOrder && b.Origin.At(i) < mark {
				t.Fatalf("record %d after watermark %d", b.Origin.At(i), mark)
			}
			var sb strings.Builder
			fmt.Fprintf(&sb, "%d", b.Origin.At(i))
			for c := range int(rec.NumCols()) {
				fmt.Fprintf(&sb, " %s=%s", rec.ColumnName(c), rec.Column(c).ValueStr(i))
			}
			out.rows[b.Table.Name] = append(out.rows[b.Table.Name], sb.String())
		}
		out.cuts = append(out.cuts, fmt.Sprintf("%s %d %d", b.Table.Name, b.Origin.First, b.Rows()))
		b.Release()
	}
	out.counts = e.Counts()
	for _, c := range out.counts {
		sum := c.Decoded + c.Unselected
		for _, n := range c.Rejected {
			sum += n
		}
		if out.err == nil && (sum != c.Found || c.Indexed >= 0 && c.Indexed != c.Found+c.Lost) {
			t.Fatalf("counts do not balance: %+v", c)
		}
	}
	return out
}

func TestTableNames(t *testing.T) {
	tab, err := message.NewTable("/x", envelope, pairs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"log_time", "publish_time", "sequence", "number", "text", ""}
	got := tab.ColumnNames()
	if len(got) != 6 || !strings.HasPrefix(got[5], "log_time_") || len(got[5]) != len("log_time_")+6 {
		t.Fatalf("columns %v", got)
	}
	want[5] = got[5]
	if !slices.Equal(got, want) {
		t.Fatalf("columns %v", got)
	}
	if v, _ := tab.Schema.Field(5).Metadata.GetValue(pipeline.MetaSource); v != "log_time" {
		t.Fatalf("source name %q", v)
	}
	if c := tab.Clocks; len(c) != 2 || c[0].Name != "log" || c[1].Column != "publish_time" {
		t.Fatalf("clocks %v", c)
	}
}

func TestRowsCountsAndRejects(t *testing.T) {
	blocks := [][]msg{
		{{0, 5, pair(1, "a")}, {1, 6, []byte("raw")}, {0, 7, []byte{0xff, 1}}, {0, 8, pair(2, "b")}},
		{},
		{{7, 9, []byte("lost")}, {0, -1, pair(3, "c")}, {2, 10, pair(4, "")}, {0, 20, pair(5, "late")}},
	}
	for _, workers := range []int{1, 4} {
		tabs, channels := tables(t, 3)
		w := newShelf(blocks, pipeline.StorageOrder)
		w.ordinals = make([]int64, 3)
		w.skip = []message.ChannelCount{{Channel: 1, Count: 3}}
		got := run(t, message.Config{Walker: w, Tables: tabs, Channels: channels,
			Selection: pipeline.Selection{To: 20, Tables: []pipeline.TableSelection{{Table: tabs[0].Table, Columns: []string{"text", "log_time"}}, {Table: tabs[1].Table}}},
			Options:   pipeline.DecodeOptions{Workers: workers, Steps: true}})
		if got.err != nil {
			t.Fatal(got.err)
		}
		wantRows := map[string][]string{
			"/t0": {"3 log_time=1970-01-01 00:00:00.000000005Z text=a", "6 log_time=1970-01-01 00:00:00.000000008Z text=b"},
			"/t1": {"4 log_time=1970-01-01 00:00:00.000000006Z publish_time=1970-01-01 00:00:00Z sequence=1 data=cmF3"},
		}
		if !reflect.DeepEqual(got.rows, wantRows) {
			t.Errorf("rows %v", got.rows)
		}
		if want := []string{"/t0 5 @0 bad_first_byte ff01", " 7 @2000 unknown_channel 6c6f7374", "/t0 8 @2000 time_out_of_range 030000000000000063"}; !slices.Equal(got.rejects, want) {
			t.Errorf("rejects %q", got.rejects)
		}
		if want := []string{"/t0 3 2", "/t1 4 1", "*@0:7", "*@0:11"}; !slices.Equal(got.cuts, want) {
			t.Errorf("cuts %q", got.cuts)
		}
		wantCounts := []pipeline.TableCounts{
			{Table: "/t0", Found: 5, Decoded: 2, Unselected: 1, Rejected: map[string]int64{"bad_first_byte": 1, "time_out_of_range": 1}, Indexed: -1, Bytes: 9 + 2 + 9 + 9 + 12},
			{Table: "/t1", Found: 4, Decoded: 1, Unselected: 3, Indexed: -1, Bytes: 3},
			{Table: "/t2", Found: 1, Unselected: 1, Indexed: -1, Bytes: 8},
			{Found: 1, Rejected: map[string]int64{"unknown_channel": 1}, Indexed: -1, Bytes: 4},
		}
		if !reflect.DeepEqual(got.counts, wantCounts) {
			t.Errorf("counts %+v", got.counts)
		}
		if w.closed.Load() != 1 {
			t.Errorf("walker closed %d times", w.closed.Load())
		}
	}
}

func TestErrors(t *testing.T) {
	tabs, channels := tables(t, 1)
	cfg := func() message.Config {
		return message.Config{Walker: newShelf([][]msg{{{0, 1, pair(1, "a")}}, {{0, 2, pair(2, "b")}, {0, 3, []byte{0xff}}}}, pipeline.StorageOrder), Tables: tabs, Channels: channels}
	}
	c := cfg()
	boom := errors.New("boom")
	c.Options.Reject = func(pipeline.BadRow) error { return boom }
	if got := run(t, c); !errors.Is(got.err, boom) {
		t.Errorf("error %v", got.err)
	}
	c = cfg()
	c.Walker.(*shelf).failAt = 1
	got := run(t, c)
	var d *pipeline.DecodeError
	if !errors.As(got.err, &d) || d.Offset != 1000 || d.Object != "mem:x" || !errors.Is(got.err, pipeline.ErrCorrupt) {
		t.Errorf("error %v", got.err)
	}
	c = cfg()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	c.Options.Allocator = mem
	c.Format, c.Object = "shelf", "mem:x"
	e, err := message.NewEngine(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Next(t.Context())
	if !errors.As(err, &d) || d.Table != "/t0" || d.Record != 2 || d.Format != "shelf" {
		t.Errorf("error %v", err)
	}
	if _, again := e.Next(t.Context()); again != err {
		t.Errorf("then %v", again)
	}
	e.Close()
	for _, sel := range [][]pipeline.TableSelection{
		{{Table: &pipeline.Table{Name: "/none"}}}, {{Table: tabs[0].Table}, {Table: tabs[0].Table}}, {{Table: tabs[0].Table, Columns: []string{"nope"}}},
	} {
		c = cfg()
		c.Selection.Tables = sel
		if got := run(t, c); !errors.Is(got.err, pipeline.ErrSchema) || c.Walker.(*shelf).closed.Load() != 1 {
			t.Errorf("selection %v: %v", sel, got.err)
		}
	}
}

// blocksOf draws a recording of up to 12 blocks over n channels.
func blocksOf(t *rapid.T, n int) [][]msg {
	var blocks [][]msg
	now := int64(0)
	for range rapid.IntRange(0, 12).Draw(t, "blocks") {
		var b []msg
		for range rapid.IntRange(0, 40).Draw(t, "messages") {
			now += rapid.Int64Range(0, 3).Draw(t, "step")
			data := pair(now, strings.Repeat("x", rapid.IntRange(0, 30).Draw(t, "length")))
			if rapid.IntRange(0, 15).Draw(t, "bad") == 0 {
				data[0] = 0xff
			}
			b = append(b, msg{int32(rapid.IntRange(0, n-1).Draw(t, "channel")), max(0, now-rapid.Int64Range(0, 20).Draw(t, "back")), data})
		}
		blocks = append(blocks, b)
	}
	return blocks
}

func TestBatchesDoNotDependOnWorkers(t *testing.T) {
	tabs, channels := tables(t, 4)
	rapid.Check(t, func(rt *rapid.T) {
		blocks := blocksOf(rt, 4)
		for _, order := range []pipeline.Order{pipeline.StorageOrder, pipeline.LogOrder} {
			var plain outcome
			for _, rows := range []int{0, 1, 7} {
				var first outcome
				for i, workers := range []int{1, 3} {
					got := run(t, message.Config{Walker: newShelf(blocks, order), Tables: tabs, Channels: channels,
						Selection: pipeline.Selection{Order: order, From: 2, To: 300},
						Options:   pipeline.DecodeOptions{Workers: workers, BatchRows: rows, BatchBytes: 500}})
					if i == 0 {
						first = got
					} else if !reflect.DeepEqual(got, first) {
						rt.Fatalf("workers change the result:\n%v\n%v", first, got)
					}
				}
				if rows == 0 {
					plain = first
				} else if !reflect.DeepEqual(first.rows, plain.rows) {
					rt.Fatalf("batch rows %d change the rows:\n%v\n%v", rows, first.rows, plain.rows)
				}
			}
			checkRows(rt, blocks, order, plain)
		}
	})
}

// checkRows compares with a list made the simple way.
func checkRows(t *rapid.T, blocks [][]msg, order pipeline.Order, got outcome) {
	type at struct {
		m       msg
		ordinal int
	}
	byTable := map[string][]at{}
	n := 0
	for _, b := range blocks {
		for _, m := range b {
			if m.time >= 2 && m.time < 300 && (m.channel%2 == 1 || m.data[0] != 0xff) {
				name := fmt.Sprintf("/t%d", m.channel)
				byTable[name] = append(byTable[name], at{m, n})
			}
			n++
		}
	}
	total := 0
	for name, list := range byTable {
		if order == pipeline.LogOrder {
			slices.SortStableFunc(list, func(a, b at) int { return int(a.m.time - b.m.time) })
		}
		rows := got.rows[name]
		if len(rows) != len(list) {
			t.Fatalf("%s: %d rows, want %d", name, len(rows), len(list))
		}
		for i, a := range list {
			want := fmt.Sprintf("%d log_time=%s ", a.ordinal, time.Unix(0, a.m.time).UTC().Format("2006-01-02 15:04:05.999999999Z"))
			if !strings.HasPrefix(rows[i], want) {
				t.Fatalf("%s row %d: %s, want %s", name, i, rows[i], want)
			}
		}
		total += len(list)
	}
	for _, c := range got.counts {
		total -= int(c.Decoded)
	}
	if total != 0 {
		t.Fatalf("counts tell %d rows less", total)
	}
}

func TestCloseEarly(t *testing.T) {
	before := runtime.NumGoroutine()
	tabs, channels := tables(t, 3)
	var blocks [][]msg
	for i := range 50 {
		var b []msg
		for k := range 100 {
			b = append(b, msg{int32(k % 3), int64(i), pair(int64(k), "text")})
		}
		blocks = append(blocks, b)
	}
	for stop := range 20 {
		for _, order := range []pipeline.Order{pipeline.StorageOrder, pipeline.LogOrder} {
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			ctx, cancel := context.WithCancel(t.Context())
			w := newShelf(blocks, order)
			e, err := message.NewEngine(ctx, message.Config{Walker: w, Tables: tabs, Channels: channels,
				Selection: pipeline.Selection{Order: order},
				Options:   pipeline.DecodeOptions{Allocator: mem, Workers: 2, BatchRows: 64}})
			if err != nil {
				t.Fatal(err)
			}
			for range stop {
				el, err := e.Next(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if el.Batch != nil {
					el.Batch.Release()
				}
			}
			if stop%2 == 1 {
				cancel()
				for {
					el, err := e.Next(t.Context())
					if err != nil {
						if !errors.Is(err, context.Canceled) && !errors.Is(err, io.EOF) {
							t.Fatal(err)
						}
						break
					}
					if el.Batch != nil {
						el.Batch.Release()
					}
				}
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if e.Close() != nil || w.closed.Load() != 1 {
				t.Fatal("second Close")
			}
			if _, err := e.Next(t.Context()); err == nil {
				t.Fatal("Next after Close")
			}
			cancel()
			mem.AssertSize(t, 0)
		}
	}
	for i := 0; runtime.NumGoroutine() > before && i < 100; i++ {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Fatalf("%d goroutines, %d before", n, before)
	}
}

func TestManyTables(t *testing.T) {
	tabs, channels := tables(t, 5000)
	var b []msg
	for i := range 5000 {
		b = append(b, msg{int32(i), 1, pair(int64(i), "one row")})
	}
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	got := run(t, message.Config{Walker: newShelf([][]msg{b[:2500], b[2500:]}, 0), Tables: tabs, Channels: channels})
	runtime.ReadMemStats(&m1)
	if got.err != nil || len(got.rows) != 5000 {
		t.Fatalf("%d tables, %v", len(got.rows), got.err)
	}
	if n := (m1.TotalAlloc - m0.TotalAlloc) / 5000; n > 16<<10 {
		t.Errorf("%d bytes allocated for each table of one row", n)
	}
}
