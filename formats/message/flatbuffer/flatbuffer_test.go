package flatbuffer_test

import (
	"encoding/binary"
	"errors"
	"testing"

	fb "github.com/google/flatbuffers/go"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/flatbuffer"
	"github.com/drivemill/drivemill/formats/message/messagetest"
	"github.com/drivemill/drivemill/pipeline"
)

func TestMessages(t *testing.T) {
	l := parse(t, "x.Root", testSchema())
	t.Run("40 missing fields get schema defaults", func(t *testing.T) {
		want := `timestamp=null flag=true mode=-1 mode_label="LOST" i=null u=0 f=1.5 d=-0.25 name=null blob=null`
		if got := messagetest.One(t, l, emptyMessage(), "timestamp", "flag", "mode", "mode_label", "i", "u", "f", "d", "name", "blob"); got != want {
			t.Error(got)
		}
		if got := messagetest.One(t, l, emptyMessage(), "pos.x", "path", "leaf.v", "any_type", "any.Vec.x", "nothing"); got != `pos.x=null path=null leaf.v=null any_type=0 any.Vec.x=null nothing=null` {
			t.Error(got)
		}
	})
	t.Run("40 union, vector of structs", func(t *testing.T) {
		want := `pos.x=1 pos.y=2 pos.n=[1 -2 3] pos.b=b:BAU= path=[{x:3 y:4 n:[1 -2 3] b:b:BAU=}] any_type=1 any_type_label="x.Leaf" any.Leaf.v=9 any.Vec.x=null any.Text=null many_type=[3 1 0 2] many=[{Leaf:null Vec:null Text:"t"} {Leaf:{v:9 next:null kids:null} Vec:null Text:null} {Leaf:null Vec:null Text:null} {Leaf:null Vec:{x:8 y:0 n:[1 -2 3] b:b:BAU=} Text:null}]`
		got := messagetest.One(t, l, fullMessage(false), "pos.x", "pos.y", "pos.n", "pos.b", "path", "any_type", "any_type_label", "any.Leaf.v", "any.Vec.x", "any.Text", "many_type", "many")
		if got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	})
	t.Run("40 corrupt offset", func(t *testing.T) {
		failed := 0
		whole := fullMessage(false)
		for at := 0; at+4 <= len(whole); at += 4 {
			bad := append([]byte(nil), whole...)
			binary.LittleEndian.PutUint32(bad[at:], 0x7fffffff)
			if got := messagetest.One(t, l, bad); got[0] == '!' {
				failed++
			}
		}
		root := append([]byte{0xff, 0xff, 0xff, 0x7f}, whole[4:]...)
		if got := messagetest.One(t, l, root); got != "!length_beyond_end" || failed < 10 {
			t.Errorf("%s, %d rows are refused", got, failed)
		}
	})
	t.Run("scalars and lists", func(t *testing.T) {
		want := `timestamp=5000000006ns flag=false mode=1 mode_label="ON" i=0 u=18446744073709551615 f=1.5 d=2.5 name="né" blob=b:AQID names=["né" "t"] nums=[4 -5] modes=[1 9] modes_label=["ON" null] nothing=true`
		for _, id := range []bool{false, true} {
			if got := messagetest.One(t, l, fullMessage(id), "timestamp", "flag", "mode", "mode_label", "i", "u", "f", "d", "name", "blob", "names", "nums", "modes", "modes_label", "nothing"); got != want {
				t.Errorf("%s\nwant\n%s", got, want)
			}
		}
		m := fullMessage(false)
		sized := append(binary.LittleEndian.AppendUint32(nil, uint32(len(m))), m...)
		if got := messagetest.One(t, l, sized, "name"); got != `name="né"` {
			t.Error(got)
		}
	})
	t.Run("recursion", func(t *testing.T) {
		if got := messagetest.One(t, l, fullMessage(false), "leaf.v", "leaf.next.v", "leaf.next.next.v"); got != "leaf.v=7 leaf.next.v=9 leaf.next.next.v=null" {
			t.Error(got)
		}
		b := fb.NewBuilder(64)
		o := leaf(b, 0, 0, 0)
		for i := range 3 {
			o = leaf(b, int32(i+1), o, 0)
		}
		b.Finish(o)
		leaves := parse(t, "x.Leaf", testSchema())
		if got := messagetest.One(t, leaves, b.FinishedBytes()); got != "!too_deep" {
			t.Error(got)
		}
		if got := messagetest.One(t, leaves, b.FinishedBytes(), "v"); got != "v=3" {
			t.Error(got)
		}
	})
	messagetest.Suite(t, l, fullMessage(false), emptyMessage(), fullMessage(true))
}

