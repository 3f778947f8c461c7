package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/srv"
)

// member is the n-th member of a pool: a key exchange server whose NTP server
// is at 192.0.2.n.
func member(n int) string { return fmt.Sprintf("m%d.example", n) }

// serviceWorld is a world in which DNS names so many members for one source.
func serviceWorld(tb testing.TB, mode Mode, count, members int) *world {
	s := src(mode, "Pool.example", count)
	s.SRV = true
	w := newWorld(tb, config(s))
	w.srv = func(Locate) Located { return Located{Records: memberRecords(members), TTL: time.Minute} }
	for n := 1; n <= members; n++ {
		w.host(fmt.Sprintf("192.0.2.%d", n))
	}
	w.keys = func(a ExchangeKeys) Event { return w.memberKeys(a) }
	w.mute()
	return w
}

// memberRecords lists members with the same priority, so that any may be first.
func memberRecords(members int) (list []srv.Record) {
	for n := 1; n <= members; n++ {
		list = append(list, srv.Record{Weight: 1, Port: uint16(4460 + n), Target: member(n)})
	}
	return list
}

// memberKeys is what the member that is asked answers.
func (w *world) memberKeys(a ExchangeKeys) Event {
	var n int
	if _, err := fmt.Sscanf(a.Host, "m%d.example", &n); err != nil {
		return refused(a)
	}
	at := fmt.Sprintf("192.0.2.%d", n)
	return w.establish(a, w.hosts[netip.AddrPortFrom(addr(at), 123)], at)
}

// asked are the names of the key exchange servers that were asked, in order.
func (w *world) asked() (names []string) {
	k, _ := all[ExchangeKeys](w)
	for _, a := range k {
		names = append(names, a.Host)
	}
	return names
}

func TestServiceFillsAPoolWithDistinctServers(t *testing.T) {
	w := serviceWorld(t, ModeNTSPool, 3, 4)
	w.run(60 * time.Second)
	k, _ := all[ExchangeKeys](w)
	seen := map[string]bool{}
	for _, a := range k {
		var n int
		fmt.Sscanf(a.Host, "m%d.example", &n)
		if seen[a.Host] || a.Port != uint16(4460+n) || !a.Absolute {
			t.Errorf("asked %+v", a)
		}
		seen[a.Host] = true
	}
	if w.live() != 3 || len(k) != 3 {
		t.Errorf("%d live after %v", w.live(), w.asked())
	}
	if l, _ := all[Locate](w); len(l) != 1 || l[0].Domain != "Pool.example" {
		t.Errorf("looked up %v", l)
	}
	for i := range 3 {
		if r := w.row(i); r.Text != "" && strings.Contains(r.Text, "SRV") || r.Reason == Reason(ClassInsecureDNS) {
			t.Errorf("row %d: %+v", i, r)
		}
	}
}

// RFC 2782: "A client MUST attempt to contact the target host with the
// lowest-numbered priority it can reach".
func TestServiceOrderIsByPriority(t *testing.T) {
	for trial := range 8 {
		w := serviceWorld(t, ModeNTS, 1, 3)
		w.engine.entropy = seed(byte(trial))
		records := []srv.Record{
			{Priority: 20, Weight: 100, Port: 4463, Target: member(3)},
			{Priority: 10, Weight: 100, Port: 4462, Target: member(2)},
			{Priority: 0, Port: 4461, Target: member(1)},
		}
		w.srv = func(Locate) Located { return Located{Records: records, TTL: time.Hour} }
		w.keys = func(a ExchangeKeys) Event {
			if a.Host != member(3) {
				return refused(a)
			}
			return w.memberKeys(a)
		}
		w.run(5 * time.Second)
		if got := w.asked(); !slices.Equal(got, []string{member(1), member(2), member(3)}) || w.live() != 1 {
			t.Errorf("asked %v, %d live", got, w.live())
		}
	}
}

// The draw is made from the engine's randomness, once for each answer.
func TestServiceWeightsCount(t *testing.T) {
	first := map[string]int{}
	random := seed(77)
	for range 400 {
		w := serviceWorld(t, ModeNTS, 1, 2)
		w.engine.entropy = random
		w.srv = func(Locate) Located {
			return Located{Records: []srv.Record{{Weight: 90, Port: 4461, Target: member(1)}, {Weight: 10, Port: 4462, Target: member(2)}}}
		}
		w.run(time.Second)
		first[w.asked()[0]]++
	}
	// 91 of 101 come first; four standard deviations are 23.
	if n := first[member(1)]; n < 360-23 || n > 360+23 {
		t.Errorf("%v", first)
	}
}

