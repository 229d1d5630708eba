package parquet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// SinkConfig is the configuration of an output that is a lake of Parquet files.
type SinkConfig struct {
	Pos           pipeline.Pos
	URI           pipeline.Text   `yaml:"uri" required:"true" fingerprint:"-" doc:"Where the lake is: a directory or a prefix in an object store." example:"s3://fleet-lake/drives"`
	Partition     []pipeline.Text `yaml:"partition" default:"drive_date" doc:"Keys of the directories below a table, in order: drive_date (the date on which the drive began), month (of the column date, or of the drive), or a column of strings, integers or dates."`
	Bloom         []pipeline.Text `yaml:"bloom" doc:"Columns of strings that get a Bloom filter in each row group, where a table has them." example:"[serial_number]"`
	Types         string          `yaml:"types" enum:"lake,source" default:"lake" doc:"lake: the types on which query engines agree. source: those of the recording."`
	Names         string          `yaml:"names" enum:"lake,source" default:"lake" doc:"lake: column names of a-z, 0-9 and _. source: those of the recording."`
	Compression   string          `yaml:"compression" enum:"zstd,snappy,none" default:"zstd" doc:"Codec of the pages."`
	Level         int             `yaml:"level" doc:"Level of zstd, 1 to 22; its default when left out."`
	RowGroupRows  int             `yaml:"row_group_rows" default:"1048576" doc:"Rows that end a row group."`
	RowGroupBytes pipeline.Size   `yaml:"row_group_bytes" default:"16MiB" doc:"Bytes before encoding that end a row group."`
	FileBytes     pipeline.Size   `yaml:"file_bytes" default:"256MiB" doc:"Bytes after encoding that end a file, at the end of a row group."`
}

// Validate checks what the tags cannot say.
func (c *SinkConfig) Validate(issues *pipeline.Issues) {
	bad := func(key, format string, args ...any) {
		issues.Addf(c.Pos, strings.TrimSuffix(c.URI.Path, "uri")+key, format, args...)
	}
	switch {
	case c.Level != 0 && c.Compression != "zstd":
		bad("level", "level is zstd's, compression is %s", c.Compression)
	case c.Level < 0 || c.Level > 22:
		bad("level", "level %d: want 1 to 22", c.Level)
	}
	if c.RowGroupRows < 1 {
		bad("row_group_rows", "%d rows: want 1 at the least", c.RowGroupRows)
	}
	if c.RowGroupBytes < 1 || c.RowGroupBytes > maxRowGroupBytes {
		bad("row_group_bytes", "%d bytes: want 1 byte to 1GiB", c.RowGroupBytes)
	}
	if c.FileBytes < 1 {
		bad("file_bytes", "%d bytes: want 1 at the least", c.FileBytes)
	}
	seen := make(map[string]bool)
	for _, k := range c.Partition {
		if seen[LakeName(k.Value)] {
			issues.Add(k.Issuef(0, "partition key %q is given twice", k.Value))
		}
		seen[LakeName(k.Value)] = true
	}
}

// maxRowGroupBytes keeps the bytes of a column below what Arrow's offsets hold.
const maxRowGroupBytes = 1 << 30

// Spec announces the sink.
func Spec() pipeline.SinkSpec {
	return pipeline.SinkSpec{
		Name:    "parquet",
		Summary: "a lake of Parquet files, a directory for each table, partitioned as Hive does",
		Doc: "Files are <table>/<key>=<value>/.../<slot>-<revision>-<part>.parquet. They appear whole, all files of a unit back to back. " +
			"With types: lake, integers are int32, int64 or decimal(20,0), ts is TIMESTAMP(MICROS) with ts_ns beside it as exact nanoseconds, " +
			"and other times are int64 nanoseconds whose names end in _ns. Rows of a row group are sorted by recording_id and ts.",
		Example:   sinkExample,
		Behaviour: 2,
		Config:    func() any { return new(SinkConfig) },
		New: func(ctx context.Context, config any, env pipeline.Env) (pipeline.Sink, error) {
			return newSink(ctx, config.(*SinkConfig), env)
		},
	}
}

const sinkExample = `pipeline: to-lake
inputs:
  drives: {uri: "testdata/drives/{vehicle_id}/{drive_id}/*.mcap"}
outputs:
  lake:
    use: parquet
    from: drives
    uri: ./lake
    partition: [drive_date, vehicle_id]
`

// sink is a configured lake.
type sink struct {
	cfg   *SinkConfig
	store pipeline.Store
	codec *codec
}

func newSink(ctx context.Context, cfg *SinkConfig, env pipeline.Env) (*sink, error) {
	store, err := env.OpenStore(ctx, cfg.URI.Value)
	if err != nil {
		return nil, cfg.URI.Issuef(0, "opening the lake: %v", err)
	}
	codec, err := newCodec(cfg.Compression, cfg.Level)
	if err != nil {
		return nil, &pipeline.Issue{Pos: cfg.Pos, Message: err.Error()}
	}
	return &sink{cfg: cfg, store: store, codec: codec}, nil
}

func (s *sink) Store() pipeline.Store { return s.store }

