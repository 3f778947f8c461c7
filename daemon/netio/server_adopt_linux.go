package netio

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// adoptedWait is how long a Receive on an adopted socket waits in the kernel
// before it looks whether the socket was closed: to shut it down, which wakes
// at once, would end it for the service manager too.
const adoptedWait = 500 * time.Millisecond

// AdoptServer makes a server socket of a UDP socket that was bound by somebody
// else, of which it takes a duplicate. It serves the addresses that it is bound
// to, those of IPv4 too if it is so.
func AdoptServer(f *os.File) (*ServerSocket, error) {
	var fd int
	raw, err := f.SyscallConn()
	if err == nil {
		err = errors.Join(raw.Control(func(given uintptr) {
			fd, err = unix.FcntlInt(given, unix.F_DUPFD_CLOEXEC, 0)
		}), err)
	}
	if err != nil {
		return nil, fmt.Errorf("duplicate the socket: %w", err)
	}
	s, err := adopt(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return s, nil
}

func adopt(fd int) (*ServerSocket, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	var addr netip.Addr
	dual := false
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		addr = netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		addr = netip.AddrFrom16(a.Addr)
		only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		dual = err == nil && only == 0 && addr.IsUnspecified()
	default:
		return nil, unix.EAFNOSUPPORT
	}
	if err := prepareServer(fd, addr.Is6(), dual); err != nil {
		return nil, err
	}
	wait := unix.NsecToTimeval(adoptedWait.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return nil, os.NewSyscallError("setsockopt SO_RCVTIMEO", err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	s, err := newServerSocket(fd, addr)
	if err == nil {
		s.adopted = true
	}
	return s, err
}
