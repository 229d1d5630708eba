package rosbag

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

func Test11IndexOffsetsAreNotUsed(t *testing.T) {
	// The entry of the first message tells where the connection before it is.
	b := &bag{}
	b.connect(0, "/a")
	b.write(0, at(1, 0), "m0")
	binary.LittleEndian.PutUint32(b.index[0][8:], 0)
	equal(t, "messages", everything(t, b.closed()).payloads(), names(1))
}

func Test15DuplicateTopics(t *testing.T) {
	b := &bag{}
	b.connect(0, "/a", "callerid", "/two")
	b.connect(1, "/a", "callerid", "/one")
	b.declare(conn{2, "/a", strType, "ABCDEF00112233445566778899aabbcc", "string data\nstring more\n", nil})
	b.declare(conn{3, "/a", "std_msgs/Int32", "da5909fbe378aeaf85e547e830cc1bb7", "int32 data\n", nil})
	b.declare(conn{4, "/a", "other_msgs/Int32", "da5909fbe378aeaf85e547e830cc1bb7", "int32 data\n", nil})
	b.declare(conn{5, "/w", strType, "*", strDef, nil})
	b.declare(conn{6, "/w", strType, "*", "string data\n\n", nil})
	b.connect(7, "/a#abcdef")
	for i := range uint32(8) {
		b.write(i, at(i, 0), fmt.Sprintf("m%d", i))
	}
	for _, data := range [][]byte{b.closed(), b.unclosed()} {
		r := everything(t, data)
		tables := []string{}
		for _, ti := range r.d.Tables {
			tables = append(tables, ti.Table.Name)
		}
		want := []string{"/a", "/a#abcdef0", "/a#da5909", "", "/w", "", "/a#abcdef"}
		if len(tables) != 7 {
			t.Fatalf("tables %v", tables)
		}
		for i, w := range want {
			if w != "" && tables[i] != w || !strings.HasPrefix(tables[i], b.conns[[]int{0, 2, 3, 4, 5, 6, 7}[i]].topic) {
				t.Errorf("table %d is %s, want %s", i, tables[i], w)
			}
		}
		equal(t, "rows of /a", r.d.Tables[0].Rows, 2)
		equal(t, "callers", r.d.Tables[0].Table.Attributes["callerid"], "/one,/two")
		equal(t, "messages", r.payloads(), names(8))
		equal(t, "table of m1", r.rows[1].table, "/a")
	}
}

func Test16Attributes(t *testing.T) {
	b := &bag{}
	b.connect(0, "/bare")
	b.connect(1, "/full", "callerid", "/node", "latching", "1", "topic", "/before", "tcp_nodelay", "0")
	r := everything(t, b.closed())
	for i, want := range []map[string]string{
		{"type": strType, "md5": strMD5, "latching": "false"},
		{"type": strType, "md5": strMD5, "latching": "true", "callerid": "/node", "tcp_nodelay": "0"},
	} {
		if got := r.d.Tables[i].Table.Attributes; !reflect.DeepEqual(got, want) {
			t.Errorf("attributes %v, want %v", got, want)
		}
	}
}

func Test17LargeConnectionIDs(t *testing.T) {
	b := &bag{}
	for i, id := range []uint32{70000, 1<<32 - 1, 3} {
		b.connect(id, fmt.Sprintf("/t%d", i))
		b.write(id, at(1, 0), fmt.Sprintf("m%d", i))
	}
	for _, data := range [][]byte{b.closed(), b.unclosed()} {
		r := everything(t, data)
		equal(t, "messages", r.payloads(), names(3))
		equal(t, "tables", []string{r.rows[0].table, r.rows[1].table, r.rows[2].table}, "[/t0 /t1 /t2]")
	}
}

func Test18LogOrder(t *testing.T) {
	b := (&bag{}).drive()
	storage := everything(t, b.closed())
	for _, data := range [][]byte{b.closed(), b.unclosed()} {
		for _, opt := range []pipeline.DecodeOptions{{Workers: 1}, {Workers: 4, BatchRows: 2}, {Workers: 2, BatchRows: 1}} {
			checkLogOrder(t, read(t, data, pipeline.Selection{Order: pipeline.LogOrder}, opt), storage)
		}
	}
}

