package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// Algorithms are those that can be offered, the usual first.
func Algorithms() []aead.Algorithm {
	var out []aead.Algorithm
	for _, a := range []aead.Algorithm{aead.AESSIVCMAC512, aead.AESSIVCMAC256, nts.AES128GCMSIV} {
		if a.Supported() {
			out = append(out, a)
		}
	}
	return out
}

// Session is the keys and cookies of one key exchange.
type Session struct {
	Server    string // of NTP: a name or an address
	Port      uint16
	Named     bool // by a Server record
	Remote    netip.AddrPort
	Algorithm aead.Algorithm
	NotAfter  time.Time

	c2s, s2c aead.AEAD
	mu       sync.Mutex
	cookies  [][]byte
}

// Cookies is how many are left.
func (s *Session) Cookies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.cookies)
}

// CookieLen is the length of the next cookie in octets, 0 without.
func (s *Session) CookieLen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cookies) == 0 {
		return 0
	}
	return len(s.cookies[0])
}

func (s *Session) take() ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cookies) == 0 {
		return nil, false
	}
	c := s.cookies[0]
	s.cookies = s.cookies[1:]
	return c, true
}

func (s *Session) give(c []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cookies) < nts.MaxCookies {
		s.cookies = append(s.cookies, append([]byte(nil), c...))
	}
}

// Establish makes a key exchange and keeps its keys. The error is one of
// package ke.
func Establish(ctx context.Context, req ke.ClientRequest) (*Session, error) {
	if len(req.Algorithms) == 0 {
		req.Algorithms = Algorithms()[:min(2, len(Algorithms()))]
	}
	r, err := new(ke.Client).Exchange(ctx, req)
	if err != nil {
		return nil, err
	}
	s := &Session{
		Server: r.Server, Port: r.Port, Named: r.ServerNamed, Remote: r.Remote,
		Algorithm: r.Algorithm, NotAfter: r.CertificateNotAfter, cookies: r.Cookies,
	}
	if !r.ServerNamed {
		s.Server = r.Remote.Addr().Unmap().String()
	}
	if s.c2s, err = aead.New(r.Algorithm, r.C2S); err != nil {
		return nil, err
	}
	s.s2c, err = aead.New(r.Algorithm, r.S2C)
	return s, err
}

// Shown is what a TLS server shows to anybody: nothing of it is verified.
type Shown struct {
	TLS   string            `json:"tls"`
	ALPN  string            `json:"alpn"`
	Chain []Certificate     `json:"chain"`
	Leaf  *x509.Certificate `json:"-"`
}

// Certificate is one of a chain.
type Certificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Names     []string  `json:"names,omitempty"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Key       string    `json:"key"`
}

// Look makes a TLS connection that trusts everybody, to see what is shown
// where a proper one fails. Nothing is sent over it.
func Look(ctx context.Context, to netip.AddrPort, name string) (Shown, error) {
	d := tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, ServerName: strings.TrimSuffix(name, "."),
		NextProtos: []string{nts.ALPN}, MinVersion: tls.VersionTLS10,
	}}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return Shown{}, err
	}
	defer conn.Close()
	t, ok := conn.(*tls.Conn)
	if !ok {
		return Shown{}, errors.New("not a TLS connection")
	}
	st := t.ConnectionState()
	s := Shown{TLS: tls.VersionName(st.Version), ALPN: st.NegotiatedProtocol}
	for _, c := range st.PeerCertificates {
		s.Chain = append(s.Chain, Describe(c))
	}
	if len(st.PeerCertificates) > 0 {
		s.Leaf = st.PeerCertificates[0]
	}
	return s, nil
}

// Describe says what a person wants to know of a certificate.
func Describe(c *x509.Certificate) Certificate {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return Certificate{
		Subject: printable(c.Subject.String()), Issuer: printable(c.Issuer.String()), Names: printables(names),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Key: c.PublicKeyAlgorithm.String(),
	}
}

// printable keeps what a stranger wrote on one line and short.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return s
}

func printables(in []string) []string {
	if len(in) > 20 {
		in = in[:20]
	}
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = printable(s)
	}
	return out
}

// TCP tries to connect and says how long it took.
func TCP(ctx context.Context, to netip.AddrPort, timeout time.Duration) (time.Duration, error) {
	d := net.Dialer{Timeout: timeout}
	d.SetMultipathTCP(false)
	start := time.Now()
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return 0, err
	}
	conn.Close()
	return time.Since(start), nil
}
