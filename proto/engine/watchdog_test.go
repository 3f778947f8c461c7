package engine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/khronos"
)

// guarded is a machine with three sources and a watchdog with a pool of 40
// servers, of whose addresses the resolver gives four at a time.
func guarded(t *testing.T, hold bool) *world {
	cfg := config(src(ModeServer, "192.0.2.1", 1), src(ModeServer, "192.0.2.2", 1), src(ModeServer, "192.0.2.3", 1))
	cfg.Discipline.MinimumAgreeing = 2
	cfg.Watchdog = Watchdog{Host: "large.pool.test", Port: 123, Hold: hold}
	w := newWorld(t, cfg)
	for i := range 3 {
		w.host(fmt.Sprintf("192.0.2.%d", i+1))
	}
	var pool []string
	for i := range 40 {
		a := fmt.Sprintf("198.51.100.%d", i+1)
		w.host(a)
		pool = append(pool, a)
	}
	next := 0
	w.names["large.pool.test"] = func() (answer []netip.Addr, ok bool) {
		for range 4 {
			answer = append(answer, addr(pool[next%len(pool)]))
			next++
		}
		return answer, true
	}
	return w
}

func (w *world) captured(by proto.Duration) {
	for i := range 3 {
		w.hosts[netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:123", i+1))].wrong = by
	}
}

func (w *world) count(code string) int {
	n := 0
	for _, c := range w.codes() {
		if c == code {
			n++
		}
	}
	return n
}

// A clock that is right is left alone, whatever a third of the pool says, and
// the pool is not asked often.
func TestWatchdogIsQuiet(t *testing.T) {
	w := guarded(t, true)
	for i := range 10 {
		w.hosts[netip.MustParseAddrPort(fmt.Sprintf("198.51.100.%d:123", i+1))].wrong = 3600 * proto.Second
	}
	w.run(24 * time.Hour)
	if n := w.count("watchdog-alarm"); n != 0 || w.wrong.Abs() > proto.Second/100 {
		t.Errorf("%d alarms, off by %v", n, w.wrong)
	}
	asked := 0
	for i := range 40 {
		asked += len(w.hosts[netip.MustParseAddrPort(fmt.Sprintf("198.51.100.%d:123", i+1))].asked)
	}
	if w.count("watchdog-blind") != 0 {
		t.Error("it is said that it sees nothing")
	}
	if asked < 15*khronos.Samples || asked > 40*khronos.Samples {
		t.Errorf("the pool was asked %d times in a day", asked)
	}
}

// All sources lie the same way, little by little: the majority is theirs. The
// watchdog says so, and holds the clock if it is to where it was when it noticed,
// until they are honest again.
func TestWatchdogAgainstAMajorityOfLiars(t *testing.T) {
	for _, hold := range []bool{false, true} {
		w := guarded(t, hold)
		w.run(3 * time.Hour)
		for hour := range 24 {
			w.captured(proto.Duration(hour) * proto.Second / 20) // 50 ms an hour
			w.run(time.Hour)
		}
		if w.count("watchdog-alarm") == 0 {
			t.Fatalf("hold %v: no alarm, and the clock is off by %v", hold, w.wrong)
		}
		if held := w.wrong.Abs() < 6*proto.Second/10; held != hold {
			t.Errorf("hold %v: the clock is off by %v", hold, w.wrong)
		}
		w.captured(0)
		w.run(4 * time.Hour)
		if w.count("watchdog-well") == 0 || w.wrong.Abs() > proto.Second/100 {
			t.Errorf("hold %v: with honest sources again it is off by %v", hold, w.wrong)
		}
	}
}

// pool calls f for each of the pool's servers.
func (w *world) pool(f func(*host)) {
	for i := range 40 {
		f(w.hosts[netip.MustParseAddrPort(fmt.Sprintf("198.51.100.%d:123", i+1))])
	}
}

// A pool that is silent silences the watchdog no longer than three hours: that
// it sees nothing is said once, and again when it was over meanwhile.
func TestABlindWatchdogSaysSo(t *testing.T) {
	silent := func(down bool) func(*world) {
		return func(w *world) { w.pool(func(h *host) { h.down = down }) }
	}
	resolves := func(w *world) func() ([]netip.Addr, bool) { return w.names["large.pool.test"] }
	for name, c := range map[string]struct {
		before, blind, cure func(*world)
		text                string
	}{
		"the pool's name never resolves": {func(w *world) {
			all := resolves(w)
			w.names["large.pool.test"] = func() ([]netip.Addr, bool) { return nil, false }
			w.names["real.test"] = all
		}, nil, func(w *world) { w.names["large.pool.test"] = w.names["real.test"] }, "only 0 servers of it are known, and it takes 30: large.pool.test: no such host"},
		"it has too few servers": {func(w *world) {
			w.names["real.test"] = resolves(w)
			w.name("large.pool.test", "198.51.100.1", "198.51.100.2", "198.51.100.3")
		}, nil, func(w *world) { w.names["large.pool.test"] = w.names["real.test"] }, "only 3 servers of it are known, and it takes 30. "},
		"its servers fall silent": {nil, silent(true), silent(false), "only 0 of the servers of it that were asked answered"},
	} {
		t.Run(name, func(t *testing.T) {
			w := guarded(t, false)
			if c.before != nil {
				c.before(w)
			}
			w.run(150 * time.Minute)
			if c.blind != nil {
				c.blind(w)
			}
			if w.count("watchdog-blind") != 0 {
				t.Fatal("too soon")
			}
			w.run(4 * time.Hour)
			found := w.incidents("watchdog-blind")
			if len(found) != 1 || found[0].Level != Warn || !strings.Contains(found[0].Text, c.text) {
				t.Fatalf("%+v", found)
			}
			w.run(12 * time.Hour)
			if w.count("watchdog-blind") != 1 || w.count("watchdog-sees") != 0 {
				t.Fatal("it is said again while nothing has changed")
			}
			c.cure(w)
			w.run(2 * time.Hour)
			if w.count("watchdog-sees") != 1 {
				t.Fatal("it does not say that it sees again")
			}
			silent(true)(w)
			w.run(5 * time.Hour)
			if w.count("watchdog-blind") != 2 {
				t.Error("the second time is not said")
			}
		})
	}
}

// What it means that nobody watches depends on what the watchdog may do.
func TestABlindWatchdogSaysWhatItMeans(t *testing.T) {
	for _, c := range []struct {
		hold, alarm bool
		want        string
	}{
		{false, false, "meanwhile nobody checks the sources"}, {true, false, "the clock is not held"}, {true, true, "the clock stays held"},
		{false, true, "meanwhile nobody checks the sources"},
	} {
		w := guarded(t, c.hold)
		w.run(3 * time.Hour)
		if c.alarm {
			w.captured(proto.Second / 2)
			w.run(4 * time.Hour)
		}
		if w.count("watchdog-alarm") > 0 != c.alarm {
			t.Fatal("no case")
		}
		w.pool(func(h *host) { h.down = true })
		w.run(5 * time.Hour)
		if found := w.incidents("watchdog-blind"); len(found) != 1 || !strings.HasSuffix(found[0].Text, c.want) && !strings.Contains(found[0].Text, c.want+",") {
			t.Errorf("hold %v, alarm %v: %+v", c.hold, c.alarm, found)
		}
	}
}

// A daemon that serves is no witness of its own clock, though the pool has it.
func TestWatchdogDoesNotAskItself(t *testing.T) {
	w := guarded(t, false)
	own := netip.MustParseAddrPort("198.51.100.1:123")
	w.happen(NetworkChanged{Local: []netip.Addr{own.Addr()}, Serving: []netip.AddrPort{netip.MustParseAddrPort("[::]:123")}})
	w.run(24 * time.Hour)
	if n := len(w.hosts[own].asked); n != 0 {
		t.Errorf("it was asked %d times", n)
	}
	if n := w.engine.watchdog.Known(); n != 39 {
		t.Errorf("%d are known", n)
	}
}

// Without a watchdog nobody else is asked.
func TestNoWatchdog(t *testing.T) {
	w := guarded(t, true)
	cfg := w.engine.cfg
	w.run(2 * time.Hour)
	cfg.Watchdog = Watchdog{}
	w.happen(Reconfigured{Config: cfg})
	w.actions = nil
	w.run(3 * time.Hour)
	for _, a := range w.actions {
		if s, ok := a.Action.(Send); ok && strings.HasPrefix(s.To.String(), "198.51.100.") {
			t.Fatalf("%v was asked", s.To)
		}
		if l, ok := a.Action.(Lookup); ok {
			t.Fatalf("%s was looked up", l.Host)
		}
	}
}