// selecting returns the selection of one table of the drive.
func selecting(t testing.TB, d *pipeline.Description, name string) pipeline.Selection {
	for _, ti := range d.Tables {
		if ti.Table.Name == name {
			return pipeline.Selection{Tables: []pipeline.TableSelection{{Table: ti.Table}}}
		}
	}
	t.Fatalf("no table %s", name)
	return pipeline.Selection{}
}

func Test19TopicInFirstAndLastChunk(t *testing.T) {
	b := &bag{}
	b.connect(0, "/rare")
	b.connect(1, "/bulk")
	b.write(0, at(1, 0), "first")
	b.endChunk()
	for i := range uint32(5) {
		b.write(1, at(2+i, 0), strings.Repeat("x", 1<<20))
		b.endChunk()
	}
	b.write(0, at(9, 0), "last")
	for _, data := range [][]byte{b.closed(), b.unclosed()} {
		src := inMemory(data)
		d, err := New().Describe(context.Background(), src)
		if err != nil {
			t.Fatal(err)
		}
		src.bytes.Store(0)
		for _, order := range []pipeline.Order{pipeline.StorageOrder, pipeline.LogOrder} {
			sel := selecting(t, d, "/rare")
			sel.Order = order
			r := decode(t, src, d, sel, pipeline.DecodeOptions{Workers: 2})
			equal(t, "messages", r.payloads(), []string{"first", "last"})
			equal(t, "records", []int64{r.rows[0].record, r.rows[1].record}, "[0 6]")
			equal(t, "not selected", r.counts["/bulk"], pipeline.TableCounts{Table: "/bulk", Found: 5, Unselected: 5, Indexed: 5})
			// Only the other topic: what comes after the last chunk counts too.
			equal(t, "bulk", len(decode(t, src, d, selecting(t, d, "/bulk"), pipeline.DecodeOptions{}).rows), 5)
		}
		if n := src.bytes.Load() - 10<<20 - 10*60; n > 20_000 || n < 0 {
			t.Errorf("%d bytes were read for the rare topic", n)
		}
	}
}

func Test20TimeRange(t *testing.T) {
	b := &bag{}
	b.connect(0, "/a")
	for i := range uint32(6) {
		b.write(0, at(10+i, 0), fmt.Sprintf("m%d", i))
		if i%2 == 1 {
			b.endChunk()
		}
	}
	for _, data := range [][]byte{b.closed(), b.unclosed()} {
		for _, c := range []struct {
			from, to int64
			want     string
		}{
			{0, 0, "[m0 m1 m2 m3 m4 m5]"},
			{11e9, 14e9, "[m1 m2 m3]"}, // from inclusive, to exclusive
			{11e9, 0, "[m1 m2 m3 m4 m5]"},
			{11e9 + 1, 12e9, "[]"},
			{11e9 + 1, 12e9 + 1, "[m2]"},
			{15e9, 16e9, "[m5]"},
			{0, 10e9, "[]"},
			{99e9, 0, "[]"},
		} {
			r := read(t, data, pipeline.Selection{From: c.from, To: c.to}, pipeline.DecodeOptions{Workers: 2})
			equal(t, fmt.Sprint(c), r.payloads(), c.want)
			if n := r.counts["/a"]; n.Found != 6 || n.Decoded != int64(len(r.rows)) || n.Lost != 0 {
				t.Errorf("%v: counts %+v", c, n)
			}
			for _, w := range r.rows {
				equal(t, "record", "m"+fmt.Sprint(w.record), w.data)
			}
		}
	}
}

