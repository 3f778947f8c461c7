package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/ntpd-go/ntpd-go/daemon/probe"
	"github.com/ntpd-go/ntpd-go/internal/neterr"
)

// names looks at how the sources' names resolve.
func (e *exam) names() {
	var named, failed []*source
	for _, s := range e.sources {
		e.ownServer(s)
		if s.literal || s.said {
			continue
		}
		named = append(named, s)
		if s.lookup != nil {
			failed = append(failed, s)
		}
	}
	if len(named) == 0 {
		return
	}
	if len(failed) == len(named) && e.resolverDead(failed) {
		return
	}
	for _, s := range failed {
		s.said = true
		fix := "check the spelling, and whether the name still exists"
		if !notFound(s.lookup) {
			fix = "check the name servers in /etc/resolv.conf; DNSSEC fails too when the clock is wrong"
		}
		e.problem("dns", s.name, "does not resolve: "+probe.LookupReason(s.lookup), "an address", fix)
	}
	for _, s := range named {
		e.resolvesToUs(s)
	}
	e.oneForAll(named)
	for _, s := range named {
		e.staleHosts(s)
	}
	if len(failed) == 0 {
		e.ok("dns", "", fmt.Sprintf("%d names of sources resolve", len(named)))
	}
}

func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// resolverDead looks whether the fault is not the names' but the resolver's:
// it asks each name server itself.
func (e *exam) resolverDead(failed []*source) bool {
	for _, s := range failed {
		if notFound(s.lookup) {
			return false
		}
	}
	servers := nameServers()
	if len(servers) == 0 {
		e.fail("dns", "/etc/resolv.conf", "names no name server, and no name resolves", "at least one nameserver line", "name one; DHCP or NetworkManager should have")
		return e.allSaid(failed)
	}
	var words []string
	for _, at := range servers {
		words = append(words, at+": "+e.askNameServer(at, failed[0].name))
	}
	e.fail("dns", "", fmt.Sprintf("no name resolves (%d of %d failed); name server %s", len(failed), len(failed), strings.Join(words, ", ")),
		"an answer", "check the network and the name servers in /etc/resolv.conf, or write addresses of sources")
	return e.allSaid(failed)
}

func (e *exam) allSaid(sources []*source) bool {
	for _, s := range sources {
		s.said = true
	}
	return true
}

// askNameServer says what one name server does with a name.
func (e *exam) askNameServer(at, name string) string {
	ctx, cancel := context.WithTimeout(e.ctx, 2*e.Timeout)
	defer cancel()
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(at, "53"))
	}}
	_, err := r.LookupNetIP(ctx, "ip", name+".")
	var dns *net.DNSError
	switch {
	case err == nil:
		return "answers"
	case ctx.Err() != nil, errors.As(err, &dns) && dns.IsTimeout:
		return "no answer"
	case errors.As(err, &dns):
		return dns.Err
	default:
		return neterr.Cause(err).Error()
	}
}

// nameServers reads the resolver's configuration.
func nameServers() []string {
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			out = append(out, f[1])
		}
	}
	return out
}

// ownServer finds sources that are our own server: it would follow itself.
func (e *exam) ownServer(s *source) {
	for _, a := range s.found {
		for i := range e.cfg.Servers {
			if at := e.cfg.Servers[i].Listen; isOurs(a) && at.Port() == s.Address.Port && overlap(at.Addr(), a) {
				s.said = true
				e.problem("source", s.name, fmt.Sprintf("%v is this machine itself: its own NTP server listens on %v", a, at), "another machine",
					"name another server as the source")
				return
			}
		}
	}
}

// resolvesToUs finds names of others that lead to this machine: a block list,
// or a wrong line in /etc/hosts.
func (e *exam) resolvesToUs(s *source) {
	host := strings.TrimSuffix(strings.ToLower(s.name), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return
	}
	for _, a := range s.found {
		if isOurs(a) || a.IsUnspecified() {
			s.said = true
			e.problem("dns", s.name, "resolves to this machine itself ("+a.String()+")", "the address of another machine",
				"look for the name in /etc/hosts and in the block list of the name server")
			return
		}
	}
}

