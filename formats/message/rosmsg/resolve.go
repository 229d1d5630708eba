package rosmsg

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// resolver links the types of a definition.
type resolver struct {
	version  Version
	sections map[string]*section
	done     map[string]*Type
	open     []string // keys of the types being resolved, outermost first
}

func newResolver(v Version) *resolver {
	return &resolver{version: v, sections: make(map[string]*section), done: make(map[string]*Type)}
}

// add takes a section in. Some writers repeat sections: the same type twice is
// accepted when both say the same.
func (r *resolver) add(s *section) error {
	key := keyOf(s.name)
	old, ok := r.sections[key]
	if !ok {
		r.sections[key] = s
		return nil
	}
	if strings.TrimSpace(old.text) == strings.TrimSpace(s.text) {
		return nil
	}
	a, err := old.parse(r.version)
	if err != nil {
		return err
	}
	b, err := s.parse(r.version)
	if err != nil {
		return err
	}
	if !sameType(a, b) {
		return corrupt(s.name, s.line, "defined a second time, and differently from line %d", old.line)
	}
	return nil
}

func sameType(a, b *Type) bool {
	return slices.EqualFunc(a.Fields, b.Fields, func(x, y Field) bool {
		x.Line, y.Line = 0, 0
		return x == y
	}) && slices.EqualFunc(a.Constants, b.Constants, func(x, y Constant) bool {
		x.Line, y.Line = 0, 0
		return x == y
	})
}

// candidates are the keys under which the type of a field may be found, the
// proper one first. A bare name belongs to the package of the message that
// uses it, whoever uses that message in turn.
func (r *resolver) candidates(pkg, name string) []string {
	switch {
	case r.version == ROS1 && name == "Header":
		return []string{"std_msgs/Header", "roslib/Header"}
	case r.version == ROS1 && name == "roslib/Header":
		// The header's package until ROS Diamondback.
		return []string{name, "std_msgs/Header"}
	case strings.Contains(name, "/"):
		return []string{keyOf(name)}
	case name == "Header":
		return []string{pkg + "/Header", "std_msgs/Header"}
	}
	return []string{pkg + "/" + name}
}

// find resolves the message type of a field of a type in package pkg.
func (r *resolver) find(user string, f *Field, depth int) (*Type, error) {
	keys := r.candidates(packageOf(user), f.TypeName)
	for _, key := range keys {
		if _, ok := r.sections[key]; ok {
			return r.resolve(key, user, f, depth)
		}
	}
	for _, key := range keys {
		if _, ok := builtinText(r.version, key); ok {
			return r.resolve(key, user, f, depth)
		}
	}
	return nil, corrupt(user, f.Line, "field %s: type %s is not defined", f.Name, keys[0])
}

// resolve returns the type under key, which field f of user needs.
func (r *resolver) resolve(key, user string, f *Field, depth int) (*Type, error) {
	if t := r.done[key]; t != nil {
		return t, nil
	}
	if slices.Contains(r.open, key) {
		return nil, corrupt(user, f.Line, "field %s: %s contains itself", f.Name, key)
	}
	if depth > MaxDepth {
		return nil, &Error{Type: user, Line: f.Line, Kind: pipeline.ErrLimit,
			Reason: fmt.Sprintf("field %s: types nest deeper than %d", f.Name, MaxDepth)}
	}
	sec := r.sections[key]
	if sec == nil {
		text, _ := builtinText(r.version, key)
		sec = &section{name: key, line: 1, text: text}
	}
	t, err := sec.parse(r.version)
	if err != nil {
		return nil, err
	}
	if r.version == ROS2 && strings.Count(t.Name, "/") == 1 {
		pkg, short, _ := strings.Cut(t.Name, "/")
		t.Name = pkg + "/msg/" + short
	}
	r.open = append(r.open, key)
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Kind == Message {
			m, err := r.find(t.Name, f, depth+1)
			if err != nil {
				return nil, err
			}
			f.Message = m
			if k, ok := timeKind(m); ok {
				f.Kind, f.Message = k, nil
			}
		}
		if err := t.measure(f); err != nil {
			return nil, err
		}
	}
	if r.version == ROS2 && len(t.Fields) == 0 {
		t.min = 1 // the byte that stands for no fields in CDR
	}
	r.open = r.open[:len(r.open)-1]
	r.done[key] = t
	return t, nil
}

// timeKind recognises the two ROS 2 messages that are times.
func timeKind(t *Type) (Kind, bool) {
	if t.Version != ROS2 || len(t.Fields) != 2 {
		return 0, false
	}
	a, b := &t.Fields[0], &t.Fields[1]
	if a.Name != "sec" || a.Kind != Int32 || a.Array != Single || b.Name != "nanosec" || b.Kind != Uint32 || b.Array != Single {
		return 0, false
	}
	switch t.Name {
	case "builtin_interfaces/msg/Time":
		return Time, true
	case "builtin_interfaces/msg/Duration":
		return Duration, true
	}
	return 0, false
}

// measure adds a field to the extent of t and holds it against the limits.
func (t *Type) measure(f *Field) error {
	leaves, size := 1, uint64(f.Kind.Size())
	switch {
	case f.Kind == Message:
		leaves, size = f.Message.leaves, f.Message.min
	case size == 0:
		size = 4 // the length of a string
	}
	switch f.Array {
	case Fixed:
		size *= uint64(f.Len)
		if f.Len == 0 {
			leaves = 0
		}
	case Sequence:
		leaves, size = max(leaves, 1), 4
	}
	t.leaves += leaves
	t.min += size
	limit := &Error{Type: t.Name, Line: f.Line, Kind: pipeline.ErrLimit}
	if t.leaves > MaxColumns {
		limit.Reason = fmt.Sprintf("field %s: more than %d columns", f.Name, MaxColumns)
		return limit
	}
	if t.min > MaxFixedBytes {
		limit.Reason = fmt.Sprintf("field %s: fixed arrays of more than %d bytes", f.Name, MaxFixedBytes)
		return limit
	}
	return nil
}
