package json_test

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/json"
	"github.com/drivemill/drivemill/formats/message/messagetest"
	"github.com/drivemill/drivemill/pipeline"
)

func parse(t testing.TB, schema string) message.Layout {
	t.Helper()
	s := message.Schema{Name: "T", Encoding: "jsonschema", Data: []byte(schema)}
	if schema == "" {
		s.Encoding = ""
	}
	l, err := json.Encoding{}.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const image = `{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Scan", "type": "object",
 "$defs": {"vec": {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}},
   "tree": {"type": "object", "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}},
 "properties": {
  "timestamp": {"type": "object", "title": "time", "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}}},
  "name": {"type": "string"}, "n": {"type": ["integer", "null"]}, "big": {"type": "integer", "minimum": 0, "maximum": 18446744073709551615},
  "x": {"type": "number"}, "on": {"type": "boolean"}, "data": {"type": "string", "contentEncoding": "base64"},
  "when": {"type": "string", "format": "date-time"}, "pos": {"$ref": "#/$defs/vec"},
  "path": {"type": "array", "items": {"$ref": "#/$defs/vec"}}, "grid": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
  "tree": {"$ref": "#/$defs/tree"}, "any": {}, "mode": {"enum": ["a", "b"]}, "either": {"anyOf": [{"type": "null"}, {"type": "number"}]},
  "mixed": {"type": ["string", "integer"]}, "took": {"title": "duration", "properties": {"sec": {}, "nsec": {}}}
 }}`

func TestColumns(t *testing.T) {
	var got []string
	for _, f := range parse(t, image).Fields() {
		got = append(got, f.Name+" "+f.Type.String())
	}
	want := []string{"timestamp timestamp[ns, tz=UTC]", "name utf8", "n int64", "big uint64", "x float64", "on bool", "data binary", "when utf8",
		"pos.x float64", "pos.y float64", "path list<item: struct<x: float64, y: float64>, nullable>", "grid list<item: list<item: int64, nullable>, nullable>",
		"tree.v int64", "tree.kids list<item: utf8, nullable>", "any utf8", "mode utf8", "either float64", "mixed utf8", "took duration[ns]", "_extra utf8"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if s := parse(t, image).HeaderStamp(); s != "timestamp" {
		t.Error(s)
	}
}

var sound = []string{
	`{}`,
	` {"timestamp":{"sec":1700000000,"nsec":5},"name":"a\u00e9\ud83d\ude00\n","n":-9223372036854775808,"big":18446744073709551615,"x":1.5e3,"on":true,"data":"AQID","when":"2024-01-01T00:00:00Z"} `,
	`{"x":0,"pos":{"y":2,"z":[1]},"path":[{"x":1},{"y":2,"w":null},null],"grid":[[1,2],[],null,[3]],"more":{"a":1}}`,
	`{"tree":{"v":1.0,"kids":[{"v":2, "kids":[]}]},"any":[1, {"a":null}],"mode":"a","either":null,"mixed":7,"took":{"nsec":-5,"sec":-1}}`,
}

func Test41Messages(t *testing.T) {
	l := parse(t, image)
	msgs := make([][]byte, len(sound))
	for i, s := range sound {
		msgs[i] = []byte(s)
	}
	want := []string{
		`x=null _extra=null`,
		`timestamp=1700000000000000005ns name="aé😀\n" n=-9223372036854775808 big=18446744073709551615 x=1500 on=true data=b:AQID when="2024-01-01T00:00:00Z"`,
		`pos.x=null pos.y=2 path=[{x:1 y:null} {x:null y:2} null] grid=[[1 2] [] null [3]] _extra="{\"pos.z\":[1],\"path[1].w\":null,\"more\":{\"a\":1}}"`,
		`tree.v=1 tree.kids=["{\"v\":2, \"kids\":[]}"] any="[1, {\"a\":null}]" mode="a" either=null mixed="7" took=-1000000005ns`,
	}
	for i, r := range messagetest.Decode(t, l, nil, 10, msgs...) {
		for _, cell := range strings.Split(want[i], " ") {
			if !strings.Contains(r.Cells, cell) {
				t.Errorf("message %d: %s is not in %s %s", i, cell, r.Cells, r.Reason)
			}
		}
	}
	messagetest.Suite(t, l, msgs...)
}

func TestRefused(t *testing.T) {
	l := parse(t, image)
	for _, c := range []struct{ msg, want string }{
		{``, "truncated"}, {`{`, "truncated"}, {`{"x":`, "truncated"}, {`{"x":1`, "truncated"}, {`{} {}`, "trailing_bytes"}, {`{"x":1,}`, "malformed"},
		{`{"x":01}`, "malformed"}, {`{"x":+1}`, "malformed"}, {`{"x":1.}`, "malformed"}, {`{"x":.5}`, "malformed"}, {`{"x":NaN}`, "malformed"},
		{`{'x':1}`, "malformed"}, {`{"x" 1}`, "malformed"}, {`{"name":"` + "\n" + `"}`, "malformed"}, {`{"name":"\q"}`, "malformed"},
		{"\ufeff{}", "malformed"}, {"{\"name\":\"\xff\"}", "invalid_utf8"}, {`{"name":"\ud800"}`, "invalid_utf8"},
		{`{"x":1,"x":2}`, "duplicate_key"}, {`{"x":1,"\u0078":2}`, "duplicate_key"}, {`{"any":{"a":1,"a":1}}`, "duplicate_key"}, {`{"u":[{"a":1,"b":2,"a":1}]}`, "duplicate_key"},
		{`{"n":9223372036854775808}`, "out_of_range"}, {`{"n":1.5}`, "out_of_range"}, {`{"n":1e30}`, "out_of_range"}, {`{"big":-1}`, "out_of_range"},
		{`{"big":18446744073709551616}`, "out_of_range"}, {`{"x":9007199254740993}`, "out_of_range"}, {`{"x":1e999}`, "out_of_range"},
		{`{"timestamp":{"sec":1}}`, "out_of_range"}, {`{"timestamp":{"sec":1,"nsec":1000000000}}`, "out_of_range"}, {`{"timestamp":{"sec":9223372037,"nsec":0}}`, "out_of_range"},
		{`{"timestamp":{"sec":1,"nsec":0,"x":0}}`, "type_mismatch"}, {`{"n":"1"}`, "type_mismatch"}, {`{"name":1}`, "type_mismatch"}, {`{"pos":[]}`, "type_mismatch"},
		{`{"path":{}}`, "type_mismatch"}, {`{"path":[1]}`, "type_mismatch"}, {`{"on":0}`, "type_mismatch"}, {`{"data":"A"}`, "type_mismatch"}, {`[]`, "type_mismatch"}, {`null`, "type_mismatch"},
		{strings.Repeat(`{"any":[`, 1) + strings.Repeat("[", 200), "too_deep"}, {strings.Repeat(`{"tree":`, 200), "too_deep"},
	} {
		if got := messagetest.One(t, l, []byte(c.msg)); got != "!"+c.want {
			t.Errorf("%s: %s, want %s", c.msg, got, c.want)
		}
	}
	if got := messagetest.One(t, l, []byte(`{"x":9007199254740992}`), "x"); got != "x=9.007199254740992e+15" {
		t.Error(got)
	}
	keys := make([]string, 5000)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"k%d":0`, i%4999)
	}
	if got := messagetest.One(t, l, []byte("{"+strings.Join(keys, ",")+"}")); got != "!duplicate_key" {
		t.Error(got[:40])
	}
}

// Without a schema a message stays its text.
func Test41WithoutSchema(t *testing.T) {
	l := parse(t, "")
	for _, c := range []struct{ msg, want string }{
		{`{"a": 1, "b":[12345678901234567890]}`, `json="{\"a\": 1, \"b\":[12345678901234567890]}"`}, {` null `, `json="null"`}, {`"x"`, `json="\"x\""`},
		{`{"a":1}`, `json="{\"a\":1}"`}, {`{"a":1.5}`, `json="{\"a\":1.5}"`}, {`{"a":null}`, `json="{\"a\":null}"`}, // a field that changes its type
		{`{"a":1,"a":1}`, "!duplicate_key"}, {`{"a":1}x`, "!trailing_bytes"}, {``, "!truncated"},
	} {
		if got := messagetest.One(t, l, []byte(c.msg)); got != c.want {
			t.Errorf("%s: %s, want %s", c.msg, got, c.want)
		}
	}
	messagetest.Suite(t, l, []byte(`{"a": 1, "b":[12345678901234567890]}`))
	root := parse(t, `{"type":"array","items":{"type":"integer"}}`)
	if got := messagetest.One(t, root, []byte(`[1,2]`)); got != "json=[1 2]" {
		t.Error(got)
	}
}

func TestSchemas(t *testing.T) {
	for _, s := range []string{`[]`, `{`, `{} {}`, strings.Repeat("[", 200), `3`, `{"properties":{"a":` + strings.Repeat(`{"items":`, 150)} {
		if _, err := (json.Encoding{}).Parse(message.Schema{Encoding: "jsonschema", Data: []byte(s)}); err == nil {
			t.Errorf("%.20s: no error", s)
		}
	}
	if _, err := (json.Encoding{}).Parse(message.Schema{Encoding: "ros2msg", Data: []byte("int32 x")}); !errors.Is(err, pipeline.ErrUnsupported) {
		t.Error(err)
	}
	// References that lead into themselves end.
	for _, s := range []string{`{"$ref":"#"}`, `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`, `{"properties":{"a":{"$ref":"#"},"b":{"$ref":"http://elsewhere/x"}}}`} {
		parse(t, s)
	}
	// Many references to references would be exponential.
	var b strings.Builder
	b.WriteString(`{"properties":{"x":{"$ref":"#/$defs/d0"}},"$defs":{`)
	for i := range 40 {
		fmt.Fprintf(&b, `"d%d":{"properties":{"a":{"$ref":"#/$defs/d%d"},"b":{"$ref":"#/$defs/d%d"}}},`, i, i+1, i+1)
	}
	b.WriteString(`"d40":{}}}`)
	if _, err := (json.Encoding{}).Parse(message.Schema{Encoding: "jsonschema", Data: []byte(b.String())}); !errors.Is(err, pipeline.ErrLimit) {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	l, raw := parse(f, image), parse(f, "")
	for _, s := range sound {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		messagetest.Fuzz(t, l, msg)
		got := messagetest.Decode(t, raw, nil, 1, msg)[0]
		if valid := stdjson.Valid(msg); got.Reason == "" && !valid || valid && (got.Reason == message.Malformed || got.Reason == message.Truncated || got.Reason == message.TrailingBytes) {
			t.Errorf("%q: %q, the standard library says %v", msg, got.Reason, valid)
		}
	})
}

func FuzzSchema(f *testing.F) {
	f.Add([]byte(image))
	f.Fuzz(func(t *testing.T, schema []byte) {
		l, err := json.Encoding{}.Parse(message.Schema{Encoding: "jsonschema", Data: schema})
		if err == nil {
			messagetest.Decode(t, l, nil, 1, []byte(sound[1]), []byte(sound[2]))
		}
	})
}

const imu = `{"type":"object","properties":{"timestamp":{"title":"time","type":"object","properties":{"sec":{"type":"integer"},"nsec":{"type":"integer"}}},
"frame_id":{"type":"string"},"linear":{"properties":{"x":{"type":"number"},"y":{"type":"number"},"z":{"type":"number"}}},
"angular":{"properties":{"x":{"type":"number"},"y":{"type":"number"},"z":{"type":"number"}}},"sequence":{"type":"integer"}}}`

func BenchmarkDecode(b *testing.B) {
	l := parse(b, imu)
	var msgs [][]byte
	for i := range 500 {
		msgs = append(msgs, []byte(fmt.Sprintf(`{"timestamp":{"sec":1700000000,"nsec":%d},"frame_id":"imu_link","linear":{"x":%v,"y":%v,"z":9.81},"angular":{"x":0.25,"y":%v,"z":-0.125},"sequence":%d}`,
			i, float64(i)/7, float64(i)/9, float64(i)/11, i)))
	}
	b.Run("columns", func(b *testing.B) { messagetest.Bench(b, l, nil, msgs...) })
	b.Run("one_column", func(b *testing.B) { messagetest.Bench(b, l, []string{"sequence"}, msgs...) })
	b.Run("encoding_json", func(b *testing.B) {
		type vec struct{ X, Y, Z float64 }
		b.ReportAllocs()
		for i := range b.N {
			var m struct {
				Timestamp       struct{ Sec, Nsec int64 }
				FrameID         string `json:"frame_id"`
				Linear, Angular vec
				Sequence        int64
			}
			if err := stdjson.Unmarshal(msgs[i%len(msgs)], &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
