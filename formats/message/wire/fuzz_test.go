package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/wire"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// A type with one of everything.
const everything = `std_msgs/Header header
bool a
string[] names
float64[] data
U[] us
V[] vs
E[] es
uint8[] raw
bool[3] flags
time[] times
string[2] two
V[2] fixed
W[] ws
E[2] nothing
uint16 last
================================================================================
MSG: p/U
string key
V v
float32[] values
U2[] more
================================================================================
MSG: p/U2
int64 x
string y
================================================================================
MSG: p/V
float64 x
uint32 y
================================================================================
MSG: p/W
V[] vs
================================================================================
MSG: p/E
`

func everythingType() *mtype {
	e, v := &mtype{name: "E"}, &mtype{name: "V", fields: []mfield{{name: "x", kind: kFloat64}, {name: "y", kind: kUint32}}}
	u2 := &mtype{name: "U2", fields: []mfield{{name: "x", kind: kInt64}, {name: "y", kind: kString}}}
	u := &mtype{name: "U", fields: []mfield{{name: "key", kind: kString}, {name: "v", kind: kMsg, msg: v}, {name: "values", kind: kFloat32, array: 2}, {name: "more", kind: kMsg, msg: u2, array: 2}}}
	w := &mtype{name: "W", fields: []mfield{{name: "vs", kind: kMsg, msg: v, array: 2}}}
	return &mtype{name: "T", fields: []mfield{
		{name: "a", kind: kBool}, {name: "names", kind: kString, array: 2}, {name: "data", kind: kFloat64, array: 2},
		{name: "us", kind: kMsg, msg: u, array: 2}, {name: "vs", kind: kMsg, msg: v, array: 2}, {name: "es", kind: kMsg, msg: e, array: 2},
		{name: "raw", kind: kUint8, array: 2}, {name: "flags", kind: kBool, array: 1, n: 3}, {name: "times", kind: kTime, array: 2},
		{name: "two", kind: kString, array: 1, n: 2}, {name: "fixed", kind: kMsg, msg: v, array: 1, n: 2}, {name: "ws", kind: kMsg, msg: w, array: 2},
		{name: "nothing", kind: kMsg, msg: e, array: 1, n: 2}, {name: "last", kind: kUint16},
	}}
}

// sample encodes one message of type everything.
func sample(d dialect, seed uint64) []byte {
	e := &encoder{cdr: d.cdr, xcdr2: d.xcdr2, order: d.order, rng: rand.New(rand.NewPCG(seed, 2)), short: true}
	if !d.cdr {
		e.u32(1)
	}
	e.u32(2)
	e.u32(3)
	e.value(mfield{kind: kString})
	e.message(everythingType(), "", map[string]string{})
	return append(append([]byte(nil), d.head...), e.buf...)
}

// fuzzer decodes what the fuzzer finds.
type fuzzer struct {
	layout      message.Layout
	all, some   message.Plan
	names       []string // of some
	good        []byte   // a message that decodes
	clean, part []*column.Column
}

func newFuzzer(f *testing.F, d dialect, text string, good []byte) *fuzzer {
	layout, err := d.enc.Parse(message.Schema{Name: "p/T", Encoding: d.lang, Data: []byte(text)})
	if err != nil {
		f.Fatal(err)
	}
	z := &fuzzer{layout: layout, good: good}
	for i, field := range layout.Fields() {
		if i%3 == 1 {
			z.names = append(z.names, field.Name)
		}
	}
	if z.all, err = layout.Compile(nil); err != nil {
		f.Fatal(err)
	}
	if z.some, err = layout.Compile(z.names); err != nil {
		f.Fatal(err)
	}
	mem := arrow.NewGoAllocator()
	z.clean, _ = columnsFor(mem, layout, nil)
	z.part, _ = columnsFor(mem, layout, z.names)
	spans := []message.Span{{Start: 0, End: uint32(len(good))}, {Start: 0, End: uint32(len(good))}}
	if _, err := z.all.Append(z.clean, good, spans); err != nil {
		f.Fatal(err)
	}
	if _, err := z.some.Append(z.part, good, spans); err != nil {
		f.Fatal(err)
	}
	return z
}

