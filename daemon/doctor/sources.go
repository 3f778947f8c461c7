package doctor

import (
	"net/netip"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/probe"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// source is a configured source and what was found out about it.
type source struct {
	*config.Source
	name      string // as it is configured
	literal   bool   // an address, no name
	found     []netip.Addr
	lookup    error
	reach     []netip.Addr // those of found to which there is a route
	plain     []probe.Answer
	elsewhere []netip.AddrPort // from where answers came that plain did not hear
	check     *probe.Check     // with NTS
	members   []probe.Row      // of a pool with NTS
	said      bool             // a line names what is wrong with it
}

func (s *source) secure() bool { return s.Mode == config.ModeNTS || s.Mode == config.ModeNTSPool }

func (s *source) pool() bool { return s.Mode == config.ModePool || s.Mode == config.ModeNTSPool }

// good are the answers that give a time.
func (s *source) good() []*probe.Answer {
	var out []*probe.Answer
	if s.secure() {
		for i := range s.members {
			if m := &s.members[i]; m.Best != nil && m.Best.Offset != nil {
				out = append(out, m.Best)
			}
		}
		if len(out) == 0 && s.check != nil && s.check.Secure != nil && s.check.Secure.Offset != nil {
			out = append(out, s.check.Secure)
		}
		return out
	}
	for i := range s.plain {
		if s.plain[i].Offset != nil {
			out = append(out, &s.plain[i])
		}
	}
	return out
}

// udp are all answers to NTP requests.
func (s *source) udp() []*probe.Answer {
	var out []*probe.Answer
	for i := range s.plain {
		out = append(out, &s.plain[i])
	}
	if c := s.check; c != nil && c.Exchange != nil {
		for _, a := range []*probe.Answer{c.Plain, c.Secure} {
			if a != nil {
				out = append(out, a)
			}
		}
	}
	return out
}

// most addresses of one family that are asked of a server, and of a pool.
const (
	mostOfServer = 2
	mostOfPool   = 4
)

// attempts at each address before silence is believed.
const attempts = 3

// probe asks every source at once.
func (e *exam) probe() {
	for i := range e.cfg.Sources {
		c := &e.cfg.Sources[i]
		switch c.Mode {
		case config.ModeServer, config.ModePool, config.ModeNTS, config.ModeNTSPool:
			_, err := netip.ParseAddr(c.Address.Host)
			e.sources = append(e.sources, &source{Source: c, name: c.Address.Host, literal: err == nil})
		default: // a device, or a protocol that has no probe
		}
	}
	var all sync.WaitGroup
	for _, s := range e.sources {
		all.Go(func() { e.ask(s) })
	}
	all.Wait()
}

func (e *exam) ask(s *source) {
	at := probe.Target{Host: s.Address.Host, Port: s.Address.Port}
	if s.SRVResolution {
		if found, err := probe.SRV(e.ctx, nil, at.Host); err == nil {
			at = found[0] // else the name itself is the server's
		}
	}
	s.found, s.lookup = probe.Lookup(e.ctx, "ip", at.Host)
	if s.lookup != nil && !notFound(s.lookup) { // once is no evidence
		s.found, s.lookup = probe.Lookup(e.ctx, "ip", at.Host)
	}
	if s.lookup != nil {
		return
	}
	for _, a := range s.found {
		if routed(a) {
			s.reach = append(s.reach, a)
		}
	}
	if len(s.reach) == 0 {
		return
	}
	if s.secure() {
		roots, err := ke.LoadRoots(s.CertificateAuthority)
		if err != nil {
			return // said by the files
		}
		s.check = probe.CheckNTS(e.ctx, probe.CheckOptions{
			Target: at, Roots: roots,
			Timeout: e.Timeout, Lengths: true, CertificateDays: e.CertificateDays,
		})
		if s.Mode == config.ModeNTSPool && s.check.Severity <= probe.Warning {
			s.members = probe.Query(e.ctx, []probe.Target{at}, probe.QueryOptions{
				Timeout: e.Timeout, NTS: true, Pool: min(s.Count, max(mostOfPool, e.needed())), Client: ke.ClientRequest{Roots: roots},
			})
		}
		return
	}
	most := mostOfServer
	if s.pool() {
		most = max(mostOfPool, e.needed())
	}
	asked := append(family(s.reach, false, most), family(s.reach, true, most)...)
	s.plain, s.elsewhere = make([]probe.Answer, len(asked)), make([]netip.AddrPort, len(asked))
	var all sync.WaitGroup
	for i, a := range asked {
		all.Go(func() {
			to := netip.AddrPortFrom(a, s.Address.Port)
			if s.plain[i] = e.patiently(to); s.plain[i].Verdict == probe.NoAnswer {
				s.elsewhere[i], _ = probe.Elsewhere(e.ctx, probe.Question{To: to, Timeout: e.Timeout / 2})
			}
		})
	}
	all.Wait()
}

func (e *exam) patiently(to netip.AddrPort) probe.Answer {
	var a probe.Answer
	for range attempts {
		if a = probe.Ask(e.ctx, probe.Question{To: to, Timeout: e.Timeout * 2 / attempts}); a.Verdict != probe.NoAnswer {
			break
		}
	}
	return a
}

// family picks up to most addresses of one family.
func family(all []netip.Addr, v6 bool, most int) []netip.Addr {
	var out []netip.Addr
	for _, a := range all {
		if a.Is4() != v6 && len(out) < most {
			out = append(out, a)
		}
	}
	return out
}

// routed reports whether this machine has a route to an address. Connecting a
// UDP socket sends nothing.
func routed(a netip.Addr) bool {
	_, err := dialUDP(netip.AddrPortFrom(a, 123), time.Second)
	return err == nil
}
