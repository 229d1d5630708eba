package mdf4

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/formats/mdf4/mdf4test"
	"github.com/drivemill/drivemill/pipeline"
)

// seconds is a master of 8 bytes at the beginning of the record.
func seconds() *mdf4test.Channel {
	return &mdf4test.Channel{Name: "t", Type: mdf4test.Master, Sync: mdf4test.SyncTime, Data: mdf4test.FloatLE, Bits: 64}
}

// single makes a file with one group that has a master and the given channels,
// whose offsets count from behind the master.
func single(records [][]byte, channels ...*mdf4test.Channel) *mdf4test.File {
	g := &mdf4test.Group{Name: "g", Channels: []*mdf4test.Channel{seconds()}}
	var shift func(list []*mdf4test.Channel)
	shift = func(list []*mdf4test.Channel) {
		for _, c := range list {
			if c.Type != mdf4test.VirtualData {
				c.Byte += 8
			}
			shift(c.Members)
			if c.Array != nil {
				shift(c.Array.Members)
			}
		}
	}
	shift(channels)
	g.Channels = append(g.Channels, channels...)
	for i, r := range records {
		g.Records = append(g.Records, append(mdf4test.LE(float64(i)), r...))
	}
	return &mdf4test.File{StartNS: 1e18, Groups: []*mdf4test.DataGroup{{Groups: []*mdf4test.Group{g}}}}
}

// mustRead reads a file to the end.
func mustRead(t testing.TB, f *mdf4test.File) *reading {
	t.Helper()
	r, err := read(t, New(), object(t, f.Bytes()), pipeline.Selection{}, pipeline.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// want compares a column of the table g.
func (r *reading) want(t testing.TB, column string, cells ...string) {
	t.Helper()
	r.wantOf(t, "g", column, cells...)
}

func (r *reading) wantOf(t testing.TB, table, column string, cells ...string) {
	t.Helper()
	x := r.tables[table]
	if x == nil {
		t.Errorf("no table %s; problems %v %v", table, r.desc.Problems, r.problems)
		return
	}
	if got := x.cells[column]; !slices.Equal(got, cells) {
		var names []string
		for n := range x.cells {
			names = append(names, n)
		}
		t.Errorf("%s.%s: %q, want %q (columns %q, problems %v %v)", table, column, got, cells, names, r.desc.Problems, r.problems)
	}
}

func (r *reading) problem(kind string) bool {
	return slices.ContainsFunc(append(slices.Clone(r.desc.Problems), r.problems...), func(p pipeline.Problem) bool { return p.Kind == kind })
}

func field(name string, data uint8, bits uint32) *mdf4test.Channel {
	return &mdf4test.Channel{Name: name, Data: data, Bits: bits}
}

func TestStructure(t *testing.T) {
	t.Run("1 revisions", func(t *testing.T) {
		for _, v := range []uint16{400, 410, 411, 420, 430} {
			f := single([][]byte{{7}}, field("x", mdf4test.UnsignedLE, 8))
			f.Version = v
			r := mustRead(t, f)
			r.want(t, "x", "7")
			if want := fmt.Sprintf("%d.%02d", v/100, v%100); r.desc.Version != want {
				t.Errorf("version %s, want %s", r.desc.Version, want)
			}
		}
		for _, v := range []uint16{330, 440} {
			data := single([][]byte{{7}}, field("x", mdf4test.UnsignedLE, 8)).Bytes()
			data[28], data[29] = byte(v), byte(v>>8)
			_, err := New().Describe(t.Context(), object(t, data))
			if want := fmt.Sprintf("MDF %d.%02d is not supported", v/100, v%100); !errors.Is(err, pipeline.ErrUnsupported) || !strings.Contains(err.Error(), want) {
				t.Errorf("version %d: %v", v, err)
			}
		}
	})
	t.Run("4 start times", func(t *testing.T) {
		const start = 1700000000123456789
		for flags, zone := range map[uint8]string{0: "", 1: "", 2: "", 3: "Europe/Berlin"} {
			f := single([][]byte{{7}, {8}}, field("x", mdf4test.UnsignedLE, 8))
			f.StartNS, f.TimeFlags, f.TZMinutes = start, flags&3, 60
			if flags == 3 {
				f.TimeFlags = 1
			}
			format := New()
			if zone != "" {
				loc, err := time.LoadLocation(zone)
				if err != nil {
					t.Fatal(err)
				}
				format.Zone = loc
			}
			r, err := read(t, format, object(t, f.Bytes()), pipeline.Selection{}, pipeline.DecodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			at := int64(start)
			switch flags {
			case 3:
				at -= 3600 * 1e9
			case 1:
				r.want(t, "time", "null", "null")
				r.want(t, "time_wall", fmt.Sprint(at), fmt.Sprint(at+1e9))
				if r.desc.HasTime || !r.problem("no_time_zone") {
					t.Errorf("a local time passes for one of UTC")
				}
				continue
			}
			r.want(t, "time", fmt.Sprint(at), fmt.Sprint(at+1e9))
			if !r.desc.HasTime || r.desc.Start != at || r.desc.End != at+1e9 {
				t.Errorf("flags %d: from %d to %d", flags, r.desc.Start, r.desc.End)
			}
		}
	})
	t.Run("5 text that is not UTF-8", func(t *testing.T) {
		c := field("gr\xf6\xdfe", mdf4test.UnsignedLE, 8)
		mustRead(t, single([][]byte{{7}}, c)).want(t, "größe", "7")
	})
}

// reference takes an integer out of a record bit by bit.
func reference(b []byte, bitOff, bits int, be, signed bool) *big.Int {
	n := (bitOff + bits + 7) / 8
	v := new(big.Int)
	for i := range n {
		k := n - 1 - i
		if be {
			k = i
		}
		v.Or(v.Lsh(v, 8), big.NewInt(int64(b[k])))
	}
	v.Rsh(v, uint(bitOff))
	v.And(v, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1)))
	if signed && v.Bit(bits-1) == 1 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	}
	return v
}

