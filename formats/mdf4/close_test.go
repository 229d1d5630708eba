package mdf4

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/drivemill/drivemill/formats/mdf4/mdf4test"
	"github.com/drivemill/drivemill/pipeline"
)

// The description tells how data blocks are compressed.
func TestCompression(t *testing.T) {
	for zip, want := range map[int]string{mdf4test.Plain: "none", mdf4test.Deflate: "deflate", mdf4test.TransposedDeflate: "deflate, transposed",
		mdf4test.Zstd: "zstd", mdf4test.TransposedZstd: "zstd, transposed", mdf4test.LZ4: "lz4", mdf4test.TransposedLZ4: "lz4, transposed"} {
		for _, list := range []int{mdf4test.Single, mdf4test.DL} {
			f := sample(100, func(dg *mdf4test.DataGroup) { dg.Storage = mdf4test.Storage{List: list, Piece: 100, Zip: zip} })
			r := mustRead(t, f)
			if len(r.desc.Compression) != 1 {
				t.Errorf("%s: %+v", want, r.desc.Compression)
				continue
			}
			c := r.desc.Compression[0]
			rows := r.counts[r.desc.Tables[0].Table.Name]
			if c.Codec != want || !c.Estimated && c.Raw != rows.Bytes || c.Chunks == 0 || c.Estimated != (c.Chunks == maxLooks) {
				t.Errorf("%s: %+v of %d bytes", want, c, rows.Bytes)
			}
		}
	}
}

