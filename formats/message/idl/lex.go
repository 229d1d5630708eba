package idl

import (
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokName
	tokNumber
	tokString
	tokChar
	tokPunct // one character, or ::, <<, >>
)

type token struct {
	kind tokenKind
	text string // of strings and characters: without quotes, escapes resolved
	line int
}

// lex cuts a text into tokens. Comments and lines of the preprocessor go, and
// so do the lines that part the files of a ros2idl schema.
func lex(s string) ([]token, *Error) {
	var out []token
	line, fresh := 1, true // fresh: nothing stood on this line yet
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\n':
			line++
			fresh = true
			i++
			continue
		case c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
			i++
			continue
		case c == '#' && fresh:
			for i < len(s) && s[i] != '\n' {
				if s[i] == '\\' && i+1 < len(s) && s[i+1] == '\n' {
					line++
					i++
				}
				i++
			}
			continue
		case fresh && strings.HasPrefix(s[i:], "=="):
			if n, ok := separator(s[i:]); ok {
				line += strings.Count(s[i:i+n], "\n")
				i += n
				continue
			}
		case strings.HasPrefix(s[i:], "//"):
			if n := strings.IndexByte(s[i:], '\n'); n >= 0 {
				i += n
			} else {
				i = len(s)
			}
			continue
		case strings.HasPrefix(s[i:], "/*"):
			n := strings.Index(s[i+2:], "*/")
			if n < 0 {
				return nil, corrupt(line, "a comment is not closed")
			}
			line += strings.Count(s[i:i+n+4], "\n")
			i += n + 4
			continue
		}
		fresh = false
		t, n, err := lexOne(s[i:], line)
		if err != nil {
			return nil, err
		}
		line += strings.Count(s[i:i+n], "\n")
		i += n
		out = append(out, t)
	}
	return append(out, token{kind: tokEnd, text: "the end", line: line}), nil
}

// separator measures a line of equals signs with the header line behind it.
func separator(s string) (int, bool) {
	n := strings.IndexByte(s, '\n')
	if n < 0 {
		return 0, false
	}
	if strings.Trim(s[:n], "= \t\r") != "" {
		return 0, false
	}
	for {
		n++
		end := strings.IndexByte(s[n:], '\n')
		if end < 0 {
			end = len(s) - n
		}
		line := strings.TrimSpace(s[n : n+end])
		if strings.HasPrefix(line, "IDL:") {
			return n + end, true
		}
		if line != "" || n+end >= len(s) {
			return 0, false
		}
		n += end
	}
}

func isLetter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

func lexOne(s string, line int) (token, int, *Error) {
	c := s[0]
	switch {
	case (c == 'L' || c == 'u' || c == 'U') && len(s) > 1 && (s[1] == '"' || s[1] == '\''):
		t, n, err := lexQuoted(s[1:], line)
		return t, n + 1, err
	case c == '"' || c == '\'':
		return lexQuoted(s, line)
	case isLetter(c):
		n := 1
		for n < len(s) && (isLetter(s[n]) || isDigit(s[n])) {
			n++
		}
		return token{tokName, s[:n], line}, n, nil
	case isDigit(c) || c == '.' && len(s) > 1 && isDigit(s[1]):
		n := 1
		hex := len(s) > 1 && s[1]|0x20 == 'x'
		for n < len(s) && (isLetter(s[n]) || isDigit(s[n]) || s[n] == '.' ||
			(s[n] == '+' || s[n] == '-') && !hex && s[n-1]|0x20 == 'e') {
			n++
		}
		return token{tokNumber, s[:n], line}, n, nil
	}
	for _, p := range []string{"::", "<<", ">>"} {
		if strings.HasPrefix(s, p) {
			return token{tokPunct, p, line}, 2, nil
		}
	}
	if strings.IndexByte("{}()<>[];:,=@|^&+-*/%~", c) < 0 {
		return token{}, 0, corrupt(line, "unexpected character %q", c)
	}
	return token{tokPunct, s[:1], line}, 1, nil
}

// lexQuoted reads a string or character literal with the escapes of IDL.
func lexQuoted(s string, line int) (token, int, *Error) {
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case quote:
			kind := tokString
			if quote == '\'' {
				kind = tokChar
			}
			return token{kind, b.String(), line}, i + 1, nil
		case '\\':
			i++
			if i >= len(s) {
				break
			}
			n := i
			switch c := s[i]; c {
			case 'n', 't', 'v', 'b', 'r', 'f', 'a':
				b.WriteByte("\n\t\v\b\r\f\a"[strings.IndexByte("ntvbrfa", c)])
			case 'x', 'u':
				for n+1 < len(s) && n < i+4 && strings.IndexByte("0123456789abcdefABCDEF", s[n+1]) >= 0 {
					n++
				}
				v, err := strconv.ParseUint(s[i+1:n+1], 16, 32)
				if err != nil {
					return token{}, 0, corrupt(line, "bad escape in a literal")
				}
				b.WriteRune(rune(v))
			case '0', '1', '2', '3', '4', '5', '6', '7':
				for n+1 < len(s) && n < i+2 && s[n+1] >= '0' && s[n+1] <= '7' {
					n++
				}
				v, _ := strconv.ParseUint(s[i:n+1], 8, 32)
				b.WriteRune(rune(v))
			default:
				b.WriteByte(c)
			}
			i = n
		default:
			b.WriteByte(c)
		}
	}
	return token{}, 0, corrupt(line, "a literal is not closed")
}
