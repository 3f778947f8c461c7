package clock_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
	"golang.org/x/sys/unix"
)

// guestMark stands on the kernel command line of the laboratory's virtual
// machine, whose clock is its own.
const guestMark = "ntpd-go-guest"

// guest skips a test that moves the clock of the machine it runs on, unless
// that is the laboratory's.
func guest(t *testing.T) {
	t.Helper()
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		t.Skip(err)
	}
	for _, word := range bytes.Fields(line) {
		if string(word) == guestMark {
			return
		}
	}
	t.Skip("this is not the laboratory's virtual machine")
}

func timex(t *testing.T, modes unix.Timex) unix.Timex {
	t.Helper()
	if _, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, &modes); err != nil {
		t.Fatal(err)
	}
	return modes
}

// steered is the machine's own clock in a test that may move it.
type steered struct {
	*testing.T
	*clock.System
}

// takeMachine takes control of the machine's clock until the test ends.
func takeMachine(t *testing.T) *steered {
	t.Helper()
	guest(t)
	c, err := clock.NewSystem()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Take(); err != nil {
		t.Fatal(err)
	}
	return &steered{t, c}
}

func (c *steered) apply(a kalman.Adjustment) kalman.Applied {
	c.Helper()
	out, err := c.Apply(a)
	if err != nil {
		c.Fatal(err)
	}
	return out
}

// alone fails when someone else seems to steer.
func (c *steered) alone(when string) {
	c.Helper()
	if f, meddled := c.Meddled(); meddled {
		c.Errorf("%s: somebody else seems to run the clock, at %v", when, f)
	}
}

func (c *steered) near(what string, got, want, within float64) {
	c.Helper()
	c.Logf("%s: %.9f, want %.9f", what, got, want)
	if math.Abs(got-want) > within {
		c.Errorf("%s: %.9f, want %.9f", what, got, want)
	}
}

// ahead is how far the clock is ahead of the one that nobody steers.
func ahead() proto.Duration {
	machine := clock.Machine()
	least := proto.MaxDuration
	for range 100 { // interruptions only make it larger
		raw := machine.Raw()
		real := machine.Real()
		d := real.Sub(0) - proto.FromStd(time.Duration(raw))
		if e := machine.Raw() - raw; e < 20_000 || least == proto.MaxDuration {
			least = min(least, d)
		}
	}
	return least
}

