package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/server"
	"github.com/ntpd-go/ntpd-go/test/lab"
	"github.com/ntpd-go/ntpd-go/test/relay"
	"github.com/ntpd-go/ntpd-go/test/scene"
)

// Attacks on the time itself, by servers that lie and networks that delay.
var timeRows = []scene.Row{
	{ID: "T27", P0: true, Limit: 4 * time.Minute, What: "two liars of five, in agreement or not, drifting, at random and years off; two of four", Prove: liars},
	{ID: "T28", P0: true, What: "a server that moves by hours after the start, and a supervisor that starts the daemon again", Prove: panics},
	{ID: "T29", P0: true, What: "servers that say 1970, 1999, 2025, 2030, 2090 at the first start, and one of before the program was made to a client without limits", Prove: absurdTimes},
	{ID: "T44", What: "400 ms more delay in one direction, at once and slowly", Prove: delayAttack},
	{ID: "T60", What: "two daemons that are each other's source", Prove: mutual},
	{ID: "T60r", What: "three daemons in a ring, whose only server goes", Limit: 4 * time.Minute, Prove: ring},
	{ID: "T67", What: "many steps that each stay below the threshold", Prove: manySteps},
}

// company starts n upstreams and a client of them all.
func company(t *scene.Trial, n int, text string) (*lab.Host, []*scene.Upstream, *scene.Daemon) {
	h := t.Host("host")
	ups := make([]*scene.Upstream, n)
	for i := range ups {
		ups[i] = t.Upstream(h, companion(i)+":123")
	}
	return h, ups, t.Daemon(h, "client", text+sourcesOf(ups))
}

// companion is the address of the i-th upstream of a company.
func companion(i int) string { return netip.AddrFrom4([4]byte{127, 0, 11, byte(i + 1)}).String() }

// sourcesOf has the first of a company as a client's sources.
func sourcesOf(ups []*scene.Upstream) string {
	var all strings.Builder
	for i := range ups {
		all.WriteString(plainSource(companion(i)))
	}
	return all.String()
}

const majority = `
[source-defaults]
poll-interval-limits = { min = 0, max = 0 }
initial-poll-interval = 0
[synchronization]
state-path = ""
`

// A lie is what two of five servers say.
type lie struct {
	name   string
	shift  func(i int, since time.Duration) time.Duration // of the i-th liar, some time after it began
	script scene.Script                                   // what else they do to their replies
	vague  bool                                           // they do not even agree with themselves, and need not be called falsetickers
}

var lies = []lie{
	{name: "agreeing", shift: func(int, time.Duration) time.Duration { return 10 * time.Second }},
	{name: "spread", shift: func(i int, _ time.Duration) time.Duration { return time.Duration(i) * 3 * time.Second }},
	{name: "subtle", shift: func(int, time.Duration) time.Duration { return 300 * time.Millisecond }},
	{name: "drifting", shift: func(_ int, since time.Duration) time.Duration { return since / 20 }},
	{name: "random", shift: func(int, time.Duration) time.Duration { return 0 }, script: anyTime, vague: true},
	{name: "years off", shift: func(int, time.Duration) time.Duration { return -378691200 * time.Second }},
}

// anyTime is up to ten seconds off, each time otherwise.
func anyTime(a *scene.Asked) [][]byte {
	by := proto.Duration(rand.Int64N(int64(20*proto.Second))) - 10*proto.Second
	return [][]byte{a.Header(func(h *proto.Header) { h.Receive, h.Transmit = h.Receive.Add(by), h.Transmit.Add(by) })}
}

