package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/cmd/builtin"
)

func graphCommand() command {
	return command{
		name: "graph", args: "PIPELINE", summary: "draw a pipeline",
		help: "Draw the graph of a pipeline as Mermaid, DOT or SVG.",
		examples: `  drivemill graph urban.yaml
  drivemill graph urban.yaml --output svg > urban.svg
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			var load loadFlags
			load.add(fs)
			output := fs.String("output", "mermaid", "mermaid, dot or svg")
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) != 1 {
					return usagef("graph: want one pipeline file, have %d", len(args))
				}
				g, err := load.graph(ctx, env, builtin.Registry(), args[0], false)
				if err != nil {
					return err
				}
				var text string
				switch *output {
				case "mermaid":
					text = g.Mermaid()
				case "dot":
					text = g.DOT()
				case "svg":
					text = g.SVG()
				default:
					return usagef("graph: --output %q: want mermaid, dot or svg", *output)
				}
				_, err = fmt.Fprint(env.stdout, text)
				return err
			}
		},
	}
}
