package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/store"
)

func lineageCommand() command {
	return command{
		name: "lineage", args: "trace FILE", summary: "say what a file of a lake was made from",
		help: `Walk from a file of a lake back to the recordings it was made from, with the
byte ranges that were read, the ledger of its unit, and the origin of each column.`,
		examples: `  drivemill lineage trace lake/odom/drive_date=2026-03-02/0f3a-11aa-00000.parquet
  drivemill lineage trace s3://fleet-lake/drives/odom/.../x.parquet --json
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			asJSON := fs.Bool("json", false, "print the commit record")
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) != 2 || args[0] != "trace" {
					return usagef("lineage: want trace FILE")
				}
				t, err := lineage.TraceFile(ctx, store.Open, args[1])
				if err != nil {
					return err
				}
				if *asJSON {
					enc := json.NewEncoder(env.stdout)
					enc.SetIndent("", " ")
					return enc.Encode(t.Commit)
				}
				return t.Text(env.stdout)
			}
		},
	}
}
