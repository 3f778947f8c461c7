package engine

import (
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/client"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// source is a configured source with a slot for each server that it keeps
// alive.
type source struct {
	index   int
	cfg     Source
	slots   []*slot
	spawner spawner
	ke      *keyServer // of the configured name; nil for modes without keys
	service *service   // nil where no SRV records are looked up
}

// slot is room for one live server.
type slot struct {
	index  int
	live   *live
	barred proto.Instant // the server refused; nothing is live here until then
	keying keying
	proof  proof
	silent []netip.Addr // did not answer lately; the longest silent first
}

// live is a server that is being asked.
type live struct {
	id       kalman.SourceID
	addr     netip.AddrPort
	server   string       // NTP server name of a key exchange
	ke       *keyServer   // that gave the keys; nil without
	rest     []netip.Addr // its other addresses, not tried with these keys yet
	assoc    *client.Association
	exchange ExchangeID // in flight; 0 for none
	fit      bool       // as the discipline knows it
	told     Reason     // last problem that was reported
	measured Measurement
	keeping  keeping
}

// spawner finds servers for a source. It is asked after everything that
// happens, looks at what is missing and starts what is due.
type spawner interface {
	work(e *Engine, s *source)
	// deadline is when work has something to do although nothing happened.
	deadline(s *source) proto.Instant
	// Answers to requests of all spawners: each picks out its own.
	lookedUp(e *Engine, s *source, ev LookedUp)
	keysEstablished(e *Engine, s *source, ev KeysEstablished)
	keyExchangeFailed(e *Engine, s *source, ev KeyExchangeFailed)
	// hurry is called when the network changed: name look-ups that failed
	// may be worth another try.
	hurry(s *source, now proto.Instant)
	// pending describes why a slot has no live source.
	pending(s *source, slot *slot) pending
}

// pending is why a slot is empty, or what is being done about a live source
// that is not well.
type pending struct {
	condition Condition
	retry     proto.Instant // Never when it waits for an answer
	failure   Failure
}

func (e *Engine) newSource(index int, cfg Source) *source {
	s := &source{index: index, cfg: cfg}
	n := 1
	switch cfg.Mode {
	case ModeServer:
		s.spawner = &serverSpawner{}
	case ModePool:
		s.spawner = &poolSpawner{}
		n = max(cfg.Count, 0)
	case ModeNTS:
		s.spawner = &ntsSpawner{}
		s.ke = e.keyServer(cfg.Host, cfg.Port)
	case ModeNTSPool:
		s.spawner = &ntsPoolSpawner{}
		s.ke = e.keyServer(cfg.Host, cfg.Port)
		n = max(cfg.Count, 0)
	default:
		s.spawner = &unsupported{}
	}
	if s.ke != nil {
		s.service = newService(s)
	}
	for i := range n {
		s.slots = append(s.slots, &slot{index: i, keying: keying{ke: s.ke}})
	}
	return s
}

// start makes a server live in a slot, in the place of what was there.
func (e *Engine) start(s *source, slot *slot, addr netip.AddrPort, server string, k *client.Keys, cookies [][]byte) {
	if l := slot.live; l != nil && l.addr == addr && k != nil {
		l.server = server
		l.assoc.Rekey(k, cookies)
		l.assoc.PollSoon(e.now.Mono)
		e.reportSource(s, l, Incident{Level: Info, Code: "source-rekeyed", Text: "new keys for " + addr.String()})
		return
	}
	e.stop(s, slot, "replaced by "+addr.String())
	e.lastSource++
	poll := client.Config{PollMin: s.cfg.PollMin, PollMax: s.cfg.PollMax, PollStart: s.cfg.PollStart}
	slot.live = &live{
		id: e.lastSource, addr: addr, server: server, fit: true,
		assoc: client.New(poll, k, cookies, e.now, e.entropy),
	}
	e.discipline.Add(e.lastSource, kalman.SourceConfig{
		PollMin: s.cfg.PollMin, PollMax: s.cfg.PollMax, PollStart: s.cfg.PollStart, Voting: true, Trusted: k != nil,
	})
	e.reportSource(s, slot.live, Incident{Level: Info, Code: "source-new", Text: "new source"})
}

// stop removes the live server of a slot, if there is one.
func (e *Engine) stop(s *source, slot *slot, why string) {
	l := slot.live
	if l == nil {
		return
	}
	if l.exchange != 0 {
		e.emit(Abandon{Exchange: l.exchange})
	}
	e.discipline.Remove(l.id)
	slot.live = nil
	e.store.changed = e.store.changed || len(l.keeping.spare) > 0
	e.reportSource(s, l, Incident{Level: Info, Code: "source-removed", Text: "source removed: " + why})
}

// usable reports whether an address from a resolver can be a server's.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// bounded is what is taken from one answer of a resolver: usable addresses,
// each once, and no more than a few, so that one poisoned answer does not own
// a pool. The families take turns, beginning with the resolver's first, so that
// one of them that does not work costs only every other try.
func bounded(addrs []netip.Addr, limit int) []netip.Addr {
	var first, second []netip.Addr
	for _, a := range addrs {
		a = a.Unmap()
		switch {
		case !usable(a) || slices.Contains(first, a) || slices.Contains(second, a):
		case len(first) == 0 || first[0].Is4() == a.Is4():
			first = append(first, a)
		default:
			second = append(second, a)
		}
	}
	var kept []netip.Addr
	for i := range first {
		kept = append(kept, first[i])
		if i < len(second) {
			kept = append(kept, second[i])
		}
	}
	kept = append(kept, second[min(len(first), len(second)):]...)
	return kept[:min(limit, len(kept))]
}

// maxAddrs is how many addresses of an answer are used.
func (s *source) maxAddrs() int { return max(4, len(s.slots)) }

// unsupported is a source that this build cannot open.
type unsupported struct{ told bool }

func (u *unsupported) work(e *Engine, s *source) {
	if u.told {
		return
	}
	u.told = true
	e.report(Incident{
		Level: Warn, Code: "source-not-supported", Name: s.cfg.Name, Reason: Reason(ClassNotSupported),
		Text: "this build cannot use sources of mode " + string(s.cfg.Mode) + "; the source is left out",
	})
}

func (*unsupported) deadline(*source) proto.Instant                        { return proto.Never }
func (*unsupported) lookedUp(*Engine, *source, LookedUp)                   {}
func (*unsupported) keysEstablished(*Engine, *source, KeysEstablished)     {}
func (*unsupported) keyExchangeFailed(*Engine, *source, KeyExchangeFailed) {}
func (*unsupported) hurry(*source, proto.Instant)                          {}
func (*unsupported) pending(*source, *slot) pending {
	return pending{condition: NotSupported, retry: proto.Never, failure: Failure{Class: ClassNotSupported, Text: "this build cannot use sources of this mode"}}
}
