package engine

import "net/netip"

// Prefixes that commonly belong to one owner: the longest that is routed on
// the Internet by itself.
const (
	networkBits4 = 24
	networkBits6 = 48
)

// hasNeighbour reports whether another slot of a source has a server in the
// network of an address. Addresses of this machine and of private networks
// have no neighbours: there all are in one hand anyway.
func (s *source) hasNeighbour(a netip.Addr, except *slot) bool {
	network, ok := networkOf(a)
	if !ok {
		return false
	}
	for _, t := range s.slots {
		if t != except && t.live != nil && network.Contains(t.live.addr.Addr()) {
			return true
		}
	}
	return false
}

func networkOf(a netip.Addr) (netip.Prefix, bool) {
	if a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() {
		return netip.Prefix{}, false
	}
	bits := networkBits6
	if a.Is4() {
		bits = networkBits4
	}
	p, err := a.WithZone("").Prefix(bits)
	return p, err == nil
}
