package conversion

import "math"

// eval sets y to the formula of x. regs are registers of blockRows numbers,
// which are kept for the next call.
func (f *formula) eval(y, x []float64, regs [][]float64) [][]float64 {
	for len(regs) < f.regs {
		regs = append(regs, make([]float64, blockRows))
	}
	n := len(x)
	top := -1
	for _, op := range f.ops {
		switch {
		case op.code == fNumber:
			top++
			r := regs[top][:n]
			for i := range r {
				r[i] = op.value
			}
		case op.code == fVariable:
			top++
			copy(regs[top], x)
		case op.code < fOr:
			unary(op.code, regs[top][:n])
		default:
			top--
			binaryOp(op.code, regs[top][:n], regs[top+1][:n])
		}
	}
	copy(y, regs[0][:n])
	return regs
}

// unary replaces the numbers of a.
func unary(code formulaCode, a []float64) {
	switch code {
	case fNegate:
		for i, v := range a {
			a[i] = -v
		}
	case fNot:
		for i, v := range a {
			a[i] = truth(v == 0)
		}
	case fInvert:
		for i, v := range a {
			if b, ok := bitsOf(v); ok {
				a[i] = float64(^b)
			} else {
				a[i] = math.NaN()
			}
		}
	case fAbs:
		apply(a, math.Abs)
	case fSqrt:
		for i, v := range a {
			a[i] = math.Sqrt(v)
		}
	case fExp:
		apply(a, math.Exp)
	case fLn:
		apply(a, math.Log)
	case fLog:
		apply(a, math.Log10)
	case fSin:
		apply(a, math.Sin)
	case fCos:
		apply(a, math.Cos)
	case fTan:
		apply(a, math.Tan)
	case fAsin:
		apply(a, math.Asin)
	case fAcos:
		apply(a, math.Acos)
	case fAtan:
		apply(a, math.Atan)
	case fSinh:
		apply(a, math.Sinh)
	case fCosh:
		apply(a, math.Cosh)
	case fTanh:
		apply(a, math.Tanh)
	}
}

func apply(a []float64, f func(float64) float64) {
	for i, v := range a {
		a[i] = f(v)
	}
}

// binaryOp replaces the numbers of a by those of a and b.
func binaryOp(code formulaCode, a, b []float64) {
	b = b[:len(a)]
	switch code {
	case fAdd:
		for i, v := range b {
			a[i] += v
		}
	case fSubtract:
		for i, v := range b {
			a[i] -= v
		}
	case fMultiply:
		for i, v := range b {
			a[i] *= v
		}
	case fDivide:
		for i, v := range b {
			a[i] /= v
		}
	case fPower:
		for i, v := range b {
			a[i] = math.Pow(a[i], v)
		}
	case fOr:
		for i, v := range b {
			a[i] = truth(a[i] != 0 || v != 0)
		}
	case fAnd:
		for i, v := range b {
			a[i] = truth(a[i] != 0 && v != 0)
		}
	case fEqual:
		for i, v := range b {
			a[i] = truth(a[i] == v)
		}
	case fUnequal:
		for i, v := range b {
			a[i] = truth(a[i] != v)
		}
	case fLess:
		for i, v := range b {
			a[i] = truth(a[i] < v)
		}
	case fLessEqual:
		for i, v := range b {
			a[i] = truth(a[i] <= v)
		}
	case fGreater:
		for i, v := range b {
			a[i] = truth(a[i] > v)
		}
	case fGreaterEqual:
		for i, v := range b {
			a[i] = truth(a[i] >= v)
		}
	default:
		for i, v := range b {
			a[i] = bitOp(code, a[i], v)
		}
	}
}

func bitOp(code formulaCode, x, y float64) float64 {
	a, ok := bitsOf(x)
	b, ok2 := bitsOf(y)
	if !ok || !ok2 {
		return math.NaN()
	}
	switch code {
	case fBitOr:
		return float64(a | b)
	case fBitXor:
		return float64(a ^ b)
	case fBitAnd:
		return float64(a & b)
	}
	if b < 0 {
		return math.NaN()
	}
	if code == fShiftLeft {
		return float64(a << b)
	}
	return float64(a >> b)
}

// bitsOf cuts v to an integer; NaN and what int64 does not hold have none.
func bitsOf(v float64) (int64, bool) {
	if !(v >= -(1<<63) && v < 1<<63) {
		return 0, false
	}
	return int64(v), true
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
