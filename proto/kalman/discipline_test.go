package kalman

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

func (w *world) noted(code string) int {
	n := 0
	for _, v := range w.notes {
		if v.Code == code {
			n++
		}
	}
	return n
}

func (w *world) state(i int) State { return w.d.Source(w.time(), w.servers[i].id).State }

// bound is the published error.
func (w *world) bound() float64 {
	e := w.d.Estimate(w.time())
	return e.RootDelay.Seconds()/2 + e.RootDispersion.Seconds()
}

func TestFalsetickerIsOutvoted(t *testing.T) {
	for _, lie := range []float64{0.05, -0.05, 3600, -1e9} {
		w := newWorld(t, 0.1, 20e-6)
		w.add(3, server{delay: 5e-3, jitter: 1e-4})
		w.add(1, server{delay: 5e-3, jitter: 1e-4, offset: lie})
		w.run(3600, nil)
		if math.Abs(w.clock) > 5e-4 {
			t.Errorf("lie of %v s: the clock is off by %v s", lie, w.clock)
		}
		for i, want := range []State{Selected, Selected, Selected, Falseticker} {
			if got := w.state(i); got != want {
				t.Errorf("lie of %v s: source %d is %v, want %v", lie, i+1, got, want)
			}
		}
		e := w.d.Estimate(w.time())
		if !e.Synchronised || e.Agreeing != 3 || !slices.Equal(e.Selected, []SourceID{1, 2, 3}) {
			t.Errorf("lie of %v s: %+v", lie, e)
		}
	}
}

func TestServerThatBeginsToLie(t *testing.T) {
	w := newWorld(t, 0.1, 20e-6)
	w.add(4, server{delay: 5e-3, jitter: 1e-4})
	w.run(3600, nil)
	w.servers[1].offset = 0.3
	w.run(7200, nil)
	if w.state(1) != Falseticker || math.Abs(w.clock) > 5e-4 || w.noted("source-falseticker") != 1 {
		t.Errorf("state %v, clock off by %v s, notes %v", w.state(1), w.clock, w.notes)
	}
	w.servers[1].offset = 0
	w.run(14400, nil)
	if w.state(1) != Selected || math.Abs(w.clock) > 5e-4 {
		t.Errorf("honest again: state %v, clock off by %v s", w.state(1), w.clock)
	}
}

// A server that shifts within its interval cannot be outvoted, but the others
// show that the shift is its own.
func TestSubtleShiftIsBlamedOnTheServer(t *testing.T) {
	w := newWorld(t, 0.1, 20e-6)
	w.add(4, server{delay: 10e-3, jitter: 1e-4})
	w.run(7200, nil)
	w.servers[2].offset = 2e-3
	worst := 0.0
	w.run(14400, func() { worst = max(worst, math.Abs(w.clock)) })
	if worst > 4e-4 || w.noted("source-shift") != 1 {
		t.Errorf("the clock was off by %v s, %d shifts seen", worst, w.noted("source-shift"))
	}
}

func TestWithoutMajorityTheClockIsHeld(t *testing.T) {
	w := newWorld(t, 0.1, 20e-6)
	w.add(1, server{delay: 1e-3, jitter: 1e-4})
	w.add(1, server{delay: 1e-3, jitter: 1e-4, offset: 0.4})
	w.run(600, nil)
	if len(w.steps) != 0 || w.slews != 0 || w.base != 0 {
		t.Errorf("two that disagree steered the clock: steps %v, %d slews, frequency %v", w.steps, w.slews, w.base)
	}
	for i := range w.servers {
		if w.state(i) != NoMajority {
			t.Errorf("source %d is %v", i+1, w.state(i))
		}
	}
	if e := w.d.Estimate(w.time()); e.Synchronised || e.Leap != proto.LeapUnsynchronised || len(e.Selected) != 0 {
		t.Errorf("estimate %+v", e)
	}
}

func TestMinimumAgreeingIsObeyed(t *testing.T) {
	for need := 1; need <= 4; need++ {
		w := newWorldWith(t, 0.1, 0, Config{MinimumAgreeing: need, SingleStep: forever, StartupStep: forever})
		w.add(3, server{delay: 1e-3, jitter: 1e-4})
		w.run(60, nil)
		if steered := len(w.steps) > 0; steered != (need <= 3) {
			t.Errorf("%d of 3 needed: steered %v", need, steered)
		}
	}
}

