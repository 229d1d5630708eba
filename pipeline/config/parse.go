package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/drivemill/drivemill/pipeline"
)

// Bounds on a file. Aliases make it possible to write a small file that is
// huge when expanded; maxValues bounds the tree after expansion.
const (
	maxFileBytes = 1 << 20
	maxValues    = 200_000
	maxDepth     = 64
)

// Parse reads one YAML document, applies the overrides and replaces variables.
// It returns nil when the text is no YAML mapping at all; other mistakes leave
// a tree that Decode copes with.
func Parse(file string, data []byte, opts LoadOptions, issues *pipeline.Issues) *Value {
	top := pipeline.Pos{File: file, Line: 1, Col: 1}
	if len(data) > maxFileBytes {
		issues.Addf(pipeline.Pos{File: file}, "", "the file has %d bytes; at most %d are read", len(data), maxFileBytes)
		return nil
	}
	doc, err := parseYAML(data)
	switch {
	case errors.Is(err, io.EOF):
		issues.Addf(top, "", "the file is empty")
		return nil
	case err != nil:
		syntaxIssue(file, data, err, issues)
		return nil
	}
	b := builder{file: file, data: data, issues: issues, open: make(map[*yaml.Node]bool)}
	if doc.next != nil {
		issues.Addf(b.pos(doc.next), "", "a second document begins here; a file holds one")
	}
	root := b.build(doc.first, "", 0)
	if root == nil || b.full {
		return nil
	}
	if root.Kind == Null && !root.bad {
		issues.Addf(top, "", "the file is empty")
		return nil
	}
	if root.Kind != Mapping {
		if !root.bad {
			issues.Addf(root.Pos, "", "want a mapping, got %s", root.describe())
		}
		return nil
	}
	for _, s := range opts.Set {
		set(root, s, issues)
	}
	e := expander{env: opts.Env, issues: issues, reported: make(map[pipeline.Pos]bool)}
	e.walk(root, "")
	return root
}

type document struct {
	first *yaml.Node
	next  *yaml.Node // of a second document, if there is one
}

// parseYAML runs the YAML parser, which is not ours: a panic in it becomes an
// error.
func parseYAML(data []byte) (doc document, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var first, next yaml.Node
	if err := dec.Decode(&first); err != nil {
		return doc, err
	}
	if len(first.Content) == 0 {
		return doc, io.EOF
	}
	doc.first = first.Content[0]
	switch err := dec.Decode(&next); {
	case err == nil:
		doc.next = &next
	case !errors.Is(err, io.EOF):
		return doc, err
	}
	return doc, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// parserError matches the messages in which yaml counts lines from 0: those of
// its parser. Its scanner counts from 1.
var parserError = regexp.MustCompile(`^did not find expected (<|node|'-'|key|',')`)

// syntaxIssue turns an error of the YAML parser into a mistake with a place.
func syntaxIssue(file string, data []byte, err error, issues *pipeline.Issues) {
	msg := err.Error()
	line := 0
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		msg = msg[len(m[0]):]
		line, _ = strconv.Atoi(m[1])
		if parserError.MatchString(msg) {
			line++
		}
	}
	lines := bytes.Split(data, []byte("\n"))
	// Tabs are the usual suspect, and the parser names them in many ways.
	for i, l := range lines {
		if line > 0 && i > line {
			break
		}
		indent := l[:len(l)-len(bytes.TrimLeft(l, " \t"))]
		if t := bytes.IndexByte(indent, '\t'); t >= 0 && len(bytes.TrimSpace(l)) > 0 {
			issues.Addf(pipeline.Pos{File: file, Line: i + 1, Col: t + 1}, "", "a tab in the indentation; YAML wants spaces")
			return
		}
	}
	if line < 1 || line > len(lines) {
		line = 1
	}
	l := lines[line-1]
	col := len(l) - len(bytes.TrimLeft(l, " ")) + 1
	issues.Addf(pipeline.Pos{File: file, Line: line, Col: col}, "", "not valid YAML: %s", msg)
}

// builder turns YAML nodes into values.
type builder struct {
	file   string
	data   []byte
	lines  [][]byte // of data, once needed
	issues *pipeline.Issues
	count  int
	full   bool                // the bound was passed and reported
	open   map[*yaml.Node]bool // anchors being expanded
}

func (b *builder) pos(n *yaml.Node) pipeline.Pos {
	return pipeline.Pos{File: b.file, Line: n.Line, Col: n.Column}
}

