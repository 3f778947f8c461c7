package netio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/neterr"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// MaxPayload is how much of a datagram is kept, in octets. The largest answer
// that an NTS client can have asked for is smaller.
const MaxPayload = 2048

// stampWait is how long the kernel may take to return the transmit timestamp
// before the daemon's own is used.
const stampWait = 10 * time.Millisecond

// Exchange is one connected UDP socket for one request and its replies: "In the
// client mode (3), it SHOULD contain a randomized port number" and "If a client
// implementation performs transport-protocol ephemeral port randomization on a
// per-request basis, it SHOULD close the corresponding socket/port after each
// request/response exchange" (RFC 9109 section 4). The kernel picks the port
// and hands up only what comes from the server's address and port.
type Exchange struct {
	id   engine.ExchangeID
	to   netip.AddrPort
	conn *net.UDPConn
	out  chan<- Result
	done chan struct{}
	idle chan struct{} // closed when the receiving goroutine has ended

	once sync.Once  // closes
	mu   sync.Mutex // not held while closing, which waits for the receiver
	sent bool
	own  proto.Stamp // the daemon's own transmit timestamp
	told bool        // the transmit timestamp is reported

	relay *relay // where it goes through a proxy

	receiver // what the receiving goroutine alone uses
}

// Dial opens a socket that is connected to a server, by the way that route
// says. What happens on it is delivered until Close. The error, if any, is for
// Failure.
func (c *Client) Dial(id engine.ExchangeID, to netip.AddrPort, route engine.Route) (*Exchange, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if route.Proxy != "" {
		return c.relayed(id, to, route)
	}
	if err := checkRoute(to.Addr(), route); err != nil {
		return nil, err
	}
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error { return prepare(fd, route.Interface) })
	}}
	network := "udp6"
	if to.Addr().Is4() {
		network = "udp4"
	}
	conn, err := d.Dial(network, to.String())
	if err != nil {
		return nil, fmt.Errorf("could not open a socket to %v: %w", to, neterr.Cause(err))
	}
	x := &Exchange{
		id: id, to: to, conn: conn.(*net.UDPConn), out: c.out,
		done: make(chan struct{}), idle: make(chan struct{}),
	}
	go x.receive()
	return x, nil
}

// checkRoute refuses a route that this socket cannot take.
func checkRoute(to netip.Addr, route engine.Route) error {
	switch {
	case route.Family == engine.IPv4 && !to.Is4(), route.Family == engine.IPv6 && !to.Is6():
		return fmt.Errorf("%w: %v is of the other address family than configured", ErrNotSupported, to)
	default:
		return nil
	}
}

// Local is the address that the socket sends from.
func (x *Exchange) Local() netip.AddrPort {
	a := x.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Send sends the request: one an exchange. When it left is reported as
// Transmitted, with the kernel's timestamp if that comes within 10 ms, else
// with the daemon's, which is read before the system call.
func (x *Exchange) Send(payload []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	select {
	case <-x.done:
		return net.ErrClosed
	default:
	}
	if x.sent {
		return errors.New("an exchange sends one request only")
	}
	if x.relay != nil {
		x.sent = true
		go x.sendRelayed(slices.Clone(payload))
		return nil
	}
	before := realtime()
	_, err := x.conn.Write(payload)
	if err != nil {
		return fmt.Errorf("could not send to %v: %w", x.to, neterr.Cause(err))
	}
	x.sent = true
	x.own = proto.Stamp{At: before, Source: proto.StampDaemon, Err: realtime().Sub(before).Abs()}
	// The deadline wakes the receiver when the kernel keeps its timestamp to
	// itself.
	return x.conn.SetReadDeadline(time.Now().Add(stampWait))
}

// Close closes the socket. A result that was being delivered may still arrive
// behind it and is recognised by its exchange.
func (x *Exchange) Close() {
	x.once.Do(func() {
		close(x.done)
		if x.relay != nil {
			x.closeRelay()
			return
		}
		_ = x.conn.Close()
	})
}

// ownStamp is the daemon's own transmit timestamp.
func (x *Exchange) ownStamp() proto.Stamp {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.own
}

// transmitted reports when the request left, once. A kernel timestamp that
// comes later than the daemon's was reported changes nothing.
func (x *Exchange) transmitted(s proto.Stamp) {
	x.mu.Lock()
	told := x.told
	x.told = true
	x.mu.Unlock()
	if !told {
		x.deliver(Result{Kind: Transmitted, Stamp: s})
	}
}

func (x *Exchange) deliver(r Result) {
	r.Exchange = x.id
	if r.Kind == Received && x.relay != nil {
		var ok bool
		if r.Payload, ok = unrelayed(r.Payload); !ok {
			return
		}
		r.From = x.to // as the proxy vouches for it
	}
	select {
	case x.out <- r:
	case <-x.done:
	}
}

// control runs f on the descriptor of a socket.
func control(c syscall.RawConn, f func(fd int) error) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