// run decodes data as one message between two good ones, with all columns and
// with some. A bad one must leave no trace.
func (z *fuzzer) run(t *testing.T, data []byte) {
	block := append(append(append([]byte(nil), z.good...), data...), z.good...)
	g, d := uint32(len(z.good)), uint32(len(data))
	spans := []message.Span{{Start: 0, End: g}, {Start: g, End: g + d}, {Start: g + d, End: 2*g + d}}
	decode := func(plan message.Plan, names []string, clean []*column.Column) ([]*column.Column, error) {
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		cols, got := columnsFor(mem, z.layout, names)
		n, err := plan.Append(cols, block, spans)
		if (n == 3) != (err == nil) || err != nil && n != 1 {
			t.Fatalf("%d messages, %v", n, err)
		}
		if err != nil {
			var e *wire.Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > int(d)+16 {
				t.Fatalf("error %v", err)
			}
			if k, err := plan.Append(cols, block, spans[2:]); k != 1 || err != nil {
				t.Fatalf("message after the bad one: %v", err)
			}
			n++
		}
		if size := mem.CurrentAlloc(); size > 16*len(block)+512*len(cols)+1<<14 {
			t.Fatalf("%d bytes for %d", size, len(block))
		}
		for i, c := range cols {
			checkShape(t, got[i], c, n)
			if err != nil && !sameColumn(c, clean[i]) {
				t.Fatalf("column %s: the bad message left something", got[i])
			}
		}
		return cols, err
	}
	all, err := decode(z.all, nil, z.clean)
	some, err2 := decode(z.some, z.names, z.part)
	if err == nil && err2 != nil {
		t.Fatalf("all columns decode, some do not: %v", err2)
	}
	k := 0
	for i, f := range z.layout.Fields() {
		if err == nil && slices.Contains(z.names, f.Name) {
			if !sameColumn(all[i], some[k]) {
				t.Fatalf("column %s differs when others are selected", f.Name)
			}
			k++
		}
	}
}

func sameColumn(a, b *column.Column) bool {
	// Without values there may be the first offset or none.
	if a.N != b.N || !bytes.Equal(a.Data, b.Data) || a.N > 0 && !slices.Equal(a.Offsets, b.Offsets) {
		return false
	}
	return slices.EqualFunc(a.Children, b.Children, sameColumn)
}

// checkShape holds the buffers of a column against its number of values.
func checkShape(t *testing.T, name string, c *column.Column, n int) {
	t.Helper()
	if c.N != n {
		t.Fatalf("column %s has %d values of %d", name, c.N, n)
	}
	last := 0
	if len(c.Offsets) > 0 {
		last = int(c.Offsets[len(c.Offsets)-1])
	}
	ok := true
	switch c.Kind {
	case column.Fixed:
		ok = len(c.Data) == n*c.Width
	case column.Bits:
		ok = len(c.Data) == (n+7)/8
	case column.Var:
		ok = last == len(c.Data) && (n == 0 || len(c.Offsets) == n+1)
	case column.List:
		checkShape(t, name+"[]", c.Children[0], last)
	case column.FixedList:
		checkShape(t, name+"[n]", c.Children[0], n*c.Width)
	case column.Struct:
		for _, ch := range c.Children {
			checkShape(t, name+".*", ch, n)
		}
	}
	if !ok {
		t.Fatalf("column %s: %d bytes, %d offsets for %d values", name, len(c.Data), len(c.Offsets), n)
	}
}

func addSamples(f *testing.F, of func(dialect) bool) {
	for _, d := range dialects {
		if !of(d) {
			continue
		}
		for seed := range uint64(3) {
			b := sample(d, seed)
			f.Add(b)
			f.Add(b[:len(b)/2])
			c := append([]byte(nil), b...)
			binary.LittleEndian.PutUint32(c[len(c)/3:], 0xffffff00)
			f.Add(c)
		}
	}
}

func FuzzROS1(f *testing.F) {
	d := dialects[0]
	addSamples(f, func(d dialect) bool { return !d.cdr })
	z := newFuzzer(f, d, everything, sample(d, 9))
	f.Fuzz(func(t *testing.T, data []byte) {
		z.run(t, data)
	})
}

func FuzzCDR(f *testing.F) {
	d := dialects[1]
	addSamples(f, func(d dialect) bool { return d.cdr })
	z := newFuzzer(f, d, everything, sample(d, 9))
	f.Fuzz(func(t *testing.T, data []byte) {
		z.run(t, data)
	})
}

// Wide strings have programs of their own.
func FuzzWide(f *testing.F) {
	d := dialects[1]
	const text = "uint8 a\nwstring b\nwstring[] c\nuint32 d"
	good := []byte{0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 'x', 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 'y', 0, 0, 0, 9, 0, 0, 0}
	f.Add(good)
	f.Add(good[:20])
	z := newFuzzer(f, d, text, good)
	f.Fuzz(func(t *testing.T, data []byte) {
		z.run(t, data)
	})
}
