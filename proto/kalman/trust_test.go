package kalman

import (
	"math"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// trustWorld has authenticated sources that are right and others that agree on
// a lie.
func trustWorld(t *testing.T, trust Trust, trusted, liars int, lie float64) *world {
	w := newWorldWith(t, 0.1, 20e-6, Config{MinimumAgreeing: 1, SingleStep: forever, StartupStep: forever, Trust: trust})
	w.add(trusted, server{delay: 5e-3, jitter: 1e-4})
	for _, s := range w.servers {
		w.d.Add(s.id, SourceConfig{PollMin: 4, PollMax: 10, PollStart: 4, Voting: true, Trusted: true})
	}
	w.add(liars, server{delay: 5e-3, jitter: 1e-4, offset: lie})
	return w
}

// However many sources without authentication agree on something else, those
// with it decide; a majority among themselves is still needed.
func TestAuthenticatedSourcesOutvoteOthers(t *testing.T) {
	for _, trust := range []Trust{TrustOutvotes, TrustRequired} {
		for _, n := range []int{1, 2, 3} {
			w := trustWorld(t, trust, n, 7, 3600)
			w.run(3600, nil)
			if math.Abs(w.clock) > 1e-3 || w.halt != nil {
				t.Errorf("%v, %d authenticated: off by %v s, halt %v", trust, n, w.clock, w.halt)
			}
			for i := range w.servers {
				want := Selected
				if i >= n {
					want = Falseticker
				}
				if got := w.state(i); got != want {
					t.Errorf("%v, %d authenticated: source %d is %v, want %v", trust, n, i+1, got, want)
				}
			}
			if len(w.steps) > 1 {
				t.Errorf("%v, %d authenticated: steps of %v s", trust, n, w.steps)
			}
		}
	}
	w := trustWorld(t, TrustIgnored, 1, 7, 3600)
	w.run(3600, nil)
	if math.Abs(w.clock-3600) > 1e-3 || w.state(0) != Falseticker {
		t.Errorf("with equal votes the lie does not win: off by %v s", w.clock)
	}
}

// Authenticated sources that contradict each other have no majority, and
// others do not help one of them out.
func TestAuthenticatedSourcesNeedAMajorityOfTheirOwn(t *testing.T) {
	w := trustWorld(t, TrustOutvotes, 2, 3, 0)
	w.servers[0].offset = 1
	w.run(600, nil)
	if len(w.steps) != 0 || w.d.Estimate(w.time()).Synchronised || w.noted("no-majority") == 0 {
		t.Errorf("steps of %v s, notes %v", w.steps, w.notes)
	}
}

// Others that agree count towards the minimum, and are used.
func TestOthersSupportAuthenticatedSources(t *testing.T) {
	for minimum, want := range map[int]bool{1: true, 4: true, 5: false} {
		w := trustWorld(t, TrustOutvotes, 1, 3, 0)
		cfg := w.d.set.Config
		cfg.MinimumAgreeing = minimum
		w.d.Configure(cfg)
		w.run(600, nil)
		e := w.d.Estimate(w.time())
		if e.Synchronised != want || want && (e.Agreeing != 4 || len(e.Selected) != 4) {
			t.Errorf("minimum %d: %+v", minimum, e)
		}
	}
}

// Without an authenticated source that can vote, the others do so only where
// that is not required.
func TestWithoutAuthenticatedSources(t *testing.T) {
	for trust, want := range map[Trust]bool{TrustOutvotes: true, TrustIgnored: true, TrustRequired: false} {
		w := trustWorld(t, trust, 1, 3, 0.5)
		w.servers[0].dead = true
		w.d.Reachable(w.servers[0].id, false)
		w.run(600, nil)
		if e := w.d.Estimate(w.time()); e.Synchronised != want {
			t.Errorf("%v: %+v", trust, e)
		}
		if followed := math.Abs(w.clock-0.5) < 1e-3; followed != want {
			t.Errorf("%v: the clock is off by %v s", trust, w.clock)
		}
	}
}

// A leap second is announced by those who have the vote.
func TestOthersDoNotAnnounceALeapSecond(t *testing.T) {
	for trust, want := range map[Trust]proto.Leap{TrustOutvotes: proto.LeapNone, TrustIgnored: proto.LeapInsert} {
		w := trustWorld(t, trust, 1, 3, 0)
		w.epoch = proto.FromTime(time.Date(2026, 12, 31, 20, 0, 0, 0, time.UTC))
		for _, s := range w.servers[1:] {
			s.edit = func(e *Exchange) { e.Leap = proto.LeapInsert }
		}
		w.run(120, nil)
		if e := w.d.Estimate(w.time()); e.Leap != want {
			t.Errorf("%v: %v, want %v", trust, e.Leap, want)
		}
	}
}

// What is said of a majority counts those who have a vote among those who have.
func TestAMajorityOfAuthenticatedSourcesIsSaidToBeOne(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trust   Trust
		trusted int
		lie     float64 // of the first authenticated source
		minimum int
		code    string
		want    string
	}{
		{"one and those who support it", TrustOutvotes, 1, 0, 4, "majority", "1 of 1 authenticated sources agree, and 3 others with them"},
		{"all equal", TrustIgnored, 1, 0, 4, "majority", "4 of 4 sources agree"},
		{"two that contradict each other and the others", TrustOutvotes, 2, 1, 1, "no-majority",
			"1 of 2 authenticated sources agree, and 0 others with them, 2 of the former and 1 in all needed; the clock is held"},
		{"too few for the minimum", TrustOutvotes, 1, 0, 5, "no-majority",
			"1 of 1 authenticated sources agree, and 3 others with them, 1 of the former and 5 in all needed; the clock is held"},
	} {
		w := trustWorld(t, tt.trust, tt.trusted, 3, 0)
		cfg := w.d.set.Config
		cfg.MinimumAgreeing = tt.minimum
		w.d.Configure(cfg)
		w.servers[0].offset, w.servers[1].offset = tt.lie, 2*tt.lie
		w.run(600, nil)
		last := ""
		for _, n := range w.notes {
			if n.Code == "majority" || n.Code == "no-majority" {
				last = n.Code + ": " + n.Text
			}
		}
		if last != tt.code+": "+tt.want {
			t.Errorf("%s: %q, want %s: %q", tt.name, last, tt.code, tt.want)
		}
	}
}
