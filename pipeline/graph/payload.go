package graph

import (
	"slices"
	"strconv"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/config"
)

// Payloads: which columns stand beside a binary column is declared, and so part
// of the schema of a stream. Whether its bytes are decoded as well is found
// backwards, from who looks at them: an output that declares so, a stage that
// computes or decides something with the column, and an output that gets the
// column without those beside it. For all others a payload stays where it is.

// payloadOf tells whether field f of a stream, which native column from fills,
// gets columns beside it. It does not where its values cannot be that long, and
// where such a column is there already under that name.
func payloadOf(in *config.Input, s selector, f arrow.Field, from string, t *pipeline.Table, taken map[string]bool) (pipeline.PayloadSelection, bool) {
	if f.Type.ID() != arrow.BINARY || f.Metadata.FindKey(pipeline.MetaPayload) < 0 {
		return pipeline.PayloadSelection{}, false
	}
	policy, above := s.spec.Payloads.For(in.Payloads)
	if most, ok := f.Metadata.GetValue(pipeline.MetaMaxBytes); ok {
		if n, err := strconv.ParseInt(most, 10, 64); err == nil && n <= above {
			return pipeline.PayloadSelection{}, false
		}
	}
	beside := append(pipeline.PayloadFields(f.Name, policy), pipeline.PayloadFields(from, policy)...)
	for _, b := range beside {
		if taken[b.Name] || t.Column(b.Name) >= 0 {
			return pipeline.PayloadSelection{}, false
		}
	}
	return pipeline.PayloadSelection{Column: from, Policy: policy, Above: above}, len(beside) > 0
}

// checkPayloads reports a key that refers to payloads of a table otherwise than
// a key before it: both get their rows from one decoder.
func checkPayloads(before []*StreamTable, st *StreamTable, s selector, issues *pipeline.Issues) {
	for _, o := range before {
		if o.Native != st.Native {
			continue
		}
		for _, p := range st.Payloads {
			for _, q := range o.Payloads {
				if p.Column == q.Column && p != q {
					issues.Add(s.spec.Match.Issuef(0, "tables %s and %s both match %s, but one says %s of its payloads and the other %s",
						o.Key, st.Key, st.Native.Name, pipeline.PayloadMark(q.Policy, q.Above), pipeline.PayloadMark(p.Policy, p.Above)))
					return
				}
			}
		}
	}
}

// Payloads says which columns beside payloads of the native table called name
// a decoder has to deliver, and whether the bytes too.
func (s *BoundSource) Payloads(name string) []pipeline.PayloadSelection {
	var out []pipeline.PayloadSelection
	for _, t := range s.Tables {
		if t.Native.Name != name {
			continue
		}
		for _, p := range t.Payloads {
			i := slices.IndexFunc(out, func(o pipeline.PayloadSelection) bool { return o.Column == p.Column })
			if i < 0 {
				out = append(out, p)
			} else {
				out[i].Bytes = out[i].Bytes || p.Bytes
			}
		}
	}
	// A key may want the column as it is.
	for i := range out {
		for _, t := range s.Tables {
			plain := !slices.ContainsFunc(t.Payloads, func(p pipeline.PayloadSelection) bool { return p.Column == out[i].Column })
			if t.Native.Name == name && plain && slices.Contains(t.From, out[i].Column) {
				out[i].Bytes = true
			}
		}
	}
	return out
}

// withBytes returns b with what the sources must know about payloads whose
// bytes somebody looks at.
func (b *Bound) withBytes() *Bound {
	look := make(needs)
	for k := len(b.Nodes) - 1; k >= 0; k-- {
		n := b.Nodes[k]
		if n.Sink != nil {
			for _, t := range n.Sink.Tables {
				for _, r := range t.Bytes {
					look.refer(r)
				}
				for _, in := range t.Inputs {
					for i, f := range in.Schema.Fields() {
						if _, _, refers := pipeline.PayloadOf(in.Schema, i); f.Type.ID() == arrow.BINARY && !refers {
							look.refer(pipeline.ColumnRef{Table: in, Column: f.Name})
						}
					}
				}
			}
			continue
		}
		for _, o := range n.Stage.Outputs {
			looked := look.of(o.Table)
			for i, d := range o.Columns {
				if d.Identity && !looked[i] {
					continue
				}
				for _, r := range d.Inputs {
					look.refer(r)
				}
			}
			for _, r := range o.Reads {
				look.refer(r.ColumnRef)
			}
		}
	}
	for i, s := range b.Sources {
		c := &BoundSource{Input: s.Input, Tables: slices.Clone(s.Tables)}
		for k, t := range c.Tables {
			if len(t.Payloads) == 0 {
				continue
			}
			st := *t
			st.Payloads = slices.Clone(t.Payloads)
			for j := range st.Payloads {
				at := slices.Index(st.From, st.Payloads[j].Column)
				st.Payloads[j].Bytes = at >= 0 && look.of(st.Stream)[at]
			}
			c.Tables[k] = &st
		}
		b.Sources[i] = c
	}
	return b
}
