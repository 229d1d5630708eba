package conversion

import (
	"math"
	"slices"
	"sort"
)

// domain says how the raw numbers of a vector are to be compared.
type domain uint8

const (
	floats   domain = iota // ranges are open above
	signed                 // int64 in vec.bits
	unsigned               // uint64 in vec.bits
)

// compare orders the integer x of domain d against k, which is not NaN.
func compare(x uint64, d domain, k float64) int {
	if d == signed {
		v := int64(x)
		switch {
		case k >= 1<<63:
			return -1
		case k < -(1 << 63):
			return 1
		}
		whole := math.Floor(k)
		switch w := int64(whole); {
		case v < w:
			return -1
		case v > w:
			return 1
		case whole < k:
			return -1
		}
		return 0
	}
	switch {
	case k >= 1<<64:
		return -1
	case k < 0:
		return 1
	}
	whole := math.Floor(k)
	switch w := uint64(whole); {
	case x < w:
		return -1
	case x > w:
		return 1
	case whole < k:
		return -1
	}
	return 0
}

// keyTable finds keys of equal value. Entries are numbered as in the block;
// the number of entries stands for the default.
type keyTable struct {
	keys  []float64 // ascending, without NaN; of equal ones only the first
	entry []int32   // of each key
	none  int32
	// dense, where the keys are integers close together, is indexed by the
	// value less that of the first key.
	dense []int32
}

func newKeyTable(keys []float64) keyTable {
	t := keyTable{none: int32(len(keys))}
	for i, k := range keys {
		if k == k {
			t.entry = append(t.entry, int32(i))
		}
	}
	sort.SliceStable(t.entry, func(a, b int) bool { return keys[t.entry[a]] < keys[t.entry[b]] })
	n := 0
	for _, e := range t.entry {
		if n > 0 && t.keys[n-1] == keys[e] {
			continue
		}
		t.keys = append(t.keys, keys[e])
		t.entry[n] = e
		n++
	}
	t.entry = t.entry[:n]
	if n == 0 {
		return t
	}
	lo, hi := t.keys[0], t.keys[n-1]
	if !isInteger(lo) || !isInteger(hi) || hi-lo >= float64(4*n+256) {
		return t
	}
	dense := make([]int32, int(hi-lo)+1)
	for i := range dense {
		dense[i] = t.none
	}
	for i, k := range t.keys {
		if !isInteger(k) {
			return t
		}
		dense[int(k-lo)] = t.entry[i]
	}
	t.dense = dense
	return t
}

// find sets out to the entry of each value of v.
func (t *keyTable) find(v *vec, out []int32) {
	f := v.f[:v.n]
	out = out[:v.n]
	switch {
	case t.dense != nil:
		first, last := t.keys[0], t.keys[len(t.keys)-1]
		base := int(first)
		for i, x := range f {
			out[i] = t.none
			if x >= first && x <= last {
				if k := int(x); float64(k) == x {
					out[i] = t.dense[k-base]
				}
			}
		}
	default:
		for i, x := range f {
			out[i] = t.none
			k := firstAtLeast(t.keys, x)
			if k < len(t.keys) && t.keys[k] == x {
				out[i] = t.entry[k]
			}
		}
	}
	if v.domain == floats {
		return
	}
	for i, x := range f {
		if math.Abs(x) >= maxExact {
			bits := v.bits[i]
			out[i] = t.none
			k := sort.Search(len(t.keys), func(k int) bool { return compare(bits, v.domain, t.keys[k]) <= 0 })
			if k < len(t.keys) && compare(bits, v.domain, t.keys[k]) == 0 {
				out[i] = t.entry[k]
			}
		}
	}
}

