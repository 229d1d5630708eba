package cbor

import (
	"encoding/base64"
	"math"
	"math/big"
	"strconv"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/jsonschema"
	"github.com/drivemill/drivemill/formats/message/tree"
)

// maxBignum is the size of a bignum that is written out.
const maxBignum = 1024

// json appends an item as JSON text to Frame.Scratch.
func (d *decoder) json(depth int) bool {
	h, tag, depth, ok := d.untag(depth)
	if !ok {
		return false
	}
	out := &d.f.Scratch
	switch h.major {
	case majorUint, majorNegative:
		*out = appendInteger(*out, h)
	case majorText:
		s, ok := d.text(h)
		if !ok {
			return false
		}
		*out = tree.AppendQuoted(*out, s)
	case majorBytes:
		return d.jsonBytes(h, tag)
	case majorArray, majorMap:
		return d.jsonList(h, depth)
	default:
		x, ok := h.float()
		switch {
		case ok:
			*out = appendFloat(*out, x)
		case h.info == simpleFalse:
			*out = append(*out, "false"...)
		case h.info == simpleTrue:
			*out = append(*out, "true"...)
		case h.null():
			*out = append(*out, "null"...)
		case h.isBreak():
			return d.fail(message.Malformed, h.at, tree.None, "end of nothing")
		default:
			return d.fail(message.TypeMismatch, h.at, tree.None, "simple value without meaning")
		}
	}
	return true
}

func (d *decoder) jsonBytes(h head, tag uint64) bool {
	b, ok := d.text(h)
	if !ok {
		return false
	}
	out := &d.f.Scratch
	if tag == 2 || tag == 3 {
		if len(b) > maxBignum {
			return d.fail(message.OutOfRange, h.at, tree.None, "bignum")
		}
		n := new(big.Int).SetBytes(b)
		if tag == 3 {
			n.Not(n)
		}
		*out = n.Append(*out, 10)
		return true
	}
	ty, ok := typedArray(tag)
	if !ok {
		*out = append(*out, '"')
		*out = base64.StdEncoding.AppendEncode(*out, b)
		*out = append(*out, '"')
		return true
	}
	if len(b)%ty.size != 0 {
		return d.fail(message.Malformed, h.at, tree.None, "typed array breaks off")
	}
	*out = append(*out, '[')
	for i := 0; i < len(b); i += ty.size {
		if i > 0 {
			*out = append(*out, ',')
		}
		x, n := ty.element(b[i:])
		switch {
		case ty.float:
			*out = appendFloat(*out, x)
		case ty.signed:
			*out = strconv.AppendInt(*out, int64(n), 10)
		default:
			*out = strconv.AppendUint(*out, n, 10)
		}
	}
	*out = append(*out, ']')
	return true
}

func (d *decoder) jsonList(h head, depth int) bool {
	if depth >= jsonschema.MaxDepth {
		return d.fail(message.TooDeep, h.at, tree.None, "")
	}
	out := &d.f.Scratch
	brackets := "[]"
	if h.major == majorMap {
		brackets = "{}"
	}
	*out = append(*out, brackets[0])
	mark := d.keys.Mark()
	for i := uint64(0); ; i++ {
		more, ok := d.more(h, i)
		if !ok {
			return false
		}
		if !more {
			break
		}
		if i > 0 {
			*out = append(*out, ',')
		}
		if h.major == majorMap {
			at := d.pos
			key, ok := d.key(depth)
			if !ok {
				return false
			}
			if len(key) > 0 && key[0] == 0xff {
				return d.fail(message.TypeMismatch, at, tree.None, "key that is neither text nor an integer")
			}
			d.keys.Add(key)
			*out = append(tree.AppendQuoted(*out, key), ':')
		}
		if !d.json(depth + 1) {
			return false
		}
	}
	if !d.keys.Unique(mark) {
		return d.fail(message.DuplicateKey, h.at, tree.None, "")
	}
	*out = append(*out, brackets[1])
	return true
}

func appendFloat(b []byte, x float64) []byte {
	switch {
	case math.IsNaN(x):
		return append(b, `"NaN"`...)
	case math.IsInf(x, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(b, `"-Infinity"`...)
	}
	return strconv.AppendFloat(b, x, 'g', -1, 64)
}
