package config

import (
	"math"
	"time"
)

// Synchronization is [synchronization].
type Synchronization struct {
	Table
	// MinimumAgreeingSources is as written, or derived from the sources: see Derived.
	MinimumAgreeingSources int
	SingleStepPanic        StepLimit
	StartupStepPanic       StepLimit
	AccumulatedStepPanic   time.Duration // Unlimited when unset or 0
	LocalStratum           uint8
	ReferenceID            [4]byte // padded with spaces
	WarnOnJump             bool
	// UpdateSystemClock is false when the system's clock is left alone and a clock in user space is steered.
	UpdateSystemClock bool
	// NTSSelection is what sources with NTS count beside others.
	NTSSelection NTSSelection
	// NTSColdStart is what certificates must be before the clock is first set.
	NTSColdStart NTSColdStart
	// WatchdogPool is the name of a large pool that watches the clock; empty for no watchdog.
	WatchdogPool string
	// WatchdogHold leaves the clock alone while that pool disagrees with the sources.
	WatchdogHold bool
	// StatePath is empty where nothing is to be kept. It is used with the system's clock only.
	StatePath string
	// NTSStatePath is empty where nothing is to be kept.
	NTSStatePath string
	Algorithm    Algorithm

	minimum     *int
	accumulated *float64
}

// NTSSelection says what sources with NTS count beside others when it is decided which of them to believe.
type NTSSelection uint8

// The values of nts-selection.
const (
	NTSOutvotes NTSSelection = iota // others only support them, where one of them can vote
	NTSRequired                     // nobody else ever votes
	NTSEqual                        // all count the same
)

// NTSColdStart says what the certificates of key exchanges must be on a machine that does not know the time.
type NTSColdStart uint8

// The values of nts-cold-start.
const (
	ColdStartStrict  NTSColdStart = iota // valid by the clock, whatever it shows
	ColdStartBounded                     // valid at the time that a quorum of such sources agrees on
)

// A StepLimit is the largest step that is believed, each way. A step must be smaller; zero forbids steps that way.
type StepLimit struct{ Forward, Backward time.Duration }

// DefaultStatePath is where the state of the system's clock is kept unless the file says otherwise.
const DefaultStatePath = "/var/lib/ntpd-rs/clock.json"

// NTSState is where keys and cookies are kept by a daemon that steers the system's clock, or another. The latter is often
// a trial: it leaves the default alone.
func (s *Synchronization) NTSState(system bool) string {
	if system || s.Has("nts-state-path") {
		return s.NTSStatePath
	}
	return ""
}

// DefaultNTSStatePath is where keys and cookies of NTS sources are kept unless the file says otherwise.
const DefaultNTSStatePath = "/var/lib/ntpd-rs/nts.json"

// Algorithm is [synchronization.algorithm]: ntpd-rs' tuning of its filter. What is nil is not written, and the filter
// takes its own default; Table.Has and At tell where the others stand.
type Algorithm struct {
	Table
	PrecisionLowProbability     *float64
	PrecisionHighProbability    *float64
	PrecisionHysteresis         *int32
	PrecisionMinimumWeight      *float64
	PollIntervalLowWeight       *float64
	PollIntervalHighWeight      *float64
	PollIntervalHysteresis      *int32
	PollIntervalStepThreshold   *float64
	DelayOutlierThreshold       *float64 // σ
	InitialWander               *float64 // s/s²
	InitialFrequencyUncertainty *float64 // s/s
	MaximumSourceUncertainty    *float64 // s
	RangeStatisticalWeight      *float64
	RangeDelayWeight            *float64
	SteerOffsetThreshold        *float64 // σ
	SteerOffsetLeftover         *float64 // σ
	SteerFrequencyThreshold     *float64 // σ
	SteerFrequencyLeftover      *float64 // σ
	StepThreshold               *float64 // s
	SlewMaximumFrequencyOffset  *float64 // s/s
	SlewMinimumDuration         *float64 // s
	MaximumFrequencySteer       *float64 // s/s
	IgnoreServerDispersion      *bool
	MeddlingThreshold           *float64 // s
}

