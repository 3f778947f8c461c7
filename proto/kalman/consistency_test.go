package kalman

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/ntpd-go/ntpd-go/proto"
)

// With normal waits the innovations, divided by what the filter expects of
// them, are standard normal: their squares sum to a χ² variable.
func TestInnovationsAreConsistent(t *testing.T) {
	for seed := range uint64(4) {
		w := newWorld(t, 0.1, 20e-6)
		w.rng = rand.New(rand.NewPCG(seed, 77))
		const j, wander, poll = 1e-4, 1e-9, 64.0
		d := w.d
		d.Add(1, SourceConfig{PollMin: 6, PollMax: 6, PollStart: 6, Voting: true})
		sum, n := 0.0, 0
		for i := range 1500 {
			for range int(poll) {
				w.drift += wander * w.rng.NormFloat64()
				w.advance(w.now + 1)
			}
			up, down := 2e-3+j*w.rng.NormFloat64(), 2e-3+j*w.rng.NormFloat64()
			t1 := w.wall()
			w.advance(w.now + up)
			t2 := w.epoch.Add(proto.FromSeconds(w.now))
			w.advance(w.now + down)
			e := Exchange{T1: proto.Stamp{At: t1}, T2: t2, T3: t2, T4: proto.Stamp{At: w.wall()}, Precision: -25, Stratum: 1}
			if i > 300 {
				m, bad := d.clock.exchange(e, maxRoundTrip)
				if bad != "" {
					t.Fatal(bad)
				}
				later := d.joint
				for q := range later.model { // predict a copy
					later.model[q] = state{append([]float64(nil), d.joint.model[q].m...), append([]float64(nil), d.joint.model[q].p...)}
					later.mixed[q] = state{}
				}
				later.predict(m.at)
				v, s := later.expect(m.at, m.offset, d.sources[0].route.now)
				sum += v * v / (s + j*j/2)
				n++
			}
			d.Observe(w.time(), 1, e)
			w.decide()
		}
		p := distuv.ChiSquared{K: float64(n)}.CDF(sum)
		t.Logf("seed %d: mean square %.3f over %d innovations, p = %.4f", seed, sum/float64(n), n, p)
		if p < 1e-4 || p > 1-1e-4 {
			t.Errorf("seed %d: the innovations are not what the filter expects: mean square %.3f, p = %g", seed, sum/float64(n), math.Min(p, 1-p))
		}
	}
}
