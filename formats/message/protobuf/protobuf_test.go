package protobuf_test

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/messagetest"
)

const base = `name: "base.proto" package: "b" syntax: "proto3"
enum_type { name: "Mode" value { name: "OFF" number: 0 } value { name: "ON" number: 1 } value { name: "LOST" number: -1 } }
message_type { name: "Outer" nested_type { name: "Point"
  field { name: "x" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "y" number: 2 type: TYPE_FLOAT label: LABEL_OPTIONAL } } }
message_type { name: "Nothing" }
`

const full = `name: "full.proto" package: "b" syntax: "proto3" dependency: "base.proto"
dependency: "google/protobuf/timestamp.proto" dependency: "google/protobuf/duration.proto"
dependency: "google/protobuf/wrappers.proto" dependency: "google/protobuf/any.proto"
message_type { name: "Full"
  nested_type { name: "MapEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_ENUM type_name: ".b.Mode" label: LABEL_OPTIONAL } }
  oneof_decl { name: "which" } oneof_decl { name: "_opt" }
  field { name: "stamp" number: 1 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
  field { name: "i32" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "i64" number: 3 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "u32" number: 4 type: TYPE_UINT32 label: LABEL_OPTIONAL }
  field { name: "u64" number: 5 type: TYPE_UINT64 label: LABEL_OPTIONAL }
  field { name: "s32" number: 6 type: TYPE_SINT32 label: LABEL_OPTIONAL }
  field { name: "s64" number: 7 type: TYPE_SINT64 label: LABEL_OPTIONAL }
  field { name: "f32" number: 8 type: TYPE_FIXED32 label: LABEL_OPTIONAL }
  field { name: "f64" number: 9 type: TYPE_FIXED64 label: LABEL_OPTIONAL }
  field { name: "sf32" number: 10 type: TYPE_SFIXED32 label: LABEL_OPTIONAL }
  field { name: "sf64" number: 11 type: TYPE_SFIXED64 label: LABEL_OPTIONAL }
  field { name: "flag" number: 12 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "text" number: 13 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "blob" number: 14 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "mode" number: 15 type: TYPE_ENUM type_name: ".b.Mode" label: LABEL_OPTIONAL }
  field { name: "modes" number: 16 type: TYPE_ENUM type_name: ".b.Mode" label: LABEL_REPEATED }
  field { name: "point" number: 17 type: TYPE_MESSAGE type_name: ".b.Outer.Point" label: LABEL_OPTIONAL }
  field { name: "points" number: 18 type: TYPE_MESSAGE type_name: ".b.Outer.Point" label: LABEL_REPEATED }
  field { name: "nums" number: 19 type: TYPE_SINT32 label: LABEL_REPEATED }
  field { name: "fix" number: 20 type: TYPE_DOUBLE label: LABEL_REPEATED }
  field { name: "texts" number: 21 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "bools" number: 22 type: TYPE_BOOL label: LABEL_REPEATED }
  field { name: "map" number: 23 type: TYPE_MESSAGE type_name: ".b.Full.MapEntry" label: LABEL_REPEATED }
  field { name: "oi" number: 24 type: TYPE_INT32 label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "op" number: 25 type: TYPE_MESSAGE type_name: ".b.Outer.Point" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "on" number: 26 type: TYPE_MESSAGE type_name: ".b.Nothing" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "os" number: 27 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "opt" number: 28 type: TYPE_INT32 label: LABEL_OPTIONAL oneof_index: 1 proto3_optional: true }
  field { name: "dur" number: 29 type: TYPE_MESSAGE type_name: ".google.protobuf.Duration" label: LABEL_OPTIONAL }
  field { name: "wd" number: 30 type: TYPE_MESSAGE type_name: ".google.protobuf.DoubleValue" label: LABEL_OPTIONAL }
  field { name: "ws" number: 31 type: TYPE_MESSAGE type_name: ".google.protobuf.StringValue" label: LABEL_OPTIONAL }
  field { name: "stamps" number: 32 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_REPEATED }
  field { name: "wis" number: 33 type: TYPE_MESSAGE type_name: ".google.protobuf.Int64Value" label: LABEL_REPEATED }
  field { name: "any" number: 34 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL }
  field { name: "tree" number: 600 type: TYPE_MESSAGE type_name: ".b.Tree" label: LABEL_OPTIONAL }
  field { name: "nothings" number: 601 type: TYPE_MESSAGE type_name: ".b.Nothing" label: LABEL_REPEATED } }
message_type { name: "Tree"
  field { name: "v" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "left" number: 2 type: TYPE_MESSAGE type_name: ".b.Tree" label: LABEL_OPTIONAL }
  field { name: "kids" number: 3 type: TYPE_MESSAGE type_name: ".b.Tree" label: LABEL_REPEATED } }
`

