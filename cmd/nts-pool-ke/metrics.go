package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ntpd-go/ntpd-go/nts/pool"
)

// collector makes metrics of the pool's status. Labels are bounded: outcomes
// are a fixed set, and there is one series for each source of the configuration
// and address family.
type collector struct{ status func() pool.Status }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("nts_pool_"+name, help, labels, nil)
}

var (
	connectedDesc   = desc("clients_connected", "clients that are connected")
	capacityDesc    = desc("clients_connected_max", "clients that may be connected at once")
	outcomesDesc    = desc("clients_total", "connections of clients, by how they came out", "outcome")
	durationDesc    = desc("client_duration_seconds", "time from a client's handshake to its answer, of those that were served")
	connectionsDesc = desc("upstream_connections_total", "connections to time sources, by what came of them", "result")
	reusedDesc      = desc("upstream_reused_total", "exchanges with time sources over a kept connection")
	resumedDesc     = desc("upstream_resumed_total", "connections to time sources that resumed a TLS session")
	refusedDesc     = desc("upstream_keep_alive_refused_total", "exchanges after which a time source did not keep the connection")
	requestsDesc    = desc("upstream_requests_total", "requests to time sources", "kind", "result")
	stateDesc       = desc("source_usable", "1 if the time source gets clients", "source", "family")
	servedDesc      = desc("source_clients_total", "clients whose keys went to the time source", "source", "family", "result")
	tripDesc        = desc("source_round_trip_seconds", "smoothed time of an exchange over a kept connection", "source", "family")
	readDesc        = desc("configuration_read_seconds", "when the configuration in effect was read, in seconds since 1970")
	invalidDesc     = desc("configuration_invalid", "1 if the files hold something else that is wrong")
	certificateDesc = desc("certificate_not_after_seconds", "when the pool's certificate expires, in seconds since 1970")
)

func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		connectedDesc, capacityDesc, outcomesDesc, durationDesc, connectionsDesc, reusedDesc, resumedDesc, refusedDesc,
		requestsDesc, stateDesc, servedDesc, tripDesc, readDesc, invalidDesc, certificateDesc,
	} {
		out <- d
	}
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(connectedDesc, float64(s.Connected))
	gauge(capacityDesc, float64(s.Connections))
	for outcome, n := range s.Outcomes {
		count(outcomesDesc, n, outcome)
	}
	buckets, sum := make(map[float64]uint64), uint64(0)
	for i, n := range s.Times {
		if sum += n; i < len(pool.Buckets) {
			buckets[pool.Buckets[i]] = sum
		}
	}
	out <- prometheus.MustNewConstHistogram(durationDesc, sum, s.TimesSum, buckets)
	count(connectionsDesc, s.Upstream.Connections, "ok")
	count(connectionsDesc, s.Upstream.Failed, "failed")
	count(reusedDesc, s.Upstream.Reused)
	count(resumedDesc, s.Upstream.Resumed)
	count(refusedDesc, s.Upstream.RefusedKeepAlive)
	count(requestsDesc, s.Upstream.Questions-s.Upstream.QuestionsFailed, "question", "ok")
	count(requestsDesc, s.Upstream.QuestionsFailed, "question", "failed")
	count(requestsDesc, s.Upstream.Exchanges-s.Upstream.ExchangesFailed, "fixed-key", "ok")
	count(requestsDesc, s.Upstream.ExchangesFailed, "fixed-key", "failed")
	for _, source := range s.Sources {
		for _, f := range source.Families {
			usable := 0.0
			if f.State == pool.StateOK {
				usable = 1
			}
			gauge(stateDesc, usable, source.Source, f.Family)
			count(servedDesc, f.Served, source.Source, f.Family, "ok")
			count(servedDesc, f.Failed, source.Source, f.Family, "failed")
			gauge(tripDesc, f.RoundTripMS/1000, source.Source, f.Family)
		}
	}
	gauge(readDesc, float64(s.Settings.Read.Unix()))
	invalid := 0.0
	if s.Settings.Error != "" {
		invalid = 1
	}
	gauge(invalidDesc, invalid)
	gauge(certificateDesc, float64(s.Settings.CertificateNotAfter.Unix()))
}

// serveMetrics answers Prometheus until ctx ends. /healthz says that the
// process lives, /readyz whether some source works.
func serveMetrics(ctx context.Context, l net.Listener, status func() pool.Status) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{status}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ctx.Err() != nil || !ready(status()) {
			http.Error(w, "no time source works", http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func ready(s pool.Status) bool {
	for _, source := range s.Sources {
		for _, f := range source.Families {
			if f.State == pool.StateOK && source.Weight > 0 {
				return true
			}
		}
	}
	return false
}
