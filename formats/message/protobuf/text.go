package protobuf

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/tree"
)

// text writes google.protobuf.Value and its kin as JSON text to Frame.Scratch.
type text struct {
	f  *tree.Frame
	id int32
}

func (j *text) fail(at int, code, detail string) bool { return j.f.Fail(code, at, j.id, detail) }

// next reads a field: bytes of a length lie in [from, to), varints are v.
func (j *text) next(pos, end int) (num int32, wt int, v uint64, from, to int) {
	b := j.f.Data
	num, wt, at := tag(b, pos, end)
	if at < 0 {
		return 0, 0, 0, 0, -1
	}
	switch wt {
	case wireBytes:
		n, from := varint(b, at, end)
		if from < 0 || n > uint64(end-from) {
			return 0, 0, 0, 0, -1
		}
		return num, wt, 0, from, from + int(n)
	case wireVarint:
		v, to = varint(b, at, end)
		return num, wt, v, at, to
	case wire64:
		if end-at < 8 {
			return 0, 0, 0, 0, -1
		}
		return num, wt, binary.LittleEndian.Uint64(b[at:]), at, at + 8
	}
	return num, wt, 0, at, skip(b, at, end, num, wt, 0)
}

func (j *text) put(s string) { j.f.Scratch = append(j.f.Scratch, s...) }

// object writes a Struct: a map of fields, number 1.
func (j *text) object(pos, end, depth int) bool {
	j.put("{")
	first := true
	for pos < end {
		num, wt, _, from, to := j.next(pos, end)
		if to < 0 {
			return j.fail(pos, message.Malformed, "")
		}
		if num == 1 && wt == wireBytes {
			if !first {
				j.put(",")
			}
			first = false
			if !j.entry(from, to, depth) {
				return false
			}
		}
		pos = to
	}
	j.put("}")
	return true
}

// entry writes a key, number 1, and a value, number 2.
func (j *text) entry(pos, end, depth int) bool {
	keyFrom, keyTo, from, to := pos, pos, pos, pos
	for at := pos; at < end; {
		num, wt, _, a, b := j.next(at, end)
		if b < 0 {
			return j.fail(at, message.Malformed, "")
		}
		if wt == wireBytes && num == 1 {
			keyFrom, keyTo = a, b
		} else if wt == wireBytes && num == 2 {
			from, to = a, b
		}
		at = b
	}
	if !j.quote(keyFrom, keyTo) {
		return false
	}
	j.put(":")
	return j.value(from, to, depth+1)
}

// list writes a ListValue: values, number 1.
func (j *text) list(pos, end, depth int) bool {
	j.put("[")
	first := true
	for pos < end {
		num, wt, _, from, to := j.next(pos, end)
		if to < 0 {
			return j.fail(pos, message.Malformed, "")
		}
		if num == 1 && wt == wireBytes {
			if !first {
				j.put(",")
			}
			first = false
			if !j.value(from, to, depth+1) {
				return false
			}
		}
		pos = to
	}
	j.put("]")
	return true
}

// value writes a Value: the last of its oneof counts, none is null.
func (j *text) value(pos, end, depth int) bool {
	if depth > maxNest {
		return j.fail(pos, message.TooDeep, "")
	}
	kind, v, from, to := int32(0), uint64(0), pos, pos
	for at := pos; at < end; {
		num, wt, x, a, b := j.next(at, end)
		if b < 0 {
			return j.fail(at, message.Malformed, "")
		}
		want := wireVarint
		switch num {
		case 2:
			want = wire64
		case 3, 5, 6:
			want = wireBytes
		}
		if num <= 6 && wt == want {
			kind, v, from, to = num, x, a, b
		}
		at = b
	}
	switch kind {
	case 2:
		x := math.Float64frombits(v)
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return j.fail(from, message.OutOfRange, "JSON has no such number")
		}
		j.f.Scratch = appendNumber(j.f.Scratch, x)
	case 3:
		return j.quote(from, to)
	case 4:
		j.f.Scratch = strconv.AppendBool(j.f.Scratch, v != 0)
	case 5:
		return j.object(from, to, depth)
	case 6:
		return j.list(from, to, depth)
	default:
		j.put("null")
	}
	return true
}

// appendNumber writes a number with the digits it needs, without an exponent
// where whole numbers are exact.
func appendNumber(b []byte, x float64) []byte {
	if math.Abs(x) < 1e15 && x == math.Trunc(x) {
		return strconv.AppendFloat(b, x, 'f', -1, 64)
	}
	return strconv.AppendFloat(b, x, 'g', -1, 64)
}

func (j *text) quote(from, to int) bool {
	s := j.f.Data[from:to]
	if !utf8.Valid(s) {
		return j.fail(from, message.InvalidUTF8, "")
	}
	j.f.Scratch = tree.AppendQuoted(j.f.Scratch, s)
	return true
}
