package pool

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// source is a time source that serves pools, unless a test makes it worse.
type source struct {
	name, addr string
	addr6      string // its other address, or empty
	server     nts.Server
	dialects   []nts.Dialect
	leaf       *testcert.Leaf
	down       bool // nobody listens
	keep       bool // grants every Keep Alive
	nameless   bool // does not know the question for names
	plain      bool // serves ordinary clients
	token      string
	tls        func(*tls.Config)

	// Answers in place of its own; nil answers as usual, an empty answer
	// closes the connection.
	information func() []byte
	names       func() // before it says its names
	fixedKey    func(c *tls.Conn) []byte

	mu       sync.Mutex
	conns    int // that were accepted
	open     map[*tls.Conn]bool
	resumed  int
	most     int // open at once
	requests []nts.Request
	raw      [][]byte
	presents []*x509.Certificate
}

func (s *source) serve(l net.Listener, running *sync.WaitGroup) {
	config := &tls.Config{
		Certificates: []tls.Certificate{s.leaf.TLS}, NextProtos: []string{nts.ALPN},
		ClientAuth: tls.RequestClientCert,
	}
	if s.tls != nil {
		s.tls(config)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		running.Go(func() {
			defer conn.Close()
			c := tls.Server(conn, config)
			s.opened(c)
			defer s.closed(c)
			if c.Handshake() != nil {
				return
			}
			s.shook(c)
			for {
				answer, stay := s.answer(c)
				if len(answer) == 0 {
					return
				}
				c.Write(answer)
				if !stay {
					break
				}
			}
			c.CloseWrite()
			io.Copy(io.Discard, conn)
		})
	}
}

func (s *source) opened(c *tls.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns++
	if s.open == nil {
		s.open = make(map[*tls.Conn]bool)
	}
	s.open[c] = true
	s.most = max(s.most, len(s.open))
}

func (s *source) shook(c *tls.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ConnectionState().DidResume {
		s.resumed++
	}
}

func (s *source) closed(c *tls.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// answer reads one request and gives the answer, and whether the connection
// stays.
func (s *source) answer(c *tls.Conn) (answer []byte, stay bool) {
	buffer := make([]byte, 4096)
	n, err := c.Read(buffer)
	if err != nil {
		return nil, false
	}
	req, err := nts.DecodeRequest(buffer[:n], func(token nts.Secret) bool { return s.token == "" || string(token) == s.token })
	s.mu.Lock()
	s.raw = append(s.raw, buffer[:n])
	s.requests = append(s.requests, req)
	s.presents = c.ConnectionState().PeerCertificates
	information, fixedKey, keep := s.information, s.fixedKey, s.keep
	s.mu.Unlock()
	if _, names := req.(nts.Names); names && s.names != nil {
		s.names()
	}
	if _, ordinary := req.(nts.KeyExchange); ordinary && s.plain {
		state := c.ConnectionState()
		out, _, _ := s.server.Respond(nil, req, nts.Session{Export: state.ExportKeyingMaterial, Seal: s.seal})
		return out, false
	}
	dialect := nts.NoDialect
	switch q := req.(type) {
	case nts.Information:
		dialect = q.Dialect
	case nts.Names:
		dialect = q.Dialect
	case nts.FixedKey:
		dialect = q.Dialect
	}
	_, names := req.(nts.Names)
	if err != nil || !s.speaks(dialect, req) || names && s.nameless {
		out, _ := nts.AppendError(nil, nts.UnrecognizedCriticalRecord)
		return out, false
	}
	switch req.(type) {
	case nts.Information:
		if information != nil {
			return information(), keep
		}
	case nts.FixedKey:
		if fixedKey != nil {
			return fixedKey(c), keep
		}
	}
	stay = keep && nts.WantsKeepAlive(req)
	out, _, _ := s.server.Respond(nil, req, nts.Session{Seal: s.seal, KeepAlive: stay})
	return out, stay
}

func (s *source) seal(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
	return fmt.Appendf(nil, "%s %d %x %x", s.name, a, c2s, s2c), nil
}

// speaks: a source of the draft's last generation does not know the first one's
// questions apart, but the first does not know the list of protocols.
func (s *source) speaks(d nts.Dialect, req nts.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, _ := req.(nts.Information)
	for _, own := range s.dialects {
		switch {
		case own == nts.ClientCertificate && d == nts.ClientCertificate && !info.Protocols:
			return true
		case own == nts.Draft && (d == nts.Draft || d == nts.ClientCertificate):
			return true
		case own == nts.IANA && d == nts.IANA:
			return true
		}
	}
	return false
}

// count is how many requests of each kind the source has received.
func (s *source) count() (information, fixedKey int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, req := range s.requests {
		switch req.(type) {
		case nts.Information:
			information++
		case nts.FixedKey:
			fixedKey++
		}
	}
	return information, fixedKey
}
