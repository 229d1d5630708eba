package config

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/drivemill/drivemill/pipeline"
)

// setPos is the place of values given by overrides.
var setPos = pipeline.Pos{File: "--set"}

// Settings decodes settings of formats given on a command line, as
// format.key=value.
func Settings(overrides []string, reg *pipeline.Registry) ([]FormatSettings, error) {
	formats := &Value{Kind: Mapping, Pos: setPos, Key: setPos}
	for _, f := range reg.Formats() {
		if f.Config != nil {
			formats.Fields = append(formats.Fields, Field{Key: f.Format.Name(), Pos: setPos, Value: &Value{Kind: Mapping, Pos: setPos, Key: setPos}})
		}
	}
	root := &Value{Kind: Mapping, Pos: setPos, Key: setPos, Fields: []Field{{Key: "formats", Pos: setPos, Value: formats}}}
	var issues pipeline.Issues
	for _, o := range overrides {
		set(root, "formats."+o, &issues)
	}
	var out []FormatSettings
	for _, fv := range formats.Fields {
		spec, _ := reg.Format(fv.Key)
		if len(fv.Value.Fields) == 0 {
			continue
		}
		s := FormatSettings{Name: fv.Key, Pos: setPos, Path: "formats." + fv.Key, Config: spec.Config()}
		Decode(fv.Value, s.Path, s.Config, &issues)
		out = append(out, s)
	}
	return out, issues.Err()
}

// set applies one override, path=value.
func set(root *Value, override string, issues *pipeline.Issues) {
	path, text, ok := strings.Cut(override, "=")
	if !ok || path == "" {
		issues.Addf(setPos, "", "want path=value, got %s", quote(override))
		return
	}
	segments := strings.Split(path, ".")
	if len(segments) > maxDepth {
		issues.Addf(setPos, path, "the path is too long")
		return
	}
	value, msg := setScalar(text)
	if msg != "" {
		issues.Addf(setPos, path, "%s", msg)
		return
	}
	v := root
	for done := 0; done < len(segments); {
		rest := segments[done:]
		switch v.Kind {
		case Mapping:
			// Keys may hold dots themselves: the longest that is there wins.
			n := len(rest)
			for n > 0 && v.Get(strings.Join(rest[:n], ".")) == nil {
				n--
			}
			if n == 0 {
				if done < 2 && len(rest) > 1 {
					unknownName(v, segments, done, path, issues)
					return
				}
				n = 1
				next := &Value{Kind: Mapping, Pos: setPos, Key: setPos}
				v.Fields = append(v.Fields, Field{Key: rest[0], Pos: setPos, Value: next})
			}
			key := strings.Join(rest[:n], ".")
			done += n
			if done == len(segments) {
				for i := range v.Fields {
					if v.Fields[i].Key == key {
						v.Fields[i].Value, v.Fields[i].Pos = value, setPos
					}
				}
				return
			}
			v = v.Get(key)
		case List:
			i, err := strconv.Atoi(rest[0])
			if err != nil || i < 0 || i > len(v.Items) {
				issues.Addf(setPos, path, "%s is no item of a list of %d", quote(rest[0]), len(v.Items))
				return
			}
			if i == len(v.Items) {
				v.Items = append(v.Items, &Value{Kind: Mapping, Pos: setPos, Key: setPos})
			}
			done++
			if done == len(segments) {
				v.Items[i] = value
				return
			}
			v = v.Items[i]
		case Null:
			*v = Value{Kind: Mapping, Pos: setPos, Key: setPos}
		default:
			issues.Addf(setPos, path, "%s is %s and has nothing below it", strings.Join(segments[:done], "."), v.describe())
			return
		}
	}
}

// unknownName reports that an override names an input, stage or output, or a
// part of the file, that is not there.
func unknownName(v *Value, segments []string, done int, path string, issues *pipeline.Issues) {
	var names []string
	for _, f := range v.Fields {
		names = append(names, f.Key)
	}
	where := "the file"
	if done > 0 {
		where = strings.Join(segments[:done], ".")
	}
	is := issues.Addf(setPos, path, "%s has no %s", where, quote(segments[done]))
	is.Suggestion = pipeline.Nearest(segments[done], names)
}

// setScalar makes a scalar of the text after the equals sign. Quotes around
// the whole text make it a string.
func setScalar(text string) (*Value, string) {
	v := &Value{Kind: Scalar, Text: text, Pos: setPos, Key: setPos, plain: true}
	if strings.HasPrefix(text, `"`) || strings.HasPrefix(text, "'") {
		doc, err := parseYAML([]byte(text))
		if err != nil || doc.next != nil || doc.first.Kind != yaml.ScalarNode {
			return nil, "the quotes around the value do not match"
		}
		v.Text, v.tag, v.plain = doc.first.Value, "!!str", false
		return v, ""
	}
	resolve(v)
	return v, ""
}
