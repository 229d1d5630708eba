package drivestats

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// begin is how the first line of every file begins.
const begin = "date,serial_number,model,capacity_bytes,failure"

// memory is an object held in memory. It hands out bytes in pieces of a few sizes.
type memory struct {
	name string
	data []byte
	step int
}

func (m *memory) Object() pipeline.Object {
	return pipeline.Object{URI: "mem://" + m.name, Key: m.name, Size: int64(len(m.data)), ETag: "1"}
}

func (m *memory) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(m.data).ReadAt(p, off)
}

func (m *memory) Reader(_ context.Context, off, n int64) (io.ReadCloser, error) {
	end := int64(len(m.data))
	if n >= 0 {
		end = min(end, off+n)
	}
	return io.NopCloser(&stepper{bytes.NewReader(m.data[off:end]), m.step}), nil
}

type stepper struct {
	io.Reader
	step int
}

func (s *stepper) Read(p []byte) (int, error) {
	if s.step > 0 && len(p) > s.step {
		p = p[:s.step]
	}
	return s.Reader.Read(p)
}

// table is what a decoder delivered, as text.
type table struct {
	names     []string
	rows      [][]string // null is "\x00"
	ordinals  []int64
	batches   []int
	marks     []int64
	bad       []pipeline.BadRow
	counts    pipeline.TableCounts
	problems  []pipeline.Problem
	described *pipeline.Description
	err       error
}

const null = "\x00"

func (t *table) column(name string) []string {
	for i, n := range t.names {
		if n == name {
			out := make([]string, len(t.rows))
			for r, row := range t.rows {
				out[r] = row[i]
			}
			return out
		}
	}
	return nil
}

func (t *table) problem(kind string) string {
	for _, p := range append(append([]pipeline.Problem(nil), t.described.Problems...), t.problems...) {
		if p.Kind == kind {
			return p.Detail
		}
	}
	return ""
}

// decode reads a whole object.
func decode(t testing.TB, src *memory, sel pipeline.Selection, opt pipeline.DecodeOptions) *table {
	t.Helper()
	return decodeSource(t, src, sel, opt)
}

func decodeSource(t testing.TB, src pipeline.Source, sel pipeline.Selection, opt pipeline.DecodeOptions) *table {
	t.Helper()
	out := &table{}
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	opt.Allocator = mem
	if opt.Reject == nil {
		opt.Reject = func(r pipeline.BadRow) error {
			r.Raw = bytes.Clone(r.Raw)
			out.bad = append(out.bad, r)
			return nil
		}
	}
	ctx := context.Background()
	d, err := New().Describe(ctx, src)
	if err != nil {
		out.err = err
		return out
	}
	out.described = d
	dec, err := New().Open(ctx, src, d, sel, opt)
	if err != nil {
		out.err = err
		return out
	}
	defer dec.Close()
	for {
		e, err := dec.Next(ctx)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				out.err = err
			}
			break
		}
		if e.Batch == nil {
			out.marks = append(out.marks, e.Mark.Record)
			continue
		}
		out.names = e.Batch.Table.ColumnNames()
		out.batches = append(out.batches, e.Batch.Rows())
		start := len(out.rows)
		for r := range e.Batch.Rows() {
			out.rows = append(out.rows, make([]string, len(out.names)))
			out.ordinals = append(out.ordinals, e.Batch.Origin.At(r))
		}
		for c, a := range e.Batch.Record.Columns() {
			if a.Len() != e.Batch.Rows() || !arrow.TypeEqual(a.DataType(), e.Batch.Table.Schema.Field(c).Type) {
				t.Fatalf("column %s: %d values of %s", out.names[c], a.Len(), a.DataType())
			}
			nulls := 0
			for r := range a.Len() {
				out.rows[start+r][c] = text(a, r)
				if a.IsNull(r) {
					nulls++
				}
			}
			if nulls != a.NullN() {
				t.Fatalf("column %s has %d nulls, says %d", out.names[c], nulls, a.NullN())
			}
		}
		e.Batch.Release()
	}
	out.counts, out.problems = dec.Counts()[0], dec.Problems()
	rejected := int64(0)
	for _, n := range out.counts.Rejected {
		rejected += n
	}
	if c := out.counts; out.err == nil && (c.Found != c.Decoded+c.Unselected+rejected || c.Decoded != int64(len(out.rows))) {
		t.Fatalf("counts do not balance: %+v, %d rows", c, len(out.rows))
	}
	return out
}

