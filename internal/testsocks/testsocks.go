// Package testsocks is a small SOCKS5 proxy for tests, on the loopback. It knows
// hosts that nobody else knows, and writes down what it was asked for.
package testsocks

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// Proxy is one that runs until the test ends. Its fields are read when Serve
// starts it.
type Proxy struct {
	User, Password string                // to be given; without a user nobody is asked
	Hosts          map[string]netip.Addr // all that it knows by name
	NoRelay        bool                  // refuses to relay UDP, as Tor does
	Fragments      bool                  // sends a fragment of each answer before it

	Addr string // where it listens

	t       testing.TB
	mu      sync.Mutex
	asked   []string
	refused int
	open    map[net.Conn]bool
	gone    *sync.Cond // whenever one is closed
	ended   bool
}

// Serve starts a proxy.
func Serve(t testing.TB, p *Proxy) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp4", net.JoinHostPort(home(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	p.t, p.Addr, p.open = t, l.Addr().String(), make(map[net.Conn]bool)
	p.gone = sync.NewCond(&p.mu)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.client(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		p.HangUp()
		all.Wait()
	})
	return p
}

// home is not the address that "this host" means to a client, where a machine has
// more than one on the loopback.
func home() string {
	if runtime.GOOS == "linux" {
		return "127.0.0.3"
	}
	return "127.0.0.1"
}

// Asked is what the proxy was asked for: "connect HOST:PORT", "relay" and "to
// HOST:PORT", in order.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// Refused is how many came with a wrong password or without one.
func (p *Proxy) Refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// HangUp closes all connections of clients.
func (p *Proxy) HangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		conn.Close()
	}
}

// Wait waits until no client is connected.
func (p *Proxy) Wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.open) > 0 {
		p.gone.Wait()
	}
}

func (p *Proxy) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, fmt.Sprintf(format, args...))
}

// keep remembers a connection until it is closed.
func (p *Proxy) keep(conn net.Conn) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[conn] = true
	if p.ended {
		conn.Close()
	}
	return func() {
		conn.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, conn)
		p.gone.Broadcast()
	}
}

func (p *Proxy) client(conn net.Conn) {
	defer p.keep(conn)()
	r := bufio.NewReader(conn)
	if !p.welcome(conn, r) {
		p.mu.Lock()
		p.refused++
		p.mu.Unlock()
		return
	}
	head := make([]byte, 3)
	if _, err := io.ReadFull(r, head); err != nil {
		return
	}
	host, port, err := target(r)
	if err != nil {
		return
	}
	switch {
	case head[1] == 1:
		p.note("connect %s:%d", host, port)
		p.connect(conn, r, host, port)
	case head[1] == 3 && !p.NoRelay:
		p.note("relay")
		p.relay(conn, r)
	default:
		reply(conn, 7, netip.AddrPort{})
	}
}

// welcome agrees on a method, and wants the password if there is one.
func (p *Proxy) welcome(conn net.Conn, r *bufio.Reader) bool {
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		return false
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(r, methods); err != nil {
		return false
	}
	method := byte(0)
	if p.User != "" {
		method = 2
	}
	if !slices.Contains(methods, method) {
		_, _ = conn.Write([]byte{5, 0xff})
		return false
	}
	_, _ = conn.Write([]byte{5, method})
	if method == 0 {
		return true
	}
	var fields [2]string
	_, _ = r.ReadByte()
	for i := range fields {
		n, err := r.ReadByte()
		b := make([]byte, n)
		if _, err2 := io.ReadFull(r, b); err != nil || err2 != nil {
			return false
		}
		fields[i] = string(b)
	}
	if fields != [2]string{p.User, p.Password} {
		_, _ = conn.Write([]byte{1, 1})
		return false
	}
	_, _ = conn.Write([]byte{1, 0})
	return true
}

func target(r *bufio.Reader) (host string, port uint16, err error) {
	kind, err := r.ReadByte()
	if err != nil {
		return "", 0, err
	}
	n := map[byte]int{1: 4, 4: 16}[kind]
	if kind == 3 {
		length, err := r.ReadByte()
		if err != nil {
			return "", 0, err
		}
		n = int(length)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", 0, err
	}
	host = string(b[:n])
	if a, ok := netip.AddrFromSlice(b[:n]); ok && kind != 3 {
		host = a.String()
	}
	return host, binary.BigEndian.Uint16(b[n:]), nil
}

func reply(conn net.Conn, code byte, at netip.AddrPort) {
	b := append([]byte{5, code, 0, 1}, make([]byte, 4)...) // "at this host"
	_, _ = conn.Write(binary.BigEndian.AppendUint16(b, at.Port()))
}

func (p *Proxy) find(host string, port uint16) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(host)
	if err != nil {
		a = p.Hosts[host]
	}
	return netip.AddrPortFrom(a, port), a.IsValid()
}

func (p *Proxy) connect(conn net.Conn, r *bufio.Reader, host string, port uint16) {
	at, known := p.find(host, port)
	if !known {
		reply(conn, 4, netip.AddrPort{})
		return
	}
	there, err := net.Dial("tcp", at.String())
	if err != nil {
		reply(conn, 5, netip.AddrPort{})
		return
	}
	defer p.keep(there)()
	reply(conn, 0, netip.AddrPort{})
	go func() {
		_, _ = io.Copy(there, r)
		_ = there.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, there)
}

// relay relays datagrams until the client's connection ends.
func (p *Proxy) relay(conn net.Conn, r *bufio.Reader) {
	inside, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(home())})
	if err != nil {
		return
	}
	outside, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		inside.Close()
		return
	}
	var client netip.AddrPort
	var mu sync.Mutex
	var both sync.WaitGroup
	both.Go(func() {
		b := make([]byte, 4096)
		for {
			n, from, err := inside.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			mu.Lock()
			client = from
			mu.Unlock()
			p.out(outside, b[:n])
		}
	})
	both.Go(func() {
		b := make([]byte, 4096)
		for {
			n, from, err := outside.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			mu.Lock()
			to := client
			mu.Unlock()
			p.in(inside, to, from, b[:n])
		}
	})
	reply(conn, 0, inside.LocalAddr().(*net.UDPAddr).AddrPort())
	_, _ = io.Copy(io.Discard, r)
	inside.Close()
	outside.Close()
	both.Wait()
}

// out sends on what a client wants sent.
func (p *Proxy) out(outside *net.UDPConn, b []byte) {
	r := bufio.NewReader(bytes.NewReader(b[min(3, len(b)):]))
	host, port, err := target(r)
	if err != nil {
		p.t.Errorf("the proxy was sent %x", b)
		return
	}
	p.note("to %s:%d", host, port)
	if at, known := p.find(host, port); known {
		payload, _ := io.ReadAll(r)
		_, _ = outside.WriteToUDPAddrPort(payload, at)
	}
}

// in sends an answer back to the client.
func (p *Proxy) in(inside *net.UDPConn, client, from netip.AddrPort, payload []byte) {
	header := append([]byte{0, 0, 0, 1}, from.Addr().Unmap().AsSlice()...)
	header = binary.BigEndian.AppendUint16(header, from.Port())
	if p.Fragments {
		header[2] = 1
		_, _ = inside.WriteToUDPAddrPort(append(slices.Clone(header), payload...), client)
		header[2] = 0
	}
	_, _ = inside.WriteToUDPAddrPort(append(header, payload...), client)
}
