package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/internal/neterr"
	"github.com/ntpd-go/ntpd-go/nts"
)

// Lookup gives the addresses of a host in the resolver's order, each once.
// network is "ip", "ip4" or "ip6"; host may be an address.
func Lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		if network == "ip4" && !a.Is4() || network == "ip6" && a.Is4() {
			return nil, &net.DNSError{Err: "the address is of the other family", Name: host, IsNotFound: true}
		}
		return []netip.Addr{a}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out, nil
}

// LookupReason says in a few words why a name did not resolve.
func LookupReason(err error) string {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return neterr.Cause(err).Error()
	case dns.IsNotFound:
		return "there is no such name, or it has no address"
	case dns.IsTimeout:
		return "no name server answers"
	default:
		return dns.Err
	}
}

// SRV finds the key-exchange servers of a domain by its SRV records
// _ntske._tcp, in the order in which they are to be tried. A nil resolver is
// the system's. Whether the answer is secured by DNSSEC is not looked at.
func SRV(ctx context.Context, r *net.Resolver, domain string) ([]Target, error) {
	_, records, err := r.LookupSRV(ctx, "ntske", "tcp", nts.Rooted(domain))
	if err != nil {
		return nil, fmt.Errorf("SRV records of _ntske._tcp.%s: %s", domain, LookupReason(err))
	}
	var out []Target
	for _, r := range records {
		if r.Target != "." {
			out = append(out, Target{Host: r.Target, Port: r.Port})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("SRV records of _ntske._tcp.%s: the service is not offered", domain)
	}
	return out, nil
}

// Target is a server as a person writes it.
type Target struct {
	Host string
	Port uint16
}
