package kalman

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// The constants of the discipline, each with its reason. Lengths of time in
// seconds, frequencies in s/s.
const (
	// nanosecond: less than that is rounding.
	nanosecond = 1e-9
	// minStampNoise: no stamp is better than the resolution of the cards that
	// take them.
	minStampNoise = 20e-9
	// maxRoundTrip: RFC 5905 has no answer after MAXDISP (16 s) mean anything.
	maxRoundTrip = 16
	// maxDistance is MAXDISP (RFC 5905 section 7.2): with a larger error the
	// clock is not synchronised.
	maxDistance = 16
	// usable is how many samples make a source fit to vote: with three the
	// smallest delay is known well enough, and a burst of four has one to lose.
	usable = 3
	// burst is how many samples are taken 2 s apart from a new source.
	burst = 4
	// youth is for how many samples a source counts as new: what they say is
	// judged again with each that comes, because the shortest round trip is
	// not known yet.
	youth = 8
	// minBias is the variance of a path's bias that remains on the shortest
	// wire, s².
	minBias = 1e-14
	// confirmations are asked for at most so often in confirmPeriod (s), so
	// that a bad path does not become a flood.
	confirmations, confirmPeriod = 3, 64.0
	// patientRun surprises in a row are explained even if other sources were
	// not heard.
	patientRun = 4
	// impossibleMargin, in scales of the jitter, is for what the shortest round
	// trip is not known well enough.
	impossibleMargin = 0.5
	// asShort: what is up to so many times as long as the shortest path is no
	// detour. The length of one is known to so many scales of its jitter.
	asShort, wavering = 2.0, 3.0
	// minSpan is the least time over which a change of frequency is judged, s.
	minSpan = 16.0
	// serverDrift is how fast the clock of a synchronised server may go astray,
	// s/s; what it admits itself is in its root dispersion.
	serverDrift = 1e-6
	// pollRatio: the prediction may be this much worse (in variance) than a
	// perfect share of one sample before the next is due.
	pollRatio = 5.0
	// rampSamples are taken at each poll interval before the next longer one.
	rampSamples = 4
	// patience is how long after the first usable source the others may still
	// be measured before the clock is first set.
	patience = 8
	// freshFrequency is what an oscillator moves in an outage of hours, on top
	// of what was saved.
	freshFrequency = 2e-6
	// jumpFrequency is what a suspend or a foreign hand may do to frequency.
	jumpFrequency = 1e-6
	// sleepNoise: real-time clocks that bridge a suspend count in seconds.
	sleepNoise = 1.0
	// confidence is how many standard deviations the published error is.
	confidence = 3
	// tolerance is what an oscillator may change its frequency by at any
	// moment, s/s: crystals follow the temperature by some millionths. The
	// longer nothing is heard the likelier it did: the published error allows
	// for all of it from toleranceTime on (s), before for a growing part.
	tolerance     = 5e-6
	toleranceTime = 1024.0
	// meddling is how far the clock may move against the monotonic clock
	// unexplained, s (as in ntpd-rs); both may be off by meddlingRate.
	meddling, meddlingRate = 5.0, 1e-3
	// meddlingWindow is over how long the two clocks are compared.
	meddlingWindow = 64 * time.Second
	// leapSlack is how long around a leap second servers may disagree about
	// it, s.
	leapSlack = 5
	// slopeTime is over how long the growth of the published error is taken, s.
	slopeTime = 16.0
	// horizon is the longest interval between two publications, for the growth
	// of the published error in between.
	horizon = 1024
	// tauMin and tauMax bound how long a correction is spread: shorter makes
	// the frequency of the clock noisy, longer leaves the error standing.
	tauMin, tauMax = 2.0, 30.0
	// hurry: a correction of more than so many standard deviations is made as
	// fast as may be, unless the operator says how slowly.
	hurry = 5
	// lateStep: once synchronised, programs suffer more from a step than from
	// some minutes of slewing up to this error.
	lateStep = 0.4
	// clockLimit is what kernels can add to a clock's frequency.
	clockLimit = 500e-6
)

// settings are the operator's wishes with our defaults filled in.
type settings struct {
	Config
	stepThreshold     float64 // s
	stepLate          float64 // s, once synchronised
	slewMax           float64 // s/s
	slewMin           float64 // s; 0 follows the poll interval
	frequencyMax      float64 // s/s
	uncertaintyMax    float64 // s
	frequencyPrior    float64 // s/s
	meddling          float64 // s
	wanderPrior       float64 // s/s per √s; 0 is learnt
	statisticalWeight float64
	delayWeight       float64
	dispersion        bool // the server's dispersion counts
}

// settle fills in the defaults. Values that make no sense (negative, NaN)
// keep the default.
func settle(c Config) settings {
	a := c.Algorithm
	s := settings{
		Config:            c,
		stepThreshold:     or(a.StepThreshold, 0.010, 1e18),                // ntpd-rs' own; only before synchronisation
		stepLate:          or(a.StepThreshold, lateStep, 1e18),             // a set key keeps its meaning at all times
		slewMax:           or(a.SlewMaximumFrequency, 450e-6, clockLimit),  // nearly what kernels allow; the rest is for drift
		slewMin:           or(a.SlewMinimumDuration, 0, 1e5),               // follows the poll interval
		frequencyMax:      or(a.MaximumFrequencySteer, 495e-6, clockLimit), // ntpd-rs' own
		uncertaintyMax:    or(a.MaximumSourceUncertainty, 1.5, 1e5),        // MAXDIST of RFC 5905 with slack for startup
		frequencyPrior:    or(a.InitialFrequencyUncertain, 1e-4, 1e-2),     // crystals are sold within 100 ppm
		meddling:          or(a.MeddlingThreshold, meddling, 1e18),
		wanderPrior:       or(a.InitialWander, 0, 1e-3),         // learnt
		statisticalWeight: or(a.RangeStatisticalWeight, 2, 1e3), // 95 %
		delayWeight:       or(a.RangeDelayWeight, 0.5, 1e3),     // asymmetry is at most half the delay
		dispersion:        a.IgnoreServerDispersion == nil || !*a.IgnoreServerDispersion,
	}
	s.slewMax = max(s.slewMax, 1e-9)
	s.frequencyPrior = max(s.frequencyPrior, 1e-9)
	s.MinimumAgreeing = max(s.MinimumAgreeing, 1)
	if s.LocalStratum == 0 {
		s.LocalStratum = proto.MaxStratum
	}
	return s
}

// frequencyVariance is that of a frequency that was saved with a standard
// deviation, 0 for unknown.
func (s *settings) frequencyVariance(sigma float64) float64 {
	if sigma <= 0 {
		return s.frequencyPrior * s.frequencyPrior
	}
	return float64(sigma*sigma) + freshFrequency*freshFrequency
}

// or is a setting, at most most, or the default when it is not set or no
// number that could be meant.
func or(v *float64, otherwise, most float64) float64 {
	if v == nil || !(*v >= 0) {
		return otherwise
	}
	return min(*v, most)
}
