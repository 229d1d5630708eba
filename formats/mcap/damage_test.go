package mcap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/pipeline"
)

// packed makes a file of three chunks, the second of which is spoilt.
func packed(spoil func(c *mcap.Chunk)) *builder {
	b := newBuilder("")
	for i := range 3 {
		c := b.chunk()
		c.schema(1, "pkg/A", "ros1msg", "x")
		c.channel(1, 1, "/a", "ros1")
		for k := range 50 {
			c.message(1, uint64(100*i+k), pair(uint64(k), strings.Repeat("text ", k%7)))
		}
		if i == 1 {
			c.spoil = spoil
		}
		c.write("")
	}
	return b
}

func lz4Frames(opts ...lz4.Option) func([]byte) []byte {
	return func(b []byte) []byte {
		var out bytes.Buffer
		w := lz4.NewWriter(&out)
		if err := w.Apply(append(opts, lz4.BlockSizeOption(lz4.Block64Kb))...); err != nil {
			panic(err)
		}
		w.Write(b)
		w.Close()
		return out.Bytes()
	}
}

func zstdStream(b []byte) []byte {
	var out bytes.Buffer
	w, _ := zstd.NewWriter(&out)
	// Flushing keeps the size out of the frame header.
	w.Write(b[:10])
	w.Flush()
	w.Write(b[10:])
	w.Close()
	return out.Bytes()
}

// linkedLZ4 is a frame whose blocks refer to those before them.
func linkedLZ4(b []byte) []byte {
	frame := lz4Frames()(b)
	// Without the flag of independence a decoder keeps a window; independent
	// blocks are legal in such a frame. The header checksum follows the flags.
	frame[4] &^= 0x20
	frame[6] = headerChecksum(frame[4:6])
	return frame
}

// headerChecksum is the second byte of the XXH32 of an LZ4 frame descriptor.
func headerChecksum(b []byte) byte {
	const p1, p2, p3, p5 = 2654435761, 2246822519, 3266489917, 374761393
	h := uint32(p5 + len(b))
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*p5, 11) * p1
	}
	h = (h ^ h>>15) * p2
	h = (h ^ h>>13) * p3
	return byte((h ^ h>>16) >> 8)
}

// Checklist 13 and 14: all the ways to compress a chunk.
func Test13_14Codecs(t *testing.T) {
	pack := map[string]struct {
		codec string
		f     func([]byte) []byte
	}{
		"lz4 block checksum":     {"lz4", lz4Frames(lz4.BlockChecksumOption(true))},
		"lz4 content checksum":   {"lz4", lz4Frames(lz4.ChecksumOption(true))},
		"lz4 no checksum":        {"lz4", lz4Frames(lz4.ChecksumOption(false))},
		"lz4 size":               {"lz4", lz4Frames(lz4.SizeOption(50))},
		"lz4 linked":             {"lz4", linkedLZ4},
		"lz4 two frames":         {"lz4", func(b []byte) []byte { f := lz4Frames(); return append(f(b[:100]), f(b[100:])...) }},
		"lz4 padding":            {"lz4", func(b []byte) []byte { return append(lz4Frames()(b), make([]byte, 20)...) }},
		"zstd without size":      {"zstd", zstdStream},
		"zstd two frames":        {"zstd", func(b []byte) []byte { return append(compress("zstd", b[:100]), compress("zstd", b[100:])...) }},
		"zstd padding":           {"zstd", func(b []byte) []byte { return append(compress("zstd", b), make([]byte, 20)...) }},
		"zstd a byte of padding": {"zstd", func(b []byte) []byte { return append(zstdStream(b), 0) }},
	}
	for name, p := range pack {
		b := packed(func(c *mcap.Chunk) {
			c.Compression, c.Records = p.codec, p.f(c.Records)
			c.Size = uint64(len(c.Records))
		})
		for _, data := range bothWays(b) {
			if r := read(t, data, choice{}); r.err != nil || r.total() != 150 || slices.Contains(r.kinds(), "chunk_corrupt") || slices.Contains(r.kinds(), "crc_mismatch") {
				t.Errorf("%s: %v, %d rows, %v", name, r.err, r.total(), r.problems)
			}
		}
	}
}

