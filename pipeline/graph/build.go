package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
)

// Build makes the components of a pipeline and wires them. It reports every
// mistake at once, as *pipeline.Issues: references to nothing, cycles, what is
// used by nothing, and, wherever the tables of an input are known before it is
// read, unknown columns and type errors. It copes with a pipeline that was
// decoded in part and returns the mistakes of both steps together.
// Another error means that a component could not be made for a reason that may
// go away, such as a store that did not answer. The graph is nil unless the
// error is.
func Build(ctx context.Context, p *config.Pipeline, reg *pipeline.Registry, env pipeline.Env) (*Graph, error) {
	var issues pipeline.Issues
	if p.Issues != nil {
		issues.Add(p.Issues)
	}
	g, err := buildOne(ctx, p, reg, env, &issues)
	if err != nil {
		return nil, err
	}
	for _, step := range p.Reduce {
		s, err := buildOne(ctx, step, reg, env, &issues)
		if err != nil {
			return nil, err
		}
		g.Steps = append(g.Steps, s)
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	return g, nil
}

// buildOne makes the graph of a pipeline without its steps, or of one step.
func buildOne(ctx context.Context, p *config.Pipeline, reg *pipeline.Registry, env pipeline.Env, issues *pipeline.Issues) (*Graph, error) {
	b := &build{ctx: ctx, p: p, reg: reg, inputs: make(map[string]*config.Input), nodes: make(map[string]*node)}
	for _, in := range p.Inputs {
		if b.inputs[in.Name] == nil {
			b.inputs[in.Name] = in
		}
	}
	for _, list := range [][]*config.Node{p.Stages, p.Outputs} {
		for _, c := range list {
			if b.nodes[c.Name] != nil || b.inputs[c.Name] != nil {
				continue // a name given twice is reported by config
			}
			n := &node{Node: c}
			b.nodes[c.Name] = n
			b.order = append(b.order, n)
		}
	}
	for _, n := range b.order {
		b.wire(n)
	}
	b.unused()
	b.sort()
	for _, n := range b.order {
		if err := b.make(n, env); err != nil {
			return nil, err
		}
	}
	g := &Graph{Pipeline: p, registry: reg, inputs: p.Inputs, nodes: b.order}
	for _, in := range p.Inputs {
		f, err := b.formats(in, env)
		if err != nil {
			return nil, err
		}
		g.formats = append(g.formats, f)
	}
	if !b.cyclic {
		g.propagate(&b.issues)
	}
	if err := b.issues.Err(); err != nil {
		issues.Add(err)
		return g, nil
	}
	for _, n := range g.nodes {
		if n.Config == nil {
			return g, nil // a component that nobody knows, as was said when it was loaded
		}
	}
	for _, n := range g.nodes {
		n.print = n.makePrint()
	}
	return g, nil
}

// build is the state of Build.
type build struct {
	ctx    context.Context
	p      *config.Pipeline
	reg    *pipeline.Registry
	issues pipeline.Issues
	inputs map[string]*config.Input
	nodes  map[string]*node
	order  []*node
	cyclic bool
	// guesses are names that a reference to nothing may have meant: they are
	// not reported as unused on top.
	guesses map[string]bool
}

// wire resolves the references of a node.
func (b *build) wire(n *node) {
	seen := make(map[string]bool)
	for _, t := range n.From {
		if seen[t.Value] {
			b.issues.Add(t.Issuef(0, "%s is given twice", t.Value))
			continue
		}
		seen[t.Value] = true
		if r, ok := b.resolve(n, t); ok {
			n.from = append(n.from, r)
		} else {
			n.Partial = true
		}
	}
	for _, r := range n.from {
		// Rows would arrive twice.
		if name, key, ok := strings.Cut(r.text.Value, "."); ok && seen[name] && key != "" {
			b.issues.Add(r.text.Issuef(0, "%s is part of %s, which is given too", r.text.Value, name))
		}
	}
}

func (b *build) resolve(n *node, t pipeline.Text) (ref, bool) {
	name, key, keyed := strings.Cut(t.Value, ".")
	if in := b.inputs[name]; in != nil {
		r := ref{text: t, input: slices.Index(b.p.Inputs, in), node: -1, key: key}
		if !keyed {
			return r, true
		}
		var keys []string
		for _, e := range in.Tables.Entries {
			if e.Key.Value == key {
				return r, true
			}
			keys = append(keys, e.Key.Value)
		}
		if in.Partial && len(keys) == 0 {
			return r, false
		}
		is := t.Issuef(0, "input %s has no table %q", name, key)
		if near := pipeline.Nearest(key, keys); near != "" {
			is.Suggestion = name + "." + near
		}
		b.issues.Add(is)
		b.guess(name)
		return r, false
	}
	if m := b.nodes[name]; m != nil {
		switch {
		case m.Sink:
			b.issues.Add(t.Issuef(0, "%s is an output; nothing comes out of it", name))
			return ref{}, false
		case keyed:
			is := t.Issuef(0, "%s is a stage, which has no tables of its own to pick", name)
			is.Suggestion = name
			b.issues.Add(is)
			b.guess(name)
			return ref{}, false
		}
		return ref{text: t, input: -1, node: slices.Index(b.order, m)}, true
	}
	var names []string
	for _, in := range b.p.Inputs {
		names = append(names, in.Name)
	}
	for _, s := range b.p.Stages {
		if s.Name != n.Name {
			names = append(names, s.Name)
		}
	}
	is := t.Issuef(0, "there is no input or stage %q", name)
	if near := pipeline.Nearest(name, names); near != "" {
		b.guess(near)
		is.Suggestion = near
		if keyed {
			is.Suggestion += "." + key
		}
	}
	b.issues.Add(is)
	return ref{}, false
}

func (b *build) guess(name string) {
	if b.guesses == nil {
		b.guesses = make(map[string]bool)
	}
	b.guesses[name] = true
}

// unused reports inputs and stages that feed nothing.
func (b *build) unused() {
	used := make(map[string]bool)
	for _, n := range b.order {
		if len(n.From) == 0 {
			return // what it should come from is not known
		}
		for _, t := range n.From {
			name, _, _ := strings.Cut(t.Value, ".")
			used[name] = true
		}
	}
	if len(b.p.Outputs) == 0 {
		return
	}
	for _, in := range b.p.Inputs {
		if !used[in.Name] && !b.guesses[in.Name] {
			b.issues.Addf(in.Pos, in.Path, "is used by nothing")
		}
	}
	for _, s := range b.p.Stages {
		if !used[s.Name] && !b.guesses[s.Name] {
			b.issues.Addf(s.Pos, s.Path, "is used by nothing")
		}
	}
}

// sort puts producers before consumers, otherwise in the order of the file,
// and reports cycles.
func (b *build) sort() {
	const (
		fresh = iota
		open
		done
	)
	state := make([]int, len(b.order))
	sorted := make([]*node, 0, len(b.order))
	var path []int
	var visit func(i int)
	visit = func(i int) {
		state[i] = open
		path = append(path, i)
		for _, r := range b.order[i].from {
			if r.node < 0 {
				continue
			}
			switch state[r.node] {
			case fresh:
				visit(r.node)
			case open:
				b.cycle(path[slices.Index(path, r.node):])
			}
		}
		path = path[:len(path)-1]
		state[i] = done
		sorted = append(sorted, b.order[i])
	}
	for i := range b.order {
		if state[i] == fresh {
			visit(i)
		}
	}
	if b.cyclic {
		return
	}
	at := make(map[*node]int, len(sorted))
	for i, n := range sorted {
		at[n] = i
	}
	for _, n := range sorted {
		for i, r := range n.from {
			if r.node >= 0 {
				n.from[i].node = at[b.order[r.node]]
			}
		}
	}
	b.order = sorted
}

// cycle reports nodes of which each takes its input from the next, the last
// from the first. It is told in the direction of the rows, from the node that
// comes first in the file.
func (b *build) cycle(path []int) {
	b.cyclic = true
	ring := slices.Clone(path)
	slices.Reverse(ring)
	first := slices.Index(ring, slices.Min(ring))
	ring = append(ring[first:], ring[:first]...)
	var names strings.Builder
	for _, i := range ring {
		names.WriteString(b.order[i].Name + " -> ")
	}
	n := b.order[ring[0]]
	b.issues.Addf(n.Pos, n.Path, "feeds itself: %s%s", names.String(), n.Name)
}

// make makes the component of a node.
func (b *build) make(n *node, env pipeline.Env) error {
	if n.Config == nil {
		return nil
	}
	rec := &recorder{Env: env}
	var err error
	if n.Sink {
		if spec, ok := b.reg.Sink(n.Use); ok {
			n.behaviour = spec.Behaviour
			n.sink, err = spec.New(b.ctx, n.Config, rec)
		}
	} else if spec, ok := b.reg.Stage(n.Use); ok {
		n.behaviour = spec.Behaviour
		n.stage, err = spec.New(b.ctx, n.Config, rec)
	}
	n.sides, n.loaded = rec.sides, rec.loaded
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pipeline.ErrNotLoaded):
		n.stage, n.sink = nil, nil
		return nil
	case pipeline.IsTransient(err), b.ctx.Err() != nil:
		return fmt.Errorf("%s: %w", n.Path, err)
	}
	n.stage, n.sink = nil, nil
	b.report(n, err)
	return nil
}

