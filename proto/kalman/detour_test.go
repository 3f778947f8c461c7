package kalman

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// A short path behind a queue, and a detour at times that is four hundred times
// as long. What was learnt about the short one's bias holds when it is taken up
// again. (When all that the detour is longer by was doubt, the clock followed
// the first few samples of each return, further and further.)
func TestDetoursDoNotCarryTheClockAway(t *testing.T) {
	const (
		shortest = 75e-6 // one way; seen in the first minute only
		usual    = 100e-6
		detour   = 40e-3 // in one direction
		from     = 120   // s
		until    = 7200
		seeds    = 5
	)
	beyond := 0
	for seed := range uint64(seeds) {
		w := newWorld(t, 0.001, 1e-5)
		w.rng = rand.New(rand.NewPCG(seed, 1))
		w.add(1, server{delay: shortest, jitter: 20e-6, poll: 1})
		s, extra := w.servers[0], 0.0
		s.edit = func(e *Exchange) { // the wait is on the way back, all of it
			e.T2, e.T3 = e.T2.Add(proto.FromSeconds(-extra/2)), e.T3.Add(proto.FromSeconds(-extra/2))
		}
		worst, off := 0.0, 0.0
		w.run(until, func() {
			base := usual
			if w.now < from/2 {
				base = shortest
			}
			extra = 1e-3 * w.rng.ExpFloat64()
			if w.now > from && math.Mod(w.now, 60) < 12 {
				extra += detour
			}
			s.delay = base + extra/2
			if w.now < from {
				return
			}
			e := w.d.Estimate(w.time())
			bound := e.RootDelay.Seconds()/2 + e.RootDispersion.Seconds()
			worst, off = max(worst, math.Abs(w.clock)/bound), max(off, math.Abs(w.clock))
			if math.Abs(w.clock) > bound {
				beyond++
			}
		})
		t.Logf("seed %d: off by %.0f µs at most, %.0f %% of the published bound", seed, off*1e6, 100*worst)
	}
	const most = seeds * (until - from) / 1000
	if beyond > most {
		t.Errorf("beyond the published bound for %d s, want %d at most", beyond, most)
	}
}

// travelled is a discipline whose only server was reached over a path of 150 µs
// for a minute, and over one of 200 µs since; both are returned.
func travelled(t *testing.T) (w *world, shortest, usual *path) {
	w = newWorld(t, 0.001, 1e-5)
	w.add(1, server{delay: 75e-6, jitter: 2e-6, poll: 1})
	w.run(60, nil)
	w.servers[0].delay = 100e-6
	w.run(180, nil)
	r := &w.d.sources[0].route
	if len(r.paths) != 2 || r.now != r.paths[1] || r.now.col < 0 || r.paths[0].col < 0 {
		t.Fatalf("%d paths", len(r.paths))
	}
	return w, r.paths[0], r.now
}

// displace moves a component of all models, 0 for the offset.
func (j *joint) displace(i int, by float64) {
	for q := range j.model {
		j.model[q].m[i] += by
	}
}

// A path that is taken up again may be another one, but only by what it is
// longer than the shortest; the detour in between says nothing about it.
func TestPathTakenUpAgainKeepsItsBias(t *testing.T) {
	w, shortest, usual := travelled(t)
	s, j := w.d.sources[0], &w.d.joint
	variance := func(p *path) float64 { return j.model[0].p[p.col*j.size()+p.col] }
	far := usual.fork()
	far.add(j.at, 80e-3)
	s.route.paths = append(s.route.paths, far)
	w.d.enter(far)
	for _, c := range []struct {
		*path
		shift, over float64
	}{
		{usual, far.base() - usual.base(), usual.base() - shortest.base()},
		{shortest, far.base() - shortest.base(), 0},
		{far, 10e-6, 10e-6}, // from one that is nearly as long
	} {
		p, over, before := c.path, c.over, variance(c.path)
		w.d.rerouted(s, move{from: far, to: p, known: true, shift: c.shift})
		if got, want := variance(p)-before, over*over/12; math.Abs(got-want) > 1e-18 {
			t.Errorf("a path of %.6f s is doubted by %g s², want %g", p.base(), got, want)
		}
	}
}