func TestValues(t *testing.T) {
	t.Run("6 integers of all widths and places", func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(1, 2))
		var records [][]byte
		for range 9 {
			r := make([]byte, 11)
			for i := range r {
				r[i] = byte(rnd.Uint32())
			}
			records = append(records, r)
		}
		for bits := 1; bits <= 64; bits++ {
			var channels []*mdf4test.Channel
			want := make(map[string][]string)
			for off := 0; off <= 7 && off+bits <= 64; off++ {
				for _, kind := range []uint8{mdf4test.UnsignedLE, mdf4test.UnsignedBE, mdf4test.SignedLE, mdf4test.SignedBE} {
					at := 11 - (off+bits+7)/8 // at the end of the record
					if off%2 == 1 {
						at = 0
					}
					name := fmt.Sprintf("%d at %d of kind %d", bits, off, kind)
					channels = append(channels, &mdf4test.Channel{Name: name, Data: kind, Byte: uint32(at), Bit: uint8(off), Bits: uint32(bits)})
					for _, r := range records {
						want[name] = append(want[name], reference(r[at:], off, bits, kind%2 == 1, kind >= 2).String())
					}
				}
			}
			r := mustRead(t, single(records, channels...))
			for name, cells := range want {
				r.want(t, name, cells...)
			}
		}
	})
	t.Run("7 floating point numbers", func(t *testing.T) {
		rec := mdf4test.LE(uint16(0x3c01), float32(1.5), 2.5, uint16(1), float32(3), float32(-4))
		rec = append(rec, mdf4test.BE(uint16(0xc400), float32(-1.5), -2.5)...)
		at := func(name string, data uint8, off, bits uint32) *mdf4test.Channel {
			return &mdf4test.Channel{Name: name, Data: data, Byte: off, Bits: bits}
		}
		r := mustRead(t, single([][]byte{rec},
			at("h", mdf4test.FloatLE, 0, 16), at("f", mdf4test.FloatLE, 2, 32), at("d", mdf4test.FloatLE, 6, 64), at("tiny", mdf4test.FloatLE, 14, 16),
			at("c", mdf4test.ComplexLE, 16, 64), at("hb", mdf4test.FloatBE, 24, 16), at("fb", mdf4test.FloatBE, 26, 32), at("db", mdf4test.FloatBE, 30, 64)))
		for name, want := range map[string]string{"h": "1.0009766", "f": "1.5", "d": "2.5", "tiny": "5.9604645e-08", "c.re": "3", "c.im": "-4", "hb": "-4", "fb": "-1.5", "db": "-2.5"} {
			r.want(t, name, want)
		}
		for h := range 1 << 16 {
			got := math.Float32frombits(halfBits(uint16(h)))
			exp, frac, sign := h>>10&31, float64(h&1023), 1-2*float64(h>>15)
			want := sign * (1 + frac/1024) * math.Pow(2, float64(exp-15))
			if exp == 0 {
				want = sign * frac * math.Pow(2, -24)
			}
			if exp == 31 {
				if frac == 0 != math.IsInf(float64(got), int(sign)) || frac != 0 && math.Float32bits(got)>>13&1023 != uint32(frac) {
					t.Fatalf("%04x became %v", h, got)
				}
			} else if float64(got) != want {
				t.Fatalf("%04x became %v, want %v", h, got, want)
			}
		}
	})
	t.Run("8 strings", func(t *testing.T) {
		utf16le := func(s string) []byte {
			var b []byte
			for _, r := range s {
				b = append(b, byte(r), byte(r>>8))
			}
			return b
		}
		utf16be := func(s string) []byte {
			b := utf16le(s)
			for i := 0; i < len(b); i += 2 {
				b[i], b[i+1] = b[i+1], b[i]
			}
			return b
		}
		encode := map[uint8]func(string) []byte{
			mdf4test.Latin1: func(s string) []byte {
				var b []byte
				for _, r := range s {
					b = append(b, byte(r))
				}
				return b
			},
			mdf4test.UTF8: func(s string) []byte { return []byte(s) }, mdf4test.UTF16LE: utf16le, mdf4test.UTF16BE: utf16be,
			mdf4test.StringBOM: func(s string) []byte { return append([]byte{0xfe, 0xff}, utf16be(s)...) },
		}
		words := []string{"zero", "", "zwölf"}
		for kind, enc := range encode {
			var fixed, offsets, sizes, limited [][]byte
			var sd, vd []byte
			for _, w := range words {
				e := enc(w)
				fixed = append(fixed, append(e[:len(e):len(e)], make([]byte, 16-len(e))...))
				offsets = append(offsets, mdf4test.LE(uint64(len(sd))))
				nul := append(e[:len(e):len(e)], 0)
				if kind == mdf4test.UTF16LE || kind == mdf4test.UTF16BE || kind == mdf4test.StringBOM {
					nul = append(nul, 0)
				}
				sd = append(append(sd, mdf4test.LE(uint32(len(nul)))...), nul...)
				sizes = append(sizes, mdf4test.LE(uint32(len(vd)), uint16(len(e))))
				vd = append(vd, e...)
				limited = append(limited, append(mdf4test.LE(uint16(len(e))), append(e[:len(e):len(e)], []byte("################")[:16-len(e)]...)...))
			}
			mustRead(t, single(fixed, field("s", kind, 128))).want(t, "s", words...)
			for _, st := range []mdf4test.Storage{{}, {List: mdf4test.HL, Piece: 5, Zip: mdf4test.Deflate}, {List: mdf4test.DL, Piece: 3, Equal: true}} {
				v := field("s", kind, 64)
				v.Type, v.Signal = mdf4test.VLSD, &mdf4test.Signal{Bytes: sd, Storage: st}
				mustRead(t, single(offsets, v)).want(t, "s", words...)
			}
			size := &mdf4test.Channel{Name: "size", Data: mdf4test.UnsignedLE, Byte: 4, Bits: 16}
			c := field("s", kind, 32)
			c.Type, c.Size, c.Signal = mdf4test.VLSC, size, &mdf4test.Signal{Bytes: vd, Plain: true}
			f := single(sizes, c, size)
			f.Version = 430
			mustRead(t, f).want(t, "s", words...)
			length := field("size", mdf4test.UnsignedLE, 16)
			m := &mdf4test.Channel{Name: "s", Type: mdf4test.MLSD, Data: kind, Byte: 2, Bits: 128, Length: length}
			mustRead(t, single(limited, m, length)).want(t, "s", words...)
		}
	})
	t.Run("9 CANopen dates and times", func(t *testing.T) {
		d := field("d", mdf4test.CANopenDate, 56)
		h := &mdf4test.Channel{Name: "h", Data: mdf4test.CANopenTime, Byte: 7, Bits: 48}
		rec := []byte{0x30, 0x75, 0x13, 0x0b, 0x2f, 0x0a, 0x0c, 0xa0, 0x8f, 0xaf, 0x02, 0x0f, 0x29}
		bad := slices.Clone(rec)
		bad[5] = 0
		r := mustRead(t, single([][]byte{rec, bad}, d, h))
		at := func(s string) string {
			v, err := time.Parse(time.RFC3339, s)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(v.UnixNano())
		}
		r.want(t, "d", at("2012-10-15T11:19:30Z"), "null")
		r.want(t, "d_raw", "3075130b2f0a0c", "3075130b2f000c")
		r.want(t, "h", at("2012-10-11T12:31:00Z"), at("2012-10-11T12:31:00Z"))
	})
	t.Run("10 invalidation bits", func(t *testing.T) {
		a := field("a", mdf4test.UnsignedLE, 8)
		a.Flags, a.InvalBit = mdf4test.InvalidationValid, 10
		b := field("b", mdf4test.UnsignedLE, 8)
		c := field("c", mdf4test.UnsignedLE, 8)
		c.Flags = mdf4test.AllInvalid
		d := field("d", mdf4test.UTF8, 8)
		d.Flags, d.InvalBit = mdf4test.InvalidationValid, 0
		e := field("e", mdf4test.UnsignedLE, 8)
		e.Flags, e.InvalBit, e.Conversion = mdf4test.InvalidationValid, 10, &conversion.Block{Type: 1, Values: []float64{1, 2}}
		f := single([][]byte{{65, 0, 0}, {66, 1, 4}, {67, 0, 4}, {68, 0xff, 0xfb}}, a, b, c, d, e)
		f.Groups[0].Groups[0].InvalBytes = 2
		r := mustRead(t, f)
		r.want(t, "a", "65", "null", "null", "68")
		r.want(t, "b", "65", "66", "67", "68")
		r.want(t, "c", "null", "null", "null", "null")
		r.want(t, "d", "A", "null", "C", "null")
		r.want(t, "e", "131", "null", "null", "137")
	})
	t.Run("11 virtual channels", func(t *testing.T) {
		cycles := uint64(3)
		g := &mdf4test.Group{Name: "g", Cycles: &cycles, Channels: []*mdf4test.Channel{
			{Name: "t", Type: mdf4test.VirtualMaster, Sync: mdf4test.SyncTime, Conversion: &conversion.Block{Type: 1, Values: []float64{0, 0.03}}},
			{Name: "index", Type: mdf4test.VirtualData},
			{Name: "constant", Type: mdf4test.VirtualData, Conversion: &conversion.Block{Type: 1, Values: []float64{42, 0}}},
		}}
		r := mustRead(t, &mdf4test.File{StartNS: 1e18, Groups: []*mdf4test.DataGroup{{Groups: []*mdf4test.Group{g}, NoData: true}}})
		r.want(t, "time", "1000000000000000000", "1000000000030000000", "1000000000060000000")
		r.want(t, "index", "0", "1", "2")
		r.want(t, "constant", "42", "42", "42")
	})
	t.Run("12 sync channel", func(t *testing.T) {
		at := &mdf4test.Attachment{Name: "video.avi", MIME: "video/avi"}
		c := &mdf4test.Channel{Name: "video", Type: 4, Sync: mdf4test.SyncTime, Data: mdf4test.UnsignedLE, Bits: 32, Stream: at}
		f := single([][]byte{mdf4test.LE(uint32(5)), mdf4test.LE(uint32(9))}, c)
		f.Attachments = []*mdf4test.Attachment{at}
		r := mustRead(t, f)
		r.want(t, "video", "5", "9")
		if len(r.desc.Attachments) != 1 || r.desc.Attachments[0].External != "video.avi" {
			t.Errorf("attachments %+v", r.desc.Attachments)
		}
	})
	t.Run("24 status strings", func(t *testing.T) {
		bad := "bad"
		c := field("x", mdf4test.UnsignedLE, 8)
		c.Conversion = &conversion.Block{Type: 7, Flags: 4, Values: []float64{255}, Refs: []conversion.Ref{{Text: &bad}, {Conversion: &conversion.Block{Type: 1, Values: []float64{0, 0.5}}}}}
		r := mustRead(t, single([][]byte{{10}, {255}}, c))
		r.want(t, "x", "5", "null")
		r.want(t, "x_raw", "10", "255")
		r.want(t, "x_label", "null", "bad")
	})
	t.Run("23 a conversion that cannot be compiled", func(t *testing.T) {
		text := "frobnicate(X)"
		c := field("x", mdf4test.UnsignedLE, 8)
		c.Conversion = &conversion.Block{Type: 3, Refs: []conversion.Ref{{Text: &text}}}
		r := mustRead(t, single([][]byte{{10}}, c))
		r.want(t, "x", "10")
		if !r.problem("conversion") {
			t.Errorf("nothing is said of it: %v", r.desc.Problems)
		}
	})
}

