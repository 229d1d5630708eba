package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/budget"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/observe"
	"github.com/drivemill/drivemill/pipeline/retry"
)

// Runner runs one pipeline. Its exported fields are set before Run and not
// changed afterwards.
type Runner struct {
	Registry  *pipeline.Registry
	Graph     *graph.Graph
	OpenStore func(ctx context.Context, uri string) (pipeline.Store, error)
	Log       *slog.Logger
	Progress  Progress        // nil: nobody is told
	Allocator arrow.Allocator // nil: Go's
	Binary    lineage.Binary

	// Jobs is how many units run at once, Workers how many goroutines each
	// decoder, stage and encoder of a unit may use.
	Jobs, Workers int
	// BatchRows ends a batch; 0 means the default. It changes no output.
	BatchRows  int
	LimitUnits int // 0: no limit
	// SplitSize is above which size a recording is cut into slices of about that
	// size, each a unit of its own; 0: never.
	SplitSize int64
	DryRun    bool
	// Budget is the memory that all units together may use; zero: no bound.
	Budget budget.Plan
	// Spill is where rows go that the budget has no room for; nil: nowhere.
	Spill pipeline.Spill
	// Retry is how transient failures of units are tried again; nil: the policy
	// of the context.
	Retry *retry.Policy
	// Observe is told what is done; nil: nobody asks while the run goes on.
	Observe *observe.Run
	// RunInfo goes into the lineage events; RunID must be a UUID.
	RunInfo lineage.RunInfo
	// Now tells the time for events; no output of a unit depends on it.
	Now func() time.Time
	// RetryFailed tries units again that failed for good in a shard of this
	// run, or took their process down.
	RetryFailed bool
	// Stopping, where not nil, returns why no unit may begin any more, or nil.
	// What is at work goes on until the context ends.
	Stopping func() error
	// Failpoint, in tests, is called at named moments of a commit.
	Failpoint func(name string) error

	lakes    []*lake
	attempts *attempts
	// What was forgotten in any lake, and what planning left out.
	forgotten tombstones
	left      []LeftOut
	// regrouped are slots, by lake, whose recordings are in other units now.
	regrouped map[string][]string
	// Wholes are large recordings that plan could not cut.
	Wholes   []Whole
	pieces   map[string]map[int]int // slices in the lake: by recording and their number, how many
	eventDir string                 // where events lie; empty: the run's folder
	// In a step of reduce: the outputs that were written before, and by which
	// pipeline.
	written []graph.NamedSink
	owner   map[string]string
	quarMu  *sync.Mutex
	told    *sync.Map // warnings that are given once in a run
	alloc   arrow.Allocator
}

// poolBytes bounds the free buffers that units keep for each other.
const poolBytes = 32 << 20

// Progress is told how a run gets on. It is safe for concurrent use and does
// not block.
type Progress interface {
	// Start announces the units to run and their bytes.
	Start(units int, bytes int64)
	Read(bytes int64)
	Rows(rows int64)
	Unit(r *UnitResult)
}

// Outcome is how a unit ended.
type Outcome string

// Outcomes of a unit.
const (
	Done        Outcome = "done"
	Skipped     Outcome = "skipped"
	Failed      Outcome = "failed"
	Interrupted Outcome = "interrupted"
	Planned     Outcome = "planned" // dry run
)

// UnitResult is how one unit ended.
type UnitResult struct {
	Unit     *Unit
	Outcome  Outcome
	Err      error
	Attempts int
	Elapsed  time.Duration
	Commits  []*lineage.Commit // of the revision in force, one for each lake
	Nodes    []observe.Node    // of the last attempt
	Recorded time.Duration     // from start to end of its recordings
}

