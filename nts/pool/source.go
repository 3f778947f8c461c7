package pool

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"

	"github.com/ntpd-go/ntpd-go/nts"
)

// Source is a time source as the configuration names it.
type Source struct {
	Domain string // of its key-exchange server: a domain name or an address
	Port   uint16

	// Token makes the pool known to the source; nil if the pool's certificate
	// does.
	Token nts.Secret

	// Weight is its share of the clients, beside the weights of the others.
	// A source of weight 0 is watched like the others and given no client.
	Weight uint32

	// Owner tells whose source it is, or is empty. A client that has one
	// server of an owner gets the next from somebody else, if it can be.
	Owner string

	// Location is for people: the log shows it.
	Location string

	// Country is where it is, in two letters, or empty.
	Country string
}

// String is the domain and the port, by which sources are told apart.
func (s Source) String() string {
	return net.JoinHostPort(s.Domain, strconv.Itoa(int(s.Port)))
}

// same reports whether nothing was changed about a source.
func (s Source) same(o Source) bool {
	return s.Domain == o.Domain && s.Port == o.Port && s.Weight == o.Weight &&
		s.Owner == o.Owner && s.Location == o.Location && s.Country == o.Country && bytes.Equal(s.Token, o.Token)
}

// family is the address family in which a client came. Its source is asked in
// the same, which also shows that the source can be reached in it.
type family uint8

const (
	ipv4 family = iota
	ipv6
	families = 2
)

func familyOf(a netip.Addr) family {
	if a.Unmap().Is4() {
		return ipv4
	}
	return ipv6
}

// String is "IPv4" or "IPv6".
func (f family) String() string { return [families]string{"IPv4", "IPv6"}[f] }

// network is the name that package net has for TCP in this family.
func (f family) network() string { return [families]string{"tcp4", "tcp6"}[f] }

// served are the families in which clients can come to a listener. A balancer
// in front of it may have clients of both, whichever way it comes itself.
func served(listener net.Addr, balanced bool) []family {
	tcp, ok := listener.(*net.TCPAddr)
	if !ok {
		return []family{ipv4, ipv6}
	}
	addr := tcp.AddrPort().Addr()
	if addr.Is6() && addr.IsUnspecified() { // takes IPv4 as well
		return []family{ipv4, ipv6}
	}
	own := familyOf(addr)
	if balanced {
		return []family{own, ipv4 + ipv6 - own}
	}
	return []family{own}
}
