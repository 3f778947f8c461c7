package sim

import (
	"math"
	"slices"
)

// Scenario is a world and what to measure in it. All quantities are in
// seconds and seconds a second. Times are true times from the start, 0.
type Scenario struct {
	Name        string   `json:"-"`
	Doc         string   `json:"doc,omitempty"`
	Duration    float64  `json:"duration"`
	StatsFrom   float64  `json:"stats_from"`
	Poll        []int8   `json:"poll"`                    // smallest and largest exponent; null is the daemon's default
	Clock       Clock    `json:"clock"`                   // of the node under test
	Servers     []Server `json:"servers"`                 // that it asks
	Events      []Event  `json:"events,omitempty"`        // that happen to it
	Peer        *Peer    `json:"peer,omitempty"`          // another node that runs the daemon; both have an ntp.toml then
	Toml        string   `json:"ntp.toml,omitempty"`      // its configuration; made from the above when empty
	Epoch       int64    `json:"epoch,omitempty"`         // Unix time of the start; 0 is some day in 2026
	StampNoise  float64  `json:"stamp_noise,omitempty"`   // standard deviation of each of its stamps
	SavedDrift  *float64 `json:"saved_drift,omitempty"`   // what its drift file says; null when there is none
	OracleDrift float64  `json:"oracle_wander,omitempty"` // for reference filters; not used
	Limits      *Limits  `json:"limits,omitempty"`        // what makes it pass …
	Seeds       []uint64 `json:"seeds,omitempty"`         // … with these seeds; 1 and 2 when missing
	Reference   *Figures `json:"reference,omitempty"`     // what a peer reached, for the table
}

// Peer is a second node, at 10.0.0.2. It runs an engine of its own, serves what
// that says of its clock, and may ask the first, which is at 10.0.0.1.
type Peer struct {
	Clock   Clock    `json:"clock"`
	Servers []Server `json:"servers"`
	Toml    string   `json:"ntp.toml"`
	Limits  *Limits  `json:"limits,omitempty"`
}

// Figures are what to compare with.
type Figures struct {
	Chrony       float64 `json:"chrony,omitempty"`       // RMS, µs
	ChronyP99    float64 `json:"chronyp99,omitempty"`    // µs
	Polls        float64 `json:"polls,omitempty"`        // an hour
	Bound        float64 `json:"bound,omitempty"`        // RMS, µs
	Candidate    float64 `json:"candidate,omitempty"`    // RMS of the prototype of the algorithm, µs
	CandidateP99 float64 `json:"candidatep99,omitempty"` // µs
}

// Clock is a free-running oscillator: its frequency error is constant within
// each second k and is the sum of all parts, evaluated once a second.
type Clock struct {
	Offset  float64    `json:"offset"`
	Freq    float64    `json:"freq"`
	Wander  float64    `json:"wander"`          // standard deviation of the random walk's step, each second
	White   float64    `json:"white,omitempty"` // standard deviation of white frequency noise, each second
	Sine    *Sine      `json:"sine,omitempty"`
	Pulse   *Pulse     `json:"pulse,omitempty"`
	Steps   []Step     `json:"steps,omitempty"`   // of the frequency
	Phases  []Step     `json:"phases,omitempty"`  // of the phase
	Suspend []Interval `json:"suspend,omitempty"` // the machine sleeps
}

// Sine is amp·sin(2πt/period).
type Sine struct{ Amp, Period float64 }

// Pulse is amp for high seconds, then −amp for low seconds, and so on.
type Pulse struct{ Amp, High, Low float64 }

// at is the pulse in second k.
func (p *Pulse) at(k float64) float64 {
	if math.Mod(k, p.High+p.Low) < p.High {
		return p.Amp
	}
	return -p.Amp
}

// Step adds to a quantity from a time on.
type Step struct{ At, Add float64 }

// Interval is from ≤ t ≤ to.
type Interval struct{ From, To float64 }

// holds reports whether t lies in one of the intervals.
func holds(all []Interval, t float64) bool {
	return slices.ContainsFunc(all, func(v Interval) bool { return v.From <= t && t <= v.To })
}

