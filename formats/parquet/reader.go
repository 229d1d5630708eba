package parquet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go/format"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// FormatName is the name of the format.
const FormatName = "parquet"

// FormatSpec announces the format.
func FormatSpec() pipeline.FormatSpec {
	return pipeline.FormatSpec{
		Format:  Reader{},
		Summary: "Apache Parquet: one table per file",
		Doc: "Read are all types but INT96 and decimals of more than 38 digits, data pages of version 1 and 2, all encodings but the deprecated BIT_PACKED levels, " +
			"and the codecs zstd, snappy, gzip, lz4_raw and none. Groups become columns with dotted names, maps lists of key and value. Encrypted files are refused.",
		Extensions: []string{"parquet"},
		Behaviour:  1,
	}
}

// Reader is the format.
type Reader struct {
	// restore gives tables that drivemill wrote the times of their source back:
	// exact ones, in place of the two forms in which they are kept for engines.
	restore bool
}

// OfLake implements pipeline.LakeReader.
func (Reader) OfLake() pipeline.Format { return Reader{restore: true} }

// Name is the name of the format.
func (Reader) Name() string { return FormatName }

// Sniff looks for the magic.
func (Reader) Sniff(_ string, head []byte) bool {
	return strings.HasPrefix(string(head), magic) || strings.HasPrefix(string(head), "PARE")
}

// fileIndex is what Describe hands to Open.
type fileIndex struct {
	groups  []format.RowGroup
	columns []*readNode
	leaves  []*readLeaf
}

// Describe reads the footer.
func (r Reader) Describe(ctx context.Context, src pipeline.Source) (*pipeline.Description, error) {
	obj := src.Object()
	fail := func(err error) error {
		return &pipeline.DecodeError{Object: obj.URI, Format: FormatName, Offset: -1, Record: -1, Err: err}
	}
	if obj.Size < int64(2*len(magic)+4) {
		return nil, fail(fmt.Errorf("%d bytes are no Parquet file: %w", obj.Size, pipeline.ErrTruncated))
	}
	meta, err := readFooter(ctx, src)
	if err != nil {
		return nil, fail(err)
	}
	idx := &fileIndex{groups: meta.RowGroups}
	if idx.columns, idx.leaves, err = parseSchema(meta.Schema); err != nil {
		return nil, fail(err)
	}
	d := &pipeline.Description{
		Format: FormatName, Version: fmt.Sprint(meta.Version), Writer: meta.CreatedBy, Indexed: true, Index: idx,
	}
	info := pipeline.TableInfo{Rows: meta.NumRows, Encoding: FormatName}
	codecs := make(map[string]*pipeline.Compression)
	rows := int64(0)
	for i, g := range meta.RowGroups {
		if len(g.Columns) != len(idx.leaves) {
			return nil, fail(corrupt("row group %d has %d columns, the schema %d", i, len(g.Columns), len(idx.leaves)))
		}
		if g.NumRows < 0 {
			return nil, fail(corrupt("row group %d has %d rows", i, g.NumRows))
		}
		rows += g.NumRows
		for j := range g.Columns {
			m := &g.Columns[j].MetaData
			name := strings.ToLower(m.Codec.String())
			if m.Codec == format.Uncompressed {
				name = "none"
			}
			c := codecs[name]
			if c == nil {
				c = &pipeline.Compression{Codec: name}
				codecs[name] = c
			}
			c.Chunks++
			c.Compressed += m.TotalCompressedSize
			c.Raw += m.TotalUncompressedSize
			info.Bytes += m.TotalUncompressedSize
		}
	}
	if rows != meta.NumRows {
		return nil, fail(corrupt("the file claims %d rows, its row groups %d", meta.NumRows, rows))
	}
	for _, c := range codecs {
		d.Compression = append(d.Compression, *c)
	}
	slices.SortFunc(d.Compression, func(a, b pipeline.Compression) int { return strings.Compare(a.Codec, b.Codec) })
	info.Table = newTable(obj, meta, idx, r.restore)
	d.Tables = []pipeline.TableInfo{info}
	return d, nil
}

