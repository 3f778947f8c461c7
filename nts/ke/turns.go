package ke

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// lateAfter is how long the first in the line of a network may wait before
// nobody else of that network is let in.
const lateAfter = 200 * time.Millisecond

// errCrowded is a client whose turn did not come in time.
var errCrowded = errors.New("too many at once")

// Turns bounds what is done at once for clients: handshakes that are computed,
// or connections to a time source. Whose turn it is goes round the networks that
// wait: a network with thousands in its line delays the others by one of its own
// in each round. Many clients may stand behind one address, and have all that
// others leave.
//
// What is expensive in a handshake begins when the client's first message is
// there and ends when the answer leaves, so that its turn never waits for the
// network. Without turns a flood of handshakes would make all of them late, and
// few clients would be served in time, though the machine were busy all the
// while.
type Turns struct {
	patience time.Duration // of handshakes

	mu    sync.Mutex
	most  int
	free  int
	queue int                    // how many wait, in all lines
	lines map[netip.Prefix]*line // of networks in which somebody waits
	round list.List              // of *line; the first is next
}

// line is those of one network that wait, the first come first.
type line struct {
	network netip.Prefix
	place   *list.Element // in the round
	waiting list.List     // of *waiter
}

type waiter struct {
	since time.Time
	ready chan struct{} // closed when it is its turn
}

// NewTurns lets so much be done at once. Handshakes wait for their turn no longer
// than patience.
func NewTurns(atOnce int, patience time.Duration) *Turns {
	return &Turns{patience: patience, most: atOnce, free: atOnce, lines: make(map[netip.Prefix]*line)}
}

// Taken is how many turns have begun and not ended.
func (t *Turns) Taken() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.most - t.free
}

// Late reports whether a network asks for more than it gets: of those that wait
// it has no less than its even share, and the first in its line has waited for a
// while. One client among a crowd of others is late as well, and not to blame.
func (t *Turns) Late(network netip.Prefix) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lines[network]
	return l != nil && l.waiting.Len()*len(t.lines) >= t.queue &&
		time.Since(l.waiting.Front().Value.(*waiter).since) > lateAfter
}

// Take waits for a turn, which ends with Pass, no longer than patience and ctx.
func (t *Turns) Take(ctx context.Context, network netip.Prefix, patience time.Duration) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	l := t.lines[network]
	if l == nil {
		l = &line{network: network}
		l.place = t.round.PushBack(l)
		t.lines[network] = l
	}
	w := &waiter{since: time.Now(), ready: make(chan struct{})}
	place := l.waiting.PushBack(w)
	t.queue++
	t.mu.Unlock()

	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.ready:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.ready: // in the last moment
		return nil
	default:
	}
	l.waiting.Remove(place)
	t.queue--
	t.tidy(l)
	return errCrowded
}

// Pass gives the turn to the next: the first of the network whose round it is,
// which then comes last.
func (t *Turns) Pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.round.Front()
	if first == nil {
		t.free++
		return
	}
	l := first.Value.(*line)
	close(l.waiting.Remove(l.waiting.Front()).(*waiter).ready)
	t.queue--
	t.round.MoveToBack(first)
	t.tidy(l)
}

// tidy forgets a network in which nobody waits.
func (t *Turns) tidy(l *line) {
	if l.waiting.Len() == 0 {
		t.round.Remove(l.place)
		delete(t.lines, l.network)
	}
}

// turn is the connection of a client that needs a turn for its handshake.
type turn struct {
	net.Conn
	turns   *Turns
	network netip.Prefix
	held    bool
}

func (t *turn) take() error {
	if t.held {
		return nil
	}
	err := t.turns.Take(context.Background(), t.network, t.turns.patience)
	t.held = err == nil
	return err
}

func (t *turn) pass() {
	if t.held {
		t.held = false
		t.turns.Pass()
	}
}

// Write ends the turn: all is computed.
func (t *turn) Write(b []byte) (int, error) {
	t.pass()
	return t.Conn.Write(b)
}

// inTurn makes handshakes with config wait for their turn: when the client's
// first message has been read, and again before the signature, in case that the
// client was asked for another first message in between. They take the place of
// the configuration's GetConfigForClient.
func inTurn(config *tls.Config) {
	take := func(hello *tls.ClientHelloInfo) error {
		if t, ok := hello.Conn.(*turn); ok {
			return t.take()
		}
		return nil
	}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return nil, take(hello) }
	find := config.GetCertificate
	if own := config.Certificates; len(own) > 0 {
		find = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			for i := range own {
				if len(own) == 1 || hello.SupportsCertificate(&own[i]) == nil {
					return &own[i], nil
				}
			}
			return &own[0], nil
		}
	}
	if find == nil {
		return
	}
	config.Certificates = nil
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if err := take(hello); err != nil {
			return nil, err
		}
		return find(hello)
	}
}
