package dbc

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// 40: no text makes the parser panic or a plan read beyond a payload.
func FuzzParse(f *testing.F) {
	f.Add([]byte("VERSION \"\"\nBU_: A\nBO_ 1 M: 8 A\n SG_ S M : 0|8@1+ (1,0) [0|0] \"\" A\n SG_ T m1M : 15|12@0- (0.5,-1) [0|0] \"x\" A\nVAL_ 1 S 0 \"a\" 1 \"b\" ;\nSG_MUL_VAL_ 1 T S 1-5, 7-9;\nSIG_VALTYPE_ 1 S : 1;\n"), []byte{1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte("NS_ :\n BA_\nBS_:\nBA_DEF_ BO_ \"VFrameFormat\" ENUM \"a\",\"J1939PG\";\nBA_DEF_DEF_ \"VFrameFormat\" \"J1939PG\";\nBO_ 2364540158 E: 8 X\n SG_ A : 0|64@1+ (3,1) [0|0] \"\" X\nCM_ SG_ 2364540158 A \"x;\\\"\";\n"), []byte{255, 255, 255})
	for _, name := range []string{"powertrain.dbc", "truck.dbc"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "can", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, []byte{0, 1, 2, 3, 4, 5, 6, 7})
	}
	f.Fuzz(func(t *testing.T, text, payload []byte) {
		db, err := Parse("x.dbc", text)
		if err != nil {
			return
		}
		mem := arrow.NewGoAllocator()
		frames := &Frames{Data: payload, Start: []int32{0, int32(len(payload) / 2)}, Size: []int32{int32(len(payload)), int32(len(payload) - len(payload)/2)}}
		var s Scratch
		for _, m := range db.Messages {
			p := NewPlan(m, Options{})
			out := make([]*column.Column, len(p.Fields()))
			for i, f := range p.Fields() {
				out[i] = column.New(mem, f.Type)
			}
			p.Decode(frames, out, &s)
			for i, c := range out {
				if c.N != 2 {
					t.Fatalf("column %s has %d rows", p.Fields()[i].Name, c.N)
				}
			}
		}
	})
}

// Frames in any order never break reassembly.
func FuzzReassembler(f *testing.F) {
	f.Add([]byte{0, 8, 32, 20, 0, 3, 255, 0x21, 255, 0, 1, 8, 1, 1, 2, 3, 4, 5, 6, 7, 2, 8, 0x10, 20, 1, 2, 3, 4, 5, 6})
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Reassembler
		given, back := 0, 0
		for len(data) > 2 {
			kind, n := data[0], int(data[1])%65
			data = data[2:]
			n = min(n, len(data))
			frame := Frame{Data: data[:n], Record: int64(given)}
			data = data[n:]
			var p Progress
			switch kind % 4 {
			case 0:
				frame.ID = 0x1cecff00 | uint32(kind>>4)
				p = r.Transport(frame)
			case 1:
				frame.ID = 0x1cebff00 | uint32(kind>>4)
				p = r.Transport(frame)
			case 2:
				frame.ID = uint32(kind >> 4)
				p = r.ISOTP(frame, false)
			default:
				frame.ID = 0x0df80500 | uint32(kind>>4)
				p = r.FastPacket(frame)
			}
			if p != Alone {
				given++
			}
			if p == Complete {
				back += r.Done().Frames
			}
			for _, b := range r.Broken() {
				back += len(b.Records)
			}
		}
		r.End()
		for _, b := range r.Broken() {
			back += len(b.Records)
		}
		if given != back {
			t.Fatalf("%d frames taken, %d given back", given, back)
		}
	})
}
