// Package derive is the stage that computes columns.
//
//	stages:
//	  speed:
//	    use: derive
//	    from: drives.odom
//	    columns:
//	      speed_kmh: "twist.twist.linear.x * 3.6"
//	      fast: "speed_kmh > 50"
//	    units: {speed_kmh: km/h}
//
// Columns are computed in the order in which they stand, and later ones may use
// earlier ones. A new name goes to the end of the table; a name that exists
// replaces that column where it is. A row for which a column cannot be computed
// is rejected. Package expr describes the language.
package derive

import (
	"context"
	"fmt"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/expr"
)

// Config is the configuration of a derive stage.
type Config struct {
	Columns pipeline.Map[pipeline.Text] `yaml:"columns" required:"true" doc:"expression for each new or replaced column, computed in this order"`
	Units   pipeline.Map[pipeline.Text] `yaml:"units" doc:"physical unit of some of these columns, kept as column metadata"`
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "derive",
		Summary: "compute columns from others",
		Doc: "Adds or replaces the columns named under `columns`, in order; each is an expression over the columns so far. " +
			"Results are int64, uint64, float64, bool, string, timestamp, duration or date; an expression that only names a column copies it as it is. " +
			"Rows for which one cannot be computed are rejected.",
		Example: `pipeline: speeds
inputs:
  drives:
    uri: testdata/drives/{vehicle_id}/{drive_id}/{logger}.{bag,mcap}
    tables:
      odom: {match: /odom, type: nav_msgs/Odometry}
stages:
  speed:
    use: derive
    from: drives.odom
    columns:
      speed_kmh: "twist.twist.linear.x * 3.6"
      fast: "speed_kmh > 50"
    units: {speed_kmh: km/h}
outputs:
  lake: {use: parquet, from: speed, uri: lake}
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			s, err := newStage(config.(*Config))
			if err != nil {
				return nil, err
			}
			return pipeline.Rows(s), nil
		},
	}
}

type stage struct {
	columns []pipeline.Entry[pipeline.Text]
	units   map[string]string
}

func newStage(c *Config) (*stage, error) {
	s := &stage{columns: c.Columns.Entries, units: make(map[string]string)}
	var issues pipeline.Issues
	var names []string
	for _, e := range s.columns {
		if e.Key.Value == "" {
			issues.Add(e.Key.Issuef(0, "a column needs a name"))
		}
		names = append(names, e.Key.Value)
	}
	for _, e := range c.Units.Entries {
		if !slices.Contains(names, e.Key.Value) {
			i := e.Key.Issuef(0, "unit of a column that is not computed here: %q", e.Key.Value)
			i.Suggestion = pipeline.Nearest(e.Key.Value, names)
			issues.Add(i)
		}
		s.units[e.Key.Value] = e.Value.Value
	}
	return s, issues.Err()
}

// step computes one column.
type step struct {
	name  string
	at    int // position in the table, which may be its end
	value *expr.Program
}

func (s *stage) BindTable(in *pipeline.Table) (*pipeline.RowBinding, error) {
	var issues pipeline.Issues
	var steps []step
	var failed []string
	cur := in.With(in.Schema)
	lineage := make([]pipeline.Derivation, 0, in.Schema.NumFields()+len(s.columns))
	for _, name := range in.ColumnNames() {
		ref := pipeline.ColumnRef{Table: in, Column: name}
		lineage = append(lineage, pipeline.Derivation{Inputs: []pipeline.ColumnRef{ref}, Identity: true})
	}
	for _, e := range s.columns {
		name := e.Key.Value
		p, err := expr.Compile(e.Value, cur)
		if err != nil {
			if !issues.Add(err) {
				return nil, err
			}
			// A column of no known type spares those who use it a second mistake.
			if failed = append(failed, name); cur.Column(name) < 0 {
				cur, lineage = unknown(cur, name), append(lineage, pipeline.Derivation{})
			}
			continue
		}
		if p.Type() == expr.Null {
			if from, ok := p.Column(); ok && slices.Contains(failed, from) {
				continue
			}
			issues.Add(e.Value.Issuef(0, "the column would always be null"))
			continue
		}
		fields := slices.Clone(cur.Schema.Fields())
		at := cur.Column(name)
		field := arrow.Field{Name: name, Type: p.DataType(), Nullable: true, Metadata: s.metadata(name, p, cur)}
		d := derivation(p, cur, lineage)
		if at < 0 {
			at = len(fields)
			fields, lineage = append(fields, field), append(lineage, d)
		} else {
			fields[at], lineage[at] = field, d
		}
		meta := cur.Schema.Metadata()
		cur = cur.With(arrow.NewSchema(fields, &meta))
		steps = append(steps, step{name, at, p})
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	cur.Clocks = slices.DeleteFunc(slices.Clone(in.Clocks), func(c pipeline.Clock) bool {
		i := cur.Column(c.Column)
		return i < 0 || !arrow.TypeEqual(cur.Schema.Field(i).Type, arrow.TimeType)
	})
	return &pipeline.RowBinding{
		Output: pipeline.Output{Table: cur, Columns: lineage},
		Open: func(opt pipeline.ProcessOptions) (pipeline.RowFunc, error) {
			d := &deriver{out: cur, steps: steps, opt: opt}
			for _, st := range steps {
				d.scratch = append(d.scratch, st.value.NewScratch())
			}
			return d.process, nil
		},
	}, nil
}

// unknown adds a column whose type cannot be told, after a mistake in its
// expression.
func unknown(t *pipeline.Table, name string) *pipeline.Table {
	fields := append(slices.Clone(t.Schema.Fields()), arrow.Field{Name: name, Type: arrow.NullType, Nullable: true})
	return t.With(arrow.NewSchema(fields, nil))
}

// metadata of a computed column: that of the column it copies, its declared
// unit, and the role of the column it replaces when it still can play it.
func (s *stage) metadata(name string, p *expr.Program, cur *pipeline.Table) arrow.Metadata {
	var unit, description, role string
	if from, ok := p.Column(); ok {
		m := cur.Schema.Field(cur.Column(from)).Metadata
		unit, description = meta(m, pipeline.MetaUnit), meta(m, pipeline.MetaDescription)
	}
	if u, ok := s.units[name]; ok {
		unit = u
	}
	if at := cur.Column(name); at >= 0 {
		if f := cur.Schema.Field(at); arrow.TypeEqual(f.Type, p.DataType()) {
			role = meta(f.Metadata, pipeline.MetaRole)
		}
	}
	return pipeline.FieldMeta(pipeline.MetaUnit, unit, pipeline.MetaDescription, description, pipeline.MetaRole, role)
}

func meta(m arrow.Metadata, key string) string {
	v, _ := m.GetValue(key)
	return v
}

// derivation traces a column back to the columns that entered the stage.
func derivation(p *expr.Program, cur *pipeline.Table, lineage []pipeline.Derivation) pipeline.Derivation {
	d := pipeline.Derivation{Expression: p.String()}
	_, d.Identity = p.Column()
	for _, name := range p.Columns() {
		from := lineage[cur.Column(name)]
		d.Identity = d.Identity && from.Identity
		for _, ref := range from.Inputs {
			if !slices.Contains(d.Inputs, ref) {
				d.Inputs = append(d.Inputs, ref)
			}
		}
	}
	return d
}

// deriver is what one worker holds.
type deriver struct {
	out     *pipeline.Table
	steps   []step
	scratch []*expr.Scratch
	opt     pipeline.ProcessOptions
	bad     []pipeline.Refusal
}

func (d *deriver) process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account) (*pipeline.Batch, error) {
	defer b.Release()
	rows := b.Rows()
	cols := make([]arrow.Array, b.Record.NumCols(), len(d.out.Schema.Fields()))
	copy(cols, b.Record.Columns())
	made := make([]arrow.Array, 0, len(d.steps))
	defer func() {
		for _, a := range made {
			a.Release()
		}
	}()
	d.bad = d.bad[:0]
	for i, st := range d.steps {
		arr, rejected, err := st.value.Array(d.scratch[i], d.opt.Allocator, cols, rows)
		if err != nil {
			return nil, fmt.Errorf("deriving column %s of table %s: %w", st.name, b.Table.Name, err)
		}
		made = append(made, arr)
		for _, r := range rejected {
			d.bad = append(d.bad, pipeline.Refusal{Row: r.Row, Column: st.name, Reason: r.Reason, Err: st.value.RowError(r)})
		}
		if st.at < len(cols) {
			cols[st.at] = arr
		} else {
			cols = append(cols, arr)
		}
	}
	rec := arrow.NewRecord(d.out.Schema, cols, int64(rows))
	out := &pipeline.Batch{Table: d.out, Record: rec, Origin: b.Origin}
	if len(d.bad) == 0 {
		return out, nil
	}
	defer rec.Release()
	keep, err := d.opt.RefuseRows(acct, b, d.bad)
	if err != nil || len(keep) == 0 {
		return nil, err
	}
	kept, err := column.TakeRecord(d.opt.Allocator, rec, keep)
	if err != nil {
		return nil, fmt.Errorf("deriving columns of table %s: %w", b.Table.Name, err)
	}
	return &pipeline.Batch{Table: d.out, Record: kept, Origin: b.Origin.Take(keep)}, nil
}
