package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/observe"
	"github.com/drivemill/drivemill/pipeline/retry"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

func runCommand() command {
	return command{
		name: "run", args: "PIPELINE", summary: "run a pipeline",
		help: `Run a pipeline over all its recordings. Recordings whose result is in the lake
already are skipped; a run that was stopped goes on where it was. What a changed
pipeline or a changed recording replaces is removed at the end.

With --manifest, run one shard of what plan has written down. It ends with 0 once every
unit of the shard has a recorded end, good or bad: finish is the judge.`,
		examples: `  drivemill run testdata/pipelines/drives.yaml --set outputs.lake.uri=/tmp/lake
  drivemill run urban.yaml --set inputs.drives.uri=/data/drives --jobs 4
  drivemill run urban.yaml --dry-run
  drivemill run urban.yaml --limit-units 1 --summary json
  drivemill run --manifest s3://lake/_drivemill/runs/ID/manifest.json --shard 3/7
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			var f runFlags
			f.load.add(fs)
			fs.IntVar(&f.jobs, "jobs", 1, "units that run at once")
			f.memory.add(fs)
			fs.IntVar(&f.batchRows, "batch-rows", 0, "end batches at this many rows; changes no output (default 65536)")
			fs.BoolVar(&f.dryRun, "dry-run", false, "list the units and whether they would run, and stop")
			fs.StringVar(&f.split, "split-size", defaultSplit, "cut indexed recordings above this size into slices, each a unit of its own; 0: never")
			fs.IntVar(&f.limit, "limit-units", 0, "run at most this many units")
			fs.BoolVar(&f.allowLoss, "allow-loss", false, "exit with 0 although rows were rejected or lost")
			fs.StringVar(&f.progress, "progress", "auto", "auto, plain, json or none")
			fs.StringVar(&f.logFormat, "log-format", "", "text or json (default: json without a terminal in a container, otherwise text)")
			fs.StringVar(&f.summary, "summary", "text", "how to print the result: text or json")
			f.schedule.add(fs)
			fs.StringVar(&f.manifest, "manifest", "", "run a shard of the run planned in this manifest, in place of a pipeline")
			fs.StringVar(&f.shard, "shard", "", "which shard, as i/n counted from 0 (default: AWS_BATCH_JOB_ARRAY_INDEX)")
			fs.BoolVar(&f.retryFailed, "retry-failed", false, "try units again that failed for good, or took their process down")
			fs.DurationVar(&f.grace, "grace", 20*time.Second, "how long there is from the first SIGTERM or SIGINT to the end: units that are at work may end, no new ones begin; a second signal ends at once")
			fs.BoolVar(&f.spot, "spot-notice", false, "ask the metadata service whether the Spot instance is taken away, and stop in time")
			f.watch.add(fs)
			return func(ctx context.Context, env *environment, args []string) error {
				if err := f.watch.check(); err != nil {
					return err
				}
				if f.grace < 0 {
					return usagef("run: --grace must not be negative")
				}
				env.interrupt.allow(f.grace)
				switch {
				case f.manifest == "" && len(args) != 1:
					return usagef("run: want one pipeline file, have %d", len(args))
				case f.manifest != "" && (len(args) > 0 || len(f.load.set) > 0 || f.schedule != scheduleFlags{namespace: f.schedule.namespace}):
					return usagef("run: the manifest holds the pipeline: leave out the file, --set, --run-id and the interval")
				case f.manifest == "" && f.shard != "":
					return usagef("run: --shard goes with --manifest")
				case f.manifest != "":
					return f.runShard(ctx, env)
				}
				return f.run(ctx, env, args[0])
			}
		},
	}
}

const defaultSplit = "4GiB"

// splitSize reads --split-size.
func splitSize(s string) (int64, error) {
	n, err := config.ParseSize(s)
	if err != nil || n < 0 {
		return 0, usagef("--split-size %q: want a size such as 4GiB, or 0", s)
	}
	return int64(n), nil
}

type runFlags struct {
	load                           loadFlags
	schedule                       scheduleFlags
	memory                         memoryFlags
	jobs, batchRows, limit         int
	dryRun, allowLoss, retryFailed bool
	progress, logFormat, summary   string
	manifest, shard, split         string
	grace                          time.Duration
	spot                           bool
	watch                          watchFlags
}

// runner makes a runner that all flags but the pipeline's are set on.
func (f *runFlags) runner(ctx context.Context, env *environment, reg *pipeline.Registry) (*runner.Runner, progress, error) {
	if f.jobs < 1 || f.batchRows < 0 || f.limit < 0 {
		return nil, nil, usagef("run: --jobs must be 1 or more, --batch-rows and --limit-units not negative")
	}
	split, err := splitSize(f.split)
	if err != nil {
		return nil, nil, err
	}
	plan, space, err := f.memory.plan(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	if f.summary != "text" && f.summary != "json" {
		return nil, nil, usagef("run: --summary %q: want text or json", f.summary)
	}
	log, err := newLoggerTo(env, f.watch.log, f.logFormat)
	if err != nil {
		return nil, nil, err
	}
	if f.spot {
		go env.interrupt.watchSpot(ctx, env, func(err error) { log.Warn("no notices of interruption", "error", err) })
	}
	p, err := newProgress(env, f.progress)
	if err != nil {
		return nil, nil, err
	}
	return &runner.Runner{
		Registry: reg, OpenStore: store.Open, Log: log, Progress: p, Binary: binaryInfo(),
		Jobs: f.jobs, Workers: plan.Workers, Budget: plan, Spill: space, BatchRows: f.batchRows, LimitUnits: f.limit, SplitSize: split, DryRun: f.dryRun, RetryFailed: f.retryFailed,
		Now: time.Now, Failpoint: failpoint, Stopping: env.interrupt.stopping, Observe: f.watch.run,
	}, p, nil
}

func (f *runFlags) run(ctx context.Context, env *environment, file string) error {
	reg := builtin.Registry()
	ctx, end, err := f.watch.begin(ctx, env)
	if err != nil {
		return err
	}
	defer end()
	r, progress, err := f.runner(ctx, env, reg)
	if err != nil {
		return err
	}
	if r.Graph, err = f.load.graph(ctx, env, reg, file, true); err != nil {
		return err
	}
	if r.RunInfo, err = f.schedule.runInfo(env, r.Graph.Pipeline.Name, r.Graph.Pipeline.Description); err != nil {
		return err
	}
	r.Log = r.Log.With("run", r.RunInfo.RunID)
	sum, err := r.Run(logScans(ctx, r.Log))
	progress.stop()
	if err := f.printSummary(ctx, env, sum, errors.Join(err, f.watch.report(ctx, env, sum, err))); err != nil {
		return err
	}
	if err := sum.Failure(); err != nil {
		return failedUnits(err, sum)
	}
	if sum.Totals.Loss() && !f.allowLoss {
		t := sum.Totals
		return fmt.Errorf("%w: %d rejected, %d lost, %d bytes unreadable, %d cells made null (--allow-loss accepts this)", errLoss, t.Rejected, t.Lost, t.LostBytes, t.NullCells)
	}
	return nil
}

// runShard runs one shard of a planned run.
func (f *runFlags) runShard(ctx context.Context, env *environment) error {
	reg := builtin.Registry()
	ctx, end, err := f.watch.begin(ctx, env)
	if err != nil {
		return err
	}
	defer end()
	r, progress, err := f.runner(ctx, env, reg)
	if err != nil {
		return err
	}
	m, g, err := loadManifest(ctx, reg, f.manifest)
	if err != nil {
		return err
	}
	if len(m.Shards) == 0 {
		fmt.Fprintln(env.stderr, "drivemill: the run has nothing to do")
		return nil
	}
	shard, err := shardNumber(env, f.shard, len(m.Shards))
	if err != nil {
		return err
	}
	r.Graph, r.RunInfo = g, m.Run
	r.Log = r.Log.With("run", m.RunID, "shard", shard)
	sum, err := r.RunShard(logScans(ctx, r.Log), m, shard)
	progress.stop()
	if err := f.printSummary(ctx, env, sum, errors.Join(err, f.watch.report(ctx, env, sum, err))); err != nil {
		return err
	}
	return sum.Unrecorded()
}

// printSummary prints how a run went. It returns err, or why the run was
// stopped.
func (f *runFlags) printSummary(ctx context.Context, env *environment, sum *runner.Summary, err error) error {
	if err != nil && len(sum.Units) == 0 {
		return err
	}
	if f.summary == "json" {
		if perr := printSummaryJSON(env.stdout, sum, &f.watch); perr != nil {
			return perr
		}
	} else if perr := printSummary(env.stdout, sum, f.dryRun); perr != nil {
		return perr
	} else if !f.dryRun {
		f.watch.print(env.stdout, sum)
	}
	if err != nil {
		return err
	}
	if sum.Count(runner.Interrupted) > 0 && env.interrupt.stopping() != nil {
		return env.interrupt.stopping()
	}
	return context.Cause(ctx)
}

// failedUnits keeps a recording that does not fit the pipeline from looking
// like a mistake in the pipeline, where other recordings did fit.
func failedUnits(err error, sum *runner.Summary) error {
	var issues *pipeline.Issues
	var issue *pipeline.Issue
	if !errors.As(err, &issues) && !errors.As(err, &issue) || sum.Count(runner.Done)+sum.Count(runner.Skipped) == 0 {
		return err
	}
	return errors.New(err.Error())
}

// runInfo describes the run for lineage events; a scheduler hands its own run
// over in the environment.
func runInfo(env *environment, namespace, job, description string) (lineage.RunInfo, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return lineage.RunInfo{}, fmt.Errorf("making a run id: %w", err)
	}
	b := binaryInfo()
	info := lineage.RunInfo{RunID: id.String(), Namespace: namespace, Job: job, Description: description, Version: b.Version, VCS: b.VCS}
	if info.Parent, err = lineage.ParentOf(env.getenv); err != nil {
		return info, usageError{err}
	}
	return info, nil
}

// newLogger logs to standard error: text for people, JSON in a container.
func newLogger(env *environment, format string) (*slog.Logger, error) {
	return newLoggerTo(env, env.stderr, format)
}

// newLoggerTo logs to w what belongs on standard error.
func newLoggerTo(env *environment, w io.Writer, format string) (*slog.Logger, error) {
	if format == "" {
		format = "text"
		if _, container := env.getenv("ECS_CONTAINER_METADATA_URI_V4"); container && !isTerminal(env.stderr) {
			format = "json"
		}
	}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	case "text":
		// A person reads the progress lines; the log adds what went wrong.
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn})), nil
	}
	return nil, usagef("--log-format %q: want text or json", format)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func printSummary(w io.Writer, s *runner.Summary, dry bool) error {
	if dry {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "UNIT\tRECORDINGS\tBYTES\tSLOT\tREVISION\tSTATE")
		for _, u := range s.Units {
			state := "to run"
			if u.Outcome == runner.Skipped {
				state = "done"
			}
			fmt.Fprintf(tw, "%s\t%d\t%d\t%s\t%s\t%s\n", u.Unit.Name, len(u.Unit.Recordings), u.Unit.Bytes(), u.Unit.Slot, u.Unit.Revision, state)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		printLeft(w, s.Left)
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	type row struct {
		received, written, bytes int64
		files                    int
	}
	tables := make(map[string]*row)
	var names []string
	for _, u := range s.Units {
		if u.Outcome != runner.Done {
			continue
		}
		for _, c := range u.Commits {
			for _, e := range c.Ledger.Sinks {
				t := tables[e.Table]
				if t == nil {
					t = &row{}
					tables[e.Table] = t
					names = append(names, e.Table)
				}
				t.received += e.Received
				t.written += e.Written
				t.bytes += e.Bytes
				t.files += e.Files
			}
			break
		}
	}
	if len(names) > 0 {
		sortStrings(names)
		fmt.Fprintln(tw, "table\trows\tfiles\tsize\t")
		for _, n := range names {
			fmt.Fprintf(tw, "%s\t%d\t%d\t%s\t\n", n, tables[n].written, tables[n].files, explore.Bytes(tables[n].bytes))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "units: %d done, %d skipped, %d failed, %d interrupted\n", s.Count(runner.Done), s.Count(runner.Skipped), s.Count(runner.Failed), s.Count(runner.Interrupted))
	printLeft(w, s.Left)
	if n := s.Count(runner.Done); n > 0 {
		t := s.Totals
		fmt.Fprintf(w, "rows: %d found, %d not selected, %d filtered, %d rejected, %d lost, %d written\n", t.Found, t.Unselected, t.Filtered, t.Rejected, t.Lost, t.Written)
		if t.Referenced > 0 {
			fmt.Fprintf(w, "%d binary values (%s) are referred to, not copied\n", t.Referenced, explore.Bytes(t.ReferencedBytes))
		}
		if t.Dropped > 0 {
			fmt.Fprintf(w, "%d binary values (%s) were dropped, as the pipeline says\n", t.Dropped, explore.Bytes(t.DroppedBytes))
		}
		if t.Raw > 0 {
			fmt.Fprintf(w, "%d rows are messages of an encoding or schema that is not read, kept as bytes\n", t.Raw)
		}
		sec := s.Elapsed.Seconds()
		fmt.Fprintf(w, "read %s, wrote %s in %d files, %.1f s, %.1f MB/s", explore.Bytes(s.Bytes), explore.Bytes(s.Written), s.Files, sec, float64(s.Bytes)/1e6/max(sec, 1e-3))
		fmt.Fprintf(w, ", %.0f rows/s", float64(t.Decoded)/max(sec, 1e-3))
		if f := factor(s); f > 0 {
			fmt.Fprintf(w, ", %.0f times as fast as recorded", f)
		}
		fmt.Fprintln(w)
	}
	for _, step := range s.Steps {
		fmt.Fprintf(w, "\nstep %s\n", step.Step)
		if err := printSummary(w, step, dry); err != nil {
			return err
		}
	}
	for root, sw := range s.Sweeps {
		if len(sw.Files) > 0 {
			fmt.Fprintf(w, "%d superseded files removed from %s\n", len(sw.Files), root)
		}
	}
	return nil
}

// printSummaryJSON prints one JSON object that scripts can rely on.
func printSummaryJSON(w io.Writer, s *runner.Summary, watch *watchFlags) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	out := summaryJSON(s)
	if watch != nil {
		out.Requests, out.Retries, out.DroppedLog = watch.counts(), s.Retries, watch.log.Dropped()
	}
	return enc.Encode(out)
}

// jsonUnit is a unit in a summary as scripts read it.
type jsonUnit struct {
	Unit     string   `json:"unit"`
	Slot     string   `json:"slot"`
	Revision string   `json:"revision"`
	Outcome  string   `json:"outcome"`
	Error    string   `json:"error,omitempty"`
	Attempts int      `json:"attempts"`
	Seconds  float64  `json:"seconds"`
	Files    []string `json:"files,omitempty"`
}

// jsonSummary is a summary as scripts read it.
type jsonSummary struct {
	Run      string           `json:"run"`
	Units    []jsonUnit       `json:"units"`
	Left     []runner.LeftOut `json:"left_out,omitempty"`
	Totals   lineage.Totals   `json:"totals"`
	Bytes    int64            `json:"bytes_read"`
	Written  int64            `json:"bytes_written"`
	Seconds  float64          `json:"seconds"`
	Nodes    []observe.Node   `json:"nodes,omitempty"`    // where the time went
	Recorded float64          `json:"recorded_seconds"`   // how long the recordings last by themselves
	Factor   float64          `json:"real_time_factor"`   // recorded over elapsed
	Steps    map[string]any   `json:"steps,omitempty"`    // of reduce
	Requests *requestsJSON    `json:"requests,omitempty"` // of the whole process, like the retries
	// Retries are by class.
	Retries    map[retry.Class]int64 `json:"retries,omitempty"`
	DroppedLog int64                 `json:"log_lines_dropped,omitempty"`
}

func summaryJSON(s *runner.Summary) *jsonSummary {
	out := &jsonSummary{Run: s.RunID, Units: []jsonUnit{}, Left: s.Left, Totals: s.Totals, Bytes: s.Bytes, Written: s.Written, Seconds: s.Elapsed.Seconds(),
		Nodes: s.Nodes, Recorded: s.Recorded.Seconds(), Factor: factor(s)}
	for _, u := range s.Units {
		x := jsonUnit{Unit: u.Unit.Name, Slot: u.Unit.Slot, Revision: u.Unit.Revision, Outcome: string(u.Outcome), Attempts: u.Attempts, Seconds: u.Elapsed.Seconds()}
		if u.Err != nil {
			x.Error = u.Err.Error()
		}
		for _, c := range u.Commits {
			x.Files = append(x.Files, c.Keys()...)
		}
		out.Units = append(out.Units, x)
	}
	for _, step := range s.Steps {
		if out.Steps == nil {
			out.Steps = make(map[string]any)
		}
		out.Steps[step.Step] = summaryJSON(step)
	}
	return out
}
