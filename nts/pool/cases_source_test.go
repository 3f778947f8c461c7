package pool

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/memnet"
	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
)

// ownMember is our own server as a member of a pool, asked octet by octet.
type ownMember struct {
	t    *testing.T
	net  memnet.Network
	ca   *testcert.CA
	keys atomic.Pointer[cookie.Keyset]
	pair tls.Certificate // that the pool presents, if any
	end  func()
}

const (
	memberAddr = "192.0.2.9:4460"
	token      = "000e 0003 616263" // "abc"
	errorZero  = "8002 0002 0000" + eom
	errorOne   = "8002 0002 0001" + eom
	keys32     = "0040 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" +
		"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
)

func newMemberServer(t *testing.T, change func(*ke.ServerConfig)) *ownMember {
	m := &ownMember{t: t, ca: testcert.NewCA(t)}
	m.rotate()
	leaf := m.ca.Leaf([]string{"192.0.2.9"})
	l, err := m.net.Listen(memberAddr)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{leaf.TLS}}
	c := ke.ServerConfig{
		Listener: l, TLS: func() *tls.Config { return config }, Authorise: ke.NewAuthoriser([]string{"abc"}, nil),
		LongLivedConnections: 10,
		Seal: func() nts.Sealer {
			key := m.keys.Load().Newest()
			return func(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
				nonce := make([]byte, cookie.NonceLen)
				_, _ = rand.Read(nonce)
				return key.Seal(nil, cookie.Contents{Algorithm: a, C2S: c2s, S2C: s2c}, nonce)
			}
		},
	}
	if change != nil {
		change(&c)
	}
	served := make(chan error, 1)
	go func() { served <- ke.NewServer(c).Serve(t.Context()) }()
	m.end = func() {
		l.Close()
		if err := <-served; err == nil {
			t.Error("the server ended by itself")
		}
	}
	return m
}

func (m *ownMember) rotate() {
	k, err := cookie.NewKeyset(rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	m.keys.Store(k)
}

func (m *ownMember) dial() *tls.Conn {
	m.t.Helper()
	raw, err := m.net.Dial(m.t.Context(), "tcp", memberAddr)
	if err != nil {
		m.t.Fatal(err)
	}
	config := &tls.Config{RootCAs: m.ca.Pool(), ServerName: "192.0.2.9", NextProtos: []string{nts.ALPN}}
	if m.pair.Certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &m.pair, nil }
	}
	return tls.Client(raw, config)
}

// ask sends a request over a new connection, and gives all that comes.
func (m *ownMember) ask(digits string) []byte {
	m.t.Helper()
	c := m.dial()
	defer c.NetConn().Close()
	if _, err := c.Write(fromHex(digits)); err != nil {
		m.t.Fatal(err)
	}
	return m.read(c)
}

// read reads one message.
func (m *ownMember) read(c *tls.Conn) []byte {
	m.t.Helper()
	var all []byte
	buffer := make([]byte, 4096)
	for !bytes.HasSuffix(all, fromHex(eom)) {
		n, err := c.Read(buffer)
		all = append(all, buffer[:n]...)
		if err != nil {
			break
		}
	}
	return all
}

// closed reports whether the server ends the connection at once.
func (m *ownMember) closed(c *tls.Conn) bool {
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

func (m *ownMember) want(question, answer string) {
	m.t.Helper()
	if got := m.ask(question); !bytes.Equal(got, fromHex(answer)) {
		m.t.Errorf("to %s\nanswered %x, want %s", question, got, answer)
	}
}

// withMember runs a test with our own server as a member.
func withMember(t *testing.T, change func(*ke.ServerConfig), test func(*ownMember)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMemberServer(t, change)
		test(m)
		m.end()
	})
}

func TestCase7Information(t *testing.T) {
	withMember(t, nil, func(m *ownMember) {
		resp, err := nts.DecodeSupported(m.ask(token + "8009 0000 800a 0000 0008 0000" + eom))
		s, ok := resp.(nts.Supported)
		if err != nil || !ok || s.Dialect != nts.IANA || !s.KeepAlive || len(s.Protocols) != 1 || len(s.Algorithms) < 2 {
			t.Errorf("%+v, %v", resp, err)
		}
		for _, a := range s.Algorithms {
			if int(a.KeyLen) != a.ID.KeyLen() {
				t.Errorf("%v has keys of %d octets", a.ID, a.KeyLen)
			}
		}
	})
}

