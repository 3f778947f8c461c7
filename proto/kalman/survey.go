package kalman

import (
	"fmt"
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
)

// survey decides which sources are believed.
func (d *Discipline) survey() {
	if !d.clock.started() || len(d.sources) == 0 {
		d.majority, d.agreeing = false, 0
		return
	}
	at, origin := d.latest()
	all := make([]interval, len(d.sources))
	before := make([]State, len(d.sources))
	voters := 0
	for i, s := range d.sources {
		before[i] = s.state
		all[i] = interval{low: math.Inf(1), high: math.Inf(-1)}
		middle, sigma := d.testimony(s, at, origin)
		s.state, s.reason = s.fit(&d.set, sigma)
		if s.state != NoMajority {
			continue
		}
		r := s.radius(&d.set, sigma) + s.distance
		all[i] = interval{middle - r, middle + r, s.distance, s.cfg.Voting, before[i] == Selected}
		if s.cfg.Voting {
			voters++
		}
	}
	voters = d.franchise(all, voters)
	agreeing, common, chosen := choose(all)
	use := useful(all, common, chosen)
	had := d.majority
	d.agreeing = d.supporters(chosen)
	d.majority = d.agreeing >= d.set.MinimumAgreeing && 2*agreeing > voters
	var fresh []*source
	expelled := false
	for i, s := range d.sources {
		switch {
		case s.state != NoMajority || !d.majority:
		case use[i]:
			s.state = Selected
			if !all[i].incumbent {
				fresh = append(fresh, s)
			}
		default:
			s.state = Falseticker
			d.expel(s)
			expelled = expelled || all[i].incumbent
			text := "it disagrees with the majority and is not used"
			if chosen[i] {
				text = "it agrees with the majority only by the error that it claims for itself, and is not used"
			}
			if before[i] != Falseticker {
				d.note(Note{Code: "source-falseticker", Source: s.id, Text: text})
			}
		}
	}
	if had != d.majority || (!d.majority && !d.told && d.complete(voters)) {
		d.announce(agreeing, voters)
	}
	if !d.majority {
		return
	}
	for _, s := range fresh {
		d.note(Note{Code: "source-selected", Source: s.id, Text: "it agrees with the majority"})
	}
	d.admit(fresh)
	if expelled && d.young() {
		d.refound() // without what the liar said
	}
	if len(fresh) > 0 || expelled {
		d.reanchor()
		d.dirty = true
	}
	d.confine()
	d.vote()
}

// testimony is what a source says about the offset at a moment, relative to
// an origin, and its standard deviation. Once there is a joint estimate each
// source is compared with it at the time when it was last heard: the clock's
// own wandering since then is no fault of the source, and a source that has
// not been heard for long does not become credible by growing vague.
func (d *Discipline) testimony(s *source, at rawTime, origin proto.Duration) (x, sigma float64) {
	if !s.voice.started {
		return 0, 0
	}
	// While the joint estimate is made anew of every sample, it would move the
	// honest along with the first sample of a liar: then voices alone count.
	if !d.joint.started || d.young() {
		t := s.voice.estimate(at)
		return (s.voice.origin - origin).Seconds() + t.x, t.sigma()
	}
	t := s.voice.latest()
	then, now := d.joint.look(s.voice.at, nil), d.joint.look(at, nil)
	age := at.since(s.voice.at)
	return (s.voice.origin - origin).Seconds() + t.x + now.offset - then.offset,
		t.sigma() + float64(serverDrift*age)
}

// expel takes a source out of the joint estimate. What was learnt about its
// biases is void.
func (d *Discipline) expel(s *source) {
	for _, p := range s.route.paths {
		d.forgo(p)
	}
}

// complete says whether all sources that could vote are measured, and there
// are some.
func (d *Discipline) complete(voters int) bool {
	for _, s := range d.sources {
		if s.cfg.Voting && s.state == Measuring {
			return false
		}
	}
	return voters > 0
}

