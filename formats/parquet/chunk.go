package parquet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"

	deltas "github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/drivemill/drivemill/pipeline"
)

// chunk is the pages of one leaf column in one row group, and what footer and
// page index say about them. Until it is placed, offsets count from its start.
type chunk struct {
	leaf    *leaf
	dict    *dictionary
	body    []byte // pages with their headers
	bloom   []byte // filter with its header, nil for none
	meta    format.ColumnChunk
	index   format.ColumnIndex
	offsets format.OffsetIndex
}

// place says where in the file the chunk begins.
func (c *chunk) place(at int64) {
	m := &c.meta.MetaData
	if m.DataPageOffset > 0 {
		m.DictionaryPageOffset = at // it lies in front of the data
	}
	m.DataPageOffset += at
	for i := range c.offsets.PageLocations {
		c.offsets.PageLocations[i].Offset += at
	}
}

// begin prepares c for the pages of l.
func (c *chunk) begin(l *leaf, d *dictionary, codec *codec) {
	*c = chunk{leaf: l, dict: d}
	m := &c.meta.MetaData
	m.Type, m.PathInSchema, m.Codec = format.Type(l.typ.Kind()), l.path, codec.format
	if l.maxRep > 0 {
		m.SizeStatistics.RepetitionLevelHistogram = make([]int64, l.maxRep+1)
	}
	if l.maxDef > 0 {
		m.SizeStatistics.DefinitionLevelHistogram = make([]int64, l.maxDef+1)
	}
}

// encoding is how the values of data pages are written.
func (c *chunk) encoding() format.Encoding {
	switch {
	case c.dict != nil:
		return format.RLEDictionary
	case c.leaf.delta:
		return format.DeltaBinaryPacked
	case c.leaf.cell == cellBytes || c.leaf.cell == cellLabel:
		return format.DeltaLengthByteArray
	}
	return format.Plain
}

// pager makes pages of values and levels. Its memory is kept from page to page.
type pager struct {
	codec  *codec
	raw    []byte // a page before it is compressed
	part   []byte // levels or values that are put into raw
	packed []byte
	header bytes.Buffer
}

// dictionaryPage appends the dictionary to body.
func (p *pager) dictionaryPage(c *chunk, body []byte) ([]byte, error) {
	p.raw = p.raw[:0]
	for _, v := range c.dict.entries {
		p.raw = binary.LittleEndian.AppendUint32(p.raw, uint32(len(v)))
		p.raw = append(p.raw, v...)
	}
	h := format.PageHeader{Type: format.DictionaryPage}
	h.DictionaryPageHeader.Set(format.DictionaryPageHeader{NumValues: int32(len(c.dict.entries)), Encoding: format.Plain})
	return p.write(c, body, &h, p.raw)
}

// dataPage appends a page of values to body; its first row is that number.
func (p *pager) dataPage(c *chunk, body []byte, v cellValues, lv levelSet, first int) ([]byte, error) {
	l, m := c.leaf, &c.meta.MetaData
	nulls := int64(lv.n - v.n)
	lv.settle()
	raw, err := p.assemble(c, v, lv)
	if err != nil {
		return nil, err
	}
	h := format.PageHeader{Type: format.DataPage}
	h.DataPageHeader.Set(format.DataPageHeader{
		NumValues: int32(lv.n), Encoding: c.encoding(), DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
		Statistics: format.Statistics{NullCount: nulls},
	})
	at := int64(len(body))
	if body, err = p.write(c, body, &h, raw); err != nil {
		return nil, err
	}
	if len(c.offsets.PageLocations) == 0 {
		m.DataPageOffset = at
	}
	c.offsets.PageLocations = append(c.offsets.PageLocations, format.PageLocation{
		Offset: at, CompressedPageSize: int32(int64(len(body)) - at), FirstRowIndex: int64(first),
	})
	m.NumValues += int64(lv.n)
	m.Statistics.NullCount += nulls
	lo, hi, ok := l.bounds(v, c.dict)
	if ok {
		c.widen(lo, hi)
	}
	x := &c.index
	x.NullPages = append(x.NullPages, v.n == 0)
	x.NullCounts = append(x.NullCounts, nulls)
	// An empty bound is written, a missing one would not be.
	x.MinValues = append(x.MinValues, append([]byte{}, lo...))
	x.MaxValues = append(x.MaxValues, append([]byte{}, hi...))
	c.count(v, lv)
	return body, nil
}

// assemble returns levels and values as they lie in a page of version 1.
func (p *pager) assemble(c *chunk, v cellValues, lv levelSet) (raw []byte, err error) {
	l := c.leaf
	if l.maxDef == 0 && c.encoding() == format.Plain {
		return v.plain, nil // without a copy
	}
	p.raw = p.raw[:0]
	if l.maxRep > 0 {
		if err := p.levels(lv.rep, lv.n, 0, l.maxRep); err != nil {
			return nil, err
		}
	}
	switch {
	case lv.valid != nil:
		p.bitmap(lv.valid)
	case l.maxDef > 0:
		if err := p.levels(lv.def, lv.n, lv.all, l.maxDef); err != nil {
			return nil, err
		}
	}
	switch c.encoding() {
	case format.RLEDictionary:
		p.part, err = new(rle.DictionaryEncoding).EncodeInt32(p.part, v.index)
	case format.DeltaBinaryPacked:
		p.part, err = new(deltas.BinaryPackedEncoding).EncodeInt64(p.part, valuesOf[int64](v.plain))
	case format.DeltaLengthByteArray:
		p.part, err = new(deltas.LengthByteArrayEncoding).EncodeByteArray(p.part, v.data, v.off)
	default:
		p.raw = append(p.raw, v.plain...)
		return p.raw, nil
	}
	if err != nil {
		return nil, err
	}
	p.raw = append(p.raw, p.part...)
	return p.raw, nil
}

