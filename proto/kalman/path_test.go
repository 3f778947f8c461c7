package kalman

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/proto"
)

// The window's sorted view is that of the delays it remembers.
func TestWindowKeepsItsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		at := rawTime(0)
		for range rapid.IntRange(1, 600).Draw(t, "n") {
			at += rawTime(proto.FromSeconds(rapid.Float64Range(0.1, 4000).Draw(t, "pause")))
			w.add(at, float64(rapid.IntRange(1, 50).Draw(t, "delay")))
			if rapid.IntRange(0, 30).Draw(t, "unlearn") == 0 {
				w.unlearn(rapid.IntRange(0, 9).Draw(t, "how many"))
			}
			var want []float64
			for _, s := range w.seen {
				want = append(want, s.delay)
			}
			slices.Sort(want)
			if !slices.Equal(want, w.sorted) {
				t.Fatalf("remembers %v, sorted %v", want, w.sorted)
			}
			if len(w.seen) > windowSize {
				t.Fatalf("%d delays", len(w.seen))
			}
			if n := len(w.seen); n > windowKeep && at.since(w.seen[0].at) > windowAge {
				t.Fatalf("a delay is %v s old", at.since(w.seen[0].at))
			}
		}
	})
}

// traveller sends exponential waits over a path whose base can change.
type traveller struct {
	r   *route
	rng *rand.Rand
	at  rawTime
}

func newTraveller() *traveller {
	tr := &traveller{r: &route{}, rng: rand.New(rand.NewPCG(3, 4))}
	tr.r.start(1e-6)
	return tr
}

// go_ sends n packets and returns the moves.
func (tr *traveller) send(n int, base, jitter float64) (moves []move) {
	for range n {
		tr.at += rawTime(64 * proto.Second)
		if m, moved := tr.r.see(tr.at, base+jitter*(tr.rng.ExpFloat64()+tr.rng.ExpFloat64())); moved {
			moves = append(moves, m)
		}
	}
	return moves
}

func TestQuietPathsDoNotChange(t *testing.T) {
	tr := newTraveller()
	if moves := tr.send(5000, 10e-3, 1e-4); len(moves) > 0 {
		t.Errorf("%d changes of a path that never changed: %+v", len(moves), moves[0])
	}
}

func TestLongerPathIsTakenAfterARun(t *testing.T) {
	tr := newTraveller()
	tr.send(100, 10e-3, 1e-4)
	if moves := tr.send(recentCount-1, 15e-3, 1e-4); len(moves) != 0 {
		t.Fatalf("taken after %d samples", recentCount-1)
	}
	moves := tr.send(1, 15e-3, 1e-4)
	if len(moves) != 1 || moves[0].known || moves[0].lowest || math.Abs(moves[0].shift-5e-3) > 3e-4 {
		t.Fatalf("moves %+v", moves)
	}
	if n := tr.r.now.count(); n != recentCount {
		t.Errorf("the new path remembers %d delays, want the run of %d", n, recentCount)
	}
	if n := tr.r.paths[0].count(); n != 100 {
		t.Errorf("the old path remembers %d delays, want its own 100", n)
	}
	// Back again: one sample is enough, and the path is known.
	moves = tr.send(1, 10e-3, 1e-4)
	if len(moves) != 1 || !moves[0].known || tr.r.now != tr.r.paths[0] {
		t.Fatalf("back: %+v", moves)
	}
	moves = tr.send(recentCount, 15e-3, 1e-4)
	if len(moves) != 1 || !moves[0].known || tr.r.now != tr.r.paths[1] {
		t.Fatalf("the longer path again: %+v", moves)
	}
}

func TestShorterPathIsTakenAtOnce(t *testing.T) {
	tr := newTraveller()
	tr.send(100, 10e-3, 1e-4)
	moves := tr.send(1, 5e-3, 1e-4)
	if len(moves) != 1 || moves[0].known || !moves[0].lowest || math.Abs(moves[0].shift-5e-3) > 5e-4 {
		t.Fatalf("moves %+v", moves)
	}
}

// Congestion spreads the delays out; it is no new path.
func TestCongestionIsNoPath(t *testing.T) {
	tr := newTraveller()
	tr.send(100, 10e-3, 1e-4)
	for range 20 {
		for range 37 {
			tr.at += rawTime(64 * proto.Second)
			if m, moved := tr.r.see(tr.at, 10e-3+30e-3*tr.rng.ExpFloat64()); moved {
				t.Fatalf("congestion made a path: %+v", m)
			}
		}
		if moves := tr.send(75, 10e-3, 1e-4); len(moves) > 0 {
			t.Fatalf("the end of congestion made a path: %+v", moves[0])
		}
	}
}