// newTable names the table after the object and describes its columns with
// what drivemill wrote about them, where it did.
func newTable(obj pipeline.Object, meta *format.FileMetaData, idx *fileIndex, restore bool) *pipeline.Table {
	t := &pipeline.Table{Name: strings.TrimSuffix(path.Base(strings.ReplaceAll(obj.Key, "\\", "/")), ".parquet")}
	about := make(map[string]columnMeta)
	for _, kv := range meta.KeyValueMetadata {
		if kv.Key != metaKey {
			continue
		}
		var m fileMeta
		if json.Unmarshal([]byte(kv.Value), &m) != nil {
			continue // a foreign key of the same name is no reason to fail
		}
		t.Attributes = m.Attributes
		for _, c := range m.Columns {
			about[c.Name] = c
		}
	}
	if restore {
		idx.columns = restoreTimes(idx.columns, about)
	}
	fields := make([]arrow.Field, len(idx.columns))
	for i, n := range idx.columns {
		fields[i] = n.field()
		c := about[n.name]
		fields[i].Metadata = pipeline.FieldMeta(pipeline.MetaUnit, c.Unit, pipeline.MetaDescription, c.Description, pipeline.MetaSource, c.Source)
		if arrow.TypeEqual(n.typ, arrow.TimeType) {
			clock := pipeline.Clock{Name: n.name, Column: n.name}
			if n.name == pipeline.TimeColumn {
				t.Clocks = slices.Insert(t.Clocks, 0, clock)
			} else {
				t.Clocks = append(t.Clocks, clock)
			}
		}
	}
	t.Schema = arrow.NewSchema(fields, nil)
	return t
}

// restoreTimes undoes what the lake does to times: x in microseconds for query
// engines with the exact x_ns beside, or x_ns alone, become x in nanoseconds.
func restoreTimes(columns []*readNode, about map[string]columnMeta) []*readNode {
	out := slices.Clone(columns)
	for i, n := range columns {
		name, ok := strings.CutSuffix(n.name, "_ns")
		if !ok || n.leaf == nil || n.list || about[n.name].Type != arrow.TimeType.String() || !arrow.TypeEqual(n.typ, arrow.Int64Type) {
			continue
		}
		leaf := *n.leaf
		leaf.typ = arrow.TimeType
		exact := *n
		exact.name, exact.typ, exact.leaf = name, arrow.TimeType, &leaf
		about[name] = about[n.name]
		out[i] = &exact
		if at := slices.IndexFunc(columns, func(o *readNode) bool { return o.name == name }); at >= 0 {
			out[at], out[i] = &exact, nil
		}
	}
	return slices.DeleteFunc(out, func(n *readNode) bool { return n == nil })
}

// Open starts decoding. Rows come as they lie in the file; the time range
// bounds the first clock of the table.
func (r Reader) Open(ctx context.Context, src pipeline.Source, d *pipeline.Description, sel pipeline.Selection, opt pipeline.DecodeOptions) (pipeline.Decoder, error) {
	idx, ok := d.Index.(*fileIndex)
	if !ok || len(d.Tables) != 1 {
		fresh, err := r.Describe(ctx, src)
		if err != nil {
			return nil, err
		}
		d, idx = fresh, fresh.Index.(*fileIndex)
	}
	if sel.Order == pipeline.LogOrder {
		return nil, fmt.Errorf("%s: rows in the order of time: %w", FormatName, pipeline.ErrUnsupported)
	}
	return newDecoder(src, d.Tables[0], idx, sel, opt)
}

// decoder reads row groups one after another.
type decoder struct {
	src    pipeline.Source
	idx    *fileIndex
	opt    pipeline.DecodeOptions
	sel    pipeline.Selection
	table  *pipeline.Table // with the columns delivered
	counts pipeline.TableCounts

	nodes   []*readNode // columns read: those delivered and, behind, the clock
	clock   int         // which of them bounds the time, -1 for none
	cols    []*column.Column
	rows    int   // in cols
	first   int64 // ordinal of the first of them
	group   int   // next row group
	left    int64 // rows of the current one
	cursors assembler
	mark    bool // a watermark is due
	done    bool
}

