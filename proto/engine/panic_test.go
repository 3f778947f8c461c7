package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
)

// again starts another engine in a world, as a service manager does, with what
// the last one saved.
func (w *world) again(cfg Config) {
	w.tb.Helper()
	var st State
	for _, a := range w.actions {
		if s, ok := a.Action.(Save); ok {
			st = s.State
		}
	}
	st.Floor = w.engine.saved.Floor
	w.halted, w.actions, w.queue = false, nil, nil
	clear(w.open)
	w.engine = New(cfg, st, seed(1), w.now())
}

func (w *world) lastHalt() (Halt, bool) {
	if len(w.actions) == 0 {
		return Halt{}, false
	}
	h, ok := w.actions[len(w.actions)-1].Action.(Halt)
	return h, ok
}

func (w *world) codes() (out []string) {
	for _, a := range w.actions {
		if r, ok := a.Action.(Report); ok {
			out = append(out, r.Incident.Code)
		}
	}
	return out
}

// Sources move a synchronised clock too far, the daemon halts, and is started
// again and again: the startup threshold, which would allow the correction,
// does not hold. When the sources are right again, all goes on as usual.
func TestPanicThresholdsSurviveARestart(t *testing.T) {
	w := syncedWorld(t, 0)
	cfg := w.engine.cfg
	lie := func(d proto.Duration) {
		for _, h := range w.hosts {
			h.wrong = d
		}
	}
	w.run(10 * time.Minute)
	lie(5000 * proto.Second)
	w.run(time.Hour)
	if h, ok := w.lastHalt(); !ok || !strings.Contains(h.Reason, "single-step-panic-threshold") {
		t.Fatalf("%+v", h)
	}
	for start := range 5 {
		w.again(cfg)
		w.run(10 * time.Minute)
		h, ok := w.lastHalt()
		if !ok || w.wrong.Abs() > proto.Second {
			t.Fatalf("start %d: %+v, the clock is off by %v", start, h, w.wrong)
		}
		if codes := strings.Join(w.codes(), " "); strings.Count(codes, "panicked-before") != 1 {
			t.Errorf("start %d: incidents %s", start, codes)
		}
	}
	lie(0)
	w.again(cfg)
	w.run(10 * time.Minute)
	if !w.engine.Status(w.now()).Synchronised {
		t.Fatal("not synchronised by good sources")
	}
	w.again(cfg)
	w.wrong = -5000 * proto.Second // the machine's clock, not the sources
	w.run(10 * time.Minute)
	if w.halted || w.wrong.Abs() > proto.Second {
		t.Errorf("after a good correction the caution goes on: off by %v, halted %v", w.wrong, w.halted)
	}
}

// Whoever has looked at it accepts the steps, and the startup threshold holds
// again.
func TestAcceptingStepsEndsTheCaution(t *testing.T) {
	for _, accept := range []bool{false, true} {
		w := syncedWorld(t, -5000*proto.Second)
		cfg := w.engine.cfg
		w.actions = []timed{{0, Save{State{Panicked: true}}}}
		w.again(cfg)
		if accept {
			w.happen(Commanded{Verb: "accept-step"})
		}
		w.happen(Reconfigured{Config: cfg}) // changes nothing about that
		w.run(10 * time.Minute)
		if w.halted == accept {
			t.Errorf("accepted %v: halted %v, off by %v", accept, w.halted, w.wrong)
		}
	}
}

// RFC 8633 section 5.2: a client should never step to a time before the
// program was made, whatever the thresholds allow.
func TestRFC8633Section5_2NoStepBeforeTheProgramWasMade(t *testing.T) {
	for name, tt := range map[string]struct {
		floor proto.Duration // relative to the sources' time
		halt  bool
	}{
		"none":           {0, false},
		"a year earlier": {-365 * 86400 * proto.Second, false},
		"a day later":    {86400 * proto.Second, true},
	} {
		w := syncedWorld(t, 3600*proto.Second)
		cfg := w.engine.cfg
		st := State{}
		if tt.floor != 0 {
			st.Floor = w.truth().Add(tt.floor)
		}
		w.engine = New(cfg, st, seed(1), w.now())
		w.run(10 * time.Minute)
		if w.halted != tt.halt {
			t.Errorf("%s: halted %v", name, w.halted)
		}
		if h, _ := w.lastHalt(); tt.halt && (!strings.Contains(h.Reason, "before this program was made") || w.wrong != 3600*proto.Second) {
			t.Errorf("%s: %+v, off by %v", name, h, w.wrong)
		}
	}
}
