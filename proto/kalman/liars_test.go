package kalman

import (
	"fmt"
	"math"
	"testing"
)

// A minority that begins to lie all at once and in agreement moves nothing, whenever it begins.
func TestMinorityThatBeginsToLie(t *testing.T) {
	for _, honest := range []int{2, 3, 5} {
		for _, after := range []float64{5, 20, 60, 600} {
			for _, lie := range []float64{0.3, 10, -10, -378691200} {
				t.Run(fmt.Sprintf("%d honest, after %v s, by %v s", honest, after, lie), func(t *testing.T) {
					w := newWorld(t, 0.1, 20e-6)
					w.add(2*honest-1, server{delay: 5e-3, jitter: 1e-4})
					w.run(after, nil)
					steps := len(w.steps)
					for i := honest; i < len(w.servers); i++ {
						w.servers[i].offset = lie
					}
					worst := 0.0
					w.run(after+200, func() { worst = max(worst, math.Abs(w.clock)) })
					if len(w.steps) > steps+1 || worst > 0.11 {
						t.Errorf("%d steps, the clock was off by %v s", len(w.steps)-steps, worst)
					}
					if math.Abs(w.clock) > 2e-3 {
						t.Errorf("the clock is off by %v s at the end", w.clock)
					}
				})
			}
		}
	}
}
