package kalman

import (
	"math"

	"github.com/ntpd-go/ntpd-go/proto/exact"
)

// How much an oscillator's frequency walks is not known beforehand and
// changes with its surroundings. A bank of filters assumes one wander each;
// what comes shows which one is right (an interacting multiple-model filter).

// wanders are the models: standard deviation of what the frequency gains in
// a second, s/s.
var wanders = [models]float64{1e-11, 1e-10, 1e-9, 1e-8, 1e-7}

const (
	models = 5
	// whiteNoise is the variance of the phase that any oscillator gains in a
	// second besides, s².
	whiteNoise = 1e-20
	// An oscillator changes to the next model with mixNeighbour a sample, and
	// to any with mixAny.
	mixNeighbour = 0.001
	mixAny       = 1e-4
	// floorProbability keeps a model from dying.
	floorProbability = 1e-12
	// tightest is the least a variance may shrink to in one update, relative.
	tightest = 1e-6
)

// transition[i][j] is the probability to change from model i to j.
var transition = func() (t [models][models]float64) {
	for i := range t {
		rest := 1.0
		for j := range t[i] {
			t[i][j] = mixAny
			if j == i-1 || j == i+1 {
				t[i][j] += mixNeighbour
			}
			rest -= t[i][j]
		}
		t[i][i] += rest
	}
	return t
}()

// probabilities of the models.
type probabilities [models]float64

// initial probabilities: even, or round a wander that the operator gave.
func initialProbabilities(wander float64) probabilities {
	var p probabilities
	for i, w := range wanders {
		p[i] = 1
		if wander > 0 {
			decades := exact.Log(wander/w) / exact.Log(10)
			p[i] = exact.Exp(-2 * float64(decades*decades))
		}
	}
	p.normalise()
	return p
}

func (p *probabilities) normalise() {
	sum := 0.0
	for i := range p {
		p[i] = max(p[i], floorProbability)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
}

// mix moves probability between the models before an update and returns the
// weights with which the states are to be mixed: weights[j][i] is how much of
// the new state j comes from the old state i.
func (p *probabilities) mix() (weights [models][models]float64) {
	var next probabilities
	for j := range next {
		for i := range p {
			next[j] += float64(transition[i][j] * p[i])
		}
		for i := range p {
			weights[j][i] = transition[i][j] * p[i] / next[j]
		}
	}
	*p = next
	return weights
}

// learn weighs the models by how likely each made a sample.
func (p *probabilities) learn(all *[models]score) {
	ref := math.Inf(-1)
	for i := range all {
		if all[i].sane() {
			ref = max(ref, all[i].expo)
		}
	}
	for i := range all {
		if all[i].sane() {
			p[i] *= all[i].factor * exact.Exp(all[i].expo-ref)
		}
	}
	p.normalise()
}

// limitCurvature keeps an update from shrinking a variance s to nothing.
func limitCurvature(d2, s float64) float64 { return max(d2, (tightest-1)/s) }

// sane reports whether a score can be used: finite in all parts.
func (a score) sane() bool {
	return a.factor > 0 && a.factor <= math.MaxFloat64 && a.expo-a.expo == 0 && a.d1-a.d1 == 0 && a.d2-a.d2 == 0
}
