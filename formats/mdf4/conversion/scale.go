package conversion

import "math"

// The kernels below store or convert every product before it is added to: Go
// may otherwise fuse the two on some machines, and the same file would not give
// the same bytes everywhere.

// linear sets y to p1 + p2*x.
func linear(y, x []float64, p1, p2 float64) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = p1 + float64(p2*v)
	}
}

// rational sets y to the quotient of two polynomials of second degree. A
// divisor of zero gives an infinity, or NaN for 0/0.
func rational(y, x []float64, p *[6]float64) {
	y = y[:len(x)]
	for i, v := range x {
		square := float64(v * v)
		num := float64(p[0]*square) + float64(p[1]*v) + p[2]
		den := float64(p[3]*square) + float64(p[4]*v) + p[5]
		y[i] = num / den
	}
}

// interpolate sets y to the point at x of the line through the two keys around
// it; outside the keys to the value of the first or the last.
func interpolate(y, x, keys, values []float64) {
	y = y[:len(x)]
	last := len(keys) - 1
	for i, v := range x {
		switch {
		case v != v:
			y[i] = v
		case v <= keys[0]:
			y[i] = values[0]
		case v >= keys[last]:
			y[i] = values[last]
		default:
			k := firstAtLeast(keys, v)
			if keys[k] == v {
				y[i] = values[k]
				continue
			}
			slope := (values[k] - values[k-1]) / (keys[k] - keys[k-1])
			y[i] = float64(slope*(v-keys[k-1])) + values[k-1]
		}
	}
}

// nearest sets y to the value of the key nearest to x; of two as near, the
// lower one.
func nearest(y, x, keys, values []float64) {
	y = y[:len(x)]
	for i, v := range x {
		k := firstAtLeast(keys, v)
		switch {
		case v != v:
			y[i] = math.NaN()
			continue
		case k == len(keys):
			k--
		case k > 0 && v-keys[k-1] <= keys[k]-v:
			k--
		}
		y[i] = values[k]
	}
}