// Times that 64 bits of nanoseconds do not hold are null, and counted.
func TestNoTime(t *testing.T) {
	f := single([][]byte{{1}, {2}, {3}, {4}}, field("x", mdf4test.UnsignedLE, 8))
	for i, s := range []float64{0, 1e12, math.NaN(), 2} {
		f.Groups[0].Groups[0].Records[i] = mdf4test.LE(s, byte(i))
	}
	r := mustRead(t, f)
	r.want(t, "time", "1000000000000000000", "null", "null", "1000000002000000000")
	r.want(t, "x", "0", "1", "2", "3")
	if n := r.counts["g"].NullCells["time"]; n != 2 || !r.problem("no_time") {
		t.Errorf("%d cells, %v", n, r.problems)
	}
	got, err := read(t, New(), object(t, f.Bytes()), pipeline.Selection{From: 1e18 + 1, To: math.MaxInt64}, pipeline.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got.want(t, "x", "3")
	if n := got.counts["g"]; n.Unselected != 3 || n.NullCells["time"] != 0 {
		t.Errorf("%+v", n)
	}
}

// A range of time ends reading where the master is declared to rise.
func TestStopEarly(t *testing.T) {
	const rows = 1 << 20
	for _, rising := range []bool{false, true} {
		g := &mdf4test.Group{Name: "g", Channels: []*mdf4test.Channel{seconds(), {Name: "x", Data: mdf4test.UnsignedLE, Byte: 8, Bits: 64}}, Records: [][]byte{make([]byte, 16)}}
		if rising {
			g.Channels[0].Flags = 1 << 11
		}
		l := stretched(&mdf4test.File{Groups: []*mdf4test.DataGroup{{Groups: []*mdf4test.Group{g}}}}, 16*rows, rows)
		start := int64(len(l.head))
		l.fill = func(b []byte, off int64) {
			for i := range b {
				at := off + int64(i) - start
				b[i] = byte(math.Float64bits(float64(at/16)) >> (8 * (at % 8)))
			}
		}
		r, err := read(t, New(), l, pipeline.Selection{From: 5e9, To: 2000e9}, pipeline.DecodeOptions{BatchRows: 700})
		if err != nil {
			t.Fatal(err)
		}
		n := r.counts["g"]
		if n.Found != rows || n.Decoded != 1995 || n.Unselected != rows-1995 || n.Lost != 0 || n.Bytes != 16*rows || len(r.problems) > 0 {
			t.Errorf("rising %v: %+v %v", rising, n, r.problems)
		}
		if read := l.bytes.Load(); rising != (read < 4*rows) {
			t.Errorf("rising %v: %d bytes were read", rising, read)
		}
	}
}

// In order of time, tables whose times go back come as they lie, and say so;
// what comes between them is the same every time.
func TestTimesGoBack(t *testing.T) {
	f := &mdf4test.File{StartNS: 1e18}
	for k := range 2 {
		g := &mdf4test.Group{Name: fmt.Sprint("g", k), Channels: []*mdf4test.Channel{seconds()}}
		for i := range 60 {
			at := float64(i)
			if k == 1 && i%20 == 19 {
				at -= 10
			}
			g.Records = append(g.Records, mdf4test.LE(at))
		}
		f.Groups = append(f.Groups, &mdf4test.DataGroup{Groups: []*mdf4test.Group{g}})
	}
	src := object(t, f.Bytes())
	order := func() (all []int64) {
		format := New()
		d, err := format.Describe(t.Context(), src)
		if err != nil {
			t.Fatal(err)
		}
		dec, err := format.Open(t.Context(), src, d, pipeline.Selection{Order: pipeline.LogOrder}, pipeline.DecodeOptions{BatchRows: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer dec.Close()
		for {
			e, err := dec.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e.Batch.Origin.At(0))
			e.Batch.Release()
		}
		p := dec.Problems()
		if len(p) != 1 || p[0].Kind != "time_goes_back" || p[0].Table != "g1" || p[0].Loses {
			t.Errorf("%v", p)
		}
		return all
	}
	first := order()
	for range 3 {
		if !slices.Equal(order(), first) {
			t.Error("another order")
		}
	}
	for k := range int64(2) {
		own := slices.DeleteFunc(slices.Clone(first), func(at int64) bool { return at>>originShift != k })
		if len(own) != 60 || !slices.IsSorted(own) {
			t.Errorf("rows of g%d come in another order than they lie: %v", k, own)
		}
	}
}

// The last record that a counter tells of may lie in two blocks of a list that
// goes on behind them.
func TestEndInTwoBlocks(t *testing.T) {
	for _, zip := range []int{mdf4test.Plain, mdf4test.Deflate} {
		for _, piece := range []int{7, 20, 33, 100} {
			for cycles := range uint64(20) {
				f := sample(20, func(dg *mdf4test.DataGroup) {
					dg.Storage = mdf4test.Storage{List: mdf4test.DL, Piece: piece, Zip: zip, PerList: 3}
				})
				cycles++
				f.Groups[0].Groups[0].Cycles = &cycles
				r := mustRead(t, f)
				d := r.desc.Tables[0]
				times := r.tables[d.Table.Name].cells["time"]
				if uint64(len(times)) != cycles || !d.HasTime || fmt.Sprint(d.Start) != times[0] || fmt.Sprint(d.End) != times[len(times)-1] {
					t.Errorf("zip %d, pieces of %d, %d records: described %d to %d, found %v", zip, piece, cycles, d.Start, d.End, times)
				}
			}
		}
	}
}

// A bus description that a channel of frames refers to can be had, and the table
// says which it is.
func TestBusDescription(t *testing.T) {
	t.Run("30 database of a bus channel", func(t *testing.T) {
		f := frames(4)
		text := []byte("BO_ 256 M: 8 X\n SG_ A : 0|8@1+ (1,0) [0|0] \"\" X\n")
		at := &mdf4test.Attachment{Name: "bus.dbc", MIME: "application/x-dbc", Flags: 1, Size: uint64(len(text)), Bytes: text}
		f.Attachments = []*mdf4test.Attachment{at}
		f.Groups[0].Groups[0].Channels[1].Attachments = []*mdf4test.Attachment{at}
		data := f.Bytes()
		r := mustRead(t, f)
		if got := r.desc.Tables[0].Table.Attributes["database"]; got != "bus.dbc" {
			t.Errorf("database %q of %v", got, r.desc.Tables[0].Table.Attributes)
		}
		if got := r.desc.Tables[1].Table.Attributes["database"]; got != "" {
			t.Errorf("database %q of the errors", got)
		}
		src := object(t, data)
		format := New()
		d, err := format.Describe(t.Context(), src)
		if err != nil {
			t.Fatal(err)
		}
		in, err := format.OpenAttachment(t.Context(), src, d, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if got, err := io.ReadAll(in); err != nil || string(got) != string(text) {
			t.Errorf("%q, %v", got, err)
		}
	})
}
