package clock_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/clock/clocktest"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

func openSoftware(t *testing.T, w *clocktest.World) clock.Clock {
	t.Helper()
	c, err := clock.NewSoftware(clock.SoftwareOptions{Times: w})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSoftwareIsAClock(t *testing.T) {
	clocktest.Run(t, clocktest.Subject{Open: openSoftware, Unit: 1.0 / (1 << 48), Reach: 1.0 / 8})
}

func newWorld() *clocktest.World {
	return clocktest.NewWorld(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
}

func software(t *testing.T, o clock.SoftwareOptions) *clock.Software {
	t.Helper()
	c, err := clock.NewSoftware(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func now(t *testing.T, c clock.Clock) proto.Timestamp {
	t.Helper()
	at, err := c.Now()
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestSoftwareBeginsAsWrongAsAsked: and steering by the opposite makes it
// right.
func TestSoftwareBeginsAsWrongAsAsked(t *testing.T) {
	w := newWorld()
	c := software(t, clock.SoftwareOptions{Times: w, Offset: proto.Second / 4, Frequency: 30e-6})
	if off := now(t, c).Sub(w.Real()); off != proto.Second/4 {
		t.Errorf("begins %v off", off)
	}
	w.Advance(1000 * time.Second)
	if off := now(t, c).Sub(w.Real()) - proto.Second/4 - proto.FromSeconds(0.03); off.Abs() > 4 {
		t.Errorf("after 1000 s %d units off", off)
	}
	out, err := c.Apply(kalman.Adjustment{Step: w.Real().Sub(now(t, c)), Frequency: -30e-6})
	if err != nil {
		t.Fatal(err)
	}
	w.Advance(1000 * time.Second)
	if off := now(t, c).Sub(w.Real()); off.Abs() > 4 {
		t.Errorf("steered by %+v it is %d units off", out, off)
	}
}

func TestSoftwareRefusesAnImpossibleOscillator(t *testing.T) {
	for _, f := range []float64{1, -1, math.NaN(), math.Inf(1)} {
		if _, err := clock.NewSoftware(clock.SoftwareOptions{Times: newWorld(), Frequency: f}); err == nil {
			t.Errorf("an oscillator that is wrong by %v", f)
		}
	}
	for _, f := range []float64{0.125, -0.125} {
		software(t, clock.SoftwareOptions{Times: newWorld(), Frequency: f})
	}
}

// twins are the same software clock on two machines: one whose CLOCK_REALTIME
// nobody touches, and one.
func twins(t *testing.T) (quiet, foreign *clocktest.World, q, f *clock.Software) {
	t.Helper()
	quiet, foreign = newWorld(), newWorld()
	return quiet, foreign, software(t, clock.SoftwareOptions{Times: quiet}), software(t, clock.SoftwareOptions{Times: foreign})
}

// TestForeignSteeringChangesNothing sets and slews CLOCK_REALTIME while
// packets come and go: what is served, and T1 to T4, are those of a machine
// where nobody does.
func TestForeignSteeringChangesNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*clocktest.World)
	}{
		{"slew +500 ppm", func(w *clocktest.World) { w.SetRate(500 << 16) }},
		{"slew -500 ppm", func(w *clocktest.World) { w.SetRate(-500 << 16) }},
		{"step +1 h", func(w *clocktest.World) { w.Set(time.Hour) }},
		{"step -1 h", func(w *clocktest.World) { w.Set(-time.Hour) }},
		{"step +50 ms", func(w *clocktest.World) { w.Set(50 * time.Millisecond) }},
		{"step -50 ms", func(w *clocktest.World) { w.Set(-50 * time.Millisecond) }},
		{"step of 2 ms", func(w *clocktest.World) { w.Set(2 * time.Millisecond) }},
	} {
		// The clock is touched before, while or after a stamp waits.
		for moment := range 3 {
			t.Run(fmt.Sprintf("%s at moment %d", tt.name, moment), func(t *testing.T) {
				quiet, foreign, q, f := twins(t)
				for i := range 40 {
					stamps := [2]proto.Timestamp{}
					touch := func(at int) {
						if i == 20 && at == moment {
							tt.do(foreign)
						}
					}
					advance := func(d time.Duration) { quiet.Advance(d); foreign.Advance(d) }
					advance(time.Second)
					touch(0)
					stamps[0], stamps[1] = quiet.Real(), foreign.Real()
					advance(40 * time.Microsecond)
					touch(1)
					advance(60 * time.Microsecond)
					a, _, errA := q.Convert(stamps[0])
					b, e, errB := f.Convert(stamps[1])
					touch(2)
					if errA != nil || errB != nil {
						t.Fatalf("%v, %v", errA, errB)
					}
					if off := b.Sub(a).Abs(); off > e || e > proto.Second/1000*3 {
						t.Errorf("%d: stamp off by %v, error %v", i, off, e)
					}
					if i != 20 && e > proto.Second/1_000_000 {
						t.Errorf("%d: error %v in quiet times", i, e)
					}
					if now(t, q) != now(t, f) {
						t.Fatalf("%d: serves %v instead of %v", i, now(t, f), now(t, q))
					}
				}
			})
		}
	}
}

func TestConvertRefusesWhatItCannotPlace(t *testing.T) {
	w := newWorld()
	c := software(t, clock.SoftwareOptions{Times: w})
	w.Advance(time.Minute)
	for name, stamp := range map[string]proto.Timestamp{
		"of the future": w.Real().Add(proto.Second / 1000),
		"too old":       w.Real().Add(-11 * proto.Second),
		"none":          0,
	} {
		if at, _, err := c.Convert(stamp); !errors.Is(err, clock.ErrStale) || at != 0 {
			t.Errorf("%s: %v, %v", name, at, err)
		}
	}
	// A stamp of this moment is not of the future, however the clocks round.
	w.SetCost(137 * time.Nanosecond)
	for range 1000 {
		if _, _, err := c.Convert(w.Real()); err != nil {
			t.Fatal(err)
		}
	}
}

// interrupted is a machine on which something comes between most readings.
type interrupted struct {
	*clocktest.World
	reads int
}

func (w *interrupted) Real() proto.Timestamp {
	w.reads++
	at := w.World.Real()
	if w.reads%4 != 2 {
		w.Advance(time.Duration(w.reads%4+1) * time.Millisecond)
	}
	return at
}

// TestConvertPicksTheTightestPair of several readings.
func TestConvertPicksTheTightestPair(t *testing.T) {
	w := &interrupted{World: newWorld()}
	c := software(t, clock.SoftwareOptions{Times: w})
	for range 8 {
		stamp, want := w.World.Real(), now(t, c)
		got, e, err := c.Convert(stamp)
		if err != nil || e > 10*proto.Second/1_000_000 || got.Sub(want).Abs() > e {
			t.Errorf("off by %v, error %v, %v", got.Sub(want), e, err)
		}
		w.reads += 3 // the quiet one comes at another place
	}
}

// TestConvertOwnsUpToSmallSteps: a stamp that waited for longer than
// CLOCK_REALTIME was set by may be from before or after that.
func TestConvertOwnsUpToSmallSteps(t *testing.T) {
	const ms = time.Millisecond
	for _, by := range []time.Duration{ms / 2, -ms / 2} {
		for _, before := range []bool{true, false} {
			w := newWorld()
			c := software(t, clock.SoftwareOptions{Times: w})
			w.Advance(ms)
			if !before {
				w.Set(by)
			}
			stamp, want := w.Real(), now(t, c)
			if before {
				w.Set(by)
			}
			w.Advance(2 * ms)
			got, e, err := c.Convert(stamp)
			if err != nil || got.Sub(want).Abs() > e || e > proto.Second/1000 {
				t.Errorf("step by %v, stamped before it: %v: off by %v, error %v, %v", by, before, got.Sub(want), e, err)
			}
			if _, e, err = c.Convert(w.Real()); err != nil || e > proto.Second/1_000_000 {
				t.Errorf("step by %v: later the error is %v, %v", by, e, err)
			}
		}
	}
}

// TestConvertRemembersAdjustments converts stamps that are older than several
// adjustments.
func TestConvertRemembersAdjustments(t *testing.T) {
	w := newWorld()
	c := software(t, clock.SoftwareOptions{Times: w})
	var stamps, want []proto.Timestamp
	for i := range 7 {
		stamps, want = append(stamps, w.Real()), append(want, now(t, c))
		w.Advance(100 * time.Millisecond)
		_, err := c.Apply(kalman.Adjustment{Step: proto.Duration(i) * proto.Second, Slew: 1e-4, For: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, stamp := range stamps {
		got, _, err := c.Convert(stamp)
		if err != nil || got.Sub(want[i]).Abs() > 4 {
			t.Errorf("stamp %d: %v, %v; want %v", i, got, err, want[i])
		}
	}
}

// TestSoftwareIsReadWhileSteered is for the race detector.
func TestSoftwareIsReadWhileSteered(t *testing.T) {
	c := software(t, clock.SoftwareOptions{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2000 {
			if _, err := c.Apply(kalman.Adjustment{Slew: float64(i%3-1) * 1e-4, For: time.Microsecond * 50}); err != nil {
				t.Error(err)
			}
		}
	}()
	machine := clock.Machine()
	for last := now(t, c); ; {
		at := now(t, c)
		if at.Sub(last) < -proto.Second/1_000_000 {
			t.Fatalf("went back from %v to %v", last, at)
		}
		last = at
		if _, _, err := c.Convert(machine.Real()); err != nil && !errors.Is(err, clock.ErrStale) {
			t.Fatal(err)
		}
		_ = c.Scale()
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestStatusIsKept(t *testing.T) {
	c := software(t, clock.SoftwareOptions{Times: newWorld()})
	if c.Status().Leap != proto.LeapUnsynchronised {
		t.Errorf("begins with %+v", c.Status())
	}
	s := engine.ClockStatus{Synchronised: true, EstError: 3}
	if err := c.SetStatus(s); err != nil || c.Status() != s {
		t.Errorf("%+v, %v", c.Status(), err)
	}
}

func TestReadPairsTheClock(t *testing.T) {
	c := software(t, clock.SoftwareOptions{})
	before := clock.Boottime()
	n, err := clock.Read(c)
	if err != nil || n.Mono < before || n.Mono > clock.Boottime() || now(t, c).Sub(n.Wall) < 0 {
		t.Errorf("read %+v, %v", n, err)
	}
}