// Checklist 15, 16, 18, 19, 30, 32, 33 and trap 16: a spoilt chunk costs what
// it must, is told, and the chunks around it are read.
func Test15_16_18_19_30_32_33SpoiltChunks(t *testing.T) {
	flip := func(i int) func(c *mcap.Chunk) {
		return func(c *mcap.Chunk) { c.Records = slices.Clone(c.Records); c.Records[i] ^= 0x01 }
	}
	cases := []struct {
		name  string
		spoil func(c *mcap.Chunk)
		kind  string
		kept  [2]int // rows of the chunk that remain: least and most
	}{
		{"codec br", func(c *mcap.Chunk) { c.Compression = "br" }, "chunk_compression", [2]int{0, 0}},
		{"byte flipped", flip(200), "crc_mismatch", [2]int{50, 50}},
		{"byte flipped, no CRC", func(c *mcap.Chunk) { flip(200)(c); c.UncompressedCRC = 0 }, "", [2]int{50, 50}},
		{"huge claim", func(c *mcap.Chunk) { c.UncompressedSize = 1 << 40 }, "chunk_limit", [2]int{0, 0}},
		{"huge claim, zstd", func(c *mcap.Chunk) {
			c.Compression, c.Records = "zstd", compress("zstd", c.Records)
			c.Size, c.UncompressedSize = uint64(len(c.Records)), 1<<40
		}, "chunk_limit", [2]int{0, 0}},
		{"large claim, zstd", func(c *mcap.Chunk) {
			c.Compression, c.Records = "zstd", compress("zstd", c.Records)
			c.Size, c.UncompressedSize = uint64(len(c.Records)), 1<<29
		}, "chunk_size", [2]int{50, 50}},
		{"large claim, lz4", func(c *mcap.Chunk) {
			c.Compression, c.Records = "lz4", compress("lz4", c.Records)
			c.Size, c.UncompressedSize = uint64(len(c.Records)), 1<<29
		}, "chunk_size", [2]int{50, 50}},
		{"small claim, zstd", func(c *mcap.Chunk) {
			c.Compression, c.Records = "zstd", compress("zstd", c.Records)
			c.Size, c.UncompressedSize = uint64(len(c.Records)), 10
		}, "chunk_size", [2]int{50, 50}},
		{"stored size differs", func(c *mcap.Chunk) { c.UncompressedSize += 5 }, "chunk_size", [2]int{0, 0}},
		{"records claim too much", func(c *mcap.Chunk) { c.Size += 50; c.UncompressedSize += 50 }, "chunk_corrupt", [2]int{50, 50}},
		{"half a record at the end", func(c *mcap.Chunk) {
			c.Records = c.Records[:len(c.Records)-5]
			c.Size, c.UncompressedSize, c.UncompressedCRC = uint64(len(c.Records)), uint64(len(c.Records)), 0
		}, "chunk_corrupt", [2]int{49, 49}},
		{"zstd cut", func(c *mcap.Chunk) {
			c.Compression, c.Records = "zstd", zstdStream(c.Records)
			c.Records = c.Records[:len(c.Records)-20]
			c.Size = uint64(len(c.Records))
		}, "chunk_corrupt", [2]int{0, 49}},
		{"lz4 cut", func(c *mcap.Chunk) {
			c.Compression, c.Records = "lz4", compress("lz4", c.Records)
			c.Records = c.Records[:len(c.Records)-20]
			c.Size = uint64(len(c.Records))
		}, "chunk_corrupt", [2]int{0, 49}},
		{"zstd is noise", func(c *mcap.Chunk) { c.Compression = "zstd" }, "chunk_corrupt", [2]int{0, 0}},
		{"lz4 is noise", func(c *mcap.Chunk) { c.Compression = "lz4" }, "chunk_corrupt", [2]int{0, 0}},
	}
	for _, tc := range cases {
		for i, data := range bothWays(packed(tc.spoil)) {
			r := read(t, data, choice{})
			if r.err != nil || r.d.Indexed != (i == 0) {
				t.Errorf("%s: %v, %v", tc.name, r.err, r.problems)
				continue
			}
			kept := r.total() - 100
			if kept < tc.kept[0] || kept > tc.kept[1] {
				t.Errorf("%s: %d rows of the chunk, want %v", tc.name, kept, tc.kept)
			}
			if tc.kind != "" && !slices.Contains(r.kinds(), tc.kind) {
				t.Errorf("%s: problems %v", tc.name, r.problems)
			}
			rows, lost := r.lost()
			if r.d.Indexed && int(rows) != 50-kept {
				t.Errorf("%s: %d rows told as lost, %d are", tc.name, rows, 50-kept)
			}
			if kept < 50 && lost == 0 {
				t.Errorf("%s: no bytes told as lost", tc.name)
			}
			for _, p := range r.problems {
				if p.Loses != (kept < 50) && p.Kind == tc.kind && !strings.HasPrefix(tc.name, "records claim") && !strings.HasPrefix(tc.name, "large claim") {
					t.Errorf("%s: %+v", tc.name, p)
				}
			}
			last := r.rows["/a"][len(r.rows["/a"])-1]
			if r.d.Indexed && !strings.HasPrefix(last, "#149 ") {
				t.Errorf("%s: last row %s", tc.name, last)
			}
		}
	}
}

