package rosmsg

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Library holds definitions of ROS 2 types apart from any recording: a folder
// of .msg, .srv, .action and .idl files, or what is built in. A nil Library is
// empty.
type Library struct {
	text  map[string]string // .msg, by pkg/Type
	parts map[string]string // .srv and .action, by pkg/srv/Name and pkg/action/Name
	idl   map[string]string // by pkg/msg/Type
	below *Library          // asked for what is not here
}

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
// pkg/srv/Service.srv, pkg/action/Action.action, pkg/msg/Type.idl; msg, srv and
// action may be left out. Root is the name of the folder, which counts as
// package for a path without one. Files of other kinds are passed over.
//
// An .idl file is looked into when it is asked for the type that it is named
// after, and only if no other file defines that: what tools make of a .msg says
// the same with more words.
func (l *Library) Add(root, name string, text []byte) error {
	ext := path.Ext(name)
	if !IsDefinition(name) {
		return nil
	}
	full := fileType(root, name)
	if len(text) > MaxText {
		return &Error{Type: full, Kind: pipeline.ErrLimit, Reason: fmt.Sprintf("text of %d bytes, at most %d are read", len(text), MaxText)}
	}
	switch ext {
	case ".msg":
		return keep(&l.text, keyOf(full), string(text))
	case ".idl":
		return keep(&l.idl, full, string(text))
	}
	return keep(&l.parts, full, string(text))
}

// IsDefinition reports whether Add takes in a file of that name.
func IsDefinition(name string) bool {
	switch path.Ext(name) {
	case ".msg", ".srv", ".action", ".idl":
		return true
	}
	return false
}

// fileType is the name, pkg/msg/Type, that a file in folder root stands for.
func fileType(root, name string) string {
	ext := path.Ext(name)
	parts := strings.Split(strings.TrimSuffix(name, ext), "/")
	short := parts[len(parts)-1]
	parts = parts[:len(parts)-1]
	space := "msg"
	if n := len(parts); n > 0 && (parts[n-1] == "msg" || parts[n-1] == "srv" || parts[n-1] == "action") {
		space = parts[n-1]
		parts = parts[:n-1]
	} else if ext == ".srv" || ext == ".action" {
		space = ext[1:]
	}
	pkg := root
	if n := len(parts); n > 0 {
		pkg = parts[n-1]
	}
	return pkg + "/" + space + "/" + short
}

// keep adds a text to a map of a library.
func keep(m *map[string]string, key, text string) error {
	if old, ok := (*m)[key]; ok && strings.TrimSpace(old) != strings.TrimSpace(text) {
		return corrupt(key, 1, "defined in two files, and differently")
	}
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[key] = text
	return nil
}

// Len is how many files l itself holds.
func (l *Library) Len() int {
	if l == nil {
		return 0
	}
	return len(l.text) + len(l.parts) + len(l.idl)
}

// file is a text of a library.
type file struct {
	name  string // pkg/msg/Type, of a service or action that of the file
	text  string
	isIDL bool
	parts bool // of a service or action
}

// find returns the text that defines a type, pkg/msg/Type or pkg/Type, of l or
// of what is below.
func (l *Library) find(name string) (file, bool) {
	key := keyOf(name)
	if strings.Count(name, "/") == 1 {
		name = strings.Replace(name, "/", "/msg/", 1)
	}
	base := baseOf(name)
	for ; l != nil; l = l.below {
		if text, ok := l.text[key]; ok {
			return file{name: name, text: text}, true
		}
		if text, ok := l.parts[base]; ok {
			return file{name: base, text: text, parts: true}, true
		}
		for _, of := range []string{name, base} {
			if text, ok := l.idl[of]; ok {
				return file{name: of, text: text, isIDL: true}, true
			}
		}
	}
	return file{}, false
}

// Definition returns the definition of a type and of all types it uses, in the
// form that recordings have it: pkg/msg/Type, pkg/Type, or a type that the tools
// of ROS 2 make of a service or action, as pkg/srv/Service_Event. The encoding
// is ros2msg, as Parse reads it, or ros2idl where some of it is in IDL: sections
// behind lines IDL: and MSG:, the first of which is the type's. The error of an
// unknown type wraps pipeline.ErrNotFound. Types that are used and not known are
// left out, for the reader to report.
func (l *Library) Definition(name string) (encoding string, text []byte, err error) {
	root, ok := l.find(name)
	if !ok {
		return "", nil, fmt.Errorf("message type %s: %w", name, pipeline.ErrNotFound)
	}
	files := []file{root}
	used := map[string]bool{root.name: true}
	isIDL, size := false, 0
	for i := 0; i < len(files); i++ {
		f := files[i]
		isIDL = isIDL || f.isIDL
		size += len(f.text)
		if len(files) > MaxTypes || size > MaxText {
			return "", nil, &Error{Type: name, Kind: pipeline.ErrLimit, Reason: "it uses too many types"}
		}
		for _, u := range l.uses(f) {
			if !used[u.name] {
				used[u.name] = true
				files = append(files, u)
			}
		}
	}
	var b strings.Builder
	if !isIDL {
		b.WriteString(root.text)
		for _, f := range files[1:] {
			fmt.Fprintf(&b, "\n%s\nMSG: %s\n%s", bar, keyOf(f.name), f.text)
		}
		return "ros2msg", []byte(b.String()), nil
	}
	for _, f := range files {
		switch {
		case f.isIDL:
			fmt.Fprintf(&b, "%s\nIDL: %s\n%s\n", bar, f.name, f.text)
		case f.parts:
			for _, s := range namedParts(f.name, f.text) {
				fmt.Fprintf(&b, "%s\nMSG: %s\n%s\n", bar, s.name, s.text)
			}
		default:
			fmt.Fprintf(&b, "%s\nMSG: %s\n%s\n", bar, f.name, f.text)
		}
	}
	return "ros2idl", []byte(b.String()), nil
}

// bar is the line between the sections of a definition.
var bar = strings.Repeat("=", 80)

// uses lists the known types that a text uses.
func (l *Library) uses(f file) []file {
	var out []file
	if f.isIDL {
		for line := range strings.Lines(f.text) {
			if name, ok := included(line); ok {
				if u, ok := l.find(fileType(packageOf(f.name), name)); ok {
					out = append(out, u)
				}
			}
		}
		return out
	}
	r := newResolver(ROS2)
	for line := range strings.Lines(f.text) {
		field, _, _ := parseLine(ROS2, line)
		if field == nil || field.Kind != Message {
			continue
		}
		for _, key := range r.candidates(packageOf(f.name), field.TypeName) {
			if u, ok := l.find(key); ok {
				out = append(out, u)
				break
			}
		}
	}
	return out
}

// included returns the file that a line of IDL includes.
func included(line string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
	if !ok {
		return "", false
	}
	rest, ok = strings.CutPrefix(strings.TrimSpace(rest), "include")
	rest = strings.TrimSpace(rest)
	if !ok || len(rest) < 3 {
		return "", false
	}
	end := map[byte]string{'"': "\"", '<': ">"}[rest[0]]
	if end == "" {
		return "", false
	}
	name, _, ok = strings.Cut(rest[1:], end)
	return name, ok
}
