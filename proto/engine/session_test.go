package engine

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ntpd-go/ntpd-go/proto"
	"github.com/ntpd-go/ntpd-go/proto/aead"
	"pgregory.net/rapid"
)

// disk is what a shell keeps of sessions: the last Keep, of which a start takes
// half out.
type disk []Session

func (w *world) disk() disk {
	if k, _ := all[Keep](w); len(k) > 0 {
		return k[len(k)-1].Sessions
	}
	return nil
}

// claim does what the daemon does with its file.
func (d disk) claim() (ev Restored, left disk) {
	for _, x := range d {
		n := len(x.Cookies) / 2
		x.Cookies, x.Spare = x.Cookies[n:], x.Cookies[:n]
		ev.Sessions = append(ev.Sessions, x)
		if n > 0 {
			x.Cookies, x.Spare = x.Spare, nil
			left = append(left, x)
		}
	}
	return ev, left
}

// restart is the next start among the same servers, after a while.
func (w *world) restart(after time.Duration, ev Restored) {
	w.mono = w.mono.Add(after)
	w.engine = New(w.engine.cfg, State{}, seed(byte(4+len(w.actions)%200)), w.now())
	w.queue, w.open, w.actions, w.halted = nil, map[ExchangeID]netip.AddrPort{}, nil, false
	w.happen(ev)
}

// keptWorld is ntsWorld with something to keep, and certificates that have an
// end.
func keptWorld(t testing.TB, sources ...Source) (*world, []*host) {
	if sources == nil {
		sources = []Source{src(ModeNTS, "ke.example", 1)}
	}
	cfg := config(sources...)
	cfg.KeepSessions = true
	w := newWorld(t, cfg)
	var hosts []*host
	for i := range 6 {
		hosts = append(hosts, w.host(fmt.Sprintf("192.0.2.%d", i+1)))
	}
	w.keys = func(a ExchangeKeys) Event {
		for i, h := range hosts {
			name := fmt.Sprintf("192.0.2.%d", i+1)
			if slices.Contains(a.Deny, name) {
				continue
			}
			ev := w.establish(a, h, name)
			ev.Trust, ev.NotAfter = "system", w.truth().TimeNear(time.Unix(1_790_000_000, 0)).Add(90*24*time.Hour)
			return ev
		}
		return refused(a)
	}
	return w, hosts
}

// cookieOf is the cookie of a protected request.
func cookieOf(t testing.TB, s Send) []byte {
	p, err := proto.ParsePacket(s.Payload)
	if err != nil {
		t.Fatal(err)
	}
	for f := range p.All() {
		if f.Type == proto.FieldCookie {
			return f.Value
		}
	}
	return nil
}

// RFC 8915 section 5.7: "the client is able to resume the NTP session without
// performing renewed NTS-KE negotiation", after a proper end and after none.
func TestRFC8915Section5_7SessionsAreResumed(t *testing.T) {
	for name, end := range map[string]func(*world){
		"ended":  func(w *world) { w.happen(Ending{}) },
		"killed": func(*world) {},
	} {
		t.Run(name, func(t *testing.T) {
			w, h := keptWorld(t)
			w.run(2 * time.Hour)
			before := w.row(0)
			end(w)
			d := w.disk()
			if want := map[string]int{"ended": 8, "killed": spareCookies}[name]; len(d) != 1 || len(d[0].Cookies) != want {
				t.Fatalf("kept %+v", d)
			}
			asked := len(h[0].asked)
			w.keys = refused // the key exchange is down
			ev, _ := d.claim()
			w.restart(24*time.Hour, ev)
			w.run(20 * time.Minute)
			if k, _ := all[ExchangeKeys](w); len(k) != 0 {
				t.Errorf("%d key exchanges", len(k))
			}
			if r := w.row(0); r.Condition != Selected || r.Cookies < 7 || r.Addr != before.Addr || !r.NTS || r.NotAfter != before.NotAfter {
				t.Errorf("row %+v", r)
			}
			if len(h[0].asked) < asked+4 || len(w.incidents("session-resumed")) != 1 {
				t.Errorf("%d requests, %+v", len(h[0].asked)-asked, w.incidents("session-resumed"))
			}
			h[0].never(t)
			if l, _ := all[Lookup](w); len(l) != 0 {
				t.Error("a name was looked up")
			}
		})
	}
}

