package parquet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/column"
)

// How much of a column chunk is fetched at a time, and how long the header of
// a page may be.
const (
	fetchBytes    = 256 << 10
	maxPageHeader = 16 << 20
)

// plainDictionary is what writers of the first version of the format call both
// a dictionary and the indexes into it.
const plainDictionary format.Encoding = 2

// cursor walks the values of one leaf in one row group.
type cursor struct {
	leaf  *readLeaf
	codec format.CompressionCodec
	pos   int64 // in the object, of what follows in window
	end   int64 // of the chunk
	left  int64 // values of pages to come, as the footer claims

	window []byte // fetched and not yet used
	memory []byte // behind window

	// The page: levels of its entries, and the values of those that are there.
	page     int64 // offset of its header
	rep, def []byte
	entries  int
	at       int // next entry
	value    int // next value
	values   pageValues
	dict     pageValues
	hasDict  bool
	indexed  bool
	index    []int32

	unpacked []byte
	scratch  []int64
}

// pageValues are decoded values: fixed ones in the layout of batches, booleans
// one byte each, or texts.
type pageValues struct {
	fixed []byte
	texts pageTexts
	n     int
}

// newCursor checks the claims of the footer about a column chunk.
func newCursor(l *readLeaf, chunk *format.ColumnChunk, size int64) (*cursor, error) {
	m := &chunk.MetaData
	switch {
	case chunk.FilePath != "":
		return nil, fmt.Errorf("column %s lies in another file, %s: %w", l.path, chunk.FilePath, pipeline.ErrUnsupported)
	case chunk.CryptoMetadata.Value != nil || len(chunk.EncryptedColumnMetadata) > 0:
		return nil, fmt.Errorf("column %s is encrypted: %w", l.path, pipeline.ErrUnsupported)
	case pq.Kind(m.Type) != l.phys:
		return nil, corrupt("column %s is %s in the schema and %s in a row group", l.path, l.phys, m.Type)
	}
	start := m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 && d < start {
		start = d
	}
	if start < int64(len(magic)) || m.TotalCompressedSize < 0 || m.TotalCompressedSize > size-start || m.NumValues < 0 {
		return nil, corrupt("column %s lies at %d with %d bytes in a file of %d", l.path, start, m.TotalCompressedSize, size)
	}
	return &cursor{leaf: l, codec: m.Codec, pos: start, end: start + m.TotalCompressedSize, left: m.NumValues}, nil
}

// fill makes the window n bytes long, or as long as the chunk is.
func (c *cursor) fill(ctx context.Context, src pipeline.Source, n int) error {
	if len(c.window) >= n {
		return nil
	}
	rest := c.end - c.pos
	want := int(min(int64(max(n, fetchBytes)), rest))
	if want <= len(c.window) {
		return nil
	}
	have := len(c.window)
	if cap(c.memory) < want {
		m := make([]byte, want)
		copy(m, c.window)
		c.memory = m
	} else {
		c.memory = c.memory[:cap(c.memory)]
		copy(c.memory, c.window)
	}
	c.window = c.memory[:want]
	if err := readFull(ctx, src, c.window[have:], c.pos+int64(have)); err != nil {
		c.window = c.window[:have]
		return err
	}
	return nil
}

func (c *cursor) take(n int) []byte {
	b := c.window[:n:n]
	c.window = c.window[n:]
	c.pos += int64(n)
	return b
}

// header reads the header of the next page.
func (c *cursor) header(ctx context.Context, src pipeline.Source) (*format.PageHeader, error) {
	for want := 512; ; want *= 4 {
		if err := c.fill(ctx, src, want); err != nil {
			return nil, err
		}
		n, err := measure(c.window)
		if errors.Is(err, errShort) {
			if int64(len(c.window)) >= c.end-c.pos || len(c.window) >= maxPageHeader {
				return nil, corrupt("a page header is cut off")
			}
			want = max(want, len(c.window))
			continue
		}
		if err != nil {
			return nil, err
		}
		// The header keeps no reference to the window beyond this page.
		h := new(format.PageHeader)
		return h, unmarshal(c.take(n), h)
	}
}

// load reads pages up to the next with values. It reports false at the end of
// the chunk.
func (c *cursor) load(ctx context.Context, src pipeline.Source) (bool, error) {
	for c.pos < c.end && c.left > 0 {
		c.page = c.pos
		h, err := c.header(ctx, src)
		if err != nil {
			return false, err
		}
		stored, size := int64(h.CompressedPageSize), int(h.UncompressedPageSize)
		if stored < 0 || size < 0 || stored > c.end-c.pos {
			return false, corrupt("a page of %d bytes where %d are left", stored, c.end-c.pos)
		}
		if err := c.fill(ctx, src, int(stored)); err != nil {
			return false, err
		}
		body := c.take(int(stored))
		if crc := uint32(h.CRC); crc != 0 && crc != crc32.ChecksumIEEE(body) {
			return false, corrupt("the checksum of a page does not match")
		}
		switch h.Type {
		case format.DictionaryPage:
			if err := c.dictionary(h, body, size); err != nil {
				return false, err
			}
		case format.DataPage, format.DataPageV2:
			if err := c.data(h, body, size); err != nil {
				return false, err
			}
			if c.entries > 0 {
				return true, nil
			}
		}
	}
	if c.left > 0 {
		return false, corrupt("%d values are missing", c.left)
	}
	return false, nil
}

