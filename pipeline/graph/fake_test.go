package graph

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/config"
)

// Small components of the kinds that the real ones are of.

// logFormat has typed messages, like an MCAP file.
type logFormat struct{ pipeline.Format }

func (logFormat) Name() string { return "log" }

func (logFormat) KnownTable(typeName string) (*pipeline.Table, error) {
	switch typeName {
	case "Odometry":
		return logTable("", "header.stamp:time", "header.frame_id:text", "pose.x:float", "pose.y:float", "twist.linear.x:float", "twist.linear.y:float"), nil
	case "Fix":
		return logTable("", "header.stamp:time", "latitude:float", "longitude:float", "status:int"), nil
	}
	return nil, fmt.Errorf("no type %q", typeName)
}

// table makes a table from "column:type".
func table(name string, columns ...string) *pipeline.Table {
	types := map[string]arrow.DataType{"time": arrow.TimeType, "text": arrow.StringType, "float": arrow.Float64Type, "int": arrow.Int64Type}
	t := &pipeline.Table{Name: name}
	var fields []arrow.Field
	for _, c := range columns {
		n, typ, _ := strings.Cut(c, ":")
		fields = append(fields, arrow.Field{Name: n, Type: types[typ], Nullable: true})
	}
	t.Schema = arrow.NewSchema(fields, nil)
	return t
}

// logTable adds the clocks of a log.
func logTable(name string, columns ...string) *pipeline.Table {
	t := table(name, append([]string{"log_time:time", "publish_time:time"}, columns...)...)
	if t.Column("header.stamp") >= 0 {
		t.Clocks = append(t.Clocks, pipeline.Clock{Name: "header", Column: "header.stamp"})
	}
	t.Clocks = append(t.Clocks, pipeline.Clock{Name: "log", Column: "log_time"}, pipeline.Clock{Name: "publish", Column: "publish_time"})
	return t
}

// rowsFormat always has the same table.
type rowsFormat struct{ pipeline.Format }

func (rowsFormat) Name() string { return "rows" }

func (rowsFormat) KnownTable(typeName string) (*pipeline.Table, error) {
	if typeName != "" {
		return nil, errors.New("no types")
	}
	t := table("rows", "date:time", "serial:text", "failure:int")
	t.Clocks = []pipeline.Clock{{Name: "date", Column: "date"}}
	return t, nil
}

