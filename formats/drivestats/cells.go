package drivestats

import (
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// cells is one column of a batch while rows are parsed. Its memory is taken at
// the first value, for as many rows as the block has records, and is null
// throughout, so that an empty cell costs nothing and an empty column no memory.
type cells struct {
	// What the loop over integers touches comes first, in one cache line.
	i64   []int64 // the values of kindInt64
	valid []byte
	n     int // values that are not null, text aside
	begun bool
	kind  kind

	i32    []int32        // the values of kindInt32 and kindDate
	values []byte         // the memory of all values, text aside
	text   *column.Column // the values of kindText
	hint   int            // bytes of text in the batch before
}

func newCells(kinds []kind, mem arrow.Allocator) []cells {
	out := make([]cells, len(kinds))
	for i, k := range kinds {
		out[i].kind = k
		if k == kindText {
			out[i].text = column.New(mem, k.arrowType())
		}
	}
	return out
}

// begin takes memory for rows rows.
func (c *cells) begin(mem arrow.Allocator, rows int) {
	c.begun = true
	if c.kind == kindText {
		c.text.GrowOffsets(rows)
		c.text.Grow(c.hint)
		return
	}
	bitmap := (rows + 7) / 8
	size := 8 * rows
	switch c.kind {
	case kindInt32, kindDate:
		size = 4 * rows
	case kindBool:
		size = bitmap
	}
	c.values, c.valid = zeroed(mem, size), zeroed(mem, bitmap)
	switch c.kind {
	case kindInt64:
		c.i64 = arrow.Int64s(c.values)
	case kindInt32, kindDate:
		c.i32 = arrow.Int32s(c.values)
	}
}

func zeroed(mem arrow.Allocator, n int) []byte {
	b := mem.Allocate(n)
	clear(b)
	return b
}

// drop takes back what row r, the last one so far, put into the column.
func (c *cells) drop(r int) {
	switch {
	case !c.begun:
	case c.kind == kindText:
		c.text.Truncate(r)
	case c.valid[r>>3]&(1<<(r&7)) != 0:
		c.valid[r>>3] &^= 1 << (r & 7)
		c.n--
		switch c.kind {
		case kindInt64:
			c.i64[r] = 0
		case kindBool:
			c.values[r>>3] &^= 1 << (r & 7)
		default:
			c.i32[r] = 0
		}
	}
}

// empty reports whether all rows are null.
func (c *cells) empty() bool {
	if c.kind == kindText {
		return c.text.N == c.text.Nulls
	}
	return c.n == 0
}

// finish returns the first rows rows as an array, or nil when there is no value
// in them, and is then ready for the next batch.
func (c *cells) finish(mem arrow.Allocator, rows int) arrow.Array {
	defer func() {
		c.begun, c.n = false, 0
		c.values, c.i64, c.i32, c.valid = nil, nil, nil, nil
	}()
	if !c.begun {
		return nil
	}
	if c.kind == kindText {
		if c.empty() || rows == 0 {
			c.text.Release()
			return nil
		}
		c.hint = len(c.text.Data)
		c.text.AppendNulls(rows - c.text.N)
		return c.text.Finish()
	}
	if c.empty() || rows == 0 {
		mem.Free(c.values)
		mem.Free(c.valid)
		return nil
	}
	bitmap := (rows + 7) / 8
	size := 8 * rows
	switch c.kind {
	case kindInt32, kindDate:
		size = 4 * rows
	case kindBool:
		size = bitmap
	}
	values := arrow.NewBufferWithAllocator(c.values, mem)
	values.ResizeNoShrink(size)
	defer values.Release()
	bufs := []*arrow.Buffer{nil, values}
	if c.n < rows {
		valid := arrow.NewBufferWithAllocator(c.valid, mem)
		valid.ResizeNoShrink(bitmap)
		defer valid.Release()
		bufs[0] = valid
	} else {
		mem.Free(c.valid)
	}
	data := arrow.NewData(c.kind.arrowType(), rows, bufs, nil, rows-c.n, 0)
	defer data.Release()
	return arrow.MakeFromData(data)
}

// nulls makes arrays without values. All share one run of zeros, which belongs
// to nobody's allocator, and within a batch one array serves all columns of a kind.
type nulls struct{ zeros []byte }

func newNulls(rows int) *nulls { return &nulls{make([]byte, 8*(rows+1))} }

func (z *nulls) array(k kind, rows int) arrow.Array {
	bufs := []*arrow.Buffer{arrow.NewBufferBytes(z.zeros[:(rows+7)/8]), arrow.NewBufferBytes(z.zeros[:8*rows])}
	switch k {
	case kindInt32, kindDate:
		bufs[1] = arrow.NewBufferBytes(z.zeros[:4*rows])
	case kindBool:
		bufs[1] = bufs[0]
	case kindText:
		bufs[1] = arrow.NewBufferBytes(z.zeros[:4*(rows+1)])
		bufs = append(bufs, arrow.NewBufferBytes(nil))
	}
	data := arrow.NewData(k.arrowType(), rows, bufs, nil, rows, 0)
	defer data.Release()
	return arrow.MakeFromData(data)
}
