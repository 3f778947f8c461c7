package ke

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
)

// Listen opens a listener for the key exchange. Go's net.Listen would make it
// a multipath TCP socket, which sandboxes with rules for TCP do not cover and
// of which a key exchange has no use. And of an IPv4 address it would make an
// IPv6 socket that takes both, so that 0.0.0.0 opened IPv6 as well. Connections
// have deadlines and need no probes of TCP's, which are four system calls each.
func Listen(ctx context.Context, addr string) (*net.TCPListener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	network := "tcp"
	if a, err := netip.ParseAddrPort(addr); err == nil && a.Addr().Is4() {
		network = "tcp4"
	}
	l, err := lc.Listen(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// ListenerOf makes a listener of a TCP socket that listens already, of which it
// takes a duplicate.
func ListenerOf(f *os.File) (*net.TCPListener, error) {
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("%v is not a TCP socket", l.Addr())
	}
	return tcp, nil
}
