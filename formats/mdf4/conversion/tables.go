package conversion

import (
	"math"
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

// rangeTable finds the first range that holds a value.
type rangeTable struct {
	lo, hi []float64
	// sorted: each range begins where the one before it ends, or later.
	sorted bool
}

func newRangeTable(lo, hi []float64) rangeTable {
	t := rangeTable{lo: lo, hi: hi, sorted: true}
	for i := range lo {
		if !(lo[i] <= hi[i]) || i > 0 && lo[i] < hi[i-1] {
			t.sorted = false
		}
	}
	return t
}

// find sets out to the range of each value of v, or to the number of ranges.
func (t *rangeTable) find(v *vec, out []int32) {
	f := v.f[:v.n]
	out = out[:v.n]
	if v.domain == floats {
		for i, x := range f {
			out[i] = t.findFloat(x)
		}
		return
	}
	for i, x := range f {
		if math.Abs(x) < maxExact {
			out[i] = t.findInteger(x)
		} else {
			out[i] = t.findExact(v.bits[i], v.domain)
		}
	}
}

func (t *rangeTable) findFloat(x float64) int32 {
	lo, hi := t.lo, t.hi[:len(t.lo)]
	i, end := 0, len(lo)
	if t.sorted {
		for i < end {
			mid := int(uint(i+end) >> 1)
			if hi[mid] > x || hi[mid] == x && lo[mid] == x {
				end = mid
			} else {
				i = mid + 1
			}
		}
		if i < len(lo) && lo[i] <= x {
			return int32(i)
		}
		return int32(len(lo))
	}
	for ; i < end; i++ {
		if lo[i] <= x && (x < hi[i] || x == hi[i] && lo[i] == x) {
			break
		}
	}
	return int32(i)
}

func (t *rangeTable) findInteger(x float64) int32 {
	lo, hi := t.lo, t.hi[:len(t.lo)]
	if t.sorted {
		i := firstAtLeast(hi, x)
		if i < len(lo) && lo[i] <= x {
			return int32(i)
		}
		return int32(len(lo))
	}
	i := 0
	for ; i < len(lo); i++ {
		if lo[i] <= x && x <= hi[i] {
			break
		}
	}
	return int32(i)
}

// findExact is findInteger for integers that float64 does not hold.
func (t *rangeTable) findExact(x uint64, d domain) int32 {
	for i := range t.lo {
		// A bound that is NaN holds nothing.
		if t.lo[i] <= t.hi[i] && compare(x, d, t.lo[i]) >= 0 && compare(x, d, t.hi[i]) <= 0 {
			return int32(i)
		}
	}
	return int32(len(t.lo))
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
