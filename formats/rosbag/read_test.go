package rosbag

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"
	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
)

// The numbers in the names of tests are those of a checklist for readers of
// this format: 01 is the empty bag, 36 a connection defined twice.

func Test01Empty(t *testing.T) {
	for _, data := range [][]byte{(&bag{}).closed(), func() []byte { b := &bag{}; b.open(); return b.out }()} {
		r := everything(t, data)
		if len(r.d.Tables) != 0 || len(r.rows) != 0 || r.d.HasTime {
			t.Errorf("tables %v, rows %v", r.d.Tables, r.rows)
		}
	}
	if d := everything(t, (&bag{}).closed()).d; !d.Indexed || len(d.Problems) != 0 || d.Version != "2.0" {
		t.Errorf("description %+v", d)
	}
}

// chunkBZ2 is what bzip2 -1 makes of the four messages of Test02Codecs.
const chunkBZ2 = "QlpoMTFBWSZTWSdmxaMAAEJZgFYiQQB4Ai+jzAAgAHBQAABkyAqqmEae0g0mGmpmXDam/7MkQIJkgILgmQU12pQ6KmR4QTblRe6LHh8ILFjAvIJmB/F3JFOFCQJ2bFow"

func Test02Codecs(t *testing.T) {
	want := everything(t, (&bag{}).drive().closed())
	equal(t, "messages", want.payloads(), names(12))
	if r := everything(t, (&bag{codec: codecLZ4}).drive().closed()); true {
		equal(t, "lz4", r.rows, want.rows)
		equal(t, "compression", r.d.Compression[0].Codec, "lz4")
	}
	// A bag of one chunk that was compressed elsewhere.
	one := func(b *bag) []byte {
		b.connect(0, "/a")
		b.chunk = nil
		for i := range uint32(4) {
			b.write(0, at(100+i, 5), fmt.Sprintf("message %d", i))
		}
		return b.closed()
	}
	r := everything(t, one(&bag{codec: codecBZ2, pack: func([]byte) []byte { return unbase64(t, chunkBZ2) }}))
	equal(t, "bz2", r.rows, everything(t, one(&bag{})).rows)
	if len(r.rows) != 4 || len(r.problems) != 0 {
		t.Errorf("bz2: rows %v, problems %v", r.rows, r.problems)
	}
}

func unbase64(t testing.TB, s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func Test03LZ4Frames(t *testing.T) {
	noise := make([]byte, 200<<10)
	for i := range noise {
		noise[i] = byte(rand.New(rand.NewPCG(1, uint64(i))).Uint32())
	}
	make := func(pack func([]byte) []byte) []byte {
		b := &bag{codec: codecLZ4, pack: pack}
		b.connect(0, "/a")
		b.write(0, at(1, 0), strings.Repeat("text ", 60<<10))
		b.write(0, at(2, 0), string(noise))
		return b.closed()
	}
	want := everything(t, make(packLZ4))
	if len(want.rows) != 2 || want.rows[1].data != string(noise) {
		t.Fatal("messages differ")
	}
	for name, pack := range map[string]func([]byte) []byte{
		"64 KiB blocks with checksums": func(b []byte) []byte {
			return packLZ4With(b, lz4.BlockSizeOption(lz4.Block64Kb), lz4.BlockChecksumOption(true), lz4.ChecksumOption(true))
		},
		"4 MiB blocks, content size": func(b []byte) []byte {
			return packLZ4With(b, lz4.BlockSizeOption(lz4.Block4Mb), lz4.SizeOption(uint64(len(b))), lz4.ChecksumOption(false))
		},
		"stored blocks": func(b []byte) []byte { return lz4Frame(b, false) },
		"linked blocks": func(b []byte) []byte { return lz4Frame(b, true) },
		"two frames":    func(b []byte) []byte { return append(packLZ4(b[:1000]), packLZ4(b[1000:])...) },
		"skippable frame": func(b []byte) []byte {
			return append([]byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}, packLZ4(b)...)
		},
	} {
		r := everything(t, make(pack))
		if !slices.Equal(r.rows, want.rows) || len(r.problems) != 0 {
			t.Errorf("%s: %d rows, problems %v", name, len(r.rows), r.problems)
		}
	}
}

// lz4Frame writes a frame of blocks of 64 KiB by hand. Linked blocks copy the
// byte before the block, if that is what they begin with, from the block before.
func lz4Frame(raw []byte, linked bool) []byte {
	flags := byte(0x60)
	if linked {
		flags = 0x40
	}
	descriptor := []byte{flags, 0x40}
	out := []byte{0x04, 0x22, 0x4d, 0x18, flags, 0x40, byte(xxh32(descriptor) >> 8)}
	for off := 0; off < len(raw); off += 64 << 10 {
		block := raw[off:min(off+64<<10, len(raw))]
		// The text repeats every five bytes: 4 + 15 + 255 k of them as a match.
		if linked && off >= 5 && bytes.Equal(block[:300], raw[off-5:off+295]) {
			rest := block[4+15+255:]
			seq := []byte{0x0f, 5, 0, 255, 0} // no literals, match of 274 at distance 5
			seq = append(seq, 0xf0)
			n := len(rest) - 15
			for ; n >= 255; n -= 255 {
				seq = append(seq, 255)
			}
			seq = append(append(seq, byte(n)), rest...)
			out = append(append(out, le32(uint32(len(seq)))...), seq...)
			continue
		}
		out = append(append(out, le32(uint32(len(block))|1<<31)...), block...)
	}
	return append(out, 0, 0, 0, 0)
}

