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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/activation"
	"github.com/ntpd-go/ntpd-go/daemon/apart"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/internal/version"
	"github.com/ntpd-go/ntpd-go/nts"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"github.com/ntpd-go/ntpd-go/proto/cookie"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// keyServers are what serves key exchanges: servers of this process, or a
// process of their own.
type keyServers struct {
	hosts []*keyHost // as config.NTSKEServers
	here  []*ke.Server
	apart *apart.Host
}

// newKeyServers makes a key-exchange server for each [[nts-ke-server]] section
// and binds their addresses.
func (d *daemon) newKeyServers(ctx context.Context) error {
	listeners, err := listenForKeys(ctx, d.Config, d.Handed)
	if err != nil {
		return err
	}
	f := d.files.Load()
	for i := range d.Config.NTSKEServers {
		d.ke.hosts = append(d.ke.hosts, &keyHost{counts: new(apart.Counts)})
		if d.Apart == "" {
			config := keyServerConfig(&d.Config.NTSKEServers[i], &f.keServer[i], d.ke.hosts[i], listeners[i], d.keys, d.keyExchangeOutcome)
			d.ke.here = append(d.ke.here, ke.NewServer(config))
		}
	}
	if d.Apart == "" || len(listeners) == 0 {
		return nil
	}
	defer closeAll(listeners) // the host has duplicates
	return d.newKeyProcess(f, listeners)
}

// newKeyProcess prepares the process that serves key exchanges.
func (d *daemon) newKeyProcess(f *files, listeners []*net.TCPListener) error {
	c := apart.Config{
		Program: d.Apart,
		Key:     func() []byte { return d.keys.current.Load().MarshalNewest() },
		Outcome: func(_ int, o ke.Outcome) {
			o.Detail = line(o.Detail)
			d.keyExchangeOutcome(o)
		},
		Line: line,
		Log:  d.Log,
	}
	for i := range listeners {
		s := &d.Config.NTSKEServers[i]
		c.Sections = append(c.Sections, apart.Section{
			Listener: listeners[i], Certificate: f.keServer[i].pair.TLS,
			Settings: apart.Settings{
				Timeout: s.KeyExchangeTimeout, Connections: s.ConcurrentConnections, Kept: s.LonglivedConnections,
				NTPServer: s.NTPServer, NTPPort: s.NTPPort, Authorise: authoriser(s, &f.keServer[i]),
				Verbose: d.Strange.Enabled(context.Background(), slog.LevelDebug),
			},
		})
	}
	h, err := apart.New(c)
	if err != nil {
		return cli.Exit(cli.Software, fmt.Errorf("could not prepare the process of the key exchange: %w", err))
	}
	for i, host := range d.ke.hosts {
		host.counts = h.Counts(i)
		host.elsewhere = func(c tls.Certificate) error { return h.Present(i, c) }
		end := f.keServer[i].pair.TLS.Leaf.NotAfter
		host.notAfter.Store(&end)
	}
	d.ke.apart, d.keys.renewed = h, h.Renewed
	return nil
}

