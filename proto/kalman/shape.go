package kalman

import (
	"math"

	"github.com/ntpd-go/ntpd-go/proto/exact"
)

// The offset of one exchange is wrong by half the difference of what the
// request and the answer waited on the way. How much they waited together is
// known: it is the excess of the round trip over the shortest possible one.
// So the error lies within ± half the excess, and where in there depends on
// how the two directions share it. A shape is one way of sharing; none is
// assumed, all are tried and weighed by how well they predict.

// shape is a density of the error e within ± width·excess/2: proportional to
// e^(tilt·e/σ), around lean·excess/2. σ is the scale of the jitter.
type shape struct{ lean, width, tilt float64 }

// shapes are grouped into classes that agree on lean and tilt, that is on
// where the middle of the error is. Shapes that move the middle confirm
// themselves if they share an estimate with others, so each class has its own.
var shapes = [...]shape{
	{0, 0, 0},    // normal: what remains is the noise term alone
	{0, 1, 0},    // uniform: exact for exponential waits, equal both ways
	{0, 0.58, 0}, // narrower: waits of many small parts
	{0, 1, 2}, {0, 1, -2},
	{0, 1, 7}, {0, 1, -7}, // tilted: one direction waits more
	{1, 0, 0}, {-1, 0, 0}, // all of it in one direction
}

const (
	// classes: the first has three shapes, the others one each.
	classes = 7
	// levels of the noise besides the excess, in quarters of a decade of σ.
	levels     = 12
	hypotheses = len(shapes) * levels
)

// levelScale is 10^-2.5, 10^-2.25, …, 10^0.25.
var levelScale = [levels]float64{
	0.0031622776601683794, 0.005623413251903491, 0.01, 0.01778279410038923,
	0.03162277660168379, 0.05623413251903491, 0.1, 0.1778279410038923,
	0.31622776601683794, 0.5623413251903491, 1, 1.7782794100389228,
}

// outlierShare is the probability that a sample obeys no shape.
const outlierShare = 0.01

// outlierReach is how many of its standard deviations an outlier matters.
const outlierReach = 3

const (
	invSqrt2Pi  = 0.39894228040143267794 // 1/√(2π)
	sqrt2OverPi = 0.79788456080286535588
	sqrtHalf    = 0.70710678118654752440
)

// excess is what the round trip of a sample says about its error.
type excess struct {
	span   float64 // excess over the shortest possible round trip, s
	lean   float64 // the same, from a less cautious guess of the shortest, s
	sigma  float64 // scale of the jitter, s, > 0
	spread float64 // distance of the shortest seen to the shortest possible, s
}

// score is a likelihood, factor·e^expo (so that it neither underflows nor
// needs a logarithm), with the first and second derivatives of its logarithm
// by the predicted mean.
type score struct{ expo, factor, d1, d2 float64 }

// log of the likelihood.
func (a score) log() float64 { return a.expo + exact.Log(a.factor) }

// normalScore is that of an innovation v with variance s.
func normalScore(v, s float64) score {
	return score{-float64(v*v) / (2 * s), invSqrt2Pi / math.Sqrt(s), v / s, -1 / s}
}

// evaluate fills in the scores of the levels of a shape that are wanted, for
// an innovation v (observed minus predicted) whose prediction has variance s.
func (h shape) evaluate(v, s float64, x excess, want []float64, out []score) {
	d := v - float64(h.lean*x.lean)/2
	half := float64(h.width*x.span) / 2
	k := h.tilt / x.sigma
	box := box{half: half, k: k}
	if half > 0 {
		box.norm()
	}
	for i, w := range want {
		if w <= 0 {
			continue
		}
		r := levelScale[i] * x.sigma
		s2 := s + float64(r*r)
		if sd := math.Sqrt(s2); half < sd/10 {
			out[i] = normalScore(d, s2+float64(half*half)/3)
		} else {
			out[i] = box.score(d, sd)
		}
	}
}

// box is a density proportional to e^(k·e) on ± half.
type box struct {
	half, k      float64
	expo, factor float64 // its norm: k / (2·sinh(k·half)), or 1/(2·half)
}

func (b *box) norm() {
	z := math.Abs(b.k) * b.half
	if z < 1e-6 {
		b.factor = 1 / (2 * b.half)
		return
	}
	b.expo, b.factor = -z, math.Abs(b.k)/(1-exact.Exp(-2*z))
}

// score is that of the box blurred by a normal with standard deviation s.
func (b *box) score(d, s float64) score {
	m := d + float64(b.k*float64(s*s))
	hi, lo := (m+b.half)/s, (m-b.half)/s
	between := normalBetween(lo, hi)
	first := (between.lo - between.hi) / s
	second := (float64(lo*between.lo)-float64(hi*between.hi))/float64(s*s) - float64(first*first)
	ks := b.k * s
	return score{
		expo:   b.expo + float64(b.k*d) + float64(ks*ks)/2 + between.expo,
		factor: b.factor * between.factor,
		d1:     first - b.k,
		d2:     second,
	}
}

