package drivestats

import (
	"encoding/binary"
	"math"
)

// parseDate reads YYYY-MM-DD and returns the days since 1970.
func parseDate(b []byte) (int32, bool) {
	if len(b) != 10 || b[4] != '-' || b[7] != '-' {
		return 0, false
	}
	var v [3]int
	for i, part := range [3][]byte{b[:4], b[5:7], b[8:]} {
		for _, c := range part {
			if c < '0' || c > '9' {
				return 0, false
			}
			v[i] = v[i]*10 + int(c-'0')
		}
	}
	y, m, d := v[0], v[1], v[2]
	if m < 1 || m > 12 || d < 1 || d > monthDays(y, m) {
		return 0, false
	}
	// Years that begin in March end with the leap day.
	if m < 3 {
		y, m = y-1, m+12
	}
	return int32(365*y + floorDiv(y, 4) - floorDiv(y, 100) + floorDiv(y, 400) + (153*(m-3)+2)/5 + d - 1 - 719468), true
}

func floorDiv(a, b int) int {
	if a < 0 {
		return -((-a + b - 1) / b)
	}
	return a / b
}

func monthDays(y, m int) int {
	switch {
	case m == 2 && y%4 == 0 && (y%100 != 0 || y%400 == 0):
		return 29
	case m == 2:
		return 28
	case m == 4 || m == 6 || m == 9 || m == 11:
		return 30
	}
	return 31
}

// parseInt reads a decimal integer that fits 64 bits.
func parseInt(b []byte) (int64, bool) {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 {
		return 0, false
	}
	var v uint64
	for _, c := range digits {
		d := uint64(c - '0')
		if d > 9 || v > (math.MaxUint64-9)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	if len(digits) < len(b) {
		return -int64(v), v <= 1<<63
	}
	return int64(v), v <= math.MaxInt64
}

func parseBool(b []byte) (v, ok bool) {
	switch string(b) {
	case "true", "True", "TRUE", "1":
		return true, true
	case "false", "False", "FALSE", "0":
		return false, true
	}
	return false, false
}

// ascii reports whether all bytes are below 128.
func ascii(b []byte) bool {
	const high = 0x8080808080808080
	for ; len(b) >= 32; b = b[32:] {
		if (binary.LittleEndian.Uint64(b)|binary.LittleEndian.Uint64(b[8:])|
			binary.LittleEndian.Uint64(b[16:])|binary.LittleEndian.Uint64(b[24:]))&high != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
