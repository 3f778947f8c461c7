package doctor

import (
	"net"
	"net/netip"
	"time"
)

// dialUDP connects a UDP socket, closes it, and says from which address it
// would have sent.
func dialUDP(to netip.AddrPort, timeout time.Duration) (netip.Addr, error) {
	conn, err := net.DialTimeout("udp", to.String(), timeout)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return local.Addr().Unmap(), err
}