var wordRE = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_.]*`)

// expression finds the columns of an expression and checks that they are
// there and are numbers.
func expression(e pipeline.Text, in *pipeline.Table, issues *pipeline.Issues) []pipeline.ColumnRef {
	var refs []pipeline.ColumnRef
	for _, at := range wordRE.FindAllStringIndex(e.Value, -1) {
		name := e.Value[at[0]:at[1]]
		i := in.Column(name)
		if i < 0 {
			is := e.Issuef(at[0], "table %s has no column %s", in.LakeName(), name)
			is.Suggestion = pipeline.Nearest(name, in.ColumnNames())
			issues.Add(is)
			continue
		}
		if in.Schema.Field(i).Type.ID() == arrow.STRING {
			issues.Add(e.Issuef(at[0], "%s is text, want a number", name))
		}
		refs = append(refs, pipeline.ColumnRef{Table: in, Column: name})
	}
	return refs
}

func identities(in *pipeline.Table) []pipeline.Derivation {
	var out []pipeline.Derivation
	for _, n := range in.ColumnNames() {
		out = append(out, pipeline.Derivation{Inputs: []pipeline.ColumnRef{{Table: in, Column: n}}, Identity: true})
	}
	return out
}

type passer struct{}

func (passer) open(t *pipeline.Table) func(pipeline.ProcessOptions) (pipeline.RowFunc, error) {
	return func(pipeline.ProcessOptions) (pipeline.RowFunc, error) {
		return func(_ context.Context, b *pipeline.Batch, _ *pipeline.Account) (*pipeline.Batch, error) {
			return &pipeline.Batch{Table: t, Record: b.Record, Origin: b.Origin}, nil
		}, nil
	}
}

// filter passes tables on as they are.
type filter struct {
	passer
	Where pipeline.Text `yaml:"where" required:"true"`
}

func (f *filter) BindTable(in *pipeline.Table) (*pipeline.RowBinding, error) {
	var issues pipeline.Issues
	var reads []pipeline.Read
	for _, r := range expression(f.Where, in, &issues) {
		reads = append(reads, pipeline.Read{ColumnRef: r, How: "FILTER"})
	}
	return &pipeline.RowBinding{Output: pipeline.Output{Table: in, Columns: identities(in), Reads: reads}, Open: f.open(in)}, issues.Err()
}

type derive struct {
	passer
	Columns pipeline.Map[pipeline.Text] `yaml:"columns" required:"true"`
}

func (d *derive) BindTable(in *pipeline.Table) (*pipeline.RowBinding, error) {
	var issues pipeline.Issues
	fields, cols := in.Schema.Fields(), identities(in)
	for _, e := range d.Columns.Entries {
		fields = append(fields, arrow.Field{Name: e.Key.Value, Type: arrow.Float64Type, Nullable: true})
		cols = append(cols, pipeline.Derivation{Inputs: expression(e.Value, in, &issues), Expression: e.Value.Value})
	}
	out := in.With(arrow.NewSchema(fields, nil))
	return &pipeline.RowBinding{Output: pipeline.Output{Table: out, Columns: cols}, Open: d.open(out)}, issues.Err()
}

// choose keeps columns. Strict, it insists on them even where the planner has
// taken them away.
type choose struct {
	passer
	Keep   []pipeline.Text `yaml:"keep" required:"true"`
	Strict bool            `yaml:"strict"`
}

func (s *choose) BindTable(in *pipeline.Table) (*pipeline.RowBinding, error) {
	var issues pipeline.Issues
	var fields []arrow.Field
	var cols []pipeline.Derivation
	for _, k := range s.Keep {
		i := in.Column(k.Value)
		if i < 0 {
			if !in.Pruned || s.Strict {
				issues.Add(k.Issuef(0, "table %s has no column %s", in.LakeName(), k.Value))
			}
			continue
		}
		fields = append(fields, in.Schema.Field(i))
		cols = append(cols, pipeline.Derivation{Inputs: []pipeline.ColumnRef{{Table: in, Column: k.Value}}, Identity: true})
	}
	out := in.With(arrow.NewSchema(fields, nil))
	return &pipeline.RowBinding{Output: pipeline.Output{Table: out, Columns: cols}, Open: s.open(out)}, issues.Err()
}

// lookup adds the columns of a side table.
type lookup struct {
	passer
	Table pipeline.Text     `yaml:"table" required:"true"`
	On    map[string]string `yaml:"on" required:"true"`
	side  *pipeline.SideTable
}

func (l *lookup) BindTable(in *pipeline.Table) (*pipeline.RowBinding, error) {
	fields, cols := in.Schema.Fields(), identities(in)
	for _, f := range l.side.Table.Schema.Fields() {
		fields = append(fields, f)
		cols = append(cols, pipeline.Derivation{Inputs: []pipeline.ColumnRef{{Dataset: l.side.URI, Column: f.Name}}, Identity: true})
	}
	var reads []pipeline.Read
	for k, v := range l.On {
		reads = append(reads,
			pipeline.Read{ColumnRef: pipeline.ColumnRef{Table: in, Column: k}, How: "JOIN"},
			pipeline.Read{ColumnRef: pipeline.ColumnRef{Dataset: l.side.URI, Column: v}, How: "JOIN"})
	}
	out := in.With(arrow.NewSchema(fields, nil))
	return &pipeline.RowBinding{Output: pipeline.Output{Table: out, Columns: cols, Reads: reads}, Open: l.open(out)}, nil
}

// pair joins exactly two tables into one: the first with the time of the second.
type pair struct{ Name string }

func (pair) Bind(in []*pipeline.Table) (*pipeline.Binding, error) {
	if len(in) != 2 {
		return nil, fmt.Errorf("want two tables, got %d", len(in))
	}
	fields, cols := in[0].Schema.Fields(), identities(in[0])
	fields = append(fields, arrow.Field{Name: "other_ts", Type: arrow.TimeType, Nullable: true})
	cols = append(cols, pipeline.Derivation{Inputs: []pipeline.ColumnRef{{Table: in[1], Column: "ts"}}, Identity: true})
	out := in[0].With(arrow.NewSchema(fields, nil))
	return &pipeline.Binding{State: pipeline.StateUnit, Outputs: []pipeline.Output{{Table: out, Columns: cols}}}, nil
}

type lake struct {
	URI   pipeline.Text `yaml:"uri" required:"true"`
	Codec string        `yaml:"codec" default:"zstd"`
}

func (*lake) Store() pipeline.Store { return nil }

func (*lake) Bind(in []*pipeline.Table) (*pipeline.SinkBinding, error) {
	b := &pipeline.SinkBinding{}
	at := make(map[string]int)
	for _, t := range in {
		i, ok := at[t.LakeName()]
		if !ok {
			at[t.LakeName()] = len(b.Tables)
			b.Tables = append(b.Tables, pipeline.SinkTable{Name: t.LakeName(), Schema: t.Schema, Inputs: []*pipeline.Table{t}, Columns: identities(t)})
			continue
		}
		st := &b.Tables[i]
		if !st.Schema.Equal(t.Schema) {
			return nil, fmt.Errorf("two tables %s differ", t.LakeName())
		}
		st.Inputs = append(st.Inputs, t)
		for k, d := range identities(t) {
			st.Columns[k].Inputs = append(st.Columns[k].Inputs, d.Inputs...)
		}
	}
	b.Open = func(context.Context, pipeline.SinkOptions) (pipeline.SinkWriter, error) {
		w := &lakeWriter{rows: make(map[string]int), bound: make(map[*pipeline.Table]bool)}
		for _, t := range in {
			w.bound[t] = true
		}
		return w, nil
	}
	return b, nil
}

type lakeWriter struct {
	pipeline.SinkWriter
	bound map[*pipeline.Table]bool
	rows  map[string]int
}

func (w *lakeWriter) Write(_ context.Context, b *pipeline.Batch, _ *pipeline.Account) error {
	if !w.bound[b.Table] {
		return fmt.Errorf("not bound to table %s", b.Table.LakeName())
	}
	w.rows[b.Table.LakeName()] += b.Rows()
	b.Release()
	return nil
}

// fakeEnv has one side table, or none while validating.
type fakeEnv struct {
	content string
	err     error
}

func (fakeEnv) OpenStore(context.Context, string) (pipeline.Store, error) { return nil, nil }

func (e fakeEnv) LoadTable(_ context.Context, uri pipeline.Text) (*pipeline.SideTable, error) {
	if e.err != nil {
		return nil, e.err
	}
	if e.content == "" {
		return nil, pipeline.ErrNotLoaded
	}
	return &pipeline.SideTable{URI: uri.Value, SHA256: e.content, Table: table(uri.Value, "key:text", "temperature:float")}, nil
}

func (fakeEnv) LoadFile(context.Context, pipeline.Text) (*pipeline.SideFile, error) {
	return nil, pipeline.ErrNotLoaded
}

func (fakeEnv) Warn(*pipeline.Issue) {}

func testRegistry() *pipeline.Registry {
	r := new(pipeline.Registry)
	r.AddFormat(pipeline.FormatSpec{Format: logFormat{}, Extensions: []string{"mlog"}, Behaviour: 1})
	r.AddFormat(pipeline.FormatSpec{Format: rowsFormat{}, Extensions: []string{"csv"}, Behaviour: 1})
	row := func(name string, c func() any) {
		r.AddStage(pipeline.StageSpec{Name: name, Behaviour: 1, Config: c, New: func(_ context.Context, c any, _ pipeline.Env) (pipeline.Stage, error) {
			return pipeline.Rows(c.(pipeline.RowStage)), nil
		}})
	}
	row("filter", func() any { return new(filter) })
	row("derive", func() any { return new(derive) })
	row("choose", func() any { return new(choose) })
	r.AddStage(pipeline.StageSpec{Name: "lookup", Config: func() any { return new(lookup) }, New: func(ctx context.Context, c any, env pipeline.Env) (pipeline.Stage, error) {
		l := c.(*lookup)
		var err error
		if l.side, err = env.LoadTable(ctx, l.Table); err != nil {
			return nil, fmt.Errorf("loading %s: %w", l.Table, err)
		}
		return pipeline.Rows(l), nil
	}})
	r.AddStage(pipeline.StageSpec{Name: "pair", Config: func() any { return new(pair) }, New: func(_ context.Context, c any, _ pipeline.Env) (pipeline.Stage, error) {
		return c.(*pair), nil
	}})
	r.AddSink(pipeline.SinkSpec{Name: "lake", Config: func() any { return new(lake) }, New: func(_ context.Context, c any, _ pipeline.Env) (pipeline.Sink, error) {
		return c.(*lake), nil
	}})
	return r
}

// mustBuild loads and builds a pipeline without mistakes.
func mustBuild(t testing.TB, text string) *Graph {
	t.Helper()
	return mustBuildWith(t, text, testRegistry(), fakeEnv{content: "one"})
}

func mustBuildWith(t testing.TB, text string, reg *pipeline.Registry, env pipeline.Env) *Graph {
	t.Helper()
	p, err := config.Load("p.yaml", []byte(text), config.LoadOptions{}, reg)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Build(context.Background(), p, reg, env)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// odom and fix are tables of a recording.
func odom() *pipeline.Table {
	t, _ := logFormat{}.KnownTable("Odometry")
	t.Name = "/odom"
	return t
}

func fix() *pipeline.Table {
	t, _ := logFormat{}.KnownTable("Fix")
	t.Name = "/gps/fix"
	return t
}

// mustBind binds a graph to a recording with the given tables, the same for
// all inputs.
func mustBind(t testing.TB, g *Graph, native ...*pipeline.Table) *Bound {
	t.Helper()
	b, err := g.Bind(streams(t, g, native...))
	if err != nil {
		t.Fatal(err)
	}
	check(t, b)
	return b
}

func streams(t testing.TB, g *Graph, native ...*pipeline.Table) map[string][]*StreamTable {
	t.Helper()
	out := make(map[string][]*StreamTable)
	for _, in := range g.Pipeline.Inputs {
		st, err := StreamTables(in, native, Attributes(in))
		if err != nil {
			t.Fatal(err)
		}
		out[in.Name] = st
	}
	return out
}

// check holds a bound graph to what the runner relies on.
func check(t testing.TB, b *Bound) {
	t.Helper()
	made := make(map[*pipeline.Table]string)
	make1 := func(tab *pipeline.Table, by string) {
		if made[tab] != "" {
			t.Errorf("table %s is made by %s and %s", tab.LakeName(), made[tab], by)
		}
		made[tab] = by
	}
	for _, s := range b.Sources {
		for _, st := range s.Tables {
			make1(st.Stream, s.Input.Name)
			if len(st.From) != st.Stream.Schema.NumFields() {
				t.Errorf("table %s has %d columns from %d", st.Native.Name, st.Stream.Schema.NumFields(), len(st.From))
			}
			if st.Columns == nil {
				t.Errorf("table %s selects all columns by accident", st.Native.Name)
			}
		}
	}
	for i, n := range b.Nodes {
		for _, tab := range n.Out {
			make1(tab, n.Name)
		}
		var in []*pipeline.Table
		for _, p := range n.From {
			if p.Producer >= i {
				t.Errorf("%s comes before what feeds it", n.Name)
			}
			in = append(in, p.Tables...)
		}
		if len(n.In) == 0 || len(in) < len(n.In) {
			t.Errorf("%s has %d tables on its ports, %d in all", n.Name, len(in), len(n.In))
		}
		if (n.Stage == nil) == (n.Sink == nil) || (n.Sink == nil) != (n.SinkOf == nil) {
			t.Errorf("%s is neither a stage nor an output", n.Name)
		}
	}
}

// testdata lists the cases of a folder.
func testdata(t *testing.T, folder string) []string {
	files, err := filepath.Glob("testdata/" + folder + "/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	return files
}
