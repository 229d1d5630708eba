package config

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/drivemill/drivemill/pipeline"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected output in testdata")

// The components of the tests: enough to have one of every kind of setting.

type filterConfig struct {
	Where  pipeline.Text `yaml:"where" required:"true" doc:"Rows to keep."`
	OnNull string        `yaml:"on_null" default:"drop" enum:"drop,keep" doc:"Rows where it is null."`
}

type deriveConfig struct {
	Columns pipeline.Map[pipeline.Text] `yaml:"columns" required:"true" doc:"New columns and their expressions."`
	Drop    []pipeline.Text             `yaml:"drop" doc:"Columns to leave out."`
}

type side struct {
	URI   pipeline.Text `yaml:"uri" required:"true" shorthand:"true" doc:"The table."`
	Limit pipeline.Size `yaml:"limit" default:"16MiB" doc:"At most this much."`
}

type lookupConfig struct {
	Pos       pipeline.Pos
	Table     side              `yaml:"table" required:"true" doc:"The table to join."`
	On        map[string]string `yaml:"on" required:"true" doc:"Columns that must be equal."`
	Tolerance time.Duration     `yaml:"tolerance" default:"30m" doc:"How far apart rows may be."`
	Least     int8              `yaml:"least" doc:"A small number."`
	Weight    float64           `yaml:"weight" default:"0.5" doc:"A number."`
	Strict    bool              `yaml:"strict" default:"true" doc:"A switch."`
	Extra     *side             `yaml:"extra" doc:"Another table."`
	Parts     []uint16          `yaml:"parts" default:"1,2" doc:"Some numbers."`
}

func (c *lookupConfig) Validate(issues *pipeline.Issues) {
	if len(c.On) == 0 {
		issues.Addf(c.Pos, "", "nothing to join on")
	}
}

type sinkConfig struct {
	URI       pipeline.Text `yaml:"uri" required:"true" doc:"Where to write."`
	Partition []string      `yaml:"partition" default:"drive_date" doc:"Partition keys."`
	codec
}

type codec struct {
	Codec string `yaml:"codec" default:"zstd" enum:"zstd,snappy" doc:"Compression."`
}

type formatConfig struct {
	TimeZone string               `yaml:"time_zone" default:"UTC" doc:"Zone."`
	Layout   pipeline.Map[string] `yaml:"layout" doc:"Layout by table."`
}

type fakeFormat struct{ name string }

func (f fakeFormat) Name() string { return f.name }

func (fakeFormat) Sniff(string, []byte) bool { return false }

func (fakeFormat) Describe(context.Context, pipeline.Source) (*pipeline.Description, error) {
	return nil, pipeline.ErrUnsupported
}

func (fakeFormat) Open(context.Context, pipeline.Source, *pipeline.Description, pipeline.Selection, pipeline.DecodeOptions) (pipeline.Decoder, error) {
	return nil, pipeline.ErrUnsupported
}

func testRegistry() *pipeline.Registry {
	r := new(pipeline.Registry)
	r.AddFormat(pipeline.FormatSpec{Format: fakeFormat{"mcap"}})
	r.AddFormat(pipeline.FormatSpec{Format: fakeFormat{"parquet"}})
	r.AddFormat(pipeline.FormatSpec{Format: fakeFormat{"mdf4"}, Config: func() any { return new(formatConfig) }})
	stage := func(name, example string, config func() any) {
		r.AddStage(pipeline.StageSpec{Name: name, Summary: name, Example: example, Config: config,
			New: func(context.Context, any, pipeline.Env) (pipeline.Stage, error) { return nil, nil }})
	}
	stage("filter", `
pipeline: p
inputs: {a: {uri: "x/{v}/*.mcap", group: v, tables: {t: /t, u: {columns: b.*, type: T}, w: }}}
stages: {f: {use: filter, from: a, where: "true"}}
outputs: {o: {use: parquet, from: [f], uri: lake, partition: []}}
`, func() any { return new(filterConfig) })
	stage("derive", `
x-shared: &shared {use: derive, from: a, columns: {one: 1, two: "x + 1"}}
pipeline: p
description: Adds columns.
inputs: {a: {uri: "${DIR:x}/*.mcap", clock: log, clock_window: 2d, from: 2024-05-01T00:00:00Z}}
stages: {f: {use: derive, from: a, columns: {one: 1, two: "x + 1"}, as: "{table}_f"}}
outputs: {o: {use: parquet, from: [f], uri: lake, codec: snappy}}
`, func() any { return new(deriveConfig) })
	stage("lookup", `
pipeline: p
inputs: {a: {uri: x, on_bad_data: fail, formats: {mdf4: {time_zone: CET, layout: {"CAN*": long}}}}}
stages: {f: {use: lookup, from: a, table: w.csv, on: {a: b}, least: -3, weight: 1, tolerance: "${T:1h}"}}
outputs: {o: {use: parquet, from: [f], uri: lake}}
`, func() any { return new(lookupConfig) })
	r.AddSink(pipeline.SinkSpec{Name: "parquet", Summary: "parquet", Config: func() any { return new(sinkConfig) }})
	return r
}

// TestLoad runs every case of testdata/load: a pipeline, optionally overrides
// (one a line) and variables (NAME=value), and what is expected: the mistakes,
// or without any, the normalised pipeline.
func TestLoad(t *testing.T) {
	files, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			section := make(map[string]string)
			for _, f := range ar.Files {
				section[f.Name] = string(f.Data)
			}
			vars := make(map[string]string)
			for l := range strings.Lines(section["env"]) {
				k, v, _ := strings.Cut(strings.TrimSuffix(l, "\n"), "=")
				vars[k] = v
			}
			opts := LoadOptions{Env: func(k string) (string, bool) { v, ok := vars[k]; return v, ok }}
			for l := range strings.Lines(section["set"]) {
				opts.Set = append(opts.Set, strings.TrimSuffix(l, "\n"))
			}
			p, err := Load("p.yaml", []byte(strings.TrimSuffix(section["p.yaml"], "#EOF\n")), opts, testRegistry())
			if p == nil {
				t.Fatal("no pipeline")
			}
			var got string
			if err != nil {
				got = err.Error() + "\n"
			} else {
				got = string(p.Normalised())
				again, err := Load("p.yaml", []byte(got), LoadOptions{}, testRegistry())
				if err != nil {
					t.Errorf("the normalised pipeline does not load: %v", err)
				} else if d := cmp.Diff(got, string(again.Normalised())); d != "" {
					t.Errorf("normalising twice:\n%s", d)
				}
			}
			if *rewrite {
				ar.Files = append(ar.Files[:len(ar.Files)-1], txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(name, txtar.Format(ar), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(section["want"], got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// Settings on the command line are those of a pipeline.
func TestSettings(t *testing.T) {
	sets, err := Settings([]string{"mdf4.time_zone=CET", "mdf4.layout.CAN=long"}, testRegistry())
	if err != nil {
		t.Fatal(err)
	}
	c := sets[0].Config.(*formatConfig)
	if len(sets) != 1 || c.TimeZone != "CET" || c.Layout.Entries[0].Value != "long" {
		t.Errorf("%+v", c)
	}
	for _, wrong := range []string{"mdf4.timezone=CET", "mcap.x=1", "nothing.x=1", "mdf4", "x"} {
		if _, err := Settings([]string{wrong}, testRegistry()); err == nil {
			t.Errorf("%s: no error", wrong)
		}
	}
}
