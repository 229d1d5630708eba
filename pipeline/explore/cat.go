package explore

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/runner"
)

// CatOptions say which rows to print, and how.
type CatOptions struct {
	Registry *pipeline.Registry
	Tables   []string // globs over table names; none: all
	Columns  []string // names, prefixes of dotted names, or globs; none: all
	From, To int64    // log time in ns, half-open; 0: no bound
	Limit    int64    // 0: no limit
	Output   string   // ndjson, csv, parquet
	Format   string   // empty: found by looking
	Workers  int
	// Parquet writes batches of one table as a Parquet file; given by the
	// caller, because the encoder is a format of its own.
	Parquet func(w io.Writer, t *pipeline.Table) (ParquetWriter, error)
	// Inline prints large values of binary columns too, in place of references.
	Inline bool
	// Header are the columns under which an earlier recording was printed as
	// CSV: they are not printed again, and must be the same.
	Header []string
	// Filter drops rows; nil keeps all.
	Filter pipeline.Stage
}

// catBatchRows keeps batches small: somebody may be waiting for the first row.
const catBatchRows = 4096

// ParquetWriter encodes batches of one table. Close writes the footer.
type ParquetWriter interface {
	Write(b *pipeline.Batch) error
	Close() error
}

// CatResult is what Cat saw.
type CatResult struct {
	Rows     int64
	Header   []string // columns printed as CSV
	Partial  bool     // the limit was reached; counts are of what was read
	Counts   []pipeline.TableCounts
	Problems []pipeline.Problem
	Rejected map[string]int64 // rows refused, by the decoder or the filter, by reason
	Refused  map[string]error // the first of them for each reason
}

// Cat prints the rows of a recording in the order in which they lie there.
// Rows that cannot be decoded are counted in the result, not printed.
func Cat(ctx context.Context, src pipeline.Source, w io.Writer, opt CatOptions) (*CatResult, error) {
	spec, desc, err := describe(ctx, opt.Registry, src, opt.Format)
	if err != nil {
		return nil, err
	}
	c := &catter{opt: opt, out: w, bound: make(map[string]*boundTable)}
	if err := c.selectTables(desc); err != nil {
		return nil, err
	}
	if err := c.open(); err != nil {
		return nil, err
	}
	res := &CatResult{Refused: make(map[string]error), Rejected: make(map[string]int64)}
	c.refuse = func(r pipeline.BadRow) error {
		res.Rejected[r.Reason]++
		if res.Refused[r.Reason] == nil {
			if r.Object == "" {
				r.Object = src.Object().URI
			}
			res.Refused[r.Reason] = &pipeline.DecodeError{Object: r.Object, Format: desc.Format, Table: r.Table, Offset: r.Offset, Record: r.Record, Err: r.Err}
		}
		return nil
	}
	dec, err := spec.Format.Open(ctx, src, desc, c.sel, pipeline.DecodeOptions{
		Workers: opt.Workers, Steps: true, BatchRows: catBatchRows,
		Reject: c.refuse,
	})
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	err = c.copy(ctx, dec)
	c.drop()
	if err != nil {
		return nil, err
	}
	if err := c.close(); err != nil {
		return nil, err
	}
	if w, ok := c.writer.(*csvWriter); ok {
		res.Header = w.header
	}
	res.Rows, res.Counts, res.Problems = c.rows, dec.Counts(), append(desc.Problems, dec.Problems()...)
	res.Partial = c.full()
	return res, nil
}

// describe finds the format of a recording and what is in it.
func describe(ctx context.Context, reg *pipeline.Registry, src pipeline.Source, format string) (pipeline.FormatSpec, *pipeline.Description, error) {
	spec, err := formatOf(ctx, reg, src, format)
	if err != nil {
		return spec, nil, err
	}
	desc, err := spec.Format.Describe(ctx, src)
	return spec, desc, err
}

