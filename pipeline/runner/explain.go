package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// Causes why a unit runs, strongest first.
const (
	CauseNew       = "new"       // nothing is committed for it
	CauseInput     = "input"     // an object changed, was added or removed
	CauseAttribute = "attribute" // an attribute of a recording changed
	CausePipeline  = "pipeline"  // settings, behaviour versions or side data changed
	CauseContested = "contested" // a process died between claim and record
	CauseOther     = "other"     // the record does not tell
)

var causes = []string{CauseNew, CauseInput, CauseAttribute, CausePipeline, CauseContested, CauseOther}

// Explanation says what a run would do with a unit, and why.
type Explanation struct {
	Unit       string `json:"unit"`
	Step       string `json:"step,omitempty"` // of reduce
	Slot       string `json:"slot"`
	Revision   string `json:"revision"`
	Recordings int    `json:"recordings"`
	Bytes      int64  `json:"bytes"`
	// Runs tells a unit that would run from one that is done.
	Runs bool `json:"runs"`
	// Cause is the strongest of the reasons.
	Cause   string   `json:"cause,omitempty"`
	Reasons []Reason `json:"reasons,omitempty"`
	// Vanished is how many processes did not come back from this revision; at
	// three of them the unit is poison, and only --retry-failed runs it.
	Vanished int  `json:"vanished,omitempty"`
	Poison   bool `json:"poison,omitempty"`
}