// Checklist 18: the memory a chunk claims is not allocated.
func Test18ClaimsDoNotAllocate(t *testing.T) {
	b := packed(func(c *mcap.Chunk) {
		c.Compression, c.Records = "zstd", compress("zstd", c.Records)
		c.Size, c.UncompressedSize = uint64(len(c.Records)), 1<<29
	})
	data := b.finish()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read(t, data, choice{})
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d bytes allocated for a file of %d", n, len(data))
	}
}

// Checklist 17: each checksum passes, fails, or is not there.
func Test17Checksums(t *testing.T) {
	for _, noCRC := range []bool{false, true} {
		b := sample("", 30, func(b *builder) { b.noCRC = noCRC })
		data := b.finish()
		problems := func(data []byte) (kinds []string, details string) {
			r := mcap.NewReader(bytes.NewReader(data), int64(len(data)), mcap.Limits{})
			defer r.Close()
			for {
				if _, err := r.Next(); err != nil {
					if !errors.Is(err, io.EOF) {
						t.Fatal(err)
					}
					break
				}
			}
			for _, p := range r.Problems() {
				kinds = append(kinds, p.Kind)
				details += p.Detail + "\n"
			}
			return kinds, details
		}
		if k, _ := problems(data); len(k) > 0 {
			t.Errorf("problems %v in a whole file", k)
		}
		flip := func(at int) []byte {
			d := slices.Clone(data)
			d[at] ^= 0x10
			return d
		}
		for _, tc := range []struct {
			what string
			at   int
			sums []string
		}{
			{"attachment", bytes.Index(data, []byte("hello")), []string{"attachment", "data section"}},
			{"chunk", bytes.Index(data, []byte("text 3")) + 2, []string{"chunk", "data section"}},
			{"data", bytes.Index(data, []byte("builder")), []string{"data section"}},
			{"summary", bytes.LastIndex(data, []byte("notes.txt")), []string{"summary"}},
		} {
			k, d := problems(flip(tc.at))
			if noCRC {
				if len(k) > 0 {
					t.Errorf("%s: problems %v without checksums", tc.what, k)
				}
				continue
			}
			if len(k) != len(tc.sums) {
				t.Errorf("%s: problems %v %s", tc.what, k, d)
			}
			for _, s := range tc.sums {
				if !strings.Contains(d, s) {
					t.Errorf("%s: no problem tells of the %s: %s", tc.what, s, d)
				}
			}
		}
		// A summary that is not what it should be is not used.
		r := read(t, flip(bytes.LastIndex(data, []byte("notes.txt"))), choice{})
		wantSample(t, r, 30)
		if r.d.Indexed != noCRC || slices.Contains(r.kinds(), "crc_mismatch") == noCRC {
			t.Errorf("summary: indexed %v, %v", r.d.Indexed, r.problems)
		}
	}
}

