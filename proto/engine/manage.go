package engine

import (
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto"
)

func (e *Engine) lookedUp(ev LookedUp) {
	e.watched(ev)
	for _, s := range e.sources {
		s.spawner.lookedUp(e, s, ev)
	}
}

func (e *Engine) keysEstablished(ev KeysEstablished) {
	for _, s := range e.sources {
		s.spawner.keysEstablished(e, s, ev)
	}
}

func (e *Engine) keyExchangeFailed(ev KeyExchangeFailed) {
	for _, s := range e.sources {
		s.spawner.keyExchangeFailed(e, s, ev)
	}
}

// networkChanged notes how servers that follow us would name us, and tries
// again at once what the network may have hindered. Loopback addresses name
// every machine, so they show no loop.
func (e *Engine) networkChanged(ev NetworkChanged) {
	e.local = e.local[:0]
	for _, a := range ev.Local {
		if a.IsValid() && !a.Unmap().IsLoopback() && !a.IsUnspecified() {
			e.local = append(e.local, proto.RefIDAddr(a))
		}
	}
	slices.Sort(e.local)
	e.sockets = slices.Clone(ev.Serving)
	for _, s := range e.sources {
		s.spawner.hurry(s, e.now.Mono)
	}
	e.lives(func(_ *source, _ *slot, l *live) {
		if l.assoc.Unreachable() {
			l.assoc.PollSoon(e.now.Mono)
		}
	})
}

// reconfigure moves to another configuration. Sources that stay the same keep
// their servers and their history.
func (e *Engine) reconfigure(cfg Config) {
	old := e.sources
	e.sources = nil
	for i, c := range cfg.Sources {
		j := slices.IndexFunc(old, func(s *source) bool { return s != nil && equal(s.cfg, c) })
		if j < 0 {
			e.sources = append(e.sources, e.newSource(i, c))
			e.sources[i].ke.amended()
			continue
		}
		old[j].index = i
		e.sources = append(e.sources, old[j])
		old[j] = nil
	}
	for _, s := range old {
		if s == nil {
			continue
		}
		for _, slot := range s.slots {
			e.stop(s, slot, "no longer configured")
		}
	}
	e.forgetKeyServers()
	before := e.cfg.Watchdog
	e.cfg = cfg
	e.rewatch(before)
	e.discipline.Configure(e.thresholds(cfg.Discipline))
	e.serving.changed = true
}

// equal reports whether two configured sources are the same. Names are for
// people.
func equal(a, b Source) bool {
	return a.Mode == b.Mode && a.Host == b.Host && a.Port == b.Port && a.Count == b.Count &&
		slices.EqualFunc(a.Ignore, b.Ignore, func(x, y netip.Addr) bool { return x == y }) &&
		a.Authority == b.Authority && a.SRV == b.SRV && a.PollMin == b.PollMin && a.PollMax == b.PollMax &&
		a.PollStart == b.PollStart && a.Route == b.Route && a.Name == b.Name
}

func (e *Engine) commanded(ev Commanded) {
	switch ev.Verb {
	case "accept-step":
		e.discipline.AcceptSteps()
		e.calm()
		e.serving.saveNow = true
		e.report(Incident{Level: Info, Code: "steps-accepted", Text: "the accumulated steps were accepted and count from zero again"})
	case "source-refresh":
		e.refresh(ev.Source)
	default:
		e.report(Incident{Level: Warn, Code: "command-unknown", Text: "command " + ev.Verb + " is not known; change the configuration and reload it instead"})
	}
}

// refresh asks the sources of a name, or all of them, at once, and hurries
// what is looked up for them.
func (e *Engine) refresh(name string) {
	for _, s := range e.sources {
		if name != "" && s.cfg.Name != name && s.cfg.Host != name {
			continue
		}
		s.spawner.hurry(s, e.now.Mono)
		for _, slot := range s.slots {
			if slot.live != nil {
				slot.live.assoc.PollSoon(e.now.Mono)
			}
		}
	}
}
