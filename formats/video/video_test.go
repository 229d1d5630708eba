package video

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/store"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// Parameter sets that x264 and x265 wrote.
var (
	sps1080 = unhex("6742c028da01e0089f9610000003001000000303c8f1832a")
	pps1080 = unhex("68ce0fc8")
	spsHigh = unhex("677a000abcb20e4f3c7c20000003002000000791e244c9")
	ppsHigh = unhex("68ebc3cb22c0")
	vps265  = unhex("40010c01ffff0408000003009d0800000300001e928090")
	sps265n = unhex("4201010408000003009d0800000300001eb034839dced964ab932b9a020000030002000003003c10")
	pps265  = unhex("4401c173d189")
)

func TestParameterSets(t *testing.T) {
	for _, tc := range []struct {
		codec codec
		nal   []byte
		want  params
	}{
		{h264, sps1080, params{width: 1920, height: 1080, chroma: 1, depthLuma: 8, depthChroma: 8}},
		{h264, spsHigh, params{width: 100, height: 50, chroma: 2, depthLuma: 8, depthChroma: 8}},
		{h264, unhex("67640015ace4113f2c20000003002000000793e28549"), params{width: 64, height: 48, chroma: 1, depthLuma: 8, depthChroma: 8}},
		{h265, unhex("420101016000000300900000030000030078a003c08010e5964a924cae6808000003000800000300f040"),
			params{width: 1920, height: 1080, chroma: 1, depthLuma: 8, depthChroma: 8, layers: 1, nested: true, profile: [12]byte{1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 0x78}}},
		{h265, sps265n, params{width: 100, height: 50, chroma: 2, depthLuma: 10, depthChroma: 10, layers: 1, nested: true, profile: [12]byte{4, 8, 0, 0, 0, 0x9d, 8, 0, 0, 0, 0, 0x1e}}},
	} {
		got, ok := parameters(tc.codec, tc.nal)
		if !ok || got != tc.want {
			t.Errorf("%v: %+v, %v\nwant %+v", tc.codec, got, ok, tc.want)
		}
		// What is read lies in the first half at least.
		for n := range len(tc.nal) / 3 {
			if p, ok := parameters(tc.codec, tc.nal[:n]); ok {
				t.Errorf("%v: %d of %d bytes give %+v", tc.codec, n, len(tc.nal), p)
			}
		}
	}
}

// stream joins NAL units, by start codes of three and of four bytes.
func stream(nals ...[]byte) []byte {
	var out []byte
	for i, n := range nals {
		if i%2 == 0 {
			out = append(out, 0)
		}
		out = append(append(out, 0, 0, 1), n...)
	}
	return append(out, 0, 0)
}

func TestPackets(t *testing.T) {
	var p packet
	idr, sei, aud := []byte{0x65, 1, 2}, []byte{6, 5}, []byte{9, 0xf0}
	if why := p.parse(h264, stream(aud, sps1080, pps1080, sei, idr)); why != nil || !p.key || p.pictures != 1 || len(p.sets) != 2 ||
		!slices.EqualFunc(p.nals, [][]byte{sei, idr}, bytes.Equal) {
		t.Errorf("%+v, %v", p, why)
	}
	for _, bad := range []string{"", "\x00\x00", "abc", "x\x00\x00\x01\x65", "\x00\x00\x01\xe5\x00"} {
		if why := p.parse(h264, []byte(bad)); why == nil || why.name != "video_bitstream" {
			t.Errorf("%q: %v", bad, why)
		}
	}
	if why := p.parse(h265, stream(vps265, sps265n, pps265, []byte{0x26, 1, 0xaf})); why != nil || !p.key || len(p.sets) != 3 {
		t.Errorf("%+v, %v", p, why)
	}
}

type env struct {
	pipeline.Env
	store pipeline.Store
}

func (e env) OpenStore(context.Context, string) (pipeline.Store, error) { return e.store, nil }

var clips = &pipeline.Table{Name: "/cam", Schema: arrow.NewSchema([]arrow.Field{
	{Name: "ts", Type: arrow.TimeType, Nullable: true, Metadata: pipeline.FieldMeta(pipeline.MetaRole, pipeline.RoleTime)},
	{Name: "frame_id", Type: arrow.StringType, Nullable: true},
	{Name: "format", Type: arrow.StringType, Nullable: true}, {Name: "data", Type: arrow.BinaryType, Nullable: true},
}, nil)}

type row struct {
	ms     int64
	format string
	data   []byte
	why    string // it is refused
}

// result is what became of rows.
type result struct {
	files   []pipeline.File
	objects map[string][]byte
	bad     []string
}