func (s *sink) mapping() Mapping {
	return Mapping{SourceTypes: s.cfg.Types == "source", SourceNames: s.cfg.Names == "source"}
}

// lakeTable is a table of the lake, bound to the tables that feed it.
type lakeTable struct {
	name   string
	inputs []*pipeline.Table
	plan   *plan
	keys   []partitionKey
	sort   []int
}

// Bind maps the tables. Tables of one name feed one table of the lake.
func (s *sink) Bind(in []*pipeline.Table) (*pipeline.SinkBinding, error) {
	var issues pipeline.Issues
	names := newNamer(true)
	byName := make(map[string]*lakeTable)
	var tables []*lakeTable
	byInput := make(map[*pipeline.Table]*lakeTable)
	for _, t := range in {
		lt, err := s.bindTable(t)
		if err != nil {
			if !issues.Add(err) {
				issues.Addf(s.cfg.URI.Pos, s.cfg.URI.Path, "%v", err)
			}
			continue
		}
		if other := byName[t.LakeName()]; other != nil {
			if why := different(other.plan, lt.plan); why != "" {
				issues.Addf(s.cfg.URI.Pos, s.cfg.URI.Path, "%s and %s both feed the table %s, but %s",
					describe(other.inputs[0]), describe(t), other.name, why)
				continue
			}
			other.inputs = append(other.inputs, t)
			byInput[t] = other
			continue
		}
		lt.name = names.name(t.LakeName(), "")
		byName[t.LakeName()] = lt
		byInput[t] = lt
		tables = append(tables, lt)
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	b := &pipeline.SinkBinding{
		Open: func(_ context.Context, opt pipeline.SinkOptions) (pipeline.SinkWriter, error) {
			return newSinkWriter(s, byInput, opt), nil
		},
	}
	for _, lt := range tables {
		b.Tables = append(b.Tables, lt.describe())
	}
	return b, nil
}

func describe(t *pipeline.Table) string {
	if t.Input != "" {
		return fmt.Sprintf("%s (of input %s)", t.Name, t.Input)
	}
	return t.Name
}

func (s *sink) bindTable(t *pipeline.Table) (*lakeTable, error) {
	lt := &lakeTable{inputs: []*pipeline.Table{t}, sort: sortKey(t.Schema)}
	drop := make(map[string]bool)
	for _, k := range s.cfg.Partition {
		key, err := newPartitionKey(t, k)
		if err != nil {
			return nil, err
		}
		lt.keys = append(lt.keys, key)
		if key.column >= 0 && !key.month {
			f := t.Schema.Field(key.column)
			if role, _ := f.Metadata.GetValue(pipeline.MetaRole); role != pipeline.RoleAttribute || key.name == keyDriveDate || key.name == keyMonth {
				drop[f.Name] = true
			}
		}
	}
	var err error
	if lt.plan, err = newPlan(t, s.mapping(), drop); err != nil {
		return nil, err
	}
	if err := lt.plan.setBloom(s.cfg.Bloom); err != nil {
		return nil, err
	}
	lt.sort = slices.DeleteFunc(lt.sort, func(i int) bool { return drop[t.Schema.Field(i).Name] })
	return lt, nil
}

// different says what keeps two tables from sharing a table of the lake,
// nothing when they may.
func different(a, b *plan) string {
	if x, y := len(a.columns), len(b.columns); x != y {
		return fmt.Sprintf("one has %d columns and the other %d", x, y)
	}
	for i, x := range a.columns {
		y := b.columns[i]
		switch {
		case x.name != y.name:
			return fmt.Sprintf("column %d is %s in one and %s in the other", i+1, x.name, y.name)
		case x.input != y.input || !arrow.TypeEqual(x.typ, y.typ) || x.leaf != nil && x.leaf.cell != y.leaf.cell:
			return fmt.Sprintf("column %s is %s in one and %s in the other", x.name, x.typ, y.typ)
		case x.nullable != y.nullable:
			return fmt.Sprintf("column %s may be null in only one of them", x.name)
		}
	}
	return ""
}

// describe tells the runner about the table.
func (t *lakeTable) describe() pipeline.SinkTable {
	out := pipeline.SinkTable{Name: t.name, Schema: t.plan.schema, Inputs: t.inputs, Mixes: true}
	refs := func(column int) []pipeline.ColumnRef {
		var refs []pipeline.ColumnRef
		for _, in := range t.inputs {
			refs = append(refs, pipeline.ColumnRef{Table: in, Column: in.Schema.Field(column).Name})
		}
		return refs
	}
	reads := func(column int, how string) {
		for _, r := range refs(column) {
			out.Reads = append(out.Reads, pipeline.Read{ColumnRef: r, How: how})
		}
	}
	for _, c := range t.plan.columns {
		d := pipeline.Derivation{Inputs: refs(c.input), Identity: true}
		if c.leaf != nil && c.leaf.cell == cellMicros {
			d.Identity, d.Expression = false, "floor to microseconds"
		}
		out.Columns = append(out.Columns, d)
	}
	for _, k := range t.keys {
		if k.column >= 0 {
			reads(k.column, "CONDITIONAL")
		}
	}
	for _, k := range t.sort {
		reads(k, "SORT")
	}
	return out
}
