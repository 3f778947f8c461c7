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

	track     track
	delays    delays
	delay     float64 // shortest round trip remembered
	surprises int     // in a row, with their sign
	soon      bool

	distance float64 // the server's own root distance, s
	rootDel  proto.Duration
	rootDisp proto.Duration
	leap     proto.Leap
	stratum  uint8
	accuracy float64
}

// radius is how far from the source's offset the truth may lie by what we
// measured ourselves.
func (s *source) radius(set *settings) float64 {
	return float64(set.statisticalWeight*math.Sqrt(s.track.pxx)) + float64(set.delayWeight*s.delay) + s.accuracy
}

// fit says whether the source may vote at all, and if not, why.
func (s *source) fit(set *settings) (State, string) {
	switch {
	case !s.reachable:
		return Unreachable, ""
	case s.leap == proto.LeapUnsynchronised:
		return Unusable, "it is not synchronised"
	case s.stratum >= set.LocalStratum:
		return Unusable, "its stratum is not below local-stratum"
	case s.samples < usable:
		return Measuring, ""
	case s.radius(set) > set.uncertaintyMax:
		return Unusable, "its uncertainty is too large"
	default:
		return NoMajority, ""
	}
}

// absorb takes in a sample. It reports whether the source's track changed.
func (s *source) absorb(m sample, set *settings, q float64) bool {
	s.distance, s.accuracy = m.distance, m.accuracy
	if m.delay > 0 {
		s.delays.add(m.delay)
		s.delay = s.delays.min()
	}
	excess := max(m.delay-s.delay, 0)
	spread := s.delays.spread() / math.Sqrt(float64(min(s.delays.n, 64)+1))
	noise := float64(m.noise*m.noise) + float64(excess*excess)/12 + float64(spread*spread)
	if s.samples == 0 {
		first := float64(m.delay*m.delay)/4 + noise
		s.track = track{origin: m.offset, at: m.at, pxx: first, w: s.track.w, pww: s.track.pww}
		s.samples = 1
		return true
	}
	if m.at.sub(s.track.at) < 0 {
		return false
	}
	s.track.predict(m.at, q)
	v := (m.offset - s.track.origin).Seconds() - s.track.x
	if m.period > 0 {
		v -= float64(m.period * math.Floor(v/m.period+0.5))
		m.offset = s.track.origin + proto.FromSeconds(s.track.x+v)
	}
	s.soon = false
	if s.samples >= usable && math.Abs(v) > excess/2+4*math.Sqrt(s.track.pxx+noise)+2*s.delays.spread() {
		if !s.confirmed(v) {
			s.soon = true
			return false
		}
		s.track.pxx += float64(v * v)
		s.track.pww += float64(set.frequencyPrior * set.frequencyPrior)
	}
	s.surprises = 0
	s.track.update(m.offset, noise)
	s.samples++
	return true
}

// confirmed counts surprises of one sign in a row; the second is believed.
func (s *source) confirmed(v float64) bool {
	switch {
	case v > 0:
		s.surprises = max(s.surprises, 0) + 1
	default:
		s.surprises = min(s.surprises, 0) - 1
	}
	return s.surprises > 1 || s.surprises < -1
}

// poll is the interval that the source wants next.
func (s *source) poll() int8 {
	ramp := int(s.cfg.PollStart)
	if s.samples > 8 {
		ramp += int((s.samples - 8) / 8)
	}
	top := max(s.cfg.PollMin, min(s.cfg.PollMax, int8(min(ramp, 17))))
	noise := max(s.delays.spread()/3, 1e-6)
	for p := s.cfg.PollMin; p < top; p++ {
		t := math.Ldexp(1, int(p)+1)
		next := s.track
		next.predict(s.track.at+rawTime(proto.FromSeconds(t)), wander*wander)
		if next.pxx > noise*noise {
			return p
		}
	}
	return top
}
