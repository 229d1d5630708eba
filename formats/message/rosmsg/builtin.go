package rosmsg

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
)

// Builtin returns a standard message type without any definition at hand:
// pkg/Type as ROS 1 has it, pkg/msg/Type as ROS 2. The error of an unknown
// name wraps pipeline.ErrNotFound.
//
// Where ROS 2 releases differ, the type is that of Humble; see Builtins for
// others.
func Builtin(name string) (*Type, error) {
	v := ROS1
	if strings.Count(name, "/") == 2 {
		v = ROS2
	}
	key := keyOf(name)
	if _, ok := builtinText(v, key); !ok {
		return nil, fmt.Errorf("built-in message type %s: %w", name, pipeline.ErrNotFound)
	}
	return newResolver(v).resolve(key, name, &Field{TypeName: name}, 0)
}

// BuiltinNames lists the standard types of a version by name, dependencies
// included.
func BuiltinNames(v Version) []string {
	var names []string
	for _, e := range builtins()[v].order {
		if v == ROS2 {
			pkg, short, _ := strings.Cut(e, "/")
			e = pkg + "/msg/" + short
		}
		names = append(names, e)
	}
	return names
}

// builtinText returns the definition of one standard type, without those of
// the types it uses.
func builtinText(v Version, key string) (string, bool) {
	text, ok := builtins()[v].text[key]
	return text, ok
}

type builtinSet struct {
	order []string
	text  map[string]string
	// other holds, by release, the texts that differ from those of the default
	// release.
	other map[string]map[string]string
}

// builtins reads the tables once.
var builtins = sync.OnceValue(func() map[Version]*builtinSet {
	sets := map[Version]*builtinSet{
		ROS1: {text: make(map[string]string)},
		ROS2: {text: make(map[string]string), other: make(map[string]map[string]string)},
	}
	for _, r := range releases {
		sets[ROS2].other[r] = make(map[string]string)
	}
	for table, versions := range map[string]string{builtinTable: "12", builtinTable2: "2"} {
		readTable(sets, table, versions)
	}
	for _, s := range sets {
		slices.Sort(s.order)
	}
	return sets
})

// readTable adds the types of a table to the sets. Types that do not say so
// are of the given versions.
func readTable(sets map[Version]*builtinSet, table, versions string) {
	pkg := ""
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if p, ok := strings.CutSuffix(line, "/"); ok {
			pkg = p
			continue
		}
		head, body, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		text := strings.ReplaceAll(body, ",", "\n")
		only, name, ok := strings.Cut(head, " ")
		if !ok {
			only, name = versions, head
		}
		key := pkg + "/" + name
		if release, ok := strings.CutPrefix(only, ">="); ok {
			sets[ROS2].releases(key, text, release, "")
		} else if release, ok := strings.CutPrefix(only, "<"); ok {
			sets[ROS2].releases(key, text, "", release)
		} else {
			for v, digit := range map[Version]string{ROS1: "1", ROS2: "2"} {
				if strings.Contains(only, digit) {
					sets[v].order = append(sets[v].order, key)
					sets[v].text[key] = text
				}
			}
		}
	}
}

// releases adds a type of the releases from one on, and before another.
func (s *builtinSet) releases(key, text, from, before string) {
	for i, r := range releases {
		if i < slices.Index(releases, from) || before != "" && i >= slices.Index(releases, before) {
			continue
		}
		s.other[r][key] = text
		if r == defaultRelease {
			s.order = append(s.order, key)
			s.text[key] = text
		}
	}
}