// sample is a file with many rows of several types, for storage of all kinds.
func sample(rows int, change func(*mdf4test.DataGroup)) *mdf4test.File {
	g := &mdf4test.Group{Name: "g", InvalBytes: 1, Channels: []*mdf4test.Channel{
		seconds(),
		{Name: "a", Data: mdf4test.UnsignedLE, Byte: 8, Bits: 16},
		{Name: "b", Data: mdf4test.SignedBE, Byte: 10, Bits: 24, Flags: mdf4test.InvalidationValid, InvalBit: 1},
		{Name: "c", Data: mdf4test.UTF8, Byte: 13, Bits: 32},
	}}
	for i := range rows {
		g.Records = append(g.Records, mdf4test.LE(float64(i)/100, uint16(i), byte(i), byte(i>>3), byte(i*7), fmt.Sprintf("%04d", i), byte(i&2)))
	}
	dg := &mdf4test.DataGroup{Groups: []*mdf4test.Group{g}}
	if change != nil {
		change(dg)
	}
	return &mdf4test.File{Version: 430, StartNS: 1e18, Groups: []*mdf4test.DataGroup{dg}}
}

func same(t testing.TB, what string, want, got *reading) {
	t.Helper()
	if !reflect.DeepEqual(want.tables, got.tables) {
		t.Errorf("%s: rows differ; problems %v %v", what, got.desc.Problems, got.problems)
	}
}

