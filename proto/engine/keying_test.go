package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"pgregory.net/rapid"
)

// RFC 8915 section 4.2: "t = min(10 * 1.5^(n-1), 432000)".
func TestKeyRetryIntervals(t *testing.T) {
	want := 10.0
	for n := 1; n < 60; n++ {
		if got := keyRetry(n).Seconds(); got < min(want, 432000)-1e-3 || got > min(want, 432000)+1e-3 {
			t.Errorf("retry %d after %v s, want %v", n, got, want)
		}
		want *= 1.5
	}
}

func TestKeyExchangeBacksOff(t *testing.T) {
	w := newWorld(t, config(src(ModeNTS, "ke.example", 1)))
	w.keys = refused
	w.run(20 * 24 * time.Hour)
	_, at := all[ExchangeKeys](w)
	for i := 1; i < len(at); i++ {
		if gap, want := at[i].Sub(at[i-1]), keyRetry(i); gap < want || gap > min(want+want/5, maxKeyRetry)+time.Second {
			t.Errorf("exchange %d came %v after the one before, want %v", i, gap, want)
		}
	}
	if len(at) < 29 {
		t.Errorf("%d exchanges in 20 days", len(at))
	}
	if r := w.row(0); r.Condition != Waiting || r.Reason != Reason(ClassRefused) || r.RetryIn <= 0 || !r.NTS {
		t.Errorf("row %+v", r)
	}
	if sends, _ := all[Send](w); len(sends) != 0 {
		t.Error("asked without keys")
	}
}

// ntsWorld has one protected source and its server, which knows its keys.
func ntsWorld(t testing.TB) (*world, *host) {
	w := newWorld(t, config(src(ModeNTS, "ke.example", 1)))
	h := w.host("192.0.2.1")
	w.keys = func(a ExchangeKeys) Event { return w.establish(a, h, "192.0.2.1") }
	return w, h
}

// never checks that no unprotected request went to a host.
func (h *host) never(t *testing.T) {
	t.Helper()
	for _, n := range h.sizes {
		if n <= proto.HeaderLen {
			t.Fatal("an unprotected request was sent")
		}
	}
}

func TestNTSHoldsEightCookies(t *testing.T) {
	w, h := ntsWorld(t)
	w.run(time.Hour)
	if r := w.row(0); r.Cookies != 8 || !r.NTS || r.Condition != Selected {
		t.Errorf("row %+v", r)
	}
	if k, _ := all[ExchangeKeys](w); len(k) != 1 {
		t.Errorf("%d key exchanges", len(k))
	}
	h.never(t)
}

// RFC 8915 section 4.1.7: without a Server record, "the same IP address as the
// NTS-KE server".
func TestServerOfTheKeyExchangeItself(t *testing.T) {
	w, h := ntsWorld(t)
	w.keys = func(a ExchangeKeys) Event {
		ev := w.establish(a, h, "ke.example")
		ev.Remote = netip.MustParseAddrPort("192.0.2.1:4460")
		return ev
	}
	w.run(10 * time.Second)
	if r := w.row(0); r.Addr != netip.MustParseAddrPort("192.0.2.1:123") || r.Reach == 0 {
		t.Errorf("row %+v", r)
	}
	if l, _ := all[Lookup](w); len(l) != 0 {
		t.Error("looked up the name of a server whose address is known")
	}
}

// Behind a proxy the address of the connection is the proxy's.
func TestRemoteOfAProxyIsNotTheServer(t *testing.T) {
	s := src(ModeNTS, "ke.example", 1)
	s.Route.Proxy = "socks5://127.0.0.1:1080"
	w := newWorld(t, config(s))
	h := w.host("192.0.2.1")
	w.name("ke.example", "192.0.2.1")
	w.keys = func(a ExchangeKeys) Event {
		ev := w.establish(a, h, "ke.example")
		ev.Remote = netip.MustParseAddrPort("127.0.0.1:1080")
		return ev
	}
	w.run(10 * time.Second)
	if r := w.row(0); r.Addr != netip.MustParseAddrPort("192.0.2.1:123") {
		t.Errorf("row %+v", r)
	}
}

