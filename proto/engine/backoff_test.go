package engine

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/server"
	"pgregory.net/rapid"
)

// gaps checks that exchanges follow each other as retries do, the first being
// the nth try: never faster than RFC 8915 section 4.2 has it, and at most a
// fifth slower.
func gaps(t *testing.T, at []proto.Instant) {
	t.Helper()
	for i := 1; i < len(at); i++ {
		want := keyRetry(i)
		if gap := at[i].Sub(at[i-1]); gap < want || gap > min(want+want/5, maxKeyRetry)+time.Second {
			t.Errorf("exchange %d came %v after the one before, want %v", i, gap, want)
		}
	}
}

// Four slots, and sources that name the same key exchange server, however they
// spell it: while it is down they retry as one client.
func TestOneBackOffPerKeyExchangeServer(t *testing.T) {
	for name, sources := range map[string][]Source{
		"slots of a pool": {src(ModeNTSPool, "ke.example", 4)},
		"two sources":     {src(ModeNTS, "ke.example", 1), src(ModeNTS, "KE.example.", 1)},
		"pool and server": {src(ModeNTS, "ke.example", 1), src(ModeNTSPool, "ke.example", 3)},
	} {
		w := newWorld(t, config(sources...))
		w.keys = refused
		w.run(24 * time.Hour)
		exchanges, at := all[ExchangeKeys](w)
		first := slices.IndexFunc(at, func(i proto.Instant) bool { return i != at[0] })
		if first > 2 {
			t.Errorf("%s: %d exchanges at once", name, first)
		}
		gaps(t, at[first-1:])
		if len(at) < 18 || len(at) > 24 {
			t.Errorf("%s: %d exchanges in a day", name, len(at))
		}
		// They take turns.
		asked := map[string]int{}
		for _, x := range exchanges {
			asked[x.Host]++
		}
		if len(asked) == 2 && (asked["ke.example"] < 8 || asked["KE.example."] < 8) {
			t.Errorf("%s: asked as %v", name, asked)
		}
	}
	// Other ports and names are other servers.
	other := src(ModeNTS, "ke.example", 1)
	other.Port = 4461
	w := newWorld(t, config(src(ModeNTS, "ke.example", 1), other, src(ModeNTS, "ke2.example", 1)))
	w.keys = refused
	w.run(12*time.Second + time.Second/2)
	if _, at := all[ExchangeKeys](w); len(at) != 6 {
		t.Errorf("%d exchanges with three servers", len(at))
	}
}

// One source whose exchanges fail for a reason of its own, such as the wrong
// authority, does not keep another from a server.
func TestASourceThatFailsLeavesTheOthersTheirTurn(t *testing.T) {
	bad, good := src(ModeNTS, "ke.example", 1), src(ModeNTS, "ke.example", 1)
	bad.Authority, bad.Name = "/etc/wrong.pem", "bad"
	w := newWorld(t, config(bad, good))
	h := w.host("192.0.2.1")
	w.keys = func(a ExchangeKeys) Event {
		if a.Authority != "" || w.mono < proto.Instant(100*time.Second)+proto.Instant(5*time.Second) {
			return refused(a)
		}
		return w.establish(a, h, "192.0.2.1")
	}
	w.run(60 * time.Second)
	if r := w.row(1); r.Reach == 0 {
		t.Errorf("row %+v", r)
	}
	// The good keys clear the server's back-off, not the bad source's own.
	w.run(24 * time.Hour)
	exchanges, at := all[ExchangeKeys](w)
	var mine []proto.Instant
	for i, x := range exchanges {
		if x.Authority != "" {
			mine = append(mine, at[i])
		}
	}
	for i := 1; i < len(mine); i++ {
		if gap := mine[i].Sub(mine[i-1]); gap < keyRetry(i) {
			t.Errorf("retry %d came after %v", i, gap)
		}
	}
	if w.row(0).Reason != Reason(ClassRefused) {
		t.Errorf("row %+v", w.row(0))
	}
}

