// Package graph turns a decoded pipeline into a graph of stages and outputs:
// it makes the components, wires them, finds what is wrong with the wiring,
// carries schemas through it before anything is read, binds it to the tables
// of one unit, and derives from that what has to be read (pushdown), where each
// column comes from (lineage) and when a result is still good (fingerprints).
package graph

import (
	"slices"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
)

// Graph is a pipeline that can run. It is immutable and used by many
// goroutines at once.
type Graph struct {
	Pipeline *config.Pipeline
	// Steps are the graphs of the pipeline's steps of reduce, in order.
	Steps []*Graph

	registry *pipeline.Registry
	inputs   []*config.Input
	formats  []*inputFormats // of each input
	nodes    []*node         // topological order: producers before consumers
}

// inputFormats are the formats of an input, with its settings.
type inputFormats struct {
	registry *pipeline.Registry
	sides    []string          // content hashes of what the settings refer to
	loaded   map[string]string // the same by URI
}

// Formats returns the formats as the settings of an input want them.
func (g *Graph) Formats(in *config.Input) *pipeline.Registry {
	return g.formats[slices.Index(g.inputs, in)].registry
}

// node is a stage or an output with its component.
type node struct {
	*config.Node
	behaviour int
	stage     pipeline.Stage // nil for an output, and where it could not be made
	sink      pipeline.Sink  // nil for a stage, and where it could not be made
	from      []ref
	sides     []string          // content hashes of what was loaded while it was made
	loaded    map[string]string // the same by URI
	print     nodePrint
}

// ref is where the tables of a node come from.
type ref struct {
	text  pipeline.Text
	input int    // index into Graph.inputs, or -1
	key   string // of the input's tables, empty for all
	node  int    // index into Graph.nodes, or -1
}

// Bound is a graph bound to the tables of one unit.
type Bound struct {
	Sources []*BoundSource // one for each input that has tables, in the order of the file
	Nodes   []*BoundNode   // stages and outputs that have tables, producers before consumers
	// Formats tells the format and behaviour version that each input of the
	// unit was read with, as "mcap/1". Whoever opens the unit fills it in;
	// fingerprints fall back on the input's declaration where it is missing.
	Formats map[string]string

	madeBy map[*pipeline.Table]origin
	need   needs
}

// Needed tells which columns of a table that a stage makes reach an output, or
// decide about rows that do; nil: all of them.
func (b *Bound) Needed(t *pipeline.Table) []bool {
	if b.need == nil {
		return nil
	}
	if need, ok := b.need[t]; ok {
		return need
	}
	return make([]bool, t.Schema.NumFields())
}

// origin is where a table comes from: output of Nodes[node], or of
// Sources[-1-node].
type origin struct{ node, output int }

// BoundSource is an input bound to the tables of one unit.
type BoundSource struct {
	Input *config.Input
	// Tables without the columns that nobody needs; tables that feed nothing
	// are absent. A table of the source that several keys match is there once
	// for each.
	Tables []*StreamTable
}

// BoundNode is a stage or output bound to the tables of one unit.
type BoundNode struct {
	Name   string
	Node   *config.Node
	Stage  *pipeline.Binding     // of a stage
	Sink   *pipeline.SinkBinding // of an output
	SinkOf pipeline.Sink         // of an output
	From   []Port
	In     []*pipeline.Table // distinct, in the order of the ports
	Out    []*pipeline.Table // of a stage; never one of In

	node int // index into Graph.nodes
}

// Port is an edge that ends at a node.
type Port struct {
	// Producer indexes Bound.Nodes, or is -1-i for Bound.Sources[i].
	Producer int
	// Tables of the producer that flow over this edge.
	Tables []*pipeline.Table
}

// recorder notes which side data a component loads, by content hash.
type recorder struct {
	pipeline.Env
	mu     sync.Mutex
	sides  []string
	loaded map[string]string
}

// Sinks lists the outputs with what they write to.
func (g *Graph) Sinks() []NamedSink {
	var out []NamedSink
	for _, n := range g.nodes {
		if n.sink != nil {
			out = append(out, NamedSink{Name: n.Name, Sink: n.sink})
		}
	}
	slices.SortFunc(out, func(a, b NamedSink) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// NamedSink is an output of a graph.
type NamedSink struct {
	Name string
	Sink pipeline.Sink
}
