package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/probe"
	"github.com/ntpd-go/ntpd-go/internal/neterr"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// served asks our own servers, if the daemon runs.
func (e *exam) served() {
	if e.answer == nil {
		return
	}
	for i := range e.cfg.Servers {
		e.servedNTP(&e.cfg.Servers[i])
	}
	for i := range e.cfg.NTSKEServers {
		e.servedKeys(&e.cfg.NTSKEServers[i])
	}
}

// reachable is the address by which a server of ours is asked from here.
func reachable(at netip.AddrPort) netip.AddrPort {
	if !at.Addr().IsUnspecified() {
		return at
	}
	if at.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), at.Port())
}

func (e *exam) servedNTP(s *config.Server) {
	at := reachable(s.Listen)
	subject := fmt.Sprintf("NTP server %v", s.Listen)
	if !welcome(s, at.Addr()) {
		return // its rules would keep us out
	}
	a := e.patiently(at)
	switch {
	case a.Verdict.Came():
		e.ok("served", subject, a.Sentence())
	default:
		e.fail("served", subject, a.Sentence()+", asked from this machine", "an answer",
			"see the daemon's log for why it does not serve there, and this machine's firewall")
	}
}

// welcome reports whether a server's rules let an address of this machine ask
// without NTS.
func welcome(s *config.Server, from netip.Addr) bool {
	if s.RequireNTS != config.RequireNothing {
		return false
	}
	inside := func(list []netip.Prefix) bool {
		for _, p := range list {
			if p.Contains(from) {
				return true
			}
		}
		return false
	}
	return !inside(s.Denylist.Filter) && (len(s.Allowlist.Filter) == 0 || inside(s.Allowlist.Filter))
}

// servedKeys compares the certificate that is served with the one on disk.
func (e *exam) servedKeys(s *config.NTSKEServer) {
	subject := fmt.Sprintf("key exchange %v", s.Listen)
	ctx, cancel := context.WithTimeout(e.ctx, 2*e.Timeout)
	defer cancel()
	shown, err := probe.Look(ctx, reachable(s.Listen), "localhost")
	if err != nil {
		e.fail("served", subject, "no TLS connection from this machine: "+neterr.Cause(err).Error(), "a TLS handshake", "see the daemon's log for why it does not serve there")
		return
	}
	pair, err := ke.LoadKeyPair(s.CertificateChainPath, s.PrivateKeyPath, e.now)
	if err != nil || shown.Leaf == nil {
		return // said by the files
	}
	if !shown.Leaf.Equal(pair.TLS.Leaf) {
		left := int(shown.Leaf.NotAfter.Sub(e.now).Hours() / 24)
		e.fail("served", subject, fmt.Sprintf("serves another certificate than the file holds: the served one expires on %s (%d days), the file's on %s",
			shown.Leaf.NotAfter.UTC().Format(time.DateOnly), left, pair.TLS.Leaf.NotAfter.UTC().Format(time.DateOnly)),
			"the certificate of "+absolute(s.CertificateChainPath), "reload or restart the daemon, and let whatever renews the certificate do so")
		return
	}
	e.ok("served", subject, "serves the certificate of the file")
}
