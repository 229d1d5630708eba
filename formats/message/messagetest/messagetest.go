// Package messagetest holds what tests of message encodings share: decoding
// some messages into rows of JSON, and a suite that every encoding must pass.
package messagetest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Block puts messages one behind the other, with bytes between that are of
// none of them.
func Block(msgs ...[]byte) (data []byte, spans []message.Span) {
	for _, m := range msgs {
		data = append(data, 0xfe)
		start := uint32(len(data))
		data = append(data, m...)
		spans = append(spans, message.Span{Start: start, End: uint32(len(data))})
	}
	return append(data, 0xff), spans
}

// Columns makes the columns of a layout that are named; nil means all.
func Columns(mem arrow.Allocator, l message.Layout, names []string) (fields []arrow.Field, cols []*column.Column) {
	for _, f := range l.Fields() {
		if names == nil || slices.Contains(names, f.Name) {
			fields = append(fields, f)
			cols = append(cols, column.New(mem, f.Type))
		}
	}
	return fields, cols
}

// Row is a message decoded: its cells as JSON by column, or why it was refused.
type Row struct {
	Cells  string
	Reason string
}

// Decode decodes messages in steps of so many, as an engine does: behind one
// that is refused it goes on.
func Decode(t testing.TB, l message.Layout, names []string, step int, msgs ...[]byte) []Row {
	t.Helper()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	plan, err := l.Compile(names)
	if err != nil {
		t.Fatal(err)
	}
	fields, cols := Columns(mem, l, names)
	data, spans := Block(msgs...)
	rows := make([]Row, 0, len(msgs))
	good := 0
	for at := 0; at < len(spans); {
		n, err := plan.Append(cols, data, spans[at:min(at+step, len(spans))])
		for range n {
			rows = append(rows, Row{})
		}
		at += n
		good += n
		if err != nil {
			var r message.RowError
			if !errors.As(err, &r) {
				t.Fatalf("error %v has no reason", err)
			}
			rows = append(rows, Row{Reason: r.Reason()})
			at++
		}
		for i, c := range cols {
			if c.N != good {
				t.Fatalf("column %s has %d values for %d rows", fields[i].Name, c.N, good)
			}
		}
	}
	cells := make([]strings.Builder, good)
	for i, c := range cols {
		a := c.Finish()
		for k := range good {
			if k < len(cells) {
				if i > 0 {
					cells[k].WriteString(" ")
				}
				cells[k].WriteString(fields[i].Name + "=" + Cell(a, k))
			}
		}
		a.Release()
	}
	k := 0
	for i := range rows {
		if rows[i].Reason == "" {
			rows[i].Cells = cells[k].String()
			k++
		}
	}
	return rows
}

// One decodes one message into its cells; a refused one gives its reason after
// an exclamation mark.
func One(t testing.TB, l message.Layout, msg []byte, names ...string) string {
	t.Helper()
	if len(names) == 0 {
		names = nil
	}
	r := Decode(t, l, names, 1, msg)[0]
	if r.Reason != "" {
		return "!" + r.Reason
	}
	return r.Cells
}

// Cell renders a value: integers exactly, binary as base64 after b:, floats so
// that they can be told apart.
func Cell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	switch a := a.(type) {
	case *arrow.Bool:
		return strconv.FormatBool(a.Value(i))
	case *arrow.Float32:
		return float(float64(a.Value(i)), 32)
	case *arrow.Float64:
		return float(a.Value(i), 64)
	case *arrow.String:
		return strconv.Quote(a.Value(i))
	case *arrow.Binary:
		return "b:" + base64.StdEncoding.EncodeToString(a.Value(i))
	case *arrow.Timestamp:
		return fmt.Sprintf("%dns", int64(a.Value(i)))
	case *arrow.Duration:
		return fmt.Sprintf("%dns", int64(a.Value(i)))
	case *arrow.List:
		from, to := a.ValueOffsets(i)
		return list(a.ListValues(), int(from), int(to))
	case *arrow.FixedSizeList:
		w := int(a.DataType().(*arrow.FixedSizeListType).Len())
		return list(a.ListValues(), i*w, (i+1)*w)
	case *arrow.Struct:
		var parts []string
		for k, f := range a.DataType().(*arrow.StructType).Fields() {
			parts = append(parts, f.Name+":"+Cell(a.Field(k), i))
		}
		return "{" + strings.Join(parts, " ") + "}"
	}
	return a.ValueStr(i)
}

func list(a arrow.Array, from, to int) string {
	var parts []string
	for i := from; i < to; i++ {
		parts = append(parts, Cell(a, i))
	}
	return "[" + strings.Join(parts, " ") + "]"
}

func float(v float64, bits int) string {
	if v == 0 && math.Signbit(v) {
		return "-0"
	}
	return strconv.FormatFloat(v, 'g', -1, bits)
}

