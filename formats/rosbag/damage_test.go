package rosbag

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

func Test04UnknownCompression(t *testing.T) {
	b := &bag{}
	b.connect(0, "/a")
	b.write(0, at(1, 0), "m0")
	b.endChunk()
	b.codec = "zlib"
	b.write(0, at(2, 0), "lost")
	b.endChunk()
	b.codec = ""
	b.write(0, at(3, 0), "m1")
	for _, data := range [][]byte{b.closed(), b.unclosed()} {
		r := everything(t, data)
		equal(t, "messages", r.payloads(), []string{"m0", "m1"})
		if !r.has("unsupported_compression") || !strings.Contains(fmt.Sprint(r.problems), `"zlib"`) {
			t.Errorf("problems %v", r.problems)
		}
		equal(t, "lost", r.counts["/a"].Lost, 1)
		if r.counts[""].LostBytes == 0 {
			t.Errorf("no bytes are lost: %v", r.counts)
		}
	}
}

func Test07BadHeadersInside(t *testing.T) {
	good := &bag{}
	for name, broken := range map[string][]byte{
		"message without conn":      good.record([]byte("x"), op(opMessage), field("time", le64(0))),
		"message with short time":   good.record([]byte("x"), field("conn", le32(0)), op(opMessage), field("time", le32(0))),
		"connection without conn":   good.record(nil, op(opConnection), field("topic", []byte("/a"))),
		"field longer than header":  good.record(nil, op(opMessage), le32(99)),
		"header longer than chunk":  append(le32(1<<20), op(opMessage)...),
		"data longer than chunk":    slices.Concat(le32(8), op(1), le32(1000)),
		"no header":                 make([]byte, 30),
		"half a length":             {1, 0},
		"message data beyond chunk": good.message(0, 0, make([]byte, 50))[:60],
	} {
		b := &bag{}
		b.connect(0, "/a")
		b.write(0, at(1, 0), "m0")
		b.chunk = append(b.chunk, broken...)
		b.endChunk()
		b.write(0, at(2, 0), "m1")
		for _, data := range [][]byte{b.closed(), b.unclosed()} {
			r := everything(t, data)
			equal(t, name, r.payloads(), []string{"m0", "m1"})
			if !r.has("bad_chunk") || r.counts[""].LostBytes == 0 {
				t.Errorf("%s: problems %v, counts %v", name, r.problems, r.counts)
			}
		}
	}
	// A record type that is not known is passed over.
	b := &bag{}
	b.connect(0, "/a")
	b.chunk = append(b.chunk, b.record([]byte("definition"), op(1))...)
	b.write(0, at(1, 0), "m0")
	if r := everything(t, b.closed()); len(r.rows) != 1 || len(r.problems) != 0 {
		t.Errorf("rows %v, problems %v", r.rows, r.problems)
	}
}

func Test12IndexDataLength(t *testing.T) {
	b := &bag{dataLen: func(want int) uint32 { return uint32(want) + 7 }}
	r := everything(t, b.drive().unclosed())
	equal(t, "messages", r.payloads(), names(12))
	equal(t, "problems", r.kinds(), []string{"unindexed", "bad_index"})
	b = &bag{dataLen: func(int) uint32 { return 0 }}
	equal(t, "messages", everything(t, b.drive().unclosed()).payloads(), names(12))
}

func Test13ConnectionsInIndexOnly(t *testing.T) {
	b := (&bag{noChunk: true}).drive()
	want := everything(t, (&bag{}).drive().closed()).rows
	equal(t, "indexed", everything(t, b.closed()).rows, want)
	b.counts = func(uint32, uint32) []uint32 { return []uint32{9, 9} }
	r := everything(t, b.closed())
	equal(t, "scanned", r.rows, want)
	if !r.has("bad_index") || r.d.Indexed {
		t.Errorf("problems %v", r.problems)
	}
	// Nowhere: there is nothing to tell what the messages are.
	b = (&bag{noChunk: true}).drive()
	var rejected []string
	got := read(t, b.unclosed(), pipeline.Selection{}, pipeline.DecodeOptions{Reject: func(r pipeline.BadRow) error {
		rejected = append(rejected, fmt.Sprintf("%d %s %d", r.Record, r.Reason, len(r.Raw)))
		return nil
	}})
	if len(got.rows) != 0 || len(rejected) != 12 || rejected[11] != "11 unknown_channel 3" {
		t.Errorf("rows %v, rejected %v", got.rows, rejected)
	}
}

