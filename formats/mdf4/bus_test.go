package mdf4

import (
	"fmt"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/formats/mdf4/mdf4test"
	"github.com/drivemill/drivemill/pipeline"
)

var canSource = &mdf4test.Source{Name: "CAN1", Path: "CAN1", Type: 2, Bus: 2}

// member is a member of a frame.
func member(frame, name string, at, bit, bits int) *mdf4test.Channel {
	return &mdf4test.Channel{Name: frame + "." + name, Data: mdf4test.UnsignedLE, Byte: uint32(at), Bit: uint8(bit), Bits: uint32(bits), Flags: mdf4test.BusEvent}
}

func frameGroup(id uint64, frame string, size int, members ...*mdf4test.Channel) *mdf4test.Group {
	return &mdf4test.Group{ID: id, Name: frame, Source: canSource, Flags: mdf4test.GroupBusEvent | mdf4test.GroupPlainBus, Channels: []*mdf4test.Channel{
		seconds(), {Name: frame, Data: mdf4test.ByteArray, Byte: 8, Bits: uint32(8 * size), Flags: mdf4test.BusEvent, Members: members},
	}}
}

// frames is an unsorted log of data frames, with their payload as records of
// variable length, and of error frames.
func frames(n int) *mdf4test.File {
	const name = "CAN_DataFrame"
	values := &mdf4test.Group{ID: 2, Flags: mdf4test.GroupVLSD}
	payload := &mdf4test.Channel{Name: name + ".DataBytes", Type: mdf4test.VLSD, Data: mdf4test.ByteArray, Byte: 15, Bits: 64, Group: values, Flags: mdf4test.BusEvent}
	data := frameGroup(1, name, 15, member(name, "BusChannel", 8, 0, 4), member(name, "Dir", 8, 4, 1), member(name, "EDL", 8, 5, 1),
		member(name, "ID", 9, 0, 29), member(name, "IDE", 12, 7, 1), member(name, "DLC", 13, 0, 4), member(name, "DataLength", 14, 0, 8), payload)
	errs := frameGroup(3, "CAN_ErrorFrame", 1, member("CAN_ErrorFrame", "BusChannel", 8, 0, 4), member("CAN_ErrorFrame", "ErrorType", 8, 4, 3))
	at := 0
	var order []int
	for i := range n {
		size := []int{8, 0, 3, 64}[i%4]
		b := make([]byte, size)
		for j := range b {
			b[j] = byte(i + j)
		}
		fd := byte(0)
		if size > 8 {
			fd = 1 << 5
		}
		data.Records = append(data.Records, mdf4test.LE(float64(i)/1000, byte(1)|byte(i&1)<<4|fd, uint32(0x100+i)|uint32(i&1)<<31, byte(min(15, size)), byte(size), uint64(at)))
		values.Records = append(values.Records, b)
		order = append(order, 0, 1)
		at += 4 + size
		if i%3 == 0 {
			errs.Records = append(errs.Records, mdf4test.LE(float64(i)/1000, byte(1|2<<4)))
			order = append(order, 2)
		}
	}
	return &mdf4test.File{StartNS: 1e18, Groups: []*mdf4test.DataGroup{{IDSize: 1, Groups: []*mdf4test.Group{data, values, errs}, Order: order}}}
}

