package explore

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
)

// Report is what Inspect found, in the form that inspect --json prints.
type Report struct {
	URI         string                 `json:"uri"`
	Size        int64                  `json:"size"`
	Format      string                 `json:"format"`
	Version     string                 `json:"version,omitempty"`
	Profile     string                 `json:"profile,omitempty"`
	Writer      string                 `json:"writer,omitempty"`
	Indexed     bool                   `json:"indexed"`
	Start       string                 `json:"start,omitempty"` // RFC 3339 with nanoseconds
	End         string                 `json:"end,omitempty"`
	DurationNs  int64                  `json:"duration_ns"`
	Rows        int64                  `json:"rows"` // -1 where unknown
	Compression []pipeline.Compression `json:"compression,omitempty"`
	Attributes  map[string]string      `json:"attributes,omitempty"`
	Tables      []TableReport          `json:"tables"`
	Problems    []ProblemReport        `json:"problems"`
}

// TableReport is one table of a report.
type TableReport struct {
	Name     string         `json:"name"`
	Schema   string         `json:"schema,omitempty"`
	Encoding string         `json:"encoding,omitempty"`
	Raw      bool           `json:"raw,omitempty"`
	Rows     int64          `json:"rows"` // -1 where unknown
	RateHz   float64        `json:"rate_hz,omitempty"`
	Clocks   []string       `json:"clocks,omitempty"`
	Columns  []ColumnReport `json:"columns"`
}

// ColumnReport is one column of a table.
type ColumnReport struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Unit string `json:"unit,omitempty"`
}

// ProblemReport is one problem of a recording.
type ProblemReport struct {
	Kind   string `json:"kind"`
	Table  string `json:"table,omitempty"`
	Offset *int64 `json:"offset,omitempty"`
	Detail string `json:"detail"`
	Loses  bool   `json:"loses_rows"`
}

// Configure returns the registry with the settings of formats that a command
// line gives as format.key=value.
func Configure(ctx context.Context, reg *pipeline.Registry, settings []string, env pipeline.Env) (*pipeline.Registry, error) {
	sets, err := config.Settings(settings, reg)
	if err != nil {
		return nil, err
	}
	for _, s := range sets {
		spec, _ := reg.Format(s.Name)
		f, err := spec.Configure(ctx, s.Config, env)
		if err != nil {
			return nil, err
		}
		reg = reg.With(f)
	}
	return reg, nil
}

// Inspect describes the recording at a URI.
func Inspect(ctx context.Context, reg *pipeline.Registry, uri string, src pipeline.Source, format string) (*Report, error) {
	_, d, err := describe(ctx, reg, src, format)
	if err != nil {
		return nil, err
	}
	var size int64
	for _, p := range pipeline.Parts(src) {
		size += p.Object().Size
	}
	r := &Report{URI: uri, Size: size, Format: d.Format, Version: d.Version, Profile: d.Profile, Writer: d.Writer,
		Indexed: d.Indexed, Compression: d.Compression, Attributes: d.Attributes, Tables: []TableReport{}, Problems: []ProblemReport{}}
	if d.HasTime {
		r.Start, r.End, r.DurationNs = stamp(d.Start), stamp(d.End), d.End-d.Start
	}
	for _, t := range d.Tables {
		tr := TableReport{Name: t.Table.Name, Schema: t.SchemaName, Encoding: t.Encoding, Raw: t.Raw, Rows: t.Rows, Columns: []ColumnReport{}}
		start, end, timed := d.Start, d.End, d.HasTime
		if t.HasTime {
			start, end, timed = t.Start, t.End, true
		}
		if timed && end > start && t.Rows > 1 {
			tr.RateHz = float64(t.Rows-1) / (float64(end-start) / 1e9)
		}
		for _, c := range t.Table.Clocks {
			tr.Clocks = append(tr.Clocks, c.Name+"="+c.Column)
		}
		for _, f := range t.Table.Schema.Fields() {
			unit, _ := f.Metadata.GetValue(pipeline.MetaUnit)
			tr.Columns = append(tr.Columns, ColumnReport{Name: f.Name, Type: f.Type.String(), Unit: unit})
		}
		if t.Rows < 0 {
			r.Rows = -1
		} else if r.Rows >= 0 {
			r.Rows += t.Rows
		}
		r.Tables = append(r.Tables, tr)
	}
	for _, p := range d.Problems {
		pr := ProblemReport{Kind: p.Kind, Table: p.Table, Detail: p.Detail, Loses: p.Loses}
		if p.Offset >= 0 {
			off := p.Offset
			pr.Offset = &off
		}
		r.Problems = append(r.Problems, pr)
	}
	return r, nil
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000000000Z") }

// Text prints the report for a person; columns says whether to list them.
func (r *Report) Text(w io.Writer, columns bool) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(key, format string, args ...any) { fmt.Fprintf(tw, key+"\t"+format+"\n", args...) }
	line("recording", "%s", r.URI)
	line("size", "%s (%d bytes)", Bytes(r.Size), r.Size)
	format := r.Format
	for _, s := range []string{r.Version, r.Profile} {
		if s != "" {
			format += " " + s
		}
	}
	line("format", "%s", format)
	if r.Writer != "" {
		line("written by", "%s", r.Writer)
	}
	if r.Indexed {
		line("index", "yes")
	} else {
		line("index", "no: the recording was scanned")
	}
	if r.Start != "" {
		line("start", "%s", r.Start)
		line("end", "%s", r.End)
		line("duration", "%s", time.Duration(r.DurationNs))
	}
	line("rows", "%s", count(r.Rows))
	for _, c := range r.Compression {
		ratio := ""
		if c.Compressed > 0 && c.Raw > 0 {
			about := ""
			if c.Estimated {
				about = "about "
			}
			ratio = fmt.Sprintf(", %s%s stored, %s%s unpacked, ratio %s%.2f", about, Bytes(c.Compressed), about, Bytes(c.Raw), about, float64(c.Raw)/float64(c.Compressed))
		}
		line("compression", "%s: %d chunks%s", c.Codec, c.Chunks, ratio)
	}
	for _, k := range sortedNames(r.Attributes) {
		line("attribute", "%s = %s", k, r.Attributes[k])
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(tw, "TABLE\tROWS\tHZ\tENCODING\tSCHEMA\tCOLUMNS")
	for _, t := range r.Tables {
		rate := ""
		if t.RateHz > 0 {
			rate = fmt.Sprintf("%.2f", t.RateHz)
		}
		enc := t.Encoding
		if t.Raw {
			enc = strings.TrimSpace(enc + " (raw)")
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%d\n", t.Name, count(t.Rows), rate, enc, t.Schema, len(t.Columns))
		if columns {
			for _, c := range t.Columns {
				fmt.Fprintf(tw, "  %s\t%s\t\t\t%s\t\n", c.Name, c.Type, c.Unit)
			}
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(r.Problems) > 0 {
		fmt.Fprintln(w)
		fmt.Fprintln(tw, "PROBLEM\tTABLE\tOFFSET\tDETAIL")
		for _, p := range r.Problems {
			off := ""
			if p.Offset != nil {
				off = fmt.Sprint(*p.Offset)
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", p.Kind, p.Table, off, p.Detail)
		}
	}
	return tw.Flush()
}

func count(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return fmt.Sprint(n)
}

// Bytes writes a number of bytes for a person, in binary units.
func Bytes(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

func sortedNames(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
