package parquet

import (
	"slices"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// elements lists the schema as a footer holds it, depth first, and notes in
// each leaf where it lies.
func (p *plan) elements() []format.SchemaElement {
	root := format.SchemaElement{Name: "drivemill"}
	root.NumChildren.Set(int32(len(p.columns)))
	out := []format.SchemaElement{root}
	for _, c := range p.columns {
		out = c.node.elements(out, nil)
	}
	return out
}

func (n *node) elements(out []format.SchemaElement, path []string) []format.SchemaElement {
	e := format.SchemaElement{Name: n.name}
	e.RepetitionType.Set(format.Required)
	if n.nullable {
		e.RepetitionType.Set(format.Optional)
	}
	path = append(slices.Clone(path), n.name)
	switch {
	case n.leaf != nil:
		n.leaf.path = path
		return append(out, n.leaf.element(e))
	case n.list:
		e.NumChildren.Set(1)
		e.ConvertedType.Set(deprecated.List)
		e.LogicalType.Value = &format.ListType{}
		out = append(out, e)
		e = format.SchemaElement{Name: "list"}
		e.RepetitionType.Set(format.Repeated)
		e.NumChildren.Set(1)
		path = append(path, e.Name)
	default:
		e.NumChildren.Set(int32(len(n.kids)))
	}
	out = append(out, e)
	for _, k := range n.kids {
		out = k.elements(out, path)
	}
	return out
}

// element adds what a leaf has to e.
func (l *leaf) element(e format.SchemaElement) format.SchemaElement {
	e.Type.Set(*l.typ.PhysicalType())
	if l.typ.Kind() == pq.FixedLenByteArray {
		e.TypeLength.Set(int32(l.typ.Length()))
	}
	if t := l.typ.ConvertedType(); t != nil {
		e.ConvertedType.Set(*t)
	}
	if t := l.typ.LogicalType(); t != nil {
		e.LogicalType = *t
		if d, ok := t.Value.(*format.DecimalType); ok {
			// Readers from before logical types look for them here.
			e.Scale.Set(d.Scale)
			e.Precision.Set(d.Precision)
		}
	}
	return e
}
