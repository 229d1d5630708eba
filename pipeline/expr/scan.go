package expr

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/drivemill/drivemill/pipeline"
)

// maxText bounds the length of an expression; the parser is recursive.
const maxText = 16 << 10

// source is an expression made ready for the parser. The parser reads a
// backtick as a text and has no uint64; both are replaced by identifiers of
// the same length, so that every position stays what it was, and are found
// again by position.
type source struct {
	text   pipeline.Text
	masked string
	byteAt []int          // byte offset of each rune, and of the end
	quoted map[int]string // names in backticks by position of their first rune
	big    map[int]uint64 // literals beyond int64, likewise
}

// at returns the byte offset of rune n.
func (s *source) at(n int) int {
	if n < 0 {
		return 0
	}
	if n >= len(s.byteAt) {
		return len(s.text.Value)
	}
	return s.byteAt[n]
}

func (s *source) issuef(rune int, format string, args ...any) *pipeline.Issue {
	return s.text.Issuef(rune, format, args...)
}

func wordRune(r rune) bool {
	return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// scan masks what the parser cannot read.
func scan(text pipeline.Text) (*source, error) {
	s := &source{text: text, quoted: map[int]string{}, big: map[int]uint64{}}
	in := text.Value
	switch {
	case len(in) > maxText:
		return nil, text.Issuef(0, "expression has %d bytes, the limit is %d", len(in), maxText)
	case !utf8.ValidString(in):
		return nil, text.Issuef(0, "expression is not valid UTF-8")
	case strings.TrimSpace(in) == "":
		return nil, text.Issuef(0, "expression is empty")
	}
	rs := []rune(in)
	s.byteAt = make([]int, 0, len(rs)+1)
	for i := range in {
		s.byteAt = append(s.byteAt, i)
	}
	s.byteAt = append(s.byteAt, len(in))
	for i := 0; i < len(rs); {
		switch r := rs[i]; {
		case r == '"' || r == '\'':
			for i++; i < len(rs) && rs[i] != r; i++ {
				if rs[i] == '\\' {
					i++
				}
			}
			i++
		case r == '/' && i+1 < len(rs) && rs[i+1] == '/':
			for i < len(rs) && rs[i] != '\n' {
				i++
			}
		case r == '/' && i+1 < len(rs) && rs[i+1] == '*':
			for i += 2; i+1 < len(rs) && (rs[i] != '*' || rs[i+1] != '/'); {
				i++
			}
			i += 2
		case r == '`':
			from := i
			for i++; i < len(rs) && rs[i] != '`'; {
				i++
			}
			switch {
			case i >= len(rs):
				return nil, s.issuef(from, "name in backticks is not closed")
			case i == from+1:
				return nil, s.issuef(from, "name in backticks is empty")
			case from > 0 && wordRune(rs[from-1]), i+1 < len(rs) && (wordRune(rs[i+1]) || rs[i+1] == '`'):
				return nil, s.issuef(from, "a name in backticks stands alone, or between dots")
			}
			s.quoted[from] = string(rs[from+1 : i])
			i++
			mask(rs[from:i])
		case r >= '0' && r <= '9':
			from := i
			whole := from == 0 || rs[from-1] != '.' || from > 1 && rs[from-2] == '.'
			for i < len(rs) && wordRune(rs[i]) {
				i++
			}
			if i+1 < len(rs) && rs[i] == '.' && rs[i+1] != '.' {
				whole = false
			}
			if !whole {
				break
			}
			lit := string(rs[from:i])
			u, err := strconv.ParseUint(strings.ReplaceAll(lit, "_", ""), literalBase(lit), 64)
			if errors.Is(err, strconv.ErrRange) {
				return nil, s.issuef(from, "%s does not fit an integer", lit)
			}
			if err == nil && u > math.MaxInt64 {
				s.big[from] = u
				mask(rs[from:i])
			}
		case wordRune(r):
			for i < len(rs) && wordRune(rs[i]) {
				i++
			}
		default:
			i++
		}
	}
	s.masked = string(rs)
	return s, nil
}

// literalBase lets 0x, 0o and 0b decide, and keeps leading zeros decimal.
func literalBase(lit string) int {
	if len(lit) > 1 && lit[0] == '0' && strings.ContainsRune("xXoObB", rune(lit[1])) {
		return 0
	}
	return 10
}

func mask(rs []rune) {
	for i := range rs {
		rs[i] = '_'
	}
}

// parse runs the parser over the masked text.
func (s *source) parse() (node ast.Node, err error) {
	defer func() {
		// The parser is another's; what trips it must not stop a validation.
		if r := recover(); r != nil {
			node, err = nil, s.issuef(0, "expression cannot be parsed: %v", r)
		}
	}()
	tree, err := parser.Parse(s.masked)
	if err == nil {
		return tree.Node, nil
	}
	var fe *file.Error
	if !errors.As(err, &fe) {
		return nil, s.issuef(0, "%v", err)
	}
	return nil, s.syntaxIssue(fe)
}

// syntaxIssue says what is wrong in terms of the original text.
func (s *source) syntaxIssue(fe *file.Error) *pipeline.Issue {
	from, to := s.at(fe.From), s.at(fe.To)
	if strings.HasPrefix(fe.Message, "unexpected token EOF") || strings.HasPrefix(fe.Message, "unexpected end") {
		return s.issuef(len(s.byteAt)-1, "expression ends too early")
	}
	if !strings.HasPrefix(fe.Message, "unexpected token") || from >= to {
		return s.issuef(fe.From, "%s", fe.Message)
	}
	word := s.text.Value[from:to]
	i := s.issuef(fe.From, "unexpected %q", word)
	switch word {
	case "=":
		i.Suggestion = "=="
	case "&":
		i.Suggestion = "and"
	case ">":
		if from > 0 && s.text.Value[from-1] == '<' {
			i.Suggestion = "!="
		}
	case "AND", "OR", "NOT", "IN", "And", "Or", "Not", "In":
		i.Suggestion = strings.ToLower(word)
	case "is", "IS":
		i.Suggestion = "== nil"
	}
	return i
}
