package engine

import (
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Back-off of name look-ups.
const (
	firstLookup = time.Second
	// maxLookup is the longest wait while a server is missing.
	maxLookup = 64 * time.Second
	// maxRefresh is the longest wait while all that is wrong is that a live
	// server does not answer.
	maxRefresh = 1024 * time.Second
)

// resolver looks up the name of a source, one request at a time, with
// back-off.
type resolver struct {
	request RequestID     // 0 when none is in flight
	began   proto.Instant // the last look-up
	retry   proto.Instant // no look-up before
	tries   int           // since the source was last well
	failure Failure       // of the last look-up
}

// look starts a look-up if one may start.
func (r *resolver) look(e *Engine, s *source, longest time.Duration) {
	if r.request != 0 || e.now.Mono < r.retry {
		return
	}
	r.request, r.began = e.request(), e.now.Mono
	r.retry = e.now.Mono.Add(min(firstLookup<<min(r.tries, 16), longest))
	r.tries++
	e.emit(Lookup{Request: r.request, Host: s.cfg.Host, Route: s.cfg.Route})
}

// answer takes in the answer to the look-up in flight and returns the usable
// addresses.
func (r *resolver) answer(e *Engine, s *source, ev LookedUp) []netip.Addr {
	r.request = 0
	addrs := bounded(ev.Addrs, s.maxAddrs())
	f := ev.Failure
	if !f.Failed() && len(addrs) == 0 {
		f = Failure{Class: ClassDNS, Text: "the name has no address that can be a server's; check the name"}
	}
	if f.Failed() {
		e.reportFailure(s, "dns-failed", r.failure, f)
	}
	r.failure = f
	return addrs
}

// well says that the source needs nothing: the back-off starts over.
func (r *resolver) well() { r.tries, r.failure = 0, Failure{} }

func (r *resolver) hurry(_ *source, now proto.Instant) {
	if r.request == 0 {
		r.retry = min(r.retry, max(now, r.began.Add(firstLookup)))
		r.tries = 0
	}
}

func (r *resolver) pending() pending {
	switch {
	case r.request != 0:
		return pending{condition: Resolving, retry: proto.Never, failure: r.failure}
	default:
		return pending{condition: Waiting, retry: r.retry, failure: r.failure}
	}
}

// literal returns the address of a source that is configured by address.
func (s *source) literal() (netip.Addr, bool) {
	a, err := netip.ParseAddr(s.cfg.Host)
	return a.Unmap(), err == nil
}

// noKeys is the part of a spawner that never exchanges keys.
type noKeys struct{}

func (noKeys) keysEstablished(*Engine, *source, KeysEstablished)     {}
func (noKeys) keyExchangeFailed(*Engine, *source, KeyExchangeFailed) {}
