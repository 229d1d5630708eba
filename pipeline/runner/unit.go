package runner

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/observe"
)

// unitRun is one attempt at one unit.
type unitRun struct {
	*Runner
	unit    *Unit
	opened  []*openRecording
	bound   *graph.Bound
	exec    *execution
	sources []*sourceRun
	sinks   []*sinkRun
	quar    map[*lake]*quarantine
	date    string
	objects []string // URIs by object number
	nodes   []observe.Node
}

// recorded is how long the recordings of the unit last by themselves.
func (u *unitRun) recorded() time.Duration {
	var d time.Duration
	for _, o := range u.opened {
		if o.desc != nil && o.desc.HasTime && o.desc.End > o.desc.Start {
			d += time.Duration(o.desc.End - o.desc.Start)
		}
	}
	return d
}

// cleanupTime bounds what is done after a run was told to stop: first the
// units clean up, then the end is recorded. A container is killed some 20
// seconds after it was told to stop.
const cleanupTime = 8 * time.Second

// StopTime is how long a run takes at most to end once its context is
// cancelled.
const StopTime = 2 * cleanupTime

// run does the whole unit and returns the commits it made, one for each lake.
func (u *unitRun) run(ctx context.Context) (_ []*lineage.Commit, err error) {
	if err := u.describe(ctx); err != nil {
		return nil, err
	}
	if err := u.bind(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			// The context may be cancelled already; cleaning up must not be.
			cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
			defer cancel()
			u.abort(cleanup)
		}
	}()
	if err := u.execute(ctx); err != nil {
		return nil, err
	}
	ledger := u.ledger()
	if err := ledger.Check(); err != nil {
		return nil, err
	}
	ledger.Compact()
	return u.commit(ctx, ledger)
}

// describe opens all recordings and collects what they say of themselves.
func (u *unitRun) describe(ctx context.Context) error {
	for _, r := range u.unit.Recordings {
		o := &openRecording{Recording: r, object: len(u.objects)}
		r.Hide = u.forgotten.has
		src, err := r.Open(ctx, func(src pipeline.Source) pipeline.Source {
			rs := &rangeSource{Source: src, onRead: func(n int64) {
				u.Progress.Read(n)
				u.Observe.Bytes(n)
			}}
			o.reads = append(o.reads, rs)
			return rs
		})
		if err != nil {
			return err
		}
		o.source = src
		for _, obj := range r.Objects {
			u.objects = append(u.objects, obj.URI)
		}
		if o.format, err = u.formatOf(ctx, r, src); err != nil {
			return err
		}
		desc, err := o.format.Format.Describe(ctx, src)
		if err != nil {
			return located("describing", r.URI, err)
		}
		attrs := make(map[string]string)
		for k, v := range desc.Attributes {
			attrs[k] = v
		}
		for k, v := range r.Attributes {
			if old, ok := attrs[k]; ok && old != v {
				return fmt.Errorf("%s: attribute %s is %q in the file but %q by its path: %w", r.URI, k, old, v, pipeline.ErrSchema)
			}
			attrs[k] = v
		}
		o.desc, o.attrs = desc, attrs
		u.opened = append(u.opened, o)
	}
	var start int64
	known := false
	for _, o := range u.opened {
		if o.desc.HasTime && (!known || o.desc.Start < start) {
			start, known = o.desc.Start, true
		}
	}
	if known {
		u.date = time.Unix(0, start).UTC().Format(time.DateOnly)
	}
	return nil
}

// located says of which object an error is, unless it says so itself.
func located(doing, uri string, err error) error {
	var d *pipeline.DecodeError
	if errors.As(err, &d) && d.Object == uri {
		return err
	}
	return fmt.Errorf("%s %s: %w", doing, uri, err)
}

// formatOf finds the format of a recording: the declared one, or by a look at
// its first bytes.
func (u *unitRun) formatOf(ctx context.Context, r *Recording, src pipeline.Source) (pipeline.FormatSpec, error) {
	formats := u.Graph.Formats(r.Input)
	if name := r.Input.Format; name != "" {
		f, ok := formats.Format(name)
		if !ok {
			return f, fmt.Errorf("input %s: unknown format %q", r.Input.Name, name)
		}
		return f, nil
	}
	return SniffObject(ctx, formats, src)
}