func liars(t *scene.Trial) {
	h, ups, d := company(t, 5, "[[server]]\nlisten = \""+delayed+"\"\n"+majority)
	v := &voter{d, delayed}
	agree := func() error { return v.are("selected", 0, 1, 2, 3, 4) }
	for _, l := range lies {
		t.Eventually(40*time.Second, agree)
		t.Control("five servers that agree are followed")
		said, begin := len(d.Text()), time.Now()
		t.Hold(4*time.Second, func() error {
			for i, u := range ups[3:] {
				u.Shift(l.shift(i+1, time.Since(begin)))
				u.Script(l.script)
			}
			return all(v.unstepped(), v.truthful())
		})
		t.Eventually(20*time.Second, func() error { return all(v.truthful(), l.noticed(v, said), v.off(0)) })
		t.Check(v.unstepped())
		out, err := h.Output(lab.Program{Args: []string{filepath.Join(t.Bin, "ntp-ctl"), "status", "-c", "/run/lab/client.toml"}})
		if t.Check(err); !l.vague && strings.Count(out, "disagrees with the majority") < 2 {
			t.Fatal("%s: ntp-ctl status does not say so: %s", l.name, out)
		}
		for _, u := range ups[3:] {
			u.Shift(0)
			u.Script(nil)
		}
	}
	t.Saw("two liars of five moved nothing, however they lied, and state and log name them; the clock was always within what it publishes")
	d.Stop()
	tied(t, h, ups)
}

// tied servers have no majority: the clock is held, although as many agree as the client was told that it needs.
func tied(t *scene.Trial, h *lab.Host, ups []*scene.Upstream) {
	v := &voter{t.Daemon(h, "four", "[[server]]\nlisten = \""+delayed+"\"\n"+majority+"minimum-agreeing-sources = 2\n"+sourcesOf(ups[:4])), delayed}
	t.Eventually(30*time.Second, func() error { return v.are("selected", 0, 1, 2, 3) })
	t.Control("four servers that agree are followed by a client that wants two")
	said := len(v.Text())
	ups[2].Shift(10 * time.Second)
	ups[3].Shift(10 * time.Second)
	held := func() error { return all(v.unstepped(), v.truthful()) }
	t.Eventually(30*time.Second, func() error { return all(held(), v.are("no-majority", 0, 1, 2, 3)) })
	t.Hold(5*time.Second, held)
	if news := v.Text()[said:]; !strings.Contains(news, "the clock is held") || !strings.Contains(news, "level=WARN") {
		t.Fatal("the log does not warn that there is no majority: %s", news)
	}
	t.Saw("two against two: the clock is held, state and log say that there is no majority")
}

// noticed wants honest servers to be followed, and liars to be named by the state and, since it had some length, the log.
func (l lie) noticed(v *voter, said int) error {
	s, err := v.State()
	if err != nil {
		return err
	}
	if l.vague { // what agrees with nothing that it said before is noise, and its source is not always expelled
		for _, row := range s.Own.Sources[:3] {
			if row.Condition != "selected" {
				return fmt.Errorf("%s: %s is %s", l.name, row.Address, row.Condition)
			}
		}
		return nil
	}
	if err := v.are("selected", 0, 1, 2); err != nil {
		return err
	}
	for _, row := range s.Own.Sources[3:] {
		if row.Condition != "falseticker" {
			return fmt.Errorf("%s: %s is %s", l.name, row.Address, row.Condition)
		}
		if !strings.Contains(v.Text()[said:], "code=source-falseticker source="+row.Address) {
			return fmt.Errorf("%s: the log does not name %s: %s", l.name, row.Address, v.Tail(5))
		}
	}
	return nil
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
	// Slowly, so that each measurement looks like the last. What is left of the sudden delay is slewed away meanwhile.
	t.Check(r.Set(relay.Fault{}, relay.Fault{}))
	t.Pause(2 * time.Second)
	a, err = scene.Ask(h, delayed)
	t.Check(err)
	left := a.Offset.Abs()
	sudden := w.closest
	w.slowly, w.closest = true, 0
	for i := range 20 {
		t.Check(r.Set(relay.Fault{}, relay.Fault{Delay: time.Duration(i) * 2 * time.Millisecond}))
		t.Hold(time.Second, func() error { return w.bounded(h, left+time.Duration(i)*time.Millisecond) })
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
