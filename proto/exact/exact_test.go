package exact

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// ulps is how many representable numbers a lies from b.
func ulps(a, b float64) float64 {
	if a == b {
		return 0
	}
	_, e := math.Frexp(b)
	return math.Abs(a-b) / math.Ldexp(1, max(e-53, -1074))
}

func TestExpWithin2ULP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(-708, 709).Draw(t, "x")
		if u := ulps(Exp(x), math.Exp(x)); u > 2 {
			t.Fatalf("Exp(%v) = %v, want %v: %v ulp", x, Exp(x), math.Exp(x), u)
		}
	})
	worst := 0.0
	for i := -70000; i <= 70000; i++ {
		x := float64(i) / 100.37
		worst = max(worst, ulps(Exp(x), math.Exp(x)))
	}
	if worst > 2 {
		t.Errorf("worst error %v ulp", worst)
	}
}

func TestLogWithin2ULP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(1e-300, 1e300).Draw(t, "x")
		if u := ulps(Log(x), math.Log(x)); u > 2 {
			t.Fatalf("Log(%v) = %v, want %v: %v ulp", x, Log(x), math.Log(x), u)
		}
	})
	worst := 0.0
	for i := 1; i <= 100000; i++ {
		x := float64(i) / 25000.7
		worst = max(worst, ulps(Log(x), math.Log(x)))
	}
	if worst > 2 {
		t.Errorf("worst error %v ulp", worst)
	}
}

// TestErfcxWithin2ULP compares with a continued fraction and a series in 200
// bits.
func TestErfcxWithin2ULP(t *testing.T) {
	worst, at := 0.0, 0.0
	for i := 0; i <= 500; i++ {
		for _, x := range []float64{float64(i) / 100.3, float64(i) / 3.1, math.Ldexp(1+float64(i)/500, i%40-10)} {
			if u := ulps(Erfcx(x), bigErfcx(x)); u > worst {
				worst, at = u, x
			}
		}
	}
	t.Logf("worst error %v ulp at %v", worst, at)
	if worst > 2 {
		t.Errorf("worst error %v ulp at %v", worst, at)
	}
}

// bigErfcx is e^(x²)·erfc(x) = 1/(√π·(x + (1/2)/(x + 1/(x + (3/2)/(x + …)))))
// for large x, and e^(x²) − 2/√π·Σ 2ⁿx^(2n+1)/(2n+1)!! for small.
func bigErfcx(x float64) float64 {
	const prec = 400
	n := func(v float64) *big.Float { return new(big.Float).SetPrec(prec).SetFloat64(v) }
	sqrtPi, _ := new(big.Float).SetPrec(prec).SetString("1.7724538509055160272981674833411451827975494561223871282138077898529112845910321813749506567385446654162268236242825706662361528657244226025250937096")
	bx := n(x)
	if x > 3 {
		f := n(x)
		for k := 500; k >= 1; k-- {
			f.Quo(n(float64(k)/2), f)
			f.Add(f, bx)
		}
		f.Mul(f, sqrtPi)
		v, _ := f.Quo(n(1), f).Float64()
		return v
	}
	x2 := new(big.Float).SetPrec(prec).Mul(bx, bx)
	expo, term := n(1), n(1)
	series, st := n(x), n(x)
	for k := 1; k < 200; k++ {
		term.Mul(term, x2)
		term.Quo(term, n(float64(k)))
		expo.Add(expo, term)
		st.Mul(st, x2)
		st.Mul(st, n(2))
		st.Quo(st, n(float64(2*k+1)))
		series.Add(series, st)
	}
	series.Mul(series, n(2))
	series.Quo(series, sqrtPi)
	v, _ := expo.Sub(expo, series).Float64()
	return v
}

func TestEdges(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	tests := []struct {
		name      string
		got, want float64
	}{
		{"exp of 0", Exp(0), 1},
		{"exp of -Inf", Exp(-inf), 0},
		{"exp of Inf", Exp(inf), inf},
		{"exp overflow", Exp(710), inf},
		{"exp underflow", Exp(-746), 0},
		{"exp subnormal", Exp(-745.13), 5e-324},
		{"exp of NaN", Exp(nan), nan},
		{"log of 1", Log(1), 0},
		{"log of 0", Log(0), -inf},
		{"log of Inf", Log(inf), inf},
		{"log of a negative number", Log(-1), nan},
		{"log of NaN", Log(nan), nan},
		{"erfcx of 0", Erfcx(0), 1},
		{"erfcx of -1", Erfcx(-1), nan},
		{"erfcx of NaN", Erfcx(nan), nan},
		{"erfcx of Inf", Erfcx(inf), 0},
	}
	for _, tt := range tests {
		if tt.got != tt.want && !(math.IsNaN(tt.got) && math.IsNaN(tt.want)) {
			t.Errorf("%s = %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

func BenchmarkExp(b *testing.B) {
	s := 0.0
	for i := range b.N {
		s += Exp(-float64(i%100) / 7)
	}
	sink = s
}

func BenchmarkErfcx(b *testing.B) {
	s := 0.0
	for i := range b.N {
		s += Erfcx(float64(i%100) / 7)
	}
	sink = s
}

var sink float64
