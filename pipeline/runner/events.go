package runner

import (
	"context"
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/store"
)

// sendEvent writes an OpenLineage event of the run beside the commits.
func (r *Runner) sendEvent(ctx context.Context, e *lineage.Event) error {
	data, err := e.Encode()
	if err != nil {
		return err
	}
	dir := r.eventDir
	if dir == "" {
		dir = lineage.RunsDir + "/" + r.RunInfo.RunID
	}
	for _, l := range r.lakes {
		key := fmt.Sprintf("%s/%s.openlineage.json", dir, e.EventType)
		if err := l.store.Put(ctx, key, data); err != nil {
			return fmt.Errorf("writing lineage event: %w", err)
		}
	}
	return nil
}

// maxSkippedRead bounds how many commit records of skipped units are read for
// the datasets of a run: all units of a pipeline have much the same ones, and
// there may be a million of them.
const maxSkippedRead = 20

// sendEnd writes the event that ends the run. Its datasets are those of the
// units done, with what was read and written, and those of units that were
// skipped because they were done before.
func (r *Runner) sendEnd(ctx context.Context, sum *Summary, runErr error) error {
	kind := "COMPLETE"
	err := runErr
	if err == nil {
		err = sum.Failure()
	}
	if err != nil {
		kind = "FAIL"
	}
	if ctx.Err() != nil {
		kind = "ABORT"
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
	}
	e := lineage.NewEvent(kind, r.Now(), r.RunInfo)
	if kind == "FAIL" {
		e.Failed(err)
	}
	var done, kept []*lineage.Commit
	for _, u := range sum.Units {
		done = append(done, u.Commits...)
		if u.Outcome != Skipped || len(kept) >= maxSkippedRead {
			continue
		}
		for _, l := range r.lakes {
			k, ok := l.newest(u.Unit.Slot)
			if !ok {
				continue
			}
			c, err := l.read(ctx, k)
			if err != nil {
				return err
			}
			kept = append(kept, c)
		}
	}
	e.SumUp(r.inputRoot, r.sinkRoot, done, kept)
	return r.sendEvent(ctx, e)
}

func (r *Runner) inputRoot(input string) string {
	for _, in := range r.Graph.Pipeline.Inputs {
		if in.Name == input {
			if p, err := store.ParsePattern(in.URI.Value); err == nil {
				return p.Root()
			}
			return in.URI.Value
		}
	}
	return ""
}

func (r *Runner) sinkRoot(output string) string {
	for _, s := range r.Graph.Sinks() {
		if s.Name == output {
			return s.Sink.Store().Root()
		}
	}
	return ""
}

// columnLineage describes the columns of a lake table for its commit record;
// of are the graph's entries for that table.
func columnLineage(t pipeline.SinkTable, of []graph.ColumnLineage) ([]lineage.Column, []lineage.Origin) {
	cols := []lineage.Column{}
	var reads []lineage.Origin
	for _, c := range of {
		col := lineage.Column{Name: c.Column, Identity: len(c.Sources) > 0}
		for _, s := range c.Sources {
			o := lineage.Origin{Input: s.Input, Table: s.Table, Dataset: s.Dataset, Column: s.Column, How: s.How}
			if c.Column == "" {
				reads = append(reads, o)
				continue
			}
			col.From = append(col.From, o)
			col.Identity = col.Identity && s.Identity
			if col.Expression == "" {
				col.Expression = s.Expression
			}
		}
		if c.Column != "" {
			col.Type = t.Schema.Field(len(cols)).Type.String()
			cols = append(cols, col)
		}
	}
	return cols, reads
}
