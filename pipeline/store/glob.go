package store

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline"
)

// Pattern names objects by a URI with wildcards and captures:
//
//	s3://fleet-raw/{vehicle_id}/{drive_id}/{logger}_*.{bag,mcap,mf4}
//
//	{name}     one or more characters of a segment, kept under that name
//	{a,b,c}    one of the alternatives, which may hold wildcards and be empty
//	*          any characters of a segment, also none
//	?          one character of a segment
//	[a-z_]     one character of a set; [!a-z] or [^a-z] one outside it
//	**         as a whole segment: any number of segments, also none; at the
//	           end: everything below
//	\          takes the next character as it is
//	/          at the end: all that lies directly in the folder and is not hidden
//
// Where a text can be divided in several ways, what stands further left takes
// as much as it can: {logger}_{n}.bag cuts cam_front_3.bag at the last
// underscore. Matching takes time linear in the length of the key.
type Pattern struct {
	text     string
	root     string
	prefix   string         // of all keys that match; the whole key if literal
	match    *regexp.Regexp // nil if literal
	captures []string
}

// PatternError is a mistake in a URI or pattern, at a byte of its text.
type PatternError struct {
	Pattern string
	Offset  int
	Message string
}

func (e *PatternError) Error() string {
	text := pipeline.Redact(e.Pattern)
	if e.Offset == 0 {
		return fmt.Sprintf("%q: %s", text, e.Message)
	}
	return fmt.Sprintf("%q: at byte %d: %s", text, e.Offset, e.Message)
}

