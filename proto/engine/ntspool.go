package engine

import (
	"slices"

	"github.com/ntpd-go/ntpd-go/proto"
)

// ntsPoolSpawner keeps Count servers alive that a pool's key exchange names,
// all different. It exchanges keys for one slot at a time and tells the pool
// which servers it has, so that the pool gives another one.
type ntsPoolSpawner struct{ keyed }

func (ntsPoolSpawner) work(e *Engine, s *source) {
	for _, t := range s.slots {
		due := t.keying.work(e, s, t)
		if due && !busy(s) {
			t.keying.exchange(e, s, deny(s, t))
		}
	}
}

// busy reports whether a key exchange or what follows it is in flight: until
// it is over nobody knows which servers are in use.
func busy(s *source) bool {
	return slices.ContainsFunc(s.slots, func(t *slot) bool { return t.keying.request != 0 || t.keying.keys != nil })
}

// deny names the servers that the pool is not to give for a slot: those of
// the other slots, and its own if that does not answer. Sorted, each once.
func deny(s *source, except *slot) []string {
	var names []string
	for _, t := range s.slots {
		if l := t.live; l != nil && (t != except || l.assoc.Unreachable()) {
			names = append(names, l.server)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (ntsPoolSpawner) deadline(s *source) proto.Instant {
	d := proto.Never
	for _, t := range s.slots {
		if t.keying.keys != nil || !busy(s) {
			d = min(d, t.ready())
		}
	}
	return d
}

func (ntsPoolSpawner) keysEstablished(e *Engine, s *source, ev KeysEstablished) {
	i := slices.IndexFunc(s.slots, func(t *slot) bool { return t.keying.request != 0 && t.keying.request == ev.Request })
	if i < 0 {
		return
	}
	t := s.slots[i]
	for _, other := range s.slots {
		if other != t && other.live != nil && other.live.server == ev.Server {
			t.keying.request = 0
			t.keying.fail(e, s, Failure{
				Class: ClassProtocol,
				Text:  "the pool gave the server " + ev.Server + ", which is in use already; it may have fewer servers than the configured count",
			})
			return
		}
	}
	t.keying.established(e, s, t, ev)
}
