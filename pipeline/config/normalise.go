package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drivemill/drivemill/pipeline"
)

// Normalised returns the pipeline as JSON: variables and overrides in place,
// defaults spelled out, comments, quoting and the order of settings gone. It
// is itself a pipeline file that means the same. URIs with credentials never
// get here, since they are mistakes.
func (p *Pipeline) Normalised() []byte {
	e := encoder{defaults: true}
	o := e.object()
	o.value("pipeline", reflect.ValueOf(p.Name))
	if p.Description != "" {
		o.value("description", reflect.ValueOf(p.Description))
	}
	p.body(o)
	if len(p.Reduce) > 0 {
		o.key("reduce")
		steps := e.object()
		for _, step := range p.Reduce {
			steps.key(step.Step)
			one := e.object()
			if step.Description != "" {
				one.value("description", reflect.ValueOf(step.Description))
			}
			step.body(one)
			one.end()
		}
		steps.end()
	}
	if limits := reflect.ValueOf(p.Limits); !isEmpty(limits) {
		o.value("limits", limits)
	}
	o.end()
	var out bytes.Buffer
	if err := json.Indent(&out, e.Bytes(), "", "  "); err != nil {
		panic(fmt.Sprintf("config: normalised pipeline is no JSON: %v", err))
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// body writes what a pipeline and a step of it have in common.
func (p *Pipeline) body(o *object) {
	e := o.encoder
	if len(p.Inputs) > 0 {
		o.key("inputs")
		in := e.object()
		for _, i := range p.Inputs {
			in.value(i.Name, reflect.ValueOf(i).Elem())
		}
		in.end()
	}
	nodes := func(name string, list []*Node) {
		if len(list) == 0 {
			return
		}
		o.key(name)
		section := e.object()
		for _, n := range list {
			section.key(n.Name)
			one := e.object()
			one.fields(reflect.ValueOf(n).Elem())
			if n.Config != nil {
				one.fields(reflect.ValueOf(n.Config).Elem())
			}
			one.end()
		}
		section.end()
	}
	nodes("stages", p.Stages)
	nodes("outputs", p.Outputs)
}

// Canonical returns a configuration struct as JSON for fingerprints: settings
// that have their default are left out, so that a new option changes nothing
// where it is not used, and so are those that do not change what is written
// (tagged fingerprint:"-", or named in skip).
func Canonical(config any, skip ...string) []byte {
	e := encoder{skip: skip}
	rv := reflect.ValueOf(config)
	if rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	e.value(rv, nil)
	return e.Bytes()
}

type encoder struct {
	bytes.Buffer
	defaults bool     // write them
	skip     []string // keys of the outermost struct
	depth    int
}

// object writes an object. Its keys are written in the order of the calls.
type object struct {
	*encoder
	n int
}

func (e *encoder) object() *object {
	e.WriteByte('{')
	e.depth++
	return &object{encoder: e}
}

func (o *object) end() {
	o.depth--
	o.WriteByte('}')
}

func (o *object) key(k string) {
	if o.n++; o.n > 1 {
		o.WriteByte(',')
	}
	o.string(k)
	o.WriteByte(':')
}

func (o *object) value(k string, rv reflect.Value) {
	o.key(k)
	o.encoder.value(rv, nil)
}

// fields writes the fields of a struct.
func (o *object) fields(rv reflect.Value) {
	for _, f := range fieldsOf(rv.Type()) {
		fv := rv.FieldByIndex(f.index)
		switch {
		case o.defaults:
			if !f.hasDefault && isEmpty(fv) {
				continue
			}
		case !f.fingerprint, o.depth == 1 && slices.Contains(o.skip, f.key), isDefault(f, fv):
			continue
		}
		o.key(f.key)
		o.encoder.value(fv, &f)
	}
}

// isEmpty reports whether nothing was set.
func isEmpty(rv reflect.Value) bool {
	switch rv.Kind() {
	case reflect.Slice, reflect.Map:
		return rv.Len() == 0
	case reflect.Struct:
		if rv.Type() == textType {
			return rv.Field(0).Len() == 0
		}
		if rv.Type() == sectionType {
			return len(rv.Interface().(section).formats) == 0
		}
		if isOrderedMap(rv.Type()) {
			return rv.FieldByName("Entries").Len() == 0
		}
		if isConfigStruct(rv.Type()) {
			for _, f := range fieldsOf(rv.Type()) {
				if !isEmpty(rv.FieldByIndex(f.index)) {
					return false
				}
			}
			return true
		}
	}
	return rv.IsZero()
}

// isDefault reports whether a field has the value it gets when left out.
func isDefault(f field, rv reflect.Value) bool {
	if !f.hasDefault {
		if isConfigStruct(f.typ) {
			for _, g := range fieldsOf(f.typ) {
				if g.fingerprint && !isDefault(g, rv.FieldByIndex(g.index)) {
					return false
				}
			}
			return true
		}
		return isEmpty(rv)
	}
	def := reflect.New(f.typ).Elem()
	decoder{issues: new(pipeline.Issues)}.value(defaultValue(f, pipeline.Pos{}), "", def, &f)
	var a, b encoder
	a.value(rv, &f)
	b.value(def, &f)
	return bytes.Equal(a.Bytes(), b.Bytes())
}

func (e *encoder) string(s string) {
	if e.defaults {
		s = strings.ReplaceAll(s, "${", "$${") // it is read as a pipeline again
	}
	enc := json.NewEncoder(&e.Buffer)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(fmt.Sprintf("config: text is no JSON: %v", err))
	}
	e.Truncate(e.Len() - 1) // the line feed
}

func (e *encoder) value(rv reflect.Value, f *field) {
	t := rv.Type()
	switch {
	case t == textType:
		e.string(rv.Interface().(pipeline.Text).Value)
		return
	case t == durationType:
		e.string(rv.Interface().(time.Duration).String())
		return
	case t == timeType:
		e.string(rv.Interface().(time.Time).UTC().Format(time.RFC3339Nano))
		return
	case t == sectionType:
		o := e.object()
		for _, f := range rv.Interface().(section).formats {
			if f.Config != nil {
				o.value(f.Name, reflect.ValueOf(f.Config).Elem())
			}
		}
		o.end()
		return
	case isOrderedMap(t):
		o := e.object()
		entries := rv.FieldByName("Entries")
		for i := range entries.Len() {
			o.value(entries.Index(i).Field(0).Interface().(pipeline.Text).Value, entries.Index(i).Field(1))
		}
		o.end()
		return
	case t == stringMap:
		o := e.object()
		m := rv.Interface().(map[string]string)
		for _, k := range slices.Sorted(maps.Keys(m)) {
			o.value(k, reflect.ValueOf(m[k]))
		}
		o.end()
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		if rv.IsNil() {
			e.WriteString("null")
			return
		}
		e.value(rv.Elem(), f)
	case reflect.Struct:
		o := e.object()
		o.fields(rv)
		o.end()
	case reflect.Slice:
		e.WriteByte('[')
		for i := range rv.Len() {
			if i > 0 {
				e.WriteByte(',')
			}
			e.value(rv.Index(i), nil)
		}
		e.WriteByte(']')
	case reflect.String:
		e.string(rv.String())
	case reflect.Bool:
		e.WriteString(strconv.FormatBool(rv.Bool()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.WriteString(strconv.FormatInt(rv.Int(), 10))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		e.WriteString(strconv.FormatUint(rv.Uint(), 10))
	case reflect.Float64:
		e.WriteString(strconv.FormatFloat(rv.Float(), 'g', -1, 64))
	default:
		panic(fmt.Sprintf("config: fields of type %v are not encoded", t))
	}
}