var synchronizationTable = table[Synchronization]{keys: []*key[Synchronization]{
	val("minimum-agreeing-sources", opt(whole[int](0, 1<<31-1)), func(s *Synchronization) **int { return &s.minimum },
		"sources that must agree before the clock is steered").
		unset("min(3, n/2+1) for n sources").differs("3", "minimum-agreeing-sources").once("min-intersection-survivors"),
	val("single-step-panic-threshold", stepLimit, func(s *Synchronization) *StepLimit { return &s.SingleStepPanic },
		"the daemon stops rather than step the clock by more seconds than this").otherwise("1000").once("panic-threshold"),
	val("startup-step-panic-threshold", stepLimit, func(s *Synchronization) *StepLimit { return &s.StartupStepPanic },
		"the same, for the first step").otherwise(`{ forward = "inf", backward = 86400 }`).once("startup-panic-threshold"),
	val("accumulated-step-panic-threshold", opt(number("number of seconds not below 0", 0, math.MaxFloat64)),
		func(s *Synchronization) **float64 { return &s.accumulated },
		"the daemon stops when steps after the first add up to more seconds; 0 for no limit").unset("no limit").once("accumulated-threshold"),
	val("local-stratum", whole[uint8](1, 16), func(s *Synchronization) *uint8 { return &s.LocalStratum },
		"stratum served without sources; sources must be below it").otherwise("16"),
	val("reference-id", referenceID, func(s *Synchronization) *[4]byte { return &s.ReferenceID },
		"reference id served at stratum 1").otherwise(`"XNON"`),
	val("warn-on-jump", boolean, func(s *Synchronization) *bool { return &s.WarnOnJump },
		"log steps as warnings").otherwise("true"),
	val("update-system-clock", boolean, func(s *Synchronization) *bool { return &s.UpdateSystemClock },
		"false leaves the system's clock alone and steers one in user space, which is what is served").otherwise("true").
		differs("not a key", "update-system-clock"),
	val("nts-selection", word(named[NTSSelection]{"outvote", NTSOutvotes}, named[NTSSelection]{"require", NTSRequired}, named[NTSSelection]{"equal", NTSEqual}),
		func(s *Synchronization) *NTSSelection { return &s.NTSSelection },
		"whether sources with NTS alone vote on the time where there are some, always, or like all others").otherwise(`"outvote"`).
		differs("not a key", "nts-selection"),
	val("nts-cold-start", word(named[NTSColdStart]{"strict", ColdStartStrict}, named[NTSColdStart]{"bounded", ColdStartBounded}),
		func(s *Synchronization) *NTSColdStart { return &s.NTSColdStart },
		"whether certificates must be valid by the clock before it is first set, or at the time that the sources then agree on").otherwise(`"strict"`).
		differs("not a key", "nts-cold-start"),
	val("watchdog-pool", nameOrOff, func(s *Synchronization) *string { return &s.WatchdogPool },
		"name of a large pool of which a few servers are asked each hour whether the clock is right").otherwise(`""`).
		differs("not a key", "watchdog"),
	val("watchdog-action", word(named[bool]{"alarm", false}, named[bool]{"hold", true}), func(s *Synchronization) *bool { return &s.WatchdogHold },
		"when that pool says that it is not: only say so, or also leave the clock alone until the sources agree with the pool").otherwise(`"alarm"`).
		differs("not a key", "watchdog"),
	val("state-path", orOff, func(s *Synchronization) *string { return &s.StatePath },
		"file that keeps the frequency of the system's clock across restarts").otherwise(`"`+DefaultStatePath+`"`).
		differs("not a key", "state-path"),
	val("nts-state-path", orOff, func(s *Synchronization) *string { return &s.NTSStatePath },
		"file that keeps keys and unused cookies of NTS sources across restarts; with `update-system-clock = false` only where this is written").otherwise(`"`+DefaultNTSStatePath+`"`).
		differs("not a key", "cookie-persistence"),
	sub("algorithm", &algorithmTable, func(s *Synchronization) *Algorithm { return &s.Algorithm },
		"tuning of the filter"),
}}

// moot is said of keys that tune steps of ntpd-rs' filter which ours does not take.
const moot = "has no effect: our filter learns from the measurements what this key sets in ntpd-rs'; remove it"