// TestGuestIsTaken from others that left corrections under way.
func TestGuestIsTaken(t *testing.T) {
	guest(t)
	timex(t, unix.Timex{Modes: unix.ADJ_STATUS | unix.ADJ_OFFSET | unix.ADJ_TIMECONST, Status: unix.STA_PLL, Offset: 300_000, Constant: 2})
	timex(t, unix.Timex{Modes: unix.ADJ_OFFSET_SINGLESHOT, Offset: 400_000})
	timex(t, unix.Timex{Modes: unix.ADJ_TICK | unix.ADJ_FREQUENCY, Tick: 10_001, Freq: 65536})
	c, err := clock.NewSystem()
	if err != nil {
		t.Fatal(err)
	}
	if got := timex(t, unix.Timex{}); got.Tick != 10_001 || got.Freq != 65536 || got.Status&unix.STA_PLL == 0 || got.Offset == 0 {
		t.Errorf("only opened: %+v", got)
	}
	if err := c.Take(); err != nil {
		t.Fatal(err)
	}
	if got := timex(t, unix.Timex{}); got.Tick != 10_000 || got.Freq != 101*65536 || got.Offset != 0 || got.Status&^unix.STA_NANO != unix.STA_UNSYNC {
		t.Errorf("taken over: %+v", got)
	}
	if left := timex(t, unix.Timex{Modes: unix.ADJ_OFFSET_SS_READ}); left.Offset != 0 {
		t.Errorf("adjtime goes on: %d", left.Offset)
	}
	(&steered{t, c}).alone("taken over")
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestGuestRuns at the frequencies that it is told, ends its slews, and leaves
// its base frequency behind.
func TestGuestRuns(t *testing.T) {
	c := takeMachine(t)
	for _, f := range []float64{0, 300e-6} {
		out := c.apply(kalman.Adjustment{Frequency: f})
		before, raw := ahead(), clock.Machine().Raw()
		time.Sleep(5 * time.Second)
		passed := time.Duration(clock.Machine().Raw() - raw)
		c.near("rate", (ahead()-before).Seconds()/passed.Seconds(), out.Frequency, 10e-6)
	}
	c.apply(kalman.Adjustment{})
	before := ahead()
	out := c.apply(kalman.Adjustment{Slew: 400e-6, For: 2 * time.Second})
	time.Sleep(4 * time.Second)
	c.near("slew", (ahead() - before).Seconds(), out.Slew*out.For.Seconds(), 50e-6)
	if got := timex(t, unix.Timex{}); got.Freq != 0 {
		t.Errorf("the slew did not end: frequency %d", got.Freq)
	}
	c.alone("after a slew")
	c.apply(kalman.Adjustment{Frequency: -20e-6, Slew: 100e-6, For: time.Hour})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.near("frequency left behind", float64(timex(t, unix.Timex{}).Freq)/65536, -20, 0.001)
}

// TestGuestSteps exactly, and keeps the status that it was told.
func TestGuestSteps(t *testing.T) {
	c := takeMachine(t)
	watch := clock.NewWatch(c.System)
	c.apply(kalman.Adjustment{})
	for _, by := range []float64{1.25, -0.75, 3600.000000001, -7200.5} {
		before := ahead()
		out := c.apply(kalman.Adjustment{Step: proto.FromSeconds(by)})
		c.near("step", (ahead() - before).Seconds(), by, 100e-6)
		c.near("applied at", out.At.Sub(clock.Machine().Real()).Seconds(), 0, 10e-3)
	}
	if err := c.SetStatus(engine.ClockStatus{Synchronised: true, MaxError: proto.Second / 100, EstError: proto.Second / 1000}); err != nil {
		t.Fatal(err)
	}
	c.apply(kalman.Adjustment{Step: proto.Second})
	if got := timex(t, unix.Timex{}); got.Status&^unix.STA_NANO != 0 || got.Maxerror < 10_000 || got.Maxerror > 11_000 || got.Esterror != 1000 {
		t.Errorf("the status after a step: %+v", got)
	}
	if ev, happened := watch.Look(); happened {
		t.Errorf("our own steps look like %+v", ev)
	}
}

// TestGuestNoticesOthers who set its frequency. The kernel keeps frequencies in
// other units than it is told them in, which must not look like somebody else.
func TestGuestNoticesOthers(t *testing.T) {
	c := takeMachine(t)
	for ppm := -500.0; ppm <= 500; ppm += 0.37 {
		c.apply(kalman.Adjustment{Frequency: ppm * 1e-6})
		c.alone(fmt.Sprintf("at %v ppm", ppm))
	}
	timex(t, unix.Timex{Modes: unix.ADJ_FREQUENCY, Freq: 17 << 16})
	if f, meddled := c.Meddled(); !meddled || math.Abs(f-17e-6) > 1e-10 {
		t.Errorf("a foreign frequency: %v, %v", f, meddled)
	}
	c.apply(kalman.Adjustment{})
	c.alone("steered again")
}

// TestGuestIsSet by someone else: the kernel tells at once.
func TestGuestIsSet(t *testing.T) {
	c := takeMachine(t)
	watch := clock.NewWatch(c.System)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reports := make(chan engine.Jumped, 1)
	go watch.Run(ctx, time.Hour, func(ev engine.Jumped) { reports <- ev })
	time.Sleep(time.Second) // it listens
	timex(t, unix.Timex{Modes: unix.ADJ_SETOFFSET, Time: unix.Timeval{Sec: -3, Usec: 250_000}})
	select {
	case ev := <-reports:
		c.near("seen", ev.By.Seconds(), -2.75, 100e-6)
	case <-ctx.Done():
		t.Error("a step of another was not seen")
	}
}

// TestGuestLeapSecond lets the kernel insert one, which is not a jump.
func TestGuestLeapSecond(t *testing.T) {
	c := takeMachine(t)
	now := time.Now().UTC()
	midnight := now.Truncate(24 * time.Hour).Add(24 * time.Hour)
	c.apply(kalman.Adjustment{Step: proto.FromStd(midnight.Add(-3 * time.Second).Sub(now))})
	if err := c.SetStatus(engine.ClockStatus{Synchronised: true, Leap: proto.LeapInsert}); err != nil {
		t.Fatal(err)
	}
	watch := clock.NewWatch(c.System)
	mono := clock.Machine().Boot()
	for at := now; at.Before(midnight.Add(time.Second)); at = time.Now().UTC() {
		if ev, happened := watch.Look(); happened {
			t.Errorf("at %v: %+v", at, ev)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if took := clock.Machine().Boot().Sub(mono); took < 4900*time.Millisecond {
		t.Errorf("the kernel inserted no second: 4 s took %v", took)
	}
	if err := c.SetStatus(engine.ClockStatus{Synchronised: true}); err != nil {
		t.Fatal(err)
	}
	if ev, happened := watch.Look(); happened {
		t.Errorf("afterwards: %+v", ev)
	}
}
