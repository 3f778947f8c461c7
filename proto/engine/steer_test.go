package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/client"
	"github.com/ntpd-go/ntpd-go/proto/kalman"
)

// syncedWorld follows three servers from a clock that is wrong.
func syncedWorld(t testing.TB, wrong proto.Duration) *world {
	cfg := config(src(ModeServer, "192.0.2.1", 1), src(ModeServer, "192.0.2.2", 1), src(ModeServer, "192.0.2.3", 1))
	cfg.Discipline.MinimumAgreeing = 2
	w := newWorld(t, cfg)
	w.wrong = wrong
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		w.host(a)
	}
	return w
}

func TestClockIsSetAndPublished(t *testing.T) {
	w := syncedWorld(t, -42*proto.Second)
	w.run(time.Second)
	if w.snapshot.Stratum != 16 || w.snapshot.Leap != proto.LeapUnsynchronised || w.status.Synchronised {
		t.Errorf("before any sync: %+v %+v", w.snapshot, w.status)
	}
	if s := w.engine.Status(w.now()); s.Synchronised || s.Text == "" {
		t.Errorf("status %+v", s)
	}
	w.run(120 * time.Second)
	if w.wrong.Abs() > proto.Second/1000 {
		t.Fatalf("clock is wrong by %v", w.wrong)
	}
	if w.snapshot.Stratum != 2 || w.snapshot.Leap != proto.LeapNone || w.snapshot.DispersionRate <= 0 ||
		w.snapshot.Reference.IsZero() || !w.status.Synchronised || w.status.MaxError <= 0 {
		t.Errorf("after: %+v %+v", w.snapshot, w.status)
	}
	primary := false
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		primary = primary || w.snapshot.RefID == proto.RefIDAddr(addr(a))
	}
	if !primary {
		t.Errorf("reference %v is no source", w.snapshot.RefID)
	}
	s := w.engine.Status(w.now())
	if !s.Synchronised || s.Text != "" || s.Selected != 3 || s.Snapshot != w.snapshot || s.Steps != 1 {
		t.Errorf("status %+v", s)
	}
	// Published often enough that readers can tell a dead loop.
	_, at := all[PublishSnapshot](w)
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap > SnapshotInterval {
			t.Errorf("%v without a snapshot", gap)
		}
	}
	_, at = all[SetClockStatus](w)
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap > statusInterval+SnapshotInterval {
			t.Errorf("%v without a clock status", gap)
		}
	}
	if gap := w.mono.Sub(at[len(at)-1]); gap > statusInterval+SnapshotInterval {
		t.Errorf("%v without a clock status", gap)
	}
}

// A step is saved at once, so that a restart does not forget what it counts
// towards; then every hour.
func TestStateIsSaved(t *testing.T) {
	w := syncedWorld(t, -42*proto.Second)
	w.run(10 * time.Minute)
	saves, at := all[Save](w)
	stepped := proto.Instant(0)
	for _, x := range w.actions {
		if s, ok := x.Action.(Steer); ok && s.Adjustment.Step != 0 {
			stepped = x.at
		}
	}
	if len(saves) < 1 || stepped == 0 || at[0] != stepped {
		t.Fatalf("saved %+v at %v, stepped at %v", saves, at, stepped)
	}
	// Steps after the first count.
	w.wrong -= 3 * proto.Second
	w.happen(Jumped{By: -3 * proto.Second})
	w.run(10 * time.Minute)
	if saves, _ = all[Save](w); saves[len(saves)-1].State.AccumulatedSteps < 2*proto.Second {
		t.Fatalf("saved %+v", saves)
	}
	if y := saves[0].State.SavedAt.Year(); y != 2026 {
		t.Errorf("saved in %d", y)
	}
	n := len(saves)
	w.run(5 * time.Hour)
	if saves, _ = all[Save](w); len(saves)-n < 5 || len(saves)-n > 6 {
		t.Errorf("saved %d times in five hours", len(saves)-n)
	}
	last := saves[len(saves)-1].State
	w.happen(Commanded{Verb: "accept-step"})
	if saves, _ = all[Save](w); saves[len(saves)-1].State.AccumulatedSteps != 0 || last.AccumulatedSteps == 0 {
		t.Error("accepting steps is not saved")
	}
	// A restart remembers.
	next := New(config(), last, seed(2), w.now())
	if s := next.Status(w.now()); s.AccumulatedSteps != last.AccumulatedSteps || s.Frequency != last.Frequency {
		t.Errorf("after a restart %+v", s)
	}
}

