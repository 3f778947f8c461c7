package engine

import (
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto/client"
)

// maxSilent is how many addresses a slot remembers that did not answer.
const maxSilent = 16

// listen keeps the list of addresses that fell silent.
func (t *slot) listen() {
	l := t.live
	if l == nil {
		return
	}
	a := l.addr.Addr()
	i := slices.Index(t.silent, a)
	switch {
	case l.assoc.Unreachable() && i < 0:
		if len(t.silent) == maxSilent {
			t.silent = slices.Delete(t.silent, 0, 1)
		}
		t.silent = append(t.silent, a)
	case l.assoc.Answered() && !l.assoc.Unreachable() && i >= 0:
		t.silent = slices.Delete(t.silent, i, i+1)
	}
}

// untried reports whether a live server has addresses that did not fall silent.
func (t *slot) untried() bool {
	return slices.ContainsFunc(t.live.rest, func(a netip.Addr) bool { return !slices.Contains(t.silent, a) })
}

// candidates are the addresses of an NTP server in the order in which a slot
// should try them: those that did not fall silent, then those that did so
// longest ago. One that no other protected source uses comes first, and a pool takes
// nothing else: two members on one machine are not two opinions.
func (e *Engine) candidates(s *source, t *slot, addrs []netip.Addr, port uint16) []netip.Addr {
	var free, shared []netip.Addr
	for _, a := range addrs {
		switch {
		case e.isDenied(netip.AddrPortFrom(a, port), true):
		case !e.inProtectedUse(a, t):
			free = append(free, a)
		case s.cfg.Mode != ModeNTSPool:
			shared = append(shared, a)
		}
	}
	byAge := func(a, b netip.Addr) int { return slices.Index(t.silent, a) - slices.Index(t.silent, b) }
	slices.SortStableFunc(free, byAge)
	slices.SortStableFunc(shared, byAge)
	return slices.Concat(free, shared)
}

// startAt makes a protected server live at the first of its addresses, and
// keeps the others for when it does not answer.
func (e *Engine) startAt(s *source, t *slot, addrs []netip.Addr, port uint16, server string, k *client.Keys, cookies [][]byte) {
	// Should it be silent again, its turn is after all others.
	t.silent = slices.DeleteFunc(t.silent, func(a netip.Addr) bool { return a == addrs[0] })
	e.start(s, t, netip.AddrPortFrom(addrs[0], port), server, k, cookies)
	t.live.rest = slices.Clone(addrs[1:])
}

// move goes on at another address of a server that does not answer, of
// whatever family, with the keys and the unused cookies that it has: they are
// for the server, not for the address. It reports whether there was one to go
// to.
func (e *Engine) move(s *source, t *slot) bool {
	l := t.live
	if len(l.rest) == 0 {
		return false
	}
	l.rest = e.candidates(s, t, l.rest, l.addr.Port())
	keys, cookies := l.assoc.Credentials()
	if len(l.rest) == 0 || len(cookies) == 0 {
		return false
	}
	e.startAt(s, t, l.rest, l.addr.Port(), l.server, keys, cookies)
	t.live.ke, t.live.keeping = l.ke, l.keeping
	return true
}
