package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// maxSchema bounds the text of all definitions of a database.
const maxSchema = 16 << 20

// Schema is the tables and indexes of a database.
type Schema struct {
	Tables  map[string]Table // by name in lower case
	Indexes []Index
}

// Table is a table with rowids.
type Table struct {
	Name    string
	Root    uint32
	Columns []string // names in lower case
	// Alias is the column that is another name of the rowid, stored as null;
	// -1 for none.
	Alias int
}

// Column returns the position of a column, or -1.
func (t Table) Column(name string) int {
	for i, c := range t.Columns {
		if c == name {
			return i
		}
	}
	return -1
}

// Index is an index.
type Index struct {
	Table   string // in lower case
	Root    uint32
	Columns []string // names in lower case
}

// Schema reads the definitions of a database, and tells what is damaged.
func (f *File) Schema(ctx context.Context, p *Pager) (*Schema, []Damage, error) {
	s := &Schema{Tables: make(map[string]Table)}
	damage, err := f.Rows(ctx, p, 1, maxSchema, func(_ int64, v []Value) error {
		if len(v) < 5 || v[3].Kind != Integer || v[3].Int <= 0 || v[3].Int > int64(^uint32(0)) {
			return nil
		}
		name, sql, root := strings.ToLower(f.Text(v[2])), f.Text(v[4]), uint32(v[3].Int)
		switch f.Text(v[0]) {
		case "table":
			t := Table{Name: name, Root: root, Alias: -1}
			body, tail := parentheses(sql)
			for _, def := range split(body) {
				t.column(words(def))
			}
			if after := words(tail); len(after) > 1 && strings.EqualFold(after[0], "without") {
				t.Root = 0 // no b-tree of a table
			}
			s.Tables[name] = t
		case "index":
			x := Index{Table: name, Root: root}
			body, _ := parentheses(sql)
			for _, def := range split(body) {
				if w := words(def); len(w) > 0 {
					x.Columns = append(x.Columns, strings.ToLower(w[0]))
				}
			}
			s.Indexes = append(s.Indexes, x)
		}
		return nil
	})
	return s, damage, err
}

// Readable reports why a table cannot be read.
func (t Table) Readable() error {
	if t.Root == 0 {
		return fmt.Errorf("table %s has no rowids: %w", t.Name, pipeline.ErrUnsupported)
	}
	return nil
}

// column takes up a column, or a constraint of the table.
func (t *Table) column(w []string) {
	if len(w) == 0 {
		return
	}
	switch strings.ToLower(w[0]) {
	case "constraint", "primary", "unique", "check", "foreign":
		return
	}
	rest := strings.ToLower(strings.Join(w[1:], " ")) + " "
	if strings.HasPrefix(rest, "integer primary key ") && !strings.HasPrefix(rest, "integer primary key desc ") {
		t.Alias = len(t.Columns)
	}
	t.Columns = append(t.Columns, strings.ToLower(w[0]))
}

// parentheses returns what stands between the first parenthesis and its
// counterpart, and what follows.
func parentheses(sql string) (body, tail string) {
	depth, from := 0, -1
	for at := 0; at < len(sql); {
		next := token(sql, at)
		switch sql[at] {
		case '(':
			if depth++; depth == 1 {
				from = next
			}
		case ')':
			if depth--; depth == 0 {
				return sql[from:at], sql[next:]
			}
		}
		at = next
	}
	return "", ""
}

// split cuts at commas outside of parentheses.
func split(s string) []string {
	var out []string
	depth, from := 0, 0
	for at := 0; at < len(s); {
		next := token(s, at)
		switch s[at] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, s[from:at])
				from = next
			}
		}
		at = next
	}
	return append(out, s[from:])
}

// words lists the words of a definition without quotes, comments and
// punctuation.
func words(s string) []string {
	var out []string
	for at := 0; at < len(s); {
		next := token(s, at)
		t := s[at:next]
		at = next
		switch {
		case len(t) >= 2 && strings.ContainsRune("\"`'[", rune(t[0])):
			q := t[len(t)-1:]
			out = append(out, strings.ReplaceAll(t[1:len(t)-1], q+q, q))
		case word(t[0]):
			out = append(out, t)
		}
	}
	return out
}

func word(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// token returns the end of the token at a place of SQL text: a word, something
// quoted, a comment, or a character.
func token(s string, at int) int {
	until := func(from int, end string) int {
		if i := strings.Index(s[from:], end); i >= 0 {
			return from + i + len(end)
		}
		return len(s)
	}
	switch c := s[at]; {
	case word(c):
		for at < len(s) && word(s[at]) {
			at++
		}
		return at
	case c == '"' || c == '`' || c == '\'':
		// Doubled, the quote stands for itself.
		for at = until(at+1, s[at:at+1]); at < len(s) && s[at] == c; {
			at = until(at+1, s[at:at+1])
		}
		return at
	case c == '[':
		return until(at+1, "]")
	case strings.HasPrefix(s[at:], "--"):
		return until(at, "\n")
	case strings.HasPrefix(s[at:], "/*"):
		return until(at+2, "*/")
	}
	return at + 1
}
