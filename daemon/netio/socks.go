package netio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/neterr"
)

// Values of SOCKS version 5 (RFC 1928) and of its passwords (RFC 1929).
const (
	socks5 = 5

	socksNoPassword = 0
	socksPassword   = 2

	socksConnect   = 1
	socksAssociate = 3

	socksIPv4 = 1
	socksName = 3
	socksIPv6 = 4
)

// mostNames is how many names of hosts behind proxies are remembered.
const mostNames = 4096

// Proxies are the SOCKS5 proxies that routes name, as HOST:PORT or
// USER@HOST:PORT. What goes by a proxy goes by it alone: the name of a host is
// never looked up here, since that would tell the network about it. In place of
// its address an alias stands, which leads nowhere: it is from the prefix for
// what is to be discarded (RFC 6666). It may be used by several goroutines.
type Proxies struct {
	mu        sync.Mutex
	passwords map[string]string
	aliases   map[string]netip.Addr
	names     [mostNames]string
	next      int
}

// NewProxies knows no password yet.
func NewProxies() *Proxies { return &Proxies{aliases: make(map[string]netip.Addr)} }

// SetPasswords replaces the passwords, by how routes name their proxies.
func (p *Proxies) SetPasswords(by map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passwords = by
}

var discard = netip.MustParsePrefix("100::/64")

// Alias is what stands for a host behind a proxy: the address itself, or an alias
// of the name.
func (p *Proxies) Alias(host string) netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, known := p.aliases[host]; known {
		return a
	}
	octets := discard.Addr().As16()
	binary.BigEndian.PutUint16(octets[14:], uint16(p.next+1))
	a := netip.AddrFrom16(octets)
	delete(p.aliases, p.names[p.next])
	p.aliases[host], p.names[p.next] = a, host
	p.next = (p.next + 1) % mostNames
	return a
}

// host is what an alias stands for, or the address itself.
func (p *Proxies) host(a netip.Addr) string {
	if !discard.Contains(a) {
		return a.String()
	}
	octets := a.As16()
	n := int(binary.BigEndian.Uint16(octets[14:])) - 1
	p.mu.Lock()
	defer p.mu.Unlock()
	if n < 0 || n >= mostNames || p.names[n] == "" {
		return a.String()
	}
	return p.names[n]
}

// Connect makes a TCP connection to a host through a proxy, which looks up the
// name.
func (p *Proxies) Connect(ctx context.Context, proxy, host string, port uint16) (net.Conn, error) {
	conn, err := p.greet(ctx, proxy)
	if err != nil {
		return nil, err
	}
	if _, err := p.command(ctx, conn, proxy, socksConnect, strings.TrimSuffix(host, "."), port); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// Relays tries whether a proxy relays UDP.
func (p *Proxies) Relays(ctx context.Context, proxy string) error {
	conn, _, err := p.associate(ctx, proxy)
	if err == nil {
		conn.Close()
	}
	return err
}

// lookup is the alias of a host, if the proxy relays what is for NTP.
func (p *Proxies) lookup(ctx context.Context, host, proxy string) ([]netip.Addr, error) {
	if err := p.Relays(ctx, proxy); err != nil {
		return nil, err
	}
	return []netip.Addr{p.Alias(host)}, nil
}

// associate asks a proxy to relay datagrams. That ends with the connection that
// is returned; the address is where to send them.
func (p *Proxies) associate(ctx context.Context, proxy string) (net.Conn, netip.AddrPort, error) {
	conn, err := p.greet(ctx, proxy)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	// RFC 1928 section 4: a client that does not know yet from where it sends
	// "MUST use a port number and address of all zeros".
	relay, err := p.command(ctx, conn, proxy, socksAssociate, "0.0.0.0", 0)
	if err != nil {
		conn.Close()
		return nil, netip.AddrPort{}, err
	}
	if relay.Addr().IsUnspecified() { // many say so, and mean their own
		own := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		relay = netip.AddrPortFrom(own, relay.Port())
	}
	return conn, relay, nil
}

// through bounds what is said to a proxy by a context.
func through(ctx context.Context, conn net.Conn, proxy string, talk func() error) error {
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := talk(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		} else if errors.Is(err, os.ErrDeadlineExceeded) { // a moment before the context
			err = context.DeadlineExceeded
		}
		return fmt.Errorf("proxy %s: %w", proxy, neterr.Cause(err))
	}
	return conn.SetDeadline(time.Time{})
}

