package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
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
//     agrees. All whose keys one key exchange server gave are one: it is his
//     certificate that is in doubt, and he can name whom he likes.
//   - The time on which they agree must be within the validity of the
//     certificates of all that agree. Then the clock is set, once.
//   - Sources that did not take part and whose certificates are not valid at
//     that time exchange keys anew.
//
// Whoever holds the key of a certificate that expired after the bound can
// still lie, as far back as that; where several key exchange servers are
// configured he needs two, and a pool alone is no quorum unless one source is
// enough. Names count: those of one certificate are several. And sources without
// keys, where they may set the clock alone, may set it here, too.
type proof struct {
	provisional bool
	from, to    time.Time // when the chain of certificates is valid
}

func (p *proof) covers(at time.Time) bool { return !at.Before(p.from) && !at.After(p.to) }

const (
	// coldRetry is how long a correction waits that had no quorum.
	coldRetry = 2 * time.Second
	// coldPatience is how long a quorum may take before its lack is worth a word.
	coldPatience = time.Minute
)

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

// quorum counts who agrees on a correction in a cold start. Certificates are
// for names, so key exchange servers at different ports of one are one.
type quorum struct {
	slots      int      // of sources that exchange keys
	agree      int      // servers
	plain      int      // of them, those without keys
	keyServers []string // names of those that gave the others' keys
	configured []string // names of all that are asked for keys
}

// opinions is how many agree that do not hang on one certificate.
func (q *quorum) opinions() int { return q.plain + len(q.keyServers) }

// vouchers is how many key exchange servers must be among them: one of several
// is not enough, whatever sources say that anybody can forge.
func (q *quorum) vouchers() int { return min(len(q.configured), 2) }

func (q *quorum) reached(minimum int) bool {
	return len(q.keyServers) >= q.vouchers() && q.opinions() >= minimum && q.agree >= min(q.slots, 2)
}

// join adds a name to a list that does not have it.
func join(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// vouched reports whether a correction may be made: whether the sources that
// agree on it are enough, and their certificates are valid then. Sources whose
// certificates are not are given up.
func (e *Engine) vouched(a kalman.Adjustment) bool {
	if a.Step == 0 && a.Slew == 0 {
		return true
	}
	at := e.now.Wall.Add(e.discipline.Estimate(e.now).Offset).TimeNear(eraStart)
	var q quorum
	provisional, contradicted := false, false
	e.slots(func(s *source, t *slot) {
		if s.ke != nil {
			q.slots++
			q.configured = join(q.configured, s.ke.host)
		}
		l := t.live
		if l == nil || e.discipline.Source(e.now, l.id).State != kalman.Selected {
			return
		}
		q.agree++
		if l.ke != nil {
			q.keyServers = join(q.keyServers, l.ke.host)
		} else {
			q.plain++
		}
		if t.proof.provisional {
			provisional = true
			contradicted = contradicted || !t.proof.covers(at)
		}
	})
	switch {
	case !provisional:
		return true
	case contradicted:
		e.disprove(at, true)
		return false
	case !q.reached(e.cfg.Discipline.MinimumAgreeing):
		e.lacks(&q)
		return false
	}
	return true
}

// cold is what is remembered of a cold start that has no quorum.
type cold struct {
	since proto.Instant // a correction was first refused; 0 for never
	told  bool
}

// lacks says once that there is no quorum, when there was time for one.
func (e *Engine) lacks(q *quorum) {
	if e.cold.since == 0 {
		e.cold.since = e.now.Mono
	}
	if e.cold.told || e.now.Mono < e.cold.since.Add(coldPatience) {
		return
	}
	e.cold.told = true
	e.report(Incident{
		Level: Warn, Code: "cold-start-no-quorum",
		Text: fmt.Sprintf("the clock is not known, and too few agree on the time: %d sources of the %d that are needed, with %d key exchange servers of %d; servers whose keys come from one count as one; "+
			"set the clock, configure other sources, or ask for fewer (minimum-agreeing-sources)",
			q.opinions(), e.cfg.Discipline.MinimumAgreeing, len(q.keyServers), q.vouchers()),
	})
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