func TestNegotiatedPort(t *testing.T) {
	w, h := ntsWorld(t)
	w.keys = func(a ExchangeKeys) Event {
		ev := w.establish(a, h, "192.0.2.1")
		ev.Port = 8123
		return ev
	}
	w.run(time.Second)
	if s, _ := all[Send](w); len(s) == 0 || s[0].To.Port() != 8123 {
		t.Errorf("sent %+v", s)
	}
}

// The NTP server's name does not resolve at first: its keys are kept, and
// given up only after a few tries.
func TestNameOfTheNTPServer(t *testing.T) {
	w, h := ntsWorld(t)
	w.keys = func(a ExchangeKeys) Event { return w.establish(a, h, "time.example") }
	w.run(5 * time.Second)
	if k, _ := all[ExchangeKeys](w); len(k) != 1 {
		t.Errorf("%d key exchanges", len(k))
	}
	w.name("time.example", "192.0.2.1")
	w.run(5 * time.Second)
	if r := w.row(0); r.Reach == 0 {
		t.Errorf("row %+v", r)
	}
	if k, _ := all[ExchangeKeys](w); len(k) != 1 {
		t.Errorf("%d key exchanges", len(k))
	}
	w2, h2 := ntsWorld(t)
	w2.keys = func(a ExchangeKeys) Event { return w2.establish(a, h2, "gone.example") }
	w2.run(100 * time.Second)
	_, at := all[ExchangeKeys](w2)
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap < keyRetry(i) {
			t.Errorf("exchange %d came %v after the one before", i, gap)
		}
	}
	if len(at) < 2 {
		t.Errorf("%d key exchanges for a name that does not resolve", len(at))
	}
}

func TestUselessKeys(t *testing.T) {
	for name, spoil := range map[string]func(*KeysEstablished){
		"no cookies": func(k *KeysEstablished) { k.Cookies = nil },
		"endless cookies": func(k *KeysEstablished) {
			for i := range k.Cookies {
				k.Cookies[i] = make([]byte, 4096)
			}
		},
		"empty cookies":     func(k *KeysEstablished) { k.Cookies = []Secret{{}} },
		"unknown algorithm": func(k *KeysEstablished) { k.Algorithm = 4711 },
		"short key":         func(k *KeysEstablished) { k.C2S = k.C2S[:16] },
		"long key":          func(k *KeysEstablished) { k.S2C = append(k.S2C, 1) },
		"no server":         func(k *KeysEstablished) { k.Server = "" },
		"no port":           func(k *KeysEstablished) { k.Port = 0 },
		"nowhere":           func(k *KeysEstablished) { k.Server = "0.0.0.0" },
		"everywhere":        func(k *KeysEstablished) { k.Server = "224.0.1.1" },
	} {
		w, h := ntsWorld(t)
		w.keys = func(a ExchangeKeys) Event {
			ev := w.establish(a, h, "192.0.2.1")
			spoil(&ev)
			return ev
		}
		w.run(9 * time.Second)
		if k, _ := all[ExchangeKeys](w); len(k) != 1 || w.live() != 0 || w.row(0).Reason != Reason(ClassProtocol) {
			t.Errorf("%s: %d exchanges, row %+v", name, len(k), w.row(0))
		}
	}
}

// naks makes a server answer every request with an NTS NAK, as one does that
// lost its cookie keys.
func (h *host) naks(t *testing.T) {
	w := newWorld(t, config())
	h.keyset = w.host("192.0.2.99").keyset
	fresh, err := h.keyset.Rotate(seed(7), 0)
	if err != nil {
		t.Fatal(err)
	}
	h.keyset = fresh
}

