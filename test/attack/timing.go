package main

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/proto/server"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/relay"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks on the time itself, by servers that lie and networks that delay.
var timeRows = []scene.Row{
	{ID: "T27", P0: true, What: "two liars of five, in agreement, drifting and years off; two of four", Prove: liars},
	{ID: "T28", P0: true, What: "a server that moves by hours after the start, and a supervisor that starts the daemon again", Prove: panics},
	{ID: "T29", P0: true, What: "servers that say 1970, 1999, 2025, 2030, 2090 at the first start, and one of before the program was made to a client without limits", Prove: absurdTimes},
	{ID: "T44", What: "400 ms more delay in one direction, at once and slowly", Prove: delayAttack},
	{ID: "T60", What: "two daemons that are each other's source", Prove: mutual},
	{ID: "T67", What: "many steps that each stay below the threshold", Prove: manySteps},
}

// company starts n upstreams and a client of them all.
func company(t *scene.Trial, n int, text string) (*lab.Host, []*scene.Upstream, *scene.Daemon) {
	h := t.Host("host")
	var all strings.Builder
	all.WriteString(text)
	ups := make([]*scene.Upstream, n)
	for i := range ups {
		addr := netip.AddrFrom4([4]byte{127, 0, 11, byte(i + 1)}).String()
		ups[i] = t.Upstream(h, addr+":123")
		fmt.Fprintf(&all, "[[source]]\nmode = \"server\"\naddress = %q\n", addr)
	}
	return h, ups, t.Daemon(h, "client", all.String())
}

const majority = `
[source-defaults]
poll-interval-limits = { min = 0, max = 0 }
initial-poll-interval = 0
[synchronization]
state-path = ""
`

// truth checks that the client's clock is right, by the client's own server or by what it says of an honest source.
func truth(t *scene.Trial, d *scene.Daemon, honest int, bound float64) {
	s := t.MustState(d)
	for _, row := range s.Own.Sources {
		if row.Source == honest && row.Offset != nil && math.Abs(*row.Offset) > bound {
			t.Fatal("the clock is %v s from an honest server", *row.Offset)
		}
	}
}

func liars(t *scene.Trial) {
	_, ups, d := company(t, 5, majority)
	t.Synchronised(d, 40*time.Second)
	t.Control("five honest servers are followed")
	for _, c := range []struct {
		name string
		lie  func(i int) time.Duration
	}{
		{"agreeing", func(int) time.Duration { return 10 * time.Second }},
		{"spread", func(i int) time.Duration { return time.Duration(i) * 3 * time.Second }},
		{"subtle", func(int) time.Duration { return 300 * time.Millisecond }},
		{"years off", func(int) time.Duration { return -378691200 * time.Second }},
	} {
		name, lie := c.name, c.lie
		for i := range 2 {
			ups[3+i].Shift(lie(i + 1))
		}
		t.Hold(8*time.Second, func() error {
			s, err := d.State()
			if err != nil {
				return err
			}
			if s.System.AccumulatedSteps > 0.1 {
				return fmt.Errorf("%s: the clock was stepped by %v s", name, s.System.AccumulatedSteps)
			}
			return nil
		})
		truth(t, d, 0, 0.05)
		for i := range 2 {
			ups[3+i].Shift(0)
		}
	}
	t.Saw("two liars of five moved nothing, however they lied")
	// Without a majority the clock is held.
	ups[4].Script(func(*scene.Asked) [][]byte { return [][]byte{} })
	ups[2].Shift(10 * time.Second)
	ups[3].Shift(10 * time.Second)
	t.Hold(8*time.Second, func() error {
		s, err := d.State()
		if err == nil && s.System.AccumulatedSteps > 0.1 {
			err = fmt.Errorf("the clock was stepped by %v s without a majority", s.System.AccumulatedSteps)
		}
		return err
	})
	truth(t, d, 0, 0.05)
	t.Saw("two against two: the clock is held")
}

func panics(t *scene.Trial) {
	_, ups, d := company(t, 1, scene.Client)
	t.Synchronised(d, 30*time.Second)
	t.Control("the honest server is followed")
	ups[0].Shift(5 * time.Hour)
	panicked(t, d)
	t.Saw("a server that moves by five hours ends the daemon with code 70, and no step")
	// Who starts it again must not give the server the room of a first correction. A clock in user space is a new one after
	// each start; so that is shown with the engine and the file of the system's clock.
	t.RunTests("proto/engine", "TestPanicThresholdsSurviveARestart", "TestAcceptingStepsEndsTheCaution")
	t.RunTests("daemon", "TestWhatIsSavedIsThereAgain")
	t.Saw("after a restart the first correction has no more room, until one succeeds")
}

