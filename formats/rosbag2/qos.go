package rosbag2

import (
	"encoding/json"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Enumerations of quality of service, as metadata before version 9 numbers
// them (rmw/types.h).
var qosNames = map[string][]string{
	"history":     {"system_default", "keep_last", "keep_all", "unknown"},
	"reliability": {"system_default", "reliable", "best_effort", "unknown", "best_available"},
	"durability":  {"system_default", "transient_local", "volatile", "unknown", "best_available"},
	"liveliness":  {"system_default", "automatic", "manual_by_node", "manual_by_topic", "unknown", "best_available"},
}

// infinite are the ways in which middlewares spell a duration without end.
var infinite = map[[2]string]bool{
	{"9223372036", "854775807"}:  true, // 2^63-1 ns
	{"2147483647", "4294967295"}: true,
	{"2147483647", "2147483647"}: true,
}

// qosJSON returns profiles of quality of service as a JSON list, with names
// for numbers and "infinite" for durations without end. It reads YAML, or YAML
// within a string as it was written before metadata version 9. It returns the
// text as it is when it cannot be read, and nothing for none.
func qosJSON(n *yaml.Node) string {
	text := ""
	if n.Kind == yaml.ScalarNode {
		if text = n.Value; text == "" || n.Tag == "!!null" {
			return ""
		}
		var doc yaml.Node
		if yaml.Unmarshal([]byte(text), &doc) != nil || len(doc.Content) == 0 {
			return text
		}
		n = doc.Content[0]
	}
	if n.Kind != yaml.SequenceNode {
		return text
	}
	profiles := make([]map[string]string, 0, len(n.Content))
	for _, item := range n.Content {
		p := make(map[string]string)
		for i := 0; i+1 < len(item.Content); i += 2 {
			k, v := item.Content[i].Value, item.Content[i+1]
			if v.Kind == yaml.MappingNode {
				p[k] = qosDuration(v)
			} else {
				p[k] = qosName(k, v.Value)
			}
		}
		profiles = append(profiles, p)
	}
	if len(profiles) == 0 {
		return ""
	}
	out, err := json.Marshal(profiles)
	if err != nil {
		return text
	}
	return string(out)
}

// isLatched reports whether profiles, as qosJSON returns them, have a publisher
// whose last message late subscribers are sent.
func isLatched(qos string) bool {
	var profiles []map[string]string
	if json.Unmarshal([]byte(qos), &profiles) != nil {
		return false
	}
	return slices.ContainsFunc(profiles, func(p map[string]string) bool { return p["durability"] == "transient_local" })
}

func qosName(key, value string) string {
	if i, err := strconv.Atoi(value); err == nil && i >= 0 && i < len(qosNames[key]) {
		return qosNames[key][i]
	}
	return value
}

// qosDuration spells {sec, nsec} as seconds.
func qosDuration(n *yaml.Node) string {
	var d [2]string
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case "sec":
			d[0] = n.Content[i+1].Value
		case "nsec":
			d[1] = n.Content[i+1].Value
		}
	}
	if infinite[d] {
		return "infinite"
	}
	sec, err1 := strconv.ParseInt(d[0], 10, 64)
	nsec, err2 := strconv.ParseInt(d[1], 10, 64)
	if err1 != nil || err2 != nil || nsec < 0 || nsec >= 1e9 {
		return d[0] + " s " + d[1] + " ns"
	}
	frac := strconv.FormatInt(1e9+nsec, 10)[1:]
	return strconv.FormatInt(sec, 10) + "." + frac
}