// What is kept is kept while the engine runs, not long after the first answers,
// and is renewed; seldom.
func TestSessionsAreKeptInTime(t *testing.T) {
	w, _ := keptWorld(t)
	w.run(2 * time.Minute)
	first, at := all[Keep](w)
	if len(first) == 0 || len(first) > 4 || at[0].Sub(proto.Instant(100*time.Second)) > 30*time.Second {
		t.Fatalf("%d times, first at %v", len(first), at)
	}
	if d := w.disk(); len(d) != 1 || len(d[0].Cookies) != spareCookies || d[0].Addr.String() != "192.0.2.1:123" || d[0].At.IsZero() || d[0].Trust != "system" {
		t.Fatalf("kept %+v", d)
	}
	before := w.disk()[0]
	w.run(24 * time.Hour)
	later, _ := all[Keep](w)
	if n := len(later) - len(first); n < 6 || n > 24 {
		t.Errorf("%d times in a day", n)
	}
	if now := w.disk()[0]; now.At.Sub(before.At) < 20*time.Hour || bytes.Equal(now.Cookies[0], before.Cookies[0]) {
		t.Errorf("kept since %v", now.At)
	}
}

// Without leave nothing is kept; and behind a proxy nothing that could be of
// use.
func TestNothingIsKeptUnasked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no path": func(c *Config) { c.KeepSessions = false },
		"proxy":   func(c *Config) { c.Sources[0].Route.Proxy = "socks5://127.0.0.1:1080" },
	} {
		w, _ := keptWorld(t)
		change(&w.engine.cfg)
		w.happen(Reconfigured{Config: w.engine.cfg})
		cfg := w.engine.cfg
		w.engine = New(cfg, State{}, seed(1), w.now())
		w.run(2 * time.Hour)
		w.happen(Ending{})
		if len(w.disk()) != 0 {
			t.Errorf("%s: kept %+v", name, w.disk())
		}
		if s, _ := all[Send](w); len(s) < 5 {
			t.Errorf("%s: %d requests", name, len(s))
		}
	}
}

// RFC 8915 section 5.7: "the client SHOULD avoid reusing a cookie". However a
// program ends and whatever is lost, no cookie goes out twice, over any number
// of starts.
func TestRFC8915Section5_7NoCookieIsUsedTwice(test *testing.T) {
	rapid.Check(test, func(t *rapid.T) {
		one, pool := src(ModeNTS, "ke.example", 1), src(ModeNTSPool, "pool.example", 2)
		one.PollMin, one.PollStart, pool.PollMin, pool.PollStart = 8, 8, 8, 8
		w, hosts := keptWorld(test, one, pool)
		used := map[string]bool{}
		unsent := map[ExchangeID]bool{}
		sent := func() {
			sends, _ := all[Send](w)
			for _, s := range sends {
				c := string(cookieOf(test, s))
				if used[c] && !unsent[s.Exchange] {
					t.Fatal("a cookie was sent twice")
				}
				used[c] = used[c] || !unsent[s.Exchange]
			}
			clear(unsent)
		}
		for range rapid.IntRange(2, 6).Draw(t, "starts") {
			for range rapid.IntRange(1, 6).Draw(t, "turns") {
				h := hosts[rapid.IntRange(0, len(hosts)-1).Draw(t, "host")]
				switch rapid.SampledFrom([]string{"run", "run", "down", "up", "forget", "unsent"}).Draw(t, "what") {
				case "down":
					h.down = true
				case "up":
					h.down = false
				case "forget":
					h.keyset = w.keyset(w.entropy)
				case "unsent":
					if len(w.open) > 0 {
						id := slices.Min(slices.Collect(maps.Keys(w.open)))
						unsent[id] = true
						w.queue = slices.DeleteFunc(w.queue, func(d due) bool { // nobody answers it
							r, ok := d.ev.(Received)
							return ok && r.Exchange == id
						})
						w.happen(SendFailed{Exchange: id, Failure: Failure{Class: ClassNetwork, Text: "no route"}})
					}
				}
				w.run(time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(70*time.Minute)).Draw(t, "time")))
			}
			d := w.disk()
			if rapid.Bool().Draw(t, "ended") {
				w.happen(Ending{})
				d = w.disk()
			}
			sent()
			for _, x := range d {
				for i, c := range x.Cookies {
					if used[string(c)] || slices.ContainsFunc(x.Cookies[:i], func(o Secret) bool { return bytes.Equal(o, c) }) {
						t.Fatal("a used cookie is kept, or one twice")
					}
				}
			}
			ev, left := d.claim()
			w.restart(time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "off")), ev)
			if rapid.Bool().Draw(t, "dies at once") {
				ev, _ = left.claim()
				sent()
				w.restart(time.Second, ev)
			}
		}
	})
}

