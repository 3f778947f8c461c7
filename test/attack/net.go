package main

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// wireHosts joins two hosts by a cable called wire0.
func wireHosts(t *scene.Trial, a, b *lab.Host, addrA, addrB string) {
	t.Check(lab.Wire(a, b, []netip.Prefix{netip.MustParsePrefix(addrA)}, []netip.Prefix{netip.MustParsePrefix(addrB)}))
}

// joinGroup has the kernel of a socket's host take datagrams to a multicast group, at the interface with an address.
func joinGroup(c *net.UDPConn, group, at string) error {
	return option(c, func(fd int) error {
		return unix.SetsockoptIPMreq(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreq{
			Multiaddr: netip.MustParseAddr(group).As4(), Interface: netip.MustParseAddr(at).As4(),
		})
	})
}

// wantErrors has a socket keep the ICMP errors that concern it.
func wantErrors(c *net.UDPConn) error {
	return option(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1) })
}

func option(c *net.UDPConn, set func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = set(int(fd)) })
	return errors.Join(err, failed)
}
