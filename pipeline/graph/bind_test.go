package graph

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/config"
)

// dump writes a bound graph, and the lineage of its outputs, for reading.
func dump(b *Bound) string {
	var out strings.Builder
	for _, s := range b.Sources {
		fmt.Fprintf(&out, "input %s\n", s.Input.Name)
		for _, t := range s.Tables {
			fmt.Fprintf(&out, "  %s as %s [%s] clock %s\n", t.Native.Name, t.Stream.LakeName(), t.Key, t.Clock.Column)
			fmt.Fprintf(&out, "    decode %s\n", strings.Join(t.Columns, " "))
			fmt.Fprintf(&out, "    stream %s\n", strings.Join(t.Stream.ColumnNames(), " "))
		}
	}
	for _, n := range b.Nodes {
		fmt.Fprintf(&out, "node %s\n", n.Name)
		for _, p := range n.From {
			var name string
			if p.Producer < 0 {
				name = b.Sources[-1-p.Producer].Input.Name
			} else {
				name = b.Nodes[p.Producer].Name
			}
			var tables []string
			for _, t := range p.Tables {
				tables = append(tables, t.LakeName())
			}
			fmt.Fprintf(&out, "  from %s: %s\n", name, strings.Join(tables, " "))
		}
		for _, t := range n.Out {
			fmt.Fprintf(&out, "  %s: %s\n", t.LakeName(), strings.Join(t.ColumnNames(), " "))
		}
	}
	for i, n := range b.Nodes {
		if n.Sink == nil {
			continue
		}
		fmt.Fprintf(&out, "lineage %s\n", n.Name)
		for _, l := range b.Lineage(i) {
			fmt.Fprintf(&out, "  %s.%s\n", l.Table, l.Column)
			for _, s := range l.Sources {
				where := s.Input + " " + s.Table
				if s.Dataset != "" {
					where = s.Dataset
				}
				how := s.How
				switch {
				case s.Identity:
					how = "same"
				case how == "":
					how = "= " + s.Expression
				}
				if s.Attribute {
					how += ", attribute"
				}
				fmt.Fprintf(&out, "    %s %s (%s)\n", where, s.Column, how)
			}
		}
	}
	return out.String()
}

// TestBind runs the cases of testdata/bind: a pipeline, the tables of a
// recording (name, then column:type; "log" in front adds the clocks of a log),
// and the bound graph.
func TestBind(t *testing.T) {
	for _, name := range testdata(t, "bind") {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			g := mustBuild(t, string(ar.Files[0].Data))
			var native []*pipeline.Table
			for l := range strings.Lines(string(ar.Files[1].Data)) {
				w := strings.Fields(l)
				if w[0] == "log" {
					native = append(native, logTable(w[1], w[2:]...))
				} else {
					native = append(native, table(w[0], w[1:]...))
				}
			}
			got := ""
			tables := make(map[string][]*StreamTable)
			for _, in := range g.Pipeline.Inputs {
				if tables[in.Name], err = StreamTables(in, native, Attributes(in)); err != nil {
					got += "streams: " + err.Error() + "\n"
				}
			}
			if got == "" {
				if b, err := g.Bind(tables); err != nil {
					got = "bind: " + err.Error() + "\n"
				} else {
					check(t, b)
					got = dump(b)
				}
			}
			compare(t, name, ar, got)
		})
	}
}

// TestStreamFields: names, types, roles and clocks of a table as it flows.
func TestStreamFields(t *testing.T) {
	in := &config.Input{Name: "drives", URI: pipeline.Text{Value: "x/{zone}/{vehicle_id}/{area}.log"}, Clock: []string{"nothing", "header", "log"}}
	native := logTable("/odom", "header.stamp:time", "ts:float", "log:int")
	sts, err := StreamTables(in, []*pipeline.Table{native}, Attributes(in))
	if err != nil {
		t.Fatal(err)
	}
	st := sts[0]
	var got []string
	for i, f := range st.Stream.Schema.Fields() {
		role, _ := f.Metadata.GetValue(pipeline.MetaRole)
		source, _ := f.Metadata.GetValue(pipeline.MetaSource)
		got = append(got, fmt.Sprintf("%s %s %s<%s", f.Name, role, source, st.From[i]))
	}
	want := []string{
		"vehicle_id attribute <", "recording_id attribute <", "area attribute <", "zone attribute <",
		"ts time header.stamp<header.stamp", "log_time clock <log_time", "publish_time clock <publish_time",
		"ts_native  ts<ts", "log  <log",
	}
	if !slices.Equal(got, want) {
		t.Errorf("fields are\n%s", strings.Join(got, "\n"))
	}
	if f := st.Stream.Schema.Field(0); f.Type != arrow.LabelType || !f.Nullable {
		t.Errorf("attributes are %v", f)
	}
	if f := st.Stream.Schema.Field(4); f.Type != arrow.TimeType {
		t.Errorf("ts is %v", f)
	}
	wantClocks := []pipeline.Clock{{Name: "header", Column: "ts"}, {Name: "log", Column: "log_time"}, {Name: "publish", Column: "publish_time"}}
	if !slices.Equal(st.Stream.Clocks, wantClocks) || st.Clock != (pipeline.Clock{Name: "header", Column: "header.stamp"}) {
		t.Errorf("clocks are %v, declared %v", st.Stream.Clocks, st.Clock)
	}
	if st.Stream.Input != "drives" || native.Input != "" || native.Column("ts_native") >= 0 {
		t.Error("the native table was changed")
	}

	in.Clock = []string{"nothing"}
	if sts, err = StreamTables(in, []*pipeline.Table{native}, nil); err != nil {
		t.Fatal(err)
	}
	if st := sts[0]; st.Clock != (pipeline.Clock{}) || st.Stream.ColumnNames()[0] != "header.stamp" || len(st.Stream.Clocks) != 3 {
		t.Errorf("without a declared clock: %v, %v", st.Clock, st.Stream.ColumnNames())
	}
}

