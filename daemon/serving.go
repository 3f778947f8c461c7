package daemon

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/daemon/serve"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/server"
)

// snapshotLife is how long a published snapshot may be served. The engine
// renews it far more often; past it the loop has died, and workers say that
// they are not synchronised.
const snapshotLife = 8 * engine.SnapshotInterval

// timeSnapshot is what NTP server workers need of an engine's snapshot.
func timeSnapshot(s *engine.Snapshot, precision int8) *server.TimeSnapshot {
	return &server.TimeSnapshot{
		Leap: s.Leap, Stratum: s.Stratum, RefID: s.RefID, Reference: s.Reference,
		RootDelay: s.RootDelay, RootDispersion: s.RootDispersion, DispersionRate: s.DispersionRate,
		Precision: precision, Mono: s.Mono, ValidUntil: s.Mono.Add(snapshotLife),
	}
}

// maxWorkers bounds the sockets that share an address, of which there is one for
// each worker: each holds memory for a batch of requests.
const maxWorkers = 16

// newServer makes the NTP server of all [[server]] sections and binds their
// addresses.
func (d *daemon) newServer() (*serve.Server, error) {
	c := d.Config
	cfg := serve.Config{Clock: d.Clock, Snapshot: &d.snapshot, Keys: &d.keys.current, Entropy: rand.Reader, Log: d.Log}
	var err error
	if cfg.Census, err = newCensus(c.Observability.ClientList); err != nil {
		return nil, cli.Exit(cli.Software, err)
	}
	for i := range c.Servers {
		policy, err := serverPolicy(&c.Servers[i])
		if err != nil {
			return nil, cli.Exit(cli.Config, fmt.Errorf("%v: %w", c.Servers[i].Pos, err))
		}
		cfg.Sections = append(cfg.Sections, serve.Section{
			Listen: c.Servers[i].Listen, Where: c.Servers[i].At("listen").String(), Policy: policy,
			Workers: min(max(1, d.Workers), maxWorkers), Given: d.Handed.UDP(c.Servers[i].Listen),
		})
	}
	s := serve.New(cfg)
	if err := s.Listen(); err != nil {
		code := cli.Software
		if errors.Is(err, serve.ErrPermission) {
			code = cli.NoPermission
		}
		return nil, cli.Exit(code, err)
	}
	return s, nil
}

// serverPolicy translates one [[server]] section.
func serverPolicy(s *config.Server) (server.Config, error) {
	access, err := server.NewAccessList(rule(&s.Denylist), rule(&s.Allowlist))
	if err != nil {
		return server.Config{}, err
	}
	limiter, err := server.NewRateLimiter(s.RateLimitingCacheSize, s.RateLimitingCutoff, rand.Reader)
	if err != nil {
		return server.Config{}, err
	}
	p := server.Config{Access: access, Limiter: limiter}
	switch s.RequireNTS {
	case config.RequireNothing:
	case config.RequireIgnore:
		p.RequireNTS = server.NTSOrIgnore
	case config.RequireDeny:
		p.RequireNTS = server.NTSOrDeny
	}
	for _, v := range s.AcceptNTPVersions {
		p.Versions = p.Versions.With(v)
	}
	return p, nil
}

// newCensus makes what remembers the servers' clients; nil remembers nobody.
func newCensus(how config.ClientList) (*server.Census, error) {
	switch how {
	case config.ClientsByAddress:
		return server.NewCensus(server.ScopeAddress, rand.Reader)
	case config.ClientsByNetwork:
		return server.NewCensus(server.ScopeNetwork, rand.Reader)
	default:
		return nil, nil
	}
}

func rule(l *config.AccessList) server.Rule {
	r := server.Rule{Filter: l.Filter, Action: server.Ignore}
	if l.Action == config.ActionDeny {
		r.Action = server.Deny
	}
	return r
}

// serverStats is what the observation socket says of the NTP servers.
func serverStats(c *config.Config, s *serve.Server) []observe.Server {
	out := make([]observe.Server, 0, len(c.Servers))
	for i, n := range s.Stats() {
		out = append(out, observe.Server{Address: c.Servers[i].Listen.String(), Stats: observe.Stats(n)})
	}
	return out
}

// addServed adds what the NTP servers tell beyond ntpd-rs' counters.
func addServed(own *observe.Own, s *serve.Server) {
	own.Verdicts, own.Drops = s.Verdicts(), s.Drops()
	if n, ok := s.Distinct(); ok {
		own.Clients = &n
	}
}

// readingTime is how long it takes to read the clock, as the precision of NTP
// headers: log2 seconds, rounded up.
func readingTime(clk clock.Clock) (int8, error) {
	const readings = 32
	least := proto.MaxDuration
	last, err := clk.Now()
	for range readings {
		var t proto.Timestamp
		if t, err = clk.Now(); err != nil {
			return 0, err
		}
		if d := t.Sub(last); d > 0 {
			least = min(least, d)
		}
		last = t
	}
	precision := int8(-32)
	for precision < 0 && proto.Second>>-precision < least {
		precision++
	}
	return precision, err
}