// Summary is how a run ended.
type Summary struct {
	RunID   string
	Step    string // of reduce; empty: the pipeline itself
	Units   []*UnitResult
	Left    []LeftOut      // matched by an input, and no part of a unit
	Totals  lineage.Totals // of the units done in this run
	Bytes   int64          // of the inputs of the units done
	Written int64          // bytes of the files written
	Files   int
	Sweeps  map[string]*Sweep // by lake
	Steps   []*Summary        // of the steps of reduce
	Elapsed time.Duration
	Nodes   []observe.Node // where the time of the units done went
	// Recorded is how long the recordings of the units done last by themselves.
	Recorded time.Duration
	Retries  map[retry.Class]int64 // so far in the process
}

// Count returns the number of units with an outcome.
func (s *Summary) Count(o Outcome) int {
	n := 0
	for _, u := range s.Units {
		if u.Outcome == o {
			n++
		}
	}
	return n
}

// Failure sums up the failed units as one error: transient when all of their
// errors are.
func (s *Summary) Failure() error {
	var errs []error
	transient := true
	for _, u := range s.Units {
		if u.Outcome == Failed {
			errs = append(errs, fmt.Errorf("unit %s: %w", u.Unit.Name, u.Err))
			transient = transient && unitIsTransient(u)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	err := errors.Join(errs...)
	if transient {
		return pipeline.Transient(err)
	}
	return err
}

// unitIsTransient reports whether a later attempt may succeed. A recording that
// changed is listed anew by the next run.
func unitIsTransient(u *UnitResult) bool {
	return pipeline.IsTransient(u.Err) || errors.Is(u.Err, pipeline.ErrChanged)
}

func (r *Runner) failpoint(name string) error {
	if r.Failpoint == nil {
		return nil
	}
	return r.Failpoint(name)
}

// Run plans, runs and settles. The error is of the run as a whole; failures
// of single units are in the summary, and the other units are done.
func (r *Runner) Run(ctx context.Context) (*Summary, error) {
	begin := r.Now()
	sum := &Summary{RunID: r.RunInfo.RunID, Step: r.Graph.Pipeline.Step, Sweeps: make(map[string]*Sweep)}
	if err := r.openLakes(ctx); err != nil {
		return sum, err
	}
	if err := r.loadForgotten(ctx, !r.DryRun); err != nil {
		return sum, err
	}
	units, err := r.plan(ctx)
	sum.Left = r.left
	if err != nil {
		return sum, err
	}
	todo, err := r.split(ctx, units, sum)
	if err != nil || r.DryRun {
		return sum, err
	}
	if err := r.sendEvent(ctx, lineage.NewEvent("START", begin, r.RunInfo)); err != nil {
		return sum, err
	}
	err = r.runUnits(ctx, todo, sum)
	ctx, cancel := r.afterUnits(ctx, sum)
	defer cancel()
	if err == nil {
		err = r.settle(ctx, sum)
	}
	if err == nil && ctx.Err() == nil {
		err = r.settleSlices(ctx, units)
	}
	if err == nil && ctx.Err() == nil && sum.Count(Done) > 0 {
		var commits []*lineage.Commit
		for _, u := range sum.Units {
			if u.Outcome == Done {
				commits = append(commits, u.Commits...)
			}
		}
		err = r.dropForgotten(ctx, commits)
	}
	if err == nil && ctx.Err() == nil && sum.Failure() == nil && len(todo)+sum.Count(Skipped) == len(units) {
		err = r.removeMoved(ctx, r.regrouped)
	}
	if err == nil && r.Graph.Pipeline.Step != "" && ctx.Err() == nil {
		err = r.retire(ctx, units)
	}
	if err == nil && ctx.Err() == nil && sum.Failure() == nil {
		err = r.reduce(ctx, sum)
	}
	sum.Elapsed, sum.Retries = r.Now().Sub(begin), r.Retry.Counts()
	if e := r.sendEnd(ctx, sum, err); err == nil {
		err = e
	}
	return sum, err
}

// afterUnits returns the context for what follows the units: one that has ended
// when some of them were not begun because the run is to stop.
func (r *Runner) afterUnits(ctx context.Context, sum *Summary) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if cause := r.stopping(); cause != nil && sum.Count(Interrupted) > 0 {
		cancel(cause)
	}
	return ctx, func() { cancel(nil) }
}

func (r *Runner) stopping() error {
	if r.Stopping == nil {
		return nil
	}
	return r.Stopping()
}

// openLakes finds the places the outputs write to and what is done there.
func (r *Runner) openLakes(ctx context.Context) error {
	r.quarMu, r.told = new(sync.Mutex), new(sync.Map)
	if r.Progress == nil {
		r.Progress = quiet{}
	}
	if r.Retry == nil {
		r.Retry = retry.From(ctx)
	}
	if r.Observe == nil {
		r.Observe = &observe.Run{}
	}
	r.Observe.Start(r.Now())
	r.alloc = r.Allocator
	if r.alloc == nil {
		r.alloc = column.NewPool(arrow.NewGoAllocator(), poolBytes)
	}
	for _, s := range r.Graph.Sinks() {
		st := s.Sink.Store()
		var l *lake
		for _, have := range r.lakes {
			if have.root == st.Root() {
				l = have
			}
		}
		if l == nil {
			l = &lake{root: st.Root(), store: st}
			r.lakes = append(r.lakes, l)
			if err := l.load(ctx); err != nil {
				return err
			}
		}
		l.sinks = append(l.sinks, s.Name)
	}
	if len(r.lakes) == 0 {
		return fmt.Errorf("the pipeline has no output")
	}
	return nil
}

// split sorts out the units that are done already. A unit whose slot is
// contested runs again: its record has to follow the claim of the process that
// died, for that one's files to be removed.
func (r *Runner) split(ctx context.Context, units []*Unit, sum *Summary) ([]*UnitResult, error) {
	var todo []*UnitResult
	contested := make([]map[string]bool, len(r.lakes))
	for i, l := range r.lakes {
		contested[i] = l.contested()
	}
	for _, u := range units {
		res := &UnitResult{Unit: u, Outcome: Skipped}
		for i, l := range r.lakes {
			if k, ok := l.newest(u.Slot); !ok || k.Revision != u.Revision || contested[i][u.Slot] {
				res.Outcome = Planned
			}
		}
		if res.Outcome == Planned {
			if r.LimitUnits > 0 && len(todo) >= r.LimitUnits {
				continue
			}
			todo = append(todo, res)
		}
		sum.Units = append(sum.Units, res)
	}
	return todo, nil
}

// runUnits runs the units, Jobs at a time, in the order of their names. Those
// that processes did not come back from run after the others, one by one.
func (r *Runner) runUnits(ctx context.Context, todo []*UnitResult, sum *Summary) error {
	var err error
	if r.attempts, err = loadAttempts(ctx, r.lakes[0]); err != nil {
		return err
	}
	if err := r.attempts.clear(ctx, sum.Units); err != nil {
		return err
	}
	var bytes int64
	var sound, suspect []*UnitResult
	for _, u := range todo {
		bytes += u.Unit.Bytes()
		if r.RetryFailed {
			if err := r.attempts.forget(ctx, u.Unit); err != nil {
				return err
			}
		}
		if r.attempts.vanished(u.Unit) >= suspectAfter {
			suspect = append(suspect, u)
		} else {
			sound = append(sound, u)
		}
	}
	if len(todo) > 0 {
		if err := r.keepPlan(ctx); err != nil {
			return err
		}
	}
	r.Progress.Start(len(todo), bytes)
	for _, u := range sum.Units {
		if u.Outcome == Skipped {
			r.Progress.Unit(u)
		}
	}
	r.runAtOnce(ctx, sound, r.Jobs)
	r.runAtOnce(ctx, suspect, 1)
	for _, u := range todo {
		if u.Outcome != Done {
			continue
		}
		sum.Bytes += u.Unit.Bytes()
		sum.Nodes = observe.AddNodes(sum.Nodes, u.Nodes)
		sum.Recorded += u.Recorded
		for i, c := range u.Commits {
			if i == 0 {
				addTotals(&sum.Totals, c.Ledger.Totals())
			}
			for _, t := range c.Tables {
				for _, f := range t.Files {
					sum.Files++
					sum.Written += f.Bytes
				}
			}
		}
	}
	return nil
}

// runAtOnce runs units, jobs at a time.
func (r *Runner) runAtOnce(ctx context.Context, units []*UnitResult, jobs int) {
	next := make(chan *UnitResult)
	var wg sync.WaitGroup
	for range max(1, min(jobs, len(units))) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for u := range next {
				if cause := r.stopping(); cause != nil {
					u.Outcome, u.Err = Interrupted, cause
					continue
				}
				r.runUnit(ctx, u)
				r.Progress.Unit(u)
			}
		}()
	}
	for _, u := range units {
		if ctx.Err() != nil {
			u.Outcome, u.Err = Interrupted, context.Cause(ctx)
			continue
		}
		next <- u
	}
	close(next)
	wg.Wait()
}

func addTotals(a *lineage.Totals, b lineage.Totals) {
	a.Found += b.Found
	a.Decoded += b.Decoded
	a.Unselected += b.Unselected
	a.Filtered += b.Filtered
	a.Rejected += b.Rejected
	a.Written += b.Written
	a.Lost += b.Lost
	a.LostBytes += b.LostBytes
	a.NullCells += b.NullCells
	a.PayloadCounts.Add(b.PayloadCounts)
	a.Raw += b.Raw
}

func (r *Runner) runUnit(ctx context.Context, u *UnitResult) {
	begin := r.Now()
	log := r.Log.With("unit", u.Unit.Name, "slot", u.Unit.Slot, "revision", u.Unit.Revision)
	log.Info("unit started", "bytes", u.Unit.Bytes())
	again := func(attempt int, pause time.Duration, err error) {
		log.Warn("unit will be tried again", "attempt", attempt, "pause", pause.Round(time.Millisecond), "error", err)
	}
	err := r.attempt(ctx, u, again)
	end := r.Now()
	u.Elapsed = end.Sub(begin)
	defer func() {
		span := observe.UnitSpan{Name: u.Unit.Name, Outcome: string(u.Outcome), Begin: begin, End: end, Attempts: u.Attempts, Nodes: u.Nodes}
		if u.Err != nil {
			span.Error = u.Err.Error()
		}
		r.Observe.Unit(span)
	}()
	switch {
	case err == nil:
		u.Outcome = Done
		t := u.Commits[0].Ledger.Totals()
		log.Info("unit done", "found", t.Found, "written", t.Written, "filtered", t.Filtered, "rejected", t.Rejected, "lost", t.Lost, "seconds", u.Elapsed.Seconds())
	case ctx.Err() != nil:
		u.Outcome, u.Err = Interrupted, context.Cause(ctx)
		log.Warn("unit interrupted")
	default:
		u.Outcome, u.Err = Failed, err
		log.Error("unit failed", "error", err, "attempts", u.Attempts)
	}
}

