package mdf4

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/formats/mdf4/mdf4test"
	"github.com/drivemill/drivemill/pipeline"
)

// seeds are small files that between them hold every kind of block.
func seeds() [][]byte {
	texts, _ := unsorted(6, true)
	label := "on"
	c := field("x", mdf4test.UnsignedLE, 8)
	c.Conversion = &conversion.Block{Type: 7, Values: []float64{1}, Refs: []conversion.Ref{{Text: &label}, {Conversion: &conversion.Block{Type: 1, Values: []float64{0, 2}}}}}
	grid := &mdf4test.Channel{Name: "grid", Data: mdf4test.UnsignedLE, Byte: 1, Bits: 16, Array: &mdf4test.Array{ByteBase: 2, Dims: []uint64{2, 3}}}
	text := &mdf4test.Channel{Name: "s", Type: mdf4test.VLSD, Data: mdf4test.UTF8, Byte: 13, Bits: 64, Signal: &mdf4test.Signal{Bytes: mdf4test.LE(uint32(2), "ab")}}
	whole := single([][]byte{append([]byte{1}, make([]byte, 20)...), append([]byte{2}, make([]byte, 20)...)}, c, grid, text)
	whole.Attachments = []*mdf4test.Attachment{{Name: "a.txt", Flags: 1, Size: 2, Bytes: []byte("hi")}}
	whole.Events = []*mdf4test.Event{{Name: "e", Sync: 1, Base: 1, Factor: 1}}
	whole.Comment = "<HDcomment><TX>c</TX><common_properties><e name=\"author\">x</e></common_properties></HDcomment>"
	list := sample(20, func(dg *mdf4test.DataGroup) {
		dg.Storage = mdf4test.Storage{List: mdf4test.HL, Piece: 100, Zip: mdf4test.TransposedDeflate, PerList: 2}
	})
	columns := sample(20, func(dg *mdf4test.DataGroup) {
		dg.Storage = mdf4test.Storage{List: mdf4test.LD, Piece: 7, Zip: mdf4test.Zstd, NILValid: true, Guard: 430}
	})
	open, _ := unsorted(6, false)
	open.Unfinalised = 0x25
	apart := &mdf4test.Channel{Name: "m", Data: mdf4test.UnsignedLE, Byte: 8, Bits: 8, Array: &mdf4test.Array{Storage: 1, Dims: []uint64{2, 2}, Cycles: []uint64{2, 1, 0, 1}}}
	blocks := &mdf4test.Channel{Name: "m", Data: mdf4test.UnsignedLE, Byte: 8, Bits: 8, Array: &mdf4test.Array{Storage: 2, Dims: []uint64{2}, Cycles: []uint64{1, 1},
		Data: []*mdf4test.Signal{{Bytes: make([]byte, 9)}, {Bytes: make([]byte, 9)}}}}
	records := slices.Concat(mdf4test.Tagged(1, 3, make([]byte, 9), false), mdf4test.Tagged(1, 6, make([]byte, 9), false), mdf4test.Tagged(1, 3, make([]byte, 9), false))
	elements := &mdf4test.File{Groups: []*mdf4test.DataGroup{
		{IDSize: 1, Groups: []*mdf4test.Group{{ID: 3, Name: "a", DataBytes: 9, Channels: []*mdf4test.Channel{seconds(), apart}}}, Stream: records},
		{NoData: true, Groups: []*mdf4test.Group{{Name: "b", DataBytes: 9, Channels: []*mdf4test.Channel{seconds(), blocks}}}}}}
	return [][]byte{elements.Bytes(), texts.Bytes(), whole.Bytes(), list.Bytes(), columns.Bytes(), open.Bytes(), frames(8).Bytes()}
}

// tight are limits that make a test of hostile files quick.
var tight = Limits{Unpacked: 1 << 20, Value: 1 << 20, Text: 1 << 16, Blocks: 20000, Metadata: 4 << 20, Channels: 1000, Record: 1 << 16, VirtualRows: 1 << 16}

// survive reads a file that may be anything: it must end, with errors of a known
// kind, and with counts that balance.
func survive(t testing.TB, data []byte) {
	f := New()
	f.Limits = tight
	src := &long{head: data, size: int64(len(data))} // no store: it would keep a million files
	for _, opt := range []pipeline.DecodeOptions{{}, {Workers: 2, BatchRows: 3, Steps: true, NullCells: true}} {
		r, err := read(t, f, src, pipeline.Selection{}, opt)
		if err == nil {
			continue
		}
		known := false
		for _, kind := range []error{pipeline.ErrCorrupt, pipeline.ErrTruncated, pipeline.ErrUnsupported, pipeline.ErrLimit, pipeline.ErrSchema} {
			known = known || errors.Is(err, kind)
		}
		var at *pipeline.DecodeError
		if !known || !errors.As(err, &at) || at.Object == "" {
			t.Errorf("error of no kind: %v", err)
		}
		_ = r
	}
}

// hostile are numbers that lengths and counts are tried with.
var hostile = []uint64{0, 1, 24, 63, 64, 65, 0xff, 1 << 16, 1 << 31, 1<<32 - 1, 1 << 40, 1 << 62, 1<<63 - 1, 1 << 63, 1<<64 - 1}

// mutated puts hostile numbers where links, lengths and counts stand.
func mutated(rnd *rand.Rand, seed []byte) []byte {
	data := append([]byte(nil), seed...)
	for range 1 + rnd.IntN(3) {
		at := rnd.IntN(len(data)/8) * 8
		switch rnd.IntN(4) {
		case 0: // a link to some block
			binary.LittleEndian.PutUint64(data[at:], uint64(rnd.IntN(len(data)/8)*8))
		case 1:
			binary.LittleEndian.PutUint64(data[at:], hostile[rnd.IntN(len(hostile))])
		case 2:
			data[rnd.IntN(len(data))] = byte(rnd.Uint32())
		case 3:
			binary.LittleEndian.PutUint32(data[rnd.IntN(len(data)-4):], uint32(hostile[rnd.IntN(len(hostile))]))
		}
	}
	return data
}

// Links, lengths and counts may be any.
func TestMutations(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	n := 400
	if testing.Short() {
		n = 50
	}
	for _, seed := range seeds() {
		survive(t, seed)
		for range n {
			survive(t, mutated(rnd, seed))
		}
	}
}

// A file cut anywhere gives rows of the whole.
func TestTruncation(t *testing.T) {
	t.Run("32 truncation at every byte", func(t *testing.T) {
		for _, seed := range seeds() {
			step := 1
			if testing.Short() {
				step = 13
			}
			for n := 0; n < len(seed); n += step {
				survive(t, seed[:n])
			}
		}
	})
	t.Run("3 links that lead in circles", func(t *testing.T) {
		// Every link of every block leads to every other block of its kind.
		data := seeds()[2]
		blocks := make(map[string][]int)
		for at := 64; at+24 <= len(data); at += 8 {
			if data[at] == '#' && data[at+1] == '#' {
				blocks[string(data[at+2:at+4])] = append(blocks[string(data[at+2:at+4])], at)
			}
		}
		for _, list := range blocks {
			for _, at := range list {
				links := int(binary.LittleEndian.Uint64(data[at+16:]))
				for i := range links {
					for _, to := range list {
						bad := append([]byte(nil), data...)
						binary.LittleEndian.PutUint64(bad[at+24+8*i:], uint64(to))
						survive(t, bad)
					}
				}
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	if files, err := filepath.Glob("../../testdata/mdf4/can.mf4"); err == nil {
		for _, p := range files {
			if data, err := os.ReadFile(p); err == nil {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { survive(t, data) })
}
