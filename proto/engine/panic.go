package engine

import (
	"fmt"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// caution is what a panic leaves behind for the next start: whoever restarts
// the daemon, such as a service manager, would else give the sources that were
// refused the room of a first correction, which may be unlimited. RFC 8633
// section 5.2 warns of that.
type caution struct {
	on   bool // the last start ended at a panic threshold
	told bool
}

// thresholds are the limits of corrections: after a panic the first one has no
// more room than a later one.
func (e *Engine) thresholds(c kalman.Config) kalman.Config {
	if e.caution.on {
		c.StartupStep.Forward = min(c.StartupStep.Forward, c.SingleStep.Forward)
		c.StartupStep.Backward = min(c.StartupStep.Backward, c.SingleStep.Backward)
	}
	return c
}

// warnOfPanic says once why the limits are what they are.
func (e *Engine) warnOfPanic() {
	if !e.caution.on || e.caution.told {
		return
	}
	e.caution.told = true
	e.report(Incident{
		Level: Warn, Code: "panicked-before",
		Text: "the daemon stopped before because of a correction that was too large: single-step-panic-threshold holds for the first one too, " +
			"until one succeeds, the steps are accepted (ntp-ctl accept-step), or the machine boots",
	})
}

// panics stops the daemon at a threshold, and remembers that.
func (e *Engine) panics(h Halt) {
	e.caution.on = true
	e.halt(h)
}

// calm ends the caution.
func (e *Engine) calm() {
	if !e.caution.on {
		return
	}
	e.caution.on = false
	e.serving.saveNow = true
	e.discipline.Configure(e.cfg.Discipline)
}

// tooEarly refuses a step to a time before the floor: RFC 8633 section 5.2
// says that one should never be made "to a time before the compile date".
func (e *Engine) tooEarly(step proto.Duration) (Halt, bool) {
	to, floor := e.now.Wall.Add(step), e.saved.Floor
	if floor.IsZero() || step == 0 || to.Sub(floor) >= 0 {
		return Halt{}, false
	}
	made := floor.TimeNear(eraStart)
	return Halt{
		Reason: fmt.Sprintf("the sources say that it is %s, which is before this program was made (%s)",
			to.TimeNear(made).Format(time.RFC3339), made.Format(time.DateOnly)),
		Hint: "check the sources: they are wrong, or this program is from the future",
	}, true
}

// eraStart is a time that programs are made after.
var eraStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
