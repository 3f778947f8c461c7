package kalman

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// Saved is what the discipline knows from before a restart. The zero value is
// a first start.
type Saved struct {
	Frequency        float64        // base frequency, s/s, as in Adjustment
	Sigma            float64        // its standard deviation, s/s; 0 when unknown
	AccumulatedSteps proto.Duration // Σ|step| since the operator last said so
}

// SourceConfig is what the discipline must know about a source.
type SourceConfig struct {
	PollMin   int8 // log2 s
	PollMax   int8
	PollStart int8
	Voting    bool // false: follows the majority, has no say in it (pulses)
	Trusted   bool // what it says is authenticated
}

// Decision is what should happen now. The zero value is "nothing".
type Decision struct {
	Steer *Adjustment // carry out, then tell Applied, or SteerFailed
	Halt  *Halt       // going on would do harm
	Notes []Note      // for the log, in order
}

// Halt says why the daemon has to stop, and what a person can do about it.
type Halt struct{ Reason, Hint string }

// Note is something an operator may want to know. Codes are stable:
//
//	clock-step          the clock is stepped
//	clock-slew          a large correction is slewed
//	no-majority         too few sources agree; the clock is held
//	majority            enough sources agree again
//	source-selected     a source is used from now on
//	source-falseticker  a source disagrees with the majority
//	source-shift        a source moved against the others
//	source-path         the network path of a source changed
//	clock-surprise      the clock itself moved or changed its frequency
//	clock-meddling      someone else moved the clock
//	leap                the announced leap second changed
type Note struct {
	Code   string
	Warn   bool     // worth a warning, otherwise information
	Source SourceID // 0 when it is about the clock
	Text   string   // one line for people
}

// State is how the discipline sees a source.
type State uint8

// States of a source.
const (
	Measuring   State = iota // too few samples yet
	Unreachable              // no answers
	Unusable                 // answers, but not fit for use
	Falseticker              // disagrees with the majority
	NoMajority               // good, but too few agree
	Selected                 // believed and used
)

// String names the state as status output prints it.
func (s State) String() string {
	switch s {
	case Measuring:
		return "measuring"
	case Unreachable:
		return "unreachable"
	case Unusable:
		return "unusable"
	case Falseticker:
		return "falseticker"
	case NoMajority:
		return "no-majority"
	case Selected:
		return "selected"
	default:
		return "invalid"
	}
}

// Estimate is what is known about the clock at a moment.
type Estimate struct {
	Offset           proto.Duration // true time minus clock: what is left to correct
	Sigma            proto.Duration // one standard deviation of Offset; MaxDuration when unknown
	Frequency        float64        // base frequency that makes the clock run true, s/s
	FrequencySigma   float64        // one standard deviation of Frequency, s/s
	Synchronised     bool           // a majority steered the clock at least once and its error is known
	Selected         []SourceID     // sorted
	Primary          SourceID       // the best of them; 0 when there is none
	RootDelay        proto.Duration // round trip to the reference, ≥ 0
	RootDispersion   proto.Duration // at this moment; with RootDelay/2 it bounds the error
	DispersionRate   float64        // growth of RootDispersion, s/s, > 0
	Leap             proto.Leap     // LeapUnsynchronised while not synchronised
	Agreeing         int            // sources in the largest group that agrees
	AccumulatedSteps proto.Duration // Σ|step| that counts against the threshold
	Steps            int            // since the start
}

// SourceEstimate is what is known about a source at a moment.
type SourceEstimate struct {
	State      State
	Reason     string         // why, in a few words; empty when State says it all
	Offset     proto.Duration // source minus clock
	Sigma      proto.Duration // one standard deviation of Offset; MaxDuration when unknown
	Delay      proto.Duration // smallest round trip of the current path
	Samples    uint64         // that were used
	Poll       int8           // poll exponent that is wanted, within the limits
	Soon       bool           // poll again 2 s after the last poll, whatever Poll says
	LastUpdate proto.Timestamp
}

// soonInterval is what Soon means.
const soonInterval = 2 * time.Second
