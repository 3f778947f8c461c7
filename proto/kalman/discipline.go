package kalman

import (
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Discipline is the clock filter. It is a value for one goroutine.
type Discipline struct {
	cfg     Config
	saved   Saved
	sources []*source // sorted by id
	pending bool
	fresh   *source
	synced  bool
	steps   int
	freq    float64
}

type source struct {
	id        SourceID
	cfg       SourceConfig
	reachable bool
	samples   uint64
	offset    proto.Duration
	delay     proto.Duration
	updated   proto.Timestamp
}

// New starts a discipline.
func New(cfg Config, saved Saved) *Discipline {
	return &Discipline{cfg: cfg, saved: saved, freq: saved.Frequency}
}

func (d *Discipline) find(id SourceID) (int, bool) {
	return slices.BinarySearchFunc(d.sources, id, func(s *source, id SourceID) int {
		switch {
		case s.id < id:
			return -1
		case s.id > id:
			return 1
		}
		return 0
	})
}

// Add introduces a source. Adding a known source replaces its configuration.
func (d *Discipline) Add(id SourceID, cfg SourceConfig) {
	i, ok := d.find(id)
	if ok {
		d.sources[i].cfg = cfg
		return
	}
	d.sources = slices.Insert(d.sources, i, &source{id: id, cfg: cfg, reachable: true})
}

// Remove forgets a source; unknown ones are ignored.
func (d *Discipline) Remove(id SourceID) {
	if i, ok := d.find(id); ok {
		d.sources = slices.Delete(d.sources, i, i+1)
	}
}

// Observe takes in one observation of a source.
func (d *Discipline) Observe(now proto.Now, id SourceID, o Observation) {
	i, ok := d.find(id)
	e, isExchange := o.(Exchange)
	if !ok || !isExchange {
		return
	}
	s := d.sources[i]
	s.samples++
	s.offset = e.T2.Sub(e.T1.At)/2 + e.T3.Sub(e.T4.At)/2
	s.delay = e.T4.At.Sub(e.T1.At) - e.T3.Sub(e.T2)
	s.updated = now.Wall
	d.fresh = s
}

// Reachable says whether a source answers and is fit for use; one that is not
// neither votes nor contributes.
func (d *Discipline) Reachable(id SourceID, ok bool) {
	if i, found := d.find(id); found {
		d.sources[i].reachable = ok
	}
}

// Decide returns what should be done now. Call it after every event that was
// handed in, and at Deadline.
func (d *Discipline) Decide(now proto.Now) Decision {
	if d.pending || d.fresh == nil || d.fresh.samples%4 != 0 {
		return Decision{}
	}
	d.pending = true
	a := &Adjustment{Step: d.fresh.offset, Frequency: d.freq}
	d.fresh = nil
	return Decision{Steer: a}
}

// Applied says what the clock did with the last Steer.
func (d *Discipline) Applied(a Applied) {
	d.pending = false
	d.synced = true
	if a.Step != 0 {
		d.steps++
	}
}

// SteerFailed says that the clock refused the last Steer.
func (d *Discipline) SteerFailed(now proto.Now) { d.pending = false }

// AcceptSteps forgets the accumulated steps: an operator has seen them.
func (d *Discipline) AcceptSteps() { d.saved.AccumulatedSteps = 0 }

// Configure replaces the configuration.
func (d *Discipline) Configure(cfg Config) { d.cfg = cfg }

// Jumped says that someone else moved the clock by this much, or that the
// machine was suspended.
func (d *Discipline) Jumped(now proto.Now, by proto.Duration, slept time.Duration) {}

// Deadline is when Decide wants to be called next without any event.
func (d *Discipline) Deadline() proto.Instant { return proto.Never }

// Estimate is what is known about the clock at a moment.
func (d *Discipline) Estimate(now proto.Now) Estimate {
	e := Estimate{Synchronised: d.synced, Sigma: proto.MaxDuration, Leap: proto.LeapUnsynchronised, DispersionRate: 15e-6, Steps: d.steps, Frequency: d.freq}
	for _, s := range d.sources {
		if s.reachable && s.samples >= 4 {
			e.Selected = append(e.Selected, s.id)
			e.Primary, e.Offset, e.Sigma, e.RootDelay = s.id, s.offset, s.delay/2, s.delay
			e.Leap = proto.LeapNone
			e.Agreeing++
		}
	}
	return e
}

// Source is what is known about a source at a moment. An unknown source is
// Unusable.
func (d *Discipline) Source(now proto.Now, id SourceID) SourceEstimate {
	i, ok := d.find(id)
	if !ok {
		return SourceEstimate{State: Unusable, Sigma: proto.MaxDuration}
	}
	s := d.sources[i]
	e := SourceEstimate{State: Measuring, Offset: s.offset, Sigma: s.delay / 2, Delay: s.delay, Samples: s.samples, Poll: s.cfg.PollStart, Soon: s.samples < 4, LastUpdate: s.updated}
	switch {
	case !s.reachable:
		e.State = Unreachable
	case s.samples >= 4:
		e.State = Selected
	}
	return e
}
