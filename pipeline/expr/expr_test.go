package expr

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// sample is a table with a column of every kind, and a few rows.
func sample(mem arrow.Allocator) (*pipeline.Table, arrow.Record) {
	fields := []arrow.Field{
		{Name: "i", Type: arrow.Int64Type},
		{Name: "small", Type: arrow.Uint8Type},
		{Name: "u", Type: arrow.Uint64Type},
		{Name: "f", Type: arrow.Float64Type},
		{Name: "s", Type: arrow.StringType},
		{Name: "b", Type: arrow.BoolType},
		{Name: "ts", Type: arrow.TimeType},
		{Name: "d", Type: arrow.SpanType},
		{Name: "day", Type: arrow.Date32Type},
		{Name: "vehicle_id", Type: arrow.LabelType},
		{Name: "twist.twist.linear.x", Type: arrow.Float64Type},
		{Name: "twist.twist.linear.z", Type: arrow.Float64Type},
		{Name: "Engine Speed [rpm]", Type: arrow.Float32Type},
		{Name: "header.in", Type: arrow.Int16Type},
		{Name: "raw", Type: arrow.BinaryType},
		{Name: "ranges", Type: arrow.ListOf(arrow.Float64Type)},
		{Name: "cov", Type: arrow.FixedSizeListOf(2, arrow.Float64Type)},
		{Name: "none", Type: arrow.NullType},
	}
	schema := arrow.NewSchema(fields, nil)
	cols := make([]arrow.Array, len(fields))
	const rows = 4 // the last is null throughout
	for i, f := range fields {
		if f.Type.ID() == arrow.DICTIONARY {
			dict, codes := column.New(mem, arrow.StringType), column.New(mem, arrow.Int32Type)
			for _, l := range []string{"kit-1", "KIT-2"} {
				dict.AppendString(l)
			}
			for _, c := range []int32{0, 1, 0} {
				codes.AppendInt32(c)
			}
			codes.AppendNull()
			d, c := dict.Finish(), codes.Finish()
			cols[i] = arrow.NewDictionaryArray(f.Type, c, d)
			d.Release()
			c.Release()
			continue
		}
		c := column.New(mem, f.Type)
		for r := range rows {
			if r == rows-1 || f.Type.ID() == arrow.NULL {
				c.AppendNull()
				continue
			}
			switch f.Name {
			case "i":
				c.AppendInt64([]int64{-7, 0, math.MaxInt64}[r])
			case "small":
				c.AppendFixed([]byte{byte(200 + r)})
			case "u":
				c.AppendInt64([]int64{1, 0, -1}[r])
			case "f":
				c.AppendFloat64([]float64{2.5, 0, math.NaN()}[r])
			case "s":
				c.AppendString([]string{"gps", " Über ", "12"}[r])
			case "b":
				c.AppendBool(r == 0)
			case "ts":
				c.AppendInt64(time.Date(2024, 5, 1+r, 8, 0, 0, 500, time.UTC).UnixNano())
			case "d":
				c.AppendInt64(int64(time.Duration(r) * 1500 * time.Millisecond))
			case "day":
				c.AppendInt32(int32(19844 + r))
			case "raw":
				c.AppendString(strings.Repeat("x", r))
			case "ranges":
				for k := range r {
					c.Children[0].AppendFloat64(float64(k))
				}
				c.CloseValue(c.Children[0].N)
			case "cov":
				c.Children[0].AppendFloat64(1)
				c.Children[0].AppendFloat64(2)
				c.N++
			case "header.in":
				c.AppendFixed([]byte{byte(r), 0xff})
			case "Engine Speed [rpm]":
				b := math.Float32bits(float32(r) + 0.5)
				c.AppendInt32(int32(b))
			default:
				c.AppendFloat64(float64(r))
			}
		}
		cols[i] = c.Finish()
	}
	rec := arrow.NewRecord(schema, cols, rows)
	for _, c := range cols {
		c.Release()
	}
	return &pipeline.Table{Name: "/odom", Schema: schema}, rec
}

func text(s string) pipeline.Text {
	return pipeline.Text{Value: s, Pos: pipeline.Pos{File: "p.yaml", Line: 3, Col: 10}, Path: "stages.x.where"}
}