// ineffective is a key that tunes what our filter does not do.
func ineffective[V any](name string, k kind[*V], theirs, doc string, field func(*Algorithm) **V) *key[Algorithm] {
	return val(name, k, field, doc).unset("none").differs(theirs, "algorithm-defaults").unbuilt(EffectNone, moot, always[Algorithm])
}

// amount is a number that our filter takes. Ours is what it takes unless the key is written, which it knows by itself:
// proto/kalman proves that what is documented here is what it does. Theirs is empty where it is the same.
func amount(name, ours, theirs, doc string, field func(*Algorithm) **float64) *key[Algorithm] {
	k := val(name, opt(notNegative), field, doc).unset(ours)
	if theirs != "" {
		k.differs(theirs, "algorithm-defaults")
	}
	return k
}

var (
	someWeight = opt(weight)
	someNumber = opt(notNegative)
	someSteps  = opt(whole[int32](0, 1<<31-1))
)

var algorithmTable = table[Algorithm]{keys: []*key[Algorithm]{
	ineffective("precision-low-probability", someWeight, "1/3", "below it a measurement counts for a lower wander", func(a *Algorithm) **float64 { return &a.PrecisionLowProbability }),
	ineffective("precision-high-probability", someWeight, "2/3", "above it a measurement counts for a higher wander", func(a *Algorithm) **float64 { return &a.PrecisionHighProbability }),
	ineffective("precision-hysteresis", someSteps, "16", "counts before the wander changes", func(a *Algorithm) **int32 { return &a.PrecisionHysteresis }),
	ineffective("precision-minimum-weight", someWeight, "0.1", "measurements of less weight say nothing of wander", func(a *Algorithm) **float64 { return &a.PrecisionMinimumWeight }).once("precision-min-weight"),
	ineffective("poll-interval-low-weight", someWeight, "0.4", "below it polling slows down", func(a *Algorithm) **float64 { return &a.PollIntervalLowWeight }).once("poll-low-weight"),
	ineffective("poll-interval-high-weight", someWeight, "0.6", "above it polling speeds up", func(a *Algorithm) **float64 { return &a.PollIntervalHighWeight }).once("poll-high-weight"),
	ineffective("poll-interval-hysteresis", someSteps, "16", "counts before polling changes", func(a *Algorithm) **int32 { return &a.PollIntervalHysteresis }).once("poll-hysteresis"),
	ineffective("poll-interval-step-threshold", someWeight, "1e-6", "a measurement less probable than this polls fastest", func(a *Algorithm) **float64 { return &a.PollIntervalStepThreshold }).once("poll-jump-threshold"),
	ineffective("delay-outlier-threshold", someNumber, "5.0", "σ of delay beyond which a measurement is dropped", func(a *Algorithm) **float64 { return &a.DelayOutlierThreshold }),
	amount("initial-wander", "learnt", "1e-8", "wander assumed at first, s/s²", func(a *Algorithm) **float64 { return &a.InitialWander }),
	amount("initial-frequency-uncertainty", "`100e-6`", "", "frequency error assumed at first, s/s", func(a *Algorithm) **float64 { return &a.InitialFrequencyUncertainty }),
	amount("maximum-source-uncertainty", "`1.5`", "0.25", "sources less certain than this do not vote, s", func(a *Algorithm) **float64 { return &a.MaximumSourceUncertainty }).once("max-peer-uncertainty"),
	amount("range-statistical-weight", "`2.0`", "", "weight of σ in a source's interval", func(a *Algorithm) **float64 { return &a.RangeStatisticalWeight }),
	amount("range-delay-weight", "`0.5`", "0.25", "weight of delay in a source's interval", func(a *Algorithm) **float64 { return &a.RangeDelayWeight }),
	ineffective("steer-offset-threshold", someNumber, "2.0", "σ of offset before it is corrected", func(a *Algorithm) **float64 { return &a.SteerOffsetThreshold }),
	ineffective("steer-offset-leftover", someNumber, "1.0", "σ of offset left uncorrected", func(a *Algorithm) **float64 { return &a.SteerOffsetLeftover }),
	ineffective("steer-frequency-threshold", someNumber, "0.0", "σ of frequency before it is corrected", func(a *Algorithm) **float64 { return &a.SteerFrequencyThreshold }),
	ineffective("steer-frequency-leftover", someNumber, "0.0", "σ of frequency left uncorrected", func(a *Algorithm) **float64 { return &a.SteerFrequencyLeftover }),
	amount("step-threshold", "`0.010` until the clock is synchronised, then `0.4`", "0.010", "offsets above it are stepped, s; written, it holds before and after the clock is synchronised", func(a *Algorithm) **float64 { return &a.StepThreshold }).once("jump-threshold"),
	amount("slew-maximum-frequency-offset", "`450e-6`", "200e-6", "fastest slew, s/s", func(a *Algorithm) **float64 { return &a.SlewMaximumFrequencyOffset }).once("slew-max-frequency-offset"),
	amount("slew-minimum-duration", "follows the poll interval", "8.0", "shortest slew, s", func(a *Algorithm) **float64 { return &a.SlewMinimumDuration }).once("slew-min-duration"),
	amount("maximum-frequency-steer", "`495e-6`", "", "largest frequency correction, s/s", func(a *Algorithm) **float64 { return &a.MaximumFrequencySteer }).once("max-frequency-steer"),
	val("ignore-server-dispersion", opt(boolean), func(a *Algorithm) **bool { return &a.IgnoreServerDispersion },
		"leave a server's dispersion out of its uncertainty").unset("`false`"),
	amount("meddling-threshold", "`5.0`", "", "a clock that jumps by more was set by somebody else, s", func(a *Algorithm) **float64 { return &a.MeddlingThreshold }),
}}