func Test21ExtremeTimes(t *testing.T) {
	b := &bag{}
	b.connect(0, "/a")
	b.write(0, at(0, 0), "m0")
	b.write(0, at(4294967295, 999999999), "m1")
	for _, data := range [][]byte{b.closed(), b.unclosed()} {
		r := everything(t, data)
		equal(t, "times", []int64{r.rows[0].time, r.rows[1].time}, []int64{0, 4294967295_999999999})
		equal(t, "range", []int64{r.d.Start, r.d.End}, []int64{0, 4294967295_999999999})
	}
}

func Test29SilentConnection(t *testing.T) {
	b := (&bag{noChunk: true}).drive()
	b.connect(9, "/silent")
	for _, data := range [][]byte{b.closed(), (&bag{}).drive().silent()} {
		r := everything(t, data)
		if len(r.d.Tables) != 3 || r.d.Tables[2].Table.Name != "/silent" || r.d.Tables[2].Rows != 0 || r.counts["/silent"].Indexed != 0 {
			t.Errorf("tables %v", r.d.Tables)
		}
	}
	b = &bag{noChunk: true}
	b.connect(9, "/silent")
	b.open()
	b.index = nil
	pos := len(b.out)
	data := append(b.out, b.connection(b.conns[0])...)
	copy(data[13:], b.header(pos, 1, 0))
	r := everything(t, data)
	if !r.d.Indexed || len(r.d.Tables) != 1 || r.d.HasTime {
		t.Errorf("description %+v", r.d)
	}
}

// silent adds a connection without messages and does not close the bag.
func (b *bag) silent() []byte {
	b.connect(9, "/silent")
	return b.unclosed()
}

func Test30NoDefinition(t *testing.T) {
	b := &bag{}
	b.declare(conn{0, "/a", "led_array_msgs/Status", strMD5, "", nil})
	b.declare(conn{1, "/b", strType, "*", strDef, nil})
	b.declare(conn{2, "/c", "bad_msgs/Bad", strMD5, "?", nil})
	b.write(0, at(1, 0), "m0")
	b.write(1, at(2, 0), "m1")
	b.write(2, at(3, 0), "m2")
	d, err := New(number{}).Describe(context.Background(), inMemory(b.closed()))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "problems", []string{d.Problems[0].Kind + d.Problems[0].Table, d.Problems[1].Kind + d.Problems[1].Table}, "[no_schema/a bad_schema/c]")
	for i, want := range []bool{true, false, true} {
		ti := d.Tables[i]
		equal(t, "raw", ti.Raw, want)
		if want {
			equal(t, "columns", ti.Table.ColumnNames(), "[log_time data]")
			equal(t, "clocks", ti.Table.Clocks, []pipeline.Clock{{Name: "log", Column: "log_time"}})
		} else {
			equal(t, "columns", ti.Table.ColumnNames(), "[log_time stamp number]")
			equal(t, "clocks", ti.Table.Clocks, []pipeline.Clock{{Name: "header", Column: "stamp"}, {Name: "log", Column: "log_time"}})
		}
	}
	equal(t, "attributes", d.Tables[0].Table.Attributes, map[string]string{"latching": "false", "md5": strMD5, "type": "led_array_msgs/Status"})
}

func TestNoDecoder(t *testing.T) {
	data := (&bag{}).drive().closed()
	d, err := New().Describe(context.Background(), inMemory(data))
	if err != nil || len(d.Problems) != 2 || d.Problems[0].Kind != "no_decoder" || !d.Tables[0].Raw {
		t.Errorf("problems %v: %v", d.Problems, err)
	}
	if _, err := New().Open(context.Background(), inMemory(data), &pipeline.Description{}, pipeline.Selection{}, pipeline.DecodeOptions{}); err == nil {
		t.Error("a foreign description was taken")
	}
}

// number is an encoding of messages of 16 bytes: a time and an integer.
type number struct{}

