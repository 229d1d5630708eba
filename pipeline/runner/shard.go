package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/google/uuid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// unitEnd is kept for a unit of a shard that failed for good: its recorded
// end. Units that are done have their commit record.
type unitEnd struct {
	Unit     string `json:"unit"`
	Slot     string `json:"slot"`
	Revision string `json:"revision"`
	Error    string `json:"error"`
	Attempts int    `json:"attempts"`
}

func endsDir(runID string) string { return lineage.RunsDir + "/" + runID + "/ends" }

func (u *Unit) endKey(runID string) string {
	return fmt.Sprintf("%s/%s.%s.json", endsDir(runID), u.Slot, u.Revision)
}

// checkManifest refuses a manifest that another binary or another state of the
// side data made: the shards of a run do the same work.
func (r *Runner) checkManifest(m *Manifest) error {
	if m.Binary != r.Binary {
		return fmt.Errorf("the run was planned by %s %s, and this is %s %s: use the same binary in all shards, or plan again", m.Binary.Version, m.Binary.VCS, r.Binary.Version, r.Binary.VCS)
	}
	if p := r.Graph.PlanFingerprint(); p != m.Plan {
		return fmt.Errorf("the pipeline is not what was planned: a table or database that it reads has changed since (%.12s, planned %.12s): plan again: %w", p, m.Plan, pipeline.ErrChanged)
	}
	return nil
}

// RunShard runs the units of one shard that have no recorded end yet. A unit
// that fails for good gets one, so that Finish can judge; its failure is in
// the summary.
func (r *Runner) RunShard(ctx context.Context, m *Manifest, shard int) (*Summary, error) {
	begin := r.Now()
	sum := &Summary{RunID: m.RunID, Sweeps: make(map[string]*Sweep)}
	if err := r.checkManifest(m); err != nil {
		return sum, err
	}
	if shard < 0 || shard >= len(m.Shards) {
		return sum, &pipeline.Issue{Message: fmt.Sprintf("there is no shard %d: the run has %d, counted from 0", shard, len(m.Shards))}
	}
	if err := r.openLakes(ctx); err != nil {
		return sum, err
	}
	if err := r.loadForgotten(ctx, !r.DryRun); err != nil {
		return sum, err
	}
	units, err := r.readUnits(ctx, r.lakes[0], m.Shards[shard].Key)
	if err != nil {
		return sum, err
	}
	planned, err := r.split(ctx, units, sum)
	if err != nil {
		return sum, err
	}
	ends, err := r.readEnds(ctx, m.RunID)
	if err != nil {
		return sum, err
	}
	var todo []*UnitResult
	for _, u := range planned {
		if end := ends[u.Unit.attemptID()]; end && !r.RetryFailed {
			u.Outcome = Skipped
			continue
		}
		todo = append(todo, u)
	}
	if r.DryRun {
		return sum, nil
	}
	info := r.RunInfo
	info.Parent = &lineage.ParentRun{Namespace: m.Run.Namespace, Job: m.Run.Job, RunID: m.RunID}
	if p := m.Run.Parent; p != nil {
		info.Parent.RootNamespace, info.Parent.RootJob, info.Parent.RootRunID = p.Namespace, p.Job, p.RunID
		if p.RootRunID != "" {
			info.Parent.RootNamespace, info.Parent.RootJob, info.Parent.RootRunID = p.RootNamespace, p.RootJob, p.RootRunID
		}
	}
	info.Job = fmt.Sprintf("%s.shard", m.Run.Job)
	info.RunID = uuid.NewSHA1(runSpace, fmt.Appendf(nil, "%s/%d", m.RunID, shard)).String()
	r.RunInfo, r.eventDir = info, fmt.Sprintf("%s/%s/shard-%05d", lineage.RunsDir, m.RunID, shard)
	if err := r.sendEvent(ctx, lineage.NewEvent("START", begin, info)); err != nil {
		return sum, err
	}
	err = r.runUnits(ctx, todo, sum)
	if err == nil {
		err = r.recordEnds(ctx, m.RunID, todo)
	}
	sum.Elapsed, sum.Retries = r.Now().Sub(begin), r.Retry.Counts()
	ctx, cancel := r.afterUnits(ctx, sum)
	defer cancel()
	if e := r.sendEnd(ctx, sum, err); err == nil {
		err = e
	}
	return sum, err
}

// Unrecorded returns the error of a shard whose units have not all come to a
// recorded end: transient failures, which another attempt may cure.
func (s *Summary) Unrecorded() error {
	var rest Summary
	for _, u := range s.Units {
		if u.Outcome == Failed && pipeline.IsTransient(u.Err) {
			rest.Units = append(rest.Units, u)
		}
	}
	return rest.Failure()
}

// recordEnds writes down which units failed for good, and takes back what was
// written of those that did not fail this time.
func (r *Runner) recordEnds(ctx context.Context, runID string, done []*UnitResult) error {
	home := r.lakes[0]
	for _, u := range done {
		switch {
		case u.Outcome == Failed && !pipeline.IsTransient(u.Err):
			data, err := json.Marshal(unitEnd{Unit: u.Unit.Name, Slot: u.Unit.Slot, Revision: u.Unit.Revision, Error: u.Err.Error(), Attempts: u.Attempts})
			if err != nil {
				return err
			}
			if err := home.store.Put(ctx, u.Unit.endKey(runID), append(data, '\n')); err != nil {
				return fmt.Errorf("recording the end of unit %s: %w", u.Unit.Name, err)
			}
		case u.Outcome == Done && r.RetryFailed:
			if err := home.store.Delete(ctx, u.Unit.endKey(runID)); err != nil {
				return fmt.Errorf("recording the end of unit %s: %w", u.Unit.Name, err)
			}
		}
	}
	return nil
}

// readEnds lists the units of a run that failed for good, by slot and revision.
func (r *Runner) readEnds(ctx context.Context, runID string) (map[string]bool, error) {
	out := make(map[string]bool)
	err := r.lakes[0].store.List(ctx, endsDir(runID)+"/", func(o pipeline.Object) error {
		out[strings.TrimSuffix(path.Base(o.Key), ".json")] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the ends of units: %w", err)
	}
	return out, nil
}
