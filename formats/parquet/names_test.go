package parquet

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	pq "github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

func TestLakeName(t *testing.T) {
	for source, want := range map[string]string{
		"/sensors/lidar_front/points": "sensors_lidar_front_points",
		"pose.pose.position.X":        "pose_pose_position_x",
		"__hidden":                    "hidden",
		"9lives":                      "9lives",
		"Größe (m)":                   "gr__e__m_",
		"":                            "unnamed",
		"///":                         "unnamed",
		"_drivemill":                  "drivemill",
	} {
		if got := LakeName(source); got != want {
			t.Errorf("%q becomes %q, want %q", source, got, want)
		}
	}
}

// plan maps columns of int64, unless a type is given.
func testPlan(t *testing.T, m Mapping, fields ...arrow.Field) *plan {
	t.Helper()
	for i := range fields {
		if fields[i].Type == nil {
			fields[i].Type = arrow.Int64Type
		}
	}
	p, err := newPlan(&pipeline.Table{Name: "/t", Schema: arrow.NewSchema(fields, nil)}, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func planNames(p *plan) []string {
	var names []string
	for _, c := range p.columns {
		names = append(names, c.name)
	}
	return names
}

func TestColumnNames(t *testing.T) {
	role := pipeline.FieldMeta(pipeline.MetaRole, pipeline.RoleTime)
	fields := []arrow.Field{
		{Name: "ts", Type: arrow.TimeType, Metadata: role},
		{Name: "log_time", Type: arrow.TimeType},
		{Name: "a.b"}, {Name: "a_b"}, {Name: "A.b"}, {Name: "ts_ns"},
		{Name: "age", Type: arrow.SpanType}, {Name: "stamp_ns", Type: arrow.TimeType},
		{Name: "stamps", Type: arrow.ListOf(arrow.TimeType)},
		{Name: "s", Type: arrow.ListOf(arrow.StructOf(
			arrow.Field{Name: "X.y", Type: arrow.Int8Type}, arrow.Field{Name: "x_y", Type: arrow.TimeType}, arrow.Field{Name: "x.y", Type: arrow.Int8Type}))},
	}
	p := testPlan(t, Mapping{}, fields...)
	want := []string{"ts", "ts_ns", "log_time_ns", "a_b", "a_b_" + shortHash("a_b"), "a_b_" + shortHash("A.b"), "ts_ns_" + shortHash("ts_ns"),
		"age_ns", "stamp_ns", "stamps_ns", "s"}
	if got := planNames(p); !slices.Equal(got, want) {
		t.Errorf("columns\n%v\nwant\n%v", got, want)
	}
	if got := p.columns[10].fileType().String(); !strings.Contains(got, "x_y: int32, x_y_ns: int64, x_y_"+shortHash("x.y")+": int32") {
		t.Errorf("fields %s", got)
	}
	p = testPlan(t, Mapping{SourceNames: true, SourceTypes: true}, fields[0], fields[1], fields[2], fields[3], fields[4], fields[6])
	if got, want := planNames(p), []string{"ts", "log_time", "a.b", "a_b", "A.b", "age"}; !slices.Equal(got, want) {
		t.Errorf("columns %v, want %v", got, want)
	}
}

func TestDecimalWidth(t *testing.T) {
	for precision, want := range map[int]int{1: 1, 2: 1, 3: 2, 9: 4, 10: 5, 18: 8, 19: 9, 20: 9, 38: 16} {
		if got := decimalWidth(precision); got != want {
			t.Errorf("%d digits in %d bytes, want %d", precision, got, want)
		}
	}
}

func TestFloatBounds(t *testing.T) {
	negZero, nan := math.Copysign(0, -1), math.NaN()
	for _, c := range []struct {
		values []float64
		lo, hi float64
		ok     bool
	}{
		{[]float64{nan, 1, nan, -2}, -2, 1, true},
		{[]float64{0, 5}, negZero, 5, true},
		{[]float64{-5, negZero}, -5, 0, true},
		{[]float64{math.Inf(1)}, math.Inf(1), math.Inf(1), true},
		{[]float64{math.Inf(-1)}, math.Inf(-1), math.Inf(-1), true},
		{[]float64{nan}, nan, nan, false},
	} {
		l := &leaf{cell: cellDouble, typ: pq.DoubleType}
		a, b, ok := l.bounds(cellValues{n: len(c.values), plain: float64Bytes(c.values)}, nil)
		lo, hi := pq.Double.Value(a), pq.Double.Value(b)
		if ok != c.ok || math.Float64bits(lo.Double())<<1 != math.Float64bits(c.lo)<<1 && ok ||
			math.Signbit(lo.Double()) != math.Signbit(c.lo) || math.Signbit(hi.Double()) != math.Signbit(c.hi) && ok {
			t.Errorf("bounds of %v: %v, %v, %v", c.values, lo, hi, ok)
		}
	}
}

func float64Bytes(v []float64) []byte {
	var b []byte
	for _, f := range v {
		x := math.Float64bits(f)
		for i := range 8 {
			b = append(b, byte(x>>(8*i)))
		}
	}
	return b
}

// Bounds that were cut still are bounds.
func TestTextBounds(t *testing.T) {
	v := []byte(strings.Repeat("\x7fǅ", 22)) // cut behind a DEL, after which characters take two bytes
	if hi := cutAbove(v, true); bytes.Compare(hi, v) < 0 || len(hi) > maxBound {
		t.Errorf("bound %q", hi)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Bool().Draw(t, "text")
		var v []byte
		if text {
			v = []byte(strings.Repeat(rapid.StringN(0, 5, -1).Draw(t, "s"), rapid.IntRange(0, 60).Draw(t, "n")))
		} else {
			v = bytes.Repeat(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0x7f, 0xff}), 0, 3).Draw(t, "b"), rapid.IntRange(0, 60).Draw(t, "n"))
		}
		lo, hi := cut(v, text), cutAbove(v, text)
		if bytes.Compare(lo, v) > 0 || bytes.Compare(hi, v) < 0 {
			t.Fatalf("%q is not between %q and %q", v, lo, hi)
		}
		if len(lo) > maxBound || len(hi) > maxBound && !bytes.Equal(hi, v) {
			t.Fatalf("bounds of %d and %d bytes", len(lo), len(hi))
		}
	})
}

