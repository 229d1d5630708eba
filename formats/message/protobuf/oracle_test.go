package protobuf_test

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/protobuf"
)

// wellKnownFiles are the imports that test schemas may use.
var wellKnownFiles = []protoreflect.FileDescriptor{
	timestamppb.File_google_protobuf_timestamp_proto, durationpb.File_google_protobuf_duration_proto,
	wrapperspb.File_google_protobuf_wrappers_proto, structpb.File_google_protobuf_struct_proto,
	anypb.File_google_protobuf_any_proto, emptypb.File_google_protobuf_empty_proto,
}

// fileSet makes a descriptor set of files in text form.
func fileSet(t testing.TB, texts ...string) (*descriptorpb.FileDescriptorSet, *protoregistry.Files) {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	for _, text := range texts {
		f := &descriptorpb.FileDescriptorProto{}
		if err := prototext.Unmarshal([]byte(text), f); err != nil {
			t.Fatal(err)
		}
		set.File = append(set.File, f)
	}
	whole := proto.Clone(set).(*descriptorpb.FileDescriptorSet)
	for _, f := range wellKnownFiles {
		whole.File = append(whole.File, protodesc.ToFileDescriptorProto(f))
	}
	files, err := protodesc.NewFiles(whole)
	if err != nil {
		t.Fatal(err)
	}
	return set, files
}

// schema makes a schema and its descriptor of files in text form; the set does
// not hold the well-known types.
func schema(t testing.TB, name string, texts ...string) (message.Layout, protoreflect.MessageDescriptor) {
	t.Helper()
	set, files := fileSet(t, texts...)
	d, err := files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	return layoutOf(t, name, set), d.(protoreflect.MessageDescriptor)
}

func layoutOf(t testing.TB, name string, set *descriptorpb.FileDescriptorSet) message.Layout {
	t.Helper()
	data, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	l, err := protobuf.Encoding{}.Parse(message.Schema{Name: name, Encoding: "protobuf", Data: data})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// randomMessage fills a message with anything.
func randomMessage(r *rand.Rand, d protoreflect.MessageDescriptor, depth int) *dynamicpb.Message {
	m := dynamicpb.NewMessage(d)
	switch d.FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration":
		f := d.Fields()
		if r.IntN(3) > 0 {
			m.Set(f.ByName("seconds"), protoreflect.ValueOfInt64(r.Int64N(9e9)))
		}
		if r.IntN(3) > 0 {
			m.Set(f.ByName("nanos"), protoreflect.ValueOfInt32(r.Int32N(1e9)))
		}
		return m
	}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if r.IntN(3) == 0 || depth > 3 {
			continue
		}
		switch {
		case f.IsMap():
			mp := m.Mutable(f).Map()
			for range r.IntN(2) {
				mp.Set(randomScalar(r, f.MapKey()).MapKey(), randomValue(r, f.MapValue(), depth))
			}
		case f.IsList():
			l := m.Mutable(f).List()
			for range r.IntN(4) {
				l.Append(randomValue(r, f, depth))
			}
		default:
			m.Set(f, randomValue(r, f, depth))
		}
	}
	return m
}

func randomValue(r *rand.Rand, f protoreflect.FieldDescriptor, depth int) protoreflect.Value {
	if f.Message() != nil {
		return protoreflect.ValueOfMessage(randomMessage(r, f.Message(), depth+1))
	}
	return randomScalar(r, f)
}

func randomScalar(r *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	n := r.Int64() >> r.IntN(64)
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n&1 != 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(r.IntN(5) - 1))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(n)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n) / 7)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) / 7)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(strings.Repeat("aé", r.IntN(4)))
	}
	return protoreflect.ValueOfBytes([]byte(fmt.Sprint(n))[:r.IntN(2)])
}

// cells are what the columns of a message must hold, worked out from a message
// that the oracle has parsed.
func cells(m protoreflect.Message, present bool, prefix string, open map[protoreflect.FullName]int) []string {
	d := m.Descriptor()
	open[d.FullName()]++
	defer func() { open[d.FullName()]-- }()
	var out []string
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		name := prefix + string(f.Name())
		if !f.IsList() && !f.IsMap() && isStruct(f, open) {
			out = append(out, cells(m.Get(f).Message(), present && m.Has(f), name+".", open)...)
			continue
		}
		v, label := "null", "null"
		if present {
			v, label = cell(m, f, open)
		}
		out = append(out, name+"="+v)
		if f.Enum() != nil && !f.IsMap() {
			out = append(out, name+"_label="+label)
		}
	}
	return out
}

