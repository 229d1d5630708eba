package cdr

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/wire"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

func parse(t testing.TB, text string) message.Layout {
	t.Helper()
	l, err := Encoding{}.Parse(message.Schema{Name: "p/msg/T", Encoding: "ros2msg", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decode decodes one message, given in hex, and renders the named columns.
func decode(t *testing.T, text, data string, names ...string) (string, error) {
	t.Helper()
	l := parse(t, text)
	plan, err := l.Compile(names)
	if err != nil {
		t.Fatal(err)
	}
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	var cols []*column.Column
	var got []string
	for _, f := range l.Fields() {
		if names == nil || strings.Contains(" "+strings.Join(names, " ")+" ", " "+f.Name+" ") {
			cols = append(cols, column.New(mem, f.Type))
			got = append(got, f.Name)
		}
	}
	b := unhex(t, data)
	n, failed := plan.Append(cols, b, []message.Span{{Start: 0, End: uint32(len(b))}})
	var parts []string
	for i, c := range cols {
		a := c.Finish()
		if a.Len() != n {
			t.Errorf("column %d has %d rows of %d", i, a.Len(), n)
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s=%s", got[i], a.ValueStr(0)))
		}
		a.Release()
	}
	return strings.Join(parts, " "), failed
}

func wantReason(t *testing.T, err error, reason string, kind error) {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Reason() != reason || !errors.Is(err, kind) {
		t.Errorf("error %v, want %s", err, reason)
	}
}

const g = "uint8 a\nfloat64 b\nstring s\nuint16 c\nfloat64[] d\nuint8 e"

const trajectory = `std_msgs/Header header
string[] joint_names
Point[] points
================================================================================
MSG: p/Point
float64[] positions
builtin_interfaces/Duration time_from_start
`

func Test02_03Golden(t *testing.T) {
	for _, c := range []struct{ name, text, data, want string }{
		{"G2", g, "00 01 00 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 f8 3f 03 00 00 00 61 62 00 00 34 12 00 00 00 00 00 00 07", "a=1 b=1.5 s=ab c=4660 d=[] e=7"},
		{"G3", g, "00 07 00 00 01 00 00 00 00 00 00 00 00 00 f8 3f 03 00 00 00 61 62 00 00 34 12 00 00 00 00 00 00 07", "a=1 b=1.5 s=ab c=4660 d=[] e=7"},
		{"G3 as 0x11", g, "00 11 00 00 01 00 00 00 00 00 00 00 00 00 f8 3f 03 00 00 00 61 62 00 00 34 12 00 00 00 00 00 00 07", "a=1 b=1.5 s=ab c=4660 d=[] e=7"},
		{"G4", "std_msgs/Header h\nfloat64 x", "00 01 00 00 ff ff ff ff 05 00 00 00 04 00 00 00 6d 61 70 00 00 00 00 00 00 00 00 40",
			"h.stamp=1969-12-31 23:59:59.000000005Z h.frame_id=map x=2"},
		{"G5", "uint8 a\nuint32 b\nstring c", "00 00 00 00 01 00 00 00 01 02 03 04 00 00 00 03 c3 a9 00", "a=1 b=16909060 c=é"},
		{"G7", trajectory, "00 01 00 00 c4 02 00 00 00 01 00 00 04 00 00 00 62 61 72 00 02 00 00 00 02 00 00 00 61 00 00 00 02 00 00 00 62 00 00 00 00 00 00 00 00 00 00",
			`header.stamp=1970-01-01 00:11:48.000000256Z header.frame_id=bar joint_names=["a","b"] points=[]`},
	} {
		got, err := decode(t, c.text, c.data)
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
		for n := 0; n < len(c.data); n += 3 {
			if _, err := decode(t, c.text, c.data[:n]); err == nil && c.name != "G7" {
				t.Errorf("%s cut to %q decodes", c.name, c.data[:n])
			}
		}
		_, err = decode(t, c.text, c.data+strings.Repeat("00", 4))
		wantReason(t, err, wire.TrailingBytes, pipeline.ErrSchema)
	}
}

func Test10ByteChar(t *testing.T) {
	got, err := decode(t, "byte b\nchar c\nint8 i", "00010000 ff ff ff")
	if err != nil || got != "b=255 c=255 i=-1" {
		t.Error(got, err)
	}
}

func Test12Duration(t *testing.T) {
	got, err := decode(t, "builtin_interfaces/Duration d\nduration[1] e", "00010000 ffffffff 0065cd1d ffffffff 0065cd1d")
	if err != nil || got != `d=-500000000ns e=["-500000000ns"]` {
		t.Error(got, err)
	}
}

func Test19Empty(t *testing.T) {
	for _, data := range []string{"00010000", "0001000000", "00010000 00000000", "00000000 00", "000700002a"} {
		if got, err := decode(t, "", data); got != "" || err != nil {
			t.Errorf("%s: %s, %v", data, got, err)
		}
	}
	_, err := decode(t, "", "00010000 0000000000")
	wantReason(t, err, wire.TrailingBytes, pipeline.ErrSchema)
	got, err := decode(t, "std_msgs/Empty[2] e\nuint8 a\nstd_msgs/Empty x\nuint8 b\nstd_msgs/Empty[] s\nuint8 c", "00010000 0000 07 00 08 000000 03000000 000000 09")
	if err != nil || got != "a=7 b=8 s=3 c=9" {
		t.Error(got, err)
	}
}

// A header whose frame_id grows by a byte at a time puts what follows at every
// residue, in both versions and byte orders.
func Test20_21Residues(t *testing.T) {
	const text = "std_msgs/Header h\nU u\n================================================================================\nMSG: p/U\nfloat64[] d\nuint8 a\nV[] v\nuint8 b\nfloat64[] none\nuint8 c\n" +
		"================================================================================\nMSG: p/V\nfloat64 x\nuint32 y\n"
	for _, x2 := range []bool{false, true} {
		for size := range 17 {
			buf := make([]byte, 8)
			align := func(n int) {
				if x2 {
					n = min(n, 4)
				}
				for len(buf)%n != 0 {
					buf = append(buf, 0xEE)
				}
			}
			u32 := func(v int) { align(4); buf = append(buf, byte(v), byte(v>>8), 0, 0) }
			f64 := func(b byte) { align(8); buf = append(buf, 0, 0, 0, 0, 0, 0, b, 0x40) }
			u32(size + 1)
			buf = append(append(buf, strings.Repeat("x", size)...), 0)
			u32(2)
			f64(0)
			f64(8)
			buf = append(buf, 7)
			if x2 {
				u32(4 + 8 + 4 + 8 + 4)
			}
			u32(2)
			f64(0)
			u32(5)
			f64(8)
			u32(6)
			buf = append(buf, 8)
			u32(0)
			buf = append(buf, 9)
			head := "00010000"
			if x2 {
				head = "00070000"
			}
			got, err := decode(t, text, head+hex.EncodeToString(buf), "u.d", "u.a", "u.v", "u.b", "u.none", "u.c")
			want := `u.d=[2,3] u.a=7 u.v=[{"x":2,"y":5},{"x":3,"y":6}] u.b=8 u.none=[] u.c=9`
			if err != nil || got != want {
				t.Errorf("XCDR2 %v, %d bytes: %s, %v", x2, size, got, err)
			}
		}
	}
}

func Test22PaddingBetweenElements(t *testing.T) {
	const text = "U[3] us\nuint8 z\n================================================================================\nMSG: p/U\nuint8 a\nfloat64 b\n"
	one := func(a string) string { return a + "00000000000000 0000000000000040 " }
	got, err := decode(t, text, "00010000"+one("01")+one("02")+one("03")+"09")
	if err != nil || got != `us=[{"a":1,"b":2},{"a":2,"b":2},{"a":3,"b":2}] z=9` {
		t.Error(got, err)
	}
}

func Test23Strings(t *testing.T) {
	for data, want := range map[string]string{
		"00000000":                  "s=",
		"01000000 00":               "s=",
		"03000000 616200":           "s=ab",
		"02000000 6162":             "s=ab",
		"03000000 c3a900":           "s=é",
		"05000000 6100620000":       "s=a\x00b\x00",
		"01000000 61":               "s=a",
		"09000000 6161616161616161": "",
	} {
		got, err := decode(t, "string s", "00010000"+data)
		if want == "" {
			wantReason(t, err, wire.LengthBeyondEnd, pipeline.ErrTruncated)
		} else if err != nil || got != want {
			t.Errorf("%s: %q, %v", data, got, err)
		}
	}
	_, err := decode(t, "string s", "00010000 02000000 e900")
	wantReason(t, err, wire.InvalidUTF8, pipeline.ErrCorrupt)
	got, err := decode(t, "string[] s\nuint8 a", "00010000 02000000 01000000 00 000000 02000000 6100 05")
	if err != nil || got != `s=["","a"] a=5` {
		t.Error(got, err)
	}
}

func Test24WideStrings(t *testing.T) {
	const text = "wstring w\nuint32 sentinel"
	for name, c := range map[string]struct{ data, want string }{
		"units of 2":           {"00010000 02000000 4800 6900 efbe0000", "w=Hi sentinel=48879"},
		"units of 2, with NUL": {"00010000 03000000 4800 6900 0000 0000 efbe0000", "w=Hi sentinel=48879"},
		"units of 4":           {"00010000 02000000 48000000 69000000 efbe0000", "w=Hi sentinel=48879"},
		"bytes":                {"00010000 04000000 4800 6900 efbe0000", "w=Hi sentinel=48879"},
		"bytes, CDR2":          {"00070000 04000000 4800 6900 efbe0000", "w=Hi sentinel=48879"},
		"big-endian":           {"00000000 00000002 0048 0069 0000beef", "w=Hi sentinel=48879"},
		"empty":                {"00010000 00000000 efbe0000", "w= sentinel=48879"},
		"surrogates":           {"00010000 02000000 3dd8 00de efbe0000", "w=😀 sentinel=48879"},
	} {
		for _, names := range [][]string{nil, {"sentinel"}} {
			got, err := decode(t, text, c.data, names...)
			if want := c.want[len(c.want)-14:]; names != nil && got != want || names == nil && got != c.want || err != nil {
				t.Errorf("%s %v: %s, %v", name, names, got, err)
			}
		}
	}
	_, err := decode(t, text, "00010000 01000000 3dd8 0000 efbe0000")
	wantReason(t, err, wire.InvalidUTF16, pipeline.ErrCorrupt)
	_, err = decode(t, text, "00010000 ffffff7f 4800")
	wantReason(t, err, wire.LengthBeyondEnd, pipeline.ErrTruncated)
	got, err := decode(t, "wstring[] w\nU[] us\n================================================================================\nMSG: p/U\nwstring a",
		"00010000 02000000 01000000 4800 0000 02000000 4800 6900 01000000 01000000 6900")
	if err != nil || got != `w=["H","Hi"] us=[{"a":"i"}]` {
		t.Error(got, err)
	}
}

func Test25BigEndian(t *testing.T) {
	got, err := decode(t, `bool a
int8 b
int16 c
uint16 d
int32 e
uint32 f
int64 g
uint64 h
float32 i
float64 j
time k
bool[2] l
int16[2] m
uint8[2] n
float32[] o
time[] p
string[1] q`,
		"00000000"+"01ff"+"fffe"+"0102"+"0000"+"fffffffd"+"00000004"+"fffffffffffffffc"+"0000000000000005"+"3fc00000"+"00000000"+"3ff8000000000000"+
			"00000001"+"00000002"+"0100"+"0001"+"0002"+"0708"+"00000002"+"40000000"+"40400000"+"00000001"+"00000003"+"00000004"+"00000002"+"7800")
	want := `a=true b=-1 c=-2 d=258 e=-3 f=4 g=-4 h=5 i=1.5 j=1.5 k=1970-01-01 00:00:01.000000002Z l=[true,false] m=[1,2] n=Bwg= o=[2,3] p=["1970-01-01 00:00:03.000000004"] q=["x"]`
	if got != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

func TestEncapsulation(t *testing.T) {
	for _, head := range []string{"0101", "0004", "00ff"} {
		_, err := decode(t, "uint8 a", head+"0000 07")
		wantReason(t, err, wire.UnsupportedEncapsulation, pipeline.ErrUnsupported)
	}
	for _, data := range []string{"", "00", "000100"} {
		_, err := decode(t, "uint8 a", data)
		wantReason(t, err, wire.Truncated, pipeline.ErrTruncated)
	}
	// Kinds may change from message to message.
	l := parse(t, "uint8 a\nfloat64 b")
	plan, _ := l.Compile(nil)
	cols := []*column.Column{column.New(arrow.NewGoAllocator(), arrow.Uint8Type), column.New(arrow.NewGoAllocator(), arrow.Float64Type)}
	var data []byte
	var spans []message.Span
	for _, s := range []string{
		"00010000 01 00000000000000 0000000000000040", "00070000 02 000000 0000000000000040", "00000000 03 00000000000000 4000000000000000",
		"00060000 04 000000 4000000000000000", "00010000 05 00000000000000 0000000000000040", "00040000 06",
	} {
		b := unhex(t, s)
		spans = append(spans, message.Span{Start: uint32(len(data)), End: uint32(len(data) + len(b))})
		data = append(data, b...)
	}
	n, err := plan.Append(cols, data, spans)
	wantReason(t, err, wire.UnsupportedEncapsulation, pipeline.ErrUnsupported)
	if n != 5 || !slices.Equal(cols[0].Data, []byte{1, 2, 3, 4, 5}) || !slices.Equal(arrow.Float64s(cols[1].Data), []float64{2, 2, 2, 2, 2}) {
		t.Errorf("%d rows: %v %v", n, cols[0].Data, arrow.Float64s(cols[1].Data))
	}
}

func Test36HugeCounts(t *testing.T) {
	const dep = "\n================================================================================\nMSG: p/U\n"
	for _, text := range []string{
		"uint8[] x", "string x", "bool[] x", "float64[] x", "time[] x", "string[] x", "std_msgs/String[] x", "std_msgs/Empty[] x",
		"U[] x" + dep + "float64 a\nfloat64 b", "U[] x" + dep + "string a\nuint8 b", "U[] x" + dep + "string[] a", "wstring x", "wstring[] x",
	} {
		for _, head := range []string{"00010000", "00070000 00ffffff", "00070000 14000000"} {
			l := parse(t, text)
			plan, _ := l.Compile(nil)
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			col := column.New(mem, l.Fields()[0].Type)
			b := unhex(t, head+"00ffffff 00000000000000000000000000000000")
			n, err := plan.Append([]*column.Column{col}, b, []message.Span{{Start: 0, End: uint32(len(b))}})
			if head == "00010000" {
				wantReason(t, err, wire.LengthBeyondEnd, pipeline.ErrTruncated)
			} else if (n == 1) != (err == nil) {
				t.Errorf("%q: %d, %v", text, n, err)
			}
			if mem.CurrentAlloc() > 2048 {
				t.Errorf("%q took %d bytes", text, mem.CurrentAlloc())
			}
			col.Release()
			mem.AssertSize(t, 0)
		}
	}
}

func Test38OptionsPadding(t *testing.T) {
	// 4 + 4 + 1 bytes, and three of padding that a string must not reach into.
	got, err := decode(t, "string s", "00010003 01000000 00 aabbcc")
	if err != nil || got != "s=" {
		t.Error(got, err)
	}
	_, err = decode(t, "string s", "00010003 04000000 61 626300")
	wantReason(t, err, wire.LengthBeyondEnd, pipeline.ErrTruncated)
	// Where the length does not fit, the options say nothing.
	got, err = decode(t, "string s", "00010003 03000000 616200")
	if err != nil || got != "s=ab" {
		t.Error(got, err)
	}
}

func Test40Names(t *testing.T) {
	got, err := decode(t, "uint8 from\nuint8 class\nuint8 end", "00010000 010203")
	if err != nil || got != "from=1 class=2 end=3" {
		t.Error(got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []message.Schema{
		{Name: "p/msg/T", Encoding: "ros2idl", Data: []byte("module p { module msg { bitset T { bitfield<3> a; }; }; };")},
		{Name: "p/T", Encoding: "ros1msg", Data: []byte("int8 a")},
		{Name: "p/msg/T", Encoding: "cdr", Data: []byte("int8 a")},
	} {
		if _, err := (Encoding{}).Parse(s); !errors.Is(err, pipeline.ErrUnsupported) {
			t.Errorf("%s: %v", s.Encoding, err)
		}
	}
}
