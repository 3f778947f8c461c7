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

// classOf gives the class of each shape.
var classOf = [len(shapes)]int{0, 0, 0, 1, 2, 3, 4, 5, 6}

const (
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

var (
	logOutlier = exact.Log(outlierShare)
	logInlier  = exact.Log(1 - outlierShare)
	log2       = exact.Log(2)
)

const (
	halfLog2Pi  = 0.91893853320467274178 // ½·log 2π
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

// score is the logarithm of a likelihood and its first and second derivatives
// by the predicted mean.
type score struct{ log, d1, d2 float64 }

// normalScore is that of an innovation v with variance s.
func normalScore(v, s float64) score {
	return score{-halfLog2Pi - exact.Log(s)/2 - float64(v*v)/(2*s), v / s, -1 / s}
}

// evaluate fills in the scores of all levels of a shape for an innovation v
// (observed minus predicted) whose prediction has variance s.
func (h shape) evaluate(v, s float64, x excess, out *[levels]score) {
	d := v - float64(h.lean*x.lean)/2
	half := float64(h.width*x.span) / 2
	k := h.tilt / x.sigma
	var logN float64
	if half > 0 {
		logN = logNorm(k, half)
	}
	for i := range out {
		r := levelScale[i] * x.sigma
		s2 := s + float64(r*r)
		if sd := math.Sqrt(s2); half < sd/10 {
			out[i] = normalScore(d, s2+float64(half*half)/3)
		} else {
			out[i] = boxScore(d, sd, half, k, logN)
		}
	}
}

// logNorm is log(k / (2·sinh(k·half))), the norm of e^(k·e) on ± half.
func logNorm(k, half float64) float64 {
	z := math.Abs(k) * half
	if z < 1e-6 {
		return -exact.Log(2 * half)
	}
	return exact.Log(math.Abs(k)) - z - exact.Log(1-exact.Exp(-2*z))
}

// boxScore is that of a density e^(k·e) on ± half, blurred by a normal with
// standard deviation s.
func boxScore(d, s, half, k, logN float64) score {
	m := d + float64(k*float64(s*s))
	hi, lo := (m+half)/s, (m-half)/s
	logDiff, phiHi, phiLo := normalBetween(lo, hi)
	first := (phiLo - phiHi) / s
	second := (float64(lo*phiLo)-float64(hi*phiHi))/float64(s*s) - float64(first*first)
	ks := k * s
	return score{
		log: logN + float64(k*d) + float64(ks*ks)/2 + logDiff,
		d1:  first - k,
		d2:  second,
	}
}

// normalBetween returns log(Φ(hi) − Φ(lo)) for lo < hi, and the densities φ
// at both ends divided by that difference, without underflow in the tails.
func normalBetween(lo, hi float64) (logDiff, phiHi, phiLo float64) {
	if hi <= 0 {
		logDiff, phiLo, phiHi = normalBetween(-hi, -lo)
		return logDiff, phiHi, phiLo
	}
	if lo >= 0 {
		decay := exact.Exp(-float64((hi-lo)*(hi+lo)) / 2)
		rest := exact.Erfcx(lo*sqrtHalf) - float64(decay*exact.Erfcx(hi*sqrtHalf))
		return exact.Log(rest) - log2 - float64(lo*lo)/2, sqrt2OverPi * decay / rest, sqrt2OverPi / rest
	}
	eh, el := exact.Exp(-float64(hi*hi)/2), exact.Exp(-float64(lo*lo)/2)
	diff := 1 - float64(eh*exact.Erfcx(hi*sqrtHalf))/2 - float64(el*exact.Erfcx(-lo*sqrtHalf))/2
	return exact.Log(diff), sqrt2OverPi / 2 * eh / diff, sqrt2OverPi / 2 * el / diff
}

// outliers fills in the scores of a sample that obeys no shape, by level.
func outliers(v, s float64, x excess, out *[levels]score) {
	for i := range out {
		wide := 5 * (x.span/2 + float64(levelScale[i]*x.sigma) + x.sigma/2)
		out[i] = normalScore(v, s+float64(wide*wide))
	}
}

// blend mixes an inlier and an outlier.
func blend(in, out score) score {
	a, b := in.log+logInlier, out.log+logOutlier
	if a-b > 40 {
		return score{a, in.d1, in.d2}
	}
	if b-a > 40 {
		return score{b, out.d1, out.d2}
	}
	e := exact.Exp(b - a)
	p := e / (1 + e) // of the outlier
	q := 1 - p
	d1 := float64(q*in.d1) + float64(p*out.d1)
	d2 := float64(q*(in.d2+float64(in.d1*in.d1))) + float64(p*(out.d2+float64(out.d1*out.d1))) - float64(d1*d1)
	return score{a + exact.Log(1+e), d1, d2}
}

// evaluateAll fills in the scores of all hypotheses of a set of shapes,
// outliers included.
func evaluateAll(v, s float64, x excess, class int, out *[hypotheses]score) {
	var odd, row [levels]score
	outliers(v, s, x, &odd)
	for i, h := range shapes {
		if class != allClasses && classOf[i] != class {
			continue
		}
		h.evaluate(v, s, x, &row)
		for j := range row {
			out[i*levels+j] = blend(row[j], odd[j])
		}
	}
}

// allClasses asks evaluateAll for everything.
const allClasses = -1

// mixed is the score of a mixture: weights w (any scale, ≥ 0) over scores. It
// also returns the log of the total weight.
func mixed(w []float64, all []score) score {
	top := math.Inf(-1)
	for i, a := range all {
		if w[i] > 0 {
			top = max(top, a.log)
		}
	}
	if math.IsInf(top, -1) {
		return score{log: top}
	}
	var total, weight, d1, d2 float64
	for i, a := range all {
		if w[i] <= 0 {
			continue
		}
		weight += w[i]
		if a.log < top-40 {
			continue
		}
		p := w[i] * exact.Exp(a.log-top)
		total += p
		d1 += float64(p * a.d1)
		d2 += float64(p * (a.d2 + float64(a.d1*a.d1)))
	}
	d1 /= total
	d2 = d2/total - float64(d1*d1)
	return score{top + exact.Log(total/weight), d1, d2}
}