func TestBus(t *testing.T) {
	t.Run("28 frames with values as records", func(t *testing.T) {
		r := mustRead(t, frames(4))
		const name = "CAN1/CAN_DataFrame"
		r.wantOf(t, name, "bus_channel", "1", "1", "1", "1")
		r.wantOf(t, name, "id", "256", "257", "258", "259")
		r.wantOf(t, name, "ide", "0", "1", "0", "1")
		r.wantOf(t, name, "dir", "0", "1", "0", "1")
		r.wantOf(t, name, "edl", "0", "0", "0", "1")
		r.wantOf(t, name, "data_length", "8", "0", "3", "64")
		long := ""
		for i := range 64 {
			long += fmt.Sprintf("%02x", 3+i)
		}
		r.wantOf(t, name, "data_bytes", "0001020304050607", "", "020304", long)
		r.wantOf(t, "CAN1/CAN_ErrorFrame", "error_type", "2", "2")
		for table, kind := range map[string]string{name: "data", "CAN1/CAN_ErrorFrame": "error"} {
			for _, i := range r.desc.Tables {
				if i.Table.Name == table && (i.Table.Attributes["bus"] != "can" || i.Table.Attributes["frame_kind"] != kind) {
					t.Errorf("%s: attributes %v", table, i.Table.Attributes)
				}
			}
		}
	})
	t.Run("28 identifier with its kind in bit 31, payload in the record", func(t *testing.T) {
		const name = "CAN_DataFrame"
		id := member(name, "ID", 8, 0, 32)
		dlc := member(name, "DLC", 12, 0, 4)
		length := member(name, "DataLength", 13, 0, 8)
		mlsd := &mdf4test.Channel{Name: name + ".DataBytes", Type: mdf4test.MLSD, Data: mdf4test.ByteArray, Byte: 14, Bits: 128, Length: length}
		g := frameGroup(0, name, 22, id, dlc, length, mlsd)
		g.Records = [][]byte{mdf4test.LE(0.0, uint32(0x80000123), byte(9), byte(12), "0123456789abcdef")}
		r := mustRead(t, &mdf4test.File{Groups: []*mdf4test.DataGroup{{Groups: []*mdf4test.Group{g}}}})
		r.wantOf(t, "CAN1/"+name, "id", "291")
		r.wantOf(t, "CAN1/"+name, "ide", "1")
		r.wantOf(t, "CAN1/"+name, "data_bytes", fmt.Sprintf("%x", "0123456789ab"))
		fixed := &mdf4test.Channel{Name: name + ".DataBytes", Data: mdf4test.ByteArray, Byte: 14, Bits: 128}
		g = frameGroup(0, name, 22, id, dlc, fixed)
		g.Records = [][]byte{mdf4test.LE(0.0, uint32(0x123), byte(9), byte(12), "0123456789abcdef")}
		r = mustRead(t, &mdf4test.File{Groups: []*mdf4test.DataGroup{{Groups: []*mdf4test.Group{g}}}})
		r.wantOf(t, "CAN1/"+name, "data_length", "12")
		r.wantOf(t, "CAN1/"+name, "data_bytes", fmt.Sprintf("%x", "0123456789ab"))
	})
	t.Run("29 other buses, channel by a constant", func(t *testing.T) {
		for frame, bus := range map[string]string{"LIN_Frame": "lin", "FLX_Frame": "flexray", "ETH_Frame": "ethernet", "MOST_Message": "most"} {
			ch := &mdf4test.Channel{Name: frame + ".BusChannel", Type: mdf4test.VirtualData, Conversion: &conversion.Block{Type: 1, Values: []float64{3, 0}}}
			data := &mdf4test.Channel{Name: frame + ".DataBytes", Data: mdf4test.ByteArray, Byte: 9, Bits: 64}
			g := frameGroup(0, frame, 9, ch, member(frame, "DataLength", 8, 0, 8), data)
			g.Records = [][]byte{mdf4test.LE(0.0, byte(2), "abcdefgh")}
			r := mustRead(t, &mdf4test.File{Groups: []*mdf4test.DataGroup{{Groups: []*mdf4test.Group{g}}}})
			r.wantOf(t, "CAN1/"+frame, "bus_channel", "3")
			r.wantOf(t, "CAN1/"+frame, "data_bytes", "6162")
			if a := r.desc.Tables[0].Table.Attributes; a["bus"] != bus || a["frame_kind"] != "data" {
				t.Errorf("%s: %v", frame, a)
			}
		}
	})
}