func TestStorage(t *testing.T) {
	const rows = 300
	plain := mustRead(t, sample(rows, nil))
	if n := len(plain.tables["g"].origins); n != rows {
		t.Fatalf("%d rows", n)
	}
	plain.wantOf(t, "g", "b", plain.tables["g"].cells["b"]...)
	storages := func(list ...int) []mdf4test.Storage {
		var out []mdf4test.Storage
		for _, l := range list {
			for _, zip := range []int{mdf4test.Plain, mdf4test.Deflate, mdf4test.TransposedDeflate, mdf4test.Zstd, mdf4test.TransposedZstd, mdf4test.LZ4, mdf4test.TransposedLZ4} {
				piece := 1000
				if zip == mdf4test.Plain {
					piece = 17 // less than a record
				}
				for _, equal := range []bool{false, true} {
					out = append(out, mdf4test.Storage{List: l, Piece: piece, Zip: zip, Equal: equal, PerList: 2})
				}
				out = append(out, mdf4test.Storage{List: l, Zip: zip})
			}
		}
		return out
	}
	t.Run("13, 14, 15 blocks and lists", func(t *testing.T) {
		for _, s := range storages(mdf4test.Single, mdf4test.DL, mdf4test.HL) {
			f := sample(rows, func(dg *mdf4test.DataGroup) { dg.Storage = s })
			for _, workers := range []int{1, 3} {
				got, err := read(t, New(), object(t, f.Bytes()), pipeline.Selection{}, pipeline.DecodeOptions{Workers: workers, BatchRows: 50})
				if err != nil {
					t.Fatal(err)
				}
				same(t, fmt.Sprintf("%+v", s), plain, got)
				if got.desc.Start != plain.desc.Start || got.desc.End != plain.desc.End {
					t.Errorf("%+v: times differ", s)
				}
			}
		}
	})
	t.Run("15 another number of columns, and a compression that nobody knows", func(t *testing.T) {
		for _, cols := range []uint32{1, 7, 23, 100000} {
			f := sample(rows, func(dg *mdf4test.DataGroup) {
				dg.Storage = mdf4test.Storage{Zip: mdf4test.TransposedDeflate, Columns: cols}
			})
			if cols < 10000 {
				same(t, fmt.Sprint(cols), plain, mustRead(t, f))
			}
		}
		f := sample(rows, func(dg *mdf4test.DataGroup) { dg.Storage = mdf4test.Storage{Zip: mdf4test.CustomZip} })
		f.Groups = append(f.Groups, single([][]byte{{7}}, field("x", mdf4test.UnsignedLE, 8)).Groups...)
		f.Groups[1].Groups[0].Name = "other"
		r := mustRead(t, f)
		r.wantOf(t, "other", "x", "7")
		if c := r.counts["g"]; c.Lost != rows || !r.problem("missing_rows") {
			t.Errorf("counts %+v, problems %v", c, r.problems)
		}
	})
	t.Run("16 column-oriented data", func(t *testing.T) {
		list := append(storages(mdf4test.LD), mdf4test.Storage{List: mdf4test.Column, Zip: mdf4test.Deflate})
		for _, s := range list {
			for _, variant := range []int{0, 1, 2, 3} {
				s.ByPiece, s.NILValid = variant&1 != 0, variant&2 != 0
				f := sample(rows, func(dg *mdf4test.DataGroup) {
					dg.Storage = s
					if s.List == mdf4test.Column { // which has no place for them
						dg.Groups[0].InvalBytes = 0
						for i, r := range dg.Groups[0].Records {
							dg.Groups[0].Records[i] = r[:len(r)-1]
						}
						dg.Groups[0].Channels[2].Flags = 0
					}
				})
				got := mustRead(t, f)
				if s.List == mdf4test.Column {
					got.want(t, "c", plain.tables["g"].cells["c"]...)
					continue
				}
				same(t, fmt.Sprintf("%+v", s), plain, got)
			}
		}
	})
	t.Run("16 a group joins its master", func(t *testing.T) {
		master := &mdf4test.Group{Name: "g", Channels: []*mdf4test.Channel{seconds()}}
		other := &mdf4test.Group{Name: "more", Flags: mdf4test.GroupRemoteMaster, Master: master, Channels: []*mdf4test.Channel{field("x", mdf4test.UnsignedLE, 16)}}
		for i := range 100 {
			master.Records = append(master.Records, mdf4test.LE(float64(i)))
			other.Records = append(other.Records, mdf4test.LE(uint16(i*3)))
		}
		ld := mdf4test.Storage{List: mdf4test.LD, Piece: 30, Zip: mdf4test.Deflate}
		f := &mdf4test.File{Version: 420, StartNS: 1e18, Groups: []*mdf4test.DataGroup{
			{Groups: []*mdf4test.Group{master}, Storage: ld}, {Groups: []*mdf4test.Group{other}, Storage: mdf4test.Storage{List: mdf4test.LD, Piece: 7}},
		}}
		r := mustRead(t, f)
		if len(r.tables) != 1 || len(r.tables["g"].cells["x"]) != 100 || r.tables["g"].cells["x"][99] != "297" || r.tables["g"].cells["time"][99] != "1000000099000000000" {
			t.Errorf("%+v, problems %v", r.tables, r.desc.Problems)
		}
	})
	t.Run("guarded blocks", func(t *testing.T) {
		for _, list := range []int{mdf4test.Single, mdf4test.HL, mdf4test.LD} {
			same(t, "guarded", plain, mustRead(t, sample(rows, func(dg *mdf4test.DataGroup) { dg.Storage = mdf4test.Storage{List: list, Piece: 50, Guard: 430} })))
		}
		r := mustRead(t, sample(rows, func(dg *mdf4test.DataGroup) { dg.Storage = mdf4test.Storage{Guard: 500} }))
		if r.counts["g"].Lost != rows || !strings.Contains(fmt.Sprint(r.problems), "needs MDF 5.00") {
			t.Errorf("%+v %v", r.counts["g"], r.problems)
		}
	})
	t.Run("17 unsorted groups with values as records", func(t *testing.T) {
		for _, late := range []bool{false, true} {
			f, words := unsorted(200, late)
			r := mustRead(t, f)
			if got := r.tables["one"]; len(got.cells["s"]) != 200 || !slices.Equal(got.cells["s"], words) {
				t.Errorf("late %v: %d values %q", late, len(got.cells["s"]), got.cells["s"][:3])
			}
			if got := r.tables["seven"]; len(got.cells["x"]) != 200 || got.cells["x"][5] != "5" {
				t.Errorf("%d rows", len(got.cells["x"]))
			}
			for _, n := range []int{1, 3} {
				got, err := read(t, New(), object(t, f.Bytes()), pipeline.Selection{}, pipeline.DecodeOptions{BatchRows: n, Steps: true, Workers: 3})
				if err != nil {
					t.Fatal(err)
				}
				same(t, "rows one by one", r, got)
			}
		}
	})
	t.Run("18 record ids of a single group", func(t *testing.T) {
		for _, size := range []uint8{1, 2, 4, 8} {
			same(t, fmt.Sprint(size), plain, mustRead(t, sample(rows, func(dg *mdf4test.DataGroup) { dg.IDSize, dg.Groups[0].ID = size, 200 })))
		}
	})
	t.Run("19 counters that are wrong", func(t *testing.T) {
		for _, claim := range []uint64{rows - 10, rows + 10, 1 << 60} {
			r := mustRead(t, sample(rows, func(dg *mdf4test.DataGroup) { dg.Groups[0].Cycles = &claim }))
			n := min(rows, int(claim))
			if got := len(r.tables["g"].origins); got != n {
				t.Errorf("%d claimed: %d rows", claim, got)
			}
			if claim > rows && (!r.problem("missing_rows") || r.counts["g"].Lost != int64(claim)-rows) {
				t.Errorf("%d claimed: %v %+v", claim, r.problems, r.counts["g"])
			}
		}
	})
}