// interval of the normal distribution: Φ(hi) − Φ(lo) = factor·e^expo, and the
// densities φ at both ends divided by it.
type normalInterval struct{ expo, factor, hi, lo float64 }

// normalBetween is the interval from lo to hi > lo, without underflow in the
// tails.
func normalBetween(lo, hi float64) normalInterval {
	if hi <= 0 {
		b := normalBetween(-hi, -lo)
		b.hi, b.lo = b.lo, b.hi
		return b
	}
	if lo >= 0 {
		decay := exact.Exp(-float64((hi-lo)*(hi+lo)) / 2)
		rest := exact.Erfcx(lo*sqrtHalf) - float64(decay*exact.Erfcx(hi*sqrtHalf))
		return normalInterval{-float64(lo*lo) / 2, rest / 2, sqrt2OverPi * decay / rest, sqrt2OverPi / rest}
	}
	eh, el := exact.Exp(-float64(hi*hi)/2), exact.Exp(-float64(lo*lo)/2)
	diff := 1 - float64(eh*exact.Erfcx(hi*sqrtHalf))/2 - float64(el*exact.Erfcx(-lo*sqrtHalf))/2
	return normalInterval{0, diff, invSqrt2Pi * eh / diff, invSqrt2Pi * el / diff}
}

// outliers fills in the scores of a sample that obeys no shape, by level. Its
// density is a wide normal, and flat further out: what is far off says
// nothing, however far it is.
func outliers(v, s float64, x excess, out *[levels]score) {
	for i := range out {
		wide := 5 * (x.span/2 + float64(levelScale[i]*x.sigma) + x.sigma/2)
		variance := s + float64(wide*wide)
		if v*v > outlierReach*outlierReach*variance {
			out[i] = score{expo: -outlierReach * outlierReach / 2.0, factor: invSqrt2Pi / math.Sqrt(variance)}
			continue
		}
		out[i] = normalScore(v, variance)
	}
}

// blend mixes an inlier and an outlier.
func blend(in, out score) score {
	in.factor *= 1 - outlierShare
	out.factor *= outlierShare
	switch gap := out.expo - in.expo; {
	case gap < -80:
		return in
	case gap > 80:
		return out
	default:
		odd := out.factor * exact.Exp(gap)
		total := in.factor + odd
		p := odd / total // of the outlier
		q := 1 - p
		d1 := float64(q*in.d1) + float64(p*out.d1)
		d2 := float64(q*(in.d2+float64(in.d1*in.d1))) + float64(p*(out.d2+float64(out.d1*out.d1))) - float64(d1*d1)
		return score{in.expo, total, d1, d2}
	}
}

// evaluateShapes fills in the scores of the hypotheses of the shapes from
// first to last-1, outliers included, into out; want says which matter. Both
// begin with the first shape.
func evaluateShapes(first, last int, v, s float64, x excess, want []float64, out []score) {
	var odd [levels]score
	outliers(v, s, x, &odd)
	for i := range last - first {
		w, row := want[i*levels:(i+1)*levels], out[i*levels:(i+1)*levels]
		shapes[first+i].evaluate(v, s, x, w, row)
		for j := range row {
			if w[j] > 0 {
				row[j] = blend(row[j], odd[j])
			}
		}
	}
}

// everything matters.
var everything = func() (w [hypotheses]float64) {
	for i := range w {
		w[i] = 1
	}
	return w
}()

// top is the largest exponent of the scores.
func top(all []score) float64 {
	t := math.Inf(-1)
	for i := range all {
		if all[i].factor > 0 {
			t = max(t, all[i].expo)
		}
	}
	return t
}

// mixed is the score of a mixture with weights w ≥ 0. scaled gets each
// likelihood divided by e^ref.
func mixed(w []float64, all []score, ref float64, scaled []float64) score {
	var total, weight, d1, d2 float64
	for i := range all {
		scaled[i] = 0
		weight += w[i]
		a := &all[i]
		gap := a.expo - ref
		if !(a.factor > 0) || gap < -700 {
			continue
		}
		scaled[i] = a.factor * exact.Exp(gap)
		if w[i] <= 0 {
			continue
		}
		p := w[i] * scaled[i]
		total += p
		d1 += float64(p * a.d1)
		d2 += float64(p * (a.d2 + float64(a.d1*a.d1)))
	}
	d1 /= total
	d2 = d2/total - float64(d1*d1)
	return score{ref, total / weight, d1, d2}
}
