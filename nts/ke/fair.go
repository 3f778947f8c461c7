package ke

import (
	"net"
	"net/netip"
	"sync"
)

// Fair is a listener that bounds the open connections, and under pressure
// spreads them over the networks they come from: when three quarters of the
// places are taken, a network that has more than its even share gets no more.
// While there is room nobody is limited, because many clients may stand behind
// one address.
type Fair struct {
	net.Listener
	// Turns, if not nil, are those of the handshakes behind the listener: a
	// network that is late with its own gets no more connections.
	Turns *Turns

	most int // open connections
	shed func(from netip.AddrPort)

	mu   sync.Mutex
	open int
	by   map[netip.Prefix]int // never holds a 0
}

// NewFair bounds the connections of a listener. shed is told where each that is
// refused came from; it must not block.
func NewFair(l net.Listener, most int, shed func(netip.AddrPort)) *Fair {
	return &Fair{Listener: l, most: most, shed: shed, by: make(map[netip.Prefix]int)}
}

// Accept waits for a connection that is admitted. Others are closed at once, so
// that nobody waits for an answer that will not come.
func (f *Fair) Accept() (net.Conn, error) {
	for {
		conn, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := AddrPort(conn.RemoteAddr())
		network := Network(from.Addr())
		if f.admit(network) {
			return &counted{Conn: conn, free: sync.OnceFunc(func() { f.free(network) })}, nil
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // nothing is kept for it
		}
		conn.Close()
		f.shed(from)
	}
}

func (f *Fair) admit(network netip.Prefix) bool {
	if f.Turns != nil && f.Turns.Late(network) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open >= f.most {
		return false
	}
	if 4*f.open >= 3*f.most {
		if has := f.by[network]; has > 0 && has*len(f.by) >= f.open {
			return false
		}
	}
	f.open++
	f.by[network]++
	return true
}

// Places is how many connections may be open.
func (f *Fair) Places() int { return f.most }

// Connected is how many connections are open.
func (f *Fair) Connected() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

func (f *Fair) free(network netip.Prefix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
	if f.by[network]--; f.by[network] == 0 {
		delete(f.by, network)
	}
}

// counted is a connection that gives its place back when it is closed.
type counted struct {
	net.Conn
	free func()
}

func (c *counted) Close() error {
	c.free()
	return c.Conn.Close()
}

// Network is what one site usually has: an IPv4 /24 or an IPv6 /56.
func Network(a netip.Addr) netip.Prefix {
	bits := 56
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits) // fails for the zero Addr, which is a network too
	return p
}

// AddrPort is the address of one end of a TCP connection; the zero value for
// another kind of connection.
func AddrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
