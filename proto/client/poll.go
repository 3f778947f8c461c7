package client

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// Limits of polling.
const (
	minPoll = 0  // 1 s
	maxPoll = 17 // RFC 5905 section 7.2: MAXPOLL, 36 h

	// quickInterval is the shortest time between two polls of a burst.
	// Servers with rate limits take packets closer than this for abuse.
	quickInterval = 2 * time.Second
	// quickStart is how many polls an association starts with at
	// quickInterval, whatever the discipline wants.
	quickStart = 4
	// A server that limits rates charges each packet with the shortest
	// average interval that it allows, in common configurations 8 s, and
	// refuses a client in debt by more than 64 s. We stay well below.
	packetCharge = 8 * time.Second
	maxLoad      = 52 * time.Second
	// maxSlowed bounds what RATE can do: "a reasonable maximum [that] should
	// not exceed a poll interval value of 13" (RFC 8633 section 5.4).
	maxSlowed = 13
)

// Limits of cookies in a request.
const (
	// maxCookieLen is the longest cookie that is of use.
	maxCookieLen = 1024
	// cookieRoom is what a cookie and its placeholders may take in a request,
	// so that it stays below the 1280 octets that every path carries
	// (RFC 8915 section 5.7).
	cookieRoom = 1024
)

// poll builds a request and starts the clock for its answer.
func (a *Association) poll(now proto.Now, desired int8, soon bool) ([]byte, error) {
	interval, exponent, err := a.interval(now.Mono, desired, soon)
	if err != nil {
		return nil, err
	}
	q, err := a.query()
	if err != nil {
		return nil, err
	}
	request, err := a.wire.appendRequest(nil, q, a.entropy)
	if err != nil {
		return nil, err
	}
	// "Upon reception of the NTS NAK kiss code, the client SHOULD wait until
	// the next poll for a valid NTS-protected response, and if none is
	// received, initiate a fresh NTS-KE handshake" (RFC 8915 section 5.7).
	a.nak, a.refused = a.nak || a.refused, false
	a.shift()
	a.charge(now.Mono)
	a.last, a.next, a.current = now.Mono, now.Mono.Add(interval), exponent
	a.polls = min(a.polls+1, quickStart)
	if a.keys != nil && q.cookie == nil {
		return nil, nil // nothing to pay with; a new key exchange is due
	}
	a.flight = flight{
		open:     true,
		nonce:    q.nonce,
		cookie:   q.cookie,
		began:    now,
		sent:     proto.Stamp{At: now.Wall, Source: proto.StampDaemon},
		closes:   now.Mono.Add(min(replyWindow, interval-stampWait)),
		exponent: exponent,
	}
	copy(a.flight.uniqueID[:], q.uniqueID)
	return request, nil
}

// query draws what a request needs.
func (a *Association) query() (query, error) {
	var q query
	var err error
	for q.nonce == 0 && err == nil { // zero is what a forger would try first
		q.nonce, err = a.random()
	}
	if a.keys == nil || err != nil {
		return q, err
	}
	q.uniqueID = make([]byte, proto.UniqueIDLen)
	if _, err := io.ReadFull(a.entropy, q.uniqueID); err != nil {
		return q, fmt.Errorf("client: no randomness for a unique identifier: %w", err)
	}
	c, ok := a.jar.Take()
	if !ok {
		return q, nil
	}
	q.keys, q.cookie, q.placeholders = a.keys, c, placeholders(a.jar.Len(), len(c))
	return q, nil
}

// placeholders is how many more cookies to ask for than the one that comes
// anyway, with held cookies left. "The number of NTS Cookie Placeholder
// extension fields that the client includes SHOULD be such that if the client
// includes N placeholders and the server sends back N+1 cookies, the number
// of unused cookies stored by the client will come to eight", "The client
// SHOULD NOT include more than seven", and fewer "if doing so is necessary to
// prevent fragmentation" (RFC 8915 section 5.7).
func placeholders(held, cookieLen int) int {
	return max(0, min(cookie.JarSize-held, cookieRoom/cookieLen)-1)
}

// shift makes room in the reachability register for a new poll.
func (a *Association) shift() {
	a.reach <<= 1
	a.unanswered = min(a.unanswered+1, 9)
}

// interval is the time until the poll after this one: jitter of one to five
// percent keeps clients apart and only ever lengthens it.
func (a *Association) interval(now proto.Instant, desired int8, soon bool) (time.Duration, int8, error) {
	exponent := a.steady(desired)
	base := time.Second << exponent
	if a.quick(now, soon) && quickInterval < base {
		base, exponent = quickInterval, 1
	}
	r, err := a.random()
	if err != nil {
		return 0, 0, err
	}
	spread, _ := bits.Mul64(uint64(base/25), r)
	return base + base/100 + time.Duration(spread), exponent, nil
}

// steady is the exponent outside of bursts.
func (a *Association) steady(desired int8) int8 {
	return max(min(max(desired, a.cfg.PollMin), a.cfg.PollMax), a.remoteMin)
}

// quick reports whether the next poll may come in a burst: at the start or
// when the discipline asks, while the server answers, has not said RATE, and
// would not have to.
func (a *Association) quick(now proto.Instant, soon bool) bool {
	wanted := soon || a.polls+1 < quickStart
	next := a.debt(now) + packetCharge - quickInterval + packetCharge
	return wanted && !a.slowed && a.unanswered < 3 && next <= maxLoad
}

// debt is what is left of the charges for earlier packets.
func (a *Association) debt(now proto.Instant) time.Duration {
	return max(0, a.load-now.Sub(a.last))
}

func (a *Association) charge(now proto.Instant) { a.load = a.debt(now) + packetCharge }

// slow obeys a RATE: "the client MUST immediately reduce its polling interval
// to that server and continue to reduce it each time it receives a RATE kiss
// code" (RFC 5905 section 7.4; the rate is what is reduced). Each one doubles
// the interval, up to the configured maximum, and ends bursts. What the kiss
// says about the interval is not used: it "MUST NOT simply accept any value"
// (RFC 8633 section 5.4). It holds as long as the association.
func (a *Association) slow(exponent int8) {
	limit := max(min(a.cfg.PollMax, maxSlowed), a.cfg.PollMin)
	a.remoteMin = max(a.remoteMin, min(max(a.remoteMin, exponent)+1, limit))
	a.slowed = true
	a.current = max(a.current, a.remoteMin)
	a.next = max(a.next, a.last.Add(time.Second<<a.current+time.Second<<a.current/100))
}

// PollSoon brings the next poll forward, after the machine slept or the
// network changed, but not closer to the last than a burst would. A server
// that said RATE is left alone.
func (a *Association) PollSoon(now proto.Instant) {
	if a.slowed || a.debt(now)+packetCharge > maxLoad {
		return
	}
	earliest := now
	if a.polls > 0 {
		earliest = max(now, a.last.Add(quickInterval))
	}
	a.next = min(a.next, earliest)
}

func (a *Association) random() (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(a.entropy, b[:]); err != nil {
		return 0, fmt.Errorf("client: no randomness: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]), nil
}
