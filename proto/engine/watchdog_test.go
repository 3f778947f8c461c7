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
