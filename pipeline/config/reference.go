package config

import (
	"reflect"
	"strings"
)

// FieldInfo describes one field of a component's configuration.
type FieldInfo struct {
	Name, Type, Doc, Default, Example string
	Required                          bool
	Enum                              []string
}

// Reference lists the fields of a configuration, a pointer to a struct.
func Reference(config any) []FieldInfo {
	t := reflect.TypeOf(config).Elem()
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []FieldInfo
	for _, f := range fieldsOf(t) {
		info := FieldInfo{Name: f.key, Type: typeName(f.typ), Doc: f.doc, Default: f.def, Example: f.example, Required: f.required, Enum: f.enum}
		if len(f.enum) > 0 {
			info.Type = strings.Join(f.enum, "|")
		}
		out = append(out, info)
	}
	return out
}
