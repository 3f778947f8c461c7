package kalman

import (
	"math"
	"testing"
)

// settled is a discipline that has followed one server for a while.
func settled(t *testing.T) *world {
	w := newWorld(t, 0.1, 2e-5)
	w.add(1, server{delay: 1e-3, jitter: 1e-4})
	w.run(600, nil)
	return w
}

// A voice that went astray does not pull the joint estimate after it: of what
// a single source says all but the split between clock and path is known
// better there.
func TestStrayVoiceDoesNotMoveTheJointEstimate(t *testing.T) {
	w := settled(t)
	before := w.d.joint.look(w.d.joint.at, nil).offset
	w.d.sources[0].voice.origin += 1 << 26 // 16 ms
	w.d.sources[0].voice.fresh = false
	w.d.survey()
	if after := w.d.joint.look(w.d.joint.at, nil).offset; math.Abs(after-before) > 1e-9 {
		t.Errorf("the estimate moved by %v s", after-before)
	}
}

// No path is more asymmetric than its delay: a bias beyond that is the clock's
// error, and becomes it.
func TestBiasIsConfinedToTheDelay(t *testing.T) {
	for _, bias := range []float64{0.02, -0.02} {
		w := settled(t)
		j, s := &w.d.joint, w.d.sources[0]
		p := s.route.now
		shift := bias - j.biasOf(p)
		before := j.look(j.at, nil).offset
		j.shift(-shift)
		w.d.survey()
		allowed := s.radius(&w.d.set, 0) + s.distance
		if b := j.biasOf(p); math.Abs(math.Abs(b)-allowed) > 1e-9 || (b > 0) != (bias > 0) {
			t.Errorf("a bias of %v became %v, want %v at most", bias, b, allowed)
		}
		sum := j.look(j.at, nil).offset + j.biasOf(p)
		if math.Abs(sum-(before+bias-shift)) > 1e-9 {
			t.Errorf("offset and bias together changed from %v to %v", before+bias-shift, sum)
		}
		j.shift(0)
		b := j.biasOf(p)
		if w.d.survey(); j.biasOf(p) != b {
			t.Error("what is allowed is moved again")
		}
	}
}
