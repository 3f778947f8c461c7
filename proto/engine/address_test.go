package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"pgregory.net/rapid"
)

// named answers key exchanges as a pool of servers with names does; a server
// is where its name resolves to.
func named(w *world, h *host, names ...string) func(ExchangeKeys) Event {
	return func(a ExchangeKeys) Event {
		for _, n := range names {
			if !slices.Contains(a.Deny, n) {
				return w.establish(a, h, n)
			}
		}
		return KeyExchangeFailed{Request: a.Request, Failure: Failure{Class: ClassRemote, Text: "the pool has no server left; lower count"}}
	}
}

func denies(w *world) (names [][]string) {
	exchanges, _ := all[ExchangeKeys](w)
	for _, x := range exchanges {
		names = append(names, x.Deny)
	}
	return names
}

// A server of several addresses, the first of which are dead or of a family
// that does not work here, is reached at the one that works, with the keys
// that one exchange gave.
func TestAllAddressesOfANamedServerAreTried(t *testing.T) {
	for _, mode := range []Mode{ModeNTS, ModeNTSPool} {
		w := newWorld(t, config(src(mode, "ke.example", 1)))
		w.name("time.example", "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5", "192.0.2.1")
		h := w.host("192.0.2.1")
		w.keys = named(w, h, "time.example")
		w.run(30 * time.Second)
		if r := w.row(0); r.Addr.Addr() != addr("192.0.2.1") || r.Reach == 0 {
			t.Errorf("%s: row %+v", mode, r)
		}
		if d := denies(w); len(d) != 1 || d[0] != nil {
			t.Errorf("%s: denied %v", mode, d)
		}
		w.run(time.Hour)
		if r := w.row(0); r.Condition != Selected || r.Cookies != 8 {
			t.Errorf("%s: row %+v", mode, r)
		}
		// No cookie is shown twice: an eavesdropper could tell that both
		// addresses are asked by one client.
		h.never(t)
		seen := map[string]bool{}
		for _, s := range sends(w) {
			c := string(s.Payload[48+36 : 48+36+60])
			if seen[c] {
				t.Errorf("%s: a cookie is used again", mode)
			}
			seen[c] = true
		}
	}
}

func sends(w *world) []Send {
	s, _ := all[Send](w)
	return s
}

// When all of its addresses are dead, another server is asked for.
func TestServerIsGivenUpWhenAllItsAddressesAreSilent(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 1)))
	w.name("a.example", "192.0.2.1", "2001:db8::1")
	w.name("b.example", "192.0.2.3")
	w.keys = named(w, w.host("192.0.2.3"), "a.example", "b.example")
	w.run(40 * time.Second)
	if d := denies(w); len(d) != 2 || !slices.Equal(d[1], []string{"a.example"}) {
		t.Errorf("denied %v", d)
	}
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.3") || r.Reach == 0 {
		t.Errorf("row %+v", r)
	}
	// Where there is no deny list, the other addresses have their turn with
	// the next keys, and the first ones after them.
	w = newWorld(t, config(src(ModeNTS, "ke.example", 1)))
	w.name("a.example", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5")
	h := w.host("192.0.2.5")
	w.keys = named(w, h, "a.example")
	w.run(2 * time.Minute)
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.5") || r.Reach == 0 {
		t.Errorf("row %+v", r)
	}
	h.down = true
	first := w.host("192.0.2.1")
	first.keyset = h.keyset // one server with two addresses
	w.run(12 * time.Hour)
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.1") || r.Condition != Selected {
		t.Errorf("row %+v", r)
	}
}

// A deny list that leaves nobody is forgotten: the only server there is, is
// asked for again, and used when it comes back.
func TestTheOnlyServerIsNotDeniedForEver(t *testing.T) {
	for _, answer := range []string{"error", "the denied one", "one in use"} {
		w := newWorld(t, config(src(ModeNTSPool, "pool.example", 2)))
		w.name("a.example", "192.0.2.1")
		w.name("b.example", "192.0.2.2")
		w.host("192.0.2.1")
		h := w.host("192.0.2.2")
		h.keyset = w.hosts[netip.MustParseAddrPort("192.0.2.1:123")].keyset
		h.down = true
		pool := named(w, h, "a.example", "b.example")
		w.keys = func(a ExchangeKeys) Event {
			ev := pool(a)
			if _, failed := ev.(KeyExchangeFailed); failed && answer != "error" {
				a.Deny = slices.DeleteFunc(slices.Clone(a.Deny), func(n string) bool {
					return n == map[string]string{"the denied one": "b.example", "one in use": "a.example"}[answer]
				})
				return pool(a)
			}
			return ev
		}
		w.run(10 * time.Minute)
		both, again := []string{"a.example", "b.example"}, 0
		for i, d := range denies(w) {
			if i > 0 && slices.Equal(d, both) && slices.Equal(denies(w)[i-1], both) {
				t.Errorf("%s: denied twice in a row: %v", answer, denies(w))
			}
			if i > 2 && slices.Equal(d, both[:1]) {
				again++
			}
		}
		if again == 0 {
			t.Errorf("%s: never asked for again: %v", answer, denies(w))
		}
		h.down = false
		w.run(time.Hour)
		if r := w.row(1); r.Addr.Addr() != addr("192.0.2.2") || r.Reach == 0 {
			t.Errorf("%s: row %+v", answer, r)
		}
	}
}

