package config

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(JSONSchema(testRegistry())))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("pipeline.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("pipeline.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance reads YAML as an editor's JSON Schema validator sees it.
func instance(t *testing.T, text string) any {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	stringTimes(&n)
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// stringTimes makes unquoted times texts, which they are in YAML 1.2.
func stringTimes(n *yaml.Node) {
	if n.Tag == "!!timestamp" {
		n.Tag = "!!str"
	}
	for _, c := range n.Content {
		stringTimes(c)
	}
}

// TestSchemaExamples: every example loads, and the schema accepts it.
func TestSchemaExamples(t *testing.T) {
	s := compileSchema(t)
	for _, c := range testRegistry().Stages() {
		p, err := Load(c.Name, []byte(c.Example), LoadOptions{}, testRegistry())
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if err := s.Validate(instance(t, c.Example)); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if err := s.Validate(instance(t, string(p.Normalised()))); err != nil {
			t.Errorf("%s, normalised: %v", c.Name, err)
		}
	}
}

// TestSchemaRefuses: what Load refuses for its form, the schema refuses too.
func TestSchemaRefuses(t *testing.T) {
	s := compileSchema(t)
	pipeline := func(input, stage, output string) string {
		return "pipeline: p\ninputs: {a: {uri: x" + input + "}}\nstages: {f: {use: filter, from: a, where: x" + stage + "}}\noutputs: {o: {use: parquet, from: f, uri: y" + output + "}}\n"
	}
	if err := s.Validate(instance(t, pipeline("", "", ""))); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		pipeline(", colour: red", "", ""),
		pipeline(", format: zip", "", ""),
		pipeline(", clock_window: [1]", "", ""),
		pipeline(", from: yesterday", "", ""),
		pipeline(", tables: {t: {match: x, more: y}}", "", ""),
		pipeline("", ", colour: red", ""),
		pipeline("", ", columns: {a: b}", ""),
		pipeline("", ", on_null: perhaps", ""),
		pipeline("", "", ", codec: zip"),
		pipeline("", "", ", where: x"),
		pipeline("", "", "") + "colour: red\n",
		"pipeline: p\ninputs: {a: {uri: x}}\n",
		"pipeline: p\ninputs: {a: {uri: x}}\noutputs: {o: {use: filter, from: a, where: x}}\n",
		"pipeline: p\ninputs: {a: {uri: x}}\noutputs: {o: {use: parquet, uri: x}}\n",
		"pipeline: p\ninputs: {a b: {uri: x}}\noutputs: {o: {use: parquet, from: a, uri: x}}\n",
	} {
		if err := s.Validate(instance(t, text)); err == nil {
			t.Errorf("the schema accepts\n%s", text)
		}
		if _, err := Load("p", []byte(text), LoadOptions{}, testRegistry()); err == nil {
			t.Errorf("Load accepts\n%s", text)
		}
	}
}