const proto2 = `name: "old.proto" package: "o" syntax: "proto2"
enum_type { name: "E" value { name: "A" number: 5 } value { name: "B" number: 7 } }
message_type { name: "Old" extension_range { start: 100 end: 200 }
  nested_type { name: "Grp" field { name: "g" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
    field { name: "h" number: 2 type: TYPE_STRING label: LABEL_REPEATED } }
  nested_type { name: "Grps" field { name: "g" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL } }
  field { name: "opt" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL default_value: "41" }
  field { name: "e" number: 2 type: TYPE_ENUM type_name: ".o.E" label: LABEL_OPTIONAL }
  field { name: "grp" number: 3 type: TYPE_GROUP type_name: ".o.Old.Grp" label: LABEL_OPTIONAL }
  field { name: "grps" number: 4 type: TYPE_GROUP type_name: ".o.Old.Grps" label: LABEL_REPEATED }
  field { name: "packed" number: 5 type: TYPE_INT32 label: LABEL_REPEATED options { packed: true } }
  field { name: "loose" number: 6 type: TYPE_FIXED32 label: LABEL_REPEATED }
  field { name: "text" number: 7 type: TYPE_STRING label: LABEL_OPTIONAL } }
`

func TestSuite(t *testing.T) {
	l, d := schema(t, "b.Full", full, base)
	r := rand.New(rand.NewPCG(3, 4))
	var msgs [][]byte
	for range 20 {
		b, err := proto.Marshal(randomMessage(r, d, 2))
		if err != nil {
			t.Fatal(err)
		}
		msgs = append(msgs, b)
	}
	messagetest.Suite(t, l, msgs...)
}

func decode(t *testing.T, name, file string, msg []byte, columns ...string) string {
	t.Helper()
	l, _ := schema(t, name, file)
	return messagetest.One(t, l, msg, columns...)
}

// wire builds messages by hand: pairs of field number and value.
func wire(kv ...any) []byte {
	var b []byte
	for i := 0; i < len(kv); i += 2 {
		num := protowire.Number(kv[i].(int))
		switch v := kv[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
		case uint64:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
		case float64:
			b = protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), uint64(v))
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
		}
	}
	return b
}