// When the sources fall apart later, the clock is held, and the published
// error grows over the true one.
func TestHoldover(t *testing.T) {
	w := newWorld(t, 0.1, 20e-6)
	w.add(2, server{delay: 5e-3, jitter: 1e-4})
	w.run(7200, nil)
	slews, before := w.slews, w.bound()
	for _, s := range w.servers {
		s.dead = true
	}
	w.run(2*7200, nil)
	held := w.slews
	w.run(7200+86400, func() {
		if math.Abs(w.clock) > w.bound() {
			t.Fatalf("at %v the error is %v and the published bound %v", w.now, w.clock, w.bound())
		}
	})
	if w.slews != held || held > slews+2 {
		t.Errorf("%d corrections without a source", w.slews-slews)
	}
	e := w.d.Estimate(w.time())
	if w.bound() < 10*before || !e.Synchronised || e.RootDelay == 0 || e.Primary != 0 {
		t.Errorf("after a day without sources: %+v; bound %v, was %v", e, w.bound(), before)
	}
	for _, s := range w.servers {
		s.dead = false
	}
	w.run(w.now+7200, nil)
	if math.Abs(w.clock) > 1e-3 || w.noted("clock-step") > 1 {
		t.Errorf("sources back: off by %v s, steps %v", w.clock, w.steps)
	}
}

func TestPanicThresholds(t *testing.T) {
	seconds := func(s float64) proto.Duration { return proto.FromSeconds(s) }
	tests := []struct {
		name    string
		cfg     Config
		startup float64 // error of the clock at the start
		later   float64 // and after it was set
		halts   string
	}{
		{"startup within", Config{StartupStep: Threshold{seconds(10), seconds(10)}, SingleStep: forever}, 9, 0, ""},
		{"startup backward beyond", Config{StartupStep: Threshold{proto.MaxDuration, seconds(10)}, SingleStep: forever}, 11, 0, "startup-step-panic-threshold"},
		{"startup forward beyond", Config{StartupStep: Threshold{seconds(10), proto.MaxDuration}, SingleStep: forever}, -11, 0, "startup-step-panic-threshold"},
		{"startup forward only limits forward", Config{StartupStep: Threshold{seconds(10), proto.MaxDuration}, SingleStep: forever}, 11, 0, ""},
		{"startup backward forbidden", Config{StartupStep: Threshold{Forward: proto.MaxDuration}, SingleStep: forever}, 0.02, 0, "startup-step-panic-threshold"},
		{"startup backward forbidden but a slew does", Config{StartupStep: Threshold{Forward: proto.MaxDuration}, SingleStep: forever}, 0.002, 0, ""},
		{"later within", Config{StartupStep: forever, SingleStep: Threshold{seconds(1000), seconds(1000)}}, 1e6, 900, ""},
		{"later beyond", Config{StartupStep: forever, SingleStep: Threshold{seconds(1000), seconds(1000)}}, 0.1, 1100, "single-step-panic-threshold"},
		{"later beyond the other way", Config{StartupStep: forever, SingleStep: Threshold{seconds(1000), seconds(1000)}}, 0.1, -1100, "single-step-panic-threshold"},
		{"a slew beyond", Config{StartupStep: forever, SingleStep: Threshold{seconds(0.1), seconds(0.1)}}, 0.05, 0.2, "single-step-panic-threshold"},
		{"accumulated beyond", Config{StartupStep: forever, SingleStep: forever, AccumulatedSteps: seconds(5)}, 100, 6, "accumulated-step-panic-threshold"},
		{"accumulated within, the first does not count", Config{StartupStep: forever, SingleStep: forever, AccumulatedSteps: seconds(5)}, 100, 4, ""},
	}
	for _, tt := range tests {
		tt.cfg.MinimumAgreeing = 1
		w := newWorldWith(t, tt.startup, 0, tt.cfg)
		w.add(1, server{delay: 1e-3, jitter: 1e-5})
		w.run(400, nil)
		if tt.later != 0 {
			w.servers[0].offset = -tt.later
			w.run(2000, nil)
		}
		switch {
		case tt.halts == "" && w.halt != nil:
			t.Errorf("%s: halted: %+v", tt.name, *w.halt)
		case tt.halts == "" && math.Abs(w.clock+tt.later) > 0.01:
			t.Errorf("%s: not corrected, off by %v", tt.name, w.clock+tt.later)
		case tt.halts != "" && (w.halt == nil || !strings.Contains(w.halt.Reason, tt.halts) || w.halt.Hint == ""):
			t.Errorf("%s: halt %+v, want one that names %s", tt.name, w.halt, tt.halts)
		}
	}
}

