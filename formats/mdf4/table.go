package mdf4

import (
	"context"
	"fmt"

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
	followers := f.followers()
	joined := make(map[*group]bool)
	for _, list := range followers {
		for _, g := range list {
			joined[g] = true
		}
	}
	names := make(map[string]bool)
	for _, dg := range f.groups {
		for _, g := range dg.groups {
			if g.varying() || joined[g] || len(g.channels) == 0 {
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

// followers lists, by the offset of a group, the groups that have their master
// there. A group that others follow is not joined to one itself, so that no
// channel is in two tables.
func (f *file) followers() map[int64][]*group {
	leads := make(map[int64]bool)
	alone := make(map[int64]bool)
	for _, dg := range f.groups {
		for _, g := range dg.groups {
			alone[g.off] = !g.varying() && len(dg.groups) == 1 && len(g.channels) > 0
			if g.remote != g.off {
				leads[g.remote] = true
			}
		}
	}
	out := make(map[int64][]*group)
	for _, dg := range f.groups {
		for _, g := range dg.groups {
			if g.remote != 0 && g.remote != g.off && alone[g.off] && alone[g.remote] && !leads[g.off] {
				out[g.remote] = append(out[g.remote], g)
			}
		}
	}
	return out
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

// location is where the bytes of a group's records lie.
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

func (t *table) tell(kind string, off int64, format string, args ...any) {
	if len(t.problem) < 100 {
		t.problem = append(t.problem, pipeline.Problem{Kind: kind, Offset: off, Detail: fmt.Sprintf(format, args...)})
	}
}