// levels appends n levels in RLE behind their length. Where there are no
// bytes, all are the level given.
func (p *pager) levels(levels []byte, n int, all byte, limit int) (err error) {
	if levels == nil {
		p.part = append(binary.AppendUvarint(p.part[:0], uint64(n)<<1), all)
	} else if p.part, err = (&rle.Encoding{BitWidth: bits.Len(uint(limit))}).EncodeLevels(p.part, levels); err != nil {
		return err
	}
	p.raw = binary.LittleEndian.AppendUint32(p.raw, uint32(len(p.part)))
	p.raw = append(p.raw, p.part...)
	return nil
}

// bitmap appends levels of one bit, eight in a byte, as one run behind its length.
func (p *pager) bitmap(b []byte) {
	p.part = append(binary.AppendUvarint(p.part[:0], uint64(len(b))<<1|1), b...)
	p.raw = binary.LittleEndian.AppendUint32(p.raw, uint32(len(p.part)))
	p.raw = append(p.raw, p.part...)
}

// write appends header and page to body.
func (p *pager) write(c *chunk, body []byte, h *format.PageHeader, raw []byte) (_ []byte, err error) {
	packed, err := p.codec.compress(p.packed, raw)
	if err != nil {
		return nil, err
	}
	if p.codec.format != format.Uncompressed {
		p.packed = packed
	}
	if len(raw) > math.MaxInt32 || len(packed) > math.MaxInt32 {
		return nil, fmt.Errorf("a page of %d bytes: %w", len(raw), pipeline.ErrLimit)
	}
	h.UncompressedPageSize, h.CompressedPageSize = int32(len(raw)), int32(len(packed))
	h.CRC = int32(crc32.ChecksumIEEE(packed))
	p.header.Reset()
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&p.header)).Encode(h); err != nil {
		return nil, err
	}
	c.meta.MetaData.TotalUncompressedSize += int64(p.header.Len() + len(raw))
	body = append(body, p.header.Bytes()...)
	return append(body, packed...), nil
}

// widen takes the bounds of a page into those of the chunk.
func (c *chunk) widen(lo, hi []byte) {
	s := &c.meta.MetaData.Statistics
	if s.MinValue == nil || c.leaf.compare(lo, s.MinValue) < 0 {
		s.MinValue = append([]byte{}, lo...)
	}
	if s.MaxValue == nil || c.leaf.compare(hi, s.MaxValue) > 0 {
		s.MaxValue = append([]byte{}, hi...)
	}
}

// count takes the levels of a page into the histograms.
func (c *chunk) count(v cellValues, lv levelSet) {
	s, x := &c.meta.MetaData.SizeStatistics, &c.index
	if n := c.leaf.maxRep; n > 0 {
		at := len(x.RepetitionLevelHistogram)
		x.RepetitionLevelHistogram = appendCounts(x.RepetitionLevelHistogram, lv.rep, n, lv.n)
		add(s.RepetitionLevelHistogram, x.RepetitionLevelHistogram[at:])
	}
	if n := c.leaf.maxDef; n > 0 {
		at := len(x.DefinitionLevelHistogram)
		switch {
		case lv.valid != nil:
			x.DefinitionLevelHistogram = append(x.DefinitionLevelHistogram, int64(lv.n-v.n), int64(v.n))
		case lv.def == nil:
			x.DefinitionLevelHistogram = append(x.DefinitionLevelHistogram, make([]int64, n+1)...)
			x.DefinitionLevelHistogram[at+int(lv.all)] = int64(lv.n)
		default:
			x.DefinitionLevelHistogram = appendCounts(x.DefinitionLevelHistogram, lv.def, n, lv.n)
		}
		add(s.DefinitionLevelHistogram, x.DefinitionLevelHistogram[at:])
	}
	switch {
	case c.dict != nil:
		for _, i := range v.index {
			s.UnencodedByteArrayDataBytes += int64(len(c.dict.entries[i]))
		}
	case len(v.off) > 0:
		s.UnencodedByteArrayDataBytes += int64(v.off[v.n])
	}
}

// appendCounts appends how often each level from 0 to limit occurs among n.
func appendCounts(dst []int64, levels []byte, limit, n int) []int64 {
	left := int64(n)
	for l := range limit {
		k := int64(bytes.Count(levels, []byte{byte(l)}))
		dst = append(dst, k)
		left -= k
	}
	return append(dst, left)
}

func add(sum, v []int64) {
	for i, n := range v {
		sum[i] += n
	}
}

// finish takes over the pages and completes what is said about them. The
// dictionary, whose strings lie in the batch, is forgotten.
func (c *chunk) finish(body []byte) {
	c.body = body
	c.index.BoundaryOrder = c.leaf.boundaryOrder(&c.index)
	m := &c.meta.MetaData
	m.TotalCompressedSize = int64(len(body))
	enc := c.encoding()
	m.Encoding = append(m.Encoding, enc, format.RLE) // of values and of levels
	if c.dict != nil {
		m.Encoding = append(m.Encoding, format.Plain)
		m.EncodingStats = append(m.EncodingStats, format.PageEncodingStats{PageType: format.DictionaryPage, Encoding: format.Plain, Count: 1})
	}
	m.EncodingStats = append(m.EncodingStats, format.PageEncodingStats{
		PageType: format.DataPage, Encoding: enc, Count: int32(len(c.offsets.PageLocations)),
	})
	c.dict = nil
}
