package mdf4

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
)

// Name is the name of the format.
const Name = "mdf4"

// FormatSpec announces the format.
func FormatSpec() pipeline.FormatSpec {
	return pipeline.FormatSpec{
		Format:  New(),
		Summary: "ASAM MDF 4.00 to 4.20 recordings, and what of 4.30 is stored like them",
		Doc: "Channel groups become tables called <source>/<acquisition name>, with the absolute time in the column time and a column for each channel: the physical value, " +
			"and where a conversion makes texts the text in <name>_label. Sorted, unsorted and column-oriented storage, deflate, zstd and lz4 blocks, bus logging, and files that " +
			"were never finalised are read; MDF 2 and 3 and the dynamic data of 4.30 are not. The attribute database of a table of bus frames names the bus descriptions attached to it, which drivemill extract gives.",
		Extensions: []string{"mf4", "mdf4"},
		Behaviour:  2,
		Config:     func() any { return &Config{} },
		Configure: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Format, error) {
			return configured(config.(*Config))
		},
	}
}

// Config are the settings of the format in an input.
type Config struct {
	TimeZone pipeline.Text   `yaml:"time_zone" doc:"Time zone of recordings whose start is a local time, by its IANA name. Without it such recordings have no absolute time." example:"Europe/Berlin"`
	Long     []pipeline.Text `yaml:"long" doc:"Globs of tables that get the long layout: a row for each signal of a record, with the columns signal_id, time, value_double, value_int and value_text." example:"[\"CAN*\"]"`
	Signals  bool            `yaml:"signals" doc:"Adds the table signals, the dictionary of all signals: id, table, column, source, bus, message, unit, description, labels, type, rate. Tables in the long layout bring it along."`
}

func configured(c *Config) (*Format, error) {
	f := New()
	if c.TimeZone.Value != "" {
		zone, err := time.LoadLocation(c.TimeZone.Value)
		if err != nil {
			return nil, c.TimeZone.Issuef(0, "%q is no time zone such as Europe/Berlin: %v", c.TimeZone.Value, err)
		}
		f.Zone = zone
	}
	for _, l := range c.Long {
		g, err := config.CompileGlob(l.Value)
		if err != nil {
			return nil, l.Issuef(0, "%q: %v", l.Value, err)
		}
		f.Long = append(f.Long, g)
	}
	f.Signals = c.Signals
	return f, nil
}

// Format reads MDF 4 files. It is a pipeline.Format.
type Format struct {
	// Limits on what a file may claim; set before use.
	Limits Limits
	// Zone is the time zone of recordings that start at a local time; nil for
	// unknown.
	Zone *time.Location
	// Long are the tables that get the long layout, by name.
	Long []config.Glob
	// Signals adds the dictionary of signals as a table.
	Signals bool
}

func (f *Format) isLong(name string) bool {
	return slices.ContainsFunc(f.Long, func(g config.Glob) bool { return g.Match(name) })
}

// New makes the format.
func New() *Format { return &Format{} }

var (
	_ pipeline.Format    = (*Format)(nil)
	_ pipeline.Extractor = (*Format)(nil)
)

// Name returns "mdf4".
func (f *Format) Name() string { return Name }

// Sniff looks for the identification, whatever the revision, so that older ones
// are refused by name.
func (f *Format) Sniff(name string, head []byte) bool {
	_, ok := isMDF(head)
	return ok
}

// index is kept between Describe and Open.
type index struct {
	file   *file
	anchor anchor
	tables []*table
	dict   *dictionary // nil unless it is wanted
}

// Open starts decoding.
func (f *Format) Open(ctx context.Context, src pipeline.Source, d *pipeline.Description, sel pipeline.Selection, opt pipeline.DecodeOptions) (pipeline.Decoder, error) {
	ix, ok := d.Index.(*index)
	if !ok {
		return nil, f.fail(src, fmt.Errorf("description of a %s file: %w", d.Format, pipeline.ErrSchema))
	}
	if src.Object().ETag != ix.file.src.Object().ETag {
		return nil, f.fail(src, fmt.Errorf("the file is not the one that was described: %w", pipeline.ErrChanged))
	}
	here := *ix
	file := *ix.file
	file.src = src
	here.file = &file
	return f.newDecoder(ctx, &here, src.Object().URI, sel, opt)
}

func (f *Format) fail(src pipeline.Source, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &pipeline.DecodeError{Object: src.Object().URI, Format: Name, Offset: -1, Record: -1, Err: err}
}