func Test14ConnectionsInChunksOnly(t *testing.T) {
	b := (&bag{noIndex: true}).drive()
	want := everything(t, (&bag{}).drive().closed()).rows
	r := everything(t, b.closed())
	equal(t, "rows", r.rows, want)
	if r.d.Indexed || !r.has("bad_index") {
		t.Errorf("problems %v", r.problems)
	}
	whole := (&bag{}).drive().closed()
	pos := int(binary.LittleEndian.Uint64(whole[strings.Index(string(whole), "index_pos=")+10:]))
	for _, cut := range []int{pos + 1, pos + 50, len(whole) - 1} {
		r := everything(t, whole[:cut])
		equal(t, "rows", r.rows, want)
		for _, p := range r.problems {
			if p.Loses {
				t.Errorf("cut at %d: %v", cut, p)
			}
		}
	}
}

func Test22OddNanoseconds(t *testing.T) {
	b := &bag{}
	b.connect(0, "/a")
	b.write(0, at(1, 1_500_000_000), "m0")
	b.write(0, at(4294967295, 4294967295), "m1")
	r := everything(t, b.closed())
	if len(r.rows) != 2 || r.rows[0].time != 2_500_000_000 || r.rows[1].time != 4294967295*1e9+4294967295 || !r.has("bad_time") {
		t.Errorf("rows %v, problems %v", r.rows, r.problems)
	}
}

func Test23Truncation(t *testing.T) {
	for i, b := range []*bag{{}, {codec: codecLZ4}, {noData: true}, {noChunk: true}} {
		b.drive()
		ends := []int{} // of chunk records
		for i := range b.all {
			off := int(b.all[i].pos)
			hl := int(binary.LittleEndian.Uint32(b.out[off:]))
			ends = append(ends, off+8+hl+int(binary.LittleEndian.Uint32(b.out[off+4+hl:])))
		}
		for _, whole := range [][]byte{b.closed(), b.unclosed()} {
			want := everything(t, whole).rows
			for cut := range whole {
				if i > 0 && cut < 4100 {
					continue // the same bag header for all
				}
				src := inMemory(whole[:cut])
				d, err := New().Describe(context.Background(), src)
				complete := 0
				for i, end := range ends {
					if cut >= end {
						complete = 4 * (i + 1)
					}
				}
				if b.noChunk {
					complete = 0 // the connections are gone
				}
				if err != nil {
					var at *pipeline.DecodeError
					if complete > 0 || !errors.As(err, &at) || at.Offset < 0 || at.Offset > int64(cut) {
						t.Fatalf("cut at %d: %v", cut, err)
					}
					continue
				}
				r := decode(t, src, d, pipeline.Selection{}, pipeline.DecodeOptions{Workers: 1})
				if len(r.rows) < complete || !b.noChunk && !slices.Equal(r.rows, want[:len(r.rows)]) {
					t.Fatalf("cut at %d: %v, want %d rows at least", cut, r.rows, complete)
				}
				if len(r.rows) < len(want) && !b.noChunk && len(whole) != len(b.out) && !slices.ContainsFunc(r.problems, func(p pipeline.Problem) bool { return p.Loses }) {
					t.Fatalf("cut at %d: %d rows, and no loss is told: %v", cut, len(r.rows), r.problems)
				}
			}
		}
	}
}

func Test24TruncatedChunk(t *testing.T) {
	whole := (&bag{}).drive().unclosed()
	for n, m := range names(12) {
		// The cut is right behind the message, and one byte before its end.
		end := strings.Index(string(whole), "\x00\x00"+m) + 2 + len(m)
		if end < 10 {
			t.Fatalf("no message %s", m)
		}
		equal(t, "messages", everything(t, whole[:end]).payloads(), names(n+1))
		r := read(t, whole[:end-1], pipeline.Selection{}, pipeline.DecodeOptions{})
		equal(t, "messages", r.payloads(), names(n))
		if !r.has("truncated") {
			t.Errorf("problems %v", r.problems)
		}
	}
}

