package pipetest

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/graph"
)

// Stages checks what the stages and sinks of reg announce: each is described,
// and its example is a pipeline that loads, that the JSON Schema accepts, and
// that runs. run executes a graph and fails the test unless all of its units
// are done, without loss and with ledgers that balance. Paths in examples are
// relative to the working directory; outputs go to a temporary directory.
func Stages(t *testing.T, reg *pipeline.Registry, env pipeline.Env, run func(t *testing.T, g *graph.Graph)) {
	schema := pipelineSchema(t, reg)
	type component struct {
		kind, name, summary, doc, example string
		behaviour                         int
		config                            func() any
	}
	var all []component
	for _, s := range reg.Stages() {
		all = append(all, component{"stages", s.Name, s.Summary, s.Doc, s.Example, s.Behaviour, s.Config})
	}
	for _, s := range reg.Sinks() {
		all = append(all, component{"outputs", s.Name, s.Summary, s.Doc, s.Example, s.Behaviour, s.Config})
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			if c.summary == "" || c.doc == "" || c.example == "" || c.behaviour == 0 {
				t.Fatal("summary, doc, example and behaviour are not all given")
			}
			if a, b := c.config(), c.config(); a == b || !reflect.DeepEqual(a, b) || !reflect.ValueOf(a).Elem().IsZero() {
				t.Errorf("Config does not return a new zero value: %+v", a)
			}
			for _, f := range config.Reference(c.config()) {
				if f.Doc == "" {
					t.Errorf("key %s has no doc", f.Name)
				}
			}
			checkSchema(t, schema, c.kind, c.name, c.example)
			p, err := config.Load(c.name, []byte(c.example), config.LoadOptions{}, reg)
			if err != nil {
				t.Fatal(err)
			}
			var set []string
			dir := t.TempDir()
			for _, o := range p.Outputs {
				set = append(set, "outputs."+o.Name+".uri="+filepath.Join(dir, o.Name))
			}
			if p, err = config.Load(c.name, []byte(c.example), config.LoadOptions{Set: set}, reg); err != nil {
				t.Fatal(err)
			}
			g, err := graph.Build(t.Context(), p, reg, env)
			if err != nil {
				t.Fatal(err)
			}
			run(t, g)
		})
	}
}

func pipelineSchema(t *testing.T, reg *pipeline.Registry) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.JSONSchema(reg)))
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

// checkSchema wants the schema to accept the example, and to refuse it with a
// key too many in the component.
func checkSchema(t *testing.T, schema *jsonschema.Schema, kind, name, example string) {
	t.Helper()
	var raw map[string]any
	if err := yaml.Unmarshal([]byte(example), &raw); err != nil {
		t.Fatal(err)
	}
	validate := func() error {
		b, err := json.Marshal(raw)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	if err := validate(); err != nil {
		t.Errorf("the schema refuses the example: %v", err)
	}
	nodes, _ := raw[kind].(map[string]any)
	used := 0
	for _, n := range slices.Sorted(maps.Keys(nodes)) {
		node, _ := nodes[n].(map[string]any)
		if node["use"] != name {
			continue
		}
		used++
		node["no_such_key"] = 1
		if validate() == nil {
			t.Errorf("the schema accepts an unknown key in %s.%s", kind, n)
		}
		delete(node, "no_such_key")
	}
	if used == 0 {
		t.Errorf("the example does not use %s", name)
	}
}