// formats configures the formats for which an input has settings.
func (b *build) formats(in *config.Input, env pipeline.Env) (*inputFormats, error) {
	out := &inputFormats{registry: b.reg}
	rec := &recorder{Env: env}
	if spec, ok := b.reg.Format(in.Format); ok && in.Output != "" {
		if f, ok := spec.Format.(pipeline.LakeReader); ok {
			out.registry = out.registry.With(f.OfLake())
		}
	}
	for _, s := range in.FormatSettings() {
		spec, ok := b.reg.Format(s.Name)
		if !ok || s.Config == nil {
			continue
		}
		f, err := spec.Configure(b.ctx, s.Config, rec)
		switch {
		case err == nil:
			out.registry = out.registry.With(f)
		case errors.Is(err, pipeline.ErrNotLoaded):
		case pipeline.IsTransient(err), b.ctx.Err() != nil:
			return nil, fmt.Errorf("%s: %w", s.Path, err)
		case !b.issues.Add(err):
			b.issues.Addf(s.Pos, s.Path, "%v", err)
		}
	}
	out.sides, out.loaded = append(out.sides, rec.sides...), rec.loaded
	slices.Sort(out.sides)
	return out, nil
}

func (b *build) report(n *node, err error) { report(&b.issues, n, err) }

// report adds what is wrong with a node.
func report(issues *pipeline.Issues, n *node, err error) {
	if !issues.Add(err) {
		issues.Addf(n.Pos, n.Path, "%v", err)
	}
}

// LoadTable notes what was loaded.
func (r *recorder) LoadTable(ctx context.Context, uri pipeline.Text) (*pipeline.SideTable, error) {
	t, err := r.Env.LoadTable(ctx, uri)
	if err == nil {
		r.note(uri.Value, t.SHA256)
	}
	return t, err
}

// LoadFile notes what was loaded.
func (r *recorder) LoadFile(ctx context.Context, uri pipeline.Text) (*pipeline.SideFile, error) {
	f, err := r.Env.LoadFile(ctx, uri)
	if err == nil {
		r.note(uri.Value, f.SHA256)
	}
	return f, err
}

func (r *recorder) note(uri, hash string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sides = append(r.sides, hash)
	if r.loaded == nil {
		r.loaded = make(map[string]string)
	}
	r.loaded[uri] = hash
}
