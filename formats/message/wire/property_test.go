package wire_test

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// The encoder below is simple and slow on purpose: it knows nothing of runs
// and programs. It makes messages of random types, together with the text of
// each cell that their columns should hold.

type kind int

const (
	kBool kind = iota
	kInt8
	kUint8
	kInt16
	kUint16
	kInt32
	kUint32
	kInt64
	kUint64
	kFloat32
	kFloat64
	kByte
	kChar
	kString
	kTime
	kDuration
	kMsg
)

var kindText = []string{"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
	"float32", "float64", "byte", "char", "string", "time", "duration"}

type mfield struct {
	name  string
	kind  kind
	msg   *mtype
	array int // 0 single, 1 fixed, 2 sequence
	n     int
}

type mtype struct {
	name   string
	fields []mfield
}

// text is the definition of t and of all it uses.
func (t *mtype) text() string {
	var b strings.Builder
	seen := map[*mtype]bool{t: true}
	var section func(t *mtype)
	var queue []*mtype
	section = func(t *mtype) {
		for _, f := range t.fields {
			if f.kind == kMsg {
				b.WriteString(f.msg.name)
				if !seen[f.msg] {
					seen[f.msg] = true
					queue = append(queue, f.msg)
				}
			} else {
				b.WriteString(kindText[f.kind])
			}
			switch f.array {
			case 1:
				fmt.Fprintf(&b, "[%d]", f.n)
			case 2:
				b.WriteString("[]")
			}
			b.WriteString(" " + f.name + "\n")
		}
	}
	section(t)
	for len(queue) > 0 {
		t := queue[0]
		queue = queue[1:]
		b.WriteString(strings.Repeat("=", 80) + "\nMSG: pkg/" + t.name + "\n")
		section(t)
	}
	return b.String()
}

func drawType(t *rapid.T, depth int, counter *int) *mtype {
	*counter++
	m := &mtype{name: fmt.Sprintf("T%d", *counter)}
	n := rapid.IntRange(0, 6).Draw(t, "fields")
	if depth == 0 && n == 0 {
		n = 1
	}
	for i := range n {
		f := mfield{name: fmt.Sprintf("f%d", i), kind: kind(rapid.IntRange(0, int(kMsg)-1).Draw(t, "kind"))}
		if depth < 3 && *counter < 12 && rapid.IntRange(0, 2).Draw(t, "nested") == 0 {
			f.kind = kMsg
		}
		if f.kind == kMsg {
			f.msg = drawType(t, depth+1, counter)
		}
		f.array = rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "array")
		f.n = rapid.IntRange(1, 3).Draw(t, "n")
		m.fields = append(m.fields, f)
	}
	return m
}

type encoder struct {
	buf   []byte
	cdr   bool
	xcdr2 bool
	order binary.AppendByteOrder
	rng   *rand.Rand
	short bool // no long lists
	elems int  // elements of every sequence, and ASCII text; 0: random
	bytes int  // of byte sequences, where elems is set
}

func (e *encoder) align(n int) {
	if !e.cdr {
		return
	}
	if e.xcdr2 {
		n = min(n, 4)
	}
	for len(e.buf)%n != 0 {
		e.buf = append(e.buf, byte(e.rng.Uint32())) // padding is anything
	}
}

func (e *encoder) u32(v uint32) {
	e.align(4)
	e.buf = e.order.AppendUint32(e.buf, v)
}

// message encodes a random t and returns the text of its columns by name, and
// the text of it as a struct.
func (e *encoder) message(t *mtype, prefix string, cells map[string]string) string {
	if len(t.fields) == 0 && e.cdr {
		e.buf = append(e.buf, byte(e.rng.Uint32()))
	}
	var parts []string
	for _, f := range t.fields {
		name := prefix + f.name
		if f.kind == kMsg && f.array == 0 {
			s := e.message(f.msg, name+".", cells)
			if !f.msg.leafless() {
				parts = append(parts, s)
			}
			continue
		}
		if s, ok := e.field(f); ok {
			parts = append(parts, s)
			cells[name] = s
		}
	}
	return "{" + strings.Join(parts, " ") + "}"
}

