package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drivemill/drivemill/pipeline"
)

// Decode fills target, a pointer to a configuration struct, from v and adds
// every mistake to issues; path is the dotted path of v. Fields that could not
// be decoded keep their zero value. It reports whether all of v was understood,
// be it by correcting the name of a key, which is a mistake all the same.
func Decode(v *Value, path string, target any, issues *pipeline.Issues) bool {
	rv := reflect.ValueOf(target)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		panic("config: Decode wants a pointer")
	}
	d := decoder{issues: issues}
	return d.value(v, path, rv.Elem(), nil)
}

type decoder struct {
	issues *pipeline.Issues
	// failed, where not nil, is told the path of every setting that is missing
	// or could not be decoded.
	failed func(path string)
}

func (d decoder) fail(path string) {
	if d.failed != nil {
		d.failed(path)
	}
}

// addf reports a mistake in v.
func (d decoder) addf(v *Value, path, format string, args ...any) *pipeline.Issue {
	pos := v.Pos
	if v.Kind == Null {
		pos = v.at()
	}
	return d.issues.Addf(pos, path, format, args...)
}

// want reports a value of the wrong type.
func (d decoder) want(v *Value, path, what string) bool {
	d.addf(v, path, "want %s, got %s", what, v.describe())
	return false
}

// value decodes v into rv. f holds the tags where rv is a field, or an item of
// one.
func (d decoder) value(v *Value, path string, rv reflect.Value, f *field) bool {
	if v.bad {
		return false
	}
	t := rv.Type()
	if t.Kind() == reflect.Pointer {
		if rv.IsNil() {
			rv.Set(reflect.New(t.Elem()))
		}
		return d.value(v, path, rv.Elem(), f)
	}
	switch {
	case t == textType, t == durationType, t == timeType, t == sizeType:
		return d.scalar(v, path, rv, f)
	case t == sectionType:
		if v.Kind != Mapping {
			return d.want(v, path, "a mapping")
		}
		rv.Set(reflect.ValueOf(section{value: v}))
		return true
	case isOrderedMap(t):
		return d.orderedMap(v, path, rv)
	case t == stringMap:
		return d.stringMap(v, path, rv)
	case t.Kind() == reflect.Struct:
		return d.structure(v, path, rv)
	case t.Kind() == reflect.Slice:
		return d.slice(v, path, rv, f)
	}
	return d.scalar(v, path, rv, f)
}

func (d decoder) slice(v *Value, path string, rv reflect.Value, f *field) bool {
	if v.Kind == Null {
		return d.want(v, path, "a list")
	}
	if v.Kind != List {
		item := reflect.New(rv.Type().Elem()).Elem()
		if !d.value(v, path, item, f) {
			return false
		}
		rv.Set(reflect.Append(rv, item))
		return true
	}
	if f != nil && f.required && len(v.Items) == 0 {
		d.addf(v, path, "is empty")
		return false
	}
	ok := true
	for i, iv := range v.Items {
		item := reflect.New(rv.Type().Elem()).Elem()
		if !d.value(iv, join(path, strconv.Itoa(i)), item, f) {
			ok = false
			continue
		}
		rv.Set(reflect.Append(rv, item))
	}
	return ok
}

func (d decoder) stringMap(v *Value, path string, rv reflect.Value) bool {
	if v.Kind != Mapping {
		return d.want(v, path, "a mapping")
	}
	m := make(map[string]string, len(v.Fields))
	ok := true
	for _, fv := range v.Fields {
		var s string
		if !d.value(fv.Value, join(path, fv.Key), reflect.ValueOf(&s).Elem(), nil) {
			ok = false
			continue
		}
		m[fv.Key] = s
	}
	rv.Set(reflect.ValueOf(m))
	return ok
}

