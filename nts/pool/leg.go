package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

const (
	// refreshEvery is how often a source that works is asked what it
	// supports, a quarter more or less. The question is also the test of its
	// health, and keeps the connection to it open.
	refreshEvery = 90 * time.Second

	// supportValid is how long an answer is used while it cannot be renewed.
	supportValid = time.Hour

	// askTimeout bounds a question with its connections, of which each
	// dialect takes one. A client does not wait that long.
	askTimeout = 5 * time.Second

	// A source that cannot be reached is tried again after this time, then
	// after twice as long each time, a quarter more or less.
	retryMin = time.Second
	retryMax = time.Minute

	// A source that answers and yet gives no client its cookies is left
	// alone for this time, then for twice as long each time.
	suspectMin = 30 * time.Second
	suspectMax = 15 * time.Minute

	// patience is how long somebody must have waited for a source before the
	// wait is held against it: that a client came with its last milliseconds
	// says nothing about the source.
	patience = time.Second
)

// support is what a source supports, and in which dialect it said so.
type support struct {
	dialect    nts.Dialect
	algorithms []nts.SupportedAlgorithm
}

// leg is one source in one address family: what it supports there, how it is,
// and the connections to it. Its lock is never held while somebody waits for
// the network.
type leg struct {
	member *member
	family family
	up     *upstream
	wake   chan struct{} // holds a value when the next question is due earlier
	slots  *ke.Turns     // one for each connection that somebody uses
	said   teller

	mu               sync.Mutex
	known            support
	knownAt          time.Time // zero: nothing is known
	asking           *question // in flight, or nil
	next             time.Time // when to ask again
	down             error     // why it cannot be used; nil when it can, or was not tried
	downs            int       // failures in a row
	spoilt           int       // exchanges in a row that failed after the keys were sent
	spoiledBy        error
	served, failures uint64    // clients that got cookies, or did not after the keys were sent
	suspect          time.Time // until then it is used only for want of others
	quality          quality
	idle             []*upstreamConn // that rest; the last was used last
	sessions         tls.ClientSessionCache
	retired          bool // no connection is kept any more
}

// question is a question to a source that several requests wait for.
type question struct {
	since   time.Time
	done    chan struct{} // closed when the answer is there
	support support
	err     error
}

func newLeg(m *member, f family, up *upstream) *leg {
	return &leg{
		member: m, family: f, up: up,
		wake: make(chan struct{}, 1), slots: ke.NewTurns(inFlight, 0),
		sessions: tls.NewLRUClientSessionCache(keptSessions),
	}
}

// health is what selection asks.
type health uint8

const (
	healthy health = iota // or not known yet
	suspected
	unusable
)

func (l *leg) health(now time.Time) (h health, quality uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	quality = l.quality.value()
	switch {
	case l.down != nil:
		return unusable, quality
	case now.Before(l.suspect):
		return suspected, quality
	default:
		return healthy, quality
	}
}

// supports gives what the source supports: from memory, or by asking it. Of
// several requests at once one asks, and all wait for the answer; the question
// goes on when those who wait have gone.
func (l *leg) supports(ctx context.Context) (s support, age time.Duration, err error) {
	l.mu.Lock()
	if age = time.Since(l.knownAt); !l.knownAt.IsZero() && age < supportValid {
		defer l.mu.Unlock()
		return l.known, age, nil
	}
	if l.down != nil { // it is tried again in its own time
		defer l.mu.Unlock()
		return support{}, 0, l.down
	}
	q := l.ask()
	l.mu.Unlock()
	// Nobody begins to wait for what others have waited for in vain.
	wait := time.NewTimer(patience - time.Since(q.since))
	defer wait.Stop()
	select {
	case <-q.done:
		return q.support, 0, q.err
	case <-wait.C:
	case <-ctx.Done():
	}
	return support{}, 0, fmt.Errorf("%v has not said yet what it supports", l.member.source)
}

// ask begins to ask the source, unless somebody does. The caller holds the
// lock.
func (l *leg) ask() *question {
	if l.asking != nil {
		return l.asking
	}
	q := &question{since: time.Now(), done: make(chan struct{})}
	l.asking = q
	l.up.running.Go(func() {
		ctx, cancel := context.WithTimeout(l.up.life, askTimeout)
		defer cancel()
		q.support, q.err = l.probe(ctx)
		l.answered(q)
		close(q.done)
	})
	return q
}

