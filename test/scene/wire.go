package scene

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/test/lab"
)

// Dial opens an attacker's socket on a host, connected to a server.
func (t *Trial) Dial(h *lab.Host, server string) *Socket {
	s := &Socket{}
	t.Check(h.Inside(func() error {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(At(server)))
		s.UDPConn = conn
		return err
	}))
	t.Cleanup(func() { s.Close() })
	return s
}

// Socket asks one server.
type Socket struct{ *net.UDPConn }

// Socket opens a UDP socket on a host at an address, as an ordinary program has one.
func (t *Trial) Socket(h *lab.Host, addr string) *net.UDPConn {
	var c *net.UDPConn
	t.Check(h.Inside(func() error {
		var err error
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(At(addr)))
		return err
	}))
	t.Cleanup(func() { c.Close() })
	return c
}

// Random gives octets that nobody has seen before.
func Random(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(err) // crypto/rand does not fail on Linux
	}
	return b
}

// Header is the header of a request with a random transmit field.
func Header(version, mode uint8) []byte {
	b := make([]byte, proto.HeaderLen)
	b[0] = version<<3 | mode
	copy(b[40:], Random(8))
	return b
}

// Plain is an ordinary request.
func Plain() []byte { return Header(4, 3) }

// Field is an extension field as it is, with a length that may be wrong.
func Field(t proto.FieldType, length int, value []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(t))
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	return append(b, value...)
}

// Good is an extension field whose length is right.
func Good(t proto.FieldType, value []byte) []byte {
	b, err := proto.AppendField(nil, t, value, 4)
	if err != nil {
		panic(err) // rows do not ask for more than fits
	}
	return b
}

// Reply is an answer to one packet of a volley.
type Reply struct {
	To      int // index of the packet, by the transmit field that it repeats; -1 for none of them
	Payload []byte
}

// volleySize bounds the packets that are under way at once, for the sake of socket buffers.
const volleySize = 24

// Volley sends packets and returns all answers to them. After every few of them it asks an ordinary question: once that is
// answered, everything before it has been dealt with, because a server takes the packets of a socket in order. That makes
// silence certain without waiting for it. The error is that of an ordinary question without an answer.
func (s *Socket) Volley(packets [][]byte) ([]Reply, error) {
	index := map[string]int{}
	var replies []Reply
	for i, p := range packets {
		if len(p) >= proto.HeaderLen {
			index[string(p[40:48])] = i
		}
		// An empty datagram and the like may be refused by nobody.
		if _, err := s.Write(p); err != nil {
			return replies, fmt.Errorf("send packet %d: %w", i, err)
		}
		if (i+1)%volleySize != 0 && i+1 < len(packets) {
			continue
		}
		got, err := s.settle()
		for _, b := range got {
			r := Reply{To: -1, Payload: b}
			if len(b) >= proto.HeaderLen {
				if n, ok := index[string(b[24:32])]; ok {
					r.To = n
				}
			}
			replies = append(replies, r)
		}
		if err != nil {
			return replies, fmt.Errorf("after packet %d: %w", i, err)
		}
	}
	return replies, nil
}

// settle asks an ordinary question and returns what came before its answer.
func (s *Socket) settle() ([][]byte, error) {
	var before [][]byte
	for range 3 { // a busy machine may lose one
		question := Plain()
		if _, err := s.Write(question); err != nil {
			return before, err
		}
		if err := s.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return before, err
		}
		for {
			b := make([]byte, 1<<16)
			n, err := s.Read(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return before, err
			}
			if n >= proto.HeaderLen && string(b[24:32]) == string(question[40:48]) {
				return before, nil
			}
			before = append(before, b[:n:n])
		}
	}
	return before, errors.New("an ordinary request was not answered")
}

// Session is what a key exchange gave.
type Session struct {
	Algorithm aead.Algorithm
	C2S, S2C  aead.AEAD
	Keys      [2][]byte // c2s, s2c
	Cookies   [][]byte
	Server    string
	Port      uint16
}

// KeyExchange exchanges keys with a server from a host, as an honest client does.
func (t *Trial) KeyExchange(h *lab.Host, addr, name string, algorithms ...aead.Algorithm) (*Session, error) {
	return t.exchange(ke.Client{Dial: dialInside(h)}, addr, name, algorithms...)
}

// KeyExchangeFrom does so from an address that is not the attacker's.
func (t *Trial) KeyExchangeFrom(h *lab.Host, from, addr, name string) (*Session, error) {
	return t.exchange(ke.Client{Dial: dialFrom(h, &net.TCPAddr{IP: net.ParseIP(from)})}, addr, name)
}

// KeyExchangeThrough does so over a connection that a balancer passes on: it comes from the balancer's address and begins
// with what begin writes.
func (t *Trial) KeyExchangeThrough(h *lab.Host, from, addr, name string, begin func(c net.Conn) error) (*Session, error) {
	dial := dialFrom(h, &net.TCPAddr{IP: net.ParseIP(from)})
	return t.exchange(ke.Client{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return c, begin(c)
	}}, addr, name)
}

