package flatbuffer_test

import (
	"cmp"
	"slices"
	"testing"

	fb "github.com/google/flatbuffers/go"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/flatbuffer"
)

// The base types of reflection.fbs.
const (
	tUType  = 1
	tBool   = 2
	tByte   = 3
	tUByte  = 4
	tShort  = 5
	tInt    = 7
	tUInt   = 8
	tLong   = 9
	tULong  = 10
	tFloat  = 11
	tDouble = 12
	tString = 13
	tVector = 14
	tObj    = 15
	tUnion  = 16
	tArray  = 17
)

type typ struct{ base, elem, index, length int }

type fld struct {
	name       string
	typ        typ
	id         int
	offset     int // of structs; tables: from id
	integer    int64
	real       float64
	deprecated bool
	optional   bool
}

type obj struct {
	name   string
	size   int // of a struct
	fields []fld
}

type enm struct {
	name   string
	union  bool
	values []enmVal
}

type enmVal struct {
	name  string
	value int64
	typ   typ
}

func buildType(b *fb.Builder, t typ) fb.UOffsetT {
	b.StartObject(6)
	b.PrependByteSlot(0, byte(t.base), 0)
	b.PrependByteSlot(1, byte(t.elem), 0)
	if t.base == tObj || t.base == tUnion || t.index > 0 || t.elem == tObj || t.elem == tUnion {
		b.PrependInt32Slot(2, int32(t.index), -1)
	}
	b.PrependUint16Slot(3, uint16(t.length), 0)
	return b.EndObject()
}

func buildVector(b *fb.Builder, items []fb.UOffsetT) fb.UOffsetT {
	b.StartVector(4, len(items), 4)
	for _, i := range slices.Backward(items) {
		b.PrependUOffsetT(i)
	}
	return b.EndVector(len(items))
}

// buildSchema writes a binary reflection schema, as flatc does.
func buildSchema(objects []obj, enums []enm) []byte {
	b := fb.NewBuilder(1024)
	var os, es []fb.UOffsetT
	for _, o := range objects {
		fields := slices.Clone(o.fields)
		slices.SortFunc(fields, func(x, y fld) int { return cmp.Compare(x.name, y.name) })
		var fs []fb.UOffsetT
		for _, f := range fields {
			name, t := b.CreateString(f.name), buildType(b, f.typ)
			offset := f.offset
			if o.size == 0 {
				offset = 4 + 2*f.id
			}
			b.StartObject(14)
			b.PrependUOffsetTSlot(0, name, 0)
			b.PrependUOffsetTSlot(1, t, 0)
			b.PrependUint16Slot(2, uint16(f.id), 0)
			b.PrependUint16Slot(3, uint16(offset), 0)
			b.PrependInt64Slot(4, f.integer, 0)
			b.PrependFloat64Slot(5, f.real, 0)
			b.PrependBoolSlot(6, f.deprecated, false)
			b.PrependBoolSlot(11, f.optional, false)
			fs = append(fs, b.EndObject())
		}
		name, v := b.CreateString(o.name), buildVector(b, fs)
		b.StartObject(8)
		b.PrependUOffsetTSlot(0, name, 0)
		b.PrependUOffsetTSlot(1, v, 0)
		b.PrependBoolSlot(2, o.size > 0, false)
		b.PrependInt32Slot(4, int32(o.size), 0)
		os = append(os, b.EndObject())
	}
	for _, e := range enums {
		var vs []fb.UOffsetT
		for _, v := range e.values {
			name, t := b.CreateString(v.name), buildType(b, v.typ)
			b.StartObject(6)
			b.PrependUOffsetTSlot(0, name, 0)
			b.PrependInt64Slot(1, v.value, 0)
			b.PrependUOffsetTSlot(3, t, 0)
			vs = append(vs, b.EndObject())
		}
		name, v := b.CreateString(e.name), buildVector(b, vs)
		b.StartObject(7)
		b.PrependUOffsetTSlot(0, name, 0)
		b.PrependUOffsetTSlot(1, v, 0)
		b.PrependBoolSlot(2, e.union, false)
		es = append(es, b.EndObject())
	}
	ov, ev := buildVector(b, os), buildVector(b, es)
	b.StartObject(8)
	b.PrependUOffsetTSlot(0, ov, 0)
	b.PrependUOffsetTSlot(1, ev, 0)
	b.FinishWithFileIdentifier(b.EndObject(), []byte("BFBS"))
	return b.FinishedBytes()
}