func newDecoder(src pipeline.Source, info pipeline.TableInfo, idx *fileIndex, sel pipeline.Selection, opt pipeline.DecodeOptions) (*decoder, error) {
	if opt.Allocator == nil {
		opt.Allocator = arrow.NewGoAllocator()
	}
	if opt.BatchRows <= 0 {
		opt.BatchRows = pipeline.DefaultBatchRows
	}
	if opt.BatchBytes <= 0 {
		opt.BatchBytes = pipeline.DefaultBatchBytes
	}
	d := &decoder{src: src, idx: idx, opt: opt, sel: sel, table: info.Table, clock: -1}
	d.counts = pipeline.TableCounts{Table: info.Table.Name, Indexed: info.Rows}
	var wanted []string
	if sel.Tables != nil {
		i := slices.IndexFunc(sel.Tables, func(t pipeline.TableSelection) bool { return t.Table.Name == info.Table.Name })
		if i < 0 {
			d.counts.Found, d.counts.Unselected, d.done = info.Rows, info.Rows, true
			return d, nil
		}
		wanted = sel.Tables[i].Columns
	}
	var fields []arrow.Field
	for i, n := range idx.columns {
		if wanted == nil || slices.Contains(wanted, n.name) {
			d.nodes = append(d.nodes, n)
			fields = append(fields, info.Table.Schema.Field(i))
		}
	}
	for _, w := range wanted {
		if info.Table.Column(w) < 0 {
			return nil, fmt.Errorf("%s: table %s has no column %s: %w", src.Object().URI, info.Table.Name, w, pipeline.ErrSchema)
		}
	}
	if wanted != nil {
		d.table = info.Table.With(arrow.NewSchema(fields, nil))
	}
	if (sel.From != 0 || sel.To != 0) && len(info.Table.Clocks) > 0 {
		name := info.Table.Clocks[0].Column
		if d.clock = slices.IndexFunc(d.nodes, func(n *readNode) bool { return n.name == name }); d.clock < 0 {
			d.clock = len(d.nodes)
			d.nodes = append(d.nodes, idx.columns[info.Table.Column(name)])
		}
	}
	for _, n := range d.nodes {
		d.cols = append(d.cols, column.New(opt.Allocator, n.typ))
	}
	return d, nil
}

// Next returns the next batch.
func (d *decoder) Next(ctx context.Context) (pipeline.Element, error) {
	for {
		if err := ctx.Err(); err != nil {
			return pipeline.Element{}, err
		}
		if d.mark {
			d.mark = false
			return pipeline.Element{Mark: pipeline.Watermark{Object: d.opt.Object, Record: d.first}}, nil
		}
		if d.done {
			return pipeline.Element{}, io.EOF
		}
		full, err := d.fill(ctx)
		if err != nil {
			d.done = true
			return pipeline.Element{}, err
		}
		if !full {
			d.done = d.group == len(d.idx.groups)
			d.mark = d.opt.Steps
			if !d.opt.Steps && !d.done {
				continue
			}
		}
		if d.rows == 0 {
			continue
		}
		b, err := d.batch()
		if err != nil {
			d.done = true
			return pipeline.Element{}, err
		}
		if b != nil {
			return pipeline.Element{Batch: b}, nil
		}
	}
}

// fill reads rows until a batch is full, which it reports, or the row group is
// at its end.
func (d *decoder) fill(ctx context.Context) (bool, error) {
	if d.left == 0 {
		if d.group == len(d.idx.groups) {
			return false, nil
		}
		if err := d.begin(); err != nil {
			return false, d.fail(-1, err)
		}
	}
	for d.left > 0 {
		n := min(int64(d.step()), d.left)
		for i, node := range d.nodes {
			if err := d.column(ctx, node, d.cols[i], int(n)); err != nil {
				c := d.cursors.cursors[node.first.index]
				return false, d.fail(c.page, fmt.Errorf("column %s: %w", node.name, err))
			}
		}
		d.left -= n
		d.rows += int(n)
		if d.rows >= d.opt.BatchRows || d.bytes() >= d.opt.BatchBytes {
			return true, d.finishGroup(ctx)
		}
	}
	return false, d.finishGroup(ctx)
}

// step is how many rows to read before looking at the size of the batch.
func (d *decoder) step() int {
	n := 16
	if d.rows > 0 {
		perRow := max(d.bytes()/int64(d.rows), 1)
		n = int(min(max((d.opt.BatchBytes-d.bytes())/perRow, 1), 4096))
	}
	return min(n, d.opt.BatchRows-d.rows)
}

