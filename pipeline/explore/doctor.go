package explore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/drivemill/drivemill/pipeline"
)

// What makes a clock a problem.
const (
	maxOffset = time.Second // of the mean
	maxDrift  = 200         // millionths
	driftLook = 60          // seconds: in a shorter time drift is mostly jitter
)

// examine looks at the clocks of every row, through the decoder that a
// pipeline would use, and at every attachment.
func (r *Report) examine(ctx context.Context, f pipeline.Format, src pipeline.Source, d *pipeline.Description, opt InspectOptions) error {
	r.Deep = true
	sel := pipeline.Selection{Tables: []pipeline.TableSelection{}}
	clocks := make(map[string]*tableClocks)
	at := make(map[string]int)
	for i, info := range d.Tables {
		at[info.Table.Name] = i
		var columns []string
		for _, c := range info.Table.Clocks {
			columns = append(columns, c.Column)
		}
		if len(columns) == 0 {
			// Its rows are counted; a column makes sure that they can be read.
			columns = info.Table.ColumnNames()[:min(1, info.Table.Schema.NumFields())]
		}
		sel.Tables = append(sel.Tables, pipeline.TableSelection{Table: info.Table, Columns: columns})
		clocks[info.Table.Name] = newTableClocks(info.Table)
	}
	bad := make(map[string]map[string]int64)
	dec, err := f.Open(ctx, src, d, sel, pipeline.DecodeOptions{Workers: opt.Workers, Reject: func(b pipeline.BadRow) error {
		if bad[b.Table] == nil {
			bad[b.Table] = make(map[string]int64)
			r.Problems = append(r.Problems, ProblemReport{Kind: "bad_row", Table: b.Table, Offset: known(b.Offset), Loses: true,
				Detail: fmt.Sprintf("record %d is the first that cannot be decoded: %s: %v", b.Record, b.Reason, b.Err)})
		}
		bad[b.Table][b.Reason]++
		return nil
	}})
	if err != nil {
		return err
	}
	defer dec.Close()
	for {
		el, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if el.Batch == nil {
			continue
		}
		if c := clocks[el.Batch.Table.Name]; c != nil {
			c.add(el.Batch)
		}
		el.Batch.Release()
	}
	r.addProblems(dec.Problems())
	r.Rows = 0
	for _, c := range dec.Counts() {
		r.Rows += c.Found
		i, ok := at[c.Table]
		if !ok {
			if c.LostBytes > 0 {
				r.Problems = append(r.Problems, ProblemReport{Kind: "lost", Detail: fmt.Sprintf("%d bytes cannot be read; nobody knows how many rows are in them", c.LostBytes), Loses: true})
			}
			continue
		}
		t := &r.Tables[i]
		t.Rows, t.Lost, t.Rejected = c.Found, c.Lost, c.Rejected
		if c.Lost > 0 {
			r.Problems = append(r.Problems, ProblemReport{Kind: "lost", Table: c.Table, Detail: fmt.Sprintf("%d of %d rows are not there", c.Lost, c.Indexed), Loses: true})
		}
	}
	for i := range r.Tables {
		t := &r.Tables[i]
		for k := range clocks[t.Name].clocks {
			t.Times = append(t.Times, clocks[t.Name].clocks[k].report())
		}
		t.judge(r)
	}
	return r.verify(ctx, f, src, d)
}

func known(off int64) *int64 {
	if off < 0 {
		return nil
	}
	return &off
}

// judge turns what the clocks of a table tell into rates and problems.
func (t *TableReport) judge(r *Report) {
	problem := func(kind, format string, args ...any) {
		r.Problems = append(r.Problems, ProblemReport{Kind: kind, Table: t.Name, Detail: fmt.Sprintf(format, args...)})
	}
	for i := range t.Times {
		c := &t.Times[i]
		if c.Name == "log" || len(t.Times) == 1 {
			if span := float64(c.last) - float64(c.first); span > 0 && c.Rows > 1 {
				t.RateHz = float64(c.Rows-1) / (span / 1e9)
			}
			if c.Rows > 0 {
				t.Start, t.End = c.First, c.Last
			}
		}
		if c.Rows == 0 {
			continue
		}
		if c.first == 0 && c.last == 0 {
			problem("clock_unset", "the %s clock is 0 in all rows", c.Name)
			continue
		}
		if c.Backwards > 0 {
			problem("time_backwards", "%d of %d rows are earlier on the %s clock than the row before", c.Backwards, c.Rows, c.Name)
		}
		if c.Gaps > 0 && (c.Name == "log" || len(t.Times) == 1) {
			problem("gaps", "%d times the next row took more than %d times the usual %s, at most %s after %s", c.Gaps, gapFactor, brief(c.MedianNs), brief(c.LargestGapNs), c.LargestGapAt)
		}
		o := c.Offset
		if o == nil {
			continue
		}
		if o.MeanNs > int64(maxOffset) || o.MeanNs < -int64(maxOffset) {
			side := "behind"
			if o.MeanNs < 0 {
				side = "ahead of"
			}
			problem("clock_offset", "the %s clock is %s %s the log clock on average", c.Name, brief(abs(o.MeanNs)), side)
		}
		if o.DriftPPM != nil && math.Abs(*o.DriftPPM) > maxDrift && c.last-c.first >= driftLook*int64(time.Second) {
			problem("clock_drift", "the %s clock drifts by %.0f ppm against the log clock", c.Name, *o.DriftPPM)
		}
	}
}

func abs(n int64) int64 {
	if n < 0 {
		return -max(n, -math.MaxInt64)
	}
	return n
}

// verify reads every attachment, whose checksum is looked at on the way.
func (r *Report) verify(ctx context.Context, f pipeline.Format, src pipeline.Source, d *pipeline.Description) error {
	x, ok := f.(pipeline.Extractor)
	if !ok {
		return nil
	}
	for i, a := range d.Attachments {
		if a.External != "" {
			continue
		}
		rc, err := x.OpenAttachment(ctx, src, d, i)
		if err == nil {
			_, err = io.Copy(io.Discard, rc)
			err = errors.Join(err, rc.Close())
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil || pipeline.IsTransient(err) {
			return err
		}
		r.Problems = append(r.Problems, ProblemReport{Kind: "bad_attachment", Offset: known(a.Offset), Detail: fmt.Sprintf("%s: %v", a.Name, err)})
	}
	return nil
}
