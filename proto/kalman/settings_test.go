package kalman

import (
	"math"
	"testing"

	"github.com/ntpd-go/ntpd-go/proto"
)

// A key that is set keeps ntpd-rs' meaning.
func TestAlgorithmKeys(t *testing.T) {
	set := func(v float64) *float64 { return &v }
	cfg := func(a Algorithm) Config {
		return Config{MinimumAgreeing: 1, SingleStep: forever, StartupStep: forever, Algorithm: a}
	}
	one := func(cfg Config, offset, drift float64, s server, until float64) *world {
		w := newWorldWith(t, offset, drift, cfg)
		w.add(1, s)
		w.run(until, nil)
		return w
	}
	lan := server{delay: 1e-3, jitter: 1e-5}

	t.Run("step-threshold", func(t *testing.T) {
		if w := one(cfg(Algorithm{StepThreshold: set(0.2)}), 0.1, 0, lan, 20); len(w.steps) != 0 {
			t.Errorf("0.1 s was stepped with a threshold of 0.2 s")
		}
		if w := one(cfg(Algorithm{StepThreshold: set(0.05)}), 0.1, 0, lan, 20); len(w.steps) != 1 {
			t.Errorf("0.1 s was not stepped with a threshold of 0.05 s")
		}
		w := one(cfg(Algorithm{StepThreshold: set(0.05)}), 0, 0, lan, 600)
		w.servers[0].offset = 0.1
		w.run(1200, nil)
		if len(w.steps) != 1 {
			t.Errorf("once synchronised the key was forgotten: steps %v", w.steps)
		}
	})
	t.Run("slew-maximum-frequency-offset", func(t *testing.T) {
		w := newWorldWith(t, 0.009, 0, cfg(Algorithm{SlewMaximumFrequency: set(50e-6)}))
		w.add(1, lan)
		fastest := 0.0
		w.run(400, func() { fastest = max(fastest, math.Abs(w.slew)) })
		if fastest > 50.1e-6 || fastest < 49e-6 {
			t.Errorf("slewed at %v ppm", fastest*1e6)
		}
	})
	t.Run("slew-minimum-duration", func(t *testing.T) {
		w := newWorldWith(t, 0.0001, 0, cfg(Algorithm{SlewMinimumDuration: set(40)}))
		shortest := math.Inf(1)
		w.alter = func(a *Adjustment) {
			if a.Slew != 0 {
				shortest = min(shortest, a.For.Seconds())
			}
		}
		w.add(1, lan)
		w.run(400, nil)
		if shortest < 40 {
			t.Errorf("a slew of %v s", shortest)
		}
	})
	t.Run("maximum-frequency-steer", func(t *testing.T) {
		if w := one(cfg(Algorithm{MaximumFrequencySteer: set(20e-6)}), 0, 50e-6, lan, 600); math.Abs(w.base+20e-6) > 1e-9 {
			t.Errorf("frequency %v ppm", w.base*1e6)
		}
	})
	t.Run("maximum-source-uncertainty", func(t *testing.T) {
		w := one(cfg(Algorithm{MaximumSourceUncertainty: set(0.01)}), 0.1, 0, server{delay: 50e-3, jitter: 1e-3}, 600)
		if len(w.steps) != 0 || w.state(0) != Unusable || w.d.Source(w.time(), 1).Reason == "" {
			t.Errorf("a source with 50 ms of uncertainty was used: %v", w.state(0))
		}
	})
	t.Run("range-delay-weight", func(t *testing.T) {
		disagree := func(weight *float64) bool {
			w := newWorldWith(t, 0, 0, cfg(Algorithm{RangeDelayWeight: weight}))
			w.add(1, server{delay: 10e-3, jitter: 1e-5})
			w.add(1, server{delay: 10e-3, jitter: 1e-5, offset: 0.012})
			w.run(300, nil)
			return w.state(0) == NoMajority
		}
		if disagree(nil) || !disagree(set(0.25)) {
			t.Errorf("12 ms apart over 20 ms: our default disagrees %v, ntpd-rs' weight %v", disagree(nil), disagree(set(0.25)))
		}
	})
	t.Run("ignore-server-dispersion", func(t *testing.T) {
		yes := true
		vague := func(ignore *bool) float64 {
			w := newWorldWith(t, 0, 0, cfg(Algorithm{IgnoreServerDispersion: ignore}))
			w.add(1, server{delay: 1e-3, jitter: 1e-5, edit: func(e *Exchange) { e.RootDispersion = proto.Second / 2 }})
			w.run(60, nil)
			return w.d.sources[0].route.now.prior
		}
		if a, b := vague(nil), vague(&yes); a < 0.2 || b > 1e-3 {
			t.Errorf("variance of the bias %v, and %v when ignored", a, b)
		}
	})
	t.Run("local-stratum", func(t *testing.T) {
		c := cfg(Algorithm{})
		c.LocalStratum = 5
		w := one(c, 0.1, 0, server{delay: 1e-3, edit: func(e *Exchange) { e.Stratum = 5 }}, 60)
		if len(w.steps) != 0 || w.state(0) != Unusable {
			t.Errorf("a source of the local stratum was used: %v", w.state(0))
		}
	})
}

// Values that make no sense keep the default.
func TestSenselessSettings(t *testing.T) {
	want := settle(Config{MinimumAgreeing: 1})
	for _, v := range []float64{math.NaN(), -1} {
		got := settle(Config{Algorithm: Algorithm{StepThreshold: &v, SlewMaximumFrequency: &v, MaximumFrequencySteer: &v, MeddlingThreshold: &v}})
		if got.stepThreshold != want.stepThreshold || got.slewMax != want.slewMax || got.frequencyMax != want.frequencyMax || got.meddling != want.meddling {
			t.Errorf("%v: %+v", v, got)
		}
		if got.MinimumAgreeing != 1 || got.LocalStratum != proto.MaxStratum {
			t.Errorf("%v: %+v", v, got)
		}
	}
}
