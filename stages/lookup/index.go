package lookup

import (
	"hash/maphash"
	"math/bits"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// keyKind groups the types whose values can be equal.
type keyKind uint8

const (
	noKey keyKind = iota
	boolKey
	intKey
	textKey
	timeKey
	dateKey
)

func keyKindOf(t arrow.DataType) keyKind {
	switch t.ID() {
	case arrow.BOOL:
		return boolKey
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return intKey
	case arrow.STRING:
		return textKey
	case arrow.TIMESTAMP:
		return timeKey
	case arrow.DATE32:
		return dateKey
	case arrow.DICTIONARY:
		if arrow.TypeEqual(t, arrow.LabelType) {
			return textKey
		}
	}
	return noKey
}

// keyColumn is a key column laid open: as texts, or as numbers of 64 bits. The
// bits of a negative int64 are those of a large uint64; unsigned tells them apart.
type keyColumn struct {
	text     bool
	texts    []string
	nums     []uint64
	unsigned bool
	null     []bool // meaningful where anyNull is set
	anyNull  bool
}

// load lays open an array, in the memory of k.
func (k *keyColumn) load(arr arrow.Array) {
	n := arr.Len()
	k.null, k.anyNull = resize(k.null, n), arr.NullN() > 0
	if k.anyNull {
		for i := range k.null {
			k.null[i] = arr.IsNull(i)
		}
	}
	k.unsigned = false
	if k.text = keyKindOf(arr.DataType()) == textKey; k.text {
		k.loadTexts(arr)
		return
	}
	k.nums = resize(k.nums, n)
	if k.anyNull && arr.NullN() == n {
		return // may come without values
	}
	switch a := arr.(type) {
	case *arrow.Bool:
		for i := range k.nums {
			k.nums[i] = 0
			if a.Value(i) {
				k.nums[i] = 1
			}
		}
	case *arrow.Int8:
		widen(k.nums, a.Int8Values())
	case *arrow.Int16:
		widen(k.nums, a.Int16Values())
	case *arrow.Int32:
		widen(k.nums, a.Int32Values())
	case *arrow.Int64:
		widen(k.nums, a.Int64Values())
	case *arrow.Uint8:
		widen(k.nums, a.Uint8Values())
	case *arrow.Uint16:
		widen(k.nums, a.Uint16Values())
	case *arrow.Uint32:
		widen(k.nums, a.Uint32Values())
	case *arrow.Uint64:
		k.unsigned = true
		copy(k.nums, a.Uint64Values())
	case *arrow.Timestamp:
		widen(k.nums, a.TimestampValues())
	case *arrow.Date32:
		widen(k.nums, a.Date32Values())
	}
}

func widen[T ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32](dst []uint64, src []T) {
	for i, x := range src {
		dst[i] = uint64(int64(x))
	}
}

func (k *keyColumn) loadTexts(arr arrow.Array) {
	n := arr.Len()
	k.texts = resize(k.texts, n)
	switch a := arr.(type) {
	case *arrow.String:
		for i := range k.texts {
			k.texts[i] = a.Value(i)
		}
	case *arrow.Dictionary:
		dict, ok := a.Dictionary().(*arrow.String)
		codes, isInt := a.Indices().(*arrow.Int32)
		for i := range k.texts {
			k.texts[i] = ""
			if !ok || !isInt || k.anyNull && k.null[i] {
				continue
			}
			c := int(codes.Value(i))
			if dict.IsNull(c) {
				k.setNull(i)
				continue
			}
			k.texts[i] = dict.Value(c)
		}
	}
}

func (k *keyColumn) setNull(i int) {
	if !k.anyNull {
		clear(k.null)
		k.anyNull = true
	}
	k.null[i] = true
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// same reports whether value i of k equals value j of o.
func (k *keyColumn) same(i int, o *keyColumn, j int) bool {
	if k.text {
		return k.texts[i] == o.texts[j]
	}
	x := k.nums[i]
	return x == o.nums[j] && (k.unsigned == o.unsigned || int64(x) >= 0)
}

// index finds rows by key: open addressing, by hash.
type index struct {
	seed  maphash.Seed
	keys  []keyColumn
	slots []slot
	mask  uint64
}

type slot struct {
	hash uint64
	row  int32 // one more than the row, 0 for a free slot
}

// newIndex indexes the rows of a table. Where two have the same key it keeps
// the first and returns the first such pair, otherwise -1, -1.
func newIndex(keys []arrow.Array, rows int) (x *index, first, second int) {
	x = &index{seed: maphash.MakeSeed(), keys: make([]keyColumn, len(keys))}
	for i, k := range keys {
		x.keys[i].load(k)
	}
	x.slots = make([]slot, 1<<bits.Len(uint(2*rows)))
	x.mask = uint64(len(x.slots) - 1)
	hashes := make([]uint64, rows)
	x.hash(x.keys, hashes)
	first, second = -1, -1
	for i, h := range hashes {
		if anyNull(x.keys, i) {
			continue
		}
		at := h & x.mask
		for ; x.slots[at].row != 0; at = (at + 1) & x.mask {
			if s := x.slots[at]; s.hash == h && x.equal(x.keys, i, int(s.row-1)) {
				if second < 0 {
					first, second = int(s.row-1), i
				}
				break
			}
		}
		if x.slots[at].row == 0 {
			x.slots[at] = slot{h, int32(i + 1)}
		}
	}
	return x, first, second
}

func anyNull(keys []keyColumn, i int) bool {
	for k := range keys {
		if keys[k].anyNull && keys[k].null[i] {
			return true
		}
	}
	return false
}

// equal compares row i of keys with row j of the index.
func (x *index) equal(keys []keyColumn, i, j int) bool {
	for k := range keys {
		if !keys[k].same(i, &x.keys[k], j) {
			return false
		}
	}
	return true
}

// hash computes a hash for each row. The seed differs from run to run; rows
// found do not depend on it.
func (x *index) hash(keys []keyColumn, out []uint64) {
	for k := range keys {
		key := &keys[k]
		if k == 0 {
			clear(out)
		}
		if !key.text {
			for i, v := range key.nums[:len(out)] {
				out[i] = mix(out[i] ^ v)
			}
			continue
		}
		for i, v := range key.texts[:len(out)] {
			out[i] = mix(out[i] ^ maphash.String(x.seed, v))
		}
	}
}

// mix spreads 64 bits over all positions.
func mix(v uint64) uint64 {
	hi, lo := bits.Mul64(v^0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9)
	return hi ^ lo
}

// probe is what one worker needs to find rows.
type probe struct {
	index  *index
	keys   []int // positions of the key columns in a batch
	cols   []keyColumn
	hashes []uint64
	rows   []int32
	labels labelMatch
}

func (x *index) newProbe(keys []int) *probe {
	return &probe{index: x, keys: keys, cols: make([]keyColumn, len(keys))}
}

// find returns for each row of rec the row of the table with its key, or -1.
// The result is valid until find is called again.
func (p *probe) find(rec arrow.Record) []int32 {
	n := int(rec.NumRows())
	p.rows = resize(p.rows, n)
	if len(p.keys) == 1 {
		if d, ok := rec.Column(p.keys[0]).(*arrow.Dictionary); ok && d.Dictionary().Len() <= n {
			p.findLabels(d)
			return p.rows
		}
	}
	p.hashes = resize(p.hashes, n)
	for k, at := range p.keys {
		p.cols[k].load(rec.Column(at))
	}
	p.search(p.cols, p.hashes, p.rows)
	return p.rows
}

func (p *probe) search(cols []keyColumn, hashes []uint64, rows []int32) {
	x := p.index
	x.hash(cols, hashes)
	for i, h := range hashes {
		rows[i] = -1
		if anyNull(cols, i) {
			continue
		}
		for at := h & x.mask; x.slots[at].row != 0; at = (at + 1) & x.mask {
			if s := x.slots[at]; s.hash == h && x.equal(cols, i, int(s.row-1)) {
				rows[i] = s.row - 1
				break
			}
		}
	}
}

// labelMatch holds the row found for each label of a dictionary.
type labelMatch struct {
	col    [1]keyColumn
	hashes []uint64
	rows   []int32
}

// findLabels looks up labels once each, instead of once for each row.
func (p *probe) findLabels(d *arrow.Dictionary) {
	m := &p.labels
	labels := d.Dictionary()
	m.col[0].load(labels)
	m.hashes, m.rows = resize(m.hashes, labels.Len()), resize(m.rows, labels.Len())
	p.search(m.col[:], m.hashes, m.rows)
	codes, ok := d.Indices().(*arrow.Int32)
	nulls := d.NullN() > 0
	for i := range p.rows {
		p.rows[i] = -1
		if ok && (!nulls || !d.IsNull(i)) {
			p.rows[i] = m.rows[codes.Value(i)]
		}
	}
}
