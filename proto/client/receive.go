package client

import (
	"crypto/subtle"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// maxReply is the longest datagram that is looked at.
const maxReply = 2048

// maxRootDistance is where a server's root distance makes no sense (RFC 5905
// section 7.2: MAXDISP).
const maxRootDistance = 16 * proto.Second

// Receive judges a datagram that arrived on the socket of the exchange in
// flight. The datagram is not kept.
func (a *Association) Receive(now proto.Now, datagram []byte, at proto.Stamp) Outcome {
	v := a.receive(now, datagram, at)
	a.counts[v]++
	o := Outcome{Verdict: v}
	x := &a.flight
	if !x.open || !x.answered || v < KissDeny && v != Accepted {
		return o
	}
	if v == KissDeny || v == KissRate {
		// Authentic, so it need not wait for the end of the exchange.
		e := a.expire()
		e.Verdict = v
		return e
	}
	o.Answered = v == Accepted || v == Unsynchronised
	if x.stamped || !x.measured {
		c := a.complete()
		c.Verdict, c.Answered = v, o.Answered
		return c
	}
	x.completes = min(now.Mono.Add(stampWait), max(x.closes, now.Mono))
	return o
}

// receive is the path of a datagram, in the order in which it loses its
// innocence. Until step 6 nothing that it says has been believed.
func (a *Association) receive(now proto.Now, datagram []byte, at proto.Stamp) Verdict {
	x := &a.flight
	// 1. Length.
	switch {
	case len(datagram) < proto.HeaderLen:
		return Short
	case len(datagram) > maxReply:
		return Long
	}
	// 2. Parse.
	r, v := a.wire.parseReply(datagram, a.keys != nil)
	if v != Accepted {
		return v
	}
	// 3. Origin: one reply to the one request in flight.
	switch {
	case !x.open || x.answered:
		return Unsolicited
	case now.Mono > x.closes:
		return Late
	case x.nonce == 0 || r.nonce != x.nonce:
		return BadOrigin
	}
	// 4 and 5. "the client MUST verify that the Unique Identifier matches
	// that of an outstanding request, and that the packet is authentic under
	// the S2C key associated with that request. If either of these checks
	// fails, the packet MUST be discarded without further processing"
	// (RFC 8915 section 5.7).
	if a.keys != nil {
		if v := a.authenticate(r, datagram); v != Accepted {
			return v
		}
	}
	// 6. Kiss codes.
	if r.kiss {
		return a.kissed(r.code)
	}
	// 7. Sanity.
	return a.accept(r, at)
}

// authenticate checks the unique identifier and the authenticator. Only an
// authentic reply ends the exchange, and only its encrypted cookies are kept.
func (a *Association) authenticate(r reply, datagram []byte) Verdict {
	x := &a.flight
	// 4. Unique identifier: exactly one, ours.
	if r.uniqueIDs != 1 || subtle.ConstantTimeCompare(r.uniqueID, x.uniqueID[:]) != 1 {
		return BadUniqueID
	}
	// 5. Authenticate. "In particular, the client MUST discard unprotected
	// responses to NTS-protected requests" (RFC 8915 section 5.7). A NAK
	// cannot be protected; it is remembered for when nothing better comes.
	if !r.sealed {
		if r.kiss && r.code == proto.KissNTSN {
			x.nak = true
			return KissNTSN
		}
		return Unauthenticated
	}
	plaintext, err := aead.OpenField(nil, datagram, r.auth, a.keys.S2C)
	if err != nil {
		return BadAuthenticator
	}
	if proto.CheckInner(plaintext) != nil {
		return Malformed
	}
	x.answered, a.authentic, a.nak = true, true, false
	for f := range proto.Inner(plaintext) {
		if f.Type == proto.FieldCookie {
			a.store(f.Value)
		}
	}
	return Accepted
}

// kissed takes note of a kiss code. It is acted on at once when it is
// authentic, else when the exchange ends without a proper reply. The packet's
// timestamps "MUST NOT be relied upon to have valid values and MUST be
// discarded" (RFC 5905 section 7.4).
func (a *Association) kissed(code proto.RefID) Verdict {
	x := &a.flight
	switch code {
	case proto.KissDeny, proto.KissRstr:
		x.deny = true
		return KissDeny
	case proto.KissRate:
		x.rate = true
		return KissRate
	default:
		// "Kiss codes beginning with the ASCII character "X" [...] MUST be
		// ignored if not recognized" and others "have no protocol
		// significance" (RFC 5905 section 7.4); nor has an NTS NAK where no
		// NTS is spoken, or where the packet contradicts it by being sealed.
		return KissOther
	}
}

// accept takes a time reply in, if it makes sense.
func (a *Association) accept(r reply, at proto.Stamp) Verdict {
	x := &a.flight
	s := r.server
	switch hold := r.sent.Sub(r.received); {
	case s.Stratum > proto.MaxStratum:
		return BadStratum
	case s.Leap == proto.LeapUnsynchronised || s.Stratum == proto.MaxStratum:
		a.answer(s)
		return Unsynchronised
	case r.received.IsZero() || r.sent.IsZero() || hold < 0 || hold > maxHold:
		return BadTimes
	case s.RootDistance() >= maxRootDistance:
		return BadRoot
	}
	a.answer(s)
	x.measured = true
	x.exchange = kalman.Exchange{
		T4: at, T2: r.received, T3: r.sent,
		RootDelay: s.RootDelay, RootDispersion: s.RootDispersion,
		Precision: r.precision, Leap: s.Leap, Stratum: s.Stratum,
	}
	return Accepted
}

// answer notes that the server answered the poll in flight.
func (a *Association) answer(s Server) {
	a.flight.answered = true
	a.answered = true
	a.reach |= 1
	a.unanswered = 0
	a.server = s
}
