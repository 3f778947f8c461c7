package engine

import (
	"fmt"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/client"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// Status says how everything stands. The value shares nothing with the
// engine.
func (e *Engine) Status(now proto.Now) Status {
	est := e.discipline.Estimate(now)
	st := Status{
		Snapshot: e.serving.snapshot,
		Offset:   est.Offset, Sigma: est.Sigma, Frequency: est.Frequency,
		Selected: len(est.Selected), Primary: est.Primary, Agree: est.Agreeing, Agreeing: e.cfg.Discipline.MinimumAgreeing,
		AccumulatedSteps: est.AccumulatedSteps, Steps: est.Steps,
	}
	e.slots(func(s *source, slot *slot) { st.Sources = append(st.Sources, e.row(now, s, slot)) })
	st.Synchronised = e.serving.told.Synchronised
	if !st.Synchronised {
		st.Text = e.whyNot(est)
	}
	return st
}

// whyNot explains why the clock is not synchronised.
func (e *Engine) whyNot(est kalman.Estimate) string {
	need := e.cfg.Discipline.MinimumAgreeing
	switch {
	case e.halted:
		return "stopped: a limit was exceeded"
	case len(e.sources) == 0:
		return "no sources are configured"
	case !e.cfg.Steering:
		return "the clock is not steered"
	case est.Agreeing < need:
		return fmt.Sprintf("%d of %d sources that must agree do so", est.Agreeing, need)
	case !est.Synchronised:
		return "measuring"
	default:
		return "the time is too uncertain: root distance " + (est.RootDelay/2 + est.RootDispersion).String()
	}
}

// row describes one slot.
func (e *Engine) row(now proto.Now, s *source, slot *slot) SourceStatus {
	r := SourceStatus{Index: s.index, Name: s.cfg.Name, Mode: s.cfg.Mode, Sigma: proto.MaxDuration}
	r.NTS = s.cfg.Mode == ModeNTS || s.cfg.Mode == ModeNTSPool
	p := s.spawner.pending(s, slot)
	l := slot.live
	if l == nil {
		r.Condition, r.Reason, r.Text = p.condition, Reason(p.failure.Class), p.failure.Text
		r.explain(s.fallback())
		if p.retry != proto.Never && p.retry > now.Mono {
			r.RetryIn = time.Duration(p.retry - now.Mono)
		}
		return r
	}
	server, counts, est := l.assoc.Server(), l.assoc.Counts(), e.discipline.Source(now, l.id)
	r.ID, r.Addr = l.id, l.addr
	r.Cookies, r.Reach, r.Unanswered, r.Poll = l.assoc.Cookies(), l.assoc.Reach(), l.assoc.Unanswered(), l.assoc.Poll()
	r.Stratum, r.RefID, r.Leap = server.Stratum, server.RefID, server.Leap
	r.RootDelay, r.RootDisp = server.RootDelay, server.RootDispersion
	r.Offset, r.Sigma, r.Delay, r.Samples, r.LastUpdate = est.Offset, est.Sigma, est.Delay, est.Samples, est.LastUpdate
	r.Measured, r.NotAfter = l.measured, slot.keying.notAfter
	r.Accepted, r.Dropped = counts.Of(client.Accepted), counts.Dropped()
	if r.Condition, r.Reason, r.Text = e.problem(l); r.Condition != "" {
		if p.failure.Failed() {
			r.Text += "; " + p.failure.Text
		}
		r.explain(s.fallback())
		return r
	}
	r.Condition = condition(est.State)
	r.Text = est.Reason
	r.explain(s.fallback())
	return r
}

// explain adds to a row that all is not as it was configured.
func (r *SourceStatus) explain(f Failure) {
	switch {
	case !f.Failed() || strings.HasSuffix(r.Text, f.Text):
	case r.Text == "":
		r.Text = f.Text
	default:
		r.Text += "; " + f.Text
	}
	if r.Reason == "" {
		r.Reason = Reason(f.Class)
	}
}

func condition(s kalman.State) Condition {
	switch s {
	case kalman.Unreachable:
		return Unreachable
	case kalman.Unusable:
		return Unusable
	case kalman.Falseticker:
		return Falseticker
	case kalman.NoMajority:
		return NoMajority
	case kalman.Selected:
		return Selected
	default:
		return Measuring
	}
}
