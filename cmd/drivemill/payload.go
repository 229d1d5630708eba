package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/explore"
)

func payloadCommand() command {
	return command{
		name: "payload", args: "URI", summary: "write the bytes that a reference means",
		help: `Write a binary value that a lake refers to, such as an image, to standard output.
URI, --offset, --inner-offset, --size and --sha256 are the columns beside it:
data_uri, data_offset and so on for a column data. The bytes are checked.`,
		examples: `  drivemill payload s3://fleet-raw/v1/d1/roof.mcap --offset 4711 --inner-offset 96 --size 921600 --sha256 9f86... > frame.raw
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			p := pipeline.Payload{}
			fs.Int64Var(&p.Offset, "offset", 0, "where the bytes, or the compressed chunk that holds them, begin in the object")
			fs.Int64Var(&p.Inner, "inner-offset", -1, "where the bytes begin in the unpacked chunk")
			fs.Int64Var(&p.Size, "size", 0, "number of bytes")
			fs.StringVar(&p.SHA256, "sha256", "", "their SHA-256 in hexadecimal (default: not checked)")
			var formats formatFlags
			formats.add(fs)
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) != 1 || !fs.Changed("offset") || !fs.Changed("size") {
					return usagef("payload: want one URI, --offset and --size")
				}
				p.URI = args[0]
				reg, err := formats.registry(ctx)
				if err != nil {
					return err
				}
				recordings, err := findRecordings(ctx, reg, args)
				if err != nil {
					return err
				}
				if len(recordings) != 1 {
					return usagef("payload: %s names %d recordings, want one", args[0], len(recordings))
				}
				src, err := recordings[0].Open(ctx, nil)
				if err != nil {
					return err
				}
				data, err := explore.Payload(ctx, reg, src, formats.format, p)
				if err != nil {
					return err
				}
				_, err = env.stdout.Write(data)
				return err
			}
		},
	}
}
