package pool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// The PROXY protocol, version 2, is how a balancer that passes connections on
// tells from whom they come:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|            0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A                |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|  ver  |command|family | proto |        length of the rest     |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|   source address, destination address, two ports, more        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyFixed     = len(proxySignature) + 4
	proxyLocal     = 0x20 // version 2: the balancer speaks for itself
	proxyProxy     = 0x21 // version 2: it speaks for somebody
	proxyTCP4      = 0x11
	proxyTCP6      = 0x21
	mostProxyRest  = 2048 // octets behind the fixed part: addresses and what else balancers add
)

const (
	// proxyTimeout bounds the wait for the header. Balancers send it at once.
	proxyTimeout = 2 * time.Second

	// mostProxyWaits is how many headers may be waited for at once.
	mostProxyWaits = 1024
)

// proxied is a listener behind balancers. Connections from their addresses
// begin with a header that says who the client is; all others are clients.
type proxied struct {
	net.Listener
	balancers []netip.Prefix
	bad       func(from netip.Addr) // told of each balancer's connection without a header

	start   sync.Once
	ready   chan accepted
	waits   chan struct{} // holds one value per header that is waited for
	closed  chan struct{}
	closing func() // closes closed, once
}

type accepted struct {
	conn net.Conn
	err  error
}

func newProxied(l net.Listener, balancers []netip.Prefix, bad func(netip.Addr)) *proxied {
	p := &proxied{
		Listener: l, balancers: balancers, bad: bad,
		ready: make(chan accepted), waits: make(chan struct{}, mostProxyWaits), closed: make(chan struct{}),
	}
	p.closing = sync.OnceFunc(func() { close(p.closed) })
	return p
}

// Accept waits for a connection whose client is known.
func (p *proxied) Accept() (net.Conn, error) {
	p.start.Do(func() { go p.acceptAll() })
	select {
	case a := <-p.ready:
		return a.conn, a.err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the listener.
func (p *proxied) Close() error {
	p.closing()
	return p.Listener.Close()
}

func (p *proxied) acceptAll() {
	for {
		conn, err := p.Listener.Accept()
		if err == nil && p.isBalancer(ke.AddrPort(conn.RemoteAddr()).Addr()) {
			select {
			case p.waits <- struct{}{}:
				go func() {
					defer func() { <-p.waits }()
					p.header(conn)
				}()
			default: // somebody opens connections and says nothing
				conn.Close()
				p.bad(ke.AddrPort(conn.RemoteAddr()).Addr())
			}
			continue
		}
		if !p.pass(conn, err) || errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// pass hands a connection on, unless the listener is closed.
func (p *proxied) pass(conn net.Conn, err error) bool {
	select {
	case p.ready <- accepted{conn, err}:
		return true
	case <-p.closed:
		if conn != nil {
			conn.Close()
		}
		return false
	}
}

func (p *proxied) isBalancer(a netip.Addr) bool {
	for _, b := range p.balancers {
		if b.Contains(a) {
			return true
		}
	}
	return false
}

// header reads the header of a connection.
func (p *proxied) header(conn net.Conn) {
	conn.SetReadDeadline(time.Now().Add(proxyTimeout))
	client, err := readProxyHeader(conn)
	if err != nil {
		conn.Close()
		if !errors.Is(err, io.EOF) { // which is how balancers see whether anybody listens
			p.bad(ke.AddrPort(conn.RemoteAddr()).Addr())
		}
		return
	}
	conn.SetReadDeadline(time.Time{})
	if client.IsValid() {
		conn = &passedOn{Conn: conn, client: net.TCPAddrFromAddrPort(client)}
	}
	p.pass(conn, nil)
}

// passedOn is the connection of a client that a balancer stands for.
type passedOn struct {
	net.Conn
	client net.Addr
}

// RemoteAddr is the client's address.
func (c *passedOn) RemoteAddr() net.Addr { return c.client }

var errProxyHeader = errors.New("no header of the PROXY protocol, version 2")

// readProxyHeader reads a header and no octet more. The address is the zero
// value if the connection is the balancer's own, as its health checks are.
func readProxyHeader(r io.Reader) (netip.AddrPort, error) {
	var fixed [proxyFixed]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return netip.AddrPort{}, err
	}
	length := int(binary.BigEndian.Uint16(fixed[proxyFixed-2:]))
	if !bytes.HasPrefix(fixed[:], []byte(proxySignature)) || length > mostProxyRest {
		return netip.AddrPort{}, errProxyHeader
	}
	rest := make([]byte, length)
	if _, err := io.ReadFull(r, rest); err != nil {
		return netip.AddrPort{}, errProxyHeader // an end here is no check whether anybody listens
	}
	var size int
	switch command, kind := fixed[proxyFixed-4], fixed[proxyFixed-3]; {
	case command == proxyLocal:
		return netip.AddrPort{}, nil
	case command == proxyProxy && kind == proxyTCP4:
		size = 4
	case command == proxyProxy && kind == proxyTCP6:
		size = 16
	default:
		return netip.AddrPort{}, errProxyHeader
	}
	if len(rest) < 2*size+4 {
		return netip.AddrPort{}, errProxyHeader
	}
	addr, _ := netip.AddrFromSlice(rest[:size])
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(rest[2*size:])), nil
}