func (c *cursor) dictionary(h *format.PageHeader, body []byte, size int) error {
	d := h.DictionaryPageHeader.V
	if !h.DictionaryPageHeader.Valid || c.hasDict || d.NumValues < 0 || d.NumValues > maxPageValues {
		return corrupt("a dictionary page out of place")
	}
	b, err := unpackPage(nil, c.codec, body, size)
	if err != nil {
		return fmt.Errorf("dictionary: %w", err)
	}
	if c.codec == format.Uncompressed {
		b = slices.Clone(b) // the window moves on
	}
	enc := d.Encoding
	if enc == plainDictionary {
		enc = format.Plain
	}
	c.hasDict = true
	if err := c.decode(&c.dict, enc, b, int(d.NumValues)); err != nil {
		return fmt.Errorf("dictionary: %w", err)
	}
	return nil
}

// data decodes a page of values.
func (c *cursor) data(h *format.PageHeader, body []byte, size int) error {
	var n int
	var enc format.Encoding
	var rep, def []byte
	if h.Type == format.DataPageV2 {
		p := h.DataPageHeaderV2.V
		if !h.DataPageHeaderV2.Valid {
			return corrupt("a data page without its header")
		}
		n, enc = int(p.NumValues), p.Encoding
		rl, dl := int(p.RepetitionLevelsByteLength), int(p.DefinitionLevelsByteLength)
		if rl < 0 || dl < 0 || rl > len(body) || dl > len(body)-rl || rl+dl > size {
			return corrupt("levels of %d and %d bytes in a page of %d", rl, dl, len(body))
		}
		rep, def, body = body[:rl], body[rl:rl+dl], body[rl+dl:]
		codec := c.codec
		if p.IsCompressed.Valid && !p.IsCompressed.V {
			codec = format.Uncompressed
		}
		// A page of nulls may leave out the values altogether.
		if len(body) > 0 || size > rl+dl {
			var err error
			if body, err = c.unpack(codec, body, size-rl-dl); err != nil {
				return err
			}
		}
	} else {
		p := h.DataPageHeader.V
		if !h.DataPageHeader.Valid {
			return corrupt("a data page without its header")
		}
		n, enc = int(p.NumValues), p.Encoding
		var err error
		if body, err = c.unpack(c.codec, body, size); err != nil {
			return err
		}
		if rep, body, err = prefixed(body, c.leaf.maxRep, p.RepetitionLevelEncoding); err != nil {
			return err
		}
		if def, body, err = prefixed(body, c.leaf.maxDef, p.DefinitionLevelEncoding); err != nil {
			return err
		}
	}
	if n < 0 || n > maxPageValues {
		return fmt.Errorf("a page of %d values: %w", n, pipeline.ErrLimit)
	}
	if int64(n) > c.left {
		return corrupt("a page of %d values where %d are left", n, c.left)
	}
	c.left -= int64(n)
	c.entries, c.at, c.value = n, 0, 0
	var err error
	if c.rep, err = levels(c.rep, rep, n, c.leaf.maxRep); err != nil {
		return fmt.Errorf("repetition levels: %w", err)
	}
	if c.def, err = levels(c.def, def, n, c.leaf.maxDef); err != nil {
		return fmt.Errorf("definition levels: %w", err)
	}
	present := n
	if c.leaf.maxDef > 0 {
		present = 0
		for _, d := range c.def {
			if int(d) == c.leaf.maxDef {
				present++
			}
		}
	}
	c.indexed = enc == format.RLEDictionary || enc == plainDictionary
	if c.indexed {
		return c.indexes(body, present)
	}
	return c.decode(&c.values, enc, body, present)
}

// unpack decompresses a page into memory that lasts until the next.
func (c *cursor) unpack(codec format.CompressionCodec, body []byte, size int) ([]byte, error) {
	b, err := unpackPage(c.unpacked, codec, body, size)
	if err == nil && codec != format.Uncompressed {
		c.unpacked = b
	}
	return b, err
}

// prefixed cuts levels with a length in front off a page of the old kind.
func prefixed(b []byte, maxLevel int, enc format.Encoding) (levels, rest []byte, err error) {
	if maxLevel == 0 {
		return nil, b, nil
	}
	if enc != format.RLE {
		return nil, nil, fmt.Errorf("levels in %s: %w", enc, pipeline.ErrUnsupported)
	}
	if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil, nil, corrupt("levels are cut off")
	}
	n := 4 + int(binary.LittleEndian.Uint32(b))
	return b[4:n], b[n:], nil
}

