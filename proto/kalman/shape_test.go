package kalman

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// one evaluates a single hypothesis without the outlier branch.
func one(h shape, level int, v, s float64, x excess) score {
	var out [levels]score
	var want [levels]float64
	want[level] = 1
	h.evaluate(v, s, x, want[:], out[:])
	return out[level]
}

// Every density is one: it integrates to 1 over the observations.
func TestDensitiesIntegrateToOne(t *testing.T) {
	x := excess{span: 3e-4, lean: 2e-4, sigma: 1e-4}
	for i, h := range shapes {
		for _, level := range []int{0, 4, 8, 11} {
			for _, s := range []float64{1e-12, 1e-9, 1e-7} {
				const n = 4001
				r := levelScale[level] * x.sigma
				reach := h.width*x.span/2 + 10*math.Sqrt(s+r*r)
				low, high := h.lean*x.lean/2-reach, h.lean*x.lean/2+reach
				step := (high - low) / (n - 1)
				sum := 0.0
				for k := range n {
					sum += math.Exp(one(h, level, low+float64(k)*step, s, x).log())
				}
				if sum *= step; math.Abs(sum-1) > 2e-3 {
					t.Errorf("shape %d level %d variance %g: integral %v", i, level, s, sum)
				}
			}
		}
	}
}

// The derivatives of a score are those of its logarithm.
func TestDerivatives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sigma := math.Pow(10, rapid.Float64Range(-6, -1).Draw(t, "sigma"))
		x := excess{sigma: sigma, span: sigma * rapid.Float64Range(0, 8).Draw(t, "span")}
		x.lean = x.span * rapid.Float64Range(0, 1).Draw(t, "lean")
		s := sigma * sigma * math.Pow(10, rapid.Float64Range(-6, 2).Draw(t, "s"))
		v := sigma * rapid.Float64Range(-12, 12).Draw(t, "v")
		h := shapes[rapid.IntRange(0, len(shapes)-1).Draw(t, "shape")]
		level := rapid.IntRange(0, levels-1).Draw(t, "level")
		r := levelScale[level] * sigma
		eps := 1e-4 * math.Sqrt(s+r*r)
		a, lo, hi := one(h, level, v, s, x), one(h, level, v+eps, s, x), one(h, level, v-eps, s, x)
		// The mean grows by eps where the innovation falls by it.
		d1 := (hi.log() - lo.log()) / (2 * eps)
		d2 := (hi.d1 - lo.d1) / (2 * eps)
		scale := 1 / math.Sqrt(s+r*r)
		if math.Abs(a.d1-d1) > 1e-4*(math.Abs(a.d1)+scale) {
			t.Fatalf("first derivative %v, want %v", a.d1, d1)
		}
		if math.Abs(a.d2-d2) > 1e-3*(math.Abs(a.d2)+scale*scale) {
			t.Fatalf("second derivative %v, want %v", a.d2, d2)
		}
	})
}

// Far out in the tails a score stays finite, and pulls towards the sample.
func TestTailsStayFinite(t *testing.T) {
	for _, h := range shapes {
		for _, sigma := range []float64{2e-7, 1e-4, 1} {
			for _, span := range []float64{0, sigma / 100, sigma, 100 * sigma} {
				for _, s := range []float64{1e-24, 1e-14, 1e-6, 1, 1e12} {
					for _, v := range []float64{-1e9, -1, -1e-3, 0, 1e-6, 1, 1e9} {
						var out [levels]score
						evaluateShapes(0, 1, v, s, excess{span: span, lean: span, sigma: sigma}, everything[:], out[:])
						for _, a := range out {
							if a.expo != a.expo || a.d1-a.d1 != 0 || a.d2-a.d2 != 0 || a.factor < 0 {
								t.Fatalf("shape %v sigma %g span %g variance %g innovation %g: %+v", h, sigma, span, s, v, a)
							}
						}
					}
				}
			}
		}
	}
}

// A blend is the mixture of its parts, whichever is the likelier.
func TestBlend(t *testing.T) {
	for _, v := range []float64{0, 1, 3, 5, 8, 12, 14} {
		in, out := normalScore(v, 1), normalScore(v, 25)
		f := func(v float64) float64 {
			return (1-outlierShare)*math.Exp(normalScore(v, 1).log()) + outlierShare*math.Exp(normalScore(v, 25).log())
		}
		a := blend(in, out)
		if math.Abs(math.Exp(a.log())/f(v)-1) > 1e-12 {
			t.Errorf("likelihood at %v: %v, want %v", v, math.Exp(a.log()), f(v))
		}
		const eps = 1e-5
		if d := (math.Log(f(v-eps)) - math.Log(f(v+eps))) / (2 * eps); math.Abs(a.d1-d) > 1e-6 {
			t.Errorf("first derivative at %v: %v, want %v", v, a.d1, d)
		}
	}
}

// Shapes that cannot be told apart by symmetry give mirrored scores.
func TestMirror(t *testing.T) {
	x := excess{span: 2e-4, lean: 1e-4, sigma: 1e-4}
	for _, pair := range [][2]int{{3, 4}, {5, 6}, {7, 8}} {
		for _, v := range []float64{-3e-4, -1e-5, 0, 5e-5, 2e-4} {
			a, b := one(shapes[pair[0]], 5, v, 1e-10, x), one(shapes[pair[1]], 5, -v, 1e-10, x)
			if math.Abs(a.log()-b.log()) > 1e-9 || math.Abs(a.d1+b.d1) > 1e-6*math.Abs(a.d1)+1e-3 {
				t.Errorf("shapes %v at %g: %+v and %+v", pair, v, a, b)
			}
		}
	}
}
