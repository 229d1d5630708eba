package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// Report is the judgement of a run: what became of its units, and whether that
// is good enough. It is kept in the run's folder as _SUCCESS or _PARTIAL.
type Report struct {
	RunID    string `json:"run_id"`
	Name     string `json:"name,omitempty"`
	Pipeline string `json:"pipeline"`
	Units    int    `json:"units"` // planned to run
	Done     int    `json:"done"`
	Before   int    `json:"done_before"`
	// Failed units failed for good; Missing ones have no recorded end.
	Failed  []FailedUnit           `json:"failed"`
	Missing []string               `json:"missing"`
	Totals  lineage.Totals         `json:"totals"`
	Tables  map[string]TableTotals `json:"tables"` // by lake table
	Bytes   int64                  `json:"bytes_read"`
	Written int64                  `json:"bytes_written"`
	Files   int                    `json:"files"`
	// Steps are the steps of reduce that ran after the units.
	Steps map[string]StepReport `json:"steps,omitempty"`
	// Broken are the limits that the run is beyond. Without any it is a success.
	Broken []string `json:"broken,omitempty"`
	// Ended says that every unit has a recorded end: running the shards again
	// changes nothing.
	Ended bool `json:"ended"`
}

// TableTotals are the rows of one lake table in a run.
type TableTotals struct {
	Rows  int64 `json:"rows"`
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// StepReport is what became of a step of reduce.
type StepReport struct {
	Units int `json:"units"` // groups of files; all are done
}

// FailedUnit is a unit that failed for good, and why.
type FailedUnit struct {
	Unit  string `json:"unit"`
	Slot  string `json:"slot"`
	Error string `json:"error"`
}

// Success reports whether the run stays within its limits.
func (p *Report) Success() bool { return len(p.Broken) == 0 }

// readAtOnce is how many small objects are read at the same time.
const readAtOnce = 16

// Finish judges a run that was planned, removes what its commits replaced, and
// writes the run's last lineage event and its mark: _SUCCESS, or _PARTIAL where
// the run is beyond a limit. It can be repeated, also while shards go on.
func (r *Runner) Finish(ctx context.Context, m *Manifest, limits config.Limits) (*Report, error) {
	if err := r.openLakes(ctx); err != nil {
		return nil, err
	}
	r.RunInfo = m.Run
	rep, commits, units, err := r.judge(ctx, m)
	if err != nil {
		return nil, err
	}
	slots := make(map[string]bool)
	for _, u := range units {
		slots[u.Slot] = true
	}
	rep.Broken = broken(limits, rep)
	for _, l := range r.lakes {
		if _, err := l.sweep(ctx, slots, r.failpoint); err != nil {
			return rep, fmt.Errorf("settling %s: %w", l.root, err)
		}
	}
	if err := r.settleSlices(ctx, units); err != nil {
		return rep, err
	}
	if rep.Success() {
		sum := &Summary{}
		if err := r.reduce(ctx, sum); err != nil {
			return rep, err
		}
		rep.count(sum)
	}
	kind := "COMPLETE"
	if !rep.Success() {
		kind = "FAIL"
	}
	e := lineage.NewEvent(kind, r.Now(), r.RunInfo)
	if kind == "FAIL" {
		e.Failed(errors.New(rep.Broken[0]))
	}
	e.SumUp(r.inputRoot, r.sinkRoot, commits, nil)
	if err := r.sendEvent(ctx, e); err != nil {
		return rep, err
	}
	return rep, r.mark(ctx, rep)
}

// Status says how far a planned run is. It changes nothing.
func (r *Runner) Status(ctx context.Context, m *Manifest, limits config.Limits) (*Report, error) {
	if err := r.openLakes(ctx); err != nil {
		return nil, err
	}
	rep, _, _, err := r.judge(ctx, m)
	if err == nil {
		rep.Broken = broken(limits, rep)
	}
	return rep, err
}

// count adds the tables that steps of reduce have in the lake now.
func (p *Report) count(sum *Summary) {
	p.Steps = make(map[string]StepReport)
	for _, s := range sum.Steps {
		p.Steps[s.Step] = StepReport{Units: len(s.Units)}
	}
}

// mark leaves _SUCCESS or _PARTIAL in the run's folder of each lake.
func (r *Runner) mark(ctx context.Context, rep *Report) error {
	data, err := json.MarshalIndent(rep, "", " ")
	if err != nil {
		return err
	}
	mark, other := "_SUCCESS", "_PARTIAL"
	if !rep.Success() {
		mark, other = other, mark
	}
	for _, l := range r.lakes {
		dir := lineage.RunsDir + "/" + rep.RunID + "/"
		if err := l.store.Put(ctx, dir+mark, append(data, '\n')); err != nil {
			return fmt.Errorf("marking the end of the run: %w", err)
		}
		if err := l.store.Delete(ctx, dir+other); err != nil {
			return fmt.Errorf("marking the end of the run: %w", err)
		}
	}
	return nil
}

// judge finds out what became of the units.
func (r *Runner) judge(ctx context.Context, m *Manifest) (*Report, []*lineage.Commit, []*Unit, error) {
	home := r.lakes[0]
	rep := &Report{RunID: m.RunID, Name: m.Name, Pipeline: m.Run.Job, Units: m.Units, Before: m.Done, Failed: []FailedUnit{}, Missing: []string{}, Tables: make(map[string]TableTotals)}
	ends, err := r.readEnds(ctx, m.RunID)
	if err != nil {
		return nil, nil, nil, err
	}
	var all []*Unit
	if m.DoneKey != "" {
		done, err := r.readUnits(ctx, home, m.DoneKey)
		if err != nil {
			return nil, nil, nil, err
		}
		all = append(all, done...)
	}
	var keys []placedKey
	var failed []*Unit
	for _, s := range m.Shards {
		units, err := r.readUnits(ctx, home, s.Key)
		if err != nil {
			return nil, nil, nil, err
		}
		all = append(all, units...)
		for _, u := range units {
			done := true
			var own []placedKey
			for _, l := range r.lakes {
				k, ok := l.newest(u.Slot)
				done = done && ok && k.Revision == u.Revision
				own = append(own, placedKey{l, k})
			}
			switch {
			case done:
				rep.Done++
				rep.Bytes += u.Bytes()
				keys = append(keys, own...)
			case ends[u.attemptID()]:
				failed = append(failed, u)
			default:
				rep.Missing = append(rep.Missing, u.Name)
			}
		}
	}
	commits, err := readCommits(ctx, keys)
	if err != nil {
		return nil, nil, nil, err
	}
	for i, c := range commits {
		if keys[i].lake == home {
			addTotals(&rep.Totals, c.Ledger.Totals())
		}
		for _, t := range c.Tables {
			sum := rep.Tables[t.Name]
			sum.Rows += t.Rows
			for _, f := range t.Files {
				sum.Files++
				sum.Bytes += f.Bytes
				rep.Files++
				rep.Written += f.Bytes
			}
			rep.Tables[t.Name] = sum
		}
	}
	for _, u := range failed {
		data, err := home.store.Get(ctx, u.endKey(m.RunID))
		if err != nil {
			return nil, nil, nil, fmt.Errorf("reading the end of unit %s: %w", u.Name, err)
		}
		var end unitEnd
		if err := json.Unmarshal(data, &end); err != nil {
			return nil, nil, nil, fmt.Errorf("end of unit %s: %w: %w", u.Name, pipeline.ErrCorrupt, err)
		}
		rep.Failed = append(rep.Failed, FailedUnit{Unit: u.Name, Slot: u.Slot, Error: end.Error})
	}
	rep.Ended = len(rep.Missing) == 0
	return rep, commits, all, nil
}

// placedKey is a commit record of a lake.
type placedKey struct {
	lake *lake
	key  lineage.CommitKey
}

// readCommits reads records, several at once.
func readCommits(ctx context.Context, keys []placedKey) ([]*lineage.Commit, error) {
	out := make([]*lineage.Commit, len(keys))
	errs := make([]error, readAtOnce)
	var wg sync.WaitGroup
	for w := range readAtOnce {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := w; i < len(keys) && errs[w] == nil; i += readAtOnce {
				out[i], errs[w] = keys[i].lake.read(ctx, keys[i].key)
			}
		}()
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// broken lists the limits that a run is beyond, as sentences.
func broken(limits config.Limits, rep *Report) []string {
	var out []string
	over := func(what string, n, of int64, l config.Limit) {
		if n > 0 && l != "" && !l.Allows(n, of) {
			out = append(out, fmt.Sprintf("%d of %d %s, allowed are %s", n, of, what, l))
		}
	}
	over("units failed", int64(len(rep.Failed)), int64(rep.Units), cmp.Or(limits.FailedUnits, "0"))
	over("units have no recorded end", int64(len(rep.Missing)), int64(rep.Units), "0")
	t := rep.Totals
	over("rows lost", t.Lost, t.Found+t.Lost, limits.LostRows)
	over("bytes unreadable", t.LostBytes, rep.Bytes, limits.LostBytes)
	over("rows rejected", t.Rejected, t.Found, limits.RejectedRows)
	for _, e := range limits.Tables.Entries {
		match, err := config.CompileGlob(e.Key.Value)
		if err != nil {
			continue // reported when the pipeline was read
		}
		var rows int64
		for _, name := range slices.Sorted(maps.Keys(rep.Tables)) {
			if match.Match(name) {
				rows += rep.Tables[name].Rows
			}
		}
		if rows < e.Value.LeastRows {
			out = append(out, fmt.Sprintf("table %s has %d rows, expected are at least %d", e.Key.Value, rows, e.Value.LeastRows))
		}
	}
	return out
}