// A small message that shares its parts cannot be made large.
func TestSharing(t *testing.T) {
	l := parse(t, "x.Root", testSchema())
	b := fb.NewBuilder(1 << 16)
	s := b.CreateString(string(make([]byte, 10000)))
	items := make([]fb.UOffsetT, 10000)
	for i := range items {
		items[i] = s
	}
	names := buildVector(b, items)
	b.StartObject(21)
	b.PrependUOffsetTSlot(12, names, 0)
	b.Finish(b.EndObject())
	if got := messagetest.One(t, l, b.FinishedBytes(), "names"); got != "!message_too_large" {
		t.Error(got[:40])
	}
}

func TestSchemas(t *testing.T) {
	whole := testSchema()
	parse := func(name, encoding string, data []byte) error {
		_, err := flatbuffer.Encoding{}.Parse(message.Schema{Name: name, Encoding: encoding, Data: data})
		return err
	}
	if err := parse("x.Root", "jsonschema", whole); !errors.Is(err, pipeline.ErrUnsupported) {
		t.Error(err)
	}
	if err := parse("x.Wrong", "flatbuffer", whole); !errors.Is(err, pipeline.ErrSchema) {
		t.Error(err)
	}
	if err := parse("x.Root", "flatbuffer", []byte("table Root {}")); !errors.Is(err, pipeline.ErrCorrupt) {
		t.Error(err)
	}
	for n := range whole {
		_ = parse("x.Root", "flatbuffer", whole[:n])
		bad := append([]byte(nil), whole...)
		bad[n] ^= 0xff
		_ = parse("x.Root", "flatbuffer", bad)
	}
}

func FuzzDecode(f *testing.F) {
	l := parse(f, "x.Root", testSchema())
	f.Add(fullMessage(false))
	f.Add(emptyMessage())
	f.Fuzz(func(t *testing.T, msg []byte) {
		rows := messagetest.Decode(t, l, nil, 2, msg, nil, msg)
		if rows[0] != rows[2] {
			t.Fatalf("the same message gives %q and %q", rows[0], rows[2])
		}
	})
}

func FuzzSchema(f *testing.F) {
	f.Add(testSchema())
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := flatbuffer.Encoding{}.Parse(message.Schema{Name: "x.Root", Encoding: "flatbuffer", Data: data})
		if err == nil {
			messagetest.Decode(t, l, nil, 1, fullMessage(false), emptyMessage())
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	l := parse(b, "x.Root", testSchema())
	msg := fullMessage(false)
	b.Run("columns", func(b *testing.B) { messagetest.Bench(b, l, nil, msg) })
	b.Run("scalars", func(b *testing.B) {
		messagetest.Bench(b, l, []string{"timestamp", "flag", "u", "f", "d", "name", "pos.x", "pos.y"}, msg)
	})
	b.Run("accessors", func(b *testing.B) { // the same by the library's table
		b.ReportAllocs()
		sum := 0.0
		for range b.N {
			var tab fb.Table
			tab.Bytes, tab.Pos = msg, fb.GetUOffsetT(msg)
			for _, slot := range []fb.VOffsetT{4 + 2*1, 4 + 2*4, 4 + 2*5, 4 + 2*6} {
				sum += tab.GetFloat64Slot(slot, 0)
			}
			if o := fb.UOffsetT(tab.Offset(4 + 2*7)); o != 0 {
				sum += float64(len(tab.ByteVector(o + tab.Pos)))
			}
			if o := fb.UOffsetT(tab.Offset(4 + 2*9)); o != 0 {
				sum += tab.GetFloat64(o+tab.Pos) + float64(tab.GetFloat32(o+tab.Pos+8))
			}
		}
		if sum == 0 {
			b.Fatal("nothing read")
		}
	})
}