// formatOf finds the format of a recording: the one named, or by looking.
func formatOf(ctx context.Context, reg *pipeline.Registry, src pipeline.Source, format string) (pipeline.FormatSpec, error) {
	if format == "" {
		return runner.SniffObject(ctx, reg, src)
	}
	spec, ok := reg.Format(format)
	if !ok {
		var names []string
		for _, f := range reg.Formats() {
			names = append(names, f.Format.Name())
		}
		return spec, &pipeline.Issue{Message: fmt.Sprintf("unknown format %q: known are %s", format, strings.Join(names, ", ")), Suggestion: pipeline.Nearest(format, names)}
	}
	return spec, nil
}

// selectTables fills the selection from table and column globs and binds the
// filter. Columns that only the filter needs are decoded too, but not shown.
func (c *catter) selectTables(desc *pipeline.Description) error {
	var names []string
	for _, info := range desc.Tables {
		names = append(names, info.Table.Name)
	}
	tables, err := matching("table", c.opt.Tables, names, false)
	if err != nil {
		return err
	}
	var columns []string
	for _, info := range desc.Tables {
		if tables[info.Table.Name] {
			columns = append(columns, info.Table.ColumnNames()...)
		}
	}
	shown, err := matching("column", c.opt.Columns, columns, true)
	if err != nil {
		return err
	}
	c.shown = make(map[string][]string)
	c.sel = pipeline.Selection{Tables: []pipeline.TableSelection{}, From: c.opt.From, To: c.opt.To}
	for _, info := range desc.Tables {
		if !tables[info.Table.Name] {
			continue
		}
		need := make(map[string]bool)
		if c.opt.Filter != nil {
			b, err := c.opt.Filter.Bind([]*pipeline.Table{info.Table})
			if err != nil {
				return err
			}
			for _, r := range b.Outputs[0].Reads {
				need[r.Column] = true
			}
		}
		ts := pipeline.TableSelection{Table: info.Table, Latched: info.Latched}
		for _, col := range info.Table.ColumnNames() {
			if shown[col] {
				c.shown[info.Table.Name] = append(c.shown[info.Table.Name], col)
			}
			if shown[col] || need[col] {
				ts.Columns = append(ts.Columns, col)
			}
		}
		if len(c.shown[info.Table.Name]) == 0 {
			continue
		}
		if c.opt.Output != "parquet" && !c.opt.Inline {
			ts.Payloads = referable(info.Table, c.shown[info.Table.Name], need)
		}
		c.sel.Tables = append(c.sel.Tables, ts)
	}
	return nil
}

// matching returns the names that one of the patterns matches: a glob, or,
// for columns, also the name of a group of dotted names. No pattern matches
// all; a pattern that matches none is an error.
func matching(what string, patterns, names []string, dotted bool) (map[string]bool, error) {
	out := make(map[string]bool)
	if len(patterns) == 0 {
		for _, n := range names {
			out[n] = true
		}
		return out, nil
	}
	for _, p := range patterns {
		g, err := config.CompileGlob(p)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", what, p, err)
		}
		found := false
		for _, n := range names {
			if g.Match(n) || dotted && strings.HasPrefix(n, p+".") {
				out[n], found = true, true
			}
		}
		if !found {
			return nil, unknownName(what, p, names)
		}
	}
	return out, nil
}

func unknownName(what, name string, known []string) error {
	i := &pipeline.Issue{Message: fmt.Sprintf("no %s matches %q; there are: %s", what, name, strings.Join(known, ", ")), Suggestion: pipeline.Nearest(name, known)}
	return i
}

// catter prints batches in the order of their records.
type catter struct {
	opt     CatOptions
	out     io.Writer
	sel     pipeline.Selection
	shown   map[string][]string // columns to print, by table
	bound   map[string]*boundTable
	refuse  func(pipeline.BadRow) error
	writer  rowWriter
	parquet ParquetWriter
	pending []*pipeline.Batch
	rows    int64
}

