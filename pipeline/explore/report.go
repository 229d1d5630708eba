package explore

import (
	"context"
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
	Overlapping int64                  `json:"overlapping_chunks,omitempty"`
	Attributes  map[string]string      `json:"attributes,omitempty"`
	Attachments []AttachmentReport     `json:"attachments,omitempty"`
	Details     []pipeline.Detail      `json:"details,omitempty"`
	Deep        bool                   `json:"deep,omitempty"` // every row was looked at
	Tables      []TableReport          `json:"tables"`
	Problems    []ProblemReport        `json:"problems"`
}

// AttachmentReport is one file that travels with the recording.
type AttachmentReport struct {
	Number    int    `json:"number"` // counted from 1, as extract takes it
	Name      string `json:"name"`
	MediaType string `json:"media_type,omitempty"`
	Size      int64  `json:"size"` // -1 where unknown
	Time      string `json:"time,omitempty"`
	External  string `json:"external,omitempty"`
}

// TableReport is one table of a report.
type TableReport struct {
	Name     string         `json:"name"`
	Schema   string         `json:"schema,omitempty"`
	Encoding string         `json:"encoding,omitempty"`
	Raw      bool           `json:"raw,omitempty"`
	Rows     int64          `json:"rows"` // -1 where unknown
	RateHz   float64        `json:"rate_hz,omitempty"`
	Bytes    int64          `json:"bytes,omitempty"` // of the rows as stored, where known
	Start    string         `json:"start,omitempty"` // on the log clock, as the index tells
	End      string         `json:"end,omitempty"`
	Latched  bool           `json:"latched,omitempty"`
	Clocks   []string       `json:"clocks,omitempty"`
	Columns  []ColumnReport `json:"columns"`
	// Times and Rejected are found out by looking at every row.
	Times    []ClockReport    `json:"times,omitempty"`
	Rejected map[string]int64 `json:"rejected,omitempty"`
	Lost     int64            `json:"lost,omitempty"`
}

// InspectOptions say how closely to look.
type InspectOptions struct {
	Format string // empty: found by looking
	// Deep decodes the clocks of every row and reads every attachment: it takes
	// as long as reading the recording.
	Deep    bool
	Workers int
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

// Inspect describes the recording at a URI. Problems that can only be seen row
// by row are among those of the report when the look was deep.
func Inspect(ctx context.Context, reg *pipeline.Registry, uri string, src pipeline.Source, opt InspectOptions) (*Report, error) {
	spec, d, err := describe(ctx, reg, src, opt.Format)
	if err != nil {
		return nil, err
	}
	r := newReport(uri, src, d)
	if opt.Deep {
		if err := r.examine(ctx, spec.Format, src, d, opt); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// newReport says what the description of a recording does.
func newReport(uri string, src pipeline.Source, d *pipeline.Description) *Report {
	var size int64
	for _, p := range pipeline.Parts(src) {
		size += p.Object().Size
	}
	r := &Report{URI: uri, Size: size, Format: d.Format, Version: d.Version, Profile: d.Profile, Writer: d.Writer,
		Indexed: d.Indexed, Compression: d.Compression, Overlapping: d.Overlapping, Attributes: d.Attributes, Details: d.Details, Tables: []TableReport{}, Problems: []ProblemReport{}}
	if d.HasTime {
		r.Start, r.End, r.DurationNs = stamp(d.Start), stamp(d.End), d.End-d.Start
	}
	for _, t := range d.Tables {
		tr := TableReport{Name: t.Table.Name, Schema: t.SchemaName, Encoding: t.Encoding, Raw: t.Raw, Rows: t.Rows, Columns: []ColumnReport{}}
		start, end, timed := d.Start, d.End, d.HasTime
		if t.HasTime {
			start, end, timed = t.Start, t.End, true
		}
		if t.HasTime {
			tr.Start, tr.End = stamp(t.Start), stamp(t.End)
		}
		tr.Bytes, tr.Latched = max(t.Bytes, 0), t.Latched
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
	for i, a := range d.Attachments {
		r.Attachments = append(r.Attachments, newAttachmentReport(i, a))
	}
	r.addProblems(d.Problems)
	return r
}

func (r *Report) addProblems(problems []pipeline.Problem) {
	for _, p := range problems {
		pr := ProblemReport{Kind: p.Kind, Table: p.Table, Detail: p.Detail, Loses: p.Loses}
		if p.Offset >= 0 {
			off := p.Offset
			pr.Offset = &off
		}
		r.Problems = append(r.Problems, pr)
	}
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000000000Z") }