func text(a arrow.Array, r int) string {
	if a.IsNull(r) {
		return null
	}
	switch a := a.(type) {
	case *arrow.Int64:
		return strconv.FormatInt(a.Value(r), 10)
	case *arrow.Int32:
		return strconv.FormatInt(int64(a.Value(r)), 10)
	case *arrow.Bool:
		return strconv.FormatBool(a.Value(r))
	case *arrow.Date32:
		return dateString(int32(a.Value(r)))
	case *arrow.String:
		if v := a.Value(r); utf8.ValidString(v) {
			return v
		}
		return "invalid UTF-8"
	}
	return fmt.Sprintf("unexpected %T", a)
}

// oracle reads text with encoding/csv and converts cells with strconv: what a
// decoder must deliver. Bad cells are null. ok is false where encoding/csv
// finds fault or the reader does more than it.
func oracle(name string, data []byte) (names []string, rows [][]string, fields int, ok bool) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	r.FieldsPerRecord = -1
	all, err := r.ReadAll()
	if err != nil || len(all) == 0 {
		return nil, nil, 0, false
	}
	u := known()
	for _, c := range u.columns {
		names = append(names, c.name)
	}
	kinds := make(map[string]kind)
	for _, c := range u.columns {
		kinds[c.name] = c.kind
	}
	at := make(map[string]int)
	for i, n := range all[0] {
		if _, twice := at[n]; twice || n == "" {
			continue
		}
		at[n] = i
		if _, ok := kinds[n]; !ok {
			kinds[n] = unknownKind(n)
			names = append(names, n)
		}
	}
	day, named := dayOf(name)
	for _, rec := range all[1:] {
		if len(rec) != len(all[0]) {
			fields++
			continue
		}
		if strings.Join(rec, ",") == strings.Join(all[0], ",") {
			continue
		}
		row := make([]string, len(names))
		for c, n := range names {
			row[c] = null
			i, has := at[n]
			if !has {
				continue
			}
			row[c] = oracleCell(kinds[n], rec[i], day, named)
		}
		rows = append(rows, row)
	}
	return names, rows, fields, true
}

func oracleCell(k kind, s string, day int32, named bool) string {
	if k == kindDate {
		t, err := time.Parse(time.DateOnly, s)
		d := int32(math.Floor(float64(t.Unix()) / 86400))
		switch {
		case named && (err != nil || d < day-1 || d > day+1):
			return dateString(day)
		case err != nil:
			return null
		}
		return dateString(d)
	}
	if s == "" {
		return null
	}
	switch k {
	case kindInt64, kindInt32:
		bits := 64
		if k == kindInt32 {
			bits = 32
		}
		v, err := strconv.ParseInt(s, 10, bits)
		if err != nil || s[0] == '+' {
			return null
		}
		return strconv.FormatInt(v, 10)
	case kindBool:
		switch s {
		case "1", "true", "True", "TRUE":
			return "true"
		case "0", "false", "False", "FALSE":
			return "false"
		}
		return null
	}
	if !utf8.ValidString(s) {
		return null
	}
	return s
}

func diff(t testing.TB, names []string, got, want [][]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for r := range want {
		for c := range want[r] {
			if got[r][c] != want[r][c] {
				t.Fatalf("row %d, column %s: %q, want %q", r, names[c], got[r][c], want[r][c])
			}
		}
	}
}

// meter counts the bytes that are held.
type meter struct{ now int64 }

func (m *meter) Allocate(n int) []byte { m.now += int64(n); return make([]byte, n) }

func (m *meter) Reallocate(n int, b []byte) []byte {
	m.now += int64(n - len(b))
	return append(make([]byte, 0, n), b[:min(n, len(b))]...)[:n]
}

func (m *meter) Free(b []byte) { m.now -= int64(len(b)) }

// batches hands each batch of an object to see, which does not keep it.
func batches(t testing.TB, src *memory, mem arrow.Allocator, see func(*pipeline.Batch)) {
	t.Helper()
	ctx := context.Background()
	d, err := New().Describe(ctx, src)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := New().Open(ctx, src, d, all, pipeline.DecodeOptions{Allocator: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	n := 0
	for {
		e, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		see(e.Batch)
		n++
		e.Batch.Release()
	}
	if n == 0 {
		t.Fatal("no batches")
	}
}