// Steps count against the accumulated threshold across restarts, until an
// operator accepts them.
func TestAccumulatedSteps(t *testing.T) {
	cfg := Config{MinimumAgreeing: 1, StartupStep: forever, SingleStep: forever, AccumulatedSteps: 5 * proto.Second}
	w := newWorldWith(t, 1, 0, cfg)
	w.d = New(cfg, Saved{AccumulatedSteps: 3 * proto.Second})
	w.add(1, server{delay: 1e-3, jitter: 1e-5})
	w.run(400, nil)
	w.servers[0].offset = 1.5
	w.run(1200, nil)
	e := w.d.Estimate(w.time())
	if got := e.AccumulatedSteps.Seconds(); math.Abs(got-4.5) > 0.01 || e.Steps != 2 || w.halt != nil {
		t.Fatalf("accumulated %v in %d steps, halt %+v; want 4.5 in 2", got, e.Steps, w.halt)
	}
	w.d.AcceptSteps()
	w.servers[0].offset = 5
	w.run(2400, nil)
	if w.halt != nil || math.Abs(w.clock-5) > 0.01 {
		t.Errorf("accepted: halt %+v, clock %v", w.halt, w.clock)
	}
}

func TestRefusedSteeringIsTriedAgain(t *testing.T) {
	w := newWorld(t, 0.1, 20e-6)
	w.add(1, server{delay: 1e-3, jitter: 1e-4})
	w.refuse = true
	w.run(100, nil)
	if w.d.Estimate(w.time()).Synchronised || len(w.steps) != 0 {
		t.Fatalf("synchronised although the clock refused everything")
	}
	w.refuse = false
	w.run(140, nil)
	if math.Abs(w.clock) > 1e-3 || !w.d.Estimate(w.time()).Synchronised {
		t.Errorf("off by %v s", w.clock)
	}
}

// The clock need not do what it was asked: only what it says it did counts.
func TestClockThatDoesSomethingElse(t *testing.T) {
	tests := []struct {
		name  string
		alter func(*Adjustment)
	}{
		{"coarse frequencies", func(a *Adjustment) {
			a.Frequency = math.Round(a.Frequency*1e6) / 1e6
			a.Slew = math.Round(a.Slew*1e6) / 1e6
		}},
		{"never more than 100 ppm", func(a *Adjustment) { a.Slew = min(max(a.Slew, -100e-6), 100e-6) }},
		{"whole milliseconds", func(a *Adjustment) { a.Step = a.Step / (proto.Second / 1000) * (proto.Second / 1000) }},
		{"no slew at all", func(a *Adjustment) {
			a.Step += proto.FromSeconds(a.Slew * a.For.Seconds())
			a.Slew, a.For = 0, 0
		}},
	}
	for _, tt := range tests {
		w := newWorld(t, 0.3, 35e-6)
		w.alter = tt.alter
		w.add(1, server{delay: 1e-3, jitter: 1e-4})
		w.run(1800, nil)
		if math.Abs(w.clock) > 1e-3 {
			t.Errorf("%s: off by %v s", tt.name, w.clock)
		}
		if e := w.d.Estimate(w.time()); math.Abs(w.clock+e.Offset.Seconds()) > 3e-4 {
			t.Errorf("%s: off by %v s, but thinks by %v", tt.name, w.clock, -e.Offset.Seconds())
		}
	}
}

func TestSourcesComeAndGo(t *testing.T) {
	w := newWorld(t, 0.1, 20e-6)
	w.add(3, server{delay: 5e-3, jitter: 1e-4})
	w.run(600, nil)
	for i := range 30 {
		w.d.Remove(w.servers[0].id)
		w.servers = w.servers[1:]
		next := SourceID(100 + i)
		w.servers = append(w.servers, &server{id: next, delay: 5e-3, jitter: 1e-4, next: w.now})
		w.d.Add(next, SourceConfig{PollMin: 4, PollMax: 10, PollStart: 4, Voting: true})
		w.run(w.now+200, func() {
			if math.Abs(w.clock) > 1e-3 {
				t.Fatalf("source %d: off by %v s", i, w.clock)
			}
		})
		healthy(t, &w.d.joint)
	}
	if n := w.d.joint.size(); n > 2+3*maxPaths {
		t.Errorf("the state has %d components for 3 sources", n)
	}
	w.d.Remove(12345) // unknown: ignored
	for _, s := range w.servers {
		w.d.Remove(s.id)
	}
	if e := w.d.Estimate(w.time()); len(e.Selected) != 0 || e.Agreeing != 0 {
		t.Errorf("without sources: %+v", e)
	}
}

func TestManySources(t *testing.T) {
	w := newWorldWith(t, -2, 50e-6, Config{MinimumAgreeing: 3, SingleStep: forever, StartupStep: forever})
	w.add(16, server{delay: 5e-3, jitter: 5e-4})
	for i := range 7 {
		w.servers[i].offset = float64(i+1) * 0.1
	}
	w.run(1200, nil)
	if math.Abs(w.clock) > 5e-4 || w.d.Estimate(w.time()).Agreeing != 9 {
		t.Errorf("off by %v s, %d agree", w.clock, w.d.Estimate(w.time()).Agreeing)
	}
}

