//go:build !linux

package netio

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

// receiver holds the buffer of an exchange's receiving goroutine.
type receiver struct{ buf [MaxPayload]byte }

// receive delivers what happens on the socket until it is closed.
func (x *Exchange) receive() {
	defer close(x.idle)
	for {
		n, from, err := x.conn.ReadFromUDPAddrPort(x.buf[:])
		switch {
		case err == nil:
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			x.deliver(Result{Kind: Received, From: from, Stamp: daemonStamp(), Payload: append([]byte(nil), x.buf[:n]...)})
		case errors.Is(err, os.ErrDeadlineExceeded):
			_ = x.conn.SetReadDeadline(time.Time{})
			x.transmitted(x.ownStamp())
		case errors.Is(err, net.ErrClosed):
			return
		default:
			x.deliver(Result{Kind: Bounced, Err: answerError(x.to, err)})
		}
	}
}

// prepare sets nothing: timestamps are the daemon's own here.
func prepare(_ int, device string) error {
	if device != "" {
		return ErrNotSupported
	}
	return nil
}

// openAnchor has nothing to keep.
func openAnchor() io.Closer { return io.NopCloser(nil) }
