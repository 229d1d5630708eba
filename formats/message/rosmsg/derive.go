package rosmsg

import (
	"slices"
	"strings"
)

// derived are the types that the tools of ROS 2 make of a service or action:
// the suffix of their names, and their own text, in which %s is the name that
// they are derived from.
var derived = []struct{ space, suffix, text string }{
	{"srv", "_Event", "service_msgs/ServiceEventInfo info\n%s_Request[<=1] request\n%s_Response[<=1] response"},
	{"action", "_FeedbackMessage", "unique_identifier_msgs/UUID goal_id\n%s_Feedback feedback"},
	{"action", "_SendGoal_Request", "unique_identifier_msgs/UUID goal_id\n%s_Goal goal"},
	{"action", "_SendGoal_Response", "bool accepted\nbuiltin_interfaces/Time stamp"},
	{"action", "_SendGoal_Event", "service_msgs/ServiceEventInfo info\n%s_SendGoal_Request[<=1] request\n%s_SendGoal_Response[<=1] response"},
	{"action", "_GetResult_Request", "unique_identifier_msgs/UUID goal_id"},
	{"action", "_GetResult_Response", "int8 status\n%s_Result result"},
	{"action", "_GetResult_Event", "service_msgs/ServiceEventInfo info\n%s_GetResult_Request[<=1] request\n%s_GetResult_Response[<=1] response"},
}

// partNames are the types that the parts of a .srv or .action file make.
var partNames = map[string][]string{"srv": {"_Request", "_Response"}, "action": {"_Goal", "_Result", "_Feedback"}}

// derivedText returns the text of a type that is made of a service or action,
// pkg/srv/Service_Event and the like, and the name of that.
func derivedText(name string) (base, text string, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 3 {
		return "", "", false
	}
	for _, d := range derived {
		if base, ok := strings.CutSuffix(name, d.suffix); ok && d.space == parts[1] {
			return base, strings.ReplaceAll(d.text, "%s", base), true
		}
	}
	return "", "", false
}

// baseOf is the service or action that a type is of, and the type itself where
// it is of none.
func baseOf(name string) string {
	if base, _, ok := derivedText(name); ok {
		return base
	}
	if parts := strings.Split(name, "/"); len(parts) == 3 {
		for _, suffix := range partNames[parts[1]] {
			if base, ok := strings.CutSuffix(name, suffix); ok {
				return base
			}
		}
	}
	return name
}

// derive replaces the text of a service or action by that of the type name,
// which the tools of ROS 2 derive from it. Recorders store pkg/srv/S_Event with
// the text of S.srv, whose parts stand between lines of ---, and so on.
func derive(name string, sections []section) []section {
	base := baseOf(name)
	root := &sections[0]
	cuts := cutParts(base, root)
	if cuts == nil {
		return sections
	}
	if _, text, ok := derivedText(name); ok {
		root.text = text
		sections = append(sections, cuts...)
		for _, d := range derived {
			if other := base + d.suffix; other != name && d.space == strings.Split(name, "/")[1] {
				_, text, _ := derivedText(other)
				sections = append(sections, section{name: other, line: root.line, text: text})
			}
		}
		return sections
	}
	if i := slices.IndexFunc(cuts, func(s section) bool { return s.name == name }); i >= 0 {
		*root = cuts[i]
	}
	return sections
}

// cutParts cuts the text of a service or action into that of the types that
// its parts are; nil where it is none.
func cutParts(base string, s *section) []section {
	names := strings.Split(base, "/")
	if len(names) != 3 || partNames[names[1]] == nil {
		return nil
	}
	cuts := splitParts(s)
	if len(cuts) != len(partNames[names[1]]) {
		return nil
	}
	for i, suffix := range partNames[names[1]] {
		cuts[i].name = base + suffix
	}
	return cuts
}

// namedParts are the parts of a file of a service or action; the whole, under
// its own name, where it has not as many as it should.
func namedParts(base, text string) []section {
	s := section{name: base, line: 1, text: text}
	if cuts := cutParts(base, &s); cuts != nil {
		return cuts
	}
	return []section{s}
}

// splitParts cuts a text at its lines of ---.
func splitParts(s *section) []section {
	out := []section{{line: s.line}}
	begin, at, line := 0, 0, s.line
	for raw := range strings.Lines(s.text) {
		line++
		if strings.HasPrefix(raw, "---") {
			out[len(out)-1].text = s.text[begin:at]
			begin = at + len(raw)
			out = append(out, section{line: line})
		}
		at += len(raw)
	}
	out[len(out)-1].text = s.text[begin:]
	return out
}
