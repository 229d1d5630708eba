package mdf4

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Columns that the reader itself names.
const (
	timeColumn   = "time"      // absolute time of a sample
	nativeColumn = "time_wall" // ns on the wall clock of a recording without a zone
)

// originShift makes record ordinals of the index of a data group and the
// ordinal of the record in it.
const originShift = 40

// role is which column of a channel a column is.
type role uint8

const (
	roleValue  role = iota // the channel itself: physical, or as it is stored
	roleRaw                // as it is stored, beside a physical value
	roleLabel              // the text of a conversion
	roleTime               // absolute time, of the master
	roleWall               // time on a wall clock, of the master
	roleRe                 // of complex numbers
	roleIm                 //
	roleIDE                // bit 31 of the identifier of a frame
	roleLength             // length of a payload, by the data length code
)

// columnDef is one column of a table.
type columnDef struct {
	field arrow.Field
	role  role
	src   *source
}

// part is a data stream from which rows of a table take some of their bytes.
// Most tables have one.
type part struct {
	g      *group
	inval  bool // the invalidation bytes of a column store
	skip   int  // bytes of the record id
	stride int  // bytes of a record, the id included
}

// table is one table of a recording.
type table struct {
	*pipeline.Table
	f       *file
	g       *group // names it, and has the master
	parts   []part
	columns []columnDef
	master  *source // of time; nil for none
	rows    int64   // as the file claims, -1 where it does not
	problem []pipeline.Problem

	taken map[string]bool
	frame *frame

	long []signal      // in long layout, the signals of a record
	wide *arrow.Schema // and the schema that it would have otherwise
}

// tables makes the tables of all groups, in the order of the file. long says
// which of them have the long layout.
func (f *file) tables(ctx context.Context, at anchor, long func(string) bool) ([]*table, error) {
	var out []*table
	followers := make(map[int64][]*group)
	masters := make(map[int64]bool)
	for _, dg := range f.groups {
		for _, g := range dg.groups {
			masters[g.off] = !g.varying()
		}
	}
	joined := func(g *group) bool {
		return g.remote != 0 && g.remote != g.off && masters[g.remote] && len(g.dg.groups) == 1
	}
	for _, dg := range f.groups {
		for _, g := range dg.groups {
			if joined(g) {
				followers[g.remote] = append(followers[g.remote], g)
			}
		}
	}
	names := make(map[string]bool)
	for _, dg := range f.groups {
		for _, g := range dg.groups {
			if g.varying() || joined(g) && !joinedCycle(g, followers) || len(g.channels) == 0 && len(followers[g.off]) == 0 {
				continue
			}
			t, err := f.newTable(ctx, g, followers[g.off], at)
			if err != nil {
				return nil, err
			}
			t.name(names)
			if long(t.Name) {
				t.makeLong()
			}
			for i := range t.problem {
				t.problem[i].Table = t.Name
			}
			out = append(out, t)
		}
	}
	return out, nil
}

// joinedCycle reports whether the groups that g leads to by its masters never
// end: such a group stays a table of its own.
func joinedCycle(g *group, followers map[int64][]*group) bool {
	return len(followers[g.off]) > 0
}

func (f *file) newTable(ctx context.Context, g *group, with []*group, at anchor) (*table, error) {
	t := &table{f: f, g: g, rows: g.cycles, taken: make(map[string]bool), frame: g.frame()}
	if f.id.unfinished(unfinCycles) {
		t.rows = -1
	}
	t.Table = &pipeline.Table{Attributes: t.attributes()}
	groups := []*group{g}
	for _, w := range with {
		if w.cycles != g.cycles && !f.id.unfinished(unfinCycles) {
			t.tell("cycle_count", w.off, "group %s has %d cycles, its master %d", w.label(), w.cycles, g.cycles)
		}
		groups = append(groups, w)
	}
	master := g.master()
	if master != nil && master.sync == 1 {
		t.taken[timeColumn] = true
		if !at.utc {
			t.taken[nativeColumn] = true
		}
	}
	for i, g := range groups {
		p, err := t.addParts(ctx, g)
		if err != nil {
			return nil, err
		}
		if i == 0 && master != nil && master.sync == 1 {
			t.addTime(master, p, at)
		}
		for _, c := range g.channels {
			if c != master || master.sync != 1 {
				t.addChannel(c, p, nil, 0)
			}
		}
	}
	if t.frame != nil {
		t.addFrameColumns()
	}
	fields := make([]arrow.Field, len(t.columns))
	for i, c := range t.columns {
		fields[i] = c.field
	}
	t.Schema = arrow.NewSchema(fields, nil)
	return t, nil
}

// master is the channel that the others are measured over, nil for none.
func (g *group) master() *channel {
	for _, c := range g.channels {
		if (c.kind == chanMaster || c.kind == chanVirtualMaster) && c.array == nil && c.dt <= 5 {
			return c
		}
	}
	return nil
}

// parts are where the bytes of a group's records lie.
type location struct {
	values, inval int   // indices of parts
	invalOff      int64 // of the invalidation bytes in their part, the id aside
	width         int64 // bytes of values
}