func TestForeignStep(t *testing.T) {
	for _, by := range []float64{3, -3, 0.01, -1000} {
		w := newWorld(t, 0.1, 20e-6)
		w.add(1, server{delay: 1e-3, jitter: 1e-4})
		w.run(1800, nil)
		steps := len(w.steps)
		w.clock += by
		w.slewEnd += by
		w.d.Jumped(w.time(), proto.FromSeconds(by), 0)
		w.decide()
		w.run(w.now+120, nil)
		if math.Abs(w.clock) > 1e-3 {
			t.Errorf("moved by %v: still off by %v s", by, w.clock)
		}
		if math.Abs(by) > 1 && len(w.steps) != steps+1 {
			t.Errorf("moved by %v: steps %v", by, w.steps[steps:])
		}
		if w.noted("clock-meddling") != 1 {
			t.Errorf("moved by %v: nobody said so", by)
		}
	}
}

// Even if the shell says nothing, a clock that moved by more than the
// meddling threshold is noticed.
func TestUnannouncedStepIsNoticed(t *testing.T) {
	for _, by := range []float64{60, -60, 1e8} {
		w := newWorld(t, 0.1, 20e-6)
		w.add(1, server{delay: 1e-3, jitter: 1e-4})
		w.run(1800, nil)
		w.clock += by
		w.slewEnd += by
		w.run(w.now+600, nil)
		if math.Abs(w.clock) > 1e-3 || w.noted("clock-meddling") != 1 {
			t.Errorf("moved by %v: still off by %v s, noticed %d times", by, w.clock, w.noted("clock-meddling"))
		}
	}
}

func TestSuspend(t *testing.T) {
	w := newWorld(t, 0.1, 20e-6)
	w.add(1, server{delay: 1e-3, jitter: 1e-4})
	w.run(1800, nil)
	w.clock += 0.7 // the hardware clock bridged the sleep badly
	w.slewEnd += 0.7
	w.d.Jumped(w.time(), 0, 8*time.Hour)
	w.decide()
	w.run(w.now+120, nil)
	if math.Abs(w.clock) > 1e-3 {
		t.Errorf("off by %v s two minutes after waking up", w.clock)
	}
}

func TestEraRollover(t *testing.T) {
	for _, before := range []float64{10, 3000, 7200} {
		w := newWorld(t, 0.4, 20e-6)
		w.epoch = proto.Timestamp(0).Add(-proto.FromSeconds(before))
		w.add(3, server{delay: 1e-3, jitter: 1e-4})
		w.run(9000, func() {
			if w.now > 120 && math.Abs(w.clock) > 1e-3 {
				t.Fatalf("%v s after the start, %v after the rollover: off by %v s", w.now, w.now-before, w.clock)
			}
		})
	}
}

// The published error covers the true one, from the first correction on.
func TestPublishedErrorBoundsTheTrueOne(t *testing.T) {
	for _, s := range []server{
		{delay: 30e-6, jitter: 10e-6}, {delay: 5e-3, jitter: 1e-3}, {delay: 50e-3, jitter: 20e-3},
	} {
		w := newWorld(t, 0.25, 30e-6)
		w.add(1, s)
		outside, all := 0, 0
		w.run(20000, func() {
			if !w.d.Estimate(w.time()).Synchronised {
				return
			}
			if all++; math.Abs(w.clock) > w.bound() {
				outside++
			}
		})
		if all < 19000 || outside > all/1000 {
			t.Errorf("delay %v: outside in %d of %d seconds", s.delay, outside, all)
		}
	}
}

// What was stepped before a restart counts: three seconds then and three now
// are more than five.
func TestStepsBeforeARestartCountAgainstTheThreshold(t *testing.T) {
	for _, before := range []float64{0, 3} {
		cfg := Config{MinimumAgreeing: 1, StartupStep: forever, SingleStep: forever, AccumulatedSteps: 5 * proto.Second}
		w := newWorldWith(t, 1, 0, cfg)
		w.d = New(cfg, Saved{AccumulatedSteps: proto.FromSeconds(before)})
		w.add(1, server{delay: 1e-3, jitter: 1e-5})
		w.run(400, nil)
		w.servers[0].offset = 3
		w.run(1200, nil)
		if halted := w.halt != nil; halted != (before > 0) {
			t.Errorf("after steps of %v s before the restart: halt %+v", before, w.halt)
		}
	}
}