func (number) Name() string { return "ros1" }
func (number) Parse(s message.Schema) (message.Layout, error) {
	if string(s.Data) == "?" || s.Encoding != "ros1msg" || s.Name == "" {
		return nil, fmt.Errorf("line 1: %q: %w", s.Data, pipeline.ErrSchema)
	}
	return number{}, nil
}
func (number) Fields() []arrow.Field {
	return []arrow.Field{{Name: "stamp", Type: arrow.TimeType}, {Name: "number", Type: arrow.Int64Type}}
}
func (number) HeaderStamp() string { return "stamp" }
func (number) Compile(columns []string) (message.Plan, error) {
	var p numberPlan
	for i, f := range (number{}).Fields() {
		if columns == nil || slices.Contains(columns, f.Name) {
			p = append(p, 8*i)
		}
	}
	return p, nil
}

// numberPlan holds the offset of each column.
type numberPlan []int

func (p numberPlan) Append(cols []*column.Column, data []byte, spans []message.Span) (int, error) {
	for i, s := range spans {
		if s.End-s.Start < 16 {
			return i, errors.New("message has not 16 bytes")
		}
		for k, off := range p {
			cols[k].AppendFixed(data[int(s.Start)+off : int(s.Start)+off+8])
		}
	}
	return len(spans), nil
}