// boundTable is a table as it comes from the decoder, with what is printed.
type boundTable struct {
	table   *pipeline.Table // as decoded
	filter  pipeline.Processor
	printed *pipeline.Table
	columns []int
}

func (c *catter) open() error {
	switch c.opt.Output {
	case "", "ndjson":
		c.writer = &ndjsonWriter{w: c.out, tables: len(c.sel.Tables) > 1}
	case "csv", "parquet":
		if n := len(c.sel.Tables); n != 1 {
			var names []string
			for _, t := range c.sel.Tables {
				names = append(names, t.Table.Name)
			}
			return &pipeline.Issue{Message: fmt.Sprintf("%s output holds one table, but %d are selected: choose one with --table: %s", c.opt.Output, n, strings.Join(names, ", "))}
		}
		if c.opt.Output == "csv" {
			c.writer = &csvWriter{out: c.out, w: csv.NewWriter(c.out), header: c.opt.Header}
		}
	default:
		return &pipeline.Issue{Message: fmt.Sprintf("unknown output %q: known are ndjson, csv, parquet", c.opt.Output)}
	}
	return nil
}

func (c *catter) full() bool { return c.opt.Limit > 0 && c.rows >= c.opt.Limit }

// copy reads to the end, or until enough rows are printed. Batches wait until
// a watermark says that nothing comes before them.
func (c *catter) copy(ctx context.Context, dec pipeline.Decoder) error {
	for !c.full() {
		el, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			return c.print()
		}
		if err != nil {
			return err
		}
		if el.Batch != nil {
			if el.Batch.Rows() == 0 {
				el.Batch.Release()
				continue
			}
			b, err := c.prepare(ctx, el.Batch)
			if err != nil {
				return err
			}
			if b != nil {
				c.pending = append(c.pending, b)
			}
			continue
		}
		if err := c.print(); err != nil {
			return err
		}
	}
	return nil
}

// prepare filters a batch and leaves the columns to be printed.
func (c *catter) prepare(ctx context.Context, b *pipeline.Batch) (*pipeline.Batch, error) {
	t := c.bound[b.Table.Name]
	if t == nil {
		var err error
		if t, err = c.bind(b); err != nil {
			b.Release()
			return nil, err
		}
		c.bound[b.Table.Name] = t
	}
	if t.filter != nil {
		var out *pipeline.Batch
		in := *b
		in.Table = t.table
		err := t.filter.Process(ctx, &in, &pipeline.Account{}, func(el pipeline.Element) error {
			out = el.Batch
			return nil
		})
		if err != nil || out == nil {
			return nil, err
		}
		b = out
	}
	defer b.Release()
	cols := make([]arrow.Array, len(t.columns))
	for i, at := range t.columns {
		cols[i] = b.Record.Column(at)
	}
	return &pipeline.Batch{Table: t.printed, Record: arrow.NewRecord(t.printed.Schema, cols, b.Record.NumRows()), Origin: b.Origin}, nil
}

func (c *catter) bind(b *pipeline.Batch) (*boundTable, error) {
	t := &boundTable{table: b.Table.With(b.Record.Schema())}
	var fields []arrow.Field
	for _, name := range c.shown[b.Table.Name] {
		at := t.table.Column(name)
		if at < 0 {
			return nil, fmt.Errorf("table %s: the decoder did not deliver column %s: %w", b.Table.Name, name, pipeline.ErrSchema)
		}
		t.columns = append(t.columns, at)
		f, beside := markReferred(t.table.Schema.Field(at), t.table)
		fields = append(fields, f)
		for _, b := range beside {
			t.columns = append(t.columns, t.table.Column(b.Name))
			fields = append(fields, b)
		}
	}
	t.printed = b.Table.With(arrow.NewSchema(fields, nil))
	if c.opt.Filter != nil {
		bound, err := c.opt.Filter.Bind([]*pipeline.Table{t.table})
		if err != nil {
			return nil, err
		}
		if t.filter, err = bound.Open(pipeline.ProcessOptions{Allocator: arrow.NewGoAllocator(), Reject: c.refuse}); err != nil {
			return nil, err
		}
	}
	if c.opt.Output == "parquet" && c.parquet == nil {
		w, err := c.opt.Parquet(c.out, t.printed)
		if err != nil {
			return nil, err
		}
		c.parquet = w
	}
	return t, nil
}

