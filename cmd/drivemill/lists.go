package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
)

// component is a format, stage or sink as the lists show it.
type component struct {
	Kind    string             `json:"kind"`
	Name    string             `json:"name"`
	Summary string             `json:"summary"`
	Doc     string             `json:"doc"`
	Example string             `json:"example,omitempty"`
	Config  []config.FieldInfo `json:"config,omitempty"`
}

func formatsCommand() command {
	return listCommand("formats", "list the formats that can be read", func(reg *pipeline.Registry) []component {
		var out []component
		for _, f := range reg.Formats() {
			c := component{Kind: "format", Name: f.Format.Name(), Summary: f.Summary, Doc: f.Doc}
			if f.Config != nil {
				c.Config = config.Reference(f.Config())
			}
			out = append(out, c)
		}
		return out
	})
}

func stagesCommand() command {
	return listCommand("stages", "list the stages and outputs, with their configuration", func(reg *pipeline.Registry) []component {
		var out []component
		for _, s := range reg.Stages() {
			out = append(out, component{Kind: "stage", Name: s.Name, Summary: s.Summary, Doc: s.Doc, Example: s.Example, Config: config.Reference(s.Config())})
		}
		for _, s := range reg.Sinks() {
			out = append(out, component{Kind: "output", Name: s.Name, Summary: s.Summary, Doc: s.Doc, Example: s.Example, Config: config.Reference(s.Config())})
		}
		return out
	})
}

func listCommand(name, summary string, list func(*pipeline.Registry) []component) command {
	return command{
		name: name, args: "[NAME]", summary: summary,
		help:     "Without a name, " + summary + ". With one, print all about it, with an example that runs.",
		examples: fmt.Sprintf("  drivemill %s\n  drivemill %s --json\n", name, name),
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			asJSON := fs.Bool("json", false, "print JSON")
			return func(_ context.Context, env *environment, args []string) error {
				all := list(builtin.Registry())
				if len(args) > 1 {
					return usagef("%s: want one name at most", name)
				}
				if len(args) == 1 {
					var names []string
					for _, c := range all {
						if c.Name == args[0] {
							return c.print(env.stdout, *asJSON)
						}
						names = append(names, c.Name)
					}
					hint := ""
					if n := pipeline.Nearest(args[0], names); n != "" {
						hint = fmt.Sprintf(" (did you mean %s?)", n)
					}
					return usagef("%s: there is no %q%s", name, args[0], hint)
				}
				if *asJSON {
					return json.NewEncoder(env.stdout).Encode(all)
				}
				tw := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
				for _, c := range all {
					fmt.Fprintf(tw, "%s\t%s\t%s\n", c.Name, c.Kind, c.Summary)
				}
				return tw.Flush()
			}
		},
	}
}

func (c component) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(c)
	}
	fmt.Fprintf(w, "%s (%s): %s\n\n%s\n", c.Name, c.Kind, c.Summary, c.Doc)
	if len(c.Config) > 0 {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "\nConfiguration:")
		for _, f := range c.Config {
			note := f.Doc
			if f.Default != "" {
				note += fmt.Sprintf(" (default %s)", f.Default)
			}
			if f.Required {
				note += " (required)"
			}
			fmt.Fprintf(tw, "  %s\t%s\t%s\n", f.Name, f.Type, note)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\nExample:\n\n%s\n", c.Example)
	}
	return nil
}
