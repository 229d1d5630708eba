package parquet

import (
	"unsafe"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// dictionary is the distinct strings of one column in one row group, in the
// order in which they first occur, and the entry of each value.
type dictionary struct {
	base    int     // position in the array of index[0]
	index   []int32 // meaningless for nulls
	entries [][]byte
}

// Limits of a dictionary. Beyond them, or when it does not make the column
// smaller by a fifth at the least, values are written as they are.
const (
	maxDictBytes   = 1 << 20
	maxDictEntries = 1 << 16
	dictTrial      = 4096 // values after which a hopeless attempt is given up
)

// newDictionary returns the dictionary of positions [from, to) of a string or
// label array, nil where none pays. What it decides depends on the values only.
func newDictionary(arr arrow.Array, from, to int) *dictionary {
	if from == to {
		return nil
	}
	var valid []byte
	first := arr.Data().Offset()
	if hasNulls(arr) {
		valid = arr.NullBitmapBytes()
	}
	isNull := func(i int) bool {
		p := first + i
		return valid != nil && valid[p>>3]&(1<<(p&7)) == 0
	}
	b := builder{dictionary: dictionary{base: from, index: make([]int32, to-from)}}
	switch a := arr.(type) {
	case *arrow.Dictionary:
		labels := fixed[int32](arr)
		data, off := texts(a.Dictionary())
		seen := make([]int32, a.Dictionary().Len())
		for i := from; i < to; i++ {
			if isNull(i) {
				continue
			}
			k := labels[i]
			if seen[k] == 0 {
				e, ok := b.add(data[off[k]:off[k+1]])
				if !ok {
					return nil
				}
				seen[k] = e + 1
			}
			b.index[i-from] = seen[k] - 1
			b.count(int(off[k+1] - off[k]))
		}
	default:
		data, off := texts(arr)
		for i := from; i < to; i++ {
			if isNull(i) {
				continue
			}
			v := data[off[i]:off[i+1]]
			e, ok := b.add(v)
			if !ok {
				return nil
			}
			b.index[i-from] = e
			b.count(len(v))
			if b.values == dictTrial && len(b.entries) > dictTrial/4*3 {
				return nil
			}
		}
	}
	if !b.pays() {
		return nil
	}
	return &b.dictionary
}

// builder counts what a dictionary costs and saves.
type builder struct {
	dictionary
	known     map[string]int32
	values    int
	plain     int // bytes without a dictionary
	dictBytes int
}

// add returns the entry of v; ok is false when the dictionary grows too large.
func (b *builder) add(v []byte) (entry int32, ok bool) {
	s := unsafe.String(unsafe.SliceData(v), len(v))
	if e, ok := b.known[s]; ok {
		return e, true
	}
	if b.known == nil {
		b.known = make(map[string]int32)
	}
	b.dictBytes += 4 + len(v)
	if b.dictBytes > maxDictBytes || len(b.entries) == maxDictEntries {
		return 0, false
	}
	// The array outlives the dictionary, so its bytes need no copy.
	e := int32(len(b.entries))
	b.known[s] = e
	b.entries = append(b.entries, v)
	return e, true
}

func (b *builder) count(bytes int) {
	b.values++
	b.plain += 4 + bytes
}

func (b *builder) pays() bool {
	indexes := b.values * indexBits(len(b.entries)) / 8
	return b.values > 0 && (b.dictBytes+indexes)*5 <= b.plain*4
}
