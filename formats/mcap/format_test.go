package mcap_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/pipeline"
)

// sample is a recording of n messages on two topics in chunks of ten, with an
// attachment and metadata.
func sample(codec string, n int, set func(*builder)) *builder {
	b := newBuilder("ros1")
	if set != nil {
		set(b)
	}
	b.attachment("notes.txt", []byte("hello"))
	for i := 0; i < n; {
		c := b.chunk()
		c.schema(1, "pkg/Pair", "ros1msg", "int64 a")
		c.channel(1, 1, "/a", "ros1")
		c.channel(2, 1, "/b", "ros1")
		for range min(10, n-i) {
			c.message(uint16(1+i%2), uint64(1000+i), pair(uint64(i), fmt.Sprint("text ", i)))
			i++
		}
		c.write(codec)
	}
	b.meta("drivemill", map[string]string{"vehicle_id": "v1", "other": "x"})
	return b
}

func wantSample(t *testing.T, r *result, n int) {
	t.Helper()
	if r.err != nil {
		t.Fatal(r.err)
	}
	for i := range n {
		name := []string{"/a", "/b"}[i%2]
		want := fmt.Sprintf("#%d log_time=%d publish_time=%d sequence=%d stamp=%d text=text %d", i, 1000+i, 1000+i, 1000+i, i, i)
		if len(r.rows[name]) <= i/2 || r.rows[name][i/2] != want {
			t.Fatalf("%s row %d of %d: want %s, have %v", name, i/2, len(r.rows[name]), want, r.rows[name])
		}
	}
	if r.total() != n {
		t.Fatalf("%d rows, want %d", r.total(), n)
	}
}

func Test03_13SampleIndexed(t *testing.T) {
	for _, codec := range []string{"", "lz4", "zstd"} { // checklist 13
		for _, pad := range []int{0, 3} {
			r := read(t, sample(codec, 57, func(b *builder) { b.pad = pad }).finish(), choice{})
			wantSample(t, r, 57)
			if len(r.problems) > 0 || !r.d.Indexed {
				t.Errorf("%q: problems %v", codec, r.problems)
			}
			d := r.d
			if d.Profile != "ros1" || d.Writer != "builder" || d.Start != 1000 || d.End != 1056 || !d.HasTime || d.Attributes["vehicle_id"] != "v1" || len(d.Attributes) != 1 {
				t.Errorf("description %+v", d)
			}
			if len(d.Tables) != 2 || d.Tables[0].Rows != 29 || d.Tables[1].Rows != 28 || d.Tables[0].Raw || d.Tables[0].SchemaName != "pkg/Pair" {
				t.Errorf("tables %+v", d.Tables)
			}
			if c := d.Tables[0].Table.Clocks; len(c) != 3 || c[0].Name != "header" || c[0].Column != "stamp" || c[1].Name != "log" || c[2].Name != "publish" {
				t.Errorf("clocks %v", c)
			}
			if c := d.Compression; len(c) != 1 || c[0].Chunks != 6 || c[0].Codec != map[string]string{"": "none"}[codec]+codec {
				t.Errorf("compression %v", c)
			}
		}
	}
}

// Checklist 4: unknown and private opcodes are skipped, opcode 0 is an error
// that tells its offset. What lies before it is read.
func Test04Opcodes(t *testing.T) {
	b := newBuilder("ros1")
	b.add(0x7a, []byte("reserved"))
	b.add(0x90, []byte("private"))
	c := b.chunk()
	c.body = frame(c.body, 0x7a, []byte("x"), 0)
	c.schema(1, "pkg/Pair", "ros1msg", "x")
	c.channel(1, 1, "/a", "ros1")
	c.body = frame(c.body, 0x90, []byte("y"), 0)
	c.message(1, 1, pair(1, ""))
	c.write("")
	data := b.finish()
	for _, whole := range []bool{true, false} {
		if !whole {
			data = data[:len(data)-4]
		}
		if r := read(t, data, choice{}); r.err != nil || r.total() != 1 {
			t.Errorf("whole %v: %v, %d rows", whole, r.err, r.total())
		}
	}
	b = sample("", 10, nil)
	off := len(b.buf)
	b.buf = append(b.buf, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5)
	r := read(t, b.finish(), choice{})
	wantSample(t, r, 10)
	r = read(t, b.buf[:len(b.buf)-1], choice{})
	wantSample(t, r, 10)
	i := slices.IndexFunc(r.problems, func(p pipeline.Problem) bool { return p.Kind == "corrupt" })
	if i < 0 || r.problems[i].Offset != int64(off) || !strings.Contains(r.problems[i].Detail, "0x00") || !r.problems[i].Loses {
		t.Errorf("problems %+v", r.problems)
	}
}

