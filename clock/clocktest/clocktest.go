// Package clocktest is the conformance suite of clock.Clock, and a machine to
// run it on whose clocks run, are set and stop as the test wants.
package clocktest

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Subject is a clock to be tested.
type Subject struct {
	// Open opens the clock on a machine.
	Open func(*testing.T, *World) clock.Clock
	// Unit and Reach are the resolution and the range of its frequency, s/s.
	Unit, Reach float64
}

// nanosecond is the resolution of the machine's clocks.
const nanosecond = proto.Second / 1_000_000_000

// fixture is a clock on a machine.
type fixture struct {
	*testing.T
	*World
	clock.Clock
	Subject
}

// Run tests that a clock is one.
func Run(t *testing.T, s Subject) {
	ages := map[string]time.Time{
		"2026": time.Date(2026, 11, 20, 23, 0, 0, 0, time.UTC),
		"2036": time.Date(2036, 2, 7, 6, 28, 10, 0, time.UTC), // 6 s before the era ends
	}
	for name, test := range map[string]func(*fixture){
		"StepIsExact":                step,
		"RunsAtTheFrequencyApplied":  frequency,
		"SlewEndsByItself":           slew,
		"SlewIsMonotone":             monotone,
		"AdjustmentReplacesASlew":    replace,
		"RangeIsReported":            reach,
		"NonsenseIsRefused":          nonsense,
		"CloseLeavesTheBase":         closing,
		"ScaleIsTheCurrentSegment":   scale,
		"ConvertKeepsTheMoment":      convert,
		"WatchIgnoresOwnAdjustments": ownAdjustments,
		"WatchNoticesSuspend":        suspend,
		"FollowsAnyPlan":             anyPlan,
		"StatusIsTaken":              status,
	} {
		t.Run(name, func(t *testing.T) {
			for age, start := range ages {
				t.Run(age, func(t *testing.T) {
					w := NewWorld(start)
					test(&fixture{T: t, World: w, Clock: s.Open(t, w), Subject: s})
				})
			}
		})
	}
}

func (f *fixture) now() proto.Timestamp {
	f.Helper()
	at, err := f.Now()
	if err != nil {
		f.Fatal(err)
	}
	return at
}

func (f *fixture) apply(a kalman.Adjustment) kalman.Applied {
	f.Helper()
	out, err := f.Apply(a)
	if err != nil {
		f.Fatalf("%+v: %v", a, err)
	}
	return out
}

// gain is how far the clock gets ahead of CLOCK_MONOTONIC_RAW while d passes.
func (f *fixture) gain(d time.Duration) proto.Duration {
	before, raw := f.now(), f.Raw()
	f.Advance(d)
	return f.now().Sub(before) - proto.FromStd(time.Duration(f.Raw()-raw))
}

// near checks a difference of times to a few nanoseconds.
func (f *fixture) near(what string, got, want proto.Duration, within proto.Duration) {
	f.Helper()
	if (got - want).Abs() > within {
		f.Errorf("%s: %v, want %v (%d units off, %d allowed)", what, got, want, got-want, within)
	}
}

func step(f *fixture) {
	for _, ns := range []time.Duration{
		1, -1, 999_999_999, -999_999_999, time.Second, -time.Second, 1_500_000_001, -1_500_000_001,
		250 * time.Millisecond, 30 * 24 * time.Hour, -30 * 24 * time.Hour,
	} {
		before := f.now()
		out := f.apply(kalman.Adjustment{Step: proto.FromStd(ns)})
		after := f.now()
		// A Timestamp holds a nanosecond to a quarter of one.
		f.near("step by "+ns.String(), after.Sub(before), proto.FromStd(ns), nanosecond/2)
		f.near("the step reported", out.Step, proto.FromStd(ns), 1)
		if out.At != after || out.Mono != f.Boot() {
			f.Errorf("applied at %v and %v; the clocks show %v and %v", out.At, out.Mono, after, f.Boot())
		}
	}
}

func frequency(f *fixture) {
	for _, want := range []float64{0, 30e-6, -30e-6, 1e-9, 123.456e-6, -f.Reach, f.Reach} {
		out := f.apply(kalman.Adjustment{Frequency: want})
		if math.Abs(out.Frequency-want) > f.Unit/2*(1+1e-9) {
			f.Errorf("frequency %v applied for %v: the unit is %v", out.Frequency, want, f.Unit)
		}
		if out.Slew != 0 || out.For != 0 || out.Step != 0 || f.Timers() != 0 {
			f.Errorf("a frequency became %+v and %d timers", out, f.Timers())
		}
		f.near("gain in 1000 s", f.gain(1000*time.Second), proto.FromSeconds(out.Frequency*1000), 2*nanosecond)
	}
}

