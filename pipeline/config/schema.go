package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// JSONSchema describes pipeline files for editors, in draft 2020-12. It is made
// from the same structs and tags that Load decodes into.
func JSONSchema(reg *pipeline.Registry) []byte {
	root := structSchema(reflect.TypeFor[file]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "drivemill pipeline"
	root["patternProperties"] = schema{"^x-": true}
	properties := root["properties"].(schema)

	var formats []string
	for _, f := range reg.Formats() {
		formats = append(formats, f.Format.Name())
	}
	input := structSchema(reflect.TypeFor[Input]())
	if len(formats) > 0 {
		format := input["properties"].(schema)["format"].(schema)
		delete(format, "type")
		format["anyOf"] = []any{schema{"enum": formats}, variable}
	}
	settings := schema{}
	for _, f := range reg.Formats() {
		if f.Config != nil {
			settings[f.Format.Name()] = structSchema(reflect.TypeOf(f.Config()).Elem())
		}
	}
	with := input["properties"].(schema)["formats"].(schema)
	with["type"], with["properties"], with["additionalProperties"] = "object", settings, false
	defs := schema{"input": without(input, "output", "uri"), "lakeInput": without(input, "uri", "output")}
	fill(properties, "inputs", schema{"$ref": "#/$defs/input"})
	inStep := structSchema(reflect.TypeFor[step]())
	fill(inStep["properties"].(schema), "inputs", schema{"$ref": "#/$defs/lakeInput"})
	for _, section := range []string{"stages", "outputs"} {
		fill(inStep["properties"].(schema), section, schema{"$ref": "#/$defs/" + strings.TrimSuffix(section, "s")})
	}
	defs["step"] = inStep
	fill(properties, "reduce", schema{"$ref": "#/$defs/step"})

	var stages, sinks []component
	for _, s := range reg.Stages() {
		stages = append(stages, component{s.Name, s.Summary, s.Config})
	}
	for _, s := range reg.Sinks() {
		sinks = append(sinks, component{s.Name, s.Summary, s.Config})
	}
	variants(defs, "stage", stages)
	variants(defs, "output", sinks)
	fill(properties, "stages", schema{"$ref": "#/$defs/stage"})
	fill(properties, "outputs", schema{"$ref": "#/$defs/output"})
	root["$defs"] = defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("config: JSON schema: %v", err))
	}
	return append(out, '\n')
}

type schema map[string]any

// without is the schema of an input that has one of two keys, and needs the
// other.
func without(input schema, key, required string) schema {
	out := maps.Clone(input)
	properties := maps.Clone(input["properties"].(schema))
	delete(properties, key)
	out["properties"], out["required"] = properties, []string{required}
	return out
}

// component is a stage or a sink.
type component struct {
	name, summary string
	config        func() any
}

// fill describes a section of the file.
func fill(properties schema, section string, entry schema) {
	p := properties[section].(schema)
	p["type"] = "object"
	p["minProperties"] = 1
	p["propertyNames"] = schema{"pattern": nameRE.String()}
	p["additionalProperties"] = entry
}

// variants describes the entries of a section: which keys there are depends on
// the key use.
func variants(defs schema, kind string, list []component) {
	names := make([]string, 0, len(list))
	cases := make([]any, 0, len(list))
	for _, c := range list {
		names = append(names, c.name)
		s := structSchema(reflect.TypeFor[Node](), reflect.TypeOf(c.config()).Elem())
		s["description"] = c.summary
		defs[kind+"."+c.name] = s
		cases = append(cases, schema{
			"if":   schema{"properties": schema{"use": schema{"const": c.name}}, "required": []string{"use"}},
			"then": schema{"$ref": "#/$defs/" + kind + "." + c.name},
		})
	}
	s := schema{
		"type":       "object",
		"required":   []string{"use", "from"},
		"properties": schema{"use": schema{"enum": names, "description": "Name of the component."}},
	}
	if len(cases) > 0 {
		s["allOf"] = cases
	}
	defs[kind] = s
}

// structSchema describes structs whose keys lie side by side in one mapping.
func structSchema(types ...reflect.Type) schema {
	properties := schema{}
	var required []string
	for _, t := range types {
		for _, f := range fieldsOf(t) {
			s := typeSchema(f.typ, &f)
			if f.doc != "" {
				s["description"] = f.doc
			}
			if f.hasDefault {
				s["default"] = f.def
			}
			if f.example != "" {
				s["examples"] = []string{f.example}
			}
			properties[f.key] = s
			if f.required {
				required = append(required, f.key)
			}
		}
	}
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// variable is how a value other than a text may be given by a variable.
var variable = schema{"type": "string", "pattern": `\$\{`}

func orVariable(s schema) schema { return schema{"anyOf": []any{s, variable}} }

func typeSchema(t reflect.Type, f *field) schema {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if f != nil && f.enum != nil {
		one := orVariable(schema{"enum": f.enum})
		if t.Kind() == reflect.Slice {
			return schema{"anyOf": []any{one, schema{"type": "array", "items": one}}}
		}
		return one
	}
	// A text may look like a number or a truth value.
	text := schema{"type": []string{"string", "number", "boolean"}}
	switch {
	case t == sectionType:
		return schema{}
	case t == textType, t.Kind() == reflect.String:
		return text
	case t == durationType:
		return orVariable(schema{"type": []string{"string", "integer"}, "pattern": `^[-+0-9.µa-z]+$`})
	case t == timeType:
		return orVariable(schema{"type": "string", "format": "date-time"})
	case t == sizeType:
		return orVariable(schema{"type": []string{"string", "integer"}, "pattern": `^[0-9.]+ *([kKMGT]?B|[KMGT]iB)?$`})
	case isOrderedMap(t):
		value := typeSchema(entryType(t), nil)
		if isConfigStruct(entryType(t)) {
			value = schema{"anyOf": []any{value, schema{"type": "null"}}}
		}
		return schema{"type": "object", "additionalProperties": value}
	case t == stringMap:
		return schema{"type": "object", "additionalProperties": text}
	case t.Kind() == reflect.Struct:
		s := structSchema(t)
		if short, ok := shorthandOf(t); ok {
			return schema{"anyOf": []any{s, typeSchema(short.typ, &short)}}
		}
		return s
	case t.Kind() == reflect.Slice:
		item := typeSchema(t.Elem(), nil)
		return schema{"anyOf": []any{item, schema{"type": "array", "items": item}}}
	}
	switch t.Kind() {
	case reflect.Bool:
		return orVariable(schema{"type": "boolean"})
	case reflect.Float64:
		return orVariable(schema{"type": "number"})
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return orVariable(schema{"type": "integer", "minimum": 0})
	}
	return orVariable(schema{"type": "integer"})
}
