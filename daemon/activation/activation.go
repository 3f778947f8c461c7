// Package activation takes the sockets that a service manager opened before it
// started the daemon, as sd_listen_fds(3) describes: from descriptor 3 on, as
// many as LISTEN_FDS says, if LISTEN_PID is this process.
package activation

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	first = 3    // descriptor
	most  = 1024 // sockets; more are nobody's plan
)

// Variables are those of the environment that are about this.
var Variables = []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}

// Sockets are those that were handed over. A nil *Sockets has none.
type Sockets struct{ all []*socket }

type socket struct {
	file *os.File
	name string // as the service manager calls it
	kind int    // unix.SOCK_DGRAM, a listening unix.SOCK_STREAM, or 0 for what is of no use
	addr netip.AddrPort
	used bool
}

// Take takes what was handed over to the process. An error is a service manager
// that does not keep to the protocol.
func Take(getenv func(string) string, pid int) (*Sockets, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil // for another process, or for nobody
	}
	n, err := strconv.ParseUint(getenv("LISTEN_FDS"), 10, 16)
	if err != nil || n > most {
		return nil, fmt.Errorf("LISTEN_FDS is %.32q, not a number of sockets up to %d", getenv("LISTEN_FDS"), most)
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	s := &Sockets{}
	for i := range int(n) {
		fd := first + i
		unix.CloseOnExec(fd)
		one := &socket{file: os.NewFile(uintptr(fd), "socket handed over")}
		if i < len(names) {
			one.name = names[i]
		}
		one.kind, one.addr = describe(fd)
		s.all = append(s.all, one)
	}
	return s, nil
}

// describe is the kind of a socket, 0 if it is of none that is served on, and
// the address that it is bound to.
func describe(fd int) (kind int, addr netip.AddrPort) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return 0, addr
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, addr
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		addr = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(a.Addr)
		if a.ZoneId != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(a.ZoneId), 10))
		}
		addr = netip.AddrPortFrom(ip, uint16(a.Port))
	default:
		return 0, addr
	}
	if kind == unix.SOCK_DGRAM {
		return kind, addr
	}
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
		return 0, addr
	}
	return kind, addr
}

// UDP gives the sockets that are bound to an address, which may be several.
// They stay those of Sockets: take duplicates, and do not shut them down, since
// the service manager goes on with them.
func (s *Sockets) UDP(addr netip.AddrPort) []*os.File { return s.take(unix.SOCK_DGRAM, addr) }

// TCP gives the socket that listens on an address, or nil.
func (s *Sockets) TCP(addr netip.AddrPort) *os.File {
	if all := s.take(unix.SOCK_STREAM, addr); len(all) > 0 {
		return all[0]
	}
	return nil
}

func (s *Sockets) take(kind int, addr netip.AddrPort) (files []*os.File) {
	if s == nil {
		return nil
	}
	for _, one := range s.all {
		if one.kind == kind && same(one.addr, addr) {
			one.used = true
			files = append(files, one.file)
		}
	}
	return files
}

// same compares the address of a socket with one that was asked for, whose zone
// may be a name.
func same(socket, asked netip.AddrPort) bool {
	zone := asked.Addr().Zone()
	if i, err := net.InterfaceByName(zone); zone != "" && err == nil {
		zone = strconv.Itoa(i.Index)
	}
	return socket.Port() == asked.Port() && socket.Addr() == asked.Addr().Unmap().WithZone(zone)
}

// Len is how many were handed over.
func (s *Sockets) Len() int {
	if s == nil {
		return 0
	}
	return len(s.all)
}

// Unused closes those that nobody asked for, and says which they are.
func (s *Sockets) Unused() (list []string) {
	if s == nil {
		return nil
	}
	for i, one := range s.all {
		if one.used {
			continue
		}
		what := fmt.Sprintf("descriptor %d", first+i)
		switch one.kind {
		case unix.SOCK_DGRAM:
			what = "udp " + one.addr.String()
		case unix.SOCK_STREAM:
			what = "tcp " + one.addr.String()
		}
		if one.name != "" {
			what += fmt.Sprintf(" (%.64q)", one.name)
		}
		list = append(list, what)
		_ = one.file.Close()
		one.kind = 0
	}
	return list
}
