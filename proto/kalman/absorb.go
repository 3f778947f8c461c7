package kalman

import (
	"fmt"
	"math"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto"
)

// absorb takes in a sample of a source: into its memory of delays, its voice
// and, if it is believed, the joint estimate. It reports false for a sample
// that is older than what is known.
func (d *Discipline) absorb(s *source, m sample) bool {
	if s.voice.started && m.at.sub(s.voice.at) <= 0 {
		return false
	}
	if m.period > 0 && !d.unwrap(s, &m) {
		return false
	}
	if s.samples == 0 {
		s.route.start(m.bias(d.dispersion(s)))
		s.goodAt = m.at
	}
	if m.delay > 0 {
		if change, moved := s.route.see(m.at, m.delay); moved {
			d.rerouted(s, change)
		}
	}
	s.samples++
	if s.samples <= youth {
		s.backlog = append(s.backlog, heard{m, s.route.now})
		d.rehear(s)
		if s.state == Selected && d.young() {
			d.refound()
			return true
		}
	}
	if s.state == Selected && d.joint.started {
		d.enter(s.route.now)
		d.joint.predict(m.at)
		d.learn(s, m)
	} else if s.samples > youth {
		d.listen(s, m)
	}
	return true
}

// rehear starts the voice of a young source anew with all its samples: what
// the first round trips said about their errors shows only when others have
// come.
func (d *Discipline) rehear(s *source) {
	w, variance := d.frequencyPrior()
	first := &s.backlog[0]
	s.voice.start(first.at, first.offset, w, variance, d.set.wanderPrior)
	s.run = 0
	for i := range s.backlog {
		h := &s.backlog[i]
		d.hear(s, &h.sample, h.path.excessOf(&h.sample))
	}
}

// unwrap makes an offset that is known modulo its period whole, by the joint
// estimate. It fails where that is too vague.
func (d *Discipline) unwrap(s *source, m *sample) bool {
	if !d.joint.started || !d.majority {
		return false
	}
	o := d.joint.look(m.at, d.shares())
	if math.Sqrt(o.variance) > m.period/16 {
		return false
	}
	v := (m.offset - d.joint.origin).Seconds() - o.offset
	v -= float64(m.period * math.Floor(v/m.period+0.5))
	m.offset = d.joint.origin + proto.FromSeconds(o.offset+v)
	return true
}

// dispersion of a source's server in seconds, if it counts.
func (d *Discipline) dispersion(s *source) float64 {
	if !d.set.dispersion {
		return 0
	}
	return min(s.rootDisp.Seconds(), maxDistance)
}

// listen lets a source that is not part of the joint estimate speak for
// itself.
func (d *Discipline) listen(s *source, m sample) {
	d.hear(s, &m, s.route.now.excessOf(&m))
}

// hear takes a sample into the voice. The second surprise in a row is
// believed.
func (d *Discipline) hear(s *source, m *sample, x excess) {
	t := s.voice.estimate(m.at)
	v := (m.offset - s.voice.origin).Seconds() - t.x
	if s.surprised(v, t.pxx, x, m.at) && (s.run > 1 || s.run < -1) {
		s.voice.doubt(float64(v*v), 0)
		s.run = 0
	}
	s.voice.observe(m.at, m.offset, x)
}

// learn takes a sample into the voice of its source and the joint estimate,
// which has been predicted to its time.
func (d *Discipline) learn(s *source, m sample) {
	p := s.route.now
	x := p.excessOf(&m)
	v, variance := d.joint.expect(m.at, m.offset, p)
	d.deny(s, v, s.reach(variance, x))
	if s.surprised(v, variance, x, m.at) {
		d.consult(s, m.at)
		d.explain(s, p, v, m.at)
	}
	if s.samples > youth {
		s.voice.observe(m.at, m.offset, x)
	}
	var weights [hypotheses]float64
	s.voice.laws[x.kind()].weights(&weights)
	d.joint.observe(m.at, m.offset, p, x, &weights)
	if s.run == 0 {
		d.calm = d.joint.prob
	}
	d.joint.settle()
	d.dirty = true
}

// deny judges how honest the published error is. An innovation v beyond the reach
// of its sample says that the estimate is wrong, however rough the other samples
// are: it is believed until another one of the source is further from it than
// that one's reach, or until a majority of the other sources has said the same.
// Most samples behind a queue can neither deny nor refute anything.
func (d *Discipline) deny(s *source, v, reach float64) {
	switch {
	case math.Abs(v) > reach:
		s.denial, s.against = v, s.against[:0]
	case math.Abs(v-s.denial) > reach:
		s.denial = 0
	}
	if s.denial == 0 {
		s.lies = 0
	}
	for _, o := range d.sources {
		if o == s || o.denial == 0 || math.Abs(v-o.denial) <= reach || slices.Contains(o.against, s.id) {
			continue
		}
		o.against = append(o.against, s.id)
		if n := len(o.against); n >= 2 && 2*n >= len(d.selected()) {
			o.denial = 0
			o.lies++
		}
	}
}

