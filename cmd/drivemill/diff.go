package main

import (
	"bufio"
	"context"
	"encoding/json"
	"strings"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline/explore"
)

func diffCommand() command {
	return command{
		name: "diff", args: "BEFORE AFTER", summary: "tell what differs between the drive days of two lakes",
		help: `Compare the tables drive_days of two lakes of drive stats, or of two revisions of
one, and print what differs as JSON, an object a line: each day of a model that
moved, and why (rows added or removed, a failure added or removed, or the columns
that changed); each drive whose failure came or went; and each model concerned,
with its failures per hundred drive years before and after. BEFORE and AFTER are
lakes, or patterns of the files of their tables.`,
		examples: "  drivemill diff s3://fleet/lake-2025-q2 s3://fleet/lake\n",
		setup: func(*pflag.FlagSet) func(context.Context, *environment, []string) error {
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) != 2 {
					return usagef("diff: want two lakes, have %d", len(args))
				}
				reg := builtin.Registry()
				before := explore.NewDriveDays()
				after := before.Like()
				for i, d := range []*explore.DriveDays{before, after} {
					uri := args[i]
					if !strings.HasSuffix(uri, ".parquet") {
						uri = strings.TrimSuffix(uri, "/") + "/drive_days/**/*.parquet"
					}
					files, err := findRecordings(ctx, reg, []string{uri})
					if err != nil {
						return err
					}
					for _, f := range files {
						src, err := f.Open(ctx, nil)
						if err != nil {
							return err
						}
						if err := d.Add(ctx, reg, src); err != nil {
							return err
						}
					}
				}
				out := bufio.NewWriter(env.stdout)
				enc := json.NewEncoder(out)
				for _, r := range explore.Restatement(before, after) {
					if err := enc.Encode(r); err != nil {
						return err
					}
				}
				return out.Flush()
			}
		},
	}
}