// Objects: 0 Vec (struct), 1 foxglove.Time (struct), 2 Leaf, 3 Root, 4 Pair (struct), 5 Nothing.
// Enums: 1 Mode, 2 Any (union), 3 Any's types.
func testSchema() []byte {
	any := []enmVal{{"NONE", 0, typ{}}, {"x.Leaf", 1, typ{base: tObj, index: 2}}, {"Vec", 2, typ{base: tObj, index: 0}}, {"Text", 3, typ{base: tString}}}
	return buildSchema([]obj{
		{name: "Vec", size: 24, fields: []fld{{name: "x", typ: typ{base: tDouble}}, {name: "y", id: 1, offset: 8, typ: typ{base: tFloat}}, {name: "n", id: 2, offset: 12, typ: typ{base: tArray, elem: tShort, length: 3}}, {name: "b", id: 3, offset: 18, typ: typ{base: tArray, elem: tUByte, length: 2}}}},
		{name: "foxglove.Time", size: 8, fields: []fld{{name: "sec", typ: typ{base: tUInt}}, {name: "nsec", id: 1, offset: 4, typ: typ{base: tUInt}}}},
		{name: "x.Leaf", fields: []fld{{name: "v", typ: typ{base: tInt}, integer: 7}, {name: "next", id: 1, typ: typ{base: tObj, index: 2}}, {name: "kids", id: 2, typ: typ{base: tVector, elem: tObj, index: 2}}}},
		{name: "x.Root", fields: []fld{
			{name: "timestamp", typ: typ{base: tObj, index: 1}},
			{name: "flag", id: 1, typ: typ{base: tBool}, integer: 1}, {name: "mode", id: 2, typ: typ{base: tByte, index: 1}, integer: -1},
			{name: "i", id: 3, typ: typ{base: tLong}, optional: true}, {name: "u", id: 4, typ: typ{base: tULong}}, {name: "f", id: 5, typ: typ{base: tFloat}, real: 1.5},
			{name: "d", id: 6, typ: typ{base: tDouble}, real: -0.25}, {name: "name", id: 7, typ: typ{base: tString}}, {name: "blob", id: 8, typ: typ{base: tVector, elem: tUByte}},
			{name: "pos", id: 9, typ: typ{base: tObj, index: 0}}, {name: "path", id: 10, typ: typ{base: tVector, elem: tObj, index: 0}},
			{name: "leaf", id: 11, typ: typ{base: tObj, index: 2}}, {name: "names", id: 12, typ: typ{base: tVector, elem: tString}},
			{name: "nums", id: 13, typ: typ{base: tVector, elem: tShort}}, {name: "modes", id: 14, typ: typ{base: tVector, elem: tByte, index: 1}},
			{name: "any_type", id: 15, typ: typ{base: tUType, index: 2}}, {name: "any", id: 16, typ: typ{base: tUnion, index: 2}},
			{name: "old", id: 17, typ: typ{base: tInt}, deprecated: true},
			{name: "many_type", id: 18, typ: typ{base: tVector, elem: tUType, index: 2}}, {name: "many", id: 19, typ: typ{base: tVector, elem: tUnion, index: 2}},
			{name: "nothing", id: 20, typ: typ{base: tObj, index: 5}},
		}},
		{name: "Pair", size: 2, fields: []fld{{name: "a", typ: typ{base: tByte}}}},
		{name: "x.Nothing"},
	}, []enm{{name: "zero"}, {name: "Mode", values: []enmVal{{"OFF", 0, typ{}}, {"ON", 1, typ{}}, {"LOST", -1, typ{}}}}, {name: "Any", union: true, values: any}})
}

