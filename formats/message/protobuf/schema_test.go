package protobuf_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/messagetest"
	"github.com/drivemill/drivemill/formats/message/protobuf"
	"github.com/drivemill/drivemill/pipeline"
)

func TestSchemas(t *testing.T) {
	set, _ := fileSet(t, full, base) // full imports base, which comes after it
	t.Run("38 unsorted set, nested root", func(t *testing.T) {
		if l := layoutOf(t, "b.Outer.Point", set); len(l.Fields()) != 2 {
			t.Error(l.Fields())
		}
	})
	t.Run("38 two versions of one file", func(t *testing.T) {
		other := proto.Clone(set).(*descriptorpb.FileDescriptorSet)
		p := other.File[1].MessageType[0].NestedType[0]
		p.Field = p.Field[:1]
		if a, b := layoutOf(t, "b.Outer.Point", set), layoutOf(t, "b.Outer.Point", other); len(a.Fields()) != 2 || len(b.Fields()) != 1 {
			t.Error(a.Fields(), b.Fields())
		}
	})
	whole, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	parse := func(name, encoding string, data []byte) error {
		_, err := protobuf.Encoding{}.Parse(message.Schema{Name: name, Encoding: encoding, Data: data})
		return err
	}
	t.Run("refused", func(t *testing.T) {
		for name, err := range map[string]error{
			"encoding": parse("b.Full", "jsonschema", whole), "unknown": parse("b.Wrong", "protobuf", whole),
			"missing import": parse("b.Full", "protobuf", mustMarshal(t, &descriptorpb.FileDescriptorSet{File: set.File[:1]})),
			"garbage":        parse("b.Full", "protobuf", []byte("message Full {}")),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if err := parse("b.Full", "cdr", whole); !errors.Is(err, pipeline.ErrUnsupported) {
			t.Error(err)
		}
		for n := range whole {
			_ = parse("b.Full", "protobuf", whole[:n])
		}
	})
	t.Run("recursion that is too wide", func(t *testing.T) {
		m := &descriptorpb.DescriptorProto{Name: proto.String("W")}
		for i := range 200 {
			m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{Name: proto.String("f" + strings.Repeat("x", i)), Number: proto.Int32(int32(i + 1)),
				Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: proto.String(".W"), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()})
		}
		l := layoutOf(t, "W", &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{Name: proto.String("w"), MessageType: []*descriptorpb.DescriptorProto{m}}}})
		if n := len(l.Fields()); n != 200 {
			t.Error(n)
		}
	})
}

// Editions say presence and encoding by features.
func TestEditions(t *testing.T) {
	const text = `name: "e.proto" syntax: "editions" edition: EDITION_2023 options { features { field_presence: IMPLICIT } }
message_type { name: "M" nested_type { name: "S" field { name: "x" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL } }
  field { name: "implicit" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "explicit" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL options { features { field_presence: EXPLICIT } } }
  field { name: "delimited" number: 3 type: TYPE_MESSAGE type_name: ".M.S" label: LABEL_OPTIONAL options { features { message_encoding: DELIMITED } } } }
`
	if got := decode(t, "M", text, []byte{0x1b, 0x08, 0x05, 0x1c}); got != "implicit=0 explicit=null delimited.x=5" {
		t.Error(got)
	}
}

func FuzzSchema(f *testing.F) {
	set, _ := fileSet(f, full, base)
	f.Add(mustMarshal(f, set))
	old, _ := fileSet(f, proto2)
	f.Add(mustMarshal(f, old))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{"b.Full", "o.Old", "M"} {
			l, err := protobuf.Encoding{}.Parse(message.Schema{Name: name, Encoding: "protobuf", Data: data})
			if err == nil {
				messagetest.Decode(t, l, nil, 1, nil, []byte{0x0a, 0x02, 0x08, 0x01})
			}
		}
	})
}