// After an outage the slots of a pool are filled as answers come: proof that
// keys are good ends the waiting of all.
func TestSuccessClearsTheBackOffOfAll(t *testing.T) {
	names := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 4)))
	for _, n := range names {
		w.host(n)
	}
	w.mute()
	w.keys = refused
	w.run(time.Hour)
	w.keys = poolOf(w, names...)
	n := len(w.actions)
	w.run(time.Duration(float64(keyRetry(w.engine.keyServers[0].n)) * 1.2)) // the next try, at the latest
	w.run(2 * time.Second)
	if w.live() != 4 {
		t.Errorf("%d live", w.live())
	}
	w.actions = w.actions[n:]
	if _, at := all[ExchangeKeys](w); len(at) != 4 || at[3].Sub(at[0]) > time.Second {
		t.Errorf("exchanges at %v", at)
	}
}

// RFC 8915 section 4.2: "Clients MUST NOT reset the retry interval until they
// have performed a successful key establishment [...] followed by a successful
// use": a pool whose servers are all silent is no pool that works.
func TestKeysThatNeverProveGoodBackOffAsOne(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 4)))
	next := byte(0)
	h := w.host("192.0.2.250")
	w.keys = func(a ExchangeKeys) Event {
		next++
		return w.establish(a, h, netip.AddrFrom4([4]byte{198, 51, 100, next}).String())
	}
	w.run(24 * time.Hour)
	_, at := all[ExchangeKeys](w)
	if at[3].Sub(at[0]) > time.Second {
		t.Errorf("the slots were not filled at once: %v", at[:4])
	}
	gaps(t, at[3:])
}

// A pool with fewer servers than wanted is asked ever more seldom; but when a
// member dies, another is asked for within its next poll.
func TestSmallPoolStillReplacesItsMembers(t *testing.T) {
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 4)))
	w.host("192.0.2.1")
	two := w.host("192.0.2.2")
	w.keys = poolOf(w, "192.0.2.1", "192.0.2.2")
	w.mute()
	w.run(24 * time.Hour)
	_, at := all[ExchangeKeys](w)
	gaps(t, at[2:])
	w.host("192.0.2.3").snapshot.Stratum = proto.MaxStratum
	w.keys = poolOf(w, "192.0.2.1", "192.0.2.2", "192.0.2.3")
	two.down = true
	for deadline := w.mono.Add(12 * time.Hour); w.row(1).Condition != Unreachable && w.mono < deadline; {
		w.run(time.Second)
		if w.row(1).Addr.Addr() == addr("192.0.2.3") {
			break
		}
	}
	w.run(time.Second << w.row(0).Poll)
	if r := w.row(1); r.Addr.Addr() != addr("192.0.2.3") {
		t.Errorf("row %+v", r)
	}
}

// An outage takes all members of a pool and its key exchange: slots that were
// well retry as one client, too.
func TestOutageOfAWholePoolBacksOffAsOne(t *testing.T) {
	names := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}
	w := newWorld(t, config(src(ModeNTSPool, "pool.example", 4)))
	for _, n := range names {
		w.host(n)
	}
	w.mute()
	w.keys = poolOf(w, names...)
	w.run(time.Hour)
	w.keys = refused
	for _, h := range w.hosts {
		h.down = true
	}
	n := len(w.actions)
	w.run(24 * time.Hour)
	w.actions = w.actions[n:]
	_, at := all[ExchangeKeys](w)
	gaps(t, at)
	if len(at) < 10 {
		t.Errorf("%d exchanges in a day", len(at))
	}
}

// Keys of an earlier exchange prove nothing about the one that failed after it.
func TestOnlyTheLastExchangeProvesTheServerGood(t *testing.T) {
	k := &keyServer{}
	k.begin(10, 0)
	k.begin(20, 0)
	k.failed(false)
	if k.proven(10); k.n != 1 {
		t.Error("an earlier exchange ended the waiting")
	}
	if k.proven(20); k.n != 0 {
		t.Error("the last exchange did not end the waiting")
	}
}