// attempt runs a unit under the mark that shows when its process vanishes.
func (r *Runner) attempt(ctx context.Context, u *UnitResult, again func(int, time.Duration, error)) error {
	for _, rec := range u.Unit.Recordings {
		for _, o := range rec.Objects {
			if r.forgotten.has(o.URI) {
				return fmt.Errorf("%s: %w since the run was planned: plan again", o.URI, ErrForgotten)
			}
		}
	}
	if n := r.attempts.vanished(u.Unit); n >= poisonAfter {
		return fmt.Errorf("%d attempts: %w; when what took them down is mended, run it with --retry-failed", n, ErrPoison)
	}
	end, err := r.attempts.begin(ctx, u.Unit)
	if err != nil {
		return err
	}
	if err := r.failpoint("unit:" + u.Unit.Name); err != nil {
		return err
	}
	err = tryAgain(ctx, r.Retry, again, func() error {
		u.Attempts++
		run := &unitRun{Runner: r, unit: u.Unit}
		commits, err := run.run(ctx)
		u.Commits, u.Nodes, u.Recorded = commits, run.nodes, run.recorded()
		return err
	})
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	quietly := func(int, time.Duration, error) {}
	if eerr := tryAgain(cleanup, r.Retry, quietly, func() error { return end(cleanup) }); eerr != nil && err == nil {
		// It only makes the unit look worse than it is.
		r.Log.Warn("could not remove the mark of an attempt", "unit", u.Unit.Name, "error", eerr)
	}
	if err == nil {
		if ferr := r.attempts.forget(ctx, u.Unit); ferr != nil {
			r.Log.Warn("could not remove the marks of earlier attempts", "unit", u.Unit.Name, "error", ferr)
		}
	}
	return err
}

