package netio

import (
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Datagram is one request that was received.
type Datagram struct {
	Payload []byte // empty when it was longer than MaxPayload
	From    netip.AddrPort
	To      netip.Addr // the address that was asked; zero when the kernel did not say
	// Group reports that it was sent to a broadcast or multicast address.
	Group bool
	// Stamp is when it arrived, on CLOCK_REALTIME.
	Stamp proto.Stamp
}

// ServerBatch is room for a number of requests that are received together and
// for their responses. It belongs to one goroutine, and what it returns is
// valid until the next Receive.
type ServerBatch struct {
	slots []slot
	in    []mmsghdr
	out   []mmsghdr
	send  []mmsghdr // the responses that are queued, a part of out

	// What the functions given to the file exchange with their callers; they are
	// made once, so that a batch costs no allocation.
	socket       *ServerSocket
	read, write  func(fd uintptr) bool
	received     int
	receiveErrno unix.Errno
	failed       int
}

// slot is the memory of one request and its response.
type slot struct {
	datagram Datagram
	name     [unix.SizeofSockaddrInet6]byte
	nameLen  uint32
	_        [0]uint64 // aligns what follows
	ctl      [ctlLen]byte
	reply    replyInfo
	dropped  uint32 // requests before this one, by the socket
	inVec    unix.Iovec
	outVec   unix.Iovec
	payload  [MaxPayload]byte
	response [MaxPayload]byte
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// NewServerBatch makes room for n requests.
func NewServerBatch(n int) *ServerBatch {
	b := &ServerBatch{slots: make([]slot, n), in: make([]mmsghdr, n), out: make([]mmsghdr, n)}
	for i := range b.slots {
		s, h := &b.slots[i], &b.in[i].hdr
		s.inVec.Base = &s.payload[0]
		s.inVec.SetLen(len(s.payload))
		h.Name, h.Iov, h.Control = &s.name[0], &s.inVec, &s.ctl[0]
		h.SetIovlen(1)
	}
	b.read, b.write = b.readSome, b.writeNow
	b.send = b.out[:0]
	return b
}

// Receive waits for requests and returns how many came, at least one. An error
// is os.ErrClosed after Close, or an errno.
func (s *ServerSocket) Receive(b *ServerBatch) (int, error) {
	b.socket, b.send = s, b.out[:0]
	for i := range b.in {
		h := &b.in[i].hdr
		h.Namelen = uint32(len(b.slots[i].name))
		h.SetControllen(ctlLen)
		h.Flags = 0
	}
	if err := s.raw.Read(b.read); err != nil || s.closed.Load() {
		return 0, os.ErrClosed
	}
	if b.receiveErrno != 0 {
		return 0, b.receiveErrno
	}
	var own proto.Stamp
	for i := range b.received {
		b.slots[i].accept(&b.in[i])
		if d := &b.slots[i].datagram; d.Stamp.Source == proto.StampNone {
			if own.Source == proto.StampNone {
				own = daemonStamp()
			}
			d.Stamp = own
		}
	}
	if n := b.slots[b.received-1].dropped; n != 0 {
		s.dropped.Store(n)
	}
	return b.received, nil
}

// Datagram returns the request of a slot.
func (b *ServerBatch) Datagram(i int) *Datagram { return &b.slots[i].datagram }

// Buffer is room for the response to the request of a slot, empty.
func (b *ServerBatch) Buffer(i int) []byte { return b.slots[i].response[:0] }

// Queue puts a response to the request of a slot behind those that wait for
// Send. It is not copied.
func (b *ServerBatch) Queue(i int, response []byte) {
	s := &b.slots[i]
	n := len(b.send)
	b.send = b.out[:n+1]
	h := &b.out[n].hdr
	s.outVec.Base = unsafe.SliceData(response)
	s.outVec.SetLen(len(response))
	*h = unix.Msghdr{Name: &s.name[0], Namelen: s.nameLen, Iov: &s.outVec}
	h.SetIovlen(1)
	if b.socket.wildcard {
		s.reply.attach(h)
	}
}

// Queued is how many responses wait for Send.
func (b *ServerBatch) Queued() int { return len(b.send) }

// Send sends what is queued, as much as the kernel takes at once, and returns
// how many responses it did not take. A response that had to wait would tell a
// wrong time.
func (s *ServerSocket) Send(b *ServerBatch) (failed int) {
	if len(b.send) == 0 {
		return 0
	}
	b.socket, b.failed = s, 0
	if err := s.raw.Write(b.write); err != nil { // closed
		b.failed = len(b.send)
	}
	b.send = b.out[:0]
	return b.failed
}

// readSome waits for a request and receives those that are there.
func (b *ServerBatch) readSome(fd uintptr) bool {
	for {
		n, errno := b.socket.receive(fd, b.in)
		if errno == unix.EINTR || errno == unix.EAGAIN && !b.socket.closed.Load() {
			continue // EAGAIN: nothing came to an adopted socket for a while
		}
		b.received, b.receiveErrno = n, errno
		return true
	}
}

// writeNow sends all that is queued. Each failure concerns the first response
// that is left.
func (b *ServerBatch) writeNow(fd uintptr) bool {
	for left := b.send; len(left) > 0; {
		n, errno := b.socket.transmit(fd, left)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			b.failed += len(left)
			return true
		case errno != 0:
			b.failed++
			n = 1
		}
		left = left[n:]
	}
	return true
}

// receive is recvmmsg, or recvmsg where a sandbox does not know that. It waits
// in the kernel: to wait in the runtime's poller costs a system call more for
// each batch, and its bookkeeping, a tenth of all that a request costs.
func (s *ServerSocket) receive(fd uintptr, in []mmsghdr) (int, unix.Errno) {
	if !s.single {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in[0])), uintptr(len(in)), unix.MSG_WAITFORONE, 0, 0)
		if errno != unix.ENOSYS && errno != unix.EPERM {
			return int(n), errno
		}
		s.single = true
	}
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&in[0].hdr)), 0)
	if errno != 0 {
		return 0, errno
	}
	in[0].len = uint32(n)
	return 1, 0
}

// transmit is sendmmsg or sendmsg. It never waits, so the runtime is not told of
// the system call: that would cost as much as a request.
func (s *ServerSocket) transmit(fd uintptr, out []mmsghdr) (int, unix.Errno) {
	if !s.single {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&out[0])), uintptr(len(out)), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.ENOSYS {
			return int(n), errno
		}
		s.single = true
	}
	_, _, errno := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&out[0].hdr)), unix.MSG_DONTWAIT)
	return 1, errno
}
