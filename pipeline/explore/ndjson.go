package explore

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// A cellWriter appends cell i of the array it was made for as JSON.
//
// Integers of all widths are written in full, floats as the shortest text
// that reads back as the same value, NaN and the infinities as the strings
// "NaN", "Infinity" and "-Infinity". Timestamps are RFC 3339 with nanoseconds,
// dates YYYY-MM-DD, durations integer nanoseconds, binary base64.
type cellWriter func(dst []byte, i int) []byte

// newCellWriter compiles the writer for one array.
func newCellWriter(a arrow.Array) (cellWriter, error) {
	w, err := newValueWriter(a)
	if err != nil || a.NullN() == 0 {
		return w, err
	}
	return func(dst []byte, i int) []byte {
		if a.IsNull(i) {
			return append(dst, "null"...)
		}
		return w(dst, i)
	}, nil
}

func signed[T int8 | int16 | int32 | int64](v func(int) T) cellWriter {
	return func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(v(i)), 10) }
}

func unsigned[T uint8 | uint16 | uint32 | uint64](v func(int) T) cellWriter {
	return func(dst []byte, i int) []byte { return strconv.AppendUint(dst, uint64(v(i)), 10) }
}

func newValueWriter(a arrow.Array) (cellWriter, error) {
	switch a := a.(type) {
	case *arrow.Null:
		return func(dst []byte, _ int) []byte { return append(dst, "null"...) }, nil
	case *arrow.Bool:
		return func(dst []byte, i int) []byte { return strconv.AppendBool(dst, a.Value(i)) }, nil
	case *arrow.Int8:
		return signed(a.Value), nil
	case *arrow.Int16:
		return signed(a.Value), nil
	case *arrow.Int32:
		return signed(a.Value), nil
	case *arrow.Int64:
		return signed(a.Value), nil
	case *arrow.Uint8:
		return unsigned(a.Value), nil
	case *arrow.Uint16:
		return unsigned(a.Value), nil
	case *arrow.Uint32:
		return unsigned(a.Value), nil
	case *arrow.Uint64:
		return unsigned(a.Value), nil
	case *arrow.Float32:
		return func(dst []byte, i int) []byte { return appendFloat(dst, float64(a.Value(i)), 32) }, nil
	case *arrow.Float64:
		return func(dst []byte, i int) []byte { return appendFloat(dst, a.Value(i), 64) }, nil
	case *arrow.String:
		return func(dst []byte, i int) []byte { return appendString(dst, a.Value(i)) }, nil
	case *arrow.Binary:
		return func(dst []byte, i int) []byte {
			dst = append(dst, '"')
			dst = base64.StdEncoding.AppendEncode(dst, a.Value(i))
			return append(dst, '"')
		}, nil
	case *arrow.Timestamp:
		return func(dst []byte, i int) []byte {
			dst = append(dst, '"')
			dst = time.Unix(0, int64(a.Value(i))).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000000Z")
			return append(dst, '"')
		}, nil
	case *arrow.Duration:
		return func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(a.Value(i)), 10) }, nil
	case *arrow.Date32:
		return func(dst []byte, i int) []byte {
			dst = append(dst, '"')
			dst = time.Unix(int64(a.Value(i))*86400, 0).UTC().AppendFormat(dst, time.DateOnly)
			return append(dst, '"')
		}, nil
	case *arrow.Decimal128:
		scale := a.DataType().(*arrow.Decimal128Type).Scale
		return func(dst []byte, i int) []byte { return append(dst, a.Value(i).ToString(scale)...) }, nil
	case *arrow.Dictionary:
		value, err := newCellWriter(a.Dictionary())
		if err != nil {
			return nil, err
		}
		return func(dst []byte, i int) []byte { return value(dst, a.GetValueIndex(i)) }, nil
	case *arrow.List:
		return listWriter(a.ListValues(), func(i int) (int, int) { s, e := a.ValueOffsets(i); return int(s), int(e) })
	case *arrow.FixedSizeList:
		n := int(a.DataType().(*arrow.FixedSizeListType).Len())
		return listWriter(a.ListValues(), func(i int) (int, int) { at := i + a.Data().Offset(); return at * n, (at + 1) * n })
	case *arrow.Struct:
		return structWriter(a)
	}
	return nil, fmt.Errorf("columns of type %s cannot be printed", a.DataType())
}

func listWriter(values arrow.Array, bounds func(int) (int, int)) (cellWriter, error) {
	w, err := newCellWriter(values)
	if err != nil {
		return nil, err
	}
	return func(dst []byte, i int) []byte {
		dst = append(dst, '[')
		from, to := bounds(i)
		for j := from; j < to; j++ {
			if j > from {
				dst = append(dst, ',')
			}
			dst = w(dst, j)
		}
		return append(dst, ']')
	}, nil
}

func structWriter(a *arrow.Struct) (cellWriter, error) {
	t := a.DataType().(*arrow.StructType)
	var keys [][]byte
	var ws []cellWriter
	for i, f := range t.Fields() {
		w, err := newCellWriter(a.Field(i))
		if err != nil {
			return nil, err
		}
		keys = append(keys, append(appendString(nil, f.Name), ':'))
		ws = append(ws, w)
	}
	return func(dst []byte, i int) []byte {
		dst = append(dst, '{')
		for k, w := range ws {
			if k > 0 {
				dst = append(dst, ',')
			}
			dst = w(append(dst, keys[k]...), i)
		}
		return append(dst, '}')
	}, nil
}

func appendFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	}
	abs := math.Abs(v)
	format := byte('f')
	if abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, bits)
}

const hexDigits = "0123456789abcdef"

// appendString writes s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD; string columns do not hold any.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[start:i]...), "\ufffd"...)
			i++
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
