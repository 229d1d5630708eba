package rosmsg

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// RIHS01 is the ROS 2 hash of a message type (REP 2011), as rosbag2 keeps it
// beside a definition: "RIHS01_" and the SHA-256 of a JSON description of the
// type and all it uses.
func (t *Type) RIHS01() string {
	used := make(map[string]*Type)
	t.describe(used)
	delete(used, t.Name)
	names := make([]string, 0, len(used))
	for name := range used {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(`{"type_description": `)
	t.json(&b)
	b.WriteString(`, "referenced_type_descriptions": [`)
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		used[name].json(&b)
	}
	b.WriteString(`]}`)
	sum := sha256.Sum256([]byte(b.String()))
	return "RIHS01_" + hex.EncodeToString(sum[:])
}

// The two messages that fields of kind Time and Duration stand for.
var timeTypes = map[Kind]*Type{
	Time:     {Name: "builtin_interfaces/msg/Time", Version: ROS2, Fields: []Field{{Name: "sec", Kind: Int32}, {Name: "nanosec", Kind: Uint32}}},
	Duration: {Name: "builtin_interfaces/msg/Duration", Version: ROS2, Fields: []Field{{Name: "sec", Kind: Int32}, {Name: "nanosec", Kind: Uint32}}},
}

// nested is the message type of the field's values, times included.
func (f *Field) nested() *Type {
	if f.Message != nil {
		return f.Message
	}
	return timeTypes[f.Kind]
}

func (t *Type) describe(used map[string]*Type) {
	if used[t.Name] != nil {
		return
	}
	used[t.Name] = t
	for i := range t.Fields {
		if n := t.Fields[i].nested(); n != nil {
			n.describe(used)
		}
	}
}

// json writes the description of t. Names are ASCII, so nothing is escaped.
func (t *Type) json(b *strings.Builder) {
	fmt.Fprintf(b, `{"type_name": "%s", "fields": [`, t.Name)
	for i := range t.Fields {
		f := &t.Fields[i]
		if i > 0 {
			b.WriteString(", ")
		}
		nested := ""
		if n := f.nested(); n != nil {
			nested = n.Name
		}
		id, capacity := f.typeID()
		fmt.Fprintf(b, `{"name": "%s", "type": {"type_id": %d, "capacity": %d, "string_capacity": %d, "nested_type_name": "%s"}}`,
			f.Name, id, capacity, f.Bound, nested)
	}
	if len(t.Fields) == 0 {
		b.WriteString(`{"name": "structure_needs_at_least_one_member", "type": {"type_id": 3, "capacity": 0, "string_capacity": 0, "nested_type_name": ""}}`)
	}
	b.WriteString(`]}`)
}

// typeIDs are those of REP 2011 for single values.
var typeIDs = map[Kind]int{
	Bool: 15, Int8: 2, Uint8: 3, Int16: 4, Uint16: 5, Int32: 6, Uint32: 7, Int64: 8, Uint64: 9,
	Float32: 10, Float64: 11, String: 17, WString: 18, Time: 1, Duration: 1, Message: 1,
}

func (f *Field) typeID() (id int, capacity uint32) {
	id = typeIDs[f.Kind]
	switch {
	case f.TypeName == "byte":
		id = 16
	case f.Bound > 0:
		id += 4 // the bounded kinds of string
	}
	switch {
	case f.Array == Fixed:
		return id + 48, f.Len
	case f.Array == Sequence && f.Len > 0:
		return id + 96, f.Len
	case f.Array == Sequence:
		return id + 144, 0
	}
	return id, 0
}
