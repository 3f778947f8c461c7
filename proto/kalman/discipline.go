package kalman

import (
	"math"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Discipline is the clock filter. It is a value for one goroutine.
//
// The shell first sets the clock to run at Saved.Frequency: the first
// decision asks for that.
type Discipline struct {
	set     settings
	saved   Saved
	sources []*source // sorted by id
	clock   ledger
	joint   joint
	calm    probabilities // of the joint estimate before the last surprise
	leap    proto.Leap
	root    root

	agreeing int
	majority bool
	told     bool          // somebody was told whether there is a majority
	quiet    proto.Instant // until then samples are not used
	usableAt proto.Instant // when the first source became fit; 0 before

	seen      proto.Now // last moment that is known on both kinds of clock
	begun     bool      // the clock was asked to run at the saved frequency
	pending   bool      // a Steer was handed out and not answered
	dirty     bool      // something was learnt since the last Steer
	corrected bool      // the clock was set from a majority at least once
	correct   bool      // the pending Steer does that
	frequency float64
	steps     int
	notes     []Note

	exclusive bool // only authenticated sources vote
}

// New starts a discipline.
func New(cfg Config, saved Saved) *Discipline {
	if !(math.Abs(saved.Frequency) <= clockLimit) || !(saved.Sigma >= 0 && saved.Sigma <= clockLimit) {
		saved.Frequency, saved.Sigma = 0, 0 // no frequency of a clock's
	}
	saved.AccumulatedSteps = max(saved.AccumulatedSteps, 0)
	return &Discipline{set: settle(cfg), saved: saved, frequency: saved.Frequency}
}

// Configure replaces the configuration.
func (d *Discipline) Configure(cfg Config) {
	d.set = settle(cfg)
	d.dirty = true
}

// find returns where a source is or would be.
func (d *Discipline) find(id SourceID) (int, bool) {
	return slices.BinarySearchFunc(d.sources, id, func(s *source, id SourceID) int {
		switch {
		case s.id < id:
			return -1
		case s.id > id:
			return 1
		default:
			return 0
		}
	})
}

// Add introduces a source. Adding a known source replaces its configuration.
func (d *Discipline) Add(id SourceID, cfg SourceConfig) {
	cfg.PollMax = max(cfg.PollMax, cfg.PollMin)
	i, ok := d.find(id)
	if ok {
		d.sources[i].cfg = cfg
		return
	}
	d.sources = slices.Insert(d.sources, i, &source{id: id, cfg: cfg, reachable: true})
}

// frequencyPrior is what is known about the frequency before a source has
// said anything.
func (d *Discipline) frequencyPrior() (w, variance float64) {
	if d.joint.started {
		o := d.joint.look(d.joint.at, nil)
		return o.rate, float64(4*o.spread) + freshFrequency*freshFrequency
	}
	return d.saved.Frequency, d.set.frequencyVariance(d.saved.Sigma)
}

// Remove forgets a source; unknown ones are ignored.
func (d *Discipline) Remove(id SourceID) {
	if i, ok := d.find(id); ok {
		d.expel(d.sources[i])
		d.sources = slices.Delete(d.sources, i, i+1)
		d.survey()
	}
}

// Reachable says whether a source answers and is fit for use; one that is not
// neither votes nor contributes.
func (d *Discipline) Reachable(id SourceID, ok bool) {
	if i, found := d.find(id); found && d.sources[i].reachable != ok {
		d.sources[i].reachable = ok
		d.survey()
	}
}

// Observe takes in one observation of a source. What cannot be true is
// ignored.
func (d *Discipline) Observe(now proto.Now, id SourceID, o Observation) {
	i, ok := d.find(id)
	if !d.ensure(now) || !ok {
		return
	}
	s := d.sources[i]
	var m sample
	var bad string
	switch o := o.(type) {
	case Exchange:
		s.leap, s.stratum, s.rootDel, s.rootDisp = o.Leap, o.Stratum, max(o.RootDelay, 0), max(o.RootDispersion, 0)
		m, bad = d.clock.exchange(o, maxRoundTrip)
	case Reference:
		s.leap = o.Leap
		m, bad = d.clock.reference(o)
	}
	if bad != "" || now.Mono < d.quiet || m.at.sub(d.clock.raw(now.Wall)) > proto.Second {
		return
	}
	s.distance, s.accuracy, s.noise = m.distance, m.accuracy, m.noise
	if d.absorb(s, m) {
		s.updated = now.Wall
		if d.usableAt == 0 && s.samples >= usable {
			d.usableAt = now.Mono
		}
		d.survey()
		if d.majority {
			d.findRoot() // only with news: a reference that is lost stays until there is another
		}
	}
}

// ensure starts the ledger with the first reading of the clock, and notices
// when the clock has since moved for no reason that is known. It reports
// false in that case: what was measured across the jump is void.
func (d *Discipline) ensure(now proto.Now) bool {
	if !d.clock.started() {
		d.clock.start(now.Wall, d.saved.Frequency)
		d.seen = now
		return true
	}
	passed := now.Mono.Sub(d.seen.Mono)
	by := now.Wall.Sub(d.seen.Wall) - proto.FromStd(passed)
	if by.Abs().Seconds() > d.set.meddling+float64(meddlingRate*math.Abs(passed.Seconds())) {
		d.Jumped(now, by, 0)
		return false
	}
	if passed > meddlingWindow {
		d.seen = now
	}
	return true
}

// Jumped says that someone else moved the clock by this much, or that the
// machine was suspended.
func (d *Discipline) Jumped(now proto.Now, by proto.Duration, slept time.Duration) {
	if !d.clock.started() {
		return
	}
	d.clock.jump(now.Wall, by)
	d.seen = now
	if d.leaps(now, by) {
		return
	}
	doubt := min(by.Abs().Seconds(), 1)
	if slept > 0 {
		doubt += sleepNoise
	}
	variance := float64(doubt * doubt)
	for _, s := range d.sources {
		s.voice.doubt(variance, jumpFrequency*jumpFrequency)
		s.soon = true
	}
	if d.joint.started {
		d.joint.doubt(0, variance)
		d.joint.doubt(1, jumpFrequency*jumpFrequency)
	}
	d.note(Note{Code: "clock-meddling", Warn: slept == 0, Text: meddled(by, slept)})
}

func meddled(by proto.Duration, slept time.Duration) string {
	if slept > 0 {
		return "the machine slept for " + slept.String() + "; measuring again"
	}
	return "something else moved the clock by " + by.String() + "; is another time daemon running?"
}

func (d *Discipline) note(n Note) { d.notes = append(d.notes, n) }
