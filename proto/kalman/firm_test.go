package kalman

import (
	"math"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// One reply with a stamp that is wrong looks as if there were a path of a
// twentieth of the length. What one delay says is no measure of true time: it
// pinned the clock of whoever had five servers half a round trip off, for good.
func TestOneWrongStampDoesNotMoveTheClock(t *testing.T) {
	for _, n := range []int{3, 5} {
		for _, late := range []float64{0.6, 0.95} {
			w := newWorld(t, 0.001, 1e-5)
			w.add(n, server{delay: 10e-3, jitter: 0.1e-3, poll: 16})
			once := false
			w.servers[0].edit = func(e *Exchange) {
				if w.now > 1800 && !once {
					once = true
					e.T3 = e.T3.Add(proto.FromSeconds(late * 20e-3))
				}
			}
			worst, end := 0.0, 0.0
			w.run(7200, func() {
				if w.now > 1800 {
					worst, end = max(worst, math.Abs(w.clock)), math.Abs(w.clock)
				}
			})
			t.Logf("%d servers, late by %.0f %%: off by %.0f µs at most, %.0f at the end", n, 100*late, worst*1e6, end*1e6)
			if worst > 2e-3 {
				t.Errorf("%d servers: off by %v s", n, worst)
			}
		}
	}
}