// bind fixes the graph for the tables that the recordings hold.
func (u *unitRun) bind() error {
	tables := make(map[string][]*graph.StreamTable)
	for _, in := range u.Graph.Pipeline.Inputs {
		var native []*pipeline.Table
		seen := make(map[string]*pipeline.Table)
		attrs := make(map[string]bool)
		any := false
		for _, o := range u.opened {
			if o.Input != in {
				continue
			}
			any = true
			for k := range o.attrs {
				attrs[k] = true
			}
			if err := declaredTypes(in, o); err != nil {
				return err
			}
			for _, info := range o.tables() {
				t := seen[info.Table.Name]
				if t == nil {
					seen[info.Table.Name] = info.Table
					native = append(native, info.Table)
				} else if !t.Schema.Equal(info.Table.Schema) {
					if all := graph.Union(t, info.Table); in.Output != "" && all != nil {
						// Files of one table in the lake may lack columns that others have.
						native[slices.Index(native, t)] = all
						seen[t.Name] = all
						continue
					}
					return fmt.Errorf("%s: table %s has other columns than in the unit's other recordings: %w", o.URI, t.Name, pipeline.ErrSchema)
				}
			}
		}
		if !any {
			continue
		}
		names := make([]string, 0, len(attrs))
		for k := range attrs {
			// Files of a lake may hold the keys of their partitions as columns.
			if in.Output == "" || !slices.ContainsFunc(native, func(t *pipeline.Table) bool { return t.Column(k) >= 0 }) {
				names = append(names, k)
			}
		}
		sort.Strings(names)
		st, err := graph.StreamTables(in, native, names)
		if err != nil {
			return err
		}
		tables[in.Name] = st
	}
	bound, err := u.Graph.Bind(tables)
	if err != nil {
		return err
	}
	if err := sharedTables(bound); err != nil {
		return err
	}
	for _, s := range bound.Sources {
		u.missingClocks(s.Input, s.Tables)
	}
	formats := make(map[string][]string)
	for _, o := range u.opened {
		f := fmt.Sprintf("%s/%d", o.format.Format.Name(), o.format.Behaviour)
		if in := o.Input.Name; !slices.Contains(formats[in], f) {
			formats[in] = append(formats[in], f)
		}
	}
	bound.Formats = make(map[string]string)
	for in, names := range formats {
		slices.Sort(names)
		bound.Formats[in] = strings.Join(names, "+")
	}
	u.bound = bound
	return nil
}

// declaredTypes checks the types that the pipeline declares for tables
// against those of a recording. Where the recording names none there is
// nothing to check.
func declaredTypes(in *config.Input, o *openRecording) error {
	for i := range in.Tables.Entries {
		e := &in.Tables.Entries[i].Value
		if e.Type == "" {
			continue
		}
		match, err := config.CompileGlob(e.Match.Value)
		if err != nil {
			return e.Match.Issuef(0, "%q: %v", e.Match.Value, err)
		}
		for _, info := range o.desc.Tables {
			if info.SchemaName != "" && match.Match(info.Table.Name) && plainType(info.SchemaName) != plainType(e.Type) {
				return fmt.Errorf("%s: table %s is of type %s, but inputs.%s.tables.%s declares %s: %w",
					o.URI, info.Table.Name, info.SchemaName, in.Name, in.Tables.Entries[i].Key.Value, e.Type, pipeline.ErrSchema)
			}
		}
	}
	return nil
}

// missingClocks says which tables have none of the declared clocks, and so no
// column ts.
func (u *unitRun) missingClocks(in *config.Input, tables []*graph.StreamTable) {
	if len(in.Clock) == 0 || u.Log == nil {
		return
	}
	for _, t := range tables {
		if t.Clock.Column != "" {
			continue
		}
		if _, told := u.told.LoadOrStore(in.Name+"\x00"+t.Native.Name, true); !told {
			u.Log.Warn("the table has none of the declared clocks, and gets no column ts", "unit", u.unit.Name, "input", in.Name, "table", t.Native.Name, "clock", strings.Join(in.Clock, ", "))
		}
	}
}

