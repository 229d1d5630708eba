package graph

import (
	"cmp"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
)

// ColumnLineage says where one column of an output's table comes from.
type ColumnLineage struct {
	Table string // as the output calls it
	// Column is empty for the sources that decide which rows the whole table
	// has, without ending up in a column of it.
	Column  string
	Sources []LineageSource
}

// LineageSource is one column that another depends on.
type LineageSource struct {
	Input     string // name of the input; empty for a dataset
	Table     string // name of the table in the source; empty for a dataset
	Dataset   string // URI of a table beside the stream
	Column    string // in the source, or the name of the attribute
	Attribute bool   // a fact about the recording, no column of it
	// Identity: the values are unchanged. Otherwise Expression shows how they
	// are computed, where it is known.
	Identity   bool
	Expression string
	// How is set where only rows depend on the column: FILTER, JOIN, SORT,
	// CONDITIONAL.
	How string
}

// Lineage traces every column of the tables of the output b.Nodes[sink] back
// to the sources. For each table the columns come first, in order, then, if
// there are any, the sources that only decide about rows.
func (b *Bound) Lineage(sink int) []ColumnLineage {
	n := b.Nodes[sink]
	if n.Sink == nil {
		return nil
	}
	tr := newTracer(b)
	var out []ColumnLineage
	for _, t := range n.Sink.Tables {
		for i, d := range t.Columns {
			out = append(out, ColumnLineage{Table: t.Name, Column: t.Schema.Field(i).Name, Sources: tidy(tr.derive(n, d))})
		}
		reads := tr.reads(n, t.Reads)
		for _, in := range t.Inputs {
			reads = append(reads, tr.tableReads(n, in)...)
		}
		if reads = tidy(reads); len(reads) > 0 {
			out = append(out, ColumnLineage{Table: t.Name, Sources: reads})
		}
	}
	return out
}

// tracer walks from columns to their sources.
type tracer struct {
	b       *Bound
	columns map[columnKey][]LineageSource
	rows    map[*pipeline.Table][]LineageSource
	streams map[*pipeline.Table]*StreamTable
}

type columnKey struct {
	table  *pipeline.Table
	column string
}

func newTracer(b *Bound) *tracer {
	tr := &tracer{
		b:       b,
		columns: make(map[columnKey][]LineageSource),
		rows:    make(map[*pipeline.Table][]LineageSource),
		streams: make(map[*pipeline.Table]*StreamTable),
	}
	for _, s := range b.Sources {
		for _, t := range s.Tables {
			tr.streams[t.Stream] = t
		}
	}
	return tr
}

// derive traces one derivation of node n.
func (tr *tracer) derive(n *BoundNode, d pipeline.Derivation) []LineageSource {
	var out []LineageSource
	for _, r := range d.Inputs {
		for _, s := range tr.refer(n, r) {
			if !d.Identity {
				s.Identity = false
				if d.Expression != "" {
					s.Expression = d.Expression
				}
			}
			out = append(out, s)
		}
	}
	return out
}

// refer traces a column that node n takes in.
func (tr *tracer) refer(n *BoundNode, r pipeline.ColumnRef) []LineageSource {
	if r.Table == nil {
		return []LineageSource{{Dataset: r.Dataset, Column: r.Column, Identity: true}}
	}
	key := columnKey{r.Table, r.Column}
	if s, ok := tr.columns[key]; ok {
		return s
	}
	var out []LineageSource
	if st := tr.streams[r.Table]; st != nil {
		if i := st.Stream.Column(r.Column); i >= 0 {
			s := LineageSource{Input: st.Stream.Input, Table: st.Native.Name, Column: st.From[i], Identity: true}
			if s.Column == "" {
				s.Column, s.Attribute = r.Column, true
			}
			out = append(out, s)
		}
	}
	tr.producers(n, r.Table, func(p *BoundNode, o pipeline.Output) {
		if i := o.Table.Column(r.Column); i >= 0 {
			out = append(out, tr.derive(p, o.Columns[i])...)
		}
	})
	out = tidy(out)
	tr.columns[key] = out
	return out
}

// producers calls fn for each output of a stage that arrives at n as table t.
func (tr *tracer) producers(n *BoundNode, t *pipeline.Table, fn func(*BoundNode, pipeline.Output)) {
	for _, port := range n.From {
		if port.Producer < 0 || !slices.Contains(port.Tables, t) {
			continue
		}
		p := tr.b.Nodes[port.Producer]
		for _, o := range p.Stage.Outputs {
			if o.Table == t {
				fn(p, o)
			}
		}
	}
}

// reads traces columns that decide about rows.
func (tr *tracer) reads(n *BoundNode, reads []pipeline.Read) []LineageSource {
	var out []LineageSource
	for _, r := range reads {
		for _, s := range tr.refer(n, r.ColumnRef) {
			s.How, s.Identity, s.Expression = r.How, false, ""
			out = append(out, s)
		}
	}
	return out
}

// tableReads traces what decided about the rows of a table that n takes in.
func (tr *tracer) tableReads(n *BoundNode, t *pipeline.Table) []LineageSource {
	if s, ok := tr.rows[t]; ok {
		return s
	}
	var out []LineageSource
	tr.producers(n, t, func(p *BoundNode, o pipeline.Output) {
		out = append(out, tr.reads(p, o.Reads)...)
		for _, in := range p.inputsOf(o) {
			out = append(out, tr.tableReads(p, in)...)
		}
	})
	out = tidy(out)
	tr.rows[t] = out
	return out
}

// tidy sorts sources and drops repetitions. A column that arrives both as it
// is and computed is told as both.
func tidy(s []LineageSource) []LineageSource {
	slices.SortFunc(s, func(a, b LineageSource) int {
		return cmp.Or(
			cmp.Compare(a.Input, b.Input), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Dataset, b.Dataset),
			cmp.Compare(a.Column, b.Column), cmp.Compare(a.How, b.How), cmp.Compare(a.Expression, b.Expression),
			boolOrder(a.Identity, b.Identity), boolOrder(a.Attribute, b.Attribute),
		)
	})
	return slices.Compact(s)
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
