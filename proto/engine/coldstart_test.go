package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

const yearOf = 365 * 24 * time.Hour

// coldWorld is a machine that begins in 1970, with sources whose certificates
// are valid for a year from half a year before the truth on.
func coldWorld(t *testing.T, bounded bool, n int) (*world, []*host) {
	var sources []Source
	for i := range n {
		sources = append(sources, src(ModeNTS, fmt.Sprintf("ke%d.test", i), 1))
	}
	cfg := config(sources...)
	cfg.BoundedColdStart = bounded
	cfg.Discipline.MinimumAgreeing = min(3, n/2+1)
	w := newWorld(t, cfg)
	w.wrong = proto.FromUnix(1000, 0).Sub(w.truth())
	w.engine = New(cfg, State{Floor: w.truth().Add(-proto.FromStd(yearOf))}, seed(1), w.now())
	var hosts []*host
	for i := range n {
		hosts = append(hosts, w.host(fmt.Sprintf("192.0.2.%d", i+1)))
	}
	truth := w.truth().TimeNear(eraStart)
	w.keys = func(a ExchangeKeys) Event {
		if a.Earliest.IsZero() && w.wrong.Abs() > 3600*proto.Second {
			return KeyExchangeFailed{Request: a.Request, Failure: Failure{Class: ClassCertExpired, Text: "the certificate is not valid yet"}}
		}
		var i int
		fmt.Sscanf(a.Host, "ke%d.test", &i)
		ev := w.establish(a, hosts[i], fmt.Sprintf("192.0.2.%d", i+1))
		if !a.Earliest.IsZero() {
			ev.Provisional = w.wrong.Abs() > 3600*proto.Second
			ev.NotBefore, ev.NotAfter = truth.Add(-yearOf/2), truth.Add(yearOf/2)
		}
		return ev
	}
	return w, hosts
}

func (w *world) stepsMade() (n int) {
	for _, a := range w.actions {
		if s, ok := a.Action.(Steer); ok && s.Adjustment.Step != 0 {
			n++
		}
	}
	return n
}

// A machine that begins in 1970 is set by NTS sources alone, in one step, and
// believes nothing provisionally afterwards.
func TestBoundedColdStart(t *testing.T) {
	for n := 1; n <= 4; n++ {
		w, _ := coldWorld(t, true, n)
		w.run(10 * time.Minute)
		if w.wrong.Abs() > proto.Second/100 || w.stepsMade() != 1 || !w.engine.Status(w.now()).Synchronised {
			t.Errorf("%d sources: off by %v after %d steps", n, w.wrong, w.stepsMade())
		}
		if !w.engine.earliest().IsZero() {
			t.Errorf("%d sources: certificates of another time are still taken", n)
		}
		if got := strings.Count(strings.Join(w.codes(), " "), "source-provisional"); got != n {
			t.Errorf("%d sources: %d were said to be provisional", n, got)
		}
	}
}

// Without it there is no way.
func TestStrictColdStart(t *testing.T) {
	w, _ := coldWorld(t, false, 3)
	w.run(time.Hour)
	if w.stepsMade() != 0 || w.engine.Status(w.now()).Synchronised {
		t.Errorf("off by %v", w.wrong)
	}
	for _, a := range w.actions {
		if x, ok := a.Action.(ExchangeKeys); ok && !x.Earliest.IsZero() {
			t.Fatalf("%+v", x)
		}
	}
}

// One source of several is no quorum, whatever the configured minimum.
func TestAColdStartNeedsAQuorum(t *testing.T) {
	w, hosts := coldWorld(t, true, 3)
	w.engine.cfg.Discipline.MinimumAgreeing = 1
	w.engine.discipline.Configure(w.engine.cfg.Discipline)
	hosts[1].down, hosts[2].down = true, true
	w.run(20 * time.Minute)
	if w.stepsMade() != 0 || slices.Contains(w.codes(), stepNote) {
		t.Fatalf("one of three made a step, or it is said that it did: off by %v", w.wrong)
	}
	hosts[2].down = false
	w.run(2 * time.Hour)
	if w.stepsMade() != 1 || w.wrong.Abs() > proto.Second/100 || !slices.Contains(w.codes(), stepNote) {
		t.Errorf("two of three: off by %v after %d steps", w.wrong, w.stepsMade())
	}
}

