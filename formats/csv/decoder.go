package csv

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// decoder delivers the rows of one file.
type decoder struct {
	*records
	settings
	object  pipeline.Object
	table   *pipeline.Table // of the batches
	cells   []int           // of each record that are delivered
	kinds   []kind          // of those
	columns []*column.Column
	opt     pipeline.DecodeOptions
	none    bool // the table is not selected

	counts pipeline.TableCounts
	// Of the rows held.
	ordinals []int64
	bytes    int64
	badCells []string // columns of the row at hand whose cells became null
	pending  *pipeline.Element
	err      error
}

func newDecoder(r *records, s settings, obj pipeline.Object, desc *description, sel pipeline.Selection, opt pipeline.DecodeOptions) (*decoder, error) {
	d := &decoder{records: r, settings: s, object: obj, table: desc.table, opt: opt}
	if len(r.names) != len(desc.kinds) {
		return nil, fmt.Errorf("the header is not the one that was described: %w", pipeline.ErrChanged)
	}
	if d.opt.BatchRows <= 0 {
		d.opt.BatchRows = pipeline.DefaultBatchRows
	}
	if d.opt.BatchBytes <= 0 {
		d.opt.BatchBytes = pipeline.DefaultBatchBytes
	}
	if d.opt.Allocator == nil {
		d.opt.Allocator = arrow.NewGoAllocator()
	}
	var wanted map[string]bool
	if sel.Tables != nil {
		d.none = true
		for _, t := range sel.Tables {
			if t.Table == nil || t.Table.Name != desc.table.Name {
				continue
			}
			d.none = false
			for _, name := range t.Columns {
				if desc.table.Column(name) < 0 {
					return nil, fmt.Errorf("table %s has no column %s: %w", desc.table.Name, name, pipeline.ErrSchema)
				}
			}
			if t.Columns != nil {
				wanted = make(map[string]bool)
				for _, name := range t.Columns {
					wanted[name] = true
				}
			}
		}
	}
	var fields []arrow.Field
	for i, f := range desc.table.Schema.Fields() {
		if f.Name != r.names[i] {
			return nil, fmt.Errorf("the header is not the one that was described: %w", pipeline.ErrChanged)
		}
		if wanted == nil || wanted[f.Name] {
			fields = append(fields, f)
			d.cells, d.kinds = append(d.cells, i), append(d.kinds, desc.kinds[i])
			d.columns = append(d.columns, column.New(d.opt.Allocator, f.Type))
		}
	}
	if wanted != nil {
		d.table = desc.table.With(arrow.NewSchema(fields, nil))
	}
	d.counts = pipeline.TableCounts{Table: desc.table.Name, Indexed: -1, Rejected: map[string]int64{}, NullCells: map[string]int64{}}
	return d, nil
}

// Next implements pipeline.Decoder.
func (d *decoder) Next(ctx context.Context) (pipeline.Element, error) {
	if e := d.pending; e != nil {
		d.pending = nil
		return *e, nil
	}
	for d.err == nil {
		if d.counts.Found%1024 == 0 {
			if err := ctx.Err(); err != nil {
				d.err = err
				break
			}
		}
		d.err = d.row()
		if len(d.ordinals) >= d.opt.BatchRows || d.bytes >= d.opt.BatchBytes || errors.Is(d.err, io.EOF) && len(d.ordinals) > 0 {
			return d.batch(), nil
		}
	}
	return pipeline.Element{}, d.err
}

// row reads one record into the columns.
func (d *decoder) row() error {
	rec := d.next()
	if rec.err != nil && rec.reason == "" {
		if errors.Is(rec.err, io.EOF) {
			return io.EOF
		}
		return d.fail(rec.offset, rec.err)
	}
	ordinal := d.counts.Found
	d.counts.Found++
	d.counts.Bytes += int64(len(rec.raw))
	switch {
	case rec.reason != "":
		return d.refuse(rec, ordinal, "")
	case d.none:
		d.counts.Unselected++
		return nil
	}
	for i, c := range d.columns {
		cell := rec.cells[d.cells[i]]
		if cell == "" || d.nulls[cell] {
			c.AppendNull()
			continue
		}
		if add(c, d.kinds[i], cell) {
			continue
		}
		name := d.names[d.cells[i]]
		if _, ok := d.types[name]; !ok {
			return d.fail(rec.offset, fmt.Errorf("a cell of column %s is no %s: %w", name, typeNames[d.kinds[i]], pipeline.ErrChanged))
		}
		if d.opt.NullCells {
			c.AppendNull()
			d.badCells = append(d.badCells, name)
			continue
		}
		for _, c := range d.columns[:i] {
			c.Truncate(len(d.ordinals))
		}
		line, column := d.FieldPos(d.cells[i])
		rec.reason = "bad_cell"
		rec.err = fmt.Errorf("%d:%d: a cell of column %s is no %s: %w", line, column, name, typeNames[d.kinds[i]], pipeline.ErrCorrupt)
		d.badCells = d.badCells[:0]
		return d.refuse(rec, ordinal, name)
	}
	for _, name := range d.badCells {
		d.counts.NullCells[name]++
	}
	d.badCells = d.badCells[:0]
	d.ordinals = append(d.ordinals, ordinal)
	d.bytes += int64(len(rec.raw) + 8*len(d.columns))
	return nil
}

// refuse hands a bad row over, or ends decoding where nobody takes it.
func (d *decoder) refuse(rec record, ordinal int64, column string) error {
	if d.opt.Reject == nil {
		return d.fail(rec.offset, rec.err)
	}
	d.counts.Rejected[rec.reason]++
	return d.opt.Reject(pipeline.BadRow{Table: d.counts.Table, Object: d.object.URI, Record: ordinal, Offset: rec.offset, Column: column, Reason: rec.reason, Err: rec.err, Raw: rec.raw})
}

// fail says where decoding ended.
func (d *decoder) fail(offset int64, err error) error {
	return &pipeline.DecodeError{Object: d.object.URI, Format: formatName, Table: d.counts.Table, Offset: offset, Record: d.counts.Found, Err: err}
}

// batch makes a batch of the rows held, and a watermark where one is asked for.
func (d *decoder) batch() pipeline.Element {
	n := len(d.ordinals)
	arrays := make([]arrow.Array, len(d.columns))
	for i, c := range d.columns {
		arrays[i] = c.Finish()
		defer arrays[i].Release()
	}
	origin := pipeline.Origin{Object: d.opt.Object, First: d.ordinals[0]}
	if d.ordinals[n-1] != origin.First+int64(n-1) { // some between were refused
		origin.Deltas = make([]uint32, n)
		for i, o := range d.ordinals {
			origin.Deltas[i] = uint32(o - origin.First)
		}
	}
	d.counts.Decoded += int64(n)
	if d.opt.Steps {
		d.pending = &pipeline.Element{Mark: pipeline.Watermark{Object: d.opt.Object, Record: d.ordinals[n-1] + 1}}
	}
	d.ordinals, d.bytes = d.ordinals[:0], 0
	return pipeline.Element{Batch: &pipeline.Batch{Table: d.table, Record: arrow.NewRecord(d.table.Schema, arrays, int64(n)), Origin: origin}}
}

// Counts implements pipeline.Decoder.
func (d *decoder) Counts() []pipeline.TableCounts { return []pipeline.TableCounts{d.counts} }

// Problems implements pipeline.Decoder.
func (d *decoder) Problems() []pipeline.Problem { return nil }

// Close implements pipeline.Decoder.
func (d *decoder) Close() error {
	for _, c := range d.columns {
		c.Release()
	}
	return d.close()
}
