package main

import (
	"context"
	"net/netip"
	"strings"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// The server by a name that has an IPv6 address and no other.
var (
	addrServer6 = netip.MustParseAddr("fd77::1")
	addrClient6 = netip.MustParseAddr("fd77::9")
)

const nameServer6 = "six.test"

// ours6 is ours, serving IPv6.
type ours6 struct{ ours }

func (o ours6) serve(h *lab.Host) (server, error) {
	return o.start(h, "ntp-daemon", "server", strings.ReplaceAll(ntpdrsServer, "0.0.0.0", "[::]"), "--no-clock")
}

// pairs6 are the rows of one client with one server over IPv6.
func pairs6(c, s peer) []row {
	over6 := func(u upstream) func(context.Context, *bench) (string, error) {
		return func(ctx context.Context, b *bench) (string, error) {
			srv, err := s.serve(b.server)
			if err != nil {
				return "", err
			}
			if err := awaitServer(ctx, b, srv, addrServer6); err != nil {
				return "", err
			}
			return follows(ctx, b, c, srv, u)
		}
	}
	return []row{
		{c.String(), s.String(), "plain IPv6", over6(upstream{name: nameServer6})},
		{c.String(), s.String(), "nts IPv6", over6(upstream{name: nameServer6, nts: true, ca: "ca.pem"})},
	}
}
