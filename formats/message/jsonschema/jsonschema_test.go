package jsonschema

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/pipeline"
)

var kinds = [...]string{"text", "integer", "unsigned", "number", "boolean", "string", "base64", "time", "duration", "object", "array"}

// show writes a value as text: its kind, and its members in brackets.
func show(v *Value) string {
	s := kinds[v.Kind]
	var in []string
	for i, m := range v.Members {
		name := ""
		if i < len(v.Keys) {
			name = v.Keys[i] + " "
		}
		in = append(in, name+show(m))
	}
	if len(in) > 0 {
		s += "{" + strings.Join(in, ", ") + "}"
	}
	if v.Extra != nil {
		s += "+" + v.Extra.Name
	}
	return s
}

func TestParse(t *testing.T) {
	of := func(schema string) string { return `{"properties":{"a":` + schema + `}}` }
	for _, c := range []struct{ name, schema, want string }{
		{"kinds", `{"properties":{"i":{"type":"integer"},"x":{"type":"number"},"b":{"type":"boolean"},"s":{"type":"string"},"t":{"type":"string","format":"date-time"}}}`,
			"object{i integer, x number, b boolean, s string, t string}+_extra"},
		{"unsigned", of(`{"type":"integer","minimum":0,"maximum":18446744073709551615}`), "object{a unsigned}+_extra"},
		{"not unsigned", of(`{"type":"integer","minimum":0,"maximum":4294967295}`), "object{a integer}+_extra"},
		{"negative minimum", of(`{"type":"integer","minimum":-1,"maximum":18446744073709551615}`), "object{a integer}+_extra"},
		{"41 base64", of(`{"type":"string","contentEncoding":"Base64"}`), "object{a base64}+_extra"},
		{"base32", of(`{"type":"string","contentEncoding":"base32"}`), "object{a string}+_extra"},
		{"41 references", `{"properties":{"a":{"$ref":"#/$defs/x~1y"},"b":{"$ref":"#/definitions/z/0"}},"$defs":{"x/y":{"type":"integer"}},"definitions":{"z":[{"type":"boolean"}]}}`,
			"object{a integer, b boolean}+_extra"},
		{"41 reference elsewhere", of(`{"$ref":"https://example.com/x.json"}`), "object{a text}+_extra"},
		{"41 reference to nothing", of(`{"$ref":"#/$defs/none"}`), "object{a text}+_extra"},
		{"41 reference to itself", `{"properties":{"v":{"type":"integer"},"next":{"$ref":"#"}}}`, "object{v integer, next text}+_extra"},
		{"array", of(`{"type":"array","items":{"type":"array","items":{"type":"number"}}}`), "object{a array{array{number}}}+_extra"},
		{"array of anything", of(`{"type":"array"}`), "object{a text}+_extra"},
		{"tuple", of(`{"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"integer"}}`), "object{a text}+_extra"},
		{"tuple of old drafts", of(`{"type":"array","items":[{"type":"integer"}]}`), "object{a text}+_extra"},
		{"object without members", of(`{"type":"object"}`), "object{a text}+_extra"},
		{"time", of(`{"title":"time","properties":{"sec":{"type":"integer"},"nsec":{"type":"integer"}}}`), "object{a time}+_extra"},
		{"duration", of(`{"title":"duration","properties":{"sec":{"type":"integer"},"nsec":{"type":"integer"}}}`), "object{a duration}+_extra"},
		{"time with more", of(`{"title":"time","properties":{"sec":{"type":"integer"},"nsec":{"type":"integer"},"zone":{"type":"string"}}}`), "object{a object{sec integer, nsec integer, zone string}}+_extra"},
		{"type or null", `{"properties":{"a":{"type":["null","integer"]},"b":{"anyOf":[{"type":"number"},{"type":"null"}]},"c":{"oneOf":[{"type":"null"},{"type":"string"}]},"d":{"type":"boolean","nullable":true}}}`,
			"object{a integer, b number, c string, d boolean}+_extra"},
		{"several types", `{"properties":{"a":{"type":["string","integer"]},"b":{"anyOf":[{"type":"number"},{"type":"string"}]},"c":{"allOf":[{"type":"integer"},{"minimum":3}]},"d":{"not":{}}}}`,
			"object{a text, b text, c text, d text}+_extra"},
		{"enum and const", `{"properties":{"a":{"enum":["x","y"]},"b":{"enum":[1,2]},"c":{"const":true},"d":{"enum":["x",1]}}}`, "object{a string, b integer, c boolean, d text}+_extra"},
		{"member called _extra", `{"properties":{"_extra":{"type":"integer"}}}`, "object{_extra integer}+_extra_"},
		{"root that is a list", `{"type":"array","items":{"type":"integer"}}`, "text{array{integer}}"},
		{"true", `true`, "text{text}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := Parse([]byte(c.schema))
			if err != nil {
				t.Fatal(err)
			}
			if got := show(v); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	wide := make([]string, tree.MaxColumns+1)
	for i := range wide {
		wide[i] = fmt.Sprintf(`"k%d":{}`, i)
	}
	for _, c := range []struct {
		schema string
		kind   error
	}{
		{``, pipeline.ErrCorrupt}, {`{`, pipeline.ErrCorrupt}, {`{"properties":`, pipeline.ErrCorrupt}, {`{} {}`, pipeline.ErrCorrupt}, {`[]`, pipeline.ErrCorrupt}, {`"x"`, pipeline.ErrCorrupt}, {`null`, pipeline.ErrCorrupt},
		{strings.Repeat(`{"items":`, MaxDepth+2), pipeline.ErrLimit}, {strings.Repeat(" ", maxText+1), pipeline.ErrLimit}, {`{"properties":{` + strings.Join(wide, ",") + `}}`, pipeline.ErrLimit},
	} {
		if v, err := Parse([]byte(c.schema)); !errors.Is(err, c.kind) || v != nil {
			t.Errorf("%.30q: %v, want %v", c.schema, err, c.kind)
		}
	}
}

func TestRoot(t *testing.T) {
	for _, c := range []struct {
		schema message.Schema
		want   string
		kind   error
	}{
		{message.Schema{}, "text{text}", nil},
		{message.Schema{Encoding: "jsonschema", Data: []byte(`{"properties":{"a":{"type":"integer"}}}`)}, "object{a integer}+_extra", nil},
		{message.Schema{Encoding: "jsonschema"}, "", pipeline.ErrCorrupt},
		{message.Schema{Data: []byte("{}")}, "", pipeline.ErrUnsupported},
		{message.Schema{Encoding: "protobuf"}, "", pipeline.ErrUnsupported},
	} {
		v, err := Root(c.schema, "json")
		if !errors.Is(err, c.kind) || err == nil && show(v) != c.want {
			t.Errorf("%+v: %v, %v", c.schema, v, err)
		}
	}
}

func TestFind(t *testing.T) {
	v, err := Parse([]byte(`{"properties":{"a":{"type":"integer"},"b":{"type":"string"},"c":{"type":"number"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tree.NewLayout(v.Node, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Compile([]string{"a", "c"})
	if err != nil {
		t.Fatal(err)
	}
	root := Compile(p, v)
	hint := 0
	for _, c := range []struct {
		key  string
		kind Kind
		hint int
	}{{"a", Integer, 1}, {"b", String, 2}, {"c", Number, 3}, {"a", Integer, 1}, {"c", Number, 3}} {
		var m *Table
		if m, hint = root.Find([]byte(c.key), hint); m == nil || m.Kind != c.kind || hint != c.hint || (m.ID == tree.None) != (c.key == "b") {
			t.Errorf("%s: %+v, hint %d", c.key, m, hint)
		}
	}
	if m, h := root.Find([]byte("d"), 2); m != nil || h != 2 || root.Extra != tree.None {
		t.Errorf("unknown key: %v, %d, extra %d", m, h, root.Extra)
	}
}

func TestNanoseconds(t *testing.T) {
	for _, c := range []struct {
		sec, nsec int64
		want      int64
		ok        bool
	}{
		{1, 2, 1_000_000_002, true}, {-1, -5, -1_000_000_005, true}, {9223372035, 999999999, 9223372035999999999, true}, {-9223372035, -999999999, -9223372035999999999, true},
		{9223372037, 0, 0, false}, {math.MinInt64, 0, 0, false}, {0, 1_000_000_000, 0, false}, {0, -1_000_000_000, 0, false},
	} {
		if got, ok := Nanoseconds(c.sec, c.nsec, true); ok != c.ok || got != c.want {
			t.Errorf("%d s %d ns: %d, %v", c.sec, c.nsec, got, ok)
		}
	}
	if _, ok := Nanoseconds(1, 2, false); ok {
		t.Error("a time of which a part is missing")
	}
}

// Few keys and many are told apart in different ways.
func TestKeys(t *testing.T) {
	var k Keys
	for _, n := range []int{0, 1, 16, 17, 100} {
		for _, twice := range []bool{false, true} {
			k.Reset()
			k.Add([]byte("outer"))
			mark := k.Mark()
			for i := range n {
				k.Add(fmt.Append(nil, "key ", i))
			}
			if twice {
				k.Add([]byte("key 0"))
			}
			if got := k.Unique(mark); got == (twice && n > 0) {
				t.Errorf("%d keys, one twice: %v: unique %v", n, twice, got)
			}
			if k.Mark() != 1 {
				t.Errorf("%d keys are left", k.Mark())
			}
		}
	}
}

func TestExtra(t *testing.T) {
	var x Extra
	if x.Text() != nil {
		t.Error("text of nothing")
	}
	x.Add([]byte(`q"`), []byte("1"))
	outer := x.Push([]byte("list"))
	index := x.PushIndex(12)
	x.Add([]byte("z"), []byte(`{"k":null}`))
	x.Pop(index)
	x.Pop(outer)
	x.Add([]byte("b"), []byte("2"))
	if got := string(x.Text()); got != `{"q\"":1,"list[12].z":{"k":null},"b":2}` {
		t.Error(got)
	}
	x.Reset()
	if x.Add([]byte("k"), make([]byte, maxExtra)) {
		t.Error("text without end")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"properties":{"a":{"$ref":"#/$defs/b"},"t":{"title":"time","properties":{"sec":{},"nsec":{}}}},"$defs":{"b":{"type":["null","array"],"items":{"enum":[1,2.5]}}}}`))
	f.Add([]byte(`{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#"},{"type":"null"}]}}}`))
	f.Fuzz(func(t *testing.T, schema []byte) {
		v, err := Parse(schema)
		if err != nil {
			return
		}
		if l, err := tree.NewLayout(v.Node, ""); err == nil {
			if _, err := l.Compile(nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}