// xxh32 is the checksum of fewer than four bytes with seed 0.
func xxh32(b []byte) uint32 {
	h := uint32(374761393) + uint32(len(b))
	for _, c := range b {
		h += uint32(c) * 374761393
		h = (h<<11 | h>>21) * 2654435761
	}
	h = (h ^ h>>15) * 2246822519
	h = (h ^ h>>13) * 3266489917
	return h ^ h>>16
}

func Test05FieldOrder(t *testing.T) {
	want := everything(t, (&bag{}).drive().closed())
	for _, codec := range []string{"", codecLZ4} {
		r := everything(t, (&bag{odd: true, codec: codec}).drive().closed())
		equal(t, "rows", r.rows, want.rows)
		if !r.d.Indexed || len(r.problems) != 0 {
			t.Errorf("problems %v", r.problems)
		}
		r = everything(t, (&bag{odd: true, codec: codec}).drive().unclosed())
		equal(t, "rows of a scan", r.rows, want.rows)
	}
}

func TestMessageHeaderOrders(t *testing.T) {
	fields := [][]byte{field("conn", le32(7)), op(opMessage), field("time", le64(at(3, 4)))}
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		rec := (&bag{}).record([]byte("x"), fields[order[0]], fields[order[1]], fields[order[2]])
		var w chunkWalker
		recs, n, err := w.walk(bytes.Repeat(rec, 3), nil)
		if err != nil || n != 3*len(rec) || len(recs) != 3 || !w.known.matches((*[messageHeaderLen]byte)(rec[4:])) {
			t.Errorf("%v: %d records in %d bytes: %v", order, len(recs), n, err)
		}
		for _, r := range recs {
			if r.Channel != 7 || r.LogTime != 3e9+4 || r.Span.End-r.Span.Start != 1 {
				t.Errorf("%v: %+v", order, r)
			}
		}
	}
}

func Test06FieldValues(t *testing.T) {
	b := &bag{}
	b.declare(conn{0, "/a=b\x00\n", strType, strMD5, "string data # x=1\x00\n", []string{"note", "p=q\x00r"}})
	b.write(0, at(1, 0), "m0")
	for _, data := range [][]byte{b.closed(), b.unclosed()} {
		r := everything(t, data)
		equal(t, "topic", r.d.Tables[0].Table.Name, "/a=b\x00\n")
		equal(t, "note", r.d.Tables[0].Table.Attributes["note"], "p=q\x00r")
		equal(t, "definition", r.d.Index.(*recording).conns[0].definition, "string data # x=1\x00\n")
	}
	var h header
	if _, err := h.parse(slices.Concat(op(1), op(2))); err != nil || h.op[0] != 2 {
		t.Errorf("the last of two fields should hold: %v, %v", h.op, err)
	}
}

func Test07BadHeaders(t *testing.T) {
	head := int64(len(magic) + 1)
	for name, c := range map[string]struct {
		record []byte
		offset int64
		kind   error
	}{
		"header longer than the file":  {slices.Concat(le32(5000), op(opBagHeader)), head, pipeline.ErrTruncated},
		"header beyond the limit":      {slices.Concat(le32(1<<30), op(opBagHeader)), head, pipeline.ErrLimit},
		"no header":                    {le32(0), head, pipeline.ErrCorrupt},
		"field longer than header":     {(&bag{}).record(nil, op(opBagHeader), slices.Concat(le32(99), []byte("a=b"))), head + 4 + 8, pipeline.ErrCorrupt},
		"field without =":              {(&bag{}).record(nil, slices.Concat(le32(3), []byte("abc")), op(opBagHeader)), head + 4, pipeline.ErrCorrupt},
		"field length cut":             {(&bag{}).record(nil, op(opBagHeader), []byte{1, 0}), head + 4 + 8, pipeline.ErrCorrupt},
		"no op":                        {(&bag{}).record(nil, field("index_pos", le64(0))), head + 4, pipeline.ErrCorrupt},
		"another op":                   {(&bag{}).record(nil, op(opChunk)), head, pipeline.ErrCorrupt},
		"index_pos of the wrong size":  {(&bag{}).record(nil, op(opBagHeader), field("index_pos", le32(0))), head, pipeline.ErrCorrupt},
		"conn_count of the wrong size": {(&bag{}).record(nil, op(opBagHeader), field("index_pos", le64(0)), field("conn_count", nil)), head, pipeline.ErrCorrupt},
	} {
		_, err := New().Describe(context.Background(), inMemory(append([]byte(magic+"\n"), c.record...)))
		checkError(t, name, err, c.kind, c.offset)
	}
}

