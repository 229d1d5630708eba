package dbc

import (
	"encoding/binary"
	"fmt"
	"math"

	candb "github.com/drivemill/drivemill/formats/dbc"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// send makes a batch of the frames of a group and empties the group.
func (p *processor) send(g *group, b *pipeline.Batch, acct *pipeline.Account, emit pipeline.Emit) error {
	if len(g.rows) == 0 {
		return nil
	}
	defer g.reset()
	o := g.target.out
	cols := make([]arrow.Array, o.table.Schema.NumFields())
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	var err error
	for k, at := range o.keep {
		if cols[k], err = column.Take(p.opt.Allocator, b.Record.Column(at), g.rows); err != nil {
			return fmt.Errorf("table %s: %w", o.table.Name, err)
		}
	}
	need := p.need(o)
	if o.address >= 0 {
		p.addresses(g, cols[o.address:o.address+3])
	}
	if o.transfer >= 0 {
		cols[o.transfer] = p.starts(g)
	}
	p.signals(g, need, cols, acct)
	for i, c := range cols {
		if c == nil { // of another database, or not needed
			cols[i] = p.nulls(o, i, len(g.rows))
		}
	}
	rec := arrow.NewRecord(o.table.Schema, cols, int64(len(g.rows)))
	return emit(pipeline.Element{Batch: &pipeline.Batch{Table: o.table, Record: rec, Origin: b.Origin.Take(g.rows)}})
}

// need tells which columns of an output are looked at; nil: all.
func (p *processor) need(o *output) []bool {
	if p.opt.Needed == nil {
		return nil
	}
	need, ok := p.needed[o]
	if !ok {
		need = p.opt.Needed(o.table)
		p.needed[o] = need
	}
	return need
}

// addresses makes the columns of priority, source and destination.
func (p *processor) addresses(g *group, cols []arrow.Array) {
	var c [3]*column.Column
	for k := range c {
		c[k] = column.New(p.opt.Allocator, arrow.Uint8Type)
		c[k].Grow(len(g.rows))
	}
	for _, s := range g.senders {
		parts := candb.GroupOf(s.id)
		c[0].Data = append(c[0].Data, parts.Priority)
		c[1].Data = append(c[1].Data, parts.Source)
		c[0].N++
		c[1].N++
		if s.dest < 0 {
			c[2].AppendNull()
		} else {
			c[2].Data = append(c[2].Data, uint8(s.dest))
			c[2].N++
		}
	}
	for k := range c {
		cols[k] = c[k].Finish()
	}
}

// starts makes the column of when transfers began.
func (p *processor) starts(g *group) arrow.Array {
	c := column.New(p.opt.Allocator, arrow.TimeType)
	for _, s := range g.senders {
		if s.began == math.MinInt64 {
			c.AppendNull()
		} else {
			c.AppendInt64(s.began)
		}
	}
	return c.Finish()
}

// signals decodes the columns of signals that somebody looks at.
func (p *processor) signals(g *group, need []bool, cols []arrow.Array, acct *pipeline.Account) {
	t := g.target
	fields := t.plan.Fields()
	p.columns = p.columns[:0]
	for k, f := range fields {
		if t.column[k] < 0 || need != nil && !need[t.column[k]] {
			p.columns = append(p.columns, nil)
			continue
		}
		p.columns = append(p.columns, column.New(p.opt.Allocator, f.Type))
	}
	counts := t.plan.Decode(&g.frames, p.columns, &p.scratch)
	acct.Note(noteShort, counts.Short)
	acct.Note(noteSwitch, counts.UnknownSwitch)
	acct.Note(noteSpecial, counts.Special)
	for k, c := range p.columns {
		if c == nil {
			continue
		}
		at := t.column[k]
		want := t.out.table.Schema.Field(at).Type
		switch {
		case fields[k].Part == candb.Text:
			cols[at] = p.label(t, k, c)
		case !arrow.TypeEqual(want, fields[k].Type):
			widen(c, fields[k].Type)
			c.Type = want
			cols[at] = c.Finish()
		default:
			cols[at] = c.Finish()
		}
		p.columns[k] = nil
	}
}

// label makes a column of texts of a column of codes.
func (p *processor) label(t *target, k int, c *column.Column) arrow.Array {
	if recode := t.recode[k]; recode != nil {
		for i := range c.N {
			if c.Valid(i) {
				code := binary.LittleEndian.Uint32(c.Data[4*i:])
				binary.LittleEndian.PutUint32(c.Data[4*i:], uint32(recode[code]))
			}
		}
	}
	codes := c.Finish()
	defer codes.Release()
	return arrow.NewDictionaryArray(arrow.LabelType, codes, p.dictionary(t.out.labels[t.column[k]]))
}

// dictionary is the array of texts that all batches of a column share.
func (p *processor) dictionary(l *labels) arrow.Array {
	d := p.dicts[l]
	if d == nil {
		c := column.New(p.opt.Allocator, arrow.StringType)
		for _, s := range l.texts {
			c.AppendString(s)
		}
		d = c.Finish()
		p.dicts[l] = d
	}
	return d
}

// widen makes integers into doubles, where databases differ in the type of a
// signal.
func widen(c *column.Column, from arrow.DataType) {
	for i := 0; i+8 <= len(c.Data); i += 8 {
		raw := binary.LittleEndian.Uint64(c.Data[i:])
		switch from.ID() {
		case arrow.INT64:
			raw = math.Float64bits(float64(int64(raw)))
		case arrow.UINT64:
			raw = math.Float64bits(float64(raw))
		}
		binary.LittleEndian.PutUint64(c.Data[i:], raw)
	}
}

// nulls makes a column without values.
func (p *processor) nulls(o *output, at, rows int) arrow.Array {
	t := o.table.Schema.Field(at).Type
	if t.ID() != arrow.DICTIONARY {
		c := column.New(p.opt.Allocator, t)
		c.AppendNulls(rows)
		return c.Finish()
	}
	c := column.New(p.opt.Allocator, arrow.Int32Type)
	c.AppendNulls(rows)
	codes := c.Finish()
	defer codes.Release()
	return arrow.NewDictionaryArray(t, codes, p.dictionary(o.labels[at]))
}
