package pipeline

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Pos is a place in a pipeline file; Line and Col count from 1.
type Pos struct {
	File string
	Line int
	Col  int
}

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Shift returns the position n columns further right, for places inside a
// scalar on one line.
func (p Pos) Shift(n int) Pos {
	if p.Line > 0 {
		p.Col += n
	}
	return p
}

// Issue is one mistake in a pipeline.
type Issue struct {
	Pos     Pos
	Path    string // dotted path in the file: stages.moving.where
	Message string
	// Suggestion is what may have been meant, empty for none.
	Suggestion string
}

func (i *Issue) Error() string {
	var b strings.Builder
	if s := i.Pos.String(); s != "" {
		b.WriteString(s + ": ")
	}
	if i.Path != "" {
		b.WriteString(i.Path + ": ")
	}
	b.WriteString(i.Message)
	if i.Suggestion != "" {
		fmt.Fprintf(&b, " (did you mean %s?)", i.Suggestion)
	}
	return b.String()
}

// Issues collects mistakes, so that all are reported at once.
type Issues struct{ list []*Issue }

// Addf adds a mistake.
func (is *Issues) Addf(pos Pos, path, format string, args ...any) *Issue {
	i := &Issue{Pos: pos, Path: path, Message: fmt.Sprintf(format, args...)}
	is.list = append(is.list, i)
	return i
}

// Add takes over the mistakes in err, an Issue or Issues, and reports whether
// it was one of them.
func (is *Issues) Add(err error) bool {
	var many *Issues
	var one *Issue
	switch {
	case errors.As(err, &many):
		is.list = append(is.list, many.list...)
	case errors.As(err, &one):
		is.list = append(is.list, one)
	default:
		return false
	}
	return true
}

// All returns the mistakes in the order of the file, without repetitions.
func (is *Issues) All() []*Issue {
	out := make([]*Issue, 0, len(is.list))
	seen := make(map[string]bool)
	for _, i := range is.list {
		if s := i.Error(); !seen[s] {
			seen[s] = true
			out = append(out, i)
		}
	}
	sort.SliceStable(out, func(a, b int) bool {
		x, y := out[a].Pos, out[b].Pos
		if x.File != y.File {
			return x.File < y.File
		}
		if x.Line != y.Line {
			return x.Line < y.Line
		}
		return x.Col < y.Col
	})
	return out
}

// Err returns the collection as an error, or nil when it is empty.
func (is *Issues) Err() error {
	if len(is.list) == 0 {
		return nil
	}
	return is
}

func (is *Issues) Error() string {
	lines := make([]string, 0, len(is.list))
	for _, i := range is.All() {
		lines = append(lines, i.Error())
	}
	return strings.Join(lines, "\n")
}

// Text is a string in a pipeline file together with its place, for texts that
// are parsed further: expressions, column names, URIs.
type Text struct {
	Value string
	Pos   Pos
	// Path is the dotted path of the value in the file.
	Path string
}

func (t Text) String() string { return t.Value }

// Issuef makes a mistake at character n of the text, counted from 0.
func (t Text) Issuef(n int, format string, args ...any) *Issue {
	return &Issue{Pos: t.Pos.Shift(n), Path: t.Path, Message: fmt.Sprintf(format, args...)}
}

// Nearest returns the candidate one or two edits away from name (one edit for
// short names), or the empty string: the suggestion for a misspelt name.
func Nearest(name string, candidates []string) string {
	limit := 1
	if len(name) > 5 {
		limit = 2
	}
	best, dist := "", limit+1
	for _, c := range candidates {
		if d := editDistance(name, c, dist); d < dist {
			best, dist = c, d
		}
	}
	return best
}

// editDistance counts insertions, deletions, substitutions and swaps of
// neighbours; it gives up at limit.
func editDistance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	var prev2 []int
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur := make([]int, len(b)+1)
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev = prev, cur
	}
	return min(prev[len(b)], limit)
}