func (d *decoder) bytes() int64 {
	sum := int64(0)
	for _, c := range d.cols {
		sum += c.Bytes()
	}
	return sum
}

func (d *decoder) column(ctx context.Context, n *readNode, col *column.Column, rows int) error {
	if n.isFlat() {
		return d.cursors.cursors[n.leaf.index].flat(ctx, d.src, col, rows)
	}
	for range rows {
		if err := d.cursors.row(ctx, n, col); err != nil {
			return err
		}
	}
	return nil
}

// begin opens the next row group.
func (d *decoder) begin() error {
	g := &d.idx.groups[d.group]
	d.group++
	d.left = g.NumRows
	d.cursors = assembler{src: d.src, cursors: make([]*cursor, len(d.idx.leaves))}
	for _, n := range d.nodes {
		if err := d.open(n, g); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) open(n *readNode, g *format.RowGroup) error {
	if n.leaf != nil {
		i := n.leaf.index
		if d.cursors.cursors[i] != nil {
			return nil
		}
		c, err := newCursor(n.leaf, &g.Columns[i], d.src.Object().Size)
		d.cursors.cursors[i] = c
		// As stored, not as batched: the ledger must not depend on batches.
		d.counts.Bytes += g.Columns[i].MetaData.TotalUncompressedSize
		return err
	}
	for _, k := range n.kids {
		if err := d.open(k, g); err != nil {
			return err
		}
	}
	return nil
}

// finishGroup makes sure that no column goes on behind the last row.
func (d *decoder) finishGroup(ctx context.Context) error {
	if d.left > 0 {
		return nil
	}
	for _, c := range d.cursors.cursors {
		if c == nil {
			continue
		}
		if ok, err := c.ready(ctx, d.src); err != nil || ok {
			if err == nil {
				err = corrupt("column %s has more values than rows", c.leaf.path)
			}
			return d.fail(c.page, err)
		}
	}
	return nil
}

// batch makes a batch of the rows read, nil when none is in the time range.
func (d *decoder) batch() (*pipeline.Batch, error) {
	n := d.rows
	d.counts.Found += int64(n)
	origin := pipeline.Origin{Object: d.opt.Object, First: d.first}
	d.first += int64(n)
	d.rows = 0
	arrs := make([]arrow.Array, len(d.cols))
	for i, c := range d.cols {
		arrs[i] = c.Finish()
		defer arrs[i].Release()
	}
	rec := arrow.NewRecord(d.table.Schema, arrs[:d.table.Schema.NumFields()], int64(n))
	if d.clock < 0 {
		d.counts.Decoded += int64(n)
		return &pipeline.Batch{Table: d.table, Record: rec, Origin: origin}, nil
	}
	defer rec.Release()
	keep := make([]int32, 0, n)
	times := arrs[d.clock]
	for i := range n {
		if times.IsNull(i) {
			continue
		}
		if t := fixed[int64](times)[i]; t >= d.sel.From && (d.sel.To == 0 || t < d.sel.To) {
			keep = append(keep, int32(i))
		}
	}
	d.counts.Decoded += int64(len(keep))
	d.counts.Unselected += int64(n - len(keep))
	if len(keep) == 0 {
		return nil, nil
	}
	out, err := column.TakeRecord(d.opt.Allocator, rec, keep)
	if err != nil {
		return nil, d.fail(-1, err)
	}
	return &pipeline.Batch{Table: d.table, Record: out, Origin: origin.Take(keep)}, nil
}

func (d *decoder) fail(offset int64, err error) error {
	return &pipeline.DecodeError{
		Object: d.src.Object().URI, Format: FormatName, Table: d.table.Name, Offset: offset, Record: d.first + int64(d.rows), Err: err,
	}
}

// Counts tells how many rows were read.
func (d *decoder) Counts() []pipeline.TableCounts {
	c := d.counts
	c.Lost = c.Indexed - c.Found
	return []pipeline.TableCounts{c}
}

// Problems are none: damage ends decoding.
func (d *decoder) Problems() []pipeline.Problem { return nil }

// Close frees everything.
func (d *decoder) Close() error {
	for _, c := range d.cols {
		c.Release()
	}
	d.done = true
	return nil
}
