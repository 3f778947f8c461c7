package sim

import (
	"fmt"
	"testing"
)

// A server that lies, and claims so large an error that the truth is within,
// agrees with everybody. It moves nothing, even if it is nearer than all others
// and was honest at first; nor do two of five. And one that claims nothing
// does not drive out those who claim more than they are off.
func TestALiarWithAnExcuseMovesNothing(t *testing.T) {
	link := func(delay, jitter float64) Link {
		return Link{Base: delay, Jitter: Jitter{Dist: "exponential", Scale: jitter}}
	}
	const honestJitter = 3e-4
	for _, tt := range []struct {
		honest, liars      int
		delay, near, noise float64 // one way to the honest and to the liars, and jitter of the liars' paths, s
		lie                Lie
		claimed            float64 // root dispersion of the honest, s
	}{
		{3, 1, 0.010, 50e-6, 1e-4, Lie{From: 600, Rate: 1e-3, Most: 1.2, Noise: 0.02}, 0},
		{3, 1, 0.010, 0.010, 1e-4, Lie{From: 600, Rate: 1e-3, Most: 1.2, Noise: 0.02}, 0},
		{2, 1, 0.025, 0.001, 1e-6, Lie{From: 60, Rate: 2e-4, Most: 1.2, Noise: 0.02}, 0},
		{4, 1, 0.010, 0.001, 1e-6, Lie{From: 3, Rate: 2e-4, Most: 1.2, Noise: 0.02}, 0},
		{3, 2, 0.010, 50e-6, 1e-4, Lie{From: 600, Rate: 1e-3, Most: 1.2, Noise: 0.02}, 0},
		{3, 1, 0.002, 0.001, 1e-4, Lie{From: 3, Rate: 1e-3, Most: 0.5, Noise: 0.02}, 0},
		{3, 1, 0.010, 0.001, 1e-6, Lie{From: 600, Rate: 1, Most: 0.03, Boasts: true}, 0.03},
		{3, 1, 0.010, 0.001, 1e-6, Lie{Rate: 1, Most: 0.03, Boasts: true}, 0.03},
		{4, 1, 0.010, 0.001, 1e-6, Lie{From: 600, Rate: 1e-4, Most: 0.09, Boasts: true}, 0.1},
	} {
		name := fmt.Sprintf("%d honest at %g s, %d at %g s with %+v", tt.honest, tt.delay, tt.liars, tt.near, tt.lie)
		s := &Scenario{Name: name, Duration: 3600, StatsFrom: 120, Clock: Clock{Offset: 0.1, Freq: 20e-6, Wander: 1e-9}}
		for range tt.honest {
			s.Servers = append(s.Servers, Server{Dispersion: tt.claimed, Up: link(tt.delay, honestJitter), Down: link(tt.delay, honestJitter)})
		}
		for range tt.liars {
			lie := tt.lie
			s.Servers = append(s.Servers, Server{Lie: &lie, Up: link(tt.near, tt.noise), Down: link(tt.near, tt.noise)})
		}
		for seed := range uint64(3) {
			r, err := Run(s, seed+1, nil)
			if err != nil {
				t.Fatal(err)
			}
			// The path to the honest servers allows as much by itself.
			if r.Max > tt.delay+0.003 || r.Halt != "" || r.Steps > 1 {
				t.Errorf("%s, seed %d: %.1f ms off, %d steps %s", name, seed+1, r.Max*1e3, r.Steps, r.Halt)
			}
		}
	}
}