// An exchange that is in flight while the clock steps gives no measurement,
// even when the shell is late in saying so.
func TestMeasurementsDoNotStraddleAStep(t *testing.T) {
	w := syncedWorld(t, 0)
	w.run(200 * time.Second)
	straddled := func() (n uint64) {
		w.engine.lives(func(_ *source, _ *slot, l *live) {
			c := l.assoc.Counts()
			n += c.Of(client.Straddled)
		})
		return n
	}
	// In flight:
	for len(w.open) == 0 {
		w.run(time.Millisecond)
	}
	w.engine.steering.id = 777
	w.wrong += 5 * proto.Second
	w.happen(SteerApplied{Steer: 777, Applied: kalman.Applied{At: w.now().Wall, Mono: w.mono, Adjustment: kalman.Adjustment{Step: 5 * proto.Second}}})
	w.run(10 * time.Millisecond)
	if len(w.open) != 0 {
		t.Error("the exchange is still open")
	}
	dropped := straddled()
	if dropped == 0 {
		t.Error("a measurement straddles a step")
	}
	// The same when nobody steers but someone else moves the clock.
	for len(w.open) == 0 {
		w.run(time.Millisecond)
	}
	w.wrong += proto.Second
	w.happen(Jumped{By: proto.Second})
	w.run(10 * time.Millisecond)
	if straddled() == dropped {
		t.Error("a measurement straddles a jump")
	}
	if i := w.incidents("clock-jumped"); len(i) != 1 || i[0].Level != Warn {
		t.Errorf("incidents %+v", i)
	}
}

func TestOneAdjustmentAtATime(t *testing.T) {
	w := syncedWorld(t, -proto.Second)
	w.acts = 700 * time.Millisecond // the world checks that no other is wanted meanwhile
	w.run(300 * time.Second)
	if steers, _ := all[Steer](w); len(steers) < 3 {
		t.Errorf("steered %d times", len(steers))
	}
	// Answers to what was not asked are ignored, also while one is in flight.
	w.acts = time.Hour
	for w.engine.steering.id == 0 {
		w.run(time.Second)
	}
	id := w.engine.steering.id
	n := len(w.actions)
	w.happen(SteerApplied{Steer: 99999, Applied: kalman.Applied{Adjustment: kalman.Adjustment{Step: proto.Second}}})
	w.happen(SteerFailed{Steer: 99999})
	w.happen(SteerApplied{})
	for _, a := range w.actions[n:] {
		if _, ok := a.Action.(Save); ok {
			t.Error("a step that was not asked for was believed")
		}
	}
	if w.engine.steering.id != id {
		t.Error("the adjustment in flight was forgotten")
	}
}

func TestClockThatRefuses(t *testing.T) {
	w := syncedWorld(t, proto.Second/10)
	w.refuses = true
	w.run(300 * time.Second)
	steers, at := all[Steer](w)
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap < steerRetry {
			t.Errorf("tried again after %v", gap)
		}
	}
	if i := w.incidents("steer-failed"); len(i) != len(steers) || len(i) < 2 || i[0].Level != Error {
		t.Errorf("%d incidents of %d failures", len(i), len(steers))
	}
	w.refuses = false
	w.run(300 * time.Second)
	if !w.status.Synchronised {
		t.Error("does not recover")
	}
}

