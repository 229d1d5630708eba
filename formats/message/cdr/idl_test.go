package cdr

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/idl"
	"github.com/drivemill/drivemill/formats/message/messagetest"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/pipeline"
)

func parseIDL(t testing.TB, name, text string) message.Layout {
	t.Helper()
	l, err := Encoding{}.Parse(message.Schema{Name: name, Encoding: "ros2idl", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const bar = "================================================================================\n"

func TestIDL(t *testing.T) {
	one := func(t *testing.T, text, data, want string) {
		t.Helper()
		if got := messagetest.One(t, parseIDL(t, "a/msg/T", text), unhex(t, data)); got != want {
			t.Errorf("%s: %s, want %s", data, got, want)
		}
	}
	in := func(s string) string { return "module a { module msg { " + s + " }; };" }
	t.Run("24 wide strings", func(t *testing.T) {
		text := in("@appendable struct T { wstring s; uint32 x; };")
		for _, data := range []string{
			"00010000 02000000 4800 6900 07000000", "00010000 02000000 48000000 69000000 07000000",
			"00010000 04000000 4800 6900 07000000", "00010000 03000000 4800 6900 0000 0000 07000000",
			"00090000 0c000000 04000000 4800 6900 07000000",
		} {
			one(t, text, data, `s="Hi" x=7`)
		}
	})
	t.Run("26 appendable", func(t *testing.T) {
		text := in("@appendable struct U { uint8 a; double b; }; struct T { U u; uint8 c; sequence<U> l; };")
		one(t, text, "00070000 0c000000 01000000 000000000000f83f 09 000000 08000000 01000000 00000000", "u.a=1 u.b=1.5 c=9 l=[{a:null b:null}]")
		one(t, text, "00070000 01000000 01 09 0000 04000000 00000000", "u.a=1 u.b=null c=9 l=[]")
		one(t, text, "00070000 10000000 01000000 000000000000f83f ffffffff 09 000000 04000000 00000000", "u.a=1 u.b=1.5 c=9 l=[]")
		one(t, text, "00010000 01 00000000000000 000000000000f83f 09 000000 00000000", "u.a=1 u.b=1.5 c=9 l=[]")
		one(t, text, "00070000 ff000000 01", "!length_beyond_end")
		// The same for a type in the .msg language.
		l := parse(t, "uint8 a\nstring b\nuint16 c")
		if got := messagetest.One(t, l, unhex(t, "00090000 08000000 05000000 00000000")); got != `a=5 b="" c=null` {
			t.Error(got)
		}
		if got := messagetest.One(t, l, unhex(t, "00090000 01000000 05"), "a"); got != `a=5` {
			t.Error(got)
		}
	})
	t.Run("27 mutable", func(t *testing.T) {
		text := in("struct V { uint32 n; }; @mutable struct T { @id(1) uint8 a; @id(2) uint16 b; @id(3) uint32 c; @id(4) double d; @id(5) string s; @id(6) sequence<uint32> q; @id(7) sequence<double> e; @id(8) sequence<uint8> o; };")
		none := "a=null b=null c=null d=null s=null q=null e=null o=null"
		set := func(cells ...string) string {
			out := none
			for _, c := range cells {
				key, _, _ := strings.Cut(c, "=")
				out = strings.Replace(out, key+"=null", c, 1)
			}
			return out
		}
		for _, c := range []struct{ data, want string }{
			{"000b0000 00000000", none},
			{"000b0000 05000000 01000000 07", set("a=7")},
			{"000b0000 06000000 02000010 0700", set("b=7")},
			{"000b0000 08000000 03000020 07000000", set("c=7")},
			{"000b0000 0c000000 04000030 000000000000f83f", set("d=1.5")},
			{"000b0000 0e000000 05000040 06000000 02000000 7800", set(`s="x"`)},
			{"000b0000 0a000000 05000050 02000000 7800", set(`s="x"`)},
			{"000b0000 10000000 06000060 02000000 01000000 02000000", set("q=[1 2]")},
			{"000b0000 10000000 07000070 01000000 000000000000f83f", set("e=[1.5]")},
			{"000b0000 0b000000 08000050 03000000 010203", set("o=b:AQID")},
			{"000a0000 00000008 20000003 00000007", set("c=7")},
			{"00130000 08000000 03000020 07000000", set("c=7")},
			{"000b0000 10000000 63000020 ffffffff 03000020 07000000", set("c=7")}, // unknown, not to be understood
			{"000b0000 08000000 630000a0 ffffffff", "!unknown_member"},
			{"000b0000 10000000 03000020 07000000 03000020 07000000", "!invalid_member"},
			{"000b0000 08000000 05000050 ff000000", "!length_beyond_end"},
			{"00030000 0100 0400 07000000 0300 0400 07000000 023f 0000", set("a=7", "c=7")},
			{"00030000 013f 0800 04000000 08000000 000000000000f83f 023f 0000", set("d=1.5")},
			{"00030000 6300 0400 ffffffff 0100 0100 07 000000 023f 0000", set("a=7")},
			{"00030000 6340 0400 ffffffff 023f 0000", "!unknown_member"},
			{"00030000 0100 0400 07000000", "!truncated"},
		} {
			one(t, text, c.data, c.want)
		}
	})
	t.Run("28 optional", func(t *testing.T) {
		text := in("struct U { int32 n; }; @final struct T { uint8 a; @optional int32 b; @optional U u; @optional sequence<U> l; uint8 z; };")
		one(t, text, "00070000 01 00 00 00 09", "a=1 b=null u.n=null l=null z=9")
		one(t, text, "00070000 01 01 0000 05000000 01 000000 06000000 00 09", "a=1 b=5 u.n=6 l=null z=9")
		one(t, text, "00070000 01 00 00 01 04000000 00000000 09", "a=1 b=null u.n=null l=[] z=9")
		one(t, text, "00010000 01 000000 0100 0400 05000000 0200 0000 0300 0000 09", "a=1 b=5 u.n=null l=null z=9")
	})
	t.Run("29 grammar", func(t *testing.T) {
		text := `#ifndef A_H
#define A_H
#include "b/msg/U.idl"
// struct in a comment; /* too
/* module { */
module a { module msg {
  module T_Constants { const uint8 N = (1 << 2) | 3; const string S = "a;" "//b"; const long M = N - 5 * 1; @verbatim(language="comment", text="x" "y") const double D = 1.5e3 + 1; };
  typedef uint16 row[2]; typedef row grid[T_Constants::M];
  @verbatim (language="comment", text= "A message" "\n" "with struct")
  struct T { @unit(value="m") grid g; sequence<string<8>, 4> l; unsigned long long q; @default(value=TRUE) boolean b; long double ld; b::msg::U u; ::b::msg::U v; };
}; };
#endif
` + bar + "IDL: b/msg/U\nmodule b { module msg { struct U { octet x, y[T2]; }; const short T2 = 0x2; }; };\n"
		one(t, text, "00010000 01000200 03000400 01000000 02000000 7800 0000 00000000 0900000000000000 01 00000000000000 000102030405060708090a0b0c0d0e0f 05 0607 08 090a",
			`g=[[1 2] [3 4]] l=["x"] q=9 b=true ld=b:AAECAwQFBgcICQoLDA0ODw== u.x=5 u.y=b:Bgc= v.x=8 v.y=b:CQo=`)
	})
	t.Run("30 enums", func(t *testing.T) {
		text := in("enum E { A, B, @value(7) C, D }; @bit_bound(8) enum S { X, Y }; @bit_bound(12) bitmask M { p, q }; struct T { E e; S s; M m; sequence<E> l; };")
		one(t, text, "00010000 08000000 01 00 0300 02000000 01000000 02000000", `e=8 e_label="D" s=1 s_label="Y" m=3 l=[1 2] l_label=["B" null]`)
		one(t, text, "00070000 07000000 ff 00 0300 0c000000 02000000 01000000 02000000", `e=7 e_label="C" s=-1 s_label=null m=3 l=[1 2] l_label=["B" null]`)
	})
	t.Run("31 unions", func(t *testing.T) {
		text := in("enum E { A, B, C }; union U switch(E) { case A: case B: long n; case C: string s; }; union W switch(uint8) { case 1: double d; default: U u; }; struct T { U u; W w; sequence<U> l; };")
		one(t, text, "00010000 01000000 05000000 01 00000000000000 000000000000f83f 02000000 02000000 02000000 7800 0000 07000000",
			`u._d=1 u._d_label="B" u.n=5 u.s=null w._d=1 w.d=1.5 w.u._d=null w.u._d_label=null w.u.n=null w.u.s=null l=[{_d:2 _d_label:"C" n:null s:"x"} {_d:7 _d_label:null n:null s:null}]`)
		one(t, text, "00010000 00000000 05000000 09 000000 02000000 01000000 00 000000 00000000",
			`u._d=0 u._d_label="A" u.n=5 u.s=null w._d=9 w.d=null w.u._d=2 w.u._d_label="C" w.u.n=null w.u.s="" l=[]`)
	})
	t.Run("32 arrays of sequences", func(t *testing.T) {
		text := in("struct T { sequence<octet, 71> grp[2]; long m[2][3]; map<string, short> d; };")
		one(t, text, "00010000 01000000 aa 000000 00000000 01000000 02000000 03000000 04000000 05000000 06000000 01000000 02000000 6b00 0500",
			`grp=[b:qg== b:] m=[[1 2 3] [4 5 6]] d=[{key:"k" value:5}]`)
	})
	t.Run("33 sections of both languages", func(t *testing.T) {
		l, err := Encoding{}.Parse(message.Schema{Name: "a/msg/T", Encoding: "ros2msg", Data: []byte("b/U u\nL[] l\nbyte c\n" + bar + "IDL: b/msg/U\nmodule b { module msg { struct U { a::msg::L x; long y; }; }; };\n" + bar + "MSG: a/L\nstring<=4 s\nbuiltin_interfaces/Time t\n")})
		if err != nil {
			t.Fatal(err)
		}
		if got := messagetest.One(t, l, unhex(t, "00010000 02000000 7800 0000 01000000 02000000 03000000 00000000 ff")); got != `u.x.s="x" u.x.t=1000000002ns u.y=3 l=[] c=255` {
			t.Error(got)
		}
		wrong := parse(t, "module p { module msg { struct T { double x; }; }; };") // labelled ros2msg
		if len(wrong.Fields()) != 1 {
			t.Error(wrong.Fields())
		}
	})
	t.Run("34 35 derived types", func(t *testing.T) {
		action, err := Encoding{}.Parse(message.Schema{Name: "p/action/A_FeedbackMessage", Encoding: "ros2msg", Data: []byte("int32 g\n---\nint32 r\n---\nfloat32 f\n")})
		if err != nil {
			t.Fatal(err)
		}
		if got := messagetest.One(t, action, unhex(t, "00010000 000102030405060708090a0b0c0d0e0f 0000c03f")); got != "goal_id.uuid=b:AAECAwQFBgcICQoLDA0ODw== feedback.f=1.5" {
			t.Error(got)
		}
		for _, name := range []string{"A_SendGoal_Request", "A_SendGoal_Response", "A_GetResult_Request", "A_GetResult_Response", "A_Goal"} {
			if _, err := (Encoding{}).Parse(message.Schema{Name: "p/action/" + name, Encoding: "ros2msg", Data: []byte("int32 g\n---\nint32 r\n---\nfloat32 f\n")}); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("36 huge counts", func(t *testing.T) {
		text := in("@appendable struct U { uint8 a; }; struct T { sequence<U> l; };")
		one(t, text, "00010000 00ffffff 00000000", "!length_beyond_end")
		one(t, text, "00070000 04000000 00ffffff 00000000", "!length_beyond_end")
	})
	t.Run("omgidl", func(t *testing.T) {
		l, err := Encoding{}.Parse(message.Schema{Name: "x::T", Encoding: "omgidl", Data: []byte("module x { struct B { long a; }; struct T : B { float b; }; };")})
		if err != nil {
			t.Fatal(err)
		}
		if got := messagetest.One(t, l, unhex(t, "00010000 01000000 0000c03f")); got != "a=1 b=1.5" {
			t.Error(got)
		}
	})
}

func TestIDLRefuses(t *testing.T) {
	for text, kind := range map[string]error{
		"module a { module msg { struct T { T t; }; }; };":                                             pipeline.ErrCorrupt, // 37
		"module a { module msg { struct U; struct T { sequence<U> t; }; struct U { T t; }; }; };":      pipeline.ErrCorrupt,
		"module a { module msg { struct T { double d[4096][4096][4096]; }; }; };":                      pipeline.ErrLimit,
		"module a { module msg { struct T { @optional double d[2000000]; }; }; };":                     pipeline.ErrLimit,
		"module a { module msg { struct T { any x; }; }; };":                                           pipeline.ErrUnsupported,
		"module a { module msg { struct T { unknown x; }; }; };":                                       pipeline.ErrCorrupt,
		"module a { module msg { struct T { long x[1/0]; }; }; };":                                     pipeline.ErrCorrupt,
		"module a { module msg { const long A = B; const long B = A; struct T { long x[A]; }; }; };":   pipeline.ErrCorrupt,
		strings.Repeat("module a { ", 100):                                                             pipeline.ErrLimit,
		"module a { module msg { struct T { long x; long x; }; }; };":                                  pipeline.ErrCorrupt,
		"module a { module msg { struct T { long x; ":                                                  pipeline.ErrCorrupt,
		"module a { module msg { struct T { " + strings.Repeat("sequence<", 100) + "long":              pipeline.ErrLimit,
		"module a { module msg { const long A = " + strings.Repeat("(", 100) + "; struct T { long x; ": pipeline.ErrLimit,
	} {
		if _, err := (Encoding{}).Parse(message.Schema{Name: "a/msg/T", Encoding: "ros2idl", Data: []byte(text)}); !errors.Is(err, kind) {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

const rich = `module a { module msg { enum E { A, B }; union U switch(long) { case 1: string s; default: float f; };
 @mutable struct M { @id(3) long x; @id(9) sequence<short> y; }; @appendable struct P { octet a; double b; wstring w; };
 struct T { E e; sequence<E> es; U u; sequence<U> us; M m; P p; sequence<P> ps; @optional double o; map<short, string> d; sequence<sequence<long>> ll; short g[2][2]; }; }; };`

func richMessages(t testing.TB) [][]byte {
	return [][]byte{
		unhex(t, "00010000 01000000 01000000 01000000 01000000 02000000 7800 0000 00000000 0300 0400 07000000 023f 0000 05 000000 000000000000f83f 00000000 00000000 0700 0000 00000000 00000000 01000200 03000400"),
		unhex(t, "00070000 00000000 04000000 00000000 02000000 0000c03f 04000000 00000000 08000000 03000020 07000000 01000000 05 000000 04000000 00000000 00 000000 04000000 00000000 04000000 00000000 01000200 03000400"),
	}
}

func TestSuiteIDL(t *testing.T) {
	l := parseIDL(t, "a/msg/T", rich)
	msgs := richMessages(t)
	for _, r := range messagetest.Decode(t, l, nil, 2, msgs...) {
		if r.Reason != "" && r.Reason != "truncated" {
			t.Log(r.Reason)
		}
	}
	messagetest.Suite(t, l, msgs...)
}

func FuzzIDL(f *testing.F) {
	l := parseIDL(f, "a/msg/T", rich)
	for _, m := range richMessages(f) {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, msg []byte) { messagetest.Fuzz(t, l, msg) })
}

// Programs and walks agree wherever a program can decode.
func FuzzWalk(f *testing.F) {
	const text = "std_msgs/Header h\nbyte[3] b\nU[] u\nU[2] v\nstring[] s\nbool[] k\ntime[2] t\nstd_msgs/Empty[] e\nstd_msgs/Empty x\nint16[2] i\nfloat64 d\n" + bar + "MSG: p/U\nuint8 a\nfloat64 b\nstring c\n"
	rt, err := rosmsg.Parse(rosmsg.ROS2, "p/msg/T", []byte(text))
	if err != nil {
		f.Fatal(err)
	}
	fast := NewLayout(rt)
	slow, err := layoutOf(fromROS(rt, make(map[*rosmsg.Type]*idl.Type)))
	if err != nil {
		f.Fatal(err)
	}
	slow.(*idlLayout).fast = nil
	if a, b := fmt.Sprint(fast.Fields()), fmt.Sprint(slow.Fields()); a != b {
		f.Fatalf("columns\n%s\n%s", a, b)
	}
	f.Add(unhex(f, "00010000 01000000 02000000 02000000 6100 010203 00000000 00000000 05 00000000000000 000000000000f83f 01000000 00 000000 05 00000000000000 000000000000f83f 01000000 00 000000 00000000 00000000 01000000 02000000 03000000 04000000 00000000 00 00 01000200 0000 000000000000f83f"))
	f.Add(append([]byte{0, 7, 0, 0}, make([]byte, 150)...))
	f.Add(append([]byte{0, 0, 0, 0}, make([]byte, 150)...))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) > 1 && msg[1] != 0 && msg[1] != 1 && msg[1] != 6 && msg[1] != 7 {
			return
		}
		a, b := messagetest.Decode(t, fast, nil, 1, msg)[0], messagetest.Decode(t, slow, nil, 1, msg)[0]
		if a.Cells != b.Cells || (a.Reason == "") != (b.Reason == "") {
			t.Errorf("%x:\n%v\n%v", msg, a, b)
		}
	})
}

func FuzzSchema(f *testing.F) {
	f.Add("a/msg/T", rich)
	f.Add("a/msg/T", "struct T { long x; };")
	f.Fuzz(func(t *testing.T, name, text string) {
		l, err := Encoding{}.Parse(message.Schema{Name: name, Encoding: "ros2idl", Data: []byte(text)})
		if err == nil && len(l.Fields()) < 100 {
			messagetest.Decode(t, l, nil, 1, make([]byte, 100), []byte{0, 7, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0})
		}
	})
}

func BenchmarkWalk(b *testing.B) {
	l := parse(b, "std_msgs/Header h\nfloat64 x\nfloat64 y\nfloat64 z\nfloat64[9] c\n")
	body := unhex(b, "01000000 02000000 04000000 6d617000")
	msg := append(append([]byte{0, 1, 0, 0}, body...), make([]byte, 8*12)...)
	b.Run("program", func(b *testing.B) { messagetest.Bench(b, l, nil, msg) })
	b.Run("walk", func(b *testing.B) {
		slow, err := layoutOf(fromROS(l.(*Layout).Type, make(map[*rosmsg.Type]*idl.Type)))
		if err != nil {
			b.Fatal(err)
		}
		slow.(*idlLayout).fast = nil
		messagetest.Bench(b, slow, nil, msg)
	})
}
