package kalman

import (
	"math"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// pulse gives a discipline samples of a reference clock once in 16 s.
func (w *world) pulse(id SourceID, noise, accuracy, period, until float64) {
	for w.now < until {
		next := math.Floor(w.now/16)*16 + 16
		w.run(next, nil)
		true_ := -w.clock + noise*w.rng.NormFloat64()
		if period > 0 {
			true_ -= period * math.Round(true_/period)
		}
		w.d.Observe(w.time(), id, Reference{
			Stamp: proto.Stamp{At: w.wall()}, Offset: proto.FromSeconds(true_),
			Precision: proto.FromSeconds(noise), Accuracy: proto.FromSeconds(accuracy), Period: proto.FromSeconds(period),
		})
		w.decide()
	}
}

// A clock on a socket is a source like any other, without a delay.
func TestReferenceClock(t *testing.T) {
	w := newWorld(t, 5, 20e-6)
	w.d.Add(1, SourceConfig{PollMin: 4, PollMax: 4, PollStart: 4, Voting: true})
	w.pulse(1, 1e-6, 1e-4, 0, 3600)
	if e := w.d.Estimate(w.time()); math.Abs(w.clock) > 5e-6 || !e.Synchronised || e.RootDispersion.Seconds() < 1e-4 {
		t.Errorf("off by %v s, %+v", w.clock, e)
	}
}

// A pulse knows where a second begins but not which: it follows the majority,
// has no vote, and sharpens the result.
func TestPulsePerSecond(t *testing.T) {
	w := newWorld(t, 5, 20e-6)
	w.d.Add(100, SourceConfig{PollMin: 4, PollMax: 4, PollStart: 4})
	w.pulse(100, 1e-6, 1e-6, 1, 160)
	if len(w.steps) != 0 || w.d.Estimate(w.time()).Synchronised {
		t.Fatalf("a pulse alone set the clock")
	}
	w.add(3, server{delay: 5e-3, jitter: 1e-3})
	w.pulse(100, 1e-6, 1e-6, 1, 7200)
	worst := 0.0
	for range 100 {
		w.pulse(100, 1e-6, 1e-6, 1, w.now+16)
		worst = max(worst, math.Abs(w.clock))
	}
	if worst > 20e-6 || len(w.steps) != 1 || w.d.Source(w.time(), 100).State != Selected {
		t.Errorf("off by %v s with a pulse, steps %v, %v", worst, w.steps, w.d.Source(w.time(), 100).State)
	}
}
