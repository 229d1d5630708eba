package parquet

import (
	"bytes"
	"math"
	"unicode/utf8"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"
)

// This file is the seam to parquet-go. Its column buffers copy values one by
// one; here a column buffer is a window on memory that already lies in the
// right form (an Arrow buffer), and its pages are made of that memory. Only
// exported interfaces are implemented, by embedding parquet-go's own, but
// parquet-go does not promise to call nothing else: the module is pinned, and
// tests read everything back.

// leafType is the type of one leaf column in one row group. It hands out
// buffers that take whole pages.
type leafType struct {
	pq.Type
	leaf *leaf
	// boxed makes buffers take values one by one, as parquet-go means it.
	boxed bool
	buf   *leafBuffer
	dict  pq.Dictionary // where the column has one
}

// NewColumnBuffer makes the buffer of the row group.
func (t *leafType) NewColumnBuffer(column, _ int) pq.ColumnBuffer {
	t.buf = &leafBuffer{ColumnBuffer: t.Type.NewColumnBuffer(column, 0), typ: t}
	return t.buf
}

// NewDictionary makes the dictionary of the row group.
func (t *leafType) NewDictionary(column, n int, data encoding.Values) pq.Dictionary {
	t.dict = t.Type.NewDictionary(column, n, data)
	return leafDictionary{t.dict, t}
}

// NewColumnIndexer makes the page index.
func (t *leafType) NewColumnIndexer(int) pq.ColumnIndexer { return &indexer{typ: t} }

// Compare orders values for statistics.
func (t *leafType) Compare(a, b pq.Value) int { return t.leaf.compare(a, b) }

func (l *leaf) compare(a, b pq.Value) int {
	if l.cell == cellDecimal {
		x, y := a.ByteArray(), b.ByteArray()
		// Big-endian two's complement: the sign decides first.
		if len(x) > 0 && len(y) > 0 && (x[0]^y[0])&0x80 != 0 {
			return int(int8(x[0])) - int(int8(y[0]))
		}
		return bytes.Compare(x, y)
	}
	return l.typ.Compare(a, b)
}

// leafDictionary makes parquet-go use our column buffer for indexes too.
type leafDictionary struct {
	pq.Dictionary
	typ *leafType
}

func (d leafDictionary) Type() pq.Type { return indexType{d.Dictionary.Type(), d.typ} }

type indexType struct {
	pq.Type
	typ *leafType
}

func (t indexType) NewColumnBuffer(column, _ int) pq.ColumnBuffer {
	t.typ.buf = &leafBuffer{ColumnBuffer: t.Type.NewColumnBuffer(column, 0), typ: t.typ}
	return t.typ.buf
}

func (t indexType) NewColumnIndexer(int) pq.ColumnIndexer { return &indexer{typ: t.typ} }

// leafBuffer holds one page. Levels are counted by parquet-go's wrapper around
// it; the values of the page are set before it is flushed.
type leafBuffer struct {
	pq.ColumnBuffer
	typ  *leafType
	page pq.Page
	n    int // values
}

// set gives the buffer its page, which lives in memory of the caller until
// the buffer is flushed.
func (b *leafBuffer) set(column int, n int, values encoding.Values) {
	typ := b.typ.Type
	if b.typ.dict != nil {
		typ = b.typ.dict.Type()
	}
	b.page, b.n = typ.NewPage(column, n, values), n
}

func (b *leafBuffer) Len() int {
	if b.typ.boxed {
		return b.ColumnBuffer.Len()
	}
	return b.n
}

func (b *leafBuffer) NumValues() int64 {
	if b.typ.boxed {
		return b.ColumnBuffer.NumValues()
	}
	return int64(b.n)
}

// Size is nothing: pages are cut by their rows and raw bytes, not by what
// parquet-go thinks they hold.
func (b *leafBuffer) Size() int64 { return 0 }

func (b *leafBuffer) Reset() {
	b.page, b.n = nil, 0
	b.ColumnBuffer.Reset()
}

// WriteValues counts: what is passed carries levels only.
func (b *leafBuffer) WriteValues(v []pq.Value) (int, error) {
	if b.typ.boxed {
		return b.ColumnBuffer.WriteValues(v)
	}
	b.n += len(v)
	return len(v), nil
}

func (b *leafBuffer) Page() pq.Page {
	if b.typ.boxed {
		return boundedPage{b.ColumnBuffer.Page(), b.typ}
	}
	return boundedPage{b.page, b.typ}
}

// boundedPage has the bounds that the format asks for: parquet-go's leave
// NaN and the sign of zero to the reader and keep long strings whole.
type boundedPage struct {
	pq.Page
	typ *leafType
}

// maxBound is the length to which bounds of strings and bytes are cut.
const maxBound = 64

