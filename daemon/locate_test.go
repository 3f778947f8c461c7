package daemon

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/internal/testcert"
	"github.com/ntpd-go/ntpd-go/internal/testdns"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/nts/lookup"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// believing trusts one resolver.
func believing(at netip.AddrPort) func() (lookup.Resolvers, error) {
	return func() (lookup.Resolvers, error) { return lookup.Resolvers{Addrs: []netip.AddrPort{at}}, nil }
}

func TestOnlySecureRecordsReachTheEngine(t *testing.T) {
	record := srv.Record{Weight: 1, Port: 4461, Target: "a.example"}
	for name, c := range map[string]struct {
		edit  func(*dnsmessage.Message)
		want  int // records
		class engine.Class
		text  string
	}{
		"secure":          {func(*dnsmessage.Message) {}, 1, "", ""},
		"securely none":   {func(m *dnsmessage.Message) { m.Answers = nil }, 0, "", ""},
		"not secure":      {func(m *dnsmessage.Message) { m.AuthenticData = false }, 0, engine.ClassInsecureDNS, "not DNSSEC-secure"},
		"none, unproved":  {func(m *dnsmessage.Message) { m.AuthenticData, m.Answers = false, nil }, 0, engine.ClassInsecureDNS, "not DNSSEC-secure"},
		"bogus":           {func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeServerFailure }, 0, engine.ClassDNS, "SERVFAIL"},
		"bogus with data": {func(m *dnsmessage.Message) { m.RCode, m.AuthenticData = dnsmessage.RCodeServerFailure, true }, 0, engine.ClassDNS, "SERVFAIL"},
	} {
		t.Run(name, func(t *testing.T) {
			at := testdns.Serve(t, func(q dnsmessage.Message, _ string) *dnsmessage.Message {
				m := testdns.Records(q, 300, record)
				c.edit(m)
				return m
			})
			got := locator(believing(at))(t.Context(), engine.Locate{Request: 7, Domain: "pool.example"})
			if got.Request != 7 || len(got.Records) != c.want || got.Failure.Class != c.class || !strings.Contains(got.Failure.Text, c.text) {
				t.Errorf("%+v", got)
			}
			if c.want == 1 && got.TTL != 5*time.Minute {
				t.Errorf("good for %v", got.TTL)
			}
		})
	}
}

func TestLocateFailures(t *testing.T) {
	for name, c := range map[string]struct {
		resolvers func() (lookup.Resolvers, error)
		ask       engine.Locate
		class     engine.Class
		text      string
	}{
		"nobody is trusted": {func() (lookup.Resolvers, error) { return lookup.Resolvers{}, nil }, engine.Locate{Domain: "a.example"}, engine.ClassInsecureDNS, "trust-ad"},
		"unreadable":        {func() (lookup.Resolvers, error) { return lookup.Resolvers{}, errors.New("permission denied") }, engine.Locate{Domain: "a.example"}, engine.ClassDNS, "permission denied"},
		"no name":           {believing(netip.MustParseAddrPort("127.0.0.1:53")), engine.Locate{Domain: strings.Repeat("a", 300)}, engine.ClassDNS, "cannot be a name"},
		"through a proxy": {believing(netip.MustParseAddrPort("127.0.0.1:53")), engine.Locate{Domain: "a.example", Route: engine.Route{Proxy: "p"}},
			engine.ClassNotSupported, netio.ErrNotSupported.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			got := locator(c.resolvers)(t.Context(), c.ask)
			if got.Failure.Class != c.class || !strings.Contains(got.Failure.Text, c.text) || got.Records != nil {
				t.Errorf("%+v", got)
			}
		})
	}
}

// From the signed records to keys: the loop asks DNS, the engine draws, and the
// key exchange is made at the port of the record with the certificate of the
// target, not with that of the pool.
func TestCase52FromRecordsToKeys(t *testing.T) {
	ca := testcert.NewCA(t)
	for name, c := range map[string]struct {
		cert string // the server has it for this name
		want engine.Class
	}{
		"certificate of the target": {"member.example", ""},
		"certificate of the pool":   {"pool.example", engine.ClassCertName},
	} {
		t.Run(name, func(t *testing.T) {
			port := keyServerFor(t, ca, c.cert)
			at := testdns.Serve(t, func(q dnsmessage.Message, _ string) *dnsmessage.Message {
				if name := q.Questions[0].Name.String(); name != "_ntske._tcp.pool.example." {
					t.Errorf("asked for %s", name)
				}
				return testdns.Records(q, 60, srv.Record{Priority: 1, Port: 1, Target: "other.example"}, srv.Record{Port: port, Target: "Member.example"})
			})
			switch ev := keysThroughTheLoop(t, believing(at), ca.Pool()).(type) {
			case engine.KeysEstablished:
				if c.want != "" || len(ev.Cookies) != nts.MaxCookies || ev.Remote.Port() != port {
					t.Errorf("%d cookies from %v", len(ev.Cookies), ev.Remote)
				}
			case engine.KeyExchangeFailed:
				if ev.Failure.Class != c.want {
					t.Errorf("%+v", ev.Failure)
				}
			}
		})
	}
}

// keyServerFor runs a key exchange server whose certificate is for a name, and
// returns its port.
func keyServerFor(t *testing.T, ca *testcert.CA, name string, options ...testcert.Option) uint16 {
	t.Helper()
	l, err := ke.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{ca.Leaf([]string{name}, options...).TLS}}
	s := ke.NewServer(ke.ServerConfig{
		Listener: l, TLS: func() *tls.Config { return config },
		Seal: func() nts.Sealer {
			return func(aead.Algorithm, []byte, []byte) ([]byte, error) { return make([]byte, 100), nil }
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// onlyTheMember knows one name, as it is written where no search list applies.
func onlyTheMember(_ context.Context, host string) ([]netip.Addr, error) {
	if host != "member.example." {
		return nil, fmt.Errorf("there is no %s", host)
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// keysThroughTheLoop runs a loop with one source until its first key exchange
// is over.
func keysThroughTheLoop(t *testing.T, resolvers func() (lookup.Resolvers, error), roots *x509.CertPool) engine.Event {
	t.Helper()
	c, err := clock.NewSoftware(clock.SoftwareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	exchanged := make(chan engine.Event, 1)
	cfg := engine.Config{Sources: []engine.Source{{
		Name: "pool.example:4460", Mode: engine.ModeNTS, Host: "pool.example", Port: 1, SRV: true, PollMin: 4, PollMax: 10, PollStart: 4,
	}}}
	l, err := newLoop(loop{
		clock: c, now: func() (proto.Now, error) { return clock.Read(c) }, log: slog.New(slog.DiscardHandler),
		lookup: netio.Resolver{}.Lookup, locate: locator(resolvers),
		exchange: func(ctx context.Context, a engine.ExchangeKeys) engine.Event {
			ev := exchangeKeys(ctx, &ke.Client{Lookup: onlyTheMember}, a, roots)
			exchanged <- ev
			<-ctx.Done() // what follows is not for this test
			return ev
		},
		publish: func(engine.Snapshot) {}, observe: func(engine.Status, proto.Now) {},
		save: func(engine.State) error { return nil }, slewing: func(float64) {},
	}, cfg, engine.State{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.run(ctx) }()
	ev := <-exchanged
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return ev
}
