package kalman

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/proto"
)

// A clock that is steered in any way is taken back to its oscillator exactly.
func TestLedgerFollowsAnyCorrection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		epoch := proto.Timestamp(rapid.Uint64().Draw(t, "epoch"))
		var l ledger
		l.start(epoch, 0)
		clock, raw := epoch, rawTime(epoch)
		base, slew, left := 0.0, 0.0, 0.0
		// run lets the oscillator count on, in double precision per piece.
		run := func(d float64) {
			for d > 0 {
				f, dt := base, d
				if left > 0 {
					f += slew
					dt = min(d, left/(1+f))
					if left -= dt * (1 + f); left < 1e-12 {
						left = 0
					}
				}
				raw = rawTime(proto.Timestamp(raw).Add(proto.FromSeconds(dt)))
				clock = clock.Add(proto.FromSeconds(dt)).Add(proto.FromSeconds(dt * f))
				d -= dt
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "corrections") {
			run(rapid.Float64Range(0.001, 2000).Draw(t, "pause"))
			if got := l.raw(clock).since(raw); math.Abs(got) > 1e-7 {
				t.Fatalf("raw time is off by %g s", got)
			}
			if got := l.clock(l.raw(clock)).Sub(clock).Seconds(); math.Abs(got) > 1e-8 {
				t.Fatalf("there and back is off by %g s", got)
			}
			if rapid.IntRange(0, 4).Draw(t, "who") == 0 {
				by := proto.FromSeconds(rapid.Float64Range(-1e6, 1e6).Draw(t, "by"))
				clock = clock.Add(by)
				l.jump(clock, by)
				continue
			}
			a := Adjustment{
				Step:      proto.FromSeconds(rapid.Float64Range(-1e5, 1e5).Draw(t, "step")),
				Frequency: rapid.Float64Range(-5e-4, 5e-4).Draw(t, "frequency"),
				Slew:      rapid.Float64Range(-5e-4, 5e-4).Draw(t, "slew"),
				For:       time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "for")),
			}
			if rapid.Bool().Draw(t, "no step") {
				a.Step = 0
			}
			clock = clock.Add(a.Step)
			base, slew, left = a.Frequency, a.Slew, a.For.Seconds()
			if a.For == 0 {
				slew = 0
			}
			l.apply(Applied{At: clock, Adjustment: a})
		}
		if len(l.segs) > maxSegments {
			t.Fatalf("%d segments", len(l.segs))
		}
	})
}

func TestExchangesThatContradictThemselves(t *testing.T) {
	base := proto.FromUnix(1.79e9, 0)
	at := func(s float64) proto.Timestamp { return base.Add(proto.FromSeconds(s)) }
	good := Exchange{T1: proto.Stamp{At: at(0)}, T2: at(1), T3: at(1.001), T4: proto.Stamp{At: at(0.011)}, Precision: -20}
	var l ledger
	l.start(base, 0)
	m, bad := l.exchange(good, maxRoundTrip)
	if bad != "" || math.Abs(m.delay-0.01) > 1e-9 || math.Abs(m.offset.Seconds()-0.995) > 1e-9 {
		t.Fatalf("a good exchange: %+v, %q", m, bad)
	}
	tests := []struct {
		name string
		edit func(*Exchange)
	}{
		{"no T1", func(e *Exchange) { e.T1.At = 0 }},
		{"no T2", func(e *Exchange) { e.T2 = 0 }},
		{"no T3", func(e *Exchange) { e.T3 = 0 }},
		{"no T4", func(e *Exchange) { e.T4.At = 0 }},
		{"T4 before T1", func(e *Exchange) { e.T4.At = at(-0.001) }},
		{"T3 before T2", func(e *Exchange) { e.T3 = at(0.999) }},
		{"server slower than the exchange", func(e *Exchange) { e.T3 = at(1.012) }},
		{"a round trip of 17 s", func(e *Exchange) { e.T4.At = at(17) }},
		{"a server that held it for a year", func(e *Exchange) { e.T3 = at(3e7) }},
	}
	for _, tt := range tests {
		e := good
		tt.edit(&e)
		if m, bad := l.exchange(e, maxRoundTrip); bad == "" {
			t.Errorf("%s: accepted as %+v", tt.name, m)
		}
	}
	// A delay that is negative by less than the stamps can tell is a short one.
	e := good
	e.T3 = at(1.011)
	e.T3 = e.T3.Add(proto.FromSeconds(1e-7))
	if m, bad := l.exchange(e, maxRoundTrip); bad != "" || !(m.delay > 0) {
		t.Errorf("delay of -0.1 µs: %+v, %q", m, bad)
	}
}

// Offsets beyond half the era wrap as RFC 5905 section 6 says, and their mean
// is taken without overflow.
func TestOffsetsAcrossTheEra(t *testing.T) {
	base := proto.Timestamp(0xffff_ffff_8000_0000) // half a second before era 1
	var l ledger
	l.start(base, 0)
	e := Exchange{
		T1: proto.Stamp{At: base}, T4: proto.Stamp{At: base.Add(proto.Second)},
		T2: base.Add(proto.Second * 3 / 4), T3: base.Add(proto.Second * 3 / 4),
	}
	m, bad := l.exchange(e, maxRoundTrip)
	if bad != "" || m.offset != proto.Second/4 {
		t.Errorf("offset %v, %q; want +0.25 s", m.offset, bad)
	}
}
