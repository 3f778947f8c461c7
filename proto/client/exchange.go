package client

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Times of an exchange.
const (
	// replyWindow is how long a reply is waited for, unless the next poll
	// comes first.
	replyWindow = 5 * time.Second
	// stampWait is how long a reply that overtook the transmit timestamp of
	// its request waits for it.
	stampWait = 10 * time.Millisecond
	// maxHold is the longest time a server may take between its two
	// timestamps.
	maxHold = 4 * proto.Second
	// minDelay is the round trip below which an exchange contradicts itself
	// by more than the rates of two clocks explain.
	minDelay = -proto.Second / 1024
)

// flight is the exchange in flight.
type flight struct {
	open     bool // an answer may still come, or a stamp
	nonce    uint64
	uniqueID [proto.UniqueIDLen]byte
	cookie   []byte        // that pays for it; nil without Network Time Security
	began    proto.Now     // when the request was built
	sent     proto.Stamp   // best stamp of its departure
	stamped  bool          // the shell reported sent
	closes   proto.Instant // end of the reply window
	exponent int8          // of the interval that the poll began

	answered  bool            // one reply was accepted; no other will be
	measured  bool            // it holds a time
	exchange  kalman.Exchange // its measurement, T1 still open
	completes proto.Instant   // when waiting for the stamp ends
	straddled bool            // the clock was moved meanwhile

	deny, rate, nak bool // kisses to believe when no proper reply comes
}

// Exchange is a finished exchange that an association remembers: the last two
// are what interleaved modes of the protocol need.
type Exchange struct {
	Nonce uint64
	kalman.Exchange
}

// Sent tells when the request in flight left. A stamp from lower in the
// machine replaces one from higher up.
func (a *Association) Sent(now proto.Now, s proto.Stamp) Outcome {
	x := &a.flight
	if !x.open || s.Source == proto.StampNone || (x.stamped && s.Source <= x.sent.Source) {
		return Outcome{}
	}
	x.sent, x.stamped = s, true
	if x.answered {
		return a.complete()
	}
	return Outcome{}
}

// complete ends an answered exchange and yields its measurement, if what the
// reply said and the stamps agree.
func (a *Association) complete() Outcome {
	x := &a.flight
	x.open = false
	o := Outcome{Closed: true}
	if !x.measured {
		return o
	}
	x.exchange.T1 = x.sent
	if v := plausible(x); v != Accepted {
		a.counts[v]++
		return o
	}
	a.history[1], a.history[0] = a.history[0], Exchange{Nonce: x.nonce, Exchange: x.exchange}
	o.Measured, o.Measurement = true, x.exchange
	return o
}

// plausible checks what needs all four timestamps.
func plausible(x *flight) Verdict {
	local := x.exchange.T4.At.Sub(x.exchange.T1.At)
	remote := x.exchange.T3.Sub(x.exchange.T2)
	switch {
	case x.straddled:
		return Straddled
	case local < 0 || local > proto.FromStd(replyWindow+stampWait) || local-remote < minDelay:
		return BadDelay
	}
	return Accepted
}

// expire ends an exchange that nobody answered properly, and now believes the
// kisses that came instead of an answer.
func (a *Association) expire() Outcome {
	x := &a.flight
	x.open = false
	o := Outcome{Closed: true}
	a.refused = a.refused || x.nak
	switch {
	case x.deny:
		a.demobilised = true
	case x.rate:
		a.slow(x.exponent)
		o.Slowed = true
	}
	return o
}

// ClockMoved says that the clock that stamps packets was moved at a moment:
// an exchange that was in flight then has timestamps of two timescales, and
// gives no measurement. Its reply still shows that the server answers.
func (a *Association) ClockMoved(at proto.Instant) {
	if a.flight.open && a.flight.began.Mono <= at {
		a.flight.straddled = true
	}
}
