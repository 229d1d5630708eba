package runner

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/graph"
)

// Rows of a table that a stage did not announce have no edge to go by; they
// are an error, not lost.
func TestUnannouncedTable(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.Int64Type}}, nil)
	known, other := &pipeline.Table{Name: "known", Schema: schema}, &pipeline.Table{Name: "other", Schema: schema}
	bound := &graph.Bound{Nodes: []*graph.BoundNode{{Name: "double", Out: []*pipeline.Table{known}}}}
	x := newExecution(context.Background(), bound, mem, 1, func(string) func(pipeline.BadRow) error { return nil })
	defer x.cancel(nil)
	batch := func(table *pipeline.Table) pipeline.Element {
		b := column.New(mem, arrow.Int64Type)
		b.AppendNull()
		a := b.Finish()
		defer a.Release()
		return pipeline.Element{Batch: &pipeline.Batch{Table: table, Record: arrow.NewRecord(schema, []arrow.Array{a}, 1)}}
	}
	if err := x.emit(0, batch(known)); err != nil {
		t.Errorf("a table that nobody takes: %v", err)
	}
	err := x.emit(0, batch(other))
	if !errors.Is(err, pipeline.ErrSchema) || !strings.Contains(err.Error(), "stage double: 1 rows of table other") {
		t.Errorf("got %v", err)
	}
}

// The window around the log times does not wrap where times end.
func TestClockWindowAtTheEnds(t *testing.T) {
	s := &sourceRun{input: &config.Input{ClockWindow: time.Hour}, bound: &graph.BoundSource{}}
	w := newClockWindow(s, &openRecording{Recording: &Recording{}, desc: &pipeline.Description{HasTime: true, Start: math.MinInt64 + 1, End: math.MaxInt64}})
	if w.from != math.MinInt64 || w.to != math.MaxInt64 {
		t.Errorf("from %d to %d", w.from, w.to)
	}
	w = newClockWindow(s, &openRecording{Recording: &Recording{}, desc: &pipeline.Description{HasTime: true, Start: 0, End: 10}})
	if w.from != -int64(time.Hour) || w.to != 10+int64(time.Hour) {
		t.Errorf("from %d to %d", w.from, w.to)
	}
}
