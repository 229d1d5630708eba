package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
)

// Fingerprints hash JSON documents of these shapes. Names of inputs, stages
// and outputs are not in them: what counts is what flows.

type inputPrint struct {
	Config  json.RawMessage `json:"config"`
	Formats []string        `json:"formats"`
	Sides   []string        `json:"sides,omitempty"` // content hashes
}

type tablePrint struct {
	Source  string         `json:"source,omitempty"` // of a table of an input
	Name    string         `json:"name,omitempty"`
	Alias   string         `json:"alias,omitempty"`
	Clock   pipeline.Clock `json:"clock,omitzero"`
	Columns [][2]string    `json:"columns,omitempty"` // name, type
	// Payloads are the names and marks of payload columns that are referred to.
	Payloads [][2]string `json:"payloads,omitempty"`
}

type nodePrint struct {
	Use       string          `json:"use"`
	Behaviour int             `json:"behaviour"`
	As        string          `json:"as,omitempty"`
	Config    json.RawMessage `json:"config"`
	Sides     []string        `json:"sides,omitempty"` // content hashes
	Output    int             `json:"output"`
	In        []string        `json:"in"`
}

func hash(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("graph: hashing: %v", err)) // strings and numbers only
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// inputPrint covers what an input's settings do to its rows. Where the
// recordings lie and how they are grouped is left out: it decides which units
// there are, and a unit is known by the identity of its objects and the values
// of its attributes.
func (g *Graph) inputPrint(in *config.Input, format string) string {
	p := inputPrint{Config: config.Canonical(in, "uri", "format", "tables", "clock"), Sides: g.formats[slices.Index(g.inputs, in)].sides}
	if format != "" {
		p.Formats = []string{format}
		return hash(p)
	}
	for _, spec := range g.registry.Formats() {
		if in.Format == "" || in.Format == spec.Format.Name() {
			p.Formats = append(p.Formats, fmt.Sprintf("%s/%d", spec.Format.Name(), spec.Behaviour))
		}
	}
	slices.Sort(p.Formats)
	return hash(p)
}

// makePrint covers a component and its settings. It is made once, by Build.
func (n *node) makePrint() nodePrint {
	p := nodePrint{Use: n.Use, Behaviour: n.behaviour, As: n.As}
	if n.Sink {
		p.Config = config.Canonical(n.Config, "uri")
	} else {
		p.Config = config.Canonical(n.Config)
	}
	p.Sides = append(p.Sides, n.sides...)
	slices.Sort(p.Sides)
	return p
}

// PlanFingerprint covers the whole pipeline, without the tables of any unit:
// the settings of everything upstream of an output, and the behaviour versions
// of components and formats. While it and the inputs of a unit are the same,
// so is what the unit writes.
func (g *Graph) PlanFingerprint() string {
	prints := make([]string, len(g.nodes))
	var outputs []string
	for i, n := range g.nodes {
		p := n.print
		for _, r := range n.from {
			if r.node >= 0 {
				p.In = append(p.In, prints[r.node])
				continue
			}
			in := g.inputs[r.input]
			p.In = append(p.In, hash([]any{g.inputPrint(in, ""), r.key, json.RawMessage(config.Canonical(in, "uri", "format")), Attributes(in)}))
		}
		prints[i] = hash(p)
		if n.Sink {
			outputs = append(outputs, prints[i])
		}
	}
	slices.Sort(outputs)
	return hash(outputs)
}

// Fingerprint covers all that decides which rows of table t reach an output:
// settings and behaviour versions of everything upstream of t, content hashes
// of side tables, and the source tables and columns that t depends on. It is
// the same for two units exactly when the pipeline treats both alike; the
// identity of a unit's objects and the values of its attributes are not in it.
// t is one of the tables that enter the output.
func (g *Graph) Fingerprint(sink string, t *pipeline.Table, b *Bound) string {
	i := slices.IndexFunc(b.Nodes, func(n *BoundNode) bool { return n.Sink != nil && n.Name == sink })
	if i < 0 {
		return ""
	}
	need := make(needs)
	need.all(t)
	f := fingerprinter{g: g, b: b, need: b.upstream(need, t), tables: make(map[*pipeline.Table]string)}
	p := g.nodes[b.Nodes[i].node].print
	p.In = []string{f.table(t), schemaText(t)}
	return hash(p)
}

// SinkFingerprint covers a table as an output writes it: the fingerprints of
// all tables that feed it.
func (g *Graph) SinkFingerprint(sink string, t pipeline.SinkTable, b *Bound) string {
	parts := []string{t.Name}
	for _, in := range t.Inputs {
		parts = append(parts, g.Fingerprint(sink, in, b))
	}
	return hash(parts)
}

func schemaText(t *pipeline.Table) string {
	var cols [][2]string
	for _, f := range t.Schema.Fields() {
		cols = append(cols, [2]string{f.Name, f.Type.String()})
	}
	return hash(tablePrint{Alias: t.LakeName(), Columns: cols})
}

// fingerprinter walks upstream from one table.
type fingerprinter struct {
	g      *Graph
	b      *Bound
	need   needs
	tables map[*pipeline.Table]string
}

// table is the fingerprint of a table and of all that is upstream of it.
func (f *fingerprinter) table(t *pipeline.Table) string {
	if p, ok := f.tables[t]; ok {
		return p
	}
	at := f.b.madeBy[t]
	var p string
	if at.node < 0 {
		s := f.b.Sources[-1-at.node]
		p = f.source(s, s.Tables[at.output])
	} else {
		p = f.output(f.b.Nodes[at.node], at.output)
	}
	f.tables[t] = p
	return p
}

func (f *fingerprinter) source(s *BoundSource, st *StreamTable) string {
	p := tablePrint{
		Source: f.g.inputPrint(s.Input, f.b.Formats[s.Input.Name]),
		Name:   st.Native.Name, Alias: st.Stream.Alias, Clock: st.Clock,
	}
	need := f.need[st.Stream]
	for i, field := range st.Stream.Schema.Fields() {
		if need[i] {
			p.Columns = append(p.Columns, [2]string{field.Name, field.Type.String()})
			if _, _, refers := pipeline.PayloadOf(st.Stream.Schema, i); refers {
				mark, _ := field.Metadata.GetValue(pipeline.MetaPayload)
				p.Payloads = append(p.Payloads, [2]string{field.Name, mark})
			}
		}
	}
	return hash(p)
}

// output is the fingerprint of a table that leaves node n.
func (f *fingerprinter) output(n *BoundNode, output int) string {
	p := f.g.nodes[n.node].print
	inputs := n.inputsOf(n.Stage.Outputs[output])
	if len(inputs) == len(n.In) {
		p.Output = output
	} // else other tables of the node come and go, and the number with them
	for _, in := range inputs {
		p.In = append(p.In, f.table(in))
	}
	return hash(p)
}
