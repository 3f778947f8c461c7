package kalman

import (
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/exact"
)

// voice is what a source says for itself, apart from all others: its offset
// against raw time and which shapes its noise has. Sources vote with their
// voices, so that a liar cannot pull the estimate by which it is judged.
type voice struct {
	started bool
	origin  proto.Duration // what the offsets of the tracks are relative to
	at      rawTime
	bank    [classes][models]track
	prob    [classes]probabilities
	laws    [kinds]law
	fresh   bool // said holds for at
	said    track
}

// law is what is known about the shapes of samples of one kind: the log
// weights of the hypotheses, the largest of which is 0.
type law [hypotheses]float64

// Samples whose excess is ordinary and those with a long one have each a law
// of their own: long waits have another cause than short ones, such as
// congestion that fills one direction only.
const (
	ordinary = iota
	long
	kinds
)

// leastWeight is the log weight that a hypothesis keeps however badly it did.
// What lies behind long waits may change from one to the next: there all must
// be able to come back within a few samples.
var leastWeight = [kinds]float64{ordinary: -20, long: -10}

// kind of a sample.
func (x excess) kind() int {
	if x.span > longExcess*x.sigma {
		return long
	}
	return ordinary
}

// track is an offset x from raw time (s) and its rate w (s/s), with their
// covariance.
type track struct{ x, w, pxx, pxw, pww float64 }

const (
	// memory fades what is known about the shapes: about a hundred samples.
	shapeMemory = 0.99
	// longExcess, in scales of the jitter, is a long one: in quiet times one
	// sample in seven has it.
	longExcess = 2
	// firstVariance is that of an offset before its first sample, s².
	firstVariance = 1
)

// start begins with the first offset.
func (v *voice) start(at rawTime, offset proto.Duration, w, variance, wander float64) {
	*v = voice{started: true, origin: offset, at: at}
	for c := range v.bank {
		v.prob[c] = initialProbabilities(wander)
		for q := range v.bank[c] {
			v.bank[c][q] = track{w: w, pxx: firstVariance, pww: variance}
		}
	}
}

// predict moves a track on. q is the variance that the rate gains a second.
func (t *track) predict(dt, q float64) {
	t.x += float64(t.w * dt)
	if dt <= 0 {
		return
	}
	t.pxx += float64(2*dt*t.pxw) + float64(dt*dt*t.pww) + float64(q*dt*dt*dt/3) + float64(whiteNoise*dt)
	t.pxw += float64(dt*t.pww) + float64(q*dt*dt/2)
	t.pww += float64(q * dt)
}

// update takes in the score of a sample.
func (t *track) update(a score) {
	d2 := limitCurvature(a.d2, t.pxx)
	t.x += float64(t.pxx * a.d1)
	t.w += float64(t.pxw * a.d1)
	t.pww += float64(t.pxw * t.pxw * d2)
	t.pxw += float64(t.pxx * t.pxw * d2)
	t.pxx += float64(t.pxx * t.pxx * d2)
}

// merge is a mixture of tracks as one track with the same mean and covariance.
func merge(weights *[models]float64, all *[models]track) track {
	var m track
	for i, t := range all {
		m.x += float64(weights[i] * t.x)
		m.w += float64(weights[i] * t.w)
	}
	for i, t := range all {
		dx, dw := t.x-m.x, t.w-m.w
		m.pxx += float64(weights[i] * (t.pxx + float64(dx*dx)))
		m.pxw += float64(weights[i] * (t.pxw + float64(dx*dw)))
		m.pww += float64(weights[i] * (t.pww + float64(dw*dw)))
	}
	return m
}

// observe takes in a sample.
func (v *voice) observe(at rawTime, offset proto.Duration, x excess) {
	dt := at.since(v.at)
	v.at = at
	y := (offset - v.origin).Seconds()
	l := &v.laws[x.kind()]
	var weights [hypotheses]float64
	l.weights(&weights)
	for c := range v.bank {
		v.teach(c, dt, y, x, l, &weights)
	}
	l.level(leastWeight[x.kind()])
	v.fresh = false
}

