package engine

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/client"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// maxDistance is the root distance from which a server's time is of no use
// (RFC 5905 section 7.2: MAXDIST), and from which our own is not served.
const maxDistance = proto.Second + proto.Second/2

// poll advances every association whose time has come.
func (e *Engine) poll() {
	e.lives(func(s *source, slot *slot, l *live) {
		if e.halted || e.now.Mono < l.assoc.Deadline() {
			return
		}
		want := e.discipline.Source(e.now, l.id)
		o, err := l.assoc.Advance(e.now, want.Poll, want.Soon)
		if err != nil {
			e.noRandomness(err)
			return
		}
		e.outcome(s, l, o)
	})
}

// outcome carries out what an association decided.
func (e *Engine) outcome(s *source, l *live, o client.Outcome) {
	if o.Closed && l.exchange != 0 {
		e.emit(Abandon{Exchange: l.exchange})
		l.exchange = 0
	}
	if o.Answered {
		e.setAside(l)
	}
	if o.Measured {
		l.measured = measured(o.Measurement)
		l.fit = e.fit(l) // what this reply says counts for its measurement
		e.discipline.Reachable(l.id, l.fit)
		e.discipline.Observe(e.now, l.id, o.Measurement)
		e.hasten()
		e.serving.changed, e.serving.heard = true, e.now.Mono
		e.reportSource(s, l, Incident{Level: Debug, Code: "measurement", Text: describe(o.Measurement)})
	}
	if o.Slowed {
		e.reportSource(s, l, Incident{
			Level: Warn, Code: "kiss-rate", Reason: "rate",
			Text: fmt.Sprintf("the server asks for fewer requests; polling every %d s from now on. Raise poll-interval-limits.min if this comes again", int64(1)<<l.assoc.Poll()),
		})
	}
	if l.assoc.Demobilised() {
		e.demobilise(l.addr, l.assoc.Secure())
		return
	}
	if o.Request != nil {
		e.lastExchange++
		l.exchange = e.lastExchange
		e.emit(Send{Exchange: l.exchange, To: l.addr, Route: s.cfg.Route, Payload: o.Request})
	}
}

// hasten brings forward the polls that the discipline cannot wait for.
func (e *Engine) hasten() {
	e.lives(func(_ *source, _ *slot, l *live) {
		if e.discipline.Urgent(l.id) {
			l.assoc.PollSoon(e.now.Mono)
		}
	})
}

// measured is what an exchange says by itself (RFC 5905 section 8).
func measured(m kalman.Exchange) Measurement {
	local, remote := m.T4.At.Sub(m.T1.At), m.T3.Sub(m.T2)
	return Measurement{Offset: m.T2.Sub(m.T1.At)/2 + m.T3.Sub(m.T4.At)/2, Delay: local - remote}
}

func describe(m kalman.Exchange) string {
	x := measured(m)
	return fmt.Sprintf("offset %v delay %v stratum %d stamps %v %v", x.Offset, x.Delay, m.Stratum, m.T1.Source, m.T4.Source)
}

// find returns the source whose exchange is in flight under an ID.
func (e *Engine) find(id ExchangeID) (s *source, l *live) {
	e.lives(func(src *source, _ *slot, x *live) {
		if id != 0 && x.exchange == id {
			s, l = src, x
		}
	})
	return s, l
}

func (e *Engine) sent(ev Sent) {
	if e.probed(ev.Exchange, func(p *probe) client.Outcome { return p.assoc.Sent(e.now, ev.Stamp) }) {
		return
	}
	if s, l := e.find(ev.Exchange); l != nil {
		e.outcome(s, l, l.assoc.Sent(e.now, ev.Stamp))
	}
}

// sendFailed drops the poll. A refused connection is different: an ICMP
// message that anyone can forge says so, and the reply may still come.
func (e *Engine) sendFailed(ev SendFailed) {
	if e.probed(ev.Exchange, func(p *probe) client.Outcome {
		if ev.Failure.Class == ClassRefused {
			return client.Outcome{}
		}
		return p.assoc.SendFailed()
	}) {
		return
	}
	s, l := e.find(ev.Exchange)
	if l == nil {
		return
	}
	e.reportSource(s, l, Incident{Level: Debug, Code: "send-failed", Reason: Reason(ev.Failure.Class), Text: ev.Failure.Text})
	if ev.Failure.Class != ClassRefused {
		e.outcome(s, l, l.assoc.SendFailed())
	}
}

