package parquet

import (
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// limits end a row group: rows are taken until one of them is reached.
type limits struct {
	rows  int
	bytes int64
}

// Batches shorter than smallRows are copied together, until tailRows or
// tailBytes are there; longer ones are kept as they came.
const (
	smallRows = 1024
	tailRows  = 8192
	tailBytes = 1 << 20
)

// rows are the rows of one partition of one table that wait to become a row
// group. Where one ends depends on the rows only, not on how they arrived.
type rows struct {
	mem    arrow.Allocator
	schema *arrow.Schema
	key    []int // columns to sort by
	limits

	spilled  []pipeline.SpillRef // come before chunks
	file     pipeline.SpillFile  // that holds them
	chunks   []arrow.Record
	tail     []tailColumn
	tailSize int64
	n        int
	size     int64
	held     int64 // of size: in memory
}

// sortKey lists the columns by which the rows of a row group are sorted.
func sortKey(s *arrow.Schema) []int {
	var key []int
	for _, name := range []string{"recording_id", pipeline.TimeColumn} {
		for i, f := range s.Fields() {
			if f.Name == name && sortable(f.Type) {
				key = append(key, i)
				break
			}
		}
	}
	return key
}

func sortable(t arrow.DataType) bool {
	switch t.ID() {
	case arrow.STRING, arrow.DICTIONARY, arrow.TIMESTAMP, arrow.INT64:
		return true
	}
	return false
}

// add takes rows [from, to) of rec until the row group is full, and returns how
// far it came. The record is retained or copied.
func (r *rows) add(rec arrow.Record, from, to int) (end int, full bool) {
	size := func(from, to int) int64 {
		sum := int64(0)
		for _, c := range rec.Columns() {
			sum += rawBytes(c, from, to)
		}
		return sum
	}
	end = rowsWithin(size, from, to, r.rows-r.n, r.bytes-r.size)
	s := size(from, end)
	r.n += end - from
	r.size += s
	r.held += s
	if end-from < smallRows {
		r.addSmall(rec, from, end, s)
	} else {
		r.flushTail()
		r.chunks = append(r.chunks, rec.NewSlice(int64(from), int64(end)))
	}
	return end, r.n >= r.rows || r.size >= r.bytes
}

// tailColumn copies short batches together. Labels get a dictionary of their own.
type tailColumn struct {
	*column.Column
	labels *column.Column
	known  map[string]int32
}

func newTailColumn(mem arrow.Allocator, t arrow.DataType) tailColumn {
	if t.ID() == arrow.DICTIONARY {
		return tailColumn{
			Column: column.New(mem, arrow.Int32Type), labels: column.New(mem, arrow.StringType),
			known: make(map[string]int32),
		}
	}
	return tailColumn{Column: column.New(mem, t)}
}

func (c *tailColumn) append(arr arrow.Array, from, to int) {
	if c.labels == nil {
		appendRows(c.Column, arr, from, to)
		return
	}
	codes := fixed[int32](arr)
	data, off := texts(arr.(*arrow.Dictionary).Dictionary())
	for i := from; i < to; i++ {
		if arr.IsNull(i) {
			c.AppendNull()
			continue
		}
		v := data[off[codes[i]]:off[codes[i]+1]]
		code, ok := c.known[string(v)]
		if !ok {
			code = int32(c.labels.N)
			c.known[string(v)] = code
			c.labels.AppendBytes(v)
		}
		c.AppendInt32(code)
	}
}

func (c *tailColumn) finish(t arrow.DataType) arrow.Array {
	if c.labels == nil {
		return c.Finish()
	}
	clear(c.known)
	codes, labels := c.Finish(), c.labels.Finish()
	defer codes.Release()
	defer labels.Release()
	return arrow.NewDictionaryArray(t, codes, labels)
}

func (c *tailColumn) release() {
	c.Release()
	if c.labels != nil {
		c.labels.Release()
	}
}

func (r *rows) addSmall(rec arrow.Record, from, to int, size int64) {
	if r.tail == nil {
		r.tail = make([]tailColumn, r.schema.NumFields())
		for i, f := range r.schema.Fields() {
			r.tail[i] = newTailColumn(r.mem, f.Type)
		}
	}
	for i, c := range rec.Columns() {
		r.tail[i].append(c, from, to)
	}
	r.tailSize += size
	if r.tail[0].N >= tailRows || r.tailSize >= tailBytes {
		r.flushTail()
	}
}

func (r *rows) flushTail() {
	if len(r.tail) == 0 || r.tail[0].N == 0 {
		return
	}
	n := r.tail[0].N
	cols := make([]arrow.Array, len(r.tail))
	for i := range r.tail {
		cols[i] = r.tail[i].finish(r.schema.Field(i).Type)
		defer cols[i].Release()
	}
	r.chunks = append(r.chunks, arrow.NewRecord(r.schema, cols, int64(n)))
	r.tailSize = 0
}

// take returns what is there as records, sorted over all of them, and starts
// anew. The caller releases them; there are none when nothing is there.
func (r *rows) take() (records, error) {
	if r.n == 0 {
		return nil, nil
	}
	r.flushTail()
	defer r.drop()
	if err := r.unspill(); err != nil {
		return nil, err
	}
	order, err := r.order()
	if err != nil {
		return nil, err
	}
	if order == nil {
		out := r.chunks
		r.chunks = nil
		return out, nil
	}
	rec, err := column.ConcatRecords(r.mem, r.chunks)
	if err != nil {
		return nil, fmt.Errorf("joining rows: %w", err)
	}
	defer rec.Release()
	sorted, err := column.TakeRecord(r.mem, rec, order)
	if err != nil {
		return nil, fmt.Errorf("sorting rows: %w", err)
	}
	return records{sorted}, nil
}

// spill moves the rows in memory to a file.
func (r *rows) spill(f pipeline.SpillFile) error {
	r.flushTail()
	r.file = f
	for len(r.chunks) > 0 {
		ref, err := f.Write(r.chunks[0])
		if err != nil {
			return err
		}
		r.chunks[0].Release()
		r.chunks = r.chunks[1:]
		r.spilled = append(r.spilled, ref)
	}
	r.chunks, r.held = nil, 0
	return nil
}

// unspill brings rows back that were moved to a file.
func (r *rows) unspill() error {
	if len(r.spilled) == 0 {
		return nil
	}
	all := make([]arrow.Record, 0, len(r.spilled)+len(r.chunks))
	for _, ref := range r.spilled {
		rec, err := r.file.Read(r.mem, r.schema, ref)
		if err != nil {
			records(all).release()
			return err
		}
		all = append(all, rec)
	}
	r.chunks = append(all, r.chunks...)
	return nil
}

// order is how the rows are to be sorted, nil where they are.
func (r *rows) order() ([]int32, error) {
	if len(r.key) == 0 {
		return nil, nil
	}
	fields := make([]arrow.Field, len(r.key))
	keys := make([]int, len(r.key))
	for i, k := range r.key {
		fields[i], keys[i] = r.schema.Field(k), i
	}
	schema := arrow.NewSchema(fields, nil)
	parts := make(records, len(r.chunks))
	defer parts.release()
	for i, c := range r.chunks {
		cols := make([]arrow.Array, len(r.key))
		for j, k := range r.key {
			cols[j] = c.Column(k)
		}
		parts[i] = arrow.NewRecord(schema, cols, c.NumRows())
	}
	rec, err := column.ConcatRecords(r.mem, parts)
	if err != nil {
		return nil, fmt.Errorf("joining keys: %w", err)
	}
	defer rec.Release()
	return column.SortRows(rec, keys)
}

// records are the rows of a row group, one record after another.
type records []arrow.Record

func (r records) release() {
	for _, rec := range r {
		if rec != nil {
			rec.Release()
		}
	}
}

// drop forgets what is there.
func (r *rows) drop() {
	for i := range r.tail {
		r.tail[i].release()
	}
	for _, rec := range r.chunks {
		rec.Release()
	}
	for _, ref := range r.spilled {
		r.file.Free(ref)
	}
	r.chunks, r.tail, r.tailSize, r.n, r.size, r.held, r.spilled = nil, nil, 0, 0, 0, 0, nil
}

// appendRows appends rows [from, to) of arr, which has the type of c.
func appendRows(c *column.Column, arr arrow.Array, from, to int) {
	if c.Kind == column.Empty {
		c.AppendNulls(to - from)
		return
	}
	if !hasNulls(arr) {
		appendValid(c, arr, from, to)
		return
	}
	bits, first := arr.NullBitmapBytes(), arr.Data().Offset()
	for from < to {
		valid := bits[(first+from)>>3]&(1<<((first+from)&7)) != 0
		end := from + 1
		for end < to && (bits[(first+end)>>3]&(1<<((first+end)&7)) != 0) == valid {
			end++
		}
		if valid {
			appendValid(c, arr, from, end)
		} else {
			c.AppendNulls(end - from)
		}
		from = end
	}
}

// appendValid appends rows that are known not to be null.
func appendValid(c *column.Column, arr arrow.Array, from, to int) {
	n := to - from
	switch c.Kind {
	case column.Fixed:
		d := arr.Data()
		at := (d.Offset() + from) * c.Width
		c.Grow(n * c.Width)
		c.Data = append(c.Data, d.Buffers()[1].Bytes()[at:at+n*c.Width]...)
		c.N += n
	case column.Bits:
		bits, first := bitmap(arr)
		for i := first + from; i < first+to; i++ {
			c.AppendBool(bits[i>>3]&(1<<(i&7)) != 0)
		}
	case column.Var:
		data, off := texts(arr)
		c.GrowOffsets(n)
		base := c.Offsets[len(c.Offsets)-1] - off[from]
		for _, o := range off[from+1 : to+1] {
			c.Offsets = append(c.Offsets, base+o)
		}
		c.Grow(int(off[to] - off[from]))
		c.Data = append(c.Data, data[off[from]:off[to]]...)
		c.N += n
	case column.List:
		a := arr.(*arrow.List)
		off := listOffsets(a)
		c.GrowOffsets(n)
		base := c.Offsets[len(c.Offsets)-1] - off[from]
		for _, o := range off[from+1 : to+1] {
			c.Offsets = append(c.Offsets, base+o)
		}
		appendRows(c.Children[0], a.ListValues(), int(off[from]), int(off[to]))
		c.N += n
	case column.FixedList:
		a := arr.(*arrow.FixedSizeList)
		first := a.Data().Offset()
		appendRows(c.Children[0], a.ListValues(), (first+from)*c.Width, (first+to)*c.Width)
		c.N += n
	case column.Struct:
		a := arr.(*arrow.Struct)
		for i, ch := range c.Children {
			appendRows(ch, a.Field(i), from, to)
		}
		c.N += n
	}
}