// TestSelection: a decoder is asked for a table once, whatever the keys.
func TestSelection(t *testing.T) {
	g := mustBuild(t, `
pipeline: p
inputs: {d: {uri: x, clock_window: 1h, tables: {a: {match: /odom, columns: [pose.x]}, b: {match: "/*", columns: [pose.y]}}}}
stages: {s: {use: choose, from: d.a, keep: [pose.x]}}
outputs: {o: {use: lake, from: [s, d.b], uri: y}}`)
	b := mustBind(t, g, odom(), fix())
	var got []string
	for _, s := range b.Sources[0].Selection() {
		got = append(got, s.Table.Name+": "+strings.Join(s.Columns, " "))
	}
	want := []string{"/odom: log_time publish_time header.stamp pose.x pose.y", "/gps/fix: log_time publish_time header.stamp"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if cols := b.Sources[0].Tables[0].Columns; !slices.Equal(cols, []string{"header.stamp", "pose.x"}) {
		t.Errorf("the clock that the window is about is not decoded: %v", cols)
	}
}

// TestStrictStage: a stage that insists on a column gets it back, and no other
// stage more than it needs.
func TestStrictStage(t *testing.T) {
	const text = `
pipeline: p
inputs: {d: {uri: x, tables: {odom: /odom, fix: /gps/fix}}}
stages:
  first: {use: choose, from: d.odom, keep: [pose.x, pose.y, twist.linear.x], strict: %v}
  last: {use: choose, from: first, keep: [pose.x]}
  other: {use: choose, from: d.fix, keep: [latitude]}
outputs: {o: {use: lake, from: [last, other], uri: y}}`
	for strict, want := range map[bool]int{false: 1, true: 8} {
		b := mustBind(t, mustBuild(t, fmt.Sprintf(text, strict)), odom(), fix())
		if got := len(b.Sources[0].Tables[0].Columns); got != want {
			t.Errorf("strict %v: %d columns of odom are read, want %d", strict, got, want)
		}
		if got := b.Sources[0].Tables[1].Columns; !slices.Equal(got, []string{"latitude"}) {
			t.Errorf("strict %v: of fix %v are read", strict, got)
		}
	}
}

// TestRelabel: what a stage emits, and what an output is given, carries the
// tables of the bound graph, although the components know others.
func TestRelabel(t *testing.T) {
	g := mustBuild(t, `
pipeline: p
inputs: {d: {uri: x}}
stages:
  slow: {use: filter, from: d, where: pose.x}
  fast: {use: filter, from: slow, where: pose.y, as: "fast_{table}"}
outputs:
  o: {use: lake, from: [slow, fast], uri: y, as: "all_{table}"}`)
	b := mustBind(t, g, odom())
	ctx := context.Background()

	sink := b.Nodes[2]
	if got := []string{sink.Sink.Tables[0].Name, sink.Sink.Tables[1].Name}; !slices.Equal(got, []string{"all_/odom", "all_fast_/odom"}) {
		t.Errorf("the output writes %v", got)
	}
	if sink.Sink.Tables[1].Inputs[0] != b.Nodes[1].Out[0] || sink.Sink.Tables[1].Columns[0].Inputs[0].Table != b.Nodes[1].Out[0] {
		t.Error("the output's tables are not those that flow")
	}
	w, err := sink.Sink.Open(ctx, pipeline.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in := b.Sources[0].Tables[0].Stream
	batch := &pipeline.Batch{Table: in, Record: arrow.NewRecord(arrow.NewSchema(nil, nil), nil, 3)}
	var acct pipeline.Account
	for _, n := range b.Nodes[:2] {
		p, err := n.Stage.Open(pipeline.ProcessOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var next *pipeline.Batch
		if err := p.Process(ctx, batch, &acct, func(e pipeline.Element) error { next = e.Batch; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := p.Flush(ctx, &acct, nil); err != nil {
			t.Fatal(err)
		}
		p.Close()
		if next.Table != n.Out[0] {
			t.Errorf("%s emits a table of another", n.Name)
		}
		batch = next
		c := *batch
		c.Retain()
		if err := w.Write(ctx, &c, &acct); err != nil {
			t.Error(err)
		}
	}
	batch.Release()
	rows := w.(*renamingWriter).SinkWriter.(*lakeWriter).rows
	if rows["all_/odom"] != 3 || rows["all_fast_/odom"] != 3 {
		t.Errorf("rows are %v", rows)
	}
}

// wrong binds to what contradicts itself.
type wrong struct{ out pipeline.Output }

func (w wrong) Bind([]*pipeline.Table) (*pipeline.Binding, error) {
	return &pipeline.Binding{Outputs: []pipeline.Output{w.out}}, nil
}

func TestBadBinding(t *testing.T) {
	in, other := odom(), fix()
	ref := func(t *pipeline.Table, c string) pipeline.Derivation {
		return pipeline.Derivation{Inputs: []pipeline.ColumnRef{{Table: t, Column: c}}}
	}
	out := table("x", "a:int")
	for name, o := range map[string]pipeline.Output{
		"no lineage":    {Table: out},
		"other table":   {Table: out, Columns: []pipeline.Derivation{ref(other, "status")}},
		"no column":     {Table: out, Columns: []pipeline.Derivation{ref(in, "status")}},
		"no identity":   {Table: out, Columns: []pipeline.Derivation{{Identity: true}}},
		"read from air": {Table: out, Columns: []pipeline.Derivation{{}}, Reads: []pipeline.Read{{ColumnRef: pipeline.ColumnRef{Table: other, Column: "status"}}}},
	} {
		if _, err := bindStage(wrong{o}, []*pipeline.Table{in}, "", nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := bindStage(wrong{pipeline.Output{Table: out, Columns: []pipeline.Derivation{ref(in, "pose.x")}}}, []*pipeline.Table{in}, "", nil); err != nil {
		t.Error(err)
	}
}

// TestBindConcurrently binds many units at once.
func TestBindConcurrently(t *testing.T) {
	ar, err := txtar.ParseFile("testdata/bind/pushdown.txtar")
	if err != nil {
		t.Fatal(err)
	}
	g := mustBuild(t, string(ar.Files[0].Data))
	want := dump(mustBind(t, g, odom(), fix()))
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 20 {
				b, err := g.Bind(streams(t, g, odom(), fix()))
				if err != nil {
					t.Error(err)
				} else if dump(b) != want || g.PlanFingerprint() == "" {
					t.Error("bound otherwise")
				}
			}
		}()
	}
	wg.Wait()
}

// TestBindErrors: mistakes that show with a recording keep their place.
func TestBindErrors(t *testing.T) {
	g := mustBuild(t, "pipeline: p\ninputs: {d: {uri: x}}\nstages: {f: {use: filter, from: d, where: pose.z}, g: {use: filter, from: f, where: pose.y}}\noutputs: {o: {use: lake, from: [f, g], uri: y}}")
	_, err := g.Bind(streams(t, g, odom()))
	var issues *pipeline.Issues
	if !errors.As(err, &issues) || !strings.HasPrefix(err.Error(), "p.yaml:3:43: stages.f.where: table /odom has no column pose.z") {
		t.Errorf("got %v", err)
	}
	g = mustBuild(t, "pipeline: p\ninputs: {d: {uri: x}}\nstages: {f: {use: pair, from: d}}\noutputs: {o: {use: lake, from: [f], uri: y}}")
	if _, err := g.Bind(streams(t, g, odom())); err == nil || err.Error() != "stages.f: want two tables, got 1" {
		t.Errorf("got %v", err)
	}
}

// BenchmarkBind binds a recording of 5,000 topics.
func BenchmarkBind(b *testing.B) {
	g := mustBuild(b, "pipeline: p\ninputs: {d: {uri: x}}\nstages: {f: {use: filter, from: d, where: pose.x}, k: {use: choose, from: f, keep: [pose.x, pose.y]}}\noutputs: {o: {use: lake, from: k, uri: y}}")
	native := make([]*pipeline.Table, 5000)
	for i := range native {
		native[i] = odom()
		native[i].Name = fmt.Sprintf("/odom%d", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		bound, err := g.Bind(streams(b, g, native...))
		if err != nil || len(bound.Nodes[2].Sink.Tables) != len(native) || len(bound.Sources[0].Tables[0].Columns) != 2 {
			b.Fatal(err)
		}
		for _, st := range bound.Nodes[2].Sink.Tables {
			g.SinkFingerprint("o", st, bound)
		}
	}
}

// TestNeeded: a stage can ask which of its columns anybody looks at.
func TestNeeded(t *testing.T) {
	b := mustBind(t, mustBuild(t, `
pipeline: p
inputs: {d: {uri: x}}
stages:
  pass: {use: filter, from: d, where: pose.x, as: "all_{table}"}
  some: {use: choose, from: pass, keep: [pose.y]}
outputs:
  o: {use: lake, from: some, uri: y}`), odom())
	for _, n := range b.Nodes[:2] {
		out := n.Out[0]
		for i, need := range b.Needed(out) {
			if name := out.Schema.Field(i).Name; need != (name == "pose.y") {
				t.Errorf("%s: column %s is needed: %v", n.Name, name, need)
			}
		}
	}
	if need := (&Bound{}).Needed(odom()); need != nil {
		t.Errorf("of a graph that nobody bound: %v", need)
	}
}