func slew(f *fixture) {
	for _, a := range []kalman.Adjustment{
		{Slew: 200e-6, For: 8 * time.Second},
		{Slew: -200e-6, For: 8 * time.Second},
		{Slew: 50e-6, For: 1234567 * time.Microsecond, Frequency: -20e-6, Step: proto.Second},
		{Slew: -1e-6, For: time.Hour, Frequency: 40e-6},
	} {
		out := f.apply(a)
		if math.Abs(out.Slew-a.Slew) > f.Unit*(1+1e-9) || out.For < a.For*99/100 || out.For > a.For*101/100 {
			f.Errorf("%+v became %+v", a, out.Adjustment)
		}
		// The slew takes For on this clock.
		onRaw := func(d time.Duration) time.Duration {
			return time.Duration(float64(d) / (1 + out.Frequency + out.Slew))
		}
		half := f.gain(onRaw(out.For / 2))
		f.near("gain in the first half", half, proto.FromSeconds(onRaw(out.For/2).Seconds()*(out.Frequency+out.Slew)), 3*nanosecond)
		rest := f.gain(onRaw(out.For-out.For/2) + time.Second)
		want := onRaw(out.For).Seconds()*(out.Frequency+out.Slew) + out.Frequency
		f.near("gain by the slew and a second", half+rest, proto.FromSeconds(want), 6*nanosecond)
		f.near("gain in the minute after", f.gain(time.Minute), proto.FromSeconds(out.Frequency*60), 2*nanosecond)
		if n := f.Timers(); n != 0 {
			f.Errorf("%d timers are left", n)
		}
	}
}

func monotone(f *fixture) {
	f.apply(kalman.Adjustment{Frequency: -f.Reach / 2, Slew: -f.Reach / 2, For: 300 * time.Millisecond})
	last := f.now()
	for i := range 5000 {
		f.Advance(time.Duration(i*7919) % (200 * time.Microsecond))
		if now := f.now(); now.Sub(last) < 0 {
			f.Fatalf("went back by %d units at reading %d", last.Sub(now), i)
		} else {
			last = now
		}
		if i == 2500 { // in the slew: replacing it is no step
			out := f.apply(kalman.Adjustment{Slew: f.Reach / 2, For: 100 * time.Millisecond})
			if now := f.now(); out.At.Sub(last).Abs() > nanosecond/2 || now != out.At {
				f.Fatalf("an adjustment without a step moved the clock from %v to %v", last, now)
			}
		}
	}
}

func replace(f *fixture) {
	f.apply(kalman.Adjustment{Slew: 100e-6, For: 10 * time.Second})
	f.Advance(time.Second)
	out := f.apply(kalman.Adjustment{Frequency: 5e-6})
	if n := f.Timers(); n != 0 {
		f.Errorf("%d timers wait for the end of no slew", n)
	}
	f.near("gain in 100 s", f.gain(100*time.Second), proto.FromSeconds(out.Frequency*100), 2*nanosecond)
	f.apply(kalman.Adjustment{Slew: 100e-6, For: 10 * time.Second})
	f.Advance(9 * time.Second)
	out = f.apply(kalman.Adjustment{Slew: -100e-6, For: 10 * time.Second})
	f.Advance(5 * time.Second) // past the end of the slew before
	f.near("gain in 2 s", f.gain(2*time.Second), proto.FromSeconds(out.Slew*2), 2*nanosecond)
	if n := f.Timers(); n > 1 {
		f.Errorf("%d timers wait for the end of one slew", n)
	}
}

func reach(f *fixture) {
	out := f.apply(kalman.Adjustment{Frequency: 3 * f.Reach})
	if out.Frequency != f.Reach {
		f.Errorf("frequency %v applied, the range ends at %v", out.Frequency, f.Reach)
	}
	out = f.apply(kalman.Adjustment{Frequency: f.Reach, Slew: f.Reach, For: 10 * time.Second})
	if out.Slew != 0 || out.For != 0 {
		f.Errorf("a slew without room became %+v", out.Adjustment)
	}
	// A slew that is cut takes longer and corrects as much.
	out = f.apply(kalman.Adjustment{Frequency: f.Reach * 3 / 4, Slew: f.Reach, For: 10 * time.Second})
	if math.Abs(out.Slew-f.Reach/4) > f.Unit || math.Abs(out.Slew*out.For.Seconds()/(f.Reach*10)-1) > 1e-6 {
		f.Errorf("a slew with a quarter of the room became %+v", out.Adjustment)
	}
	out = f.apply(kalman.Adjustment{Frequency: f.Reach - f.Unit, Slew: 1e9, For: math.MaxInt64})
	if out.For != 24*time.Hour || out.Slew <= 0 {
		f.Errorf("a slew for ever became %+v", out.Adjustment)
	}
}

