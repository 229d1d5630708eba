package config

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/drivemill/drivemill/pipeline"
)

// field is a field of a configuration struct, as its tags describe it.
type field struct {
	index       []int
	typ         reflect.Type
	key         string
	doc         string
	example     string
	def         string
	hasDefault  bool
	required    bool
	shorthand   bool
	fingerprint bool
	enum        []string
}

var (
	textType     = reflect.TypeFor[pipeline.Text]()
	posType      = reflect.TypeFor[pipeline.Pos]()
	sizeType     = reflect.TypeFor[pipeline.Size]()
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
	stringMap    = reflect.TypeFor[map[string]string]()
)

// orderedMap is what *pipeline.Map implements.
type orderedMap interface {
	AddEntry(key pipeline.Text) any
}

var orderedMapType = reflect.TypeFor[orderedMap]()

// isOrderedMap tells a pipeline.Map.
func isOrderedMap(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && reflect.PointerTo(t).Implements(orderedMapType)
}

// entryType returns the type of the values of a pipeline.Map.
func entryType(t reflect.Type) reflect.Type {
	entries, _ := t.FieldByName("Entries")
	value, _ := entries.Type.Elem().FieldByName("Value")
	return value.Type
}

// isConfigStruct tells structs that are decoded field by field.
func isConfigStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != textType && t != timeType && t != posType && t != sectionType && !isOrderedMap(t)
}

var fieldCache sync.Map // reflect.Type to []field

// fieldsOf lists the fields of a configuration struct. Tags that contradict
// themselves are a programming error and panic.
func fieldsOf(t reflect.Type) []field {
	if c, ok := fieldCache.Load(t); ok {
		return c.([]field)
	}
	fields := collect(t, nil)
	seen := make(map[string]bool)
	for _, f := range fields {
		if seen[f.key] {
			panic(fmt.Sprintf("config: %v has two fields for %q", t, f.key))
		}
		seen[f.key] = true
	}
	fieldCache.Store(t, fields)
	return fields
}

func collect(t reflect.Type, index []int) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(append([]int(nil), index...), i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct && sf.Tag.Get("yaml") == "" {
			out = append(out, collect(sf.Type, at)...)
			continue
		}
		key := sf.Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		if !sf.IsExported() {
			panic(fmt.Sprintf("config: %v.%s has a yaml tag and is not exported", t, sf.Name))
		}
		f := field{
			index: at, typ: sf.Type, key: key,
			doc: sf.Tag.Get("doc"), example: sf.Tag.Get("example"),
			required:    sf.Tag.Get("required") == "true",
			shorthand:   sf.Tag.Get("shorthand") == "true",
			fingerprint: sf.Tag.Get("fingerprint") != "-",
		}
		f.def, f.hasDefault = sf.Tag.Lookup("default")
		if e := sf.Tag.Get("enum"); e != "" {
			f.enum = strings.Split(e, ",")
		}
		if f.required && f.hasDefault {
			panic(fmt.Sprintf("config: %v.%s is required and has a default", t, sf.Name))
		}
		out = append(out, f)
	}
	return out
}

// shorthandOf finds the field that a value which is no mapping stands for.
func shorthandOf(t reflect.Type) (field, bool) {
	for _, f := range fieldsOf(t) {
		if f.shorthand {
			return f, true
		}
	}
	return field{}, false
}

// defaultValue makes the value of a default tag into a tree for decoding.
func defaultValue(f field, pos pipeline.Pos) *Value {
	scalar := func(s string) *Value {
		v := &Value{Kind: Scalar, Text: s, Pos: pos, Key: pos, plain: true}
		resolve(v)
		return v
	}
	if f.typ.Kind() != reflect.Slice {
		return scalar(f.def)
	}
	list := &Value{Kind: List, Pos: pos, Key: pos}
	for _, s := range strings.Split(f.def, ",") {
		if s = strings.TrimSpace(s); s != "" {
			list.Items = append(list.Items, scalar(s))
		}
	}
	return list
}
