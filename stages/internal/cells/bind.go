package cells

import (
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Want is a column that a stage needs.
type Want struct {
	Name     string
	Text     bool // texts, otherwise integers or dates
	Optional bool // null where the table has none
}

// Find returns the position of each column wanted, -1 for one that is optional
// and not there. What is missing or of another type is told as Issues at the
// place at.
func Find(in *pipeline.Table, at pipeline.Pos, stage string, wants []Want) ([]int, error) {
	var issues pipeline.Issues
	out := make([]int, len(wants))
	for i, w := range wants {
		c := in.Column(w.Name)
		out[i] = c
		if c < 0 {
			if !w.Optional {
				issue := &pipeline.Issue{Pos: at, Message: fmt.Sprintf("%s needs the column %s, which table %s does not have", stage, w.Name, in.Name)}
				issue.Suggestion = pipeline.Nearest(w.Name, in.ColumnNames())
				issues.Add(issue)
			}
			continue
		}
		t := in.Schema.Field(c).Type
		kind, ok := "integers", IsInts(t)
		if w.Text {
			kind, ok = "strings", IsTexts(t)
		}
		if !ok {
			issues.Add(&pipeline.Issue{Pos: at, Message: fmt.Sprintf("%s needs %s in column %s of table %s, which is %s", stage, kind, w.Name, in.Name, t)})
		}
	}
	return out, issues.Err()
}

// Made describes an output whose columns are all computed from the columns of
// in at positions reads.
func Made(in *pipeline.Table, reads []int, name string, fields []arrow.Field) pipeline.Output {
	refs := make([]pipeline.ColumnRef, 0, len(reads))
	for _, c := range reads {
		if c >= 0 {
			refs = append(refs, pipeline.ColumnRef{Table: in, Column: in.Schema.Field(c).Name})
		}
	}
	t := &pipeline.Table{Name: name, Input: in.Input, Attributes: in.Attributes, Schema: arrow.NewSchema(fields, nil)}
	out := pipeline.Output{Table: t}
	for range fields {
		out.Columns = append(out.Columns, pipeline.Derivation{Inputs: refs})
	}
	return out
}

// Same describes an output with the columns of in, unchanged, but other rows.
func Same(in *pipeline.Table) pipeline.Output {
	out := pipeline.Output{Table: in.With(in.Schema)}
	for _, name := range in.ColumnNames() {
		out.Columns = append(out.Columns, pipeline.Derivation{Inputs: []pipeline.ColumnRef{{Table: in, Column: name}}, Identity: true})
	}
	return out
}

// Reader lays open the columns that a stage wants: each is in Texts or Ints, at
// its place in the list.
type Reader struct {
	Texts []Texts
	Ints  []Ints
	wants []Want
	at    []int
}

// NewReader returns a reader of wants, which Find found at the positions at.
func NewReader(wants []Want, at []int) *Reader {
	return &Reader{wants: wants, at: at, Texts: make([]Texts, len(wants)), Ints: make([]Ints, len(wants))}
}

// Load lays open a record, which must outlive the use of its values.
func (r *Reader) Load(rec arrow.Record) {
	for j, w := range r.wants {
		switch at := r.at[j]; {
		case at < 0 && w.Text:
			r.Texts[j].Absent()
		case at < 0:
			r.Ints[j].Absent(int(rec.NumRows()))
		case w.Text:
			r.Texts[j].Load(rec.Column(at))
		default:
			r.Ints[j].Load(rec.Column(at))
		}
	}
}
