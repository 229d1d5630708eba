package column

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Reasons for which a value cannot be cast.
const (
	CastOverflow = "cast_overflow"
	CastInexact  = "cast_inexact"
	CastInvalid  = "cast_invalid"
)

var castTypes = map[string]arrow.DataType{
	"bool": arrow.BoolType,
	"int8": arrow.Int8Type, "int16": arrow.Int16Type, "int32": arrow.Int32Type, "int64": arrow.Int64Type,
	"uint8": arrow.Uint8Type, "uint16": arrow.Uint16Type, "uint32": arrow.Uint32Type, "uint64": arrow.Uint64Type,
	"float32": arrow.Float32Type, "float64": arrow.Float64Type,
	"string": arrow.StringType, "timestamp": arrow.TimeType, "date": arrow.Date32Type,
}

// CastType finds the type that pipelines call name. The error is a mistake at
// the place of the name.
func CastType(name pipeline.Text) (arrow.DataType, error) {
	if t, ok := castTypes[name.Value]; ok {
		return t, nil
	}
	i := name.Issuef(0, "unknown type %q", name.Value)
	i.Suggestion = pipeline.Nearest(name.Value, slices.Sorted(maps.Keys(castTypes)))
	return nil, i
}

// family groups the types that are read, and written, alike.
type family uint8

const (
	none family = iota
	nothing
	boolean
	integer // read as int64
	natural // uint64
	floating
	textual
	label
	instant
	span
	day
)

func familyOf(t arrow.DataType) family {
	switch t.ID() {
	case arrow.NULL:
		return nothing
	case arrow.BOOL:
		return boolean
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32:
		return integer
	case arrow.UINT64:
		return natural
	case arrow.FLOAT32, arrow.FLOAT64:
		return floating
	case arrow.STRING:
		return textual
	case arrow.TIMESTAMP:
		return instant
	case arrow.DURATION:
		return span
	case arrow.DATE32:
		return day
	case arrow.DICTIONARY:
		if arrow.TypeEqual(t, arrow.LabelType) {
			return label
		}
	}
	return none
}

// Cast turns arrays of one type into another, exactly. It is immutable.
//
// A value lies outside of the new type (cast_overflow), would be rounded or cut
// (cast_inexact), or is no spelling of it (cast_invalid), or it is cast. Null
// stays null. Integers and timestamps cast to each other as nanoseconds since
// 1970, texts to timestamps from RFC 3339. A text becomes the nearest float: it
// names the float that it is read as.
type Cast struct {
	from, to arrow.DataType
	source   family
	target   family
}

// NewCast reports whether there is a cast from one type to another.
func NewCast(from, to arrow.DataType) (*Cast, bool) {
	c := &Cast{from: from, to: to, source: familyOf(from), target: familyOf(to)}
	number := c.target == integer || c.target == natural || c.target == floating
	switch c.source {
	case nothing:
		return c, true
	case boolean:
		return c, number || c.target == textual
	case integer, natural:
		return c, number || c.target == boolean || c.target == textual || c.target == instant
	case floating:
		return c, number || c.target == textual
	case textual, label:
		return c, true
	case instant:
		return c, c.target == integer || c.target == natural || c.target == textual || c.target == day
	case span:
		return c, c.target == integer || c.target == natural
	case day:
		return c, c.target == instant || c.target == textual
	}
	return nil, false
}

// Run casts an array. Values that do not fit are told to bad and are null in
// the result, which the caller owns. It fails only when texts add up to more
// than 2 GiB.
func (c *Cast) Run(mem arrow.Allocator, arr arrow.Array, bad func(row int, reason string)) (arrow.Array, error) {
	out := New(mem, c.to)
	n := arr.Len()
	if arr.NullN() == n || c.source == nothing {
		out.AppendNulls(n)
		return out.Finish(), nil
	}
	r := newReader(arr)
	for i := range n {
		if arr.IsNull(i) {
			out.AppendNull()
			continue
		}
		reason := c.one(out, r, i)
		if reason != "" {
			bad(i, reason)
			out.AppendNull()
		}
		if len(out.Data) > math.MaxInt32-math.MaxUint16 && c.target == textual {
			out.Release()
			return nil, fmt.Errorf("strings of one batch exceed 2 GiB: %w", pipeline.ErrLimit)
		}
	}
	return out.Finish(), nil
}