// unsorted is a data group of two groups, one of which has its texts as records
// of a third. late puts them behind the records that refer to them.
func unsorted(n int, late bool) (*mdf4test.File, []string) {
	values := &mdf4test.Group{ID: 3, Flags: mdf4test.GroupVLSD}
	one := &mdf4test.Group{ID: 1, Name: "one", Channels: []*mdf4test.Channel{seconds(),
		{Name: "s", Type: mdf4test.VLSD, Data: mdf4test.UTF8, Byte: 8, Bits: 64, Group: values}}}
	seven := &mdf4test.Group{ID: 7, Name: "seven", Channels: []*mdf4test.Channel{seconds(), {Name: "x", Data: mdf4test.UnsignedLE, Byte: 8, Bits: 32}}}
	var words []string
	var order []int
	at := 0
	for i := range n {
		w := strings.Repeat("v", i%5) + fmt.Sprint(i)
		words = append(words, w)
		values.Records = append(values.Records, []byte(w))
		one.Records = append(one.Records, mdf4test.LE(float64(i), uint64(at)))
		seven.Records = append(seven.Records, mdf4test.LE(float64(i)+0.5, uint32(i)))
		at += 4 + len(w)
		if late {
			order = append(order, 0, 1, 2)
		} else {
			order = append(order, 2, 1, 0)
		}
	}
	return &mdf4test.File{StartNS: 1e18, Groups: []*mdf4test.DataGroup{{IDSize: 1, Groups: []*mdf4test.Group{one, seven, values}, Order: order,
		Storage: mdf4test.Storage{List: mdf4test.DL, Piece: 37}}}}, words
}