func (e *Engine) received(ev Received) {
	if e.probed(ev.Exchange, func(p *probe) client.Outcome {
		if ev.From != p.addr {
			return client.Outcome{}
		}
		return p.assoc.Receive(e.now, ev.Payload, ev.Stamp)
	}) {
		return
	}
	s, l := e.find(ev.Exchange)
	if l == nil || ev.From != l.addr {
		return
	}
	e.outcome(s, l, l.assoc.Receive(e.now, ev.Payload, ev.Stamp))
}

// judge tells the discipline which sources are fit for use, and people what
// is wrong with the others.
func (e *Engine) judge() {
	e.lives(func(s *source, _ *slot, l *live) {
		if fit := e.fit(l); fit != l.fit {
			l.fit = fit
			e.discipline.Reachable(l.id, fit)
		}
		_, reason, text := e.problem(l)
		if reason == l.told {
			return
		}
		before := l.told
		l.told = reason
		if reason == "" {
			e.reportSource(s, l, Incident{Level: Info, Code: "source-well", Reason: before, Text: "the server can be used again"})
			return
		}
		level := Warn
		if reason == ReasonUnsynchronised {
			level = Info // what every server says for a while after it was started
		}
		e.reportSource(s, l, Incident{Level: level, Code: "source-problem", Reason: reason, Text: text})
	})
}

func (e *Engine) fit(l *live) bool {
	_, reason, _ := e.problem(l)
	return reason == ""
}

// Reasons why a live source is of no use.
const (
	ReasonSilent         Reason = "no-answer"
	ReasonUnsynchronised Reason = "unsynchronised"
	ReasonStratum        Reason = "stratum"
	ReasonDistance       Reason = "root-distance"
	ReasonLoop           Reason = "loop"
	ReasonDenied         Reason = "denied"
)

// problem is why a live source is of no use (RFC 5905 section 11.2, fit()),
// or nothing.
func (e *Engine) problem(l *live) (Condition, Reason, string) {
	server := l.assoc.Server()
	_, loop := slices.BinarySearch(e.local, server.RefID)
	switch {
	case l.assoc.Unreachable():
		return Unreachable, ReasonSilent, "the server does not answer; check the address, the network and firewalls (UDP port " + fmt.Sprint(l.addr.Port()) + ")"
	case !l.assoc.Answered():
		return "", "", ""
	case server.Leap == proto.LeapUnsynchronised || server.Stratum >= proto.MaxStratum:
		return Unusable, ReasonUnsynchronised, "the server answers that it does not know the time; wait, or configure another"
	case server.Stratum >= e.limitStratum():
		return Unusable, ReasonStratum, fmt.Sprintf("the server's stratum %d is not below local-stratum %d", server.Stratum, e.limitStratum())
	case server.RootDistance() > maxDistance:
		return Unusable, ReasonDistance, "the server is too uncertain of its time (root distance " + server.RootDistance().String() + ")"
	case server.Stratum >= 2 && loop:
		return Unusable, ReasonLoop, "the server takes its time from this machine; remove one of the two sources"
	case server.Stratum >= 2 && e.here(l.addr.Addr()):
		return Unusable, ReasonLoop, "the server is this machine; remove the source"
	case e.ourselves(l.addr):
		return Unusable, ReasonLoop, "the server is this daemon itself; remove the source, or correct the name that leads here"
	}
	return "", "", ""
}

// here reports whether an address is one of this machine's, loopback aside.
func (e *Engine) here(a netip.Addr) bool {
	_, found := slices.BinarySearch(e.local, proto.RefIDAddr(a))
	return found
}

// ourselves reports whether this program serves at an address: it would agree
// with itself, whatever the time is. Loopback addresses count here, because the
// port tells our server from others on this machine.
func (e *Engine) ourselves(a netip.AddrPort) bool {
	addr := a.Addr().Unmap()
	return slices.ContainsFunc(e.sockets, func(s netip.AddrPort) bool {
		at := s.Addr().Unmap()
		all := at.IsUnspecified() && (at.Is6() || addr.Is4())
		return s.Port() == a.Port() && (at == addr || all && (addr.IsLoopback() || e.here(addr)))
	})
}

// limitStratum is the stratum from which sources are not used.
func (e *Engine) limitStratum() uint8 {
	if s := e.cfg.LocalStratum; s != 0 && s < proto.MaxStratum {
		return s
	}
	return proto.MaxStratum
}
