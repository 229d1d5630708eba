package filter

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

var table = rowtest.Table("/odom", rowtest.F("a", arrow.Int64Type), rowtest.F("s", arrow.LabelType), rowtest.F("b", arrow.BoolType))

func bind(where string) (*pipeline.Binding, error) {
	spec := Spec()
	c := spec.Config().(*Config)
	c.Where = rowtest.Text(where)
	st, err := spec.New(context.Background(), c, nil)
	if err != nil {
		return nil, err
	}
	return st.Bind([]*pipeline.Table{table})
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		where, rows string
		records     []int64
		filtered    int64
		bad         []string
	}{
		{"a > 1", "2 gps true\n4 imu false\n", []int64{102, 104}, 3, nil},
		{"a >= 0 or b or s == 'gps'", "0 gps true\n1 imu null\n2 gps true\nnull gps true\n4 imu false\n", []int64{100, 101, 102, 103, 104}, 0, nil},
		{"a > 100", "", nil, 5, nil},
		{"b", "0 gps true\n2 gps true\nnull gps true\n", []int64{100, 102, 103}, 2, nil},
		{"not b", "4 imu false\n", []int64{104}, 4, nil},
		{"b == nil", "1 imu null\n", []int64{101}, 4, nil},
		{"4 / a >= 2", "1 imu null\n2 gps true\n", []int64{101, 102}, 2, []string{"/odom@100  division_by_zero"}},
		{"a + 9223372036854775806 > 0", "0 gps true\n1 imu null\n", []int64{100, 101}, 1, []string{"/odom@102  integer_overflow", "/odom@104  integer_overflow"}},
		{"true", "0 gps true\n1 imu null\n2 gps true\nnull gps true\n4 imu false\n", []int64{100, 101, 102, 103, 104}, 0, nil},
	} {
		t.Run(c.where, func(t *testing.T) {
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			defer mem.AssertSize(t, 0)
			b, err := bind(c.where)
			if err != nil {
				t.Fatal(err)
			}
			rec := rowtest.Record(mem, table.Schema,
				[]any{0, "gps", true}, []any{1, "imu", nil}, []any{2, "gps", true}, []any{nil, "gps", true}, []any{4, "imu", false})
			r := rowtest.Run(t, mem, b, table, rec)
			if r.Rows != c.rows || !slices.Equal(r.Records, c.records) || r.Account.Filtered != c.filtered || !slices.Equal(r.Bad, c.bad) {
				t.Errorf("%+v\nwant %+v", r, c)
			}
		})
	}
}

func TestLineage(t *testing.T) {
	b, err := bind("a > 1 and s == 'gps'")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := rowtest.Lineage(b.Outputs[0]), "a <- a =\ns <- s =\nb <- b =\nFILTER a\nFILTER s\n"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if b.Outputs[0].Table == table {
		t.Error("input and output are the same table")
	}
}

func TestMistakes(t *testing.T) {
	for where, want := range map[string]string{
		"a + 1":  "p.yaml:7:20: stages.x: the condition is a bool, not int64",
		"nil":    "p.yaml:7:20: stages.x: the condition is always null, which keeps no row",
		"b or c": `p.yaml:7:25: stages.x: unknown column "c" (did you mean a?)`,
	} {
		if _, err := bind(where); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", where, err, want)
		}
	}
}

// A batch that another branch holds too is left alone.
func TestSharedBatch(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	b, err := bind("true")
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Open(pipeline.ProcessOptions{Allocator: mem})
	if err != nil {
		t.Fatal(err)
	}
	in := &pipeline.Batch{Table: table, Record: rowtest.Record(mem, table.Schema, []any{1, "x", true})}
	in.Retain()
	err = p.Process(context.Background(), in, new(pipeline.Account), func(e pipeline.Element) error {
		e.Batch.Release()
		return nil
	})
	if err != nil || in.Table != table || in.Rows() != 1 {
		t.Errorf("table %p, %d rows, %v", in.Table, in.Rows(), err)
	}
	in.Release()
}

func BenchmarkFilter(b *testing.B) {
	mem := arrow.NewGoAllocator()
	const n = 64 << 10
	rows := make([][]any, n)
	for i := range rows {
		rows[i] = []any{i, fmt.Sprint("label", i%7), i%3 == 0}
	}
	rec := rowtest.Record(mem, table.Schema, rows...)
	bound, err := bind("a % 2 == 0 and s != 'label3'")
	if err != nil {
		b.Fatal(err)
	}
	p, err := bound.Open(pipeline.ProcessOptions{Allocator: mem})
	if err != nil {
		b.Fatal(err)
	}
	var acct pipeline.Account
	b.ReportAllocs()
	for b.Loop() {
		rec.Retain()
		err := p.Process(context.Background(), &pipeline.Batch{Table: table, Record: rec}, &acct, func(e pipeline.Element) error {
			if e.Batch.Rows() != 28087 {
				b.Fatalf("%d rows", e.Batch.Rows())
			}
			e.Batch.Release()
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
}
