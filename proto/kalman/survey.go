package kalman

import (
	"fmt"
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
)

// wander is how fast a crystal's frequency walks, s/s per √s.
const wander = 1e-8

// survey decides which sources are believed and combines them.
func (d *Discipline) survey() {
	if !d.clock.started() || len(d.sources) == 0 {
		d.majority, d.agreeing = false, 0
		return
	}
	latest := d.latest()
	all := make([]interval, len(d.sources))
	origin := d.origin()
	voters := 0
	for i, s := range d.sources {
		was := s.state
		s.state, s.reason = s.fit(&d.set)
		all[i] = interval{low: math.Inf(1), high: math.Inf(-1)}
		if s.state != NoMajority {
			continue
		}
		t := s.track
		t.predict(latest, wander*wander)
		middle := (t.offset() - origin).Seconds()
		r := s.radius(&d.set) + s.distance
		all[i] = interval{middle - r, middle + r, s.cfg.Voting, was == Selected}
		if s.cfg.Voting {
			voters++
		}
	}
	agreeing, chosen := choose(all)
	had := d.majority
	d.agreeing = agreeing
	d.majority = agreeing >= d.set.MinimumAgreeing && 2*agreeing > voters
	for i, s := range d.sources {
		switch {
		case s.state != NoMajority || !d.majority:
		case chosen[i]:
			d.elect(s, all[i].incumbent)
		default:
			s.state = Falseticker
		}
	}
	if had != d.majority {
		d.announce(voters)
	}
	if d.majority {
		d.combine(latest)
		d.findRoot()
	}
}

func (d *Discipline) elect(s *source, incumbent bool) {
	s.state = Selected
	if !incumbent {
		d.dirty = true
		d.note(Note{Code: "source-selected", Source: s.id, Text: "agrees with the majority"})
	}
}

func (d *Discipline) announce(voters int) {
	if d.majority {
		d.note(Note{Code: "majority", Text: fmt.Sprintf("%d of %d sources agree", d.agreeing, voters)})
		return
	}
	d.note(Note{Code: "no-majority", Warn: true, Text: fmt.Sprintf(
		"%d of %d sources agree, %d needed; the clock is held", d.agreeing, voters, max(d.set.MinimumAgreeing, voters/2+1))})
}

// latest is the time of the newest sample.
func (d *Discipline) latest() rawTime {
	var at rawTime
	found := false
	for _, s := range d.sources {
		if s.samples > 0 && (!found || s.track.at.sub(at) > 0) {
			at, found = s.track.at, true
		}
	}
	return at
}

// origin is a whole offset near those of the sources.
func (d *Discipline) origin() proto.Duration {
	if d.have {
		return d.joint.origin
	}
	for _, s := range d.sources {
		if s.samples > 0 {
			return s.track.origin
		}
	}
	return 0
}

// combine weighs the selected sources by inverse variance.
func (d *Discipline) combine(at rawTime) {
	origin := d.origin()
	var sx, wx, sw, ww, sxw float64
	for _, s := range d.sources {
		if s.state != Selected {
			continue
		}
		t := s.track
		t.predict(at, wander*wander)
		vx, vw := t.pxx, t.pww
		if d.set.dispersion {
			vx += float64(s.rootDisp.Seconds() * s.rootDisp.Seconds())
		}
		sx += ((t.origin - origin).Seconds() + t.x) / vx
		wx += 1 / vx
		sw += t.w / vw
		ww += 1 / vw
		sxw += t.pxw / float64(vx*vw)
	}
	if wx == 0 {
		return
	}
	d.joint = track{origin: origin, at: at, x: sx / wx, w: sw / ww, pxx: 1 / wx, pww: 1 / ww, pxw: sxw / float64(wx*ww)}
	if math.Abs(d.joint.x) > 1 {
		whole := proto.FromSeconds(math.Floor(d.joint.x))
		d.joint.origin += whole
		d.joint.x -= whole.Seconds()
	}
	d.have = true
	d.vote()
}