// Reason is one difference between what is committed and what is wanted.
type Reason struct {
	Cause  string `json:"cause"`
	Lake   string `json:"lake"`
	What   string `json:"what"` // object, attribute or path of a setting
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Outlook is what a run would do.
type Outlook struct {
	Units []*Explanation // in order of name; those of steps last
	Left  []LeftOut      // matched by an input, and no part of a unit
}

// Explain says for each unit whether it would run, and why.
// It changes nothing. Steps of reduce are explained over what is committed
// now; what the units before them bring is not foreseen.
func (r *Runner) Explain(ctx context.Context) (*Outlook, error) {
	if err := r.openLakes(ctx); err != nil {
		return nil, err
	}
	if err := r.loadForgotten(ctx, false); err != nil {
		return nil, err
	}
	units, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	out := &Outlook{Left: r.left}
	if out.Units, err = r.explain(ctx, units); err != nil {
		return nil, err
	}
	err = r.eachStep(func(step *Runner) error {
		more, err := step.Explain(ctx)
		if err == nil {
			out.Units, out.Left = append(out.Units, more.Units...), append(out.Left, more.Left...)
		}
		return err
	})
	return out, err
}

func (r *Runner) explain(ctx context.Context, units []*Unit) ([]*Explanation, error) {
	sum := &Summary{}
	if _, err := r.split(ctx, units, sum); err != nil {
		return nil, err
	}
	marks, err := loadAttempts(ctx, r.lakes[0])
	if err != nil {
		return nil, err
	}
	plans := &planReader{now: r.Graph.PlanDocument(), old: make(map[string]*graph.PlanDocument)}
	byUnit := make(map[*Unit]*Explanation)
	var out []*Explanation
	for _, u := range sum.Units {
		e := &Explanation{Unit: u.Unit.Name, Step: r.Graph.Pipeline.Step, Slot: u.Unit.Slot, Revision: u.Unit.Revision,
			Recordings: len(u.Unit.Recordings), Bytes: u.Unit.Bytes(), Runs: u.Outcome == Planned}
		if e.Runs {
			e.Vanished = marks.vanished(u.Unit)
			e.Poison = e.Vanished >= poisonAfter
		}
		byUnit[u.Unit] = e
		out = append(out, e)
	}
	for _, l := range r.lakes {
		if err := r.explainLake(ctx, l, units, byUnit, plans); err != nil {
			return nil, err
		}
	}
	for _, e := range out {
		slices.SortStableFunc(e.Reasons, func(a, b Reason) int {
			return cmp.Compare(slices.Index(causes, a.Cause), slices.Index(causes, b.Cause))
		})
		if len(e.Reasons) > 0 {
			e.Cause = e.Reasons[0].Cause
		}
	}
	return out, nil
}

// explainLake adds the reasons that one lake gives. Records are read of units
// only that have another revision there.
func (r *Runner) explainLake(ctx context.Context, l *lake, units []*Unit, byUnit map[*Unit]*Explanation, plans *planReader) error {
	contested := l.contested()
	var changed []*Unit
	var keys []placedKey
	for _, u := range units {
		e := byUnit[u]
		if !e.Runs {
			continue
		}
		k, ok := l.newest(u.Slot)
		switch {
		case !ok:
			e.Reasons = append(e.Reasons, Reason{Cause: CauseNew, Lake: l.root, What: "nothing is committed yet"})
		case k.Revision != u.Revision:
			changed, keys = append(changed, u), append(keys, placedKey{l, k})
		}
		if contested[u.Slot] {
			e.Reasons = append(e.Reasons, Reason{Cause: CauseContested, Lake: l.root, What: "a process claimed the place after the record in force and left no record"})
		}
	}
	commits, err := readCommits(ctx, keys)
	if err != nil {
		return err
	}
	for i, c := range commits {
		u := changed[i]
		reasons := compareInputs(u, c)
		if c.Plan != plans.now.Plan {
			more, err := plans.compare(ctx, l, c.Plan)
			if err != nil {
				return err
			}
			reasons = append(reasons, more...)
		}
		if len(reasons) == 0 {
			reasons = []Reason{{Cause: CauseOther, What: "inputs were renamed, or come in another order"}}
		}
		for j := range reasons {
			reasons[j].Lake = l.root
		}
		byUnit[u].Reasons = append(byUnit[u].Reasons, reasons...)
	}
	return nil
}

// compareInputs lists how the objects and attributes of a unit differ from
// those that a commit was made from.
func compareInputs(u *Unit, c *lineage.Commit) []Reason {
	type place struct{ input, uri string }
	old := make(map[place]lineage.Input)
	for _, in := range c.Inputs {
		if !in.Beside {
			old[place{in.Input, absolute(in.URI)}] = in
		}
	}
	var objects, attributes []Reason
	for _, rec := range u.Recordings {
		for i, o := range rec.Objects {
			at := place{rec.Input.Name, absolute(o.URI)}
			was, ok := old[at]
			delete(old, at)
			// Files of a lake are told by their names, which change with them.
			same := was.Size == o.Size && (was.ETag == o.ETag || rec.content != "")
			switch {
			case !ok:
				objects = append(objects, Reason{Cause: CauseInput, What: o.URI, After: identityText(o.Size, o.ETag)})
			case !same:
				objects = append(objects, Reason{Cause: CauseInput, What: o.URI, Before: identityText(was.Size, was.ETag), After: identityText(o.Size, o.ETag)})
			}
			if i > 0 || !ok || rec.content != "" {
				continue
			}
			for _, k := range slices.Sorted(maps.Keys(rec.Attributes)) {
				if was, is := was.Attributes[k], rec.Attributes[k]; was != is {
					attributes = append(attributes, Reason{Cause: CauseAttribute, What: k + " of " + o.URI, Before: was, After: is})
				}
			}
		}
	}
	for _, in := range c.Inputs {
		if _, left := old[place{in.Input, absolute(in.URI)}]; left && !in.Beside {
			objects = append(objects, Reason{Cause: CauseInput, What: in.URI, Before: identityText(in.Size, in.ETag)})
		}
	}
	return append(objects, attributes...)
}

func identityText(size int64, etag string) string {
	return fmt.Sprintf("%d bytes, etag %s", size, etag)
}

// planReader compares plans with the one wanted now; each is read once.
type planReader struct {
	now *graph.PlanDocument
	old map[string]*graph.PlanDocument // by fingerprint; nil: not kept
}

func (p *planReader) compare(ctx context.Context, l *lake, plan string) ([]Reason, error) {
	key := planKey(plan)
	at := l.root + "/" + key
	old, ok := p.old[at]
	if !ok {
		data, err := l.store.Get(ctx, key)
		switch {
		case errors.Is(err, pipeline.ErrNotFound):
		case err != nil:
			return nil, fmt.Errorf("reading a plan: %w", err)
		default:
			if old, err = graph.DecodePlanDocument(key, data); err != nil {
				return nil, err
			}
		}
		p.old[at] = old
	}
	if old == nil {
		return []Reason{{Cause: CausePipeline, What: "the pipeline; what it was is not kept in this lake", Before: short(plan), After: short(p.now.Plan)}}, nil
	}
	var out []Reason
	for _, c := range p.now.Compare(old) {
		out = append(out, Reason{Cause: CausePipeline, What: c.Kind + " " + c.Path, Before: c.Before, After: c.After})
	}
	return out, nil
}

func short(fingerprint string) string { return fmt.Sprintf("%.12s", fingerprint) }

func planKey(fingerprint string) string { return lineage.PlansDir + "/" + fingerprint + ".json" }

// keepPlan writes down what the plan's fingerprint covers, once in each lake,
// so that a later change can be told from it.
func (r *Runner) keepPlan(ctx context.Context) error {
	doc := r.Graph.PlanDocument()
	data, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return err
	}
	for _, l := range r.lakes {
		if err := l.store.PutIfAbsent(ctx, planKey(doc.Plan), append(data, '\n')); err != nil && !errors.Is(err, pipeline.ErrExists) {
			return fmt.Errorf("keeping the plan: %w", err)
		}
	}
	return nil
}

// CauseTotals are the units that a run would do for one cause.
type CauseTotals struct {
	Cause string `json:"cause"`
	Units int    `json:"units"`
	Bytes int64  `json:"bytes"`
}

// SumCauses adds up units and bytes by the strongest cause of each unit.
func SumCauses(all []*Explanation) []CauseTotals {
	sums := make([]CauseTotals, len(causes))
	for _, e := range all {
		if i := slices.Index(causes, e.Cause); e.Runs && i >= 0 {
			sums[i].Units++
			sums[i].Bytes += e.Bytes
		}
	}
	var out []CauseTotals
	for i, s := range sums {
		if s.Cause = causes[i]; s.Units > 0 {
			out = append(out, s)
		}
	}
	return out
}
