package mdf4

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The kernels copy one field of n records into a column. src begins with the
// field of the first record, records are step bytes apart; values are written to
// dst, ds bytes apart. What a field is was settled before, so that a kernel is
// one loop.

func copyFields(dst []byte, ds int, src []byte, step, n, width int) {
	if n == 0 {
		return
	}
	_ = src[(n-1)*step+width-1]
	_ = dst[(n-1)*ds+width-1]
	switch width {
	case 1:
		for i, j := 0, 0; n > 0; n-- {
			dst[j] = src[i]
			i, j = i+step, j+ds
		}
	case 2:
		for i, j := 0, 0; n > 0; n-- {
			binary.LittleEndian.PutUint16(dst[j:], binary.LittleEndian.Uint16(src[i:]))
			i, j = i+step, j+ds
		}
	case 4:
		for i, j := 0, 0; n > 0; n-- {
			binary.LittleEndian.PutUint32(dst[j:], binary.LittleEndian.Uint32(src[i:]))
			i, j = i+step, j+ds
		}
	case 8:
		for i, j := 0, 0; n > 0; n-- {
			binary.LittleEndian.PutUint64(dst[j:], binary.LittleEndian.Uint64(src[i:]))
			i, j = i+step, j+ds
		}
	}
}

// swapFields is copyFields for big-endian fields.
func swapFields(dst []byte, ds int, src []byte, step, n, width int) {
	switch width {
	case 1:
		copyFields(dst, ds, src, step, n, 1)
	case 2:
		for i, j := 0, 0; n > 0; n-- {
			binary.LittleEndian.PutUint16(dst[j:], binary.BigEndian.Uint16(src[i:]))
			i, j = i+step, j+ds
		}
	case 4:
		for i, j := 0, 0; n > 0; n-- {
			binary.LittleEndian.PutUint32(dst[j:], binary.BigEndian.Uint32(src[i:]))
			i, j = i+step, j+ds
		}
	case 8:
		for i, j := 0, 0; n > 0; n-- {
			binary.LittleEndian.PutUint64(dst[j:], binary.BigEndian.Uint64(src[i:]))
			i, j = i+step, j+ds
		}
	}
}

// halfFields widens floating point numbers of 16 bits to 32.
func halfFields(dst []byte, ds int, src []byte, step, n int, big bool) {
	for i, j := 0, 0; n > 0; n-- {
		h := binary.LittleEndian.Uint16(src[i:])
		if big {
			h = bits.ReverseBytes16(h)
		}
		binary.LittleEndian.PutUint32(dst[j:], halfBits(h))
		i, j = i+step, j+ds
	}
}

// halfBits is the float32 with the value of a float16; payloads of NaN stay.
func halfBits(h uint16) uint32 {
	sign := uint32(h&0x8000) << 16
	exp, frac := uint32(h>>10)&0x1f, uint32(h&0x3ff)
	switch {
	case exp == 0x1f:
		return sign | 0x7f800000 | frac<<13
	case exp > 0:
		return sign | (exp+112)<<23 | frac<<13
	case frac == 0:
		return sign
	}
	return sign | math.Float32bits(float32(frac)/(1<<24))
}

// bitFields takes integers of any width and position. size is the number of
// bytes that a field touches, at most 8.
func (s *source) bitFields(dst []byte, ds int, src []byte, step, n int) {
	shift, mask, size := uint(s.shift), s.mask, s.size
	sign := uint(0)
	if s.signed {
		sign = uint(64 - s.bits)
	}
	var block [256]uint64
	for row := 0; row < n; row += len(block) {
		m := min(len(block), n-row)
		vals := block[:m]
		at := row * step
		if s.big {
			drop := uint(64 - 8*size)
			for i := range vals {
				vals[i] = loadBig(src[at:], size, drop) >> shift & mask
				at += step
			}
		} else {
			for i := range vals {
				vals[i] = loadLittle(src[at:], size) >> shift & mask
				at += step
			}
		}
		if sign > 0 {
			for i, v := range vals {
				vals[i] = uint64(int64(v<<sign) >> sign)
			}
		}
		j := row * ds
		switch s.width {
		case 1:
			for _, v := range vals {
				dst[j] = byte(v)
				j += ds
			}
		case 2:
			for _, v := range vals {
				binary.LittleEndian.PutUint16(dst[j:], uint16(v))
				j += ds
			}
		case 4:
			for _, v := range vals {
				binary.LittleEndian.PutUint32(dst[j:], uint32(v))
				j += ds
			}
		default:
			for _, v := range vals {
				binary.LittleEndian.PutUint64(dst[j:], v)
				j += ds
			}
		}
	}
}

// loadLittle loads size bytes. Bytes behind the field are masked away later, so
// that eight can be loaded where they are there.
func loadLittle(b []byte, size int) uint64 {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b)
	}
	var v uint64
	for i := size - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}

// loadBig loads size bytes, the last of which is the lowest.
func loadBig(b []byte, size int, drop uint) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b) >> drop
	}
	var v uint64
	for _, c := range b[:size] {
		v = v<<8 | uint64(c)
	}
	return v
}

// fields copies one element of n records, whatever its type.
func (s *source) fields(dst []byte, ds int, src []byte, step, n int) {
	switch {
	case s.kind == kindFloat && s.bits == 16:
		halfFields(dst, ds, src, step, n, s.big)
	case s.kind == kindFloat && s.big:
		swapFields(dst, ds, src, step, n, s.width)
	case s.kind == kindFloat:
		copyFields(dst, ds, src, step, n, s.width)
	case s.shift == 0 && s.bits == 8*s.width && s.mask == 1<<s.bits-1 && s.big:
		swapFields(dst, ds, src, step, n, s.width)
	case s.shift == 0 && s.bits == 8*s.width && s.mask == 1<<s.bits-1:
		copyFields(dst, ds, src, step, n, s.width)
	default:
		s.bitFields(dst, ds, src, step, n)
	}
}