// Checklist 5.
func Test05Magic(t *testing.T) {
	data := sample("", 1, nil).finish()
	bad := slices.Clone(data)
	bad[0] = 'X'
	r := read(t, bad, choice{})
	var d *pipeline.DecodeError
	if !errors.As(r.err, &d) || !errors.Is(r.err, pipeline.ErrCorrupt) || !strings.Contains(r.err.Error(), "58 4d 43 41 50 30 0d 0a") {
		t.Errorf("error %v", r.err)
	}
	bad = slices.Clone(data)
	bad[5] = '1'
	r = read(t, bad, choice{})
	if !errors.Is(r.err, pipeline.ErrUnsupported) || !strings.Contains(r.err.Error(), "unsupported major version") {
		t.Errorf("error %v", r.err)
	}
	f := mcap.New()
	if !f.Sniff("x", bad[:8]) || !f.Sniff("x", data) || f.Sniff("x", data[:7]) || f.Sniff("x.mcap", []byte("#ROSBAG V2.0\n")) {
		t.Error("Sniff")
	}
}

// Checklist 6 and trap 17: a schema with id 0 is ignored, and channels without
// a schema do not bind to it.
func Test06SchemaZero(t *testing.T) {
	b := newBuilder("")
	c := b.chunk()
	c.schema(0, "pkg/Zero", "ros1msg", "x")
	c.channel(1, 0, "/a", "ros1")
	c.message(1, 1, pair(1, ""))
	c.write("")
	for _, data := range bothWays(b) {
		r := read(t, data, choice{})
		if r.err != nil || !slices.Contains(r.kinds(), "schema_zero") || !slices.Contains(r.kinds(), "no_schema") || !r.d.Tables[0].Raw {
			t.Errorf("%v %v", r.err, r.problems)
		}
	}
}

// bothWays returns a file with its summary and without.
func bothWays(b *builder) [][]byte {
	c := *b
	c.buf = slices.Clone(b.buf)
	c.dataEnd()
	return [][]byte{b.finish(), c.footer(0, 0)}
}

// Checklist 7, 8, 44 and 45: channels without schema, channel id 0, encodings
// that are not read, a profile that does not fit.
func Test07_08_44_45RawTables(t *testing.T) {
	b := newBuilder("ros2")
	c := b.chunk()
	c.channel(0, 0, "/json", "json")
	c.channel(1, 0, "/cdr", "cdr")
	c.schema(9, "Root", "capnproto", "\x00\x01")
	c.channel(2, 9, "/capnp", "capnproto")
	c.channel(3, 0, "/msgpack", "msgpack")
	c.schema(10, "pkg/msg/X", "ros2msg", "bad")
	c.channel(4, 10, "/broken", "cdr")
	c.channel(5, 77, "/undefined", "cdr")
	for i := range 6 {
		c.message(uint16(i), uint64(i), []byte{byte(i)})
	}
	c.write("")
	for _, data := range bothWays(b) {
		r := read(t, data, choice{})
		if r.err != nil {
			t.Fatal(r.err)
		}
		for i, name := range []string{"/json", "/cdr", "/capnp", "/msgpack", "/broken", "/undefined"} {
			want := fmt.Sprintf("#%d log_time=%d publish_time=%d sequence=%d data=%02x", i, i, i, i, i)
			if !slices.Equal(r.rows[name], []string{want}) || !r.d.Tables[i].Raw {
				t.Errorf("%s: %v", name, r.rows[name])
			}
		}
		if a := r.d.Tables[2].Table.Attributes; a["encoding"] != "capnproto" || a["schema_encoding"] != "capnproto" || a["type"] != "Root" {
			t.Errorf("attributes %v", a)
		}
		var got []string
		for _, p := range r.problems {
			if p.Loses {
				t.Errorf("%+v loses", p)
			}
			if p.Table != "" {
				got = append(got, p.Kind+" "+p.Table)
			}
		}
		want := []string{
			"raw_encoding /json", "no_schema /cdr", "raw_encoding /capnp", "raw_encoding /msgpack", "bad_schema /broken", "no_schema /undefined",
			"profile_mismatch /json", "profile_mismatch /capnp", "profile_mismatch /msgpack",
		}
		if !slices.Equal(got, want) {
			t.Errorf("problems %q", got)
		}
	}
}

