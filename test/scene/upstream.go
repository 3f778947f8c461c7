package scene

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/server"
	"github.com/ntpd-go/ntpd-go/test/lab"
)

// Script decides what a client gets for a request: the datagrams that it returns, in order. Nil stands for the honest reply.
type Script func(a *Asked) [][]byte

// Asked is a request that came to an Upstream.
type Asked struct {
	N       int // requests before this one
	Request []byte
	Reply   []byte // the honest one
	From    netip.AddrPort
	S2C     aead.AEAD // of a protected request, else nil
	Cookie  []byte    // that came with it

	upstream *Upstream
}

// Upstream is a time server that this process plays on a host. It is honest until it has a script.
type Upstream struct {
	conn *net.UDPConn
	keys *cookie.Keyset

	mu        sync.Mutex
	responder *server.Responder
	script    Script
	snapshot  server.TimeSnapshot
	shift     time.Duration
	requests  [][]byte
	sources   []netip.AddrPort
	exchanges int
	running   sync.WaitGroup
}

// Upstream starts an honest server at stratum 1 on an address such as "127.0.0.1:123".
func (t *Trial) Upstream(h *lab.Host, addr string) *Upstream {
	keys, err := cookie.NewKeyset(rand.Reader)
	t.Check(err)
	u := &Upstream{
		keys:      keys,
		responder: server.New(server.Config{Versions: server.Version3And4}, rand.Reader),
		snapshot: server.TimeSnapshot{
			Stratum: 1, RefID: proto.RefIDText("GPS"), Precision: -20, RootDispersion: proto.Second / 10000, ValidUntil: proto.Never,
		},
	}
	t.Check(h.Inside(func() error {
		u.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(At(addr)))
		return err
	}))
	u.running.Go(u.serve)
	t.Cleanup(func() { u.conn.Close(); u.running.Wait() })
	return u
}

// Script changes what clients get from now on; nil is honesty.
func (u *Upstream) Script(s Script) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.script = s
}

// Shift moves the time that is served.
func (u *Upstream) Shift(d time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.shift = d
}

// Say changes what the server says of its clock.
func (u *Upstream) Say(change func(s *server.TimeSnapshot)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.snapshot)
}

// Requests is every request so far.
func (u *Upstream) Requests() [][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([][]byte{}, u.requests...)
}

// Sources is where every request came from.
func (u *Upstream) Sources() []netip.AddrPort {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]netip.AddrPort{}, u.sources...)
}

// Exchanges is the number of key exchanges so far.
func (u *Upstream) Exchanges() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.exchanges
}

// Send sends a datagram from the server's socket, whether somebody asked or not.
func (u *Upstream) Send(b []byte, to netip.AddrPort) {
	_, _ = u.conn.WriteToUDPAddrPort(b, to) // a socket that is gone bounces it
}

func (u *Upstream) serve() {
	b := make([]byte, 1<<16)
	for {
		n, from, err := u.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the echo of an answer that nobody waited for
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		for _, d := range u.answer(b[:n], from, time.Now()) {
			u.Send(d, from)
		}
	}
}

func (u *Upstream) answer(request []byte, from netip.AddrPort, at time.Time) [][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	request = append([]byte{}, request...)
	a := &Asked{N: len(u.requests), Request: request, From: from, upstream: u}
	u.requests, u.sources = append(u.requests, request), append(u.sources, from)
	a.open()
	a.Reply = u.honest(request, from, at)
	if u.script == nil {
		return [][]byte{a.Reply}
	}
	if out := u.script(a); out != nil {
		return out
	}
	return [][]byte{a.Reply}
}

func (u *Upstream) honest(request []byte, from netip.AddrPort, at time.Time) []byte {
	q := server.Request{Payload: request, From: from, Rx: proto.Stamp{At: u.time(at), Source: proto.StampDaemon}}
	reply, _ := u.responder.Respond(nil, q, &u.snapshot, u.keys, func() proto.Timestamp { return u.time(time.Now()) })
	return reply
}

func (u *Upstream) time(at time.Time) proto.Timestamp { return proto.FromTime(at.Add(u.shift)) }

// open finds the keys of a protected request.
func (a *Asked) open() {
	p, err := proto.ParsePacket(a.Request)
	if err != nil {
		return
	}
	for f := range p.All() {
		if f.Type != proto.FieldCookie {
			continue
		}
		a.Cookie = f.Value
		if c, err := a.upstream.keys.Open(f.Value); err == nil {
			if s2c, err := aead.New(c.Algorithm, c.S2C); err == nil {
				a.S2C = s2c
			}
		}
	}
}

// Header is the honest reply's header with changes.
func (a *Asked) Header(change func(h *proto.Header)) []byte {
	h, err := proto.ParseHeader(a.Reply)
	if err != nil {
		return nil
	}
	change(&h)
	return h.Append(nil)
}

