package kalman

import (
	"fmt"
	"testing"
)

// A sample may cost at most a millisecond, however many sources there are and
// however long it has run.
func BenchmarkSample(b *testing.B) {
	for _, n := range []int{1, 4, 16} {
		for _, hours := range []float64{1, 24} {
			b.Run(fmt.Sprintf("sources=%d/hours=%g", n, hours), func(b *testing.B) {
				w := newWorld(nil, 0.1, 2e-5)
				w.add(n, server{delay: 5e-3, jitter: 5e-4})
				w.run(hours*3600, nil)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					w.advance(w.now + 16)
					w.exchange(w.servers[i%n])
					i++
				}
			})
		}
	}
}

// Nothing that is remembered grows without end.
func TestMemoryIsBounded(t *testing.T) {
	w := newWorld(t, 0.1, 2e-5)
	w.add(2, server{delay: 5e-3, jitter: 5e-4})
	for i := range 3000 {
		w.advance(w.now + 16)
		s := w.servers[i%2]
		s.delay = 5e-3 * float64(1+i/100%7) // the route changes now and then
		w.exchange(s)
	}
	for _, s := range w.d.sources {
		if n := len(s.route.paths); n > maxPaths {
			t.Errorf("%d paths", n)
		}
		for _, p := range s.route.paths {
			if len(p.delays.seen) > windowSize || len(p.delays.sorted) != len(p.delays.seen) {
				t.Errorf("%d delays, %d sorted", len(p.delays.seen), len(p.delays.sorted))
			}
		}
		if len(s.backlog) > youth || len(s.route.recent) > recentCount {
			t.Errorf("backlog %d, recent %d", len(s.backlog), len(s.route.recent))
		}
	}
	if len(w.d.clock.segs) > maxSegments || len(w.d.joint.cols) > 2*maxPaths {
		t.Errorf("%d segments, %d biases", len(w.d.clock.segs), len(w.d.joint.cols))
	}
}