// A queue that lasts can look like a longer path. When it is gone, the path is
// that from before, with what was known of it; nothing remains of the other.
func TestQueueThatLookedLikeAPathIsForgotten(t *testing.T) {
	tr := newTraveller()
	tr.send(100, 10e-3, 1e-4)
	before := tr.r.now
	if moves := tr.send(recentCount, 12e-3, 1e-4); len(moves) != 1 || moves[0].known {
		t.Fatalf("moves %+v", moves)
	}
	queue := tr.r.now
	// It runs dry by and by: no single delay is much shorter than the one before.
	var back []move
	for base := 12e-3; base > 10e-3 && len(back) == 0; base -= 2e-5 {
		back = tr.send(1, base, 0)
	}
	if len(back) != 1 || !back[0].known || back[0].from != queue || back[0].to != before || tr.r.now != before || back[0].shift < 1.5e-3 {
		t.Fatalf("back: %+v", back)
	}
	if short := before.base(); math.Abs(short-10e-3) > 1e-4 {
		t.Errorf("the base is %v", short)
	}
	if old := tr.r.spare(); old != queue {
		t.Fatalf("would forget %+v", old)
	}
	tr.r.forget(queue)
	if old := tr.r.spare(); old != nil {
		t.Errorf("would forget %+v", old)
	}
}

// The end of a detour behind a queue looks like a path as well.
func TestQueueAfterADetourIsForgotten(t *testing.T) {
	tr := newTraveller()
	tr.send(100, 10e-3, 1e-4)
	before := tr.r.now
	tr.send(matureCount, 50e-3, 1e-4)
	if moves := tr.send(1, 12e-3, 0); len(moves) != 1 || moves[0].known || moves[0].lowest {
		t.Fatalf("moves %+v", moves)
	}
	queue := tr.r.now
	for base := 12e-3; base > 10e-3 && tr.r.now == queue; base -= 2e-5 {
		tr.send(1, base, 0)
	}
	if tr.r.now != before || !queue.queue {
		t.Errorf("the path in use has a base of %v, the one before %v", tr.r.now.base(), before.base())
	}
}

// What stays longer is a path, however it wavers, and what comes to lie between is
// another.
func TestLongerPathIsNotTakenForAQueue(t *testing.T) {
	tr := newTraveller()
	tr.send(100, 10e-3, 1e-4)
	tr.send(recentCount, 12e-3, 1e-4)
	longer := tr.r.now
	if moves := tr.send(1000, 12e-3, 1e-4); len(moves) != 0 || tr.r.now != longer || longer.queue {
		t.Fatalf("moves %+v", moves)
	}
	for base := 12e-3; base > 10.5e-3; base -= 2e-5 {
		tr.send(1, base, 0)
	}
	if longer.queue || tr.r.now == tr.r.paths[0] {
		t.Error("a path of 10.5 ms was taken for one of 10")
	}
}

func TestPathsAreForgottenLeastRecentlyUsedFirst(t *testing.T) {
	tr := newTraveller()
	for i := range 8 {
		tr.send(40, 10e-3+float64(i)*5e-3, 1e-4)
		if old := tr.r.spare(); old != nil {
			if old == tr.r.now || old == tr.r.lowest() {
				t.Fatalf("would forget the path in use or the shortest")
			}
			tr.r.forget(old)
		}
		if len(tr.r.paths) > maxPaths {
			t.Fatalf("%d paths", len(tr.r.paths))
		}
	}
	if b := tr.r.lowest().base(); b > 11e-3 {
		t.Errorf("the shortest path was forgotten: %v", b)
	}
}

// What a sample says about its error: at least what it waited beyond the
// shortest, and never nothing.
func TestExcess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &path{col: -1, inherit: rapid.SampledFrom([]float64{0, 1e-4}).Draw(t, "inherit")}
		for i := range rapid.IntRange(1, 300).Draw(t, "n") {
			delay := rapid.Float64Range(1e-6, 10).Draw(t, "delay")
			p.add(rawTime(i*int(proto.Second)), delay)
			x := p.excess(delay)
			if !(x.span >= delay-p.base()) || !(x.lean >= 0) || !(x.sigma >= minScale) || x.span-x.span != 0 || x.lean > x.span+p.inherit {
				t.Fatalf("delay %v base %v: %+v", delay, p.base(), x)
			}
		}
	})
}