func TestMessages(t *testing.T) {
	l, _ := schema(t, "b.Full", full, base)
	one := func(msg []byte, want string, columns ...string) {
		t.Helper()
		if got := messagetest.One(t, l, msg, columns...); got != want {
			t.Errorf("%x: %s, want %s", msg, got, want)
		}
	}
	t.Run("39 packed and unpacked", func(t *testing.T) {
		one(wire(19, 1, 19, []byte{2, 3}, 19, 4), "nums=[-1 1 -2 2]", "nums")
		one(wire(20, 0.0, 20, make([]byte, 16)), "fix=[0 0 0]", "fix")
		one(wire(20, make([]byte, 15)), "!malformed", "fix")
		one(wire(16, []byte{1, 9}, 16, 0), `modes=[1 9 0] modes_label=["ON" null "OFF"]`, "modes", "modes_label")
		one(wire(16, []byte{1, 9}, 16, 0), `modes_label=["ON" null "OFF"]`, "modes_label")
	})
	t.Run("39 map", func(t *testing.T) {
		one(wire(23, wire(1, "a", 2, 1), 23, wire(), 23, wire(2, 8, 1, "b")),
			`map=[{key:"a" value:1 value_label:"ON"} {key:"" value:0 value_label:"OFF"} {key:"b" value:8 value_label:null}]`, "map")
	})
	t.Run("39 oneof", func(t *testing.T) {
		cols := []string{"oi", "op.x", "op.y", "on", "os"}
		one(wire(24, 0), "oi=0 op.x=null op.y=null on=null os=null", cols...)
		one(wire(24, 1, 25, wire()), "oi=null op.x=0 op.y=0 on=null os=null", cols...)
		one(wire(25, wire(1, 0.0), 26, wire()), "oi=null op.x=null op.y=null on=true os=null", cols...)
		one(wire(26, wire(), 27, "z", 24, 3), "oi=3 op.x=null op.y=null on=null os=null", cols...)
		one(wire(24, 3, 27, "z"), "oi=null", "oi") // the other is not selected
	})
	t.Run("39 optional presence", func(t *testing.T) {
		one(wire(), "i32=0 opt=null", "i32", "opt")
		one(wire(28, 0), "i32=0 opt=0", "i32", "opt")
	})
	t.Run("39 recursive message", func(t *testing.T) {
		leaf := wire(1, 3)
		msg := wire(600, wire(1, 1, 2, wire(1, 2, 2, leaf), 3, wire(1, 7, 3, leaf)))
		one(msg, "tree.v=1 tree.left.v=2 tree.left.left=b:CAM= tree.left.kids=[] tree.kids=[{v:7 left:null kids:[b:CAM=]}]",
			"tree.v", "tree.left.v", "tree.left.left", "tree.left.kids", "tree.kids")
		for _, f := range l.Fields() {
			if v, ok := f.Metadata.GetValue("recursive"); f.Name == "tree.left.left" && (!ok || v != "true") {
				t.Error("tree.left.left does not say that it is recursive")
			}
		}
		one(wire(600, wire(2, wire(2, []byte{0xff}))), "!malformed", "tree.left.left")
	})
	t.Run("39 unknown enum number", func(t *testing.T) {
		one(wire(15, 77), "mode=77 mode_label=null", "mode", "mode_label")
		one(wire(15, -1), `mode=-1 mode_label="LOST"`, "mode", "mode_label")
	})
	t.Run("39 uint64 max", func(t *testing.T) {
		one(wire(5, uint64(1<<64-1)), "u64=18446744073709551615", "u64")
	})
	t.Run("last wins, messages merge", func(t *testing.T) {
		one(wire(2, 1, 2, 2), "i32=2", "i32")
		one(wire(17, wire(1, 0.0), 17, []byte{0x15, 0, 0, 0x80, 0x3f}), "point.x=0 point.y=1", "point.x", "point.y")
		one(wire(1, wire(1, 5), 1, wire(2, 7)), "stamp=5000000007ns", "stamp")
		one(wire(31, wire(1, "a"), 31, wire()), `ws="a"`, "ws")
	})
	t.Run("times", func(t *testing.T) {
		one(wire(1, wire(1, 9223372036, 2, 854775807)), "stamp=9223372036854775807ns", "stamp")
		one(wire(1, wire(1, 9223372036, 2, 854775808)), "!out_of_range", "stamp")
		one(wire(1, wire(1, -9223372037, 2, 145224192)), "stamp=-9223372036854775808ns", "stamp")
		one(wire(1, wire(1, -9223372037, 2, 145224191)), "!out_of_range", "stamp")
		one(wire(1, wire(1, 1, 2, 1000000000)), "!out_of_range", "stamp")
		one(wire(1, wire(1, 1, 2, -1)), "!out_of_range", "stamp")
		one(wire(29, wire(1, -1, 2, -500000000)), "dur=-1500000000ns", "dur")
		one(wire(29, wire(1, -1, 2, 5)), "!out_of_range", "dur")
		one(wire(1, wire(1, 1<<62)), "!out_of_range", "stamp")
	})
	t.Run("refused", func(t *testing.T) {
		one(wire(13, "\xff"), "!invalid_utf8", "text")
		one(wire(13, "\xff"), "i32=0", "i32")
		one([]byte{0x00}, "!malformed", "i32")
		one([]byte{0x0c}, "!malformed", "i32")
		one([]byte{0x10, 0x80}, "!truncated", "i32")
		one([]byte{0x6a, 0x05, 'a'}, "!length_beyond_end", "text")
		one([]byte{0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, "!truncated", "i32")
		one(append(wire(2, 4), wire(4, "text where a number is due")...), "i32=4 u32=0", "i32", "u32")
	})
}

func TestProto2(t *testing.T) {
	l, _ := schema(t, "o.Old", proto2)
	group := []byte{0x1b, 0x08, 1, 0x12, 1, 'x', 0x1c}
	if got := messagetest.One(t, l, group); got != `opt=null e=null e_label=null grp.g=1 grp.h=["x"] grps=[] packed=[] loose=[] text=null` {
		t.Error(got)
	}
	if got := messagetest.One(t, l, group[:6]); got != "!truncated" {
		t.Error(got)
	}
	if got := messagetest.One(t, l, append(group[:6:6], 0x24)); got != "!malformed" {
		t.Error(got)
	}
	if f := l.Fields()[0]; f.Name != "opt" {
		t.Error(f)
	} else if v, _ := f.Metadata.GetValue("default"); v != "41" {
		t.Errorf("default %q", v)
	}
}

const anything = `name: "any.proto" syntax: "proto3" dependency: "google/protobuf/struct.proto"
message_type { name: "M"
  field { name: "s" number: 1 type: TYPE_MESSAGE type_name: ".google.protobuf.Struct" label: LABEL_OPTIONAL }
  field { name: "v" number: 2 type: TYPE_MESSAGE type_name: ".google.protobuf.Value" label: LABEL_OPTIONAL }
  field { name: "l" number: 3 type: TYPE_MESSAGE type_name: ".google.protobuf.ListValue" label: LABEL_REPEATED } }
`

func TestJSONTypes(t *testing.T) {
	l, d := schema(t, "M", anything)
	m := dynamicpb.NewMessage(d)
	const text = `{"s":{"a":[1,2.5,-1e+300,"q\"\u0001é",null,true,{}]},"v":"x","l":[[],[false]]}`
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	want := `s="{\"a\":[1,2.5,-1e+300,\"q\\\"\\u0001é\",null,true,{}]}" v="\"x\"" l=["[]" "[false]"]`
	if got := messagetest.One(t, l, b); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	messagetest.Suite(t, l, b, nil)
	nan := binary.LittleEndian.AppendUint64([]byte{0x11}, 0x7ff8000000000001)
	if got := messagetest.One(t, l, wire(2, nan)); got != "!out_of_range" {
		t.Error(got)
	}
	deep := wire(4, 1)
	for range 200 {
		deep = wire(6, wire(1, deep))
	}
	if got := messagetest.One(t, l, wire(2, deep)); got != "!too_deep" {
		t.Error(got)
	}
}

// A list of messages without bytes, each with many columns, cannot be made
// large without end.
func TestAmplification(t *testing.T) {
	m := &descriptorpb.DescriptorProto{Name: proto.String("M")}
	r := &descriptorpb.DescriptorProto{Name: proto.String("R"), Field: []*descriptorpb.FieldDescriptorProto{{Name: proto.String("m"), Number: proto.Int32(1),
		Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: proto.String(".M"), Label: descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()}}}
	for i := range 1000 {
		m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{Name: proto.String("f" + strings.Repeat("x", i)), Number: proto.Int32(int32(i + 1)),
			Type: descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()})
	}
	l := layoutOf(t, "R", &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{Name: proto.String("w"), Syntax: proto.String("proto3"), MessageType: []*descriptorpb.DescriptorProto{m, r}}}})
	if got := messagetest.One(t, l, []byte(strings.Repeat("\x0a\x00", 20000))); got != "!message_too_large" {
		t.Error(got[:20])
	}
}

func mustMarshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzDecode(f *testing.F) {
	l, d := schema(f, "b.Full", full, base)
	r := rand.New(rand.NewPCG(5, 6))
	for range 8 {
		f.Add(mustMarshal(f, randomMessage(r, d, 1)))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		got := messagetest.Decode(t, l, nil, 1, msg)[0]
		messagetest.Fuzz(t, l, msg)
		m := dynamicpb.NewMessage(d)
		if err := proto.Unmarshal(msg, m); (err == nil) != (got.Reason == "") && got.Reason != message.OutOfRange && got.Reason != message.InvalidUTF8 && got.Reason != message.TooLarge {
			t.Errorf("%s, the reference says %v", got.Reason, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	l, d := schema(b, "imu.Imu", imu)
	r := rand.New(rand.NewPCG(7, 8))
	var msgs [][]byte
	for range 1000 {
		m := randomMessage(r, d, 0)
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			if f.Message() != nil {
				for k := range f.Message().Fields().Len() {
					g := f.Message().Fields().Get(k)
					m.Mutable(f).Message().Set(g, randomScalar(r, g))
				}
			} else if !f.IsList() {
				m.Set(f, randomScalar(r, f))
			}
		}
		st := d.Fields().ByName("timestamp")
		m.Mutable(st).Message().Set(st.Message().Fields().ByName("nanos"), protoreflect.ValueOfInt32(5))
		m.Mutable(st).Message().Set(st.Message().Fields().ByName("seconds"), protoreflect.ValueOfInt64(1700000000))
		msgs = append(msgs, mustMarshal(b, m))
	}
	b.Run("columns", func(b *testing.B) { messagetest.Bench(b, l, nil, msgs...) })
	b.Run("one_column", func(b *testing.B) { messagetest.Bench(b, l, []string{"angular.z"}, msgs...) })
	b.Run("dynamicpb", func(b *testing.B) {
		b.ReportAllocs()
		m := dynamicpb.NewMessage(d)
		for i := range b.N {
			if err := proto.Unmarshal(msgs[i%len(msgs)], m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

const imu = `name: "imu.proto" package: "imu" syntax: "proto3" dependency: "google/protobuf/timestamp.proto"
message_type { name: "Vector3" field { name: "x" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "y" number: 2 type: TYPE_DOUBLE label: LABEL_OPTIONAL } field { name: "z" number: 3 type: TYPE_DOUBLE label: LABEL_OPTIONAL } }
message_type { name: "Imu"
  field { name: "timestamp" number: 1 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
  field { name: "frame_id" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "linear" number: 3 type: TYPE_MESSAGE type_name: ".imu.Vector3" label: LABEL_OPTIONAL }
  field { name: "angular" number: 4 type: TYPE_MESSAGE type_name: ".imu.Vector3" label: LABEL_OPTIONAL }
  field { name: "sequence" number: 5 type: TYPE_UINT32 label: LABEL_OPTIONAL } }
`