// A change of the configuration is tried soon, but not at once: whoever
// reloads every second is no storm.
func TestReconfigurationDoesNotEndTheBackOff(t *testing.T) {
	w := newWorld(t, config(src(ModeNTS, "ke.example", 1)))
	w.keys = refused
	w.run(4 * time.Hour)
	n := len(w.actions)
	for i := range 60 {
		s := src(ModeNTS, "ke.example", 1)
		s.PollMax = int8(6 + i%4)
		w.happen(Reconfigured{Config: config(s)})
		w.run(time.Second)
	}
	w.actions = w.actions[n:]
	_, at := all[ExchangeKeys](w)
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap < minKeyRetry {
			t.Errorf("exchanges %v apart", gap)
		}
	}
	if len(at) < 2 || len(at) > 6 {
		t.Errorf("%d exchanges in a minute of reloads", len(at))
	}
	w.happen(Reconfigured{Config: config()})
	w.run(time.Minute)
	w.happen(Reconfigured{Config: config()})
	if n := len(w.engine.keyServers); n != 0 {
		t.Errorf("%d key exchange servers are remembered for nobody", n)
	}
}

// Jitter only lengthens, and never beyond the maximum.
func TestLengthenNeverShortens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, spread := rapid.IntRange(0, maxRetries).Draw(t, "n"), rapid.Uint64().Draw(t, "spread")
		least := keyRetry(n)
		if got := lengthen(least, spread); got < least || got > min(least+least/5, maxKeyRetry) {
			t.Fatalf("%v becomes %v", least, got)
		}
	})
	if lengthen(minKeyRetry, 0) != minKeyRetry || lengthen(minKeyRetry, math.MaxUint64) < minKeyRetry+minKeyRetry/5-time.Millisecond {
		t.Error("the spread does not span a fifth")
	}
}

// RFC 8915 section 4.1.3, Errors 0 and 1: "The client SHOULD NOT retry its
// request without modification." A daemon that nobody watches asks again after
// more than an hour. Error 1 may also have been a timeout, so it is believed
// only the second time.
func TestRejectedRequestsAreRetriedSeldom(t *testing.T) {
	for class, want := range map[Class]int{ClassRejected: 1, ClassBadRequest: 2, ClassRemote: 14} {
		w := newWorld(t, config(src(ModeNTS, "ke.example", 1)))
		w.keys = func(a ExchangeKeys) Event {
			return KeyExchangeFailed{Request: a.Request, Failure: Failure{Class: class, Text: "the server answered with an error"}}
		}
		w.run(70 * time.Minute)
		if k, _ := all[ExchangeKeys](w); len(k) < want-1 || len(k) > want {
			t.Errorf("%s: %d exchanges in 70 minutes, want %d", class, len(k), want)
		}
		w.run(5 * time.Hour)
		if k, _ := all[ExchangeKeys](w); len(k) < want+1 {
			t.Errorf("%s: given up after %d exchanges", class, len(k))
		}
	}
}

// A machine that was without a network tries once when there is one again; a
// server that refuses is not tried the more often for it.
func TestNetworkChangeAllowsOneTry(t *testing.T) {
	for class, want := range map[Class]int{ClassDNS: 1, ClassNetwork: 1, ClassRefused: 0, ClassTimeout: 0, ClassRemote: 0} {
		w := newWorld(t, config(src(ModeNTSPool, "pool.example", 4)))
		w.keys = func(a ExchangeKeys) Event {
			return KeyExchangeFailed{Request: a.Request, Failure: Failure{Class: class, Text: "away"}}
		}
		w.run(10 * time.Hour)
		n := len(w.actions)
		retry := w.row(0).RetryIn
		w.happen(NetworkChanged{})
		w.run(12 * time.Second)
		w.actions = w.actions[n:]
		if exchanges, _ := all[ExchangeKeys](w); len(exchanges) < want || len(exchanges) > 2*want || retry < 10*time.Minute {
			t.Errorf("%s: %d exchanges when the network changed, %v early", class, len(exchanges), retry)
		}
		// Flapping is no storm.
		for range 120 {
			w.happen(NetworkChanged{})
			w.run(time.Second)
		}
		_, at := all[ExchangeKeys](w)
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < minKeyRetry {
				t.Fatalf("%s: exchanges %v apart", class, gap)
			}
		}
	}
}

