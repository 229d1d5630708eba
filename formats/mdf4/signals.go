package mdf4

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// dictionary is the table of all signals of a recording. It has no clock, and
// no range of time leaves any of its rows out.
type dictionary struct {
	*pipeline.Table
	entries []dictionaryEntry
	base    int64 // ordinal of the first entry, behind all records
}

type dictionaryEntry struct {
	id    int64
	texts [len(dictionaryTexts)]string
	rate  float64 // records per second; 0 where unknown
}

// dictionaryTexts are the columns of texts, between signal_id and rate.
var dictionaryTexts = [...]string{"table", "column", "source", "bus", "message", "unit", "description", "labels", "type"}

const rateColumn = "rate"

// newDictionary lists the signals of all tables. rates are those of the tables.
func newDictionary(f *file, tables []*table, rates map[string]float64) *dictionary {
	d := &dictionary{base: int64(len(f.groups)) << originShift}
	taken := make(map[string]bool)
	for _, t := range tables {
		taken[t.Name] = true
		for _, s := range t.signals() {
			e := dictionaryEntry{id: s.id, rate: rates[t.Name]}
			unit, _ := s.field.Metadata.GetValue(pipeline.MetaUnit)
			source, bus := "", ""
			if g := s.src.ch.group; g.acquisition() != nil {
				source = g.acquisition().name
				bus = pick(busTypes, g.acquisition().bus)
			}
			e.texts = [...]string{t.Name, s.field.Name, source, bus, t.g.name, unit, s.src.ch.comment, labels(s.src.ch.conv), s.field.Type.String()}
			d.entries = append(d.entries, e)
		}
	}
	fields := []arrow.Field{{Name: signalColumn, Type: arrow.Int64Type}}
	for _, n := range dictionaryTexts {
		fields = append(fields, arrow.Field{Name: n, Type: arrow.StringType, Nullable: true})
	}
	fields = append(fields, arrow.Field{Name: rateColumn, Type: arrow.Float64Type, Nullable: true, Metadata: pipeline.FieldMeta(pipeline.MetaUnit, "Hz")})
	d.Table = &pipeline.Table{Name: distinct("signals", fmt.Sprintf("%016x", len(d.entries)), taken), Schema: arrow.NewSchema(fields, nil)}
	return d
}

// labels lists the texts of a conversion by their keys or ranges, as JSON; empty
// where there are none.
func labels(c *conversion.Block) string {
	if c == nil || c.Type != 7 && c.Type != 8 {
		return ""
	}
	out := make(map[string]string)
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	for i, r := range c.Refs {
		switch {
		case r.Text == nil:
		case c.Type == 7 && i < len(c.Values):
			out[number(c.Values[i])] = *r.Text
		case c.Type == 8 && 2*i+1 < len(c.Values):
			out[number(c.Values[2*i])+".."+number(c.Values[2*i+1])] = *r.Text
		default:
			out["default"] = *r.Text
		}
	}
	if len(out) == 0 {
		return ""
	}
	b, err := json.Marshal(out)
	if err != nil {
		return ""
	}
	return string(b)
}

// info describes the dictionary.
func (d *dictionary) info() pipeline.TableInfo {
	return pipeline.TableInfo{Table: d.Table, Rows: int64(len(d.entries)), Bytes: -1, Encoding: Name}
}

// dictionaryCursor delivers the dictionary.
type dictionaryCursor struct {
	d     *decoder
	dict  *dictionary
	as    *pipeline.Table
	names []string
	at    int
}

// openDictionary selects columns of the dictionary.
func (d *decoder) openDictionary(dict *dictionary, sel pipeline.TableSelection) (*dictionaryCursor, error) {
	c := &dictionaryCursor{d: d, dict: dict, as: sel.Table}
	if c.as == nil {
		c.as = dict.Table
	}
	for _, n := range sel.Columns {
		if dict.Column(n) < 0 {
			return nil, d.fail(dict.Name, -1, -1, errNoColumn(dict.Name, n))
		}
	}
	var fields []arrow.Field
	for _, f := range dict.Schema.Fields() {
		if sel.Columns == nil || slices.Contains(sel.Columns, f.Name) {
			fields = append(fields, f)
			c.names = append(c.names, f.Name)
		}
	}
	if len(fields) < dict.Schema.NumFields() {
		c.as = c.as.With(arrow.NewSchema(fields, nil))
	}
	d.dict = &pipeline.TableCounts{Table: dict.Name, Indexed: int64(len(dict.entries)), Rejected: map[string]int64{}, NullCells: map[string]int64{}}
	d.dict.Lost = d.dict.Indexed // until they are delivered
	return c, nil
}

func (c *dictionaryCursor) step(context.Context) error {
	n := min(len(c.dict.entries)-c.at, c.d.batchRows, 1024)
	if n == 0 {
		return io.EOF
	}
	arrs := make([]arrow.Array, len(c.names))
	for i, name := range c.names {
		col := column.New(c.d.mem, c.as.Schema.Field(i).Type)
		text := slices.Index(dictionaryTexts[:], name)
		for _, e := range c.dict.entries[c.at : c.at+n] {
			switch {
			case text >= 0 && e.texts[text] == "" || name == rateColumn && e.rate == 0:
				col.AppendNull()
			case text >= 0:
				col.AppendString(e.texts[text])
			case name == rateColumn:
				col.AppendFloat64(e.rate)
			default:
				col.AppendInt64(e.id)
			}
		}
		arrs[i] = col.Finish()
	}
	rec := arrow.NewRecord(c.as.Schema, arrs, int64(n))
	for _, a := range arrs {
		a.Release()
	}
	c.d.emit(&pipeline.Batch{Table: c.as, Record: rec, Origin: pipeline.Origin{Object: c.d.opt.Object, First: c.dict.base + int64(c.at)}}, 0)
	c.at += n
	c.d.dict.Found += int64(n)
	c.d.dict.Decoded += int64(n)
	c.d.dict.Lost -= int64(n)
	return nil
}

func (c *dictionaryCursor) flush()      {}
func (c *dictionaryCursor) mark() int64 { return c.dict.base + int64(c.at) }
func (c *dictionaryCursor) close()      {}
