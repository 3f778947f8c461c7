package pool

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// Outcome is how the connection of a client came out.
type Outcome uint8

// The outcomes. Every one is counted.
const (
	Served          Outcome = iota // got cookies of a source
	NoOverlap                      // no protocol or algorithm in common
	NoSource                       // no source could be used, or the client denies all
	SourceFailed                   // the source that had the keys gave no cookies
	Repeated                       // denied the same servers too often
	BadRequest                     // malformed
	Unrecognized                   // a critical record that a pool does not know
	RequestTimeout                 // no whole request in time
	HandshakeFailed                // no TLS connection came about
	NoALPN                         // did not offer ntske/1
	Shed                           // turned away at the door
	BadProxyHeader                 // came from a balancer that does not say whom it stands for
	ClientLeft                     // gone before its answer
	Panicked                       // a fault of ours ended it
	outcomes        = int(Panicked) + 1
)

// String is the outcome's name for logs and metrics.
func (o Outcome) String() string {
	names := [outcomes]string{
		"served", "no-overlap", "no-source", "source-failed", "repeated", "bad-request", "unrecognized-critical-record",
		"request-timeout", "handshake-failed", "no-alpn", "shed", "bad-proxy-header", "client-left", "panicked",
	}
	if int(o) >= len(names) {
		return "invalid"
	}
	return names[o]
}

// Outcomes lists them all, for whoever counts.
func Outcomes() []Outcome {
	list := make([]Outcome, outcomes)
	for i := range list {
		list[i] = Outcome(i)
	}
	return list
}

// Access is the record of one connection of a client.
type Access struct {
	At      time.Time // when it ended
	Outcome Outcome
	From    netip.Addr // of the client; not for logs, unless their operator wants it
	Source  string     // that got the keys, or empty
	Took    time.Duration
}

// Buckets are the upper bounds, in seconds, by which the times of exchanges are
// counted; there is one more for longer ones.
var Buckets = [...]float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5}

// counters are what a pool counts.
type counters struct {
	outcomes [outcomes]atomic.Uint64
	took     [len(Buckets) + 1]atomic.Uint64 // of those that were served
	tookSum  atomic.Int64                    // nanoseconds

	connections, connectionsFailed, reused, resumed, refusedKeepAlive atomic.Uint64
	questions, questionsFailed, exchanges, exchangesFailed            atomic.Uint64
}

// count notes the end of a client's connection.
func (p *Pool) count(o Outcome, from netip.Addr, source string, took time.Duration) {
	c := p.upstream.counters
	c.outcomes[o].Add(1)
	if o == Served {
		i := 0
		for i < len(Buckets) && took.Seconds() > Buckets[i] {
			i++
		}
		c.took[i].Add(1)
		c.tookSum.Add(int64(took))
	}
	if p.access != nil {
		p.access(Access{At: time.Now(), Outcome: o, From: from, Source: source, Took: took})
	}
}

// outcomeOf is the outcome for what happens outside of a request.
func outcomeOf(k ke.Kind) Outcome {
	switch k {
	case ke.NoALPN:
		return NoALPN
	case ke.Panicked:
		return Panicked
	default:
		return HandshakeFailed
	}
}
