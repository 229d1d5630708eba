package main

import (
	"context"
	"encoding/json"
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
				return eachRecording(ctx, args, func(src pipeline.Source) error {
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
			}
		},
	}
}

// eachRecording opens every object that the patterns match.
func eachRecording(ctx context.Context, uris []string, fn func(pipeline.Source) error) error {
	for _, uri := range uris {
		pat, err := store.ParsePattern(uri)
		if err != nil {
			return usageError{err}
		}
		st, err := store.Open(ctx, pat.Root())
		if err != nil {
			return err
		}
		found := false
		open := func(context.Context, string) (pipeline.Store, error) { return st, nil }
		err = store.Find(ctx, open, pat, func(obj pipeline.Object, _ map[string]string) error {
			found = true
			src, err := st.Open(ctx, obj)
			if err != nil {
				return err
			}
			return fn(src)
		})
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%s: %w", uri, pipeline.ErrNotFound)
		}
	}
	return nil
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