func TestCase8Dialects(t *testing.T) {
	withMember(t, nil, func(m *ownMember) {
		got := m.ask("4005 0003 616263 c004 0000 c001 0000 4000 0000" + eom)
		if !bytes.HasPrefix(got, fromHex("c004 0002 0000 c001")) || !bytes.HasSuffix(got, fromHex("4000 0000"+eom)) {
			t.Errorf("answered %x", got)
		}
		m.want(token+"8009 0000 c001 0000"+eom, errorOne)
	})
}

func TestCase9Strangers(t *testing.T) {
	withMember(t, nil, func(m *ownMember) {
		for _, who := range []string{"", "000e 0003 616264", "000e 0003 626262", "000e 0002 6162", "000e 0000", "4005 0003 616264"} {
			m.want(who+"8009 0000 800a 0000"+eom, errorZero)
			m.want(who+"800c"+keys32+ordinary+eom, errorZero)
			m.want(who+"800b 0000"+eom, errorZero)
		}
	})
}

func TestCase10TokenAnywhere(t *testing.T) {
	withMember(t, nil, func(m *ownMember) {
		if got := m.ask("800c" + keys32 + ordinary + token + eom); !bytes.HasPrefix(got, fromHex(ordinary+"0005")) {
			t.Errorf("answered %x", got)
		}
	})
}

func TestCase11FixedKeys(t *testing.T) {
	withMember(t, nil, func(m *ownMember) {
		resp, err := nts.DecodeResponse(m.ask(token + "800c" + keys32 + ordinary + "0008 0000" + eom))
		est, ok := resp.(nts.Established)
		if err != nil || !ok || len(est.Cookies) != 8 || est.KeepAlive != nts.IANA {
			t.Fatalf("%+v, %v", resp, err)
		}
		all := fromHex(keys32)[2:]
		seen := make(map[string]bool)
		for _, c := range est.Cookies {
			got, err := m.keys.Load().Open(c)
			if err != nil || got.Algorithm != 15 || !bytes.Equal(got.C2S, all[:32]) || !bytes.Equal(got.S2C, all[32:]) {
				t.Errorf("a cookie holds %v, %v", got.Algorithm, err)
			}
			seen[string(c)] = true
		}
		if len(seen) != 8 {
			t.Error("cookies are alike")
		}
	})
}

func TestCase12And13RequestsThatAreWrong(t *testing.T) {
	withMember(t, nil, func(m *ownMember) {
		fixed := token + "800c" + keys32
		for _, question := range []string{
			fixed + "8001 0002 0000 8004 0004 000f 0011",
			fixed + "8001 0004 0000 8001 8004 0002 000f",
			token + "800c 003f" + strings.Repeat("00", 63) + ordinary,
			token + "800c 0042" + strings.Repeat("00", 66) + ordinary,
			fixed + "8001 0002 0000",
			fixed + "8004 0002 000f",
			fixed + "800c" + keys32 + ordinary,
			fixed + ordinary + "8009 0000",
			fixed + ordinary + "800a 0000",
			fixed + ordinary + "800b 0000",
			token + "8009 0000 8001 0002 0000",
			token + "8009 0000 8004 0002 000f",
		} {
			m.want(question+eom, errorOne)
		}
	})
}

func TestCase14Names(t *testing.T) {
	ask := token + "800b 0000 0008 0000" + eom
	withMember(t, nil, func(m *ownMember) { m.want(ask, "0008 0000"+eom) })
	withMember(t, func(c *ke.ServerConfig) { c.NTPServer = "a.b" }, func(m *ownMember) {
		resp, err := nts.DecodeNames(m.ask(ask))
		if names, ok := resp.(nts.ServerNames); err != nil || !ok || len(names.Names) != 1 || names.Names[0] != "a.b" {
			t.Errorf("%+v, %v", resp, err)
		}
	})
}

