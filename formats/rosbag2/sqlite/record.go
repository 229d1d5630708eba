package sqlite

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf16"

	"github.com/drivemill/drivemill/pipeline"
)

// Kind is the storage class of a value.
type Kind uint8

// The storage classes.
const (
	Null Kind = iota
	Integer
	Real
	Text
	Blob
)

// Value is one value of a record. Bytes lie in the payload it was read from.
type Value struct {
	Kind  Kind
	Int   int64
	Real  float64
	Bytes []byte
}

var errRecord = fmt.Errorf("a record contradicts its own lengths: %w", pipeline.ErrCorrupt)

// Varint reads a number of up to 9 bytes. n is 0 when b ends within it.
func Varint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	for i, c := range b {
		if i == 8 {
			return v<<8 | uint64(c), 9
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// widths are the sizes of values by serial type below 10.
var widths = [10]uint8{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}

// Size is the length in bytes of a value of a serial type.
func Size(serial uint64) uint64 {
	switch {
	case serial < 10:
		return uint64(widths[serial])
	case serial < 12:
		return math.MaxUint64 // reserved
	}
	return (serial - 12) / 2
}

// Int reads an integer of a serial type from 0 to 6, 8 or 9; b has its bytes.
func Int(serial uint64, b []byte) int64 {
	switch serial {
	case 1:
		return int64(int8(b[0]))
	case 2:
		return int64(int16(binary.BigEndian.Uint16(b)))
	case 3:
		return int64(int8(b[0]))<<16 | int64(binary.BigEndian.Uint16(b[1:]))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b)))
	case 5:
		return int64(int16(binary.BigEndian.Uint16(b)))<<32 | int64(binary.BigEndian.Uint32(b[2:]))
	case 6:
		return int64(binary.BigEndian.Uint64(b))
	case 9:
		return 1
	}
	return 0
}

// Record appends the values of a payload to out.
func Record(payload []byte, out []Value) ([]Value, error) {
	head, n := Varint(payload)
	if n == 0 || head < uint64(n) || head > uint64(len(payload)) {
		return out, errRecord
	}
	body := payload[head:]
	for header := payload[n:head]; len(header) > 0; {
		serial, n := Varint(header)
		size := Size(serial)
		if n == 0 || size > uint64(len(body)) {
			return out, errRecord
		}
		header = header[n:]
		var v Value
		switch {
		case serial == 0:
		case serial == 7:
			v = Value{Kind: Real, Real: math.Float64frombits(binary.BigEndian.Uint64(body))}
		case serial < 12:
			v = Value{Kind: Integer, Int: Int(serial, body)}
		case serial%2 == 0:
			v = Value{Kind: Blob, Bytes: body[:size]}
		default:
			v = Value{Kind: Text, Bytes: body[:size]}
		}
		out = append(out, v)
		body = body[size:]
	}
	return out, nil
}

// Text is a text value as UTF-8, whatever the encoding of the database.
func (f *File) Text(v Value) string {
	switch {
	case v.Kind != Text && v.Kind != Blob:
		return ""
	case v.Kind == Blob || f.encoding < 2:
		return string(v.Bytes)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if f.encoding == 3 {
		order = binary.BigEndian
	}
	units := make([]uint16, len(v.Bytes)/2)
	for i := range units {
		units[i] = order.Uint16(v.Bytes[2*i:])
	}
	return string(utf16.Decode(units))
}
