package ke

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

func TestClientAndServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.NTPServer, w.config.NTPPort = "ntp.example.net", 1231
		w.start()
		got, err := w.client().Exchange(t.Context(), w.request())
		if err != nil {
			t.Fatal(err)
		}
		if got.Server != "ntp.example.net" || !got.ServerNamed || got.Port != 1231 || got.Algorithm != aead.AESSIVCMAC512 ||
			len(got.Cookies) != 8 || got.Remote.String() != serverAddr || !got.CertificateNotAfter.Equal(testcert.NotAfter) {
			t.Errorf("result %+v", got)
		}
		want := cookie{got.Algorithm, string(got.C2S), string(got.S2C), "monday"}
		if c := w.lastCookie(); c != want || len(got.C2S) != 64 || string(got.C2S) == string(got.S2C) {
			t.Errorf("the cookie and the client have different keys")
		}
		synctest.Wait()
		if w.kinds() != "key-exchange" {
			t.Errorf("outcomes %q", w.kinds())
		}
	})
}

// RFC 8915 section 4.1.7: without a Server record the NTP server is where the
// key-exchange server is; section 4.1.8: without a Port record the port is 123.
func TestRFC8915Section4_1_7And8Absent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		got, err := w.client().Exchange(t.Context(), w.request())
		if err != nil || got.Server != "192.0.2.1" || got.ServerNamed || got.Port != 123 {
			t.Errorf("result %+v, %v", got, err)
		}
	})
}

// RFC 8915 section 3: "TLS versions earlier than 1.3 MUST NOT be negotiated".
func TestRFC8915Section3TLSVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		_, err := w.raw(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
		if !isAlert(err, alertProtocolVersion) {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		if w.kinds() != "handshake-failed" {
			t.Errorf("outcomes %q", w.kinds())
		}
	})
}

// RFC 8915 section 4: the client offers and the server accepts "ntske/1".
func TestRFC8915Section4ALPNIsEnforced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		_, err := w.raw(func(c *tls.Config) { c.NextProtos = []string{"h2"} })
		if !isAlert(err, alertNoApplicationProtocol) {
			t.Errorf("another protocol: error %v", err)
		}
		synctest.Wait()
		c := w.mustRaw(withoutALPN)
		say(t, c, ordinary+eom)
		if got := hear(t, c); len(got) != 0 {
			t.Errorf("a client without ALPN received %x", got)
		}
		synctest.Wait()
		if w.kinds() != "handshake-failed no-alpn" {
			t.Errorf("outcomes %q", w.kinds())
		}
	})
}

// The first generation of pools offers no ALPN, but its certificate.
func TestAuthorisedCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pool, other := w.ca.Leaf([]string{"pool.example.net"}), w.ca.Leaf([]string{"pool.example.net"})
		w.config.Authorise = NewAuthoriser(nil, []*x509.Certificate{pool.Certificate})
		w.start()
		const question = "c001 0000" + eom
		const answer = "c001 0008 00110040 000f0020" + eom
		for _, c := range []struct {
			name   string
			change []func(*tls.Config)
			want   string
		}{
			{"authorised", []func(*tls.Config){withCertificate(pool)}, answer},
			{"authorised, no ALPN", []func(*tls.Config){withCertificate(pool), withoutALPN}, answer},
			{"another leaf of the same authority", []func(*tls.Config){withCertificate(other)}, "8002 0002 0000" + eom},
			{"another leaf, no ALPN", []func(*tls.Config){withCertificate(other), withoutALPN}, ""},
			{"no certificate", nil, "8002 0002 0000" + eom},
			{"no certificate, no ALPN", []func(*tls.Config){withoutALPN}, ""},
		} {
			conn := w.mustRaw(c.change...)
			say(t, conn, question)
			if got := hear(t, conn); !bytes.Equal(got, fromHex(c.want)) {
				t.Errorf("%s: received %x, want %s", c.name, got, c.want)
			}
		}
		if _, err := w.client().Exchange(t.Context(), w.request()); err != nil {
			t.Errorf("an ordinary client: %v", err)
		}
	})
}

// A certificate proves nothing without its key.
func TestAuthorisedCertificateNeedsItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pool, thief := w.ca.Leaf([]string{"pool.example.net"}), w.ca.Leaf([]string{"thief.example.net"})
		w.config.Authorise = NewAuthoriser(nil, []*x509.Certificate{pool.Certificate})
		w.start()
		stolen := *pool
		stolen.TLS.PrivateKey = thief.Key
		c, err := w.raw(withCertificate(&stolen))
		if err == nil { // in TLS 1.3 the client's handshake ends before the server's
			_, err = c.Read(make([]byte, 1))
		}
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		if w.kinds() != "handshake-failed" {
			t.Errorf("outcomes %q", w.kinds())
		}
	})
}

func TestClientCertificatesAreRequestedOnlyWhereSomeAreAuthorised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, authorised := range []bool{false, true} {
			w := newWorld(t)
			if authorised {
				w.config.Authorise = NewAuthoriser(nil, []*x509.Certificate{w.ca.Certificate})
			} else {
				w.config.Authorise = NewAuthoriser([]string{"abc"}, nil)
			}
			w.start()
			requested := false
			c := w.mustRaw(func(c *tls.Config) {
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					requested = true
					return new(tls.Certificate), nil
				}
			})
			c.Close()
			if requested != authorised {
				t.Errorf("some authorised: %v, requested: %v", authorised, requested)
			}
		}
	})
}

