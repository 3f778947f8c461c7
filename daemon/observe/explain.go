package observe

import (
	"fmt"
	"math"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// States of sources beside the conditions of the engine.
const (
	StateCombined  = "combined"  // selected, and another is the reference
	StateAnswering = "answering" // live in a daemon that gives no reasons

	stateSelected    = string(engine.Selected)
	stateUnreachable = string(engine.Unreachable)
)

// enough is how many samples a source needs before it can be judged.
const enough = 3

// why says in one line why a source is in its state.
func why(row *Row, r *SourceReport, own *Own) string {
	text := line(row.Text)
	if text == "" {
		text = plain(row, r, own)
	}
	if row.RetryIn != nil {
		text += ", retry in " + Rough(*row.RetryIn)
	}
	return text
}

// plain explains the conditions that the engine leaves without a text.
func plain(row *Row, r *SourceReport, own *Own) string {
	switch engine.Condition(row.Condition) {
	case engine.Selected:
		if r.State == StateCombined {
			return "it agrees with the majority and shares in the time"
		}
		return "it agrees with the majority and is the reference"
	case engine.NoMajority:
		return agreement(own)
	case engine.Falseticker:
		if row.Offset != nil && own.Offset != nil {
			return "it disagrees with the majority by " + Signed(*row.Offset-*own.Offset)
		}
		return "it disagrees with the majority"
	case engine.Measuring:
		if row.Samples == nil {
			return "too few samples"
		}
		return fmt.Sprintf("too few samples: %d of %d", min(*row.Samples, enough), enough)
	case engine.Unreachable:
		return "it does not answer"
	case engine.Resolving:
		return "its name is being looked up"
	case engine.Exchanging:
		return "keys are being exchanged"
	case engine.Waiting:
		return "waiting for the next try"
	case engine.Demobilised:
		return "the server refuses to serve us"
	case engine.NotSupported:
		return "this build cannot use it"
	case engine.Unusable:
		return "it cannot be used"
	default:
		return r.State
	}
}

// agreement says how many agree and how many must.
func agreement(own *Own) string {
	if own.Agree == nil {
		return fmt.Sprintf("needs %d agreeing", own.Agreeing)
	}
	return fmt.Sprintf("needs %d agreeing and has %d", own.Agreeing, *own.Agree)
}

// clockState is the state of the clock and, where it is not synchronised, why.
func clockState(s *State, r *Report) (string, *string) {
	own := s.Own
	synchronised := s.System.Stratum < uint8(proto.MaxStratum) && r.Clock.Leap != "unsynchronised"
	if own != nil {
		synchronised = own.Synchronised
	}
	switch {
	case synchronised && own != nil && own.Selected == 0:
		return ClockHoldover, word("no source is in use now; the clock runs on at its last frequency")
	case synchronised:
		return ClockSynchronised, nil
	case len(r.Sources) == 0 && s.System.Stratum < uint8(proto.MaxStratum):
		return ClockLocal, word("no sources are configured")
	case len(r.Sources) == 0:
		return ClockNoSources, word("no sources are configured")
	default:
		return ClockUnsynchronised, word(whyNot(s, r))
	}
}

// whyNot says in a few words why a clock with sources is not synchronised.
func whyNot(s *State, r *Report) string {
	if s.Own == nil {
		return "the daemon does not say why"
	}
	var answering, measuring int
	for i := range r.Sources {
		switch engine.Condition(r.Sources[i].State) {
		case engine.Measuring:
			measuring++
		case engine.NoMajority, engine.Selected, engine.Falseticker, StateCombined:
			answering++
		}
	}
	switch {
	case answering+measuring == 0 && len(r.Sources) == 1:
		return "the only source cannot be used: " + r.Sources[0].Why
	case answering+measuring == 0:
		return fmt.Sprintf("none of the %d sources can be used: %s", len(r.Sources), r.Sources[0].Why)
	case measuring > 0 && answering < s.Own.Agreeing:
		return "measuring, which takes a few seconds"
	case answering < s.Own.Agreeing:
		return fmt.Sprintf("%s must agree and only %s", number(s.Own.Agreeing, "source"), does(answering))
	case s.Own.Agree != nil && *s.Own.Agree < s.Own.Agreeing:
		return fmt.Sprintf("%s must agree and only %s; the others say another time", number(s.Own.Agreeing, "source"), agree(*s.Own.Agree))
	default:
		return line(s.Own.Text)
	}
}

func agree(n int) string {
	if n == 1 {
		return "1 does"
	}
	return fmt.Sprintf("%d do", n)
}

func does(n int) string {
	if n == 1 {
		return "1 can be used"
	}
	return fmt.Sprintf("%d can be used", n)
}

// headline says in one sentence how the clock is.
func headline(r *Report) string {
	c := &r.Clock
	within := ""
	if c.ErrorBound != nil {
		within = ", the clock is within " + Magnitude(*c.ErrorBound) + " of true time"
	}
	switch c.State {
	case ClockSynchronised:
		if c.Selected == nil {
			return fmt.Sprintf("Synchronised: stratum %d%s.", c.Stratum, within)
		}
		agree := "agree"
		if *c.Selected == 1 {
			agree = "is followed"
		}
		return fmt.Sprintf("Synchronised: %s %s%s.", share(*c.Selected, len(r.Sources)), agree, within)
	case ClockHoldover:
		return "Holding over: no source answers now" + within + "."
	case ClockLocal:
		return fmt.Sprintf("Serving the local clock at stratum %d: no sources are configured.", c.Stratum)
	default:
		reason := "the daemon does not say why"
		if c.Reason != nil && *c.Reason != "" {
			reason = *c.Reason
		}
		return "Not synchronised: " + reason + "."
	}
}

func share(n, total int) string {
	if n == total {
		return number(n, "source")
	}
	return fmt.Sprintf("%d of %s", n, number(total, "source"))
}

// number is a count with its noun.
func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Signed prints seconds with a sign and three significant digits, in the unit
// that suits them.
func Signed(v float64) string {
	if v < 0 {
		return "-" + Magnitude(-v)
	}
	return "+" + Magnitude(v)
}

// Magnitude prints seconds ≥ 0 with three significant digits, in the unit
// that suits them.
func Magnitude(v float64) string {
	switch {
	case !(v < unknown):
		return "unknown"
	case v >= 999.5:
		return Rough(v)
	case v >= 0.9995:
		return digits(v, "s")
	case v >= 0.9995e-3:
		return digits(v*1e3, "ms")
	case v >= 0.9995e-6:
		return digits(v*1e6, "µs")
	default:
		return fmt.Sprintf("%.0f ns", v*1e9)
	}
}

// digits prints a value of 1 to 999 with three significant digits.
func digits(v float64, unit string) string {
	decimals := 2 - int(math.Floor(math.Log10(math.Max(v, 1)*(1+1e-12))))
	if v >= 9.995 && decimals == 2 || v >= 99.95 && decimals == 1 {
		decimals--
	}
	return fmt.Sprintf("%.*f %s", max(decimals, 0), v, unit)
}

// Rough prints seconds as people say them: 45 s, 9 min, 3 h 20 min, 61 d.
func Rough(v float64) string {
	d := time.Duration(math.Min(math.Abs(v), 1e9) * float64(time.Second)).Round(time.Second)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 24*time.Hour:
		return pair(d, time.Hour, "h", time.Minute, "min")
	case d < 14*24*time.Hour:
		return pair(d, 24*time.Hour, "d", time.Hour, "h")
	default:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	}
}

func pair(d, large time.Duration, a string, small time.Duration, b string) string {
	if rest := d % large / small; rest > 0 {
		return fmt.Sprintf("%d %s %d %s", d/large, a, rest, b)
	}
	return fmt.Sprintf("%d %s", d/large, a)
}
