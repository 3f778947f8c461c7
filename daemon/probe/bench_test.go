package probe

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

// fault is what a test's NTP server does wrong; the zero value answers well.
type fault struct {
	silent      bool
	maxLength   int // longer requests get no answer
	dropNTS     bool
	strip       bool // answers without NTS fields
	nak         bool
	kiss        string
	stratum     uint8
	leap        proto.Leap
	offset      time.Duration
	root        time.Duration
	wrongOrigin bool
	wrongUID    bool
	wrongKey    bool
	garbage     bool
	echo        bool
	noReceive   bool
}

// server is an NTP server on loopback, with a key exchange if there is a
// certificate.
type server struct {
	t     *testing.T
	conn  *net.UDPConn
	mu    sync.Mutex
	keys  map[string][2]aead.AEAD
	fault fault
	ke    netip.AddrPort
}

func newServer(t *testing.T, f fault) *server {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, conn: conn, keys: map[string][2]aead.AEAD{}, fault: f}
	t.Cleanup(func() { conn.Close() })
	go s.serve()
	return s
}

func (s *server) addr() netip.AddrPort {
	return netip.MustParseAddrPort(s.conn.LocalAddr().String())
}

// exchange adds a key exchange with this certificate, and says where it is.
func (s *server) exchange(leaf *testcert.Leaf) Target {
	s.t.Helper()
	l, err := ke.Listen(s.t.Context(), "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{leaf.TLS}}
	server := ke.NewServer(ke.ServerConfig{
		Listener: l, TLS: func() *tls.Config { return config }, Seal: func() nts.Sealer { return s.seal },
		NTPServer: "127.0.0.1", NTPPort: s.addr().Port(), Timeout: 5 * time.Second,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done })
	s.ke = netip.MustParseAddrPort(l.Addr().String())
	return Target{Host: "localhost", Port: s.ke.Port()}
}

func (s *server) seal(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cookie := make([]byte, 64)
	binary.BigEndian.PutUint64(cookie, uint64(len(s.keys)+1))
	in, err := aead.New(a, c2s)
	if err != nil {
		return nil, err
	}
	out, err := aead.New(a, s2c)
	s.keys[string(cookie)] = [2]aead.AEAD{in, out}
	return cookie, err
}

func (s *server) serve() {
	b := make([]byte, 4096)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if reply := s.reply(b[:n]); reply != nil {
			s.conn.WriteToUDPAddrPort(reply, from)
		}
	}
}

func (s *server) reply(request []byte) []byte {
	f := &s.fault
	p, err := proto.ParsePacket(request)
	if err != nil || f.silent || f.maxLength > 0 && len(request) > f.maxLength {
		return nil
	}
	if f.garbage {
		return []byte("not the time")
	}
	if f.echo {
		return request
	}
	now := proto.FromTime(time.Now().Add(f.offset))
	h := proto.Header{
		Leap: f.leap, Version: 4, Mode: proto.ModeServer, Stratum: max(f.stratum, 1), Precision: -20, RefID: proto.RefIDText("TEST"),
		RootDispersion: proto.ToShort(proto.FromStd(f.root)), Origin: p.Transmit, Receive: now, Transmit: now,
	}
	if f.noReceive {
		h.Receive = 0
	}
	if f.wrongOrigin {
		h.Origin++
	}
	if f.kiss != "" {
		h.Stratum, h.RefID = 0, proto.RefIDText(f.kiss)
	}
	var id, cookie []byte
	placeholders, sealed := 0, false
	for x := range p.All() {
		switch x.Type {
		case proto.FieldUniqueIdentifier:
			id = x.Value
		case proto.FieldCookie:
			cookie = x.Value
		case proto.FieldCookiePlaceholder:
			placeholders++
		case proto.FieldAuthenticator:
			sealed = true
		}
	}
	if sealed && f.dropNTS {
		return nil
	}
	if f.nak && sealed {
		h.Stratum, h.RefID = 0, proto.KissNTSN
	}
	reply := h.Append(nil)
	if !sealed || f.strip {
		return reply
	}
	if f.wrongUID {
		id = make([]byte, len(id))
	}
	reply, _ = proto.AppendField(reply, proto.FieldUniqueIdentifier, id, proto.MinFieldLen)
	if f.nak {
		return reply
	}
	return s.protect(reply, request, cookie, placeholders)
}

func (s *server) protect(reply, request, cookie []byte, placeholders int) []byte {
	s.mu.Lock()
	keys, ok := s.keys[string(cookie)]
	s.mu.Unlock()
	if !ok {
		return nil
	}
	if p, err := proto.ParsePacket(request); err == nil {
		for f := range p.All() {
			if f.Type == proto.FieldAuthenticator {
				if _, err := aead.OpenField(nil, request, f, keys[0]); err != nil {
					s.t.Errorf("a request does not authenticate: %v", err)
				}
			}
		}
	}
	var inner []byte
	for range placeholders + 1 {
		inner, _ = proto.AppendField(inner, proto.FieldCookie, cookie, proto.MinInnerFieldLen)
	}
	key := keys[1]
	if s.fault.wrongKey {
		key = keys[0]
	}
	reply, err := aead.AppendField(reply, key, make([]byte, 16), inner)
	if err != nil {
		s.t.Error(err)
	}
	return reply
}
