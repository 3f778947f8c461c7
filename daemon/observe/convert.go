package observe

import (
	"net/netip"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/engine"
)

// FromStatus fills the parts of a document that the engine knows.
func FromStatus(st *engine.Status, now proto.Now, accumulatedThreshold proto.Duration, precision float64) (System, []Source, *Own) {
	s := &st.Snapshot
	age := max(0, now.Mono.Sub(s.Mono).Seconds())
	dispersion := s.RootDispersion.Seconds() + age*s.DispersionRate
	sys := System{
		Stratum:               s.Stratum,
		ReferenceID:           uint32(s.RefID),
		Precision:             precision,
		RootDelay:             s.RootDelay.Seconds(),
		RootDispersion:        &dispersion,
		RootVarianceBaseTime:  Timestamp{uint64(now.Wall)},
		RootVarianceBase:      dispersion * dispersion,
		RootVarianceLinear:    2 * dispersion * s.DispersionRate,
		RootVarianceQuadratic: s.DispersionRate * s.DispersionRate,
		LeapIndicator:         leapName(s.Leap),
		AccumulatedSteps:      st.AccumulatedSteps.Seconds(),
	}
	if accumulatedThreshold > 0 {
		v := accumulatedThreshold.Seconds()
		sys.AccumulatedStepsThreshold = &v
	}
	own := &Own{
		Schema: Schema, Synchronised: st.Synchronised, Text: st.Text, ReferenceID: s.RefID.String(),
		Offset: seconds(st.Offset), Sigma: seconds(st.Sigma), Frequency: st.Frequency,
		Selected: st.Selected, Agreeing: st.Agreeing, Steps: st.Steps, Primary: uint64(st.Primary), Agree: &st.Agree,
		Sources: make([]Row, 0, len(st.Sources)),
	}
	if *own.Sigma == 0 || st.Sigma == proto.MaxDuration {
		own.Offset, own.Sigma = nil, nil
	}
	live := make([]Source, 0, len(st.Sources))
	for i := range st.Sources {
		src := &st.Sources[i]
		own.Sources = append(own.Sources, row(src))
		if src.ID != 0 {
			live = append(live, source(src))
		}
	}
	return sys, live, own
}

func source(s *engine.SourceStatus) Source {
	out := Source{
		Offset: s.Offset.Seconds(), Uncertainty: s.Sigma.Seconds(), Delay: s.Delay.Seconds(),
		RemoteDelay: s.RootDelay.Seconds(), RemoteUncertainty: s.RootDisp.Seconds(),
		LastUpdate: Timestamp{uint64(s.LastUpdate)}, UnansweredPolls: s.Unanswered, PollInterval: s.Poll,
		Name: s.Name, Address: address(s.Addr), ID: uint64(s.ID),
	}
	if s.NTS {
		n := s.Cookies
		out.NTSCookies = &n
	}
	return out
}

func row(s *engine.SourceStatus) Row {
	r := Row{
		Source: s.Index, ID: uint64(s.ID), Name: s.Name, Mode: string(s.Mode), Address: address(s.Addr),
		Condition: string(s.Condition), Reason: string(s.Reason), Text: s.Text, NTS: s.NTS, Reach: s.Reach,
	}
	if s.RetryIn > 0 {
		v := s.RetryIn.Seconds()
		r.RetryIn = &v
	}
	if s.ID == 0 {
		return r
	}
	if !s.NotAfter.IsZero() {
		end := s.NotAfter.UTC()
		r.NotAfter = &end
	}
	poll, samples, dropped, unanswered := s.Poll, s.Samples, s.Dropped, s.Unanswered
	r.Poll, r.Samples, r.Dropped, r.Unanswered = &poll, &samples, &dropped, &unanswered
	if s.NTS {
		n := s.Cookies
		r.Cookies = &n
	}
	if s.Samples > 0 {
		stratum := s.Stratum
		r.Stratum, r.RefID = &stratum, s.RefID.String()
		r.Offset, r.Sigma, r.Delay = seconds(s.Offset), seconds(s.Sigma), seconds(s.Delay)
		r.RootDelay, r.RootDispersion = seconds(s.RootDelay), seconds(s.RootDisp)
		r.LastUpdate = &Timestamp{uint64(s.LastUpdate)}
	}
	return r
}

func seconds(d proto.Duration) *float64 {
	v := d.Seconds()
	return &v
}

func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// leapName is ntpd-rs' word. It knows Unknown in every release and
// Unsynchronized only in later ones.
func leapName(l proto.Leap) string {
	switch l {
	case proto.LeapNone:
		return "NoWarning"
	case proto.LeapInsert:
		return "Leap61"
	case proto.LeapDelete:
		return "Leap59"
	default:
		return "Unknown"
	}
}