// RFC 8915 section 5.7: a NAK and no valid reply until the next poll: new
// keys, which replace the old ones.
func TestNAKLeadsToNewKeys(t *testing.T) {
	w, h := ntsWorld(t)
	w.run(200 * time.Second)
	id := w.row(0).ID
	poll := time.Second << w.row(0).Poll
	h.naks(t)
	w.run(3 * poll) // not only when the server counts as unreachable
	if k, _ := all[ExchangeKeys](w); len(k) != 2 {
		t.Errorf("%d key exchanges", len(k))
	}
	if r := w.row(0); r.Condition != Selected || r.ID != id || r.Cookies != 8 {
		t.Errorf("row %+v", r)
	}
	h.never(t)
}

// RFC 8915 section 5.7: "As long as the NTS-KE handshake has not succeeded, the
// client SHOULD continue polling the NTP server using the cookies and
// parameters it has." And whoever forges NAKs causes no storm.
func TestForgedNAKs(t *testing.T) {
	forge := func(h *host) {
		h.edit = func(p []byte) []byte {
			p = slices.Clone(p[:48+36]) // header and unique identifier
			p[1] = 0
			copy(p[12:], "NTSN")
			return p
		}
	}
	t.Run("key exchange down", func(t *testing.T) {
		w, h := ntsWorld(t)
		w.run(300 * time.Second)
		asked := len(h.asked)
		w.keys = refused
		forge(h)
		w.run(100 * time.Second)
		if len(h.asked) == asked {
			t.Error("stopped polling")
		}
		h.edit = nil // the true server was there all the time
		w.run(1100 * time.Second)
		if r := w.row(0); r.Reach&1 == 0 || len(w.incidents("source-removed")) != 0 {
			t.Errorf("row %+v", r)
		}
		k, _ := all[ExchangeKeys](w)
		w.run(3600 * time.Second)
		if later, _ := all[ExchangeKeys](w); len(later) != len(k) {
			t.Errorf("%d more key exchanges although the server answers", len(later)-len(k))
		}
	})
	t.Run("no storm", func(t *testing.T) {
		w, h := ntsWorld(t)
		forge(h)
		w.run(24 * time.Hour)
		_, at := all[ExchangeKeys](w)
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < keyRetry(i) {
				t.Errorf("exchange %d came %v after the one before", i, gap)
			}
		}
		if len(at) > 25 {
			t.Errorf("%d key exchanges in a day", len(at))
		}
		h.never(t)
	})
}

// Server and key exchange are both gone: the row says so, the cookies run out,
// and the exchanges back off although the keys once worked.
func TestEverythingIsDown(t *testing.T) {
	w, h := ntsWorld(t)
	w.run(300 * time.Second)
	h.down, w.keys = true, refused
	n := len(w.actions)
	w.run(24 * time.Hour)
	if r := w.row(0); r.Reason != ReasonSilent || !strings.Contains(r.Text, "connection refused") || r.Cookies != 0 {
		t.Errorf("row %+v", r)
	}
	w.actions = w.actions[n:]
	_, at := all[ExchangeKeys](w)
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap < keyRetry(i) {
			t.Errorf("exchange %d came %v after the one before, want %v", i, gap, keyRetry(i))
		}
	}
	if len(at) < 10 {
		t.Errorf("%d exchanges in a day", len(at))
	}
	h.down = false
	w.keys = func(a ExchangeKeys) Event { return w.establish(a, h, "192.0.2.1") }
	w.run(24 * time.Hour)
	if r := w.row(0); r.Condition != Selected || r.Cookies != 8 {
		t.Errorf("row %+v", r)
	}
	h.never(t)
}

// RFC 8915 section 4.2: "Clients MUST NOT reset the retry interval until they
// have performed a successful key establishment with the NTS-KE server,
// followed by a successful use of the negotiated Next Protocol".
func TestRetryIntervalIsResetByUse(t *testing.T) {
	w, h := ntsWorld(t)
	h.down = true
	w.run(200 * time.Second) // exchanges succeed, NTP does not
	_, at := all[ExchangeKeys](w)
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap < keyRetry(i) {
			t.Errorf("exchange %d came %v after the one before, want %v", i, gap, keyRetry(i))
		}
	}
	if len(at) < 4 {
		t.Fatalf("%d exchanges", len(at))
	}
	h.down = false
	w.run(600 * time.Second) // it works: the interval starts over
	if r := w.row(0); r.Reach == 0 {
		t.Fatalf("row %+v", r)
	}
	n := len(w.actions)
	w.keys = refused
	h.down = true
	w.run(24 * time.Hour)
	w.actions = w.actions[n:]
	_, at = all[ExchangeKeys](w)
	if len(at) < 3 || at[1].Sub(at[0]) > 11*time.Second {
		t.Errorf("exchanges at %v", seconds(at))
	}
	h.never(t)
}

