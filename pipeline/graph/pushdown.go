package graph

import (
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

// columns finds columns of tables by name.
type columns map[*pipeline.Table]map[string]int

func (c columns) of(t *pipeline.Table) map[string]int {
	m := c[t]
	if m == nil {
		fields := t.Schema.Fields()
		m = make(map[string]int, len(fields))
		for i, f := range fields {
			m[f.Name] = i
		}
		c[t] = m
	}
	return m
}

// sinkNeeds is what the outputs need: every column of their tables.
func (b *Bound) sinkNeeds() needs {
	need := make(needs)
	for _, n := range b.Nodes {
		if n.Sink != nil {
			for _, t := range n.In {
				need.all(t)
			}
		}
	}
	return need
}

// backward carries needs from the outputs to the sources, and returns them
// completed. Tables without an entry are not needed at all: nothing that has
// needs takes rows from them. The stages in whole need all their columns.
func (b *Bound) backward(need needs, whole map[int]bool) needs {
	cols := make(columns)
	refer := func(r pipeline.ColumnRef) {
		if r.Table == nil {
			return
		}
		if i, ok := cols.of(r.Table)[r.Column]; ok {
			need.of(r.Table)[i] = true
		}
	}
	for k := len(b.Nodes) - 1; k >= 0; k-- {
		n := b.Nodes[k]
		if n.Stage == nil {
			continue
		}
		active := false
		for _, o := range n.Stage.Outputs {
			out, ok := need[o.Table]
			if !ok {
				continue
			}
			active = true
			for _, t := range n.inputsOf(o) {
				need.of(t)
			}
			for j, d := range o.Columns {
				if d.Identity && !out[j] {
					continue
				}
				for _, r := range d.Inputs {
					refer(r)
				}
			}
			for _, r := range o.Reads {
				refer(r.ColumnRef)
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

// inputsOf lists the tables that an output of a stage depends on: those its
// columns and reads name. Where they name none, or where the stage remembers
// rows, all tables of the stage count.
func (n *BoundNode) inputsOf(o pipeline.Output) []*pipeline.Table {
	if n.Stage.State != pipeline.StateNone {
		return n.In
	}
	named := make(map[*pipeline.Table]bool)
	for _, d := range o.Columns {
		for _, r := range d.Inputs {
			named[r.Table] = true
		}
	}
	for _, r := range o.Reads {
		named[r.Table] = true
	}
	var out []*pipeline.Table
	for _, t := range n.In {
		if named[t] {
			out = append(out, t)
		}
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
