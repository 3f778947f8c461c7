package engine

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Periods of what is done without an event.
const (
	// SnapshotInterval is the longest time between two PublishSnapshot. A
	// worker that has not seen one for a few intervals may take it that the
	// loop is dead.
	SnapshotInterval = 4 * time.Second
	statusInterval   = 16 * time.Second
	saveInterval     = time.Hour
)

// localRefID is what a server says whose time is its own clock's, at stratum
// 2 and above, where it stands for an address: 127.127.1.1, as ntpd and chrony
// do.
const localRefID proto.RefID = 127<<24 | 127<<16 | 1<<8 | 1

// serving is what the rest of the machine and the network are told about the
// clock.
type serving struct {
	changed  bool // publish now
	saveNow  bool
	next     proto.Instant // publish
	status   proto.Instant // set the kernel's status
	saving   proto.Instant // save
	heard    proto.Instant // last measurement
	synced   bool          // a source was followed since the start
	stratum  uint8         // of the last source that was followed, plus one
	refID    proto.RefID
	snapshot Snapshot
	told     ClockStatus
}

func (v *serving) due(now proto.Instant) { v.next, v.status, v.saving = now, now, proto.Never }

func (v *serving) deadline() proto.Instant { return min(v.next, v.saving) }

// serve publishes what is due.
func (e *Engine) serve() {
	v := &e.serving
	snapshot, status := e.describe()
	if material(snapshot) != material(v.snapshot) || v.changed || e.now.Mono >= v.next {
		v.snapshot, v.changed = snapshot, false
		v.next = e.now.Mono.Add(SnapshotInterval)
		e.emit(PublishSnapshot{Snapshot: snapshot})
	}
	if e.cfg.Steering && (status.Synchronised != v.told.Synchronised || status.Leap != v.told.Leap || e.now.Mono >= v.status) {
		v.told, v.status = status, e.now.Mono.Add(statusInterval)
		e.emit(SetClockStatus{Status: status})
	}
	switch {
	case v.saveNow || status.Synchronised && (v.saving == proto.Never || e.now.Mono >= v.saving):
		e.save()
	case v.saving != proto.Never && e.now.Mono >= v.saving:
		v.saving = e.now.Mono.Add(saveInterval)
	}
}

// material is the part of a snapshot whose change is told at once.
func material(s Snapshot) Snapshot {
	return Snapshot{Leap: s.Leap, Stratum: s.Stratum, RefID: s.RefID}
}

// describe says what is known about the clock now.
//
// Without ever having followed a source it is the configured local stratum,
// with leap indicator 0 (a client would not use it otherwise), or
// unsynchronised. A clock that loses its sources holds over: it goes on with
// its last stratum while the dispersion grows, until its root distance
// reaches 1.5 s (RFC 5905: MAXDIST), beyond which no client would use it; from
// then on it is as if it had never followed a source.
func (e *Engine) describe() (Snapshot, ClockStatus) {
	v := &e.serving
	est := e.discipline.Estimate(e.now)
	e.follow(est.Primary, est.Synchronised)
	s := Snapshot{Mono: e.now.Mono, Wall: e.now.Wall, DispersionRate: max(est.DispersionRate, dispersionRate)}
	rootDispersion := max(est.RootDispersion, v.dispersion(e.now.Mono))
	distance := est.RootDelay/2 + rootDispersion
	synced := est.Synchronised && v.synced && v.stratum < proto.MaxStratum && distance >= 0 && distance < maxDistance && !e.halted
	status := ClockStatus{Synchronised: synced, Leap: proto.LeapUnsynchronised, EstError: maxDistance, MaxError: 16 * proto.Second}
	switch {
	case synced:
		s.Leap, s.Stratum, s.RefID = est.Leap, v.stratum, v.refID
		s.Reference = e.steering.last
		s.RootDelay, s.RootDispersion = est.RootDelay, rootDispersion
		status.Leap, status.EstError, status.MaxError = s.Leap, max(est.Sigma, 0), distance
	case e.cfg.LocalStratum > 0 && e.cfg.LocalStratum < proto.MaxStratum && !e.halted:
		s.Stratum, s.RefID, s.Reference = e.cfg.LocalStratum, localRefID, e.now.Wall
		if s.Stratum == 1 {
			s.RefID = e.cfg.ReferenceID
		}
	default:
		s.Leap, s.Stratum, s.RefID = proto.LeapUnsynchronised, proto.MaxStratum, proto.RefIDText("XNON")
	}
	return s, status
}

// dispersionRate is how fast the error of a clock may grow that is left
// alone, at the least: 1 ppm. However well its frequency is known, a change of
// temperature moves it by that much; the discipline knows only what it has
// seen. (RFC 5905 section 7.2 takes 15 ppm, PHI, for clocks whose frequency
// nobody estimates.) It also ends a holdover: after 17 days.
const dispersionRate = 1e-6

// dispersion is the error that may have gathered since the last measurement.
func (v *serving) dispersion(now proto.Instant) proto.Duration {
	return proto.FromSeconds(dispersionRate * max(now.Sub(v.heard), 0).Seconds())
}

// follow remembers which source the clock follows.
func (e *Engine) follow(id kalman.SourceID, synchronised bool) {
	if id == 0 || !synchronised {
		return
	}
	e.lives(func(_ *source, _ *slot, l *live) {
		if l.id == id {
			e.serving.synced = true
			e.serving.stratum = min(l.assoc.Server().Stratum+1, proto.MaxStratum)
			e.serving.refID = proto.RefIDAddr(l.addr.Addr())
		}
	})
}

// save asks for the state to be kept.
func (e *Engine) save() {
	e.serving.saveNow = false
	e.serving.saving = e.now.Mono.Add(saveInterval)
	est := e.discipline.Estimate(e.now)
	e.emit(Save{State: State{
		Frequency: est.Frequency, FrequencySigma: est.FrequencySigma,
		AccumulatedSteps: est.AccumulatedSteps, SavedAt: e.calendar(), Panicked: e.caution.on,
	}})
}

// calendar is the present wall time. Its era is that of the last start, which
// is right for 68 years.
func (e *Engine) calendar() time.Time {
	pivot := e.saved.SavedAt
	if floor := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); pivot.Before(floor) {
		pivot = floor
	}
	return e.now.Wall.TimeNear(pivot)
}