func parse(t testing.TB, name string, data []byte) message.Layout {
	t.Helper()
	l, err := flatbuffer.Encoding{}.Parse(message.Schema{Name: name, Encoding: "flatbuffer", Data: data})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// vec writes a Vec in place.
func vec(b *fb.Builder, x float64, y float32) fb.UOffsetT {
	b.Prep(8, 24)
	b.Pad(4)
	b.PrependByte(5)
	b.PrependByte(4)
	b.PrependInt16(3)
	b.PrependInt16(-2)
	b.PrependInt16(1)
	b.PrependFloat32(y)
	b.PrependFloat64(x)
	return b.Offset()
}

func leaf(b *fb.Builder, v int32, next, kids fb.UOffsetT) fb.UOffsetT {
	b.StartObject(3)
	b.PrependInt32Slot(0, v, 7)
	b.PrependUOffsetTSlot(1, next, 0)
	b.PrependUOffsetTSlot(2, kids, 0)
	return b.EndObject()
}

// fullMessage has every field.
func fullMessage(identifier bool) []byte {
	b := fb.NewBuilder(256)
	name, text := b.CreateString("né"), b.CreateString("t")
	blob := b.CreateByteVector([]byte{1, 2, 3})
	names := buildVector(b, []fb.UOffsetT{name, text})
	b.StartVector(2, 2, 2)
	b.PrependInt16(-5)
	b.PrependInt16(4)
	nums := b.EndVector(2)
	modes := b.CreateByteVector([]byte{1, 9})
	b.StartVector(24, 1, 8)
	vec(b, 3, 4)
	path := b.EndVector(1)
	inner := leaf(b, 9, 0, 0)
	lf := leaf(b, 7, inner, buildVector(b, []fb.UOffsetT{inner, inner}))
	kinds := b.CreateByteVector([]byte{3, 1, 0, 2})
	v := vec(b, 8, 0)
	many := buildVector(b, []fb.UOffsetT{text, inner, inner, v})
	b.StartObject(0)
	nothing := b.EndObject()
	b.StartObject(21)
	b.PrependUOffsetTSlot(20, nothing, 0)
	b.PrependUOffsetTSlot(19, many, 0)
	b.PrependUOffsetTSlot(18, kinds, 0)
	b.PrependUOffsetTSlot(16, inner, 0)
	b.PrependByteSlot(15, 1, 0)
	b.PrependUOffsetTSlot(14, modes, 0)
	b.PrependUOffsetTSlot(13, nums, 0)
	b.PrependUOffsetTSlot(12, names, 0)
	b.PrependUOffsetTSlot(11, lf, 0)
	b.PrependUOffsetTSlot(10, path, 0)
	b.PrependStructSlot(9, vec(b, 1, 2), 0)
	b.PrependUOffsetTSlot(8, blob, 0)
	b.PrependUOffsetTSlot(7, name, 0)
	b.PrependFloat64Slot(6, 2.5, -0.25)
	b.PrependUint64Slot(4, 1<<64-1, 0)
	b.PrependInt64Slot(3, 0, 1)
	b.PrependInt8Slot(2, 1, -1)
	b.PrependBoolSlot(1, false, true)
	b.Prep(4, 8)
	b.PrependUint32(6)
	b.PrependUint32(5)
	b.PrependStructSlot(0, b.Offset(), 0)
	end := b.EndObject()
	if identifier {
		b.FinishWithFileIdentifier(end, []byte("ROOT"))
	} else {
		b.Finish(end)
	}
	return b.FinishedBytes()
}

func emptyMessage() []byte {
	b := fb.NewBuilder(16)
	b.StartObject(21)
	b.Finish(b.EndObject())
	return b.FinishedBytes()
}
