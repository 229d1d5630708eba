package dbc

import (
	"bytes"
	"fmt"
	"testing"
)

func TestJ1939(t *testing.T) {
	t.Run("27 parameter groups", func(t *testing.T) {
		for id, want := range map[uint32]Group{
			0x0cf00400: {PGN: 0xf004, Priority: 3}, 0x18fef100: {PGN: 0xfef1, Priority: 6},
			0x18da15f9: {PGN: 0xda00, Priority: 6, Source: 0xf9, Destination: 0x15, Directed: true},
			0x0df11923: {PGN: 0x1f119, Priority: 3, Source: 0x23},
			0x18eaff00: {PGN: 0xea00, Priority: 6, Destination: 0xff, Directed: true},
			0x1cecff5a: {PGN: 0xec00, Priority: 7, Source: 0x5a, Destination: 0xff, Directed: true},
		} {
			if got := GroupOf(id); got != want {
				t.Errorf("%#x: %+v, want %+v", id, got, want)
			}
		}
	})
	const text = `BO_ 2364540158 M: 8 X
 SG_ A : 0|8@1+ (1,0) [0|0] "" X
 SG_ B : 8|16@1+ (1,0) [0|0] "" X
 SG_ C : 24|2@1+ (1,0) [0|0] "" X
 SG_ D : 32|8@1+ (1,0) [0|0] "" X
 SG_ E : 40|8@1+ (1,0) [0|0] "" X
BA_DEF_ "ProtocolType" STRING ;
BA_ "ProtocolType" "J1939";
BA_DEF_ SG_ "SigType" ENUM "Default","Discrete";
BA_ "SigType" SG_ 2364540158 D 1;
VAL_ 2364540158 E 254 "broken" ;
`
	t.Run("32 special values", func(t *testing.T) {
		m := parse(t, text).Messages[0]
		var frames [][]byte
		for _, h := range []string{"FF FFFF 03 FF FE", "FE 00FB 03 FE FF", "FB 34FE 00 FB 01"} {
			frames = append(frames, unhex(t, h))
		}
		rows, c := table(t, m, Options{}, frames)
		if got := fmt.Sprint(rows); got != "[null null 3 255 254 broken null 64256 3 254 null null 251 null 0 251 1 null]" || c.Special != 5 {
			t.Errorf("%q %+v", rows, c)
		}
		rows, c = table(t, m, Options{KeepSpecial: true}, frames)
		if got := fmt.Sprint(rows); got != "[255 65535 3 255 254 broken 254 64256 3 254 255 null 251 65076 0 251 1 null]" || c.Special != 0 {
			t.Errorf("%q %+v", rows, c)
		}
		a := m.Signals[0]
		for raw, want := range map[uint64]Validity{0: Valid, 0xfa: Valid, 0xfb: Specific, 0xfc: Reserved, 0xfe: ErrorIndicator, 0xff: NotAvailable} {
			if got := m.Classify(a, raw); got != want {
				t.Errorf("%#x: %d, want %d", raw, got, want)
			}
		}
		if m.Classify(m.Signals[4], 0xfe) != Valid || m.Classify(m.Signals[4], 0xff) != NotAvailable {
			t.Error("a value with a text is not special")
		}
	})
	t.Run("NMEA 2000 special values", func(t *testing.T) {
		p := NMEA2000
		m := parse(t, "BO_ 2582714659 M: 8 X\n SG_ A : 0|16@1- (1,0) [0|0] \"\" X\n SG_ B : 16|8@1+ (1,0) [0|0] \"\" X\n").Messages[0]
		rows, _ := table(t, m, Options{Protocol: &p}, [][]byte{unhex(t, "FF7F FF"), unhex(t, "FE7F FE"), unhex(t, "FFFF FD")})
		if got := fmt.Sprint(rows); got != "[null null null null -1 253]" {
			t.Errorf("%q", rows)
		}
	})
}

// bam splits a payload into a broadcast.
func bam(source byte, pgn uint32, payload []byte) []Frame {
	n := (len(payload) + 6) / 7
	out := []Frame{{ID: 0x1cecff00 | uint32(source), Data: []byte{32, byte(len(payload)), byte(len(payload) >> 8), byte(n), 255, byte(pgn), byte(pgn >> 8), byte(pgn >> 16)}}}
	for i := range n {
		d := append([]byte{byte(i + 1)}, payload[7*i:min(7*i+7, len(payload))]...)
		for len(d) < 8 {
			d = append(d, 255)
		}
		out = append(out, Frame{ID: 0x1cebff00 | uint32(source), Data: d})
	}
	return out
}

func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + 1)
	}
	return b
}

