package kalman

import "github.com/ntpd-go/ntpd-go/proto"

// Threshold limits a correction by its direction; a correction must stay
// strictly below. MaxDuration means no limit, 0 forbids the direction.
type Threshold struct{ Forward, Backward proto.Duration }

// Config is what an operator may set about the discipline of the clock.
// Nil and zero mean "our default" where a comment says so.
type Config struct {
	MinimumAgreeing  int            // sources that must agree, ≥ 1
	SingleStep       Threshold      // panic threshold after startup
	StartupStep      Threshold      // panic threshold of the first correction
	AccumulatedSteps proto.Duration // panic threshold of Σ|step|; 0 is none
	LocalStratum     uint8          // sources at or above it are not used
	Trust            Trust          // what authentication is worth in the vote
	Algorithm        Algorithm
}

// Algorithm holds the optional keys of [synchronization.algorithm]; nil keeps
// our default.
type Algorithm struct {
	StepThreshold             *float64 // s
	SlewMaximumFrequency      *float64 // s/s
	SlewMinimumDuration       *float64 // s
	MaximumFrequencySteer     *float64 // s/s
	MaximumSourceUncertainty  *float64 // s
	InitialFrequencyUncertain *float64 // s/s
	InitialWander             *float64 // s/s²
	MeddlingThreshold         *float64 // s
	RangeStatisticalWeight    *float64
	RangeDelayWeight          *float64
	IgnoreServerDispersion    *bool
}
