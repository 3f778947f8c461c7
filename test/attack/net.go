package main

import (
	"net/netip"

	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// wireHosts joins two hosts by a cable called wire0.
func wireHosts(t *scene.Trial, a, b *lab.Host, addrA, addrB string) {
	t.Check(lab.Wire(a, b, []netip.Prefix{netip.MustParsePrefix(addrA)}, []netip.Prefix{netip.MustParsePrefix(addrB)}))
}