// Every failing server has the waits of RFC 8915 section 4.2 to itself, and
// nothing is asked of it before all others were tried.
func TestServiceRoundsRespectEachServersWait(t *testing.T) {
	w := serviceWorld(t, ModeNTS, 1, 5)
	w.keys = refused
	w.run(2 * time.Hour)
	k, at := all[ExchangeKeys](w)
	last := map[string]proto.Instant{}
	n := map[string]int{}
	for i, a := range k {
		if before, again := last[a.Host]; again {
			if wait := time.Duration(at[i] - before); wait < keyRetry(n[a.Host]) {
				t.Fatalf("%s was asked again after %v, retry %d", a.Host, wait, n[a.Host])
			}
		}
		n[a.Host]++
		last[a.Host] = at[i]
	}
	for i := 0; i+5 <= 15; i += 5 {
		round := w.asked()[i : i+5]
		for m := 1; m <= 5; m++ {
			if !slices.Contains(round, member(m)) {
				t.Errorf("round %v without %s", round, member(m))
			}
		}
	}
	if len(k) < 5*10 || len(k) > 5*16 {
		t.Errorf("%d exchanges in two hours", len(k))
	}
	if r := w.row(0); r.Condition != Waiting || r.Reason != Reason(ClassRefused) || r.RetryIn == 0 {
		t.Errorf("%+v", r)
	}
}

// An answer without proof is not used: the name itself is asked, and the row
// says so whether that works or not.
func TestServiceFallsBackToTheName(t *testing.T) {
	insecure := Failure{Class: ClassInsecureDNS, Text: "the answer is not signed"}
	for name, c := range map[string]struct {
		answer Located
		reason Class
	}{
		"insecure":     {Located{Records: memberRecords(2), Failure: insecure}, ClassInsecureDNS},
		"failed":       {Located{Failure: Failure{Class: ClassDNS, Text: "no resolver answers"}}, ClassDNS},
		"no such name": {Located{TTL: time.Hour}, ClassNoService},
	} {
		t.Run(name, func(t *testing.T) {
			w := serviceWorld(t, ModeNTSPool, 2, 2)
			w.srv = func(Locate) Located { return c.answer }
			w.keys = poolOf(w, "192.0.2.1", "192.0.2.2")
			w.run(30 * time.Second)
			k, _ := all[ExchangeKeys](w)
			if len(k) != 2 || k[0].Host != "Pool.example" || k[0].Port != 4460 || k[0].Absolute || !slices.Equal(k[1].Deny, []string{"192.0.2.1"}) {
				t.Fatalf("asked %+v", k)
			}
			for i := range 2 {
				if r := w.row(i); r.ID == 0 || !strings.Contains(r.Text, "the name itself") {
					t.Errorf("row %+v", r)
				}
			}
			if r := w.incidents("srv-not-used"); len(r) != 1 || r[0].Reason != Reason(c.reason) || r[0].Level != Warn {
				t.Errorf("reported %+v", r)
			}
		})
	}
}

// The reason of a source that does well is that of the fallback.
func TestServiceFallbackIsTheReasonOfTheRow(t *testing.T) {
	w := serviceWorld(t, ModeNTS, 1, 1)
	w.host("192.0.2.9")
	w.srv = func(Locate) Located { return Located{Failure: Failure{Class: ClassInsecureDNS, Text: "not signed"}} }
	w.keys = poolOf(w, "192.0.2.9")
	w.run(120 * time.Second)
	if r := w.row(0); r.Condition != Selected || r.Reason != Reason(ClassInsecureDNS) || r.Text != "not signed; the key exchange at the name itself is asked" {
		t.Errorf("%+v", r)
	}
}

// RFC 2782: "A Target of '.' means that the service is decidedly not available
// at this domain". Then nobody is asked.
func TestRFC2782ServiceNotAvailable(t *testing.T) {
	w := serviceWorld(t, ModeNTS, 1, 1)
	w.srv = func(Locate) Located {
		return Located{Records: []srv.Record{{Port: 4460, Target: "."}}, TTL: time.Minute}
	}
	w.run(200 * time.Second)
	if l, at := all[Locate](w); len(w.asked()) != 0 || len(l) != 4 || at[1]-at[0] < proto.Instant(time.Minute) {
		t.Errorf("asked %v; looked up at %v", w.asked(), at)
	}
	if r := w.row(0); r.Condition != Waiting || r.Reason != Reason(ClassNoService) || r.RetryIn == 0 || !strings.Contains(r.Text, "SRV") {
		t.Errorf("%+v", r)
	}
	// It opens.
	w.srv = func(Locate) Located { return Located{Records: memberRecords(1), TTL: time.Minute} }
	w.run(70 * time.Second)
	if w.live() != 1 {
		t.Error("the service is available now and not used")
	}
}

