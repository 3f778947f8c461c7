package clock

import (
	"context"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// What is less than this is noise of reading clocks one after the other.
const (
	movedLeast = proto.Second / 10_000
	sleptLeast = 10 * time.Millisecond
)

// Watch notices when someone else moves a clock, and when the machine slept.
type Watch struct {
	clock disturbed
	moved proto.Duration
	slept time.Duration
}

// disturbed is a clock that can tell how far others moved it against
// CLOCK_BOOTTIME and how long the machine was suspended, each since an
// arbitrary start. Its own steps and frequencies do not count.
type disturbed interface {
	disturbance() (moved proto.Duration, slept time.Duration)
}

// NewWatch begins to watch a clock. A clock of another package is taken to be
// undisturbed.
func NewWatch(c Clock) *Watch {
	w := &Watch{}
	w.clock, _ = c.(disturbed)
	if w.clock != nil {
		w.moved, w.slept = w.clock.disturbance()
	}
	return w
}

// Look reports what happened since the look before, if anything did. A leap
// second that the kernel makes because it was told to is not reported.
func (w *Watch) Look() (engine.Jumped, bool) {
	if w.clock == nil {
		return engine.Jumped{}, false
	}
	moved, slept := w.clock.disturbance()
	ev := engine.Jumped{By: moved - w.moved, Slept: slept - w.slept}
	if ev.By.Abs() < movedLeast {
		ev.By, moved = 0, w.moved // slow motion adds up
	}
	if ev.Slept < sleptLeast {
		ev.Slept, slept = 0, w.slept
	}
	w.moved, w.slept = moved, slept
	return ev, ev != engine.Jumped{}
}

// Run looks every so often, and on Linux at once when CLOCK_REALTIME is set or
// the machine wakes up, until the context ends.
func (w *Watch) Run(ctx context.Context, every time.Duration, report func(engine.Jumped)) {
	rings, stop := listenAlarm()
	defer stop()
	w.run(ctx, every, rings, report)
}

func (w *Watch) run(ctx context.Context, every time.Duration, rings <-chan struct{}, report func(engine.Jumped)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-rings:
		}
		if ev, happened := w.Look(); happened {
			report(ev)
		}
	}
}

// suspended is how long the machine was suspended since it started.
func suspended(t Times) time.Duration {
	mono, boot, _ := bracket(t.Boot, t.Mono)
	return time.Duration(boot) - mono
}
