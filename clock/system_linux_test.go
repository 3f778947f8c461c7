package clock_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/clock/clocktest"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
	"golang.org/x/sys/unix"
)

func TestSystemIsAClock(t *testing.T) {
	clocktest.Run(t, clocktest.Subject{
		Open: func(t *testing.T, w *clocktest.World) clock.Clock {
			t.Helper()
			return takeOver(t, newAdjtimex(w))
		},
		Unit: clocktest.RateUnit, Reach: 500e-6,
	})
}

func open(t *testing.T, k *adjtimex) *clock.System {
	t.Helper()
	c, err := clock.NewSystemOn(k)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func takeOver(t *testing.T, k *adjtimex) *clock.System {
	t.Helper()
	c := open(t, k)
	if err := c.Take(); err != nil {
		t.Fatal(err)
	}
	return c
}

// occupied is a kernel that others were steering by every means it has.
func occupied() *adjtimex {
	k := newAdjtimex(newWorld())
	k.freq, k.tick = -12345, 10_001
	k.offset, k.adjust = 400_000_000, 70_000
	k.status = unix.STA_PLL | unix.STA_FREQHOLD | unix.STA_PPSTIME | unix.STA_PPSFREQ | unix.STA_INS | unix.STA_NANO
	k.maxerror, k.esterror = 7000, 70
	return k
}

// TestSystemIsOnlyOpened: a daemon that ends before it takes the clock leaves
// it to whoever has it.
func TestSystemIsOnlyOpened(t *testing.T) {
	k := occupied()
	before := *k
	c := open(t, k)
	if _, err := c.Apply(kalman.Adjustment{Step: proto.Second}); !errors.Is(err, clock.ErrNotTaken) {
		t.Errorf("applied: %v", err)
	}
	if err := c.SetStatus(engine.ClockStatus{Synchronised: true}); !errors.Is(err, clock.ErrNotTaken) {
		t.Errorf("told a status: %v", err)
	}
	if _, meddled := c.Meddled(); meddled {
		t.Error("others meddle with a clock that is theirs")
	}
	if want := (tickRate - 12345) * clocktest.RateUnit; math.Abs(c.Frequency()-want) > 1e-15 {
		t.Errorf("frequency %v, want %v", c.Frequency(), want)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Take(); !errors.Is(err, clock.ErrClosed) {
		t.Errorf("took a closed clock: %v", err)
	}
	if k.freq != before.freq || k.tick != before.tick || k.offset != before.offset || k.adjust != before.adjust ||
		k.status != before.status || k.maxerror != before.maxerror || k.esterror != before.esterror {
		t.Errorf("changed to %+v", k)
	}
}

// TestSystemTakesWhatIsThere: another may have steered the clock between the
// opening and the taking.
func TestSystemTakesWhatIsThere(t *testing.T) {
	k := newAdjtimex(newWorld())
	c := open(t, k)
	k.freq = 4242
	if err := c.Take(); err != nil || k.freq != 4242 {
		t.Errorf("took the clock to frequency %d: %v", k.freq, err)
	}
}

func TestSystemNoticesOthers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		others func(k *adjtimex)
		want   bool
	}{
		{"nobody", func(*adjtimex) {}, false},
		{"frequency", func(k *adjtimex) { k.freq++ }, true},
		{"tick", func(k *adjtimex) { k.tick-- }, true},
		{"kernel discipline", func(k *adjtimex) { k.status |= unix.STA_PLL }, true},
		{"frequency lock", func(k *adjtimex) { k.status |= unix.STA_FLL }, true},
		{"pulses", func(k *adjtimex) { k.status |= unix.STA_PPSFREQ }, true},
		{"pulses for the phase", func(k *adjtimex) { k.status |= unix.STA_PPSTIME }, true},
		{"a status only", func(k *adjtimex) { k.status |= unix.STA_UNSYNC | unix.STA_INS }, false},
		{"a step only", func(k *adjtimex) { k.Set(time.Hour) }, false},
		{"a kernel that does not answer", func(k *adjtimex) { k.freq, k.broken = 1, unix.EINVAL }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newAdjtimex(newWorld())
			c := takeOver(t, k)
			if _, err := c.Apply(kalman.Adjustment{Frequency: 900e-6, Slew: 1e-6, For: time.Second}); err != nil { // cut to 500 ppm
				t.Fatal(err)
			}
			look := func(when string, want bool) {
				t.Helper()
				if f, got := c.Meddled(); got != want || got && f != float64(k.freq)*clocktest.RateUnit+float64(k.tick-10_000)*1e-4 {
					t.Errorf("%s: %v at %v, want %v", when, got, f, want)
				}
			}
			look("during a slew", false)
			k.Advance(2 * time.Second)
			look("after it", false)
			tt.others(k)
			look("others came", tt.want)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			look("closed", false)
		})
	}
}

