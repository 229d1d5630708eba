package graph

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/config"
)

// propagate carries the schemas that are known before anything is read through
// the graph and collects the mistakes that show. Where the tables of an input
// are not known, or a component lacks its side data, what comes after is not
// looked at.
func (g *Graph) propagate(issues *pipeline.Issues) {
	known := make([][]*StreamTable, len(g.inputs)) // by input; nil entry: unknown
	for i, in := range g.inputs {
		if !in.Partial {
			known[i] = g.knownTables(in, issues)
		}
	}
	out := make([][]*pipeline.Table, len(g.nodes)) // nil: unknown
	taken := make(map[*pipeline.Table]origin)
	for _, ts := range known {
		for _, t := range ts {
			taken[t.Stream] = origin{}
		}
	}
	for i, n := range g.nodes {
		bn := &BoundNode{Name: n.Name, Node: n.Node, node: i}
		unknown := n.Partial || n.Config == nil || n.stage == nil && n.sink == nil
		for _, r := range n.from {
			var p Port
			if r.input >= 0 {
				p.Tables = carriedKnown(g.inputs[r.input], known[r.input], r.key)
			} else {
				p.Tables = out[r.node]
			}
			if len(p.Tables) == 0 {
				unknown = true
			}
			bn.From = append(bn.From, p)
		}
		if unknown {
			continue
		}
		bn.In = distinct(bn.From)
		err := n.bind(bn, taken)
		switch {
		case err == nil:
			out[i] = bn.Out
			for _, t := range bn.Out {
				taken[t] = origin{}
			}
		case errors.Is(err, pipeline.ErrNotLoaded):
		default:
			report(issues, n, err)
		}
	}
}

// carriedKnown lists the known tables on an edge, nil where not all are known.
func carriedKnown(in *config.Input, known []*StreamTable, key string) []*pipeline.Table {
	have := make(map[string]bool)
	for _, t := range known {
		have[t.Key] = true
	}
	if key == "" {
		for _, e := range in.Tables.Entries {
			if !have[e.Key.Value] {
				return nil
			}
		}
	}
	return carried(&BoundSource{Input: in, Tables: known}, key)
}

// knownTables lays out the tables of an input whose schema is known without a
// recording.
func (g *Graph) knownTables(in *config.Input, issues *pipeline.Issues) []*StreamTable {
	formats := g.guessFormats(in)
	attributes := Attributes(in)
	var out []*StreamTable
	add := func(t *pipeline.Table, s selector) {
		if len(in.Clock) > 0 && declaredClock(in, t).Column == "" && len(t.Clocks) > 0 {
			var names []string
			for _, c := range t.Clocks {
				names = append(names, c.Name)
			}
			at := s.spec.Pos
			if at == (pipeline.Pos{}) {
				at = in.Pos
			}
			issues.Addf(at, tablePath(in, s.key), "table %s has none of the clocks %s; it has %s", t.Name, strings.Join(in.Clock, ", "), strings.Join(names, ", "))
		}
		var own pipeline.Issues
		st := streamTable(in, t, s, attributes, &own)
		if err := own.Err(); err != nil {
			issues.Add(err)
			return // what it lacks would be missed once more by every stage
		}
		out = append(out, st)
	}
	if len(in.Tables.Entries) == 0 {
		if t := known(formats, ""); t != nil {
			add(t, selector{spec: &config.TableSpec{}})
		}
		return out
	}
	sel, err := selectors(in)
	if err != nil {
		return nil // reported by config
	}
	for _, s := range sel {
		t := known(formats, s.spec.Type)
		if t == nil {
			continue
		}
		if s.spec.Type != "" {
			c := *t
			c.Name = s.key
			if name, literal := s.match.Literal(); literal {
				c.Name = name
			}
			t = &c
		} else if !s.match.Match(t.Name) {
			continue
		}
		add(t, s)
	}
	return out
}

func tablePath(in *config.Input, key string) string {
	p := in.Path
	if key != "" {
		p += ".tables." + key
	}
	return p
}

// known returns the table of a type that is the same, or nearly so, in all
// formats that an input may have. A column that only some of them have is
// known too: whether a recording has it is seen when it is opened. A column
// whose type differs makes the table unknown.
func known(formats []pipeline.Format, typeName string) *pipeline.Table {
	var found *pipeline.Table
	for _, f := range formats {
		typed, ok := f.(pipeline.Typed)
		if !ok {
			return nil
		}
		t, err := typed.KnownTable(typeName)
		if err != nil || t == nil {
			return nil
		}
		if found == nil {
			found = t
			continue
		}
		if found = Union(found, t); found == nil {
			return nil
		}
	}
	return found
}

// Union returns a table with the columns and clocks of both, nil where they
// contradict each other.
func Union(a, b *pipeline.Table) *pipeline.Table {
	fields := slices.Clone(a.Schema.Fields())
	for _, f := range b.Schema.Fields() {
		i := a.Column(f.Name)
		if i < 0 {
			f.Nullable = true
			fields = append(fields, f)
			continue
		}
		fields[i].Nullable = fields[i].Nullable || f.Nullable
		if !arrow.TypeEqual(fields[i].Type, f.Type) {
			return nil
		}
	}
	for i := range a.Schema.NumFields() {
		fields[i].Nullable = fields[i].Nullable || b.Column(fields[i].Name) < 0
	}
	out := a.With(arrow.NewSchema(fields, nil))
	out.Clocks = slices.Clone(a.Clocks)
	for _, c := range b.Clocks {
		if !slices.ContainsFunc(out.Clocks, func(o pipeline.Clock) bool { return o.Name == c.Name }) {
			out.Clocks = append(out.Clocks, c)
		}
	}
	return out
}

// guessFormats tells which formats an input may have: the declared one, or
// those of the file endings of its URI. Nil means that any may come.
func (g *Graph) guessFormats(in *config.Input) []pipeline.Format {
	if in.Format != "" {
		if spec, ok := g.Formats(in).Format(in.Format); ok {
			return []pipeline.Format{spec.Format}
		}
		return nil
	}
	var out []pipeline.Format
	for _, ext := range extensions(in.URI.Value) {
		f := g.formatFor(in, ext)
		if f == nil {
			return nil
		}
		if !slices.ContainsFunc(out, func(o pipeline.Format) bool { return o.Name() == f.Name() }) {
			out = append(out, f)
		}
	}
	return out
}

// formatFor finds the only format that uses a file ending.
func (g *Graph) formatFor(in *config.Input, ext string) pipeline.Format {
	var found pipeline.Format
	for _, spec := range g.Formats(in).Formats() {
		if ext == spec.Format.Name() || slices.Contains(spec.Extensions, ext) {
			if found != nil {
				return nil
			}
			found = spec.Format
		}
	}
	return found
}

// extensions lists the file endings that a URI template allows: one, or those
// of its alternatives, *.{bag,mcap}.
func extensions(uri string) []string {
	base := uri[strings.LastIndexByte(uri, '/')+1:]
	if open := strings.LastIndexByte(base, '{'); open >= 0 {
		if end := strings.IndexByte(base[open:], '}'); end >= 0 && strings.Contains(base[open:open+end], ",") {
			var out []string
			for _, alt := range strings.Split(base[open+1:open+end], ",") {
				out = append(out, extensions(base[:open]+strings.TrimSpace(alt)+base[open+end+1:])...)
			}
			return out
		}
	}
	ext := strings.TrimPrefix(path.Ext(base), ".")
	if ext == "" || strings.ContainsAny(ext, "*?[]{}") {
		return []string{""}
	}
	return []string{ext}
}
