package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

func gcCommand() command {
	return command{
		name: "gc", args: "LAKE", summary: "find and remove what no commit refers to",
		help: `List what nothing in a lake refers to: files of superseded revisions, files that a
process left when it died, uploads that were never completed. --delete removes them.
Uploads younger than --older-than are left alone, because a run may be at work on them.`,
		examples: `  drivemill gc lake
  drivemill gc s3://fleet-lake/drives --delete --older-than 48h
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			remove := fs.Bool("delete", false, "remove what is listed")
			older := fs.Duration("older-than", 24*time.Hour, "age from which an unfinished upload counts as abandoned")
			asJSON := fs.Bool("json", false, "print one JSON object a line")
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) != 1 {
					return usagef("gc: want one lake")
				}
				if *older < 0 {
					return usagef("gc: --older-than must not be negative")
				}
				st, err := store.Open(ctx, args[0])
				if err != nil {
					return err
				}
				found, err := runner.CollectGarbage(ctx, st, runner.GCOptions{Delete: *remove, OlderThan: *older, Now: time.Now})
				if err != nil {
					return err
				}
				if *asJSON {
					enc := json.NewEncoder(env.stdout)
					for _, g := range found {
						if err := enc.Encode(g); err != nil {
							return err
						}
					}
					return nil
				}
				var bytes int64
				tw := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
				for _, g := range found {
					fmt.Fprintf(tw, "%s\t%d\t%s\n", g.Kind, g.Bytes, g.Key)
					bytes += g.Bytes
				}
				if err := tw.Flush(); err != nil {
					return err
				}
				what := "would be removed; --delete removes them"
				if *remove {
					what = "removed"
				}
				_, err = fmt.Fprintf(env.stdout, "%d objects, %s: %s\n", len(found), explore.Bytes(bytes), what)
				return err
			}
		},
	}
}