func TestCase15And16KeptConnections(t *testing.T) {
	withMember(t, nil, func(m *ownMember) {
		c := m.dial()
		c.Write(fromHex(ordinary + "0008 0000" + eom))
		resp, err := nts.DecodeResponse(m.read(c))
		if est, ok := resp.(nts.Established); err != nil || !ok || est.KeepAlive != nts.NoDialect || !m.closed(c) {
			t.Errorf("a stranger's connection is kept: %+v, %v", resp, err)
		}
		c.NetConn().Close()
		// No keys are taken out of a connection that is kept.
		c = m.dial()
		c.Write(fromHex(token + "8009 0000 800a 0000 0008 0000" + eom))
		m.read(c)
		c.Write(fromHex(ordinary + eom))
		if got := m.read(c); !bytes.Equal(got, fromHex(errorOne)) || !m.closed(c) {
			t.Errorf("answered %x", got)
		}
		c.NetConn().Close()
	})
}

func TestCase17PlacesForKeptConnections(t *testing.T) {
	withMember(t, func(c *ke.ServerConfig) { c.LongLivedConnections = 2; c.Idle = time.Minute }, func(m *ownMember) {
		const ask = token + "8009 0000 800a 0000 0008 0000" + eom
		granted := func(c *tls.Conn) bool {
			c.Write(fromHex(ask))
			resp, err := nts.DecodeSupported(m.read(c))
			s, ok := resp.(nts.Supported)
			if err != nil || !ok {
				t.Fatalf("%+v, %v", resp, err)
			}
			return s.KeepAlive
		}
		for range 500 { // each place is given back
			a, b, c := m.dial(), m.dial(), m.dial()
			if !granted(a) || !granted(b) || granted(c) || !m.closed(c) {
				t.Fatal("not two connections are kept")
			}
			for _, conn := range []*tls.Conn{a, b, c} {
				conn.NetConn().Close()
			}
			synctest.Wait()
		}
		a := m.dial()
		granted(a)
		time.Sleep(time.Minute + time.Second)
		if !m.closed(a) {
			t.Error("a connection rests for ever")
		}
		a.NetConn().Close()
	})
}

// Cookies are sealed with the key of the moment, on a kept connection too.
func TestCase18RotationDuringAKeptConnection(t *testing.T) {
	withMember(t, nil, func(m *ownMember) {
		c := m.dial()
		defer c.NetConn().Close()
		for range 2 {
			c.Write(fromHex(token + "800c" + keys32 + ordinary + "0008 0000" + eom))
			resp, err := nts.DecodeResponse(m.read(c))
			est, ok := resp.(nts.Established)
			if err != nil || !ok {
				t.Fatalf("%+v, %v", resp, err)
			}
			if _, err := m.keys.Load().Open(est.Cookies[0]); err != nil {
				t.Error(err)
			}
			m.rotate()
		}
	})
}

func TestCase19ClientCertificates(t *testing.T) {
	const question, fixed = "c001 0000" + eom, "8001 0002 0000 0004 0002 000f c002" + keys32 + eom
	var known, other *testcert.Leaf
	withMember(t, func(c *ke.ServerConfig) {
		ca := testcert.NewCA(t)
		known, other = ca.Leaf([]string{"pool.example"}), ca.Leaf([]string{"pool.example"})
		c.Authorise = ke.NewAuthoriser(nil, []*x509.Certificate{known.Certificate})
	}, func(m *ownMember) {
		m.pair = known.TLS
		if got := m.ask(question); !bytes.HasPrefix(got, fromHex("c001")) {
			t.Errorf("answered %x", got)
		}
		if got := m.ask(fixed); !bytes.HasPrefix(got, fromHex(ordinary+"0005")) {
			t.Errorf("answered %x", got)
		}
		m.pair = other.TLS
		m.want(question, errorZero)
		m.want(fixed, errorZero)
		m.pair = tls.Certificate{}
		m.want(question, errorZero)
		if got := m.ask(ordinary + eom); !bytes.HasPrefix(got, fromHex(ordinary+"0005")) {
			t.Errorf("an ordinary client was answered %x", got)
		}
	})
}