func checkError(t *testing.T, name string, err error, kind error, offset int64) {
	t.Helper()
	var d *pipeline.DecodeError
	if !errors.As(err, &d) || !errors.Is(err, kind) || d.Object != "mem://drive.bag" || d.Format != Name || d.Offset != offset {
		t.Errorf("%s: %v, want one of kind %v at offset %d", name, err, kind, offset)
	}
}

func Test08Padding(t *testing.T) {
	want := everything(t, (&bag{}).drive().closed())
	for _, pad := range []int{1, 5000, 8192} {
		for _, data := range [][]byte{(&bag{pad: pad}).drive().closed(), (&bag{pad: pad}).drive().unclosed()} {
			equal(t, "rows", everything(t, data).rows, want.rows)
		}
	}
}

func Test09Unindexed(t *testing.T) {
	for _, noData := range []bool{false, true} {
		r := everything(t, (&bag{noData: noData}).drive().unclosed())
		equal(t, "messages", r.payloads(), names(12))
		if r.d.Indexed || !r.has("unindexed") || len(r.problems) != 1 {
			t.Errorf("problems %v", r.problems)
		}
		for _, ti := range r.d.Tables {
			equal(t, "rows told", ti.Rows, 6)
			equal(t, "ledger", r.counts[ti.Table.Name].Indexed, 6)
		}
		equal(t, "time range", [2]int64{r.d.Start, r.d.End}, [2]int64{100e9, 116e9 + 11})
	}
}

func Test10IndexedAsScanned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &bag{
			codec:   rapid.SampledFrom([]string{"", codecLZ4}).Draw(t, "codec"),
			odd:     rapid.Bool().Draw(t, "odd"),
			noData:  rapid.Bool().Draw(t, "no index data"),
			noChunk: rapid.Bool().Draw(t, "connections in index only"),
		}
		conns := rapid.IntRange(1, 4).Draw(t, "connections")
		for i := range conns {
			b.connect(uint32(i), fmt.Sprintf("/t%d", i%3))
		}
		for range rapid.IntRange(0, 4).Draw(t, "chunks") {
			for range rapid.IntRange(1, 6).Draw(t, "messages") {
				b.write(uint32(rapid.IntRange(0, conns-1).Draw(t, "conn")), at(rapid.Uint32().Draw(t, "sec"), rapid.Uint32Range(0, 999999999).Draw(t, "nsec")),
					rapid.StringN(0, 20, 40).Draw(t, "data"))
			}
			b.endChunk()
		}
		closed := b.closed()
		want := everything(t, closed)
		if !want.d.Indexed || len(want.problems) > 0 {
			t.Fatalf("problems %v", want.problems)
		}
		// The same bag with an index that cannot be used.
		scanned := slices.Clone(closed)
		copy(scanned[len(magic)+1:], b.header(0, 0, 0))
		for _, opt := range []pipeline.DecodeOptions{{Workers: 1, BatchRows: 1}, {Workers: 4}, {Workers: 4, BatchRows: 3}} {
			got := read(t, scanned, pipeline.Selection{}, opt)
			equal(t, "rows", got.rows, want.rows)
			if got.d.HasTime != want.d.HasTime || got.d.Start != want.d.Start || got.d.End != want.d.End {
				t.Errorf("time range %d to %d, want %d to %d", got.d.Start, got.d.End, want.d.Start, want.d.End)
			}
			for i := range want.d.Tables {
				g, w := got.d.Tables[i], want.d.Tables[i]
				if g.Table.Name != w.Table.Name || g.Rows != w.Rows {
					t.Errorf("table %s with %d rows, want %s with %d", g.Table.Name, g.Rows, w.Table.Name, w.Rows)
				}
			}
		}
		ordered := read(t, closed, pipeline.Selection{Order: pipeline.LogOrder}, pipeline.DecodeOptions{Workers: 4, BatchRows: 3})
		checkLogOrder(t, ordered, want)
	})
}

func checkLogOrder(t tester, got, storage *result) {
	want := map[string][]row{}
	for _, r := range storage.rows {
		want[r.table] = append(want[r.table], r)
	}
	seen := map[string][]row{}
	for _, r := range got.rows {
		seen[r.table] = append(seen[r.table], r)
	}
	for name, rows := range want {
		slices.SortStableFunc(rows, func(a, b row) int {
			switch {
			case a.time < b.time:
				return -1
			case a.time > b.time:
				return 1
			}
			return 0
		})
		if !slices.Equal(rows, seen[name]) {
			t.Errorf("log order of %s:\n got %v\nwant %v", name, seen[name], rows)
		}
	}
}