// settle removes what the commits of this run replaced, and what earlier runs
// that were interrupted left to be replaced.
func (r *Runner) settle(ctx context.Context, sum *Summary) error {
	if ctx.Err() != nil {
		return nil
	}
	slots := make(map[string]bool)
	for _, u := range sum.Units {
		slots[u.Unit.Slot] = true
	}
	for _, l := range r.lakes {
		if sum.Count(Done) == 0 && !l.unsettled(slots) {
			sum.Sweeps[l.root] = &Sweep{}
			continue
		}
		s, err := l.sweep(ctx, slots, r.failpoint)
		if err != nil {
			return fmt.Errorf("settling %s: %w", l.root, err)
		}
		sum.Sweeps[l.root] = s
		if len(s.Files) > 0 {
			r.Log.Info("superseded files removed", "lake", l.root, "files", len(s.Files))
		}
	}
	return nil
}

// SniffObject finds the format of an object by a look at its name and its
// first bytes.
func SniffObject(ctx context.Context, reg *pipeline.Registry, src pipeline.Source) (pipeline.FormatSpec, error) {
	if parts := pipeline.Parts(src); len(parts) > 1 {
		if f, ok, err := assembler(ctx, reg, parts); ok || err != nil {
			return f, err
		}
	}
	head := make([]byte, min(4096, src.Object().Size))
	if n, err := src.ReadAt(ctx, head, 0); err != nil && (!errors.Is(err, io.EOF) || n < len(head)) {
		return pipeline.FormatSpec{}, fmt.Errorf("reading the start of %s: %w", src.Object().URI, err)
	}
	f, ok := reg.Sniff(src.Object().URI, head)
	if !ok {
		if len(head) == 0 {
			return f, fmt.Errorf("%s: the file is empty: %w", src.Object().URI, pipeline.ErrTruncated)
		}
		return f, fmt.Errorf("%s: offset 0: no known format begins with % x: %w", src.Object().URI, head[:min(len(head), 8)], pipeline.ErrUnsupported)
	}
	return f, nil
}

// assembler finds the format that says that objects belong together: what the
// first of them begins with need not tell.
func assembler(ctx context.Context, reg *pipeline.Registry, parts []pipeline.Source) (pipeline.FormatSpec, bool, error) {
	objects := make([]pipeline.Object, len(parts))
	for i, p := range parts {
		objects[i] = p.Object()
	}
	slices.SortFunc(objects, func(a, b pipeline.Object) int { return strings.Compare(a.Key, b.Key) })
	folder := func(context.Context, string) ([]pipeline.Object, error) { return objects, nil }
	for _, f := range reg.Formats() {
		a, ok := f.Format.(pipeline.Assembler)
		if !ok {
			continue
		}
		found, err := a.Assemble(ctx, objects, folder)
		if err != nil {
			return f, false, err
		}
		if len(found) == 1 && len(found[0].Objects) == len(objects) {
			return f, true, nil
		}
	}
	return pipeline.FormatSpec{}, false, nil
}
