package dbc

import (
	"fmt"
	"strings"
	"testing"
)

func TestMultiplexing(t *testing.T) {
	const muxed = `BO_ 1 M: 8 X
 SG_ Sw M : 0|8@1+ (1,0) [0|0] "" X
 SG_ A m0 : 8|8@1+ (1,0) [0|0] "" X
 SG_ B m1 : 8|16@1+ (1,0) [0|0] "" X
 SG_ P : 56|8@1+ (1,0) [0|0] "" X
`
	frames := func(heads ...string) [][]byte {
		var out [][]byte
		for _, h := range heads {
			out = append(out, append(unhex(t, h), make([]byte, 8-len(unhex(t, h)))...))
		}
		return out
	}
	t.Run("17 simple multiplexing", func(t *testing.T) {
		rows, c := table(t, parse(t, muxed).Messages[0], Options{}, frames("00 0A", "01 0A 01"))
		if got := strings.Join(rows, "; "); got != "0 10 null 0; 1 null 266 0" || c != (Counts{}) {
			t.Error(got, c)
		}
	})
	t.Run("20 unknown switch value", func(t *testing.T) {
		rows, c := table(t, parse(t, muxed).Messages[0], Options{}, frames("07 0A", "00 0A"))
		if got := strings.Join(rows, "; "); got != "7 null null 0; 0 10 null 0" || c.UnknownSwitch != 1 {
			t.Error(got, c)
		}
	})
	t.Run("18 cascaded, independent and multi-range switches", func(t *testing.T) {
		db := parse(t, `BO_ 1 M: 8 X
 SG_ S0 M : 0|4@1+ (1,0) [0|0] "" X
 SG_ S1 m0M : 4|4@1+ (1,0) [0|0] "" X
 SG_ X m0 : 8|8@1+ (1,0) [0|0] "" X
 SG_ Other M : 16|8@1+ (1,0) [0|0] "" X
 SG_ Y m5 : 24|8@1+ (1,0) [0|0] "" X
SG_MUL_VAL_ 1 S1 S0 0-1;
SG_MUL_VAL_ 1 X S1 2-3, 7-7,9 - 10;
SG_MUL_VAL_ 1 Y Other 5-5, 100-200;
`)
		if len(db.Problems) > 0 {
			t.Error(problems(db))
		}
		rows, _ := table(t, db.Messages[0], Options{}, frames("20 2A 05 01", "31 2B 06 01", "72 2C 64 02", "80 2D C9 02", "A1 2E C8 03"))
		want := []string{"0 2 42 5 1", "1 3 43 6 null", "2 null null 100 2", "0 8 null 201 null", "1 10 46 200 3"}
		if fmt.Sprint(rows) != fmt.Sprint(want) {
			t.Errorf("%q\nwant %q", rows, want)
		}
	})
	t.Run("19 the widest range", func(t *testing.T) {
		db := parse(t, muxed+"SG_MUL_VAL_ 1 A Sw 0-4294967295;\n")
		if rows, c := table(t, db.Messages[0], Options{}, frames("63 0A")); rows[0] != "99 10 null 0" || c.UnknownSwitch != 0 {
			t.Error(rows, c)
		}
	})
	t.Run("21 one name, two layouts", func(t *testing.T) {
		db := parse(t, `BO_ 1 M: 8 X
 SG_ Sw M : 0|8@1+ (1,0) [0|0] "" X
 SG_ A m0 : 8|8@1+ (1,0) [0|0] "V" X
 SG_ A m1 : 23|16@0- (0.5,0) [0|0] "V" X
VAL_ 1 A 5 "five";
`)
		rows, _ := table(t, db.Messages[0], Options{}, frames("00 05", "01 00 FF FE", "02 00", "00 06", "01 00 00 05"))
		want := []string{"0 5 5 five", "1 -1 -2 null", "2 null null null", "0 6 6 null", "1 2.5 5 five"}
		if fmt.Sprint(rows) != fmt.Sprint(want) {
			t.Errorf("%q\nwant %q", rows, want)
		}
	})
	t.Run("22 raw values of switches", func(t *testing.T) {
		db := parse(t, `BO_ 1 M: 8 X
 SG_ Sw M : 7|12@0- (0.5,-7) [0|0] "" X
 SG_ A m4095 : 16|8@1+ (1,0) [0|0] "" X
 SG_ B m18 : 16|8@1+ (1,0) [0|0] "" X
VAL_ 1 Sw 18 "eighteen";
`)
		rows, _ := table(t, db.Messages[0], Options{}, frames("FF F0 09", "01 20 08"))
		want := []string{"-7.5 -1 null 9 null", "2 18 eighteen null 8"}
		if fmt.Sprint(rows) != fmt.Sprint(want) {
			t.Errorf("%q\nwant %q", rows, want)
		}
	})
	t.Run("without a switch, and in a circle", func(t *testing.T) {
		db := parse(t, `BO_ 1 M: 8 X
 SG_ A m0 : 0|8@1+ (1,0) [0|0] "" X
BO_ 2 N: 8 X
 SG_ S m0M : 0|8@1+ (1,0) [0|0] "" X
 SG_ T m0M : 8|8@1+ (1,0) [0|0] "" X
 SG_ P : 16|8@1+ (1,0) [0|0] "" X
SG_MUL_VAL_ 2 S T 0-0;
SG_MUL_VAL_ 2 T S 0-0;
`)
		if rows, _ := table(t, db.Messages[0], Options{}, frames("05")); rows[0] != "5" {
			t.Error(rows)
		}
		if len(db.Messages[1].Signals) != 1 || strings.Count(problems(db), "depends on itself") != 2 || !strings.Contains(problems(db), "has none") {
			t.Error(problems(db))
		}
	})
}

