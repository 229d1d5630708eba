package sort

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/spill"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

func newStage(t testing.TB, c Config) pipeline.Stage {
	t.Helper()
	for i := range c.By {
		c.By[i].Order, c.By[i].Nulls = cmp.Or(c.By[i].Order, "asc"), cmp.Or(c.By[i].Nulls, "first")
	}
	c.Memory = cmp.Or(c.Memory, 128<<20)
	return pipeline.Tables(&stage{c})
}

func by(names ...string) (keys []Key) {
	for _, n := range names {
		keys = append(keys, Key{Column: rowtest.Text(n)})
	}
	return keys
}

var everything = rowtest.Table("t",
	rowtest.F("i", arrow.Int64Type), rowtest.F("s", arrow.StringType), rowtest.F("f", arrow.Float64Type), rowtest.F("b", arrow.BoolType),
	rowtest.F("l", arrow.LabelType), rowtest.F("d", arrow.Date32Type), rowtest.F("u", arrow.Uint64Type), rowtest.F("t", arrow.TimeType),
	rowtest.F("none", arrow.Int64Type), rowtest.F("list", arrow.ListOf(arrow.Int32Type)), rowtest.F("n", arrow.Int32Type), rowtest.F("z", arrow.NullType))

func randomRows(r *rand.Rand, n int) [][]any {
	maybe := func(v any) any {
		if r.IntN(6) == 0 {
			return nil
		}
		return v
	}
	var rows [][]any
	for i := range n {
		rows = append(rows, []any{
			maybe(r.IntN(20) - 10), maybe(strings.Repeat("a\x00b"[:r.IntN(4)], r.IntN(3)) + fmt.Sprint(r.IntN(5))),
			maybe([]float64{0, math.Copysign(0, -1), -1, 2, math.Inf(1), math.NaN()}[r.IntN(6)]), maybe(r.IntN(2) == 0), maybe(fmt.Sprint("x", r.IntN(4))),
			maybe(r.IntN(100) - 50), maybe(r.Uint64()), maybe(time.Unix(int64(r.IntN(100)-50), 0)), nil, maybe([]any{i, r.IntN(3)}), i, nil,
		})
	}
	return rows
}

// nulls-only columns of the null type need no value; rowtest leaves them to us.
func record(mem arrow.Allocator, rows [][]any) arrow.Record {
	return rowtest.Record(mem, everything.Schema, rows...)
}

// However small the memory and the batches, rows come out the same, as a plain
// stable sort has them.
func TestAgainstPlainSort(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 7))
		rows := randomRows(r, 1+r.IntN(300))
		names := []string{"i", "s", "f", "b", "l", "d", "u", "t"}
		r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		keys := by(names[:1+r.IntN(3)]...)
		for i := range keys {
			keys[i].Order = []string{"asc", "desc"}[r.IntN(2)]
			keys[i].Nulls = []string{"first", "last"}[r.IntN(2)]
		}
		want := slices.Clone(rows)
		slices.SortStableFunc(want, func(a, b []any) int {
			for _, k := range keys {
				c := everything.Column(k.Column.Value)
				if v := compareKeys(a[c], b[c], k); v != 0 {
					return v
				}
			}
			return 0
		})
		expected := record(mem, want)
		text := rowtest.Rows(expected)
		expected.Release()
		for _, c := range []struct {
			memory pipeline.Size
			batch  int
		}{{1 << 20, 600}, {1 << 20, 1}, {1, 7}, {3000, 2}} {
			var recs []arrow.Record
			for i := 0; i < len(rows); i += c.batch {
				recs = append(recs, record(mem, rows[i:min(len(rows), i+c.batch)]))
			}
			dir := t.TempDir()
			got := rowtest.UnitSpilling(t, mem, spill.NewSpace(dir, 0), newStage(t, Config{By: keys, Memory: c.memory}), everything, recs...)
			if got.Err != nil {
				t.Fatal(got.Err)
			}
			if s := got.Text("t"); s != text {
				t.Fatalf("seed %d, keys %+v, %+v:\n%s\nwant\n%s", seed, keys, c, s, text)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	}
}

func compareKeys(a, b any, k Key) int {
	if a == nil || b == nil {
		c := 0
		if a == nil && b != nil {
			c = -1
		} else if a != nil {
			c = 1
		}
		if k.Nulls == "last" {
			return -c
		}
		return c
	}
	c := 0
	switch x := a.(type) {
	case int:
		c = cmp.Compare(x, b.(int))
	case uint64:
		c = cmp.Compare(x, b.(uint64))
	case string:
		c = bytes.Compare([]byte(x), []byte(b.(string)))
	case bool:
		switch {
		case x && !b.(bool):
			c = 1
		case !x && b.(bool):
			c = -1
		}
	case time.Time:
		c = x.Compare(b.(time.Time))
	case float64:
		y := b.(float64)
		switch {
		case x != x || y != y:
			c = -cmp.Compare(x, y) // NaN last
		default:
			c = cmp.Compare(x, y)
		}
	}
	if k.Order == "desc" {
		return -c
	}
	return c
}