// RFC 8915 section 5.7: "avoid reusing a cookie": what a start leaves in the store is the next one's.
func TestRFC8915Section5_7AStartLeavesTheNextItsCookies(t *testing.T) {
	w, h := keptWorld(t)
	w.run(2 * time.Hour)
	h[0].down, w.keys = true, refused
	sent := map[string]int{}
	ev, _ := w.disk().claim()
	for range 2 {
		w.restart(time.Minute, ev)
		w.run(2 * time.Hour)
		sends, _ := all[Send](w)
		for _, s := range sends {
			sent[string(cookieOf(t, s))]++
		}
		w.happen(Ending{})
		ev, _ = w.disk().claim()
	}
	times := slices.Collect(maps.Values(sent))
	if want := slices.Repeat([]int{1}, spareCookies/2+spareCookies/4); !slices.Equal(times, want) {
		t.Errorf("cookies were sent %v times, want %v", times, want)
	}
}

// What was kept is used no longer than it can be trusted, for what it was
// established for, and where it makes sense.
func TestSessionsThatAreNotResumed(t *testing.T) {
	day := 24 * time.Hour
	for name, tt := range map[string]struct {
		after  time.Duration
		change func(w *world, x *Session)
		used   bool
	}{
		"as it was":             {0, func(*world, *Session) {}, true},
		"almost too old":        {maxSessionAge - time.Hour, func(*world, *Session) {}, true},
		"too old":               {maxSessionAge + time.Hour, func(*world, *Session) {}, false},
		"expired certificate":   {day, func(_ *world, x *Session) { x.NotAfter = x.At.Add(day - time.Hour) }, false},
		"no certificate":        {day, func(_ *world, x *Session) { x.NotAfter = time.Time{} }, false},
		"no date":               {day, func(_ *world, x *Session) { x.At = time.Time{} }, false},
		"clock before it":       {day, func(_ *world, x *Session) { x.At = x.At.Add(2 * day) }, false},
		"another host":          {0, func(_ *world, x *Session) { x.For.Host = "other.example" }, false},
		"another port":          {0, func(_ *world, x *Session) { x.For.Port++ }, false},
		"other authorities":     {0, func(_ *world, x *Session) { x.For.Authority = "/etc/ca.pem" }, false},
		"another mode":          {0, func(_ *world, x *Session) { x.For.Mode = ModeNTSPool }, false},
		"by SRV records":        {0, func(_ *world, x *Session) { x.For.SRV = true }, false},
		"another route":         {0, func(_ *world, x *Session) { x.For.Route.Proxy = "socks5://127.0.0.1:1" }, false},
		"no cookies":            {0, func(_ *world, x *Session) { x.Cookies = nil }, false},
		"useless cookies":       {0, func(_ *world, x *Session) { x.Cookies = []Secret{nil, make(Secret, 1025)} }, false},
		"a short key":           {0, func(_ *world, x *Session) { x.C2S = x.C2S[:16] }, false},
		"an unknown algorithm":  {0, func(_ *world, x *Session) { x.Algorithm = aead.Algorithm(1) }, false},
		"no port":               {0, func(_ *world, x *Session) { x.Addr = netip.AddrPortFrom(x.Addr.Addr(), 0) }, false},
		"no address":            {0, func(_ *world, x *Session) { x.Addr = netip.AddrPort{} }, false},
		"a loopback address":    {0, func(_ *world, x *Session) { x.Addr = netip.MustParseAddrPort("127.0.0.1:123") }, false},
		"a multicast address":   {0, func(_ *world, x *Session) { x.Addr = netip.MustParseAddrPort("224.0.1.1:123") }, false},
		"nothing may be kept":   {0, func(w *world, _ *Session) { w.engine.cfg.KeepSessions = false }, false},
		"spare cookies only":    {0, func(_ *world, x *Session) { x.Spare, x.Cookies = x.Cookies, nil }, false},
		"no source":             {0, func(w *world, _ *Session) { w.engine.cfg.Sources = nil }, false},
		"a source with its own": {0, func(w *world, _ *Session) { w.engine.cfg.Sources = []Source{src(ModeServer, "192.0.2.1", 1)} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := keptWorld(t)
			w.run(time.Hour)
			w.happen(Ending{})
			ev, _ := w.disk().claim()
			tt.change(w, &ev.Sessions[0])
			w.restart(tt.after, ev)
			if got := len(w.incidents("session-resumed")) == 1; got != tt.used {
				t.Fatalf("resumed: %v", got)
			}
			if got := len(w.incidents("session-dropped")) == 1; got == tt.used {
				t.Errorf("dropped: %v", got)
			}
			k, _ := all[Keep](w)
			if !tt.used && w.engine.cfg.KeepSessions && (len(k) != 1 || len(k[0].Sessions) != 0) {
				t.Errorf("it stays in the store: %+v", k)
			}
			if x, _ := all[ExchangeKeys](w); len(w.engine.sources) > 0 && w.engine.sources[0].ke != nil && (len(x) == 0) != tt.used {
				t.Errorf("%d key exchanges", len(x))
			}
		})
	}
}

