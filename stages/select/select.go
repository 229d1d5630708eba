// Package selectcols is the stage "select": it chooses, renames and casts
// columns.
//
//	stages:
//	  slim:
//	    use: select
//	    from: drives.odom
//	    columns: [pose.pose.position.*, twist.twist.linear.x]
//	    drop: [pose.pose.position.z]
//	    rename: {speed: twist.twist.linear.x}
//	    cast: {speed: float32}
//
// Without columns all are kept. A pattern may hold * for any characters and ?
// for one. Columns stand in the order in which they are listed, those of one
// pattern in the order of the table; attributes and clocks, which the input put
// in front, stay in front unless leading is false. cast names columns by their
// new name.
//
// A cast is exact or rejects the row: cast_overflow where a value lies outside
// of the type, cast_inexact where it would be rounded or cut, cast_invalid
// where a text is no value of the type. Null stays null. Integers cast to
// timestamps, and back, as nanoseconds since 1970.
package selectcols

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Config is the configuration of a select stage.
type Config struct {
	Columns []pipeline.Text             `yaml:"columns" doc:"columns to keep, in this order; * and ? stand for any characters and for one; without it all are kept"`
	Drop    []pipeline.Text             `yaml:"drop" doc:"columns to leave out of those kept"`
	Rename  pipeline.Map[pipeline.Text] `yaml:"rename" doc:"new name: old name"`
	Cast    pipeline.Map[pipeline.Text] `yaml:"cast" doc:"exact change of type by (new) name: bool, int8 to int64, uint8 to uint64, float32, float64, string, timestamp, date"`
	Leading bool                        `yaml:"leading" default:"true" doc:"keep attributes and clocks in front though columns does not list them"`
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "select",
		Summary: "choose, rename and cast columns",
		Doc: "Keeps the columns that `columns` lists (all without it) less those that `drop` lists, then renames, then casts. " +
			"Casts are exact: a value that does not fit rejects its row as cast_overflow, cast_inexact or cast_invalid.",
		Example: `pipeline: slim
inputs:
  drives:
    uri: testdata/drives/{vehicle_id}/{drive_id}/{logger}.{bag,mcap}
    tables:
      odom: {match: /odom, type: nav_msgs/Odometry}
stages:
  slim:
    use: select
    from: drives.odom
    columns: [pose.pose.position.*, twist.twist.linear.x]
    drop: [pose.pose.position.z]
    rename: {speed: twist.twist.linear.x}
outputs:
  lake: {use: parquet, from: slim, uri: lake}
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			c := config.(*Config)
			var issues pipeline.Issues
			for _, e := range c.Cast.Entries {
				if _, err := column.CastType(e.Value); err != nil {
					issues.Add(err)
				}
			}
			if err := issues.Err(); err != nil {
				return nil, err
			}
			return pipeline.Rows(&stage{*c}), nil
		},
	}
}

type stage struct{ Config }

// chosen is one column of the output.
type chosen struct {
	from int // position in the input
	name string
	typ  arrow.DataType
	cast *column.Cast // nil where the type stays
	to   string       // name of the new type
}

func (s *stage) BindTable(in *pipeline.Table) (*pipeline.RowBinding, error) {
	var issues pipeline.Issues
	names := in.ColumnNames()
	cols := s.choose(in, names, &issues)
	s.rename(cols, names, &issues)
	s.cast(in, cols, &issues)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if len(cols) == 0 && len(s.Drop) > 0 {
		return nil, s.Drop[0].Issuef(0, "no column of table %s is left", in.LakeName())
	}
	fields := make([]arrow.Field, len(cols))
	lineage := make([]pipeline.Derivation, len(cols))
	for i, c := range cols {
		f := in.Schema.Field(c.from)
		if f.Name != c.name {
			f.Metadata = withSource(f.Metadata, f.Name)
		}
		ref := pipeline.ColumnRef{Table: in, Column: f.Name}
		lineage[i] = pipeline.Derivation{Inputs: []pipeline.ColumnRef{ref}, Identity: c.cast == nil}
		if c.cast != nil {
			lineage[i].Expression = fmt.Sprintf("cast(%s as %s)", f.Name, c.to)
		}
		f.Name, f.Type = c.name, c.typ
		fields[i] = f
	}
	meta := in.Schema.Metadata()
	out := in.With(arrow.NewSchema(fields, &meta))
	out.Clocks = nil
	for _, clock := range in.Clocks {
		at := slices.IndexFunc(cols, func(c chosen) bool { return names[c.from] == clock.Column })
		if at >= 0 && arrow.TypeEqual(cols[at].typ, arrow.TimeType) {
			clock.Column = cols[at].name
			out.Clocks = append(out.Clocks, clock)
		}
	}
	return &pipeline.RowBinding{
		Output: pipeline.Output{Table: out, Columns: lineage},
		Open: func(opt pipeline.ProcessOptions) (pipeline.RowFunc, error) {
			return (&selector{out: out, cols: cols, opt: opt}).process, nil
		},
	}, nil
}

// withSource notes the name a column had in the source.
func withSource(m arrow.Metadata, name string) arrow.Metadata {
	if _, ok := m.GetValue(pipeline.MetaSource); ok {
		return m
	}
	return arrow.NewMetadata(append(slices.Clone(m.Keys()), pipeline.MetaSource), append(slices.Clone(m.Values()), name))
}

// choose applies columns, leading and drop.
func (s *stage) choose(in *pipeline.Table, names []string, issues *pipeline.Issues) []chosen {
	var order []int
	taken := make([]bool, len(names))
	take := func(i int) {
		if !taken[i] {
			taken[i] = true
			order = append(order, i)
		}
	}
	for i, f := range in.Schema.Fields() {
		role, _ := f.Metadata.GetValue(pipeline.MetaRole)
		if len(s.Columns) == 0 || s.Leading && role != "" {
			take(i)
		}
	}
	for _, pattern := range s.Columns {
		for _, i := range matches(pattern, names, issues) {
			take(i)
		}
	}
	for _, pattern := range s.Drop {
		for _, i := range matches(pattern, names, issues) {
			taken[i] = false
		}
	}
	var cols []chosen
	for _, i := range order {
		if taken[i] {
			cols = append(cols, chosen{from: i, name: names[i], typ: in.Schema.Field(i).Type})
		}
	}
	return cols
}

// matches finds the columns a name or pattern stands for. A column that is
// called like the pattern goes first.
func matches(pattern pipeline.Text, names []string, issues *pipeline.Issues) []int {
	p := pattern.Value
	if i := slices.Index(names, p); i >= 0 {
		return []int{i}
	}
	if !strings.ContainsAny(p, "*?") {
		i := pattern.Issuef(0, "unknown column %q", p)
		i.Suggestion = pipeline.Nearest(p, names)
		issues.Add(i)
		return nil
	}
	var out []int
	for i, name := range names {
		if glob(p, name) {
			out = append(out, i)
		}
	}
	if out == nil {
		issues.Add(pattern.Issuef(0, "no column matches %q", p))
	}
	return out
}

// glob reports whether pattern covers all of name. It only ever goes back to
// the last star, so that no pattern is slow.
func glob(pattern, name string) bool {
	p, n := 0, 0
	star, retry := -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			retry++
			p, n = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func (s *stage) rename(cols []chosen, names []string, issues *pipeline.Issues) {
	for _, e := range s.Rename.Entries {
		old := e.Value.Value
		at := slices.IndexFunc(cols, func(c chosen) bool { return names[c.from] == old })
		switch {
		case e.Key.Value == "":
			issues.Add(e.Key.Issuef(0, "a column needs a name"))
		case at >= 0 && cols[at].name != old:
			issues.Add(e.Value.Issuef(0, "column %q is renamed twice", old))
		case at >= 0:
			cols[at].name = e.Key.Value
		case slices.Contains(names, old):
			issues.Add(e.Value.Issuef(0, "column %q is not selected", old))
		default:
			i := e.Value.Issuef(0, "unknown column %q", old)
			i.Suggestion = pipeline.Nearest(old, names)
			issues.Add(i)
		}
	}
	for _, e := range s.Rename.Entries {
		n := 0
		for _, c := range cols {
			if c.name == e.Key.Value {
				n++
			}
		}
		if n > 1 {
			issues.Add(e.Key.Issuef(0, "two columns would be called %q", e.Key.Value))
		}
	}
}

func (s *stage) cast(in *pipeline.Table, cols []chosen, issues *pipeline.Issues) {
	for _, e := range s.Cast.Entries {
		at := slices.IndexFunc(cols, func(c chosen) bool { return c.name == e.Key.Value })
		if at < 0 {
			var names []string
			for _, c := range cols {
				names = append(names, c.name)
			}
			i := e.Key.Issuef(0, "unknown column %q", e.Key.Value)
			i.Suggestion = pipeline.Nearest(e.Key.Value, names)
			issues.Add(i)
			continue
		}
		to, err := column.CastType(e.Value)
		if err != nil || arrow.TypeEqual(cols[at].typ, to) {
			continue
		}
		c, ok := column.NewCast(cols[at].typ, to)
		if !ok {
			issues.Add(e.Value.Issuef(0, "cannot cast %s to %s", cols[at].typ, e.Value.Value))
			continue
		}
		cols[at].cast, cols[at].typ, cols[at].to = c, to, e.Value.Value
	}
}

// selector is what one worker holds.
type selector struct {
	out  *pipeline.Table
	cols []chosen
	opt  pipeline.ProcessOptions
	bad  []pipeline.Refusal
}

func (s *selector) process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account) (*pipeline.Batch, error) {
	defer b.Release()
	arrs := make([]arrow.Array, len(s.cols))
	var made []arrow.Array
	defer func() {
		for _, a := range made {
			a.Release()
		}
	}()
	s.bad = s.bad[:0]
	for i, c := range s.cols {
		arrs[i] = b.Record.Column(c.from)
		if c.cast == nil {
			continue
		}
		arr, err := c.cast.Run(s.opt.Allocator, arrs[i], func(row int, reason string) {
			err := fmt.Errorf("%.80q does not cast to %s", b.Record.Column(c.from).ValueStr(row), c.to)
			s.bad = append(s.bad, pipeline.Refusal{Row: int32(row), Column: c.name, Reason: reason, Err: err})
		})
		if err != nil {
			return nil, fmt.Errorf("casting column %s of table %s: %w", c.name, b.Table.Name, err)
		}
		arrs[i] = arr
		made = append(made, arr)
	}
	rec := arrow.NewRecord(s.out.Schema, arrs, int64(b.Rows()))
	out := &pipeline.Batch{Table: s.out, Record: rec, Origin: b.Origin}
	if len(s.bad) == 0 {
		return out, nil
	}
	defer rec.Release()
	keep, err := s.opt.RefuseRows(acct, b, s.bad)
	if err != nil || len(keep) == 0 {
		return nil, err
	}
	kept, err := column.TakeRecord(s.opt.Allocator, rec, keep)
	if err != nil {
		return nil, fmt.Errorf("casting columns of table %s: %w", b.Table.Name, err)
	}
	return &pipeline.Batch{Table: s.out, Record: kept, Origin: b.Origin.Take(keep)}, nil
}
