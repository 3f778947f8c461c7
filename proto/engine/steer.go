package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// steerRetry is how long the clock is left alone after it refused.
const steerRetry = 16 * time.Second

// stepNote is what the discipline has to say of a step.
const stepNote = "clock-step"

// steering is the transaction with the clock: one adjustment is in flight at
// most, and nothing is decided while it is.
type steering struct {
	id    RequestID // 0 when none is in flight
	retry proto.Instant
	last  proto.Timestamp // when the clock was set or corrected; 0 for never
}

// decide asks the discipline what to do, and does it.
func (e *Engine) decide() {
	if !e.mayDecide() || e.now.Mono < e.steering.retry {
		return
	}
	d := e.discipline.Decide(e.now)
	// That the clock is set is said when it is.
	step := slices.IndexFunc(d.Notes, func(n kalman.Note) bool { return n.Code == stepNote })
	for i, n := range d.Notes {
		if i != step {
			e.note(n)
		}
	}
	if d.Halt != nil {
		e.panics(Halt{Reason: d.Halt.Reason, Hint: d.Halt.Hint})
		return
	}
	if d.Steer != nil {
		if h, early := e.tooEarly(d.Steer.Step); early {
			e.panics(h)
			return
		}
		if !e.vouched(*d.Steer) {
			e.refuse()
			return
		}
		if step >= 0 {
			e.note(d.Notes[step])
		}
		e.steering.id = e.request()
		e.emit(Steer{ID: e.steering.id, Adjustment: *d.Steer})
	}
}

func (e *Engine) mayDecide() bool {
	return e.cfg.Steering && !e.halted && e.steering.id == 0 && !e.held()
}

func (e *Engine) steeringDeadline() proto.Instant {
	if !e.mayDecide() {
		return proto.Never
	}
	return max(e.discipline.Deadline(), e.steering.retry)
}

// halt stops everything that touches the clock or the network. What an NTP
// server of this machine says from now on is that it does not know the time.
func (e *Engine) halt(h Halt) {
	if e.halted {
		return
	}
	e.halted = true
	e.save()
	e.serve()
	e.emit(h)
}

func (e *Engine) steerApplied(ev SteerApplied) {
	if e.steering.id == 0 || ev.Steer != e.steering.id {
		return
	}
	e.steering.id = 0
	e.discipline.Applied(ev.Applied)
	e.steering.last = ev.Applied.At
	e.serving.changed = true
	if e.discipline.Estimate(e.now).Synchronised {
		e.calm()
		e.prove()
	}
	if ev.Applied.Step != 0 {
		e.clockMoved(ev.Applied.Mono)
		// A restart must not open the accumulated limit anew.
		e.serving.saveNow = true
	}
}

// clockMoved drops the measurements of exchanges that straddle a step: their
// stamps are of two timescales, and which is which cannot be told when the
// step was backwards. A certificate that was outside its validity may be inside
// it now: a machine that starts without a clock learns the time from whom it
// can, and should then not wait long for those that it can trust.
func (e *Engine) clockMoved(at proto.Instant) {
	e.endRound()
	e.lives(func(_ *source, _ *slot, l *live) { l.assoc.ClockMoved(at) })
	e.slots(func(_ *source, t *slot) { t.keying.hurry(ClassCertExpired) })
}

func (e *Engine) steerFailed(ev SteerFailed) {
	if e.steering.id == 0 || ev.Steer != e.steering.id {
		return
	}
	e.steering.id = 0
	e.steering.retry = e.now.Mono.Add(steerRetry)
	e.discipline.SteerFailed(e.now)
	e.report(Incident{
		Level: Error, Code: "steer-failed", Reason: Reason(ev.Failure.Class),
		Text: fmt.Sprintf("the clock could not be steered: %s; trying again in %v", ev.Failure.Text, steerRetry),
	})
}

// jumped follows a clock that someone else moved, and a machine that woke up.
func (e *Engine) jumped(ev Jumped) {
	e.clockMoved(e.now.Mono)
	e.discipline.Jumped(e.now, ev.By, ev.Slept)
	e.hasten()
	e.serving.changed = true
	level := Info
	if e.cfg.WarnOnJump {
		level = Warn
	}
	if ev.By != 0 {
		e.report(Incident{
			Level: level, Code: "clock-jumped",
			Text: fmt.Sprintf("the clock was moved by %v from outside; make sure that no other program sets it", ev.By),
		})
	}
	if ev.Slept > 0 {
		e.report(Incident{Level: Info, Code: "resumed", Text: fmt.Sprintf("the machine slept for %v; asking all sources", ev.Slept)})
		e.lives(func(_ *source, _ *slot, l *live) { l.assoc.PollSoon(e.now.Mono) })
	}
}

// note passes on what the discipline has to say.
func (e *Engine) note(n kalman.Note) {
	i := Incident{Level: Info, Code: n.Code, Source: n.Source, Text: n.Text}
	if n.Warn {
		i.Level = Warn
	}
	e.lives(func(s *source, _ *slot, l *live) {
		if n.Source != 0 && l.id == n.Source {
			i.Name, i.Addr = s.cfg.Name, l.addr
		}
	})
	e.report(i)
}
