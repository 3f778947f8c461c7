package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/internal/cli"
)

// Limits, as ntpd-rs' exporter has them.
const (
	maxConnections = 100
	maxHeader      = 2048
	patience       = time.Second
	retryInterval  = 60 * time.Second // for an address that does not exist yet
)

// exporter serves metrics over HTTP.
type exporter struct {
	socket  string
	listen  netip.AddrPort
	log     *slog.Logger
	strange *slog.Logger // for what clients can cause
	notify  string
}

// run serves until the context ends. An address that does not exist yet is
// waited for; any other reason why it cannot be served ends it.
func (e *exporter) run(ctx context.Context) error {
	for said := false; ; said = true {
		l, err := net.Listen("tcp", e.listen.String())
		switch {
		case err == nil:
			e.log.Info("starting ntp-metrics-exporter on " + l.Addr().String())
			if err := cli.Notify(e.notify, "READY=1"); err != nil {
				e.log.Warn("could not tell the service manager that the exporter is ready", "code", "service-manager", "error", err)
			}
			return e.serve(ctx, l)
		case !errors.Is(err, syscall.EADDRNOTAVAIL):
			return cli.ListenError("metrics-exporter-listen", "metrics", e.listen, err)
		case !said:
			e.log.Warn("the address of metrics-exporter-listen does not exist on this machine; waiting for it", "code", "address-missing", "listen", e.listen.String())
		}
		wait := time.NewTimer(retryInterval)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
	}
}

func (e *exporter) serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler: http.HandlerFunc(e.answer), ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: 10 * patience,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(e.strange.Handler(), slog.LevelDebug),
	}
	s.SetKeepAlivesEnabled(false) // who rests must not keep others out
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(&limited{Listener: l, slots: make(chan struct{}, maxConnections)}); ctx.Err() == nil {
		return cli.Exit(cli.Software, fmt.Errorf("metrics: %w", err))
	}
	return nil
}

// contentType is Prometheus' text format. The names of ntpd-rs' counters are
// not those that OpenMetrics wants, so it must not be called that.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// answer gives the metrics at every path, as ntpd-rs does. A daemon that does
// not answer is an error of the scrape, which sets Prometheus' own metric "up"
// to 0.
func (e *exporter) answer(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
		return
	}
	s, err := observe.Read(e.socket, patience)
	var body bytes.Buffer
	if err == nil {
		err = observe.WritePrometheus(&body, &s)
	}
	if err != nil {
		e.strange.Warn("the daemon could not be asked", "code", "scrape-failed", "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	_, _ = w.Write(body.Bytes()) // the client is gone; nothing is lost
}

// limited accepts no more connections than it has slots for.
type limited struct {
	net.Listener
	slots chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &conn{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// conn gives its slot back when it is closed.
type conn struct {
	net.Conn
	free func()
}

func (c *conn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
