package rosmsg

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Library holds definitions of ROS 2 types apart from any recording: a folder
// of .msg and .srv files, or what is built in. A nil Library is empty.
type Library struct {
	text  map[string]string // by pkg/Type
	srv   map[string]string // by pkg/Service
	idl   map[string]string // path by pkg/Type, of what only IDL defines
	below *Library          // asked for what is not here
}

// TranslateIDL translates a file of OMG IDL into the .msg texts of the types it
// defines, by name (pkg/msg/Type).
type TranslateIDL func(text []byte) (map[string]string, error)

// Builtins returns the types built in for a distribution of ROS 2, by its name
// in lower case, and the distribution they are those of: that of Humble for an
// unknown name.
func Builtins(distro string) (lib *Library, release string) {
	release = defaultRelease
	switch {
	case slices.Contains(releases, distro):
		release = distro
	case distro == "crystal" || distro == "bouncy" || distro == "ardent":
		release = releases[0]
	}
	set := builtins()[ROS2]
	below := &Library{text: set.text}
	return &Library{text: set.other[release], below: below}, release
}

// Over returns a library that asks below for what l does not hold.
func (l *Library) Over(below *Library) *Library {
	if l == nil {
		return below
	}
	c := *l
	c.below = below
	return &c
}

// Add takes in a file, named by its path below the folder: pkg/msg/Type.msg,
// pkg/srv/Service.srv, pkg/msg/Type.idl; msg and srv may be left out. Root is
// the name of the folder, which counts as package for a path without one. Files
// of other kinds are passed over. IDL is translated by idl; without it, types
// that only .idl files define are reported by Definition.
func (l *Library) Add(root, name string, text []byte, idl TranslateIDL) error {
	ext := path.Ext(name)
	if ext != ".msg" && ext != ".srv" && ext != ".idl" {
		return nil
	}
	parts := strings.Split(strings.TrimSuffix(name, ext), "/")
	short := parts[len(parts)-1]
	parts = parts[:len(parts)-1]
	if n := len(parts); n > 0 && (parts[n-1] == "msg" || parts[n-1] == "srv" || parts[n-1] == "action") {
		parts = parts[:n-1]
	}
	pkg := root
	if n := len(parts); n > 0 {
		pkg = parts[n-1]
	}
	key := pkg + "/" + short
	if len(text) > MaxText {
		return &Error{Type: key, Kind: pipeline.ErrLimit, Reason: fmt.Sprintf("text of %d bytes, at most %d are read", len(text), MaxText)}
	}
	switch {
	case ext == ".msg":
		return l.define(key, string(text))
	case ext == ".srv":
		if l.srv == nil {
			l.srv = make(map[string]string)
		}
		l.srv[key] = string(text)
	case idl == nil:
		if l.idl == nil {
			l.idl = make(map[string]string)
		}
		l.idl[key] = name
	default:
		types, err := idl(text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for typ, text := range types {
			// The .idl that tools make of a .msg says the same with more words.
			if k := keyOf(typ); l.text[k] == "" {
				if err := l.define(k, text); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// define adds the text of one type.
func (l *Library) define(key, text string) error {
	if old, ok := l.text[key]; ok && strings.TrimSpace(old) != strings.TrimSpace(text) {
		return corrupt(key, 1, "defined in two files, and differently")
	}
	if l.text == nil {
		l.text = make(map[string]string)
	}
	l.text[key] = text
	return nil
}

// Len is how many types and services l itself holds.
func (l *Library) Len() int {
	if l == nil {
		return 0
	}
	return len(l.text) + len(l.srv)
}

// find returns the text of a type, of l or of what is below.
func (l *Library) find(key string) (string, bool) {
	for ; l != nil; l = l.below {
		if text, ok := l.text[key]; ok {
			return text, true
		}
	}
	return "", false
}

// Definition returns the definition of a type and of all types it uses, in the
// form that recordings have it and Parse reads: pkg/msg/Type, pkg/Type, or
// pkg/srv/Service_Event for the events of a service. The error of an unknown
// type wraps pipeline.ErrNotFound. Types that are used and not known are left
// out, for Parse to report.
func (l *Library) Definition(name string) ([]byte, error) {
	if l == nil {
		return nil, fmt.Errorf("message type %s: %w", name, pipeline.ErrNotFound)
	}
	root, ok := l.find(keyOf(name))
	service, isEvent := strings.CutSuffix(name, "_Event")
	if !ok && isEvent && strings.Contains(name, "/srv/") {
		for at := l; at != nil && !ok; at = at.below {
			root, ok = at.srv[keyOf(service)]
		}
	}
	if !ok {
		if file, ok := l.idl[keyOf(name)]; ok {
			return nil, fmt.Errorf("message type %s is defined by %s only, and IDL is not read: %w", name, file, pipeline.ErrNotFound)
		}
		return nil, fmt.Errorf("message type %s: %w", name, pipeline.ErrNotFound)
	}
	var b strings.Builder
	b.WriteString(root)
	used := map[string]bool{keyOf(name): true}
	for queue := l.uses(packageOf(name), root, used); len(queue) > 0; queue = queue[1:] {
		key := queue[0]
		text, _ := l.find(key)
		fmt.Fprintf(&b, "\n%s\nMSG: %s\n%s", strings.Repeat("=", 80), key, text)
		if len(used) > MaxTypes || b.Len() > MaxText {
			return nil, &Error{Type: name, Kind: pipeline.ErrLimit, Reason: "it uses too many types"}
		}
		queue = append(queue, l.uses(packageOf(key), text, used)...)
	}
	return []byte(b.String()), nil
}

// uses lists the known types that a text uses and that are not used yet.
func (l *Library) uses(pkg, text string, used map[string]bool) []string {
	r := newResolver(ROS2)
	var keys []string
	for line := range strings.Lines(text) {
		f, _, _ := parseLine(ROS2, line)
		if f == nil || f.Kind != Message {
			continue
		}
		for _, key := range r.candidates(pkg, f.TypeName) {
			if _, ok := l.find(key); ok {
				if !used[key] {
					used[key] = true
					keys = append(keys, key)
				}
				break
			}
		}
	}
	return keys
}
