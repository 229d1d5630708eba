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

// Bind binds the graph to the tables of one unit, by the names of the inputs.
// The tables of an input that several objects of the unit share must be listed
// once. It plans what to read: a forward pass finds out what comes out of each
// node, a backward pass what each needs, then columns that nobody needs are
// dropped at the sources and the nodes are bound again to what they will get.
// Bind may be called from many goroutines at once.
func (g *Graph) Bind(tables map[string][]*StreamTable) (*Bound, error) {
	full := make([]*BoundSource, 0, len(g.inputs))
	for _, in := range g.inputs {
		if ts := g.feeding(in, tables[in.Name]); len(ts) > 0 {
			full = append(full, &BoundSource{Input: in, Tables: ts})
		}
	}
	first, err := g.forward(full)
	if err != nil {
		return nil, err.cause()
	}
	// A stage may insist on a column that nobody needs in the end. Then it
	// gets all its columns back. Each turn does so for one more stage.
	whole := make(map[int]bool)
	for {
		need := first.backward(first.sinkNeeds(), whole)
		sources, pruned := prune(first.Sources, need)
		if !pruned {
			first.need = need
			return first.withBytes(), nil
		}
		second, err := g.forward(sources)
		if err == nil {
			second.need = second.backward(second.sinkNeeds(), whole)
			return second.withBytes(), nil
		}
		if err.node < 0 || whole[err.node] {
			return nil, err.cause()
		}
		whole[err.node] = true
	}
}

// bindError is a failure to bind, and where.
type bindError struct {
	node int // index into Graph.nodes
	path string
	err  error
}

func (e *bindError) cause() error {
	var issues *pipeline.Issues
	var issue *pipeline.Issue
	if errors.As(e.err, &issues) || errors.As(e.err, &issue) {
		return e.err
	}
	return fmt.Errorf("%s: %w", e.path, e.err)
}

// feeding drops the tables that no node takes.
func (g *Graph) feeding(in *config.Input, tables []*StreamTable) []*StreamTable {
	all, keys := false, make(map[string]bool)
	for _, n := range g.nodes {
		for _, r := range n.from {
			if r.input >= 0 && g.inputs[r.input] == in {
				all = all || r.key == ""
				keys[r.key] = true
			}
		}
	}
	var out []*StreamTable
	taken := make(map[*pipeline.Table]bool)
	for _, t := range tables {
		// A whole input carries a table that several keys match once.
		if keys[t.Key] || all && !taken[t.Native] {
			out = append(out, t)
		}
		taken[t.Native] = true
	}
	return out
}

// carried lists the tables of a source that flow over an edge.
func carried(s *BoundSource, key string) []*pipeline.Table {
	var out []*pipeline.Table
	taken := make(map[*pipeline.Table]bool)
	for _, t := range s.Tables {
		switch {
		case key != "":
			if t.Key == key {
				out = append(out, t.Stream)
			}
		case !taken[t.Native]:
			taken[t.Native] = true
			out = append(out, t.Stream)
		}
	}
	return out
}

// forward binds all nodes that have tables.
func (g *Graph) forward(sources []*BoundSource) (*Bound, *bindError) {
	b := &Bound{Sources: sources, madeBy: make(map[*pipeline.Table]origin)}
	for i, s := range sources {
		for k, t := range s.Tables {
			b.madeBy[t.Stream] = origin{node: -1 - i, output: k}
		}
	}
	source := make(map[*config.Input]int, len(sources))
	for i, s := range sources {
		source[s.Input] = i
	}
	at := make([]int, len(g.nodes)) // index into b.Nodes; -1: has no tables; -2: could not be bound
	var issues pipeline.Issues
	failed := -1
	for i, n := range g.nodes {
		at[i] = -1
		bn := &BoundNode{Name: n.Name, Node: n.Node, node: i}
		broken := false
		for _, r := range n.from {
			var p Port
			if r.input >= 0 {
				s, ok := source[g.inputs[r.input]]
				if !ok {
					continue
				}
				p = Port{Producer: -1 - s, Tables: carried(sources[s], r.key)}
			} else {
				j := at[r.node]
				if j == -2 {
					broken = true
				}
				if j < 0 {
					continue
				}
				p = Port{Producer: j, Tables: b.Nodes[j].Out}
			}
			if len(p.Tables) > 0 {
				bn.From = append(bn.From, p)
			}
		}
		if broken {
			at[i] = -2
			continue
		}
		bn.In = distinct(bn.From)
		if len(bn.In) == 0 {
			continue
		}
		if err := n.bind(bn, b.madeBy); err != nil {
			if failed < 0 {
				failed = i
			}
			if !issues.Add(err) {
				return nil, &bindError{node: i, path: n.Path, err: err}
			}
			at[i] = -2
			continue
		}
		at[i] = len(b.Nodes)
		b.Nodes = append(b.Nodes, bn)
		for k, t := range bn.Out {
			b.madeBy[t] = origin{node: at[i], output: k}
		}
	}
	if err := issues.Err(); err != nil {
		return nil, &bindError{node: failed, err: err}
	}
	return b, nil
}

