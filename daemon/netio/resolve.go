package netio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// ErrNoRoute is a name all of whose addresses are out of reach.
var ErrNoRoute = errors.New("no route")

// Resolver turns names into addresses. The zero value asks the system's
// sources, /etc/hosts first where the system does.
type Resolver struct {
	// Net is the resolver to ask; nil is the default one.
	Net *net.Resolver
	// Reachable says whether there is a route; nil is the function of that
	// name.
	Reachable func(netip.Addr) bool
	// Proxies are those of routes; nil is none.
	Proxies *Proxies
}

// Lookup returns the addresses of host to which this machine has a route,
// each once, in the resolver's order. Host may be an address. The error, if
// any, is for Failure.
func (r Resolver) Lookup(ctx context.Context, host string, route engine.Route) ([]netip.Addr, error) {
	if route.Proxy != "" && r.Proxies != nil {
		return r.Proxies.lookup(ctx, host, route.Proxy)
	}
	if route.Proxy != "" {
		return nil, fmt.Errorf("%w: look-up of %q through the proxy %s", ErrNotSupported, host, route.Proxy)
	}
	reachable := r.Reachable
	if reachable == nil {
		reachable = Reachable
	}
	found, err := literal(host, route.Family)
	if found == nil && err == nil {
		found, err = r.Net.LookupNetIP(ctx, family(route.Family), host)
	}
	if err != nil {
		return nil, lookupError(host, err)
	}
	var addrs []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); !slices.Contains(addrs, a) && reachable(a) {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w to %q: its addresses are %v", ErrNoRoute, host, found)
	}
	return addrs, nil
}

// literal reads a host that is an address, with its zone, of which package
// net's look-up makes nothing.
func literal(host string, f engine.Family) ([]netip.Addr, error) {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return nil, nil // a name
	}
	a = a.Unmap()
	if f == engine.IPv4 && !a.Is4() || f == engine.IPv6 && !a.Is6() {
		return nil, errors.New("the address is of the other family than configured")
	}
	return []netip.Addr{a}, nil
}

// family is the address family in the words of package net.
func family(f engine.Family) string {
	switch f {
	case engine.IPv4:
		return "ip4"
	case engine.IPv6:
		return "ip6"
	default:
		return "ip"
	}
}

// lookupError says in one line which name did not resolve and why; it keeps
// the cause.
func lookupError(host string, err error) error {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return &LookupError{Host: host, Reason: err.Error(), Err: err}
	case dns.IsNotFound:
		return &LookupError{Host: host, Reason: "there is no such name, or it has no address", Err: err}
	case dns.IsTimeout:
		return &LookupError{Host: host, Reason: "the name server does not answer", Err: err}
	case dns.Server != "":
		return &LookupError{Host: host, Reason: dns.Err + ", says " + dns.Server, Err: err}
	default:
		return &LookupError{Host: host, Reason: dns.Err, Err: err}
	}
}

// LookupError is a name that did not resolve.
type LookupError struct {
	Host   string
	Reason string
	Err    error
}

// Error is one line for people.
func (e *LookupError) Error() string {
	return fmt.Sprintf("could not resolve %q: %s", e.Host, e.Reason)
}

// Unwrap returns the cause.
func (e *LookupError) Unwrap() error { return e.Err }

// Reachable reports whether this machine has a route to an address. It
// connects a UDP socket, which sends nothing.
func Reachable(a netip.Addr) bool {
	conn, err := net.Dial("udp", netip.AddrPortFrom(a, 123).String())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// LocalAddrs returns the addresses of this machine's interfaces, sorted, each
// once.
func LocalAddrs() ([]netip.Addr, error) {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("could not list the addresses of this machine: %w", err)
	}
	var addrs []netip.Addr
	for _, n := range nets {
		if ip, ok := n.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(ip.IP); ok {
				addrs = append(addrs, a.Unmap())
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs), nil
}
