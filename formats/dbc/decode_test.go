package dbc

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// parse reads a database that may have problems.
func parse(t testing.TB, text string) *Database {
	t.Helper()
	db, err := Parse("x.dbc", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// problems shows the problems of a database, one line each.
func problems(db *Database) string {
	var b strings.Builder
	for _, p := range db.Problems {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}

// table decodes payloads of one message with a checked allocator, and shows the
// named columns of each row; all of them without names.
func table(t testing.TB, m *Message, opt Options, payloads [][]byte, names ...string) (rows []string, c Counts) {
	t.Helper()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	p := NewPlan(m, opt)
	var f Frames
	for _, b := range payloads {
		f.Start, f.Size = append(f.Start, int32(len(f.Data))), append(f.Size, int32(len(b)))
		f.Data = append(f.Data, b...)
	}
	out := make([]*column.Column, len(p.Fields()))
	for i, field := range p.Fields() {
		out[i] = column.New(mem, field.Type)
	}
	c = p.Decode(&f, out, new(Scratch))
	cells := make([][]string, len(payloads))
	for i, field := range p.Fields() {
		arr := out[i].Finish()
		if arr.Len() != len(payloads) {
			t.Fatalf("column %s has %d rows for %d frames", field.Name, arr.Len(), len(payloads))
		}
		show := len(names) == 0
		for _, n := range names {
			show = show || n == field.Name
		}
		for k := range payloads {
			if !show {
				continue
			}
			v := "null"
			switch {
			case arr.IsNull(k):
			case field.Part == Text:
				v = field.Texts[arr.(*arrow.Int32).Value(k)]
			default:
				v = arr.ValueStr(k)
			}
			cells[k] = append(cells[k], v)
		}
		arr.Release()
	}
	for _, c := range cells {
		rows = append(rows, strings.Join(c, " "))
	}
	return rows, c
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// one decodes one payload with a message made of signal lines.
func one(t testing.TB, payload, tail string, signals ...string) string {
	t.Helper()
	b := unhex(t, payload)
	text := fmt.Sprintf("BO_ 1 M: %d X\n", len(b))
	for _, s := range signals {
		text += " SG_ " + s + "\n"
	}
	db := parse(t, text+tail)
	if len(db.Messages) != 1 || len(db.Messages[0].Signals) != len(signals) {
		t.Fatalf("%s\n%s", text, problems(db))
	}
	rows, _ := table(t, db.Messages[0], Options{}, [][]byte{b})
	return rows[0]
}

func TestVectors(t *testing.T) {
	t.Run("1 golden vectors", func(t *testing.T) {
		for place, want := range map[string]string{
			"0|8@1+": "1", "7|8@0+": "1", "0|16@1+": "8961", "7|16@0+": "291", "4|12@1+": "560", "3|12@0+": "291", "12|12@1-": "1106",
			"23|16@0+": "17767", "20|33@1+": "3669530228", "20|13@0-": "1383", "0|64@1-": "-1167088121787636991", "7|64@0-": "81985529216486895",
			"56|8@1-": "-17", "35|20@0-": "-414771", "59|4@0-": "-1", "0|1@0+": "1",
		} {
			if got := one(t, "01 23 45 67 89 AB CD EF", "", "S : "+place+` (1,0) [0|0] "" X`); got != want {
				t.Errorf("%s: %s, want %s", place, got, want)
			}
		}
		obd := `BO_ 2024 OBD2: 8 X
 SG_ Service M : 11|4@0+ (1,0) [0|0] "" X
 SG_ SS1 m1M : 23|8@0+ (1,0) [0|0] "" X
 SG_ VehicleSpeed m13 : 31|8@0+ (1,0) [0|0] "km/h" X
 SG_ ThrottlePosition m17 : 31|8@0+ (0.39216,0) [0|0] "%" X
SG_MUL_VAL_ 2024 VehicleSpeed SS1 13-13;
SG_MUL_VAL_ 2024 ThrottlePosition SS1 17-17;
SG_MUL_VAL_ 2024 SS1 Service 1-1;
`
		rows, _ := table(t, parse(t, obd).Messages[0], Options{}, [][]byte{unhex(t, "03 41 0D 37 FF FF FF FF")})
		if rows[0] != "1 13 55 null" {
			t.Errorf("OBD2: %s", rows[0])
		}
	})
	t.Run("3 Motorola walk", func(t *testing.T) {
		s := parse(t, "BO_ 1 M: 8 X\n SG_ X : 0|12@0+ (1,0) [0|0] \"\" X\n").Messages[0].Signals[0]
		var bits []int
		for i := range s.Length {
			bits = append(bits, s.bit(i))
		}
		if got := fmt.Sprint(bits); got != "[0 15 14 13 12 11 10 9 8 23 22 21]" {
			t.Error(got)
		}
	})
	t.Run("4 one signed bit", func(t *testing.T) {
		if got := one(t, "02", "", `A : 0|1@1- (1,0) [0|0] "" X`, `B : 1|1@1- (1,0) [0|0] "" X`); got != "0 -1" {
			t.Error(got)
		}
	})
	t.Run("5 largest uint64", func(t *testing.T) {
		if got := one(t, "FFFFFFFFFFFFFFFF", "", `A : 0|64@1+ (1,0) [0|0] "" X`); got != "18446744073709551615" {
			t.Error(got)
		}
	})
	t.Run("6 factor 0.1", func(t *testing.T) {
		if got := one(t, "03", "", `A : 0|8@1+ (0.1,0) [0|0] "" X`); got != "0.30000000000000004" {
			t.Error(got)
		}
	})
	t.Run("7 negative factor and offset, no clipping", func(t *testing.T) {
		if got := one(t, "0A 0A", "", `A : 0|8@1+ (-0.5,-3) [0|1] "" X`, `B : 8|8@1- (-2,100) [0|1] "" X`); got != "-8 80" {
			t.Error(got)
		}
	})
	t.Run("8 floating point", func(t *testing.T) {
		tail := "SIG_VALTYPE_ 1 A : 1;\nSIG_VALTYPE_ 1 B : 2;\n"
		for _, c := range []struct{ payload, a, b, want string }{
			{"000048C1 00000000000029C0", "0|32@1-", "32|64@1-", "-12.5 -12.5"},
			{"C1480000 C029000000000000", "7|32@0-", "39|64@0-", "-12.5 -12.5"},
			{"0000C07F 000000000000F07F", "0|32@1+", "32|64@1+", "NaN +Inf"},
			{"FF800000 7FF8000000000000", "7|32@0+", "39|64@0+", "-Inf NaN"},
		} {
			if got := one(t, c.payload, tail, "A : "+c.a+` (1,0) [0|0] "" X`, "B : "+c.b+` (1,0) [0|0] "" X`); got != c.want {
				t.Errorf("%s: %s, want %s", c.payload, got, c.want)
			}
		}
		for _, motorola := range []bool{false, true} { // not aligned to bytes
			s := &Signal{Start: 13, Length: 64, BigEndian: motorola, Kind: Float64, Factor: 2}
			p := make([]byte, 16)
			put(s, p, math.Float64bits(-12.5))
			l := newLayout(s)
			raw, ok := []uint64{0}, []bool{true}
			l.extract(&Frames{Data: p, Start: []int32{0}, Size: []int32{16}}, 0, raw, ok)
			if v := l.physical(raw[0]); v != -25 || !ok[0] {
				t.Errorf("not aligned, Motorola %v: %v", motorola, v)
			}
		}
		if got := one(t, "000048C1", "SIG_VALTYPE_ 1 A 0;\n", `A : 0|32@1- (1,0) [0|0] "" X`); got != "-1052246016" {
			t.Errorf("type 0: %s", got)
		}
		if got := one(t, "00C5", "SIG_VALTYPE_ 1 A:1;\n", `A : 0|16@1- (1,0) [0|0] "" X`); got != "-5" {
			t.Errorf("16 bits: %s", got)
		}
	})
	t.Run("9 value type before its message", func(t *testing.T) {
		db := parse(t, "SIG_VALTYPE_ 1 A : 1;\nBO_ 1 M: 4 X\n SG_ A : 0|32@1- (1,0) [0|0] \"\" X\n")
		if rows, _ := table(t, db.Messages[0], Options{}, [][]byte{unhex(t, "000048C1")}); rows[0] != "-12.5" {
			t.Error(rows)
		}
	})
}

// walk reads a signal bit by bit.
func walk(s *Signal, payload []byte) (uint64, bool) {
	var v uint64
	for i := range s.Length {
		bit := s.bit(i)
		if bit/8 >= len(payload) {
			return 0, false
		}
		b := uint64(payload[bit/8] >> (bit % 8) & 1)
		if s.BigEndian {
			v = v<<1 | b
		} else {
			v |= b << i
		}
	}
	return v, true
}

// put writes a signal bit by bit.
func put(s *Signal, payload []byte, raw uint64) {
	for i := range s.Length {
		bit, v := s.bit(i), raw>>i&1
		if s.BigEndian {
			v = raw >> (s.Length - 1 - i) & 1
		}
		payload[bit/8] |= byte(v << (bit % 8))
	}
}

// Two ways to read a signal agree, also on where it does not fit.
func TestExtractEqualsWalk(t *testing.T) {
	t.Run("2 shift equals bit walk", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			s := &Signal{Factor: 1, Start: rapid.IntRange(0, 8*64-1).Draw(t, "start"), Length: rapid.IntRange(1, 64).Draw(t, "length"),
				BigEndian: rapid.Bool().Draw(t, "motorola"), Signed: rapid.Bool().Draw(t, "signed")}
			var f Frames
			f.Data = rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "before")
			for range rapid.IntRange(1, 4).Draw(t, "frames") {
				p := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(t, "payload")
				f.Start, f.Size = append(f.Start, int32(len(f.Data))), append(f.Size, int32(len(p)))
				f.Data = append(f.Data, p...)
			}
			l := newLayout(s)
			raw, ok := make([]uint64, len(f.Start)), make([]bool, len(f.Start))
			fill(ok)
			l.extract(&f, 0, raw, ok)
			for i := range raw {
				want, fits := walk(s, f.Data[f.Start[i]:f.Start[i]+f.Size[i]])
				if fits != ok[i] || fits && want != raw[i] {
					t.Fatalf("%d|%d@%v of %x: %x %v, want %x %v", s.Start, s.Length, s.BigEndian, f.Data[f.Start[i]:f.Start[i]+f.Size[i]], raw[i], ok[i], want, fits)
				}
			}
		})
	})
}

