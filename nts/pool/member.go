package pool

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
)

const (
	// supportValid is how long the answer about what a source supports is
	// used again.
	supportValid = 5 * time.Minute

	// failingFor is how long a source that failed is tried after the others.
	failingFor = 30 * time.Second

	// mostNames bounds the names that are remembered for one source.
	mostNames = 16
)

// dialects is the order in which a source is asked, newest first.
var dialects = []nts.Dialect{nts.IANA, nts.Draft, nts.ClientCertificate}

// support is what a source supports, and in which dialect it said so.
type support struct {
	dialect    nts.Dialect
	algorithms []nts.SupportedAlgorithm
}

// member is what the pool knows about one source. Its lock is never held
// while somebody waits for the network.
type member struct {
	source Source

	mu          sync.Mutex
	names       []string
	failedAt    time.Time
	known       support
	knownAt     time.Time // zero: nothing is known
	nextDialect int       // index into dialects to ask in first
	asking      *question // in flight, or nil
}

// question is a question to a source that several requests wait for.
type question struct {
	done    chan struct{} // closed when the answer is there
	support support
	err     error
}

func (m *member) candidate(now time.Time) candidate {
	m.mu.Lock()
	defer m.mu.Unlock()
	return candidate{
		source:  m.source,
		names:   slices.Clone(m.names),
		failing: !m.failedAt.IsZero() && now.Sub(m.failedAt) < failingFor,
	}
}

// learn remembers a name of the source's NTP server.
func (m *member) learn(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(m.names, name) {
		return
	}
	if len(m.names) == mostNames {
		m.names = m.names[1:]
	}
	m.names = append(m.names, name)
}

// failed notes a failure and reports whether it is the first for a while.
func (m *member) failed(now time.Time) (first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	first = m.failedAt.IsZero() || now.Sub(m.failedAt) >= failingFor
	m.failedAt = now
	return first
}

// succeeded notes that the source works and reports whether it did not.
func (m *member) succeeded() (recovered bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	recovered = !m.failedAt.IsZero()
	m.failedAt = time.Time{}
	return recovered
}

// supports gives what the source supports: from memory, or by ask. Of several
// requests at once one asks, and the others wait for it.
func (m *member) supports(ctx context.Context, ask func(context.Context) (support, error)) (support, error) {
	m.mu.Lock()
	if !m.knownAt.IsZero() && time.Since(m.knownAt) < supportValid {
		defer m.mu.Unlock()
		return m.known, nil
	}
	if q := m.asking; q != nil {
		m.mu.Unlock()
		select {
		case <-q.done:
			return q.support, q.err
		case <-ctx.Done():
			return support{}, ctx.Err()
		}
	}
	q := &question{done: make(chan struct{})}
	m.asking = q
	m.mu.Unlock()

	q.support, q.err = ask(ctx)

	m.mu.Lock()
	m.asking = nil
	if q.err == nil {
		m.known, m.knownAt = q.support, time.Now()
	}
	m.mu.Unlock()
	close(q.done)
	return q.support, q.err
}

// forget drops what is known about the source's support, because it acted
// otherwise.
func (m *member) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.knownAt = time.Time{}
}

// dialect is the one to ask in now.
func (m *member) dialect() nts.Dialect {
	m.mu.Lock()
	defer m.mu.Unlock()
	return dialects[m.nextDialect]
}

// otherDialect moves on from a dialect that the source refused. It is
// remembered, so that a distant source whose probing takes longer than one
// request has time for gets through it all the same.
func (m *member) otherDialect() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nextDialect = (m.nextDialect + 1) % len(dialects)
}