// sharedTables refuses two outputs that write one table of one lake: rows that
// reach both would be there twice, and no reader could tell.
func sharedTables(b *graph.Bound) error {
	type place struct{ root, table string }
	writer := make(map[place]string)
	for _, n := range b.Nodes {
		if n.Sink == nil {
			continue
		}
		for _, t := range n.Sink.Tables {
			p := place{n.SinkOf.Store().Root(), t.Name}
			if other, ok := writer[p]; ok {
				return &pipeline.Issue{Pos: n.Node.Pos, Path: n.Node.Path, Message: fmt.Sprintf(
					"output %s writes table %s of %s already: list both streams in the from of one output, or rename one with as", other, p.table, p.root)}
			}
			writer[p] = n.Name
		}
	}
	return nil
}

// plainType is the name that ROS 1 and ROS 2 have in common: ROS 2 says
// nav_msgs/msg/Odometry for nav_msgs/Odometry.
func plainType(name string) string { return strings.Replace(name, "/msg/", "/", 1) }

// execute runs the graph to the end, with all files finished but not visible.
func (u *unitRun) execute(ctx context.Context) error {
	u.quar = make(map[*lake]*quarantine)
	u.exec = newExecution(ctx, u.bound, u.alloc, u.Workers, u.rejecter)
	defer u.exec.cancel(nil)
	jobs, outputs := int64(max(u.Jobs, 1)), int64(0)
	for _, n := range u.exec.nodes {
		if n.Sink != nil {
			outputs++
		}
	}
	u.exec.flow = newFlow(u.Budget.Flowing / jobs)
	u.exec.spill = u.Spill
	revisions, err := u.revisions()
	if err != nil {
		return err
	}
	for i, n := range u.exec.nodes {
		if n.Sink == nil {
			continue
		}
		w, err := n.Sink.Open(u.exec.ctx, pipeline.SinkOptions{
			Allocator: u.exec.alloc, Workers: u.Workers, Slot: u.unit.Slot, Revision: revisions[i],
			DriveDate: u.date, Reject: u.rejecter(n.Name), Failpoint: u.failpoint,
			Memory: u.Budget.Waiting / jobs / outputs, Spill: u.Spill,
		})
		if err != nil {
			return fmt.Errorf("output %s: %w", n.Name, err)
		}
		n.sink = newSinkRun(n, w)
		u.sinks = append(u.sinks, n.sink)
	}
	for i, b := range u.bound.Sources {
		s := &sourceRun{exec: u.exec, id: -1 - i, input: b.Input, bound: b, slice: u.unit.Slice, selected: make(map[string]bool), reject: u.rejecter(b.Input.Name),
			entries: make(map[string]*lineage.SourceEntry), advance: func(rows, _ int64) {
				u.Progress.Rows(rows)
				u.Observe.Rows(rows)
			},
			opt: pipeline.DecodeOptions{Workers: u.Workers, BatchRows: u.BatchRows, NullCells: b.Input.OnBadData == config.NullCellOnBadData}}
		for _, o := range u.opened {
			if o.Input == b.Input {
				s.opened = append(s.opened, o)
				for _, r := range o.reads {
					r.waited = u.exec.sourceGauges[i].Waiting
				}
			}
		}
		u.sources = append(u.sources, s)
	}
	for _, n := range u.exec.nodes {
		if n.sink != nil {
			u.exec.start(n.sink.run)
		} else {
			u.exec.start(n.runStage)
		}
	}
	for _, s := range u.sources {
		u.exec.start(s.run)
	}
	err = u.exec.wait()
	u.nodes = u.exec.observed()
	return err
}

// revisions returns, for each node that is a sink, the revision of each of
// its tables: what the bytes of its files depend on.
func (u *unitRun) revisions() (map[int]map[string]string, error) {
	out := make(map[int]map[string]string)
	for i, n := range u.bound.Nodes {
		if n.Sink == nil {
			continue
		}
		out[i] = make(map[string]string)
		for _, t := range n.Sink.Tables {
			out[i][t.Name] = hash(revisionDigits, u.unit.identity(), u.Graph.SinkFingerprint(n.Name, t, u.bound))
		}
	}
	return out, nil
}

