package rosmsg

import (
	"fmt"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Parse reads the definition of the message type name: its text, and after it
// those of the types it uses. Only types that name uses, directly or not, are
// looked at. Empty text is a message without fields, or the built-in type of
// that name if there is one.
//
// Errors are of type *Error. They wrap pipeline.ErrUnsupported for IDL,
// pipeline.ErrLimit beyond the limits of this package, else
// pipeline.ErrCorrupt.
func Parse(v Version, name string, text []byte) (*Type, error) {
	if len(text) > MaxText {
		return nil, &Error{Type: name, Kind: pipeline.ErrLimit,
			Reason: fmt.Sprintf("text of %d bytes, at most %d are read", len(text), MaxText)}
	}
	s := strings.TrimPrefix(string(text), "\ufeff")
	sections, err := split(name, strings.TrimRight(s, "\x00"))
	if err != nil {
		return nil, err
	}
	if v == ROS2 {
		sections = derive(name, sections)
	}
	r := newResolver(v)
	root := keyOf(name)
	for i := range sections {
		sec := &sections[i]
		if i == 0 && sec.blank() && fromLater(root, sections[1:]) {
			continue
		}
		if err := r.add(sec); err != nil {
			return nil, err
		}
	}
	if sections[0].blank() && len(sections) == 1 {
		if _, ok := builtinText(v, root); ok {
			delete(r.sections, root)
		}
	}
	return r.resolve(root, name, &Field{TypeName: name}, 0)
}

// fromLater reports whether the root has a headed section of its own.
func fromLater(root string, sections []section) bool {
	for _, s := range sections {
		if keyOf(s.name) == root {
			return true
		}
	}
	return false
}

// section is the text of one type.
type section struct {
	name string
	line int // of the definition where text begins
	text string
	typ  *Type // once parsed
}

func (s *section) blank() bool { return strings.TrimSpace(s.text) == "" }

// split cuts a definition into its sections; the first is the root's.
func split(root, text string) ([]section, error) {
	sections := []section{{name: root, line: 1}}
	cur := &sections[0]
	begin, line := 0, 0
	for at := 0; at <= len(text); {
		end := strings.IndexByte(text[at:], '\n')
		next := len(text) + 1
		if end < 0 {
			end = len(text)
		} else {
			end += at
			next = end + 1
		}
		line++
		if !isSeparator(text[at:end]) {
			at = next
			continue
		}
		cur.text = text[begin:at]
		// The header is the next line that is not blank.
		sepLine := line
		var head string
		for at = next; at <= len(text) && head == ""; at = next {
			end, next = strings.IndexByte(text[at:], '\n'), len(text)+1
			if end < 0 {
				end = len(text)
			} else {
				end += at
				next = end + 1
			}
			line++
			head = strings.TrimSpace(text[at:end])
		}
		name, ok := strings.CutPrefix(head, "MSG:")
		if !ok {
			if strings.HasPrefix(head, "IDL:") {
				return nil, &Error{Type: root, Line: line, Kind: pipeline.ErrUnsupported, Reason: "the definition is OMG IDL (IDL: section)"}
			}
			return nil, corrupt(root, sepLine, "a line of = is not followed by a line MSG: pkg/Type")
		}
		if len(sections) == MaxTypes {
			return nil, &Error{Type: root, Line: line, Kind: pipeline.ErrLimit, Reason: fmt.Sprintf("more than %d types", MaxTypes)}
		}
		sections = append(sections, section{name: strings.TrimSpace(name), line: line + 1})
		cur = &sections[len(sections)-1]
		begin = min(at, len(text))
	}
	cur.text = text[begin:]
	for i := range sections {
		if n, ok := idlLine(sections[i].text); ok {
			return nil, &Error{Type: sections[i].name, Line: sections[i].line + n, Kind: pipeline.ErrUnsupported,
				Reason: "the definition is OMG IDL, though labelled as .msg"}
		}
	}
	return sections, nil
}

// isSeparator reports whether line is a row of equals signs. Writers put 80;
// readers have always taken fewer.
func isSeparator(line string) bool {
	line = strings.TrimSpace(line)
	return len(line) >= 2 && strings.Trim(line, "=") == ""
}

// idlLine finds the line, counted from 0, with which text gives itself away as
// IDL: module or struct as first word, with a brace somewhere.
func idlLine(text string) (int, bool) {
	if !strings.Contains(text, "{") {
		return 0, false
	}
	n := 0
	for line := range strings.Lines(text) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "module" || word == "struct" {
			return n, true
		}
		n++
	}
	return 0, false
}

// keyOf is the name under which types are looked up: pkg/Type, without the
// msg, srv or action that ROS 2 puts between. Both spellings occur in files.
func keyOf(name string) string {
	if parts := strings.Split(name, "/"); len(parts) == 3 {
		return parts[0] + "/" + parts[2]
	}
	return name
}

// packageOf is the first part of a name that has more than one.
func packageOf(name string) string {
	if i := strings.IndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return ""
}

// parse reads the fields and constants of one type. Types of fields
// are not resolved yet.
func (s *section) parse(v Version) (*Type, error) {
	if s.typ != nil {
		return s.typ, nil
	}
	t := &Type{Name: s.name, Version: v}
	seen := make(map[string]bool)
	n := s.line - 1
	for raw := range strings.Lines(s.text) {
		n++
		var err *Error
		f, c, reason := parseLine(v, raw)
		switch {
		case reason != "":
			err = corrupt(s.name, n, "%s", reason)
		case f != nil:
			if seen[f.Name] {
				err = corrupt(s.name, n, "field %s is declared twice", f.Name)
				break
			}
			seen[f.Name] = true
			f.Line = n
			t.Fields = append(t.Fields, *f)
			if len(t.Fields) > MaxColumns {
				err = &Error{Type: s.name, Line: n, Kind: pipeline.ErrLimit, Reason: fmt.Sprintf("more than %d fields", MaxColumns)}
			}
		case c != nil:
			c.Line = n
			t.Constants = append(t.Constants, *c)
		}
		if err != nil {
			return nil, err
		}
	}
	s.typ = t
	return t, nil
}

// parseLine reads one line: a field, a constant, nothing, or the reason why
// not.
func parseLine(v Version, raw string) (*Field, *Constant, string) {
	if v == ROS1 {
		return parseLine1(raw)
	}
	return parseLine2(raw)
}