// coldPool makes the first source of a cold world a pool of so many servers,
// with a certificate that was valid a hundred days ago: that of the key
// exchange server, whose key somebody has. The servers say that it is then.
func coldPool(t *testing.T, servers, others, minimum int) (*world, []*host) {
	w, hosts := coldWorld(t, true, 1+others)
	cfg := w.engine.cfg
	cfg.Sources = slices.Clone(cfg.Sources)
	cfg.Sources[0].Mode, cfg.Sources[0].Count = ModeNTSPool, servers
	cfg.Discipline.MinimumAgreeing = minimum
	w.engine = New(cfg, w.engine.saved, seed(1), w.now())
	members := []*host{hosts[0]}
	for i := range servers - 1 {
		members = append(members, w.host(fmt.Sprintf("203.0.113.%d", i+1)))
	}
	for _, h := range members {
		h.wrong = proto.FromStd(-100 * 24 * time.Hour)
	}
	inner, next := w.keys, 0
	w.keys = func(a ExchangeKeys) Event {
		ev, ok := inner(a).(KeysEstablished)
		if !ok || a.Host != cfg.Sources[0].Host || a.Port != cfg.Sources[0].Port {
			return inner(a)
		}
		if m := next % servers; m > 0 {
			given := w.establish(a, members[m], fmt.Sprintf("203.0.113.%d", m))
			ev.Server, ev.C2S, ev.S2C, ev.Cookies = given.Server, given.C2S, given.S2C, given.Cookies
		}
		next++
		ev.NotAfter = ev.NotAfter.Add(-yearOf/2 - 60*24*time.Hour)
		return ev
	}
	return w, members
}

// All servers of a pool hang on one certificate: whoever has its key when it has
// long expired can name as many as a quorum takes, and is one opinion.
func TestAColdStartCountsKeyExchangeServers(t *testing.T) {
	w, _ := coldPool(t, 4, 0, 3)
	w.run(2 * time.Hour)
	if w.live() != 4 || w.stepsMade() != 0 {
		t.Errorf("%d servers of one pool made %d steps", w.live(), w.stepsMade())
	}
	if n := w.count("cold-start-no-quorum"); n != 1 {
		t.Errorf("said %d times that there is no quorum", n)
	}
}

// Nor are they a quorum where fewer would do but others are asked as well, and
// are silent.
func TestAColdStartAwaitsTheOthers(t *testing.T) {
	w, _ := coldPool(t, 4, 1, 1)
	other := w.hosts[netip.MustParseAddrPort("192.0.2.2:123")]
	other.down = true
	w.run(2 * time.Hour)
	if w.live() < 4 || w.stepsMade() != 0 || w.count("cold-start-no-quorum") != 1 {
		t.Fatalf("%d servers, %d steps", w.live(), w.stepsMade())
	}
	other.wrong, other.down = proto.FromStd(-100*24*time.Hour), false
	w.run(2 * time.Hour)
	if w.stepsMade() != 1 {
		t.Errorf("two certificates that were valid then: %d steps", w.stepsMade())
	}
}

// Who says that one source is enough has one in a pool as well, by two servers
// of it.
func TestAColdStartWithAPoolAlone(t *testing.T) {
	w, members := coldPool(t, 4, 0, 1)
	for _, h := range members[1:] {
		h.down = true
	}
	w.run(5 * time.Minute)
	if w.stepsMade() != 0 {
		t.Fatal("one server of the pool made a step")
	}
	for _, h := range members {
		h.down = false
	}
	w.run(2 * time.Hour)
	if w.stepsMade() != 1 {
		t.Errorf("the pool made %d steps", w.stepsMade())
	}
}

// A certificate is for a name, so a second port of it is no second opinion.
func TestAColdStartCountsNames(t *testing.T) {
	w, _ := coldWorld(t, true, 2)
	cfg := w.engine.cfg
	cfg.Sources[1].Host, cfg.Sources[1].Port = cfg.Sources[0].Host, 4461
	inner := w.keys
	w.keys = func(a ExchangeKeys) Event {
		if a.Port == 4461 {
			a.Host = "ke1.test"
		}
		return inner(a)
	}
	w.engine = New(cfg, w.engine.saved, seed(1), w.now())
	w.run(time.Hour)
	if w.live() != 2 || w.stepsMade() != 0 {
		t.Errorf("%d servers of one name made %d steps", w.live(), w.stepsMade())
	}
}

