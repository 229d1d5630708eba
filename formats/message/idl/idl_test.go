package idl

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/pipeline"
)

func resolve(t testing.TB, name, text string) *Type {
	t.Helper()
	d, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	typ, err := d.Type(name)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func TestExpressions(t *testing.T) {
	for text, want := range map[string]uint32{
		"1 + 2 * 3": 7, "(1 + 2) * 3": 9, "1 << 3 | 1": 9, "0x1F & ~0xF": 16, "7 % 4 - 1": 2, "017": 15, "10 / 3": 3, "-(-5)": 5, "6 ^ 3": 5,
		"16 >> 2": 4, "'a'": 97, "N": 12, "m::K + ::m::K": 8, "TRUE + 1": 2, "B": 4,
	} {
		typ := resolve(t, "T", "const long N = 12; module m { const short K = 4; }; enum E { A, @value(4) B }; struct T { octet x["+text+"]; };")
		if got := typ.Members[0].Type.Len; got != want {
			t.Errorf("%s is %d, want %d", text, got, want)
		}
	}
	if typ := resolve(t, "T", "struct T { string<(8 >> 1)> x; sequence<sequence<long, 2 + 1>> y; };"); typ.Members[0].Type.Len != 4 || typ.Members[1].Type.Elem.Len != 3 {
		t.Error(typ.Members)
	}
}

func TestMembers(t *testing.T) {
	typ := resolve(t, "a/msg/T", `module a { module msg {
 struct B { @key long _struct; }; // a keyword as name
 @mutable @autoid(SEQUENTIAL) struct T : B { @id(10) @optional long a; long b; @hashid("color") long c; @must_understand @default(value=3) @unit("m/s") long d[2]; };
}; };`)
	var got []string
	for _, m := range typ.Members {
		got = append(got, fmt.Sprint(m.Name, " ", m.ID, m.Optional, m.Key, m.MustUnderstand, m.Unit, m.Default))
	}
	if len(got) != 5 || got[0] != "struct 0 false true false" || !strings.HasPrefix(got[3], "c ") || !strings.HasSuffix(got[4], "false false truem/s3") || typ.Ext != Mutable {
		t.Errorf("%q", got)
	}
	// The examples of DDS-XTypes 1.3, section 7.3.1.2.1.1.
	if a, b := hashID("color"), hashID("shapesize"); a != 0x0fa5dd70 || b != 0x047790da {
		t.Errorf("ids %x %x", a, b)
	}
}

func TestDefinition(t *testing.T) {
	const text = `#include "b/msg/U.idl"
module b { module msg { struct U { octet o; sequence<double, 3> d; }; }; };
module a { module msg { typedef string<5> name; struct T { b::msg::U u; sequence<b::msg::U> l; name n[2]; char c; wstring w; }; struct E { uint8 structure_needs_at_least_one_member; }; }; };`
	got, ok := Definition(resolve(t, "a/msg/T", text))
	want := "b/msg/U u\nb/msg/U[] l\nstring<=5[2] n\nchar c\nwstring w\n" + strings.Repeat("=", 80) + "\nMSG: b/msg/U\nuint8 o\nfloat64[<=3] d\n"
	if !ok || got != want {
		t.Errorf("%v\n%s", ok, got)
	}
	r, err := rosmsg.Parse(rosmsg.ROS2, "a/msg/T", []byte(got))
	if err != nil || len(r.Columns()) != 6 {
		t.Errorf("%v, %v", r, err)
	}
	if got, ok := Definition(resolve(t, "a/msg/E", text)); got != "" || !ok {
		t.Errorf("%q %v", got, ok)
	}
	for _, s := range []string{"enum E { A }; struct T { E e; };", "struct T { @optional long x; };", "struct T { sequence<sequence<long>> x; };", "@mutable struct T { long x; };", "struct T { map<long, long> x; };", "struct T { long double x; };"} {
		if _, ok := Definition(resolve(t, "a::msg::T", "module a { module msg { "+s+" }; };")); ok {
			t.Errorf("%s has a definition in .msg", s)
		}
	}
	if _, ok := Definition(resolve(t, "T", "struct T { long x; };")); ok {
		t.Error("T has no package")
	}
}

func TestErrors(t *testing.T) {
	for text, line := range map[string]int{
		"struct T {\n long x\n};": 3, "\n\nstruct T { strange x; };": 3, "/* \n": 1, "const string s = \"a": 1, "struct T { long x; };\nstruct T { short x; };": 2,
		"struct T { long 5; };": 1, "union T switch(float) { case 1: long x; };": 1, "struct T { long x[0]; };": 1, "struct T { string<0> x; };": 1, "module a { struct T {": 1,
		"const long A = 1.5 << 2; struct T { long x[A]; };": 1, "const long A = 1 << 99; struct T { long x[A]; };": 1, "struct T { long x[\"a\"]; };": 1, "$": 1,
	} {
		d, err := Parse(text)
		if err == nil {
			_, err = d.Type("T")
		}
		var e *Error
		if !errors.As(err, &e) || e.Line != line || !errors.Is(err, pipeline.ErrCorrupt) {
			t.Errorf("%q: %v, want line %d", text, err, line)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("module a { module msg { @mutable struct T { @id(3) sequence<string<4>, 2> x[2]; }; }; };")
	f.Add("const long A = (1 << 2) | 3; enum E { @value(7) A1, B }; union T switch(E) { case B: long x; default: string s; };")
	f.Add("// c\n#include <x>\n/* */ struct B { boolean b; }; struct T : B { map<short, wstring> m; };")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		for _, name := range []string{"T", "a::msg::T"} {
			if typ, err := d.Type(name); err == nil && typ.Kind == Struct {
				if text, ok := Definition(typ); ok {
					_, _ = rosmsg.Parse(rosmsg.ROS2, "a/msg/T", []byte(text))
				}
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "module a { module msg { struct T%d { long a; sequence<double, 1 << 4> b; string<8> c[3]; }; }; };\n", i)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for range b.N {
		d, err := Parse(text.String())
		if err != nil {
			b.Fatal(err)
		}
		if typ, err := d.Type("a/msg/T99"); err != nil || len(typ.Members) != 3 {
			b.Fatal(typ, err)
		}
	}
}
