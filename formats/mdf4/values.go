package mdf4

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// appendText transcodes a stored text to UTF-8. A text of a fixed length field
// ends at its first NUL; one of variable length may end with NULs. ok is false
// where the bytes are not of the encoding: they are then taken as ISO 8859-1, or
// a replacement character stands for what is no character.
func appendText(dst, b []byte, dt uint8, varying bool) (out []byte, ok bool) {
	if dt == typeBOMText {
		dt = typeUTF8
		switch {
		case bytes.HasPrefix(b, []byte{0xef, 0xbb, 0xbf}):
			b = b[3:]
		case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
			b, dt = b[2:], typeUTF16LE
		case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
			b, dt = b[2:], typeUTF16BE
		}
	}
	if dt == typeUTF16LE || dt == typeUTF16BE {
		return appendUTF16(dst, b, dt == typeUTF16BE, varying)
	}
	if varying {
		b = bytes.TrimRight(b, "\x00")
	} else if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	if dt == typeLatin1 {
		return appendLatin1(dst, b), true
	}
	if utf8.Valid(b) {
		return append(dst, b...), true
	}
	return appendLatin1(dst, b), false
}

func appendUTF16(dst, b []byte, big, varying bool) ([]byte, bool) {
	unit := func(i int) rune {
		if big {
			return rune(b[i])<<8 | rune(b[i+1])
		}
		return rune(b[i+1])<<8 | rune(b[i])
	}
	n := len(b) &^ 1
	for varying && n > 0 && unit(n-2) == 0 {
		n -= 2
	}
	ok := true
	for i := 0; i < n; i += 2 {
		r := unit(i)
		if r == 0 && !varying {
			break
		}
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if i+4 <= n {
				low = unit(i + 2)
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				ok = false
			} else {
				i += 2
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, ok
}
