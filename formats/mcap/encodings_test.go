package mcap_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	fb "github.com/google/flatbuffers/go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message/cbor"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/flatbuffer"
	jsonmsg "github.com/drivemill/drivemill/formats/message/json"
	"github.com/drivemill/drivemill/formats/message/protobuf"
	"github.com/drivemill/drivemill/formats/message/ros1"
)

func every() *mcap.Format {
	return mcap.New(ros1.Encoding{}, cdr.Encoding{}, protobuf.Encoding{}, jsonmsg.Encoding{}, cbor.Encoding{}, flatbuffer.Encoding{})
}

// pointSet is a descriptor set of "p.Point {int32 x = 1; string s = 2}".
func pointSet(t *testing.T) string {
	t.Helper()
	field := func(name string, n int32, typ descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{Name: &name, Number: &n, Type: &typ, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	}
	b, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("p.proto"), Package: proto.String("p"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Point"), Field: []*descriptorpb.FieldDescriptorProto{
			field("x", 1, descriptorpb.FieldDescriptorProto_TYPE_INT32), field("s", 2, descriptorpb.FieldDescriptorProto_TYPE_STRING)}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// bfbs is a reflection schema of "table p.Point { x: int; s: string; }".
func bfbs() string {
	b := fb.NewBuilder(256)
	field := func(name string, id, base byte) fb.UOffsetT {
		n := b.CreateString(name)
		b.StartObject(6)
		b.PrependByteSlot(0, base, 0)
		typ := b.EndObject()
		b.StartObject(14)
		b.PrependUOffsetTSlot(0, n, 0)
		b.PrependUOffsetTSlot(1, typ, 0)
		b.PrependUint16Slot(2, uint16(id), 0)
		b.PrependUint16Slot(3, 4+2*uint16(id), 0)
		return b.EndObject()
	}
	vector := func(items ...fb.UOffsetT) fb.UOffsetT {
		b.StartVector(4, len(items), 4)
		for _, o := range slices.Backward(items) {
			b.PrependUOffsetT(o)
		}
		return b.EndVector(len(items))
	}
	fields := vector(field("s", 1, 13), field("x", 0, 7))
	name := b.CreateString("p.Point")
	b.StartObject(8)
	b.PrependUOffsetTSlot(0, name, 0)
	b.PrependUOffsetTSlot(1, fields, 0)
	objects, enums := vector(b.EndObject()), vector()
	b.StartObject(8)
	b.PrependUOffsetTSlot(0, objects, 0)
	b.PrependUOffsetTSlot(1, enums, 0)
	b.FinishWithFileIdentifier(b.EndObject(), []byte("BFBS"))
	return string(b.FinishedBytes())
}

func flatPoint(x int32, s string) []byte {
	b := fb.NewBuilder(64)
	o := b.CreateString(s)
	b.StartObject(2)
	b.PrependInt32Slot(0, x, 0)
	b.PrependUOffsetTSlot(1, o, 0)
	b.Finish(b.EndObject())
	return b.FinishedBytes()
}

// A recording with a channel in each encoding: a sound message, a broken one,
// a sound one.
func Test37_43_45EveryEncoding(t *testing.T) {
	point := []byte{0xa2, 0x61, 'x', 5, 0x61, 's', 0x62, 0xc3, 0xa9}
	cdrPoint := []byte{0, 1, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 0xc3, 0xa9, 0}
	protoPoint := protowire.AppendString(protowire.AppendTag([]byte{8, 5}, 2, protowire.BytesType), "é")
	const schema = `{"type":"object","properties":{"x":{"type":"integer"},"s":{"type":"string"}}}`
	channels := []struct {
		topic, encoding, schemaEncoding, name, schema string
		msg                                           []byte
	}{
		{"/ros1", "ros1", "ros1msg", "p/Point", "int32 x\nstring s", []byte{5, 0, 0, 0, 2, 0, 0, 0, 0xc3, 0xa9}},
		{"/ros2msg", "cdr", "ros2msg", "p/msg/Point", "int32 x\nstring s", cdrPoint},
		{"/ros2idl", "cdr", "ros2idl", "p/msg/Point", "================================================================================\nIDL: p/msg/Point\nmodule p { module msg { struct Point { long x; string s; }; }; };", cdrPoint},
		{"/omgidl", "cdr", "omgidl", "p::Point", "module p { enum E { A, B }; struct Point { long x; string s; @optional E e; }; };", append([]byte{0, 7, 0, 0}, append(cdrPoint[4:], 0)...)},
		{"/protobuf", "protobuf", "protobuf", "p.Point", pointSet(t), protoPoint},
		{"/json", "json", "jsonschema", "Point", schema, []byte(`{"x":5,"s":"é"}`)},
		{"/text", "json", "", "", "", []byte(`{"x":5,"s":"é"}`)},
		{"/cbor", "cbor", "jsonschema", "Point", schema, point},
		{"/flatbuffer", "flatbuffer", "flatbuffer", "p.Point", bfbs(), flatPoint(5, "é")},
		{"/msgpack", "msgpack", "", "", "", []byte{0x81, 0xa1, 'x', 5}},
		{"/mislabelled", "protobuf", "jsonschema", "p.Point", schema, protoPoint},
		{"/broken", "flatbuffer", "flatbuffer", "p.Point", "not a schema", flatPoint(5, "é")},
	}
	b := newBuilder("")
	for i, c := range channels {
		id := uint16(0)
		if c.schemaEncoding != "" {
			id = uint16(i + 1)
			b.schema(id, c.name, c.schemaEncoding, c.schema)
		}
		b.channel(uint16(i), id, c.topic, c.encoding)
	}
	for k := range 3 {
		for i, c := range channels {
			msg := c.msg
			if k == 1 {
				msg = msg[:len(msg)/2]
			}
			b.message(uint16(i), uint64(k), msg)
		}
	}
	r := readWith(t, every(), &memory{data: b.finish()}, choice{workers: 2})
	if r.err != nil {
		t.Fatal(r.err)
	}
	golden := filepath.Join("testdata", "encodings.json")
	problems := map[string]string{}
	for _, p := range r.problems {
		problems[p.Table] += p.Kind
	}
	slices.Sort(r.rejects)
	got, err := json.MarshalIndent(map[string]any{"rows": r.rows, "rejects": r.rejects, "problems": problems}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if os.Getenv("DRIVEMILL_REWRITE") != "" {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s\nis not as in %s", got, golden)
	}
}

// A channel may have the same message in columns or, without a schema that can
// be read, as bytes: never as columns of nothing.
func Test07NoSchema(t *testing.T) {
	b := newBuilder("")
	for i, e := range []string{"json", "cbor", "cdr", "protobuf", "flatbuffer", "ros1"} {
		b.channel(uint16(i), 0, "/"+e, e)
		b.message(uint16(i), 1, []byte("1"))
	}
	r := readWith(t, every(), &memory{data: b.finish()}, choice{})
	for _, info := range r.d.Tables {
		raw := info.Table.Name != "/json" && info.Table.Name != "/cbor"
		if info.Raw != raw {
			t.Errorf("%s: raw %v", info.Table.Name, info.Raw)
		}
	}
	// A schema that is not defined is told, also where messages decode without.
	b = newBuilder("")
	for i, e := range []string{"json", "cbor", "ros1"} {
		b.channel(uint16(i), 77, "/"+e, e)
		b.message(uint16(i), 1, []byte("1"))
	}
	for _, data := range bothWays(b) {
		r := readWith(t, every(), &memory{data: data}, choice{})
		told := slices.DeleteFunc(r.kinds(), func(k string) bool { return k != "no_schema" })
		if len(told) != 3 || r.d.Tables[0].Raw || r.d.Tables[1].Raw || !r.d.Tables[2].Raw || r.total() != 3 {
			t.Errorf("%v, %d rows", r.problems, r.total())
		}
	}
	if n := len(r.kinds()); n < 4 || slices.Contains(r.kinds(), "bad_schema") {
		t.Error(r.kinds())
	}
}

// What real recordings hold in other encodings than those of ROS decodes.
func TestRealEncodings(t *testing.T) {
	seen := map[string]int{}
	for _, path := range conformance(t, "*.mcap") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r := readWith(t, every(), &memory{data: data}, choice{workers: 2})
		if r.err != nil || len(r.rejects) > 0 {
			t.Errorf("%s: %v, %q", path, r.err, r.rejects)
			continue
		}
		for _, info := range r.d.Tables {
			if !info.Raw {
				seen[info.Encoding] += len(r.rows[info.Table.Name])
			}
		}
	}
	if seen["protobuf"] != 723 || seen["json"] != 403 {
		t.Errorf("rows by encoding %v", seen)
	}
}
