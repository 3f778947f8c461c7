package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"pgregory.net/rapid"
)

func seconds(at []proto.Instant) (s []int) {
	for _, t := range at {
		s = append(s, int((t-at[0])/proto.Instant(time.Second)))
	}
	return s
}

func TestNameLookupBacksOff(t *testing.T) {
	for _, mode := range []Mode{ModeServer, ModePool} {
		w := newWorld(t, config(src(mode, "time.example", 2)))
		w.run(300 * time.Second)
		_, at := all[Lookup](w)
		if want := []int{0, 1, 3, 7, 15, 31, 63, 127, 191, 255}; !slices.Equal(seconds(at), want) {
			t.Errorf("%s: looked up at %v, want %v", mode, seconds(at), want)
		}
		warned := 0
		for _, i := range w.incidents("dns-failed") {
			if i.Level == Warn {
				warned++
			}
		}
		if warned != 1 {
			t.Errorf("%s: warned %d times of one problem", mode, warned)
		}
		r := w.row(0)
		if r.Condition != Waiting || r.Reason != Reason(ClassDNS) || r.Text == "" || r.RetryIn <= 0 || r.RetryIn > 64*time.Second {
			t.Errorf("%s: row %+v", mode, r)
		}
		// The network comes back: no waiting for the rest of the back-off.
		w.name("time.example", "192.0.2.1", "192.0.2.2")
		w.happen(NetworkChanged{})
		w.run(1100 * time.Millisecond)
		if w.live() == 0 {
			t.Errorf("%s: still waits", mode)
		}
	}
}

func TestServerByAddressNeedsNoName(t *testing.T) {
	for _, a := range []string{"192.0.2.1", "2001:db8::1"} {
		w := newWorld(t, config(src(ModeServer, a, 1)))
		w.run(time.Hour) // nobody answers
		if l, _ := all[Lookup](w); len(l) != 0 {
			t.Errorf("%s was looked up", a)
		}
		if r := w.row(0); r.Addr != netip.AddrPortFrom(addr(a), 123) || r.Condition != Unreachable || r.Reason != ReasonSilent {
			t.Errorf("row %+v", r)
		}
		if n := len(w.incidents("source-new")); n != 1 {
			t.Errorf("%d sources were started", n)
		}
	}
}

// A name with a dead first address: the next one is tried, and the way back
// is open too.
func TestServerTriesItsOtherAddresses(t *testing.T) {
	w := newWorld(t, config(src(ModeServer, "time.example", 1)))
	w.name("time.example", "192.0.2.1", "192.0.2.2")
	two := w.host("192.0.2.2")
	w.run(10 * time.Second)
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.2") || r.Reach == 0 {
		t.Fatalf("row %+v", r)
	}
	two.down = true
	w.host("192.0.2.1")
	w.run(8 * 1100 * time.Second)
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.1") || r.Condition == Unreachable {
		t.Errorf("row %+v", r)
	}
	if w.live() != 1 {
		t.Errorf("%d live sources", w.live())
	}
}

// A server that does not answer for a while is kept when its name still leads
// to it: what was learnt about it is not thrown away, and the name is not
// looked up all the time.
func TestServerIsKeptWhileItsNameLeadsToIt(t *testing.T) {
	w := newWorld(t, config(src(ModeServer, "time.example", 1)))
	w.name("time.example", "192.0.2.1")
	h := w.host("192.0.2.1")
	w.run(100 * time.Second)
	id := w.row(0).ID
	h.down = true
	w.run(4 * time.Hour)
	if r := w.row(0); r.Condition != Unreachable || r.ID != id {
		t.Errorf("row %+v", r)
	}
	lookups, _ := all[Lookup](w)
	if n := len(lookups); n < 3 || n > 30 {
		t.Errorf("%d look-ups in four hours", n)
	}
	h.down = false
	w.run(time.Hour)
	if r := w.row(0); r.Condition != Selected || r.ID != id {
		t.Errorf("row %+v", r)
	}
	if w.incidents("source-well") == nil {
		t.Error("nobody was told that it is back")
	}
}