// Server is a time server and the way to it.
type Server struct {
	Peer       bool       `json:"peer,omitempty"`    // it is the other node: all but the links is up to that
	Offset     float64    `json:"offset"`            // of its clock
	Sine       *Sine      `json:"sine,omitempty"`    // added to its offset
	Steps      []Step     `json:"steps,omitempty"`   // of its offset
	Clock      *Clock     `json:"clock,omitempty"`   // its own oscillator; perfect when missing
	Glitch     *Glitch    `json:"glitch,omitempty"`  // wrong stamps now and then
	Lie        *Lie       `json:"lie,omitempty"`     // it begins to lie, in words that excuse it
	Dead       []Interval `json:"dead,omitempty"`    // it does not answer
	Stuck      []Interval `json:"stuck,omitempty"`   // its clock stands still
	Kiss       string     `json:"kiss,omitempty"`    // it answers with this kiss code …
	KissIn     []Interval `json:"kiss_in,omitempty"` // … during these
	Follows    bool       `json:"follows,omitempty"` // it takes its time from the node under test
	Leap       uint8      `json:"leap,omitempty"`
	Stratum    uint8      `json:"stratum,omitempty"` // 1 when missing
	RootDelay  float64    `json:"root_delay,omitempty"`
	Dispersion float64    `json:"root_dispersion,omitempty"`
	Up         Link       `json:"up"`
	Down       Link       `json:"down"`
}

// Glitch adds ±size to both stamps of an answer with probability p.
type Glitch struct{ P, Size float64 }

// Lie is a clock that runs away from a moment on, at a rate in s/s, until it is
// this far off, with noise on every answer. Unless it boasts, the server claims as
// much root dispersion as it lies, so that its word covers the truth.
type Lie struct {
	From, Rate, Most, Noise float64
	Boasts                  bool
}

// Link is one direction of a path.
type Link struct {
	Base       float64     `json:"base"`
	Jitter     Jitter      `json:"jitter"`
	Loss       float64     `json:"loss,omitempty"`
	Duplicate  float64     `json:"duplicate,omitempty"` // probability that a packet arrives twice
	Burst      *Burst      `json:"burst,omitempty"`
	Changes    []Change    `json:"changes,omitempty"`
	Congestion *Congestion `json:"congestion,omitempty"`
	Queue      *Queue      `json:"queue,omitempty"`
	Down       []Interval  `json:"outages,omitempty"` // everything is lost
}

// Jitter is added to every packet's delay.
type Jitter struct {
	Dist  string  `json:"dist"` // none, exponential, normal, gamma, lomax
	Scale float64 `json:"scale"`
	Shape float64 `json:"shape,omitempty"` // of gamma
	Alpha float64 `json:"alpha,omitempty"` // of lomax
	Cap   float64 `json:"cap,omitempty"`   // of lomax; 0 is none
}

// Burst adds scale·E with probability p.
type Burst struct{ P, Scale float64 }

// Change adds to the base during from ≤ t ≤ to.
type Change struct{ From, To, Add float64 }

// Congestion adds scale·E while (t mod period) ≤ duration.
type Congestion struct{ Period, Duration, Scale float64 }

// Queue is delay with memory: a queue whose mean length follows a log-normal
// process with this time constant, so that neighbouring packets wait alike.
type Queue struct {
	Scale  float64 `json:"scale"`  // median of the mean wait
	Sigma  float64 `json:"sigma"`  // of its logarithm
	Memory float64 `json:"memory"` // time constant, s
	Day    float64 `json:"day"`    // amplitude of a daily sine in the logarithm
}

// Event is something that happens to the node under test.
type Event struct {
	At   float64 `json:"at"`
	Kind string  `json:"kind"` // step (someone moves its clock), suspend, leap (a second is inserted)
	By   float64 `json:"by,omitempty"`
}

// Limits make a scenario a test. Zero limits are not checked.
type Limits struct {
	RMS       float64 `json:"rms,omitempty"`        // µs
	P99       float64 `json:"p99,omitempty"`        // µs
	Max       float64 `json:"max,omitempty"`        // µs, in the statistics window
	Within1ms float64 `json:"within_1ms,omitempty"` // s
	Polls     float64 `json:"polls,omitempty"`      // an hour and server
	Steps     *int    `json:"steps,omitempty"`      // at most
	Bounded   float64 `json:"bounded,omitempty"`    // least share of samples inside the published error
	Halts     string  `json:"halts,omitempty"`      // it has to stop, and this is in the reason
	Holds     bool    `json:"holds,omitempty"`      // the clock must never be corrected
	Says      string  `json:"says,omitempty"`       // an incident with this code, or "code reason", is reported
}
