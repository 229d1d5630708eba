// Package filter is the stage that keeps the rows for which a condition holds.
//
//	stages:
//	  moving: {use: filter, from: drives.odom, where: "twist.twist.linear.x > 0.5"}
//
// A row for which the condition is false or null is filtered out; one for
// which it cannot be computed is rejected. Package expr describes the language.
// Batches of which every row is kept pass through without being copied.
package filter

import (
	"context"
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/expr"
)

// Config is the configuration of a filter.
type Config struct {
	Where pipeline.Text `yaml:"where" required:"true" doc:"condition a row must meet to be kept; a row for which it is null is dropped"`
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "filter",
		Summary: "keep the rows that meet a condition",
		Doc: "Keeps the rows for which the expression `where` is true. Rows for which it is false or null are counted as filtered; " +
			"rows for which it cannot be computed (an integer divided by zero, an integer that overflows) are rejected.",
		Example: `pipeline: moving
inputs:
  drives:
    uri: testdata/drives/{vehicle_id}/{drive_id}/{logger}.{bag,mcap}
    tables:
      odom: {match: /odom, type: nav_msgs/Odometry}
stages:
  moving: {use: filter, from: drives.odom, where: "twist.twist.linear.x > 0.5"}
outputs:
  lake: {use: parquet, from: moving, uri: lake}
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			return pipeline.Rows(&stage{where: config.(*Config).Where}), nil
		},
	}
}

type stage struct{ where pipeline.Text }

func (s *stage) BindTable(in *pipeline.Table) (*pipeline.RowBinding, error) {
	cond, err := expr.Compile(s.where, in)
	if err != nil {
		return nil, err
	}
	switch cond.Type() {
	case expr.Bool:
	case expr.Null:
		return nil, s.where.Issuef(0, "the condition is always null, which keeps no row")
	default:
		return nil, s.where.Issuef(0, "the condition is a bool, not %s", cond.Type())
	}
	out := in.With(in.Schema)
	b := &pipeline.RowBinding{Output: pipeline.Output{Table: out}}
	for _, name := range in.ColumnNames() {
		ref := pipeline.ColumnRef{Table: in, Column: name}
		b.Output.Columns = append(b.Output.Columns, pipeline.Derivation{Inputs: []pipeline.ColumnRef{ref}, Identity: true})
	}
	for _, name := range cond.Columns() {
		ref := pipeline.ColumnRef{Table: in, Column: name}
		b.Output.Reads = append(b.Output.Reads, pipeline.Read{ColumnRef: ref, How: "FILTER"})
	}
	b.Open = func(opt pipeline.ProcessOptions) (pipeline.RowFunc, error) {
		f := &filter{out: out, cond: cond, scratch: cond.NewScratch(), opt: opt}
		return f.process, nil
	}
	return b, nil
}

// filter is what one worker holds.
type filter struct {
	out     *pipeline.Table
	cond    *expr.Program
	scratch *expr.Scratch
	opt     pipeline.ProcessOptions
}

func (f *filter) process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account) (*pipeline.Batch, error) {
	defer b.Release()
	rows := b.Rows()
	keep, rejected := f.cond.Select(f.scratch, b.Record.Columns(), rows)
	for _, r := range rejected {
		if err := f.opt.Refuse(acct, b, int(r.Row), "", r.Reason, f.cond.RowError(r)); err != nil {
			return nil, err
		}
	}
	acct.Filtered += int64(rows - len(keep) - len(rejected))
	switch len(keep) {
	case 0:
		return nil, nil
	case rows:
		b.Record.Retain()
		return &pipeline.Batch{Table: f.out, Record: b.Record, Origin: b.Origin}, nil
	}
	rec, err := column.TakeRecord(f.opt.Allocator, b.Record, keep)
	if err != nil {
		return nil, fmt.Errorf("filtering table %s: %w", b.Table.Name, err)
	}
	return &pipeline.Batch{Table: f.out, Record: rec, Origin: b.Origin.Take(keep)}, nil
}