// stepLimit reads a number for both directions, "inf", or a table with one value a direction, where an omitted one
// means no limit.
var stepLimit = kind[StepLimit]{`seconds, "inf" or { forward, backward }`, func(d *decoder, path string, v *value) (StepLimit, bool) {
	if v.kind == tableValue {
		both := directions{Forward: Unlimited, Backward: Unlimited}
		ok := decodeTable(d, &directionsTable, &both, path, v)
		return StepLimit(both), ok
	}
	limit, ok := direction(`a number of seconds, "inf" or a table`, math.MaxFloat64).read(d, path, v)
	return StepLimit{limit, limit}, ok
}}

type directions struct{ Forward, Backward time.Duration }

var directionsTable = table[directions]{keys: []*key[directions]{
	val("forward", direction(`a number of seconds or "inf"`, math.Inf(1)), func(l *directions) *time.Duration { return &l.Forward }, "").unset("no limit"),
	val("backward", direction(`a number of seconds or "inf"`, math.Inf(1)), func(l *directions) *time.Duration { return &l.Backward }, "").unset("no limit"),
}}

func direction(form string, high float64) kind[time.Duration] {
	k := number("number of seconds not below 0", 0, high)
	return kind[time.Duration]{form, func(d *decoder, path string, v *value) (time.Duration, bool) {
		switch {
		case v.kind == stringValue && v.text == "inf":
			return Unlimited, true
		case v.kind == floatValue && math.IsInf(v.float, 1) && high < v.float:
			d.problem(v.pos, path, "inf is out of range", `write "inf" in quotes for no limit`)
			return 0, false
		case v.kind != integerValue && v.kind != floatValue:
			d.mismatch(path, v, form, `write a number without quotes, or "inf" for no limit`)
			return 0, false
		}
		f, ok := k.read(d, path, v)
		return seconds(f), ok
	}}
}

// referenceID reads up to four ASCII characters.
var referenceID = kind[[4]byte]{"up to 4 characters", func(d *decoder, path string, v *value) ([4]byte, bool) {
	id := [4]byte{' ', ' ', ' ', ' '}
	if v.kind != stringValue {
		d.mismatch(path, v, "a string of up to 4 characters", "write it in quotes")
		return id, false
	}
	good := len(v.text) <= 4
	for i := range min(len(v.text), 4) {
		good = good && v.text[i] >= ' ' && v.text[i] < 0x7f
		id[i] = v.text[i]
	}
	if !good {
		d.problem(v.pos, path, quoted(v.text)+" is not a reference id", "write up to 4 ASCII characters")
	}
	return id, good
}}
