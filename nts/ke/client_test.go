package ke

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

const (
	oneCookie = "0005 0004 01020304"
	answered  = "8001 0002 0000 8004 0002 000f" + oneCookie
)

// wantClass checks the class of a failure, and that its text is one line that
// names the server.
func wantClass(t *testing.T, err error, want Class) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Class != want {
		t.Fatalf("error %v, want class %v", err, want)
	}
	if text := err.Error(); !strings.HasPrefix(text, "key exchange with "+hostPort(e.Host, e.Port)+": ") || strings.ContainsAny(text, "\n\r\x1b") {
		t.Errorf("text %q", text)
	}
	return e
}

// RFC 8915 section 4: "the client SHALL send a single request", and pools of
// every generation find the servers that it does not want.
func TestRFC8915Section4Request(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t).answering(answered + eom)
		f.start(t)
		_, err := f.exchange(t, func(r *ClientRequest) { r.Deny = []string{"a.example.net"} })
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, f.received(), "8001 0002 0000 8004 0004 0011 000f"+
			"000d 000d 612e6578616d706c652e6e6574 4003 000d 612e6578616d706c652e6e6574"+eom)

		f.exchange(t, func(r *ClientRequest) { r.Algorithms = []aead.Algorithm{aead.AESSIVCMAC256} })
		wantEqual(t, f.received(), "8001 0002 0000 8004 0002 000f"+eom)
	})
}

func TestRequestStaysReadable(t *testing.T) {
	req := ClientRequest{Algorithms: []aead.Algorithm{15}}
	for range 1000 {
		req.Deny = append(req.Deny, "a-rather-long-name.of-a-server.example.net")
	}
	msg := ordinaryRequest(req)
	if len(msg) > 4096 || len(msg) < 4000 {
		t.Errorf("a request of %d octets", len(msg))
	}
	if _, err := nts.DecodeRequest(msg, nil); err != nil {
		t.Error(err)
	}
}

func TestUnreachableServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		_, err := f.exchange(t)
		wantClass(t, err, ClassRefused)

		f.net.Silence(serverAddr)
		began := time.Now()
		_, err = f.exchange(t)
		wantClass(t, err, ClassTimeout)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v", took)
		}

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		c := &Client{Dial: f.net.Dial}
		_, err = c.Exchange(ctx, ClientRequest{Host: "192.0.2.1"})
		wantClass(t, err, ClassCancelled)

		c.Lookup = func(context.Context, string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "ke.example.net", IsNotFound: true}
		}
		_, err = c.Exchange(t.Context(), ClientRequest{Host: "ke.example.net"})
		if e := wantClass(t, err, ClassDNS); e.Port != 4460 {
			t.Errorf("port %d", e.Port)
		}
		c.Lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
		_, err = c.Exchange(t.Context(), ClientRequest{Host: "ke.example.net"})
		wantClass(t, err, ClassDNS)
	})
}

// Without a deadline of the caller's there is one all the same.
func TestClientHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.net.Silence(serverAddr)
		began := time.Now()
		_, err := (&Client{Dial: f.net.Dial}).Exchange(t.Context(), ClientRequest{Host: "192.0.2.1"})
		wantClass(t, err, ClassTimeout)
		if took := time.Since(began); took != DefaultClientTimeout {
			t.Errorf("took %v", took)
		}
	})
}

// One address that is silent does not take the time of the next.
func TestAddressesAreTriedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t).answering(answered + eom)
		f.start(t)
		f.net.Silence("192.0.2.7:4460")
		addrs := func(list ...string) func(*ClientRequest) {
			return func(r *ClientRequest) {
				r.Host = "ke.example.net"
				for _, a := range list {
					r.Addrs = append(r.Addrs, netip.MustParseAddrPort(a))
				}
			}
		}
		for _, list := range [][]string{
			{serverAddr},
			{"192.0.2.8:4460", serverAddr},
			{"192.0.2.7:4460", "192.0.2.8:4460", serverAddr},
		} {
			if got, err := f.exchange(t, addrs(list...)); err != nil || got.Remote.String() != serverAddr || got.Server != "ke.example.net" {
				t.Errorf("%v: %+v, %v", list, got, err)
			}
		}
		_, err := f.exchange(t, addrs("192.0.2.8:4460", "192.0.2.7:4460"))
		wantClass(t, err, ClassTimeout)
	})
}

func TestNamesAreLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t).answering(answered + eom)
		f.start(t)
		c := &Client{Dial: f.net.Dial, Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host != "ke.example.net." {
				t.Errorf("looked up %q", host)
			}
			return []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1")}, nil
		}}
		if _, err := c.Exchange(t.Context(), ClientRequest{Host: "ke.example.net.", Roots: f.ca.Pool()}); err != nil {
			t.Error(err)
		}
	})
}

func TestCertificateFailures(t *testing.T) {
	past := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	names := []string{"192.0.2.1"}
	for _, c := range []struct {
		name string
		leaf func(*testing.T, *testcert.CA) *testcert.Leaf
		want Class
		text string
	}{
		{"expired", func(_ *testing.T, ca *testcert.CA) *testcert.Leaf {
			return ca.Leaf(names, testcert.Valid(past(1995), past(1999)))
		},
			ClassCertificateExpired, "valid from 1995-01-01 to 1999-01-01; renew it, or check this machine's clock"},
		{"not valid yet", func(_ *testing.T, ca *testcert.CA) *testcert.Leaf {
			return ca.Leaf(names, testcert.Valid(past(2005), past(2009)))
		},
			ClassCertificateExpired, "valid from 2005-01-01"},
		{"another authority", func(t *testing.T, _ *testcert.CA) *testcert.Leaf { return testcert.NewCA(t).Leaf(names) },
			ClassCertificateAuthority, "certificate-authority"},
		{"another name", func(_ *testing.T, ca *testcert.CA) *testcert.Leaf { return ca.Leaf([]string{"a.example", "192.0.2.9"}) },
			ClassCertificateName, `it is for "a.example", 192.0.2.9, not for "192.0.2.1"; it needs IP:192.0.2.1 among its subject alternative names`},
		{"the address as a name", func(_ *testing.T, ca *testcert.CA) *testcert.Leaf {
			return ca.Leaf(nil, func(c *x509.Certificate) { c.DNSNames = []string{"192.0.2.1"} })
		}, ClassCertificateName, "it needs IP:192.0.2.1"},
		{"no name", func(_ *testing.T, ca *testcert.CA) *testcert.Leaf { return ca.Leaf(nil) },
			ClassCertificateName, "it is for no name at all"},
		{"self-signed", func(t *testing.T, _ *testcert.CA) *testcert.Leaf { return testcert.SelfSigned(t, names) },
			ClassCertificateSelf, "self-signed certificate; make an authority"},
		{"for clients only", func(_ *testing.T, ca *testcert.CA) *testcert.Leaf {
			return ca.Leaf(names, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
		}, ClassCertificate, "key usage"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t).answering(answered + eom)
				f.leaf = c.leaf(t, f.ca)
				f.start(t)
				_, err := f.exchange(t)
				wantClass(t, err, c.want)
				if !strings.Contains(err.Error(), c.text) {
					t.Errorf("text %q lacks %q", err, c.text)
				}
				if f.received() != nil {
					t.Error("a request was sent")
				}
			})
		})
	}
}

// A self-signed certificate stays one if it is named as its own authority.
func TestSelfSignedCertificateAsItsOwnAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t).answering(answered + eom)
		f.leaf = testcert.SelfSigned(t, []string{"192.0.2.1"})
		f.start(t)
		_, err := f.exchange(t, func(r *ClientRequest) { r.Roots = poolOf(f.leaf.Certificate) })
		wantClass(t, err, ClassCertificateSelf)
		if f.received() != nil {
			t.Error("a request was sent")
		}
	})
}

// Certificates whose key usage is keyEncipherment alone are in use, made after
// a guide; TLS 1.3 needs digitalSignature, and between our ends they work.
func TestKeyEnciphermentCertificateWorksBetweenOurEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		leaf := w.ca.Leaf([]string{"192.0.2.1"}, testcert.Usage(x509.KeyUsageKeyEncipherment))
		config := &tls.Config{Certificates: []tls.Certificate{leaf.TLS}}
		w.config.TLS = func() *tls.Config { return config }
		w.start()
		if _, err := w.client().Exchange(t.Context(), w.request()); err != nil {
			t.Error(err)
		}
	})
}

func TestServerNameOverridesHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t).answering(answered + eom)
		f.leaf = f.ca.Leaf([]string{"other.example.net"})
		f.start(t)
		if _, err := f.exchange(t, func(r *ClientRequest) { r.ServerName = "other.example.net" }); err != nil {
			t.Error(err)
		}
	})
}

func TestClientEnforcesALPNAndVersion(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*tls.Config)
		want   Class
	}{
		{"no ALPN", func(c *tls.Config) { c.NextProtos = nil }, ClassALPN},
		{"another protocol", func(c *tls.Config) { c.NextProtos = []string{"h2"} }, ClassALPN},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, ClassTLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t).answering(answered + eom)
				c.change(&f.tls)
				f.start(t)
				_, err := f.exchange(t)
				wantClass(t, err, c.want)
				if f.received() != nil {
					t.Error("a request was sent")
				}
			})
		})
	}
}

func TestServerWithoutTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		l, err := f.net.Listen(serverAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for _, banner := range []string{"220 mail.example.net ESMTP\r\n", ""} {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Write([]byte(banner))
				c.(interface{ CloseWrite() error }).CloseWrite()
			}
		}()
		_, err = f.exchange(t)
		wantClass(t, err, ClassTLS)
		_, err = f.exchange(t)
		wantClass(t, err, ClassNetwork)
	})
}

func TestAnswersThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, wire string
		want       Class
	}{
		{"Error 0", "8002 0002 0000" + eom, ClassServerError},
		{"Error 1 among cookies", answered + "8002 0002 0001" + eom, ClassServerError},
		{"Warning", answered + "8003 0002 0000" + eom, ClassProtocol},
		{"no protocol", "8001 0000" + eom, ClassNoOverlap},
		{"no algorithm", "8001 0002 0000 8004 0000" + eom, ClassNoOverlap},
		{"another protocol", "8001 0002 8001 8004 0002 000f" + oneCookie + eom, ClassProtocol},
		{"another algorithm", "8001 0002 0000 8004 0002 001e" + oneCookie + eom, ClassProtocol},
		{"no cookie", "8001 0002 0000 8004 0002 000f" + eom, ClassProtocol},
		{"unknown critical", answered + "c0ff 0000" + eom, ClassProtocol},
		{"bad server", answered + "8006 0003 610a62" + eom, ClassProtocol},
		{"cut off", answered, ClassNetwork},
		{"nothing", "", ClassNetwork},
		{"65,540 octets without an end", strings.Repeat("40ff 00fc"+strings.Repeat("00", 252), 257), ClassProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t).answering(c.wire)
				f.start(t)
				got, err := f.exchange(t)
				e := wantClass(t, err, c.want)
				if got.C2S != nil || got.Cookies != nil {
					t.Error("there are keys all the same")
				}
				if c.want == ClassServerError && int(e.Code) != strings.Count(c.name, "1") {
					t.Errorf("code %v", e.Code)
				}
			})
		})
	}
}

// RFC 8915 section 4: "clients SHOULD accept responses of at least 65536
// octets".
func TestRFC8915Section4LongResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		filler := strings.Repeat("40ff 00fc"+strings.Repeat("00", 252), 255)
		short := len(fromHex(filler + answered + eom))
		last := nts.MaxResponse - short - nts.HeaderLen
		pad, err := nts.AppendRecord(nil, nts.Record{Type: 0x40ff, Body: make([]byte, last)})
		if err != nil {
			t.Fatal(err)
		}
		wire := append(append(fromHex(filler), pad...), fromHex(answered+eom)...)
		if len(wire) != 65536 {
			t.Fatalf("%d octets", len(wire))
		}
		f := newFake(t)
		f.talk = func(c *tls.Conn) { c.Write(wire) }
		f.start(t)
		if _, err := f.exchange(t); err != nil {
			t.Error(err)
		}
	})
}