// Sources that agree on a time at which their own certificates are not valid
// move nothing.
func TestAColdStartIsVerifiedAtTheAgreedTime(t *testing.T) {
	for name, lie := range map[string]time.Duration{"later": 3 * yearOf, "earlier": -9 * yearOf / 10} {
		w, hosts := coldWorld(t, true, 3)
		for _, h := range hosts {
			h.wrong = proto.FromStd(lie)
		}
		w.run(20 * time.Minute)
		if w.stepsMade() != 0 || w.halted {
			t.Errorf("%s: off by %v, halted %v", name, w.wrong, w.halted)
		}
		failed := 0
		for _, a := range w.actions {
			if r, ok := a.Action.(Report); ok && r.Incident.Reason == Reason(ClassCertExpired) && strings.Contains(r.Incident.Text, "the sources say that it is") {
				failed++
			}
		}
		if failed < 3 {
			t.Errorf("%s: %d sources were given up", name, failed)
		}
	}
}

// A liar among them is outvoted, as always.
func TestALiarInAColdStartIsOutvoted(t *testing.T) {
	w, hosts := coldWorld(t, true, 3)
	hosts[1].wrong = proto.FromStd(yearOf / 4) // within the validity
	w.run(20 * time.Minute)
	if w.stepsMade() != 1 || w.wrong.Abs() > proto.Second/100 {
		t.Errorf("off by %v after %d steps", w.wrong, w.stepsMade())
	}
}

// The bound is when the program was made, or when the state was last saved,
// and there is none after a panic.
func TestTheBoundOfAColdStart(t *testing.T) {
	made := time.Date(2027, 3, 4, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		saved State
		want  time.Time
	}{
		"nothing is known": {State{}, eraStart},
		"the build":        {State{Floor: proto.FromTime(made)}, made},
		"saved later":      {State{Floor: proto.FromTime(made), SavedAt: made.AddDate(1, 0, 0)}, made.AddDate(1, 0, 0)},
		"saved earlier":    {State{Floor: proto.FromTime(made), SavedAt: made.AddDate(-1, 0, 0)}, made},
		"after a panic":    {State{Floor: proto.FromTime(made), Panicked: true}, time.Time{}},
	} {
		cfg := config(src(ModeNTS, "ke.test", 1))
		cfg.BoundedColdStart = true
		e := New(cfg, tt.saved, seed(1), proto.Now{Wall: epoch})
		if got := e.earliest(); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// A clock that is certainly wrong makes a certificate that is valid by it no
// better: it could have expired long ago.
func TestACertificateOfTheWrongTimeIsProvisional(t *testing.T) {
	cfg := config(src(ModeNTS, "ke.test", 1))
	cfg.BoundedColdStart = true
	for name, tt := range map[string]struct {
		now  proto.Duration // against the bound
		ev   KeysEstablished
		want bool
	}{
		"before the bound":   {-proto.Second, KeysEstablished{NotBefore: eraStart, NotAfter: eraStart}, true},
		"after it":           {proto.Second, KeysEstablished{NotBefore: eraStart, NotAfter: eraStart}, false},
		"not valid after it": {proto.Second, KeysEstablished{NotBefore: eraStart, NotAfter: eraStart, Provisional: true}, true},
		"not asked for":      {proto.Second, KeysEstablished{Provisional: true}, false},
	} {
		e := New(cfg, State{}, seed(1), proto.Now{Wall: epoch})
		e.now.Wall = proto.FromTime(eraStart).Add(tt.now)
		if got := e.proofOf(&tt.ev).provisional; got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Whoever is on the path forges sources without keys as he likes: beside one
// stolen certificate of two they are no quorum.
func TestAColdStartCountsNoForgeries(t *testing.T) {
	const late = 100 * 24 * time.Hour
	for _, minimum := range []int{1, 2, 3} {
		for _, forged := range [][]string{{}, {"203.0.113.7"}, {"203.0.113.7", "198.51.100.7"}} {
			w, hosts := coldWorld(t, true, 2)
			cfg := w.engine.cfg
			cfg.Sources = slices.Clone(cfg.Sources)
			cfg.Discipline.MinimumAgreeing, cfg.Discipline.Trust = minimum, kalman.TrustRequired
			for _, a := range forged {
				cfg.Sources = append(cfg.Sources, src(ModeServer, a, 1))
				w.host(a).wrong = proto.FromStd(-late)
			}
			w.engine = New(cfg, w.engine.saved, seed(1), w.now())
			hosts[0].wrong, hosts[1].down = proto.FromStd(-late), true
			w.run(20 * time.Minute)
			if w.stepsMade() != 0 {
				t.Errorf("with %d sources needed and %d forged: %d steps", minimum, len(forged), w.stepsMade())
			}
		}
	}
}