func TestUnfinalised(t *testing.T) {
	for _, flags := range []uint16{0x05, 0x15, 0x25, 0x65} {
		t.Run(fmt.Sprintf("31 flags %#x", flags), func(t *testing.T) {
			f, _ := unsorted(200, flags == 0x05)
			f.Groups[0].Storage = mdf4test.Storage{}
			want := mustRead(t, f)
			f.Unfinalised = flags
			data := f.Bytes()
			src := object(t, data)
			got, err := read(t, New(), src, pipeline.Selection{}, pipeline.DecodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "unfinalised", want, got)
			if got.desc.Tables[0].Rows != 200 || got.counts["one"].Indexed != -1 || !got.problem("unfinalised") {
				t.Errorf("%+v", got.desc.Tables[0])
			}
			cut, err := read(t, New(), object(t, data[:len(data)-3]), pipeline.Selection{}, pipeline.DecodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			lost := int64(0)
			for _, c := range cut.counts {
				lost += c.LostBytes
			}
			if !cut.problem("truncated") || lost == 0 {
				t.Errorf("the incomplete record at the end is not counted: %v %+v", cut.problems, cut.counts)
			}
		})
	}
	t.Run("31 sorted", func(t *testing.T) {
		want := mustRead(t, sample(100, nil))
		f := sample(100, nil)
		f.Unfinalised = 0x05
		same(t, "unfinalised", want, mustRead(t, f))
	})
	t.Run("31 a list that was never filled", func(t *testing.T) {
		want := mustRead(t, sample(300, nil))
		f := sample(300, func(dg *mdf4test.DataGroup) { dg.Storage = mdf4test.Storage{List: mdf4test.DL, Piece: 1000} })
		f.Unfinalised = 0x11
		data := f.Bytes()
		list := strings.LastIndex(string(data), "##DL")
		for i := 3; i <= 6; i++ { // of six blocks
			copy(data[list+24+8*i:], make([]byte, 8))
		}
		r, err := read(t, New(), object(t, data), pipeline.Selection{}, pipeline.DecodeOptions{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "blocks behind the last link", want, r)
	})
	t.Run("31 offsets of values that were never written", func(t *testing.T) {
		f, words := unsorted(100, true)
		for _, r := range f.Groups[0].Groups[0].Records {
			copy(r[8:], make([]byte, 8))
		}
		f.Unfinalised = 0x41
		mustRead(t, f).wantOf(t, "one", "s", words...)
	})
}