// addParts adds the streams of a group.
func (t *table) addParts(ctx context.Context, g *group) (location, error) {
	columnar, err := t.f.columnar(ctx, g.dg)
	if err != nil {
		return location{}, err
	}
	at := location{values: len(t.parts), inval: len(t.parts), invalOff: g.data, width: g.data}
	p := part{g: g, skip: g.dg.idSize, stride: g.dg.idSize + int(g.data+g.inval)}
	if columnar {
		p.skip, p.stride = 0, int(g.data)
		t.parts = append(t.parts, p)
		if g.inval > 0 {
			at.inval, at.invalOff = len(t.parts), 0
			t.parts = append(t.parts, part{g: g, inval: true, stride: int(g.inval)})
		}
		return at, nil
	}
	t.parts = append(t.parts, p)
	return at, nil
}

// columnar reports whether the data of a group lie in DV blocks, with the
// invalidation bytes apart.
func (f *file) columnar(ctx context.Context, dg *dataGroup) (bool, error) {
	if f.id.version < 420 || dg.data == 0 || len(dg.groups) != 1 {
		return false, nil
	}
	off := dg.data
	for range maxGuards {
		h, err := f.header(ctx, off)
		if err != nil {
			if fatal(err) {
				return false, err
			}
			return false, nil
		}
		switch h.id {
		case "GD":
			b, err := f.load(ctx, off, 8)
			if err != nil {
				if fatal(err) {
					return false, err
				}
				return false, nil
			}
			return b.id == "LD" || b.id == "DV", nil
		case "LD", "DV":
			return true, nil
		case "DZ":
			b, err := f.load(ctx, off, 24)
			if err != nil {
				if fatal(err) {
					return false, err
				}
				return false, nil
			}
			return len(b.data) >= 2 && string(b.data[:2]) == "DV", nil
		}
		return false, nil
	}
	return false, nil
}

func (t *table) tell(kind string, off int64, format string, args ...any) {
	if len(t.problem) < 100 {
		t.problem = append(t.problem, pipeline.Problem{Kind: kind, Offset: off, Detail: fmt.Sprintf(format, args...)})
	}
}

func (t *table) attributes() map[string]string {
	a := make(map[string]string)
	set := func(k, v string) {
		if v != "" {
			a[k] = v
		}
	}
	set("acquisition_name", t.g.name)
	set("comment", t.g.comment)
	if s := t.g.acquisition(); s != nil {
		set("source", s.name)
		set("source_path", s.path)
	}
	if t.frame != nil {
		set("bus", t.frame.bus)
		set("frame_kind", t.frame.kind)
	}
	return a
}

// acquisition is the source of a group: its own, or the one that all its
// channels have.
func (g *group) acquisition() *sourceInfo {
	if g.source != nil {
		return g.source
	}
	var one *sourceInfo
	for _, c := range g.channels {
		if c.kind == chanMaster || c.kind == chanVirtualMaster {
			continue
		}
		if c.source == nil || one != nil && one.name != c.source.name {
			return nil
		}
		one = c.source
	}
	return one
}

// name calls the table by source and acquisition name. A group without any is
// called by its only channel, or by a hash of its channels.
func (t *table) name(taken map[string]bool) {
	var words []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" && (len(words) == 0 || words[len(words)-1] != s) {
			words = append(words, s)
		}
	}
	if s := t.g.acquisition(); s != nil {
		add(s.name)
	}
	add(t.g.name)
	if t.frame != nil && len(words) < 2 {
		add(t.frame.channel.name)
	}
	if len(words) == 0 {
		var own []string
		for _, c := range t.g.channels {
			if c.kind != chanMaster && c.kind != chanVirtualMaster {
				own = append(own, c.name)
			}
		}
		if len(own) == 1 && own[0] != "" {
			add(own[0])
		} else {
			add("group_" + t.identity()[:6])
		}
	}
	t.Name = distinct(strings.Join(words, "/"), t.identity(), taken)
	taken[t.Name] = true
}

// identity is a hash of what makes the group what it is: names and sources of
// its channels.
func (t *table) identity() string {
	h := sha256.New()
	if s := t.g.acquisition(); s != nil {
		fmt.Fprintf(h, "%s\x00%s\x00", s.name, s.path)
	}
	fmt.Fprintf(h, "%s\x00", t.g.name)
	for _, c := range t.columns {
		fmt.Fprintf(h, "%s\x00", c.field.Name)
		if c.src != nil && c.src.ch != nil && c.src.ch.source != nil {
			fmt.Fprintf(h, "%s\x00%s\x00", c.src.ch.source.name, c.src.ch.source.path)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// distinct returns name, or where that is taken name with a suffix made of
// hash, longer or numbered until it is free.
func distinct(name, hash string, taken map[string]bool) string {
	if !taken[name] {
		return name
	}
	free := name + "_" + hash[:6]
	for n := 2; taken[free]; n++ {
		free = name + "_" + hash[:6] + "_" + strconv.Itoa(n)
	}
	return free
}

// columnName makes name distinct in the table.
func (t *table) columnName(name string, c *channel) string {
	if name == "" {
		name = "channel"
	}
	if !t.taken[name] {
		t.taken[name] = true
		return name
	}
	id := name
	if c.source != nil {
		id += "\x00" + c.source.name + "\x00" + c.source.path
	}
	sum := sha256.Sum256([]byte(id))
	name = distinct(name, hex.EncodeToString(sum[:]), t.taken)
	t.taken[name] = true
	return name
}

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
		if a.storage != storeRecord {
			how := map[uint8]string{storeCG: "records", storeDG: "data blocks"}[a.storage]
			t.tell("unsupported_array", c.off, "channel %q is an array whose elements lie in %s of their own (ca_storage %d), which is not read", c.fullName(), how, a.storage)
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
	if p.Output().Identity() {
		return p
	}
	return p
}