func TestComposition(t *testing.T) {
	t.Run("25 arrays and structures", func(t *testing.T) {
		grid := func(flags uint32, base int32) *mdf4test.Channel {
			return &mdf4test.Channel{Name: "x", Data: mdf4test.UnsignedLE, Bits: 8, Array: &mdf4test.Array{Flags: flags, ByteBase: base, Dims: []uint64{2, 3}}}
		}
		rec := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
		mustRead(t, single([][]byte{rec}, grid(0, 1))).want(t, "x", "[[1 2 3] [4 5 6]]")
		mustRead(t, single([][]byte{rec}, grid(64, 1))).want(t, "x", "[[1 3 5] [2 4 6]]")
		mustRead(t, single([][]byte{rec}, grid(0, 2))).want(t, "x", "[[1 3 5] [7 9 11]]")
		scaled := grid(0, 1)
		scaled.Conversion = &conversion.Block{Type: 1, Values: []float64{0.5, 1}}
		mustRead(t, single([][]byte{rec, rec}, scaled)).want(t, "x", "[[1.5 2.5 3.5] [4.5 5.5 6.5]]", "[[1.5 2.5 3.5] [4.5 5.5 6.5]]")
		structs := &mdf4test.Channel{Name: "p", Data: mdf4test.ByteArray, Bits: 24, Array: &mdf4test.Array{ByteBase: 3, Dims: []uint64{2}, Members: []*mdf4test.Channel{
			{Name: "a", Data: mdf4test.UnsignedLE, Bits: 8}, {Name: "b", Data: mdf4test.UnsignedBE, Byte: 1, Bits: 16}}}}
		r := mustRead(t, single([][]byte{rec}, structs))
		r.want(t, "p.a", "[1 4]")
		r.want(t, "p.b", "[515 1286]")
		outer := &mdf4test.Channel{Name: "s", Data: mdf4test.ByteArray, Bits: 96, Members: []*mdf4test.Channel{
			{Name: "n", Data: mdf4test.UnsignedLE, Bits: 8},
			{Name: "list", Data: mdf4test.UnsignedLE, Byte: 1, Bits: 8, Array: &mdf4test.Array{ByteBase: 4, Dims: []uint64{2}, Array: &mdf4test.Array{ByteBase: 1, Dims: []uint64{3}}}}}}
		r = mustRead(t, single([][]byte{rec}, outer))
		r.want(t, "s.n", "1")
		r.want(t, "s.list", "[[2 3 4] [6 7 8]]")
	})
	t.Run("26 elements in records of their own", func(t *testing.T) {
		rec := func(at float64, x byte) []byte { return mdf4test.LE(at, x) }
		grid := func(storage uint8, flags uint32) *mdf4test.Channel {
			return &mdf4test.Channel{Name: "x", Data: mdf4test.UnsignedLE, Byte: 8, Bits: 8, Array: &mdf4test.Array{Storage: storage, Flags: flags, Dims: []uint64{2, 2}, Cycles: []uint64{2, 1, 0, 1}}}
		}
		check := func(r *reading, tables [4]string) {
			t.Helper()
			r.wantOf(t, tables[0], "x", "1", "5")
			r.wantOf(t, tables[0], "time", "1000000000000000000", "1000000001000000000")
			r.wantOf(t, tables[1], "x", "2")
			r.wantOf(t, tables[3], "x", "4")
			r.wantOf(t, tables[3], "time", "1000000000500000000")
			if r.tables[tables[2]] != nil || len(r.desc.Tables) != 4 || r.problem("unsupported_array") {
				t.Errorf("%v %v", r.desc.Tables, r.desc.Problems)
			}
			if a := r.desc.Tables[1].Table.Attributes["element"]; !strings.HasSuffix(tables[1], a) || a == "" {
				t.Errorf("element %q", a)
			}
		}
		two := uint64(2)
		groups := func(flags uint32) *mdf4test.File {
			g := &mdf4test.Group{ID: 3, Name: "g", DataBytes: 9, Cycles: &two, Channels: []*mdf4test.Channel{seconds(), grid(1, flags)}}
			var stream []byte
			for _, r := range []struct {
				id uint64
				b  []byte
			}{{3, rec(0, 1)}, {6, rec(0.5, 4)}, {4, rec(0.25, 2)}, {3, rec(1, 5)}} {
				stream = append(stream, mdf4test.Tagged(1, r.id, r.b, false)...)
			}
			return &mdf4test.File{StartNS: 1e18, Groups: []*mdf4test.DataGroup{{IDSize: 1, Groups: []*mdf4test.Group{g}, Stream: stream}}}
		}
		check(mustRead(t, groups(0)), [4]string{"g[0][0]", "g[0][1]", "g[1][0]", "g[1][1]"})
		check(mustRead(t, groups(64)), [4]string{"g[0][0]", "g[1][0]", "g[0][1]", "g[1][1]"})
		c := grid(2, 0)
		c.Array.Data = []*mdf4test.Signal{{Bytes: append(rec(0, 1), rec(1, 5)...)}, {Bytes: rec(0.25, 2), Storage: mdf4test.Storage{Zip: mdf4test.Deflate}}, {}, {Bytes: rec(0.5, 4)}}
		blocks := &mdf4test.Group{Name: "g", DataBytes: 9, Cycles: &two, Channels: []*mdf4test.Channel{seconds(), c}}
		f := &mdf4test.File{StartNS: 1e18, Groups: []*mdf4test.DataGroup{{NoData: true, Groups: []*mdf4test.Group{blocks}}}}
		check(mustRead(t, f), [4]string{"g[0][0]", "g[0][1]", "g[1][0]", "g[1][1]"})

		// Structures as elements; and what cannot be told apart is named.
		c = grid(1, 0)
		c.Data, c.Bits = mdf4test.ByteArray, 16
		c.Array.Dims, c.Array.Cycles = []uint64{2}, []uint64{1, 1}
		c.Array.Members = []*mdf4test.Channel{{Name: "a", Data: mdf4test.UnsignedLE, Byte: 8, Bits: 8}, {Name: "b", Data: mdf4test.UnsignedLE, Byte: 9, Bits: 8}}
		g := &mdf4test.Group{ID: 1, Name: "g", DataBytes: 10, Channels: []*mdf4test.Channel{seconds(), c}}
		stream := append(mdf4test.Tagged(1, 2, mdf4test.LE(0.0, byte(3), byte(4)), false), mdf4test.Tagged(1, 1, mdf4test.LE(0.0, byte(1), byte(2)), false)...)
		f = &mdf4test.File{StartNS: 1e18, Groups: []*mdf4test.DataGroup{{IDSize: 1, Groups: []*mdf4test.Group{g}, Stream: stream}}}
		r := mustRead(t, f)
		r.wantOf(t, "g[0]", "x.b", "2")
		r.wantOf(t, "g[1]", "x.a", "3")
		f.Groups[0].IDSize, f.Groups[0].Stream = 0, mdf4test.LE(0.0, byte(1), byte(2))
		if r = mustRead(t, f); !r.problem("unsupported_array") {
			t.Errorf("%v", r.desc.Problems)
		}
	})
	t.Run("27 axes", func(t *testing.T) {
		c := &mdf4test.Channel{Name: "map", Data: mdf4test.UnsignedLE, Bits: 8, Array: &mdf4test.Array{Type: 2, Flags: 16 | 32, ByteBase: 1, Dims: []uint64{2},
			Links: []any{nil}, Axis: []float64{10, 20.5}}}
		r := mustRead(t, single([][]byte{{1, 2}}, c))
		r.want(t, "map", "[1 2]")
		if v, _ := r.desc.Tables[0].Table.Schema.Field(1).Metadata.GetValue("axis_1"); v != "10,20.5" {
			t.Errorf("axis %q, problems %v", v, r.desc.Problems)
		}
	})
	t.Run("34 dynamic data is kept as bytes", func(t *testing.T) {
		c := &mdf4test.Channel{Name: "dyn", Data: mdf4test.ByteArray, Bits: 16, Dynamic: &mdf4test.Block{ID: "DS", Links: []any{nil, nil}, Data: mdf4test.LE(uint16(430), byte(0), make([]byte, 5))}}
		r := mustRead(t, single([][]byte{{1, 2}}, c))
		r.want(t, "dyn", "0102")
		if !r.problem("unsupported_composition") {
			t.Errorf("%v", r.desc.Problems)
		}
	})
	t.Run("36 sample reductions are no rows", func(t *testing.T) {
		f := single([][]byte{{1}, {2}}, field("x", mdf4test.UnsignedLE, 8))
		f.Groups[0].Groups[0].Reductions = []*mdf4test.Reduction{{Interval: 2, Sync: 1, Cycles: 1, Bytes: make([]byte, 27)}}
		r := mustRead(t, f)
		r.want(t, "x", "1", "2")
		found := false
		for _, d := range r.desc.Details {
			found = found || d.Kind == "sample_reduction"
		}
		if !found {
			t.Errorf("details %v", r.desc.Details)
		}
	})
}