// render evaluates an expression and shows each row: the value, null, or the
// reason for which it is rejected.
func render(t testing.TB, p *Program, mem arrow.Allocator, rec arrow.Record) string {
	t.Helper()
	arr, rejected, err := p.Array(p.NewScratch(), mem, rec.Columns(), int(rec.NumRows()))
	if err != nil {
		t.Fatal(err)
	}
	defer arr.Release()
	if !arrow.TypeEqual(arr.DataType(), p.DataType()) || arr.Len() != int(rec.NumRows()) {
		t.Fatalf("%d rows of %s, want %d of %s", arr.Len(), arr.DataType(), rec.NumRows(), p.DataType())
	}
	out := make([]string, arr.Len())
	for i := range out {
		out[i] = "null"
		if !arr.IsNull(i) {
			out[i] = arr.ValueStr(i)
		}
	}
	for _, r := range rejected {
		if out[r.Row] != "null" && arr.DataType().ID() != arrow.NULL {
			t.Errorf("%s: rejected row %d has value %s", p, r.Row, out[r.Row])
		}
		out[r.Row] = "!" + r.Reason
	}
	return strings.Join(out, " | ")
}

func TestValues(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	table, rec := sample(mem)
	defer rec.Release()
	for _, c := range []struct{ text, kind, want string }{
		{"i + 1", "int64", "-6 | 1 | !integer_overflow | null"},
		{"i / 2", "int64", "-3 | 0 | 4611686018427387903 | null"},
		{"i / 2.0", "float64", "-3.5 | 0 | 4.611686018427388e+18 | null"},
		{"i % 4", "int64", "-3 | 0 | 3 | null"},
		{"10 / i", "int64", "-1 | !division_by_zero | 0 | null"},
		{"10.0 / i", "float64", "-1.4285714285714286 | +Inf | 1.0842021724855044e-18 | null"},
		{"u + 1", "uint64", "2 | 1 | !integer_overflow | null"},
		{"u - 1", "uint64", "0 | !integer_overflow | 18446744073709551614 | null"},
		{"u + i", "int64", "-6 | 0 | !integer_overflow | null"},
		{"u - i", "int64", "8 | 0 | !integer_overflow | null"},
		{"u / 2", "uint64", "0 | 0 | 9223372036854775807 | null"},
		{"u / -2", "int64", "0 | 0 | -9223372036854775807 | null"},
		{"-u", "int64", "-1 | 0 | !integer_overflow | null"},
		{"u == 18446744073709551615", "bool", "false | false | true | null"},
		{"u > i", "bool", "true | false | true | null"},
		{"i < 9223372036854775807.0", "bool", "true | true | true | null"},
		{"u > 1.5", "bool", "false | false | true | null"},
		{"i >= -7.5", "bool", "true | true | true | null"},
		{"i == 0.5", "bool", "false | false | false | null"},
		{"small * 2", "int64", "400 | 402 | 404 | null"},
		{"-9223372036854775808 < i", "bool", "true | true | true | null"},
		{"f > 1", "bool", "true | false | false | null"},
		{"f != f", "bool", "false | false | true | null"},
		{"is_nan(f)", "bool", "false | false | true | null"},
		{"not (f > 1)", "bool", "false | true | true | null"},
		{"f == nil", "bool", "false | false | false | true"},
		{"raw != nil", "bool", "true | true | true | false"},
		{"none == nil and b", "bool", "true | false | false | null"},
		{"f > 1 or b == nil", "bool", "true | false | false | true"},
		{"f > 1 and nil == 3", "bool", "false | false | false | false"},
		{"b or nil", "bool", "true | null | null | null"},
		{"i != 0 and 10 / i < 0", "bool", "true | false | false | null"},
		{"i == 0 or 10 / i < 0", "bool", "true | true | false | null"},
		{"i == 0 ? 0 : 10 / i", "int64", "-1 | 0 | 0 | null"},
		{"if i == 0 {0} else {10 / i}", "int64", "-1 | 0 | 0 | null"},
		{"b ? 'yes' : s", "string", "yes |  Über  | 12 | null"},
		{"i ?? (1 / 1)", "int64", "-7 | 0 | 9223372036854775807 | 1"},
		{"u ?? 5", "uint64", "1 | 0 | 18446744073709551615 | 5"},
		{"u ?? -5", "int64", "1 | 0 | !integer_overflow | -5"},
		{"coalesce(none, f, 3)", "float64", "2.5 | 0 | NaN | 3"},
		{"s == 'gps' or s > \"A\"", "bool", "true | false | false | null"},
		{"s in ['gps', '12']", "bool", "true | false | true | null"},
		{"s not in ['gps', '12']", "bool", "false | true | false | null"},
		{"s contains 'ber' or s startsWith 'g' or s endsWith '2'", "bool", "true | true | true | null"},
		{"s contains s", "bool", "true | true | true | null"},
		{"s matches '^[0-9]+$'", "bool", "false | false | true | null"},
		{"vehicle_id == 'kit-1'", "bool", "true | false | true | null"},
		{"lower(vehicle_id) startsWith 'kit-2'", "bool", "false | true | false | null"},
		{"(b ? lower(vehicle_id) : vehicle_id) matches 'K'", "bool", "false | true | false | null"},
		{"upper(trim(s)) + '/' + string(i)", "string", "GPS/-7 | ÜBER/0 | 12/9223372036854775807 | null"},
		{"len(s)", "int64", "3 | 6 | 2 | null"},
		{"len(raw) + len(ranges) + len(cov)", "int64", "2 | 4 | 6 | null"},
		{"int(s)", "int64", "!cast_invalid | !cast_invalid | 12 | null"},
		{"float(s)", "float64", "!cast_invalid | !cast_invalid | 12 | null"},
		{"int(f)", "int64", "2 | 0 | !integer_overflow | null"},
		{"int(u)", "int64", "1 | 0 | !integer_overflow | null"},
		{"int(b) + int(2.9)", "int64", "3 | 2 | 2 | null"},
		{"float(i)", "float64", "-7 | 0 | 9.223372036854776e+18 | null"},
		{"string(f)", "string", "2.5 | 0 | NaN | null"},
		{"string(ts)", "string", "2024-05-01T08:00:00.0000005Z | 2024-05-02T08:00:00.0000005Z | 2024-05-03T08:00:00.0000005Z | null"},
		{"ts >= timestamp('2024-05-02T10:00:00+02:00')", "bool", "false | true | true | null"},
		{"ts - timestamp('2024-05-01T08:00:00Z')", "duration", "500ns | 86400000000500ns | 172800000000500ns | null"},
		{"(ts - timestamp('2024-05-01T08:00:00Z')) / duration('1h')", "float64", "1.3888888888888888e-10 | 24.00000000013889 | 48.00000000013889 | null"},
		{"epoch_ns(ts + d * 2) % 1000000000", "int64", "500 | 500 | 500 | null"},
		{"d > duration('1s')", "bool", "false | true | true | null"},
		{"date(ts) == day", "bool", "true | true | true | null"},
		{"day > date('2024-05-01')", "bool", "false | true | true | null"},
		{"timestamp(day) < ts", "bool", "true | true | true | null"},
		{"twist.twist.linear.x * 3.6", "float64", "0 | 3.6 | 7.2 | null"},
		{"`twist.twist.linear.x` + twist.`twist`.linear.x", "float64", "0 | 2 | 4 | null"},
		{"`Engine Speed [rpm]` > 1", "bool", "false | true | true | null"},
		{"header.`in` < 0", "bool", "true | true | true | null"},
		{"header.in < 0", "bool", "true | true | true | null"},
		{"-1 < twist.twist.linear.x <= 1", "bool", "true | true | false | null"},
		{"min(i, 5, 2.5)", "float64", "-7 | 0 | 2.5 | null"},
		{"max(u, 5)", "uint64", "5 | 5 | 18446744073709551615 | null"},
		{"max(i, u)", "int64", "1 | 0 | !integer_overflow | null"},
		{"min(ts, nil) == nil", "bool", "true | true | true | true"},
		{"abs(i)", "int64", "7 | 0 | 9223372036854775807 | null"},
		{"round(f) + floor(-2.5) + ceil(0.1)", "float64", "1 | -2 | NaN | null"},
		{"sqrt(16) + pow(2, 3) + 2 ** 2 + atan2(0, 1) + exp(0) + log(1)", "float64", "17 | 17 | 17 | 17"},
		{"i in [0, -7.0, 2.5, 18446744073709551615]", "bool", "true | true | false | null"},
		{"u in [0, -1, 1.0]", "bool", "true | true | false | null"},
		{"i in [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]", "bool", "false | true | false | null"},
		{"f in [2.5, i]", "bool", "true | true | false | null"},
		{"b in [true]", "bool", "true | false | false | null"},
		{"nil", "nil", "(null) | (null) | (null) | (null)"},
		{"1 /* one */ + 2 // three", "int64", "3 | 3 | 3 | 3"},
		{"0x7fffffffffffffff + i - i", "int64", "9223372036854775807 | 9223372036854775807 | !integer_overflow | null"},
	} {
		p, err := Compile(text(c.text), table)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got := render(t, p, mem, rec)
		if p.Type().String() != c.kind || got != c.want {
			t.Errorf("%s: %s %s\nwant %s %s", c.text, p.Type(), got, c.kind, c.want)
		}
	}
}