// Checklist 9, traps 14 and 15: one topic with two schemas is two tables;
// channels that are alike are one.
func Test09Topics(t *testing.T) {
	b := newBuilder("")
	c := b.chunk()
	c.schema(1, "pkg/A", "ros1msg", "x")
	c.schema(2, "pkg/B", "ros1msg", "x")
	c.schema(3, "pkg/A", "ros1msg", "x")
	for id := range uint16(3) {
		c.channel(id, id+1, "/a", "ros1")
		c.message(id, uint64(id), pair(uint64(id), ""))
	}
	c.channel(3, 1, "/a", "cdr")
	c.message(3, 3, pair(3, ""))
	c.write("")
	for _, data := range bothWays(b) {
		r := read(t, data, choice{})
		if r.err != nil || len(r.d.Tables) != 3 {
			t.Fatalf("%v, %d tables", r.err, len(r.d.Tables))
		}
		names := []string{r.d.Tables[0].Table.Name, r.d.Tables[1].Table.Name, r.d.Tables[2].Table.Name}
		if names[0] != "/a" || !strings.HasPrefix(names[1], "/a#") || len(names[1]) != 9 || !strings.HasPrefix(names[2], "/a#") {
			t.Errorf("names %v", names)
		}
		for i, n := range []int64{2, 1, 1} {
			if r.d.Tables[i].Rows != n || len(r.rows[names[i]]) != int(n) {
				t.Errorf("%s: %d rows told, %d read, want %d", names[i], r.d.Tables[i].Rows, len(r.rows[names[i]]), n)
			}
		}
	}
}

// Checklist 10.
func Test10ConflictingDefinitions(t *testing.T) {
	b := newBuilder("")
	for i := range 2 {
		c := b.chunk()
		c.body = frame(c.body, mcap.OpSchema, schemaRecord(1, "pkg/A", "ros1msg", strings.Repeat("x", i)), 0)
		c.body = frame(c.body, mcap.OpSchema, schemaRecord(1, "pkg/A", "ros1msg", strings.Repeat("x", i)), 0)
		c.body = frame(c.body, mcap.OpChannel, channelRecord(1, 1, fmt.Sprint("/", i), "ros1"), 0)
		c.message(1, uint64(i), pair(1, ""))
		c.write("")
	}
	b.define(mcap.OpSchema, schemaRecord(1, "pkg/A", "ros1msg", ""))
	b.define(mcap.OpChannel, channelRecord(1, 1, "/0", "ros1"))
	for i, data := range bothWays(b) {
		r := read(t, data, choice{})
		k := r.kinds()
		if r.err != nil || len(r.rows["/0"]) != 2 || len(r.d.Tables) != 1 || !slices.Contains(k, "schema_conflict") || !slices.Contains(k, "channel_conflict") || r.d.Indexed != (i == 0) {
			t.Errorf("%v %v %v", r.err, r.rows, r.problems)
		}
	}
}