// Kiss is a kiss-o'-death with the right origin.
func (a *Asked) Kiss(code string, poll int8) []byte {
	return a.Header(func(h *proto.Header) {
		h.Leap, h.Stratum, h.RefID, h.Poll = proto.LeapUnsynchronised, 0, proto.RefIDText(code), poll
	})
}

// UniqueID is the unique identifier of the request as a field.
func (a *Asked) UniqueID() []byte {
	p, err := proto.ParsePacket(a.Request)
	if err != nil {
		return nil
	}
	for f := range p.All() {
		if f.Type == proto.FieldUniqueIdentifier {
			return Good(f.Type, f.Value)
		}
	}
	return nil
}

// Seal protects a reply that was made up: a header and fields, and what is encrypted. There is none to a request without
// keys, such as that of a client that took a forged cookie for one of its own.
func (a *Asked) Seal(packet, inner []byte) []byte {
	if a.S2C == nil {
		return nil
	}
	out, err := aead.AppendField(packet, a.S2C, Random(16), inner)
	if err != nil {
		return nil
	}
	return out
}

// TLSConfig is that of a server with one of the run's leaf certificates.
func (t *Trial) TLSConfig(leaf string) *tls.Config {
	pair, err := tls.LoadX509KeyPair(filepath.Join(t.certs, leaf+".chain.pem"), filepath.Join(t.certs, leaf+".key"))
	t.Check(err)
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{nts.ALPN}, MinVersion: tls.VersionTLS13}
}

// Listen opens a TCP listener on a host.
func (t *Trial) Listen(h *lab.Host, addr string) net.Listener {
	var l net.Listener
	t.Check(h.Inside(func() error {
		var err error
		l, err = ke.Listen(t.Context, addr)
		return err
	}))
	t.Cleanup(func() { l.Close() })
	return l
}

// Keys adds a key exchange to the upstream whose cookies it understands. The NTP server is at ntp.
func (t *Trial) Keys(h *lab.Host, u *Upstream, addr, leaf string, ntp netip.AddrPort) (stop func()) {
	return t.keys(h, u, addr, t.TLSConfig(leaf), ntp)
}

func (t *Trial) keys(h *lab.Host, u *Upstream, addr string, config *tls.Config, ntp netip.AddrPort) (stop func()) {
	s := ke.NewServer(ke.ServerConfig{
		Listener: t.Listen(h, addr), TLS: func() *tls.Config { return config }, Seal: func() nts.Sealer { return u.seal },
		NTPServer: ntp.Addr().String(), NTPPort: ntp.Port(),
		Outcome: func(ke.Outcome) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.exchanges++
		},
	})
	ctx, cancel := context.WithCancel(t.Context)
	var running sync.WaitGroup
	running.Go(func() { _ = s.Serve(ctx) }) // ends with its context
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

// seal makes the cookies of a key exchange.
func (u *Upstream) seal(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.keys.Seal(nil, cookie.Contents{Algorithm: a, C2S: c2s, S2C: s2c}, Random(cookie.NonceLen))
}

// Hostile starts a key-exchange server that does with a connection what handle does. The handshake is handle's affair.
func (t *Trial) Hostile(h *lab.Host, addr string, config *tls.Config, handle func(c *tls.Conn)) {
	t.Listens(h, addr, func(c net.Conn) { handle(tls.Server(c, config)) })
}

// Listens starts a server that does with a connection what handle does, and closes it. After stop its address is free.
func (t *Trial) Listens(h *lab.Host, addr string, handle func(c net.Conn)) (stop func()) {
	l := t.Listen(h, addr)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				handle(conn)
			}()
		}
	}()
	return func() { l.Close() }
}

// Says is a handler that reads whatever comes first and answers with a message.
func Says(message []byte) func(c *tls.Conn) {
	return func(c *tls.Conn) {
		b := make([]byte, 4096)
		if _, err := c.Read(b); err != nil {
			return
		}
		if _, err := c.Write(message); err == nil {
			_ = c.Close()
		}
	}
}

// SealRandom protects a packet under a key that nobody has.
func SealRandom(packet []byte) []byte {
	a, err := aead.New(aead.AESSIVCMAC256, Random(aead.AESSIVCMAC256.KeyLen()))
	if err != nil {
		panic(err) // the key has the right length
	}
	out, err := aead.AppendField(append([]byte{}, packet...), a, Random(16), nil)
	if err != nil {
		panic(err) // the packet is a server's
	}
	return out
}

// KeysWith is Keys with a certificate of the caller's.
func (t *Trial) KeysWith(h *lab.Host, u *Upstream, addr string, pair tls.Certificate, ntp netip.AddrPort) (stop func()) {
	return t.keys(h, u, addr, &tls.Config{Certificates: []tls.Certificate{pair}}, ntp)
}

// Forget has the server draw new cookie keys, as one does that has lost them.
func (u *Upstream) Forget() {
	keys, err := cookie.NewKeyset(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail on Linux
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.keys = keys
}
