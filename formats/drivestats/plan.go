package drivestats

import (
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// op says what to do with one cell of a row.
type op struct {
	kind kind
	out  int16 // column of the batch, -1 for none
}

// plan is a header compiled with a selection.
type plan struct {
	header *header
	ops    []op
	// last is the last cell that is looked at; those behind it are counted.
	last int
	// date is the column of the batch that holds the date, -1 for none.
	date int
}

// selection is what a decoder delivers.
type selection struct {
	schema *schema
	table  *pipeline.Table
	kinds  []kind // of the columns of a batch
	names  []string
	from   int64 // nanoseconds, half-open
	to     int64
	dated  bool // from and to apply
	none   bool // the table is not selected
}

func newSelection(s *schema, sel pipeline.Selection) (*selection, error) {
	out := &selection{schema: s, table: s.table, from: sel.From, to: sel.To, dated: sel.From != 0 || sel.To != 0}
	var columns []string
	if sel.Tables != nil {
		out.none = true
		for _, t := range sel.Tables {
			if t.Table != nil && t.Table.Name == TableName {
				out.none, columns = false, t.Columns
			}
		}
	}
	if columns == nil && !out.none {
		for _, c := range s.columns {
			out.kinds, out.names = append(out.kinds, c.kind), append(out.names, c.name)
		}
		return out, nil
	}
	wanted := make(map[string]bool)
	for _, name := range columns {
		if s.find(name) < 0 {
			return nil, fmt.Errorf("table %s has no column %s: %w", TableName, name, pipeline.ErrSchema)
		}
		wanted[name] = true
	}
	var fields []arrow.Field
	for _, c := range s.columns {
		if wanted[c.name] {
			out.kinds, out.names = append(out.kinds, c.kind), append(out.names, c.name)
			fields = append(fields, c.field)
		}
	}
	out.table = s.table.With(arrow.NewSchema(fields, nil))
	return out, nil
}

// compile makes the plan for a header that is bound to the schema.
func (s *selection) compile(h *header) *plan {
	out := make(map[string]int16)
	for i, name := range s.names {
		out[name] = int16(i)
	}
	p := &plan{header: h, ops: make([]op, len(h.names)), last: -1, date: -1}
	if o, ok := out[fixed[0].name]; ok {
		p.date = int(o)
	}
	for i, c := range h.target {
		o := op{kind: kindSkip, out: -1}
		if c >= 0 {
			col := s.schema.columns[c]
			if n, ok := out[col.name]; ok {
				o = op{kind: col.kind, out: n}
			} else if col.kind == kindDate && s.dated {
				o.kind = kindDate
			}
		}
		if o.kind != kindSkip {
			p.last = i
		}
		p.ops[i] = o
	}
	return p
}

// replan is compile for a header in the middle of a file, whose new columns
// have no place in the table.
func (s *selection) replan(h *header) (*plan, []pipeline.Problem) {
	problems := h.bind(s.schema.find, func(string) int { return -1 })
	return s.compile(h), problems
}

// rowBytes estimates the bytes of a row in a batch.
func (p *plan) rowBytes() int64 {
	n := int64(1)
	for _, o := range p.ops {
		if o.out >= 0 {
			n += o.kind.width()
		}
	}
	return n
}
