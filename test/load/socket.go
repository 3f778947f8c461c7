package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchLen is how many datagrams one system call sends or receives at most.
const batchLen = 64

// maxDatagram is room for every request and answer: eight of the longest
// cookies, twice.
const maxDatagram = 2048

// socket sends requests to one server from any address of the machine, which
// IP_PKTINFO chooses, and its own port. It belongs to one goroutine.
type socket struct {
	fd     int
	server [unix.SizeofSockaddrInet4]byte
	out    []message
	outHdr []mmsghdr
	queued int
	in     []message
	inHdr  []mmsghdr
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// message is the memory of one datagram.
type message struct {
	info    pktinfo
	name    [unix.SizeofSockaddrInet4]byte
	vec     unix.Iovec
	payload [maxDatagram]byte
}

// pktinfo is the control message IP_PKTINFO.
type pktinfo struct {
	header unix.Cmsghdr
	info   unix.Inet4Pktinfo
	_      [4]byte
}

// openSocket opens a socket for requests to an IPv4 server.
func openSocket(server netip.AddrPort) (*socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	s := &socket{
		fd:  fd,
		out: make([]message, batchLen), outHdr: make([]mmsghdr, batchLen),
		in: make([]message, batchLen), inHdr: make([]mmsghdr, batchLen),
	}
	*(*uint16)(unsafe.Pointer(&s.server[0])) = unix.AF_INET
	binary.BigEndian.PutUint16(s.server[2:], server.Port())
	copy(s.server[4:8], server.Addr().AsSlice())
	for i := range batchLen {
		s.prepare(&s.out[i], &s.outHdr[i].hdr, &s.server[0])
		s.out[i].info.header = unix.Cmsghdr{Level: unix.IPPROTO_IP, Type: unix.IP_PKTINFO}
		s.out[i].info.header.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		s.prepare(&s.in[i], &s.inHdr[i].hdr, &s.in[i].name[0])
	}
	// Room for answers in spite of whatever else the processor does.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot open a socket for requests: %w", err)
	}
	return s, nil
}

func (s *socket) prepare(m *message, h *unix.Msghdr, name *byte) {
	m.vec.Base = &m.payload[0]
	h.Name, h.Namelen = name, unix.SizeofSockaddrInet4
	h.Iov, h.Control = &m.vec, (*byte)(unsafe.Pointer(&m.info))
	h.SetIovlen(1)
	h.SetControllen(int(unsafe.Sizeof(m.info)))
}

// room is the memory for the next request, which queue adds.
func (s *socket) room() []byte { return s.out[s.queued].payload[:0] }

// queue adds the request that was made in room to those that flush sends.
func (s *socket) queue(n int, from [4]byte) {
	m := &s.out[s.queued]
	m.vec.SetLen(n)
	m.info.info.Spec_dst = from
	s.queued++
}

// flush sends what is queued, and returns how much of it was not taken.
func (s *socket) flush() (failed int) {
	for sent := 0; sent < s.queued; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.outHdr[sent])), uintptr(s.queued-sent), 0, 0, 0)
		switch errno {
		case 0:
			sent += int(n)
		case unix.EINTR:
		default:
			failed++
			sent++
		}
	}
	s.queued = 0
	return failed
}

// receive takes what has come without waiting, and returns how many there are.
func (s *socket) receive() (int, error) {
	for i := range s.inHdr {
		s.in[i].vec.SetLen(maxDatagram)
		s.inHdr[i].hdr.Namelen = unix.SizeofSockaddrInet4
		s.inHdr[i].hdr.SetControllen(int(unsafe.Sizeof(pktinfo{})))
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.inHdr[0])), batchLen, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	default:
		return 0, fmt.Errorf("cannot receive: %w", errno)
	}
}

// answer is a datagram of the last receive: what it holds, the address it came
// to, and whether it came from the server.
func (s *socket) answer(i int) (payload []byte, to [4]byte, fromServer bool) {
	m := &s.in[i]
	return m.payload[:s.inHdr[i].len], m.info.info.Addr, [8]byte(m.name[:]) == [8]byte(s.server[:])
}

func (s *socket) close() { unix.Close(s.fd) }