// greet connects to a proxy and makes this client known to it.
func (p *Proxies) greet(ctx context.Context, proxy string) (net.Conn, error) {
	user, addr, named := strings.Cut(proxy, "@")
	if !named {
		addr = proxy
	}
	var d net.Dialer
	d.SetMultipathTCP(false)
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("could not connect to the proxy %s: %w", proxy, neterr.Cause(err))
	}
	err = through(ctx, conn, proxy, func() error {
		if !named {
			return greeting(conn, socksNoPassword, "it wants a user and a password; write proxy-user and proxy-password")
		}
		if err := greeting(conn, socksPassword, "it takes no password; leave proxy-user out"); err != nil {
			return err
		}
		p.mu.Lock()
		password := p.passwords[proxy]
		p.mu.Unlock()
		return logIn(conn, user, password)
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// errNotSOCKS is somebody else at the proxy's port.
var errNotSOCKS = errors.New("this is no SOCKS5 proxy; correct its address or port")

// version | number of methods | method          version | method
func greeting(conn net.Conn, method byte, refused string) error {
	if _, err := conn.Write([]byte{socks5, 1, method}); err != nil {
		return err
	}
	var answer [2]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	switch {
	case answer[0] != socks5:
		return errNotSOCKS
	case answer[1] != method:
		return errors.New(refused)
	}
	return nil
}

// 1 | length | user | length | password          1 | 0
func logIn(conn net.Conn, user, password string) error {
	if len(user) > 255 || len(password) > 255 {
		return errors.New("user and password have at most 255 octets each")
	}
	b := append([]byte{1, byte(len(user))}, user...)
	b = append(append(b, byte(len(password))), password...)
	if _, err := conn.Write(b); err != nil {
		return err
	}
	var answer [2]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[1] != 0 {
		return fmt.Errorf("it does not accept the password of %q; correct proxy-password", user)
	}
	return nil
}

// refusals are the replies of RFC 1928 section 6.
var refusals = [...]string{
	1: "it failed; its own log may say why",
	2: "its rules do not allow that",
	3: "it cannot reach the network of the host",
	4: "it cannot reach the host, or there is no such name",
	5: "the host refused the connection",
	6: "the host did not answer it in time",
	7: "it does not do that: NTP needs a proxy that relays UDP, as Tor and ssh -D do not",
	8: "it does not know this kind of address",
}

// version | command | 0 | address | port          version | reply | 0 | address | port
func (p *Proxies) command(ctx context.Context, conn net.Conn, proxy string, command byte, host string, port uint16) (bound netip.AddrPort, err error) {
	err = through(ctx, conn, proxy, func() error {
		request, err := appendTarget([]byte{socks5, command, 0}, host, port)
		if err != nil {
			return err
		}
		if _, err := conn.Write(request); err != nil {
			return err
		}
		head := make([]byte, 5) // with the first octet of the address
		if _, err := io.ReadFull(conn, head); err != nil {
			return err
		}
		n := targetLen(head[3:])
		switch {
		case head[0] != socks5:
			return errNotSOCKS
		case head[1] != 0 && int(head[1]) < len(refusals):
			return errors.New(refusals[head[1]])
		case head[1] != 0, n == 0:
			return fmt.Errorf("it refused for the reason %d, which it alone knows", head[1])
		}
		rest := make([]byte, n-2)
		if _, err := io.ReadFull(conn, rest); err != nil {
			return err
		}
		bound = addressOf(append(head[3:], rest...))
		return nil
	})
	return bound, err
}

// appendTarget appends kind, address and port of a host.
func appendTarget(b []byte, host string, port uint16) ([]byte, error) {
	a, err := netip.ParseAddr(host)
	switch {
	case err == nil && a.Unmap().Is4():
		b = append(append(b, socksIPv4), a.Unmap().AsSlice()...)
	case err == nil:
		b = append(append(b, socksIPv6), a.WithZone("").AsSlice()...)
	case host == "" || len(host) > 255:
		return nil, fmt.Errorf("%q is no name for a proxy: it has 1 to 255 octets", host)
	default:
		b = append(append(b, socksName, byte(len(host))), host...)
	}
	return binary.BigEndian.AppendUint16(b, port), nil
}

// targetLen is how many octets kind, address and port take, of which b holds the
// first two; 0 if there is no such kind.
func targetLen(b []byte) int {
	switch b[0] {
	case socksIPv4:
		return 1 + 4 + 2
	case socksIPv6:
		return 1 + 16 + 2
	case socksName:
		return 1 + 1 + int(b[1]) + 2
	default:
		return 0
	}
}

// addressOf is the address and port of a whole target; a name has none.
func addressOf(b []byte) netip.AddrPort {
	end := len(b) - 2
	a, _ := netip.AddrFromSlice(b[1:end])
	if b[0] == socksName {
		a = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[end:]))
}

// The header of relayed datagrams (RFC 1928 section 7): two octets of zero, the
// number of the fragment, and the target.
const relayFixed = 3

func appendRelayed(host string, port uint16, payload []byte) ([]byte, error) {
	b, err := appendTarget(make([]byte, relayFixed, relayFixed+300+len(payload)), host, port)
	return append(b, payload...), err
}

// unrelayed takes the header off a datagram. "An implementation that does not
// support fragmentation MUST drop any datagram whose FRAG field is other than
// X'00'."
func unrelayed(b []byte) (payload []byte, ok bool) {
	if len(b) < relayFixed+2 || b[0] != 0 || b[1] != 0 || b[2] != 0 {
		return nil, false
	}
	n := targetLen(b[relayFixed:])
	if n == 0 || len(b) < relayFixed+n {
		return nil, false
	}
	return b[relayFixed+n:], true
}