// rejecter returns what is done with the bad rows of one producer.
func (u *unitRun) rejecter(producer string) func(pipeline.BadRow) error {
	policy := u.policyOf(producer)
	return func(r pipeline.BadRow) error {
		if r.Object == "" && len(u.objects) == 1 {
			r.Object = u.objects[0]
		}
		switch policy {
		case config.FailOnBadData:
			return fmt.Errorf("%s: row refused (%s): %w", r.Object, r.Reason, &pipeline.DecodeError{
				Object: r.Object, Format: producer, Table: r.Table, Offset: r.Offset, Record: r.Record, Err: r.Err})
		case config.SkipBadData:
			return nil
		}
		l := u.lakes[0]
		u.quarMu.Lock()
		q := u.quar[l]
		if q == nil {
			q = newQuarantine(l.store, u.unit.Slot, u.unit.Revision)
			u.quar[l] = q
		}
		u.quarMu.Unlock()
		return q.add(u.exec.ctx, producer, r)
	}
}

// policyOf returns the bad-data policy for a producer: its own for an input,
// for a stage or output the strictest of the unit's inputs.
func (u *unitRun) policyOf(producer string) string {
	policy := config.SkipBadData
	for _, r := range u.unit.Recordings {
		p := r.Input.OnBadData
		if r.Input.Name == producer {
			return p
		}
		switch p {
		case config.FailOnBadData:
			policy = config.FailOnBadData
		case config.QuarantineOnBadData, config.NullCellOnBadData:
			if policy != config.FailOnBadData {
				policy = config.QuarantineOnBadData
			}
		}
	}
	return policy
}

// ledger puts the counts of all parts together.
func (u *unitRun) ledger() lineage.Ledger {
	l := lineage.Ledger{Edges: []lineage.EdgeEntry{}}
	for _, s := range u.sources {
		for _, name := range s.order {
			l.Sources = append(l.Sources, *s.entries[name])
		}
	}
	for _, n := range u.exec.nodes {
		for _, in := range n.In {
			if e := n.entries[in]; e != nil {
				l.Nodes = append(l.Nodes, *e)
			}
		}
		if e := n.entries[nil]; e != nil && (e.Out > 0 || e.Created > 0 || e.Filtered > 0 || e.Absorbed > 0 || len(e.Rejected) > 0) {
			l.Nodes = append(l.Nodes, *e)
		}
	}
	for p := -len(u.bound.Sources); p < len(u.exec.nodes); p++ {
		for _, e := range u.exec.outs[p] {
			for i, t := range e.tables {
				l.Edges = append(l.Edges, lineage.EdgeEntry{From: e.from, To: e.to, Table: t.Name, Sent: e.sent[i], Received: e.received[i]})
			}
		}
	}
	for _, s := range u.sinks {
		for _, t := range s.node.Sink.Tables {
			l.Sinks = append(l.Sinks, *s.entries[t.Name])
		}
	}
	return l
}

