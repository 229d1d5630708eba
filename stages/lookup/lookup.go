// Package lookup is the stage that adds columns of a small table, found by key.
//
//	stages:
//	  vehicles:
//	    use: lookup
//	    from: drives.odom
//	    table: s3://fleet-meta/vehicles.csv
//	    on: {vehicle_id: id}
//	    columns: [model, built]
//	    prefix: vehicle_
//	    types: {id: string, model: string, built: date}
//
// The table is a CSV or Parquet file, read once and held in memory. Each row
// gets the columns of the row of the table whose key columns equal its own; keys
// are strings, integers of any width, bools, timestamps or dates, and a null
// equals nothing. A row without a match is kept with nulls in the new columns,
// dropped, or rejected (lookup_missing), as missing says. Two rows of the table
// with one key are a mistake, unless duplicates says that the first counts.
//
// types declares columns of the table: they are cast, exactly, when it is read,
// and let a pipeline be checked without reading it.
package lookup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Missing is the reason for which a row without a match is rejected.
const Missing = "lookup_missing"

// Config is the configuration of a lookup.
type Config struct {
	Table      pipeline.Text               `yaml:"table" required:"true" doc:"CSV or Parquet file to look up in"`
	On         pipeline.Map[pipeline.Text] `yaml:"on" required:"true" doc:"column of the stream: column of the table; all must be equal"`
	Columns    []pipeline.Text             `yaml:"columns" doc:"columns of the table to add; without it all but its keys"`
	Prefix     string                      `yaml:"prefix" doc:"put in front of the names of added columns"`
	Missing    string                      `yaml:"missing" default:"keep" enum:"keep,drop,reject" doc:"what becomes of a row without a match; kept, its new columns are null"`
	Duplicates string                      `yaml:"duplicates" default:"error" enum:"error,first" doc:"what to do when two rows of the table have the same key"`
	Types      pipeline.Map[pipeline.Text] `yaml:"types" doc:"type by column of the table: bool, int8 to int64, uint8 to uint64, float32, float64, string, timestamp, date"`
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "lookup",
		Summary: "add columns of a small table, found by key",
		Doc: "Reads the CSV or Parquet file `table` into memory and adds its `columns` to each row whose key columns, `on`, equal those of a row of the table. " +
			"A null key equals nothing. Rows without a match are kept with nulls, dropped, or rejected as lookup_missing, as `missing` says. " +
			"Declared `types` are cast exactly and make the output known before the table is read.",
		Example: `pipeline: stations
inputs:
  drives:
    uri: testdata/drives/{vehicle_id}/{drive_id}/{logger}.{bag,mcap}
    tables:
      fix: {match: /gps/fix, type: sensor_msgs/NavSatFix}
stages:
  placed:
    use: lookup
    from: drives.fix
    table: testdata/weather/stations.csv
    on: {vehicle_id: vehicle_id}
    columns: [station, elevation_m]
    types: {station: string, elevation_m: float64}
outputs:
  lake: {use: parquet, from: placed, uri: lake}
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
	types   map[string]arrow.DataType
	dataset string
	// What follows is empty while the table is not loaded.
	loaded bool
	side   *sideTable
}

func newStage(ctx context.Context, c *Config, env pipeline.Env) (*stage, error) {
	s := &stage{Config: *c, types: make(map[string]arrow.DataType), dataset: c.Table.Value}
	var issues pipeline.Issues
	if len(c.On.Entries) == 0 {
		issues.Add(c.Table.Issuef(0, "on names no key column"))
	}
	for _, e := range c.Types.Entries {
		t, err := column.CastType(e.Value)
		if err != nil {
			issues.Add(err)
			continue
		}
		s.types[e.Key.Value] = t
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	table, err := env.LoadTable(ctx, c.Table)
	switch {
	case errors.Is(err, pipeline.ErrNotLoaded):
		return s, nil
	case err != nil:
		if issues.Add(err) {
			return nil, issues.Err()
		}
		return nil, fmt.Errorf("loading lookup table %s: %w", c.Table.Value, err)
	}
	s.dataset, s.loaded = table.URI, true
	s.side, err = s.prepare(table)
	return s, err
}

// added is one column that the stage adds.
type added struct {
	field  arrow.Field
	source string      // name in the table
	values arrow.Array // nil while the table is not loaded
}

func (s *stage) BindTable(in *pipeline.Table) (*pipeline.RowBinding, error) {
	var issues pipeline.Issues
	keys := s.keys(in, &issues)
	cols, known := s.added()
	names := in.ColumnNames()
	all := slices.Clone(names)
	for _, c := range cols {
		if slices.Contains(all, c.field.Name) {
			issues.Add(s.Table.Issuef(0, "column %q would be there twice; prefix sets added columns apart", c.field.Name))
		}
		all = append(all, c.field.Name)
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if !known {
		return nil, fmt.Errorf("the columns of %s have no declared types: %w", s.Table.Value, pipeline.ErrNotLoaded)
	}
	fields := slices.Clone(in.Schema.Fields())
	out := pipeline.Output{}
	for _, name := range names {
		ref := pipeline.ColumnRef{Table: in, Column: name}
		out.Columns = append(out.Columns, pipeline.Derivation{Inputs: []pipeline.ColumnRef{ref}, Identity: true})
	}
	for _, c := range cols {
		fields = append(fields, c.field)
		ref := pipeline.ColumnRef{Dataset: s.dataset, Column: c.source}
		out.Columns = append(out.Columns, pipeline.Derivation{Inputs: []pipeline.ColumnRef{ref}, Identity: true})
	}
	meta := in.Schema.Metadata()
	out.Table = in.With(arrow.NewSchema(fields, &meta))
	for _, e := range s.On.Entries {
		out.Reads = append(out.Reads,
			pipeline.Read{ColumnRef: pipeline.ColumnRef{Table: in, Column: e.Key.Value}, How: "JOIN"},
			pipeline.Read{ColumnRef: pipeline.ColumnRef{Dataset: s.dataset, Column: e.Value.Value}, How: "JOIN"})
	}
	return &pipeline.RowBinding{
		Output: out,
		Open: func(opt pipeline.ProcessOptions) (pipeline.RowFunc, error) {
			if !s.loaded {
				return nil, fmt.Errorf("lookup table %s: %w", s.Table.Value, pipeline.ErrNotLoaded)
			}
			l := &lookup{stage: s, out: out.Table, cols: cols, opt: opt, probe: s.side.index.newProbe(keys)}
			return l.process, nil
		},
	}, nil
}

// keys finds the key columns in a table and checks them against those of the
// lookup table, as far as their types are known.
func (s *stage) keys(in *pipeline.Table, issues *pipeline.Issues) []int {
	var keys []int
	for i, e := range s.On.Entries {
		at := in.Column(e.Key.Value)
		if at < 0 {
			issue := e.Key.Issuef(0, "unknown column %q", e.Key.Value)
			issue.Suggestion = pipeline.Nearest(e.Key.Value, in.ColumnNames())
			issues.Add(issue)
			continue
		}
		keys = append(keys, at)
		left := in.Schema.Field(at).Type
		right := s.types[e.Value.Value]
		if s.loaded {
			right = s.side.keys[i].DataType()
		}
		switch {
		case keyKindOf(left) == noKey:
			issues.Add(e.Key.Issuef(0, "%s cannot be a key", typeName(left)))
		case right == nil:
		case keyKindOf(right) == noKey:
			issues.Add(e.Value.Issuef(0, "%s cannot be a key", typeName(right)))
		case keyKindOf(left) != keyKindOf(right):
			issues.Add(e.Value.Issuef(0, "cannot match %s (%s) with %s (%s)", e.Key.Value, typeName(left), e.Value.Value, typeName(right)))
		}
	}
	return keys
}

// typeName is the name of a type in pipelines.
func typeName(t arrow.DataType) string {
	switch keyKindOf(t) {
	case textKey:
		return "string"
	case timeKey:
		return "timestamp"
	case dateKey:
		return "date"
	}
	return t.String()
}

// added lists the columns to add, or reports that their types are not known.
func (s *stage) added() ([]added, bool) {
	if s.loaded {
		return s.side.columns, true
	}
	if len(s.Columns) == 0 {
		return nil, false
	}
	var cols []added
	for _, c := range s.Columns {
		t, ok := s.types[c.Value]
		if !ok {
			return nil, false
		}
		cols = append(cols, added{field: arrow.Field{Name: s.Prefix + c.Value, Type: t, Nullable: true}, source: c.Value})
	}
	return cols, true
}

// lookup is what one worker holds.
type lookup struct {
	*stage
	out   *pipeline.Table
	cols  []added
	opt   pipeline.ProcessOptions
	probe *probe
	keep  []int32
}

func (l *lookup) process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account) (*pipeline.Batch, error) {
	defer b.Release()
	found := l.probe.find(b.Record)
	rec, origin := b.Record, b.Origin
	rec.Retain()
	defer func() { rec.Release() }()
	if l.Missing == "drop" || l.Missing == "reject" {
		l.keep = l.keep[:0]
		for i, row := range found {
			if row >= 0 {
				l.keep = append(l.keep, int32(i))
			} else if l.Missing == "reject" {
				err := fmt.Errorf("%s has no row for %s", l.dataset, l.describe(b.Record, i))
				if err := l.opt.Refuse(acct, b, i, l.On.Entries[0].Key.Value, Missing, err); err != nil {
					return nil, err
				}
			}
		}
		if l.Missing == "drop" {
			acct.Filtered += int64(len(found) - len(l.keep))
		}
		switch len(l.keep) {
		case 0:
			return nil, nil
		case len(found):
		default:
			kept, err := column.TakeRecord(l.opt.Allocator, rec, l.keep)
			if err != nil {
				return nil, fmt.Errorf("looking up rows of table %s: %w", b.Table.Name, err)
			}
			rec.Release()
			rec, origin = kept, origin.Take(l.keep)
			for i, k := range l.keep {
				found[i] = found[k]
			}
			found = found[:len(l.keep)]
		}
	}
	cols := slices.Clone(rec.Columns())
	left := len(cols)
	defer func() {
		for _, c := range cols[left:] {
			c.Release()
		}
	}()
	for _, c := range l.cols {
		arr, err := column.TakeNulls(l.opt.Allocator, c.values, found)
		if err != nil {
			return nil, fmt.Errorf("adding column %s to table %s: %w", c.field.Name, b.Table.Name, err)
		}
		cols = append(cols, arr)
	}
	return &pipeline.Batch{Table: l.out, Record: arrow.NewRecord(l.out.Schema, cols, int64(len(found))), Origin: origin}, nil
}

// describe spells the key of row i.
func (l *lookup) describe(rec arrow.Record, i int) string {
	parts := make([]string, len(l.On.Entries))
	for k, e := range l.On.Entries {
		col := rec.Column(l.probe.keys[k])
		v := "null"
		if !col.IsNull(i) {
			v = col.ValueStr(i)
		}
		parts[k] = fmt.Sprintf("%s %.80s", e.Key.Value, v)
	}
	return strings.Join(parts, ", ")
}