// RFC 8915 section 4.1.3: Error 1 "if the request is not complete and
// syntactically well-formed".
func TestRFC8915Section4_1_3BadRequests(t *testing.T) {
	filler := "4032 0100" + strings.Repeat("55", 256)
	for name, wire := range map[string]string{
		"nothing":             "",
		"cut off":             "8001 0002",
		"no end":              ordinary,
		"too long, no end":    strings.Repeat(filler, 100),
		"two Next Protocols":  ordinary + "8001 0002 0000" + eom,
		"malformed, to a T":   "8000 0001 00",
		"end without a start": eom,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.start()
				began := time.Now()
				c := w.mustRaw()
				say(t, c, wire)
				c.CloseWrite()
				wantEqual(t, hear(t, c), errorOne)
				if took := time.Since(began); took != 0 {
					t.Errorf("answered after %v", took)
				}
				synctest.Wait()
				if w.kinds() != "bad-request" {
					t.Errorf("outcomes %q", w.kinds())
				}
			})
		})
	}
}

func TestRFC8915Section4_1_3UnrecognizedCriticalRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		c := w.mustRaw()
		say(t, c, ordinary+"c032 0000"+eom)
		wantEqual(t, hear(t, c), "8002 0002 0000"+eom)
		synctest.Wait()
		if w.kinds() != "unrecognized-critical-record" {
			t.Errorf("outcomes %q", w.kinds())
		}
	})
}

// RFC 8915 section 4: "servers MUST accept requests of at least 1024 octets",
// however they are cut into TLS records.
func TestRFC8915Section4LongRequestsInSmallPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		c := w.mustRaw()
		for _, b := range fromHex(strings.Repeat("4032 0100"+strings.Repeat("55", 256), 4) + ordinary + eom) {
			if _, err := c.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if resp, err := nts.DecodeResponse(hear(t, c)); err != nil {
			t.Errorf("%v, %v", resp, err)
		}
	})
}

// recordCounter counts the TLS records that are written, by their headers.
type recordCounter struct {
	net.Conn
	buffer []byte
	sizes  []int
}

func (r *recordCounter) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.buffer = append(r.buffer, b[:n]...)
	for len(r.buffer) >= 5 {
		size := 5 + int(r.buffer[3])<<8 + int(r.buffer[4])
		if len(r.buffer) < size {
			break
		}
		if r.buffer[0] == 23 {
			r.sizes = append(r.sizes, size)
		}
		r.buffer = r.buffer[size:]
	}
	return n, err
}

// Some clients read the answer as one TLS record, so it must be one.
func TestAnswerIsOneRecordAndCloseNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.NTPServer = "ntp.example.net"
		w.start()
		conn, err := w.net.Dial(t.Context(), "tcp", serverAddr)
		if err != nil {
			t.Fatal(err)
		}
		records := &recordCounter{Conn: conn}
		c := tls.Client(records, &tls.Config{RootCAs: w.ca.Pool(), ServerName: "192.0.2.1", NextProtos: []string{nts.ALPN}})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		before := len(records.sizes)
		say(t, c, ordinary+eom)
		answer := hear(t, c)
		after := records.sizes[before:]
		// The record: 5 octets of header, 1 of type, 16 of tag. The
		// close_notify: 2 octets more than those.
		if len(answer) < 1400 || len(after) != 2 || after[0] != len(answer)+22 || after[1] != 24 {
			t.Errorf("an answer of %d octets came in records of %v", len(answer), after)
		}
		if c.ConnectionState().DidResume {
			t.Error("resumed")
		}
	})
}

// What a client still sends does not cost it its answer.
func TestUnreadOctetsDoNotResetTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		c := w.mustRaw()
		say(t, c, ordinary+eom+strings.Repeat("00", 4000))
		say(t, c, strings.Repeat("00", 4000))
		time.Sleep(50 * time.Millisecond)
		if resp, err := nts.DecodeResponse(hear(t, c)); err != nil {
			t.Errorf("%v, %v", resp, err)
		}
	})
}

func TestCertificateOfTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		old, young := w.config.TLS(), &tls.Config{Certificates: []tls.Certificate{w.ca.Leaf([]string{"192.0.2.1"}).TLS}}
		current := old
		w.config.TLS = func() *tls.Config { return current }
		w.start()
		seen := func() string {
			c := w.mustRaw()
			defer c.NetConn().Close()
			return string(c.ConnectionState().PeerCertificates[0].Raw)
		}
		if seen() != string(old.Certificates[0].Certificate[0]) {
			t.Error("not the first certificate")
		}
		current = young
		if seen() != string(young.Certificates[0].Certificate[0]) {
			t.Error("not the second certificate")
		}
	})
}

// RFC 8915 section 4.1.3, Error 2: what goes wrong inside is told apart.
func TestSealingFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Seal = func() nts.Sealer {
			return func(aead.Algorithm, []byte, []byte) ([]byte, error) { return nil, errors.New("no key") }
		}
		w.start()
		_, err := w.client().Exchange(context.Background(), w.request())
		var e *Error
		if !errors.As(err, &e) || e.Class != ClassServerError || e.Code != nts.InternalServerError {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		if w.kinds() != "internal-error" || w.outcomes[0].Detail != "no key" {
			t.Errorf("outcomes %v", w.outcomes)
		}
	})
}
