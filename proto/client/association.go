package client

import (
	"io"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Config is how an association polls. Exponents are log2 seconds and are
// brought into 0 to 17 (RFC 5905: MAXPOLL), with PollMax at least PollMin.
type Config struct {
	PollMin, PollMax, PollStart int8
}

// Association is one server.
type Association struct {
	wire    wire
	entropy io.Reader
	cfg     Config

	keys      *Keys
	jar       cookie.Jar
	authentic bool // a reply authenticated with these keys
	refused   bool // an exchange ended with an NTS NAK and nothing better
	nak       bool // and then the next poll came

	next      proto.Instant // next poll
	last      proto.Instant // last poll
	polls     int           // capped at quickStart
	load      time.Duration // what a rate limiting server holds against us
	remoteMin int8          // lowest exponent the server puts up with
	slowed    bool          // it said RATE
	current   int8          // exponent of the interval that is running

	reach       uint8
	unanswered  int  // polls since the last answer, the one in flight included, up to 9
	answered    bool // ever
	demobilised bool

	flight  flight
	history [2]Exchange // newest first
	server  Server
	counts  Counts
}

// Outcome is what an input led to.
type Outcome struct {
	Verdict     Verdict // of a received datagram
	Closed      bool    // the exchange in flight is over; its socket may go
	Answered    bool    // a reply was accepted
	Slowed      bool    // a RATE was believed
	Measured    bool    // Measurement is set
	Measurement kalman.Exchange
	Request     []byte // to be sent; it belongs to the caller
}

// New starts an association that polls at once. keys is nil without Network
// Time Security; cookies are copied.
func New(cfg Config, keys *Keys, cookies [][]byte, now proto.Now, entropy io.Reader) *Association {
	cfg.PollMin = min(max(cfg.PollMin, minPoll), maxPoll)
	cfg.PollMax = min(max(cfg.PollMax, cfg.PollMin), maxPoll)
	cfg.PollStart = min(max(cfg.PollStart, cfg.PollMin), cfg.PollMax)
	a := &Association{wire: ntpv4, entropy: entropy, cfg: cfg, next: now.Mono, remoteMin: cfg.PollMin, current: cfg.PollStart}
	if keys != nil {
		a.Rekey(keys, cookies)
	}
	return a
}

// Rekey gives a protected association new keys: "the client MUST discard all
// old cookies and parameters and use the new ones instead" (RFC 8915 section
// 5.7). An exchange in flight keeps its socket and gets no answer.
func (a *Association) Rekey(keys *Keys, cookies [][]byte) {
	k := *keys
	a.keys, a.jar, a.authentic, a.refused, a.nak = &k, cookie.Jar{}, false, false, false
	a.flight.nonce, a.flight.nak, a.flight.cookie = 0, false, nil
	for _, c := range cookies {
		a.store(c)
	}
}

// store puts a cookie into the jar if it can be of use.
func (a *Association) store(c []byte) {
	if UsableCookie(c) {
		a.jar.Put(c)
	}
}

// UsableCookie reports whether a cookie has a length with which it can be sent:
// 1 to 1024 octets.
func UsableCookie(c []byte) bool { return len(c) > 0 && len(c) <= maxCookieLen }

// Advance does what is due: it ends an exchange whose time is over, and
// polls. desired is the poll exponent that the discipline wants; soon asks to
// poll again as quickly as is polite. An error means that there was no
// randomness; nothing was sent.
func (a *Association) Advance(now proto.Now, desired int8, soon bool) (Outcome, error) {
	var o Outcome
	x := &a.flight
	due := !a.demobilised && now.Mono >= a.next
	switch {
	case x.open && x.answered && (due || now.Mono >= x.completes):
		o = a.complete()
	case x.open && !x.answered && (due || now.Mono >= x.closes):
		o = a.expire()
	}
	if a.demobilised || now.Mono < a.next { // what expired may have moved it
		return o, nil
	}
	request, err := a.poll(now, desired, soon)
	o.Request = request
	return o, err
}

// Deadline is when Advance is due next.
func (a *Association) Deadline() proto.Instant {
	d := proto.Never
	if !a.demobilised {
		d = a.next
	}
	switch {
	case a.flight.open && a.flight.answered:
		d = min(d, a.flight.completes)
	case a.flight.open:
		d = min(d, a.flight.closes)
	}
	return d
}

// SendFailed says that the request in flight did not leave. The poll stays
// unanswered; its cookie, which nobody saw, is unused.
func (a *Association) SendFailed() Outcome {
	if !a.flight.open || a.flight.answered {
		return Outcome{}
	}
	a.store(a.flight.cookie)
	a.flight.open, a.flight.cookie = false, nil
	return Outcome{Closed: true}
}

// Secure reports whether the association uses Network Time Security.
func (a *Association) Secure() bool { return a.keys != nil }

// Authentic reports whether a reply authenticated with the present keys.
func (a *Association) Authentic() bool { return a.authentic }

// Credentials returns the keys and copies of the unused cookies, for another
// association with the same server; nil without Network Time Security.
func (a *Association) Credentials() (*Keys, [][]byte) { return a.keys, a.jar.All() }

// SetAside takes out an unused cookie, which this association then never sends,
// if more than least are left without it.
func (a *Association) SetAside(least int) (cookie []byte, ok bool) {
	if a.jar.Len() <= least {
		return nil, false
	}
	return a.jar.Take()
}

// Cookies is the number of unused cookies.
func (a *Association) Cookies() int { return a.jar.Len() }

// NeedsKeys reports that a new key exchange should be tried, while the
// association goes on with what it has: the server answered with an NTS NAK
// and nothing valid came until the next poll, or there is no cookie left
// (RFC 8915 section 5.7).
func (a *Association) NeedsKeys() bool {
	return a.keys != nil && (a.nak || a.jar.Len() == 0 && !a.flight.open)
}

// Demobilised reports that the server told us to stop. Nothing is sent any
// more.
func (a *Association) Demobilised() bool { return a.demobilised }

// Unreachable reports that the server does not answer: eight polls in a row,
// or its first three.
func (a *Association) Unreachable() bool {
	missed := a.missed()
	return missed >= 8 || !a.answered && missed >= 3
}

// missed is the number of polls since the last answer whose time is over.
func (a *Association) missed() int {
	if a.flight.open && !a.flight.answered {
		return a.unanswered - 1
	}
	return a.unanswered
}

// Answered reports whether the server ever answered.
func (a *Association) Answered() bool { return a.answered }

// Reach is the register of the last eight polls, the newest in the lowest
// bit; a one is a poll that was answered (RFC 5905 section 9.2).
func (a *Association) Reach() uint8 { return a.reach }

// Unanswered is the number of polls since the last answer, up to eight. A poll
// in flight does not count yet.
func (a *Association) Unanswered() int { return min(a.missed(), 8) }

// Poll is the exponent of the interval that is running.
func (a *Association) Poll() int8 { return a.current }

// Server is what the server last said about its clock; zero before it
// answered.
func (a *Association) Server() Server { return a.server }

// Counts are the verdicts so far.
func (a *Association) Counts() Counts { return a.counts }

// Last returns the last two exchanges that gave a measurement, newest first.
func (a *Association) Last() [2]Exchange { return a.history }
