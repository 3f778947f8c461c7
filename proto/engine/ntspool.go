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
			t.keying.exchange(e, s, e.deny(s, t))
		}
	}
}

// busy reports whether a key exchange or what follows it is in flight: until
// it is over nobody knows which servers are in use.
func busy(s *source) bool {
	return slices.ContainsFunc(s.slots, func(t *slot) bool { return t.keying.request != 0 || t.keying.keys != nil })
}

// shunned are servers that a slot had no luck with, so that the pool is asked
// for others.
type shunned struct {
	names  []string
	pardon bool // the next request shuns nobody
	asked  bool // the last request shunned someone
}

// maxShunned bounds the list; a pool whose servers are all bad gets no longer
// requests for it.
const maxShunned = 8

func (h *shunned) add(name string) {
	if sameName(h.names, name) {
		return
	}
	if len(h.names) == maxShunned {
		h.names = slices.Delete(h.names, 0, 1)
	}
	h.names = append(h.names, name)
}

// useless notes that the pool has nobody else, or does not say so: who shuns
// everybody gets nobody, so all is forgiven for one request.
func (h *shunned) useless() {
	h.pardon = h.asked
	if h.pardon {
		h.names = nil
	}
}

// deny names the servers that the pool is not to give for a slot: those of all
// other slots that the pool fills, and those that the slot had no luck with,
// among them its own when that does not answer at any address. Sorted, each
// once. The list is no longer than fits a request that every server must take;
// what matters most stays in it.
func (e *Engine) deny(s *source, t *slot) []string {
	k := &t.keying
	if l := t.live; l != nil && l.assoc.Unreachable() && !t.untried() && !k.shun.pardon {
		k.shun.add(l.server)
	}
	k.shun.asked, k.shun.pardon = len(k.shun.names) > 0, false
	var names []string
	room := denyRoom
	add := func(name string) {
		if n := 2 * (4 + len(name)); n <= room && !slices.Contains(names, name) {
			names, room = append(names, name), room-n
		}
	}
	if n := len(k.shun.names); n > 0 {
		add(k.shun.names[n-1]) // the last of them
	}
	e.lives(func(other *source, u *slot, l *live) {
		if u != t && (other == s || l.ke != nil && l.ke == k.ke) {
			add(l.server)
		}
	})
	for _, n := range k.shun.names {
		add(n)
	}
	slices.Sort(names)
	return names
}

// denyRoom is how many octets the Deny records of a request may take, as
// servers need take no request of more than 1024 octets (RFC 8915 section 4).
// Each name goes out in two records, one for each number.
const denyRoom = 900

// sameName reports whether a list has a name, as names are compared.
func sameName(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return canonical(n) == canonical(name) })
}

func (ntsPoolSpawner) deadline(s *source) proto.Instant {
	d := proto.Never
	for _, t := range s.slots {
		d = min(d, s.recheck(t))
		if t.keying.keys != nil || !busy(s) {
			d = min(d, s.ready(t))
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
		if other != t && other.live != nil && canonical(other.live.server) == canonical(ev.Server) {
			t.keying.shun.useless()
			t.keying.useless(e, s, Failure{
				Class: ClassProtocol,
				Text:  "the pool gave the server " + ev.Server + ", which is in use already; it may have fewer servers than the configured count",
			})
			return
		}
	}
	t.keying.established(e, s, t, ev)
}
