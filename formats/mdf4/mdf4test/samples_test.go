package mdf4test

import (
	"fmt"
	"math"
	"unicode/utf16"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
)

func txt(s string) conversion.Ref           { return conversion.Ref{Text: &s} }
func cc(b *conversion.Block) conversion.Ref { return conversion.Ref{Conversion: b} }
func formula(s string) *conversion.Block {
	return &conversion.Block{Type: 3, Refs: []conversion.Ref{txt(s)}}
}
func linear(offset, f float64) *conversion.Block {
	return &conversion.Block{Type: 1, Values: []float64{offset, f}}
}

// rules are conversions of every type, as programs write them.
func rules() map[string]*conversion.Block {
	states := &conversion.Block{Type: 7, Values: []float64{0, 1, 2, 5}, Refs: []conversion.Ref{txt("off"), txt("on"), txt("fault"), txt("später"), txt("unknown")}}
	return map[string]*conversion.Block{
		"linear":        linear(-40, 0.5),
		"rational":      {Type: 2, Values: []float64{1, -2, 3, 0, 0.5, 7}},
		"inverse":       {Type: 2, Values: []float64{0, 0, 9, 0, 1, 0}},
		"square":        formula("X * X + 1"),
		"sine":          formula("sin(X / 10) + 2*cos(X1)"),
		"root":          formula("sqrt(X * X) - exp(X / 50)"),
		"interpolated":  {Type: 4, Values: []float64{-20, 5, 0, 0, 30, -9, 90, 1}},
		"nearest":       {Type: 5, Values: []float64{-20, 5, 0, 0, 30, -9, 90, 1}},
		"ranges":        {Type: 6, Values: []float64{-30, -10, 1, -9, 0, 2, 3, 40, 3, -1}},
		"states":        states,
		"levels":        {Type: 8, Values: []float64{-30, -10, -9, 0, 3, 40}, Refs: []conversion.Ref{txt("low"), txt("zero"), txt("high"), txt("out")}},
		"levels_scaled": {Type: 8, Values: []float64{-30, -10, 3, 40}, Refs: []conversion.Ref{cc(linear(1, 2)), txt("high"), cc(linear(0, -1))}},
		"status":        {Type: 7, Flags: 4, Values: []float64{33, 34}, Refs: []conversion.Ref{txt("error"), txt("absent"), cc(linear(0, 0.1))}},
	}
}

// converted has one channel of each rule over integers, floating point numbers,
// and big-endian integers that are not byte aligned.
func converted(rows int) *Group {
	g := &Group{Name: "converted", Channels: []*Channel{{Name: "t", Type: Master, Sync: SyncTime, Data: FloatLE, Bits: 64, Unit: "s"}}}
	for name, b := range rules() {
		g.Channels = append(g.Channels,
			&Channel{Name: name + "_i8", Data: SignedLE, Byte: 8, Bits: 8, Conversion: b, Unit: "u"},
			&Channel{Name: name + "_f64", Data: FloatLE, Byte: 9, Bits: 64, Conversion: b},
			&Channel{Name: name + "_be", Data: UnsignedBE, Byte: 17, Bit: 5, Bits: 7, Conversion: b})
	}
	for i := range rows {
		r := LE(float64(i)*0.25, int8(i-rows/2), float64(i-rows/2), make([]byte, 2))
		PutBits(r, 17, 5, 7, uint64(i), true)
		g.Records = append(g.Records, r)
	}
	return g
}

func utf16Bytes(s string, put func(...any) []byte) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, put(u)...)
	}
	return b
}

func pad(b []byte, n int) []byte { return append(b, make([]byte, n-len(b))...) }

