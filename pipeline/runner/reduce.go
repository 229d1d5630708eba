package runner

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/recording"
)

// A step of reduce is a pipeline whose recordings are the files that units have
// committed. All files of its inputs make one unit, or those that share the
// keys of partitions by which the inputs are grouped. It has slots, revisions
// and commits like any other unit: a month is made anew when one of its files
// is another, and only then.

// reduce runs the steps in order, each over what is in the lake by then.
func (r *Runner) reduce(ctx context.Context, sum *Summary) error {
	return r.eachStep(func(step *Runner) error {
		g := step.Graph
		step.LimitUnits = 0
		step.RunInfo.Parent = &lineage.ParentRun{Namespace: r.RunInfo.Namespace, Job: r.RunInfo.Job, RunID: r.RunInfo.RunID}
		step.RunInfo.Job = g.Pipeline.Name
		step.RunInfo.RunID = uuid.NewSHA1(runSpace, []byte(r.RunInfo.RunID+"/"+g.Pipeline.Step)).String()
		step.eventDir = fmt.Sprintf("%s/%s/reduce-%s", lineage.RunsDir, r.RunInfo.RunID, g.Pipeline.Step)
		s, err := step.Run(ctx)
		sum.Steps = append(sum.Steps, s)
		if err == nil {
			err = s.Failure()
		}
		if err != nil {
			return fmt.Errorf("reduce step %s: %w", g.Pipeline.Step, err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.Count(Interrupted) > 0 {
			return r.stopping()
		}
		return nil
	})
}

// eachStep calls do with a runner for each step, which knows the outputs that
// were written before.
func (r *Runner) eachStep(do func(step *Runner) error) error {
	written := r.Graph.Sinks()
	owner := make(map[string]string) // pipeline that writes an output
	for _, s := range written {
		owner[s.Name] = r.Graph.Pipeline.Name
	}
	for _, g := range r.Graph.Steps {
		step := *r
		step.Graph, step.lakes, step.written, step.owner = g, nil, written, owner
		if err := do(&step); err != nil {
			return err
		}
		written = append(written, g.Sinks()...)
		for _, s := range g.Sinks() {
			owner[s.Name] = g.Pipeline.Name
		}
	}
	return nil
}

// findLake lists the files that are in force of the tables that an input of a
// step reads.
func (r *Runner) findLake(ctx context.Context, in *config.Input) ([]*Recording, error) {
	i := slices.IndexFunc(r.written, func(s graph.NamedSink) bool { return s.Name == in.Output })
	if i < 0 {
		return nil, fmt.Errorf("input %s: no output %q: %w", in.Name, in.Output, pipeline.ErrSchema)
	}
	st := r.written[i].Sink.Store()
	match, err := config.CompileGlob(in.Table)
	if err != nil {
		return nil, err
	}
	l := &lake{root: st.Root(), store: st}
	if err := l.load(ctx); err != nil {
		return nil, err
	}
	var keys []placedKey
	for _, slot := range sortedSlots(l.commits) {
		k, _ := l.newest(slot)
		keys = append(keys, placedKey{l, k})
	}
	commits, err := readCommits(ctx, keys)
	if err != nil {
		return nil, err
	}
	files := make(map[string]pipeline.File)
	tables := make(map[string]bool)
	for _, c := range commits {
		if c.Pipeline != r.owner[in.Output] {
			continue
		}
		for _, t := range c.Tables {
			if t.Output != in.Output || !match.Match(t.Name) {
				continue
			}
			for _, f := range t.Files {
				if !strings.HasSuffix(f.Key, ".parquet") {
					continue // objects that the rows tell of
				}
				files[f.Key] = f
				tables[t.Name] = true
			}
		}
	}
	var out []*Recording
	for table := range tables {
		err := st.List(ctx, table+"/", func(o pipeline.Object) error {
			f, ok := files[o.Key]
			if !ok {
				return nil
			}
			delete(files, o.Key)
			attrs := make(map[string]string)
			for _, by := range in.Group {
				v, ok := f.Partition[by]
				if !ok {
					return &pipeline.Issue{Pos: in.Pos, Path: in.Path + ".group.by", Message: fmt.Sprintf("files of table %s are not partitioned by %q", table, by)}
				}
				attrs[by] = v
			}
			out = append(out, &Recording{Recording: recording.New(st, o.URI, []pipeline.Object{o}), Input: in, Attributes: attrs, table: table, content: f.SHA256})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("input %s: listing table %s: %w", in.Name, table, err)
		}
	}
	for key := range files {
		return nil, fmt.Errorf("input %s: %s is in a commit record, but not in the lake: %w", in.Name, path.Join(st.Root(), key), pipeline.ErrNotFound)
	}
	slices.SortFunc(out, func(a, b *Recording) int { return strings.Compare(a.Objects[0].Key, b.Objects[0].Key) })
	return out, nil
}

// retire removes what a step wrote for groups that are not there any more.
func (r *Runner) retire(ctx context.Context, units []*Unit) error {
	wanted := make(map[string]bool)
	for _, u := range units {
		wanted[u.Slot] = true
	}
	for _, l := range r.lakes {
		var gone []string
		for _, slot := range sortedSlots(l.commits) {
			if !wanted[slot] {
				gone = append(gone, slot)
			}
		}
		if err := r.removeSlots(ctx, l, gone, r.Graph.Pipeline.Name); err != nil {
			return err
		}
	}
	return nil
}

// removeSlots removes the files of slots that nothing takes the place of, then
// their records, each of which is the obligation to go on after a crash. With
// the name of a pipeline, slots of others are left alone.
func (r *Runner) removeSlots(ctx context.Context, l *lake, slots []string, of string) error {
	keys := make([]placedKey, len(slots))
	for i, slot := range slots {
		k, _ := l.newest(slot)
		keys[i] = placedKey{l, k}
	}
	commits, err := readCommits(ctx, keys)
	if err != nil {
		return err
	}
	for i, c := range commits {
		if of != "" && c.Pipeline != of {
			continue
		}
		for _, key := range append(c.Keys(), keys[i].key.String(), keys[i].key.ClaimKey()) {
			if err := l.remove(ctx, key); err != nil {
				return fmt.Errorf("removing what unit %s wrote: %w", c.Unit, err)
			}
		}
		r.Log.Info("nothing is left of a unit; its files were removed", "unit", c.Unit, "lake", l.root)
	}
	return nil
}