// one appends value i, or returns why it does not fit.
func (c *Cast) one(out *Column, r *reader, i int) string {
	switch c.source {
	case boolean:
		v := int64(0)
		if r.bools.Value(i) {
			v = 1
		}
		if c.target == textual {
			out.AppendString(strconv.FormatBool(v == 1))
			return ""
		}
		return c.integer(out, v)
	case integer:
		return c.integer(out, r.integer(i))
	case natural:
		v := r.u64[i]
		switch {
		case v <= math.MaxInt64:
			return c.integer(out, int64(v))
		case c.target == floating:
			return c.natural(out, v)
		case c.target == textual:
			out.AppendString(strconv.FormatUint(v, 10))
			return ""
		}
		return CastOverflow
	case floating:
		return c.float(out, r.float(i))
	case textual, label:
		if r.codes != nil && r.texts.IsNull(int(r.codes[i])) {
			out.AppendNull()
			return ""
		}
		return c.text(out, r.text(i))
	case instant:
		return c.instant(out, r.i64[i])
	case span:
		return c.integer(out, r.i64[i])
	}
	d := int64(r.i32[i])
	if c.target == textual {
		out.AppendString(time.Unix(d*86400, 0).UTC().Format(time.DateOnly))
		return ""
	}
	const perDay = int64(24 * time.Hour)
	if d > math.MaxInt64/perDay || d < math.MinInt64/perDay {
		return CastOverflow
	}
	out.AppendInt64(d * perDay)
	return ""
}

// integer writes an int64 as any type but date.
func (c *Cast) integer(out *Column, v int64) string {
	switch c.target {
	case boolean:
		if v != 0 && v != 1 {
			return CastOverflow
		}
		out.AppendBool(v == 1)
	case instant:
		out.AppendInt64(v)
	case textual:
		var buf [24]byte
		out.AppendBytes(strconv.AppendInt(buf[:0], v, 10))
	case floating:
		f := float64(v)
		if c.to.ID() == arrow.FLOAT32 {
			f = float64(float32(v))
		}
		// 2^63 itself is not an int64, but int64(2^63) may pass for the greatest.
		if f >= 1<<63 || int64(f) != v {
			return CastInexact
		}
		c.appendFloat(out, f)
	default:
		lo, hi := c.bounds()
		if v < lo || v > 0 && uint64(v) > hi {
			return CastOverflow
		}
		var buf [8]byte
		binary.LittleEndian.PutUint64(buf[:], uint64(v))
		out.AppendFixed(buf[:out.Width])
	}
	return ""
}

// natural writes an uint64 beyond int64 as a float.
func (c *Cast) natural(out *Column, v uint64) string {
	f := float64(v)
	if c.to.ID() == arrow.FLOAT32 {
		f = float64(float32(v))
	}
	if f >= 1<<64 || uint64(f) != v {
		return CastInexact
	}
	c.appendFloat(out, f)
	return ""
}

func (c *Cast) appendFloat(out *Column, f float64) {
	if c.to.ID() == arrow.FLOAT32 {
		out.AppendInt32(int32(math.Float32bits(float32(f))))
		return
	}
	out.AppendFloat64(f)
}

// bounds of an integer type.
func (c *Cast) bounds() (lo int64, hi uint64) {
	switch c.to.ID() {
	case arrow.INT8:
		return math.MinInt8, math.MaxInt8
	case arrow.INT16:
		return math.MinInt16, math.MaxInt16
	case arrow.INT32:
		return math.MinInt32, math.MaxInt32
	case arrow.INT64:
		return math.MinInt64, math.MaxInt64
	case arrow.UINT8:
		return 0, math.MaxUint8
	case arrow.UINT16:
		return 0, math.MaxUint16
	case arrow.UINT32:
		return 0, math.MaxUint32
	}
	return 0, math.MaxUint64
}

// float writes a float64 as a number or text.
func (c *Cast) float(out *Column, f float64) string {
	switch c.target {
	case floating:
		if c.to.ID() == arrow.FLOAT32 && f == f && float64(float32(f)) != f {
			if math.IsInf(float64(float32(f)), 0) {
				return CastOverflow
			}
			return CastInexact
		}
		c.appendFloat(out, f)
		return ""
	case textual:
		size := 64
		if c.from.ID() == arrow.FLOAT32 {
			size = 32
		}
		var buf [32]byte
		out.AppendBytes(strconv.AppendFloat(buf[:0], f, 'g', -1, size))
		return ""
	}
	switch {
	case f != f:
		return CastInvalid
	case f < -1<<63 || f >= 1<<64:
		return CastOverflow
	case f != math.Trunc(f):
		return CastInexact
	case f >= 1<<63:
		if c.target != natural {
			return CastOverflow
		}
		out.AppendInt64(int64(uint64(f)))
		return ""
	}
	return c.integer(out, int64(f))
}

