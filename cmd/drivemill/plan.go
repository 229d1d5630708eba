package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

func planCommand() command {
	return command{
		name: "plan", args: "PIPELINE", summary: "write down what a run will do, in shards",
		help: `List the units of a pipeline that have to run, divide them by bytes into shards, and
write a manifest into the lake. Each shard is then run by a process of its own, and
finish judges the whole. Planning again under the same run id gives the same manifest.

The result, one JSON object, says where the manifest is and how many shards it has:
with 0 there is nothing to do, with 1 a plain job will do, from 2 on an array job.`,
		examples: `  drivemill plan urban.yaml --run-id nightly-2026-03-02 --shard-bytes 200GB
  drivemill run --manifest s3://lake/_drivemill/runs/ID/manifest.json --shard 3/7
  drivemill finish --manifest s3://lake/_drivemill/runs/ID/manifest.json
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			var load loadFlags
			var sched scheduleFlags
			load.add(fs)
			sched.add(fs)
			shards := fs.Int("shards", 0, "largest number of shards (default: as --shard-bytes makes, else 1)")
			shardBytes := fs.String("shard-bytes", "", "how much a shard should read, such as 200GB")
			split := fs.String("split-size", defaultSplit, "cut indexed recordings above this size into slices, each a unit of its own; 0: never")
			logFormat := fs.String("log-format", "", "text or json")
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) != 1 {
					return usagef("plan: want one pipeline file, have %d", len(args))
				}
				opt := runner.PlanOptions{Name: sched.runID, Shards: *shards}
				if *shards < 0 || *shards > runner.MaxShards {
					return usagef("plan: --shards must be between 1 and %d", runner.MaxShards)
				}
				if *shardBytes != "" {
					n, err := config.ParseSize(*shardBytes)
					if err != nil || n <= 0 {
						return usagef("plan: --shard-bytes %q: want a size such as 200GB", *shardBytes)
					}
					opt.ShardBytes = int64(n)
				}
				size, err := splitSize(*split)
				if err != nil {
					return err
				}
				log, err := newLogger(env, *logFormat)
				if err != nil {
					return err
				}
				reg := builtin.Registry()
				g, err := load.graph(ctx, env, reg, args[0], true)
				if err != nil {
					return err
				}
				info, err := sched.runInfo(env, g.Pipeline.Name, g.Pipeline.Description)
				if err != nil {
					return err
				}
				r := &runner.Runner{Registry: reg, Graph: g, OpenStore: store.Open, Log: log, Binary: binaryInfo(), RunInfo: info, SplitSize: size, Now: time.Now}
				m, err := r.Plan(ctx, opt)
				if err != nil {
					return err
				}
				return printPlan(env.stdout, g, m)
			}
		},
	}
}

// printPlan prints what a scheduler needs to start the shards.
func printPlan(w io.Writer, g *graph.Graph, m *runner.Manifest) error {
	return json.NewEncoder(w).Encode(struct {
		RunID    string `json:"run_id"`
		Manifest string `json:"manifest"`
		Shards   int    `json:"shards"`
		Units    int    `json:"units"`
		Done     int    `json:"done_before"`
		Bytes    int64  `json:"bytes"`
		// Wholes are large recordings that could not be cut, and why.
		Wholes []runner.Whole `json:"not_cut,omitempty"`
	}{m.RunID, runner.HomeOf(g) + "/" + runner.ManifestKey(m.RunID), len(m.Shards), m.Units, m.Done, m.Bytes, m.Wholes})
}

// scheduleFlags say which run of a schedule this is.
type scheduleFlags struct {
	runID, namespace, from, to string
}

func (f *scheduleFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.runID, "run-id", "", "id of the run: a UUID, or the name that a scheduler gives it (default: a new one)")
	fs.StringVar(&f.namespace, "job-namespace", "drivemill", "namespace of the job in lineage events")
	fs.StringVar(&f.from, "interval-start", "", "start of the interval the run is for, RFC 3339; goes into lineage")
	fs.StringVar(&f.to, "interval-end", "", "end of that interval")
}

func (f *scheduleFlags) runInfo(env *environment, job, description string) (lineage.RunInfo, error) {
	info, err := runInfo(env, f.namespace, job, description)
	if err != nil {
		return info, err
	}
	if f.runID != "" {
		info.RunID = runner.RunIDOf(job, f.runID)
	}
	for _, t := range []struct {
		flag, text string
		into       *time.Time
	}{{"--interval-start", f.from, &info.NominalStart}, {"--interval-end", f.to, &info.NominalEnd}} {
		if t.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, t.text)
		if err != nil {
			return info, usagef("%s %q: want a time like 2026-03-02T00:00:00Z", t.flag, t.text)
		}
		*t.into = at
	}
	return info, nil
}

// loadManifest reads a manifest and builds the graph of its pipeline.
func loadManifest(ctx context.Context, reg *pipeline.Registry, uri string) (*runner.Manifest, *graph.Graph, error) {
	m, _, err := runner.ReadManifest(ctx, store.Open, uri)
	if err != nil {
		return nil, nil, err
	}
	p, err := config.Load("manifest", m.Pipeline, config.LoadOptions{}, reg)
	if err != nil {
		return nil, nil, err
	}
	g, err := graph.Build(ctx, p, reg, &runner.Env{Registry: reg, Open: store.Open, Load: true})
	return m, g, err
}

// shardNumber finds which shard of a run this process does: --shard i/n, or the
// index that AWS Batch gives a child of an array job.
func shardNumber(env *environment, flag string, shards int) (int, error) {
	if flag == "" {
		if s, ok := env.getenv("AWS_BATCH_JOB_ARRAY_INDEX"); ok {
			flag = s
		} else if shards == 1 {
			return 0, nil
		} else {
			return 0, usagef("run: the manifest has %d shards: say which with --shard i/%d, counted from 0", shards, shards)
		}
	}
	number, of, divided := strings.Cut(flag, "/")
	i, err := strconv.Atoi(number)
	n := shards
	if err == nil && divided {
		n, err = strconv.Atoi(of)
	}
	switch {
	case err != nil:
		return 0, usagef("run: --shard %q: want i/n, such as 3/7", flag)
	case n != shards:
		return 0, usagef("run: --shard %s: the manifest has %d shards", flag, shards)
	case i < 0 || i >= n:
		return 0, usagef("run: --shard %s: shards are counted from 0 to %d", flag, n-1)
	}
	return i, nil
}

func finishCommand() command {
	return command{
		name: "finish", args: "", summary: "judge a planned run and settle the lake",
		help: `Judge a run by the limits of its pipeline: units that failed or have no recorded end,
rows lost or rejected, rows a table must have. Files that the run's commits replaced are
removed, the run's lineage event is written, and its mark: _SUCCESS, or _PARTIAL which
names what is missing. It can be repeated, and says the same while nothing changed.`,
		examples: `  drivemill finish --manifest s3://lake/_drivemill/runs/ID/manifest.json
  drivemill finish --manifest lake/_drivemill/runs/ID/manifest.json --json
`,
		setup: manifestCommand("finish", func(ctx context.Context, r *runner.Runner, m *runner.Manifest) (*runner.Report, error) {
			return r.Finish(ctx, m, r.Graph.Pipeline.Limits)
		}, true),
	}
}

func statusCommand() command {
	return command{
		name: "status", args: "", summary: "say how far a planned run is",
		help:     `Say what became of the units of a planned run so far. It changes nothing.`,
		examples: "  drivemill status --manifest s3://lake/_drivemill/runs/ID/manifest.json\n",
		setup: manifestCommand("status", func(ctx context.Context, r *runner.Runner, m *runner.Manifest) (*runner.Report, error) {
			return r.Status(ctx, m, r.Graph.Pipeline.Limits)
		}, false),
	}
}

// manifestCommand is a command that reports on a planned run; judge says
// whether its exit status tells how the run went.
func manifestCommand(name string, do func(context.Context, *runner.Runner, *runner.Manifest) (*runner.Report, error), judge bool) func(*pflag.FlagSet) func(context.Context, *environment, []string) error {
	return func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
		manifest := fs.String("manifest", "", "URI of the manifest")
		asJSON := fs.Bool("json", false, "print one JSON object")
		logFormat := fs.String("log-format", "", "text or json")
		var allowLoss bool
		jobs := 1
		var mem memoryFlags
		if judge {
			fs.IntVar(&jobs, "jobs", jobs, "units of reduce steps that run at once")
			mem.add(fs)
			fs.BoolVar(&allowLoss, "allow-loss", false, "exit with 0 although rows were rejected or lost")
		}
		return func(ctx context.Context, env *environment, args []string) error {
			if *manifest == "" || len(args) > 0 {
				return usagef("%s: want --manifest URI and no arguments", name)
			}
			log, err := newLogger(env, *logFormat)
			if err != nil {
				return err
			}
			reg := builtin.Registry()
			m, g, err := loadManifest(ctx, reg, *manifest)
			if err != nil {
				return err
			}
			r := &runner.Runner{Registry: reg, Graph: g, OpenStore: store.Open, Log: log, Binary: binaryInfo(), Jobs: jobs, Now: time.Now, Failpoint: failpoint}
			if judge {
				plan, space, err := mem.plan(ctx, env)
				if err != nil {
					return err
				}
				r.Workers, r.Budget, r.Spill = plan.Workers, plan, space
			}
			rep, err := do(ctx, r, m)
			if err != nil {
				return err
			}
			if *asJSON {
				enc := json.NewEncoder(env.stdout)
				enc.SetIndent("", " ")
				err = enc.Encode(rep)
			} else {
				err = printReport(env.stdout, rep)
			}
			if err != nil || !judge {
				return err
			}
			if !rep.Success() {
				return fmt.Errorf("the run is beyond its limits: %s", strings.Join(rep.Broken, "; "))
			}
			if rep.Totals.Loss() && !allowLoss {
				return fmt.Errorf("%w (--allow-loss accepts this)", errLoss)
			}
			return nil
		}
	}
}

func printReport(w io.Writer, rep *runner.Report) error {
	fmt.Fprintf(w, "run: %s\nunits: %d done, %d failed, %d without an end, %d done before\n", rep.RunID, rep.Done, len(rep.Failed), len(rep.Missing), rep.Before)
	if rep.Done > 0 {
		t := rep.Totals
		fmt.Fprintf(w, "rows: %d found, %d not selected, %d filtered, %d rejected, %d lost, %d written\n", t.Found, t.Unselected, t.Filtered, t.Rejected, t.Lost, t.Written)
		fmt.Fprintf(w, "read %s, wrote %s in %d files\n", explore.Bytes(rep.Bytes), explore.Bytes(rep.Written), rep.Files)
	}
	for _, f := range rep.Failed {
		fmt.Fprintf(w, "failed: %s: %s\n", f.Unit, f.Error)
	}
	const shown = 20
	for i, name := range rep.Missing {
		if i == shown {
			fmt.Fprintf(w, "without an end: %d more (--json lists all)\n", len(rep.Missing)-shown)
			break
		}
		fmt.Fprintf(w, "without an end: %s\n", name)
	}
	for _, b := range rep.Broken {
		fmt.Fprintf(w, "beyond its limits: %s\n", b)
	}
	return nil
}
