package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/observe"
	"github.com/drivemill/drivemill/pipeline/retry"
	"github.com/drivemill/drivemill/pipeline/runner"
)

// watchFlags say how a run is observed, and hold what observes it.
type watchFlags struct {
	listen, textfile string
	prices           string

	run   *observe.Run
	log   *observe.Queue
	trace *observe.Trace
}

func (f *watchFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.listen, "metrics-listen", "", "serve metrics for Prometheus at /metrics of this address while running")
	fs.StringVar(&f.textfile, "metrics-textfile", "", "write metrics for Prometheus to this file at the end")
	fs.StringVar(&f.prices, "s3-prices", fmt.Sprintf("%g,%g", observe.ListPrices.Write, observe.ListPrices.Read),
		"dollars for 1,000 writing and for 1,000 reading requests to S3, or none (default: us-east-1, S3 Standard, "+observe.PriceDate+")")
}

func (f *watchFlags) check() error {
	_, err := f.parsePrices()
	return err
}

func (f *watchFlags) parsePrices() (observe.Prices, error) {
	var p observe.Prices
	if f.prices == "none" {
		return p, nil
	}
	if n, err := fmt.Sscanf(f.prices, "%g,%g", &p.Write, &p.Read); err != nil || n != 2 || p.Write < 0 || p.Read < 0 {
		return p, usagef("run: --s3-prices %q: want two prices like 0.005,0.0004, or none", f.prices)
	}
	return p, nil
}

// begin starts what was asked for. Stores that are opened under the context
// count their requests and share the retries of the run. end writes what is
// left of the log.
func (f *watchFlags) begin(ctx context.Context, env *environment) (context.Context, func(), error) {
	prices, err := f.parsePrices()
	if err != nil {
		return ctx, nil, err
	}
	t, ok, err := observe.TraceFrom(env.getenv)
	if err != nil {
		return ctx, nil, usageError{err}
	}
	if ok {
		f.trace = &t
	}
	f.log = observe.NewQueue(env.stderr)
	f.run = &observe.Run{Requests: &observe.Requests{}, Retry: &retry.Policy{}, Prices: prices, Dropped: f.log.Dropped, Spans: ok}
	end := f.log.Close
	if f.listen != "" {
		at, stop, err := f.run.ServeMetrics(f.listen)
		if err != nil {
			f.log.Close()
			return ctx, nil, usageError{err}
		}
		fmt.Fprintf(env.stderr, "metrics: http://%s/metrics\n", at)
		end = func() {
			stop(context.WithoutCancel(ctx))
			f.log.Close()
		}
	}
	return retry.With(observe.WithRequests(ctx, f.run.Requests), f.run.Retry), end, nil
}

// sendTime bounds the sending of a trace.
const sendTime = 5 * time.Second

// report writes the metrics file and sends the trace. A collector that does not
// answer fails no run.
func (f *watchFlags) report(ctx context.Context, env *environment, sum *runner.Summary, failure error) error {
	var err error
	if f.textfile != "" {
		err = f.run.WriteMetricsFile(f.textfile)
	}
	if f.trace != nil {
		send, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
		defer cancel()
		if serr := f.run.Send(send, *f.trace, sum.RunID, time.Now(), errors.Join(failure, sum.Failure())); serr != nil {
			fmt.Fprintf(env.stderr, "drivemill: %v\n", serr)
		}
	}
	return err
}

// requestsJSON are the requests with what their price rests on.
type requestsJSON struct {
	observe.RequestCounts
	PriceDate string `json:"price_date,omitempty"`
}

func (f *watchFlags) counts() *requestsJSON {
	r := &requestsJSON{RequestCounts: f.run.Requests.Counts(f.run.Prices)}
	if r.Total() == 0 {
		return nil
	}
	if f.run.Prices == observe.ListPrices {
		r.PriceDate = observe.PriceDate
	}
	return r
}

// factor is how many seconds of recording a second of the run works off.
func factor(s *runner.Summary) float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return s.Recorded.Seconds() / s.Elapsed.Seconds()
}

// print prints where the time went, and what the stores were asked.
func (f *watchFlags) print(w io.Writer, s *runner.Summary) {
	printNodes(w, "", s)
	for _, step := range s.Steps {
		printNodes(w, " of step "+step.Step, step)
	}
	if r := f.counts(); r != nil {
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(r.ByKind)) {
			parts = append(parts, fmt.Sprintf("%d %s", r.ByKind[k], k))
		}
		fmt.Fprintf(w, "S3 requests: %s; %s received, %s sent", strings.Join(parts, ", "), explore.Bytes(r.Received), explore.Bytes(r.Sent))
		if r.Dollars > 0 {
			fmt.Fprintf(w, "; $%.4f", r.Dollars)
			if r.PriceDate != "" {
				fmt.Fprintf(w, " (us-east-1, %s)", r.PriceDate)
			}
		}
		fmt.Fprintln(w)
	}
	if len(s.Retries) > 0 {
		var parts []string
		for _, c := range slices.Sorted(maps.Keys(s.Retries)) {
			parts = append(parts, fmt.Sprintf("%d %s", s.Retries[c], c))
		}
		fmt.Fprintf(w, "retries: %s\n", strings.Join(parts, ", "))
	}
	if n := f.log.Dropped(); n > 0 {
		fmt.Fprintf(w, "%d lines of the log were dropped\n", n)
	}
}

func printNodes(w io.Writer, of string, s *runner.Summary) {
	if len(s.Nodes) == 0 {
		return
	}
	fmt.Fprintf(w, "\nwhere the time went%s (seconds of workers)\n", of)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "node\trows\tbytes\tbusy\tinput\toutput\tqueue\t")
	for _, n := range s.Nodes {
		fmt.Fprintf(tw, "%s %s\t%d\t%s\t%.2f\t%.2f\t%.2f\t%.1f\t\n", n.Kind, n.Name, n.Rows, explore.Bytes(n.Bytes), n.Busy, n.Input, n.Output, n.QueueMean)
	}
	_ = tw.Flush() // to where the summary went
}