func (d decoder) orderedMap(v *Value, path string, rv reflect.Value) bool {
	if v.Kind != Mapping {
		return d.want(v, path, "a mapping")
	}
	ok := true
	m := rv.Addr().Interface().(orderedMap)
	for _, fv := range v.Fields {
		p := join(path, fv.Key)
		target := reflect.ValueOf(m.AddEntry(pipeline.Text{Value: fv.Key, Pos: fv.Pos, Path: p})).Elem()
		if fv.Value.Kind == Null && !fv.Value.bad && isConfigStruct(target.Type()) {
			// key: with nothing behind it is an entry with nothing set.
			empty := *fv.Value
			empty.Kind = Mapping
			ok = d.value(&empty, p, target, nil) && ok
			continue
		}
		ok = d.value(fv.Value, p, target, nil) && ok
	}
	return ok
}

// validator is implemented by configuration structs that check themselves.
type validator interface {
	Validate(issues *pipeline.Issues)
}

func (d decoder) structure(v *Value, path string, rv reflect.Value) bool {
	if v.Kind != Mapping {
		f, ok := shorthandOf(rv.Type())
		if !ok || v.Kind == Null {
			return d.want(v, path, "a mapping")
		}
		whole := &Value{Kind: Mapping, Pos: v.Pos, Key: v.Key}
		whole.Fields = []Field{{Key: f.key, Pos: v.Pos, Value: v}}
		return d.mapping(whole, path, path, []reflect.Value{rv})
	}
	return d.mapping(v, path, "", []reflect.Value{rv})
}

// mapping decodes the keys of v into the fields of the targets together: a
// stage's own keys and its component's lie side by side. short, where not
// empty, is the path of a value in shorthand.
func (d decoder) mapping(v *Value, path, short string, targets []reflect.Value) bool {
	type slot struct {
		field
		rv  reflect.Value
		set bool
	}
	var slots []*slot
	byKey := make(map[string]*slot)
	var names []string
	for _, rv := range targets {
		setPosField(rv, v.at())
		for _, f := range fieldsOf(rv.Type()) {
			s := &slot{field: f, rv: rv.FieldByIndex(f.index)}
			slots = append(slots, s)
			byKey[f.key] = s
			names = append(names, f.key)
		}
	}
	ok := true
	decode := func(fv Field, s *slot) {
		s.set = true
		p := join(path, fv.Key)
		if short != "" {
			p = short
		}
		if !d.value(fv.Value, p, s.rv, &s.field) {
			ok = false
			d.fail(join(path, s.key))
		}
	}
	var unknown []Field
	for _, fv := range v.Fields {
		if s := byKey[fv.Key]; s != nil {
			decode(fv, s)
		} else {
			unknown = append(unknown, fv)
		}
	}
	for _, fv := range unknown {
		is := d.issues.Addf(fv.Pos, join(path, fv.Key), "unknown key")
		is.Suggestion = pipeline.Nearest(fv.Key, names)
		// Go on as if it had been spelt right, so that one slip is one line and
		// hides no other.
		if s := byKey[is.Suggestion]; s != nil && !s.set {
			decode(fv, s)
			continue
		}
		ok = false
		d.fail(join(path, fv.Key))
	}
	for _, s := range slots {
		switch {
		case s.set:
		case s.required:
			ok = false
			d.fail(join(path, s.key))
			d.issues.Addf(v.at(), path, "%s is missing", s.key)
		case s.hasDefault:
			if !d.value(defaultValue(s.field, v.at()), join(path, s.key), s.rv, &s.field) {
				ok = false
			}
		case isConfigStruct(s.typ):
			// Defaults inside a group of settings that was left out.
			ok = d.defaults(v, join(path, s.key), s.rv) && ok
		}
	}
	if !ok {
		return false
	}
	for _, rv := range targets {
		if val, is := rv.Addr().Interface().(validator); is {
			var own pipeline.Issues
			val.Validate(&own)
			for _, is := range own.All() {
				if is.Path == "" {
					is.Path = path
				}
				if is.Pos == (pipeline.Pos{}) {
					is.Pos = v.at()
				}
				d.issues.Add(is)
				ok = false
			}
		}
	}
	return ok
}

// defaults sets the defaults of a struct that was left out. What is required
// inside it is not missed.
func (d decoder) defaults(v *Value, path string, rv reflect.Value) bool {
	ok := true
	for _, f := range fieldsOf(rv.Type()) {
		fv := rv.FieldByIndex(f.index)
		switch {
		case f.hasDefault:
			ok = d.value(defaultValue(f, v.at()), join(path, f.key), fv, &f) && ok
		case isConfigStruct(f.typ):
			ok = d.defaults(v, join(path, f.key), fv) && ok
		}
	}
	return ok
}

// setPosField tells a struct where it stands in the file.
func setPosField(rv reflect.Value, pos pipeline.Pos) {
	for i := range rv.NumField() {
		sf := rv.Type().Field(i)
		if sf.Type == posType && sf.IsExported() && sf.Tag.Get("yaml") == "" {
			rv.Field(i).Set(reflect.ValueOf(pos))
		}
	}
}

func (d decoder) scalar(v *Value, path string, rv reflect.Value, f *field) bool {
	var enum []string
	if f != nil {
		enum = f.enum
	}
	t := rv.Type()
	what := typeName(t)
	if v.Kind != Scalar {
		return d.want(v, path, what)
	}
	if enum != nil && !slices.Contains(enum, v.Text) {
		is := d.addf(v, path, "want one of %s, got %s", strings.Join(enum, ", "), v.describe())
		is.Suggestion = pipeline.Nearest(v.Text, enum)
		return false
	}
	switch t {
	case textType:
		rv.Set(reflect.ValueOf(pipeline.Text{Value: v.Text, Pos: v.Pos, Path: path}))
		return d.notEmpty(v, path, f)
	case durationType:
		x, err := parseDuration(v.Text)
		if err != nil {
			return d.want(v, path, what)
		}
		rv.SetInt(int64(x))
		return true
	case timeType:
		x, err := time.Parse(time.RFC3339Nano, v.Text)
		if err != nil {
			return d.want(v, path, what)
		}
		rv.Set(reflect.ValueOf(x.UTC()))
		return true
	case sizeType:
		x, err := ParseSize(v.Text)
		if err != nil {
			return d.want(v, path, what)
		}
		rv.SetInt(int64(x))
		return true
	}
	switch t.Kind() {
	case reflect.String:
		rv.SetString(v.Text)
		return d.notEmpty(v, path, f)
	case reflect.Bool:
		x, err := strconv.ParseBool(strings.ToLower(v.Text))
		if v.tag != "!!bool" || err != nil {
			return d.want(v, path, what)
		}
		rv.SetBool(x)
		return true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.tag != "!!int" {
			return d.want(v, path, what)
		}
		x, err := strconv.ParseInt(v.Text, 0, 64)
		if err != nil || rv.OverflowInt(x) {
			d.addf(v, path, "%s is out of range", v.Text)
			return false
		}
		rv.SetInt(x)
		return true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.tag != "!!int" || strings.HasPrefix(v.Text, "-") {
			return d.want(v, path, what)
		}
		x, err := strconv.ParseUint(strings.TrimPrefix(v.Text, "+"), 0, 64)
		if err != nil || rv.OverflowUint(x) {
			d.addf(v, path, "%s is out of range", v.Text)
			return false
		}
		rv.SetUint(x)
		return true
	case reflect.Float64:
		x, err := strconv.ParseFloat(strings.ReplaceAll(v.Text, "_", ""), 64)
		if v.tag != "!!float" && v.tag != "!!int" || err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
			return d.want(v, path, what)
		}
		rv.SetFloat(x)
		return true
	}
	panic(fmt.Sprintf("config: fields of type %v are not decoded", t))
}

// notEmpty refuses an empty text where one is required.
func (d decoder) notEmpty(v *Value, path string, f *field) bool {
	if f != nil && f.required && v.Text == "" {
		d.addf(v, path, "is empty")
		return false
	}
	return true
}

// typeName names a scalar type in messages.
func typeName(t reflect.Type) string {
	switch t {
	case durationType:
		return "a duration such as 90s, 1h30m or 2d"
	case timeType:
		return "a time such as 2024-05-01T00:00:00Z"
	case sizeType:
		return "a size such as 4096, 16MiB or 2GB"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "an integer"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer of 0 or more"
	case reflect.Float64:
		return "a number"
	}
	return "a text"
}
