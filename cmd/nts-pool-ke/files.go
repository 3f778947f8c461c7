package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/nts/ke"
)

// files are the certificates and the key that the configuration names. They
// can be read anew while the pool runs.
type files struct {
	cfg     *config.PoolConfig
	log     *slog.Logger
	current atomic.Pointer[material]
}

// material is one reading of the files.
type material struct {
	tls   *tls.Config
	pair  *ke.KeyPair
	roots *x509.CertPool
}

func newFiles(cfg *config.PoolConfig, log *slog.Logger) (*files, error) {
	f := &files{cfg: cfg, log: log}
	return f, f.load()
}

func (f *files) load() error {
	pair, err := ke.LoadKeyPair(f.cfg.CertificateChainPath, f.cfg.PrivateKeyPath, time.Now())
	if err != nil {
		return err
	}
	roots, err := ke.LoadRoots(f.cfg.CertificateAuthorityPath)
	if err != nil {
		return err
	}
	for _, w := range pair.Warnings {
		f.log.Warn(w)
	}
	f.current.Store(&material{
		tls:   &tls.Config{Certificates: []tls.Certificate{pair.TLS}},
		pair:  pair,
		roots: roots,
	})
	return nil
}

// reloadOnHangup reads the files anew at every SIGHUP. Files that cannot be
// used leave the pool with those that it has.
func (f *files) reloadOnHangup(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if err := f.load(); err != nil {
				f.log.Error("kept the certificates of before", "error", err)
				continue
			}
			f.log.Info("read the certificates anew")
		}
	}
}

func (f *files) serverConfig() *tls.Config     { return f.current.Load().tls }
func (f *files) certificate() *tls.Certificate { return &f.current.Load().pair.TLS }
func (f *files) roots() *x509.CertPool         { return f.current.Load().roots }