// ParsePattern reads a pattern; mistakes are a *PatternError. It holds for
// all kinds of URI that Open knows. A text without wildcards names one object.
func ParsePattern(uri string) (*Pattern, error) {
	loc, err := parseURI(uri)
	if err != nil {
		return nil, err
	}
	if i := strings.IndexAny(loc.host, `{}*?[]\`); i >= 0 {
		return nil, &PatternError{uri, loc.start - 1 - len(loc.host) + i, "the first part of a " + loc.scheme + " URI cannot have wildcards"}
	}
	if strings.HasSuffix(uri, "/") {
		p, err := ParsePattern(uri + "[^.]*")
		if err == nil {
			p.text = uri
		}
		return p, err
	}
	if loc.path == "" {
		return nil, &PatternError{uri, len(uri), "a pattern names objects: end it in a name, a folder with a slash, * or **"}
	}
	// Unescape up to the first wildcard: that much is literal.
	c := compiler{uri: uri, src: loc.path, shift: loc.start, seen: make(map[string]bool)}
	var literal strings.Builder
	for c.pos < len(c.src) && !strings.ContainsRune(`{}*?[]`, rune(c.src[c.pos])) {
		if err := c.unescape(&literal); err != nil {
			return nil, err
		}
	}
	loc.path = literal.String()
	p := &Pattern{text: uri}
	p.root, p.prefix = loc.split(len(loc.path))
	if c.pos == len(c.src) {
		return p, nil
	}
	if !utf8.ValidString(c.src) {
		return nil, &PatternError{uri, loc.start, "a pattern with wildcards must be valid UTF-8"}
	}
	c.out.WriteString(`\A` + regexp.QuoteMeta(p.prefix))
	if err := c.sequence(0); err != nil {
		return nil, err
	}
	c.out.WriteString(`\z`)
	// The compiler writes only what is well-formed; what is left to fail is size.
	if p.match, err = regexp.Compile("(?s)" + c.out.String()); err != nil {
		return nil, &PatternError{uri, loc.start, "too complex: " + err.Error()}
	}
	p.captures = c.names
	return p, nil
}

// String returns the text of the pattern.
func (p *Pattern) String() string { return p.text }

// Literal returns the key in the store at Root of a pattern without wildcards.
func (p *Pattern) Literal() (string, bool) { return p.prefix, p.match == nil }

// Captures returns the names in the order of the pattern.
func (p *Pattern) Captures() []string { return p.captures }

// Root is the URI of the store to open: the longest literal directory.
func (p *Pattern) Root() string { return p.root }

// Match reports whether a key of the store at Root matches, and what the
// captures hold.
func (p *Pattern) Match(key string) (map[string]string, bool) {
	if p.match == nil {
		return map[string]string{}, key == p.prefix
	}
	if !strings.HasPrefix(key, p.prefix) {
		return nil, false
	}
	found := p.match.FindStringSubmatch(key)
	if found == nil {
		return nil, false
	}
	values := make(map[string]string, len(p.captures))
	for i, name := range p.captures {
		values[name] = found[i+1]
	}
	return values, true
}

// compiler turns a pattern into a regular expression, which Go matches in
// linear time.
type compiler struct {
	uri   string
	src   string
	shift int // where src begins in uri
	pos   int
	out   strings.Builder
	names []string
	seen  map[string]bool
}

// maxNesting bounds alternatives inside alternatives.
const maxNesting = 100

func (c *compiler) fail(at int, format string, args ...any) error {
	return &PatternError{c.uri, c.shift + at, fmt.Sprintf(format, args...)}
}

// unescape copies one character to b, without the backslash before it.
func (c *compiler) unescape(b *strings.Builder) error {
	if c.src[c.pos] == '\\' {
		if c.pos++; c.pos == len(c.src) {
			return c.fail(c.pos-1, "nothing follows the backslash")
		}
	}
	_, n := utf8.DecodeRuneInString(c.src[c.pos:])
	b.WriteString(c.src[c.pos : c.pos+n])
	c.pos += n
	return nil
}

// sequence compiles to the end of the text, or inside braces to the comma or
// brace that ends the alternative.
func (c *compiler) sequence(depth int) error {
	for c.pos < len(c.src) {
		at := c.pos
		switch c.src[at] {
		case '}':
			if depth == 0 {
				return c.fail(at, "} without {")
			}
			return nil
		case ']':
			return c.fail(at, "] without [")
		case ',':
			if depth > 0 {
				return nil
			}
			c.out.WriteByte(',')
			c.pos++
		case '*':
			if err := c.star(depth); err != nil {
				return err
			}
		case '?':
			c.out.WriteString("[^/]")
			c.pos++
		case '[':
			if err := c.class(); err != nil {
				return err
			}
		case '{':
			if err := c.braces(depth); err != nil {
				return err
			}
		default:
			var b strings.Builder
			if err := c.unescape(&b); err != nil {
				return err
			}
			c.out.WriteString(regexp.QuoteMeta(b.String()))
		}
	}
	return nil
}

func (c *compiler) star(depth int) error {
	at := c.pos
	for c.pos < len(c.src) && c.src[c.pos] == '*' {
		c.pos++
	}
	if c.pos == at+1 {
		c.out.WriteString("[^/]*")
		return nil
	}
	begins := at == 0 || c.src[at-1] == '/'
	ends := c.pos == len(c.src) || c.src[c.pos] == '/'
	if c.pos != at+2 || depth > 0 || !begins || !ends {
		return c.fail(at, "** must be a whole segment, as in a/**/b")
	}
	if c.pos == len(c.src) {
		c.out.WriteString(".+")
		return nil
	}
	c.pos++ // the slash is part of what may be absent
	c.out.WriteString("(?:.*/)?")
	return nil
}

func (c *compiler) class() error {
	at := c.pos
	c.pos++
	negate := c.pos < len(c.src) && (c.src[c.pos] == '!' || c.src[c.pos] == '^')
	if negate {
		c.pos++
	}
	var set strings.Builder
	next := func() (r rune, err error) {
		if c.pos < len(c.src) && c.src[c.pos] == '/' {
			return 0, c.fail(c.pos, "a set cannot hold a slash")
		}
		var b strings.Builder
		if err := c.unescape(&b); err != nil {
			return 0, err
		}
		r, _ = utf8.DecodeRuneInString(b.String())
		return r, nil
	}
	for n := 0; ; n++ {
		if c.pos >= len(c.src) {
			return c.fail(at, "unclosed [")
		}
		if c.src[c.pos] == ']' && n > 0 {
			c.pos++
			break
		}
		first := c.pos
		lo, err := next()
		if err != nil {
			return err
		}
		hi := lo
		if c.pos+1 < len(c.src) && c.src[c.pos] == '-' && c.src[c.pos+1] != ']' {
			c.pos++
			if hi, err = next(); err != nil {
				return err
			}
		}
		if hi < lo {
			return c.fail(first, "the range %c-%c runs backwards", lo, hi)
		}
		if lo <= '/' && '/' <= hi { // '.'-'0' must not let a slash in
			if lo < '/' {
				fmt.Fprintf(&set, `\x{%x}-\x{%x}`, lo, '/'-1)
			}
			if '/' < hi {
				fmt.Fprintf(&set, `\x{%x}-\x{%x}`, '/'+1, hi)
			}
			continue
		}
		fmt.Fprintf(&set, `\x{%x}-\x{%x}`, lo, hi)
	}
	if negate {
		c.out.WriteString("[^/" + set.String() + "]")
	} else {
		c.out.WriteString("[" + set.String() + "]")
	}
	return nil
}

// braces compiles a capture or alternatives.
func (c *compiler) braces(depth int) error {
	at := c.pos
	c.pos++
	if n := identifier(c.src[c.pos:]); n > 0 && strings.HasPrefix(c.src[c.pos+n:], "}") {
		name := c.src[c.pos : c.pos+n]
		if depth > 0 {
			return c.fail(at, "the capture {%s} cannot stand inside alternatives", name)
		}
		if c.seen[name] {
			return c.fail(at, "the capture {%s} occurs twice", name)
		}
		c.seen[name] = true
		c.names = append(c.names, name)
		c.out.WriteString("([^/]+)")
		c.pos += n + 1
		return nil
	}
	if depth == maxNesting {
		return c.fail(at, "alternatives are nested too deeply")
	}
	c.out.WriteString("(?:")
	for choices := 1; ; choices++ {
		if err := c.sequence(depth + 1); err != nil {
			return err
		}
		if c.pos == len(c.src) {
			return c.fail(at, "unclosed {")
		}
		c.pos++
		if c.src[c.pos-1] == ',' {
			c.out.WriteByte('|')
			continue
		}
		if choices == 1 {
			return c.fail(at, "{%s} is neither a name, for a capture, nor a list of alternatives", c.src[at+1:c.pos-1])
		}
		c.out.WriteByte(')')
		return nil
	}
}

// identifier returns the length of the identifier that s begins with.
func identifier(s string) int {
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b == '_', 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z':
		case '0' <= b && b <= '9' && i > 0:
		default:
			return i
		}
	}
	return len(s)
}
