package mdf4test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
)

// engine is one group with channels of several kinds.
func engine(rows int) *Group {
	note := func(s string) conversion.Ref { return conversion.Ref{Text: &s} }
	g := &Group{
		Name: "engine", InvalBytes: 1, Source: &Source{Name: "ECU", Path: "can", Type: 1, Bus: 2},
		Channels: []*Channel{
			{Name: "t", Type: Master, Sync: SyncTime, Data: FloatLE, Bits: 64, Unit: "s"},
			{Name: "count", Data: UnsignedLE, Byte: 8, Bits: 16},
			{Name: "packed", Data: UnsignedBE, Byte: 10, Bit: 3, Bits: 10},
			{Name: "sign", Data: SignedLE, Byte: 12, Bit: 1, Bits: 7, Flags: InvalidationValid, InvalBit: 2},
			{Name: "speed", Data: UnsignedLE, Byte: 13, Bits: 8, Unit: "km/h", Conversion: &conversion.Block{Type: 1, Values: []float64{-40, 0.5}}},
			{Name: "gear", Data: UnsignedLE, Byte: 13, Bits: 2, Conversion: &conversion.Block{
				Type: 7, Values: []float64{0, 1, 2}, Refs: []conversion.Ref{note("N"), note("1"), note("2"), note("?")}}},
		},
	}
	for i := range rows {
		r := LE(float64(i)*0.1, uint16(i*7), make([]byte, 3), uint8(i), uint8(0))
		PutBits(r, 10, 3, 10, uint64(i*11%1024), true)
		PutBits(r, 12, 1, 7, uint64(i%128), false)
		if i%5 == 0 {
			r[14] |= 1 << 2
		}
		g.Records = append(g.Records, r)
	}
	return g
}

// notes is a group with texts of variable length in signal data.
func notes(rows int, s Storage) *Group {
	var texts []string
	for i := range rows {
		texts = append(texts, fmt.Sprintf("note %d\x00", i*i))
	}
	sd, offsets := Texts(texts...)
	g := &Group{Name: "notes", Channels: []*Channel{
		{Name: "t", Type: Master, Sync: SyncTime, Data: FloatLE, Bits: 64, Unit: "s"},
		{Name: "note", Type: VLSD, Data: UTF8, Byte: 8, Bits: 64, Signal: &Signal{Bytes: sd, Storage: s}},
	}}
	for i, o := range offsets {
		g.Records = append(g.Records, LE(float64(i), o))
	}
	return g
}

// peerFiles are files that asammdf reads as well, with the rows of each group.
func peerFiles() map[string]*File {
	one := func(s Storage, v uint16) *File {
		return &File{Version: v, StartNS: 1772439300000000000, Groups: []*DataGroup{
			{Groups: []*Group{engine(50)}, Storage: s},
			{Groups: []*Group{notes(20, s)}},
		}}
	}
	files := map[string]*File{
		"dt":               one(Storage{}, 400),
		"dl":               one(Storage{List: DL, Piece: 37}, 410),
		"dl_equal":         one(Storage{List: DL, Piece: 64, Equal: true, PerList: 3}, 410),
		"dz":               one(Storage{Zip: Deflate}, 410),
		"dz_transposed":    one(Storage{Zip: TransposedDeflate}, 411),
		"dz_columns_7":     one(Storage{Zip: TransposedDeflate, Columns: 7}, 411),
		"hl_dz":            one(Storage{List: HL, Piece: 150, Zip: Deflate}, 410),
		"hl_dz_transposed": one(Storage{List: HL, Piece: 150, Zip: TransposedDeflate, PerList: 2}, 410),
	}
	for _, size := range []uint8{1, 2, 4, 8} {
		e := engine(30)
		e.ID = 1
		text := &Group{ID: 9, Flags: GroupVLSD}
		n := notes(10, Storage{})
		n.ID = 7
		n.Channels[1].Signal, n.Channels[1].Group = nil, text
		for i := range n.Records {
			text.Records = append(text.Records, []byte(fmt.Sprintf("note %d\x00", i*i)))
		}
		files[fmt.Sprintf("unsorted_%d", size)] = &File{Groups: []*DataGroup{{IDSize: size, Groups: []*Group{e, n, text}}}}
	}
	return files
}

// Writes the files that bench/conformance compares, into the folder that
// DRIVEMILL_SAMPLES names.
func TestSamples(t *testing.T) {
	dir := os.Getenv("DRIVEMILL_SAMPLES")
	if dir == "" {
		dir = t.TempDir()
	}
	for name, f := range comparedFiles() {
		if err := os.WriteFile(filepath.Join(dir, name+".mf4"), f.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// What this package writes is read by an independent reader as it was meant.
// DRIVEMILL_PYTHON names a Python with asammdf.
func TestPeer(t *testing.T) {
	python := os.Getenv("DRIVEMILL_PYTHON")
	if python == "" {
		t.Skip("DRIVEMILL_PYTHON is not set")
	}
	dir := t.TempDir()
	expected := make(map[string][]int)
	for name, f := range peerFiles() {
		if err := os.WriteFile(filepath.Join(dir, name+".mf4"), f.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, g := range f.Groups {
			for _, cg := range g.Groups {
				if cg.Flags&GroupVLSD == 0 {
					expected[name] = append(expected[name], len(cg.Records))
				}
			}
		}
	}
	list, err := json.Marshal(expected)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "testdata/check.py", dir, string(list)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
