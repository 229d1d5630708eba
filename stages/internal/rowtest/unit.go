package rowtest

import (
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Outcome is what a stage with state made of a unit.
type Outcome struct {
	// Tables holds the batches of each output by the name of its table. They
	// are released when the test ends.
	Tables  map[string][]arrow.Record
	Account pipeline.Account
	Bad     []string // column and reason of each rejected row
	Err     error
}

// Unit is UnitSpilling without a place to spill to.
func Unit(t testing.TB, mem arrow.Allocator, stage pipeline.Stage, in *pipeline.Table, recs ...arrow.Record) Outcome {
	t.Helper()
	return UnitSpilling(t, mem, nil, stage, in, recs...)
}

// UnitSpilling binds a stage to one table, sends it records, which it releases, and
// flushes it. It checks that the ledger balances unless the stage fails.
func UnitSpilling(t testing.TB, mem arrow.Allocator, space pipeline.Spill, stage pipeline.Stage, in *pipeline.Table, recs ...arrow.Record) Outcome {
	t.Helper()
	out := Outcome{Tables: make(map[string][]arrow.Record)}
	bound, err := stage.Bind([]*pipeline.Table{in})
	if err != nil {
		t.Fatal(err)
	}
	p, err := bound.Open(pipeline.ProcessOptions{Allocator: mem, Spill: space, Reject: func(b pipeline.BadRow) error {
		out.Bad = append(out.Bad, b.Column+" "+b.Reason)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var emitted int64
	emit := func(e pipeline.Element) error {
		if !e.Batch.Record.Schema().Equal(e.Batch.Table.Schema) {
			t.Errorf("batch of table %s has another schema: %v", e.Batch.Table.Name, e.Batch.Record.Schema())
		}
		emitted += int64(e.Batch.Rows())
		out.Tables[e.Batch.Table.LakeName()] = append(out.Tables[e.Batch.Table.LakeName()], e.Batch.Record)
		t.Cleanup(e.Batch.Release)
		return nil
	}
	var rows int64
	ctx := t.Context()
	for _, rec := range recs {
		b := &pipeline.Batch{Table: in, Record: rec, Origin: pipeline.Origin{First: rows}}
		rows += rec.NumRows()
		if out.Err != nil {
			b.Release()
			continue
		}
		out.Err = p.Process(ctx, b, &out.Account, emit)
	}
	if out.Err == nil {
		out.Err = p.Flush(ctx, &out.Account, emit)
	}
	if out.Err != nil {
		return out
	}
	a := out.Account
	var rejected int64
	for _, n := range a.Rejected {
		rejected += n
	}
	if rows+a.Created != emitted+a.Filtered+rejected+a.Absorbed {
		t.Errorf("ledger: %d rows in, %d out, %+v", rows, emitted, a)
	}
	return out
}

// Text shows the rows of one output.
func (o Outcome) Text(table string) string {
	var s string
	for _, rec := range o.Tables[table] {
		s += Rows(rec)
	}
	return s
}