func (t *mtype) leafless() bool {
	for _, f := range t.fields {
		if f.kind != kMsg || f.array == 2 || !f.msg.leafless() {
			return false
		}
	}
	return true
}

// field encodes one field; ok says whether it has a column.
func (e *encoder) field(f mfield) (text string, ok bool) {
	if f.array == 0 {
		return e.value(f), true
	}
	n := f.n
	if f.array == 2 {
		n = e.rng.IntN(4)
		if e.rng.IntN(8) == 0 && !e.short {
			n = e.rng.IntN(700)
			if f.kind == kMsg {
				n %= 20
			}
		}
		if n = cmp.Or(e.elems, n); e.elems > 0 && f.kind == kUint8 {
			n = e.bytes
		}
	}
	mark := -1
	if e.xcdr2 && (f.kind == kMsg || f.kind == kString || f.kind == kTime || f.kind == kDuration) {
		e.u32(0)
		mark = len(e.buf)
	}
	if f.array == 2 {
		e.u32(uint32(n))
	}
	start := len(e.buf)
	parts := make([]string, n)
	for i := range parts {
		parts[i] = e.value(f)
	}
	if mark >= 0 {
		e.order.AppendUint32(e.buf[:mark-4], uint32(len(e.buf)-mark))
	}
	switch {
	case f.kind == kUint8 || f.kind == kByte || f.kind == kChar:
		return "x" + hex.EncodeToString(e.buf[start:]), true
	case f.kind == kMsg && f.msg.leafless():
		return fmt.Sprint(n), f.array == 2
	}
	return "[" + strings.Join(parts, " ") + "]", true
}

func (e *encoder) value(f mfield) string {
	r := e.rng.Uint64()
	signed := func(bits int) string {
		v := int64(r<<(64-bits)) >> (64 - bits)
		return fmt.Sprint(v)
	}
	unsigned := func(bits int) string { return fmt.Sprint(r << (64 - bits) >> (64 - bits)) }
	put := func(bits int) {
		e.align(bits / 8)
		switch bits {
		case 8:
			e.buf = append(e.buf, byte(r))
		case 16:
			e.buf = e.order.AppendUint16(e.buf, uint16(r))
		case 32:
			e.buf = e.order.AppendUint32(e.buf, uint32(r))
		case 64:
			e.buf = e.order.AppendUint64(e.buf, r)
		}
	}
	switch f.kind {
	case kBool:
		r %= 3
		put(8)
		return fmt.Sprint(r != 0)
	case kInt8:
		put(8)
		return signed(8)
	case kByte:
		put(8)
		if e.cdr {
			return unsigned(8)
		}
		return signed(8)
	case kUint8, kChar:
		put(8)
		return unsigned(8)
	case kInt16:
		put(16)
		return signed(16)
	case kUint16:
		put(16)
		return unsigned(16)
	case kInt32:
		put(32)
		return signed(32)
	case kUint32:
		put(32)
		return unsigned(32)
	case kInt64:
		put(64)
		return signed(64)
	case kUint64:
		put(64)
		return unsigned(64)
	case kFloat32:
		put(32)
		return fmt.Sprintf("f%08x", uint32(r))
	case kFloat64:
		put(64)
		return fmt.Sprintf("f%016x", r)
	case kString:
		const letters = "abcdefghijklmnopqrstuvwxyz é猫"
		runes := []rune(letters)
		s := make([]rune, e.rng.IntN(20))
		for i := range s {
			s[i] = runes[e.rng.IntN(len(runes))]
		}
		text := string(s)
		if e.elems > 0 {
			text = "base_link_joint_3"[:10+e.rng.IntN(8)]
		}
		if e.cdr {
			e.u32(uint32(len(text) + 1))
			e.buf = append(append(e.buf, text...), 0)
		} else {
			e.u32(uint32(len(text)))
			e.buf = append(e.buf, text...)
		}
		return fmt.Sprintf("%q", text)
	case kTime, kDuration:
		sec, nsec := uint32(r), uint32(r>>32)
		e.u32(sec)
		e.u32(nsec)
		s, n := int64(sec), int64(nsec)
		if e.cdr || f.kind == kDuration {
			s = int64(int32(sec))
		}
		if !e.cdr && f.kind == kDuration {
			n = int64(int32(nsec))
		}
		return fmt.Sprint(s*1e9 + n)
	}
	return e.message(f.msg, "", map[string]string{})
}

