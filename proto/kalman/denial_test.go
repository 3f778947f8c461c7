package kalman

import (
	"math"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

func secs(s float64) proto.Duration { return proto.FromSeconds(s) }

// distance is the published error.
func (w *world) distance() float64 {
	e := w.d.Estimate(w.time())
	return e.RootDispersion.Seconds() + e.RootDelay.Seconds()/2
}

// vague counts the seconds until a time in which the published error is so
// large that the daemon calls itself unsynchronised, and the clock is right.
func (w *world) vague(until float64) (n int) {
	w.run(until, func() {
		if w.distance() >= 1.5 && math.Abs(w.clock) < 1e-3 {
			n++
		}
	})
	return n
}

// lies makes a server's time wrong.
func lies(e *Exchange, by float64) {
	e.T2, e.T3 = e.T2.Add(secs(by)), e.T3.Add(secs(by))
}

// takes makes a round trip longer, and the share of it that is the way there.
func takes(e *Exchange, longer, up float64) {
	e.T1.At = e.T1.At.Add(secs(-longer))
	lies(e, longer*(up-1))
}

// A sample of the shortest round trip says that the estimate is wrong, those
// behind a queue cannot say otherwise, and the next good one can.
func TestDenial(t *testing.T) {
	var d Discipline
	s := &source{state: Selected}
	d.sources = []*source{s}
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
		if d.deny(s, c.v, s.reach(variance, c.x)); s.denial != c.want {
			t.Fatalf("%d: denied by %v s, want %v", i, s.denial, c.want)
		}
	}
}

// How far off a sample may be: by its excess, and by noise that is in scales of
// the jitter, but no more than that of the sample itself.
func TestReach(t *testing.T) {
	var s source
	noise := s.voice.noise()
	for _, c := range []struct {
		variance float64
		x        excess
		want     float64
	}{
		{0, excess{}, stillness},
		{1e-10, excess{}, 40e-6 + stillness},
		{0, excess{span: 10e-6, sigma: 1e-3}, 5e-6 + 4*noise*10e-6 + stillness},
		{0, excess{span: 1e-3, sigma: 10e-6}, 500e-6 + 4*noise*10e-6 + stillness},
		{0, excess{sigma: 30e-6}, 4*noise*30e-6 + stillness},
	} {
		if got := s.reach(c.variance, c.x); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v: %v s, want %v", c.x, got, c.want)
		}
	}
}

// One source cannot make all others' estimate look wrong, nor can one of two
// hide that the estimate is.
func TestAMajorityRefutesADenial(t *testing.T) {
	for n, enough := range map[int]int{2: 9, 3: 2, 4: 2, 5: 3, 6: 3, 7: 4} {
		d := &Discipline{}
		for range n {
			d.sources = append(d.sources, &source{id: SourceID(len(d.sources)), state: Selected})
		}
		liar := d.sources[0]
		for round := range patientRun + 1 {
			d.deny(liar, 2, 0.1)
			if heard := d.alarm() == 2; heard != (round < patientRun || n == 2) {
				t.Errorf("%d sources, denied for the %d. time: heard %v", n, round+1, heard)
			}
			for i, o := range d.sources[1:] {
				d.deny(o, 1e-3, 3) // cannot tell
				d.deny(o, 1e-3, 0.1)
				d.deny(o, 1e-3, 0.1) // counts once
				if denied := liar.denial != 0; denied != (i+1 < enough) {
					t.Errorf("%d sources, %d against it: denied %v", n, i+1, denied)
				}
			}
		}
		d.deny(liar, 0, 0.1)
		if d.deny(liar, 2, 0.1); d.alarm() != 2 {
			t.Errorf("%d sources: who agreed again is not heard", n)
		}
	}
}

// What was explained denies nothing any more: the clock is stepped by a foreign
// hand, and is right again long before all have been asked.
func TestAnExplainedStepIsNoDenial(t *testing.T) {
	for _, step := range []float64{1.6, 2, -4} {
		for _, n := range []int{1, 2, 3, 4} {
			w := newWorld(t, 0, 10e-6)
			w.add(n, server{delay: 5e-3, jitter: 100e-6})
			for i := range w.servers {
				w.servers[i].next = float64(i) * 3
			}
			w.run(20000, nil)
			w.clock += step
			if got := w.vague(24000); got > 0 {
				t.Errorf("%d sources, a step of %v s: unsynchronised for %d s with the right time", n, step, got)
			}
		}
	}
}