// firstAtLeast returns the first place of ascending keys that is not less than
// x; len(keys) if there is none, or if x is NaN.
func firstAtLeast(keys []float64, x float64) int {
	lo, hi := 0, len(keys)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if keys[mid] >= x {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// rangeTable finds the first range that holds a value, however ranges overlap.
// The bounds of all ranges cut the numbers into pieces: piece 2k+1 is bound k
// itself, piece 2k lies below it and above the bound before. Within a piece the
// same range is first for every value.
type rangeTable struct {
	bounds []float64 // ascending
	// The range of each piece, or the number of ranges; for floating point
	// numbers, and for integers.
	open, closed []int32
	// dense, where the bounds are integers close together, has the range of
	// each integer from the first bound to the last.
	dense []int32
}

func newRangeTable(lo, hi []float64) rangeTable {
	t := rangeTable{}
	for i := range lo {
		if lo[i] <= hi[i] { // others, and NaN, hold nothing
			t.bounds = append(t.bounds, lo[i], hi[i])
		}
	}
	slices.Sort(t.bounds)
	t.bounds = slices.Compact(t.bounds)
	pieces := 2*len(t.bounds) + 1
	t.open, t.closed = make([]int32, pieces), make([]int32, pieces)
	for _, painted := range []struct {
		pieces []int32
		open   bool
	}{{t.open, true}, {t.closed, false}} {
		for i := range painted.pieces {
			painted.pieces[i] = int32(len(lo))
		}
		// free leads from each piece to the next one that no range holds yet,
		// so that every piece is painted once.
		free := make([]int32, pieces+1)
		for i := range free {
			free[i] = int32(i)
		}
		for i := range lo {
			if !(lo[i] <= hi[i]) {
				continue
			}
			first, last := 2*firstAtLeast(t.bounds, lo[i])+1, 2*firstAtLeast(t.bounds, hi[i])+1
			if painted.open && lo[i] < hi[i] {
				last--
			}
			for p := nextFree(free, first); p <= last; p = nextFree(free, p) {
				painted.pieces[p] = int32(i)
				free[p] = int32(p + 1)
			}
		}
	}
	t.makeDense()
	return t
}

func (t *rangeTable) makeDense() {
	n := len(t.bounds)
	if n == 0 || !isInteger(t.bounds[0]) || !isInteger(t.bounds[n-1]) || t.bounds[n-1]-t.bounds[0] >= float64(16*n+256) {
		return
	}
	for _, b := range t.bounds {
		if !isInteger(b) {
			return
		}
	}
	dense := make([]int32, int(t.bounds[n-1]-t.bounds[0])+1)
	for i := range dense {
		dense[i] = t.closed[t.piece(t.bounds[0]+float64(i))]
	}
	t.dense = dense
}

// piece returns the piece of x, which is not NaN.
func (t *rangeTable) piece(x float64) int {
	k := firstAtLeast(t.bounds, x)
	if k < len(t.bounds) && t.bounds[k] == x {
		return 2*k + 1
	}
	return 2 * k
}

// nextFree returns the first piece from p on that is not painted, and shortens
// the way to it.
func nextFree(free []int32, p int) int {
	for int(free[p]) != p {
		free[p] = free[free[p]]
		p = int(free[p])
	}
	return p
}

// find sets out to the range of each value of v, or to the number of ranges.
func (t *rangeTable) find(v *vec, out []int32) {
	f := v.f[:v.n]
	out = out[:v.n]
	none := t.open[len(t.open)-1] // above all bounds there is no range
	switch {
	case v.domain == floats:
		for i, x := range f {
			if x == x {
				out[i] = t.open[t.piece(x)]
			} else {
				out[i] = none
			}
		}
		return
	case t.dense != nil:
		first, last := t.bounds[0], t.bounds[len(t.bounds)-1]
		base := int(first)
		for i, x := range f {
			out[i] = none
			if x >= first && x <= last {
				out[i] = t.dense[int(x)-base]
			}
		}
	default:
		for i, x := range f {
			out[i] = t.closed[t.piece(x)]
		}
	}
	for i, x := range f {
		if math.Abs(x) >= maxExact {
			bits := v.bits[i]
			k := sort.Search(len(t.bounds), func(k int) bool { return compare(bits, v.domain, t.bounds[k]) <= 0 })
			p := 2 * k
			if k < len(t.bounds) && compare(bits, v.domain, t.bounds[k]) == 0 {
				p++
			}
			out[i] = t.closed[p]
		}
	}
}

// sortedPairs splits (key, value) pairs into ascending keys and their values,
// without keys that are NaN and without repetitions of a key.
func sortedPairs(pairs []float64) (keys, values []float64) {
	order := make([]int, 0, len(pairs)/2)
	for i := range len(pairs) / 2 {
		if k := pairs[2*i]; k == k {
			order = append(order, i)
		}
	}
	sort.SliceStable(order, func(a, b int) bool { return pairs[2*order[a]] < pairs[2*order[b]] })
	for _, i := range order {
		k, v := pairs[2*i], pairs[2*i+1]
		if n := len(keys); n > 0 && keys[n-1] == k {
			continue
		}
		keys, values = append(keys, k), append(values, v)
	}
	return keys, values
}
