package engine

import (
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto"
)

// poolSpawner keeps Count servers alive out of the addresses of one name, all
// at different addresses. Those that do not answer are replaced as soon as
// there is something to replace them with.
type poolSpawner struct {
	noKeys
	resolver
	known  []netip.Addr // answers that are not in use yet
	failed []netip.Addr // did not answer lately; used only when nothing else is left
}

// maxFailed is how many addresses a pool remembers as bad.
const maxFailed = 8

func (p *poolSpawner) empty(s *source) bool {
	return slices.ContainsFunc(s.slots, func(t *slot) bool { return t.live == nil })
}

func (p *poolSpawner) wants(s *source) bool {
	return slices.ContainsFunc(s.slots, func(t *slot) bool { return t.live == nil || t.live.assoc.Unreachable() })
}

func (p *poolSpawner) work(e *Engine, s *source) {
	if a, ok := s.literal(); ok && p.empty(s) && len(p.known) == 0 {
		p.known = []netip.Addr{a}
	}
	for _, slot := range s.slots {
		l := slot.live
		if l != nil && !l.assoc.Unreachable() {
			continue
		}
		a, ok := p.pick(e, s, slot)
		if !ok {
			break
		}
		if l != nil {
			p.fail(l.addr.Addr())
		}
		e.start(s, slot, netip.AddrPortFrom(a, s.cfg.Port), "", nil, nil)
	}
	switch _, literal := s.literal(); {
	case !p.wants(s):
		p.well()
	case literal:
	case p.empty(s):
		p.look(e, s, maxLookup)
	default:
		p.look(e, s, maxRefresh)
	}
}

// pick takes an address for a slot out of those that are known, if it can one
// of a network that no other slot's server is in: a pool is asked for several
// opinions, and whoever owns a network owns all that is said from there. One
// that is known to be bad is only better than none.
func (p *poolSpawner) pick(e *Engine, s *source, t *slot) (netip.Addr, bool) {
	p.known = slices.DeleteFunc(p.known, func(a netip.Addr) bool {
		at := netip.AddrPortFrom(a, s.cfg.Port)
		return e.inUse(a, nil) || slices.Contains(s.cfg.Ignore, a) || e.isDenied(at, false) || e.ourselves(at)
	})
	good := func(a netip.Addr) bool { return !slices.Contains(p.failed, a) }
	i := slices.IndexFunc(p.known, func(a netip.Addr) bool { return good(a) && !s.hasNeighbour(a, t) })
	if i < 0 {
		i = slices.IndexFunc(p.known, good)
	}
	if i < 0 && t.live == nil && len(p.known) > 0 {
		i = 0
	}
	if i < 0 {
		return netip.Addr{}, false
	}
	a := p.known[i]
	p.known = slices.Delete(p.known, i, i+1)
	return a, true
}

func (p *poolSpawner) fail(a netip.Addr) {
	p.failed = append(p.failed, a)
	if len(p.failed) > maxFailed {
		p.failed = p.failed[1:]
	}
}

func (p *poolSpawner) deadline(s *source) proto.Instant {
	if _, literal := s.literal(); literal || !p.wants(s) || p.request != 0 {
		return proto.Never
	}
	return p.retry
}

func (p *poolSpawner) lookedUp(e *Engine, s *source, ev LookedUp) {
	if p.request == 0 || ev.Request != p.request {
		return
	}
	if addrs := p.answer(e, s, ev); len(addrs) > 0 {
		p.known = bounded(slices.Concat(addrs, p.known), s.maxAddrs())
	}
}

func (p *poolSpawner) pending(s *source, _ *slot) pending {
	w := p.resolver.pending()
	if !w.failure.Failed() && p.tries > 1 {
		w.failure = Failure{Class: ClassDNS, Text: "the pool's name has too few addresses that are not in use, ignored or refused"}
	}
	return w
}