// A configured server may be where another one is, when there is nowhere else;
// but it is not moved there.
func TestServersAtOneAddress(t *testing.T) {
	w := newWorld(t, config(src(ModeServer, "192.0.2.1", 1), src(ModeServer, "a.example", 1), src(ModeServer, "b.example", 1)))
	w.host("192.0.2.1")
	w.name("a.example", "192.0.2.1")
	w.name("b.example", "192.0.2.1", "192.0.2.2")
	w.run(300 * time.Second)
	for i, want := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2"} {
		if r := w.row(i); r.Addr.Addr() != addr(want) {
			t.Errorf("row %d: %+v", i, r)
		}
	}
	if n := len(w.incidents("source-new")); n != 3 {
		t.Errorf("%d sources were started", n)
	}
}

// The server answers again before the resolver does: it is kept.
func TestServerThatComesBackDuringTheLookup(t *testing.T) {
	w := newWorld(t, config(src(ModeServer, "time.example", 1)))
	w.name("time.example", "192.0.2.1", "192.0.2.2")
	h := w.host("192.0.2.1")
	h.down, w.slow = true, 40*time.Second
	w.run(40*time.Second + 20*time.Second) // three polls missed, the next look-up is on its way
	if l, _ := all[Lookup](w); len(l) != 2 || w.row(0).Condition != Unreachable {
		t.Fatalf("looked up %d times, row %+v", len(l), w.row(0))
	}
	h.down = false
	w.run(200 * time.Second)
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.1") || len(w.incidents("source-removed")) != 0 {
		t.Errorf("row %+v", r)
	}
}

func TestPoolKeepsCountOfDistinctServers(t *testing.T) {
	pool := src(ModePool, "pool.example", 4)
	pool.Ignore = []netip.Addr{addr("192.0.2.2")}
	other := src(ModePool, "other.example", 2)
	w := newWorld(t, config(src(ModeServer, "192.0.2.1", 1), pool, other))
	for _, a := range []string{"192.0.2.1", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"} {
		w.host(a)
	}
	w.name("pool.example", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
	w.name("other.example", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6")
	w.run(200 * time.Second)
	seen := map[netip.Addr]bool{}
	for _, r := range w.engine.Status(w.now()).Sources {
		if r.ID == 0 {
			continue
		}
		if seen[r.Addr.Addr()] || r.Addr.Addr() == addr("192.0.2.2") {
			t.Errorf("%v is used twice, or was to be ignored", r.Addr)
		}
		seen[r.Addr.Addr()] = true
	}
	// 1 for the server; 3 and 4 for the pool, whose other two are taken or
	// ignored; 5 and 6 for the other pool.
	if len(seen) != 5 {
		t.Errorf("%d live sources", len(seen))
	}
	if r := w.row(4); r.ID != 0 || r.Condition == Selected || r.Text == "" {
		t.Errorf("row of an empty slot: %+v", r)
	}
}

func TestPoolReplacesTheDead(t *testing.T) {
	w := newWorld(t, config(src(ModePool, "pool.example", 3)))
	a, b, c := w.host("192.0.2.1"), w.host("192.0.2.2"), w.host("192.0.2.3")
	w.name("pool.example", "192.0.2.1", "192.0.2.2", "192.0.2.3")
	w.run(300 * time.Second)
	if w.live() != 3 {
		t.Fatalf("%d live", w.live())
	}
	a.down, b.down = true, true
	w.host("192.0.2.4")
	w.host("192.0.2.5")
	w.name("pool.example", "192.0.2.1", "192.0.2.4", "192.0.2.2", "192.0.2.5")
	w.run(9 * 1100 * time.Second)
	for i := range 3 {
		if r := w.row(i); r.Condition != Selected {
			t.Errorf("row %d: %+v", i, r)
		}
	}
	if len(c.asked) == 0 || w.row(2).Addr.Addr() != addr("192.0.2.3") {
		t.Error("the good one was replaced")
	}
}

func TestPoolByAddress(t *testing.T) {
	w := newWorld(t, config(src(ModePool, "192.0.2.1", 2)))
	w.host("192.0.2.1")
	w.run(100 * time.Second)
	if l, _ := all[Lookup](w); len(l) != 0 || w.live() != 1 {
		t.Errorf("%d look-ups, %d live", len(l), w.live())
	}
}

// Servers that are known to be bad do not replace each other; one is taken
// only where there would be none.
func TestPoolDoesNotGoInCircles(t *testing.T) {
	w := newWorld(t, config(src(ModePool, "pool.example", 1)))
	w.name("pool.example", "192.0.2.1", "192.0.2.2")
	w.run(4 * time.Hour)
	if n := len(w.incidents("source-new")); n != 2 || w.row(0).Addr.Addr() != addr("192.0.2.2") {
		t.Errorf("%d sources were started, row %+v", n, w.row(0))
	}
	w.engine.now = w.now()
	w.engine.demobilise(w.row(0).Addr, false)
	w.perform(w.engine.take())
	w.run(2 * time.Hour)
	if w.row(0).Addr.Addr() != addr("192.0.2.1") {
		t.Errorf("row %+v", w.row(0))
	}
}

// One answer with many addresses does not own the pool.
func TestAnswersAreBounded(t *testing.T) {
	w := newWorld(t, config(src(ModePool, "pool.example", 2)))
	var flood []string
	for i := range 250 {
		flood = append(flood, netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)}).String())
	}
	w.name("pool.example", append([]string{"0.0.0.0", "224.0.1.1", "255.255.255.255", "::", "ff02::101", "203.0.113.1", "::ffff:203.0.113.1"}, flood...)...)
	w.run(8 * time.Hour)
	lookups, _ := all[Lookup](w)
	sends, _ := all[Send](w)
	used := map[netip.Addr]bool{}
	for _, s := range sends {
		used[s.To.Addr()] = true
		if !usable(s.To.Addr()) || s.To.Addr().Is4In6() {
			t.Errorf("asked %v", s.To)
		}
	}
	if len(used) > 4 || len(lookups) < 4 {
		t.Errorf("%d addresses of %d equal answers were used", len(used), len(lookups))
	}
}

