package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

func explainCommand() command {
	return command{
		name: "explain", args: "PIPELINE [UNIT]", summary: "say why units would run",
		help: `Say for each unit that a run would do why: nothing is committed yet; an object
changed (size and ETag before and after), was added or removed; an attribute changed; the
pipeline changed (which setting, behaviour version or side table, before and after); or a
process died between its claim and its record. It reads no recording and changes nothing.

UNIT is a name, a glob of names, or a slot; a unit that is done is then shown as well. Steps
of reduce are explained over what is committed now.`,
		examples: `  drivemill explain urban.yaml
  drivemill explain urban.yaml 'drives/v01/*' --json
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			var load loadFlags
			load.add(fs)
			asJSON := fs.Bool("json", false, "print one JSON object a unit and line")
			logFormat := fs.String("log-format", "", "text or json")
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) < 1 || len(args) > 2 {
					return usagef("explain: want a pipeline file, and at most one unit")
				}
				r, err := planningRunner(ctx, env, &load, args[0], *logFormat)
				if err != nil {
					return err
				}
				outlook, err := r.Explain(ctx)
				if err != nil {
					return err
				}
				all := outlook.Units
				shown, done := all[:0:0], 0
				if len(args) == 2 {
					if shown, err = findUnits(all, args[1]); err != nil {
						return err
					}
				} else {
					for _, e := range all {
						if e.Runs {
							shown = append(shown, e)
						} else {
							done++
						}
					}
				}
				if *asJSON {
					enc := json.NewEncoder(env.stdout)
					for _, e := range shown {
						if err := enc.Encode(e); err != nil {
							return err
						}
					}
					return nil
				}
				printExplanations(env.stdout, shown)
				if len(args) == 1 {
					printLeft(env.stdout, outlook.Left)
					fmt.Fprintf(env.stdout, "%d units would run, %d are done\n", len(shown), done)
				}
				return nil
			}
		},
	}
}

// planningRunner makes a runner that looks and writes nothing.
func planningRunner(ctx context.Context, env *environment, load *loadFlags, file, logFormat string) (*runner.Runner, error) {
	log, err := newLogger(env, logFormat)
	if err != nil {
		return nil, err
	}
	reg := builtin.Registry()
	g, err := load.graph(ctx, env, reg, file, true)
	if err != nil {
		return nil, err
	}
	return &runner.Runner{Registry: reg, Graph: g, OpenStore: store.Open, Log: log, Binary: binaryInfo(), Now: time.Now}, nil
}

// findUnits finds units by name, glob or slot.
func findUnits(all []*runner.Explanation, want string) ([]*runner.Explanation, error) {
	match, err := config.CompileGlob(want)
	if err != nil {
		return nil, usagef("explain: %q: %v", want, err)
	}
	var out []*runner.Explanation
	var names []string
	for _, e := range all {
		if e.Unit == want || e.Slot == want || match.Match(e.Unit) {
			out = append(out, e)
		}
		names = append(names, e.Unit)
	}
	if len(out) == 0 {
		hint := ""
		if n := pipeline.Nearest(want, names); n != "" {
			hint = fmt.Sprintf(" (did you mean %s?)", n)
		}
		return nil, usagef("explain: the pipeline has no unit %q%s", want, hint)
	}
	return out, nil
}

func printExplanations(w io.Writer, all []*runner.Explanation) {
	for _, e := range all {
		step := ""
		if e.Step != "" {
			step = "step " + e.Step + ": "
		}
		state := "done"
		if e.Runs {
			state = "would run: " + e.Cause
		}
		fmt.Fprintf(w, "%s%s: %s (%d recordings, %s, slot %s)\n", step, e.Unit, state, e.Recordings, explore.Bytes(e.Bytes), e.Slot)
		for _, r := range e.Reasons {
			fmt.Fprintf(w, "  %s: %s", r.Cause, r.What)
			switch {
			case r.Before != "" && r.After != "":
				fmt.Fprintf(w, ": %s -> %s", r.Before, r.After)
			case r.After != "":
				fmt.Fprintf(w, ": not there before -> %s", r.After)
			case r.Before != "":
				fmt.Fprintf(w, ": %s -> not there now", r.Before)
			}
			fmt.Fprintln(w)
		}
		if e.Poison {
			fmt.Fprintf(w, "  poison: %d processes did not come back from it; it fails until run with --retry-failed\n", e.Vanished)
		} else if e.Vanished > 0 {
			fmt.Fprintf(w, "  %d processes did not come back from it\n", e.Vanished)
		}
	}
}

// printLeft names what inputs match and no unit was made of.
func printLeft(w io.Writer, left []runner.LeftOut) {
	const shown = 20
	for i, l := range left {
		if i == shown {
			fmt.Fprintf(w, "left out: %d more\n", len(left)-shown)
			break
		}
		fmt.Fprintf(w, "left out: %s: %s\n", l.Name, l.Why)
	}
}

// dryPlan is what plan --dry-run prints.
type dryPlan struct {
	Units  int                   `json:"units"` // to run
	Done   int                   `json:"done_before"`
	Bytes  int64                 `json:"bytes"` // of the units to run
	Shards int                   `json:"shards"`
	Causes []runner.CauseTotals  `json:"causes"`
	List   []*runner.Explanation `json:"list"`
	Left   []runner.LeftOut      `json:"left_out,omitempty"`
}

func newDryPlan(outlook *runner.Outlook, opt runner.PlanOptions) *dryPlan {
	all := outlook.Units
	d := &dryPlan{Causes: runner.SumCauses(all), List: []*runner.Explanation{}, Left: outlook.Left}
	if d.Causes == nil {
		d.Causes = []runner.CauseTotals{}
	}
	for _, e := range all {
		if !e.Runs {
			d.Done++
			continue
		}
		d.Units++
		d.Bytes += e.Bytes
		d.List = append(d.List, e)
	}
	d.Shards = opt.Count(d.Units, d.Bytes)
	return d
}

func (d *dryPlan) text(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(d.List) > 0 {
		fmt.Fprintln(tw, "UNIT\tRECORDINGS\tSIZE\tCAUSE\tREASONS")
	}
	for _, e := range d.List {
		what := ""
		if len(e.Reasons) > 0 {
			what = e.Reasons[0].What
		}
		if n := len(e.Reasons); n > 1 {
			what += fmt.Sprintf(", and %d more", n-1)
		}
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\n", e.Unit, e.Recordings, explore.Bytes(e.Bytes), e.Cause, what)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	printLeft(w, d.Left)
	for _, c := range d.Causes {
		fmt.Fprintf(w, "%s: %d units, %s\n", c.Cause, c.Units, explore.Bytes(c.Bytes))
	}
	_, err := fmt.Fprintf(w, "%d units to run (%s) in %d shards, %d done before\n", d.Units, explore.Bytes(d.Bytes), d.Shards, d.Done)
	return err
}
