// Package drivemodels is the stage that tells products apart: it adds to rows
// of drives what is known of their model.
//
//	stages:
//	  known:
//	    use: drive_models
//	    from: drives.stats
//	    models: s3://fleet-meta/models.csv
//
// Columns model, capacity_bytes and date are read, and these are added:
//
//	model_norm      one name for a product that reports several; "unknown" without one
//	maker           Seagate, Toshiba, WDC (Hitachi and HGST are WDC), ...; or "unknown"
//	drive_class     data_hdd, boot_hdd or boot_ssd
//	capacity_clean  capacity_bytes, null unless above 0 and below 1,000 TB
//
// The model stays as it was reported. What is known is a table built into the
// program, whose version is kept with the table in the lake. A CSV or Parquet
// file with the columns model (as reported), model_norm, maker and drive_class
// goes before it, model by model; its hash is in the lineage.
package drivemodels

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/stages/internal/cells"
	"github.com/drivemill/drivemill/stages/internal/fleet"
)

// VersionAttribute is the attribute of a table that holds the version of the
// built-in table of models.
const VersionAttribute = "drive_models"

// Config is the configuration of the stage.
type Config struct {
	Pos    pipeline.Pos
	Models pipeline.Text `yaml:"models" doc:"CSV or Parquet file with columns model, model_norm, maker, drive_class that goes before the built-in table"`
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "drive_models",
		Summary: "add a drive's product, maker and class, found by its model",
		Doc: "Adds model_norm, maker, drive_class and capacity_clean to rows with model, capacity_bytes and date. Names of makers in front of product numbers go, endings stay. " +
			"Classes are data_hdd, boot_hdd and boot_ssd. The built-in table is version " + fleet.Version + "; `models` names a file that goes before it.",
		Example: `pipeline: models
inputs:
  drives: {uri: "testdata/drivestats/*.csv", format: drivestats}
stages:
  known: {use: drive_models, from: drives}
outputs:
  lake: {use: parquet, from: known, uri: lake, partition: [month]}
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(ctx context.Context, config any, env pipeline.Env) (pipeline.Stage, error) {
			s, err := newStage(ctx, config.(*Config), env)
			if err != nil {
				return nil, err
			}
			return pipeline.Rows(s), nil
		},
	}
}

type stage struct {
	Config
	dataset string // empty without a file
	loaded  bool
	own     map[string]fleet.Model
}

func newStage(ctx context.Context, c *Config, env pipeline.Env) (*stage, error) {
	s := &stage{Config: *c, loaded: true}
	if c.Models.Value == "" {
		return s, nil
	}
	s.dataset = c.Models.Value
	side, err := env.LoadTable(ctx, c.Models)
	switch {
	case errors.Is(err, pipeline.ErrNotLoaded):
		s.loaded = false
		return s, nil
	case err != nil:
		var issues pipeline.Issues
		if issues.Add(err) {
			return nil, issues.Err()
		}
		return nil, fmt.Errorf("loading models from %s: %w", c.Models.Value, err)
	}
	s.dataset = side.URI
	at, err := cells.Find(side.Table, c.Models.Pos, "drive_models", []cells.Want{
		{Name: "model", Text: true}, {Name: "model_norm", Text: true}, {Name: "maker", Text: true}, {Name: "drive_class", Text: true},
	})
	if err != nil {
		return nil, err
	}
	var cols [4]cells.Texts
	for i := range cols {
		cols[i].Load(side.Record.Column(at[i]))
	}
	s.own = make(map[string]fleet.Model)
	var issues pipeline.Issues
	for i := range int(side.Record.NumRows()) {
		name, m := strings.Clone(cols[0].At(i)), fleet.Model{
			Name: strings.Clone(cols[1].At(i)), Maker: strings.Clone(cols[2].At(i)), Class: strings.Clone(cols[3].At(i)), Listed: true,
		}
		if _, twice := s.own[name]; twice {
			issues.Add(c.Models.Issuef(0, "model %q is there twice", name))
		}
		if m.Name == "" || m.Maker == "" || !slices.Contains([]string{fleet.DataHDD, fleet.BootHDD, fleet.BootSSD}, m.Class) {
			issues.Add(c.Models.Issuef(0, "model %q: want model_norm, maker, and drive_class %s, %s or %s", name, fleet.DataHDD, fleet.BootHDD, fleet.BootSSD))
		}
		s.own[name] = m
	}
	return s, issues.Err()
}

// BindTable implements pipeline.RowStage.
func (s *stage) BindTable(in *pipeline.Table) (*pipeline.RowBinding, error) {
	at, err := cells.Find(in, s.Pos, "drive_models", []cells.Want{{Name: "model", Text: true}, {Name: "capacity_bytes"}, {Name: "date"}})
	if err != nil {
		return nil, err
	}
	added := []arrow.Field{
		cells.Field("model_norm", arrow.StringType, "one name for a product that reports several"),
		cells.Field("maker", arrow.StringType, "maker of the drive"),
		cells.Field("drive_class", arrow.StringType, "data_hdd, boot_hdd or boot_ssd"),
		cells.Field("capacity_clean", arrow.Int64Type, "capacity in bytes where it can be believed"),
	}
	var issues pipeline.Issues
	for _, f := range added {
		if in.Column(f.Name) >= 0 {
			issues.Add(&pipeline.Issue{Pos: s.Pos, Message: fmt.Sprintf("table %s has a column %s already", in.Name, f.Name)})
		}
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	out := cells.Same(in)
	meta := in.Schema.Metadata()
	out.Table = in.With(arrow.NewSchema(append(slices.Clone(in.Schema.Fields()), added...), &meta))
	out.Table.Attributes = maps.Clone(in.Attributes)
	if out.Table.Attributes == nil {
		out.Table.Attributes = make(map[string]string)
	}
	out.Table.Attributes[VersionAttribute] = fleet.Version
	model := []pipeline.ColumnRef{{Table: in, Column: "model"}}
	if s.dataset != "" {
		for _, c := range []string{"model_norm", "maker", "drive_class"} {
			model = append(model, pipeline.ColumnRef{Dataset: s.dataset, Column: c})
		}
	}
	class := append(slices.Clone(model), pipeline.ColumnRef{Table: in, Column: "capacity_bytes"}, pipeline.ColumnRef{Table: in, Column: "date"})
	by := "drive models " + fleet.Version
	out.Columns = append(out.Columns,
		pipeline.Derivation{Inputs: model, Expression: by}, pipeline.Derivation{Inputs: model, Expression: by}, pipeline.Derivation{Inputs: class, Expression: by},
		pipeline.Derivation{Inputs: []pipeline.ColumnRef{{Table: in, Column: "capacity_bytes"}}, Expression: "null unless above 0 and below 1000 TB"})
	return &pipeline.RowBinding{Output: out, Open: func(opt pipeline.ProcessOptions) (pipeline.RowFunc, error) {
		if !s.loaded {
			return nil, fmt.Errorf("models of %s: %w", s.Models.Value, pipeline.ErrNotLoaded)
		}
		p := &finder{stage: s, out: out.Table, at: at, opt: opt, known: make(map[string]*fleet.Model)}
		return p.process, nil
	}}, nil
}

// finder is what one worker holds.
type finder struct {
	*stage
	out      *pipeline.Table
	at       []int
	opt      pipeline.ProcessOptions
	known    map[string]*fleet.Model
	model    cells.Texts
	capacity cells.Ints
	date     cells.Ints
}

func (p *finder) process(_ context.Context, b *pipeline.Batch, _ *pipeline.Account) (*pipeline.Batch, error) {
	defer b.Release()
	p.model.Load(b.Record.Column(p.at[0]))
	p.capacity.Load(b.Record.Column(p.at[1]))
	p.date.Load(b.Record.Column(p.at[2]))
	mem := p.opt.Allocator
	name, maker, class := column.New(mem, arrow.StringType), column.New(mem, arrow.StringType), column.New(mem, arrow.StringType)
	clean := column.New(mem, arrow.Int64Type)
	var last string
	var m *fleet.Model
	for i := range b.Rows() {
		if s := p.model.At(i); m == nil || s != last {
			m, last = p.find(s), s
		}
		capacity, ok := int64(0), false
		if !p.capacity.Null(i) {
			capacity, ok = fleet.CleanCapacity(p.capacity.At(i))
		}
		cells.Maybe(clean, capacity, ok)
		if !ok {
			capacity = 0
		}
		name.AppendString(m.Name)
		maker.AppendString(m.Maker)
		class.AppendString(m.Classify(capacity, p.date.At(i)))
	}
	cols := slices.Clone(b.Record.Columns())
	for _, c := range []*column.Column{name, maker, class, clean} {
		arr := c.Finish()
		defer arr.Release()
		cols = append(cols, arr)
	}
	rec := arrow.NewRecord(p.out.Schema, cols, int64(b.Rows()))
	return &pipeline.Batch{Table: p.out, Record: rec, Origin: b.Origin}, nil
}

// find looks a model up, once for each name.
func (p *finder) find(reported string) *fleet.Model {
	if m := p.known[reported]; m != nil {
		return m
	}
	reported = strings.Clone(reported)
	m, ok := p.own[reported]
	if !ok {
		m = fleet.Find(reported)
	}
	p.known[reported] = &m
	return &m
}
