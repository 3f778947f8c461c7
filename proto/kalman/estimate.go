package kalman

import (
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Estimate is what is known about the clock at a moment.
func (d *Discipline) Estimate(now proto.Now) Estimate {
	e := Estimate{
		Sigma: proto.MaxDuration, Frequency: d.frequency, FrequencySigma: d.set.frequencyPrior,
		RootDispersion: maxDistance * proto.Second, DispersionRate: tolerance,
		Leap: proto.LeapUnsynchronised, Agreeing: d.agreeing,
		AccumulatedSteps: d.saved.AccumulatedSteps, Steps: d.steps,
	}
	if !d.joint.started {
		return e
	}
	offset, o := d.left(now)
	later := d.joint.look(d.clock.raw(now.Wall)+rawTime(proto.FromSeconds(horizon)), d.shares())
	sigma, grown := math.Sqrt(o.variance), math.Sqrt(later.variance)
	e.Offset, e.Sigma = offset, proto.FromSeconds(sigma)
	e.Frequency, e.FrequencySigma = o.rate, math.Sqrt(o.spread)
	e.Selected = d.selected()
	if len(e.Selected) > 0 {
		e.Primary = d.root.primary
	}
	e.RootDelay = d.root.delay
	age := max(d.clock.raw(now.Wall).since(d.joint.at), 0)
	e.RootDispersion = proto.FromSeconds(d.root.dispersion.Seconds() + float64(confidence*sigma) +
		math.Abs(offset.Seconds()) + astray(age) + d.alarm())
	e.DispersionRate = (astray(age+slopeTime)-astray(age))/slopeTime + max(confidence*(grown-sigma)/horizon, 0)
	e.Synchronised = d.corrected && e.RootDispersion.Seconds() < maxDistance
	if e.Synchronised {
		e.Leap = d.leap
		if !leapDay(now.Wall) {
			e.Leap = proto.LeapNone
		}
	}
	return e
}

// astray is how far the clock may have gone in a time without a sample, if
// the frequency changed.
func astray(age float64) float64 {
	return float64(tolerance * age * min(age/toleranceTime, 1))
}

// alarm is the largest innovation that denies the estimate. A source that has
// denied it often, and was refuted by the others, is not heard any more. When no
// source is left, what the lost ones said last still holds, as their root does.
func (d *Discipline) alarm() float64 {
	said, lost := 0.0, 0.0
	any := false
	for _, s := range d.sources {
		if s.lies >= patientRun {
			continue
		}
		switch s.state {
		case Selected:
			any = true
			said = max(said, math.Abs(s.denial))
		case Unreachable:
			lost = max(lost, math.Abs(s.denial))
		}
	}
	if any {
		return said
	}
	return lost
}

// root is the way to the reference over the best of the selected sources. It
// is kept when no source is left.
type root struct {
	primary           SourceID
	delay, dispersion proto.Duration
}

// findRoot picks the selected source with the least distance.
func (d *Discipline) findRoot() {
	best := math.Inf(1)
	for _, s := range d.sources {
		r := s.distance + s.today()/2 + s.accuracy
		if s.id == d.root.primary {
			r /= 2 // changing the reference for little confuses clients
		}
		if s.state != Selected || r >= best {
			continue
		}
		best = r
		trip := proto.FromSeconds(s.today())
		d.root = root{s.id, min(s.rootDel, proto.MaxDuration-trip) + trip, s.rootDisp + proto.FromSeconds(s.accuracy)}
	}
}

// selected lists the sources in use, sorted.
func (d *Discipline) selected() []SourceID {
	var ids []SourceID
	for _, s := range d.sources {
		if s.state == Selected {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// Source is what is known about a source at a moment. An unknown source is
// Unusable.
func (d *Discipline) Source(now proto.Now, id SourceID) SourceEstimate {
	i, ok := d.find(id)
	if !ok {
		return SourceEstimate{State: Unusable, Reason: "unknown", Sigma: proto.MaxDuration}
	}
	s := d.sources[i]
	e := SourceEstimate{
		State: s.state, Reason: s.reason, Sigma: proto.MaxDuration,
		Delay: proto.FromSeconds(s.base()), Samples: s.samples,
		Poll: d.poll(s), Soon: s.soon || s.samples < burst, LastUpdate: s.updated,
	}
	if !s.voice.started {
		return e
	}
	r := d.clock.raw(now.Wall)
	t := s.voice.estimate(r)
	e.Offset = s.voice.origin + proto.FromSeconds(t.x) + proto.Timestamp(r).Sub(now.Wall)
	e.Sigma = proto.FromSeconds(t.sigma())
	return e
}
