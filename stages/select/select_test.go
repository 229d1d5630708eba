package selectcols

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

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

func TestCasts(t *testing.T) {
	noon := time.Date(2024, 5, 1, 12, 0, 0, 1, time.UTC)
	midnight := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		from arrow.DataType
		to   string
		in   []any
		want string // values, or the reason in brackets
	}{
		{arrow.Int64Type, "int8", []any{127, 128, -128, -129, nil}, "127 (cast_overflow) -128 (cast_overflow) null"},
		{arrow.Int8Type, "uint64", []any{-1, 5}, "(cast_overflow) 5"},
		{arrow.Int64Type, "uint64", []any{math.MaxInt64}, "9223372036854775807"},
		{arrow.Uint64Type, "int64", []any{uint64(1 << 63), 7}, "(cast_overflow) 7"},
		{arrow.Uint64Type, "float64", []any{uint64(1 << 63), uint64(math.MaxUint64), 7}, "9.223372036854776e+18 (cast_inexact) 7"},
		{arrow.Uint64Type, "string", []any{uint64(math.MaxUint64), 7}, "18446744073709551615 7"},
		{arrow.Int64Type, "float64", []any{1 << 53, 1<<53 + 1, math.MaxInt64, math.MinInt64}, "9.007199254740992e+15 (cast_inexact) (cast_inexact) -9.223372036854776e+18"},
		{arrow.Int32Type, "float32", []any{1 << 24, 1<<24 + 1, math.MaxInt32}, "1.6777216e+07 (cast_inexact) (cast_inexact)"},
		{arrow.Float64Type, "int32", []any{2.0, 2.5, 1e10, math.NaN(), math.Inf(1), -0.0}, "2 (cast_inexact) (cast_overflow) (cast_invalid) (cast_overflow) 0"},
		{arrow.Float64Type, "uint64", []any{0x1p63, -1.0, 0x1p64}, "9223372036854775808 (cast_overflow) (cast_overflow)"},
		{arrow.Float64Type, "float32", []any{0.5, 0.1, 1e39, math.Inf(1), math.NaN()}, "0.5 (cast_inexact) (cast_overflow) +Inf NaN"},
		{arrow.Float32Type, "float64", []any{0.5}, "0.5"},
		{arrow.Float32Type, "string", []any{0.1, 2.0}, "0.1 2"},
		{arrow.BoolType, "int8", []any{true, false}, "1 0"},
		{arrow.BoolType, "string", []any{true, false}, "true false"},
		{arrow.BoolType, "float32", []any{true}, "1"},
		{arrow.Int16Type, "bool", []any{1, 0, 2}, "true false (cast_overflow)"},
		{arrow.StringType, "int16", []any{"12", "-7", "99999", "1.5", "", "99999999999999999999"}, "12 -7 (cast_overflow) (cast_invalid) (cast_invalid) (cast_overflow)"},
		{arrow.StringType, "uint64", []any{"18446744073709551615", "-1", "x"}, "18446744073709551615 (cast_overflow) (cast_invalid)"},
		{arrow.StringType, "float64", []any{"0.1", "1e999", "NaN", "1,5"}, "0.1 (cast_overflow) NaN (cast_invalid)"},
		{arrow.StringType, "float32", []any{"0.1", "1e39"}, "0.1 (cast_overflow)"},
		{arrow.StringType, "bool", []any{"true", "false", "1", "TRUE"}, "true false (cast_invalid) (cast_invalid)"},
		{arrow.StringType, "timestamp", []any{"2024-05-01T14:00:00.000000001+02:00", "2024-05-01", "1500-01-01T00:00:00Z"}, "2024-05-01 12:00:00.000000001Z (cast_invalid) (cast_overflow)"},
		{arrow.StringType, "date", []any{"2024-05-01", "2024-02-30"}, "2024-05-01 (cast_invalid)"},
		{arrow.LabelType, "string", []any{"a", nil, "b"}, "a null b"},
		{arrow.LabelType, "int32", []any{"1", "b"}, "1 (cast_invalid)"},
		{arrow.TimeType, "int64", []any{noon}, "1714564800000000001"},
		{arrow.TimeType, "int32", []any{noon}, "(cast_overflow)"},
		{arrow.TimeType, "string", []any{noon}, "2024-05-01T12:00:00.000000001Z"},
		{arrow.TimeType, "date", []any{midnight, noon}, "2024-05-01 (cast_inexact)"},
		{arrow.Int64Type, "timestamp", []any{1}, "1970-01-01 00:00:00.000000001Z"},
		{arrow.Uint64Type, "timestamp", []any{1, uint64(1 << 63)}, "1970-01-01 00:00:00.000000001Z (cast_overflow)"},
		{arrow.SpanType, "int64", []any{time.Second}, "1000000000"},
		{arrow.Date32Type, "timestamp", []any{19844, math.MaxInt32}, "2024-05-01 00:00:00Z (cast_overflow)"},
		{arrow.Date32Type, "string", []any{19844}, "2024-05-01"},
		{arrow.NullType, "int32", []any{nil, nil}, "null null"},
	} {
		t.Run(c.from.String()+" to "+c.to, func(t *testing.T) {
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			defer mem.AssertSize(t, 0)
			rows := make([][]any, len(c.in))
			for i, v := range c.in {
				rows[i] = []any{v}
			}
			rec := rowtest.Record(mem, arrow.NewSchema([]arrow.Field{{Name: "c", Type: c.from, Nullable: true}}, nil), rows...)
			defer rec.Release()
			cast, ok := newCaster(c.from, castTypes[c.to], c.to)
			if !ok {
				t.Fatal("no such cast")
			}
			reasons := map[int]string{}
			// A slice must read from its own first row.
			for from := range len(c.in) {
				part := arrow.NewSlice(rec.Column(0), int64(from), int64(len(c.in)))
				out, err := cast.run(mem, part, func(row int, reason string) { reasons[from+row] = reason })
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for i := range out.Len() {
					switch {
					case reasons[from+i] != "":
						got = append(got, "("+reasons[from+i]+")")
						if !out.IsNull(i) {
							t.Errorf("row %d is rejected and has a value", i)
						}
					case out.IsNull(i):
						got = append(got, "null")
					default:
						got = append(got, out.ValueStr(i))
					}
				}
				if from == 0 && strings.Join(got, " ") != c.want {
					t.Errorf("%s\nwant %s", strings.Join(got, " "), c.want)
				}
				if !strings.HasSuffix(c.want, strings.Join(got, " ")) && from > 0 {
					t.Errorf("from row %d: %s\nwant the end of %s", from, strings.Join(got, " "), c.want)
				}
				out.Release()
				part.Release()
			}
		})
	}
}
