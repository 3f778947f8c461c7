package kalman

import (
	"fmt"
	"math"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Decide returns what should be done now. Call it after every event that was
// handed in, and at Deadline.
func (d *Discipline) Decide(now proto.Now) Decision {
	d.ensure(now)
	var out Decision
	switch {
	case d.pending || len(d.sources) == 0:
	case !d.begun:
		d.begun, d.pending, d.correct = true, true, false
		out.Steer = &Adjustment{Frequency: d.limit(d.saved.Frequency)}
	case d.dirty && d.majority && d.joint.started && d.ready(now):
		d.dirty = false
		out.Steer, out.Halt = d.plan(now)
		d.pending = out.Steer != nil
		d.correct = d.pending
	}
	out.Notes, d.notes = d.notes, nil
	return out
}

// ready says whether to trust the majority yet: before the first correction
// sources that are still being measured get a little time to object.
func (d *Discipline) ready(now proto.Now) bool {
	return d.corrected || !d.waiting() || now.Mono >= d.usableAt.Add(patience*time.Second)
}

// waiting says whether there is a source whose voice is still to come.
func (d *Discipline) waiting() bool {
	voters := 0
	for _, s := range d.sources {
		if s.cfg.Voting && s.reachable {
			voters++
		}
		if s.cfg.Trusted && s.reachable && s.state == Measuring && d.set.Trust == TrustOutvotes {
			return true // it is about to outvote the others
		}
	}
	return 2*d.agreeing <= voters
}

// Deadline is when Decide wants to be called next without any event.
func (d *Discipline) Deadline() proto.Instant {
	if d.dirty && d.majority && !d.pending && !d.corrected && d.usableAt != 0 {
		return d.usableAt.Add(patience * time.Second)
	}
	return proto.Never
}

// left is what remains to be corrected at a moment: true time minus clock.
func (d *Discipline) left(now proto.Now) (proto.Duration, outlook) {
	r := d.clock.raw(now.Wall)
	o := d.joint.look(r, d.shares())
	return d.joint.origin + proto.FromSeconds(o.offset) + proto.Timestamp(r).Sub(now.Wall), o
}

// plan makes the adjustment that brings the clock to the estimate.
func (d *Discipline) plan(now proto.Now) (*Adjustment, *Halt) {
	offset, o := d.left(now)
	limit, single := d.set.stepThreshold, d.set.StartupStep
	if d.corrected {
		limit, single = d.set.stepLate, d.set.SingleStep
	}
	step := offset.Abs().Seconds() > limit
	if h := d.panics(offset, step, single); h != nil {
		return nil, h
	}
	a := &Adjustment{Frequency: d.limit(o.rate)}
	if step {
		a.Step = offset
		d.note(Note{Code: "clock-step", Warn: d.corrected, Text: "stepping the clock by " + offset.String()})
		return a, nil
	}
	d.slew(a, offset.Seconds(), math.Sqrt(o.variance))
	return a, nil
}

// slew spreads a correction of x seconds, of which sigma is uncertain. Run on the clock for F at base + S
// instead of base it gains S·F/(1+base+S), which is to be x.
func (d *Discipline) slew(a *Adjustment, x, sigma float64) {
	room := d.set.slewMax
	if base := a.Frequency; x > 0 {
		room = min(room, clockLimit-base)
	} else {
		room = min(room, clockLimit+base)
	}
	room = max(room, 1e-6)
	f := d.tau()
	if d.set.slewMin == 0 && math.Abs(x) > hurry*sigma {
		f = tauMin // such an error does more harm than the change of frequency
	}
	f = max(f, math.Abs(x)/room)
	a.For = time.Duration(f * 1e9)
	a.Slew = float64(x*(1+a.Frequency)) / (f - x)
}

// tau is how long a small correction is spread.
func (d *Discipline) tau() float64 {
	if d.set.slewMin > 0 {
		return d.set.slewMin
	}
	shortest := int8(17)
	for _, s := range d.sources {
		if s.state == Selected {
			shortest = min(shortest, d.poll(s))
		}
	}
	return min(max(math.Ldexp(0.25, int(shortest)), tauMin), tauMax)
}

// panics refuses corrections beyond what the operator allows.
func (d *Discipline) panics(offset proto.Duration, step bool, single Threshold) *Halt {
	threshold, direction, size := single.Forward, "forward", offset
	if offset < 0 {
		threshold, direction, size = single.Backward, "backward", offset.Abs()
	}
	key := "startup-step-panic-threshold"
	if d.corrected {
		key = "single-step-panic-threshold"
	}
	switch {
	case threshold == proto.MaxDuration:
	case threshold <= 0 && step:
		return &Halt{
			Reason: fmt.Sprintf("the clock is wrong by %v, and %s forbids corrections %s", offset, key, direction),
			Hint:   "check the sources and the clock; set the clock by hand or raise " + key,
		}
	case threshold > 0 && size >= threshold:
		return &Halt{
			Reason: fmt.Sprintf("a correction of %v is not below %s (%s %v)", offset, key, direction, threshold),
			Hint:   "check the sources and the clock; set the clock by hand or raise " + key,
		}
	}
	sum := d.saved.AccumulatedSteps
	if step && d.corrected && d.set.AccumulatedSteps > 0 && sum.Seconds()+size.Seconds() > d.set.AccumulatedSteps.Seconds() {
		return &Halt{
			Reason: fmt.Sprintf("a step of %v after steps of %v in all is beyond accumulated-step-panic-threshold (%v)", offset, sum, d.set.AccumulatedSteps),
			Hint:   "find out why the clock keeps being wrong, then accept the steps or raise accumulated-step-panic-threshold",
		}
	}
	return nil
}

// limit keeps a base frequency within what we may ask of the clock.
func (d *Discipline) limit(f float64) float64 {
	return min(max(f, -d.set.frequencyMax), d.set.frequencyMax)
}

// Applied says what the clock did with the last Steer.
func (d *Discipline) Applied(a Applied) {
	if !d.clock.started() {
		d.clock.start(a.At.Add(-a.Step), d.frequency)
	}
	d.clock.apply(a)
	d.seen = proto.Now{Mono: a.Mono, Wall: a.At}
	d.frequency = a.Frequency
	d.pending = false
	if a.Step != 0 {
		d.steps++
		if d.corrected {
			d.saved.AccumulatedSteps += min(a.Step.Abs(), proto.MaxDuration-d.saved.AccumulatedSteps)
		}
	}
	d.corrected = d.corrected || d.correct
	d.correct = false
}

// SteerFailed says that the clock refused the last Steer; it runs as before.
func (d *Discipline) SteerFailed(now proto.Now) {
	d.pending, d.dirty = false, true
	if !d.correct {
		d.begun = false
	}
	d.correct = false
}

// AcceptSteps forgets the accumulated steps: an operator has seen them.
func (d *Discipline) AcceptSteps() { d.saved.AccumulatedSteps = 0 }