func TestTruncatedLZ4(t *testing.T) {
	b := &bag{codec: codecLZ4, noData: true, pack: func(raw []byte) []byte { return lz4Frame(raw, false) }}
	b.connect(0, "/a")
	for i := range uint32(300) {
		b.write(0, at(i, 0), strings.Repeat("x", 1000))
	}
	whole := b.unclosed()
	last := -1
	for _, cut := range []int{len(whole) - 1, len(whole) - 100_000, len(whole) - 200_000} {
		r := everything(t, whole[:cut])
		n := len(r.rows)
		// Complete blocks of 64 KiB count.
		if n < (cut-4200)/1048/64*62 || n > cut/1048 || last >= 0 && n >= last {
			t.Errorf("cut at %d: %d rows", cut, n)
		}
		if !r.has("truncated") || r.d.Tables[0].Rows != int64(n) {
			t.Errorf("cut at %d: problems %v, rows told %d", cut, r.problems, r.d.Tables[0].Rows)
		}
		last = n
	}
}

func Test25UnterminatedChunk(t *testing.T) {
	for _, cut := range []int{0, 1, 30} {
		b := (&bag{}).drive()
		b.noData = true
		b.write(0, at(200, 0), "m12")
		b.connect(2, "/c")
		b.write(2, at(201, 0), "m13")
		b.write(2, at(202, 0), "last")
		whole := b.unclosed()
		// The sizes of the last chunk are still zero.
		head := whole[b.all[3].pos:]
		hl := int(binary.LittleEndian.Uint32(head))
		copy(head[4+hl:], le32(0))
		copy(head[strings.Index(string(head), "size=")+5:], le32(0))
		r := everything(t, whole[:len(whole)-cut])
		want := append(names(14), "last")
		if cut > 0 {
			want = names(14)
		}
		equal(t, "messages", r.payloads(), want)
		if !r.has("unterminated_chunk") || r.has("truncated") != (cut > 0) {
			t.Errorf("cut %d: problems %v", cut, r.problems)
		}
	}
	// The same with a compressed chunk.
	b := (&bag{codec: codecLZ4}).drive()
	b.noData = true
	b.write(0, at(200, 0), "m12")
	whole := b.unclosed()
	head := whole[b.all[3].pos:]
	hl := int(binary.LittleEndian.Uint32(head))
	copy(head[4+hl:], le32(0))
	copy(head[strings.Index(string(head), "size=")+5:], le32(0))
	r := everything(t, whole)
	equal(t, "messages", r.payloads(), names(13))
	if !r.has("truncated") {
		t.Errorf("problems %v", r.problems)
	}
}

func Test26JunkBeforeIndex(t *testing.T) {
	for _, c := range []struct {
		junk  []byte
		kind  string
		loses bool
	}{
		{make([]byte, 49), "padding", false},
		{[]byte(strings.Repeat("junk", 50)), "corrupt", true},
	} {
		b := &bag{before: c.junk}
		r := everything(t, b.drive().closed())
		equal(t, "indexed", r.payloads(), names(12))
		if len(r.problems) > 0 {
			t.Errorf("problems %v", r.problems)
		}
		b = &bag{before: c.junk, counts: func(n, m uint32) []uint32 { return []uint32{n + 1, m} }}
		r = everything(t, b.drive().closed())
		equal(t, "scanned", r.payloads(), names(12))
		i := slices.Index(r.kinds(), c.kind)
		if i < 0 || r.problems[i].Loses != c.loses {
			t.Errorf("problems %v", r.problems)
		}
	}
	// Nothing but junk behind the last chunk.
	data := append((&bag{}).drive().unclosed(), make([]byte, 1000)...)
	equal(t, "messages", everything(t, data).payloads(), names(12))
}