// explain decides what an impossible innovation v comes from, as soon as that
// can be known, and makes room for it. A single one is left to the outlier
// branch of the likelihood.
func (d *Discipline) explain(s *source, p *path, v float64, at rawTime) {
	v2 := float64(v * v)
	if s.route.since < recentCount && len(s.route.paths) > 1 && p != s.route.lowest() && math.Abs(v) < 0.6*p.base() {
		d.joint.doubt(p.col, v2) // the new path's bias was guessed wrong
		s.voice.doubt(v2, 0)
		s.settled()
		return
	}
	needed := 2
	if math.Abs(v) > clockLimit*max(s.runAt.since(s.goodAt), minSpan) {
		needed = 3 // no oscillator does that; stamps may be wrong twice
	}
	if max(s.run, -s.run) < needed && !d.plausible(s, v, at) {
		return
	}
	verdict := d.blame(s, at)
	if low := s.route.lowest(); verdict == clockMoved && p != low && !s.route.turned && math.Abs(v) < 1.2*(p.base()-low.base()) && d.alone(s) {
		// On a detour the way there and the way back may have changed places,
		// which moves the offset and not the round trip.
		s.route.turned, verdict = true, detourTurned
	}
	switch verdict {
	case unknown:
		return
	case detourTurned:
		d.joint.doubt(p.col, v2)
		s.voice.doubt(v2, 0)
		s.settled()
	case clockMoved:
		w := v / max(at.since(s.goodAt), minSpan)
		w2 := min(float64(w*w), d.set.frequencyPrior*d.set.frequencyPrior)
		d.joint.doubt(0, v2)
		d.joint.doubt(1, w2)
		if s.calm >= youth {
			d.joint.prob = d.calm // an event is no wander
		}
		for _, o := range d.sources {
			o.voice.doubt(v2, w2)
			o.settled()
			o.calm = 0
		}
		d.note(Note{Code: "clock-surprise", Text: fmt.Sprintf("the clock moved by %+.6f s or changed its frequency; following the sources", -v)})
	case serverMoved:
		d.joint.doubt(p.col, v2)
		p.anchor += v
		s.voice.doubt(v2, 0)
		s.settled()
		d.note(Note{Code: "source-shift", Source: s.id, Text: fmt.Sprintf("its time moved by %+.6f s against the other sources", v)})
	}
}

// plausible says whether an innovation is believed without another sample to
// confirm it: where none can be asked for, no other source can be consulted,
// and an oscillator may do this by itself.
func (d *Discipline) plausible(s *source, v float64, at rawTime) bool {
	if s.cfg.PollMin != s.cfg.PollMax || math.Abs(v) > float64(tolerance*at.since(s.goodAt)) {
		return false
	}
	for _, o := range d.sources {
		if o != s && o.state == Selected {
			return false
		}
	}
	return true
}

// verdict on an innovation that the network cannot explain.
type verdict uint8

const (
	unknown verdict = iota
	clockMoved
	serverMoved
	detourTurned
)

// alone says whether no other source is part of the joint estimate.
func (d *Discipline) alone(s *source) bool {
	for _, o := range d.sources {
		if o != s && o.state == Selected && o.inJoint() {
			return false
		}
	}
	return true
}

// blame asks the other sources: if they see it too it is the clock. Those
// that have not been heard since are waited for, but not for long.
func (d *Discipline) blame(s *source, at rawTime) verdict {
	others, heard, same := 0, 0, 0
	for _, o := range d.sources {
		if o == s || o.state != Selected || o.route.now == nil || o.route.now.col < 0 {
			continue
		}
		others++
		if o.voice.at.sub(s.runAt) >= 0 {
			heard++
			if (o.run > 0 && s.run > 0) || (o.run < 0 && s.run < 0) {
				same++
			}
		}
	}
	switch {
	case others == 0:
		return clockMoved
	case 2*heard < others && max(s.run, -s.run) < patientRun && at.since(s.runAt) < confirmPeriod:
		return unknown
	case heard > 0 && 2*same >= heard:
		return clockMoved
	default:
		return serverMoved
	}
}

// consult asks the other sources for a sample, so that it can be known whom
// to blame.
func (d *Discipline) consult(s *source, at rawTime) {
	for _, o := range d.sources {
		if o != s && o.state == Selected && o.voice.at.sub(s.runAt) < 0 {
			o.ask(at)
		}
	}
}