// cell renders a cell as the encoder does.
func cell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	list := func(child arrow.Array, from, to int64) string {
		parts := make([]string, 0, to-from)
		for k := from; k < to; k++ {
			parts = append(parts, cell(child, int(k)))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	switch a := a.(type) {
	case *arrow.Bool:
		return fmt.Sprint(a.Value(i))
	case *arrow.Int8:
		return fmt.Sprint(a.Value(i))
	case *arrow.Uint8:
		return fmt.Sprint(a.Value(i))
	case *arrow.Int16:
		return fmt.Sprint(a.Value(i))
	case *arrow.Uint16:
		return fmt.Sprint(a.Value(i))
	case *arrow.Int32:
		return fmt.Sprint(a.Value(i))
	case *arrow.Uint32:
		return fmt.Sprint(a.Value(i))
	case *arrow.Int64:
		return fmt.Sprint(a.Value(i))
	case *arrow.Uint64:
		return fmt.Sprint(a.Value(i))
	case *arrow.Float32:
		return fmt.Sprintf("f%08x", math.Float32bits(a.Value(i)))
	case *arrow.Float64:
		return fmt.Sprintf("f%016x", math.Float64bits(a.Value(i)))
	case *arrow.Timestamp:
		return fmt.Sprint(int64(a.Value(i)))
	case *arrow.Duration:
		return fmt.Sprint(int64(a.Value(i)))
	case *arrow.String:
		return fmt.Sprintf("%q", a.Value(i))
	case *arrow.Binary:
		return "x" + hex.EncodeToString(a.Value(i))
	case *arrow.List:
		from, to := a.ValueOffsets(i)
		return list(a.ListValues(), from, to)
	case *arrow.FixedSizeList:
		n := int64(a.DataType().(*arrow.FixedSizeListType).Len())
		return list(a.ListValues(), int64(i)*n, int64(i+1)*n)
	case *arrow.Struct:
		parts := make([]string, a.NumField())
		for k := range parts {
			parts[k] = cell(a.Field(k), i)
		}
		return "{" + strings.Join(parts, " ") + "}"
	}
	return fmt.Sprintf("unexpected %T", a)
}

// columnsFor makes the columns of the named fields of a layout; nil: all.
func columnsFor(mem arrow.Allocator, l message.Layout, names []string) (cols []*column.Column, got []string) {
	for _, f := range l.Fields() {
		if names != nil && !slices.Contains(names, f.Name) {
			continue
		}
		cols = append(cols, column.New(mem, f.Type))
		got = append(got, f.Name)
	}
	return cols, got
}

type dialect struct {
	name  string
	enc   message.Encoding
	lang  string
	head  []byte
	cdr   bool
	xcdr2 bool
	order binary.AppendByteOrder
}

var dialects = []dialect{
	{"ros1", ros1.Encoding{}, "ros1msg", nil, false, false, binary.LittleEndian},
	{"cdr_le", cdr.Encoding{}, "ros2msg", []byte{0, 1, 0, 0}, true, false, binary.LittleEndian},
	{"cdr_be", cdr.Encoding{}, "ros2msg", []byte{0, 0, 0, 0}, true, false, binary.BigEndian},
	{"cdr2_le", cdr.Encoding{}, "ros2msg", []byte{0, 7, 0, 0}, true, true, binary.LittleEndian},
	{"cdr2_be", cdr.Encoding{}, "ros2msg", []byte{0, 0x10, 0, 0}, true, true, binary.BigEndian},
}

// Messages of random types, encoded by the encoder above, decode to the values
// that went in: all columns, and any subset of them; in one call or many; and
// messages cut short leave nothing behind.
func Test20_21_22_25RoundTrip(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				counter := 0
				typ := drawType(t, 0, &counter)
				text := typ.text()
				layout, err := d.enc.Parse(message.Schema{Name: "pkg/" + typ.name, Encoding: d.lang, Data: []byte(text)})
				if err != nil {
					t.Fatalf("%v in\n%s", err, text)
				}
				rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
				n := rapid.SampledFrom([]int{1, 2, 5, 300}).Draw(t, "messages")
				if n > 5 && counter > 4 {
					n = 20
				}
				data := make([]byte, rng.IntN(8)) // messages begin anywhere in a block
				var spans []message.Span
				var want []map[string]string
				for range n {
					e := &encoder{cdr: d.cdr, xcdr2: d.xcdr2, order: d.order, rng: rng}
					cells := make(map[string]string)
					e.message(typ, "", cells)
					start := uint32(len(data))
					data = append(append(data, d.head...), e.buf...)
					if d.cdr {
						data = append(data, make([]byte, rng.IntN(4))...)
					}
					spans = append(spans, message.Span{Start: start, End: uint32(len(data))})
					want = append(want, cells)
					data = append(data, make([]byte, rng.IntN(3))...)
				}
				check := func(names []string) {
					mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
					defer mem.AssertSize(t, 0)
					plan, err := layout.Compile(names)
					if err != nil {
						t.Fatal(err)
					}
					cols, got := columnsFor(mem, layout, names)
					bad := 0
					for at := 0; at < n; {
						to := min(n, at+1+rng.IntN(n))
						// Now and then a message that is cut short comes between.
						if s := spans[at]; bad < 3 && s.End-s.Start > 8 && rng.IntN(3) == 0 {
							bad++
							cut := message.Span{Start: s.Start, End: s.Start + 4 + uint32(rng.IntN(int(s.End-s.Start-7)))}
							batch := append(append([]message.Span(nil), spans[at:to]...), cut)
							k, err := plan.Append(cols, data, batch)
							if k < to-at || (err == nil) != (k == len(batch)) {
								t.Fatalf("%d of %d messages: %v", k, len(batch), err)
							}
							if err == nil { // a shorter message may be one, too
								for _, c := range cols {
									c.Truncate(to)
								}
							}
						} else if k, err := plan.Append(cols, data, spans[at:to]); err != nil {
							t.Fatalf("message %d: %v in\n%s\n%x", at+k, err, text, data[spans[at+k].Start:spans[at+k].End])
						}
						at = to
					}
					for i, c := range cols {
						a := c.Finish()
						if a.Len() != n {
							t.Fatalf("column %s has %d rows of %d", got[i], a.Len(), n)
						}
						for row := range n {
							if g, w := cell(a, row), want[row][got[i]]; g != w {
								t.Fatalf("row %d column %s:\n got %s\nwant %s\n%s", row, got[i], g, w, text)
							}
						}
						a.Release()
					}
				}
				check(nil)
				var names []string
				for _, f := range layout.Fields() {
					if len(want[0]) != len(layout.Fields()) {
						t.Fatalf("%d columns of %d in\n%s", len(layout.Fields()), len(want[0]), text)
					}
					if rng.IntN(3) == 0 {
						names = append(names, f.Name)
					}
				}
				if names == nil {
					names = []string{}
				}
				check(names)
			})
		})
	}
}
