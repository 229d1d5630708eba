package protobuf

// Wire types.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wireStart  = 3
	wireEnd    = 4
	wire32     = 5
)

// varint reads a number of base 128 and returns the position behind it, -1
// where it breaks off or has more than 64 bits.
func varint(b []byte, pos, end int) (uint64, int) {
	if pos < end && b[pos] < 0x80 {
		return uint64(b[pos]), pos + 1
	}
	var v uint64
	for shift := uint(0); shift < 64 && pos < end; shift += 7 {
		c := b[pos]
		pos++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if shift == 63 && c > 1 {
				return 0, -1
			}
			return v, pos
		}
	}
	return 0, -1
}

// tag reads the number and wire type of a field.
func tag(b []byte, pos, end int) (num int32, wt int, next int) {
	v, next := varint(b, pos, end)
	if next < 0 || v>>3 == 0 || v>>3 >= 1<<29 || v&7 > wire32 {
		return 0, 0, -1
	}
	return int32(v >> 3), int(v & 7), next
}

// skip passes over the value of a field and returns the position behind it,
// -1 where it breaks off or groups do not match.
func skip(b []byte, pos, end int, num int32, wt, depth int) int {
	switch wt {
	case wireVarint:
		_, pos = varint(b, pos, end)
		return pos
	case wire64:
		if end-pos < 8 {
			return -1
		}
		return pos + 8
	case wire32:
		if end-pos < 4 {
			return -1
		}
		return pos + 4
	case wireBytes:
		n, at := varint(b, pos, end)
		if at < 0 || n > uint64(end-at) {
			return -1
		}
		return at + int(n)
	case wireStart:
		if depth > maxNest {
			return -1
		}
		for {
			n, t, next := tag(b, pos, end)
			if next < 0 {
				return -1
			}
			if t == wireEnd {
				if n != num {
					return -1
				}
				return next
			}
			if pos = skip(b, next, end, n, t, depth+1); pos < 0 {
				return -1
			}
		}
	}
	return -1
}
