package netio

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// receiver holds the buffers of an exchange's receiving goroutine.
type receiver struct {
	buf [MaxPayload]byte
	oob [oobLen]byte
}

// receive delivers what happens on the socket until it is closed.
func (x *Exchange) receive() {
	defer close(x.idle)
	raw, err := x.conn.SyscallConn()
	if err != nil {
		return // closed already
	}
	for {
		switch err := raw.Read(x.drain); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			_ = x.conn.SetReadDeadline(time.Time{})
			x.transmitted(x.ownStamp())
		case err != nil:
			return // closed
		}
	}
}

// drain reads everything that the socket has. The poller calls it again when
// there is more, until it wants to stop.
func (x *Exchange) drain(fd uintptr) (stop bool) {
	for {
		stamp, got, more := readErrorQueue(int(fd), x.oob[:])
		if got {
			x.transmitted(stamp)
		}
		r, ok := x.readDatagram(int(fd))
		if ok {
			x.deliver(r)
		}
		if !ok && !more {
			return false
		}
		select {
		case <-x.done:
			return true
		default:
		}
	}
}

// readDatagram takes one datagram, or one error that an ICMP message left
// behind, off the socket.
func (x *Exchange) readDatagram(fd int) (Result, bool) {
	for {
		n, oobn, _, sa, err := unix.Recvmsg(fd, x.buf[:], x.oob[:], unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN, errors.Is(err, net.ErrClosed), err == unix.EBADF:
			return Result{}, false
		case err != nil:
			return Result{Kind: Bounced, Err: answerError(x.to, err)}, true
		}
		r := Result{Kind: Received, From: x.from(sa), Stamp: controlStamp(x.oob[:oobn])}
		if r.Stamp.At.IsZero() {
			r.Stamp = daemonStamp()
		}
		r.Payload = append([]byte(nil), x.buf[:n]...)
		return r, true
	}
}

// from is the sender's address, with the zone of the address dialled.
func (x *Exchange) from(sa unix.Sockaddr) netip.AddrPort {
	var from netip.AddrPort
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		from = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		from = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	if from == netip.AddrPortFrom(x.to.Addr().WithZone(""), x.to.Port()) {
		return x.to
	}
	return from
}
