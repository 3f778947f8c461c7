package pool

import (
	"net"
	"net/netip"
	"sync"
)

// fair is a listener that bounds the open connections, and under pressure
// spreads them over the networks they come from: when three quarters of the
// places are taken, a network that has more than its even share gets no more.
// While there is room nobody is limited, because many clients may stand behind
// one address.
type fair struct {
	net.Listener
	most int                   // open connections
	shed func(from netip.Addr) // told of each that is refused; must not block

	mu   sync.Mutex
	open int
	by   map[netip.Prefix]int // never holds a 0
}

func newFair(l net.Listener, most int, shed func(netip.Addr)) *fair {
	return &fair{Listener: l, most: most, shed: shed, by: make(map[netip.Prefix]int)}
}

// Accept waits for a connection that is admitted. Others are closed at once, so
// that nobody waits for an answer that will not come.
func (f *fair) Accept() (net.Conn, error) {
	for {
		conn, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addrOf(conn.RemoteAddr())
		network := networkOf(from)
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

func (f *fair) admit(network netip.Prefix) bool {
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

func (f *fair) connected() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

func (f *fair) free(network netip.Prefix) {
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

// networkOf is what one site usually has: an IPv4 /24 or an IPv6 /56.
func networkOf(a netip.Addr) netip.Prefix {
	bits := 56
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits) // fails for the zero Addr, which is a network too
	return p
}

func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}
