package pool

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/memnet"
	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/internal/testlog"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
)

const (
	poolAddr = "192.0.2.1:4460"
	eom      = "8000 0000"
	ordinary = "8001 0002 0000 8004 0002 000f"
)

// world is a pool, its time sources and a network between them.
type world struct {
	t        *testing.T
	net      memnet.Network
	ca       *testcert.CA
	own      *testcert.Leaf // the pool's certificate
	sources  []*source
	change   func(*Config) // before the pool is made, or nil
	log      testlog.Buffer
	level    slog.Level
	pool     *Pool
	stop     func() // of the pool, gracefully
	end      func() // of everything
	running  sync.WaitGroup
	listener *memnet.Listener

	mu     sync.Mutex
	called map[string]int // dials of the pool, by address
}

func newWorld(t *testing.T) *world {
	ca := testcert.NewCA(t)
	return &world{t: t, ca: ca, own: ca.Leaf([]string{"192.0.2.1"})}
}

// add adds a source called s0.example.net, s1.example.net, ...
func (w *world) add(change ...func(*source)) *source {
	i := len(w.sources)
	s := &source{
		name:     fmt.Sprintf("s%d.example.net", i),
		addr:     fmt.Sprintf("192.0.2.%d:4460", 10+i),
		dialects: []nts.Dialect{nts.IANA, nts.Draft, nts.ClientCertificate},
	}
	s.leaf = w.ca.Leaf([]string{s.name})
	for _, c := range change {
		c(s)
	}
	w.sources = append(w.sources, s)
	return s
}

// start runs the sources and the pool until the test ends.
func (w *world) start() {
	w.t.Helper()
	var config Config
	for _, s := range w.sources {
		config.Sources = append(config.Sources, s.asSource())
		if !s.down {
			w.listen(s)
		}
	}
	l, err := w.net.Listen(poolAddr)
	if err != nil {
		w.t.Fatal(err)
	}
	tlsConfig := &tls.Config{Certificates: []tls.Certificate{w.own.TLS}}
	config.Listener, w.listener = l, l
	config.TLS = func() *tls.Config { return tlsConfig }
	config.Roots = w.ca.Pool
	config.Uniform = func(uint64) uint64 { return 0 } // in the order of the file
	config.Client = &ke.Client{
		Dial: w.dial, Lookup: w.lookup,
		Certificate: func() *tls.Certificate { return &w.own.TLS },
	}
	config.Log = w.logger()
	if w.change != nil {
		w.change(&config)
	}
	p, err := New(config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.pool = p
	ctx, cancel := context.WithCancel(w.t.Context())
	w.running.Go(func() {
		if err := p.Serve(ctx); err != nil {
			w.t.Error(err)
		}
	})
	w.stop = cancel
	w.end = sync.OnceFunc(func() {
		cancel()
		for _, s := range w.sources {
			w.die(s)
		}
		w.running.Wait()
		w.keysWentToOneSource()
	})
	w.t.Cleanup(w.end)
}

// keysWentToOneSource judges every run by what the sources have recorded: no
// keys were seen by two of them.
func (w *world) keysWentToOneSource() {
	owner := make(map[string]string)
	for _, s := range w.sources {
		for _, q := range s.fixedKeys() {
			keys := string(q.C2S) + string(q.S2C)
			if other := owner[keys]; other != "" && other != s.name {
				w.t.Errorf("%s and %s have the same keys", other, s.name)
			}
			owner[keys] = s.name
		}
	}
}

// listen starts a source.
func (w *world) listen(s *source) {
	w.t.Helper()
	for _, addr := range []string{s.addr, s.addr6} {
		if addr == "" {
			continue
		}
		l, err := w.net.Listen(addr)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { l.Close() })
		w.running.Go(func() { s.serve(l, &w.running) })
	}
}

// die ends a source with all its connections.
func (w *world) die(s *source) {
	w.net.Close(s.addr)
	if s.addr6 != "" {
		w.net.Close(s.addr6)
	}
	s.hangUp()
}

func (s *source) asSource() Source {
	out := Source{Domain: s.name, Port: 4460, Weight: 1}
	if s.token != "" {
		out.Token = nts.Secret(s.token)
	}
	return out
}

// turn changes a source that runs.
func (s *source) turn(change func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// hangUp closes all connections of a source.
func (s *source) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.NetConn().Close()
	}
	clear(s.open)
}

// all is all requests that the source has received.
func (s *source) all() []nts.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// openNow is how many connections the source has.
func (s *source) openNow() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *source) fixedKeys() []nts.FixedKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []nts.FixedKey
	for _, req := range s.requests {
		if q, ok := req.(nts.FixedKey); ok {
			list = append(list, q)
		}
	}
	return list
}

// connections is how many the source has accepted, and how many of them
// resumed a session.
func (s *source) connections() (accepted, resumed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns, s.resumed
}

// dial counts the connections that the pool tries to make.
func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	if w.called == nil {
		w.called = make(map[string]int)
	}
	w.called[addr]++
	w.mu.Unlock()
	return w.net.Dial(ctx, network, addr)
}

func (w *world) dials(s *source) int { return w.dialsTo(s.addr) }

func (w *world) dialsTo(addr string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.called[addr]
}

// wantDenied wants an error for a client that denies some servers.
func (w *world) wantDenied(names ...string) {
	w.t.Helper()
	got, err := w.exchange(func(r *ke.ClientRequest) { r.Deny = names })
	var e *ke.Error
	if !errors.As(err, &e) || e.Code != nts.InternalServerError {
		w.t.Errorf("%+v, %v", got, err)
	}
}

func (w *world) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{
		Level: w.level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func (w *world) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	for _, s := range w.sources {
		if s.name == host {
			addrs := []netip.Addr{netip.MustParseAddrPort(s.addr).Addr()}
			if s.addr6 != "" {
				addrs = append(addrs, netip.MustParseAddrPort(s.addr6).Addr())
			}
			return addrs, nil
		}
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// exchange is an ordinary client of the pool.
func (w *world) exchange(change ...func(*ke.ClientRequest)) (ke.Result, error) {
	req := ke.ClientRequest{Host: "192.0.2.1", Roots: w.ca.Pool(), Algorithms: []aead.Algorithm{15}}
	for _, c := range change {
		c(&req)
	}
	return (&ke.Client{Dial: w.net.Dial}).Exchange(w.t.Context(), req)
}

// ask sends digits to the pool and returns all that it answers.
func (w *world) ask(digits string) []byte {
	w.t.Helper()
	conn, err := w.net.Dial(w.t.Context(), "tcp", poolAddr)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	c := tls.Client(conn, &tls.Config{RootCAs: w.ca.Pool(), ServerName: "192.0.2.1", NextProtos: []string{nts.ALPN}})
	if _, err := c.Write(fromHex(digits)); err != nil {
		w.t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

func (w *world) wantAnswer(question, answer string) {
	w.t.Helper()
	if got := w.ask(question); !bytes.Equal(got, fromHex(answer)) {
		w.t.Errorf("answered %x, want %s", got, answer)
	}
}

func fromHex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

func healthOf(l *leg) health {
	h, _ := l.health(time.Now())
	return h
}