// Keys for a server that then refuses are no success, nor is a server that is
// in use already: the slots of a pool back off as one.
func TestUselessServersBackOffAsOne(t *testing.T) {
	t.Run("refuse", func(t *testing.T) {
		w := newWorld(t, config(src(ModeNTSPool, "pool.example", 4)))
		h := w.host("192.0.2.1")
		access, err := server.NewAccessList(server.Rule{Filter: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, Action: server.Deny}, server.Everyone())
		if err != nil {
			t.Fatal(err)
		}
		h.responder = server.New(server.Config{Versions: server.Version3And4, Access: access}, seed(2))
		next := byte(0)
		w.keys = func(a ExchangeKeys) Event {
			next++
			name := netip.AddrFrom4([4]byte{198, 51, 100, next})
			w.hosts[netip.AddrPortFrom(name, 123)] = h
			return w.establish(a, h, name.String())
		}
		w.run(12 * time.Hour)
		_, at := all[ExchangeKeys](w)
		if int(next) != len(h.asked) || len(w.incidents("kiss-deny")) != len(at) {
			t.Errorf("%d exchanges, %d requests, %d refusals", len(at), len(h.asked), len(w.incidents("kiss-deny")))
		}
		first := slices.IndexFunc(at, func(i proto.Instant) bool { return i.Sub(at[0]) > time.Second })
		if first > 4 {
			t.Errorf("%d exchanges at once", first)
		}
		gaps(t, at[first-1:])
	})
	t.Run("in use", func(t *testing.T) {
		w := newWorld(t, config(src(ModeNTSPool, "pool.example", 4)))
		h := w.host("192.0.2.1")
		w.mute()
		w.keys = func(a ExchangeKeys) Event { return w.establish(a, h, "192.0.2.1") }
		w.run(12 * time.Hour)
		_, at := all[ExchangeKeys](w)
		gaps(t, at[1:])
	})
	t.Run("in use under another name", func(t *testing.T) {
		w := newWorld(t, config(src(ModeNTSPool, "pool.example", 4)))
		h := w.host("192.0.2.1")
		w.mute()
		n := 0
		w.keys = func(a ExchangeKeys) Event {
			n++
			name := fmt.Sprintf("n%d.example", n)
			w.name(name, "192.0.2.1")
			return w.establish(a, h, name)
		}
		w.run(12 * time.Hour)
		_, at := all[ExchangeKeys](w)
		gaps(t, at[1:])
	})
}

// A machine that starts with a wrong clock takes good certificates for expired.
// Once another source has set the clock it tries again, and not days later.
func TestCertificatesAreTriedAgainWhenTheClockIsSet(t *testing.T) {
	w := newWorld(t, config(src(ModeNTS, "ke.example", 1), src(ModeServer, "192.0.2.2", 1)))
	w.wrong = -3 * 3600 * proto.Second
	h, plain := w.host("192.0.2.1"), w.host("192.0.2.2")
	plain.down = true
	w.keys = func(a ExchangeKeys) Event {
		if w.wrong < -proto.Second {
			return KeyExchangeFailed{Request: a.Request, Failure: Failure{Class: ClassCertExpired, Text: "the certificate is not valid yet"}}
		}
		return w.establish(a, h, "192.0.2.1")
	}
	w.run(12 * time.Hour)
	if r := w.row(0); r.RetryIn < 10*time.Minute {
		t.Fatalf("row %+v", r)
	}
	plain.down = false
	for range 3000 {
		if w.run(time.Second); w.wrong > -proto.Second {
			break
		}
	}
	w.run(11 * time.Second)
	if r := w.row(0); r.Reach == 0 {
		t.Errorf("clock %v wrong, row %+v", w.wrong, r)
	}
}
