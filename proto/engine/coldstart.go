package engine

import (
	"fmt"
	"time"

	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// A machine without a clock that runs while it is off begins at a time at
// which no certificate is valid; and without a certificate there is no time
// from NTS. A bounded cold start is the way out that RFC 8915 section 8.5
// describes:
//
//   - Until the clock is first set, a certificate may be valid at another time
//     than now, from a bound on: when this program was made, or when the state
//     was last saved, whichever is later. All else about it must be right.
//   - Nothing that such a source says is believed before a quorum of sources
//     agrees.
//   - The time on which they agree must be within the validity of the
//     certificates of all that agree. Then the clock is set, once.
//   - Sources that did not take part and whose certificates are not valid at
//     that time exchange keys anew.
//
// Whoever holds the key of a certificate that expired after the bound can
// still lie, as far back as that; with a quorum he needs several.
type proof struct {
	provisional bool
	from, to    time.Time // when the chain of certificates is valid
}

func (p *proof) covers(at time.Time) bool { return !at.Before(p.from) && !at.After(p.to) }

// coldRetry is how long a correction waits that had no quorum.
const coldRetry = 2 * time.Second

// earliest is the bound of a cold start; zero where certificates must be valid
// now.
func (e *Engine) earliest() time.Time {
	if !e.cfg.BoundedColdStart || e.serving.synced || e.caution.on {
		return time.Time{}
	}
	bound := eraStart
	if !e.saved.Floor.IsZero() {
		bound = e.saved.Floor.TimeNear(eraStart)
	}
	if e.saved.SavedAt.After(bound) {
		bound = e.saved.SavedAt
	}
	return bound
}

// proofOf is what a key exchange proves about the time. While the clock is
// before the bound, and so certainly wrong, a certificate that is valid by it
// proves no more than another.
func (e *Engine) proofOf(ev *KeysEstablished) proof {
	bound := e.earliest()
	if bound.IsZero() || ev.NotBefore.IsZero() {
		return proof{}
	}
	wrong := e.now.Wall.TimeNear(bound).Before(bound)
	return proof{provisional: ev.Provisional || wrong, from: ev.NotBefore, to: ev.NotAfter}
}

// vouched reports whether a correction may be made: whether the sources that
// agree on it are enough, and their certificates are valid then. Sources whose
// certificates are not are given up.
func (e *Engine) vouched(a kalman.Adjustment) bool {
	if a.Step == 0 && a.Slew == 0 {
		return true
	}
	at := e.now.Wall.Add(e.discipline.Estimate(e.now).Offset).TimeNear(eraStart)
	agree, slots, provisional, contradicted := 0, 0, false, false
	e.slots(func(s *source, t *slot) {
		if s.ke != nil {
			slots++
		}
		if t.live == nil || e.discipline.Source(e.now, t.live.id).State != kalman.Selected {
			return
		}
		agree++
		if t.proof.provisional {
			provisional = true
			contradicted = contradicted || !t.proof.covers(at)
		}
	})
	if !provisional {
		return true
	}
	if contradicted {
		e.disprove(at, true)
		return false
	}
	return agree >= max(e.cfg.Discipline.MinimumAgreeing, min(slots, 2))
}

// prove ends the cold start at a clock that was set: what took part has been
// verified at the time that was agreed on.
func (e *Engine) prove() {
	e.disprove(e.now.Wall.TimeNear(eraStart), false)
	e.slots(func(_ *source, t *slot) { t.proof.provisional = false })
}

// disprove gives up sources whose certificates are not valid at a time: all
// of them, or only those that are selected.
func (e *Engine) disprove(at time.Time, selected bool) {
	e.slots(func(s *source, t *slot) {
		l := t.live
		if l == nil || !t.proof.provisional || t.proof.covers(at) ||
			selected && e.discipline.Source(e.now, l.id).State != kalman.Selected {
			return
		}
		f := Failure{Class: ClassCertExpired, Text: fmt.Sprintf("the certificate is valid from %s to %s, and the sources say that it is %s",
			t.proof.from.Format(time.DateOnly), t.proof.to.Format(time.DateOnly), at.Format(time.DateOnly))}
		e.stop(s, t, "its certificate was not valid")
		t.proof = proof{}
		t.keying.useless(e, s, f)
	})
}

// toldProvisional says that a source is not believed yet.
func (e *Engine) toldProvisional(s *source, t *slot) {
	if t.proof.provisional {
		e.reportSource(s, t.live, Incident{
			Level: Info, Code: "source-provisional",
			Text: fmt.Sprintf("the clock is not known and the certificate is valid from %s to %s: it is believed if the sources agree on a time within that",
				t.proof.from.Format(time.DateOnly), t.proof.to.Format(time.DateOnly)),
		})
	}
}

// refuse takes back a correction that nobody vouches for.
func (e *Engine) refuse() {
	e.discipline.SteerFailed(e.now)
	e.steering.retry = e.now.Mono.Add(coldRetry)
}
