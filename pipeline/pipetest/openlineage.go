package pipetest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// EventValidator checks OpenLineage events against the official schemas.
type EventValidator struct{ compiler *jsonschema.Compiler }

// NewEventValidator reads the schemas from $DRIVEMILL_CONFORMANCE/openlineage.
// It skips the test when the variable is not set.
func NewEventValidator(t *testing.T) *EventValidator {
	t.Helper()
	dir := os.Getenv("DRIVEMILL_CONFORMANCE")
	if dir == "" {
		t.Skip("DRIVEMILL_CONFORMANCE is not set: the official OpenLineage schemas are not at hand")
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	n := 0
	err := filepath.WalkDir(filepath.Join(dir, "openlineage"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".json") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		doc, err := jsonschema.UnmarshalJSON(f)
		if err != nil {
			return err
		}
		id, _ := doc.(map[string]any)["$id"].(string)
		n++
		return c.AddResource(id, doc)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Fatalf("DRIVEMILL_CONFORMANCE is set, but no schema was read from %s", dir)
	}
	return &EventValidator{compiler: c}
}

func (v *EventValidator) validate(url string, doc any) error {
	s, err := v.compiler.Compile(url)
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// Check validates an event against the schema that it names, and each of its
// facets against the schema that the facet names.
func (v *EventValidator) Check(t *testing.T, data []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	event, _ := doc.(map[string]any)
	url, _ := event["schemaURL"].(string)
	if err := v.validate(url, doc); err != nil {
		t.Errorf("event: %v\n%s", err, data)
	}
	facets := 0
	var walk func(x any)
	walk = func(x any) {
		switch x := x.(type) {
		case map[string]any:
			if url, ok := x["_schemaURL"].(string); ok {
				facets++
				if err := v.validate(url, x); err != nil {
					t.Errorf("facet %s: %v", url, err)
				}
			}
			for _, y := range x {
				walk(y)
			}
		case []any:
			for _, y := range x {
				walk(y)
			}
		}
	}
	walk(doc)
	if facets < 2 {
		t.Errorf("only %d facets in %s", facets, data)
	}
}
