package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/internal/monitor"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/nts/pool"
)

// running is a pool and the settings that it runs on at the moment.
type running struct {
	path    string
	log     *slog.Logger
	current atomic.Pointer[settings]
	pool    *pool.Pool
	access  *accessLog    // or nil
	domains chan struct{} // holds a value when the domains to discover have changed
	found   findings      // of the goroutine that discovers

	mu         sync.Mutex
	listed     []pool.Source // that were discovered
	discovered time.Time     // when that last worked
	discovery  error         // why it does not
	problem    error         // why what is in the files is not in effect
}

func (r *running) serverConfig() *tls.Config     { return r.current.Load().tls }
func (r *running) certificate() *tls.Certificate { return &r.current.Load().pair.TLS }
func (r *running) roots() *x509.CertPool         { return r.current.Load().roots }

// reloadOn reads the configuration and its files anew at every signal, until
// ctx ends.
func (r *running) reloadOn(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			r.reloadAndSay()
			if r.access == nil {
				continue
			}
			if err := r.access.reopen(); err != nil {
				r.log.Error("could not open the access log anew", "code", "log-file", "error", err)
			}
		}
	}
}

func (r *running) reloadAndSay() {
	err := r.reload()
	r.mu.Lock()
	r.problem = err
	r.mu.Unlock()
	if err != nil {
		r.log.Error("kept the configuration of before", "code", "pool-config", "error", err)
	}
}

// setSources gives the pool the sources of the files and those that were
// discovered.
func (r *running) setSources() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	static := r.current.Load().sources
	return r.pool.SetSources(append(static[:len(static):len(static)], r.listed...))
}

// reload takes over what is in the files now, all of it or, if something in
// them is wrong, nothing.
func (r *running) reload() error {
	before := r.current.Load()
	after, err := read(r.path)
	if err != nil {
		return err
	}
	for _, w := range after.warnings {
		r.log.Warn(w, "code", "pool-config")
	}
	for _, key := range []struct {
		name    string
		changed bool
	}{
		{"listen", after.cfg.Listen != before.cfg.Listen},
		{"concurrent-connections", after.cfg.ConcurrentConnections != before.cfg.ConcurrentConnections},
		{"key-exchange-timeout-ms", after.cfg.KeyExchangeTimeout != before.cfg.KeyExchangeTimeout},
		{"log-level", after.cfg.LogLevel != before.cfg.LogLevel},
		{"balancers", !slices.Equal(after.cfg.Balancers, before.cfg.Balancers)},
		{"reload-seconds", after.cfg.ReloadInterval != before.cfg.ReloadInterval},
		{"status-path", after.cfg.StatusPath != before.cfg.StatusPath || after.cfg.StatusPermissions != before.cfg.StatusPermissions},
		{"metrics-listen", after.cfg.MetricsListen != before.cfg.MetricsListen},
		{"access-log-path", after.cfg.AccessLogPath != before.cfg.AccessLogPath || after.cfg.AccessLogAddresses != before.cfg.AccessLogAddresses},
	} {
		if key.changed {
			r.log.Warn(fmt.Sprintf("%s has changed in %s; it takes effect at the next start", key.name, r.path), "code", "pool-config")
		}
	}
	// What is compared with the next reading is what is in effect.
	after.cfg.Listen, after.cfg.ConcurrentConnections = before.cfg.Listen, before.cfg.ConcurrentConnections
	after.cfg.KeyExchangeTimeout, after.cfg.LogLevel = before.cfg.KeyExchangeTimeout, before.cfg.LogLevel
	after.cfg.Balancers, after.cfg.ReloadInterval = before.cfg.Balancers, before.cfg.ReloadInterval
	after.cfg.StatusPath, after.cfg.StatusPermissions, after.cfg.MetricsListen = before.cfg.StatusPath, before.cfg.StatusPermissions, before.cfg.MetricsListen
	after.cfg.AccessLogPath, after.cfg.AccessLogAddresses = before.cfg.AccessLogPath, before.cfg.AccessLogAddresses

	r.current.Store(after)
	if err := r.setSources(); err != nil {
		r.current.Store(before)
		return err
	}
	r.pool.SetRules(after.rules())
	select {
	case r.domains <- struct{}{}:
	default:
	}
	if !sameCertificates(before, after) {
		r.pool.Renew()
	}
	r.log.Info("read the configuration anew", "sources", len(after.sources))
	return nil
}

// sameCertificates reports whether connections that exist are what new ones
// would be.
func sameCertificates(a, b *settings) bool {
	return a.roots.Equal(b.roots) && len(a.pair.TLS.Certificate) > 0 && len(b.pair.TLS.Certificate) > 0 &&
		bytes.Equal(a.pair.TLS.Certificate[0], b.pair.TLS.Certificate[0])
}