func TestUnusableAddressesAreAFailure(t *testing.T) {
	w := newWorld(t, config(src(ModeServer, "time.example", 1)))
	w.name("time.example", "0.0.0.0", "239.1.2.3")
	w.run(10 * time.Second)
	if w.live() != 0 || w.row(0).Reason != Reason(ClassDNS) || len(w.incidents("dns-failed")) == 0 {
		t.Errorf("row %+v", w.row(0))
	}
}

// RFC 5905 section 7.4: DENY and RSTR: "stop sending packets to that server".
func TestDenyStopsForGood(t *testing.T) {
	deny := func(h *host) {
		h.edit = func(p []byte) []byte {
			p[1] = 0
			copy(p[12:], "DENY")
			return p
		}
	}
	t.Run("server", func(t *testing.T) {
		w := newWorld(t, config(src(ModeServer, "time.example", 1)))
		w.name("time.example", "192.0.2.1", "192.0.2.2")
		deny(w.host("192.0.2.1"))
		w.run(time.Hour)
		if n := len(w.hosts[netip.MustParseAddrPort("192.0.2.1:123")].asked); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if r := w.row(0); r.Condition != Demobilised || r.Reason != ReasonDenied || r.RetryIn < 22*time.Hour || r.Text == "" {
			t.Errorf("row %+v", r)
		}
		if i := w.incidents("kiss-deny"); len(i) != 1 || i[0].Level != Warn {
			t.Errorf("incidents %+v", i)
		}
	})
	t.Run("pool", func(t *testing.T) {
		// The second source may not ask it either.
		w := newWorld(t, config(src(ModePool, "pool.example", 2), src(ModeServer, "192.0.2.1", 1)))
		deny(w.host("192.0.2.1"))
		w.host("192.0.2.2")
		w.host("192.0.2.3")
		w.name("pool.example", "192.0.2.1", "192.0.2.2", "192.0.2.3")
		w.run(time.Hour)
		if n := len(w.hosts[netip.MustParseAddrPort("192.0.2.1:123")].asked); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if w.live() != 2 || w.row(2).Condition != Demobilised {
			t.Errorf("%d live, row %+v", w.live(), w.row(2))
		}
	})
}