// announce says whether there is a majority: how many of the voters agree, and
// how many others with them where those have no vote.
func (d *Discipline) announce(agreeing, voters int) {
	d.told = true
	all, needed := fmt.Sprintf("%d of %d sources agree", d.agreeing, voters), fmt.Sprint(max(d.set.MinimumAgreeing, voters/2+1))
	if d.exclusive {
		all = fmt.Sprintf("%d of %d authenticated sources agree, and %d others with them", agreeing, voters, max(d.agreeing-agreeing, 0))
		needed = fmt.Sprintf("%d of the former and %d in all", voters/2+1, d.set.MinimumAgreeing)
	}
	if d.majority {
		d.note(Note{Code: "majority", Text: all})
		return
	}
	d.note(Note{Code: "no-majority", Warn: true, Text: fmt.Sprintf("%s, %s needed; the clock is held", all, needed)})
}

// latest is the time of the newest sample, and an offset near the sources'.
func (d *Discipline) latest() (at rawTime, origin proto.Duration) {
	found := false
	for _, s := range d.sources {
		if s.voice.started && (!found || s.voice.at.sub(at) > 0) {
			at, found, origin = s.voice.at, true, s.voice.origin
		}
	}
	if d.joint.started {
		origin = d.joint.origin
	}
	return at, origin
}

// anchored calls f for the shortest known path of each selected source.
func (d *Discipline) anchored(f func(s *source, p *path)) {
	for _, s := range d.sources {
		if s.state != Selected {
			continue
		}
		var best *path
		for _, p := range s.route.paths {
			if p.col >= 0 && (best == nil || p.base() < best.base()) {
				best = p
			}
		}
		if best != nil {
			f(s, best)
		}
	}
}

// shares are the weights of the biases in what no sample can tell: true time
// is taken to be where the biases of the selected sources, weighted by how
// large they may be, cancel.
func (d *Discipline) shares() []float64 {
	share := make([]float64, len(d.joint.cols))
	total := 0.0
	d.anchored(func(_ *source, p *path) { total += 1 / p.prior })
	d.anchored(func(_ *source, p *path) { share[p.col-2] = 1 / (p.prior * total) })
	return share
}

// biasOf is the mean of a bias over the models.
func (j *joint) biasOf(p *path) float64 {
	b := 0.0
	for q := range j.model {
		b += float64(j.prob[q] * j.model[q].m[p.col])
	}
	return b
}

// reanchor lets the biases of the sources that are believed now cancel, apart
// from what a server did itself.
func (d *Discipline) reanchor() {
	var sum, total float64
	d.anchored(func(_ *source, p *path) {
		sum += (d.joint.biasOf(p) - p.anchor) / p.prior
		total += 1 / p.prior
	})
	if total > 0 {
		d.joint.shift(sum / total)
	}
}

// confine keeps the bias of each source that is believed within what the
// delay to it and its own distance allow. They leave that only when a whole
// majority was found to be wrong.
func (d *Discipline) confine() {
	if !d.joint.started {
		return
	}
	low, high := math.Inf(-1), math.Inf(1)
	d.judged(func(s *source, p *path) {
		b, r := d.joint.biasOf(p), d.largest(s, p)
		low, high = max(low, b-r), min(high, b+r)
	})
	var delta float64
	switch {
	case low > high || (low <= nanosecond && high >= -nanosecond):
		return // they contradict each other, which the vote has to settle; or all is well
	case low > 0:
		delta = low
	default:
		delta = high
	}
	d.joint.shift(delta)
	d.judged(func(_ *source, p *path) { p.anchor = d.joint.biasOf(p) })
	d.anchored(func(s *source, p *path) {
		if math.Abs(d.joint.biasOf(p)) > d.largest(s, p)+nanosecond {
			d.forgo(p) // refuted by the path in use
		}
	})
	d.joint.settle()
	d.dirty = true
}

// judged calls f for each selected source with the path that its bias is
// judged on: the one in use, or the shortest while that is new.
func (d *Discipline) judged(f func(s *source, p *path)) {
	d.anchored(func(s *source, p *path) {
		if r := &s.route; r.now.col >= 0 && r.since >= recentCount {
			p = r.now
		}
		f(s, p)
	})
}

// largest is how large the bias of a path can be. What a detour is longer by
// may all be in one direction, and is known no better than it wavers.
func (d *Discipline) largest(s *source, p *path) float64 {
	r := s.constant(&d.set, p) + s.distance
	if short := s.route.lowest(); p != short && p.base() > float64(asShort*short.base()) {
		r += float64(wavering * p.scale())
	}
	return r
}

// forgo forgets the bias of a path: should it be taken again, it begins anew.
func (d *Discipline) forgo(p *path) {
	d.joint.shrink(p)
	p.anchor = 0
}