// No server is given up while it has an address that was not tried, although its
// cookies ran out on the way.
func TestServerIsNotDeniedBeforeAllItsAddressesWereTried(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 1)))
	w.name("a.example", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5")
	w.name("b.example", "192.0.2.6")
	w.keys = refused // so that the next keys keep the slot waiting
	w.run(time.Minute)
	w.keys = named(w, w.host("192.0.2.5"), "a.example", "b.example")
	w.run(10 * time.Minute)
	for _, d := range denies(w) {
		if len(d) != 0 {
			t.Errorf("denied %v", d)
		}
	}
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.5") || r.Reach == 0 {
		t.Errorf("row %+v", r)
	}
}

// A name that does not resolve is as good as a server that does not answer.
func TestANameThatDoesNotResolveIsDenied(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 1)))
	w.name("b.example", "192.0.2.2")
	w.keys = named(w, w.host("192.0.2.2"), "gone.example", "b.example")
	w.run(2 * time.Minute)
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.2") || r.Reach == 0 {
		t.Errorf("row %+v", r)
	}
}

// The key exchange server names itself: its address is known from the
// connection, but when NTP does not answer there, its name may have others.
func TestOtherAddressesOfTheKeyExchangeServer(t *testing.T) {
	w := newWorld(t, config(src(ModeNTS, "ke.example", 1)))
	w.name("KE.example.", "2001:db8::1", "192.0.2.1")
	h := w.host("192.0.2.1")
	w.keys = func(a ExchangeKeys) Event {
		ev := w.establish(a, h, "KE.example.")
		ev.Remote = netip.MustParseAddrPort("[2001:db8::1]:4460")
		return ev
	}
	w.run(40 * time.Second)
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.1") || r.Reach == 0 {
		t.Errorf("row %+v", r)
	}
}

// One server by another spelling is one server.
func TestSpellingsOfANameAreOneServer(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 2)))
	w.name("a.example", "192.0.2.1")
	w.name("A.Example.", "192.0.2.2")
	h := w.host("192.0.2.1")
	w.hosts[netip.MustParseAddrPort("192.0.2.2:123")] = h
	w.keys = named(w, h, "a.example", "A.Example.")
	w.run(time.Minute)
	if w.live() != 1 || w.row(1).Reason != Reason(ClassProtocol) {
		t.Errorf("%d live, row %+v", w.live(), w.row(1))
	}
}

// A member that refuses is not asked for again by its slot.
func TestAMemberThatRefusesIsDenied(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 1)))
	w.host("192.0.2.1")
	w.host("192.0.2.2")
	w.keys = poolOf(w, "192.0.2.1", "192.0.2.2")
	w.run(time.Minute)
	w.engine.now = w.now()
	w.engine.demobilise(netip.MustParseAddrPort("192.0.2.1:123"), true)
	w.perform(w.engine.take())
	w.run(time.Second)
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.2") || r.Reach == 0 {
		t.Errorf("row %+v", r)
	}
	if d := denies(w); !slices.Equal(d[len(d)-1], []string{"192.0.2.1"}) {
		t.Errorf("denied %v", d)
	}
}

