package pipeline

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Registry holds the formats, stages and sinks built into a binary. It is
// filled by plain function calls before use and read-only afterwards.
type Registry struct {
	formats []FormatSpec
	stages  map[string]StageSpec
	sinks   map[string]SinkSpec
}

// FormatSpec announces a format.
type FormatSpec struct {
	Format Format
	// Summary is one line; Doc says what is read and what is refused.
	Summary, Doc string
	// Extensions are the usual ends of file names, without the dot: mcap. They
	// tell the format of an input before any object is read.
	Extensions []string
	// Behaviour is raised whenever the rows decoded from the same bytes change.
	Behaviour int
	// Config returns a pointer to a zero struct of settings, tagged as package
	// config describes; nil for a format without any. Settings stand under
	// formats.<name> of an input, and are part of the fingerprint.
	Config func() any
	// Configure returns the format as settings that were decoded without error
	// want it; Format is the one without any. Mistakes are reported as Issues.
	Configure func(ctx context.Context, config any, env Env) (Format, error)
}

// StageSpec announces a stage.
type StageSpec struct {
	Name         string
	Summary, Doc string
	// Example is a complete pipeline that runs over testdata.
	Example   string
	Behaviour int
	// Config returns a pointer to a zero configuration struct. Its fields
	// carry the tags that package config describes.
	Config func() any
	// New makes the stage from a configuration that was decoded without
	// error. Mistakes are reported as Issues. The context is for loading side
	// data through env and is not kept.
	New func(ctx context.Context, config any, env Env) (Stage, error)
}

// SinkSpec announces a sink.
type SinkSpec struct {
	Name         string
	Summary, Doc string
	Example      string
	Behaviour    int
	Config       func() any
	New          func(ctx context.Context, config any, env Env) (Sink, error)
}

// Env is what stages and sinks may use of their surroundings.
type Env interface {
	// OpenStore opens the store at a URI or path.
	OpenStore(ctx context.Context, uri string) (Store, error)
	// LoadTable reads a small table (CSV, Parquet) whole. While a pipeline is
	// only being validated no data is read, and it returns ErrNotLoaded. The
	// content hash becomes part of the fingerprint of what depends on it.
	LoadTable(ctx context.Context, uri Text) (*SideTable, error)
	// LoadFile reads a small object whole as bytes, for side data that is no
	// table: a CAN database. The rules of LoadTable apply.
	LoadFile(ctx context.Context, uri Text) (*SideFile, error)
	// Warn tells the user about something that does not keep the pipeline from
	// running: a mistake in side data that is left out.
	Warn(issue *Issue)
}

// ErrNotLoaded is returned by Env.LoadTable and LoadFile when no data may be
// read.
var ErrNotLoaded = fmt.Errorf("side data is not read while validating")

// SideTable is a small table held in memory, shared and read-only.
type SideTable struct {
	URI    string
	Table  *Table
	Record arrow.Record
	SHA256 string // of the object's bytes
}

// SideFile is a small object held in memory, shared and read-only.
type SideFile struct {
	URI    string
	Data   []byte
	SHA256 string // of Data
}

// AddFormat adds a format; a second one of the same name panics.
func (r *Registry) AddFormat(s FormatSpec) {
	for _, f := range r.formats {
		if f.Format.Name() == s.Format.Name() {
			panic("pipeline: format " + s.Format.Name() + " registered twice")
		}
	}
	r.formats = append(r.formats, s)
}

// With returns a registry in which the format of that name is f: one with
// settings.
func (r *Registry) With(f Format) *Registry {
	c := *r
	c.formats = slices.Clone(r.formats)
	for i := range c.formats {
		if c.formats[i].Format.Name() == f.Name() {
			c.formats[i].Format = f
		}
	}
	return &c
}

// AddStage adds a stage; a second one of the same name panics.
func (r *Registry) AddStage(s StageSpec) {
	if _, ok := r.stages[s.Name]; ok {
		panic("pipeline: stage " + s.Name + " registered twice")
	}
	if r.stages == nil {
		r.stages = make(map[string]StageSpec)
	}
	r.stages[s.Name] = s
}

// AddSink adds a sink; a second one of the same name panics.
func (r *Registry) AddSink(s SinkSpec) {
	if _, ok := r.sinks[s.Name]; ok {
		panic("pipeline: sink " + s.Name + " registered twice")
	}
	if r.sinks == nil {
		r.sinks = make(map[string]SinkSpec)
	}
	r.sinks[s.Name] = s
}

// Formats lists the formats in the order in which they are sniffed.
func (r *Registry) Formats() []FormatSpec { return r.formats }

// Format finds a format by name.
func (r *Registry) Format(name string) (FormatSpec, bool) {
	for _, f := range r.formats {
		if f.Format.Name() == name {
			return f, true
		}
	}
	return FormatSpec{}, false
}

// Stages lists the stages by name.
func (r *Registry) Stages() []StageSpec {
	out := make([]StageSpec, 0, len(r.stages))
	for _, s := range r.stages {
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Stage finds a stage by name.
func (r *Registry) Stage(name string) (StageSpec, bool) {
	s, ok := r.stages[name]
	return s, ok
}

// Sinks lists the sinks by name.
func (r *Registry) Sinks() []SinkSpec {
	out := make([]SinkSpec, 0, len(r.sinks))
	for _, s := range r.sinks {
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Sink finds a sink by name.
func (r *Registry) Sink(name string) (SinkSpec, bool) {
	s, ok := r.sinks[name]
	return s, ok
}

// Sniff finds the format of an object from its name and first bytes.
func (r *Registry) Sniff(name string, head []byte) (FormatSpec, bool) {
	for _, f := range r.formats {
		if f.Format.Sniff(name, head) {
			return f, true
		}
	}
	return FormatSpec{}, false
}