func TestPanicThresholdHalts(t *testing.T) {
	w := syncedWorld(t, 2*86400*proto.Second) // a correction backwards by two days
	w.engine.sources = append(w.engine.sources, w.engine.newSource(3, src(ModeServer, "nowhere.example", 1)))
	w.run(300 * time.Second)
	if !w.halted {
		t.Fatal("goes on")
	}
	last, ok := w.actions[len(w.actions)-1].Action.(Halt)
	if !ok || last.Reason == "" || last.Hint == "" {
		t.Errorf("last action %+v", last)
	}
	if w.snapshot.Stratum != 16 || w.status.Synchronised || w.wrong != 2*86400*proto.Second {
		t.Errorf("%+v", w.snapshot)
	}
	saved := false
	for _, a := range w.actions {
		_, is := a.Action.(Save)
		saved = saved || is
	}
	if !saved {
		t.Error("the state was not saved")
	}
	if d := w.engine.Deadline(); d != proto.Never {
		t.Errorf("deadline %d", d)
	}
	n := len(w.actions)
	w.happen(NetworkChanged{})
	w.mono = w.mono.Add(time.Hour)
	w.perform(w.engine.Advance(w.now(), nil))
	if len(w.actions) != n {
		t.Error("acts after a Halt")
	}
	if s := w.engine.Status(w.now()); s.Synchronised || s.Text == "" {
		t.Errorf("status %+v", s)
	}
}

// A synchronised clock that has to be moved too far: what is served from then
// on is that nobody knows the time.
func TestHaltEndsService(t *testing.T) {
	w := syncedWorld(t, 0)
	w.run(200 * time.Second)
	if w.snapshot.Stratum != 2 {
		t.Fatalf("serves %+v", w.snapshot)
	}
	for _, h := range w.hosts {
		h.wrong = 5000 * proto.Second
	}
	for range 100 {
		if w.run(60 * time.Second); w.halted {
			break
		}
	}
	if !w.halted || w.snapshot.Stratum != 16 || w.snapshot.Leap != proto.LeapUnsynchronised || w.status.Synchronised {
		t.Errorf("halted %v, serves %+v", w.halted, w.snapshot)
	}
}

func TestWithoutSteering(t *testing.T) {
	cfg := config(src(ModeServer, "192.0.2.1", 1))
	cfg.Steering = false
	w := newWorld(t, cfg)
	w.host("192.0.2.1")
	w.run(300 * time.Second)
	if s, _ := all[Steer](w); len(s) != 0 {
		t.Error("steered")
	}
	if s, _ := all[SetClockStatus](w); len(s) != 0 {
		t.Error("touched the clock's status")
	}
	if w.snapshot.Stratum != 16 {
		t.Errorf("serves %+v", w.snapshot)
	}
}

func TestSuspendedMachineAsksAtOnce(t *testing.T) {
	w := syncedWorld(t, 0)
	w.run(3600 * time.Second)
	n, _ := all[Send](w)
	w.mono = w.mono.Add(8 * time.Hour)
	w.happen(Jumped{Slept: 8 * time.Hour})
	w.run(5 * time.Second)
	m, _ := all[Send](w)
	if d := len(m) - len(n); d < 3 || d > 9 {
		t.Errorf("%d polls after waking up", d)
	}
}

func TestNoRandomnessHalts(t *testing.T) {
	w := syncedWorld(t, 0)
	w.run(300 * time.Second)
	if w.snapshot.Stratum != 2 {
		t.Fatalf("serves %+v", w.snapshot)
	}
	// The next source that is started finds none.
	w.engine.entropy = broken{}
	w.engine.now = w.now()
	w.engine.stop(w.engine.sources[0], w.engine.sources[0].slots[0], "test")
	w.perform(w.engine.take())
	w.happen(NetworkChanged{})
	if !w.halted || w.snapshot.Stratum != 16 || w.status.Synchronised {
		t.Errorf("halted %v, serves %+v", w.halted, w.snapshot)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }
