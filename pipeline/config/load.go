package config

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// file is the top of a pipeline file.
type file struct {
	Pipeline    pipeline.Text `yaml:"pipeline" required:"true" doc:"Name of the pipeline; part of the identity of what it writes." example:"urban-drives"`
	Description string        `yaml:"description" doc:"What the pipeline is for."`
	Inputs      section       `yaml:"inputs" required:"true" doc:"Where recordings come from, by name."`
	Stages      section       `yaml:"stages" doc:"Steps between inputs and outputs, by name."`
	Outputs     section       `yaml:"outputs" required:"true" doc:"Where tables are written, by name."`
	Reduce      section       `yaml:"reduce" doc:"Steps over the tables of the lake, by name, run in this order when the units are done."`
	Limits      Limits        `yaml:"limits" doc:"How much of a run may go wrong before it counts as failed."`
}

// step is a step of reduce: a pipeline over tables of the lake.
type step struct {
	Description string  `yaml:"description" doc:"What the step is for."`
	Inputs      section `yaml:"inputs" required:"true" doc:"Tables of outputs, by name."`
	Stages      section `yaml:"stages" doc:"Steps between inputs and outputs, by name."`
	Outputs     section `yaml:"outputs" required:"true" doc:"Where tables are written, by name."`
}

// section is a mapping whose entries are decoded one by one: the type of a node
// depends on its key use, that of the settings of a format on its name.
type section struct {
	value   *Value
	formats []FormatSettings // of the section formats of an input
}

var (
	sectionType = reflect.TypeFor[section]()
	nameRE      = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)
	titleRE     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	captureRE   = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)(?::[^{},]*)?\}`)
	attributeRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Load decodes a pipeline file. The pipeline it returns is never nil: together
// with the error, which is a *pipeline.Issues, it holds what could be decoded,
// so that the graph can be searched for further mistakes.
func Load(name string, data []byte, opts LoadOptions, reg *pipeline.Registry) (*Pipeline, error) {
	var issues pipeline.Issues
	p := &Pipeline{File: name}
	if root := Parse(name, data, opts, &issues); root != nil {
		l := loader{p: p, reg: reg, decoder: decoder{issues: &issues}}
		l.load(root)
	}
	err := issues.Err()
	if err != nil {
		p.Issues = &issues
	}
	return p, err
}

type loader struct {
	decoder
	p   *Pipeline
	reg *pipeline.Registry
	// written are the outputs whose tables a step may read.
	written []*Node
}

func (l *loader) load(root *Value) {
	// A place for anchors.
	root.Fields = slices.DeleteFunc(root.Fields, func(f Field) bool { return strings.HasPrefix(f.Key, "x-") })
	var f file
	l.value(root, "", reflect.ValueOf(&f).Elem(), nil)
	l.p.Name = f.Pipeline.Value
	if l.p.Name != "" && !titleRE.MatchString(l.p.Name) {
		l.issues.Addf(f.Pipeline.Pos, f.Pipeline.Path, "a name has letters, digits, dots, - and _ only, got %s", quote(l.p.Name))
	}
	l.p.Description, l.p.Limits = f.Description, f.Limits
	l.body(step{Inputs: f.Inputs, Stages: f.Stages, Outputs: f.Outputs}, "")
	if f.Reduce.value == nil {
		return
	}
	written := slices.Clone(l.p.Outputs)
	for _, fv := range f.Reduce.fields("reduce", l.issues) {
		path := "reduce." + fv.Key
		checkName(pipeline.Text{Value: fv.Key, Pos: fv.Pos, Path: path}, l.issues)
		var s step
		l.value(fv.Value, path, reflect.ValueOf(&s).Elem(), nil)
		sub := loader{p: &Pipeline{File: l.p.File, Name: l.p.Name + "." + fv.Key, Step: fv.Key, Description: s.Description}, reg: l.reg, decoder: l.decoder, written: written}
		sub.body(s, path+".")
		l.p.Reduce = append(l.p.Reduce, sub.p)
		for _, n := range sub.p.Outputs {
			for _, w := range written {
				if w.Name == n.Name {
					l.issues.Addf(n.Pos, n.Path, "the name is taken, see line %d", w.Pos.Line)
				}
			}
		}
		written = append(written, sub.p.Outputs...)
	}
}

// body decodes what a pipeline and a step of it have in common.
func (l *loader) body(s step, prefix string) {
	for _, fv := range s.Inputs.fields(prefix+"inputs", l.issues) {
		in := &Input{Name: fv.Key, Path: prefix + "inputs." + fv.Key}
		l.p.Inputs = append(l.p.Inputs, in)
		one := inputLoader{decoder: l.decoder, reg: l.reg, in: in, value: fv.Value, path: in.Path}
		one.load(fv)
		one.place(l.p.Step != "", l.written)
	}
	if s.Stages.value != nil {
		l.nodes(s.Stages.fields(prefix+"stages", l.issues), prefix+"stages", false)
	}
	l.nodes(s.Outputs.fields(prefix+"outputs", l.issues), prefix+"outputs", true)
	l.names(prefix)
}

// place checks where an input comes from: recordings of a URI, or, in a step,
// tables of an output that was declared before.
func (l *inputLoader) place(inStep bool, written []*Node) {
	in := l.in
	switch {
	case l.value.Kind != Mapping || l.value.Get("uri") != nil && in.URI.Value == "" || l.value.Get("output") != nil && in.Lake.Value == "":
		// Reported already.
	case !inStep && in.Lake.Value != "":
		l.issues.Add(in.Lake.Issuef(0, "only inputs of a step of reduce read what outputs have written"))
	case inStep && in.URI.Value != "":
		l.issues.Add(in.URI.Issuef(0, "a step of reduce reads tables of an output: say output: name.table"))
	case !inStep && in.URI.Value == "":
		l.issues.Addf(l.value.at(), l.path, "uri is missing")
		in.Partial = true
	case inStep && in.Lake.Value == "":
		l.issues.Addf(l.value.at(), l.path, "output is missing")
		in.Partial = true
	case inStep && in.Grouping.Bytes > 0:
		l.issues.Addf(l.value.at(), l.path+".group.bytes", "files of a step are grouped by partition keys only")
	case inStep && (in.Objects.Value != "" || in.Ready != Ready{}):
		l.issues.Addf(l.value.at(), l.path, "objects and ready are of inputs with recordings, a step reads what is committed")
	case inStep:
		in.Format = "parquet"
		output, table, ok := strings.Cut(in.Lake.Value, ".")
		if _, err := CompileGlob(table); !ok || err != nil || table == "" {
			l.issues.Add(in.Lake.Issuef(0, "want name.table of an output, got %s", quote(in.Lake.Value)))
			return
		}
		var names []string
		for _, n := range written {
			if n.Name == output {
				in.Output, in.Table = output, table
				return
			}
			names = append(names, n.Name)
		}
		l.unknown(in.Lake, "no output before this step is called %s", output, names)
	}
}

// fields lists the entries of a section, of which there must be some.
func (s section) fields(name string, issues *pipeline.Issues) []Field {
	if s.value == nil {
		return nil
	}
	if len(s.value.Fields) == 0 {
		issues.Addf(s.value.at(), name, "there is nothing in it")
	}
	return s.value.Fields
}

// inputLoader decodes one input and checks what tags cannot say.
type inputLoader struct {
	decoder
	reg   *pipeline.Registry
	in    *Input
	value *Value
	path  string
}

// immaterial are the settings that do not decide what the tables look like.
var immaterial = []string{"on_bad_data", "clock_window", "from", "to", "exclude", "group", "objects", "ready"}

func (l *inputLoader) load(fv Field) {
	in := l.in
	checkName(pipeline.Text{Value: fv.Key, Pos: fv.Pos, Path: l.path}, l.issues)
	l.failed = func(path string) {
		key, _, _ := strings.Cut(strings.TrimPrefix(path, l.path+"."), ".")
		in.Partial = in.Partial || !slices.Contains(immaterial, key)
	}
	in.Partial = fv.Value.Kind != Mapping
	l.decoder.value(fv.Value, l.path, reflect.ValueOf(in).Elem(), nil)
	in.Pos = fv.Pos
	if in.Format != "" {
		if _, ok := l.reg.Format(in.Format); !ok {
			var names []string
			for _, f := range l.reg.Formats() {
				names = append(names, f.Format.Name())
			}
			l.unknown(l.at("format"), "no format is called %s", in.Format, names)
		}
	}
	l.formats()
	l.attributes()
	known := []string{"header", "log", "publish", "master"}
	for _, c := range in.Clock {
		// Formats have clocks of their own names; only near misses are wrong.
		if near := pipeline.Nearest(c, known); near != "" && near != c {
			l.unknown(l.at("clock"), "no clock is called %s", c, known)
			in.Partial = true
		}
	}
	if in.ClockWindow < 0 {
		l.issues.Add(l.at("clock_window").Issuef(0, "must not be negative"))
	}
	if !in.From.IsZero() && !in.To.IsZero() && !in.From.Before(in.To) {
		l.issues.Add(l.at("to").Issuef(0, "must be later than from"))
	}
	for i := range in.Tables.Entries {
		e := &in.Tables.Entries[i]
		e.Value.Pos = e.Key.Pos
		checkName(e.Key, l.issues)
		if e.Value.Match.Value == "" {
			e.Value.Match = e.Key
		}
		l.glob(e.Value.Match)
		for _, c := range e.Value.Columns {
			l.glob(c)
		}
	}
}

// formats decodes the settings of formats.
func (l *inputLoader) formats() {
	if l.in.Formats.value == nil {
		return
	}
	for _, fv := range l.in.Formats.value.Fields {
		set := FormatSettings{Name: fv.Key, Pos: fv.Pos, Path: l.path + ".formats." + fv.Key}
		at := pipeline.Text{Value: fv.Key, Pos: fv.Pos, Path: set.Path}
		spec, ok := l.reg.Format(fv.Key)
		switch {
		case !ok:
			var names []string
			for _, f := range l.reg.Formats() {
				if f.Config != nil {
					names = append(names, f.Format.Name())
				}
			}
			l.unknown(at, "no format is called %s", fv.Key, names)
			l.in.Partial = true
		case spec.Config == nil:
			l.issues.Add(at.Issuef(0, "%s has no settings", fv.Key))
			l.in.Partial = true
		default:
			config := spec.Config()
			if l.decoder.value(fv.Value, set.Path, reflect.ValueOf(config).Elem(), nil) {
				set.Config = config
			} else {
				l.in.Partial = true
			}
			l.in.Formats.formats = append(l.in.Formats.formats, set)
		}
	}
}

// attributes checks the names of attributes and what refers to them.
func (l *inputLoader) attributes() {
	in := l.in
	names := Captures(in.URI.Value)
	wrong := func(is *pipeline.Issue) {
		l.issues.Add(is)
		in.Partial = true
	}
	for _, c := range names {
		if c == pipeline.TimeColumn {
			wrong(in.URI.Issuef(characters(in.URI.Value, strings.Index(in.URI.Value, "{"+c)), "the capture {%s} has the name of the time column; rename it", c))
		}
	}
	for _, a := range slices.Sorted(maps.Keys(in.Attributes)) {
		switch {
		case !attributeRE.MatchString(a) || a == pipeline.TimeColumn:
			wrong(l.at("attributes", a).Issuef(0, "%s cannot be the name of an attribute", quote(a)))
		case slices.Contains(names, a):
			wrong(l.at("attributes", a).Issuef(0, "the attribute is captured by uri already"))
		}
		names = append(names, a)
	}
	for _, by := range in.Grouping.By {
		in.Group = append(in.Group, by.Value)
		// The attributes of a table in the lake are the keys of its partitions.
		if in.URI.Value != "" && in.Lake.Value == "" && !slices.Contains(names, by.Value) {
			l.unknown(by, "%s is no attribute of this input", by.Value, names)
		}
	}
}

func (l *inputLoader) glob(t pipeline.Text) {
	if _, err := CompileGlob(t.Value); err != nil {
		l.issues.Add(t.Issuef(0, "%s: %v", quote(t.Value), err))
		l.in.Partial = true
	}
}

// at finds the place of a setting that keeps none of its own.
func (l *inputLoader) at(keys ...string) pipeline.Text {
	t := pipeline.Text{Pos: l.in.Pos, Path: l.path + "." + strings.Join(keys, ".")}
	v := l.value
	for _, k := range keys {
		if v = v.Get(k); v == nil {
			return t
		}
	}
	t.Pos = v.Pos
	return t
}

func (l *inputLoader) unknown(at pipeline.Text, format, name string, names []string) {
	is := at.Issuef(0, format, quote(name))
	is.Suggestion = pipeline.Nearest(name, names)
	l.issues.Add(is)
}

// checkName checks the name of an input, table, stage or output.
func checkName(t pipeline.Text, issues *pipeline.Issues) {
	if !nameRE.MatchString(t.Value) {
		issues.Addf(t.Pos, t.Path, "a name begins with a letter and has letters, digits, - and _ only, got %s", quote(t.Value))
	}
}

// nodes decodes the stages or the outputs.
func (l *loader) nodes(fields []Field, in string, sink bool) {
	for _, fv := range fields {
		n := &Node{Name: fv.Key, Pos: fv.Pos, Path: in + "." + fv.Key, Sink: sink, Partial: true}
		checkName(pipeline.Text{Value: n.Name, Pos: n.Pos, Path: n.Path}, l.issues)
		if sink {
			l.p.Outputs = append(l.p.Outputs, n)
		} else {
			l.p.Stages = append(l.p.Stages, n)
		}
		switch {
		case fv.Value.bad:
		case fv.Value.Kind != Mapping:
			l.want(fv.Value, n.Path, "a mapping")
		default:
			l.node(fv, n)
		}
	}
}

var commonKeys = []string{"use", "from", "as"}

func (l *loader) node(fv Field, n *Node) {
	v := fv.Value
	targets := []reflect.Value{reflect.ValueOf(n).Elem()}
	config := l.component(v, n)
	if config != nil {
		targets = append(targets, reflect.ValueOf(config).Elem())
	} else {
		// Without the component its keys cannot be told from mistakes.
		kept := &Value{Kind: Mapping, Pos: v.Pos, Key: v.Key}
		for _, f := range v.Fields {
			if pipeline.Nearest(f.Key, commonKeys) != "" {
				kept.Fields = append(kept.Fields, f)
			}
		}
		v = kept
	}
	ok := l.mapping(v, n.Path, "", targets)
	n.Pos = fv.Pos
	n.Partial = n.Use == "" || len(n.From) == 0
	if strings.ContainsAny(strings.ReplaceAll(n.As, "{table}", ""), "{}") {
		ok = false
		pos := n.Pos
		if as := v.Get("as"); as != nil {
			pos = as.Pos
		}
		l.issues.Addf(pos, join(n.Path, "as"), "only {table} can stand in braces, got %s", quote(n.As))
	}
	if ok {
		n.Config = config
	}
}

// component makes the configuration struct of the component that a node uses,
// nil when there is none, which it reports.
func (l *loader) component(v *Value, n *Node) (config any) {
	use := v.Get("use")
	for i := 0; use == nil && i < len(v.Fields); i++ {
		if pipeline.Nearest(v.Fields[i].Key, commonKeys) == "use" {
			use = v.Fields[i].Value
		}
	}
	if use == nil || use.Kind != Scalar || use.bad {
		return nil
	}
	stage, isStage := l.reg.Stage(use.Text)
	sink, isSink := l.reg.Sink(use.Text)
	path := join(n.Path, "use")
	switch {
	case n.Sink && isSink:
		config = sink.Config()
	case !n.Sink && isStage:
		config = stage.Config()
	case n.Sink && isStage:
		l.issues.Addf(use.Pos, path, "%s is a stage, no output", use.Text)
	case !n.Sink && isSink:
		l.issues.Addf(use.Pos, path, "%s is an output, no stage", use.Text)
	default:
		var names []string
		what := "stage"
		if n.Sink {
			what = "output"
			for _, s := range l.reg.Sinks() {
				names = append(names, s.Name)
			}
		} else {
			for _, s := range l.reg.Stages() {
				names = append(names, s.Name)
			}
		}
		is := l.issues.Addf(use.Pos, path, "no %s is called %s", what, quote(use.Text))
		is.Suggestion = pipeline.Nearest(use.Text, names)
	}
	return config
}

// names reports a name that inputs, stages and outputs share.
func (l *loader) names(prefix string) {
	first := make(map[string]pipeline.Pos)
	check := func(name string, pos pipeline.Pos, path string) {
		if at, ok := first[name]; ok {
			l.issues.Addf(pos, path, "the name is taken, see line %d", at.Line)
			return
		}
		first[name] = pos
	}
	for _, in := range l.p.Inputs {
		check(in.Name, in.Pos, prefix+"inputs."+in.Name)
	}
	for _, n := range l.p.Stages {
		check(n.Name, n.Pos, n.Path)
	}
	for _, n := range l.p.Outputs {
		check(n.Name, n.Pos, n.Path)
	}
}

// Captures lists the names captured by a URI, in order: {vehicle_id}, or
// {vehicle_id:pattern}. Braces that hold a comma are alternatives instead.
func Captures(uri string) []string {
	var out []string
	for _, m := range captureRE.FindAllStringSubmatch(uri, -1) {
		if !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}