func (b *builder) build(n *yaml.Node, path string, depth int) *Value {
	if b.full {
		return nil
	}
	b.count++
	if b.count > maxValues || depth > maxDepth {
		b.full = true
		if depth > maxDepth {
			b.issues.Addf(b.pos(n), path, "nested more than %d levels deep", maxDepth)
		} else {
			b.issues.Addf(b.pos(n), path, "the file expands to more than %d values; aliases repeat too much", maxValues)
		}
		return nil
	}
	v := &Value{Pos: b.pos(n)}
	switch n.Kind {
	case yaml.AliasNode:
		if n.Alias == nil || b.open[n.Alias] {
			b.issues.Addf(v.Pos, path, "alias *%s contains itself", n.Value)
			v.bad = true
			return v
		}
		b.open[n.Alias] = true
		v = b.build(n.Alias, path, depth+1)
		delete(b.open, n.Alias)
		return v
	case yaml.ScalarNode:
		b.scalar(n, path, v)
	case yaml.SequenceNode:
		v.Kind = List
		b.checkTag(n, path, v, "!!seq")
		for i, c := range n.Content {
			item := b.build(c, join(path, strconv.Itoa(i)), depth+1)
			if item == nil {
				return nil
			}
			item.Key = b.pos(c)
			v.Items = append(v.Items, item)
		}
	case yaml.MappingNode:
		v.Kind = Mapping
		b.checkTag(n, path, v, "!!map")
		if n.Anchor != "" && !b.open[n] {
			// An alias to a mapping inside that very mapping.
			b.open[n] = true
			defer delete(b.open, n)
		}
		return b.mapping(n, path, v, depth)
	default:
		b.issues.Addf(v.Pos, path, "not valid YAML")
		v.bad = true
	}
	return v
}

func (b *builder) checkTag(n *yaml.Node, path string, v *Value, want string) {
	if n.Style&yaml.TaggedStyle != 0 && n.ShortTag() != want {
		b.issues.Addf(v.Pos, path, "the tag %s means nothing here", n.Tag)
		v.bad = true
	}
}

func (b *builder) scalar(n *yaml.Node, path string, v *Value) {
	v.Kind = Scalar
	v.Text = n.Value
	v.tag = n.ShortTag()
	if n.Style&yaml.TaggedStyle != 0 {
		switch v.tag {
		case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp":
		default:
			b.issues.Addf(v.Pos, path, "the tag %s means nothing here", n.Tag)
			v.bad = true
		}
	}
	switch {
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		v.Pos.Col++ // the text begins behind the quote
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		v.Pos = b.blockStart(v.Pos)
	default:
		v.plain = n.Style&yaml.TaggedStyle == 0
	}
	if v.tag == "!!null" {
		v.Kind = Null
	}
}

// blockStart is where the text of a block scalar begins: the first line below
// its indicator that is not blank.
func (b *builder) blockStart(p pipeline.Pos) pipeline.Pos {
	if b.lines == nil {
		b.lines = bytes.Split(b.data, []byte("\n"))
	}
	for i := p.Line; i < len(b.lines); i++ {
		if t := bytes.TrimLeft(b.lines[i], " "); len(bytes.TrimSpace(t)) > 0 {
			p.Line, p.Col = i+1, len(b.lines[i])-len(t)+1
			return p
		}
	}
	return p
}

func (b *builder) mapping(n *yaml.Node, path string, v *Value, depth int) *Value {
	seen := make(map[string]pipeline.Pos, len(n.Content)/2)
	var merges []*Value
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, c := n.Content[i], n.Content[i+1]
		pos := b.pos(k)
		if k.Kind == yaml.AliasNode && k.Alias != nil {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			b.issues.Addf(pos, path, "a key must be a plain name")
			continue
		}
		val := b.build(c, join(path, k.Value), depth+1)
		if val == nil {
			return nil
		}
		val.Key = pos
		if k.Value == "<<" && k.ShortTag() == "!!merge" {
			merges = append(merges, val)
			continue
		}
		if first, ok := seen[k.Value]; ok {
			b.issues.Addf(pos, join(path, k.Value), "the key is given twice, first on line %d", first.Line)
			continue
		}
		seen[k.Value] = pos
		v.Fields = append(v.Fields, Field{Key: k.Value, Pos: pos, Value: val})
	}
	for _, m := range merges {
		b.merge(v, m, path, seen)
	}
	return v
}

// merge adds the keys of m, a mapping or a list of them, that v does not have.
func (b *builder) merge(v, m *Value, path string, seen map[string]pipeline.Pos) {
	switch {
	case m.bad:
	case m.Kind == Mapping:
		for _, f := range m.Fields {
			if _, ok := seen[f.Key]; !ok {
				seen[f.Key] = f.Pos
				v.Fields = append(v.Fields, f)
			}
		}
	case m.Kind == List:
		for _, item := range m.Items {
			if item.Kind != Mapping {
				b.issues.Addf(item.Pos, path, "<< wants mappings, got %s", item.describe())
				continue
			}
			b.merge(v, item, path, seen)
		}
	default:
		b.issues.Addf(m.Pos, path, "<< wants a mapping, got %s", m.describe())
	}
}

// resolve gives a plain scalar the type of its text.
func resolve(v *Value) {
	n := yaml.Node{Kind: yaml.ScalarNode, Value: v.Text}
	v.tag = n.ShortTag()
	v.Kind = Scalar
	if v.tag == "!!null" && strings.TrimSpace(v.Text) != "" {
		v.Kind = Null
	}
}
