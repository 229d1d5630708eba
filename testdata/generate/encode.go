package main

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Values of messages. A record lists the fields of a message in order, without
// the sequence number of ROS 1 headers, which the encoder supplies.
type (
	value  any // bool, int8 ... uint64, float32, float64, string, stamp, span, []byte, list, record
	record []value
	list   []value
	stamp  int64 // nanoseconds since 1970
	span   int64 // nanoseconds
)

// encoder serializes values by the rules of ROS 1, or as little-endian CDR.
type encoder struct {
	dialect *dialect
	seq     uint32
	buf     []byte
	origin  int // where alignment counts from
}

// encode returns the message bytes of v.
func (d *dialect) encode(typ string, v record, seq uint32) []byte {
	e := &encoder{dialect: d, seq: seq}
	if d.ros2 {
		e.buf = append(e.buf, 0, 1, 0, 0)
		e.origin = 4
	}
	e.message(typ, v)
	return e.buf
}

func (e *encoder) message(typ string, v record) {
	t := e.dialect.types[typ]
	fields := t.fields
	if typ == "std_msgs/Header" && !e.dialect.ros2 {
		e.u32(e.seq)
		fields = fields[1:]
	}
	if len(fields) != len(v) {
		panic(fmt.Sprintf("%s has %d fields, the value %d", typ, len(fields), len(v)))
	}
	for i, f := range fields {
		switch x := v[i].(type) {
		case []byte:
			e.u32(uint32(len(x)))
			e.buf = append(e.buf, x...)
		case list:
			if f.suffix == "[]" {
				e.u32(uint32(len(x)))
			} else if f.size != len(x) {
				panic(fmt.Sprintf("%s.%s has %d elements, the value %d", typ, f.name, f.size, len(x)))
			}
			for _, el := range x {
				e.value(f.typ, el)
			}
		default:
			e.value(f.typ, x)
		}
	}
}

// value writes one element of type typ. A Go type that does not belong to typ
// is a mistake of the generator.
func (e *encoder) value(typ string, v value) {
	switch x := v.(type) {
	case record:
		e.message(typ, x)
		return
	case stamp:
		e.time(int64(x))
		return
	case span:
		e.time(int64(x))
		return
	}
	want, ok := map[string]string{
		"bool": "bool", "int8": "int8", "uint8": "uint8", "byte": "int8", "uint16": "uint16",
		"uint32": "uint32", "uint64": "uint64", "float32": "float32", "float64": "float64", "string": "string",
	}[typ]
	if got := fmt.Sprintf("%T", v); !ok || got != want {
		panic(fmt.Sprintf("a %s is written as %s", typ, got))
	}
	switch x := v.(type) {
	case bool:
		if x {
			e.buf = append(e.buf, 1)
		} else {
			e.buf = append(e.buf, 0)
		}
	case int8:
		e.buf = append(e.buf, byte(x))
	case uint8:
		e.buf = append(e.buf, x)
	case uint16:
		e.align(2)
		e.buf = binary.LittleEndian.AppendUint16(e.buf, x)
	case uint32:
		e.u32(x)
	case uint64:
		e.align(8)
		e.buf = binary.LittleEndian.AppendUint64(e.buf, x)
	case float32:
		e.u32(math.Float32bits(x))
	case float64:
		e.align(8)
		e.buf = binary.LittleEndian.AppendUint64(e.buf, math.Float64bits(x))
	case string:
		if e.dialect.ros2 {
			e.u32(uint32(len(x) + 1))
			e.buf = append(append(e.buf, x...), 0)
		} else {
			e.u32(uint32(len(x)))
			e.buf = append(e.buf, x...)
		}
	}
}

// time writes seconds rounded down and the nanoseconds that remain, which both
// generations do for times and durations alike.
func (e *encoder) time(ns int64) {
	sec, nsec := splitTime(ns)
	e.u32(uint32(sec))
	e.u32(nsec)
}

func splitTime(ns int64) (sec int64, nsec uint32) {
	sec, rest := ns/1e9, ns%1e9
	if rest < 0 {
		sec, rest = sec-1, rest+1e9
	}
	return sec, uint32(rest)
}

func (e *encoder) u32(v uint32) {
	e.align(4)
	e.buf = binary.LittleEndian.AppendUint32(e.buf, v)
}

// align pads with zeros to a multiple of n, in CDR only.
func (e *encoder) align(n int) {
	if !e.dialect.ros2 {
		return
	}
	for (len(e.buf)-e.origin)%n != 0 {
		e.buf = append(e.buf, 0)
	}
}
