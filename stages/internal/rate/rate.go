// Package rate has the statistics of failure rates: annualised rates, exact
// intervals of a Poisson count, and exact intervals of the ratio of two.
//
// The interval of a count is that of Garwood (1936), by quantiles of the gamma
// distribution. That of a ratio conditions on the sum of both counts, which
// makes the first binomial, with the bounds of Clopper and Pearson (1934).
package rate

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// DaysPerYear is what a year counts in a rate, leap year or not.
const DaysPerYear = 365

// Annual returns failures per hundred drive years; false without drive days.
func Annual(failures, driveDays float64) (float64, bool) {
	if driveDays <= 0 {
		return 0, false
	}
	return failures / driveDays * DaysPerYear * 100, true
}

// Poisson returns the exact interval of the mean of a Poisson variable that was
// seen to be n, at a confidence between 0 and 1.
func Poisson(n int64, confidence float64) (low, high float64) {
	tail := (1 - confidence) / 2
	if n > 0 {
		low = gammaQuantile(float64(n), tail)
	}
	return low, gammaQuantileUpper(float64(n)+1, tail)
}

// Ratio returns the exact interval of the ratio of two rates, n over exposure d
// each. ok is false where the ratio itself is not defined: without exposure, or
// with no failure in the second. high is then the bound all the same, unless it
// is infinite.
func Ratio(n1 int64, d1 float64, n2 int64, d2, confidence float64) (ratio, low, high float64, ok bool) {
	if d1 <= 0 || d2 <= 0 {
		return 0, 0, math.Inf(1), false
	}
	tail := (1 - confidence) / 2
	odds := func(p float64) float64 { return p / (1 - p) * d2 / d1 }
	a, b := float64(n1), float64(n2)
	high = math.Inf(1)
	if n1 > 0 {
		low = odds(betaQuantile(a, b+1, tail))
	}
	if n2 > 0 {
		// The upper bound by the other share, which does not lose digits near 1.
		q := betaQuantile(b, a+1, tail)
		high = (1 - q) / q * d2 / d1
		return a / b * d2 / d1, low, high, true
	}
	return 0, low, high, false
}

// gammaQuantile returns x with P(a, x) = p. The library's inverse is accurate
// to single digits only in parts of its range, so steps of Newton follow.
func gammaQuantile(a, p float64) float64 {
	return polish(mathext.GammaIncRegInv(a, p), func(x float64) float64 { return mathext.GammaIncReg(a, x) - p }, gammaDensity(a))
}

// gammaQuantileUpper returns x with Q(a, x) = q.
func gammaQuantileUpper(a, q float64) float64 {
	density := gammaDensity(a)
	return polish(mathext.GammaIncRegCompInv(a, q), func(x float64) float64 { return q - mathext.GammaIncRegComp(a, x) }, density)
}

func gammaDensity(a float64) func(float64) float64 {
	lg, _ := math.Lgamma(a)
	return func(x float64) float64 { return math.Exp((a-1)*math.Log(x) - x - lg) }
}

// betaQuantile returns x with I_x(a, b) = p.
func betaQuantile(a, b, p float64) float64 {
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	density := func(x float64) float64 {
		return math.Exp((a-1)*math.Log(x) + (b-1)*math.Log1p(-x) + lab - la - lb)
	}
	return polish(mathext.InvRegIncBeta(a, b, p), func(x float64) float64 { return mathext.RegIncBeta(a, b, x) - p }, density)
}

// polish improves a root by Newton's steps while they get smaller.
func polish(x float64, f, slope func(float64) float64) float64 {
	last := math.Inf(1)
	for range 8 {
		step := f(x) / slope(x)
		if math.IsNaN(step) || math.Abs(step) >= last || x-step <= 0 {
			return x
		}
		x -= step
		last = math.Abs(step)
		if last <= 1e-15*x {
			return x
		}
	}
	return x
}