func TestSystemNeedsPermission(t *testing.T) {
	k := newAdjtimex(newWorld())
	k.unprivileged = true
	before := *k
	_, err := clock.NewSystemOn(k)
	if !errors.Is(err, clock.ErrPermission) || !strings.Contains(err.Error(), "update-system-clock = false") {
		t.Errorf("got %v", err)
	}
	if k.status != before.status || k.freq != before.freq || k.tick != before.tick {
		t.Errorf("changed without permission: %+v", k)
	}
}

func TestSystemErrorsNameTheCall(t *testing.T) {
	k := newAdjtimex(newWorld())
	c := open(t, k)
	const adjust, read = "cannot adjust the system clock: clock_adjtime", "cannot read the system clock: clock_adjtime"
	check := func(err, want error, text string) {
		t.Helper()
		if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v", err)
		}
	}
	newSystem := func() error { _, err := clock.NewSystemOn(k); return err }
	k.refuse = map[uint32]error{unix.ADJ_TICK: unix.EINVAL}
	check(newSystem(), unix.EINVAL, adjust)
	check(c.Take(), unix.EINVAL, adjust)
	k.broken = unix.ENOSYS
	check(newSystem(), unix.ENOSYS, read)
	check(c.Take(), unix.ENOSYS, read)
}

func TestSystemTakesOver(t *testing.T) {
	k := occupied()
	c := takeOver(t, k)
	if k.offset != 0 || k.adjust != 0 {
		t.Errorf("corrections of others go on: offset %d, adjtime %d", k.offset, k.adjust)
	}
	if k.status&^readOnlyStatus != unix.STA_UNSYNC {
		t.Errorf("status %#x, want only STA_UNSYNC", k.status)
	}
	// The tick of 10001 µs is 100 ppm, which the frequency takes over.
	if want := int64(tickRate - 12345); k.tick != 10_000 || k.freq != want {
		t.Errorf("tick %d and frequency %d, want 10000 and %d", k.tick, k.freq, want)
	}
	if want := (tickRate - 12345) * clocktest.RateUnit; math.Abs(c.Frequency()-want) > 1e-15 {
		t.Errorf("base frequency %v, want %v", c.Frequency(), want)
	}
	if err := c.Close(); err != nil || k.freq != tickRate-12345 {
		t.Errorf("closed: %v, frequency %d", err, k.freq)
	}
}

func TestSystemCutsAFrequencyBeyondTheRange(t *testing.T) {
	k := newAdjtimex(newWorld())
	k.tick = 10_900
	if c := takeOver(t, k); c.Frequency() != 500e-6 || k.freq != 500<<16 || k.tick != 10_000 {
		t.Errorf("frequency %v (%d), tick %d", c.Frequency(), k.freq, k.tick)
	}
}

func TestSystemStatus(t *testing.T) {
	const second = proto.Second
	for _, tt := range []struct {
		name     string
		told     engine.ClockStatus
		status   int32
		max, est int64
	}{
		{"synchronised", engine.ClockStatus{Synchronised: true, MaxError: second, EstError: second / 1000}, 0, 1_000_000, 1000},
		{"insert", engine.ClockStatus{Synchronised: true, Leap: proto.LeapInsert}, unix.STA_INS, 0, 0},
		{"delete", engine.ClockStatus{Synchronised: true, Leap: proto.LeapDelete}, unix.STA_DEL, 0, 0},
		{"unsynchronised", engine.ClockStatus{Leap: proto.LeapUnsynchronised}, unix.STA_UNSYNC, 0, 0},
		{"no leap while unsynchronised", engine.ClockStatus{Leap: proto.LeapInsert}, unix.STA_UNSYNC, 0, 0},
		{"rounded up", engine.ClockStatus{Synchronised: true, MaxError: 1, EstError: second/1_000_000 + 1}, 0, 1, 2},
		{"limits", engine.ClockStatus{Synchronised: true, MaxError: proto.MaxDuration, EstError: -second}, 0, 16_000_000, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newAdjtimex(newWorld())
			c := takeOver(t, k)
			if err := c.SetStatus(tt.told); err != nil {
				t.Fatal(err)
			}
			check := func(when string) {
				t.Helper()
				if k.status&^readOnlyStatus != tt.status || k.maxerror != tt.max || k.esterror != tt.est {
					t.Errorf("%s: status %#x, max %d, est %d; want %#x, %d, %d", when, k.status, k.maxerror, k.esterror, tt.status, tt.max, tt.est)
				}
			}
			check("told")
			// "ntp_clear": a step makes the kernel forget.
			if _, err := c.Apply(kalman.Adjustment{Step: second}); err != nil {
				t.Fatal(err)
			}
			check("after a step")
			if _, err := c.Apply(kalman.Adjustment{Frequency: 1e-6, Slew: 1e-6, For: time.Second}); err != nil {
				t.Fatal(err)
			}
			k.Advance(2 * time.Second)
			check("after a slew")
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			check("closed")
		})
	}
}

