package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/ntpd-go/ntpd-go/internal/cli"
	"github.com/ntpd-go/ntpd-go/nts/ke"
	"github.com/ntpd-go/ntpd-go/nts/pool"
)

// running is a pool and the settings that it runs on at the moment.
type running struct {
	path    string
	log     *slog.Logger
	current atomic.Pointer[settings]
	pool    *pool.Pool
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
			if err := r.reload(); err != nil {
				r.log.Error("kept the configuration of before", "error", err)
			}
		}
	}
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
		r.log.Warn(w)
	}
	for _, key := range []struct {
		name    string
		changed bool
	}{
		{"listen", after.cfg.Listen != before.cfg.Listen},
		{"concurrent-connections", after.cfg.ConcurrentConnections != before.cfg.ConcurrentConnections},
		{"key-exchange-timeout-ms", after.cfg.KeyExchangeTimeout != before.cfg.KeyExchangeTimeout},
		{"log-level", after.cfg.LogLevel != before.cfg.LogLevel},
	} {
		if key.changed {
			r.log.Warn(fmt.Sprintf("%s has changed in %s; it takes effect at the next start", key.name, r.path))
		}
	}
	// What is compared with the next reading is what is in effect.
	after.cfg.Listen, after.cfg.ConcurrentConnections = before.cfg.Listen, before.cfg.ConcurrentConnections
	after.cfg.KeyExchangeTimeout, after.cfg.LogLevel = before.cfg.KeyExchangeTimeout, before.cfg.LogLevel

	r.current.Store(after)
	if err := r.pool.SetSources(after.sources); err != nil {
		return err
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
		log.Warn(w)
	}
	listener, err := ke.Listen(ctx, s.cfg.Listen.String())
	if err != nil {
		return cli.ListenError(s.cfg.At("listen").String(), "NTS key exchange", s.cfg.Listen, err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	r := &running{path: f.config, log: log.Logger}
	r.current.Store(s)
	r.pool, err = pool.New(pool.Config{
		Listener:    listener,
		TLS:         r.serverConfig,
		Roots:       r.roots,
		Client:      &ke.Client{Certificate: r.certificate},
		Sources:     s.sources,
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
	go r.reloadOn(ctx, hangup)
	go tendMemory(ctx, r.pool.Connected)
	if err := r.pool.Serve(ctx); err != nil {
		return cli.Exit(cli.Software, fmt.Errorf("abnormal termination of the pool: %w", err))
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
		left, limit.Cur))
	return left
}

var errNoConfig = errors.New("no configuration path specified; name the file with -c FILE")