// Slices keep the rows that they show, and no more, when they are spilled.
func TestSlices(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	rows := randomRows(rand.New(rand.NewPCG(3, 3)), 100)
	for i := range rows {
		rows[i][0] = i
	}
	whole := record(mem, rows)
	defer whole.Release()
	got := rowtest.UnitSpilling(t, mem, spill.NewSpace(t.TempDir(), 0), newStage(t, Config{By: by("i"), Memory: 1}), everything, whole.NewSlice(50, 100), whole.NewSlice(3, 50), whole.NewSlice(0, 3))
	if s := got.Text("t"); s != rowtest.Rows(whole) {
		t.Error(s)
	}
}

// A failure half way leaves nothing behind.
func TestFailures(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	dir := t.TempDir()
	rows := randomRows(rand.New(rand.NewPCG(1, 1)), 200)
	bound, err := newStage(t, Config{By: by("i"), Memory: 1}).Bind([]*pipeline.Table{everything})
	if err != nil {
		t.Fatal(err)
	}
	for _, fail := range []int{0, 1} {
		p, err := bound.Open(pipeline.ProcessOptions{Allocator: mem, Spill: spill.NewSpace(dir, 0)})
		if err != nil {
			t.Fatal(err)
		}
		var acct pipeline.Account
		for i := range 20 {
			if err := p.Process(t.Context(), &pipeline.Batch{Table: everything, Record: record(mem, rows[i*10:i*10+10])}, &acct, nil); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		broken := errors.New("downstream is gone")
		err = p.Flush(t.Context(), &acct, func(e pipeline.Element) error {
			e.Batch.Release()
			if n++; n > fail {
				return broken
			}
			return nil
		})
		if !errors.Is(err, broken) {
			t.Error(err)
		}
		p.Close()
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, space := range []*spill.Space{spill.NewSpace(dir+"/none", 0), spill.NewSpace(dir, 1)} {
		got := rowtest.UnitSpilling(t, mem, space, newStage(t, Config{By: by("i"), Memory: 1}), everything, record(mem, rows[:5]))
		if got.Err == nil || !strings.Contains(got.Err.Error(), "sorting table t") {
			t.Error(got.Err)
		}
	}
}

func TestMistakes(t *testing.T) {
	if _, err := newStage(t, Config{By: by("j", "list")}).Bind([]*pipeline.Table{everything}); err == nil ||
		!strings.Contains(err.Error(), `no column "j"`) || !strings.Contains(err.Error(), "has no order") {
		t.Error(err)
	}
	var issues pipeline.Issues
	(&Config{By: by("i", "i"), Memory: 5}).Validate(&issues)
	(&Config{}).Validate(&issues)
	if err := issues.Err(); err == nil || !strings.Contains(err.Error(), "twice") || !strings.Contains(err.Error(), "64KiB") || !strings.Contains(err.Error(), "no column") {
		t.Error(err)
	}
}

func BenchmarkSort(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	table := rowtest.Table("t", rowtest.F("model", arrow.StringType), rowtest.F("serial", arrow.StringType), rowtest.F("date", arrow.Date32Type), rowtest.F("v", arrow.Int64Type))
	var rows [][]any
	for range 20000 {
		rows = append(rows, []any{fmt.Sprint("ST", r.IntN(30)), fmt.Sprint("Z", r.Uint32()), r.IntN(31), r.IntN(1e9)})
	}
	mem := arrow.NewGoAllocator()
	rec := rowtest.Record(mem, table.Schema, rows...)
	for _, memory := range []pipeline.Size{1 << 30, 256 << 10} {
		b.Run(fmt.Sprint(memory>>10, "KiB"), func(b *testing.B) {
			bound, err := newStage(b, Config{By: by("model", "serial", "date"), Memory: memory}).Bind([]*pipeline.Table{table})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(recordBytes(rec))
			b.ReportAllocs()
			for b.Loop() {
				p, err := bound.Open(pipeline.ProcessOptions{Allocator: mem, Spill: spill.NewSpace(b.TempDir(), 0)})
				if err != nil {
					b.Fatal(err)
				}
				var acct pipeline.Account
				n := 0
				for i := int64(0); i < rec.NumRows(); i += 1000 {
					if err := p.Process(b.Context(), &pipeline.Batch{Table: table, Record: rec.NewSlice(i, i+1000)}, &acct, nil); err != nil {
						b.Fatal(err)
					}
				}
				err = p.Flush(b.Context(), &acct, func(e pipeline.Element) error {
					n += e.Batch.Rows()
					e.Batch.Release()
					return nil
				})
				p.Close()
				if err != nil || n != 20000 {
					b.Fatal(n, err)
				}
			}
		})
	}
}