// text reads a text as any type. Numbers that have no exact float become the
// nearest one: a text names the float that it is read as.
func (c *Cast) text(out *Column, s string) string {
	if c.target != textual && len(s) > 400 {
		return CastInvalid
	}
	switch c.target {
	case textual:
		out.AppendString(s)
	case boolean:
		if s != "true" && s != "false" {
			return CastInvalid
		}
		out.AppendBool(s == "true")
	case integer:
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return numberReason(err)
		}
		return c.integer(out, v)
	case natural:
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			if _, signed := strconv.ParseInt(s, 10, 64); signed == nil {
				return CastOverflow // a negative number
			}
			return numberReason(err)
		}
		out.AppendInt64(int64(v))
	case floating:
		size := 64
		if c.to.ID() == arrow.FLOAT32 {
			size = 32
		}
		f, err := strconv.ParseFloat(s, size)
		if err != nil {
			return numberReason(err)
		}
		c.appendFloat(out, f)
	case instant:
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return CastInvalid
		}
		if !time.Unix(0, t.UnixNano()).Equal(t) {
			return CastOverflow
		}
		out.AppendInt64(t.UnixNano())
	default:
		t, err := time.Parse(time.DateOnly, s)
		if err != nil {
			return CastInvalid
		}
		out.AppendInt32(int32(t.Unix() / 86400))
	}
	return ""
}

func numberReason(err error) string {
	if errors.Is(err, strconv.ErrRange) {
		return CastOverflow
	}
	return CastInvalid
}

// instant writes nanoseconds since 1970.
func (c *Cast) instant(out *Column, ns int64) string {
	switch c.target {
	case textual:
		var buf [40]byte
		out.AppendBytes(time.Unix(0, ns).UTC().AppendFormat(buf[:0], time.RFC3339Nano))
	case day:
		const perDay = int64(24 * time.Hour)
		if ns%perDay != 0 {
			return CastInexact
		}
		out.AppendInt32(int32(ns / perDay))
	default:
		return c.integer(out, ns)
	}
	return ""
}

// reader gives typed access to the values of an array.
type reader struct {
	bools *arrow.Bool
	i8    []int8
	i16   []int16
	i32   []int32
	i64   []int64
	u8    []uint8
	u16   []uint16
	u32   []uint32
	u64   []uint64
	f32   []float32
	f64   []float64
	texts *arrow.String
	codes []int32
	id    arrow.TypeID
}

func newReader(arr arrow.Array) *reader {
	r := &reader{id: arr.DataType().ID()}
	switch a := arr.(type) {
	case *arrow.Bool:
		r.bools = a
	case *arrow.Int8:
		r.i8 = a.Int8Values()
	case *arrow.Int16:
		r.i16 = a.Int16Values()
	case *arrow.Int32:
		r.i32 = a.Int32Values()
	case *arrow.Int64:
		r.i64 = a.Int64Values()
	case *arrow.Uint8:
		r.u8 = a.Uint8Values()
	case *arrow.Uint16:
		r.u16 = a.Uint16Values()
	case *arrow.Uint32:
		r.u32 = a.Uint32Values()
	case *arrow.Uint64:
		r.u64 = a.Uint64Values()
	case *arrow.Float32:
		r.f32 = a.Float32Values()
	case *arrow.Float64:
		r.f64 = a.Float64Values()
	case *arrow.String:
		r.texts = a
	case *arrow.Dictionary:
		r.texts = a.Dictionary().(*arrow.String)
		r.codes = a.Indices().(*arrow.Int32).Int32Values()
	case *arrow.Timestamp:
		r.i64 = arrow.Int64s(a.Data().Buffers()[1].Bytes())[a.Data().Offset():]
	case *arrow.Duration:
		r.i64 = arrow.Int64s(a.Data().Buffers()[1].Bytes())[a.Data().Offset():]
	case *arrow.Date32:
		r.i32 = arrow.Int32s(a.Data().Buffers()[1].Bytes())[a.Data().Offset():]
	}
	return r
}

func (r *reader) integer(i int) int64 {
	switch r.id {
	case arrow.INT8:
		return int64(r.i8[i])
	case arrow.INT16:
		return int64(r.i16[i])
	case arrow.INT32:
		return int64(r.i32[i])
	case arrow.UINT8:
		return int64(r.u8[i])
	case arrow.UINT16:
		return int64(r.u16[i])
	case arrow.UINT32:
		return int64(r.u32[i])
	}
	return r.i64[i]
}

func (r *reader) float(i int) float64 {
	if r.f32 != nil {
		return float64(r.f32[i])
	}
	return r.f64[i]
}

func (r *reader) text(i int) string {
	if r.codes != nil {
		i = int(r.codes[i])
	}
	return r.texts.Value(i)
}