func TestMistakes(t *testing.T) {
	table, rec := sample(arrow.NewGoAllocator())
	defer rec.Release()
	const at = "p.yaml:3:%d: stages.x.where: "
	for _, c := range []struct {
		text string
		col  int // in the text, from 1
		want string
	}{
		{"twist.twist.linear.z2 > 1", 1, `unknown column "twist.twist.linear.z2" (did you mean twist.twist.linear.z?)`},
		{"b and twist.twist.lineer.x > 1", 7, `unknown column "twist.twist.lineer.x" (did you mean twist.twist.linear.x?)`},
		{"`Motor` + 1", 1, `unknown column "Motor"`},
		{"i == null", 6, `unknown column "null" (did you mean nil?)`},
		{"s == 1.5", 3, "cannot compare string with float64"},
		{"ts > '2024-05-01T00:00:00Z'", 4, `cannot compare timestamp with string (did you mean timestamp("2024-05-01T00:00:00Z")?)`},
		{"b < true", 3, "< does not take bool"},
		{"flor(f)", 1, `unknown function "flor" (did you mean floor?)`},
		{"sqrt(s)", 6, "sqrt takes a number, not string"},
		{"sqrt(1, 2)", 1, "sqrt takes 1 argument, not 2"},
		{"min(1)", 1, "min takes at least 2 arguments, not 1"},
		{"s + 1", 3, "operator + does not take string and int64 (did you mean string(x)?)"},
		{"not i == 3", 1, "not takes bool, not int64; to negate a comparison write not (a == b)"},
		{"i and b", 1, "and takes bool, not int64"},
		{"i = 3", 3, `unexpected "=" (did you mean ==?)`},
		{"i <> 3", 4, `unexpected ">" (did you mean !=?)`},
		{"i > 3 AND b", 7, `unexpected "AND" (did you mean and?)`},
		{"i >", 4, "expression ends too early"},
		{"(i > 3", 7, "expression ends too early"},
		{"", 1, "expression is empty"},
		{"`abc", 1, "name in backticks is not closed"},
		{"a`abc`", 2, "a name in backticks stands alone, or between dots"},
		{"99999999999999999999 > i", 1, "99999999999999999999 does not fit an integer"},
		{"i > 10 / 0", 8, "constant cannot be computed: division by zero"},
		{"'ü' == s and s matches '('", 24, "error parsing regexp: missing closing ): `(`"},
		{"s matches s", 11, "matches takes a literal, so that it is checked before the start"},
		{"i in 3", 6, "in takes a list: x in [1, 2]"},
		{"i in [1, 'a']", 10, "cannot compare int64 with string"},
		{"i in [nil]", 7, "nil is in no list; test with == nil"},
		{"ranges[0] > 1", 1, "elements of lists cannot be taken; only names of columns have dots"},
		{"ranges == ranges", 8, "cannot compare opaque with opaque"},
		{"ts < nil", 4, "< with nil is never true; == nil and != nil test for null"},
		{"timestamp('yesterday') < ts", 11, `"yesterday" is not a timestamp such as 2024-05-01T08:00:00Z`},
		{"timestamp(s) < ts", 11, "timestamp takes a literal such as 2024-05-01T08:00:00Z or a date, not string"},
		{"duration('1 second') < d", 10, `"1 second" is not a duration such as 1.5s, 200ms or 1h30m`},
		{"let x = 1; x", 5, "let is not part of the language; compute a column first"},
		{"b ? 1 : 's'", 5, "?: mixes int64 and string"},
		{"i ^ 2", 3, "^ is not part of the language (did you mean **?)"},
		{"filter([1], # > 1)", 1, `unknown function "filter"`},
		{strings.Repeat("(", maxText+1), 1, "expression has 16385 bytes, the limit is 16384"},
		{"\xff", 1, "expression is not valid UTF-8"},
	} {
		_, err := Compile(text(c.text), table)
		if err == nil {
			t.Errorf("%s: no mistake found", c.text)
			continue
		}
		var is pipeline.Issues
		if !is.Add(err) {
			t.Errorf("%s: %T", c.text, err)
			continue
		}
		want := fmt.Sprintf(at, 9+c.col) + c.want
		if got := is.All()[0].Error(); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", c.text, got, want)
		}
	}
	// All mistakes at once, no follow-up ones.
	_, err := Compile(text("a > 1 and bb < 2 and s + 1 == 3"), table)
	var is *pipeline.Issues
	if !errors.As(err, &is) || len(is.All()) != 3 {
		t.Errorf("three mistakes: %v", err)
	}
}

func TestColumnsRead(t *testing.T) {
	table, rec := sample(arrow.NewGoAllocator())
	defer rec.Release()
	p, err := Compile(text("f > 1 and i < 2 or f < 0"), table)
	if err != nil || strings.Join(p.Columns(), ",") != "f,i" {
		t.Errorf("columns %v, %v", p.Columns(), err)
	}
	p, err = Compile(text("`Engine Speed [rpm]`"), table)
	if name, ok := p.Column(); err != nil || !ok || name != "Engine Speed [rpm]" || p.DataType() != arrow.Float32Type {
		t.Errorf("column %q %v, type %s, %v", name, ok, p.DataType(), err)
	}
}