// typed has channels of the types that recordings rarely have.
func typed(rows int) *Group {
	g := &Group{Name: "typed", Channels: []*Channel{
		{Name: "t", Type: Master, Sync: SyncTime, Data: FloatLE, Bits: 64, Unit: "s"},
		{Name: "half", Data: FloatLE, Byte: 8, Bits: 16},
		{Name: "single_be", Data: FloatBE, Byte: 10, Bits: 32},
		{Name: "u24", Data: UnsignedLE, Byte: 14, Bits: 24},
		{Name: "i40_be", Data: SignedBE, Byte: 17, Bits: 40},
		{Name: "u64", Data: UnsignedLE, Byte: 22, Bits: 64},
		{Name: "complex", Data: ComplexLE, Byte: 30, Bits: 64},
		{Name: "latin", Data: Latin1, Byte: 38, Bits: 64},
		{Name: "utf16_le", Data: UTF16LE, Byte: 46, Bits: 128},
		{Name: "utf16_be", Data: UTF16BE, Byte: 62, Bits: 128},
		{Name: "bytes", Data: ByteArray, Byte: 78, Bits: 24},
		{Name: "index", Type: VirtualData, Data: UnsignedLE, Bits: 0},
	}}
	for i := range rows {
		word := fmt.Sprintf("wört %d", i)
		latin := append([]byte("w\xf6rt "), byte('0'+i%10))
		g.Records = append(g.Records, LE(float64(i),
			uint16(0x3c00+i), BE(float32(i)/3), []byte{byte(i), byte(i >> 1), 0x80}, BE(uint8(0xff), uint32(i)), math.MaxUint64-uint64(i),
			float32(i), float32(-i), pad(latin, 8), pad(utf16Bytes(word, LE), 16), pad(utf16Bytes(word, BE), 16), []byte{byte(i), 0, 7}))
	}
	return g
}

// columns are groups of one channel each, tied to the group of the master.
// A single block of columns has no place for invalidation bytes.
func columns(rows int, s Storage) []*DataGroup {
	master := &Group{Name: "store", Channels: []*Channel{{Name: "t", Type: Master, Sync: SyncTime, Data: FloatLE, Bits: 64, Unit: "s"}}}
	value := &Group{Name: "store", Flags: GroupRemoteMaster, Master: master, InvalBytes: 1, Channels: []*Channel{
		{Name: "speed", Data: UnsignedLE, Bits: 16, Flags: InvalidationValid, InvalBit: 3, Conversion: linear(0, 0.01), Unit: "m/s"}}}
	for i := range rows {
		master.Records = append(master.Records, LE(float64(i)*0.5))
		invalid := uint8(0)
		if i%9 == 4 && i > rows/2 {
			invalid = 1 << 3
		}
		value.Records = append(value.Records, LE(uint16(i*100), invalid))
	}
	if s.List == Column {
		value.InvalBytes, value.Channels[0].Flags = 0, 0
		for i := range value.Records {
			value.Records[i] = value.Records[i][:2]
		}
	}
	return []*DataGroup{{Groups: []*Group{master}, Storage: s}, {Groups: []*Group{value}, Storage: s}}
}

// comparedFiles are read by asammdf and by the reader of this module, whose
// rows bench/conformance compares.
func comparedFiles() map[string]*File {
	one := func(v uint16, groups ...*Group) *File {
		f := &File{Version: v, StartNS: 1772439300000000000, TimeFlags: 2}
		for _, g := range groups {
			f.Groups = append(f.Groups, &DataGroup{Groups: []*Group{g}})
		}
		return f
	}
	files := map[string]*File{
		"converted":      one(410, converted(80)),
		"typed":          one(420, typed(40)),
		"column_single":  {Version: 420, Groups: columns(60, Storage{List: Column})},
		"column_list":    {Version: 420, Groups: columns(60, Storage{List: LD, Piece: 16, Equal: true})},
		"column_offsets": {Version: 420, Groups: columns(60, Storage{List: LD, Piece: 25, NILValid: true})},
		"column_dz":      {Version: 420, Groups: columns(60, Storage{List: LD, Piece: 25, Zip: TransposedDeflate})},
	}
	for name, zip := range map[string]int{"zstd": Zstd, "zstd_transposed": TransposedZstd, "lz4": LZ4, "lz4_transposed": TransposedLZ4} {
		files[name] = one(430, engine(50), notes(30, Storage{}))
		for _, g := range files[name].Groups {
			g.Storage = Storage{List: HL, Piece: 400, Zip: zip}
		}
	}
	for name, f := range peerFiles() {
		f.TimeFlags = 2
		files["peer_"+name] = f
	}
	return files
}