func TestNTSDenyStopsAndFindsAnother(t *testing.T) {
	w, h := ntsWorld(t)
	second := w.host("192.0.2.2")
	// Refused by its access list, which answers under the keys.
	denied := false
	w.keys = func(a ExchangeKeys) Event {
		if denied {
			return w.establish(a, second, "192.0.2.2")
		}
		return w.establish(a, h, "192.0.2.1")
	}
	w.run(100 * time.Second)
	denied = true
	w.engine.now = w.now()
	w.engine.demobilise(netip.MustParseAddrPort("192.0.2.1:123"), true)
	w.perform(w.engine.take())
	n := len(h.asked)
	w.run(100 * time.Second)
	if len(h.asked) != n || w.row(0).Addr.Addr() != addr("192.0.2.2") {
		t.Errorf("asked %d more times, row %+v", len(h.asked)-n, w.row(0))
	}
	// The key exchange that names a server which refused us is a failure.
	w.engine.now = w.now()
	w.engine.demobilise(netip.MustParseAddrPort("192.0.2.2:123"), true)
	w.perform(w.engine.take())
	n = len(second.asked)
	w.run(3600 * time.Second)
	if len(second.asked) != n || w.live() != 0 {
		t.Errorf("asked %d more times, row %+v", len(second.asked)-n, w.row(0))
	}
}

// Whatever pools and servers do: key exchanges of a slot keep their distance,
// one at a time, no unprotected request, distinct servers.
func TestKeyExchangesKeepTheirDistance(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mode := rapid.SampledFrom([]Mode{ModeNTS, ModeNTSPool}).Draw(rt, "mode")
		w := newWorld(t, config(src(mode, "ke.example", 3)))
		var hosts []*host
		for i := range 4 {
			hosts = append(hosts, w.host(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}).String()))
		}
		w.mute()
		w.keys = func(a ExchangeKeys) Event {
			if inFlight(w) > 0 {
				rt.Fatal("two key exchanges at once")
			}
			i := rapid.IntRange(-2, 3).Draw(rt, "pool")
			if i < 0 {
				return refused(a)
			}
			return w.establish(a, hosts[i], netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}).String())
		}
		for range 30 {
			for _, h := range hosts {
				switch rapid.IntRange(0, 6).Draw(rt, "change") {
				case 0:
					h.down = !h.down
				case 1:
					h.keyset, _ = h.keyset.Rotate(w.entropy, 0)
				}
			}
			w.run(time.Duration(rapid.IntRange(1, 300).Draw(rt, "s")) * time.Second)
			seen := map[netip.Addr]bool{}
			for _, r := range w.engine.Status(w.now()).Sources {
				if r.ID != 0 && seen[r.Addr.Addr()] {
					rt.Fatalf("two sources at %v", r.Addr)
				}
				seen[r.Addr.Addr()] = true
			}
		}
		for _, h := range hosts {
			h.never(t)
		}
		slots := 1
		if mode == ModeNTSPool {
			slots = 3
		}
		_, at := all[ExchangeKeys](w)
		for i := slots; i < len(at); i++ {
			if gap := at[i].Sub(at[i-slots]); gap < minKeyRetry {
				rt.Fatalf("%d exchanges within %v", slots+1, gap)
			}
		}
	})
}

// inFlight counts key exchanges whose answer is on its way.
func inFlight(w *world) (n int) {
	for _, d := range w.queue {
		switch d.ev.(type) {
		case KeysEstablished, KeyExchangeFailed:
			n++
		}
	}
	return n
}
