package ros1

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/wire"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

func parse(t *testing.T, text string) message.Layout {
	t.Helper()
	l, err := Encoding{}.Parse(message.Schema{Name: "p/T", Encoding: "ros1msg", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// decode decodes one message, given in hex, and renders its columns.
func decode(t *testing.T, text, data string) (string, error) {
	t.Helper()
	l := parse(t, text)
	plan, err := l.Compile(nil)
	if err != nil {
		t.Fatal(err)
	}
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	var cols []*column.Column
	for _, f := range l.Fields() {
		cols = append(cols, column.New(mem, f.Type))
	}
	b, err := hex.DecodeString(strings.ReplaceAll(data, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	n, failed := plan.Append(cols, b, []message.Span{{Start: 0, End: uint32(len(b))}})
	var parts []string
	for i, c := range cols {
		a := c.Finish()
		if a.Len() != n {
			t.Errorf("column %d has %d rows of %d", i, a.Len(), n)
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s=%s", l.Fields()[i].Name, a.ValueStr(0)))
		}
		a.Release()
	}
	return strings.Join(parts, " "), failed
}

const g = "uint8 a\nfloat64 b\nstring s\nuint16 c\nfloat64[] d\nuint8 e"

func Test01Golden(t *testing.T) {
	for _, c := range []struct{ name, text, data, want string }{
		{"G1", g, "01 00 00 00 00 00 00 f8 3f 02 00 00 00 61 62 34 12 00 00 00 00 07", "a=1 b=1.5 s=ab c=4660 d=[] e=7"},
		{"G6", "Header h\nfloat64 x", "03 00 00 00 64 00 00 00 05 00 00 00 03 00 00 00 6d 61 70 00 00 00 00 00 00 00 40",
			"h.seq=3 h.stamp=1970-01-01 00:01:40.000000005Z h.frame_id=map x=2"},
	} {
		got, err := decode(t, c.text, c.data)
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
		_, err = decode(t, c.text, c.data+"00")
		wantReason(t, err, wire.TrailingBytes, pipeline.ErrSchema)
		for n := 0; n < len(c.data); n += 3 {
			if _, err := decode(t, c.text, c.data[:n]); err == nil {
				t.Errorf("%s cut to %q decodes", c.name, c.data[:n])
			}
		}
	}
}

func wantReason(t *testing.T, err error, reason string, kind error) {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Reason() != reason || !errors.Is(err, kind) {
		t.Errorf("error %v, want %s", err, reason)
	}
}

func Test10ByteChar(t *testing.T) {
	got, err := decode(t, "byte b\nchar c\nint8 i\nuint8 u", "ff ff ff ff")
	if err != nil || got != "b=-1 c=255 i=-1 u=255" {
		t.Error(got, err)
	}
}

func Test11Times(t *testing.T) {
	got, err := decode(t, "time[] ts\ntime t\nduration d\nduration[2] ds", "01000000 ffffffff 00000000  ffffffff ffffffff  ffffffff fbffffff  01000000 00000000 00000000 00e1f505")
	if err != nil {
		t.Fatal(err)
	}
	// 2^32-1 s, and 2^32-1 ns more: beyond the second, carried over.
	want := "ts=[\"2106-02-07 06:28:15\"] t=2106-02-07 06:28:19.294967295Z d=-1000000005ns ds=[\"1000000000ns\",\"100000000ns\"]"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	// The far ends stay in range.
	for _, c := range []struct {
		text, data string
		want       int64
	}{
		{"time t", "ffffffff ffffffff", math.MaxUint32*1e9 + math.MaxUint32},
		{"duration t", "00000080 00000080", math.MinInt32*1e9 + math.MinInt32},
		{"duration t", "ffffff7f ffffff7f", math.MaxInt32*1e9 + math.MaxInt32},
	} {
		l := parse(t, c.text)
		plan, _ := l.Compile(nil)
		col := column.New(arrow.NewGoAllocator(), l.Fields()[0].Type)
		b, _ := hex.DecodeString(strings.ReplaceAll(c.data, " ", ""))
		if _, err := plan.Append([]*column.Column{col}, b, []message.Span{{Start: 0, End: 8}}); err != nil || arrow.Int64s(col.Data)[0] != c.want {
			t.Errorf("%s: %d, %v", c.data, arrow.Int64s(col.Data), err)
		}
	}
}

func Test19Empty(t *testing.T) {
	if got, err := decode(t, "", ""); got != "" || err != nil {
		t.Error(got, err)
	}
	_, err := decode(t, "", "00")
	wantReason(t, err, wire.TrailingBytes, pipeline.ErrSchema)
	// A list of nothing is its length, however long.
	got, err := decode(t, "std_msgs/Empty[] e\nstd_msgs/Empty[9] f\nstd_msgs/Empty g\nuint8 x", "ffffffff 07")
	if err != nil || got != "e=4294967295 x=7" {
		t.Error(got, err)
	}
}

// A definition without text is a message without fields: one with bytes is not
// taken for it, whatever columns are asked for.
func Test01_19NoDefinition(t *testing.T) {
	l := parse(t, "")
	for _, columns := range [][]string{nil, {}} {
		plan, err := l.Compile(columns)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := plan.Append(nil, []byte("bytes"), []message.Span{{Start: 0, End: 5}}); n != 0 || err == nil {
			t.Errorf("columns %v: %d rows, %v", columns, n, err)
		}
		if n, err := plan.Append(nil, nil, []message.Span{{}}); n != 1 || err != nil {
			t.Errorf("columns %v: %d rows, %v", columns, n, err)
		}
	}
}

func Test23Strings(t *testing.T) {
	for data, want := range map[string]string{
		"00000000":                      "s=",
		"03000000 616263":               "s=abc",
		"02000000 c3a9":                 "s=é",
		"04000000 61006200":             "s=a\x00b\x00",
		"09000000 616161616161616161":   "s=aaaaaaaaa",
		"0a000000 6161616161616161c3a9": "s=aaaaaaaaé",
	} {
		if got, err := decode(t, "string s", data); err != nil || got != want {
			t.Errorf("%s: %q, %v", data, got, err)
		}
	}
	for _, data := range []string{"01000000 e9", "09000000 61616161616161e961", "09000000 6161616161616161e9"} {
		_, err := decode(t, "string s", data)
		wantReason(t, err, wire.InvalidUTF8, pipeline.ErrCorrupt)
	}
	var e *wire.Error
	if _, err := decode(t, "U[] us\n"+strings.Repeat("=", 80)+"\nMSG: p/U\nuint8 a\nstring b", "01000000 00 01000000 e9"); !errors.As(err, &e) || e.Column != "us.b" || e.Offset != 9 {
		t.Errorf("%v", err)
	}
}

// Reasons do not depend on what else is in the batch, and text that is sound
// only across the border of two strings is not sound.
func TestInvalidText(t *testing.T) {
	const sep = "\n================================================================================\nMSG: p/U\n"
	for _, text := range []string{"string[] s\nuint8 last", "U[] s\nuint8 last" + sep + "string a", "string[2] s\nuint8 last", "string s\nstring t\nuint8 last"} {
		count := "02000000"
		if !strings.Contains(text, "[]") {
			count = ""
		}
		l := parse(t, text)
		plan, _ := l.Compile(nil)
		var data []byte
		var spans []message.Span
		add := func(s string) {
			b, err := hex.DecodeString(strings.ReplaceAll(count+s, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			spans = append(spans, message.Span{Start: uint32(len(data)), End: uint32(len(data) + len(b))})
			data = append(data, b...)
		}
		add("02000000 c3a9 02000000 c3a9 01")
		add("01000000 c3 01000000 a9 02") // split
		add("01000000 e9 01000000 61")    // invalid, and cut short: the first fault counts
		add("01000000 61 01000000 62")    // cut short
		add("00000000 02000000 c3a9 05")
		want := []string{"", wire.InvalidUTF8, wire.InvalidUTF8, wire.Truncated, ""}
		for from := range spans {
			for to := from + 1; to <= len(spans); to++ {
				var cols []*column.Column
				for _, f := range l.Fields() {
					cols = append(cols, column.New(arrow.NewGoAllocator(), f.Type))
				}
				var last []byte
				for at := from; at < to; {
					n, err := plan.Append(cols, data, spans[at:to])
					for i := range n {
						last = append(last, byte(at+i+1))
					}
					at += n
					if err == nil {
						break
					}
					var e *wire.Error
					if !errors.As(err, &e) || e.Reason() != want[at] {
						t.Errorf("%q: messages %d to %d: message %d: %v, want %q", text, from, to, at, err, want[at])
					}
					at++
				}
				if got := cols[len(cols)-1]; string(got.Data) != string(last) || cols[0].N != len(last) {
					t.Errorf("%q: messages %d to %d: rows %v, want %v", text, from, to, got.Data, last)
				}
			}
		}
	}
}

func TestFullColumn(t *testing.T) {
	l := parse(t, "uint16[] x")
	plan, _ := l.Compile(nil)
	col := column.New(arrow.NewGoAllocator(), l.Fields()[0].Type)
	col.CloseValue(math.MaxInt32 - 5)
	n, err := plan.Append([]*column.Column{col}, make([]byte, 4), []message.Span{{Start: 0, End: 4}})
	if n != 0 || col.N != 1 {
		t.Errorf("%d rows appended, %d there", n, col.N)
	}
	wantReason(t, err, wire.TooLarge, pipeline.ErrLimit)
}

// One plan serves many goroutines.
func TestConcurrent(t *testing.T) {
	l := parse(t, g)
	plan, _ := l.Compile([]string{"b", "s", "e"})
	b, _ := hex.DecodeString("01000000000000f83f0200000061623412" + "00000000" + "07")
	spans := []message.Span{{Start: 0, End: uint32(len(b))}, {Start: 0, End: uint32(len(b))}, {Start: 0, End: 5}}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				cols := []*column.Column{column.New(arrow.NewGoAllocator(), arrow.Float64Type),
					column.New(arrow.NewGoAllocator(), arrow.StringType), column.New(arrow.NewGoAllocator(), arrow.Uint8Type)}
				if n, err := plan.Append(cols, b, spans); n != 2 || err == nil || string(cols[1].Data) != "abab" {
					t.Errorf("%d, %v, %q", n, err, cols[1].Data)
				}
			}
		})
	}
	wg.Wait()
}

func Test36HugeCounts(t *testing.T) {
	const dep = "\n================================================================================\nMSG: p/U\n"
	for _, text := range []string{
		"uint8[] x", "string x", "bool[] x", "float64[] x", "time[] x", "string[] x", "std_msgs/String[] x",
		"U[] x" + dep + "float64 a\nfloat64 b", "U[] x" + dep + "string a\nuint8 b", "U[] x" + dep + "string[] a",
		"U[] x" + dep + "V[2] v\nstring a" + strings.ReplaceAll(dep, "p/U", "p/V") + "uint8[] c",
	} {
		for _, count := range []string{"00ffffff", "ffffffff", "ffffff7f"} {
			l := parse(t, text)
			plan, _ := l.Compile(nil)
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			col := column.New(mem, l.Fields()[0].Type)
			b, _ := hex.DecodeString(count + "00000000000000000000000000000000")
			n, err := plan.Append([]*column.Column{col}, b, []message.Span{{Start: 0, End: uint32(len(b))}})
			if n != 0 {
				t.Errorf("%q: %d", text, n)
			}
			wantReason(t, err, wire.LengthBeyondEnd, pipeline.ErrTruncated)
			if mem.CurrentAlloc() > 2048 {
				t.Errorf("%q took %d bytes", text, mem.CurrentAlloc())
			}
			col.Release()
			mem.AssertSize(t, 0)
		}
	}
}

func Test39BytesInOnePiece(t *testing.T) {
	const size = 8 << 20
	l := parse(t, "uint32 step\nuint8[] data")
	plan, _ := l.Compile([]string{"data"})
	b := make([]byte, 8+size)
	b[4], b[5], b[6], b[7] = size&0xff, size>>8&0xff, size>>16&0xff, size>>24
	b[len(b)-1] = 42
	col := column.New(arrow.NewGoAllocator(), arrow.BinaryType)
	cols, spans := []*column.Column{col}, []message.Span{{Start: 0, End: uint32(len(b))}}
	run := func() {
		col.Reset()
		if _, err := plan.Append(cols, b, spans); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if len(col.Data) != size || col.Data[size-1] != 42 {
		t.Fatal("data differ")
	}
	if n := testing.AllocsPerRun(10, run); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSelection(t *testing.T) {
	l := parse(t, g)
	if _, err := l.Compile([]string{"a", "nope"}); !errors.Is(err, pipeline.ErrSchema) {
		t.Error(err)
	}
	plan, err := l.Compile([]string{}) // nothing: messages are still looked through
	if err != nil {
		t.Fatal(err)
	}
	b, _ := hex.DecodeString("01000000000000f83f0200000061623412" + "00000000" + "07")
	if n, err := plan.Append(nil, b, []message.Span{{Start: 0, End: uint32(len(b))}, {Start: 0, End: 3}}); n != 1 || err == nil {
		t.Error(n, err)
	}
}

func TestParseRefuses(t *testing.T) {
	_, err := Encoding{}.Parse(message.Schema{Name: "p/msg/T", Encoding: "ros2msg", Data: []byte("int8 a")})
	if !errors.Is(err, pipeline.ErrUnsupported) {
		t.Error(err)
	}
	_, err = Encoding{}.Parse(message.Schema{Name: "p/T", Encoding: "ros1msg", Data: []byte("int8 a b")})
	if !errors.Is(err, pipeline.ErrCorrupt) || !strings.Contains(err.Error(), "line 1") {
		t.Error(err)
	}
}