func TestRejectedRows(t *testing.T) {
	c := field("s", mdf4test.UTF8, 64)
	c.Type, c.Signal = mdf4test.VLSD, &mdf4test.Signal{Bytes: mdf4test.LE(uint32(1), "a", uint32(100), "b")}
	f := single([][]byte{mdf4test.LE(uint64(0), byte(1)), mdf4test.LE(uint64(5), byte(2)), mdf4test.LE(uint64(999), byte(3)), mdf4test.LE(uint64(0), byte(4))}, c,
		&mdf4test.Channel{Name: "x", Data: mdf4test.UnsignedLE, Byte: 8, Bits: 8})
	r := mustRead(t, f)
	r.want(t, "s", "a", "a")
	r.want(t, "x", "1", "4")
	if len(r.rejected) != 2 || r.rejected[0].Record != 1 || r.rejected[1].Record != 2 || r.rejected[0].Column != "s" {
		t.Errorf("rejected %+v", r.rejected)
	}
	r, err := read(t, New(), object(t, f.Bytes()), pipeline.Selection{}, pipeline.DecodeOptions{NullCells: true})
	if err != nil {
		t.Fatal(err)
	}
	r.want(t, "s", "a", "null", "null", "a")
	r.want(t, "x", "1", "2", "3", "4")
	if r.counts["g"].NullCells["s"] != 2 {
		t.Errorf("%+v", r.counts["g"])
	}
}