// Cookies that the server does not know any more, and a server that is silent,
// lead to a key exchange, and what it gives takes the place of what was kept.
func TestResumedSessionsThatAreOfNoUse(t *testing.T) {
	for name, spoil := range map[string]func(*world, *host){
		"NAK":    func(w *world, h *host) { h.keyset = w.keyset(seed(77)) },
		"silent": func(_ *world, h *host) { h.down = true },
	} {
		t.Run(name, func(t *testing.T) {
			w, h := keptWorld(t)
			w.run(time.Hour)
			w.happen(Ending{})
			old := w.disk()[0]
			ev, _ := w.disk().claim()
			spoil(w, h[0])
			w.restart(time.Hour, ev)
			w.run(12 * time.Second)
			if k, _ := all[ExchangeKeys](w); len(k) != 1 {
				t.Fatalf("%d key exchanges in 12 s", len(k))
			}
			h[0].down = false
			w.run(10 * time.Minute)
			if d := w.disk(); len(d) != 1 || bytes.Equal(d[0].C2S, old.C2S) {
				t.Errorf("kept %+v", d)
			}
			h[0].never(t)
		})
	}
}

// What keeps a session is the same after the server moved to another of its
// addresses, and ends with its source.
func TestKeptSessionsFollowTheirServer(t *testing.T) {
	w, h := keptWorld(t)
	keys := w.keys
	w.keys = func(a ExchangeKeys) Event {
		ev, ok := keys(a).(KeysEstablished)
		if !ok {
			t.Fatal("refused")
		}
		ev.Server = "time.example"
		return ev
	}
	w.name("time.example", "192.0.2.1", "192.0.2.2")
	h[1].keyset = h[0].keyset
	w.run(time.Hour)
	h[0].down = true
	w.run(6 * time.Hour)
	if d := w.disk(); len(d) != 1 || d[0].Addr.String() != "192.0.2.2:123" || d[0].Server != "time.example" {
		t.Fatalf("kept %+v", d)
	}
	w.happen(Reconfigured{Config: func() Config { c := w.engine.cfg; c.Sources = nil; return c }()})
	w.run(time.Minute)
	if d := w.disk(); len(d) != 0 {
		t.Errorf("kept %+v", d)
	}
}

