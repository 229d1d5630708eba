package mdf4

import (
	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// addTime adds the columns of the master.
func (t *table) addTime(c *channel, at location, a anchor) {
	src := t.source(c, at, nil, nil)
	if src == nil {
		return
	}
	meta := pipeline.FieldMeta(pipeline.MetaSource, c.name, pipeline.MetaDescription, c.comment)
	t.master = src
	t.columns = append(t.columns, columnDef{arrow.Field{Name: timeColumn, Type: arrow.TimeType, Nullable: true, Metadata: meta}, roleTime, src})
	t.Clocks = []pipeline.Clock{{Name: "master", Column: timeColumn}}
	if !a.utc {
		t.Clocks[0].Scale = "local"
		meta := pipeline.FieldMeta(pipeline.MetaUnit, "ns", pipeline.MetaDescription, "time on the wall clock of the recorder, whose zone is unknown, since 1970")
		t.columns = append(t.columns, columnDef{arrow.Field{Name: nativeColumn, Type: arrow.Int64Type, Nullable: true, Metadata: meta}, roleWall, src})
	}
}

// nesting is the arrays around a channel, outermost first.
type nesting struct {
	dims  []int
	elems []element
}

// addChannel adds the columns of a channel and of those it is made of.
func (t *table) addChannel(c *channel, at location, in *nesting, depth int) {
	if c.foreign != "" {
		t.tell("unsupported_composition", c.off, "channel %q is composed by a %s block, which is not read: its bytes are kept", c.fullName(), c.foreign)
	}
	if c.flags&cnDynamicFlags != 0 {
		t.tell("unsupported_stream", c.off, "channel %q holds a data stream of MDF 4.3, which is not taken apart: its bytes are kept", c.fullName())
	}
	if a := c.array; a != nil {
		if a.apart() {
			t.tell("unsupported_array", c.off, "channel %q is an array whose elements lie in records of their own (ca_storage %d) in a way that is not read: more than %d of them, "+
				"several arrays, arrays inside arrays, or records without ids", c.fullName(), a.storage, maxTemplate)
			return
		}
		nest := nested(in, a)
		if len(nest.elems) > maxElements {
			t.tell("unsupported_array", c.off, "channel %q is an array of %d elements, limit %d", c.fullName(), len(nest.elems), maxElements)
			return
		}
		if a.members == nil {
			t.addLeaf(c, at, nest)
		}
		for _, m := range a.members {
			t.addChannel(m, at, nest, depth+1)
		}
		return
	}
	if len(c.members) > 0 {
		for _, m := range c.members {
			t.addChannel(m, at, in, depth+1)
		}
		if c.kind == chanFixed && c.dt == typeBytes {
			return // spans the members
		}
	}
	t.addLeaf(c, at, in)
}

// nested puts an array inside those around it.
func nested(in *nesting, a *arrayInfo) *nesting {
	own := &nesting{dims: a.shape(), elems: a.layout()}
	if in == nil {
		return own
	}
	out := &nesting{dims: append(append([]int(nil), in.dims...), own.dims...)}
	if len(in.elems)*len(own.elems) > maxElements {
		out.elems = make([]element, maxElements+1)
		return out
	}
	for _, o := range in.elems {
		for _, e := range own.elems {
			out.elems = append(out.elems, element{o.off + e.off, o.inval + e.inval})
		}
	}
	return out
}

// nest makes the type of an array of t.
func (n *nesting) nest(t arrow.DataType) arrow.DataType {
	if n == nil {
		return t
	}
	for i := len(n.dims) - 1; i >= 0; i-- {
		t = arrow.FixedSizeListOf(int32(n.dims[i]), t)
	}
	return t
}

// addLeaf adds the columns of a channel that holds values itself.
func (t *table) addLeaf(c *channel, at location, in *nesting) {
	src := t.source(c, at, in, nil)
	if src == nil {
		return
	}
	name, original := c.fullName(), c.fullName()
	framed := t.frame != nil && c.parent == t.frame.channel
	if framed {
		name = frameColumn(t.frame.channel.name, c.name)
		src.framed(name, t)
	}
	out := src.out
	unit := c.unit
	if !c.hasUnit {
		unit = out.Unit
		if unit == "" && c.kind != chanSync && c.sync > 0 && int(c.sync) < len(syncUnits) {
			unit = syncUnits[c.sync]
		}
	}
	column := t.columnName(name, c)
	meta := func(role string) arrow.Metadata {
		kv := []string{pipeline.MetaDescription, c.comment}
		if role != roleRawName && role != roleLabelName {
			kv = append(kv, pipeline.MetaUnit, unit)
		}
		if column != original {
			kv = append(kv, pipeline.MetaSource, original)
		}
		return pipeline.FieldMeta(append(kv, src.meta()...)...)
	}
	add := func(suffix string, typ arrow.DataType, r role) {
		n := column
		if suffix != "" {
			n = t.columnName(column+suffix, c)
		}
		t.columns = append(t.columns, columnDef{arrow.Field{Name: n, Type: in.nest(typ), Nullable: true, Metadata: meta(suffix)}, r, src})
	}
	switch {
	case src.kind == kindComplex:
		if in == nil {
			t.taken[column] = false
		}
		add(".re", src.raw, roleRe)
		add(".im", src.raw, roleIm)
	case src.kind == kindDate || src.kind == kindTime:
		add("", arrow.TimeType, roleValue)
		add(roleRawName, arrow.BinaryType, roleRaw)
	case out.Text:
		add("", arrow.StringType, roleValue)
		add(roleRawName, arrow.StringType, roleRaw)
	case out.Value && src.integer:
		add("", src.intType, roleValue)
	case out.Value:
		add("", arrow.Float64Type, roleValue)
		if out.Label || src.kind == kindText {
			add(roleRawName, src.raw, roleRaw)
		}
	default:
		add("", src.raw, roleValue)
	}
	if out.Label && !out.Text {
		add(roleLabelName, arrow.StringType, roleLabel)
	}
}

const (
	roleRawName   = "_raw"
	roleLabelName = "_label"
)

// addFrameColumns adds what a frame has to have and this writer left out.
func (t *table) addFrameColumns() {
	if t.frame.bus != "can" {
		return
	}
	find := func(name string) *columnDef {
		for i := range t.columns {
			if t.columns[i].field.Name == name {
				return &t.columns[i]
			}
		}
		return nil
	}
	id, dlc := find("id"), find("dlc")
	if id != nil && find("ide") == nil && id.src.bits == 32 {
		t.taken["ide"] = true
		t.columns = append(t.columns, columnDef{arrow.Field{Name: "ide", Type: arrow.Uint8Type, Nullable: true,
			Metadata: pipeline.FieldMeta(pipeline.MetaDescription, "bit 31 of the identifier")}, roleIDE, id.src})
	}
	if dlc != nil && find("data_length") == nil {
		t.taken["data_length"] = true
		t.columns = append(t.columns, columnDef{arrow.Field{Name: "data_length", Type: arrow.Uint16Type, Nullable: true,
			Metadata: pipeline.FieldMeta(pipeline.MetaDescription, "by the data length code")}, roleLength, dlc.src})
	}
}

// conversionOf compiles the conversion of a channel. One that cannot be
// compiled leaves the raw values, with a problem.
func (t *table) conversionOf(c *channel, kind conversion.Kind) *conversion.Program {
	if c.conv == nil {
		return nil
	}
	p, err := conversion.Compile(c.conv, kind)
	if err != nil {
		t.tell("conversion", c.off, "channel %q keeps its raw values: %v", c.fullName(), err)
		return nil
	}
	return p
}
