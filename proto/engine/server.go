package engine

import (
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto"
)

// serverSpawner keeps one server alive whose name or address is configured.
// When the server does not answer, its name is looked up again, and another
// of its addresses is tried if it has one; the old one is asked until then.
type serverSpawner struct {
	noKeys
	resolver
}

func (p *serverSpawner) wants(s *source) bool {
	slot := s.slots[0]
	if slot.barred != 0 {
		return false
	}
	_, literal := s.literal()
	return slot.live == nil || slot.live.assoc.Unreachable() && !literal
}

func (p *serverSpawner) work(e *Engine, s *source) {
	slot := s.slots[0]
	if slot.barred != 0 && e.now.Mono >= slot.barred {
		slot.barred = 0
	}
	if l := slot.live; l != nil && l.assoc.Answered() && !l.assoc.Unreachable() {
		p.well()
	}
	if !p.wants(s) {
		return
	}
	if a, ok := s.literal(); ok {
		addr := netip.AddrPortFrom(a, s.cfg.Port)
		if slot.barred = e.deniedUntil(addr, false); e.now.Mono >= slot.barred {
			slot.barred = 0
			e.start(s, slot, addr, "", nil, nil)
		}
		return
	}
	longest := maxLookup
	if slot.live != nil {
		longest = maxRefresh
	}
	p.look(e, s, longest)
}

func (p *serverSpawner) deadline(s *source) proto.Instant {
	if slot := s.slots[0]; slot.barred != 0 {
		return slot.barred
	}
	if !p.wants(s) || p.request != 0 {
		return proto.Never
	}
	return p.retry
}

func (p *serverSpawner) lookedUp(e *Engine, s *source, ev LookedUp) {
	if p.request == 0 || ev.Request != p.request {
		return
	}
	addrs := p.answer(e, s, ev)
	slot := s.slots[0]
	if !p.wants(s) || len(addrs) == 0 {
		return
	}
	if a, ok := p.choose(e, s, slot, addrs); ok {
		e.start(s, slot, netip.AddrPortFrom(a, s.cfg.Port), "", nil, nil)
	}
}

// choose picks the address behind the one that does not answer, or the first;
// one that no other source uses if there is one.
func (p *serverSpawner) choose(e *Engine, s *source, slot *slot, addrs []netip.Addr) (netip.Addr, bool) {
	if slot.live != nil {
		if i := slices.Index(addrs, slot.live.addr.Addr()); i >= 0 {
			addrs = slices.Concat(addrs[i+1:], addrs[:i])
		}
	}
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		return e.isDenied(netip.AddrPortFrom(a, s.cfg.Port), false)
	})
	for _, a := range addrs {
		if !e.inUse(a, slot) {
			return a, true
		}
	}
	if len(addrs) == 0 || slot.live != nil {
		return netip.Addr{}, false
	}
	return addrs[0], true
}

func (p *serverSpawner) pending(s *source, slot *slot) pending {
	if slot.barred != 0 {
		return pending{condition: Demobilised, retry: slot.barred, failure: refusalFailure}
	}
	return p.resolver.pending()
}

var refusalFailure = Failure{
	Class: Class(ReasonDenied),
	Text:  "the server refuses to serve us and is left alone for a day; ask its operator for access, or configure another source",
}