func TestDecodedTables(t *testing.T) {
	b := &bag{codec: codecLZ4}
	b.connect(0, "/n")
	for i := range uint32(100) {
		if i == 50 {
			b.write(0, at(i, 0), "bad")
			continue
		}
		b.write(0, at(i, 0), string(slices.Concat(le64(uint64(i)*3), le64(uint64(i)*7))))
		if i%30 == 29 {
			b.endChunk()
		}
	}
	ctx := context.Background()
	src := inMemory(b.closed())
	f := New(number{})
	d, err := f.Describe(ctx, src)
	if err != nil {
		t.Fatal(err)
	}
	sel := pipeline.Selection{Tables: []pipeline.TableSelection{{Table: d.Tables[0].Table, Columns: []string{"number", "log_time"}}}}
	for _, workers := range []int{1, 4} {
		for _, batchRows := range []int{1, 7, 65536} {
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			rejected := 0
			dec, err := f.Open(ctx, src, d, sel, pipeline.DecodeOptions{Workers: workers, BatchRows: batchRows, Allocator: mem, Reject: func(r pipeline.BadRow) error {
				rejected++
				equal(t, "rejected", fmt.Sprint(r.Table, r.Record, string(r.Raw)), "/n50bad")
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			next := int64(0)
			for {
				el, err := dec.Next(ctx)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if el.Batch == nil {
					continue
				}
				if el.Batch.Rows() > batchRows {
					t.Errorf("batch of %d rows", el.Batch.Rows())
				}
				equal(t, "columns", el.Batch.Table.ColumnNames(), "[log_time number]")
				times, numbers := el.Batch.Record.Column(0).(*arrow.Timestamp), el.Batch.Record.Column(1).(*arrow.Int64)
				for i := range el.Batch.Rows() {
					if next == 50 {
						next++
					}
					if el.Batch.Origin.At(i) != next || int64(times.Value(i)) != next*1e9 || numbers.Value(i) != next*7 {
						t.Fatalf("row %d: record %d, number %d", next, el.Batch.Origin.At(i), numbers.Value(i))
					}
					next++
				}
				el.Batch.Release()
			}
			if next != 100 || rejected != 1 || dec.Counts()[0].Rejected["decode_error"] != 1 {
				t.Errorf("%d rows, counts %+v", next, dec.Counts())
			}
			if err := dec.Close(); err != nil {
				t.Error(err)
			}
			mem.AssertSize(t, 0)
		}
	}
}

func Test35Summary(t *testing.T) {
	// What is inside of chunks is destroyed: the summary does not look.
	b := &bag{codec: codecLZ4, noChunk: true, pack: func(raw []byte) []byte { return make([]byte, len(raw)/2) }}
	b.connect(0, "/a")
	for i := range uint32(100) {
		b.write(0, at(i, 0), strings.Repeat("x", 1000))
		b.endChunk()
	}
	src := inMemory(b.closed())
	d, err := New().Describe(context.Background(), src)
	if err != nil {
		t.Fatal(err)
	}
	ti := d.Tables[0]
	equal(t, "table", []any{ti.Table.Name, ti.SchemaName, ti.Rows, ti.Table.Attributes["md5"]}, []any{"/a", strType, 100, strMD5})
	equal(t, "time", []int64{d.Start, d.End}, []int64{0, 99e9})
	equal(t, "compression", d.Compression, []pipeline.Compression{{Codec: "lz4", Chunks: 100, Compressed: 100 * 523, Raw: 100 * 1046, Estimated: true}})
	if n := src.reads.Load(); n > 2+sampledChunks {
		t.Errorf("%d reads", n)
	}
	// A scan needs no more where index data follow the chunks and the
	// connections are known; here they are not before the end.
	b.all = b.all[:4]
	if d, err = New().Describe(context.Background(), inMemory(b.closed())); err != nil {
		t.Fatal(err)
	}
	equal(t, "compression", d.Compression, []pipeline.Compression{{Codec: "lz4", Chunks: 4, Compressed: 4 * 523, Raw: 4 * 1046}})
}

func TestScanUnpacksNothingKnown(t *testing.T) {
	b := &bag{codec: codecLZ4}
	b.connect(0, "/a")
	b.write(0, at(1, 0), "m0")
	b.endChunk()
	b.pack = func(raw []byte) []byte { return make([]byte, len(raw)) }
	b.write(0, at(2, 0), "m1")
	b.write(0, at(7, 0), "m2")
	d, err := New().Describe(context.Background(), inMemory(b.unclosed()))
	if err != nil {
		t.Fatal(err)
	}
	if d.Tables[0].Rows != 3 || d.End != 7e9 {
		t.Errorf("description %+v", d)
	}
}

func TestSniff(t *testing.T) {
	f := New()
	for _, c := range []struct {
		name, head string
		want       bool
	}{
		{"x", "#ROSBAG V2.0\n", true},
		{"x", "#ROSRECORD V1.2\n", true},
		{"x", "#ROSLOG V1.1\n", true},
		{"a/drive.bag", "", true},
		{"a/drive.bag.active", "junk", true},
		{"drive.mcap", "\x89MCAP0\r\n", false},
		{"drive.db3", "#ROSBAG", false},
	} {
		if got := f.Sniff(c.name, []byte(c.head)); got != c.want {
			t.Errorf("sniff %q %q: %t", c.name, c.head, got)
		}
	}
	equal(t, "name", f.Name(), "rosbag")
}

func TestReadFailures(t *testing.T) {
	data := (&bag{}).drive().closed()
	f := New()
	d, err := f.Describe(context.Background(), inMemory(data))
	if err != nil {
		t.Fatal(err)
	}
	broken := &failing{object: inMemory(data)}
	if _, err := f.Describe(context.Background(), broken); !pipeline.IsTransient(err) {
		t.Errorf("describe: %v", err)
	}
	dec, err := f.Open(context.Background(), broken, d, pipeline.Selection{}, pipeline.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dec.Next(context.Background()); !pipeline.IsTransient(err) {
		t.Errorf("next: %v", err)
	}
	if err := dec.Close(); err != nil {
		t.Error(err)
	}
	// An object that shrank after it was listed.
	for n := 0; n < len(data); n += 97 {
		cut := &shrunk{inMemory(data), n}
		if _, err := f.Describe(context.Background(), cut); err == nil {
			t.Fatalf("no error for an object cut at %d", n)
		}
	}
}

// failing is a store that does not answer beyond the bag header.
type failing struct{ *object }

func (f *failing) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return 0, pipeline.Transient(errors.New("no answer"))
}

func (f *failing) Reader(context.Context, int64, int64) (io.ReadCloser, error) {
	return nil, pipeline.Transient(errors.New("no answer"))
}

type shrunk struct {
	*object
	n int
}

func (s *shrunk) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return (&object{data: s.data[:s.n]}).ReadAt(ctx, p, off)
}
