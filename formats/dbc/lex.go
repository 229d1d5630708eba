package dbc

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline"
)

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokName
	tokNumber
	tokString
	tokMark // one character
)

// token is one word of the text. Its text is a part of the file, except for
// strings with escapes.
type token struct {
	kind  tokenKind
	text  string
	pos   pipeline.Pos
	first bool // first on its line
}

func (t token) String() string {
	switch t.kind {
	case tokEnd:
		return "the end of the file"
	case tokString:
		return fmt.Sprintf("the text %.40q", t.text)
	}
	return fmt.Sprintf("%.40q", t.text)
}

// lexer cuts the text into tokens, one at a time. A copy of it is a place to go
// back to.
type lexer struct {
	text   string
	at     int
	line   int
	start  int // offset of the current line
	file   string
	fresh  bool // nothing but blanks so far on this line
	report func(pos pipeline.Pos, format string, args ...any)
}

func (l *lexer) pos() pipeline.Pos {
	return pipeline.Pos{File: l.file, Line: l.line, Col: utf8.RuneCountInString(l.text[l.start:l.at]) + 1}
}

func (l *lexer) newline() {
	l.line++
	l.start = l.at
	l.fresh = true
}

func nameStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// blanks skips white space and // comments.
func (l *lexer) blanks() {
	for l.at < len(l.text) {
		switch c := l.text[l.at]; {
		case c == '\n':
			l.at++
			l.newline()
		case c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v' || c == 0 || c == 0x1a:
			l.at++
		case c == '/' && strings.HasPrefix(l.text[l.at:], "//"):
			for l.at < len(l.text) && l.text[l.at] != '\n' {
				l.at++
			}
		default:
			return
		}
	}
}

func (l *lexer) next() token {
	l.blanks()
	t := token{pos: l.pos(), first: l.fresh}
	l.fresh = false
	if l.at >= len(l.text) {
		t.first = true
		return t
	}
	begin, c := l.at, l.text[l.at]
	switch {
	case nameStart(c):
		t.kind = tokName
		l.word()
	case c == '"':
		t.kind = tokString
		t.text = l.quoted(t.pos)
		return t
	case digit(c), (c == '-' || c == '+' || c == '.') && l.digitAfter():
		t.kind = tokNumber
		l.number()
		// 1stGear and 0x1F: a name, or a number in base 16.
		if l.at < len(l.text) && nameStart(l.text[l.at]) {
			l.word()
			if s := l.text[begin:l.at]; !strings.HasPrefix(s, "0x") && !strings.HasPrefix(s, "0X") {
				t.kind = tokName
			}
		}
	default:
		t.kind = tokMark
		l.at++
	}
	t.text = l.text[begin:l.at]
	return t
}

func (l *lexer) word() {
	for l.at < len(l.text) && (nameStart(l.text[l.at]) || digit(l.text[l.at])) {
		l.at++
	}
}

func (l *lexer) digitAfter() bool {
	for i := l.at + 1; i < len(l.text) && i <= l.at+2; i++ {
		if digit(l.text[i]) {
			return true
		}
		if l.text[i] != '.' {
			return false
		}
	}
	return false
}

func (l *lexer) number() {
	l.at++ // a sign, a point or a digit
	digits := func() {
		for l.at < len(l.text) && digit(l.text[l.at]) {
			l.at++
		}
	}
	digits()
	if l.at < len(l.text) && l.text[l.at] == '.' {
		l.at++
		digits()
	}
	if l.at < len(l.text) && (l.text[l.at] == 'e' || l.text[l.at] == 'E') {
		i := l.at + 1
		if i < len(l.text) && (l.text[i] == '+' || l.text[i] == '-') {
			i++
		}
		if i < len(l.text) && digit(l.text[i]) {
			l.at = i
			digits()
		}
	}
}

// quoted reads a string, which may span lines and holds \" for a quote. One
// that never ends is taken to end with its first line.
func (l *lexer) quoted(pos pipeline.Pos) string {
	begin := l.at + 1
	escaped := false
	for i := begin; i < len(l.text); i++ {
		switch l.text[i] {
		case '\\':
			if i+1 < len(l.text) && l.text[i+1] == '"' {
				escaped = true
				i++
			}
		case '"':
			s := l.text[begin:i]
			for l.at = begin; ; {
				nl := strings.IndexByte(l.text[l.at:i], '\n')
				if nl < 0 {
					break
				}
				l.at += nl + 1
				l.newline()
			}
			l.at, l.fresh = i+1, false
			if escaped {
				s = strings.ReplaceAll(s, `\"`, `"`)
			}
			return s
		}
	}
	l.report(pos, "a text that never ends; it is taken to end with the line")
	end := strings.IndexAny(l.text[begin:], "\r\n")
	if end < 0 {
		end = len(l.text) - begin
	}
	l.at = begin + end
	return l.text[begin:l.at]
}