// distinct lists the tables of all ports, each once.
func distinct(ports []Port) []*pipeline.Table {
	var out []*pipeline.Table
	seen := make(map[*pipeline.Table]bool)
	for _, p := range ports {
		for _, t := range p.Tables {
			if !seen[t] {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	return out
}

// bind binds one node to its tables. taken are the tables of other nodes.
func (n *node) bind(bn *BoundNode, taken map[*pipeline.Table]origin) error {
	if n.Sink {
		if n.sink == nil {
			return pipeline.ErrNotLoaded
		}
		sb, err := bindSink(n.sink, bn.In, n.As)
		if err != nil {
			return err
		}
		bn.Sink, bn.SinkOf = sb, n.sink
		return nil
	}
	if n.stage == nil {
		return pipeline.ErrNotLoaded
	}
	sb, err := bindStage(n.stage, bn.In, n.As, taken)
	if err != nil {
		return err
	}
	bn.Stage = sb
	for _, o := range sb.Outputs {
		bn.Out = append(bn.Out, o.Table)
	}
	return nil
}

// checkBinding holds a stage to its contract, on which everything derived from
// a binding relies.
func checkBinding(b *pipeline.Binding, in []*pipeline.Table) error {
	inputs := make(map[*pipeline.Table]bool, len(in))
	for _, t := range in {
		inputs[t] = true
	}
	known := func(r pipeline.ColumnRef) bool {
		return r.Table == nil || inputs[r.Table] && r.Table.Column(r.Column) >= 0
	}
	seen := make(map[*pipeline.Table]bool, len(b.Outputs))
	for _, o := range b.Outputs {
		name := o.Table.LakeName()
		if seen[o.Table] {
			return fmt.Errorf("two outputs for table %s", name)
		}
		seen[o.Table] = true
		if len(o.Columns) != o.Table.Schema.NumFields() {
			return fmt.Errorf("lineage for %d of the %d columns of table %s", len(o.Columns), o.Table.Schema.NumFields(), name)
		}
		for i, d := range o.Columns {
			if d.Identity && len(d.Inputs) != 1 {
				return fmt.Errorf("column %s of table %s is the same as %d columns", o.Table.Schema.Field(i).Name, name, len(d.Inputs))
			}
			for _, r := range d.Inputs {
				if !known(r) {
					return fmt.Errorf("column %s of table %s comes from a column %s that is not there", o.Table.Schema.Field(i).Name, name, r.Column)
				}
			}
		}
		for _, r := range o.Reads {
			if !known(r.ColumnRef) {
				return fmt.Errorf("table %s depends on a column %s that is not there", name, r.Column)
			}
		}
	}
	return nil
}

// rename makes the new name of a table.
func rename(as string, t *pipeline.Table) string {
	return strings.ReplaceAll(as, "{table}", t.LakeName())
}

// bindStage binds a stage so that every table that leaves it is its own: two
// branches that pass on the same table must be told apart. as renames them.
func bindStage(s pipeline.Stage, in []*pipeline.Table, as string, taken map[*pipeline.Table]origin) (*pipeline.Binding, error) {
	orig, err := s.Bind(in)
	if err != nil {
		return nil, err
	}
	if err := checkBinding(orig, in); err != nil {
		return nil, fmt.Errorf("the stage contradicts itself: %w", err)
	}
	b := *orig
	b.Outputs = slices.Clone(orig.Outputs)
	own := make(map[*pipeline.Table]*pipeline.Table)
	for i, o := range b.Outputs {
		if _, ok := taken[o.Table]; !ok && as == "" {
			continue
		}
		t := *o.Table
		if as != "" {
			t.Alias = rename(as, o.Table)
		}
		own[o.Table] = &t
		b.Outputs[i].Table = &t
	}
	if len(own) == 0 {
		return orig, nil
	}
	b.Open = func(opt pipeline.ProcessOptions) (pipeline.Processor, error) {
		if needed := opt.Needed; needed != nil {
			opt.Needed = func(t *pipeline.Table) []bool {
				if o := own[t]; o != nil {
					t = o
				}
				return needed(t)
			}
		}
		p, err := orig.Open(opt)
		if err != nil {
			return nil, err
		}
		return &relabel{Processor: p, own: own}, nil
	}
	return &b, nil
}

// relabel puts a node's own tables on what its processor emits.
type relabel struct {
	pipeline.Processor
	own map[*pipeline.Table]*pipeline.Table
}

func (r *relabel) emit(emit pipeline.Emit) pipeline.Emit {
	return func(e pipeline.Element) error {
		if e.Batch != nil {
			if t := r.own[e.Batch.Table]; t != nil {
				e.Batch.Table = t
			}
		} else if t := r.own[e.Mark.Table]; t != nil {
			e.Mark.Table = t
		}
		return emit(e)
	}
}

func (r *relabel) Process(ctx context.Context, b *pipeline.Batch, acct *pipeline.Account, emit pipeline.Emit) error {
	return r.Processor.Process(ctx, b, acct, r.emit(emit))
}

func (r *relabel) Flush(ctx context.Context, acct *pipeline.Account, emit pipeline.Emit) error {
	return r.Processor.Flush(ctx, acct, r.emit(emit))
}

// bindSink binds a sink. as renames the tables on the way in: the sink sees
// renamed ones, everybody else those that flow.
func bindSink(s pipeline.Sink, in []*pipeline.Table, as string) (*pipeline.SinkBinding, error) {
	if as == "" {
		return s.Bind(in)
	}
	renamed := make([]*pipeline.Table, len(in))
	flowing := make(map[*pipeline.Table]*pipeline.Table, len(in)) // by the renamed
	forSink := make(map[*pipeline.Table]*pipeline.Table, len(in)) // by the flowing
	for i, t := range in {
		c := *t
		c.Alias = rename(as, t)
		renamed[i] = &c
		flowing[&c], forSink[t] = t, &c
	}
	orig, err := s.Bind(renamed)
	if err != nil {
		return nil, err
	}
	b := *orig
	b.Tables = make([]pipeline.SinkTable, len(orig.Tables))
	for i, t := range orig.Tables {
		t.Inputs = slices.Clone(t.Inputs)
		for j, in := range t.Inputs {
			t.Inputs[j] = original(flowing, in)
		}
		t.Columns = slices.Clone(t.Columns)
		for j, d := range t.Columns {
			d.Inputs = slices.Clone(d.Inputs)
			for k := range d.Inputs {
				d.Inputs[k].Table = original(flowing, d.Inputs[k].Table)
			}
			t.Columns[j] = d
		}
		t.Reads = slices.Clone(t.Reads)
		for j := range t.Reads {
			t.Reads[j].Table = original(flowing, t.Reads[j].Table)
		}
		t.Bytes = slices.Clone(t.Bytes)
		for j := range t.Bytes {
			t.Bytes[j].Table = original(flowing, t.Bytes[j].Table)
		}
		b.Tables[i] = t
	}
	b.Open = func(ctx context.Context, opt pipeline.SinkOptions) (pipeline.SinkWriter, error) {
		w, err := orig.Open(ctx, opt)
		if err != nil {
			return nil, err
		}
		return &renamingWriter{SinkWriter: w, forSink: forSink}, nil
	}
	return &b, nil
}

func original(flowing map[*pipeline.Table]*pipeline.Table, t *pipeline.Table) *pipeline.Table {
	if o := flowing[t]; o != nil {
		return o
	}
	return t
}

// renamingWriter puts the tables a sink was bound to on what it is given.
type renamingWriter struct {
	pipeline.SinkWriter
	forSink map[*pipeline.Table]*pipeline.Table
}

func (w *renamingWriter) Write(ctx context.Context, b *pipeline.Batch, acct *pipeline.Account) error {
	if t := w.forSink[b.Table]; t != nil {
		b.Table = t
	}
	return w.SinkWriter.Write(ctx, b, acct)
}