// Physical values are the exact product and sum, each rounded once.
func TestPhysical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Signal{Length: rapid.IntRange(1, 64).Draw(t, "length"), Signed: rapid.Bool().Draw(t, "signed"),
			Factor: rapid.Float64Range(-1e6, 1e6).Draw(t, "factor"), Offset: rapid.Float64Range(-1e6, 1e6).Draw(t, "offset")}
		raw := rapid.Uint64().Draw(t, "raw") >> (64 - s.Length)
		l := newLayout(s)
		n := new(big.Int).SetUint64(raw)
		if s.Signed && raw>>(s.Length-1) != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(s.Length)))
		}
		x, _ := new(big.Float).SetInt(n).Float64()
		p, _ := new(big.Float).SetPrec(200).Mul(big.NewFloat(x), big.NewFloat(s.Factor)).Float64()
		want, _ := new(big.Float).SetPrec(2000).Add(big.NewFloat(p), big.NewFloat(s.Offset)).Float64()
		if got := l.physical(raw); got != want {
			t.Fatalf("%v, want %v", got, want)
		}
	})
	// Whole numbers too wide for float64 stay exact.
	if got := one(t, "FFFFFFFFFFFFFF00", "", `A : 0|56@1+ (3,1) [0|0] "" X`); got != "216172782113783806" {
		t.Error(got)
	}
	if got := one(t, "FFFFFFFFFFFFFFFF", "", `A : 0|64@1+ (3,1) [0|0] "" X`); got != fmt.Sprint(float64(math.MaxUint64)*3+1) {
		t.Error(got)
	}
}
