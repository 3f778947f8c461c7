package kalman

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/proto"
)

// sound fails when something that is handed out is not a number, or beyond
// what a clock can be asked for.
func sound(t *rapid.T, d *Discipline, now proto.Now, out Decision) {
	if a := out.Steer; a != nil {
		if !(math.Abs(a.Frequency) <= clockLimit) || !(math.Abs(a.Slew) <= 2*clockLimit) || a.For < 0 {
			t.Fatalf("asks the clock for %+v", *a)
		}
		if a.Step != 0 && a.Slew != 0 {
			t.Fatalf("a step and a slew at once: %+v", *a)
		}
	}
	e := d.Estimate(now)
	for _, v := range []float64{e.Frequency, e.FrequencySigma, e.DispersionRate} {
		if v-v != 0 {
			t.Fatalf("estimate %+v", e)
		}
	}
	if e.Sigma < 0 || e.RootDelay < 0 || e.RootDispersion < 0 || !(e.DispersionRate > 0) || !(e.FrequencySigma >= 0) {
		t.Fatalf("estimate %+v", e)
	}
	for id := range SourceID(5) {
		if s := d.Source(now, id); s.Sigma < 0 || s.Delay < 0 {
			t.Fatalf("source %d: %+v", id, s)
		}
	}
	if d.joint.started {
		healthy(t, &d.joint)
	}
}

// Whatever servers send and clocks do, nothing breaks and nothing absurd is
// asked for.
func TestNothingBreaksTheDiscipline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{MinimumAgreeing: rapid.IntRange(0, 3).Draw(t, "agreeing"), SingleStep: forever, StartupStep: forever}
		odd := []float64{0, math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e-300, 1e300, 1e-9, 0.1}
		if rapid.Bool().Draw(t, "odd settings") {
			pick := func() *float64 { v := rapid.SampledFrom(odd).Draw(t, "setting"); return &v }
			cfg.Algorithm = Algorithm{
				StepThreshold: pick(), SlewMaximumFrequency: pick(), SlewMinimumDuration: pick(), MaximumFrequencySteer: pick(),
				MaximumSourceUncertainty: pick(), InitialFrequencyUncertain: pick(), InitialWander: pick(),
				MeddlingThreshold: pick(), RangeStatisticalWeight: pick(), RangeDelayWeight: pick(),
			}
		}
		d := New(cfg, Saved{Frequency: rapid.SampledFrom(odd).Draw(t, "saved"), Sigma: rapid.SampledFrom(odd).Draw(t, "sigma")})
		now := proto.Now{Mono: 1e9, Wall: proto.Timestamp(rapid.Uint64().Draw(t, "wall"))}
		span := rapid.SampledFrom([]float64{1e-6, 1e-3, 1, 1e3, 1e9})
		duration := func(name string) proto.Duration {
			if rapid.IntRange(0, 20).Draw(t, name+" any") == 0 {
				return proto.Duration(rapid.Int64().Draw(t, name))
			}
			s := span.Draw(t, name+" span")
			return proto.FromSeconds(rapid.Float64Range(-s, s).Draw(t, name))
		}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			pause := proto.FromSeconds(rapid.Float64Range(0, 100).Draw(t, "pause"))
			now.Mono = now.Mono.Add(pause.Std())
			now.Wall = now.Wall.Add(pause)
			id := SourceID(rapid.IntRange(0, 4).Draw(t, "source"))
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				d.Add(id, SourceConfig{
					PollMin: int8(rapid.IntRange(-3, 20).Draw(t, "min")), PollMax: int8(rapid.IntRange(-3, 20).Draw(t, "max")),
					PollStart: int8(rapid.IntRange(-3, 20).Draw(t, "start")), Voting: rapid.Bool().Draw(t, "voting"),
				})
			case 1:
				d.Remove(id)
			case 2:
				d.Reachable(id, rapid.Bool().Draw(t, "reachable"))
			case 3:
				by := duration("by")
				now.Wall = now.Wall.Add(by)
				d.Jumped(now, by, time.Duration(rapid.Int64().Draw(t, "slept")))
			case 4:
				now.Wall = now.Wall.Add(duration("silent jump"))
			case 5:
				d.Observe(now, id, Reference{
					Stamp: proto.Stamp{At: now.Wall.Add(duration("stamp")), Err: duration("err")}, Offset: duration("offset"),
					Precision: duration("precision"), Accuracy: duration("accuracy"), Period: duration("period"),
				})
			default:
				t4 := now.Wall.Add(duration("t4"))
				t1 := t4.Add(-duration("rtt"))
				t2 := t1.Add(duration("t2"))
				d.Observe(now, id, Exchange{
					T1: proto.Stamp{At: t1, Err: duration("e1")}, T4: proto.Stamp{At: t4}, T2: t2, T3: t2.Add(duration("t3")),
					RootDelay: duration("root delay"), RootDispersion: duration("dispersion"),
					Precision: int8(rapid.IntRange(-128, 127).Draw(t, "precision")), Leap: proto.Leap(rapid.IntRange(0, 3).Draw(t, "leap")),
					Stratum: uint8(rapid.IntRange(0, 20).Draw(t, "stratum")),
				})
			}
			out := d.Decide(now)
			sound(t, d, now, out)
			if out.Steer != nil {
				if rapid.IntRange(0, 5).Draw(t, "refuse") == 0 {
					d.SteerFailed(now)
				} else {
					now.Wall = now.Wall.Add(out.Steer.Step)
					d.Applied(Applied{At: now.Wall, Mono: now.Mono, Adjustment: *out.Steer})
				}
			}
			sound(t, d, now, Decision{})
		}
	})
}
