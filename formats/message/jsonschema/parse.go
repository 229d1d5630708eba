package jsonschema

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/pipeline"
)

// Parse reads a schema. The node of the value returned is the root of a tree.
func Parse(data []byte) (*Value, error) {
	d, err := readDoc(data)
	if err != nil {
		return nil, err
	}
	if d.members == nil {
		if _, ok := d.scalar.(bool); !ok {
			return nil, fmt.Errorf("schema is neither an object nor a boolean: %w", pipeline.ErrCorrupt)
		}
	}
	p := &parser{root: d}
	v, err := p.value("", d, nil)
	if err != nil {
		return nil, err
	}
	if v.Kind != Object {
		v.Node.Name = TextColumn
		node := &tree.Node{Kind: tree.Struct, Members: []*tree.Node{v.Node}}
		return &Value{Kind: Text, Node: node, Members: []*Value{v}}, nil
	}
	v.Extra = textNode(ExtraColumn)
	for slices.Contains(v.Keys, v.Extra.Name) {
		v.Extra.Name += "_"
	}
	v.Node.Members = append(v.Node.Members, v.Extra)
	return v, nil
}

type parser struct {
	root  *doc
	count int
}

// value reads the schema d of a value called name; open are the schemas around
// it, none of which may be written out again.
func (p *parser) value(name string, d *doc, open []*doc) (*Value, error) {
	if p.count++; p.count > tree.MaxColumns {
		return nil, fmt.Errorf("more than %d values: %w", tree.MaxColumns, pipeline.ErrLimit)
	}
	d, open = p.settle(d, open)
	text := &Value{Kind: Text, Node: textNode(name)}
	if d == nil || d.members == nil || len(open) > tree.MaxDepth {
		return text, nil
	}
	node := &tree.Node{Name: name, Nullable: true}
	if s := d.get("description").text(); s != "" {
		node.Meta = append(node.Meta, pipeline.MetaDescription, s)
	}
	v := &Value{Node: node}
	switch p.typeOf(d) {
	case "integer":
		v.Kind, node.Kind = Integer, tree.Int64
		low, has := d.get("minimum").number()
		if high, ok := d.get("maximum").number(); has && ok && low >= 0 && high >= math.MaxInt64 {
			v.Kind, node.Kind = Unsigned, tree.Uint64
		}
	case "number":
		v.Kind, node.Kind = Number, tree.Float64
	case "boolean":
		v.Kind, node.Kind = Boolean, tree.Bool
	case "string":
		v.Kind, node.Kind = String, tree.String
		if strings.EqualFold(d.get("contentEncoding").text(), "base64") {
			v.Kind, node.Kind = Base64, tree.Binary
		}
	case "array":
		items := d.get("items")
		if items == nil || items.members == nil || d.get("prefixItems") != nil {
			return text, nil
		}
		elem, err := p.value("item", items, open)
		if err != nil {
			return nil, err
		}
		v.Kind, v.Members = Array, []*Value{elem}
		node.Kind, node.Members = tree.List, []*tree.Node{elem.Node}
	case "object":
		props := d.get("properties")
		if props == nil || len(props.keys) == 0 {
			return text, nil
		}
		if k, ok := timeObject(d, props); ok && name != "" {
			v.Kind, node.Kind = k, tree.Time
			if k == Duration {
				node.Kind = tree.Span
			}
			return v, nil
		}
		v.Kind, node.Kind = Object, tree.Struct
		for _, key := range props.keys {
			m, err := p.value(key, props.members[key], open)
			if err != nil {
				return nil, err
			}
			v.Keys, v.Members = append(v.Keys, key), append(v.Members, m)
			node.Members = append(node.Members, m.Node)
		}
	default:
		return text, nil
	}
	return v, nil
}

// timeObject recognises the objects that stand for times where messages of ROS
// are written as JSON.
func timeObject(d, props *doc) (Kind, bool) {
	if len(props.keys) != 2 || props.members["sec"] == nil || props.members["nsec"] == nil {
		return 0, false
	}
	switch strings.ToLower(d.get("title").text()) {
	case "time":
		return Time, true
	case "duration":
		return Duration, true
	}
	return 0, false
}

// settle follows references and choices between null and one other schema. It
// returns nil where that does not lead to a schema that can be written out.
func (p *parser) settle(d *doc, open []*doc) (*doc, []*doc) {
	for {
		if d == nil || slices.Contains(open, d) || len(open) > 4*MaxDepth {
			return nil, open
		}
		open = append(slices.Clip(open), d)
		if ref := d.get("$ref"); ref != nil {
			d = p.root.pointer(ref.text())
			continue
		}
		next := d
		for _, word := range []string{"anyOf", "oneOf", "allOf"} {
			c := d.get(word)
			if c == nil {
				continue
			}
			if d.get("properties") != nil {
				return nil, open // members could come from either
			}
			var rest []*doc
			for _, s := range c.items {
				if word == "allOf" || s.get("type").text() != "null" {
					rest = append(rest, s)
				}
			}
			if len(rest) != 1 {
				return nil, open
			}
			next = rest[0]
		}
		if d.get("if") != nil || d.get("not") != nil {
			return nil, open
		}
		if next == d {
			return d, open
		}
		d = next
	}
}

// typeOf is the type of the values of d, empty where there are several.
func (p *parser) typeOf(d *doc) string {
	t := d.get("type")
	if t == nil {
		switch {
		case d.get("properties") != nil:
			return "object"
		case d.get("items") != nil:
			return "array"
		case d.get("enum") != nil:
			return sharedType(d.get("enum").items)
		case d.get("const") != nil:
			return sharedType([]*doc{d.get("const")})
		}
		return ""
	}
	if s := t.text(); s != "" {
		return s
	}
	name := ""
	for _, s := range t.items {
		switch s := s.text(); {
		case s == "null" || s == name:
		case name == "":
			name = s
		case name == "integer" && s == "number" || name == "number" && s == "integer":
			name = "number"
		default:
			return ""
		}
	}
	return name
}

func sharedType(values []*doc) string {
	name := ""
	for _, v := range values {
		var t string
		switch x := v.scalar.(type) {
		case string:
			t = "string"
		case bool:
			t = "boolean"
		case json.Number:
			t = "number"
			if _, err := x.Int64(); err == nil {
				t = "integer"
			}
		default:
			if v.members != nil || v.items != nil {
				return ""
			}
			continue
		}
		if name != "" && name != t {
			return ""
		}
		name = t
	}
	return name
}

// Stamp names the column with the time of the message's own header, as
// messages of ROS and of Foxglove have it: header.stamp, timestamp or stamp.
func Stamp(root *Value) string {
	for _, m := range root.Node.Members {
		switch {
		case m.Name == "header":
			for _, h := range m.Members {
				if h.Name == "stamp" && h.Kind == tree.Time {
					return "header.stamp"
				}
			}
		case (m.Name == "timestamp" || m.Name == "stamp") && m.Kind == tree.Time:
			return m.Name
		}
	}
	return ""
}
