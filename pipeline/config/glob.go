package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Glob matches names: * stands for any characters, slashes included, ? for
// one, [a-z] for one of a set, {a,b} for alternatives, and \ takes the next
// character as it is. The zero Glob matches the empty name only.
type Glob struct {
	text string         // of a literal
	re   *regexp.Regexp // nil for a literal
}

// CompileGlob compiles a pattern.
func CompileGlob(pattern string) (Glob, error) {
	var re, lit strings.Builder
	literal, depth := true, 0
	re.WriteString(`^(?s:`)
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch c {
		case '*':
			literal = false
			re.WriteString(".*")
		case '?':
			literal = false
			re.WriteString(".")
		case '[':
			end := strings.IndexByte(pattern[i+1:], ']')
			if end < 1 {
				return Glob{}, fmt.Errorf("[ has no closing ]")
			}
			set := pattern[i+1 : i+1+end]
			i += end + 1
			literal = false
			re.WriteByte('[')
			if set[0] == '!' || set[0] == '^' {
				re.WriteByte('^')
				set = set[1:]
			}
			re.WriteString(strings.NewReplacer(`\`, `\\`, `[`, `\[`, `^`, `\^`).Replace(set))
			re.WriteByte(']')
		case '{':
			depth++
			literal = false
			re.WriteString("(?:")
		case '}':
			if depth == 0 {
				return Glob{}, fmt.Errorf("} has no opening {")
			}
			depth--
			re.WriteByte(')')
		case ',':
			if depth > 0 {
				re.WriteByte('|')
				continue
			}
			lit.WriteByte(c)
			re.WriteByte(c)
		default:
			if c == '\\' {
				if i++; i == len(pattern) {
					return Glob{}, fmt.Errorf(`a lone \ at the end`)
				}
				c = pattern[i]
			}
			lit.WriteByte(c)
			if c < utf8.RuneSelf {
				re.WriteString(regexp.QuoteMeta(string(rune(c))))
			} else {
				re.WriteByte(c)
			}
		}
	}
	if depth > 0 {
		return Glob{}, fmt.Errorf("{ has no closing }")
	}
	if literal {
		return Glob{text: lit.String()}, nil
	}
	re.WriteString(")$")
	x, err := regexp.Compile(re.String())
	if err != nil {
		return Glob{}, fmt.Errorf("not a pattern")
	}
	return Glob{re: x}, nil
}

// Literal reports whether the pattern stands for one name alone, and which.
func (g Glob) Literal() (string, bool) { return g.text, g.re == nil }

// Match reports whether the pattern stands for name.
func (g Glob) Match(name string) bool {
	if g.re == nil {
		return g.text == name
	}
	return g.re.MatchString(name)
}