func run(t *testing.T, cfg *Config, list []row, batch int) *result {
	t.Helper()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	ctx := t.Context()
	st, err := store.Open(ctx, fmt.Sprintf("mem://%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), batch))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Spec().New(ctx, cfg, env{store: st})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bind([]*pipeline.Table{clips})
	if err != nil {
		t.Fatal(err)
	}
	r := &result{objects: make(map[string][]byte)}
	w, err := b.Open(ctx, pipeline.SinkOptions{Allocator: mem, Slot: "0123456789abcdef", Revision: map[string]string{"cam": "0123456789ab"}, DriveDate: "2026-03-02",
		Reject: func(b pipeline.BadRow) error {
			r.bad = append(r.bad, fmt.Sprintf("%d %s", b.Record, b.Reason))
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	var acct pipeline.Account
	for from := 0; from < len(list); from += batch {
		part := list[from:min(from+batch, len(list))]
		var cols []*column.Column
		for _, f := range clips.Schema.Fields() {
			cols = append(cols, column.New(mem, f.Type))
		}
		for _, x := range part {
			cols[0].AppendInt64(x.ms * 1e6)
			cols[1].AppendString("camera")
			cols[2].AppendString(x.format)
			if x.data == nil {
				cols[3].AppendNull()
			} else {
				cols[3].AppendBytes(x.data)
			}
		}
		var arrays []arrow.Array
		for _, c := range cols {
			arrays = append(arrays, c.Finish())
		}
		rec := arrow.NewRecord(clips.Schema, arrays, int64(len(part)))
		for _, a := range arrays {
			a.Release()
		}
		if err := w.Write(ctx, &pipeline.Batch{Table: clips, Record: rec, Origin: pipeline.Origin{First: int64(from)}}, &acct); err != nil {
			t.Fatal(err)
		}
	}
	if r.files, err = w.Finish(ctx, &acct); err != nil {
		t.Fatal(err)
	}
	var keys []string
	visit := func(o pipeline.Object) error { keys = append(keys, o.Key); return nil }
	if err := st.List(ctx, "", visit); err != nil || len(keys) > 0 {
		t.Errorf("visible before Publish: %v, %v", keys, err)
	}
	if err := w.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	if err := st.List(ctx, "", visit); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if r.objects[k], err = st.Get(ctx, k); err != nil {
			t.Fatal(err)
		}
	}
	var told int64
	for _, f := range r.files {
		if int64(len(r.objects[f.Key])) != f.Bytes {
			t.Errorf("%s has %d bytes, told %d", f.Key, len(r.objects[f.Key]), f.Bytes)
		}
		told += f.Rows
	}
	rejected := int64(0)
	for _, n := range acct.Rejected {
		rejected += n
	}
	if told+rejected != int64(len(list)) || int(rejected) != len(r.bad) {
		t.Errorf("%d rows written, %d refused of %d", told, rejected, len(list))
	}
	return r
}

// walk calls fn for each box, with its path.
func walk(t *testing.T, b []byte, path string, at int, fn func(path string, at int, body []byte)) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 8 {
			t.Fatalf("%s: %d bytes are no box", path, len(b))
		}
		n := int(binary.BigEndian.Uint32(b))
		if n < 8 || n > len(b) {
			t.Fatalf("%s: box of %d bytes of %d", path, n, len(b))
		}
		name := path + "/" + string(b[4:8])
		fn(name, at, b[8:n])
		switch string(b[4:8]) {
		case "moov", "trak", "mdia", "minf", "dinf", "stbl", "mvex", "moof", "traf", "mfra":
			walk(t, b[8:n], name, at+8, fn)
		}
		b, at = b[n:], at+n
	}
}

// timeline reads times and samples of a file by its boxes alone.
func timeline(t *testing.T, file []byte) (times []uint64, samples [][]byte) {
	t.Helper()
	var moof int
	var base uint64
	walk(t, file, "", 0, func(path string, at int, b []byte) {
		switch path {
		case "/moof":
			moof = at
		case "/moof/traf/tfdt":
			base = binary.BigEndian.Uint64(b[4:])
		case "/moof/traf/trun":
			pos := moof + int(binary.BigEndian.Uint32(b[8:]))
			for i := range int(binary.BigEndian.Uint32(b[4:])) {
				e := b[12+12*i:]
				size := int(binary.BigEndian.Uint32(e[4:]))
				times = append(times, base)
				samples = append(samples, file[pos:pos+size])
				base += uint64(binary.BigEndian.Uint32(e))
				pos += size
			}
		}
	})
	return times, samples
}

func TestFiles(t *testing.T) {
	key := func(n byte) []byte { return stream(sps1080, pps1080, []byte{0x65, n, 1}) }
	delta := func(n byte) []byte { return stream([]byte{0x41, n, 1}) }
	other := stream(spsHigh, ppsHigh, []byte{0x65, 99, 1})
	hevc := stream(vps265, sps265n, pps265, []byte{0x26, 1, 99, 1})
	list := []row{
		{0, "h264", delta(0), "before_keyframe"},
		{10, "h264", stream(sps1080, pps1080), "no_picture"},
		{20, "h264", stream([]byte{0x65, 2, 1}), ""}, // its sets came before
		{30, "h264", delta(3), ""},
		{70, "h264", delta(4), ""},
		{100, "h264", key(5), ""},
		{100, "h264", delta(6), "time_order"},
		{110, "h264", delta(7), "before_keyframe"},
		{120, "h264", key(8), ""},
		{130, "h264", nil, "null_cell"},
		{140, "h264", delta(10), "before_keyframe"},
		{150, "vp9", delta(11), "video_format"},
		{160, "h264", []byte("xyz"), "video_bitstream"},
		{170, "h264", other, ""}, // a file of its own
		{180, "h264", stream(sps1080, []byte{0x41, 1}), "parameter_change"},
		{190, "h265", hevc, ""},
		{200, "h265", stream([]byte{0x02, 1, 7, 1}), ""},
		{150, "h265", hevc, ""}, // the clock steps back
		{4_200_000, "h265", stream([]byte{0x02, 1, 7, 1}), ""},
		{9_400_000, "h265", stream([]byte{0x02, 1, 7, 1}), "time_gap"},
		{9_500_000, "h265", hevc, ""},
		{9_500_001, "h264", stream(append([]byte{0x67}, 1), []byte{0x65, 1}), "parameter_sets"},
	}
	var bad []string
	for i, r := range list {
		if r.why != "" {
			bad = append(bad, fmt.Sprintf("%d %s", i, r.why))
		}
	}
	cfg := &Config{FileBytes: 1 << 30}
	var first *result
	for _, batch := range []int{100, 1, 3} {
		r := run(t, cfg, list, batch)
		if !slices.Equal(r.bad, bad) {
			t.Errorf("batches of %d: refused\n%v\nwant\n%v", batch, r.bad, bad)
		}
		if first == nil {
			first = r
		}
		for k, v := range first.objects {
			if !bytes.Equal(r.objects[k], v) {
				t.Errorf("batches of %d: %s differs", batch, k)
			}
		}
	}
	name := func(n int) string {
		return fmt.Sprintf("cam_objects/drive_date=2026-03-02/0123456789abcdef-0123456789ab-%05d.mp4", n)
	}
	for n, want := range [][]uint64{{0, 10_000, 50_000, 80_000, 100_000}, {0}, {0, 10_000}, {0, 4_199_850_000}, {0}} {
		file := first.objects[name(n)]
		times, samples := timeline(t, file)
		if !slices.Equal(times, want) {
			t.Errorf("file %d: times %v, want %v", n, times, want)
		}
		for _, s := range samples {
			if int(binary.BigEndian.Uint32(s)) != len(s)-4 {
				t.Errorf("file %d: sample % x", n, s)
			}
		}
		want := map[int]string{0: "avc1", 1: "avc1", 2: "hvc1"}[n]
		if !bytes.Contains(file, []byte(want)) {
			t.Errorf("file %d has no %s", n, want)
		}
	}
	if _, ok := first.objects[name(5)]; ok || len(first.objects) != 6 {
		t.Errorf("%d objects", len(first.objects))
	}
}

// A file ends at the first keyframe behind its limit; a long group of pictures
// is cut into fragments.
func TestLimits(t *testing.T) {
	var list []row
	for i := range int64(40) {
		nals := [][]byte{append([]byte{0x41, byte(i)}, bytes.Repeat([]byte{7}, 300_000)...)}
		if i%20 == 0 {
			nals = [][]byte{sps1080, pps1080, {0x65, byte(i), 1}}
		}
		list = append(list, row{i * 100, "h264", stream(nals...), ""})
	}
	for limit, files := range map[pipeline.Size]int{1: 2, 1 << 30: 1} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			r := run(t, &Config{FileBytes: limit}, list, 7)
			n, moofs := 0, 0
			for k, file := range r.objects {
				if !strings.HasSuffix(k, ".mp4") {
					continue
				}
				n++
				walk(t, file, "", 0, func(path string, _ int, b []byte) {
					if path == "/moof" {
						moofs++
					}
					if path == "/mdat" && len(b) > fragmentBytes+300_100 {
						t.Errorf("fragment of %d bytes", len(b))
					}
				})
			}
			if n != files || moofs != 4 {
				t.Errorf("%d files with %d fragments", n, moofs)
			}
		})
	}
}

func FuzzPackets(f *testing.F) {
	f.Add("h264", stream(sps1080, pps1080, []byte{0x65, 1}))
	f.Add("h264", stream(spsHigh, ppsHigh, []byte{0x65, 1}))
	f.Add("h265", stream(vps265, sps265n, pps265, []byte{0x26, 1, 2}))
	f.Fuzz(func(t *testing.T, format string, data []byte) {
		c := codecOf(format)
		if c == noCodec {
			return
		}
		var p packet
		if p.parse(c, data) != nil {
			return
		}
		s, why := sets(nil).with(c, p.sets)
		if why != nil {
			return
		}
		tr := &track{codec: c, sets: s}
		if b, why := tr.head(); why == nil {
			walk(&testing.T{}, b, "", 0, func(string, int, []byte) {})
		}
	})
}

func BenchmarkPackets(b *testing.B) {
	data := stream(sps1080, pps1080, append([]byte{0x65}, bytes.Repeat([]byte{1, 0, 7, 3}, 50_000)...))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var p packet
	for b.Loop() {
		if why := p.parse(h264, data); why != nil || len(p.nals) != 1 {
			b.Fatal(why)
		}
	}
}