func (t *Trial) exchange(client ke.Client, addr, name string, algorithms ...aead.Algorithm) (*Session, error) {
	ctx, cancel := context.WithTimeout(t.Context, 5*time.Second)
	defer cancel()
	r, err := client.Exchange(ctx, ke.ClientRequest{
		Host: name, Port: At(addr).Port(), Addrs: []netip.AddrPort{At(addr)}, Roots: t.Roots, Algorithms: algorithms,
	})
	if err != nil {
		return nil, err
	}
	s := &Session{Algorithm: r.Algorithm, Keys: [2][]byte{r.C2S, r.S2C}, Cookies: r.Cookies, Server: r.Server, Port: r.Port}
	if s.C2S, err = aead.New(r.Algorithm, r.C2S); err != nil {
		return nil, err
	}
	s.S2C, err = aead.New(r.Algorithm, r.S2C)
	return s, err
}

// Session is a key exchange that has to work.
func (t *Trial) Session(h *lab.Host, addr, name string) *Session {
	s, err := t.KeyExchange(h, addr, name)
	t.Check(err)
	return s
}

func dialInside(h *lab.Host) func(ctx context.Context, network, address string) (net.Conn, error) {
	return dialFrom(h, nil)
}

func dialFrom(h *lab.Host, local net.Addr) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = h.Inside(func() error {
			d := net.Dialer{LocalAddr: local}
			d.SetMultipathTCP(false)
			var err error
			conn, err = d.DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}

// Connect opens a TCP connection from a host.
func (t *Trial) Connect(h *lab.Host, addr string) (net.Conn, error) {
	return t.connect(dialInside(h), addr)
}

// ConnectFrom does so from an address that is not the attacker's.
func (t *Trial) ConnectFrom(h *lab.Host, from, addr string) (net.Conn, error) {
	return t.connect(dialFrom(h, &net.TCPAddr{IP: net.ParseIP(from)}), addr)
}

func (t *Trial) connect(dial func(ctx context.Context, network, address string) (net.Conn, error), addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.Context, 3*time.Second)
	defer cancel()
	return dial(ctx, "tcp", addr)
}

// Parts are a request with Network Time Security, taken apart. The zero value is an honest one with fresh contents.
type Parts struct {
	Header    []byte
	UniqueIDs [][]byte // values; nil for one of 32 octets
	Cookies   [][]byte // values; nil for the session's next
	Clear     []byte   // whole fields in front of the authenticator
	Inner     []byte   // what is encrypted
	Nonce     []byte
	Bare      bool   // leave the authenticator out
	Behind    []byte // octets behind the authenticator
}

// Take is the next cookie; the last one is used again and again.
func (s *Session) Take() []byte {
	c := s.Cookies[0]
	if len(s.Cookies) > 1 {
		s.Cookies = s.Cookies[1:]
	}
	return c
}

// Prefix is a request up to where its authenticator goes.
func (s *Session) Prefix(p Parts) []byte {
	b := append([]byte{}, p.Header...)
	if p.Header == nil {
		b = Plain()
	}
	if p.UniqueIDs == nil {
		p.UniqueIDs = [][]byte{Random(32)}
	}
	for _, id := range p.UniqueIDs {
		b = append(b, Good(proto.FieldUniqueIdentifier, id)...)
	}
	if p.Cookies == nil {
		p.Cookies = [][]byte{s.Take()}
	}
	for _, c := range p.Cookies {
		b = append(b, Good(proto.FieldCookie, c)...)
	}
	return append(b, p.Clear...)
}

// Request is a whole request.
func (s *Session) Request(p Parts) []byte {
	b := s.Prefix(p)
	if p.Bare {
		return append(b, p.Behind...)
	}
	if p.Nonce == nil {
		p.Nonce = Random(16)
	}
	ciphertext, err := s.C2S.Seal(nil, p.Nonce, p.Inner, b)
	if err != nil {
		panic(fmt.Sprintf("scene: seal: %v", err))
	}
	value := binary.BigEndian.AppendUint16(nil, uint16(len(p.Nonce)))
	value = binary.BigEndian.AppendUint16(value, uint16(len(ciphertext)))
	value = append(append(value, p.Nonce...), make([]byte, -len(p.Nonce)&3)...)
	value = append(append(value, ciphertext...), make([]byte, -len(ciphertext)&3)...)
	b = append(b, Good(proto.FieldAuthenticator, value)...)
	return append(b, p.Behind...)
}

// Answer is what a server's reply is to the owner of a session.
type Answer struct {
	Header    proto.Header
	UniqueID  []byte
	Authentic bool
	Sealed    bool // there is an authenticator, right or wrong
	Cookies   int  // encrypted ones, if authentic
	Fields    int
}

// Open judges a reply.
func (s *Session) Open(reply []byte) (Answer, error) {
	p, err := proto.ParsePacket(reply)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Header: p.Header}
	for f := range p.All() {
		a.Fields++
		switch f.Type {
		case proto.FieldUniqueIdentifier:
			a.UniqueID = f.Value
		case proto.FieldCookie:
			return a, errors.New("a cookie in the clear")
		case proto.FieldAuthenticator:
			a.Sealed = true
			plain, err := aead.OpenField(nil, reply, f, s.S2C)
			if err != nil {
				continue
			}
			a.Authentic = true
			for inner := range proto.Inner(plain) {
				if inner.Type == proto.FieldCookie {
					a.Cookies++
				}
			}
		}
	}
	return a, nil
}

// NAK reports whether a reply is an NTS NAK and nothing more.
func (a *Answer) NAK() bool {
	code, kiss := a.Header.Kiss()
	return kiss && code == proto.KissNTSN && !a.Sealed
}
