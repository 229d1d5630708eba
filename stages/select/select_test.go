package selectcols

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

var table = rowtest.Table("/odom",
	rowtest.F("vehicle_id", arrow.LabelType, pipeline.MetaRole, pipeline.RoleAttribute),
	rowtest.F("ts", arrow.TimeType, pipeline.MetaRole, pipeline.RoleTime),
	rowtest.F("header.stamp", arrow.TimeType, pipeline.MetaRole, pipeline.RoleClock),
	rowtest.F("pose.x", arrow.Float64Type, pipeline.MetaUnit, "m"),
	rowtest.F("pose.y", arrow.Float64Type),
	rowtest.F("speed", arrow.Int64Type),
	rowtest.F("odd [*]", arrow.StringType),
)

func bind(in *pipeline.Table, c Config) (*pipeline.Binding, error) {
	st, err := Spec().New(context.Background(), &c, nil)
	if err != nil {
		return nil, err
	}
	return st.Bind([]*pipeline.Table{in})
}

func TestColumns(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		want   string
		clocks string
	}{
		{"all", Config{Leading: true}, "vehicle_id ts header.stamp pose.x pose.y speed odd [*]", "ts header.stamp"},
		{"listed", Config{Leading: true, Columns: rowtest.Texts("speed", "pose.*")}, "vehicle_id ts header.stamp speed pose.x pose.y", "ts header.stamp"},
		{"without leading", Config{Columns: rowtest.Texts("pose.?", "ts", "pose.x")}, "pose.x pose.y ts", "ts"},
		{"dropped", Config{Leading: true, Drop: rowtest.Texts("*.x", "header.stamp", "odd [*]")}, "vehicle_id ts pose.y speed", "ts"},
		{"renamed", Config{Columns: rowtest.Texts("ts", "*e*d"), Rename: rowtest.Map("v", "speed", "time", "ts")}, "time vehicle_id v", "time"},
		{"swapped", Config{Columns: rowtest.Texts("pose.*"), Rename: rowtest.Map("pose.x", "pose.y", "pose.y", "pose.x")}, "pose.y pose.x", ""},
		{"cast clock", Config{Columns: rowtest.Texts("ts"), Cast: rowtest.Map("ts", "int64")}, "ts", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := bind(table, c.config)
			if err != nil {
				t.Fatal(err)
			}
			out := b.Outputs[0].Table
			var clocks []string
			for _, clock := range out.Clocks {
				clocks = append(clocks, clock.Column)
			}
			if got := strings.Join(out.ColumnNames(), " "); got != c.want || strings.Join(clocks, " ") != c.clocks {
				t.Errorf("columns %s, clocks %s\nwant %s, %s", got, clocks, c.want, c.clocks)
			}
		})
	}
}

func TestLineageAndMetadata(t *testing.T) {
	b, err := bind(table, Config{Columns: rowtest.Texts("pose.x", "speed"), Rename: rowtest.Map("px", "pose.x"), Cast: rowtest.Map("px", "float32", "speed", "int64")})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := rowtest.Lineage(b.Outputs[0]), "px <- pose.x [cast(pose.x as float32)]\nspeed <- speed =\n"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	m := b.Outputs[0].Table.Schema.Field(0).Metadata
	unit, _ := m.GetValue(pipeline.MetaUnit)
	source, _ := m.GetValue(pipeline.MetaSource)
	if unit != "m" || source != "pose.x" {
		t.Errorf("unit %q, source name %q", unit, source)
	}
}

func TestMistakes(t *testing.T) {
	const at = "p.yaml:7:20: stages.x: "
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Columns: rowtest.Texts("sped", "twist.*")}, at + `unknown column "sped" (did you mean speed?)` + "\n" + at + `no column matches "twist.*"`},
		{Config{Drop: rowtest.Texts("pose.z")}, at + `unknown column "pose.z" (did you mean pose.x?)`},
		{Config{Drop: rowtest.Texts("*")}, at + "no column of table /odom is left"},
		{Config{Columns: rowtest.Texts("ts"), Rename: rowtest.Map("v", "speed", "w", "sped")}, at + `column "speed" is not selected` + "\n" + at + `unknown column "sped" (did you mean speed?)`},
		{Config{Rename: rowtest.Map("ts", "speed")}, at + `two columns would be called "ts"`},
		{Config{Rename: rowtest.Map("a", "speed", "b", "speed")}, at + `column "speed" is renamed twice`},
		{Config{Cast: rowtest.Map("speed", "int33")}, at + `unknown type "int33" (did you mean int32?)`},
		{Config{Cast: rowtest.Map("spee", "int32")}, at + `unknown column "spee" (did you mean speed?)`},
		{Config{Cast: rowtest.Map("pose.x", "date")}, at + "cannot cast float64 to date"},
	} {
		if _, err := bind(table, c.config); err == nil || err.Error() != c.want {
			t.Errorf("%v\nwant\n%s", err, c.want)
		}
	}
}

func TestRows(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	b, err := bind(table, Config{Columns: rowtest.Texts("speed", "pose.x"), Rename: rowtest.Map("x", "pose.x"), Cast: rowtest.Map("speed", "uint8", "x", "float32")})
	if err != nil {
		t.Fatal(err)
	}
	rec := rowtest.Record(mem, table.Schema,
		[]any{"kit", 0, 0, 0.5, 0.0, 255, ""},
		[]any{"kit", 1, 0, 0.1, 0.0, 256, ""},
		[]any{"kit", 2, 0, 0.1, 0.0, 1, ""},
		[]any{"kit", 3, 0, nil, 0.0, nil, ""},
		[]any{"kit", 4, 0, 1e39, 0.0, 7, ""})
	r := rowtest.Run(t, mem, b, table, rec)
	if want := "255 0.5\nnull null\n"; r.Rows != want {
		t.Errorf("rows %q, want %q", r.Rows, want)
	}
	if want := []string{"/odom@101 speed cast_overflow", "/odom@102 x cast_inexact", "/odom@104 x cast_overflow"}; !slices.Equal(r.Bad, want) || !slices.Equal(r.Records, []int64{100, 103}) {
		t.Errorf("bad rows %v, records %v", r.Bad, r.Records)
	}
}