func TestTransport(t *testing.T) {
	// run feeds frames and tells what comes out.
	run := func(r *Reassembler, frames []Frame, take func(Frame) Progress) string {
		var out string
		for i, f := range frames {
			f.Record, f.Time = int64(i), int64(10*i)
			switch take(f) {
			case Complete:
				d := r.Done()
				if !bytes.Equal(d.Payload, counting(len(d.Payload))) {
					t.Errorf("payload %x", d.Payload)
				}
				out += fmt.Sprintf("%d:%d bytes of %d frames since %d, %#x; ", i, len(d.Payload), d.Frames, d.Began, d.PGN)
			case Alone:
				out += fmt.Sprintf("%d:alone; ", i)
			}
			for _, b := range r.Broken() {
				out += fmt.Sprintf("broken %v; ", b.Records)
			}
		}
		r.End()
		for _, b := range r.Broken() {
			out += fmt.Sprintf("broken %v; ", b.Records)
		}
		if len(r.sessions) != 0 {
			t.Error("sessions are left")
		}
		return out
	}
	t.Run("33 broadcasts", func(t *testing.T) {
		a, b := bam(1, 0xfeca, counting(39)), bam(2, 0x1feca, counting(39))
		var mixed []Frame
		for i := range a {
			mixed = append(mixed, a[i], b[i])
		}
		var r Reassembler
		if got := run(&r, mixed, r.Transport); got != "12:39 bytes of 7 frames since 0, 0xfeca; 13:39 bytes of 7 frames since 10, 0x1feca; " {
			t.Error(got)
		}
		missing := append(append([]Frame{}, mixed[:4]...), mixed[5:]...)
		r = Reassembler{}
		if got := run(&r, missing, r.Transport); got != "broken [0 2 5]; 7:alone; 9:alone; 11:alone; 12:39 bytes of 7 frames since 10, 0x1feca; " {
			t.Error(got)
		}
		r = Reassembler{}
		if got := run(&r, append(a[:3:3], a...), r.Transport); got != "broken [0 1 2]; 9:39 bytes of 7 frames since 30, 0xfeca; " {
			t.Error(got)
		}
		r = Reassembler{}
		if got := run(&r, a[:6], r.Transport); got != "broken [0 1 2 3 4 5]; " {
			t.Error(got)
		}
	})
	t.Run("34 connections", func(t *testing.T) {
		f := bam(1, 0xda00, counting(20))
		for i := range f {
			f[i].ID = f[i].ID&^0xff00 | 0x2200
		}
		f[0].Data[0] = 16
		cts := func(n, next byte) Frame {
			return Frame{ID: 0x1cec0122, Data: []byte{17, n, next, 255, 255, 0, 0xda, 0}}
		}
		ack := Frame{ID: 0x1cec0122, Data: []byte{19, 20, 0, 3, 255, 0, 0xda, 0}}
		var r Reassembler
		if got := run(&r, []Frame{f[0], cts(3, 1), f[1], f[2], cts(2, 2), f[2], f[3], ack}, r.Transport); got != "6:20 bytes of 7 frames since 0, 0xda00; 7:alone; " {
			t.Error(got)
		}
		abort := Frame{ID: 0x1cec0122, Data: []byte{255, 1, 255, 255, 255, 0, 0xda, 0}}
		r = Reassembler{}
		if got := run(&r, []Frame{f[0], f[1], abort, f[2]}, r.Transport); got != "broken [0 1 2]; 3:alone; " {
			t.Error(got)
		}
	})
	t.Run("fast packets", func(t *testing.T) {
		p := counting(20)
		frames := []Frame{
			{ID: 0x0df80523, Data: append([]byte{0x60, 20}, p[:6]...)}, {ID: 0x0df80523, Data: append([]byte{0x61}, p[6:13]...)},
			{ID: 0x0df80523, Data: append([]byte{0x62}, p[13:]...)}, {ID: 0x0df80523, Data: []byte{0x81, 1, 2}},
		}
		var r Reassembler
		if got := run(&r, frames, r.FastPacket); got != "2:20 bytes of 3 frames since 0, 0x1f805; 3:alone; " {
			t.Error(got)
		}
	})
	t.Run("35 ISO-TP", func(t *testing.T) {
		p := counting(130)
		frames := []Frame{{ID: 0x7e8, Data: []byte{3, 1, 2, 3, 0, 0, 0, 0}}, {ID: 0x7e8, Data: append([]byte{0x10, 130}, p[:6]...)}}
		for i, at := 1, 6; at < len(p); i, at = i+1, at+7 {
			frames = append(frames, Frame{ID: 0x7e8, Data: append([]byte{0x20 | byte(i&15)}, p[at:min(at+7, len(p))]...)})
		}
		flow := Frame{ID: 0x7e8, Data: []byte{0x30, 0, 0}}
		iso := func(r *Reassembler) func(Frame) Progress {
			return func(f Frame) Progress { return r.ISOTP(f, false) }
		}
		var r Reassembler
		if got := run(&r, append(frames, flow), iso(&r)); got != "0:3 bytes of 1 frames since 0, 0x0; 19:130 bytes of 19 frames since 10, 0x0; 20:alone; " {
			t.Error(got)
		}
		r = Reassembler{}
		if got := run(&r, append(frames[:4:4], frames[5:]...), iso(&r)); got[:len("0:3 bytes of 1 frames since 0, 0x0; broken [1 2 3 4]; 5:alone; ")] != "0:3 bytes of 1 frames since 0, 0x0; broken [1 2 3 4]; 5:alone; " {
			t.Error(got)
		}
	})
	t.Run("memory is bounded", func(t *testing.T) {
		var r Reassembler
		n := 0
		for i := range 5 * maxSessions {
			r.ISOTP(Frame{ID: uint32(i), Data: append([]byte{0x1f, 255}, counting(6)...)}, true)
			n += len(r.Broken())
			if len(r.sessions) > maxSessions || len(r.order) > maxSessions {
				t.Fatal("too many sessions")
			}
		}
		if n != 4*maxSessions {
			t.Errorf("%d were broken off", n)
		}
	})
}