// A source that comes back from far off brings no denial along.
func TestAReturnIsNoDenial(t *testing.T) {
	w := newWorld(t, 0, 10e-6)
	w.add(4, server{delay: 5e-3, jitter: 100e-6})
	for i := range w.servers {
		w.servers[i].next = float64(i) * 3
		w.d.Add(w.servers[i].id, SourceConfig{PollMin: 8, PollMax: 8, PollStart: 8, Voting: true})
	}
	w.run(20000, nil)
	w.servers[3].offset = 20
	w.run(26000, nil)
	w.servers[3].offset = 0
	if got := w.vague(32000); got > 30 {
		t.Errorf("unsynchronised for %d s", got)
	}
}

// The last source that is believed goes while a young one denies.
func TestANewEstimateIsNotDeniedByTheOld(t *testing.T) {
	w := newWorld(t, 0, 0)
	w.add(1, server{delay: 5e-3, jitter: 100e-6, poll: 64})
	w.run(20000, nil)
	w.add(1, server{delay: 5e-3, jitter: 100e-6, poll: 64, next: 20001})
	for w.d.sources[1].samples < 5 {
		w.run(w.now+1, nil)
	}
	w.servers[1].edit = func(e *Exchange) { lies(e, 2) }
	for w.d.sources[1].samples < 6 {
		w.run(w.now+1, nil)
	}
	w.servers[1].edit = nil
	w.d.Remove(1)
	w.servers = w.servers[1:]
	if got := w.vague(w.now + 1000); got > 30 {
		t.Errorf("unsynchronised for %d s", got)
	}
}

// Neither a liar among five, nor one path on which everything is late, makes
// the others' time look bad for long.
func TestOneOfFiveSpoilsNoBound(t *testing.T) {
	late := func(k int) float64 { return []float64{3.1, 4.8, 3.9, 4.6, 3.2, 4.3, 4.9, 3.5}[k%8] }
	for name, edit := range map[string]func(e *Exchange, k int){
		"late both ways": func(e *Exchange, k int) { takes(e, late(k), 0.5) },
		"a lie, then late": func(e *Exchange, k int) {
			if k == 0 {
				lies(e, 2)
				return
			}
			takes(e, 4+late(k)/6, 0.6)
		},
		"lies in turns": func(e *Exchange, k int) { lies(e, float64(4*(k%2)-2)) },
	} {
		for _, poll := range []float64{0, 64} {
			w := newWorld(t, 0, 0)
			w.add(5, server{delay: 5e-3, jitter: 100e-6, poll: poll})
			for i := range w.servers {
				w.servers[i].next = float64(i) * 3
			}
			w.run(20000, nil)
			k := -1
			w.servers[w.d.Estimate(w.time()).Primary-1].edit = func(e *Exchange) { k++; edit(e, k) }
			if got := w.vague(32000); got > 1200 {
				t.Errorf("%s, poll %v: unsynchronised for %d of 12,000 s, clock %v", name, poll, got, w.clock)
			}
		}
	}
}

// The last that a source said before it fell silent still holds.
func TestSilenceRefutesNothing(t *testing.T) {
	w := newWorld(t, 0, 0)
	w.add(1, server{delay: 5e-3, jitter: 100e-6, poll: 64})
	w.run(20000, nil)
	w.clock++
	s := w.servers[0]
	w.advance(w.now + 64)
	w.exchange(s)
	s.dead = true
	for range 5 {
		if got := w.distance(); got < math.Abs(w.clock) {
			t.Errorf("%v: off by %v s, published %v s", w.d.sources[0].state, w.clock, got)
		}
		w.run(w.now+64, nil)
	}
	if w.d.sources[0].state != Unreachable {
		t.Errorf("the source is %v", w.d.sources[0].state)
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
