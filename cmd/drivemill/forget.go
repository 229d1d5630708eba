package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

func forgetCommand() command {
	return command{
		name: "forget", args: "LAKE OBJECT...", summary: "remove all that came from an object, for good",
		help: `List what a lake holds of objects (URIs of recordings or parts of them; a folder with a
slash at its end stands for all below it): files, records, claims. --delete removes that and
leaves tombstones, so that no run brings the objects back; run and explain say what they left
out. A unit that also had other inputs is removed as a whole, and made of the others by the
next run; steps of reduce follow at the next run as well. --restore lifts tombstones.

End runs that are at work on the objects first. What such a run commits is removed when it
settles, at the latest by the next forget. A pipeline with several lakes needs one call for
each. Events of runs name objects and are kept; they hold no rows.`,
		examples: `  drivemill forget lake s3://fleet-raw/v01/20260302/roof.mcap
  drivemill forget s3://fleet-lake/drives s3://fleet-raw/v01/20260302/ --delete
  drivemill forget lake s3://fleet-raw/v01/20260302/ --restore
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			remove := fs.Bool("delete", false, "remove what is listed, and leave tombstones")
			restore := fs.Bool("restore", false, "lift the tombstones; the next run takes the objects in again")
			asJSON := fs.Bool("json", false, "print one JSON object a unit and line")
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) < 2 {
					return usagef("forget: want a lake and at least one object")
				}
				if *remove && *restore {
					return usagef("forget: --delete and --restore exclude each other")
				}
				st, err := store.Open(ctx, args[0])
				if err != nil {
					return err
				}
				if *restore {
					return runner.Remember(ctx, st, args[1:])
				}
				found, err := runner.Forget(ctx, st, args[1:], runner.ForgetOptions{Delete: *remove, Failpoint: failpoint})
				if err != nil {
					return err
				}
				if *asJSON {
					enc := json.NewEncoder(env.stdout)
					for _, f := range found {
						if err := enc.Encode(f); err != nil {
							return err
						}
					}
					return nil
				}
				var bytes int64
				files := 0
				for _, f := range found {
					fmt.Fprintf(env.stdout, "unit %s (slot %s)\n", f.Unit, f.Slot)
					for _, key := range f.Files {
						fmt.Fprintf(env.stdout, "  file   %s\n", key)
					}
					for _, key := range f.State {
						fmt.Fprintf(env.stdout, "  state  %s\n", key)
					}
					if n := len(f.Others); n > 0 {
						fmt.Fprintf(env.stdout, "  the next run makes it anew of its %d other objects\n", n)
					}
					bytes += f.Bytes
					files += len(f.Files)
				}
				what := "would be removed; --delete removes them, and keeps the objects out"
				if *remove {
					what = "removed; the objects are kept out from now on"
				}
				_, err = fmt.Fprintf(env.stdout, "%d units, %d files, %s: %s\n", len(found), files, explore.Bytes(bytes), what)
				return err
			}
		},
	}
}
