package daemon

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

const (
	summaryInterval = time.Hour
	changePause     = time.Minute // between two lines that say that the clock's state changed
)

// diary writes what matters about the clock as a whole: when it becomes
// synchronised and when it no longer is, and one line an hour.
type diary struct {
	log     *slog.Logger
	report  func() *observe.Report
	started proto.Instant
	next    proto.Instant // summary
	quiet   proto.Instant // until when changes are not said
	synced  bool
	ever    bool
}

func newDiary(log *slog.Logger, now proto.Now, report func() *observe.Report) *diary {
	return &diary{log: log, report: report, started: now.Mono, next: now.Mono.Add(summaryInterval), quiet: now.Mono}
}

// look is called whenever something happened, and every few seconds.
func (d *diary) look(st *engine.Status, now proto.Now) {
	if st.Synchronised != d.synced && now.Mono >= d.quiet {
		d.synced, d.quiet = st.Synchronised, now.Mono.Add(changePause)
		d.change(now)
	}
	if now.Mono >= d.next {
		d.next = now.Mono.Add(summaryInterval)
		d.summary()
	}
}

func (d *diary) change(now proto.Now) {
	r := d.report()
	switch {
	case d.synced && !d.ever:
		d.ever = true
		text := strings.TrimSuffix(strings.TrimPrefix(r.Headline, "Synchronised: "), ".")
		d.log.Info(fmt.Sprintf("synchronised after %s: %s", observe.Magnitude(now.Mono.Sub(d.started).Seconds()), text), "code", "synchronised")
	case d.synced:
		d.log.Info(lower(r.Headline), "code", "synchronised")
	default:
		d.log.Warn(lower(r.Headline), "code", "unsynchronised")
	}
}

// summary is proof of life, with the figures that one looks for first.
func (d *diary) summary() {
	r := d.report()
	attrs := []any{"code", "summary", "stratum", int(r.Clock.Stratum)}
	if o := r.Clock.Offset; o != nil {
		attrs = append(attrs, "offset", observe.Signed(*o))
	}
	if f := r.Clock.Frequency; f != nil {
		attrs = append(attrs, "frequency", fmt.Sprintf("%+.3f ppm", *f*1e6))
	}
	var requests uint64
	for i := range r.Servers {
		requests += r.Servers[i].Stats.ReceivedPackets
	}
	if len(r.Servers) > 0 {
		attrs = append(attrs, "requests", requests)
	}
	d.log.Info(lower(r.Headline), attrs...)
}

// lower makes a headline a message of the log.
func lower(s string) string {
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
