package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// A member that dies is replaced by another that DNS names then, within a poll
// of noticing.
func TestServiceReplacesTheDead(t *testing.T) {
	w := serviceWorld(t, ModeNTSPool, 2, 2)
	w.run(60 * time.Second)
	dead := w.row(1).Addr
	w.host("192.0.2.3").snapshot.Stratum = proto.MaxStratum
	w.hosts[dead].down = true
	w.srv = func(Locate) Located { return Located{Records: memberRecords(3), TTL: time.Minute} }
	w.run(9 * 1100 * time.Second)
	if r := w.row(1); r.Addr.Addr() != addr("192.0.2.3") || w.live() != 2 {
		t.Errorf("row %+v after %v", r, w.asked())
	}
	if l, _ := all[Locate](w); len(l) != 2 {
		t.Errorf("%d look-ups", len(l))
	}
}

// The only member there is gives new keys for its server after all.
func TestServiceReturnsToTheOnlyMember(t *testing.T) {
	w := serviceWorld(t, ModeNTSPool, 1, 1)
	w.run(60 * time.Second)
	h := w.hosts[netip.MustParseAddrPort("192.0.2.1:123")]
	h.down = true
	w.run(9 * 1100 * time.Second)
	if n := len(w.asked()); n < 2 {
		t.Errorf("%d exchanges", n)
	}
	h.down = false
	w.run(2000 * time.Second)
	if r := w.row(0); r.Reach&1 == 0 {
		t.Errorf("%+v", r)
	}
}

// A server that is well and has lost its cookie keys is asked for new ones
// itself, whatever the order.
func TestServiceRenewsWhereTheServerIs(t *testing.T) {
	for range 4 {
		w := serviceWorld(t, ModeNTS, 1, 4)
		w.run(60 * time.Second)
		at := w.row(0).Addr
		w.hosts[at].keyset = w.keyset(seed(4))
		w.run(3000 * time.Second)
		if got := w.asked(); len(got) != 2 || got[0] != got[1] || w.row(0).Addr != at {
			t.Errorf("asked %v", got)
		}
	}
}

// A changed network is a reason to ask DNS again where it did not answer, and
// none where it did.
func TestServiceIsLookedUpAgainWhenTheNetworkChanges(t *testing.T) {
	for class, want := range map[Class]int{ClassDNS: 2, ClassInsecureDNS: 2, ClassNoService: 1} {
		w := serviceWorld(t, ModeNTS, 1, 1)
		w.keys = func(a ExchangeKeys) Event {
			return KeyExchangeFailed{Request: a.Request, Failure: Failure{Class: ClassDNS, Text: "no resolver"}}
		}
		w.srv = func(Locate) Located {
			if class == ClassNoService {
				return Located{TTL: time.Hour}
			}
			return Located{Failure: Failure{Class: class, Text: "no resolver"}, TTL: time.Hour}
		}
		w.run(5 * time.Second)
		w.happen(NetworkChanged{})
		w.run(20 * time.Second)
		if l, _ := all[Locate](w); len(l) != want {
			t.Errorf("%s: %d look-ups", class, len(l))
		}
	}
}

// Who waits long for a server, or for the name itself, asks DNS meanwhile as
// often as the answer says, less and less often while there is none, and goes
// on with what it says then.
func TestServiceIsLookedUpWhileOthersAreWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		answer    Located
		min, want []int // so many look-ups after so many minutes
	}{
		"dead servers": {Located{Records: []srv.Record{{Port: 4460, Target: "dead.example"}}, TTL: 10 * time.Minute}, []int{9, 11, 59, 61, 119}, []int{1, 2, 6, 7, 12}},
		"no answer":    {Located{Failure: Failure{Class: ClassDNS, Text: "no resolver"}}, []int{0, 2, 4, 8, 16, 32, 62, 64, 124, 184}, []int{1, 2, 3, 4, 5, 6, 6, 7, 8, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			w := serviceWorld(t, ModeNTS, 1, 1)
			w.srv = func(Locate) Located { return c.answer }
			began := w.mono
			for i, m := range c.min {
				w.run(began.Add(time.Duration(m)*time.Minute + 30*time.Second).Sub(w.mono))
				if l, _ := all[Locate](w); len(l) != c.want[i] {
					t.Errorf("%d look-ups after %d minutes, want %d", len(l), m, c.want[i])
				}
			}
			w.srv = func(Locate) Located { return Located{Records: memberRecords(1), TTL: time.Minute} }
			w.run(time.Hour + time.Minute)
			if w.live() != 1 {
				t.Errorf("the member is not used; asked %v", w.asked())
			}
		})
	}
}