// teach takes a sample into the tracks of a class and what is known about the
// shapes of its kind.
func (v *voice) teach(c int, dt, y float64, x excess, known *law, weights *[hypotheses]float64) {
	bank, prob := &v.bank[c], &v.prob[c]
	mixing := prob.mix()
	old := *bank
	first, last := classShapes(c)
	lo, hi := first*levels, last*levels
	w := weights[lo:hi]
	var scores [models][3 * levels]score
	ref := math.Inf(-1)
	for q := range bank {
		t := &bank[q]
		*t = merge(&mixing[q], &old)
		t.predict(dt, wanders[q]*wanders[q])
		evaluateShapes(first, last, y-t.x, t.pxx, x, everything[:hi-lo], scores[q][:hi-lo])
		ref = max(ref, top(scores[q][:hi-lo]))
	}
	var evidence, scaled [3 * levels]float64
	var total [models]score
	for q := range bank {
		total[q] = mixed(w, scores[q][:hi-lo], ref, scaled[:hi-lo])
		for h := range w {
			evidence[h] += float64(prob[q] * scaled[h])
		}
		if total[q].sane() {
			bank[q].update(total[q])
		}
	}
	prob.learn(&total)
	for h := range w {
		l := &known[lo+h]
		*l = float64(shapeMemory**l) + ref + exact.Log(max(evidence[h], 1e-300))
	}
}

// classShapes is where the shapes of a class are.
func classShapes(c int) (first, last int) {
	if c == 0 {
		return 0, 3
	}
	return c + 2, c + 3
}

// classRange is where the hypotheses of a class are.
func classRange(c int) (first, last int) {
	first, last = classShapes(c)
	return first * levels, last * levels
}

// level keeps the log weights in range, from the least to 0: only their
// differences matter.
func (l *law) level(least float64) {
	top := l[0]
	for _, w := range l {
		top = max(top, w)
	}
	for h := range l {
		l[h] = max(l[h]-top, least)
	}
}

// weights are those of the hypotheses, not logarithmic; the largest is 1.
func (l *law) weights(out *[hypotheses]float64) {
	for h, w := range l {
		out[h] = exact.Exp(w)
	}
}

// noise is the noise besides the excess, in scales of the jitter: the root
// mean square over the hypotheses.
func (v *voice) noise() float64 {
	var weights [hypotheses]float64
	v.laws[ordinary].weights(&weights)
	var sum, total float64
	for h, w := range weights {
		r := levelScale[h%levels]
		sum += float64(w * float64(r*r))
		total += w
	}
	return math.Sqrt(sum / total)
}

// soften makes what is known about the shapes count half.
func (v *voice) soften() {
	for k := range v.laws {
		for h := range v.laws[k] {
			v.laws[k][h] /= 2
		}
	}
}

// doubt adds variance to all tracks.
func (v *voice) doubt(pxx, pww float64) {
	v.fresh = false
	for c := range v.bank {
		for q := range v.bank[c] {
			v.bank[c][q].pxx += pxx
			v.bank[c][q].pww += pww
		}
	}
}

// latest is what the voice says about the moment of its last sample.
func (v *voice) latest() track {
	if !v.fresh {
		v.said, v.fresh = v.estimate(v.at), true
	}
	return v.said
}

// estimate is what the voice says about a moment: all classes as one track.
func (v *voice) estimate(at rawTime) track {
	var weights [hypotheses]float64
	v.laws[ordinary].weights(&weights)
	dt := at.since(v.at)
	var per [classes]track
	var share [classes]float64
	total := 0.0
	for c := range v.bank {
		first, last := classRange(c)
		for h := first; h < last; h++ {
			share[c] += weights[h]
		}
		total += share[c]
		bank := v.bank[c]
		for q := range bank {
			bank[q].predict(dt, wanders[q]*wanders[q])
		}
		p := [models]float64(v.prob[c])
		per[c] = merge(&p, &bank)
	}
	var m track
	for c, t := range per {
		share[c] /= total
		m.x += float64(share[c] * t.x)
		m.w += float64(share[c] * t.w)
	}
	for c, t := range per {
		dx, dw := t.x-m.x, t.w-m.w
		m.pxx += float64(share[c] * (t.pxx + float64(dx*dx)))
		m.pxw += float64(share[c] * (t.pxw + float64(dx*dw)))
		m.pww += float64(share[c] * (t.pww + float64(dw*dw)))
	}
	return m
}

// sigma of the offset is not NaN and not negative.
func (t track) sigma() float64 { return math.Sqrt(max(t.pxx, 0)) }
