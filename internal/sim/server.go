package sim

import (
	"github.com/ntpd-go/ntpd-go/proto"
)

// responder is a time server of the world: exact or wrong as its model says.
type responder struct {
	model    *Server
	epoch    proto.Timestamp
	rng      random
	clock    *steered // nil when perfect
	up, down path
	node     *world // that it follows, if it does
	leap     bool   // the announced second has passed
	polls    int    // requests that were sent to it, in the statistics window
}

// offset of its clock at a true time.
func (s *responder) offset(t float64) float64 {
	m := s.model
	o := m.Offset
	if m.Sine != nil {
		o += float64(m.Sine.Amp * sine(t/m.Sine.Period))
	}
	for _, step := range m.Steps {
		if t >= step.At {
			o += step.Add
		}
	}
	for _, v := range m.Stuck {
		if v.From <= t && t <= v.To {
			o -= t - v.From
		}
	}
	if s.clock != nil {
		s.clock.advance(t)
		o += s.clock.err
	}
	return o
}

// answer makes the reply to a request that arrives at a true time; nil is
// silence.
func (s *responder) answer(t float64, request []byte) []byte {
	m := s.model
	q, err := proto.ParseHeader(request)
	if err != nil || q.Mode != proto.ModeClient || holds(m.Dead, t) {
		return nil
	}
	o := s.offset(t)
	if m.Follows {
		o += s.node.clock.err
	}
	if g := m.Glitch; g != nil && s.rng.Float64() < g.P {
		if s.rng.Float64() < 0.5 {
			o += g.Size
		} else {
			o -= g.Size
		}
	}
	dispersion := m.Dispersion
	if l := m.Lie; l != nil && t > l.From {
		lie := min(float64(l.Rate*(t-l.From)), l.Most)
		o += lie + float64(l.Noise*s.rng.normal())
		if !l.Boasts {
			dispersion = max(dispersion, lie)
		}
	}
	at := s.epoch.Add(proto.FromSeconds(t)).Add(proto.FromSeconds(o))
	h := proto.Header{
		Leap: s.announces(), Version: q.Version, Mode: proto.ModeServer, Stratum: max(m.Stratum, 1),
		Poll: q.Poll, Precision: -23, RefID: proto.RefIDText("SIM"),
		RootDelay: proto.ToShort(proto.FromSeconds(m.RootDelay)), RootDispersion: proto.ToShort(proto.FromSeconds(dispersion)),
		Reference: at.Add(-proto.Second), Origin: q.Transmit, Receive: at, Transmit: at,
	}
	if m.Follows {
		s.imitate(&h)
	}
	if m.Kiss != "" && holds(m.KissIn, t) {
		h.Stratum, h.RefID, h.Leap = 0, proto.RefIDText(m.Kiss), proto.LeapUnsynchronised
	}
	return h.Append(nil)
}

// imitate makes the header of a server that has taken over what the node
// under test serves.
func (s *responder) imitate(h *proto.Header) {
	v := &s.node.snapshot
	h.Leap, h.Stratum, h.RefID = v.Leap, min(v.Stratum+1, proto.MaxStratum), proto.RefIDAddr(nodeAddress)
	if v.Stratum == 0 {
		h.Leap, h.Stratum = proto.LeapUnsynchronised, proto.MaxStratum
	}
	h.RootDelay, h.RootDispersion = proto.ToShort(v.RootDelay), proto.ToShort(v.RootDispersion)
}

// announces is the leap indicator.
func (s *responder) announces() proto.Leap {
	if s.leap {
		return proto.LeapNone
	}
	return proto.Leap(s.model.Leap)
}
