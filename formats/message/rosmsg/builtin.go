package rosmsg

import (
	"fmt"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
)

// Builtin returns a standard message type without any definition at hand:
// pkg/Type as ROS 1 has it, pkg/msg/Type as ROS 2. The error of an unknown
// name wraps pipeline.ErrNotFound.
//
// Where ROS 2 releases differ, the type is that of the releases up to Humble:
// later ones store definitions with the data.
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

// BuiltinNames lists the standard types of a version in the order of the
// table, dependencies included.
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
}

// builtins reads the table once.
var builtins = sync.OnceValue(func() map[Version]*builtinSet {
	sets := map[Version]*builtinSet{
		ROS1: {text: make(map[string]string)},
		ROS2: {text: make(map[string]string)},
	}
	pkg := ""
	for line := range strings.Lines(builtinTable) {
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
			only, name = "12", head
		}
		for v, digit := range map[Version]string{ROS1: "1", ROS2: "2"} {
			if strings.Contains(only, digit) {
				sets[v].order = append(sets[v].order, pkg+"/"+name)
				sets[v].text[pkg+"/"+name] = text
			}
		}
	}
	return sets
})
