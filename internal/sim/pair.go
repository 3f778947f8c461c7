package sim

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// peerAddress is that of a second node.
var peerAddress = netip.AddrFrom4([4]byte{10, 0, 0, 2})

// neighbour is a node as its neighbour sees it: the daemon's responder, which
// serves what the node's engine says of its clock.
type neighbour struct {
	*world
	responder *server.Responder
	keys      *cookie.Keyset
}

// pair makes the second node of a scenario that has one, with a world of its
// own at the same true time, and lets each reach the other.
func (w *world) pair(seed uint64) (*world, error) {
	p := w.scenario.Peer
	cfg, err := build(p.Toml)
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	s := *w.scenario
	s.Name += " (peer)"
	s.Clock, s.Servers, s.Toml, s.Limits, s.Events, s.SavedDrift, s.Peer = p.Clock, p.Servers, p.Toml, p.Limits, nil, nil, nil
	const another = 1 << 32 // streams that no first node has
	other := newWorld(&s, seed+another, cfg)
	other.address = peerAddress
	if w.trace != nil {
		other.trace = func(f string, args ...any) { w.trace("peer: "+f, args...) }
	}
	if w.peer, err = newNeighbour(other, seed); err != nil {
		return nil, err
	}
	other.peer, err = newNeighbour(w, seed+another)
	return other, err
}

func newNeighbour(w *world, seed uint64) (*neighbour, error) {
	rng := newRandom(seed, "responder")
	keys, err := cookie.NewKeyset(rng)
	if err != nil {
		return nil, err
	}
	return &neighbour{w, server.New(server.Config{Versions: server.Version3And4}, rng), keys}, nil
}

// answer is what the node replies to a request that arrives at a true time.
func (n *neighbour) answer(t float64, from netip.Addr, request []byte) [][]byte {
	n.clock.advance(t)
	reply, verdict := n.responder.Respond(nil, server.Request{
		Payload: request, From: netip.AddrPortFrom(from, 40000), To: n.address, Rx: n.stamp(), Mono: n.clock.mono(),
	}, serves(&n.snapshot), n.keys, n.clock.read)
	if !verdict.Answered() {
		return nil
	}
	return [][]byte{reply}
}

// serves is what the daemon's workers know of an engine's snapshot.
func serves(s *engine.Snapshot) *server.TimeSnapshot {
	return &server.TimeSnapshot{
		Leap: s.Leap, Stratum: s.Stratum, RefID: s.RefID, Reference: s.Reference,
		RootDelay: s.RootDelay, RootDispersion: s.RootDispersion, DispersionRate: s.DispersionRate,
		Precision: -23, Mono: s.Mono, ValidUntil: s.Mono.Add(8 * engine.SnapshotInterval),
	}
}

// together runs two worlds to their ends, in the order of true time.
func together(a *world, seeA func(), b *world, seeB func()) {
	a.begin(seeA)
	b.begin(seeB)
	for !a.over || !b.over {
		next, at := a, math.Inf(1)
		for _, w := range []*world{a, b} {
			if t, _ := w.next(); !w.over && t < at {
				next, at = w, t
			}
		}
		next.step()
	}
}
