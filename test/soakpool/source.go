package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// mood is how a source behaves at the moment.
type mood int

// The moods.
const (
	healthy  mood = iota
	draft         // speaks the draft's numbers
	first         // speaks the first generation's
	forgets       // keeps no connection
	dead          // does not listen
	mute          // takes connections and says nothing
	slow          // takes 300 ms for each answer
	liar          // answers with another algorithm
	miser         // answers with no cookie
	ill           // answers with Error 2
	babbler       // answers questions with nonsense
	stalled       // stops in the middle of an answer
	dropper       // closes once it has the keys
	resetter      // resets the connection once it has the keys
	halfway       // closes in the middle of an answer
	moods    = int(halfway) + 1
)

func (m mood) String() string {
	return [moods]string{
		"healthy", "draft", "first generation", "forgets", "dead", "mute", "slow", "liar", "miser", "ill", "babbler",
		"stalled", "dropper", "resetter", "halfway",
	}[m]
}

// well reports whether clients get cookies of it.
func (m mood) well() bool {
	return m == healthy || m == draft || m == first || m == forgets || m == slow
}

// source is a time source that writes down every octet.
type source struct {
	name   string
	addr   string
	config *tls.Config

	mu       sync.Mutex
	mood     mood
	listener net.Listener
	open     map[net.Conn]bool
	record   [][]byte // one for each connection, what came through TLS
}

func newSource(name string, pair tls.Certificate) (*source, error) {
	s := &source{name: name, open: make(map[net.Conn]bool)}
	s.config = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{nts.ALPN}, MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.addr, s.listener = l.Addr().String(), l
	go s.serve(l)
	return s, nil
}

func (s *source) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

func (s *source) is() mood {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mood
}

// turn changes the mood. A source that dies or returns loses its connections.
func (s *source) turn(m mood) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.mood
	s.mood = m
	if m == dead || was == dead || was == mute || was == stalled {
		for c := range s.open {
			c.Close()
		}
	}
	if m == dead && was != dead {
		s.listener.Close()
	}
	if m != dead && was == dead {
		l, err := net.Listen("tcp4", s.addr)
		if err != nil {
			s.mood = dead // somebody has the port; another time
			return
		}
		s.listener = l
		go s.serve(l)
	}
}

func (s *source) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[conn] = true
		at := len(s.record)
		s.record = append(s.record, nil)
		s.mu.Unlock()
		go func() {
			defer func() {
				conn.Close()
				s.mu.Lock()
				delete(s.open, conn)
				s.mu.Unlock()
			}()
			s.converse(conn, at)
		}()
	}
}

// recorded is a connection whose octets are written down before anything else
// happens to them.
type recorded struct {
	*tls.Conn
	s  *source
	at int
}

func (r recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.s.mu.Lock()
	r.s.record[r.at] = append(r.s.record[r.at], b[:n]...)
	r.s.mu.Unlock()
	return n, err
}

func (s *source) converse(conn net.Conn, at int) {
	if s.is() == mute {
		_, _ = conn.Read(make([]byte, 1<<16)) // the client's first flight
		time.Sleep(time.Minute)
		return
	}
	c := recorded{tls.Server(conn, s.config), s, at}
	if c.Handshake() != nil {
		return
	}
	for {
		stay, err := s.answer(c)
		if err != nil {
			return
		}
		if !stay {
			_ = c.CloseWrite()
			return
		}
	}
}

var errEnough = errors.New("the source has had enough")

// answer reads a request and answers it as the mood is.
func (s *source) answer(c recorded) (stay bool, err error) {
	buffer := make([]byte, 4096)
	n, err := c.Read(buffer)
	if err != nil {
		return false, err
	}
	m := s.is()
	req, err := nts.DecodeRequest(buffer[:n], func(token nts.Secret) bool { return token == nil || string(token) == "token of "+s.name })
	if err != nil || !m.understands(req) {
		out, _ := nts.AppendError(nil, nts.UnrecognizedCriticalRecord)
		_, err = c.Write(out)
		return false, err
	}
	if m == slow {
		time.Sleep(300 * time.Millisecond)
	}
	stay = nts.WantsKeepAlive(req) && m != forgets
	_, keys := req.(nts.FixedKey)
	server := nts.Server{NTPServer: s.name}
	out, _, _ := server.Respond(nil, req, nts.Session{KeepAlive: stay, Seal: func(_ aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
		digest := sha256.Sum256(append(c2s[:len(c2s):len(c2s)], s2c...))
		return append([]byte(s.name+" "), digest[:]...), nil
	}})
	if keys {
		if out, err = m.spoil(c, out); err != nil {
			return false, err
		}
	} else if m == babbler {
		out = []byte("\xde\xad\xbe\xef and so on")
	}
	_, err = c.Write(out)
	return stay, err
}

// understands: who speaks one generation does not know another's numbers.
func (m mood) understands(req nts.Request) bool {
	var d nts.Dialect
	protocols := false // the first generation has no list of them
	switch q := req.(type) {
	case nts.Information:
		d, protocols = q.Dialect, q.Protocols
	case nts.Names:
		d = q.Dialect
	case nts.FixedKey:
		d = q.Dialect
	default:
		return false
	}
	switch m {
	case draft:
		return d == nts.Draft || d == nts.ClientCertificate
	case first:
		return d == nts.ClientCertificate && !protocols
	default:
		return d == nts.IANA
	}
}

// spoil makes of a good answer what the mood makes of it.
func (m mood) spoil(c recorded, out []byte) ([]byte, error) {
	switch m {
	case liar:
		return nts.AppendResponse(nil, nts.Established{Protocol: nts.NTPv4, Algorithm: aead.AESSIVCMAC512, Cookies: [][]byte{[]byte("lie")}})
	case miser:
		return nts.AppendMessage(nil,
			nts.Record{Type: nts.TypeNextProtocol, Critical: true, Body: []byte{0, 0}},
			nts.Record{Type: nts.TypeAlgorithm, Critical: true, Body: binary.BigEndian.AppendUint16(nil, uint16(aead.AESSIVCMAC256))})
	case ill:
		out, _ = nts.AppendError(nil, nts.InternalServerError)
		return out, nil
	case stalled:
		_, err := c.Write(out[:1+rand.IntN(len(out)-1)])
		time.Sleep(30 * time.Second)
		return nil, errors.Join(errEnough, err)
	case dropper:
		return nil, errEnough
	case resetter:
		if tcp, ok := c.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			tcp.Close()
		}
		return nil, errEnough
	case halfway:
		_, err := c.Write(out[:1+rand.IntN(len(out)-1)])
		return nil, errors.Join(errEnough, err)
	default:
		return out, nil
	}
}

// keysAmong looks for known keys at every place of the records.
func (s *source) keysAmong(known map[key]*client) map[key]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	starts := make(map[uint64]bool, len(known)) // a quick look first
	for k := range known {
		starts[binary.BigEndian.Uint64(k[:])] = true
	}
	found := make(map[key]bool)
	for _, octets := range s.record {
		for i := 0; i+len(key{}) <= len(octets); i++ {
			if !starts[binary.BigEndian.Uint64(octets[i:])] {
				continue
			}
			if k := key(octets[i : i+len(key{})]); known[k] != nil {
				found[k] = true
			}
		}
	}
	return found
}