func TestSystemRefusedStatusIsNotRemembered(t *testing.T) {
	k := newAdjtimex(newWorld())
	c := takeOver(t, k)
	k.refuse = map[uint32]error{unix.ADJ_STATUS: unix.EPERM}
	if err := c.SetStatus(engine.ClockStatus{Synchronised: true}); !errors.Is(err, clock.ErrPermission) {
		t.Fatalf("got %v", err)
	}
	k.refuse = nil
	if _, err := c.Apply(kalman.Adjustment{Step: 1 << 32}); err != nil {
		t.Fatal(err)
	}
	if k.status&unix.STA_UNSYNC == 0 {
		t.Error("a step set a status that the kernel had refused")
	}
}

// TestSystemStepAndFrequencyAreOneCall: nothing can come in between.
func TestSystemStepAndFrequencyAreOneCall(t *testing.T) {
	k := newAdjtimex(newWorld())
	c := takeOver(t, k)
	calls := k.calls
	if _, err := c.Apply(kalman.Adjustment{Step: -proto.Second / 3, Frequency: 1e-6, Slew: 1e-6, For: time.Second}); err != nil {
		t.Fatal(err)
	}
	if n := k.calls - calls; n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestSystemRefusedAdjustmentChangesNothing(t *testing.T) {
	k := newAdjtimex(newWorld())
	c := takeOver(t, k)
	watch := clock.NewWatch(c)
	before, err := c.Apply(kalman.Adjustment{Frequency: 3e-6, Slew: 100e-6, For: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	k.refuse = map[uint32]error{unix.ADJ_SETOFFSET: unix.EINVAL}
	if _, err := c.Apply(kalman.Adjustment{Step: proto.Second, Frequency: 9e-6}); !errors.Is(err, unix.EINVAL) {
		t.Fatalf("got %v", err)
	}
	if ev, moved := watch.Look(); moved {
		t.Errorf("a step that did not happen counts: %+v", ev)
	}
	k.Advance(20 * time.Second)
	if k.freq != int64(math.Round(before.Frequency/clocktest.RateUnit)) || k.Timers() != 0 {
		t.Errorf("the slew under way did not end: frequency %d, %d timers", k.freq, k.Timers())
	}
}

// TestSystemEndsASlewThatTheKernelHeldOnTo refuses the end of a slew for a
// while.
func TestSystemEndsASlewThatTheKernelHeldOnTo(t *testing.T) {
	k := newAdjtimex(newWorld())
	c := takeOver(t, k)
	if _, err := c.Apply(kalman.Adjustment{Slew: 100e-6, For: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	k.refuse = map[uint32]error{unix.ADJ_FREQUENCY: unix.EINVAL}
	k.Advance(15 * time.Second)
	if k.freq == 0 {
		t.Fatal("the kernel did not refuse")
	}
	if err := c.Close(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("closed with %v", err)
	}
	k.refuse = nil
	if err := c.Close(); err != nil || k.freq != 0 {
		t.Errorf("closed with %v at frequency %d", err, k.freq)
	}

	c = takeOver(t, k)
	if _, err := c.Apply(kalman.Adjustment{Slew: 100e-6, For: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	k.refuse = map[uint32]error{unix.ADJ_FREQUENCY: unix.EINVAL}
	k.Advance(11500 * time.Millisecond)
	k.refuse = nil
	k.Advance(time.Second)
	if k.freq != 0 || k.Timers() != 0 {
		t.Errorf("not tried again: frequency %d, %d timers", k.freq, k.Timers())
	}
}

// TestSystemTellsTimersApart: one that went off while another adjustment was
// made comes too late.
func TestSystemTellsTimersApart(t *testing.T) {
	k := newAdjtimex(newWorld())
	k.stubborn = true
	c := takeOver(t, k)
	apply := func(a kalman.Adjustment) {
		if _, err := c.Apply(a); err != nil {
			t.Fatal(err)
		}
	}
	apply(kalman.Adjustment{Slew: 100e-6, For: 10 * time.Second})
	apply(kalman.Adjustment{Slew: 50e-6, For: 20 * time.Second})
	want := k.freq
	k.Advance(15 * time.Second)
	if k.freq != want {
		t.Errorf("the timer of another slew ended this one: frequency %d, want %d", k.freq, want)
	}
	apply(kalman.Adjustment{Frequency: 1e-6})
	calls := k.calls
	k.Advance(15 * time.Second)
	if k.calls != calls {
		t.Error("the timer of a slew that was replaced did something")
	}
	apply(kalman.Adjustment{Slew: 50e-6, For: 20 * time.Second})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	calls = k.calls
	k.Advance(time.Minute)
	if k.calls != calls {
		t.Error("the timer of a closed clock did something")
	}
}

// TestSystemIsLeftAloneOnceClosed: someone else may have it.
func TestSystemIsLeftAloneOnceClosed(t *testing.T) {
	k := newAdjtimex(newWorld())
	c := takeOver(t, k)
	if _, err := c.Apply(kalman.Adjustment{Slew: 50e-6, For: 20 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	calls := k.calls
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.SetStatus(engine.ClockStatus{}); !errors.Is(err, clock.ErrClosed) {
		t.Errorf("took a status: %v", err)
	}
	if k.calls != calls {
		t.Errorf("%d calls of a closed clock", k.calls-calls)
	}
}