func TestDictionaryPays(t *testing.T) {
	mem := arrow.NewGoAllocator()
	rec := driveRecord(t, mem, 1000)
	if d := newDictionary(rec.Column(1), 0, 1000); d == nil || len(d.entries) != 1 {
		t.Error("one value a thousand times gets no dictionary")
	}
	if d := newDictionary(rec.Column(0), 0, 1000); d == nil || len(d.entries) != 1 || string(d.entries[0]) != "car-7" {
		t.Error("labels that nobody uses are in the dictionary")
	}
	if d := newDictionary(rec.Column(1), 0, 1); d != nil {
		t.Error("one value gets a dictionary")
	}
}

func TestPlanRefuses(t *testing.T) {
	for name, typ := range map[string]arrow.DataType{
		"label in a list": arrow.ListOf(arrow.LabelType),
		"microseconds":    &arrow.TimestampType{Unit: arrow.Microsecond},
		"empty struct":    arrow.ListOf(arrow.StructOf()),
	} {
		_, err := newPlan(&pipeline.Table{Name: "/t", Schema: arrow.NewSchema([]arrow.Field{{Name: "x", Type: typ}}, nil)}, Mapping{}, nil)
		if err == nil || !strings.Contains(err.Error(), "column x") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newPlan(&pipeline.Table{Name: "/t", Schema: arrow.NewSchema(nil, nil)}, Mapping{}, nil); err == nil {
		t.Error("a table without columns is accepted")
	}
}
