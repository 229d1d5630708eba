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
			out = append(out, ColumnLineage{Table: t.Name, Column: t.Schema.Field(i).Name, Sources: tidy(tr.derive(d))})
		}
		reads := tr.reads(t.Reads)
		for _, in := range t.Inputs {
			reads = append(reads, tr.tableReads(in)...)
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
}

type columnKey struct {
	table  *pipeline.Table
	column string
}

func newTracer(b *Bound) *tracer {
	return &tracer{
		b:       b,
		columns: make(map[columnKey][]LineageSource),
		rows:    make(map[*pipeline.Table][]LineageSource),
	}
}

// derive traces one derivation.
func (tr *tracer) derive(d pipeline.Derivation) []LineageSource {
	var out []LineageSource
	for _, r := range d.Inputs {
		for _, s := range tr.refer(r) {
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

// refer traces a column of a table, or of a dataset beside the stream.
func (tr *tracer) refer(r pipeline.ColumnRef) []LineageSource {
	if r.Table == nil {
		return []LineageSource{{Dataset: r.Dataset, Column: r.Column, Identity: true}}
	}
	key := columnKey{r.Table, r.Column}
	if s, ok := tr.columns[key]; ok {
		return s
	}
	var out []LineageSource
	at, ok := tr.b.madeBy[r.Table]
	i := r.Table.Column(r.Column)
	switch {
	case !ok || i < 0:
	case at.node >= 0:
		out = tidy(tr.derive(tr.b.Nodes[at.node].Stage.Outputs[at.output].Columns[i]))
	default:
		st := tr.b.Sources[-1-at.node].Tables[at.output]
		s := LineageSource{Input: st.Stream.Input, Table: st.Native.Name, Column: st.From[i], Identity: true}
		if s.Column == "" {
			s.Column, s.Attribute = r.Column, true
		}
		out = []LineageSource{s}
	}
	tr.columns[key] = out
	return out
}

// reads traces columns that decide about rows.
func (tr *tracer) reads(reads []pipeline.Read) []LineageSource {
	var out []LineageSource
	for _, r := range reads {
		for _, s := range tr.refer(r.ColumnRef) {
			s.How, s.Identity, s.Expression = r.How, false, ""
			out = append(out, s)
		}
	}
	return out
}

// tableReads traces what decided which rows a table has.
func (tr *tracer) tableReads(t *pipeline.Table) []LineageSource {
	if s, ok := tr.rows[t]; ok {
		return s
	}
	var out []LineageSource
	if at, ok := tr.b.madeBy[t]; ok && at.node >= 0 {
		n := tr.b.Nodes[at.node]
		o := n.Stage.Outputs[at.output]
		out = tr.reads(o.Reads)
		for _, in := range n.inputsOf(o) {
			out = append(out, tr.tableReads(in)...)
		}
		out = tidy(out)
	}
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
