package engine

import (
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
func (b *keyBackoff) begin(now proto.Instant) { b.n, b.last, b.used = min(b.n+1, 100), now, true }

// proven starts over: "Clients MUST NOT reset the retry interval until they
// have performed a successful key establishment with the NTS-KE server,
// followed by a successful use of the negotiated Next Protocol with the keys
// and data established during that transaction" (RFC 8915 section 4.2).
func (b *keyBackoff) proven() { b.n = 0 }

// keyRetry is the minimum interval for the nth retry; that for n = 0, after keys
// that proved good, is the shortest.
func keyRetry(n int) time.Duration {
	t := minKeyRetry
	for ; n > 1 && t < maxKeyRetry; n-- {
		t += t / 2
	}
	return min(t, maxKeyRetry)
}
