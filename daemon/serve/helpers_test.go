package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// realtime is a clock like System: CLOCK_REALTIME itself.
type realtime struct{}

func (realtime) Now() (proto.Timestamp, error) { return proto.FromTime(time.Now()), nil }
func (realtime) Convert(t proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
	return t, 0, nil
}

// shifted is a clock that runs elsewhere than CLOCK_REALTIME.
type shifted struct{ by proto.Duration }

func (c shifted) Now() (proto.Timestamp, error) { return proto.FromTime(time.Now()).Add(c.by), nil }
func (c shifted) Convert(t proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
	return t.Add(c.by), 0, nil
}

// broken is a clock that cannot be read.
type broken struct{}

var errBroken = errors.New("no clock")

func (broken) Now() (proto.Timestamp, error) { return 0, errBroken }
func (broken) Convert(proto.Timestamp) (proto.Timestamp, proto.Duration, error) {
	return 0, 0, errBroken
}

// policy answers everyone.
var policy = server.Config{Versions: server.Version3And4}

// config is a configuration that serves sections by a clock, synchronised at
// stratum 2.
func config(t testing.TB, clock Clock, sections ...Section) Config {
	t.Helper()
	keys, err := cookie.NewKeyset(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Sections: sections, Clock: clock, Entropy: rand.Reader, Log: slog.New(slog.DiscardHandler),
		Snapshot: new(atomic.Pointer[server.TimeSnapshot]), Keys: new(atomic.Pointer[cookie.Keyset]),
	}
	cfg.Keys.Store(keys)
	cfg.Snapshot.Store(&server.TimeSnapshot{Stratum: 2, RefID: proto.RefIDText("TEST"), Precision: -23, ValidUntil: proto.Never})
	return cfg
}

// start serves until the test ends.
func start(t testing.TB, cfg Config) *Server {
	t.Helper()
	s := New(cfg)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Serve(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

// dial opens a client socket that hears only the address it asks.
func dial(t testing.TB, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// request is a client's request with a transmit timestamp.
func request(version uint8, transmit proto.Timestamp) []byte {
	h := proto.Header{Version: version, Mode: proto.ModeClient, Poll: 6, Transmit: transmit}
	return h.Append(nil)
}

// ask sends a request and returns the answer.
func ask(t testing.TB, c *net.UDPConn, payload []byte) proto.Header {
	t.Helper()
	if _, err := c.Write(payload); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	h, err := proto.ParseHeader(buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// at is an address with the port of another.
func at(addr string, port netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port.Port())
}

// listening is a section that listens on an address and answers everyone.
func listening(listen string) Section {
	return Section{Listen: netip.MustParseAddrPort(listen), Where: "test", Policy: policy}
}

// journal is a log that a test waits for.
type journal struct{ lines chan string }

func newJournal() *journal { return &journal{make(chan string, 100)} }

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func (j *journal) Write(b []byte) (int, error) {
	j.lines <- string(b)
	return len(b), nil
}

// wait returns the next line, which must hold a text.
func (j *journal) wait(t testing.TB, text string) string {
	t.Helper()
	select {
	case line := <-j.lines:
		if !strings.Contains(line, text) {
			t.Fatalf("%q is not in %q", text, line)
		}
		return line
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing was said; want %q", text)
		return ""
	}
}