// Whatever a resolver says: few addresses, usable, each once, every one of
// them an answer's, and the families in turn.
func TestBounded(t *testing.T) {
	for _, test := range []struct {
		limit    int
		in, want []string
	}{
		{4, nil, nil},
		{4, []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"}, []string{"192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"}},
		{3, []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"}, []string{"2001:db8::1", "192.0.2.1", "2001:db8::2"}},
		{9, []string{"2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"}, []string{"2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"}},
		{9, []string{"::ffff:192.0.2.1", "192.0.2.1", "0.0.0.0", "::", "ff02::101", "255.255.255.255"}, []string{"192.0.2.1"}},
	} {
		var in, want []netip.Addr
		for _, a := range test.in {
			in = append(in, addr(a))
		}
		for _, a := range test.want {
			want = append(want, addr(a))
		}
		if got := bounded(in, test.limit); !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", test.in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var in []netip.Addr
		for _, b := range rapid.SliceOf(rapid.IntRange(0, 15)).Draw(t, "addrs") {
			a := netip.AddrFrom4([4]byte{192, 0, 2, byte(b)})
			if b > 7 {
				a = netip.AddrFrom16([16]byte{0x20, 1, 15: byte(b)})
			}
			in = append(in, a)
		}
		limit := rapid.IntRange(0, 20).Draw(t, "limit")
		got := bounded(in, limit)
		distinct := slices.Clone(in)
		slices.SortFunc(distinct, netip.Addr.Compare)
		if n := len(slices.Compact(distinct)); len(got) != min(n, limit) {
			t.Fatalf("%d of %d", len(got), n)
		}
		for i, a := range got {
			if !slices.Contains(in, a) || slices.Contains(got[:i], a) {
				t.Fatalf("%v of %v", got, in)
			}
		}
	})
}

// Whoever poisons the name of a plain pool makes it go where he likes, also to
// the addresses of protected servers. That must not keep these from being used;
// the pool makes room.
func TestPlainPoolDoesNotOccupyProtectedServers(t *testing.T) {
	w := newWorld(t, config(src(ModePool, "pool.example", 2), src(ModeNTSPool, "ke.example", 2)))
	names := []string{"192.0.2.1", "192.0.2.2"}
	for _, n := range append(names, "192.0.2.3") {
		w.host(n)
	}
	w.name("pool.example", names...)
	w.keys = func(ExchangeKeys) Event { return nil }
	w.engine.sources[1].ke.failed(false) // the plain pool comes first
	w.engine.sources[1].ke.begin(w.mono, 0)
	w.run(2 * time.Second)
	if w.row(0).ID == 0 || w.row(1).ID == 0 {
		t.Fatalf("rows %+v %+v", w.row(0), w.row(1))
	}
	w.keys = poolOf(w, names...)
	w.run(30 * time.Second)
	for i, want := range []bool{false, false, true, true} {
		if r := w.row(i); r.ID != 0 != want {
			t.Errorf("row %d: %+v", i, r)
		}
	}
	w.name("pool.example", append(names, "192.0.2.3")...)
	w.run(2 * time.Minute)
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.3") {
		t.Errorf("row %+v", r)
	}
}

// A key exchange elsewhere cannot send us to what listens on loopback; one on
// this machine can.
func TestOnlyALocalKeyExchangeNamesLoopback(t *testing.T) {
	for _, server := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "local.example"} {
		for remote, want := range map[string]int{"192.0.2.9:4460": 0, "127.0.0.1:4460": 1, "[::1]:4460": 1, "[::ffff:127.0.0.1]:4460": 1} {
			w := newWorld(t, config(src(ModeNTS, "ke.example", 1)))
			w.name("local.example", "127.0.0.1")
			h := w.host("127.0.0.1")
			w.keys = func(a ExchangeKeys) Event {
				ev := w.establish(a, h, server)
				ev.Remote = netip.MustParseAddrPort(remote)
				return ev
			}
			w.run(time.Second)
			if w.live() != want {
				t.Errorf("%s named by %s: %d live", server, remote, w.live())
			}
			// A proxy on this machine does not make what is behind it local.
			s := src(ModeNTS, "ke.example", 1)
			s.Route.Proxy = "socks5://127.0.0.1:1080"
			w.happen(Reconfigured{Config: config(s)})
			w.run(time.Minute)
			if w.live() != 0 {
				t.Errorf("%s named by %s behind a proxy: %d live", server, remote, w.live())
			}
		}
	}
}

