package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/daemon/probe"
)

// nobody are addresses for documentation only (RFC 5737, RFC 3849): no host
// has them, so that an answer from one is someone else's.
var nobody = []netip.Addr{
	netip.MustParseAddr("192.0.2.219"), netip.MustParseAddr("198.51.100.219"), netip.MustParseAddr("203.0.113.219"),
	netip.MustParseAddr("2001:db8:7a5d:1f03::219"),
}

// interception asks addresses that nobody has for the time. What a network
// redirects to a server of its own, it redirects for them too.
func (e *exam) interception() {
	remote := false
	for _, s := range e.sources {
		for _, a := range s.reach {
			remote = remote || !isOurs(a) && !onLink(a)
		}
	}
	if !remote {
		return // nothing passes a router
	}
	asked := 0
	for _, a := range nobody {
		if onLink(a) || e.inUse(a) || !routed(a) {
			continue
		}
		asked++
		got := probe.Ask(e.ctx, probe.Question{To: netip.AddrPortFrom(a, 123), Timeout: e.Timeout / 2})
		if got.Verdict.Came() {
			e.problem("interception", fmt.Sprintf("UDP port 123 of %v", a), "intercepted: an address that belongs to nobody (RFC 5737) answers NTP, so something on the way redirects it to a server of its own",
				"no answer", "exempt this machine from the redirection of NTP in the router; use NTS, which cannot be redirected unnoticed")
			return
		}
	}
	if asked > 0 {
		e.ok("interception", "", fmt.Sprintf("no answer from %d addresses that belong to nobody", asked))
	}
}

// inUse reports whether a network of documentation is used after all, as in a
// laboratory.
func (e *exam) inUse(a netip.Addr) bool {
	bits := 24
	if a.Is6() {
		bits = 32
	}
	net, err := a.Prefix(bits)
	if err != nil {
		return true
	}
	for _, s := range e.sources {
		if slices.ContainsFunc(s.found, net.Contains) {
			return true
		}
	}
	return false
}

// onLink reports whether an address is a neighbour's, reached without a
// router.
func onLink(a netip.Addr) bool {
	for _, p := range ownPrefixes() {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
