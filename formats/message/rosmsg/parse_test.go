package rosmsg

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

var separator = strings.Repeat("=", 80)

// define joins a root text and sections "pkg/Type\ntext".
func define(root string, deps ...string) []byte {
	var b strings.Builder
	b.WriteString(root)
	for _, d := range deps {
		b.WriteString("\n" + separator + "\nMSG: " + d)
	}
	return []byte(b.String())
}

func mustParse(t *testing.T, v Version, name string, text []byte) *Type {
	t.Helper()
	typ, err := Parse(v, name, text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return typ
}

// columns renders the columns of a type.
func columns(t *Type) string {
	var parts []string
	for _, f := range t.Columns() {
		parts = append(parts, f.Name+":"+f.Type.String())
	}
	return strings.Join(parts, " ")
}

func constants(t *Type) string {
	var parts []string
	for _, c := range t.Constants {
		parts = append(parts, c.Name+"="+c.Text)
	}
	return strings.Join(parts, "|")
}

const headerText = "std_msgs/Header\nuint32 seq\ntime stamp\nstring frame_id"

func Test04MD5Text(t *testing.T) {
	log := define(`##
## Severity level constants
##
byte DEBUG=1 #debug level
byte INFO=2  #general level
byte WARN=4 #warning level
byte ERROR=8 #error level
byte FATAL=16 #fatal/critical level
##
## Fields
##
Header header
byte level
string name # name of the node
string msg # message
string file # file the message came from
string function # function the message came from
uint32 line # line the message came from
string[] topics # topic names that the node publishes
`, headerText)
	if got := mustParse(t, ROS1, "rosgraph_msgs/Log", log).MD5(); got != "acffd30cd6b6de30f120938c17c593fb" {
		t.Errorf("rosgraph_msgs/Log: %s", got)
	}
	// Values enter the hash as written.
	a := mustParse(t, ROS1, "p/A", []byte("float32 X=1.0\nfloat32 y"))
	b := mustParse(t, ROS1, "p/A", []byte("float32 y # why\nfloat32   X  =  1.0"))
	c := mustParse(t, ROS1, "p/A", []byte("float32 X=1.00\nfloat32 y"))
	if a.MD5() != b.MD5() || a.MD5() == c.MD5() {
		t.Errorf("hashes %s %s %s", a.MD5(), b.MD5(), c.MD5())
	}
}

func Test05MD5BlindToArrays(t *testing.T) {
	dep := "p/T\nfloat64 a"
	one := mustParse(t, ROS1, "p/R", define("T x", dep))
	many := mustParse(t, ROS1, "p/R", define("T[] x", dep))
	if one.MD5() != many.MD5() {
		t.Errorf("%s and %s", one.MD5(), many.MD5())
	}
	if a, b := columns(one), columns(many); a != "x.a:float64" || b != "x:list<item: struct<a: float64>, nullable>" && !strings.HasPrefix(b, "x:list<") {
		t.Errorf("columns %s and %s", a, b)
	}
}

func Test06RIHS01(t *testing.T) {
	for name, want := range map[string]string{
		"std_msgs/msg/Empty":          "RIHS01_20b625256f32d5dbc0d04fee44f43c41e51c70d3502f84b4a08e7a9c26a96312",
		"std_msgs/msg/String":         "RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18",
		"builtin_interfaces/msg/Time": "RIHS01_b106235e25a4c5ed35098aa0a61a3ee9c9b18d197f398b0e4206cea9acf9c197",
		"std_msgs/msg/Header":         "RIHS01_f49fb3ae2cf070f793645ff749683ac6b06203e41c891e17701b1cb597ce6a01",
		"std_msgs/msg/Byte":           "RIHS01_41e1a334",
		"std_msgs/msg/ByteMultiArray": "RIHS01_972fec7f",
	} {
		typ, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := typ.RIHS01(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func Test07HeaderThird(t *testing.T) {
	typ := mustParse(t, ROS1, "my_pkg/Thing", define("float64 x\nstring name\nHeader header", headerText))
	if got := columns(typ); got != "x:float64 name:utf8 header.seq:uint32 header.stamp:timestamp[ns, tz=UTC] header.frame_id:utf8" {
		t.Error(got)
	}
	if typ.HeaderStamp() != "header.stamp" {
		t.Error(typ.HeaderStamp())
	}
}

func Test08RoslibHeader(t *testing.T) {
	dep := "roslib/Header\nuint32 seq\ntime stamp\nstring frame_id"
	for _, field := range []string{"roslib/Header header", "Header header"} {
		typ := mustParse(t, ROS1, "p/Old", define(field, dep))
		if typ.Fields[0].Message.Name != "roslib/Header" || typ.HeaderStamp() != "header.stamp" {
			t.Errorf("%s: %s, stamp %q", field, typ.Fields[0].Message.Name, typ.HeaderStamp())
		}
	}
}

func Test09BareNames(t *testing.T) {
	for _, v := range []Version{ROS1, ROS2} {
		typ := mustParse(t, v, "a/Root", define("Point p\nb/Holder h", "b/Holder\nPoint q", "a/Point\nint8 of_a", "b/Point\nint16 of_b"))
		if got := columns(typ); got != "p.of_a:int8 h.q.of_b:int16" {
			t.Error(got)
		}
	}
}

func Test10ByteAndChar(t *testing.T) {
	text := []byte("byte b\nchar c\nbyte[] bs\nchar[4] cs\nuint8[] u\nint8[] i")
	for v, want := range map[Version]string{
		ROS1: "b:int8 c:uint8 bs:binary cs:binary u:binary i:list<item: int8, nullable>",
		ROS2: "b:uint8 c:uint8 bs:binary cs:binary u:binary i:list<item: int8, nullable>",
	} {
		if got := columns(mustParse(t, v, "p/T", text)); got != want {
			t.Errorf("ROS %d: %s", v, got)
		}
	}
}

func Test13Constants1(t *testing.T) {
	typ := mustParse(t, ROS1, "p/T", []byte(`string FOO=a # b
int32 A=1 # b
string TOPIC=/bond_disable
  string  QUOTED = "x=#" ' 
string EMPTY=
bool YES=True
float64 INF = inf
int64 MIN=-9223372036854775808
uint64 MAX=18446744073709551615
byte M=-128
char C=255
int8 x`))
	if got := constants(typ); got != `FOO=a # b|A=1|TOPIC=/bond_disable|QUOTED="x=#" '|EMPTY=|YES=True|INF=inf|MIN=-9223372036854775808|MAX=18446744073709551615|M=-128|C=255` {
		t.Error(got)
	}
	if len(typ.Fields) != 1 {
		t.Error(typ.Fields)
	}
}

func Test14_15Lines2(t *testing.T) {
	typ := mustParse(t, ROS2, "p/msg/T", []byte(`string<=10 s "a=b"
int32[<=5] y [1, 2]
uint8 X=0x1F
bool B true
string d "with # and \" inside" # comment
string e 'it''s' # comment
string f unquoted # comment
string<=5[<=10] g
float32[3] h [1.0, 2.0, 3.0] # [m/s]
string S = "a # b"
uint8 Y = 31 # comment
bool Z = TRUE
byte W=0b11
int64 V=-0x10
time t
duration u
wstring w`))
	want := []string{"s:string", "y:int32", "B:bool", "d:string", "e:string", "f:string", "g:string", "h:float32", "t:time", "u:duration", "w:wstring"}
	for i, f := range typ.Fields {
		if i >= len(want) || f.Name+":"+f.Kind.String() != want[i] {
			t.Errorf("field %d is %s:%s", i, f.Name, f.Kind)
		}
	}
	if got := constants(typ); got != `X=0x1F|S="a # b"|Y=31|Z=TRUE|W=0b11|V=-0x10` {
		t.Error(got)
	}
	if f := typ.Fields[6]; f.Bound != 5 || f.Len != 10 || f.Array != Sequence {
		t.Errorf("%+v", f)
	}
	if f := typ.Fields[3]; f.Default != `"with # and \" inside"` {
		t.Errorf("default %s", f.Default)
	}
}

func Test16LayoutOfText(t *testing.T) {
	text := "\r\n  # indented comment\r\n\tfloat64\tx # tabs\r\nuint8 A=1\r\n string s\r\n" + separator + "\r\nMSG: p/Unused\r\nint8 z"
	for _, v := range []Version{ROS1, ROS2} {
		typ := mustParse(t, v, "p/T", []byte(text))
		if got := columns(typ) + " " + constants(typ); got != "x:float64 s:utf8 A=1" {
			t.Error(got)
		}
		if typ.Fields[0].Line != 3 || typ.Fields[1].Line != 5 {
			t.Errorf("lines %d, %d", typ.Fields[0].Line, typ.Fields[1].Line)
		}
	}
	mustParse(t, ROS1, "p/T", nil)
	mustParse(t, ROS1, "p/T", []byte("\xef\xbb\xbffloat64 x\x00"))
}

func Test17SeparatorAfterConstant(t *testing.T) {
	typ := mustParse(t, ROS1, "p/T", []byte("U u\nstring A=\n"+separator+"\nMSG: p/U\nstring B=x\n"+separator+"\nMSG: p/V\nint8 i"))
	if len(typ.Fields) != 1 || constants(typ) != "A=" || constants(typ.Fields[0].Message) != "B=x" {
		t.Errorf("%+v", typ)
	}
}

func Test18DuplicateSections(t *testing.T) {
	mustParse(t, ROS1, "p/T", define("U u", "p/U\nint8 a", "p/U\nint8 a\n", "p/U\nint8   a # same"))
	_, err := Parse(ROS1, "p/T", define("U u", "p/U\nint8 a", "p/U\nint16 a"))
	wantError(t, err, pipeline.ErrCorrupt, "p/U", 7, "defined a second time")
}

func Test37Recursion(t *testing.T) {
	for _, text := range [][]byte{
		define("T t"),
		define("T[] t"),
		define("U u", "p/U\nV v", "p/V\nT[3] t"),
	} {
		_, err := Parse(ROS1, "p/T", text)
		wantError(t, err, pipeline.ErrCorrupt, "", 0, "contains itself")
	}
	var deps []string
	for i := range 2 * MaxDepth {
		deps = append(deps, fmt.Sprintf("p/T%d\nT%d t", i, i+1))
	}
	_, err := Parse(ROS1, "p/T", define("T0 t", deps...))
	wantError(t, err, pipeline.ErrLimit, "", 0, "nest deeper")
}

func TestLimits(t *testing.T) {
	// Ten fields of ten fields of ten ...
	ten := func(typ string) string {
		var b strings.Builder
		for i := range 10 {
			fmt.Fprintf(&b, "%s f%d\n", typ, i)
		}
		return b.String()
	}
	_, err := Parse(ROS1, "p/T", define(ten("A"), "p/A\n"+ten("B"), "p/B\n"+ten("C"), "p/C\n"+ten("D"), "p/D\n"+ten("int8")))
	wantError(t, err, pipeline.ErrLimit, "", 0, "columns")
	_, err = Parse(ROS1, "p/T", define("A[10000] a", "p/A\nfloat64[10000] b"))
	wantError(t, err, pipeline.ErrLimit, "p/T", 1, "fixed arrays")
	_, err = Parse(ROS2, "p/T", define("A[10000000] a", "p/A\nB[10000000] b", "p/B\n"))
	wantError(t, err, pipeline.ErrLimit, "", 0, "fixed arrays")
	_, err = Parse(ROS1, "p/T", []byte("float64[99999999999] a"))
	wantError(t, err, pipeline.ErrCorrupt, "p/T", 1, "array length")
	_, err = Parse(ROS1, "p/T", []byte("float64[99999999] a"))
	wantError(t, err, pipeline.ErrCorrupt, "p/T", 1, "more than")
	_, err = Parse(ROS1, "p/T", make([]byte, MaxText+1))
	wantError(t, err, pipeline.ErrLimit, "p/T", 0, "text of")
	_, err = Parse(ROS1, "p/T", []byte(strings.Repeat("==\nMSG: a\n", MaxTypes+1)))
	wantError(t, err, pipeline.ErrLimit, "p/T", 2*MaxTypes, "types")
}

func wantError(t *testing.T, err error, kind error, typ string, line int, text string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, kind) || !strings.Contains(e.Reason, text) ||
		typ != "" && e.Type != typ || line != 0 && e.Line != line {
		t.Errorf("error %v; want type %q, line %d, %q, %v", err, typ, line, text, kind)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		v    Version
		text string
		line int
		want string
	}{
		{ROS1, "float64 x\nfloat64 x", 2, "field x is declared twice"},
		{ROS1, "float64", 1, `"" is not a field name`},
		{ROS1, "float64 x y", 1, `unexpected "y"`},
		{ROS1, "float64 2x", 1, "not a field name"},
		{ROS1, "float64[ x", 1, "not closed"},
		{ROS1, "float64[<=3] x", 1, "neither a field"},
		{ROS1, "float64[][] x", 1, "not an array length"},
		{ROS1, "Missing x", 1, "type p/Missing is not defined"},
		{ROS1, "a/b/C x", 1, "not a type"},
		{ROS1, "wstring x", 1, "type p/wstring is not defined"},
		{ROS1, "int8 A=128", 1, `"128" is not a value of type int8`},
		{ROS1, "uint8 A=-1", 1, "not a value"},
		{ROS1, "uint8 A=0x1F", 1, "not a value"},
		{ROS1, "bool A=true", 1, "not a value"},
		{ROS1, "float32 A=x", 1, "not a value"},
		{ROS1, "time A=1", 1, "not a type of constants"},
		{ROS1, "int32 =1", 1, "not the name"},
		{ROS1, "=1", 1, "neither"},
		{ROS1, "int8 a\n" + separator + "\nint8 b", 2, "not followed by"},
		{ROS1, "int8 a\n" + separator, 2, "not followed by"},
		{ROS2, "int32[0] x", 1, "not an array length"},
		{ROS2, "int32[<=0] x", 1, "not a bound"},
		{ROS2, "int32<=5 x", 1, "only strings"},
		{ROS2, "string<=0 x", 1, "only strings"},
		{ROS2, "uint8 A=256", 1, "not a value"},
		{ROS2, "bool A=yes", 1, "not a value"},
	} {
		_, err := Parse(c.v, "p/T", []byte(c.text))
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, pipeline.ErrCorrupt) || e.Line != c.line || !strings.Contains(e.Reason, strings.SplitN(c.want, ": ", 2)[0]) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

func Test34ServiceEvent(t *testing.T) {
	typ := mustParse(t, ROS2, "example_interfaces/srv/AddTwoInts_Event", []byte("int64 a\nint64 b\n---\nint64 sum\n"))
	// The hash is the one that a recorder of ROS 2 rolling stored.
	if got := typ.RIHS01(); got != "RIHS01_32c1d140259c71e5c355115942bcb31df98b4330e4d906b1b75ccb1c9b3ce6c8" {
		t.Error(got)
	}
	if got := columns(typ); got != "info.event_type:uint8 info.stamp:timestamp[ns, tz=UTC] info.client_gid:binary info.sequence_number:int64 "+
		"request:list<item: struct<a: int64, b: int64>, nullable> response:list<item: struct<sum: int64>, nullable>" {
		t.Error(got)
	}
	_, err := Parse(ROS2, "p/srv/S_Event", []byte("int64 a\n---\nint64\n"))
	wantError(t, err, pipeline.ErrCorrupt, "p/srv/S_Response", 3, "not a field name")
}

func TestIDL(t *testing.T) { // trap 19
	for _, text := range []string{
		"module p { module msg { struct T { double x; }; }; };",
		"// comment\n#include \"x.idl\"\n\nmodule p {\n};",
		separator + "\nIDL: p/msg/T\nmodule p {};",
		"U u\n" + separator + "\nIDL: p/msg/U\nmodule p {};",
		"U u\n" + separator + "\nMSG: p/msg/U\nstruct U {\n};",
	} {
		_, err := Parse(ROS2, "p/msg/T", []byte(text))
		if !errors.Is(err, pipeline.ErrUnsupported) || !strings.Contains(err.Error(), "IDL") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNames2(t *testing.T) {
	// Dependencies are headed by two parts or three, used by two or three.
	for _, head := range []string{"q/U", "q/msg/U"} {
		for _, use := range []string{"q/U", "q/msg/U"} {
			typ := mustParse(t, ROS2, "p/msg/T", define(use+" u", head+"\nint8 a"))
			if typ.Name != "p/msg/T" || typ.Fields[0].Message.Name != "q/msg/U" {
				t.Errorf("%s %s", typ.Name, typ.Fields[0].Message.Name)
			}
		}
	}
	// Both spellings of times, with and without a section of their own.
	for _, text := range [][]byte{
		define("builtin_interfaces/Time a\nbuiltin_interfaces/msg/Duration b\nbuiltin_interfaces/Time[] c"),
		define("builtin_interfaces/Time a\nbuiltin_interfaces/Duration b\nbuiltin_interfaces/Time[] c",
			"builtin_interfaces/Time\nint32 sec\nuint32 nanosec", "builtin_interfaces/msg/Duration\nint32 sec 0\nuint32 nanosec"),
	} {
		if got := columns(mustParse(t, ROS2, "p/msg/T", text)); got != "a:timestamp[ns, tz=UTC] b:duration[ns] c:list<item: timestamp[ns, tz=UTC], nullable>" {
			t.Error(got)
		}
	}
	if got := mustParse(t, ROS2, "p/T", nil).Name; got != "p/msg/T" {
		t.Error(got)
	}
}

func TestRootSection(t *testing.T) {
	typ := mustParse(t, ROS2, "p/msg/T", []byte(separator+"\nMSG: p/T\nint8 a\nU u\n"+separator+"\nMSG: p/U\nint8 b"))
	if got := columns(typ); got != "a:int8 u.b:int8" {
		t.Error(got)
	}
}

func TestBuiltinFallback(t *testing.T) {
	typ := mustParse(t, ROS1, "p/T", []byte("geometry_msgs/Point p"))
	if got := columns(typ); got != "p.x:float64 p.y:float64 p.z:float64" {
		t.Error(got)
	}
	if got := len(mustParse(t, ROS2, "sensor_msgs/msg/Imu", nil).Fields); got != 7 {
		t.Errorf("%d fields", got)
	}
	// What the text defines goes before.
	typ = mustParse(t, ROS1, "p/T", define("geometry_msgs/Point p", "geometry_msgs/Point\nint8 own"))
	if got := columns(typ); got != "p.own:int8" {
		t.Error(got)
	}
}

func Test40Columns(t *testing.T) {
	typ := mustParse(t, ROS1, "p/T", define(`int8 from
int8 class
int8 end
bool[2] flags
E e
E[3] fixed
E[] many
In[] ins
In[2] two
float64[0] none
W w`, "p/E\n", "p/In\nint8 a\nE e\nE[] es\nSub s", "p/Sub\nstring b\nuint8[3] c\ntime[] d", "p/W\nE a\nE b"))
	want := []string{"from:int8", "class:int8", "end:int8", "flags:fixed_size_list<item: bool, nullable>[2]", "many:uint32",
		"ins:list<item: struct<a: int8, es: uint32, s: struct<b: utf8, c: binary, d: list<item: timestamp[ns, tz=UTC], nullable>>>, nullable>",
		"two:fixed_size_list<item: struct<a: int8, es: uint32, s: struct<b: utf8, c: binary, d: list<item: timestamp[ns, tz=UTC], nullable>>>, nullable>[2]"}
	if got := columns(typ); got != strings.Join(want, " ") {
		t.Error(got)
	}
	if typ.Leafless() || !typ.Fields[4].Message.Leafless() || !typ.Fields[10].Message.Leafless() {
		t.Error("leafless")
	}
}

func TestHeaderStamp(t *testing.T) {
	for text, want := range map[string]string{
		"float64 x":                       "",
		"Header h":                        "h.stamp",
		"time stamp":                      "stamp",
		"time other":                      "",
		"duration stamp":                  "",
		"time stamp\nHeader head":         "head.stamp",
		"Header a\nHeader b":              "a.stamp",
		"Header[] a\nHeader b":            "b.stamp",
		"geometry_msgs/PoseStamped p":     "",
		"std_msgs/Float64 x\nint32 stamp": "",
	} {
		if got := mustParse(t, ROS1, "p/T", []byte(text)).HeaderStamp(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(true, define("Header header\nfloat64[9] cov\nT[] t", headerText, "p/T\nstring NAME=x # y\nuint8[] data"))
	f.Add(false, define("string<=10 s \"a=b\"\nint32[<=5] y [1, 2]\nuint8 X=0x1F", "p/msg/T\nwstring w"))
	f.Add(false, []byte("module p { struct T { double x; }; };"))
	f.Add(true, define("T t", "p/T\nT t"))
	f.Fuzz(func(t *testing.T, first bool, text []byte) {
		v := ROS2
		if first {
			v = ROS1
		}
		typ, err := Parse(v, "p/R", text)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Kind == nil {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if n := len(typ.Columns()); n > MaxColumns || (n == 0) != typ.Leafless() {
			t.Fatalf("%d columns, leafless %v", n, typ.Leafless())
		}
		typ.HeaderStamp()
		if len(typ.MD5()) != 32 {
			t.Fatal("hash")
		}
		if v == ROS2 && !strings.HasPrefix(typ.RIHS01(), "RIHS01_") {
			t.Fatal("hash")
		}
	})
}
