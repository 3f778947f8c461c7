package kalman

import (
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// SourceID names one time source for as long as it lives. IDs are not used
// again.
type SourceID uint64

// Observation is what one source said once. The set is sealed: Exchange and
// Reference.
type Observation interface{ observation() }

// Exchange is one completed two-way exchange with a server. T1 and T4 are on
// the timescale that is steered, T2 and T3 on the server's (RFC 5905 section
// 8).
type Exchange struct {
	T1, T4         proto.Stamp
	T2, T3         proto.Timestamp
	RootDelay      proto.Duration // of the server, ≥ 0
	RootDispersion proto.Duration // of the server, ≥ 0
	Precision      int8           // of the server's clock, log2 seconds
	Leap           proto.Leap
	Stratum        uint8
}

// Reference is one sample of a local reference clock: its time minus ours
// was Offset at Stamp.
type Reference struct {
	Stamp     proto.Stamp
	Offset    proto.Duration
	Precision proto.Duration // one standard deviation of the noise, > 0
	Accuracy  proto.Duration // bound on the constant error, ≥ 0
	Period    proto.Duration // offsets are known modulo Period; 0 when whole
	Leap      proto.Leap
}

func (Exchange) observation()  {}
func (Reference) observation() {}

// Adjustment is what to do to a clock. The parts happen together: first the
// step, then the clock runs at Frequency + Slew for the time For, then at
// Frequency alone. It replaces whatever an earlier adjustment left running.
type Adjustment struct {
	Step      proto.Duration // added to the clock at once; 0 for none
	Frequency float64        // absolute base frequency, s/s, positive is faster
	Slew      float64        // extra frequency while slewing, s/s
	For       time.Duration  // how long to slew, ≥ 0
}

// Applied is what a clock really did with an Adjustment: frequencies rounded
// to what it can run at. At is the time on the clock just after it acted (a
// step included), Mono the same moment on the monotonic clock.
type Applied struct {
	At   proto.Timestamp
	Mono proto.Instant
	Adjustment
}