func TestRateIsObeyedAndTold(t *testing.T) {
	w := newWorld(t, config(src(ModeServer, "192.0.2.1", 1)))
	h := w.host("192.0.2.1")
	h.edit = func(p []byte) []byte {
		p[1] = 0
		copy(p[12:], "RATE")
		return p
	}
	w.run(6 * time.Hour)
	if n := len(h.asked); n > 6*4+10 {
		t.Errorf("asked %d times in six hours", n)
	}
	if r := w.row(0); r.Poll != 10 || len(w.incidents("kiss-rate")) < 6 {
		t.Errorf("row %+v", r)
	}
}

func TestNotSupported(t *testing.T) {
	w := newWorld(t, config(Source{Name: "gps", Mode: ModeSock}, Source{Name: "pps", Mode: ModePPS}, Source{Name: "ptp", Mode: ModePHC}))
	w.run(time.Hour)
	for i := range 3 {
		if r := w.row(i); r.Condition != NotSupported || r.Text == "" || r.ID != 0 {
			t.Errorf("row %+v", r)
		}
	}
	if n := len(w.incidents("source-not-supported")); n != 3 {
		t.Errorf("%d incidents", n)
	}
}

// Whatever names resolve to and whoever dies: never more live sources than
// configured, never two at one address, back-off of look-ups, and no spinning
// (the world checks that).
func TestSpawnersKeepTheirLimits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		count := rapid.IntRange(0, 5).Draw(rt, "count")
		w := newWorld(t, config(src(ModePool, "pool.example", count), src(ModeServer, "time.example", 1), src(ModePool, "other.example", 2)))
		draw := func(label string) func() ([]netip.Addr, bool) {
			return func() ([]netip.Addr, bool) {
				var list []netip.Addr
				for range rapid.IntRange(0, 6).Draw(rt, label) {
					list = append(list, netip.AddrFrom4([4]byte{192, 0, 2, rapid.ByteRange(0, 8).Draw(rt, "addr")}))
				}
				return list, rapid.IntRange(0, 3).Draw(rt, "ok") > 0
			}
		}
		for _, n := range []string{"pool.example", "time.example", "other.example"} {
			w.names[n] = draw(n)
		}
		var hosts []*host
		for i := range 8 {
			h := w.host(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String())
			hosts = append(hosts, h)
		}
		w.mute()
		for range 20 {
			for _, h := range hosts {
				if rapid.IntRange(0, 5).Draw(rt, "change") == 0 {
					h.down = !h.down
				}
			}
			w.run(time.Duration(rapid.IntRange(1, 200).Draw(rt, "s")) * time.Second)
			for range rapid.IntRange(0, 3).Draw(rt, "flaps") {
				w.happen(NetworkChanged{})
				w.run(100 * time.Millisecond)
			}
			seen := map[netip.Addr]int{}
			for _, r := range w.engine.Status(w.now()).Sources {
				if r.ID != 0 {
					seen[r.Addr.Addr()]++
				}
			}
			if w.live() > count+3 || len(w.engine.Status(w.now()).Sources) != count+3 {
				rt.Fatalf("%d live sources", w.live())
			}
			for a, n := range seen {
				// Only a configured server may be at another's address.
				if n > 2 || n == 2 && w.row(count).Addr.Addr() != a {
					rt.Fatalf("%d sources at %v", n, a)
				}
			}
		}
		last := map[string]proto.Instant{}
		for _, x := range w.actions {
			l, ok := x.Action.(Lookup)
			if !ok {
				continue
			}
			if was, again := last[l.Host]; again && x.at.Sub(was) < firstLookup {
				rt.Fatalf("%s looked up again after %v", l.Host, x.at.Sub(was))
			}
			last[l.Host] = x.at
		}
	})
}