func nonsense(f *fixture) {
	nan, inf := math.NaN(), math.Inf(1)
	before := f.apply(kalman.Adjustment{Frequency: 10e-6})
	for _, a := range []kalman.Adjustment{
		{Frequency: nan}, {Frequency: inf}, {Slew: nan, For: 1}, {Slew: -inf, For: 1}, {For: -1, Slew: 1e-6},
		{Frequency: math.MaxFloat64, Slew: math.MaxFloat64, For: 1}, {Step: proto.Second, Frequency: nan},
	} {
		if _, err := f.Apply(a); !errors.Is(err, clock.ErrAdjustment) {
			f.Errorf("%+v: %v", a, err)
		}
	}
	f.near("gain in 100 s", f.gain(100*time.Second), proto.FromSeconds(before.Frequency*100), 2*nanosecond)
}

func closing(f *fixture) {
	out := f.apply(kalman.Adjustment{Frequency: 7e-6, Slew: 100e-6, For: time.Minute})
	f.Advance(time.Second)
	for range 2 { // again does no harm
		if err := f.Close(); err != nil {
			f.Fatal(err)
		}
	}
	if n := f.Timers(); n != 0 {
		f.Errorf("%d timers are left", n)
	}
	f.near("gain in 100 s", f.gain(100*time.Second), proto.FromSeconds(out.Frequency*100), 2*nanosecond)
	if _, err := f.Apply(kalman.Adjustment{Step: 1}); !errors.Is(err, clock.ErrClosed) {
		f.Errorf("steered after it was closed: %v", err)
	}
}

func scale(f *fixture) {
	for _, a := range []kalman.Adjustment{
		{Frequency: 50e-6},
		{Step: -3 * proto.Second, Slew: 100e-6, For: time.Minute},
	} {
		f.apply(a)
		s := f.Scale()
		f.Advance(30 * time.Second)
		f.near("the scale 30 s later", s.Time(f.Raw()).Sub(f.now()), 0, 3*nanosecond)
	}
	f.Advance(time.Minute)
	s := f.Scale()
	f.Advance(time.Minute)
	f.near("the scale after a slew", s.Time(f.Raw()).Sub(f.now()), 0, 2*nanosecond)
}

// convert takes stamps and converts them later, as packets are, with own
// adjustments before, in between and after.
func convert(f *fixture) {
	f.SetCost(200 * time.Nanosecond)
	for i := range 50 {
		out := f.apply(kalman.Adjustment{Frequency: float64(i) * 1e-6, Slew: float64(25-i) * 4e-6, For: 3 * time.Second})
		f.Advance(time.Duration(i) * 200 * time.Millisecond)
		f.SetCost(0)
		stamp, want := f.Real(), f.now()
		f.SetCost(200 * time.Nanosecond)
		f.Advance(time.Duration(i) * 100 * time.Microsecond)
		got, e, err := f.Convert(stamp)
		if err != nil {
			f.Fatal(err)
		}
		if got.Sub(want).Abs() > e+2*nanosecond {
			f.Errorf("%d: stamp converted to %v, was taken at %v, error %v", i, got, want, e)
		}
		if e < 0 || e > 10*proto.Second/1_000_000 {
			f.Errorf("%d: error %v after %+v", i, e, out)
		}
	}
}

func ownAdjustments(f *fixture) {
	watch := clock.NewWatch(f.Clock)
	f.SetCost(300 * time.Nanosecond)
	for i := range 20 {
		f.apply(kalman.Adjustment{Step: proto.Duration(i-10) * proto.Second, Frequency: float64(i-10) / 10 * f.Reach, Slew: f.Reach, For: time.Second})
		f.Advance(4 * time.Second)
		if ev, moved := watch.Look(); moved {
			f.Errorf("our own adjustment looks like %+v", ev)
		}
	}
}

func suspend(f *fixture) {
	watch := clock.NewWatch(f.Clock)
	before, boot := f.now(), f.Boot()
	f.Advance(time.Second)
	f.Suspend(time.Hour)
	f.Advance(time.Second)
	ev, moved := watch.Look()
	if !moved || ev.Slept != time.Hour {
		f.Fatalf("an hour's sleep looks like %+v", ev)
	}
	// By is how far this clock fell behind CLOCK_BOOTTIME.
	f.near("moved", ev.By, f.now().Sub(before)-proto.FromStd(f.Boot().Sub(boot)), proto.Second/1000)
	if ev, moved := watch.Look(); moved {
		f.Errorf("reported again: %+v", ev)
	}
}

func status(f *fixture) {
	for _, s := range []engine.ClockStatus{
		{},
		{Synchronised: true, Leap: proto.LeapInsert, EstError: 1, MaxError: proto.Second},
		{Leap: proto.LeapUnsynchronised, EstError: proto.MaxDuration, MaxError: proto.MaxDuration},
	} {
		if err := f.SetStatus(s); err != nil {
			f.Errorf("%+v: %v", s, err)
		}
	}
}