// Servers that a domain listed once are forgotten, but not the waits that they
// are owed.
func TestServiceForgets(t *testing.T) {
	w := serviceWorld(t, ModeNTS, 1, 1)
	round := 0
	w.srv = func(Locate) Located {
		round++
		var list []srv.Record
		for n := range srv.Most {
			list = append(list, srv.Record{Port: 4460, Target: fmt.Sprintf("r%d-%d.example", round, n)})
		}
		return Located{Records: list, TTL: time.Minute}
	}
	w.keys = refused
	w.run(24 * time.Hour)
	// One who walks through them all the time meets one server a minute, and
	// DNS as often.
	day := 24 * 60
	if n, k := len(w.engine.keyServers), len(w.asked()); n > 2*srv.Most || round < day-200 || round > day || k < day-200 || k > day {
		t.Errorf("%d key exchange servers after %d answers and %d exchanges", n, round, k)
	}
}

// Whatever the order that was drawn: a server that does not answer is not asked
// for keys again while there is another, nor is one that is well but whose key
// exchange fails.
func TestServiceTurnsToTheOther(t *testing.T) {
	for name, spoil := range map[string]func(*world, *host, string){
		"silent": func(_ *world, h *host, _ string) { h.down = true },
		"no keys": func(w *world, h *host, name string) {
			h.keyset = w.keyset(seed(4))
			w.keys = func(a ExchangeKeys) Event {
				if a.Host == name {
					return refused(a)
				}
				return w.memberKeys(a)
			}
		},
	} {
		for trial := range 6 {
			w := serviceWorld(t, ModeNTS, 1, 2)
			w.engine.entropy = seed(byte(trial))
			w.run(60 * time.Second)
			at, first := w.row(0).Addr, w.asked()[0]
			spoil(w, w.hosts[at], first)
			w.run(9 * 1100 * time.Second)
			got := w.asked()
			if name == "no keys" && len(got) > 1 && got[1] == first {
				got = got[1:] // it is asked once
			}
			if len(got) != 2 || got[1] == first || w.row(0).Addr == at {
				t.Errorf("%s: asked %v", name, w.asked())
			}
		}
	}
}

// A member that another source has by other ways is not asked for keys while
// there is one that nobody has.
func TestServiceLeavesOutServersThatAreInUse(t *testing.T) {
	for trial := range 6 {
		plain, pool := src(ModeNTS, "other.example", 1), src(ModeNTS, "pool.example", 1)
		pool.SRV = true
		w := newWorld(t, config(plain, pool))
		w.engine.entropy = seed(byte(trial))
		w.host("192.0.2.1")
		w.host("192.0.2.2")
		w.mute()
		w.name("M1.example", "192.0.2.1")
		w.keys = func(a ExchangeKeys) Event {
			if a.Host == "other.example" {
				return w.establish(a, w.hosts[netip.MustParseAddrPort("192.0.2.1:123")], "M1.example")
			}
			return w.memberKeys(a)
		}
		w.srv = func(Locate) Located {
			if w.row(0).ID == 0 { // the records come when the other source is live
				return Located{Failure: Failure{Class: ClassDNS, Text: "not yet"}}
			}
			return Located{Records: memberRecords(2), TTL: time.Hour}
		}
		w.run(200 * time.Second)
		for _, host := range w.asked() {
			if host == member(1) {
				t.Errorf("asked %v", w.asked())
			}
		}
		if w.live() != 2 {
			t.Errorf("%d live, asked %v", w.live(), w.asked())
		}
	}
}

// What DNS was not asked for in vain is asked for again after the shortest
// time: after an answer, and after the network changed.
func TestServiceBackOffStartsOver(t *testing.T) {
	for name, what := range map[string]func(*world){
		"an answer": func(w *world) {
			w.srv = func(Locate) Located { return Located{TTL: time.Minute} }
			w.run(40 * time.Minute) // the longest wait that is left
			w.srv = func(Locate) Located { return Located{Failure: Failure{Class: ClassDNS, Text: "no resolver"}} }
			w.run(62 * time.Second)
		},
		"a change": func(w *world) { w.happen(NetworkChanged{}) },
	} {
		w := serviceWorld(t, ModeNTS, 1, 1)
		w.srv = func(Locate) Located { return Located{Failure: Failure{Class: ClassDNS, Text: "no resolver"}} }
		w.run(32 * time.Minute)
		what(w)
		before, _ := all[Locate](w)
		w.run(7*time.Minute + 10*time.Second)
		if l, _ := all[Locate](w); len(l)-len(before) < 2 {
			t.Errorf("after %s: %d look-ups", name, len(l)-len(before))
		}
	}
}
