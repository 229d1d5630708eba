package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sort"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/formats/parquet"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/stages/filter"
)

func catCommand() command {
	return command{
		name: "cat", args: "URI...", summary: "print decoded rows",
		help: `Print the rows of recordings, or of files of a lake, in the order in which they
were recorded. ndjson has one object a row: column paths as keys, integers exact,
timestamps in RFC 3339 with nanoseconds, durations in nanoseconds, binary as base64,
NaN and infinities as strings; with several tables each row carries "_table". With
--from, the last row before it of latched topics (maps, static transforms) is printed
as well.

Of binary values above 64 KiB the place in the recording is printed: an object of
uri, offset, inner_offset (in a compressed chunk), size and sha256. --inline prints
them whole, and drivemill payload follows such a reference.`,
		examples: `  drivemill cat drive.bag --table /gps/fix --limit 5
  drivemill cat drive.mcap --table /odom --columns header.stamp,pose.pose.position --where "twist.twist.linear.x > 2"
  drivemill cat drive.mcap --table /odom --from 2026-03-02T08:15:10Z --to 2026-03-02T08:15:11Z --output csv
`,
		setup: func(fs *pflag.FlagSet) func(context.Context, *environment, []string) error {
			tables := fs.StringArray("table", nil, "tables to print, names or globs; may be repeated")
			columns := fs.StringArray("columns", nil, "columns to print: names, groups of dotted names, or globs, comma separated")
			from := fs.String("from", "", "earliest log time, RFC 3339, inclusive")
			to := fs.String("to", "", "latest log time, RFC 3339, exclusive")
			where := fs.String("where", "", "expression that rows must fulfil")
			limit := fs.Int64("limit", 0, "stop after this many rows")
			output := fs.String("output", "ndjson", "ndjson, csv or parquet")
			inline := fs.Bool("inline", false, "print binary values whole, however large")
			var formats formatFlags
			formats.add(fs)
			return func(ctx context.Context, env *environment, args []string) error {
				if len(args) == 0 {
					return usagef("cat: want at least one recording")
				}
				if *limit < 0 || fs.Changed("limit") && *limit == 0 {
					return usagef("cat: --limit must be 1 or more")
				}
				switch *output {
				case "ndjson", "csv":
				case "parquet":
					if isTerminal(env.stdout) {
						return usagef("cat: parquet is not for terminals: send it to a file or a pipe")
					}
				default:
					return usagef("cat: --output %q: want ndjson, csv or parquet", *output)
				}
				reg, err := formats.registry(ctx)
				if err != nil {
					return err
				}
				opt := explore.CatOptions{Registry: reg, Tables: splitList(*tables), Columns: splitList(*columns),
					Limit: *limit, Output: *output, Format: formats.format, Inline: *inline, Workers: runtime.GOMAXPROCS(0), Parquet: parquetOutput}
				if opt.From, err = parseTime("--from", *from); err != nil {
					return err
				}
				if opt.To, err = parseTime("--to", *to); err != nil {
					return err
				}
				if *from != "" && *to != "" && opt.From >= opt.To {
					return usagef("cat: --from %s is not before --to %s", *from, *to)
				}
				if *where != "" {
					text := pipeline.Text{Value: *where, Pos: pipeline.Pos{File: "--where", Line: 1, Col: 1}}
					if opt.Filter, err = filter.Spec().New(ctx, &filter.Config{Where: text}, nil); err != nil {
						return err
					}
				}
				ctx = announceScans(ctx, env)
				recordings, err := findRecordings(ctx, reg, args)
				if err != nil {
					return err
				}
				if len(recordings) > 1 && *output == "parquet" {
					return usagef("cat: a Parquet file is made of one recording, but %d are named; a pipeline joins them", len(recordings))
				}
				out := bufio.NewWriterSize(env.stdout, 64<<10)
				lossy := false
				for _, rec := range recordings {
					var src pipeline.Source
					if src, err = rec.Open(ctx, nil); err != nil {
						break
					}
					var res *explore.CatResult
					if res, err = explore.Cat(ctx, src, out, opt); err != nil {
						break
					}
					opt.Header = res.Header
					if *limit > 0 {
						opt.Limit -= res.Rows
					}
					lossy = reportLoss(env, rec.URI, res) || lossy
					if *limit > 0 && opt.Limit == 0 {
						break
					}
				}
				if ferr := out.Flush(); err == nil {
					err = ferr
				}
				if errors.Is(err, syscall.EPIPE) {
					return nil // the reader has seen enough
				}
				if err == nil && lossy {
					err = errLoss
				}
				return err
			}
		},
	}
}

// parquetOutput encodes rows with the types and names of the recording.
func parquetOutput(w io.Writer, t *pipeline.Table) (explore.ParquetWriter, error) {
	return parquet.NewWriter(w, t, parquet.WriterOptions{Mapping: parquet.Mapping{SourceTypes: true, SourceNames: true}})
}

// reportLoss says on standard error which rows are missing from the output.
func reportLoss(env *environment, uri string, res *explore.CatResult) bool {
	lossy := false
	var reasons []string
	for reason := range res.Refused {
		reasons = append(reasons, reason)
	}
	sort.Strings(reasons)
	for _, reason := range reasons {
		lossy = true
		fmt.Fprintf(env.stderr, "drivemill: %d rows refused as %s, the first: %v\n", res.Rejected[reason], reason, res.Refused[reason])
	}
	for _, p := range res.Problems {
		if p.Loses {
			lossy = true
			fmt.Fprintf(env.stderr, "drivemill: %s: %s: %s\n", uri, p.Kind, p.Detail)
		}
	}
	return lossy
}

func parseTime(flag, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, usagef("%s %q: want a time like 2026-03-02T08:15:00.5Z", flag, s)
	}
	return t.UnixNano(), nil
}