func levels(dst, src []byte, n, maxLevel int) ([]byte, error) {
	if maxLevel == 0 {
		return dst[:0], nil
	}
	dst = growTo(dst, n)
	if err := hybrid(dst, src, indexBits(maxLevel+1)); err != nil {
		return nil, err
	}
	for _, l := range dst {
		if int(l) > maxLevel {
			return nil, corrupt("level %d of %d", l, maxLevel)
		}
	}
	return dst, nil
}

func (c *cursor) indexes(b []byte, n int) error {
	if !c.hasDict {
		return corrupt("a page refers to a dictionary that is not there")
	}
	if cap(c.index) < n {
		c.index = make([]int32, n)
	}
	c.index = c.index[:n]
	if n == 0 {
		return nil
	}
	if len(b) == 0 {
		return corrupt("a page without indexes")
	}
	if err := hybrid(c.index, b[1:], int(b[0])); err != nil {
		return fmt.Errorf("indexes: %w", err)
	}
	for _, i := range c.index {
		if uint32(i) >= uint32(c.dict.n) {
			return corrupt("index %d in a dictionary of %d", i, c.dict.n)
		}
	}
	return nil
}

// decode decodes n values into v.
func (c *cursor) decode(v *pageValues, enc format.Encoding, b []byte, n int) (err error) {
	v.n = n
	l := c.leaf
	switch l.phys {
	case pq.ByteArray:
		if err := v.texts.decode(enc, b, n, &c.scratch); err != nil {
			return err
		}
		if l.conv == convDecimal {
			out := v.fixed[:0]
			for i := range n {
				if out, err = appendDecimal(out, v.texts.at(i)); err != nil {
					return err
				}
			}
			v.fixed = out
		}
		return nil
	case pq.Boolean:
		v.fixed, err = decodeBools(v.fixed, enc, b, n)
		return err
	}
	if v.fixed, err = decodeFixed(v.fixed, enc, b, n, l.width, &c.scratch); err != nil {
		return err
	}
	v.fixed, err = l.convert(v.fixed)
	return err
}

// ready makes sure that there is an entry; ok is false at the end.
func (c *cursor) ready(ctx context.Context, src pipeline.Source) (ok bool, err error) {
	if c.at < c.entries {
		return true, nil
	}
	c.entries, c.at = 0, 0
	return c.load(ctx, src)
}

// flat appends n rows of a column without nesting.
func (c *cursor) flat(ctx context.Context, src pipeline.Source, col *column.Column, n int) error {
	for n > 0 {
		if ok, err := c.ready(ctx, src); err != nil || !ok {
			if err == nil {
				err = corrupt("%d rows are missing", n)
			}
			return err
		}
		k := min(n, c.entries-c.at)
		n -= k
		if c.leaf.maxDef == 0 {
			if err := c.append(col, k); err != nil {
				return err
			}
			c.at += k
			continue
		}
		for end := c.at + k; c.at < end; {
			there := int(c.def[c.at]) == c.leaf.maxDef
			run := c.at + 1
			for run < end && (int(c.def[run]) == c.leaf.maxDef) == there {
				run++
			}
			if there {
				if err := c.append(col, run-c.at); err != nil {
					return err
				}
			} else {
				col.AppendNulls(run - c.at)
			}
			c.at = run
		}
	}
	return nil
}

// append appends the next k values.
func (c *cursor) append(col *column.Column, k int) error {
	from := c.value
	c.value += k
	v := &c.values
	if c.indexed {
		v = &c.dict
	}
	switch col.Kind {
	case column.Var:
		for i := from; i < from+k; i++ {
			b := c.text(v, i)
			if len(col.Data)+len(b) > math.MaxInt32 {
				return fmt.Errorf("a batch of more than 2 GiB in one column: %w", pipeline.ErrLimit)
			}
			col.AppendBytes(b)
		}
	case column.Bits:
		for i := from; i < from+k; i++ {
			at := i
			if c.indexed {
				at = int(c.index[i])
			}
			col.AppendBool(v.fixed[at] != 0)
		}
	default:
		w := col.Width
		col.Grow(k * w)
		if !c.indexed {
			col.Data = append(col.Data, v.fixed[from*w:(from+k)*w]...)
		} else {
			for _, at := range c.index[from : from+k] {
				col.Data = append(col.Data, v.fixed[int(at)*w:(int(at)+1)*w]...)
			}
		}
		col.N += k
	}
	return nil
}

// text is value i of a string or binary column.
func (c *cursor) text(v *pageValues, i int) []byte {
	if c.indexed {
		i = int(c.index[i])
	}
	if c.leaf.phys == pq.ByteArray {
		return v.texts.at(i)
	}
	return v.fixed[i*c.leaf.width : (i+1)*c.leaf.width]
}