// Checklist 11 and 29: a file cut at every byte gives what lies before the
// cut, and nothing else.
func Test11_29Truncation(t *testing.T) {
	for _, codec := range []string{"", "lz4", "zstd"} {
		b := sample(codec, 15, nil)
		b.message(2, 1015, pair(15, "text 15"))
		b.message(1, 1016, pair(16, "text 16"))
		var ends []int // of chunks, then of the messages behind
		for _, c := range b.chunks {
			ends = append(ends, int(c.Offset+c.Length))
		}
		dataEnd := len(b.buf)
		data := b.finish()
		whole := read(t, data, choice{})
		for cut := range data {
			r := read(t, data[:cut], choice{})
			if cut < len(mcap.Magic) {
				if !errors.Is(r.err, pipeline.ErrTruncated) {
					t.Fatalf("%s cut at %d: %v", codec, cut, r.err)
				}
				continue
			}
			if r.err != nil {
				t.Fatalf("%s cut at %d: %v", codec, cut, r.err)
			}
			if !slices.Contains(r.kinds(), "truncated") {
				t.Fatalf("%s cut at %d: problems %v", codec, cut, r.problems)
			}
			least := 0
			for i, e := range ends {
				if cut >= e {
					least = min(10*(i+1), 15)
				}
			}
			if cut >= dataEnd {
				least = 17
			}
			if n := r.total(); n < least || codec == "" && cut > ends[0]+100 && n == 0 {
				t.Fatalf("%s cut at %d: %d rows, want %d at least", codec, cut, n, least)
			}
			for name, rows := range r.rows {
				if !slices.Equal(rows, whole.rows[name][:len(rows)]) {
					t.Fatalf("%s cut at %d: rows that are not in the file: %v", codec, cut, rows)
				}
			}
		}
	}
	data := sample("", 10, nil).finish()
	r := read(t, data[:200], choice{})
	for _, p := range r.problems {
		if p.Kind == "truncated" && (!strings.Contains(p.Detail, "Chunk of ") || !strings.Contains(p.Detail, "has only") || p.Offset <= 0) {
			t.Errorf("problem %+v", p)
		}
	}
}

// Checklist 31: no footer, no magic, a tail of zeros.
func Test31Crashes(t *testing.T) {
	b := sample("zstd", 30, nil)
	body := slices.Clone(b.buf)
	data := b.finish()
	zeros := append(slices.Clone(body), make([]byte, 5000)...)
	half := append(slices.Clone(body[:len(body)-1]), make([]byte, 5000)...)
	for name, cut := range map[string][]byte{
		"no end": body, "no footer": data[:len(data)-37], "no magic": data[:len(data)-8], "zeros": zeros, "zeros inside a record": half,
	} {
		r := read(t, cut, choice{})
		wantSample(t, r, 30)
		if !slices.Contains(r.kinds(), "truncated") || r.d.Indexed {
			t.Errorf("%s: %v", name, r.problems)
		}
	}
	r := read(t, append(slices.Clone(data), "more"...), choice{})
	wantSample(t, r, 30)
	if !slices.Contains(r.kinds(), "corrupt") {
		t.Errorf("bytes after the end: %v", r.problems)
	}
}

// Checklist 27: an index that points elsewhere is told, and the file scanned.
func Test27LyingChunkIndex(t *testing.T) {
	for name, lie := range map[string]func(b *builder){
		"beyond the end": func(b *builder) { b.chunks[2].Offset += 1 << 40 },
		"too long":       func(b *builder) { b.chunks[2].Length += 1 << 40 },
		"overlap":        func(b *builder) { b.chunks[2].Offset = b.chunks[1].Offset + 1 },
		"no chunk":       func(b *builder) { b.chunks[2].Offset -= 8; b.chunks[2].MessageIndexOffsets = nil },
		"channel":        func(b *builder) { b.chunks[1].MessageIndexOffsets[0].ChannelID = 7 },
		"number":         func(b *builder) { b.stats.ChunkCount++ },
		"counts":         func(b *builder) { b.stats.MessageCount++ },
	} {
		b := sample("zstd", 50, nil)
		lie(b)
		r := read(t, b.finish(), choice{})
		wantSample(t, r, 50)
		if !slices.Contains(r.kinds(), "bad_index") {
			t.Errorf("%s: %v", name, r.problems)
		}
	}
	// An index that is whole, but tells of another place, shows when the chunk
	// is fetched.
	b := sample("zstd", 50, nil)
	for i := range b.chunks[2].MessageIndexOffsets {
		b.chunks[2].MessageIndexOffsets[i].Offset -= 8
	}
	b.chunks[2].Offset -= 8
	for _, order := range []pipeline.Order{pipeline.StorageOrder, pipeline.LogOrder} {
		r := read(t, b.finish(), choice{order: order})
		if r.err != nil || !slices.Contains(r.kinds(), "bad_index") {
			t.Errorf("%v %v", r.err, r.problems)
		}
		if order == pipeline.StorageOrder {
			wantSample(t, r, 50)
		} else if rows, _ := r.lost(); int(rows) != 50-r.total() {
			t.Errorf("%d rows lost, %d told", 50-r.total(), rows)
		}
		b = sample("zstd", 50, nil)
		for i := range b.chunks[2].MessageIndexOffsets {
			b.chunks[2].MessageIndexOffsets[i].Offset -= 8
		}
		b.chunks[2].Offset -= 8
	}
}

