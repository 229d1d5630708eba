package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline/explore"
)

func extractCommand() command {
	return command{
		name: "extract", args: "URI", summary: "write the attachments of a recording to files",
		help: `Write the files that are attached to a recording: calibrations, videos, notes.
Their checksums are verified. The name of a file is the last part of the attachment's,
without what may not be in one; files that are there already are never overwritten.`,
		examples: `  drivemill extract drive.mcap --list
  drivemill extract drive.mcap --output attachments/
  drivemill extract drive.mcap --attachment calibration.yaml --output - | less
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			list := fs.Bool("list", false, "only say which attachments there are")
			names := fs.StringArray("attachment", nil, "name, or number with # in front; may be repeated (default: all)")
			output := fs.String("output", ".", "folder to write to, or - for standard output")
			var formats formatFlags
			formats.add(fs)
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) != 1 {
					return usagef("extract: want one recording")
				}
				if *output == "" {
					return usagef("extract: --output is empty: want a folder or -")
				}
				reg, err := formats.registry(ctx)
				if err != nil {
					return err
				}
				ctx = announceScans(ctx, env)
				recordings, err := findRecordings(ctx, reg, args)
				if err != nil {
					return err
				}
				if len(recordings) > 1 {
					return usagef("extract: %s matches %d recordings, want one", args[0], len(recordings))
				}
				src, err := recordings[0].Open(ctx, nil)
				if err != nil {
					return err
				}
				if *list {
					r, err := explore.Inspect(ctx, reg, recordings[0].URI, src, explore.InspectOptions{Format: formats.format})
					if err != nil {
						return err
					}
					return r.ListAttachments(env.stdout)
				}
				opt := explore.ExtractOptions{Format: formats.format, Attachments: *names, Folder: *output}
				if *output == "-" {
					opt.Output = env.stdout
				}
				done, err := explore.Extract(ctx, reg, src, opt)
				if opt.Output == nil {
					tw := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
					for _, e := range done {
						fmt.Fprintf(tw, "#%d\t%s\t%s\n", e.Number, e.Path, explore.Bytes(e.Bytes))
					}
					if ferr := tw.Flush(); err == nil {
						err = ferr
					}
					if err == nil && len(done) == 0 {
						fmt.Fprintf(env.stderr, "drivemill: %s has no attachments\n", recordings[0].URI)
					}
				}
				return err
			}
		},
	}
}
