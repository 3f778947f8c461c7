package kalman

import (
	"math"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Stamps may be wrong twice in a row by more than an oscillator can go astray;
// a third one is believed.
func TestHowOftenTheImpossibleIsDisbelieved(t *testing.T) {
	for _, tt := range []struct {
		offset float64
		times  int
		moves  bool
	}{
		{0.050, 2, false}, {-0.050, 2, false}, {0.050, 3, true}, {0.003, 1, false}, {0.003, 2, true},
		{200e-6, 1, true}, // a change of frequency by 3 ppm does that in 64 s
	} {
		w := newWorld(t, 0, 2e-5)
		w.add(1, server{delay: 1e-3, jitter: 5e-6, poll: 64})
		w.d.Add(1, SourceConfig{PollMin: 6, PollMax: 6, PollStart: 6, Voting: true})
		w.run(3600, nil)
		s := w.servers[0]
		s.edit = func(e *Exchange) {
			e.T2, e.T3 = e.T2.Add(proto.FromSeconds(tt.offset)), e.T3.Add(proto.FromSeconds(tt.offset))
		}
		for range tt.times {
			w.advance(w.now + 64)
			w.exchange(s)
		}
		w.advance(w.now + 60)
		if moved := math.Abs(w.clock) > math.Abs(tt.offset)/2; moved != tt.moves {
			t.Errorf("wrong by %v s %d times: the clock went to %v s", tt.offset, tt.times, w.clock)
		}
	}
}

// What the published error allows for besides what is expected: a sample of the
// shortest round trip says that the estimate is wrong, those behind a queue
// cannot say otherwise, and the next good one can.
func TestDenial(t *testing.T) {
	var s source
	const variance = 1e-12 // 1 µs
	good, rough := excess{span: 10e-6, sigma: 1e-3}, excess{span: 3e-3, sigma: 1e-3}
	for i, c := range []struct {
		v    float64
		x    excess
		want float64
	}{
		{5e-6, good, 0},
		{-400e-6, rough, 0},
		{-400e-6, good, -400e-6}, // however rough the others are
		{100e-6, rough, -400e-6},
		{-390e-6, good, -390e-6},
		{4e-6, good, 0},
		{2e-3, good, 2e-3},
		{1e-6, good, 0},
		{100e-6, excess{sigma: 100e-6}, 0}, // a reference clock has its noise only
	} {
		if s.deny(c.v, variance, c.x); s.denial != c.want {
			t.Fatalf("%d: denied by %v s, want %v", i, s.denial, c.want)
		}
	}
}

// The published root delay is what the path gives today.
func TestRootDelayIsOfToday(t *testing.T) {
	w := newWorld(t, 0, 0)
	w.add(1, server{delay: 1e-3, jitter: 5e-6, poll: 16})
	w.run(1200, nil)
	short := w.d.Estimate(w.time()).RootDelay.Seconds()
	w.servers[0].jitter = 5e-3
	for range 7 { // one of the eight before is left
		w.advance(w.now + 16)
		w.exchange(w.servers[0])
		w.decide()
	}
	if got := w.d.Estimate(w.time()).RootDelay.Seconds(); math.Abs(short-2e-3) > 20e-6 || math.Abs(got-short) > 50e-6 {
		t.Errorf("root delay %v s, and %v s while a short one is remembered", short, got)
	}
	for range 3 {
		w.advance(w.now + 16)
		w.exchange(w.servers[0])
		w.decide()
	}
	if got := w.d.Estimate(w.time()).RootDelay.Seconds(); got < short+100e-6 {
		t.Errorf("root delay %v s behind a queue, %v s before", got, short)
	}
}
