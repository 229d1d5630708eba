package parquet

import (
	"slices"

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

	chunks   [][]arrow.Array
	tail     []*column.Column
	tailSize int64
	n        int
	size     int64
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

// add takes rows of cols, from row from on, until the row group is full, and
// returns how far it came. The arrays are retained or copied.
func (r *rows) add(cols []arrow.Array, from, to int) (end int, full bool) {
	size := func(from, to int) int64 {
		sum := int64(0)
		for _, c := range cols {
			sum += rawBytes(c, from, to)
		}
		return sum
	}
	end = rowsWithin(size, from, to, r.rows-r.n, r.bytes-r.size)
	if end == from {
		return end, false
	}
	s := size(from, end)
	r.n += end - from
	r.size += s
	if end-from < smallRows {
		r.addSmall(cols, from, end, s)
	} else {
		r.flushTail()
		chunk := make([]arrow.Array, len(cols))
		for i, c := range cols {
			chunk[i] = arrow.NewSlice(c, int64(from), int64(end))
		}
		r.chunks = append(r.chunks, chunk)
	}
	return end, r.n >= r.rows || r.size >= r.bytes
}

func (r *rows) addSmall(cols []arrow.Array, from, to int, size int64) {
	if r.tail == nil {
		r.tail = make([]*column.Column, len(cols))
		for i, f := range r.schema.Fields() {
			r.tail[i] = column.New(r.mem, spelled(f.Type))
		}
	}
	for i, c := range cols {
		appendRows(r.tail[i], c, from, to)
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
	chunk := make([]arrow.Array, len(r.tail))
	for i, c := range r.tail {
		chunk[i] = c.Finish()
	}
	r.chunks = append(r.chunks, chunk)
	r.tailSize = 0
}

// take returns what is there as one record, sorted, and starts anew. The
// caller releases the record; it is nil when nothing is there.
func (r *rows) take() arrow.Record {
	if r.n == 0 {
		return nil
	}
	r.flushTail()
	chunks, n := r.chunks, r.n
	r.chunks, r.tail, r.n, r.size = nil, nil, 0, 0
	defer releaseChunks(chunks)
	spans := sortRows(chunks, r.key, n)
	cols := make([]arrow.Array, len(r.schema.Fields()))
	for i, f := range r.schema.Fields() {
		cols[i] = r.join(f.Type, chunks, i, spans)
	}
	rec := arrow.NewRecord(r.schema, cols, int64(n))
	for _, c := range cols {
		c.Release()
	}
	return rec
}

// drop forgets what is there.
func (r *rows) drop() {
	for _, c := range r.tail {
		c.Release()
	}
	releaseChunks(r.chunks)
	r.chunks, r.tail, r.n, r.size = nil, nil, 0, 0
}

func releaseChunks(chunks [][]arrow.Array) {
	for _, chunk := range chunks {
		for _, a := range chunk {
			a.Release()
		}
	}
}

// span is consecutive rows of a chunk.
type span struct{ chunk, from, to int }

// join puts the spans of column i of the chunks into one array of type t.
func (r *rows) join(t arrow.DataType, chunks [][]arrow.Array, i int, spans []span) arrow.Array {
	if len(spans) == 1 && len(chunks) == 1 {
		if a := chunks[0][i]; arrow.TypeEqual(a.DataType(), t) {
			a.Retain()
			return a
		}
	}
	if t.ID() == arrow.DICTIONARY {
		return r.joinLabels(t, chunks, i, spans)
	}
	c := column.New(r.mem, spelled(t))
	for _, s := range spans {
		appendRows(c, chunks[s.chunk][i], s.from, s.to)
	}
	return c.Finish()
}

// joinLabels gives labels of several dictionaries one in common.
func (r *rows) joinLabels(t arrow.DataType, chunks [][]arrow.Array, i int, spans []span) arrow.Array {
	index, dict := column.New(r.mem, arrow.Int32Type), column.New(r.mem, arrow.StringType)
	known := make(map[string]int32)
	add := func(v []byte) int32 {
		e, ok := known[string(v)]
		if !ok {
			e = int32(dict.N)
			known[string(v)] = e
			dict.AppendBytes(v)
		}
		return e
	}
	remap := make([][]int32, len(chunks)) // entry+1 of each label
	for _, s := range spans {
		arr := chunks[s.chunk][i]
		labels, isLabels := arr.(*arrow.Dictionary)
		values := arr
		var keys []int32
		if isLabels {
			values, keys = labels.Dictionary(), fixed[int32](arr)
			if remap[s.chunk] == nil {
				remap[s.chunk] = make([]int32, values.Len())
			}
		}
		data, off := texts(values)
		index.Grow(4 * (s.to - s.from))
		for k := s.from; k < s.to; k++ {
			switch {
			case arr.IsNull(k):
				index.AppendNull()
			case !isLabels:
				index.AppendInt32(add(data[off[k]:off[k+1]]))
			default:
				e := &remap[s.chunk][keys[k]]
				if *e == 0 {
					*e = add(data[off[keys[k]]:off[keys[k]+1]]) + 1
				}
				index.AppendInt32(*e - 1)
			}
		}
	}
	x, d := index.Finish(), dict.Finish()
	defer x.Release()
	defer d.Release()
	return arrow.NewDictionaryArray(t, x, d)
}

// spelled is t with dictionaries replaced by strings, which columns hold.
func spelled(t arrow.DataType) arrow.DataType {
	field := func(f arrow.Field) arrow.Field {
		f.Type = spelled(f.Type)
		return f
	}
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return t.ValueType
	case *arrow.ListType:
		return arrow.ListOfField(field(t.ElemField()))
	case *arrow.FixedSizeListType:
		return arrow.FixedSizeListOfField(t.Len(), field(t.ElemField()))
	case *arrow.StructType:
		fields := slices.Clone(t.Fields())
		for i := range fields {
			fields[i] = field(fields[i])
		}
		return arrow.StructOf(fields...)
	}
	return t
}

// appendRows appends rows [from, to) of arr, which has the type of c, or
// labels where c has strings.
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
		if a, ok := arr.(*arrow.Dictionary); ok {
			data, off := texts(a.Dictionary())
			for _, k := range fixed[int32](arr)[from:to] {
				c.AppendBytes(data[off[k]:off[k+1]])
			}
			return
		}
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
