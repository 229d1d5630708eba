package derive

import (
	"context"
	"slices"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

var table = rowtest.Table("/odom",
	rowtest.F("vehicle_id", arrow.LabelType, pipeline.MetaRole, pipeline.RoleAttribute),
	rowtest.F("ts", arrow.TimeType, pipeline.MetaRole, pipeline.RoleTime),
	rowtest.F("v", arrow.Float32Type, pipeline.MetaUnit, "m/s"),
	rowtest.F("n", arrow.Int64Type),
	rowtest.F("xs", arrow.ListOf(arrow.Int32Type)),
)

func bind(units pipeline.Map[pipeline.Text], kv ...string) (*pipeline.Binding, error) {
	spec := Spec()
	c := spec.Config().(*Config)
	c.Columns, c.Units = rowtest.Map(kv...), units
	st, err := spec.New(context.Background(), c, nil)
	if err != nil {
		return nil, err
	}
	return st.Bind([]*pipeline.Table{table})
}

func TestDerive(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	b, err := bind(rowtest.Map("kmh", "km/h"),
		"kmh", "v * 3.6", "fast", "kmh > 10", "n", "100 / n", "who", "lower(vehicle_id) + '!'", "copy", "v", "count", "len(xs)", "all", "xs")
	if err != nil {
		t.Fatal(err)
	}
	rec := rowtest.Record(mem, table.Schema,
		[]any{"KIT", 0, 2.5, 3, []any{1, 2}},
		[]any{"KIT", 1, 5.0, 0, nil},
		[]any{nil, 2, nil, nil, []any{}},
		[]any{"VW", 3, 10.0, -1, []any{7}})
	r := rowtest.Run(t, mem, b, table, rec)
	want := "KIT 1970-01-01 00:00:00Z 2.5 33 [1,2] 9 false kit! 2.5 2 [1,2]\n" +
		"null 1970-01-01 00:00:00.000000002Z null null [] null null null null 0 []\n" +
		"VW 1970-01-01 00:00:00.000000003Z 10 -100 [7] 36 true vw! 10 1 [7]\n"
	if r.Rows != want {
		t.Errorf("rows\n%swant\n%s", r.Rows, want)
	}
	if want := []string{"/odom@101 n division_by_zero"}; !slices.Equal(r.Bad, want) || !slices.Equal(r.Records, []int64{100, 102, 103}) {
		t.Errorf("bad rows %v, records %v", r.Bad, r.Records)
	}
	out := b.Outputs[0]
	if got, want := rowtest.Lineage(out), "vehicle_id <- vehicle_id =\nts <- ts =\nv <- v =\nn <- n [100 / n]\nxs <- xs =\n"+
		"kmh <- v [v * 3.6]\nfast <- v [kmh > 10]\nwho <- vehicle_id [lower(vehicle_id) + '!']\ncopy <- v = [v]\ncount <- xs [len(xs)]\nall <- xs = [xs]\n"; got != want {
		t.Errorf("lineage\n%swant\n%s", got, want)
	}
	for name, unit := range map[string]string{"kmh": "km/h", "copy": "m/s", "v": "m/s", "fast": ""} {
		got, _ := out.Table.Schema.Field(out.Table.Column(name)).Metadata.GetValue(pipeline.MetaUnit)
		if got != unit {
			t.Errorf("unit of %s is %q, want %q", name, got, unit)
		}
	}
}

// A row that fails in two columns is rejected once, for the first.
func TestRejectedOnce(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	b, err := bind(pipeline.Map[pipeline.Text]{}, "x", "n + 9223372036854775807", "y", "1 / (n - 1)", "z", "1 / (n - 2)")
	if err != nil {
		t.Fatal(err)
	}
	rec := rowtest.Record(mem, table.Schema, []any{"a", 0, 1.0, 2, nil}, []any{"a", 0, 1.0, 1, nil}, []any{"a", 0, 1.0, -1, nil})
	r := rowtest.Run(t, mem, b, table, rec)
	if want := []string{"/odom@100 x integer_overflow", "/odom@101 x integer_overflow"}; !slices.Equal(r.Bad, want) {
		t.Errorf("bad rows %v, want %v", r.Bad, want)
	}
	if want := "a 1970-01-01 00:00:00Z 1 -1 null 9223372036854775806 0 0\n"; r.Rows != want {
		t.Errorf("rows %q, want %q", r.Rows, want)
	}
}

// Replacing a clock by something that is no time leaves the table without it.
func TestReplacedClock(t *testing.T) {
	for value, clocks := range map[string]int{"ts + duration('1s')": 1, "epoch_ns(ts)": 0} {
		b, err := bind(pipeline.Map[pipeline.Text]{}, "ts", value)
		if err != nil {
			t.Fatal(err)
		}
		out := b.Outputs[0].Table
		role, _ := out.Schema.Field(1).Metadata.GetValue(pipeline.MetaRole)
		if len(out.Clocks) != clocks || (role == pipeline.RoleTime) != (clocks == 1) {
			t.Errorf("%s: clocks %v, role %q", value, out.Clocks, role)
		}
	}
	if len(table.Clocks) != 1 {
		t.Errorf("the input lost its clock")
	}
}

func TestMistakes(t *testing.T) {
	_, err := bind(pipeline.Map[pipeline.Text]{}, "a", "vv * 2", "b", "a + 1", "c", "a", "d", "nil", "e", "s'")
	want := "p.yaml:7:20: stages.x: unknown column \"vv\" (did you mean v?)\n" +
		"p.yaml:7:20: stages.x: the column would always be null\n" +
		"p.yaml:7:22: stages.x: literal not terminated"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
	_, err = bind(rowtest.Map("speeds", "km/h"), "speed", "v")
	if want := `p.yaml:7:20: stages.x: unit of a column that is not computed here: "speeds" (did you mean speed?)`; err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}
