package graph

import (
	"slices"

	"github.com/drivemill/drivemill/pipeline"
)

// needs holds for each table which of its columns are needed.
type needs map[*pipeline.Table][]bool

func (n needs) of(t *pipeline.Table) []bool {
	if n[t] == nil {
		n[t] = make([]bool, t.Schema.NumFields())
	}
	return n[t]
}

func (n needs) all(t *pipeline.Table) {
	need := n.of(t)
	for i := range need {
		need[i] = true
	}
}

// refer adds a column.
func (n needs) refer(r pipeline.ColumnRef) {
	if r.Table == nil {
		return
	}
	if i := r.Table.Column(r.Column); i >= 0 {
		n.of(r.Table)[i] = true
	}
}

// sinkNeeds is what the outputs need: the columns that theirs come from, and
// those that they read besides.
func (b *Bound) sinkNeeds() needs {
	need := make(needs)
	for _, n := range b.Nodes {
		if n.Sink == nil {
			continue
		}
		for _, t := range n.Sink.Tables {
			if t.Columns == nil {
				for _, in := range t.Inputs {
					need.all(in)
				}
				continue
			}
			for _, in := range t.Inputs {
				need.of(in)
			}
			for _, d := range t.Columns {
				for _, r := range d.Inputs {
					need.refer(r)
				}
			}
			for _, r := range t.Reads {
				need.refer(r.ColumnRef)
			}
		}
	}
	return need
}

// backward carries needs from the outputs to the sources, and returns them
// completed. Tables without an entry are not needed at all: nothing that has
// needs takes rows from them. The stages in whole need all their columns.
func (b *Bound) backward(need needs, whole map[int]bool) needs {
	for k := len(b.Nodes) - 1; k >= 0; k-- {
		n := b.Nodes[k]
		if n.Stage == nil {
			continue
		}
		active := false
		for _, o := range n.Stage.Outputs {
			if need[o.Table] != nil {
				active = true
				n.demand(o, need)
			}
		}
		if active && whole[n.node] {
			for _, t := range n.In {
				need.all(t)
			}
		}
	}
	return need
}

// upstream is backward for one table alone.
func (b *Bound) upstream(need needs, t *pipeline.Table) needs {
	wanted := make(map[int][]int) // outputs by node
	reach := func(t *pipeline.Table) {
		if at := b.madeBy[t]; at.node >= 0 && !slices.Contains(wanted[at.node], at.output) {
			wanted[at.node] = append(wanted[at.node], at.output)
		}
	}
	reach(t)
	// Nodes are in topological order: each hears from all its consumers before
	// it is asked.
	for k := b.madeBy[t].node; k >= 0; k-- {
		for _, i := range wanted[k] {
			for _, in := range b.Nodes[k].demand(b.Nodes[k].Stage.Outputs[i], need) {
				reach(in)
			}
		}
	}
	return need
}

// demand adds what node n needs to make an output, and returns the tables it
// makes it from.
func (n *BoundNode) demand(o pipeline.Output, need needs) []*pipeline.Table {
	inputs := n.inputsOf(o)
	for _, t := range inputs {
		need.of(t)
	}
	out := need.of(o.Table)
	for j, d := range o.Columns {
		if d.Identity && !out[j] {
			continue
		}
		for _, r := range d.Inputs {
			need.refer(r)
		}
	}
	for _, r := range o.Reads {
		need.refer(r.ColumnRef)
	}
	return inputs
}

// inputsOf lists the tables that an output of a stage depends on: those its
// columns and reads name. Where they name none, or where the stage remembers
// rows, all tables of the stage count.
func (n *BoundNode) inputsOf(o pipeline.Output) []*pipeline.Table {
	if n.Stage.State != pipeline.StateNone {
		return n.In
	}
	var out []*pipeline.Table
	named := make(map[*pipeline.Table]bool)
	name := func(t *pipeline.Table) {
		if t != nil && !named[t] {
			named[t] = true
			out = append(out, t)
		}
	}
	for _, d := range o.Columns {
		for _, r := range d.Inputs {
			name(r.Table)
		}
	}
	for _, r := range o.Reads {
		name(r.Table)
	}
	if len(out) == 0 {
		return n.In
	}
	return out
}

// prune drops from the sources what is not needed, and reports whether there
// was anything to drop.
func prune(sources []*BoundSource, need needs) ([]*BoundSource, bool) {
	pruned := false
	var out []*BoundSource
	for _, s := range sources {
		c := &BoundSource{Input: s.Input}
		for _, t := range s.Tables {
			columns, ok := need[t.Stream]
			switch {
			case !ok:
				pruned = true
			case full(columns):
				c.Tables = append(c.Tables, t)
			default:
				p := t.prune(columns, s.Input.ClockWindow > 0)
				pruned = pruned || p.Stream.Schema.NumFields() < t.Stream.Schema.NumFields()
				c.Tables = append(c.Tables, p)
			}
		}
		if len(c.Tables) > 0 {
			out = append(out, c)
		} else {
			pruned = true
		}
	}
	return out, pruned
}

func full(need []bool) bool {
	for _, n := range need {
		if !n {
			return false
		}
	}
	return true
}
