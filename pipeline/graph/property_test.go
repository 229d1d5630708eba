package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
)

// TestPushdownKeepsOutputs: whatever the graph, what is not read is missed by
// nobody. The outputs get the same tables with the same columns as without
// pushdown, and every source of a column is decoded.
func TestPushdownKeepsOutputs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		columns := []string{"a", "b", "c", "d", "e"}
		var text strings.Builder
		text.WriteString("pipeline: p\ninputs: {d: {uri: x, tables: {t: /t, u: /u, all: '/*'}}}\nstages:\n")
		names := []string{"d", "d.t", "d.u", "d.all"}
		// What a stage may refer to is known to be there: ts and the columns
		// that no stage before it drops.
		has := map[string][]string{"d": columns, "d.t": columns, "d.u": columns, "d.all": columns}
		draw := func(from []string) []string {
			have := slices.Clone(has[from[0]])
			for _, f := range from[1:] {
				have = slices.DeleteFunc(have, func(c string) bool { return !slices.Contains(has[f], c) })
			}
			return have
		}
		for i := range rapid.IntRange(1, 6).Draw(rt, "stages") {
			name := fmt.Sprintf("s%d", i)
			from := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 2, rapid.ID).Draw(rt, "from")
			if slices.ContainsFunc(from, func(f string) bool { return f == "d" }) {
				from = slices.DeleteFunc(from, func(f string) bool { return strings.HasPrefix(f, "d.") })
			}
			have := draw(from)
			if len(have) == 0 {
				continue
			}
			column := rapid.SampledFrom(have).Draw(rt, "column")
			fmt.Fprintf(&text, "  %s: {from: [%s], ", name, strings.Join(from, ", "))
			switch rapid.IntRange(0, 2).Draw(rt, "kind") {
			case 0:
				fmt.Fprintf(&text, "use: filter, where: %s}\n", column)
				has[name] = have
			case 1:
				fmt.Fprintf(&text, "use: derive, columns: {x%d: %s * 2}}\n", i, column)
				has[name] = append(slices.Clone(have), fmt.Sprintf("x%d", i))
			case 2:
				keep := rapid.SliceOfNDistinct(rapid.SampledFrom(have), 1, len(have), rapid.ID).Draw(rt, "keep")
				fmt.Fprintf(&text, "use: choose, keep: [%s], strict: %v}\n", strings.Join(keep, ", "), rapid.Bool().Draw(rt, "strict"))
				has[name] = keep
			}
			names = append(names, name)
		}
		used := names[4:]
		fmt.Fprintf(&text, "  end: {use: filter, from: [d.t], where: a}\noutputs:\n")
		// Every stage ends up somewhere; each table in an output of its own.
		for i, n := range append(slices.Clone(used), "end") {
			fmt.Fprintf(&text, "  o%d: {use: lake, from: %s, uri: y, as: '%d_{table}'}\n", i, n, i)
		}
		g := mustBuild(fatal{t, rt, text.String()}, text.String())
		var cols []string
		for _, c := range columns {
			cols = append(cols, c+":float")
		}
		native := []*pipeline.Table{logTable("/t", cols...), logTable("/u", cols...), table("/v", cols...)}
		tables := streams(t, g, native...)
		var sources []*BoundSource
		for _, in := range g.inputs {
			sources = append(sources, &BoundSource{Input: in, Tables: g.feeding(in, tables[in.Name])})
		}
		whole, bindErr := g.forward(sources)
		if bindErr != nil {
			// Two branches may give one output tables that differ.
			rt.Skip(bindErr.err)
		}
		bound, err := g.Bind(tables)
		if err != nil {
			rt.Fatalf("%v\n%s", err, text.String())
		}
		check(t, bound)
		if got, want := sinkText(bound), sinkText(whole); got != want {
			rt.Fatalf("with pushdown\n%s\nwithout\n%s\n%s", got, want, text.String())
		}
		decoded := make(map[string]bool)
		for _, s := range bound.Sources {
			for _, st := range s.Tables {
				for _, c := range st.Columns {
					decoded[st.Native.Name+" "+c] = true
				}
			}
		}
		for i := range bound.Nodes {
			for _, l := range bound.Lineage(i) {
				for _, s := range l.Sources {
					if !s.Attribute && !decoded[s.Table+" "+s.Column] {
						rt.Fatalf("%s.%s comes from %s %s, which is not decoded\n%s", l.Table, l.Column, s.Table, s.Column, text.String())
					}
				}
			}
		}
	})
}

// fatal ends a property with the pipeline at fault.
type fatal struct {
	*testing.T
	rt   *rapid.T
	text string
}

func (f fatal) Fatal(args ...any) { f.rt.Fatalf("%s\n%s", fmt.Sprint(args...), f.text) }

// sinkText lists the outputs of a bound graph with their columns.
func sinkText(b *Bound) string {
	var out strings.Builder
	for _, n := range b.Nodes {
		if n.Sink == nil {
			continue
		}
		for _, t := range n.Sink.Tables {
			fmt.Fprintf(&out, "%s %s %v\n", n.Name, t.Name, t.Schema)
		}
	}
	return out.String()
}