func TestDamageBetweenChunks(t *testing.T) {
	for _, indexed := range []bool{false, true} {
		b := (&bag{}).drive()
		whole := b.unclosed()
		if indexed {
			whole = b.closed()
		}
		off := int(b.all[1].pos)
		hl := int(binary.LittleEndian.Uint32(whole[off:]))
		for name, damage := range map[string]func(chunk []byte){
			"no header":           func(c []byte) { copy(c, le32(0)) },
			"header too long":     func(c []byte) { copy(c, le32(77777)) },
			"header beyond limit": func(c []byte) { copy(c, le32(1<<31)) },
			"data too long":       func(c []byte) { copy(c[4+hl:], le32(10_000_000)) },
			"data a bit too long": func(c []byte) { copy(c[4+hl:], le32(binary.LittleEndian.Uint32(c[4+hl:])+20)) },
			"data too short":      func(c []byte) { copy(c[4+hl:], le32(10)) },
			"other op":            func(c []byte) { c[strings.Index(string(c), "op=")+3] = 0x42 },
		} {
			data := slices.Clone(whole)
			damage(data[off:])
			r := everything(t, data)
			for _, m := range append(names(12)[:4], names(12)[8:]...) {
				if !slices.Contains(r.payloads(), m) {
					t.Errorf("indexed %t, %s: %s is lost, problems %v", indexed, name, m, r.problems)
				}
			}
			if len(r.rows) < 12 && !slices.ContainsFunc(r.problems, func(p pipeline.Problem) bool { return p.Loses }) {
				t.Errorf("indexed %t, %s: no loss is told: %v", indexed, name, r.problems)
			}
		}
	}
}

func Test27Encrypted(t *testing.T) {
	b := &bag{extra: field("encryptor", []byte("rosbag/AesCbcEncryptor"))}
	data := b.drive().closed()
	_, err := New().Describe(context.Background(), inMemory(data))
	checkError(t, "encrypted", err, pipeline.ErrUnsupported, 13)
	if !strings.Contains(err.Error(), "rosbag/AesCbcEncryptor") {
		t.Error(err)
	}
	b = &bag{extra: field("encryptor", nil)}
	equal(t, "messages", everything(t, b.drive().closed()).payloads(), names(12))
}

func Test28Versions(t *testing.T) {
	for line, c := range map[string]struct {
		kind error
		says string
	}{
		"#ROSRECORD V1.2\n":       {pipeline.ErrUnsupported, `"1.2"`},
		"#ROSRECORD V1.1\n":       {pipeline.ErrUnsupported, `"1.1"`},
		"#ROSLOG V1.1\n":          {pipeline.ErrUnsupported, "#ROSLOG"},
		"#ROSBAG V2.1\n":          {pipeline.ErrUnsupported, `"2.1"`},
		"#ROSBAG V3.0\n":          {pipeline.ErrUnsupported, `"3.0"`},
		"\x89MCAP0\r\n":           {pipeline.ErrCorrupt, "version line"},
		"#ROSBAG V2.0":            {pipeline.ErrTruncated, "version line"},
		"#ROS":                    {pipeline.ErrTruncated, "version line"},
		"":                        {pipeline.ErrTruncated, "version line"},
		strings.Repeat("x", 5000): {pipeline.ErrCorrupt, "version line"},
	} {
		_, err := New().Describe(context.Background(), inMemory([]byte(line)))
		offset := int64(0)
		if errors.Is(c.kind, pipeline.ErrTruncated) {
			offset = int64(len(line))
		}
		checkError(t, line, err, c.kind, offset)
		if !strings.Contains(err.Error(), c.says) {
			t.Error(err)
		}
	}
}

func Test32WrongCounts(t *testing.T) {
	for i, counts := range []func(c, n uint32) []uint32{
		func(c, n uint32) []uint32 { return []uint32{c + 1, n} },
		func(c, n uint32) []uint32 { return []uint32{c - 1, n} },
		func(c, n uint32) []uint32 { return []uint32{c, n + 1} },
		func(c, n uint32) []uint32 { return []uint32{c, n - 1} },
		func(c, n uint32) []uint32 { return []uint32{c + 1, n - 1} },
		func(c, n uint32) []uint32 { return []uint32{0, 0} },
		func(c, n uint32) []uint32 { return []uint32{1 << 31, 1 << 31} },
	} {
		r := everything(t, (&bag{counts: counts}).drive().closed())
		equal(t, "messages", r.payloads(), names(12))
		if r.d.Indexed || !r.has("bad_index") {
			t.Errorf("%d: problems %v", i, r.problems)
		}
	}
	// Chunk infos that lead astray.
	for i, infos := range []func([]info) []info{
		func(in []info) []info { return []info{in[0], in[1], in[1]} },
		func(in []info) []info { in = slices.Clone(in); in[2].pos++; return in },
		func(in []info) []info { in = slices.Clone(in); in[0].pos = 5; return in },
		func(in []info) []info { in = slices.Clone(in); in[0].pos = 1 << 40; return in },
		func(in []info) []info { in = slices.Clone(in); in[0].start, in[0].end = at(9, 0), at(8, 0); return in },
		func(in []info) []info {
			in = slices.Clone(in)
			in[0].counts = map[uint32]uint32{0: 2, 99: 2}
			return in
		},
	} {
		r := everything(t, (&bag{infos: infos}).drive().closed())
		equal(t, "messages", r.payloads(), names(12))
		if r.d.Indexed || !r.has("bad_index") {
			t.Errorf("%d: problems %v", i, r.problems)
		}
	}
	// An index that was appended twice.
	b := (&bag{}).drive()
	pos := len(b.out)
	whole := b.closed()
	r := everything(t, append(whole, whole[pos:]...))
	equal(t, "messages", r.payloads(), names(12))
}