// oneForAll finds a name server that gives one address for every name, as a
// captive portal's does: the names are of several domains, and no NTP server
// is there.
func (e *exam) oneForAll(named []*source) {
	domains := map[string]bool{}
	for _, s := range named {
		if s.said || len(s.found) != 1 || s.found[0] != named[0].found[0] || len(s.good()) > 0 {
			return
		}
		domains[registrable(s.name)] = true
	}
	if len(domains) < 2 {
		return
	}
	e.allSaid(named)
	e.fail("dns", "", fmt.Sprintf("all %d names of %d domains resolve to %v, which does not answer NTP", len(named), len(domains), named[0].found[0]),
		"an address of its own for each", "a name server answers every name with one address, as captive portals and block lists do: log in to the network, or use another name server")
}

// staleHosts finds a line in /etc/hosts that keeps a source from its server:
// the name servers give other addresses.
func (e *exam) staleHosts(s *source) {
	if s.said || len(s.found) == 0 || len(s.good()) > 0 || !slices.ContainsFunc(s.udp(), func(a *probe.Answer) bool { return !a.Verdict.Came() }) {
		return
	}
	pinned := hostsLine(s.name)
	if !slices.ContainsFunc(pinned, func(a netip.Addr) bool { return slices.Contains(s.found, a) }) {
		return
	}
	for _, at := range nameServers() {
		now := e.addressesBy(at, s.name)
		if len(now) == 0 || slices.ContainsFunc(now, func(a netip.Addr) bool { return slices.Contains(pinned, a) }) {
			continue
		}
		s.said = true
		e.problem("dns", s.name, fmt.Sprintf("a line in /etc/hosts says %v, which does not answer, and the name server %s says %v", s.found, at, now),
			"the same address", "remove the line from /etc/hosts")
		return
	}
}

// network looks whether there is a way to the sources' addresses.
func (e *exam) network() {
	var cut []*source
	with := 0
	for _, s := range e.sources {
		if len(s.found) == 0 {
			continue
		}
		with++
		if len(s.reach) == 0 {
			cut = append(cut, s)
		}
	}
	if len(cut) == 0 {
		return
	}
	if len(cut) == with && hasFamily(cut[0].found) || len(cut) == with && !hasAny() {
		for _, s := range cut {
			s.said = true
		}
		e.fail("network", "", fmt.Sprintf("no route to any source: this machine has the addresses %s and no route to %v", addresses(), cut[0].found),
			"a route", "bring up the network: an interface, an address, a default route")
		return
	}
	for _, s := range cut {
		s.said = true
		if hasFamily(s.found) {
			e.problem("network", s.name, fmt.Sprintf("no route to its addresses %v, although this machine has %s", s.found, addresses()), "a route", "add a route, or a default route")
			continue
		}
		e.problem("network", s.name, fmt.Sprintf("has only %s addresses (%v), to which this machine has no route", familyOf(s.found), s.found),
			"an address of a family that this machine has", "use a name with addresses of the other family (for pools: 2.<zone>), or give this machine "+familyOf(s.found))
	}
}

// hasFamily reports whether this machine has an address, beyond the loopback
// and the link, of a family that one of these addresses is of.
func hasFamily(all []netip.Addr) bool {
	for _, p := range ownPrefixes() {
		own := p.Addr()
		if own.IsLoopback() || own.IsLinkLocalUnicast() {
			continue
		}
		if slices.ContainsFunc(all, func(a netip.Addr) bool { return a.Is4() == own.Is4() }) {
			return true
		}
	}
	return false
}

// hasAny reports whether this machine has any address beyond the loopback and
// the link.
func hasAny() bool { return hasFamily([]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}) }

func familyOf(all []netip.Addr) string {
	four, six := false, false
	for _, a := range all {
		four, six = four || a.Is4(), six || a.Is6()
	}
	switch {
	case four && six:
		return "IPv4 and IPv6"
	case six:
		return "IPv6"
	default:
		return "IPv4"
	}
}

func addresses() string {
	var out []string
	for _, p := range ownPrefixes() {
		if !p.Addr().IsLoopback() {
			out = append(out, p.String())
		}
	}
	if len(out) == 0 {
		return "of the loopback interface only"
	}
	return strings.Join(out, " ")
}