// Suite decodes messages in many ways that must agree: all at once, one by
// one, each column alone, twice; cut at every byte, and with bytes changed,
// they must not do harm.
func Suite(t *testing.T, l message.Layout, msgs ...[]byte) {
	t.Helper()
	all := Decode(t, l, nil, len(msgs), msgs...)
	t.Run("steps", func(t *testing.T) {
		for _, step := range []int{1, 2, 7} {
			if got := Decode(t, l, nil, step, msgs...); !slices.Equal(got, all) {
				t.Errorf("in steps of %d:\n%q\nwant\n%q", step, got, all)
			}
		}
	})
	t.Run("columns", func(t *testing.T) { columnsAlone(t, l, all, msgs) })
	t.Run("damage", func(t *testing.T) { damage(t, l, all, msgs) })
	t.Run("allocations", func(t *testing.T) { allocations(t, l, msgs) })
}

// columnsAlone selects each column by itself: rows that decode whole must have
// the same cell.
func columnsAlone(t *testing.T, l message.Layout, all []Row, msgs [][]byte) {
	for _, f := range l.Fields() {
		got := Decode(t, l, []string{f.Name}, len(msgs), msgs...)
		for i, r := range got {
			if all[i].Reason == "" && (r.Reason != "" || !strings.Contains(" "+all[i].Cells+" ", " "+r.Cells+" ")) {
				t.Errorf("column %s alone: row %d is %q, in all: %q", f.Name, i, r, all[i])
			}
		}
	}
	if got := Decode(t, l, []string{}, len(msgs), msgs...); len(got) != len(msgs) {
		t.Errorf("without columns %d rows of %d", len(got), len(msgs))
	}
}

// damage puts cut and altered messages between sound ones, whose rows must not
// change.
func damage(t *testing.T, l message.Layout, all []Row, msgs [][]byte) {
	for i, m := range msgs {
		if len(m) > 600 {
			continue
		}
		mixed := [][]byte{m}
		sound := []int{0}
		for n := range m {
			mixed = append(mixed, m[:n], m)
			sound = append(sound, len(mixed)-1)
		}
		for n := range m {
			for _, x := range []byte{0xff, 0x80, 0x01, 0x20} {
				bad := slices.Clone(m)
				bad[n] ^= x
				mixed = append(mixed, bad)
			}
			mixed = append(mixed, m)
			sound = append(sound, len(mixed)-1)
		}
		rows := Decode(t, l, nil, 64, mixed...)
		for _, k := range sound {
			if rows[k] != all[i] {
				t.Fatalf("message %d between damaged ones is %q, want %q", i, rows[k], all[i])
			}
		}
	}
}

// allocations checks that decoding into columns with room allocates nothing.
func allocations(t *testing.T, l message.Layout, msgs [][]byte) {
	if Race {
		t.Skip("the race detector drops pooled memory")
	}
	plan, err := l.Compile(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, cols := Columns(arrow.NewGoAllocator(), l, nil)
	data, spans := Block(msgs...)
	run := func() {
		for _, c := range cols {
			c.Reset()
		}
		for at := 0; at < len(spans); {
			n, err := plan.Append(cols, data, spans[at:])
			if at += n; err != nil {
				at++
			}
		}
	}
	run()
	run()
	for _, r := range Decode(t, l, nil, len(msgs), msgs...) {
		if r.Reason != "" {
			return // errors may allocate
		}
	}
	if n := testing.AllocsPerRun(20, run); n > 0.5 {
		t.Errorf("%v allocations for %d messages", n, len(msgs))
	}
}

// Fuzz decodes a message that may be anything, alone and with each column
// alone, and checks that columns stay whole.
func Fuzz(t *testing.T, l message.Layout, msg []byte) {
	rows := Decode(t, l, nil, 3, msg, nil, msg)
	if rows[0] != rows[2] {
		t.Fatalf("the same message gives %q and %q", rows[0], rows[2])
	}
	for _, f := range l.Fields() {
		r := Decode(t, l, []string{f.Name}, 1, msg)[0]
		if rows[0].Reason == "" && r.Reason != "" {
			t.Fatalf("column %s alone is refused (%s), with others it is not", f.Name, r.Reason)
		}
	}
}

// Bench decodes messages again and again, b.N messages in all.
func Bench(b *testing.B, l message.Layout, names []string, msgs ...[]byte) {
	plan, err := l.Compile(names)
	if err != nil {
		b.Fatal(err)
	}
	_, cols := Columns(arrow.NewGoAllocator(), l, names)
	data, spans := Block(msgs...)
	size := 0
	for _, m := range msgs {
		size += len(m)
	}
	b.SetBytes(int64(size / len(msgs)))
	b.ReportAllocs()
	for done := 0; done < b.N; done += len(msgs) {
		for _, c := range cols {
			c.Reset()
		}
		n, err := plan.Append(cols, data, spans)
		if err != nil || n != len(spans) || len(cols) > 0 && cols[0].N != n {
			b.Fatal(n, err)
		}
	}
}