// listenForKeys binds the address of each [[nts-ke-server]] section whose socket
// was not handed over, or none.
func listenForKeys(ctx context.Context, c *config.Config, handed *activation.Sockets) ([]*net.TCPListener, error) {
	var all []*net.TCPListener
	for i := range c.NTSKEServers {
		s := &c.NTSKEServers[i]
		var l *net.TCPListener
		var err error
		if f := handed.TCP(s.Listen); f != nil {
			l, err = ke.ListenerOf(f)
		} else {
			l, err = patiently(ctx, func() (*net.TCPListener, error) { return ke.Listen(ctx, s.Listen.String()) })
		}
		if err != nil {
			closeAll(all)
			return nil, cli.ListenError(s.At("listen").String(), "NTS key exchange", s.Listen, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// lingering is how long the process that served keys may stay when its daemon
// was killed, with the address that the next daemon needs.
const lingering = time.Second

// patiently listens, and waits for an address that is in use: whoever starts a
// daemon again at once after a SIGKILL is not told that it runs already.
func patiently(ctx context.Context, listen func() (*net.TCPListener, error)) (*net.TCPListener, error) {
	const pause = 20 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		l, err := listen()
		if !errors.Is(err, syscall.EADDRINUSE) || waited >= lingering {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

func closeAll(listeners []*net.TCPListener) {
	for _, l := range listeners {
		l.Close()
	}
}

// authoriser knows the pools of one section.
func authoriser(s *config.NTSKEServer, m *material) *ke.Authoriser {
	return ke.NewAuthoriser(tokens(s.AcceptedPoolAuthenticationTokens), m.pools)
}

func keyServerConfig(s *config.NTSKEServer, m *material, host *keyHost, l net.Listener, keys *keyring, outcome func(ke.Outcome)) ke.ServerConfig {
	_ = host.present(m.pair) // which cannot fail here
	return ke.ServerConfig{
		Listener:  l,
		TLS:       host.tls.Load,
		Seal:      func() nts.Sealer { return sealer(keys.current.Load().Newest()) },
		Authorise: authoriser(s, m),
		Outcome: func(o ke.Outcome) {
			host.counts[o.Kind].Add(1)
			outcome(o)
		},
		NTPServer:             s.NTPServer,
		NTPPort:               s.NTPPort,
		Timeout:               s.KeyExchangeTimeout,
		ConcurrentConnections: s.ConcurrentConnections,
		LongLivedConnections:  s.LonglivedConnections,
	}
}

// sealer makes cookies with one cookie key.
func sealer(key cookie.Sealer) nts.Sealer {
	return func(a aead.Algorithm, c2s, s2c []byte) ([]byte, error) {
		var nonce [cookie.NonceLen]byte
		if _, err := rand.Read(nonce[:]); err != nil {
			return nil, err
		}
		return key.Seal(nil, cookie.Contents{Algorithm: a, C2S: c2s, S2C: s2c}, nonce[:])
	}
}

func tokens(secrets []config.Secret) []string {
	out := make([]string, len(secrets))
	for i, s := range secrets {
		out[i] = s.Reveal()
	}
	return out
}

// exchanger makes key exchanges for the engine, with the authorities of the
// moment, and judges certificates by the clock that is steered: where that is
// not the machine's, the machine's may be wrong for ever.
func exchanger(f *atomic.Pointer[files], proxies *netio.Proxies, c clock.Clock) func(context.Context, engine.ExchangeKeys) engine.Event {
	client := &ke.Client{Now: calendar(c)}
	return func(ctx context.Context, a engine.ExchangeKeys) engine.Event {
		now := f.Load()
		roots, err := now.rootsFor(a.Authority)
		if err != nil {
			return engine.KeyExchangeFailed{Request: a.Request, Failure: engine.Failure{Class: engine.ClassOther, Text: err.Error()}}
		}
		if a.Route.Proxy != "" {
			return exchangeKeysByProxy(ctx, proxies, client.Now, a, roots)
		}
		ev := exchangeKeys(ctx, client, a, roots)
		if keys, ok := ev.(engine.KeysEstablished); ok {
			keys.Trust = now.trust[a.Authority]
			return keys
		}
		return ev
	}
}

// calendar is the time that a clock shows. Its era is that in which this
// program was made.
func calendar(c clock.Clock) func() time.Time {
	return func() time.Time {
		at, err := c.Now()
		if err != nil {
			return time.Now() // what cannot be read is not steered either
		}
		return at.TimeNear(version.Floor())
	}
}

func exchangeKeys(ctx context.Context, client *ke.Client, a engine.ExchangeKeys, roots *x509.CertPool) engine.Event {
	host := a.Host
	if a.Absolute {
		host = nts.Rooted(host)
	}
	r, err := client.Exchange(ctx, ke.ClientRequest{Host: host, Port: a.Port, Deny: a.Deny, Roots: roots, Earliest: a.Earliest})
	if err != nil {
		return engine.KeyExchangeFailed{Request: a.Request, Failure: exchangeFailure(err)}
	}
	ev := engine.KeysEstablished{
		Request: a.Request, Server: r.Server, Port: r.Port, Remote: r.Remote, Algorithm: r.Algorithm,
		C2S: engine.Secret(r.C2S), S2C: engine.Secret(r.S2C), NotAfter: r.CertificateNotAfter,
	}
	switch {
	case r.ServerNamed:
	case a.Route.Proxy != "":
		ev.Server = a.Host // only the proxy knows its address
	default:
		// "the client SHALL interpret this as a directive to associate with an
		// NTPv4 server at the same IP address" (RFC 8915 section 4.1.7).
		ev.Server = r.Remote.Addr().String()
	}
	if !a.Earliest.IsZero() {
		ev.Provisional, ev.NotBefore, ev.NotAfter = r.Provisional, r.Validity.NotBefore, r.Validity.NotAfter
	}
	for _, c := range r.Cookies {
		ev.Cookies = append(ev.Cookies, engine.Secret(c))
	}
	return ev
}

// exchangeKeysByProxy makes a key exchange through a SOCKS5 proxy, which looks up
// the name. It is of no use if the proxy does not relay NTP as well.
func exchangeKeysByProxy(ctx context.Context, proxies *netio.Proxies, now func() time.Time, a engine.ExchangeKeys, roots *x509.CertPool) engine.Event {
	if err := proxies.Relays(ctx, a.Route.Proxy); err != nil {
		return engine.KeyExchangeFailed{Request: a.Request, Failure: netio.Failure(err)}
	}
	client := &ke.Client{
		Now:    now,
		Lookup: func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{proxies.Alias(a.Host)}, nil },
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return proxies.Connect(ctx, a.Route.Proxy, a.Host, a.Port)
		},
	}
	return exchangeKeys(ctx, client, a, roots)
}

// classes translates why a key exchange failed.
var classes = map[ke.Class]engine.Class{
	ke.ClassNetwork:              engine.ClassNetwork,
	ke.ClassDNS:                  engine.ClassDNS,
	ke.ClassRefused:              engine.ClassRefused,
	ke.ClassTimeout:              engine.ClassTimeout,
	ke.ClassCancelled:            engine.ClassOther,
	ke.ClassTLS:                  engine.ClassTLS,
	ke.ClassCertificate:          engine.ClassTLS,
	ke.ClassCertificateExpired:   engine.ClassCertExpired,
	ke.ClassCertificateAuthority: engine.ClassCertUnknown,
	ke.ClassCertificateName:      engine.ClassCertName,
	ke.ClassCertificateSelf:      engine.ClassCertUnknown,
	ke.ClassALPN:                 engine.ClassALPN,
	ke.ClassProtocol:             engine.ClassProtocol,
	ke.ClassServerError:          engine.ClassRemote,
	ke.ClassNoOverlap:            engine.ClassNoOverlap,
}

func exchangeFailure(err error) engine.Failure {
	if e, ok := errors.AsType[*ke.Error](err); ok {
		switch {
		case e.Class == ke.ClassServerError && e.Code == nts.UnrecognizedCriticalRecord:
			return engine.Failure{Class: engine.ClassRejected, Text: e.Error()}
		case e.Class == ke.ClassServerError && e.Code == nts.BadRequest:
			return engine.Failure{Class: engine.ClassBadRequest, Text: e.Error()}
		}
		if class, known := classes[e.Class]; known {
			return engine.Failure{Class: class, Text: e.Error()}
		}
	}
	return engine.Failure{Class: engine.ClassOther, Text: err.Error()}
}