// panicked wants a daemon to end at a threshold without a step.
func panicked(t *scene.Trial, d *scene.Daemon) {
	t.Eventually(60*time.Second, func() error {
		if ended, _ := d.Exited(); !ended {
			s, err := d.State()
			if err == nil && s.System.AccumulatedSteps > 1000 {
				return lab.Final{Err: fmt.Errorf("the clock was stepped by %v s", s.System.AccumulatedSteps)}
			}
			return fmt.Errorf("the daemon runs on")
		}
		return nil
	})
	_, err := d.Exited()
	if err == nil || !strings.Contains(err.Error(), "70") {
		t.Fatal("it ended with %v, want exit code 70", err)
	}
	if !strings.Contains(d.Text(), "single-step-panic-threshold") {
		t.Fatal("it does not say why: %s", d.Tail(2))
	}
}

func absurdTimes(t *scene.Trial) {
	h := t.Host("host")
	now := time.Now()
	// The first correction may be large in ntpd-rs' defaults; what they forbid is a day backwards.
	text := strings.Replace(scene.Client, "[synchronization]", "[synchronization]\nstartup-step-panic-threshold = { forward = 86400, backward = 86400 }", 1)
	u := t.Upstream(h, "127.0.0.1:123")
	source := "[[source]]\nmode = \"server\"\naddress = \"127.0.0.1\"\n"
	u.Shift(2 * time.Hour)
	d := t.Daemon(h, "client", text+source)
	t.Synchronised(d, 30*time.Second)
	t.Control("a first step of two hours is made")
	d.Stop()
	for _, year := range []int{1970, 1999, 2025, 2030, 2090} {
		u.Shift(time.Date(year, 2, 3, 4, 5, 6, 0, time.UTC).Sub(now))
		configuration := text
		if year < 2026 { // by default, too
			configuration = scene.Client
		}
		d := t.Daemon(h, fmt.Sprintf("client-%d", year), configuration+source)
		t.Eventually(40*time.Second, func() error {
			if ended, _ := d.Exited(); !ended {
				s, err := d.State()
				if err == nil && s.Own.Steps > 0 {
					return lab.Final{Err: fmt.Errorf("the clock was set to %d", year)}
				}
				return fmt.Errorf("%d: the daemon runs on", year)
			}
			return nil
		})
		if _, err := d.Exited(); err == nil || !strings.Contains(err.Error(), "70") {
			t.Fatal("%d: it ended with %v, want exit code 70", year, err)
		}
	}
	t.Saw("five absurd years refused with exit code 70")
	// Without any limit of steps the time at which the program was made is one.
	text = strings.Replace(scene.Client, "[synchronization]", "[synchronization]\nstartup-step-panic-threshold = \"inf\"\nsingle-step-panic-threshold = \"inf\"", 1)
	u.Shift(400 * 24 * time.Hour)
	d = t.Daemon(h, "unlimited", text+source)
	t.Synchronised(d, 30*time.Second)
	t.Control("without limits a step of 400 days forward is made")
	d.Stop()
	u.Shift(-400 * 24 * time.Hour)
	d = t.Daemon(h, "backward", text+source)
	t.Eventually(40*time.Second, func() error {
		if ended, _ := d.Exited(); !ended {
			s, err := d.State()
			if err == nil && s.Own.Steps > 0 {
				return lab.Final{Err: fmt.Errorf("the clock was set to before the program was made")}
			}
			return fmt.Errorf("the daemon runs on")
		}
		return nil
	})
	if _, err := d.Exited(); err == nil || !strings.Contains(err.Error(), "70") || !strings.Contains(d.Text(), "before this program was made") {
		t.Fatal("it ended with %v: %s", err, d.Tail(2))
	}
	t.Saw("nor is one of 400 days backward")
}

func delayAttack(t *scene.Trial) {
	h := t.Host("host")
	t.Upstream(h, "127.0.0.1:123")
	r, err := relay.Start(relay.Config{Listen: "127.0.0.2:123", Target: scene.At("127.0.0.1:123"), Seed: 44, Inside: h.Inside})
	t.Check(err)
	t.Cleanup(func() { r.Close() })
	d := t.Daemon(h, "client", "[[server]]\nlisten = \""+delayed+"\"\n"+scene.Client+"[[source]]\nmode = \"server\"\naddress = \"127.0.0.2\"\n")
	t.Synchronised(d, 30*time.Second)
	t.Serving(d, delayed)
	t.Control("the server behind the relay is followed")
	var w delayWatch
	t.Check(r.Set(relay.Fault{}, relay.Fault{Delay: 400 * time.Millisecond}))
	a, err := scene.Ask(h, "127.0.0.2:123")
	t.Check(err)
	if a.Delay < 400*time.Millisecond {
		t.Fatal("what goes through the relay is delayed by %v: the row shows nothing", a.Delay)
	}
	t.Control("one question by way of the relay finds the server %v off", a.Offset.Round(time.Millisecond))
	t.Hold(20*time.Second, func() error { return w.bounded(h, 200*time.Millisecond) })
	t.Check(r.Set(relay.Fault{Delay: 400 * time.Millisecond}, relay.Fault{}))
	t.Hold(20*time.Second, func() error { return w.bounded(h, 200*time.Millisecond) })
	// Slowly, so that each measurement looks like the last.
	sudden := w.closest
	w.slowly, w.closest = true, 0
	for i := range 20 {
		t.Check(r.Set(relay.Fault{}, relay.Fault{Delay: time.Duration(i) * 2 * time.Millisecond}))
		t.Hold(time.Second, func() error { return w.bounded(h, time.Duration(i)*time.Millisecond) })
	}
	t.Alive(d.Process)
	if w.seen < 100 {
		t.Fatal("only %d comparisons", w.seen)
	}
	t.Saw("400 ms more one way, either way, and 2 ms more every second: %d comparisons, never further off than half the delay (%v); by %.0f %% of the bound that the client publishes at most, and by %.0f %% while the delay grows", w.seen, w.worst.Round(100*time.Microsecond), 100*sudden, 100*w.closest)
}

