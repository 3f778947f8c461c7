// Package memnet is a small network in memory for tests: buffered, ordered
// connections with deadlines, listeners, and the ways in which a peer can be
// missing. Everything in it waits on channels and conditions of its own, so
// that it runs inside a testing/synctest bubble, where a socket of the kernel
// would keep the bubble's clock from moving. net.Pipe is no substitute: it has
// no buffer, and two ends that both write (a failing TLS handshake) wait for
// each other for ever.
package memnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// Network joins listeners and dialers. The zero value is an empty network.
type Network struct {
	mu        sync.Mutex
	listeners map[netip.AddrPort]*Listener
	silent    map[netip.AddrPort]bool
	nextPort  uint16
}

// Listen makes a listener at addr, such as "192.0.2.1:4460".
func (n *Network) Listen(addr string) (*Listener, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, taken := n.listeners[at]; taken {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: syscall.EADDRINUSE}
	}
	if n.listeners == nil {
		n.listeners = make(map[netip.AddrPort]*Listener)
	}
	l := &Listener{net: n, at: at, backlog: make(chan *Conn, 4096), done: make(chan struct{})}
	n.listeners[at] = l
	return l, nil
}

// Silence makes dialing addr wait until the dialer gives up, like a host
// behind a filter that drops packets.
func (n *Network) Silence(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.silent == nil {
		n.silent = make(map[netip.AddrPort]bool)
	}
	n.silent[netip.MustParseAddrPort(addr)] = true
}

// Dial connects to addr. Where nobody listens the connection is refused. Its
// signature is that of net.Dialer.DialContext.
func (n *Network) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(at), Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	n.mu.Lock()
	l, silent := n.listeners[at], n.silent[at]
	n.nextPort++
	from := netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), 20000+n.nextPort%40000)
	n.mu.Unlock()
	if silent {
		<-ctx.Done()
		return fail(ctx.Err())
	}
	if l == nil {
		return fail(syscall.ECONNREFUSED)
	}
	client, server := pair(from, at)
	select {
	case l.backlog <- server:
		return client, nil
	case <-l.done:
		return fail(syscall.ECONNREFUSED)
	case <-ctx.Done():
		return fail(ctx.Err())
	}
}

// Listener is a net.Listener in memory.
type Listener struct {
	net     *Network
	at      netip.AddrPort
	backlog chan *Conn
	done    chan struct{}
	once    sync.Once

	mu   sync.Mutex
	errs []error
}

// FailNext makes the next calls of Accept return these errors, one each.
func (l *Listener) FailNext(errs ...error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, errs...)
}

// Accept waits for a connection.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		l.mu.Unlock()
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: err}
	}
	l.mu.Unlock()
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Close stops listening; connections that wait to be accepted are reset.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, l.at)
		l.net.mu.Unlock()
		close(l.done)
		for {
			select {
			case c := <-l.backlog:
				c.Reset()
			default:
				return
			}
		}
	})
	return nil
}

// Addr is the address that Listen was given.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

// String describes the listener in a failing test.
func (l *Listener) String() string { return fmt.Sprintf("memnet listener at %v", l.at) }

// Close closes the listener at addr, if there is one.
func (n *Network) Close(addr string) {
	n.mu.Lock()
	l := n.listeners[netip.MustParseAddrPort(addr)]
	n.mu.Unlock()
	if l != nil {
		l.Close()
	}
}
