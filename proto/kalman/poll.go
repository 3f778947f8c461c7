package kalman

import (
	"math"
)

// poll is the interval that a source should be asked at next: the longest
// over which the prediction stays good compared with what one sample tells.
func (d *Discipline) poll(s *source) int8 {
	low, high := s.cfg.PollMin, s.cfg.PollMax
	if s.state == Falseticker {
		return high
	}
	if s.samples < burst {
		return min(max(s.cfg.PollStart, low), high)
	}
	high = min(high, low+int8(min((s.samples-burst)/rampSamples, 17)))
	p := s.route.now
	if s.state != Selected || p.col < 0 {
		return high
	}
	sigma := s.noise
	if p.count() > 0 {
		sigma = p.scale()
	}
	want := float64(pollRatio*sigma*sigma) / 12
	poll := low
	for poll < high && d.joint.ahead(p, math.Ldexp(1, int(poll)+1)) <= want {
		poll++
	}
	return poll
}

// Urgent says whether a source should be polled at once, whatever interval is
// running, because something happened that one more sample explains.
func (d *Discipline) Urgent(id SourceID) bool {
	i, ok := d.find(id)
	return ok && d.sources[i].soon
}

// ahead is the variance of the prediction of a sample over a path after a
// time, s².
func (j *joint) ahead(p *path, t float64) float64 {
	n := j.size()
	total := 0.0
	for q := range j.model {
		s := &j.model[q]
		c := p.col
		v := s.p[0] + s.p[c*n+c] + 2*s.p[c]
		v += float64(2*t*(s.p[1]+s.p[n+c])) + float64(t*t*s.p[n+1])
		v += wanders[q] * wanders[q] * t * t * t / 3
		total += float64(j.prob[q] * v)
	}
	return total
}