// delayed is where the client of a network that delays serves its time.
const delayed = "127.0.0.3:123"

// delayWatch compares a client's clock with the truth.
type delayWatch struct {
	seen    int
	worst   time.Duration
	slowly  bool
	closest float64 // the largest part of the published bound that an error was
}

// bounded checks that the clock is not further off than an attacker who delays can move it at all, nor than the client says
// itself: half its root delay and its root dispersion (RFC 5905, section 11.1). While a delay grows without end that
// bound, which rests on the shortest of the last round trips, is behind; then it is reported alone.
func (w *delayWatch) bounded(h *lab.Host, most time.Duration) error {
	a, err := scene.Ask(h, delayed)
	if err != nil || a.Delay > 20*time.Millisecond {
		return nil //nolint:nilerr // a busy machine: no comparison; they are counted
	}
	w.seen++
	off := a.Offset.Abs()
	w.worst = max(w.worst, off)
	if a.Leap != 3 {
		w.closest = max(w.closest, float64(off)/float64(a.Root+a.Delay/2))
	}
	if off > most+10*time.Millisecond || !w.slowly && w.closest > 1 {
		return fmt.Errorf("after %d comparisons the clock is %v off, and the client says at most %v (%v on the way)", w.seen, a.Offset, a.Root, a.Delay)
	}
	return nil
}

func mutual(t *scene.Trial) {
	one, two := t.Host("one"), t.Host("two")
	wireHosts(t, one, two, "10.9.0.1/24", "10.9.0.2/24")
	text := func(self, other string) string {
		return "[[server]]\nlisten = \"" + self + ":123\"\n" + scene.Client + "[[source]]\nmode = \"server\"\naddress = \"" + other + "\"\n"
	}
	u := t.Upstream(one, "10.9.0.1:1123")
	a := t.Daemon(one, "one", text("10.9.0.1", "10.9.0.2")+"[[source]]\nmode = \"server\"\naddress = \"10.9.0.1:1123\"\n")
	b := t.Daemon(two, "two", text("10.9.0.2", "10.9.0.1"))
	t.Synchronised(a, 30*time.Second)
	t.Synchronised(b, 40*time.Second)
	t.Control("one follows a server at stratum 1, two follows one")
	u.Say(func(s *server.TimeSnapshot) { s.Stratum = 16 })
	u.Script(func(*scene.Asked) [][]byte { return [][]byte{} })
	looped := false
	t.Hold(20*time.Second, func() error {
		s, err := a.State()
		if err != nil {
			return err
		}
		for _, row := range s.Own.Sources {
			if row.Source == 0 && row.Condition == "selected" {
				return fmt.Errorf("one follows two, which follows one")
			}
			looped = looped || row.Source == 0 && row.Reason == "loop" && row.Taken() > 0
		}
		return nil
	})
	if !looped {
		t.Fatal("one did not hear two, or refuses it for something else: the row shows nothing")
	}
	t.Alive(a.Process)
	t.Alive(b.Process)
	t.Saw("without the server, one does not follow two, which took its time from one")
}

func manySteps(t *scene.Trial) {
	text := strings.Replace(scene.Client, "[synchronization]", "[synchronization]\nsingle-step-panic-threshold = 100\naccumulated-step-panic-threshold = 250", 1)
	_, ups, d := company(t, 1, text)
	t.Synchronised(d, 30*time.Second)
	t.Control("the honest server is followed")
	steps := 0.0
	var shift time.Duration
	t.Eventually(100*time.Second, func() error {
		if ended, _ := d.Exited(); ended {
			return nil
		}
		s, err := d.State()
		if err == nil && (s.System.AccumulatedSteps > steps || shift == 0) {
			steps = s.System.AccumulatedSteps
			shift += 90 * time.Second
			ups[0].Shift(shift)
		}
		return fmt.Errorf("the daemon runs on after steps of %v s", steps)
	})
	if _, err := d.Exited(); err == nil || !strings.Contains(err.Error(), "70") {
		t.Fatal("it ended with %v, want exit code 70", err)
	}
	if steps < 80 || steps > 250 {
		t.Fatal("steps of %v s were made", steps)
	}
	t.Saw("steps of 90 s end the daemon before they exceed 250 s in all (%v s)", math.Round(steps))
}
