package builtin_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/pipetest"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

func TestStages(t *testing.T) {
	t.Chdir(root)
	reg := builtin.Registry()
	pipetest.Stages(t, reg, &runner.Env{Registry: reg, Open: store.Open, Load: true}, func(t *testing.T, g *graph.Graph) {
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		defer mem.AssertSize(t, 0)
		r := &runner.Runner{Registry: reg, Graph: g, OpenStore: store.Open, Log: slog.New(slog.DiscardHandler), Progress: silent{}, Allocator: mem,
			Jobs: 1, Workers: 2, Now: time.Now, RunInfo: lineage.RunInfo{RunID: "01941f29-7c00-7087-8940-40e512c257bd", Namespace: "test", Job: g.Pipeline.Name}}
		sum, err := r.Run(t.Context())
		if err == nil {
			err = sum.Failure()
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(sum.Units) == 0 || sum.Count(runner.Done) != len(sum.Units) || sum.Totals.Loss() || sum.Totals.Written == 0 {
			t.Errorf("%d of %d units done: %+v", sum.Count(runner.Done), len(sum.Units), sum.Totals)
		}
		for _, u := range sum.Units {
			for _, c := range u.Commits {
				if err := c.Ledger.Check(); err != nil {
					t.Errorf("%s: %v", u.Unit.Name, err)
				}
			}
		}
	})
}

type silent struct{}

func (silent) Start(int, int64)        {}
func (silent) Read(int64)              {}
func (silent) Rows(int64)              {}
func (silent) Unit(*runner.UnitResult) {}