// isStruct reports whether a field is written out member by member.
func isStruct(f protoreflect.FieldDescriptor, open map[protoreflect.FullName]int) bool {
	m := f.Message()
	if m == nil || m.Fields().Len() == 0 || open[m.FullName()] > 1 {
		return false
	}
	switch m.FullName().Parent() {
	case "google.protobuf":
		return m.Name() == "Any"
	}
	return true
}

func cell(m protoreflect.Message, f protoreflect.FieldDescriptor, open map[protoreflect.FullName]int) (v, label string) {
	switch {
	case f.IsMap():
		var parts []string
		m.Get(f).Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			key, _ := value(f.MapKey(), k.Value(), open)
			val, label := value(f.MapValue(), v, open)
			s := "{key:" + key + " value:" + val
			if f.MapValue().Enum() != nil {
				s += " value_label:" + label
			}
			parts = append(parts, s+"}")
			return true
		})
		return "[" + strings.Join(parts, " ") + "]", ""
	case f.IsList():
		var parts, labels []string
		l := m.Get(f).List()
		for i := range l.Len() {
			v, label := value(f, l.Get(i), open)
			parts, labels = append(parts, v), append(labels, label)
		}
		return "[" + strings.Join(parts, " ") + "]", "[" + strings.Join(labels, " ") + "]"
	case f.HasPresence() && !m.Has(f):
		return "null", "null"
	}
	return value(f, m.Get(f), open)
}

func value(f protoreflect.FieldDescriptor, v protoreflect.Value, open map[protoreflect.FullName]int) (cell, label string) {
	label = "null"
	switch f.Kind() {
	case protoreflect.EnumKind:
		if e := f.Enum().Values().ByNumber(v.Enum()); e != nil {
			label = strconv.Quote(string(e.Name()))
		}
		return fmt.Sprint(v.Enum()), label
	case protoreflect.StringKind:
		return strconv.Quote(v.String()), label
	case protoreflect.BytesKind:
		return "b:" + base64.StdEncoding.EncodeToString(v.Bytes()), label
	case protoreflect.FloatKind:
		return float(v.Float(), 32), label
	case protoreflect.DoubleKind:
		return float(v.Float(), 64), label
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return messageCell(f, v.Message(), open), label
	}
	return fmt.Sprint(v.Interface()), label
}

func float(v float64, bits int) string {
	if v == 0 && math.Signbit(v) {
		return "-0"
	}
	return strconv.FormatFloat(v, 'g', -1, bits)
}

func messageCell(f protoreflect.FieldDescriptor, m protoreflect.Message, open map[protoreflect.FullName]int) string {
	d := m.Descriptor()
	switch d.FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration":
		return fmt.Sprintf("%dns", m.Get(d.Fields().ByNumber(1)).Int()*1e9+m.Get(d.Fields().ByNumber(2)).Int())
	}
	if d.FullName().Parent() == "google.protobuf" && strings.HasSuffix(string(d.Name()), "Value") {
		w := d.Fields().ByNumber(1)
		s, _ := value(w, m.Get(w), open)
		return s
	}
	if d.Fields().Len() == 0 {
		return "true"
	}
	if open[d.FullName()] > 1 {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
		if err != nil {
			panic(err)
		}
		return "b:" + base64.StdEncoding.EncodeToString(b)
	}
	open[d.FullName()]++
	defer func() { open[d.FullName()]-- }()
	var parts []string
	for i := range d.Fields().Len() {
		g := d.Fields().Get(i)
		v, label := "null", "null"
		if g.Message() == nil || g.IsList() || g.IsMap() || m.Has(g) {
			v, label = cell(m, g, open)
		}
		parts = append(parts, string(g.Name())+":"+v)
		if g.Enum() != nil {
			parts = append(parts, string(g.Name())+"_label:"+label)
		}
	}
	return "{" + strings.Join(parts, " ") + "}"
}
