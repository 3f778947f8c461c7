package netio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// ServerConfig says what to serve on.
type ServerConfig struct {
	// Listen is the address and port. The unspecified IPv6 address serves IPv4
	// too.
	Listen netip.AddrPort
	// IPv6Only keeps the unspecified IPv6 address from serving IPv4, for when
	// the unspecified IPv4 address is served by another socket.
	IPv6Only bool
	// Shared lets several sockets of this user listen on the same address and
	// port; the kernel spreads clients over them (SO_REUSEPORT).
	Shared bool
}

// ServerSocket is a UDP socket that answers whoever asks, from the address that
// was asked. Receiving and sending may each be done by one goroutine at a time.
type ServerSocket struct {
	file     *os.File
	raw      syscall.RawConn
	local    netip.AddrPort
	wildcard bool // bound to all addresses: say which one answers
	single   bool // the kernel refuses recvmmsg and sendmmsg
	adopted  bool // others go on with it
	dropped  atomic.Uint32
	closed   atomic.Bool
}

// Dropped is how many requests the kernel dropped for want of room in the
// receive buffer, or because of Shed, as it said with the latest request that
// followed; it wraps.
func (s *ServerSocket) Dropped() uint32 { return s.dropped.Load() }

// receiveBuffer is what a server socket asks for, in octets: room for a burst
// of requests while the daemon does not get to run. The kernel grants what its
// rmem_max allows.
const receiveBuffer = 4 << 20

// OpenServer opens and binds a server socket. The error wraps the errno:
// EADDRINUSE, EACCES, EADDRNOTAVAIL when no interface has the address, ENODEV
// when there is no interface of the address' zone.
func OpenServer(cfg ServerConfig) (*ServerSocket, error) {
	addr := cfg.Listen.Addr().Unmap()
	bind, err := sockaddr(netip.AddrPortFrom(addr, cfg.Listen.Port()))
	if err != nil {
		return nil, err
	}
	family := unix.AF_INET6
	if addr.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	dual := addr == netip.IPv6Unspecified() && !cfg.IPv6Only
	if err := errors.Join(prepareBind(fd, family == unix.AF_INET6, dual, cfg.Shared), prepareServer(fd, family == unix.AF_INET6, dual)); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	if err := unix.Bind(fd, bind); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return newServerSocket(fd, addr)
}

// newServerSocket takes a bound descriptor that blocks.
func newServerSocket(fd int, addr netip.Addr) (*ServerSocket, error) {
	s := &ServerSocket{wildcard: addr.IsUnspecified(), file: os.NewFile(uintptr(fd), "ntp server")}
	name, err := unix.Getsockname(fd)
	if err == nil {
		s.raw, err = s.file.SyscallConn()
	}
	if err != nil {
		_ = s.file.Close()
		return nil, os.NewSyscallError("getsockname", err)
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		s.local = netip.AddrPortFrom(addr, uint16(a.Port))
	case *unix.SockaddrInet6:
		s.local = netip.AddrPortFrom(addr, uint16(a.Port))
	}
	return s, nil
}

// Local is the address that the socket is bound to, with the port that the
// kernel chose if 0 was asked for.
func (s *ServerSocket) Local() netip.AddrPort { return s.local }

// Close closes the socket and ends a Receive that waits on it, of a socket that
// was adopted within adoptedWait.
func (s *ServerSocket) Close() error {
	s.closed.Store(true)
	if s.adopted {
		return s.file.Close()
	}
	// Whoever waits in the kernel holds the descriptor. Linux wakes him although
	// it says that the socket is not connected.
	_ = s.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	return s.file.Close()
}

// must sets an option that a socket cannot serve without.
func must(fd int, name string, level, option, value int) error {
	if err := unix.SetsockoptInt(fd, level, option, value); err != nil {
		return fmt.Errorf("setsockopt %s: %w", name, err)
	}
	return nil
}

// prepareBind sets the options that a socket must have before it is bound.
func prepareBind(fd int, ipv6, dual, shared bool) error {
	var errs []error
	if shared {
		errs = append(errs, must(fd, "SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	}
	if ipv6 {
		only := 1
		if dual {
			only = 0
		}
		errs = append(errs, must(fd, "IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only))
	}
	return errors.Join(errs...)
}

// prepareServer sets the other options. Those that the socket can serve without
// are asked for and no more.
func prepareServer(fd int, ipv6, dual bool) error {
	ask := func(level, option, value int) error { return unix.SetsockoptInt(fd, level, option, value) }

	var errs []error
	if ipv6 {
		errs = append(errs, must(fd, "IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
		_ = ask(unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
	}
	if !ipv6 || dual {
		errs = append(errs, must(fd, "IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1))
		// A forged "fragmentation needed" must not make us send fragments, into
		// which someone could splice his own. A response that is longer than the
		// interface's packets leaves in fragments, as its request came.
		_ = ask(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
	}
	_ = ask(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1) // a count that is there only when it is not zero
	// Without kernel timestamps the daemon takes its own.
	_ = enableStamps(fd, unix.SOF_TIMESTAMPING_SOFTWARE|unix.SOF_TIMESTAMPING_RX_SOFTWARE)
	if ask(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = ask(unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	return errors.Join(errs...)
}

// sockaddr converts an address for bind. ENODEV means that there is no
// interface of its zone.
func sockaddr(a netip.AddrPort) (unix.Sockaddr, error) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
	}
	s := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	zone := a.Addr().Zone()
	if zone == "" {
		return s, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		s.ZoneId = uint32(n)
		return s, nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", zone, unix.ENODEV)
	}
	s.ZoneId = uint32(i.Index)
	return s, nil
}
