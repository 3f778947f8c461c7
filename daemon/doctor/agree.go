package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/daemon/config"
	"github.com/ntpd-go/ntpd-go/daemon/probe"
)

// voice is one answer that could count.
type voice struct {
	*source
	answer   *probe.Answer
	interval probe.Interval
}

// slack is added to the bounds that servers give, in seconds: this program is
// not as exact as the daemon.
const slack = 2e-3

// maxDistance is the root distance from which on the daemon does not use a
// source (RFC 5905: MAXDIST), in seconds.
const maxDistance = 1.5

// fit says what keeps the daemon from using an answer that came, or nothing.
func (e *exam) fit(a *probe.Answer) (why, fix string) {
	local := e.cfg.Synchronization.LocalStratum
	switch {
	case a.RootDistance() >= maxDistance:
		return fmt.Sprintf("is up to %s off by its own account (root distance)", probe.Magnitude(a.RootDistance())), "use a server that is nearer to a reference clock, or in better order"
	case a.Stratum >= local:
		return fmt.Sprintf("has stratum %d, and local-stratum is %d", a.Stratum, local), "sources must have a stratum below local-stratum: raise it, or remove it"
	default:
		return "", ""
	}
}

// voices are the answers of sources that the daemon would use.
func (e *exam) voices() []voice {
	var out []voice
	for _, s := range e.sources {
		if s.said {
			continue
		}
		good := s.good()
		if !s.pool() && len(good) > 1 {
			good = good[:1]
		}
		for _, a := range good {
			if why, _ := e.fit(a); why != "" {
				continue
			}
			b := a.Bound() + slack
			out = append(out, voice{s, a, probe.Interval{Low: *a.Offset - b, High: *a.Offset + b}})
		}
	}
	return out
}

// agreement is what the most voices have in common.
func (e *exam) agreement() (all []voice, common probe.Interval, agreeing int) {
	all = e.voices()
	if len(all) == 0 {
		return nil, probe.Interval{}, 0
	}
	at := make([]probe.Interval, len(all))
	for i := range all {
		at[i] = all[i].interval
	}
	common, agreeing = probe.Agree(at)
	return all, common, agreeing
}

// needed is how many must agree.
func (e *exam) needed() int { return max(e.cfg.Synchronization.MinimumAgreeingSources, 1) }

// clockAgainstSources compares the clock with what the sources agree on.
func (e *exam) clockAgainstSources() {
	all, common, agreeing := e.agreement()
	if agreeing < e.needed() || 2*agreeing <= len(all) {
		return
	}
	offset := (common.Low + common.High) / 2
	s := &e.cfg.Synchronization
	limit, key := s.StartupStepPanic, "startup-step-panic-threshold"
	if e.answer != nil && e.answer.Own != nil && e.answer.Own.Synchronised {
		limit, key = s.SingleStepPanic, "single-step-panic-threshold"
	}
	most, way := limit.Forward, "forward"
	if offset < 0 {
		most, way = limit.Backward, "backward"
	}
	word := "behind"
	if offset < 0 {
		word = "ahead of"
	}
	measured := fmt.Sprintf("%s %s %d sources that agree", probe.Magnitude(abs(offset)), word, agreeing)
	if most != config.Unlimited && abs(offset) >= most.Seconds() && abs(offset) > 0.01 {
		e.fail("clock-offset", "", measured+": the daemon stops rather than step so far", fmt.Sprintf("less than %v %s (%s)", most.Round(time.Second), way, key),
			"set the clock roughly once (date -s), or raise "+key+" after you have made sure that the sources are right")
		return
	}
	e.ok("clock-offset", "", measured)
}

// quorum looks whether enough sources can be used, and agree.
func (e *exam) quorum() {
	all, common, agreeing := e.agreement()
	need := e.needed()
	if len(e.cfg.Sources) == 0 || len(e.sources) < len(e.cfg.Sources) {
		return // nothing to steer to, or sources that cannot be asked
	}
	if !e.cfg.CanSteer() {
		return // said
	}
	if len(all) > 0 && 2*agreeing <= len(all) {
		e.fail("agreement", "", fmt.Sprintf("%d sources give times that do not fit together: %s", len(all), list(all)), "a majority that agrees",
			"compare them with ntp-ctl query --compare and remove those that are wrong; add sources")
		return
	}
	for _, v := range all {
		if v.interval.High < common.Low || v.interval.Low > common.High {
			v.said = true
			e.problem("agreement", v.name, fmt.Sprintf("falseticker: %s from this clock, where %d others agree on %s", probe.Signed(*v.answer.Offset), agreeing, probe.Signed((common.Low+common.High)/2)),
				"the time of the others", "remove it, or tell its operator")
		}
	}
	if agreeing < need {
		e.fail("quorum", "", fmt.Sprintf("%d of %d sources can be used and agree", agreeing, e.cfg.Expected()), fmt.Sprintf("%d (minimum-agreeing-sources)", need),
			"mend or replace the sources above; or lower minimum-agreeing-sources")
		return
	}
	e.ok("quorum", "", fmt.Sprintf("%d sources agree, %d are needed", agreeing, need))
}

func list(all []voice) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = v.name + " " + probe.Signed(*v.answer.Offset)
	}
	return strings.Join(words, ", ")
}