// More slots than members: the rest says why, and DNS is asked no more than the
// time to live says.
func TestServiceWithTooFewMembers(t *testing.T) {
	w := serviceWorld(t, ModeNTSPool, 4, 2)
	w.srv = func(Locate) Located { return Located{Records: memberRecords(2), TTL: 5 * time.Minute} }
	w.run(time.Hour)
	if l, _ := all[Locate](w); len(l) < 12 || len(l) > 13 || len(w.asked()) != 2 || w.live() != 2 {
		t.Errorf("%d look-ups, asked %v", len(l), w.asked())
	}
	for _, i := range []int{2, 3} {
		if r := w.row(i); r.Condition != Waiting || r.Reason != Reason(ClassNoService) || !strings.Contains(r.Text, "too few") {
			t.Errorf("row %+v", r)
		}
	}
}

// Two sources of one domain have different servers as long as there are
// different ones.
func TestServiceOfTwoSources(t *testing.T) {
	a := src(ModeNTS, "pool.example", 1)
	a.SRV = true
	b := a
	b.Name = "other"
	w := newWorld(t, config(a, b, a))
	w.srv = func(Locate) Located { return Located{Records: memberRecords(2), TTL: time.Hour} }
	w.host("192.0.2.1")
	w.host("192.0.2.2")
	w.mute()
	w.keys = func(a ExchangeKeys) Event { return w.memberKeys(a) }
	w.run(60 * time.Second)
	if w.live() != 3 || w.row(0).Addr == w.row(1).Addr {
		t.Errorf("%v and %v, %d live", w.row(0).Addr, w.row(1).Addr, w.live())
	}
}

// An address has no SRV records, and a source that does not ask for them has
// none either.
func TestServiceIsOnlyLookedUpWhereItCanBe(t *testing.T) {
	literal, plain := src(ModeNTS, "192.0.2.1", 1), src(ModeNTS, "a.example", 1)
	literal.SRV = true
	w := newWorld(t, config(literal, plain))
	w.run(30 * time.Second)
	if l, _ := all[Locate](w); len(l) != 0 || len(w.asked()) < 2 {
		t.Errorf("looked up %v, asked %v", l, w.asked())
	}
}

// Whatever DNS and the servers answer, no two slots of a pool have one server,
// no server is asked sooner than it may be, and the rest is asked as well.
func TestServiceProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const members = 5
		count := rapid.IntRange(1, 4).Draw(rt, "count")
		w := serviceWorld(t, ModeNTSPool, count, members)
		w.srv = func(Locate) Located {
			ev := Located{TTL: time.Duration(rapid.IntRange(0, 7200).Draw(rt, "ttl")) * time.Second}
			switch rapid.IntRange(0, 5).Draw(rt, "answer") {
			case 0:
				ev.Failure = Failure{Class: ClassInsecureDNS, Text: "not signed"}
			case 1:
			default:
				ev.Records = memberRecords(members)[rapid.IntRange(0, members-1).Draw(rt, "from"):]
				for i := range ev.Records {
					ev.Records[i].Priority = uint16(rapid.IntRange(0, 2).Draw(rt, "priority"))
				}
			}
			return ev
		}
		w.keys = func(a ExchangeKeys) Event {
			if rapid.Bool().Draw(rt, "refuses") {
				return refused(a)
			}
			return w.memberKeys(a)
		}
		for range 20 {
			for _, h := range w.hosts {
				h.down = rapid.Bool().Draw(rt, "down")
			}
			w.run(time.Duration(rapid.IntRange(1, 1000).Draw(rt, "s")) * time.Second)
			seen := map[netip.AddrPort]bool{}
			for _, r := range w.engine.Status(w.now()).Sources {
				if r.ID != 0 && seen[r.Addr] {
					rt.Fatalf("two slots have %v", r.Addr)
				}
				seen[r.Addr] = true
			}
		}
		last := map[string]proto.Instant{}
		k, at := all[ExchangeKeys](w)
		for i, a := range k {
			if before, again := last[a.Host]; again && at[i]-before < proto.Instant(minKeyRetry) {
				rt.Fatalf("%s was asked twice within %v", a.Host, time.Duration(at[i]-before))
			}
			last[a.Host] = at[i]
		}
	})
}