// enter gives the path of a source a bias in the joint state.
func (d *Discipline) enter(p *path) {
	if p.col < 0 {
		d.joint.grow(p, -1, 0, 0, p.prior)
	}
}

// rerouted follows a change of path.
func (d *Discipline) rerouted(s *source, m move) {
	quarter := float64(m.shift*m.shift) / 4
	twelfth := float64(m.shift*m.shift) / 12
	s.voice.doubt(quarter, 0)
	s.voice.soften()
	s.run = 0
	if m.lowest && !m.known {
		m.to.prior = max(m.from.prior-twelfth, m.from.prior/4)
	}
	switch {
	case !d.joint.started || m.from.col < 0:
	case m.known && m.to.col >= 0:
		// Another path may be as long: it differs by what it is longer than the
		// shortest, and from the one before by the change.
		over := min(m.to.base()-s.route.lowest().base(), m.shift)
		d.joint.doubt(m.to.col, float64(over*over)/12)
	case m.lowest:
		rho := m.to.prior / m.from.prior
		d.joint.grow(m.to, m.from.col, rho, 0, float64(rho*twelfth))
	default:
		d.joint.grow(m.to, m.from.col, 1, 0, twelfth)
	}
	if m.to.anchor == 0 {
		m.to.anchor = m.from.anchor
	}
	if old := s.route.spare(); old != nil {
		d.joint.shrink(old)
		s.route.forget(old)
	}
	d.note(Note{Code: "source-path", Source: s.id, Text: fmt.Sprintf("the network path changed: the shortest round trip is now %.6f s, was %.6f s", m.to.base(), m.from.base())})
}

// admit brings sources that are newly believed into the joint estimate.
func (d *Discipline) admit(fresh []*source) {
	if len(fresh) == 0 {
		return
	}
	if !d.joint.started || d.young() {
		d.refound()
		return
	}
	for _, s := range fresh {
		p := s.route.now
		if p.col >= 0 {
			continue // it was here before; what is known of its bias holds
		}
		d.joint.grow(p, -1, 0, 0, p.prior)
		if s.voice.at.sub(d.joint.at) >= 0 {
			d.joint.predict(s.voice.at)
		}
		d.joint.weigh(s.voice.at, s.voice.origin, p, s.voice.estimate(s.voice.at))
	}
	d.joint.settle()
}

// young says that no believed source has more samples than are kept, so that
// the joint estimate can be made anew from all of them.
func (d *Discipline) young() bool {
	for _, s := range d.sources {
		if s.samples > youth && (s.state == Selected || s.inJoint()) {
			return false
		}
	}
	return true
}

// inJoint says whether a source has a bias in the joint estimate.
func (s *source) inJoint() bool {
	for _, p := range s.route.paths {
		if p.col >= 0 {
			return true
		}
	}
	return false
}

// refound makes the joint estimate anew of everything that the believed
// sources have said, in the order of time.
func (d *Discipline) refound() {
	for _, s := range d.sources {
		s.denial = 0 // of an estimate that is no more
	}
	type entry struct {
		*source
		heard
	}
	var all []entry
	for _, s := range d.sources {
		if s.state != Selected {
			continue
		}
		for _, h := range s.backlog {
			all = append(all, entry{s, h})
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int {
		switch dt := a.at.sub(b.at); {
		case dt < 0:
			return -1
		case dt > 0:
			return 1
		default:
			return 0
		}
	})
	if len(all) == 0 {
		return
	}
	w, variance := d.saved.Frequency, d.set.frequencyVariance(d.saved.Sigma)
	d.joint.start(all[0].at, all[0].offset, w, variance, d.set.wanderPrior)
	for i := range all {
		e := &all[i]
		if e.path.count() == 0 && e.delay > 0 {
			continue // nothing is left of that path
		}
		d.enter(e.path)
		d.joint.predict(e.at)
		x := e.path.excessOf(&e.sample)
		v, deviation := d.joint.expect(e.at, e.offset, e.path)
		if i > 0 && impossible(v, deviation, e.voice.noise(), x) {
			// So early it is the frequency that was guessed wrong, if it can
			// be. What no oscillator does is left to the outlier branch of the
			// likelihood, and to the vote.
			w := v / max(e.at.since(all[i-1].at), soonInterval.Seconds())
			if w2 := float64(w * w); w2 <= 25*variance {
				d.joint.doubt(0, float64(v*v)/4)
				d.joint.doubt(1, min(w2, variance))
			}
		}
		var weights [hypotheses]float64
		e.voice.laws[x.kind()].weights(&weights)
		d.joint.observe(e.at, e.offset, e.path, x, &weights)
	}
	d.joint.settle()
	d.dirty = true
}
