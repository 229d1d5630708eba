package config

import (
	"reflect"
	"strings"
)

// FieldInfo describes one field of a component's configuration.
type FieldInfo struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Doc      string   `json:"doc"`
	Default  string   `json:"default,omitempty"`
	Example  string   `json:"example,omitempty"`
	Required bool     `json:"required,omitempty"`
	Enum     []string `json:"enum,omitempty"`
}

// Reference lists the fields of a configuration, a pointer to a struct. Fields
// of nested structs follow the field that holds them, with dotted names.
func Reference(config any) []FieldInfo {
	t := reflect.TypeOf(config).Elem()
	if t.Kind() != reflect.Struct {
		return nil
	}
	return reference(t, "")
}

func reference(t reflect.Type, prefix string) []FieldInfo {
	var out []FieldInfo
	for _, f := range fieldsOf(t) {
		info := FieldInfo{Name: join(prefix, f.key), Type: typeLabel(f.typ), Doc: f.doc, Default: f.def, Example: f.example, Required: f.required, Enum: f.enum}
		if len(f.enum) > 0 {
			info.Type = strings.Join(f.enum, "|")
		}
		out = append(out, info)
		inner := f.typ
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if isOrderedMap(inner) {
			inner = entryType(inner)
			info.Name += ".*"
		}
		if isConfigStruct(inner) {
			out = append(out, reference(inner, info.Name)...)
		}
	}
	return out
}

// typeLabel names a type in one or two words.
func typeLabel(t reflect.Type) string {
	switch {
	case t == durationType:
		return "duration"
	case t == timeType:
		return "time"
	case t == sizeType:
		return "size"
	case t == textType:
		return "text"
	case t == stringMap:
		return "mapping of text"
	case isOrderedMap(t):
		return "mapping of " + typeLabel(entryType(t))
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeLabel(t.Elem())
	case reflect.Slice:
		return "list of " + typeLabel(t.Elem())
	case reflect.Struct:
		return "settings"
	case reflect.Bool:
		return "true|false"
	case reflect.String:
		return "text"
	case reflect.Float64:
		return "number"
	}
	return "integer"
}