func (c *catter) drop() {
	for _, b := range c.pending {
		b.Release()
	}
	c.pending = nil
}

// place is where a row lies in the recording.
type place struct {
	object int
	record int64
}

func (p place) before(q place) bool {
	return p.object < q.object || p.object == q.object && p.record < q.record
}

// cursor goes through the rows of a waiting batch.
type cursor struct {
	b    *pipeline.Batch
	row  int
	emit func(int) error
}

func (k *cursor) at() place { return place{k.b.Origin.Object, k.b.Origin.At(k.row)} }

// print writes the waiting rows in the order of their records.
func (c *catter) print() error {
	defer c.drop()
	if c.opt.Output == "parquet" {
		return c.encode()
	}
	var cs []*cursor
	for _, b := range c.pending {
		emit, err := c.writer.Bind(b)
		if err != nil {
			return err
		}
		cs = append(cs, &cursor{b: b, emit: emit})
	}
	for len(cs) > 0 && !c.full() {
		first := 0
		for i := range cs {
			if cs[i].at().before(cs[first].at()) {
				first = i
			}
		}
		k := cs[first]
		// Rows of this batch up to the next one of another go out together.
		next := place{object: math.MaxInt}
		for i, o := range cs {
			if r := o.at(); i != first && r.before(next) {
				next = r
			}
		}
		for k.row < k.b.Rows() && !c.full() && k.at().before(next) {
			if err := k.emit(k.row); err != nil {
				return err
			}
			k.row++
			c.rows++
		}
		if k.row == k.b.Rows() {
			cs = append(cs[:first], cs[first+1:]...)
		}
	}
	return c.writer.Flush()
}

func (c *catter) encode() error {
	sort.SliceStable(c.pending, func(i, j int) bool {
		a, b := c.pending[i].Origin, c.pending[j].Origin
		return place{a.Object, a.First}.before(place{b.Object, b.First})
	})
	for _, b := range c.pending {
		if c.full() {
			return nil
		}
		if n := c.opt.Limit - c.rows; c.opt.Limit > 0 && int64(b.Rows()) > n {
			cut := b.Slice(0, int(n))
			err := c.parquet.Write(cut)
			c.rows += n
			if err != nil {
				return err
			}
			continue
		}
		n := b.Rows()
		b.Retain()
		if err := c.parquet.Write(b); err != nil {
			return err
		}
		c.rows += int64(n)
	}
	return nil
}

func (c *catter) close() error {
	for _, t := range c.bound {
		if t.filter != nil {
			t.filter.Close()
		}
	}
	if err := c.empty(); err != nil {
		return err
	}
	if c.parquet != nil {
		return c.parquet.Close()
	}
	return nil
}

// empty prints the columns of a table without rows.
func (c *catter) empty() error {
	if c.writer == nil && c.parquet != nil || c.opt.Output != "csv" && c.opt.Output != "parquet" {
		return nil
	}
	t := c.sel.Tables[0].Table
	var fields []arrow.Field
	for _, name := range c.shown[t.Name] {
		fields = append(fields, t.Schema.Field(t.Column(name)))
	}
	t = t.With(arrow.NewSchema(fields, nil))
	if w, ok := c.writer.(*csvWriter); ok {
		if err := w.head(t); err != nil {
			return err
		}
		return w.Flush()
	}
	var err error
	c.parquet, err = c.opt.Parquet(c.out, t)
	return err
}