// Checklist 20: indexed and scanned reading agree, whatever the recording.
func Test20IndexedEqualsScanned(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBuilder("")
		b.pad = rapid.IntRange(0, 2).Draw(rt, "pad")
		b.noMessageIndex = rapid.Bool().Draw(rt, "no message index")
		b.noChannelCounts = rapid.Bool().Draw(rt, "no channel counts")
		b.noOffsets = rapid.Bool().Draw(rt, "no offsets")
		now := uint64(100)
		for range rapid.IntRange(0, 5).Draw(rt, "chunks") {
			c := b.chunk()
			c.schema(1, "pkg/A", "ros1msg", "x")
			for id := range uint16(4) {
				c.channel(id, 1, fmt.Sprint("/", id%3), "ros1")
			}
			for range rapid.IntRange(0, 12).Draw(rt, "messages") {
				now += rapid.Uint64Range(0, 3).Draw(rt, "step")
				c.message(uint16(rapid.IntRange(0, 3).Draw(rt, "channel")), now-rapid.Uint64Range(0, 9).Draw(rt, "back"), pair(now, "x"))
			}
			c.write(rapid.SampledFrom([]string{"", "lz4", "zstd"}).Draw(rt, "codec"))
			if rapid.IntRange(0, 5).Draw(rt, "loose") == 0 {
				b.message(uint16(rapid.IntRange(0, 3).Draw(rt, "channel")), now, pair(now, "loose"))
			}
			if rapid.Bool().Draw(rt, "attachment") {
				b.attachment("x", []byte("data"))
			}
		}
		ch := choice{workers: rapid.IntRange(1, 3).Draw(rt, "workers"), rows: rapid.IntRange(1, 9).Draw(rt, "rows")}
		if rapid.Bool().Draw(rt, "select") {
			ch.tables = []string{"/1"}
		}
		if rapid.Bool().Draw(rt, "window") {
			ch.from, ch.to = 105, 120
		}
		if rapid.Bool().Draw(rt, "log order") {
			ch.order = pipeline.LogOrder
		}
		files := bothWays(b)
		a, z := read(t, files[0], ch), read(t, files[1], ch)
		if a.err != nil || z.err != nil || fmt.Sprint(a.rows) != fmt.Sprint(z.rows) {
			rt.Fatalf("indexed %v %v\nscanned %v %v", a.err, a.rows, z.err, z.rows)
		}
		for name, c := range a.counts {
			o := z.counts[name]
			if c.Found != o.Found || c.Decoded != o.Decoded || c.Unselected != o.Unselected || c.Lost != 0 {
				rt.Fatalf("%s: indexed %+v, scanned %+v", name, c, o)
			}
		}
		for i, info := range a.d.Tables {
			if o := z.d.Tables[i]; info.Table.Name != o.Table.Name || info.Rows >= 0 && info.Rows != o.Rows {
				rt.Fatalf("tables %+v, %+v", info, o)
			}
		}
	})
}

// A million random changes are for fuzzing; a few hundred show at each build
// that none makes a reader hang, panic or invent a balance.
func TestMutations(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, codec := range []string{"", "lz4", "zstd"} {
		data := sample(codec, 40, nil).finish()
		for range 300 {
			bad := slices.Clone(data)
			for range 1 + rnd.IntN(3) {
				bad[rnd.IntN(len(bad))] = byte(rnd.Uint32())
			}
			read(t, bad, choice{limits: mcap.Limits{Chunk: 1 << 20, Record: 1 << 20}})
		}
	}
}
