package parquet

import (
	"context"
	"fmt"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Index is the Parquet side of an output that makes other objects of its rows:
// a table of the lake for each table, whose rows tell of the objects. It is
// written, committed and read like any other.
type Index struct{ sink *sink }

// NewIndex opens the lake at uri. pos is that of the output.
func NewIndex(ctx context.Context, pos pipeline.Pos, uri pipeline.Text, env pipeline.Env) (*Index, error) {
	s, err := newSink(ctx, &SinkConfig{
		Pos: pos, URI: uri, Partition: []pipeline.Text{{Value: keyDriveDate, Pos: uri.Pos, Path: uri.Path}},
		Types: "lake", Names: "lake", Compression: "zstd", RowGroupRows: 1 << 20, RowGroupBytes: 16 << 20, FileBytes: 256 << 20,
	}, env)
	if err != nil {
		return nil, err
	}
	return &Index{s}, nil
}

// Store is where the index lies, and the objects that it tells of.
func (x *Index) Store() pipeline.Store { return x.sink.store }

// IndexTable is the index of what is made of one table. Its columns are those
// that lead the table (attributes and clocks), frame_id where there is a
// header, and those that the output makes.
type IndexTable struct {
	In    *pipeline.Table
	Table *pipeline.Table
	// Lake is the table's name in the lake, set by Index.Bind.
	Lake string

	kept    []int
	from    []string
	payload string
	frame   string // column that becomes frame_id
	made    []string
}

// frameColumn names the column that tells whose frame a message is in: that
// of a header, or of a message without one.
func frameColumn(t *pipeline.Table) string {
	if name := "header.frame_id"; t.Column(name) >= 0 {
		return name
	}
	return "frame_id"
}

// NewIndexTable lays out the index of table in. The columns in made are made of
// those in from, of which payload is wanted with all its bytes.
func NewIndexTable(in *pipeline.Table, payload string, from []string, made []arrow.Field) *IndexTable {
	x := &IndexTable{In: in, from: append(slices.Clone(from), payload), payload: payload, frame: frameColumn(in)}
	var fields []arrow.Field
	for i, f := range in.Schema.Fields() {
		if role, _ := f.Metadata.GetValue(pipeline.MetaRole); role == "" && f.Name != x.frame {
			continue
		}
		if f.Name == x.frame {
			f.Name = "frame_id"
		}
		x.kept = append(x.kept, i)
		fields = append(fields, f)
	}
	for _, f := range made {
		x.made = append(x.made, f.Name)
		fields = append(fields, f)
	}
	x.Table = in.With(arrow.NewSchema(fields, nil))
	x.Table.Clocks = slices.DeleteFunc(slices.Clone(in.Clocks), func(c pipeline.Clock) bool { return x.Table.Column(c.Column) < 0 })
	return x
}

// Lead makes the leading columns of rows of the index: of the given ascending
// ones of b, which stays with the caller.
func (x *IndexTable) Lead(mem arrow.Allocator, b *pipeline.Batch, rows []int32) (*pipeline.Batch, error) {
	cols := make([]arrow.Array, 0, len(x.kept))
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for _, i := range x.kept {
		a, err := column.Take(mem, b.Record.Column(i), rows)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", b.Table.Name, err)
		}
		cols = append(cols, a)
	}
	rec := arrow.NewRecord(arrow.NewSchema(x.Table.Schema.Fields()[:len(x.kept)], nil), cols, int64(len(rows)))
	return &pipeline.Batch{Table: x.Table, Record: rec, Origin: b.Origin.Take(rows)}, nil
}

// Complete makes rows of the index of what Lead made, which stays with the
// caller, and the columns made for them, which are emptied.
func (x *IndexTable) Complete(lead *pipeline.Batch, made []*column.Column) *pipeline.Batch {
	cols := slices.Clone(lead.Record.Columns())
	for _, c := range made {
		a := c.Finish()
		defer a.Release()
		cols = append(cols, a)
	}
	return &pipeline.Batch{Table: x.Table, Record: arrow.NewRecord(x.Table.Schema, cols, lead.Record.NumRows()), Origin: lead.Origin}
}

// Bind binds the index tables. The binding is told in terms of the tables that
// the index is of. What it opens is made by writer around one that takes batches
// of the index tables; its options have an allocator.
func (x *Index) Bind(tables []*IndexTable, writer func(index pipeline.SinkWriter, opt pipeline.SinkOptions) pipeline.SinkWriter) (*pipeline.SinkBinding, error) {
	of := make(map[*pipeline.Table]*IndexTable, len(tables))
	var list []*pipeline.Table
	for _, t := range tables {
		of[t.Table] = t
		list = append(list, t.Table)
	}
	b, err := x.sink.Bind(list)
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool)
	for _, t := range b.Tables {
		names[t.Name] = true
	}
	for i := range b.Tables {
		t := &b.Tables[i]
		t.Mixes = false // whose row it is decides what is made of it
		if names[objects(t.Name)] {
			return nil, x.sink.cfg.URI.Issuef(0, "the objects of table %s go where another table is: rename that one", t.Name)
		}
		for j := range t.Columns {
			d := &t.Columns[j]
			var refs []pipeline.ColumnRef
			for _, r := range d.Inputs {
				in, whole := of[r.Table].origin(r.Column)
				d.Identity = d.Identity && whole
				refs = append(refs, in...)
			}
			d.Inputs = refs
		}
		for j := range t.Reads {
			in, _ := of[t.Reads[j].Table].origin(t.Reads[j].Column)
			t.Reads[j].ColumnRef = in[0]
		}
		for j, in := range t.Inputs {
			src := of[in]
			t.Inputs[j] = src.In
			src.Lake = t.Name
			t.Bytes = append(t.Bytes, pipeline.ColumnRef{Table: src.In, Column: src.payload})
		}
	}
	open := b.Open
	b.Open = func(ctx context.Context, opt pipeline.SinkOptions) (pipeline.SinkWriter, error) {
		index, err := open(ctx, opt)
		if err != nil {
			return nil, err
		}
		if opt.Allocator == nil {
			opt.Allocator = arrow.NewGoAllocator()
		}
		return writer(index, opt), nil
	}
	return b, nil
}

// origin lists what a column of the index is made from; whole means that it is
// one column as it was.
func (x *IndexTable) origin(name string) (refs []pipeline.ColumnRef, whole bool) {
	if slices.Contains(x.made, name) {
		for _, f := range x.from {
			refs = append(refs, pipeline.ColumnRef{Table: x.In, Column: f})
		}
		return refs, false
	}
	if name == "frame_id" {
		name = x.frame
	}
	return []pipeline.ColumnRef{{Table: x.In, Column: name}}, true
}

// objects is the directory for the objects of a table: not that of the table,
// in which readers expect Parquet files only.
func objects(table string) string { return table + "_objects" }

// ObjectDir is where the objects made of a table are written, down to the
// partition, with a slash behind it.
func ObjectDir(table, driveDate string) (dir string, partition map[string]string) {
	if driveDate == "" {
		driveDate = noValue
	}
	return fmt.Sprintf("%s/%s=%s/", objects(table), keyDriveDate, driveDate), map[string]string{keyDriveDate: driveDate}
}