func TestLabels(t *testing.T) {
	t.Run("23 labels by raw value", func(t *testing.T) {
		got := one(t, "FE 03", "VAL_ 1 A -2 \"low; \\\"very\\\"\" 5 \"x\" 5 \"five\" ;\nVAL_ 1 B 3 \"three\" 300 \"beyond\" ;\n",
			`A : 0|8@1- (0.5,-1) [0|0] "" X`, `B : 8|8@1+ (1,0) [0|0] "" X`)
		if got != `-2 -2 low; "very" 3 three` {
			t.Error(got)
		}
	})
}

func TestLengths(t *testing.T) {
	m := parse(t, `BO_ 1 M: 8 X
 SG_ A : 0|16@1+ (1,0) [0|0] "" X
 SG_ B : 23|16@0+ (1,0) [0|0] "" X
 SG_ C : 32|32@1+ (1,0) [0|0] "" X
 SG_ D : 64|8@1+ (1,0) [0|0] "" X
`).Messages[0]
	t.Run("24 truncated and longer frames", func(t *testing.T) {
		full := unhex(t, "0100 0002 03000000")
		rows, c := table(t, m, Options{}, [][]byte{full[:4], full, append(full[:8:8], 9), {}})
		want := []string{"1 2 null null", "1 2 3 null", "1 2 3 9", "null null null null"}
		if fmt.Sprint(rows) != fmt.Sprint(want) || c.Short != 7 {
			t.Errorf("%q %+v\nwant %q", rows, c, want)
		}
	})
	t.Run("26 last bytes of a CAN FD frame", func(t *testing.T) {
		p := make([]byte, 64)
		copy(p[60:], unhex(t, "01020304"))
		db := parse(t, `BO_ 1 M: 64 X
 SG_ A : 480|32@1+ (1,0) [0|0] "" X
 SG_ B : 487|32@0+ (1,0) [0|0] "" X
`)
		if rows, _ := table(t, db.Messages[0], Options{}, [][]byte{p}); rows[0] != "67305985 16909060" {
			t.Error(rows)
		}
	})
}