// A pool gets back the members that it had, each once, and no more than it
// should have.
func TestPoolSessionsAreResumed(t *testing.T) {
	pool := src(ModeNTSPool, "pool.example", 3)
	w, _ := keptWorld(t, pool)
	w.run(time.Hour)
	w.happen(Ending{})
	d := w.disk()
	if len(d) != 3 {
		t.Fatalf("kept %d", len(d))
	}
	ev, _ := d.claim()
	t.Run("as it was", func(t *testing.T) {
		w.restart(time.Minute, ev)
		if k, _ := all[ExchangeKeys](w); len(k) != 0 || w.live() != 3 {
			t.Errorf("%d key exchanges, %d members", len(k), w.live())
		}
	})
	t.Run("smaller", func(t *testing.T) {
		w.engine.cfg.Sources = []Source{src(ModeNTSPool, "pool.example", 2)}
		w.restart(time.Minute, ev)
		w.run(time.Minute)
		if w.live() != 2 || len(w.incidents("session-dropped")) != 1 || len(w.disk()) != 2 {
			t.Errorf("%d members, %d are kept", w.live(), len(w.disk()))
		}
	})
	t.Run("twice the same", func(t *testing.T) {
		w.engine.cfg.Sources = []Source{pool}
		same := ev.Sessions[0]
		same.Server = "another.example" // at the same address
		w.restart(time.Minute, Restored{Sessions: []Session{ev.Sessions[0], ev.Sessions[0], same}})
		if n := len(w.incidents("session-resumed")); n != 1 {
			t.Errorf("%d members of one server", n)
		}
	})
}

// coldRestart is ten minutes after a start whose clock shows a time before what
// was kept, and that nothing else proves the time to.
func coldRestart(t *testing.T, off time.Duration, change func(*Session)) *world {
	w, _ := keptWorld(t)
	w.engine.cfg.BoundedColdStart = true
	w.run(time.Hour)
	w.happen(Ending{})
	ev, _ := w.disk().claim()
	change(&ev.Sessions[0])
	w.wrong -= proto.FromStd(off + 24*time.Hour)
	w.keys = refused
	w.restart(off, ev)
	w.run(10 * time.Minute)
	return w
}

// A machine without a clock may go on with what was kept in a bounded cold
// start: the sources must then agree on a time after it was kept and before it
// is of no use.
func TestResumedSessionsInAColdStart(t *testing.T) {
	for name, tt := range map[string]struct {
		off  time.Duration
		used bool
	}{"a day": {24 * time.Hour, true}, "a month": {30 * 24 * time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			w := coldRestart(t, tt.off, func(*Session) {})
			if len(w.incidents("source-provisional")) != 1 {
				t.Fatal("not provisional")
			}
			if set := w.wrong.Abs() < proto.Second; set != tt.used {
				t.Errorf("the clock is wrong by %v", w.wrong)
			}
		})
	}
}

// A machine without a clock cannot know that the certificate of what was kept
// has ended, before the sources agree on a time: one after that end is not set,
// however recent what was kept is by it.
func TestAColdStartEndsWithTheCertificate(t *testing.T) {
	const off = 3 * 24 * time.Hour // no session is too old by then
	for name, tt := range map[string]struct {
		valid time.Duration
		set   bool
	}{"valid": {off + 24*time.Hour, true}, "ended": {off - 24*time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			w := coldRestart(t, off, func(x *Session) { x.NotAfter = x.At.Add(tt.valid) })
			if n := len(w.incidents("session-resumed")); n != 1 {
				t.Fatalf("resumed %d times", n)
			}
			if set := w.wrong.Abs() < proto.Second; set != tt.set {
				t.Errorf("the clock is wrong by %v", w.wrong)
			}
		})
	}
}

// After Ending nothing is sent, and the cookie that is in flight is not kept.
func TestNothingHappensAfterTheEnd(t *testing.T) {
	w, h := keptWorld(t)
	w.run(time.Hour)
	h[0].down = true
	n := len(w.actions)
	for !slices.ContainsFunc(w.actions[n:], func(a timed) bool { _, ok := a.Action.(Send); return ok }) {
		w.run(time.Second)
	}
	sends, _ := all[Send](w)
	w.happen(Ending{})
	n = len(w.actions)
	w.happen(NetworkChanged{})
	w.run(time.Hour)
	if len(w.actions) != n || w.engine.Deadline() != proto.Never {
		t.Errorf("%+v", w.actions[n:])
	}
	flying := cookieOf(t, sends[len(sends)-1])
	for _, c := range w.disk()[0].Cookies {
		if bytes.Equal(c, flying) {
			t.Error("the cookie in flight is kept")
		}
	}
}