// answered notes the outcome of a question.
func (l *leg) answered(q *question) {
	l.mu.Lock()
	l.asking = nil
	if q.err == nil {
		l.known, l.knownAt = q.support, time.Now()
		l.quality.outcome(true)
		recovered := l.down
		l.down, l.downs = nil, 0
		l.next = time.Now().Add(roughly(refreshEvery))
		l.mu.Unlock()
		if recovered != nil {
			l.tell(slog.LevelInfo, "time source works again")
		}
		return
	}
	busy := errors.Is(q.err, errBusy) // which is no failure of the source
	if busy {
		l.next = time.Now().Add(roughly(retryMin))
	}
	l.mu.Unlock()
	if !busy && l.up.life.Err() == nil {
		l.failed(q.err)
	}
}

// failed notes that the source cannot be used. It is out of use until it has
// answered a question.
func (l *leg) failed(cause error) {
	l.mu.Lock()
	first := l.down == nil
	l.down = cause
	l.quality.outcome(false)
	l.downs++
	l.next = time.Now().Add(roughly(backoff(retryMin, retryMax, l.downs)))
	l.knownAt = time.Time{}
	l.mu.Unlock()
	l.hurry()
	switch {
	case !first:
	case errors.Is(cause, ke.ErrFamily):
		l.tell(slog.LevelDebug, "time source does not have this family", "error", cause)
	default:
		l.tell(slog.LevelInfo, "time source does not work", "error", cause)
	}
}

// spoiled notes that a client did not get its cookies after its keys were
// sent. A question that is answered well says nothing against that.
func (l *leg) spoiled(cause error) {
	l.mu.Lock()
	l.spoilt++
	l.failures++
	l.spoiledBy = cause
	l.quality.outcome(false)
	l.suspect = time.Now().Add(roughly(backoff(suspectMin, suspectMax, l.spoilt)))
	first := l.spoilt == 1
	l.next = time.Now()
	l.mu.Unlock()
	l.hurry()
	if first {
		l.tell(slog.LevelInfo, "time source does not work", "error", cause)
	}
}

// worked notes that a client got its cookies.
func (l *leg) worked() {
	l.mu.Lock()
	recovered := l.spoilt > 0
	l.spoilt, l.suspect = 0, time.Time{}
	l.served++
	l.quality.outcome(true)
	l.mu.Unlock()
	if recovered {
		l.tell(slog.LevelInfo, "time source works again")
	}
}

// blame notes a failure before keys were sent, unless it only shows that the
// client had no time left.
func (l *leg) blame(cause error, waited time.Duration) {
	var e *ke.Error
	switch {
	case errors.Is(cause, errBusy), errors.Is(cause, errNoCommon):
	case !errors.As(cause, &e): // nothing was heard of the source itself
	case timedOut(cause) && waited < patience:
	default:
		l.failed(cause)
	}
}

// forget drops what is known about the source's support, because it acted
// otherwise.
func (l *leg) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.knownAt = time.Time{}
}

// tend asks the source again and again until ctx ends, for the first time
// after a while.
func (l *leg) tend(ctx context.Context, first time.Duration) {
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
		timer.Reset(l.tick(ctx))
	}
}

// tick asks the source if it is time to, and returns how long to wait then.
func (l *leg) tick(ctx context.Context) time.Duration {
	l.mu.Lock()
	if wait := time.Until(l.next); wait > 0 {
		l.mu.Unlock()
		return wait
	}
	q := l.ask()
	l.mu.Unlock()
	select {
	case <-q.done:
	case <-ctx.Done():
		return 0
	}
	if q.err == nil {
		l.learnNames()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.next)
}

// hurry makes tend look anew when to ask.
func (l *leg) hurry() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// about describes the leg to the log.
func (l *leg) about(more ...any) []any {
	list := []any{"source", l.member.source.String(), "family", l.family}
	if l.member.source.Location != "" {
		list = append(list, "location", l.member.source.Location)
	}
	return append(list, more...)
}

// backoff is the wait after the nth failure in a row.
func backoff(least, most time.Duration, n int) time.Duration {
	d := least
	for ; n > 1 && d < most; n-- {
		d *= 2
	}
	return min(d, most)
}

// roughly is d, a quarter more or less, so that many do not fall into step.
func roughly(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2)
}