// The path in use is held to what its delay allows, a detour's within what it
// wavers; what that refutes about the shortest is forgotten.
func TestBiasIsConfinedOnThePathInUse(t *testing.T) {
	for _, delay := range []float64{100e-6, 1e-3} {
		w, shortest, _ := travelled(t)
		w.servers[0].delay = delay
		w.run(240, nil)
		s, j := w.d.sources[0], &w.d.joint
		use := s.route.now
		j.displace(0, -2e-3)
		j.displace(use.col, 2e-3) // what no sample can tell apart
		w.d.survey()
		b, most := j.biasOf(use), s.constant(&w.d.set, use)
		if b < most-1e-9 || b > most+wavering*use.scale()+1e-9 {
			t.Errorf("the bias of a path of %.6f s is %v, want %v", use.base(), b, most)
		}
		if shortest.col >= 0 {
			t.Errorf("the shortest path keeps a bias of %v", j.biasOf(shortest))
		}
		if use.anchor != b {
			t.Errorf("%v of the bias %v count as the server's own", use.anchor, b)
		}
	}
}

// A path says nothing before it is known: its bias may be that of a detour.
func TestNewPathRefutesNothing(t *testing.T) {
	w, shortest, usual := travelled(t)
	s, j := w.d.sources[0], &w.d.joint
	s.route.since = recentCount - 1
	before := j.biasOf(shortest)
	j.displace(usual.col, 2e-3)
	w.d.survey()
	if shortest.col < 0 || j.biasOf(shortest) != before {
		t.Error("the shortest path was refuted by one that is new")
	}
}

// All that a detour is longer by may be so in one direction.
func TestDetourDoesNotRefuteTheShortestPath(t *testing.T) {
	w, shortest, _ := travelled(t)
	w.servers[0].delay = 1e-3
	w.run(240, nil)
	s, j := w.d.sources[0], &w.d.joint
	detour, before := s.route.now, j.biasOf(shortest)
	j.displace(detour.col, 0.95e-3)
	w.d.survey()
	if shortest.col < 0 || j.biasOf(shortest) != before {
		t.Error("the shortest path was refuted by a detour")
	}
}

// What the estimate is off by after a detour is no bias of the shortest path,
// which is known.
func TestEndOfADetourLeavesTheBiasOfTheShortestPath(t *testing.T) {
	w := newWorld(t, 0.001, 1e-5)
	w.add(1, server{delay: 10e-3, jitter: 1e-5, poll: 1})
	w.run(600, nil)
	shortest := w.d.sources[0].route.now
	before := w.d.joint.biasOf(shortest)
	w.servers[0].delay = 15e-3
	w.run(700, nil)
	w.d.joint.displace(0, 2e-3)
	w.servers[0].delay = 10e-3
	w.run(900, nil)
	if w.d.sources[0].route.now != shortest {
		t.Fatal("the shortest path was not taken up again")
	}
	if moved := math.Abs(w.d.joint.biasOf(shortest) - before); moved > 1e-4 {
		t.Errorf("the bias of the shortest path moved by %v s", moved)
	}
}

// Who takes up a known path behind a queue publishes the round trip that showed
// it: the base of the path says nothing of the queue.
func TestRootDelayOfAPathTakenUpAgain(t *testing.T) {
	w, shortest, _ := travelled(t)
	s := w.servers[0]
	s.delay, s.jitter = shortest.base()/2+3e-6, 0
	w.exchange(s)
	got, trip := w.d.Estimate(w.time()).RootDelay.Seconds(), float64(2*s.delay)
	if w.d.sources[0].route.now != shortest {
		t.Fatal("the path was not taken up")
	}
	if math.Abs(got-trip) > 1e-8 {
		t.Errorf("root delay %v s, want %v", got, trip)
	}
}

// A late packet among those that show a longer path, or after them, says nothing
// of it: the clock that is served stays synchronised.
func TestRootDelayOfALongerPathWithLatePackets(t *testing.T) {
	w, _, usual := travelled(t)
	s := w.servers[0]
	const longer, late = 150e-6, 1.6 // s, one way
	s.jitter = 0
	for i, delay := range slices.Concat(slices.Repeat([]float64{longer}, recentCount-1), []float64{late, late}) {
		w.advance(w.now + 1)
		s.delay = delay
		w.exchange(s)
		if taken := w.d.sources[0].route.now != usual; taken != (i >= recentCount-1) {
			t.Fatalf("sample %d: another path: %v", i, taken)
		}
	}
	if got := w.d.Estimate(w.time()).RootDelay.Seconds(); math.Abs(got-2*longer) > 1e-8 {
		t.Errorf("root delay %v s, want %v", got, 2*longer)
	}
}
