package main

import "math"

// random is the generator's own source of numbers (splitmix64), so that the
// data does not change with the Go release.
type random struct{ state uint64 }

func newRandom(seed uint64) *random { return &random{state: seed} }

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n).
func (r *random) below(n int) int { return int(r.next() % uint64(n)) }

// between returns a number in [lo, hi].
func (r *random) between(lo, hi int64) int64 { return lo + int64(r.next()%uint64(hi-lo+1)) }

// noise returns a number in [-amplitude, amplitude).
func (r *random) noise(amplitude float64) float64 {
	return amplitude * (float64(r.next()>>11)/(1<<52) - 1)
}

// round keeps the given number of decimals: short in JSON, small when
// compressed, and the same on processors that fuse multiply and add.
func round(x float64, decimals int) float64 {
	p := math.Pow10(decimals)
	v := math.Round(x*p) / p
	if v == 0 {
		return 0 // no negative zero by accident
	}
	return v
}