func TestCase2TwoMeaningsOf4005(t *testing.T) {
	withMember(t, func(c *ke.ServerConfig) { c.NTPServer = "a.b" }, func(m *ownMember) {
		if got := m.ask("4005 0003 616263 c005 0000" + eom); !bytes.HasPrefix(got, fromHex("8006 0003 612e62")) {
			t.Errorf("names of draft -03: %x", got)
		}
		if got := m.ask("c005 0003 616263 c001 0000 c004 0000" + eom); !bytes.HasPrefix(got, fromHex("c0")) {
			t.Errorf("a token that is critical: %x", got)
		}
		m.want("4005 0000 c001 0000 c004 0000"+eom, errorZero)
	})
}

func TestCase3Bodies(t *testing.T) {
	withMember(t, nil, func(m *ownMember) {
		if got := m.ask(token + "8009 0000 800a 0000 0008 0002 0003" + eom); !bytes.HasSuffix(got, fromHex("0008 0000"+eom)) {
			t.Errorf("the body of Keep Alive: %x", got)
		}
	})
	for _, answer := range []string{
		"8009 0002 0000 800a 0006 000f0020001e" + eom, "8009 0003 000000 800a 0004 000f0020" + eom,
	} {
		if resp, err := nts.DecodeSupported(fromHex(answer)); err == nil {
			t.Errorf("%s is %+v", answer, resp)
		}
	}
}

func TestCase4LongRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(func(s *source) { s.keep = true })
		w.start()
		long := strings.Repeat("40ff 0000", 1024/4) + ordinary + eom
		if resp, err := nts.DecodeResponse(w.ask(long)); err != nil {
			t.Error(err)
		} else if _, ok := resp.(nts.Established); !ok {
			t.Errorf("%+v", resp)
		}
		// Octet by octet, each in a record of TLS.
		c := tls.Client(w.connect(), w.clientTLS())
		for _, b := range fromHex(strings.Repeat("40ff 0000", 10) + ordinary + eom) {
			if _, err := c.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		answer, _ := io.ReadAll(c)
		if resp, err := nts.DecodeResponse(answer); err != nil {
			t.Error(err)
		} else if _, ok := resp.(nts.Established); !ok {
			t.Errorf("%+v", resp)
		}
		// Without an end, at the limit.
		c = tls.Client(w.connect(), w.clientTLS())
		endless := binary.BigEndian.AppendUint16(nil, 0x40ff)
		endless = append(binary.BigEndian.AppendUint16(endless, 0x1000), make([]byte, 0x1000)...)
		go func() {
			for range 16 {
				if _, err := c.Write(endless); err != nil {
					return
				}
			}
		}()
		began := time.Now()
		if answer, _ := io.ReadAll(c); !bytes.Equal(answer, fromHex(errorOne)) || time.Since(began) >= requestTimeout {
			t.Errorf("answered %x after %v", answer, time.Since(began))
		}
		c.NetConn().Close()
	})
}

// A source's long answer is read, and one beyond the limit is none.
func TestCase5LongAnswers(t *testing.T) {
	for size, good := range map[int]bool{65_000: true, 65_537: false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.add(func(s *source) {
				s.fixedKey = func(*tls.Conn) []byte {
					tail := fromHex("0005 0004 01020304" + eom)
					out := fromHex(ordinary)
					for left := size - len(out) - len(tail); left > 0; {
						n := min(left-nts.HeaderLen, 0x8000)
						if rest := left - nts.HeaderLen - n; rest > 0 && rest < nts.HeaderLen {
							n -= nts.HeaderLen
						}
						out = binary.BigEndian.AppendUint16(out, 0x40ff)
						out = append(binary.BigEndian.AppendUint16(out, uint16(n)), make([]byte, n)...)
						left -= nts.HeaderLen + n
					}
					return append(out, tail...)
				}
			})
			w.start()
			got, err := w.exchange()
			if (err == nil) != good || good && len(got.Cookies) != 1 {
				t.Errorf("%d octets: %v", size, err)
			}
		})
	}
}