func (p boundedPage) Bounds() (lo, hi pq.Value, ok bool) {
	if p.Page.NumValues() == 0 {
		return lo, hi, false
	}
	data := p.Page.Data()
	if p.typ.dict != nil {
		return p.dictBounds(data.Int32())
	}
	switch p.typ.leaf.cell {
	case cellFloat:
		l, h := float32(math.Inf(1)), float32(math.Inf(-1))
		for _, v := range data.Float() {
			if v < l {
				l = v
			}
			if v > h {
				h = v
			}
		}
		l64, h64, ok := floatBounds(float64(l), float64(h))
		return pq.FloatValue(float32(l64)), pq.FloatValue(float32(h64)), ok
	case cellDouble:
		l, h := math.Inf(1), math.Inf(-1)
		for _, v := range data.Double() {
			if v < l {
				l = v
			}
			if v > h {
				h = v
			}
		}
		l, h, ok := floatBounds(l, h)
		return pq.DoubleValue(l), pq.DoubleValue(h), ok
	case cellBytes, cellLabel:
		b, off := data.ByteArray()
		l := b[off[0]:off[1]]
		h := l
		for i := 1; i+1 < len(off); i++ {
			v := b[off[i]:off[i+1]]
			if bytes.Compare(v, l) < 0 {
				l = v
			} else if bytes.Compare(v, h) > 0 {
				h = v
			}
		}
		return p.textBounds(l, h)
	case cellDecimal, cellUint64D:
		b, w := data.FixedLenByteArray()
		lo = pq.FixedLenByteArrayValue(b[:w])
		hi = lo
		for i := w; i+w <= len(b); i += w {
			v := pq.FixedLenByteArrayValue(b[i : i+w])
			if p.typ.Compare(v, lo) < 0 {
				lo = v
			} else if p.typ.Compare(v, hi) > 0 {
				hi = v
			}
		}
		return lo, hi, true
	}
	return p.Page.Bounds()
}

// floatBounds turns bounds found by comparing into those to be written. NaN
// compares false and so never became a bound; a page of nothing else has no
// bounds but its page index says NaN. A zero counts as both zeros.
func floatBounds(lo, hi float64) (float64, float64, bool) {
	if lo > hi {
		return math.NaN(), math.NaN(), false
	}
	if lo == 0 {
		lo = math.Copysign(0, -1)
	}
	if hi == 0 {
		hi = 0
	}
	return lo, hi, true
}

// dictBounds compares each entry of the dictionary once that the page uses.
func (p boundedPage) dictBounds(indexes []int32) (lo, hi pq.Value, ok bool) {
	dict := p.typ.dict
	seen := make([]bool, dict.Len())
	for _, i := range indexes {
		seen[i] = true
	}
	var l, h []byte
	for i, s := range seen {
		if !s {
			continue
		}
		v := dict.Index(int32(i)).ByteArray()
		if !ok || bytes.Compare(v, l) < 0 {
			l = v
		}
		if !ok || bytes.Compare(v, h) > 0 {
			h = v
		}
		ok = true
	}
	return p.textBounds(l, h)
}

func (p boundedPage) textBounds(l, h []byte) (lo, hi pq.Value, ok bool) {
	l = cut(l, p.typ.leaf.text)
	h = cutAbove(h, p.typ.leaf.text)
	return pq.ByteArrayValue(l), pq.ByteArrayValue(h), true
}

// cut returns a lower bound of v of at most maxBound bytes.
func cut(v []byte, text bool) []byte {
	if len(v) <= maxBound {
		return v
	}
	n := maxBound
	for text && n > maxBound-utf8.UTFMax && !utf8.RuneStart(v[n]) {
		n--
	}
	return v[:n]
}

// cutAbove returns an upper bound of v of at most maxBound bytes, v itself
// where there is none.
func cutAbove(v []byte, text bool) []byte {
	if len(v) <= maxBound {
		return v
	}
	b := cut(v, text)
	if !text {
		for n := len(b); n > 0; n-- {
			if b[n-1] != 0xff {
				out := bytes.Clone(b[:n])
				out[n-1]++
				return out
			}
		}
		return v
	}
	for len(b) > 0 {
		r, size := utf8.DecodeLastRune(b)
		if r == utf8.RuneError && size <= 1 {
			return v
		}
		b = b[:len(b)-size]
		if r++; r == 0xd800 {
			r = 0xe000 // surrogates are no characters
		}
		if r <= utf8.MaxRune {
			return utf8.AppendRune(bytes.Clone(b), r)
		}
	}
	return v
}

// indexer collects the page index of one column of one row group.
type indexer struct {
	typ   *leafType
	index format.ColumnIndex
}

func (x *indexer) Reset() { x.index = format.ColumnIndex{} }

func (x *indexer) IndexPage(values, nulls int64, lo, hi pq.Value) {
	x.index.NullPages = append(x.index.NullPages, values == nulls)
	x.index.NullCounts = append(x.index.NullCounts, nulls)
	if values == nulls {
		x.index.MinValues = append(x.index.MinValues, []byte{})
		x.index.MaxValues = append(x.index.MaxValues, []byte{})
		return
	}
	x.index.MinValues = append(x.index.MinValues, lo.AppendBytes([]byte{}))
	x.index.MaxValues = append(x.index.MaxValues, hi.AppendBytes([]byte{}))
}

func (x *indexer) ColumnIndex() format.ColumnIndex {
	out := x.index
	out.BoundaryOrder = x.order()
	return out
}

// order tells whether bounds only rise or only fall from page to page, pages
// of nulls left out.
func (x *indexer) order() format.BoundaryOrder {
	rising, falling := true, true
	var lo, hi pq.Value
	first := true
	kind := x.typ.Kind()
	for i, null := range x.index.NullPages {
		if null {
			continue
		}
		l, h := kind.Value(x.index.MinValues[i]), kind.Value(x.index.MaxValues[i])
		if isNaN(kind, l) {
			return format.Unordered
		}
		if !first {
			a, b := x.typ.Compare(lo, l), x.typ.Compare(hi, h)
			rising = rising && a <= 0 && b <= 0
			falling = falling && a >= 0 && b >= 0
		}
		lo, hi, first = l, h, false
	}
	switch {
	case rising:
		return format.Ascending
	case falling:
		return format.Descending
	}
	return format.Unordered
}

func isNaN(k pq.Kind, v pq.Value) bool {
	switch k {
	case pq.Float:
		return v.Float() != v.Float()
	case pq.Double:
		return v.Double() != v.Double()
	}
	return false
}
