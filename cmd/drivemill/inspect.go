package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/recording"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

func inspectCommand() command {
	return command{
		name: "inspect", args: "URI...", summary: "say what is in a recording",
		help: `Say what is in a recording: format, times, tables with rows, rate and columns,
compression, attachments, metadata, and every problem found. A recording that has
an index is not read beyond it.

With --deep every row and attachment is looked at: first and last time on every
clock, gaps, times that go backwards, how far the clocks are apart and drift, damage
that an index hides. The exit status is 3 if rows are missing.`,
		examples: `  drivemill inspect drive.mcap
  drivemill inspect --columns 's3://fleet-raw/v1/**/*.bag'
  drivemill inspect --deep drive.mcap
  drivemill inspect --json drive.bag | jq '.tables[] | {name, rows}'
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			asJSON := fs.Bool("json", false, "print one JSON object a recording")
			deep := fs.Bool("deep", false, "look at every row and attachment, not only at the index")
			columns := fs.Bool("columns", false, "list the columns of each table")
			var formats formatFlags
			formats.add(fs)
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) == 0 {
					return usagef("inspect: want at least one recording")
				}
				reg, err := formats.registry(ctx)
				if err != nil {
					return err
				}
				ctx = announceScans(ctx, env)
				opt := explore.InspectOptions{Format: formats.format, Deep: *deep, Workers: runtime.GOMAXPROCS(0)}
				first, lossy := true, false
				recordings, err := findRecordings(ctx, reg, args)
				if err != nil {
					return err
				}
				// One that cannot be read does not keep the others from being shown.
				var failed []error
				for _, rec := range recordings {
					err := func() error {
						src, err := rec.Open(ctx, nil)
						if err != nil {
							return err
						}
						r, err := explore.Inspect(ctx, reg, rec.URI, src, opt)
						if err != nil {
							return err
						}
						for _, p := range r.Problems {
							lossy = lossy || *deep && p.Loses
						}
						if *asJSON {
							return json.NewEncoder(env.stdout).Encode(r)
						}
						if !first {
							fmt.Fprintln(env.stdout)
						}
						first = false
						return r.Text(env.stdout, *columns)
					}()
					var issue *pipeline.Issue
					if ctx.Err() != nil || errors.As(err, &issue) {
						return err
					}
					if err != nil {
						failed = append(failed, err)
					}
				}
				if lossy && failed == nil {
					return errLoss
				}
				return errors.Join(failed...)
			}
		},
	}
}

// largeScan is the size from which reading a whole object of a store only to
// know what is in it is worth a word.
const largeScan = 1 << 30

// worthAWord reports whether obj is large and not on this machine.
func worthAWord(obj pipeline.Object) bool {
	return strings.Contains(obj.URI, "://") && obj.Size > largeScan
}

// logScans is announceScans for commands that log.
func logScans(ctx context.Context, log *slog.Logger) context.Context {
	return pipeline.WithScanNotice(ctx, func(obj pipeline.Object) {
		if worthAWord(obj) {
			log.Warn("no index that can be used: the whole object is read to find out what is in it", "object", obj.URI, "bytes", obj.Size)
		}
	})
}

// announceScans says on standard error when a large object that is not on this
// machine has to be read as a whole.
func announceScans(ctx context.Context, env *environment) context.Context {
	return pipeline.WithScanNotice(ctx, func(obj pipeline.Object) {
		if worthAWord(obj) {
			fmt.Fprintf(env.stderr, "drivemill: %s has no index that can be used: all %s of it are read to find out what is in it\n", obj.URI, explore.Bytes(obj.Size))
		}
	})
}

// findRecordings lists the recordings that the patterns match.
func findRecordings(ctx context.Context, reg *pipeline.Registry, uris []string) ([]*recording.Recording, error) {
	var out []*recording.Recording
	for _, uri := range uris {
		pat, err := store.ParsePattern(uri)
		if err != nil {
			return nil, usageError{err}
		}
		st, err := store.Open(ctx, pat.Root())
		if err != nil {
			return nil, err
		}
		found, err := recording.Find(ctx, reg, st, pat, recording.Options{})
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("nothing matches %s: %w", uri, pipeline.ErrNotFound)
		}
		out = append(out, found...)
	}
	return out, nil
}

// formatFlags are the flags of commands that look at recordings without a
// pipeline.
type formatFlags struct {
	format string
	set    []string
}

func (f *formatFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.format, "format", "", "format of the recordings (default: found by looking at them)")
	fs.StringArrayVar(&f.set, "set", nil, "a setting of a format, as format.key=value; may be repeated")
}

// registry returns all formats, with the settings given.
func (f *formatFlags) registry(ctx context.Context) (*pipeline.Registry, error) {
	reg := builtin.Registry()
	return explore.Configure(ctx, reg, f.set, &runner.Env{Registry: reg, Open: store.Open, Load: true})
}

// splitList accepts repeated flags and comma-separated lists.
func splitList(values []string) []string {
	var out []string
	for _, v := range values {
		for _, s := range strings.Split(v, ",") {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}
