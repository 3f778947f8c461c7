package ke

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/memnet"
	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

const serverAddr = "192.0.2.1:4460"

// Messages as digits, without and with End of Message.
const (
	ordinary     = "8001 0002 0000 8004 0002 000f"
	eom          = "8000 0000"
	token        = "000e 0003 616263" // "abc"
	informationQ = token + "8009 0000 800a 0000 0008 0000" + eom
	errorOne     = "8002 0002 0001" + eom
)

// world is a server on a network of its own, with what it reports.
type world struct {
	t      *testing.T
	net    memnet.Network
	ca     *testcert.CA
	config ServerConfig
	stop   context.CancelFunc
	served chan error

	mu       sync.Mutex
	outcomes []Outcome
	sealed   []cookie
	key      string // the cookie key of the moment
}

// cookie is what a cookie was made of.
type cookie struct {
	algorithm aead.Algorithm
	c2s, s2c  string
	key       string
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, ca: testcert.NewCA(t), key: "monday", served: make(chan error, 1)}
	leaf := w.ca.Leaf([]string{"ke.example.net", "192.0.2.1"})
	config := &tls.Config{Certificates: []tls.Certificate{leaf.TLS}}
	w.config = ServerConfig{
		TLS:     func() *tls.Config { return config },
		Seal:    w.sealer,
		Outcome: w.outcome,
	}
	return w
}

func (w *world) sealer() nts.Sealer {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := w.key
	return func(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sealed = append(w.sealed, cookie{a, string(c2s), string(s2c), key})
		return bytes.Repeat([]byte{0xc0}, 168), nil
	}
}

func (w *world) outcome(o Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outcomes = append(w.outcomes, o)
}

// kinds lists the outcomes so far.
func (w *world) kinds() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, o := range w.outcomes {
		names = append(names, o.Kind.String())
	}
	return strings.Join(names, " ")
}

func (w *world) lastCookie() cookie {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sealed[len(w.sealed)-1]
}

func (w *world) rotate(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.key = key
}

// start runs the server until the test ends.
func (w *world) start() *memnet.Listener {
	w.t.Helper()
	l, err := w.net.Listen(serverAddr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.config.Listener = l
	ctx, cancel := context.WithCancel(w.t.Context())
	w.stop = cancel
	done := make(chan struct{})
	go func() {
		w.served <- NewServer(w.config).Serve(ctx)
		close(done)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
	return l
}

// client is a client that finds the server by name.
func (w *world) request() ClientRequest {
	return ClientRequest{Host: "192.0.2.1", Roots: w.ca.Pool()}
}

func (w *world) client() *Client { return &Client{Dial: w.net.Dial} }

// raw is a TLS connection to the server on which a test says what it likes.
func (w *world) raw(change ...func(*tls.Config)) (*tls.Conn, error) {
	w.t.Helper()
	conn, err := w.net.Dial(w.t.Context(), "tcp", serverAddr)
	if err != nil {
		w.t.Fatal(err)
	}
	config := &tls.Config{RootCAs: w.ca.Pool(), ServerName: "192.0.2.1", NextProtos: []string{nts.ALPN}}
	for _, c := range change {
		c(config)
	}
	c := tls.Client(conn, config)
	w.t.Cleanup(func() { conn.Close() })
	return c, c.Handshake()
}

func (w *world) mustRaw(change ...func(*tls.Config)) *tls.Conn {
	w.t.Helper()
	c, err := w.raw(change...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func withCertificate(leaf *testcert.Leaf) func(*tls.Config) {
	return func(c *tls.Config) { c.Certificates = []tls.Certificate{leaf.TLS} }
}

func withoutALPN(c *tls.Config) { c.NextProtos = nil }

func say(t *testing.T, c net.Conn, digits string) {
	t.Helper()
	if _, err := c.Write(fromHex(digits)); err != nil {
		t.Fatal(err)
	}
}

// hear reads until the peer's close_notify.
func hear(t *testing.T, c net.Conn) []byte {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("after %x: %v", b, err)
	}
	return b
}

// hearMessage reads one message.
func hearMessage(t *testing.T, c net.Conn) []byte {
	t.Helper()
	var msg []byte
	for {
		head := make([]byte, nts.HeaderLen)
		if _, err := io.ReadFull(c, head); err != nil {
			t.Fatalf("after %x: %v", msg, err)
		}
		r, n := nts.ParseHeader([4]byte(head))
		body := make([]byte, n)
		if _, err := io.ReadFull(c, body); err != nil {
			t.Fatalf("after %x: %v", msg, err)
		}
		msg = append(append(msg, head...), body...)
		if r.Type == nts.TypeEndOfMessage {
			return msg
		}
	}
}

func wantEqual(t *testing.T, got []byte, digits string) {
	t.Helper()
	if want := fromHex(digits); !bytes.Equal(got, want) {
		t.Errorf("received %x, want %x", got, want)
	}
}

func fromHex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// fake is a key-exchange server that does as the test says.
type fake struct {
	net  memnet.Network
	ca   *testcert.CA
	leaf *testcert.Leaf
	tls  tls.Config
	talk func(*tls.Conn)

	mu      sync.Mutex
	request []byte // the last
}

func newFake(t *testing.T) *fake {
	f := &fake{ca: testcert.NewCA(t)}
	f.leaf = f.ca.Leaf([]string{"ke.example.net", "192.0.2.1"})
	f.tls.NextProtos = []string{nts.ALPN}
	return f
}

// answering makes the fake answer any request with these digits.
func (f *fake) answering(digits string) *fake {
	f.talk = func(c *tls.Conn) { c.Write(fromHex(digits)) }
	return f
}

func (f *fake) start(t *testing.T) {
	t.Helper()
	l, err := f.net.Listen(serverAddr)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	config := f.tls.Clone()
	config.Certificates = []tls.Certificate{f.leaf.TLS}
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				c := tls.Server(conn, config)
				b := make([]byte, 8192)
				n, err := c.Read(b)
				if err != nil {
					return
				}
				f.mu.Lock()
				f.request = b[:n]
				f.mu.Unlock()
				if f.talk != nil {
					f.talk(c)
				}
				c.Close()
			})
		}
	})
}

func (f *fake) received() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.request
}

func (f *fake) exchange(t *testing.T, change ...func(*ClientRequest)) (Result, error) {
	t.Helper()
	req := ClientRequest{Host: "192.0.2.1", Roots: f.ca.Pool()}
	for _, c := range change {
		c(&req)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return (&Client{Dial: f.net.Dial}).Exchange(ctx, req)
}

func poolOf(certs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}
