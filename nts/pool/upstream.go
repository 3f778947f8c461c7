package pool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

const (
	// inFlight bounds the connections to one source that are in use at once,
	// in one address family; sources allow few. So many may rest, too.
	inFlight = 4

	// slotWait is how long a client waits for one of them while there are
	// other sources to go to.
	slotWait = 200 * time.Millisecond

	// A kept connection rests no longer than idleMax, which is less than
	// sources wait, and is not used longer than ageMax. Of several that rest,
	// all but one are there for a crowd, and go with it after spareMax.
	idleMax  = 4 * time.Minute
	spareMax = 15 * time.Second
	ageMax   = time.Hour

	// keptSessions is how many TLS sessions with a source are remembered.
	keptSessions = 4
)

// upstream is what all connections to time sources have in common.
type upstream struct {
	client *ke.Client
	roots  func() *x509.CertPool
	log    *slog.Logger
	*counters

	life    context.Context // ends with the pool
	running sync.WaitGroup  // what goes on behind clients
}

// upstreamConn is a connection to a source, and the dialect to speak on it. It
// holds one of the leg's slots while it is in use. One exchange at a time goes
// over it, and no keys are ever taken out of it.
type upstreamConn struct {
	leg     *leg
	network netip.Prefix // of the client that has the slot
	dialect nts.Dialect
	ke      *ke.Conn
	since   time.Time
	reused  bool

	sessions tls.ClientSessionCache // of the leg, when the connection was made

	// alive tells, when a rest has ended, whether the connection can be used.
	alive chan bool
}

// errBusy is a source whose connections are all in use.
var errBusy = errors.New("all connections to the time source are in use")

// take gives a client's network a connection: the one that rests, or a new one.
// It waits for a slot no longer than wait.
func (l *leg) take(ctx context.Context, network netip.Prefix, d nts.Dialect, wait time.Duration) (*upstreamConn, error) {
	if l.slots.Take(ctx, network, wait) != nil {
		return nil, errBusy
	}
	c := l.awaken(d)
	if c == nil {
		var err error
		if c, err = l.dial(ctx, d); err != nil {
			l.slots.Pass()
			return nil, err
		}
	}
	c.network = network
	return c, nil
}

// awaken gives a connection that rests, the one that was used last, if it is
// still good for something.
func (l *leg) awaken(d nts.Dialect) *upstreamConn {
	for {
		l.mu.Lock()
		sessions := l.sessions
		if len(l.idle) == 0 {
			l.mu.Unlock()
			return nil
		}
		c := l.idle[len(l.idle)-1]
		l.idle = l.idle[:len(l.idle)-1]
		l.mu.Unlock()
		c.ke.Wake()
		if <-c.alive && time.Since(c.since) < ageMax && c.dialect == d && c.sessions == sessions {
			c.reused = true
			l.up.reused.Add(1)
			return c
		}
		c.ke.Close()
	}
}

// dial makes a connection in the leg's family. The caller has a slot.
func (l *leg) dial(ctx context.Context, d nts.Dialect) (*upstreamConn, error) {
	l.mu.Lock()
	sessions := l.sessions
	l.mu.Unlock()
	s := l.member.source
	conn, err := l.up.client.Connect(ctx, ke.Target{
		Host: s.Domain, Port: s.Port, Roots: l.up.roots(),
		Network: l.family.network(), Sessions: sessions,
	})
	if err != nil {
		l.up.connectionsFailed.Add(1)
		return nil, err
	}
	l.up.connections.Add(1)
	if conn.Resumed() {
		l.up.resumed.Add(1)
	}
	return &upstreamConn{leg: l, dialect: d, ke: conn, since: time.Now(), sessions: sessions}, nil
}

// close ends a connection and gives its slot back.
func (c *upstreamConn) close() {
	c.ke.Close()
	c.leg.slots.Pass()
}

// timed notes how long an exchange over a kept connection took.
func (c *upstreamConn) timed(d time.Duration) {
	if !c.reused {
		return
	}
	c.leg.mu.Lock()
	defer c.leg.mu.Unlock()
	c.leg.quality.took(d)
}

// done gives a connection back after an exchange. It rests if the source is to
// keep it and there is room.
func (c *upstreamConn) done(granted nts.Dialect) {
	l := c.leg
	if granted == nts.NoDialect && c.dialect != nts.ClientCertificate {
		l.up.refusedKeepAlive.Add(1)
	}
	l.mu.Lock()
	rest := granted != nts.NoDialect && len(l.idle) < inFlight && c.sessions == l.sessions && !l.retired && l.up.life.Err() == nil
	if rest {
		limit := idleMax
		if len(l.idle) > 0 {
			limit = spareMax
		}
		c.alive = make(chan bool, 1)
		l.idle = append(l.idle, c)
		watch := c.ke.Rest(time.Now().Add(limit))
		l.up.running.Go(func() { c.rest(watch) })
	}
	l.mu.Unlock()
	if !rest {
		c.close()
		return
	}
	l.slots.Pass()
}

// rest watches a connection until somebody wants it, it has rested too long,
// or the source ends it.
func (c *upstreamConn) rest(watch func() bool) {
	good := watch()
	l := c.leg
	l.mu.Lock()
	i := slices.Index(l.idle, c)
	if i >= 0 {
		l.idle = slices.Delete(l.idle, i, i+1)
	}
	l.mu.Unlock()
	if i >= 0 { // nobody wants it
		c.ke.Close()
		return
	}
	c.alive <- good
}

// renew makes the leg connect anew, without a session or a connection of
// before: certificates have changed.
func (l *leg) renew() {
	l.mu.Lock()
	l.sessions = tls.NewLRUClientSessionCache(keptSessions)
	l.next = time.Now()
	l.wakeAll()
	l.mu.Unlock()
	l.hurry()
}

// retire ends the leg: what runs goes on, nothing rests any more.
func (l *leg) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = true
	l.wakeAll()
}

// wakeAll makes all connections that rest close. The caller holds the lock.
func (l *leg) wakeAll() {
	for _, c := range l.idle {
		c.ke.Wake()
	}
}
