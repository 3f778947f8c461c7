package kalman

import (
	"math"

	"github.com/ntpd-go/ntpd-go/proto"
)

// source is one time source and what its samples say.
type source struct {
	id        SourceID
	cfg       SourceConfig
	reachable bool
	state     State
	reason    string
	samples   uint64
	updated   proto.Timestamp

	voice   voice
	route   route
	backlog []heard // the first samples

	denial   float64    // innovation that denies the estimate, with its sign, s; 0 when none does
	against  []SourceID // who has refuted it
	lies     int        // denials in a row that a majority refuted
	run      int        // surprises in a row, with their sign
	runAt    rawTime    // when the run began
	goodAt   rawTime    // last sample that was no surprise
	calm     int        // samples that were none since the clock was last blamed
	asked    int        // confirmations asked for …
	askedAt  rawTime    // … since then
	hasAsked bool
	soon     bool // poll again at once, to confirm

	distance float64        // the server's own root distance, s
	rootDel  proto.Duration // the server's root delay
	rootDisp proto.Duration
	leap     proto.Leap
	stratum  uint8
	accuracy float64 // of a reference clock, s
	noise    float64 // of its stamps, s
}

// heard is a sample and the path that it came over.
type heard struct {
	sample
	path *path
}

// bias is the variance of what a path over this round trip may be off before
// anything is learnt: a tenth of the delay, and what the server admits.
func (m *sample) bias(dispersion float64) float64 {
	a := 0.1 * m.delay
	return float64(a*a) + float64(dispersion*dispersion) + float64(m.accuracy*m.accuracy) + minBias
}

// excessOf says what the round trip of a sample, which the path remembers,
// tells about its error. A reference clock has none: its noise is given.
func (p *path) excessOf(m *sample) excess {
	if m.delay == 0 {
		return excess{sigma: 3 * m.noise}
	}
	return p.excess(m.delay)
}

// base is the shortest round trip of the path in use; 0 when there is none.
func (s *source) base() float64 {
	if s.route.now == nil || s.route.now.count() == 0 {
		return 0
	}
	return s.route.now.base()
}

// today is the shortest of the last eight round trips of the path in use, as the
// clock filter of RFC 5905 section 10 has it; 0 when there is none. Behind a
// queue that lasts they are all longer than the base, and the estimate may be as
// wrong as the best of them.
func (s *source) today() float64 {
	short := 0.0
	for i, t := range s.route.recent {
		if i == 0 || t.delay < short {
			short = t.delay
		}
	}
	return short
}

// radius is how far from the source's offset the truth may lie by what was
// measured here, with a deviation sigma of the offset.
func (s *source) radius(set *settings, sigma float64) float64 {
	return float64(set.statisticalWeight*sigma) + s.constant(set, s.route.now)
}

// constant is how large the bias of a path may be, but for the server's own.
func (s *source) constant(set *settings, p *path) float64 {
	if p.count() == 0 {
		return s.accuracy
	}
	return float64(set.delayWeight*p.base()) + s.accuracy
}

// fit says whether the source may vote at all, and if not, why.
func (s *source) fit(set *settings, sigma float64) (State, string) {
	switch {
	case !s.reachable:
		return Unreachable, ""
	case s.leap == proto.LeapUnsynchronised:
		return Unusable, "it is not synchronised"
	case s.stratum >= set.LocalStratum:
		return Unusable, "its stratum is not below local-stratum"
	case s.samples < usable:
		return Measuring, ""
	case s.radius(set, sigma) > set.uncertaintyMax:
		return Unusable, "its uncertainty is too large"
	default:
		return NoMajority, ""
	}
}

// impossible says whether the delay cannot explain an innovation whose
// prediction has a variance. noise is what remains besides the excess, in
// scales of the jitter.
func impossible(v, variance, noise float64, x excess) bool {
	r := noise * x.sigma
	return math.Abs(v) > x.span/2+4*math.Sqrt(variance+float64(r*r))+float64(impossibleMargin*x.sigma)
}

// reach is how far off a sample of a good estimate may be: half of what its
// round trip is too long by, the deviation of the estimate, and the noise
// besides. That is in scales of the jitter of all samples; behind a queue the
// good ones have no more of it than excess. A reference clock has nothing else.
func (s *source) reach(variance float64, x excess) float64 {
	r := x.sigma
	if x.span > 0 {
		r = min(r, x.span)
	}
	r *= s.voice.noise()
	return x.span/2 + 4*math.Sqrt(variance+float64(r*r)) + stillness
}

// settled ends a run of surprises and what they said, as they are explained.
func (s *source) settled() { s.run, s.denial = 0, 0 }

// surprised judges an innovation that the delay cannot explain: the clock, the
// server or a stamp is wrong. It counts them in a row.
func (s *source) surprised(v, variance float64, x excess, at rawTime) bool {
	if !impossible(v, variance, s.voice.noise(), x) {
		s.run, s.goodAt, s.soon = 0, at, false
		s.calm++
		return false
	}
	if s.run == 0 || (v > 0) != (s.run > 0) {
		s.run, s.runAt = 0, at
	}
	if v > 0 {
		s.run++
	} else {
		s.run--
	}
	s.ask(at)
	return true
}

// ask wants another sample at once, within reason.
func (s *source) ask(at rawTime) {
	if s.cfg.PollMin == s.cfg.PollMax {
		return // the operator wants exactly this interval
	}
	if !s.hasAsked || at.since(s.askedAt) > confirmPeriod {
		s.asked, s.askedAt, s.hasAsked = 0, at, true
	}
	s.soon = s.asked < confirmations
	s.asked++
}
