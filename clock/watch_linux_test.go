package clock_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"golang.org/x/sys/unix"
)

func TestWatchNoticesAForeignStep(t *testing.T) {
	for _, by := range []time.Duration{time.Millisecond, -time.Millisecond, time.Hour, -time.Hour} {
		k := newAdjtimex(newWorld())
		c := takeOver(t, k)
		watch := clock.NewWatch(c)
		k.SetCost(300 * time.Nanosecond)
		k.Advance(4 * time.Second)
		k.Set(by)
		k.Advance(time.Second)
		ev, moved := watch.Look()
		if off := ev.By - proto.FromStd(by); !moved || ev.Slept != 0 || off.Abs() > proto.Second/1_000_000 {
			t.Errorf("a step by %v looks like %+v", by, ev)
		}
		if ev, moved := watch.Look(); moved {
			t.Errorf("reported again: %+v", ev)
		}
	}
}

// TestWatchIgnoresForeignFrequencies: they slew all clocks alike.
func TestWatchIgnoresForeignFrequencies(t *testing.T) {
	k := newAdjtimex(newWorld())
	c := takeOver(t, k)
	watch := clock.NewWatch(c)
	k.SetRate(500 << 16)
	k.SetCost(300 * time.Nanosecond)
	for range 100 {
		k.Advance(time.Hour)
		if ev, moved := watch.Look(); moved {
			t.Fatalf("a slew looks like %+v", ev)
		}
	}
}

// TestWatchIgnoresLeapSeconds that the kernel was told to make. Those of others
// are steps.
func TestWatchIgnoresLeapSeconds(t *testing.T) {
	for _, tt := range []struct {
		leap proto.Leap
		by   time.Duration
		want proto.Duration
	}{
		{proto.LeapInsert, -time.Second, 0},
		{proto.LeapDelete, time.Second, 0},
		{proto.LeapInsert, time.Second, 2 * proto.Second},
		{proto.LeapNone, -time.Second, -proto.Second},
	} {
		k := newAdjtimex(newWorld())
		c := takeOver(t, k)
		tell := func(leap proto.Leap) {
			if err := c.SetStatus(engine.ClockStatus{Synchronised: true, Leap: leap}); err != nil {
				t.Fatal(err)
			}
		}
		tell(tt.leap)
		watch := clock.NewWatch(c)
		k.Set(tt.by)
		look := func(when string, want proto.Duration) {
			t.Helper()
			if ev, _ := watch.Look(); ev.By != want {
				t.Errorf("%v and a step by %v, %s: looks like a step by %v, want %v", tt.leap, tt.by, when, ev.By, want)
			}
		}
		k.state = unix.TIME_OOP
		look("in it", tt.want)
		k.state = unix.TIME_WAIT
		look("behind it", 0)
		tell(proto.LeapNone)
		k.state = unix.TIME_OK
		look("announced no more", 0)
		// The next leap second is another one, also if the announcement ends
		// before anyone looks.
		tell(tt.leap)
		k.Set(tt.by)
		k.state = unix.TIME_WAIT
		tell(proto.LeapNone)
		k.state = unix.TIME_OK
		look("the second time", tt.want)

		// It may happen while someone looks.
		tell(tt.leap)
		k.meanwhile = func() { k.Set(tt.by); k.state = unix.TIME_WAIT }
		look("just now", tt.want)
	}
}

// another is a clock of another package.
type another struct {
	clock.Clock
	err error
}

func (a another) Now() (proto.Timestamp, error) { return 0, a.err }

func TestWatchTakesAnotherClockAsUndisturbed(t *testing.T) {
	k := newAdjtimex(newWorld())
	watch := clock.NewWatch(another{Clock: takeOver(t, k)})
	k.Set(time.Hour)
	if ev, happened := watch.Look(); happened {
		t.Errorf("%+v", ev)
	}
}

func TestReadPassesErrorsOn(t *testing.T) {
	if n, err := clock.Read(another{err: unix.EIO}); !errors.Is(err, unix.EIO) || n != (proto.Now{}) {
		t.Errorf("%+v, %v", n, err)
	}
}

// TestWatchRuns: it looks when the kernel tells, and every so often when it
// does not.
func TestWatchRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newAdjtimex(newWorld())
		watch := clock.NewWatch(takeOver(t, k))
		ctx, cancel := context.WithCancel(t.Context())
		rings, reports := make(chan struct{}), make(chan engine.Jumped, 1)
		ended := make(chan struct{})
		go func() {
			watch.RunOn(ctx, 4*time.Second, rings, func(ev engine.Jumped) { reports <- ev })
			close(ended)
		}()
		expect := func(when string, want ...engine.Jumped) {
			t.Helper()
			synctest.Wait()
			var got []engine.Jumped
			for len(reports) > 0 {
				got = append(got, <-reports)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %+v, want %+v", when, got, want)
			}
		}
		k.Set(time.Second)
		expect("nobody told")
		rings <- struct{}{}
		expect("told", engine.Jumped{By: proto.Second})
		rings <- struct{}{}
		expect("told for nothing")
		k.Suspend(time.Minute)
		time.Sleep(5 * time.Second)
		expect("seen", engine.Jumped{Slept: time.Minute})
		cancel()
		<-ended
	})
}

func TestAlarmIsQuietAndCloses(t *testing.T) {
	rings, stop := clock.ListenAlarm()
	if rings == nil {
		t.Fatal("no alarm on Linux")
	}
	select {
	case <-rings:
		t.Error("rings although nobody set the clock")
	default:
	}
	stop()
}
