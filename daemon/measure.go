package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ntpd-go/ntpd-go/clock"
	"github.com/ntpd-go/ntpd-go/daemon/assemble"
	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/netio"
	"github.com/ntpd-go/ntpd-go/daemon/observe"
	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Measured is how far off the system's clock is.
type Measured struct {
	Offset     proto.Duration // true time minus the system's clock
	Sigma      proto.Duration
	Sources    int // that agree
	Configured int // that are configured
}

// ErrNoAgreement means that the sources did not agree on a time in time; the
// text says why.
var ErrNoAgreement = errors.New("the time could not be determined")

// Measure finds out how far off the system's clock is, and changes nothing: it
// runs the client with the configured sources, and the rules of the daemon,
// on a clock of its own that begins at the system's time, until enough of them
// agree. Limits on steps do not apply. progress is told how things stand, a
// few times a second at the most.
func Measure(ctx context.Context, cfg *config.Config, log *slog.Logger, progress func(*observe.Report)) (Measured, error) {
	content, problems := readFiles(cfg, time.Now())
	if err := problems.Err(); err != nil {
		return Measured{}, err
	}
	own, err := clock.NewSoftware(clock.SoftwareOptions{})
	if err != nil {
		return Measured{}, err
	}
	defer own.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &measuring{cancel: cancel, progress: progress}
	proxies := newProxies(cfg)
	var held atomic.Pointer[files]
	held.Store(content)
	engineConfig := assemble.Engine(cfg)
	engineConfig.LocalStratum = proto.MaxStratum
	engineConfig.Discipline.SingleStep = boundless
	engineConfig.Discipline.StartupStep = boundless
	engineConfig.Discipline.AccumulatedSteps = 0
	engineConfig.KeepSessions = false // they are the daemon's to keep
	l, err := newLoop(loop{
		clock: own, now: func() (proto.Now, error) { return clock.Read(own) }, log: log,
		lookup: netio.Resolver{Proxies: proxies}.Lookup, locate: locator(systemResolvers), exchange: exchanger(&held, proxies, own), proxies: proxies,
		publish: func(engine.Snapshot) {}, observe: m.observe, save: func(engine.State) error { return nil },
		slewing: func(float64) {}, // a kill undoes itself: the clock is our own
	}, engineConfig, engine.State{}, rand.Reader)
	if err != nil {
		return Measured{}, err
	}
	if err := l.run(ctx); err != nil {
		return Measured{}, err
	}
	if !m.done {
		return Measured{}, fmt.Errorf("%w: %s", ErrNoAgreement, m.why())
	}
	return m.result(own)
}

// boundless lets every step pass.
var boundless = kalman.Threshold{Forward: proto.MaxDuration, Backward: proto.MaxDuration}

// measuring waits for agreement.
type measuring struct {
	cancel   context.CancelFunc
	progress func(*observe.Report)
	told     time.Time
	last     engine.Status
	at       proto.Now
	done     bool
}

// progressInterval is how often progress is told.
const progressInterval = 200 * time.Millisecond

func (m *measuring) observe(s engine.Status, now proto.Now) {
	m.last, m.at = s, now
	if m.done = s.Synchronised; m.done {
		m.cancel()
	}
	if t := time.Now(); m.done || t.Sub(m.told) >= progressInterval {
		m.told = t
		m.progress(m.report())
	}
}

// report is what ntp-ctl status would say of a daemon in this state.
func (m *measuring) report() *observe.Report {
	var s observe.State
	s.System, s.Sources, s.Own = observe.FromStatus(&m.last, m.at, 0, 0)
	s.Program.Now = observe.Timestamp{Timestamp: uint64(m.at.Wall)}
	return observe.NewReport(&s, time.Now())
}

func (m *measuring) why() string {
	r := m.report()
	if r.Clock.Reason == nil {
		return "the time is over"
	}
	return *r.Clock.Reason
}

// result compares our clock, and what is left to correct of it, with the
// system's.
func (m *measuring) result(own clock.Clock) (Measured, error) {
	system := clock.NewReadOnly()
	defer system.Close()
	before, err := system.Now()
	if err != nil {
		return Measured{}, err
	}
	ours, err := own.Now()
	if err != nil {
		return Measured{}, err
	}
	after, err := system.Now()
	if err != nil {
		return Measured{}, err
	}
	middle := before.Add(after.Sub(before) / 2)
	return Measured{
		Offset: ours.Sub(middle) + m.last.Offset, Sigma: m.last.Sigma,
		Sources: m.last.Selected, Configured: len(m.last.Sources),
	}, nil
}