// Checklist 12 and 43: rows that cannot be are rejected, with their times and
// records, and decoding goes on.
func Test12_43BadRows(t *testing.T) {
	b := newBuilder("")
	c := b.chunk()
	c.schema(1, "pkg/A", "ros1msg", "x")
	c.channel(1, 1, "/a", "ros1")
	c.message(1, 5, pair(5, "ok"))
	c.message(1, 6, []byte("short"))
	c.message(1, math.MaxInt64, pair(7, "latest"))
	c.message(1, math.MaxInt64+1, pair(8, "too late"))
	c.message(1, math.MaxUint64, pair(9, "too late"))
	c.message(99, 5, pair(9, "no channel"))
	c.message(1, 8, pair(8, "ok"))
	c.write("zstd")
	b.stats.ChannelMessageCounts = map[uint16]uint64{1: 6}
	b.stats.MessageCount = 6
	for _, data := range bothWays(b) {
		r := read(t, data, choice{})
		if r.err != nil || len(r.rows["/a"]) != 3 || !strings.Contains(r.rows["/a"][1], "log_time=9223372036854775807 ") {
			t.Fatalf("%v %v", r.err, r.rows)
		}
		want := []string{"/a 1 message_too_short", "/a 3 time_out_of_range", "/a 4 time_out_of_range", " 5 unknown_channel"}
		if !slices.Equal(r.rejects, want) {
			t.Errorf("rejects %q", r.rejects)
		}
		if c := r.counts["/a"]; c.Found != 6 || c.Rejected["time_out_of_range"] != 2 {
			t.Errorf("counts %+v", c)
		}
		r = read(t, data, choice{noReject: true})
		var d *pipeline.DecodeError
		if !errors.As(r.err, &d) || d.Table != "/a" || d.Record != 1 || d.Offset < 0 {
			t.Errorf("error %v", r.err)
		}
	}
}

// Trap 2 and checklist 22: an empty first chunk whose index has the largest
// possible start.
func Test22EmptyFirstChunk(t *testing.T) {
	b := newBuilder("")
	c := b.chunk()
	c.schema(1, "pkg/A", "ros1msg", "x")
	c.channel(1, 1, "/a", "ros1")
	c.start, c.end = math.MaxUint64, 0
	c.write("zstd")
	for i := range 5 {
		c = b.chunk()
		c.message(1, uint64(10-i), pair(uint64(i), ""))
		c.write("zstd")
	}
	for _, data := range bothWays(b) {
		for _, order := range []pipeline.Order{pipeline.StorageOrder, pipeline.LogOrder} {
			r := read(t, data, choice{order: order})
			if r.err != nil || len(r.rows["/a"]) != 5 {
				t.Fatalf("%v %v", r.err, r.rows)
			}
			first := "#0 log_time=10 "
			if order == pipeline.LogOrder {
				first = "#4 log_time=6 "
			}
			if !strings.HasPrefix(r.rows["/a"][0], first) {
				t.Errorf("order %d: %v", order, r.rows)
			}
		}
	}
}

// Checklist 23: overlapping chunks come out in log order, equal times in the
// order of the file.
func Test23LogOrder(t *testing.T) {
	b := newBuilder("")
	times := [][]uint64{{5, 1, 9, 9}, {2, 2, 5, 30}, {9, 0}, {30, 31}}
	n := 0
	for _, ts := range times {
		c := b.chunk()
		c.schema(1, "pkg/A", "ros1msg", "x")
		c.channel(1, 1, "/a", "ros1")
		for _, at := range ts {
			c.message(1, at, pair(uint64(n), ""))
			n++
		}
		c.write("lz4")
	}
	want := []string{"#9 0", "#1 1", "#4 2", "#5 2", "#0 5", "#6 5", "#2 9", "#3 9", "#8 9", "#7 30", "#10 30", "#11 31"}
	for _, data := range bothWays(b) {
		for _, rows := range []int{1, 0} {
			r := read(t, data, choice{order: pipeline.LogOrder, rows: rows, workers: 2})
			var got []string
			for _, row := range r.rows["/a"] {
				f := strings.Fields(row)
				got = append(got, f[0]+" "+strings.TrimPrefix(f[1], "log_time="))
			}
			if r.err != nil || !slices.Equal(got, want) {
				t.Errorf("%v %q", r.err, got)
			}
		}
	}
}

// Workers and batch sizes do not change the rows, and workers not the batches.
func TestWorkersAndBatches(t *testing.T) {
	data := sample("zstd", 300, nil).finish()
	var plain *result
	for _, rows := range []int{1, 7, 65536} {
		var one *result
		for _, workers := range []int{1, 4} {
			r := read(t, data, choice{rows: rows, workers: workers})
			wantSample(t, r, 300)
			if one == nil {
				one = r
			} else if !reflect.DeepEqual(one.cuts, r.cuts) {
				t.Errorf("batches depend on workers: %v, %v", one.cuts, r.cuts)
			}
			if plain == nil {
				plain = r
			} else if !reflect.DeepEqual(plain.rows, r.rows) {
				t.Error("rows depend on the batch size")
			}
		}
	}
}