func Test33IndexCounts(t *testing.T) {
	for _, claim := range []uint32{1, 3} {
		b := &bag{infos: func(in []info) []info {
			in = slices.Clone(in)
			in[1].counts = map[uint32]uint32{0: claim, 1: 2}
			return in
		}}
		r := everything(t, b.drive().closed())
		equal(t, "messages", r.payloads(), names(12))
		if !r.has("index_mismatch") {
			t.Errorf("problems %v", r.problems)
		}
		if claim == 3 && r.counts["/a"].Lost != 1 {
			t.Errorf("counts %+v", r.counts["/a"])
		}
	}
}

func Test34SizeLies(t *testing.T) {
	for _, codec := range []string{"", codecLZ4} {
		for _, size := range []func([]byte) uint32{
			func(raw []byte) uint32 { return uint32(len(raw)) - 1 },
			func(raw []byte) uint32 { return uint32(len(raw)) + 1 },
			func([]byte) uint32 { return 0 },
			func([]byte) uint32 { return 1 << 29 },
			func([]byte) uint32 { return 1<<32 - 1 },
		} {
			b := &bag{codec: codec}
			b.connect(0, "/a")
			b.write(0, at(1, 0), "m0")
			b.endChunk()
			b.sizeOf = size
			b.write(0, at(2, 0), "lost")
			b.endChunk()
			b.sizeOf = nil
			b.write(0, at(3, 0), "m1")
			for _, data := range [][]byte{b.closed(), b.unclosed()} {
				r := everything(t, data)
				equal(t, "messages", r.payloads(), []string{"m0", "m1"})
				if !r.has("bad_chunk") || r.counts["/a"].Lost != 1 {
					t.Errorf("problems %v, counts %v", r.problems, r.counts)
				}
			}
		}
	}
}

func TestChecksum(t *testing.T) {
	b := &bag{codec: codecLZ4}
	b.connect(0, "/a")
	b.write(0, at(1, 0), "m0")
	data := b.closed()
	i := strings.LastIndex(string(data[:b.all[0].pos+600]), "m0")
	data[i] = 'x'
	if r := everything(t, data); len(r.rows) != 0 || !r.has("crc_mismatch") || r.counts["/a"].Lost != 1 {
		t.Errorf("rows %v, problems %v", r.rows, r.problems)
	}
}

func Test36ConnectionTwice(t *testing.T) {
	b := &bag{}
	b.connect(0, "/a")
	b.write(0, at(1, 0), "m0")
	b.endChunk()
	b.declare(conn{0, "/other", "std_msgs/Int32", "da5909fbe378aeaf85e547e830cc1bb7", "int32 data\n", nil})
	b.write(0, at(2, 0), "m1")
	b.endChunk()
	b.noData = true
	b.declare(conn{0, "/a", strType, strMD5, strDef, []string{"callerid", "/again"}})
	b.write(0, at(3, 0), "m2")
	for _, data := range [][]byte{b.closed(), b.unclosed()} {
		r := everything(t, data)
		equal(t, "messages", r.payloads(), names(3))
		if len(r.d.Tables) != 1 || r.d.Tables[0].SchemaName != strType {
			t.Errorf("tables %v", r.d.Tables)
		}
		n := 0
		for _, p := range r.problems {
			if p.Kind == "duplicate_connection" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("problems %v", r.problems)
		}
	}
}