// serve runs the pool until SIGTERM or SIGINT. The clients that are there then
// are still served; a second signal ends that.
func (f *flags) serve(ctx context.Context, s *settings) error {
	log, err := openLog(f.level)
	if err != nil {
		return err
	}
	for _, w := range s.warnings {
		log.Warn(w, "code", "pool-config")
	}
	listener, err := ke.Listen(ctx, s.cfg.Listen.String())
	if err != nil {
		return cli.ListenError(s.cfg.At("listen").String(), "NTS key exchange", s.cfg.Listen, err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	r := &running{path: f.config, log: log.Logger, domains: make(chan struct{}, 1)}
	r.current.Store(s)
	sources, again, err := r.firstSources(ctx, s)
	if err != nil {
		return cli.Exit(cli.Software, err)
	}
	var access func(pool.Access)
	if s.cfg.AccessLogPath != "" {
		if r.access, err = openAccessLog(s.cfg.AccessLogPath, s.cfg.AccessLogAddresses); err != nil {
			return cli.Exit(cli.Software, fmt.Errorf("%v: the access log cannot be written: %w", s.cfg.AtObservability("access-log-path"), cli.Absolute(err)))
		}
		access = r.access.note
	}
	r.pool, err = pool.New(pool.Config{
		Listener:    listener,
		TLS:         r.serverConfig,
		Roots:       r.roots,
		Client:      &ke.Client{Certificate: r.certificate},
		Sources:     sources,
		Rules:       s.rules(),
		Balancers:   s.cfg.Balancers,
		Access:      access,
		Timeout:     s.cfg.KeyExchangeTimeout,
		Connections: affordable(s, log.Logger),
		Log:         log.Logger,
		Strange:     log.Limited(),
	})
	if err != nil {
		return cli.Exit(cli.Software, err)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	behind, stopBehind := context.WithCancel(context.Background())
	defer stopBehind() // after the last client
	if err := r.operate(behind, s); err != nil {
		return err
	}
	go r.reloadOn(ctx, hangup)
	go watchFiles(ctx, s.cfg.ReloadInterval, r.current.Load, r.reloadAndSay)
	go r.discover(ctx, again)
	monitor.Calm()
	go tendMemory(ctx, r.pool.Connected)
	if err := r.pool.Serve(ctx); err != nil {
		return cli.Exit(cli.Software, fmt.Errorf("abnormal termination of the pool: %w", err))
	}
	return nil
}

// firstSources are the sources to start with. Those in DNS are waited for.
func (r *running) firstSources(ctx context.Context, s *settings) ([]pool.Source, time.Duration, error) {
	again := pool.DiscoverAtMost
	if len(s.cfg.DiscoveryDomains) > 0 {
		again, r.discovery = r.found.lookup(ctx, s)
		if r.listed = r.found.sources(s); r.discovery == nil {
			r.discovered = time.Now()
		}
	}
	sources := append(s.sources[:len(s.sources):len(s.sources)], r.listed...)
	switch {
	case len(sources) == 0:
		return nil, 0, fmt.Errorf("there is no time source: %w", r.discovery)
	case r.discovery != nil:
		r.log.Warn("the list of time sources in DNS cannot be used", "code", "pool-discovery", "error", r.discovery)
	}
	return sources, again, nil
}

// operate opens what the pool is watched by, until ctx ends.
func (r *running) operate(ctx context.Context, s *settings) error {
	if s.cfg.StatusPath != "" {
		l, err := observe.ListenAs("status socket", "status-path", s.cfg.StatusPath, fs.FileMode(s.cfg.StatusPermissions))
		if err != nil {
			return cli.Exit(cli.Software, err)
		}
		go serveStatus(ctx, l, r.status)
	}
	if s.cfg.MetricsListen.IsValid() {
		l, err := ke.Listen(ctx, s.cfg.MetricsListen.String())
		if err != nil {
			return cli.ListenError(s.cfg.AtObservability("metrics-listen").String(), "metrics", s.cfg.MetricsListen, err)
		}
		go func() {
			if err := serveMetrics(ctx, l, r.status); err != nil {
				r.log.Error("metrics are no longer served", "code", "pool-metrics", "error", err)
			}
		}()
	}
	if r.access != nil {
		go r.access.run(ctx)
	}
	return nil
}

// Descriptors that are not for clients: for the process itself, and for each
// time source.
const (
	ownDescriptors    = 32
	sourceDescriptors = 2
)

// affordable is the number of clients that this process has descriptors for.
// Go raises the soft limit to the hard one at the start. Whoever asked for more
// is warned.
func affordable(s *settings, log *slog.Logger) int {
	wanted, sources := s.cfg.ConcurrentConnections, len(s.sources)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return wanted
	}
	left := int(min(limit.Cur, 1<<30)) - ownDescriptors - sourceDescriptors*sources
	if left >= wanted {
		return wanted
	}
	left = max(left, 1)
	level := slog.LevelInfo
	if s.cfg.Has("concurrent-connections") {
		level = slog.LevelWarn
	}
	log.Log(context.Background(), level, fmt.Sprintf("only %d clients can be connected at once, because the limit of open files is %d; raise it (LimitNOFILE in the unit) or lower concurrent-connections",
		left, limit.Cur), "code", "pool-config")
	return left
}

var errNoConfig = errors.New("no configuration path specified; name the file with -c FILE")
