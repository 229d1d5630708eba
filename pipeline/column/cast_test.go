package column

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

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
		{arrow.Float64Type, "int32", []any{2.0, 2.5, 1e10, math.NaN(), math.Inf(1), math.Copysign(0, -1)}, "2 (cast_inexact) (cast_overflow) (cast_invalid) (cast_overflow) 0"},
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
			arr := castInput(mem, c.from, c.in)
			defer arr.Release()
			to, err := CastType(pipeline.Text{Value: c.to})
			if err != nil {
				t.Fatal(err)
			}
			cast, ok := NewCast(c.from, to)
			if !ok {
				t.Fatal("no such cast")
			}
			reasons := map[int]string{}
			// A slice must read from its own first row.
			for from := range len(c.in) {
				part := arrow.NewSlice(arr, int64(from), int64(len(c.in)))
				out, err := cast.Run(mem, part, func(row int, reason string) { reasons[from+row] = reason })
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

// castInput builds a column of any castable type; nil is null.
func castInput(mem arrow.Allocator, dt arrow.DataType, vals []any) arrow.Array {
	if dt.ID() == arrow.DICTIONARY {
		dict, codes := New(mem, arrow.StringType), New(mem, arrow.Int32Type)
		for i, v := range vals {
			if v == nil {
				codes.AppendNull()
				continue
			}
			codes.AppendInt32(int32(dict.N))
			dict.AppendString(vals[i].(string))
		}
		d, c := dict.Finish(), codes.Finish()
		defer d.Release()
		defer c.Release()
		return arrow.NewDictionaryArray(dt, c, d)
	}
	c := New(mem, dt)
	for _, v := range vals {
		var u uint64
		switch v := v.(type) {
		case nil:
			c.AppendNull()
			continue
		case bool:
			c.AppendBool(v)
			continue
		case string:
			c.AppendString(v)
			continue
		case int:
			u = uint64(v)
		case uint64:
			u = v
		case float64:
			u = math.Float64bits(v)
			if c.Width == 4 {
				u = uint64(math.Float32bits(float32(v)))
			}
		case time.Time:
			u = uint64(v.UnixNano())
		case time.Duration:
			u = uint64(v)
		}
		var raw [8]byte
		binary.LittleEndian.PutUint64(raw[:], u)
		c.AppendFixed(raw[:c.Width])
	}
	return c.Finish()
}

func TestCastMistakes(t *testing.T) {
	if _, err := CastType(pipeline.Text{Value: "int33"}); err == nil || !strings.Contains(err.Error(), "did you mean int32?") {
		t.Errorf("unknown type: %v", err)
	}
	for _, c := range [][2]arrow.DataType{
		{arrow.Float64Type, arrow.BoolType}, {arrow.BoolType, arrow.TimeType}, {arrow.BinaryType, arrow.StringType}, {arrow.ListOf(arrow.Int8Type), arrow.StringType},
	} {
		if _, ok := NewCast(c[0], c[1]); ok {
			t.Errorf("%s casts to %s", c[0], c[1])
		}
	}
}
