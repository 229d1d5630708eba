package csv

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline"
)

// Config are the settings of the format in a pipeline.
type Config struct {
	Delimiter string            `yaml:"delimiter" doc:"The character between cells; a comma when left out." example:"\";\""`
	Nulls     []string          `yaml:"nulls" doc:"Texts that stand for null, as the empty cell does." example:"[NA, \"-\"]"`
	Columns   map[string]string `yaml:"columns" doc:"Types of columns by name: bool, int64, float64, timestamp, date or text. Those of others are found by reading the file first." example:"{station: text}"`
}

// settings are a Config ready for use.
type settings struct {
	comma rune
	nulls map[string]bool
	types map[string]kind
}

// typeNames are the names of kinds in settings.
var typeNames = [...]string{"bool", "int64", "float64", "timestamp", "date", "text"}

// configure returns the format with settings.
func configure(_ context.Context, config any, _ pipeline.Env) (pipeline.Format, error) {
	c := config.(*Config)
	s := settings{comma: ',', nulls: make(map[string]bool), types: make(map[string]kind)}
	if c.Delimiter != "" {
		r, n := utf8.DecodeRuneInString(c.Delimiter)
		if n != len(c.Delimiter) || r == utf8.RuneError || strings.ContainsRune("\"\r\n", r) {
			return nil, &pipeline.Issue{Message: fmt.Sprintf("formats.csv.delimiter: %q: want one character, which is no quote and no line end", c.Delimiter)}
		}
		s.comma = r
	}
	for _, text := range c.Nulls {
		s.nulls[text] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.Columns)) {
		k := slices.Index(typeNames[:], c.Columns[name])
		if k < 0 {
			return nil, &pipeline.Issue{Message: fmt.Sprintf("formats.csv.columns.%s: %q is no type: want one of %s", name, c.Columns[name], strings.Join(typeNames[:], ", "))}
		}
		s.types[name] = kind(k)
	}
	return format{s}, nil
}

// declared describes a file all of whose columns have declared types.
func (s settings) declared(key string, names []string) (*description, bool) {
	kinds := make([]kind, len(names))
	for i, name := range names {
		k, ok := s.types[name]
		if !ok {
			return nil, false
		}
		kinds[i] = k
	}
	return describe(key, names, kinds), true
}
