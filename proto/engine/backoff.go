package engine

import (
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Retry intervals of key exchanges: "exponential backoff, with an initial and
// minimum retry interval of 10 seconds, a maximum retry interval of 5 days,
// and a base of 1.5. Thus, the minimum interval in seconds, 't', for the nth
// retry is calculated with the following: t = min(10 * 1.5^(n-1), 432000)"
// (RFC 8915 section 4.2).
const (
	minKeyRetry = 10 * time.Second
	maxKeyRetry = 5 * 24 * time.Hour
)

// maxRetries is where retries are no longer counted; the interval has reached
// its maximum long before.
const maxRetries = 100

// keyBackoff keeps key exchanges of one slot apart, whatever makes them
// necessary: failures, keys that do not work, or forged NTS NAKs.
type keyBackoff struct {
	n    int           // exchanges since the last that proved good
	last proto.Instant // start of the last exchange
	used bool          // there was one
}

// ready is the earliest moment for the next exchange.
func (b *keyBackoff) ready() proto.Instant {
	if !b.used {
		return 0
	}
	return b.last.Add(keyRetry(b.n))
}

// begin notes that an exchange starts.
func (b *keyBackoff) begin(now proto.Instant) {
	b.n, b.last, b.used = min(b.n+1, maxRetries), now, true
}

// proven starts over: "Clients MUST NOT reset the retry interval until they
// have performed a successful key establishment with the NTS-KE server,
// followed by a successful use of the negotiated Next Protocol with the keys
// and data established during that transaction" (RFC 8915 section 4.2).
func (b *keyBackoff) proven() { b.n = 0 }

// rejectedRetry is the nth retry whose interval is the least that follows a
// request which the server will not accept: 73 minutes.
const rejectedRetry = 16

// rejected obeys "The client SHOULD NOT retry its request without
// modification" (RFC 8915 section 4.1.3, Errors 0 and 1) as far as a daemon can
// that nobody watches: it retries seldom, for servers are mended, too.
func (b *keyBackoff) rejected() { b.n = max(b.n, rejectedRetry) }

// well reports whether the last exchange gave keys that proved good.
func (b *keyBackoff) well() bool { return b.used && b.n == 0 }

// keyServer is a key exchange server. However many slots and sources exchange
// keys with it, they retry as one client: after a failure of any, one interval
// of RFC 8915 section 4.2 lies between any two exchanges, until keys of the
// last one prove good. While nothing fails there is no wait, so that a pool
// fills its slots as answers come.
type keyServer struct {
	host string // canonical
	port uint16

	n        int           // the next exchange is the nth retry; 0: nothing is wrong
	last     proto.Instant // start of the last exchange
	spread   uint64        // random: how much this wait is lengthened
	answered bool          // what failed last was not the exchange: it gave nothing of use
}

// keyServer returns the one of a name and port. A source of another mode has
// none.
func (e *Engine) keyServer(host string, port uint16) *keyServer {
	host = canonical(host)
	for _, k := range e.keyServers {
		if k.host == host && k.port == port {
			return k
		}
	}
	k := &keyServer{host: host, port: port}
	e.keyServers = append(e.keyServers, k)
	return k
}

// forgetKeyServers drops those that no source uses and that are owed no wait.
func (e *Engine) forgetKeyServers() {
	e.keyServers = slices.DeleteFunc(e.keyServers, func(k *keyServer) bool {
		used := slices.ContainsFunc(e.sources, func(s *source) bool { return s.asks(k) })
		return !used && e.now.Mono >= k.ready(false)
	})
}

// asks reports whether a source may ask a key exchange server, or has its keys
// from there.
func (s *source) asks(k *keyServer) bool {
	return s.ke == k || s.service != nil && slices.Contains(s.service.targets, k) ||
		slices.ContainsFunc(s.slots, func(t *slot) bool { return t.keying.ke == k || t.live != nil && t.live.ke == k })
}

// ready is the earliest moment for the next exchange. A slot whose keys were
// good asks something new when it needs others, and retries nothing: where
// the server answered, and only had no more to give, it waits the shortest
// interval. Without that a pool that is smaller than a source's count would
// hinder the replacement of its members for days.
func (k *keyServer) ready(well bool) proto.Instant {
	switch {
	case k.n == 0:
		return 0
	case well && k.answered:
		return k.last.Add(minKeyRetry)
	}
	return k.last.Add(lengthen(keyRetry(k.n), k.spread))
}

// begin notes that an exchange starts.
func (k *keyServer) begin(now proto.Instant, spread uint64) {
	if k.n > 0 {
		k.n = min(k.n+1, maxRetries)
	}
	k.last, k.spread = now, spread
}

// failed notes that an exchange came to nothing; answered, that it was not the
// exchange itself that failed.
func (k *keyServer) failed(answered bool) { k.n, k.answered = max(k.n, 1), answered }

// rejected is for a server that only one way of asking leads to, see
// keyBackoff.rejected.
func (k *keyServer) rejected() { k.n = max(k.n, rejectedRetry) }

// proven notes that keys of an exchange that began at a moment are good. Those
// of an earlier exchange than the last prove nothing about the last.
func (k *keyServer) proven(began proto.Instant) {
	if began == k.last {
		k.n = 0
	}
}

// amended notes that someone changed the configuration of a source: what
// failed may work now, and is tried after the shortest interval.
func (k *keyServer) amended() {
	if k != nil {
		k.n = min(k.n, 1)
	}
}

// keyRetry is the minimum interval for the nth retry; that for n = 0, after keys
// that proved good, is the shortest.
func keyRetry(n int) time.Duration {
	t := minKeyRetry
	for ; n > 1 && t < maxKeyRetry; n-- {
		t += t / 2
	}
	return min(t, maxKeyRetry)
}

// lengthen adds up to a fifth to an interval, so that the clients of a server
// that comes back do not come as one. It never shortens, and never goes beyond
// the maximum.
func lengthen(t time.Duration, spread uint64) time.Duration {
	more, _ := bits.Mul64(uint64(t/5), spread)
	return max(t, min(t+time.Duration(more), maxKeyRetry))
}

// canonical is the form of a host name in which equal names are equal.
func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }
