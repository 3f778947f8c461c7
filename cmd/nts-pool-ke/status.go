package main

import (
	"context"
	"encoding/json"
	"net"
	"time"

	"github.com/ntpd-go/ntpd-go/internal/version"
	"github.com/ntpd-go/ntpd-go/nts/pool"
)

const (
	statusReaders = 8 // at once
	statusTimeout = 5 * time.Second
)

// status is that of the pool and of its settings.
func (r *running) status() pool.Status {
	s := r.pool.Status()
	s.Version = version.Release
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.current.Load()
	s.Settings = pool.Settings{Read: now.read, CertificateNotAfter: now.notAfter}
	if r.problem != nil {
		s.Settings.Error = r.problem.Error()
	}
	if now.geo != nil {
		s.Settings.GeoBuilt = time.Unix(now.geo.Built(), 0).UTC()
	}
	s.Settings.Discovered = r.discovered
	if r.discovery != nil {
		s.Settings.DiscoveryError = r.discovery.Error()
	}
	return s
}

// serveStatus writes the status as JSON to whoever connects, until ctx ends.
func serveStatus(ctx context.Context, l net.Listener, status func() pool.Status) {
	context.AfterFunc(ctx, func() { l.Close() })
	busy := make(chan struct{}, statusReaders)
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			time.Sleep(100 * time.Millisecond) // no descriptors; it passes
			continue
		}
		select {
		case busy <- struct{}{}:
			go func() {
				defer func() { <-busy }()
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(statusTimeout))
				_ = json.NewEncoder(conn).Encode(status())
			}()
		default:
			conn.Close()
		}
	}
}