// commit claims the place of this revision, makes the files visible, and
// creates the record, for each lake that the pipeline writes to.
func (u *unitRun) commit(ctx context.Context, ledger lineage.Ledger) ([]*lineage.Commit, error) {
	var out []*lineage.Commit
	for _, l := range u.lakes {
		c := u.record(l, ledger)
		if q := u.quar[l]; q != nil {
			files, err := q.finish(ctx)
			if err != nil {
				return nil, err
			}
			c.Quarantine = files
		}
		after := 0
		if old, ok := l.newest(u.unit.Slot); ok {
			after, c.Replaces = old.Sequence, old.Revision
		}
		if err := u.failpoint("claim:before"); err != nil {
			return nil, err
		}
		k, err := l.claim(ctx, u.unit.Slot, u.unit.Revision, after, c.Keys(), c.Objects())
		if err != nil {
			return nil, err
		}
		if err := u.failpoint("claim:after"); err != nil {
			return nil, err
		}
		c.Sequence = k.Sequence
		for _, s := range u.sinks {
			if s.node.SinkOf.Store().Root() != l.root {
				continue
			}
			if err := s.writer.Publish(ctx); err != nil {
				return nil, fmt.Errorf("output %s: %w", s.node.Name, err)
			}
		}
		if q := u.quar[l]; q != nil {
			if err := q.publish(ctx); err != nil {
				return nil, err
			}
		}
		if err := u.failpoint("record:before"); err != nil {
			return nil, err
		}
		if err := l.commit(ctx, k, c, u.failpoint); err != nil {
			return nil, err
		}
		if err := u.failpoint("record:after"); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// record describes the unit for one lake, all but its sequence.
func (u *unitRun) record(l *lake, ledger lineage.Ledger) *lineage.Commit {
	c := &lineage.Commit{
		Layout: 1, Pipeline: u.Graph.Pipeline.Name, Unit: u.unit.Name, Slot: u.unit.Slot, Revision: u.unit.Revision,
		Plan: u.Graph.PlanFingerprint(), DriveDate: u.date, Ledger: ledger, Binary: u.Binary,
		Inputs: []lineage.Input{}, Tables: []lineage.Table{},
	}
	for i, o := range u.opened {
		for j, r := range o.reads {
			obj := r.Object()
			c.Inputs = append(c.Inputs, lineage.Input{Input: o.Input.Name, URI: obj.URI, Size: obj.Size, ETag: obj.ETag,
				Format: o.format.Format.Name(), Attributes: o.attrs, Beside: j >= len(o.Objects), Read: r.read()})
		}
		if i == 0 {
			c.Attributes = make(map[string]string)
			for k, v := range o.attrs {
				c.Attributes[k] = v
			}
		}
		for k, v := range c.Attributes {
			if o.attrs[k] != v {
				delete(c.Attributes, k)
			}
		}
	}
	for i, n := range u.bound.Nodes {
		if n.Sink == nil || n.SinkOf.Store().Root() != l.root {
			continue
		}
		c.Tables = append(c.Tables, u.tables(i, n)...)
	}
	for _, s := range u.sources {
		c.Problems = append(c.Problems, s.problems...)
	}
	return c
}

// tables describes the lake tables of one sink that have files, with their
// lineage. Tables that were announced and got no rows are not part of a record.
func (u *unitRun) tables(id int, n *graph.BoundNode) []lineage.Table {
	var s *sinkRun
	for _, x := range u.sinks {
		if x.node.id == id {
			s = x
		}
	}
	files := make(map[string][]pipeline.File)
	for _, f := range s.files {
		files[f.Table] = append(files[f.Table], f)
	}
	origin := make(map[string][]graph.ColumnLineage)
	for _, c := range u.bound.Lineage(id) {
		origin[c.Table] = append(origin[c.Table], c)
	}
	var out []lineage.Table
	for _, t := range n.Sink.Tables {
		if len(files[t.Name]) == 0 {
			continue
		}
		fp := u.Graph.SinkFingerprint(n.Name, t, u.bound)
		lt := lineage.Table{Output: n.Name, Name: t.Name, Fingerprint: fp, Revision: hash(revisionDigits, u.unit.identity(), fp), Files: files[t.Name]}
		for _, f := range lt.Files {
			lt.Rows += f.Rows
		}
		lt.Columns, lt.Reads = columnLineage(t, origin[t.Name])
		out = append(out, lt)
	}
	return out
}

// abort removes what was uploaded and not published.
func (u *unitRun) abort(ctx context.Context) {
	for _, s := range u.sinks {
		if err := s.writer.Abort(ctx); err != nil {
			u.Log.Warn("could not clean up", "unit", u.unit.Name, "output", s.node.Name, "error", err)
		}
	}
	for _, q := range u.quar {
		if err := q.abort(ctx); err != nil {
			u.Log.Warn("could not clean up", "unit", u.unit.Name, "file", path.Base(lineage.QuarantineDir), "error", err)
		}
	}
}
