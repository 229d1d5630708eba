package rate

import (
	"math"
	"testing"
)

func near(got, want float64) bool {
	return got == want || math.Abs(got-want) <= 1e-9*math.Abs(want)
}

// Bounds as SciPy 1.17 has them: stats.gamma.ppf(tail, n), stats.gamma.isf(tail, n+1).
func TestPoisson(t *testing.T) {
	for _, c := range []struct {
		n                     int64
		confidence, low, high float64
	}{
		{0, 0.95, 0.0, 3.6888794541139354},
		{0, 0.99, 0.0, 5.298317366548036},
		{0, 0.8, 0.0, 2.302585092994046},
		{1, 0.95, 0.025317807984289897, 5.571643390938898},
		{1, 0.99, 0.005012541823544286, 7.430129500280121},
		{1, 0.8, 0.10536051565782632, 3.889720169867429},
		{5, 0.95, 1.623486390118421, 11.66833207932267},
		{5, 0.99, 1.0779282406523196, 14.149759411023012},
		{5, 0.8, 2.432591025962664, 9.274673893351626},
		{43, 0.95, 31.11931321196719, 57.92071781038363},
		{43, 0.99, 27.986351633124467, 62.95626811544863},
		{43, 0.8, 34.839407688567526, 52.68612289281418},
		{100, 0.95, 81.36399125092315, 121.62679379242638},
		{100, 0.99, 76.12049584368918, 128.76058012010245},
		{100, 0.8, 87.41763649959366, 114.07453713067454},
		{1030, 0.95, 968.0501181377984, 1094.8745858280995},
		{1030, 0.99, 949.211245665056, 1115.5850831677901},
		{1030, 0.8, 989.0904431607535, 1072.357761718382},
		{4317, 0.95, 4189.172513542298, 4447.736675360079},
		{4317, 0.99, 4149.63666713625, 4489.139438369425},
		{4317, 0.8, 4233.014114794574, 4402.42388501416},
	} {
		low, high := Poisson(c.n, c.confidence)
		if !near(low, c.low) || !near(high, c.high) {
			t.Errorf("%d at %v: %.17g to %.17g, want %.17g to %.17g", c.n, c.confidence, low, high, c.low, c.high)
		}
	}
}

// Bounds by stats.beta.ppf of SciPy 1.17, at 95 %.
func TestRatio(t *testing.T) {
	for _, c := range []struct {
		n1        int64
		d1        float64
		n2        int64
		d2        float64
		low, high float64
	}{
		{3, 1000, 5, 2000, 0.1863500819870177, 6.167825407496365},
		{0, 5000, 7, 9000, 0.0, 1.2488651641736146},
		{59, 1701967, 6, 108057, 0.27037426941615905, 1.7696836348912004},
		{1254, 29844451, 1030, 30597484, 1.148524263479389, 1.3567478285417969},
		{1, 10, 1, 10, 0.012739367083666617, 78.49683531626299},
		{515, 17031430, 26, 120000, 0.09414711927753211, 0.21570693651397188},
	} {
		ratio, low, high, ok := Ratio(c.n1, c.d1, c.n2, c.d2, 0.95)
		if !ok || !near(low, c.low) || !near(high, c.high) || !near(ratio, float64(c.n1)/c.d1/(float64(c.n2)/c.d2)) {
			t.Errorf("%+v: %v, %.17g to %.17g", c, ratio, low, high)
		}
	}
	if _, low, high, ok := Ratio(4, 100, 0, 100, 0.95); ok || low <= 0 || !math.IsInf(high, 1) {
		t.Errorf("no failure to compare with: %v to %v, %v", low, high, ok)
	}
	if _, _, _, ok := Ratio(1, 0, 1, 5, 0.95); ok {
		t.Error("a ratio without exposure")
	}
}

func TestAnnual(t *testing.T) {
	t.Run("16 given counts", func(t *testing.T) {
		for _, c := range [][3]float64{{59, 1701967, 1.27}, {6, 108057, 2.03}, {43, 452821, 3.47}} {
			if r, ok := Annual(c[0], c[1]); !ok || math.Round(r*100) != math.Round(c[2]*100) {
				t.Errorf("%v: %v", c, r)
			}
		}
	})
	t.Run("17 nothing to divide by", func(t *testing.T) {
		if r, ok := Annual(0, 10); r != 0 || !ok {
			t.Error(r, ok)
		}
		if _, ok := Annual(0, 0); ok {
			t.Error("a rate without drive days")
		}
	})
}
