package main

import (
	"context"

	"fmt"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

func validateCommand() command {
	return command{
		name: "validate", args: "PIPELINE...", summary: "report every mistake in pipelines",
		help: `Report every mistake in pipelines, one a line: file:line:column: path: what is wrong.
Without --connect no data is read: columns are checked where the schema of an
input is known from its declared types. --connect looks at the first recording of
each input, and at side tables, too.`,
		examples: `  drivemill validate urban.yaml
  drivemill validate --connect --set inputs.drives.uri=s3://fleet-raw/v1/*.mcap urban.yaml
  drivemill validate --json-schema > drivemill.schema.json
  drivemill validate --print-config urban.yaml
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			var load loadFlags
			load.add(fs)
			connect := fs.Bool("connect", false, "read side tables and the first recording of each input, and check against them")
			schema := fs.Bool("json-schema", false, "print the JSON Schema of pipeline files, for editors, and stop")
			printConfig := fs.Bool("print-config", false, "print each pipeline as it is understood, variables resolved, as JSON")
			return func(ctx context.Context, env *environment, args []string) error {
				reg := builtin.Registry()
				if *schema {
					_, err := env.stdout.Write(config.JSONSchema(reg))
					return err
				}
				if len(args) == 0 {
					return usagef("validate: want at least one pipeline file")
				}
				var issues pipeline.Issues
				for _, file := range args {
					g, err := load.graph(ctx, env, reg, file, *connect)
					if err == nil && *connect {
						err = runner.Connect(ctx, reg, g, store.Open)
					}
					if err != nil {
						if !issues.Add(err) {
							return err
						}
						continue
					}
					if *printConfig {
						if _, err := fmt.Fprintf(env.stdout, "%s\n", g.Pipeline.Normalised()); err != nil {
							return err
						}
						continue
					}
					fmt.Fprintf(env.stdout, "%s: ok\n", file)
				}
				// Mistakes are the result here, so they go to standard output.
				if err := issues.Err(); err != nil {
					fmt.Fprintln(env.stdout, err)
					return usageError{}
				}
				return nil
			}
		},
	}
}
