package config

import (
	"strconv"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline"
)

// Kind of a Value.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	Scalar
	List
	Mapping
)

// Value is a node of a parsed file: aliases and merge keys are resolved,
// variables replaced. It is a tree.
type Value struct {
	Kind Kind
	Pos  pipeline.Pos // of the value, or of the text inside quotes
	Key  pipeline.Pos // of the key or item that holds it

	Text   string   // of a scalar
	Items  []*Value // of a list
	Fields []Field  // of a mapping, in order

	tag   string // !!str, !!int, !!float, !!bool, !!null, ... of a scalar
	plain bool   // not quoted: the tag follows from the text
	bad   bool   // a mistake was reported; nothing is to be read from it
}

// Field is one key of a mapping.
type Field struct {
	Key   string
	Pos   pipeline.Pos
	Value *Value
}

// Get returns the value under key, nil where there is none.
func (v *Value) Get(key string) *Value {
	for i := range v.Fields {
		if v.Fields[i].Key == key {
			return v.Fields[i].Value
		}
	}
	return nil
}

// at is where a message about the whole value points.
func (v *Value) at() pipeline.Pos {
	if v.Key != (pipeline.Pos{}) {
		return v.Key
	}
	return v.Pos
}

// describe names the value in messages.
func (v *Value) describe() string {
	switch v.Kind {
	case Null:
		return "nothing"
	case List:
		return "a list"
	case Mapping:
		return "a mapping"
	}
	return quote(v.Text)
}

// quote quotes a text for a message, shortened. Credentials are not shown.
func quote(s string) string {
	const limit = 60
	if pipeline.HoldsSecret(s) {
		return `"***"`
	}
	if len(s) > limit {
		n := limit
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "..."
	}
	return strconv.Quote(s)
}

// characters counts those before byte n of s, as columns are counted.
func characters(s string, n int) int { return utf8.RuneCountInString(s[:n]) }

// join appends a key to a dotted path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
