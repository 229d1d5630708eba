package config

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// expander replaces variables in the scalars of a tree.
type expander struct {
	env      func(string) (string, bool)
	issues   *pipeline.Issues
	reported map[pipeline.Pos]bool // scalars behind an alias are met several times
}

func (e *expander) walk(v *Value, path string) {
	switch v.Kind {
	case Scalar:
		e.scalar(v, path)
	case List:
		for i, item := range v.Items {
			e.walk(item, join(path, strconv.Itoa(i)))
		}
	case Mapping:
		for _, f := range v.Fields {
			if e.secret(f.Key) {
				e.issues.Addf(f.Pos, path, "a key holds credentials; leave them to the environment or to the store's own configuration")
				continue
			}
			e.walk(f.Value, join(path, f.Key))
		}
	}
}

func (e *expander) scalar(v *Value, path string) {
	if strings.Contains(v.Text, "${") {
		text, at, msg := e.expand(v.Text, 0)
		if msg != "" {
			pos := v.Pos.Shift(characters(v.Text, at))
			if !e.reported[pos] || pos.Line == 0 {
				e.issues.Addf(pos, path, "%s", msg)
			}
			e.reported[pos] = true
			v.bad = true
			return
		}
		v.Text = text
		if v.plain {
			resolve(v)
		}
	}
	if e.secret(v.Text) {
		if !e.reported[v.Pos] || v.Pos.Line == 0 {
			e.issues.Addf(v.Pos, path, "holds credentials; leave them to the environment or to the store's own configuration")
		}
		e.reported[v.Pos] = true
		v.bad = true
	}
}

// secretVariable matches names of variables whose values do not belong into a
// pipeline, which is kept in manifests.
var secretVariable = regexp.MustCompile(`(?i)SECRET|PASSWORD|PASSWD|PRIVATE_KEY|ACCESS_KEY|SESSION_TOKEN`)

// leastSecret is the length from which a value of the environment is looked
// for in texts: shorter ones would be found by chance.
const leastSecret = 12

// secret reports whether a text holds credentials: by their form, or because
// they are those of the environment.
func (e *expander) secret(s string) bool {
	if pipeline.HoldsSecret(s) {
		return true
	}
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		if e.env == nil || len(s) < leastSecret {
			break
		}
		if value, _ := e.env(name); len(value) >= leastSecret && strings.Contains(s, value) {
			return true
		}
	}
	return false
}

const maxNesting = 8

// expand replaces the variables in s. When it fails it returns a message and
// where in s it belongs.
func (e *expander) expand(s string, depth int) (out string, at int, msg string) {
	var b strings.Builder
	for i := 0; i < len(s); {
		j := strings.Index(s[i:], "${")
		if j < 0 {
			b.WriteString(s[i:])
			break
		}
		j += i
		if j > i && s[j-1] == '$' {
			b.WriteString(s[i : j-1])
			b.WriteString("${")
			i = j + 2
			continue
		}
		b.WriteString(s[i:j])
		end := closing(s, j+2)
		if end < 0 {
			return "", j, "${ has no closing }; write $${ for the characters themselves"
		}
		name, def, hasDef := strings.Cut(s[j+2:end], ":")
		if !isVariable(name) {
			return "", j, quote(name) + " is no name of a variable; write $${ for the characters themselves"
		}
		if secretVariable.MatchString(name) {
			return "", j, "the variable " + name + " is one for credentials; leave them to the environment or to the store's own configuration"
		}
		val, ok := "", false
		if e.env != nil {
			val, ok = e.env(name)
		}
		switch {
		case ok:
		case !hasDef:
			return "", j, "the variable " + name + " is not defined and has no default"
		case depth == maxNesting:
			return "", j, "defaults are nested too deeply"
		default:
			var off int
			if val, off, msg = e.expand(def, depth+1); msg != "" {
				return "", j + 2 + len(name) + 1 + off, msg
			}
		}
		b.WriteString(val)
		i = end + 1
	}
	return b.String(), 0, ""
}

// closing finds the brace that closes the one before from; pairs of braces in
// between belong to the default.
func closing(s string, from int) int {
	depth := 0
	for i := from; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}

func isVariable(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