// Only what was offered may be chosen, even if we could use it.
func TestAlgorithmThatWasNotOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t).answering("8001 0002 0000 8004 0002 0011" + oneCookie + eom)
		f.start(t)
		_, err := f.exchange(t, func(r *ClientRequest) { r.Algorithms = []aead.Algorithm{aead.AESSIVCMAC256} })
		wantClass(t, err, ClassProtocol)
		if _, err := f.exchange(t); err != nil {
			t.Errorf("offered: %v", err)
		}
	})
}

// However an exchange ends, its connection is closed.
func TestConnectionsAreClosed(t *testing.T) {
	for name, change := range map[string]func(*fake){
		"success":          func(f *fake) { f.answering(answered + eom) },
		"handshake failed": func(f *fake) { f.tls.MaxVersion = tls.VersionTLS12 },
		"no ALPN":          func(f *fake) { f.tls.NextProtos = nil },
		"bad answer":       func(f *fake) { f.answering(eom) },
		"no answer":        func(f *fake) { f.answering("") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				change(f)
				f.start(t)
				var conn net.Conn
				c := &Client{Dial: func(ctx context.Context, network, addr string) (_ net.Conn, err error) {
					conn, err = f.net.Dial(ctx, network, addr)
					return conn, err
				}}
				c.Exchange(t.Context(), ClientRequest{Host: "192.0.2.1", Roots: f.ca.Pool()})
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("it is open: %v", err)
				}
			})
		})
	}
}

func TestSlowServerEndsAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.talk = func(c *tls.Conn) {
			for range 10 {
				c.Write(fromHex("40ff 0000"))
				time.Sleep(time.Second)
			}
		}
		f.start(t)
		began := time.Now()
		_, err := f.exchange(t)
		wantClass(t, err, ClassTimeout)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// What a server puts into a certificate or an answer cannot forge lines of a
// log.
func TestHostileTextStaysOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t).answering(answered + "8006 0006 0a1b5b326a00" + eom)
		f.start(t)
		_, err := f.exchange(t)
		wantClass(t, err, ClassProtocol)
	})
	e := &Error{What: "x", Err: errors.New("a\nlevel=ERROR b\x1b[2J")}
	if text := e.Error(); bytes.ContainsAny([]byte(text), "\n\x1b") {
		t.Errorf("text %q", text)
	}
}

func TestOwnCertificateIsPresentedWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.tls.ClientAuth = tls.RequestClientCert
		pool := f.ca.Leaf([]string{"pool.example.net"})
		var seen []*x509.Certificate
		f.talk = func(c *tls.Conn) {
			seen = c.ConnectionState().PeerCertificates
			c.Write(fromHex(answered + eom))
		}
		f.start(t)
		for _, with := range []bool{true, false} {
			c := &Client{Dial: f.net.Dial, Certificate: func() *tls.Certificate {
				if with {
					return &pool.TLS
				}
				return nil
			}}
			if _, err := c.Exchange(t.Context(), ClientRequest{Host: "192.0.2.1", Roots: f.ca.Pool()}); err != nil {
				t.Fatal(err)
			}
			if got := len(seen) > 0 && seen[0].Equal(pool.Certificate); got != with {
				t.Errorf("presented %v, want %v", seen, with)
			}
		}
	})
}

// The same over sockets of the kernel.
func TestLoopback(t *testing.T) {
	w := newWorld(t)
	leaf := w.ca.Leaf([]string{"127.0.0.1"})
	config := &tls.Config{Certificates: []tls.Certificate{leaf.TLS}}
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.config.Listener, w.config.TLS = l, func() *tls.Config { return config }
	w.config.Timeout = 30 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- NewServer(w.config).Serve(ctx) }()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	got, err := new(Client).Exchange(t.Context(), ClientRequest{Host: "127.0.0.1", Port: port, Roots: w.ca.Pool()})
	if err != nil || len(got.Cookies) != 8 || got.Remote.Port() != port {
		t.Errorf("%+v, %v", got, err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	_, err = new(Client).Exchange(t.Context(), ClientRequest{Host: "127.0.0.1", Port: port, Roots: w.ca.Pool()})
	wantClass(t, err, ClassRefused)
}
