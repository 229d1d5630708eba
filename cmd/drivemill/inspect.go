package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/store"
)

func inspectCommand() command {
	return command{
		name: "inspect", args: "URI...", summary: "say what is in a recording",
		help: `Say what is in a recording: format, times, tables with rows, rate and columns,
compression, and every problem found. A recording that has an index is not read
beyond it.`,
		examples: `  drivemill inspect drive.mcap
  drivemill inspect --columns 's3://fleet-raw/v1/**/*.bag'
  drivemill inspect --json drive.bag | jq '.tables[] | {name, rows}'
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			asJSON := fs.Bool("json", false, "print one JSON object a recording")
			columns := fs.Bool("columns", false, "list the columns of each table")
			format := fs.String("format", "", "format of the recordings (default: found by looking at them)")
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) == 0 {
					return usagef("inspect: want at least one recording")
				}
				reg := builtin.Registry()
				first := true
				recordings, err := findRecordings(ctx, args)
				if err != nil {
					return err
				}
				// One that cannot be read does not keep the others from being shown.
				var failed []error
				for _, rec := range recordings {
					err := rec.open(ctx, func(src pipeline.Source) error {
						r, err := explore.Inspect(ctx, reg, src, *format)
						if err != nil {
							return err
						}
						if *asJSON {
							return json.NewEncoder(env.stdout).Encode(r)
						}
						if !first {
							fmt.Fprintln(env.stdout)
						}
						first = false
						return r.Text(env.stdout, *columns)
					})
					var issue *pipeline.Issue
					if ctx.Err() != nil || errors.As(err, &issue) {
						return err
					}
					if err != nil {
						failed = append(failed, err)
					}
				}
				return errors.Join(failed...)
			}
		},
	}
}

// recording is an object that an argument of a command names.
type recording struct {
	store  pipeline.Store
	object pipeline.Object
}

func (r recording) open(ctx context.Context, fn func(pipeline.Source) error) error {
	src, err := r.store.Open(ctx, r.object)
	if err != nil {
		return err
	}
	return fn(src)
}

// findRecordings lists every object that the patterns match.
func findRecordings(ctx context.Context, uris []string) ([]recording, error) {
	var out []recording
	for _, uri := range uris {
		pat, err := store.ParsePattern(uri)
		if err != nil {
			return nil, usageError{err}
		}
		st, err := store.Open(ctx, pat.Root())
		if err != nil {
			return nil, err
		}
		found := len(out)
		open := func(context.Context, string) (pipeline.Store, error) { return st, nil }
		err = store.Find(ctx, open, pat, func(obj pipeline.Object, _ map[string]string) error {
			out = append(out, recording{st, obj})
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(out) == found {
			return nil, fmt.Errorf("nothing matches %s: %w", uri, pipeline.ErrNotFound)
		}
	}
	return out, nil
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
