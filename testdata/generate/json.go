package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// twin writes the JSON twin of a message: field paths as keys, in order.
// Structs are taken apart, except inside lists.
func (d *dialect) twin(typ string, logTime int64, v record) []byte {
	b := []byte(`{"log_time":`)
	b = appendJSON(b, stamp(logTime))
	b = d.appendFields(b, typ, "", v, true)
	return append(b, "}\n"...)
}

func (d *dialect) appendFields(b []byte, typ, prefix string, v record, comma bool) []byte {
	for i, f := range d.types[typ].fields {
		if r, ok := v[i].(record); ok {
			b = d.appendFields(b, f.typ, prefix+f.name+".", r, comma)
			comma = true
			continue
		}
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = append(appendJSON(b, prefix+f.name), ':')
		l, ok := v[i].(list)
		if !ok {
			b = appendJSON(b, v[i])
			continue
		}
		b = append(b, '[')
		for j, el := range l {
			if j > 0 {
				b = append(b, ',')
			}
			if r, ok := el.(record); ok {
				b = append(b, '{')
				b = d.appendFields(b, f.typ, "", r, false)
				b = append(b, '}')
			} else {
				b = appendJSON(b, el)
			}
		}
		b = append(b, ']')
	}
	return b
}

// appendJSON writes one cell.
func appendJSON(b []byte, v value) []byte {
	switch x := v.(type) {
	case float64:
		return appendFloat(b, x, 64)
	case float32:
		return appendFloat(b, float64(x), 32)
	case stamp:
		return append(append(append(b, '"'), time.Unix(0, int64(x)).UTC().Format("2006-01-02T15:04:05.000000000Z")...), '"')
	case span:
		return strconv.AppendInt(b, int64(x), 10)
	case []byte:
		return append(append(append(b, '"'), base64.StdEncoding.EncodeToString(x)...), '"')
	case bool, int8, uint8, uint16, uint32, uint64, int64:
		return fmt.Append(b, x)
	case string:
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(x); err != nil {
			panic(err)
		}
		return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
	case nil:
		return append(b, "null"...)
	}
	panic(fmt.Sprintf("no JSON for a %T", v))
}

func appendFloat(b []byte, x float64, bits int) []byte {
	switch {
	case math.IsNaN(x):
		return append(b, `"NaN"`...)
	case math.IsInf(x, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(b, `"-Infinity"`...)
	}
	if a := math.Abs(x); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(b, x, 'e', -1, bits)
	}
	return strconv.AppendFloat(b, x, 'f', -1, bits)
}
