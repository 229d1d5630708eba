package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline/catalog"
	"github.com/drivemill/drivemill/pipeline/store"
)

func catalogCommand() command {
	return command{
		name: "catalog", args: "ddl LAKE", summary: "print what makes a lake known to an engine",
		help: `Print statements that make the tables of a lake known to an engine: columns with types and
where they come from (255 characters), partition keys, partitions and places, as the commit
records in force say. A table is the union of what its files hold; one with a column of two
types is an error, and is left out.`,
		examples: `  drivemill catalog ddl s3://fleet-lake/drives --engine athena
  drivemill catalog ddl lake --engine duckdb | duckdb lake.db
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			engine := fs.String("engine", "athena", strings.Join(catalog.Engines, ", "))
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) != 2 || args[0] != "ddl" {
					return usagef("catalog: want ddl LAKE")
				}
				if !slices.Contains(catalog.Engines, *engine) {
					return usagef("catalog: --engine %q: want one of %s", *engine, strings.Join(catalog.Engines, ", "))
				}
				root := args[1]
				if !strings.Contains(root, "://") {
					// Engines run elsewhere.
					full, err := filepath.Abs(root)
					if err != nil {
						return err
					}
					root = filepath.ToSlash(full)
				}
				st, err := store.Open(ctx, root)
				if err != nil {
					return err
				}
				tables, err := catalog.Read(ctx, st)
				if err != nil {
					return err
				}
				return catalog.DDL(env.stdout, tables, *engine)
			}
		},
	}
}