// RFC 8915 section 4: servers "MUST accept requests that are at least 1024
// octets long", and need take none that is longer. The list names first the
// server that just fell silent, then those in use.
func TestDenyListFitsARequest(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 40)))
	n := 0
	h := w.host("192.0.2.1")
	w.keys = func(a ExchangeKeys) Event {
		n++
		long := "a-name-of-some-length." + string(rune('a'+n%26)) + string(rune('a'+n/26)) + ".example"
		w.name(long, netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}).String())
		return w.establish(a, h, long)
	}
	w.run(5 * time.Second)
	if w.live() != 40 {
		t.Fatalf("%d live", w.live())
	}
	w.run(10 * time.Minute)
	for i, d := range denies(w) {
		octets := 0
		for _, name := range d {
			octets += 2 * (4 + len(name))
		}
		if octets > 950 || i >= 20 && octets < 800 {
			t.Fatalf("exchange %d denies %d octets", i, octets)
		}
	}
	s := w.engine.sources[0]
	t0 := s.slots[39]
	if !t0.live.assoc.Unreachable() || !slices.Contains(w.engine.deny(s, t0), t0.live.server) {
		t.Error("the silent server itself is not denied")
	}
}

// Two sources that name one pool have servers that all differ.
func TestTwoSourcesOfOnePool(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 2), src(ModeNTSPool, "pool.example", 2)))
	names := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}
	for _, n := range names {
		w.host(n)
	}
	w.keys = poolOf(w, names...)
	w.run(30 * time.Second)
	if w.live() != 4 {
		t.Errorf("%d live", w.live())
	}
	d := denies(w)
	if last := d[len(d)-1]; len(last) != 3 || len(d) > 6 {
		t.Errorf("denied %v", d)
	}
}

// A name that leads to a server in use elsewhere is not asked for again.
func TestANameOfAServerInUseIsDenied(t *testing.T) {
	w := newWorld(t, config(src(ModeNTS, "ke.example", 1), src(ModeNTSPool, "pool.example", 1)))
	one, two := w.host("192.0.2.1"), w.host("192.0.2.2")
	w.name("a.example", "192.0.2.1")
	w.name("b.example", "192.0.2.2")
	pool := named(w, two, "a.example", "b.example")
	w.keys = func(a ExchangeKeys) Event {
		if a.Host == "ke.example" {
			return w.establish(a, one, "192.0.2.1")
		}
		return pool(a)
	}
	w.run(30 * time.Second)
	if r := w.row(1); r.Addr.Addr() != addr("192.0.2.2") || r.Reach == 0 {
		t.Errorf("row %+v, denied %v", r, denies(w))
	}
}

// Who was denied because it did not answer is welcome again once another one
// does.
func TestShunnedServersAreForgottenWhenAnotherWorks(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 1)))
	a, b := w.host("192.0.2.1"), w.host("192.0.2.2")
	w.mute()
	a.down = true
	w.keys = poolOf(w, "192.0.2.1", "192.0.2.2")
	w.run(time.Minute)
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.2") || r.Reach == 0 {
		t.Fatalf("row %+v", r)
	}
	a.down, b.down = false, true
	w.run(12 * time.Hour)
	if r := w.row(0); r.Addr.Addr() != addr("192.0.2.1") || r.Reach == 0 {
		t.Errorf("row %+v", r)
	}
	if d := denies(w); len(d) != 3 || !slices.Equal(d[2], []string{"192.0.2.2"}) {
		t.Errorf("denied %v", d)
	}
}

// While none answers, the addresses of a server have their turns; an address
// that answers again is as good as any.
func TestSilentAddressesTakeTurns(t *testing.T) {
	addrs := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"}
	for _, alive := range addrs {
		w := newWorld(t, config(src(ModeNTS, "ke.example", 1)))
		w.name("a.example", addrs...)
		h := w.host(alive)
		h.snapshot.Stratum, h.down = proto.MaxStratum, true
		w.keys = named(w, h, "a.example")
		w.run(2 * time.Hour)
		h.down = false
		w.run(10 * time.Hour)
		if r := w.row(0); r.Addr.Addr() != addr(alive) || r.Reach == 0 {
			t.Errorf("%s: row %+v", alive, r)
		}
	}
	w := newWorld(t, config(src(ModeNTS, "ke.example", 1)))
	w.name("a.example", "192.0.2.1")
	h := w.host("192.0.2.1")
	h.snapshot.Stratum, h.down = proto.MaxStratum, true
	w.keys = named(w, h, "a.example")
	w.run(8 * time.Second)
	if w.row(0).Condition != Unreachable {
		t.Fatalf("row %+v", w.row(0))
	}
	id := w.row(0).ID
	h.down = false
	w.run(time.Hour)
	w.name("a.example", "192.0.2.1", "192.0.2.2")
	h.naks(t)
	w.run(time.Hour)
	if r := w.row(0); r.ID != id || r.Addr.Addr() != addr("192.0.2.1") {
		t.Errorf("row %+v, was %d", r, id)
	}
}
