package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/netip"
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

// TestAnswersFromTheAddressThatWasAsked: the client's sockets are connected, so
// that an answer from another address would not arrive.
func TestAnswersFromTheAddressThatWasAsked(t *testing.T) {
	for _, test := range []struct {
		listen string
		asked  []string
	}{
		{"0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2", "127.9.8.7"}},
		{"[::]:0", []string{"127.0.0.1", "127.0.0.2", "::1"}},
		{"127.0.0.3:0", []string{"127.0.0.3"}},
		{"[::1]:0", []string{"::1"}},
	} {
		t.Run(test.listen, func(t *testing.T) {
			s := start(t, config(t, realtime{}, Section{Listen: netip.MustParseAddrPort(test.listen), Policy: policy}))
			for i, a := range test.asked {
				c := dial(t, at(a, s.Addrs()[0]))
				h := ask(t, c, request(4, proto.Timestamp(1000+i)))
				if h.Mode != proto.ModeServer || h.Version != 4 || h.Stratum != 2 || h.Poll != 6 || h.Origin != proto.Timestamp(1000+i) {
					t.Errorf("%s answered %+v", a, h)
				}
			}
			if got := s.Stats()[0]; got.AcceptedPackets != uint64(len(test.asked)) {
				t.Errorf("counted %+v", got)
			}
		})
	}
}
